"""By when pharmacovigilance must have a possible adverse event: hours after we first knew of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.columns import exact
from features.tables import UNKNOWN_INSTANT, Known

PARAMETER = "pv.hours"
_HOUR = 3_600_000_000


def due_at(known: Known, adverse: NDArray[np.bool_], kinds: tuple[int, int], hours: int | None) -> NDArray[np.int64]:
    """Microseconds since 1970 for each lead, UNKNOWN_INSTANT where nothing is due.

    The clock starts with the earliest case that is open: when it was opened or when it was recorded, whichever came
    first, for whoever wrote it down knew of it. Of a case without either it is due at once.

    Args:
        known: what is known; its cases are those on record by the instant of the decision.
        adverse: for each lead whether an adverse event or product complaint may be open.
        kinds: codes of the kinds adverse event and complaint; a complaint counts where it names a product.
        hours: the parameter of the day; None leaves nothing due.
    """
    n = len(known.lead_ids)
    found = np.full(n, UNKNOWN_INSTANT, dtype=np.int64)
    rows = known.cases
    size = len(rows["lead"]) if rows else 0
    if hours is None or not size or not adverse.any():
        return found
    lead, kind = exact(rows, "lead", np.int32, size), exact(rows, "kind", np.uint8, size)
    closed = exact(rows, "closed_at", np.int64, size)
    opened, recorded = exact(rows, "opened_at", np.int64, size), exact(rows, "recorded_at", np.int64, size)
    counts = (kind == kinds[0]) | ((kind == kinds[1]) & (exact(rows, "product", np.uint8, size) > 0))
    counts &= (closed == UNKNOWN_INSTANT) | (closed > known.as_of_us)
    counts &= (lead >= 0) & (lead < n)
    counts[counts] &= adverse[lead[counts]]
    never = np.iinfo(np.int64).max
    first = np.minimum(
        np.where(opened == UNKNOWN_INSTANT, never, opened), np.where(recorded == UNKNOWN_INSTANT, never, recorded)
    )
    starts = np.where(first == never, known.as_of_us - hours * _HOUR, first)
    due = np.full(n, never, dtype=np.int64)
    np.minimum.at(due, lead[counts], starts[counts] + hours * _HOUR)
    return np.where(due == never, found, due)
