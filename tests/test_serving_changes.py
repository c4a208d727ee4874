"""What would change an answer is the answer to the same lead with one more thing recorded, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from configs.changes import Change, NewEvent, change_problems
from configs.settings import load_settings
from features.records import Account, Case, Consent, Event, Lead, Suppression
from serving.api import LeadRequest, ScoreRequest
from serving.changes import WhatWouldChange, what_would_change
from serving.decide import Decider
from serving.online import OnlineAnswerer

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def page(event_id: str, days: float) -> Event:
    return Event(event_id=event_id, lead_id="a", kind="page_view", occurred_at=ago(days), recorded_at=ago(days))


CONSENT = Consent(
    lead_id="a", channel="email", purpose="promotional", status="granted", captured_at=ago(20), recorded_at=ago(20)
)
ITEM = LeadRequest(
    lead=Lead(
        lead_id="a", account_id="x", audience="buyer", role="procurement", country="US", product_interest="software",
        verified_at=ago(300), recorded_at=ago(200), source="webinar", role_address=False, notice_at=ago(200),
    ),
    account=Account(account_id="x", organization_type="hospital", recorded_at=ago(200)),
    events=[page("1", 3), page("2", 5), page("3", 9)],
    touches=[], consents=[CONSENT], suppressions=[], cases=[], colleagues=[], suppressions_complete_as_of=ago(0),
)  # fmt: skip


@cache
def decider(bundle: Path) -> Decider:
    return Decider.load(bundle, load_settings(), on=AS_OF.date())


@cache
def found(bundle: Path) -> WhatWouldChange:
    return what_would_change(ITEM, decider(bundle), AS_OF)


def test_each_change_is_the_plain_answer_to_the_lead_that_has_it_recorded(small_world: Path) -> None:
    bundle = small_world / "bundle"
    demo = Event(event_id="new", lead_id="a", kind="demo_request", channel="web", occurred_at=AS_OF, recorded_at=AS_OF)
    request = ScoreRequest((msgspec.structs.replace(ITEM, events=[*(ITEM.events or ()), demo]),), (0,), (), None, AS_OF)
    plain = OnlineAnswerer(decider(bundle), b"k" * 32).answer(request, AS_OF)[0][0]
    told = next(one for one in found(bundle).changes if one.change.id == "asks_for_demo")
    assert told.probability == plain["readiness"]["probability"]
    assert told.gain == plain["readiness"]["log_odds"] - found(bundle).answer["readiness"]["log_odds"]
    assert told.grades == f"{plain['fit']['grade']}{plain['engagement']['grade']}"


def test_every_declared_change_is_told_or_said_to_change_nothing_and_the_best_comes_first(small_world: Path) -> None:
    one = found(small_world / "bundle")
    declared = {change.id for change in load_settings().changes}
    assert {changed.change.id for changed in one.changes} | set(one.unmoved) == declared
    gains = [changed.gain or 0.0 for changed in one.changes]
    assert gains == sorted(gains, reverse=True)
    by_id = {changed.change.id: changed for changed in one.changes}
    assert by_id["thirty_silent_days"].gain is not None
    assert by_id["thirty_silent_days"].gain < 0 < gains[0]


def test_an_invitation_names_the_channels_that_are_permitted_now(small_world: Path) -> None:
    one = found(small_world / "bundle")
    permitted = tuple(channel for channel, told in one.answer["channels"].items() if told["permitted"])
    invited = [changed for changed in one.changes if changed.change.invited]
    assert invited and "email" in permitted
    assert {changed.through for changed in invited} == {permitted}
    assert {changed.through for changed in one.changes if not changed.change.invited} == {None}


def test_nobody_is_invited_whose_matter_a_person_has_in_hand(small_world: Path) -> None:
    # A question about another product stops no channel, and the reply may go out: neither is an invitation.
    asked = Case(case_id="1", lead_id="a", kind="off_label", product="implant", opened_at=ago(3), recorded_at=ago(3))
    one = what_would_change(msgspec.structs.replace(ITEM, cases=[asked]), decider(small_world / "bundle"), AS_OF)
    assert one.answer["route"]["because"] == [["off_label_open", "known", "yes"]]
    assert one.answer["channels"]["email"]["permitted"]
    assert {changed.through for changed in one.changes if changed.change.invited} == {()}


def test_a_lead_that_could_not_be_scored_any_more_has_no_grades_then(small_world: Path) -> None:
    later = Suppression(lead_id="a", since_at=ago(-9), recorded_at=ago(9), reason="profiling_objection")
    german = msgspec.structs.replace(ITEM.lead, country="DE", verified_at=ago(9))
    asked = msgspec.structs.replace(ITEM, lead=german, suppressions=[later])
    one = what_would_change(asked, decider(small_world / "bundle"), AS_OF)
    silent = next(changed for changed in one.changes if changed.change.id == "thirty_silent_days")
    assert (silent.probability, silent.gain, silent.band, silent.grades) == (None, None, "unknown", "")


def test_nothing_is_said_of_a_lead_that_may_not_be_scored(small_world: Path) -> None:
    objection = Suppression(lead_id="a", since_at=ago(9), recorded_at=ago(9), reason="profiling_objection")
    german = msgspec.structs.replace(ITEM.lead, country="DE", verified_at=ago(9))
    asked = msgspec.structs.replace(ITEM, lead=german, suppressions=[objection])
    one = what_would_change(asked, decider(small_world / "bundle"), AS_OF)
    assert one.answer["readiness"]["reason"] == "NO_SCORE"
    assert (one.changes, one.unmoved) == ((), ())


def test_asking_changes_nothing_of_the_answer(small_world: Path) -> None:
    bundle = small_world / "bundle"
    request = ScoreRequest((ITEM,), (0,), (), None, AS_OF)
    before = OnlineAnswerer(decider(bundle), b"k" * 32).answer(request, AS_OF)[0][0]["readiness"]
    what_would_change(ITEM, decider(bundle), AS_OF)
    assert OnlineAnswerer(decider(bundle), b"k" * 32).answer(request, AS_OF)[0][0]["readiness"] == before


def test_what_somebody_is_cannot_be_declared_as_a_change_and_words_must_be_known() -> None:
    with pytest.raises(ValidationError):
        Change.model_validate({"id": "turns", "by": "lead", "says": "turns surgeon", "lead": ["specialty"]})
    with pytest.raises(ValidationError, match="exactly one of event, lead and wait_days"):
        Change(id="both", by="us", says="both", lead=("verified_at",), wait_days=3)
    odd = Change(id="odd", by="lead", says="does what no word has", event=NewEvent(kind="levitates"))
    settings = load_settings()
    problems = list(change_problems({"changes": (odd, odd), "vocabularies": settings.vocabularies}))
    assert [problem.key for problem in problems] == [
        "changes.odd.event.kind", "changes.odd", "changes.odd.event.kind"]  # fmt: skip
