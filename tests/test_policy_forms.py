"""One language, five forms: closure, generated scalar, columns, SQL and z3 say the same of any facts, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import policy.clauses
import policy.rulings as engine
from benchmarks.policy_world import favorable_codes, made_facts, plain_numbers, rows
from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or
from configs.settings import load_settings
from features.evaluate import (
    FALSE,
    TRUE,
    Domain,
    as_closure,
    as_columns,
    as_sql,
    facts_of_normal,
    normal_form,
    reading,
)
from features.facts import Facts
from policy.answers import answers
from policy.book import Book
from policy.clauses import Group
from policy.masks import as_number, mark, words_of
from policy.proofs.terms import Point, term
from policy.published.english import Phrase, phrase, sentence
from policy.published.sql import DECISIONS, FACTS, KEYS, book_sql
from policy.rulings import Rulings, rule

ON = date(2026, 6, 30)
GATES = ("action", "send")
MASKS = ("blocks", "permits", "permitted", "no_score", "score_blocks")


@cache
def settings_and_book(gate: str = "action") -> tuple[Any, Book]:
    loaded = load_settings()
    return loaded, Book.load(loaded, ON, gate)  # type: ignore[arg-type]


@cache
def favorable_at(gate: str) -> Mapping[str, int]:
    return favorable_codes(settings_and_book(gate)[1])


def random_facts(n: int, assets: int, seed: int, chance: float, gate: str = "action") -> Facts:
    """Every value, unknown, codes of no value, the edges of every card's numbers; with a chance what lets most pass."""
    book = settings_and_book(gate)[1]
    return made_facts(book, favorable_at(gate), n, assets, chance=chance, seed=seed, stray=True)


def one_lead(book: Book, facts: Facts, row: int) -> Facts:
    alone = rows(facts, row, row + 1)
    return replace(alone, one=plain_numbers(book, alone)[0])


