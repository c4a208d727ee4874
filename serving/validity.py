"""Until when a permit holds: no longer than what it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.columns import exact
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Columns, Known
from serving.calling import calling_hours
from serving.kernels import earliest_expiry, earliest_stop

__all__ = ["calling_hours", "permits_end"]
_HOUR = 3_600_000_000


def permits_end(
    known: Known,
    channels: int,
    valid_hours: int,
    feed_max_age_days: int,
    *,
    suppressions: Columns,
    lead_stops: NDArray[np.bool_],
    calling: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Microseconds since 1970 for each lead and channel.

    The earliest of: some hours after `as_of`; the end of its UTC day, whose parameters, counts and approvals were used;
    the day the suppression feed becomes too old; the lead's first consent for the channel that runs out; the
    first stop for it that is on record already and begins later; the end of the calling hours that are open now.

    Args:
        known: what is known.
        channels: how many.
        valid_hours: the longest that a permit holds.
        feed_max_age_days: how old the suppression feed may be.
        suppressions: with those that begin after `as_of`, which `known` no longer has.
        lead_stops: for each code of a reason whether it concerns the lead as a whole.
        calling: by lead and channel when calling hours end, as `serving/calling.py` says.
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
    size = len(suppressions["since_at"]) if suppressions else 0
    if size:
        since = exact(suppressions, "since_at", np.int64, size)
        if since.max() > known.as_of_us:
            _end_at_stops(known, suppressions, np.flatnonzero(since > known.as_of_us), lead_stops, ends)
    return ends if calling is None else np.minimum(ends, calling)


def _end_at_stops(
    known: Known, rows: Columns, later: NDArray[np.intp], lead_stops: NDArray[np.bool_], ends: NDArray[np.int64]
) -> None:
    size = len(rows["since_at"])
    earliest_stop(
        exact(rows, "lead", np.int32, size)[later],
        exact(rows, "account", np.int32, size)[later],
        exact(rows, "channel", np.uint8, size)[later],
        exact(rows, "reason", np.uint8, size)[later],
        exact(rows, "since_at", np.int64, size)[later],
        exact(rows, "recorded_at", np.int64, size)[later],
        exact(rows, "until_at", np.int64, size)[later],
        lead_stops,
        exact(known.leads, "account", np.int32, len(known.lead_ids)),
        exact(known.accounts, "parent", np.int32, len(known.account_ids)),
        known.as_of_us,
        ends,
    )
