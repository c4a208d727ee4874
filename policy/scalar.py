"""The rule book for a few leads: Python generated from the cards, where each rule runs only as often as its facts vary.

Four tiers. *Plain* rules look at the lead and the channel: once per channel. *Kind* rules look at facts of the asset
too: once per distinct kind of asset, because assets that agree on those facts share the answer. *Match* rules look at
how lead and asset fit: once per asset. Whatever else looks at several of these at once runs per asset and channel. A
rule's part that only concerns the lead is tested first, so a rule of another country costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.evaluate import All, Domain, Normal, define, facts_of_normal, source

Code = tuple[Normal, tuple[int, ...]]
Pick = Callable[[Mapping[str, Any]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Tier:
    """One generated function and the facts it takes, by what they vary with."""

    run: Callable[..., Any]
    lead: tuple[str, ...]
    channel: tuple[str, ...]
    asset: tuple[str, ...]
    lead_asset: tuple[str, ...]
    asset_channel: tuple[str, ...]
    empty: bool


@dataclass(frozen=True, slots=True)
class Tiers:
    """The compiled book. `lead` and `channel` name the facts that all tiers take, in order.

    `lead_of`, `channel_of` and `match_of` pick what the tiers take from the plain numbers of one lead; where rules of
    the rest look at assets only (`plain_answers`), that is all that an answer needs.
    """

    plain: Tier
    kind: Tier
    match: Tier
    rest: Tier
    lead: tuple[str, ...]
    channel: tuple[str, ...]
    facts: frozenset[str]
    lead_of: Pick
    channel_of: Pick
    match_of: Pick
    match_alike: bool
    plain_answers: bool


@dataclass(frozen=True, slots=True)
class _Coded:
    normal: Normal
    bit: int
    target: str
    must: bool
    channels: tuple[int, ...]


def compile_tiers(
    rules: Sequence[Code], permits: Sequence[Code], score_rules: Sequence[Code], domain: Domain, channel_count: int
) -> Tiers:
    """Generate the four functions of a book."""
    coded = [
        _Coded(normal, bit, target, target == "p", channels)
        for target, group in (("b", rules), ("p", permits), ("s", score_rules))
        for bit, (normal, channels) in enumerate(group)
    ]
    used = {fact for one in coded for fact in facts_of_normal(one.normal)}
    order = {scope: tuple(f for f in domain.facts if f in used and domain.facts[f].per == scope) for scope in _SCOPES}
    chosen: dict[str, list[_Coded]] = {"plain": [], "kind": [], "match": [], "rest": []}
    for one in coded:
        chosen[tier_of(one.normal, domain)].append(one)
    built = {name: _build(name, group, order, domain, channel_count) for name, group in chosen.items()}
    match, rest = built["match"], built["rest"]
    return Tiers(
        **built,
        lead=order["lead"],
        channel=order["channel"],
        facts=frozenset(order["lead"] + order["channel"] + match.asset + match.lead_asset),
        lead_of=_pick(order["lead"]),
        channel_of=_pick(order["channel"]),
        match_of=_pick((*match.asset, *match.lead_asset)),
        match_alike=all(len(one.channels) == channel_count for one in chosen["match"]),
        plain_answers=not (rest.lead or rest.channel or rest.lead_asset),
    )


def _pick(facts: tuple[str, ...]) -> Pick:
    if len(facts) > 1:
        return itemgetter(*facts)
    return lambda codes: tuple(codes[fact] for fact in facts)


_SCOPES = ("lead", "channel", "asset", "lead_asset", "asset_channel")


def _scopes(normal: Normal, domain: Domain) -> frozenset[str]:
    return frozenset(domain.facts[fact].per for fact in facts_of_normal(normal))


def tier_of(normal: Normal, domain: Domain) -> str:
    """Which function a rule belongs to: plain, kind, match or rest."""
    scopes = _scopes(normal, domain)
    if scopes <= {"lead", "channel"}:
        return "plain"
    if scopes <= {"lead", "channel", "asset"}:
        return "kind"
    if scopes <= {"lead", "asset", "lead_asset"}:
        return "match"
    return "rest"


def _build(
    name: str, group: list[_Coded], order: dict[str, tuple[str, ...]], domain: Domain, channel_count: int
) -> Tier:
    used = {fact for one in group for fact in facts_of_normal(one.normal)}
    facts = {scope: tuple(fact for fact in order[scope] if fact in used) for scope in _SCOPES}
    # Match rules that say the same on every channel are asked once per asset, not once per channel too.
    alike = name == "match" and all(len(one.channels) == channel_count for one in group)
    channels = range(1 if alike else channel_count)
    lines = [f"def {name}(lead, channel, rows=()):"]
    lines += _unpack("lead", [f if f in used else "_" for f in order["lead"]])
    nested = [
        "(" + ", ".join(f"{fact}_{c}" for c in channels) + ",)" if fact in used else "_" for fact in order["channel"]
    ]
    lines += _unpack("channel", nested)
    names = [
        {fact: f"{fact}_{c}" if domain.facts[fact].per in _PER_CHANNEL else fact for fact in used} for c in channels
    ]
    start = " = ".join(f"{target}{c}" for target in "bp" for c in channels) + " = 0"
    result = ", ".join(f"{target}{c}" for target in "bp" for c in channels)
    if name == "plain":
        lines += [f"    {start}", "    s = 0"]
        for one in group:
            lines += _rule(one, domain, names, "    ")
        lines.append(f"    return ({result}, s)")
    else:
        lines += _guards(group, domain, names)
        lines += ["    answers = []", "    for row in rows:"]
        fields = [*facts["asset"], *facts["lead_asset"]]
        fields += ["(" + ", ".join(f"{fact}_{c}" for c in channels) + ",)" for fact in facts["asset_channel"]]
        lines += _unpack("row", fields, "        ")
        lines.append(f"        {start}")
        for index, one in enumerate(group):
            lines += _rule(one, domain, names, "        ", f"g{index}")
        lines += [f"        answers.append(({result}))", "    return answers"]
    return Tier(define(name, "\n".join(lines)), **facts, empty=not group)


_PER_CHANNEL = ("channel", "asset_channel")


def _unpack(variable: str, targets: list[str], indent: str = "    ") -> list[str]:
    return [f"{indent}{', '.join(targets)}, = {variable}"] if any(t != "_" for t in targets) else []


@dataclass(frozen=True, slots=True)
class _Parts:
    """Conjuncts of a rule by what they vary with: the lead only, its channels, assets, assets and channels at once."""

    lead: list[Normal]
    channel: list[Normal]
    asset: list[Normal]
    mixed: list[Normal]

    @classmethod
    def of(cls, normal: Normal, domain: Domain) -> _Parts:
        parts = cls([], [], [], [])
        for conjunct in _conjuncts(normal):
            scopes = _scopes(conjunct, domain)
            varies = scopes & {"asset", "lead_asset", "asset_channel"}, scopes & set(_PER_CHANNEL)
            parts._kind(*map(bool, varies)).append(conjunct)
        return parts

    def _kind(self, by_asset: bool, by_channel: bool) -> list[Normal]:
        if by_asset:
            return self.mixed if by_channel else self.asset
        return self.channel if by_channel else self.lead


def _conjuncts(normal: Normal) -> list[Normal]:
    if isinstance(normal, All):
        return [conjunct for part in normal.parts for conjunct in _conjuncts(part)]
    return [normal]


def _guards(group: list[_Coded], domain: Domain, names: list[dict[str, str]]) -> list[str]:
    """What does not vary with assets is asked before the loop over them; a rule that cannot fire is skipped there."""
    lines = []
    for index, one in enumerate(group):
        parts = _Parts.of(one.normal, domain)
        guard = _joined(parts.lead, names[0], one.must)
        covered = one.channels[: len(names)]
        if parts.channel and covered:
            lines.append(f"    {' = '.join(f'g{index}_{c}' for c in covered)} = False")
            lines.append(f"    if {guard}:")
            lines += [f"        g{index}_{c} = {_joined(parts.channel, names[c], one.must)}" for c in covered]
            guard = " or ".join(f"g{index}_{c}" for c in covered)
        lines.append(f"    g{index} = {guard}")
    return lines


def _rule(one: _Coded, domain: Domain, names: list[dict[str, str]], indent: str, guard: str | None = None) -> list[str]:
    """Statements that set a rule's bit; `guard` names what `_guards` worked out, where there is a loop over assets."""
    parts = _Parts.of(one.normal, domain)
    tests = [guard] if guard else [_joined([part], names[0], one.must) for part in parts.lead]
    tests += [_joined([part], names[0], one.must) for part in parts.asset]
    bit = 1 << one.bit
    lines = [f"{indent}if {' and '.join(tests)}:"] if tests else [f"{indent}if True:"]
    inner = indent + "    "
    if one.target == "s":
        return [*lines, f"{inner}s |= {bit}"]
    for c in one.channels[: len(names)]:
        asked = [f"{guard}_{c}"] if guard and parts.channel else []
        asked += [_joined([part], names[c], one.must) for part in (parts.mixed if guard else parts.channel)]
        when = f"if {' and '.join(asked)}: " if asked else ""
        lines.append(f"{inner}{when}{one.target}{c} |= {bit}")
    return lines


