"""`leadwell segments apply`: who is in which segment now, and every move since the last run.

Four steps, each a value that the next one takes: `evaluate` (facts of everybody, and what holds for whom), `fold`
(memberships now, from those before), `moves` (what differs, and why), `write` (the state, in one step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.sources import read_tables
from models.segments.moves import changes_between, moves_table
from models.segments.reevaluation import Marks
from models.segments.statuses import StatusRules
from serving.files import only_writer, whole_or_nothing
from serving.memberships.accounts import ACCOUNT_MEMBERSHIPS, accounts_of
from serving.memberships.firing import watched_table
from serving.memberships.placing import (
    FORBIDDEN,
    HERE,
    UNSURE,
    Evaluated,
    Folded,
    evaluate,
    fold_all,
    marks_of,
    of_all_others,
)
from serving.memberships.stages import JOURNEYS, journeys_hash, staged, stages_in
from serving.memberships.state import STAGES, State, held_table, read_state, write_state
from serving.memberships.whys import whys

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run did: sizes before and after by segment, moves by segment and kind, and for whom triggers fired.

    `changed` is False where the state was left as it was. `waiting` overlays had no readiness to be judged by.
    `placed` leads were evaluated, because anything may have changed for them; `everybody` says why all of them were.
    `moves` are of leads; those of accounts are counted only, and those of stage by kind, old and new.
    """

    state: Path
    as_of: datetime
    since: datetime | None
    leads: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    moves: Mapping[tuple[str, str], int]
    fired: Mapping[str, int]
    changed: bool
    rejected: int
    waiting: tuple[str, ...] = ()
    below_hygiene: tuple[str, ...] = ()
    forbidden: int = 0
    unsure: int = 0
    placed: int = 0
    everybody: str = ""
    account_moves: int = 0
    stage_moves: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


def apply(
    files: Mapping[str, Path],
    settings: Settings,
    out: Path,
    as_of: datetime,
    *,
    scores: Path | None = None,
    suppressions_complete_as_of: datetime | None = None,
    progress: Progress | None = None,
) -> Applied:
    """Fold everybody's memberships and put the new state at `out` in one step.

    Args:
        files: table -> file, folder or pattern, as from `find_files`; `memberships` counts at a first run only.
        settings: the configuration.
        out: folder of the state; a new one, or that of an earlier run.
        as_of: the instant to place everybody for; not before that of the state.
        scores: the result of `leadwell rescore` for the same instant; without it overlays wait.
        suppressions_complete_as_of: until when the suppression feed is complete, where its file does not say.
        progress: told what is done, and how much of the whole.

    Raises:
        InputInvalid: the state is later than `as_of`, damaged, or being written; the scores are of another instant.

    INVARIANT: doing it again with the same data and instant changes nothing.
    """
    told = progress or (lambda what, part: None)
    with only_writer(out):
        state = read_state(out)
        if state is not None and as_of < state.as_of:
            raise InputInvalid(str(out), f"expected --as-of not before that of the state, {state.as_of.isoformat()}")
        told("reading tables", 0.05)
        used = files if state is None else {name: path for name, path in files.items() if name != "memberships"}
        intake = read_tables(
            used, settings, assets=settings.assets, as_of=as_of,
            suppressions_complete_as_of=suppressions_complete_as_of,
        )  # fmt: skip
        told("building facts", 0.4)
        now = evaluate(intake.tables, settings, as_of, state, intake=intake, scores=scores)
        told("folding memberships", 0.7)
        folded = fold_all(now, settings)
        told("finding moves", 0.8)
        moves = moves_of(now, folded, settings)
        memberships = held_table(folded.after, folded.ids, pa.array(folded.segment_ids, pa.string()))
        watched = watched_table(now.watched, now.facts, now.segment_map.domain, settings.triggers)
        others = of_all_others(now, state)
        if others is not None:
            memberships = pa.concat_tables([memberships, others.memberships])
            watched = pa.concat_tables([watched, others.watched])
        memberships = memberships.sort_by([("lead_id", "ascending"), ("segment_id", "ascending")])
        watched, marks = watched.sort_by("lead_id"), marks_of(now, folded, state)
        ids, names = folded.ids, pa.array(folded.segment_ids, pa.string())
        earlier = held_table(folded.before, ids, names) if state is None else state.memberships
        before, after = _sizes(earlier, folded.segment_ids), _sizes(memberships, folded.segment_ids)
        done = _applied(out, now, moves, intake.rejects.num_rows, state, before, after, marks)
        accounts, account_moves = accounts_of(intake.tables, memberships, now, state, settings)
        moves, done = pa.concat_tables([moves, account_moves]), replace(done, account_moves=account_moves.num_rows)
        now_staged = staged(now, state, settings)
        done = replace(done, stage_moves=_counted(now_staged.moves))
        still = not moves.num_rows and not now_staged.moves.num_rows and stages_in(state) is not None
        if state is not None and as_of == state.as_of and still and memberships.equals(state.memberships):
            return replace(done, changed=False)
        told("writing", 0.9)
        with whole_or_nothing(out) as fresh:
            said = _said(done, now, settings)
            beside = {ACCOUNT_MEMBERSHIPS: accounts, STAGES: now_staged.stages}
            write_state(fresh, state, memberships, watched, moves, said, marks, beside, now_staged.moves)
        return done


