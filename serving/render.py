"""A decision in words: the answer of `POST /v1/score`, made from columns that are already decided.

Nothing is decided here, and this is the only place that rounds.
"""

from __future__ import annotations

from datetime import UTC
from itertools import compress
from typing import Any

import numpy as np

from features.pipeline import FeatureSpec
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Merged
from models.scorecard import LogEntry
from policy.masks import as_numbers
from policy.rulings import Rulings, rule
from serving.actions.next_action import action, route
from serving.decide import GROUPS, Decisions
from serving.further import further_entries
from serving.handover.qualification import qualification
from serving.instants import instant as instant
from serving.instants import instant_of as instant_of
from serving.journey import journey
from serving.kernels import largest
from serving.lead_rows import rows_of
from serving.nurture.words import nurture

PROBABILITY_DIGITS, LOG_ODDS_DIGITS = 6, 12


def render(decisions: Decisions, row: int) -> dict[str, Any]:
    """The answer about one lead, as plain values, without an audit id."""
    decider = decisions.decider
    no_score = bool(decisions.rulings.no_score[row])
    points = decisions.points
    grades: tuple[Any, Any] = (None, None) if no_score else points.grades(row)
    fit_log, engagement_log = ((), ()) if no_score else points.log(row)
    ruled, at = _ruled(decisions, row)
    channels = _channels(decisions, row, ruled, at)
    band = "unknown" if no_score else decider.readiness.band_name(int(decisions.scores.band[row]))
    routed = route(decisions, row, band)
    answer = {
        "lead_id": str(decisions.known.lead_ids[row]),
        "as_of": instant(decisions.as_of),
        "segments": [] if no_score else _segments(decisions, row),
        "fit": {"points": None if no_score else int(points.fit[row]), "grade": grades[0], "log": _log(fit_log)},
        "engagement": {
            "points": None if no_score else int(points.engagement[row]),
            "grade": grades[1],
            "suspect_share": None if no_score else _known(decisions.suspect_share.item(row)),
            "log": _log(engagement_log),
        },
        "readiness": _unscored(ruled, at) if no_score else readiness(decisions, row, band),
        "channels": channels,
        "next_best_action": action(decisions, row, band, channels),
        "journey": journey(decisions, row),
        "nurture": nurture(decisions, row),
        "route": routed,
        "qualification": qualification(decisions, row, routed),
        "assignment": _assignment(decisions, row),
        "freshness": _freshness(decisions, row),
        "withheld": [] if decisions.known.withheld is None else decisions.known.withheld.of(row),
        "versions": versions(decisions),
    }
    if decisions.known.merged is not None:
        answer |= _identity(decisions, decisions.known.merged, row)
    return answer


def _log(entries: tuple[LogEntry, ...]) -> list[dict[str, Any]]:
    return [{"id": entry.id, "points": entry.points, "says": entry.says} for entry in entries]


def _identity(decisions: Decisions, merged: Merged, row: int) -> dict[str, Any]:
    """Whose record speaks for a person with several, which ones were merged into it, and on what evidence."""
    others = np.flatnonzero((merged.survivor == merged.survivor[row]) & merged.away)
    if not len(others):
        return {}
    survivor = int(merged.survivor[row])
    names = decisions.known.lead_ids
    evidence = evidence_words(decisions, int(merged.evidence[survivor]))
    return {
        "identity": {
            "lead_id": str(names[survivor]),
            "merged": sorted(str(names[other]) for other in others.tolist()),
            "evidence": evidence,
        }
    }


def evidence_words(decisions: Decisions, bits: int) -> list[str]:
    """The words of the evidence whose codes are set."""
    words = ("unknown", *decisions.decider.settings.vocabularies["link_evidence"].values)
    return [word for code, word in enumerate(words) if bits >> code & 1]


def versions(decisions: Decisions) -> dict[str, str]:
    """What an answer rests on."""
    return decisions.decider.versions(decisions.book)


def driver_value(spec: FeatureSpec, segment_ids: tuple[str, ...], column: int, value: float) -> Any:
    """A feature's value as people read it: a word for a code, an integer where it is one, None where unknown."""
    if value != value:
        return None
    if column >= len(spec.features):
        return segment_ids[int(value)]
    if spec.features[column].categorical:
        words = spec.categories[spec.features[column].name]
        code = int(value)
        return words[code - 1] if 0 < code <= len(words) else None
    return int(value) if value == int(value) else round(value, PROBABILITY_DIGITS)


def _assignment(decisions: Decisions, row: int) -> dict[str, Any]:
    words = decisions.assigned.words(row)
    return {k: round(v, PROBABILITY_DIGITS) if isinstance(v, float) else v for k, v in words.items()}


def _known(share: float) -> float | None:
    return None if share != share else round(share, PROBABILITY_DIGITS)


def _ruled(decisions: Decisions, row: int) -> tuple[Rulings, int]:
    """Rulings that can explain a lead, and its row in them."""
    if decisions.ruled is not None:
        return decisions.ruled, row
    return rule(decisions.book, rows_of(decisions.facts, row, row + 1)), 0


