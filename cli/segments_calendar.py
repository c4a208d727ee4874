"""`leadwell segments calendar`: what has to be looked at when, as a table, JSON, CSV or a calendar file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table, write_out
from configs.errors import InputInvalid

_SUFFIXES = (".ics", ".json", ".csv")


def calendar(
    days: Annotated[int, typer.Option("--days", min=0, max=3_650, help="so many days ahead")] = 90,
    owner: Annotated[str | None, typer.Option("--owner", help="only what somebody with these words sees to")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="folder with campaigns, whose ends are reviews")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write it here, .ics, .json or .csv")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day; the data's own, else today")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="your configuration folder")] = None,
) -> None:
    """List reviews, approvals that end, campaigns and launches by day, and what is overdue.

    Example: leadwell segments calendar --days 180 --out reviews.ics
    """
    from configs.settings import load_settings
    from features.intake.campaigns import read_campaigns
    from features.intake.sources import find_files
    from training.reviews.calendar import WORDS, as_ics, calendar_of
    from training.reviews.pages import write_page

    if out is not None and out.suffix.lower() not in _SUFFIXES:
        raise InputInvalid(str(out), f"expected a file that ends in {', '.join(_SUFFIXES)}")
    settings = load_settings(configs)
    instant = chosen(as_of, data)
    files = find_files(data) if data is not None else {}
    campaigns = read_campaigns(files["campaigns"]) if "campaigns" in files else ()
    entries = calendar_of(settings, instant.date(), days, campaigns)
    if owner is not None:
        entries = tuple(one for one in entries if owner.lower() in one.owner.lower())
    plain = [{**asdict(one), "on": one.on.isoformat()} for one in entries]
    if as_json:
        write_out(json.dumps(plain, indent=1))
        return
    if out is not None:
        if out.suffix.lower() == ".csv":
            import pyarrow as pa

            from serving.files import write_csv

            names = ("on", "kind", "about", "owner", "says", "overdue")
            write_csv(pa.table({name: [one[name] for one in plain] for name in names}), out)
        else:
            text = json.dumps(plain, indent=1) + "\n" if out.suffix.lower() == ".json" else as_ics(entries, instant)
            write_page(text, out)
        line(f"calendar: {out}, {len(entries)} entries")
    else:
        rows = []
        for e in entries:
            day = f"[red]{e.on}[/red]" if e.overdue else str(e.on)
            rows.append((day, WORDS[e.kind], e.about, e.owner.replace("[", r"\["), e.says.replace("[", r"\[")))
        title = f"{instant.date()} and {days} days after it"
        table(title, ("by", "what", "about", "who", "why"), rows)
        line(f"{len(entries)} entries, {sum(e.overdue for e in entries)} overdue")
    next_step("leadwell segments review" if out is not None else "leadwell segments calendar --out reviews.ics")


def register(segments: typer.Typer) -> None:
    """Add the command of this room."""
    segments.command()(calendar)