def _joined(parts: list[Normal], names: dict[str, str], must: bool) -> str:
    return " and ".join(source(part, names, must=must) for part in parts) if parts else "True"


def by_lead(
    domain: Domain, columns: Mapping[str, NDArray[Any]], facts: tuple[str, ...], n: int, width: int
) -> list[list[Any]]:
    """Per fact, per lead: its code, or its codes by channel."""
    found: list[list[Any]] = []
    for fact in facts:
        column = columns.get(fact)
        if column is None:
            codes: list[Any] = [domain.unknown(fact)] * width
            found.append([codes if width > 1 else codes[0]] * n)
        else:
            full = column if column.shape == (n, 1, width) else np.broadcast_to(column, (n, 1, width))
            found.append(full.reshape(n, width).tolist() if width > 1 else full.ravel().tolist())
    return found


def by_asset(domain: Domain, columns: Mapping[str, NDArray[Any]], fact: str, lead: int, assets: int) -> list[int]:
    """Codes of a fact by asset for one lead."""
    column = columns.get(fact)
    if column is None:
        return [domain.unknown(fact)] * assets
    codes: list[int] = column[lead if column.shape[0] > 1 else 0, :, 0].tolist()
    return codes if len(codes) == assets else codes * assets


def rows_of(
    domain: Domain, columns: Mapping[str, NDArray[Any]], tier: Tier, lead: int, assets: int, channel_count: int
) -> list[tuple[Any, ...]]:
    """What a tier takes for each asset of one lead."""
    fields: list[list[Any]] = [by_asset(domain, columns, f, lead, assets) for f in (*tier.asset, *tier.lead_asset)]
    for fact in tier.asset_channel:
        column = columns.get(fact)
        if column is None:
            fields.append([[domain.unknown(fact)] * channel_count] * assets)
        else:
            fields.append(np.broadcast_to(column, (1, assets, channel_count))[0].tolist())
    return list(zip(*fields, strict=True)) if fields else [()] * assets
