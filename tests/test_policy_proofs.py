"""The proofs: every invariant holds over the shipped book, a hole is found and re-run, and a second prover agrees."""

from __future__ import annotations

import functools
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.conditions import parse
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from policy.book import Book
from policy.proofs import counterexample
from policy.proofs.counterexample import Code, ProofDisagrees
from policy.proofs.enumeration import enumerate_cases
from policy.proofs.invariants import INVARIANTS, RESTATED
from policy.proofs.lint import is_wrong, lint_by_proof
from policy.proofs.promises import Promise
from policy.proofs.prover import Prover, Verdict, parsed, prove
from policy.proofs.restated import PROMISES

ON = date(2026, 11, 22)
ROOT = Path(__file__).parents[1]
GATES = ("feature", "action", "send")
RUNNER = CliRunner()


@functools.cache
def shipped() -> Settings:
    return load_settings()


@functools.cache
def proved() -> list[Verdict]:
    return prove(shipped(), [(gate, Book.load(shipped(), ON, gate)) for gate in GATES])


def with_cards(**changes: dict[str, Any] | None) -> Settings:
    """The shipped cards with some changed, or gone where None; ids are written with _ for -."""
    named = {name.replace("_", "-"): change for name, change in changes.items()}
    rules = tuple(
        card.model_copy(update=named.get(card.id) or {})
        for card in shipped().rules
        if not (card.id in named and named[card.id] is None)
    )
    return shipped().model_copy(update={"rules": rules})


def broken_by(family: str, channel: str, settings: Settings) -> Verdict | None:
    """The first promise of a family that a book breaks on a channel, at the gate where actions are chosen."""
    prover = Prover(settings, Book.load(settings, ON), "action", reach=False)
    for one in prover.promises:
        if one.of.family == family and channel in one.of.channels and "action" in one.of.gates:
            for verdict in prover._promise(one):
                if verdict.channel == channel and not verdict.holds:
                    return verdict
    return None


@pytest.mark.slow
def test_every_invariant_holds_over_the_shipped_book_at_every_gate() -> None:
    failed = [(v.invariant, v.words, v.gate, v.channel, v.why) for v in proved() if not v.holds]
    assert failed == []
    shown = {v.invariant for v in proved()}
    assert shown >= {name for name, invariant in INVARIANTS.items() if invariant.how == "proved"} - {"C-17"}
    assert shown >= set(RESTATED)
    assert sum(v.seconds for v in proved()) < 30


def test_each_invariant_says_how_it_is_shown_and_its_tests_exist() -> None:
    assert list(INVARIANTS) == [f"C-{number:02d}" for number in range(1, 24)]
    for invariant in INVARIANTS.values():
        assert invariant.how == "proved" or invariant.tests, invariant.id
        for test in invariant.tests:
            assert (ROOT / test).is_file(), f"{invariant.id}: {test}"


def test_a_permit_that_forgets_the_audience_is_found_as_the_first_draft_had_it() -> None:
    permit = next(card for card in shipped().rules if card.id == "P-CASL")
    forgot = permit.applies_when.replace("AND audience IN ('hcp', 'buyer')", "")
    found = broken_by("C-06", "email", with_cards(P_CASL={"applies_when": forgot}))
    assert found is not None and found.counterexample is not None
    facts = found.counterexample.facts
    # Nobody knowing who the person is breaks the promise as well; the solver may show either.
    assert facts["jurisdiction"] == "CA" and facts.get("audience") in (None, "patient", "caregiver")
    assert facts["consent"] == "implied" and facts["opt_out"] == "no"


def test_an_opt_out_card_that_is_gone_is_found_though_its_examples_went_with_it() -> None:
    found = broken_by("C-01", "mail", with_cards(GEN_01=None))
    assert found is not None and found.counterexample is not None
    assert found.counterexample.facts.get("opt_out") != "no"


def test_a_counterexample_names_nothing_that_does_not_matter() -> None:
    settings = with_cards(GEN_03=None)
    found = broken_by("S-STOPS", "phone", settings)
    assert found is not None and found.counterexample is not None
    facts = dict(found.counterexample.facts)
    code, domain = Code(Book.load(settings, ON)), Book.load(settings, ON).domain
    codes = {f: v if isinstance(v, int) else domain.code(f, v) for f, v in facts.items()}
    assert code.allows(codes, "phone")
    for fact in facts:
        assert not code.allows({k: v for k, v in codes.items() if k != fact}, "phone")


def test_a_prover_that_the_code_contradicts_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Code, "by_closures", lambda self, codes, channel: False)
    with pytest.raises(ProofDisagrees):
        broken_by("C-01", "email", with_cards(GEN_01=None))


def test_the_facts_of_a_point_reach_the_engine_as_codes() -> None:
    book = Book.load(shipped(), ON)
    columns = counterexample.columns_of_point(book, {"jurisdiction": 3, "touches_7d": 2})
    assert (columns["jurisdiction"].item(), columns["touches_7d"].item()) == (3, 2)
    assert (columns["audience"].item(), columns["touches_30d"].item()) == (0, -1)


CARRIED = {
    "C-01": ("email", {"GEN-01"}, 9),
    "C-05": ("sms", {"US-02"}, None),
    "C-12": ("phone", {"SUP-01"}, None),
}


