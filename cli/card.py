"""`leadwell card`: the model card of a bundle, drawn again from what training stored, with the approvals of today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.screen import line, next_step, step, table
from configs.errors import BundleRefused

if TYPE_CHECKING:
    from configs.mapping import SourceMapping
    from configs.settings import Settings
    from training.evaluation.card import CardApproval
    from training.evaluation.evaluation import Verdict
    from training.train import Trained

ARTIFACTS = Path("artifacts")


def card(
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle's folder")] = ARTIFACTS / "bundle",
    artifacts: Annotated[Path, typer.Option("--artifacts", help="where the registry's history lies")] = ARTIFACTS,
) -> None:
    """Draw the model card that a reviewer reads and signs; nothing is trained and no lead is read.

    Numbers are those that `leadwell train` stored beside the bundle; approvals are those that the registry holds now.

    Example: leadwell card --bundle artifacts/bundle
    """
    from models.bundle import read_bundle
    from training.evaluation.evaluation import card_file, load_evaluation

    if not bundle.is_dir():
        raise BundleRefused(f"{bundle}: expected a bundle folder; `leadwell train --bundle DIR` writes one")
    bundle_id = read_bundle(bundle).bundle_id
    evaluation, digest = load_evaluation(bundle, bundle_id)
    approvals = show_approvals(bundle, bundle_id, artifacts)
    show_verdict(evaluation.verdict.word, evaluation.verdict.sentence)
    rows = [("for", text) for text in evaluation.verdict.speaks_for]
    table("Reasons", ("", "what was found"), [*(("against", text) for text in evaluation.verdict.against), *rows])
    for found in approvals:
        line(f"approved by {found.by} on {found.on}{f': {found.objection}' if found.objection else ''}")
    line(f"card {digest[:12]} of bundle {bundle_id[:12]}: {card_file(bundle)}")
    if not approvals:
        next_step(f'leadwell registry approve --bundle {bundle} --by "A SECOND PERSON"')


def show_approvals(bundle: Path, bundle_id: str, artifacts: Path) -> tuple[CardApproval, ...]:
    """Draw a bundle's card again with the approvals that the registry holds now, and return them."""
    from training.evaluation.card import approvals_of, write_card
    from training.evaluation.evaluation import load_evaluation
    from training.registry.history import read_history

    _, digest = load_evaluation(bundle, bundle_id)
    approvals = approvals_of(read_history(artifacts), bundle_id, digest)
    write_card(bundle, bundle_id, approvals)
    return approvals


def written(trained: Trained, settings: Settings, title: str, mapping: SourceMapping | None = None) -> Verdict:
    """Judge what was trained, keep every number beside the bundle, draw the card; returns the verdict."""
    from training.evaluation.card import keep_card

    with step("Judging group by group and writing the model card"):
        return keep_card(trained, settings, title=title, mapping=mapping).verdict


def show_verdict(word: str, sentence: str) -> None:
    """Print the verdict on one line in the color of what it means."""
    color = {"sound": "green", "with care": "yellow"}.get(word, "red")
    line(f"[{color}]{sentence}[/{color}]")


def register(app: typer.Typer) -> None:
    """Add the command of this room."""
    app.command(rich_help_panel="Data scientists")(card)
