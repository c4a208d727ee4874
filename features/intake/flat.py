"""A flat CRM export with no events becomes tables through its source mapping, without code.

Attributes are one value a lead; consents, suppressions and cases are what the mapping says a value stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.mapping import NO_TIME, AttributeColumn, EventFromColumn, SourceMapping
from configs.settings import Settings
from configs.vocabulary import YES_NO, Vocabularies, normalize
from features.encode import ALLOWING, empty_columns
from features.intake.flat_order import instants, made_columns, must_have, shuffled
from features.intake.scan import FILE_BITS, connect, read_header, readable, stage_csv
from features.intake.settle import REJECTS, Counts, unknown_column
from features.intake.sources import Intake
from features.intake.titles import Titles
from features.layout import LAYOUTS, NOTHING, Column
from features.tables import NO, UNKNOWN_INSTANT, YES, Tables, microseconds

Texts = NDArray[np.object_]


@dataclass(slots=True)
class FlatColumns:
    """The export's columns as text, None where the mapping calls a value missing, and what is wrong with which row."""

    file: str
    names: tuple[str, ...]
    texts: dict[str, Texts]
    rows: NDArray[np.int64]
    read: int
    rejected: dict[int, tuple[str, str]] = field(default_factory=dict)

    def reject(self, wrong: NDArray[np.bool_], column: str, reason: str) -> None:
        """Note the first thing wrong with each of these rows."""
        for index in np.flatnonzero(wrong).tolist():
            self.rejected.setdefault(int(self.rows[index]), (column, reason))


def read_flat(mapping: SourceMapping, path: Path, settings: Settings, *, training: bool) -> Intake:
    """Read a flat export through its mapping.

    Training needs the outcome and refuses a column the mapping does not declare; rescoring names such columns in the
    Intake, needs no outcome, and takes a level it never saw for an unknown one.

    Raises:
        InputInvalid: the file lacks a declared column or, when training, has an undeclared one.
        ConfigInvalid: the mapping names a field or a value that does not exist.
    """
    flat = read_columns(mapping, path)
    extras = undeclared(mapping, flat.names)
    if training and extras:
        raise InputInvalid(
            flat.file,
            f"{mapping.name} does not declare {', '.join(extras)}: expected each column as an attribute, or in ignored "
            "or after_outcome with a reason",
        )
    _need_columns(mapping, flat, training)
    lead_ids, keep = _keys(mapping, flat)
    attributes = {a.column: _attribute(flat, a) for a in mapping.attributes}
    outcome = _outcome(mapping, flat, training)
    order = _order(mapping, flat, training)
    keep &= np.array([int(row) not in flat.rejected for row in flat.rows], dtype=np.bool_)
    keep, duplicate = _without_duplicates(flat, lead_ids, keep)
    kept = np.flatnonzero(keep)
    kept = kept[np.argsort(lead_ids[kept].astype(str), kind="stable")]
    leads = _leads(mapping, flat, settings.vocabularies, kept)
    Titles(settings.vocabularies).complete(leads)
    tables = Tables(
        lead_ids=lead_ids[kept],
        account_ids=np.empty(0, dtype=object),
        asset_ids=np.array([mapping.asset.asset_id] if mapping.asset else [], dtype=object),
        leads=leads,
        accounts={},
        events={},
        touches=empty_columns(LAYOUTS["touches"]) if "touches" in mapping.complete else {},
        consents=_records(mapping, flat, settings.vocabularies, kept, "consents"),
        suppressions=_records(mapping, flat, settings.vocabularies, kept, "suppressions"),
        cases=_records(mapping, flat, settings.vocabularies, kept, "cases"),
        memberships={},
        outcomes={},
        attributes={name: column[kept] for name, column in attributes.items()},
        declared={a.column: a.declared for a in mapping.attributes if a.declared},
        suppressions_complete_as_of=(
            microseconds(mapping.as_of) if "suppressions" in mapping.complete else UNKNOWN_INSTANT
        ),
    )
    listed = [
        {"file": flat.file, "row": row, "column": column, "reason": reason}
        for row, (column, reason) in sorted(flat.rejected.items())
    ]
    return Intake(
        tables,
        pa.Table.from_pylist(listed, schema=REJECTS),
        {"leads": Counts(flat.read, len(kept), len(listed), duplicate)},
        {"leads": extras} if extras else {},
        order=order[kept],
        outcome=outcome[kept],
    )


