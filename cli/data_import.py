"""`leadwell data import`: a CRM's export becomes Leadwell's tables, and every row that does not says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import moment
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from features.intake.exports.importing import Imported

MOST_REASONS = 20


def import_(
    source: Annotated[list[str], typer.Option("--source", help="salesforce, hubspot, ... or a mapping's file")],
    where: Annotated[list[str], typer.Option("--from", help="folder of the export, sqlite:FILE or postgresql:")],
    out: Annotated[Path, typer.Option("--out", help="folder to write; an earlier import is replaced")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="when the export was taken, e.g. 2026-06-30")] = None,
    key: Annotated[Path | None, typer.Option("--hash-key-file", help="key of the hashes of e-mails and names")] = None,
    memory: Annotated[int | None, typer.Option("--memory-mb", help="most memory for DuckDB", min=64)] = None,
    threads: Annotated[int, typer.Option("--threads", help="for DuckDB", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
) -> None:
    """Turn a CRM's export into Leadwell's tables by a mapping, without code.

    Several exports become one folder: give --source and --from once for each, in the same order.

    Example: leadwell data import --source salesforce --from exports/salesforce --out artifacts/crm
    """
    from configs.settings import load_export
    from features.intake.exports.canonical import CANONICAL, canonical_mapping
    from features.intake.exports.importing import Export, import_exports

    if len(source) != len(where):
        raise InputInvalid("data import", "expected one --from for each --source")
    exports = [
        Export(
            canonical_mapping() if one == CANONICAL else load_export(Path(one)),
            f"{one}.yaml" if not one.endswith(".yaml") else one,
            place,
        )
        for one, place in zip(source, where, strict=True)
    ]
    taken = moment(as_of) if as_of is not None else None

    def run(progress: Callable[[str], None] | None = None) -> Imported:
        return import_exports(
            exports, out, as_of=taken, key_file=key, memory_limit_mb=memory, threads=threads, progress=progress
        )

    if as_json:
        run()
        write_out((out / "import.json").read_text(encoding="utf-8").rstrip())
        return
    with step(f"Importing {', '.join(export.mapping.name for export in exports)}") as report:
        found = run(lambda name: report(name, 0.0))
    show(found, out)
    next_step(f"leadwell data check --data {out}")


def show(found: Imported, out: Path) -> None:
    """What became of each input row, what was written, and all that is odd about it."""
    rows = [
        (name, *(f"{count:,}" for count in (c.read, c.used, c.rejected, c.duplicate, c.silent)))
        for name, c in found.counts.items()
    ]
    head = ("input table", "read", "used", "rejected", "duplicate", "silent")
    table("Rows of the export", head, rows, right=(1, 2, 3, 4, 5))
    line("[dim]used + rejected + duplicate = read; silent: used, and says nothing Leadwell has a record for[/dim]")
    table("Written", ("table", "rows"), [(name, f"{count:,}") for name, count in found.tables.items()], right=(1,))
    why = found.rejects.group_by(["file", "column", "reason"], use_threads=False).aggregate([("line", "count")])
    reasons = sorted(why.to_pylist(), key=lambda one: -one["line_count"])
    for one in reasons[:MOST_REASONS]:
        place = f"{Path(one['file']).name}" + (f": column {one['column']}" if one["column"] else "")
        line(f"[yellow]rejected[/yellow] {one['line_count']:,} rows of {place}: {one['reason']}")
    if len(reasons) > MOST_REASONS:
        line(f"[dim]{len(reasons) - MOST_REASONS} more reasons: {out / 'rejects.csv'} lists every row[/dim]")
    for what, count in found.unmapped.items():
        line(f"[yellow]not in the map[/yellow] {what}: {count:,} values, unknown")
    for what, count in found.notes.items():
        line(f"[yellow]note[/yellow] {what}: {count:,}")
    if found.absent:
        line(f"[dim]not in the export, so unknown: {', '.join(found.absent)}[/dim]")
    if found.complete_as_of is not None:
        line(f"The stops are complete as of {found.complete_as_of:%Y-%m-%d %H:%M:%S} UTC, as the mapping claims")
    if found.key_made:
        line(
            f"[yellow]made a key for hashes[/yellow] {found.key_file} (only you can read it): keep it, for with "
            "another key the same person has another hash"
        )


def register(data: typer.Typer) -> None:
    """Add the command of this room."""
    data.command("import")(import_)
