"""`leadwell thresholds`: where to cut bands for what sales can take or for what pays, and what each cut would bring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen, clock_of
from cli.screen import Report, line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from training.thresholds.rows import HeldOut
    from training.thresholds.thresholds import CutLine, GroupCuts, Held, Thresholds


def thresholds(
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    segment: Annotated[str, typer.Option("--segment", help="for this segment alone; for all if not given")] = "",
    capacity: Annotated[float | None, typer.Option("--capacity", help="leads a month that sales can take")] = None,
    value: Annotated[float | None, typer.Option("--value", help="what a next step reached is worth")] = None,
    cost: Annotated[float | None, typer.Option("--cost", help="what working on one lead costs")] = None,
    leads_a_month: Annotated[
        float | None, typer.Option("--leads-a-month", help="leads looked at in a month; a flat export needs it")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="ask this bundle's held-out line, where else one is fitted", exists=True),
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="with what was known then")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="file for the proposed thresholds.yaml")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Propose where bands are cut, and show what a range of cuts would bring on held-out leads. Changes nothing.

    Example: leadwell thresholds --data artifacts/world --capacity 300

    Example: leadwell thresholds --data artifacts/world --segment vendor_compare --value 4000 --cost 250

    Example: leadwell thresholds --source xeducation --leads old.csv --capacity 200 --leads-a-month 1500
    """
    from configs.settings import load_settings
    from training.reviews.pages import write_page
    from training.thresholds.proposal import rule_of, with_rule, yaml_text
    from training.thresholds.thresholds import ALL, choose_thresholds, sweep

    asked = rule_of(capacity, value, cost)
    shipped = load_settings(configs)
    settings = with_rule(shipped, segment, asked, leads_a_month)
    found, instant = _held_out(settings, data, source, leads, bundle, as_of, as_json)
    proposed = choose_thresholds(found.held, settings)
    name = segment or ALL
    group = next((one for one in proposed.groups if one.id == name), None)
    if group is None or not group.rows:
        why = (
            f"no held-out lead is in {segment}" if segment else "every held-out lead is in a segment with its own rule"
        )
        raise InputInvalid("thresholds", f"{why}: there is nothing to tell it by; choose another --segment")
    held = _of_group(found.held, proposed, segment)
    rule = settings.thresholds.segments.get(segment, settings.thresholds.all)
    named = {"hot by default": shipped.training.bands["hot"]}
    if found.hot_now is not None:
        named = {"hot in the bundle": found.hot_now.get(segment, found.hot_now["default"])}
    if group.follows != "default":
        named["hot proposed"] = group.band("hot").cut
    lines = sweep(held, named, rule)
    heading = f"Proposed by `leadwell thresholds` from {len(found.held.y):,} held-out leads as of {instant:%Y-%m-%d}."
    text = yaml_text(settings.thresholds, proposed, heading)
    if out is not None:
        write_page(text, out)
    if as_json:
        told = {"as_of": instant.isoformat(), "thresholds": proposed.told(), "yaml": text}
        write_out(json.dumps(told | {"segment": name, "range": [asdict(one) for one in lines]}, allow_nan=False))
        return
    line(f"[dim]{len(found.held.y):,} held-out leads; {proposed.says}[/dim]")
    line("")
    _show_group(group, proposed.per, asked.declared)
    _show_range(name, lines, proposed.per)
    if settings.thresholds.segments:
        show_thresholds(proposed)
    if proposed.declared and out is None:
        line("[bold]thresholds.yaml[/bold]")
        line(text.replace("[", r"\["))
    elif out is not None:
        line(f"proposal in {out}; nothing was changed")
    if not proposed.declared:
        next_step(f"{_again(data, source, leads)} --capacity LEADS, or --value V --cost C")
    else:
        next_step("put the file into your configuration as thresholds.yaml, then leadwell train follows it")


def show_thresholds(found: Thresholds | None) -> None:
    """The hot cut of all and of every segment that has a rule, where one is declared; why one was not followed."""
    from training.thresholds.proposal import count, percent

    if found is None or not found.declared:
        return
    rows, notes = [], []
    for group in found.groups:
        if group.id != "all" and group.follows != "own" and not group.reason:
            continue
        hot = group.band("hot")
        usual = next((one for one in group.default if one.band == "hot"), hot)
        cells = (f"{hot.cut:.3f}", count(hot.brings.volume), percent(hot.brings.precision))
        rows.append((group.id, group.rule, *cells, f"{usual.cut:.3f}", count(usual.brings.volume)))
        if group.reason:
            like = "the default" if group.follows == "default" else "all"
            notes.append(f"[yellow]{group.id} is cut like {like}: {group.reason}[/yellow]")
    columns = ("leads", "by", "hot from", f"leads {found.per}", "get there", "by default from", f"leads {found.per}")
    table("Hot by declared capacity or cost", columns, rows, right=(2, 5))
    for note in notes:
        line(note)
    line(f"[dim]{found.says}; told by held-out leads, with 95 % intervals[/dim]")


