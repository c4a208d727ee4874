"""The rule book for a few leads: Python generated from the cards, where each rule runs only as often as its facts vary.

Four tiers. *Plain* rules look at the lead and the channel: once per channel. *Kind* rules look at facts of the asset
too: once per distinct kind of asset, because assets that agree on those facts share the answer. *Match* rules look at
how lead and asset fit: once per asset. Whatever else looks at several of these at once runs per asset and channel. A
rule's part that only concerns the lead is tested first, so a rule of another country costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from features.evaluate import All, Domain, Normal, define, facts_of_normal, source

Code = tuple[Normal, tuple[int, ...]]


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
    """The compiled book. `lead` and `channel` name the facts that all tiers take, in order."""

    plain: Tier
    kind: Tier
    match: Tier
    rest: Tier
    lead: tuple[str, ...]
    channel: tuple[str, ...]


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
    return Tiers(**built, lead=order["lead"], channel=order["channel"])


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


def _parts(one: _Coded, domain: Domain) -> tuple[list[Normal], list[Normal], list[Normal]]:
    """Conjuncts of a rule by what they vary with: the lead only, assets too, channels too."""
    parts = one.normal.parts if isinstance(one.normal, All) else (one.normal,)
    lead: list[Normal] = []
    asset: list[Normal] = []
    channel: list[Normal] = []
    for part in parts:
        scopes = _scopes(part, domain)
        (lead if scopes <= {"lead"} else asset if not scopes & set(_PER_CHANNEL) else channel).append(part)
    return lead, asset, channel


def _guards(group: list[_Coded], domain: Domain, names: list[dict[str, str]]) -> list[str]:
    lines = []
    for index, one in enumerate(group):
        lead, _, _ = _parts(one, domain)
        lines.append(f"    g{index} = {_joined(lead, names[0], one.must)}")
    return lines


def _rule(one: _Coded, domain: Domain, names: list[dict[str, str]], indent: str, guard: str | None = None) -> list[str]:
    lead, asset, channel = _parts(one, domain)
    tests = [guard] if guard else [_joined([part], names[0], one.must) for part in lead]
    tests += [_joined([part], names[0], one.must) for part in asset]
    bit = 1 << one.bit
    lines = [f"{indent}if {' and '.join(tests)}:"] if tests else [f"{indent}if True:"]
    inner = indent + "    "
    if one.target == "s":
        return [*lines, f"{inner}s |= {bit}"]
    for c in one.channels[: len(names)]:
        if channel:
            lines.append(f"{inner}if {_joined(channel, names[c], one.must)}: {one.target}{c} |= {bit}")
        else:
            lines.append(f"{inner}{one.target}{c} |= {bit}")
    return lines


def _joined(parts: list[Normal], names: dict[str, str], must: bool) -> str:
    return " and ".join(source(part, names, must=must) for part in parts) if parts else "True"
