"""`leadwell segments`: propose candidates, check definitions, show what is approved."""

from __future__ import annotations

import typer

segments = typer.Typer(help="Propose, check and show segments.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    from cli import (
        segments_activate,
        segments_apply,
        segments_approve,
        segments_calendar,
        segments_diff,
        segments_lint,
        segments_matrix,
        segments_propose,
        segments_review,
        segments_show,
        segments_stalled,
        sheets,
    )

    segments_show.register(segments)
    segments_propose.register(segments)
    segments_lint.register(segments)
    segments_diff.register(segments)
    segments_apply.register(segments)
    segments_activate.register(segments)
    segments_approve.register(segments)
    segments_review.register(segments)
    segments_calendar.register(segments)
    segments_stalled.register(segments)
    segments_matrix.register(segments)
    sheets.register_segments(segments)
    app.add_typer(segments, name="segments", rich_help_panel="Data scientists")
