"""Records that the rows of an export stand for: one relation for each record of a mapping, and what became of each row.

INVARIANT: a row is used, rejected with one reason, or a duplicate; what stops somebody is kept wherever its lead is
named, also from a row that is rejected, left out on purpose or in conflict with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import duckdb

from configs.errors import ConfigInvalid, Problem
from configs.exports import Cell, ExportMapping, Join, RecordFrom
from features.encode import ALLOWING, STRICTER
from features.intake.exports.cells import (
    SQL_TYPES,
    Expression,
    Field,
    Resolve,
    cell_sql,
    condition_sql,
    fields_of,
    step,
)
from features.intake.exports.inputs import FIRST_SKIP, NO_KEY, Input
from features.intake.staging import literal, quoted
from features.records import TABLES

CONFLICT = "another row with the same key has other content"
# What names the one who is stopped; without it a row can stop nobody.
_NAMES = {"suppressions": (), "consents": ("lead_id",), "cases": ("lead_id", "case_id")}
_NO_LONGER, _UNREADABLE = "none", "withdrawn"


@dataclass(frozen=True, slots=True)
class Made:
    """The relation of one record: its fields, `_at`, `_bad` (reason, 0 none), `_odd` and `_strange_FIELD`."""

    table: str
    relation: str
    fields: tuple[str, ...]
    strange: tuple[str, ...]
    stub: bool
    unmatched: str | None


@dataclass(slots=True)
class Reasons:
    """Reasons for which rows of one input cannot be used, as (column, reason) with codes from 1."""

    listed: list[tuple[str, str]] = field(default_factory=list)

    def code(self, column: str, reason: str) -> int:
        """The code of a reason."""
        if (column, reason) not in self.listed:
            self.listed.append((column, reason))
        return self.listed.index((column, reason)) + 1


def check_mapping(mapping: ExportMapping, file: str) -> None:
    """Raise ConfigInvalid with every record whose table or field does not exist or that lacks what it must have."""
    problems: list[Problem] = []
    for name, table in mapping.tables.items():
        for place, record in enumerate(table.records):
            key = f"tables.{name}.records.{place}"
            if record.table not in TABLES or record.table == "memberships":
                listed = ", ".join(known for known in TABLES if known != "memberships")
                problems.append(Problem(file, f"{key}.table", f"expected one of {listed}"))
                continue
            fields = fields_of(record.table)
            problems += [
                Problem(file, f"{key}.fields.{unknown}", f"{record.table} has no field of this name")
                for unknown in sorted(set(record.fields) - set(fields))
            ]
            needed = [f.name for f in fields.values() if f.required] + ["status"] * (record.table == "consents")
            problems += [
                Problem(file, f"{key}.fields", f"expected {missing}, which {record.table} must have")
                for missing in needed
                if missing not in record.fields
            ]
            if record.table == "suppressions" and not {"lead_id", "account_id"} & set(record.fields):
                problems.append(Problem(file, f"{key}.fields", "expected lead_id or account_id"))
            problems += [
                Problem(file, f"{key}.fields.{field_}", wrong)
                for field_, cell in record.fields.items()
                if field_ in fields and (wrong := _wrong(fields[field_], cell))
            ]
    if problems:
        raise ConfigInvalid(problems)


def _wrong(field: Field, cell: Cell) -> str | None:
    """What is wrong with a cell for a field, None where nothing is."""
    if field.name.endswith("_hash") and cell.hash is None:
        return "expected hash: email, phone or name; what names a person never stands in a table in the clear"
    if cell.hash is not None and field.kind != "id":
        return "expected hash on an id or a hash field"
    if field.name == "status" and cell.value is None and not cell.values:
        return "expected a constant, or values that say what each spelling means"
    if field.kind == "yesno" and not isinstance(cell.value, bool | None):
        return "expected true or false"
    if field.kind == "instant" and cell.value is not None:
        return "expected a column: an instant is not a constant"
    if field.kind != "instant" and cell.time not in ("instant", "date"):
        return f"{field.name} is not an instant"
    if field.kind == "number" and (isinstance(cell.value, bool | str) or cell.values or cell.hash):
        return "expected a number"
    return None


def make_record(
    con: duckdb.DuckDBPyConnection,
    mapping: ExportMapping,
    own: Input,
    inputs: Mapping[str, Input],
    record: RecordFrom,
    reasons: Reasons,
    relation: str,
    *,
    left_out: bool = False,
) -> Made | None:
    """Make the relation of one record, of the rows that a mapping skips with `left_out`.

    None where the export does not have the table that it joins.
    """
    joined = None
    if record.join is not None:
        joined = inputs.get(record.join.table)
        if joined is None and not record.join.optional:
            return None

    def resolve(column: str, of: str | None) -> str | None:
        source, alias = (own, "r") if of is None or of == own.name else (joined, "j")
        found = None if source is None else source.resolve(column)
        return None if found is None else f"{alias}.{found}"

    strict = record.table in STRICTER
    cells = {
        name: _read(record.table, found, record.fields[name], mapping.zone, resolve)
        for name, found in fields_of(record.table).items()
        if name in record.fields
    }
    mine = [condition_sql(one, resolve) for one in record.when if one.of is None or one.of == own.name]
    theirs = [condition_sql(one, resolve) for one in record.when if not (one.of is None or one.of == own.name)]
    taken = f"r._skip >= {FIRST_SKIP}" if left_out else f"r._skip = 0 AND r._dup IN {'(0, 2)' if strict else '(0)'}"
    where = " AND ".join([taken, *mine])
    source, unmatched = f"{own.rows} r", None
    if record.join is not None and joined is not None:
        match = _match(record.join, own, joined)
        kind = "LEFT JOIN" if record.join.optional else "JOIN"
        source = f"{own.rows} r {kind} {joined.latest} j ON {match}"
        if not record.join.optional:
            code = reasons.code(record.join.column[0], f"no row of {joined.name} has this value")
            absent = f"NOT EXISTS (SELECT 1 FROM {joined.latest} j WHERE {match})"
            unmatched = f"SELECT r._at, {code} AS code FROM {own.rows} r WHERE {where} AND {absent}"
    given = [f"{cell.given} AS {step('given', name)}" for name, cell in cells.items()]
    inner = f"SELECT {', '.join(['r._at', 'r._dup', *given])} FROM {source} WHERE {' AND '.join([where, *theirs])}"
    for kind_of in ("text", "value"):
        steps = [f"{getattr(cell, kind_of)} AS {step(kind_of, name)}" for name, cell in cells.items()]
        inner = f"SELECT *, {', '.join(steps)} FROM ({inner})"
    select = ", ".join(_checked(record.table, cells, reasons))
    con.execute(f"CREATE TEMP TABLE {relation} AS SELECT _at, _dup, {select} FROM ({inner})")
    return Made(record.table, relation, tuple(cells), tuple(cells), record.stub, unmatched)


def _checked(table: str, cells: Mapping[str, Expression], reasons: Reasons) -> list[str]:
    """SQL of the fields of a record, and of what is wrong with it, from the steps of its cells."""
    fields, strict = fields_of(table), table in STRICTER
    bad: list[str] = []
    odd: list[str] = []
    values: dict[str, str] = {}
    for name, cell in cells.items():
        value = step("value", name)
        if strict and name not in _NAMES[table]:
            wrong = " OR ".join(f"({test})" for test, _ in cell.tests)
            values[name] = f"CASE WHEN {wrong} THEN NULL ELSE {value} END" if wrong else value
            odd += [f"({test})" for test, _ in cell.tests]
        else:
            values[name] = value
            bad += [f"WHEN {test} THEN {reasons.code(cell.column, reason)}" for test, reason in cell.tests]
    if table == "suppressions":
        named = [name for name in ("lead_id", "account_id") if name in values]
        column = cells[named[0]].column
        nobody = " AND ".join(f"({values[name]}) IS NULL" for name in named)
        bad.append(f"WHEN {nobody} THEN {reasons.code(column, f'missing {column}')}")
    unread = f"coalesce({' OR '.join(odd) or 'false'}, false)"
    if table == "consents":
        # INVARIANT: a consent of which something cannot be read allows nothing.
        allowing = f"{values['status']} IN ({', '.join(map(literal, ALLOWING))})"
        values["status"] = f"CASE WHEN {unread} AND {allowing} THEN {literal(_NO_LONGER)} ELSE {values['status']} END"
    case = f"CASE {' '.join(bad)} ELSE 0 END" if bad else "0"
    return [
        *(f"CAST({value} AS {SQL_TYPES[fields[name].kind]}) AS {quoted(name)}" for name, value in values.items()),
        f"CAST({case} AS USMALLINT) AS _bad",
        f"{unread} AS _odd",
        *(f"coalesce({cell.strange}, false) AS {quoted('_strange_' + name)}" for name, cell in cells.items()),
    ]


def _match(join: Join, own: Input, joined: Input) -> str:
    mine = [f"r.{found}" for name in join.column if (found := own.resolve(name)) is not None]
    theirs = [f"j.{found}" for name in join.to if (found := joined.resolve(name)) is not None]
    if not mine or not theirs:
        return "false"
    left = mine[0] if len(mine) == 1 else f"coalesce({', '.join(mine)})"
    right = theirs[0] if len(theirs) == 1 else f"coalesce({', '.join(theirs)})"
    return f"lower({left}) = lower({right})" if join.fold else f"{left} = {right}"


def _read(table: str, field: Field, cell: Cell, zone: str | None, resolve: Resolve) -> Expression:
    """The expression of a cell, read the stricter way where its table stops somebody."""
    if table == "consents" and field.name == "status" and cell.values and cell.otherwise is None:
        # INVARIANT: a statement about consent that cannot be read takes it back.
        cell = cell.model_copy(update={"otherwise": _UNREADABLE})
    found = cell_sql(field, cell, zone, resolve)
    if table == "consents" and field.name == "product":
        # A limit that no vocabulary knows stays a limit: the text itself is one that nobody meets.
        return replace(found, text=f"coalesce({found.text}, {step('given', field.name)})")
    return found


def settle(
    con: duckdb.DuckDBPyConnection, own: Input, made: list[Made], reasons: Reasons, prefix: str
) -> tuple[str, str]:
    """Decide what became of each row: relations of the rejected (`_at`, `code`) and of those with records (`_at`)."""
    rejected, yielded = f"rejected_{prefix}", f"yielded_{prefix}"
    key = reasons.code(next(iter(own.columns), ""), "the row has no key")
    conflict = reasons.code("", CONFLICT)
    good = [f"SELECT _at FROM {one.relation} WHERE {_keeps(one)}" for one in made]
    con.execute(
        f"CREATE TEMP TABLE {yielded} AS SELECT DISTINCT _at FROM "
        f"({' UNION ALL '.join(good) or 'SELECT 0::BIGINT AS _at WHERE false'})"
    )
    parts = [f"SELECT _at, {key} AS code FROM {own.rows} WHERE _skip = {NO_KEY}"]
    parts += [f"SELECT _at, _bad AS code FROM {one.relation} WHERE _bad > 0 AND _dup = 0" for one in made]
    parts += [
        f"SELECT _at, code FROM ({one.unmatched}) WHERE _at NOT IN (SELECT _at FROM {yielded})"
        for one in made
        if one.unmatched is not None
    ]
    parts.append(
        f"SELECT _at, {conflict} AS code FROM {own.rows} WHERE _dup = 2 AND _at NOT IN (SELECT _at FROM {yielded})"
    )
    con.execute(
        f"CREATE TEMP TABLE {rejected} AS SELECT _at, CAST(min(code) AS INTEGER) AS code FROM "
        f"({' UNION ALL '.join(parts)}) GROUP BY _at"
    )
    return rejected, yielded


def _keeps(made: Made) -> str:
    """SQL of which rows of a record's relation are records, before rows rejected for another record are taken out."""
    stops = "_dup = 0"
    if made.table in STRICTER:
        stops = "true"
    if made.table == "consents":
        # INVARIANT: of two rows that contradict each other only what stops somebody is taken of both.
        listed = ", ".join(map(literal, ALLOWING))
        stops = f"(_dup = 0 OR coalesce(status, '') NOT IN ({listed}))"
    return f"_bad = 0 AND {stops}"


def records_sql(made: Made, rejected: str) -> str:
    """SQL of the records that one relation gives."""
    listed = ", ".join(map(quoted, made.fields))
    where = _keeps(made)
    if made.table not in STRICTER:
        where += f" AND _at NOT IN (SELECT _at FROM {rejected})"
    return f"SELECT {listed} FROM {made.relation} WHERE {where}"
