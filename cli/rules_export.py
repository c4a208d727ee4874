"""`leadwell rules export-sql`: the rule book as one SQL text, for a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.clock import chosen
from cli.screen import line, next_step, write_out

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def export_sql(
    dialect: Annotated[Literal["duckdb", "snowflake", "spark"], typer.Option("--dialect", help="whose SQL")] = "duckdb",
    as_of: Annotated[str | None, typer.Option("--as-of", help="the book and parameters of which day")] = None,
    gate: Annotated[
        Literal["action", "send"], typer.Option("--gate", help="when actions are chosen, or just before sending")
    ] = "action",
    out: Annotated[Path | None, typer.Option("--out", help="a file to write; else the text is printed")] = None,
    configs: Configs = None,
) -> None:
    """Write the whole rule book as SQL: a table of facts, and a view that decides as the engine does.

    Fill `leadwell_facts` (a row for each lead, asset and channel; NULL is unknown) and read `leadwell_decisions`.

    Example: leadwell rules export-sql --dialect snowflake --as-of 2026-06-30 --out rules.sql
    """
    from configs.settings import load_settings
    from policy.book import Book
    from policy.published.sql import book_sql

    settings = load_settings(configs)
    on = chosen(as_of).date()
    book = Book.load(settings, on, gate)
    text = book_sql(book, settings, gate, dialect)
    if out is None:
        write_out(text.rstrip("\n"))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    rules = len(book.rules) + len(book.score_rules)
    line(f"{rules} rules and {len(book.permits)} permits of {on} at the {gate} gate, for {dialect}: {out}")
    line(f"[dim]book {book.hash}[/dim]")
    next_step(f"leadwell rules book --as-of {on} --out rules.html")


def register(rules: typer.Typer) -> None:
    """Add the command."""
    rules.command("export-sql")(export_sql)
