"""What a change of the book opens or closes, on whom, and who must say yes to it."""

from __future__ import annotations

import functools
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import ConfigInvalid, InputInvalid
from configs.rule_approvals import (
    FILE,
    RuleApproval,
    about,
    append_rule_approval,
    load_rule_approvals,
    missing,
    policy_digest,
)
from configs.settings import Settings, load_settings
from features.facts import Facts
from policy.book import Book
from policy.proofs.counting import count_change
from policy.proofs.difference import Difference, compare
from policy.proofs.populations import population

ON = date(2026, 11, 22)
OLD, NEW = "a" * 64, "b" * 64
RUNNER = CliRunner()
# Enough of the book to be quick: a ground, two stops, a number that changes, a card about data and one about scores.
FEW = ("P-CONSENT", "GEN-01", "HCP-01", "FRQ-01", "FEA-02", "GEN-03-S")


@functools.cache
def few() -> Settings:
    shipped = load_settings()
    return shipped.model_copy(update={"rules": tuple(card for card in shipped.rules if card.id in FEW)})


def changed(name: str, **update: Any) -> Settings:
    cards = tuple(card.model_copy(update=update) if card.id == name else card for card in few().rules)
    return few().model_copy(update={"rules": cards})


def directions(found: Difference) -> dict[str, str]:
    return {change.place: change.direction for change in found.changes if change.direction != "same"}


@pytest.mark.parametrize(
    ("part", "loosen"),
    [
        ("claims", lambda one: one.model_copy(update={"rules": one.rules[:1]})),
        ("identity", lambda one: one.model_copy(update={"linkage": one.linkage.model_copy(update={"merge_at": 0.51})})),
        (
            "quality",
            lambda one: one.model_copy(
                update={"suppression_feed": one.suppression_feed.model_copy(update={"max_shrink": 0.99})}
            ),
        ),
    ],
)
def test_what_facts_rest_on_needs_two_approvals_though_no_card_changed(part: str, loosen: Any) -> None:
    """Who signs a claim, when a match is certain and how far the opt-outs may shrink all open what was closed."""
    new = few().model_copy(update={part: loosen(getattr(few(), part))})
    found = compare(few(), new, ON)
    assert (found.facts, found.direction, found.approvals) == ((part,), "both", 2)
    assert found.old != found.new


def test_words_change_nothing_and_need_nobody() -> None:
    found = compare(few(), changed("GEN-01", says="Whoever said no hears no more.", title="No means no"), ON)
    assert (found.direction, found.approvals, found.wording) == ("same", 0, ("GEN-01",))
    assert found.old != found.new


def test_another_way_to_write_the_same_condition_is_the_same() -> None:
    found = compare(few(), changed("HCP-01", applies_when="audience = 'buyer' OR audience = 'hcp'"), ON)
    assert (found.direction, found.approvals, found.edited) == ("same", 0, ("HCP-01",))


def test_a_stop_that_is_taken_away_widens_its_channels_with_a_lead_to_show() -> None:
    found = compare(few(), few().model_copy(update={"rules": tuple(c for c in few().rules if c.id != "HCP-01")}), ON)
    assert directions(found) == {"phone": "widens", "rep_visit": "widens"}
    assert (found.approvals, found.removed) == (2, ("HCP-01",))
    wider = next(change.wider for change in found.changes if change.wider is not None)
    assert wider.facts["audience"] in ("hcp", "buyer") and wider.facts.get("no_contact") != "no"


def test_one_more_condition_narrows_and_needs_one() -> None:
    found = compare(few(), changed("HCP-01", unless_surely="no_contact = 'no' AND do_not_call = 'no'"), ON)
    assert directions(found) == {"phone": "narrows", "rep_visit": "narrows"}
    assert found.approvals == 1


def test_a_denial_that_is_handled_otherwise_needs_one_though_nothing_opens() -> None:
    found = compare(few(), changed("HCP-01", effect="review"), ON)
    assert (found.direction, found.handling, found.approvals) == ("same", ("HCP-01",), 1)


def test_a_parameter_that_opens_later_is_found_on_the_day_it_does() -> None:
    parameter = few().parameters["caps.touches_7d"]
    later = {**few().parameters, "caps.touches_7d": parameter.model_copy(
        update={"values": {**parameter.values, date(2027, 3, 1): 5}}
    )}  # fmt: skip
    found = compare(few(), few().model_copy(update={"parameters": later}), ON)
    assert found.direction == "widens"
    assert {change.day for change in found.changes if change.direction == "widens"} == {date(2027, 3, 1)}


def test_facts_that_are_made_otherwise_are_never_called_the_same() -> None:
    other = few().model_copy(update={"jurisdictions": {**few().jurisdictions, "US": "OTHER"}})
    found = compare(few(), other, ON)
    assert found.facts == ("jurisdictions",)
    assert (found.direction, found.approvals) == ("both", 2)


def test_data_and_scores_have_their_own_place() -> None:
    cards = tuple(card for card in few().rules if card.id not in ("FEA-02", "GEN-03-S"))
    found = directions(compare(few(), few().model_copy(update={"rules": cards}), ON))
    assert found == {"features, FEA-02": "widens", "scoring": "widens"}


