"""What leads say of a segment map: sizes, overlap, fields, and who still names a segment that is gone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.definitions import SegmentDefinition
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.intake.campaigns import Campaign, read_campaigns
from features.records import Account, Lead, PriorMembership
from models.hygiene import Gate
from models.segments.lint.data import Measured, as_if_approved, jaccard, measure
from models.segments.lint.findings import Finding
from models.segments.lint.judge import lint
from models.segments.map import SegmentMap

ON = date(2026, 6, 30)
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


def one(segment_id: str) -> SegmentDefinition:
    return next(definition for definition in shipped().segments if definition.id == segment_id)


GOOD, REST = "onc_community_center", "unsegmented"


def twin(**changes: Any) -> SegmentDefinition:
    return one(GOOD).model_copy(update={"id": "another_center", "title": "Others", "priority": 51, **changes})


def members(n: int, **spans: tuple[int, int]) -> np.ndarray:
    """Lead by segment: of n leads those from the first to before the second number, by name; the rest is residual."""
    columns = [np.isin(np.arange(n), np.arange(*span)) for span in spans.values()]
    return np.array([*columns, ~np.any(columns, axis=0)]).T


def findings(member: np.ndarray, *definitions: SegmentDefinition, **more: Any) -> list[Finding]:
    segment_map = SegmentMap([*(definitions or (one(GOOD),)), one(REST)], domain())
    found = lint(segment_map, on=ON, settings=shipped(), measured=Measured(ON, member, **more))
    return [f for f in found if f.segment_id != REST]


def codes(*given: Any, **more: Any) -> set[str]:
    return {finding.code for finding in findings(*given, **more)}


def test_sizes_outside_the_guardrails_are_found_on_both_sides() -> None:
    # At least 30 leads, at most 30 % of all.
    assert codes(members(1_000, good=(0, 29))) == {"TOO_SMALL"}
    assert codes(members(1_000, good=(0, 30))) == set()
    assert codes(members(1_000, good=(0, 300))) == set()
    assert codes(members(1_000, good=(0, 301))) == {"TOO_LARGE"}


def test_a_sample_forecasts_the_size_with_an_interval() -> None:
    # 10 of 1,000 leads that stand for 10,000: about 100. Wilson for p = 0.01, n = 1000, z = 1.96:
    z, n, p = 1.959964, 1_000, 0.01
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (10_000 * (middle - half) / (1 + z * z / n), 10_000 * (middle + half) / (1 + z * z / n))
    measured = Measured(ON, members(1_000, good=(0, 10)), stands_for=10_000)
    forecast = measured.forecast(0)
    assert (forecast.leads, forecast.low, forecast.high) == (100, int(low), int(high) + 1)
    assert codes(members(1_000, good=(0, 10)), stands_for=10_000) == set()


def test_a_sample_that_cannot_tell_says_so() -> None:
    # 2 of 1,000 stand for 20 of 10,000, the interval reaches 73: more leads would tell.
    (unsure,) = findings(members(1_000, good=(0, 2)), stands_for=10_000)
    assert unsure.code == "TOO_SMALL"
    assert "a larger sample would tell" in unsure.reason
    # 29 of all leads are 29.
    assert "would tell" not in findings(members(1_000, good=(0, 29)))[0].reason


def test_a_segment_below_its_floor_is_told_where_its_members_are_at_home() -> None:
    overlapping = members(1_000, good=(0, 10), other=(4, 104))
    (small,) = [f for f in findings(overlapping, one(GOOD), twin()) if f.code == "TOO_SMALL"]
    assert "another_center holds 60% of them" in small.reason
    alone = findings(members(1_000, good=(0, 10)))
    assert "without it they are in unsegmented" in alone[0].reason


def test_two_segments_of_nearly_the_same_leads_overlap() -> None:
    both = (one(GOOD), twin())
    # 80 of 100 are shared: Jaccard 0.8.
    assert codes(members(1_000, good=(0, 90), other=(10, 100)), *both) == {"OVERLAP"}
    # 79 of 101.
    assert codes(members(1_000, good=(0, 90), other=(11, 101)), *both) == set()


def test_a_segment_wholly_inside_another_is_found_and_says_who_is_primary() -> None:
    both = (one(GOOD), twin())  # priorities 50 and 51
    (inner,) = findings(members(1_000, good=(0, 100), other=(0, 50)), *both)
    assert (inner.code, inner.segment_id) == ("INSIDE", "another_center")
    assert inner.reason == "all its 50 members are in onc_community_center as well, and is never primary"
    assert codes(members(1_000, good=(0, 100), other=(51, 101)), *both) == set()
    # As few as nine lie inside another by chance; that they are too few is said apart.
    said = [codes(members(1_000, good=(0, 100), other=(0, n)), *both) for n in (9, 10)]
    assert ["INSIDE" in found for found in said] == [False, True]


def test_a_draft_around_something_in_use_is_not_that_segments_mistake() -> None:
    draft = twin(status="draft", approval=None)
    assert "INSIDE" not in codes(members(1_000, good=(0, 50), other=(0, 100)), one(GOOD), draft)
    assert "INSIDE" in codes(members(1_000, good=(0, 100), other=(0, 50)), one(GOOD), draft)


def test_an_overlay_is_judged_by_size_when_readiness_is_known_and_is_inside_by_its_nature() -> None:
    hot = twin(enter=f"{one(GOOD).enter} AND band = 'hot'", exit=f"{one(GOOD).exit} OR band <> 'hot'")
    assert codes(members(1_000, good=(0, 100), hot=(0, 0)), one(GOOD), hot) == set()
    assert codes(members(1_000, good=(0, 100), hot=(0, 20)), one(GOOD), hot) == set()


def test_many_segments_below_their_floor_are_sprawl() -> None:
    eight = [twin(id=f"center_{n}x", title=f"Group {n}", priority=100 + n) for n in range(8)]
    spans = {f"s{n}": (100 * n, 100 * n + 100) for n in range(8)}
    few = members(1_000, **{**spans, "s0": (0, 9), "s1": (100, 109), "s2": (200, 209)})
    assert "SPRAWL" in codes(few, *eight)  # 3 of 8 are more than a quarter
    assert "SPRAWL" not in codes(members(1_000, **{**spans, "s0": (0, 9), "s1": (100, 109)}), *eight)


@pytest.mark.parametrize(
    ("measure_", "code"),
    [("known", "UNRELIABLE_FIELD"), ("mapped", "UNRELIABLE_FIELD"), ("stale", "STALE_FIELD"), ("share", "OVER_BROAD")],
)
def test_a_hygiene_gate_that_failed_is_a_finding_of_the_segment(measure_: str, code: str) -> None:
    gate = Gate("segment", GOOD, "leads.specialty", measure_, 0.1, 0.5, False, f"{GOOD}: known in 10 %")
    (found,) = findings(members(1_000, good=(0, 100)), gates=(gate,))
    assert (found.code, found.key, found.reason, found.blocks) == (code, "enter", "known in 10 %", True)
    other = Gate("segment", "somebody_else", "leads.role", measure_, 0.1, 0.5, False, "x")
    assert findings(members(1_000, good=(0, 100)), gates=(other,)) == []


def campaign(segment_id: str, ended_on: date | None = None, campaign_id: str = "C1") -> Campaign:
    return Campaign(campaign_id, (segment_id,), date(2026, 1, 1), ended_on)


def named(world: Settings, **more: Any) -> list[tuple[str, str, bool]]:
    segment_map = SegmentMap([d for d in world.segments if d.status == "approved"], domain())
    measured = Measured(ON, np.zeros((0, len(segment_map.definitions)), dtype=bool), **more)
    found = lint(segment_map, on=ON, settings=world, measured=measured)
    return [(f.segment_id, f.code, f.blocks) for f in found if f.status == "data"]


def test_a_campaign_that_names_a_segment_nobody_has_is_an_error_while_it_runs() -> None:
    assert named(shipped(), campaigns=(campaign("vanished"),)) == [("vanished", "UNKNOWN_SEGMENT", True)]
    over = campaign("vanished", date(2026, 6, 29))
    assert named(shipped(), campaigns=(over,)) == [("vanished", "UNKNOWN_SEGMENT", False)]
    last_day = campaign("vanished", ON)
    assert named(shipped(), campaigns=(last_day,)) == [("vanished", "UNKNOWN_SEGMENT", True)]
    assert named(shipped(), campaigns=(campaign(GOOD), campaign(REST))) == []


def test_a_running_campaign_on_a_draft_or_a_retired_segment_reaches_nobody() -> None:
    draft = next(d.id for d in shipped().segments if d.status == "draft")
    assert named(shipped(), campaigns=(campaign(draft),)) == [(draft, "CAMPAIGN_ON_DRAFT", False)]
    assert named(shipped(), campaigns=(campaign(draft, date(2026, 6, 29)),)) == []
    gone = tuple(
        d.model_copy(update={"status": "retired", "approval": None}) if d.id == GOOD else d for d in shipped().segments
    )
    world = shipped().model_copy(update={"segments": gone})
    assert named(world, campaigns=(campaign(GOOD),)) == [(GOOD, "RETIRED_REFERENCE", True)]
    assert named(world, campaigns=(campaign(GOOD, date(2026, 6, 29)),)) == []


def test_members_of_a_retired_segment_without_a_successor_are_found() -> None:
    def world(successor: str | None) -> Settings:
        gone = {"status": "retired", "approval": None, "replaced_by": successor}
        changed = tuple(d.model_copy(update=gone) if d.id == GOOD else d for d in shipped().segments)
        return shipped().model_copy(update={"segments": changed})

    assert named(world(None), held={GOOD: 3}, past={}) == [(GOOD, "RETIRED_WITH_MEMBERS", True)]
    assert named(world("onc_advanced_specialist"), held={GOOD: 3}, past={}) == []
    assert named(world(None), held={}, past={GOOD: 3}) == []


def test_memberships_of_a_segment_that_vanished_are_found() -> None:
    assert named(shipped(), held={"vanished": 2}, past={}) == [("vanished", "UNKNOWN_SEGMENT", True)]
    assert named(shipped(), held={}, past={"vanished": 2}) == [("vanished", "UNKNOWN_SEGMENT", False)]


def small_world() -> Any:
    """Four oncologists, three in community centers; one was in it before, and one in a segment that is gone."""
    at = AS_OF - timedelta(days=1)
    leads = [
        Lead(lead_id=f"L{n}", account_id=f"A{n}", audience="hcp", specialty="oncology", recorded_at=at)
        for n in range(4)
    ]
    places = ("community", "community", "community", "inpatient")
    accounts = [Account(account_id=f"A{n}", care_setting=p, recorded_at=at) for n, p in enumerate(places)]
    memberships = [
        PriorMembership(lead_id="L0", segment_id=GOOD, version=1, entered_at=AS_OF - timedelta(days=90)),
        PriorMembership(lead_id="L1", segment_id="vanished", version=1, entered_at=AS_OF - timedelta(days=90),
                        left_at=AS_OF - timedelta(days=9)),
        # What begins later is not known yet.
        PriorMembership(lead_id="L2", segment_id="later", version=1, entered_at=AS_OF + timedelta(days=1)),
    ]  # fmt: skip
    return encode_records(
        leads, accounts=accounts, memberships=memberships, vocabularies=shipped().vocabularies, asset_ids=()
    )


def test_leads_are_measured_with_drafts_as_if_they_were_approved() -> None:
    draft = twin(status="draft", approval=None, enter=one(GOOD).enter.replace("community", "inpatient"))
    segment_map = SegmentMap([one(GOOD), draft, one(REST)], domain())
    measured = measure(small_world(), shipped(), segment_map, AS_OF)
    # The draft holds one lead and takes none away from the rest.
    assert measured.member.sum(axis=0).tolist() == [3, 1, 1]
    assert (dict(measured.held or {}), dict(measured.past or {})) == ({GOOD: 1}, {"vanished": 1})
    assert not segment_map.active(ON)[1]
    assert as_if_approved(segment_map, ON).active(ON).all()


def test_a_segment_below_its_floor_is_told_which_part_of_entry_keeps_most_leads_out() -> None:
    # Four oncologists, three of them in community centers, all with an unknown role.
    narrow = one(GOOD).model_copy(update={"enter": f"{one(GOOD).enter} AND role = 'nurse'"})
    measured = measure(small_world(), shipped(), SegmentMap([narrow, one(REST)], domain()), AS_OF)
    assert dict(measured.tightest or {}) == {GOOD: ("role is nurse", 3)}
    found = lint(SegmentMap([narrow, one(REST)], domain()), on=ON, settings=shipped(), measured=measured)
    (small,) = [finding for finding in found if finding.code == "TOO_SMALL"]
    assert small.reason.endswith("without `role is nurse` it would hold 3 of the data")
    everybody = one(GOOD).model_copy(update={"enter": "audience = 'hcp' AND specialty = 'oncology'"})
    measured = measure(small_world(), shipped(), SegmentMap([everybody, one(REST)], domain()), AS_OF)
    assert measured.tightest == {}


def test_a_handful_of_leads_is_measured_beside_an_overlay_that_nothing_tells_yet() -> None:
    hot = twin(enter=f"{one(GOOD).enter} AND band = 'hot'")
    measured = measure(small_world(), shipped(), SegmentMap([one(GOOD), hot, one(REST)], domain()), AS_OF)
    assert measured.member.sum(axis=0).tolist() == [3, 0, 1]


def test_jaccard_of_two_empty_sets_is_zero() -> None:
    nobody = np.zeros(3, dtype=bool)
    assert jaccard(nobody, nobody) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("campaign_id,segment_ids,started_on\nC1,a;b,2026-01-01\n", (Campaign("C1", ("a", "b"), date(2026, 1, 1)),)),
        ("campaign_id,segment_ids\nC1,\"['a', 'b']\"\n", (Campaign("C1", ("a", "b")),)),
        ('campaign_id,segment_ids\nC1,"[""a""]"\n', (Campaign("C1", ("a",)),)),
        ("campaign_id,name\nC1,first\n", (Campaign("C1", (), name="first"),)),
    ],
)  # fmt: skip
def test_campaigns_are_read_with_their_segments_however_these_are_listed(
    tmp_path: Path, text: str, expected: tuple[Campaign, ...]
) -> None:
    file = tmp_path / "campaigns.csv"
    file.write_text(text)
    assert read_campaigns(file) == expected


def test_a_campaign_without_id_or_with_a_day_that_is_none_is_named_by_row(tmp_path: Path) -> None:
    file = tmp_path / "campaigns.csv"
    file.write_text("campaign_id,ended_on\nC1,2026-01-01\n,2026-01-01\n")
    with pytest.raises(InputInvalid, match="row 2, column campaign_id"):
        read_campaigns(file)
    file.write_text("campaign_id,ended_on\nC1,soon\n")
    with pytest.raises(InputInvalid, match="row 1, column ended_on"):
        read_campaigns(file)
