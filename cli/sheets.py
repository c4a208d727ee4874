"""`leadwell segments sheet` and `leadwell registry sheet`: data sheets for who asks what something stands on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen, clock_of, moment
from cli.screen import line, next_step, table, write_out
from configs.errors import BundleRefused, InputInvalid, NotReady

if TYPE_CHECKING:
    from training.evaluation.card import CardApproval
    from training.evaluation.evaluation import Evaluation
    from training.sheets.sheet import Sheet

# Rows of a table on the screen; the file has all.
SHOWN = 12

Out = Annotated[Path | None, typer.Option("--out", help="write it here, .html or .json")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]
Configs = Annotated[Path | None, typer.Option("--configs", help="your configuration folder")]


def segment(
    segment_id: Annotated[str, typer.Argument(metavar="ID", help="the segment")],
    data: Annotated[
        Path | None, typer.Option("--data", help="folder with leads: of how many each field is known, who is in it")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day it is judged on; today when absent")] = None,
    out: Out = None,
    as_json: AsJson = False,
    configs: Configs = None,
) -> None:
    """Show the data sheet of a segment: fields, sources, cleaning, updates, approvals, limits, who answers what.

    Example: leadwell segments sheet onc_community_center

    Example: leadwell segments sheet onc_community_center --data artifacts/demo/world --out sheet.html
    """
    from configs.approval_file import content_path, kept_content
    from configs.settings import DEFAULTS, load_settings
    from features.intake.sources import find_files, read_tables
    from models.segments.record import record_of
    from training.sheets.segment import measure_fields, segment_sheet

    _refuse_suffix(out)
    settings = load_settings(configs)
    found = {definition.id: definition for definition in settings.segments}
    if segment_id not in found:
        from difflib import get_close_matches

        near = get_close_matches(segment_id, found, n=3, cutoff=0.5)
        meant = f"did you mean {', '.join(near)}?" if near else "leadwell segments show lists them"
        raise InputInvalid("segments", f"no segment {segment_id!r}; {meant}")
    definition = found[segment_id]
    instant = chosen(as_of, data) if data is not None else (moment(as_of) if as_of else clock_of().now)
    folder, digest = configs or DEFAULTS, definition.content_hash
    kept = kept_content(folder, definition.id, definition.version, digest) is not None
    path = content_path(folder, definition.id, definition.version, digest)
    record = record_of(settings, definition, instant.date(), kept_as=str(path.relative_to(folder)) if kept else "")
    measured = None
    if data is not None:
        tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant).tables
        measured = measure_fields(tables, settings, segment_id, record.fields, instant)
    _give(segment_sheet(settings, definition, record, measured), out, as_json)
    if out is None and not as_json:
        next_step(f"leadwell segments sheet {segment_id} --out {segment_id}.html")


def bundle(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="the bundle's folder")] = Path("artifacts/bundle"),
    artifacts: Annotated[Path, typer.Option("--artifacts", help="where the registry's history lies")] = Path(
        "artifacts"
    ),
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day of the sheet; today when absent")] = None,
    out: Out = None,
    as_json: AsJson = False,
    configs: Configs = None,
) -> None:
    """Show the data sheet of a bundle: inputs, the rows that trained it, sources, approvals, limits, who answers what.

    Example: leadwell registry sheet artifacts/bundle --out bundle-sheet.html
    """
    from configs.settings import load_settings
    from models.bundle import read_bundle
    from training.sheets.bundle import bundle_sheet

    _refuse_suffix(out)
    if not folder.is_dir():
        raise BundleRefused(f"{folder}: expected a bundle folder; `leadwell train --bundle DIR` writes one")
    settings, found = load_settings(configs), read_bundle(folder)
    evaluation, approvals = _judged(folder, found.bundle_id, artifacts)
    day = (moment(as_of) if as_of else clock_of().now).date()
    _give(bundle_sheet(settings, found, day, evaluation=evaluation, approvals=approvals), out, as_json)
    if out is None and not as_json:
        next_step(f"leadwell registry sheet {folder} --out bundle-sheet.html")


def _judged(folder: Path, bundle_id: str, artifacts: Path) -> tuple[Evaluation | None, tuple[CardApproval, ...]]:
    """The evaluation beside a bundle, where there is one, and the approvals that the registry holds."""
    from training.evaluation.card import approvals_of
    from training.evaluation.evaluation import load_evaluation
    from training.registry.history import read_history

    history = read_history(artifacts)
    try:
        evaluation, digest = load_evaluation(folder, bundle_id)
    except NotReady:
        return None, approvals_of(history, bundle_id, "")
    return evaluation, approvals_of(history, bundle_id, digest)


def _refuse_suffix(out: Path | None) -> None:
    if out is not None and out.suffix.lower() not in (".html", ".json"):
        raise InputInvalid(str(out), "expected a file that ends in .html or .json")


def _give(sheet: Sheet, out: Path | None, as_json: bool) -> None:
    if out is not None:
        from training.reviews.pages import write_page
        from training.sheets.page import render_sheet

        write_page(sheet.to_json() + "\n" if out.suffix.lower() == ".json" else render_sheet(sheet), out)
    if as_json:
        write_out(sheet.to_json())
        return
    if out is not None:
        line(f"data sheet: {out}")
        return
    line(f"[bold]{_plain(sheet.title)}[/bold] {sheet.kind} {sheet.name}, {_plain(sheet.stands)}, owner {sheet.owner}\n")
    for part in sheet.parts:
        if part.rows:
            table(part.title, ("", ""), [(_plain(key), _plain(text)) for key, text in part.rows])
        if part.table is not None and part.table.rows:
            shown = part.table.rows[:SHOWN]
            more = f" (first {SHOWN} of {len(part.table.rows)})" if len(shown) < len(part.table.rows) else ""
            table(f"{part.title}{more}", part.table.columns, [tuple(map(_plain, row)) for row in shown])


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register_segments(segments: typer.Typer) -> None:
    """Add `segments sheet`."""
    segments.command("sheet")(segment)


def register_registry(registry: typer.Typer) -> None:
    """Add `registry sheet`."""
    registry.command("sheet")(bundle)
