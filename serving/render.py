"""A decision in words: the answer of `POST /v1/score`, made from columns that are already decided.

Nothing is decided here, and this is the only place that rounds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from configs.content import Asset
from features.pipeline import FeatureSpec
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT
from models.scores import SEGMENT_FEATURE
from policy.rulings import ERROR_BIT, Rulings, rule
from serving.actions import NO_ACTION, QUEUE_KEYS
from serving.decide import Decisions, rows_of

PROBABILITY_DIGITS, LOG_ODDS_DIGITS = 6, 12
EFFECTS = ("forbid", "reroute", "review", "suppress_until", "limit_content")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEPT_REASONS = 100_000
NO_LEGAL_BASIS: dict[str, Any] = {
    "rule": "NO_LEGAL_BASIS",
    "reason": "NO_LEGAL_BASIS",
    "effect": "forbid",
    "says": "No permit surely holds for this lead on this channel.",
    "basis": "Leadwell policy, semantics 4",
    "because": [],
}
REPLAY_BLOCK: dict[str, Any] = {
    "rule": "REPLAY",
    "reason": "REPLAY_GRANTS_NO_PERMIT",
    "effect": "forbid",
    "says": "This answers for an earlier instant, so it permits nothing now.",
    "basis": "Leadwell: consent gates at the time of processing",
    "because": [],
}


def render(decisions: Decisions, row: int) -> dict[str, Any]:
    """The answer about one lead, as plain values, without an audit id."""
    decider = decisions.decider
    no_score = bool(decisions.rulings.no_score[row])
    points = decisions.points
    grades: tuple[Any, Any] = (None, None) if no_score else points.grades(row)
    ruled, at = _ruled(decisions, row)
    channels = _channels(decisions, row, ruled, at)
    band = "unknown" if no_score else decider.readiness.band_name(int(decisions.scores.band[row]))
    return {
        "lead_id": str(decisions.known.lead_ids[row]),
        "as_of": instant(decisions.as_of),
        "segments": [] if no_score else _segments(decisions, row),
        "fit": {"points": None if no_score else int(points.fit[row]), "grade": grades[0]},
        "engagement": {"points": None if no_score else int(points.engagement[row]), "grade": grades[1]},
        "readiness": _unscored(ruled, at) if no_score else _readiness(decisions, row, band),
        "channels": channels,
        "next_best_action": _action(decisions, row, band, channels),
        "route": _route(decisions, row, band),
        "freshness": _freshness(decisions, row),
        "versions": versions(decisions),
    }


def versions(decisions: Decisions) -> dict[str, str]:
    """What an answer rests on: the bundle, the segment map, the policy of the day, the feature set."""
    decider = decisions.decider
    return {
        "bundle": decider.bundle_id,
        "segments": decider.segment_map.hash,
        "policy": decisions.book.hash,
        "features": decider.spec.version,
    }


def instant(moment: datetime) -> str:
    """An instant in UTC, to the second where it has no fraction."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def instant_of(micros: int) -> str | None:
    """An instant from its microseconds, None where unknown."""
    return None if micros == UNKNOWN_INSTANT else instant(_EPOCH + timedelta(microseconds=micros))


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


def audit_record(rendered: dict[str, Any], subject: str, now: datetime) -> dict[str, Any]:
    """What the audit keeps of an answer: codes, versions and the pseudonym; no personal value and no float."""
    readiness, action = rendered["readiness"], rendered["next_best_action"]
    probability = readiness["probability"]
    return {
        "kind": "decision",
        "audit_id": rendered["audit_id"],
        "at": instant(now),
        "as_of": rendered["as_of"],
        "subject": subject,
        "versions": rendered["versions"],
        "segments": [segment["id"] for segment in rendered["segments"]],
        "band": readiness["band"],
        "probability": None if probability is None else f"{probability:.6f}",
        "channels": {
            channel: answer["permits"] if answer["permitted"] else [block["rule"] for block in answer["blocks"]]
            for channel, answer in rendered["channels"].items()
        },
        "permitted": [channel for channel, answer in rendered["channels"].items() if answer["permitted"]],
        "action": [action["action"], action["channel"], action["asset_id"]],
        "queue": rendered["route"]["queue"].split("/", 1)[0],
    }


