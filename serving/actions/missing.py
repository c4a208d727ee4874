"""What is missing: the fewest facts that, once known or renewed, could open a channel on which nothing is permitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from features.evaluate import All, AnyOf, CodeIs, Domain, Known, Normal, NumberIs
from policy.book import Book

KEPT = 20_000
# A fact of lead and content together is unknown because of the lead's own fact, which is what somebody can supply.
_RESTS_ON = {
    "asset_audience_match": "audience",
    "asset_market_match": "jurisdiction",
    "asset_authorised": "jurisdiction",
}
Codes = Mapping[str, int]
# None: nothing that is missing would do.
Facts = frozenset[str] | None


class Missing:
    """What it would take, by rules and codes. Reliefs are remembered by the list of reasons that they are about."""

    def __init__(self, domain: Domain, renewable: Mapping[str, tuple[str, ...]]) -> None:
        self.domain = domain
        self.renewable = {
            fact: frozenset(domain.code(fact, value) for value in values) for fact, values in renewable.items()
        }
        self._not_needed = domain.code("asset_status", "not_needed") if "asset_status" in domain.facts else -1
        self._of_content = {fact for fact, one in domain.facts.items() if one.per not in ("lead", "channel")}
        # The list itself is kept with its answer, so that no other list can ever have the same id.
        self._reliefs: dict[tuple[int, bool], tuple[list[Any], Facts]] = {}
        self._supports: dict[tuple[Any, ...], tuple[frozenset[str], ...]] = {}
        self._used: dict[tuple[str, int], tuple[str, ...]] = {}

    def of(
        self,
        book: Book,
        channel: int,
        mask: int,
        reasons: list[Any],
        permitted: bool,
        limit: int,
        code: Callable[[str], int],
    ) -> tuple[str, ...] | None:
        """The facts to supply or renew so that no rule of a mask surely fires and some permit could hold; else None.

        Every rule is relieved by its cheapest alternative, and of the permits the cheapest is taken: no smaller set
        does where no two rules share an alternative.

        Args:
            book: the rules.
            channel: the place of the channel.
            mask: the rules that stop it.
            reasons: what the answer says of them; of the same list the relief is the same.
            permitted: whether some permit counts already.
            limit: so many facts are too many already.
            code: the code of a fact for this lead, channel and the asset shown there.
        """
        bare = code("asset_status") == self._not_needed
        remembered = self._reliefs.get((id(reasons), bare))
        if remembered is None or remembered[0] is not reasons:
            if len(self._reliefs) >= KEPT:
                self._reliefs.clear()
            remembered = self._reliefs[id(reasons), bare] = (reasons, self._relief_of(book, mask, code, bare))
        needed = remembered[1]
        if needed is None:
            return None
        if len(needed) >= limit:
            return None
        if not permitted:
            possible = self._ways(book, channel, code, bare)
            if not possible:
                return None
            own = needed
            needed = own | min(possible, key=lambda way: (len(way | own), sorted(way)))
        named = {_RESTS_ON[f] if f in _RESTS_ON and self._unknown(code(_RESTS_ON[f]), f) else f for f in needed}
        return tuple(sorted(named))

    def _ways(self, book: Book, channel: int, code: Callable[[str], int], bare: bool) -> tuple[frozenset[str], ...]:
        """What each permit of a channel that could hold would take."""
        facts = self._used.get((book.hash, channel))
        if facts is None:
            used = {fact for one in book.permits if channel in one.channels for fact in one.facts}
            facts = self._used[book.hash, channel] = tuple(sorted(used))
        codes = {fact: code(fact) for fact in facts}
        key = (book.hash, channel, bare, *codes.values())
        found = self._supports.get(key)
        if found is None:
            if len(self._supports) >= KEPT:
                self._supports.clear()
            permits = [one for one in book.permits if channel in one.channels]
            ways = [self._support(one.normal, codes, bare) for one in permits]
            found = self._supports[key] = tuple(way for way in ways if way is not None)
        return found

    def _relief_of(self, book: Book, mask: int, code: Callable[[str], int], bare: bool) -> Facts:
        needed: frozenset[str] = frozenset()
        for bit, one in enumerate(book.rules):
            if mask >> bit & 1:
                found = self._relief(one.normal, {fact: code(fact) for fact in one.facts}, bare)
                if found is None:
                    return None
                needed |= found
        return needed

    def _relief(self, normal: Normal, codes: Codes, bare: bool) -> Facts:
        """What would have to be known or renewed so that a condition no longer holds."""
        if isinstance(normal, All):
            return _cheapest([self._relief(part, codes, bare) for part in normal.parts])
        if isinstance(normal, AnyOf):
            return _together([self._relief(part, codes, bare) for part in normal.parts])
        held = _holds(normal, codes, self.domain)
        return frozenset() if held is False else self._supplied(normal.fact, codes, held, bare)

    def _support(self, normal: Normal, codes: Codes, bare: bool) -> Facts:
        """What would have to be known or renewed so that a condition holds."""
        if isinstance(normal, All):
            return _together([self._support(part, codes, bare) for part in normal.parts])
        if isinstance(normal, AnyOf):
            return _cheapest([self._support(part, codes, bare) for part in normal.parts])
        held = _holds(normal, codes, self.domain)
        return frozenset() if held else self._supplied(normal.fact, codes, held, bare)

    def _supplied(self, fact: str, codes: Codes, held: bool | None, bare: bool) -> Facts:
        """The fact itself, where knowing or renewing it may help; a message without an asset has none to supply."""
        if held is None:
            return None if bare and fact in self._of_content else frozenset((fact,))
        return frozenset((fact,)) if codes[fact] in self.renewable.get(fact, ()) else None

    def _unknown(self, code: int, fact: str) -> bool:
        return code == self.domain.unknown(_RESTS_ON[fact])


def _cheapest(ways: list[Facts]) -> Facts:
    possible = [way for way in ways if way is not None]
    return min(possible, key=lambda way: (len(way), sorted(way))) if possible else None


def _together(ways: list[Facts]) -> Facts:
    found: frozenset[str] = frozenset()
    for way in ways:
        if way is None:
            return None
        found |= way
    return found


_COMPARE = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _holds(leaf: CodeIs | NumberIs | Known, codes: Codes, domain: Domain) -> bool | None:
    """Whether a comparison holds of the codes; None where the fact is unknown."""
    code, unknown = codes[leaf.fact], domain.unknown(leaf.fact)
    if isinstance(leaf, Known):
        # Whether it is known is what supplying it changes, so an unknown fact is not held against anybody.
        return leaf.known if code != unknown else None
    if isinstance(leaf, CodeIs):
        return True if leaf.codes >> code & 1 else False if leaf.others >> code & 1 else None
    return None if code == unknown else bool(_COMPARE[leaf.operator](code, leaf.number))
