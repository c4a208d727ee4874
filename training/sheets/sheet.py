"""What a data sheet is: headings with rows and tables of plain text, the same for a segment and for a bundle.

The headings are those of Gebru et al., Datasheets for Datasets (2021), as far as they apply to what is made from data:
what it is for, composition, sources, cleaning, updates, approvals, limits, and who answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

PARTS = ("purpose", "composition", "fields", "sources", "cleaning", "updates", "approvals", "limits", "owners")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; every cell is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One heading: what it is in a sentence, what is said about it, and a table where there is one."""

    id: str
    title: str
    lead_in: str
    rows: tuple[tuple[str, str], ...] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The data sheet of one segment version or of one bundle, as of a day; `stands` is its state in a word or two."""

    kind: str
    name: str
    title: str
    content: str
    as_of: date
    stands: str
    owner: str
    next_review: str
    parts: tuple[Part, ...]

    def part(self, part_id: str) -> Part:
        """The part of an id; raises KeyError where the sheet has none."""
        return {part.id: part for part in self.parts}[part_id]

    def to_json(self) -> str:
        """The sheet as JSON, dates as ISO text."""
        return json.dumps(asdict(self) | {"as_of": self.as_of.isoformat()}, indent=2, ensure_ascii=False)


def numbered(names: Sequence[str], most: int = 6) -> str:
    """The first names of a list, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
