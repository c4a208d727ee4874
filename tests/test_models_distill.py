"""A cluster becomes a short condition that parses and reproduces it, measured on rows it was not written from."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.cards import FactDeclaration
from configs.conditions import facts_used, leaves, parse
from features.evaluate import Domain
from models.candidates.conjunctions import conjunctions
from models.candidates.distill import Distilled, distill, evaluate, measure, round_number, slug

ON = date(2026, 6, 30)
SPECIALTIES = ("oncology", "cardiology", "pharmacy", "other")
SETTINGS = ("academic", "community", "inpatient", "outpatient")


def fact(kind: str, values: tuple[str, ...] = ()) -> FactDeclaration:
    return FactDeclaration(type=kind, says="made up", source="made up", values=values)


DOMAIN = Domain(
    {"specialty": fact("enum", SPECIALTIES), "care_setting": fact("enum", SETTINGS), "clicks": fact("int")}, {}
)


def a_world(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Every fact at random, unknown for one lead in five or six."""
    random = np.random.default_rng(seed)
    return {
        "specialty": random.integers(0, 5, n).astype(np.uint8),
        "care_setting": random.integers(0, 5, n).astype(np.uint8),
        "clicks": random.integers(-1, 6, n).astype(np.int32),
    }


def written(text: str, n: int, seed: int = 0) -> tuple[Distilled, dict[str, np.ndarray], np.ndarray]:
    world = a_world(n, seed)
    member = evaluate(text, world, DOMAIN, ON)
    found = distill(member, world, DOMAIN, ON, learn=np.ones(n, dtype=bool))
    assert found is not None
    return found, world, member


def test_a_planted_rule_is_reproduced_exactly_on_a_hundred_rows() -> None:
    for rule in (
        "specialty = 'oncology' AND clicks >= 2",
        "specialty IN ('oncology', 'cardiology') AND care_setting = 'community'",
        "clicks <= 1",
    ):
        found, world, member = written(rule, 100)
        np.testing.assert_array_equal(evaluate(found.enter, world, DOMAIN, ON), member)


def test_two_alternatives_become_an_or() -> None:
    rule = "(specialty = 'oncology' AND care_setting = 'academic') OR (specialty = 'pharmacy' AND clicks >= 3)"
    found, world, member = written(rule, 100, seed=3)
    assert measure(evaluate(found.enter, world, DOMAIN, ON), member).f1 > 0.85
    assert " OR " in found.enter


def test_thresholds_are_whole_numbers_and_categories_are_lists() -> None:
    found, _, _ = written("specialty IN ('oncology', 'cardiology') AND clicks >= 2", 400)
    assert found.enter == "specialty IN ('cardiology', 'oncology') AND clicks >= 2"


def test_exit_is_the_opposite_with_counts_loosened() -> None:
    found, world, member = written("specialty = 'oncology' AND clicks >= 4", 400)
    assert found.exit == "NOT (specialty = 'oncology' AND clicks >= 2)"
    assert not np.any(evaluate(found.exit, world, DOMAIN, ON) & member)


def test_fidelity_is_measured_on_rows_that_were_not_learned_from() -> None:
    world = a_world(1000)
    random = np.random.default_rng(5)
    member = evaluate("specialty = 'oncology'", world, DOMAIN, ON) ^ (random.random(1000) < 0.1)
    learn = np.arange(1000) < 700
    found = distill(member, world, DOMAIN, ON, learn=learn)
    assert found is not None
    assert found.fidelity.measured_on == 300
    own = evaluate(found.enter, world, DOMAIN, ON)[700:]
    assert found.fidelity == measure(own, member[700:])


def test_fidelity_by_hand() -> None:
    found, member = np.array([1, 1, 1, 0], dtype=bool), np.array([1, 1, 0, 1], dtype=bool)
    quality = measure(found, member)  # two of three found are members, two of three members are found
    assert (quality.precision, quality.recall, quality.f1, quality.size) == (2 / 3, 2 / 3, 2 / 3, 3)


def test_an_empty_cluster_and_everybody_have_no_condition() -> None:
    world = a_world(50)
    assert distill(np.zeros(50, dtype=bool), world, DOMAIN, ON) is None
    assert distill(np.ones(50, dtype=bool), world, DOMAIN, ON) is None


@given(st.integers(0, 10_000))
@profile(deadline=None, max_examples=20)
def test_whatever_the_cluster_a_condition_parses_and_stays_short(seed: int) -> None:
    world = a_world(200, seed)
    member = np.random.default_rng(seed).random(200) < 0.3
    found = distill(member, world, DOMAIN, ON, seed=seed)
    if found is None:
        return
    condition = parse(found.enter, DOMAIN.facts, {})
    parse(found.exit, DOMAIN.facts, {})
    assert set(facts_used(condition)) == set(found.facts)
    assert found.enter.count(" OR ") <= 2
    assert len(list(leaves(condition))) <= 3 * 4 * 2


def test_noise_is_in_no_condition() -> None:
    world = a_world(3000)
    random = np.random.default_rng(4)
    member = evaluate("specialty = 'oncology'", world, DOMAIN, ON) & (random.random(3000) < 0.8)  # hard to say exactly
    for seed in range(8):
        noise = a_world(3000, seed + 50)
        found = distill(member, {**noise, "specialty": world["specialty"]}, DOMAIN, ON, seed=seed)
        assert found is not None
        assert found.facts == ("specialty",)


def test_a_rule_never_asks_for_an_unknown_value() -> None:
    # Members are those whose setting nobody knows, and who are in pharmacy: only the latter can be asked for.
    world = a_world(600)
    member = (world["specialty"] == 3) & ((world["care_setting"] == 0) | (world["clicks"] >= 1))
    rules = conjunctions(member, world, DOMAIN.is_number, terms=3, rules=2)
    assert rules
    assert all(0 not in codes for rule in rules for codes in rule.codes.values())
    assert all(low >= 0 for rule in rules for low in rule.low.values())


def test_rules_are_grown_for_what_earlier_rules_left() -> None:
    world = a_world(900)
    member = (world["specialty"] == 1) | ((world["care_setting"] == 2) & (world["clicks"] >= 3))
    rules = conjunctions(member, world, DOMAIN.is_number, terms=2, rules=2)
    assert rules[0].codes == {"specialty": frozenset({1})}
    second = [rule for rule in rules if rule.names == {"care_setting", "clicks"}]
    assert [(rule.codes, rule.low) for rule in second] == [({"care_setting": frozenset({2})}, {"clicks": 3})]


def test_a_slug_is_made_of_the_values() -> None:
    assert slug("specialty = 'oncology' AND care_setting IN ('academic', 'community')") == "oncology_academic_community"
    assert slug("clicks >= 2") == "cluster"


@pytest.mark.parametrize(
    ("exact", "said"),
    [(0, 0), (7, 7), (99, 99), (104, 100), (105, 110), (193, 190), (66_313, 66_000), (99_500, 100_000)],
)
def test_a_threshold_is_a_number_that_a_person_would_say(exact: int, said: int) -> None:
    assert round_number(exact) == said
