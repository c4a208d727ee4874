"""`leadwell demo`: the main job, end to end, on a made world."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.card import show_approvals, show_verdict
from cli.data import show_counts
from cli.screen import Report, console, counted, line, next_step, step, table
from cli.server import ask, serving
from cli.training import show_comparison
from configs.errors import LeadwellError

AS_OF = date(2026, 6, 30)
TRAINER, REVIEWER = "Demo Trainer", "Demo Reviewer"
PLAYED, SMALL = "the demo plays both persons", "a made world that may be too small to tell"


class Log:
    """Steps with their result and seconds, for the report."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[tuple[Report, list[str]]]:
        """A step on the screen; what the caller appends to the list is its result in words."""
        started, says = time.perf_counter(), list[str]()
        with step(title) as report:
            yield report, says
        self.steps.append((title, " ".join(says), time.perf_counter() - started))


def demo(
    leads: Annotated[int, typer.Option("--leads", help="size of the made world", min=1500)] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same world", min=0)] = 7,
    out: Annotated[Path, typer.Option("--out", help="where everything goes")] = Path("artifacts/demo"),
) -> None:
    """Run the main job on a made world: data, segments, readiness, rules, rescoring, one score over HTTP, a report.

    Example: leadwell demo --leads 5000
    """
    from configs.settings import load_settings
    from features.intake.quality.check import check
    from features.intake.sources import find_files, read_tables
    from serving.memberships.apply import apply
    from serving.requests import request_of, view_of
    from serving.rescore import rescore
    from serving.tags.activate import activate
    from training.evaluation.card import keep_card
    from training.evaluation.evaluation import card_file
    from training.proposals.propose import propose
    from training.quality_report import write_quality_report
    from training.record import log_training, training_report
    from training.registry.approvals import approve
    from training.registry.champion import promote
    from training.registry.history import start_anew
    from training.report import TableCount, write_report
    from training.sample.world import make_sample
    from training.train import train

    started = time.perf_counter()
    settings, log = load_settings(), Log()
    instant = datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=UTC)
    world, state, bundle, scores = out / "world", out / "memberships", out / "bundle", out / "scores"
    start_anew(out, (TRAINER, REVIEWER, "leadwell demo"))
    console.rule("[bold]Leadwell: whom to contact next, why, and whether we may")
    with log.step(f"Making a world of {leads:,} leads") as (report, says):
        shutil.rmtree(world, ignore_errors=True)
        made = make_sample(leads, seed, world, AS_OF, counted(report, "leads"))
        says.append(f"{made.counts['events']:,} events, {made.counts['accounts']:,} accounts")
    files = find_files(world)
    with log.step("Checking the data") as (_, says):
        intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
        quality = check(intake, settings, as_of=instant, files=files)
        rejected, twice = intake.rejects.num_rows, sum(c.duplicate for c in intake.counts.values())
        says.append(f"{rejected:,} rows rejected, {twice:,} duplicates counted once")
    with log.step("Proposing segments") as (report, says):
        proposed = propose(intake.tables, settings, instant, out / "proposals", progress=report)
        says.append(f"{len(proposed.proposals)} clusters, {len(proposed.proposed)} worth a person's look")
    with log.step("Placing everybody in the approved segments, yesterday and today") as (report, says):
        shutil.rmtree(state, ignore_errors=True)
        yesterday = instant - timedelta(days=1)
        apply(files, settings, state, yesterday, suppressions_complete_as_of=yesterday, progress=report)
        placed = apply(files, settings, state, instant, progress=report)
        says.append(f"{placed.placed:,} leads looked at again overnight, {sum(placed.moves.values()):,} moves")
    with log.step("Writing tags for a CRM") as (report, says):
        tagged = activate(files, settings, state, out / "tags", instant, progress=report)
        says.append(" and ".join(f"{count:,} {unit}s" for unit, count in tagged.written.items()))
    with log.step("Training with the approved segment map") as (report, says):
        trained = train(intake.tables, settings, instant, bundle, quality=quality, progress=report, by=TRAINER)
        own = sum(record.kept for record in trained.bundle.readiness.records)
        says.append(f"{trained.dataset.counts['train']:,} rows; {own} segments earned a model of their own")
    write_quality_report(quality, trained.hygiene, out / "quality.html", title=f"{leads:,} leads of a made world")
    with log.step("Judging group by group and writing the model card") as (_, says):
        verdict = keep_card(trained, settings, title=f"{leads:,} leads of a made world").verdict
        says.append(verdict.sentence)
    with log.step("Logging to MLflow; approving and promoting the bundle, both persons played here") as (_, says):
        log_training(trained, settings, out, f"demo of {leads:,} leads")
        # A world of a few thousand leads is too small to tell; the history then says that this let it pass.
        # Two persons, both played here: nobody promotes on an approval of their own.
        approve(out, bundle, by=REVIEWER, as_of=instant, rules=settings.registry, note=PLAYED, despite_gate=SMALL)
        champion = promote(out, bundle, by=TRAINER, as_of=instant, rules=settings.registry, despite_gate=SMALL)
        show_approvals(bundle, trained.bundle.bundle_id, out)
        says.append(f"champion {champion.bundle_id[:12]}, approved by a second person, whom the demo plays too")
    with log.step("Rescoring every lead") as (report, says):
        inputs = {name: path for name, path in files.items() if name not in ("outcomes", "campaigns", "assets")}
        done = rescore(
            inputs, bundle, settings, scores, instant, workers=1, audit=out / "audit",
            progress=lambda what, k, n: report(what, k / max(n, 1)),
        )  # fmt: skip
        says.append(f"{done.leads:,} decisions, {done.rejected:,} rows rejected")
    batch = _one_worth_showing(scores)
    with log.step("Scoring one lead over HTTP") as (_, says):
        asked = request_of(inputs, batch["lead_id"], settings, instant, view_of(bundle, settings))
        body = json.dumps(asked).encode()
        key = secrets.token_urlsafe(24)
        environment = {
            "LEADWELL_API_KEY": key,
            "LEADWELL_BUNDLE": str(bundle.resolve()),
            "LEADWELL_AUDIT": str((out / "audit").resolve()),
            "LEADWELL_AS_OF": instant.isoformat(),
        }
        with serving(environment, out / "service.log") as port:
            answer, took = ask(port, body, key)
        decision = answer["decisions"][0]
        same = _agree(decision, batch)
        says.append(f"{took:.1f} ms, {'the same answer as in batch' if same else 'NOT the answer that batch gave'}")
    (out / "request.json").write_bytes(body)
    with log.step("Measuring the last quarter: segments, campaigns, funnel, attribution") as (_, says):
        says.append(f"{_measured(files, settings, instant, state, out / 'quarter.html')} tables, each with its counts")
    page = replace(
        training_report(trained, settings, title=f"{leads:,} leads, as known on {AS_OF:%d %B %Y}"),
        says="A made world with a known truth: no lead in it exists. Every number below was computed in this run.",
        figures=_figures(done.leads, trained.comparison, done.permitted, took),
        steps=tuple(log.steps),
        counts=tuple(
            TableCount(name, c.read, c.used, c.rejected, c.duplicate) for name, c in intake.counts.items() if c.read
        ),
        segments=_segments(scores, settings),
        permitted={channel: count / done.leads for channel, count in done.permitted.items()},
        reasons=_reasons(scores, settings),
        example=decision,
        notes=_notes(trained, same),
    )
    written = write_report(page, out / "report.html")
    console.rule()
    show_counts({name: c for name, c in intake.counts.items() if c.read})
    show_comparison(trained.comparison, trained.time_only)
    show_verdict(verdict.word, verdict.sentence)
    line("")
    _show_permitted(done.permitted, done.leads)
    _show_decision(decision, took)
    line(f"[bold]Report[/bold]  {written.resolve()}")
    line(f"[bold]Quarter[/bold]  {(out / 'quarter.html').resolve()}")
    line(f"[bold]Model card[/bold]  {card_file(bundle).resolve()}")
    line(
        f"[dim]data quality {out / 'quality.html'}, proposals {out / 'proposals' / 'report.html'}, "
        f"moves {state}/moves/, tags {out / 'tags'}/, scores {scores}/, MLflow store {out / 'mlflow.db'}[/dim]"
    )
    line(f"[dim]{time.perf_counter() - started:.0f} seconds in all[/dim]")
    next_step(f"leadwell serve --bundle {bundle} --as-of {AS_OF} --no-key")
    if not same:
        raise LeadwellError("the service did not give the answer that batch gave: please report this")