def test_leads_are_counted_under_both_books() -> None:
    old, new = Book.load(few(), ON), Book.load(changed("HCP-01", channels=("rep_visit",)), ON)
    drawn = population(old, 20, 2, 5, 1.0)
    columns = {**drawn.columns, **{f: np.zeros_like(c) for f, c in drawn.columns.items() if "touches" in f}}
    listed = columns["no_contact"].copy()
    listed[:7] = old.domain.code("no_contact", "yes")
    facts, ids = Facts(20, drawn.assets, {**columns, "no_contact": listed}), [str(number) for number in range(20)]
    told = {one.channel: one for one in count_change((old, facts, ids), (new, facts, ids))}
    # Seven of twenty are on a no-contact list, which the new book minds for visits only.
    phone, visit = told["phone"], told["rep_visit"]
    assert (phone.before, phone.after, phone.gained, phone.lost) == (13, 20, 7, 0)
    assert (visit.before, visit.after, visit.gained, visit.lost) == (13, 13, 0, 0)
    # Leads are told apart by their ids: in another order the same change is counted.
    turned = np.arange(20)[::-1]
    back = {name: c[turned] if c.shape[0] == 20 else c for name, c in facts.columns.items()}
    again = count_change((old, facts, ids), (new, Facts(20, facts.assets, back), ids[::-1]))
    assert {one.channel: one for one in again} == told


def test_widening_asks_two_people_of_two_offices_and_one_person_counts_once() -> None:
    def by(name: str, role: str) -> RuleApproval:
        return RuleApproval(old=OLD, new=NEW, by=name, role=role, on=ON)  # type: ignore[arg-type]

    assert missing(0, []) is None
    assert missing(1, []) == "one approval" and missing(1, [by("Ann Bell", "medical")]) is None
    assert missing(2, [by("Ann Bell", "compliance"), by("Carl Diaz", "compliance")]) is not None
    assert missing(2, [by("Ann Bell", "compliance"), by("A. Bell", "medical")]) is not None
    assert missing(2, [by("Ann Bell", "compliance"), by("Carl Diaz", "regulatory")]) is None


def test_approvals_are_bound_to_both_books_and_sealed(tmp_path: Path) -> None:
    def approve(name: str, on: date = ON, new: str = NEW) -> RuleApproval:
        return append_rule_approval(tmp_path, RuleApproval(old=OLD, new=new, by=name, role="medical", on=on))

    approve("Ann Bell")
    first = (tmp_path / FILE).read_bytes()
    with pytest.raises(InputInvalid, match="another person"):
        approve("Bell, Ann")
    with pytest.raises(InputInvalid, match="not before"):
        approve("Carl Diaz", date(2026, 11, 21))
    approve("Ann Bell", new="c" * 64)
    assert (tmp_path / FILE).read_bytes().startswith(first)
    entries = load_rule_approvals(tmp_path)
    assert len(about(entries, OLD, NEW)) == 1 and len(entries) == 2
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace("Ann Bell", "Eva Fox", 1))
    with pytest.raises(ConfigInvalid, match="line 1"):
        load_rule_approvals(tmp_path)
    (tmp_path / FILE).write_text(text.splitlines()[1] + "\n")
    with pytest.raises(ConfigInvalid, match="line 1"):
        load_rule_approvals(tmp_path)


def test_the_digest_of_a_book_is_that_of_its_content_whatever_the_day() -> None:
    assert policy_digest(few()) == policy_digest(few().model_copy())
    assert policy_digest(few()) != policy_digest(changed("GEN-01", title="Other"))


def test_the_gate_is_shut_until_somebody_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books = {"shipped": few(), str(tmp_path): changed("HCP-01", unless_surely="no_contact = 'no' AND adult = 'yes'")}
    monkeypatch.setattr("cli.rules_diff._settings", lambda given: books[given])
    command = ["rules", "diff", "shipped", str(tmp_path), "--json", "--gate", "--as-of", "2026-11-22"]
    shut = RUNNER.invoke(app, command)
    assert shut.exit_code == 1 and json.loads(shut.stdout)["approvals"]["missing"] == "one approval"
    given = ["rules", "approve", "shipped", str(tmp_path), "--by", "Ann Bell", "--role", "compliance"]
    assert RUNNER.invoke(app, [*given, "--as-of", "2026-11-22"]).exit_code == 0
    assert RUNNER.invoke(app, command).exit_code == 0


def test_an_approval_that_nobody_used_for_thirty_days_lapses_and_may_be_given_again(tmp_path: Path) -> None:
    given = RuleApproval(old=OLD, new=NEW, by="J. Keller", role="compliance", on=date(2026, 10, 1))
    append_rule_approval(tmp_path, given)
    entries = load_rule_approvals(tmp_path)
    assert [len(about(entries, OLD, NEW, day)) for day in (date(2026, 9, 30), date(2026, 10, 31))] == [0, 1]
    assert about(entries, OLD, NEW, date(2026, 11, 1)) == []
    with pytest.raises(InputInvalid, match="approved this change"):
        append_rule_approval(tmp_path, given.model_copy(update={"on": date(2026, 10, 31)}))
    append_rule_approval(tmp_path, given.model_copy(update={"on": date(2026, 11, 1)}))
    assert len(about(load_rule_approvals(tmp_path), OLD, NEW, date(2026, 11, 1))) == 1
