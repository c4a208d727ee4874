"""`leadwell rules diff` and `approve`: what a change of the book opens or closes, and who said yes to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen, clock_of
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from configs.rule_approvals import RuleApproval
    from configs.settings import Settings
    from policy.book import Book
    from policy.proofs.counting import Reached
    from policy.proofs.difference import Change, Difference

Old = Annotated[str, typer.Argument(metavar="OLD", help="configuration folder as it was, or `shipped`")]
New = Annotated[str, typer.Argument(metavar="NEW", help="configuration folder as it shall be, or `shipped`")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="compare from this day on; today when absent")]
SHIPPED = "shipped"
ROLES = ("compliance", "medical", "regulatory")


def diff(
    old: Old,
    new: New,
    data: Annotated[Path | None, typer.Option("--data", help="folder of tables: count the leads that change")] = None,
    as_of: AsOf = None,
    gate: Annotated[bool, typer.Option("--gate", help="exit 1 while approvals are missing, for your CI")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
) -> None:
    """Say for each channel and gate whether a change widens or narrows, with an example lead and who must approve.

    Example: leadwell rules diff shipped my-configs/ --data world/
    """
    from configs.rule_approvals import about, load_rule_approvals, missing
    from policy.proofs.difference import compare

    before, after = _settings(old), _settings(new)
    instant = chosen(as_of, data)
    if as_json:
        found = compare(before, after, instant.date())
        counts = _counted(before, after, data, instant) if data else []
    else:
        with step("Compare both books on every channel"):
            found = compare(before, after, instant.date())
        if data:
            with step("Count leads under both books"):
                counts = _counted(before, after, data, instant)
        else:
            counts = []
    given = about(load_rule_approvals(_folder(new)), found.old, found.new, clock_of().now.date())
    needs = missing(found.approvals, given)
    if as_json:
        write_out(json.dumps(_as_json(found, counts, given, needs), indent=2))
    else:
        _show(found, counts, given, needs)
        if needs is not None:
            next_step(f"leadwell rules approve {old} {new} --by NAME --role compliance")
        elif found.direction != "same":
            next_step(f"leadwell rules prove --configs {new}")
    if gate and needs is not None:
        raise typer.Exit(1)


def approve(
    old: Old,
    new: New,
    by: Annotated[str, typer.Option("--by", help="your name, as it shall stand in the record")],
    role: Annotated[str, typer.Option("--role", help=f"in which office: {', '.join(ROLES)}")],
    reference: Annotated[str | None, typer.Option("--reference", help="where the decision is recorded")] = None,
    as_of: AsOf = None,
) -> None:
    """Approve exactly this change, from the old book to the new one; kept, sealed, beside the new book.

    Widening needs two people, one of compliance and one of medical or regulatory affairs; narrowing one; words none.

    Example: leadwell rules approve shipped my-configs/ --by "J. Keller" --role compliance --reference CHG-26-014
    """
    from pydantic import ValidationError

    from configs.approval_file import writable_folder
    from configs.rule_approvals import (
        RuleApproval,
        about,
        append_rule_approval,
        load_rule_approvals,
        missing,
    )
    from policy.proofs.difference import compare

    if role not in ROLES:
        raise InputInvalid("--role", f"expected one of {', '.join(ROLES)}")
    before, after = _settings(old), _settings(new)
    folder = writable_folder(None if new == SHIPPED else Path(new))
    today = clock_of().now.date()
    found = compare(before, after, chosen(as_of).date())
    if found.approvals == 0:
        raise InputInvalid("NEW", "expected a change that needs approval: this one decides nothing otherwise")
    try:
        entry = RuleApproval(old=found.old, new=found.new, by=by, role=role, on=today, reference=reference)
    except ValidationError as error:
        raise InputInvalid("--by, --reference", error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    sealed = append_rule_approval(folder, entry)
    line(f"[green]approved[/green]: {found.old[:12]} to {found.new[:12]}, which {_says(found)}")
    line(f"by {_plain(sealed.by)} ({sealed.role}) on {sealed.on}, written to {folder / 'rule_approvals.jsonl'}")
    needs = missing(found.approvals, about(load_rule_approvals(folder), found.old, found.new, today))
    line("[green]nothing is missing[/green]" if needs is None else f"[yellow]still missing: {needs}[/yellow]")
    next_step(f"leadwell rules diff {old} {new} --gate")


def _settings(given: str) -> Settings:
    from configs.settings import load_settings

    return load_settings(None if given == SHIPPED else Path(given))


def _folder(given: str) -> Path:
    from configs.settings import DEFAULTS

    return DEFAULTS if given == SHIPPED else Path(given)


def _counted(before: Settings, after: Settings, data: Path, instant: datetime) -> list[Reached]:
    from policy.proofs.counting import count_change

    return list(count_change(_ruled_on(before, data, instant), _ruled_on(after, data, instant)))


def _ruled_on(settings: Settings, data: Path, instant: datetime) -> tuple[Book, Any, list[str]]:
    """A book of the day, and the facts and ids of the leads as its own configuration reads the tables."""
    from features.facts import FactBuilder, facts_of
    from features.intake.sources import find_files, read_tables
    from features.inventory import Inventory
    from features.view import view_at
    from models.segments.map import SegmentMap
    from policy.book import Book

    tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant).tables
    builder, inventory = FactBuilder.of(settings), Inventory.of_settings(settings)
    known = view_at(tables, instant, builder.view)
    facts = facts_of(known, builder, inventory)
    segments = SegmentMap.load(settings)
    members = segments.members(facts, as_of=instant)
    facts = segments.told(facts, members, inventory, builder, known.as_of_day)
    return Book.load(settings, instant.date()), facts, [str(lead) for lead in known.lead_ids]


def _says(found: Difference) -> str:
    said = {
        "same": "changes no decision",
        "widens": "widens",
        "narrows": "narrows",
        "both": "widens and narrows",
    }[found.direction]
    return said + (" how a denial is handled" if found.direction == "same" and found.handling else "")


def _show(found: Difference, counts: Sequence[Reached], given: Sequence[RuleApproval], needs: str | None) -> None:
    from policy.proofs.difference import summary

    line(f"[dim]old {found.old}[/dim]")
    line(f"[dim]new {found.new}[/dim]")
    for words, ids in (
        ("added", found.added), ("removed", found.removed), ("condition, channels, gates or days", found.edited),
        ("only what a denial is called or becomes", found.handling), ("only words", found.wording),
    ):  # fmt: skip
        if ids:
            line(f"cards, {words}: {', '.join(ids)}")
    if found.facts:
        line(f"[yellow]facts are made otherwise ({', '.join(found.facts)}): no proof covers that, see --data[/yellow]")
    rows = [
        (change.place.replace("_", " "), _colored(change.direction), _when(found.changes, change), _examples(change))
        for change in summary(found.changes)
    ]
    if rows:
        table("What changes", ("channel", "change", "where, from", "for example"), rows)
    same = sorted({c.place for c in found.changes} - {c.place for c in found.changes if c.direction != "same"})
    if same:
        line(f"[dim]the same on every day and at both gates: {', '.join(same).replace('_', ' ')}[/dim]")
    if counts:
        shown = [
            (c.channel.replace("_", " "), f"{c.before:,}", f"{c.after:,}", f"{c.gained:,}", f"{c.lost:,}")
            for c in counts
        ]
        title = f"Of {counts[0].leads:,} leads, contactable with something"
        table(title, ("channel", "before", "after", "gained", "lost"), shown, right=(1, 2, 3, 4))
    line(f"This change [bold]{_says(found)}[/bold].")
    for entry in given:
        line(f"approved by {_plain(entry.by)} ({entry.role}) on {entry.on}")
    if needs is not None:
        line(f"[yellow]missing: {needs}[/yellow]")
    elif found.approvals:
        line("[green]approved[/green]")


def _colored(direction: str) -> str:
    color = {"widens": "red", "both": "red", "narrows": "yellow"}[direction]
    return f"[{color}]{direction}[/{color}]"


def _when(changes: Sequence[Change], first: Change) -> str:
    alike = [c for c in changes if (c.place, c.direction) == (first.place, first.direction)]
    return f"{' and '.join(dict.fromkeys(c.gate for c in alike))}, {min(c.day for c in alike)}"


def _examples(change: Change) -> str:
    found = []
    for word, lead in (("now allowed", change.wider), ("no longer", change.narrower)):
        if lead is not None:
            found.append(f"{word}: " + ", ".join(f"{fact} {value}" for fact, value in lead.facts.items()))
    return "\n".join(found)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _as_json(
    found: Difference, counts: Sequence[Reached], given: Sequence[RuleApproval], needs: str | None
) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "direction": found.direction,
        "cards": {
            "added": found.added, "removed": found.removed, "edited": found.edited, "handling": found.handling,
            "wording": found.wording,
        },
        "facts": found.facts,
        "changes": [
            {
                "day": c.day.isoformat(), "gate": c.gate, "place": c.place, "direction": c.direction,
                "now_allowed": c.wider.as_json() if c.wider else None,
                "no_longer": c.narrower.as_json() if c.narrower else None,
            }
            for c in found.changes
        ],
        "counts": [
            {"channel": c.channel, "leads": c.leads, "before": c.before, "after": c.after, "gained": c.gained,
             "lost": c.lost}
            for c in counts
        ],
        "approvals": {
            "needed": found.approvals,
            "given": [entry.model_dump(mode="json", exclude_none=True, exclude={"seal"}) for entry in given],
            "missing": needs,
        },
    }  # fmt: skip


def register(rules: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (diff, approve):
        rules.command()(command)
