"""What may be used of what is known: the one road from tables to `Known`, for training, batch and one lead.

Every caller that decides, learns or counts comes this way, so that none of them forgets a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.identity import Governed
from configs.settings import Settings
from features.columns import exact
from features.engagement import NEVER_COMMERCIAL
from features.governance import governed
from features.human import HumanRules, weighed
from features.links import LinkRules, follow_links
from features.tables import Known, Tables, known_at
from features.use.permitted import UseRules, permitted


@dataclass(frozen=True)
class ViewRules:
    """What the steps of a view need, resolved from the settings once.

    `medical` says of each kind of event whether it is medical information's alone; `human` tells people from machines;
    `links` which ids are one person; `use` is what may be used of whom.
    """

    medical: NDArray[np.bool_]
    human: HumanRules | None
    links: LinkRules
    governs: Mapping[str, Governed]
    use: UseRules

    @classmethod
    def of(cls, settings: Settings) -> ViewRules:
        """Resolve the settings."""
        medical = np.zeros(256, dtype=np.bool_)
        kinds = settings.vocabularies["event_kind"]
        medical[[kinds.code(kind) for kind in NEVER_COMMERCIAL if kind in kinds.values]] = True
        return cls(
            medical=medical,
            human=HumanRules.of(settings.features.human, settings.vocabularies),
            links=LinkRules.of(settings),
            governs={str(field): one for field, one in settings.identity.governs.items()},
            use=UseRules.of(settings),
        )


def view_at(tables: Tables, as_of: datetime, rules: ViewRules, *, threads: int | None = None) -> Known:
    """What was known at `as_of` and may be used."""
    tables = usable(tables, as_of, rules, threads=threads)
    tables = weighed(tables, as_of, rules.human, threads=threads)
    return governed(known_at(tables, as_of, threads=threads), rules.governs)


def usable(tables: Tables, as_of: datetime, rules: ViewRules, *, threads: int | None = None) -> Tables:
    """The tables of the people behind the leads, without events and columns that may not be used at `as_of`."""
    tables = follow_links(tables, as_of, rules.links)
    tables = commercial(tables, rules.medical)
    return permitted(tables, as_of, rules.use, threads=threads)


def commercial(tables: Tables, medical: NDArray[np.bool_]) -> Tables:
    """The same tables with events of a medical kind belonging to nobody.

    INVARIANT: a question about an off-label use changes no feature, no fact made of events, no weight of another event
    and no instant that an answer shows; that a case is open is told by the cases.
    """
    if not tables.events:
        return tables
    size = len(tables.events["lead"])
    kind = exact(tables.events, "kind", np.uint8, size)
    if not _any_of(kind, medical):
        return tables
    lead = np.where(medical[kind], np.int32(-1), tables.events["lead"]).astype(np.int32)
    return replace(tables, events={**tables.events, "lead": lead})


@njit(cache=True, nogil=True)
def _any_of(kind: Any, medical: Any) -> bool:
    for i in range(len(kind)):  # noqa: SIM110 - numba compiles loops
        if medical[kind[i]]:
            return True
    return False