def read_columns(mapping: SourceMapping, path: Path) -> FlatColumns:
    """The export's columns as stripped text, with the rows that do not fit the header already rejected."""
    if not path.is_file():
        raise InputInvalid(str(path), "expected a CSV file with a header")
    key = must_have(mapping)
    names, _ = read_header(path, key)
    con = connect([path], memory_limit_mb=None, threads=2, spill=None)
    try:
        with readable(str(path)):
            unreadable = stage_csv(con, "flat", path, key)
            table = con.sql("SELECT * FROM flat ORDER BY _at").to_arrow_table()
    finally:
        con.close()
    mask = (1 << FILE_BITS) - 1
    rows = table["_at"].to_numpy() & mask
    texts = {name: _texts(table[name], mapping.missing) for name in names} | made_columns(mapping, rows)
    flat = FlatColumns(str(path), tuple(names), texts, rows, table.num_rows + len(unreadable))
    flat.rejected.update({row: ("", reason) for _, row, reason in unreadable})
    return flat


def undeclared(mapping: SourceMapping, names: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of the file that the mapping says nothing about."""
    return tuple(name for name in names if name not in mapping.declared())


def level_codes(texts: Texts) -> tuple[NDArray[np.int64], list[str]]:
    """Normalised levels of a column: -1 where missing. `google` and `Google` are one level, `Select` is its own."""
    levels: dict[str, int] = {}
    spelled: dict[Any, int] = {None: -1}
    codes = np.empty(len(texts), dtype=np.int64)
    for index, text in enumerate(texts.tolist()):
        code = spelled.get(text)
        if code is None:
            code = spelled[text] = levels.setdefault(normalize(text) or text, len(levels))
        codes[index] = code
    return codes, list(levels)


def numbers_of(texts: Texts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values of a number column, NaN where missing, and which of its texts are not finite numbers."""
    spelled: dict[Any, float | None] = {None: np.nan}
    for text in set(texts.tolist()) - {None}:
        try:
            spelled[text] = float(text) if "_" not in text else None
        except ValueError:
            spelled[text] = None
    values = [spelled[text] for text in texts.tolist()]
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    present = np.array([text is not None for text in texts.tolist()], dtype=np.bool_)
    return numbers, present & ~np.isfinite(numbers)


def _texts(column: pa.ChunkedArray, missing: tuple[str, ...]) -> Texts:
    encoded = column.combine_chunks().dictionary_encode()
    found = [text.strip() for text in encoded.dictionary.to_pylist()]
    distinct = np.array([*(None if text in missing or not text else text for text in found), None], dtype=object)
    texts: Texts = distinct[encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)]
    return texts


def _need_columns(mapping: SourceMapping, flat: FlatColumns, training: bool) -> None:
    needed = [attribute.column for attribute in mapping.attributes]
    needed += [record.column for record in mapping.records if record.column is not None]
    needed += list(mapping.fields.values())
    if training:
        needed += [mapping.order_by, *([mapping.outcome] if mapping.outcome else [])]
        if mapping.outcome is None:
            raise ConfigInvalid([Problem(mapping.name, "outcome", "expected the outcome column to train on")])
    for column in needed:
        if column not in flat.texts:
            raise InputInvalid(flat.file, f"expected this column, {mapping.name} declares it", field=column)


def _keys(mapping: SourceMapping, flat: FlatColumns) -> tuple[Texts, NDArray[np.bool_]]:
    ids = flat.texts[mapping.lead_id]
    absent = np.array([text is None for text in ids.tolist()], dtype=np.bool_)
    long = np.array([text is not None and len(text) > 64 for text in ids.tolist()], dtype=np.bool_)
    flat.reject(absent, mapping.lead_id, "missing lead id")
    flat.reject(long, mapping.lead_id, "expected an id of 1 to 64 characters")
    return ids, ~(absent | long)


