"""Compiled loops of nurture: what a lead has seen, its track, step and windows, and how well each asset fits it."""

from __future__ import annotations

import numba
import numpy as np

from features.columns import CERTAIN, MICROSECONDS_A_DAY, UNKNOWN_INSTANT
from features.tables import YES

# Rows of what `paths` finds about each lead.
ROWS = (
    "track", "stage", "by_events", "seen", "limit", "side", "topic", "trigger", "trigger_day", "not_before",
    "follow_up_by", "waits", "ceiling", "entry", "entry_day",
)  # fmt: skip
(_TRACK, _STAGE, _BY_EVENTS, _SEEN, _LIMIT, _SIDE, _TOPIC, _TRIGGER, _TRIGGER_DAY, _NOT_BEFORE, _BY, _WAITS,
 _CEILING, _ENTRY, _ENTRY_DAY) = range(15)  # fmt: skip
# Rows of the table of assets.
ASSET_ROWS = ("level", "stage", "side", "product", "overview", "reply", "topic")
# Rows of the tables by code, and of the codes of leads.
TABLES = ("level_of_depth", "level_of_kind", "column", "role", "audience", "stage", "band", "fast", "valid")
(_LEVEL_OF_DEPTH, _LEVEL_OF_KIND, _COLUMN, _OF_ROLE, _OF_AUDIENCE, _STAGE_OF_CODE, _STAGE_OF_BAND, _FAST,
 _VALID) = range(9)  # fmt: skip
