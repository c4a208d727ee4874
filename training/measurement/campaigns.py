"""Campaigns: what each spent, whom it reached and what came of it, and that segments and campaigns add up to the same.

An outcome of the window belongs to the campaign that reached its lead first in the window, by then; without one it
belongs to none. So every outcome and every cent is in exactly one campaign and in exactly one segment.
`leadwell report attribution` credits every touch of a path instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.intake.campaigns import Campaign
from training.measurement.kpis import kpis_of
from training.measurement.people import words
from training.measurement.reading import Measured
from training.measurement.segment_sheets import NO_SEGMENT, few_notes, named, per, told
from training.measurement.sheet import Column, Rated, Sheet, Value
from training.measurement.spend import NO_CAMPAIGN, Spend, campaign_reach, reached_leads, split_spend
from training.measurement.stages import lead_stages, stage_column

_NOBODY = "no campaign"


@dataclass(frozen=True, slots=True)
class CampaignCell:
    """What belongs to one campaign (empty: none) and one segment (None: none known) in the window; money in cents."""

    campaign: str
    segment: str | None
    leads: int
    mql: int
    sql: int
    booked: int
    value_cents: int


@dataclass(frozen=True, slots=True)
class CampaignResults:
    """Every cell, the spend, how many leads each campaign reached, and how many of them it did not select."""

    cells: tuple[CampaignCell, ...]
    spend: Spend
    reached: Mapping[str, int]
    beside: Mapping[str, int]

    def of(self, campaign: str) -> tuple[int, int, int, int, int]:
        """Leads, new MQL, new SQL, booked leads and cents of value of a campaign."""
        return _sum([cell for cell in self.cells if cell.campaign == campaign])

    def of_segment(self, segment: str | None) -> tuple[int, int, int, int, int]:
        """The same of a segment."""
        return _sum([cell for cell in self.cells if cell.segment == segment])


def campaign_results(measured: Measured) -> CampaignResults:
    """Place every lead, outcome and cent of the window with one campaign and one segment.

    INVARIANT: cells add up to the counts of `kpis_of`, segment by segment and in all.
    """
    lead_stages(measured)
    campaign_reach(measured)
    plan, start = measured.settings.measurement, measured.window.start_us
    mql, sql = (stage_column(stage) for stage in (plan.mql_stage, plan.sql_stage))
    booked = [*measured.settings.targets.own_kinds(plan.booked_stage), *plan.no_show_kinds]
    kinds, values = (words(measured.settings, "outcome_kind", given) for given in (booked, plan.value_kinds))
    facts = f"""
        SELECT person, segment, NULL::BIGINT AS moment, 'leads' AS what, 1::HUGEINT AS n FROM lead_stages
        UNION ALL SELECT person, segment, {mql}, 'mql', 1 FROM lead_stages WHERE {mql} >= {start}
        UNION ALL SELECT person, segment, {sql}, 'sql', 1 FROM lead_stages WHERE {sql} >= {start}
        UNION ALL SELECT l.person, any_value(l.segment), min(o."at"), 'booked', 1 FROM measured_outcomes o
          JOIN measured_leads l USING (person) WHERE o."at" >= {start} AND o.kind IN ({kinds}) GROUP BY 1
        UNION ALL SELECT l.person, l.segment, o."at", 'value', o.value_cents FROM measured_outcomes o
          JOIN measured_leads l USING (person)
          WHERE o."at" >= {start} AND o.kind IN ({values}) AND o.value_cents IS NOT NULL
    """
    rows = measured.con.sql(
        "WITH since AS (SELECT person, min(first_at) AS first_at FROM campaign_reach GROUP BY 1), "
        "first_reach AS (SELECT r.person, min(r.campaign) AS campaign, any_value(r.first_at) AS first_at "
        "FROM campaign_reach r JOIN since s ON s.person = r.person AND s.first_at = r.first_at GROUP BY 1) "
        "SELECT coalesce(CASE WHEN f.moment IS NULL OR r.first_at <= f.moment THEN CAST(r.campaign AS VARCHAR) END, "
        f"'{NO_CAMPAIGN}'), "
        "f.segment, f.what, sum(f.n) FROM (" + facts + ") f LEFT JOIN first_reach r USING (person) GROUP BY 1, 2, 3"
    ).fetchall()
    found: dict[tuple[str, str | None], dict[str, int]] = {}
    for campaign, segment, what, n in rows:
        found.setdefault((campaign, segment), {})[what] = int(n)
    cells = [
        CampaignCell(campaign, segment, *(parts.get(what, 0) for what in ("leads", "mql", "sql", "booked", "value")))
        for (campaign, segment), parts in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]
    selected = {campaign.campaign_id: campaign.segment_ids for campaign in measured.campaigns}
    reached: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    for campaign, segment, leads in reached_leads(measured):
        reached[campaign] += leads
        if selected.get(campaign) and segment not in selected[campaign]:
            beside[campaign] += leads
    return CampaignResults(tuple(cells), split_spend(measured), reached, beside)


def campaign_sheets(measured: Measured) -> list[Sheet]:
    """Every table of `leadwell report campaigns`."""
    found = campaign_results(measured)
    return [_campaigns(measured, found), _by_segment(measured, found), reconciliation_sheet(measured, found)]


def _campaigns(measured: Measured, found: CampaignResults) -> Sheet:
    columns = (
        Column("campaign", "campaign"),
        Column("name", "name"),
        Column("goal", "goal"),
        Column("reached", "reached", "count"),
        Column("beside", "outside its segments", "rate"),
        Column("leads", "reached first", "count"),
        Column("mql", "new MQL", "count"),
        Column("sql", "new SQL", "count"),
        Column("booked", "booked", "count"),
        Column("spend", "spend", "money"),
        Column("cost_per_mql", "cost per MQL", "money"),
        Column("cost_per_sql", "cost per SQL", "money"),
        Column("value", "value", "money"),
        Column("return_on_spend", "return on spend", "times"),
    )
    known = {campaign.campaign_id: campaign for campaign in measured.campaigns}
    named_in_data = {cell.campaign for cell in found.cells} - {NO_CAMPAIGN} | set(found.reached)
    rows = [_row(measured, found, campaign_id, known) for campaign_id in sorted(set(known) | named_in_data)]
    rows.append(_row(measured, found, NO_CAMPAIGN, known))
    total = _sum(found.cells)
    spent, valued = found.spend.total, kpis_of(measured).total.valued > 0
    strangers = sorted(named_in_data - set(known))
    notes = [
        "an outcome belongs to the campaign that reached its lead first in the window and by then, else to none; "
        "`leadwell report attribution` credits every touch instead",
        *measured.notes,
        *few_notes(measured),
    ]
    if found.spend.unspent:
        notes.append(f"{len(found.spend.unspent)} campaigns say no spend: {_some(found.spend.unspent)}")
    if strangers:
        notes.append(
            f"{len(strangers)} campaigns of touches or events are not in the campaigns file: {_some(strangers)}"
        )
    return Sheet(
        "campaigns", "Campaigns", f"{len(known)} campaigns", measured.says, columns, tuple(rows), tuple(notes),
        ("all", "", "", None, None, *total[:4], spent, per(spent, total[1]), per(spent, total[2]),
         total[4] if valued else None, total[4] / spent if spent and valued else None),
    )  # fmt: skip


def _row(
    measured: Measured, found: CampaignResults, campaign_id: str, known: Mapping[str, Campaign]
) -> tuple[Value, ...]:
    leads, mql, sql, booked, value = found.of(campaign_id)
    valued = kpis_of(measured).total.valued > 0
    campaign = known.get(campaign_id)
    # Of a campaign that says no spend, or that nobody listed, nobody knows what a lead cost: that is not nothing.
    spent = found.spend.of_campaign(campaign_id) if campaign and campaign.spend_cents is not None else None
    reached = found.reached.get(campaign_id) if campaign_id else None
    beside = Rated(found.beside.get(campaign_id, 0), reached) if reached and campaign and campaign.segment_ids else None
    each = (None, None) if spent is None else (per(spent, mql), per(spent, sql))
    return (
        campaign_id or _NOBODY, campaign.name if campaign else "", campaign.goal if campaign else "", reached,
        told(beside, measured.settings.measurement.least), leads, mql, sql, booked, spent, *each,
        value if valued else None, value / spent if spent and valued else None,
    )  # fmt: skip


def _by_segment(measured: Measured, found: CampaignResults) -> Sheet:
    columns = (
        Column("campaign", "campaign"),
        Column("segment", "segment"),
        Column("leads", "reached first", "count"),
        Column("mql", "new MQL", "count"),
        Column("sql", "new SQL", "count"),
        Column("booked", "booked", "count"),
        Column("spend", "spend", "money"),
        Column("value", "value", "money"),
    )
    cells = {(cell.campaign, cell.segment): cell for cell in found.cells}
    keys = sorted(
        set(cells) | {key for key, cents in found.spend.cents.items() if cents},
        key=lambda key: (key[0] == NO_CAMPAIGN, key[0], key[1] is None, key[1] or ""),
    )
    rows: list[tuple[Value, ...]] = []
    for key in keys:
        cell = cells.get(key) or CampaignCell(*key, 0, 0, 0, 0, 0)
        rows.append(
            (
                cell.campaign or _NOBODY, cell.segment or NO_SEGMENT, cell.leads, cell.mql, cell.sql, cell.booked,
                found.spend.cents.get(key, 0), cell.value_cents,
            )
        )  # fmt: skip
    return Sheet(
        "campaign_segments", "Campaigns by segment",
        "spend is split by the leads reached, with the largest remainders", measured.says, columns, tuple(rows),
    )  # fmt: skip


def reconciliation_sheet(measured: Measured, found: CampaignResults) -> Sheet:
    """Each total told twice: as the sum over segments and as the sum over campaigns; the difference is nothing."""
    kpis = kpis_of(measured)
    by_campaign = (*_sum(found.cells), found.spend.total)
    by_segment = (
        sum(row.counted.leads for row in kpis.segments),
        sum(row.counted.mql for row in kpis.segments),
        sum(row.counted.sql for row in kpis.segments),
        sum(row.counted.booked for row in kpis.segments),
        sum(row.counted.value_cents for row in kpis.segments),
        sum(row.spend_cents for row in kpis.segments),
    )
    names = ("leads", "new MQL", "new SQL", "booked leads", "value in cents", "spend in cents")
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (name, segments, campaigns, segments - campaigns)
        for name, segments, campaigns in zip(names, by_segment, by_campaign, strict=True)
    )
    columns = (
        Column("what", "what"),
        Column("segments", "sum over segments", "count"),
        Column("campaigns", "sum over campaigns", "count"),
        Column("difference", "difference", "count"),
    )
    amiss = [str(row[0]) for row in rows if row[3]]
    says = "segments and campaigns add up to the same" if not amiss else f"{', '.join(amiss)} do not add up"
    spent = ", ".join(f"{named(row)} {row.spend_cents / 100:,.2f}" for row in kpis.segments if row.spend_cents)
    return Sheet(
        "reconciliation",
        "Reconciliation",
        says,
        measured.says,
        columns,
        rows,
        (f"spend by segment: {spent}",) if spent else (),
    )


def _sum(cells: Sequence[CampaignCell]) -> tuple[int, int, int, int, int]:
    return (
        sum(cell.leads for cell in cells),
        sum(cell.mql for cell in cells),
        sum(cell.sql for cell in cells),
        sum(cell.booked for cell in cells),
        sum(cell.value_cents for cell in cells),
    )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
