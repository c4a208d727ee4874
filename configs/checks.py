"""Conditions and examples in the configuration, checked at load so that every mistake is reported at once."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs.cards import FactDeclaration, RuleCard
from configs.conditions import Condition, IsUnknown, Not, facts_used, leaves, looks_at_unknown, parse
from configs.dictionary import AFTER_READINESS, OF_A_DATUM
from configs.errors import ConditionInvalid, Problem
from configs.references import reference_problems

# Effects of the feature gate: what becomes of a datum, not of a message.
FEATURE_EFFECTS = ("drop_feature", "mask")

# Codes are bytes: 0 is unknown, and 255 never a value.
MAX_VALUES = 254
# What `policy/scalar.py` calls its own variables.
_GENERATED = re.compile(r"_?[a-z]\d*|bit_.*|lead|channel|contents|fits|row|strict|zip")


def condition_problems(found: Mapping[str, Any], files: Mapping[tuple[str, str], str]) -> list[Problem]:
    """What is wrong with the conditions of rules, segments and points, each with its file and key."""
    facts, parameters = found["facts"], found["parameters"]
    problems: list[Problem] = []
    for file, key, text in _conditions(found, files):
        try:
            parse(text, facts, parameters)
        except ConditionInvalid as error:
            problems.append(Problem(file, key, str(error)))
    problems += [
        Problem("policy/facts.yaml", name, "expected a name that the generated form of the rules does not use itself")
        for name in facts
        if _GENERATED.fullmatch(name) or keyword.iskeyword(name)
    ]
    problems += [
        Problem("policy/facts.yaml", name, f"expected at most {MAX_VALUES} values, found {len(fact.values)}")
        for name, fact in facts.items()
        if len(fact.values) > MAX_VALUES
    ]
    problems += segment_problems(found, files)
    problems += reference_problems(found)
    for card in found["rules"]:
        file = files.get(("policy/rules", card.id), "policy/rules")
        problems += [Problem(file, f"{card.id}.{key}", expected) for key, expected in _card_problems(card, found)]
    return problems


def segment_problems(found: Mapping[str, Any], files: Mapping[tuple[str, str], str]) -> Iterator[Problem]:
    """What is wrong with segments besides syntax: facts that are not the lead's, and values nobody declared."""
    vocabularies, assets = found["vocabularies"], {asset.asset_id for asset in found["assets"]}
    values = {
        name: vocabularies[name].values if name in vocabularies else () for name in ("audience", "product", "stage")
    }
    for segment in found["segments"]:
        file = files.get(("segments", segment.id), "segments")
        used = [("audience", segment.audience, values["audience"]), ("offers", tuple(segment.offers), values["stage"])]
        used.append(("product", (segment.product,) if segment.product else (), values["product"]))
        used += [(f"offers.{stage}", offered, tuple(sorted(assets))) for stage, offered in segment.offers.items()]
        for key, given, allowed in used:
            for value in given:
                if value not in allowed:
                    yield Problem(file, f"{segment.id}.{key}", f"expected a declared value, found {value!r}")
        for key, text in segment.conditions().items():
            try:
                facts = facts_used(parse(text, found["facts"], found["parameters"]))
            except ConditionInvalid:
                continue  # reported with the other conditions
            for fact in facts:
                if found["facts"][fact].per != "lead":
                    yield Problem(file, f"{segment.id}.{key}", f"expected facts of the lead, {fact} varies with more")
        for place, step in enumerate(segment.fallback):
            for fact in step.missing:
                if fact not in found["facts"] or found["facts"][fact].per != "lead":
                    yield Problem(
                        file, f"{segment.id}.fallback.{place}.missing", f"expected facts of the lead, found {fact!r}"
                    )


def example_problems(card: RuleCard, facts: Mapping[str, FactDeclaration]) -> Iterator[tuple[str, str]]:
    """(key, expected) for each example that no run could honor."""
    verdicts = ("permit", "no_permit") if card.effect == "permit" else (card.effect, "pass")
    for index, example in enumerate(card.examples):
        if example.get("verdict") not in verdicts:
            yield f"examples.{index}.verdict", f"expected {' or '.join(verdicts)}"
        for name, value in example.items():
            if name in ("verdict", "on") or value == "unknown":
                continue
            if name not in facts:
                yield f"examples.{index}.{name}", "expected a fact of facts.yaml"
            elif example_code(facts[name], value) is None:
                yield f"examples.{index}.{name}", "expected a value this fact can take, or unknown"


