"""The compiled loop that settles arms: what a holdout does not get, what exploration draws, and how likely each was."""

from __future__ import annotations

import numba
import numpy as np

from models.assignment import EXPLORATION, HOLDOUT, OUTSIDE, ROUTED
from serving.kernels import QUEUE_KEYS

_NONE, _HOT, _WARM, _HELD = (QUEUE_KEYS.index(key) for key in ("none", "hot", "warm", "holdout"))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def settle_arms(  # type: ignore[no-untyped-def]
    uniform, draw, exempt, holdout, exploration, permitted, fit, bare, personal,
    measured_asset, measured_segment, primary, asset, channel, queue, arm, share, propensity, handed_over, handover,
):  # fmt: skip
    """Change the chosen action, channel and queue of held-out and exploring leads, and fill what is last in the list.

    A lead is in the experiment where something could be withheld: its best action has a measured intent, or its segment
    a measured purpose and somebody may contact it in person. `share` is the chance of its arm, `propensity` that of its
    action over all arms, `handover` that of being handed to sales; each given everything known of the lead.
    """
    n, assets, channels = permitted.shape
    for i in range(n):
        arm[i], share[i], propensity[i] = OUTSIDE, 1.0, 1.0
        sold = queue[i] == _HOT or queue[i] == _WARM
        handed_over[i], handover[i] = sold, 1.0 if sold else 0.0
        # INVARIANT: an open case, a question, a meeting asked for, a patient: whoever has a queue of a person's own
        # matter, or is exempt, is never held out and never tried out on.
        if exempt[i] or not (sold or queue[i] == _NONE):
            continue
        s = primary[i]
        reachable = False
        if measured_segment[s]:
            for a in range(assets):
                for c in range(channels):
                    if personal[c] and permitted[i, a, c]:
                        reachable = True
        own, on = asset[i], channel[i]
        measured = own >= 0 and (measured_asset[own] or (own == assets - 1 and measured_segment[s]))
        if not measured and not reachable:
            continue
        options = 0
        for a in range(assets):
            if fit[i, a] >= 0:
                for c in range(channels):
                    if permitted[i, a, c] and (a != assets - 1 or bare[c]):
                        options += 1
        routed = 1.0 - holdout - exploration
        handover[i] = 1.0 - holdout if sold else exploration if reachable else 0.0
        if uniform[i] < holdout:
            arm[i], share[i] = HOLDOUT, holdout
            if measured:
                asset[i] = channel[i] = -1
            queue[i] = _HELD
            handed_over[i] = False
        elif uniform[i] < holdout + exploration:
            arm[i], share[i] = EXPLORATION, exploration
            if measured:  # what is no promotion is left alone
                nth = np.int64(draw[i] % np.uint64(options))
                for a in range(assets):
                    if fit[i, a] >= 0:
                        for c in range(channels):
                            if permitted[i, a, c] and (a != assets - 1 or bare[c]):
                                if nth == 0:
                                    asset[i], channel[i] = a, c
                                nth -= 1
            if reachable and not sold:
                queue[i] = _WARM
                handed_over[i] = True
        else:
            arm[i], share[i] = ROUTED, routed
        if not measured:
            continue  # nothing is done in every arm, or the same
        if asset[i] < 0:
            propensity[i] = holdout
        else:
            propensity[i] = exploration / options
            if asset[i] == own and channel[i] == on:
                propensity[i] += routed
