"""What the answer says of the next action and the route: what was passed over, what is missing, when, and who."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from configs.cards import RuleCard
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.records import Case, Lead, Suppression
from policy.book import Book
from serving.actions.missing import Missing
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.render import render

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def decider(bundle: Path) -> Decider:
    return Decider.load(bundle, shipped(), on=AS_OF.date())


def decided(folder: Path, *leads: Lead, **tables: Any) -> Decisions:
    given = {"accounts": [], "events": [], "touches": [], "consents": [], "suppressions": [], "cases": []} | tables
    own = decider(folder / "bundle")
    encoded = encode_records(
        list(leads), **given, vocabularies=shipped().vocabularies, asset_ids=own.asset_ids,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    return own.decide(encoded, AS_OF, threads=1)


def person(lead_id: str = "L1", **own: Any) -> Lead:
    given = {"audience": "hcp", "country": "US", "recorded_at": DAY, "created_at": DAY, "verified_at": DAY}
    return Lead(lead_id=lead_id, **(given | own))  # type: ignore[arg-type]


def case(kind: str, hours: float = 10, lead_id: str = "L1", **own: Any) -> Case:
    return Case(case_id=f"{kind}{lead_id}", lead_id=lead_id, kind=kind, opened_at=AS_OF - timedelta(hours=hours), **own)


def both(decisions: Decisions, row: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer about a lead and its row of the decision table."""
    return render(decisions, row), decision_table(decisions).to_pylist()[row]


def test_an_adverse_event_goes_to_pharmacovigilance_within_the_hours_online_and_in_batch(small_world: Path) -> None:
    answer, row = both(decided(small_world, person(), cases=[case("adverse_event", hours=10)]))
    route = answer["route"]
    assert (route["queue"], route["team"]) == ("pharmacovigilance", "pharmacovigilance")
    assert shipped().parameters["pv.hours"].values[min(shipped().parameters["pv.hours"].values)] == 24
    assert route["due_at"] == "2026-07-01T02:00:00Z"
    assert route["because"] == [["adverse_event_open", "known", "yes"]]
    assert "goes to pharmacovigilance, due 2026-07-01T02:00:00Z" in route["says"]
    assert (row["queue"], row["team"], row["route_due_at"]) == (route["queue"], route["team"], route["due_at"])
    assert row["route_says"] == route["says"]
    assert answer["next_best_action"]["asset_id"] is None


def test_of_two_matters_one_is_routed_and_both_are_named(small_world: Path) -> None:
    cases = [case("off_label", hours=30, product="implant"), case("adverse_event", hours=2)]
    answer, row = both(decided(small_world, person(), cases=cases))
    assert answer["route"]["queue"] == row["queue"] == "pharmacovigilance"
    assert answer["route"]["due_at"] == row["route_due_at"] == "2026-07-01T10:00:00Z"
    assert [fact for fact, *_ in answer["route"]["because"]] == ["adverse_event_open", "off_label_open"]
    assert answer["route"]["says"] == row["route_says"]
    assert row["route_says"].endswith("an off-label question is open too and waits for it")


def test_an_erased_person_who_may_have_been_harmed_is_still_a_case(small_world: Path) -> None:
    stop = Suppression(lead_id="L1", reason="erasure", since_at=DAY, recorded_at=DAY)
    answer, _ = both(decided(small_world, person(), suppressions=[stop], cases=[case("adverse_event")]))
    assert answer["route"]["queue"] == "pharmacovigilance" and answer["readiness"]["probability"] is None


def test_an_off_label_question_goes_to_medical_information_and_pauses_the_product(small_world: Path) -> None:
    asked = case("off_label", product="oncology_rx")
    answer, row = both(decided(small_world, person(condition_focus="cancer", specialty="oncology"), cases=[asked]))
    assert answer["route"]["queue"] == row["queue"] == "medical_information"
    assert answer["route"]["due_at"] is None and row["route_due_at"] is None
    assert "promotion of the product waits" in answer["route"]["says"]
    promotional = {one.asset_id for one in shipped().assets if one.intent == "promotional"}
    of_product = {one.asset_id for one in shipped().assets if one.product == "oncology_rx"} & promotional
    for told in answer["channels"].values():
        assert not of_product & set(told.get("asset_ids", ()))
    assert answer["next_best_action"]["asset_id"] in (None, "medical_information_reply")


