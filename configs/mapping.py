"""How one export's columns become Leadwell's tables, without code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from configs.content import Asset
from configs.section import Section

# Names that no column has: the number of the row, and no time at all.
ROW = "(row)"
NO_TIME = "(none)"


class AttributeColumn(Section):
    """A custom column used as a feature. `known_at: before_outcome` is a claim the user makes and answers for."""

    column: str
    type: Literal["number", "category", "yesno"]
    known_at: Literal["before_outcome", "after_outcome"]
    group: Literal["fit", "engagement", "account"] = "fit"
    says: str = ""
    insist: bool = Field(default=False, description="learn from a column that is written after the outcome")
    health: bool = Field(default=False, description="tells of a person's own health: used with explicit consent only")
    prescriber: bool = Field(default=False, description="prescribing data: not used of who restricted it")
    protected: bool = Field(default=False, description="a protected trait or a proxy of one: refused")
    purposes: tuple[str, ...] = Field(
        default=(), description="what it may be used for; none: as the record of data use says of such columns"
    )

    @property
    def declared(self) -> str:
        """What kind of data the column is declared to be, empty where it is none of the special ones."""
        named = (("protected", self.protected), ("health", self.health), ("prescriber", self.prescriber))
        return next((name for name, given in named if given), "")

    @model_validator(mode="after")
    def _not_leaking(self) -> AttributeColumn:
        # INVARIANT: nothing written after the outcome is learned from unless the user insists in so many words.
        if self.known_at == "after_outcome" and not self.insist:
            raise ValueError(
                f"{self.column} is written after the outcome: move it to after_outcome, or insist with insist: true"
            )
        return self


class EventFromColumn(Section):
    """A consent, suppression or case that a column's value stands for; for every lead when `column` is absent.

    With `equals`, one of these values stands for the record. With `unless`, everything but these values does, so that a
    missing or unfamiliar value is read the cautious way.
    """

    table: Literal["consents", "suppressions", "cases"]
    column: str | None = None
    equals: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    values: dict[str, Any]

    @model_validator(mode="after")
    def _one_test(self) -> EventFromColumn:
        if (self.column is None) != (not self.equals and not self.unless) or (self.equals and self.unless):
            raise ValueError("expected a column with either equals or unless, or none of the three")
        return self


class ExperimentColumns(Section):
    """A randomised test in an export: the arm's column, its control, what is measured, and what it is told by.

    `segments` are attributes that effects are told by; `covariates`, known before the arm was drawn, make them sharper.
    """

    arm: str
    control: str
    outcomes: dict[str, Literal["yesno", "number"]] = Field(min_length=1)
    segments: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()


class SourceMapping(Section):
    """A flat export: its key, its order in time, its outcome, its attributes, and the constants that hold for all.

    An export without a key has `lead_id: (row)`, and then an id means nothing in another file. One whose rows stand in
    time order has `order_by: (row)`; one whose rows are all of one time `order_by: (none)`, and then a part of it
    chosen by hash judges. `order_values` lists the texts of the order's column from the first to the last, and
    `order_format` says how its dates are written where that is not ISO 8601 (as for `datetime.strptime`).

    A constant lead field holds where `fields` gives no value of the lead's own. `complete` names the tables of which
    this export is the whole truth: no row then means "none" and not "unknown".
    """

    name: str
    says: str
    format: Literal["csv"] = "csv"
    lead_id: str
    order_by: str
    order_values: tuple[str, ...] = ()
    order_format: str | None = None
    as_of: datetime
    outcome: str | None = None
    outcome_true: tuple[str, ...] = ()
    outcome_false: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)
    attributes: tuple[AttributeColumn, ...]
    after_outcome: dict[str, str] = Field(default={}, description="column -> why it must not be learned from")
    ignored: dict[str, str] = Field(default={}, description="column -> why it is left out")
    constants: dict[str, Any] = Field(default={}, description="canonical lead field -> value")
    records: tuple[EventFromColumn, ...] = ()
    complete: tuple[Literal["suppressions", "touches", "cases", "consents"], ...] = ()
    asset: Asset | None = None
    experiment: ExperimentColumns | None = None
    fields: dict[str, str] = Field(default={}, description="canonical lead field -> column")
    field_values: dict[str, dict[str, tuple[str, ...]]] = Field(
        default={}, description="canonical lead field -> its value -> spellings in this export"
    )

    @field_validator("as_of")
    @classmethod
    def _zoned(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("expected an instant with a zone, such as 2026-06-30T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _each_column_once(self) -> SourceMapping:
        learned = [attribute.column for attribute in self.attributes]
        repeated = sorted({column for column in learned if learned.count(column) > 1})
        if repeated:
            raise ValueError(f"attribute {repeated[0]} is listed twice")
        for column in learned:
            for place, columns in (("ignored", self.ignored), ("after_outcome", self.after_outcome)):
                insisted = place == "after_outcome" and any(a.insist for a in self.attributes if a.column == column)
                if column in columns and not insisted:
                    raise ValueError(f"{column} is an attribute and in {place}: expected one of the two")
            if column in (self.lead_id, self.outcome, self.order_by):
                raise ValueError(f"{column} is a key, the order or the outcome and cannot be an attribute")
        if self.lead_id == NO_TIME:
            raise ValueError(f"{NO_TIME} is no key: expected a column or {ROW}")
        if (self.order_values or self.order_format) and self.order_by in (ROW, NO_TIME):
            raise ValueError("order_values and order_format describe a column: expected one in order_by")
        if self.order_values and self.order_format:
            raise ValueError("expected either order_values or order_format")
        self._refuse_unknown_of_experiment(learned)
        if self.outcome is not None and not (self.outcome_true and self.outcome_false):
            raise ValueError("expected outcome_true and outcome_false beside outcome")
        return self

    def _refuse_unknown_of_experiment(self, learned: list[str]) -> None:
        """Raise ValueError where the test is told by a column that is no attribute known before it."""
        test = self.experiment
        if test is None:
            return
        for column in (*test.segments, *test.covariates):
            if column not in learned:
                raise ValueError(f"experiment: {column} is no attribute: expected one that was known before the arm")
        for column in (test.arm, *test.outcomes):
            if column in learned:
                raise ValueError(f"experiment: {column} is an attribute, and an arm or an outcome cannot be one")

    def declared(self) -> frozenset[str]:
        """Every column this mapping says something about."""
        return frozenset(self._declared())

    def _declared(self) -> Iterator[str]:
        yield from (self.lead_id, self.order_by, *self.ignored, *self.after_outcome, *self.fields.values())
        yield from (attribute.column for attribute in self.attributes)
        yield from (record.column for record in self.records if record.column is not None)
        if self.outcome is not None:
            yield self.outcome
        if self.experiment is not None:
            yield from (self.experiment.arm, *self.experiment.outcomes)
