"""Signing cards: a name under the very text, an edit that makes it pending again, and a list that is only added to."""

from __future__ import annotations

import json
import shutil
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import ConfigInvalid, InputInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from configs.signature_file import sign_cards
from configs.signatures import FILE, KEPT, CardSignature, read_signatures, text_hash, with_signatures
from policy.book import Book

DAY = date(2026, 11, 22)


@cache
def _shipped() -> Settings:
    return load_settings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "configs"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing but signatures, beside the shipped cards: reading all settings anew takes its time."""

    def light(folder: Path) -> Settings:
        signatures, problems = read_signatures(folder)
        assert problems == []
        rules = tuple(with_signatures(_shipped().rules, _shipped().parameters, signatures))
        return _shipped().model_copy(update={"signatures": signatures, "rules": rules})

    monkeypatch.setattr("configs.signature_file.load_settings", light)
    return tmp_path


def _sign(folder: Path, *cards: str, by: str = "Maria Ortiz", role: str = "counsel-ca", on: date = DAY) -> Settings:
    def entry(_: Settings, card: str, text: str) -> CardSignature:
        return CardSignature(card=card, text=text, by=by, role=role, on=on)

    settings, _ = sign_cards(folder, cards, entry)
    return settings


def _status(settings: Settings, card: str) -> str:
    return next(one.review.status for one in settings.rules if one.id == card)


def _edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_nothing_ships_signed() -> None:
    assert _shipped().signatures == ()
    assert {card.review.status for card in _shipped().rules} == {"pending-counsel"}


def test_a_signed_card_is_signed_until_its_text_or_a_parameter_it_names_changes(folder: Path) -> None:
    signed = _sign(folder, "CA-01", "GEN-04")
    again = load_settings(folder)
    for settings in (signed, again):
        assert (_status(settings, "CA-01"), _status(settings, "GEN-04")) == ("signed", "signed")
        assert _status(settings, "CH-01") == "pending-counsel"
    # A word of the card.
    _edit(folder, "policy/rules/canada.yaml", "that has not run out:", "that is still alive:")
    assert _status(load_settings(folder), "CA-01") == "pending-counsel"
    _edit(folder, "policy/rules/canada.yaml", "that is still alive:", "that has not run out:")
    assert _status(load_settings(folder), "CA-01") == "signed"
    # A value it compares with, and one that it only relies on; a comment in the file says nothing.
    _edit(
        folder,
        "policy/parameters.yaml",
        "casl.inquiry_days: {values: {2014-07-01: 182}",
        "casl.inquiry_days: {values: {2014-07-01: 183}",
    )
    _edit(
        folder,
        "policy/parameters.yaml",
        "age.adult_years: {values: {2000-01-01: 18}",
        "age.adult_years: {values: {2000-01-01: 21}",
    )
    _edit(folder, "policy/rules/switzerland.yaml", "# Switzerland.", "# Switzerland, mostly.")
    after = load_settings(folder)
    assert (_status(after, "CA-01"), _status(after, "GEN-04")) == ("pending-counsel", "pending-counsel")


def test_a_book_is_pending_until_its_last_card_is_signed(bare: Path) -> None:
    cards = sorted(card.id for card in _shipped().rules)
    assert Book.load(_sign(bare, *cards[1:]), DAY).review == "pending-counsel"
    assert Book.load(_sign(bare, cards[0]), DAY).review == "signed"
    assert Book.load(_shipped(), DAY).review == "pending-counsel"


def test_a_signature_changes_no_decision_and_so_no_hash(bare: Path) -> None:
    signed = _sign(bare, "CA-01")
    assert signed.rules != _shipped().rules
    assert Book.load(signed, DAY).hash == Book.load(_shipped(), DAY).hash
    assert signed.digest("rules") == _shipped().digest("rules")


def test_one_person_signs_a_text_once_and_a_second_one_may(bare: Path) -> None:
    _sign(bare, "CA-01")
    with pytest.raises(InputInvalid, match="was signed by them"):
        _sign(bare, "CA-01", by="Dr. M. Ortiz", role="counsel-eu")
    with pytest.raises(InputInvalid, match="expected a day not before 2026-11-22"):
        _sign(bare, "CA-01", by="Jan Keller", on=date(2026, 11, 21))
    assert len(_sign(bare, "CA-01", by="Jan Keller").signatures) == 2


def test_one_wrong_card_signs_none(bare: Path) -> None:
    with pytest.raises(InputInvalid, match="no card is named CA-99"):
        _sign(bare, "CA-01", "CA-99")
    assert not (bare / FILE).exists()


def test_the_list_is_only_added_to_and_the_text_is_kept(bare: Path) -> None:
    _sign(bare, "CA-01")
    first = (bare / FILE).read_bytes()
    settings = _sign(bare, "CH-01", "UK-01", by="Jan Keller")
    assert (bare / FILE).read_bytes().startswith(first)
    assert [entry.card for entry in settings.signatures] == ["CA-01", "CH-01", "UK-01"]
    card = next(card for card in settings.rules if card.id == "CA-01")
    text = text_hash(card, settings.parameters)
    kept = json.loads((bare / KEPT / f"CA-01-{text[:12]}.json").read_text(encoding="utf-8"))
    assert kept["card"]["says"] == card.says
    assert kept["parameters"].keys() == {"casl.inquiry_days", "casl.purchase_days"}


def test_a_list_that_was_touched_is_refused(folder: Path) -> None:
    _sign(folder, "CA-01", "CH-01", "UK-01")
    lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    for forged, at in (
        ([lines[0].replace("Ortiz", "Ortega"), *lines[1:]], 1),
        ([lines[0], lines[2]], 2),
        ([lines[1], lines[0], lines[2]], 1),
        ([*lines, "{}"], 4),
    ):
        (folder / FILE).write_text("\n".join(forged) + "\n", encoding="utf-8")
        assert [str(problem).split(":")[1] for problem in read_signatures(folder)[1]] == [f" line {at}"]
    with pytest.raises(ConfigInvalid, match=r"signatures.jsonl: line 4"):
        load_settings(folder)


@pytest.mark.parametrize("wrong", [{"by": "X"}, {"role": ""}, {"by": "two\nlines"}, {"reference": " "}])
def test_a_signature_without_a_person_or_an_office_is_none(wrong: dict[str, str]) -> None:
    right = {"card": "CA-01", "text": "0" * 64, "by": "Maria Ortiz", "role": "counsel-ca", "on": "2026-11-22"}
    CardSignature.model_validate(right)
    with pytest.raises(ValueError, match=r"expected"):
        CardSignature.model_validate({**right, **wrong})


def test_a_signature_of_a_day_that_is_to_come_is_refused_for_it_would_close_the_list_until_then(folder: Path) -> None:
    words = ["rules", "sign", "CA-01", "--by", "Maria Ortiz", "--role", "counsel-ca", "--configs", str(folder)]
    told = CliRunner().invoke(app, [*words, "--on", "2190-01-01"])
    assert told.exit_code != 0
    assert "expected a day not after today" in told.output + str(told.exception)
    assert not (folder / FILE).is_file()


def test_the_command_signs_what_an_office_owns_and_then_everything(folder: Path) -> None:
    run = CliRunner().invoke

    def sign(*words: str) -> str:
        told = run(app, ["rules", "sign", *words, "--on", "2026-11-22", "--configs", str(folder)])
        return told.output + str(told.exception or "")

    office = ("--by", "Maria Ortiz", "--role", "counsel-ca")
    every = len(load_settings(folder).rules)
    assert f"{every - 2} of {every} cards are still pending counsel" in sign("--owned", *office)
    assert {card.id for card in load_settings(folder).rules if card.review.status == "signed"} == {"CA-01", "P-CASL"}
    assert "nothing is pending there" in sign("--owned", *office)
    assert "expected ids of cards, or --owned, or --all" in sign("CA-01", "--all", *office)
    assert "every card is signed" in sign("--all", "--by", "Jan Keller", "--role", "head of compliance")
    told = run(app, ["rules", "check", "--configs", str(folder), "--as-of", "2026-11-22"])
    assert told.exit_code == 0
    assert "pending" not in told.output
