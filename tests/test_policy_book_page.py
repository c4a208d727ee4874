"""The rule book as a page: everything counsel needs is on it, it fetches nothing, and it says what is pending."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from html import unescape
from pathlib import Path

from typer.testing import CliRunner

from cli.app import app
from configs.cards import Review
from configs.conditions import parse
from policy.book import Book, in_force
from policy.published.english import phrase, sentence
from policy.published.page import CONFIDENCE, NOT_SHIPPED, book_page
from tests.test_policy_forms import ON, settings_and_book


@cache
def page() -> str:
    loaded, book = settings_and_book()
    return book_page(book, loaded)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_every_card_stands_there_with_its_words_basis_review_and_examples() -> None:
    loaded, _ = settings_and_book()
    text = text_of(page())
    for card in loaded.rules:
        if in_force(card, ON):
            assert f'id="{card.id}"' in page()
            assert re.sub(r"\s+", " ", card.says) in text
            for legal in card.legal:
                assert legal.cite in text
                assert CONFIDENCE[legal.confidence] in text
            assert f"{card.review.owner}, next on {card.review.next}" in text
            article = page().split(f'<article id="{card.id}">')[1].split("</article>")[0]
            assert article.count("<tr>") == 5 + ("Parameters</th>" in article) + 1 + len(card.examples)


def test_it_is_offline_without_scripts_and_prints_on_numbered_pages() -> None:
    assert "<script" not in page()
    assert not re.search(r'(src|href)="(?!#)', page())
    assert "url(" not in page()
    assert "@media print" in page()
    assert "counter(page)" in page()


def test_every_link_leads_somewhere() -> None:
    targets = set(re.findall(r'id="([^"]+)"', page()))
    assert set(re.findall(r'href="#([^"]+)"', page())) <= targets


def test_it_says_what_is_pending_until_every_card_is_signed() -> None:
    loaded, book = settings_and_book()
    assert "Pending counsel: not legal advice" in page()
    signed = Review(owner="counsel", next=date(2027, 5, 1), status="signed")
    every = loaded.model_copy(
        update={"rules": tuple(card.model_copy(update={"review": signed}) for card in loaded.rules)}
    )
    assert "Pending counsel" not in book_page(Book.load(every, ON), every)
    assert book.hash in page()


def test_parameters_of_the_day_and_their_history_and_what_is_not_shipped_are_told() -> None:
    text = text_of(page())
    assert "eu.consent_max_days" in text
    assert "730 from 2018-05-25" in text
    for absent in NOT_SHIPPED:
        assert absent in text


def test_facts_are_told_with_source_and_maximum_age() -> None:
    row = page().split('<tr id="fact-opt_out">')[1].split("</tr>")[0]
    assert "suppressions" in row
    assert "1 days" in row


def test_a_card_of_another_day_is_named_and_not_shown() -> None:
    loaded, _ = settings_and_book()
    early = book_page(Book.load(loaded, date(2010, 1, 1)), loaded)
    assert '<article id="CA-01">' not in early
    assert "Cards that are not in force on 2010-01-01" in early


def test_a_failing_example_is_shown_as_failing() -> None:
    loaded, book = settings_and_book()
    broken = tuple(
        card.model_copy(update={"examples": ({"opt_out": "yes", "verdict": "pass"},)}) if card.id == "GEN-01" else card
        for card in loaded.rules
    )
    assert "FAILS: the card says" in book_page(book, loaded.model_copy(update={"rules": broken}))
    assert "FAILS" not in page()


def test_english_says_all_and_any_and_names_parameters() -> None:
    loaded, book = settings_and_book()
    condition = parse(
        "NOT (opt_out = 'no' AND (touches_7d >= {caps.touches_7d} OR audience IN ('hcp', 'buyer')))",
        loaded.facts,
        loaded.parameters,
    )
    told = phrase(condition, book.domain, ON)
    assert told.head == "at least one of this holds"
    assert sentence(told) == (
        "the person opted out of this channel or of everything or (the number of promotional touches on all "
        "channels in 7 days is below 3 (parameter caps.touches_7d) and the audience is neither hcp nor buyer)"
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rules.html"
    done = CliRunner().invoke(app, ["rules", "book", "--as-of", ON.isoformat(), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "pending counsel" in done.output
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
