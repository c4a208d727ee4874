"""`leadwell train`, `evaluate`: from tables to a bundle, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.card import show_verdict, written
from cli.clock import chosen
from cli.differences import shown_gap
from cli.leaks import Insist, show_leaks
from cli.registry import TrackingUri, after_training, logged
from cli.screen import line, step, table
from cli.targets import show_further, show_history
from cli.thresholds import show_thresholds
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from training.evaluation.metrics import Comparison, Metrics

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
Artifacts = Annotated[Path, typer.Option("--artifacts", help="where champion.json and the MLflow store live")]
By = Annotated[str, typer.Option("--by", help="who trains; may ask for a promotion, and never approves it")]

ARTIFACTS = Path("artifacts")


def train(
    bundle: Annotated[Path, typer.Option("--bundle", help="folder for the bundle")] = ARTIFACTS / "bundle",
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="learn only from what was known then")] = None,
    targets: Annotated[
        str, typer.Option("--targets", help="train these too: all, or ids between commas (see `leadwell targets`)")
    ] = "",
    tune: Annotated[
        str, typer.Option("--tune", help="look for better booster shapes for so long at most, as 90s, 10m or 1h")
    ] = "",
    by: By = "",
    despite_leakage: Insist = "",
    tracking_uri: TrackingUri = None,
    artifacts: Artifacts = ARTIFACTS,
    configs: Configs = None,
) -> None:
    """Learn readiness, judge it on later data beside the baselines, write a bundle, and log it all to MLflow.

    Example: leadwell train --data artifacts/world --bundle artifacts/bundle

    Example: leadwell train --data artifacts/world --targets conversion,sql

    Example: leadwell train --data artifacts/world --tune 10m

    Example: leadwell train --source xeducation --leads old.csv --bundle artifacts/flat
    """
    from cli.drift import show_drift
    from cli.tuning import show_tuning
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.quality.check import check as check_tables
    from features.intake.sources import find_files, read_tables
    from training.dataset.targets import chosen_targets
    from training.evaluation.evaluation import card_file
    from training.leakage.gate import Despite
    from training.record import training_report
    from training.registry.history import person
    from training.registry.tracking import refuse_silent_server
    from training.report import write_report
    from training.train import train as train_tables
    from training.train import train_flat
    from training.tuning.tuning import seconds_of

    seconds = seconds_of(tune) if tune else None
    by = person(by) if by else by
    settings, despite = load_settings(configs), Despite.given(despite_leakage, by)
    refuse_silent_server(artifacts, tracking_uri)
    further, mapping = chosen_targets(settings, targets), None
    if source is not None and leads is not None and data is None:
        if further:
            raise InputInvalid("targets", "a flat export has one outcome, which its mapping names: leave --targets out")
        mapping = load_source(source)
        with step("Reading the export"):
            intake = read_flat(mapping, leads, settings, training=True)
        with step("Training") as report:
            trained = train_flat(
                intake, settings, mapping, bundle, progress=report, by=by, despite=despite, tune_seconds=seconds
            )
        name = mapping.name
    elif data is not None and source is None and leads is None:
        instant, files = chosen(as_of, data), find_files(data)
        with step("Reading tables"):
            intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
        with step("Checking the data"):
            quality = check_tables(intake, settings, as_of=instant, files=files)
        with step("Training") as report:
            trained = train_tables(
                intake.tables, settings, instant, bundle, quality=quality, further=further, progress=report, by=by,
                despite=despite, tune_seconds=seconds,
            )  # fmt: skip
        name = data.name
    else:
        raise InputInvalid("train", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    verdict = written(trained, settings, name, mapping)
    tracked = logged(trained, settings, artifacts, name, tracking_uri)
    page = write_report(training_report(trained, settings, title=name), bundle.with_name(f"{bundle.name}-report.html"))
    show_comparison(trained.comparison, trained.time_only, trained.dataset.timed)
    _show_segments(trained.comparison)
    show_tuning(trained.tuning, bundle)
    show_further(trained.further)
    show_history(trained.dataset.history)
    show_thresholds(trained.thresholds)
    show_drift(trained)
    if trained.leakage.leaks:
        show_leaks(trained.leakage)
    rejected = intake.rejects.num_rows
    if rejected:
        line(f"[yellow]{rejected:,} rows were rejected: leadwell data check --rejects FILE lists them[/yellow]")
    for gate in trained.hygiene.failed:
        line(f"[red]below its minimum[/red] {gate.says}")
    if trained.hygiene.inactive:
        line(f"[yellow]inactive in this bundle: {', '.join(trained.hygiene.inactive)}[/yellow]")
    show_verdict(verdict.word, verdict.sentence)
    line(f"bundle {trained.bundle.bundle_id[:12]} in {bundle}; report {page}; card {card_file(bundle)}")
    if not trained.hygiene.model_passed:
        line("[yellow]promote will refuse this bundle; `leadwell data check` says what to mend[/yellow]")
    after_training(trained, intake, settings, mapping, artifacts, by)
    if not tracked:
        raise typer.Exit(1)


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
    from configs.mapping import NO_TIME
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.sources import find_files, read_tables
    from models.bundle import read_bundle
    from training.train import evaluate_bundle, evaluate_bundle_flat

    settings, mapping = load_settings(configs), None
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
    show_comparison(judged.comparison, None, mapping is None or mapping.order_by != NO_TIME)
    if judged.seen:
        line("[yellow]The bundle was trained on rows that judge here: these numbers flatter it.[/yellow]")
        line("[yellow]Judge it on data recorded after it was made, or read the metrics in its manifest.[/yellow]")


def show_comparison(comparison: Comparison, time_only: Metrics | None, timed: bool = True) -> None:
    """Every model on the same rows, and ours against each with its noise; `timed` says that they are later ones."""
    rows = []
    for name, m in sorted(comparison.models.items(), key=lambda entry: entry[1].log_loss):
        against = "[bold]ours[/bold]"
        if name != comparison.ours:
            against = shown_gap(comparison.against(name))
        numbers = (f"{m.auc:.3f}", f"{m.log_loss:.4f}", f"{m.calibration_error:.3f}", f"{m.lift_at_10:.1f}")
        rows.append((name.replace("_", " "), *numbers, against))
    judged = comparison.models[comparison.ours]
    rows_are = "later rows" if timed else "rows drawn by chance (nothing says when they are of)"
    title = f"Judged on {judged.rows:,} {rows_are}, {judged.positives:,} with the outcome"
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
        gaps = [shown_gap(row.against(rival)) if row.tells else "[dim]too few to tell[/dim]" for rival in rivals]
        rows.append((row.segment_id, f"{found.rows:,}", f"{found.positives:,}", *gaps))
    columns = ("segment", "rows", "with", *(f"minus {rival.replace('_', ' ')}" for rival in rivals))
    table("Log-loss by segment", columns, rows, right=(1, 2))


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    panel = "Data scientists"
    for command in (train, evaluate):
        app.command(rich_help_panel=panel)(command)
