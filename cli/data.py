"""`leadwell sample` and `leadwell data`: make a world of leads; see what a CRM's export is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import data_check, data_import, data_link, data_review
from cli.clock import moment
from cli.quality_screen import show_counts
from cli.screen import counted, next_step, step, table

data = typer.Typer(help="Look at data before anything is learned from it.", no_args_is_help=True)

__all__ = ["data", "register", "sample", "show_counts"]


def sample(
    out: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("artifacts/world"),
    leads: Annotated[int, typer.Option("--leads", help="how many leads", min=1)] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same world", min=0)] = 7,
    events_per_lead: Annotated[float, typer.Option("--events-per-lead", help="on average", min=0)] = 50.0,
    as_of: Annotated[str, typer.Option("--as-of", help="the day the world ends")] = "2026-06-30",
) -> None:
    """Make a world of leads with a known truth, to try everything on.

    Example: leadwell sample --leads 20000 --seed 7 --out artifacts/world
    """
    from training.sample.world import make_sample

    with step(f"Making a world of {leads:,} leads") as report:
        day = moment(as_of).date()
        made = make_sample(leads, seed, out, day, counted(report, "leads"), events_per_lead=events_per_lead)
    table("Made", ("table", "rows"), [(name, f"{rows:,}") for name, rows in made.counts.items()], right=(1,))
    next_step(f"leadwell data check --data {out}")


data_check.register(data)
data_import.register(data)
data_link.register(data)
data_review.register(data)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(rich_help_panel="Start here")(sample)
    app.add_typer(data, name="data", rich_help_panel="Data scientists")
