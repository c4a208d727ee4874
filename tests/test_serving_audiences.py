"""Audiences of advertising platforms hold permitted leads and nobody else, and say how many were withheld by what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.activation import AudienceDestination, activation_problems
from configs.settings import load_settings
from serving.tags.audiences import HELD_OUT, NOT_SCORED, audiences_of
from serving.tags.tags import Tags

UNTIL = "2026-07-01T00:00:00Z"


def scores(folder: Path, *rows: tuple[str, bool | None, list[str]]) -> Path:
    """The parts of a rescoring, a row a file, that the list looks at."""
    files: dict[str, Any] = {}
    (folder / "decisions").mkdir(parents=True)
    for number, (lead_id, permitted, rules) in enumerate(rows):
        name = f"decisions/part-{number:05d}.parquet"
        table = pa.table(
            {
                "lead_id": [lead_id],
                "ads_permitted": pa.array([permitted], pa.bool_()),
                "ads_valid_until": pa.array([UNTIL if permitted else None], pa.string()),
                "ads_rules": pa.array([rules], pa.list_(pa.string())),
                "band": ["hot"],
                "arm": pa.array(["holdout" if lead_id.startswith("held") else "routed"]).dictionary_encode(),
            }
        )
        pq.write_table(table, folder / name)
        files[name] = {"sha256": "-"}
    (folder / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    return folder


def tags(*leads: tuple[str, str], by_consent: tuple[str, ...] = ()) -> Tags:
    table = pa.table({"lead_id": [lead for lead, _ in leads], "primary_segment": [segment for _, segment in leads]})
    return Tags(table, pa.table({}), pa.table({}), {}, pa.array(by_consent, pa.string()))


EVERY = AudienceDestination(id="platform")


def test_only_who_is_tagged_and_permitted_is_on_the_list_and_every_other_is_counted_by_rule(tmp_path: Path) -> None:
    given = scores(
        tmp_path, ("L2", True, []), ("L1", True, []), ("L3", False, ["US-10", "GEN-01"]), ("L4", False, ["US-11"]),
        ("L5", False, ["US-10"]), ("L6", False, []), ("not tagged", True, []), ("L8", None, []),
    )  # fmt: skip
    people = tags(*((f"L{n}", "s") for n in range(1, 9)))
    (found,) = audiences_of(given, people, [EVERY])
    assert found.leads.to_pylist() == [{"lead_id": "L1", "valid_until": UNTIL}, {"lead_id": "L2", "valid_until": UNTIL}]
    counted = {row["rule"]: row["leads"] for row in found.withheld.to_pylist()}
    assert counted == {"US-10": 2, "US-11": 1, "NO_LEGAL_BASIS": 2, NOT_SCORED: 1}
    # INVARIANT: on the list or counted, each tagged lead once.
    assert found.leads.num_rows + sum(counted.values()) == 8


def test_a_list_holds_no_name_of_a_segment_and_only_the_segments_it_is_for(tmp_path: Path) -> None:
    given = scores(tmp_path, ("L1", True, []), ("L2", True, []))
    wanted = [AudienceDestination(id="a", segments=("s",)), AudienceDestination(id="b", segments=("t", "s"))]
    narrow, wide = audiences_of(given, tags(("L1", "s"), ("L2", "t")), wanted)
    assert narrow.leads["lead_id"].to_pylist() == ["L1"] and wide.leads["lead_id"].to_pylist() == ["L1", "L2"]
    assert narrow.leads.column_names == ["lead_id", "valid_until"]


def test_who_is_held_out_is_on_no_list_and_counted_as_such(tmp_path: Path) -> None:
    given = scores(tmp_path, ("L1", True, []), ("held 1", True, []), ("held 2", False, ["US-10"]))
    (found,) = audiences_of(given, tags(("L1", "s"), ("held 1", "s"), ("held 2", "s")), [EVERY])
    assert found.leads["lead_id"].to_pylist() == ["L1"]
    assert found.withheld.to_pylist() == [{"rule": HELD_OUT, "leads": 1}, {"rule": "US-10", "leads": 1}]


def test_without_a_rescoring_there_is_no_list(tmp_path: Path) -> None:
    assert audiences_of(None, tags(("L1", "s")), [EVERY]) == []


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        (AudienceDestination(id="salesforce"), "audiences.salesforce.id"),
        (AudienceDestination(id="x", segments=("no_such",)), "audiences.x.segments"),
    ],
)
def test_a_destination_with_a_taken_id_or_a_segment_nobody_defined_is_refused(
    destination: AudienceDestination, said: str
) -> None:
    settings = load_settings()
    own = settings.activation.model_copy(update={"audiences": (destination,)})
    found = {name: getattr(settings, name) for name in ("statuses", "segments", "vocabularies")} | {"activation": own}
    assert [problem.key for problem in activation_problems(found)] == [said]


def test_a_list_by_segment_holds_nobody_whose_health_it_would_tell(tmp_path: Path) -> None:
    given = scores(tmp_path, ("L1", True, []), ("L2", True, []))
    people = tags(("L1", "joint_pain"), ("L2", "joint_pain"), by_consent=("L1",))
    by_segment = AudienceDestination(id="platform", segments=("joint_pain",))
    found, every = audiences_of(given, people, [by_segment, EVERY])
    assert found.leads["lead_id"].to_pylist() == ["L2"]
    assert every.leads["lead_id"].to_pylist() == ["L1", "L2"]  # of everybody permitted a list tells nothing