def by_reading(book: Book, facts: Facts) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Masks from the readings of each card alone: the plainest form, which shares and packs nothing."""
    full = facts.n, len(facts.assets), len(book.channels)
    found = []
    for group, must in ((book.rules, False), (book.permits, True)):
        masks = np.zeros((*full, words_of(len(group))), dtype=np.uint64)
        for bit, one in enumerate(group):
            covered = np.isin(np.arange(full[2]), one.channels)
            mark(masks, bit, np.broadcast_to(reading(one.normal, facts.columns, {}, must=must), full) & covered)
        found.append(masks)
    return found[0], found[1]


def assert_same(one: Rulings, other: Rulings) -> None:
    for part in MASKS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("seed", "favorable"), [(1, 0.0), (2, 0.7), (3, 0.99)])
def test_scalar_columns_plain_numbers_and_readings_agree_on_every_bit(
    gate: str, seed: int, favorable: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, book = settings_and_book(gate)
    facts = random_facts(60, 5, seed, favorable, gate)
    monkeypatch.setattr(engine, "SMALL", 0)
    columns = rule(book, facts)
    monkeypatch.setattr(engine, "SMALL", facts.n)
    scalar = rule(book, facts)
    assert columns.errors == scalar.errors == 0
    assert_same(columns, scalar)
    blocks, permits = by_reading(book, facts)
    np.testing.assert_array_equal(columns.blocks, blocks)
    np.testing.assert_array_equal(columns.permits, permits)
    np.testing.assert_array_equal(columns.permitted, permits.any(axis=-1) & ~blocks.any(axis=-1))
    for row in range(0, 60, 6):
        alone = one_lead(book, facts, row)
        ruled = rule(book, alone)
        assert ruled.errors == 0
        for part in MASKS:
            np.testing.assert_array_equal(getattr(ruled, part)[0], getattr(columns, part)[row], err_msg=part)
        assert alone.one is not None
        for a, by_channel in enumerate(answers(book, alone.one, 5)):
            for c, answer in enumerate(by_channel):
                assert answer.allowed == columns.permitted[row, a, c]
                assert sorted(answer.rules) == sorted(columns.rule_ids(row, a, c))
                assert list(answer.permits) == columns.permit_ids(row, a, c)
    assert favorable < 0.9 or columns.permitted.any()


@pytest.mark.parametrize(("clauses", "byte"), [(1, 8), (32, 2)])
def test_rules_that_no_table_holds_are_read_one_by_one_to_the_same_bits(
    clauses: int, byte: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, book = settings_and_book()
    monkeypatch.setattr(policy.clauses, "MAX_CLAUSES", clauses)
    monkeypatch.setattr(policy.clauses, "BYTE", byte)
    other = Book.load(loaded, ON)
    left = sum(len(group.wide) for group in groups_of(other))
    every = len(book.rules) + len(book.permits) + len(book.score_rules)
    assert 10 < left < every and not any(group.wide for group in groups_of(book))
    for seed, favorable in ((21, 0.5), (22, 0.98)):
        facts = random_facts(60, 3, seed, favorable)
        assert_same(rule(other, facts), rule(book, facts))


def groups_of(book: Book) -> list[Group]:
    return [*book.program.rules, *book.program.permits, *book.program.stops]


def facts_table(book: Book, facts: Facts) -> pa.Table:
    """The table that the exported SQL reads: words, numbers and NULL; leads by assets by channels."""
    full = facts.n, len(facts.assets), len(book.channels)
    lead, asset, channel = (axis.reshape(-1) for axis in np.indices(full))
    columns: dict[str, Any] = {
        "lead_id": pa.array([f"{row:06}" for row in lead]),
        "asset_id": pa.array(np.array(facts.assets, dtype=object)[asset]),
        "channel": pa.array(np.array(book.channels, dtype=object)[channel]),
    }
    for name, column in facts.columns.items():
        codes = np.broadcast_to(column, full).reshape(-1)
        if book.domain.is_number(name):
            columns[name] = pa.array(codes, pa.int32(), mask=codes < 0)
        else:
            words = np.array([None, *book.domain.facts[name].values], dtype=object)
            columns[name] = pa.array(words[np.where(codes < len(words), codes, 0)], pa.string())
    return pa.table(columns)


def decided_by_sql(text: str, table: pa.Table) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(text)
        connection.register("given", table)
        connection.execute(f"INSERT INTO {FACTS} BY NAME SELECT * FROM given")
        return connection.execute(
            f"SELECT allowed, effect, rules, permits, may_score, score_stops, {', '.join(KEYS)} FROM {DECISIONS}"
        ).fetchall()


def assert_sql_says_the_same(book: Book, text: str, facts: Facts) -> None:
    ruled = rule(book, facts)
    place = {asset: a for a, asset in enumerate(facts.assets)}
    found = decided_by_sql(text, facts_table(book, facts))
    assert len(found) == ruled.permitted.size
    for allowed, effect, rules, permitting, may_score, stops, lead_id, asset_id, channel in found:
        at = int(lead_id), place[asset_id], book.channels.index(channel)
        fired, counted = as_number(ruled.blocks[at]), as_number(ruled.permits[at])
        assert rules.split() == [one.id for bit, one in enumerate(book.rules) if fired >> bit & 1]
        assert permitting.split() == [one.id for bit, one in enumerate(book.permits) if counted >> bit & 1]
        assert allowed == ruled.permitted[at]
        assert may_score == (not ruled.no_score[at[0]])
        assert stops.split() == [
            one.id for bit, one in enumerate(book.score_rules) if as_number(ruled.score_blocks[at[0]]) >> bit & 1
        ]
        if at[0] % 7 == 0:
            assert effect == ruled.headline(*at)


@pytest.mark.parametrize("gate", GATES)
def test_sql_of_the_whole_book_in_duckdb_is_the_oracle_of_every_bit(gate: str) -> None:
    loaded, book = settings_and_book(gate)
    text = book_sql(book, loaded, gate, "duckdb")  # type: ignore[arg-type]
    for seed, favorable in ((5, 0.3), (6, 0.99)):
        assert_sql_says_the_same(book, text, random_facts(50, 3, seed, favorable, gate))


@pytest.mark.slow
def test_twenty_thousand_leads_are_ruled_alike_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, book = settings_and_book()
    text = book_sql(book, loaded, "action", "duckdb")
    for part, favorable in enumerate((0.2, 0.9, 0.98, 0.995)):
        facts = random_facts(5_000, 1, 100 + part, favorable)
        columns = rule(book, facts)
        monkeypatch.setattr(engine, "SMALL", facts.n)
        assert_same(columns, rule(book, facts))
        monkeypatch.undo()
        assert_sql_says_the_same(book, text, facts)


SOME = ("opt_out", "consent", "jurisdiction", "audience", "touches_7d", "consent_days", "asset_status", "adult")


@cache
def some_domain() -> Domain:
    return Domain.of(settings_and_book()[0])


def conditions() -> st.SearchStrategy[Condition]:
    facts = some_domain().facts
    numbers = [name for name in SOME if facts[name].type == "int"]
    codes = [name for name in SOME if facts[name].type != "int"]
    named = st.sampled_from(codes).flatmap(
        lambda name: st.one_of(
            st.builds(Compare, st.just(name), st.sampled_from(["=", "<>"]), st.sampled_from(facts[name].values)),
            st.builds(
                In,
                st.just(name),
                st.lists(st.sampled_from(facts[name].values), min_size=1, max_size=4, unique=True).map(tuple),
            ),
        )
    )
    counted = st.builds(
        Compare, st.sampled_from(numbers), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 9)
    )
    leaf = st.one_of(named, counted, st.builds(IsUnknown, st.sampled_from(SOME)))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=8,
    )


def random_points(seed: int, count: int) -> dict[str, NDArray[Any]]:
    domain, draw = some_domain(), np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for name in SOME:
        if domain.is_number(name):
            found[name] = draw.integers(-1, 11, count).astype(np.int32)
        else:
            found[name] = draw.integers(0, len(domain.facts[name].values) + 2, count).astype(np.uint8)
    return found


def by_tree(condition: Condition, point: Mapping[str, int], domain: Domain) -> int:
    """Kleene's tables over the tree as it is written: the definition that every form is held to."""
    match condition:
        case Not(part):
            return -by_tree(part, point, domain)
        case And(parts):
            return min(by_tree(part, point, domain) for part in parts)
        case Or(parts):
            return max(by_tree(part, point, domain) for part in parts)
    value = domain.value(condition.fact, point[condition.fact])
    match condition:
        case IsUnknown(_):
            return TRUE if value is None else FALSE
        case In(_, values):
            holds = value in values
        case Compare(_, operator, other):
            assert value is None or type(value) is type(other)
            holds = value is not None and {
                "=": value == other, "<>": value != other,
                **({"<": value < other, "<=": value <= other, ">": value > other, ">=": value >= other}  # type: ignore[operator]
                   if isinstance(value, int) else {}),
            }[operator]  # fmt: skip
    return 0 if value is None else TRUE if holds else FALSE


