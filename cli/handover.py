"""`leadwell handover` and `leadwell calls`: what goes to sales with a lead, and whom to call first."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.clock import clock_of
from cli.scoring import Bundle, Configs, bundle_folder
from cli.screen import aside, line, next_step, table, write_out

SHOWN = 25


def handover(
    lead: Annotated[Path, typer.Argument(help="a request body as for POST /v1/score", exists=True, dir_okay=False)],
    bundle: Bundle = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="folder of a made world, whose clock then counts", exists=True)
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="an earlier instant: a replay, permits nothing")] = None,
    audit: Annotated[Path, typer.Option("--audit", help="folder of the decision log")] = Path("artifacts/audit"),
    as_json: Annotated[bool, typer.Option("--json", help="the records as JSON, for a program")] = False,
    configs: Configs = None,
) -> None:
    """Tell sales about a lead: why now, what happened, what is open, and what may be done.

    Nothing is told of who may not be profiled, nor while an off-label question, an adverse event, a complaint or a
    legal hold is open.

    Example: leadwell request L0000123 --data artifacts/world > lead.json && leadwell handover lead.json
    """
    from configs.settings import load_settings
    from policy.audit.archive import Archive
    from policy.audit.pseudonyms import pseudonym_key
    from serving.api import parse
    from serving.decide import Decider
    from serving.handover.online import handovers_of
    from serving.start import open_log

    settings, clock = load_settings(configs), clock_of(data)
    parsed = parse(lead.read_bytes(), max_leads=settings.serving.max_leads)
    parsed = replace(parsed, as_of=clock.settle(as_of or parsed.as_of, aside))
    decider = Decider.load(bundle_folder(bundle), settings, on=(parsed.as_of or clock.now).date())
    records, kept = handovers_of(parsed, decider, pseudonym_key(audit), clock.now)
    # No audit, no answer: the decisions are durable before anything of them is told.
    Archive(audit).keep(decider.book((parsed.as_of or clock.now).date()), settings)
    with closing(open_log(audit)) as log:
        for one in kept:
            log.append(one)
    if as_json:
        write_out(json.dumps({"handovers": records}, indent=2))
        return
    for record in records:
        _show(record)
    for rejected in parsed.rejected:
        line(f"[yellow]not read: {rejected.path}: expected {rejected.expected}[/yellow]")


def _show(record: dict[str, Any]) -> None:
    qualified, route = record["qualification"], record["route"]
    said = f"{qualified['status']}, {qualified['lane']} lane: {_plain(qualified['next']['says'])}"
    line(f"[bold]{_plain(record['lead_id'])}[/bold]  {said}")
    line(f"queue {route['queue']}" + (f", team {route['team']}" if route["team"] else ""))
    if "who" not in record:
        line("[dim]nothing else is told of this lead now[/dim]")
        return
    segment, now = record["segment"], record["why_now"]
    rows = [(name.replace("_", " "), value) for name, value in record["who"].items()]
    table("Who", ("fact", "known"), rows)
    shown = f"band {now['band']}, fit {now['fit']}, engagement {now['engagement']}"
    table(f"Why now: {shown}", ("points", "for"), [(one["points"], one["says"]) for one in now["points"]], right=(0,))
    line(f"[bold]{_plain(segment['title'])}[/bold]  {_plain(segment['next_best_action'])}")
    line("talk about: " + _plain("; ".join(segment["themes"])))
    line("")
    left = record["history_left_out"]["older_or_further"]
    happened = [(one["on"], one["what"], _words(one)) for one in record["history"]]
    table(f"What happened ({left} more rows)" if left else "What happened", ("on", "", "what"), happened)
    if record["open_questions"]:
        table("Open questions", ("from", "question"), [(one["from"], one["says"]) for one in record["open_questions"]])
    may = record["may_do"]
    allowed = [(one["channel"], one["valid_until"], ", ".join(one["assets"])) for one in may["permitted"]]
    table("May be done", ("on", "until", "with"), allowed)
    stops = [(one["channel"], ", ".join(one["reasons"])) for one in may["not_permitted"]]
    table("May not be done", ("on", "why"), stops)
    line(f"[dim]{record['limits']}[/dim]")


def _words(row: dict[str, Any]) -> str:
    keys = ("kind", "channel", "topic", "depth", "product", "intent", "asset_id")
    said = " ".join(str(row[key]).replace("_", " ") for key in keys if key in row)
    said += f", {row['times']} times" if "times" in row else ""
    return said + (f", closed {row['closed_on']}" if "closed_on" in row else "")


def calls(
    result: Annotated[Path, typer.Option("--result", help="folder that `leadwell rescore --out` wrote")],
    team: Annotated[str | None, typer.Option("--team", help="calls of this team only")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="calls of this queue only")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="write the plan: .csv, .parquet or .json by its suffix")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the plan as JSON, for a program")] = False,
    top: Annotated[int, typer.Option("--top", help="how many to show", min=1)] = SHOWN,
) -> None:
    """Whom to call or visit today: by clinical relevance, then engagement, then permission.

    Only who may be called or visited is in it; a permit ends, so ask again just before.

    Example: leadwell calls --result scores/ --team field_sales --out calls.csv
    """
    from serving.handover.call_plan import call_plan
    from serving.table_files import write_table

    plan = call_plan(result, team, queue)
    if out is not None:
        write_table(plan.calls, out)
    if as_json:
        counts = {"not_permitted": plan.not_permitted, "waiting": plan.waiting}
        write_out(json.dumps({"calls": plan.calls.to_pylist(), **counts}, indent=1))
        return
    shown = plan.calls.slice(0, top).to_pylist()
    columns = ("", "lead", "grade", "band", "by", "due", "with", "asks about")
    rows = [
        (one["place"], one["lead_id"], f"{one['fit'] or ''}{one['engagement'] or ''}", one["band"], one["by"],
         (one["due_at"] or "")[:10], one["with"] or "", (one["asks_about"] or "").split(",")[0].replace("_", " "))
        for one in shown
    ]  # fmt: skip
    table(f"{plan.calls.num_rows:,} calls" + (f" of {team}" if team else ""), columns, rows, right=(0,))
    if plan.calls.num_rows > top:
        line(f"[dim]the first {top} of {plan.calls.num_rows:,}; --out FILE.csv has all[/dim]")
    if plan.not_permitted:
        line(f"{plan.not_permitted:,} more are handed over and may neither be called nor visited now")
    if plan.waiting:
        line(f"{plan.waiting:,} more wait: every team that covers them is full today")
    if out is not None:
        line(str(out))
    elif shown:
        next_step(f"leadwell calls --result {result} --out calls.csv")


def _plain(text: str) -> str:
    return text.strip().replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    panel = "CRM and jobs"
    app.command(rich_help_panel=panel)(handover)
    app.command(rich_help_panel=panel)(calls)
