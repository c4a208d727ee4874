"""The cold start: before there are outcomes to learn from, the hand-written points say the band, and no probability is.

Nobody can calibrate a probability without an outcome. So none is claimed: the band is that of the grid of grades that
people wrote down, and the reason says so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from configs.training_settings import TrainingSettings
from models.bands import BANDS, REASONS
from models.calibration import fit_line
from models.scorecard import Points
from models.scores import SEGMENT_FEATURE, Readiness, Scores, Spec

MODEL = "scorecard"
COLD_START = REASONS.index("COLD_START")
# Reasons that hold whatever says the band: nobody knows enough of the lead.
_STILL_UNKNOWN = tuple(REASONS.index(reason) for reason in ("SEGMENT_UNKNOWN", "TOO_FEW_KNOWN_FEATURES"))
_ROWS = 40


def cold_readiness(spec: Spec, segment_ids: tuple[str, ...], settings: TrainingSettings) -> Readiness:
    """A readiness that has learned nothing: one empty tree, so that everything around it works as ever."""
    import lightgbm as lgb  # here, because who only serves reads this module too and needs none of it

    names = (*spec.names, SEGMENT_FEATURE)
    label = np.arange(_ROWS) % 2
    data = lgb.Dataset(np.zeros((_ROWS, len(names))), label, feature_name=list(names))
    quiet = {"objective": "binary", "verbose": -1, "num_threads": 1, "boost_from_average": False, "seed": settings.seed}
    nothing = fit_line(np.zeros(0), np.zeros(0))
    return Readiness.of(
        names=names,
        groups=(*spec.groups, SEGMENT_FEATURE),
        segment_ids=segment_ids,
        texts={"pooled": lgb.train(quiet, data, 1).model_to_string()},
        weights={},
        lines=[nothing] * (len(segment_ids) + 1),
        bands={"default": settings.bands},
        min_known_share=settings.min_known_share,
        max_interval_width=settings.max_interval_width,
        records=(),
        notes={"rows": 0.0},
    )


def cold_scores(empty: Scores, points: Points) -> Scores:
    """What points say of leads whose readiness has learned nothing: bands of the grid, and no number.

    INVARIANT: without an outcome there is no probability, no interval and no driver; the points log says why.
    """
    nothing: NDArray[np.float64] = np.full(len(empty.probability), np.nan)
    settings = points.scorecard.settings
    grid = np.array(
        [[BANDS.index(settings.band(fit, eng)) for eng in settings.engagement_grades] for fit in settings.fit_grades],
        dtype=np.uint8,
    )
    unknown = np.isin(empty.reason, _STILL_UNKNOWN)
    return replace(
        empty,
        probability=nothing,
        lower=nothing,
        upper=nothing,
        log_odds=nothing,
        base=nothing,
        a=nothing,
        b=nothing,
        contributions=np.zeros_like(empty.contributions),
        band=np.where(unknown, 0, grid[points.fit_grade, points.engagement_grade]).astype(np.uint8),
        reason=np.where(unknown, empty.reason, COLD_START).astype(np.uint8),
        model=np.zeros(len(nothing), dtype=np.int64),
        model_ids=(MODEL,),
    )
