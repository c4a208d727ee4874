"""Laws no solver shows: order means nothing, the same bytes again, one value a day, reasons for every denial."""

from __future__ import annotations

import functools
import random
from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from configs.dictionary import AFTER_READINESS
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from policy.book import Book, in_force
from policy.proofs.populations import population
from policy.rulings import rule

ON = date(2026, 11, 22)
DAYS = st.dates(date(2019, 1, 1), date(2031, 1, 1))


@functools.cache
def shipped() -> Settings:
    return load_settings()


@functools.cache
def book() -> Book:
    return Book.load(shipped(), ON, "send")


def shuffled(seed: int) -> Settings:
    cards = list(shipped().rules)
    random.Random(seed).shuffle(cards)
    return shipped().model_copy(update={"rules": tuple(cards)})


@with_settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_c15_the_order_and_the_files_of_cards_mean_nothing(seed: int) -> None:
    # Files are gone once the cards are read: a card of another file is a card at another place of the list.
    other = Book.load(shuffled(seed), ON, "send")
    assert other.hash == book().hash
    drawn = population(book(), 12, 3, seed, 0.8)
    one, two = rule(book(), drawn), rule(other, drawn)
    np.testing.assert_array_equal(one.blocks, two.blocks)
    np.testing.assert_array_equal(one.permits, two.permits)
    np.testing.assert_array_equal(one.score_blocks, two.score_blocks)


def test_c15_a_card_written_twice_decides_as_once() -> None:
    some = shipped().rules
    twice = [*some, *(card.model_copy(update={"id": f"{card.id}-2"}) for card in some)]
    one, two = (Book.load(shipped().model_copy(update={"rules": tuple(cards)}), ON) for cards in (some, twice))
    drawn = population(one, 200, 3, 3, 0.99)
    assert rule(one, drawn).permitted.any()
    np.testing.assert_array_equal(rule(one, drawn).permitted, rule(two, drawn).permitted)


@with_settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_c21_the_same_facts_give_the_same_bytes(seed: int) -> None:
    drawn = population(book(), 6, 2, seed, 0.8)
    again = Book.load(shipped(), ON, "send")
    one, two = rule(book(), drawn), rule(again, drawn)
    assert one.blocks.tobytes() == two.blocks.tobytes() and one.permits.tobytes() == two.permits.tobytes()
    assert one.explain(0, 0, 0) == two.explain(0, 0, 0)
    assert again.hash == book().hash


@with_settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), favorable=st.sampled_from([0.0, 0.9, 1.0]))
def test_c14_every_denial_has_a_reason_and_every_allow_a_permit(seed: int, favorable: float) -> None:
    drawn = population(book(), 8, 2, seed, favorable)
    ruled = rule(book(), drawn)
    known = {card.id for card in shipped().rules} | {"NO_LEGAL_BASIS"}
    for lead, asset, channel in np.ndindex(*ruled.shape):
        if ruled.permitted[lead, asset, channel]:
            assert ruled.permit_ids(lead, asset, channel)
            assert not ruled.rule_ids(lead, asset, channel)
        else:
            found = ruled.rule_ids(lead, asset, channel)
            assert found and set(found) <= known


def test_c19_no_card_at_any_gate_looks_at_a_score() -> None:
    for gate in ("feature", "action", "send"):
        seen = {fact for fact, _, _ in Book.load(shipped(), ON, gate).inputs}
        assert seen.isdisjoint(AFTER_READINESS) and {"band", "readiness"} <= set(AFTER_READINESS)


@with_settings(max_examples=150, deadline=None)
@given(day=DAYS)
def test_c23_on_every_day_exactly_one_value_of_a_parameter_applies(day: date) -> None:
    domain = Domain.of(shipped())
    for name, parameter in shipped().parameters.items():
        starts = sorted(start for start in parameter.values if start <= day)
        if starts:
            value = domain.parameter(name, day)
            assert value == parameter.values[starts[-1]]
            later = [start for start in parameter.values if start > day]
            if later:
                # The last day before a change still has the old value, the day of the change the new one.
                change = min(later)
                assert domain.parameter(name, change - timedelta(days=1)) == value
                assert domain.parameter(name, change) == parameter.values[change]


@with_settings(max_examples=4, deadline=None)
@given(day=st.dates(date(2024, 6, 1), date(2028, 1, 1)))
def test_c23_the_book_of_a_day_holds_the_cards_in_force_that_day(day: date) -> None:
    loaded = Book.load(shipped(), day, "send")
    wanted = {card.id for card in shipped().rules if in_force(card, day) and "send" in card.gates}
    held = (*loaded.rules, *loaded.permits, *loaded.score_rules, *loaded.feature_rules)
    assert {one.id for one in held} == wanted
    assert loaded.on == day