@settings(max_examples=80, deadline=None)
@given(condition=conditions(), seed=st.integers(0, 10**6))
def test_closure_columns_and_sql_say_of_a_condition_what_its_tree_says(condition: Condition, seed: int) -> None:
    domain, points = some_domain(), random_points(seed, 24)
    told = [{name: int(column[i]) for name, column in points.items()} for i in range(24)]
    expected = [by_tree(condition, row, domain) for row in told]
    closure = as_closure(condition, domain, ON)
    assert [closure(row) for row in told] == expected
    must, may = as_columns(condition, domain, ON)({name: c.reshape(-1, 1, 1) for name, c in points.items()})
    spread = np.broadcast_to(must, (24, 1, 1)).reshape(-1), np.broadcast_to(may, (24, 1, 1)).reshape(-1)
    assert [TRUE if sure else 0 if open_ else FALSE for sure, open_ in zip(*spread, strict=True)] == expected
    schema = pa.schema([(name, pa.int32() if domain.is_number(name) else pa.string()) for name in SOME])
    table = pa.table({name: [domain.value(name, row[name]) for row in told] for name in SOME}, schema=schema)
    answered = shared_connection().from_arrow(table).project(as_sql(condition, domain, ON)).fetchall()
    assert [0 if answer is None else TRUE if answer else FALSE for (answer,) in answered] == expected


