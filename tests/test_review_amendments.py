"""What sales says becomes a concrete change with evidence, and weak results point at the definition first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.approval_file import step_text
from configs.approvals import ApprovalStep
from configs.conditions import parse
from configs.definitions import SegmentDefinition
from configs.errors import InputInvalid
from configs.learning import LearningRules
from configs.settings import Settings, load_settings
from models.shares import Share
from training.reviews.amendments import Amendment, amendments_of
from training.reviews.diagnosis import ORDER, Behaviour, Diagnosis, diagnosis_of
from training.reviews.evidence import Point, Reading, SegmentReview
from training.reviews.feedback import Feedback, ReasonGiven
from training.reviews.kept import evidence_lines
from training.reviews.telling import Answered, telling

ON = date(2026, 6, 30)
ID = "onc_community_center"
SIGN = "sales answered 80 times in 90 days and took 50%"
# Forty were turned down, forty taken; twenty others are members too.
TURNED, TAKEN, ALL = np.arange(100) < 40, (np.arange(100) >= 40) & (np.arange(100) < 80), np.ones(100, dtype=np.bool_)


@cache
def settings() -> Settings:
    return load_settings()


def definition(segment_id: str = ID) -> SegmentDefinition:
    return next(one for one in settings().segments if one.id == segment_id)


def codes(fact: str, turned: str, taken: str) -> np.ndarray[Any, Any]:
    """Everybody turned down has one value, everybody else the other."""
    values = settings().facts[fact].values
    return np.where(TURNED, values.index(turned) + 1, values.index(taken) + 1).astype(np.uint8)


def seen(reason: str, facts: Mapping[str, Any] | None = None, read: Mapping[str, float] | None = None,
         did: Mapping[str, Any] | None = None) -> Answered:  # fmt: skip
    topics = settings().vocabularies["topic"].values
    reading = np.zeros((100, len(topics) + 1))
    for topic, weight in (read or {}).items():
        reading[TURNED, topics.index(topic) + 1] = weight
    nobody = np.zeros(100, dtype=np.bool_)
    turned = {one.id: TURNED if one.id == reason else nobody for one in settings().feedback.reasons}
    told = tuple(facts or ())
    return Answered(turned, TAKEN, ALL, dict(facts or {}), reading, dict(did or {}), told, ON, 90)


def feedback(reason: str, speaks: bool = True) -> Feedback:
    one = next(each for each in settings().feedback.reasons if each.id == reason)
    given = ReasonGiven(reason, one.says, one.points_at, Share(40, 40), Share(2, 50), 0.8, 1.0, speaks)
    return Feedback(Share(40, 80), Share(0, 0), 0.0, 0.0, False, (given,), 0)


def changes(reason: str, segment_id: str = ID, **own: Any) -> tuple[Amendment, ...]:
    return amendments_of(definition(segment_id), feedback(reason), settings(), seen(reason, **own))


def test_the_wrong_framing_names_themes_that_were_read_and_are_not_there() -> None:
    # They read nine parts in ten about dosing, which no theme and no offer of the segment is about.
    found = changes("wrong_framing", read={"dosing": 9.0, "safety": 1.0})
    themes = next(one for one in found if one.key == f"{ID}.themes")
    assert themes.file == "segments/clinicians.yaml"
    assert themes.to == themes.now[:-1] + ", dosing]"
    assert "40 of 40 rejections say wrong framing, elsewhere 2 of 50" in themes.evidence[0]
    assert "dosing (90%)" in themes.evidence[1]
    # What is approved about a missing topic, for the audience and product, is put forward where there is any.
    offers = [one for one in found if ".offers." in one.key]
    approved = [
        a.asset_id for a in settings().assets if a.topic == "dosing" and a.product in (None, definition().product)
    ]
    assert all(one.to.rpartition(" ")[2].strip("[]") in approved for one in offers)
    goal = found[-1]
    assert (goal.key, goal.now, goal.to) == (f"{ID}.message_goal", definition().message_goal.strip(), "")


def test_the_wrong_role_leaves_the_role_out_and_whose_role_is_unknown_stays() -> None:
    found = changes("wrong_role", facts={"role": codes("role", "pharmacist", "physician")})
    enter = found[0]
    assert (enter.key, enter.points_at) == (f"{ID}.enter", "roles")
    assert enter.to == f"({definition().enter.strip()}) AND (role <> 'pharmacist' OR role IS UNKNOWN)"
    parse(enter.to, settings().facts, settings().parameters)
    assert enter.evidence[1:] == (
        "40 of 40 turned down have role pharmacist, of those taken 0 of 40",
        "40 of 100 members would leave",
        "sales took 0 of these",
    )
    assert found[1].file == "corrections.yaml"


def test_a_poor_fit_names_the_fact_that_tells_and_no_other() -> None:
    same = np.full(100, 1, dtype=np.uint8)
    facts = {"care_setting": codes("care_setting", "inpatient", "outpatient"), "specialty": same}
    (one,) = changes("poor_fit", facts=facts)
    assert "care_setting <> 'inpatient'" in one.to and one.points_at == "definition"


def test_too_early_hands_over_one_band_later_and_as_many_as_sales_took() -> None:
    found = changes("too_early", facts={"role": codes("role", "physician", "physician")})
    later, monthly = found
    assert later.file == "qualification.yaml" and later.key == f"thresholds.{ID}_later"
    assert f"segments: [{ID}]" in later.to and later.to.split("band: ")[1].startswith("hot")
    # Forty were not called too early in 90 days: thirteen in thirty.
    assert (monthly.file, monthly.to) == ("thresholds.yaml", "{capacity: {hot: 13}}")


def test_too_advanced_lets_what_they_did_show_a_later_stage() -> None:
    (one,) = changes("too_advanced", "software_ehr_health_system", did={"demo_request": TURNED, "page_view": ALL})
    journey = settings().journeys.of("software")
    assert journey is not None
    signal = next(each for each in journey.signals if "demo_request" in each.kinds)
    stages = settings().actions.stages
    assert one.key == f"journeys.{journey.id}.signals.{signal.id}.stage"
    assert (one.now, one.to) == (signal.stage, stages[stages.index(signal.stage) + 1])


def test_no_capacity_points_at_the_teams_and_a_bad_record_at_unknown_fields() -> None:
    (one,) = changes("no_capacity")
    # Forty in 90 days, five working days in seven: not one whole lead a day, so one.
    assert (
        one.file == "actions.yaml" and "0 a working day" not in one.evidence[1] and "40 in 90 days" in one.evidence[1]
    )
    unknown = np.where(TURNED, 0, 3).astype(np.uint8)
    (two,) = changes("bad_record", facts={"specialty": unknown})
    assert two.to.endswith("AND NOT (specialty IS UNKNOWN)")
    parse(two.to, settings().facts, settings().parameters)


@pytest.mark.parametrize("reason", ["wrong_role", "poor_fit", "too_advanced", "bad_record"])
def test_where_nothing_tells_them_apart_a_person_writes_the_change(reason: str) -> None:
    found = changes(reason)
    assert [one.to for one in found] == [""] and found[0].says


def test_a_reason_that_does_not_speak_or_is_nobodys_fault_changes_nothing() -> None:
    assert amendments_of(definition(), feedback("wrong_role", speaks=False), settings(), seen("wrong_role")) == ()
    assert amendments_of(definition(), feedback("no_money"), settings(), seen("no_money")) == ()
    assert amendments_of(definition(), None, settings(), seen("no_money")) == ()


def test_chance_tells_nothing_apart() -> None:
    """Of values drawn alike for both sides, in 200 tries at most a few are named: one in twenty by the asked level."""
    rng, named = np.random.default_rng(7), 0
    values = settings().facts["role"].values
    for _ in range(200):
        drawn = rng.integers(1, len(values) + 1, 100).astype(np.uint8)
        named += bool(telling(seen("wrong_role", {"role": drawn}), "wrong_role", ("role",), {"role": values}))
    # Binomial(200, 1/20): more than 19 happens less than once in a hundred times; Bonferroni asks for less still.
    assert named <= 19


def test_what_a_review_found_is_kept_with_the_decision(tmp_path: Path) -> None:
    one = {
        "definition": {"id": ID, "version": 1},
        "points": [{"on": "2026-06-30", "size": {"hits": 100, "of": 1000}, "converted": {"hits": 2, "of": 80}}],
        "signs": [SIGN],
        "amendments": [asdict(changes("wrong_framing")[-1])],
    }
    path = tmp_path / "review.json"
    path.write_text(json.dumps({"as_of": "2026-06-30T00:00:00+00:00", "segments": [one]}))
    told = evidence_lines(path, ID)
    assert told[0] == f"review as of 2026-06-30, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    assert told[1:4] == ("100 members of 1,000 leads", "converted 2 of 80", SIGN)
    assert told[4].startswith(f"wrong_framing: segments/clinicians.yaml {ID}.message_goal: write the goal")
    step = ApprovalStep(
        segment=ID, version=1, definition="0" * 64, step="reviewed", by="J. Keller", on=ON, outcome="changed",
        next_review_on=date(2027, 1, 1), evidence=told,
    )  # fmt: skip
    assert all(json.dumps(line) in step_text(step) for line in told)
    with pytest.raises(ValueError, match="only where step is reviewed"):
        ApprovalStep(segment=ID, version=1, definition="0" * 64, step="proposed", by="J. K", on=ON, evidence=told)
    with pytest.raises(InputInvalid, match=r"it has onc_community_center"):
        evidence_lines(path, "another")
    path.write_text("{}")
    with pytest.raises(InputInvalid, match="KeyError"):
        evidence_lines(path, ID)


# --- weak results -------------------------------------------------------------------------------------------------

RULES = LearningRules(min_leads=30, weak_ratio=0.67)
ALIKE = Behaviour(Share(30, 100), Share(300, 1000), None)


def reviewed(**own: Any) -> SegmentReview:
    reading = Reading(80, 0.9, 0.5, 0.95, 0.95, ("safety",), (), (("guide", 7),))
    given: dict[str, Any] = {
        "definition": definition(), "due": (), "points": (Point(ON, Share(100, 1000), None),), "size": None,
        "like_for_like": None, "conversion": None, "converts_by": ("meeting",), "reading": reading, "overlaps": (),
        "splits": (), "feedback": None,
    }  # fmt: skip
    return SegmentReview(**(given | own))


def diagnosed(own: Share, others: Share, behaviour: Behaviour = ALIKE, **more: Any) -> Diagnosis | None:
    return diagnosis_of(reviewed(**more), own, others, behaviour, RULES, questions=9)


def test_results_are_weak_where_they_are_surely_and_clearly_below_the_others() -> None:
    # 2 of 200 against 10 of 100 leads: Newcombe's interval leaves zero out, and 1 % is less than 0.67 of 10 %.
    assert diagnosed(Share(2, 200), Share(100, 1000)) is not None
    assert diagnosed(Share(2, 29), Share(100, 1000)) is None  # too few
    assert diagnosed(Share(16, 200), Share(100, 1000)) is None  # 8 % against 10 % may be chance
    assert diagnosed(Share(8000, 100_000), Share(10_000, 100_000)) is None  # sure, and not weak: 0.8 of the others
    assert diagnosed(Share(30, 200), Share(100, 1000)) is None


def test_weak_results_point_at_the_definition_first_whatever_else_speaks() -> None:
    found = diagnosed(Share(2, 200), Share(100, 1000), feedback=feedback("wrong_framing"))
    assert found is not None
    steps = [point.step for point in found.points]
    assert steps[0] == "definition" and [ORDER.index(step) for step in steps] == sorted(map(ORDER.index, steps))
    # Members evaluate as others do, so the definition does not speak, and content is the first that does.
    assert not any(point.speaks for point in found.points if point.step == "definition")
    assert found.first.step == "content"


def test_members_who_evaluate_less_than_others_speak_against_the_definition() -> None:
    found = diagnosed(Share(2, 200), Share(100, 1000), Behaviour(Share(5, 100), Share(300, 1000), Share(80, 100)))
    assert found is not None
    speaking = [point.says for point in found.points if point.speaks and point.step == "definition"]
    assert found.first.step == "definition"
    assert speaking[0] == "5% of members show that they evaluate (5 of 100), of all others 30% (300 of 1,000)"
    assert speaking[1] == "80% of what members did is about another product than oncology_rx"
