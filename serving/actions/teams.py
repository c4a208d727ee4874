"""Who takes what is for a person: the teams of a queue, by territory, language and market, and while they have room.

Nobody takes a lead whom nobody could serve: who asks for a service that is not offered where it is, and a channel
partner that is not eligible. Where nobody does, the taker says why and in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from configs.content import ActionSettings, Team
from configs.vocabulary import Vocabulary
from features.tables import NO, YES
from serving.kernels import QUEUE_KEYS

if TYPE_CHECKING:
    from serving.decide import Decisions

Reason = tuple[str, str]
_PARTNER = "partner"
# Queues that end in a booking or a sale: nobody takes a lead there whom no service could follow.
_SOLD = frozenset({"hot", "warm", "patient"})
# Facts that decide who takes a lead, in the order of `Wanted`.
_ASKED = ("service_offered", "partner_eligible", "target_market")
# Why nobody takes a lead, by the fact; the second sentence is for what is not on record.
_SAYS = {
    "territory": ("no team of {queue} covers the territory {value}", "the territory is not on record"),
    "language": ("no team of {queue} covers the language {value}", "the language is not on record"),
    "target_market": ("no team of {queue} covers the target market {value}", "the target market is not on record"),
    "partner_eligible": ("it is not eligible as a channel partner", "whether it may be one is not on record"),
    "service_offered": ("our service is not offered where the lead is", "where the lead is, is not on record"),
}  # fmt: skip
_UNTIL = {
    "partner_eligible": "nobody takes it until that changes",
    "service_offered": "nobody takes it, for nobody could keep the appointment",
}


class Wanted(NamedTuple):
    """What decides who takes a lead: a place in QUEUE_KEYS, its territory, and codes of what is known of it."""

    key: int
    territory: str | None = None
    language: int = 0
    service: int = 0
    eligible: int = 0
    market: int = 0


@dataclass(frozen=True, slots=True)
class Taker:
    """The teams that may take a lead, the first first; where none may, why: the fact and what is known of it.

    `open` says that nobody declared who works the queue, so that whoever works it takes everything.
    """

    teams: tuple[Team, ...]
    reason: Reason | None = None
    open: bool = False

    @property
    def because(self) -> tuple[list[str], ...]:
        """The fact that leaves nobody, and what is known of it or where to supply it; nothing where somebody takes."""
        if self.reason is None:
            return ()
        fact, value = self.reason
        table = "accounts" if fact in ("partner_eligible", "target_market") else "leads"
        return ([fact, "known", value] if value else [fact, "unknown", f"{table}.{fact}"],)

    def says(self, queue: str) -> tuple[str, ...]:
        """Why nobody takes a lead of a queue, in words; nothing where somebody does."""
        if self.reason is None:
            return ()
        fact, value = self.reason
        known, unknown = _SAYS[fact]
        until = _UNTIL.get(fact, "nobody takes it until one is assigned")
        return (known.format(queue=queue, value=value) if value else unknown, until)


@dataclass(frozen=True)
class Teams:
    """The teams of `actions.yaml`, and what was already found for a queue, territory and language."""

    settings: ActionSettings
    languages: tuple[str, ...]
    markets: tuple[str, ...] = ()
    _found: dict[Wanted, Taker] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: ActionSettings, language: Vocabulary, country: Vocabulary | None = None) -> Teams:
        """Resolve the settings; without countries no partner's market is known."""
        return cls(settings, language.values, () if country is None else country.values)

    def taker(
        self, key: int, territory: str | None, language: int, service: int = 0, eligible: int = 0, market: int = 0
    ) -> Taker:
        """Who may take a lead of a queue (a place in QUEUE_KEYS), with its territory and its language's code.

        A lead whose territory is not on record goes to a team of every territory only; one whose language is not on
        record to any, for they can ask.

        Args:
            key: the queue.
            territory: the lead's territory.
            language: the code of its language.
            service: `service_offered`; where it is no, no queue that ends in a booking takes the lead.
            eligible: `partner_eligible`, which a channel partner must surely be.
            market: `target_market`, the code of its country; what partners are taken by instead of a territory.
        """
        place = Wanted(key, territory, language, service, eligible, market)
        found = self._found.get(place)
        if found is None:
            if len(self._found) >= 65_536:
                self._found.clear()
            found = self._found[place] = self._taker(place)
        return found

    def _taker(self, place: Wanted) -> Taker:
        queue = QUEUE_KEYS[place.key]
        if queue in _SOLD and place.service == NO:
            return Taker((), ("service_offered", "no"))
        partner = queue == _PARTNER
        if partner and place.eligible != YES:
            return Taker((), ("partner_eligible", "no" if place.eligible == NO else ""))
        declared = self.settings.teams.get(self.settings.queues.get(queue, ""), ())
        if not declared:
            return Taker((), open=True)
        if partner:
            market = _word(self.markets, place.market)
            here = [team for team in declared if not team.markets or market in team.markets]
            if not here:
                return Taker((), ("target_market", market))
        else:
            here = [team for team in declared if not team.territories or place.territory in team.territories]
            if not here:
                return Taker((), ("territory", place.territory or ""))
        word = _word(self.languages, place.language)
        fit = tuple(team for team in here if not team.languages or not word or word in team.languages)
        return Taker(fit) if fit else Taker((), ("language", word))


def wanted_of(decisions: Decisions, row: int) -> Wanted:
    """What decides who takes one lead."""
    leads, columns, one = decisions.known.leads, decisions.facts.columns, decisions.facts.one
    territory, language = leads.get("territory"), leads.get("language")
    codes = []
    for name in _ASKED:
        if one is not None and name in one:
            codes.append(one[name])
        else:
            column = columns.get(name)
            codes.append(0 if column is None else column.item(row if len(column) > 1 else 0))
    return Wanted(
        decisions.chosen.queue.item(row),
        None if territory is None else territory[row],
        0 if language is None else language.item(row),
        *codes,
    )


def wanted(decisions: Decisions, rows: Any) -> Iterator[Wanted]:
    """What decides who takes each of some leads, in the order of `rows` (places of the leads)."""
    leads, columns = decisions.known.leads, decisions.facts.columns
    territory, language = leads.get("territory"), leads.get("language")
    found: list[list[Any]] = [decisions.chosen.queue[rows].tolist()]
    found.append([None] * len(rows) if territory is None else territory[rows].tolist())
    found.append([0] * len(rows) if language is None else language[rows].tolist())
    for name in _ASKED:
        column = columns.get(name)
        codes = np.zeros(1, dtype=np.uint8) if column is None else column.reshape(-1)
        found.append(np.broadcast_to(codes, (len(decisions),))[rows].tolist())
    return (Wanted(*place) for place in zip(*found, strict=True))


def _word(words: tuple[str, ...], code: int) -> str:
    return words[code - 1] if 0 < code <= len(words) else ""