def _measured(files: Mapping[str, Path], settings: Any, instant: datetime, state: Path, page: Path) -> int:
    """Write every report of the last quarter as one page; how many tables it has."""
    from cli.report_all import TITLE, every_sheet
    from cli.report_options import write
    from training.measurement.reading import open_measured
    from training.measurement.windows import Window

    window = Window.chosen(instant, None, None, None)
    lookback = settings.attribution.lookback_days
    with open_measured(files, settings, window, instant, state=state, lookback_days=lookback) as found:
        sheets = every_sheet(found, funnel_of_a_year=True)
        write(sheets, found, title=TITLE, csv=None, out=page)
    return len(sheets)


def _one_worth_showing(scores: Path) -> dict[str, Any]:
    """The readiest lead of a segment that has a next action, one channel permitted and another forbidden."""
    import pyarrow.parquet as pq

    rows = pq.read_table(scores / "decisions").to_pylist()

    def worth(row: dict[str, Any]) -> tuple[bool, bool, bool, float]:
        permitted = [row[name] for name in row if name.endswith("_permitted")]
        return (
            row["primary_segment"] not in (None, "unsegmented"),
            any(permitted) and not all(permitted),
            row["action"] not in (None, "none"),
            row["probability"] or 0.0,
        )

    chosen: dict[str, Any] = max(rows, key=worth)
    return chosen


