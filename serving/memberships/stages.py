"""Stages and lifecycles in the state of `leadwell segments apply`: where every lead is, since when, and every move.

INVARIANT: the stages before with every move made are the stages after; nothing changed is no move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from features.ids import places_of
from features.journey.plan import EVIDENCE, LIFECYCLE, MOMENT, MOVING, SHOWN, STAGE
from features.journey.stages import signals_held
from models.segments.moves import BECAUSE, INSTANT, Because
from serving.files import sha256_of
from serving.memberships.placing import Evaluated
from serving.memberships.stage_whys import GONE, Moved, because
from serving.memberships.state import STAGES, State, read_state

SCHEMA = pa.schema(
    [
        ("lead_id", pa.string()),
        ("product", pa.string()),
        ("stage", pa.string()),
        ("since", INSTANT),
        ("lifecycle", pa.string()),
        ("lifecycle_since", INSTANT),
    ]
)
MOVES_SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("id", pa.string()),
        ("kind", pa.string()),
        ("old_product", pa.string()),
        ("product", pa.string()),
        ("old", pa.string()),
        ("new", pa.string()),
        ("at", INSTANT),
        ("since", INSTANT),
        ("evidence", pa.string()),
        ("moment", pa.string()),
        ("why", pa.list_(BECAUSE)),
        ("journeys", pa.string()),
    ]
)
_PRODUCT = "product_interest"
_KINDS = ("stage", LIFECYCLE)
_DIGEST = 16
# The key of the manifest that names the journeys of a run.
JOURNEYS = "journeys"


@dataclass(frozen=True, slots=True)
class Staged:
    """Where every lead is after a run, with the columns of SCHEMA, and the moves that led there, of MOVES_SCHEMA."""

    stages: pa.Table
    moves: pa.Table


def journeys_hash(settings: Settings) -> str:
    """The declared journeys as a short text, the same while they are."""
    return settings.digest(JOURNEYS)[:_DIGEST]


def stages_in(state: State | None) -> pa.Table | None:
    """Where every lead was; None where the state is of before stages were kept. Its hash was checked."""
    if state is None or STAGES not in state.manifest["files"]:
        return None
    return pq.read_table(state.folder / STAGES, schema=SCHEMA)


def stage_moves(folder: Path) -> pa.Table:
    """Every move of stage and lifecycle of a state, run by run; raises InputInvalid where a file is not that listed."""
    state = read_state(folder)
    if state is None:
        raise InputInvalid(str(folder), "expected memberships of `leadwell segments apply`")
    tables = [MOVES_SCHEMA.empty_table()]
    for told in (run["stages"] for run in state.runs if "stages" in run):
        path = folder / told["file"]
        if not path.is_file() or sha256_of(path) != told["sha256"]:
            raise InputInvalid(str(path), "expected the file that the manifest names; its hash differs")
        tables.append(pq.read_table(path, schema=MOVES_SCHEMA))
    return pa.concat_tables(tables)


def staged(now: Evaluated, state: State | None, settings: Settings) -> Staged:
    """Where every lead is now, and what moved since the state.

    Of whom a run does not place, and of whom nobody knows whether profiling is allowed, everything stays as it was; of
    who may surely not be profiled, or is no more, nothing is kept.
    """
    earlier = stages_in(state)
    before = SCHEMA.empty_table() if earlier is None else earlier
    n, known = len(now.known.lead_ids), now.known
    speaks = known.present & ~now.forbidden & ~now.unsure
    # Where each earlier row's lead is among those looked at: -1 it is no more, -2 it is not placed.
    whole = places_of(before["lead_id"], now.whole.lead_ids)
    again, beside = now.chosen.again, now.chosen.beside
    placed = np.append(np.where(again, np.cumsum(beside) - 1, -2), -1)[whole]
    waits = np.append(known.present & now.unsure, False)[np.where(placed >= 0, placed, n)]
    stays = (placed == -2) | waits
    rows = np.flatnonzero(~stays)
    here = np.where((placed[rows] >= 0) & np.append(speaks, False)[placed[rows]], placed[rows], -1)
    # Who has no earlier row and speaks comes after the others.
    told = np.zeros(n + 1, dtype=np.bool_)
    told[placed[rows]] = True
    new = np.flatnonzero(speaks & ~told[:n])
    lead = np.concatenate((here, new))
    ids = pa.concat_arrays(
        [before["lead_id"].combine_chunks().take(pa.array(rows)), pa.array(known.lead_ids[new], pa.string())]
    )
    words = {name: settings.facts[name].values for name in (_PRODUCT, *MOVING, *SHOWN)}
    codes = {name: _codes(now, name, lead) for name in words}
    old = _earlier(before.take(pa.array(rows)), words, len(new))
    cut = known.as_of_us
    moved = _moved(old, codes)
    asked = np.zeros(n + 1, dtype=np.bool_)
    asked[lead[moved[0]]] = True
    held = signals_held(known, now.run.asked.builder.journeys, now.facts.columns, asked[:n])
    changed = state is not None and state.manifest.get(JOURNEYS, "") not in ("", journeys_hash(settings))
    reasons = _gone(now, here, placed[rows], len(new))
    tables = [
        _moves(kind, np.flatnonzero(differs), ids, lead, old, codes, held, reasons, now, settings, changed)
        for kind, differs in zip(_KINDS, moved, strict=True)
    ]
    moves = pa.concat_tables(tables).sort_by([("id", "ascending"), ("kind", "descending")])
    since = [
        np.where(differs, cut, old[name]) for name, differs in zip(("since", "lifecycle_since"), moved, strict=True)
    ]
    found = _table(ids, codes, since, words)
    kept = pa.concat_tables([before.filter(pa.array(stays)), found]).sort_by("lead_id")
    return Staged(kept, moves)


def _codes(now: Evaluated, name: str, lead: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of a fact of some leads, 0 where it is unknown and where there is no lead."""
    column = now.facts.columns[name].reshape(-1).astype(np.int64)
    return np.append(column, 0)[lead]


