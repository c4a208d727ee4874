"""The report of segments as tables: results and money, primary KPIs, engagement, progress, content, offers."""

from __future__ import annotations

from fractions import Fraction

from training.measurement.engagement import refusals
from training.measurement.kpis import Counted, Kpis, SegmentKpis, kpis_of
from training.measurement.offers import content_sheet, offer_sheet
from training.measurement.progress import progress_sheet
from training.measurement.reading import Measured
from training.measurement.sheet import Column, Rated, Sheet, Value

NO_SEGMENT = "no segment known"
EVERYBODY = "all leads"


def segment_sheets(measured: Measured) -> list[Sheet]:
    """Every table of `leadwell report segments`."""
    kpis = kpis_of(measured)
    return [
        results_sheet(measured, kpis),
        primary_sheet(measured, kpis),
        engagement_sheet(measured, kpis),
        progress_sheet(measured),
        content_sheet(measured),
        offer_sheet(measured),
    ]


def results_sheet(measured: Measured, kpis: Kpis) -> Sheet:
    """Counts, rates, money and times, segment by segment; the total is of all leads."""
    columns = (
        Column("segment", "segment"),
        Column("leads", "leads", "count"),
        Column("mql", "new MQL", "count"),
        Column("sql", "new SQL", "count"),
        Column("booked", "booked", "count"),
        Column("lead_to_mql", "lead to MQL", "rate"),
        Column("mql_to_sql", "MQL to SQL", "rate"),
        Column("no_show", "no-show", "rate"),
        Column("spend", "spend", "money"),
        Column("cost_per_mql", "cost per MQL", "money"),
        Column("cost_per_sql", "cost per SQL", "money"),
        Column("value", "value", "money"),
        Column("return_on_spend", "return on spend", "times"),
        Column("net_return", "net return", "times"),
        Column("pipeline", "pipeline", "money"),
        Column("decided", "decided", "count"),
        Column("days_to_decision", "median days to decision", "days"),
    )
    least = measured.settings.measurement.least
    valued = kpis.total.valued > 0
    rows = tuple(_results(named(row), row.counted, row.spend_cents, least, valued) for row in kpis.segments)
    total = _results(EVERYBODY, kpis.total, kpis.spend.total, least, valued)
    says = f"{kpis.total.leads:,} leads, {kpis.total.mql:,} new MQL, {kpis.total.sql:,} new SQL"
    return Sheet(
        "segments", "Segments", says, measured.says, columns, rows,
        (*measured.notes, *_money_notes(measured, kpis), *few_notes(measured)), total,
    )  # fmt: skip


def primary_sheet(measured: Measured, kpis: Kpis) -> Sheet:
    """Each segment's primary KPI in its own words, what is computed of it, and how it came out."""
    columns = (
        Column("segment", "segment"),
        Column("primary_kpi", "primary KPI"),
        Column("measured_by", "measured by"),
        Column("primary_rate", "result", "rate"),
        Column("conversion_event", "conversion event"),
        Column("conversions", "reached it", "count"),
    )
    least = measured.settings.measurement.least
    rows: list[tuple[Value, ...]] = []
    for row in kpis.segments:
        if row.definition is None:
            continue
        rate = row.primary
        rows.append(
            (
                named(row), row.definition.primary_kpi, row.kpi_says, told(rate, least),
                row.definition.conversion_event, row.counted.converted,
            )
        )  # fmt: skip
    notes = [measured.settings.measurement.interest]
    unknown = sorted(set(measured.settings.measurement.primary) - {d.id for d in measured.settings.segments})
    if unknown:
        notes.append(f"measurement.yaml names segments that the map does not have: {', '.join(unknown)}")
    return Sheet(
        "kpis", "Primary KPI of each segment", f"{len(rows)} segments with leads in the window", measured.says, columns,
        tuple(rows), tuple(notes),
    )  # fmt: skip