CODES = ("product_interest", "role", "audience", "buying_stage", "stage_evidence", "off_label_open")
_PRODUCT, _ROLE, _AUDIENCE, _SHOWN, _EVIDENCE, _ASKED = range(6)
_WEAK, _NEVER = 1, -1
NO_LEVEL = -1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def touched(  # type: ignore[no-untyped-def]
    lead, asset, sent, intent, medical, asset_of, assets, segment_product, primary, codes, today, days, seen, last
):  # fmt: skip
    """Raise the level that each lead has been sent of its own product or of none, and the day something was last sent.

    INVARIANT: a reply of medical information (the intent `medical`, or its asset) deepens nothing and answers nothing.
    """
    for i in range(len(lead)):
        row = lead[i]
        at = asset_of[asset[i]] if 0 <= asset[i] < len(asset_of) else -1
        if row < 0 or row >= len(seen) or (medical and intent[i] == medical) or (at >= 0 and assets[5, at]):
            continue
        day = sent[i] // MICROSECONDS_A_DAY
        last[row] = max(last[row], day)
        if at < 0 or today - day > days:
            continue
        wanted, own, of_segment = assets[3, at], codes[_PRODUCT, row], segment_product[primary[row]]
        exact = (wanted == own) | (wanted == of_segment)
        if wanted == 0 or exact or (own == 0 and of_segment == 0):
            seen[row] = max(seen[row], assets[0, at])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def took(lead, asset, kind, happened, recorded, human, asset_of, by_kind, least, cut, days, taken):  # type: ignore[no-untyped-def]
    """Mark what each lead took itself, or was shown, by the cut and no longer ago than so many days."""
    n, today = len(taken), cut // MICROSECONDS_A_DAY
    for i in range(len(lead)):
        row, own = lead[i], asset[i]
        if own < 0 or own >= len(asset_of) or asset_of[own] < 0 or row < 0 or row >= n or not by_kind[kind[i]]:
            continue
        if happened[i] == UNKNOWN_INSTANT or happened[i] > cut or recorded[i] > cut:
            continue
        if (len(human) == 0 or human[i] >= least) and today - happened[i] // MICROSECONDS_A_DAY <= days:
            taken[row, asset_of[own]] = True


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def paths(  # type: ignore[no-untyped-def]
    starts, words, today, least, seen_days, overdue, tables, days, segment_product, primary, band, codes, holds, sent,
    last_sent, found,
):  # fmt: skip
    """Fill the rows of `ROWS` for each lead.

    `tables` has the rows `TABLES` by code, `codes` the rows `CODES` by lead. `days` has for each kind of event that
    matters the days after and within which it is answered, then a row a track: within how many days it opens that one.
    Only events of the lead's own product, its segment's or none count, of a lead of which neither is known all do; and
    only those a person likelier made than not. `sent` is the level that a lead was sent.
    """
    newest = np.empty(days.shape[1], dtype=np.int32)
    tracks = len(days) - 2
    for i in range(len(primary)):
        newest[:] = _NEVER
        seen, topic, topic_age = np.int32(sent[i]), np.int32(0), np.int32(1 << 20)
        own, of_segment = codes[0, i], segment_product[primary[i]]
        for at in range(starts[i], starts[i + 1]):
            word = words[at]
            age = np.int32(word & np.uint64(0x3FFF))
            of_event = np.int32(word >> np.uint64(48)) & 0xFF
            if of_event != 0 and of_event != own and of_event != of_segment and (own != 0 or of_segment != 0):
                continue
            if np.int32(word >> np.uint64(37)) & 31 < least:
                continue
            kind = np.int32(word >> np.uint64(16)) & 0xFF
            if age > tables[_VALID, kind]:  # so old that it counts nowhere
                continue
            if age <= seen_days:
                depth = np.int32(word >> np.uint64(32)) & 31
                level = tables[_LEVEL_OF_DEPTH, depth]
                seen = max(seen, level if level >= 0 else tables[_LEVEL_OF_KIND, kind])
            about = np.int32(word >> np.uint64(24)) & 0xFF
            # INVARIANT: rows come in any order: of the newest day the smallest code counts.
            if about != 0 and (age < topic_age or (age == topic_age and about < topic)):
                topic, topic_age = about, age
            column = tables[_COLUMN, kind]
            if column >= 0 and (newest[column] < 0 or age < newest[column]):
                newest[column] = age
        cap, shown = tables[_STAGE_OF_BAND, band[i]], tables[_STAGE_OF_CODE, codes[_SHOWN, i]]
        by_events = shown >= 0 and codes[_EVIDENCE, i] > _WEAK
        found[_STAGE, i] = shown if by_events else cap
        found[_BY_EVENTS, i], found[_SEEN, i], found[_CEILING, i], found[_TOPIC, i] = by_events, seen, cap, topic
        found[_LIMIT, i] = seen + 1
        side = tables[_OF_ROLE, codes[_ROLE, i]]
        found[_SIDE, i] = side if side else tables[_OF_AUDIENCE, codes[_AUDIENCE, i]]
        found[_TRACK, i] = found[_ENTRY, i] = found[_ENTRY_DAY, i] = -1
        for t in range(tracks):
            if not holds[i, t]:
                continue
            by, needs = -1, False
            for column in range(len(newest)):
                within = days[t + 2, column]
                needs = needs or within >= 0
                opens = newest[column] >= 0 and newest[column] <= within
                if opens and (by < 0 or newest[column] < newest[by]):
                    by = column
            if by >= 0 or not needs:
                found[_TRACK, i], found[_ENTRY, i] = t, by
                found[_ENTRY_DAY, i] = today - newest[by] if by >= 0 else _NEVER
                break
        _answer_due(newest, days, today, overdue, last_sent[i], found, i)
        found[_WAITS, i] = found[_NOT_BEFORE, i] > today and not tables[_FAST, band[i]]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _answer_due(newest, days, today, overdue, last_sent, found, i):  # type: ignore[no-untyped-def]
    """The event that is to be answered: of those not answered the one that is due first; ties: the first declared."""
    for row in (_TRIGGER, _TRIGGER_DAY, _NOT_BEFORE, _BY):
        found[row, i] = _NEVER
    for column in range(len(newest)):
        if newest[column] < 0 or days[1, column] < 0:
            continue
        day = today - newest[column]
        by = day + days[1, column]
        # What was sent on a later day answered it; what was sent the same day may have led to it.
        if last_sent > day or by + overdue < today:
            continue
        if found[_TRIGGER, i] < 0 or by < found[_BY, i]:
            found[_TRIGGER, i], found[_TRIGGER_DAY, i], found[_BY, i] = column, day, by
            found[_NOT_BEFORE, i] = day + days[0, column]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def fitness(  # type: ignore[no-untyped-def]
    found, taken, suits, worth, step_worth, assets, only, segment_product, primary, codes, of_product, of_topic, fit,
):  # fmt: skip
    """How well each asset fits each lead: -1 where it does not, else its worth; the last asset is the bare message.

    `only` has bit t set for the assets of track t, 0 for those of any. Who asked a medical question gets replies alone.
    """
    n, count = fit.shape
    bare = count - 1
    for i in range(n):
        s, g, own = primary[i], found[_STAGE, i], codes[_PRODUCT, i]
        of_segment = segment_product[s]
        track, asks = found[_TRACK, i], codes[_ASKED, i] == YES
        for a in range(count):
            fit[i, a] = -1
            wanted = assets[3, a]
            exact = wanted != 0 and (wanted == own or wanted == of_segment)  # noqa: SIM109 - numba has no such tuple
            value = worth[s, g, a] + (of_product if exact else 0)
            if asks:
                if assets[5, a]:
                    fit[i, a] = value
                continue
            if found[_WAITS, i] or not suits[s, g, a]:
                continue
            if not (wanted == 0 or exact or (own == 0 and of_segment == 0 and assets[4, a])):
                continue
            if a != bare:
                # INVARIANT: never deeper than the band allows, nor more than a level beyond what was seen or sent;
                # never of the other side; never of another's track; never what the lead took already.
                if assets[0, a] > found[_LIMIT, i] or assets[1, a] > found[_CEILING, i]:
                    continue
                if assets[2, a] and not assets[2, a] & found[_SIDE, i]:
                    continue
                if only[a] and (track < 0 or not (only[a] >> np.uint64(track)) & np.uint64(1)):
                    continue
                if len(taken) and taken[i, a]:
                    continue
                if assets[6, a] and assets[6, a] == found[_TOPIC, i]:
                    value += of_topic
            fit[i, a] = value + step_worth[track, g, a]


def certain_from(share: float) -> int:
    """The sixteenths from which an event counts as made by a person."""
    return int(np.ceil(share * CERTAIN))
