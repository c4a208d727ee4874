"""Every shipped card: its examples hold, it is reviewed as pending, and mistakes in cards are reported at load."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from configs.cards import RuleCard
from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, load_settings
from policy.book import Book
from policy.examples import ExampleResult, run_examples
from policy.lint import lint_book

SETTINGS = load_settings()
RESULTS = run_examples(SETTINGS)


def _shown(value: Any) -> str:
    return value.id if isinstance(value, RuleCard) else f"{value.card}-{value.number}"


@pytest.mark.parametrize("result", RESULTS, ids=_shown)
def test_an_example_keeps_its_verdict(result: ExampleResult) -> None:
    assert result.found == result.expected


def test_a_card_whose_words_changed_sides_fails_its_example() -> None:
    card = next(card for card in SETTINGS.rules if card.id == "GEN-01")
    flipped = card.model_copy(update={"applies_when": f"NOT ({card.applies_when})"})
    results = run_examples(SETTINGS.model_copy(update={"rules": (flipped,)}))
    assert not all(result.holds for result in results)


@pytest.mark.parametrize("card", SETTINGS.rules, ids=_shown)
def test_a_card_shows_both_sides_and_waits_for_counsel(card: RuleCard) -> None:
    assert len({example["verdict"] for example in card.examples}) == 2
    assert card.review.status == "pending-counsel"


def test_the_required_cards_ship() -> None:
    required = {
        "GEN-01", "GEN-03", "GEN-03-S", "GEN-04", "GEN-05", "FEA-05", "EU-01", "EU-02", "EU-03", "RX-01", "UK-01",
        "UK-02", "CH-01", "US-02", "US-04", "CA-01", "AU-01", "HCP-01", "CON-01", "CON-02-AUD", "CON-02-MKT",
        "CON-02-SEG", "CON-02-IND", "CON-03", "CON-04", "CON-05", "FRQ-01", "SUP-01", "HYG-01", "P-CONSENT",
        "P-US-B2B", "P-CASL", "P-SOFT", "P-LI", "P-SERVICE",
    }  # fmt: skip
    assert required <= {card.id for card in SETTINGS.rules}


def test_the_shipped_book_passes_its_lints() -> None:
    assert lint_book(SETTINGS, date(2026, 11, 22)) == []


def test_lints_name_overdue_reviews_and_old_citations() -> None:
    late = {finding.kind for finding in lint_book(SETTINGS, date(2028, 1, 1))}
    assert late == {"overdue_review", "citation_not_rechecked"}


def test_a_card_is_in_force_from_its_first_day_only() -> None:
    before, after = Book.load(SETTINGS, date(2014, 6, 30)), Book.load(SETTINGS, date(2014, 7, 1))
    assert "CA-01" not in {rule.id for rule in before.rules}
    assert "CA-01" in {rule.id for rule in after.rules}
    assert before.hash != after.hash


def test_the_hash_is_the_same_for_the_same_book_and_changes_with_a_parameter() -> None:
    on = date(2026, 6, 30)
    book = Book.load(SETTINGS, on)
    assert Book.load(load_settings(), on).hash == book.hash
    parameters = dict(SETTINGS.parameters)
    cap = parameters["caps.touches_7d"]
    parameters["caps.touches_7d"] = cap.model_copy(update={"values": {date(2000, 1, 1): 4}})
    assert Book.load(SETTINGS.model_copy(update={"parameters": parameters}), on).hash != book.hash


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
    _edit(folder, "policy/rules/suppression.yaml", "applies_when: opt_out = 'yes'", "applies_when: opted_out = 'yes'")
    _edit(folder, "policy/rules/people.yaml", "{audience: hcp, no_contact: no, verdict: pass}", "{verdict: perhaps}")
    _edit(folder, "policy/rules/cases.yaml", "  route_to: pharmacovigilance\n", "")
    _edit(folder, "policy/rules/permits.yaml", "jurisdiction = 'US' AND audience IN ('hcp', 'buyer')", "opt_out = 'no'")
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(folder)
    found = {str(problem) for problem in caught.value.problems}
    assert "policy/rules/suppression.yaml: GEN-01.applies_when: unknown fact opted_out at character 1" in found
    assert "policy/rules/people.yaml: HCP-01.examples.0.verdict: expected forbid or pass" in found
    assert any("cases.yaml: CON-05.route_to" in problem for problem in found)
    assert any("permits.yaml: P-US-B2B.applies_when: expected a permit to name" in problem for problem in found)


def test_a_card_other_than_a_review_may_not_ask_whether_a_fact_is_unknown(tmp_path: Path) -> None:
    folder = _copy(tmp_path / "configs")
    _edit(folder, "policy/rules/suppression.yaml", "applies_when: opt_out = 'yes'", "applies_when: opt_out IS UNKNOWN")
    with pytest.raises(ConfigInvalid, match=r"GEN-01\.applies_when: IS UNKNOWN is only for"):
        load_settings(folder)
