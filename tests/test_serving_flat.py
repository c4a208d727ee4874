"""A bundle learned from a flat export answers online what it answers in batch."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from configs.mapping import SourceMapping
from configs.settings import load_settings
from features.intake.flat import read_flat
from serving.api import parse
from serving.decide import Decider
from serving.online import OnlineAnswerer
from training.train import train_flat

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
MAPPING = SourceMapping.model_validate(
    {
        "name": "clinic",
        "says": "leads made by hand",
        "lead_id": "Id",
        "order_by": "No",
        "as_of": "2026-06-30T00:00:00Z",
        "outcome": "Won",
        "outcome_true": ["1"],
        "outcome_false": ["0"],
        "attributes": [
            {"column": "Source", "type": "category", "known_at": "before_outcome"},
            {"column": "Visits", "type": "number", "known_at": "before_outcome"},
        ],
        "constants": {"audience": "buyer", "country": "US"},
        "complete": ["suppressions", "touches", "cases"],
    }
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """600 leads whose chance rises with visits and with one source; a bundle; the batch answers."""
    folder = tmp_path_factory.mktemp("flat")
    draw = random.Random(3)
    rows = []
    for number in range(600):
        source, visits = draw.choice(["Google", "Olark Chat", "Referral"]), draw.randrange(10)
        won = draw.random() < 0.1 + 0.06 * visits + 0.2 * (source == "Referral")
        rows.append({"Id": f"l{number}", "No": number, "Won": int(won), "Source": source, "Visits": visits})
    with (folder / "leads.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    intake = read_flat(MAPPING, folder / "leads.csv", SETTINGS, training=True)
    train_flat(intake, SETTINGS, MAPPING, folder / "bundle")
    decider = Decider.load(folder / "bundle", SETTINGS, on=AS_OF.date())
    scores = decider.decide(intake.tables, AS_OF).scores.probability
    batch = dict(zip(intake.tables.lead_ids.tolist(), scores.tolist(), strict=True))
    return {"rows": rows, "batch": batch, "decider": decider, "folder": folder}


def online(world: dict[str, Any], attributes: list[dict[str, Any]], names: list[str]) -> tuple[list[Any], list[Any]]:
    shared = {"audience": "buyer", "country": "US", "recorded_at": AS_OF.isoformat()}
    leads = [
        {"lead": {"lead_id": name, **shared, "attributes": own}, "suppressions": [], "touches": [], "cases": []}
        | {"suppressions_complete_as_of": AS_OF.isoformat()}
        for name, own in zip(names, attributes, strict=True)
    ]
    request = parse(msgspec.json.encode({"leads": leads}), max_leads=500)
    decisions, _, rejected = OnlineAnswerer(world["decider"], b"k" * 32).answer(request, AS_OF)
    return decisions, rejected


def test_attributes_count_online_as_they_do_in_batch(world: dict[str, Any]) -> None:
    rows = world["rows"][:40]
    attributes = [{"Source": row["Source"], "Visits": row["Visits"]} for row in rows]
    decisions, rejected = online(world, attributes, [row["Id"] for row in rows])
    assert not rejected
    found = {decision["lead_id"]: decision["readiness"]["probability"] for decision in decisions}
    assert found == {row["Id"]: round(world["batch"][row["Id"]], 6) for row in rows}
    assert len(set(found.values())) > 5


def test_a_word_where_the_bundle_learned_a_number_is_rejected_by_name_without_the_word(world: dict[str, Any]) -> None:
    decisions, rejected = online(world, [{"Source": "Google", "Visits": "marker"}, {"Visits": 3}], ["bad", "good"])
    assert [decision["lead_id"] for decision in decisions] == ["good"]
    (refused,) = rejected
    assert refused.path == "$.leads[0].lead.attributes.Visits"
    assert "marker" not in str(refused)


def test_a_level_never_seen_is_unknown_and_still_scores(world: dict[str, Any]) -> None:
    decisions, rejected = online(world, [{"Source": "Carrier pigeon", "Visits": 3}], ["new"])
    assert not rejected and 0 < decisions[0]["readiness"]["probability"] < 1


def test_event_tables_are_refused_by_a_bundle_learned_from_columns(world: dict[str, Any], small_world: Path) -> None:
    from configs.errors import BundleRefused
    from features.intake.sources import find_files
    from serving.rescore import rescore

    files = {name: path for name, path in find_files(small_world / "data").items() if name in ("leads", "events")}
    with pytest.raises(BundleRefused, match="learned from the columns"):
        rescore(files, world["folder"] / "bundle", SETTINGS, world["folder"] / "out", AS_OF, workers=1)
    assert not (world["folder"] / "out").exists()
