"""How readiness is trained: snapshots, splits, boosters, bands."""

from __future__ import annotations

from pydantic import Field

from configs.section import Section


class Boosting(Section):
    """Shape of the boosters; shallow and short so that exact drivers stay cheap."""

    rounds: int = Field(ge=1, le=1000)
    leaves: int = Field(ge=2, le=16)
    depth: int = Field(ge=1, le=5)
    learning_rate: float = Field(gt=0, le=1)
    min_leaf: int = Field(ge=1)
    l2: float = Field(ge=0)
    feature_fraction: float = Field(gt=0, le=1, default=0.8)


class TrainingSettings(Section):
    """Everything `leadwell train` needs besides data."""

    snapshots: int = Field(ge=1)
    snapshot_every_days: int = Field(ge=1)
    folds: int = Field(ge=2)
    holdout_share: float = Field(gt=0, lt=1)
    pooled: Boosting
    segment: Boosting
    beside: Boosting = Boosting(rounds=50, leaves=8, depth=3, learning_rate=0.1, min_leaf=40, l2=5.0)
    segment_min_rows: int
    shrinkage_rows: float
    bands: dict[str, float]
    max_interval_width: float
    min_known_share: float
    max_outside_share: float = Field(ge=0, le=1, default=0.25)
    model_error_times: float = Field(ge=1, le=10, default=3.2)
    model_error_growth: float = Field(ge=0, le=10, default=2.0)
    seed: int = 7
    threads: int = 2
