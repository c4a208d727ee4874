"""One entry more at the end of a YAML list: as a whole or not at all, and every earlier byte stays as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from configs.approval_file import alone, writable_folder
from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.reader import Reader
from configs.section import Section
from configs.settings import Settings, load_settings

_INDENT = re.compile(rb"^([ ]*)- ", re.MULTILINE)
Entry = TypeVar("Entry", bound=Section)


def append_entry(
    configs: Path | None,
    name: str,
    key: str,
    model: type[Entry],
    build: Callable[[Settings], Mapping[str, Any]],
) -> tuple[Settings, Entry]:
    """Add the entry that `build` makes of the settings as they are now; returns the settings after it, and the entry.

    `build` may refuse by raising. A file that is not there yet is begun.

    Args:
        configs: the configuration folder, the shipped one when None.
        name: the file below the folder.
        key: its one list.
        model: what an entry is.
        build: gives the entry's keys, those that are None left out.

    INVARIANT: two writers at once lose nothing, a writer that dies leaves the file as it was, and every byte that was
    there stays. An entry after which the folder would not load is not written.

    Raises:
        ConfigInvalid: the folder does not load, or would not with the entry.
        InputInvalid: the entry lacks something, or the folder cannot be written to.
    """
    folder = writable_folder(configs)
    path = folder / name
    with alone(folder):
        given = {k: v for k, v in build(load_settings(folder)).items() if v is not None and v != ()}
        try:
            entry = model.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            said = str(first["msg"]).removeprefix("Value error, ")
            raise InputInvalid(name, said, field=".".join(map(str, first["loc"]))) from None
        before = path.read_bytes() if path.is_file() else b""
        partial = path.with_name(f".{path.stem}.partial.yaml")
        try:
            partial.write_bytes(_added(before, key, entry_text(given)))
            _check(partial, key, model, (*_entries(path, key, model), entry), name)
            if before:
                shutil.copymode(path, partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        try:
            return load_settings(folder), entry
        except ConfigInvalid:
            if before:
                path.write_bytes(before)
            else:
                path.unlink()
            raise


def entry_text(given: Mapping[str, Any]) -> str:
    """An entry as one line of YAML in its flow form; a JSON string is a YAML string."""
    return "- {" + ", ".join(f"{json.dumps(k) if k == 'on' else k}: {_word(v)}" for k, v in given.items()) + "}"


def _word(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_word(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_word, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _added(before: bytes, key: str, text: str) -> bytes:
    if not before:
        before = f"{key}:\n".encode()
    empty = re.search(rb"^" + key.encode() + rb":[ ]*\[[ ]*\][ ]*\r?\n?\Z", before, re.MULTILINE)
    if empty is not None:  # a list without entries says so by two brackets, which the first entry replaces
        before = before[: empty.start()] + key.encode() + b":\n"
    items = _INDENT.findall(before)
    joint = b"" if before.endswith(b"\n") else b"\n"
    return before + joint + (items[0] if items else b"  ") + text.encode() + b"\n"


def _entries(path: Path, key: str, model: type[Entry]) -> tuple[Entry, ...]:
    return Reader(path.parent, []).listed(path.name, key, model) if path.is_file() else ()


def _check(partial: Path, key: str, model: type[Entry], expected: tuple[Entry, ...], name: str) -> None:
    problems: list[Problem] = []
    if Reader(partial.parent, problems).listed(partial.name, key, model) != expected or problems:
        told = "expected the list at the end of the file, so that an entry can be added"
        raise ConfigInvalid([Problem(name, key, told)])