def engagement_sheet(measured: Measured, kpis: Kpis) -> Sheet:
    """Whom we reached, who engaged and came back, and who went from an inquiry to a consult."""
    columns = (
        Column("segment", "segment"),
        Column("leads", "leads", "count"),
        Column("reached", "reached", "rate"),
        Column("touches", "touches", "count"),
        Column("engaged", "engaged", "rate"),
        Column("returned", "came back", "rate"),
        Column("inquiry_to_consult", "inquiry to consult", "rate"),
        Column("days_to_consult", "median days to consult", "days"),
    )
    least = measured.settings.measurement.least

    def cells(name: str, counted: Counted) -> tuple[Value, ...]:
        return (
            name, counted.leads, told(Rated(counted.reached, counted.leads), least), counted.touches,
            told(counted.rate("engagement_rate"), least), told(counted.rate("return_rate"), least),
            told(Rated(counted.consulted, counted.inquired), least), counted.days_to_consult,
        )  # fmt: skip

    notes = (
        measured.settings.measurement.interest,
        *refusals(measured, "reach"),
        *refusals(measured, "engagement"),
        *_machines(measured),
    )
    return Sheet(
        "engagement", "Engagement", measured.settings.measurement.interest, measured.says, columns,
        tuple(cells(named(row), row.counted) for row in kpis.segments), notes, cells(EVERYBODY, kpis.total),
    )  # fmt: skip


def named(row: SegmentKpis) -> str:
    """A segment as a report names it; one that the map does not have is marked."""
    if row.segment is None:
        return NO_SEGMENT
    return row.segment if row.definition is not None else f"{row.segment} (not in the map)"


def told(rate: Rated | None, least: int) -> Rated | None:
    """A rate, None where it is of fewer than the plan tells."""
    return rate if rate is not None and rate.of >= least else None


def per(cents: int, count: int) -> int | None:
    """Cents a piece, a half rounded to even; None of nothing."""
    return round(Fraction(cents, count)) if count else None


def few_notes(measured: Measured) -> tuple[str, ...]:
    """How rates of few leads are told."""
    plan = measured.settings.measurement
    return (
        f"a rate has its count and its 95 % interval; of fewer than {plan.least} it is not told, and below "
        f"{plan.few} nothing should rest on it",
    )


def _results(name: str, counted: Counted, spend: int, least: int, valued: bool) -> tuple[Value, ...]:
    returned = counted.value_cents / spend if spend and valued else None
    return (
        name, counted.leads, counted.mql, counted.sql, counted.booked, told(counted.rate("lead_to_mql"), least),
        told(counted.rate("mql_to_sql"), least), told(counted.rate("no_show"), least), spend, per(spend, counted.mql),
        per(spend, counted.sql), counted.value_cents if valued else None, returned,
        None if returned is None else returned - 1,
        counted.pipeline_cents, counted.decided, counted.days_to_decision,
    )  # fmt: skip


def _money_notes(measured: Measured, kpis: Kpis) -> tuple[str, ...]:
    spend, found = kpis.spend, []
    if not measured.campaigns:
        found.append("no campaigns were given, so nothing was spent that is known")
    if spend.unspent:
        found.append(f"{len(spend.unspent)} campaigns say no spend: {_shown(spend.unspent)}")
    if spend.undated:
        found.append(f"{len(spend.undated)} campaigns have no days, their whole spend counts: {_shown(spend.undated)}")
    if spend.unreached:
        found.append(
            f"{len(spend.unreached)} campaigns reached nobody on record; their spend is split by the sizes of the "
            f"segments they select: {_shown(spend.unreached)}"
        )
    plan = measured.settings.measurement
    if not kpis.total.valued:
        found.append("no earned value is recorded in the window, so nothing is said of a return")
    found.append(
        f"value: {', '.join(plan.value_kinds)}; pipeline: {', '.join(plan.pipeline_kinds)}; return on spend is value "
        "over spend, net return is what of that remains after the spend"
    )
    return tuple(found)


def _machines(measured: Measured) -> tuple[str, ...]:
    made = int(measured.con.sql("SELECT count(*) FROM made_by_machine").fetchall()[0][0])
    seconds = measured.settings.measurement.machine_seconds
    return (f"{made:,} acts within {seconds} seconds of our message were made by machines",) if made else ()


def _shown(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