def _agree(decision: dict[str, Any], batch: dict[str, Any]) -> bool:
    """Whether the service said what the batch row says: readiness, primary segment, each channel and its reasons."""
    primary = next((s["id"] for s in decision["segments"] if s["primary"]), None)
    if (decision["readiness"]["probability"], primary) != (batch["probability"], batch["primary_segment"]):
        return False
    for channel, ruling in decision["channels"].items():
        reasons = list(dict.fromkeys(block["reason"] for block in ruling.get("blocks", ())))
        if (ruling["permitted"], reasons) != (batch[f"{channel}_permitted"], batch[f"{channel}_reasons"]):
            return False
    return True


def _figures(leads: int, comparison: Any, permitted: Mapping[str, int], took: float) -> tuple[Any, ...]:
    from training.report import Figure

    ours = comparison.models[comparison.ours]
    best = comparison.best_other.replace("_", " ")
    reach = max(permitted.items(), key=lambda entry: entry[1])
    return (
        Figure("leads decided", f"{leads:,}", "every one with its reasons"),
        Figure("AUC on later, unseen accounts", f"{ours.auc:.3f}", f"best other by log-loss: {best}"),
        Figure("calibration error", f"{ours.calibration_error:.3f}", "ten equal-mass bins"),
        Figure("widest channel", f"{reach[1] / leads:.0%}", reach[0].replace("_", " ")),
        Figure("one lead over HTTP", f"{took:.0f} ms", "first request, with drivers and rulings"),
    )


