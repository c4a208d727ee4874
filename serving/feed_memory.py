"""How many stops an earlier result was decided with, so that a feed that lost many of them is not believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from configs.quality import FeedLimits


def stops_seen(out: Path) -> int | None:
    """Rows of suppressions that the result at `out` saw, None where there is none or it does not say."""
    try:
        found = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        seen = found.get("suppressions_seen")
    except (OSError, ValueError, AttributeError):
        return None
    return seen if isinstance(seen, int) and not isinstance(seen, bool) else None


def stops_to_remember(before: int | None, counts: Mapping[str, Mapping[str, int]], limits: FeedLimits) -> int | None:
    """What the next run is compared with: the rows of now, but those of before while too many of them are gone."""
    now = counts.get("suppressions", {}).get("read")
    if before is None or (now is not None and now >= before * (1 - limits.max_shrink)):
        return now
    return before
