"""Leaks planted in tables of a made world: what is written back, dated back, counted twice or known too early."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.settings import Settings, load_settings
from features import pipeline
from features.account import ROLL_UP, roll_up
from features.engagement import NEVER_COMMERCIAL, Measures
from features.facts import FactBuilder
from features.intake.sources import find_files, read_tables
from features.pipeline import features_of
from features.tables import MICROSECONDS_A_DAY, Known, Tables, microseconds
from features.view import view_at
from models.segments.map import SegmentMap
from training.dataset.dataset import Dataset, build_dataset, snapshot_days
from training.leakage.findings import FAILS, WARNS, Leak
from training.leakage.gate import look_at_tables
from training.leakage.recompute import until
from training.sample.world import make_sample

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
DAY = MICROSECONDS_A_DAY
Planted = tuple[Tables, Dataset]


@cache
def world() -> tuple[Settings, Tables, Dataset]:
    """A made world of 1,200 leads with nothing planted in it."""
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        make_sample(1_200, 5, Path(folder))
        tables = read_tables(find_files(Path(folder)), settings, assets=settings.assets, as_of=AS_OF).tables
    return settings, tables, built(settings, tables)


def built(settings: Settings, tables: Tables) -> Dataset:
    return build_dataset(tables, settings, SegmentMap.load(settings), AS_OF)


def look(tables: Tables, dataset: Dataset) -> list[Leak]:
    return list(look_at_tables(dataset, tables, world()[0], AS_OF).leaks)


def targets() -> NDArray[np.bool_]:
    settings, tables, _ = world()
    kinds = settings.vocabularies["outcome_kind"]
    return np.isin(tables.outcomes["kind"], [kinds.code(kind) for kind in settings.targets.served.kinds])


def more_events(kind: str, lead: NDArray[Any], at: NDArray[Any], recorded: NDArray[Any] | None = None) -> Tables:
    """The world's tables with further events of one kind, recorded when they happened unless said otherwise."""
    settings, tables, _ = world()
    events: Mapping[str, NDArray[Any]] = tables.events
    added = {name: np.zeros(len(lead), dtype=column.dtype) for name, column in events.items()}
    for name in ("account", "asset", "message"):
        added[name] -= 1
    added["lead"] = lead.astype(events["lead"].dtype)
    added["kind"] += settings.vocabularies["event_kind"].code(kind)
    # By a system that records nothing else of this kind.
    known = events["source"][events["kind"] == added["kind"][0]]
    added["source"] += next(code for code in range(1, 200) if code not in known)
    added["occurred_at"], added["recorded_at"] = at, at if recorded is None else recorded
    return replace(tables, events={name: np.concatenate([events[name], added[name]]) for name in events})


def unused_kind() -> str:
    settings, tables, _ = world()
    count = np.bincount(tables.events["kind"], minlength=256)
    kinds = [kind for kind in settings.features.kinds if kind not in NEVER_COMMERCIAL]
    return min(kinds, key=lambda kind: int(count[settings.vocabularies["event_kind"].code(kind)]))


def made_of_outcomes() -> Planted:
    _, tables, dataset = world()
    rows = targets()
    return more_events(
        unused_kind(), tables.outcomes["lead"][rows], tables.outcomes["occurred_at"][rows] - 7 * DAY
    ), dataset


def dated_back() -> Planted:
    settings, tables, _ = world()
    rows = targets()
    early = np.random.default_rng(1).integers(1 * DAY, 25 * DAY, int(rows.sum()))
    at = tables.outcomes["occurred_at"][rows] - early
    changed = more_events(unused_kind(), tables.outcomes["lead"][rows], at)
    return changed, built(settings, changed)


def booked_ahead() -> Planted:
    _, tables, dataset = world()
    recorded = tables.outcomes["recorded_at"].copy()
    # A third of the outcomes was put on record three weeks before it is said to happen.
    third = np.arange(len(recorded)) % 3 == 0
    recorded[third] = tables.outcomes["occurred_at"][third] - 21 * DAY
    return replace(tables, outcomes={**tables.outcomes, "recorded_at": recorded}), dataset


def verified_when_won() -> Planted:
    settings, tables, _ = world()
    verified = np.minimum(tables.leads["verified_at"], tables.leads["recorded_at"])
    won = tables.outcomes["lead"][targets()]
    last = np.zeros(len(tables.lead_ids), dtype=np.int64)
    np.maximum.at(last, won, tables.outcomes["occurred_at"][targets()])
    verified = np.where(last[tables.leads["lead"]] > 0, last[tables.leads["lead"]], verified)
    changed = replace(tables, leads={**tables.leads, "verified_at": verified})
    return changed, built(settings, changed)


def stage_written_over() -> Planted:
    settings, tables, _ = world()
    won = np.zeros(len(tables.lead_ids), dtype=np.bool_)
    days = snapshot_days(settings, AS_OF)
    late = targets() & (tables.outcomes["occurred_at"] > microseconds(days[0]))
    won[tables.outcomes["lead"][late]] = True
    stage = np.where(won[tables.leads["lead"]], 2, 1).astype(tables.leads["lifecycle"].dtype)
    changed = replace(tables, leads={**tables.leads, "lifecycle": stage})
    return changed, built(settings, changed)


