"""What `quality.yaml` holds: the minima below which nothing is activated, and what counts as stale or silent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.section import Section


class FieldLimits(Section):
    """Smallest known and mapped share, largest stale share; an absent one is not asked."""

    min_known: float | None = Field(default=None, ge=0, le=1)
    min_mapped: float | None = Field(default=None, ge=0, le=1)
    max_stale: float | None = Field(default=None, ge=0, le=1)


class SegmentHygiene(Section):
    """Minima of every segment: of the leads that a field of its condition may let in, how many have it.

    `fields` says otherwise for one field (`accounts.care_setting`). Fewer leads than `min_leads` are not judged.
    """

    min_known: float = Field(ge=0, le=1)
    min_mapped: float = Field(ge=0, le=1)
    max_stale: float = Field(ge=0, le=1)
    max_share: float = Field(gt=0, le=1)
    min_leads: int = Field(ge=1)
    fields: dict[str, FieldLimits] = Field(default={}, description="table.column -> its own limits")

    def limits(self, field: str) -> tuple[float, float, float]:
        """(smallest known, smallest mapped, largest stale) share of one field."""
        own = self.fields.get(field, FieldLimits())
        return (
            self.min_known if own.min_known is None else own.min_known,
            self.min_mapped if own.min_mapped is None else own.min_mapped,
            self.max_stale if own.max_stale is None else own.max_stale,
        )


class ModelHygiene(Section):
    """Minima of readiness as a whole: rows, key fields, how well behaviour is tracked, attributes of a flat export."""

    min_leads: int = Field(ge=1)
    key_fields: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        description="table.column -> smallest known share"
    )
    min_match: float = Field(ge=0, le=1, description="smallest share of events that name a known lead")
    min_active: float = Field(ge=0, le=1, description="smallest share of leads with an event in the tracking window")
    max_stopped: float = Field(ge=0, le=1, description="largest share of events whose source has stopped")
    min_attributes: float = Field(
        ge=0, le=1, description="smallest share of a flat export's attributes that are filled"
    )
    attribute_known: float = Field(ge=0, le=1, description="known share from which an attribute counts as filled")


class Tracking(Section):
    """When behaviour counts as tracked: the window, the silence after which a source has stopped, what is late."""

    window_days: int = Field(ge=1)
    stopped_after_days: int = Field(ge=1)
    late_after_days: float = Field(gt=0)


class FeedLimits(Section):
    """When the feed of stops is not believed: it lost more than this share of the rows that it had, or should have."""

    max_shrink: float = Field(default=0.2, ge=0, lt=1)
    min_rows: int = Field(default=0, ge=0, description="fewer rows are never believed, whatever was seen before")


class QualitySettings(Section):
    """Hygiene minima, what is volatile and how often it must be verified, and what is never shown."""

    segments: SegmentHygiene
    model: ModelHygiene
    tracking: Tracking
    suppression_feed: FeedLimits = FeedLimits()
    verify_every_days: dict[str, int] = Field(description="volatile table.column -> days until it counts as stale")
    sentinel_words: tuple[str, ...]
    unshown: tuple[str, ...] = Field(description="table.column whose values are never shown")
    min_shown_rows: int = Field(ge=2, description="a value is shown only if at least this many rows have it")
