"""Whether a lead may be reached, as a rescoring decided it: one code for each lead, and the rules against it.

Only what the decision table says is looked at. Of a lead that no channel reaches the kindest reason counts: where one
channel lacks nothing but content, content is missing; where one lacks only what nobody knows, it is to be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.settings import Settings

# On some channel; on none, but one lacks only content; on none, but one lacks only what nobody knows; on none.
REACHED, UNSAID, UNKNOWN, BLOCKED = range(4)
NO_BASIS, ASSET = "NO_LEGAL_BASIS", "ASSET_"
_JOINT = "\x1f"


@dataclass(frozen=True, slots=True)
class Words:
    """Reasons about content, reasons for what is unknown, and queues: what decisions are read with."""

    content: frozenset[str]
    unknown: frozenset[str]
    sales: frozenset[str]
    no_score: str | None
    holdout: str | None

    @classmethod
    def of(cls, settings: Settings) -> Words:
        """From the rule cards and the queues."""
        # Reasons about the fit of content begin alike, whatever card gives them.
        content = {
            r for card in settings.rules for r in (card.reason, card.reason_unknown) if r and r.startswith(ASSET)
        }
        unknown = {card.reason_unknown for card in settings.rules if card.reason_unknown} - content
        queues = settings.actions.queues
        sales = {queues[key] for key in ("hot", "warm", "meeting", "handover", "partner") if key in queues}
        return cls(
            frozenset(content),
            frozenset({*unknown, NO_BASIS}),
            frozenset(sales),
            queues.get("no_score"),
            queues.get("holdout"),
        )


def reach_of(decisions: pa.Table, words: Words) -> tuple[NDArray[np.int8], list[tuple[str, ...]]]:
    """By row REACHED, UNSAID, UNKNOWN or BLOCKED, and the rules against all channels where no channel reaches it."""
    n = decisions.num_rows
    best = np.full(n, BLOCKED, dtype=np.int8)
    against: list[dict[str, None]] = [{} for _ in range(n)]
    for channel in channels_of(decisions):
        permitted = pc.fill_null(decisions[f"{channel}_permitted"], False).to_numpy(zero_copy_only=False)
        rules, reasons = (_joined(decisions[f"{channel}_{name}"]) for name in ("rules", "reasons"))
        codes, places = np.unique(
            np.array([f"{a}\n{b}" for a, b in zip(rules, reasons, strict=True)]), return_inverse=True
        )
        kinds = np.array([_kind(code, words) for code in codes.tolist()], dtype=np.int8)
        named = [tuple(part for part in code.split("\n")[0].split(_JOINT) if part) for code in codes.tolist()]
        own = np.where(permitted, 0, kinds[places.reshape(-1)])
        best = np.minimum(best, own).astype(np.int8)
        for row, place in enumerate(places.reshape(-1).tolist()):
            against[row].update(dict.fromkeys(named[place]))
    return best, [() if best[row] == 0 else tuple(sorted(rules)) for row, rules in enumerate(against)]


def channels_of(decisions: pa.Table) -> Sequence[str]:
    """The channels that a decision table is about."""
    return [name.removesuffix("_permitted") for name in decisions.column_names if name.endswith("_permitted")]


def _kind(code: str, words: Words) -> int:
    """The code of a channel that is not permitted, by the reasons against it; without any nobody knows why."""
    reasons = {part for part in code.split("\n")[1].split(_JOINT) if part}
    if not reasons or reasons - words.content - words.unknown:
        return BLOCKED
    return UNKNOWN if reasons - words.content else UNSAID


def _joined(lists: pa.ChunkedArray) -> list[str]:
    joined: list[str] = pc.fill_null(pc.binary_join(lists, _JOINT), "").to_pylist()
    return joined