@pytest.mark.parametrize("family", CARRIED)
def test_trying_every_case_of_the_witness_rules_agrees_with_the_solver(family: str) -> None:
    channel, cards, cases = CARRIED[family]
    book = Book.load(shipped(), ON)
    promise = next(p for p in PROMISES if p.family == family)
    condition = parsed(promise, shipped()).condition
    assert condition is not None
    tried = enumerate_cases(book, channel, condition, tuple(cards))
    assert tried.holds and tried.tried > 1
    if cases is not None:
        assert tried.cases == cases
    # Without its witness the same cases break the promise, so trying them can fail.
    assert not enumerate_cases(book, channel, condition, ()).holds


@pytest.mark.slow
def test_the_second_prover_agrees_wherever_the_cases_are_few_enough() -> None:
    books = {gate: Book.load(shipped(), ON, gate) for gate in GATES}
    by_words = {(p.family, p.words): p for p in PROMISES}
    tried = skipped = 0
    for verdict in proved():
        promise = by_words.get((verdict.invariant, verdict.words))
        if promise is None or verdict.gate == "action":
            continue
        condition = parsed(promise, shipped()).condition
        assert condition is not None
        found = enumerate_cases(books[verdict.gate], verdict.channel, condition, verdict.witnesses, most=3_000)
        assert found.broken is None, (verdict.words, verdict.channel, found.broken)
        tried, skipped = tried + found.holds, skipped + (found.tried < found.cases)
    assert tried > 4 * skipped


def test_a_promise_about_a_fact_nobody_declared_fails_and_says_why() -> None:
    found = parsed(Promise("S-X", "a fact that is not there", ("email",), "no_such_fact = 'yes'"), shipped())
    assert found.condition is None and "unknown fact no_such_fact" in found.why


def test_lint_finds_a_dead_card_one_that_always_fires_and_examples_that_contradict() -> None:
    few = {card.id: card for card in shipped().rules if card.id in ("P-CONSENT", "GEN-03", "HYG-01", "US-10")}
    stop = few["GEN-03"]
    always = "erased_or_restricted = 'yes' OR erased_or_restricted <> 'yes'"
    rules = (
        few["P-CONSENT"],
        stop.model_copy(update={"applies_when": always, "channels": ("email",),
                                "examples": (*stop.examples, {**stop.examples[0], "verdict": "pass"})}),
        # Even an unknown number of touches may be one or the other, so only a card about nothing at all is dead.
        few["HYG-01"].model_copy(update={"applies_when": "touches_7d < 0", "channels": ("sms",)}),
        few["US-10"],
    )  # fmt: skip
    found = [(f.kind, f.where) for f in lint_by_proof(shipped().model_copy(update={"rules": rules}), ON)]
    assert ("always_fires", "GEN-03") in found
    assert ("contradictory_examples", "GEN-03") in found
    assert ("never_allowed", "email") in found
    assert ("always_fires", "US-10") not in found
    wrong = {f.kind for f in lint_by_proof(shipped().model_copy(update={"rules": rules}), ON) if is_wrong(f)}
    assert wrong >= {"always_fires", "contradictory_examples", "never_allowed"}


def test_the_command_names_a_lead_and_exits_1_when_the_book_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from policy.proofs import prover

    few = [p for p in PROMISES if p.family == "C-01"]
    monkeypatch.setattr(prover, "PROMISES", few)
    monkeypatch.setattr(prover, "REACHABLE", ())
    monkeypatch.setattr("policy.proofs.relations.verdicts", lambda _: ())
    monkeypatch.setattr("configs.settings.load_settings", lambda *_: with_cards(GEN_01=None))
    result = RUNNER.invoke(app, ["rules", "prove", "--json", "--as-of", "2026-11-22"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    broken = [check for check in told["checks"] if not check["holds"]]
    assert told["failed"] == len(broken) > 0
    assert broken[0]["counterexample"]["facts"]["jurisdiction"]
    monkeypatch.setattr("configs.settings.load_settings", lambda *_: shipped())
    assert RUNNER.invoke(app, ["rules", "prove", "--as-of", "2026-11-22"]).exit_code == 0


def test_kleene_reads_a_condition_as_sql_does() -> None:
    from policy.proofs.kleene import truth

    book = Book.load(shipped(), ON)

    def says(text: str, **codes: int) -> int:
        return truth(parse(text, shipped().facts, shipped().parameters), codes, book.domain, ON)

    assert says("adult = 'yes' OR NOT adult = 'yes'") == 0  # unknown, so a rule with it blocks
    assert says("adult = 'yes' AND consent = 'granted'", adult=1) == -1
    assert says("touches_7d < 3", touches_7d=-1) == 0
    assert says("consent <> 'granted'", consent=255) == 0
    assert says("consent IS UNKNOWN", consent=255) == 1


def test_a_counterexample_runs_as_a_command(tmp_path: Path) -> None:
    lead = tmp_path / "lead.json"
    facts = {"jurisdiction": "US", "audience": "hcp", "opt_out": "yes"}
    lead.write_text(json.dumps({"channel": "email", "gate": "action", "facts": facts}))
    result = RUNNER.invoke(app, ["rules", "point", str(lead), "--json", "--as-of", "2026-11-22"])
    told = json.loads(result.stdout)
    assert (told["allowed"], told["permits"]) == (False, ["P-US-B2B"])
    assert "GEN-01" in {block["rule"] for block in told["blocks"]}
    lead.write_text(json.dumps({"channel": "email", "facts": {"jurisdiction": "Mars"}}))
    refused = RUNNER.invoke(app, ["rules", "point", str(lead)])
    assert isinstance(refused.exception, InputInvalid) and "Mars" not in str(refused.exception)
