"""Which features are measured: windows, kinds, topics, decays, and the sign the field knows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.section import Section


class Decay(Section):
    """An exponentially decayed count with a half-life in days."""

    name: str
    half_life_days: int


class FeatureSettings(Section):
    """The declared measures; feature names are derived from these."""

    windows_days: tuple[int, ...]
    kinds: tuple[str, ...]
    topics: tuple[str, ...]
    topic_window_days: int
    depths: tuple[str, ...]
    decays: tuple[Decay, ...]
    lead_fields: tuple[str, ...]
    account_fields: tuple[str, ...]
    monotone: dict[str, Literal[-1, 0, 1]] = Field(default={})
