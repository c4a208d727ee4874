"""Leadwell's side of the engagement benchmark: the spec of exactly its features, from a file to a matrix.

Files that do not fit into memory are split by lead first, as a rescore splits them by account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from benchmarks.engagement_world import AS_OF, CHANNELS, FIRST_LEAD, HALF_LIVES, KINDS, NAMES, TOPICS, WINDOWS, Matrix
from configs.measures import Decay, FeatureSettings
from configs.vocabulary import Vocabulary
from features.catalog import declared_features
from features.engagement import EngagementPlan
from features.pipeline import FeatureSpec, features_of
from features.tables import Tables, known_at

COLUMNS = ["lead_id", "kind", "topic", "channel", "occurred_at", "recorded_at"]
VOCABULARY_OF = {"kind": "event_kind", "topic": "topic", "channel": "event_channel"}
FORMS = {"occurred_at": "i8", "recorded_at": "i8", "lead": "i4", "kind": "u1", "topic": "u1", "channel": "u1"}
EVENTS_A_PART = 2_500_000


def settings_of_the_benchmark() -> FeatureSettings:
    """The measures of the 43 features."""
    return FeatureSettings(
        windows_days=WINDOWS,
        kinds=KINDS,
        topics=TOPICS,
        topic_window_days=90,
        depths=(),
        decays=tuple(Decay(name=name, half_life_days=days) for name, days in HALF_LIVES.items()),
        lead_fields=(),
        account_fields=(),
    )


@njit(nogil=True)
def mark(ids: Any, first: int, place: Any, rows: Any) -> None:
    """Note which ids occur, and each one's distance from the first."""
    for i in range(len(ids)):
        rows[i] = ids[i] - first
        place[ids[i] - first] = 1


@njit(nogil=True)
def look_up(place: Any, rows: Any) -> None:
    """Distances from the first id become rows, in place."""
    for i in range(len(rows)):
        rows[i] = place[rows[i]]


@njit(nogil=True)
def by_part(ids: Any, first: int, width: int, place: Any, order: Any, cuts: Any) -> None:
    """Rows in the order of their part, where each part starts, and each id's place in its part."""
    for i in range(len(ids)):
        cuts[(ids[i] - first) // width + 1] += 1
    for part in range(1, len(cuts)):
        cuts[part] += cuts[part - 1]
    free = cuts[:-1].copy()
    for i in range(len(ids)):
        part = (ids[i] - first) // width
        place[i] = ids[i] - first - part * width
        order[free[part]] = i
        free[part] += 1


@dataclass(frozen=True)
class Leadwell:
    """Our side: the spec of exactly these features."""

    spec: FeatureSpec
    vocabularies: Mapping[str, Vocabulary]

    @classmethod
    def prepared(cls) -> Leadwell:
        """Resolve the spec and compile the kernels."""
        words = {"event_kind": KINDS, "topic": TOPICS, "depth": (), "event_channel": CHANNELS}
        vocabularies = {name: Vocabulary.of(name, {value: [] for value in values}) for name, values in words.items()}
        settings = settings_of_the_benchmark()
        by_field = {feature.field: feature for feature in declared_features(settings, vocabularies)}
        features = tuple(by_field[name] for name in NAMES)
        plan = EngagementPlan.of(settings, vocabularies)
        return cls(FeatureSpec(features, settings, plan.values, {}, 0), vocabularies)

    def read(self, path: Path) -> Tables:
        """Read and encode a row group at a time, so that the file's own form is never held whole.

        Text becomes codes through the file's dictionaries, and ids become rows through one look-up.
        """
        file = pq.ParquetFile(path, read_dictionary=["kind", "topic", "channel"])
        size, events = file.metadata.num_rows, {}
        for name, kind in FORMS.items():
            events[name] = np.empty(size, dtype=kind)
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        bounds = [group.column(0).statistics for group in groups]
        first, last = min(bound.min for bound in bounds), max(bound.max for bound in bounds)
        place, at = np.zeros(last - first + 1, dtype=np.int32), 0
        for number, group in enumerate(groups):
            table, to = file.read_row_group(number, columns=COLUMNS), at + group.num_rows
            self._encode(table, {name: column[at:to] for name, column in events.items()})
            mark(table["lead_id"].combine_chunks().to_numpy(), first, place, events["lead"][at:to])
            at = to
        ids = np.flatnonzero(place) + first
        place[ids - first] = np.arange(len(ids))
        look_up(place, events["lead"])
        return tables_of(ids, events)

    def matrices(self, path: Path, leads: int, folder: Path) -> Iterator[Matrix]:
        """Features of every lead, part by part: one pass splits the events by lead, then each part is measured."""
        file = pq.ParquetFile(path, read_dictionary=["kind", "topic", "channel"])
        parts = 1 + file.metadata.num_rows // EVENTS_A_PART
        width = -(-leads // parts)
        with ExitStack() as stack:
            spill = [
                {name: stack.enter_context((folder / f"{part}.{name}").open("wb")) for name in FORMS}
                for part in range(parts)
            ]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=COLUMNS)
                rows = {name: np.empty(len(table), dtype=kind) for name, kind in FORMS.items()}
                self._encode(table, rows)
                order, cuts = np.empty(len(table), dtype=np.int32), np.zeros(parts + 1, dtype=np.int64)
                by_part(table["lead_id"].combine_chunks().to_numpy(), FIRST_LEAD, width, rows["lead"], order, cuts)
                for name, column in rows.items():
                    ordered = column.take(order)
                    for part in range(parts):
                        spill[part][name].write(ordered[cuts[part] : cuts[part + 1]].data)
        for part in range(parts):
            events = {name: np.fromfile(folder / f"{part}.{name}", dtype=kind) for name, kind in FORMS.items()}
            ids = np.arange(part * width, min(leads, (part + 1) * width))
            yield self.matrix(tables_of(ids, events))

    def _encode(self, table: pa.Table, into: Any) -> None:
        for name, vocabulary in VOCABULARY_OF.items():
            at = 0
            for chunk in table[name].chunks:
                of = [self.vocabularies[vocabulary].code(value) for value in chunk.dictionary.to_pylist()]
                codes, indices = np.array([*of, 0], np.uint8), chunk.indices.fill_null(len(of)).to_numpy()
                into[name][at : at + len(chunk)] = codes[indices]
                at += len(chunk)
        for name in ("occurred_at", "recorded_at"):
            into[name][:] = table[name].combine_chunks().cast(pa.int64()).to_numpy()

    def matrix(self, tables: Tables) -> Matrix:
        """Features of every lead."""
        return features_of(known_at(tables, AS_OF), self.spec).matrix


def tables_of(ids: NDArray[Any], events: Mapping[str, NDArray[Any]]) -> Tables:
    """Tables with events only."""
    none = np.empty(0, dtype=object)
    return Tables(ids, none, none, {}, {}, events, {}, {}, {}, {}, {}, {})
