"""Chooses where bands are cut and says what each band will bring: leads a month, next steps, with intervals.

Everything is told of held-out leads: accounts that did not train, at a later time. Cuts are made from their
probabilities alone; their outcomes only judge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from configs.thresholds import ThresholdRule, ThresholdSettings
from models.bands import CUT_BANDS, bands_of, cut_points
from models.scores import Readiness, Scores
from models.shares import wilson
from models.thresholds import DEFAULT, cut_for_capacity, cut_for_cost, recut, rising
from training.dataset.dataset import Dataset
from training.evaluation.brier import design_effect
from training.evaluation.resampling import Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ALL = "all"
DAYS_A_MONTH = 365.25 / 12
# Volumes are told of so many leads where nobody knows how many come in a month.
PER_LEADS = 1000.0
SIGNIFICANT = 8


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out leads, one entry a row: what came of each, its probability, whether its band may be said.

    `volume` is for how many leads a month each row stands, `weight` how much its outcome counts (0: nobody saw it),
    `answer` what sales said of it: 1 taken, 0 turned down, -1 nothing. Without `timed` volumes are of 1,000 leads.
    """

    y: Floats
    probability: Floats
    known: Bools
    segment: Ints
    cluster: Ints
    volume: Floats
    weight: Floats
    answer: NDArray[np.int8]
    segment_ids: tuple[str, ...]
    timed: bool
    says: str

    def of(self, rows: Bools) -> Held:
        """Some of the rows."""
        return Held(
            self.y[rows], self.probability[rows], self.known[rows], self.segment[rows], self.cluster[rows],
            self.volume[rows], self.weight[rows], self.answer[rows], self.segment_ids, self.timed, self.says,
        )  # fmt: skip

    @property
    def per(self) -> str:
        """What volumes are told of."""
        return "a month" if self.timed else "of 1,000 leads"


@dataclass(frozen=True, slots=True)
class Brings:
    """What contacting some leads brings: how many they are, how many of them get there, with 95 % intervals.

    `predicted` is their mean probability, `precision` the share of them that got there, `steps` how many that are,
    `captured` which share of all who got there is among them. `answered` is how many of the held-out leads sales
    answered for, and `taken` the share that it took.
    """

    rows: int
    volume: Estimate
    predicted: float | None
    precision: Estimate
    steps: float | None
    captured: Estimate
    answered: int
    taken: Estimate


@dataclass(frozen=True, slots=True)
class BandForecast:
    """A band with the lowest probability of it and what its leads bring."""

    band: str
    cut: float
    brings: Brings


