"""What was judged, approved and served, when, and when we learned it: one append-only file, each line sealed.

`registry.jsonl` holds one entry a line. Its seal is the SHA-256 of the seal before it and of everything it says, so an
edit, a removal or a move breaks the chain at that line. `registry.head` keeps how many entries there are and the last
seal: a file whose end was cut off is shorter than its head says. Nothing is ever taken back: a correction is an entry.

Three writes make a switch, in this order: the entry, `champion.json`, the head. A run that is killed leaves one of
three states, and each tells which one it is: an entry that champion.json does not name and the head does not count
never took effect; one that champion.json names did, whatever the head says.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from configs.errors import InputInvalid, NotReady, RegistryBroken
from configs.section import Section
from configs.spelling import normalize

HISTORY_FILE = "registry.jsonl"
HEAD_FILE = "registry.head"
CHAMPION_FILE = "champion.json"
LOCK_FILE = ".registry.lock"
FIRST_SEAL = "0" * 64
MOST_CHARACTERS = 200
OURSELVES = "leadwell"
Kind = Literal["judged", "approved", "withdrawn", "served", "corrected", "void"]
_TRIES, _WAIT_SECONDS = 300, 0.1
_MEND = "restore it from a copy; the champion serves on"


class Entry(Section):
    """One thing that happened: what, to which bundle, who did it, and when it was written down (UTC).

    `says` is what belongs to the kind. `clock` is there only where the clock was behind the entry above: `recorded_at`
    never goes back, because "as known on a day" is a part of the file from its start.
    """

    number: int = Field(ge=1)
    kind: Kind
    recorded_at: datetime
    by: str
    bundle_id: str | None
    says: Mapping[str, Any]
    clock: datetime | None = None
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("recorded_at", "clock")
    @classmethod
    def _in_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("expected an instant with a zone")
        return value.astimezone(UTC) if value is not None else None


@dataclass(frozen=True, slots=True)
class History:
    """The entries whose chain holds, how many of them the head counts, and which entry champion.json names.

    `torn` is the length of a last line that a killed run did not finish; nobody was told that it was written.
    """

    artifacts: Path
    entries: tuple[Entry, ...]
    counted: int
    named: int | None
    torn: int = 0

    @property
    def champion(self) -> Entry | None:
        """The entry that champion.json names, None before the first promotion."""
        return None if self.named is None else self.entries[self.named - 1]

    @property
    def unfinished(self) -> tuple[Entry, ...]:
        """Switches of a killed run that never took effect and that no entry says so of yet."""
        said = {entry.says["of"] for entry in self.entries if entry.kind == "void"}
        beyond = self.entries[self.counted :]
        return tuple(e for e in beyond if e.kind == "served" and e.number != self.named and e.number not in said)


def read_history(artifacts: Path) -> History:
    """The history of an artifacts folder; raises RegistryBroken naming the first entry that does not hold."""
    file = artifacts / HISTORY_FILE
    # In the order opposite to that of writing: what another run adds meanwhile is then beyond the head that was read,
    # and not missing from a history that is shorter than its head.
    head, named = _text_of(artifacts / HEAD_FILE), _text_of(artifacts / CHAMPION_FILE)
    data = file.read_bytes() if file.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    entries: list[Entry] = []
    seal = FIRST_SEAL
    for number, text in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            entry = Entry.model_validate_json(text)
        except ValidationError as error:
            raise RegistryBroken(f"{file}: line {number} is no entry: it was edited; {_MEND}") from error
        seal = seal_of(seal, entry)
        # The text too: a changed space would say the same, and the file would not be what was written.
        if entry.seal != seal or entry.number != number or text != _line(entry):
            found = f"entry {entry.number} ({entry.kind})"
            raise RegistryBroken(f"{file}: {found} was changed, or one before it removed or moved; {_MEND}")
        entries.append(entry)
    counted = _counted(artifacts, entries, head)
    serving = _named(artifacts, entries, counted, named)
    return History(artifacts, tuple(entries), counted, serving, len(data) - len(whole))


def seal_of(before: str, entry: Entry) -> str:
    """SHA-256 over the seal before an entry and everything the entry says, in hexadecimal."""
    said = json.dumps([before, _plain(entry, sealed=False)], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(said.encode()).hexdigest()


class Ledger:
    """The history while this process alone may add to it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._artifacts = history.artifacts

    def append(
        self,
        kind: Kind,
        *,
        by: str,
        bundle_id: str | None,
        as_of: datetime,
        says: Mapping[str, Any],
        close: bool = True,
    ) -> Entry:
        """Add an entry durably; with `close` the head counts it, which says that all it speaks of was done."""
        last = self.history.entries[-1] if self.history.entries else None
        now = as_of.astimezone(UTC)
        at = now if last is None else max(now, last.recorded_at)
        entry = Entry(
            number=len(self.history.entries) + 1,
            kind=kind,
            recorded_at=at,
            by=by,
            bundle_id=bundle_id,
            says=json.loads(json.dumps(dict(says), allow_nan=False)),
            clock=now if now < at else None,
        )
        entry = entry.model_copy(update={"seal": seal_of(last.seal if last else FIRST_SEAL, entry)})
        _append_durably(self._artifacts / HISTORY_FILE, _line(entry) + b"\n")
        self._take(entry, named=self.history.named)
        if close:
            self.close()
        return entry

    def switch(self, entry: Entry, content: Mapping[str, Any]) -> None:
        """Let champion.json name an entry, which is the moment from which its bundle serves; then count it."""
        named = {**content, "entry": entry.number, "seal": entry.seal}
        write_whole(self._artifacts / CHAMPION_FILE, json.dumps(named, indent=2))
        self.history = _with(self.history, named=entry.number)
        self.close()

    def close(self) -> None:
        """Write the head: everything up to here is done."""
        entries = self.history.entries
        head = {"entries": len(entries), "seal": entries[-1].seal}
        write_whole(self._artifacts / HEAD_FILE, json.dumps(head) + "\n")
        self.history = _with(self.history, counted=len(entries))

    def _take(self, entry: Entry, *, named: int | None) -> None:
        self.history = _with(self.history, entries=(*self.history.entries, entry), named=named)


