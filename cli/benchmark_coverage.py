"""`leadwell benchmark coverage`: does the 80 % interval hold the truth in 80 of 100 cases, where the truth is known?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from training.benchmark.coverage import Covered, WorldCoverage
    from training.benchmark.coverage_groups import GroupCoverage

# Not the seeds that the estimate and its settings were thought out on (101 to 103, 501 to 510, 2001 to 3003).
SEEDS = "3004,3005,3006"


def coverage(
    leads: Annotated[int, typer.Option(min=2000, help="leads of each made world")] = 40_000,
    seeds: Annotated[str, typer.Option(help="seeds of the made worlds, between commas; empty for none")] = SEEDS,
    world: Annotated[list[Path] | None, typer.Option(help="a world that is there already; may be repeated")] = None,
    export: Annotated[Path | None, typer.Option(help="a flat export with its outcome, judged by groups")] = None,
    source: Annotated[Path, typer.Option(help="mapping of the export")] = Path("xeducation"),
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("artifacts/benchmark/coverage"),
) -> None:
    """Measure how often 80 % intervals hold what they promise: per lead on made worlds, by groups on an export.

    On a made world the true probability of every lead is known. The judging accounts are not trained on.

    Example: leadwell benchmark coverage --leads 20000 --seeds 11,12,13

    Example: leadwell benchmark coverage --seeds "" --export leads.csv --source xeducation
    """
    from configs.settings import load_settings

    settings = load_settings()
    numbers = _seeds(seeds)
    if not (numbers or world or export):
        raise InputInvalid("coverage", "expected --seeds, --world or --export: there is nothing to measure")
    groups = _groups(export, source, settings) if export is not None else None
    worlds = [_known(folder, settings) for folder in world or ()] + [_made(n, leads, settings) for n in numbers]
    for one in worlds:
        _show_world(one)
    if worlds:
        line(_over_worlds(worlds))
    if groups is not None:
        _show_groups(groups)
    out.mkdir(parents=True, exist_ok=True)
    found = {"worlds": [asdict(one) for one in worlds], "groups": None if groups is None else asdict(groups)}
    (out / "coverage.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / "coverage.md").write_text(_page(worlds, groups), encoding="utf-8")
    line(f"written: {out / 'coverage.json'}, {out / 'coverage.md'}")
    next_step("leadwell benchmark models")


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() for part in parts):
        raise InputInvalid("--seeds", "expected whole numbers between commas")
    return [int(part) for part in parts]


def _made(seed: int, leads: int, settings: Settings) -> WorldCoverage:
    from training.sample.world import make_sample

    with tempfile.TemporaryDirectory(prefix="leadwell-coverage-") as folder:
        with step(f"Making a world of {leads:,} leads, seed {seed}"):
            make_sample(leads, seed, Path(folder), assets=settings.assets)
        return _known(Path(folder), settings)


def _known(folder: Path, settings: Settings) -> WorldCoverage:
    from training.benchmark.coverage import measure_world

    with step("Comparing intervals with the truth") as report:
        return measure_world(folder, settings, report)


def _groups(export: Path, source: Path, settings: Settings) -> GroupCoverage:
    from configs.settings import load_source
    from features.intake.flat import read_flat
    from models.segments.map import SegmentMap
    from training.benchmark.coverage_groups import measure_groups
    from training.dataset.dataset import build_flat_dataset

    mapping = load_source(source)
    intake = read_flat(mapping, export, settings, training=True)
    dataset = build_flat_dataset(intake, settings, SegmentMap.load(settings), mapping)
    with step(f"Comparing intervals of groups with later rows of {mapping.name}") as report:
        try:
            return measure_groups(dataset, settings, report)
        except ValueError as error:
            raise InputInvalid(export.name, str(error)) from error


def _row(one: Covered) -> tuple[str, ...]:
    return (
        one.group,
        f"{one.leads:,}",
        f"{one.share:.1%}",
        f"{one.low:.1%} to {one.high:.1%}",
        f"{one.below:.1%}",
        f"{one.above:.1%}",
        f"{one.width:.3f}",
    )


COLUMNS = ("leads of", "leads", "covered", "95 % interval", "below", "above", "mean width")


def _rows(one: WorldCoverage) -> list[tuple[str, ...]]:
    rows = [_row(one.overall), _row(one.narrow), _row(one.wide)]
    for name, groups in one.groups.items():
        rows += [(f"{name}: {first}", *rest) for first, *rest in map(_row, groups)]
    return rows


def _show_world(one: WorldCoverage) -> None:
    title = f"World {one.seed}: {one.leads:,} leads, nominal 80 %"
    table(title, COLUMNS, _rows(one), right=(1, 2, 3, 4, 5, 6))
    line(f"[dim]{_hidden_words(one)}[/dim]")


def _hidden_words(one: WorldCoverage) -> str:
    hidden = one.hidden
    if not hidden.known:
        return f"{hidden.says}."
    said = ", ".join(f"{name.lower().replace('_', ' ')} {count:,}" for name, count in one.reasons.items())
    return (
        f"Unseen of a lead that lasts: variance {hidden.lasting:.3f} (standard error {hidden.lasting_error:.3f}) from "
        f"{hidden.pairs:,} pairs of snapshots; its own interval is wider than one half for "
        f"{one.own_width_over_half:.1%}. Bands: {said}."
    )


def _over_worlds(worlds: Sequence[WorldCoverage]) -> str:
    shares = [one.overall.share for one in worlds]
    return (
        f"Mean over {len(worlds)} worlds: {sum(shares) / len(shares):.1%} (nominal 80 %; "
        f"worlds from {min(shares):.1%} to {max(shares):.1%})"
    )


def _show_groups(found: GroupCoverage) -> None:
    rows = [
        (f"{one.origin:.0%}", f"{one.trained_rows:,}", f"{one.leads:,}", one.groups, f"{one.shares[1]:.1%}")
        for one in found.origins
    ]
    columns = ("learned from the first", "rows", "leads after", "groups", "covered")
    table("Groups of later rows, nominal 80 %", columns, rows, right=(1, 2, 3, 4))
    line(_groups_words(found))


def _groups_words(found: GroupCoverage) -> str:
    return (
        f"Mean over origins: {found.share:.1%}, standard error {found.error:.1%}; intervals half as wide cover "
        f"{found.narrow:.1%}, twice as wide {found.wide:.1%}, without the model's error {found.without_model_error:.1%}"
    )


def _page(worlds: Sequence[WorldCoverage], groups: GroupCoverage | None) -> str:
    parts = ["# Coverage of 80 % intervals", ""]
    if worlds:
        parts += [_over_worlds(worlds) + ".", ""]
    for one in worlds:
        parts += [f"## World {one.seed}, {one.leads:,} leads", "", _hidden_words(one), ""]
        parts += [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
        parts += [f"| {' | '.join(row)} |" for row in _rows(one)] + [""]
    if groups is not None:
        parts += ["## Groups of later rows of the export", "", _groups_words(groups) + ".", ""]
        parts += ["| origin | rows before | leads after | groups | covered |", "| --- | --- | --- | --- | --- |"]
        parts += [
            f"| {one.origin:.0%} | {one.trained_rows:,} | {one.leads:,} | {one.groups} | {one.shares[1]:.1%} |"
            for one in groups.origins
        ]
    return "\n".join(parts).rstrip() + "\n"
