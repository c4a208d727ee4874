"""Hygiene gates: judged on the leads for whom a field decides, exact at the limit, and without them nothing serves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from configs.conditions import parse
from configs.errors import ConfigInvalid
from configs.quality import FieldLimits, ModelHygiene, QualitySettings
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.intake.quality.findings import ColumnQuality, Match, QualityReport, SourceTracking
from features.records import Account, Event, Lead
from features.tables import Tables, known_at
from models.hygiene import Hygiene, concerned, judge
from models.segments.map import SegmentMap
from training.registry.gates import below_minimum, hygiene_gate

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
DOMAIN = Domain.of(SETTINGS)
MAP = SegmentMap.load(SETTINGS)
SEGMENT = "onc_community_center"


def asking(**segments: object) -> Settings:
    """Settings whose minima can be met by a handful of leads."""
    asked = SETTINGS.quality.segments.model_copy(update={"min_leads": 1, "max_share": 1.0} | segments)
    model = SETTINGS.quality.model.model_copy(update={"min_leads": 1, "min_active": 0.0})
    quality = SETTINGS.quality.model_copy(update={"segments": asked, "model": model})
    return SETTINGS.model_copy(update={"quality": quality})


def clinics(settings_: list[str | None], *, days: float = 1, specialty: str = "oncology") -> Tables:
    """One oncologist at each account, whose care setting is as given."""
    at = AS_OF - timedelta(days=days)
    leads = [
        Lead(
            lead_id=f"L{i}", account_id=f"A{i}", audience="hcp", specialty=specialty, country="US",
            recorded_at=AS_OF - timedelta(days=1),
        )
        for i in range(len(settings_))
    ]  # fmt: skip
    accounts = [Account(account_id=f"A{i}", care_setting=s, recorded_at=at) for i, s in enumerate(settings_)]
    return encode_records(leads, accounts=accounts, vocabularies=SETTINGS.vocabularies, asset_ids=())


def gates_of(found: Hygiene, field: str) -> dict[str, bool]:
    return {g.measure: g.passed for g in found.gates if g.name == SEGMENT and g.field == field}


def codes(fact: str, *values: str | None) -> np.ndarray:
    return np.array([DOMAIN.unknown(fact) if v is None else DOMAIN.code(fact, v) for v in values], dtype=np.uint8)


def decided(fact: str, condition: str, **facts: tuple[str | None, ...]) -> list[bool]:
    columns = {name: codes(name, *values) for name, values in facts.items()}
    n = len(next(iter(columns.values())))
    parsed = parse(condition, SETTINGS.facts, SETTINGS.parameters)
    may, decides = concerned(fact, parsed, columns, n, DOMAIN, AS_OF.date())
    assert not (decides & ~may).any()
    return decides.tolist()


def test_a_field_decides_for_those_whom_the_other_fields_neither_admit_nor_refuse() -> None:
    condition = "audience = 'hcp' AND specialty = 'oncology' AND care_setting = 'community'"
    audience = ("hcp", "hcp", "patient", None, "hcp")
    specialty = ("oncology", "cardiology", "oncology", None, None)
    setting = (None, None, "community", "community", "inpatient")
    facts = {"audience": audience, "specialty": specialty, "care_setting": setting}
    assert decided("care_setting", condition, **facts) == [True, False, False, True, True]
    # The last one's inpatient setting refuses whatever the specialty is.
    assert decided("specialty", condition, **facts) == [True, True, False, True, False]


def test_what_a_fallback_stands_in_for_does_not_decide() -> None:
    condition = "account_specialty = 'orthopedics' OR specialty = 'orthopedics'"
    facts = {"account_specialty": ("orthopedics", None, "cardiology"), "specialty": (None, None, None)}
    assert decided("specialty", condition, **facts) == [False, True, True]


def test_a_field_that_must_merely_be_known_decides_for_whoever_else_meets_the_rest() -> None:
    condition = "specialty = 'oncology' AND NOT (cancer_type IS UNKNOWN)"
    facts = {"specialty": ("oncology", "cardiology", None), "cancer_type": (None, None, None)}
    assert decided("cancer_type", condition, **facts) == [True, False, True]


@pytest.mark.parametrize(("known", "passes"), [(3, True), (2, False)])
def test_a_segment_needs_its_fields_known_and_the_limit_itself_passes(known: int, passes: bool) -> None:
    tables = clinics(["community"] * known + [None] * (5 - known))
    found = judge(tables, asking(min_known=0.6), MAP, AS_OF)
    assert gates_of(found, "accounts.care_setting")["known"] is passes
    assert (SEGMENT in found.inactive) is not passes


def test_the_message_names_the_segment_the_field_what_was_found_and_the_limit() -> None:
    found = judge(clinics(["community"] * 2 + [None] * 3), asking(min_known=0.6), MAP, AS_OF)
    said = [g.says for g in found.failed if g.name == SEGMENT]
    assert said == [
        "onc_community_center: accounts.care_setting known, or stood in for, in 40 % of the 5 leads that may be "
        "members, at least 60 % is asked"
    ]


def test_leads_that_another_field_lets_in_do_not_lack_what_they_do_not_need() -> None:
    # Four inpatient or outpatient cardiologists who initiate, of whom one lacks the setting: its hospital stands in.
    leads = [
        Lead(
            lead_id=f"L{i}", account_id=f"A{i}", audience="hcp", specialty="cardiology", treatment_role="initiates",
            recorded_at=AS_OF,
        )
        for i in range(4)
    ]  # fmt: skip
    for kind, share in (("hospital", 1.0), (None, 0.75)):
        accounts = [
            Account(
                account_id=f"A{i}", recorded_at=AS_OF, care_setting="inpatient" if i else None,
                organization_type=kind if i == 0 else None,
            )
            for i in range(4)
        ]  # fmt: skip
        tables = encode_records(leads, accounts=accounts, vocabularies=SETTINGS.vocabularies, asset_ids=())
        found = judge(tables, asking(), MAP, AS_OF)
        known = {g.field: g.found for g in found.gates if g.name == "cardio_hospital_team" and g.measure == "known"}
        # With its setting unknown the kind of the organization decides, for this one lead alone.
        assert known["accounts.organization_type"] == share


def test_leads_for_whom_the_field_does_not_decide_do_not_count_against_it() -> None:
    community = clinics(["community"] * 5)
    others = clinics([None] * 50, specialty="cardiology")
    assert SEGMENT not in judge(others, asking(min_known=0.6), MAP, AS_OF).inactive
    assert SEGMENT not in judge(community, asking(min_known=0.6), MAP, AS_OF).inactive


def test_too_few_leads_are_not_judged() -> None:
    tables = clinics([None] * 29)
    assert SEGMENT not in judge(tables, asking(min_known=0.6, min_leads=30), MAP, AS_OF).inactive
    assert SEGMENT in judge(tables, asking(min_known=0.6, min_leads=29), MAP, AS_OF).inactive


def test_one_field_may_have_limits_of_its_own() -> None:
    tables = clinics(["community"] * 2 + [None] * 3)
    own = {"accounts.care_setting": FieldLimits(min_known=0.4)}
    assert SEGMENT not in judge(tables, asking(min_known=0.6, fields=own), MAP, AS_OF).inactive


@pytest.mark.parametrize(("days", "passes"), [(730, True), (731, False)])
def test_a_segment_that_rests_on_stale_records_is_not_activated(days: int, passes: bool) -> None:
    # Facts that age would already be unknown: here staleness is judged alone.
    ageless = {n: f.model_copy(update={"max_age_days": None}) for n, f in SETTINGS.facts.items()}
    settings = asking(max_stale=0.5).model_copy(update={"facts": ageless})
    found = judge(clinics(["community"] * 5, days=days), settings, MAP, AS_OF)
    assert gates_of(found, "accounts.care_setting")["stale"] is passes


def test_a_fact_that_became_too_old_is_unknown_and_so_fails_the_known_share() -> None:
    found = judge(clinics(["community"] * 5, days=731), asking(min_known=0.6), MAP, AS_OF)
    assert gates_of(found, "accounts.care_setting") == {"known": False}


def test_a_segment_that_holds_nearly_everybody_is_over_broad() -> None:
    tables = clinics(["community"] * 3 + ["inpatient"])
    for most, passes in ((0.75, True), (0.74, False)):
        found = judge(tables, asking(max_share=most), MAP, AS_OF)
        assert (SEGMENT not in found.inactive) is passes


def report(**fields: object) -> QualityReport:
    return replace(QualityReport({}, (), {}, {}), **fields)  # type: ignore[arg-type]


def test_values_outside_the_vocabulary_close_the_gate() -> None:
    line = ColumnQuality("accounts", "care_setting", 5, 0.5, 2, False, mapped_share=0.5)
    tables = clinics(["community"] * 5)
    found = judge(tables, asking(min_mapped=0.6), MAP, AS_OF, report(columns=(line,)))
    assert gates_of(found, "accounts.care_setting") == {"known": True, "mapped": False, "stale": True}


def source(name: str, events: int, *, stopped: bool) -> SourceTracking:
    return SourceTracking(name, events, 1, 1.0, "", "", 0, 0, 0, stopped, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_a_model_needs_rows_key_fields_matched_events_and_sources_that_still_report() -> None:
    tables = clinics(["community"] * 4)
    asked = SETTINGS.quality.model.model_copy(
        update={"min_leads": 5, "min_active": 0.0, "key_fields": {"leads.language": 0.5}}
    )
    quality = SETTINGS.quality.model_copy(update={"model": asked})
    found = judge(
        tables,
        SETTINGS.model_copy(update={"quality": quality}),
        MAP,
        AS_OF,
        report(
            match=(Match("events", 10, 2),), tracking=(source("web", 4, stopped=False), source("mail", 6, stopped=True))
        ),
    )
    assert [g.says for g in found.failed if g.kind == "model"] == [
        "readiness: 4 leads, at least 5 are asked",
        "readiness: leads.language known for 0 %, at least 50 % is asked",
        "readiness: 80 % of the events name a known lead, at least 90 % is asked",
        "readiness: 60 % of the events come from sources that stopped (mail), at most 50 % is asked",
    ]
    assert not found.model_passed and found.record()["passed"] is False


def test_without_an_event_table_the_model_is_as_far_below_its_minimum_as_with_an_empty_one() -> None:
    leads = [Lead(lead_id=f"L{i}", audience="hcp", country="US", recorded_at=AS_OF) for i in range(4)]
    asked = SETTINGS.quality.model.model_copy(update={"min_leads": 1})
    quality = SETTINGS.quality.model_copy(update={"model": asked})
    for events in (None, []):
        tables = encode_records(leads, [], events, vocabularies=SETTINGS.vocabularies, asset_ids=())
        found = judge(tables, SETTINGS.model_copy(update={"quality": quality}), MAP, AS_OF)
        assert [g.measure for g in found.failed if g.kind == "model"] == ["active"]


def test_too_few_active_leads_close_the_gate_of_the_model() -> None:
    leads = [Lead(lead_id=f"L{i}", audience="hcp", country="US", recorded_at=AS_OF) for i in range(4)]
    for ago, passes in ((89, True), (90, True), (91, False)):
        at = AS_OF - timedelta(days=ago)
        events = [Event(event_id="E", lead_id="L0", occurred_at=at, recorded_at=at, kind="page_view")]
        tables = encode_records(leads, events=events, vocabularies=SETTINGS.vocabularies, asset_ids=())
        asked = SETTINGS.quality.model.model_copy(update={"min_leads": 1, "min_active": 0.25})
        settings = SETTINGS.model_copy(update={"quality": SETTINGS.quality.model_copy(update={"model": asked})})
        assert judge(tables, settings, MAP, AS_OF).model_passed is passes


def test_a_flat_export_is_judged_by_its_attributes() -> None:
    tables = replace(
        clinics([None] * 4),
        attributes={
            "full": np.array([1.0] * 4),
            "half": np.array([1.0, 1.0, np.nan, np.nan]),
            "none": np.full(4, np.nan),
        },
    )
    for least, passes in ((2 / 3, True), (0.7, False)):
        asked = SETTINGS.quality.model.model_copy(update={"min_leads": 1, "min_attributes": least})
        settings = SETTINGS.model_copy(update={"quality": SETTINGS.quality.model_copy(update={"model": asked})})
        assert judge(tables, settings, MAP, AS_OF).model_passed is passes


def test_a_segment_below_its_minimum_holds_nobody_and_the_residual_one_takes_them() -> None:
    from features.facts import FactBuilder, facts_of
    from features.inventory import Inventory

    tables = clinics(["community"] * 3)
    facts = facts_of(known_at(tables, AS_OF), FactBuilder.of(SETTINGS), Inventory.of((), SETTINGS.vocabularies))
    before, after = MAP.members(facts, as_of=AS_OF), MAP.without([SEGMENT]).members(facts, as_of=AS_OF)
    place = MAP.segment_ids.index(SEGMENT)
    assert before.member[:, place].all() and not after.member[:, place].any()
    assert (after.primary == MAP.residual).all()
    assert MAP.without([]) is MAP and MAP.without([SEGMENT]).hash != MAP.hash
    # What a bundle keeps of the map keeps the segment inactive.
    again = SegmentMap.from_json(MAP.without([SEGMENT]).to_json(), DOMAIN)
    assert not again.active(AS_OF.date())[place]


def test_a_bundle_below_the_minimum_says_why_and_its_gate_is_closed() -> None:
    assert hygiene_gate({"hygiene": {"passed": True}}, "").open
    poor = hygiene_gate({"hygiene": {"passed": False, "failed": ["readiness: leads.country known for 9 %"]}}, "")
    assert not poor.open and poor.says == "below the hygiene minimum: readiness: leads.country known for 9 %"


@pytest.mark.parametrize("hygiene", [None, 3, {}, {"passed": "yes"}, {"passed": False}])
def test_the_gate_of_a_bundle_that_was_never_judged_is_closed_too(hygiene: object) -> None:
    assert not hygiene_gate({} if hygiene is None else {"hygiene": hygiene}, "").open


def test_a_reason_opens_the_gate_and_is_kept_only_where_it_was_needed() -> None:
    let_pass = hygiene_gate({"hygiene": {"passed": False, "failed": ["why"]}}, "a pilot with ten leads")
    assert let_pass.open and not let_pass.passed and let_pass.despite == "a pilot with ten leads"
    # A reason given for a bundle that needs none would read as if it had failed.
    assert hygiene_gate({"hygiene": {"passed": True}}, "no need").despite == ""
    assert below_minimum({"hygiene": {"passed": True}}) == ()


def test_the_shipped_minima_load_and_refuse_what_they_do_not_know() -> None:
    content = SETTINGS.quality.model_dump()
    assert QualitySettings.model_validate(content) == SETTINGS.quality
    with pytest.raises(ValueError, match="min_knwon"):
        QualitySettings.model_validate(content | {"segments": content["segments"] | {"min_knwon": 1}})


def test_a_misspelled_field_is_refused_and_neither_ungated_nor_shown() -> None:
    for wrong in ({"unshown": ("leads.titel",)}, {"verify_every_days": {"leads.rolle": 365}}):
        settings = SETTINGS.model_copy(update={"quality": SETTINGS.quality.model_copy(update=wrong)})
        with pytest.raises(ConfigInvalid, match=r"leads\.(titel|rolle)"):
            judge(clinics(["community"]), settings, MAP, AS_OF)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        ModelHygiene.model_validate({**SETTINGS.quality.model.model_dump(), "key_fields": {"leads.audience": 6.0}})
