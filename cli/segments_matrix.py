"""`leadwell segments matrix`: the segmentation matrix on the screen and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from models.segments.matrix import MatrixLine

Out = Annotated[Path | None, typer.Option("--out", help="write a page that loads nothing, such as matrix.html")]
Status = Annotated[str | None, typer.Option("--status", help="only approved, proposed, draft or retired ones")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="the day that approvals are shown for")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def matrix(out: Out = None, status: Status = None, as_of: AsOf = None, configs: Configs = None) -> None:
    """Show segment by need, content, channels, next action, owner and KPI; drafts with what they still need.

    Example: leadwell segments matrix --out artifacts/matrix.html
    """
    from configs.settings import load_settings
    from features.evaluate import Domain
    from models.segments.map import SegmentMap
    from models.segments.matrix import STATUSES, segment_matrix
    from training.matrix_page import render_segment_matrix
    from training.reviews.pages import write_page

    if status is not None and status not in STATUSES:
        raise InputInvalid("--status", f"expected one of {', '.join(STATUSES)}, found {status!r}")
    if out is not None and (out.suffix not in (".html", ".htm") or out.is_dir()):
        raise InputInvalid(str(out), "expected the name of a page, such as matrix.html")
    settings = load_settings(configs)
    instant = chosen(as_of, None)
    every = segment_matrix(SegmentMap(settings.segments, Domain.of(settings)).activations, instant.date())
    lines = [one for one in every if status in (None, one.status)]
    if out is not None:
        page = render_segment_matrix(lines, settings.statuses, as_of=instant.date().isoformat())
        line(f"{len(lines)} segments: {write_page(page, out)}")
        next_step("open the page, or: leadwell segments show ID")
        return
    # Ten columns fit no screen: these tell what a segment is for, the page and `show` tell the rest.
    rows = [(_shown(one), one.segment_id, one.cells[4], one.cells[7]) for one in lines]
    table("Segmentation matrix", ("status", "segment", "content need", "next best action"), rows)
    counted = [(name, sum(one.status == name for one in lines)) for name in STATUSES]
    line(", ".join(f"{count} {name}" for name, count in counted if count) or "no segment has this status")
    next_step("leadwell segments matrix --out artifacts/matrix.html")


def _shown(one: MatrixLine) -> str:
    return "[red]approval ran out[/red]" if one.status == "approved" and not one.active else one.status


def register(segments: typer.Typer) -> None:
    """Add the command."""
    segments.command()(matrix)
