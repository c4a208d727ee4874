"""How scores are served: limits, channels, audit and rescoring."""

from __future__ import annotations

from pydantic import Field

from configs.section import Section


class ServingSettings(Section):
    """Limits and shapes of the online service and of rescoring."""

    max_leads: int = Field(default=500, ge=1)
    inline_leads: int = 20
    max_single_bytes: int = 262_144
    max_bulk_bytes: int = 8_388_608
    timeout_seconds: int = 5
    max_concurrency: int = 64
    drivers_shown: int = Field(default=5, ge=1)
    partition_leads: int = Field(default=50_000, ge=1)
    audit_checkpoint_every: int = 1000
    # How long a permit that was used counts as a touch while nobody reports whether it was sent.
    reservation_hours: int = Field(default=24, ge=1, le=720)
    # Stops or touches that one request may bring.
    max_rows: int = Field(default=1000, ge=1, le=10_000)