def _attribute(flat: FlatColumns, attribute: AttributeColumn) -> NDArray[Any]:
    texts = flat.texts[attribute.column]
    if attribute.type == "number":
        numbers, wrong = numbers_of(texts)
        flat.reject(wrong, attribute.column, "expected a number")
        return numbers
    if attribute.type == "yesno":
        known = {text: YES_NO.code(text) for text in set(texts.tolist()) - {None}}
        codes = np.array([known.get(text, 0) for text in texts.tolist()], dtype=np.uint8)
        wrong = (codes == 0) & np.array([text is not None for text in texts.tolist()], dtype=np.bool_)
        flat.reject(wrong, attribute.column, "expected yes or no")
        return np.where(codes == 0, np.nan, codes == YES).astype(np.float64)
    places, levels = level_codes(texts)
    found: Texts = np.array([*levels, None], dtype=object)[places]
    return found


def _outcome(mapping: SourceMapping, flat: FlatColumns, training: bool) -> NDArray[np.uint8]:
    texts = flat.texts.get(mapping.outcome or "")
    if texts is None:
        return np.zeros(len(flat.rows), dtype=np.uint8)
    known = dict.fromkeys(mapping.outcome_false, NO) | dict.fromkeys(mapping.outcome_true, YES)
    codes = np.array([known.get(text, 0) for text in texts.tolist()], dtype=np.uint8)
    if training:
        expected = ", ".join((*mapping.outcome_false, *mapping.outcome_true))
        flat.reject(codes == 0, str(mapping.outcome), f"expected one of {expected}")
    return codes


def _order(mapping: SourceMapping, flat: FlatColumns, training: bool) -> NDArray[np.float64]:
    texts = flat.texts.get(mapping.order_by)
    if texts is None:
        return np.full(len(flat.rows), np.nan)
    if mapping.order_by == NO_TIME:
        return shuffled(flat.texts[mapping.lead_id])
    order, wrong = numbers_of(texts)
    if mapping.order_values or mapping.order_format or (wrong.any() and not np.isfinite(order).any()):
        order = instants(mapping, texts)
    if training:
        flat.reject(~np.isfinite(order), mapping.order_by, _ordered_by(mapping))
    return order


def _ordered_by(mapping: SourceMapping) -> str:
    if mapping.order_values:
        return f"expected one of {', '.join(mapping.order_values)} to order by"
    return f"expected a date written {mapping.order_format or 'as ISO 8601, or a number'} to order by"