@contextmanager
def writing(artifacts: Path, as_of: datetime) -> Iterator[Ledger]:
    """The history for this process alone; what a killed run left is settled first, by entries that say so.

    Raises:
        RegistryBroken: the history was edited, cut off or does not belong to champion.json.
        NotReady: another run has been changing it for half a minute.
        InputInvalid: the folder may not be written to.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    if not os.access(artifacts, os.W_OK):
        raise InputInvalid(str(artifacts), "expected a folder that may be written to; nothing was changed")
    with (artifacts / LOCK_FILE).open("a") as lock:
        _take_lock(lock.fileno(), artifacts)
        ledger = Ledger(read_history(artifacts))
        if ledger.history.torn:
            _cut_torn(artifacts / HISTORY_FILE, ledger.history.torn)
        unfinished = ledger.history.unfinished
        for entry in unfinished:
            why = "the run ended before champion.json was switched"
            says = {"of": entry.number, "reason": why}
            ledger.append("void", by=OURSELVES, bundle_id=entry.bundle_id, as_of=as_of, says=says, close=False)
        if len(ledger.history.entries) > ledger.history.counted:
            ledger.close()
        yield ledger


def write_whole(file: Path, text: str) -> None:
    """Replace a file durably: at every moment it is a complete file, the old one or the new one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        os.replace(draft, file)
        _sync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def start_anew(artifacts: Path, players: Sequence[str]) -> None:
    """Take away the registry of a folder in which nobody but these players ever acted; for a demo that runs again.

    Raises InputInvalid where somebody else did: the history of people is never taken away.
    """
    files = [artifacts / name for name in (HISTORY_FILE, HEAD_FILE, CHAMPION_FILE)]
    if not any(file.exists() for file in files):
        return
    try:
        others = {entry.by for entry in read_history(artifacts).entries} - {*players, OURSELVES}
    except RegistryBroken:
        # Of a history that does not hold nobody can tell who acted in it.
        kept = files[0].is_file() and files[0].stat().st_size > 0
        others = {"somebody"} if kept else {_asked_by(artifacts / CHAMPION_FILE)} - set(players)
    if others:
        raise InputInvalid(str(artifacts), "expected a folder of the demo's own: it holds a registry that people use")
    for file in files:
        file.unlink(missing_ok=True)


def person(name: str, option: str = "--by") -> str:
    """A name as it shall stand in the history; raises InputInvalid where it names nobody."""
    found = " ".join(name.split())
    if len(normalize(found).replace("_", "")) < 2 or not found.isprintable() or len(found) > MOST_CHARACTERS:
        raise InputInvalid(option, "expected the name of a person or of an office")
    return found


