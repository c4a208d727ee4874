"""How far along the sales cycle the leads of each segment are, and who moved on in the window."""

from __future__ import annotations

from training.measurement.reading import Measured
from training.measurement.sheet import Column, Rated, Sheet, Value
from training.measurement.stages import lead_stages, stage_column


def progress_sheet(measured: Measured) -> Sheet:
    """For each segment: where its leads stand at the window's end, and how many moved on in it."""
    lead_stages(measured)
    stages, start = measured.settings.targets.funnel, measured.window.start_us
    columns = [stage_column(stage) for stage in stages]
    # A stage's own first instant is never after that of a later one, so the last one that is known is the furthest.
    standing = ", ".join(
        f"count(*) FILTER ({column} IS NOT NULL{''.join(f' AND {later} IS NULL' for later in columns[place + 1 :])})"
        for place, column in enumerate(columns)
    )
    moved = " OR ".join(f"coalesce({column} >= {start}, false)" for column in columns) or "false"
    none = " AND ".join(f"{column} IS NULL" for column in columns) or "true"
    rows = measured.con.sql(
        f"SELECT grouping(segment) = 1, segment, count(*), count(*) FILTER ({none}), {standing or '0'}, "
        f"count(*) FILTER ({moved}) FROM lead_stages GROUP BY GROUPING SETS ((segment), ())"
    ).fetchall()
    shown = (
        Column("segment", "segment"),
        Column("leads", "leads", "count"),
        Column("at_none", "at no stage", "count"),
        *(Column(f"at_{stage}", f"at {stage}", "count") for stage in stages),
        Column("moved_on", "moved on in the window", "rate"),
    )
    least = measured.settings.measurement.least

    def cells(name: str, row: tuple[int, ...]) -> tuple[Value, ...]:
        leads, moved_on = row[0], row[-1]
        return (name, leads, *row[1:-1], Rated(moved_on, leads) if leads >= least else None)

    others = sorted((row for row in rows if not row[0]), key=lambda row: (row[1] is None, -row[2], row[1] or ""))
    total = next((cells("all leads", row[2:]) for row in rows if row[0]), None)
    return Sheet(
        "progress", "Progress along the sales cycle", "where leads stand at the window's end", measured.says, shown,
        tuple(cells(row[1] or "no segment known", row[2:]) for row in others),
        ("a stage counts as reached when it, or any later one, is recorded",), total,
    )  # fmt: skip
