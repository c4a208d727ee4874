"""`leadwell stages`: the declared journeys, why a lead is where it is, and who moved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import clock_of
from cli.screen import aside, line, next_step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import pyarrow as pa

    from configs.journeys import ProductJourney, Signal
    from configs.settings import Settings
    from features.journey.explain import Explained, SignalSeen

stages = typer.Typer(help="How far leads have come with a product, by what events show.", no_args_is_help=True)
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]
# Moves on the screen; --csv and --json have all of them.
SHOWN_MOVES = 20
NO_PRODUCT = "none"
WITHHELD = "may not be profiled"


def show(
    product: Annotated[str | None, typer.Argument(help="one product, or `none`; all journeys when absent")] = None,
    configs: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Show the journeys, or that of one product: which events show which stage, and what decision comes next.

    Example: leadwell stages show implant
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    journeys = settings.journeys.journeys
    words = settings.vocabularies["stage"].values
    chosen: Sequence[ProductJourney] = journeys
    if product is not None:
        one = settings.journeys.of(None if product == NO_PRODUCT else product)
        one = one or next((journey for journey in journeys if journey.id == product), None)
        if one is None:
            known = [*settings.vocabularies["product"].values, NO_PRODUCT]
            near = get_close_matches(product, known, n=3, cutoff=0.5) or known
            raise InputInvalid("product", f"no journey of {product!r}; did you mean {', '.join(near)}?")
        chosen = (one,)
    if as_json:
        write_out(json.dumps([journey.model_dump(mode="json") for journey in chosen], indent=2))
        return
    if product is None:
        rows = [
            (
                j.id,
                ", ".join(map(_plain, j.products)) or "not known",
                " ".join(str(sum(signal.stage == word for signal in j.signals)) for word in words),
                j.title,
            )
            for j in journeys
        ]
        table(f"Journeys; signals of {', '.join(words)}", ("journey", "product", "signals", ""), rows)
        next_step("leadwell stages show implant")
        return
    _show_journey(chosen[0], words)
    next_step("leadwell stages explain LEAD.json")


def _show_journey(journey: ProductJourney, words: Sequence[str]) -> None:
    line(f"[bold]{journey.title}[/bold]\n")
    rows = [
        (word, _says(signal), _events(signal), f"{signal.at_least} in {signal.within_days} days")
        for word in words
        for signal in journey.signals
        if signal.stage == word
    ]
    table("What shows a stage; the furthest that holds counts", ("stage", "who", "by which events", "at least"), rows)
    table("What decision comes next", ("stage", "decision"), [(w, _plain(journey.next_moment[w])) for w in words])


def _says(signal: Signal) -> str:
    asks = "; ".join(f"{_plain(name)} is {' or '.join(map(_plain, to))}" for name, to in signal.only_if.items())
    return f"{signal.says}\n[dim]only if {asks}[/dim]" if asks else signal.says


def _events(signal: Signal) -> str:
    parts = (
        ("", signal.kinds),
        ("about ", signal.topics),
        ("in depth ", signal.depths),
        ("on ", signal.channels),
    )
    return ", ".join(f"{how}{' or '.join(map(_plain, named))}" for how, named in parts if named)


def explain(
    lead: Annotated[Path, typer.Argument(help="a request body as for POST /v1/score", exists=True, dir_okay=False)],
    data: Annotated[Path | None, typer.Option("--data", help="made world the request is from: its clock holds")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="an earlier instant")] = None,
    configs: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Say why each lead of a request is at its stage: every signal, what was counted, and how well it is tracked.

    Of who may surely not be profiled nothing is told. It needs no model and writes nothing.

    Example: leadwell stages explain lead.json --as-of 2026-06-30
    """
    from configs.settings import load_settings
    from features.facts import FactBuilder, facts_of
    from features.intake.titles import Titles
    from features.inventory import Inventory
    from features.journey.explain import explain as explained
    from features.view import view_at
    from policy.book import Book
    from policy.profiling import may_not_be_profiled
    from serving.api import parse
    from serving.online import grouped, tables_of

    settings = load_settings(configs)
    parsed = parse(lead.read_bytes(), max_leads=settings.serving.max_leads)
    instant = clock_of(data).settle(as_of or parsed.as_of, lambda _: None)  # it permits nothing anyway
    builder, inventory = FactBuilder.of(settings), Inventory.of_settings(settings)
    titles = Titles(settings.vocabularies)
    book = Book.load(settings, instant.astimezone(UTC).date())
    found: list[Explained] = []
    withheld: list[str] = []
    for places in grouped(parsed.leads):
        items = [parsed.leads[place] for place in places]
        tables = tables_of(items, settings.vocabularies, inventory.ids[:-1], titles)
        known = view_at(tables, instant, builder.view)
        facts = facts_of(known, builder, inventory)
        asked = {item.lead.lead_id for item in items}
        rows = [row for row, name in enumerate(known.lead_ids.tolist()) if name in asked]
        # INVARIANT: of who may surely not be profiled no stage is worked out, and nothing else is told.
        hidden, _ = may_not_be_profiled(book, facts)
        withheld += [str(known.lead_ids[row]) for row in rows if hidden[row]]
        found += [explained(known, facts, builder.journeys, settings, row) for row in rows if not hidden[row]]
    if as_json:
        kept = [{"lead_id": name, "withheld": WITHHELD} for name in withheld]
        write_out(json.dumps([*(one.to_json() for one in found), *kept], indent=2))
    else:
        for one in found:
            _show_explained(one, settings)
        for name in withheld:
            line(f"[bold]{name.replace('[', chr(92) + '[')}[/bold]  {WITHHELD}")
    for rejection in parsed.rejected:
        aside(f"lead {rejection.index} was not read: {rejection.path}: expected {rejection.expected}")


