"""Behind what moved: who came and went, and which rules newly stop or no longer stop whom. Leads are paired by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from features.intake.scan import connect, literal
from training.monitoring.results import Result
from training.monitoring.watch import Watch

MEMORY_MB, THREADS = 1_024, 2
TOP = 3


def causes_of(earlier: Result, later: Result, moved: Sequence[Watch]) -> Mapping[str, tuple[str, ...]]:
    """For the leads themselves, and for each permit, segment and band that moved, what the paired leads show.

    Names are those of the watches with their kind before them; `leads` is who came and went.
    """
    with closing(
        connect((*earlier.parts, *later.parts), memory_limit_mb=MEMORY_MB, threads=THREADS, spill=None)
    ) as con:
        found = {"leads": _came_and_went(con, earlier, later)}
        for watch in moved:
            if watch.kind == "permit":
                found[f"permit {watch.name}"] = _permit(con, earlier, later, watch)
            elif watch.kind == "segment" and watch.measure == "share":
                found[f"segment {watch.name}"] = _segment(con, earlier, later, watch)
            elif watch.kind == "band" and not watch.name.startswith("because "):
                found[f"band {watch.name}"] = _band(con, earlier, later, watch)
    return {name: tuple(texts) for name, texts in found.items() if texts}


def _came_and_went(con: Any, earlier: Result, later: Result) -> list[str]:
    (came, went) = con.execute(
        f"SELECT count(*) FILTER (o.lead_id IS NULL), count(*) FILTER (n.lead_id IS NULL) FROM"
        f" (SELECT lead_id FROM {_rows(earlier)}) o FULL JOIN (SELECT lead_id FROM {_rows(later)}) n USING (lead_id)"
    ).fetchall()[0]
    return [f"{came:,} came", f"{went:,} went"] if came or went else []


def _permit(con: Any, earlier: Result, later: Result, watch: Watch) -> list[str]:
    """Of those that lost the permit, the rules that stop them now; of those that got it, the rules of before."""
    permitted, rules = f"{watch.name}_permitted", f"{watch.name}_rules"
    has_rules = rules in earlier.columns and rules in later.columns
    wanted = f"lead_id, {permitted} AS allowed" + (f", {rules} AS rules" if has_rules else ", NULL::VARCHAR[] AS rules")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE changed AS SELECT n.allowed AS gained,"
        f" CASE WHEN n.allowed THEN o.rules ELSE n.rules END AS rules FROM (SELECT {wanted} FROM {_rows(earlier)}) o"
        f" JOIN (SELECT {wanted} FROM {_rows(later)}) n USING (lead_id) WHERE o.allowed <> n.allowed"
    )
    found = []
    for gained, verb, now in ((False, "lost it", "stopped by"), (True, "got it", "was stopped by")):
        count = con.execute("SELECT count(*) FROM changed WHERE gained = ?", [gained]).fetchall()[0][0]
        if not count:
            continue
        by = con.execute(
            "SELECT rule, count(*) AS leads FROM (SELECT unnest(rules) AS rule FROM changed WHERE gained = ?)"
            " GROUP BY rule ORDER BY leads DESC, rule LIMIT ?",
            [gained, TOP],
        ).fetchall()
        told = ", ".join(f"{rule} {leads:,}" for rule, leads in by)
        found.append(f"{count:,} {verb}" + (f", {now}: {told}" if told else ""))
    return found


def _segment(con: Any, earlier: Result, later: Result, watch: Watch) -> list[str]:
    held = f"lead_id, coalesce(list_contains(segments, {literal(watch.name)}), false) AS held"
    return _flow(con, _held(con, earlier, later, held), "entered", "left")


def _band(con: Any, earlier: Result, later: Result, watch: Watch) -> list[str]:
    held = f"lead_id, coalesce(band, 'unknown') = {literal(watch.name)} AS held"
    return _flow(con, _held(con, earlier, later, held), "moved into it", "moved out of it")


def _held(con: Any, earlier: Result, later: Result, wanted: str) -> tuple[int, ...]:
    row: tuple[int, ...] = con.execute(
        "SELECT count(*) FILTER (o.lead_id IS NOT NULL AND n.held AND NOT o.held),"
        " count(*) FILTER (n.lead_id IS NOT NULL AND o.held AND NOT n.held),"
        " count(*) FILTER (o.lead_id IS NULL AND n.held), count(*) FILTER (n.lead_id IS NULL AND o.held)"
        f" FROM (SELECT {wanted} FROM {_rows(earlier)}) o"
        f" FULL JOIN (SELECT {wanted} FROM {_rows(later)}) n ON o.lead_id = n.lead_id"
    ).fetchall()[0]
    return row


def _flow(con: Any, counts: tuple[int, ...], into: str, out: str) -> list[str]:
    words = (into, out, "are new leads", "are gone from the data")
    return [f"{count:,} {word}" for count, word in zip(counts, words, strict=True) if count]


def _rows(result: Result) -> str:
    return f"read_parquet([{', '.join(literal(str(part.resolve())) for part in result.parts)}])"
