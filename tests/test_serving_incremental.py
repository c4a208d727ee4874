"""Nights that reuse the rows of earlier ones: every file of the result has the bytes of a full run's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.settings import load_settings
from features.intake.buckets.manifest import only_user
from features.intake.sources import find_files
from serving.files import sha256_of
from serving.rescore import Rescored, rescore

LAST = datetime(2026, 6, 30, tzinfo=UTC)
NIGHTS = 3
EARLY = np.datetime64("2026-06-01")
RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from configs.settings import load_settings
from features.intake.sources import find_files
from serving.rescore import rescore
if __name__ == "__main__":
    data, bundle, out, buckets = map(Path, sys.argv[1:5])
    files = {t: p for t, p in find_files(data).items() if t not in ("outcomes", "campaigns", "assets")}
    print("ready", flush=True)
    rescore(files, bundle, load_settings(), out, datetime(2026, 6, 30, tzinfo=UTC),
            partitions=3, workers=1, buckets=buckets)
"""


def contents(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_of(path) for path in sorted(out.rglob("*")) if path.is_file()}


def run(data: Path, bundle: Path, out: Path, as_of: datetime, buckets: Path | None) -> Rescored:
    files = {t: p for t, p in find_files(data).items() if t not in ("outcomes", "campaigns", "assets")}
    return rescore(files, bundle, load_settings(), out, as_of, partitions=3, workers=1, buckets=buckets)


def written(buckets: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in buckets.iterdir() if path.name != ".lock"}


def changed(rows: pa.Table, **columns: object) -> pa.Table:
    """The rows with one value in these columns."""
    for name, value in columns.items():
        kind = rows.schema.field(name).type
        rows = rows.set_column(rows.column_names.index(name), name, pa.array([value] * len(rows), kind))
    return rows


class World:
    """The small world as it grew: every night a folder `events/day=...` more, and all other tables as exported then."""

    def __init__(self, source: Path, place: Path) -> None:
        self.source, self.data = source, place
        self.data.mkdir()
        self.all = pq.read_table(source / "events.parquet")
        self.day = self.all["recorded_at"].to_numpy().astype("datetime64[D]")
        self.leads = pq.read_table(source / "leads.parquet")
        # Leads whose rows come a night after their first events: until then these are references to nobody.
        busy = pc.value_counts(self.all["lead_id"]).to_pylist()
        self.late = sorted(row["values"] for row in busy if row["counts"] > 20)[:12]

    def night(self, number: int) -> datetime:
        """Export what was recorded by the start of a night's day, and return its instant."""
        as_of = LAST - timedelta(days=NIGHTS - 1 - number)
        cut = np.datetime64(as_of.replace(tzinfo=None))
        for path in self.source.iterdir():
            if path.stem not in ("events", "leads", "truth", "outcomes") and path.suffix == ".parquet":
                (self.data / path.name).unlink(missing_ok=True)
                (self.data / path.name).symlink_to(path)
        (self.data / "sample.json").write_bytes((self.source / "sample.json").read_bytes())
        known = pc.is_in(self.leads["lead_id"], pa.array(self.late))
        leads = self.leads.filter(pc.invert(known)) if number < 2 else self.leads
        if number == 1:  # somebody moves to the account of somebody else, and takes two years of events along
            first, last = leads["account_id"].drop_null()[0].as_py(), leads.slice(len(leads) - 1)
            moved = changed(last, account_id=first, recorded_at=as_of - timedelta(hours=1))
            leads = pa.concat_tables([leads, moved])
        pq.write_table(leads, self.data / "leads.parquet")
        before = cut - 1 if number else np.datetime64("1990-01-01")
        rows = self.all.filter(pa.array((self.day >= before) & (self.day < cut)))
        if number:
            rows = pa.concat_tables([rows, *self._oddities(number, as_of)])
        self.add(f"day={cut - 1}", rows)
        return as_of

    def _oddities(self, number: int, as_of: datetime) -> list[pa.Table]:
        """What a night brings besides news: repeats, contradictions, late arrivals, nonsense."""
        held_back = pc.is_in(self.all["lead_id"], pa.array(self.late))
        old = self.all.filter(pc.invert(held_back)).filter(pa.array(self.day[~np.asarray(held_back)] < EARLY))
        old = old.slice(100 * number, 40)
        recorded = as_of - timedelta(minutes=5)
        return [
            old.slice(0, 10),  # the same row again
            changed(old.slice(10, 10), recorded_at=recorded, occurred_at=recorded),  # the same id with other content
            changed(
                old.slice(20, 5), recorded_at=datetime(2025, 1, 1, tzinfo=UTC), occurred_at=recorded
            ),  # one recorded before it
            changed(old.slice(25, 5), event_id=None),
            changed(old.slice(30, 5), lead_id=f"NOBODY-{number}"),
            changed(old.slice(35, 1), event_id=f"LATE-{number}", recorded_at=recorded),  # long ago, told only now
            changed(old.slice(36, 1), event_id=f"ODD-{number}", kind="never heard of", account_id=f"UNKNOWN-{number}"),
        ]

    def add(self, name: str, rows: pa.Table) -> None:
        folder = self.data / "events" / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "rows.parquet")


