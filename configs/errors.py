"""Every error Leadwell raises on purpose.

LeadwellError
├── ConfigInvalid        a YAML file that people edit is wrong; carries every problem at once
├── InputInvalid         a data file, row or field is wrong; names file, row, field and what was expected
├── ConditionInvalid     a condition does not parse or uses an unknown fact
├── BundleRefused        a bundle is damaged, tampered with or does not fit; nothing in it was parsed
├── AuditBroken          the audit chain does not verify; names the first bad record
└── NotReady             something must be run first; names the command

An error carries ids, counts and positions, never a personal value.
"""

from __future__ import annotations

from dataclasses import dataclass


class LeadwellError(Exception):
    """Base of every error shown to a user as one clear line."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a YAML file: where, and what was expected."""

    file: str
    key: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.expected}" if self.key else f"{self.file}: {self.expected}"


class ConfigInvalid(LeadwellError):
    """One or more YAML files are wrong; all problems are reported at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class InputInvalid(LeadwellError):
    """A data file cannot be used; names the file, row, field and what was expected."""

    def __init__(self, file: str, expected: str, *, row: int | None = None, field: str | None = None) -> None:
        self.file, self.row, self.field, self.expected = file, row, field, expected
        place = file + (f", row {row}" if row is not None else "") + (f", column {field}" if field else "")
        super().__init__(f"{place}: {expected}")


class ConditionInvalid(LeadwellError):
    """A condition does not parse, or compares a fact in a way its type does not allow."""


class BundleRefused(LeadwellError):
    """A bundle failed a check that comes before parsing it."""


class AuditBroken(LeadwellError):
    """The audit chain does not verify."""


class NotReady(LeadwellError):
    """Something must be run first; the message names the command."""
