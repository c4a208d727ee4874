"""How an answer writes an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from features.tables import UNKNOWN_INSTANT

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC like every instant; a zone would only be taken off again


@lru_cache(maxsize=256)
def instant(moment: datetime) -> str:
    """An instant in UTC, to the second where it has no fraction."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def instant_of(micros: int) -> str | None:
    """An instant from its microseconds, None where unknown."""
    return None if micros == UNKNOWN_INSTANT else f"{(_EPOCH + timedelta(microseconds=micros)).isoformat()}Z"