@pytest.fixture(scope="module")
def world(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path, Path]:
    place = tmp_path_factory.mktemp("nights")
    return World(small_world / "data", place / "data"), small_world / "bundle", place


def test_every_night_has_the_bytes_of_a_full_run(world: tuple[World, Path, Path]) -> None:
    made, bundle, place = world
    notes = []
    for number in range(NIGHTS):
        as_of = made.night(number)
        kept = run(made.data, bundle, place / "kept", as_of, place / "buckets")
        run(made.data, bundle, place / "full", as_of, None)
        assert contents(place / "kept") == contents(place / "full"), f"night {number}"
        notes.append(kept.notes)
        if number == 1:
            text = (place / "full" / "rejects.csv").read_text()
            assert "another row with the same key has other content" in text
            assert "reference to an unknown lead" in text
            assert "missing event_id" in text
    assert notes[0] == ("events: all 1 files read", "touches: all 1 files read")
    same = "touches: 0 of 1 files read, the rest reused"
    assert notes[1:] == [(f"events: 1 of {n} files read, the rest reused", same) for n in (2, 3)]


def test_events_of_a_lead_nobody_knew_count_once_it_is_known(world: tuple[World, Path, Path]) -> None:
    made, _, place = world
    decided = pq.read_table(place / "kept" / "decisions")
    assert set(made.late) <= set(decided["lead_id"].to_pylist())
    rejected = (place / "kept" / "rejects.csv").read_text().count("reference to an unknown lead")
    assert rejected == 5 * (NIGHTS - 1)  # those of NOBODY alone are left


def test_a_second_run_of_the_same_night_writes_nothing(world: tuple[World, Path, Path]) -> None:
    made, bundle, place = world
    before = written(place / "buckets")
    again = run(made.data, bundle, place / "again", LAST, place / "buckets")
    assert again.notes[0] == "events: 0 of 3 files read, the rest reused"
    assert written(place / "buckets") == before
    assert contents(place / "again") == contents(place / "full")


def test_while_one_run_uses_the_buckets_a_second_is_refused(world: tuple[World, Path, Path]) -> None:
    made, bundle, place = world
    with only_user(place / "buckets"), pytest.raises(InputInvalid, match="no other run using these buckets"):
        run(made.data, bundle, place / "refused", LAST, place / "buckets")
    assert not (place / "refused").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_point_leaves_buckets_that_give_the_same_bytes(
    world: tuple[World, Path, Path], tmp_path: Path, seed: int
) -> None:
    made, bundle, place = world
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", RUN, str(made.data), str(bundle), str(tmp_path / "out"), str(tmp_path / "buckets")]
    wait = np.random.default_rng(seed).uniform(0.0, 2.5)
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(wait)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    run(made.data, bundle, tmp_path / "out", LAST, tmp_path / "buckets")
    assert contents(tmp_path / "out") == contents(place / "full")
