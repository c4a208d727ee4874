"""What `leadwell train --tune` shows: what was tried, what it was worth, and the file with what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.screen import line, table

if TYPE_CHECKING:
    from training.tuning.tuning import Tuned

SHOWN = 4


def show_tuning(tuned: Tuned | None, bundle: Path) -> None:
    """Print the best trials of each part and the verdict, and write what was found beside the bundle."""
    if tuned is None:
        return
    rows = []
    for part in ("pooled", "segment"):
        done = [trial for trial in tuned.trials if trial.part == part and trial.loss is not None]
        best = sorted(done, key=lambda trial: (trial.loss or 0.0, trial.number))[:SHOWN]
        first = [trial for trial in done if trial.number == 0 and trial not in best]
        for trial in (*best, *first):
            shape = ", ".join(f"{name} {value:.3g}" for name, value in trial.values.items())
            name = "defaults" if trial.number == 0 else str(trial.number)
            rows.append((part, name, f"{trial.loss:.5f}", f"{trial.seconds:.1f} s", shape))
    if rows:
        tried = sum(trial.loss is not None for trial in tuned.trials)
        title = f"Tuning: {tried} shapes tried in {tuned.seconds:.0f} of {tuned.budget_seconds:.0f} s"
        table(title, ("part", "trial", "later log-loss", "took", "shape"), rows, right=(1, 2, 3))
    color = "green" if tuned.adopted else "yellow"
    line(f"[{color}]{tuned.says}[/{color}]")
    if tuned.found:
        file = bundle.with_name(f"{bundle.name}-tuned.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tuned.to_yaml(), encoding="utf-8")
        line(f"what was found, to adopt in training.yaml: {file}")
