"""Nurture in answers: whose track, which step, how deep, when, and what ends it; online and in batch the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from configs.nurture import NurtureSettings
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.records import Event, Lead, Touch
from features.view import ViewRules, view_at
from serving.actions.actions import ActionPlan
from serving.columns import decision_table
from serving.decide import Decider
from serving.kernels import QUEUE_KEYS
from serving.nurture.kernels import TABLES
from serving.nurture.nurture import Nurtured, NurturePlan
from serving.nurture.words import nurture
from serving.render import render

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
TODAY = 20_634  # 2026-06-30 in days since 1970
LONG_AGO = AS_OF - timedelta(days=300)
BANDS = ("unknown", "cold", "warming", "warm", "hot")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def parts() -> tuple[Domain, FactBuilder, Inventory, ActionPlan, NurturePlan]:
    one = shipped()
    domain, inventory = Domain.of(one), Inventory.of_settings(one)
    plan = ActionPlan.of(one.actions, one.segments, one.assets, one.vocabularies)
    return domain, FactBuilder.of(one), inventory, plan, NurturePlan.of(one, one.assets, inventory, domain)


def happened(kind: str, days: float = 2, number: int = 0, **own: Any) -> Event:
    at = AS_OF - timedelta(days=days)
    return Event(event_id=f"{kind}{number}{days}", lead_id="L1", kind=kind, occurred_at=at, recorded_at=at, **own)


def sent(asset_id: str, days: float = 2, channel: str = "email") -> Touch:
    return Touch(
        touch_id=f"{asset_id}{days}", lead_id="L1", asset_id=asset_id, channel=channel, intent="promotional",
        sent_at=AS_OF - timedelta(days=days),
    )  # fmt: skip


def found(
    *events: Event, band: str = "hot", segment: str = "unsegmented", touches: tuple[Touch, ...] = (),
    stage: str | None = None, evidence: str = "fair", as_of: datetime = AS_OF, **lead: Any,
) -> Nurtured:  # fmt: skip
    """What nurture finds about one lead; `stage` is what events are said to show of it."""
    domain, builder, inventory, plan, own = parts()
    given = {"audience": "hcp", "recorded_at": LONG_AGO, "verified_at": LONG_AGO} | lead
    tables = encode_records(
        [Lead(lead_id="L1", **given)], events=list(events), touches=list(touches), cases=[], consents=[],
        vocabularies=shipped().vocabularies, asset_ids=tuple(one.asset_id for one in shipped().assets),
    )  # fmt: skip
    known = view_at(tables, as_of, ViewRules.of(shipped()))
    facts = facts_of(known, builder, inventory)
    shown = np.full((1, 1, 1), domain.code("buying_stage", stage) if stage else 0, dtype=np.uint8)
    proof = np.full((1, 1, 1), domain.code("stage_evidence", evidence), dtype=np.uint8)
    facts = Facts(1, facts.assets, {**facts.columns, "buying_stage": shown, "stage_evidence": proof})
    primary = np.array([[one.id for one in shipped().segments].index(segment)], dtype=np.int32)
    places = np.array([BANDS.index(band)], dtype=np.uint8)
    return own.of_leads(known, facts, places, primary, plan, as_of.date())


def fits(one: Nurtured) -> set[str]:
    ids = [*(asset.asset_id for asset in shipped().assets), "none"]
    return {ids[place] for place in np.flatnonzero(one.fit[0] >= 0).tolist()}


def track(one: Nurtured) -> str | None:
    place = int(one.track[0])
    return shipped().nurture.tracks[place].id if place >= 0 else None


def step(one: Nurtured) -> str:
    return shipped().actions.stages[int(one.stage[0])]


def value(one: Nurtured, name: str) -> int:
    return int(one.row(name)[0])


DEVICE: dict[str, Any] = {"audience": "buyer", "role": "value_analysis_lead", "product_interest": "implant"}
IN_SEGMENT: dict[str, Any] = {"segment": "implant_ortho_vac"}


# --- the step: what events show, else the band ------------------------------------------------------------------------


def test_the_step_is_what_events_show_and_without_evidence_that_of_the_band() -> None:
    assert step(found(stage="evaluation", evidence="fair", band="cold")) == "evaluation"
    assert step(found(stage="evaluation", evidence="strong", band="cold")) == "evaluation"
    assert step(found(stage="evaluation", evidence="weak", band="cold")) == "awareness"
    assert step(found(stage=None, band="warm")) == "evaluation"
    assert step(found(stage="awareness", band="hot")) == "awareness"


def test_without_a_nurture_file_the_stage_is_that_of_the_band_and_nothing_is_paced() -> None:
    one = shipped().model_copy(update={"nurture": NurtureSettings()})
    domain, _, inventory, _, _ = parts()
    bare = NurturePlan.of(one, one.assets, inventory, domain)
    assert (bare.tables[TABLES.index("stage")] == -1).all() and len(bare.days) == 2 and (bare.assets[0] <= 0).all()


# --- depth: one level beyond what was seen or sent, never beyond the band, never of the other side --------------------


def test_content_deepens_one_level_at_a_time_by_what_was_seen_or_sent() -> None:
    levels = {depth: n for n, level in enumerate(shipped().nurture.depths) for depth in level}

    def deepest(*events: Event, **own: Any) -> int:
        chosen = fits(found(*events, **IN_SEGMENT, **DEVICE, **own))
        given_ = {levels[asset.depth] for asset in shipped().assets if asset.asset_id in chosen}
        assert given_ == set(range(max(given_) + 1))
        return max(given_)

    assert deepest() == 0
    assert deepest(happened("page_view")) == 1
    assert deepest(happened("page_view", depth="detailed")) == 2
    assert deepest(happened("page_view", depth="comparison")) == 3
    # What was sent counts as what was seen; what was seen more than a year ago does not.
    assert deepest(touches=(sent("implant_overview"),)) == 1
    assert deepest(touches=(sent("implant_evidence_summary"),)) == 2
    assert deepest(happened("page_view", days=365)) == 1 and deepest(touches=(sent("implant_overview", days=366),)) == 0


@pytest.mark.parametrize(("band", "deepest"), [("unknown", 0), ("cold", 0), ("warming", 1), ("warm", 2), ("hot", 3)])
def test_content_is_never_deeper_than_the_band_allows_whatever_events_show(band: str, deepest: int) -> None:
    levels = {depth: n for n, level in enumerate(shipped().nurture.depths) for depth in level}
    one = found(happened("page_view", depth="pricing"), band=band, stage="proposal", **IN_SEGMENT, **DEVICE)
    given_ = {levels[asset.depth] for asset in shipped().assets if asset.asset_id in fits(one)}
    assert max(given_) == deepest and step(one) == "proposal"


def test_what_another_product_s_events_or_a_machine_showed_deepens_nothing() -> None:
    other = found(happened("page_view", depth="comparison", product="software"), **IN_SEGMENT, **DEVICE)
    assert value(other, "seen") == -1
    own = found(happened("page_view", depth="comparison", product="implant"), **IN_SEGMENT, **DEVICE)
    assert value(own, "seen") == 2
    machine = happened("email_click", depth="comparison", agent="security_gateway", message_id="m", channel="email")
    assert value(found(machine, **IN_SEGMENT, **DEVICE), "seen") == -1


def test_what_happens_later_changes_nothing() -> None:
    later = happened("demo_request", days=-1)
    assert np.array_equal(found(later).found, found().found) and np.array_equal(found(later).fit, found().fit)


def test_clinical_content_never_goes_to_operations_nor_prices_to_the_clinic() -> None:
    seen = happened("page_view", depth="comparison")
    topics = {asset.asset_id: asset.topic for asset in shipped().assets}
    sides = shipped().nurture.sides

    def of(role: str | None, audience: str) -> set[str | None]:
        one = found(seen, segment="implant_ortho_vac", audience=audience, role=role, product_interest="implant")
        return {topics.get(name) for name in fits(one)}

    clinical, operations = set(sides["clinical"].topics), set(sides["operations"].topics)
    assert not of("practice_manager", "buyer") & clinical and of("practice_manager", "buyer") & operations
    assert not of("physician", "hcp") & operations and of("physician", "hcp") & clinical
    # Who sits on the committee weighs both; of whom no role is known, the audience decides.
    assert of("value_analysis_lead", "buyer") & clinical and of("value_analysis_lead", "buyer") & operations
    assert not of(None, "buyer") & clinical and not of(None, "hcp") & operations


ROLES = st.sampled_from([None, "physician", "nurse", "pharmacist", "practice_manager", "procurement", "it_lead"])


@law(deadline=None, max_examples=25)
@given(
    role=ROLES, band=st.sampled_from(BANDS), stage=st.sampled_from([None, "awareness", "evaluation", "proposal"]),
    depth=st.sampled_from([None, "overview", "comparison"]), at=st.integers(0, 39),
    evidence=st.sampled_from(["weak", "fair"]),
)  # fmt: skip
def test_whatever_is_known_nothing_fits_that_is_too_deep_or_of_the_other_side(
    role: str | None, band: str, stage: str | None, depth: str | None, at: int, evidence: str
) -> None:
    segments = shipped().segments
    events = (happened("page_view", depth=depth),) if depth else ()
    one = found(*events, band=band, role=role, stage=stage, evidence=evidence, segment=segments[at % len(segments)].id)
    own, actions = shipped().nurture, shipped().actions
    levels = {name: n for n, level in enumerate(own.depths) for name in level}
    of_band = actions.stages.index(actions.stage_by_band[band])
    for asset in shipped().assets:
        if asset.asset_id in fits(one):
            assert levels[asset.depth] <= (levels[depth] if depth else -1) + 1
            assert actions.stages.index(actions.stage_by_depth[asset.depth]) <= of_band
            assert actions.first_stage(asset) <= actions.stages.index(step(one))
            assert not (
                role in ("practice_manager", "procurement", "it_lead") and asset.topic in own.sides["clinical"].topics
            )
            assert not asset.tracks or track(one) in asset.tracks


# --- tracks -----------------------------------------------------------------------------------------------------------


def test_a_session_opens_the_agenda_of_the_specialty_and_setting_and_pharmacists_have_their_own() -> None:
    attended = happened("webinar_attend", days=13)
    pharmacist = found(attended, role="pharmacist", specialty="oncology")
    assert track(pharmacist) == "post_event_pharmacist" and "agenda_pharmacist" in fits(pharmacist)
    physician = found(attended, role="physician", specialty="cardiology", product_interest="cardiology_rx")
    assert track(physician) == "post_event_cardiology"
    assert "agenda_cardiology" in fits(physician) and "agenda_pharmacist" not in fits(physician)
    assert track(found(attended, role="physician", specialty="oncology")) == "post_event_oncology"
    assert track(found(attended, audience="buyer", role="procurement")) == "post_event"
    # On the last day of the window, and a day later.
    assert track(found(happened("webinar_attend", days=14), role="pharmacist")) == "post_event_pharmacist"
    assert track(found(happened("webinar_attend", days=15), role="pharmacist")) == "device_ladder"


def test_a_known_patient_is_never_sent_the_series_for_newcomers() -> None:
    patient: dict[str, Any] = {
        "audience": "patient", "product_interest": "specialty_care", "segment": "symptom_next_steps", "role": "patient",
    }  # fmt: skip
    new, known = found(lifecycle="new_prospect", **patient), found(lifecycle="ongoing_support", **patient)
    assert (track(new), track(known)) == ("patient_newcomer", "patient_known")
    assert "patient_welcome" in fits(new) and "patient_next_visit" not in fits(new)
    assert "patient_next_visit" in fits(known) and "patient_welcome" not in fits(known)


def test_referrers_of_primary_care_and_of_specialties_get_different_packs() -> None:
    given_ = {"role": "physician", "product_interest": "specialty_care", "band": "cold"}
    primary = found(specialty="primary_care", **given_)
    other = found(specialty="cardiology", **given_)
    assert (track(primary), track(other)) == ("referrer_primary_care", "referrer_specialty")
    assert {name for name in fits(primary) if name.startswith("referral_pack")} == {"referral_pack_primary_care"}
    assert {name for name in fits(other) if name.startswith("referral_pack")} == {"referral_pack_specialty"}


def test_after_what_the_segment_offers_comes_the_ladder_of_the_track_and_nothing_below_the_stage_before_it() -> None:
    seen = happened("page_view", depth="comparison", days=20)
    assets = {asset.asset_id: asset for asset in shipped().assets}

    def ladder(stage: str) -> list[str]:
        one = found(seen, stage=stage, **IN_SEGMENT, **DEVICE)
        segment = next(one for one in shipped().segments if one.id == "implant_ortho_vac")
        ids = list(assets)
        # What fits has still to be approved, which is for the rules to say.
        one.fit[0, ids.index("implant_brochure_2024")] = -1
        order = [ids[n] for n in np.argsort(-one.fit[0, :-1].astype(int), kind="stable") if one.fit[0, n] >= 0]
        # An offer of the segment that is too deep for the stage is no exception.
        offered = [name for name in segment.offers.get(stage, ()) if name in order]
        of_stage = [name for name in order if name in offered or stage in assets[name].stages]
        assert order[: len(of_stage)] == of_stage and set(order[: len(offered)]) == set(offered)
        return [name for name in of_stage if name not in offered]

    assert ladder("awareness")[:2] == ["implant_overview", "implant_evidence_at_a_glance"]
    assert ladder("education")[:2] == ["device_demo_invitation", "device_workflow_guide"]
    assert ladder("evaluation")[:2] == ["implant_technical_packet", "device_training_outline"]
    assert ladder("proposal")[:2] == ["device_roi_narrative", "device_contracting_support"]
    assert ladder("advocacy")[:1] == ["device_committee_briefing"]


# --- windows ----------------------------------------------------------------------------------------------------------


def test_what_a_lead_did_is_answered_in_its_window_until_something_is_sent() -> None:
    # A webinar is answered after a day and within three.
    one = found(happened("webinar_attend", days=0.1), band="cold")
    assert (value(one, "not_before"), value(one, "follow_up_by")) == (TODAY + 1, TODAY + 3)
    assert value(one, "waits") == 1 and not fits(one)
    tomorrow = found(happened("webinar_attend", days=1), band="cold")
    assert value(tomorrow, "waits") == 0 and fits(tomorrow)
    # High fit and engaged goes faster; and what is already answered is not due.
    assert value(found(happened("webinar_attend", days=0.1), band="hot"), "waits") == 0
    answered = found(happened("webinar_attend", days=3), touches=(sent("oncology_education_webinar", days=1),))
    assert value(answered, "follow_up_by") == -1
    # Sent before, or the same day: that may be what led to it.
    unanswered = found(happened("webinar_attend", days=3), touches=(sent("oncology_education_webinar", days=3),))
    assert value(unanswered, "follow_up_by") == TODAY


def test_of_two_that_are_due_the_first_is_told_and_a_missed_one_is_told_for_a_while() -> None:
    both = found(happened("download", days=1), happened("demo_request", days=1), band="hot")
    assert value(both, "follow_up_by") == TODAY
    assert shipped().nurture.kinds[value(both, "trigger")] == "demo_request"
    # Due on day 1, told until 14 days later.
    assert value(found(happened("demo_request", days=15)), "follow_up_by") == TODAY - 14
    assert value(found(happened("demo_request", days=16)), "follow_up_by") == -1


def test_what_was_taken_or_shown_in_the_field_is_not_offered_again_and_what_was_sent_the_rules_stop() -> None:
    product: dict[str, Any] = {"band": "warm", "segment": "implant_ortho_vac"} | DEVICE
    plain = found(happened("page_view", depth="detailed"), **product)
    assert "implant_evidence_summary" in fits(plain)
    for kind in ("download", "field_visit"):
        took = happened(kind, depth="detailed", asset_id="implant_evidence_summary", days=90)
        assert "implant_evidence_summary" not in fits(found(took, **product))
        earlier = happened(kind, depth="detailed", asset_id="implant_evidence_summary", days=91)
        assert "implant_evidence_summary" in fits(found(earlier, **product))
    # A glance at its page is not to have it.
    glance = happened("page_view", depth="detailed", asset_id="implant_evidence_summary")
    assert "implant_evidence_summary" in fits(found(glance, **product))


def test_the_next_message_is_about_what_the_lead_looked_at_last() -> None:
    product: dict[str, Any] = {"band": "warm", "segment": "implant_ortho_vac"} | DEVICE
    place = [asset.asset_id for asset in shipped().assets].index("implant_evidence_summary")

    def worth(*topics: str) -> int:
        events = [happened("page_view", days=9 - n, topic=topic) for n, topic in enumerate(topics)]
        return int(found(*events, **product).fit[0, place])

    assert worth("workflow", "clinical_evidence") == worth("clinical_evidence", "workflow") + 32


@law(deadline=None, max_examples=15)
@given(order=st.permutations(range(5)))
def test_the_order_of_rows_never_matters(order: list[int]) -> None:
    events = [
        happened("download", 4, 1, asset_id="device_workflow_guide", topic="workflow"),
        happened("webinar_attend", 2, 2), happened("page_view", 4, 3, topic="pricing", depth="pricing"),
        happened("page_view", 4, 4, topic="training"),
        happened("demo_request", 9, 5),
    ]  # fmt: skip
    plain, shuffled = found(*events, **IN_SEGMENT, **DEVICE), found(*(events[n] for n in order), **IN_SEGMENT, **DEVICE)
    assert np.array_equal(plain.found, shuffled.found) and np.array_equal(plain.fit, shuffled.fit)


# --- in answers -------------------------------------------------------------------------------------------------------


def test_answers_and_columns_say_the_same_and_no_action_is_beyond_what_fits(small_world: Path) -> None:
    from features.intake.sources import find_files, read_tables

    at = datetime(2026, 6, 30, tzinfo=UTC)
    own = Decider.load(small_world / "bundle", shipped(), on=at.date())
    tables = read_tables(find_files(small_world / "data"), shipped(), assets=own.assets, as_of=at).tables
    decisions = own.decide(tables, at)
    table = decision_table(decisions).to_pylist()
    tracks = set()
    for place, row in list(enumerate(table))[::3]:
        answer = render(decisions, place)
        told = answer["nurture"]
        for name in ("track", "step", "layer", "call_to_action", "follow_up_by", "not_before", "exit"):
            assert row[f"nurture_{name}"] == told[name], name
        assert told["because"]
        tracks.add(told["track"])
        chosen = int(decisions.chosen.asset[place])
        assert chosen < 0 or decisions.nurtured.fit[place, chosen] >= 0
        if answer["next_best_action"]["asset_id"] and told["track"]:
            assert ["track", "known", told["track"]] in answer["next_best_action"]["because"]
        # Alone as among others.
    assert len(tracks) >= 5


@pytest.mark.parametrize("key", ["handover", "meeting", "off_label", "adverse_event", "no_score"])
def test_a_person_s_own_matter_ends_the_track(key: str, small_world: Path) -> None:
    from dataclasses import replace

    decisions = _one(small_world)
    queue = np.full_like(decisions.chosen.queue, QUEUE_KEYS.index(key))
    ended = replace(decisions, chosen=replace(decisions.chosen, queue=queue))
    told = nurture(ended, 0)
    assert told["exit"] == key and told["track"] is None and told["because"][0][1:] == ["known", "yes"]
    assert nurture(decisions, 0)["exit"] is None and nurture(decisions, 0)["track"] == "clinical_education"


def test_while_a_lead_is_with_sales_nothing_is_sent_and_its_owner_follows_up(small_world: Path) -> None:
    from features.records import Case

    case = Case(case_id="c", lead_id="L1", kind="handover", opened_at=AS_OF - timedelta(days=1))
    decisions = _one(small_world, cases=[case])
    answer, row = render(decisions, 0), decision_table(decisions).to_pylist()[0]
    assert answer["next_best_action"]["action"] == row["action"] == "owner_follow_up"
    assert answer["route"]["queue"] == row["queue"] == "account_owner"
    assert answer["nurture"]["exit"] == row["nurture_exit"] == "handover" and row["nurture_track"] is None
    closed = case.__class__(**{f: getattr(case, f) for f in case.__struct_fields__} | {"closed_at": AS_OF})
    assert render(_one(small_world, cases=[closed]), 0)["nurture"]["exit"] is None


def test_where_no_service_is_offered_the_step_asks_to_learn_and_says_why(small_world: Path) -> None:
    at = AS_OF - timedelta(days=2)
    leads = [
        Lead(lead_id=state, audience="patient", country="US", region=state, product_interest="specialty_care",
             recorded_at=at, created_at=at, verified_at=at, source="web_form")
        for state in ("CA", "KS")
    ]  # fmt: skip
    events = [
        Event(event_id=one.lead_id, lead_id=one.lead_id, kind="page_view", depth="comparison", product="specialty_care",
              source="web_analytics", agent="browser", occurred_at=at, recorded_at=at)
        for one in leads
    ]  # fmt: skip
    own = _decider(small_world)
    tables = encode_records(
        leads, events=events, accounts=[], touches=[], consents=[], suppressions=[], cases=[],
        vocabularies=shipped().vocabularies, asset_ids=own.asset_ids, suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    decisions = own.decide(tables, AS_OF, threads=1)
    said = [render(decisions, row)["nurture"] for row in (0, 1)]
    assert [one["step"] for one in said] == ["evaluation", "evaluation"]
    assert [one["call_to_action"] for one in said] == ["contact", "learn"]
    assert decision_table(decisions)["nurture_call_to_action"].to_pylist() == ["contact", "learn"]
    reason = ["service_offered", "known", "no"]
    assert [reason in one["because"] for one in said] == [False, True]
    assert said[1]["says"] == "our service is not offered where the lead is: no step towards a booking"


def _one(folder: Path, **tables: Any) -> Any:
    lead = Lead(
        lead_id="L1", audience="hcp", role="physician", specialty="oncology", country="US", recorded_at=LONG_AGO,
        created_at=LONG_AGO, verified_at=AS_OF, product_interest="oncology_rx",
    )  # fmt: skip
    given_: dict[str, Any] = {
        "accounts": [],
        "events": [],
        "touches": [],
        "consents": [],
        "suppressions": [],
        "cases": [],
    }
    own = _decider(folder)
    encoded = encode_records(
        [lead], **(given_ | tables), vocabularies=shipped().vocabularies, asset_ids=own.asset_ids,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    return own.decide(encoded, AS_OF, threads=1)


@cache
def _decider(folder: Path) -> Decider:
    return Decider.load(folder / "bundle", shipped(), on=AS_OF.date())
