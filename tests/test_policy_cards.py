"""Every shipped card: its examples hold, it is reviewed as pending, and mistakes in cards are reported at load."""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from configs.cards import RuleCard
from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from policy.book import BLOCKING, Book
from policy.examples import ExampleResult, run_examples
from policy.lint import lint_book

SETTINGS = load_settings()
RESULTS = run_examples(SETTINGS)
CARDS = {card.id: card for card in SETTINGS.rules}
TODAY = date(2026, 11, 22)
# The default rules, by the ids that the policy gives them.
THE_45 = [
    "GEN-01",
    "GEN-02",
    "GEN-03",
    "GEN-04",
    "GEN-05",
    "GEN-06",
    "GEN-07",
    "GEN-08",
    "FEA-01",
    "FEA-02",
    "FEA-03",
    "FEA-04",
    "FEA-05",
    "EU-01",
    "EU-02",
    "EU-03",
    "RX-01",
    "RX-02",
    "UK-01",
    "UK-02",
    "CH-01",
    "US-01",
    "US-02",
    "US-03",
    "US-04",
    "US-05",
    "US-06",
    "US-07",
    "US-08",
    "US-09",
    "US-10",
    "US-11",
    "HCP-01",
    "HCP-02",
    "HCP-03",
    "CA-01",
    "AU-01",
    "CON-01",
    "CON-02",
    "CON-03",
    "CON-04",
    "CON-05",
    "FRQ-01",
    "SUP-01",
    "HYG-01",
]
PERMITS = ["P-CONSENT", "P-US-B2B", "P-SOFT", "P-FR-B2B", "P-CASL", "P-LI", "P-SERVICE"]
# Each with the sub-cards that differ in effect or reason, and the overlays of member states.
# Ours beside the default rules: objections and advertising platforms, services that are not offered there.
BESIDE = ["GEN-09", "SVC-01"]
SUB_CARDS = [
    "GEN-01-TOPIC",
    "GEN-03-S",
    "GEN-05-REV",
    "GEN-06-F",
    "EU-01-DE",
    "EU-01-FR",
    "EU-02-FR",
    "EU-02-FR-LIST",
    "EU-03-STALE",
    "FEA-03-M",
    "US-05-REG",
    "US-06-REFILL",
    "US-06-F",
    "US-08-F",
    "US-09-F",
    "HCP-02-F",
    "HCP-03-DETAILER",
    "CON-01-BARE",
    "CON-01-FILED",
    "CON-02-AUD",
    "CON-02-IND",
    "CON-02-MKT",
    "CON-02-SEG",
    "CON-02-CHN",
    "CON-03-MI",
    "CON-04-F",
    "SUP-01-CASE",
    "HYG-01-STALE",
    "HYG-01-SEG",
    "CNS-01",
    "FRQ-02",
    "FRQ-03",
    "FRQ-04",
]


def _shown(value: Any) -> str:
    return value.id if isinstance(value, RuleCard) else f"{value.card}-{value.number}"


@pytest.mark.parametrize("result", RESULTS, ids=_shown)
def test_an_example_keeps_its_verdict(result: ExampleResult) -> None:
    assert result.found == result.expected


def test_a_card_whose_words_changed_sides_fails_its_example() -> None:
    flipped = CARDS["GEN-01"].model_copy(update={"applies_when": f"NOT ({CARDS['GEN-01'].applies_when})"})
    results = run_examples(SETTINGS.model_copy(update={"rules": (flipped,)}))
    assert not all(result.holds for result in results)


@pytest.mark.parametrize("card", SETTINGS.rules, ids=_shown)
def test_a_card_shows_both_sides_and_waits_for_counsel(card: RuleCard) -> None:
    assert len({example["verdict"] for example in card.examples}) == 2
    assert card.review.status == "pending-counsel"
    assert card.review.next > TODAY
    assert all(legal.cite and legal.checked <= TODAY for legal in card.legal)


