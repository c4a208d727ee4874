"""Keyed pseudonyms: who a record is about, for those who hold the key only."""

from __future__ import annotations

import hashlib
import os
import secrets
from functools import lru_cache
from pathlib import Path

from policy.audit.owned import write_once

KEY_VARIABLE = "LEADWELL_AUDIT_KEY"
KEY_FILE = "pseudonym.key"


def pseudonym_key(folder: Path) -> bytes:
    """The pseudonym key: from the environment, else from a key file that is made once for its owner only."""
    found = known_key(folder)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        # Of several workers the first wins, and the others read its key.
        write_once(folder / KEY_FILE, secrets.token_hex(32).encode())
        found = known_key(folder)
    assert found is not None  # noqa: S101 - it was written just now
    return found


def known_key(folder: Path) -> bytes | None:
    """The pseudonym key, None where there is none yet."""
    given = os.environ.get(KEY_VARIABLE)
    path = folder / KEY_FILE
    return given.encode() if given else path.read_bytes().strip() if path.is_file() else None


def pseudonym(key: bytes, lead_id: str) -> str:
    """Who a record is about, for those who hold the key only."""
    inner, outer = (state.copy() for state in _keyed(key))
    inner.update(b"lead\x00" + lead_id.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two states that HMAC-SHA256 (RFC 2104) starts from: made once a key, which a digest from scratch is not."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
