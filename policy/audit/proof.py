"""A proof that one decision is in the log: the record, its way up the tree, and the signed root over all of them.

Whoever holds the public key can check it without the log, which stays where it is.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from configs.errors import AuditBroken, InputInvalid
from policy.audit.canonical import canonical
from policy.audit.chain import Entry, chained, entries, log_files
from policy.audit.checkpoints import CHECKPOINTS, KEYS, public_keys
from policy.audit.merkle import inclusion_path, root_of_path


def find(folder: Path, audit_id: str) -> Entry:
    """The record of an audit id; raises InputInvalid where there is none."""
    for file in log_files(folder):
        if audit_id.encode() in file.read_bytes():
            for entry in entries(file):
                if entry.record.get("audit_id") == audit_id:
                    return entry
    raise InputInvalid(str(folder), "expected a record with this audit id")


def verify_run(folder: Path, run: Path) -> dict[str, Any]:
    """The record of a batch run whose result lies in `run`, every file of which is as it was when it was recorded.

    Raises InputInvalid where there is no such record, AuditBroken naming the first file that differs.
    """
    try:
        root = json.loads((run / "manifest.json").read_bytes())["merkle_root"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputInvalid(f"{run.name}/manifest.json", "expected the result of `leadwell rescore`") from error
    records = (one.record for file in log_files(folder) for one in entries(file) if one.record["kind"] == "rescore")
    found = [record for record in records if record["merkle_root"] == root]
    if not found:
        raise InputInvalid(str(folder), "expected a record of this run")
    for name, digest in found[-1]["files"].items():
        path = run / name
        if not path.is_file() or _sha256(path) != digest:
            raise AuditBroken(f"{run.name}/{name}: it is not what was recorded")
    return found[-1]


def prove(folder: Path, audit_id: str) -> dict[str, Any]:
    """A proof of one record; raises InputInvalid where no record has the id or no checkpoint covers it yet."""
    entry = find(folder, audit_id)
    seq = entry.record["seq"]
    path = folder / CHECKPOINTS
    for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
        note = json.loads(line)
        if note["file"] == entry.file and note["seq"] >= seq:
            records = [one.record for one in entries(folder / entry.file)]
            leaves = [bytes.fromhex(record["~hash"]) for record in records[: note["seq"] + 1]]
            previous = records[seq - 1]["~hash"]
            return {
                "record": entry.record,
                "previous": previous,
                "path": inclusion_path(leaves, seq),
                "checkpoint": note,
                "public_key": (folder / KEYS / f"{note['key']}.pub").read_text(encoding="ascii"),
            }
    raise InputInvalid(str(folder), "expected a checkpoint after the record; there is one a minute, and at each stop")


def check(proof: dict[str, Any], keys: Path | None = None) -> dict[str, Any]:
    """The record that a proof proves; raises AuditBroken where it proves nothing.

    `keys` is the public key, or a folder of them, to trust; without it the one that came with the proof is.
    """
    try:
        record, note = dict(proof["record"]), dict(proof["checkpoint"])
        trusted = public_keys(keys) if keys else public_keys(str(proof["public_key"]))
        signature, digest = bytes.fromhex(note.pop("~signature")), record.pop("~hash")
        if note["key"] not in trusted:
            raise AuditBroken("the proof is signed with a key that is not trusted")
        trusted[note["key"]].verify(signature, canonical(note))
        if chained(proof["previous"], canonical(record)) != digest:
            raise AuditBroken("the record of the proof was changed")
        root = root_of_path(bytes.fromhex(digest), record["seq"], note["seq"] + 1, proof["path"])
    except InvalidSignature:
        raise AuditBroken("the signature of the proof does not fit") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuditBroken("expected a proof as `leadwell audit prove` writes it") from error
    if root != note["root"]:
        raise AuditBroken("the record is not under the signed root")
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
