"""Nurture resolved to small tables, and what it finds about each lead: track, stage, pace, windows, and what fits.

Nothing here permits anything: what does not fit is not chosen, what fits is still for the rules to allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.content import ActionSettings, Asset
from configs.nurture import MAX_PLACES, NurtureSettings, Step
from configs.settings import Settings
from features.columns import MAX_AGE_DAYS, exact
from features.engagement import EngagementPlan
from features.evaluate import Domain
from features.facts import Facts
from features.history import NEVER_COMMERCIAL_INTENT
from features.inventory import Inventory
from features.standing import NEVER_DAYS
from features.surely import Surely
from features.tables import Known
from serving.nurture.kernels import (
    ASSET_ROWS,
    CODES,
    NO_LEVEL,
    ROWS,
    TABLES,
    certain_from,
    fitness,
    paths,
    took,
    touched,
)

if TYPE_CHECKING:
    from serving.actions.actions import ActionPlan

IntArray = NDArray[np.integer[Any]]

# What makes one asset fitter than another, weightiest first: of the stage or offered by the segment there, of the
# lead's track alone, offered by the segment, of a kind the step names (earlier places count for more), of the exact
# product, asking for what the step asks for, about what the lead looked at last. Channels decide among what is left.
OF_STAGE, OF_TRACK, OFFERED, OF_KIND, OF_PRODUCT, OF_ACTION, OF_TOPIC = 16_384, 8_192, 4_096, 256, 128, 64, 32
_CODES = 256
_NO_TOUCH = -1


@dataclass(frozen=True, slots=True)
class Nurtured:
    """What nurture finds about `n` leads: the rows of `serving/nurture/kernels.py` `ROWS`, and what fits.

    `fit[i, a]` is -1 where asset a (the last one is a message without one) does not fit lead i, else how well.
    """

    found: NDArray[np.int32]
    fit: NDArray[np.int16]

    def of(self, start: int, stop: int) -> Nurtured:
        """The same about some of the leads."""
        return self if stop - start == len(self.fit) else Nurtured(self.found[:, start:stop], self.fit[start:stop])

    def row(self, name: str) -> NDArray[np.int32]:
        """One of the rows, for every lead."""
        found: NDArray[np.int32] = self.found[ROWS.index(name)]
        return found

    @property
    def stage(self) -> NDArray[np.int32]:
        """The place of each lead's stage among the stages of the actions."""
        return self.row("stage")

    @property
    def track(self) -> NDArray[np.int32]:
        """The place of each lead's track, -1 where it is on none."""
        return self.row("track")


