"""Further targets of a bundle: what else is predicted of a lead, each with a model and a calibration of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from configs.errors import BundleRefused
from configs.section import Section
from configs.targets import ID
from models.scores import Readiness, Scores

DECLARATION = "target.json"


class FurtherDeclaration(Section):
    """What a further target asks: within how many days, by segment (rows, last: none) and product (first: unknown).

    `weak` tells one that was not better than saying everybody's base rate, beyond noise, on later rows.
    """

    id: str = Field(pattern=ID)
    says: str
    first: bool
    weak: bool
    segments: tuple[str, ...]
    products: tuple[str, ...]
    days: tuple[tuple[int, ...], ...]

    def fits(self) -> bool:
        """Whether the table of days has a row for each segment and a column for each product."""
        widths = {len(row) for row in self.days}
        return len(self.days) == len(self.segments) + 1 and widths == {len(self.products) + 1}


@dataclass(frozen=True)
class FurtherTarget:
    """A further target and the readiness that was fitted for it; columns and segments are those of the bundle."""

    declaration: FurtherDeclaration
    readiness: Readiness
    days: NDArray[np.int32]

    @classmethod
    def of(cls, declaration: FurtherDeclaration, readiness: Readiness) -> FurtherTarget:
        """Put the two together; raises BundleRefused where the declaration is of other segments."""
        if not declaration.fits() or declaration.segments != readiness.segment_ids:
            raise BundleRefused(f"{DECLARATION}: the days of {declaration.id} are not those of the bundle's segments")
        return cls(declaration, readiness, np.array(declaration.days, dtype=np.int32))

    @property
    def id(self) -> str:
        """The target's id."""
        return self.declaration.id

    def to_files(self) -> dict[str, str]:
        """File name -> text: the declaration, and what the readiness is made of."""
        return {DECLARATION: json.dumps(self.declaration.model_dump(mode="json"), indent=1, sort_keys=True)} | (
            self.readiness.to_files()
        )

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> FurtherTarget:
        """Read back what `to_files` wrote; raises BundleRefused where the parts do not fit together."""
        try:
            declaration = FurtherDeclaration.model_validate_json(files[DECLARATION])
        except (KeyError, ValidationError) as error:
            raise BundleRefused(f"{DECLARATION}: missing or malformed ({type(error).__name__})") from error
        return cls.of(declaration, Readiness.from_files(files))

    def answers(self, X: NDArray[np.float64], primary: NDArray[Any], product: NDArray[Any] | None) -> FurtherAnswers:
        """Answers for rows of features; `primary` is -1 for none and `product` is the code of the lead's interest."""
        codes = np.zeros(len(X), dtype=np.int64) if product is None else product.astype(np.int64)
        # A product that was added to the vocabulary since is one that the target said nothing of.
        codes = np.where(codes < self.days.shape[1], codes, 0)
        return FurtherAnswers(self, self.readiness.predict(X, primary), self.days[primary, codes])


@dataclass(frozen=True, slots=True)
class FurtherAnswers:
    """What a further target says of many leads: its scores, and within how many days each is asked."""

    target: FurtherTarget
    scores: Scores
    horizon_days: NDArray[np.int32]


def in_order(further: Sequence[FurtherTarget]) -> tuple[FurtherTarget, ...]:
    """Further targets in the order of their ids, in which answers and columns list them."""
    return tuple(sorted(further, key=lambda one: one.id))
