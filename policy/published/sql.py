"""The whole rule book as one readable SQL text: a view over a table of facts that says what the engine says.

SQL's own three-valued logic is the logic of the cards, so a rule is `COALESCE(condition, TRUE)` and a permit
`COALESCE(condition, FALSE)`. The text is written for DuckDB and carried over to other dialects condition by condition.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal, get_args

import sqlglot
from sqlglot import exp

from configs.cards import Gate
from configs.conditions import parameters_used
from configs.settings import Settings
from features.evaluate import as_sql
from policy.book import Book, Rule
from policy.rulings import EFFECT_ORDER

Dialect = Literal["duckdb", "snowflake", "spark"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
FACTS, DECISIONS = "leadwell_facts", "leadwell_decisions"
KEYS = ("lead_id", "asset_id", "channel")
_TEXT = {"duckdb": "VARCHAR", "snowflake": "VARCHAR", "spark": "STRING"}
_MOST = 2_147_483_647
_WIDTH = 110


def book_sql(book: Book, settings: Settings, gate: Gate, dialect: Dialect = "duckdb") -> str:
    """The table of facts and the view of decisions of a book, with comments a reviewer can follow.

    The table has a row for each lead, asset and channel, and a column for each fact: text as on the cards, a whole
    number, or NULL for unknown. The view says for each row whether it is `allowed`, the strongest `effect`, the ids of
    all `rules` that fire and all `permits` that count (sorted, parted by a space), and whether the lead may be scored.
    """
    return (
        "\n".join([*_heading(book, settings, gate, dialect), *_table(book, dialect), "", *_view(book, dialect)]) + "\n"
    )


def _heading(book: Book, settings: Settings, gate: Gate, dialect: str) -> list[str]:
    pending = sum(rule.card.review.status != "signed" for rule in _every(book))
    used = sorted({name for rule in _every(book) for name in parameters_used(rule.condition)})
    lines = [
        f"Leadwell rule book of {book.on}, {gate} gate, for {dialect}. Generated: change the cards, not this text.",
        f"Book SHA-256 {book.hash}",
    ]
    if pending:
        lines.append(f"NOT LEGAL ADVICE: {pending} of {len(_every(book))} cards are pending counsel.")
    lines += [
        "",
        f"{FACTS}: one row per lead, asset and channel (asset_id 'none' is a message without an asset), one column per",
        "fact. NULL is unknown, and so is a value that no fact can have. Unknown never permits.",
        "A rule blocks where its condition is not surely false; a permit counts where it is surely true;",
        "allowed is: some permit counts and no rule blocks. What is compared with NULL is NULL, as in standard SQL.",
    ]
    if used:
        lines += ["", f"Parameters on {book.on}:"]
        lines += [
            f"  {n} = {_told(book.domain.parameter(n, book.on))}  ({settings.parameters[n].reference})" for n in used
        ]
    if book.feature_rules:
        ids = ", ".join(rule.id for rule in book.feature_rules)
        lines += ["", f"Not in this view, because they are about columns of data and not about contact: {ids}."]
    return [f"-- {line}".rstrip() for line in lines] + [""]


def _table(book: Book, dialect: str) -> list[str]:
    text = _TEXT[dialect]
    rows = [(key, f"{text} NOT NULL", "") for key in KEYS]
    for fact, _, _ in book.inputs:
        declared = book.domain.facts[fact]
        rows.append((fact, "INTEGER" if declared.type == "int" else text, f"{declared.says}; from {declared.source}"))
    lines = [f"CREATE TABLE IF NOT EXISTS {FACTS} ("]
    for place, (name, kind, says) in enumerate(rows):
        comma = "," if place < len(rows) - 1 else ""
        lines.append(f"  {name} {kind}{comma}" + (f"  -- {says}" if says else ""))
    return [*lines, ");"]


def _view(book: Book, dialect: str) -> list[str]:
    rules, permits, stops = (
        [(f"{word}_{one.id.lower().replace('-', '_')}", one) for one in group]
        for word, group in (("fires", book.rules), ("counts", book.permits), ("stops", book.score_rules))
    )
    lines = [f"CREATE OR REPLACE VIEW {DECISIONS} AS", "WITH known AS (  -- a value that no fact can have is unknown"]
    cleaned = [_cleaned(book, fact) for fact, _, _ in book.inputs]
    lines += ["  SELECT", "    " + ",\n    ".join([*KEYS, *cleaned]), f"  FROM {FACTS}", "), asked AS ("]
    return [*lines, *_asked(book, dialect, rules, permits, stops), *_answer(rules, permits, stops)]


def _asked(book: Book, dialect: str, *groups: Sequence[tuple[str, Rule]]) -> list[str]:
    lines = ["  SELECT", f"    {', '.join(KEYS)}"]
    for name, one in [pair for group in groups for pair in group]:
        covered = ", ".join(f"'{book.channels[channel]}'" for channel in one.channels)
        condition = carried(as_sql(one.condition, book.domain, book.on), dialect)
        unsure = "FALSE" if name.startswith("counts") else "TRUE"
        told = _wrapped(f"COALESCE({condition}, {unsure})")
        if not name.startswith("stops"):
            told = [f"    CASE WHEN channel IN ({covered}) THEN", *(f"  {line}" for line in told), "    ELSE FALSE END"]
        told[-1] += f" AS {name}"
        lines[-1] += ","
        lines += [*_card(one), *told]
    return [*lines, "  FROM known", ")"]


def _answer(
    rules: Sequence[tuple[str, Rule]], permits: Sequence[tuple[str, Rule]], stops: Sequence[tuple[str, Rule]]
) -> list[str]:
    fired = " OR ".join(name for name, _ in rules) or "FALSE"
    permitted = " OR ".join(name for name, _ in permits) or "FALSE"
    stopped = " OR ".join(name for name, _ in stops) or "FALSE"
    cases = [f"WHEN ({permitted}) AND NOT ({fired}) THEN 'permit'", f"WHEN NOT ({permitted}) THEN 'forbid'"]
    for effect in EFFECT_ORDER:
        named = [name for name, one in rules if one.card.effect == effect]
        if named:
            cases.append(f"WHEN {' OR '.join(named)} THEN '{effect}'")
    columns = [
        *KEYS,
        f"({permitted}) AND NOT ({fired}) AS allowed",
        "CASE\n      " + "\n      ".join(cases) + "\n    END AS effect",
        f"{_ids(rules)} AS rules",
        f"{_ids(permits)} AS permits",
        f"NOT ({stopped}) AS may_score",
        f"{_ids(stops)} AS score_stops",
    ]
    return ["SELECT", "    " + ",\n    ".join(columns), "FROM asked;"]


def carried(condition: str, dialect: str) -> str:
    """A condition of `features.evaluate.as_sql` in another dialect: bare names, brackets only where they matter."""
    tree: exp.Expression = exp.Paren(this=sqlglot.parse_one(condition, read="duckdb"))
    for name in tree.find_all(exp.Identifier):
        name.set("quoted", False)
    for paren in list(tree.find_all(exp.Paren)):
        inner, outer = paren.this, paren.parent
        if outer is not None and (
            not isinstance(inner, exp.Connector) or not isinstance(outer, exp.Connector | exp.Not)
        ):
            paren.replace(inner)
    return str(tree.this.sql(dialect=dialect))


def _cleaned(book: Book, fact: str) -> str:
    declared = book.domain.facts[fact]
    if declared.type == "int":
        return f"CASE WHEN {fact} BETWEEN 0 AND {_MOST} THEN {fact} END AS {fact}"
    values = ", ".join("'" + value.replace("'", "''") + "'" for value in declared.values)
    return f"CASE WHEN {fact} IN ({values}) THEN {fact} END AS {fact}"


def _card(one: Rule) -> list[str]:
    card = one.card
    basis = "; ".join(f"{legal.cite} ({legal.confidence}, read {legal.checked})" for legal in card.legal)
    told = [f"{card.id} [{card.effect}] {card.title}", card.says, f"Basis: {basis}", f"Review: {card.review.status}"]
    wrapped = [line for text in told for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  ")]
    return ["", *(f"    -- {line}" for line in wrapped)]


def _wrapped(text: str) -> list[str]:
    # A line may break before AND, OR and an opening bracket only; no value holds one of these words as a word.
    pieces = text.replace(" AND ", "\0AND ").replace(" OR ", "\0OR ").split("\0")
    lines = ["    " + pieces[0]]
    for piece in pieces[1:]:
        if len(lines[-1]) + len(piece) < _WIDTH:
            lines[-1] += " " + piece
        else:
            lines.append("      " + piece)
    return lines


def _ids(named: Sequence[tuple[str, Rule]]) -> str:
    if not named:
        return "''"
    parts = [f"CASE WHEN {name} THEN '{one.id} ' ELSE '' END" for name, one in named]
    return "TRIM(\n      " + "\n      || ".join(parts) + "\n    )"


def _every(book: Book) -> tuple[Rule, ...]:
    return (*book.rules, *book.permits, *book.score_rules, *book.feature_rules)


def _told(value: int | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
