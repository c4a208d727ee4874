"""`leadwell content`: what there is to say, to whom, and what is missing before a campaign finds out."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from datetime import date

    from configs.content import Asset
    from configs.settings import Settings

content = typer.Typer(help="Look at the content that may be sent, and at its gaps.", no_args_is_help=True)

AsOf = Annotated[str | None, typer.Option("--as-of", help="the day that approvals are judged on")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
_TITLES = {
    "gap": "Nothing approved to say",
    "recheck": "Waiting for a new look, because a label or guideline changed",
    "expiring": "Approvals that run out soon",
    "claims": "Claims without reference or sign-off",
    "unused": "Assets that no segment can use",
}


@content.command()
def check(
    as_of: AsOf = None,
    days: Annotated[int, typer.Option("--days", min=1, help="approvals that run out within so many days")] = 60,
    configs: Configs = None,
) -> None:
    """Find gaps, approvals that run out, assets nobody can use, and claims nobody signed; exits 1 on an error.

    An error concerns content that is approved today, so that somebody may count on it. The rest is to be known.

    Example: leadwell content check --as-of 2026-06-30
    """
    from configs.settings import load_settings
    from serving.actions.content_check import check_content

    settings = load_settings(configs)
    on = chosen(as_of, None).date()
    report = check_content(settings, on, expiring_days=days)
    line(f"[bold]{report.offered}[/bold] of {report.assets} assets are approved on {on}\n")
    if report.gaps:
        gaps = [
            (gap.segment_id, gap.purpose.replace("_", " "), gap.layer, ", ".join(gap.stages), ", ".join(gap.nothing))
            for gap in report.gaps
        ]
        table(_TITLES["gap"], ("segment", "purpose", "layer", "nothing of the stage", "nothing at all"), gaps)
    shown = ("recheck", "expiring", "claims", "unused")
    for kind in shown:
        rows = [(f.asset_id, _mark(f.error) + f.says) for f in report.findings if f.kind == kind]
        if rows:
            table(_TITLES[kind], ("asset", "what"), rows)
    rest = [(f.asset_id, _mark(f.error) + f.says) for f in report.findings if f.kind not in shown]
    if rest:
        table("Also", ("asset", "what"), rest)
    if report.errors:
        line(f"[bold red]{report.errors} errors[/bold red] in content that is approved today")
        next_step("leadwell content show ASSET, then mend assets.yaml, claims.yaml or policy/products.yaml")
        raise typer.Exit(1)
    line("[green]no errors[/green] in content that is approved today")
    next_step("leadwell content show ASSET" if report.findings else "leadwell segments show SEGMENT")


@content.command()
def show(
    asset_id: Annotated[str | None, typer.Argument(help="one asset; all of them when absent")] = None,
    as_of: AsOf = None,
    configs: Configs = None,
) -> None:
    """Show the inventory, or one asset: its approval, what it claims and who signed it, and who may be sent it.

    Example: leadwell content show oncology_rx_evidence
    """
    from configs.settings import load_settings
    from serving.actions.content_check import segments_of, statuses

    settings = load_settings(configs)
    on = chosen(as_of, None).date()
    status = {asset.asset_id: word for asset, word in statuses(settings, on)}
    assets = {asset.asset_id: asset for asset in settings.assets}
    if asset_id is None:
        listed = [(one.asset_id, status[one.asset_id], _words(one.intent), str(one.layer)) for one in settings.assets]
        table(f"Content on {on}", ("asset", "status", "intent", "layer"), listed)
        next_step("leadwell content show ASSET, or leadwell content check")
        return
    if asset_id not in assets:
        near = get_close_matches(asset_id, assets, n=3, cutoff=0.5)
        meant = f"did you mean {', '.join(near)}?" if near else "leadwell content show lists them"
        raise InputInvalid("assets.yaml", f"no asset {asset_id!r}; {meant}")
    asset = assets[asset_id]
    line(f"[bold]{asset_id}[/bold] {asset.title}")
    line(f"{status[asset_id]} on {on}\n")
    table("What it is", ("", ""), _described(asset))
    table("Its review", ("", ""), _reviewed(asset, settings))
    if asset.claims:
        claims = [
            (
                claim.text_id,
                claim.kind + (f", {_words(claim.indication)}" if claim.indication else ""),
                ", ".join(claim.references) or "-",
                ", ".join(f"{_words(one.role)} until {one.expires_on}" for one in claim.sign_offs) or "-",
                ", ".join(settings.claims.missing(claim, on)) or "may be made",
            )
            for claim in asset.claims
        ]
        table("What it claims", ("claim", "kind", "references", "signed by", f"on {on}"), claims)
    table("Where it is authorised", ("", ""), _authorised(asset, settings, on))
    rows = [(segment, ", ".join(stages)) for segment, stages in segments_of(settings, asset).items()]
    if rows:
        table("Segments that may use it", ("segment", "stages"), rows)
    next_step("leadwell content check")


def _described(asset: Asset) -> Iterator[tuple[str, str]]:
    yield "intent, layer", f"{_words(asset.intent)}, {asset.layer}"
    yield "kind, depth, topic", ", ".join(_words(word) for word in (asset.kind, asset.depth, asset.topic) if word)
    yield "product, indication", f"{asset.product or 'none'}, {_words(asset.indication or 'none')}"
    yield "audiences", ", ".join(asset.audiences)
    yield "markets", ", ".join(asset.markets)
    yield "channels", ", ".join(_words(channel) for channel in asset.channels)
    yield "stages", ", ".join(asset.stages) or "any"
    yield "call to action", asset.call_to_action or "not supplied"
    for name in ("value_transfer", "reveals_condition", "refill_reminder", "source_notice"):
        yield _words(name), _answer(getattr(asset, name))


def _reviewed(asset: Asset, settings: Settings) -> Iterator[tuple[str, str]]:
    approval = asset.approval
    yield "approved by", approval.by if approval else "nobody"
    if approval is not None:
        yield "in force", f"from {approval.start} until {approval.expires_on}, {approval.reference}"
    if asset.withdrawn:
        yield "withdrawn", "yes"
    answers = asset.checklist
    yield (
        "checklist",
        (
            "not supplied"
            if answers is None
            else ", ".join(settings.claims.unanswered(answers)) + " open"
            if any(True for _ in settings.claims.unanswered(answers))
            else "answered"
        ),
    )
    yield "documents", ", ".join(asset.supporting_documents) or "none"
    yield "filed (Form FDA 2253)", str(asset.filed_on) if asset.filed_on else "no"
    footer = asset.footer
    yield "e-mail footer", "not supplied" if footer is None else "complete" if footer.complete else "incomplete"


def _authorised(asset: Asset, settings: Settings, on: date) -> Iterator[tuple[str, str]]:
    product = settings.products.get(asset.product) if asset.product else None
    if asset.product is None:
        yield "product", "none named, so nothing to authorise"
    elif product is None:
        yield asset.product, "not in policy/products.yaml"
    elif not product.regulated:
        yield asset.product, f"{product.says}: needs no authorisation"
    else:
        markets = product.markets_of(asset.indications, on)
        yield asset.product, product.says + (", prescription only" if product.prescription else "")
        yield "markets", ", ".join(sorted(markets)) or "none"
        left = [market for market in asset.markets if market not in markets]
        if left:
            yield "named, not authorised", ", ".join(left)


def _mark(error: bool) -> str:
    return "[bold red]error[/bold red] " if error else ""


def _answer(value: bool | None) -> str:
    return "not supplied" if value is None else "yes" if value else "no"


def _words(name: str) -> str:
    return name.replace("_", " ")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    from cli import content_recheck

    content_recheck.register(content)
    app.add_typer(content, name="content", rich_help_panel="Compliance")
