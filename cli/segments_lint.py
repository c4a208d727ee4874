"""`leadwell segments lint`: what is wrong with the segment definitions, and what the drafts still need."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli.clock import chosen
from cli.screen import console, line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from models.segments.lint.data import Measured
    from models.segments.lint.findings import Finding
    from models.segments.map import SegmentMap

Sizes = dict[str, dict[str, Any]]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def lint(
    segment_ids: Annotated[list[str] | None, typer.Argument(help="only these segments; all when absent")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="also judge sizes, overlap, fields, campaigns")] = None,
    stands_for: Annotated[
        int | None, typer.Option("--stands-for", min=1, help="how many leads the data are a sample of")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day approvals are judged on")] = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="judge drafts as strictly as what is in use")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Configs = None,
) -> None:
    """Check segment definitions for the field's known mistakes; exits 1 when one that is in use has an error.

    What is in use is approved, proposed, or was so before somebody edited it. Drafts are listed apart, with what they
    still need, and fail nothing unless --drafts is given.

    Example: leadwell segments lint --data artifacts/demo/world
    """
    from configs.settings import load_settings
    from features.evaluate import Domain
    from models.segments.lint.data import map_of
    from models.segments.lint.judge import lint as lint_segments

    settings = load_settings(configs)
    wanted = _known(segment_ids or (), settings)
    instant = chosen(as_of, data)
    segment_map = map_of(settings.segments, Domain.of(settings))
    if stands_for is not None and data is None:
        raise InputInvalid("--stands-for", "expected --data with the sample that stands for so many leads")
    measured = None
    if data is not None:
        measured = _measured(data, settings, segment_map, instant, stands_for, quiet=as_json)
    found = lint_segments(segment_map, on=instant.date(), settings=settings, measured=measured, strict=drafts)
    found = [one for one in found if not wanted or one.segment_id in wanted]
    sizes = {} if measured is None else _sizes(segment_map, measured, wanted)
    if as_json:
        write_out(json.dumps(_content(found, sizes, settings), indent=2))
    else:
        _show(found, segment_map, sizes, in_full=drafts or bool(wanted))
        if sizes:
            _show_sizes(sizes, in_full=drafts or bool(wanted))
        _sum_up(found, settings, wanted)
    if any(one.blocks for one in found):
        raise typer.Exit(1)


def _known(segment_ids: Iterable[str], settings: Settings) -> set[str]:
    known = {definition.id for definition in settings.segments}
    for segment_id in segment_ids:
        if segment_id not in known:
            raise InputInvalid("segments", f"no segment {segment_id!r}; leadwell segments show lists them")
    return set(segment_ids)


def _measured(
    data: Path, settings: Settings, segment_map: SegmentMap, as_of: datetime, stands_for: int | None, *, quiet: bool
) -> Measured:
    """Who would be in which segment as known at an instant, and what the fields and campaigns say."""
    from features.intake.campaigns import read_campaigns
    from features.intake.quality.check import check
    from features.intake.sources import find_files, read_tables
    from models.segments.lint.data import measure

    def run() -> Measured:
        files = find_files(data)
        intake = read_tables(files, settings, assets=settings.assets, as_of=as_of)
        report = check(intake, settings, as_of=as_of)
        campaigns = read_campaigns(files["campaigns"]) if "campaigns" in files else ()
        return measure(
            intake.tables, settings, segment_map, as_of, report=report, campaigns=campaigns, stands_for=stands_for
        )

    if quiet:
        return run()
    with step("Finding members"):
        found = run()
    if stands_for is not None and len(found.member) > stands_for:
        raise InputInvalid("--stands-for", f"expected at least the {len(found.member):,} leads of the data")
    return found


def _show(found: Sequence[Finding], segment_map: SegmentMap, sizes: Sizes, *, in_full: bool) -> None:
    """Findings of what is in use, errors first; then the drafts, each in full or as one line."""
    place = {segment_id: n for n, segment_id in enumerate(segment_map.segment_ids)}
    ordered = sorted(
        found,
        key=lambda o: (place.get(o.segment_id, -1), o.segment_id, o.code != "STILL_NEEDS", o.level, o.code, o.key),
    )
    in_use = [one for one in ordered if one.status != "draft"]
    drafts = [one for one in ordered if one.status == "draft"]
    if in_use:
        console.print("[bold]What is wrong[/bold]")
        _grouped(in_use)
    if drafts and in_full:
        console.print("[bold]Drafts: what each still needs[/bold] [dim](fails nothing)[/dim]")
        _grouped(drafts)
    elif drafts:
        _counted(drafts, sizes)


def _grouped(found: Sequence[Finding]) -> None:
    for segment_id, own in groupby(found, key=lambda one: one.segment_id):
        rows = list(own)
        files = ", ".join(dict.fromkeys(one.file for one in rows))
        console.print(f"\n  [bold]{segment_id or 'the map as a whole'}[/bold] [dim]{files}[/dim]")
        grid = Table.grid(padding=(0, 1), pad_edge=True)
        grid.add_column(width=9, justify="right")
        grid.add_column(overflow="fold")
        for one in rows:
            if one.code == "STILL_NEEDS":
                grid.add_row("[red]needs[/red]" if one.blocks else "[cyan]needs[/cyan]", escape(one.reason))
                continue
            mark = "[red]error[/red]" if one.level == "error" else "[yellow]warning[/yellow]"
            where, code = f"[bold]{one.key}[/bold] {escape(one.reason)}", f"[dim]{one.code}[/dim]"
            grid.add_row(mark, f"{where} {code}\n[dim]mend: {escape(one.mend)}[/dim]")
        console.print(grid)
    console.print()


def _counted(drafts: Sequence[Finding], sizes: Sizes) -> None:
    """One line for each draft: how much it still needs, and which mistakes it has."""
    rows = []
    for segment_id, found in groupby(drafts, key=lambda one: one.segment_id):
        own = list(found)
        needs = sum(one.code == "STILL_NEEDS" for one in own)
        codes = Counter((one.level != "error", one.code) for one in own if one.code != "STILL_NEEDS")
        named = [
            f"{f'[red]{code}[/red]' if not light else code}{f' ({n})' if n > 1 else ''}"
            for (light, code), n in sorted(codes.items())
        ]
        leads = (_leads(sizes[segment_id]),) if segment_id in sizes else ("",) if sizes else ()
        rows.append((segment_id, *leads, needs or "", ", ".join(named)))
    columns = ("draft", *(("leads",) if sizes else ()), "needs", "and mends")
    table("Drafts: what each still needs (fails nothing)", columns, rows, right=(1, 2) if sizes else (1,))


def _sizes(segment_map: SegmentMap, measured: Measured, wanted: set[str]) -> Sizes:
    """Size of each segment by id; without leads where it looks at readiness, which is not known here."""
    found: Sizes = {}
    for column, activation in enumerate(segment_map.activations):
        definition, forecast = activation.definition, measured.forecast(column)
        if wanted and definition.id not in wanted:
            continue
        counted = {"leads": forecast.leads, "low": forecast.low, "high": forecast.high, "share": forecast.share}
        found[definition.id] = {
            "status": definition.status,
            **({} if activation.overlay else counted),
            "min_leads": definition.size.min_leads,
            "max_share": definition.size.max_share,
        }
    return found


def _leads(size: dict[str, Any]) -> str:
    return f"{size['leads']:,}" if "leads" in size else "by readiness"


def _show_sizes(sizes: Sizes, *, in_full: bool) -> None:
    shown = {segment_id: size for segment_id, size in sizes.items() if in_full or size["status"] != "draft"}
    sampled = any(size.get("low") != size.get("high") for size in shown.values())
    rows = []
    for segment_id, size in shown.items():
        interval = (f"{size['low']:,} to {size['high']:,}" if "low" in size else "",) if sampled else ()
        share = f"{size['share']:.1%}" if "share" in size else ""
        allowed = f"{size['min_leads']:,} leads to {size['max_share']:.0%}"
        rows.append((segment_id, size["status"], _leads(size), *interval, share, allowed))
    columns = ("segment", "status", "leads", *(("95 % interval",) if sampled else ()), "share", "allowed")
    table("Sizes", columns, rows, right=(2, 3, 4) if sampled else (2, 3))


def _sum_up(found: Sequence[Finding], settings: Settings, wanted: set[str]) -> None:
    status = Counter(d.status for d in settings.segments if not wanted or d.id in wanted)
    counted = [f"{status[name]} {name}" for name in ("approved", "proposed", "draft", "retired") if status[name]]
    failed = [one for one in found if one.blocks]
    warned = [one for one in found if one.level == "warning" and one.status != "draft"]
    waiting = sorted({one.segment_id for one in found if one.status == "draft"})
    verdict = f"[red]{_number(len(failed), 'error')}[/red]" if failed else "[green]no error[/green]"
    also = f", {_number(len(waiting), 'draft')} not ready" if waiting else ""
    line(f"{', '.join(counted)}: {verdict}, {_number(len(warned), 'warning')}{also}")
    if failed:
        next_step(f"mend {failed[0].file}: {failed[0].segment_id} {failed[0].key}, then run this again")
    elif waiting and not wanted:
        next_step(f"leadwell segments lint {waiting[0]}, for what a draft still needs in full")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _content(found: Sequence[Finding], sizes: Sizes, settings: Settings) -> dict[str, Any]:
    return {
        "errors": sum(one.blocks for one in found),
        "warnings": sum(one.level == "warning" and one.status != "draft" for one in found),
        "drafts": sum(one.status == "draft" for one in found),
        "segments": {d.id: d.status for d in settings.segments},
        "findings": [asdict(one) | {"blocks": one.blocks} for one in found],
        "sizes": sizes,
    }


def register(segments: typer.Typer) -> None:
    """Add the command to `leadwell segments`."""
    segments.command()(lint)
