"""Who belongs to which segment: entry, near misses, dwell, exit, re-entry, primary."""

from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.settings import Settings, load_settings
from features.evaluate import Domain
from features.facts import Facts
from features.tables import UNKNOWN_INSTANT, microseconds
from models.segments.map import FEW, Prior, SegmentMap

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
# One lead per shipped segment that enters, and the one value whose change keeps it out.
ENTERS: dict[str, tuple[dict[str, str], str, str]] = {
    "software_ehr_health_system": (
        {"audience": "buyer", "product_interest": "software", "integration_need": "ehr",
         "organization_type": "hospital", "parent_organization_type": "health_system"},
        "integration_need", "imaging"),
    "implant_ortho_vac": (
        {"audience": "hcp", "product_interest": "implant", "organization_type": "hospital",
         "procurement_path": "value_analysis", "specialty": "orthopedics"},
        "procurement_path", "tender"),
    "dx_independent_lab_qc": (
        {"audience": "buyer", "product_interest": "diagnostic", "organization_type": "independent_lab",
         "throughput": "high", "compliance_expectation": "strict_qc_docs"},
        "throughput", "medium"),
    "onc_advanced_specialist": (
        {"audience": "hcp", "specialty": "oncology", "cancer_type": "lung", "disease_stage": "advanced",
         "treatment_role": "initiates"},
        "disease_stage", "early"),
    "onc_community_center": (
        {"audience": "hcp", "specialty": "oncology", "care_setting": "community"}, "care_setting", "academic"),
    "cardio_hospital_team": (
        {"audience": "hcp", "specialty": "cardiology", "treatment_role": "initiates", "care_setting": "inpatient"},
        "treatment_role", "monitors"),
    "cardio_outpatient": (
        {"audience": "hcp", "specialty": "cardiology", "care_setting": "outpatient"}, "specialty", "oncology"),
    "pharmacist_med_mgmt": (
        {"audience": "hcp", "role": "pharmacist", "treatment_role": "dispenses"}, "role", "nurse"),
}  # fmt: skip


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def shipped_map() -> SegmentMap:
    return SegmentMap.load(shipped())


def facts_for(leads: list[dict[str, str]], segment_map: SegmentMap | None = None) -> Facts:
    domain = (segment_map or shipped_map()).domain
    names = {name for lead in leads for name in lead}
    columns = {
        name: np.array(
            [domain.code(name, lead[name]) if name in lead else domain.unknown(name) for lead in leads], dtype=np.uint8
        ).reshape(-1, 1, 1)
        for name in names
    }
    return Facts(len(leads), (), columns)


def primary_of(lead: dict[str, str]) -> str:
    found = shipped_map().members(facts_for([lead]), as_of=AS_OF)
    return shipped_map().segment_ids[found.primary[0]]


def at(day: int) -> datetime:
    return AS_OF + timedelta(days=day)


@pytest.mark.parametrize("segment_id", ENTERS)
def test_a_lead_of_each_shipped_segment_enters_it(segment_id: str) -> None:
    assert primary_of(ENTERS[segment_id][0]) == segment_id


@pytest.mark.parametrize("segment_id", ENTERS)
def test_a_lead_that_differs_in_one_value_does_not_enter(segment_id: str) -> None:
    lead, name, value = ENTERS[segment_id]
    assert primary_of({**lead, name: value}) != segment_id


@pytest.mark.parametrize("segment_id", ENTERS)
def test_no_fact_that_becomes_unknown_lets_a_near_miss_in(segment_id: str) -> None:
    lead, name, value = ENTERS[segment_id]
    near = {**lead, name: value}
    for unknown in near.keys() - {name}:
        assert primary_of({k: v for k, v in near.items() if k != unknown}) != segment_id


def test_unknown_facts_leave_a_lead_in_the_residual_segment() -> None:
    assert primary_of({}) == "unsegmented"


def test_a_missing_care_setting_falls_back_to_the_kind_of_organization() -> None:
    lead = {"audience": "hcp", "specialty": "cardiology", "treatment_role": "initiates"}
    assert primary_of({**lead, "organization_type": "hospital"}) == "cardio_hospital_team"
    assert primary_of({**lead, "organization_type": "clinic"}) == "unsegmented"


def test_of_two_memberships_the_lower_priority_number_is_primary_and_comes_first() -> None:
    lead = {**ENTERS["onc_advanced_specialist"][0], "care_setting": "community"}
    found = shipped_map().members(facts_for([lead]), as_of=AS_OF)
    names = [shipped_map().segment_ids[s] for s in found.segments_of(0)]
    assert names == ["onc_advanced_specialist", "onc_community_center"]


def test_because_names_every_fact_of_the_entry_condition_as_the_lead_has_it() -> None:
    place = shipped_map().segment_ids.index("onc_community_center")
    because = shipped_map().because(facts_for([{"audience": "hcp", "specialty": "oncology"}]), 0, place)
    assert because == [["audience", "known", "hcp"], ["specialty", "known", "oncology"], ["care_setting", "unknown"]]


