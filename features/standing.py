"""Where a lead stands with us as of an instant: stops, open matters, and what we already sent.

A stop that is on record stops, however old its feed; that there is none is only known from a table that was supplied
and, for stops, from a feed that is fresh. A stop is in force a little before it begins, for clocks differ. What cannot
be read counts for the stricter side: a stop without a readable reason is an opt-out, a touch without a readable intent
is promotional, an open case of unreadable kind leaves every kind unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.vocabulary import Vocabulary
from features.columns import exact, within
from features.tables import MICROSECONDS_A_DAY, NO, SKEW_US, UNKNOWN_INSTANT, YES, Known
from features.topics import limited

CHANNEL_STOPS = ("opt_out", "hard_bounce", "do_not_call", "no_contact", "tcpa_revoked", "topic_opt_out")
# An opt-out of a topic or product only, which `features/topics.py` tells apart.
TOPIC_STOP = CHANNEL_STOPS.index("topic_opt_out")
LEAD_STOPS = ("erased_or_restricted", "profiling_objection", "reduced_communication", "legal_hold", "sharing_opt_out",
              "opt_out_pending", "tcpa_revoked_any")  # fmt: skip
# What is told of a lead alone, so that a segment may look at it.
TOLD = ("email_opt_out", "territory_assigned")
# What a row of each reason stops. Who takes a consent to calls back, is on a list of no contact, or waits for an
# opt-out to be carried out, has opted out of the channel already.
_STOPS_OF = {
    "opt_out": ("opt_out",),
    "hard_bounce": ("hard_bounce",),
    "spam_complaint": ("hard_bounce",),
    "do_not_call": ("do_not_call",),
    "no_contact": ("no_contact", "opt_out"),
    "erasure": ("erased_or_restricted",),
    "restriction": ("erased_or_restricted",),
    "reduced_communication": ("reduced_communication",),
    "profiling_objection": ("profiling_objection",),
    "legal_hold": ("legal_hold",),
    "sharing_opt_out": ("sharing_opt_out",),
    "opt_out_pending": ("opt_out_pending", "opt_out"),
    "revocation": ("tcpa_revoked", "tcpa_revoked_any", "opt_out"),
}
CASES = ("meeting_booked", "off_label_open", "adverse_event_open", "open_case", "handover_open")
_CASE_KINDS = ("meeting", "off_label", "adverse_event", "complaint", "handover")
TOUCH_WINDOWS_DAYS = (7, 30)
REPEAT_WINDOW_DAYS = 90
# "It never happened" as a number of days: longer ago than anything can be.
NEVER_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class StandingCodes:
    """Codes of the words that stops, cases and touches need.

    `stops_of` has bit r set for a reason's code that stops row r of `CHANNEL_STOPS` and `LEAD_STOPS` together.
    """

    channels: int
    email: int
    opt_out: int
    erasure: int
    topics: int
    products: int
    stops_of: NDArray[np.uint64]
    case_of: NDArray[np.int64]
    promotional: int
    intents: int

    @classmethod
    def of(cls, vocabularies: Mapping[str, Vocabulary]) -> StandingCodes:
        """Look the words up in the vocabularies; a reason not named here is an opt-out."""
        rows = (*CHANNEL_STOPS, *LEAD_STOPS)
        stops_of = np.full(256, 1 << rows.index("opt_out"), dtype=np.uint64)
        for code, reason in enumerate(vocabularies["suppression_reason"].values, start=1):
            stops_of[code] = sum(1 << rows.index(stop) for stop in _STOPS_OF.get(reason, ("opt_out",)))
        case_of = np.full(256, -1, dtype=np.int64)
        for row, kind in enumerate(_CASE_KINDS):
            case_of[vocabularies["case_kind"].code(kind)] = row
        return cls(
            channels=len(vocabularies["channel"].values),
            email=vocabularies["channel"].code("email") - 1,
            opt_out=vocabularies["suppression_reason"].code("opt_out"),
            erasure=vocabularies["suppression_reason"].code("erasure"),
            topics=len(vocabularies["topic"].values),
            products=len(vocabularies["product"].values),
            stops_of=stops_of,
            case_of=case_of,
            promotional=vocabularies["intent"].code("promotional"),
            intents=len(vocabularies["intent"].values),
        )

    @property
    def of_leads(self) -> NDArray[np.bool_]:
        """For each code of a reason whether it stops the lead as a whole, not only a channel."""
        found: NDArray[np.bool_] = self.stops_of >> np.uint64(len(CHANNEL_STOPS)) != 0
        return found


def freshness(known: Known, max_age_days: int) -> int:
    """Whether the stops are complete as of lately: no where they are older than they may be, unknown where unsaid.

    A feed complete until some time in the future says nothing that can be believed, and neither does one that was not
    supplied.
    """
    complete = known.suppressions_complete_as_of
    if not known.suppressions or complete == UNKNOWN_INSTANT or complete - known.as_of_us > SKEW_US:
        return 0
    return YES if known.as_of_us - complete <= max_age_days * MICROSECONDS_A_DAY else NO


def only_topics(known: Known, codes: StandingCodes) -> NDArray[np.bool_]:
    """Which suppressions stop only content of a topic or product."""
    rows = known.suppressions
    return limited(rows, codes.opt_out, codes.topics, codes.products) if rows else np.zeros(0, dtype=np.bool_)


def stops(
    known: Known, codes: StandingCodes, max_age_days: int, of_topics: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Yes/no codes: (channel stop, lead, channel) and (lead stop, lead). Unknown where the feed is stale or absent.

    `of_topics` are the suppressions that stop only a topic, as `only_topics` says.
    """
    n = len(known.lead_ids)
    rows = known.suppressions
    absent = NO if freshness(known, max_age_days) == YES else 0
    per_channel = np.full((len(CHANNEL_STOPS), n, codes.channels), absent, dtype=np.uint8)
    per_lead = np.full((len(LEAD_STOPS), n), absent, dtype=np.uint8)
    size = len(rows["lead"]) if rows else 0
    if size == 0:
        return per_channel, per_lead
    account = exact(rows, "account", np.int32, size)
    lead = exact(rows, "lead", np.int32, size)
    reason, until = exact(rows, "reason", np.uint8, size), exact(rows, "until_at", np.int64, size)
    # INVARIANT: who was erased stays erased, whatever end a list gives it.
    until = np.where((reason == codes.erasure) & (codes.erasure > 0), UNKNOWN_INSTANT, until)
    stopped = codes.stops_of[reason]
    if of_topics.any():
        stopped[of_topics] = 1 << TOPIC_STOP
    of_accounts = np.zeros((len(known.account_ids), 1 + codes.channels), dtype=np.uint64)
    _stop(
        lead,
        account,
        exact(rows, "channel", np.uint8, size),
        stopped,
        exact(rows, "since_at", np.int64, size),
        until,
        known.as_of_us,
        known.as_of_us + SKEW_US,
        of_accounts,
        per_channel,
        per_lead,
    )
    if account.max() >= 0 and len(of_accounts):
        _stop_accounts(
            exact(known.leads, "account", np.int32, n),
            exact(known.accounts, "parent", np.int32, len(known.account_ids)),
            of_accounts,
            per_channel,
            per_lead,
        )
    return per_channel, per_lead


