"""What campaigns spent in a window, whom they reached in it, and each segment's part of it to the cent.

A campaign's spend is spread evenly over its days; the parts of windows that follow each other add up to the whole. In a
window it is split by the leads it reached, with the largest remainders (Hamilton's method), so that segments and
campaigns add up to the same cent.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from configs.measurement import Metric
from features.intake.campaigns import Campaign
from training.measurement.people import words
from training.measurement.reading import Measured
from training.measurement.windows import Window

Key = TypeVar("Key", bound=Hashable)
NO_CAMPAIGN = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """Cents by campaign and segment (None: of leads without a known segment, or of nobody).

    `undated` campaigns have no day on which they begin or end, so that their whole spend counts in any window;
    `unspent` ones say no spend; `unreached` ones reached nobody on record and are split by the sizes of what they
    select.
    """

    cents: Mapping[tuple[str, str | None], int]
    undated: tuple[str, ...]
    unspent: tuple[str, ...]
    unreached: tuple[str, ...]

    def of_campaign(self, campaign: str) -> int:
        """Cents of one campaign in the window."""
        return sum(cents for (one, _), cents in self.cents.items() if one == campaign)

    def of_segment(self, segment: str | None) -> int:
        """Cents of one segment in the window."""
        return sum(cents for (_, one), cents in self.cents.items() if one == segment)

    @property
    def total(self) -> int:
        """Cents of the window."""
        return sum(self.cents.values())


def split_cents(total: int, weights: Mapping[Key, int]) -> dict[Key, int]:
    """A whole number split in proportion to weights, which must not all be 0; ties go to the first key.

    INVARIANT: the parts add up to the total, and each is within one of its exact share.
    """
    everything = sum(weights.values())
    exact = {key: Fraction(total * weight, everything) for key, weight in weights.items()}
    parts = {key: share.numerator // share.denominator for key, share in exact.items()}
    left = total - sum(parts.values())
    by_remainder = sorted(weights, key=lambda key: parts[key] - exact[key])
    for key in by_remainder[:left]:
        parts[key] += 1
    return parts


def window_cents(campaign: Campaign, window: Window) -> int:
    """What a campaign spent in a window: by days, rounded so that windows that follow each other add up to the whole.

    A campaign without an end is one of the day it began; without a beginning, of the day it ended.
    """
    if campaign.spend_cents is None:
        return 0
    first, last = campaign.started_on or campaign.ended_on, campaign.ended_on or campaign.started_on
    if first is None or last is None:
        return campaign.spend_cents
    if last < first:
        first = last
    before, by_end = window.overlap(first, last)
    length = (last - first).days + 1
    return campaign.spend_cents * by_end // length - campaign.spend_cents * before // length


def campaign_reach(measured: Measured) -> str:
    """Make `campaign_reach(person, campaign, first_at)`: whom each campaign reached in the window, and since when.

    A touch counts on channels where the plan allows reach, an event with the campaign's id where it allows attribution.
    """
    window = measured.window
    reached = channel_filter(measured, "reach", "channel")
    came = channel_filter(measured, "attribution", "event_channel")
    days = f'"at" >= {window.start_us} AND "at" < {window.end_us} AND campaign IS NOT NULL'
    return measured.once(
        "campaign_reach",
        'SELECT person, campaign, min("at") AS first_at FROM ('
        f'SELECT person, campaign, "at" FROM measured_touches WHERE {days} AND {reached} '
        f'UNION ALL SELECT person, campaign, "at" FROM measured_events WHERE {days} AND {came}) GROUP BY 1, 2',
    )


def reached_leads(measured: Measured) -> list[tuple[str, str | None, int]]:
    """Campaign, segment (None: none known) and how many leads of it the campaign reached, in their order."""
    campaign_reach(measured)
    kept = measured.kept.get("reached_leads")
    if not isinstance(kept, list):
        kept = measured.con.sql(
            "SELECT CAST(campaign AS VARCHAR), segment, leads FROM (SELECT r.campaign, l.segment, count(*) AS leads "
            "FROM campaign_reach r JOIN measured_leads l USING (person) GROUP BY 1, 2) ORDER BY 1, 2 NULLS LAST"
        ).fetchall()
        measured.kept["reached_leads"] = kept
    return kept


def split_spend(measured: Measured) -> Spend:
    """Every campaign's spend in the window, split over the segments of the leads it reached."""
    kept = measured.kept.get("spend")
    if isinstance(kept, Spend):
        return kept
    sizes = dict(measured.con.sql("SELECT segment, count(*) FROM measured_leads GROUP BY 1").fetchall())
    reached: dict[str, dict[str | None, int]] = {}
    for name, segment, count in reached_leads(measured):
        reached.setdefault(name, {})[segment] = count
    cents: dict[tuple[str, str | None], int] = {}
    unreached = []
    for campaign in measured.campaigns:
        spent = window_cents(campaign, measured.window)
        weights = reached.get(campaign.campaign_id, {})
        if spent and not weights:
            unreached.append(campaign.campaign_id)
            weights = {segment: sizes[segment] for segment in sorted(campaign.segment_ids) if sizes.get(segment)}
        shares: dict[str | None, int] = weights or {None: 1}
        for segment, part in split_cents(spent, shares).items():
            cents[campaign.campaign_id, segment] = part
    spend = Spend(
        cents,
        tuple(c.campaign_id for c in measured.campaigns if c.spend_cents and not (c.started_on or c.ended_on)),
        tuple(c.campaign_id for c in measured.campaigns if c.spend_cents is None),
        tuple(unreached),
    )
    measured.kept["spend"] = spend
    return spend


def channel_filter(measured: Measured, metric: Metric, vocabulary: str, column: str = "channel") -> str:
    """SQL that keeps rows on channels where the plan allows a metric; `vocabulary` is that of the column."""
    plan = measured.settings.measurement
    unknown = f" OR {column} IS NULL" if plan.allows(metric, None) else ""
    return (
        f"(coalesce({column} IN ({words(measured.settings, vocabulary, plan.channels_for(metric))}), false){unknown})"
    )