@pytest.mark.parametrize("rule", THE_45)
def test_each_of_the_45_default_rules_ships(rule: str) -> None:
    family = [card for card in CARDS if card == rule or card.startswith(f"{rule}-")]
    assert family, rule


def test_the_book_is_the_45_rules_their_sub_cards_and_the_seven_permits() -> None:
    assert set(CARDS) == ({*THE_45} - {"CON-02"}) | {*SUB_CARDS, *BESIDE, *PERMITS}
    assert {card.id for card in SETTINGS.rules if card.effect == "permit"} == {*PERMITS}


def test_a_file_holds_one_family() -> None:
    homes: dict[str, set[str]] = {}
    for card in SETTINGS.rules:
        homes.setdefault(SETTINGS.files["policy/rules", card.id], set()).add(card.id.split("-")[0])
    # A few cards stand with what they are about: the hours with the caps, health records with the features.
    strangers = {
        "policy/rules/general.yaml": {"GEN", "CNS"},
        "policy/rules/frequency.yaml": {"FRQ", "US"},
        "policy/rules/features.yaml": {"FEA", "GEN", "US", "CON"},
    }
    for file, families in homes.items():
        assert families == strangers.get(file, families) and (file in strangers or len(families) == 1), file


def test_calling_hours_speak_only_where_something_is_sent() -> None:
    at = {gate: Book.load(SETTINGS, TODAY, gate) for gate in ("action", "send")}  # type: ignore[arg-type]
    # What is only true at the moment of sending speaks only there.
    assert {rule.id for rule in at["send"].rules} - {rule.id for rule in at["action"].rules} == {"US-05"}


def test_the_effects_are_those_of_the_table() -> None:
    def effects(stem: str) -> set[str]:
        return {card.effect for card in SETTINGS.rules if card.id == stem or card.id.startswith(f"{stem}-")}

    assert effects("GEN-03") == {"forbid", "no_score"}
    assert effects("GEN-05") == {"limit_content", "review"}
    assert effects("GEN-06") == {"forbid", "drop_feature"}
    assert effects("FEA-03") == {"drop_feature", "mask"}
    assert effects("EU-03") == {"forbid", "review"}
    assert effects("US-05") == {"suppress_until", "review"}
    assert effects("US-06") == {"forbid", "drop_feature", "review"}
    assert effects("HCP-02") == {"review", "forbid"}
    assert effects("CON-04") == {"reroute", "drop_feature"}
    assert effects("CON-05") == {"reroute"}
    assert effects("HYG-01") == {"forbid", "review"}


def test_cards_of_the_feature_gate_say_nothing_about_messages() -> None:
    book = Book.load(SETTINGS, TODAY, "feature")
    assert not book.rules and not book.permits and not book.score_rules
    assert {rule.id for rule in book.feature_rules} == {
        "FEA-01", "FEA-02", "FEA-03", "FEA-03-M", "GEN-06-F", "US-06-F", "US-08-F", "US-09-F", "CON-04-F",
    }  # fmt: skip
    for gate in ("action", "send"):
        looked_at = {fact for fact, _, _ in Book.load(SETTINGS, TODAY, gate).inputs}
        assert not looked_at & {"data_kind", "data_source_listed"}


def test_a_card_that_ships_switched_off_says_why_and_is_never_in_force() -> None:
    off = {card.id for card in SETTINGS.rules if card.switched_off}
    assert off == {"FEA-04", "HCP-03-DETAILER"}
    assert off.isdisjoint(rule.id for gate in ("feature", "action", "send") for rule in _compiled(SETTINGS, gate))
    on = [card.model_copy(update={"switched_off": None}) for card in SETTINGS.rules]
    assert "FEA-04" in {rule.id for rule in _compiled(SETTINGS.model_copy(update={"rules": tuple(on)}), "feature")}


def _compiled(settings: Settings, gate: Any) -> list[Any]:
    book = Book.load(settings, TODAY, gate)
    return [*book.rules, *book.permits, *book.score_rules, *book.feature_rules]


def test_the_shipped_book_passes_its_lints() -> None:
    assert lint_book(SETTINGS, TODAY) == []


