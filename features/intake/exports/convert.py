"""The inputs of one export: staged from files, a database or another shape, made records of, and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from configs.errors import InputInvalid
from configs.exports import ExportMapping, RecordFrom
from features.encode import STRICTER
from features.intake.exports.databases import is_database, opened
from features.intake.exports.inputs import FIRST_SKIP, NO_KEY, Input, find_relations, matched, open_input, stage_files
from features.intake.exports.records import Made, Reasons, make_record, records_sql, settle
from features.intake.exports.shapes import SHAPES, stage_shape
from features.intake.exports.staged import Staged
from features.intake.scan import readable
from features.intake.staging import FILE_BITS, quoted

REJECTS = pa.schema([("file", pa.string()), ("line", pa.int64()), ("column", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True)
class Export:
    """One export to read: its mapping, the file the mapping came from, and the folder or database."""

    mapping: ExportMapping
    mapping_file: str
    where: str


@dataclass(frozen=True, slots=True)
class InputCounts:
    """Rows of one input table. INVARIANT: used + rejected + duplicate = read. `silent` of the used say nothing."""

    read: int
    used: int
    silent: int
    rejected: int
    duplicate: int


@dataclass(slots=True)
class Work:
    """What is gathered while the inputs are read, in their order."""

    records: dict[str, list[str]] = field(default_factory=dict)
    stubs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    fields: dict[str, set[str]] = field(default_factory=dict)
    rejects: list[pa.Table] = field(default_factory=list)
    counts: dict[str, InputCounts] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    unmapped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    lost_stops: int = 0
    recorded: dict[int, list[str]] = field(default_factory=dict)


def stage(
    con: duckdb.DuckDBPyConnection,
    export: Export,
    files: Mapping[str, tuple[Path, ...]],
    place: int,
    as_of: datetime | None,
    environment: Mapping[str, str],
    open_: ExitStack,
    progress: Callable[[str], None] | None,
) -> dict[str, Input]:
    """Stage every table of the mapping that an export has; a table it does not have is left out."""
    mapping, inputs = export.mapping, {}
    database = open_.enter_context(opened(export.where, environment)) if is_database(export.where) else None
    relations = find_relations(mapping, database) if database is not None else {}
    shapes: dict[str, Staged] = {}
    if database is None and mapping.format in SHAPES:
        shapes = stage_shape(con, f"shape_{place}", mapping, Path(export.where), as_of)
    for name in mapping.tables:
        if not any(name in there for there in (files, relations, shapes)):
            continue
        if progress is not None:
            progress(f"{mapping.name}.{name}")
        raw, wanted = f"raw_{place}_{name}", mapping.columns_of(name)
        if database is not None:
            # Only what the mapping reads leaves the database.
            there = matched(wanted, database.tables[relations[name]].columns, database.shown)
            staged = database.stage(con, raw, relations[name], columns=tuple(there.values()))
        elif name in shapes:
            staged = shapes[name]
        else:
            staged = stage_files(con, raw, files[name], wanted, mapping.delimiter)
        inputs[name] = open_input(con, mapping, name, staged, f"{place}_{name}")
    return inputs


def is_folder(export: Export) -> bool:
    """Whether an export is files whose tables go by their names."""
    return not is_database(export.where) and export.mapping.format not in SHAPES


def convert(
    con: duckdb.DuckDBPyConnection, export: Export, inputs: Mapping[str, Input], place: int, work: Work
) -> None:
    """Make the records of every table, in the order of the mapping, and count what became of its rows."""
    mapping = export.mapping
    for name, table in mapping.tables.items():
        full = f"{mapping.name}.{name}"
        own = inputs.get(name)
        if own is None:
            work.absent.append(full)
            continue
        prefix, reasons, made = f"{place}_{name}", Reasons(), list[Made]()
        with readable(own.staged.files[0]):
            for number, record in enumerate(table.records):
                relation = f"record_{prefix}_{number}"
                one = make_record(con, mapping, own, inputs, record, reasons, relation)
                if one is None and record.join is not None:
                    work.notes[f"{full}: not joined, the export has no {record.join.table}"] = own.read
                elif one is not None:
                    made.append(one)
                    _warned(full, own, inputs, record, work)
            rejected, yielded = settle(con, own, made, reasons, prefix)
            for one in made:
                statement = records_sql(one, rejected)
                if one.stub:
                    work.stubs.append(statement)
                else:
                    work.records.setdefault(one.table, []).append(statement)
                work.fields.setdefault(one.table, set()).update(one.fields)
                if "recorded_at" in one.fields:
                    work.recorded.setdefault(place, []).append(f"SELECT recorded_at FROM ({statement})")
                _noted(con, full, one, rejected, work)
            for number, record in enumerate(table.records if table.skip else ()):
                if record.table == "suppressions":
                    _left_out(con, mapping, own, inputs, record, f"left_out_{prefix}_{number}", work)
            _counted(con, full, own, [skip.reason for skip in table.skip], reasons, rejected, yielded, work)
        if any(record.table == "suppressions" for record in table.records):
            nameless = f"SELECT count(*) FROM {own.rows} WHERE _skip = {NO_KEY}"
            work.lost_stops += len(own.staged.unreadable) + count_of(con, nameless)
        work.files += own.staged.files


def _warned(full: str, own: Input, inputs: Mapping[str, Input], record: RecordFrom, work: Work) -> None:
    """Note a stop whose column the export lacks: a CRM hides columns from users who may not see them."""
    for condition in record.when if record.table == "suppressions" else ():
        source = own if condition.of in (None, own.name) else inputs.get(condition.of)
        if source is not None and not any(source.resolve(name) for name in condition.columns()):
            lacking = f"{full} -> suppressions: there is no column {condition.columns()[0]}, so nobody is stopped by it"
            work.notes[lacking] = own.read
            work.lost_stops += 1


def _left_out(
    con: duckdb.DuckDBPyConnection,
    mapping: ExportMapping,
    own: Input,
    inputs: Mapping[str, Input],
    record: RecordFrom,
    relation: str,
    work: Work,
) -> None:
    """Keep the stops of rows that the mapping leaves out: a deleted row may be of somebody who lives on by a merge."""
    made = make_record(con, mapping, own, inputs, record, Reasons(), relation, left_out=True)
    if made is not None and "lead_id" in made.fields:
        work.left_out.append(f"SELECT {', '.join(map(quoted, made.fields))} FROM {relation} WHERE _bad = 0")


def _noted(con: duckdb.DuckDBPyConnection, full: str, made: Made, rejected: str, work: Work) -> None:
    """Count what was given and not understood, what is read the stricter way, and stops of nobody."""
    sums = ", ".join(
        f"count(*) FILTER (WHERE {quoted('_strange_' + name)} AND _bad = 0)::BIGINT" for name in made.strange
    )
    odd, lost, *strange = con.sql(
        f"SELECT count(*) FILTER (WHERE _odd AND _bad = 0), count(*) FILTER (WHERE _bad > 0){', ' if sums else ''}"
        f"{sums} FROM {made.relation}"
    ).fetchall()[0]
    for name, count in zip(made.strange, strange, strict=True):
        noted(work.unmapped, f"{full} -> {made.table}.{name}", count)
    noted(work.notes, f"{full} -> {made.table}: something unreadable, read the stricter way", odd)
    if made.table in STRICTER:
        if made.unmatched is not None:
            query = f"SELECT count(*) FROM ({made.unmatched}) WHERE _at IN (SELECT _at FROM {rejected})"
            lost += count_of(con, query)
        noted(work.notes, f"{full} -> {made.table}: says nobody's name, so nobody is stopped by it", lost)
    if made.table == "suppressions":
        work.lost_stops += lost


def _counted(
    con: duckdb.DuckDBPyConnection,
    full: str,
    own: Input,
    skips: Sequence[str],
    reasons: Reasons,
    rejected: str,
    yielded: str,
    work: Work,
) -> None:
    """List the rejected rows of one input and count what became of all."""
    skipped = f"SELECT _at, CAST(_skip AS INTEGER) - {FIRST_SKIP} AS rule FROM {own.rows} WHERE _skip >= {FIRST_SKIP}"
    left = con.sql(f"{skipped} ORDER BY _at").to_arrow_table()
    bad = con.sql(f"SELECT _at, code - 1 AS rule FROM {rejected} ORDER BY _at").to_arrow_table()
    used, silent, twice = con.sql(
        f"SELECT count(*) FILTER (WHERE _used), count(*) FILTER (WHERE _used AND NOT _said), "
        f"count(*) FILTER (WHERE _dup = 1) FROM (SELECT _dup, "
        f"_skip = 0 AND _dup <> 1 AND _at NOT IN (SELECT _at FROM {rejected}) AS _used, "
        f"_at IN (SELECT _at FROM {yielded}) AS _said FROM {own.rows})"
    ).fetchall()[0]
    words = [("", reason) for reason in skips]
    parts = [_listed(own, left, words), _listed(own, bad, reasons.listed)]
    for place, row, column, reason in own.staged.unreadable:
        one = {"file": own.staged.files[place], "line": row, "column": column, "reason": reason}
        parts.append(pa.Table.from_pylist([one], schema=REJECTS))
    listed = pa.concat_tables(parts)
    work.rejects.append(listed)
    read = own.read + len(own.staged.unreadable) + own.staged.duplicates
    counts = InputCounts(read, used, silent, listed.num_rows, twice + own.staged.duplicates)
    if counts.used + counts.rejected + counts.duplicate != counts.read:
        raise InputInvalid(own.staged.files[0], f"the rows of {full} do not add up: {counts}")
    work.counts[full] = counts


def _listed(own: Input, rows: pa.Table, reasons: Sequence[tuple[str, str]]) -> pa.Table:
    at, rule = rows["_at"].to_numpy(), rows["rule"].to_numpy()
    mask = (1 << FILE_BITS) - 1
    files = pa.DictionaryArray.from_arrays(pa.array(at >> FILE_BITS, pa.int32()), pa.array(own.staged.files))
    columns = pa.array([column for column, _ in reasons] or [""])
    words = pa.array([reason for _, reason in reasons] or [""])
    taken = pa.array(rule, pa.int32())
    arrays = [files.cast(pa.string()), pa.array(at & mask, pa.int64()), columns.take(taken), words.take(taken)]
    return pa.Table.from_arrays(arrays, schema=REJECTS)


def count_of(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives."""
    return int(con.sql(query).fetchall()[0][0])


def noted(counter: dict[str, int], what: str, count: int) -> None:
    """Add to what is worth telling, nothing where there is nothing."""
    if count:
        counter[what] = counter.get(what, 0) + int(count)