def _held_out(
    settings: Settings,
    data: Path | None,
    source: Path | None,
    leads: Path | None,
    bundle: Path | None,
    as_of: str | None,
    quiet: bool,
) -> tuple[HeldOut, Any]:
    from configs.settings import load_source
    from features.intake.flat import read_flat
    from features.intake.sources import find_files, read_tables
    from training.thresholds.rows import hold_out, hold_out_flat

    if source is not None and leads is not None and data is None:
        if bundle is not None or as_of is not None:
            raise InputInvalid("thresholds", "expected --bundle and --as-of with --data only")
        mapping = load_source(source)
        with _told("Reading the export", quiet):
            intake = read_flat(mapping, leads, settings, training=True)
        with _told("Holding out the latest leads", quiet) as report:
            return hold_out_flat(intake, settings, mapping, progress=report), clock_of(mapping=mapping).now
    if data is None or source is not None or leads is not None:
        raise InputInvalid("thresholds", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    instant = chosen(as_of, data)
    with _told("Reading tables", quiet):
        tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant).tables
    with _told("Holding out leads", quiet) as report:
        return hold_out(tables, settings, instant, bundle=bundle, progress=report), instant


def _told(title: str, quiet: bool) -> AbstractContextManager[Report]:
    """A step with progress; nothing at all where standard output is for a program."""
    return nullcontext(lambda what, share: None) if quiet else step(title)


def _of_group(held: Held, found: Thresholds, segment: str) -> Held:
    """The leads of a segment, or of all whose segment is not cut by a rule of its own."""
    import numpy as np

    if segment:
        return held.of(held.segment == held.segment_ids.index(segment))
    own = [place for place, name in enumerate(held.segment_ids) if name in found.cuts]
    return held.of(~np.isin(held.segment, own))


def _show_group(group: GroupCuts, per: str, asked: bool) -> None:
    """Band by band: what it brings, and what the default cuts would bring."""
    from training.thresholds.proposal import count, percent

    taken = any(one.brings.answered for one in group.bands)
    columns = ("band", "from", f"leads {per}", "predicted", "get there", "steps", "of all steps", *["taken"] * taken)
    cuts = [("", group.bands)] if not group.default else [("", group.bands), ("by default: ", group.default)]
    rows = []
    for prefix, bands in cuts:
        for one in bands:
            told = one.brings
            predicted = "" if told.predicted is None else f"{told.predicted:.1%}"
            cells = (prefix + one.band, f"{one.cut:.3f}", count(told.volume), predicted, percent(told.precision))
            rows.append((*cells, _steps(told.steps), percent(told.captured), *[percent(told.taken)] * taken))
    says = group.rule if group.follows != "default" else "the cuts of training.yaml"
    table(f"{group.id}: {says}", columns, rows, right=(1, 3, 5))
    if group.reason and asked:
        line(f"[yellow]not cut by its rule: {group.reason}[/yellow]")


def _show_range(name: str, lines: Sequence[CutLine], per: str) -> None:
    """What contacting everybody from each cut on would bring."""
    from training.thresholds.proposal import count, percent

    taken, earns = any(one.brings.answered for one in lines), any(one.net is not None for one in lines)
    extra: Mapping[str, bool] = {"taken": taken, "earns": earns}
    columns = ("cut", "from", f"leads {per}", "get there", "steps", "of all steps")
    rows = []
    for one in lines:
        told, bold = one.brings, one.what == "hot proposed"
        cells = [one.what, f"{one.cut:.3f}", count(told.volume), percent(told.precision), _steps(told.steps)]
        cells.append(percent(told.captured))
        cells += [percent(told.taken)] * taken + ([f"{one.net:,.0f}" if one.net is not None else ""] * earns)
        rows.append([f"[bold]{cell}[/bold]" if bold and cell else cell for cell in cells])
    table(
        f"{name}: contacting everybody from a cut on",
        (*columns, *(word for word, there in extra.items() if there)),
        rows,
        right=(1, 4, 6 + taken) if earns else (1, 4),
    )
    line(
        "[dim]get there: share of held-out leads with the outcome and its 95 % interval; steps: leads times that;[/dim]"
    )
    line("[dim]of all steps: share of all who get there that is among these leads[/dim]")
    line("")


def _steps(steps: float | None) -> str:
    return "" if steps is None else f"{steps:,.1f}"


def _again(data: Path | None, source: Path | None, leads: Path | None) -> str:
    return (
        f"leadwell thresholds --data {data}"
        if data is not None
        else (f"leadwell thresholds --source {source} --leads {leads} --leads-a-month N")
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Data scientists")(thresholds)
