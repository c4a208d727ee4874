"""`leadwell data check`: what data are worth, what is odd about them, and whether they pass the hygiene gates."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen
from cli.quality_screen import show
from cli.screen import aside, line, next_step, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import pyarrow as pa

    from configs.settings import Settings
    from features.intake.quality.check import QualityReport
    from models.hygiene import Hygiene

BELOW_MINIMUM = 1


def check(
    folder: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="a flat file: CSV, TSV, JSON lines, Parquet")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="its outcome column, to look for leakage")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="write an offline report with plots here")] = None,
    rejects: Annotated[Path | None, typer.Option("--rejects", help="write every rejected row here as CSV")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="exit 1 if a segment or the model may not be activated")] = False,
    draft: Annotated[Path | None, typer.Option("--draft-mapping", help="write a mapping to begin with here")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Inventory every field, point at what is odd, and judge the hygiene gates.

    Exits 0, 1 with --gate when something is below its minimum, 2 when the data cannot be read.

    Example: leadwell data check --data artifacts/world --html quality.html

    Example: leadwell data check --source xeducation --leads leads.csv

    Example: leadwell data check --leads any.csv --outcome Converted --draft-mapping mine.yaml
    """
    from configs.settings import load_settings
    from serving.files import write_csv

    if draft is not None and (source is not None or leads is None):
        raise InputInvalid("data check", "--draft-mapping goes with --leads FILE alone")
    if outcome is not None and (source is not None or leads is None):
        raise InputInvalid("data check", "--outcome goes with --leads FILE alone: a mapping declares its own")
    settings = load_settings(configs)
    hygiene: Hygiene | None
    if folder is not None and source is None and leads is None:
        found, hygiene, refused = _tables(folder, settings, as_of)
        name, then = folder.name, f"leadwell train --data {folder}"
    elif leads is not None and folder is None and source is not None:
        found, hygiene, refused = _flat(source, leads, settings)
        name, then = leads.name, f"leadwell train --source {source} --leads {leads}"
    elif leads is not None and folder is None:
        found, hygiene, refused = _any(leads, settings, outcome, draft)
        name, then = leads.name, f"leadwell data check --source {draft or 'MAPPING'} --leads {leads}"
    else:
        raise InputInvalid("data check", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    if rejects is not None:
        write_csv(refused, rejects)
    if html is not None:
        from training.quality_report import write_quality_report

        write_quality_report(found, hygiene, html, title=name)
    if as_json:
        content: dict[str, Any] = asdict(found)
        content["gates"] = [asdict(one) for one in hygiene.gates] if hygiene is not None else []
        write_out(json.dumps(content, indent=2, default=str))
    else:
        show(found, refused, hygiene)
        if html is not None:
            line(f"report: {html}")
        if draft is not None:
            line(f"mapping to begin with: {draft}; every line of it is a guess")
        next_step(then)
    if gate and hygiene is None:
        raise InputInvalid(
            "data check", "--gate needs --data FOLDER, or --source MAPPING: nothing says what is activated"
        )
    if gate and hygiene is not None and hygiene.failed:
        if as_json:
            for one in hygiene.failed:
                aside(f"[red]below its minimum[/red] {one.says}")
        raise typer.Exit(BELOW_MINIMUM)


def _tables(folder: Path, settings: Settings, as_of: str | None) -> tuple[QualityReport, Hygiene, pa.Table]:
    from features.intake.quality.check import check as check_tables
    from features.intake.sources import find_files, read_tables
    from models.hygiene import judge
    from models.segments.map import SegmentMap

    instant, files = chosen(as_of, folder), find_files(folder)
    intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
    found = check_tables(intake, settings, as_of=instant, files=files)
    return found, judge(intake.tables, settings, SegmentMap.load(settings), instant, found), intake.rejects


def _flat(source: Path, leads: Path, settings: Settings) -> tuple[QualityReport, Hygiene, pa.Table]:
    from configs.settings import load_source
    from features.intake.flat import read_flat
    from features.intake.quality.check import check_flat
    from models.hygiene import judge
    from models.segments.map import SegmentMap

    mapping = load_source(source)
    intake = read_flat(mapping, leads, settings, training=False)
    found = check_flat(mapping, leads, intake, settings)
    return found, judge(intake.tables, settings, SegmentMap.load(settings), mapping.as_of, found), intake.rejects


def _any(
    leads: Path, settings: Settings, outcome: str | None, draft: Path | None
) -> tuple[QualityReport, None, pa.Table]:
    import pyarrow as pa

    from features.intake.quality.check import check_any
    from features.intake.quality.flat import draft_mapping
    from features.intake.settle import REJECTS

    flat, found = check_any(leads, settings, outcome=outcome)
    if draft is not None:
        if draft.exists():
            raise InputInvalid(str(draft), "expected no file of this name, a mapping somebody edited may lie there")
        draft.write_text(draft_mapping(flat, found, name=leads.stem.split(".")[0], outcome=outcome), encoding="utf-8")
    listed = [
        {"file": flat.file, "row": row, "column": column, "reason": reason}
        for row, (column, reason) in sorted(flat.rejected.items())
    ]
    return found, None, pa.Table.from_pylist(listed, schema=REJECTS)


def register(data: typer.Typer) -> None:
    """Add the command of this room."""
    data.command()(check)
