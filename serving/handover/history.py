"""What happened between a lead and us, in order of days: what it did, what we sent or said, and which meetings were.

Only what may be used is in it: off-label questions and the replies to them are nobody's in sales, and a record of an
adverse event goes to pharmacovigilance alone. What a machine likelier did than a person is counted and not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.columns import CERTAIN
from features.engagement import SUSPECT_BELOW
from features.history import NEVER_COMMERCIAL_INTENT
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT
from serving.decide import Decisions

_EPOCH = date(1970, 1, 1)
# Cases that sales may see; the others are a matter of medical information or pharmacovigilance.
_SHOWN_CASES = ("meeting", "handover", "complaint")
# Where each code of an event's word begins and how many bits it has (`features/columns.py`).
_KIND, _TOPIC, _DEPTH, _PERSON, _CHANNEL, _PRODUCT = (16, 8), (24, 8), (32, 5), (37, 5), (42, 6), (48, 8)
_AGE = (0, 14)


@dataclass(frozen=True, slots=True)
class Told:
    """A lead's history: the rows, newest first, how many older or further ones are left out, and suspect events."""

    rows: tuple[dict[str, Any], ...]
    left_out: int
    suspect: int
    asked: Mapping[str, int]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Histories:
    """The histories of the leads of some decisions; touches and cases are put in the order of leads once."""

    decisions: Decisions

    @cached_property
    def _words(self) -> Mapping[str, tuple[str, ...]]:
        names = ("event_kind", "topic", "depth", "event_channel", "product", "channel", "intent", "case_kind")
        vocabularies = self.decisions.decider.settings.vocabularies
        return {name: ("", *vocabularies[name].values) for name in names}

    @cached_property
    def _touches(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        return _in_order(self.decisions.known.touches, len(self.decisions))

    @cached_property
    def _cases(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        return _in_order(self.decisions.known.cases, len(self.decisions))

    @cached_property
    def _questions(self) -> NDArray[np.bool_]:
        settings, found = self.decisions.decider.settings, np.zeros(256, dtype=np.bool_)
        found[[settings.vocabularies["event_kind"].code(kind) for kind in settings.features.question_kinds]] = True
        found[0] = False
        return found

    def of(self, row: int) -> Told:
        """The history of one lead, within the days and the number of rows that are declared."""
        settings = self.decisions.decider.settings.qualification
        found, events, suspect, asked = self._events(row, settings.history_days, settings.history_rows)
        touches, shown = self._of_touches(row, settings.history_days)
        others = [*touches, *self._of_cases(row, settings.history_days)]
        rows = [*found, *others]
        # INVARIANT: the order of rows never matters: of one day they are told in the order of their words.
        rows.sort(key=str)
        rows.sort(key=lambda one: str(one["on"]), reverse=True)
        kept = rows[: settings.history_rows]
        return Told(tuple(kept), events + len(others) - len(kept), suspect, asked, shown)

    def _events(self, row: int, days: int, most: int) -> tuple[list[dict[str, Any]], int, int, Counter[str]]:
        """The newest events of a person, how many differ, how many a machine likelier made, and topics asked."""
        known, words = self.decisions.known, self._words
        start, stop = known.event_starts[row : row + 2].tolist()
        every = known.event_words[start:stop]
        every = every[_codes(every, _AGE) <= days]
        surely = _codes(every, _PERSON) >= SUSPECT_BELOW
        own = every[surely]
        asking = own[self._questions[_codes(own, _KIND)]]
        topics = np.bincount(_codes(asking, _TOPIC), minlength=1).tolist()
        asked = {name: times for code, times in enumerate(topics) if times and (name := _word(words["topic"], code))}
        # The same more than once a day is told once, and of one day in the order of codes: rows come in any order.
        same, times = np.unique(own, return_counts=True)
        order = np.lexsort((same, _codes(same, _AGE)))[:most]
        found = [
            _told(
                on=self._day(known.as_of_day - _code(word, _AGE)),
                what="did",
                kind=_word(words["event_kind"], _code(word, _KIND)) or "event",
                topic=_word(words["topic"], _code(word, _TOPIC)),
                depth=_word(words["depth"], _code(word, _DEPTH)),
                product=_word(words["product"], _code(word, _PRODUCT)),
                channel=_word(words["event_channel"], _code(word, _CHANNEL)),
                times=None if count == 1 else count,
                surely=None if _code(word, _PERSON) == CERTAIN else False,
            )
            for word, count in zip(same[order].tolist(), times[order].tolist(), strict=True)
        ]
        return found, len(same), len(every) - len(own), Counter(asked)

    def _of_touches(self, row: int, days: int) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        known, words = self.decisions.known, self._words
        found: list[dict[str, Any]] = []
        shown: set[str] = set()
        order, starts = self._touches
        for at in order[starts[row] : starts[row + 1]].tolist():
            day = int(known.touches["sent_at"][at]) // MICROSECONDS_A_DAY
            intent = self._cell(known.touches, "intent", at, words["intent"])
            # INVARIANT: a reply of medical information is not told: it would tell that the lead asked.
            if known.as_of_day - day > days or intent == NEVER_COMMERCIAL_INTENT:
                continue
            asset = known.touches.get("asset")
            place = -1 if asset is None else int(asset[at])
            asset_id = str(known.asset_ids[place]) if 0 <= place < len(known.asset_ids) else None
            if asset_id is not None:
                shown.add(asset_id)
            channel = self._cell(known.touches, "channel", at, words["channel"])
            found.append(_told(on=self._day(day), what="we sent", channel=channel, intent=intent, asset_id=asset_id))
        return found, tuple(sorted(shown))

    def _of_cases(self, row: int, days: int) -> list[dict[str, Any]]:
        known, words = self.decisions.known, self._words
        found: list[dict[str, Any]] = []
        order, starts = self._cases
        for at in order[starts[row] : starts[row + 1]].tolist():
            kind = self._cell(known.cases, "kind", at, words["case_kind"])
            opened, closed = (int(known.cases[name][at]) for name in ("opened_at", "closed_at"))
            if kind not in _SHOWN_CASES or known.as_of_day - opened // MICROSECONDS_A_DAY > days:
                continue
            ended = None if closed == UNKNOWN_INSTANT else self._day(closed // MICROSECONDS_A_DAY)
            product = self._cell(known.cases, "product", at, words["product"])
            day = self._day(opened // MICROSECONDS_A_DAY)
            found.append(_told(on=day, what="opened", kind=kind, product=product, closed_on=ended))
        return found

    def _cell(self, rows: Mapping[str, NDArray[Any]], name: str, at: int, words: tuple[str, ...]) -> str | None:
        column = rows.get(name)
        return None if column is None else _word(words, int(column[at]))

    def _day(self, day: int) -> str:
        return (_EPOCH + timedelta(days=day)).isoformat()


def _in_order(rows: Mapping[str, NDArray[Any]], n: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Rows of a table in the order of their leads, and where the rows of each lead begin."""
    if not rows or not len(rows["lead"]):
        return np.empty(0, dtype=np.intp), np.zeros(n + 1, dtype=np.int64)
    lead = rows["lead"]
    order = np.argsort(lead, kind="stable")
    return order, np.searchsorted(lead[order], np.arange(n + 1)).astype(np.int64)


def _codes(words: NDArray[np.uint64], place: tuple[int, int]) -> NDArray[np.int64]:
    shift, bits = place
    return (words >> np.uint64(shift) & np.uint64((1 << bits) - 1)).astype(np.int64)


def _code(word: int, place: tuple[int, int]) -> int:
    shift, bits = place
    return word >> shift & ((1 << bits) - 1)


def _word(words: tuple[str, ...], code: int) -> str | None:
    return words[code] if 0 < code < len(words) else None


def _told(**fields: Any) -> dict[str, Any]:
    """A row without what is not known."""
    return {name: value for name, value in fields.items() if value is not None}
