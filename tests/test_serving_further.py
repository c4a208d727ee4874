"""Further targets in answers: the same online, in batch and in the audit, and nothing at all where there are none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from configs.settings import load_settings
from features.encode import encode_records
from features.intake.sources import find_files, read_tables
from features.records import Lead, Suppression
from models.further import FurtherDeclaration, FurtherTarget
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.further import WEAK
from serving.recorded import audit_record
from serving.render import render

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
PRODUCTS = SETTINGS.vocabularies["product"].values


@dataclass(frozen=True)
class World:
    """The small world decided without further targets, and with two of them."""

    plain: Decisions
    further: Decisions
    decider: Decider


def with_further(decider: Decider) -> Decider:
    """The same decider with two further targets that answer as the served one does, one of them weak."""
    segments = decider.readiness.segment_ids
    days = tuple(tuple(30 + place for place in range(len(PRODUCTS) + 1)) for _ in range(len(segments) + 1))
    made = [
        FurtherTarget.of(
            FurtherDeclaration(
                id=name, says=f"{name} for a test", first=not weak, weak=weak, segments=segments, products=PRODUCTS,
                days=days,
            ),
            decider.readiness,
        )
        for name, weak in (("conversion", False), ("sql", True))
    ]  # fmt: skip
    return replace(decider, further=tuple(made))


@pytest.fixture(scope="module")
def world(small_world: Path) -> World:
    tables = read_tables(find_files(small_world / "data"), SETTINGS, assets=SETTINGS.assets, as_of=AS_OF).tables
    plain = Decider.load(small_world / "bundle", SETTINGS, on=date(2026, 6, 30))
    decider = with_further(plain)
    return World(plain.decide(tables, AS_OF), decider.decide(tables, AS_OF), decider)


def test_an_answer_of_a_bundle_without_further_targets_does_not_mention_them(world: World) -> None:
    for row in range(20):
        assert "further" not in render(world.plain, row)["readiness"]
    assert not [name for name in decision_table(world.plain).column_names if name.startswith("further_")]


def test_further_targets_change_nothing_else_of_an_answer(world: World) -> None:
    for row in range(40):
        more = render(world.further, row)
        more["readiness"].pop("further", None)
        assert more == render(world.plain, row)


def test_batch_columns_say_what_the_answer_says(world: World) -> None:
    table = decision_table(world.further).to_pylist()
    said = {one["lead_id"]: one for one in table}
    seen = 0
    for row in range(len(world.further)):
        answer = render(world.further, row)
        line = said.get(answer["lead_id"])
        if line is None or "further" not in answer["readiness"]:
            continue
        seen += 1
        for entry in answer["readiness"]["further"]:
            name = f"further_{entry['target']}"
            assert line[f"{name}_probability"] == entry["probability"]
            assert [line[f"{name}_lower"], line[f"{name}_upper"]] == entry["interval"]
            assert line[f"{name}_horizon_days"] == entry["horizon_days"]
            assert line[f"{name}_reason"] == entry.get("reason")
    assert seen > 200


def test_days_follow_the_product_and_a_first_target_says_whom_it_asks(world: World) -> None:
    product = world.further.known.leads["product_interest"]
    seen = set()
    for row in range(len(world.further)):
        entries = render(world.further, row)["readiness"].get("further")
        if entries:
            assert [one["target"] for one in entries] == ["conversion", "sql"]
            assert [one["horizon_days"] for one in entries] == [30 + int(product[row])] * 2
            assert entries[0]["asked_of"] == "not_reached_yet" and "asked_of" not in entries[1]
            seen.add(entries[0]["horizon_days"])
    assert len(seen) > 1


def test_a_weak_target_says_so_of_every_lead(world: World) -> None:
    entries = [render(world.further, row)["readiness"].get("further") for row in range(60)]
    assert {one[1]["reason"] for one in entries if one} >= {WEAK}
    assert all("reason" in one[1] for one in entries if one)


def test_the_audit_keeps_what_was_said(world: World) -> None:
    row = next(row for row in range(60) if render(world.further, row)["readiness"].get("further"))
    answer = {**render(world.further, row), "audit_id": "a"}
    kept = audit_record(world.further, row, answer, "subject", AS_OF)["detail"]["further"]
    assert kept == {one["target"]: f"{one['probability']:.6f}" for one in answer["readiness"]["further"]}
    plain = {**render(world.plain, row), "audit_id": "a"}
    assert "further" not in audit_record(world.plain, row, plain, "subject", AS_OF)["detail"]


def test_who_may_not_be_scored_is_told_nothing_of_further_targets_either(world: World) -> None:
    lead = Lead(lead_id="a", country="US", audience="buyer", created_at=AS_OF, recorded_at=AS_OF)
    stop = Suppression(lead_id="a", since_at=AS_OF, reason="erasure")
    tables = encode_records(
        [lead], suppressions=[stop], cases=[], events=[], vocabularies=SETTINGS.vocabularies,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    decisions = world.decider.decide(tables, AS_OF)
    assert decisions.rulings.no_score.all()
    assert "further" not in render(decisions, 0)["readiness"]
    (line,) = decision_table(decisions).to_pylist()
    assert [value for name, value in line.items() if name.startswith("further_")] == [None] * 10


def test_one_lead_alone_is_answered_as_among_many(world: World) -> None:
    matrix, primary = world.further.features.matrix, world.further.members.primary
    product = world.further.known.leads["product_interest"]
    whole = world.further.further[0]
    for row in range(0, len(matrix), 37):
        at = slice(row, row + 1)
        alone = whole.target.answers(matrix[at], primary[at], product[at])
        assert np.array_equal(alone.scores.probability, whole.scores.probability[at])
        assert alone.horizon_days[0] == whole.horizon_days[row]
