"""The arm of each lead: drawn after the rules have spoken, it withholds or tries out, and permits nothing.

INVARIANT: an exploring lead gets an action out of those that are permitted and suit it; a held-out lead gets no action
of a measured purpose; a lead that asked for something, or may be a patient, is in no arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.evaluate import Domain
from features.facts import Facts
from features.tables import Known
from models.assignment import ARMS, OUTSIDE, Lottery
from serving.actions.actions import ActionPlan, Chosen
from serving.arms.kernels import settle_arms
from serving.kernels import QUEUE_KEYS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Assigned:
    """For each lead its arm (a place in ARMS) and how likely things were, given everything known of it.

    `share` is the chance of the arm, `propensity` that of the action over all arms, `handover` that of being handed to
    sales; `unit` is who drew the arm (`account ID` or `lead ID`), empty where nobody could; `planned` is what would
    have been done outside of any arm.
    """

    period: str
    arm: NDArray[np.int8]
    share: Floats
    propensity: Floats
    handed_over: NDArray[np.bool_]
    handover: Floats
    unit: NDArray[np.object_]
    planned: Chosen

    def words(self, row: int) -> dict[str, Any]:
        """A lead's assignment as an answer tells it, unrounded."""
        return {
            "arm": ARMS[self.arm.item(row)],
            "period": self.period,
            "share": self.share.item(row),
            "propensity": self.propensity.item(row),
            "handed_over": self.handed_over.item(row),
            "handover_propensity": self.handover.item(row),
        }


@dataclass(frozen=True)
class Arms:
    """The lottery, resolved against what may be measured: asset by intent, segment by purpose."""

    lottery: Lottery

    @classmethod
    def of(cls, settings: Settings, domain: Domain) -> Arms:
        """The arms of loaded settings."""
        return cls(Lottery.of(settings, domain))

    def settle(
        self,
        chosen: Chosen,
        plan: ActionPlan,
        known: Known,
        facts: Facts,
        permitted: NDArray[np.bool_],
        fit: NDArray[np.int16],
        primary: NDArray[np.int32],
        on: date,
    ) -> tuple[Chosen, Assigned]:
        """What is done in each lead's arm; `permitted` is lead by asset by channel, and says all that may be done.

        `fit` is lead by asset, negative where an asset does not fit the lead.
        """
        settings, n = self.lottery.settings, facts.n
        period = settings.period_of(on)
        if not settings.is_on(on):
            sold = np.isin(chosen.queue, (QUEUE_KEYS.index("hot"), QUEUE_KEYS.index("warm")))
            one, nobody = np.ones(n), np.full(n, "", dtype=object)
            outside = np.full(n, OUTSIDE, dtype=np.int8)
            return chosen, Assigned(period, outside, one, one, sold, sold.astype(np.float64), nobody, chosen)
        unit, uniform = self._drawn(known, period)
        draw = self._actions(known, period, uniform)
        asset, channel, queue = chosen.asset.copy(), chosen.channel.copy(), chosen.queue.copy()
        share, propensity, handover = np.empty((3, n))
        arm, handed_over = np.empty(n, dtype=np.int8), np.empty(n, dtype=np.bool_)
        found = Assigned(period, arm, share, propensity, handed_over, handover, unit, chosen)
        # INVARIANT: whatever `never` says, nobody is tried out on who is known to be a patient or a caregiver.
        exempt = self.lottery.exempt(facts, on) | plan.patient_codes[facts.columns["audience"].reshape(-1)]
        settle_arms(
            uniform, draw, exempt, settings.holdout_share, settings.exploration_share,
            plan.usable(permitted, primary), fit, plan.bare_channels, plan.personal, plan.measured_asset,
            plan.measured_segment, primary, asset, channel, queue, arm, share, propensity, handed_over, handover,
        )  # fmt: skip
        return Chosen(asset=asset, channel=channel, stage=chosen.stage, queue=queue), found

    def _actions(self, known: Known, period: str, uniform: Floats) -> NDArray[np.uint64]:
        """What draws the action of each exploring lead, 0 of others; colleagues share the arm and not the action."""
        low, draw = self.lottery.settings.holdout_share, np.zeros(len(uniform), dtype=np.uint64)
        high = low + self.lottery.settings.exploration_share
        if len(uniform) == 1 and not low <= uniform.item() < high:
            return draw
        for row in np.flatnonzero((uniform >= low) & (uniform < high)).tolist():
            draw[row] = self.lottery.digest(f"action {known.lead_ids[_person(known, row)]}", period)
        return draw

    def _drawn(self, known: Known, period: str) -> tuple[NDArray[np.object_], Floats]:
        """Who draws for each lead, and what was drawn: the account where that is the unit and it has one."""
        n = len(known.lead_ids)
        names = np.empty(n, dtype=object)
        account = known.leads.get("account") if self.lottery.settings.unit == "account" else None
        for row in range(n):
            at = -1 if account is None else int(account[row])
            own = known.lead_ids[_person(known, row)] if at < 0 else known.account_ids[at]
            names[row] = f"lead {own}" if at < 0 else f"account {own}"
        if n == 1:
            return names, self.lottery.uniforms(names.tolist(), period)
        once = {unit: place for place, unit in enumerate(dict.fromkeys(names.tolist()))}
        drawn = self.lottery.uniforms(list(once), period)
        return names, drawn[np.fromiter((once[name] for name in names.tolist()), dtype=np.int64, count=n)]


def _person(known: Known, row: int) -> int:
    """The row that speaks for a lead's person."""
    return row if known.merged is None else int(known.merged.survivor[row])
