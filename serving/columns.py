"""Decisions as Arrow tables: one row a lead, the CRM's columns, and the counts of the summary. No loop over leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.evaluate import reading
from features.use.withheld import Withheld
from models.bands import REASONS
from models.segments.statuses import NONE
from policy.masks import Masks, as_numbers, fires, has, mark, words_of
from policy.rulings import EFFECT_ORDER
from serving.account_columns import account_ids, account_segments
from serving.actions.columns import action_columns, instants, passed_over_column
from serving.arms.columns import assignment_columns
from serving.decide import Decisions
from serving.further import further_columns
from serving.handover.columns import qualification_columns
from serving.journey import journey_columns
from serving.nurture.columns import nurture_columns
from serving.points_columns import points_logs
from serving.render import LOG_ODDS_DIGITS, PROBABILITY_DIGITS, evidence_words, instant

SUMMARY = ("segment", "band", "channel", "permitted", "rule", "reason", "leads")


def decision_table(decisions: Decisions) -> pa.Table:
    """Every decision, one row a lead that speaks for a person, in the order of the lead ids."""
    scores, members, decider = decisions.scores, decisions.members, decisions.decider
    hidden = decisions.rulings.no_score
    segments = pa.array(members.segment_ids)
    n = len(decisions)
    columns: dict[str, Any] = {
        "lead_id": pa.array(decisions.known.lead_ids, pa.string()),
        "as_of": pa.repeat(pa.scalar(instant(decisions.as_of), pa.string()), n),
        "probability": _number(scores.probability, hidden, PROBABILITY_DIGITS),
        "lower": _number(scores.lower, hidden, PROBABILITY_DIGITS),
        "upper": _number(scores.upper, hidden, PROBABILITY_DIGITS),
        "band": _band(decisions),
        "band_reason": _band_reason(decisions),
        "log_odds": _number(scores.log_odds, hidden, LOG_ODDS_DIGITS),
        "base": _number(scores.base, hidden, LOG_ODDS_DIGITS),
        "model": pa.array(scores.model_ids).take(pa.array(scores.model, mask=hidden)),
        "drivers": _drivers(decisions),
        "fit_points": pa.array(decisions.points.fit, pa.int32(), mask=hidden),
        "fit_grade": _words(list(decisions.points.scorecard.settings.fit_grades), decisions.points.fit_grade, hidden),
        "engagement_points": pa.array(decisions.points.engagement, pa.int32(), mask=hidden),
        "engagement_grade": _engagement_grade(decisions, hidden),
        "engagement_suspect_share": _number(decisions.suspect_share, hidden, PROBABILITY_DIGITS),
        "primary_segment": segments.take(pa.array(np.where(hidden, -1, members.primary), mask=hidden)),
        "segments": _segments(decisions, segments),
        **account_ids(decisions),
        "account_segments": account_segments(decisions),
        "segment_statuses": _segment_statuses(decisions),
    }
    for c, channel in enumerate(decisions.book.channels):
        columns |= {f"{channel}_{name}": column for name, column in _channel(decisions, c).items()}
    columns |= action_columns(decisions)
    columns["passed_over"] = passed_over_column(
        decisions, [columns[f"{channel}_reasons"] for channel in decisions.book.channels]
    )
    columns |= journey_columns(decisions)
    columns |= nurture_columns(decisions)
    columns |= qualification_columns(decisions, columns)
    columns |= assignment_columns(decisions)
    columns |= points_logs(decisions)
    columns |= further_columns(decisions)
    for name, value in (
        ("bundle", decider.bundle_id),
        ("segment_map", decider.segment_map.hash),
        ("policy", decisions.book.hash),
        ("feature_set", decider.spec.version),
        ("assets", decider.assets_version),
    ):
        columns[f"version_{name}"] = pa.DictionaryArray.from_arrays(np.zeros(n, dtype=np.int8), pa.array([value]))
    columns["withheld"] = _withheld(decisions)
    found = pa.table(columns)
    return found if decisions.known.merged is None else found.filter(pa.array(speaks(decisions)))


def crm_table(decisions: pa.Table) -> pa.Table:
    """What a CRM imports: one flat row a lead, text and numbers only."""
    flat = ["lead_id", "as_of", "band", "band_reason", "probability", "fit_grade", "engagement_grade"]
    flat += ["primary_segment", "action", "action_channel", "asset_id", "expires_at", "queue", "team", "route_due_at"]
    flat += ["qualification", "lane", "next", "handover_due_at", "account_id", "parent_account_id"]
    columns: dict[str, Any] = {name: decisions[name] for name in flat}
    for name in decisions.column_names:
        if name.endswith(("_permitted", "_valid_until")):
            columns[name] = decisions[name]
        elif name.endswith("_reasons"):
            columns[name] = pc.binary_join(decisions[name], "; ")
    return pa.table(columns)


def speaks(decisions: Decisions) -> NDArray[np.bool_]:
    """Whether each lead speaks for a person, which one that was merged into another does not."""
    merged = decisions.known.merged
    return np.ones(len(decisions), dtype=np.bool_) if merged is None else ~merged.away


def merged_table(decisions: Decisions) -> pa.Table:
    """The leads that were merged away (`lead_id`), into whom (`merged_into`) and on what evidence."""
    merged, names = decisions.known.merged, pa.array(decisions.known.lead_ids, pa.string())
    away = np.flatnonzero(~speaks(decisions))
    into = away if merged is None else merged.survivor[away]
    bits = [] if merged is None else merged.evidence[into].tolist()
    evidence = [", ".join(evidence_words(decisions, word)) for word in bits]
    return pa.table(
        {
            "lead_id": names.take(pa.array(away)),
            "merged_into": names.take(pa.array(into)),
            "evidence": pa.array(evidence, pa.string()),
        }
    )


def summary_table(decisions: Decisions) -> pa.Table:
    """How many leads by segment, band, channel, permitted or not, and each rule that stops them."""
    members, rulings, book = decisions.members, decisions.rulings, decisions.book
    bands = [decisions.decider.readiness.band_name(code) for code in range(5)]
    band = np.where(rulings.no_score, 0, decisions.scores.band)
    cell = members.primary.astype(np.int64) * len(bands) + band
    cells = len(members.segment_ids) * len(bands)
    found: dict[str, list[Any]] = {name: [] for name in SUMMARY}

    people = speaks(decisions)

    def count(chosen: NDArray[np.bool_], channel: str, permitted: bool, rule: str, reason: str) -> None:
        counts = np.bincount(cell[chosen & people], minlength=cells)
        for at in np.flatnonzero(counts).tolist():
            row = (members.segment_ids[at // len(bands)], bands[at % len(bands)], channel, permitted, rule, reason)
            for name, value in zip(SUMMARY, (*row, int(counts[at])), strict=True):
                found[name].append(value)

    for c, channel in enumerate(book.channels):
        permitted, blocks = rulings.permitted[:, c], rulings.blocks[:, c]
        count(permitted, channel, True, "", "")
        surely = surely_fires(decisions, c)
        for bit, one in enumerate(book.rules):
            stopped = ~permitted & has(blocks, bit)
            sure = has(surely, bit) if one.card.reason_unknown else stopped
            count(stopped & sure, channel, False, one.id, one.card.reason)
            count(stopped & ~sure, channel, False, one.id, one.card.reason_unknown or one.card.reason)
        count(~permitted & has(blocks, book.error_bit), channel, False, "EVALUATION_ERROR", "EVALUATION_ERROR")
        count(~permitted & ~fires(rulings.permits[:, c]), channel, False, "NO_LEGAL_BASIS", "NO_LEGAL_BASIS")
    return pa.table(found)


def _withheld(decisions: Decisions) -> pa.Array:
    """What was not used of each lead, as the answer tells it: what, how many, the rule, the reason."""
    withheld = decisions.known.withheld or Withheld(())
    found = withheld.entries(len(decisions))
    names, rules = pa.array(found.names, pa.string()), [pa.array(ids, pa.string()) for ids in _columns(withheld.rules)]
    struct = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(found.what.astype(np.int16), names),
            pa.array(found.count),
            *(pa.DictionaryArray.from_arrays(found.rule.astype(np.int16), ids) for ids in rules),
        ],
        ["what", "count", "rule", "reason"],
    )
    return pa.ListArray.from_arrays(_offsets(found.sizes), struct)


def _columns(pairs: tuple[tuple[str, str], ...]) -> tuple[list[str], list[str]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _band(decisions: Decisions) -> pa.Array:
    names = [decisions.decider.readiness.band_name(code) for code in range(5)]
    return pa.array(names).take(pa.array(np.where(decisions.rulings.no_score, 0, decisions.scores.band)))


def _band_reason(decisions: Decisions) -> pa.Array:
    """Why the band is unknown, or that points alone say it, as the answer's `reason` does; null where neither is so."""
    names = [decisions.decider.readiness.reason_name(code) or None for code in range(len(REASONS))]
    told = pa.array([*names, "NO_SCORE"], pa.string())
    return told.take(pa.array(np.where(decisions.rulings.no_score, len(REASONS), decisions.scores.reason)))