@dataclass(frozen=True, slots=True)
class GroupCuts:
    """The cuts of a segment, or of all whose segment has none of its own, and what the default cuts would bring.

    `follows` is whose rule cuts it: its own, that of all, or the default; `reason` why it is not its own, where it has
    one.
    """

    id: str
    follows: str
    rule: str
    reason: str
    rows: int
    bands: tuple[BandForecast, ...]
    default: tuple[BandForecast, ...]

    def band(self, name: str) -> BandForecast:
        """One band."""
        return next(one for one in self.bands if one.band == name)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cut points as a bundle keeps them, and what each band of each group is expected to bring."""

    declared: bool
    cuts: Mapping[str, Mapping[str, float]]
    groups: tuple[GroupCuts, ...]
    per: str
    says: str

    def on(self, readiness: Readiness) -> Readiness:
        """A readiness that answers with these cuts; the same one where none was declared."""
        return recut(readiness, self.cuts) if self.declared else readiness

    def group(self, name: str) -> GroupCuts:
        """One group; raises KeyError where there is none."""
        found = {one.id: one for one in self.groups}
        return found[name]

    def record(self) -> dict[str, Any]:
        """What a manifest keeps: nothing but the cuts where none was declared."""
        if self.declared:
            return self.told()
        return {"declared": False, "cuts": {name: dict(cut) for name, cut in self.cuts.items()}}

    def told(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found


def held_of(dataset: Dataset, scores: Scores, settings: Settings, *, answer: NDArray[np.int8] | None = None) -> Held:
    """The rows that judge with what a model fitted without them says, and for how many leads a month each stands.

    Held-out accounts are a drawn part of all: a segment's held-out leads stand for all of it at the latest snapshot,
    scaled to as many leads as are there today. A lead is worked on once in a horizon.
    """
    judge, segments = dataset.judge, len(dataset.segment_ids)
    rows, timed = int(judge.sum()), True
    latest = judge | dataset.time_only
    leads, given = float(latest.sum()), settings.thresholds.leads_a_month
    days = settings.targets.served.horizon_days
    if given is not None:
        leads, says = given, f"{given:,.0f} leads are looked at in a month (leads_a_month)"
    elif dataset.history is not None:
        today = float(max(dataset.history.leads, int(latest.sum())))
        leads, says = today * DAYS_A_MONTH / days, f"{today:,.0f} leads today, each worked on once in {days} days"
    else:
        leads, timed, says = PER_LEADS, False, "a flat export does not say how many leads come in a month"
    # A segment whose accounts were not drawn has leads and no row: the others stand for those, too.
    there = np.bincount(dataset.segment[latest] + 1, minlength=segments + 1).astype(np.float64)
    drawn = np.bincount(dataset.segment[judge] + 1, minlength=segments + 1)
    there[drawn == 0] = 0.0
    each = leads * np.divide(there, drawn, out=np.zeros(segments + 1), where=drawn > 0) / max(there.sum(), 1.0)
    return Held(
        y=dataset.y[judge],
        probability=scores.probability,
        known=scores.band > 0,
        segment=dataset.segment[judge],
        cluster=dataset.root[judge],
        volume=each[dataset.segment[judge] + 1],
        weight=np.ones(rows) if dataset.weights is None else dataset.weights[judge],
        answer=np.full(rows, -1, dtype=np.int8) if answer is None else answer,
        segment_ids=dataset.segment_ids,
        timed=timed,
        says=says,
    )


def choose_thresholds(held: Held, settings: Settings) -> Thresholds:
    """Cut points of every group by the rule that is declared for it, and what each band brings beside the default.

    INVARIANT: no outcome of any row moves a cut.
    """
    declared, default = settings.thresholds, settings.training.bands
    chosen: dict[str, dict[str, float]] = {}
    why: dict[str, str] = {}
    own = np.zeros(len(held.y), dtype=np.bool_)
    for name, rule in declared.segments.items():
        rows = _rows_of(held, name)
        cuts, reason = _cut(held.of(rows), rule, declared)
        if name not in held.segment_ids:
            why[name] = "it holds nobody in this map: not approved, or inactive"
        elif cuts:
            chosen[name] = rising(cuts, default)
            own |= rows
        else:
            why[name] = reason
    cuts, why[ALL] = _cut(held.of(~own), declared.all, declared)
    middle = rising(cuts, default)
    base = ALL if cuts else DEFAULT
    groups = [_group(held.of(~own), (ALL, base, declared.all.says, why[ALL]), middle, default)]
    # A rule that nobody is cut by is named all the same.
    for name in dict.fromkeys((*held.segment_ids, *declared.segments)):
        rows = _rows_of(held, name)
        if not rows.any() and name not in declared.segments:
            continue
        mine = declared.segments.get(name, declared.all)
        follows = "own" if name in chosen else base
        told = (name, follows, mine.says, why.get(name, ""))
        groups.append(_group(held.of(rows), told, chosen.get(name, middle), default))
    return Thresholds(declared.declared, {DEFAULT: middle, **chosen}, tuple(groups), held.per, held.says)


def brings(held: Held, inside: Bools) -> Brings:
    """What the leads inside bring, out of all that are held; `inside` has one entry a row.

    Intervals are Wilson's (1927) over as many leads as are independent (Kish 1965): those of one account are not.
    """
    counted = held.weight > 0
    weight = held.volume * held.weight
    hits = counted & (held.y > 0)
    got = inside & counted
    volume, precision = (
        _share(inside, held.volume, held.cluster),
        _share(held.y[got] > 0, weight[got], held.cluster[got]),
    )
    # Where no rejection is ever recorded everybody answered for was taken, which says nothing.
    answered = inside & (held.answer >= 0) & bool((held.answer == 0).any())
    total = float(held.volume.sum())
    leads = Estimate(*(None if end is None else total * end for end in (volume.value, volume.low, volume.high)))
    steps = None
    if leads.value is not None and not leads.value:
        steps = 0.0
    elif leads.value is not None and precision.value is not None:
        steps = leads.value * precision.value
    return Brings(
        rows=int(inside.sum()),
        volume=leads,
        predicted=float(np.average(held.probability[inside], weights=held.volume[inside])) if inside.any() else None,
        precision=precision,
        steps=steps,
        captured=_share(inside[hits], weight[hits], held.cluster[hits]),
        answered=int(answered.sum()),
        taken=_share(held.answer[answered] > 0, held.volume[answered], held.cluster[answered]),
    )


@dataclass(frozen=True, slots=True)
class CutLine:
    """What contacting everybody from a cut on brings; `what` says where the cut comes from, `net` what it earns."""

    what: str
    cut: float
    brings: Brings
    net: float | None


def sweep(
    held: Held,
    named: Mapping[str, float],
    rule: ThresholdRule | None = None,
    shares: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
) -> tuple[CutLine, ...]:
    """A range of cuts from the highest down: those of `named`, and those that so many of the leads reach.

    With a rule that says value and cost each line has what it earns: steps times value less leads times cost.
    """
    found = {name: cut for name, cut in named.items() if cut > 0.0}
    able = held.known & (held.volume > 0)
    total = float(held.volume.sum())
    for share in shares if able.any() else ():
        cut, inside = cut_for_capacity(held.probability[able], share * total, held.volume[able])
        if inside:
            found[f"top {share:.0%}"] = cut
    lines = []
    for what, cut in sorted(found.items(), key=lambda entry: -entry[1]):
        brought = brings(held, held.known & (held.probability >= cut))
        net = None
        if rule is not None and rule.value is not None and rule.cost is not None and brought.steps is not None:
            net = brought.steps * rule.value - (brought.volume.value or 0.0) * rule.cost
        lines.append(CutLine(what, cut, brought, net))
    return tuple(lines)


def _cut(held: Held, rule: ThresholdRule, declared: ThresholdSettings) -> tuple[dict[str, float], str]:
    """The cuts that a rule chooses for these leads; none, with the reason, where the leads do not carry them."""
    found: dict[str, float] = {}
    if rule.capacity is not None:
        p, weight = held.probability[held.known], held.volume[held.known]
        if not held.timed:
            return {}, f"{held.says}: leads_a_month is needed for a capacity"
        if len(p) < declared.min_rows:
            return {}, f"{len(p):,} held-out leads of whom a band is said, {declared.min_rows:,} are needed"
        sought = 0.0
        for band, leads in rule.capacity.named.items():
            sought += leads
            found[band], inside = cut_for_capacity(p, sought, weight)
            if inside < declared.min_above:
                return {}, (
                    f"a capacity of {leads:g} {band} leads a month is {inside:,} of {len(p):,} held-out leads, "
                    f"{declared.min_above:,} are needed"
                )
    if rule.value is not None and rule.cost is not None:
        found["hot"] = max(found.get("hot", 0.0), cut_for_cost(rule.value, rule.cost))
    return found, ""


def _rows_of(held: Held, name: str) -> Bools:
    """Rows of a segment; nobody's of one that has no leads in this map."""
    place = held.segment_ids.index(name) if name in held.segment_ids else len(held.segment_ids)
    found: Bools = held.segment == place
    return found


