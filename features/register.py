"""What is on record about a lead's data and place: source and licence, notice, screening, doubts, state and hour.

A source that is not in the register tells nothing, so that it is unknown and blocks. Of a person with several records
every source must be permitted, and one from somebody else is enough. A state or an hour is only known while somebody
vouched for the record lately, as for whose law applies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.register import Registrations, SourceRegister
from configs.settings import Settings
from features.columns import exact
from features.law import vouched
from features.place import Places, local_minutes
from features.purposes import PURPOSES, PurposeCodes, fill_purposes
from features.services import Services
from features.standing import NEVER_DAYS, freshness
from features.tables import MICROSECONDS_A_DAY, NO, UNKNOWN_INSTANT, YES, Known

# Rows of the codes, and of the numbers.
REGISTERED = ("us_state", "state_registered", "source_permitted", "third_party_source", "phi_source", "notice_given",
              "identity_conflict", "feed_fresh", "service_offered", *PURPOSES)  # fmt: skip
DATED = ("days_since_obtained", "days_since_screened", "local_minute_from", "local_minute_to")
_PURPOSES_FROM = REGISTERED.index(next(iter(PURPOSES)))
# Rows of the words by code: of states, then of sources.
_HELD, _PERMITTED, _THIRD_PARTY, _PHI = range(4)
_KEPT = 8


@dataclass(frozen=True)
class Register:
    """The registers, resolved to codes, and where people may be."""

    places: Places
    purposes: PurposeCodes
    services: Services
    register: SourceRegister
    registrations: Registrations
    sources: tuple[str, ...]
    states: tuple[str, ...]
    law_of: NDArray[np.uint8]
    max_age_days: int
    feed_max_age_days: int
    _words: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings, law_of: NDArray[np.uint8], max_age_days: int, feed_max_age_days: int) -> Register:
        """Resolve the settings; whose law applies is looked up in `law_of`, and known for `max_age_days`.

        A state, and with it every place, is known no longer than that, and no longer than `us_state` is declared to be.
        """
        vocabularies = settings.vocabularies
        declared = settings.facts["us_state"].max_age_days if "us_state" in settings.facts else None
        max_age_days = max_age_days if declared is None else min(max_age_days, declared)
        return cls(
            places=Places.of(settings),
            purposes=PurposeCodes.of(vocabularies),
            services=Services.of(settings),
            register=settings.source_register,
            registrations=settings.registrations,
            sources=vocabularies["lead_source"].values,
            states=vocabularies["us_state"].values,
            law_of=law_of,
            max_age_days=max_age_days,
            feed_max_age_days=feed_max_age_days,
        )

    def words_on(self, day: int) -> NDArray[np.uint8]:
        """Yes/no by row and code on a day since 1970: registrations held of states; of sources what they permit."""
        found = self._words.get(day)
        if found is None:
            found = self._read(datetime.fromtimestamp(0, UTC).date() + timedelta(days=day))
            if len(self._words) >= _KEPT:
                self._words.clear()
            self._words[day] = found
        return found

    def _read(self, on: date) -> NDArray[np.uint8]:
        found = np.zeros((4, 256), dtype=np.uint8)
        for code, state in enumerate(self.states, start=1):
            held = self.registrations.held.get(state)
            registered = state not in self.registrations.needed or (held is not None and on <= held.until)
            found[_HELD, code] = YES if registered else NO
        purpose = self.register.contact_purpose
        for code, source in enumerate(self.sources, start=1):
            entry = self.register.sources.get(source)
            if entry is None:
                continue
            licensed = entry.licence_until is None or on <= entry.licence_until
            found[_PERMITTED, code] = YES if licensed and purpose in entry.permitted_for else NO
            found[_THIRD_PARTY, code] = YES if entry.third_party else NO
            found[_PHI, code] = YES if entry.phi else NO
        return found


def registered(known: Known, register: Register) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Codes of `REGISTERED` and numbers of `DATED`, one row each by lead."""
    n, leads = len(known.lead_ids), known.leads
    codes, numbers = np.zeros((len(REGISTERED), n), dtype=np.uint8), np.empty((len(DATED), n), dtype=np.int32)
    country = exact(leads, "country", np.uint8, n)
    merged, doubted = known.merged, known.doubted
    _fill(
        register.places.states_of(leads, country),
        country,
        exact(leads, "time_zone", np.uint8, n),
        exact(leads, "source", np.uint8, n),
        exact(leads, "recorded_at", np.int64, n),
        exact(leads, "verified_at", np.int64, n),
        exact(leads, "created_at", np.int64, n),
        exact(leads, "obtained_at", np.int64, n),
        exact(leads, "notice_at", np.int64, n),
        exact(leads, "screened_at", np.int64, n),
        np.empty(0, dtype=np.uint64) if merged is None else merged.sources,
        np.empty(0, dtype=np.bool_) if doubted is None else doubted,
        register.words_on(known.as_of_day),
        exact(leads, "audience", np.uint8, n),
        exact(leads, "product_interest", np.uint8, n),
        exact(leads, "condition_focus", np.uint8, n),
        register.services.asked,
        register.services.on(known.as_of_day),
        register.law_of,
        register.places.bounds(known.as_of_us),
        register.places.united_states,
        freshness(known, register.feed_max_age_days),
        known.as_of_us,
        register.max_age_days,
        codes,
        numbers,
    )
    fill_purposes(known, register.purposes, codes[_PURPOSES_FROM:])
    return codes, numbers


