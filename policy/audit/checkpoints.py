"""Signed checkpoints: where each chain stood, so that a cut tail, a lost file and a rewritten log are found.

Each line of the file names the line before it, and is signed with Ed25519 (RFC 8032). Whoever keeps a copy of the file,
or of its last line, where the service cannot write can tell whether anything before it was changed since.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from configs.errors import AuditBroken
from policy.audit.canonical import canonical
from policy.audit.owned import write_once

CHECKPOINTS = "checkpoints.jsonl"
KEYS = "keys"
SIGNING_VARIABLE = "LEADWELL_SIGNING_KEY"
SIGNING_FILE = "signing.key"
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a file's chain stood: its newest record's number and hash, and the Merkle root over its records."""

    file: str
    seq: int
    hash: str
    root: str
    key: str


class Signer:
    """Signs checkpoints with one key, whose public half lies beside the log."""

    def __init__(self, private: Ed25519PrivateKey, folder: Path) -> None:
        self._private = private
        self.key = fingerprint(private.public_key())
        path = folder / KEYS / f"{self.key}.pub"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                private.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )

    @classmethod
    def of(cls, folder: Path) -> Signer:
        """The key of the PEM file that the environment names, else of one that is made once for its owner only.

        Raises AuditBroken where the named file holds no Ed25519 private key.
        """
        named = os.environ.get(SIGNING_VARIABLE)
        path = Path(named) if named else folder / SIGNING_FILE
        if not named and not path.exists():
            _make(path)
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise AuditBroken(f"{path.name}: expected a PEM file with an Ed25519 private key") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise AuditBroken(f"{path.name}: expected an Ed25519 private key")
        return cls(private, folder)

    def note(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Append one checkpoint, durably; several processes may do so at once."""
        descriptor = os.open(folder / CHECKPOINTS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            body = canonical({**facts, "key": self.key, "previous": _end(descriptor)})
            signature = self._private.sign(body).hex()
            os.write(descriptor, body[:-1] + b',"~signature":"' + signature.encode() + b'"}\n')
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(public: Ed25519PublicKey) -> str:
    """Sixteen hexadecimal digits that name a public key."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def read_checkpoints(folder: Path, keys: Path | None = None) -> list[Checkpoint]:
    """Every checkpoint, its signature and chain checked; raises AuditBroken naming the first bad line.

    Args:
        folder: the audit folder.
        keys: a public key, or a folder of them, to trust; without it those beside the log are, which proves less:
            whoever can rewrite the log could rewrite them too.
    """
    path = folder / CHECKPOINTS
    # What follows the last line end was cut by a crash before anybody relied on it.
    lines = (path.read_bytes() if path.is_file() else b"").split(b"\n")[:-1]
    trusted = public_keys(keys or folder / KEYS)
    found, previous = [], GENESIS
    for number, line in enumerate(lines, start=1):
        where = f"{CHECKPOINTS}, line {number}"
        try:
            note = json.loads(line)
            signature = bytes.fromhex(note.pop("~signature"))
            checkpoint = Checkpoint(note["file"], note["seq"], note["hash"], note["root"], note["key"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditBroken(f"{where}: expected a signed checkpoint") from error
        if checkpoint.key not in trusted:
            raise AuditBroken(f"{where}: it is signed with a key that is not trusted ({checkpoint.key})")
        try:
            trusted[checkpoint.key].verify(signature, canonical(note))
        except InvalidSignature:
            raise AuditBroken(f"{where}: its signature does not fit; it was changed") from None
        if note["previous"] != previous:
            raise AuditBroken(f"{where}: a checkpoint before it was removed, added or moved")
        previous = hashlib.sha256(line).hexdigest()
        found.append(checkpoint)
    return found


def refuse_other_past(folder: Path, copy: Path) -> None:
    """Raise AuditBroken unless the checkpoints begin with those of a copy that was kept elsewhere."""
    path = folder / CHECKPOINTS
    now = path.read_bytes().splitlines() if path.is_file() else []
    kept = copy.read_bytes().splitlines()
    if not kept:
        raise AuditBroken(f"{copy.name}: expected a copy of {CHECKPOINTS}")
    for number, line in enumerate(kept, start=1):
        if number > len(now) or now[number - 1] != line:
            raise AuditBroken(f"{CHECKPOINTS}, line {number}: it differs from the copy; the past was rewritten")


def public_keys(given: Path | str) -> dict[str, Ed25519PublicKey]:
    """Public keys by fingerprint: of a PEM text, a PEM file or a folder of `.pub` files.

    Raises AuditBroken where something else is found there.
    """
    if isinstance(given, str):
        texts = {"public key": given.encode()}
    else:
        files = sorted(given.glob("*.pub")) if given.is_dir() else [given] if given.is_file() else []
        texts = {file.name: file.read_bytes() for file in files}
    found = {}
    for name, text in texts.items():
        try:
            public = serialization.load_pem_public_key(text)
        except ValueError as error:
            raise AuditBroken(f"{name}: expected a PEM file with an Ed25519 public key") from error
        if not isinstance(public, Ed25519PublicKey):
            raise AuditBroken(f"{name}: expected an Ed25519 public key")
        found[fingerprint(public)] = public
    return found


def _end(descriptor: int) -> str:
    """Hash of the last line; a line that a crash cut is ended first, so that it stays visible."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size == 0:
        return GENESIS
    reach = min(size, 1 << 16)
    *lines, tail = os.pread(descriptor, reach, size - reach).split(b"\n")
    if tail:
        # Half a line that a crash left: nobody relied on it, and nothing could be appended after it.
        os.ftruncate(descriptor, size - len(tail))
    return hashlib.sha256(lines[-1]).hexdigest() if lines else GENESIS


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_once(path, content)
