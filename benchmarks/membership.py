"""Membership of everybody and of those whom something changed for, at 1 M leads and as many segments as are shipped.

From encoded tables in memory to moves: what may be used, the facts that segments look at, conditions, memberships,
moves. Beside it, for the conditions alone, their SQL over the same facts in DuckDB. Every shipped definition counts as
approved, drafts too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
LEADS, EVENTS = 1_000_000, 12_000_000
SHARES = (0.001, 0.01, 0.1)
TIMES = 3


def run(leads: int = LEADS, events: int = EVENTS) -> list[dict[str, Any]]:
    """Rows for the table; the measuring is done in a process of its own, whose peak memory is told."""
    command = [sys.executable, "-c", "from benchmarks.membership import child; child()", str(leads), str(events)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as said:
        text = said.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError("measuring memberships failed")
    found: dict[str, Any] = json.loads(text)
    return _rows(found, leads, used.ru_maxrss / 1e6)


def _rows(found: dict[str, Any], leads: int, gigabytes: float) -> list[dict[str, Any]]:
    full, asked = found["full"], found["conditions"]
    rows: list[dict[str, Any]] = [
        {
            "name": f"memberships of {leads:,} leads, {found['segments']} segments, {found['events']:,} events",
            "unit": "s",
            "ours": full["seconds"],
            "peers": {},
            "ratio": None,
            "target": "5 s on two cores",
            "met": full["seconds"] <= 5,
            "says": f"{_steps(full)}; the best of {found['times']} runs one after the other, of which the slowest took "
            f"{found['slowest']:.2f} s; {found['moves']:,} moves; peak memory of the whole measurement with its made "
            f"world and DuckDB {gigabytes:.1f} GB; load {found['load'][0]:.1f} at the start, {found['load'][1]:.1f} at "
            f"the end on {found['cores']} cores",
        },
        {
            "name": f"{asked['count']} conditions over {len(found['facts'])} facts of {leads:,} leads",
            "unit": "s",
            "ours": asked["ours"],
            "peers": {"DuckDB, the same SQL": asked["duckdb"], "numpy, one after the other": asked["numpy"]},
            "ratio": round(asked["duckdb"] / asked["ours"], 1),
            "target": None,
            "met": None,
            "says": "the same answers from all three; DuckDB has the facts as words in its own table and only counts",
        },
    ]
    for share, night in found["nights"].items():
        rows.append(
            {
                "name": f"memberships when {float(share):.1%} of the leads changed",
                "unit": "s",
                "ours": night["seconds"],
                "peers": {"everybody": full["seconds"]},
                "ratio": round(full["seconds"] / night["seconds"], 2),
                "target": None,
                "met": None,
                "says": f"{night['placed']:,} leads placed ({night['changed']:,} changed with their colleagues, "
                f"{night['due']:,} due), {night['beside']:,} read; {_steps(night)}",
            }
        )
    return rows


def _steps(told: dict[str, Any]) -> str:
    """Seconds by the clock and of processor time, step by step and in all."""
    steps = [f"{name} {wall:.2f} ({cpu:.2f})" for name, (wall, cpu) in told["steps"].items()]
    return f"{', '.join(steps)}; {told['seconds']:.2f} s in all, {told['cpu']:.2f} s of processor time"


class _Laps:
    """Seconds of each step, by the clock and of processor time."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}
        self._started = time.perf_counter(), time.process_time()

    def done(self, name: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.steps[name] = round(wall - self._started[0], 3), round(cpu - self._started[1], 3)
        self._started = wall, cpu

    def told(self) -> dict[str, Any]:
        wall, cpu = (round(sum(seconds), 3) for seconds in zip(*self.steps.values(), strict=True))
        return {"seconds": wall, "cpu": cpu, "steps": self.steps}


def child() -> None:
    """Measure with `argv[1]` leads and `argv[2]` events; print what was found as JSON."""
    print(json.dumps(measured(int(sys.argv[1]), int(sys.argv[2]))))
    sys.stdout.flush()
    os._exit(0)  # DuckDB 2.0 lists every object it leaks when Python ends in the ordinary way


def measured(leads: int, events: int) -> dict[str, Any]:
    """Everything that the rows tell, after a small world has compiled what is compiled."""
    from benchmarks.membership_world import make_world
    from configs.settings import load_settings

    settings = all_approved(load_settings())
    _nights(make_world(3_000, 36_000, settings), settings)
    found = _nights(make_world(leads, events, settings), settings)
    return found | {"segments": len(settings.segments), "events": events}


def all_approved(settings: Any) -> Any:
    """The settings with every shipped definition approved, drafts too."""
    like = next(d.approval for d in settings.segments if d.approval is not None)
    approval = like.model_copy(update={"on": date(2026, 1, 1), "expires_on": date(2027, 1, 1)})
    segments = tuple(d.model_copy(update={"status": "approved", "approval": approval}) for d in settings.segments)
    return settings.model_copy(update={"segments": segments})


def _nights(tables: Any, settings: Any) -> dict[str, Any]:
    """A first night, a day later everybody, an hour later whom something changed for; and the conditions alone."""
    from dataclasses import replace

    from benchmarks.membership_world import AS_OF
    from features.columns import available_threads

    state, _, _ = _night(tables, settings, AS_OF, None)
    tomorrow = AS_OF + timedelta(days=1)
    tables = replace(tables, suppressions_complete_as_of=int(tomorrow.timestamp()) * 1_000_000)
    first, load = replace(state, marks=None), os.getloadavg()[0]
    state, full, now = _night(tables, settings, tomorrow, first)
    slowest = full["seconds"]
    for _ in range(TIMES - 1):
        del state, now  # what a run holds is no cost of the next
        state, again, now = _night(tables, settings, tomorrow, first)
        full, slowest = min(full, again, key=lambda told: told["seconds"]), max(slowest, again["seconds"])
    found: dict[str, Any] = {
        "full": full,
        "moves": full.pop("moves"),
        "times": TIMES,
        "slowest": slowest,
        "facts": sorted(now.run.asked.names),
        "nights": {},
    }
    rng = np.random.default_rng(11)
    for share in SHARES:
        leads = dict(tables.leads)
        chosen = rng.random(len(leads["lead"])) < share
        leads["role"] = np.where(chosen, leads["role"] % 20 + 1, leads["role"]).astype(np.uint8)
        _, night, _ = _night(replace(tables, leads=leads), settings, tomorrow + timedelta(hours=1), state)
        found["nights"][str(share)] = night
    found["conditions"] = _conditions(now, settings)
    return found | {"load": (load, os.getloadavg()[0]), "cores": available_threads()}


def _night(tables: Any, settings: Any, as_of: datetime, state: Any) -> tuple[Any, dict[str, Any], Any]:
    """What `leadwell segments apply` does between reading and writing: the next state, how long it took, the facts."""
    import pyarrow as pa

    from serving.memberships.apply import moves_of
    from serving.memberships.firing import watched_table
    from serving.memberships.placing import evaluate, fold_all, marks_of, of_all_others
    from serving.memberships.state import State, held_table

    laps = _Laps()
    now = evaluate(tables, settings, as_of, state)
    laps.done("facts, what fired, when due again")
    folded = fold_all(now, settings)
    laps.done("memberships")
    moves = moves_of(now, folded, settings)
    laps.done("moves")
    marks = marks_of(now, folded, state)
    laps.done("marks")
    told = laps.told() | {
        "moves": moves.num_rows, "placed": now.chosen.count, "beside": int(now.chosen.beside.sum()),
        "changed": now.chosen.changed, "due": now.chosen.due,
    }  # fmt: skip
    memberships = held_table(folded.after, folded.ids, pa.array(folded.segment_ids, pa.string()))
    watched = watched_table(now.known, now.facts, now.segment_map.domain, settings.triggers)
    others = of_all_others(now, state)
    if others is not None:
        memberships = pa.concat_tables([memberships, others.memberships])
        watched = pa.concat_tables([watched, others.watched])
    return State(Path(), as_of, memberships, watched, {}, marks), told, now


def _conditions(now: Any, settings: Any) -> dict[str, Any]:
    """Entry and exit of every segment over the same facts: ours, numpy one after the other, and SQL in DuckDB."""
    import duckdb
    import pyarrow as pa

    from features.evaluate import as_columns, as_sql
    from models.segments.columns import ConditionProgram

    map_, facts, n = now.segment_map, now.facts, now.facts.n
    domain, on = map_.domain, now.known.as_of.astimezone(UTC).date()
    asked = [c for activation in map_.activations for c in (activation.enter, activation.exit) if c is not None]
    program = ConditionProgram.of(asked, domain, on)
    columns = {name: facts.columns[name].reshape(-1) for name in program.facts if name in facts.columns}
    ours = _best(lambda: program(columns, n))
    forms = [as_columns(condition, domain, on) for condition in asked]
    alone = _best(lambda: [form(columns)[0] for form in forms])
    words: dict[str, Any] = {}
    for name in program.facts:
        codes = columns.get(name, np.full(n, domain.unknown(name), dtype=np.int32))
        if domain.is_number(name):
            words[name] = pa.array(codes, mask=codes < 0)
        else:
            values = pa.array(list(domain.facts[name].values), pa.string())
            inside = (codes > 0) & (codes <= len(values))
            words[name] = pa.DictionaryArray.from_arrays(
                pa.array(np.where(inside, codes.astype(np.int32) - 1, 0), mask=~inside), values
            )
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.register("given", pa.table(words))
        connection.execute("CREATE TABLE facts AS SELECT * FROM given")
        listed = ", ".join(f"count(*) FILTER ({as_sql(c, domain, on)}) AS c{i}" for i, c in enumerate(asked))
        query = f"SELECT {listed} FROM facts"
        theirs = _best(lambda: connection.execute(query).fetchall())
        counts = connection.execute(query).fetchall()[0]
    if list(counts) != program(columns, n).sum(axis=0).tolist():
        raise RuntimeError("DuckDB counts other members than we do")
    return {"count": len(asked), "ours": ours, "numpy": alone, "duckdb": theirs}


def _best(work: Callable[[], object], times: int = 3) -> float:
    """The fewest seconds of some runs."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return round(min(spent), 3)
