"""The compiler held against the meaning: every rule on many leads, by the engine's forms and by Kleene's tables.

What is right is worked out once, from the syntax trees (policy/proofs/expected.py); then the code that is in place at
the moment is asked: the book it loads, each card compiled, masks by every form of the engine, what is said about single
leads, and what becomes of faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray

import policy.rulings as engine
from configs.settings import Settings
from features.evaluate import Normal, as_closure, as_columns, reading
from policy.answers import answers
from policy.book import Book, Rule
from policy.examples import run_examples
from policy.proofs.book_facts import Loaded, domain_wrongly, too_much
from policy.proofs.expected import codes_at, expected, expected_words
from policy.proofs.kleene import FALSE, TRUE, truth
from policy.proofs.mask_facts import masks_wrongly
from policy.proofs.mutation import UNNOTICED, Fate
from policy.proofs.populations import Population, drawn_of, every_rule, few_of, population, unsigned, wrong
from policy.proofs.small_books import small_books, whole_language
from policy.proofs.terms import Point, meaning, term

Place = tuple[int, int, int]


class Differential:
    """Examples, and the compiler over the shipped book, a book that uses all of the language, and many small ones."""

    def __init__(
        self, settings: Settings, on: date, *, leads: int = 16, assets: int = 3, seed: int = 6, small: int | None = None
    ) -> None:
        """Work out what is right. `small` takes only so many of the small books; all when None."""
        self._settings, self._on = settings, on
        books = list(small_books(settings, on))[:small]
        self._checked = [_Checked.of(name, one, on, few_of, seed) for name, one in books]
        for name, one in (("the whole language", whole_language(settings)), ("the shipped book", settings)):
            self._checked.append(_Checked.of(name, one, on, lambda b, s: drawn_of(b, leads, assets, s), seed))

    def notices(self) -> tuple[Fate, str]:
        """What the first check that fails is, or that none does; runs on whatever code is in place now."""
        failed = next((r for r in run_examples(self._settings) if not r.holds), None)
        if failed is not None:
            return "example", f"{failed.card} example {failed.number}"
        found = self.first_difference()
        return ("survived", UNNOTICED) if found is None else ("proof", found)

    def first_difference(self) -> str | None:
        """Where the compiler says another thing than the cards mean, or None."""
        for wrongly in (
            domain_wrongly(self._settings, self._on), too_much(self._settings, self._on), masks_wrongly()
        ):  # fmt: skip
            if wrongly is not None:
                return wrongly
        return next(
            (f"C-16 {c.name}: {said}" for c in self._checked if (said := c.first_difference()) is not None), None
        )


@dataclass(frozen=True)
class _Checked:
    """One book with what is right of it, worked out while nothing was changed."""

    name: str
    settings: Settings
    on: date
    loaded: Loaded
    forms: Mapping[str, Normal]
    drawn: Sequence[Population]
    wanted: Sequence[Mapping[str, NDArray[Any]]]
    words: Sequence[Mapping[Place, Mapping[str, Any]]]
    truths: Sequence[Mapping[str, list[int]]]
    faulty: Sequence[tuple[str, Population, Mapping[str, NDArray[Any]]]]

    @classmethod
    def of(
        cls, name: str, settings: Settings, on: date, draw: Callable[[Book, int], list[Population]], seed: int
    ) -> _Checked:
        book = Book.load(settings, on, "send")
        drawn = draw(book, seed)
        if name == _MISTYPED:
            # More leads than the kernels take at a time.
            drawn.append(population(book, 300, 2, seed, 0.0))
            drawn.append(unsigned(population(book, 12, 2, seed, 0.0)))
        return cls(
            name, settings, on, Loaded.of(settings, on),
            {rule.id: rule.normal for rule in every_rule(book)},
            drawn,
            [expected(book, one) for one in drawn],
            [{place: expected_words(book, one, place) for place in _places(book, one)} for one in drawn],
            # Single rules are those of other books; here it is their number.
            [{} if name == _MANY else _truths(book, one) for one in drawn],
            [(what, other, expected(book, _without(other, silent)))
             for what, other, silent in (wrong(book, drawn[1]) if name in _FAULTY else ())],
        )  # fmt: skip

    def first_difference(self) -> str | None:
        said = self.loaded.differs(self.settings, self.on) if self.name in _LOADED else None
        if said is not None:
            return said
        book = Book.load(self.settings, self.on, "send")
        for rule in every_rule(book):
            if self.forms[rule.id] != rule.normal and _differs(rule, book):
                return f"{rule.id} is not compiled as written"
        for drawn, wanted, words, truths in zip(self.drawn, self.wanted, self.words, self.truths, strict=True):
            for said in (
                _masks_differ(book, drawn, wanted),
                _words_differ(book, drawn, words),
                _alone(book, drawn, truths),
            ):
                if said is not None:
                    return said
            if drawn.one is not None and (said := _answers_differ(book, drawn, drawn.one, wanted)) is not None:
                return said
        for what, other, wanted in self.faulty:
            for small in (other.n, 0):
                if _differ(ruled_by(book, other, small), wanted) is not None or ruled(book, other, small).errors != 1:
                    return f"a fault is not caught: {what}"
        return _unevaluated(book, self.drawn, mistyped=self.name == _MISTYPED)


# Books of which faults are tried, and of which every gate is looked at: a few are enough, and loading takes longest.
_LOADED = ("no card at all", "who may not be scored", "drawn 0", "the shipped book")
_FAULTY = ("one permit, one stop", "cards about lead_asset", "drawn 0")
_MISTYPED = "one permit, one stop"
_MANY = "127 stops"


def _masks_differ(book: Book, drawn: Population, wanted: Mapping[str, NDArray[Any]]) -> str | None:
    for form, small in (("scalar", drawn.n), ("columns", 0)):
        name = _differ(ruled_by(book, drawn, small), wanted)
        if name is not None:
            return f"{form}: {name} differ from Kleene's tables"
        if ruled(book, drawn, small).errors:
            return f"{form}: a fault is told of where there is none"
    return None if _in_parts(ruled(book, drawn, 0)) else "masks of some leads at a time differ from all of them"


def _in_parts(rulings: engine.Rulings) -> bool:
    """Whether masks of five leads at a time are, one after the other, those of all leads."""
    before = engine._PART
    engine._PART = 5 * rulings.shape[1] * rulings.shape[2]
    try:
        parts = [(rows, blocks.copy(), permits.copy()) for rows, blocks, permits in rulings.parts()]
    finally:
        engine._PART = before
    places = [place for rows, _, _ in parts for place in range(rows.start, rows.stop)]
    return (
        places == list(range(rulings.n))
        and max(len(blocks) for _, blocks, _ in parts)
        <= max(5, rulings.n if isinstance(rulings.block_words, np.ndarray) else 5)
        and np.array_equal(np.concatenate([blocks for _, blocks, _ in parts]), rulings.blocks)
        and np.array_equal(np.concatenate([permits for _, _, permits in parts]), rulings.permits)
    )


def _differ(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> str | None:
    return next((name for name, masks in wanted.items() if not np.array_equal(found[name], masks)), None)


def _words_differ(book: Book, drawn: Population, words: Mapping[Place, Mapping[str, Any]]) -> str | None:
    """What is said about single leads: ids, the strongest effect, reasons and facts, permits that may open."""
    for small in (drawn.n, 0):
        rulings = ruled(book, drawn, small)
        for place, wanted in words.items():
            no_basis = [] if wanted["permits"] else ["NO_LEGAL_BASIS"]
            reasons = rulings.explain(*place)
            said = {
                "headline": rulings.headline(*place),
                "rules": rulings.rule_ids(*place),
                "permits": rulings.permit_ids(*place),
                "reasons": [_bare(one) for one in reasons[: len(reasons) - len(no_basis)]],
                "no score": [_bare(one) for one in rulings.explain_score(place[0])],
                "open permits": rulings.open_permits(*place),
            }
            if said != wanted or [one["rule"] for one in reasons] != wanted["rules"]:
                return f"what is said about a lead: {next((k for k in said if said[k] != wanted[k]), 'reasons')}"
    return None


def _bare(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without what is only copied from the card."""
    return {name: value for name, value in entry.items() if name != "basis"}


