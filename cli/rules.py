"""`leadwell rules`: check the rule book, and ask it why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table, write_out

rules = typer.Typer(help="Check the rule book, and ask it why.", no_args_is_help=True)

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


@rules.command()
def check(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the book and parameters of which day")] = None,
    configs: Configs = None,
) -> None:
    """Load every card, run its examples, and point at what a reviewer should see; exits 1 when an example fails.

    Example: leadwell rules check --configs my-configs/
    """
    from configs.settings import load_settings
    from policy.book import Book
    from policy.examples import run_examples
    from policy.lint import lint_book

    settings = load_settings(configs)
    on = chosen(as_of).date()
    book = Book.load(settings, on)
    ran = run_examples(settings)
    failed = [result for result in ran if not result.holds]
    if failed:
        rows = [(r.card, r.number, r.expected, r.found) for r in failed]
        table("Examples that do not hold", ("card", "example", "expected", "found"), rows, right=(1,))
    findings = lint_book(settings, on)
    if findings:
        table("For the reviewer", ("what", "where", "why"), [(f.kind, f.where, f.says) for f in findings])
    line(
        f"{len(book.rules) + len(book.score_rules)} rules and {len(book.permits)} permits in force on {on}; "
        f"{len(ran) - len(failed)} of {len(ran)} examples hold"
    )
    pending = sum(card.review.status != "signed" for card in settings.rules)
    if pending:
        line(f"[yellow]{pending} cards are pending counsel: conservative defaults, not legal advice[/yellow]")
    line(f"[dim]book {book.hash}[/dim]")
    if failed:
        raise typer.Exit(1)
    next_step("leadwell rules explain LEAD.json")


@rules.command()
def explain(
    lead: Annotated[Path, typer.Argument(help="a request body as for POST /v1/score", exists=True, dir_okay=False)],
    as_of: Annotated[str | None, typer.Option("--as-of", help="the book of which day")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Configs = None,
) -> None:
    """Say for each channel and asset what permits it and what blocks it, and which fact is behind it.

    Example: leadwell rules explain lead.json --as-of 2026-06-30
    """
    from configs.settings import load_settings
    from serving.explain import explain as explain_request

    settings = load_settings(configs)
    found = explain_request(lead.read_bytes(), settings, chosen(as_of) if as_of else None, chosen(None))
    if as_json:
        write_out(json.dumps(found, indent=2, default=str))
        return
    for answer in found["leads"]:
        for block in answer["score"]:
            line(f"[red]{answer['lead_id']} may not be scored[/red]: {block['reason']}: {block['says']}")
        for channel in answer["channels"]:
            _show_channel(answer["lead_id"], channel)
    for refused in found["rejected"]:
        line(f"[yellow]rejected[/yellow] {refused}")
    line(f"[dim]book {found['policy']} as of {found['as_of']}[/dim]")


def _show_channel(lead_id: str, channel: dict[str, Any]) -> None:
    """What may be sent, then each rule once with the content it stops and the facts behind it."""
    color, word = ("green", "yes") if channel["permitted"] else ("red", "no")
    line(f"[bold]{lead_id} {channel['channel'].replace('_', ' ')}[/bold]: [{color}]{word}[/{color}]")
    if channel["passes"]:
        line(f"  may send: {', '.join('a message without content' if a == 'none' else a for a in channel['passes'])}")
    stopped = {block["asset"] for block in channel["blocks"]}
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for block in channel["blocks"]:
        grouped.setdefault((block["rule"], block["reason"]), []).append(block)
    rows = []
    for (rule, reason), blocks in sorted(grouped.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        every = len(blocks) == len(stopped) and not channel["passes"]
        facts = dict.fromkeys(_fact(entry) for block in blocks for entry in block["because"])
        rows.append((rule, reason, "everything" if every else f"{len(blocks)} assets", "\n".join(facts)))
    if rows:
        table("", ("rule", "reason", "stops", "because"), rows)


def _fact(entry: list[Any]) -> str:
    fact, known, value = entry
    name = fact.replace("_", " ")
    return f"{name}: {value}" if known == "known" else f"[yellow]{name} unknown[/yellow], supply {value}"


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(rules, name="rules", rich_help_panel="Compliance")