def _segments(decisions: Decisions, row: int) -> list[dict[str, Any]]:
    members, decider = decisions.members, decisions.decider
    primary, rules, on = int(members.primary[row]), decider.statuses, decisions.as_of.astimezone(UTC).date()
    deciding, purposes, overlays = decisions.deciding[row].tolist(), decider.purposes, decider.segment_map.overlays
    found = []
    for segment in members.segments_of(row):
        by = deciding[purposes[segment]]
        one = {
            "id": members.segment_ids[segment],
            "version": members.versions[segment],
            "primary": segment == primary,
            "entered_at": instant_of(members.entered_at.item(row, segment)),
            "entry": members.entry.item(row, segment),
            "status": rules.membership(by),
            "because": decider.reasons.entry(decider.segment_map, decisions.told, row, segment, on),
        }
        if by >= 0:
            one["status_reason"] = rules.statuses[by].id
        if overlays[segment]:
            one["overlay"] = True
        found.append(one)
    return found


def readiness(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    """How ready a lead that may be scored is, with what speaks for and against it."""
    return (_cold if decisions.decider.cold else _readiness)(decisions, row, band)


def _cold(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    """Readiness while nothing was learned: the band of the grid of points, and no number."""
    return {
        "probability": None,
        "interval": None,
        "band": band,
        "reason": decisions.decider.readiness.reason_name(decisions.scores.reason.item(row)),
        "model": decisions.scores.model_id(row),
        "drivers": [],
    }


def _readiness(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    scores, decider = decisions.scores, decisions.decider
    top, sums = np.empty(decider.settings.serving.drivers_shown, dtype=np.int64), np.empty(len(GROUPS) + 1)
    count = largest(scores.contributions, row, decider.group_codes, top, sums)
    *groups, rest = sums.tolist()
    spec, names = decider.spec, decider.readiness.names
    drivers = []
    for column in top[:count].tolist():
        own = column < len(spec.features)
        value = decisions.features.matrix.item(row, column) if own else decisions.members.primary.item(row)
        drivers.append(
            {
                "feature": names[column],
                "value": driver_value(spec, decisions.members.segment_ids, column, value),
                "contribution": round(scores.contributions.item(row, column), LOG_ODDS_DIGITS),
                "says": spec.features[column].says if own else "The lead's primary segment",
            }
        )
    found = {
        "probability": round(scores.probability.item(row), PROBABILITY_DIGITS),
        "interval": [
            round(scores.lower.item(row), PROBABILITY_DIGITS),
            round(scores.upper.item(row), PROBABILITY_DIGITS),
        ],
        "band": band,
        "model": scores.model_id(row),
        "log_odds": round(scores.log_odds.item(row), LOG_ODDS_DIGITS),
        "base": round(scores.base.item(row), LOG_ODDS_DIGITS),
        "calibration": {"a": round(scores.a.item(row), 9), "b": round(scores.b.item(row), 9)},
        "groups": {group: round(value, LOG_ODDS_DIGITS) for group, value in zip(GROUPS, groups, strict=True)},
        "rest": round(rest, LOG_ODDS_DIGITS),
        "drivers": drivers,
    }
    reason = decider.readiness.reason_name(scores.reason.item(row))
    if reason:
        found["reason"] = reason
    if decisions.further:
        found["further"] = further_entries(decisions, row)
    return found


def _unscored(ruled: Rulings, at: int) -> dict[str, Any]:
    return {
        "probability": None,
        "interval": None,
        "band": "unknown",
        "reason": "NO_SCORE",
        "model": None,
        "drivers": [],
        "blocks": ruled.explain_score(at),
    }


def _channels(decisions: Decisions, row: int, ruled: Rulings, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rulings, ids, said = decisions.rulings, decisions.facts.assets, decisions.decider.reasons
    permitted, assets = rulings.permitted[row].tolist(), rulings.asset[row].tolist()
    blocks, permits = as_numbers(rulings.blocks[row]), as_numbers(rulings.permits[row])
    ends = decisions.permits_end[row].tolist()
    for c, channel in enumerate(decisions.book.channels):
        if permitted[c]:
            found[channel] = {
                "permitted": True,
                "permits": said.permits(decisions.book, permits[c]),
                "asset_ids": list(compress(ids, rulings.passes[row, :, c].tolist())),
                "valid_until": instant_of(ends[c]),
            }
            continue
        against = said.against(ruled, (at, assets[c], c), blocks[c], permits[c], decisions.replay)
        found[channel] = {
            "permitted": False,
            "effect": against.effects[0] if against.effects else "forbid",
            "effects": against.effects,
            "asset_id": ids[assets[c]],
            "blocks": against.blocks,
        }
    return found


def _freshness(decisions: Decisions, row: int) -> dict[str, Any]:
    known, builder = decisions.known, decisions.decider.builder
    verified = known.leads.get("verified_at")
    verified_at = int(verified[row]) if verified is not None else UNKNOWN_INSTANT
    complete = known.suppressions_complete_as_of
    stale = []
    if complete == UNKNOWN_INSTANT or known.as_of_us - complete > builder.feed_max_age_days * MICROSECONDS_A_DAY:
        stale.append("suppressions")
    age = builder.jurisdiction_max_age_days * MICROSECONDS_A_DAY
    if verified_at != UNKNOWN_INSTANT and known.as_of_us - verified_at > age:
        stale.append("verified_at")
    return {
        "newest_event_at": instant_of(int(known.newest_event_at[row])),
        "verified_at": instant_of(verified_at),
        "stale": stale,
    }
