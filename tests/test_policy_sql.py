"""The exported SQL: one text for the book, the same in every dialect, the same answers when it is run."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from typer.testing import CliRunner

from cli.app import app
from configs.cards import Gate
from policy.book import Book
from policy.published.sql import DECISIONS, DIALECTS, FACTS, Dialect, book_sql, carried
from tests.test_policy_forms import ON, assert_sql_says_the_same, random_facts, settings_and_book

GATES: tuple[Gate, ...] = ("action", "send")


def statements(text: str, dialect: str) -> list[str]:
    """The statements as DuckDB's, without comments."""
    return [one.sql("duckdb", comments=False) for one in sqlglot.parse(text, read=dialect) if one is not None]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("gate", GATES)
def test_every_dialect_reads_back_as_the_same_statements(gate: Gate, dialect: Dialect) -> None:
    loaded, book = settings_and_book(gate)
    ours = statements(book_sql(book, loaded, gate, "duckdb"), "duckdb")
    assert len(ours) == 2
    assert statements(book_sql(book, loaded, gate, dialect), dialect) == ours


@pytest.mark.parametrize("dialect", ["snowflake", "spark"])
def test_the_text_of_another_dialect_decides_the_same_when_carried_back(dialect: Dialect) -> None:
    loaded, book = settings_and_book()
    back = ";\n".join(statements(book_sql(book, loaded, "action", dialect), dialect))
    assert_sql_says_the_same(book, back, random_facts(12, 2, 8, 0.97))


def test_names_that_a_dialect_keeps_for_itself_and_words_with_quotes_survive() -> None:
    assert carried("(\"size\" = 'it''s')", "duckdb") == "size = 'it''s'"
    assert carried("(\"size\" = 'it''s')", "snowflake") == r"size = 'it\'s'"
    assert (
        carried('("a" = \'x\') AND (NOT (("b" = \'y\') OR ("c" <= 3)))', "spark")
        == "a = 'x' AND NOT (b = 'y' OR c <= 3)"
    )
    assert (
        carried("((\"a\" = 'x') OR (\"b\" = 'y')) AND (\"c\" IN ('z'))", "duckdb")
        == "(a = 'x' OR b = 'y') AND c IN ('z')"
    )


@cache
def warehouse() -> duckdb.DuckDBPyConnection:
    loaded, book = settings_and_book()
    connection = duckdb.connect()
    connection.execute(book_sql(book, loaded, "action"))
    return connection


def decided(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    warehouse().execute(f"DELETE FROM {FACTS}")
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        warehouse().execute(f"INSERT INTO {FACTS} ({names}) VALUES ({marks})", list(row.values()))
    return warehouse().execute(f"SELECT allowed, effect, rules FROM {DECISIONS} ORDER BY lead_id").fetchall()


def test_null_a_stray_word_and_a_channel_nobody_knows_permit_nothing() -> None:
    key = {"asset_id": "none", "channel": "rep_visit"}
    listened = {"opt_out_pending": "no", "feed_fresh": "yes"}
    nothing, known, stray, elsewhere = decided(
        {"lead_id": "a", "asset_id": "none", "channel": "email"},
        {"lead_id": "b", **key, **listened, "opt_out": "no"},
        {"lead_id": "c", **key, **listened, "opt_out": "No"},
        {"lead_id": "d", **key, "channel": "fax"},
    )
    _, book = settings_and_book()
    assert nothing[:2] == elsewhere[:2] == (False, "forbid")
    assert set(nothing[2].split()) == {one.id for one in book.rules if 0 in one.channels}
    assert "GEN-01" not in known[2].split()
    assert "GEN-01" in stray[2].split()


def test_comments_carry_title_basis_parameters_and_hash() -> None:
    loaded, book = settings_and_book()
    text = book_sql(book, loaded, "action", "snowflake")
    assert book.hash in text
    assert "NOT LEGAL ADVICE" in text
    for one in (*book.rules, *book.permits, *book.score_rules):
        assert f"-- {one.id} [{one.card.effect}]" in text
    flat = " ".join(line.strip().removeprefix("--").strip() for line in text.splitlines())
    for one in book.rules[:5]:
        assert one.card.title in flat
        assert one.card.legal[0].cite in flat
    assert "caps.touches_7d = 3" in text


def test_a_book_of_another_day_has_the_parameters_of_that_day() -> None:
    loaded, book = settings_and_book()
    early = Book.load(loaded, date(2017, 1, 1))
    assert early.hash != book.hash
    text = book_sql(early, loaded, "action")
    assert "rule book of 2017-01-01" in text
    # GDPR's limit on the age of a consent starts on 2018-05-25.
    assert "eu.consent_max_days" not in text
    assert "eu.consent_max_days" in book_sql(book, loaded, "action")


def test_the_command_writes_a_file_that_runs(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rules.sql"
    done = CliRunner().invoke(
        app, ["rules", "export-sql", "--as-of", ON.isoformat(), "--gate", "send", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    with duckdb.connect() as connection:
        connection.execute(out.read_text(encoding="utf-8"))
        assert connection.execute(f"SELECT count(*) FROM {DECISIONS}").fetchall() == [(0,)]
    refused = CliRunner().invoke(app, ["rules", "export-sql", "--dialect", "cobol"])
    assert refused.exit_code == 2
