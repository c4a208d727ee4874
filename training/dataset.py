"""From tables to rows to learn from: the spine of (lead, as_of), features, labels over the horizon, and the split.

A row is a lead at a snapshot. Snapshots lie one after another, the latest one horizon before `as_of`, so that every
label is complete. The split is by time and by root account at once: what judges is the latest snapshot of held-out
accounts, what trains is the earlier snapshots of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.settle import root_of
from features.intake.sources import Intake
from features.inventory import Inventory
from features.links import LinkRules, components, follow_links, same_pairs
from features.mail_domains import with_mail_domains
from features.pipeline import FeatureSpec, features_of, fit_spec, signals_of
from features.tables import YES, Known, Tables, known_at, microseconds
from features.use.permitted import kinds_lost, permitted
from features.use.withheld import Withheld
from features.view import ViewRules, usable, view_at
from models.scorecard import Scorecard
from models.segments.map import SegmentMap
from policy.book import Book
from policy.gates import gate_columns, may_score
from policy.rulings import rule

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_POSITIVES = 20
# Metrics are cut by these lead facts, and by month.
SLICES = {"role": "role", "setting": "care_setting", "jurisdiction": "jurisdiction", "source": "lead_source"}
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows to learn from and to be judged on; every array has one entry a row.

    `train` and `judge` share no account and `judge` is later. `time_only` is the latest snapshot of the accounts that
    train: later in time, not new. `order` rises with time. `counts` says what became of every (lead, snapshot).
    `slices` names the group of each row by role, setting, jurisdiction, source and month: what metrics are cut by.
    """

    spec: FeatureSpec
    segment_ids: tuple[str, ...]
    X: Floats
    y: Floats
    lead: NDArray[np.int64]
    order: Floats
    fold: NDArray[np.int64]
    root: NDArray[np.int64]
    segment: NDArray[np.int64]
    points: NDArray[np.int64]
    train: Bools
    judge: Bools
    time_only: Bools
    counts: Mapping[str, int]
    dataset_id: str
    slices: Mapping[str, NDArray[np.object_]]


