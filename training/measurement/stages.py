"""One row a lead with the first instant of every funnel stage, its money and its decision, by a window's end.

A stage counts as reached when it, or any later one, is recorded, as in `leadwell funnel`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from configs.settings import Settings
from training.measurement.people import words
from training.measurement.reading import Measured


def stage_column(stage: str) -> str:
    """The column of a stage in `lead_stages`: the first microsecond at which it is known as reached, NULL if never."""
    return f"first_{stage}"


def lead_stages(measured: Measured) -> str:
    """Make `lead_stages`: a row for every measured lead.

    Columns: person, segment (NULL: none known), account, product, created, `first_STAGE` for every stage of the
    funnel, and of the window: booked, missed (yes or no), value_cents and pipeline_cents (NULL where none is on
    record), converted_at (the segment's own conversion event), decided_at (the first decision ever, where it falls into
    the window), inquired_at, consulted_at (the first consult from the inquiry on).
    """
    if "lead_stages" in measured.kept:
        return "lead_stages"
    settings, window = measured.settings, measured.window
    plan = settings.measurement
    _conversions(measured, settings)
    inside = f'o."at" >= {window.start_us}'

    def of(kinds: Sequence[str]) -> str:
        return f"o.kind IN ({words(settings, 'outcome_kind', kinds)})"

    firsts = ", ".join(
        f'min(o."at") FILTER ({of(stage.kinds)}) AS {stage_column(stage.id)}' for stage in settings.targets.stages
    )
    booked = settings.targets.own_kinds(plan.booked_stage)
    decision = f"{of(plan.decision_kinds)} OR CAST(o.kind AS VARCHAR) = c.conversion"
    measured.con.execute(
        "CREATE TEMP TABLE reached AS SELECT o.person, "
        f"{firsts}, "
        f"coalesce(bool_or({of((*booked, *plan.no_show_kinds))} AND {inside}), false) AS booked, "
        f"coalesce(bool_or({of(plan.no_show_kinds)} AND {inside}), false) AS missed, "
        f"sum(o.value_cents) FILTER ({of(plan.value_kinds)} AND {inside}) AS value_cents, "
        f"sum(o.value_cents) FILTER ({of(plan.pipeline_kinds)} AND {inside}) AS pipeline_cents, "
        f'min(o."at") FILTER (CAST(o.kind AS VARCHAR) = c.conversion AND {inside}) AS converted_at, '
        f'min(o."at") FILTER ({decision}) AS first_decision, '
        f'min(o."at") FILTER ({of(plan.inquiry_kinds)} AND {inside}) AS inquired_at, '
        f'list(o."at") FILTER ({of(plan.consult_kinds)} AND {inside}) AS consults '
        "FROM measured_outcomes o JOIN measured_leads l ON l.person = o.person "
        "LEFT JOIN segment_conversions c ON c.segment = l.segment GROUP BY 1"
    )
    stages = ", ".join(f"r.{stage_column(stage)}" for stage in settings.targets.funnel)
    return measured.once(
        "lead_stages",
        f"SELECT l.person, l.segment, l.account, l.product, l.created, l.segments, {stages}, "
        "coalesce(r.booked, false) AS booked, coalesce(r.missed, false) AS missed, "
        "r.value_cents, r.pipeline_cents, r.converted_at, "
        f"CASE WHEN r.first_decision >= {window.start_us} THEN r.first_decision END AS decided_at, r.inquired_at, "
        "list_min(list_filter(r.consults, lambda t: t >= r.inquired_at)) AS consulted_at "
        "FROM measured_leads l LEFT JOIN reached r ON r.person = l.person",
    )


def _conversions(measured: Measured, settings: Settings) -> None:
    """Make `segment_conversions(segment, conversion)`, of outcomes that exist alone."""
    known = settings.vocabularies["outcome_kind"].values
    rows = {d.id: d.conversion_event for d in settings.segments if d.conversion_event in known}
    given = pa.table(
        {"segment": pa.array(list(rows), pa.string()), "conversion": pa.array(list(rows.values()), pa.string())}
    )
    measured.con.register("given_conversions", given)
    measured.con.execute("CREATE TEMP TABLE segment_conversions AS SELECT * FROM given_conversions")
    measured.con.unregister("given_conversions")
