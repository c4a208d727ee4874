"""`leadwell store`: the database of stops, permits and touches; made, looked at, and written to by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import moment
from cli.screen import line, next_step, refuse, table
from configs.errors import InputInvalid, NotReady

if TYPE_CHECKING:
    from datetime import datetime

    from serving.contact.api import SuppressionRow
    from serving.store.store import Store

store = typer.Typer(help="Keep stops, permits and touches in a database.", no_args_is_help=True)

AUDIT = Path("artifacts/audit")
Where = Annotated[
    str | None,
    typer.Option("--store", help="file or postgresql://...; else LEADWELL_STORE, else store.db beside --audit"),
]
Audit = Annotated[Path, typer.Option("--audit", help="folder of the audit log and of the pseudonym key")]
# So many refused rows are named; the count is always told.
_MOST_NAMED = 20


@store.command()
def upgrade(where: Where = None, audit: Audit = AUDIT) -> None:
    """Make a store, or bring one to the version of this program. Back it up before.

    Example: leadwell store upgrade --store postgresql://leadwell@localhost/leadwell
    """
    from serving.store.engine import Database
    from serving.store.upgrade import upgrade as bring

    database = Database.open(address(where, audit))
    before, after = bring(database)
    database.engine.dispose()
    said = "made" if before is None else f"upgraded from {before}" if before != after else "is up to date"
    line(f"[green]{said}[/green]: version {after}")
    next_step("leadwell store status")


@store.command()
def status(where: Where = None, audit: Audit = AUDIT) -> None:
    """Say the version of a store and how much is in it.

    Example: leadwell store status --store artifacts/store.db
    """
    from datetime import UTC, datetime

    from features.tables import microseconds

    kept = opened(where, audit, make=False)
    try:
        found = kept.status(microseconds(datetime.now(UTC)))
    finally:
        kept.close()
    rows = [(name, f"{count:,}" if isinstance(count, int) else count) for name, count in found.items()]
    table("Store", ("what", "how many"), rows, right=(1,))


@store.command()
def suppress(
    lead_id: Annotated[str | None, typer.Option("--lead-id", help="the person")] = None,
    account_id: Annotated[str | None, typer.Option("--account-id", help="or everybody at an account")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="one channel; all when absent")] = None,
    reason: Annotated[str, typer.Option("--reason", help="opt_out, erasure, restriction, no_contact ...")] = "opt_out",
    until: Annotated[str | None, typer.Option("--until", help="when it ends by itself")] = None,
    email_hash: Annotated[
        str | None, typer.Option("--email-hash", help="with erasure: keeps the address out under any id")
    ] = None,
    phone_hash: Annotated[
        str | None, typer.Option("--phone-hash", help="with erasure: keeps the number out under any id")
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="with opt_out: stops only content about it, not everything")
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="with opt_out: stops only content about it, not everything")
    ] = None,
    where: Where = None,
    audit: Audit = AUDIT,
) -> None:
    """Stop a person or an account from now on: durable and in the audit before this says so.

    An erasure also leaves a one-way hash, so that nobody who was erased comes back with an import; it is never lifted.

    Example: leadwell store suppress --lead-id L0000001 --channel email

    Example: leadwell store suppress --lead-id L0000001 --topic pricing

    Example: leadwell store suppress --lead-id L0000001 --reason erasure
    """
    from datetime import UTC, datetime
    from secrets import token_hex

    from serving.contact.api import SuppressionRow

    now = datetime.now(UTC)
    words = _vocabularies()
    for name, given, vocabulary in (
        ("--channel", channel, "channel"),
        ("--reason", reason, "suppression_reason"),
        ("--topic", topic, "topic"),
        ("--product", product, "product"),
    ):
        # What a program sends is read the stricter way; a person at the keyboard can be asked again.
        if given is not None and not words[vocabulary].code(given):
            raise InputInvalid(name, f"expected one of {', '.join(words[vocabulary].values)}")
    reasons = words["suppression_reason"]
    if (topic or product) and reasons.code(reason) != reasons.code("opt_out"):
        raise InputInvalid("--topic" if topic else "--product", "expected only with --reason opt_out")
    row = SuppressionRow(
        suppression_id=f"hand-{token_hex(8)}",
        since_at=now,
        lead_id=lead_id,
        account_id=account_id,
        channel=channel,
        reason=reason,
        until_at=moment(until) if until else None,
        email_hash=email_hash,
        phone_hash=phone_hash,
        topic=topic,
        product=product,
    )
    _write([row], where, audit, now)
    line(f"[green]stopped[/green] since {now:%Y-%m-%d %H:%M:%S} UTC; kept as {row.suppression_id}")


@store.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSONL with the columns of POST /v1/suppressions", exists=True)],
    where: Where = None,
    audit: Audit = AUDIT,
) -> None:
    """Bring the stops of a file into the store, each once however often the file comes.

    Each row needs suppression_id, since_at with its zone, and lead_id or account_id. A row that cannot be read is
    named and not kept, and the command ends with 1: no stop is dropped silently.

    Example: leadwell store import optouts.csv --store artifacts/store.db
    """
    from datetime import UTC, datetime

    from serving.contact.stop_files import read_stops

    rows, wrong = read_stops(file)
    there = _write(rows, where, audit, datetime.now(UTC)) if rows else []
    counts = (("read", len(rows) + len(wrong)), ("kept", there.count(False)), ("duplicate", there.count(True)))
    table("Stops of the file", ("rows", "how many"), [*counts, ("rejected", len(wrong))], right=(1,))
    for place, expected in wrong[:_MOST_NAMED]:
        refuse(f"{file}, row {place}: {expected}")
    if wrong:
        raise typer.Exit(1)


def address(where: str | None, audit: Path) -> str:
    """Where the store is: as given, else from the environment, else the file beside the audit folder."""
    return where or os.environ.get("LEADWELL_STORE") or str(audit.parent / "store.db")


def open_store(where: str, audit: Path) -> Store:
    """The store at an address, with the key of an audit folder."""
    from policy.audit.pseudonyms import pseudonym_key
    from serving.store.store import Store

    return Store.open(where, pseudonym_key(audit))


def opened(where: str | None, audit: Path, *, make: bool = True) -> Store:
    """An open store; raises NotReady where there is none yet and none is to be made."""
    found = address(where, audit)
    if not make and "://" not in found and not Path(found).is_file():
        raise NotReady(f"{found}: no store yet: run `leadwell store upgrade`")
    return open_store(found, audit)


def _vocabularies() -> Any:
    from configs.settings import load_settings

    return load_settings().vocabularies


def _write(rows: list[SuppressionRow], where: str | None, audit: Path, now: datetime) -> list[bool]:
    """Write stops, all or none, and their audit records; for each whether it was there already."""
    from secrets import token_hex

    from features.tables import microseconds
    from policy.audit.log import AuditLog
    from policy.audit.pseudonyms import pseudonym_key
    from serving.api import RequestRefused
    from serving.contact.api import SuppressionsRequest, stop_records, stops_of
    from serving.instants import instant
    from serving.store.subjects import Subjects

    try:
        request = SuppressionsRequest(suppressions=rows)
        subjects = Subjects.of(pseudonym_key(audit))
        stops, _ = stops_of(request, subjects, _vocabularies(), now, max(len(rows), 1))
    except RequestRefused as refused:
        first = refused.errors[0]
        raise InputInvalid(first["path"].removeprefix("$."), f"expected {first['expected']}") from None
    found = opened(where, audit)
    try:
        there, _ = found.suppress(stops, [], microseconds(now))
    finally:
        found.close()
    log = AuditLog.claim(audit, "store")
    for record in stop_records(stops, there, [], [], {"audit_id": token_hex(16), "at": instant(now)}):
        log.append(record)
    log.close()
    return there


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(store, name="store", rich_help_panel="Compliance")
