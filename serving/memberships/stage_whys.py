"""Why a lead's stage or lifecycle moved: the signals that hold, what fell away, or what a date derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.journeys import LifecycleRules
from configs.settings import Settings
from models.segments.moves import Because, Triple
from serving.memberships.whys import LEAD_GONE, MERGED, OBJECTED, REASON

# Why a lead has no stage whatever it did; the first stands for one that speaks.
GONE = ("", LEAD_GONE, MERGED, OBJECTED)
SIGNAL, PRODUCT = "signal", "product_interest"
NOTHING_HOLDS = "no signal of its journey holds any more"
SAID = "its source says so"
CHANGED = "journeys.yaml says something else than at the last run"


@dataclass(frozen=True, slots=True)
class Moved:
    """Moves as codes, row by row: of stage or lifecycle and of product before and now, and the signals that hold.

    `reason` is a place in GONE; `said` is whether the source says the lifecycle; `changed` is whether the declared
    journeys are others than those of the last run, which may be why anybody moved.
    """

    old: NDArray[np.int64]
    new: NDArray[np.int64]
    old_product: NDArray[np.int64]
    product: NDArray[np.int64]
    held: NDArray[np.uint64]
    reason: NDArray[np.int8]
    said: NDArray[np.bool_]
    changed: bool = False


def because(kind: str, moved: Moved, why: Because, settings: Settings) -> None:
    """Fill in the reasons of moves of one kind, each distinct one made once."""
    rows = np.arange(len(moved.old))
    for place in range(1, len(GONE)):
        why.says(rows[moved.reason == place], [(REASON, "known", GONE[place])])
    here = np.flatnonzero(moved.reason == 0)
    first: list[Triple] = [(REASON, "known", CHANGED)] if moved.changed else []
    if kind == "stage":
        columns = {name: getattr(moved, name) for name in ("old", "new", "old_product", "product", "held")}
        why.looks_at(here, here, columns, lambda codes: [*first, *_of_stage(codes, settings)])
    else:
        columns = {"new": moved.new, "said": moved.said}
        why.looks_at(here, here, columns, lambda codes: [*first, *_of_lifecycle(codes, settings)])


def _of_stage(codes: Mapping[str, int], settings: Settings) -> list[Triple]:
    stages, products = settings.facts["buying_stage"].values, settings.facts[PRODUCT].values
    product = products[codes["product"] - 1] if codes["product"] else None
    found: list[Triple] = []
    if codes["old"] and codes["old_product"] != codes["product"]:
        found.append((PRODUCT, "known", product) if product else (PRODUCT, "unknown"))
    journey = settings.journeys.of(product)
    if not codes["new"] or journey is None:
        return [*found, (REASON, "known", NOTHING_HOLDS)]
    shown = stages[codes["new"] - 1]
    if 0 < codes["new"] < codes["old"] and not found:
        found.append((REASON, "known", f"no signal of {stages[codes['old'] - 1]} holds any more"))
    held = [signal for place, signal in enumerate(journey.signals) if codes["held"] >> place & 1]
    return [*found, *((SIGNAL, "known", f"{one.id}: {one.says}") for one in held if one.stage == shown)]


def _of_lifecycle(codes: Mapping[str, int], settings: Settings) -> list[Triple]:
    rules, words = settings.journeys.lifecycle, settings.facts["lifecycle"].values
    if not codes["new"]:
        return [(REASON, "known", "nothing says where it stands")]
    if codes["said"] or rules is None:
        return [(REASON, "known", SAID)]
    return [(REASON, "known", derived_because(words[codes["new"] - 1], rules))]


def derived_because(word: str, rules: LifecycleRules) -> str:
    """In words why a lifecycle is derived as it is."""
    return {
        "recent_meeting": f"a meeting ended within {rules.recent_meeting_days} days",
        "follow_up": f"a meeting ended within {rules.follow_up_days} days",
        "ongoing_support": f"asked for support within {rules.support_days} days",
        "established": f"had an appointment within {rules.established_days} days",
        "returning": f"came back within {rules.returning_days} days after {rules.quiet_days} quiet ones",
        "new_prospect": f"on record for {rules.new_days} days at most",
        "active": f"did something within {rules.active_days} days",
        "dormant": f"did nothing for {rules.active_days} days, and something before",
    }[word]
