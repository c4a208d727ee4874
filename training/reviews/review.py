"""What a review of the segment map is shown: size, conversion and reading then and now, and what to do about it.

The definitions of today are laid on what was known at earlier instants, so every number says how today's segments
would have stood then; nothing recorded later is in it. A cohort's conversion counts outcomes in the horizon after its
instant. Suggestions are for a person to judge: nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import facts_used
from configs.content import Asset
from configs.definitions import SegmentDefinition
from configs.governance import ReviewRules
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.campaigns import Campaign
from features.inventory import Inventory
from features.links import follow_links
from features.tables import MICROSECONDS_A_DAY, Known, Tables, microseconds
from features.view import view_at
from models.segments.map import SegmentMap
from models.segments.review_due import Due, due_of
from models.shares import Share
from training.dataset.targets import labels
from training.proposals.material import barred_people, eligible
from training.reviews.advice import notes_of, signs_of, suggestions_of
from training.reviews.amendments import amendments_of
from training.reviews.diagnosis import Behaviour, Diagnosis, diagnosis_of
from training.reviews.evidence import (
    Bools,
    Change,
    Overlap,
    Point,
    Reading,
    Review,
    SegmentReview,
    Split,
    change_of,
    splits_by_need,
    splits_by_rate,
)
from training.reviews.feedback import answers_of, feedback_of
from training.reviews.telling import Answered

Progress = Callable[[str, float], None]
# Where somebody lives, came from or stands with us is no need of theirs.
NOT_A_NEED = ("jurisdiction", "lifecycle", "lead_source", "referral_source", "preferred_channel", "account_kind")
# Of so little reading nobody can say what it is about most.
MIN_READ = 3.0
# Topics with a smaller share of the reading are not named.
NAMED_TOPIC = 0.1
_SIXTEENTHS = 16.0


def review(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    *,
    campaigns: Sequence[Campaign] = (),
    progress: Progress | None = None,
) -> Review:
    """Review every segment that somebody approved, as of an instant, with what was known at earlier ones."""
    tell = progress or (lambda what, share: None)
    due = due_of(settings, as_of.date(), campaigns)
    looked = _Look(tables, settings, as_of, tell)
    found = tuple(
        _reviewed(s, definition, looked, due.get(definition.id, ()))
        for s, definition in enumerate(looked.segment_map.definitions)
    )
    tell("done", 1.0)
    leads = int(looked.now.known.present.sum())
    everybody = np.ones(len(tables.lead_ids), dtype=np.bool_)
    said = feedback_of(looked.answers, everybody, settings.feedback, 1)
    return Review(as_of, leads, looked.horizon.days, looked.rules.back_days, due, found, said)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The map laid on what was known at one instant, and who converted in the horizon after it, by outcome kinds."""

    known: Known
    facts: Facts
    member: Bools
    reached: Mapping[tuple[str, ...], Bools] | None