# --- dwell, exit and re-entry: one segment, minimum dwell ten days ---------------------------------------------------


def small_map(**changes: object) -> SegmentMap:
    definitions = {definition.id: definition for definition in shipped().segments}
    own = definitions["cardio_outpatient"].model_copy(update={"min_dwell_days": 10, **changes})
    return SegmentMap([own, definitions["unsegmented"]], Domain.of(shipped()))


def fold(segment_map: SegmentMap, days: list[tuple[int, dict[str, str]]]) -> list[bool]:
    """Membership on each day, every answer being the prior of the next."""
    entered, left = np.full((1, 2), UNKNOWN_INSTANT), np.full((1, 2), UNKNOWN_INSTANT)
    seen = []
    for day, lead in days:
        found = segment_map.members(facts_for([lead]), Prior(entered, left), as_of=at(day))
        entered = np.where(found.entered, found.entered_at, entered)
        left = np.where(found.left, microseconds(at(day)), np.where(found.member, UNKNOWN_INSTANT, left))
        seen.append(bool(found.member[0, 0]))
    return seen


INSIDE = {"audience": "hcp", "specialty": "cardiology", "care_setting": "outpatient"}
OUTSIDE = {**INSIDE, "care_setting": "academic"}
UNSURE = {"audience": "hcp", "specialty": "cardiology"}


def test_a_member_stays_while_exit_is_unsure_and_leaves_only_after_its_dwell() -> None:
    days = [(0, INSIDE), (5, UNSURE), (9, OUTSIDE), (10, OUTSIDE)]
    assert fold(small_map(), days) == [True, True, True, False]


def test_an_exit_that_is_never_keeps_members() -> None:
    assert fold(small_map(exit="never"), [(0, INSIDE), (200, OUTSIDE)]) == [True, True]


@pytest.mark.parametrize(
    ("policy", "again"), [("allowed", [True, True]), ("after_dwell", [False, True]), ("never", [False, False])]
)
def test_re_entry_follows_the_policy(policy: str, again: list[bool]) -> None:
    days = [(0, INSIDE), (20, OUTSIDE), (25, INSIDE), (30, INSIDE)]
    assert fold(small_map(reentry=policy), days) == [True, False, *again]


def test_a_member_keeps_the_day_it_entered() -> None:
    segment_map = small_map()
    prior = Prior(np.array([[microseconds(at(-40)), UNKNOWN_INSTANT]]), np.full((1, 2), UNKNOWN_INSTANT))
    found = segment_map.members(facts_for([UNSURE]), prior, as_of=AS_OF)
    assert found.entered_at[0, 0] == microseconds(at(-40))
    assert not found.entered[0, 0]


def test_what_happens_after_as_of_is_no_membership_yet() -> None:
    prior = Prior(np.array([[microseconds(at(1)), UNKNOWN_INSTANT]]), np.full((1, 2), UNKNOWN_INSTANT))
    assert not small_map().members(facts_for([UNSURE]), prior, as_of=AS_OF).member[0, 0]


def test_prior_rows_become_lead_by_segment_with_the_latest_of_a_pair() -> None:
    segment_map = small_map()
    rows = {
        "lead": np.array([1, 1, 0], dtype=np.int32),
        "segment": np.array([0, 0, 1], dtype=np.int32),
        "entered_at": np.array([50, 10, 20], dtype=np.int64),
        "left_at": np.array([UNKNOWN_INSTANT, 30, UNKNOWN_INSTANT], dtype=np.int64),
    }
    prior = segment_map.prior_of(rows, ["cardio_outpatient", "a_retired_one"], 2)
    assert prior is not None
    assert prior.entered_at[:, 0].tolist() == [UNKNOWN_INSTANT, 50]
    assert prior.left_at[:, 0].tolist() == [UNKNOWN_INSTANT, UNKNOWN_INSTANT]
    assert segment_map.prior_of({}, [], 2) is None


# --- approval, hash, round trip ------------------------------------------------------------------------------------


def test_an_unapproved_or_expired_definition_is_not_active() -> None:
    approval = next(d for d in shipped().segments if d.id == "cardio_outpatient").approval
    assert approval is not None
    expired = approval.model_copy(update={"expires_on": date(2026, 6, 29)})
    last_day = approval.model_copy(update={"expires_on": date(2026, 6, 30)})
    for given_approval, member in ((None, False), (expired, False), (last_day, True)):
        found = small_map(approval=given_approval).members(facts_for([INSIDE]), as_of=AS_OF)
        assert found.member[0].tolist() == [member, not member]


def test_today_s_approval_can_be_applied_to_the_facts_of_an_earlier_day() -> None:
    before = datetime(2024, 1, 1, tzinfo=UTC)
    assert not small_map().members(facts_for([INSIDE]), as_of=before).member[0, 0]
    assert small_map().members(facts_for([INSIDE]), as_of=before, approved_on=AS_OF.date()).member[0, 0]