def _group(
    held: Held, told: tuple[str, str, str, str], cuts: Mapping[str, float], default: Mapping[str, float]
) -> GroupCuts:
    name, follows, rule, reason = told
    mine = _forecasts(held, cuts)
    others = _forecasts(held, default) if dict(cuts) != dict(default) else ()
    return GroupCuts(
        name, follows, rule if follows != DEFAULT else ThresholdRule().says, reason, len(held.y), mine, others
    )


def _forecasts(held: Held, cuts: Mapping[str, float]) -> tuple[BandForecast, ...]:
    code = np.where(held.known, bands_of(held.probability, cut_points(cuts)), 0)
    return tuple(
        BandForecast(band, float(cuts[band]), brings(held, code == place))
        for place, band in reversed([*enumerate(CUT_BANDS, start=1)])
    )


def _share(hit: Bools, weight: Floats, cluster: Ints) -> Estimate:
    """The weighted share of rows that are hit; no value of nobody."""
    total = float(weight.sum())
    if not len(hit) or total <= 0.0:
        return Estimate(None)
    value = float(weight[hit].sum()) / total
    worth = total**2 / float(np.square(weight).sum()) / design_effect(hit.astype(np.float64), cluster)
    low, high = wilson(value * worth, worth)
    return Estimate(value, low, high)


def _rounded(value: Any) -> Any:
    """Numbers to eight significant digits, so that the order of a sum leaves no trace."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{SIGNIFICANT}g}") if isinstance(value, float) else value
