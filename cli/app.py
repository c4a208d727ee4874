"""The one Typer app and its entry point: a user's mistake is one clear line, never a traceback."""

from __future__ import annotations

import os
import re
import sys

import typer

from cli import (
    accounts,
    audit,
    benchmark,
    campaigns,
    card,
    changes,
    content,
    data,
    demo,
    erasure,
    handover,
    knowledge,
    leaks,
    monitor,
    nurture,
    recalibrate,
    registry,
    report,
    rules,
    scorecard,
    scoring,
    segments,
    stages,
    store,
    targets,
    thresholds,
    training,
    uplift,
)
from cli.screen import refuse
from configs.errors import LeadwellError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

STOPPED = 130

app = typer.Typer(
    name="leadwell",
    help=(
        "Decide whom to contact next, why, and whether you may.\n\n"
        "Start with [bold]leadwell demo[/bold]: it makes a world of leads, trains, evaluates, rescores everybody, "
        "serves one score over HTTP and writes a report. With your own data: data check, train, promote, then "
        "rescore or serve."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
ROOMS = (
    demo, data, segments, stages, accounts, training, leaks, targets, thresholds,
    registry, card, scorecard, benchmark, monitor, recalibrate, uplift, report, scoring, nurture, handover, changes,
    content, campaigns, knowledge, rules, audit, store, erasure,
)  # fmt: skip
for room in ROOMS:
    room.register(app)


def main() -> None:
    """Run the command line; exits 2 on a user's mistake."""
    try:
        app()
    except LeadwellError as error:
        refuse(str(error))
        sys.exit(2)
    except SystemExit as stopped:
        # Typer turns Ctrl+C into this code before anybody else sees it.
        if stopped.code == STOPPED:
            refuse("stopped by you; nothing half-written is left in place")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        refuse(_place_and_reason(error))
        sys.exit(2)
    except _of_libraries() as error:
        # Its kind only: the text of such an error may quote a cell.
        kind = f"{type(error).__module__.partition('.')[0]} {type(error).__name__}"
        refuse(f"a file or store could not be read or written ({kind}); `leadwell data check` says what is in a file")
        sys.exit(2)


def _place_and_reason(error: OSError) -> str:
    """Which file, and what the system says about it."""
    quoted = re.search(r"local file '([^']*)'", str(error))  # Arrow names the file in its text only
    place = error.filename or (quoted[1] if quoted else None) or "a file or connection"
    return f"{place}: {os.strerror(error.errno).lower() if error.errno else 'could not be read or written'}"


def _of_libraries() -> tuple[type[BaseException], ...]:
    """Errors of files and stores of the libraries that are loaded; asked only when something was raised."""
    names = (
        ("duckdb", "Error"), ("pyarrow", "ArrowException"), ("mlflow.exceptions", "MlflowException"),
        ("sqlalchemy.exc", "SQLAlchemyError"),
    )  # fmt: skip
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)
