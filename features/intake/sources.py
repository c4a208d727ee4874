"""Files become encoded tables: Parquet, CSV or JSON lines, one file, folder or pattern for each table.

DuckDB reads, checks and encodes (a code is a join with the distinct spellings); numpy removes duplicates. Nothing is
dropped in silence: every row is used, rejected with a reason, or a duplicate, and every unknown column is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.content import Asset
from configs.errors import InputInvalid
from configs.settings import Settings
from configs.vocabulary import YES_NO, Vocabularies
from features.encode import ALLOWING, STRICTER
from features.intake.feed import LOST, complete_as_of, missing_stops
from features.intake.linked import linked_ids, linked_rows, together
from features.intake.scan import SUFFIXES, Source, connect, files_of, literal, open_source, quoted, readable
from features.intake.settle import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_LEAD,
    Counts,
    buckets_of,
    finish,
    localized,
    number_messages,
    objects,
    parts_of,
    root_of,
)
from features.intake.titles import Titles
from features.layout import LAYOUTS, NOTHING, UNREADABLE, Column
from features.tables import UNKNOWN_INSTANT, Tables, microseconds

_UNKNOWN_SQL = f"CAST('{UNKNOWN_INSTANT}' AS BIGINT)"
_STRAYS = "stops of nobody we can name: the suppression feed counts as incomplete"
_FILE_STEMS = {**{table: table for table in LAYOUTS}, "campaigns": "campaigns", "assets": "assets"}


@dataclass(frozen=True, slots=True)
class Intake:
    """What was read: encoded tables, rows that could not be used and why, and everything else worth knowing.

    `extras` are columns no table knows, `unmapped` how many values of a column no vocabulary knows (they count as
    unknown), `flagged` how many rows are used although something about them is odd.
    """

    tables: Tables
    rejects: pa.Table
    counts: Mapping[str, Counts]
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unmapped: Mapping[str, int] = field(default_factory=dict)
    flagged: Mapping[str, int] = field(default_factory=dict)
    order: NDArray[np.float64] | None = None
    outcome: NDArray[np.uint8] | None = None


def find_files(data: Path | None, given: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Where each table is: the given paths first, then `NAME.parquet|csv|jsonl` or a folder `NAME` below `data`."""
    found = dict(given or {})
    if data is not None:
        if not data.is_dir():
            raise InputInvalid(str(data), "expected a folder with one file or folder for each table")
        for table in _FILE_STEMS:
            if table in found:
                continue
            here = [data / f"{table}{suffix}" for suffix in SUFFIXES if (data / f"{table}{suffix}").is_file()]
            here += [data / table] if (data / table).is_dir() else []
            if len(here) > 1:
                raise InputInvalid(str(data), f"expected one source of {table}, found {len(here)}")
            if here:
                found[table] = here[0]
    if "leads" not in found:
        raise InputInvalid(str(data) if data else "input", "expected a leads file (--leads FILE or --data DIR)")
    return found


def read_tables(
    files: Mapping[str, Path],
    settings: Settings,
    *,
    assets: Sequence[Asset] = (),
    partition: tuple[int, int] | None = None,
    as_of: datetime | None = None,
    suppressions_complete_as_of: datetime | None = None,
    suppressions_before: int | None = None,
    memory_limit_mb: int | None = None,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
) -> Intake:
    """Read, check and encode the tables; a table without a file is unknown ({}).

    Args:
        files: table -> file, folder or pattern, as from `find_files`.
        settings: the vocabularies are what matters here.
        assets: the inventory that events and touches refer to.
        partition: (index, count) keeps the leads whose root account falls into that part.
        as_of: whose account a lead and whose child an account was then decides its root; the latest when absent.
        suppressions_complete_as_of: until when the feed is complete; read from the file's own metadata when absent.
        suppressions_before: how many stops an earlier run saw; far fewer now are not believed.
        memory_limit_mb: for DuckDB.
        threads: for DuckDB.
        progress: told the name of each table before it is read.
    """
    with Reading(files, settings, assets=assets, memory_limit_mb=memory_limit_mb, threads=threads) as reading:
        complete = reading.believed(files, settings, suppressions_complete_as_of, suppressions_before)
        index, count = partition or (0, 1)
        reading.partition(count, as_of)
        raw: dict[str, pa.Table] = {}
        for table in reading.sources:
            if progress is not None:
                progress(table)
            raw[table] = reading.rows(table, index if partition else None)
        return reading.assemble(raw, index if partition else None, complete)


