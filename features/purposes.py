"""What a person allowed and forbade besides promotion: health data, marketing with health records, prescribing data.

A purpose is looked at on all channels together, as `features/use/bases.py` resolves consents: the latest word wins, of
words of one instant the most restrictive, a withdrawal stands until a later fresh grant undoes it, and of the records
of one person the strictest decides. An authorization counts only with evidence, and not once it has run out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.vocabulary import Vocabulary
from features.columns import exact
from features.consent import ConsentCodes
from features.tables import NO, YES, Known
from features.use.bases import PROVEN, UNREADABLE, WITHDRAWN, slot_states

# Facts, each with the purpose that its consents name.
PURPOSES = {
    "health_consent": "health_data",
    "phi_authorized": "phi_marketing",
    "prescriber_restricted": "prescriber_data",
}
_RESTRICTED = tuple(PURPOSES).index("prescriber_restricted")


@dataclass(frozen=True, slots=True)
class PurposeCodes:
    """Codes of the purposes: `slots` pairs each with channel 0, which is all of them; `asked` says which code it is."""

    consent: ConsentCodes
    slots: NDArray[np.int64]
    asked: NDArray[np.bool_]
    promotion: int

    @classmethod
    def of(cls, vocabularies: Mapping[str, Vocabulary]) -> PurposeCodes:
        """Look the words up in the vocabularies."""
        purpose = vocabularies["purpose"]
        codes = [purpose.code(name) for name in PURPOSES.values()]
        asked = np.zeros(256, dtype=np.bool_)
        asked[codes] = True
        asked[0] = False
        slots = np.array([(code or -1, 0) for code in codes], dtype=np.int64)
        return cls(ConsentCodes.of(vocabularies), slots, asked, purpose.code("promotion"))


def fill_purposes(known: Known, codes: PurposeCodes, found: NDArray[np.uint8]) -> None:
    """Write the yes/no rows of `PURPOSES` by lead: unknown without consents, and where a word cannot be read.

    INVARIANT: the order of records never matters; no record means no authorization, and no restriction.
    """
    rows = known.consents
    found[:] = NO if rows else 0
    size = len(rows["lead"]) if rows else 0
    if not size:
        return
    purpose = exact(rows, "purpose", np.uint8, size)
    if not _any(purpose, codes.asked):
        return
    chosen = np.flatnonzero(codes.asked[purpose])
    states = np.zeros((len(PURPOSES), found.shape[1]), dtype=np.uint8)
    of_purposes = {name: column[chosen] for name, column in rows.items()}
    slot_states(of_purposes, codes.slots, codes.promotion, codes.consent, known.as_of_us, states)
    _settle(states, _RESTRICTED, found)


@njit(cache=True, nogil=True)
def _any(codes: Any, asked: Any) -> bool:
    for i in range(len(codes)):  # noqa: SIM110 - numba compiles loops
        if asked[codes[i]]:
            return True
    return False


@njit(cache=True, nogil=True)
def _settle(states: Any, restricted: int, found: Any) -> None:
    for row in range(states.shape[0]):
        for i in range(states.shape[1]):
            yes = states[row, i] == (WITHDRAWN if row == restricted else PROVEN)
            found[row, i] = YES if yes else 0 if states[row, i] == UNREADABLE else NO