def example_code(fact: FactDeclaration, value: Any) -> int | None:
    """Code of a value as an example writes it; YAML's own yes and no are accepted for yes/no facts."""
    if fact.type == "int":
        return (
            value if isinstance(value, int) and not isinstance(value, bool) and fact.min <= value <= fact.max else None
        )
    if isinstance(value, bool):
        value = ("no", "yes")[value] if fact.type == "yesno" else value
    return fact.values.index(value) + 1 if value in fact.values else None


def _card_problems(card: RuleCard, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    facts = found["facts"]
    yield from example_problems(card, facts)
    if card.effect == "reroute" and not card.route_to:
        yield "route_to", "expected a queue, because the effect is reroute"
    if card.review.status != "pending-counsel":
        yield (
            "review.status",
            "expected pending-counsel: `leadwell rules sign` keeps who signed in policy/signatures.jsonl",
        )
    if card.within and not card.route_to:
        yield "within", "expected a queue in route_to, because hours are given"
    for key, named in (("within", (card.within,) if card.within else ()), ("relies_on", card.relies_on)):
        for name in named:
            if name not in found["parameters"]:
                yield key, f"unknown parameter {name}"
    if (card.effect in FEATURE_EFFECTS) != (card.gates == ("feature",)):
        yield "gates", "expected [feature] for drop_feature and mask, and only for these"
    if card.effective.until is not None and card.effective.until <= card.effective.start:
        yield "effective.until", "expected a day after effective.from"
    if card.effect == "permit" and card.unless_surely:
        yield "unless_surely", "a permit has only applies_when"
    for key in ("applies_when", "unless_surely"):
        text = getattr(card, key)
        try:
            condition = parse(text, facts, found["parameters"]) if text else None
        except ConditionInvalid:
            continue  # reported with the other conditions
        if condition is None:
            continue
        # INVARIANT: a rule never sees a score.
        for fact in facts_used(condition):
            if fact in AFTER_READINESS:
                yield key, f"{fact} is known after readiness only, and a rule never looks at it"
            if fact in OF_A_DATUM and card.effect not in FEATURE_EFFECTS:
                yield key, f"{fact} is about a datum, and only a drop_feature or mask card looks at it"
        # INVARIANT: a card stays monotone, so only a review may ask whether a fact is unknown, and never its opposite.
        if looks_at_unknown(condition) and (
            card.effect != "review" or key == "unless_surely" or _denies_unknown(condition)
        ):
            yield key, "IS UNKNOWN is only for applies_when of a review, and not under NOT"
        if card.effect == "permit" and not {"jurisdiction", "audience"} <= set(facts_used(condition)):
            yield key, "expected a permit to name jurisdiction and audience"


def _denies_unknown(condition: Condition) -> bool:
    if isinstance(condition, Not):
        return any(isinstance(leaf, IsUnknown) for leaf in leaves(condition))
    return any(_denies_unknown(part) for part in getattr(condition, "parts", ()))


def _conditions(found: Mapping[str, Any], files: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, str, str]]:
    for card in found["rules"]:
        file = files.get(("policy/rules", card.id), "policy/rules")
        yield file, f"{card.id}.applies_when", card.applies_when
        if card.unless_surely is not None:
            yield file, f"{card.id}.unless_surely", card.unless_surely
    for segment in found["segments"]:
        file = files.get(("segments", segment.id), "segments")
        for key, text in segment.conditions().items():
            yield file, f"{segment.id}.{key}", text
    for status in found["statuses"]:
        yield "statuses.yaml", f"{status.id}.when", status.when
    if found["scorecard"] is not None:
        for part in ("fit", "engagement"):
            for rule in getattr(found["scorecard"], part):
                yield "scorecard.yaml", f"{part}.{rule.id}.when", rule.when


def lead_condition_problems(
    file: str, key: str, text: str, facts: Mapping[str, FactDeclaration], parameters: Mapping[str, Any]
) -> Iterator[Problem]:
    """What is wrong with a condition asked of a lead before its readiness is known; an empty one asks nothing."""
    if not text:
        return
    try:
        used = facts_used(parse(text, facts, parameters))
    except ConditionInvalid as error:
        yield Problem(file, key, str(error))
        return
    for fact in used:
        if facts[fact].per != "lead":
            yield Problem(file, key, f"expected facts of the lead, {fact} varies with more")
        elif fact in AFTER_READINESS:
            yield Problem(file, key, f"expected facts that are known before readiness, not {fact}")
