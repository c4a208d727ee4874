"""The rule book for a few leads: Python generated from the cards, one whole number for all rules, permits and channels.

Each channel has the words of its rules, and after all channels come the words of its permits, so that a rule which says
the same everywhere sets its bits in one go. A rule is a number of conditions that must all hold, and each looks at what
belongs to the lead, to the content or to how the two fit. What content says and what a fit says is remembered: there
are few assets, and few ways to fit. A condition that looks at more than one of these is a choice between what each
says, and has a level of its own: at every level some part must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from features.evaluate import All, AnyOf, CodeIs, Domain, Normal, define, facts_of_normal, source
from policy.masks import WORD, words_of

MAX_CHOICES = 1_024
MOST = 20_000
Code = tuple[Normal, tuple[int, ...]]
Pick = Callable[[Mapping[str, Any]], tuple[Any, ...]]
Masks = tuple[int, ...]
_OF: Mapping[str, str] = {
    "lead": "lead", "channel": "lead", "asset": "content", "asset_channel": "content", "lead_asset": "fit"
}  # fmt: skip
_PER_CHANNEL = ("channel", "asset_channel")


@dataclass(frozen=True, slots=True)
class Scalar:
    """The compiled book and the facts that it takes, in order.

    `ask(lead, channel, contents, fits)` gives a number for each pair of content and fit, and `stops(lead)` the rules
    about scoring; `content(row)` and `fits[row]` give what is to be handed to `ask`: a number, and one for each level.
    `kept` has what the contents of the assets that were asked for last say. `words` are how many a channel's rules
    have, and its permits.
    """

    ask: Callable[..., list[int]]
    stops: Callable[[tuple[Any, ...]], int]
    content: Callable[[tuple[Any, ...]], Masks]
    fits: Mapping[tuple[Any, ...], Masks]
    lead: tuple[str, ...]
    channel: tuple[str, ...]
    asset: tuple[str, ...]
    lead_asset: tuple[str, ...]
    facts: frozenset[str]
    lead_of: Pick
    channel_of: Pick
    asset_of: Pick
    fit_of: Pick
    words: tuple[int, int]
    kept: dict[str, Any] = field(default_factory=dict)

    def of_one(self, numbers: Mapping[str, Any], assets: int) -> list[int]:
        """For each asset the number of one lead, whose facts are given as plain numbers."""
        asked = self.asset_of(numbers)
        held = self.kept.get("assets")
        if held is not None and held[0] == asked and len(held[1]) == assets:
            contents = held[1]
        else:
            contents = [self.content(row) for row in _rows(asked, assets)]
            if len(contents) != assets:
                raise ValueError("facts of other assets")
            self.kept["assets"] = asked, contents
        fits = self.fits
        return self.ask(
            self.lead_of(numbers), self.channel_of(numbers), contents,
            [fits[row] for row in _rows(self.fit_of(numbers), assets)],
        )  # fmt: skip


def _rows(lists: tuple[Any, ...], assets: int) -> list[tuple[Any, ...]]:
    """Lists by asset, turned to what is said of each asset."""
    return list(zip(*lists, strict=True)) if lists else [()] * assets


class _Remembered(dict[tuple[Any, ...], Masks]):
    """Answers of a function of codes; whatever is asked for a second time is looked up."""

    def __init__(self, answer: Callable[[tuple[Any, ...]], Masks]) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, row: tuple[Any, ...]) -> Masks:
        if len(self) >= MOST:
            self.clear()
        found = self[row] = self._answer(row)
        return found


@dataclass(frozen=True, slots=True)
class _Said:
    """Bits that are set where all conditions hold, by channel, and bits that need no condition."""

    must: bool
    conditions: tuple[Normal, ...]
    bits: tuple[int, ...]


def compile_scalar(
    rules: Sequence[Code], permits: Sequence[Code], score_rules: Sequence[Code], domain: Domain, channels: int
) -> Scalar:
    """Generate the functions of a book; raises OverflowError where a condition has too many choices."""
    parts: dict[str, list[_Said]] = {"lead": [], "content": [], "fit": []}
    levels: list[dict[str, list[_Said]]] = []
    taken: list[int] = []
    every = 0
    words = words_of(len(rules)), words_of(len(permits))
    for first, group, size, must in (
        (0, rules, WORD * words[0], False),
        (WORD * words[0] * channels, permits, WORD * words[1], True),
    ):
        for bit, (normal, covered) in enumerate(group):
            bits = tuple(1 << first + size * c + bit if c in covered else 0 for c in range(channels))
            every |= sum(bits)
            alone, mixed = _parted(normal, domain)
            for owner, said in parts.items():
                said.append(_Said(must, tuple(alone.get(owner, ())), bits))
            for level, choice in enumerate(mixed):
                if level == len(levels):
                    levels.append({"lead": [], "content": [], "fit": []})
                    taken.append(0)
                taken[level] |= sum(bits)
                for owner, own in choice.items():
                    levels[level][owner].append(_Said(must, (_any_of(own),), bits))
    free = [every & ~bits for bits in taken]
    used = dict.fromkeys(
        fact for group in (rules, permits, score_rules) for one, _ in group for fact in facts_of_normal(one)
    )
    order = {scope: tuple(f for f in domain.facts if f in used and domain.facts[f].per == scope) for scope in _OF}
    asset = (*order["asset"], *order["asset_channel"])
    made = _Maker(domain, channels)
    # Whoever may not be scored may not, whatever channels the card names.
    stops = [_Said(False, (normal,), (1 << bit,)) for bit, (normal, _) in enumerate(score_rules)]
    content = ["def content(row):", *_unpack("row", asset, _facts_in(parts, levels, "content"))]
    content += made.function("content", parts, levels, free)
    fit = ["def fit(row):", *_unpack("row", order["lead_asset"], _facts_in(parts, levels, "fit"))]
    fit += made.function("fit", parts, levels, [0] * len(levels))
    asked = _facts_in(parts, levels, "lead")
    lead = ["def ask(lead, channel, contents, fits):", *_unpack("lead", order["lead"], asked)]
    lead += [*_unpack("channel", order["channel"], asked), *made.body("lead", parts, levels, [0] * len(levels))]
    places = range(len(levels) + 1)
    lead += [
        f"    return [{' & '.join(['w0 & c0 & f0', *(f'(w{k} | c{k} | f{k})' for k in places[1:])])}"
        f" for ({', '.join(f'c{k}' for k in places)},), ({', '.join(f'f{k}' for k in places)},)"
        " in zip(contents, fits, strict=True)]"
    ]
    scoring = [
        "def stops(lead):",
        *_unpack("lead", order["lead"], {f for s in stops for n in s.conditions for f in facts_of_normal(n)}),
    ]
    scoring += [*made.statements("w0", stops), "    return w0"]
    return Scalar(
        ask=define("ask", "\n".join(lead)),
        stops=define("stops", "\n".join(scoring)),
        content=define("content", "\n".join(content)),
        fits=_Remembered(define("fit", "\n".join(fit))),
        lead=order["lead"],
        channel=order["channel"],
        asset=asset,
        lead_asset=order["lead_asset"],
        facts=frozenset(used),
        lead_of=_pick(order["lead"]),
        channel_of=_pick(order["channel"]),
        asset_of=_pick(asset),
        fit_of=_pick(order["lead_asset"]),
        words=words,
    )


def _pick(facts: tuple[str, ...]) -> Pick:
    if len(facts) > 1:
        return itemgetter(*facts)
    return lambda codes: tuple(codes[fact] for fact in facts)


def _unpack(variable: str, facts: tuple[str, ...], asked: set[str]) -> list[str]:
    targets = [fact if fact in asked else "_" for fact in facts]
    return [f"    {', '.join(targets)}, = {variable}"] if asked & set(facts) else []


def _facts_in(
    parts: Mapping[str, Sequence[_Said]], levels: Sequence[Mapping[str, Sequence[_Said]]], owner: str
) -> set[str]:
    said = [*parts[owner], *(one for level in levels for one in level[owner])]
    return {fact for one in said for normal in one.conditions for fact in facts_of_normal(normal)}


def _owners(normal: Normal, domain: Domain) -> frozenset[str]:
    return frozenset(_OF[domain.facts[fact].per] for fact in facts_of_normal(normal))


def _parted(normal: Normal, domain: Domain) -> tuple[dict[str, list[Normal]], list[dict[str, list[Normal]]]]:
    """Conditions that must all hold: those of one owner, and choices between what several owners say."""
    alone: dict[str, list[Normal]] = {}
    mixed: list[dict[str, list[Normal]]] = []
    for conjunct in _conjuncts(normal):
        for clause in [conjunct] if len(_owners(conjunct, domain)) == 1 else _choices(conjunct, domain):
            choice: dict[str, list[Normal]] = {}
            for part in clause.parts if isinstance(clause, AnyOf) else (clause,):
                [owner] = _owners(part, domain)
                choice.setdefault(owner, []).append(part)
            if len(choice) == 1:
                [(owner, own)] = choice.items()
                alone.setdefault(owner, []).append(_any_of(own))
            else:
                mixed.append(choice)
    return alone, mixed


def entangled(normal: Normal, domain: Domain) -> bool:
    """Whether parting a condition by what lead, content and fit say takes more than MAX_CHOICES choices."""
    try:
        _parted(normal, domain)
    except OverflowError:
        return True
    return False


def _choices(normal: Normal, domain: Domain) -> list[Normal]:
    """Choices that must all be met, multiplied out until each part of a choice has one owner."""
    if len(_owners(normal, domain)) == 1:
        return [normal]
    if isinstance(normal, All):
        return [clause for part in normal.parts for clause in _choices(part, domain)]
    found: list[tuple[Normal, ...]] = [()]
    for part in normal.parts if isinstance(normal, AnyOf) else ():
        others = _choices(part, domain)
        found = [(*one, *(other.parts if isinstance(other, AnyOf) else (other,))) for one in found for other in others]
        if len(found) > MAX_CHOICES:
            raise OverflowError
    return [AnyOf(tuple(dict.fromkeys(one))) for one in found]


def _conjuncts(normal: Normal) -> list[Normal]:
    if isinstance(normal, All):
        return [conjunct for part in normal.parts for conjunct in _conjuncts(part)]
    return [normal]


def _any_of(parts: Sequence[Normal]) -> Normal:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _all_of(parts: Sequence[Normal]) -> Normal:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


@dataclass(frozen=True, slots=True)
class _Maker:
    domain: Domain
    channels: int

    def function(
        self, owner: str, parts: Mapping[str, Sequence[_Said]], levels: Sequence[Mapping[str, Sequence[_Said]]],
        free: Sequence[int],
    ) -> list[str]:  # fmt: skip
        """The body of a function that returns what an owner says at once, and at each level."""
        names = ", ".join(f"w{k}" for k in range(len(levels) + 1))
        return [*self.body(owner, parts, levels, free), f"    return ({names},)"]

    def body(
        self, owner: str, parts: Mapping[str, Sequence[_Said]], levels: Sequence[Mapping[str, Sequence[_Said]]],
        free: Sequence[int],
    ) -> list[str]:  # fmt: skip
        """Statements that set `w0`, and `w1` and so on for the levels; `free` are bits that a level does not ask."""
        said = [parts[owner], *(level[owner] for level in levels)]
        bits = self._often_asked([one for group in said for one in group])
        # An unknown number in place of a code raises here as it does anywhere: what cannot be read forbids.
        lines = [f"    bit_{fact} = 1 << {fact}" for fact in sorted(bits)]
        for k, group in enumerate(said):
            lines += self.statements(f"w{k}", group, free[k - 1] if k else 0, bits)
        return lines

    def statements(
        self, target: str, said: Sequence[_Said], start: int = 0, bits: frozenset[str] = frozenset()
    ) -> list[str]:
        """Statements that set the bits of each rule of which the conditions hold; the same question is asked once."""
        groups: dict[tuple[bool, tuple[Normal, ...], tuple[Normal, ...]], list[int]] = {}
        for one in said:
            if not one.conditions:
                start |= sum(one.bits)
                continue
            simple = tuple(n for n in one.conditions if not self._by_channel(n))
            varied = tuple(n for n in one.conditions if self._by_channel(n))
            found = groups.setdefault((one.must, simple, varied), [0] * self.channels)
            for c, own in enumerate(one.bits):
                found[c] |= own
        lines = [f"    {target} = {start}"]
        nested: dict[tuple[bool, tuple[Normal, ...]], list[str]] = {}
        for (must, simple, varied), by_channel in groups.items():
            nested.setdefault((must, simple), []).extend(self._varied(target, must, varied, by_channel, bits))
        names = self._names(0)
        shared: dict[str, list[str]] = {}
        for (must, simple), inner in nested.items():
            tests = [source(part, names, must=must, bits=bits) for part in simple]
            if tests:
                first, *others = tests
                block = shared.setdefault(first, [])
                if others:
                    block += [f"if {' and '.join(others)}:", *(f"    {line}" for line in inner)]
                else:
                    block += inner
            else:
                lines += [f"    {line}" for line in inner]
        for first, block in shared.items():
            lines += [f"    if {first}:", *(f"        {line}" for line in block)]
        return lines

    def _varied(
        self, target: str, must: bool, varied: tuple[Normal, ...], by_channel: list[int], bits: frozenset[str]
    ) -> list[str]:
        """Statements for what differs by channel, where all else holds."""
        if not varied:
            return [f"{target} |= {sum(by_channel)}"]
        asked, lines, indent = _all_of(varied), [], ""
        if isinstance(asked, AnyOf):
            # Whatever of a choice says the same on all channels is asked once, and settles them all.
            simple = [part for part in asked.parts if not self._by_channel(part)]
            if simple:
                test = source(_any_of(simple), self._names(0), must=must, bits=bits)
                lines += [f"if {test}: {target} |= {sum(by_channel)}", "else:"]
                indent = "    "
                asked = _any_of([part for part in asked.parts if part not in simple])
        if leaf := _one_code(asked, must):
            fact, code = leaf
            quick = f"{code} in {fact}" if must else f"{fact} != {[code] * self.channels}"
            lines.append(f"{indent}if {quick}:")
            if not must:
                lines += [f"{indent}    if {code} not in {fact}: {target} |= {sum(by_channel)}", f"{indent}    else:"]
                indent += "    "
            indent += "    "
        for c, own in enumerate(by_channel):
            if own:
                lines.append(f"{indent}if {source(asked, self._names(c), must=must, bits=bits)}: {target} |= {own}")
        return lines

    def _by_channel(self, normal: Normal) -> bool:
        return any(self.domain.facts[fact].per in _PER_CHANNEL for fact in facts_of_normal(normal))

    def _names(self, channel: int) -> dict[str, str]:
        return {f: f"{f}[{channel}]" if one.per in _PER_CHANNEL else f for f, one in self.domain.facts.items()}

    def _often_asked(self, said: Sequence[_Said]) -> frozenset[str]:
        """Facts that are no lists, whose code is asked for in sets, and more than once."""
        asked = [
            leaf.fact
            for one in said
            for normal in one.conditions
            for leaf in _code_leaves(normal)
            if not self._by_channel(leaf) and (leaf.codes if one.must else leaf.others).bit_count() > 1
        ]
        return frozenset(fact for fact in asked if asked.count(fact) > 2)


def _code_leaves(normal: Normal) -> list[CodeIs]:
    if isinstance(normal, All | AnyOf):
        return [leaf for part in normal.parts for leaf in _code_leaves(part)]
    return [normal] if isinstance(normal, CodeIs) else []


def _one_code(normal: Normal, must: bool) -> tuple[str, int] | None:
    """The fact and the code of a comparison that asks whether a fact has one code (must), or has not (may)."""
    if not isinstance(normal, CodeIs):
        return None
    codes = normal.codes if must else normal.others
    return (normal.fact, codes.bit_length() - 1) if codes.bit_count() == 1 else None
