"""A review says what is due and why, with numbers that can be derived by hand, and cries wolf on no noise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from cli.segments_review import _plain_review, _recorded
from cli.segments_review import review as review_command
from configs.approvals import ApprovalStep, with_approvals
from configs.definitions import SegmentDefinition
from configs.errors import InputInvalid
from configs.governance import ReviewRules
from configs.settings import Settings, load_settings
from configs.triggers import Occurrence, Trigger
from features.encode import encode_records
from features.intake.campaigns import Campaign
from features.records import Account, Event, Lead, Suppression, Touch
from features.tables import Columns, microseconds
from models.segments.review_due import due_of
from models.shares import Share, newcombe, wilson, z_for
from training.reviews.advice import signs_of, suggestions_of
from training.reviews.evidence import (
    Overlap,
    Point,
    Reading,
    Review,
    SegmentReview,
    change_of,
    splits_by_need,
    splits_by_rate,
)
from training.reviews.pages import render_segment_review, write_page
from training.reviews.review import review
from training.reviews.sparks import spark

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
ON = AS_OF.date()
SETTINGS = load_settings()
ID = "cardio_outpatient"
OURS = next(d for d in SETTINGS.segments if d.id == ID)
RULES = ReviewRules(min_leads=20)
# Per cohort: physicians convert in 16 of 40, nurses in 4 of 80.
PHYSICIANS, NURSES, OTHERS = 40, 80, 60


# --- the statistics ----------------------------------------------------------------------------------------------


def test_intervals_are_those_that_their_authors_print() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, two-sided intervals, table I
    found = newcombe(Share(56, 70), Share(48, 80))
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)  # Newcombe 1998, interval estimation, table II (a), 10
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4) and wilson(0, 10)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0) and z_for(1) == pytest.approx(1.959964, abs=1e-6)


@given(st.tuples(*[st.integers(0, 60)] * 4))
@given_settings(deadline=None, max_examples=80)
def test_an_interval_holds_its_share_and_turns_with_the_question(drawn: tuple[int, int, int, int]) -> None:
    later, earlier = (Share(min(h, n), max(h, n)) for h, n in (drawn[:2], drawn[2:]))
    for share in (later, earlier):
        low, high = share.interval
        assert 0 <= low <= share.rate + 1e-12 and share.rate - 1e-12 <= high <= 1
    low, high = newcombe(later, earlier)
    assert -1 <= low <= high <= 1 and low - 1e-12 <= later.rate - earlier.rate <= high + 1e-12
    assert newcombe(earlier, later) == pytest.approx((-high, -low))
    wide = newcombe(later, earlier, z_for(40))
    assert wide[0] <= low + 1e-12 and wide[1] >= high - 1e-12


def test_a_share_has_drifted_only_where_it_moved_far_and_surely() -> None:
    far = change_of(Share(100, 1000), Share(150, 1000), 1.25, 20, 9)
    near = change_of(Share(1000, 10_000), Share(1150, 10_000), 1.25, 20, 9)  # surely, and not far
    few = change_of(Share(2, 40), Share(5, 40), 1.25, 20, 9)  # far, and not surely
    assert [change is not None and change.drifted for change in (far, near, few)] == [True, False, False]
    assert change_of(Share(1, 10), Share(9, 1000), 1.25, 20, 9) is None


def _facts(n: int, half: int) -> dict[str, np.ndarray]:
    return {"role": np.where(np.arange(n) < half, 1, 2).astype(np.uint8)}


def test_a_split_needs_a_difference_that_both_cohorts_show() -> None:
    n, values = 200, {"role": ("physician", "nurse")}
    member, hit = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    hit[:40] = True  # 40 of 100 physicians, none of 100 nurses
    found = splits_by_rate(member, hit, (member, hit, _facts(n, 100)), _facts(n, 100), values, RULES)
    assert found is not None and (found.fact, found.about) == ("role", "conversion")
    assert {found.inside.hits, found.others.hits} == {40, 0}
    other = np.zeros(n, dtype=bool)
    other[100:140] = True  # the cohort before says the opposite
    assert splits_by_rate(member, hit, (member, other, _facts(n, 100)), _facts(n, 100), values, RULES) is None
    nobody = np.zeros(n, dtype=bool)
    assert splits_by_rate(member, hit, (nobody, hit, _facts(n, 100)), _facts(n, 100), values, RULES) is None


def test_noise_splits_nothing() -> None:
    random = np.random.default_rng(4)
    n, found = 2_000, 0
    for _ in range(30):
        facts = {f"f{i}": random.integers(1, 5, n).astype(np.uint8) for i in range(12)}
        values = dict.fromkeys(facts, ("a", "b", "c", "d"))
        member, read = np.ones(n, dtype=bool), random.integers(1, 6, n)
        cohorts = [random.random(n) < 0.05 for _ in range(2)]
        found += splits_by_rate(member, cohorts[0], (member, cohorts[1], facts), facts, values, RULES) is not None
        found += splits_by_need(member, read, ("a", "b", "c", "d", "e"), facts, values, RULES) is not None
    assert found == 0


# --- what is due -------------------------------------------------------------------------------------------------


def _step(kind: str, on: date, definition: SegmentDefinition = OURS, **said: object) -> ApprovalStep:
    if kind == "approved":
        said = {"expires_on": date(2027, 6, 30), "reference": "SEG-1"} | said
    if kind == "reviewed":
        said = {"outcome": "kept", "next_review_on": date(2027, 1, 1)} | said
    content = {"segment": definition.id, "version": definition.version, "definition": definition.content_hash}
    return ApprovalStep.model_validate(content | {"step": kind, "by": "Ada Lovelace", "on": on} | said)


def _with(steps: Sequence[ApprovalStep], definition: SegmentDefinition = OURS, **more: object) -> Settings:
    plain = [SegmentDefinition.model_validate_json(definition.content)]
    residual = [d for d in SETTINGS.segments if d.residual]
    found = {"segments": tuple(with_approvals(plain, steps)) + tuple(residual), "approvals": tuple(steps)}
    return SETTINGS.model_copy(update=found | {"triggers": ()} | more)


def _codes(
    steps: Sequence[ApprovalStep], on: date = ON, campaigns: Sequence[Campaign] = (), **more: object
) -> list[str]:
    return [due.code for due in due_of(_with(steps, **more), on, campaigns)[ID]]


BASE = [_step("proposed", date(2025, 6, 1)), _step("approved", date(2025, 6, 1))]
REVIEWED = [*BASE, _step("reviewed", date(2026, 6, 1))]


def test_a_date_ahead_is_due_soon_and_one_behind_is_due() -> None:
    next_on = REVIEWED[-1].next_review_on
    assert next_on is not None and _codes(REVIEWED) == []
    assert _codes(REVIEWED, next_on - timedelta(days=31)) == []
    assert _codes(REVIEWED, next_on - timedelta(days=30)) == ["REVIEW_SOON"]
    assert _codes(REVIEWED, next_on) == ["REVIEW_DUE"]
    late = [*BASE, _step("reviewed", date(2026, 6, 1), next_review_on=date(2028, 1, 1))]
    assert _codes(late, date(2027, 6, 1)) == ["APPROVAL_ENDS"]
    # The last day of an approval still counts.
    assert _codes(late, date(2027, 6, 30)) == ["APPROVAL_ENDS"]
    assert _codes(late, date(2027, 7, 1)) == ["APPROVAL_EXPIRED"]


def test_a_campaign_that_ended_since_somebody_looked_makes_its_segments_due() -> None:
    ended = [Campaign("C1", (ID,), None, date(2026, 5, 31)), Campaign("C2", ("other",), None, date(2026, 6, 15))]
    # Looked at on the first of June: what ended that day was over when they looked.
    assert _codes(REVIEWED, campaigns=[*ended, Campaign("C0", (ID,), None, date(2026, 6, 1))]) == []
    ended += [Campaign("C3", (ID,), None, date(2026, 6, 20)), Campaign("C4", (ID,), None, date(2026, 7, 20))]
    (due,) = due_of(_with(REVIEWED), ON, ended)[ID]
    assert (due.code, due.says) == ("CAMPAIGN_ENDED", "campaign C3 ended on 2026-06-20")


def test_a_launch_since_then_makes_due_whom_it_concerns() -> None:
    occurs = (Occurrence(on=date(2026, 6, 10), says="a new guideline"), Occurrence(on=date(2026, 5, 1), says="old"))
    launch = Trigger(
        id="launch", title="A launch", kind="outside", occurs=occurs, reviews=(ID,), says="look again", owner="brand"
    )
    assert _codes(REVIEWED, triggers=(launch,)) == ["LAUNCH"]
    assert _codes(REVIEWED, triggers=(launch.model_copy(update={"reviews": ("other",)}),)) == []


def test_edits_proposals_and_outcomes_wait_for_a_person() -> None:
    edited = OURS.model_copy(update={"title": "Another title"})
    (due,) = due_of(_with(BASE, edited), ON)[ID]
    assert due.code == "EDITED" and due.urgent
    assert "WAITS" in _codes([_step("proposed", date(2026, 6, 1))])
    for outcome, code in (("changed", "HYPOTHESIS_CHANGED"), ("dropped", "HYPOTHESIS_DROPPED")):
        assert code in _codes([*BASE, _step("reviewed", date(2026, 6, 1), outcome=outcome)])
    retired = [*BASE, _step("retired", date(2026, 6, 1))]
    assert ID not in due_of(_with(retired), ON)


# --- evidence ----------------------------------------------------------------------------------------------------


def _world(order: int = 1) -> dict[str, list[object]]:
    """Outpatient cardiologists: physicians who convert and read evidence, nurses who read about training; others."""
    rows: dict[str, list[object]] = {name: [] for name in ("leads", "events", "outcomes", "touches")}
    early = AS_OF - timedelta(days=200)
    kinds = SETTINGS.vocabularies["outcome_kind"].values
    kind = OURS.conversion_event if OURS.conversion_event in kinds else SETTINGS.targets.served.kinds[0]
    for i in range(PHYSICIANS + NURSES + OTHERS):
        role = "physician" if i < PHYSICIANS else "nurse"
        specialty = "cardiology" if i < PHYSICIANS + NURSES else "dermatology"
        lead_id = f"L{i:03d}"
        rows["leads"].append(
            Lead(
                lead_id=lead_id,
                account_id="A",
                audience="hcp",
                specialty=specialty,
                role=role,
                country="US",
                recorded_at=early,
                created_at=early,
                verified_at=early,
            )
        )
        for k in range(6):
            at = AS_OF - timedelta(days=10 * k + 1, minutes=i)
            topic = "clinical_evidence" if role == "physician" else "training"
            rows["events"].append(
                Event(
                    event_id=f"E{i}-{k}",
                    lead_id=lead_id,
                    occurred_at=at,
                    recorded_at=at,
                    kind="page_view",
                    topic=topic,
                    depth="overview",
                    channel="web",
                    source="web_analytics",
                )
            )
        converts = i < 16 or PHYSICIANS <= i < PHYSICIANS + 4
        for back in (50, 110) if converts else ():
            at = AS_OF - timedelta(days=back)
            rows["outcomes"].append((lead_id, kind, microseconds(at)))
    at = AS_OF - timedelta(days=5)
    rows["touches"].append(Touch(touch_id="T", lead_id="L000", sent_at=at, channel="email", asset_id=OFFERED[0]))
    return {name: listed[::order] for name, listed in rows.items()}


OFFERED = [
    a.asset_id
    for a in SETTINGS.assets
    if a.asset_id in {x for ids in OURS.offers.values() for x in ids} and a.intent != "medical_information"
]


@cache
def looked(order: int = 1, *, recorded_back: int = 200, objected: int = 0) -> Review:
    """The review of the made world, of whose first leads so many objected to profiling the day before."""
    rows = _world(order)
    at = AS_OF - timedelta(days=recorded_back)
    account = Account(account_id="A", kind="site", care_setting="outpatient", recorded_at=at, verified_at=at)
    tables = encode_records(
        rows["leads"],  # type: ignore[arg-type]
        accounts=[account],
        events=rows["events"],  # type: ignore[arg-type]
        touches=rows["touches"],  # type: ignore[arg-type]
        suppressions=[
            Suppression(lead_id=f"L{i:03d}", reason="profiling_objection", since_at=AS_OF - timedelta(days=1))
            for i in range(objected)
        ],
        suppressions_complete_as_of=AS_OF,
        vocabularies=SETTINGS.vocabularies,
        asset_ids=tuple(a.asset_id for a in SETTINGS.assets),
    )
    tables = replace(tables, outcomes=_outcomes(rows["outcomes"], tables.lead_ids.tolist()))
    rules = SETTINGS.governance.review.model_copy(update={"min_leads": 20})
    governance = SETTINGS.governance.model_copy(update={"review": rules})
    return review(tables, _with(BASE, governance=governance), AS_OF)


def _outcomes(rows: Sequence[object], lead_ids: Sequence[str]) -> Columns:
    leads, kinds, at = zip(*rows, strict=True)  # type: ignore[call-overload]
    codes = SETTINGS.vocabularies["outcome_kind"]
    instants = np.array(at, dtype=np.int64)
    return {
        "lead": np.array([lead_ids.index(lead) for lead in leads], dtype=np.int32),
        "kind": np.array([codes.code(kind) for kind in kinds], dtype=np.uint8),
        "occurred_at": instants,
        "recorded_at": instants,
    }


def ours(found: Review) -> SegmentReview:
    return next(one for one in found.segments if one.definition.id == ID)


def test_size_and_conversion_are_counted_at_every_instant() -> None:
    found = ours(looked())
    members, everybody = PHYSICIANS + NURSES, PHYSICIANS + NURSES + OTHERS
    assert (found.members, found.leads) == (members, everybody)
    assert {(p.size.hits, p.size.of) for p in found.points} == {(members, everybody)}
    rates = {p.on: p.converted for p in found.points}
    assert rates[ON - timedelta(days=60)] == rates[ON - timedelta(days=120)] == Share(20, members)
    assert rates[ON - timedelta(days=30)] is None  # its horizon is not over
    assert found.conversion is not None and not found.conversion.drifted and not found.size.drifted  # type: ignore[union-attr]


def test_two_rates_and_two_needs_inside_name_the_fact_that_splits() -> None:
    found = ours(looked())
    assert {(s.fact, s.about) for s in found.splits} <= {
        ("role", "conversion"), ("role", "clinical_evidence"), ("role", "training"),
    }  # fmt: skip
    rate = next(s for s in found.splits if s.about == "conversion")
    assert {(rate.inside.hits, rate.inside.of), (rate.others.hits, rate.others.of)} == {(16, 40), (4, 80)}
    assert [a.kind for a in found.suggestions] == ["split", "split"]
    assert "by role: of members with role" in found.suggestions[0].says


def test_who_objected_to_profiling_since_splits_nothing_as_of_an_earlier_day_either() -> None:
    splits = ours(looked(objected=PHYSICIANS)).splits
    assert not splits  # without the physicians there are nurses only


def test_reading_is_compared_with_what_is_offered() -> None:
    found = ours(looked())
    reading = found.reading
    # Six events each: nurses 480 about training, physicians 240 about evidence, by the same weights.
    assert dict(reading.missing) == pytest.approx({"training": 2 / 3, "clinical_evidence": 1 / 3})
    assert reading.match == 0 and (OFFERED[0], 1) in reading.untouched
    assert any("0% of what members read is about what it offers" in sign for sign in found.signs)
    assert any(f"touched by nobody: {OFFERED[0]} (1 time)" in sign for sign in found.signs)


def test_growth_that_comes_from_a_field_becoming_known_is_a_note_and_no_sign() -> None:
    found = ours(looked(recorded_back=30))  # where care is given was recorded 30 days ago only
    assert found.points[0].size.hits == 0 and found.members == PHYSICIANS + NURSES
    assert found.size is not None and found.size.drifted and found.like_for_like is None
    assert not any("share" in sign for sign in found.signs)
    assert "its share of all leads rose from 0.0% to 66.7%" in found.notes[0] and "too few leads then" in found.notes[0]
    known = ours(looked())
    assert known.like_for_like is not None and not known.like_for_like.drifted


def test_a_review_does_not_depend_on_the_order_of_rows() -> None:
    assert looked(-1) == looked()


# --- suggestions -------------------------------------------------------------------------------------------------


def _found(members: int, leads: int = 1000, overlaps: Sequence[Overlap] = ()) -> SegmentReview:
    return SegmentReview(
        definition=OURS, due=(), points=(Point(ON, Share(members, leads), None),), size=None, like_for_like=None,
        conversion=None, converts_by=(), reading=Reading(0, 0.0, 0.0, 0.0, None, (), (), ()),
        overlaps=tuple(overlaps), splits=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        (_found(0), [("retire", None)]),
        (_found(200), [("keep", None)]),
        (_found(OURS.size.min_leads - 1), [("merge", "cardio_hospital_team")]),  # same product, purpose and offers
        (_found(200, overlaps=[Overlap("x", 0.4, 0.4, 0.95)]), [("merge", "x")]),
        (_found(200, overlaps=[Overlap("x", 0.4, 0.4, 0.5)]), [("keep", None)]),
        (_found(900), [("split", None)]),  # nine tenths of all leads, no fact tells them apart
    ],
)
def test_each_state_has_its_suggestion(found: SegmentReview, advice: list[tuple[str, str | None]]) -> None:
    approved = [d for d in SETTINGS.segments if d.status == "approved"]
    assert [(a.kind, a.other) for a in suggestions_of(found, RULES, approved)] == advice


def test_of_a_handful_of_members_overlap_is_not_judged() -> None:
    twin = [Overlap("x", 0.9, 0.1, 1.0)]
    few, many = _found(RULES.min_leads - 1, overlaps=twin), _found(RULES.min_leads, overlaps=twin)
    assert any("overlap with x grew" in sign for sign in signs_of(many, RULES))
    assert not any("overlap" in sign for sign in signs_of(few, RULES))
    small = OURS.model_copy(update={"size": OURS.size.model_copy(update={"min_leads": 10})})
    advice = [[a.kind for a in suggestions_of(replace(one, definition=small), RULES, ())] for one in (few, many)]
    assert advice == [["keep"], ["merge"]]


def test_a_page_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "page.html", tmp_path):
        with pytest.raises(InputInvalid, match=rf"{place}: expected a file that can be written"):
            write_page("page", place)
    assert write_page("page", tmp_path / "new" / "page.html").read_text() == "page"
    assert not list(tmp_path.rglob(".*"))


# --- the page and the command ------------------------------------------------------------------------------------


def test_the_page_is_offline_escaped_and_has_a_picture_of_size_and_conversion() -> None:
    page = render_segment_review(looked(), {ID: "120 members <b>"})
    assert page.count("<svg") == 2 * len(looked().segments) and "120 members &lt;b&gt;" in page
    assert "default-src 'none'" in page and "://" not in page and "<script" not in page
    assert spark("x", [(ON, Share(1, 2))]) == ""  # one point is no line
    picture = spark("<x>", [(ON, Share(1, 2)), (ON + timedelta(days=30), Share(1, 4))])
    assert "&lt;x&gt;: from 50.0%" in picture and "<x>" not in picture


def test_the_review_for_programs_is_plain_and_names_nobody() -> None:
    text = json.dumps(_plain_review(looked()))
    plain = json.loads(text)
    assert plain["leads"] == PHYSICIANS + NURSES + OTHERS and plain["segments"][0]["definition"]["id"] == ID
    assert {"points", "signs", "suggestions", "reading"} <= set(plain["segments"][0]) and "L000" not in text


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="expected what an earlier"):
        _recorded(tmp_path, 90)


def test_the_command_lists_what_is_due_with_and_without_data(
    small_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("configs.settings.load_settings", lambda _: SETTINGS)
    review_command(as_of="2027-06-01")
    assert "segments are due" in capsys.readouterr().out
    review_command(as_of="2027-06-01", as_json=True)
    found: Mapping[str, object] = json.loads(capsys.readouterr().out)["due"]
    assert set(found) == {d.id for d in SETTINGS.segments if d.status == "approved"}
    page = tmp_path / "review.html"
    review_command(data=small_world / "data", out=page)
    shown = capsys.readouterr().out
    assert "campaign" in shown and "Evidence" in shown and page.read_text(encoding="utf-8").startswith("<!doctype")
    with pytest.raises(InputInvalid, match=r"ends in \.html, and --data"):
        review_command(out=page)
