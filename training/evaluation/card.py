"""The model card: one offline page that says what a model is for, how good it is and for whom, and that can be signed.

It is drawn from the evaluation beside the bundle and from the registry's approvals; nothing is trained or read again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation.card_plots import card_pictures
from training.evaluation.card_words import DIMENSIONS, METRIC_WORDS, Left, data_lines, limits_of, not_for
from training.evaluation.evaluation import Evaluation, card_file, load_evaluation, save_evaluation
from training.evaluation.resampling import Estimate
from training.reviews.pages import write_page

if TYPE_CHECKING:
    from configs.mapping import SourceMapping
    from configs.settings import Settings
    from training.registry.history import History
    from training.train import Trained

MINUS, UNDEFINED = "\N{MINUS SIGN}", "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class CardApproval:
    """An approval that the registry holds for this bundle; `objection` says why it does not count for this card."""

    by: str
    on: str
    until: str
    note: str
    objection: str = ""


def keep_card(trained: Trained, settings: Settings, *, title: str, mapping: SourceMapping | None = None) -> Evaluation:
    """Judge what was trained, keep every number beside its bundle and draw the card without any approval yet."""
    from training.evaluation.evaluate import evaluate

    evaluation = evaluate(trained, settings, title=title, mapping=mapping)
    save_evaluation(evaluation, trained.folder)
    write_card(trained.folder, trained.bundle.bundle_id)
    return evaluation


def write_card(bundle: Path, bundle_id: str, approvals: Sequence[CardApproval] = ()) -> Path:
    """Draw the card of a bundle's folder from the evaluation beside it; returns the page's path.

    Raises NotReady where there is no evaluation, BundleRefused where it is of another bundle.
    """
    evaluation, digest = load_evaluation(bundle, bundle_id)
    return write_page(render_card(evaluation, digest, approvals), card_file(bundle))


def approvals_of(history: History, bundle_id: str, digest: str) -> tuple[CardApproval, ...]:
    """The approvals of a bundle that nobody took back; one given to another card of it says so."""
    from training.registry.approvals import standing

    return tuple(
        CardApproval(
            by=entry.by,
            on=f"{entry.recorded_at:%Y-%m-%d}",
            until=str(entry.says.get("expires_on", "")),
            note=str(entry.says.get("note", "")),
            objection="" if entry.says.get("card") == digest else "given to another version of this card",
        )
        for entry in standing(history, bundle_id)
    )


def render_card(evaluation: Evaluation, digest: str, approvals: Sequence[CardApproval] = ()) -> str:
    """The whole page as text; every value is escaped. `digest` is the SHA-256 of the evaluation's file."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda value: f"{round(value):,}",
        "pc": _percent,
        "dec": _decimal,
        "points": _points,
        "span": _span,
        "span_pc": _span_percent,
        "span_points": _span_points,
        "words": lambda text: text.replace("_", " "),
        "sentence": lambda text: f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}",
    }
    return environment.get_template("card.html").render(
        e=evaluation,
        digest=digest,
        approvals=approvals,
        pictures={name: _inline(png) for name, png in card_pictures(evaluation).items()},
        metrics=METRIC_WORDS,
        dimensions=DIMENSIONS,
        left=_left(evaluation),
        limits=limits_of(evaluation),
        not_for=not_for(),
        audiences=sorted({audience for use in evaluation.segments_used for audience in use.audience}),
    )


def _left(evaluation: Evaluation) -> Mapping[str, tuple[Left, ...]]:
    return data_lines(evaluation.data.counts)


def _inline(png: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))  # noqa: S704 - our own bytes


def _percent(value: float | None, places: int = 1) -> str:
    return UNDEFINED if value is None else f"{value:.{places}%}".replace("-", MINUS)


def _decimal(value: float | None, places: int = 4, signed: bool = False) -> str:
    if value is None:
        return UNDEFINED
    # Nothing is neither more nor less: a zero has no sign.
    shown = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    return (shown.lstrip("+-") if not shown.strip("+-0.") else shown).replace("-", MINUS)


def _points(value: float | None) -> str:
    """A difference of shares in points of a hundred."""
    return UNDEFINED if value is None else _decimal(100 * value, 1, signed=True)


def _span(found: Estimate, places: int = 3) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{_decimal(found.low, places)} to {_decimal(found.high, places)}"


def _span_percent(found: Estimate, places: int = 1) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{_percent(found.low, places)} to {_percent(found.high, places)}"


def _span_points(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{_points(found.low)} to {_points(found.high)}"
