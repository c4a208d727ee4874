"""`leadwell train`, `evaluate`, `promote`, `rollback`: from tables to the bundle that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
Artifacts = Annotated[Path, typer.Option("--artifacts", help="where champion.json and the MLflow store live")]
By = Annotated[str, typer.Option("--by", help="who decides this; kept in the history")]

ARTIFACTS = Path("artifacts")


def promote(
    by: By,
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle to serve from now on")] = ARTIFACTS / "bundle",
    artifacts: Artifacts = ARTIFACTS,
) -> None:
    """Make a bundle the champion: verify it, try it in a child process, then switch what serves in one step.

    Example: leadwell promote --bundle artifacts/bundle --by "Ada Example"
    """
    from training.publish import promote as promote_bundle

    with step("Verifying the bundle and switching the champion"):
        champion = promote_bundle(artifacts, bundle, by=by, as_of=chosen(None))
    line(f"champion {champion.bundle_id[:12]}, before it {(champion.previous or 'none')[:12]}")
    next_step("leadwell serve")


def rollback(by: By, artifacts: Artifacts = ARTIFACTS) -> None:
    """Return to the champion before this one, after checking that its bundle is still whole.

    Example: leadwell rollback --by "Ada Example"
    """
    from training.publish import rollback as roll_back

    with step("Verifying the bundle and switching the champion"):
        champion = roll_back(artifacts, by=by, as_of=chosen(None))
    line(f"champion {champion.bundle_id[:12]} again")
    next_step("leadwell serve")
