"""`leadwell accounts`: how far accounts have come, how ready they are to decide, and who is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.accounts.card import AccountCard
    from serving.accounts.view import AccountsView

accounts = typer.Typer(help="Accounts and systems: stage, decision readiness, who is missing.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="folder with one file for each table")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")]
Out = Annotated[Path | None, typer.Option("--out", help="write all rows to this .parquet, .csv or .json file")]
Product = Annotated[str | None, typer.Option("--product", help="judge every account for this product")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
Systems = Annotated[bool, typer.Option("--systems", help="whole systems instead of single accounts")]
Rows = Annotated[int, typer.Option("--rows", help="how many to show", min=1, max=1000)]


@accounts.command(name="list")
def list_(
    data: Data,
    as_of: AsOf = None,
    stage: Annotated[str | None, typer.Option("--stage", help="only accounts at this stage")] = None,
    segment: Annotated[str | None, typer.Option("--segment", help="only accounts in this account segment")] = None,
    product: Product = None,
    systems: Systems = False,
    rows: Rows = 20,
    out: Out = None,
    configs: Configs = None,
) -> None:
    """List accounts by decision readiness: stage, next decision, who is missing.

    Example: leadwell accounts list --data artifacts/demo/world --stage deciding
    """
    import pyarrow.compute as pc

    from serving.accounts.tables import account_table
    from serving.table_files import write_table

    view = _view(data, as_of, product, configs, out, stage=stage, segment=segment)
    found = account_table(view)
    if stage is not None:
        found = found.filter(pc.equal(found["stage"], stage))
    if segment is not None:
        found = found.filter(_holding(found["account_segments"], segment))
    if out is not None:
        line(f"{write_table(found, out)}: {found.num_rows:,} rows, accounts and systems")
    shown = found.filter(pc.equal(found["level"], "system" if systems else "account"))
    ordered = shown.sort_by([("decision_readiness", "descending"), ("account_id", "ascending")])
    titles = {one.id: one.title for one in view.rules.settings.parts}
    table(
        f"{'Systems' if systems else 'Accounts'} by decision readiness ({shown.num_rows:,})",
        ("account", "readiness", "stage", "next decision", "people", "engaged", "sign", "missing"),
        [
            (
                row["account_id"],
                f"{_said(row['decision_readiness'])} {row['readiness_level'] or ''}",
                _said(row["stage"]),
                f"{_said(row['decision_moment'])}, {_said(row['product'])}",
                row["people"],
                _said(row["engaged"]),
                row["signers"],
                _missing([titles[part] for part in row["missing"]], row["decision_moment"]),
            )
            for row in ordered.slice(0, rows).to_pylist()
        ],
        right=(4, 5, 6),
    )
    first = ordered["account_id"][0].as_py() if ordered.num_rows else "ID"
    next_step(f"leadwell accounts show {first} --data {data}{' --html account.html' if not out else ''}")


@accounts.command()
def show(
    account_id: Annotated[str, typer.Argument(help="id of an account, or of a system's top account")],
    data: Data,
    as_of: AsOf = None,
    product: Product = None,
    own: Annotated[bool, typer.Option("--own", help="the account itself, without the system below it")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="also write a page with the coverage heat map")] = None,
    rows: Rows = 20,
    configs: Configs = None,
) -> None:
    """Show one account or system: readiness by parts, who is missing, its people and the coverage matrix.

    Example: leadwell accounts show A000002 --data artifacts/demo/world --html account.html
    """
    from serving.accounts.card import card_of
    from serving.accounts.page import write_account

    card = card_of(_view(data, as_of, product, configs), account_id, own=own)
    _print_card(card, rows)
    if html is not None:
        line(f"page: {write_account(card, html)}")


@accounts.command()
def gaps(
    data: Data,
    as_of: AsOf = None,
    product: Product = None,
    systems: Systems = False,
    rows: Rows = 20,
    out: Out = None,
    configs: Configs = None,
) -> None:
    """Whom next decisions lack: which parts are missing most, and where only one is missing.

    Example: leadwell accounts gaps --data artifacts/demo/world --out gaps.csv
    """
    import pyarrow.compute as pc

    from serving.accounts.tables import MISSING, STATES, account_table, gap_table
    from serving.table_files import write_table

    view = _view(data, as_of, product, configs, out)
    found = gap_table(view)
    if out is not None:
        line(f"{write_table(found, out)}: {found.num_rows:,} rows, accounts and systems")
    level = "system" if systems else "account"
    own = found.filter(pc.equal(found["level"], level))
    counts = own.group_by(["decision_moment", "title", "state"]).aggregate([([], "count_all")])
    cells = {(r["decision_moment"], r["title"], r["state"]): r["count_all"] for r in counts.to_pylist()}
    pairs = {(moment, title) for moment, title, _ in cells}
    ordered = sorted(pairs, key=lambda pair: (-cells.get((*pair, MISSING), 0), pair))
    table(
        f"Parts of next decisions ({level}s)",
        ("next decision", "part", *STATES),
        [(m.replace("_", " "), t, *(f"{cells.get((m, t, s), 0):,}" for s in STATES)) for m, t in ordered],
        right=(2, 3, 4),
    )
    all_ = account_table(view)
    near = all_.filter(
        pc.and_(pc.equal(all_["level"], level), pc.equal(pc.subtract(all_["needs"], all_["filled"]), 1))
    ).sort_by([("decision_readiness", "descending"), ("account_id", "ascending")])
    titles = {one.id: one.title for one in view.rules.settings.parts}
    table(
        f"One part short ({near.num_rows:,})",
        ("account", "readiness", "next decision", "who is missing", "quiet"),
        [
            (
                row["account_id"], _said(row["decision_readiness"]), _said(row["decision_moment"]),
                ", ".join(titles[part] for part in row["missing"]), ", ".join(titles[part] for part in row["quiet"]),
            )
            for row in near.slice(0, rows).to_pylist()
        ],
        right=(1,),
    )  # fmt: skip
    next_step(f"leadwell accounts show {near['account_id'][0].as_py() if near.num_rows else 'ID'} --data {data}")


def _holding(lists: pa.ChunkedArray, word: str) -> pa.Array:
    """For each list whether it holds a word."""
    import pyarrow as pa

    return pa.array([word in found for found in lists.to_pylist()], pa.bool_())


def _view(
    data: Path,
    as_of: str | None,
    product: str | None,
    configs: Path | None,
    out: Path | None = None,
    *,
    stage: str | None = None,
    segment: str | None = None,
) -> AccountsView:
    """Read and look; what was mistyped is told before anything is read."""
    from configs.settings import load_settings
    from features.intake.sources import find_files, read_tables
    from serving.accounts.view import view_accounts
    from serving.table_files import KINDS

    if out is not None and out.suffix not in KINDS:
        raise InputInvalid(str(out), f"expected a file that ends in {', '.join(KINDS)}")
    settings = load_settings(configs)
    _expected("--product", product, list(settings.vocabularies["product"].values))
    _expected("--stage", stage, [one.id for one in settings.buying_groups.stages])
    approved = [one.id for one in settings.segments if one.unit == "account" and one.status == "approved"]
    _expected("--segment", segment, approved)
    instant = chosen(as_of, data)
    files = find_files(data)
    if "accounts" not in files:
        raise InputInvalid(str(data), "expected a table of accounts beside the leads")
    with step("Reading tables"):
        intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
    if intake.rejects.num_rows:
        line(f"[yellow]{intake.rejects.num_rows:,} rows were rejected: leadwell data check says why[/yellow]")
    with step("Looking at accounts"):
        return view_accounts(intake.tables, settings, instant, product=product)


def _expected(option: str, given: str | None, allowed: list[str]) -> None:
    if given is not None and given not in allowed:
        raise InputInvalid(option, f"expected one of {', '.join(allowed)}")


def _said(value: object) -> str:
    return "unknown" if value is None else str(value).replace("_", " ")


def _missing(titles: list[str], asked: object) -> str:
    """Who is missing; unknown where nobody knows what is asked."""
    return (", ".join(titles) or "nobody") if asked else "unknown"


def _print_card(card: AccountCard, rows: int) -> None:
    from serving.accounts.card import LIMITS

    table(f"{card.level.capitalize()} {card.account_id}", ("", ""), card.facts)
    points = "unknown" if card.points < 0 else f"{card.points} of 100, {card.readiness}"
    table(
        f"Decision readiness: {points}",
        ("part", "points", "of", "counts"),
        [(name, got, most, says) for name, got, most, says in card.parts] if card.points >= 0 else [],
        right=(1, 2),
    )
    line(f"[dim]{LIMITS}[/dim]\n")
    table(
        f"Next decision: {card.moment}, {card.why_moment}",
        ("part", "weight", "state", "known", "engaged", "contactable"),
        [
            (need.title, need.weight, _coloured(need.state), need.known, need.engaged, _channels(need.contactable))
            for need in card.needs
        ],
        right=(1, 3, 4),
    )
    line(f"{card.missing}\n")
    table(
        "Coverage: known / engaged / contactable",
        ("role", *(_column(*pair) for pair in card.columns)),
        [(role, *(_cell(card, r, c) for c in range(len(card.columns)))) for r, role in enumerate(card.roles)],
        right=tuple(range(1, len(card.columns) + 1)),
    )
    if card.sites:
        table(
            f"Its accounts ({len(card.sites)})",
            ("account", "people", "stage", "readiness", "next decision", "who is missing"),
            [
                (
                    s.account_id, len(s.people), dict(s.facts)["stage"], s.points if s.points >= 0 else "unknown",
                    s.moment, _missing([n.title for n in s.needs if n.state == "missing"], s.needs),
                )
                for s in card.sites[:rows]
            ],
            right=(1, 3),
        )  # fmt: skip
    table(
        f"Its people ({len(card.people)})",
        ("lead", "role", "influence", "signs", "engaged", "may be contacted by"),
        [
            (
                p.lead_id, p.role, p.influence, "yes" if p.signs else "", "yes" if p.engaged else "quiet",
                ", ".join(p.channels).replace("_", " ") or "nothing",
            )
            for p in card.people[:rows]
        ],
    )  # fmt: skip


def _cell(card: AccountCard, r: int, c: int) -> str:
    cell = card.cells.get((r, c))
    return "·" if cell is None else f"{cell.known} / {cell.engaged} / {cell.contactable}"


def _column(influence: str, sign: str) -> str:
    return (
        f"influence {influence}"
        if influence == "unknown" == sign.split()[-1]
        else influence + ("" if sign.endswith("unknown") else f", {sign}")
    )


def _coloured(state: str) -> str:
    return {"engaged": "[green]engaged[/green]", "quiet": "[yellow]quiet[/yellow]"}.get(state, f"[red]{state}[/red]")


def _channels(counts: dict[str, int]) -> str:
    return ", ".join(f"{channel.replace('_', ' ')} {count}" for channel, count in counts.items())


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(accounts, name="accounts", rich_help_panel="Marketing and sales")
