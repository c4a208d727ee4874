"""`leadwell content recheck` and `rechecked`: a label or guideline changed; what is touched, and who looked at it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from cli.clock import chosen, clock_of, moment
from cli.screen import line, next_step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.label_changes import LabelChange
    from configs.settings import Settings
    from serving.content_recheck import RecheckReport, Touched

Configs = Annotated[Path | None, typer.Option("--configs", help="your configuration folder")]


def recheck(
    change: Annotated[str | None, typer.Option("--change", help="a change of policy/label_changes.yaml")] = None,
    product: Annotated[str | None, typer.Option("--product", help="what changed is about this product")] = None,
    indication: Annotated[list[str] | None, typer.Option("--indication", help="about this one; repeat it")] = None,
    reference: Annotated[list[str] | None, typer.Option("--reference", help="cited by claims; repeat it")] = None,
    market: Annotated[list[str] | None, typer.Option("--market", help="only there; repeat it")] = None,
    changed_on: Annotated[str | None, typer.Option("--changed-on", help="the day from which it counts")] = None,
    what: Annotated[str, typer.Option("--what", help="label, guideline, competition or safety")] = "label",
    data: Annotated[Path | None, typer.Option("--data", help="folder with campaigns and touches to look at")] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="touches so many days before the change count")] = 30,
    record: Annotated[str | None, typer.Option("--record", metavar="ID", help="write it down under this id")] = None,
    says: Annotated[str | None, typer.Option("--says", help="what changed, for --record")] = None,
    source: Annotated[str | None, typer.Option("--source", help="where it stands, for --record")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="who sees to it, for --record")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day; the data's own, else today")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Configs = None,
) -> None:
    """Show what a changed label, guideline or rival's claim touches: assets, claims, segments, campaigns, touches.

    With --record the change is written down, and what it touches is not offered until somebody has looked at it.

    Example: leadwell content recheck --product implant --reference IM-RCT-1 --changed-on 2026-06-01

    Example: leadwell content recheck --change im_pms_4_update --data artifacts/demo/world
    """
    from configs.settings import load_settings
    from serving.content_recheck import recheck as recheck_of

    settings = load_settings(configs)
    instant = chosen(as_of, data)
    said: dict[str, Any] = {
        "product": product,
        "indications": tuple(indication or ()),
        "references": tuple(reference or ()),
    }
    said |= {"markets": tuple(market or ())}
    if change is not None:
        if any(said.values()) or changed_on or record:
            raise InputInvalid("--change", "expected either the id of a change, or what a change is about")
        one = _registered(settings, change)
    else:
        if changed_on is None:
            raise InputInvalid("--changed-on", "expected the day from which the change counts")
        said |= {"what": what, "changed_on": moment(changed_on).date()}
        one = _thought_of(settings, said)
    if record is not None:
        settings, one = _recorded(configs, said | {"id": record, "says": says, "source": source, "owner": owner})
        line(f"[green]recorded[/green]: {one.id} in policy/label_changes.yaml")
    campaigns, tables = _of_data(data, settings, instant)
    report = recheck_of(
        settings, one, instant.date(), campaigns=campaigns, tables=tables, as_of=instant, window_days=days
    )
    if as_json:
        write_out(json.dumps(asdict(report) | {"waiting": report.waiting}, default=str, indent=1))
        return
    _show(report, registered=one in settings.label_changes, with_data=data is not None)


def rechecked(
    asset: Annotated[str, typer.Argument(help="the asset that was looked at")],
    change: Annotated[str, typer.Option("--change", help="the change of policy/label_changes.yaml")],
    by: Annotated[str, typer.Option("--by", help="who looked at it")],
    reference: Annotated[str, typer.Option("--reference", help="where the review is kept")],
    on: Annotated[str | None, typer.Option("--on", help="the day; today when absent")] = None,
    configs: Configs = None,
) -> None:
    """Write down that somebody looked at an asset because of a change, so that it may be offered again.

    Example: leadwell content rechecked implant_case_study --change im_label --by "M. Vogel" --reference MLR-2026-55
    """
    from configs.append_file import append_entry
    from configs.label_changes import RECHECKS, Recheck

    today = clock_of().now.date()
    day = moment(on).date() if on is not None else today
    if day > today:
        raise InputInvalid("--on", f"expected a day not after today, {today.isoformat()}")

    def build(settings: Settings) -> dict[str, Any]:
        one = _registered(settings, change)
        known = {each.asset_id: each for each in settings.assets}
        if asset not in known:
            raise InputInvalid("assets.yaml", f"no asset {asset!r}; leadwell content show lists them")
        if not one.touches(known[asset]):
            raise InputInvalid(asset, f"expected an asset that {change} touches; it does not touch this one")
        looked = one.rechecked(asset, day)
        if looked is not None:
            raise InputInvalid(asset, f"{looked.by} looked at it on {looked.on.isoformat()} already")
        return {"change": change, "asset": asset, "by": by, "on": day, "reference": reference}

    settings, entry = append_entry(configs, RECHECKS, "rechecks", Recheck, build)
    line(f"[green]looked at[/green]: {asset} may be offered from {entry.on} on, as far as {change} is concerned")
    others = [
        one.id for one in settings.label_changes for a in settings.assets if a.asset_id == asset and one.awaits(a, day)
    ]
    if others:
        line(f"[yellow]it still waits because of {', '.join(others)}[/yellow]")
    line("Whoever signs claims again writes that in assets.yaml; this says that the asset may be used as it is.")
    next_step(f"leadwell content recheck --change {change}")


def _registered(settings: Settings, change_id: str) -> LabelChange:
    for one in settings.label_changes:
        if one.id == change_id:
            return one
    ids = ", ".join(one.id for one in settings.label_changes) or "none is registered"
    raise InputInvalid("policy/label_changes.yaml", f"no change {change_id!r}; expected one of {ids}")


def _thought_of(settings: Settings, said: dict[str, Any]) -> LabelChange:
    """A change that need not be registered, with its words checked."""
    from configs.label_changes import LabelChange, label_change_problems

    given = {key: value for key, value in said.items() if value is not None}
    try:
        one = LabelChange.model_validate(
            given | {"id": "asked", "says": "asked on the command line", "source": "nobody", "owner": "nobody"}
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        said_why = str(first["msg"]).removeprefix("Value error, ")
        raise InputInvalid("the change", said_why, field=".".join(map(str, first["loc"])) or None) from None
    found = {"label_changes": (one,), "rechecks": (), "vocabularies": settings.vocabularies, "assets": settings.assets}
    for problem in label_change_problems(found):
        raise InputInvalid(f"--{problem.key.rsplit('.', 1)[-1].removesuffix('s')}", problem.expected)
    cited = {name for asset in settings.assets for claim in asset.claims or () for name in claim.references}
    unknown = [name for name in one.references if name not in cited]
    if unknown:
        line(f"[yellow]no claim cites {', '.join(unknown)}: check the spelling[/yellow]")
    return one


def _recorded(configs: Path | None, said: dict[str, Any]) -> tuple[Settings, LabelChange]:
    from configs.append_file import append_entry
    from configs.label_changes import FILE, LabelChange

    for key in ("says", "source", "owner"):
        if not said[key]:
            raise InputInvalid(f"--{key}", "expected it together with --record")

    def build(settings: Settings) -> dict[str, Any]:
        if any(one.id == said["id"] for one in settings.label_changes):
            raise InputInvalid("--record", f"{said['id']} is registered already; a change is never edited")
        order = ("id", "what", "product", "indications", "references", "markets", "changed_on")
        return {key: said[key] for key in (*order, "says", "source", "owner")}

    settings, entry = append_entry(configs, FILE, "label_changes", LabelChange, build)
    return settings, entry


def _of_data(data: Path | None, settings: Settings, instant: Any) -> tuple[Any, Any]:
    if data is None:
        return (), None
    from features.intake.campaigns import read_campaigns
    from features.intake.sources import find_files, read_tables

    files = find_files(data)
    campaigns = read_campaigns(files["campaigns"]) if "campaigns" in files else ()
    some: dict[str, Path] = {name: files[name] for name in ("leads", "touches") if name in files}
    return campaigns, read_tables(some, settings, assets=settings.assets, as_of=instant).tables


_MARKS = {
    "waits": "[bold red]waits[/bold red]",
    "looked at": "[green]looked at[/green]",
    "approved since": "[green]approved since[/green]",
    "not offered": "[dim]not offered[/dim]",
}


def _show(report: RecheckReport, *, registered: bool, with_data: bool) -> None:
    one = report.change
    line(f"[bold]{one.id}[/bold] {one.what} since {one.changed_on}: {_plain(one.says)}")
    line(f"{len(report.touched)} of {report.assets} assets are touched, judged on {report.on}\n")
    if report.touched:
        columns = ("asset", "", "how it stands", "why", "claims")
        rows = [
            (t.asset_id, _MARKS[t.state], _plain(t.says), "; ".join(t.why), ", ".join(t.claims) or "-")
            for t in report.touched
        ]
        table("Content", columns, rows)
        used = [(t.asset_id, _used(t), ", ".join(t.campaigns) or "-", _sent(t)) for t in report.touched]
        table("Who uses it", ("asset", "segments", "campaigns", f"sent, {report.window_days} days before"), used)
    if report.gaps:
        gaps = [(segment, stage) for segment, stage in report.gaps]
        table("Left with nothing approved to say", ("segment", "stage"), gaps)
    if not with_data and report.touched:
        line("[dim]--data FOLDER also says which campaigns offer it and who was sent it[/dim]")
    if not registered:
        line("Nothing is written: with --record ID --says --source --owner it counts from its day on.")
        next_step("the same with --record ID")
    elif report.waiting:
        wait = "1 asset waits" if report.waiting == 1 else f"{report.waiting} assets wait"
        line(f"[bold red]{wait}[/bold red]: not offered until somebody has looked")
        waits = next(t.asset_id for t in report.touched if t.state == "waits")
        next_step(f'leadwell content rechecked {waits} --change {one.id} --by "NAME" --reference TEXT')
    else:
        line("[green]nothing waits[/green]")
        next_step("leadwell content check")


def _used(touched: Touched) -> str:
    active = [f"{segment} ({', '.join(stages)})" for segment, stages in touched.active.items()]
    rest = len(touched.segments) - len(active)
    return "; ".join([*active, *([f"{rest} that hold nobody"] if rest else [])]) or "-"


def _sent(touched: Touched) -> str:
    sent = touched.sent
    if sent is None:
        return "-"
    return (
        f"{sent.times_before:,} times to {sent.leads_before:,} leads; since then {sent.times_since:,} times to "
        f"{sent.leads_since:,}"
    )


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register(content: typer.Typer) -> None:
    """Add the commands of this room to those of content."""
    content.command()(recheck)
    content.command()(rechecked)