def _alone(book: Book, drawn: Population, truths: Mapping[str, list[int]]) -> str | None:
    """Each rule by itself at the first asset and channel: its closure, its arrays, and arrays shared between rules."""
    columns = {fact: column[:, :1, :1] for fact, column in drawn.columns.items()}
    if not truths or any(column.dtype == np.uint16 for column in columns.values()):
        return None
    seen: dict[Any, Any] = {}
    for rule in every_rule(book):
        wanted = np.array(truths[rule.id])
        must, may = as_columns(rule.condition, book.domain, book.on)(columns)
        shared = [reading(rule.normal, columns, seen, must=one) for one in (True, False)]
        for found, said in (
            (must, wanted == TRUE),
            (may, wanted != FALSE),
            *zip(shared, (wanted == TRUE, wanted != FALSE), strict=True),
        ):
            if not np.array_equal(np.broadcast_to(found.reshape(-1), drawn.n), said):
                return "arrays of one rule differ from Kleene's tables"
        closure = as_closure(rule.condition, book.domain, book.on)
        if [closure(codes_at(drawn, (lead, 0, 0))) for lead in range(drawn.n)] != truths[rule.id]:
            return "the closure of one rule differs from Kleene's tables"
    return None


def _answers_differ(
    book: Book, drawn: Population, given: Mapping[str, Any], wanted: Mapping[str, NDArray[Any]]
) -> str | None:
    """The short answer for one lead: asked twice, because it remembers; and of facts that are not all there."""
    for _ in range(2):
        found = answers(book, given, len(drawn.assets))
        for asset, channel in np.ndindex(len(drawn.assets), len(book.channels)):
            blocks, permits = wanted["blocks"][0, asset, channel], wanted["permits"][0, asset, channel]
            rules = tuple(rule.id for bit, rule in enumerate(book.rules) if blocks >> bit & 1)
            counted = tuple(rule.id for bit, rule in enumerate(book.permits) if permits >> bit & 1)
            rules += () if counted else ("NO_LEGAL_BASIS",)
            if found[asset][channel] != (bool(counted and not rules), rules, counted):
                return "the short answer differs from Kleene's tables"
    if any(len(by_channel) != len(book.channels) for by_channel in found) or len(found) != len(drawn.assets):
        return "the short answer has another shape"
    for more in (1, 2):
        # Asked about more assets than before: an answer for each, if only that nothing could be evaluated.
        if len(answers(book, given, len(drawn.assets) + more)) != len(drawn.assets) + more:
            return "the short answer has another shape"
    of_assets = [fact for fact, per, _ in book.inputs if per in ("asset", "lead_asset", "asset_channel")]
    for fact in of_assets:
        # One asset more than was asked about: facts of other assets must not be taken for these.
        one = {**given, fact: [*given[fact], given[fact][0]]}
        if any(a.allowed for row in answers(book, one, len(drawn.assets)) for a in row):
            return "facts of other assets were taken for these"
    looked = {fact for rule in (*book.rules, *book.permits) for fact in rule.facts}
    for fact in looked:
        one = {name: value for name, value in given.items() if name != fact}
        if any(a != (False, ("EVALUATION_ERROR",), ()) for row in answers(book, one, len(drawn.assets)) for a in row):
            return "the short answer passes over a fact that is not there"
    return None


