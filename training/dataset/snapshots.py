"""One snapshot after another: features as known then, labels of every target, and what became of every lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.links import follow_links
from features.tables import Tables, microseconds
from features.use.permitted import kinds_lost, permitted
from features.view import ViewRules, view_at
from training.dataset.censoring import SnapshotLine, Starts, event_truncation, window_days
from training.dataset.rows import Rows
from training.dataset.targets import Labelled, TargetRules, labelled, product_of

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of one snapshot by column, None where there is none; `line` counts every lead once.

    `too_young` leads are known now and were not then. `lost` leads may be learned from now, but for something known
    then that lost its lawful basis since; they are among `line.not_learned_from`.
    """

    columns: Mapping[str, NDArray[Any]] | None
    line: SnapshotLine
    too_young: int
    lost: int


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What every snapshot is built from: the tables as read, with what is lawful now, and with today's links.

    `learnable` leads may be learned from now and `present` ones are known now. `recorded` has for each target since
    when the outcomes of each of its rules were recorded.
    """

    tables: Tables
    lawful: Tables
    linked: Tables
    rows: Rows
    settings: Settings
    as_of: datetime
    targets: Sequence[TargetRules]
    starts: Starts
    recorded: Sequence[Sequence[int | None]]
    learnable: Bools
    present: Bools

    @classmethod
    def of(
        cls, tables: Tables, lawful: Tables, settings: Settings, rows: Rows, as_of: datetime, targets: list[TargetRules]
    ) -> Snapshots:
        """Look once at what is known now."""
        starts = Starts.of(tables, settings, as_of)
        now = view_at(tables, as_of, rows.builder.view)
        return cls(
            tables=tables,
            lawful=lawful,
            linked=follow_links(tables, as_of, rows.builder.view.links),
            rows=rows,
            settings=settings,
            as_of=as_of,
            targets=targets,
            starts=starts,
            recorded=[[starts.of_outcomes(tables, rule.kinds, as_of) for rule in one.rules] for one in targets],
            learnable=rows.may_learn_from(now),
            present=now.present,
        )

    def at(self, number: int, snapshot: datetime) -> Snapshot:
        """The rows of a snapshot with a label of the served target; `number` becomes their order.

        INVARIANT: a row's features know nothing recorded after its snapshot, and its label nothing recorded after
        `as_of`.
        INVARIANT: a snapshot from before outcomes were recorded has no rows: nobody failed whom nobody watched.
        """
        view, history = self.rows.builder.view, self.settings.targets.history
        known = view_at(self.lawful, snapshot, view)
        # What came of a person with several records is what came of any of them.
        people = follow_links(self.tables, snapshot, view.links)
        # Leaving out only the data that lost its basis would tell the model who is going to withdraw.
        lost = kinds_lost(people, self.linked, snapshot, self.as_of, view.use)
        lawfully = known.present & self.learnable & ~lost
        short, cut = event_truncation(known, self.starts, window_days(self.settings), history.min_event_days)
        covered = any(start is not None and start <= microseconds(snapshot) for start in self.recorded[0])
        kept = np.flatnonzero(lawfully & ~short) if covered else np.empty(0, dtype=np.intp)
        columns = None
        if len(kept):
            features = self.rows.of(known, kept)
            of = (kept, features["segment"], product_of(known, kept))
            each = [
                labelled(target, people, begun, snapshot, self.as_of, of, settle_days=history.settle_days)
                for target, begun in zip(self.targets, self.recorded, strict=True)
            ]
            usable = each[0].usable
            columns = {name: column[usable] for name, column in (features | _label_columns(each, number)).items()}
            kept = kept[usable]
        line = SnapshotLine(
            day=snapshot.date(),
            leads=len(known.present),
            rows=len(kept),
            not_known_yet=int((~known.present).sum()),
            not_learned_from=int((known.present & ~lawfully).sum()),
            outcomes_not_recorded=int((lawfully & ~short).sum()) - len(kept),
            events_too_short=int((lawfully & short).sum()),
            truncated=int(cut[kept].sum()),
        )
        return Snapshot(
            columns,
            line,
            too_young=int((self.present & self.learnable & ~known.present).sum()),
            lost=int((known.present & self.learnable & lost).sum()),
        )


def lawful_now(tables: Tables, as_of: datetime, rules: ViewRules) -> Tables:
    """The tables with events that may not be used at `as_of` belonging to nobody, whenever they happened.

    INVARIANT: what lost its basis since a snapshot is processed for nobody's row: a lead's own row is left out, and
    this takes it out of the colleagues' roll-up and of what is learned about mail domains.
    """
    people = follow_links(tables, as_of, rules.links)
    used = permitted(people, as_of, rules.use).events
    if used is people.events:
        return tables
    gone = (used["lead"] < 0) & (people.events["lead"] >= 0)
    lead = np.where(gone, np.int32(-1), tables.events["lead"]).astype(np.int32)
    return replace(tables, events={**tables.events, "lead": lead})


def _label_columns(each: Sequence[Labelled], number: int) -> dict[str, NDArray[Any]]:
    """What a snapshot adds to its rows: the order, the served label, and those of every target with their days."""
    found: dict[str, NDArray[Any]] = {
        "y": each[0].y.astype(np.float64),
        "order": np.full(len(each[0].y), number, dtype=np.float64),
    }
    for place, one in enumerate(each):
        found |= {
            f"target {place} y": one.y.astype(np.float64),
            f"target {place} days": one.days,
            f"target {place} young": one.too_young,
            f"target {place} unrecorded": one.not_recorded,
            f"target {place} already": one.reached_already,
        }
    return found
