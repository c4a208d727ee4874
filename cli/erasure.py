"""`leadwell erasure`: which bundles were trained on somebody; memberships and a store without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.screen import line, next_step, table
from configs.errors import InputInvalid, LeadwellError

erasure = typer.Typer(help="Follow a request for erasure.", no_args_is_help=True)

if TYPE_CHECKING:
    from training.registry.timeline import Span

ARTIFACTS, AUDIT = Path("artifacts"), Path("artifacts/audit")


@erasure.callback()
def _room() -> None:
    """Follow a request for erasure."""


@erasure.command()
def touches(
    lead_id: Annotated[list[str], typer.Option("--lead-id", help="an id of the person; give every id they have")],
    artifacts: Annotated[Path, typer.Option("--artifacts", help="the folder that holds the bundles")] = ARTIFACTS,
    bundles: Annotated[
        Path | None, typer.Option("--bundles", help="another folder of bundles; the key stays the one of --artifacts")
    ] = None,
) -> None:
    """Name the bundles that were trained on data of a person, and when each of them served.

    The answer never repeats the id. Bundles without a list, and lists made with another key, are named apart: about
    them nothing can be said, and that is no "no". The command then ends with 1.

    Example: leadwell erasure touches --lead-id L0000001 --artifacts artifacts/demo
    """
    from models.trained_on import FOLDER, erasure_key, key_path, read_trained_on
    from models.trained_on import touches as is_touched
    from training.registry.history import read_history
    from training.registry.timeline import timeline

    folder = bundles or artifacts
    key = erasure_key(key_path(artifacts), make=False)
    served = timeline(read_history(artifacts))
    lying = _bundles(folder)
    listed = {path.stem for path in (folder / FOLDER).glob("*.bin")}
    known = sorted(listed | set(lying) | {span.bundle_id for span in served if span.bundle_id})
    if not known:
        raise InputInvalid(str(folder), "expected bundles, or lists of whom they were trained on")
    touched: list[str] = []
    unsure: list[tuple[str, str]] = []
    for bundle_id in known:
        try:
            found = read_trained_on(folder, bundle_id)
            if found is None:
                unsure.append((bundle_id, "no list of whom it was trained on"))
            elif is_touched(found, lead_id, key):
                touched.append(bundle_id)
        except LeadwellError as error:
            unsure.append((bundle_id, str(error).split(": ", 1)[-1]))
    if touched:
        rows = [
            (bundle_id[:12], lying.get(bundle_id, "gone"), _serving(bundle_id, served) or "never")
            for bundle_id in touched
        ]
        table("Trained on data of this person", ("bundle", "folder", "served"), rows)
    if unsure:
        rows = [(bundle_id[:12], lying.get(bundle_id, "gone"), why) for bundle_id, why in unsure]
        table("Nothing can be said of", ("bundle", "folder", "why"), rows)
    line(f"{len(touched)} of {len(known)} bundles were trained on data of this person; {len(unsure)} cannot tell")
    if touched:
        next_step("leadwell train --data FOLDER_WITHOUT_THE_PERSON, then leadwell promote")
    if unsure:
        raise typer.Exit(1)


@erasure.command()
def memberships(
    lead_id: Annotated[list[str], typer.Option("--lead-id", help="an id of the person; give every id they have")],
    state: Annotated[Path, typer.Option("--state", help="folder of `leadwell segments apply`")],
) -> None:
    """Take a person out of the memberships of `segments apply`: every table, and the moves of every night.

    The answer never repeats the id. Copies of the folder elsewhere are not reached, and tags of `segments activate` go
    with its next run, which lists whom the CRM must clear.

    Example: leadwell erasure memberships --lead-id L0000001 --state artifacts/demo/memberships
    """
    from serving.memberships.forget import forget

    gone = forget(state, lead_id)
    reached = [(name, f"{count:,}") for name, count in gone.items() if count]
    if reached:
        table("Rows taken out", ("file", "rows"), reached, right=(1,))
    line(f"{sum(gone.values()):,} rows of this person were in {len(reached)} of {len(gone)} files: they are gone")
    line("Take the person out of the data too, or the next `leadwell segments apply` meets them again")


@erasure.command()
def store(
    lead_id: Annotated[list[str], typer.Option("--lead-id", help="an id of the person; give every id they have")],
    where: Annotated[str | None, typer.Option("--store", help="file or postgresql://...; else LEADWELL_STORE")] = None,
    audit: Annotated[Path, typer.Option("--audit", help="folder of the audit log and of its key")] = AUDIT,
) -> None:
    """Take what was sent to an erased person, and the permits used for it, out of the store.

    Refused where no erasure is on record (`leadwell store suppress --reason erasure`). Stops and the one-way hash stay:
    they keep the person from coming back. The answer never repeats the id.

    Example: leadwell erasure store --lead-id L0000001 --store artifacts/store.db
    """
    from cli.store import opened

    found = opened(where, audit, make=False)
    try:
        gone = found.forget(lead_id)
    finally:
        found.close()
    table("Rows taken out", ("table", "rows"), [(name, f"{count:,}") for name, count in gone.items()], right=(1,))
    next_step("leadwell audit erase, for what the log holds of the person")


def _bundles(folder: Path) -> dict[str, str]:
    """Folder of each bundle by its id; one that cannot be read has no id and is left to `leadwell promote`."""
    import hashlib

    from models.bundle import MANIFEST

    found = {}
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        found[hashlib.sha256(manifest.read_bytes()).hexdigest()] = str(manifest.parent)
    return found


def _serving(bundle_id: str, served: Sequence[Span]) -> str:
    """From when until when a bundle was the champion, once for each time."""
    spans = [span.record() for span in served if span.bundle_id == bundle_id]
    return "; ".join(f"{said['served_from']} to {said['served_until'] or 'now'}" for said in spans)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(erasure, name="erasure", rich_help_panel="Compliance")