def moment(instant: datetime) -> str:
    """An instant as the registry's files write it."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _asked_by(champion: Path) -> str:
    """Who asked for what a champion file names, in the form of this version or an older one; else "somebody"."""
    try:
        return str(json.loads(champion.read_text(encoding="utf-8"))["by"])
    except (OSError, ValueError, KeyError, TypeError):
        return "somebody"


def _text_of(file: Path) -> str | None:
    """What a file says, None where there is none."""
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _counted(artifacts: Path, entries: list[Entry], text: str | None) -> int:
    """How many entries the head counts; raises RegistryBroken where the history is shorter or another one."""
    file = artifacts / HEAD_FILE
    if text is None:
        if len(entries) > 1:
            raise RegistryBroken(f"{file}: missing, so nobody can tell whether the history is whole; {_MEND}")
        return 0
    try:
        head = json.loads(text)
        count, seal = int(head["entries"]), str(head["seal"])
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryBroken(f"{file}: not a head written by Leadwell; {_MEND}") from error
    if count > len(entries):
        gone = f"entries {len(entries) + 1} to {count}" if count > len(entries) + 1 else f"entry {count}"
        raise RegistryBroken(f"{artifacts / HISTORY_FILE}: {gone} cut off its end; {_MEND}")
    if count < 1 or entries[count - 1].seal != seal:
        raise RegistryBroken(f"{file}: counts another history than {HISTORY_FILE}; {_MEND}")
    return count


def _named(artifacts: Path, entries: list[Entry], counted: int, text: str | None) -> int | None:
    """Which entry champion.json names; raises RegistryBroken where it names none of this history, or an older one."""
    file = artifacts / CHAMPION_FILE
    switched = [entry for entry in entries[:counted] if entry.kind == "served"]
    void = {entry.says.get("of") for entry in entries if entry.kind == "void"}
    last = next((entry.number for entry in reversed(switched) if entry.number not in void), None)
    if text is None:
        if last is not None:
            raise RegistryBroken(f"{file}: missing, though entry {last} of {HISTORY_FILE} switched to it; {_MEND}")
        return None
    try:
        content = json.loads(text)
        number, seal, bundle_id = int(content["entry"]), str(content["seal"]), str(content["bundle_id"])
    except (ValueError, KeyError, TypeError) as error:
        older = "move it away, then approve and promote again, if an older Leadwell wrote it"
        raise RegistryBroken(f"{file}: not a champion file of this history; {older}") from error
    entry = entries[number - 1] if 0 < number <= len(entries) else None
    if entry is None or (entry.seal, entry.bundle_id, entry.kind) != (seal, bundle_id, "served"):
        raise RegistryBroken(f"{file}: names an entry {number} that {HISTORY_FILE} does not hold; {_MEND}")
    if entry.says.get("path") != content.get("path"):
        raise RegistryBroken(f"{file}: names another folder than entry {number}: it was edited; {_MEND}")
    if number in void:
        raise RegistryBroken(f"{file}: names entry {number}, which never took effect; {_MEND}")
    if last is not None and number < last:
        raise RegistryBroken(f"{file}: names entry {number}, though entry {last} was switched to: an old copy; {_MEND}")
    return number


def _with(history: History, **changes: Any) -> History:
    found = {name: getattr(history, name) for name in ("artifacts", "entries", "counted", "named")}
    return History(**{**found, **changes})


def _line(entry: Entry) -> bytes:
    return json.dumps(_plain(entry, sealed=True), sort_keys=True, ensure_ascii=False).encode()


def _plain(entry: Entry, *, sealed: bool) -> dict[str, Any]:
    kept = entry.model_dump(mode="json", exclude_none=True, exclude=None if sealed else {"seal"})
    # A bundle of "nothing was served" is told, not left out.
    return {**kept, "bundle_id": entry.bundle_id}


def _append_durably(file: Path, line: bytes) -> None:
    made = not file.exists()
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            if os.write(handle, line) != len(line):
                raise OSError(28, os.strerror(28), str(file))
            os.fsync(handle)
        except OSError:
            # A line that is not known to be on disk must not be found later as if it were.
            with suppress(OSError):
                os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)
    if made:
        _sync_folder(file.parent)


def _cut_torn(file: Path, torn: int) -> None:
    with file.open("r+b") as target:
        target.truncate(file.stat().st_size - torn)
        os.fsync(target.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_lock(handle: int, artifacts: Path) -> None:
    for _ in range(_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_WAIT_SECONDS)
    raise NotReady(f"{artifacts}: another run is changing what serves; run this again when it has ended")
