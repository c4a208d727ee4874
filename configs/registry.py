"""What `registry.yaml` holds: how long an approval of a bundle holds, and what the first champion has to beat."""

from __future__ import annotations

from pydantic import Field

from configs.section import Section


class RegistrySettings(Section):
    """How a bundle comes to serve.

    `approval_days` is the longest an approval waits for a promotion. `first_beats` names what a bundle must beat on
    later data beyond noise where there is no champion yet: models of the training's comparison, and `base_rate`, the
    same probability for everybody.
    """

    approval_days: int = Field(ge=1, le=366)
    first_beats: tuple[str, ...] = Field(min_length=1)