def _engagement_grade(decisions: Decisions, hidden: NDArray[np.bool_]) -> pa.Array:
    grades = pa.array(list(decisions.points.scorecard.settings.engagement_grades), pa.int8())
    return grades.take(pa.array(decisions.points.engagement_grade, mask=hidden))


def _number(values: NDArray[np.float64], hidden: NDArray[np.bool_], digits: int) -> pa.Array:
    return pa.array(np.round(values, digits), mask=hidden | np.isnan(values))


def _words(words: list[str], codes: NDArray[Any], hidden: NDArray[np.bool_]) -> pa.Array:
    return pa.array(words, pa.string()).take(pa.array(codes, mask=hidden))


def _drivers(decisions: Decisions) -> pa.Array:
    """The largest contributions of each lead, largest first; ties fall to the first feature, as online."""
    shown = decisions.decider.settings.serving.drivers_shown
    contributions = decisions.scores.contributions
    n, width = contributions.shape
    shown = min(shown, width)
    size = -np.abs(contributions)
    if width > shown:
        # Every feature at least as large as the smallest shown one: ties are then settled by their place.
        limit = np.partition(size, shown - 1, axis=1)[:, shown - 1 : shown]
        size = np.where(size <= limit, size, 1.0)
    top = np.argsort(size, axis=1, kind="stable")[:, :shown]
    rows = np.arange(n)[:, None]
    matrix = np.column_stack((decisions.features.matrix, decisions.members.primary))
    chosen = contributions[rows, top]
    kept = (chosen != 0.0) & ~decisions.rulings.no_score[:, None]
    values = matrix[rows, top][kept]
    struct = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(top[kept].astype(np.int16), pa.array(decisions.decider.readiness.names)),
            pa.array(np.where(np.isnan(values), 0, values), mask=np.isnan(values)),
            pa.array(np.round(chosen[kept], LOG_ODDS_DIGITS)),
        ],
        ["feature", "value", "contribution"],
    )
    return pa.ListArray.from_arrays(_offsets(kept.sum(axis=1)), struct)


