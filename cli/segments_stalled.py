"""`leadwell segments stalled`: who advanced, who stalled, and what stands in the way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import pyarrow as pa

    from configs.settings import Settings
    from training.learning.progress import Progress

# More lines nobody reads.
MOVES_SHOWN = 20
_SUFFIXES = (".csv", ".parquet", ".json")


def stalled(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    state: Annotated[Path, typer.Option("--state", help="what `segments apply` keeps: stages and their moves")],
    result: Annotated[Path, typer.Option("--result", help="what `rescore` wrote, for what stands in the way")],
    segment: Annotated[str | None, typer.Option("--segment", help="only this primary segment")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="only this stage")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="one row a stalled lead, .csv, .parquet or .json")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the instant; that of the state when absent")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="your configuration folder")] = None,
) -> None:
    """Show who advanced and who stalled, by segment and stage, why, and who can do something about it.

    A lead stalls when it is longer in a stage than learning.yaml says. Each has one reason: the first that holds.

    Example: leadwell segments stalled --data artifacts/demo/world --state artifacts/demo/memberships --result
    artifacts/demo/scores --out stalled.csv
    """
    import pyarrow.compute as pc

    from configs.settings import load_settings
    from features.facts import FactBuilder
    from features.intake.sources import find_files, read_tables
    from features.view import view_at
    from serving.memberships.stages import stage_moves, stages_in
    from serving.memberships.state import read_state
    from training.learning.progress import as_plain
    from training.learning.stalls import progress_of

    if out is not None and out.suffix.lower() not in _SUFFIXES:
        raise InputInvalid(str(out), f"expected a file that ends in {', '.join(_SUFFIXES)}")
    settings = load_settings(configs)
    _known(settings, segment, stage)
    kept = read_state(state)
    stages = stages_in(kept)
    if kept is None or stages is None:
        raise InputInvalid(str(state), "expected what `leadwell segments apply` keeps, with stages: run it once more")
    instant = chosen(as_of) if as_of is not None else kept.as_of
    if instant < kept.as_of:
        raise InputInvalid("--as-of", f"expected an instant not before that of the state, {kept.as_of.isoformat()}")
    decisions = _decisions(result)
    if segment is not None:
        decisions_of = decisions.filter(pc.equal(decisions["primary_segment"], segment))
        stages = stages.filter(pc.is_in(stages["lead_id"], decisions_of["lead_id"].combine_chunks()))
    if stage is not None:
        stages = stages.filter(pc.equal(stages["stage"], stage))
    files = find_files(data)
    some: dict[str, Path] = {name: files[name] for name in ("leads", "touches", "events", "links") if name in files}
    moves = stage_moves(state)
    if segment is not None:
        moves = moves.filter(pc.is_in(moves["id"], stages["lead_id"].combine_chunks()))
    if as_json:
        tables = read_tables(some, settings, assets=settings.assets, as_of=instant).tables
        known = view_at(tables, instant, FactBuilder.of(settings).view)
        found = progress_of(stages, moves, decisions, known, settings, instant)
        write_out(json.dumps(as_plain(found), indent=1))
        return
    with step("Reading tables"):
        tables = read_tables(some, settings, assets=settings.assets, as_of=instant).tables
    with step("Looking at stages"):
        known = view_at(tables, instant, FactBuilder.of(settings).view)
        found = progress_of(stages, moves, decisions, known, settings, instant)
    _show(found, settings)
    if out is not None:
        _write(found.rows, out)
        line(f"stalled leads: {out}, {found.rows.num_rows:,} rows")
    next_step("leadwell segments review --data FOLDER" if out else "the same with --out stalled.csv")


def _show(found: Progress, settings: Settings) -> None:
    from training.learning.reasons import SAYS, SEES_TO

    share = f" ({found.stalled / found.leads:.0%})" if found.leads else ""
    line(f"{found.leads:,} leads have a stage on {found.as_of:%Y-%m-%d}, {found.stalled:,} of them{share} stalled")
    if found.undecided:
        line(f"[yellow]{found.undecided:,} are not in the result of the rescoring: is it of another instant?[/yellow]")
    groups = [one for one in found.groups if one.stalled.of]
    rows = [
        (
            one.segment or "none",
            one.stage,
            f"{one.stalled.of:,}",
            f"{one.days:.0f}",
            f"{one.stalled.hits:,}",
            f"{one.stalled.interval[0]:.0%} to {one.stalled.interval[1]:.0%}" if one.stalled.hits else "",
            "; ".join(f"{name} {count:,}" for name, count in one.reasons[:2]),
        )
        for one in groups
    ]
    columns = ("segment", "stage", "leads", "median days", "stalled", "95 %", "why")
    table("Where leads are, and who stalled", columns, rows, right=(2, 3, 4, 5))
    totals: dict[str, int] = {}
    for one in found.groups:
        for name, count in one.reasons:
            totals[name] = totals.get(name, 0) + count
    owners = {duty.id: duty.owner for duty in settings.ownership.duties}
    told = [
        (name, f"{count:,}", SAYS[name], owners.get(SEES_TO[name], "segment owners"))  # type: ignore[index]
        for name, count in sorted(totals.items(), key=lambda pair: -pair[1])
    ]
    if told:
        rules = Counter(rule for one in found.groups for rule, count in one.rules for _ in range(count))
        table("What stands in the way", ("reason", "leads", "what it means", "who sees to it"), told, right=(1,))
        if rules:
            line("rules against the blocked: " + ", ".join(f"{rule} {n:,}" for rule, n in rules.most_common(6)) + "\n")
    large = [one for one in found.steps if one.leads >= settings.learning.min_leads]
    shown = sorted(large, key=lambda one: (not one.forward, -one.leads))[:MOVES_SHOWN]
    steps = [
        (
            one.segment or "none",
            f"{one.old} → {one.new}" if one.forward else f"[dim]{one.old} → {one.new}[/dim]",
            f"{one.leads:,}",
            "" if one.days is None else f"{one.days:.0f}",
            f"{one.touched.rate:.0%}",
            ", ".join(f"{signal} {count:,}" for signal, count in one.signals[:1]),
            ", ".join(f"{asset} {count:,}" for asset, count in one.assets[:1]),
        )
        for one in shown
    ]
    if steps:
        touched = f"touched in {settings.learning.answer_days} days before"
        title = f"Moves in {found.window_days} days, the largest of those forward first"
        named = ("segment", "stage", "leads", "days before", touched, "because", "sent most")
        table(title, named, steps, right=(2, 3, 4))
    if len(found.steps) > len(shown):
        line(f"[dim]{len(found.steps) - len(shown):,} further kinds of move: --json has them all[/dim]")


def _decisions(result: Path) -> pa.Table:
    """The decision table of a rescoring."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = sorted((result / "decisions").glob("part-*.parquet"))
    if not parts or not (result / "manifest.json").is_file():
        raise InputInvalid(str(result), "expected the result of `leadwell rescore`")
    asked = ("lead_id", "primary_segment", "queue", "action", "team", "asset_id", "band")
    names = pq.read_schema(parts[0]).names
    some = [name for name in names if name in asked or name.endswith(("_permitted", "_rules", "_reasons"))]
    return pa.concat_tables([pq.read_table(part, columns=some) for part in parts])


def _known(settings: Settings, segment: str | None, stage: str | None) -> None:
    if segment is not None and segment not in {definition.id for definition in settings.segments}:
        raise InputInvalid("--segment", f"no segment is named {segment!r}")
    if stage is not None and stage not in settings.actions.stages:
        raise InputInvalid("--stage", f"expected one of {', '.join(settings.actions.stages)}")


def _write(rows: pa.Table, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from serving.files import write_csv
    from training.reviews.pages import write_page

    if out.suffix.lower() == ".parquet":
        pq.write_table(rows, out, compression="zstd")
    elif out.suffix.lower() == ".json":
        write_page(json.dumps(rows.to_pylist(), default=str, indent=1) + "\n", out)
    else:
        flat = rows.set_column(rows.schema.get_field_index("rules"), "rules", pc.binary_join(rows["rules"], "; "))
        at = flat.schema.get_field_index("since")
        write_csv(flat.set_column(at, "since", pc.strftime(flat["since"].cast(pa.timestamp("s", "UTC")))), out)


def register(segments: typer.Typer) -> None:
    """Add the command of this room."""
    segments.command()(stalled)
