"""`leadwell train`, `evaluate`, `promote`, `rollback`: from tables to the bundle that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid
from training.evaluation.metrics import Comparison, Difference, Metrics

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
Artifacts = Annotated[Path, typer.Option("--artifacts", help="where champion.json and the MLflow store live")]
By = Annotated[str, typer.Option("--by", help="who decides this; kept in the history")]

ARTIFACTS = Path("artifacts")


def train(
    bundle: Annotated[Path, typer.Option("--bundle", help="folder for the bundle")] = ARTIFACTS / "bundle",
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="learn only from what was known then")] = None,
    artifacts: Artifacts = ARTIFACTS,
    configs: Configs = None,
) -> None:
    """Learn readiness, judge it on later data beside the baselines, write a bundle, and log it all to MLflow.

    Example: leadwell train --data artifacts/world --bundle artifacts/bundle

    Example: leadwell train --source xeducation --leads old.csv --bundle artifacts/flat
    """
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.quality.check import check as check_tables
    from features.intake.sources import find_files, read_tables
    from training.record import log_training, training_report
    from training.report import write_report
    from training.train import train as train_tables
    from training.train import train_flat

    settings = load_settings(configs)
    if source is not None and leads is not None and data is None:
        mapping = load_source(source)
        with step("Reading the export"):
            intake = read_flat(mapping, leads, settings, training=True)
        with step("Training") as report:
            trained = train_flat(intake, settings, mapping, bundle, progress=report)
        name = mapping.name
    elif data is not None and source is None and leads is None:
        instant, files = chosen(as_of, data), find_files(data)
        with step("Reading tables"):
            intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
        with step("Checking the data"):
            quality = check_tables(intake, settings, as_of=instant, files=files)
        with step("Training") as report:
            trained = train_tables(intake.tables, settings, instant, bundle, quality=quality, progress=report)
        name = data.name
    else:
        raise InputInvalid("train", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    with step("Logging to MLflow"):
        log_training(trained, settings, artifacts, name)
    page = write_report(training_report(trained, settings, title=name), bundle.with_name(f"{bundle.name}-report.html"))
    show_comparison(trained.comparison, trained.time_only)
    _show_segments(trained.comparison)
    rejected = intake.rejects.num_rows
    if rejected:
        line(f"[yellow]{rejected:,} rows were rejected: leadwell data check --rejects FILE lists them[/yellow]")
    for gate in trained.hygiene.failed:
        line(f"[red]below its minimum[/red] {gate.says}")
    if trained.hygiene.inactive:
        line(f"[yellow]inactive in this bundle: {', '.join(trained.hygiene.inactive)}[/yellow]")
    line(f"bundle {trained.bundle.bundle_id[:12]} in {bundle}; report {page}")
    if not trained.hygiene.model_passed:
        line("[yellow]promote will refuse this bundle; `leadwell data check` says what to mend[/yellow]")
    next_step(f'leadwell promote --bundle {bundle} --by "YOUR NAME"')


def evaluate(
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle to judge", exists=True)] = ARTIFACTS / "bundle",
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="judge with what was known then")] = None,
    configs: Configs = None,
) -> None:
    """Judge a bundle on data it has not seen, beside baselines fitted on the earlier part of that data.

    Example: leadwell evaluate --bundle artifacts/bundle --data exports/

    Example: leadwell evaluate --bundle artifacts/flat --source xeducation --leads new.csv
    """
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.sources import find_files, read_tables
    from models.bundle import read_bundle
    from training.train import evaluate_bundle, evaluate_bundle_flat

    settings = load_settings(configs)
    found = read_bundle(bundle)
    found.refuse_other_vocabularies(settings.vocabularies)
    if source is not None and leads is not None and data is None:
        mapping = load_source(source)
        intake = read_flat(mapping, leads, settings, training=True)
        with step("Judging") as report:
            judged = evaluate_bundle_flat(found, intake, settings, mapping, progress=report)
    elif data is not None and source is None and leads is None:
        instant = chosen(as_of, data)
        intake = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant)
        with step("Judging") as report:
            judged = evaluate_bundle(found, intake.tables, settings, instant, progress=report)
    else:
        raise InputInvalid("evaluate", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    show_comparison(judged.comparison, None)
    if judged.seen:
        line("[yellow]The bundle was trained on rows that judge here: these numbers flatter it.[/yellow]")
        line("[yellow]Judge it on data recorded after it was made, or read the metrics in its manifest.[/yellow]")


def show_comparison(comparison: Comparison, time_only: Metrics | None) -> None:
    """Every model on the same later rows, and ours against each with its noise."""
    rows = []
    for name, m in sorted(comparison.models.items(), key=lambda entry: entry[1].log_loss):
        against = "[bold]ours[/bold]"
        if name != comparison.ours:
            gap = comparison.against(name)
            color = {"better": "green", "worse": "red"}.get(gap.verdict, "dim")
            against = f"[{color}]{gap.value:+.3f} ({gap.low:+.3f}, {gap.high:+.3f})[/{color}]"
        shown = (f"{m.auc:.3f}", f"{m.log_loss:.4f}", f"{m.calibration_error:.3f}", f"{m.lift_at_10:.1f}")
        rows.append((name.replace("_", " "), *shown, against))
    judged = comparison.models[comparison.ours]
    title = f"Judged on {judged.rows:,} later rows, {judged.positives:,} with the outcome"
    columns = ("model", "AUC", "log-loss", "calib.", "lift", "ours minus theirs")
    table(title, columns, rows, right=(1, 2, 3, 4))
    line("[dim]calib.: mean gap between predicted and observed over ten equal-mass bins; lift: in the top 10 %;[/dim]")
    line("[dim]ours minus theirs: log-loss, below zero is better, with its 95 % paired bootstrap interval[/dim]")
    lost = comparison.worse_segments()
    if lost:
        line(f"[yellow]in {len(lost)} segment comparisons a baseline is better beyond noise: see the report[/yellow]")
    if time_only is not None:
        line(f"[dim]later, but accounts that trained: AUC {time_only.auc:.3f}, log-loss {time_only.log_loss:.4f}[/dim]")


def _show_segments(comparison: Comparison) -> None:
    """Ours against the same line without models of the segments' own, segment by segment."""
    rivals = [name for name in ("pooled", "pooled_with_segment") if name in comparison.models]
    if not rivals:
        return
    rows = []
    for row in comparison.segments:
        found = row.metrics[comparison.ours]
        gaps = [_gap(row.against(rival)) if row.tells else "[dim]too few to tell[/dim]" for rival in rivals]
        rows.append((row.segment_id, f"{found.rows:,}", f"{found.positives:,}", *gaps))
    columns = ("segment", "rows", "with", *(f"minus {rival.replace('_', ' ')}" for rival in rivals))
    table("Log-loss by segment", columns, rows, right=(1, 2))


