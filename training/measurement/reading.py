"""Tables as reports measure them: one DuckDB session over the files, in bounded memory, with every row accounted for.

Two clocks: a row counts when it was recorded by `as_of` and happened inside its window. Linked lead ids are one person;
of persons whom a stop of the plan excludes nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType

import duckdb

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.campaigns import Campaign, read_campaigns
from features.intake.scan import Source, connect, files_of, readable
from features.tables import MICROSECONDS_A_DAY, microseconds
from training.measurement.people import build_people, opened, place_leads
from training.measurement.relations import build_campaigns, build_events, build_names, build_outcomes, build_touches
from training.measurement.windows import Window

TABLES = ("leads", "touches", "events", "outcomes", "suppressions", "links", "memberships")
MEMBERSHIPS = "memberships.parquet"
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """An open session with the relations `measured_*`; a context manager that closes it.

    `counts` says table by table what became of every row read; `segments_from` where segments come from, empty where
    nobody knows any. `leads` is the relation of the leads; `stopped` are the notes on persons of whom nothing is
    measured, which are among `notes`. `memory_mb` is what its tables may take before they go to disk.
    """

    con: duckdb.DuckDBPyConnection
    settings: Settings
    window: Window
    as_of: datetime
    campaigns: tuple[Campaign, ...]
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()
    segments_from: str = ""
    lookback_days: int = 0
    kept: dict[str, object] = dataclass_field(default_factory=dict)
    leads: str = "measured_leads"
    memberships: Source | None = None
    stopped: tuple[str, ...] = ()
    memory_mb: int | None = None

    def __enter__(self) -> Measured:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.con.close()

    @property
    def says(self) -> str:
        """The window in words."""
        return self.window.says(self.as_of)

    def from_day(self, start: date) -> Measured:
        """The same session with leads in the segments of a window that begins on another day and ends with this one.

        Only `leads` (a relation as `measured_leads`), `window` and `notes` are of that window: touches and events that
        were not read are not there.
        """
        window = Window(start, self.window.end)
        cut, leads = microseconds(self.as_of), "leads_from_day"
        placed = place_leads(self.con, self.memberships, self.settings, window, cut, leads)
        return replace(self, window=window, leads=leads, notes=(*self.stopped, *placed), kept={})

    def once(self, relation: str, sql: str) -> str:
        """Make a relation of a query unless an earlier report did; gives its name."""
        if relation not in self.kept:
            self.con.execute(f"CREATE TEMP TABLE {relation} AS {sql}")
            self.kept[relation] = True
        return relation


def open_measured(
    files: Mapping[str, Path],
    settings: Settings,
    window: Window,
    as_of: datetime,
    *,
    state: Path | None = None,
    lookback_days: int = 0,
    memory_limit_mb: int | None = 2048,
    threads: int = 2,
    spill: Path | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Read the files of a report.

    Args:
        files: table -> file, folder or pattern, as from `find_files`.
        settings: vocabularies, segments, funnel and the measurement plan.
        window: the days that count.
        as_of: nothing recorded later exists.
        state: folder of `leadwell segments apply`, whose memberships are taken; else the data's own `memberships`.
        lookback_days: touches and events are read from so many days before the window on.
        memory_limit_mb: for DuckDB, which spills what does not fit; no limit when None.
        threads: for DuckDB.
        spill: folder for what does not fit; without it everything must fit.
        progress: told the table that is read and how much of the whole is done.

    Raises:
        InputInvalid: a file cannot be read, the state is none, or a campaign is there twice.
    """
    tell = progress or (lambda what, part: None)
    paths = {table: files[table] for table in TABLES if table in files}
    whence = "the data's memberships" if "memberships" in paths else ""
    if state is not None:
        paths["memberships"] = state / MEMBERSHIPS if state.is_dir() else state
        whence = f"the state {state.name}"
        if not paths["memberships"].is_file():
            raise InputInvalid(str(state), "expected the folder that `leadwell segments apply` keeps")
    campaigns = read_campaigns(files["campaigns"]) if "campaigns" in files else ()
    ids = [campaign.campaign_id for campaign in campaigns]
    for row, campaign_id in enumerate(ids, start=1):
        if campaign_id in ids[: row - 1]:
            raise InputInvalid(str(files["campaigns"]), "expected each campaign once", row=row, field="campaign_id")
    listed = [file for table, path in paths.items() for file in files_of(table, path)]
    con = connect(listed, memory_limit_mb=memory_limit_mb, threads=threads, spill=spill, ordered=False)
    try:
        found = _read(con, paths, settings, window, as_of, campaigns, whence, lookback_days, tell)
        return replace(found, memory_mb=memory_limit_mb if spill is not None else None)
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
        con.close()
        with readable(str(paths["leads"].parent)):
            raise error from None
        raise
    except BaseException:
        con.close()
        raise


def _read(
    con: duckdb.DuckDBPyConnection,
    paths: Mapping[str, Path],
    settings: Settings,
    window: Window,
    as_of: datetime,
    campaigns: tuple[Campaign, ...],
    whence: str,
    lookback_days: int,
    tell: Progress,
) -> Measured:
    cut = microseconds(as_of)
    start, end = window.start_us - lookback_days * MICROSECONDS_A_DAY, window.end_us
    sources = {table: opened(con, table, path) for table, path in paths.items()}
    counts: dict[str, dict[str, int]] = {}
    tell("leads", 0.05)
    counts["leads"], stopped = build_people(con, sources, settings, window, cut)
    notes = (*stopped, *place_leads(con, sources.get("memberships"), settings, window, cut, "measured_leads"))
    tell("outcomes", 0.25)
    for field in ("asset_id", "campaign_id"):
        build_names(con, [sources[table] for table in ("touches", "events") if table in sources], field)
    counts["outcomes"] = build_outcomes(con, sources.get("outcomes"), settings, end, cut)
    tell("touches", 0.35)
    counts["touches"] = build_touches(con, sources.get("touches"), settings, start, end, cut)
    tell("events", 0.5)
    counts["events"] = build_events(con, sources.get("events"), settings, start, end, cut)
    build_campaigns(con, campaigns)
    tell("read", 1.0)
    kept = {table: found for table, found in counts.items() if found}
    return Measured(
        con, settings, window, as_of, campaigns, kept, notes, whence, lookback_days,
        memberships=sources.get("memberships"), stopped=stopped,
    )  # fmt: skip
