"""Every error Leadwell raises on purpose.

LeadwellError
├── ConfigInvalid        a YAML file that people edit is wrong; carries every problem at once
├── InputInvalid         a data file, row or field is wrong; names file, row, field and what was expected
├── ConditionInvalid     a condition does not parse or uses an unknown fact
├── BundleRefused        a bundle is damaged, tampered with or does not fit; nothing in it was parsed
├── AuditBroken          the audit chain does not verify; names the first bad record
├── RegistryBroken       the history of champions was edited or cut off; names the entry
├── TrackingFailed       MLflow did not answer or did not take something; what was trained is safe
├── LeakageFound         training data know the outcome; carries every finding at once
├── StoreUnavailable     the store of stops and permits cannot be reached or did not take something
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


class RegistryBroken(LeadwellError):
    """The history of what served does not verify."""


class TrackingFailed(LeadwellError):
    """MLflow's store or server could not be read or written; nothing that serves depends on it."""


class LeakageFound(LeadwellError):
    """What would be learned from could not have been known, or tells the outcome in other words; lists all of it."""

    def __init__(self, findings: list[str]) -> None:
        self.findings = tuple(findings)
        insist = 'to train all the same, and keep why and who: --despite-leakage "REASON" --by NAME'
        super().__init__("\n".join([*findings, insist]))


class StoreUnavailable(LeadwellError):
    """The store did not answer or did not keep what it was given; nothing may be permitted meanwhile."""


class NotReady(LeadwellError):
    """Something must be run first; the message names the command."""