def _gap(gap: Difference) -> str:
    color = {"better": "green", "worse": "red"}.get(gap.verdict, "dim")
    return f"[{color}]{gap.value:+.3f} ({gap.low:+.3f}, {gap.high:+.3f})[/{color}]"


def promote(
    by: By,
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle to serve from now on")] = ARTIFACTS / "bundle",
    artifacts: Artifacts = ARTIFACTS,
    despite: Annotated[
        str, typer.Option("--despite-hygiene", help="why it may serve below the hygiene minimum; kept in the history")
    ] = "",
) -> None:
    """Make a bundle the champion: verify it, try it in a child process, then switch what serves in one step.

    A bundle whose data were below the hygiene minimum is refused.

    Example: leadwell promote --bundle artifacts/bundle --by "Ada Example"
    """
    from training.registry.publish import promote as promote_bundle

    with step("Verifying the bundle and switching the champion"):
        champion = promote_bundle(artifacts, bundle, by=by, as_of=chosen(None), despite=despite)
    if champion.despite:
        line(f"[yellow]below the hygiene minimum; {by} promoted it all the same: {champion.despite}[/yellow]")
    line(f"champion {champion.bundle_id[:12]}, before it {(champion.previous or 'none')[:12]}")
    next_step("leadwell serve")


def rollback(by: By, artifacts: Artifacts = ARTIFACTS) -> None:
    """Return to the champion before this one, after checking that its bundle is still whole.

    Example: leadwell rollback --by "Ada Example"
    """
    from training.registry.publish import rollback as roll_back

    with step("Verifying the bundle and switching the champion"):
        champion = roll_back(artifacts, by=by, as_of=chosen(None))
    line(f"champion {champion.bundle_id[:12]} again")
    next_step("leadwell serve")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    panel = "Data scientists"
    for command in (train, evaluate, promote, rollback):
        app.command(rich_help_panel=panel)(command)