def _without_duplicates(flat: FlatColumns, lead_ids: Texts, keep: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Rows with one lead id: the smallest by content stays, its equals are duplicates, the others are rejected."""
    rows_of: dict[str, list[int]] = {}
    for index in np.flatnonzero(keep).tolist():
        rows_of.setdefault(lead_ids[index], []).append(index)
    duplicate = 0
    for rows in rows_of.values():
        if len(rows) == 1:
            continue
        content = {row: tuple(flat.texts[name][row] or "" for name in flat.names) for row in rows}
        winner = min(rows, key=lambda row: (content[row], row))
        for row in rows:
            if row == winner:
                continue
            keep[row] = False
            if content[row] == content[winner]:
                duplicate += 1
            else:
                flat.rejected[int(flat.rows[row])] = ("", "another row with the same lead id has other content")
    return keep, duplicate


def _constant(column: Column, value: Any, vocabularies: Vocabularies, place: str) -> Any:
    """Encoded value of a constant; raises ConfigInvalid when it is not one the field can take."""
    if column.kind == "code":
        code = vocabularies[column.vocabulary].code(str(value))
        if code == 0:
            raise ConfigInvalid([Problem(place, column.field, f"expected a value of {column.vocabulary}")])
        return code
    if column.kind == "yesno" and isinstance(value, bool):
        return YES if value else NO
    if column.kind == "instant" and isinstance(value, str | datetime):
        try:
            return microseconds(datetime.fromisoformat(value) if isinstance(value, str) else value)
        except ValueError:
            raise ConfigInvalid([Problem(place, column.field, "expected an instant with a zone")]) from None
    if column.kind == "text" and isinstance(value, str):
        return value
    if column.kind == "present":
        return NO if str(value).strip().lower() in NOTHING else YES
    raise ConfigInvalid([Problem(place, column.field, f"expected a {column.kind}")])


def _leads(
    mapping: SourceMapping, flat: FlatColumns, vocabularies: Vocabularies, kept: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    n = len(kept)
    by_field = {column.field: column for column in LAYOUTS["leads"].encoded}
    unknown = sorted((set(mapping.constants) | set(mapping.fields) | set(mapping.field_values)) - set(by_field))
    if unknown:
        raise ConfigInvalid([Problem(mapping.name, name, "expected a field of leads") for name in unknown])
    columns = {column.name: unknown_column(column, n) for column in LAYOUTS["leads"].encoded}
    columns["lead"] = np.arange(n, dtype=np.int32)
    # What an export says is known since it was taken: its rows have an age.
    columns["recorded_at"] = np.full(n, microseconds(mapping.as_of), dtype=np.int64)
    for name, value in mapping.constants.items():
        columns[by_field[name].name][:] = _constant(by_field[name], value, vocabularies, mapping.name)
    for name, source in mapping.fields.items():
        column = by_field[name]
        if column.kind not in ("code", "text"):
            raise ConfigInvalid([Problem(mapping.name, name, "expected a coded or a text field of leads")])
        texts = flat.texts[source][kept]
        given = np.array([text is not None for text in texts.tolist()], dtype=np.bool_)
        if column.kind == "text":
            columns[column.name][given] = texts[given]
            continue
        vocabulary = vocabularies[column.vocabulary]
        spelled = {normalize(s): v for v, all_ in mapping.field_values.get(name, {}).items() for s in all_}
        codes = {t: vocabulary.code(spelled.get(normalize(t), t)) for t in set(texts.tolist()) - {None}}
        # A value of the lead's own that no vocabulary knows is unknown: the constant must not paper over it.
        columns[column.name][given] = [codes[text] for text in texts[given].tolist()]
    return columns


def _records(
    mapping: SourceMapping, flat: FlatColumns, vocabularies: Vocabularies, kept: NDArray[np.int64], table: str
) -> dict[str, NDArray[Any]]:
    layout = LAYOUTS[table]
    rules = [record for record in mapping.records if record.table == table]
    if not rules:
        return empty_columns(layout) if table in mapping.complete else {}
    by_field = {column.field: column for column in layout.encoded}
    as_of = microseconds(mapping.as_of)
    parts: list[dict[str, NDArray[Any]]] = []
    same = _same_lead(flat.texts[mapping.lead_id], kept)
    for rule in rules:
        rows = np.flatnonzero(_stands(rule, flat, kept, same))
        columns = {column.name: unknown_column(column, len(rows)) for column in layout.encoded}
        columns["lead"] = rows.astype(np.int32)
        columns[str(layout.own_time)] = columns["recorded_at"] = np.full(len(rows), as_of, dtype=np.int64)
        for name, value in rule.values.items():
            if name not in by_field or by_field[name].kind == "reference":
                raise ConfigInvalid([Problem(mapping.name, f"records.{table}.{name}", f"expected a field of {table}")])
            columns[by_field[name].name][:] = _constant(by_field[name], value, vocabularies, mapping.name)
        parts.append(columns)
    made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if table == "cases":
        made["case"] = np.arange(len(made["lead"]), dtype=np.int32)
    return made


def _same_lead(lead_ids: Texts, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every row of the file the lead it is about, as a position in `kept`; -1 where that lead is not kept."""
    place = {lead_id: index for index, lead_id in enumerate(lead_ids[kept].tolist())}
    return np.array([place.get(lead_id, -1) for lead_id in lead_ids.tolist()], dtype=np.int64)


def _stands(
    rule: EventFromColumn, flat: FlatColumns, kept: NDArray[np.int64], same: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """For each kept lead whether the rule's record stands.

    INVARIANT: of rows about one lead that disagree, used or rejected, the one that allows least decides: one of them
    is enough to stop, and all of them are needed to allow.
    """
    if rule.column is None:
        return np.ones(len(kept), dtype=np.bool_)
    named = {normalize(value) for value in (rule.equals or rule.unless)}
    texts = flat.texts[rule.column].tolist()
    among = np.array([text is not None and normalize(text) in named for text in texts], dtype=np.bool_)
    stands = among if rule.equals else ~among
    allows = rule.table == "consents" and str(rule.values.get("status")) in ALLOWING
    found = np.full(len(kept), allows, dtype=np.bool_)
    found[same[(stands != allows) & (same >= 0)]] = not allows
    return found
