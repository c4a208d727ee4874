"""`leadwell rules`: check the rule book, and ask it why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import rules_diff, rules_mutants, rules_prove
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
        line(f"[bold]{answer['lead_id']}[/bold] as of {found['as_of']}")
        for block in answer["score"]:
            line(f"[red]may not be scored[/red] ({block['certainty']}): {block['reason']}: {block['says']}")
        table("", ("channel", "", "may be sent", "permits", "stopped by"), [_summary(c) for c in answer["channels"]])
        _show_reasons(answer["channels"])
    for refused in found["rejected"]:
        line(f"[yellow]rejected[/yellow] {refused['path']}: expected {refused['expected']}")
    line(f"[dim]book {found['policy']}[/dim]")


def _summary(channel: dict[str, Any]) -> tuple[str, ...]:
    """One channel on one line: what passes, on which permits, and what stops everything else."""
    name = channel["channel"].replace("_", " ")
    if channel["permitted"]:
        shown = ["no content" if asset == "none" else asset for asset in channel["passes"][:3]]
        more = len(channel["passes"]) - len(shown)
        later = _ids(channel["at_send"])
        against = f"[yellow]now at sending: {', '.join(later)}[/yellow]" if later else ""
        sent = ", ".join(shown) + (f" and {more} more" if more else "")
        return name, "[green]yes[/green]", sent, ", ".join(channel["permits"]), against
    stopped = {block["asset"] for block in channel["blocks"]}
    about_lead = [block for block in channel["blocks"] if block["about"] == "lead"]
    every = [rule for rule, found in _by_rule(about_lead).items() if {block["asset"] for block in found} == stopped]
    return (
        name,
        "[red]no[/red]",
        "",
        "",
        ", ".join(every) or f"for each content one of {', '.join(_ids(channel['blocks']))}",
    )


def _show_reasons(channels: list[dict[str, Any]]) -> None:
    """Each rule once: what is known to be against it, then what nobody knows and who can tell, then content."""
    blocks = [
        {**block, "channel": channel["channel"].replace("_", " ") + late}
        for channel in channels
        for group, late in (("blocks", ""), ("at_send", " (at sending)"))
        for block in channel[group]
    ]
    for title, about, certainty in (
        ("Violated: what is known is against it", "lead", "violated"),
        ("Unknown: it stays no until somebody supplies the facts in yellow", "lead", "unknown"),
        ("Content that is not for this lead, this channel or this day", "content", None),
    ):
        chosen = [b for b in blocks if b["about"] == about and certainty in (None, b["certainty"])]
        rows = []
        for found in _by_rule(chosen).values():
            # What is known of each content is the same list for every rule: it is left to the last table.
            facts = dict.fromkeys(
                _fact(entry)
                for block in found
                for entry in block["because"]
                if entry[1] == "unknown" or not entry[0].startswith("asset")
            )
            where = list(dict.fromkeys(block["channel"] for block in found))
            on = "all channels" if len(where) == len(channels) else ", ".join(where)
            assets = len({block["asset"] for block in found})
            why = f"{assets} assets" if about == "content" else "\n".join(sorted(facts, key=_unknown_first))
            rows.append((found[0]["rule"], found[0]["effect"], on, why, found[0]["says"]))
        if rows:
            table(title, ("rule", "effect", "channels", "because", "says"), sorted(rows))


def _unknown_first(text: str) -> bool:
    return not text.startswith("[yellow]")


def _ids(blocks: list[dict[str, Any]]) -> list[str]:
    return sorted(_by_rule(blocks))


def _by_rule(blocks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for block in blocks:
        found.setdefault(block["rule"], []).append(block)
    return found


def _fact(entry: list[Any]) -> str:
    fact, known, value = entry
    name = fact.replace("_", " ")
    return f"{name}: {value}" if known == "known" else f"[yellow]{name}[/yellow] (from {value})"


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    rules_prove.register(rules)
    rules_diff.register(rules)
    rules_mutants.register(rules)
    from cli import rules_book, rules_export, rules_sign

    rules_book.register(rules)
    rules_export.register(rules)
    rules_sign.register(rules)
    app.add_typer(rules, name="rules", rich_help_panel="Compliance")
