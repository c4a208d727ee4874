"""A mistake in a card or in the compiler is noticed: a seeded sample of what `leadwell rules mutants` makes."""

from __future__ import annotations

import functools
import sys
from datetime import date
from typing import Any

import pytest

import features.evaluate
from configs.conditions import parse
from configs.settings import Settings, load_settings
from policy.proofs import survivors
from policy.proofs.compiler_mutants import compiler_mutants, deciding, judge_code
from policy.proofs.differential import Differential
from policy.proofs.mutants import BookMutant, book_mutants, counts_by_kind, written
from policy.proofs.mutation import UNNOTICED, Judge, Judged, sampled

ON = date(2026, 11, 22)
NOTICED = ("example", "load", "proof")


@functools.cache
def shipped() -> Settings:
    return load_settings()


@functools.cache
def every_mutant() -> tuple[BookMutant, ...]:
    return tuple(book_mutants(shipped()))


@functools.cache
def judge() -> Judge:
    return Judge(shipped(), ON)


def test_every_kind_of_mistake_is_made() -> None:
    kinds = counts_by_kind([mutant.kind for mutant in every_mutant()])
    assert set(kinds) == {
        "drop a card", "flip an operator", "drop a conjunct", "drop a disjunct", "drop a not", "swap and and or",
        "change a value", "swap unless and applies", "change an effect", "change channels", "change gates",
        "change a parameter",
    }  # fmt: skip
    assert kinds["drop a card"] == len(shipped().rules)


def test_a_condition_written_out_parses_to_itself() -> None:
    for card in shipped().rules:
        condition = parse(card.applies_when, shipped().facts, shipped().parameters)
        assert parse(written(condition), shipped().facts, shipped().parameters) == condition


@pytest.mark.slow
def test_a_seeded_sample_of_mistakes_in_the_book_is_noticed() -> None:
    found = [judge().judge(mutant) for mutant in sampled(every_mutant(), 12, 11)]
    told = [one for one in found if one.fate != "equivalent"]
    survived = [(one.where, one.what) for one in told if one.fate == "survived"]
    assert len(told) > 6 and len(survived) <= 0.05 * len(told), survived


def test_a_card_that_is_gone_takes_its_examples_along_and_a_proof_notices() -> None:
    gone = next(m for m in every_mutant() if m.kind == "drop a card" and m.where == "GEN-03")
    found = judge().judge(gone)
    assert found.fate == "proof" and "S-STOPS" in found.by


def test_a_mistake_that_changes_no_decision_is_told_apart() -> None:
    # US-06 stops the same patients with the same words, so nothing is decided otherwise without US-07.
    gone = next(m for m in every_mutant() if m.kind == "drop a card" and m.where == "US-07")
    assert judge().judge(gone).fate == "equivalent"


def test_a_sample_is_drawn_by_its_seed() -> None:
    assert sampled(range(100), 5, 1) == sampled(range(100), 5, 1) != sampled(range(100), 5, 2)
    assert sampled([1, 2], None, 1) == sampled([1, 2], 9, 1) == [1, 2]


@functools.cache
def held() -> Differential:
    """The comparison over the first made-up books and the shipped one, on few leads: enough for single mistakes."""
    return Differential(shipped(), ON, leads=2, assets=2, small=6)


@pytest.mark.slow
def test_must_and_may_swapped_in_the_compiler_is_noticed_and_put_back() -> None:
    before = features.evaluate.source.__code__
    swapped = [m for m in compiler_mutants() if m.kind == "swap must and may" and m.where.endswith(".source")]
    tables = [m for m in compiler_mutants() if m.where.endswith("_OPPOSITE")]
    assert len(swapped) > 3 and len(tables) == 6
    for mutant in (swapped[0], swapped[-1], tables[0]):
        assert judge_code(mutant, held().notices).fate in NOTICED, (mutant.where, mutant.what)
    assert features.evaluate.source.__code__ is before
    assert held().notices() == ("survived", UNNOTICED)


def test_mutants_are_made_of_whatever_decides_and_of_machine_code_too() -> None:
    assert {module.__name__ for module in deciding()} >= {
        "features.evaluate", "policy.answers", "policy.book", "policy.rulings", "policy.scalar",
    }  # fmt: skip
    made = {(mutant.where, mutant.what) for mutant in compiler_mutants()}
    where = {where.rsplit(".", 1)[1] for where, _ in made}
    assert where >= {"source", "reading", "normal_form", "headline", "permitted", "rule", "answers", "load", "in_force"}
    kernels = {m.where for m in compiler_mutants() if hasattr(attribute(m.where), "py_func")}
    assert len(kernels) > 3
    assert len(made) == sum(1 for _ in compiler_mutants())  # each is told apart by its words


def attribute(where: str) -> Any:
    """What a mutant is of, where that is a function of a module."""
    module, _, name = where.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


@pytest.mark.slow
def test_a_mistake_in_machine_code_is_noticed_and_the_machine_code_put_back() -> None:
    mutant = next(m for m in compiler_mutants() if hasattr(attribute(m.where), "py_func") and "BitOr" in m.what)
    before = attribute(mutant.where)
    assert judge_code(mutant, held().notices).fate in NOTICED
    assert attribute(mutant.where) is before


def test_a_survivor_has_its_reason_and_one_that_changes_nothing_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Judged("flip an operator", "policy.x", "a < b: Lt to LtE", "survived", UNNOTICED)
    assert survivors.with_reason(one) == one
    monkeypatch.setattr(survivors, "LEFT", {("policy.x", "a < b: Lt to LtE"): "no promise speaks of it"})
    assert (survivors.with_reason(one).fate, survivors.with_reason(one).by) == ("survived", "no promise speaks of it")
    monkeypatch.setattr(survivors, "SAME", {("policy.x", "a < b: Lt to LtE"): "a is never b"})
    assert (survivors.with_reason(one).fate, survivors.with_reason(one).by) == ("equivalent", "a is never b")


def test_a_reason_is_of_a_mutant_that_is_made() -> None:
    made = {(m.where, m.what) for m in compiler_mutants()} | {(m.where, m.what) for m in every_mutant()}
    assert set(survivors.SAME) | set(survivors.LEFT) <= made
    assert all(len(why.split()) > 4 for why in (*survivors.SAME.values(), *survivors.LEFT.values()))