def _show_explained(one: Explained, settings: Settings) -> None:
    journey = "no journey is declared for it" if one.journey is None else one.journey.title
    tracked = "nothing" if one.tracked_percent is None else f"{one.tracked_percent} % of what it did lately"
    came = "" if one.moment is None else " (the account's own word)" if one.account_moment else " (by its journey)"
    shown = "1 event shows" if one.supporting == 1 else f"{one.supporting} events show"
    lifecycle = f"{_plain(one.lifecycle)} ({one.lifecycle_from})" if one.lifecycle else "unknown"
    rows: list[tuple[str, str]] = [
        ("product", f"{_plain(one.product)}: {journey}" if one.product else f"not known: {journey}"),
        ("stage", one.stage or "unknown: no signal holds"),
        ("evidence", f"{one.evidence}: {shown} it, {tracked} is tracked" if one.evidence else "-"),
        ("next decision", f"{_plain(one.moment) if one.moment else 'unknown'}{came}"),
        ("lifecycle", lifecycle),
        ("events", f"{one.events} about this product or none; {one.about_others} about others, which count nowhere"),
    ]
    table(f"{one.lead_id}", ("", ""), rows)
    words = settings.vocabularies["stage"].values
    table(
        "Signals",
        ("stage", "holds", "who", "counted", "last"),
        [
            (
                seen.signal.stage,
                _holds(seen),
                seen.signal.says,
                f"{seen.counted} of {seen.signal.at_least} in {seen.signal.within_days} days",
                "" if seen.days_since_last is None else f"{seen.days_since_last} days ago",
            )
            for seen in sorted(one.signals, key=lambda seen: words.index(seen.signal.stage))
        ],
    )


def _holds(seen: SignalSeen) -> str:
    if seen.closed_by:
        return f"closed by {_plain(seen.closed_by)}"
    return "[green]yes[/green]" if seen.holds else "no"


def moves(
    state: Annotated[Path, typer.Argument(help="folder of `leadwell segments apply`")],
    lead_id: Annotated[str | None, typer.Option("--lead", help="of one lead only")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="stage or lifecycle only")] = None,
    last: Annotated[bool, typer.Option("--last", help="of the last run only")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="write all of them to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """Show who moved from which stage or lifecycle to which, when and why.

    Example: leadwell stages moves artifacts/demo/memberships --last

    Example: leadwell stages moves artifacts/demo/memberships --lead L0000123
    """
    import pyarrow.compute as pc

    from serving.memberships.stages import stage_moves
    from serving.memberships.state import read_state

    if kind not in (None, "stage", "lifecycle"):
        raise InputInvalid("--kind", f"expected stage or lifecycle, found {kind!r}")
    found = stage_moves(state)
    if last and found.num_rows:
        read = read_state(state)
        found = found.filter(pc.equal(found["at"], pc.max(found["at"]) if read is None else read.as_of))
    if lead_id is not None:
        found = found.filter(pc.equal(found["id"], lead_id))
    if kind is not None:
        found = found.filter(pc.equal(found["kind"], kind))
    if csv is not None:
        _write_csv(found, csv)
    if as_json:
        write_out(json.dumps(found.to_pylist(), default=str, indent=2))
        return
    _show_counts(found)
    rows = [_row(one) for one in found.slice(max(0, found.num_rows - SHOWN_MOVES)).to_pylist()]
    table("The last of them", ("when", "lead", "move", "why"), rows)
    if found.num_rows > SHOWN_MOVES:
        line(f"{found.num_rows - SHOWN_MOVES:,} earlier ones: --lead ID, --csv FILE or --json show them")
    next_step("leadwell stages explain LEAD.json")


def _show_counts(found: pa.Table) -> None:
    counts = found.group_by(["kind", "product", "old", "new"]).aggregate([([], "count_all")])
    order = sorted(counts.to_pylist(), key=lambda one: (one["kind"] != "stage", -one["count_all"], str(one)))
    rows = [(one["kind"], one["product"] or "", one["old"] or "-", one["new"] or "-", f"{one['count_all']:,}")
            for one in order]  # fmt: skip
    table(f"{found.num_rows:,} moves", ("what", "product", "from", "to", "leads"), rows, right=(4,))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    """One move as a person reads it: when, who, from what after how long to what, and why."""
    product = one["product"] or one["old_product"]
    of = f"{_plain(product)}: " if product else ""
    old = "nothing" if one["old"] is None else f"{_plain(one['old'])} ({(one['at'] - one['since']).days} days)"
    if one["old_product"] not in (None, product):
        old = f"{old} of {_plain(one['old_product'])}"
    new = "nothing" if one["new"] is None else _plain(one["new"])
    backed = f", evidence {one['evidence']}" if one["evidence"] else ""
    why = "; ".join(str(because["value"] or f"{because['fact']} unknown") for because in one["why"])
    return f"{one['at']:%Y-%m-%d}", one["id"], f"{of}{old} → {new}{backed}", why


def _write_csv(found: pa.Table, path: Path) -> None:
    """All moves, their reasons as one cell each."""
    import pyarrow as pa

    from serving.files import write_csv

    whys = ["; ".join(f"{b['fact']}: {b['value']}" for b in why) for why in found["why"].to_pylist()]
    place = found.column_names.index("why")
    write_csv(found.set_column(place, "why", pa.array(whys, pa.string())), path)
    line(f"{found.num_rows:,} moves: {path}")


def _plain(name: str | None) -> str:
    return (name or "").replace("_", " ")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    stages.command()(show)
    stages.command()(explain)
    stages.command()(moves)
    app.add_typer(stages, name="stages", rich_help_panel="Marketing and sales")