def told(known: Known, codes: StandingCodes, channel_stops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Yes/no codes of `TOLD` by lead: the opt-out from e-mail among the channel stops, and a known territory.

    No territory on record is unknown and not a no: it may only not have been supplied.
    """
    found = np.zeros((len(TOLD), len(known.lead_ids)), dtype=np.uint8)
    found[0] = channel_stops[0, :, codes.email]
    territory = known.leads.get("territory")
    if territory is not None:
        found[1] = np.where(territory != np.array(None), YES, 0)
    return found


def cases(known: Known, codes: StandingCodes) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Yes/no codes per kind of open case, and the days since the last meeting ended."""
    n = len(known.lead_ids)
    found = np.zeros((len(CASES), n), dtype=np.uint8)
    days = np.full(n, -1, dtype=np.int32)
    rows = known.cases
    if not rows:
        return found, days
    size = len(rows["lead"])
    found[:] = NO
    days[:] = NEVER_DAYS
    if size:
        _cases(
            exact(rows, "lead", np.int32, size),
            exact(rows, "kind", np.uint8, size),
            exact(rows, "product", np.uint8, size),
            exact(rows, "closed_at", np.int64, size),
            codes.case_of,
            known.as_of_us,
            found,
            days,
        )
    return found, days


def off_label_products(known: Known, codes: StandingCodes) -> NDArray[np.uint64]:
    """Products of each lead's open off-label questions as bits by code; bit 0 where a product is not known."""
    n = len(known.lead_ids)
    bits = np.zeros((n, 4), dtype=np.uint64)
    rows = known.cases
    size = len(rows["lead"]) if rows else 0
    if size:
        _off_label(
            exact(rows, "lead", np.int32, size),
            exact(rows, "kind", np.uint8, size),
            exact(rows, "product", np.uint8, size),
            exact(rows, "closed_at", np.int64, size),
            codes.case_of,
            known.as_of_us,
            bits,
        )
    return bits


def touches(
    known: Known, codes: StandingCodes, asset_of: NDArray[np.int64], repeated: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Promotional touches per window and lead, and per lead and channel in the first window; marks assets sent lately.

    Args:
        known: what is known.
        codes: codes of the words.
        asset_of: for each row of `asset_ids` its column in `repeated`, -1 where it is not offered.
        repeated: yes/no per lead and asset, the pseudo asset last, written in place.
    """
    n = len(known.lead_ids)
    rows = known.touches
    start = 0 if rows else -1
    per_lead = np.full((len(TOUCH_WINDOWS_DAYS), n), start, dtype=np.int32)
    per_channel = np.full((n, codes.channels), start, dtype=np.int32)
    size = len(rows["lead"]) if rows else 0
    if rows:
        repeated[:, :-1] = NO
    if size:
        _touches(
            exact(rows, "lead", np.int32, size),
            exact(rows, "channel", np.uint8, size),
            within(rows, "intent", size, codes.intents),
            exact(rows, "asset", np.int32, size),
            exact(rows, "sent_at", np.int64, size),
            codes.promotional,
            known.as_of_day,
            asset_of,
            per_lead,
            per_channel,
            repeated,
        )
    return per_lead, per_channel


@njit(cache=True, nogil=True)
def _stop(
    lead: Any, account: Any, channel: Any, stopped: Any, since: Any, until: Any, cut: int, begun: int,
    of_accounts: Any, per_channel: Any, per_lead: Any,
) -> None:  # fmt: skip
    rows, n, channels = per_channel.shape
    for i in range(len(lead)):
        if since[i] > begun or (until[i] != UNKNOWN_INSTANT and until[i] <= cut):
            continue
        bits = stopped[i]
        every = channel[i] == 0 or channel[i] > channels
        if 0 <= lead[i] < n:
            for stop in range(rows + len(per_lead)):
                if (bits >> np.uint64(stop)) & np.uint64(1) == np.uint64(0):
                    continue
                if stop >= rows:
                    per_lead[stop - rows, lead[i]] = YES
                else:
                    for c in range(channels):
                        if every or channel[i] == c + 1:
                            per_channel[stop, lead[i], c] = YES
        elif 0 <= account[i] < len(of_accounts):
            of_accounts[account[i], 0 if every else channel[i]] |= bits


@njit(cache=True, nogil=True)
def _stop_accounts(account: Any, parent: Any, of_accounts: Any, per_channel: Any, per_lead: Any) -> None:
    """A stop of an account holds for its leads, and one of a parent for the leads of its sites."""
    rows, n, channels = per_channel.shape
    for i in range(n):
        a = account[i]
        for _ in range(2):
            if a < 0 or a >= len(of_accounts):
                break
            for place in range(channels + 1):
                bits = of_accounts[a, place]
                if bits == np.uint64(0):
                    continue
                for stop in range(rows + len(per_lead)):
                    if (bits >> np.uint64(stop)) & np.uint64(1) == np.uint64(0):
                        continue
                    if stop >= rows:
                        per_lead[stop - rows, i] = YES
                    else:
                        for c in range(channels):
                            if place == 0 or place == c + 1:
                                per_channel[stop, i, c] = YES
            a = parent[a]


@njit(cache=True, nogil=True)
def _cases(lead: Any, kind: Any, product: Any, closed: Any, case_of: Any, cut: int, found: Any, days: Any) -> None:
    n = len(days)
    for i in range(len(lead)):
        if lead[i] < 0 or lead[i] >= n:
            continue
        row = case_of[kind[i]]
        if closed[i] != UNKNOWN_INSTANT and closed[i] <= cut:
            if row == 0:
                age = cut // MICROSECONDS_A_DAY - closed[i] // MICROSECONDS_A_DAY
                days[lead[i]] = min(days[lead[i]], age)
        elif row >= 0:
            found[row, lead[i]] = YES
            if row == 3 and product[i] > 0:  # a complaint about a product may hide an adverse event
                found[2, lead[i]] = YES
        else:
            for unreadable in range(len(found)):
                if found[unreadable, lead[i]] == NO:
                    found[unreadable, lead[i]] = 0


@njit(cache=True, nogil=True)
def _off_label(lead: Any, kind: Any, product: Any, closed: Any, case_of: Any, cut: int, bits: Any) -> None:
    for i in range(len(lead)):
        is_open = closed[i] == UNKNOWN_INSTANT or closed[i] > cut
        if is_open and case_of[kind[i]] == 1 and 0 <= lead[i] < len(bits):
            bits[lead[i], product[i] >> 6] |= np.uint64(1) << np.uint64(product[i] & 63)


@njit(cache=True, nogil=True)
def _touches(
    lead: Any, channel: Any, intent: Any, asset: Any, sent: Any, promotional: int, today: int,
    asset_of: Any, per_lead: Any, per_channel: Any, repeated: Any,
) -> None:  # fmt: skip
    n, channels = per_channel.shape
    for i in range(len(lead)):
        row = lead[i]
        if row < 0 or row >= n:
            continue
        age = today - sent[i] // MICROSECONDS_A_DAY
        if 0 <= asset[i] < len(asset_of) and asset_of[asset[i]] >= 0 and age <= REPEAT_WINDOW_DAYS:
            repeated[row, asset_of[asset[i]]] = YES
        if intent[i] != promotional and intent[i] != 0:
            continue
        for w in range(len(TOUCH_WINDOWS_DAYS)):
            if age <= TOUCH_WINDOWS_DAYS[w]:
                per_lead[w, row] += 1
        if age <= TOUCH_WINDOWS_DAYS[0]:
            for c in range(channels):
                if channel[i] == c + 1 or channel[i] == 0 or channel[i] > channels:
                    per_channel[row, c] += 1