def test_nothing_is_due_and_nobody_is_missing_where_nothing_is_open(small_world: Path) -> None:
    answer, row = both(decided(small_world, person()))
    assert answer["route"]["due_at"] is None and row["route_due_at"] is None


def test_a_route_names_what_no_team_covers(small_world: Path) -> None:
    own = decider(small_world / "bundle")
    taker = own.teams.taker
    from serving.actions.next_action import route_says
    from serving.kernels import QUEUE_KEYS

    hot = QUEUE_KEYS.index("hot")
    other = shipped().vocabularies["language"].code("other")
    found = taker(hot, "T1", other)
    assert found.reason == ("language", "other") and not found.teams
    says = route_says(hot, "field_sales", found, None, False)
    assert says == "no team of field_sales covers the language other; nobody takes it until one is assigned"
    says = route_says(hot, "field_sales", taker(hot, "T1", 0), None, False)
    assert says == "field_sales takes 400 a day; how many it has today only a rescoring counts"


def test_a_channel_passed_over_is_named_with_its_reason_online_and_in_batch(small_world: Path) -> None:
    """Everybody of the made world: an opt-out of a channel never ends the qualification."""
    from features.intake.sources import find_files, read_tables

    at = datetime(2026, 6, 30, tzinfo=UTC)
    own = decider(small_world / "bundle")
    tables = read_tables(find_files(small_world / "data"), shipped(), assets=own.assets, as_of=at).tables
    decisions = own.decide(tables, at)
    rows = decision_table(decisions).to_pylist()
    seen = 0
    for place, row in enumerate(rows):
        answer = render(decisions, place)
        action = answer["next_best_action"]
        told = [f"{one['channel']}: {one['reason']}" for one in action["passed_over"]]
        assert row["passed_over"] == told
        assert (row["team"], row["route_says"]) == (answer["route"]["team"], answer["route"]["says"])
        assert row["route_due_at"] == answer["route"]["due_at"]
        if action["channel"] is None:
            assert action["passed_over"] == [] and action["offer"] is None
            continue
        assert action["channel"] != "ads" and action["says"] and action["expires_at"]
        for one in action["passed_over"]:
            block = answer["channels"][one["channel"]]
            expected = "CONTENT_FITS_LESS" if block["permitted"] else block["blocks"][0]["reason"]
            assert one["reason"] == expected
            seen += one["reason"] != "CONTENT_FITS_LESS"
    assert seen > 5


def test_a_lead_of_which_little_is_known_is_told_the_fewest_facts_that_would_open_a_channel(small_world: Path) -> None:
    stale = person(country=None)
    answer, _ = both(decided(small_world, stale))
    missing = answer["next_best_action"]["missing"]
    assert answer["next_best_action"]["action"] == "none" and missing is not None
    assert ["jurisdiction", "unknown", "leads.country, as of leads.verified_at"] in missing["facts"]
    assert answer["next_best_action"]["says"].startswith("Nothing is permitted; by ")
    # It is no longer than what stops any other channel.
    unknown = {
        name: {fact for block in told["blocks"] for fact, state, *_ in block["because"] if state == "unknown"}
        for name, told in answer["channels"].items()
    }
    assert len(missing["facts"]) <= min(len(facts) for name, facts in unknown.items() if name not in ("ads", "event"))


def test_what_is_known_to_forbid_every_channel_is_no_missing_fact(small_world: Path) -> None:
    stop = Suppression(lead_id="L1", reason="opt_out", since_at=DAY, recorded_at=DAY)
    answer, _ = both(decided(small_world, person(), suppressions=[stop]))
    action = answer["next_best_action"]
    assert action["action"] == "none" and action["missing"] is None and action["says"] == "Nothing is permitted"


# --- the fewest facts, on a book of two cards -------------------------------------------------------------------------

