"""`leadwell benchmark sizes`: how good readiness is in a segment of 50 leads, of 50,000, and between."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from cli.screen import line, step, table
from configs.errors import InputInvalid

SEGMENTS = "software_ehr_health_system,onc_community_center,cardio_outpatient"
SIZES = "50,100,200,500,1000,2000,5000,10000,20000,50000"


def sizes(
    out: Annotated[Path, typer.Option("--out", help="folder for size_curve.json, .svg and .png")] = Path("artifacts"),
    sizes: Annotated[str, typer.Option("--sizes", help="leads of the segment that train")] = SIZES,
    segments: Annotated[str, typer.Option("--segments", help="segments to cut, each by itself")] = SEGMENTS,
    draws: Annotated[int, typer.Option("--draws", min=1, help="how often leads are drawn, below 5,000")] = 3,
    rest: Annotated[int, typer.Option("--rest", min=100, help="leads of other segments beside them")] = 10_000,
    world: Annotated[int, typer.Option("--world", min=1000, help="leads of each world that is made")] = 200_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the first world; the next ones follow")] = 701,
) -> None:
    """Cut a segment of the sample world to n leads and judge four models on its later leads.

    Pooled, pooled with the segment as a feature, a separate model, and ours. Makes worlds until the segments have
    leads enough: up to 50,000 leads takes about a quarter of an hour on two cores.

    Example: leadwell benchmark sizes

    Example: leadwell benchmark sizes --sizes 50,500,2000 --world 60000 --rest 4000 --draws 1
    """
    from configs.settings import load_settings
    from training.benchmark.size_curve import MODELS, OURS, measure_sizes, points_of
    from training.benchmark.size_material import make_material
    from training.benchmark.size_plot import size_plot

    wanted, names = _numbers(sizes), tuple(name.strip() for name in segments.split(",") if name.strip())
    settings = load_settings()
    with step("Making worlds") as report, TemporaryDirectory(prefix="leadwell-sizes-") as folder:
        material = make_material(
            settings, names, max(wanted), Path(folder), seed=seed, world_leads=world, rest_leads=rest, progress=report
        )
    with step("Fitting and judging") as report:
        runs = measure_sizes(material, settings.training, names, sizes=wanted, draws=draws, seed=seed, progress=report)
    points = points_of(runs)
    rows = []
    for point in points:
        gaps = [f"{gap.value:+.4f} ({gap.low:+.4f}, {gap.high:+.4f})" for gap in point.gaps]
        verdict = "[green]yes[/green]" if point.holds else "[red]no[/red]"
        rows.append((f"{point.size:,}", f"{point.loss[OURS]:.4f}", *gaps, point.best.replace("_", " "), verdict))
    against = tuple(f"minus {model.replace('_', ' ')}" for model in MODELS[1:])
    title = f"Log-loss on {points[0].judged_rows:,} later leads of accounts that never train"
    table(title, ("leads", "ours", *against, "best", "holds"), rows, right=(0, 1))
    line("[dim]below zero ours is better; 95 % over judging accounts and draws of leads;[/dim]")
    line("[dim]holds: ours is the best or within noise of the best[/dim]")
    out.mkdir(parents=True, exist_ok=True)
    (out / "size_curve.json").write_text(
        json.dumps([{**asdict(p), "best": p.best, "holds": p.holds} for p in points], indent=1) + "\n", encoding="utf-8"
    )
    for kind in ("svg", "png"):
        (out / f"size_curve.{kind}").write_bytes(size_plot(points, kind))
    line(f"picture {out / 'size_curve.svg'}, numbers {out / 'size_curve.json'}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < 1:
        raise InputInvalid("sizes", "expected whole numbers of leads between commas, as 50,500,5000")
    return found
