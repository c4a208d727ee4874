"""Thresholds on held-out leads: chosen for capacity or cost, scaled to a month, told with intervals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from configs.settings import Settings, load_settings
from configs.thresholds import ThresholdSettings
from models.bands import CUT_BANDS
from models.shares import wilson
from training.thresholds.thresholds import Held, brings, choose_thresholds, sweep

TEN = np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01])
Y = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], dtype=np.float64)
IDS = ("nurses", "buyers")


def _held(p: Any = TEN, y: Any = Y, segment: Any = None, volume: float = 1.0, **others: Any) -> Held:
    p = np.asarray(p, dtype=np.float64)
    found = Held(
        y=np.asarray(y, dtype=np.float64),
        probability=p,
        known=np.ones(len(p), dtype=np.bool_),
        segment=np.zeros(len(p), dtype=np.int64) if segment is None else np.asarray(segment, dtype=np.int64),
        cluster=np.arange(len(p)),
        volume=np.full(len(p), volume),
        weight=np.ones(len(p)),
        answer=np.full(len(p), -1, dtype=np.int8),
        segment_ids=IDS,
        timed=True,
        says="ten leads a month",
    )
    return replace(found, **others)


@cache
def _shipped() -> Settings:
    return load_settings()


def _settings(**said: Any) -> Settings:
    rules = ThresholdSettings.model_validate({"min_rows": 1, "min_above": 1, **said})
    return _shipped().model_copy(update={"thresholds": rules})


def test_nothing_declared_keeps_the_cuts_of_today_and_only_tells_what_they_bring() -> None:
    found = choose_thresholds(_held(), _shipped())
    assert not found.declared and found.cuts == {"default": _shipped().training.bands}
    assert found.record() == {"declared": False, "cuts": {"default": _shipped().training.bands}}
    everybody = found.group("all")
    assert everybody.follows == "default" and everybody.default == ()
    # 0.35 and above: five of ten leads, three of them with the outcome.
    assert everybody.band("hot").brings.rows == 5 and everybody.band("hot").brings.precision.value == 0.6


def test_a_capacity_of_six_where_a_row_stands_for_two_leads_is_three_rows() -> None:
    found = choose_thresholds(_held(volume=2.0), _settings(all={"capacity": 6}))
    hot = found.group("all").band("hot")
    assert found.cuts["default"]["hot"] == hot.cut == pytest.approx(0.6)
    told = hot.brings
    assert (told.rows, told.volume.value, told.steps) == (3, 6.0, pytest.approx(4.0))
    assert told.precision.value == pytest.approx(2 / 3) and told.predicted == pytest.approx(0.8)
    # Two of the four who got there; leads of their own accounts are as many as they are.
    assert told.captured.value == 0.5
    assert (told.precision.low, told.precision.high) == pytest.approx(wilson(2, 3))
    assert (told.volume.low, told.volume.high) == pytest.approx(tuple(20 * end for end in wilson(3, 10)))


def test_each_band_has_a_capacity_of_its_own_and_takes_the_next_most_ready() -> None:
    found = choose_thresholds(_held(), _settings(all={"capacity": {"hot": 2, "warm": 3, "warming": 1}}))
    rows = {one.band: one.brings.rows for one in found.group("all").bands}
    assert rows == {"hot": 2, "warm": 3, "warming": 1, "cold": 4}


def test_value_and_cost_cut_where_a_contact_pays_and_need_no_leads_at_all() -> None:
    found = choose_thresholds(_held(p=TEN[:1], y=Y[:1]), _settings(min_rows=50, all={"value": 1000, "cost": 125}))
    assert found.cuts["default"] == pytest.approx({"cold": 0, "warming": 0.125 / 7, "warm": 0.375 / 7, "hot": 0.125})


def test_with_capacity_and_cost_the_higher_cut_counts() -> None:
    few = choose_thresholds(_held(), _settings(all={"capacity": 3, "value": 100, "cost": 45}))
    many = choose_thresholds(_held(), _settings(all={"capacity": 6, "value": 100, "cost": 45}))
    assert few.cuts["default"]["hot"] == pytest.approx(0.6) and many.cuts["default"]["hot"] == 0.45


def test_a_segment_of_its_own_is_cut_by_its_leads_and_the_others_share_the_capacity_of_all() -> None:
    segment = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    found = choose_thresholds(
        _held(segment=segment), _settings(all={"capacity": 2}, segments={"buyers": {"capacity": 1}})
    )
    # Nurses have 0.9, 0.7, 0.4, ...: two fit; of buyers with 0.8, 0.5, ... one does.
    assert found.cuts["default"]["hot"] == pytest.approx(0.55) and found.cuts["buyers"]["hot"] == pytest.approx(0.65)
    assert [(one.id, one.follows, one.rows) for one in found.groups] == [
        ("all", "all", 5), ("nurses", "all", 5), ("buyers", "own", 5),
    ]  # fmt: skip
    assert found.group("buyers").default != ()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_rows": 6}, "5 held-out leads of whom a band is said, 6 are needed"),
        ({"min_above": 2}, "a capacity of 1 hot leads a month is 1 of 5 held-out leads, 2 are needed"),
    ],
)
def test_a_segment_too_small_to_tell_is_cut_like_all_and_says_why(limits: dict[str, int], reason: str) -> None:
    declared = _settings(all={"value": 10, "cost": 5}, segments={"buyers": {"capacity": 1}}, **limits)
    found = choose_thresholds(_held(segment=[0, 1] * 5), declared)
    assert set(found.cuts) == {"default"}
    # Who is not cut alone is among all.
    assert found.group("all").rows == 10
    assert (found.group("buyers").follows, found.group("buyers").reason) == ("all", reason)


def test_a_capacity_that_all_cannot_carry_leaves_the_default_and_says_why() -> None:
    found = choose_thresholds(_held(), _settings(min_rows=11, all={"capacity": 3}))
    assert found.cuts == {"default": _shipped().training.bands}
    assert found.group("all").follows == "default" and "10 held-out leads" in found.group("all").reason


def test_a_segment_without_any_held_out_lead_is_named_all_the_same() -> None:
    found = choose_thresholds(_held(), _settings(segments={"buyers": {"capacity": 1}}))
    assert found.group("buyers").rows == 0 and found.group("buyers").reason.startswith("0 held-out leads")


def test_a_rule_for_a_segment_that_holds_nobody_is_not_lost_in_silence() -> None:
    found = choose_thresholds(_held(), _settings(segments={"retired": {"value": 10, "cost": 5}}))
    assert found.group("retired").reason.startswith("it holds nobody") and set(found.cuts) == {"default"}


def test_a_flat_export_knows_no_month_and_takes_no_capacity_without_being_told() -> None:
    found = choose_thresholds(_held(timed=False, says="no months"), _settings(all={"capacity": 3}))
    assert found.per == "of 1,000 leads" and "leads_a_month" in found.group("all").reason


def test_a_lead_whose_band_is_unknown_is_in_no_band_but_counts_among_all() -> None:
    known = np.array([False, *[True] * 9])
    found = choose_thresholds(_held(known=known), _settings(all={"capacity": 3}))
    assert found.cuts["default"]["hot"] == pytest.approx(0.45)
    told = found.group("all").band("hot").brings
    # 0.8, 0.7 and 0.5 are hot; the unknown one got there, too, and nobody would have contacted it.
    assert told.rows == 3 and told.captured.value == 0.5


def test_an_outcome_that_nobody_saw_is_no_failure() -> None:
    weight = np.array([1, 1, 0, 1, 1, 1, 1, 1, 1, 1], dtype=np.float64)
    told = brings(_held(weight=weight), TEN >= 0.6)
    assert told.rows == 3 and told.volume.value == 3.0 and told.precision.value == 1.0


def test_leads_of_one_account_make_an_interval_wider() -> None:
    apart, together = (
        brings(_held(cluster=np.array(c)), TEN > 0.05) for c in (range(10), [0, 0, 1, 0, 1, 1, 0, 1, 2, 3])
    )
    assert apart.precision.value == together.precision.value
    assert together.precision.low is not None and apart.precision.low is not None
    assert together.precision.low < apart.precision.low


def test_what_sales_took_is_told_of_those_it_answered_for() -> None:
    answer = np.array([1, 0, -1, 1, 0, 0, -1, -1, -1, -1], dtype=np.int8)
    told = brings(_held(answer=answer), TEN >= 0.5)
    assert told.answered == 3 and told.taken.value == pytest.approx(2 / 3)
    assert brings(_held(), TEN >= 0.5).taken.value is None


def test_a_range_of_cuts_tells_volume_precision_and_what_is_earned() -> None:
    rule = _settings(all={"value": 10, "cost": 4}).thresholds.all
    lines = sweep(_held(), {"hot now": 0.35, "cold": 0.0}, rule, shares=(0.1, 0.3))
    assert [(one.what, one.brings.rows) for one in lines] == [("top 10%", 1), ("top 30%", 3), ("hot now", 5)]
    # Steps 1, 2, 3 at 10 each less 1, 3, 5 contacts at 4 each.
    assert [one.net for one in lines] == pytest.approx([6.0, 8.0, 10.0])


def test_the_record_is_plain_and_short_of_nothing_declared() -> None:
    record = choose_thresholds(_held(), _settings(all={"capacity": 3})).record()
    assert record["declared"] and record["cuts"]["default"]["hot"] == pytest.approx(0.6)
    assert record["groups"][0]["bands"][0]["brings"]["volume"]["value"] == 3.0


HELD = st.integers(5, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(1e-5, 1 - 1e-5), min_size=n, max_size=n),
        st.lists(st.integers(-1, 1), min_size=n, max_size=n),
        st.integers(0, 2**20),
    )
)


@law(deadline=None, max_examples=25)
@given(HELD, st.floats(0.1, 40), st.floats(0.1, 40))
def test_no_outcome_moves_a_cut_and_no_band_overruns_its_capacity(
    drawn: tuple[list[float], list[int], int], everybody: float, buyers: float
) -> None:
    p, segment, seed = drawn
    y = np.random.default_rng(seed).integers(0, 2, len(p))
    declared = _settings(all={"capacity": everybody}, segments={"buyers": {"capacity": {"hot": buyers, "warm": 3}}})
    found, other = (choose_thresholds(_held(p, one, segment), declared) for one in (y, 1 - y))
    assert found.cuts == other.cuts
    for cuts in found.cuts.values():
        assert list(cuts) == list(CUT_BANDS) and all(low < high for low, high in pairwise(cuts.values()))
    for name, capacity in (("all", everybody), ("buyers", buyers)):
        group = found.group(name)
        if group.follows in ("own", "all") and (name == "all" or group.follows == "own"):
            assert (group.band("hot").brings.volume.value or 0.0) <= capacity * (1 + 1e-9)
        assert sum(one.brings.rows for one in group.bands) == group.rows