class Reading:
    """An open set of files: indexes of leads, accounts and assets, and the query that encodes each table."""

    def __init__(
        self,
        files: Mapping[str, Path],
        settings: Settings,
        *,
        assets: Sequence[Asset],
        memory_limit_mb: int | None,
        threads: int,
        spill: Path | None = None,
    ) -> None:
        if "leads" not in files:
            raise InputInvalid("input", "expected a leads file (--leads FILE or --data DIR)")
        paths = {table: files[table] for table in LAYOUTS if table in files}
        listed = [file for table, path in paths.items() for file in files_of(table, path)]
        self.vocabularies = settings.vocabularies
        self.titles = Titles(settings.vocabularies)
        self.asset_ids = [asset.asset_id for asset in assets]
        self.con = connect(listed, memory_limit_mb=memory_limit_mb, threads=threads, spill=spill)
        self.sources: dict[str, Source] = {}
        self.unmapped: dict[str, int] = {}
        for table, path in paths.items():
            self.sources[table] = open_source(self.con, LAYOUTS[table], path)
        self._index()
        self.strays, self.lost = self._strays(), 0

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.con.close()

    def believed(
        self, files: Mapping[str, Path], settings: Settings, given: datetime | None, before: int | None
    ) -> int:
        """Until when the feed of stops is complete, unknown where too many of its rows are gone."""
        self.lost = missing_stops(self.con, self.sources.get("suppressions"), files, before, settings.quality)
        return UNKNOWN_INSTANT if self.lost else complete_as_of(files, given)

    def _linked(self) -> tuple[str, ...]:
        """SQL of the ids that only links know and that they connect with a lead: a CRM deletes the row it merged."""
        if "links" not in self.sources:
            return ()
        with readable(self.sources["links"].files[0]):
            self.con.register("ids_linked", linked_ids(self.con, self.sources["links"], self.sources["leads"]))
        return ("SELECT id FROM ids_linked",)

    def _ids(self, name: str, column: str, sources: Sequence[tuple[str, str]], others: Sequence[str] = ()) -> pa.Array:
        parts = [
            f"SELECT {quoted(f)} AS id FROM {self.sources[table].relation} WHERE _bad = 0 AND {quoted(f)} IS NOT NULL"
            for table, f in sources
            if table in self.sources and f in self.sources[table].fields
        ]
        union = " UNION ALL ".join([*parts, *others]) or "SELECT NULL::VARCHAR AS id WHERE false"
        # Sorted, so that the order of rows in the files decides nothing.
        self.con.execute(
            f"CREATE TEMP TABLE {name} AS SELECT id, CAST(row_number() OVER (ORDER BY id) - 1 AS INTEGER) AS {column} "
            f"FROM (SELECT DISTINCT id FROM ({union}))"
        )
        return self.con.sql(f"SELECT id FROM {name} ORDER BY {column}").to_arrow_table()["id"].combine_chunks()

    def _index(self) -> None:
        with readable(self.sources["leads"].files[0]):
            self.lead_ids = self._ids("lead_ids", "lead", [("leads", "lead_id")], self._linked())
            self.account_ids = self._ids(
                "account_ids",
                "account",
                [("accounts", "account_id"), ("accounts", "parent_account_id"), ("leads", "account_id")],
            )
        self.segment_ids = self._ids("segment_ids", "segment", [("memberships", "segment_id")])
        listed = pa.table(
            {"id": pa.array(self.asset_ids, pa.string()), "asset": np.arange(len(self.asset_ids), dtype=np.int32)}
        )
        self.con.register("asset_given", listed)
        self.con.execute("CREATE TEMP TABLE asset_ids AS SELECT * FROM asset_given")
        for source in self.sources.values():
            with readable(source.files[0]):
                for column in source.layout.of_kind("code", "yesno"):
                    if column.field in source.fields:
                        self._spellings(source, column)

    def _strays(self) -> int:
        """Rows that may stop somebody and do not say whom: any lead may be the one."""
        found = 0
        for table in ("suppressions", "consents"):
            source = self.sources.get(table)
            if source is None:
                continue
            allows = "false"
            if "status" in source.fields:
                code = self.vocabularies["consent_status"].code
                listed = ", ".join(str(code(status)) for status in ALLOWING)
                allows = (
                    f"CAST(status AS VARCHAR) IN (SELECT spelling FROM code_{table}_status WHERE code IN ({listed}))"
                )
            with readable(source.files[0]):
                query = f"SELECT count(*) FROM {source.relation} WHERE _bad > 0 AND coalesce(NOT {allows}, true)"
                found += int(self.con.sql(query).fetchall()[0][0]) + len(source.unreadable)
        return found

    def _spellings(self, source: Source, column: Column) -> None:
        """Map the distinct spellings of a column to codes: the only place where text meets a vocabulary."""
        found = self.con.sql(
            f"SELECT CAST({quoted(column.field)} AS VARCHAR) AS spelling, count(*) AS rows FROM {source.relation} "
            f"WHERE {quoted(column.field)} IS NOT NULL GROUP BY 1"
        ).to_arrow_table()
        spellings = found["spelling"].to_pylist()
        codes = np.array(codes_of(self.vocabularies, column, spellings), dtype=np.uint8)
        unmapped = int(found["rows"].to_numpy()[codes == 0].sum()) if len(codes) else 0
        if unmapped:
            self.unmapped[f"{source.layout.table}.{column.field}"] = unmapped
        name = f"code_{source.layout.table}_{column.field}"
        self.con.register(f"given_{name}", pa.table({"spelling": pa.array(spellings, pa.string()), "code": codes}))
        self.con.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM given_{name}")

    def partition(self, count: int, as_of: datetime | None) -> None:
        """Assign each lead and account to one of `count` parts by its root account."""
        leads, accounts = len(self.lead_ids), len(self.account_ids)
        account_of = self._current("leads", "lead_id", "account_id", "lead_ids", "lead", leads, as_of)
        parent_of = self._current(
            "accounts", "account_id", "parent_account_id", "account_ids", "account", accounts, as_of
        )
        root = root_of(parent_of)
        bucket, own = buckets_of(self.account_ids)[root], buckets_of(self.lead_ids)
        self.lead_bucket = np.where(account_of >= 0, bucket[account_of], own) if accounts else own
        if "links" in self.sources:
            pairs = linked_rows(self.con, self.sources["links"])
            bucket, self.lead_bucket = together(pairs, root, account_of, bucket, self.lead_bucket)
        self.account_part, self.lead_part = parts_of(bucket, count), parts_of(self.lead_bucket, count)
        for table, column, part in (
            ("lead_ids", "lead", self.lead_part),
            ("account_ids", "account", self.account_part),
        ):
            given = pa.table({"row": np.arange(len(part), dtype=np.int32), "part": part.astype(np.int32)})
            self.con.register("given_part", given)
            self.con.execute(
                f"CREATE OR REPLACE TEMP TABLE {table}_part AS SELECT t.id, t.{column}, p.part FROM {table} t "
                f"JOIN given_part p ON p.row = t.{column}"
            )
            self.con.unregister("given_part")

    def _current(
        self, table: str, key: str, value: str, index: str, column: str, size: int, as_of: datetime | None
    ) -> NDArray[np.int64]:
        """Row of the account each id pointed to in its version known at `as_of`, -1 where none."""
        current = np.full(size, -1, dtype=np.int64)
        source = self.sources.get(table)
        if source is None or value not in source.fields:
            return current
        recorded = _recorded(source)
        until = f"AND {recorded} <= {microseconds(as_of)}" if as_of is not None else ""
        rows = self.con.sql(
            f"SELECT i.{column} AS row, arg_max(a.account, ({recorded}, coalesce(s.{quoted(value)}, ''))) AS account "
            f"FROM (SELECT * FROM {source.relation} WHERE _bad = 0) s JOIN {index} i ON i.id = s.{quoted(key)} "
            f"LEFT JOIN account_ids a ON a.id = s.{quoted(value)} WHERE true {until} GROUP BY 1"
        ).to_arrow_table()
        known = rows["account"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        current[rows["row"].to_numpy()] = known
        return current

    def row_count(self) -> int:
        """Rows of all tables, as the files say."""
        counted = [f"SELECT count(*) AS n FROM {source.relation}" for source in self.sources.values()]
        return int(self.con.sql(f"SELECT sum(n) FROM ({' UNION ALL '.join(counted)})").fetchall()[0][0])

    def query(self, table: str) -> str:
        """SQL of a table's encoded columns with `_at`, `_bad` and `_part`."""
        source, layout = self.sources[table], LAYOUTS[table]
        select, joins = ["s._at"], []
        bad = ["WHEN s._bad > 0 THEN s._bad"]
        parts: list[str] = []
        for number, column in enumerate(layout.columns):
            if column.field not in source.fields or column.kind == "dropped":
                continue
            name, alias = f"s.{quoted(column.field)}", f"j{number}"
            if column.kind in ("code", "yesno"):
                code = f"code_{table}_{column.field}"
                joins.append(f"LEFT JOIN {code} {alias} ON {alias}.spelling = CAST({name} AS VARCHAR)")
                expression = f"coalesce({alias}.code, 0)::UTINYINT"
                if layout.is_limit(column):
                    given = f"trim(coalesce({name}, '')) <> ''"
                    expression = (
                        f"CASE WHEN {expression} = 0 AND {given} THEN {UNREADABLE} ELSE {expression} END::UTINYINT"
                    )
                elif table == "consents" and column.field == "status":
                    # A consent of which something cannot be read allows nothing; what it stops it still stops.
                    listed = ", ".join(str(self.vocabularies[column.vocabulary].code(s)) for s in ALLOWING)
                    unread = f"s._odd > 0 AND {expression} IN ({listed})"
                    expression = f"CASE WHEN {unread} THEN 0 ELSE {expression} END::UTINYINT"
            elif column.kind == "instant":
                expression = _recorded(source) if column.field == "recorded_at" else f"coalesce({name}, {_UNKNOWN_SQL})"
            elif column.kind == "present":
                expression = f"(CASE WHEN lower(trim({name})) NOT IN {NOTHING} THEN 2 ELSE 1 END)::UTINYINT"
            elif column.kind == "identity" or column.to == "case":
                expression = f"hash({name})"
            elif column.to == "message":
                expression = f"CASE WHEN {name} IS NULL THEN 0 ELSE hash({name}) END"  # DuckDB hashes NULL to a number
            elif column.kind == "reference":
                index = f"{column.to}_ids_part" if column.to in ("lead", "account") else f"{column.to}_ids"
                joins.append(f"LEFT JOIN {index} {alias} ON {alias}.id = {name}")
                expression = f"coalesce({alias}.{column.to}, -1)::INTEGER"
                if column.to == "lead":
                    bad.append(f"WHEN {name} IS NOT NULL AND {alias}.id IS NULL THEN {UNKNOWN_LEAD}")
                    parts.insert(0, f"{alias}.part")
                elif column.name == "account" and table in ("accounts", "suppressions"):
                    parts.append(f"{alias}.part")
                    if table == "suppressions":
                        alone = "s.lead_id IS NULL AND" if "lead_id" in source.fields else ""
                        bad.append(f"WHEN {alone} {name} IS NOT NULL AND {alias}.id IS NULL THEN {UNKNOWN_ACCOUNT}")
            elif column.kind in ("number", "count"):
                expression = (
                    f"coalesce({name}, {-1 if column.kind == 'count' else 'CAST(' + literal('nan') + ' AS DOUBLE)'})"
                )
            else:
                expression = name
            select.append(f"{expression} AS {quoted(column.name)}")
        if "recorded_at" not in source.fields and any(c.field == "recorded_at" for c in layout.columns):
            select.append(f"{_recorded(source)} AS recorded_at")
        select.append(f"(CASE {' '.join(bad)} ELSE 0 END)::UTINYINT AS _bad")
        if table in STRICTER:
            select.append("s._odd")
        select.append(f"coalesce({', '.join([*parts, '0'])})::INTEGER AS _part")
        return f"SELECT {', '.join(select)} FROM {source.relation} s {' '.join(joins)}"

    def rows(self, table: str, part: int | None) -> pa.Table:
        """All encoded rows of a table, or of one part."""
        where = "" if part is None else f" WHERE _part = {int(part)}"
        with readable(self.sources[table].files[0]):
            return self.con.sql(f"SELECT * FROM ({self.query(table)}){where}").to_arrow_table()

    def assemble(self, raw: Mapping[str, pa.Table], part: int | None, complete: int) -> Intake:
        """Encoded tables of what was read, rows checked against each other, references made local to the part."""
        finished = {table: finish(self.sources[table], rows, first=not part) for table, rows in raw.items()}
        columns: dict[str, Any] = {table: done.columns for table, done in finished.items()}
        number_messages(columns)
        lead_ids, account_ids = self.lead_ids, self.account_ids
        if part is not None:
            lead_ids = localized(columns, ("lead", "other"), self.lead_part == part, lead_ids)
            account_ids = localized(columns, ("account", "parent"), self.account_part == part, account_ids)
        self.titles.complete(columns["leads"])
        odd = {} if part else {_STRAYS: self.strays, LOST: self.lost}
        tables = Tables(
            lead_ids=objects(lead_ids),
            account_ids=objects(account_ids),
            asset_ids=objects(pa.array(self.asset_ids, pa.string())),
            suppressions_complete_as_of=complete if "suppressions" in raw and not self.strays else UNKNOWN_INSTANT,
            segment_ids=objects(self.segment_ids),
            **{table: columns.get(table, {}) for table in LAYOUTS},
        )
        return Intake(
            tables,
            pa.concat_tables([done.rejects for done in finished.values()]),
            {table: done.counts for table, done in finished.items()},
            {table: source.extras for table, source in self.sources.items() if source.extras},
            dict(self.unmapped),
            {
                text: n
                for flagged in (*(done.flagged for done in finished.values()), odd)
                for text, n in flagged.items()
                if n
            },
        )


def codes_of(vocabularies: Vocabularies, column: Column, spellings: Sequence[str]) -> list[int]:
    """The code that each spelling of a column has; what buckets keep is used again only while these hold."""
    vocabulary = YES_NO if column.kind == "yesno" else vocabularies[column.vocabulary]
    return [vocabulary.code(text) for text in spellings]


def _recorded(source: Source) -> str:
    """SQL of when a row was learned of: as recorded, else its own time, else always known."""
    names = [name for name in ("recorded_at", source.layout.own_time) if name is not None and name in source.fields]
    return f"coalesce({', '.join([*(f's.{quoted(name)}' for name in names), '0'])})"
