"""Made-up books for trying the compiler: each uses a part of it that no card of the shipped book may need today.

The facts are made up too, of every scope and size: more values than a byte has bits, numbers, yes and no. Conditions
are drawn by a seed; what the compiler treats apart (nothing, one fact, 127 rules, two channels or nine) is by hand.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from configs.cards import Effective, FactDeclaration, Parameter, RuleCard
from configs.settings import Settings

_SIZES = {"3": 3, "9": 9, "20": 20, "140": 140}
_SCOPES = {"l": "lead", "c": "channel", "a": "asset", "f": "lead_asset", "m": "asset_channel"}
# Long enough to be no name that the generated Python uses itself.
_LONG = re.compile(r"\b([lcafm])(3|9|20|140|n|y)\b")
CHANNELS = ("email", "sms", "phone", "rep_visit", "mail", "event", "ads", "fax", "telex")
_BLOCKS = ("forbid", "reroute", "review", "suppress_until", "limit_content")
Card = tuple[str, str, tuple[str, ...]]  # effect, condition, channels


def facts() -> dict[str, FactDeclaration]:
    """Made-up facts, named by what they vary with and how many values they have; `n` is a number, `y` yes or no."""
    found = {}

    def fact(**said: Any) -> FactDeclaration:
        return FactDeclaration(says="made up", source="-", **said)

    for short, per in _SCOPES.items():
        for size, count in _SIZES.items():
            values = tuple(f"v{place}" for place in range(1, count + 1))
            found[f"fact_{short}{size}"] = fact(type="enum", per=per, values=values)
        found[f"fact_{short}n"] = fact(type="int", per=per, max=2**33)
        found[f"fact_{short}y"] = fact(type="yesno", per=per, values=("no", "yes"))
    return found


def small_books(settings: Settings, on: date, seed: int = 6) -> Iterator[tuple[str, Settings]]:
    """(what is special, settings) of each; all are in force on the given day."""
    seven = CHANNELS[:7]
    pick = random.Random(seed)  # noqa: S311 - made-up rules, not a secret

    def made(cards: Sequence[Card], channels: tuple[str, ...] = seven) -> Settings:
        return small_settings(settings, cards, channels, on)

    permit = ("permit", "ly = 'yes' OR l3 <> 'v1'", seven)
    yield "no card at all", made([])
    yield "one fact of the lead", made([("permit", "l3 = 'v1'", seven)])
    yield "one permit, one stop", made([permit, ("forbid", "ln = 0", seven)])
    for short, scope in _SCOPES.items():
        if short != "l":
            cards = [permit, ("forbid", f"{short}3 <> 'v2'", seven), ("review", f"{short}n >= 2", seven[1:4]),
                     ("permit", f"{short}y = 'yes' AND {short}9 IN ('v1', 'v2', 'v9')", seven)]  # fmt: skip
            yield f"cards about {scope}", made(cards)
    yield "a fact of the channel alone", made([("forbid", "c3 = 'v1'", seven), ("permit", "cy = 'yes'", seven)])
    for text in _SHAPES:
        both: list[Card] = [(effect, text, seven) for effect in ("forbid", "permit")]
        yield f"shape {text}", made([*both, ("permit", "l3 <> 'v3'", seven)])
    yield "one long rule on some channels", made([permit, ("forbid", _SHAPES[-2], seven[1:4])])
    yield "sets asked for often", made(
        [("forbid", f"l20 IN ('v{n}', 'v{n + 3}') OR c3 = 'v1'", seven) for n in range(1, 5)]
        + [("forbid", f"l9 = 'v{n}' AND l9 <> 'v9'", seven) for n in range(1, 4)] + [permit]
    )  # fmt: skip
    # As many as two words hold: the last rule lies beside the bit of an error. Permits take one word.
    yield "127 stops", made(many_cards(127, 40, 64))
    yield "who may not be scored", made(
        [permit, ("no_score", "l3 = 'v1'", seven[:1]), ("no_score", "ly <> 'no' AND ln < 3", seven),
         ("no_score", _SHAPES[-1], seven), ("no_score", "l9 = 'v2' OR ly = 'no'", seven[2:]),
         ("drop_feature", "l9 = 'v9'", seven), ("mask", "NOT l9 = 'v9'", seven)]
    )  # fmt: skip
    for count in (2, 9):
        own = CHANNELS[:count]
        others = [("permit", "ln >= 0 OR cy = 'yes'", own), ("forbid", _SHAPES[-2], own[:1])]
        yield f"{count} channels", made([*_drawn(pick, 8, own), *others], own)
    for number in range(6):
        yield f"drawn {number}", made(_drawn(pick, 14, seven))


def many_cards(stops: int, permits: int, scoring: int) -> list[Card]:
    """So many cards of each kind, of shapes that the compiler treats apart among simple ones."""
    seven, found = CHANNELS[:7], list[Card]()
    for n in range(max(stops, permits, scoring)):
        some, value = seven if n % 7 else seven[1:3], f"'v{n % 20 + 1}'"
        stop = _SHAPES[n // 3 % len(_SHAPES)] if n % 3 == 0 else f"{'lcafm'[n % 5]}20 = {value}"
        permit = _SHAPES[-1 - n // 3 % len(_SHAPES)] if n % 3 == 1 else f"l20 = {value}"
        each = (
            (_BLOCKS[n % 5], stop, stops),
            ("permit", permit, permits),
            ("no_score", f"l20 = {value} OR ln = {n}", scoring),
        )
        found += [(effect, text, some) for effect, text, count in each if n < count]
    return found


# What the generated Python, and the tables of words, treat apart.
_SHAPES = (
    "l3 = 'v1' AND (c3 = 'v1' OR l9 IN ('v2', 'v3'))",
    "c3 <> 'v1' OR l3 = 'v2'",
    "c9 = 'v9' AND a3 = 'v1'",
    "(a3 = 'v1' OR c3 = 'v2') AND l3 <> 'v1'",
    "(a3 = 'v1' OR c3 <> 'v2') AND fy = 'no'",
    "a3 <> 'v1' OR NOT c3 <> 'v2'",
    "(fy = 'yes' OR c9 IN ('v1', 'v3'))",
    "(a3 = 'v1' OR (c3 = 'v1' AND a9 = 'v2'))",
    "(my = 'yes' OR l3 = 'v1') AND cn < 2",
    "(ay = 'yes' OR cy = 'yes') AND (fy = 'yes' OR cn > 1)",
    "a3 = 'v1' AND a9 IN ('v1', 'v2') AND ay <> 'no'",
    "m9 IN ('v1', 'v9') OR m20 = 'v17'",
    "c20 IN ('v8', 'v9', 'v16', 'v17', 'v20')",
    "NOT c20 IN ('v1', 'v8', 'v9')",
    "c20 = 'v9' OR c20 = 'v8' OR c20 = 'v16' OR c20 = 'v1'",
    "(c3 = 'v1' OR cy = 'yes') AND a3 = 'v1'",
    "l3 IS UNKNOWN OR (cn IS UNKNOWN AND NOT c9 IS UNKNOWN)",
    "NOT (ln IS UNKNOWN OR a3 IS UNKNOWN)",
    "ln = {made.number} OR cn >= {made.number}",
    "ly = {made.switch}",
    "(l3 = 'v1' OR l9 = 'v1') AND (l3 = 'v1' OR l9 = 'v1')",
    "NOT (l3 = 'v1' OR NOT (c3 = 'v2' AND an < 3))",
    "fn <= 2 OR fn > 4 AND mn <> 3",
    "(c3 <> 'v1' OR l3 = 'v1' OR ly = 'no')",
    "l3 = 'v1' AND l3 <> 'v1'",
    "l3 IN ('v1', 'v2', 'v3')",
    "(c3 = 'v2' OR f3 = 'v1') AND (c3 = 'v2' OR f3 = 'v1')",
    "(a3 = 'v1' OR l3 = 'v1')",
    "(a3 <> 'v1' OR l3 = 'v1') AND f9 = 'v9'",
    "NOT a3 IN ('v1', 'v2', 'v3')",
    "(l3 = 'v1' AND fy = 'yes') OR (l9 <> 'v1' AND cy = 'yes')",
    "(l3 = 'v1' OR a3 = 'v1') AND (l9 = 'v1' OR f3 = 'v2')",
    "(ln < 2 OR c3 = 'v1') AND (cn < 2 OR c9 <> 'v9')",
    "a3 = 'v1' OR a9 = 'v9'",
    "m3 = 'v1'",
    "my <> 'yes' AND m9 = 'v9'",
    # Numbers beyond what a column holds, and what does not come out small when it is multiplied out.
    "ln < 2147483646 AND cn > 1",
    "ln <= 2147483645 OR c3 = 'v1'",
    # A code that needs a byte of its own.
    "l140 IN ('v1', 'v7', 'v130') OR c140 = 'v140'",
    "ln <= 2147483647 AND l3 = 'v1'",
    "cn >= 3000000000 OR c3 = 'v2'",
    "(l3 = 'v1' AND c3 = 'v1' AND a3 = 'v1') OR (l9 = 'v1' AND c9 <> 'v2' AND a9 = 'v3') OR "
    "(ly = 'no' AND fy = 'no' AND cy = 'yes' AND m3 = 'v1') OR (ln = 3 AND cn < 2)",
    "(l3 = 'v1' AND l9 = 'v1' AND ly = 'no') OR (l9 = 'v3' AND ln < 2 AND l20 = 'v1') OR "
    "(l3 = 'v2' AND l20 <> 'v3' AND ln > 2 AND ly = 'yes') OR (l20 = 'v9' AND l9 <> 'v2' AND ly <> 'no')",
)


def _drawn(pick: random.Random, count: int, channels: tuple[str, ...]) -> list[Card]:
    found: list[Card] = []
    for _ in range(count):
        effect = "permit" if pick.random() < 0.4 else pick.choice(_BLOCKS)
        some = (
            channels if pick.random() < 0.7 else tuple(one for one in channels if pick.random() < 0.5) or channels[:1]
        )
        found.append((effect, _condition(pick, 3), some))
    return found


def _condition(pick: random.Random, depth: int) -> str:
    if depth and pick.random() < 0.65:
        joined = f" {pick.choice(('AND', 'OR'))} ".join(
            f"({_condition(pick, depth - 1)})" for _ in range(pick.choice((2, 2, 3)))
        )
        return f"NOT ({joined})" if pick.random() < 0.3 else joined
    fact = pick.choice("lllccaafm") + pick.choice("3399ny")
    if pick.random() < 0.1:
        return f"{fact} IS UNKNOWN"
    if fact[1] == "n":
        return f"{fact} {pick.choice(('=', '<>', '<', '<=', '>', '>='))} {pick.randint(0, 5)}"
    if fact[1] == "y":
        return f"{fact} {pick.choice(('=', '<>'))} '{pick.choice(('yes', 'no'))}'"
    values = [f"'v{place}'" for place in pick.sample(range(1, _SIZES[fact[1]] + 1), pick.randint(1, 3))]
    return f"{fact} {pick.choice(('=', '<>'))} {values[0]}" if len(values) == 1 else f"{fact} IN ({', '.join(values)})"


def small_settings(settings: Settings, cards: Sequence[Card], channels: tuple[str, ...], on: date) -> Settings:
    """Settings with made-up facts, parameters, channels and cards; every second stop has an exception."""
    vocabularies = dict(settings.vocabularies)
    vocabularies["channel"] = _renamed(vocabularies["channel"], channels)
    return settings.model_copy(
        update={
            "facts": facts(),
            "parameters": dated(on),
            "vocabularies": vocabularies,
            "rules": tuple(_card(settings, number, *card, on) for number, card in enumerate(cards)),
        }
    )


def dated(on: date) -> dict[str, Parameter]:
    """A number and a switch that change on the day itself, and had and will have other values."""
    before, after = on - timedelta(days=400), on + timedelta(days=1)
    return {
        "made.number": Parameter(values={before: 1, on: 3, after: 5}, reference="made up"),
        "made.switch": Parameter(values={before: False, on: True, after: False}, reference="made up"),
    }


def _renamed(channel: Any, values: tuple[str, ...]) -> Any:
    return type(channel)(channel.name, values, {value: code for code, value in enumerate(values, start=1)})


def _card(settings: Settings, number: int, effect: str, text: str, channels: tuple[str, ...], on: date) -> RuleCard:
    base = next(card for card in settings.rules if card.effect == "forbid")
    changes: Mapping[str, Any] = {
        # Ids in another order than the cards are written in: masks follow ids.
        "id": f"X-{(number * 37 + 11) % 101:03d}-{number}",
        "effect": effect,
        "applies_when": _LONG.sub(r"fact_\1\2", text),
        "unless_surely": "fact_ly = 'yes' AND fact_ln < 2"
        if number % 4 == 3 and effect not in ("permit", "no_score")
        else None,
        "channels": channels,
        "gates": ("feature", "action", "send") if number % 5 else ("send",),
        "effective": Effective.model_validate({"from": on, "until": on + timedelta(days=1)}),
        "switched_off": None,
        "reason": f"R{number}",
        "reason_unknown": f"U{number}" if number % 2 else None,
        "route_to": "somebody" if number % 3 == 0 else None,
        "within": "made.number" if number % 3 == 1 else None,
        "relies_on": (),
        "examples": (),
    }
    return base.model_copy(update=changes)


def whole_language(settings: Settings) -> Settings:
    """The configuration with made-up cards instead of its own: every operator over facts of every scope."""
    block = next(card for card in settings.rules if card.effect == "forbid")
    permit = next(card for card in settings.rules if card.effect == "permit")
    score = next(card for card in settings.rules if card.effect == "no_score")
    every = tuple(settings.vocabularies["channel"].values)
    cards = [
        block.model_copy(
            update={"id": f"X-{n:02d}", "applies_when": text, "unless_surely": None,
                    "channels": every if n % 3 else every[1:4], "gates": ("action", "send"), "switched_off": None}
        )
        for n, text in enumerate(_LANGUAGE)
    ]  # fmt: skip
    kept = {"unless_surely": None, "gates": ("action", "send"), "switched_off": None}
    cards += [
        permit.model_copy(
            update={"id": "Y-01", "applies_when": "consent = 'granted' AND asset_status <> 'draft'", **kept}
        ),
        permit.model_copy(
            update={"id": "Y-02", "applies_when": "audience IN ('hcp', 'buyer')", "channels": every[:2], **kept}
        ),
        score.model_copy(update={"id": "Z-01", "applies_when": "adult = 'no' OR touches_7d > 2", **kept}),
    ]
    return settings.model_copy(update={"rules": tuple(cards)})


_LANGUAGE = (
    "touches_7d = 3", "touches_7d <> 3", "touches_7d < 3", "touches_7d <= 3", "touches_7d > 3", "touches_7d >= 3",
    "NOT touches_30d = 3", "NOT touches_30d <> 3", "NOT touches_30d < 3", "NOT touches_30d <= 3",
    "NOT touches_30d > 3", "NOT touches_30d >= 3", "channel_touches_7d >= {caps.channel_touches_7d}",
    "NOT (adult = 'yes' AND consent = 'granted')", "NOT (adult = 'yes' OR asset_intent = 'service')",
    "jurisdiction IN ('US', 'CA', 'DE') AND consent <> 'granted'", "NOT jurisdiction IN ('US', 'CA')",
    "audience IS UNKNOWN", "touches_7d IS UNKNOWN", "NOT asset_intent IS UNKNOWN", "NOT touches_30d IS UNKNOWN",
    "asset_status = 'draft' OR asset_layer = 'conversion'", "asset_audience_match = 'no' AND audience = 'hcp'",
    "asset_channel_match <> 'yes'", "asset_channel_match = 'no' AND opt_out = 'no' AND adult = 'yes'",
    "asset_repeated = 'yes' AND consent = 'implied'",
    "(opt_out = 'yes' OR touches_7d > 2) AND asset_status = 'approved'",
    "opt_out = 'yes' AND do_not_call = 'yes' AND jurisdiction = 'US' AND asset_intent = 'promotional'",
)  # fmt: skip