def _earlier(table: pa.Table, words: Mapping[str, tuple[str, ...]], new: int) -> dict[str, NDArray[np.int64]]:
    """Codes and instants of earlier rows, 0 where unknown and for so many leads after them that had none.

    A word that is in no vocabulary any more is another one than any there is.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for name, column in ((_PRODUCT, "product"), (STAGE, "stage"), (LIFECYCLE, LIFECYCLE)):
        text = table[column].combine_chunks()
        place = pc.index_in(text, pa.array(words[name], pa.string()))
        code = pc.fill_null(pc.add(place.cast(pa.int64()), 1), len(words[name]) + 1).to_numpy()
        code = np.where(text.is_null().to_numpy(zero_copy_only=False), 0, code)
        found[name] = np.append(code, np.zeros(new, dtype=np.int64))
    for column in ("since", "lifecycle_since"):
        instants = pc.fill_null(table[column].cast(pa.int64()), 0).to_numpy()
        found[column] = np.append(instants, np.zeros(new, dtype=np.int64))
    return found


def _moved(old: Mapping[str, NDArray[np.int64]], new: Mapping[str, NDArray[np.int64]]) -> list[NDArray[np.bool_]]:
    """Whose stage differs, and whose lifecycle; a stage of another product is another stage."""
    stage = old[STAGE] != new[STAGE]
    stage |= (old[STAGE] > 0) & (old[_PRODUCT] != new[_PRODUCT])
    return [stage, old[LIFECYCLE] != new[LIFECYCLE]]


def _gone(now: Evaluated, here: NDArray[np.int64], placed: NDArray[np.int64], new: int) -> NDArray[np.int8]:
    """Why a lead has no stage whatever it did, as a place in GONE; 0 where it speaks."""
    known, n = now.known, len(now.known.lead_ids)
    why = np.full(n + 1, GONE.index("lead gone"), dtype=np.int8)
    why[:n][now.forbidden & known.present] = GONE.index("may not be profiled")
    if known.merged is not None:
        why[:n][known.merged.away] = GONE.index("merged into another lead")
    found = np.where(here >= 0, 0, why[np.where(placed >= 0, placed, n)])
    return np.append(found, np.zeros(new, dtype=np.int8)).astype(np.int8)


def _moves(
    kind: str, rows: NDArray[np.intp], ids: pa.Array, lead: NDArray[np.int64], old: Mapping[str, NDArray[np.int64]],
    new: Mapping[str, NDArray[np.int64]], held: NDArray[np.uint64], reasons: NDArray[np.int8], now: Evaluated,
    settings: Settings, changed: bool,
) -> pa.Table:  # fmt: skip
    """The moves of one kind as rows of the stream."""
    name = STAGE if kind == "stage" else LIFECYCLE
    values, n = settings.facts[name].values, len(rows)
    at = lead[rows]
    moved = Moved(
        old=old[name][rows],
        new=new[name][rows],
        old_product=old[_PRODUCT][rows],
        product=new[_PRODUCT][rows],
        held=np.append(held, np.uint64(0))[at],
        reason=reasons[rows],
        said=_said_by_source(now, at),
        changed=changed,
    )
    why = Because(n)
    because(kind, moved, why, settings)
    since = old["since" if kind == "stage" else "lifecycle_since"][rows]
    stage = kind == "stage"
    columns = {
        "unit": pa.repeat(pa.scalar("lead"), n),
        "id": ids.take(pa.array(rows)),
        "kind": pa.repeat(pa.scalar(kind), n),
        "old_product": _text(settings.facts[_PRODUCT].values, moved.old_product, (moved.old > 0) & stage),
        "product": _text(settings.facts[_PRODUCT].values, moved.product, (moved.new > 0) & stage),
        "old": _text(values, moved.old),
        "new": _text(values, moved.new),
        "at": pa.array(np.full(n, now.known.as_of_us), INSTANT),
        "since": pa.array(since, INSTANT, mask=moved.old == 0),
        "evidence": _text(settings.facts[EVIDENCE].values, new[EVIDENCE][rows], (moved.new > 0) & stage),
        "moment": _text(settings.facts[MOMENT].values, new[MOMENT][rows], (moved.new > 0) & stage),
        "why": why.column(),
        "journeys": pa.repeat(pa.scalar(journeys_hash(settings)), n),
    }
    return pa.table({field: columns[field] for field in MOVES_SCHEMA.names}, schema=MOVES_SCHEMA)


def _said_by_source(now: Evaluated, lead: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whose lifecycle is a word of its source."""
    column = now.known.leads.get(LIFECYCLE)
    if column is None:
        return np.zeros(len(lead), dtype=np.bool_)
    values = len(now.run.asked.builder.journeys.vocabularies[LIFECYCLE].values)
    found: NDArray[np.bool_] = np.append((column > 0) & (column <= values), False)[lead]
    return found


def _text(values: tuple[str, ...], codes: NDArray[Any], shown: NDArray[np.bool_] | None = None) -> pa.Array:
    known = (codes > 0) & (codes <= len(values))
    if shown is not None:
        known &= shown
    return pa.array(values, pa.string()).take(pa.array(codes.astype(np.int64) - 1, mask=~known))


def _table(
    ids: pa.Array, codes: Mapping[str, NDArray[np.int64]], since: list[NDArray[np.int64]],
    words: Mapping[str, tuple[str, ...]],
) -> pa.Table:  # fmt: skip
    stage, life = codes[STAGE] > 0, codes[LIFECYCLE] > 0
    columns = {
        "lead_id": ids,
        "product": _text(words[_PRODUCT], codes[_PRODUCT], stage),
        "stage": _text(words[STAGE], codes[STAGE]),
        "since": pa.array(since[0], INSTANT, mask=~stage),
        LIFECYCLE: _text(words[LIFECYCLE], codes[LIFECYCLE]),
        "lifecycle_since": pa.array(since[1], INSTANT, mask=~life),
    }
    return pa.table(columns, schema=SCHEMA).filter(pa.array(stage | life))
