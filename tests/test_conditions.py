"""The condition language: what parses, what is refused and how clearly, and that all its forms agree."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.cards import FactDeclaration, Parameter
from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName, facts_used, parse
from configs.errors import ConditionInvalid
from features.evaluate import FALSE, TRUE, UNKNOWN, Domain, as_closure, as_columns, as_english, as_sql

ON = date(2026, 6, 30)
FACTS = {
    "opt_out": FactDeclaration(type="yesno", says="opted out", source="s", values=("no", "yes")),
    "place": FactDeclaration(type="enum", says="place of law", source="s", values=("US", "CA", "UK")),
    "days": FactDeclaration(type="int", says="days ago", source="s", max=100),
}
PARAMETERS = {
    "casl.days": Parameter(values={date(2014, 7, 1): 5, date(2026, 7, 1): 3}, reference="CASL"),
    "tcpa.all": Parameter(values={date(2024, 4, 4): False, date(2027, 1, 31): True}, reference="TCPA"),
}
DOMAIN = Domain(FACTS, PARAMETERS)


def read(text: str) -> Condition:
    return parse(text, FACTS, PARAMETERS)


def test_and_binds_tighter_than_or_and_not_tighter_than_and() -> None:
    a, b, c = Compare("days", "=", 1), Compare("days", "=", 2), Compare("days", "=", 3)
    assert read("days = 1 or not days = 2 and days = 3") == Or((a, And((Not(b), c))))


def test_every_construct_of_the_language_parses() -> None:
    text = "place IN ('US', 'CA') AND days <= {casl.days} OR (opt_out <> 'yes' AND NOT days IS UNKNOWN)"
    assert read(text) == Or(
        (
            And((In("place", ("US", "CA")), Compare("days", "<=", ParameterName("casl.days")))),
            And((Compare("opt_out", "<>", "yes"), Not(IsUnknown("days")))),
        )
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lower(place) = 'us'", "character 6"),
        ("cast(days as int) = 1", "character 5"),
        ("days::int = 1", "character 5"),
        ("days = 1 + 1", "character 10"),
        ("place LIKE 'U%'", "character 7"),
        ("days = (select 1)", "character 8"),
        ("days = 1; drop table leads", "character 9"),
        ("days = 1 -- x", "character 10"),
        ("place = US", "a 'value'"),
        ('place = "US"', "a 'value'"),
        ("days = null", "a whole number"),
        ("days = 1.5", "character 9"),
        ("opt_out", "found the end"),
        ("days = 1 and", "found the end"),
        ("(days = 1", "found the end"),
        ("", "found the end"),
        ("place in ()", "a 'value'"),
        ("city = 'x'", "unknown fact city"),
        ("place = 'ZZ'", "expected one of US, CA, UK"),
        ("place in ('US', 'us')", "expected one of"),
        ("days = 'x'", "expected a whole number"),
        ("days < 'x'", "expected a whole number"),
        ("days in ('x')", "not IN"),
        ("place < 'US'", "no order"),
        ("opt_out >= 'yes'", "no order"),
        ("opt_out = 1", "expected a quoted value"),
        ("opt_out = 'true'", "expected one of no, yes"),
        ("days <= 101", "outside 0 to 100"),
        ("days <= {casl.months}", "unknown parameter"),
        ("place = {casl.days}", "cannot be compared"),
        ("days = {tcpa.all}", "cannot be compared"),
        ("opt_out > {tcpa.all}", "no order"),
        ("(" * 40 + "days = 1" + ")" * 40, "at most 32"),
        ("days = 1 or " * 400 + "days = 1", "at most 4000 characters"),
    ],
)
def test_a_condition_outside_the_language_is_refused_with_a_clear_message(text: str, words: str) -> None:
    with pytest.raises(ConditionInvalid, match=words.replace("(", r"\(").replace("'", "'")):
        read(text)


def test_a_parameter_has_the_value_of_the_day() -> None:
    condition = read("days <= {casl.days} and opt_out = {tcpa.all}")
    for on, days, code in ((date(2026, 6, 30), 5, 1), (date(2026, 7, 1), 3, 1), (date(2027, 1, 31), 3, 2)):
        evaluate = as_closure(condition, DOMAIN, on)
        assert evaluate({"days": days, "opt_out": code}) == TRUE
        assert evaluate({"days": days + 1, "opt_out": code}) == FALSE
    with pytest.raises(ConditionInvalid, match="no value on 2014-06-30"):
        as_closure(condition, DOMAIN, date(2014, 6, 30))


def test_unknown_follows_kleene() -> None:
    # opt_out unknown (0), days 1: unknown AND true = unknown, unknown AND false = false, unknown OR true = true.
    facts = {"opt_out": 0, "days": 1}
    expected = {
        "opt_out = 'no' and days = 1": UNKNOWN,
        "opt_out = 'no' and days = 2": FALSE,
        "opt_out = 'no' or days = 1": TRUE,
        "opt_out = 'no' or days = 2": UNKNOWN,
        "not opt_out = 'no'": UNKNOWN,
        "opt_out = 'no' or opt_out = 'yes'": UNKNOWN,
        "opt_out is unknown": TRUE,
        "not opt_out is unknown": FALSE,
        "place = 'US'": UNKNOWN,
    }
    assert {text: as_closure(read(text), DOMAIN, ON)(facts) for text in expected} == expected


def test_a_code_outside_the_vocabulary_and_any_negative_number_are_unknown() -> None:
    for text in ("place = 'US'", "place <> 'US'", "place in ('US', 'CA')", "not place in ('US', 'CA')"):
        assert as_closure(read(text), DOMAIN, ON)({"place": 9}) == UNKNOWN
        must, may = as_columns(read(text), DOMAIN, ON)({"place": np.array([9], dtype=np.uint8)})
        assert (must.item(), may.item()) == (False, True)
    assert as_closure(read("days < 3"), DOMAIN, ON)({"days": -1}) == UNKNOWN


def test_columns_keep_the_smallest_shape_that_tells_leads_assets_and_channels_apart() -> None:
    evaluate = as_columns(read("opt_out = 'no' and days < 3"), DOMAIN, ON)
    must, may = evaluate({"opt_out": np.ones((4, 1, 5), dtype=np.uint8), "days": np.zeros((4, 1, 1), dtype=np.int32)})
    assert must.shape == may.shape == (4, 1, 5)


def test_english_and_facts_used_name_what_the_condition_says() -> None:
    condition = read("place IN ('US', 'CA') AND (days <= {casl.days} OR opt_out = 'no')")
    assert as_english(condition, DOMAIN, ON) == "place is US or CA and (days is at most 5 or opt out is no)"
    assert facts_used(condition) == ("place", "days", "opt_out")


LEAVES = st.one_of(
    st.builds(Compare, st.just("days"), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 4)),
    st.builds(Compare, st.just("place"), st.sampled_from(["=", "<>"]), st.sampled_from(["US", "CA", "UK"])),
    st.builds(In, st.just("place"), st.lists(st.sampled_from(["US", "CA", "UK"]), min_size=1, unique=True).map(tuple)),
    st.builds(Compare, st.just("opt_out"), st.just("="), st.sampled_from(["no", "yes"])),
    st.builds(IsUnknown, st.sampled_from(["days", "place", "opt_out"])),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
GRID = [(o, p, d) for o in range(3) for p in range(4) for d in range(-1, 5)]
CODES = {
    "opt_out": np.array([o for o, _, _ in GRID], dtype=np.uint8),
    "place": np.array([p for _, p, _ in GRID], dtype=np.uint8),
    "days": np.array([d for _, _, d in GRID], dtype=np.int32),
}


@pytest.fixture(scope="module")
def oracle() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute('CREATE TABLE t ("row" INT, opt_out TEXT, place TEXT, days INT)')
    for row in range(len(GRID)):
        values = [DOMAIN.value(fact, int(CODES[fact][row])) for fact in ("opt_out", "place", "days")]
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [row, *values])
    return connection


@settings(max_examples=150, deadline=None)
@given(condition=CONDITIONS)
def test_closure_columns_and_sql_agree_on_every_combination(
    oracle: duckdb.DuckDBPyConnection, condition: Condition
) -> None:
    answers = oracle.execute(f'SELECT {as_sql(condition, DOMAIN, ON)} FROM t ORDER BY "row"').fetchall()
    sql = [UNKNOWN if answer is None else TRUE if answer else FALSE for (answer,) in answers]
    evaluate = as_closure(condition, DOMAIN, ON)
    scalar = [evaluate(dict(zip(("opt_out", "place", "days"), row, strict=True))) for row in GRID]
    must, may = (np.broadcast_to(reading, len(GRID)) for reading in as_columns(condition, DOMAIN, ON)(CODES))
    columns = [TRUE if sure else UNKNOWN if possible else FALSE for sure, possible in zip(must, may, strict=True)]
    assert scalar == sql
    assert columns == sql
