"""One number for what a lead's facts rest on: the same for the same rows, another one for any change of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.fingerprint import People, fingerprints, only
from features.records import Account, Case, Event, Lead, Link, Suppression
from features.tables import Tables

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


@cache
def shipped() -> Settings:
    return load_settings()


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def lead(name: str, account: str | None = None, **fields: Any) -> Lead:
    return Lead(lead_id=name, recorded_at=ago(9), account_id=account, **fields)


def event(name: str, of: str, days: float = 1, **fields: Any) -> Event:
    return Event(event_id=name, lead_id=of, occurred_at=ago(days), recorded_at=ago(days), kind="page_view", **fields)


LEADS = [lead("A", "site"), lead("B", "site"), lead("C", "other"), lead("D")]
ACCOUNTS = [
    Account(account_id="site", parent_account_id="system"), Account(account_id="system"), Account(account_id="other")
]  # fmt: skip
EVENTS = [event("1", "A"), event("2", "C", 3), event("3", "D", topic="pricing")]


def encoded(**changed: Any) -> Tables:
    given = {"leads": LEADS, "accounts": ACCOUNTS, "events": EVENTS} | changed
    return encode_records(**given, vocabularies=shipped().vocabularies, asset_ids=["x", "y"])


def prints(tables: Tables, colleagues: bool = False) -> dict[str, int]:
    found = fingerprints(tables, People.of(tables, colleagues=colleagues))
    return dict(zip(tables.lead_ids.tolist(), found.tolist(), strict=True))


def changed(colleagues: bool = False, **tables: Any) -> set[str]:
    """Leads whose number is another one than without the change."""
    before, now = prints(encoded(), colleagues), prints(encoded(**tables), colleagues)
    return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def test_the_order_of_rows_and_of_ids_says_nothing() -> None:
    turned = encoded(leads=LEADS[::-1], accounts=ACCOUNTS[::-1], events=EVENTS[::-1])
    for colleagues in (False, True):
        assert prints(turned, colleagues) == prints(encoded(), colleagues)


def test_who_else_there_is_says_nothing() -> None:
    assert changed(leads=[lead("0"), *LEADS, lead("Z", "other2")]) == {"0", "Z"}


def test_threads_say_nothing() -> None:
    people = People.of(encoded(), colleagues=True)
    assert fingerprints(encoded(), people, threads=1).tolist() == fingerprints(encoded(), people, threads=3).tolist()


@pytest.mark.parametrize(
    ("tables", "whose"),
    [
        ({"events": [*EVENTS, event("4", "B")]}, {"B"}),
        ({"events": EVENTS[1:]}, {"A"}),
        ({"events": [*EVENTS, event("4", "D", topic="pricing")]}, {"D"}),
        ({"events": [event("1", "A", 1.5), *EVENTS[1:]]}, {"A"}),
        ({"events": [event("1", "A", asset_id="x"), *EVENTS[1:]]}, {"A"}),
        ({"events": [event("1", "B"), *EVENTS[1:]]}, {"A", "B"}),
        ({"leads": [*LEADS[:3], lead("D", mail_domain="example.org")]}, {"D"}),
        ({"leads": [*LEADS, lead("D", role="nurse")]}, {"D"}),
        ({"leads": [*LEADS[:2], lead("C", "site"), LEADS[3]]}, {"C"}),
        ({"accounts": [*ACCOUNTS[:2], Account(account_id="other", size="small")]}, {"C"}),
        ({"accounts": [ACCOUNTS[0], Account(account_id="system", size="small"), ACCOUNTS[2]]}, {"A", "B"}),
        ({"suppressions": [Suppression(account_id="system", reason="opt_out", since_at=ago(1))]}, {"A", "B"}),
        ({"links": [Link(lead_id="C", other_lead_id="D", linked_at=ago(1), kind="same")]}, {"C", "D"}),
        ({"cases": [Case(case_id="k", lead_id="B", opened_at=ago(1), kind="meeting")]}, {"B"}),
    ],
)
def test_a_change_of_rows_changes_the_numbers_of_those_whose_facts_rest_on_them(
    tables: dict[str, Any], whose: set[str]
) -> None:
    assert changed(**tables) == whose


def test_where_colleagues_are_counted_what_one_did_changes_the_number_of_all_at_the_account() -> None:
    assert changed(colleagues=True, events=[*EVENTS, event("4", "B")]) == {"A", "B"}
    assert changed(colleagues=True, leads=[*LEADS[:2], lead("C", "site"), LEADS[3]]) == {"A", "B", "C"}
    assert changed(colleagues=True, leads=[LEADS[0], *LEADS[2:]]) == {"A", "B"}


def test_what_one_record_of_a_person_did_changes_the_number_of_all_of_them() -> None:
    links = [Link(lead_id="C", other_lead_id="D", linked_at=ago(1), kind="same")]
    before = prints(encoded(links=links))
    now = prints(encoded(links=links, events=[*EVENTS, event("4", "D")]))
    assert {name for name in now if now[name] != before[name]} == {"C", "D"}


def test_a_case_that_was_handed_on_brings_both_leads_together() -> None:
    cases = [Case(case_id="k", lead_id="B", opened_at=ago(5), recorded_at=ago(5), kind="meeting"),
             Case(case_id="k", lead_id="D", opened_at=ago(5), recorded_at=ago(2), kind="meeting")]  # fmt: skip
    people = People.of(encoded(cases=cases), colleagues=False)
    assert people.beside(np.array([False, True, False, False])).tolist() == [False, True, False, True]


def test_beside_a_lead_are_its_colleagues_where_they_are_counted() -> None:
    tables, chosen = encoded(), np.array([True, False, False, False])
    assert People.of(tables, colleagues=False).beside(chosen).tolist() == [True, False, False, False]
    assert People.of(tables, colleagues=True).beside(chosen).tolist() == [True, True, False, False]


def test_some_leads_keep_their_rows_and_their_numbers() -> None:
    stop = Suppression(account_id="system", reason="opt_out", since_at=ago(1))
    whole = encoded(suppressions=[stop, Suppression(lead_id="D", reason="opt_out", since_at=ago(1))])
    chosen = np.array([True, True, False, False])
    part = only(whole, chosen)
    assert part.lead_ids.tolist() == ["A", "B"]
    assert part.suppressions["account"].tolist() == [whole.account_ids.tolist().index("system")]
    assert {name: prints(whole)[name] for name in ("A", "B")} == prints(part)
    attributes = replace(whole, attributes={"score": np.arange(4.0)})
    assert only(attributes, ~chosen).attributes["score"].tolist() == [2.0, 3.0]
