"""Rows to learn from: labels by hand, no account on both sides, every row accounted for, and no knowledge of later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.mapping import NO_TIME, SourceMapping
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.intake.settle import REJECTS, root_of
from features.intake.sources import Intake
from features.pipeline import fit_spec
from features.records import Account, Event, Lead, Suppression
from features.tables import NO, YES, Tables, microseconds
from models.segments.map import SegmentMap
from policy.gates import forbidden_reason
from training.dataset.dataset import Dataset, build_dataset, build_flat_dataset, folds, gated, root_accounts
from training.dataset.targets import labels

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SHIPPED = load_settings()
SMALL: Settings = SHIPPED.model_copy(
    update={"training": SHIPPED.training.model_copy(update={"snapshots": 3, "holdout_share": 0.4})}
)
HORIZON = timedelta(days=SMALL.targets.served.horizon_days)
LATEST = AS_OF - HORIZON
SEGMENTS = SegmentMap.load(SHIPPED)
KIND = SHIPPED.vocabularies["outcome_kind"]
MICROSECOND = timedelta(microseconds=1)
LEADS = 300


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def outcomes(rows: Sequence[tuple[int, str, datetime, datetime]]) -> dict[str, NDArray[Any]]:
    """Columns of outcomes: lead, kind, when it happened, when it was recorded."""
    return {
        "lead": np.array([row[0] for row in rows], dtype=np.int32),
        "kind": np.array([KIND.code(row[1]) for row in rows], dtype=np.uint8),
        "occurred_at": np.array([microseconds(row[2]) for row in rows], dtype=np.int64),
        "recorded_at": np.array([microseconds(row[3]) for row in rows], dtype=np.int64),
    }


def world(
    parents: Mapping[int, int] | None = None,
    suppressions: Sequence[Suppression] = (),
    late: int = 0,
    later_events: Sequence[Event] = (),
) -> Tables:
    """LEADS leads, three to an account; in each horizon every third lead has a meeting on its last day.

    The last `late` leads were recorded only ten days before AS_OF.
    """
    accounts = [
        Account(account_id=f"A{a}", parent_account_id=f"A{parents[a]}" if parents and a in parents else None)
        for a in range(LEADS // 3)
    ]
    leads = [
        Lead(
            lead_id=f"L{i:04d}",
            account_id=f"A{i // 3}",
            country="US",
            audience="buyer",
            recorded_at=ago(10 if i >= LEADS - late else 300),
        )
        for i in range(LEADS)
    ]
    events = [
        Event(event_id=f"E{i}", lead_id=f"L{i:04d}", kind="email_click", occurred_at=ago(200 + i % 90),
              recorded_at=ago(200 + i % 90))
        for i in range(0, LEADS, 2)
    ]  # fmt: skip
    tables = encode_records(
        leads, accounts, [*events, *later_events], touches=[], consents=[], suppressions=list(suppressions), cases=[],
        vocabularies=SHIPPED.vocabularies, suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    # Row 3a of account a wins in every horizon: a third of every side. Once more before the first snapshot, so that
    # outcomes are seen to have been recorded since then.
    won = [(i, "meeting", day, day) for k in range(4) for i in range(0, LEADS, 3) for day in [ago(60 * k + 1)]]
    return replace(tables, outcomes=outcomes(won))


def build(tables: Tables, settings: Settings = SMALL) -> Dataset:
    return build_dataset(tables, settings, SEGMENTS, AS_OF)


@pytest.mark.parametrize(
    ("occurred", "recorded", "label"),
    [
        (LATEST, LATEST, False),  # at the snapshot: it was known
        (LATEST + MICROSECOND, AS_OF, True),
        (LATEST + HORIZON, LATEST + HORIZON, True),
        (LATEST + HORIZON + MICROSECOND, LATEST + HORIZON, False),
        (LATEST + timedelta(days=1), AS_OF + MICROSECOND, False),  # happened in time, not known yet
    ],
)
def test_a_label_is_an_outcome_after_the_snapshot_within_the_horizon_and_known_by_now(
    occurred: datetime, recorded: datetime, label: bool
) -> None:
    tables = replace(world(), outcomes=outcomes([(1, "meeting", occurred, recorded)]))
    found = labels(tables, SMALL, LATEST, AS_OF)
    assert found[1] == label
    assert not np.delete(found, 1).any()


def test_only_target_kinds_count_and_a_lead_that_is_not_here_counts_for_nobody() -> None:
    day = LATEST + timedelta(days=5)
    made = outcomes([(0, "inquiry", day, day), (1, "lost", day, day), (2, "demo", day, day), (-1, "demo", day, day)])
    found = labels(replace(world(), outcomes=made), SMALL, LATEST, AS_OF)
    assert np.flatnonzero(found).tolist() == [2]
    assert not labels(replace(world(), outcomes={}), SMALL, LATEST, AS_OF).any()


def test_labels_in_rows_are_those_of_their_snapshot() -> None:
    dataset = build(world())
    assert np.array_equal(dataset.y, (dataset.lead % 3 == 0).astype(float))
    assert sorted(set(dataset.order.tolist())) == [0.0, 1.0, 2.0]


def test_what_judges_is_later_than_what_trains_by_a_whole_horizon() -> None:
    settings = SMALL.model_copy(update={"training": SMALL.training.model_copy(update={"snapshot_every_days": 30})})
    dataset = build(world(), settings)
    # Snapshots 120, 90 and 60 days ago: the label of the middle one reaches into the time that judges.
    assert set(dataset.order[dataset.judge]) == {2.0}
    assert set(dataset.order[dataset.train]) == {0.0}
    assert dataset.counts["label overlaps the time that judges"] > 0


@examples(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, LEADS // 3 - 1), st.integers(0, 40), max_size=25), st.integers(0, 30))
def test_no_account_tree_is_on_both_sides_and_every_lead_and_snapshot_is_counted_once(
    parents: dict[int, int], late: int
) -> None:
    tables = world(parents, late=late)
    dataset = build(tables)
    assert not set(dataset.root[dataset.train]) & set(dataset.root[dataset.judge])
    assert not (dataset.train & dataset.judge).any()
    parts = dataset.train.astype(int) + dataset.judge + dataset.time_only
    left = ("held-out accounts before the latest snapshot", "label overlaps the time that judges")
    assert parts.max() == 1
    assert int((parts == 0).sum()) == sum(dataset.counts[name] for name in left)
    counts = dataset.counts
    assert counts["rows"] == len(dataset.y)
    assert counts["rows"] + counts["lead not known yet"] + counts["may not be learned from"] == LEADS * 3
    assert counts["lead not known yet"] == late * 3


@examples(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 11), min_size=12, max_size=12))
def test_a_lead_and_its_accounts_parent_always_share_a_root(parent: list[int]) -> None:
    found = root_of(np.array(parent, dtype=np.int64))
    for account, above in enumerate(parent):
        if above >= 0:
            assert found[account] == found[above]


def test_a_lead_without_account_is_its_own_root_and_colleagues_share_one() -> None:
    people = [Lead(lead_id=name, account_id=account, recorded_at=ago(9))
              for name, account in (("a", "X"), ("b", "Y"), ("c", None), ("d", None), ("e", "Z"))]  # fmt: skip
    accounts = [Account(account_id="X", parent_account_id="S"), Account(account_id="Y", parent_account_id="S")]
    root, ids = root_accounts(encode_records(people, accounts, vocabularies=SHIPPED.vocabularies), AS_OF)
    assert root[0] == root[1]
    assert len(set(root.tolist())) == 4
    assert ids[root[0]] == "account S"
    assert ids[root[2]] == "lead c"


def test_a_fold_depends_on_the_account_alone() -> None:
    ids = [f"account {i}" for i in range(4000)]
    fold, out = folds(ids, 5, 0.2)
    again, out_again = folds(ids[::-1], 5, 0.2)
    assert np.array_equal(fold, again[::-1])
    assert np.array_equal(out, out_again[::-1])
    assert np.bincount(fold) == pytest.approx([800] * 5, abs=100)
    assert out.mean() == pytest.approx(0.2, abs=0.02)
    # Held out or not says nothing about the fold.
    assert np.bincount(fold[out]) == pytest.approx([160] * 5, abs=50)


@examples(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, LEADS - 1), st.integers(-1, 200)), min_size=1, max_size=20))
def test_what_is_recorded_after_as_of_changes_nothing(rows: list[tuple[int, int]]) -> None:
    recorded = AS_OF + MICROSECOND
    late = [
        Event(event_id=f"late{i}", lead_id=f"L{lead:04d}", kind="demo_request", occurred_at=ago(days),
              recorded_at=recorded)
        for i, (lead, days) in enumerate(rows)
    ]  # fmt: skip
    before, after = world(), world(later_events=late)
    extra = outcomes([(lead, "meeting", ago(days), recorded) for lead, days in rows])
    grown = {name: np.concatenate([column, extra[name]]) for name, column in after.outcomes.items()}
    first, second = build(before), build(replace(after, outcomes=grown))
    assert first.dataset_id == second.dataset_id
    assert first.counts == second.counts


def test_an_event_recorded_late_is_known_to_later_snapshots_only() -> None:
    late = Event(
        event_id="x", lead_id="L0001", kind="demo_request", occurred_at=LATEST - timedelta(days=70),
        recorded_at=LATEST - timedelta(days=10),
    )  # fmt: skip
    first, second = build(world()), build(world(later_events=[late]))
    changed = ~np.isclose(first.X, second.X, equal_nan=True)
    named = [first.spec.names[j] for j in np.flatnonzero(changed.any(axis=0))]
    assert any("demo_request" in name for name in named)
    # L0001 and, through the account's roll-up, its two colleagues.
    assert set(first.lead[changed.any(axis=1)].tolist()) <= {0, 1, 2}
    assert set(first.order[changed.any(axis=1)].tolist()) == {2.0}


def test_the_order_of_rows_in_any_table_changes_nothing() -> None:
    tables = world()

    def turned(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: column[::-1].copy() for name, column in columns.items()}

    other = replace(
        tables,
        leads=turned(tables.leads),
        accounts=turned(tables.accounts),
        events=turned(tables.events),
        outcomes=turned(tables.outcomes),
    )
    assert build(tables).dataset_id == build(other).dataset_id


@pytest.mark.parametrize("reason", ["erasure", "restriction"])
def test_an_erased_or_restricted_lead_is_not_learned_from_even_where_the_snapshot_is_older(reason: str) -> None:
    stop = Suppression(lead_id="L0007", since_at=ago(1), reason=reason)
    dataset = build(world(suppressions=[stop]))
    assert 7 not in dataset.lead
    assert dataset.counts["may not be learned from"] == 3


@pytest.mark.parametrize("reason", ["erasure", "profiling_objection"])
def test_what_somebody_did_who_objected_since_is_in_no_colleagues_row_either(reason: str) -> None:
    asked = [
        Event(event_id=f"x{k}", lead_id="L0001", kind="demo_request", occurred_at=day, recorded_at=day)
        for k, day in enumerate([ago(65), ago(125), ago(185)])
    ]
    stop = Suppression(lead_id="L0001", since_at=ago(1), reason=reason)
    plain, stopped, never = (
        build(replace(world(suppressions=stops, later_events=events), colleagues=None))
        for stops, events in (([], asked), ([stop], asked), ([stop], []))
    )
    row = plain.lead == 2
    where = [name for name in plain.spec.names if name == "account_colleague_demo_request_count_90d"]
    column = plain.spec.names.index(where[0])
    assert plain.X[row, column].max() > 0  # the roll-up does see what a colleague asked for
    assert np.array_equal(stopped.X, never.X, equal_nan=True)


def test_an_objection_in_europe_is_obeyed_in_training_and_one_elsewhere_is_no_ground() -> None:
    # 9 objected only after the snapshots: what 9 did before would be processed now, so 9 is left out everywhere.
    since = {7: ago(900), 8: ago(900), 9: ago(1)}
    stops = [Suppression(lead_id=f"L{i:04d}", since_at=at, reason="profiling_objection") for i, at in since.items()]
    tables = world(suppressions=stops)
    country = tables.leads["country"].copy()
    country[7] = SHIPPED.vocabularies["country"].code("DE")
    dataset = build(replace(tables, leads={**tables.leads, "country": country}))
    assert 7 not in dataset.lead
    assert 8 in dataset.lead and 9 not in dataset.lead
    assert dataset.counts["basis lost since the snapshot"] > 0


def test_too_little_to_learn_from_is_said_with_the_counts() -> None:
    day = AS_OF - timedelta(days=3)
    rows = [(i, "meeting", day, day) for i in range(8)] + [(0, "demo", ago(250), ago(250))]
    few = replace(world(), outcomes=outcomes(rows))
    with pytest.raises(InputInvalid, match="expected at least 20 leads with and 20 without the outcome to train"):
        build(few)


def test_a_feature_that_may_never_be_learned_from_is_refused_by_name() -> None:
    spec = fit_spec(SHIPPED)
    wrong = replace(spec.features[0], name="fit_ethnicity")
    assert forbidden_reason(wrong.name)
    with pytest.raises(InputInvalid, match="fit_ethnicity"):
        gated(replace(spec, features=(wrong, *spec.features[1:])), SHIPPED)
    assert gated(spec, SHIPPED) is spec


MAPPING = SourceMapping.model_validate(
    {
        "name": "clinic", "says": "made by hand", "lead_id": "Id", "order_by": "No", "as_of": AS_OF,
        "outcome": "Won", "outcome_true": ["1"], "outcome_false": ["0"],
        "attributes": [{"column": "visits", "type": "number", "known_at": "before_outcome"}],
    }
)  # fmt: skip


def flat(
    order: NDArray[Any], account: Sequence[str | None] | None = None, outcome: NDArray[Any] | None = None
) -> Intake:
    """A flat export: every third lead won, its number of visits says so, and its order is given."""
    n = len(order)
    people = [
        Lead(lead_id=f"L{i:04d}", country="US", audience="buyer", recorded_at=ago(9),
             account_id=None if account is None else account[i])
        for i in range(n)
    ]  # fmt: skip
    tables = encode_records(
        people, suppressions=[], cases=[], vocabularies=SHIPPED.vocabularies, suppressions_complete_as_of=AS_OF
    )
    won = np.where(np.arange(n) % 3 == 0, YES, NO).astype(np.uint8) if outcome is None else outcome
    return Intake(
        replace(tables, attributes={"visits": np.arange(n) % 3 * 1.0}),
        pa.Table.from_pylist([], schema=REJECTS),
        {},
        order=np.asarray(order, dtype=float),
        outcome=won,
    )


def test_the_last_part_in_the_declared_order_judges_whatever_the_order_of_the_ids() -> None:
    order = np.random.default_rng(1).permutation(LEADS) * 10.0
    dataset = build_flat_dataset(flat(order), SMALL, SEGMENTS, MAPPING)
    # 60 % of 300 train.
    assert int(dataset.train.sum()) == 180
    assert int(dataset.judge.sum()) == 120
    assert order[dataset.lead[dataset.train]].max() < order[dataset.lead[dataset.judge]].min()
    assert np.array_equal(np.argsort(dataset.order), np.argsort(order[dataset.lead]))
    assert np.array_equal(dataset.y, (dataset.lead % 3 == 0).astype(float))


def test_rows_of_one_day_are_never_on_both_sides() -> None:
    # Ten days of thirty rows; 60 % would cut at row 180, which is the first of the seventh day.
    days = np.arange(LEADS) // 30 * 1.0
    shifted = np.where(np.arange(LEADS) < 200, np.minimum(days, 5.0), days)
    for order, trained in ((days, 180), (shifted, 150)):
        dataset = build_flat_dataset(flat(order), SMALL, SEGMENTS, MAPPING)
        assert int(dataset.train.sum()) == trained
        assert dataset.order[dataset.train].max() < dataset.order[dataset.judge].min()


@examples(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["A", "B", "C", None]), min_size=30, max_size=30), st.integers(0, 5))
def test_a_lead_or_account_that_judges_never_trains_in_a_flat_export(some: list[str | None], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(LEADS)
    accounts = [*some, *([None] * (LEADS - len(some)))]
    dataset = build_flat_dataset(flat(order, accounts), SMALL, SEGMENTS, MAPPING)
    assert not set(dataset.root[dataset.train]) & set(dataset.root[dataset.judge])
    assert len(set(dataset.lead.tolist())) == len(dataset.lead)
    counts = dataset.counts
    assert counts["train"] + counts["judge"] + counts["account also judges"] == counts["rows"] == LEADS


def test_an_export_of_one_time_has_no_months_and_says_that_what_judges_is_not_later() -> None:
    order = [float(k) for k in range(LEADS)]
    timed = build_flat_dataset(flat(order), SMALL, SEGMENTS, MAPPING)
    assert timed.timed and set(timed.slices["month"].tolist()) == {f"fifth {k}" for k in range(1, 6)}
    found = build_flat_dataset(flat(order), SMALL, SEGMENTS, MAPPING.model_copy(update={"order_by": NO_TIME}))
    assert not found.timed and "month" not in found.slices


def test_a_flat_row_without_order_or_outcome_is_counted_and_not_used() -> None:
    order = np.arange(LEADS) * 1.0
    order[5] = np.nan
    outcome = np.where(np.arange(LEADS) % 3 == 0, YES, NO).astype(np.uint8)
    outcome[6] = 0
    dataset = build_flat_dataset(flat(order, outcome=outcome), SMALL, SEGMENTS, MAPPING)
    assert dataset.counts["order or outcome not known"] == 2
    assert not {5, 6} & set(dataset.lead.tolist())
    with pytest.raises(InputInvalid, match="expected an export read for training"):
        build_flat_dataset(replace(flat(order), outcome=None), SMALL, SEGMENTS, MAPPING)


def test_every_row_names_its_slices_and_an_unknown_role_is_called_unknown() -> None:
    found = build_dataset(world(), SMALL, SEGMENTS, AS_OF)
    assert set(found.slices) == {"role", "setting", "jurisdiction", "source", "month"}
    assert all(len(names) == len(found.y) for names in found.slices.values())
    assert set(found.slices["role"].tolist()) <= {"unknown", *SHIPPED.vocabularies["role"].values}
    # The latest snapshot lies one horizon before the end: 30 June minus 60 days is 1 May.
    assert set(found.slices["month"][found.judge].tolist()) == {"2026-05"}
