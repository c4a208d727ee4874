"""Writes docs/reference.md from the code and the shipped configuration, so that the page cannot say something else.

`python -m cli.reference` writes the page; a test compares it with what is made now.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cli.reference_lint import lint_codes
from cli.reference_targets import target_chapter
from cli.reference_triggers import triggers
from cli.reference_words import (
    ABSTAIN_SAYS,
    ENVIRONMENT,
    FEATURE_SAYS,
    GATE_SAYS,
    REJECTION_SAYS,
    SETTING_SAYS,
)
from configs.cards import RuleCard
from configs.dictionary import count_facts
from configs.settings import Settings, load_settings
from models.bands import CUT_BANDS, REASONS
from policy.gates import NEVER_FEATURES
from policy.reasons import EVALUATION_ERROR, NO_LEGAL_BASIS
from serving.reasons import REPLAY_BLOCK

PAGE = Path("docs/reference.md")
COMMAND = "python -m cli.reference"
SETTING_FILES = {
    "training.yaml": "training",
    "serving.yaml": "serving",
    "features.yaml": "features",
    "quality.yaml": "quality",
}
OPENING = f"""# Reference

Made from the code and the shipped configuration by `{COMMAND}` (`make docs`); do not edit. A test compares this page
with what is made now. Every shipped rule is a conservative default that your counsel must review, not legal advice."""


def commands(app: Any) -> Iterator[tuple[str, Any]]:
    """Every command of a Typer app as (`leadwell data check`, click command), in the order of `--help`."""
    import typer.main

    yield from _below("leadwell", typer.main.get_command(app))


def page() -> str:
    """The whole page."""
    from cli.app import app

    settings = load_settings()
    parts = [
        OPENING,
        *_commands(app),
        *_segments(settings),
        *triggers(settings),
        *target_chapter(settings),
        *lint_codes(),
        *_rules(settings),
        *_reasons(settings),
        *_facts(settings),
        *_parameters(settings),
        *_features(),
        *_scorecard(settings),
        *_bands(settings),
        *_settings(settings),
        "## Environment variables",
        table(("name", "what"), [(f"`{name}`", says) for name, says in ENVIRONMENT.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] = ()) -> None:
    """Write the page to the given file, or to docs/reference.md of the current folder."""
    target = Path(arguments[0]) if arguments else PAGE
    target.write_text(page(), encoding="utf-8")


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children: Mapping[str, Any] = getattr(command, "commands", {})
    if not children:
        yield name, command
    for word, child in children.items():
        yield from _below(f"{name} {word}", child)


def _commands(app: Any) -> Iterator[str]:
    yield "## Commands"
    rows = []
    for name, command in commands(app):
        paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
        examples = [text.removeprefix("Example: ") for text in paragraphs if text.startswith("Example: ")]
        rows.append((f"`{name}`", paragraphs[0], "<br>".join(f"`{example}`" for example in examples)))
    yield table(("command", "what it does", "example"), rows)
    yield "`--help` after any command lists its options."


def _segments(settings: Settings) -> Iterator[str]:
    yield "## Segments"
    ordered = sorted(settings.segments, key=lambda segment: segment.priority)
    live = [segment for segment in ordered if segment.status == "approved"]
    waiting = [segment for segment in ordered if segment.status != "approved"]
    yield "Approved segments hold leads; what is done about each: [segment matrix](segment_matrix.md)."
    yield table(
        ("id", "version", "priority", "unit", "purpose", "title", "next best action"),
        [(f"`{s.id}`", s.version, s.priority, s.unit, _words(s.purpose), s.title, s.next_best_action) for s in live],
    )
    yield "Definitions that hold nobody. A lower priority number is primary, once a segment is approved."
    yield table(
        ("id", "status", "priority", "unit", "purpose", "title"),
        [(f"`{s.id}`", s.status, s.priority, s.unit, _words(s.purpose), s.title) for s in waiting],
    )


def _rules(settings: Settings) -> Iterator[str]:
    cards = sorted(settings.rules, key=lambda card: card.id)
    rules = [card for card in cards if card.effect != "permit"]
    permits = [card for card in cards if card.effect == "permit"]
    yield "## Rules"
    yield "A rule blocks unless it surely does not apply. Confidence is ours in the citation, not in the reading of it."
    columns = ("id", "title", "effect", "channels", "gates", "in force", "reason codes", "legal basis (confidence)")
    yield table(columns, [_card(card) for card in rules])
    yield "## Permits"
    yield "Nothing is allowed without a permit, and a permit counts only where its condition surely holds."
    yield table(columns, [_card(card) for card in permits])


def _card(card: RuleCard) -> tuple[object, ...]:
    codes = [card.reason, *([card.reason_unknown] if card.reason_unknown else [])]
    since = f"{card.effective.start}" + (f" to {card.effective.until}" if card.effective.until else "")
    return (
        card.id,
        card.title,
        _words(card.effect),
        ", ".join(card.channels),
        ", ".join(card.gates),
        "switched off" if card.switched_off else since,
        ", ".join(f"`{code}`" for code in codes),
        "; ".join(f"{legal.cite} ({legal.confidence})" for legal in card.legal),
    )


def _reasons(settings: Settings) -> Iterator[str]:
    found: dict[str, list[tuple[str, str]]] = {}
    for card in sorted(settings.rules, key=lambda card: card.id):
        says = " ".join(card.says.split())
        found.setdefault(card.reason, []).append((card.id, says))
        if card.reason_unknown:
            found.setdefault(card.reason_unknown, []).append(
                (card.id, f"A fact that this card needs is unknown. {says}")
            )
    for block in (EVALUATION_ERROR, NO_LEGAL_BASIS, REPLAY_BLOCK):
        found[str(block["reason"])] = [("none", str(block["says"]))]
    for code in NEVER_FEATURES:
        found[code] = [("feature gate", GATE_SAYS[code])]
    yield "## Reason codes"
    yield "A code never changes its meaning; new ones are added."
    rows = []
    for code in sorted(found):
        cards = list(dict.fromkeys(card for card, _ in found[code]))
        rows.append((f"`{code}`", ", ".join(cards), "<br>".join(dict.fromkeys(says for _, says in found[code]))))
    yield table(("code", "card", "says"), rows)
    yield "A lead that cannot be read is listed under `rejected` with one of these:"
    yield table(("code", "says"), [(f"`{code}`", says) for code, says in REJECTION_SAYS.items()])


def _facts(settings: Settings) -> Iterator[str]:
    counted = count_facts(settings.features)
    features = settings.features
    yield "## Facts"
    yield (
        "What conditions may look at. Every fact can be unknown. `per` says what it varies with; `max age` is how old "
        "its source may be before it is unknown."
    )
    rows = [
        (
            f"`{name}`",
            fact.type,
            _words(fact.per),
            ", ".join(fact.values) if fact.type == "enum" else "no, yes" if fact.type == "yesno" else "whole number",
            fact.says,
            _days(fact.max_age_days),
        )
        for name, fact in settings.facts.items()
        if name not in counted
    ]
    yield table(("name", "type", "per", "values", "says", "max age"), rows)
    window = features.topic_window_days
    yield f"Besides these, {len(counted)} counts per lead follow from `features.yaml`:"
    patterns = [
        ("`{kind}_count_{days}d`", _listed(features.kinds), _listed(str(days) for days in features.windows_days)),
        (f"`topic_{{topic}}_count_{window}d`", _listed(features.topics), str(window)),
        (f"`depth_{{depth}}_count_{window}d`", _listed(features.depths), str(window)),
    ]
    yield table(("name", "of", "days"), patterns)


def _parameters(settings: Settings) -> Iterator[str]:
    yield "## Parameters"
    rows = [
        (
            f"`{name}`",
            "<br>".join(f"{value} from {day}" for day, value in sorted(parameter.values.items())),
            parameter.reference,
            parameter.note or "",
        )
        for name, parameter in sorted(settings.parameters.items())
    ]
    yield table(("name", "value", "reference", "note"), rows)


def _features() -> Iterator[str]:
    yield "## Features"
    yield "Every feature, how it is counted and what it may be used for: [features](features.md)."


def _scorecard(settings: Settings) -> Iterator[str]:
    card = settings.scorecard
    yield "## Scorecard rules"
    yield "Points are given where a condition is surely true; the points of one group stop at its cap."
    rows = [
        (f"`{rule.id}`", part, rule.group, card.caps[rule.group], rule.points, rule.says, f"`{rule.when}`")
        for part, rules in (("fit", card.fit), ("engagement", card.engagement))
        for rule in rules
    ]
    yield table(("id", "part", "group", "cap", "points", "says", "when"), rows)
    grades = [("fit", grade, points) for grade, points in card.fit_grades.items()]
    grades += [("engagement", str(grade), points) for grade, points in card.engagement_grades.items()]
    yield table(("part", "grade", "points from"), grades)
    decay = [(f"more than {step.over_days}", f"{step.keep_percent} %") for step in card.decay]
    yield table(("quiet days", "of its points engagement keeps"), decay)


def _bands(settings: Settings) -> Iterator[str]:
    yield "## Bands and abstain reasons"
    yield table(("band", "probability from"), [(band, settings.training.bands[band]) for band in CUT_BANDS])
    yield "`unknown` means that the model abstains from a band and says why, in this order:"
    yield table(("reason", "when"), [(f"`{reason}`", ABSTAIN_SAYS[reason]) for reason in (*REASONS[1:], "NO_SCORE")])


def _settings(settings: Settings) -> Iterator[str]:
    yield "## Settings"
    yield "`default` is what holds where a file leaves the key out; `must be given` where it may not."
    rows = [
        (file, f"`{key}`", shown, default, _setting_says(key))
        for file, part in SETTING_FILES.items()
        for key, shown, default in shown_settings(getattr(settings, part))
    ]
    yield table(("file", "key", "shipped", "default", "what"), rows)


def _setting_says(key: str) -> str:
    return FEATURE_SAYS.get(key) or SETTING_SAYS.get(key, SETTING_SAYS.get(key.rsplit(".", 1)[-1], ""))


def shown_settings(section: BaseModel, before: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting of a section as (dotted key, shipped value, default)."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from shown_settings(value, f"{before}{name}.")
            continue
        default = "must be given" if field.is_required() else _shown(field.get_default(call_default_factory=False))
        yield f"{before}{name}", _shown(value), default


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "none"
    if isinstance(value, tuple):
        return _listed(item if isinstance(item, str | int) else f"({_shown(vars(item))})" for item in value) or "none"
    return str(value)


def _days(count: int | None) -> str:
    return "" if count is None else f"{count} day{'' if count == 1 else 's'}"


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)


def _words(name: str) -> str:
    return name.replace("_", " ")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").strip()


if __name__ == "__main__":
    main(sys.argv[1:])
