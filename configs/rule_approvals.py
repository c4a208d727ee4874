"""Who approved which change of the rule book: an append-only list, each entry sealed and bound to both books.

`rule_approvals.jsonl` lies in the folder of the new book, one entry a line. An entry names the digest of the old and of
the new book, so it says nothing about any other change, and an edit after it needs a new one. Seals are those of the
approvals of segments (configs/approvals.py): they find a slip and a quiet edit, the history of the repository finds a
list that was cut off or sealed anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from configs.approval_file import alone
from configs.approvals import FIRST_SEAL, refuse_unreadable, same_person, seal_of
from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.section import Section
from configs.settings import Settings

FILE = "rule_approvals.jsonl"
Role = Literal["compliance", "medical", "regulatory"]
# An approval that nobody used for so long has to be given again.
LIFETIME_DAYS = 30
# What decides: which book, and how facts become known. Where a configuration lacks a part it is the same on both sides.
PARTS = (
    "rules", "parameters", "facts", "vocabularies", "jurisdictions", "data_use", "source_register", "registrations",
    "pauses", "time_zones", "products", "claims", "services", "identity", "quality",
    "governance",
)  # fmt: skip


class RuleApproval(Section):
    """One person's yes to one change: from the old book to the new one, in one role, on one day."""

    old: str = Field(pattern=r"^[0-9a-f]{64}$")
    new: str = Field(pattern=r"^[0-9a-f]{64}$")
    by: str
    role: Role
    on: date
    reference: str | None = None
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _names_a_person(self) -> RuleApproval:
        refuse_unreadable(by=self.by, reference=self.reference)
        return self


def policy_digest(settings: Settings) -> str:
    """SHA-256 over all cards, parameters and what makes facts, whatever the day."""
    return settings.digest(*(part for part in PARTS if hasattr(settings, part)))


def load_rule_approvals(folder: Path) -> tuple[RuleApproval, ...]:
    """The list beside a book, empty without a file; raises ConfigInvalid at the first line that does not fit."""
    path = folder / FILE
    if not path.is_file():
        return ()
    found: list[RuleApproval] = []
    seal = FIRST_SEAL
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = RuleApproval.model_validate_json(text)
        except ValidationError:
            expected = "expected an entry as `leadwell rules approve` writes it"
            raise ConfigInvalid([Problem(FILE, f"line {number}", expected)]) from None
        seal = seal_of(seal, entry)
        if entry.seal != seal:
            expected = "it was changed, or one before it was removed or moved; restore the file from its history"
            raise ConfigInvalid([Problem(FILE, f"line {number}", expected)])
        found.append(entry)
    return tuple(found)


def append_rule_approval(folder: Path, entry: RuleApproval) -> RuleApproval:
    """Add one approval and return it with its seal; what was there stays byte for byte.

    Raises:
        InputInvalid: the same person has approved this change, or the day goes back.
        ConfigInvalid: the list does not fit.
    """
    with alone(folder):
        before = load_rule_approvals(folder)
        for other in about(before, entry.old, entry.new, entry.on):
            if same_person(other.by, entry.by):
                raise InputInvalid("--by", f"that may be who approved this change on {other.on}: another person does")
        if before and entry.on < before[-1].on:
            raise InputInvalid("--on", f"expected a day not before {before[-1].on}, that of the last entry")
        last = before[-1].seal if before else FIRST_SEAL
        sealed = entry.model_copy(update={"seal": seal_of(last, entry)})
        with (folder / FILE).open("a", encoding="utf-8", newline="\n") as file:
            file.write(sealed.model_dump_json(exclude_none=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return sealed


def about(entries: Sequence[RuleApproval], old: str, new: str, on: date | None = None) -> list[RuleApproval]:
    """The approvals of one change; with a day only those that count on it, for an unused one lapses."""
    found = [entry for entry in entries if (entry.old, entry.new) == (old, new)]
    return found if on is None else [entry for entry in found if 0 <= (on - entry.on).days <= LIFETIME_DAYS]


def missing(needs: int, given: Sequence[RuleApproval]) -> str | None:
    """What a change still needs, None where it is approved: two roles apart for widening, anybody for narrowing.

    INVARIANT: one person counts once, whatever the names and roles it signs with.
    """
    people: list[RuleApproval] = []
    for entry in given:
        if not any(same_person(entry.by, other.by) for other in people):
            people.append(entry)
    if needs == 0 or (needs == 1 and people):
        return None
    if needs == 1:
        return "one approval"
    compliance = any(entry.role == "compliance" for entry in people)
    medical = any(entry.role in ("medical", "regulatory") for entry in people)
    wanted = ["compliance"] * (not compliance) + ["medical or regulatory affairs"] * (not medical)
    return f"an approval by {' and one by '.join(wanted)}" if wanted else None
