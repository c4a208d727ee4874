"""Which channels rest today for whom: open pauses, by jurisdiction and by segment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.tables import NO, YES

_FIRST = date(1970, 1, 1)
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pausing:
    """One declared pause: its days since 1970, its channels, the jurisdictions it concerns by code, its segments."""

    first: int
    until: int
    channels: NDArray[np.bool_]
    jurisdictions: NDArray[np.bool_]
    everywhere: bool
    segments: frozenset[str]


def pauses_of(settings: Settings) -> tuple[Pausing, ...]:
    """The declared pauses, resolved."""
    channels, law = settings.vocabularies["channel"].values, settings.vocabularies["jurisdiction"]
    found = []
    for pause in settings.pauses:
        where = np.zeros(256, dtype=np.bool_)
        where[[law.code(place) for place in pause.jurisdictions]] = True
        where[0] = False
        found.append(
            Pausing(
                (pause.start - _FIRST) // timedelta(days=1),
                (pause.until - _FIRST) // timedelta(days=1),
                np.array([not pause.channels or channel in pause.channels for channel in channels]),
                where,
                not pause.jurisdictions,
                frozenset(pause.segments),
            )
        )
    return tuple(found)


def open_on(pauses: tuple[Pausing, ...], day: int) -> tuple[Pausing, ...]:
    """The pauses that are open on a day since 1970."""
    return tuple(pause for pause in pauses if pause.first <= day < pause.until)


def paused(
    pauses: tuple[Pausing, ...],
    jurisdiction: Codes,
    channels: int,
    member: NDArray[np.bool_] | None = None,
    segment_ids: tuple[str, ...] = (),
) -> Codes:
    """Yes/no by lead and channel: yes where a pause surely concerns it, unknown where one may, else no.

    A pause of a jurisdiction may concern a lead of an unknown one, a pause of segments every lead whose memberships
    (`member`, lead by segment) are not told yet.
    """
    found = np.full((len(jurisdiction), channels), NO, dtype=np.uint8)
    for pause in pauses:
        surely = pause.jurisdictions[jurisdiction] | pause.everywhere
        maybe = surely | (jurisdiction == 0)
        if pause.segments and member is None:
            surely = np.zeros_like(surely)
        elif pause.segments and member is not None:
            columns = [place for place, segment in enumerate(segment_ids) if segment in pause.segments]
            inside = member[:, columns].any(axis=1)
            surely, maybe = surely & inside, maybe & inside
        on = pause.channels[None, :]
        found[(maybe[:, None] & on) & (found == NO)] = 0
        found[surely[:, None] & on] = YES
    return found
