"""What a person sees in the terminal: steps with progress, tables, the next step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

Report = Callable[[str, float], None]


def line(text: str) -> None:
    """Print one line; a path longer than the terminal is never cut in two, so that it can be copied."""
    console.print(text, overflow="ignore", crop=False)


def aside(text: str) -> None:
    """Print one line on standard error, where standard output is for a program."""
    errors.print(text, soft_wrap=True)


def next_step(command: str) -> None:
    """Suggest what to run next, on one line so that it can be copied."""
    console.print(f"[dim]Next:[/dim] [bold]{command}[/bold]", soft_wrap=True)


def refuse(message: str) -> None:
    """Print a user's mistake, one line per problem, on standard error."""
    for problem in message.splitlines():
        errors.print("[bold red]error[/bold red] " + problem.replace("[", r"\["), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print a table; `right` lists the columns that hold numbers."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)
    console.print()


@contextmanager
def step(title: str) -> Iterator[Report]:
    """One step of a journey: a bar while it runs, then one line with its time. Yields `report(what, fraction)`."""
    started = time.perf_counter()
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        # Without a total the bar moves to and fro: something happens, nobody knows yet how long.
        task = bar.add_task(title, total=None)

        def report(what: str, fraction: float) -> None:
            bar.update(
                task, total=1.0, completed=min(max(fraction, 0.0), 1.0), description=f"{title} [dim]{what}[/dim]"
            )

        yield report
    console.print(f"[green]✓[/green] {title} [dim]{time.perf_counter() - started:.1f} s[/dim]")


def counted(report: Report, noun: str) -> Callable[[int, int], None]:
    """A step's report for work that counts: `(done, all)`."""
    return lambda done, all_: report(f"{done:,} of {all_:,} {noun}", done / max(all_, 1))


def write_out(text: str) -> None:
    """Write plain text to standard output, for JSON that another program reads."""
    sys.stdout.write(text + "\n")