def _unevaluated(book: Book, populations: Sequence[Population], *, mistyped: bool) -> str | None:
    """Whatever goes wrong while evaluating forbids everything, and says so."""
    broken = replace(book, program=None)  # type: ignore[arg-type]
    drawn = populations[1]
    rulings = ruled(broken, drawn, 0)
    place = (drawn.n - 1, len(drawn.assets) - 1, len(book.channels) - 1)
    said = [one["rule"] for one in rulings.explain(*place)]
    if (
        rulings.errors != 1
        or bool(rulings.permitted.any())
        or not rulings.no_score.all()
        or rulings.headline(*place) != "forbid"
        or said != ["EVALUATION_ERROR", "NO_LEGAL_BASIS"]
        or [one["rule"] for one in rulings.explain_score(0)] != ["EVALUATION_ERROR"]
        or rulings.blocks.shape[:-1] != rulings.shape
    ):
        return "an error while evaluating does not forbid everything"
    for one in populations if mistyped else ():
        if one.one is not None:
            # The only stop of this book asks for the number, so it is always read.
            rulings = ruled(book, replace(one, one={**one.one, "fact_ln": "many"}), 1)
            if rulings.errors != 1 or bool(rulings.permitted.any()):
                return "a number that is none does not forbid everything"
    return None


def ruled(book: Book, drawn: Population, small: int) -> engine.Rulings:
    """Rulings; with `small` at least the number of leads by the scalar form, with 0 by the columns."""
    before = engine.SMALL
    engine.SMALL = small
    try:
        return engine.rule(book, drawn)
    finally:
        engine.SMALL = before


def ruled_by(book: Book, drawn: Population, small: int) -> dict[str, NDArray[Any]]:
    """Masks of the engine by name, as `expected` has them; see `ruled`."""
    one = ruled(book, drawn, small)
    # Permitted first: it is worked out without the masks where nobody asked for them.
    permitted = one.permitted
    masks = {"blocks": one.blocks, "permits": one.permits, "score blocks": one.score_blocks}
    return {name: _numbers(own) for name, own in masks.items()} | {"permitted": permitted, "no score": one.no_score}


def _numbers(masks: NDArray[np.uint64]) -> NDArray[Any]:
    """Words of masks as whole numbers, the first being the lowest."""
    words = masks.astype(object)
    return np.asarray(sum(words[..., place] << 64 * place for place in range(masks.shape[-1])))


def _places(book: Book, drawn: Population) -> Iterator[Place]:
    """A few places to ask for words at: two corners, and one between; none where codes are wider than a byte."""
    last = drawn.n - 1, len(drawn.assets) - 1, len(book.channels) - 1
    if not any(column.dtype == np.uint16 for column in drawn.columns.values()):
        yield from {(0, 0, 0), last, (drawn.n // 2, len(drawn.assets) // 2, len(book.channels) // 2)}


def _truths(book: Book, drawn: Population) -> dict[str, list[int]]:
    """By rule, by lead: what it says at the first asset and channel."""
    return {
        rule.id: [truth(rule.condition, codes_at(drawn, (lead, 0, 0)), book.domain, book.on) for lead in range(drawn.n)]
        for rule in every_rule(book)
    }


def _without(drawn: Population, facts: frozenset[str]) -> Population:
    return replace(drawn, columns={fact: column for fact, column in drawn.columns.items() if fact not in facts})


def _differs(rule: Rule, book: Book) -> bool:
    """Whether a compiled form says anything else than the card's words, on any codes."""
    point = Point(book.domain)
    must, may = meaning(rule.condition, point, book.on)
    solver = z3.Solver()
    solver.add(
        z3.Or(z3.Xor(term(rule.normal, point, must=True), must), z3.Xor(term(rule.normal, point, must=False), may)),
        point.within(),
    )
    return bool(solver.check() == z3.sat)