def test_a_condition_on_the_band_makes_an_overlay_that_is_never_primary() -> None:
    domain = Domain.of(shipped())
    facts = {**domain.facts, "band": domain.facts["role"].model_copy(update={"values": ("cold", "hot")})}
    definitions = {definition.id: definition for definition in shipped().segments}
    overlay = definitions["cardio_outpatient"].model_copy(
        update={"enter": "specialty = 'cardiology' AND band = 'hot'", "exit": "band = 'cold'"}
    )
    segment_map = SegmentMap([overlay, definitions["unsegmented"]], Domain(facts, domain.parameters))
    told = facts_for([{"specialty": "cardiology", "band": "hot"}], segment_map)
    before = segment_map.members(told, as_of=AS_OF)
    assert before.member[0].tolist() == [False, True]
    found = segment_map.overlaid(before, told, as_of=AS_OF)
    assert found.member[0].tolist() == [True, True]
    assert segment_map.segment_ids[found.primary[0]] == "unsegmented"


def test_the_hash_covers_priorities() -> None:
    assert small_map(priority=71).hash != small_map(priority=70).hash


def test_a_map_survives_its_json() -> None:
    again = SegmentMap.from_json(shipped_map().to_json(), Domain.of(shipped()))
    assert again.hash == shipped_map().hash
    assert again.segment_ids == shipped_map().segment_ids


# --- laws over many leads ------------------------------------------------------------------------------------------

NAMES = ("audience", "specialty", "care_setting", "treatment_role", "role", "organization_type", "cancer_type",
         "disease_stage", "product_interest", "procurement_path")  # fmt: skip


def a_world(seed: int, n: int) -> Facts:
    """Random leads that are often near a segment: each starts from one that enters and loses or changes a value."""
    random = np.random.default_rng(seed)
    domain, starts = shipped_map().domain, [lead for lead, _, _ in ENTERS.values()]
    leads = []
    for _ in range(n):
        lead = dict(starts[random.integers(len(starts))])
        for name in random.choice(NAMES, 2):
            code = int(random.integers(0, len(domain.facts[name].values) + 1))
            value = domain.value(name, code)
            if random.random() < 0.5:
                lead = {k: v for k, v in lead.items() if k != name} | ({name: str(value)} if value else {})
        leads.append(lead)
    return facts_for([*leads, {name: value for lead in starts for name, value in lead.items()}])


def a_prior(seed: int, n: int) -> Prior:
    random = np.random.default_rng(seed)
    shape = (n, len(shipped_map().segment_ids))
    entered = np.where(
        random.random(shape) < 0.4, microseconds(AS_OF) - random.integers(0, 10**14, shape), UNKNOWN_INSTANT
    )
    left = np.where(
        (entered != UNKNOWN_INSTANT) & (random.random(shape) < 0.3), microseconds(AS_OF) - 10**12, UNKNOWN_INSTANT
    )
    return Prior(entered, left)


def rows_of(facts: Facts, rows: np.ndarray) -> Facts:
    columns = {name: column[rows] for name, column in facts.columns.items()}
    unknown = {name: shipped_map().domain.unknown(name) for name in shipped_map().domain.facts}
    numbers = {**unknown, **{name: int(column[0, 0, 0]) for name, column in columns.items()}}
    return Facts(len(rows), facts.assets, columns, numbers if len(rows) == 1 else None)


@given(st.integers(0, 10_000), st.booleans())
@profile(deadline=None, max_examples=20)
def test_order_and_partition_of_leads_change_nothing_and_both_forms_agree(seed: int, with_prior: bool) -> None:
    facts, segment_map = a_world(seed, 40), shipped_map()
    prior = a_prior(seed, facts.n) if with_prior else None
    whole = segment_map.members(facts, prior, as_of=AS_OF)
    order = np.random.default_rng(seed).permutation(facts.n)
    # The first part is one lead in plain numbers, the next two take the scalar form, the others the columns.
    for rows in np.split(order, [1, 4, 4 + FEW, 30]):
        own = None if prior is None else Prior(prior.entered_at[rows], prior.left_at[rows])
        part = segment_map.members(rows_of(facts, rows), own, as_of=AS_OF)
        for name in ("member", "primary", "entered_at", "entered", "left"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])


@given(st.integers(0, 10_000), st.booleans())
@profile(deadline=None, max_examples=20)
def test_every_lead_has_exactly_one_primary_that_it_is_a_member_of(seed: int, with_prior: bool) -> None:
    facts, segment_map = a_world(seed, 30), shipped_map()
    found = segment_map.members(facts, a_prior(seed, facts.n) if with_prior else None, as_of=AS_OF)
    assert found.primary.shape == (facts.n,)
    assert found.member[np.arange(facts.n), found.primary].all()
    first = found.member.argmax(axis=1)  # segments are in order of priority, so the first is the primary
    np.testing.assert_array_equal(found.primary, first)
    in_residual = found.member[:, segment_map.residual]
    np.testing.assert_array_equal(in_residual, found.primary == segment_map.residual)
