"""`leadwell targets` and `leadwell funnel`: what is predicted, and how far leads get as far as the records can tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen
from cli.differences import shown_gap
from cli.screen import line, next_step, step, table, write_out

if TYPE_CHECKING:
    from configs.settings import Settings
    from configs.targets import Target
    from training.dataset.censoring import History
    from training.further import TrainedTarget
    from training.measurement.funnel import Funnel, Incidence

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
DASH = "\N{EN DASH}"
UNLABELLED = ("rows", "too young for the horizon", "outcomes not recorded yet at the snapshot", "reached it already")


def targets(configs: Configs = None) -> None:
    """List what readiness predicts: every declared target, what counts, within how many days, for whom otherwise.

    Example: leadwell targets
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    rows = [_listed(target, settings) for target in settings.targets.by_id.values()]
    table("Targets", ("id", "says", "what counts", "days", "otherwise"), rows, right=(3,))
    way = " → ".join(("lead", *settings.targets.funnel))
    line(f"[dim]{settings.targets.served.id} serves; the funnel is {way}[/dim]")
    next_step("leadwell train --data FOLDER --targets all")


def funnel(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table", exists=True)],
    as_of: Annotated[str | None, typer.Option("--as-of", help="as known then")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=1825, help="days after a lead's creation")] = 90,
    stage: Annotated[
        str, typer.Option("--stage", help="whose share is told by segment; the served one's if not given")
    ] = "",
    segments: Annotated[bool, typer.Option("--segments/--no-segments", help="each segment too")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="the whole result as JSON")] = False,
    configs: Configs = None,
) -> None:
    """Say which share of leads reaches each stage within so many days of their creation, with its interval.

    Leads too young to tell are followed as long as they are known and are never counted as failed; neither is what
    happened before outcomes were recorded.

    Example: leadwell funnel --data artifacts/world --days 90
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files, read_tables
    from training.measurement.funnel import funnel as follow

    settings = load_settings(configs)
    shown = _stage(settings, stage)
    instant, files = chosen(as_of, data), find_files(data)
    if as_json:
        tables = read_tables(files, settings, assets=settings.assets, as_of=instant).tables
        write_out(json.dumps(as_plain(follow(tables, settings, instant, horizon_days=days, by_segment=segments))))
        return
    with step("Reading tables"):
        tables = read_tables(files, settings, assets=settings.assets, as_of=instant).tables
    with step("Following leads from their creation") as report:
        found = follow(tables, settings, instant, horizon_days=days, by_segment=segments, progress=report)
    show_funnel(found, shown)
    next_step("leadwell segments review --data FOLDER, for what converts by segment now and before")


def _stage(settings: Settings, stage: str) -> str:
    """The stage to tell by segment: the asked one, else the first that the served target counts outcomes of."""
    from configs.errors import InputInvalid

    names, served = settings.targets.funnel, set(settings.targets.served.kinds)
    if stage and stage not in names:
        raise InputInvalid("stage", f"no stage of the funnel is named {stage}; they are {', '.join(names)}")
    alike = [name for name in names if served & set(settings.targets.own_kinds(name))]
    return stage or (alike or list(names) or [""])[0]


def as_plain(found: Funnel) -> dict[str, Any]:
    """A funnel as values that JSON has."""
    plain = asdict(found)
    plain |= {"as_of": found.as_of.isoformat(), "outcomes_from": _day(found.outcomes_from)}
    plain["silent_since"] = _day(found.silent_since)
    for group in plain["groups"]:
        for stage in group["stages"]:
            stage["since"] = _day(stage["since"])
    return plain


def show_funnel(found: Funnel, stage: str) -> None:
    """Everybody stage by stage, one stage segment by segment, then what became of every lead."""
    everybody, others = found.groups[0], found.groups[1:]
    title = f"Reached within {found.horizon_days} days of creation, as known on {found.as_of:%Y-%m-%d}"
    columns = ("leads", "reached", "at risk", "too young", "share", "interval")
    rows = [(row.stage, *_counted(row.from_creation)) for row in everybody.stages]
    table(title, ("stage", *columns), rows, right=(1, 2, 3, 4, 5))
    line("[dim]at risk: watched all those days without it; too young: not there yet, their days are not over;[/dim]")
    line("[dim]share: with its 95 % interval (Kaplan-Meier), of leads created since the stage is recorded[/dim]")
    line("")
    steps = [
        (
            row.stage,
            (_day(row.since) or "") if row.recorded else "never itself",
            DASH if row.from_creation.median_days is None else f"{row.from_creation.median_days:.0f}",
            *_counted(row.from_before)[-2:],
            f"{row.implied:,}",
        )
        for row in everybody.stages
    ]
    names = ("stage", "recorded since", "median days", "of the stage before", "interval", "implied")
    table("From stage to stage", names, steps, right=(2, 3, 5))
    line(
        "[dim]median days: of those who get there; of the stage before: within as many days of reaching that one;[/dim]"
    )
    line("[dim]implied: reached by the record of a later stage alone[/dim]")
    line("")
    place = [row.stage for row in everybody.stages].index(stage)
    if others:
        ranked = sorted(others, key=lambda group: -(group.stages[place].from_creation.share or 0.0))
        rows = [(group.name, *_counted(group.stages[place].from_creation)) for group in ranked]
        table(f"{stage}, by the segment soon after creation", ("segment", *columns), rows, right=(1, 2, 3, 4, 5))
    if found.silent_since is not None:
        line(
            f"[yellow]no stage was recorded after {found.silent_since}, which chance does not explain: shares are low; "
            "give --as-of the day the data were taken on[/yellow]"
        )
    for what, count in found.counts.items():
        if count:
            line(f"[dim]{count:>9,} {what}[/dim]")
    line(f"[dim]{found.read:>9,} leads read in all[/dim]")


def _counted(way: Incidence) -> tuple[str, ...]:
    counts = (f"{way.leads:,}", f"{way.reached:,}", f"{way.without:,}", f"{way.too_young:,}")
    if way.share is None or way.low is None or way.high is None:
        return (*counts, "too few", "")
    return (*counts, f"{way.share:.1%}", f"{100 * way.low:.1f}{DASH}{100 * way.high:.1f}")


def show_history(history: History | None) -> None:
    """What the records could not tell a training run, in words; warnings stand out."""
    if history is None:
        return
    warnings = set(history.warnings())
    for words in history.words():
        amiss = any(words.lower().startswith(warning.lower()) for warning in warnings)
        line(f"[yellow]{words}[/yellow]" if amiss else f"[dim]{words}[/dim]")


def show_further(further: Sequence[TrainedTarget]) -> None:
    """Each further target with its own metrics on later rows, or why the bundle has none of it."""
    if not further:
        return
    judged = [_judged(one) for one in further]
    columns = ("target", "days", "rows", "with", "AUC", "log-loss", "minus base rate")
    table("Further targets, each judged on its own later rows", columns, judged, right=(1, 2, 3, 4, 5))
    left = [(one.id, *(f"{one.dataset.counts[name]:,}" for name in UNLABELLED)) for one in further]
    table(
        "Rows of each",
        ("target", "with a label", "too young", "not recorded", "there already"),
        left,
        right=(1, 2, 3, 4),
    )
    for one in further:
        if one.reason:
            line(f"[yellow]{one.id} is not in the bundle: {one.reason}[/yellow]")
        elif one.weak:
            line(f"[yellow]{one.id} is not better than its base rate beyond noise: do not choose leads by it[/yellow]")


def _judged(one: TrainedTarget) -> tuple[str, ...]:
    days, judged, gain = one.rules.days, one.metrics, one.gain
    asked = f"{days.min()}" if days.min() == days.max() else f"{days.min()}{DASH}{days.max()}"
    if judged is None or gain is None:
        return one.id, asked, DASH, DASH, DASH, DASH, "[yellow]not trained[/yellow]"
    return (
        one.id,
        asked,
        f"{judged.rows:,}",
        f"{judged.positives:,}",
        f"{judged.auc:.3f}",
        f"{judged.log_loss:.4f}",
        shown_gap(gain),
    )


def declared_row(target: Target, settings: Settings) -> tuple[str, ...]:
    """A target as people read it: id, what it says, what counts, within how many days, and for whom otherwise."""
    said = []
    if target.declared:
        said.append("each segment's conversion event")
    for what, others in (("product", target.products), ("segment", target.segments)):
        for name, other in others.items():
            days = f" in {other.horizon_days} days" if other.horizon_days else ""
            said.append(f"{what} {name}: {', '.join(other.kinds or ()) or 'the same'}{days}")
    if target.first:
        said.append("asked of those only who are not there yet")
    own = settings.targets.own_kinds(target.id)
    later = " or any later stage" if len(target.kinds) > len(own) else ""
    return target.id, target.says, ", ".join(own) + later, str(target.horizon_days), "; ".join(said)


def _listed(target: Target, settings: Settings) -> tuple[str, ...]:
    mark, *rest = declared_row(target, settings)
    return (f"{mark} [green]serves[/green]" if target.serves else mark, *rest)


def _day(day: Any) -> str | None:
    return None if day is None else str(day.isoformat())


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (targets, funnel):
        app.command(rich_help_panel="Data scientists")(command)
