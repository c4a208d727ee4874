"""One canonical field of a mapping as SQL: its value, why a row cannot have it, and whether a value was not understood.

INVARIANT: what a mapping says reaches SQL as literals and quoted names of columns that are there, never as SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from configs.exports import Cell, Condition
from features.encode import PLAUSIBLE
from features.intake.scan import ZONED, literal, quoted
from features.records import TABLES, Record

Kind = Literal["id", "text", "instant", "yesno", "number"]
# Finds the SQL of a column of this table or of the joined one; None where the export has no such column.
Resolve = Callable[[str, str | None], str | None]

SQL_TYPES: dict[Kind, str] = {
    "id": "VARCHAR", "text": "VARCHAR", "instant": "TIMESTAMPTZ", "yesno": "BOOLEAN", "number": "DOUBLE",
}  # fmt: skip
YES, NO = ("true", "yes", "y", "1", "t", "on", "1.0"), ("false", "no", "n", "0", "f", "off", "0.0")
IPAD, OPAD = "leadwell_inner", "leadwell_outer"
# Long enough that two of a million differ, short enough to stand as an id behind a prefix.
HASH_CHARACTERS = 40
_EMAIL = r"[^\s@]+@[^\s@]+\.[^\s@]+"
# INVARIANT: of several addresses in one cell the first is read, and no part of another is taken for its domain.
_DOMAIN = r"""@([^@\s<>,;:?"()\[\]]+)"""
_ADDRESS = r"""([^@\s<>,;:"()\[\]]+@[^@\s<>,;:?"()\[\]]+)"""
_EARLIEST, _LATEST = "TIMESTAMPTZ '1990-01-01 00:00:00+00'", "TIMESTAMPTZ '2200-01-01 00:00:00+00'"
_ID_LENGTH, _TEXT_LENGTH = 64, 200


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a canonical record: what kind of value it takes and whether a row must have it."""

    name: str
    kind: Kind
    required: bool


@dataclass(frozen=True, slots=True)
class Expression:
    """SQL of a value in steps, each in terms of the one before, so that none is written twice.

    `given` is what the row has, in terms of the table; `text` what the map makes of it, in terms of `given_FIELD`;
    `value` the typed value, in terms of `text_FIELD`. `tests` are pairs of SQL that holds where the row cannot be used,
    and the reason; `strange` holds where a value was given and its map does not know it; both may name all three.
    `column` is what to name in a reason.
    """

    given: str
    text: str
    value: str
    tests: tuple[tuple[str, str], ...]
    strange: str
    column: str


def step(kind: Literal["given", "text", "value"], field: str) -> str:
    """The quoted name that a step of a field has for the next one."""
    return quoted(f"{kind}_{field}")


@cache
def fields_of(table: str) -> dict[str, Field]:
    """Fields of a canonical table, from its row struct."""
    record: type[Record] = TABLES[table]
    hints = get_type_hints(record, include_extras=True)
    optional = len(record.__struct_defaults__)
    required = set(record.__struct_fields__[: len(record.__struct_fields__) - optional])
    required |= {
        name
        for name, default in zip(record.__struct_fields__[-optional:], record.__struct_defaults__, strict=True)
        if optional and type(default).__name__ == "NoDefaultType"
    }
    found = {}
    for name in record.__struct_fields__:
        kind = _kind(name, hints[name])
        if kind is not None:
            found[name] = Field(name, kind, name in required)
    return found


def _kind(name: str, hint: Any) -> Kind | None:
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if base is str:
        return "id" if name.endswith("_id") or name.endswith("_hash") else "text"
    kinds: dict[Any, Kind] = {datetime: "instant", bool: "yesno", float: "number"}
    return kinds.get(base)


def given(names: tuple[str, ...], of: str | None, resolve: Resolve) -> str:
    """SQL of the first value given among columns; columns that are not there are as good as empty."""
    found = [sql for name in names if (sql := resolve(name, of)) is not None]
    if not found:
        return "CAST(NULL AS VARCHAR)"
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def condition_sql(condition: Condition, resolve: Resolve) -> str:
    """SQL of whether a condition holds; never NULL."""
    value = given(condition.column, condition.of, resolve)
    if condition.given is not None:
        return f"({value} IS {'NOT ' if condition.given else ''}NULL)"
    if condition.differs_from is not None:
        return f"({value} IS DISTINCT FROM {given((condition.differs_from,), condition.of, resolve)})"
    if condition.flag is not None:
        # INVARIANT: of several columns that disagree, one that says yes or cannot be read is enough.
        found = [sql for name in condition.column if (sql := resolve(name, condition.of)) is not None]
        stated = [f"coalesce(lower({sql}) NOT IN ({_literals(NO)}), false)" for sql in found]
        said = f"({' OR '.join(stated) or 'false'})"
        return said if condition.flag else f"({value} IS NOT NULL AND NOT {said})"
    if condition.equals:
        test = f"lower({value}) IN ({_literals(condition.equals)})"
    else:
        test = f"lower({value}) NOT IN ({_literals(condition.unless)})"
    return f"coalesce({test}, false)"


def cell_sql(field: Field, cell: Cell, zone: str | None, resolve: Resolve) -> Expression:
    """SQL of what one field holds by one cell."""
    column = cell.columns()[0] if cell.columns() else field.name
    if cell.value is not None:
        constant = literal(str(cell.value))
        return Expression(constant, step("given", field.name), step("text", field.name), (), "false", column)
    raw = (
        f"nullif(concat_ws(' ', {', '.join(given((word,), cell.of, resolve) for word in cell.words)}), '')"
        if cell.words
        else given(cell.column, cell.of, resolve)
    )
    text, strange = _mapped(field.name, cell)
    value, tests, odd = _typed(field, cell, cell.zone or zone)
    if field.required:
        tests = ((f"{step('value' if cell.hash else 'given', field.name)} IS NULL", f"missing {column}"), *tests)
    return Expression(raw, text, value, tests, " OR ".join(one for one in (strange, odd) if one) or "false", column)


def _typed(field: Field, cell: Cell, zone: str | None) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """SQL of the typed value, of the tests that it must pass, and of when it was not understood ("" never)."""
    text, value = step("text", field.name), step("value", field.name)
    if field.kind == "instant":
        found, tests = _instant(text, value, cell, zone)
        if field.required or field.name == "recorded_at":
            tests = (*tests, (f"{value} < {_EARLIEST} OR {value} >= {_LATEST}", PLAUSIBLE))
        return found, tests, ""
    if field.kind == "number":
        wrong = f"{text} IS NOT NULL AND ({value} IS NULL OR NOT isfinite({value}) OR abs({value}) > 1e15)"
        return f"TRY_CAST({text} AS DOUBLE)", ((wrong, "expected a number"),), ""
    if field.kind == "yesno":
        yes, no = f"lower({text}) IN ({_literals(YES)})", f"lower({text}) IN ({_literals(NO)})"
        return f"CASE WHEN {yes} THEN true WHEN {no} THEN false END", (), f"({text} IS NOT NULL AND {value} IS NULL)"
    if cell.time == "date":
        found, tests = _instant(text, value, cell, zone)
        return f"strftime({found}, '%Y-%m-%d')", tests, ""
    shaped = text
    if cell.hash is not None:
        shaped = _hashed(cell.hash, text)
    elif cell.domain:
        shaped = f"nullif(trim(lower(regexp_extract({text}, {literal(_DOMAIN)}, 1)), '.'), '')"
    if cell.prefix:
        shaped = f"({literal(cell.prefix)} || {shaped})"
    if field.kind == "id":
        # INVARIANT: no e-mail address becomes an id.
        long = (f"length({value}) > {_ID_LENGTH}", f"expected an id of 1 to {_ID_LENGTH} characters")
        return shaped, (long, (f"contains({value}, '@')", "an e-mail address where an id is expected")), ""
    # INVARIANT: no e-mail address stands in a text.
    mail = f"(contains({text}, '@') AND regexp_matches({text}, {literal(_EMAIL)}))"
    long = (f"length({value}) > {_TEXT_LENGTH}", f"expected text of at most {_TEXT_LENGTH} characters")
    if cell.domain:
        return shaped, (long,), ""
    return f"CASE WHEN {mail} THEN NULL ELSE {shaped} END", (long,), f"coalesce({mail}, false)"


def _mapped(field: str, cell: Cell) -> tuple[str, str]:
    """SQL of the value by the cell's map, and of when the map does not know what was given ("" never)."""
    raw = step("given", field)
    if not cell.values and not cell.contains:
        return raw, ""
    cases = [f"WHEN {raw} IS NULL THEN NULL"]
    cases += [
        f"WHEN lower({raw}) = {literal(spelling.strip().lower())} THEN {_spelled(value)}"
        for spelling, value in cell.values.items()
    ]
    cases += [
        f"WHEN contains(lower({raw}), {literal(part.lower())}) THEN {literal(value)}"
        for part, value in cell.contains.items()
    ]
    text = f"CASE {' '.join(cases)} ELSE {_spelled(cell.otherwise)} END"
    if cell.otherwise is not None:
        return text, ""
    # A spelling that is mapped to nothing is known to mean nothing.
    listed = f" AND lower({raw}) NOT IN ({_literals(tuple(cell.values))})" if cell.values else ""
    return text, f"({raw} IS NOT NULL AND {step('text', field)} IS NULL{listed})"


def _instant(text: str, value: str, cell: Cell, zone: str | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """SQL of an instant from text, and of why it is none."""
    if cell.time in ("milliseconds", "seconds"):
        factor = 1_000 if cell.time == "milliseconds" else 1_000_000
        number = f"TRY_CAST({text} AS DOUBLE)"
        sane = f"abs({number}) < {4e15 / factor * 1000:.0f}"
        plain = f"CASE WHEN {sane} THEN timezone('UTC', make_timestamp(CAST({number} * {factor} AS BIGINT))) END"
        found = f"CASE WHEN {number} IS NULL THEN {_written(text, cell, zone)[0]} ELSE {plain} END"
        return found, ((f"{text} IS NOT NULL AND {value} IS NULL", f"expected {cell.time} since 1970"),)
    found, zoned = _written(text, cell, zone)
    tests = ((f"{text} IS NOT NULL AND {value} IS NULL", "expected an instant such as 2026-06-30T09:00:00Z"),)
    if zone is None:
        return found, ((f"{text} IS NOT NULL AND NOT {zoned}", "instant without zone"), *tests)
    return found, tests


def _written(text: str, cell: Cell, zone: str | None) -> tuple[str, str]:
    """SQL of an instant written as text, and of whether the text has a zone of its own."""
    named = f"CASE WHEN ends_with({text}, 'UTC') THEN rtrim(left({text}, length({text}) - 3)) || 'Z' ELSE {text} END"
    zoned = f"regexp_matches({named}, {literal(ZONED)})"
    with_zone = f"TRY_CAST({named} AS TIMESTAMPTZ)"
    if zone is None:
        return f"CASE WHEN {zoned} THEN {with_zone} END", zoned
    plain = f"TRY_CAST({text} AS TIMESTAMP)"
    if cell.formats:
        plain = f"coalesce({plain}, try_strptime({text}, [{', '.join(map(literal, cell.formats))}]))"
    # `infinity` and its like are no instants: a zone cannot be put on them.
    local = f"CASE WHEN isfinite({plain}) THEN timezone({literal(zone)}, {plain}) END"
    return f"CASE WHEN {zoned} THEN {with_zone} ELSE {local} END", zoned


def _hashed(kind: Literal["email", "phone", "name"], text: str) -> str:
    """HMAC-SHA256 (RFC 2104) of the normalised value, in SQL: the inner and the outer pad are variables of the session.

    A value that is no address, or a number of fewer than seven digits, tells nobody apart and has no hash.
    """
    low = f"nfc_normalize(lower({text}))"
    if kind == "email":
        address = f"trim(regexp_extract({low}, {literal(_ADDRESS)}, 1), '.')"
        plain = f"nullif({address}, '')"
    elif kind == "phone":
        digits = f"regexp_replace(regexp_replace({text}, '\\(0\\)', ''), '[^0-9+]', '', 'g')"
        plain = f"CASE WHEN length({digits}) >= 7 THEN regexp_replace({digits}, '^(\\+|00)', '') END"
    else:
        words = f"string_split(trim(regexp_replace(strip_accents(lower({text})), '[^a-z0-9]+', ' ', 'g')), ' ')"
        plain = f"nullif(array_to_string(list_sort({words}), ' '), '')"
        # Names in other scripts keep their letters.
        plain = f"coalesce({plain}, {low})"
    message = f"encode({literal(kind + ':')} || {plain})"
    inner = f"unhex(sha256(getvariable('{IPAD}') || {message}))"
    digest = f"left(sha256(getvariable('{OPAD}') || {inner}), {HASH_CHARACTERS})"
    return f"CASE WHEN ({plain}) IS NOT NULL THEN {digest} END"


def _spelled(value: str | bool | None) -> str:
    if value is None:
        return "NULL"
    return literal(str(value).lower() if isinstance(value, bool) else value)


def _literals(texts: tuple[str, ...]) -> str:
    return ", ".join(literal(text.strip().lower()) for text in texts)
