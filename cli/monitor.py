"""`leadwell monitor`: what moved between two nightly results, which of it alerts whom, and what changed in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from configs.settings import Settings
    from training.monitoring.watch import Alert, Monitored, Watch

KINDS = ("rows", "rejected", "band", "segment", "status", "permit", "rule", "score", "input", "calibration", "action")
# Rows of a table on the screen; the page and --json have all.
SHOWN = 12
NAMED = 4


def monitor(
    results: Annotated[
        list[Path], typer.Argument(help="folders of `leadwell rescore`, oldest first; the last two are compared")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="folder with the newest data: for inputs and known outcomes")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="the bundle of the last result, for its inputs (with --data)")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", help="the audit log's folder: says which rules changed")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write everything here, .html or .json")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="end with 1 where somebody has to look")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="your configuration folder")] = None,
) -> None:
    """Say what moved between two results of rescore: inputs, scores, segments, permits, and whom it concerns.

    A difference counts when it is beyond what exchanging the two nights by chance would show, for all of them together;
    it alerts when it is also over the limits of monitoring.yaml, which name an owner each. A single result is a
    baseline: it is described, and nothing is compared.

    Example: leadwell monitor scores-june-23 scores-june-30

    Example: leadwell monitor scores-* --data world --bundle artifacts/bundle --out artifacts/monitor.html --strict
    """
    from configs.settings import load_settings

    if out is not None and out.suffix.lower() not in (".html", ".json"):
        raise InputInvalid(str(out), "expected a file that ends in .html or .json")
    if bundle is not None and data is None:
        raise InputInvalid("--bundle", "expected --data beside it: inputs are computed from the data")
    settings = load_settings(configs)
    if as_json:
        found = _monitored(results, settings, data, bundle, audit, lambda what, part: None)
    else:
        with step(f"Comparing {len(results)} results" if len(results) > 1 else "Reading the result") as report:
            found = _monitored(results, settings, data, bundle, audit, report)
    text = json.dumps(found.to_json(), indent=1)
    if out is not None:
        from training.monitoring.page import render_monitor
        from training.reviews.pages import write_page

        write_page(text + "\n" if out.suffix.lower() == ".json" else render_monitor(found), out)
    if as_json:
        write_out(text)
    else:
        _show(found)
        if out is not None:
            line(f"everything: {out}")
        _suggest(found, results, out)
    if strict and found.alerts:
        raise typer.Exit(1)


def _monitored(
    results: list[Path],
    settings: Settings,
    data: Path | None,
    bundle: Path | None,
    audit: Path | None,
    told: Callable[[str, float], None],
) -> Monitored:
    from training.monitoring.compare import monitor as compare

    return compare(results, settings, data=data, bundle=bundle, audit=audit, told=told)


def _show(found: Monitored) -> None:
    for sentence in found.words:
        line(_plain(f"- {sentence}"))
    line("")
    if found.alerts:
        rows = [(alert.owner, alert.rule, _moved(alert), f"{alert.todo} [{alert.limit}]") for alert in found.alerts]
        table("Alerts", ("owner", "alert", "what moved", "what to do [limit]"), [tuple(map(_plain, r)) for r in rows])
    for kind in KINDS:
        moved = [watch for watch in found.beyond if watch.kind == kind]
        if moved:
            moved.sort(key=lambda watch: -abs(watch.change))
            more = f", {len(moved) - SHOWN} more in the page" if len(moved) > SHOWN else ""
            columns = ("", "earlier", "later", "change", "limits of it")
            table(
                f"Beyond noise: {kind} ({len(moved)}{more})",
                columns,
                [_row(watch) for watch in moved[:SHOWN]],
                right=(1, 2, 3, 4),
            )
    for text in found.not_compared:
        line(f"[yellow]not compared: {_plain(text)}[/yellow]")


def _moved(alert: Alert) -> str:
    rest = [name.replace("_", " ") for name in alert.names[1:]]
    more = f", and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
    return alert.says[0] + (f"; also {', '.join(rest[:NAMED])}{more}" if rest else "")


def _row(watch: Watch) -> tuple[str, str, str, str, str]:
    name = _plain(watch.name.replace("_", " "))
    if watch.measure == "count":
        return name, f"{watch.hits[0]:,}", f"{watch.hits[1]:,}", f"{watch.change:+,.0f}", "counted"
    low, high = watch.low or 0.0, watch.high or 0.0
    if watch.measure == "psi":
        return name, "", "", f"PSI {watch.change:.3f}", f"{low:.3f} to {high:.3f}"
    earlier, later = watch.earlier or 0.0, watch.later or 0.0
    return (
        name,
        f"{earlier:.1%}",
        f"{later:.1%}",
        f"{100 * watch.change:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
    )


def _suggest(found: Monitored, results: list[Path], out: Path | None) -> None:
    given = " ".join(map(str, results))
    if len(results) == 1:
        next_step(f"leadwell monitor {given} the-next-result")
    elif any(alert.kind == "segment" for alert in found.alerts):
        next_step("leadwell segments review --data DIR")
    elif any(alert.kind == "calibration" for alert in found.alerts):
        next_step("leadwell recalibrate --bundle DIR --data DIR")
    elif out is None:
        next_step(f"leadwell monitor {given} --out monitor.html")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Data scientists")(monitor)
