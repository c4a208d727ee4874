"""The one Typer app and its entry point: a user's mistake is one clear line, never a traceback."""

from __future__ import annotations

import os
import sys

import typer

from cli import audit, data, demo, rules, scoring, segments, training
from cli.screen import refuse
from configs.errors import LeadwellError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

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
for room in (demo, data, segments, training, scoring, rules, audit):
    room.register(app)


def main() -> None:
    """Run the command line; exits 2 on a user's mistake."""
    try:
        app()
    except LeadwellError as error:
        refuse(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        refuse("stopped by you; nothing half-written is left in place")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