@dataclass(frozen=True)
class NurturePlan:
    """Tracks, ladders, depths, sides and windows as tables by code; assets in the order of the facts."""

    settings: NurtureSettings
    stages: tuple[str, ...]
    depth_stage: Mapping[str, int]
    rules: Surely
    inventory: Inventory
    tables: NDArray[np.int16]
    days: NDArray[np.int32]
    taking: NDArray[np.bool_]
    assets: NDArray[np.int16]
    only: NDArray[np.uint64]
    step_worth: NDArray[np.int16]
    medical: int

    @classmethod
    def of(cls, settings: Settings, assets: Sequence[Asset], inventory: Inventory, domain: Domain) -> NurturePlan:
        """Resolve loaded settings against these assets."""
        own, actions, words = settings.nurture, settings.actions, settings.vocabularies
        tables = np.full((len(TABLES), _CODES), -1, dtype=np.int16)
        levels, shown, columns, roles, audiences, of_code, of_band, fast, valid = tables
        valid[:] = np.minimum(EngagementPlan.of(settings.features, words).valid_days, MAX_AGE_DAYS)
        for level, depths in enumerate(own.depths):
            for depth in depths:
                levels[words["depth"].code(depth)] = level
        shown[1:] = 0  # whatever it is, a lead that did something saw the first level
        for kind, depth in own.depth_by_event.items():
            shown[words["event_kind"].code(kind)] = levels[words["depth"].code(depth)]
        days = np.full((2 + len(own.tracks), len(own.kinds)), -1, dtype=np.int32)
        for column, kind in enumerate(own.kinds):
            columns[words["event_kind"].code(kind)] = column
            if kind in own.follow_up:
                days[:2, column] = own.follow_up[kind].after_days, own.follow_up[kind].within_days
            for t, track in enumerate(own.tracks):
                if track.enter is not None and kind in track.enter.events:
                    days[t + 2, column] = track.enter.within_days
        roles[:], audiences[:] = _sides(own, words["role"], "roles"), _sides(own, words["audience"], "audiences")
        if own.paced:
            for stage in words["stage"].values:
                if stage in actions.stages:
                    of_code[words["stage"].code(stage)] = actions.stages.index(stage)
        for place, band in enumerate(("unknown", *words["band"].values)):
            of_band[place] = actions.stages.index(actions.stage_by_band[band])
            fast[place] = band in own.fast_bands
        taking = np.zeros(_CODES, dtype=np.bool_)
        for kind in own.taken_by:
            taking[words["event_kind"].code(kind)] = True
        return cls(
            settings=own,
            stages=actions.stages,
            depth_stage={
                depth: actions.stages.index(actions.stage_by_depth.get(depth, actions.stages[-1]))
                for depths in own.depths
                for depth in depths
            },
            rules=Surely.of([track.when for track in own.tracks], domain),
            inventory=inventory,
            tables=tables,
            days=days,
            taking=taking,
            assets=_asset_table(own, actions, assets, words, levels),
            only=np.array([*(_bits(own, asset) for asset in assets), 0], dtype=np.uint64),
            step_worth=_step_worth(own, actions, assets),
            medical=words["intent"].code(NEVER_COMMERCIAL_INTENT),
        )

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of event that open a window or a track, in the order of `days`."""
        return self.settings.kinds

    @cached_property
    def _least(self) -> int:
        return certain_from(self.settings.least_human)

    def step(self, track: int, stage: int) -> Step | None:
        """What a track does at a stage; None on no track."""
        return None if track < 0 else self.settings.step(self.settings.tracks[track], self.stages[stage])

    @cached_property
    def _level_of_stage(self) -> tuple[int, ...]:
        """The deepest level that content of each stage may have."""
        depths = self.settings.depths
        return tuple(
            max((level for level, one in enumerate(depths) if any(self.depth_stage[d] <= g for d in one)), default=0)
            for g in range(len(self.stages))
        )

    def deepest(self, limit: int, ceiling: int, stage: int) -> int:
        """The deepest level of content: by what was seen, by the band's stage and by the stage."""
        return max(min(limit, self._level_of_stage[ceiling], self._level_of_stage[stage]), 0)

    def of_leads(
        self,
        known: Known,
        facts: Facts,
        band: IntArray,
        primary: IntArray,
        plan: ActionPlan,
        on: date,
    ) -> Nurtured:
        """Track, step, pace and windows of each lead, and what fits it; `plan` is the resolved plan of actions.

        INVARIANT: order of rows, what other products' events say and what is not known yet change nothing.
        """
        n = facts.n
        codes = _codes(facts)
        sent, last_sent = self._sent(known, plan, primary, codes)
        # Whom we met since has had an answer: what was done before the meeting asks for no follow-up.
        last_sent = np.maximum(last_sent, known.as_of_day - _days_since_meeting(facts)).astype(np.int32)
        found = np.empty((len(ROWS), n), dtype=np.int32)
        paths(
            known.event_starts, known.event_words, known.as_of_day, self._least, self.settings.seen_days,
            self.settings.overdue_days, self.tables, self.days, plan.segment_product, primary, band, codes,
            self.rules.holds(facts, on), sent, last_sent, found,
        )  # fmt: skip
        return Nurtured(found, self.fitting(found, self._taken(known, n), plan, primary, codes))

    def fitting(
        self,
        found: NDArray[np.int32],
        taken: NDArray[np.bool_],
        plan: ActionPlan,
        primary: IntArray,
        codes: NDArray[np.uint8],
    ) -> NDArray[np.int16]:
        """How well each asset fits each lead, -1 where it does not.

        Args:
            found: the rows of each lead, as `ROWS` names them.
            taken: lead by asset, what each took already; of no rows where that is not known.
            plan: the resolved plan of actions.
            primary: the place of each lead's primary segment.
            codes: the rows `CODES` of each lead; who asked a medical question gets a reply and nothing else.
        """
        fit = np.empty((found.shape[1], len(self.only)), dtype=np.int16)
        fitness(
            found, taken, plan.suits, plan.worth, self.step_worth, self.assets, self.only, plan.segment_product,
            primary, codes, OF_PRODUCT, OF_TOPIC, fit,
        )  # fmt: skip
        return fit

    def _sent(
        self, known: Known, plan: ActionPlan, primary: IntArray, codes: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        """The deepest level each lead was sent, and the last day something was."""
        n = len(primary)
        seen, last = np.full(n, NO_LEVEL, dtype=np.int16), np.full(n, _NO_TOUCH, dtype=np.int32)
        rows = known.touches
        size = len(rows["lead"]) if rows else 0
        if size:
            touched(
                exact(rows, "lead", np.int32, size), exact(rows, "asset", np.int32, size),
                exact(rows, "sent_at", np.int64, size), exact(rows, "intent", np.uint8, size), self.medical,
                self.inventory.places_of(known.asset_ids), self.assets, plan.segment_product, primary, codes,
                known.as_of_day, self.settings.seen_days, seen, last,
            )  # fmt: skip
        return seen, last

    def _taken(self, known: Known, n: int) -> NDArray[np.bool_]:
        """What each lead took itself or was shown, of no rows where nothing names content."""
        raw: Mapping[str, Any] = getattr(known.events, "unsorted", known.events)
        if not self.settings.taken_by or not raw or "asset" not in raw or not len(known.asset_ids):
            return np.empty((0, 0), dtype=np.bool_)
        size, taken = len(raw["lead"]), np.zeros((n, len(self.only)), dtype=np.bool_)
        human = exact(raw, "human", np.uint8, size) if "human" in raw else np.empty(0, dtype=np.uint8)
        took(
            exact(raw, "lead", np.int32, size), exact(raw, "asset", np.int32, size),
            exact(raw, "kind", np.uint8, size), exact(raw, "occurred_at", np.int64, size),
            exact(raw, "recorded_at", np.int64, size), human, self.inventory.places_of(known.asset_ids), self.taking,
            self._least, known.as_of_us, self.settings.taken_days, taken,
        )  # fmt: skip
        return taken


def _codes(facts: Facts) -> NDArray[np.uint8]:
    """The rows `CODES` of the leads, unknown where nothing builds a fact."""
    if facts.one is not None:
        return np.array([[facts.one.get(name, 0)] for name in CODES], dtype=np.uint8)
    found = np.zeros((len(CODES), facts.n), dtype=np.uint8)
    for row, name in enumerate(CODES):
        column = facts.columns.get(name)
        if column is not None:
            found[row] = column.reshape(-1)
    return found


def _days_since_meeting(facts: Facts) -> IntArray:
    """Days since the last meeting of each lead ended, beyond any day where there was none or nobody knows of one."""
    column = facts.columns.get("days_since_meeting")
    if facts.one is not None:
        column = np.array([facts.one.get("days_since_meeting", -1)])
    days = np.full(1, -1) if column is None else column.reshape(-1)
    return np.where(days < 0, NEVER_DAYS, days)


def _sides(own: NurtureSettings, vocabulary: Any, key: str) -> NDArray[np.uint8]:
    """Bits of the sides by code, none for whom no side names."""
    found = np.zeros(_CODES, dtype=np.uint8)
    for place, side in enumerate(own.sides.values()):
        for word in getattr(side, key):
            found[vocabulary.code(word)] |= 1 << place
    return found


def _bits(own: NurtureSettings, asset: Asset) -> int:
    return sum(1 << place for place, track in enumerate(own.tracks) if track.id in asset.tracks)


def _asset_table(
    own: NurtureSettings,
    actions: ActionSettings,
    assets: Sequence[Asset],
    words: Mapping[str, Any],
    levels: NDArray[np.int16],
) -> NDArray[np.int16]:
    """The rows `ASSET_ROWS` by asset; the last, a message without an asset, has no level, side, product or topic."""
    found = np.zeros((len(ASSET_ROWS), len(assets) + 1), dtype=np.int16)
    for place, asset in enumerate(assets):
        level = levels[words["depth"].code(asset.depth)] if own.depths else NO_LEVEL
        # A depth that no level names is deeper than any.
        level = len(own.depths) if own.depths and level == NO_LEVEL else level
        depth = actions.stage_by_depth.get(asset.depth, actions.stages[-1])
        side = sum(1 << at for at, one in enumerate(own.sides.values()) if asset.topic in one.topics)
        found[:, place] = (
            level, actions.stages.index(depth) if own.depths else 0, side, words["product"].code(asset.product),
            asset.depth == "overview", asset.intent == "medical_information", words["topic"].code(asset.topic),
        )  # fmt: skip
    found[:, -1] = NO_LEVEL, 0, 0, 0, True, False, 0
    return found


def _step_worth(own: NurtureSettings, actions: ActionSettings, assets: Sequence[Asset]) -> NDArray[np.int16]:
    """By track, stage and asset what the step adds to an asset's worth; the last row is of who is on no track."""
    found = np.zeros((len(own.tracks) + 1, len(actions.stages), len(assets) + 1), dtype=np.int16)
    for t, track in enumerate(own.tracks):
        for g, stage in enumerate(actions.stages):
            step = own.step(track, stage)
            for a, asset in enumerate(assets):
                found[t, g, a] = OF_TRACK * (track.id in asset.tracks)
                if step is not None and asset.kind in step.kinds and asset.layer in step.layers:
                    found[t, g, a] += OF_KIND * (MAX_PLACES - step.kinds.index(asset.kind))
                if step is not None and asset.call_to_action == step.call_to_action:
                    found[t, g, a] += OF_ACTION
    return found
