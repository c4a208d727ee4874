"""Membership over time: dwell, exit, re-entry, entry numbers, fallback, statuses and overlays, day by day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.content import Approval
from configs.definitions import FallbackStep, SegmentDefinition
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from features.facts import Facts
from features.readiness import percent_of, with_readiness
from features.tables import UNKNOWN_INSTANT, microseconds
from models.bands import BANDS
from models.segments.map import SegmentMap
from models.segments.membership import Memberships, Prior
from models.segments.statuses import NONE, PURPOSES, StatusRules

START = datetime(2026, 6, 1, tzinfo=UTC)
INSIDE = {"specialty": "cardiology", "care_setting": "outpatient"}
UNSURE = {"specialty": "cardiology"}
OUTSIDE = {"specialty": "cardiology", "care_setting": "inpatient"}
Day = tuple[int, dict[str, str | int]]


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def definition(segment_id: str = "heart", **changes: object) -> SegmentDefinition:
    """An outpatient cardiology segment, approved for all of 2026, with a dwell of ten days."""
    own = next(one for one in shipped().segments if one.id == "cardio_outpatient")
    first, last = at(0).date() - timedelta(days=90), at(0).date() + timedelta(days=200)
    approval = Approval(by="a person", on=first, expires_on=last, reference="TEST-1")
    found = {
        "id": segment_id,
        "enter": "specialty = 'cardiology' AND care_setting = 'outpatient'",
        "exit": "specialty <> 'cardiology' OR care_setting <> 'outpatient'",
        "fallback": (),
        "min_dwell_days": 10,
        "reentry": "allowed",
        "approval": approval,
    }
    return own.model_copy(update=found | changes)


def map_of(*definitions: SegmentDefinition) -> SegmentMap:
    residual = next(one for one in shipped().segments if one.residual)
    return SegmentMap([*definitions, residual], domain())


def facts_for(leads: list[dict[str, str | int]]) -> Facts:
    columns = {}
    for name in sorted({name for lead in leads for name in lead}):
        number = domain().is_number(name)
        codes = [lead[name] if number else domain().code(name, str(lead[name])) for lead in leads if name in lead]
        found = np.full(len(leads), domain().unknown(name), dtype=np.int32 if number else np.uint8)
        found[[place for place, lead in enumerate(leads) if name in lead]] = codes
        columns[name] = found.reshape(-1, 1, 1)
    return Facts(len(leads), (), columns)


def nobody(segment_map: SegmentMap, n: int = 1) -> Prior:
    shape = (n, len(segment_map.segment_ids))
    return Prior(np.full(shape, UNKNOWN_INSTANT), np.full(shape, UNKNOWN_INSTANT), np.zeros(shape, dtype=np.int32))


def after(prior: Prior, found: Memberships, now: datetime) -> Prior:
    """What the next day starts from: the state that `segments apply` keeps."""
    assert prior.entry is not None
    return Prior(
        np.where(found.entered, found.entered_at, prior.entered_at),
        np.where(found.left, microseconds(now), np.where(found.member, UNKNOWN_INSTANT, prior.left_at)),
        np.where(found.entered, found.entry, prior.entry).astype(np.int32),
    )


def timeline(segment_map: SegmentMap, days: list[Day], segment: int = 0) -> str:
    """One letter for each day: the entry number of a member, `.` for no member."""
    prior, letters = nobody(segment_map), ""
    for day, lead in days:
        found = segment_map.members(facts_for([lead]), prior, as_of=at(day))
        prior = after(prior, found, at(day))
        letters += str(found.entry[0, segment]) if found.member[0, segment] else "."
    return letters


# --- timelines, day by day -------------------------------------------------------------------------------------------


def test_a_member_stays_while_the_exit_is_unsure_and_through_its_dwell() -> None:
    days: list[Day] = [(0, OUTSIDE), (1, INSIDE), (2, UNSURE), (3, OUTSIDE), (10, OUTSIDE), (11, OUTSIDE)]
    # Entered on day 1: the ten days of the dwell are over on day 11.
    assert timeline(map_of(definition()), days) == ".1111."


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("allowed", "11.2222..3"),
        ("after_dwell", "11....222."),
        ("never", "11........"),
    ],
)
def test_re_entry_follows_the_policy_and_counts_up(policy: str, expected: str) -> None:
    days: list[Day] = [
        (0, INSIDE),
        (9, OUTSIDE),
        (10, OUTSIDE),  # leaves: the dwell is over
        (11, INSIDE),  # comes back at once where that is allowed
        (12, INSIDE),
        (19, INSIDE),
        (20, INSIDE),  # ten days after leaving: the policy after_dwell lets it in
        (21, OUTSIDE if policy == "allowed" else INSIDE),
        (22, OUTSIDE if policy == "allowed" else INSIDE),
        (31, INSIDE if policy == "allowed" else OUTSIDE),
    ]
    assert timeline(map_of(definition(reentry=policy)), days) == expected


def test_a_membership_changes_at_most_once_in_an_instant() -> None:
    # Both conditions are surely true of everybody, and there is no dwell.
    always = map_of(definition(enter="specialty = 'cardiology'", exit="specialty = 'cardiology'", min_dwell_days=0))
    assert timeline(always, [(0, INSIDE), (0, INSIDE), (1, INSIDE), (1, INSIDE), (2, INSIDE)]) == "11..2"


def test_an_expired_approval_ends_the_membership_whatever_the_dwell() -> None:
    own = definition()
    assert own.approval is not None
    short = own.model_copy(update={"approval": own.approval.model_copy(update={"expires_on": at(2).date()})})
    assert timeline(map_of(short), [(0, INSIDE), (2, INSIDE), (3, INSIDE)]) == "11."


def test_of_several_memberships_the_lower_priority_number_is_primary_while_it_lasts() -> None:
    broad = definition("broad", priority=90, enter="specialty = 'cardiology'", exit="specialty <> 'cardiology'")
    segment_map = map_of(definition(priority=20), broad)
    prior, seen = nobody(segment_map), []
    for day, lead in [(0, UNSURE), (1, INSIDE), (11, OUTSIDE), (12, {"specialty": "oncology"})]:
        found = segment_map.members(facts_for([lead]), prior, as_of=at(day))
        prior = after(prior, found, at(day))
        seen.append([segment_map.segment_ids[s] for s in found.segments_of(0)])
    assert seen == [["broad"], ["heart", "broad"], ["broad"], ["unsegmented"]]


def test_a_membership_without_a_number_counts_as_the_first() -> None:
    segment_map = map_of(definition())
    entered, left = microseconds(at(-40)), microseconds(at(-5))
    unnumbered = Prior(np.array([[entered, UNKNOWN_INSTANT]]), np.array([[left, UNKNOWN_INSTANT]]))
    assert segment_map.members(facts_for([INSIDE]), unnumbered, as_of=at(0)).entry.tolist() == [[2, 0]]


def test_of_the_rows_of_one_person_the_open_one_counts_and_the_highest_number() -> None:
    rows = {
        "lead": np.array([0, 0, 0], dtype=np.int32),
        "segment": np.array([0, 0, 1], dtype=np.int32),
        "entered_at": np.array([10, 20, 5], dtype=np.int64),
        "left_at": np.array([UNKNOWN_INSTANT, 30, UNKNOWN_INSTANT], dtype=np.int64),
        "entry": np.array([1, 4, -1], dtype=np.int32),
    }
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        found = Prior.of({name: column[order] for name, column in rows.items()}, ("a", "b"), ("a", "b"), 1)
        assert found is not None
        assert found.entry is not None
        assert found.entered_at.tolist() == [[10, 5]]
        assert found.left_at.tolist() == [[UNKNOWN_INSTANT, UNKNOWN_INSTANT]]
        assert found.entry.tolist() == [[4, 1]]


# --- fallback --------------------------------------------------------------------------------------------------------


def test_because_names_the_step_of_the_fallback_that_lets_a_lead_in() -> None:
    step = FallbackStep(missing=("care_setting",), use="role = 'physician'", says="The role decides.")
    segment_map = map_of(definition(fallback=(step,), enter="care_setting = 'outpatient'"))
    fallen, direct = {"role": "physician"}, {"role": "physician", "care_setting": "outpatient"}
    facts = facts_for([fallen, direct, {"role": "nurse"}])
    assert segment_map.members(facts, as_of=at(0)).member[:, 0].tolist() == [True, True, False]
    because = segment_map.because(facts, 0, 0)
    assert because == [["care_setting", "unknown"], ["role", "known", "physician"], ["fallback", "known", step.says]]
    assert ["fallback", "known", step.says] not in segment_map.because(facts, 1, 0)
    assert ["fallback", "known", step.says] not in segment_map.because(facts, 2, 0)


# --- statuses --------------------------------------------------------------------------------------------------------


def deciding(lead: dict[str, str | int]) -> dict[str, str]:
    """The status of memberships by purpose."""
    rules = StatusRules.of(shipped())
    facts = facts_for([lead, {}])
    found = rules.deciding(facts, at(0).date())
    names = {n: int(facts.columns[n][0, 0, 0]) if n in facts.columns else domain().unknown(n) for n in domain().facts}
    alone = rules.deciding(Facts(1, (), {n: c[:1] for n, c in facts.columns.items()}, names), at(0).date())
    assert alone.tolist() == found[:1].tolist()
    assert found[1].tolist() == [NONE, NONE]
    return {purpose: rules.membership(place) for purpose, place in zip(PURPOSES, found[0].tolist(), strict=True)}


@pytest.mark.parametrize(
    ("lead", "education", "promotion"),
    [
        ({"meeting_booked": "yes"}, "paused", "paused"),
        ({"off_label_open": "yes", "days_since_meeting": 3}, "paused", "paused"),
        ({"days_since_meeting": 14}, "follow_up", "follow_up"),
        ({"days_since_meeting": 15}, "active", "active"),
        ({"reduced_communication": "yes"}, "active", "paused"),
        ({"reduced_communication": "yes", "days_since_meeting": 3}, "follow_up", "paused"),
        ({"meeting_booked": "no"}, "active", "active"),
    ],
)
def test_the_first_declared_status_that_surely_holds_decides_by_purpose(
    lead: dict[str, str | int], education: str, promotion: str
) -> None:
    assert deciding(lead) == {"medical_education": education, "promotional": promotion}


@given(st.lists(st.sampled_from(("yes", "no", None)), min_size=3, max_size=3), st.sampled_from((None, 3, 40)))
@profile(deadline=None, max_examples=20)
def test_a_status_changes_no_membership_and_no_primary_segment(cases: list[str | None], days: int | None) -> None:
    told = dict(zip(("off_label_open", "meeting_booked", "reduced_communication"), cases, strict=True))
    known = {name: value for name, value in told.items() if value is not None}
    lead: dict[str, str | int] = {**INSIDE, **known, **({} if days is None else {"days_since_meeting": days})}
    segment_map = map_of(definition())
    plain, with_status = (segment_map.members(facts_for([one, UNSURE]), as_of=at(0)) for one in (INSIDE, lead))
    np.testing.assert_array_equal(plain.member, with_status.member)
    np.testing.assert_array_equal(plain.primary, with_status.primary)


# --- overlays --------------------------------------------------------------------------------------------------------


def overlay_map() -> SegmentMap:
    hot = definition("hot", priority=5, enter="specialty = 'cardiology' AND band = 'hot'", exit="band IN ('cold')")
    return map_of(hot.model_copy(update={"min_dwell_days": 0}), definition(priority=20))


def test_an_overlay_is_entered_after_readiness_and_never_primary() -> None:
    segment_map, facts = overlay_map(), facts_for([INSIDE, UNSURE, UNSURE, UNSURE])
    before = segment_map.members(facts, as_of=at(0))
    assert before.member[:, 0].tolist() == [False] * 4
    band = np.array([BANDS.index("hot"), BANDS.index("hot"), BANDS.index("cold"), 0], dtype=np.uint8)
    told = with_readiness(facts, band, np.array([0.9, 0.9, 0.1, 0.9]))
    found = segment_map.overlaid(before, told, as_of=at(0))
    assert found.member[:, 0].tolist() == [True, True, False, False]
    assert [segment_map.segment_ids[s] for s in found.primary] == ["heart", *["unsegmented"] * 3]


def test_a_member_of_an_overlay_stays_while_its_band_is_unknown() -> None:
    segment_map, facts = overlay_map(), facts_for([UNSURE])
    prior = nobody(segment_map)
    prior.entered_at[0, 0] = microseconds(at(-1))
    for word, member in (("unknown", True), ("warm", True), ("cold", False)):
        told = with_readiness(facts, np.array([BANDS.index(word)], dtype=np.uint8), np.array([0.5]))
        found = segment_map.overlaid(segment_map.members(facts, prior, as_of=at(0)), told, prior, as_of=at(0))
        assert bool(found.member[0, 0]) is member
        assert bool(found.left[0, 0]) is not member


def test_a_map_without_overlays_gives_its_memberships_back_as_they_are() -> None:
    segment_map, facts = map_of(definition()), facts_for([INSIDE])
    before = segment_map.members(facts, as_of=at(0))
    assert segment_map.overlaid(before, facts, as_of=at(0)) is before


def test_readiness_is_told_in_whole_percent_rounded_down_of_what_answers_show() -> None:
    band = np.array([4, 4, 1, 0, 2], dtype=np.uint8)
    probability = np.array([0.2999999, 0.2999994, 0.0, 0.7, np.nan])
    # 0.2999999 is 0.300000 to six digits, as answers show it; an unknown band has no readiness.
    assert percent_of(band, probability).tolist() == [30, 29, 0, -1, -1]


def test_bands_have_the_codes_of_the_fact() -> None:
    assert [domain().code("band", word) for word in BANDS[1:]] == list(range(1, len(BANDS)))


# --- laws ------------------------------------------------------------------------------------------------------------

LEADS = ({}, UNSURE, INSIDE, OUTSIDE, {"specialty": "oncology"})


def walk(segment_map: SegmentMap, weeks: np.ndarray, rows: np.ndarray) -> tuple[Prior, list[Memberships]]:
    """Day by day over leads: `weeks` is day by lead, places in LEADS."""
    prior, seen = nobody(segment_map, len(rows)), []
    for day, kinds in enumerate(weeks):
        found = segment_map.members(facts_for([{}, *(LEADS[k] for k in kinds[rows])]), padded(prior), as_of=at(5 * day))
        own = rest_of(found)
        prior = after(prior, own, at(5 * day))
        seen.append(own)
    return prior, seen


def padded(prior: Prior) -> Prior:
    """One lead of which nothing is known before all others, so that a part of any size has facts of every kind."""
    assert prior.entry is not None
    parts = ((prior.entered_at, UNKNOWN_INSTANT), (prior.left_at, UNKNOWN_INSTANT), (prior.entry, 0))
    return Prior(*(np.concatenate((np.full_like(column[:1], value), column)) for column, value in parts))


def rest_of(found: Memberships) -> Memberships:
    columns = ("member", "primary", "entered_at", "entry", "entered", "left")
    return replace(found, **{name: getattr(found, name)[1:] for name in columns})


@given(st.integers(0, 10_000), st.sampled_from(("allowed", "after_dwell", "never")))
@profile(deadline=None, max_examples=12)
def test_neither_the_order_of_leads_nor_their_partition_matters_over_time(seed: int, policy: str) -> None:
    random = np.random.default_rng(seed)
    segment_map = map_of(definition(reentry=policy), definition("broad", priority=90, enter="specialty = 'cardiology'"))
    weeks = random.integers(0, len(LEADS), (6, 14))
    whole, _ = walk(segment_map, weeks, np.arange(14))
    for rows in np.split(random.permutation(14), [1, 5]):
        part, _ = walk(segment_map, weeks, rows)
        for name in ("entered_at", "left_at", "entry"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])


@given(st.integers(0, 10_000), st.sampled_from(("allowed", "after_dwell", "never")))
@profile(deadline=None, max_examples=12)
def test_folding_twice_at_one_instant_is_folding_once(seed: int, policy: str) -> None:
    random = np.random.default_rng(seed)
    own = definition(reentry=policy, min_dwell_days=0, exit="specialty = 'cardiology'")
    segment_map, prior = map_of(own), nobody(map_of(own), 14)
    for day in range(5):
        facts = facts_for([{}, *(LEADS[k] for k in random.integers(0, len(LEADS), 13))])
        once = segment_map.members(facts, prior, as_of=at(day))
        prior = after(prior, once, at(day))
        twice = segment_map.members(facts, prior, as_of=at(day))
        assert not twice.entered.any()
        assert not twice.left.any()
        np.testing.assert_array_equal(twice.member, once.member)
        np.testing.assert_array_equal(twice.entered_at, once.entered_at)
        np.testing.assert_array_equal(twice.entry, once.entry)


@given(st.integers(0, 10_000))
@profile(deadline=None, max_examples=12)
def test_an_entry_number_rises_by_one_at_each_entry_and_never_else(seed: int) -> None:
    segment_map = map_of(definition(min_dwell_days=0))
    weeks = np.random.default_rng(seed).integers(0, len(LEADS), (8, 10))
    _, seen = walk(segment_map, weeks, np.arange(10))
    counted = np.zeros(seen[0].entry.shape, dtype=np.int64)
    for day in seen:
        counted += day.entered
        np.testing.assert_array_equal(np.where(day.member, day.entry, 0), np.where(day.member, counted, 0))
