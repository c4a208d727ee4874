"""Labels of further targets: each row by its segment and product, no label where time or history does not reach."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import pytest

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.targets import Override, Target
from features.tables import microseconds
from tests.test_training_dataset import AS_OF, SEGMENTS, SMALL, ago, outcomes, world
from training.dataset.dataset import build_dataset
from training.dataset.targets import Rule, TargetRules, chosen_targets, labelled, reached_before
from training.further import rows_for

MICROSECOND = timedelta(microseconds=1)
SNAPSHOT = ago(60)
LONG_AGO = [microseconds(ago(900))]
PRODUCTS = SMALL.vocabularies["product"]


def target(**given: object) -> Target:
    return Target.model_validate({"id": "ours", "says": "for a test", "kinds": ["demo"], "horizon_days": 60, **given})


def labels_of(one: Target, rows: list[tuple[int, str, datetime, datetime]], snapshot: datetime = SNAPSHOT, **more: int):
    rules = TargetRules.of(one, SMALL, SEGMENTS)
    tables = dataclasses.replace(BASE, outcomes=outcomes(rows))
    lead = np.arange(3)
    product = np.array([0, PRODUCTS.code("implant"), 0])
    return labelled(
        rules, tables, LONG_AGO * len(rules.rules), snapshot, AS_OF, (lead, np.full(3, -1), product), **more
    )


BASE = world()


@pytest.mark.parametrize(
    ("occurred", "label"),
    [
        (SNAPSHOT, False),
        (SNAPSHOT + MICROSECOND, True),
        (SNAPSHOT + timedelta(days=30), True),
        (SNAPSHOT + timedelta(days=30) + MICROSECOND, False),
    ],
)
def test_an_outcome_counts_after_the_snapshot_up_to_the_very_end_of_the_horizon(
    occurred: datetime, label: bool
) -> None:
    found = labels_of(target(horizon_days=30), [(0, "demo", occurred, occurred)])
    assert found.usable.all()
    assert found.y.tolist() == [label, False, False]


def test_a_row_whose_horizon_is_not_over_has_no_label_and_one_that_ends_now_has() -> None:
    early = (2, "demo", SNAPSHOT + timedelta(days=1), SNAPSHOT + timedelta(days=1))
    ends_now = labels_of(target(horizon_days=60), [early])
    assert ends_now.usable.all() and ends_now.y.tolist() == [False, False, True]
    too_late = labels_of(target(horizon_days=60), [early], SNAPSHOT + MICROSECOND)
    assert too_late.too_young.all() and not too_late.usable.any()
    # Not even one that got there already: it would say that only those with the outcome are old enough.
    assert not too_late.y.any()


def test_waiting_for_late_records_takes_as_many_days_from_what_is_complete() -> None:
    assert labels_of(target(horizon_days=50), [], settle_days=10).usable.all()
    assert labels_of(target(horizon_days=50), [], settle_days=11).too_young.all()


def test_a_product_has_its_own_outcome_and_days() -> None:
    asked = target(horizon_days=30, products={"implant": Override(kinds=("proposal",), horizon_days=60)})
    day = SNAPSHOT + timedelta(days=40)
    found = labels_of(asked, [(i, kind, day, day) for i in range(3) for kind in ("demo", "proposal")])
    assert found.days.tolist() == [30, 60, 30]
    assert found.y.tolist() == [False, True, False]  # 40 days later is within 60 and not within 30
    short = labels_of(asked, [(i, "demo", SNAPSHOT + MICROSECOND, AS_OF) for i in range(3)])
    assert short.y.tolist() == [True, False, True]  # a demo is not what counts for implants


def test_a_first_target_leaves_out_who_is_there_already() -> None:
    rows = [(0, "demo", SNAPSHOT, SNAPSHOT), (1, "demo", SNAPSHOT + MICROSECOND, AS_OF)]
    found = labels_of(target(first=True), rows)
    assert found.reached_already.tolist() == [True, False, False]
    assert found.y[found.usable].tolist() == [True, False]
    again = labels_of(target(), rows)
    assert again.usable.all() and again.y.tolist() == [False, True, False]


def test_what_was_recorded_after_now_was_reached_by_nobody() -> None:
    late = outcomes([(0, "demo", SNAPSHOT, AS_OF + MICROSECOND)])
    code = SMALL.vocabularies["outcome_kind"].code("demo")
    assert not reached_before(dataclasses.replace(BASE, outcomes=late), Rule((code,), 60), SNAPSHOT, AS_OF).any()


def test_an_outcome_recorded_since_after_the_snapshot_makes_its_rows_unusable_and_others_not() -> None:
    asked = target(products={"implant": Override(kinds=("quote",))})
    rules = TargetRules.of(asked, SMALL, SEGMENTS)
    demo, quote = (SMALL.vocabularies["outcome_kind"].code(kind) for kind in ("demo", "quote"))
    begun = [{(demo,): LONG_AGO[0], (quote,): microseconds(SNAPSHOT) + 1}[rule.kinds] for rule in rules.rules]
    rows = (np.arange(3), np.full(3, -1), np.array([0, PRODUCTS.code("implant"), 0]))
    found = labelled(rules, BASE, begun, SNAPSHOT, AS_OF, rows)
    assert found.not_recorded.tolist() == [False, True, False]
    at_once = labelled(rules, BASE, [microseconds(SNAPSHOT)] * len(begun), SNAPSHOT, AS_OF, rows)
    assert at_once.usable.all()
    never = labelled(rules, BASE, [None] * len(begun), SNAPSHOT, AS_OF, rows)
    assert never.not_recorded.all()


def test_targets_are_chosen_by_name_and_the_served_one_is_always_there() -> None:
    assert chosen_targets(SMALL, "") == ()
    assert chosen_targets(SMALL, "next_step") == ()
    assert [one.id for one in chosen_targets(SMALL, "sql, conversion")] == ["conversion", "sql"]
    assert [one.id for one in chosen_targets(SMALL, "all")] == [
        one.id for one in SMALL.targets.targets if not one.serves
    ]
    with pytest.raises(InputInvalid, match="no target is named demos; declared are next_step"):
        chosen_targets(SMALL, "demos,sql")


def declared(**given: object) -> Settings:
    targets = SMALL.targets.model_copy(update={"targets": (SMALL.targets.served, target(**given)), "funnel": ()})
    return SMALL.model_copy(update={"targets": targets})


def dataset(settings: Settings):
    return build_dataset(BASE, settings, SEGMENTS, AS_OF, further=[settings.targets.targets[1]])


def test_one_building_of_features_serves_several_targets_and_changes_nothing_of_the_served_one() -> None:
    alone = build_dataset(BASE, SMALL, SEGMENTS, AS_OF)
    both = dataset(declared(kinds=["meeting"]))
    assert both.dataset_id == alone.dataset_id
    assert dict(both.counts) == dict(alone.counts)
    # The world's outcomes are meetings alone, so this further target asks what the served one asks.
    same = rows_for(both, "ours")
    assert np.array_equal(same.y, alone.y)
    for part in ("train", "judge", "time_only"):
        assert np.array_equal(getattr(same, part), getattr(alone, part))


def test_a_longer_horizon_is_judged_on_an_earlier_snapshot_and_overlaps_no_training_label() -> None:
    # Snapshots 180, 120 and 60 days ago. 90 days are over for the first two; the middle one judges. A label from 180
    # days ago reaches to 90 days ago, into the time that judges: it does not train.
    own = dataset(declared(kinds=["meeting"], horizon_days=90)).further["ours"]
    assert own.counts["too young for the horizon"] == 300
    assert not own.train.any()
    assert own.counts["label overlaps the time that judges"] > 0
    # 60 days for everybody but implants: their rows have no label at the latest snapshot, so an earlier one judges.
    mixed = dataset(declared(kinds=["meeting"], products={"implant": {"horizon_days": 90}}))
    assert mixed.further["ours"].counts["too young for the horizon"] == 0  # the world names no product


def test_counts_of_a_further_target_add_up_to_the_rows_of_the_dataset() -> None:
    found = dataset(declared(kinds=["meeting"], horizon_days=90, first=True))
    counts = found.further["ours"].counts
    unlabelled = ("too young for the horizon", "outcomes not recorded yet at the snapshot", "reached it already")
    assert counts["rows"] + sum(counts[name] for name in unlabelled) == len(found.y)
    apart = (
        "held-out accounts before the latest snapshot", "label overlaps the time that judges",
        "later than what judges", "train", "judge", "time_only",
    )  # fmt: skip
    assert sum(counts[name] for name in apart) == counts["rows"]


def test_no_account_is_on_both_sides_of_a_further_target_either() -> None:
    own = rows_for(dataset(declared(kinds=["meeting"])), "ours")
    assert not set(own.root[own.train]) & set(own.root[own.judge])
    assert len(own.X) == len(own.y) == len(own.segment) == len(own.given) == len(own.slices["month"])
