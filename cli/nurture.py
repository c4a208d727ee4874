"""`leadwell nurture`: the tracks and what each step has to say, and the follow-ups that are due."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.nurture import Track
    from configs.settings import Settings
    from serving.nurture.due import NurtureDue

nurture = typer.Typer(help="Tracks, their steps, and the follow-ups that are due.", no_args_is_help=True)
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
SHOWN = 25


@nurture.command()
def show(
    track: Annotated[str | None, typer.Argument(help="one track; all of them when absent")] = None,
    product: Annotated[str | None, typer.Option("--product", help="only content of this product, or of none")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day that approvals are judged on")] = None,
    configs: Configs = None,
) -> None:
    """Show the tracks, or one with what is approved for each of its steps. Whom it may go to the rules say.

    Example: leadwell nurture show device_ladder --product implant
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    tracks = settings.nurture.tracks
    if track is None:
        rows = [(t.id, t.title, _who(t), t.ladder) for t in tracks]
        table("Tracks; the first that fits is a lead's", ("track", "", "who", "ladder"), rows)
        windows = [
            (kind.replace("_", " "), one.after_days or "at once", one.within_days)
            for kind, one in settings.nurture.follow_up.items()
        ]
        table("What a lead did is answered", ("event", "not before, days", "by, days"), windows, right=(2,))
        next_step("leadwell nurture show device_ladder --product implant")
        return
    one = next((t for t in tracks if t.id == track), None)
    if one is None:
        names = [t.id for t in tracks]
        near = get_close_matches(track, names, n=3, cutoff=0.5) or names
        raise InputInvalid("track", f"no track {track!r}; did you mean {', '.join(near)}?")
    products = settings.vocabularies["product"].values
    if product is not None and product not in products:
        raise InputInvalid("product", f"expected one of {', '.join(products)}, found {product!r}")
    on = chosen(as_of, None).date()
    line(f"[bold]{one.title}[/bold]  {one.says}")
    line(f"who: {_who(one)}\n")
    table(f"Approved on {on}", ("stage", "asks to", "layers", "what", "with"), _steps(one, settings, product, on))
    next_step("leadwell content check")


def _who(track: Track) -> str:
    said = track.when.strip() or "everybody"
    if track.enter is not None:
        said += f", after {' or '.join(track.enter.events)} within {track.enter.within_days} days"
    return said.replace("_", " ").replace("[", r"\[")


def _steps(track: Track, settings: Settings, product: str | None, on: object) -> list[tuple[str, ...]]:
    """A row a stage: what it asks for, its layers, and the approved content that its step names, in that order."""
    from serving.actions.content_check import statuses

    approved = [asset for asset, status in statuses(settings, on) if status == "approved"]  # type: ignore[arg-type]
    rows: list[tuple[str, ...]] = []
    for stage in settings.actions.stages:
        step = settings.nurture.step(track, stage)
        if step is None:
            continue
        fits = [
            asset
            for asset in approved
            if asset.kind in step.kinds
            and stage in asset.stages
            and asset.layer in step.layers
            and (product is None or asset.product in (None, product))
            and (not asset.tracks or track.id in asset.tracks)
        ]
        fits.sort(key=lambda asset: (track.id not in asset.tracks, step.kinds.index(asset.kind)))
        names = ", ".join(asset.asset_id for asset in fits) or "[yellow]nothing[/yellow]"
        rows.append((stage, step.call_to_action, ", ".join(step.layers), step.says, names))
    return rows


@nurture.command()
def due(
    result: Annotated[Path, typer.Option("--result", help="folder that `leadwell rescore --out` wrote")],
    track: Annotated[str | None, typer.Option("--track", help="of this track only")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the follow-ups: .csv, .parquet or .json")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
) -> None:
    """List what leads did that is to be answered, by when and with what, and how many leads are on which step.

    Example: leadwell nurture due --result scores/ --track device_ladder
    """
    from serving.nurture.due import nurture_due
    from serving.table_files import write_table

    found = nurture_due(result, track)
    if out is not None:
        write_table(found.follow_ups, out)
    if as_json:
        said = {"as_of": found.as_of, "follow_ups": found.follow_ups.to_pylist(), "steps": found.steps.to_pylist()}
        write_out(json.dumps(said, indent=1))
        return
    _show_steps(found)
    rows = [
        (one["nurture_follow_up_by"], one["lead_id"], one["nurture_track"] or "", one["action"],
         one["action_channel"] or "", one["asset_id"] or "")
        for one in found.follow_ups.slice(0, SHOWN).to_pylist()
    ]  # fmt: skip
    size = found.follow_ups.num_rows
    title = f"{size:,} to follow up, {found.overdue:,} of them overdue; for {found.idle:,} nothing may or can be sent"
    table(title, ("by", "lead", "track", "action", "on", "with"), rows)
    if size > SHOWN:
        line(f"[dim]the first {SHOWN} of {size:,}; --out FILE.csv has all[/dim]")
    if out is not None:
        line(str(out))
    elif size:
        next_step(f"leadwell nurture due --result {result} --out follow_ups.csv")


def _show_steps(found: NurtureDue) -> None:
    """A row a track, a column a stage; those whose track ended by what ended it."""
    from configs.settings import load_settings

    rows = found.steps.to_pylist()
    known = {one["nurture_step"] for one in rows}
    stages = [stage for stage in load_settings().actions.stages if stage in known]
    stages += sorted(known - {None, *stages})
    counts: dict[str, dict[str, int]] = {}
    for one in rows:
        name = one["nurture_track"] or (f"ended: {one['nurture_exit']}" if one["nurture_exit"] else "on no track")
        own = counts.setdefault(name, {})
        own[one["nurture_step"] or ""] = own.get(one["nurture_step"] or "", 0) + one["leads"]
    order = sorted(counts, key=lambda name: (name.startswith("ended"), -sum(counts[name].values())))
    shown = [
        (name, *(f"{counts[name].get(stage, 0):,}" for stage in stages), f"{sum(counts[name].values()):,}")
        for name in order
    ]
    right = tuple(range(1, len(stages) + 2))
    table(f"Leads by step on {found.as_of}", ("track", *stages, "leads"), shown, right=right)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(nurture, name="nurture", rich_help_panel="CRM and jobs")
