"""The gate before and within training: everything is looked at, and what fails stops training unless a person insists.

What a person insisted on, why and who, stays in the bundle's manifest with the findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from configs.errors import InputInvalid, LeakageFound
from configs.settings import Settings
from features.intake.sources import Intake
from features.tables import Tables
from models.scores import Readiness
from training.dataset.dataset import Dataset
from training.leakage import clocks, columns, fitted, named_rows, recompute, splits
from training.leakage.findings import LeakReport
from training.registry.history import person

MIN_REASON = 10


@dataclass(frozen=True, slots=True)
class Despite:
    """Why training goes on although it should not, and who answers for it; raises InputInvalid where either lacks."""

    reason: str
    by: str

    @classmethod
    def given(cls, reason: str, by: str) -> Despite | None:
        """What a person said on the command line; None where nobody insists."""
        return cls(reason, by) if reason else None

    def __post_init__(self) -> None:
        """Refuse a reason or a name that says nothing."""
        if len(self.reason.strip()) < MIN_REASON:
            raise InputInvalid(
                "train", f"expected a reason of at least {MIN_REASON} letters", field="--despite-leakage"
            )
        if not self.by.strip():
            raise InputInvalid("train", "expected who answers for training despite leakage", field="--by")
        person(self.by)


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found so far, and who insists on training all the same.

    INVARIANT: nothing is trained on a leak unless somebody said why and gave a name, and both stay with the bundle.
    """

    report: LeakReport
    despite: Despite | None = None

    def __post_init__(self) -> None:
        """Raise LeakageFound with every failure unless a person insists."""
        if self.report.failures and self.despite is None:
            raise LeakageFound([str(leak) for leak in self.report.failures])

    def after_fitting(self, dataset: Dataset, judged: Readiness) -> Gate:
        """The gate once a model shows more; `judged` must not have seen the rows that judge."""
        return Gate(self.report.and_then(look_at_fitted(dataset, judged)), self.despite)

    def record(self) -> dict[str, Any]:
        """What the bundle's manifest keeps; who insisted is there only where something failed."""
        found = self.report.record()
        if self.report.failures and self.despite is not None:
            found["despite"] = {"reason": self.despite.reason, "by": self.despite.by}
        return found


def look_at_tables(dataset: Dataset, tables: Tables, settings: Settings, as_of: datetime) -> LeakReport:
    """Leaks in rows built from tables, before anything is fitted."""
    found = [
        *columns.column_leaks(dataset),
        *recompute.recomputed_leaks(dataset, tables, settings, as_of),
        *clocks.clock_leaks(dataset, tables, settings, as_of),
        *splits.split_leaks(dataset, tables),
    ]
    return LeakReport.of(found, (*columns.LOOKED, *recompute.LOOKED, *clocks.LOOKED, *splits.LOOKED))


def look_at_export(dataset: Dataset, intake: Intake) -> LeakReport:
    """Leaks in rows built from a flat export, before anything is fitted."""
    found = [
        *columns.column_leaks(dataset),
        *named_rows.row_leaks(dataset, intake.tables.attributes),
        *splits.split_leaks(dataset, None),
    ]
    return LeakReport.of(found, (*columns.LOOKED, *named_rows.LOOKED, *splits.LOOKED[:1]))


def look_at_fitted(dataset: Dataset, judged: Readiness) -> LeakReport:
    """Leaks that only a model shows; it must not have seen the rows that judge."""
    return LeakReport.of(fitted.fitted_leaks(dataset, judged), fitted.LOOKED)
