"""Until when a permit holds: no longer than what it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.columns import exact
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Known
from serving.kernels import earliest_expiry

_HOUR = 3_600_000_000


def permits_end(known: Known, channels: int, valid_hours: int, feed_max_age_days: int) -> NDArray[np.int64]:
    """Microseconds since 1970 for each lead and channel.

    The earliest of: some hours after `as_of`; the end of its UTC day, whose parameters, counts and approvals were used;
    the day the suppression feed becomes too old; the lead's first consent for the channel that runs out.
    """
    end = min(known.as_of_us + valid_hours * _HOUR, (known.as_of_day + 1) * MICROSECONDS_A_DAY)
    if known.suppressions_complete_as_of != UNKNOWN_INSTANT:
        fresh = known.suppressions_complete_as_of + feed_max_age_days * MICROSECONDS_A_DAY
        # A feed that is too old already permits nothing, so there is nothing to shorten.
        end = min(end, fresh) if fresh >= known.as_of_us else end
    ends = np.full((len(known.lead_ids), channels), end, dtype=np.int64)
    rows = known.consents
    if rows and len(rows["lead"]):
        size = len(rows["lead"])
        lead, channel = exact(rows, "lead", np.int32, size), exact(rows, "channel", np.uint8, size)
        earliest_expiry(lead, channel, exact(rows, "expires_at", np.int64, size), known.as_of_us, ends)
    return ends
