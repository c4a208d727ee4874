"""`leadwell recalibrate`: the same boosters at the level of today, as a new bundle."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

ARTIFACTS = Path("artifacts")


def recalibrate(
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle whose level is to follow")] = ARTIFACTS
    / "bundle",
    out: Annotated[Path, typer.Option("--out", help="folder for the new bundle")] = ARTIFACTS / "recalibrated",
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[
        Path | None, typer.Option("--leads", help="the flat export: recent rows with their outcome")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="use only what was known then")] = None,
    by: Annotated[str, typer.Option("--by", help="who decides this; kept in the bundle")] = "",
    configs: Annotated[
        Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")
    ] = None,
) -> None:
    """Move the calibration of a bundle to the level that recent outcomes show, and write it as a new bundle.

    Boosters, segments and reasons stay; only the intercepts move, pulled toward the old ones where outcomes are few.
    With tables the latest snapshot whose horizon is over is used; with a flat export all its rows. Give it rows that
    the bundle was not trained on: on others it fits itself and moves nothing.

    Example: leadwell recalibrate --bundle artifacts/bundle --data exports/ --out artifacts/recalibrated

    Example: leadwell recalibrate --bundle artifacts/flat --source bank_marketing --leads recent.csv
    """
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.sources import find_files, read_tables
    from models.bundle import read_bundle
    from training.drift.recalibrate import recent_of_export, recent_of_tables, write_recalibrated

    settings = load_settings(configs)
    old = read_bundle(bundle)
    old.refuse_other_vocabularies(settings.vocabularies)
    if out.absolute() == bundle.absolute():
        raise InputInvalid(str(out), "expected another folder than the bundle's own: what serves stays as it is")
    with step("Reading recent outcomes"):
        if source is not None and leads is not None and data is None:
            mapping = load_source(source)
            instant = mapping.as_of.astimezone(UTC)
            recent = recent_of_export(old, read_flat(mapping, leads, settings, training=True), settings, mapping)
        elif data is not None and source is None and leads is None:
            instant = chosen(as_of, data)
            intake = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant)
            recent = recent_of_tables(old, intake.tables, settings, instant)
        else:
            raise InputInvalid("recalibrate", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    if recent.seen:
        line("[yellow]The bundle was trained on these rows: it fits them already, so this says little.[/yellow]")
    with step("Following the level of the outcome"):
        new, found = write_recalibrated(old, recent, out, as_of=instant, by=by)
    rows = [
        ("recent leads with a known outcome", f"{found.rows:,}"),
        ("blocks they were followed in", f"{found.blocks:,}"),
        ("outcome among them", f"{found.observed:.1%}"),
        ("mean prediction before", f"{found.predicted_before:.1%}"),
        ("mean prediction of the new bundle", f"{found.predicted_after:.1%}"),
        ("shift of the log-odds that they show", f"{found.seen:+.3f} (standard error {found.spread:.3f})"),
        ("shift of the log-odds that is believed", f"{found.shift:+.3f}"),
        *((f"with its own part: {name}", f"{shift:+.3f}") for name, shift in found.segments.items()),
    ]
    table("Recalibration", ("what", "found"), rows, right=(1,))
    line(f"bundle {new.bundle_id[:12]}, recalibrated from {old.bundle_id[:12]}: {out}")
    if found.shift == 0.0 and not any(found.segments.values()):
        line("[dim]The level has not moved by more than its own uncertainty: the old bundle will do.[/dim]")
        return
    line("[dim]Whether it helps is not known yet: judge it on outcomes that come after these rows.[/dim]")
    next_step(f'leadwell registry approve --bundle {out} --by "ANOTHER NAME"')


def register(app: typer.Typer) -> None:
    """Add the command of this room."""
    app.command(rich_help_panel="Data scientists")(recalibrate)
