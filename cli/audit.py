"""`leadwell audit`: whether the decision log is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.screen import line

audit = typer.Typer(help="Check the decision log.", no_args_is_help=True)


@audit.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="the audit folder", exists=True)] = Path("artifacts/audit"),
) -> None:
    """Check that no decision record was changed, removed, inserted or cut off.

    Example: leadwell audit verify artifacts/audit
    """
    from policy.audit import verify as verify_chain

    found = verify_chain(folder)
    line(f"[green]whole[/green]: {found}")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(audit, name="audit", rich_help_panel="Compliance")
