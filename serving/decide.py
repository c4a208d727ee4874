"""The only maker of decisions: tables in, decisions out, the same for one lead online and for millions in batch.

What is decided here is columnar and unrounded; words and rounding come later, in `serving/render.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.approvals import retired_ids
from configs.content import Asset
from configs.errors import BundleRefused
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.pipeline import FeatureSpec, features_of, signals_of
from features.readiness import with_readiness
from features.tables import YES, Known, Tables
from features.view import view_at
from models.bundle import read_bundle
from models.cold_start import cold_scores
from models.further import FurtherTarget
from models.scorecard import Scorecard
from models.scores import SEGMENT_FEATURE, Readiness
from models.segments.map import SegmentMap
from models.segments.statuses import StatusRules, purposes_of
from policy.book import Book
from policy.gates import gate_columns
from policy.rulings import Rulings, rule
from serving.actions.actions import ActionPlan, Chosen
from serving.actions.due import PARAMETER, due_at
from serving.actions.missing import Missing
from serving.actions.teams import Teams
from serving.arms.arms import Arms
from serving.channels import ChannelRulings, by_channel
from serving.decisions import Decisions as Decisions
from serving.handover.qualified import Qualifier
from serving.lead_rows import joined, open_cases_of, per_lead, rows_of
from serving.nurture.nurture import Nurtured, NurturePlan
from serving.reasons import Reasons
from serving.unfit import refuse_unfit
from serving.validity import calling_hours, permits_end

CHUNK_LEADS = 16_384
# Up to so many leads the whole rulings are kept, so that reasons need not be worked out again.
KEPT_LEADS = 512
GROUPS = ("fit", "engagement", "account", SEGMENT_FEATURE)
_WITHOUT_ASSETS = (
    "qualifier",
    "group_codes",
    "arms",
    "statuses",
    "purposes",
    "lead_stops",
    "teams",
    "_registers",
)
# What actions, lanes and the stages behind them rest on, beside the assets.
_BEHIND_ACTIONS = ("claims", "products", "actions", "label_changes", "nurture", "services", "qualification", "journeys")
_ACTION_FACTS = (
    "off_label_open",
    "adverse_event_open",
    "meeting_booked",
    "handover_open",
    "preferred_channel",
    "audience",
)


@dataclass(frozen=True)
class Decider:
    """Everything a decision needs, resolved once; frozen, so that an answer is of exactly one bundle and policy."""

    settings: Settings
    bundle_id: str
    readiness: Readiness
    spec: FeatureSpec
    segment_map: SegmentMap
    scorecard: Scorecard
    builder: FactBuilder
    inventory: Inventory
    assets: tuple[Asset, ...]
    plan: ActionPlan
    cold: bool = False
    requested: bool = False
    further: tuple[FurtherTarget, ...] = ()
    books: dict[date, Book] = field(default_factory=dict)
    reasons: Reasons = field(default_factory=Reasons)

    @classmethod
    def load(cls, bundle: Path, settings: Settings, *, on: date) -> Decider:
        """Read a bundle, whose hashes are checked before anything is parsed; raises BundleRefused or ConfigInvalid."""
        found = read_bundle(bundle)
        found.refuse_other_vocabularies(settings.vocabularies)
        for refused in gate_columns(found.spec.features, settings.data_use).dropped:
            raise BundleRefused(f"features.json: {refused.name} may never be used ({refused.rule} {refused.reason})")
        domain = Domain.of(settings)
        trained = SegmentMap.from_json(found.segment_map, domain)
        decider = cls.of(
            settings,
            bundle_id=found.bundle_id,
            readiness=found.readiness,
            spec=found.spec,
            # INVARIANT: a segment that was retired after a bundle was trained holds nobody; nobody has to train first.
            segment_map=trained.without(retired_ids(trained.definitions, settings.approvals)),
            scorecard=Scorecard.from_json(found.scorecard, domain, trained.segment_ids),
            cold=found.cold_start,
            further=found.further,
        )
        decider.book(on)
        return decider

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        bundle_id: str,
        readiness: Readiness,
        spec: FeatureSpec,
        segment_map: SegmentMap,
        scorecard: Scorecard,
        cold: bool = False,
        further: tuple[FurtherTarget, ...] = (),
    ) -> Decider:
        """Put a decider together from its parts; a `cold` one has learned nothing and goes by the points."""
        return cls(
            settings=settings,
            bundle_id=bundle_id,
            readiness=readiness,
            spec=spec,
            segment_map=segment_map,
            scorecard=scorecard,
            cold=cold,
            further=further,
            builder=FactBuilder.of(settings).weighing_as(spec, settings.vocabularies),
            inventory=Inventory.of_settings(settings),
            assets=settings.assets,
            plan=ActionPlan.of(
                settings.actions,
                segment_map.definitions,
                settings.assets,
                settings.vocabularies,
                settings.exploration.purposes,
            ),
        )

    def with_assets(self, assets: Sequence[Asset], *, requested: bool = False) -> Decider:
        """The same decider over another inventory, `requested` where it came with a request."""
        found = replace(
            self,
            requested=requested,
            inventory=Inventory.of_settings(self.settings, tuple(assets)),
            assets=tuple(assets),
            plan=ActionPlan.of(
                self.settings.actions,
                self.segment_map.definitions,
                tuple(assets),
                self.settings.vocabularies,
                self.settings.exploration.purposes,
            ),
        )
        for name in _WITHOUT_ASSETS:  # requests bring their own assets: what does not depend on them is resolved once
            found.__dict__[name] = getattr(self, name)
        return found

    @cached_property
    def nurture(self) -> NurturePlan:
        """Tracks, pace and windows, resolved against the assets."""
        return NurturePlan.of(self.settings, self.assets, self.inventory, self.segment_map.domain)

    @cached_property
    def qualifier(self) -> Qualifier:
        """Thresholds and lanes, compiled."""
        ids = tuple(definition.id for definition in self.segment_map.definitions)
        return Qualifier.of(self.settings, ids, self.segment_map.domain)

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """Place in GROUPS of each column of the readiness model."""
        return np.array([GROUPS.index(group) for group in self.readiness.groups])

    @cached_property
    def arms(self) -> Arms:
        """The standing experiment, resolved."""
        return Arms.of(self.settings, self.segment_map.domain)

    @cached_property
    def statuses(self) -> StatusRules:
        """The declared statuses, compiled."""
        return StatusRules.of(self.settings, self.segment_map.domain)

    @cached_property
    def purposes(self) -> tuple[int, ...]:
        """The place of each segment's purpose in PURPOSES."""
        return purposes_of(self.segment_map.definitions)

    @cached_property
    def lead_stops(self) -> NDArray[np.bool_]:
        """For each code of a suppression's reason whether it concerns the lead as a whole, not a channel."""
        return self.builder.standing.of_leads

    @cached_property
    def missing(self) -> Missing:
        """What somebody would have to supply or renew, remembered."""
        return Missing(self.segment_map.domain, self.settings.actions.renewable)

    @cached_property
    def teams(self) -> Teams:
        """Who works which queue."""
        words = self.settings.vocabularies
        return Teams.of(self.settings.actions, words["language"], words["country"])

    @cached_property
    def _case_kinds(self) -> tuple[int, int]:
        kinds = self.settings.vocabularies["case_kind"]
        return kinds.code("adverse_event"), kinds.code("complaint")

    def call_to_action(self, segment: int, stage: str) -> str | None:
        """What a segment's plan asks a lead to do at a stage."""
        return self.segment_map.definitions[segment].calls_to_action.get(stage)

    def _due_at(self, known: Known, facts: Facts, on: date) -> NDArray[np.int64]:
        adverse = per_lead(facts, "adverse_event_open") == YES
        asked = PARAMETER in self.settings.parameters and adverse.any()
        hours = int(self.segment_map.domain.parameter(PARAMETER, on)) if asked else None
        return due_at(known, adverse, self._case_kinds, hours)

    @cached_property
    def asset_ids(self) -> tuple[str, ...]:
        """Ids of the inventory, in the order of the facts."""
        return tuple(asset.asset_id for asset in self.assets)

    @cached_property
    def _registers(self) -> str:
        return self.settings.digest(*_BEHIND_ACTIONS)

    @cached_property
    def assets_version(self) -> str:
        """SHA-256 of assets, registers, actions, journeys and lanes, marked where the assets came with a request."""
        parts = [asset.model_dump_json() for asset in self.assets]
        parts.append(self._registers)
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return f"request:{digest}" if self.requested else digest

    def versions(self, book: Book) -> dict[str, str]:
        """What a decision rests on: the bundle, the segment map, the policy of the day, the feature set, the assets."""
        return {
            "bundle": self.bundle_id,
            "segments": self.segment_map.hash,
            "policy": book.hash,
            "policy_review": book.review,
            "features": self.spec.version,
            "assets": self.assets_version,
        }

    @cached_property
    def attributes(self) -> Mapping[str, bool]:
        """The custom columns that the bundle learned from, and whether each holds categories; else numbers."""
        return {f.field: f.categorical for f in self.spec.features if f.source == "attribute"}

    @cached_property
    def declared(self) -> Mapping[str, str]:
        """The custom columns that the bundle learned from as health or prescriber data."""
        return {f.field: f.declared for f in self.spec.features if f.declared}

    def refuse_unfit(self, tables: Tables) -> None:
        """Raise BundleRefused where the tables hold nothing of what the bundle learned from."""
        refuse_unfit(self.spec, self.attributes, tables)

    def book(self, on: date) -> Book:
        """The rule book in force on a day; the last days' books are kept."""
        found = self.books.get(on)
        if found is None:
            if len(self.books) >= 8:
                self.books.clear()
            found = self.books[on] = Book.load(self.settings, on)
        return found

    def decide(self, tables: Tables, as_of: datetime, *, replay: bool = False, threads: int | None = None) -> Decisions:
        """Decide about every lead of the tables as known at `as_of`; a replay grants no permit.

        INVARIANT: no lead's decision depends on row order, on what became known after `as_of`, or on how many leads
        are decided at once.
        """
        if self.declared:
            tables = replace(tables, declared={**tables.declared, **self.declared})
        known = view_at(tables, as_of, self.builder.view, threads=threads)
        signals = signals_of(known, self.builder.plan, self.builder.decision_maker, threads=threads)
        features = features_of(known, self.spec, signals, threads=threads)
        facts = facts_of(known, self.builder, self.inventory, signals)
        prior = self.segment_map.prior_of(known.memberships, known.segment_ids.tolist(), len(known.lead_ids))
        members = self.segment_map.members(facts, prior, as_of=as_of)
        facts = self.segment_map.told(facts, members, self.inventory, self.builder, known.as_of_day)
        points = self.scorecard.points(facts, members.primary)
        scores = self.readiness.predict(features.matrix, members.primary)
        if self.cold:
            scores = cold_scores(scores, points)
        on = as_of.astimezone(UTC).date()
        book, deciding = self.book(on), self.statuses.deciding(facts, on)
        open_cases = open_cases_of(known, facts, self.builder)
        qualified = self.qualifier.qualified(facts, members.primary, scores.band, points, on)
        nurtured = self.nurture.of_leads(known, facts, scores.band, members.primary, self.plan, on)
        rulings, chosen, ruled = self._ruled(book, facts, open_cases, members.primary, qualified.lane, nurtured, replay)
        chosen, assigned = self.arms.settle(
            chosen, self.plan, known, facts, rulings.passes, nurtured.fit, members.primary, on
        )
        told = facts
        if self.segment_map.has_overlays:
            # INVARIANT: rules have spoken before the band is told, so that no score can imply a permission.
            told = with_readiness(facts, scores.band, scores.probability, hidden=rulings.no_score)
            members = self.segment_map.overlaid(members, told, prior, as_of=as_of)
        return Decisions(
            decider=self,
            book=book,
            as_of=as_of,
            replay=replay,
            known=known,
            features=features,
            facts=facts,
            members=members,
            scores=scores,
            points=points,
            rulings=rulings,
            chosen=chosen,
            assigned=assigned,
            ruled=ruled,
            deciding=deciding,
            told=told,
            permits_end=permits_end(
                known,
                len(book.channels),
                self.settings.actions.valid_hours,
                self.builder.feed_max_age_days,
                suppressions=known.suppressions,
                lead_stops=self.lead_stops,
                calling=calling_hours(self.settings, on).ends(facts, known.as_of_us, len(book.channels)),
            ),
            suspect_share=signals.measures.suspect_share(),
            due_at=self._due_at(known, facts, on),
            nurtured=nurtured,
            qualified=qualified,
            further=tuple(
                target.answers(features.matrix, members.primary, known.leads.get("product_interest"))
                for target in self.further
            ),
        )

    def _ruled(
        self,
        book: Book,
        facts: Facts,
        open_cases: NDArray[np.uint8],
        primary: NDArray[np.int32],
        lane: NDArray[np.int8],
        nurtured: Nurtured,
        replay: bool,
    ) -> tuple[ChannelRulings, Chosen, Rulings | None]:
        """Rule and choose, a bounded number of leads at a time: lead by asset by channel is the widest thing here."""
        parts: list[tuple[ChannelRulings, Chosen]] = []
        for start in range(0, max(facts.n, 1), CHUNK_LEADS):
            stop = min(start + CHUNK_LEADS, facts.n)
            part = facts if stop - start == facts.n else rows_of(facts, start, stop)
            ruled = rule(book, part)
            lead_facts = {name: per_lead(part, name) for name in _ACTION_FACTS}
            lead_facts["open_case"] = open_cases[start:stop]
            shown = by_channel(ruled, self.plan.replies, lead_facts["off_label_open"], replay)
            chosen = self.plan.choose(
                shown.passes,
                nurtured.of(start, stop),
                primary[start:stop],
                lane[start:stop],
                shown.no_score,
                lead_facts,
            )
            parts.append((shown, chosen))
        if len(parts) == 1:
            return *parts[0], ruled if facts.n <= KEPT_LEADS else None
        return joined([p[0] for p in parts]), joined([p[1] for p in parts]), None