class _Look:
    """What is needed of every instant, each looked at once; whole memberships are kept of four of them only."""

    def __init__(self, tables: Tables, settings: Settings, as_of: datetime, tell: Progress) -> None:
        self.tables, self.settings, self.as_of = tables, settings, as_of
        self.rules: ReviewRules = settings.governance.review
        self.horizon = timedelta(days=settings.targets.served.horizon_days)
        self.domain, self.builder = Domain.of(settings), FactBuilder.of(settings)
        self.inventory = Inventory.of((), settings.vocabularies)
        self.segment_map = SegmentMap.load(settings, self.domain)
        self.kinds = [_kinds(d, settings) for d in self.segment_map.definitions]
        days = sorted({k * self.rules.every_days for k in range(self.rules.points)}, reverse=True)
        kept = (0, self.rules.back_days, self.horizon.days, 2 * self.horizon.days)
        self.points: list[list[Point]] = [[] for _ in self.segment_map.definitions]
        moments: dict[int, _Moment] = {}
        every = sorted({*days, *kept}, reverse=True)
        for number, back in enumerate(every):
            tell(f"as known on {as_of - timedelta(days=back):%Y-%m-%d}", number / len(every))
            moment = self._at(as_of - timedelta(days=back))
            if back in days:
                self._note(moment)
            if back in kept:
                moments[back] = moment
        self.now, self.before = moments[0], moments[self.rules.back_days]
        self.cohort, self.cohort_before = moments[self.horizon.days], moments[2 * self.horizon.days]
        self.topics = settings.vocabularies["topic"].values
        self.told = _tellable(settings, self.domain)
        self.may_split = [eligible(m.known.present, m.facts, self.domain)[0] for m in (self.now, *self._cohorts)]
        # Who may not be looked at now may not be looked at as of an earlier day either.
        barred = barred_people(self.now.known, self.may_split[0])
        self.may_split = [may & ~barred for may in self.may_split]
        self.weights, self.read = self._read()
        kinds = settings.vocabularies["outcome_kind"]
        people = follow_links(tables, as_of, self.builder.view.links)
        self.answers = answers_of(people.outcomes, kinds, settings.feedback, as_of, self.rules.back_days)

    @property
    def _cohorts(self) -> tuple[_Moment, _Moment]:
        return self.cohort, self.cohort_before

    def _at(self, instant: datetime) -> _Moment:
        known = view_at(self.tables, instant, self.builder.view)
        facts = facts_of(known, self.builder, self.inventory)
        found = self.segment_map.members(facts, as_of=instant, approved_on=self.as_of.date())
        member = found.member & known.present[:, None]
        if instant + self.horizon > self.as_of:
            return _Moment(known, facts, member, None)
        people = follow_links(self.tables, instant, self.builder.view.links)
        reached = {kinds: labels(people, self.settings, instant, self.as_of, kinds) for kinds in set(self.kinds)}
        return _Moment(known, facts, member, reached)

    def _note(self, moment: _Moment) -> None:
        total = int(moment.known.present.sum())
        for s, kinds in enumerate(self.kinds):
            member = moment.member[:, s]
            size = Share(int(member.sum()), total)
            done = None if moment.reached is None else Share(int((member & moment.reached[kinds]).sum()), size.hits)
            self.points[s].append(Point(moment.known.as_of.date(), size, done))

    def _read(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Reading in the window by lead and topic, in events a person made, and the topic each lead read most about."""
        n, width = len(self.tables.lead_ids), len(self.topics) + 1
        rows = self.recent(self.now.known.events, "occurred_at")
        if not rows:
            return np.zeros((n, width)), np.zeros(n, dtype=np.int64)
        weight = rows["human"] / _SIXTEENTHS if "human" in rows else np.ones(len(rows["lead"]))
        place = rows["lead"].astype(np.int64) * width + rows["topic"]
        weights = np.bincount(place, weights=weight, minlength=n * width).astype(np.float64).reshape(n, width)
        most = weights[:, 1:].argmax(axis=1).astype(np.int64) + 1
        return weights, np.where(weights[:, 1:].sum(axis=1) >= MIN_READ, most, np.int64(0))

    def answered(self, s: int) -> Answered:
        """Who was turned down for what and who was taken, in the window; without whom nobody may look at."""
        answers, n = self.answers, len(self.tables.lead_ids)
        inside = (self.now.member[:, s] | self.before.member[:, s]) & self.may_split[0]
        kept = answers.late & inside[answers.lead]

        def among(rows: Bools) -> Bools:
            found = np.zeros(n, dtype=np.bool_)
            found[answers.lead[rows & kept]] = True
            return found

        reasons = self.settings.feedback.reasons
        declared = {name for name, fact in self.domain.facts.items() if fact.per == "lead"}
        return Answered(
            turned={one.id: among(~answers.taken & (answers.reason == place)) for place, one in enumerate(reasons)},
            taken=among(answers.taken),
            member=self.now.member[:, s],
            codes={name: _codes(self.now.facts, name) for name in self.now.facts.columns if name in declared},
            read=self.weights,
            did=self.did,
            told=tuple(self.told),
            on=self.as_of.date(),
            back_days=self.rules.back_days,
        )

    @cached_property
    def did(self) -> Mapping[str, Bools]:
        """Who did which kind of event in the window."""
        rows, n = self.recent(self.now.known.events, "occurred_at"), len(self.tables.lead_ids)
        kinds = self.settings.vocabularies["event_kind"].values
        return {
            kind: np.bincount(rows["lead"][rows["kind"] == code], minlength=n) > 0
            for code, kind in enumerate(kinds, start=1)
            if rows
        }

    def recent(self, columns: Mapping[str, NDArray[Any]], own: str) -> dict[str, NDArray[Any]]:
        """Rows of known leads in the window before the review."""
        if not columns:
            return {}
        since = microseconds(self.as_of) - self.rules.back_days * MICROSECONDS_A_DAY
        kept = (columns[own] > since) & (columns["lead"] >= 0)
        return {name: column[kept] for name, column in columns.items()}


def _reviewed(s: int, d: SegmentDefinition, look: _Look, due: tuple[Due, ...]) -> SegmentReview:
    rules, kinds, questions = look.rules, look.kinds[s], len(look.segment_map.definitions)
    size = change_of(_size(look.before, s), _size(look.now, s), rules.size_ratio, rules.min_leads, questions)
    rates = [_rate(moment, s, kinds) for moment in (look.cohort_before, look.cohort)]
    found = SegmentReview(
        definition=d,
        due=due,
        points=tuple(look.points[s]),
        size=size,
        like_for_like=_like_for_like(s, look),
        conversion=change_of(rates[0], rates[1], rules.conversion_ratio, rules.min_leads, questions),
        converts_by=kinds,
        reading=_reading(s, d, look),
        overlaps=() if d.residual else tuple(_overlaps(s, look)),
        splits=() if d.residual else tuple(_splits(s, kinds, look)),
        feedback=feedback_of(
            look.answers, look.now.member[:, s] | look.before.member[:, s], look.settings.feedback, questions
        ),
    )
    found = replace(
        found,
        amendments=amendments_of(d, found.feedback, look.settings, look.answered(s)) if found.feedback else (),
        diagnosis=_diagnosis(found, s, kinds, look),
    )
    return replace(
        found,
        signs=tuple(signs_of(found, rules)),
        notes=tuple(notes_of(found, rules)),
        suggestions=tuple(suggestions_of(found, rules, look.segment_map.definitions)),
    )


def _diagnosis(found: SegmentReview, s: int, kinds: tuple[str, ...], look: _Look) -> Diagnosis | None:
    """Where to look where the cohort's members converted surely less than everybody else of it."""
    if look.cohort.reached is None:
        return None
    reached, here = look.cohort.reached[kinds], look.cohort.known.present
    own, rest = (here & side for side in (look.cohort.member[:, s], ~look.cohort.member[:, s]))
    shares = [Share(int((who & reached).sum()), int(who.sum())) for who in (own, rest)]
    questions = len(look.segment_map.definitions)
    return diagnosis_of(found, shares[0], shares[1], _behaviour(s, look), look.settings.learning, questions)


def _behaviour(s: int, look: _Look) -> Behaviour:
    """How members evaluate now beside all others, of those whose stage some event shows."""
    member, here = look.now.member[:, s], look.now.known.present
    stage = _codes(look.now.facts, "buying_stage")
    stages = look.settings.actions.stages
    far = stages.index("evaluation") + 1 if "evaluation" in stages else len(stages)
    sides = [Share(int((w & (stage >= far)).sum()), int(w.sum())) for w in (member & here, ~member & here)]
    product = look.segment_map.definitions[s].product
    rows = look.recent(look.now.known.events, "occurred_at") if product is not None else {}
    if not rows or "product" not in rows:
        return Behaviour(sides[0], sides[1], None)
    named = rows["product"][member[rows["lead"]] & (rows["product"] > 0)]
    code = look.settings.vocabularies["product"].code(product)
    return Behaviour(sides[0], sides[1], Share(int((named != code).sum()), len(named)))


def _like_for_like(s: int, look: _Look) -> Change | None:
    """The change of size among leads of whom every fact of the entry condition was known then, and is known now."""
    direct = look.segment_map.activations[s].direct
    if direct is None:
        return None
    shares = []
    for moment in (look.before, look.now):
        known = moment.known.present.copy()
        for fact in facts_used(direct):
            column = moment.facts.columns.get(fact)
            known &= False if column is None else column.reshape(-1) != look.domain.unknown(fact)
        shares.append(Share(int((moment.member[:, s] & known).sum()), int(known.sum())))
    rules, questions = look.rules, len(look.segment_map.definitions)
    return change_of(shares[0], shares[1], rules.size_ratio, rules.min_leads, questions)


def _size(moment: _Moment, s: int) -> Share:
    return Share(int(moment.member[:, s].sum()), int(moment.known.present.sum()))


def _rate(moment: _Moment, s: int, kinds: tuple[str, ...]) -> Share:
    member = moment.member[:, s]
    reached = moment.reached[kinds] if moment.reached is not None else np.zeros_like(member)
    return Share(int((member & reached).sum()), int(member.sum()))


def _reading(s: int, d: SegmentDefinition, look: _Look) -> Reading:
    member = look.now.member[:, s]
    inventory = {asset.asset_id: asset for asset in look.settings.assets}
    ids = dict.fromkeys(a for ids in d.offers.values() for a in ids)
    # What answers a medical question is nobody's marketing: who reads it is not looked at.
    offered = [inventory[a] for a in ids if a in inventory and inventory[a].intent != "medical_information"]
    topics = [topic for topic in dict.fromkeys(a.topic for a in offered) if topic is not None and topic in look.topics]
    places = [look.topics.index(topic) for topic in topics]
    own, everybody = (look.weights[rows, 1:].sum(axis=0) for rows in (member, look.now.known.present))
    share, of_all = own / max(float(own.sum()), 1e-9), everybody / max(float(everybody.sum()), 1e-9)
    readers = int((look.weights[member, 1:].sum(axis=1) > 0).sum())
    best = float(np.sort(share)[::-1][: len(places)].sum())
    enough = bool(places) and readers >= look.rules.min_leads and best > 0
    most = share.argsort(kind="stable")[::-1].tolist()
    missing = [(look.topics[t], float(share[t])) for t in most if t not in places and share[t] >= NAMED_TOPIC]
    return Reading(
        members=readers,
        offered=float(share[places].sum()),
        of_all=float(of_all[places].sum()),
        best=best,
        match=float(share[places].sum()) / best if enough else None,
        topics=tuple(topics),
        missing=tuple(missing[:3]),
        untouched=tuple(_untouched(member, offered, look)),
    )


def _untouched(member: Bools, offered: Sequence[Asset], look: _Look) -> list[tuple[str, int]]:
    """Offered assets that no member touched in the window, with how often they were sent to members."""
    place = {asset_id: i for i, asset_id in enumerate(look.now.known.asset_ids.tolist())}
    counts = []
    for columns, own in ((look.now.known.events, "occurred_at"), (look.now.known.touches, "sent_at")):
        rows = look.recent(columns, own)
        if not rows or "asset" not in rows:
            counts.append(np.zeros(len(place) + 1, dtype=np.int64))
            continue
        kept = member[rows["lead"]] & (rows["asset"] >= 0)
        counts.append(np.bincount(rows["asset"][kept], minlength=len(place) + 1))
    found = [(a.asset_id, place.get(a.asset_id, -1)) for a in offered]
    return [(name, int(counts[1][i]) if i >= 0 else 0) for name, i in found if i < 0 or counts[0][i] == 0]


def _overlaps(s: int, look: _Look) -> list[Overlap]:
    """Other segments with which at least a twentieth is shared, the largest overlap first."""
    found = []
    for other, definition in enumerate(look.segment_map.definitions):
        if other == s or definition.residual:
            continue
        now, then = (_jaccard(m.member[:, s], m.member[:, other]) for m in (look.now, look.before))
        mine = look.now.member[:, s]
        inside = float((mine & look.now.member[:, other]).sum()) / max(int(mine.sum()), 1)
        if max(now, inside) >= 0.05:
            found.append(Overlap(definition.id, now, then, inside))
    return sorted(found, key=lambda overlap: (-overlap.inside, overlap.other))


def _splits(s: int, kinds: tuple[str, ...], look: _Look) -> list[Split]:
    """What tells members apart in conversion and in reading; patients and who objected to profiling are left out."""
    values = {fact: look.domain.facts[fact].values for fact in look.told}
    now, cohort, earlier = (
        {fact: _codes(moment.facts, fact) for fact in look.told}
        for moment in (look.now, look.cohort, look.cohort_before)
    )
    may = look.may_split
    found = [splits_by_need(look.now.member[:, s] & may[0], look.read, look.topics, now, values, look.rules)]
    if look.cohort.reached is not None and look.cohort_before.reached is not None:
        then = look.cohort_before.member[:, s] & may[2], look.cohort_before.reached[kinds], earlier
        member = look.cohort.member[:, s] & may[1]
        found.append(splits_by_rate(member, look.cohort.reached[kinds], then, cohort, values, look.rules))
    return [split for split in found if split is not None]


def _tellable(settings: Settings, domain: Domain) -> list[str]:
    """Facts a suggestion may name: fields of the lead or account that are no secret and no matter of where they are."""
    found = []
    for name, declared in domain.facts.items():
        table, _, field = declared.source.split(" ")[0].partition(".")
        secret = f"{table}.{field}" in settings.quality.unshown
        if declared.per == "lead" and declared.type != "int" and table in ("leads", "accounts") and not secret:
            found.append(name)
    return [name for name in found if name not in NOT_A_NEED]


def _kinds(d: SegmentDefinition, settings: Settings) -> tuple[str, ...]:
    """The outcomes that count as a segment's conversion: its own event where that is recorded, else what is learned."""
    own = d.conversion_event in settings.vocabularies["outcome_kind"].values
    return (d.conversion_event,) if own else settings.targets.served.kinds


def _codes(facts: Facts, name: str) -> NDArray[Any]:
    column = facts.columns.get(name)
    return np.zeros(facts.n, dtype=np.uint8) if column is None else np.broadcast_to(column.reshape(-1), (facts.n,))


def _jaccard(left: Bools, right: Bools) -> float:
    union = int((left | right).sum())
    return int((left & right).sum()) / union if union else 0.0
