"""A flat file as columns of text without any mapping, and the mapping to begin with that a look at it suggests.

CSV with any delimiter (also gzipped), JSON lines and Parquet. Nothing is converted: a level stays what the file says.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from configs.errors import InputInvalid
from configs.vocabulary import YES_NO
from features.intake.flat import FlatColumns, level_codes, numbers_of
from features.intake.quality.findings import QualityReport
from features.intake.scan import SUFFIXES, connect, literal, quoted, readable

_DELIMITERS = ",;\t|"
_HEADER_BYTES = 1 << 20
_MAX_COLUMNS = 2000
# Suspicion from which a column is put under after_outcome until a person has looked at it.
LIKELY_AFTER = 0.6


def any_columns(path: Path) -> FlatColumns:
    """Every column of a file as stripped text, None where empty; raises InputInvalid where it cannot be read."""
    if not path.is_file():
        raise InputInvalid(str(path), "expected a CSV, TSV, JSON lines or Parquet file")
    kind = _kind(path)
    con = connect([path], memory_limit_mb=None, threads=2, spill=None)
    try:
        with readable(str(path)):
            table, unreadable = _staged(con, path, kind)
    finally:
        con.close()
    names = tuple(name for name in table.column_names if name != "_at")
    if not names or len(names) > _MAX_COLUMNS:
        raise InputInvalid(str(path), f"expected 1 to {_MAX_COLUMNS} columns")
    texts = {name: _texts(table[name]) for name in names}
    rows = table["_at"].to_numpy()
    flat = FlatColumns(str(path), names, texts, rows, table.num_rows + len(unreadable))
    flat.rejected.update(dict.fromkeys(unreadable, ("", "the row does not fit the header")))
    return flat


def draft_mapping(flat: FlatColumns, report: QualityReport, *, name: str, outcome: str | None) -> str:
    """A source mapping to begin with, as YAML text: types guessed, suspects set aside, ids and constants left out.

    Every guess is for a person to check: what stands under `attributes` is claimed to be known before the outcome.
    """
    suspected = {s.column: s for s in report.suspects if s.strength >= LIKELY_AFTER}
    constant = {c.column for c in report.columns if c.constant or c.distinct == 0}
    ids = [n for n in report.id_like if n != outcome]
    key = ids[0] if ids else flat.names[0]
    order = next((n for n in ids if not numbers_of(flat.texts[n])[1].any()), key)
    lines = [
        f"# Drafted by `leadwell data check --draft-mapping` from {_scalar(Path(flat.file).name)}. Check every line:",
        "# what stands under attributes is learned from, so it must have been known before the outcome.",
        f"name: {_scalar(name)}",
        f"says: {_scalar('FILL IN: what one row is, and which row is older')}",
        f"lead_id: {_scalar(key)}" + ("" if ids else "   # FILL IN: no column looks like an id"),
        f"order_by: {_scalar(order)}   # FILL IN: a number or date that rises with time",
        "as_of: 2000-01-01T00:00:00Z   # FILL IN: when the export was taken",
    ]
    if outcome is not None:
        no, yes = _two_levels(flat, outcome)
        lines += [
            f"outcome: {_scalar(outcome)}",
            f"outcome_true: [{_scalar(yes)}]",
            f"outcome_false: [{_scalar(no)}]",
        ]
    attributes, after, ignored = [], [], []
    for column in flat.names:
        if column in (key, order, outcome):
            continue
        if column in suspected:
            after.append(f"  {_scalar(column)}: {_scalar(suspected[column].evidence[0])}")
        elif column in ids:
            ignored.append(f"  {_scalar(column)}: {_scalar('names a row, says nothing about it')}")
        elif column in constant:
            ignored.append(f"  {_scalar(column)}: {_scalar('the same in every row')}")
        else:
            kind = _guessed(flat, column)
            attributes.append(f"  - {{column: {_scalar(column)}, type: {kind}, known_at: before_outcome}}")
    lines += ["attributes:" + ("" if attributes else " []"), *attributes]
    lines += ["after_outcome:", *after] if after else []
    lines += ["ignored:", *ignored] if ignored else []
    return "\n".join(lines) + "\n"


def labels_of(flat: FlatColumns, outcome: str, yes: Sequence[str], no: Sequence[str]) -> np.ndarray:
    """1, 0 and -1 (neither) of an outcome column by its spellings."""
    known = dict.fromkeys(no, 0) | dict.fromkeys(yes, 1)
    return np.array([known.get(text, -1) for text in flat.texts[outcome].tolist()], dtype=np.int64)


def two_levels(flat: FlatColumns, outcome: str) -> tuple[str, str]:
    """(no, yes) of an outcome that has two values; raises InputInvalid where the column is absent or has not two."""
    if outcome not in flat.texts:
        raise InputInvalid(flat.file, "expected this column, it was named as the outcome", field=outcome)
    values = sorted({text for text in flat.texts[outcome].tolist() if text is not None})
    if len(values) != 2:
        raise InputInvalid(flat.file, f"expected an outcome of two values, found {len(values)}", field=outcome)
    return _two_levels(flat, outcome)


def _two_levels(flat: FlatColumns, outcome: str) -> tuple[str, str]:
    values = sorted({text for text in flat.texts[outcome].tolist() if text is not None})
    says_yes = [v for v in values if v.casefold() in ("1", "true", "yes", "y", "won", "converted")]
    yes = says_yes[0] if len(says_yes) == 1 else values[-1]
    return next(v for v in values if v != yes), yes


def _guessed(flat: FlatColumns, column: str) -> str:
    texts = flat.texts[column]
    given = {text for text in texts.tolist() if text is not None}
    if given and all(YES_NO.code(text) for text in given):
        return "yesno"
    return "category" if numbers_of(texts)[1].any() or len(level_codes(texts)[1]) == 0 else "number"


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes = suffixes[:-1]
    kind = SUFFIXES.get(suffixes[-1]) if suffixes else None
    if kind is None:
        raise InputInvalid(str(path), "expected .csv, .tsv, .txt (also .gz), .jsonl or .parquet")
    return kind


def _staged(con: duckdb.DuckDBPyConnection, path: Path, kind: str) -> tuple[pa.Table, tuple[int, ...]]:
    place = literal(str(path.resolve()))
    if kind == "csv":
        return _csv(con, path, place)
    if kind == "parquet":
        names = [str(row[0]) for row in con.sql(f"DESCRIBE SELECT * FROM read_parquet({place})").fetchall()]
        select = ", ".join(f"CAST({quoted(n)} AS VARCHAR) AS {quoted(n)}" for n in names if n != "_at")
        query = f"SELECT {select}, file_row_number + 1 AS _at FROM read_parquet({place}, file_row_number = true)"
        return con.sql(query).to_arrow_table(), ()
    con.execute(
        f"CREATE TEMP TABLE lines AS SELECT json, row_number() OVER () AS _at "
        f"FROM read_ndjson_objects({place}, ignore_errors = true)"
    )
    good = "json IS NOT NULL AND json_type(json) = 'OBJECT'"
    keys = con.sql(f"SELECT DISTINCT unnest(json_keys(json)) FROM lines WHERE {good} ORDER BY 1").fetchall()
    if len(keys) > _MAX_COLUMNS:
        raise InputInvalid(str(path), f"expected at most {_MAX_COLUMNS} columns")
    fields = [
        f"json_extract_string(json, {literal('/' + str(k).replace('~', '~0').replace('/', '~1'))}) AS {quoted(str(k))}"
        for (k,) in keys
    ]
    table = con.sql(f"SELECT {', '.join([*fields, '_at'])} FROM lines WHERE {good} ORDER BY _at").to_arrow_table()
    broken = con.sql(f"SELECT _at FROM lines WHERE NOT coalesce({good}, false) ORDER BY 1").fetchall()
    return table, tuple(int(at) for (at,) in broken)


def _csv(con: duckdb.DuckDBPyConnection, path: Path, place: str) -> tuple[pa.Table, tuple[int, ...]]:
    names, delimiter = _header(path)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    con.execute(
        f"CREATE TEMP TABLE flat AS SELECT *, row_number() OVER () + 1 AS _at FROM read_csv([{place}], "
        f"auto_detect = false, columns = {{{columns}}}, header = true, delim = {literal(delimiter)}, quote = '\"', "
        "escape = '\"', store_rejects = true, rejects_table = 'flat_rejects', rejects_scan = 'flat_scan')"
    )
    lines = con.sql("SELECT DISTINCT line FROM flat_rejects ORDER BY 1").fetchall()
    table = con.sql("SELECT * FROM flat ORDER BY _at").to_arrow_table()
    bad = np.array([line for (line,) in lines], dtype=np.int64)
    if len(bad):
        # DuckDB numbers only the rows it accepted; give them back their place in the file.
        rows = np.setdiff1d(np.arange(2, table.num_rows + len(bad) + 2, dtype=np.int64), bad)[: table.num_rows]
        table = table.set_column(table.column_names.index("_at"), "_at", pa.array(rows))
    return table, tuple(bad.tolist())


def _header(path: Path) -> tuple[list[str], str]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            start = stream.read(_HEADER_BYTES)
        text = start.decode("utf-8-sig", errors="strict" if len(start) < _HEADER_BYTES else "ignore")
    except UnicodeDecodeError:
        raise InputInvalid(str(path), "expected UTF-8 text") from None
    except (OSError, EOFError):
        raise InputInvalid(str(path), "expected a readable gzip file") from None
    heads: Mapping[str, list[str]] = {
        d: next(csv.reader(io.StringIO(text, newline=""), delimiter=d), []) for d in _DELIMITERS
    }
    delimiter = max(_DELIMITERS, key=lambda d: len(heads[d]))
    names = [name.strip() for name in heads[delimiter]]
    if not names:
        raise InputInvalid(str(path), "expected a header line, the file is empty")
    if not all(names):
        # Exports of an index begin with a column without a name.
        names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputInvalid(str(path), "expected each column once", field=repeated[0])
    if "_at" in names:
        raise InputInvalid(str(path), "expected another name for this column", field="_at")
    return names, delimiter


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    encoded = column.combine_chunks().dictionary_encode()
    found = [text.strip() for text in encoded.dictionary.to_pylist()]
    distinct = np.array([*(text or None for text in found), None], dtype=object)
    texts: np.ndarray = distinct[encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)]
    return texts


def _scalar(text: str) -> str:
    """A YAML scalar in double quotes, whatever the text holds."""
    escaped = "".join({'"': '\\"', "\\": "\\\\"}.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text)
    return f'"{escaped}"'
