"""Compiled loops over lead, asset and channel: what passes, what a channel shows, the best pair and the queue."""

from __future__ import annotations

import numba
import numpy as np

from configs.qualification import FAST, PARTNER, STANDARD
from features.tables import UNKNOWN_INSTANT, YES

NONE = np.uint64(0)
QUEUE_KEYS = (
    "none", "no_score", "adverse_event", "off_label", "meeting", "patient", "hot", "warm", "complaint", "review",
    "holdout", "handover", "partner",
)  # fmt: skip
_NO_SCORE, _ADVERSE_EVENT, _OFF_LABEL, _MEETING, _PATIENT, _HOT, _WARM, _COMPLAINT, _REVIEW = range(1, 10)
_HANDOVER, _PARTNER = 11, 12
COMPLAINT_OPEN, REVIEW_OPEN = 1, 2


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _bits_of(word):  # type: ignore[no-untyped-def]
    """How many bits of a word are set: of pairs, fours and bytes at once (Warren, Hacker's Delight, 5-1)."""
    word -= word >> np.uint64(1) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (word >> np.uint64(2) & np.uint64(0x3333333333333333))
    word = word + (word >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(word * np.uint64(0x0101010101010101) >> np.uint64(56))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def by_channel(  # type: ignore[no-untyped-def]
    blocks, permits, content, replies, asked, replay, passes, asset, shown_blocks, shown_permits, permitted
):  # fmt: skip
    """Per lead and channel the first asset that passes, else the offered one that the fewest rules stop.

    Rules of the mask `content` look at nothing but the content: an asset that they stop was never for this lead, and
    shown only where all are stopped so, else it would hide what is to be known or asked about the lead.
    A reply to a medical question is offered to nobody who asked none; a replay permits nothing.
    The words of a mask lie along the last axis.
    """
    n, assets, channels, words = blocks.shape
    for i in range(n):
        for c in range(channels):
            best, fewest = 0, 10_000_000
            for a in range(assets):
                offered = not replies[a] or asked[i] == YES
                counts, against = False, 0
                for word in range(permits.shape[3]):
                    counts |= permits[i, a, c, word] != NONE
                for word in range(words):
                    mask = blocks[i, a, c, word]
                    against += _bits_of(mask) + 99 * _bits_of(mask & content[word])
                passed = counts and against == 0 and offered and not replay
                passes[i, a, c] = passed
                if fewest == -1:
                    continue
                if passed:
                    best, fewest = a, -1
                    continue
                stopped = 0 if offered else 1_000_000
                stopped += against + (not counts)
                if stopped < fewest:
                    best, fewest = a, stopped
            asset[i, c] = best
            shown_blocks[i, c] = blocks[i, best, c]
            shown_permits[i, c] = permits[i, best, c]
            permitted[i, c] = fewest == -1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def earliest_expiry(lead, channel, expires, now, ends):  # type: ignore[no-untyped-def]
    """Lower the end of each lead and channel to the first consent that runs out after now; channel 0 is every one."""
    for i in range(len(lead)):
        if lead[i] < 0 or expires[i] <= now:
            continue
        first, last = (channel[i] - 1, channel[i]) if channel[i] else (0, ends.shape[1])
        for c in range(first, min(last, ends.shape[1])):
            ends[lead[i], c] = min(ends[lead[i], c], expires[i])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def best_pairs(  # type: ignore[no-untyped-def]
    permitted, fit, ranks, closed, bare, personal, primary, lane, asked, adverse, meeting, handover, open_case,
    no_score, patients, audience, preferred, of_preferred, asset, channel, queue,
):  # fmt: skip
    """Per lead the permitted pair of highest preference and the lead's queue.

    `fit[i, a]` says how well an asset fits, -1 where it does not (`serving/nurture/kernels.py`). Ties fall to the first
    asset, then the first channel; `closed[s, c]` marks channels that a segment never chooses. A qualified lead (`lane`,
    `serving/handover/qualified.py`) that somebody may contact in person (a channel of `personal`) goes to its queue
    even where no content fits.
    """
    n, assets, channels = permitted.shape
    for i in range(n):
        best = -1_000_000
        asset[i] = channel[i] = -1
        s = primary[i]
        asks, meets, hurt, handed = asked[i] == YES, meeting[i] == YES, adverse[i] == YES, handover[i] == YES
        queue[i] = _queue_before_action(asks, meets, hurt, handed, open_case[i], no_score[i])
        # INVARIANT: a forbidden (asset, channel) is never chosen, and what a person took over ends automation.
        if hurt or no_score[i] or ((meets or handed) and not asks):
            continue
        for a in range(assets):
            if fit[i, a] < 0:
                continue
            for c in range(channels):
                if not permitted[i, a, c] or closed[s, c] or (a == assets - 1 and not bare[c]):
                    continue
                score = fit[i, a] + ranks[s, c] + (of_preferred if preferred[i] == c + 1 else 0)
                if score > best:
                    best = score
                    asset[i], channel[i] = a, c
        if queue[i] != 0:
            continue
        if asset[i] >= 0 or (lane[i] >= STANDARD and _reachable(permitted, i, personal)):
            if lane[i] == PARTNER:
                queue[i] = _PARTNER
            elif patients[audience[i]]:
                queue[i] = _PATIENT
            elif lane[i] == FAST:
                queue[i] = _HOT
            elif lane[i] == STANDARD:
                queue[i] = _WARM


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _queue_before_action(asks, meets, hurt, handed, open_case, no_score):  # type: ignore[no-untyped-def]
    """The strongest claim on a lead that needs no action: the index in QUEUE_KEYS, 0 where there is none."""
    # INVARIANT: one re-route, and safety comes first: who asked to be erased may have been harmed all the same.
    if hurt:
        return _ADVERSE_EVENT
    if no_score:
        return _NO_SCORE
    if asks:
        return _OFF_LABEL
    if open_case == COMPLAINT_OPEN:
        return _COMPLAINT
    if meets:
        return _MEETING
    if handed:
        return _HANDOVER
    if open_case == REVIEW_OPEN:
        return _REVIEW
    return 0


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _reachable(permitted, lead, personal):  # type: ignore[no-untyped-def]
    """Whether a lead may be contacted on one of these channels with anything at all."""
    for a in range(permitted.shape[1]):
        for c in range(permitted.shape[2]):
            if personal[c] and permitted[lead, a, c]:
                return True
    return False


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def earliest_stop(  # type: ignore[no-untyped-def]
    lead, account, channel, reason, since, recorded, until, lead_stops, account_of, parent_of, now, ends
):  # fmt: skip
    """Lower the end of each lead and channel to the first stop that is on record by now and begins later.

    A stop of an account holds for its leads and those of its sites. Channel 0, or a reason that concerns the lead as a
    whole, is every channel.
    """
    n, channels = ends.shape
    of_accounts = np.full((len(parent_of), channels), np.iinfo(np.int64).max)
    for i in range(len(since)):
        if since[i] <= now or recorded[i] > now or (until[i] != UNKNOWN_INSTANT and until[i] <= since[i]):
            continue
        every = channel[i] == 0 or channel[i] > channels or lead_stops[reason[i]]
        first, last = (0, channels) if every else (channel[i] - 1, channel[i])
        for c in range(first, last):
            if 0 <= lead[i] < n:
                ends[lead[i], c] = min(ends[lead[i], c], since[i])
            elif 0 <= account[i] < len(of_accounts):
                of_accounts[account[i], c] = min(of_accounts[account[i], c], since[i])
    for row in range(n):
        own = account_of[row]
        for _ in range(2):
            if own < 0 or own >= len(of_accounts):
                break
            for c in range(channels):
                ends[row, c] = min(ends[row, c], of_accounts[own, c])
            own = parent_of[own]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def largest(contributions, row, group_of, top, sums):  # type: ignore[no-untyped-def]
    """Columns of a row's largest contributions into `top`; returns how many there are, of equal ones the first.

    `sums` holds each group's sum and, last, the sum of what is not in `top`.
    """
    width = contributions.shape[1]
    sums[:] = 0.0
    total = 0.0
    for f in range(width):
        sums[group_of[f]] += contributions[row, f]
        total += contributions[row, f]
    count = 0
    shown = 0.0
    while count < len(top):
        best, size = -1, 0.0
        for f in range(width):
            if abs(contributions[row, f]) > size:
                taken = False
                for k in range(count):
                    taken = taken or top[k] == f
                if not taken:
                    best, size = f, abs(contributions[row, f])
        if best < 0:
            break
        top[count] = best
        shown += contributions[row, best]
        count += 1
    sums[-1] = total - shown
    return count
