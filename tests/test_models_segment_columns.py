"""Many conditions in one pass answer as each of them does alone, for any codes."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.cards import FactDeclaration
from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName
from configs.settings import load_settings
from features.evaluate import TRUE, Domain, as_closure, as_columns
from models.segments.columns import BLOCK, ConditionProgram
from models.segments.map import SegmentMap

ON = date(2026, 6, 30)
COLOURS = ("red", "green", "blue")
FACTS = {
    "colour": FactDeclaration(type="enum", says="colour", source="made", values=COLOURS),
    "shape": FactDeclaration(type="enum", says="shape", source="made", values=("round", "square")),
    "count": FactDeclaration(type="int", says="count", source="made", max=9),
    "days": FactDeclaration(type="int", says="days", source="made"),
}
DOMAIN = Domain(FACTS, load_settings().parameters)
NUMBERS = ("count", "days")

leaves = st.one_of(
    st.builds(IsUnknown, st.sampled_from(sorted(FACTS))),
    st.builds(Compare, st.just("colour"), st.sampled_from(["=", "<>"]), st.sampled_from(COLOURS)),
    st.builds(In, st.just("colour"), st.sets(st.sampled_from(COLOURS), min_size=1).map(lambda v: tuple(sorted(v)))),
    st.builds(Compare, st.just("shape"), st.sampled_from(["=", "<>"]), st.sampled_from(["round", "square"])),
    st.builds(Compare, st.sampled_from(NUMBERS), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 9)),
)
conditions = st.recursive(
    leaves,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.lists(part, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(part, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)
# Every code there is, unknown, and some that mean nothing; numbers beyond what is declared.
leads = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 3, 4, 255]), st.sampled_from([0, 1, 2, 3]), st.integers(-2, 11), st.integers(-1, 11)
    ),
    min_size=1, max_size=9,
)  # fmt: skip


def columns_of(rows: list[tuple[int, ...]], absent: frozenset[str]) -> dict[str, np.ndarray]:
    types = {"colour": np.uint8, "shape": np.uint8, "count": np.int32, "days": np.int32}
    return {
        name: np.array([row[place] for row in rows], dtype=types[name]).reshape(-1, 1, 1)
        for place, name in enumerate(FACTS)
        if name not in absent
    }


@profile(deadline=None, max_examples=150)
@given(asked=st.lists(conditions, min_size=1, max_size=5), rows=leads, absent=st.frozensets(st.sampled_from(NUMBERS)))
def test_both_readings_are_those_of_columns_and_of_the_closure_of_each_condition(
    asked: list[Condition], rows: list[tuple[int, ...]], absent: frozenset[str]
) -> None:
    columns = columns_of(rows, absent)
    must = ConditionProgram.of(asked, DOMAIN, ON)(columns, len(rows))
    may = ConditionProgram.of(asked, DOMAIN, ON, "may")(columns, len(rows))
    assert not (must & ~may).any()
    for place, condition in enumerate(asked):
        alone = [np.broadcast_to(part.reshape(-1), len(rows)) for part in as_columns(condition, DOMAIN, ON)(columns)]
        assert must[:, place].tolist() == alone[0].tolist()
        assert may[:, place].tolist() == alone[1].tolist()
        closure = as_closure(condition, DOMAIN, ON)
        for row, codes in enumerate(rows):
            found = closure({n: c for n, c in zip(FACTS, codes, strict=True) if n not in absent})
            assert (must[row, place], may[row, place]) == (found == TRUE, found >= 0)


@pytest.mark.parametrize("n", [1, 63, 64, 65, BLOCK - 1, BLOCK + 1, 9 * BLOCK + 17])
def test_words_blocks_and_threads_end_anywhere(n: int) -> None:
    colour = (np.arange(n) * 7 % 5).astype(np.uint8)
    columns = {"colour": colour, "count": (np.arange(n) % 12 - 1).astype(np.int32)}
    asked = [Compare("colour", "=", "green"), And((Compare("colour", "<>", "red"), Compare("count", ">", 3)))]
    program = ConditionProgram.of(asked, DOMAIN, ON)
    expected = np.stack([as_columns(one, DOMAIN, ON)(columns)[0] for one in asked], axis=1)
    for threads in (1, 2, 3):
        assert np.array_equal(program(columns, n, threads=threads), expected)


def test_a_fact_that_is_the_same_for_everybody_may_be_given_once() -> None:
    program = ConditionProgram.of([Compare("shape", "=", "round")], DOMAIN, ON)
    assert program({"shape": np.array([1], dtype=np.uint8).reshape(1, 1, 1)}, 3).tolist() == [[True]] * 3
    assert program({"shape": np.array([2], dtype=np.uint8).reshape(1, 1, 1)}, 3).tolist() == [[False]] * 3


def test_no_condition_never_holds_and_nothing_asked_is_nothing_answered() -> None:
    program = ConditionProgram.of([None, IsUnknown("count")], DOMAIN, ON)
    assert program({}, 2).tolist() == [[False, True]] * 2
    assert program({}, 0).shape == (0, 2)
    assert ConditionProgram.of([], DOMAIN, ON)({}, 2).shape == (2, 0)


def test_parts_that_several_conditions_share_are_worked_out_once() -> None:
    red = Compare("colour", "=", "red")
    many = Compare("count", ">=", 3)
    program = ConditionProgram.of([red, And((red, many)), Or((And((red, many)), IsUnknown("days")))], DOMAIN, ON)
    assert (len(program.tables), len(program.bounds), len(program.joins)) == (1, 2, 2)
    assert program.facts == ("colour", "count", "days")


def test_parameters_are_those_of_the_day() -> None:
    name = next(n for n, p in DOMAIN.parameters.items() if not any(isinstance(v, bool) for v in p.values.values()))
    value = DOMAIN.parameter(name, ON)
    program = ConditionProgram.of([Compare("days", "=", ParameterName(name))], DOMAIN, ON)
    assert program({"days": np.array([value, value + 1], dtype=np.int32)}, 2).tolist() == [[True], [False]]


def test_the_shipped_map_answers_as_its_conditions_do_one_by_one() -> None:
    settings = load_settings()
    domain = Domain.of(settings)
    map_ = SegmentMap([d for d in settings.segments if not d.residual] + [d for d in settings.segments if d.residual],
                      domain)  # fmt: skip
    asked = [c for a in map_.activations for c in (a.enter, a.exit) if c is not None]
    rng = np.random.default_rng(5)
    n, columns = 700, {}
    for name in {fact for activation in map_.activations for fact in activation.facts}:
        if domain.is_number(name):
            columns[name] = rng.integers(-1, 6, n).astype(np.int32)
        else:
            columns[name] = rng.integers(0, len(domain.facts[name].values) + 2, n).astype(np.uint8)
    found = ConditionProgram.of(asked, domain, ON)(columns, n)
    for place, condition in enumerate(asked):
        assert np.array_equal(found[:, place], as_columns(condition, domain, ON)(columns)[0]), condition
