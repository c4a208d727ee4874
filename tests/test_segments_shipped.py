"""The shipped segments: every ready-made definition is there and complete, in SQL what it is here; drafts are idle."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from itertools import product

import duckdb
import numpy as np
import pandas as pd
import pytest

from configs.conditions import Condition, IsUnknown, facts_used, leaves, parse
from configs.definitions import SegmentDefinition
from configs.settings import DEFAULTS, Settings, load_settings
from features.evaluate import TRUE, Domain, as_closure, as_columns, as_sql
from features.facts import Facts
from models.scorecard import Scorecard
from models.segments.columns import ConditionProgram
from models.segments.lint.judge import lint
from models.segments.map import Activation, SegmentMap
from models.segments.tellable import tellable

ON = date(2026, 6, 30)
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
LEADS = 100_000
APPROVED = (
    "implant_ortho_vac", "dx_independent_lab_qc", "software_ehr_health_system", "onc_advanced_specialist",
    "onc_community_center", "cardio_hospital_team", "cardio_outpatient", "pharmacist_med_mgmt",
)  # fmt: skip
# Keys of the field's templates. A row that sets one group against another is a pair, whose ids begin with the key.
TEMPLATES = (
    "protocol_influencer", "moa_engaged", "primary_care_selection", "need_patient_selection", "need_dosing",
    "need_safety_monitoring", "need_switching", "onc_subspecialty_x_readiness", "setting_split",
    "rep_territory_lifecycle", "clin_education_request", "symptom_next_steps", "comparison_late_intent",
    "device_role_x_impl", "referral_x_setting", "joint_pain_disambiguation", "multi_resource", "webinar_attendee",
    "case_study_reader", "second_opinion", "ready_to_schedule", "cardio_academic_vs_community", "adoption_influencers",
    "operations_role", "email_opt_out_active", "community_hospital_purchasing", "tech_doc_integration_heavy",
    "distributor_partner", "category_new", "vendor_compare",
)  # fmt: skip
PAIRS = (
    "protocol_influencer", "onc_subspecialty_x_readiness", "setting_split", "rep_territory_lifecycle",
    "device_role_x_impl", "referral_x_setting", "joint_pain_disambiguation", "cardio_academic_vs_community",
)  # fmt: skip
TRIGGERS = ("trigger_new_oncology", "trigger_webinar_clinical_title")
STATUSES = {
    "meeting_booked_paused": "meeting_booked",
    "prefers_less": "reduced_communication",
    "offlabel_inquiry": "off_label_inquiry",
}
OVERLAYS = {
    "clin_education_request", "onc_subspecialty_x_readiness_diagnosis", "onc_subspecialty_x_readiness_early_treatment",
    "rep_territory_lifecycle_fast_lane", "rep_territory_lifecycle_nurture",
}  # fmt: skip


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


@cache
def everything() -> SegmentMap:
    """A map of every definition, drafts too, as no bundle ever has it."""
    return SegmentMap(shipped().segments, domain())


def definition(segment_id: str) -> SegmentDefinition:
    return next(d for d in shipped().segments if d.id == segment_id)


def activation(segment_id: str) -> Activation:
    return next(a for a in everything().activations if a.definition.id == segment_id)


def drafts() -> list[SegmentDefinition]:
    return [d for d in shipped().segments if d.status == "draft"]


def named() -> list[Activation]:
    """Every definition but the residual one."""
    return [a for a in everything().activations if a.enter is not None]


def codes(lead: dict[str, str | int]) -> dict[str, int]:
    return {name: value if isinstance(value, int) else domain().code(name, value) for name, value in lead.items()}


def enters(segment_id: str, **lead: str | int) -> bool:
    enter = activation(segment_id).enter
    assert enter is not None
    return as_closure(enter, domain(), ON)(codes(lead)) == TRUE


def leaves_it(segment_id: str, **lead: str | int) -> bool:
    leave = activation(segment_id).exit
    assert leave is not None
    return as_closure(leave, domain(), ON)(codes(lead)) == TRUE


# --- what is shipped --------------------------------------------------------------------------------------------------


def test_the_eight_full_segments_and_the_rest_are_approved_and_nothing_else_is() -> None:
    assert {d.id for d in shipped().segments if d.status == "approved"} == {*APPROVED, "unsegmented"}
    assert set(SegmentMap.load(shipped()).segment_ids) == {*APPROVED, "unsegmented"}
    assert SegmentMap.load(shipped()).active(ON).all()


@pytest.mark.parametrize("key", TEMPLATES)
def test_every_template_is_a_draft_under_its_key(key: str) -> None:
    found = [d.id for d in drafts() if d.id == key or (key in PAIRS and d.id.startswith(f"{key}_"))]
    assert len(found) == (2 if key in PAIRS else 1)


def test_no_draft_is_there_without_a_template() -> None:
    assert [d.id for d in drafts() if not d.id.startswith(TEMPLATES)] == []


def test_statuses_and_triggers_of_the_field_are_no_segments() -> None:
    ids = {d.id for d in shipped().segments}
    statuses = {status.id for status in shipped().statuses}
    assert ids.isdisjoint({*STATUSES, *STATUSES.values(), *TRIGGERS, *statuses})
    text = (DEFAULTS / "statuses.yaml").read_text(encoding="utf-8")
    for key, status in STATUSES.items():
        assert status in statuses
        assert key in text
    assert set(TRIGGERS) <= {trigger.id for trigger in shipped().triggers}


def test_no_segment_is_entered_because_of_what_a_status_is_about() -> None:
    looked_at = {fact for a in named() for fact in a.facts}
    assert looked_at.isdisjoint({"off_label_open", "meeting_booked", "reduced_communication", "days_since_meeting"})


def test_both_kinds_of_unit_and_both_purposes_are_shipped() -> None:
    assert {d.unit for d in shipped().segments} == {"lead", "account"}
    assert {d.purpose for d in shipped().segments} == {"medical_education", "promotional"}


@pytest.mark.parametrize("one", shipped().segments, ids=lambda d: d.id)
def test_every_definition_fills_every_field_with_declared_words(one: SegmentDefinition) -> None:
    words = {name: set(shipped().vocabularies[name].values) for name in ("role", "asset_kind", "stage", "outcome_kind")}
    assert one.message_goal.strip()
    assert one.hypothesis.strip()
    assert one.themes
    assert one.fallback
    assert one.secondary_kpis
    assert one.proof_points and set(one.proof_points) <= words["role"]
    assert one.calls_to_action and set(one.calls_to_action) <= words["stage"]
    assert one.matrix is not None
    assert set(one.matrix.roles) <= words["role"]
    assert set(one.matrix.content_types) <= words["asset_kind"]
    assert one.conversion_event in words["outcome_kind"]
    assert one.residual or one.key_contacts
    assert not one.fallback[-1].use, "the last step says what happens when everything is missing"


def test_priorities_are_unique_and_drafts_rank_after_what_is_approved() -> None:
    priorities = [d.priority for d in shipped().segments]
    assert len(set(priorities)) == len(priorities)
    assert max(definition(s).priority for s in APPROVED) < min(d.priority for d in drafts())


def test_the_lint_finds_single_dimensions_and_what_drafts_need_and_nothing_else() -> None:
    found = lint(everything(), on=ON, settings=shipped())
    assert {f.code for f in found} == {"SINGLE_DIMENSION", "STILL_NEEDS"}
    alone = {f.segment_id for f in found if f.code == "SINGLE_DIMENSION"}
    assert alone.isdisjoint(APPROVED)
    assert {"primary_care_selection", "operations_role", "multi_resource", "need_dosing"} <= alone
    assert {f.segment_id for f in found if f.code == "STILL_NEEDS"} == {d.id for d in drafts()}


# --- drafts are idle --------------------------------------------------------------------------------------------------


def test_every_draft_says_what_it_needs_and_nothing_approved_does() -> None:
    assert [d.id for d in drafts() if len(d.needs) < 2] == []
    assert [d.id for d in shipped().segments if d.status == "approved" and d.needs] == []


def test_a_draft_holds_nobody_is_never_primary_and_picks_no_model() -> None:
    lead = codes({"audience": "hcp", "specialty": "primary_care", "clinical_question": "dosing"})
    columns = {name: np.array([[[code]]], dtype=np.uint8) for name, code in lead.items()}
    assert enters("primary_care_selection", audience="hcp", specialty="primary_care")
    found = everything().members(Facts(1, (), columns), as_of=AS_OF)
    assert [everything().segment_ids[s] for s in found.segments_of(0)] == ["unsegmented"]
    assert not any(d.is_active(ON) for d in drafts())


def test_drafts_change_nothing_of_the_map_that_is_trained_and_served() -> None:
    approved = [d for d in shipped().segments if d.status == "approved"]
    loaded = SegmentMap.load(shipped())
    assert loaded.hash == SegmentMap(approved, domain()).hash
    assert [d.id for d in drafts() if f'"{d.id}"' in loaded.to_json()] == []


def test_templates_that_look_at_the_band_are_overlays_and_no_approved_segment_is_one() -> None:
    assert {a.definition.id for a in everything().activations if a.overlay} == OVERLAYS


# --- SQL --------------------------------------------------------------------------------------------------------------


def made_leads(activations: list[Activation]) -> dict[str, np.ndarray]:
    """Codes of random facts: a block of leads for each definition, drawn from the values its conditions tell apart."""
    random = np.random.default_rng(4)
    conditions = [c for a in activations for c in (a.enter, a.exit) if c is not None]
    facts = sorted({fact for condition in conditions for fact in facts_used(condition)})
    made = {}
    for fact in facts:
        column = random.choice(tellable(fact, conditions, domain()), LEADS)
        for block, a in enumerate(activations):
            own = [c for c in (a.enter, a.exit) if c is not None]
            if fact in a.facts:
                start, end = (LEADS * n // len(activations) for n in (block, block + 1))
                column[start:end] = random.choice(tellable(fact, own, domain()), end - start)
        made[fact] = column.astype(np.int32 if domain().is_number(fact) else np.uint8)
    return made


def as_frame(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """The same leads as a warehouse has them: values as text or whole numbers, NULL for unknown."""
    made = {}
    for fact, column in columns.items():
        if domain().is_number(fact):
            made[fact] = pd.array(np.maximum(column, 0), dtype="Int32")
            made[fact][column < 0] = pd.NA
        else:
            made[fact] = pd.Categorical.from_codes(column.astype(np.int64) - 1, pd.Index(domain().facts[fact].values))
    return pd.DataFrame(made)


def test_sql_of_every_shipped_condition_equals_ours_on_100_000_leads() -> None:
    activations = named()
    columns = made_leads(activations)
    asked = {
        (a.definition.id, way): condition
        for a in activations
        for way, condition in (("enter", a.enter), ("exit", a.exit))
        if condition is not None
    }
    assert len(asked) == 2 * len(activations)
    texts = [f'{as_sql(condition, domain(), ON)} AS "{s}.{way}"' for (s, way), condition in asked.items()]
    with duckdb.connect() as warehouse:
        warehouse.register("leads", as_frame(columns))
        answers = warehouse.execute(f"SELECT {', '.join(texts)} FROM leads").fetchnumpy()
    surely_all = ConditionProgram.of(list(asked.values()), domain(), ON)(columns, LEADS)
    for place, ((segment_id, way), condition) in enumerate(asked.items()):
        must, may = (np.broadcast_to(part, LEADS) for part in as_columns(condition, domain(), ON)(columns))
        answer = answers[f"{segment_id}.{way}"]
        surely = np.ma.filled(answer, False).astype(bool)
        surely_not = ~np.ma.filled(answer, True).astype(bool)
        np.testing.assert_array_equal(surely, must, err_msg=f"{segment_id}.{way}")
        np.testing.assert_array_equal(surely, surely_all[:, place], err_msg=f"{segment_id}.{way}, fused")
        np.testing.assert_array_equal(surely_not, ~may, err_msg=f"{segment_id}.{way}")
        assert must.any() and (~may).any() and (may & ~must).any(), f"{segment_id}.{way}: all three answers occur"


# --- entering, and nearly entering ------------------------------------------------------------------------------------


def only_whether_known(condition: Condition, fact: str) -> bool:
    """Whether a condition asks of a fact that it is known and nothing more, so that no value of it keeps a lead out."""
    return all(isinstance(leaf, IsUnknown) for leaf in leaves(condition) if leaf.fact == fact)


def entering(one: Activation) -> dict[str, int]:
    """A lead that enters without the fallback and of which no known fact can be left out."""
    assert one.direct is not None
    enter = as_closure(one.direct, domain(), ON)
    facts = facts_used(one.direct)
    values = {fact: tellable(fact, [one.direct], domain()) for fact in facts}
    random = np.random.default_rng(1)
    for _ in range(100_000):
        lead = {fact: int(random.choice(values[fact])) for fact in facts}
        if enter(lead) == TRUE:
            break
    else:
        raise AssertionError(f"nobody enters {one.definition.id}")
    for fact in facts:
        fewer = {name: code for name, code in lead.items() if name != fact}
        if enter(fewer) == TRUE:
            lead = fewer
    return lead


@pytest.mark.parametrize("one", named(), ids=lambda a: a.definition.id)
def test_a_lead_enters_and_no_lead_that_differs_in_one_fact_does(one: Activation) -> None:
    assert one.enter is not None and one.direct is not None
    lead, direct, way_in = entering(one), as_closure(one.direct, domain(), ON), as_closure(one.enter, domain(), ON)
    assert way_in(lead) == TRUE
    for fact in lead:
        without = {name: code for name, code in lead.items() if name != fact}
        others = [code for code in tellable(fact, [one.direct], domain()) if code != lead[fact]]
        assert direct(without) != TRUE, f"{fact} unknown"
        kept_out = any(way_in({**lead, fact: code}) != TRUE for code in others)
        assert kept_out or only_whether_known(one.direct, fact), f"no value of {fact} keeps a lead out"


@pytest.mark.parametrize("one", named(), ids=lambda a: a.definition.id)
def test_nobody_enters_who_is_of_another_audience(one: Activation) -> None:
    assert one.enter is not None
    way_in, lead = as_closure(one.enter, domain(), ON), entering(one)
    assert "audience" in lead
    for audience in shipped().vocabularies["audience"].values:
        if audience not in one.definition.audience:
            assert way_in({**lead, "audience": domain().code("audience", audience)}) != TRUE


SOFTWARE_READER: dict[str, str | int] = {
    "audience": "hcp", "product_interest": "software", "integration_need": "ehr",
    "topic_technical_documentation_count_90d": 1,
}  # fmt: skip


def test_technical_reading_counts_where_systems_must_be_connected_and_not_for_a_disposable() -> None:
    assert enters("tech_doc_integration_heavy", **SOFTWARE_READER)
    assert not enters("tech_doc_integration_heavy", **{**SOFTWARE_READER, "product_interest": "disposable"})
    assert not enters("tech_doc_integration_heavy", **{**SOFTWARE_READER, "integration_need": "light"})
    assert leaves_it("tech_doc_integration_heavy", **{**SOFTWARE_READER, "integration_need": "none"})
    points = {}
    for wanted in ("software", "disposable"):
        lead = codes({**SOFTWARE_READER, "product_interest": wanted})
        columns = {
            name: np.array([[[code]]], dtype=np.int32 if domain().is_number(name) else np.uint8)
            for name, code in lead.items()
        }
        points[wanted] = int(Scorecard.of(shipped(), domain()).points(Facts(1, (), columns)).engagement[0])
    assert points["software"] > points["disposable"]


def test_purchasing_at_a_community_hospital_is_a_segment_and_not_a_person() -> None:
    buyer = {"audience": "buyer", "role": "procurement", "organization_type": "hospital", "care_setting": "community"}
    assert enters("community_hospital_purchasing", **buyer)
    assert not enters("community_hospital_purchasing", **{**buyer, "care_setting": "academic"})
    assert not enters("community_hospital_purchasing", **{**buyer, "role": "physician"})


def test_an_opt_out_from_email_goes_on_qualifying_but_never_by_email() -> None:
    lead: dict[str, str | int] = {
        "audience": "buyer", "email_opt_out": "yes", "product_interest": "implant", "days_since_last_event": 60,
    }  # fmt: skip
    assert enters("email_opt_out_active", **lead)
    assert not enters("email_opt_out_active", **{**lead, "email_opt_out": "no"})
    assert not enters("email_opt_out_active", **{**lead, "days_since_last_event": 61})
    assert "email" not in definition("email_opt_out_active").channel_plan


def test_operations_are_never_offered_clinical_depth() -> None:
    kinds = {asset.asset_id: asset for asset in shipped().assets}
    offered = {kinds[a].topic for ids in definition("operations_role").offers.values() for a in ids}
    assert offered.isdisjoint({"clinical_evidence", "mechanism_of_action", "dosing", "safety", "patient_selection"})


def test_early_and_late_intent_exclude_each_other() -> None:
    early: dict[str, str | int] = {
        "audience": "patient", "condition_focus": "joint_pain", "topic_condition_education_count_90d": 1,
        "depth_comparison_count_90d": 0, "topic_scheduling_count_90d": 0,
    }  # fmt: skip
    late = {**early, "depth_comparison_count_90d": 1}
    assert enters("symptom_next_steps", **early) and not enters("comparison_late_intent", **early)
    late["lifecycle"] = "active"
    assert enters("comparison_late_intent", **late) and not enters("symptom_next_steps", **late)
    assert leaves_it("symptom_next_steps", **late)
    assert not enters("comparison_late_intent", **{**late, "lifecycle": "post_treatment"})


def test_the_same_joint_pain_means_another_segment_at_another_clinic() -> None:
    lead = {"audience": "patient", "condition_focus": "joint_pain"}
    sports = {**lead, "account_specialty": "orthopedics"}
    program = {**lead, "account_specialty": "endocrinology"}
    assert enters("joint_pain_disambiguation_sports", **sports)
    assert not enters("joint_pain_disambiguation_bariatric", **sports)
    assert enters("joint_pain_disambiguation_bariatric", **program)
    assert not enters("joint_pain_disambiguation_sports", **program)


# --- fallback ---------------------------------------------------------------------------------------------------------


STEPS = [(a, n) for a in named() for n, step in enumerate(a.definition.fallback) if step.use]


@pytest.mark.parametrize(
    ("one", "place"), STEPS, ids=lambda x: x.definition.id if isinstance(x, Activation) else str(x)
)
def test_a_fallback_lets_in_while_its_facts_are_missing_and_not_once_they_say_no(one: Activation, place: int) -> None:
    assert one.enter is not None and one.direct is not None and one.exit is not None
    step = one.definition.fallback[place]
    use = parse(step.use, domain().facts, domain().parameters)
    random, way_in = np.random.default_rng(2), as_closure(one.enter, domain(), ON)
    used, leave = as_closure(use, domain(), ON), as_closure(one.exit, domain(), ON)
    values = {fact: tellable(fact, [use], domain()) for fact in facts_used(use)}
    found = []
    for _ in range(60_000):
        lead = {fact: int(random.choice(values[fact])) for fact in values if fact not in step.missing}
        if used(lead) == TRUE:
            found.append(lead)
            if len(found) == 20:
                break
    assert found, f"nobody enters by step {place}"
    asked = [fact for fact in step.missing if not only_whether_known(one.direct, fact)]
    known = [[c for c in tellable(fact, [one.direct], domain()) if c != domain().unknown(fact)] for fact in asked]
    for lead in found:
        assert way_in(lead) == TRUE
        assert leave(lead) != TRUE
        answers = [dict(zip(asked, told, strict=True)) for told in product(*known)]
        assert not asked or any(way_in({**lead, **told}) != TRUE for told in answers)


ONCOLOGIST: dict[str, str | int] = {
    "audience": "hcp", "specialty": "oncology", "pathway_stage": "diagnosis", "band": "warm",
}  # fmt: skip


def test_with_the_subspecialty_missing_specialty_and_engagement_decide_and_without_history_the_setting() -> None:
    segment = "onc_subspecialty_x_readiness_diagnosis"
    assert enters(segment, **ONCOLOGIST, subspecialty="breast_oncology")
    assert not enters(segment, **ONCOLOGIST)
    assert enters(segment, **ONCOLOGIST, topic_patient_selection_count_90d=1)
    assert not enters(segment, **ONCOLOGIST, topic_patient_selection_count_90d=0, care_setting="community")
    assert enters(segment, **ONCOLOGIST, care_setting="community")
    assert not enters(segment, **ONCOLOGIST, care_setting="academic")
    assert not enters(segment, **{**ONCOLOGIST, "band": "cold"}, subspecialty="breast_oncology")
    assert not enters(segment, **ONCOLOGIST, subspecialty="heart_failure", topic_patient_selection_count_90d=9)


def test_a_clinical_question_falls_back_to_what_was_read_and_then_to_the_practice() -> None:
    segment = "need_patient_selection"
    assert enters(segment, audience="hcp", clinical_question="patient_selection")
    assert enters(segment, audience="hcp", topic_patient_selection_count_90d=2)
    assert not enters(segment, audience="hcp", topic_patient_selection_count_90d=2, clinical_question="dosing")
    assert enters(segment, audience="hcp", specialty="primary_care", care_setting="community")
    reads_other = {"audience": "hcp", "specialty": "primary_care", "care_setting": "community"}
    assert not enters(segment, **reads_other, topic_patient_selection_count_90d=0)
    assert leaves_it(segment, audience="hcp", topic_patient_selection_count_90d=0)


def test_where_readiness_abstains_marketing_keeps_the_lead_and_nobody_is_sent() -> None:
    lead = {"audience": "buyer", "territory_assigned": "yes", "lifecycle": "active"}
    assert enters("rep_territory_lifecycle_nurture", **lead)
    assert not enters("rep_territory_lifecycle_fast_lane", **lead)
    assert enters("rep_territory_lifecycle_fast_lane", **lead, band="hot")
    assert leaves_it("rep_territory_lifecycle_nurture", **lead, band="hot")
    assert not enters("rep_territory_lifecycle_nurture", audience="buyer", lifecycle="active", band="cold")


def test_who_came_in_by_what_stands_in_for_a_missing_fact_leaves_when_that_is_gone() -> None:
    team = {"audience": "hcp", "specialty": "cardiology", "treatment_role": "initiates"}
    assert enters("cardio_hospital_team", **team, organization_type="hospital")
    assert not leaves_it("cardio_hospital_team", **team, organization_type="hospital")
    assert leaves_it("cardio_hospital_team", **team, organization_type="clinic")
    # Once the setting is known it alone decides: a ward of a specialty center is a ward.
    assert not leaves_it("cardio_hospital_team", **team, organization_type="specialty_center", care_setting="inpatient")


@pytest.mark.parametrize(("lane", "band"), [("fast_lane", "hot"), ("nurture", "cold")])
def test_a_lead_that_lost_its_territory_is_in_no_lane_of_one(lane: str, band: str) -> None:
    lead = {"audience": "buyer", "lifecycle": "active", "band": band}
    assert enters(f"rep_territory_lifecycle_{lane}", **lead, territory_assigned="yes")
    assert not leaves_it(f"rep_territory_lifecycle_{lane}", **lead, territory_assigned="yes")
    assert leaves_it(f"rep_territory_lifecycle_{lane}", **lead)