def _ruled(decisions: Decisions, row: int) -> tuple[Rulings, int]:
    """Rulings that can explain a lead, and its row in them."""
    if decisions.ruled is not None:
        return decisions.ruled, row
    return rule(decisions.book, rows_of(decisions.facts, row, row + 1)), 0


def _segments(decisions: Decisions, row: int) -> list[dict[str, Any]]:
    members, map_ = decisions.members, decisions.decider.segment_map
    primary = int(members.primary[row])
    return [
        {
            "id": members.segment_ids[segment],
            "version": members.versions[segment],
            "primary": segment == primary,
            "entered_at": instant_of(int(members.entered_at[row, segment])),
            "because": map_.because(decisions.facts, row, segment),
        }
        for segment in members.segments_of(row)
    ]


def _readiness(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    scores, decider = decisions.scores, decisions.decider
    contributions = scores.contributions[row]
    top = np.argsort(-np.abs(contributions), kind="stable")[: decider.settings.serving.drivers_shown].tolist()
    values = contributions.tolist()
    spec, names = decider.spec, decider.readiness.names
    shown = [column for column in top if values[column] != 0.0]
    features = decisions.features.matrix[row]
    drivers = []
    for column in shown:
        own = column < len(spec.features)
        value = float(features[column]) if own else float(decisions.members.primary[row])
        drivers.append(
            {
                "feature": names[column],
                "value": driver_value(spec, decisions.members.segment_ids, column, value),
                "contribution": round(values[column], LOG_ODDS_DIGITS),
                "says": spec.features[column].says if own else "The lead's primary segment",
            }
        )
    groups: dict[str, float] = dict.fromkeys(("fit", "engagement", "account", SEGMENT_FEATURE), 0.0)
    for group, value in zip(decider.readiness.groups, values, strict=True):
        groups[group] += value
    rest = sum(values) - sum(values[column] for column in shown)
    found = {
        "probability": round(float(scores.probability[row]), PROBABILITY_DIGITS),
        "interval": [
            round(float(scores.lower[row]), PROBABILITY_DIGITS),
            round(float(scores.upper[row]), PROBABILITY_DIGITS),
        ],
        "band": band,
        "model": scores.model_id(row),
        "log_odds": round(float(scores.log_odds[row]), LOG_ODDS_DIGITS),
        "base": round(float(scores.base[row]), LOG_ODDS_DIGITS),
        "calibration": {"a": round(float(scores.a[row]), 9), "b": round(float(scores.b[row]), 9)},
        "groups": {group: round(value, LOG_ODDS_DIGITS) for group, value in groups.items()},
        "rest": round(rest, LOG_ODDS_DIGITS),
        "drivers": drivers,
    }
    reason = decider.readiness.reason_name(int(scores.reason[row]))
    return found | ({"reason": reason} if reason else {})


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
    rulings, ids = decisions.rulings, decisions.facts.assets
    permitted, assets = rulings.permitted[row].tolist(), rulings.asset[row].tolist()
    until = instant(valid_until(decisions)) if any(permitted) else None
    for c, channel in enumerate(decisions.book.channels):
        if permitted[c]:
            passing = [ids[a] for a in np.flatnonzero(rulings.passes[row, :, c]).tolist()]
            permits = ruled.permit_ids(at, assets[c], c)
            found[channel] = {"permitted": True, "permits": permits, "asset_ids": passing, "valid_until": until}
            continue
        blocks = _reasons(decisions, ruled, at, assets[c], c)
        if decisions.replay:
            blocks = [REPLAY_BLOCK, *blocks]
        effects = [effect for effect in EFFECTS if any(block["effect"] == effect for block in blocks)]
        found[channel] = {
            "permitted": False,
            "effect": effects[0] if effects else "forbid",
            "effects": effects,
            "asset_id": ids[assets[c]],
            "blocks": blocks,
        }
    return found


def _reasons(decisions: Decisions, ruled: Rulings, at: int, asset: int, channel: int) -> list[dict[str, Any]]:
    """Every reason against, strongest first, as `Rulings.explain` gives it.

    An entry depends on its rule and on the codes of the facts that rule looks at, and on nothing else; so it is kept.
    """
    kept, book = decisions.decider.reasons, decisions.book
    mask = int(ruled.blocks[at, asset, channel])
    found: list[dict[str, Any]] = []
    if mask >> ERROR_BIT:
        return ruled.explain(at, asset, channel)
    for bit, one in enumerate(book.rules):
        if not mask >> bit & 1:
            continue
        key = (book.hash, one.id, *[_code(ruled, fact, at, asset, channel) for fact in one.facts])
        entry = kept.get(key)
        if entry is None:
            entry = next(e for e in ruled.explain(at, asset, channel) if e["rule"] == one.id)
            if len(kept) >= KEPT_REASONS:
                kept.clear()
            kept[key] = entry
        found.append(entry)
    found.sort(key=_strength)
    if ruled.permits[at, asset, channel] == 0:
        found.append(NO_LEGAL_BASIS)
    return found


def _strength(entry: dict[str, Any]) -> tuple[int, str]:
    return EFFECTS.index(entry["effect"]), entry["rule"]


def _code(ruled: Rulings, fact: str, lead: int, asset: int, channel: int) -> int:
    column = ruled.facts.get(fact)
    if column is None:
        return -1
    leads, assets, channels = column.shape
    return int(column[lead if leads > 1 else 0, asset if assets > 1 else 0, channel if channels > 1 else 0])


def valid_until(decisions: Decisions) -> datetime:
    """Until when a permit and an action hold: some hours, and never past the day whose parameters were used."""
    hours = decisions.decider.settings.actions.valid_hours
    return decisions.as_of + timedelta(hours=hours)


def _action(decisions: Decisions, row: int, band: str, channels: dict[str, Any]) -> dict[str, Any]:
    chosen, decider = decisions.chosen, decisions.decider
    asset_row, channel_row = int(chosen.asset[row]), int(chosen.channel[row])
    if asset_row == NO_ACTION:
        key = QUEUE_KEYS[int(chosen.queue[row])]
        action = "owner_follow_up" if key == "meeting" else "none"
        return {
            "action": action,
            "channel": None,
            "asset_id": None,
            "expires_at": None,
            "because": _missing(channels) if action == "none" else [["meeting_booked", "known", "yes"]],
        }
    asset: Asset | None = decider.assets[asset_row] if asset_row < len(decider.assets) else None
    channel = decisions.book.channels[channel_row]
    return {
        "action": decider.plan.verb(asset, channel),
        "channel": channel,
        "asset_id": asset.asset_id if asset else None,
        "expires_at": instant(valid_until(decisions)),
        "because": [
            ["segment", "known", decisions.members.segment_ids[int(decisions.members.primary[row])]],
            ["band", "unknown" if band == "unknown" else "known", band],
            ["stage", "known", decider.settings.actions.stages[int(chosen.stage[row])]],
        ],
    }


def _missing(channels: dict[str, Any]) -> list[list[Any]]:
    """The unknown facts that stop some channel, each with where to supply it; known reasons where none is missing."""
    unknown: dict[str, list[Any]] = {}
    known: dict[str, list[Any]] = {}
    for answer in channels.values():
        for block in answer.get("blocks", ()):
            for because in block["because"]:
                (unknown if because[1] == "unknown" else known).setdefault(because[0], because)
    return list((unknown or known).values())


def _route(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    key = int(decisions.chosen.queue[row])
    territories = decisions.known.leads.get("territory")
    territory = territories[row] if territories is not None else None
    said = ["band", "unknown" if band == "unknown" else "known", band]
    because = _QUEUE_FACTS.get(QUEUE_KEYS[key], said)
    return {"queue": decisions.decider.plan.queue(key, territory), "because": [because]}


_QUEUE_FACTS: dict[str, list[Any]] = {
    "no_score": ["no_score", "known", "yes"],
    "adverse_event": ["adverse_event_open", "known", "yes"],
    "off_label": ["off_label_open", "known", "yes"],
    "meeting": ["meeting_booked", "known", "yes"],
    "patient": ["audience", "known", "patient or caregiver"],
}


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
