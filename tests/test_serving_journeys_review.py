"""What a reviewer asked of stages, nurture and hand-over: nothing of them leaks, guesses, or says what is not so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.nurture import NurtureSettings, nurture_problems
from configs.qualification import QualificationSettings, Threshold
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.records import Account, Case, Consent, Event, Lead, Suppression, Touch
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.handover.record import Handovers
from serving.render import render

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
LONG_AGO = AS_OF - timedelta(days=300)
_TABLES = ("accounts", "events", "touches", "consents", "suppressions", "cases")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def decider(bundle: Path) -> Decider:
    return Decider.load(bundle, shipped(), on=AS_OF.date())


def person(lead_id: str = "L1", **own: Any) -> Lead:
    known = {
        "audience": "hcp", "role": "physician", "specialty": "orthopedics", "country": "US", "region": "NY",
        "product_interest": "implant", "recorded_at": LONG_AGO, "created_at": LONG_AGO, "verified_at": AS_OF,
    }  # fmt: skip
    return Lead(lead_id=lead_id, **(known | own))  # type: ignore[arg-type]


def did(kind: str, days: float = 2, number: int = 0, lead_id: str = "L1", **own: Any) -> Event:
    at = AS_OF - timedelta(days=days)
    return Event(event_id=f"{lead_id}{kind}{number}", lead_id=lead_id, kind=kind, occurred_at=at, recorded_at=at, **own)


def sent(asset_id: str, days: float = 1, intent: str = "promotional", lead_id: str = "L1") -> Touch:
    at = AS_OF - timedelta(days=days)
    return Touch(touch_id=f"{lead_id}{asset_id}{days}", lead_id=lead_id, asset_id=asset_id, channel="email",
                 intent=intent, sent_at=at)  # fmt: skip


def granted(lead_id: str = "L1", channel: str = "email") -> Consent:
    return Consent(lead_id=lead_id, channel=channel, purpose="promotion", captured_at=LONG_AGO, status="granted",
                   proof="form")  # fmt: skip


def case(kind: str, lead_id: str = "L1", **own: Any) -> Case:
    return Case(case_id=f"{lead_id}{kind}", lead_id=lead_id, kind=kind, opened_at=AS_OF - timedelta(hours=10), **own)


def stop(reason: str, lead_id: str = "L1") -> Suppression:
    return Suppression(lead_id=lead_id, reason=reason, since_at=LONG_AGO, recorded_at=LONG_AGO)


def decided(folder: Path, *leads: Lead, replay: bool = False, **tables: Any) -> Decisions:
    own = decider(folder / "bundle")
    given_: dict[str, Any] = dict.fromkeys(_TABLES, ()) | tables
    rows: dict[str, Any] = {name: list(some) for name, some in given_.items()}
    encoded = encode_records(
        list(leads), **rows, vocabularies=shipped().vocabularies, asset_ids=own.asset_ids,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    return own.decide(encoded, AS_OF, replay=replay, threads=1)


def row_of(decisions: Decisions, name: str) -> int:
    return int(decisions.nurtured.row(name)[0])


# --- medical information is no commerce -------------------------------------------------------------------------------


def test_a_reply_of_medical_information_deepens_no_content_and_answers_no_follow_up(small_world: Path) -> None:
    asked = did("demo_request", days=2, product="implant")
    plain = decided(small_world, person(), events=[asked])
    replied = decided(
        small_world, person(), events=[asked], touches=[sent("implant_evidence_summary", intent="medical_information")]
    )
    assert np.array_equal(plain.nurtured.found, replied.nurtured.found)
    # An asset of medical information says it by itself, whatever its touch says.
    reply = next(one.asset_id for one in shipped().assets if one.intent == "medical_information")
    unsaid = decided(small_world, person(), events=[asked], touches=[sent(reply, intent="")])
    assert np.array_equal(plain.nurtured.found, unsaid.nurtured.found)


# --- what stops a lead is what its answer says ------------------------------------------------------------------------


def test_who_may_not_be_written_to_is_told_so_and_not_that_a_window_opens_tomorrow(small_world: Path) -> None:
    fresh = did("webinar_attend", days=0.1, product="implant")
    for own in ({"suppressions": [stop("opt_out")]}, {"cases": [case("adverse_event")]}):
        decisions = decided(small_world, person(), events=[fresh], **own)
        answer = render(decisions, 0)["next_best_action"]
        assert row_of(decisions, "waits")
        assert not any(reason[0].startswith("follow_up") for reason in answer["because"]), answer["says"]
        assert "before" not in answer["says"]


def test_of_who_may_not_be_profiled_no_answer_says_what_it_did(small_world: Path) -> None:
    fresh = did("webinar_attend", days=0.1, product="implant")
    objects: dict[str, Any] = {"events": [fresh], "suppressions": [stop("profiling_objection")]}
    decisions = decided(small_world, person(country="DE", region=None), **objects)
    assert decisions.rulings.no_score[0]
    # Whether the rules permit some channel or none.
    for permitted in (False, True):
        rulings = replace(decisions.rulings, permitted=np.full_like(decisions.rulings.permitted, permitted))
        action = render(replace(decisions, rulings=rulings), 0)["next_best_action"]
        assert not {"stage", "segment", "not_before", "track"} & {reason[0] for reason in action["because"]}
        assert "webinar_attend" not in str(action)
    answer = render(decisions, 0)
    assert "webinar_attend" not in str(answer["next_best_action"]) + str(answer["nurture"])
    row = decision_table(decisions).to_pylist()[0]
    assert all(row[f"nurture_{name}"] is None for name in ("track", "step", "layer", "follow_up_by", "not_before"))


@pytest.mark.parametrize("kind", ["handover", "meeting"])
def test_a_lead_that_somebody_took_is_on_no_track_whatever_else_is_open(small_world: Path, kind: str) -> None:
    asked = did("demo_request", days=0.5, product="implant")
    decisions = decided(small_world, person(), events=[asked], cases=[case(kind), case("complaint")])
    answer, row = render(decisions, 0), decision_table(decisions).to_pylist()[0]
    assert answer["route"]["queue"] == shipped().actions.queues["complaint"]
    assert answer["nurture"]["exit"] == row["nurture_exit"] == kind
    for name in ("track", "step", "layer", "call_to_action", "follow_up_by", "not_before"):
        assert answer["nurture"][name] is None and row[f"nurture_{name}"] is None


# --- a lane permits nothing -------------------------------------------------------------------------------------------


def partner(folder: Path, replay: bool = False, **tables: Any) -> dict[str, Any]:
    company = Account(account_id="A1", organization_type="distributor", recorded_at=LONG_AGO, verified_at=AS_OF,
                      partner_eligible=True, target_market="US")  # fmt: skip
    lead = person(audience="buyer", role="distributor_rep", account_id="A1", specialty=None, source="event",
                  obtained_at=LONG_AGO, notice_at=LONG_AGO, screened_at=AS_OF, adult=True)  # fmt: skip
    consents = [granted(channel=channel) for channel in ("email", "phone", "rep_visit")]
    decisions = decided(folder, lead, accounts=[company], consents=consents, replay=replay, **tables)
    answer, row = render(decisions, 0), decision_table(decisions).to_pylist()[0]
    assert (row["next"], row["queue"]) == (answer["qualification"]["next"]["do"], answer["route"]["queue"])
    assert answer["qualification"]["lane"] == "partner"
    return answer


def test_a_partner_whom_nobody_may_contact_is_handed_to_nobody(small_world: Path) -> None:
    open_ = partner(small_world)
    assert any(one["permitted"] for one in open_["channels"].values())
    assert open_["qualification"]["next"]["do"] in ("hand_over", "assign")
    for closed in (partner(small_world, suppressions=[stop("no_contact")]), partner(small_world, replay=True)):
        assert not any(one["permitted"] for one in closed["channels"].values())
        assert closed["qualification"]["next"]["do"] == "ask_permission"
        assert closed["route"]["queue"] == shipped().actions.queues["none"]


# --- online and batch, one and many -----------------------------------------------------------------------------------

_KINDS = ("page_view", "download", "webinar_attend", "demo_request", "meeting_request", "email_click", "ticket")
_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(_KINDS), st.integers(0, 400), st.sampled_from((None, "implant", "software")),
        st.sampled_from((None, "overview", "detailed", "comparison", "pricing")),
        st.sampled_from((None, "workflow", "pricing", "clinical_evidence")),
    ),
    max_size=6,
)  # fmt: skip
_PERSON = st.fixed_dictionaries(
    {
        "audience": st.sampled_from((None, "hcp", "buyer", "patient")),
        "role": st.sampled_from((None, "physician", "procurement", "pharmacist", "distributor_rep")),
        "product_interest": st.sampled_from((None, "implant", "software", "specialty_care")),
        "country": st.sampled_from((None, "US", "DE")),
    }
)
_STATE = st.sampled_from((None, "handover", "meeting", "off_label", "adverse_event", "complaint"))
_STOP = st.sampled_from((None, None, "profiling_objection", "erasure", "no_contact"))


@law(deadline=None, max_examples=8)
@given(drawn=st.lists(st.tuples(_PERSON, _EVENTS, _STATE, _STOP), min_size=2, max_size=5), order=st.randoms())
def test_many_leads_are_told_as_each_alone_whatever_the_order_and_what_comes_later(
    small_world: Path, drawn: list[Any], order: Any
) -> None:
    every: dict[str, Any] = {name: [] for name in ("leads", "events", "cases", "suppressions", "touches")}
    alone: list[dict[str, Any]] = []
    for place, (own, events, open_, stopped) in enumerate(drawn):
        name = f"L{place}"
        rows: dict[str, Any] = {
            "leads": [person(name, **own)],
            "events": [
                did(kind, days, n, name, product=product, depth=depth, topic=topic)
                for n, (kind, days, product, depth, topic) in enumerate(events)
            ],
            "cases": [case(open_, name)] if open_ else [],
            "suppressions": [stop(stopped, name)] if stopped else [],
            "touches": [sent("implant_overview", 1, lead_id=name)] if len(events) % 2 else [],
        }
        alone.append(rows)
        later = [did("demo_request", -1, 99, name), did("page_view", -0.01, 98, name, depth="pricing")]
        for key, more in rows.items():
            every[key] += more
        every["events"] += later
    for rows_ in every.values():
        order.shuffle(rows_)
    together = decided(small_world, *every.pop("leads"), **every)
    whole = decision_table(together)
    table, records = {row["lead_id"]: row for row in whole.to_pylist()}, Handovers(together, whole)
    for rows in alone:
        one = dict(rows)
        single = decided(small_world, *one.pop("leads"), **one)
        answer, lead_id = render(single, 0), str(single.known.lead_ids[0])
        at = together.known.lead_ids.tolist().index(lead_id)
        many = render(together, at)
        for key in ("journey", "nurture", "qualification", "next_best_action", "route"):
            assert answer[key] == many[key], key
        row = table[lead_id]
        for name in ("track", "step", "layer", "call_to_action", "follow_up_by", "not_before", "exit"):
            assert row[f"nurture_{name}"] == answer["nurture"][name], name
        assert (row["next"], row["lane"], row["qualification"], row["handover_due_at"]) == (
            answer["qualification"]["next"]["do"], answer["qualification"]["lane"],
            answer["qualification"]["status"], answer["qualification"]["next"]["due_at"],
        )  # fmt: skip
        journey = answer["journey"] or dict.fromkeys(("stage", "evidence", "next_moment", "lifecycle"))
        named = ("buying_stage", "stage_evidence", "journey_moment", "lifecycle")
        assert [row[name] for name in named] == list(journey.values())
        record = records.of(at)
        if single.rulings.no_score[0] or answer["qualification"]["next"]["do"] in ("none", "wait"):
            assert set(record) == {"lead_id", "as_of", "qualification", "route"}
        told = [one for one in record.get("history", ()) if one.get("kind") in _KINDS]
        assert all(one["on"] <= "2026-06-30" for one in told)


# --- what is old counts nowhere, what was sent of another product deepens nothing -------------------------------------


def test_an_event_too_old_to_count_anywhere_deepens_nothing_and_says_no_topic(small_world: Path) -> None:
    limit = shipped().features.valid_days["email_click"]
    own: dict[str, Any] = {"product": "implant", "depth": "comparison", "topic": "workflow", "channel": "email"}
    at_limit, older = (
        decided(small_world, person(), events=[did("email_click", days, **own)]) for days in (limit, limit + 1)
    )
    assert (row_of(at_limit, "seen"), row_of(older, "seen")) == (2, -1)
    assert row_of(at_limit, "topic") > 0 and row_of(older, "topic") == 0


def test_what_was_sent_of_another_product_deepens_nothing_and_answers_all_the_same(small_world: Path) -> None:
    deep = next(one for one in shipped().assets if one.product == "software" and one.depth != "overview")
    asked = did("download", days=3, product="implant", depth="overview")
    plain = decided(small_world, person(), events=[asked])
    other = decided(small_world, person(), events=[asked], touches=[sent(deep.asset_id, 1)])
    assert row_of(plain, "seen") == row_of(other, "seen") == 0
    assert row_of(plain, "follow_up_by") > 0 and row_of(other, "follow_up_by") == -1


# --- configuration that would be silently wrong -----------------------------------------------------------------------


def test_a_track_that_nobody_can_reach_and_a_depth_of_no_level_are_refused() -> None:
    one = shipped()
    found = {name: getattr(one, name) for name in ("vocabularies", "actions", "facts", "parameters", "assets")}
    everybody = {"id": "all", "title": "everybody", "ladder": "device", "says": "why", "owner": "somebody"}
    dumped = one.nurture.model_dump()

    def keys(**changed: Any) -> set[str]:
        return {p.key for p in nurture_problems(found | {"nurture": NurtureSettings.model_validate(dumped | changed)})}

    assert keys() == set()
    assert keys(tracks=[*dumped["tracks"], everybody]) == set()
    assert keys(tracks=[everybody, *dumped["tracks"]]) == {"tracks.all"}
    # What a kind of event shows must be a level, else it would show nothing.
    assert "depth_by_event.demo_request" in keys(depths=[["overview"], ["detailed"]])


@pytest.mark.parametrize("hours", [0, -3])
def test_a_deadline_is_after_now(hours: int) -> None:
    with pytest.raises(ValidationError, match="within_hours"):
        QualificationSettings(within_hours={"fast": hours})


def test_there_are_no_more_thresholds_than_are_told_apart() -> None:
    with pytest.raises(ValidationError, match="thresholds"):
        QualificationSettings(thresholds=tuple(Threshold(id=f"t{n}", says="one more", band="hot") for n in range(128)))


def test_a_set_of_no_kinds_and_a_field_of_no_values_are_refused() -> None:
    from configs.journeys import JourneySettings, journey_problems

    dumped = shipped().journeys.model_dump()
    with pytest.raises(ValidationError, match="kind_sets"):  # it would fit every event
        JourneySettings.model_validate(dumped | {"kind_sets": {"reads": []}})
    journey = dumped["journeys"][0]
    closed = {**journey["signals"][0], "id": "closed", "only_if": {"committee": []}}
    wrong = [{**journey, "signals": [*journey["signals"], closed]}, *dumped["journeys"][1:]]
    one = shipped()
    found = {name: getattr(one, name) for name in ("vocabularies", "facts", "features")}
    settings = JourneySettings.model_validate(dumped | {"journeys": wrong})
    keys = [problem.key for problem in journey_problems(found | {"journeys": settings})]
    assert keys == [f"journeys.{journey['id']}.signals.closed.only_if.committee"]


def test_sixty_four_signals_are_told_apart() -> None:
    from features.journey.plan import JourneyPlan

    one = shipped()
    journey = one.journeys.journeys[0]
    signals = tuple(journey.signals[0].model_copy(update={"id": f"s{n}"}) for n in range(64))
    journeys = (journey.model_copy(update={"signals": signals}), *one.journeys.journeys[1:])
    settings = one.model_copy(update={"journeys": one.journeys.model_copy(update={"journeys": journeys})})
    plan = JourneyPlan.of(settings)
    assert plan.alive[0, 0, 1] == plan.alive[0, 1, 1] == plan.of_stage[0].max() == 2**64 - 1


# --- a service that nobody knows to be needed -------------------------------------------------------------------------


def test_of_whom_neither_product_nor_audience_is_known_no_service_is_surely_offered(small_world: Path) -> None:
    def offered(**own: Any) -> int:
        decisions = decided(small_world, person(region=None, **own))
        return int(decisions.facts.columns["service_offered"].reshape(-1)[0])

    assert offered(audience=None, product_interest=None) == 0
    assert offered(audience="hcp", product_interest=None) == offered(audience=None, product_interest="implant") == 2


def test_what_decides_lane_stage_and_service_is_part_of_the_versions(small_world: Path) -> None:
    own = decider(small_world / "bundle")
    one = shipped()
    others = (
        {"qualification": one.qualification.model_copy(update={"advancement": None})},
        {"journeys": one.journeys.model_copy(update={"unnamed_product": False})},
        {"services": one.services.model_copy(update={"services": one.services.services[:1]})},
        {"nurture": one.nurture.model_copy(update={"seen_days": 7})},
    )
    for changed in others:
        assert replace(own, settings=one.model_copy(update=changed)).assets_version != own.assets_version, changed
