"""Where a lead stands on its product's journey, as an answer and a table of decisions say it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from features.journey.plan import EVIDENCE, LIFECYCLE, MOMENT, STAGE
from serving.decisions import Decisions

# What the answer calls each fact; the columns have the names of the facts.
NAMES = {"stage": STAGE, "evidence": EVIDENCE, "next_moment": MOMENT, "lifecycle": LIFECYCLE}


def journey(decisions: Decisions, row: int) -> dict[str, str | None] | None:
    """Stage, evidence for it, next decision and lifecycle of one lead, None each where unknown.

    INVARIANT: nothing of who may not be profiled, which is None altogether.
    """
    if decisions.rulings.no_score[row]:
        return None
    facts, declared, one = decisions.facts, decisions.decider.settings.facts, decisions.facts.one
    found: dict[str, str | None] = {}
    for name, fact in NAMES.items():
        code = int(one[fact]) if one is not None and fact in one else int(facts.columns[fact].reshape(-1)[row])
        found[name] = declared[fact].values[code - 1] if code else None
    return found


def journey_columns(decisions: Decisions) -> dict[str, Any]:
    """The same of every lead, as columns with the names of the facts."""
    hidden, declared = decisions.rulings.no_score, decisions.decider.settings.facts
    found: dict[str, Any] = {}
    for fact in NAMES.values():
        codes = decisions.facts.columns[fact].reshape(-1).astype(np.int64)
        place = pa.array(codes - 1, mask=hidden | (codes == 0))
        found[fact] = pa.array(declared[fact].values, pa.string()).take(place)
    return found
