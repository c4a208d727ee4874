"""Whether leads of one jurisdiction or source are treated unlike the rest: probabilities, selection, and misses.

Three gaps, each of one group minus all other leads, with 95 % bootstrap intervals over accounts. They cannot all be
zero where groups differ in how often they reach the outcome (Kleinberg, Mullainathan and Raghavan 2016; Chouldechova
2017), so each is shown, and the difference in outcomes beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.gaps import beyond_chance, two_sided
from training.evaluation.metrics import TOP_SHARE
from training.evaluation.resampling import (
    MIN_GROUPS,
    REPLICATES,
    SEED,
    Estimate,
    bounded,
    group_of,
    resampled_sums,
)
from training.evaluation.slices import tells

Floats = NDArray[np.float64]
Names = NDArray[np.object_]

DIMENSIONS = ("jurisdiction", "source")
# How often a group reaches the outcome is a fact about it, not a way of treating it: shown, and never flagged.
ASKED = ("calibration", "selected", "found")
SUMS = ("rows", "selected", "positives", "found", "off")


@dataclass(frozen=True, slots=True)
class FairnessRow:
    """One group beside all others: rates of the group, and the group's rate minus that of the rest.

    `selected` is the share of the group among the most ready tenth of all leads, `found` the share of its positives
    that are in that tenth. `flags` name the gaps that stand out among all that were asked; `says` puts it in words.
    """

    dimension: str
    name: str
    rows: int
    positives: int
    tells: bool
    observed: float
    selected: float
    found: float | None
    observed_gap: Estimate
    selected_gap: Estimate
    found_gap: Estimate
    calibration_gap: Estimate
    flags: tuple[str, ...]
    says: str


def fairness(
    y: NDArray[Any],
    probability: Floats,
    dimensions: Mapping[str, Names],
    cluster: NDArray[Any],
    *,
    share: float = TOP_SHARE,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> tuple[FairnessRow, ...]:
    """Every group of every dimension beside the rest; where either has too few outcomes it is listed and not judged."""
    outcome = np.asarray(y, dtype=np.float64)
    group, groups = group_of(len(outcome), cluster)
    chosen = selected(probability, share)
    values = np.stack([np.ones(len(outcome)), chosen, outcome, chosen * outcome, probability - outcome], axis=1)
    replicates = bounded(len(outcome), replicates)
    total, totals = values.sum(axis=0), resampled_sums(values, group, groups, replicates, seed)
    rows: list[FairnessRow] = []
    chances: list[tuple[int, str, float | None]] = []
    for dimension, names in dimensions.items():
        kinds, inverse, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
        for index in np.lexsort((kinds, -counts)).tolist():
            member = inverse.ravel() == index
            inside = values * member[:, None]
            row, gaps = _row(inside.sum(axis=0), total)
            if row.tells and groups >= MIN_GROUPS:
                draws = _gaps(resampled_sums(inside, group, groups, replicates, seed), totals)
                told = {name: Estimate.of(float(gaps[name]), draws[name]) for name in gaps}
                chances += [(len(rows), name, two_sided(told[name], draws[name])) for name in ASKED]
                row = replace(
                    row,
                    observed_gap=told["observed"],
                    selected_gap=told["selected"],
                    found_gap=told["found"],
                    calibration_gap=told["calibration"],
                )
            rows.append(replace(row, dimension=dimension, name=str(kinds[index])))
    flags = beyond_chance([chance for _, _, chance in chances])
    for place, row in enumerate(rows):
        names_of = tuple(n for (at, n, _), flag in zip(chances, flags, strict=True) if at == place and flag)
        rows[place] = replace(row, flags=names_of, says=_says(row, names_of))
    return tuple(rows)


def selected(probability: Floats, share: float = TOP_SHARE) -> Floats:
    """How much of each row is among the most ready share of all: 1, 0, or a part where a tie crosses the cut."""
    _, inverse, counts = np.unique(-probability, return_inverse=True, return_counts=True)
    room = np.clip(np.ceil(share * len(probability) - 1e-9) - (np.cumsum(counts) - counts), 0, counts)
    # INVARIANT: rows that the model cannot tell apart are selected alike.
    return np.asarray((room / counts)[inverse.ravel()], dtype=np.float64)


def _row(inside: Floats, total: Floats) -> tuple[FairnessRow, dict[str, float]]:
    rows, chosen, positives, found, _ = inside.tolist()
    none = Estimate(None)
    row = FairnessRow(
        dimension="",
        name="",
        rows=int(rows),
        positives=int(positives),
        # Beside a rest of a handful every group is unlike the rest.
        tells=tells(int(positives), int(rows)) and tells(int(total[2] - positives), int(total[0] - rows)),
        observed=positives / rows,
        selected=chosen / rows,
        found=found / positives if positives else None,
        observed_gap=none,
        selected_gap=none,
        found_gap=none,
        calibration_gap=none,
        flags=(),
        says="",
    )
    gaps = _gaps(inside[None, :], total[None, :])
    return row, {name: float(value[0]) for name, value in gaps.items()}


def _gaps(inside: Floats, total: Floats) -> dict[str, Floats]:
    """Each rate of the group minus that of the rest, for every row of sums; NaN where one side is empty."""
    mine, rest = (dict(zip(SUMS, part.T, strict=True)) for part in (inside, total - inside))

    def gap(above: str, below: str) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = mine[above] / mine[below] - rest[above] / rest[below]
        return np.where(np.isfinite(found), found, np.nan)

    return {
        "observed": gap("positives", "rows"),
        "selected": gap("selected", "rows"),
        "found": gap("found", "positives"),
        "calibration": gap("off", "rows"),
    }


def _says(row: FairnessRow, flags: tuple[str, ...]) -> str:
    """What the gaps mean, most serious first."""
    if not row.tells:
        return "too few outcomes to tell"
    said = []
    if "calibration" in flags:
        way = "high" if (row.calibration_gap.value or 0.0) > 0 else "low"
        said.append(f"its probabilities are too {way} beside the rest's: look at it before use")
    if "selected" in flags:
        more = (row.selected_gap.value or 0.0) > 0
        same_way = row.observed_gap.leaves_out_zero and ((row.observed_gap.value or 0.0) > 0) == more
        often = "more" if more else "less"
        said.append(
            f"selected {often} often, as it reaches the outcome {often} often"
            if same_way
            else f"selected {often} often, which its outcomes do not explain: look at it before use"
        )
    if "found" in flags:
        more = (row.found_gap.value or 0.0) > 0
        said.append(f"{'more' if more else 'fewer'} of its positives are among those selected")
    return "; ".join(said) if said else "nothing stands out"