def _segments(decisions: Decisions, names: pa.Array) -> pa.Array:
    member = decisions.members.member & ~decisions.rulings.no_score[:, None]
    return pa.ListArray.from_arrays(_offsets(member.sum(axis=1)), names.take(pa.array(np.nonzero(member)[1])))


def _segment_statuses(decisions: Decisions) -> pa.Array:
    """The status of each membership, in the order of `segments`."""
    decider = decisions.decider
    rules, member = decider.statuses, decisions.members.member & ~decisions.rulings.no_score[:, None]
    words = pa.array([*(status.membership for status in rules.statuses), rules.membership(NONE)])
    lead, segment = np.nonzero(member)
    place = decisions.deciding[lead, np.array(decider.purposes)[segment]]
    return pa.ListArray.from_arrays(
        _offsets(member.sum(axis=1)), words.take(pa.array(np.where(place == NONE, len(rules.statuses), place)))
    )


def _channel(decisions: Decisions, c: int) -> dict[str, Any]:
    rulings, book = decisions.rulings, decisions.book
    permitted = rulings.permitted[:, c]
    blocks = np.where(permitted[:, None], np.uint64(0), rulings.blocks[:, c])
    bare = ~permitted & ~fires(rulings.permits[:, c])
    surely = surely_fires(decisions, c) & blocks
    rows = np.concatenate([blocks, surely, bare[:, None].astype(np.uint64)], axis=1)
    keys, place = np.unique(rows.T, axis=1, return_inverse=True)
    fired, sure, none = np.split(keys.T, (blocks.shape[1], 2 * blocks.shape[1]), axis=1)
    rules = [
        _rule_ids(decisions, mask, bool(without)) for mask, without in zip(as_numbers(fired), none[:, 0], strict=True)
    ]
    reasons = [_reasons(decisions, ids, mask) for ids, mask in zip(rules, as_numbers(sure), strict=True)]
    effects = {one.id: one.card.effect for one in book.rules}
    strongest = [
        min((effects.get(i, "forbid") for i in ids), key=EFFECT_ORDER.index) if ids else "forbid" for ids in rules
    ]
    at = pa.array(place.reshape(-1))
    effect = pa.array(strongest).take(at)
    assets = pa.array(decisions.facts.assets)
    return {
        "permitted": pa.array(permitted),
        "valid_until": instants(decisions.permits_end[:, c], ~permitted),
        "effect": pa.array(np.where(permitted, "permit", effect.to_numpy(zero_copy_only=False)).tolist()),
        "rules": pa.array(rules, pa.list_(pa.string())).take(at),
        "reasons": pa.array(reasons, pa.list_(pa.string())).take(at),
        "asset_id": assets.take(pa.array(rulings.asset[:, c])),
    }