def test_lints_name_overdue_reviews_and_old_citations() -> None:
    late = {finding.kind for finding in lint_book(SETTINGS, date(2028, 1, 1))}
    assert late == {"overdue_review", "citation_not_rechecked"}


def _linted(card: str, **changes: Any) -> set[str]:
    rules = tuple(one.model_copy(update=changes) if one.id == card else one for one in SETTINGS.rules)
    return {f.kind for f in lint_book(SETTINGS.model_copy(update={"rules": rules}), TODAY) if f.where == card}


def test_the_lint_asks_for_an_example_on_each_side_and_for_unknown() -> None:
    yes, no, unknown = CARDS["FEA-02"].examples
    assert _linted("FEA-02", examples=(yes, unknown)) == {"one_sided_examples"}
    assert _linted("FEA-02", examples=(no, unknown)) == {"one_sided_examples"}
    assert _linted("FEA-02", examples=(yes, no)) == {"no_unknown_example"}
    assert _linted("FEA-02", examples=(yes, no, unknown)) == set()


def test_the_lint_finds_examples_that_no_card_can_keep_both() -> None:
    clear = {"opt_out": "no", "opt_out_pending": "no", "verdict": "pass"}
    # The same facts, and one more: who is let through on less is let through on more.
    assert "contradictory_examples" in _linted(
        "GEN-01", examples=(*CARDS["GEN-01"].examples, {**clear, "verdict": "forbid"})
    )
    more = {**clear, "adult": "yes", "verdict": "forbid"}
    assert "contradictory_examples" in _linted("GEN-01", examples=(*CARDS["GEN-01"].examples, more))
    less = {"opt_out": "no", "verdict": "forbid"}
    assert "contradictory_examples" not in _linted("GEN-01", examples=(*CARDS["GEN-01"].examples, less))


def test_the_lint_finds_days_without_a_rule() -> None:
    early = CARDS["CA-01"].effective.model_copy(update={"start": date(2010, 1, 1)})
    assert _linted("CA-01", effective=early) == {"effective_gap"}  # its parameters begin in 2014
    ended = CARDS["CH-01"].effective.model_copy(update={"until": date(2027, 1, 1)})
    assert _linted("CH-01", effective=ended) == {"effective_gap"}
    sooner = CARDS["EU-02-FR-LIST"].effective.model_copy(update={"until": date(2026, 8, 10)})
    assert _linted("EU-02-FR-LIST", effective=sooner) == {"effective_gap"}  # one day of France without a card


def test_the_lint_finds_parameters_and_facts_that_nobody_answers_for() -> None:
    parameters = dict(SETTINGS.parameters)
    parameters["pv.hours"] = parameters["pv.hours"].model_copy(update={"reference": " "})
    parameters["nobody.asks"] = parameters["pv.hours"].model_copy(update={"reference": "Company"})
    facts = dict(SETTINGS.facts)
    facts["opt_out"] = facts["opt_out"].model_copy(update={"max_age_days": None})
    facts["idle"] = facts["asset_notice"]
    found = lint_book(SETTINGS.model_copy(update={"parameters": parameters, "facts": facts}), TODAY)
    assert {(finding.kind, finding.where) for finding in found} == {
        ("parameter_without_reference", "pv.hours"),
        ("dead_parameter", "nobody.asks"),
        ("fact_without_max_age", "opt_out"),
        ("unused_fact", "idle"),
    }


def test_every_parameter_has_a_reference_and_every_named_one_exists() -> None:
    for card in SETTINGS.rules:
        named = set(re.findall(r"\{([a-z_.0-9]+)\}", f"{card.applies_when} {card.unless_surely}"))
        assert named | {*card.relies_on} <= set(SETTINGS.parameters)
    assert all(parameter.reference for parameter in SETTINGS.parameters.values())
    assert CARDS["CON-05"].within == "pv.hours"


