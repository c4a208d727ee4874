"""Thresholds by role, specialty and stage; lanes; one lead like many; and what changes no lane."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.qualification import LANES, Bar, QualificationSettings, Threshold, qualification_problems
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.facts import Facts
from features.records import Account, Case, Lead
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.handover.qualification import lacks
from serving.handover.qualified import REACHES, Qualified, Qualifier
from serving.render import render

ON = date(2026, 6, 30)
AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)
BANDS = ("unknown", "cold", "warming", "warm", "hot")
SEGMENTS = ("one", "two")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


@cache
def qualifier() -> Qualifier:
    return Qualifier.of(shipped(), SEGMENTS)


def facts(rows: list[dict[str, Any]], *, as_one: bool = False) -> Facts:
    """Facts of some leads from words and numbers; what is not named is unknown."""
    names = {name for name, declared in shipped().facts.items() if declared.per == "lead"}
    codes = {
        name: [row.get(name, -1) if domain().is_number(name) else _code(name, row.get(name)) for row in rows]
        for name in names
    }
    columns = {name: np.array(column)[:, None, None] for name, column in codes.items()}
    return Facts(len(rows), (), columns, {name: column[0] for name, column in codes.items()} if as_one else None)


def _code(name: str, word: str | None) -> int:
    return 0 if word is None else domain().code(name, word)


def points(fit: list[str], engagement: list[int]) -> Any:
    card = shipped().scorecard
    return SimpleNamespace(
        fit_grade=np.array([list(card.fit_grades).index(grade) for grade in fit]),
        engagement_grade=np.array([list(card.engagement_grades).index(grade) for grade in engagement]),
    )


def found(row: dict[str, Any], band: str, fit: str = "C", engagement: int = 3, of: Qualifier | None = None) -> str:
    """The lane of a lead, which is the same alone and in a column; an `!` where its threshold is reached."""
    codes = np.array([BANDS.index(band)], dtype=np.uint8)
    own = (np.zeros(1, dtype=np.int32), codes, points([fit], [engagement]), ON)
    one, column = ((of or qualifier()).qualified(facts([row], as_one=alone), *own) for alone in (True, False))
    assert _plain(one) == _plain(column)
    return LANES[one.lane[0]] + ("!" if one.did[0] & REACHES else "")


def _plain(qualified: Qualified) -> list[list[int]]:
    return [qualified.lane.tolist(), qualified.threshold.tolist(), qualified.did.tolist()]


EVALUATES = {"buying_stage": "evaluation", "stage_evidence": "fair"}
ASKS = {"demo_request_count_30d": 1}


@pytest.mark.parametrize(
    ("row", "band", "fit", "lane"),
    [
        ({"role": "physician", "specialty": "oncology"}, "warm", "C", "standard!"),
        ({"role": "physician", "specialty": "oncology"}, "warming", "A", "nurture"),
        ({"role": "physician", "specialty": "oncology"} | ASKS, "warming", "C", "standard!"),  # it asked for a step
        ({"role": "physician", "specialty": "dermatology"} | ASKS, "warming", "C", "nurture"),  # another specialty
        ({"role": "procurement"}, "warm", "A", "nurture"),  # a buyer reads long before
        ({"role": "procurement"}, "hot", "D", "fast!"),
        ({"role": "procurement"} | EVALUATES, "warm", "C", "standard!"),  # unless its own events show the stage
        ({"role": "procurement"} | EVALUATES | {"stage_evidence": "weak"}, "warm", "C", "nurture"),
        ({"role": "procurement"} | ASKS, "cold", "D", "standard!"),
        ({"influence": "formulary_committee", "purchase_authority": "no"}, "hot", "D", "nurture"),  # fit C is needed
        ({"influence": "formulary_committee", "purchase_authority": "no"}, "warm", "C", "standard!"),
        ({"influence": "formulary_committee", "purchase_authority": "yes"}, "warm", "D", "standard!"),
        ({"buying_stage": "awareness", "stage_evidence": "strong"}, "warm", "A", "nurture"),
        ({"audience": "patient", "buying_stage": "awareness", "stage_evidence": "strong"}, "warm", "D", "standard!"),
        ({}, "warm", "D", "standard!"),
        ({}, "unknown", "A", "nurture"),
        ({"organization_type": "distributor"}, "cold", "D", "partner"),
        ({"organization_type": "distributor"}, "hot", "D", "partner!"),
    ],
)
def test_thresholds_differ_by_role_specialty_and_stage(row: dict[str, Any], band: str, fit: str, lane: str) -> None:
    assert found(row, band, fit) == lane


@pytest.mark.parametrize(
    ("band", "fit", "engagement", "asks", "lane"),
    [
        ("hot", "D", 4, False, "fast!"),
        ("warm", "A", 2, False, "fast!"),  # high fit and engaged
        ("warm", "A", 3, False, "standard!"),
        ("warm", "B", 1, False, "standard!"),
        ("warming", "A", 1, False, "nurture"),
    ],
)
def test_high_fit_and_engaged_takes_the_fast_lane(band: str, fit: str, engagement: int, asks: bool, lane: str) -> None:
    assert found(ASKS if asks else {}, band, fit, engagement) == lane


def test_without_a_file_warm_is_qualified_and_hot_goes_fast() -> None:
    plain = Qualifier.of(shipped().model_copy(update={"qualification": QualificationSettings()}), SEGMENTS)
    lanes = [found({"role": "procurement"}, band, "D", 4, plain) for band in BANDS]
    assert lanes == ["nurture", "nurture", "nurture", "standard!", "fast!"]


def test_a_threshold_of_a_segment_speaks_for_its_members_only() -> None:
    own = QualificationSettings(
        thresholds=(
            Threshold(id="two", says="the second segment", segments=("two",), band="cold"),
            Threshold(id="rest", says="everybody else", band="hot"),
        )
    )
    compiled = Qualifier.of(shipped().model_copy(update={"qualification": own}), SEGMENTS)
    for alone in (True, False):
        for segment, lane in ((0, "nurture"), (1, "standard")):
            primary, band = np.array([segment], dtype=np.int32), np.array([2], dtype=np.uint8)
            one = compiled.qualified(facts([{}], as_one=alone), primary, band, points(["D"], [4]), ON)
            assert LANES[one.lane[0]] == lane


LEADS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["physician", "procurement", "executive", "pharmacist"]),
        "specialty": st.sampled_from(["oncology", "dermatology"]),
        "influence": st.sampled_from(["formulary_committee", "decision_maker"]),
        "purchase_authority": st.sampled_from(["yes", "no"]),
        "audience": st.sampled_from(["patient", "hcp"]),
        "buying_stage": st.sampled_from(["awareness", "evaluation"]),
        "stage_evidence": st.sampled_from(["weak", "strong"]),
        "organization_type": st.sampled_from(["distributor", "hospital"]),
        "demo_request_count_30d": st.integers(0, 2),
        "form_submit_count_90d": st.integers(0, 2),
    },
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(LEADS, st.integers(0, 4), st.sampled_from("ABCD"), st.integers(1, 4)), min_size=1, max_size=6)
)
def test_many_leads_are_qualified_as_each_alone_and_a_better_band_never_loses(drawn: list[Any]) -> None:
    rows, bands, fits, engagements = zip(*drawn, strict=True)
    codes, primary = np.array(bands, dtype=np.uint8), np.zeros(len(rows), dtype=np.int32)
    together = qualifier().qualified(facts(list(rows)), primary, codes, points(list(fits), list(engagements)), ON)
    for place, (row, band, fit, engagement) in enumerate(drawn):
        own = (primary[:1], np.array([band], dtype=np.uint8), points([fit], [engagement]), ON)
        assert _plain(qualifier().qualified(facts([row], as_one=True), *own)) == [
            [column[place]] for column in _plain(together)
        ]
        if band < 4:
            better = (primary[:1], np.array([band + 1], dtype=np.uint8), points([fit], [engagement]), ON)
            assert qualifier().qualified(facts([row], as_one=True), *better).lane[0] >= together.lane[place]


def test_a_framework_that_names_what_does_not_exist_or_is_never_reached_is_refused() -> None:
    wrong = QualificationSettings(
        lead="no_such_fact = 'yes'",
        partner="band = 'hot'",
        advancement="asset_status = 'approved'",
        thresholds=(
            Threshold(id="all", says="everybody", band="warm"),
            Threshold(id="all", says="nobody gets here", fit="Z", segments=("none",)),
        ),
        fast=(Bar(engagement=9),),
    )
    problems = qualification_problems(
        {"qualification": wrong, "facts": shipped().facts, "parameters": shipped().parameters,
         "segments": shipped().segments, "scorecard": shipped().scorecard}
    )  # fmt: skip
    assert sorted(problem.key for problem in problems) == [
        "advancement", "fast.0.engagement", "lead", "partner", "thresholds.all", "thresholds.all",
        "thresholds.all.fit", "thresholds.all.segments",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="expected band, fit, engagement or asked"):
        Bar()


# --- in an answer and in a batch ------------------------------------------------------------------------------------


@cache
def decider(bundle: Path) -> Decider:
    return Decider.load(bundle, shipped(), on=ON)


def decided(folder: Path, *leads: Lead, of: Decider | None = None, **tables: Any) -> Decisions:
    empty = {"accounts": [], "events": [], "touches": [], "consents": [], "suppressions": [], "cases": []} | tables
    own = of or decider(folder / "bundle")
    encoded = encode_records(
        list(leads), **empty, vocabularies=shipped().vocabularies, asset_ids=own.asset_ids,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    return own.decide(encoded, AS_OF, threads=1)


def person(lead_id: str = "L1", **own: Any) -> Lead:
    known = {"audience": "hcp", "country": "US", "recorded_at": DAY, "created_at": DAY, "verified_at": DAY}
    return Lead(lead_id=lead_id, **(known | own))  # type: ignore[arg-type]


def case(kind: str, **own: Any) -> Case:
    return Case(case_id=kind, lead_id="L1", kind=kind, opened_at=AS_OF - timedelta(hours=10), **own)


def told(decisions: Decisions) -> dict[str, Any]:
    """What an answer says of the qualification, which is what the table says."""
    answer, row = render(decisions, 0), decision_table(decisions).to_pylist()[0]
    qualified: dict[str, Any] = answer["qualification"]
    assert (row["qualification"], row["lane"]) == (qualified["status"], qualified["lane"])
    assert (row["next"], row["handover_due_at"]) == (qualified["next"]["do"], qualified["next"]["due_at"])
    return qualified | {"queue": answer["route"]["queue"], "action": answer["next_best_action"]["action"]}


def test_an_open_question_or_adverse_event_changes_no_qualification_and_sales_waits(small_world: Path) -> None:
    plain = told(decided(small_world, person()))
    for kind, queue in (("off_label", "medical_information"), ("adverse_event", "pharmacovigilance")):
        asked = told(decided(small_world, person(), cases=[case(kind, product="oncology_rx")]))
        assert {key: asked[key] for key in ("status", "lane", "because")} == {
            key: plain[key] for key in ("status", "lane", "because")
        }
        assert (asked["next"]["do"], asked["queue"]) == ("wait", queue)


def test_a_lead_that_was_handed_over_is_with_sales_and_nothing_is_sent_beside(small_world: Path) -> None:
    decisions = decided(small_world, person(), cases=[case("handover")])
    found = told(decisions)
    assert (found["status"], found["lane"], found["next"]["do"]) == ("handed_over", "none", "with_sales")
    assert (found["queue"], found["action"]) == ("account_owner", "owner_follow_up")
    assert {one["status"] for one in render(decisions, 0)["segments"]} == {"paused"}
    over = told(decided(small_world, person(), cases=[case("handover", closed_at=DAY + timedelta(hours=20))]))
    assert over["status"] != "handed_over" and over["next"]["do"] != "with_sales"


def test_a_booked_meeting_comes_before_a_hand_over(small_world: Path) -> None:
    found = told(decided(small_world, person(), cases=[case("handover"), case("meeting")]))
    assert (found["status"], found["next"]["do"]) == ("meeting", "follow_up")


def test_who_may_not_be_assessed_is_in_no_lane(small_world: Path) -> None:
    from features.records import Suppression

    stop = Suppression(lead_id="L1", reason="erasure", since_at=DAY, recorded_at=DAY)
    found = told(decided(small_world, person(), suppressions=[stop]))
    assert (found["status"], found["lane"], found["next"]["do"]) == ("not_assessed", "none", "none")


def test_below_the_threshold_the_answer_says_what_is_missing(small_world: Path) -> None:
    decisions = decided(small_world, person(role="procurement"))
    assert told(decisions)["next"]["says"] == (
        "below the threshold: band hot or a request for a demo, meeting or sample needed"
    )
    assert lacks(decisions, 0) == ("band hot or a request for a demo, meeting or sample",)


def test_a_distributor_goes_to_channel_management_by_eligibility_and_market(small_world: Path) -> None:
    base = decider(small_world / "bundle")
    teams = {**shipped().actions.teams, "channel_management": ()}
    from configs.content import Team

    teams["channel_management"] = (Team(id="europe", markets=("DE", "FR")), Team(id="america", markets=("US",)))
    actions = shipped().actions.model_copy(update={"teams": teams})
    own = replace(base, settings=shipped().model_copy(update={"actions": actions}))
    # Somebody may visit it: who may be contacted by nobody is handed to nobody (test_serving_journeys_review.py).
    lead = person(audience="buyer", account_id="A1", territory="north", role="distributor_rep", source="event",
                  obtained_at=DAY, notice_at=DAY, screened_at=DAY)  # fmt: skip

    def routed(**account: Any) -> tuple[str, str | None, Any, str]:
        company = Account(account_id="A1", organization_type="distributor", recorded_at=DAY, verified_at=DAY, **account)
        decisions = decided(small_world, lead, of=own, accounts=[company])
        route, found = render(decisions, 0)["route"], told(decisions)
        return route["queue"], route["team"], route["because"][1:], found["next"]["do"]

    queue = "channel_management"
    assert routed(partner_eligible=True, target_market="DE") == (queue, "europe", [], "hand_over")
    assert routed(partner_eligible=True, target_market="US") == (queue, "america", [], "hand_over")
    assert routed(partner_eligible=True, target_market="BR") == (
        queue, None, [["target_market", "known", "BR"]], "assign",
    )  # fmt: skip
    assert routed(partner_eligible=True) == (
        queue, None, [["target_market", "unknown", "accounts.target_market"]], "assign",
    )  # fmt: skip
    assert routed(partner_eligible=False, target_market="DE") == (
        queue, None, [["partner_eligible", "known", "no"]], "assign",
    )  # fmt: skip
    assert routed(target_market="DE") == (
        queue, None, [["partner_eligible", "unknown", "accounts.partner_eligible"]], "assign",
    )  # fmt: skip
