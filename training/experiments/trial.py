"""A randomised test, whatever it was read from: arms, outcomes, segments, and what was known before the arm was drawn.

A flat export becomes one through the `experiment` section of its mapping (`read_trial`); Leadwell's own tables become
one through the standing experiment that assigned their leads (`training/experiments/standing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.mapping import SourceMapping
from features.intake.flat import level_codes, numbers_of, read_columns, undeclared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A dimension of segments by which nothing is cut.
EVERYBODY = "everybody"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows of a test, one entry a row; `arm` is a place in `arms`, whose first is the control.

    `outcomes` are numbers by name, of which those in `yesno` are 0 or 1; `segments` names each row's group by
    dimension; `X` holds what was known before the arm was drawn, NaN where unknown and codes for columns in
    `categorical`; `covariates` are the columns of `X` that make effects sharper. `cluster` numbers who was drawn
    together, None where each row was drawn alone. `counts` says what became of every row that was read.
    """

    name: str
    arms: tuple[str, ...]
    arm: Ints
    outcomes: Mapping[str, Floats]
    yesno: frozenset[str]
    segments: Mapping[str, NDArray[np.object_]]
    X: Floats
    columns: tuple[str, ...]
    categorical: tuple[int, ...]
    covariates: tuple[int, ...]
    cluster: Ints | None
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.arm)


def read_trial(mapping: SourceMapping, path: Path) -> Trial:
    """Read a flat export with a randomised test.

    Raises:
        ConfigInvalid: the mapping declares no experiment.
        InputInvalid: a column is missing or undeclared, or the control or another arm has no row.
    """
    test = mapping.experiment
    if test is None:
        raise ConfigInvalid([Problem(mapping.name, "experiment", "expected the arm, the control and the outcomes")])
    flat = read_columns(mapping, path)
    extras = undeclared(mapping, flat.names)
    if extras:
        raise InputInvalid(flat.file, f"{mapping.name} does not declare {', '.join(extras)}")
    needed = (test.arm, *test.outcomes, *(attribute.column for attribute in mapping.attributes))
    missing = [column for column in needed if column not in flat.texts]
    if missing:
        raise InputInvalid(flat.file, f"expected the columns {', '.join(missing)}")
    arms = flat.texts[test.arm]
    flat.reject(np.array([text is None for text in arms.tolist()], dtype=np.bool_), test.arm, "expected an arm")
    outcomes: dict[str, Floats] = {}
    for column, kind in test.outcomes.items():
        numbers, wrong = numbers_of(flat.texts[column])
        wrong |= np.isnan(numbers)
        if kind == "yesno":
            wrong |= (numbers != 0) & (numbers != 1)
        flat.reject(wrong, column, "expected 0 or 1" if kind == "yesno" else "expected a number")
        outcomes[column] = numbers
    columns, categorical = [], []
    for place, attribute in enumerate(mapping.attributes):
        if attribute.type == "number":
            numbers, wrong = numbers_of(flat.texts[attribute.column])
            flat.reject(wrong, attribute.column, "expected a number")
        else:
            codes, _ = level_codes(flat.texts[attribute.column])
            numbers = np.where(codes < 0, np.nan, codes.astype(np.float64))
            categorical.append(place)
        columns.append(numbers)
    kept = np.array([int(row) not in flat.rejected for row in flat.rows.tolist()], dtype=np.bool_)
    named = sorted({text for text in arms[kept].tolist() if text != test.control})
    if test.control not in arms[kept].tolist() or not named:
        raise InputInvalid(flat.file, f"expected rows of {test.control} and of another arm in {test.arm}")
    place_of = {name: place for place, name in enumerate((test.control, *named))}
    names = [attribute.column for attribute in mapping.attributes]
    return Trial(
        name=mapping.name,
        arms=tuple(place_of),
        arm=np.array([place_of[text] for text in arms[kept].tolist()], dtype=np.int64),
        outcomes={column: found[kept] for column, found in outcomes.items()},
        yesno=frozenset(column for column, kind in test.outcomes.items() if kind == "yesno"),
        segments={column: _labels(flat.texts[column][kept]) for column in test.segments},
        X=np.column_stack([column[kept] for column in columns]),
        columns=tuple(names),
        categorical=tuple(categorical),
        covariates=tuple(names.index(column) for column in test.covariates),
        cluster=None,
        counts={"read": flat.read, "used": int(kept.sum()), "rejected": len(flat.rejected)},
    )


def _labels(texts: NDArray[Any]) -> NDArray[np.object_]:
    return np.array([UNKNOWN if text is None else text for text in texts.tolist()], dtype=object)
