"""`leadwell rules book`: the rule book as a page that counsel can read and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def book(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the book and parameters of which day")] = None,
    out: Annotated[Path, typer.Option("--out", help="the HTML file to write")] = Path("rules.html"),
    configs: Configs = None,
) -> None:
    """Write the book of a day as one HTML file: every card in plain words, with its legal basis and examples.

    It needs no network and no script; print it from any browser.

    Example: leadwell rules book --as-of 2026-06-30 --out rules.html
    """
    from configs.settings import load_settings
    from policy.book import Book, in_force
    from policy.published.page import book_page

    settings = load_settings(configs)
    on = chosen(as_of).date()
    found = Book.load(settings, on)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(book_page(found, settings), encoding="utf-8")
    line(f"the book of {on}: {out}")
    pending = sum(card.review.status != "signed" for card in settings.rules if in_force(card, on))
    if pending:
        line(f"[yellow]{pending} cards are pending counsel: conservative defaults, not legal advice[/yellow]")
    line(f"[dim]book {found.hash}[/dim]")
    next_step(f"leadwell rules export-sql --as-of {on} --out rules.sql")


def register(rules: typer.Typer) -> None:
    """Add the command."""
    rules.command("book")(book)
