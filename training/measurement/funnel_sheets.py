"""The report of the funnel: which share of the leads created in a window reaches each stage, and how soon.

The leads are those created in the window, followed to its end; who is too young is followed as long as it is known and
never counts as one that did not get there (`training/measurement/funnel.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from training.dataset.censoring import history_start
from training.measurement.funnel import EVERYBODY, MIN_LEADS, NEVER, Followed, FunnelGroup, Incidence, stage_starts
from training.measurement.people import words
from training.measurement.reading import Measured
from training.measurement.segment_sheets import NO_SEGMENT
from training.measurement.sheet import Around, Column, Sheet, Value

DEFAULT_DAYS = 365
HORIZON_DAYS = 90


def funnel_sheets(measured: Measured, horizon_days: int = HORIZON_DAYS) -> list[Sheet]:
    """Every table of `leadwell report funnel`.

    Raises:
        InputInvalid: the configuration has no funnel, or no lead was created in the window.
    """
    groups, counts = follow(measured, horizon_days)
    everybody, others = groups[0], groups[1:]
    notes = (
        f"of leads created in the window, within {horizon_days} days of their creation; followed to the window's end "
        "(Kaplan and Meier), so nobody too young counts as one that did not get there",
        *(f"{count:,} leads {what}" for what, count in counts.items() if count),
        *measured.notes,
    )
    columns = (
        Column("stage", "stage"),
        Column("leads", "leads", "count"),
        Column("reached", "reached", "count"),
        Column("at_risk", "watched without", "count"),
        Column("too_young", "too young", "count"),
        Column("share", "share", "rate"),
        Column("median_days", "median days", "days"),
        Column("from_before", "of the stage before", "rate"),
        Column("before_days", "median days from it", "days"),
        Column("implied", "by a later stage alone", "count"),
    )
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (
            row.stage, row.from_creation.leads, row.from_creation.reached, row.from_creation.without,
            row.from_creation.too_young, _share(row.from_creation), row.from_creation.median_days,
            _share(row.from_before), row.from_before.median_days, row.implied,
        )
        for row in everybody.stages
    )  # fmt: skip
    by_segment: list[tuple[Value, ...]] = []
    for group in others:
        for row in group.stages:
            way = row.from_creation
            by_segment.append(
                (
                    group.name, row.stage, way.leads, way.reached, way.without, way.too_young, _share(way),
                    way.median_days, _share(row.from_before), row.from_before.median_days,
                )
            )  # fmt: skip
    says = f"{counts['followed from their creation']:,} leads created in the window"
    return [
        Sheet("funnel", "Funnel", says, measured.says, columns, rows, notes),
        Sheet(
            "funnel_segments", "Funnel by segment", says, measured.says,
            (Column("segment", "segment"), *columns[:-1]), tuple(by_segment),
            (f"a share of fewer than {MIN_LEADS} leads is not told",),
        ),
    ]  # fmt: skip


def follow(measured: Measured, horizon_days: int) -> tuple[list[FunnelGroup], dict[str, int]]:
    """The funnel of everybody and of each segment, the largest first, and what became of every measured lead."""
    settings, window = measured.settings, measured.window
    stages = settings.targets.stages
    if not stages:
        raise InputInvalid("targets.yaml", "expected the stages of the funnel under funnel:")
    own = [settings.targets.own_kinds(stage.id) for stage in stages]
    firsts = ", ".join(
        f'min("at") FILTER (kind IN ({words(settings, "outcome_kind", kinds)})) AS {name}_{place}'
        for name, all_kinds in (("first", [stage.kinds for stage in stages]), ("own", own))
        for place, kinds in enumerate(all_kinds)
    )
    names = [f"{name}_{place}" for name in ("first", "own") for place in range(len(stages))]
    columns = ", ".join(f"coalesce(f.{name}, {NEVER}) AS {name}" for name in names)
    found = measured.con.sql(
        f"SELECT l.created, coalesce(l.segment, '') AS segment, {columns} FROM {measured.leads} l "
        f"LEFT JOIN (SELECT person, {firsts} FROM measured_outcomes GROUP BY 1) f USING (person) "
        f"WHERE l.created >= {window.start_us}"
    ).to_arrow_table()
    total = int(measured.con.sql(f"SELECT count(*) FROM {measured.leads}").fetchall()[0][0])
    undated = int(measured.con.sql(f"SELECT count(*) FROM {measured.leads} WHERE created IS NULL").fetchall()[0][0])
    created = found["created"].to_numpy()
    first = [found[f"first_{place}"].to_numpy() for place in range(len(stages))]
    first_own = [found[f"own_{place}"].to_numpy() for place in range(len(stages))]
    begins = [_begin(measured, kinds) for kinds in own]
    since = stage_starts(begins)
    begun = min((start for start in since if start is not None), default=window.end_us + 1)
    older = created < begun
    earlier = ~older & (first[0] < created)
    used = ~older & ~earlier
    counts = {
        "followed from their creation": int(used.sum()),
        "were created before the window": total - undated - len(created),
        "were created before outcomes were recorded": int(older.sum()),
        "had an outcome before their creation": int(earlier.sum()),
        "have no creation on record": undated,
    }
    if not used.any():
        raise InputInvalid(
            "--from",
            "expected a window with leads created since outcomes are recorded, found none: give an earlier day",
        )
    followed = Followed(stages, created, first, first_own, since, begins, window.end_us, horizon_days)
    groups = [followed.group(EVERYBODY, used)]
    encoded = found["segment"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    sizes = np.bincount(codes[used], minlength=len(encoded.dictionary))
    ids = encoded.dictionary.to_pylist()
    order = sorted(np.flatnonzero(sizes).tolist(), key=lambda place: (not ids[place], -sizes[place], ids[place]))
    groups += [followed.group(ids[place] or NO_SEGMENT, used & (codes == place)) for place in order]
    return groups, counts


def _begin(measured: Measured, kinds: tuple[str, ...]) -> int | None:
    """Since when outcomes of these kinds were recorded, as declared or as found; None where there never was one."""
    settings = measured.settings
    declared = settings.targets.history.outcomes_from
    at: NDArray[np.int64] = (
        measured.con.sql(
            f'SELECT "at" FROM measured_outcomes WHERE kind IN ({words(settings, "outcome_kind", kinds)})'
        ).to_arrow_table()["at"]
    ).to_numpy()
    if not len(at):
        return None
    if declared is not None:
        return int(np.datetime64(declared, "us").astype(np.int64))
    return history_start(at, measured.window.end_us)


def _share(way: Incidence) -> Around | None:
    if way.share is None or way.low is None or way.high is None:
        return None
    return Around(way.share, way.low, way.high)
