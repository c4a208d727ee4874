"""What was decided about a block of leads, column by column and unrounded; words come later, in `serving/render.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.facts import Facts
from features.pipeline import Features
from features.tables import Known
from models.further import FurtherAnswers
from models.scorecard import Points
from models.scores import Scores
from models.segments.membership import Memberships
from models.segments.statuses import Deciding
from policy.book import Book
from policy.rulings import Rulings
from serving.actions.actions import Chosen
from serving.arms.arms import Assigned
from serving.channels import ChannelRulings
from serving.handover.qualified import Qualified
from serving.nurture.nurture import Nurtured

if TYPE_CHECKING:
    from serving.decide import Decider


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions about `n` leads, column by column, with everything that was decided from.

    `deciding` has for each lead and purpose the status that decides (`models/segments/statuses.py`). `told` are the
    facts with the band and readiness besides, which overlays look at and no rule does; the same object where there are
    none. `permits_end` is the instant until which a permit of each lead and channel holds; `suspect_share` is the part
    of each lead's engagement that rests on events likelier made by a machine than by a person; `due_at` by when
    pharmacovigilance must have it, UNKNOWN_INSTANT for most; `nurtured` the track, step and pace of each lead, and what
    fits it; `qualified` its lane to sales.
    """

    decider: Decider
    book: Book
    as_of: datetime
    replay: bool
    known: Known
    features: Features
    facts: Facts
    members: Memberships
    scores: Scores
    points: Points
    rulings: ChannelRulings
    chosen: Chosen
    assigned: Assigned
    ruled: Rulings | None
    deciding: Deciding
    told: Facts
    permits_end: NDArray[np.int64]
    suspect_share: NDArray[np.float64]
    due_at: NDArray[np.int64]
    nurtured: Nurtured
    qualified: Qualified
    further: tuple[FurtherAnswers, ...] = ()

    def __len__(self) -> int:
        return len(self.known.lead_ids)