@cache
def shared_connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@settings(max_examples=40, deadline=None)
@given(condition=conditions(), seed=st.integers(0, 10**6))
def test_terms_for_z3_say_of_a_condition_what_its_tree_says(condition: Condition, seed: int) -> None:
    domain, points = some_domain(), random_points(seed, 4)
    point = Point(domain)
    normal = normal_form(condition, domain, ON)
    both = [term(normal, point, must=True), term(normal, point, must=False)]
    for i in range(4):
        row = {name: int(column[i]) for name, column in points.items()}
        given_codes = [
            (point[name], z3.IntVal(code) if domain.is_number(name) else z3.BitVecVal(code, 8))
            for name, code in row.items()
        ]
        sure, open_ = (z3.is_true(z3.simplify(z3.substitute(one, given_codes))) for one in both)
        assert (TRUE if sure else 0 if open_ else FALSE) == by_tree(condition, row, domain)


@settings(max_examples=40, deadline=None)
@given(condition=conditions(), seed=st.integers(0, 10**6))
def test_english_says_of_a_condition_what_its_tree_says(condition: Condition, seed: int) -> None:
    """The list of phrases is read back: all and any as told, and each sentence by what its comparison says alone."""
    domain, points = some_domain(), random_points(seed, 12)
    leaves = {
        phrase(leaf, domain, ON, negate=negate).text: (leaf, negate)
        for leaf in comparisons(condition)
        for negate in (False, True)
    }

    def told(part: Phrase, row: Mapping[str, int]) -> int:
        if part.joint:
            return (min if part.joint == "all" else max)(told(inner, row) for inner in part.parts)
        leaf, negate = leaves[part.text]
        return by_tree(leaf, row, domain) * (-1 if negate else 1)

    english = phrase(condition, domain, ON)
    assert sentence(english)
    for i in range(12):
        row = {name: int(column[i]) for name, column in points.items()}
        assert told(english, row) == by_tree(condition, row, domain)


def comparisons(condition: Condition) -> list[Condition]:
    match condition:
        case Not(part):
            return comparisons(part)
        case And(parts) | Or(parts):
            return [leaf for part in parts for leaf in comparisons(part)]
    return [condition]


def test_different_comparisons_are_told_in_different_words() -> None:
    loaded, book = settings_and_book()
    told: dict[str, Condition] = {}
    for one in (*book.rules, *book.permits, *book.score_rules):
        for leaf in comparisons(one.condition):
            for negate in (False, True):
                text = phrase(leaf, book.domain, ON, negate=negate).text
                key = Not(leaf) if negate else leaf
                other = told.setdefault(text, key)
                # `x = 'yes'` and `not (x = 'no')` are the same claim.
                assert as_columns(other, book.domain, ON).__closure__ is not None
                assert sure_points(other, book.domain) == sure_points(key, book.domain), text
    assert loaded.rules


def sure_points(condition: Condition, domain: Domain) -> list[int]:
    leaf = condition.part if isinstance(condition, Not) else condition
    fact = leaf.fact  # type: ignore[union-attr]
    codes = range(-1, 800) if domain.is_number(fact) else range(len(domain.facts[fact].values) + 1)
    closure = as_closure(condition, domain, ON)
    return [closure({fact: code}) for code in codes]


@pytest.mark.parametrize("n", [1, 30])
def test_order_repetition_of_facts_and_files_of_cards_change_nothing(n: int) -> None:
    loaded, book = settings_and_book()
    facts = random_facts(n, 3, 11, 0.9)
    expected = rule(book, facts)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(loaded.rules))
        other = Book.load(loaded.model_copy(update={"rules": tuple(loaded.rules[i] for i in order)}), ON)
        assert other.hash == book.hash
        assert_same(rule(other, facts), expected)


def test_every_form_asks_the_same_facts() -> None:
    _, book = settings_and_book()
    asked = {fact for one in (*book.rules, *book.permits, *book.score_rules) for fact in facts_of_normal(one.normal)}
    assert asked <= {name for name, _, _ in book.inputs}
