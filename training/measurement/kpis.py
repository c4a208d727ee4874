"""KPIs of each segment in a window: counts, rates, money, times, and the segment's own primary KPI.

A lead counts once, in the segment it was in first during the window. A stage is new when it is reached in the window
for the first time, by itself or by the record of a later stage.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from configs.definitions import SegmentDefinition
from configs.measurement import SAYS, Kpi, SegmentKpi
from configs.settings import Settings
from training.measurement.engagement import DAY, engaged
from training.measurement.reading import Measured
from training.measurement.sheet import Rated
from training.measurement.spend import Spend, channel_filter, split_spend
from training.measurement.stages import lead_stages, stage_column


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of some leads in a window; money in cents, medians in days, None where there is none.

    `fresh` leads were no MQL before the window; `mql` and `sql` are new in it; `mql_to_sql` are the new MQL that are an
    SQL by its end. `booked` leads had a booking or missed one. `returned` engaged on another day again. `placed` were
    in a further segment too. `valued` have an earned value on record, be it nothing.
    """

    leads: int
    fresh: int
    mql: int
    sql: int
    mql_to_sql: int
    booked: int
    missed: int
    converted: int
    value_cents: int
    pipeline_cents: int
    decided: int
    days_to_decision: float | None
    inquired: int
    consulted: int
    days_to_consult: float | None
    reached: int
    touches: int
    engaged: int
    returned: int
    accounts: int
    accounts_engaged: int
    accounts_converted: int
    placed: int
    valued: int

    def rate(self, kpi: Kpi) -> Rated:
        """Hits and base of a rate of the plan; `SAYS` has it in words."""
        hits, of = {
            "conversion_rate": (self.converted, self.leads),
            "conversion_accounts": (self.accounts_converted, self.accounts),
            "engagement_rate": (self.engaged, self.leads),
            "engaged_accounts": (self.accounts_engaged, self.accounts),
            "return_rate": (self.returned, self.engaged),
            "kept_rate": (self.booked - self.missed, self.booked),
            "no_show": (self.missed, self.booked),
            "lead_to_mql": (self.mql, self.fresh),
            "mql_to_sql": (self.mql_to_sql, self.mql),
            "placed_rate": (self.placed, self.leads),
        }[kpi]
        return Rated(hits, of)


@dataclass(frozen=True, slots=True)
class SegmentKpis:
    """One segment's row: what was counted, what was spent on it, and its primary KPI; None: no segment known."""

    segment: str | None
    definition: SegmentDefinition | None
    counted: Counted
    spend_cents: int
    kpi: SegmentKpi | None

    @property
    def primary(self) -> Rated | None:
        """The primary KPI, None where the segment is not in the map."""
        return self.counted.rate(self.kpi.metric) if self.kpi is not None else None

    @property
    def kpi_says(self) -> str:
        """What the primary KPI is computed as, and whether that only stands in for its words."""
        if self.kpi is None:
            return ""
        return SAYS[self.kpi.metric] + ("" if self.kpi.exact else " (stands in for it)")


@dataclass(frozen=True, slots=True)
class Kpis:
    """The KPIs of every segment with a lead or a cent in the window, the largest first, and of all leads together."""

    segments: tuple[SegmentKpis, ...]
    total: Counted
    spend: Spend


def kpis_of(measured: Measured) -> Kpis:
    """Count every segment in the window.

    INVARIANT: the counts of leads and of money of all rows add up to those of the total.
    """
    kept = measured.kept.get("kpis")
    if isinstance(kept, Kpis):
        return kept
    settings = measured.settings
    rows = measured.con.sql(_query(measured)).fetchall()
    accounts = _accounts(measured)
    counted = {row[1]: replace(_counted(row[2:]), **accounts.get((False, row[1]), {})) for row in rows if not row[0]}
    total = next((_counted(row[2:]) for row in rows if row[0]), _counted((0,) * len(fields(Counted))))
    total = replace(total, **accounts.get((True, None), {}))
    spend = split_spend(measured)
    definitions = {d.id: d for d in settings.segments}
    names = {*counted, *(segment for (_, segment), cents in spend.cents.items() if cents)}
    found_rows = [
        SegmentKpis(
            name,
            definitions.get(name or ""),
            counted.get(name) or _counted((0,) * len(fields(Counted))),
            spend.of_segment(name),
            _kpi(settings, definitions.get(name or "")),
        )
        for name in names
    ]
    found_rows.sort(key=lambda row: (row.segment is None, -row.counted.leads, row.segment or ""))
    kpis = Kpis(tuple(found_rows), total, spend)
    measured.kept["kpis"] = kpis
    return kpis