def test_a_card_is_in_force_from_its_first_day_only() -> None:
    before, after = Book.load(SETTINGS, date(2014, 6, 30)), Book.load(SETTINGS, date(2014, 7, 1))
    assert "CA-01" not in {rule.id for rule in before.rules}
    assert "CA-01" in {rule.id for rule in after.rules}
    assert before.hash != after.hash


def test_the_hash_is_the_same_for_the_same_book_and_changes_with_a_parameter() -> None:
    on = date(2026, 6, 30)
    book = Book.load(SETTINGS, on)
    assert Book.load(load_settings(), on).hash == book.hash
    # One that a condition compares with, and one that a card only relies on.
    for name, value in (("caps.touches_7d", 4), ("pv.hours", 48), ("age.adult_years", 21)):
        parameters = dict(SETTINGS.parameters)
        parameters[name] = parameters[name].model_copy(update={"values": {date(2000, 1, 1): value}})
        assert Book.load(SETTINGS.model_copy(update={"parameters": parameters}), on).hash != book.hash


def test_every_blocking_effect_has_a_card() -> None:
    assert {card.effect for card in SETTINGS.rules} >= {*BLOCKING, "permit", "no_score", "drop_feature", "mask"}


def _copy(target: Path) -> Path:
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def _edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_mistake_in_cards_is_reported_at_once_with_file_and_key(tmp_path: Path) -> None:
    folder = _copy(tmp_path / "configs")
    rules = "policy/rules"
    _edit(folder, f"{rules}/general.yaml", "applies_when: opt_out = 'yes'", "applies_when: opted_out = 'yes'")
    _edit(folder, f"{rules}/professionals.yaml", "{audience: hcp, no_contact: no, verdict: pass}", "{verdict: perhaps}")
    _edit(folder, f"{rules}/content.yaml", "  route_to: pharmacovigilance\n", "")
    _edit(folder, f"{rules}/permits.yaml", "jurisdiction = 'US' AND audience IN ('hcp', 'buyer')", "opt_out = 'no'")
    _edit(folder, f"{rules}/features.yaml", "  gates: [feature]\n", "")
    _edit(folder, f"{rules}/hygiene.yaml", "hard_bounce = 'yes'", "data_kind = 'health'")
    _edit(folder, f"{rules}/general.yaml", "relies_on: [age.adult_years]", "relies_on: [age.of_reason]")
    _edit(folder, f"{rules}/switzerland.yaml", "status: pending-counsel", "status: signed")
    _edit(folder, f"{rules}/canada.yaml", "{from: 2014-07-01}", "{from: 2014-07-01, until: 2014-07-01}")
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(folder)
    found = {str(problem) for problem in caught.value.problems}
    assert "policy/rules/general.yaml: GEN-01.applies_when: unknown fact opted_out at character 1" in found
    assert "policy/rules/professionals.yaml: HCP-01.examples.0.verdict: expected forbid or pass" in found
    assert any("content.yaml: CON-05.route_to" in problem for problem in found)
    assert any("content.yaml: CON-05.within" in problem for problem in found)
    assert any("permits.yaml: P-US-B2B.applies_when: expected a permit to name" in problem for problem in found)
    assert any("features.yaml: FEA-01.gates: expected [feature]" in problem for problem in found)
    assert any("hygiene.yaml: HYG-01.applies_when: data_kind is about a datum" in problem for problem in found)
    assert "policy/rules/general.yaml: GEN-04.relies_on: unknown parameter age.of_reason" in found
    assert any("switzerland.yaml: CH-01.review.status: expected pending-counsel" in problem for problem in found)
    assert any("canada.yaml: CA-01.effective.until" in problem for problem in found)


def test_a_card_other_than_a_review_may_not_ask_whether_a_fact_is_unknown(tmp_path: Path) -> None:
    folder = _copy(tmp_path / "configs")
    _edit(folder, "policy/rules/general.yaml", "applies_when: opt_out = 'yes'", "applies_when: opt_out IS UNKNOWN")
    with pytest.raises(ConfigInvalid, match=r"GEN-01\.applies_when: IS UNKNOWN is only for"):
        load_settings(folder)
