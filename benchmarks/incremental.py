"""A night that reads one new day beside one that reads everything, and how memory grows with the number of events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
# Two years of a lead that is written to, and what the other benchmarks rescore with.
MANY, FEW = 50.0, 20.0
PARTS_OF = 1_000_000  # events of a part, about as many as a rescore of 50,000 leads takes at once


def run(events: int = 5_000_000, growth: tuple[int, int] = (1_000_000, 5_000_000)) -> list[dict[str, Any]]:
    """Reading and partitioning for a rescore, every run in a process of its own; both sides give the same rows.

    Args:
        events: how many there are in all; the last day of them is new.
        growth: the events of the smaller and of the larger world whose peak memory is compared.
    """
    with tempfile.TemporaryDirectory(prefix="leadwell-bench-") as name:
        folder = Path(name)
        return [_one_new_day(folder / "nights", events), _growth(folder / "growth", growth)]


def _one_new_day(folder: Path, events: int) -> dict[str, Any]:
    data, new = _world(folder, events, MANY), folder / "new.parquet"
    store, late = folder / "buckets", _last_day_apart(data, new)
    first = _measured(data, store)
    new.rename(data / "events" / "new.parquet")
    night, again, full = _measured(data, store), _measured(data, store), _measured(data, None)
    if not night["rows"] == again["rows"] == full["rows"]:
        raise RuntimeError("a night with buckets gave other rows than a full run")
    return {
        "name": f"reading for a rescore, {events:,} events, {late:,} of them new, with buckets",
        "unit": "s",
        "ours": night["seconds"],
        "peers": {"every file": full["seconds"], "nothing new": again["seconds"], "first night": first["seconds"]},
        "ratio": round(full["seconds"] / night["seconds"], 2),
        "target": None,
        "met": None,
        "says": f"{night['cpu']:.1f} s of processor time for {full['cpu']:.1f} s, start included; "
        f"peak memory {night['gigabytes']:.2f} GB, of the full run {full['gigabytes']:.2f} GB; "
        f"the store has {_size(store) / 1e6:,.0f} MB, its input {_size(data / 'events') / 1e6:,.0f} MB; "
        "both gave the same rows",
    }


def _growth(folder: Path, sizes: tuple[int, int]) -> dict[str, Any]:
    found = {}
    for events in sizes:
        data = _world(folder / str(events), events, FEW)
        found[events] = _measured(data, None)
    small, large = (found[events] for events in sizes)
    times = [found[events]["seconds"] / events * 1e6 for events in sizes]
    return {
        "name": f"peak memory of reading and partitioning, {sizes[1]:,} events",
        "unit": "GB",
        "ours": large["gigabytes"],
        "peers": {f"{sizes[0]:,} events": small["gigabytes"]},
        "ratio": round(small["gigabytes"] / large["gigabytes"], 2),
        "target": "4 GB",
        "met": large["gigabytes"] <= 4,
        "says": f"{times[0]:.2f} and {times[1]:.2f} s a million events",
    }


def _world(folder: Path, events: int, events_per_lead: float) -> Path:
    from training.sample.world import make_sample

    make_sample(int(events / events_per_lead), 3, folder / "data", events_per_lead=events_per_lead)
    return folder / "data"


def _last_day_apart(data: Path, new: Path) -> int:
    """Put the events in a folder and those recorded on the last day into a file beside it; returns their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(data / "events.parquet")
    (data / "events.parquet").unlink()
    (data / "events").mkdir()
    day = rows["recorded_at"].to_numpy().astype("datetime64[D]")
    late = day == day.max()
    pq.write_table(rows.filter(pa.array(~late)), data / "events" / "old.parquet", compression="zstd")
    pq.write_table(rows.filter(pa.array(late)), new, compression="zstd")
    return int(late.sum())


def _measured(data: Path, store: Path | None) -> dict[str, Any]:
    """Seconds and peak gigabytes of reading every part in a process of its own, its start left out, and its rows."""
    command = [sys.executable, "-c", "from benchmarks.incremental import child; child()", str(data), str(store or "")]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as said:
        text = said.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError("reading failed")
    found: dict[str, Any] = json.loads(text)
    return found | {"gigabytes": used.ru_maxrss / 1e6, "cpu": used.ru_utime + used.ru_stime}


def child() -> None:
    """Read every part of `argv[1]`, with the buckets of `argv[2]` if any; print seconds and a digest of the rows."""
    from configs.settings import load_settings
    from features.intake.partitions import plan_partitions
    from features.intake.scan import most_rows
    from features.intake.sources import find_files

    settings, (_, data, store) = load_settings(), sys.argv
    files = {t: p for t, p in find_files(Path(data)).items() if t not in ("outcomes", "campaigns", "assets")}
    count = 1 + most_rows("events", files["events"]) // PARTS_OF
    spent, digest = 0.0, [0, 0]
    started = time.perf_counter()
    with plan_partitions(
        files, settings, assets=settings.assets, count=count, as_of=AS_OF, buckets=Path(store) if store else None
    ) as plan:
        for part in plan.parts():
            spent += time.perf_counter() - started
            digest[0] += part.counts["events"].used
            digest[1] ^= _digest(part.tables.events)
            started = time.perf_counter()
    print(json.dumps({"seconds": round(spent + time.perf_counter() - started, 2), "rows": digest}))


def _digest(columns: Any) -> int:
    """The same for the same rows in any order; which message has which number means nothing."""
    mixed = np.zeros(len(columns["lead"]), dtype=np.uint64)
    for name in sorted(columns):
        column = columns[name] >= 0 if name == "message" else columns[name]
        mixed = (mixed ^ column.astype(np.int64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(31)
    return int(mixed.sum(dtype=np.uint64))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
