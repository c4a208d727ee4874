"""Content and offers by segment: what was given to whom, who engaged with it, and what became of them.

Who got which offer was chosen, not drawn: a difference here is a question for a controlled test, not its answer.
"""

from __future__ import annotations

from collections import defaultdict

from models.shares import Share, newcombe, z_for
from training.measurement.engagement import acts, refusals
from training.measurement.reading import Measured
from training.measurement.sheet import Around, Column, Rated, Sheet, Value
from training.measurement.spend import channel_filter
from training.measurement.stages import lead_stages

NO_SEGMENT = "no segment known"


def content_sheet(measured: Measured) -> Sheet:
    """For each segment and asset: leads it was given to, those of them who engaged with it after, and others."""
    window, least = measured.window, measured.settings.measurement.least
    rows = measured.con.sql(
        "WITH given AS ("
        'SELECT person, asset, "at" AS sent, NULL::BIGINT AS acted FROM measured_touches '
        f'WHERE asset IS NOT NULL AND "at" >= {window.start_us} AND "at" < {window.end_us} '
        f"AND {channel_filter(measured, 'content', 'channel')} UNION ALL "
        f'SELECT e.person, e.asset, NULL, e."at" FROM {acts(measured)} AND e.asset IS NOT NULL '
        f"AND {channel_filter(measured, 'content', 'event_channel', 'e.channel')}), "
        "pairs AS (SELECT person, asset, min(sent) AS sent, max(acted) AS acted FROM given GROUP BY 1, 2) "
        "SELECT l.segment, CAST(asset AS VARCHAR), count(sent), count(*) FILTER (acted >= sent), "
        "count(*) FILTER (sent IS NULL) FROM pairs "
        "JOIN measured_leads l USING (person) GROUP BY 1, 2 ORDER BY 3 DESC, 1 NULLS LAST, 2"
    ).fetchall()
    columns = (
        Column("segment", "segment"),
        Column("asset", "content"),
        Column("given", "leads given it", "count"),
        Column("engaged", "engaged with it after", "rate"),
        Column("by_themselves", "found it by themselves", "count"),
    )
    shown: tuple[tuple[Value, ...], ...] = tuple(
        (segment or NO_SEGMENT, asset, given, Rated(hits, given) if given >= least else None, alone)
        for segment, asset, given, hits, alone in rows
    )
    notes = (measured.settings.measurement.interest, *refusals(measured, "content"))
    return Sheet(
        "content", "Content by segment", measured.settings.measurement.interest, measured.says, columns, shown, notes
    )


def offer_sheet(measured: Measured) -> Sheet:
    """Leads by the offer they were given first in the window, and how many reached their conversion event after it.

    The difference is to the segment's leads with other offers; its interval allows for as many questions as are asked.
    """
    lead_stages(measured)
    window, least = measured.window, measured.settings.measurement.least
    rows = measured.con.sql(
        'WITH offers AS (SELECT t.person, t."at", coalesce(CAST(t.asset AS VARCHAR), CASE WHEN len(c.offers) = 1 '
        "THEN c.offers[1] END) AS offer FROM measured_touches t "
        "LEFT JOIN measured_campaigns c ON c.campaign = CAST(t.campaign AS VARCHAR) "
        f'WHERE t."at" >= {window.start_us} AND t."at" < {window.end_us} '
        f"AND {channel_filter(measured, 'offers', 'channel', 't.channel')}), "
        'given AS (SELECT person, arg_min(offer, ("at", offer)) AS offer, min("at") AS first_at FROM offers '
        "WHERE offer IS NOT NULL GROUP BY 1) "
        "SELECT s.segment, g.offer, count(*), count(*) FILTER (s.converted_at >= g.first_at) FROM given g "
        "JOIN lead_stages s USING (person) WHERE s.segment IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    whole: dict[str, Share] = defaultdict(lambda: Share(0, 0))
    for segment, _, given, hits in rows:
        whole[segment] = Share(whole[segment].hits + hits, whole[segment].of + given)
    compared = {
        (segment, offer) for segment, offer, given, _ in rows if given >= least and whole[segment].of - given >= least
    }
    z = z_for(len(compared))
    shown: list[tuple[Value, ...]] = []
    for segment, offer, given, hits in rows:
        gap = None
        if (segment, offer) in compared:
            own, others = Share(hits, given), Share(whole[segment].hits - hits, whole[segment].of - given)
            gap = Around(own.rate - others.rate, *newcombe(own, others, z))
        shown.append((segment, offer, given, Rated(hits, given) if given >= least else None, gap))
    columns = (
        Column("segment", "segment"),
        Column("offer", "first offer"),
        Column("leads", "leads", "count"),
        Column("converted", "reached the conversion event after it", "rate"),
        Column("difference", "difference to other offers", "points"),
    )
    notes = (
        "who got which offer was chosen, not drawn: test a difference with `leadwell report test` before resting on it",
        f"intervals of differences allow for {len(compared)} questions asked at once",
        *refusals(measured, "offers"),
    )
    return Sheet(
        "offers", "Offers compared", "by the first offer of the window", measured.says, columns, tuple(shown), notes
    )
