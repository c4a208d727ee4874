"""`leadwell scorecard`: the hand-written points, what data would suggest, and a bundle before there are data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from training.scorecards.suggest import Suggested

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
scorecard = typer.Typer(no_args_is_help=True, help="The hand-written points: look at them, compare them with data.")


def show(
    segment: Annotated[str | None, typer.Option("--segment", help="what signals are worth in this segment")] = None,
    configs: Configs = None,
) -> None:
    """Every rule with its points, in all or in one segment, the caps, the decay and the grid.

    Example: leadwell scorecard show --segment software_ehr_health_system
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    card = settings.scorecard
    known = [definition.id for definition in settings.segments]
    if segment is not None and segment not in known:
        raise InputInvalid("--segment", f"expected one of the segments, such as {', '.join(known[:3])}")
    for title, rules in (("Fit", card.fit), ("Engagement", card.engagement)):
        rows = []
        for rule in rules:
            worth = rule.by_segment.get(segment or "", rule.points)
            elsewhere = ", ".join(f"{name} {points}" for name, points in rule.by_segment.items())
            shown = f"[bold]{worth}[/bold]" if worth != rule.points else str(worth)
            rows.append((rule.id, rule.group, shown, rule.says, "" if segment else elsewhere))
        table(title, ("rule", "group", "points", "for whom", "elsewhere"), rows, right=(2,))
    line("a group counts at most: " + ", ".join(f"{group} {cap}" for group, cap in card.caps.items()))
    for kept in card.decay:
        line(f"after more than {kept.over_days} quiet days engagement keeps {kept.keep_percent} %")
    cells = "; ".join(f"{band} {', '.join(named)}" for band, named in card.bands.items())
    line(f"while there is no model the grid says the band: {cells}; every other cell is cold")
    next_step("leadwell scorecard suggest --data FOLDER")


def suggest(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    out: Annotated[Path, typer.Option("--out", help="the scorecard with the suggested points")] = Path(
        "artifacts/scorecard-suggested.yaml"
    ),
    as_of: Annotated[str | None, typer.Option("--as-of", help="learn only from what was known then")] = None,
    configs: Configs = None,
) -> None:
    """Points that the data would suggest, with intervals, judged on later data; nothing is changed.

    The scorecard in force stays as it is. A person reads the suggestion, keeps what makes sense, and puts it in force
    by copying it over configs/scorecard.yaml; what a rule is worth by segment, caps and decay are left alone.

    Example: leadwell scorecard suggest --data artifacts/demo/world
    """
    from configs.settings import DEFAULTS, load_settings
    from features.evaluate import Domain
    from features.intake.sources import find_files, read_tables
    from models.scorecard import Scorecard
    from models.segments.map import SegmentMap
    from training.dataset.dataset import build_dataset
    from training.scorecards.suggest import rows_of
    from training.scorecards.suggest import suggest as suggest_points
    from training.scorecards.text import with_points

    settings = load_settings(configs)
    instant, files = chosen(as_of, data), find_files(data)
    source = (configs or DEFAULTS) / "scorecard.yaml"
    if out.resolve() == source.resolve():
        raise InputInvalid("--out", "expected another file than the scorecard in force; a person puts it in force")
    with step("Reading tables"):
        tables = read_tables(files, settings, assets=settings.assets, as_of=instant).tables
    segment_map = SegmentMap.load(settings)
    with step("Building rows"):
        dataset = build_dataset(tables, settings, segment_map, instant)
    with step("Suggesting points"):
        card = Scorecard.of(settings, Domain.of(settings), segment_map.segment_ids)
        found = suggest_points(card, rows_of(dataset, dataset.train), rows_of(dataset, dataset.judge))
    changed = {one.rule.id: one.suggested for one in found.rules if one.verdict != "keep"}
    _show_suggested(found)
    if not changed:
        line("[green]the data give no reason to change a rule's points[/green]")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(with_points(source.read_text(encoding="utf-8"), changed), encoding="utf-8")
    line("[dim]the lowest points of the grades are left as they are: look at them again with other points[/dim]")
    line(f"{len(changed)} of {len(found.rules)} rules would change; the whole scorecard with them is in {out}")
    next_step(f"read {out}, then copy what you accept over {source.name} in your --configs folder")


def _show_suggested(found: Suggested) -> None:
    colors = {"raise": "green", "lower": "yellow", "keep": "dim"}
    rows = [
        (
            one.rule.id,
            f"{one.fired:,}",
            one.rule.points,
            f"{one.low:+.0f} to {one.high:+.0f}",
            f"[{colors[one.verdict]}]{one.verdict} {one.suggested if one.verdict != 'keep' else ''}[/]",
        )
        for one in found.rules
    ]
    columns = ("rule", "fired", "now", "data say (95 %)", "suggestion")
    table("Points in the light of outcomes", columns, rows, right=(1, 2))
    gap = found.gap
    line(
        f"on {found.now.rows:,} later rows of other accounts: AUC {found.now.auc:.3f} now, {found.then.auc:.3f} "
        f"with the suggestion; log-loss {gap.value:+.4f} ({gap.low:+.4f}, {gap.high:+.4f}), below zero is better"
    )
    if gap.verdict != "better":
        line("[yellow]on later data the suggestion is not better beyond noise: leave the points as they are[/yellow]")


def bundle(
    folder: Annotated[Path, typer.Option("--bundle", help="folder for the bundle")] = Path("artifacts/bundle"),
    configs: Configs = None,
) -> None:
    """A bundle for the cold start: no outcomes yet, so points and grades say the band and nobody claims a probability.

    Everything else works as ever: segments, rules, actions, reasons. Train and promote once there are outcomes.

    Example: leadwell scorecard bundle --bundle artifacts/cold
    """
    from configs.settings import load_settings
    from training.scorecards.cold_start import SAYS, write_cold_bundle

    with step("Writing the bundle"):
        found = write_cold_bundle(load_settings(configs), chosen(None), folder)
    line(f"bundle {found.bundle_id[:12]} in {folder}: {SAYS}")
    next_step(f'leadwell registry approve --bundle {folder} --by "A SECOND PERSON", then leadwell promote')


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (show, suggest, bundle):
        scorecard.command()(command)
    app.add_typer(scorecard, name="scorecard", rich_help_panel="Data scientists")
