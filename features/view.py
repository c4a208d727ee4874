"""What may be used of what is known: the one road from tables to `Known`, for training, batch and one lead.

Every caller that decides, learns or counts comes this way, so that none of them forgets a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from configs.settings import Settings
from features.tables import Known, Tables, known_at


@dataclass(frozen=True)
class ViewRules:
    """What the steps of a view need, resolved from the settings once."""

    @classmethod
    def of(cls, settings: Settings) -> ViewRules:
        """Resolve the settings."""
        return cls()


def view_at(tables: Tables, as_of: datetime, rules: ViewRules, *, threads: int | None = None) -> Known:
    """What was known at `as_of` and may be used."""
    return known_at(tables, as_of, threads=threads)
