"""The next best action: the best of what is permitted and fits the lead, or none, and whose queue it is.

Nothing here permits anything. Content is never deeper than the stage and of no later layer; a segment's purpose bounds
the intents; an open off-label question is answered with medical information only. What fits a lead at its stage and
pace, `serving/nurture/` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.content import ActionSettings, Asset
from configs.definitions import SegmentDefinition
from configs.vocabulary import Vocabularies
from serving.kernels import QUEUE_KEYS, best_pairs
from serving.nurture.nurture import OF_STAGE, OFFERED, Nurtured

IntArray = NDArray[np.integer[Any]]

NO_ACTION = -1
_PREFERRED = 16


@dataclass(frozen=True, slots=True)
class Chosen:
    """For each lead the chosen asset and channel (-1: no action), the stage, and the queue."""

    asset: NDArray[np.int16]
    channel: NDArray[np.int8]
    stage: NDArray[np.int8]
    queue: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class ActionPlan:
    """Segments, assets and action settings resolved to small lookup tables; the last asset is the message without one.

    `suits[s, g, a]` says whether asset a suits segment s at stage g; `worth` adds the preference for it; `ranks[s, c]`
    prefers the channels of the segment's plan, and `closed[s, c]` marks those it never chooses. `measured_asset` and
    `measured_segment` mark what is measured.
    """

    settings: ActionSettings
    suits: NDArray[np.bool_]
    worth: NDArray[np.int16]
    ranks: NDArray[np.int16]
    closed: NDArray[np.bool_]
    planned: tuple[tuple[int, ...], ...]
    segment_product: NDArray[np.int16]
    replies: NDArray[np.bool_]
    bare_channels: NDArray[np.bool_]
    patient_codes: NDArray[np.bool_]
    personal: NDArray[np.bool_]
    measured_asset: NDArray[np.bool_]
    measured_segment: NDArray[np.bool_]
    orders: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        settings: ActionSettings,
        segments: Sequence[SegmentDefinition],
        assets: Sequence[Asset],
        vocabularies: Vocabularies,
        measured: Sequence[str] = (),
    ) -> ActionPlan:
        """Resolve the plan; the order of `segments` and `assets` is that of the segment map and of the facts.

        `measured` are the purposes whose actions the standing experiment withholds (`serving/arms/arms.py`).
        """
        stages, channels, products = settings.stages, vocabularies["channel"].values, vocabularies["product"]
        shape = (len(segments), len(stages), len(assets) + 1)
        suits, worth = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int16)
        ranks = np.zeros((len(segments), len(channels)), dtype=np.int16)
        closed = np.zeros(ranks.shape, dtype=bool)
        evaluation = stages.index(settings.stage_by_depth.get("comparison", stages[-1]))
        for s, segment in enumerate(segments):
            plan = (*segment.channel_plan, *settings.channel_order.get(segment.purpose, ()))
            for c, channel in enumerate(channels):
                ranks[s, c] = len(channels) - plan.index(channel) if channel in segment.channel_plan else 0
                if ranks[s, c] <= 0 and channel in plan:
                    ranks[s, c] = -plan.index(channel)
                unplanned = channel in settings.planned_channels and channel not in segment.channel_plan
                closed[s, c] = unplanned or channel in settings.audience_channels
            intents = settings.intents_by_purpose.get(segment.purpose, ())
            for g, stage in enumerate(stages):
                suits[s, g, -1] = g >= evaluation
                for a, asset in enumerate(assets):
                    offered = asset.asset_id in segment.offers.get(stage, ())
                    # INVARIANT: never beyond the stage: what is made for later ones only waits, unless offered here.
                    here = offered or not asset.stages or min(map(stages.index, asset.stages)) <= g
                    suits[s, g, a] = asset.intent in intents and here and settings.first_stage(asset) <= g
                    # INVARIANT: never shallower than the stage where something of the stage may be sent.
                    worth[s, g, a] = OFFERED * offered + OF_STAGE * (offered or stage in asset.stages)
        audience = vocabularies["audience"]
        return cls(
            settings=settings,
            suits=suits,
            worth=worth,
            ranks=ranks,
            closed=closed,
            planned=tuple(tuple(channels.index(c) for c in segment.channel_plan) for segment in segments),
            segment_product=np.array([products.code(s.product) for s in segments], dtype=np.int16),
            replies=np.array([*(a.intent == "medical_information" for a in assets), False]),
            bare_channels=np.array([c in settings.without_asset_channels for c in channels]),
            patient_codes=np.array([v in ("patient", "caregiver") for v in ("unknown", *audience.values)]),
            personal=np.array([c in settings.follow_up_channels for c in channels]),
            measured_asset=np.array([*(a.intent in measured for a in assets), False]),
            measured_segment=np.array([s.purpose in measured for s in segments]),
        )

    def choose(
        self,
        permitted: NDArray[np.bool_],
        nurtured: Nurtured,
        primary: IntArray,
        lane: IntArray,
        no_score: NDArray[np.bool_],
        facts: Mapping[str, NDArray[Any]],
    ) -> Chosen:
        """The best permitted (asset, channel) of each lead, by preference; ties fall to the first asset and channel.

        `facts` gives the per-lead codes of off_label_open, adverse_event_open, meeting_booked, handover_open,
        preferred_channel and audience, and open_case as `serving/kernels.py` numbers it.
        """
        n = len(permitted)
        asset, channel = np.empty(n, dtype=np.int16), np.empty(n, dtype=np.int8)
        queue = np.empty(n, dtype=np.int8)
        best_pairs(
            permitted,
            nurtured.fit,
            self.ranks,
            self.closed,
            self.bare_channels,
            self.personal,
            primary,
            lane,
            facts["off_label_open"],
            facts["adverse_event_open"],
            facts["meeting_booked"],
            facts["handover_open"],
            facts["open_case"],
            no_score,
            self.patient_codes,
            facts["audience"],
            facts["preferred_channel"],
            _PREFERRED,
            asset,
            channel,
            queue,
        )
        return Chosen(asset=asset, channel=channel, stage=nurtured.stage.astype(np.int8), queue=queue)

    def usable(self, permitted: NDArray[np.bool_], primary: IntArray) -> NDArray[np.bool_]:
        """What is permitted of lead, asset and channel, without the channels that the lead's segment never chooses."""
        return np.asarray(permitted & ~self.closed[primary][:, None, :])

    def preference(self, segment: int, preferred: int) -> tuple[int, ...]:
        """Channels of a segment's plan and the one the lead prefers (its code), the most preferred first."""
        key = (segment, preferred)
        found = self.orders.get(key)
        if found is None:
            named = {*self.planned[segment], *((preferred - 1,) if preferred else ())}
            order = sorted(named, key=lambda c: (-int(self.ranks[segment, c]) - _PREFERRED * (c == preferred - 1), c))
            found = self.orders[key] = tuple(c for c in order if not self.closed[segment, c])
        return found

    def verb(self, asset: Asset | None, channel: str) -> str:
        """What is done: by the kind of the asset, or by the channel where nothing is sent along."""
        return self.settings.verbs.get(asset.kind if asset else channel, "contact")

    def queue(self, key: int, territory: str | None) -> str:
        """Name of the queue, with the lead's territory where that queue is divided by territory."""
        name = self.settings.queues.get(QUEUE_KEYS[key], "nurture")
        return f"{name}/{territory}" if territory and name in self.settings.territory_queues else name
