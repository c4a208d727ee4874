"""Whose data each bundle was trained on, as keyed hashes, so that an erasure can name the bundles it touches.

One file a bundle, `<folder of the bundle>/../trained_on/<bundle id>.bin`, beside the bundle and not in it: the hashes
depend on a key that never leaves the site, and the same data with the same seed must give the same bundle id anywhere.

The file: a magic line, the check value of the key (16 bytes), the number of hashes (8 bytes, big endian), the hashes in
ascending order (16 bytes each: HMAC-SHA-256, RFC 2104, cut to 128 bits), and the SHA-256 of everything before it.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import BundleRefused, InputInvalid

KEY_VARIABLE = "LEADWELL_ERASURE_KEY_FILE"
KEY_FILE = "erasure.key"
FOLDER = "trained_on"
KEY_BYTES, HASH_BYTES, COUNT_BYTES, SEAL_BYTES = 32, 16, 8, 32
_MAGIC = b"leadwell trained on 1\n"
_CHECK = b"leadwell erasure key check"
_HEAD = len(_MAGIC) + HASH_BYTES + COUNT_BYTES


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """The sorted hashes of one bundle's leads, made with one key."""

    bundle_id: str
    check: bytes
    hashes: bytes

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    def holds(self, keyed: bytes) -> bool:
        """Whether the hash of a lead id is one of these."""
        place = bisect.bisect_left(self, keyed)
        return place < len(self) and self[place] == keyed


def key_path(artifacts: Path) -> Path:
    """Where the erasure key lies: as the environment says, else in the folder of artifacts."""
    given = os.environ.get(KEY_VARIABLE)
    return Path(given) if given else artifacts / KEY_FILE


def erasure_key(path: Path, *, make: bool) -> bytes:
    """The key of a file; with `make` one that is not there is made, for its owner only.

    Raises:
        InputInvalid: there is no key and none is to be made, or the file holds something else.
    """
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        _write(fresh, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        try:
            os.link(fresh, path)  # whoever is first makes the key; nobody ever replaces one
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    if not path.is_file():
        raise InputInvalid(str(path), "expected the erasure key that bundles were trained with")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        raise InputInvalid(str(path), "expected a key of 64 hexadecimal digits") from None
    if len(key) != KEY_BYTES:
        raise InputInvalid(str(path), "expected a key of 64 hexadecimal digits")
    return key


def keyed_hash(key: bytes, lead_id: str) -> bytes:
    """HMAC-SHA-256 of a lead id, cut to 128 bits: enough that two of a billion ids meet with chance 1e-21."""
    return hmac.digest(key, b"lead\x00" + lead_id.encode(), "sha256")[:HASH_BYTES]


def write_trained_on(folder: Path, bundle_id: str, lead_ids: Iterable[str], key: bytes) -> Path:
    """Write whose data a bundle was trained on, as a whole or not at all; the same ids and key give the same bytes."""
    hashes = sorted({keyed_hash(key, lead_id) for lead_id in lead_ids})
    head = _MAGIC + keyed_check(key) + len(hashes).to_bytes(COUNT_BYTES, "big")
    content = head + b"".join(hashes)
    target = _path(folder, bundle_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a run that was killed and had the same number
    try:
        _write(draft, content + hashlib.sha256(content).digest())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def read_trained_on(folder: Path, bundle_id: str) -> TrainedOn | None:
    """Whose data a bundle was trained on, None where nobody wrote it down; raises BundleRefused on a changed file."""
    path = _path(folder, bundle_id)
    if not path.is_file():
        return None
    data = path.read_bytes()
    content, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    if not content.startswith(_MAGIC) or hashlib.sha256(content).digest() != seal:
        raise BundleRefused(f"{path.name}: changed or cut off since it was written")
    count = int.from_bytes(content[_HEAD - COUNT_BYTES : _HEAD], "big")
    if len(content) != _HEAD + count * HASH_BYTES:
        raise BundleRefused(f"{path.name}: holds another number of hashes than it says")
    check = content[len(_MAGIC) : len(_MAGIC) + HASH_BYTES]
    return TrainedOn(bundle_id, check, content[_HEAD:])


def touches(found: TrainedOn, lead_ids: Iterable[str], key: bytes) -> bool:
    """Whether a bundle was trained on data of any of these ids.

    Raises:
        BundleRefused: the hashes were made with another key, so that nothing can be said.
    """
    # INVARIANT: a wrong key is never an answer of no.
    if not hmac.compare_digest(found.check, keyed_check(key)):
        raise BundleRefused(
            f"{found.bundle_id[:12]}: its list was made with another erasure key; this key can tell nothing about it"
        )
    return any(found.holds(keyed_hash(key, lead_id)) for lead_id in lead_ids)


def keyed_check(key: bytes) -> bytes:
    """What tells a key from another one without telling the key."""
    return hmac.digest(key, _CHECK, "sha256")[:HASH_BYTES]


def _path(folder: Path, bundle_id: str) -> Path:
    return folder / FOLDER / f"{bundle_id}.bin"


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
