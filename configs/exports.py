"""How the tables of a CRM's export become Leadwell's tables, without code and without SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, field_validator, model_validator

from configs.section import Section

Format = Literal["files", "fhir", "cloud_events"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    return {"column": value} if isinstance(value, str | list) else value


# One name or several: the first that has a value in a row counts.
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
# What tells rows apart: each part a name, or several of which the first given counts.
Key = Annotated[tuple[Names, ...], BeforeValidator(_listed)]


def _known_zone(value: str | None) -> str | None:
    try:
        return None if value is None else ZoneInfo(value).key
    except (ValueError, OSError):
        raise ValueError("expected a zone such as UTC or Europe/Berlin") from None


class Cell(Section):
    """What one canonical field holds: a column (the first given of several), a constant, or a column read by a map.

    A plain text or list in YAML is short for `column`. `of` names the joined table whose column it is. `values` maps
    whole spellings, whatever their case; `contains` then looks for parts, in order; what neither knows is `otherwise`,
    else unknown and counted. `hash` gives the keyed hash of an e-mail, phone or name, `domain` the part after the @.
    `time` says how an instant is written, `zone` whose clock it is where it has none: a claim.
    """

    column: Names = ()
    of: str | None = None
    words: tuple[str, ...] = Field(default=(), description="columns joined by blanks, such as first and last name")
    value: str | bool | float | None = None
    values: dict[str, str | bool | None] = Field(default={}, description="spelling -> value")
    contains: dict[str, str] = Field(default={}, description="part of the text -> value")
    otherwise: str | bool | None = None
    prefix: str = ""
    hash: Literal["email", "phone", "name"] | None = None
    domain: bool = False
    time: Literal["instant", "date", "milliseconds", "seconds"] = "instant"
    formats: Names = Field(default=(), description="how a time is written where it is not ISO 8601, as for strptime")
    zone: Annotated[str | None, BeforeValidator(_known_zone)] = None

    @model_validator(mode="after")
    def _one_source(self) -> Cell:
        if sum((bool(self.column), bool(self.words), self.value is not None)) != 1:
            raise ValueError("expected one of column, words and value")
        if self.otherwise is not None and not (self.values or self.contains):
            raise ValueError("expected values or contains beside otherwise")
        return self

    def columns(self) -> tuple[str, ...]:
        """Every column this cell reads."""
        return self.column or self.words


class Condition(Section):
    """Whether a row stands for a record. A row without the value says nothing, and no test but `given: false` holds.

    `flag: true` holds for yes and for whatever cannot be read as yes or no, in any of the columns; `flag: false` for a
    clear no only.
    """

    column: Names
    of: str | None = None
    equals: Names = ()
    unless: Names = ()
    flag: bool | None = None
    given: bool | None = None
    differs_from: str | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        tests = (
            bool(self.equals), bool(self.unless), self.flag is not None, self.given is not None,
            self.differs_from is not None,
        )  # fmt: skip
        if sum(tests) != 1:
            raise ValueError("expected one of equals, unless, flag, given and differs_from")
        return self

    def columns(self) -> tuple[str, ...]:
        """Every column this condition reads."""
        return (*self.column, self.differs_from) if self.differs_from else self.column


class Join(Section):
    """Another table of the export whose rows have in `to` what this one has in `column`: one record for each match.

    A row without a match is rejected, unless `optional`. `fold` compares whatever the case, as e-mails are.
    """

    table: str
    column: Names
    to: Names
    optional: bool = False
    fold: bool = False


class RecordFrom(Section):
    """A canonical record that a row stands for when all of `when` holds.

    `stub` makes a lead of somebody whose own row is not in the export, and of nobody else.
    """

    table: str
    when: tuple[Condition, ...] = ()
    join: Join | None = None
    stub: bool = False
    fields: dict[str, Annotated[Cell, BeforeValidator(_cell)]]

    @model_validator(mode="after")
    def _joined(self) -> RecordFrom:
        joined = None if self.join is None else self.join.table
        for part in self.parts():
            if part.of is not None and part.of != joined:
                raise ValueError(f"of: {part.of} is not the joined table")
        if self.stub and self.table != "leads":
            raise ValueError("expected stub on leads only")
        return self

    def parts(self) -> tuple[Condition | Cell, ...]:
        """Everything that reads a column."""
        return (*self.when, *self.fields.values())


class Skip(Section):
    """Rows left out on purpose; they are counted as rejected with this reason."""

    when: tuple[Condition, ...] = Field(min_length=1)
    reason: str


class ExportTable(Section):
    """One table of the export: which files or database table it is, what tells its rows apart, what they stand for.

    `files` are names without their ending (case and punctuation do not matter) or patterns such as `lead/*/part-*`.
    Two rows of one key and version are one row: the second is a duplicate, or in conflict where its content differs. A
    part of a key may be a list: other names of one column.
    """

    files: Names
    relation: str | None = Field(default=None, description="table of a database, SCHEMA.TABLE; else as files")
    required: bool = False
    key: Key = ()
    version: Key = ()
    skip: tuple[Skip, ...] = ()
    records: tuple[RecordFrom, ...] = ()

    @field_validator("files")
    @classmethod
    def _inside(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(name.startswith("/") or ".." in name.split("/") for name in value):
            raise ValueError("expected names or patterns inside the export's folder")
        return value


class ExportMapping(Section):
    """A CRM's export of many tables. `zone` is whose clock its times show where they do not say: a claim.

    `complete` names the canonical tables of which the export is the whole truth: no row then means "none".
    """

    name: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    says: str
    format: Format = "files"
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    zone: Annotated[str | None, BeforeValidator(_known_zone)] = None
    missing: Names = ("",)
    registries: dict[str, str] = Field(default={}, description="fhir: identifier systems, best first, and a short name")
    codes: dict[str, dict[str, str]] = Field(default={}, description="fhir: by column, `system|code` and its word")
    complete: tuple[Literal["suppressions"], ...] = ()
    tables: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")], ExportTable] = Field(min_length=1)

    @model_validator(mode="after")
    def _joins_exist(self) -> ExportMapping:
        for name, table in self.tables.items():
            for record in table.records:
                if record.join is not None and record.join.table not in self.tables:
                    raise ValueError(f"{name}: join: no table is named {record.join.table}")
        return self

    def columns_of(self, table: str) -> tuple[str, ...]:
        """Every column that anything in this mapping reads of one of its tables, each once."""
        return tuple(dict.fromkeys(self._columns_of(table)))

    def _columns_of(self, table: str) -> Iterator[str]:
        own = self.tables[table]
        for names in (*own.key, *own.version):
            yield from names
        for skip in own.skip:
            for condition in skip.when:
                yield from condition.columns()
        for name, other in self.tables.items():
            for record in other.records:
                if name == table and record.join is not None:
                    yield from record.join.column
                if record.join is not None and record.join.table == table:
                    yield from record.join.to
                for part in record.parts():
                    if (part.of or name) == table:
                        yield from part.columns()
