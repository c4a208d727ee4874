"""Says on the screen what moved between the rows that trained and the later ones that judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.screen import line, next_step

if TYPE_CHECKING:
    from training.train import Trained

MOST_COLUMNS = 3


def show_drift(trained: Trained) -> None:
    """Warn where the outcome, the level of the predictions or the leads themselves moved beyond noise."""
    shifts = [shift for shift in trained.bundle.manifest.training["drift"]["shifts"] if shift["warns"]]
    levels = [shift["says"] for shift in shifts if shift["kind"] in ("base rate", "prediction")]
    columns = [shift["says"] for shift in shifts if shift["kind"] == "feature"]
    for says in levels:
        line(f"[yellow]drift: {says}[/yellow]")
    for says in columns[:MOST_COLUMNS]:
        line(f"[dim]drift: {says}[/dim]")
    if len(columns) > MOST_COLUMNS:
        line(f"[dim]drift: {len(columns) - MOST_COLUMNS} more columns moved, see the card's stability over time[/dim]")
    if levels:
        next_step(f"leadwell recalibrate --bundle {trained.folder} with newer outcomes, as soon as there are some")