def moves_of(now: Evaluated, folded: Folded, settings: Settings) -> pa.Table:
    """Every change as a row of the event stream."""
    before, after = folded.before, folded.after
    changes = changes_between(before, after, len(folded.segment_ids))
    statuses = StatusRules.of(settings, now.segment_map.domain)
    facts = now.facts if now.told is None else now.told.facts(now.facts, 0, now.facts.n)
    why = whys(changes, before, after, facts, now.segment_map, folded.endings, statuses, now.known.as_of)
    unit, segment = changes.of("unit", before, after), changes.of("segment", before, after)
    # Nothing fires for a lead that is no more.
    masks = np.append(now.firing.masks, np.zeros(len(folded.ids) - now.facts.n, dtype=np.uint64))
    return moves_table(
        changes,
        before,
        after,
        unit="lead",
        ids=folded.ids,
        segment_ids=folded.segment_ids,
        at=now.known.as_of_us,
        why=why,
        triggers=masks[unit] & now.firing.of_segments(folded.segment_ids)[segment],
        trigger_ids=now.firing.ids,
        segment_map=now.map_hash,
    )


def _applied(
    out: Path,
    now: Evaluated,
    moves: pa.Table,
    rejected: int,
    state: State | None,
    before: Mapping[str, int],
    after: Mapping[str, int],
    marks: Marks,
) -> Applied:
    counts: dict[tuple[str, str], int] = {}
    for one in moves.group_by(["segment_id", "kind", "new"]).aggregate([([], "count_all")]).to_pylist():
        key = (one["segment_id"], one["new"] if one["kind"] == "status" else one["kind"])
        counts[key] = counts.get(key, 0) + one["count_all"]
    map_ = now.segment_map
    waiting = () if now.told is not None else tuple(np.array(map_.segment_ids)[map_.overlays].tolist())
    return Applied(
        state=out,
        as_of=now.known.as_of,
        since=None if state is None else state.as_of,
        leads=int((marks.note & HERE > 0).sum()),
        before=before,
        after=after,
        moves=counts,
        fired={name: count for name, count in now.firing.counts().items() if count},
        changed=True,
        rejected=rejected,
        waiting=waiting,
        below_hygiene=now.below_hygiene,
        forbidden=int((marks.note & FORBIDDEN > 0).sum()),
        unsure=int((marks.note & UNSURE > 0).sum()),
        placed=now.chosen.count,
        everybody=now.chosen.full,
    )


def _counted(moves: pa.Table) -> dict[tuple[str, str, str], int]:
    """How many moves there are by kind, old and new; "" stands for none."""
    counts = moves.group_by(["kind", "old", "new"]).aggregate([([], "count_all")]).to_pylist()
    return {(one["kind"], one["old"] or "", one["new"] or ""): one["count_all"] for one in counts}


def _sizes(memberships: pa.Table, segment_ids: Sequence[str]) -> dict[str, int]:
    """Members by segment, of the given ones and of any other there is."""
    held = memberships.filter(pc.is_null(memberships["left_at"]))
    found = dict.fromkeys((*segment_ids, *pc.unique(memberships["segment_id"]).to_pylist()), 0)
    for counted in held["segment_id"].value_counts().to_pylist():
        found[counted["values"]] = counted["counts"]
    return found


def _said(done: Applied, now: Evaluated, settings: Settings) -> dict[str, Any]:
    """What the manifest says of a run besides its files."""
    map_ = now.segment_map
    return {
        "as_of": done.as_of.astimezone(UTC).isoformat(),
        "segment_map": now.map_hash,
        "versions": {definition.id: definition.version for definition in map_.definitions},
        "statuses": settings.digest("statuses"),
        "triggers": settings.digest("triggers"),
        JOURNEYS: journeys_hash(settings),
        "leads": done.leads,
        "members": dict(done.after),
        "below_hygiene": list(done.below_hygiene),
        "waiting": list(done.waiting),
        "may_not_be_profiled": done.forbidden,
        "held_until_known": done.unsure,
    }
