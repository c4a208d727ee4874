"""A bundle before there is anything to learn from: segments, rules and points work, and no probability is claimed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from configs.settings import Settings
from features.evaluate import Domain
from features.pipeline import fit_spec
from models.bundle import GOLDEN_ROWS, Bundle, write_bundle
from models.cold_start import cold_readiness
from models.scorecard import Scorecard
from models.segments.map import SegmentMap
from policy.book import Book
from training.dataset.dataset import gated

SAYS = "nothing was learned: bands are those of the grid of hand-written points, and there is no probability"


def write_cold_bundle(settings: Settings, as_of: datetime, folder: Path) -> Bundle:
    """Write a bundle that goes by the points alone, from the configuration and no data; raises ConfigInvalid."""
    spec = gated(fit_spec(settings), settings)
    domain, segment_map = Domain.of(settings), SegmentMap.load(settings)
    width = len(spec.names)
    return write_bundle(
        folder,
        cold_readiness(spec, segment_map.segment_ids, settings.training),
        spec,
        segment_map=segment_map.to_json(),
        scorecard=Scorecard.of(settings, domain, segment_map.segment_ids).to_json(),
        vocabularies=settings.vocabularies,
        as_of=as_of,
        golden=(np.zeros((GOLDEN_ROWS, width)), np.full(GOLDEN_ROWS, -1)),
        policy=Book.load(settings, as_of.date()).hash,
        # No data were used, so there are none that could be below a minimum.
        training={"cold_start": True, "says": SAYS, "hygiene": {"passed": True, "says": "no data were used"}},
    )
