"""The list of approvals on disk: a step is added as a whole or not at all, and every earlier byte stays as it was.

What was proposed or approved is kept beside the list, in `approved/`, as the very text whose SHA-256 the steps name: so
an auditor needs no tool of ours to see what somebody said yes to, and `sha256sum` tells whether it is still that.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from configs.approvals import FILE, FIRST_SEAL, ApprovalStep, approval_problems, seal_of, with_approvals
from configs.definitions import SegmentDefinition
from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.settings import DEFAULTS, Settings, load_approvals, load_settings

KEPT = "approved"
_ITEM = re.compile(rb"^([ ]*)- ", re.MULTILINE)
_EMPTY = re.compile(rb"^approvals:[ ]*\[[ ]*\][ ]*\r?\n?\Z", re.MULTILINE)


def writable_folder(configs: Path | None) -> Path:
    """The folder whose list may be added to; raises InputInvalid where that is the installed package's own."""
    folder = (configs or DEFAULTS).resolve()
    if not folder.is_dir():
        raise InputInvalid(str(configs), "expected a folder of configuration files")
    if folder == DEFAULTS.resolve() and not (DEFAULTS.parent / "pyproject.toml").is_file():
        mend = "copy it and give the copy as --configs DIR"
        raise InputInvalid(FILE, f"the shipped configuration belongs to the installed program; {mend}")
    if not os.access(folder, os.W_OK):
        raise InputInvalid(str(folder), "expected a folder that may be written to")
    return folder


def append_step(folder: Path, build: Callable[[Settings], ApprovalStep]) -> tuple[Settings, ApprovalStep]:
    """Add the step that `build` makes of the settings as they are now; returns the settings after it, and the step.

    `build` may refuse by raising. Nobody else adds a step between its look and the write.

    INVARIANT: two writers at once lose nothing, a writer that dies leaves the list as it was, and every byte that was
    there stays.

    Raises:
        ConfigInvalid: the folder does not load, or the step may not follow those that are there.
    """
    with alone(folder):
        settings = load_settings(folder)
        step = build(settings)
        last = settings.approvals[-1].seal if settings.approvals else FIRST_SEAL
        step = step.model_copy(update={"seal": seal_of(last, step)})
        steps = (*settings.approvals, step)
        # As written: what was resolved from the list would count as written into the definitions.
        plain = [SegmentDefinition.model_validate_json(d.content) for d in settings.segments]
        problems = list(approval_problems(plain, steps, settings.governance.approval))
        if problems:
            raise ConfigInvalid(problems)
        for definition in plain:
            if definition.content_hash == step.definition:
                keep_content(folder, definition)
        _replace(folder / FILE, (folder / FILE).read_bytes(), steps)
    after = settings.model_copy(update={"approvals": steps, "segments": tuple(with_approvals(plain, steps))})
    return after, step


def step_text(step: ApprovalStep) -> str:
    """One step as an entry of the list, in YAML's flow form, without what it does not say."""
    said = step.model_dump(mode="json", exclude_none=True, exclude={"definition", "seal"})
    # A JSON string is a YAML string; `on` is quoted because YAML reads a bare one as true.
    words = [f"{json.dumps(k) if k == 'on' else k}: {_word(k, v)}" for k, v in said.items() if v != []]
    short, long = words[:6], words[6:]
    lines = [", ".join(short), *long, f'definition: "{step.definition}"', f'seal: "{step.seal}"']
    return "- {" + ",\n   ".join(lines) + "}"


def content_path(folder: Path, segment: str, version: int, content_hash: str) -> Path:
    """Where the text of a version that was proposed is kept."""
    return folder / KEPT / f"{segment}-v{version}-{content_hash[:12]}.json"


def keep_content(folder: Path, definition: SegmentDefinition) -> Path:
    """Write what a step is about beside the list; its name says which version, its SHA-256 is the one in the step."""
    path = content_path(folder, definition.id, definition.version, definition.content_hash)
    if not path.is_file() or path.read_text(encoding="utf-8") != definition.content:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(definition.content, encoding="utf-8", newline="")
        os.replace(partial, path)
    return path


def kept_content(folder: Path, segment: str, version: int, content_hash: str) -> SegmentDefinition | None:
    """What was proposed or approved then; None where its text was not kept.

    Raises InputInvalid where the file holds another text than the one that was approved.
    """
    path = content_path(folder, segment, version, content_hash)
    if not path.is_file():
        return None
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != content_hash:
        raise InputInvalid(str(path), "expected the text that was approved: its SHA-256 is not the one in the list")
    try:
        return SegmentDefinition.model_validate_json(text)
    except ValidationError:
        return None  # a key that this release does not know any more: the text speaks for itself


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; whoever comes second waits, and a process that dies lets go."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, before: bytes, steps: Sequence[ApprovalStep]) -> None:
    """Put the list with one more step in the place of the old one, after reading it back."""
    target = path.resolve()  # a linked file is written where it is
    added = _added(before, step_text(steps[-1]))
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, partial)
        try:
            read_back = load_approvals(partial)
        except ConfigInvalid:
            read_back = ()
        if read_back != tuple(steps):
            expected = "expected the list at the end of the file, one `- {...}` a step, so that one can be added"
            raise ConfigInvalid([Problem(FILE, "approvals", expected)])
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _added(before: bytes, text: str) -> bytes:
    """The file's bytes with one more entry, indented and ended as the entries before it."""
    empty = _EMPTY.search(before)
    if empty is not None:  # a list without steps says so by two brackets, which the first step replaces
        before = before[: empty.start()] + b"approvals:\n"
    items = _ITEM.findall(before)
    indent = " " * len(items[-1]) if items else "  "
    ending = "\r\n" if b"\r\n" in before else "\n"
    lines = ending.join(indent + line for line in text.split("\n")) + ending
    joint = b"" if before.endswith(b"\n") else ending.encode()
    return before + joint + lines.encode()


def _word(key: str, value: object) -> str:
    if isinstance(value, int):
        return str(value)
    plain = key in ("on", "expires_on", "next_review_on", "entered_on")
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
