"""Choices of the engine that save time only change no answer, and all its forms agree on books made up for that."""

from __future__ import annotations

import functools
from datetime import date
from typing import Any

import pytest

import policy.clauses
import policy.scalar
from configs.settings import Settings, load_settings
from features.evaluate import facts_of_normal
from policy.proofs.differential import Differential

ON = date(2026, 11, 22)


@functools.cache
def shipped() -> Settings:
    return load_settings()


@functools.cache
def held() -> Differential:
    """The comparison over the first made-up books and the shipped one, on few leads: enough for single mistakes."""
    return Differential(shipped(), ON, leads=2, assets=2, small=6)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 200])
def test_which_rules_become_tables_changes_no_answer(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rules of more clauses are read one by one: where that line is drawn saves time only.
    monkeypatch.setattr(policy.clauses, "MAX_CLAUSES", most)
    assert held().first_difference() is None


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [lambda self, said: frozenset(), lambda self, said: all_of(self, said)])
def test_which_facts_are_asked_by_their_bit_changes_no_answer(chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy.scalar._Maker, "_often_asked", chosen)
    assert held().first_difference() is None


def all_of(maker: Any, said: Any) -> frozenset[str]:
    """Every fact of codes that has one variable, whether or not it is asked for often."""
    asked = {fact for one in said for normal in one.conditions for fact in facts_of_normal(normal)}
    own = {fact: maker.domain.facts[fact] for fact in asked}
    return frozenset(fact for fact, one in own.items() if one.type != "int" and "channel" not in one.per)


@pytest.mark.slow
def test_every_form_of_the_engine_agrees_with_the_tables_on_all_made_up_books() -> None:
    assert Differential(shipped(), ON, leads=2, assets=2).first_difference() is None
