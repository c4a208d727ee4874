"""`leadwell uplift`: what an action did beyond doing nothing, to whom, and whom to choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid


def uplift(
    data: Annotated[
        Path, typer.Option("--data", help="folder with assignments and outcomes, or the export of --source")
    ],
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export with an experiment")] = None,
    out: Annotated[Path, typer.Option("--out", help="folder for uplift.html and uplift.json")] = Path(
        "artifacts/uplift"
    ),
    assignments: Annotated[
        Path | None, typer.Option("--assignments", help="file or folder that rescore wrote; else the one in --data")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="with what was known then")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the configuration")] = None,
) -> None:
    """Measure each arm of a randomised test against its control: over all, by segment and action, with intervals.

    Example: leadwell uplift --source hillstrom --data hillstrom.csv

    Example: leadwell uplift --data artifacts/world --assignments artifacts/scores/assignments
    """
    from configs.settings import load_settings, load_source
    from features.intake.sources import find_files, read_tables
    from training.experiments.page import around, render_uplift, said
    from training.experiments.standing import standing_trial
    from training.experiments.trial import read_trial
    from training.experiments.uplift import uplift_of
    from training.reviews.pages import write_page

    settings = load_settings(configs)
    if source is not None:
        if assignments is not None or as_of is not None:
            raise InputInvalid("uplift", "expected --assignments and --as-of without --source only")
        with step("Reading the export"):
            trial = read_trial(load_source(source), data)
    else:
        instant = chosen(as_of, data)
        files = find_files(data, {"assignments": assignments} if assignments is not None else {})
        with step("Reading tables"):
            intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
            trial = standing_trial(intake.tables, settings, instant, name=data.name)
    with step("Measuring") as report:
        found = uplift_of(trial, progress=report)
    with step("Drawing"):
        page = write_page(render_uplift(found, trial.yesno), out / "uplift.html")
    write_page(json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n", out / "uplift.json")
    control = found.arms[0]
    table(
        f"Effect of each arm against {control}, with 95 % intervals",
        ("outcome", "arm", control, "effect", "says", "would have been found"),
        [
            (
                effect.outcome, effect.arm, said(effect.control_mean, effect.outcome in trial.yesno, sign=False),
                around(effect.difference, effect.outcome in trial.yesno), effect.verdict,
                said(effect.detectable, effect.outcome in trial.yesno, sign=False)
                if effect.verdict == "not told apart" else "",
            )
            for effect in found.overall
        ],
        right=(2,),
    )  # fmt: skip
    if found.targeting:
        table(
            "Choosing by uplift or by readiness: Qini coefficient, outcomes per row beyond a random order",
            ("outcome", "arm", "readiness", "uplift (x-learner)", "says"),
            [
                (
                    one.outcome, one.arm, _triple(one.of("readiness").qini), _triple(best.qini),
                    best.verdict,
                )
                for one in found.targeting
                for best in [one.of("x-learner")]
            ],
        )  # fmt: skip
    told = [effect for effect in found.effects if effect.dimension != "everybody"]
    clear = sum(effect.q < 0.05 for effect in told)
    line(f"{clear} of {len(told)} effects of groups are told apart with at most 5 % false among them")
    rejected = trial.counts.get("rejected", 0)
    if rejected:
        line(f"[yellow]{rejected:,} rows were rejected: an arm or an outcome cannot be read[/yellow]")
    next_step(f"open {page}")


def _triple(triple: tuple[float, float, float]) -> str:
    return f"{triple[0]:.4f} ({triple[1]:.4f} to {triple[2]:.4f})"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Data scientists")(uplift)
