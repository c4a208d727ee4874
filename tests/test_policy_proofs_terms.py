"""z3's reading of a condition, the closure's and Kleene's tables agree on every code, stray ones among them."""

from __future__ import annotations

import functools
import itertools
from datetime import date

import pytest
import z3

from configs.conditions import facts_used, parse
from configs.settings import Settings, load_settings
from features.evaluate import Domain, as_closure, normal_form
from policy.book import Book
from policy.proofs.differential import Differential
from policy.proofs.kleene import truth
from policy.proofs.mutation import UNNOTICED
from policy.proofs.small_books import whole_language
from policy.proofs.terms import STRAY, BookTerms, Point, meaning, places_of, term

ON = date(2026, 11, 22)
TEXTS = (
    "touches_7d < 3 AND NOT consent = 'granted'",
    "touches_7d >= 3 OR adult <> 'yes'",
    "NOT (touches_7d <> 2 OR consent IN ('granted', 'implied'))",
    "consent <> 'none' AND touches_7d <= {caps.touches_7d}",
    "consent IN ('none', 'withdrawn')",
    "NOT (adult = 'no' AND touches_7d > 2)",
)


@functools.cache
def shipped() -> Settings:
    return load_settings()


@pytest.mark.parametrize("text", TEXTS)
def test_all_readings_agree_on_every_code(text: str) -> None:
    domain = Domain.of(shipped())
    condition = parse(text, shipped().facts, shipped().parameters)
    point, normal = Point(domain), normal_form(condition, domain, ON)
    closure = as_closure(condition, domain, ON)
    pairs = (meaning(condition, point, ON), (term(normal, point, must=True), term(normal, point, must=False)))
    facts = facts_used(condition)
    every = [
        range(-1, 6) if domain.is_number(fact) else (*range(len(domain.facts[fact].values) + 1), STRAY)
        for fact in facts
    ]
    for chosen in itertools.product(*every):
        codes = dict(zip(facts, chosen, strict=True))
        wanted = truth(condition, codes, domain, ON)
        assert closure(codes) == wanted
        for must, may in pairs:
            values = [
                (point[fact], z3.IntVal(code) if domain.is_number(fact) else z3.BitVecVal(code, 8))
                for fact, code in codes.items()
            ]
            said = [z3.is_true(z3.simplify(z3.substitute(reads, *values))) for reads in (must, may)]
            assert said == [wanted == 1, wanted != -1], codes


def test_a_solver_never_leaves_the_domain_of_a_fact() -> None:
    point = Point(Domain.of(shipped()))
    point["adult"], point["touches_7d"]
    solver = z3.Solver()
    solver.add(point.within())
    for outside in (point["adult"] == 3, point["touches_7d"] == -2, point["touches_7d"] > 1_000_000):
        assert solver.check(outside) == z3.unsat
    assert solver.check(point["adult"] == STRAY) == z3.sat


def test_each_gate_decides_its_own() -> None:
    assert places_of("feature", ("email",)) == ("features", "view")
    assert places_of("action", ("email",)) == ("email", "scoring")
    assert places_of("send", ("email",)) == ("email",)


def test_a_book_without_a_permit_allows_nothing() -> None:
    stops = tuple(card for card in shipped().rules if card.effect == "forbid")[:3]
    book = Book.load(shipped().model_copy(update={"rules": stops}), ON)
    terms = BookTerms(book, Point(book.domain))
    assert z3.is_false(terms.allowed("email"))


def test_the_forms_of_the_engine_agree_with_the_tables_on_the_book_and_on_the_whole_language() -> None:
    held = Differential(shipped(), ON, leads=2, assets=2, small=3)
    assert held.notices() == ("survived", UNNOTICED)
    ids = {card.id[0] for card in whole_language(shipped()).rules}
    assert ids == {"X", "Y", "Z"}
