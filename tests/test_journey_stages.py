"""How far a lead has come with its product, by hand-made events: ages in days, `implant` where nothing else is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from configs.settings import Settings, load_settings
from features.asked import AskedFacts
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.fingerprint import People
from features.inventory import Inventory
from features.journey.explain import Explained, explain
from features.journey.plan import JOURNEY_FACTS, LIFECYCLE
from features.records import Account, Case, Event, Lead
from features.tables import Known, Tables
from features.view import view_at
from models.segments.due import DueRules, next_due
from models.segments.leaving import NEVER

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
FACTS = (*JOURNEY_FACTS, LIFECYCLE)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def builder() -> FactBuilder:
    return FactBuilder.of(shipped())


@cache
def inventory() -> Inventory:
    return Inventory.of(shipped().assets, shipped().vocabularies)


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


_NUMBER = iter(range(1_000_000))


def event(days: float, kind: str, about: str = "", product: str | None = "implant", **fields: Any) -> Event:
    """An event of a lead; `about` is its topic, a slash, its depth."""
    topic, _, depth = about.partition("/")
    fields = {"lead_id": "L", "agent": "browser", "source": "web_analytics", "recorded_at": ago(days)} | fields
    return Event(
        event_id=f"e{next(_NUMBER)}", occurred_at=ago(days), kind=kind, product=product, topic=topic or None,
        depth=depth or None, **fields,
    )  # fmt: skip


def tables_of(
    events: list[Event] | None, lead: dict[str, Any] | None = None, account: dict[str, Any] | None = None, **more: Any
) -> Tables:
    given = {"lead_id": "L", "account_id": "A", "audience": "hcp", "country": "US", "source": "web_form",
             "product_interest": "implant", "created_at": ago(900), "recorded_at": ago(300)} | (lead or {})  # fmt: skip
    return encode_records(
        [Lead(**given)],
        [Account(account_id="A", recorded_at=ago(300), **(account or {}))],
        events,
        vocabularies=shipped().vocabularies,
        asset_ids=inventory().ids[:-1],
        suppressions_complete_as_of=AS_OF,
        **more,
    )


def built(tables: Tables, as_of: datetime = AS_OF) -> tuple[Known, Facts]:
    known = view_at(tables, as_of, builder().view)
    return known, facts_of(known, builder(), inventory())


def words(facts: Facts, row: int = 0) -> dict[str, str | None]:
    codes = {name: int(facts.columns[name].reshape(-1)[row]) for name in FACTS}
    return {name: shipped().facts[name].values[code - 1] if code else None for name, code in codes.items()}


def found(events: list[Event] | None, lead: dict[str, Any] | None = None, account: dict[str, Any] | None = None,
          as_of: datetime = AS_OF, **more: Any) -> dict[str, str | None]:  # fmt: skip
    return words(built(tables_of(events, lead, account, **more), as_of)[1])


def stage(*events: Event, **given: Any) -> str | None:
    return found(list(events), **given)["buying_stage"]


OVERVIEW = ("page_view", "clinical_evidence/overview")
DETAIL = ("download", "clinical_evidence/detailed")


def test_the_stage_is_the_furthest_of_which_a_signal_holds() -> None:
    ladder = [
        (event(20, *OVERVIEW), "awareness"),
        (event(16, *DETAIL), "education"),
        (event(12, "demo_request"), "evaluation"),
        (event(8, "form_submit", "pricing/pricing"), "proposal"),
        (event(4, "referral", source="crm"), "advocacy"),
    ]
    happened = []
    for one, shown in ladder:
        happened.append(one)
        assert stage(*happened) == shown
    assert stage() is None
    assert stage(event(1, "email_open", "pricing/pricing")) is None  # who opens a mail has not asked for a price


def test_every_product_has_its_own_rules() -> None:
    technical = ("download", "technical_documentation/detailed")

    def of(product: str) -> str | None:
        return stage(event(3, *technical, product=product), lead={"product_interest": product})

    assert of("software") == "evaluation"
    assert of("diagnostic") == "evaluation"
    assert of("disposable") == "awareness"
    assert of("implant") is None  # one document is not yet training
    assert stage(event(3, *technical), event(5, "page_view", "training/checklist")) == "evaluation"
    assert (
        stage(event(3, "sample_request", product="disposable"), lead={"product_interest": "disposable"}) == "evaluation"
    )
    assert stage(event(3, "demo_request", product="service"), lead={"product_interest": "service"}) == "proposal"


def test_events_about_another_product_change_nothing() -> None:
    own = [event(9, *OVERVIEW), event(8, *DETAIL)]
    others = [
        event(1, "meeting_request", "pricing/pricing", product="software"),
        event(2, "demo_request", product="disposable"),
    ]
    both, alone = found([*own, *others]), found(own)
    assert {name: both[name] for name in JOURNEY_FACTS} == {name: alone[name] for name in JOURNEY_FACTS}
    assert stage(*others) is None


def test_an_event_without_a_product_is_about_that_of_its_asset() -> None:
    about = {asset.product: asset.asset_id for asset in shipped().assets if asset.intent != "medical_information"}
    other = event(1, "form_submit", "pricing/pricing", product=None, asset_id=about["software"])
    assert stage(other) is None
    assert stage(other, lead={"product_interest": "software"}) == "proposal"
    named = event(1, "form_submit", "pricing/pricing", product="implant", asset_id=about["software"])
    assert stage(named) == "proposal"  # what it says itself wins


def test_an_event_of_no_known_product_counts_and_makes_the_evidence_weak() -> None:
    said = [event(3, *DETAIL), event(5, *DETAIL)]
    untold = [event(3, *DETAIL, product=None), event(5, *DETAIL, product=None)]
    assert (found(said)["buying_stage"], found(said)["stage_evidence"]) == ("education", "strong")
    assert (found(untold)["buying_stage"], found(untold)["stage_evidence"]) == ("education", "weak")


def test_a_lead_of_no_known_product_walks_by_unbranded_events_alone() -> None:
    nobody = {"product_interest": None}
    assert stage(event(3, *DETAIL, product=None), lead=nobody) == "education"
    assert stage(event(3, *DETAIL), lead=nobody) is None


@pytest.mark.parametrize(("days", "expected"), [(0, "evaluation"), (60, "evaluation"), (61, "education"), (91, None)])
def test_the_stage_falls_back_when_its_signals_are_older_than_their_days(days: int, expected: str | None) -> None:
    assert stage(event(days, "demo_request"), event(days, "webinar_attend", "training/detailed")) == expected


def test_machine_made_events_count_as_their_weight_says() -> None:
    # A gateway's download: log-odds 3.5 - 8, a sixteenth of nothing; a browser's: 3.5 + 1, sixteen sixteenths.
    assert stage(*[event(3, *DETAIL, agent="security_gateway") for _ in range(7)]) is None
    assert stage(event(3, *DETAIL)) == "education"
    # An open of a mail proxy without a sending known: 1.1 - 2.5, three sixteenths: three of them are half an event.
    prefetched = [event(3, "email_click", "clinical_evidence/detailed", agent="prefetch") for _ in range(3)]
    assert stage(*prefetched) == stage_by_hand(prefetched)


def stage_by_hand(events: list[Event]) -> str | None:
    known, facts = built(tables_of(events))
    return by_signals(explain(known, facts, builder().journeys, shipped(), 0))


def by_signals(told: Explained) -> str | None:
    """The furthest stage of a signal that holds, from the second reading of the rules."""
    stages = shipped().vocabularies["stage"].values
    return max((one.signal.stage for one in told.signals if one.holds), key=stages.index, default=None)


def test_a_future_event_changes_nothing() -> None:
    own, later = [event(9, *OVERVIEW)], event(-1, "demo_request")
    late = event(2, "demo_request", recorded_at=ago(-1))
    assert found([*own, later, late]) == found(own)


def test_a_signal_that_asks_for_a_field_stays_closed_while_it_is_unknown() -> None:
    session = event(100, "webinar_attend", "clinical_evidence/overview")
    assert stage(session) is None
    assert stage(session, account={"implementation_stage": "pilot"}) is None
    assert stage(session, account={"implementation_stage": "live"}) == "advocacy"
    documents = [event(day, "download", "clinical_evidence/checklist") for day in (5, 6)]
    assert stage(*documents) == "education"
    assert stage(*documents, lead={"committee": "value_analysis"}) == "advocacy"


def test_evidence_is_strong_with_two_tracked_events_and_falls_with_what_says_nothing() -> None:
    def evidence(*events: Event) -> str | None:
        return found(list(events))["stage_evidence"]

    one = event(3, "demo_request")
    assert evidence(one) == "fair"  # one event
    assert evidence(one, event(5, "demo_request")) == "strong"
    blank = [event(day, "page_view") for day in range(1, 8)]
    assert evidence(one, event(5, "demo_request"), *blank[:1]) == "strong"  # 2 of 3 say what they are about
    assert evidence(one, event(5, "demo_request"), *blank[:2]) == "fair"  # 2 of 4
    assert evidence(one, event(5, "demo_request"), *blank[:5]) == "weak"  # 2 of 7
    assert evidence(*blank) is None  # no stage, no evidence for it


def test_the_next_decision_is_the_journeys_and_the_accounts_own_word_wins() -> None:
    demo = [event(3, "demo_request")]
    assert found(demo)["journey_moment"] == "training_planning"
    assert found(demo, account={"decision_moment": "contract_renewal"})["journey_moment"] == "contract_renewal"
    assert found([])["journey_moment"] is None
    rx = event(3, "webinar_attend", product="oncology_rx")
    assert found([rx], {"product_interest": "oncology_rx"})["journey_moment"] == "formulary_listing"


def test_without_events_nothing_is_shown() -> None:
    assert found(None) == dict.fromkeys(FACTS)


LIVES = {
    "the source's word stays": ({"lifecycle": "second_opinion"}, [3], {}, "second_opinion"),
    "new on record": ({"created_at": ago(30)}, [3], {}, "new_prospect"),
    "no longer new": ({"created_at": ago(31)}, [3], {}, "active"),
    "seen before it was on record": ({"created_at": ago(5)}, [40], {}, "active"),
    "first seen lately, no record of when": ({"created_at": None}, [30, 3], {}, "new_prospect"),
    "quiet for ninety days, then back": ({}, [3, 121], {}, "returning"),
    "not quiet long enough": ({}, [3, 120], {}, "active"),
    "back too long ago": ({}, [31, 125], {}, "active"),
    "ninety days ago": ({}, [90], {}, "active"),
    "ninety-one days ago": ({}, [91], {}, "dormant"),
    "never did anything": ({}, [], {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_a_lifecycle_is_derived_where_the_source_says_none(name: str) -> None:
    lead, days, more, expected = LIVES[name]
    assert found([event(day, "page_view") for day in days], lead, **more)["lifecycle"] == expected


def test_a_meeting_and_its_follow_up_come_before_everything() -> None:
    def met(days: float) -> str | None:
        case = Case(case_id="c", lead_id="L", kind="meeting", opened_at=ago(200), closed_at=ago(days))
        return found([event(3, "page_view")], {"created_at": ago(9)}, cases=[case])["lifecycle"]

    assert [met(days) for days in (0, 14, 15, 60, 61)] == [
        "recent_meeting", "recent_meeting", "follow_up", "follow_up", "new_prospect",
    ]  # fmt: skip


def test_support_and_appointments_make_somebody_known() -> None:
    assert found([event(3, "ticket", source="service_desk")])["lifecycle"] == "ongoing_support"
    assert found([event(91, "ticket", source="service_desk"), event(3, "page_view")])["lifecycle"] != "ongoing_support"
    visit = event(400, "appointment", source="crm")
    assert found([visit, event(3, "page_view")], {"created_at": ago(10)})["lifecycle"] == "established"


# --- laws -----------------------------------------------------------------------------------------------------------

_KINDS = ("email_open", "email_click", "page_view", "download", "form_submit", "webinar_attend", "demo_request",
          "meeting_request", "sample_request", "referral", "ticket", "search")  # fmt: skip
_ABOUTS = ("", "pricing/pricing", "clinical_evidence/detailed", "training/checklist", "workflow/overview",
           "safety/comparison", "technical_documentation/detailed", "clinical_evidence/checklist")  # fmt: skip
_EVENTS = st.lists(
    st.builds(
        event,
        st.integers(0, 200),
        st.sampled_from(_KINDS),
        st.sampled_from(_ABOUTS),
        st.sampled_from(["implant", "software", None]),
        agent=st.sampled_from(["browser", "security_gateway", "prefetch", None]),
        source=st.just("crm"),
    ),
    max_size=12,
)
_LEADS = st.fixed_dictionaries(
    {
        "product_interest": st.sampled_from(["implant", "software", "disposable", None]),
        "committee": st.sampled_from(["value_analysis", None]),
        "lifecycle": st.sampled_from(["dormant", None]),
        "created_at": st.integers(0, 300).map(ago),
    }
)
_ACCOUNTS = st.fixed_dictionaries(
    {
        "implementation_stage": st.sampled_from(["live", None]),
        "decision_moment": st.sampled_from(["contract_renewal", None]),
    }
)


@hypothesis_settings(deadline=None, max_examples=60)
@given(_EVENTS, _LEADS, _ACCOUNTS)
def test_a_second_reading_of_the_rules_finds_the_same(
    events: list[Event], lead: dict[str, Any], account: dict[str, Any]
) -> None:
    known, facts = built(tables_of(events, lead, account))
    told, shown = explain(known, facts, builder().journeys, shipped(), 0), words(facts)
    assert by_signals(told) == shown["buying_stage"]
    rules, share = shipped().journeys.evidence, told.tracked_percent
    levels = {"strong": rules.strong, "fair": rules.fair}
    reached = [
        name for name, level in levels.items()
        if share is not None and told.supporting >= level.supporting and share >= level.tracked_percent
    ]  # fmt: skip
    expected = (reached[0] if reached else "weak") if shown["buying_stage"] else None
    assert shown["stage_evidence"] == expected
    journey, here = shipped().journeys.of(lead["product_interest"]), shown["buying_stage"]
    own = journey.next_moment[here] if journey is not None and here is not None else None
    assert shown["journey_moment"] == (account["decision_moment"] or own)


@hypothesis_settings(deadline=None, max_examples=25)
@given(_EVENTS, _LEADS, st.randoms(use_true_random=False))
def test_order_never_matters_and_asking_alone_finds_the_same(
    events: list[Event], lead: dict[str, Any], random: Any
) -> None:
    shown = found(events, lead)
    random.shuffle(events)
    assert found(events, lead) == shown
    asked = AskedFacts.of(shipped(), FACTS)
    tables = tables_of(events, lead)
    assert words(asked.facts(asked.view(tables, AS_OF))) == shown


@hypothesis_settings(deadline=None, max_examples=30)
@given(_EVENTS, _LEADS)
def test_nothing_turns_before_its_day(events: list[Event], lead: dict[str, Any]) -> None:
    asked = AskedFacts.of(shipped(), FACTS)
    rules = DueRules.of(shipped(), [], asked, JOURNEY_FACTS)
    tables = tables_of(events, lead)
    known = asked.view(tables, AS_OF)
    facts = asked.facts(known)
    due = int(next_due(tables, known, facts, rules, People.of(tables, colleagues=False))[0])
    last = min(due - known.as_of_day - 1, 120) if due != NEVER else 120
    # A record that grows too old is another matter: the first day on which any of it turns is searched by halves.
    for days in {1, last // 2, last - 1, last}:
        if 0 < days <= last:
            at = AS_OF + timedelta(days=days)
            assert words(asked.facts(asked.view(tables, at))) == words(facts), days


def test_one_lead_is_what_it_is_among_many() -> None:
    rng = np.random.default_rng(3)
    kinds = ("page_view", "download", "demo_request", "form_submit", "webinar_attend", "ticket")
    abouts = ("", "pricing/pricing", "clinical_evidence/detailed", "workflow/overview", "training/checklist")
    products = ("implant", "software", "disposable", None)
    own = {
        f"L{i}": [
            event(int(rng.integers(0, 150)), kinds[rng.integers(6)], abouts[rng.integers(5)], products[rng.integers(4)],
                  lead_id=f"L{i}", source="crm")
            for _ in range(int(rng.integers(0, 8)))
        ]
        for i in range(60)
    }  # fmt: skip
    leads = [
        Lead(lead_id=name, audience="hcp", country="US", source="web_form", recorded_at=ago(9),
             created_at=ago(40 * (i % 9)), product_interest=products[i % 4])
        for i, name in enumerate(own)
    ]  # fmt: skip

    def of(chosen: list[Lead]) -> Facts:
        tables = encode_records(
            chosen,
            [],
            [one for lead in chosen for one in own[lead.lead_id]],
            vocabularies=shipped().vocabularies,
            suppressions_complete_as_of=AS_OF,
        )
        return built(tables)[1]

    together = of(leads)
    for row, lead in enumerate(leads):
        alone = of([lead])
        assert words(alone) == words(together, row)
        assert alone.one is not None
        assert [alone.one[name] for name in FACTS] == [int(alone.columns[name].item()) for name in FACTS]
    assert len({words(together, row)["buying_stage"] for row in range(len(leads))}) >= 5