def _segments(scores: Path, settings: Any) -> tuple[Any, ...]:
    import pyarrow.parquet as pq

    from training.report import SegmentLine

    found = pq.read_table(scores / "decisions", columns=["primary_segment", "probability", "model"])
    total = max(found.num_rows, 1)
    titles = {definition.id: definition.title for definition in settings.segments}
    grouped = found.group_by("primary_segment").aggregate(
        [("probability", "mean"), ([], "count_all"), ("model", "max")]
    )
    rows = sorted(grouped.to_pylist(), key=lambda row: -row["count_all"])
    return tuple(
        SegmentLine(
            segment_id=row["primary_segment"] or "not scored",
            says=titles.get(row["primary_segment"], "may not be scored"),
            leads=row["count_all"],
            share=row["count_all"] / total,
            readiness=row["probability_mean"],
            model=row["model_max"] or "",
        )
        for row in rows
    )


def _reasons(scores: Path, settings: Any) -> tuple[Any, ...]:
    from training.report import ReasonLine

    says = {card.reason: card.title for card in settings.rules}
    says |= {card.reason_unknown: f"{card.title} (not known)" for card in settings.rules if card.reason_unknown}
    says["NO_LEGAL_BASIS"] = "No permit surely holds"
    counts: dict[str, int] = {}
    for row in json.loads((scores / "summary.json").read_text(encoding="utf-8")):
        if not row["permitted"]:
            counts[row["reason"]] = counts.get(row["reason"], 0) + row["leads"]
    top = sorted(counts.items(), key=lambda entry: -entry[1])[:12]
    return tuple(ReasonLine(reason, says.get(reason, ""), count) for reason, count in top)


def _notes(trained: Any, same: bool) -> tuple[str, ...]:
    records = trained.bundle.readiness.records
    kept = [record.segment_id for record in records if record.kept]
    dropped = len(records) - len(kept)
    return (
        f"A segment's own model must lower log-loss on later data beyond noise. Kept: {', '.join(kept) or 'none'}; "
        f"in {dropped} segments the pooled model answers, which sees the segment too.",
        "The rule book is a conservative default pending counsel, and no legal advice.",
        "Engagement shows interest in education, not prescribing.",
        "Online and batch gave the same answer for the lead shown." if same else "Online and batch DIFFER.",
    )


def _show_permitted(permitted: Mapping[str, int], leads: int) -> None:
    rows = [(channel.replace("_", " "), f"{n:,}", f"{n / max(leads, 1):.0%}") for channel, n in permitted.items()]
    table("May be contacted", ("channel", "leads", "share"), rows, right=(1, 2))


def _show_decision(decision: dict[str, Any], took: float) -> None:
    """One decision as a person reads it."""
    readiness, action = decision["readiness"], decision["next_best_action"]
    primary = next((s["id"] for s in decision["segments"] if s["primary"]), "none")
    low, high = readiness["interval"]
    rows: list[tuple[str, str]] = [
        ("segment", primary),
        ("readiness", f"{readiness['probability']:.1%} ({low:.1%} to {high:.1%}), [bold]{readiness['band']}[/bold]"),
        *(("because", f"{d['contribution']:+.2f}  {d['says']}") for d in readiness["drivers"]),
        ("stage", f"{(decision['journey'] or {}).get('stage') or 'none shown'}, as tracked events show"),
        ("next action", " ".join(str(action[k]) for k in ("action", "channel", "asset_id") if action.get(k))),
        ("for sales", f"{decision['qualification']['status']}, {decision['qualification']['lane']} lane"),
    ]
    for channel, ruling in decision["channels"].items():
        if ruling["permitted"]:
            rows.append((channel.replace("_", " "), f"[green]yes[/green]  {', '.join(ruling['permits'])}"))
        else:
            reasons = ", ".join(dict.fromkeys(block["reason"] for block in ruling["blocks"]))
            rows.append((channel.replace("_", " "), f"[red]no[/red]   {reasons}"))
    table(f"Lead {decision['lead_id']}, answered in {took:.0f} ms over HTTP", ("", ""), rows)


def register(app: typer.Typer) -> None:
    """Add the command of this room."""
    app.command(rich_help_panel="Start here")(demo)