@njit(cache=True, nogil=True)
def _fill(
    state: Any, country: Any, zone: Any, source: Any, recorded: Any, verified: Any, created: Any, obtained: Any,
    notice: Any, screened: Any, sources: Any, doubted: Any, words: Any, audience: Any, product: Any, condition: Any,
    asked: Any, offered: Any, law_of: Any, bounds: Any, united_states: int, feed: int, cut: int, max_age: int,
    codes: Any, numbers: Any,
) -> None:  # fmt: skip
    today, asks = cut // MICROSECONDS_A_DAY, asked.any()
    for i in range(len(state)):
        fresh = vouched(recorded[i], verified[i], cut, max_age)
        here = country[i] if fresh else 0
        if here == united_states and law_of[here] != 0:
            codes[0, i], codes[1, i] = state[i], words[_HELD, state[i]]
        bits = sources[i] if len(sources) else np.uint64(0)
        for row in range(_PERMITTED, _PHI + 1):
            said = words[row, source[i]]
            if bits != np.uint64(0):
                said = _of_all(bits, words[row], NO if row == _PERMITTED else YES)
            codes[1 + row, i] = said
        if notice[i] != UNKNOWN_INSTANT:
            codes[5, i] = YES if notice[i] <= cut else NO
        codes[6, i] = YES if len(doubted) and doubted[i] else NO
        codes[7, i] = feed
        wanted = product[i] if product[i] != 0 else asked[audience[i]]
        # Who may be anybody may ask for anything: what an audience asks for that names nothing is not known of it.
        if wanted != 0 or audience[i] != 0 or not asks:
            codes[8, i] = _offered(offered, wanted, condition[i], here, codes[0, i])
        since = created[i] if obtained[i] == UNKNOWN_INSTANT else obtained[i]
        numbers[0, i], numbers[1, i] = _days(since, today), _days(screened[i], today)
        named = zone[i] if fresh else 0
        numbers[2, i], numbers[3, i] = local_minutes(named, codes[0, i], here, bounds, cut // 60_000_000)


@njit(cache=True, nogil=True)
def _offered(offered: Any, product: int, condition: int, country: int, state: int) -> int:
    """What the table of services says; a code outside its vocabulary is unknown."""
    products, conditions, countries, states = offered.shape
    found: int = offered[
        product if product < products else 0,
        condition if condition < conditions else 0,
        country if country < countries else 0,
        state if state < states else 0,
    ]
    return found


@njit(cache=True, nogil=True)
def _of_all(bits: Any, words: Any, stricter: int) -> int:
    """What several sources say together: the stricter word where one says it, unknown where one says nothing."""
    found = NO if stricter == YES else YES
    for code in range(64):
        if bits & (np.uint64(1) << np.uint64(code)):
            if words[code] == stricter:
                return stricter
            if words[code] == 0:
                found = 0
    return found


@njit(cache=True, nogil=True)
def _days(since: int, today: int) -> int:
    days = today - since // MICROSECONDS_A_DAY
    return -1 if since == UNKNOWN_INSTANT or days < 0 else min(days, NEVER_DAYS)
