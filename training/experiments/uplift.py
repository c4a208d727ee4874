"""Everything that is said of a randomised test: effects, whether segments differ, and whom to choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.experiments.effects import Effect, Spread, effects_of
from training.experiments.targeting import GRID, Targeting, targeting_of
from training.experiments.trial import EVERYBODY, Trial

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Uplift:
    """What a test says. `targeting` is empty where nothing but segments is known of the rows."""

    name: str
    arms: tuple[str, ...]
    sizes: tuple[int, ...]
    drawn: int
    clustered: bool
    counts: Mapping[str, int]
    effects: tuple[Effect, ...]
    spreads: tuple[Spread, ...]
    targeting: tuple[Targeting, ...]

    @property
    def overall(self) -> tuple[Effect, ...]:
        """The effects over everybody."""
        return tuple(effect for effect in self.effects if effect.dimension == EVERYBODY)

    @property
    def cells(self) -> int:
        """How many effects of groups were looked at."""
        return len(self.effects) - len(self.overall)

    def of(self, dimension: str, outcome: str) -> tuple[Effect, ...]:
        """The effects of the groups of a dimension on an outcome."""
        return tuple(e for e in self.effects if (e.dimension, e.outcome) == (dimension, outcome))

    def to_json(self) -> dict[str, Any]:
        """Plain values; a number that cannot be told is null."""
        found = {
            "name": self.name,
            "arms": dict(zip(self.arms, self.sizes, strict=True)),
            "control": self.arms[0],
            "drawn_by": "cluster" if self.clustered else "row",
            "drawn": self.drawn,
            "counts": dict(self.counts),
            "effects": [asdict(effect) | {"verdict": effect.verdict} for effect in self.effects],
            "segments_differ": [asdict(spread) for spread in self.spreads],
            "targeting": [
                asdict(one)
                | {"shares": GRID.tolist()}
                | {"rankings": [asdict(ranked) | {"verdict": ranked.verdict} for ranked in one.rankings]}
                for one in self.targeting
            ],
        }
        plain: dict[str, Any] = _plain(found)
        return plain


def uplift_of(trial: Trial, *, replicates: int | None = None, progress: Progress | None = None) -> Uplift:
    """Work everything out; `replicates` of the intervals of targeting, the default number when None."""
    tell = progress or (lambda what, share: None)
    tell("effects", 0.0)
    effects, spreads = effects_of(trial)
    targeting = []
    if trial.X.shape[1]:
        work = [(outcome, place) for outcome in trial.outcomes for place in range(1, len(trial.arms))]
        for number, (outcome, place) in enumerate(work):
            tell(f"targeting: {outcome}, {trial.arms[place]}", (number + 1) / (len(work) + 1))
            more = {} if replicates is None else {"replicates": replicates}
            targeting.append(targeting_of(trial, outcome, place, **more))
    return Uplift(
        name=trial.name,
        arms=trial.arms,
        sizes=tuple(np.bincount(trial.arm, minlength=len(trial.arms)).tolist()),
        drawn=len(trial) if trial.cluster is None else len(np.unique(trial.cluster)),
        clustered=trial.cluster is not None,
        counts=trial.counts,
        effects=tuple(effects),
        spreads=tuple(spreads),
        targeting=tuple(targeting),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
