"""A thresholds file that a person may adopt: what is declared with one rule laid on top, and what it would bring."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import ValidationError

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.thresholds import ThresholdRule, ThresholdSettings
from training.evaluation.resampling import Estimate
from training.thresholds.thresholds import ALL, GroupCuts, Thresholds

DASH = "\N{EN DASH}"


def rule_of(capacity: float | None, value: float | None, cost: float | None) -> ThresholdRule:
    """The rule that a person asks for; it says nothing where nothing is given. Raises InputInvalid."""
    try:
        hot = None if capacity is None else {"hot": capacity}
        return ThresholdRule.model_validate({"capacity": hot, "value": value, "cost": cost})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputInvalid("thresholds", first["msg"].removeprefix("Value error, "), field=place) from None


def with_rule(settings: Settings, segment: str, rule: ThresholdRule, leads_a_month: float | None = None) -> Settings:
    """The settings with a rule for a segment, or for all where none is named; raises InputInvalid on another name.

    A rule that says nothing leaves what is declared as it is.
    """
    declared = settings.thresholds
    known = sorted(definition.id for definition in settings.segments)
    if segment and segment not in known:
        alike = get_close_matches(segment, known, n=3)
        hint = f"did you mean {' or '.join(alike)}?" if alike else "`leadwell segments show` lists them"
        raise InputInvalid("thresholds", f"no segment is named {segment!r}; {hint}")
    laid: dict[str, object] = {}
    if rule.declared and segment:
        laid["segments"] = {**declared.segments, segment: rule}
    elif rule.declared:
        laid["all"] = rule
    if leads_a_month is not None:
        laid["leads_a_month"] = leads_a_month
    return settings.model_copy(update={"thresholds": declared.model_copy(update=laid)})


def yaml_text(declared: ThresholdSettings, found: Thresholds, heading: str) -> str:
    """The text of `thresholds.yaml`; its comments say what every rule in it chose and brings."""
    lines = [f"# {heading}", f"# {found.says[:1].upper()}{found.says[1:]}."]
    lines += [f"leads_a_month: {_number(declared.leads_a_month)}"]
    lines += [f"min_rows: {declared.min_rows}", f"min_above: {declared.min_above}"]
    lines += [*_comments(found, ALL), f"all: {_rule(declared.all)}"]
    lines.append("segments:" if declared.segments else "segments: {}")
    for name, rule in declared.segments.items():
        lines += [f"  {comment}" for comment in _comments(found, name)]
        lines.append(f"  {name}: {_rule(rule)}")
    return "\n".join(lines) + "\n"


def hot_words(group: GroupCuts, per: str) -> str:
    """What a group's hot band is and brings, in a sentence."""
    hot = group.band("hot")
    told = hot.brings
    if told.volume.value is None:
        return f"hot from {hot.cut:.3f}; no held-out lead tells what that brings"
    reached = f"{percent(told.precision)} get there" if told.precision.value is not None else "none to tell by"
    return f"hot from {hot.cut:.3f}: {count(told.volume)} leads {per}; {reached}"


def words_of(found: Thresholds | None) -> tuple[str, ...]:
    """What a reader of a model card must know of declared cuts; nothing where the default ones stand."""
    if found is None or not found.declared:
        return ()
    told = [f"Bands are cut as declared in thresholds.yaml; {found.says}."]
    for group in found.groups:
        if group.follows == "own" or group.id == ALL:
            told.append(f"Cut of {group.id}, by {group.rule}: {hot_words(group, found.per)}.")
        if group.reason:
            told.append(f"The rule of {group.id} is not followed: {group.reason}.")
    return tuple(told)


def percent(found: Estimate) -> str:
    """A share with its interval: `31 % (28-34)` with a longer dash; a dash where it has none."""
    if found.value is None or found.low is None or found.high is None:
        return DASH
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f}{DASH}{100 * found.high:.1f})"


def count(found: Estimate) -> str:
    """A number of leads with its interval."""
    if found.value is None or found.low is None or found.high is None:
        return DASH
    places = 0 if found.value >= 100 else 1
    return f"{found.value:,.{places}f} ({found.low:,.{places}f}{DASH}{found.high:,.{places}f})"


def _comments(found: Thresholds, name: str) -> Iterator[str]:
    group = next((one for one in found.groups if one.id == name), None)
    if group is None:
        return
    if group.reason:
        yield f"# not cut by its rule: {group.reason}"
    yield f"# {hot_words(group, found.per)}"


def _rule(rule: ThresholdRule) -> str:
    parts = []
    if rule.capacity is not None:
        inside = ", ".join(f"{band}: {_number(leads)}" for band, leads in rule.capacity.named.items())
        parts.append(f"capacity: {{{inside}}}")
    if rule.value is not None:
        parts += [f"value: {_number(rule.value)}", f"cost: {_number(rule.cost)}"]
    return f"{{{', '.join(parts)}}}"


def _number(value: float | None) -> str:
    if value is None:
        return "null"
    return str(int(value)) if value == int(value) else repr(value)