def build_dataset(
    tables: Tables,
    settings: Settings,
    segment_map: SegmentMap,
    as_of: datetime,
    *,
    spec: FeatureSpec | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Rows of every complete snapshot; raises InputInvalid where there is too little to learn from.

    INVARIANT: a row's features know nothing recorded after its snapshot, and its label nothing recorded after `as_of`.
    """
    tell = progress or (lambda what, share: None)
    training = settings.training
    horizon = timedelta(days=training.horizon_days)
    days = [as_of - horizon - timedelta(days=k * training.snapshot_every_days) for k in range(training.snapshots)][::-1]
    lawful = _lawful_now(tables, as_of, ViewRules.of(settings))
    spec = spec or with_mail_domains(gated(fit_spec(settings), settings), lawful, days[0], ViewRules.of(settings))
    rows = _Rows(settings, spec, segment_map, as_of.date())
    learnable = rows.may_learn_from(view_at(tables, as_of, rows.builder.view))
    root, root_ids = root_accounts(tables, as_of, rows.builder.view.links)
    parts: list[dict[str, NDArray[Any]]] = []
    counts = {"rows": 0, "lead not known yet": 0, "may not be learned from": 0, "basis lost since the snapshot": 0}
    tables_now = follow_links(tables, as_of, rows.builder.view.links)
    for number, snapshot in enumerate(days):
        tell(f"snapshot {snapshot:%Y-%m-%d}", number / len(days))
        known = view_at(lawful, snapshot, rows.builder.view)
        # What came of a person with several records is what came of any of them.
        people = follow_links(tables, snapshot, rows.builder.view.links)
        # Leaving out only the data that lost its basis would tell the model who is going to withdraw.
        lost = kinds_lost(people, tables_now, snapshot, as_of, rows.builder.view.use)
        kept = np.flatnonzero(known.present & learnable & ~lost)
        counts["lead not known yet"] += int((~known.present).sum())
        counts["may not be learned from"] += int((known.present & ~learnable).sum())
        counts["basis lost since the snapshot"] += int((known.present & learnable & lost).sum())
        found = rows.of(known, kept)
        found["y"] = labels(people, settings, snapshot, as_of)[kept].astype(np.float64)
        found["order"] = np.full(len(kept), number, dtype=np.float64)
        parts.append(found)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    fold, held_out = folds(root_ids, training.folds, training.holdout_share)
    latest = joined["order"] == len(days) - 1
    # A snapshot whose label reaches into the time that judges would tell the model what comes.
    clear = np.array([day + horizon <= days[-1] for day in days])[joined["order"].astype(np.int64)]
    out = held_out[root[joined["lead"]]]
    split = {"train": ~latest & ~out & clear, "judge": latest & out, "time_only": latest & ~out}
    counts["rows"] = len(joined["y"])
    counts["held-out accounts before the latest snapshot"] = int((~latest & out).sum())
    counts["label overlaps the time that judges"] = int((~latest & ~out & ~clear).sum())
    counts |= withheld_counts(usable(tables, days[-1], rows.builder.view).withheld)
    return _finished(spec, segment_map.segment_ids, joined, root, fold, split, counts, tables.lead_ids)


def _lawful_now(tables: Tables, as_of: datetime, rules: ViewRules) -> Tables:
    """The tables with events that may not be used at `as_of` belonging to nobody, whenever they happened.

    INVARIANT: what lost its basis since a snapshot is processed for nobody's row: a lead's own row is left out, and
    this takes it out of the colleagues' roll-up and of what is learned about mail domains.
    """
    people = follow_links(tables, as_of, rules.links)
    used = permitted(people, as_of, rules.use).events
    if used is people.events:
        return tables
    gone = (used["lead"] < 0) & (people.events["lead"] >= 0)
    lead = np.where(gone, np.int32(-1), tables.events["lead"]).astype(np.int32)
    return replace(tables, events={**tables.events, "lead": lead})


def build_flat_dataset(
    intake: Intake,
    settings: Settings,
    segment_map: SegmentMap,
    mapping: SourceMapping,
    *,
    spec: FeatureSpec | None = None,
) -> Dataset:
    """Rows of a flat export in its declared order; the last part in time judges, and there is one snapshot."""
    if intake.order is None or intake.outcome is None:
        raise InputInvalid(mapping.name, "expected an export read for training, with its order and its outcome")
    tables = intake.tables
    spec = spec or gated(fit_spec(settings, tables, mapping), settings, mapping)
    rows = _Rows(settings, spec, segment_map, mapping.as_of.date())
    known = view_at(tables, mapping.as_of, rows.builder.view)
    learnable = rows.may_learn_from(known)
    judgeable = np.isfinite(intake.order) & (intake.outcome > 0)
    kept = np.flatnonzero(known.present & learnable & judgeable)
    found = rows.of(known, kept)
    found["y"] = (intake.outcome[kept] == YES).astype(np.float64)
    found["order"] = np.unique(intake.order[kept], return_inverse=True)[1].ravel().astype(np.float64)
    # A flat export has no months: its order, cut in fifths, stands for them.
    fifth = 5 * found["order"] // (found["order"].max(initial=0.0) + 1.0)
    found["slice month"] = np.array([f"fifth {part + 1:.0f}" for part in fifth.tolist()], dtype=object)
    root, root_ids = root_accounts(tables, mapping.as_of)
    fold, _ = folds(root_ids, settings.training.folds, settings.training.holdout_share)
    # Rows of one instant stay together: what trains is earlier than what judges, never equal.
    later = found["order"] >= _cut(found["order"], settings.training.holdout_share)
    # Leads of an account that judges must not train; without accounts every lead is its own.
    judging = np.zeros(len(root_ids), dtype=np.bool_)
    judging[root[kept[later]]] = True
    split = {"train": ~later & ~judging[root[kept]], "judge": later, "time_only": np.zeros(len(kept), dtype=np.bool_)}
    counts = {
        "rows": len(kept),
        "lead not known yet": int((~known.present).sum()),
        "may not be learned from": int((known.present & ~learnable).sum()),
        "order or outcome not known": int((known.present & learnable & ~judgeable).sum()),
        "account also judges": int((~later & judging[root[kept]]).sum()),
    } | withheld_counts(known.withheld)
    return _finished(spec, segment_map.segment_ids, found, root, fold, split, counts, tables.lead_ids)


def gated(spec: FeatureSpec, settings: Settings, mapping: SourceMapping | None = None) -> FeatureSpec:
    """The spec when the feature gate lets every column pass; raises InputInvalid naming those that it refuses."""
    purposes = {column.column: column.purposes for column in mapping.attributes} if mapping else {}
    refused = gate_columns(spec.features, settings.data_use, purposes).dropped
    if refused:
        named = ", ".join(f"{found.name} ({found.rule} {found.reason})" for found in refused)
        raise InputInvalid("features", f"expected no feature that may never be learned from: {named}")
    return spec


def withheld_counts(withheld: Withheld | None) -> dict[str, int]:
    """How many events and values of the latest snapshot were not used, by what they are and by which rule."""
    found = withheld.totals() if withheld is not None else []
    return {f"withheld: {one['what']} ({one['rule']} {one['reason']})": int(one["count"]) for one in found}


def labels(tables: Tables, settings: Settings, snapshot: datetime, as_of: datetime, kinds: Sequence[str] = ()) -> Bools:
    """Which leads reached an outcome in (snapshot, snapshot + horizon], known by `as_of`; one entry a lead.

    `kinds` are the outcomes that count; those that readiness is trained on when empty.
    """
    vocabulary = settings.vocabularies["outcome_kind"]
    targets = [vocabulary.code(kind) for kind in kinds or settings.training.target_kinds]
    start, stop, known = (
        microseconds(t) for t in (snapshot, snapshot + timedelta(days=settings.training.horizon_days), as_of)
    )
    found = np.zeros(len(tables.lead_ids), dtype=np.bool_)
    outcomes = tables.outcomes
    if outcomes:
        at = outcomes["occurred_at"]
        inside = (at > start) & (at <= stop) & (outcomes["recorded_at"] <= known) & np.isin(outcomes["kind"], targets)
        found[outcomes["lead"][inside & (outcomes["lead"] >= 0)]] = True
    return found


def root_accounts(
    tables: Tables, as_of: datetime, rules: LinkRules | None = None
) -> tuple[NDArray[np.int64], list[str]]:
    """For each lead the number of its root account, and each number's id; a lead without account is its own root.

    INVARIANT: leads that are one person as of `as_of` by these rules share a root, and so do all leads of the accounts
    that they bring together: no person is on both sides of a split.
    """
    known = known_at(tables, as_of)
    parent = known.accounts.get("parent", np.full(len(known.account_ids), -1)).astype(np.int64)
    top = root_of(parent)
    account = known.leads["account"].astype(np.int64)
    has = account >= 0
    root = np.arange(len(known.lead_ids), dtype=np.int64) + len(known.account_ids)
    root[has] = top[account[has]]
    if rules is not None and tables.links:
        low, high, _ = same_pairs(tables.links, microseconds(as_of), rules)
        root = components(root[low], root[high], len(root) + len(known.account_ids))[root]
    ids = [f"account {a}" for a in known.account_ids.tolist()] + [f"lead {i}" for i in known.lead_ids.tolist()]
    return root, ids


def folds(root_ids: list[str], count: int, holdout_share: float) -> tuple[NDArray[np.int64], Bools]:
    """Fold and hold-out of each root by the hash of its id: the same in every run and on every machine."""
    digests = (hashlib.blake2b(root_id.encode(), digest_size=8).digest() for root_id in root_ids)
    # INVARIANT: a root's fold never depends on its neighbors. Without the dtype, hashes on both sides of 2**63 meet as
    # floats and lose the low bits that pick the fold.
    drawn = np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
    fold = (drawn % np.uint64(count)).astype(np.int64)
    held_out = (drawn >> np.uint64(32)) % np.uint64(10_000) < np.uint64(round(holdout_share * 10_000))
    return fold, held_out


def _cut(order: Floats, share: float) -> float:
    """Where the last `share` of the rows begins in their order."""
    first = int(np.floor(len(order) * (1.0 - share)))
    return float(np.sort(order)[first]) if first < len(order) else np.inf


class _Rows:
    """Turns what was known at a snapshot into rows, always the same way."""

    def __init__(self, settings: Settings, spec: FeatureSpec, segment_map: SegmentMap, approved_on: date) -> None:
        self.settings, self.spec, self.segment_map, self.approved_on = settings, spec, segment_map, approved_on
        self.builder = FactBuilder.of(settings).weighing_as(spec, settings.vocabularies)
        self.inventory = Inventory.of(settings.assets, settings.vocabularies)
        self.domain = Domain.of(settings)
        self.scorecard = Scorecard.of(settings, self.domain)

    def of(self, known: Known, kept: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Features, primary segment and points of some of the leads."""
        signals = signals_of(known, self.builder.plan, self.builder.decision_maker)
        facts = facts_of(known, self.builder, self.inventory, signals)
        # Segments are those approved today: what is learned is how today's segments behave.
        primary = self.segment_map.members(facts, as_of=known.as_of, approved_on=self.approved_on).primary
        points = self.scorecard.points(facts)
        return {
            "X": features_of(known, self.spec, signals).matrix[kept],
            "lead": kept.astype(np.int64),
            "segment": primary[kept].astype(np.int64),
            "points": (points.fit + points.engagement)[kept].astype(np.int64),
            **{f"slice {name}": self._named(facts, fact)[kept] for name, fact in SLICES.items()},
            "slice month": np.full(len(kept), f"{known.as_of:%Y-%m}", dtype=object),
        }

    def _named(self, facts: Facts, fact: str) -> NDArray[np.object_]:
        """The value of an enumeration for every lead, in words; its code 0 is unknown."""
        words = np.array([UNKNOWN, *self.domain.facts[fact].values], dtype=object)
        return np.asarray(np.broadcast_to(words[facts.columns[fact].reshape(-1).astype(np.int64)], (facts.n,)))

    def may_learn_from(self, known: Known) -> Bools:
        """The lead gate: whose data may be processed for scoring at all, as known now."""
        book = Book.load(self.settings, known.as_of.date())
        facts = facts_of(known, self.builder, Inventory.of((), self.settings.vocabularies))
        found: Bools = may_score(rule(book, facts))
        # Of a record that was merged away the person is asked: who may not be learned from now, may not be earlier.
        return found if known.merged is None else found[known.merged.survivor]


def _finished(
    spec: FeatureSpec,
    segment_ids: tuple[str, ...],
    rows: Mapping[str, NDArray[Any]],
    root: NDArray[np.int64],
    fold: NDArray[np.int64],
    split: Mapping[str, Bools],
    counts: Mapping[str, int],
    lead_ids: NDArray[np.object_],
) -> Dataset:
    of_row = root[rows["lead"]]
    for part in ("train", "judge"):
        positives = int(rows["y"][split[part]].sum())
        negatives = int(split[part].sum()) - positives
        if min(positives, negatives) < MIN_POSITIVES:
            raise InputInvalid(
                "training data",
                f"expected at least {MIN_POSITIVES} leads with and {MIN_POSITIVES} without the outcome to {part}, "
                f"found {positives} and {negatives}",
            )
    digest = hashlib.sha256(spec.version.encode())
    for name in ("X", "y", "lead", "order", "segment"):
        digest.update(np.ascontiguousarray(rows[name]).tobytes())
    digest.update("\n".join(lead_ids.tolist()).encode())
    return Dataset(
        spec=spec,
        segment_ids=segment_ids,
        X=rows["X"],
        y=rows["y"],
        lead=rows["lead"],
        order=rows["order"],
        fold=fold[of_row],
        root=of_row,
        segment=rows["segment"],
        points=rows["points"],
        counts={**counts, **{part: int(chosen.sum()) for part, chosen in split.items()}},
        dataset_id=digest.hexdigest(),
        slices={name.removeprefix("slice "): rows[name] for name in rows if name.startswith("slice ")},
        **split,
    )
