"""`leadwell campaigns`: what a campaign must say before it runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table, write_out

campaigns = typer.Typer(help="Check campaigns before they run.", no_args_is_help=True)


@campaigns.callback()
def _room() -> None:
    """Check campaigns before they run."""


@campaigns.command()
def check(
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="campaigns as .parquet, .csv or .jsonl")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="folder that has the file of campaigns")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day; the data's own, else today")] = None,
    over: Annotated[bool, typer.Option("--over", help="show what is wrong with campaigns that are over, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="your configuration folder")] = None,
) -> None:
    """Check names, segments, offers, goal, spend and days of campaigns; exits 1 where one may not run like that.

    Example: leadwell campaigns check --data artifacts/demo/world

    Example: leadwell campaigns check quarter.csv --as-of 2026-07-01
    """
    from configs.settings import load_settings
    from features.intake.campaigns import read_campaigns
    from serving.campaign_check import campaigns_file, check_campaigns

    settings = load_settings(configs)
    file = campaigns_file(path, data)
    on = chosen(as_of, data).date()
    report = check_campaigns(read_campaigns(file), settings, on)
    if as_json:
        write_out(json.dumps(asdict(report) | {"errors": report.errors}, default=str, indent=1))
        raise typer.Exit(1 if report.errors else 0)
    line(f"{report.read:,} campaigns read, {report.running:,} run on {on} or later\n")
    shown = [one for one in report.remarks if over or one.level != "over"]
    marks = {"error": "[bold red]error[/bold red]", "warning": "[yellow]warning[/yellow]", "over": "[dim]over[/dim]"}
    rows = [(one.campaign_id, marks[one.level], one.field, one.says.replace("[", r"\[")) for one in shown]
    if rows:
        table("What to mend", ("campaign", "", "field", "what"), rows)
    hidden = len({one.campaign_id for one in report.remarks if one.level == "over"})
    if hidden and not over:
        line(f"[dim]{hidden:,} campaigns that are over have remarks: --over shows them[/dim]")
    if not report.read:
        line("[yellow]the file holds no campaign[/yellow]")
    if report.errors:
        line(f"[bold red]{report.errors} errors[/bold red]: such a campaign reaches nobody or cannot be judged")
        line(f"[dim]a name follows {settings.campaign_names.example}[/dim]")
        next_step("mend the file, then the same again")
        raise typer.Exit(1)
    line("[green]no errors[/green]")
    next_step("leadwell report campaigns --data FOLDER")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(campaigns, name="campaigns", rich_help_panel="Marketing and sales")
