"""The measurement plan: what may be counted on which channel, what a booking or a return is, and each segment's KPI.

A metric that the plan does not allow on a channel is not computed there, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "measurement.yaml"
Metric = Literal["reach", "engagement", "content", "offers", "attribution"]
Kpi = Literal[
    "conversion_rate",
    "conversion_accounts",
    "engagement_rate",
    "engaged_accounts",
    "return_rate",
    "kept_rate",
    "no_show",
    "lead_to_mql",
    "mql_to_sql",
    "placed_rate",
]
# What a KPI says of itself in a report.
SAYS: Mapping[Kpi, str] = {
    "conversion_rate": "leads that reached the segment's conversion event",
    "conversion_accounts": "accounts in which a lead reached the segment's conversion event",
    "engagement_rate": "leads that engaged with content",
    "engaged_accounts": "accounts in which a lead engaged with content",
    "return_rate": "of the leads that engaged, those that came back on another day",
    "kept_rate": "of the leads with a booking, those that missed none",
    "no_show": "of the leads with a booking, those that missed one",
    "lead_to_mql": "of the leads not there before, those that became an MQL or went further",
    "mql_to_sql": "of the new MQL, those that became an SQL or went further",
    "placed_rate": "leads that another segment took in",
}


class ChannelPlan(Section):
    """Which metrics are computed on a channel; `says` is why the others are not."""

    allows: tuple[Metric, ...]
    says: str = ""


class SegmentKpi(Section):
    """The computable metric behind a segment's primary KPI; not `exact` where it only stands in for it."""

    metric: Kpi
    exact: bool = False


class MeasurementPlan(Section):
    """What a report may compute and what its words mean.

    `stages` names the funnel stages (targets.yaml) that reports call MQL, SQL and booked. `few` marks a rate of fewer
    than so many, `least` leaves it out. `machine_seconds`: a click this soon after our message was made by a machine.
    """

    interest: str = "Engagement is interest, not prescribing."
    few: int = Field(ge=1, default=10)
    least: int = Field(ge=1, default=3)
    channels: Mapping[str, ChannelPlan] = Field(default_factory=dict)
    unknown_channel: tuple[Metric, ...] = ("reach",)
    engaging: tuple[str, ...] = ()
    machine_agents: tuple[str, ...] = ()
    machine_seconds: int = Field(ge=0, le=86_400, default=0)
    unmeasured: tuple[str, ...] = ()
    mql_stage: str = "mql"
    sql_stage: str = "sql"
    booked_stage: str = "meeting"
    no_show_kinds: tuple[str, ...] = ("no_show",)
    inquiry_kinds: tuple[str, ...] = ("inquiry",)
    consult_kinds: tuple[str, ...] = ("consult",)
    decision_kinds: tuple[str, ...] = ("converted", "lost")
    value_kinds: tuple[str, ...] = ("converted",)
    pipeline_kinds: tuple[str, ...] = ("opportunity", "proposal", "quote")
    education_kpi: Kpi = "engagement_rate"
    account_kpi: Kpi = "conversion_accounts"
    lead_kpi: Kpi = "conversion_rate"
    primary: Mapping[str, SegmentKpi] = Field(default_factory=dict)

    def allows(self, metric: Metric, channel: str | None) -> bool:
        """Whether a metric is computed on a channel; one that the plan does not name counts as unknown."""
        plan = self.channels.get(channel) if channel is not None else None
        return metric in (plan.allows if plan is not None else self.unknown_channel)

    def channels_for(self, metric: Metric) -> tuple[str, ...]:
        """Named channels on which a metric is computed, in the plan's order."""
        return tuple(channel for channel, plan in self.channels.items() if metric in plan.allows)

    def refused(self, metric: Metric) -> tuple[tuple[str, str], ...]:
        """Named channels on which a metric is not computed, each with the reason."""
        return tuple((channel, plan.says) for channel, plan in self.channels.items() if metric not in plan.allows)

    def kpi_of(self, segment_id: str, *, unit: str, purpose: str) -> SegmentKpi:
        """The metric of a segment's primary KPI: its own, else that of its kind of segment, which only stands in."""
        own = self.primary.get(segment_id)
        if own is not None:
            return own
        if purpose == "medical_education":
            return SegmentKpi(metric=self.education_kpi)
        return SegmentKpi(metric=self.account_kpi if unit == "account" else self.lead_kpi)


def measurement_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What the plan names that does not exist: channels, kinds, agents, stages.

    Segments are not asked for: a map may be replaced whole, and the report says which KPI stands for nothing.
    """
    plan: MeasurementPlan = found.get("measurement") or MeasurementPlan()
    words = found["vocabularies"]
    channels = (*words["channel"].values, *words["event_channel"].values)
    outcomes, targets = words["outcome_kind"].values, found["targets"].targets
    named: list[tuple[str, Any, Any]] = [
        ("channels", plan.channels, channels),
        ("engaging", plan.engaging, words["event_kind"].values),
        ("machine_agents", plan.machine_agents, words["agent"].values),
        ("unmeasured", plan.unmeasured, words["suppression_reason"].values),
    ]
    kinds = ("no_show_kinds", "inquiry_kinds", "consult_kinds", "decision_kinds", "value_kinds", "pipeline_kinds")
    named += [(key, getattr(plan, key), outcomes) for key in kinds]
    funnel = found["targets"].funnel
    stages = [(key, getattr(plan, key)) for key in ("mql_stage", "sql_stage", "booked_stage")]
    for key, given, allowed in named:
        for value in given:
            if value not in allowed:
                yield Problem(FILE, f"{key}.{value}", "expected a name that is declared; nothing is named so")
    for kind in sorted(set(plan.value_kinds) & set(plan.pipeline_kinds)):
        yield Problem(FILE, "pipeline_kinds", f"{kind} is a return already; its value would count twice")
    if len(funnel) and targets:
        for key, stage in stages:
            if stage not in funnel:
                yield Problem(FILE, key, f"expected a stage of the funnel: {', '.join(funnel)}")
        order = [funnel.index(stage) for _, stage in stages if stage in funnel]
        if order != sorted(set(order)):
            yield Problem(FILE, "mql_stage", "expected the stages of MQL, SQL and booked in the order of the funnel")
