"""`leadwell audit`: whether the decision log is whole, what an old decision rested on, and a proof of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen
from cli.screen import counted, line, next_step, step, table, write_out
from configs.errors import AuditBroken, InputInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from configs.content import Asset
    from configs.definitions import SegmentDefinition
    from policy.audit.archive import Archive
    from policy.audit.chain import Entry

audit = typer.Typer(help="Check the decision log, replay and prove decisions.", no_args_is_help=True)

LOG = Path("artifacts/audit")
# Records that rest on rules over facts, and can be asked again.
_KINDS = ("decision", "permit_check")
Folder = Annotated[Path, typer.Option("--audit", help="the audit folder", file_okay=False)]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="public key, or folder of them, to trust; else those beside the log", exists=True),
]
AuditId = Annotated[str, typer.Argument(help="the audit_id of an answer")]


@audit.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="the audit folder", exists=True)] = LOG,
    keys: Keys = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="a copy of checkpoints.jsonl that was kept elsewhere", exists=True)
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="the result of a rescore: check its files too", exists=True)
    ] = None,
) -> None:
    """Check that no decision record was changed, removed, inserted or cut off.

    Example: leadwell audit verify artifacts/audit --keys auditor/ --against auditor/checkpoints.jsonl
    """
    from policy.audit.chain import verify as verify_chain
    from policy.audit.checkpoints import refuse_other_past
    from policy.audit.proof import verify_run

    found = verify_chain(folder, keys)
    if against is not None:
        refuse_other_past(folder if folder.is_dir() else folder.parent, against)
    if run is not None:
        record = verify_run(folder if folder.is_dir() else folder.parent, run)
        line(f"[green]the run is as recorded[/green]: {record['leads']:,} leads as of {record['as_of']}")
    rows = [(found.files, found.records, found.checkpoints, found.erased)]
    table("[green]The log is whole[/green]", ("files", "records", "signed checkpoints", "details erased"), rows)
    if found.unsigned:
        line(f"[yellow]{found.unsigned:,} records are not signed yet[/yellow]: they came after the last checkpoint")
    if keys is None:
        line("[yellow]The keys beside the log were believed[/yellow]: whoever rewrites the log could rewrite them too.")
        next_step(
            f"keep {folder}/keys and checkpoints.jsonl where the service cannot write, and give --keys, --against"
        )


@audit.command()
def replay(
    audit_id: Annotated[str | None, typer.Argument(help="the audit_id of an answer; without it every decision")] = None,
    folder: Folder = LOG,
    request: Annotated[
        Path | None, typer.Option("--request", help="the request body of then: answers it whole, score and all")
    ] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="the bundle of then; else the champion")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="the configuration of then")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
) -> None:
    """Ask the rules of an old decision, or check of a permit, again: its own book over the facts it kept.

    It permits nothing now. Every decision has to come to the same bytes; the command ends with 1 where one does not.

    Example: leadwell audit replay 4f0c6a0e1b7d4f6c9a0e1b7d4f6c9a0e

    Example: leadwell audit replay 4f0c6a0e1b7d4f6c9a0e1b7d4f6c9a0e --request lead.json --bundle artifacts/bundle
    """
    from policy.audit.archive import Archive
    from policy.audit.chain import entries, log_files
    from policy.audit.chain import verify as verify_chain
    from policy.audit.proof import find

    # A record that was edited proves nothing, whatever its facts say.
    verify_chain(folder)
    archive = Archive(folder)
    if audit_id is not None:
        entry = find(folder, audit_id)
        if entry.record.get("kind") not in _KINDS:
            raise InputInvalid(entry.file, "expected the record of a decision or of a check of a permit")
        if entry.detail is None:
            raise InputInvalid(entry.file, "expected the facts of the decision, and they were erased")
        found = _again(entry.record, entry.detail, archive)
        if found is None:
            raise InputInvalid(entry.file, "expected a check that asked the rules: the permit itself was refused")
        again, same = found
        _show(entry.record, again, same, as_json=as_json)
        if request is not None:
            _answer(folder, entry, request, bundle, configs)
        if not same:
            raise AuditBroken(f"{entry.file}, record {entry.record['seq']}: the book says something else of its facts")
        return
    if request is not None:
        raise InputInvalid("replay", "expected the audit id that --request belongs to")
    done, erased, unasked = 0, 0, 0
    other: list[tuple[str, int, str]] = []
    files = log_files(folder)
    # What a program reads holds nothing but JSON.
    with nullcontext(lambda what, share: None) if as_json else step("asking the rules again") as report:
        for number, file in enumerate(files):
            counted(report, "files")(number, len(files))
            for entry in entries(file):
                if entry.record.get("kind") not in _KINDS:
                    continue
                if entry.detail is None:
                    erased += 1
                elif (found := _again(entry.record, entry.detail, archive)) is None:
                    unasked += 1
                elif found[1]:
                    done += 1
                else:
                    other.append((entry.file, entry.record["seq"], entry.record["audit_id"]))
    if as_json:
        write_out(json.dumps({"same": done, "erased": erased, "permit_refused": unasked, "different": other}))
    else:
        line(f"{done} decisions and checks come to the same bytes, {len(other)} do not, {erased} were erased")
        if unasked:
            line(f"{unasked} checks asked no rule: the permit itself was refused")
        if other:
            table("The book says something else of their facts", ("file", "record", "audit id"), other)
    if other:
        raise typer.Exit(1)


def _again(
    record: dict[str, Any], detail: dict[str, Any], archive: Archive
) -> tuple[dict[str, dict[str, Any]], bool] | None:
    """By channel what the rules say again, and whether it is what was recorded; None where no rule was asked."""
    from serving.recorded import checked_again, said_again, same_bytes, same_check

    if record["kind"] == "decision":
        again = said_again(record, detail, archive)
        return again, same_bytes(record, again)
    checked = checked_again(record, detail, archive)
    if checked is None:
        return None
    shown = "permits" if checked["permitted"] else "blocks"
    return {record["channel"]: {shown: checked[shown]}}, same_check(record, checked)


def _answer(folder: Path, entry: Entry, request: Path, bundle: Path | None, configs: Path | None) -> None:
    """Answer the request of then once more, and say whether the whole answer is the same."""
    from cli.scoring import bundle_folder
    from configs.settings import load_settings
    from policy.audit.pseudonyms import pseudonym_key
    from serving.api import parse
    from serving.decide import Decider
    from serving.online import OnlineAnswerer
    from serving.recorded import answered_again

    settings = load_settings(configs)
    on = datetime.fromisoformat(entry.record["as_of"]).date()
    decider = Decider.load(bundle_folder(bundle), settings, on=on)
    answerer = OnlineAnswerer(decider, pseudonym_key(folder))
    same, other = answered_again(entry, request.read_bytes(), answerer, max_leads=settings.serving.max_leads)
    if other:
        rows = [(name, then[:16], now[:16]) for name, (then, now) in other.items()]
        table("It was answered with other versions", ("what", "then", "now"), rows)
    line("[green]the whole answer is the same[/green]" if same else "[red]the whole answer is another one[/red]")
    if not same:
        raise typer.Exit(1)
    offered = parse(request.read_bytes(), max_leads=settings.serving.max_leads).assets
    _rested_on(entry, decider.segment_map.definitions, decider.assets if offered is None else offered)


def _rested_on(entry: Entry, definitions: Iterable[SegmentDefinition], assets: Iterable[Asset]) -> None:
    """Which approved text the answer rested on: versions, fields, who approved it, and where that is recorded."""
    held, sent = set((entry.detail or {}).get("segments", ())), entry.record["action"][2]
    rows = [
        (f"segment {one.id}", f"version {one.version}", *_approved(one.approval), ", ".join(one.data_sources))
        for one in definitions
        if one.id in held
    ]
    offered = [one for one in assets if one.asset_id == sent]
    rows += [(f"asset {one.asset_id}", one.intent, *_approved(one.approval), "") for one in offered]
    if rows:
        table("What it rested on", ("what", "which", "approved by", "reference", "until", "fields"), rows)


def _approved(approval: Any) -> tuple[str, str, str]:
    return ("nobody", "", "") if approval is None else (approval.by, approval.reference or "", f"{approval.expires_on}")


def _show(record: dict[str, Any], again: dict[str, Any], same: bool, *, as_json: bool) -> None:
    when = record.get("as_of", record["at"])
    if as_json:
        told = {"audit_id": record["audit_id"], "as_of": when, "versions": record["versions"]}
        write_out(json.dumps({**told, "same_bytes": same, "channels": again}, indent=2))
        return
    what = "Decision" if record["kind"] == "decision" else "Check of a permit"
    line(f"{what} of {when} by book {record['versions']['policy'][:16]}")
    rows = [
        (
            channel,
            "[green]permitted[/green]" if "permits" in one else "[red]blocked[/red]",
            ", ".join(one["permits"])
            if "permits" in one
            else ", ".join(r if r == why else f"{r} {why}" for r, why in one["blocks"]),
        )
        for channel, one in again.items()
    ]
    table("", ("channel", "then", "by"), rows)
    line("[green]the same bytes as recorded[/green]" if same else "[red]not what was recorded[/red]")
    line("[dim]This is a replay: it permits nothing now.[/dim]")


@audit.command()
def prove(
    audit_id: AuditId,
    folder: Folder = LOG,
    out: Annotated[Path | None, typer.Option("--out", help="where to write the proof; else to the screen")] = None,
) -> None:
    """Write a proof that a decision is in the log: its record, its way up the tree, and the signed root.

    Example: leadwell audit prove 4f0c6a0e1b7d4f6c9a0e1b7d4f6c9a0e --out proof.json
    """
    from policy.audit.proof import check as check_proof
    from policy.audit.proof import prove as prove_record

    proof = prove_record(folder, audit_id)
    check_proof(proof)
    text = json.dumps(proof, indent=2)
    if out is None:
        write_out(text)
        return
    out.write_text(text + "\n", encoding="utf-8")
    line(f"record {proof['record']['seq']} is under the root signed with key {proof['checkpoint']['key']}")
    next_step(f"leadwell audit check {out} --keys PUBLIC_KEY")


@audit.command()
def check(
    proof: Annotated[Path, typer.Argument(help="a proof as `audit prove` writes it", exists=True, dir_okay=False)],
    keys: Keys = None,
) -> None:
    """Check a proof without the log.

    Example: leadwell audit check proof.json --keys auditor/
    """
    from policy.audit.proof import check as check_proof

    try:
        content = json.loads(proof.read_bytes())
    except ValueError:
        raise InputInvalid(proof.name, "expected JSON") from None
    record = check_proof(content, keys)
    when = record.get("as_of", record.get("at"))
    line(f"[green]proved[/green]: {record['kind']} {record.get('audit_id', '')} of {when}")
    if keys is None:
        line("[yellow]The key that came with the proof was believed[/yellow]: give --keys with one you trust")


@audit.command()
def erase(
    lead_id: Annotated[list[str], typer.Option("--lead-id", help="an id of the person; give every id they have")],
    folder: Folder = LOG,
) -> None:
    """Erase what the log knows about a person; the chain stays valid, and the rules that fired stay countable.

    The log is checked first. Files of a running service are left until it was restarted; the command then ends with 1.

    Example: leadwell audit erase --lead-id L0000001
    """
    from policy.audit.chain import verify as verify_chain
    from policy.audit.erasing import erase as erase_details
    from policy.audit.pseudonyms import KEY_FILE, KEY_VARIABLE, known_key, pseudonym
    from serving.render import instant

    verify_chain(folder)
    key = known_key(folder)
    if key is None:
        raise InputInvalid(str(folder), f"expected the key of the pseudonyms: {KEY_FILE}, or {KEY_VARIABLE}")
    done = erase_details(folder, {pseudonym(key, one) for one in lead_id}, instant(chosen(None)))
    found = verify_chain(folder)
    line(f"{done.details} details erased; the log is whole with {found.records} records")
    if done.waiting:
        line(f"[yellow]{done.waiting} details are in files that a running service writes[/yellow]")
        next_step("restart the service, then run this again")
        raise typer.Exit(1)
    if not done.details:
        line("nothing about this person was in the log")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(audit, name="audit", rich_help_panel="Compliance")
