"""Writes docs/segment_matrix.md from the shipped definitions, so that the page cannot say something else.

`python -m cli.reference_segments` writes the page; a test compares it with what is made now.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from cli.reference import table
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from models.segments.map import SegmentMap
from models.segments.matrix import COLUMNS, MatrixLine, segment_matrix

PAGE = Path("docs/segment_matrix.md")
COMMAND = "python -m cli.reference_segments"
OPENING = f"""# Segmentation matrix

Made from `configs/segments` by `{COMMAND}` (`make docs`); do not edit. A test compares this page with what is made
now. The same as a page to filter and to print: `leadwell segments matrix --out artifacts/matrix.html`.

Only approved segments hold anybody. A draft is a template of the field: it loads, is checked like every definition,
holds nobody, and says what it still needs before somebody can propose it."""
OVERLAY = "Looks at the readiness band, so it is evaluated after readiness and is never primary."


def page() -> str:
    """The whole page."""
    settings = load_settings()
    # The day decides only whether an approval has run out, which this page does not tell: it must not change overnight.
    lines = segment_matrix(SegmentMap(settings.segments, Domain.of(settings)).activations, date.min)
    return "\n\n".join([OPENING, *_approved(lines), *_drafts(lines, settings), *_statuses(settings)]) + "\n"


def main(arguments: Sequence[str] = ()) -> None:
    """Write the page to the given file, or to docs/segment_matrix.md of the current folder."""
    target = Path(arguments[0]) if arguments else PAGE
    target.write_text(page(), encoding="utf-8")


def _approved(lines: Sequence[MatrixLine]) -> Iterator[str]:
    yield "## Approved segments"
    yield table(COLUMNS, [_row(line) for line in lines if line.status == "approved"])


def _drafts(lines: Sequence[MatrixLine], settings: Settings) -> Iterator[str]:
    yield "## Templates"
    yield "One family a file. Where the field gives one dimension only, the template has one, and its lint says so."
    waiting = [line for line in lines if line.status != "approved"]
    for file in dict.fromkeys(settings.files["segments", line.segment_id] for line in waiting):
        own = [line for line in waiting if settings.files["segments", line.segment_id] == file]
        yield f"### {Path(file).stem.replace('_', ' ').capitalize()}"
        yield f"`configs/{file}`"
        yield table(COLUMNS, [_row(line) for line in own])
        rows = []
        for line in own:
            overlay = [OVERLAY] if line.overlay else []
            rows.append((f"`{line.segment_id}`", line.status, "<br>".join((*line.needs, *overlay))))
        yield table(("segment", "status", "what it still needs"), rows)


def _statuses(settings: Settings) -> Iterator[str]:
    yield "## Statuses"
    yield (
        "What a lead is in for a while. None is a segment: a status pauses or marks memberships, is never primary and "
        "picks no model (`configs/statuses.yaml`)."
    )
    rows = [
        (f"`{s.id}`", s.title, s.membership.replace("_", " "), ", ".join(s.purposes).replace("_", " "), s.says, s.owner)
        for s in settings.statuses
    ]
    yield table(("status", "title", "memberships are", "of purpose", "what it means", "owner"), rows)


def _row(line: MatrixLine) -> tuple[str, ...]:
    return (f"`{line.segment_id}`<br>{line.title}; {line.unit}, {line.purpose}", *line.cells[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
