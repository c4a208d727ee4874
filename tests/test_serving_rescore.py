"""Rescoring: the same answers as online, the same bytes twice, and a killed run leaves the old result whole."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.errors import BundleRefused, InputInvalid
from configs.mapping import SourceMapping
from configs.settings import load_settings, load_source
from features.intake.flat import read_flat
from features.intake.sources import find_files, read_tables
from policy.audit.chain import verify
from serving.decide import Decider
from serving.files import sha256_of
from serving.render import render
from serving.rescore import Rescored, merkle_root, rescore, rescore_intake

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from configs.settings import load_settings
from features.intake.sources import find_files
from serving.rescore import rescore
if __name__ == "__main__":
    data, bundle, out = map(Path, sys.argv[1:4])
    rescore(find_files(data), bundle, load_settings(), out, datetime(2026, 6, 30, tzinfo=UTC), partitions=6, workers=1)
"""


@pytest.fixture(scope="module")
def place(small_world: Path) -> Path:
    return small_world


def run(place: Path, out: Path, **rest: object) -> Rescored:
    files = find_files(place / "data")
    return rescore(files, place / "bundle", load_settings(), out, AS_OF, **rest)  # type: ignore[arg-type]


def contents(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_of(path) for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_second_run_gives_the_same_bytes_and_the_manifest_lists_every_file(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "a", workers=1)
    run(place, tmp_path / "b", workers=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    listed = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    assert {**listed, "manifest.json": contents(tmp_path / "a")["manifest.json"]} == contents(tmp_path / "a")
    assert manifest["leads"] == first.leads == 300


def test_partitions_decide_what_one_part_decides(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "one", workers=1, partitions=1)
    second = run(place, tmp_path / "many", workers=1, partitions=7)
    assert first.root == second.root
    one, many = (
        pq.read_table(tmp_path / name / "decisions").sort_by("lead_id").to_pylist() for name in ("one", "many")
    )
    assert one == many
    assert json.loads((tmp_path / "one" / "summary.json").read_text()) == json.loads(
        (tmp_path / "many" / "summary.json").read_text()
    )


def test_the_crm_file_has_one_row_a_lead_and_the_summary_counts_every_permitted_lead(
    place: Path, tmp_path: Path
) -> None:
    done = run(place, tmp_path / "out", workers=1)
    with (tmp_path / "out" / "crm.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["lead_id"] for row in rows}) == len(rows) == 300
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for channel, count in done.permitted.items():
        assert sum(row[f"{channel}_permitted"] == "true" for row in rows) == count
        assert sum(row["leads"] for row in summary if row["channel"] == channel and row["permitted"]) == count


def test_rows_and_crm_say_as_of_when_and_until_when_like_the_online_answer(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "out", workers=1)
    settings = load_settings()
    decider = Decider.load(place / "bundle", settings, on=AS_OF.date())
    tables = read_tables(find_files(place / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    decisions = decider.decide(tables, AS_OF)
    online = {answer["lead_id"]: answer for answer in (render(decisions, row) for row in range(len(decisions)))}
    rows = pq.read_table(tmp_path / "out" / "decisions").to_pylist()
    with (tmp_path / "out" / "crm.csv").open(newline="") as file:
        flat = {row["lead_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(flat) == len(online) == 300
    stated = 0
    for row in rows:
        answer = online[row["lead_id"]]
        assert row["as_of"] == flat[row["lead_id"]]["as_of"] == answer["as_of"] == "2026-06-30T00:00:00Z"
        for channel, ruling in answer["channels"].items():
            assert row[f"{channel}_valid_until"] == ruling.get("valid_until")
            assert flat[row["lead_id"]][f"{channel}_valid_until"] == (ruling.get("valid_until") or "")
            stated += ruling["permitted"]
    assert stated > 0


def test_a_run_for_an_earlier_instant_grants_nothing(place: Path, tmp_path: Path) -> None:
    done = run(place, tmp_path / "out", workers=1, now=AS_OF + timedelta(days=1))
    assert set(done.permitted.values()) == {0}


def test_the_audit_keeps_the_root_of_the_run(place: Path, tmp_path: Path) -> None:
    done = run(place, tmp_path / "out", workers=1, audit=tmp_path / "audit")
    assert verify(tmp_path / "audit").records == 2
    text = next((tmp_path / "audit").glob("rescore_*.jsonl")).read_text()
    assert done.root in text
    assert "L0000001" not in text


def test_a_merkle_root_tells_leaves_from_nodes_and_notices_any_change() -> None:
    leaves = [bytes([value]) * 32 for value in range(5)]
    roots = {merkle_root(b"".join(leaves[:count])) for count in range(6)}
    assert len(roots) == 6
    assert merkle_root(b"".join(reversed(leaves))) not in roots


def test_a_flat_export_that_the_bundle_did_not_learn_from_is_refused_before_anything_is_written(
    place: Path, tmp_path: Path
) -> None:
    mapping, settings = load_source(Path("xeducation")), load_settings()
    columns = columns_of(mapping)
    cells = ["1", *[""] * (len(columns) - 1)]
    (tmp_path / "leads.csv").write_text(",".join(f'"{name}"' for name in columns) + "\n" + ",".join(cells) + "\n")
    intake = read_flat(mapping, tmp_path / "leads.csv", settings, training=False)
    with pytest.raises(BundleRefused, match="does not fit"):
        rescore_intake(intake, place / "bundle", settings, tmp_path / "out", AS_OF)
    assert not (tmp_path / "out").exists()


def columns_of(mapping: SourceMapping) -> list[str]:
    """Every column that a mapping reads."""
    learned = [attribute.column for attribute in mapping.attributes]
    named = [mapping.lead_id, mapping.order_by, *mapping.fields.values(), *(r.column for r in mapping.records)]
    return list(dict.fromkeys(name for name in [*named, *learned] if name is not None))


def test_a_folder_that_holds_something_else_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputInvalid):
        run(place, tmp_path, workers=1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_two_processes_decide_what_one_decides(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "one", workers=1, partitions=4)
    run(place, tmp_path / "two", workers=2, partitions=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.slow
def test_a_killed_run_leaves_the_old_result_whole_and_the_next_run_cleans_up(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(place, out, workers=1)
    before = contents(out)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for wait in (0.0, 0.05, 0.2):
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(place / "data"), str(place / "bundle"), str(out)], env=environment
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.partial-*/decisions/*")) and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        now = contents(out)
        assert now == before or "decisions/part-00005.parquet" in now
        # Old or new, it is whole: the manifest is there and every file it lists has its hash.
        listed = json.loads((out / "manifest.json").read_text())["files"]
        assert {name: entry["sha256"] for name, entry in listed.items()} == {
            name: digest for name, digest in now.items() if name != "manifest.json"
        }
        before = now
    run(place, out, workers=1)
    assert [path.name for path in tmp_path.iterdir() if ".partial" in path.name] == []


def test_a_night_whose_stops_are_gone_permits_nobody_and_neither_does_the_next(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "out", workers=1)
    assert sum(first.permitted.values()) > 0
    data = tmp_path / "data"
    shutil.copytree(place / "data", data)
    stops = pq.read_table(data / "suppressions.parquet")
    pq.write_table(stops.slice(0, 3), data / "suppressions.parquet")
    for _ in range(2):
        done = rescore(find_files(data), place / "bundle", load_settings(), tmp_path / "out", AS_OF, workers=1)
        assert sum(done.permitted.values()) == 0
        assert any("stops missing" in note for note in done.notes)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["suppressions_seen"] == stops.num_rows
