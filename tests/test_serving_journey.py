"""Where a lead stands on its journey, in its answer and in the table of decisions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from configs.settings import load_settings
from features.intake.sources import find_files, read_tables
from serving.columns import decision_table
from serving.decide import Decider
from serving.journey import NAMES
from serving.render import render

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()


def test_answers_and_columns_say_the_same_and_nothing_of_who_may_not_be_profiled(small_world: Path) -> None:
    tables = read_tables(find_files(small_world / "data"), SETTINGS, assets=SETTINGS.assets, as_of=AS_OF).tables
    decisions = Decider.load(small_world / "bundle", SETTINGS, on=date(2026, 6, 30)).decide(tables, AS_OF)
    table = {row["lead_id"]: row for row in decision_table(decisions).select(["lead_id", *NAMES.values()]).to_pylist()}
    shown = set()
    hidden = np.flatnonzero(decisions.rulings.no_score)
    for row in [*range(120), *hidden[:5].tolist()]:
        answer = render(decisions, row)
        if answer["lead_id"] not in table:
            continue
        found = {name: table[answer["lead_id"]][fact] for name, fact in NAMES.items()}
        assert (answer["journey"] or dict.fromkeys(NAMES)) == found
        assert (answer["journey"] is None) == bool(decisions.rulings.no_score[row])
        shown.add(found["stage"])
    assert len(hidden)
    assert len(shown) >= 4