def recorded_early() -> Planted:
    _, tables, dataset = world()
    lead = np.arange(200) % len(tables.lead_ids)
    at = np.full(200, microseconds(AS_OF - timedelta(days=100))) + np.arange(200) * 1_000_003
    return more_events(unused_kind(), lead, at, at - 2 * DAY), dataset


def read_too_late(column: str) -> Dataset:
    """The rows with one column as it was known when the data were taken, not at the snapshot."""
    settings, tables, dataset = world()
    builder = FactBuilder.of(settings).weighing_as(dataset.spec, settings.vocabularies)
    later = features_of(view_at(tables, AS_OF, builder.view), dataset.spec).matrix
    X, place = dataset.X.copy(), dataset.spec.names.index(column)
    X[:, place] = later[dataset.lead, place]
    return replace(dataset, X=X)


def knew_later() -> Planted:
    return world()[1], read_too_late("engagement_event_count_30d")


def one_person_twice() -> Planted:
    """Leads that judge get, under their own id, the events of one that trains: as if exported twice."""
    _, tables, dataset = world()
    count = np.bincount(tables.events["lead"][tables.events["lead"] >= 0], minlength=len(tables.lead_ids))
    trains = np.array([lead for lead in np.unique(dataset.lead[dataset.train]).tolist() if count[lead] > 10])[:30]
    judges = np.unique(dataset.lead[dataset.judge])[:30]
    to = np.full(len(tables.lead_ids) + 1, -1)
    to[trains] = judges
    copied = np.flatnonzero(to[tables.events["lead"]] >= 0)
    events = {
        name: np.concatenate([column, to[column[copied]].astype(column.dtype) if name == "lead" else column[copied]])
        for name, column in tables.events.items()
    }
    return replace(tables, events=events), dataset


PLANTS: list[tuple[str, str, str, Callable[[], Planted]]] = [
    ("EVENT_OF_OUTCOME", "", FAILS, made_of_outcomes),
    ("EVENT_BEFORE_OUTCOME", "", FAILS, dated_back),
    ("OUTCOME_KNOWN_BEFORE", "occurred_at", FAILS, booked_ahead),
    ("RECORD_OVERWRITTEN", "verified_at", FAILS, verified_when_won),
    ("TARGET_IN_DISGUISE", "lifecycle", FAILS, stage_written_over),
    ("RECORDED_EARLY", "", WARNS, recorded_early),
    ("FEATURE_KNEW_LATER", "engagement_event_count_30d", FAILS, knew_later),
    ("SAME_PERSON_TWICE", "", FAILS, one_person_twice),
]


def test_a_roll_up_that_counts_the_lead_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, tables, _ = world()
    proper, row = roll_up, ROLL_UP.index("colleague_event_count_90d")

    def with_own(known: Known, measures: Measures, *rules: Any) -> NDArray[np.int32]:
        found = proper(known, measures, *rules)
        found[row] += np.maximum(measures.of("event_count_90d"), 0)
        return found

    monkeypatch.setattr(pipeline, "roll_up", with_own)
    found = look(tables, built(settings, tables))
    assert [(leak.id, leak.column, leak.level) for leak in found] == [
        ("ROLL_UP_OF_OWN", "account_colleague_event_count_90d", FAILS)
    ]


def test_tables_until_a_snapshot_have_nothing_of_later() -> None:
    settings, tables, _ = world()
    snapshot = snapshot_days(settings, AS_OF)[0]
    cut = microseconds(snapshot)
    found = until(tables, snapshot)
    assert 0 < len(found.events["lead"]) < len(tables.events["lead"])
    assert max(found.events["recorded_at"].max(), found.events["occurred_at"].max()) <= cut
    assert found.leads["recorded_at"].max() <= cut < tables.leads["recorded_at"].max()
    assert found.outcomes["recorded_at"].max() <= cut < tables.outcomes["recorded_at"].max()


def test_a_made_world_in_which_nothing_was_planted_has_no_leak() -> None:
    _, tables, dataset = world()
    assert [str(leak) for leak in look(tables, dataset)] == []


@pytest.mark.parametrize(("id_", "column", "level", "plant"), PLANTS, ids=[p[3].__name__ for p in PLANTS])
def test_a_leak_planted_in_tables_is_caught_with_its_id_and_place(
    id_: str, column: str, level: str, plant: Callable[[], Planted]
) -> None:
    tables, dataset = plant()
    found = look(tables, dataset)
    caught = [leak for leak in found if leak.id == id_]
    assert level in {leak.level for leak in caught}, [str(leak) for leak in found]
    places = {leak.column.partition(" from ")[0] for leak in caught}
    assert (column or unused_kind() if caught[0].table == "events" else column) in places