CARD = {
    "title": "t", "says": "s", "legal": [{"cite": "c", "confidence": "company", "checked": "2026-01-01"}],
    "review": {"owner": "o", "next": "2027-01-01"}, "effective": {"from": "2000-01-01"}, "channels": ["email"],
    "reason": "R", "examples": [{"verdict": "pass"}],
}  # fmt: skip


def book(*cards: dict[str, Any]) -> Book:
    made = tuple(RuleCard.model_validate(CARD | card) for card in cards)
    return Book.load(shipped().model_copy(update={"rules": made}), AS_OF.date())


def fewest(own: Book, limit: int = 64, permitted: bool = False, **facts: Any) -> tuple[str, ...] | None:
    domain = Domain.of(shipped())
    codes = {fact: domain.code(fact, value) for fact, value in facts.items()}
    missing = Missing(domain, {"consent_expired": ("yes",)})
    return missing.of(
        own, 0, (1 << len(own.rules)) - 1, [], permitted, limit, lambda fact: codes.get(fact, domain.unknown(fact))
    )


FORBIDS = {"id": "A-1", "effect": "forbid", "applies_when": "jurisdiction = 'DE'"}
PERMIT = {
    "id": "P-1", "effect": "permit",
    "applies_when": "jurisdiction = 'DE' AND audience = 'hcp' AND (consent = 'granted' OR verified_hcp = 'yes')",
}  # fmt: skip


@pytest.mark.parametrize(
    ("unless", "facts", "expected"),
    [
        ("consent = 'granted' OR (consent_proven = 'yes' AND consent_kind = 'express')", {}, ("consent",)),
        ("consent_proven = 'yes' AND consent_kind = 'express'", {}, ("consent_kind", "consent_proven")),
        ("consent = 'granted'", {"consent": "none"}, None),
        ("consent = 'granted' OR consent_proven = 'yes'", {"consent": "none"}, ("consent_proven",)),
        # What has run out can be renewed; what was refused cannot.
        ("consent_expired = 'no'", {"consent_expired": "yes"}, ("consent_expired",)),
        ("opt_out = 'no'", {"opt_out": "yes"}, None),
    ],
)
def test_a_rule_is_relieved_by_its_cheapest_alternative(
    unless: str, facts: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    own = book(FORBIDS | {"unless_surely": unless})
    assert fewest(own, permitted=True, jurisdiction="DE", **facts) == expected


def test_without_a_permit_the_cheapest_one_is_asked_for() -> None:
    own = book(FORBIDS | {"applies_when": "opt_out = 'yes'"}, PERMIT)
    assert fewest(own, jurisdiction="DE", audience="hcp", opt_out="no") in (("consent",), ("verified_hcp",))
    assert fewest(own, jurisdiction="DE", opt_out="no", consent="granted") == ("audience",)
    assert fewest(own, jurisdiction="US", audience="hcp") is None


def test_the_same_fact_is_named_once_and_too_many_are_not_named() -> None:
    own = book(
        FORBIDS | {"unless_surely": "consent = 'granted'"},
        FORBIDS | {"id": "A-2", "unless_surely": "consent = 'implied'"},
    )
    assert fewest(own, permitted=True, jurisdiction="DE") == ("consent",)
    assert fewest(own, permitted=True, limit=1, jurisdiction="DE") is None


def test_a_match_of_content_is_unknown_because_the_lead_is() -> None:
    own = book(
        FORBIDS | {"applies_when": "asset_status <> 'not_needed'", "unless_surely": "asset_audience_match = 'yes'"}
    )
    assert fewest(own, permitted=True, asset_status="approved") == ("audience",)
    assert fewest(own, permitted=True, asset_status="approved", audience="hcp") == ("asset_audience_match",)


def test_of_a_message_without_an_asset_nobody_is_asked_for_facts_of_the_asset() -> None:
    own = book(FORBIDS | {"applies_when": "opt_out = 'no'", "unless_surely": "asset_intent = 'service'"})
    assert fewest(own, permitted=True, opt_out="no", asset_status="not_needed") is None
    assert fewest(own, permitted=True, opt_out="no", asset_status="approved") == ("asset_intent",)
