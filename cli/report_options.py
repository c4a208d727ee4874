"""What every `leadwell report` command shares: its options, its opened data, and how its tables are told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.markup import escape

from cli.clock import chosen
from cli.screen import aside, console, line, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from training.measurement.reading import Measured
    from training.measurement.sheet import Sheet

Data = Annotated[Path, typer.Option("--data", help="folder with one file for each table")]
State = Annotated[
    Path | None,
    typer.Option("--state", help="what `segments apply` keeps: who was in which segment; else the data's memberships"),
]
From = Annotated[str | None, typer.Option("--from", metavar="DAY", help="first day of the window (UTC)")]
To = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help="the day after its last; that of --as-of if not given")
]
Days = Annotated[int | None, typer.Option("--days", min=1, max=3650, help="length of the window, instead of --from")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="as known then; the data's own clock, else now")]
AsJson = Annotated[bool, typer.Option("--json", help="every table as JSON")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FOLDER", help="write every table here, a CSV file each")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE.html", help="write one page with pictures here")]
Rows = Annotated[int, typer.Option("--rows", min=1, help="rows of a table to show here; files have all")]
Memory = Annotated[int, typer.Option("--memory-mb", min=256, help="memory for the reading; what does not fit spills")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
ROWS = 15
MEMORY_MB = 2048
_APART = 2  # blanks between two columns
_NARROWEST = 80


@contextmanager
def measured(
    data: Path,
    state: Path | None,
    start: str | None,
    end: str | None,
    days: int | None,
    as_of: str | None,
    configs: Path | None,
    *,
    memory_mb: int = MEMORY_MB,
    lookback_days: int = 0,
    default_days: int | None = None,
    quiet: bool = False,
) -> Iterator[Measured]:
    """The data of a report, opened; `quiet` where standard output is for a program.

    Raises:
        InputInvalid: a day is none, the window is not over yet, or a file cannot be read.
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files
    from training.measurement.reading import open_measured
    from training.measurement.windows import Window

    settings = load_settings(configs)
    files = find_files(data)
    instant = chosen(as_of, data)
    asked = days if days is not None or start is not None else default_days
    window = Window.chosen(instant, day(start, "--from"), day(end, "--to"), asked)
    with tempfile.TemporaryDirectory(prefix="leadwell-report-") as spill:
        options: dict[str, Any] = {
            "state": state, "lookback_days": lookback_days, "memory_limit_mb": memory_mb, "spill": Path(spill),
        }  # fmt: skip
        if quiet:
            found = open_measured(files, settings, window, instant, **options)
        else:
            with step("Reading what is measured") as report:
                found = open_measured(files, settings, window, instant, progress=report, **options)
        with found:
            yield found


def day(text: str | None, option: str) -> date | None:
    """A day from an option; raises InputInvalid where it is none."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputInvalid(option, "expected a day such as 2026-04-01") from None


def check_out(out: Path | None) -> None:
    """Refuse a page that does not end in .html before anything is read."""
    if out is not None and out.suffix.lower() != ".html":
        raise InputInvalid(str(out), "expected a file that ends in .html")


def tell(
    sheets: Sequence[Sheet],
    found: Measured,
    *,
    title: str,
    as_json: bool = False,
    csv: Path | None = None,
    out: Path | None = None,
    rows: int = ROWS,
) -> None:
    """Tell the tables on the screen, or as JSON, and write them as CSV files and as one page where asked."""
    write(sheets, found, title=title, csv=csv, out=out)
    if as_json:
        write_out(json.dumps({**as_plain(found), "reports": [sheet.to_json() for sheet in sheets]}, indent=2))
        return
    line(f"[dim]{found.says}{'; segments from ' + found.segments_from if found.segments_from else ''}[/dim]")
    line("")
    for sheet in sheets:
        show(sheet, rows)
    if csv is not None:
        line(f"{len(sheets)} CSV files: {csv}")
    if out is not None:
        line(f"page: {out}")


def write(sheets: Sequence[Sheet], found: Measured, *, title: str, csv: Path | None, out: Path | None) -> None:
    """Write a CSV file a table into a folder and all of them as one page, each file as a whole or not at all."""
    from training.reviews.pages import write_page

    if csv is not None:
        for sheet in sheets:
            write_page(sheet.to_csv(), csv / f"{sheet.id}.csv")
    if out is not None:
        from training.measurement.page import render_report

        write_page(render_report(sheets, title=title, says=found.says, as_of=found.as_of), out)


def as_plain(found: Measured) -> dict[str, Any]:
    """The window, the instant and what became of every row, as values that JSON has."""
    return {
        "as_of": found.as_of.isoformat(),
        "window": {"from": found.window.start.isoformat(), "to": found.window.end.isoformat(), "says": found.says},
        "segments_from": found.segments_from or None,
        "counts": {name: dict(counts) for name, counts in found.counts.items()},
    }


def show(sheet: Sheet, rows: int = ROWS) -> None:
    """Print a table, where it is wider than the screen in parts that each name their rows, and its notes."""
    texts = sheet.texts()
    total = texts.pop() if sheet.total is not None else None
    shown = [*texts[:rows], *([total] if total is not None else [])]
    labels = [column.label for column in sheet.columns]
    right = {place for place, column in enumerate(sheet.columns) if column.unit != "text"}
    title = f"{sheet.title}: {sheet.says}" if sheet.says != sheet.title else sheet.title
    words = next((place for place, column in enumerate(sheet.columns) if column.unit != "text"), len(labels))
    for part in _parts(labels, shown, words):
        table(
            escape(title),
            [labels[place] for place in part],
            [[escape(row[place]) for place in part] for row in shown],
            right=[number for number, place in enumerate(part) if place in right],
        )
        title = ""
    if len(texts) > rows:
        line(f"[dim]{len(texts) - rows:,} more rows: --rows, --json or --csv[/dim]")
    for note in sheet.notes:
        console.print(f"[dim]{note.replace('[', chr(92) + '[')}[/dim]", soft_wrap=True)
    line("")


def told_counts(found: Measured) -> None:
    """Say what became of the rows of every table that were not used, on standard error."""
    for name, counts in found.counts.items():
        left = ", ".join(
            f"{count:,} {what}" for what, count in counts.items() if count and what not in ("read", "used")
        )
        aside(f"[dim]{name}: {counts['read']:,} read, {counts['used']:,} used{'; ' + left if left else ''}[/dim]")
    if found.memory_mb is not None:
        aside(f"[dim]memory: at most {found.memory_mb:,} MB for the tables; what does not fit goes to disk[/dim]")


def _parts(labels: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[list[int]]:
    """Columns for each part of a table that the screen is wide enough for.

    Every part begins with as many of the first `words` columns as tell the rows apart.
    """
    widths = [
        max(cell_len(text) for text in (label, *(row[place] for row in rows))) for place, label in enumerate(labels)
    ]
    room = max(console.width, _NARROWEST)
    enough = (n for n in range(1, words) if len({tuple(row[:n]) for row in rows}) == len(rows))
    keys = list(range(next(enough, max(words, 1))))
    taken = sum(widths[place] + _APART for place in keys) - _APART
    parts, used = [list(keys)], taken
    for place in range(len(keys), len(labels)):
        if used + _APART + widths[place] > room and len(parts[-1]) > len(keys):
            parts.append(list(keys))
            used = taken
        parts[-1].append(place)
        used += _APART + widths[place]
    return parts
