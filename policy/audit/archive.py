"""Rule books kept beside the audit log, so that any old decision can be asked again of the book of its day.

A book is one JSON file named by its hash. What is read back is compiled anew, and must come to that hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

from configs.cards import FactDeclaration, Gate, Parameter, RuleCard
from configs.errors import AuditBroken, InputInvalid
from configs.settings import Settings
from policy.audit.owned import write_once
from policy.book import ENGINE_VERSION, Book

BOOKS = "books"


@dataclass(frozen=True, slots=True)
class _Channels:
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The part of the settings that a book is compiled from."""

    rules: tuple[RuleCard, ...]
    facts: Mapping[str, FactDeclaration]
    parameters: Mapping[str, Parameter]
    vocabularies: Mapping[str, _Channels]
    data_use: str

    def digest(self, section: str) -> str:
        """Digest of the only other section that a book's hash covers."""
        if section != "data_use":
            raise KeyError(section)
        return self.data_use


class Archive:
    """Keeps each book once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / BOOKS
        self._kept: set[str] = set()
        self._compiled: dict[tuple[str, Gate], Book] = {}

    def keep(self, book: Book, settings: Settings) -> None:
        """Write a book that is not there yet, durably.

        INVARIANT: a book is kept before the first record that names it.
        """
        if book.hash in self._kept:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{book.hash}.json"
        if not path.exists():
            content = {
                "engine": ENGINE_VERSION,
                "on": book.on.isoformat(),
                "channels": book.channels,
                "cards": [card.model_dump(mode="json", by_alias=True) for card in settings.rules],
                "parameters": {name: one.model_dump(mode="json") for name, one in settings.parameters.items()},
                "facts": {name: one.model_dump(mode="json") for name, one in settings.facts.items()},
                "data_use": settings.digest("data_use"),
            }
            write_once(path, json.dumps(content, indent=1, sort_keys=True).encode())
        self._kept.add(book.hash)

    def keep_assets(self, version: str, assets: tuple[str, ...]) -> None:
        """Write the ids of an inventory that is not there yet, in the order in which facts about them are packed."""
        if version not in self._kept:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"assets-{version}.json"
            if not path.exists():
                write_once(path, json.dumps(assets).encode())
            self._kept.add(version)

    def assets(self, version: str) -> tuple[str, ...]:
        """The ids of an inventory; raises InputInvalid where it was never kept."""
        path = self.folder / f"assets-{version}.json"
        if not re.fullmatch("[0-9a-f]{64}", version) or not path.is_file():
            raise InputInvalid(f"{BOOKS}/assets-{version[:80]}.json", "expected the inventory that the record names")
        return tuple(str(asset) for asset in json.loads(path.read_bytes()))

    def book(self, digest: str, gate: Gate = "action") -> Book:
        """The book of a hash, compiled anew.

        Raises InputInvalid where it was never kept or another engine compiled it, AuditBroken where it was changed.
        """
        if (digest, gate) in self._compiled:
            return self._compiled[digest, gate]
        path = self.folder / f"{digest}.json"
        if not re.fullmatch("[0-9a-f]{64}", digest) or not path.is_file():
            raise InputInvalid(f"{BOOKS}/{digest[:64]}.json", "expected the rule book that the record names")
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            if content["engine"] != ENGINE_VERSION:
                expected = f"expected a book of engine {ENGINE_VERSION}; replay it with the Leadwell that made it"
                raise InputInvalid(f"{BOOKS}/{path.name}", expected)
            kept = _Kept(
                rules=tuple(RuleCard.model_validate(card) for card in content["cards"]),
                facts={name: FactDeclaration.model_validate(one) for name, one in content["facts"].items()},
                parameters={name: Parameter.model_validate(one) for name, one in content["parameters"].items()},
                vocabularies={"channel": _Channels(tuple(content["channels"]))},
                data_use=content["data_use"],
            )
            # A book looks at nothing else of the settings, which the comparison of hashes below would show.
            found = Book.load(cast(Settings, kept), date.fromisoformat(content["on"]), gate)
        except (ValueError, KeyError, TypeError) as error:
            raise AuditBroken(f"{BOOKS}/{path.name}: expected a rule book as it was kept") from error
        if found.hash != digest:
            raise AuditBroken(f"{BOOKS}/{path.name}: it was changed; it comes to another hash")
        self._compiled[digest, gate] = found
        return found