def _kpi(settings: Settings, definition: SegmentDefinition | None) -> SegmentKpi | None:
    if definition is None:
        return None
    return settings.measurement.kpi_of(definition.id, unit=definition.unit, purpose=definition.purpose)


def _counted(row: tuple[object, ...]) -> Counted:
    floats = {"days_to_decision", "days_to_consult"}
    given = dict(zip((one.name for one in fields(Counted)), row, strict=True))
    return Counted(
        **{
            name: (None if value is None or not given["leads"] else float(value))  # type: ignore[arg-type]
            if name in floats
            else int(value or 0)  # type: ignore[call-overload]
            for name, value in given.items()
        }
    )


def _accounts(measured: Measured) -> dict[tuple[bool, str | None], dict[str, int]]:
    """The accounts of each segment and of all leads, those with a lead that engaged, those with one that converted."""
    names = ("accounts", "accounts_engaged", "accounts_converted")
    counts = "count(*), count(*) FILTER (engaged), count(*) FILTER (converted)"
    ways = "bool_or(engaged) AS engaged, bool_or(converted) AS converted"
    rows = measured.con.sql(
        f"WITH own AS (SELECT segment, account, {ways} FROM (SELECT s.segment, s.account, e.returned IS NOT NULL AS "
        "engaged, s.converted_at IS NOT NULL AS converted FROM lead_stages s LEFT JOIN engaged e USING (person) "
        f"WHERE s.account IS NOT NULL) GROUP BY 1, 2) SELECT false, segment, {counts} FROM own GROUP BY 2 "
        f"UNION ALL SELECT true, NULL, {counts} FROM (SELECT account, {ways} FROM own GROUP BY 1)"
    ).fetchall()
    return {(row[0], row[1]): dict(zip(names, row[2:], strict=True)) for row in rows}


def _query(measured: Measured) -> str:
    """One row a segment and one of all leads, with the fields of Counted in their order but for `_accounts`."""
    lead_stages(measured)
    engaged(measured)
    plan, window = measured.settings.measurement, measured.window
    measured.once(
        "touched",
        f'SELECT person, count(*) AS touches FROM measured_touches WHERE "at" >= {window.start_us} '
        f'AND "at" < {window.end_us} AND {channel_filter(measured, "reach", "channel")} GROUP BY 1',
    )
    mql, sql = (f"s.{stage_column(stage)}" for stage in (plan.mql_stage, plan.sql_stage))
    start = window.start_us
    took = f"s.decided_at // {DAY} - s.created // {DAY}"
    consult = f"s.consulted_at // {DAY} - s.inquired_at // {DAY}"
    return f"""
        SELECT grouping(s.segment) = 1, s.segment, count(*),
          count(*) FILTER (coalesce({mql} >= {start}, true)),
          count(*) FILTER ({mql} >= {start}),
          count(*) FILTER ({sql} >= {start}),
          count(*) FILTER ({mql} >= {start} AND {sql} IS NOT NULL),
          count(*) FILTER (s.booked), count(*) FILTER (s.missed), count(s.converted_at),
          coalesce(sum(s.value_cents), 0), sum(s.pipeline_cents),
          count(*) FILTER (s.decided_at >= s.created), median({took}) FILTER (s.decided_at >= s.created),
          count(s.inquired_at), count(s.consulted_at), median({consult}),
          count(t.touches), sum(t.touches), count(e.returned), count(*) FILTER (e.returned),
          0, 0, 0,
          count(*) FILTER (s.segments > 1), count(s.value_cents)
        FROM lead_stages s LEFT JOIN touched t USING (person) LEFT JOIN engaged e USING (person)
        GROUP BY GROUPING SETS ((s.segment), ())
    """
