"""When a row of a flat export stands in time, and its key where the export has none.

An export in the order of its rows, one with the name of a month only, and one without any time are told apart: what
judges a model must be later than what trained it, or be said not to be.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.mapping import NO_TIME, ROW, SourceMapping

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]


def must_have(mapping: SourceMapping) -> str:
    """A column by which the header of the export is told from anything else."""
    return mapping.lead_id if mapping.lead_id != ROW else mapping.attributes[0].column


def made_columns(mapping: SourceMapping, rows: NDArray[np.int64]) -> dict[str, Texts]:
    """The columns that a mapping names and no file has: the number of the row as text, for key or order."""
    if ROW not in (mapping.lead_id, mapping.order_by) and mapping.order_by != NO_TIME:
        return {}
    numbered = np.array([str(row) for row in rows.tolist()], dtype=object)
    return {ROW: numbered, NO_TIME: numbered}


def instants(mapping: SourceMapping, texts: Texts) -> Floats:
    """Order of texts that are no numbers: places in the declared list, dates of the declared format, or ISO dates."""
    if mapping.order_values:
        place = {value: float(index) for index, value in enumerate(mapping.order_values)}
        return np.array([place.get(text, np.nan) for text in texts.tolist()], dtype=np.float64)
    return np.array([_instant(text, mapping.order_format) for text in texts.tolist()], dtype=np.float64)


def shuffled(lead_ids: Texts) -> Floats:
    """A fixed order without meaning, by the hash of each key: for an export in which all rows are of one time."""
    digests = (hashlib.blake2b(str(key).encode(), digest_size=6).digest() for key in lead_ids.tolist())
    return np.array([float(int.from_bytes(digest, "big")) for digest in digests], dtype=np.float64)


def _instant(text: Any, written: str | None) -> float:
    try:
        if not text:
            return np.nan
        found = datetime.strptime(text, written) if written else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        return np.nan
    # Only the order matters: a text without a zone is compared as it stands, wherever this runs.
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