def surely_fires(decisions: Decisions, c: int) -> Masks:
    """For each lead a mask of the rules that surely fire on the asset a channel shows, where the card tells it apart.

    A card may give one reason where it knows and another where it does not: "he said no" is not "nobody asked him".
    Masks are (leads, words).
    """
    asset = decisions.rulings.asset[:, c].astype(np.intp)
    at = (np.arange(len(decisions)), asset, np.full(len(decisions), c))
    shown: dict[str, NDArray[Any]] = {}
    found = np.zeros((len(decisions), words_of(len(decisions.book.rules))), dtype=np.uint64)
    for bit, one in enumerate(decisions.book.rules):
        if one.card.reason_unknown is None or c not in one.channels:
            continue
        for fact in one.facts:
            column = decisions.facts.columns.get(fact)
            if fact not in shown and column is not None:
                sizes = zip(at, column.shape, strict=True)
                shown[fact] = column[tuple(place if size > 1 else np.zeros_like(place) for place, size in sizes)]
        known = {fact: shown[fact] for fact in one.facts if fact in shown}
        mark(found, bit, reading(one.normal, known, {}, must=True))
    return found


def _reasons(decisions: Decisions, rule_ids: list[str], surely: int) -> list[str]:
    cards = {one.id: (one.card, surely >> bit & 1) for bit, one in enumerate(decisions.book.rules)}
    found = []
    for rule_id in rule_ids:
        card, sure = cards.get(rule_id, (None, 1))
        # What is no rule of the book, such as NO_LEGAL_BASIS, is its own reason.
        found.append(rule_id if card is None else card.reason if sure else card.reason_unknown or card.reason)
    return list(dict.fromkeys(found))


def _rule_ids(decisions: Decisions, mask: int, without_permit: bool) -> list[str]:
    fired = [one for bit, one in enumerate(decisions.book.rules) if mask >> bit & 1]
    fired.sort(key=lambda one: (EFFECT_ORDER.index(one.card.effect), one.id))
    ids = ["EVALUATION_ERROR"] if mask >> decisions.book.error_bit else []
    ids += [one.id for one in fired]
    if decisions.replay:
        ids = ["REPLAY", *ids]
    return ids + (["NO_LEGAL_BASIS"] if without_permit else [])


def _offsets(lengths: NDArray[Any]) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
