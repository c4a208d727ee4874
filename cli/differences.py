"""How a difference between two models is shown: its value, its interval, and the color of what that says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.metrics import Difference

COLORS = {"better": "green", "worse": "red"}


def shown_gap(gap: Difference) -> str:
    """A difference with its interval in the color of its verdict; without an interval where too few accounts vary."""
    if math.isnan(gap.value):
        return "[dim]not defined[/dim]"
    if math.isnan(gap.low):
        return f"[dim]{gap.value:+.3f} (too few accounts)[/dim]"
    color = COLORS.get(gap.verdict, "dim")
    return f"[{color}]{gap.value:+.3f} ({gap.low:+.3f}, {gap.high:+.3f})[/{color}]"
