"""Declared targets, settled for every segment and product, and the labels that follow from outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.targets import Target
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Known, Tables, microseconds
from models.segments.map import SegmentMap

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
EVERY = "all"


@dataclass(frozen=True, slots=True)
class Rule:
    """Codes of the outcomes that count, and within how many days."""

    kinds: tuple[int, ...]
    days: int


@dataclass(frozen=True, slots=True)
class TargetRules:
    """A target with the rule of every segment and product.

    `table` has a row for each segment and, last, one for a lead without any; its first column is a lead whose product
    is unknown.
    """

    target: Target
    rules: tuple[Rule, ...]
    table: Ints
    segment_ids: tuple[str, ...]
    products: tuple[str, ...]

    @classmethod
    def of(cls, target: Target, settings: Settings, segment_map: SegmentMap) -> TargetRules:
        """Ask the target for every segment of the map and every product of the vocabulary."""
        outcomes, products = settings.vocabularies["outcome_kind"], settings.vocabularies["product"].values
        rules: dict[Rule, int] = {}
        rows = []
        for segment in (*segment_map.definitions, None):
            row = []
            for product in (None, *products):
                kinds, days = target.asked(segment, product, outcomes.values)
                rule = Rule(tuple(outcomes.code(kind) for kind in kinds), days)
                row.append(rules.setdefault(rule, len(rules)))
            rows.append(row)
        ids = tuple(definition.id for definition in segment_map.definitions)
        return cls(target, tuple(rules), np.array(rows, dtype=np.int64), ids, tuple(products))

    def of_rows(self, segment: Ints, product: NDArray[Any]) -> Ints:
        """Index of each row's rule; a segment of -1 is none, a product of 0 is unknown."""
        found: Ints = self.table[segment, product.astype(np.int64)]
        return found

    @property
    def days(self) -> Ints:
        """Horizon of every segment and product in days, shaped like `table`."""
        found: Ints = np.array([rule.days for rule in self.rules], dtype=np.int64)[self.table]
        return found

    @property
    def longest_days(self) -> int:
        """The longest horizon of any rule in use."""
        return int(self.days.max())

    @property
    def kinds(self) -> tuple[int, ...]:
        """Codes of every outcome that counts for anybody."""
        return tuple(sorted({kind for rule in self.rules for kind in rule.kinds}))


def chosen_targets(settings: Settings, names: str) -> tuple[Target, ...]:
    """The targets besides the served one that `all` or ids between commas name; raises InputInvalid on another name.

    None are chosen by an empty text or by the served target's own id.
    """
    declared = settings.targets.by_id
    served = settings.targets.served.id
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if wanted == [EVERY]:
        wanted = list(declared)
    unknown = sorted(set(wanted) - set(declared))
    if unknown:
        raise InputInvalid("targets", f"no target is named {', '.join(unknown)}; declared are {', '.join(declared)}")
    return tuple(target for name, target in declared.items() if name in wanted and name != served)


def labels(
    tables: Tables,
    settings: Settings,
    snapshot: datetime,
    as_of: datetime,
    kinds: Sequence[str] = (),
    *,
    horizon_days: int | None = None,
) -> Bools:
    """Which leads reached an outcome in (snapshot, snapshot + horizon], known by `as_of`; one entry a lead.

    `kinds` and `horizon_days` are those of the target that serves where they are not given.
    """
    served, outcomes = settings.targets.served, settings.vocabularies["outcome_kind"]
    codes = tuple(outcomes.code(kind) for kind in kinds or served.kinds)
    return reached(tables, Rule(codes, horizon_days or served.horizon_days), snapshot, as_of)


def reached(tables: Tables, rule: Rule, snapshot: datetime, as_of: datetime) -> Bools:
    """Which leads reached an outcome of a rule after the snapshot and within its days, known by `as_of`."""
    start, stop, known = (microseconds(t) for t in (snapshot, snapshot + timedelta(days=rule.days), as_of))
    return _between(tables, rule.kinds, start, stop, known)


def reached_before(tables: Tables, rule: Rule, snapshot: datetime, as_of: datetime) -> Bools:
    """Which leads had reached an outcome of a rule by the snapshot, as known by `as_of`."""
    return _between(tables, rule.kinds, UNKNOWN_INSTANT, microseconds(snapshot), microseconds(as_of))


def _between(tables: Tables, kinds: Sequence[int], start: int, stop: int, known: int) -> Bools:
    found = np.zeros(len(tables.lead_ids), dtype=np.bool_)
    outcomes = tables.outcomes
    if outcomes:
        at = outcomes["occurred_at"]
        inside = (at > start) & (at <= stop) & (outcomes["recorded_at"] <= known) & np.isin(outcomes["kind"], kinds)
        found[outcomes["lead"][inside & (outcomes["lead"] >= 0)]] = True
    return found


@dataclass(frozen=True, slots=True)
class Labelled:
    """A target's answers at one snapshot, one entry a row: label, usable or not, its days, and why it is not usable.

    INVARIANT: a row whose horizon is not over by `as_of` has no label, and neither has one of whose outcomes no history
    was kept at its snapshot: neither is a lead that did not get there.
    """

    y: Bools
    days: Ints
    too_young: Bools
    not_recorded: Bools
    reached_already: Bools

    @property
    def usable(self) -> Bools:
        """Rows that have a label."""
        return ~(self.too_young | self.not_recorded | self.reached_already)


def labelled(
    rules: TargetRules,
    people: Tables,
    starts: Sequence[int | None],
    snapshot: datetime,
    as_of: datetime,
    rows: tuple[NDArray[np.intp], Ints, NDArray[Any]],
    *,
    settle_days: int = 0,
) -> Labelled:
    """Labels of the rows (lead, segment, product) at a snapshot; `starts` has each rule's begin of recording."""
    lead, segment, product = rows
    of = rules.of_rows(segment, product)
    days = np.array([rule.days for rule in rules.rules], dtype=np.int64)[of]
    cut, now = microseconds(snapshot), microseconds(as_of)
    settled = now - settle_days * MICROSECONDS_A_DAY
    y, already = np.zeros(len(lead), dtype=np.bool_), np.zeros(len(lead), dtype=np.bool_)
    for index in np.unique(of).tolist():
        mine, rule = of == index, rules.rules[index]
        y[mine] = reached(people, rule, snapshot, as_of)[lead[mine]]
        if rules.target.first:
            already[mine] = reached_before(people, rule, snapshot, as_of)[lead[mine]]
    recorded = np.array([start is not None and start <= cut for start in starts], dtype=np.bool_)[of]
    young = cut + days * MICROSECONDS_A_DAY > settled
    return Labelled(y & ~young, days, young, ~young & ~recorded, ~young & recorded & already)


def product_of(known: Known, kept: NDArray[np.intp]) -> NDArray[Any]:
    """Code of the product that each row's lead is interested in; 0 is unknown."""
    column = known.leads.get("product_interest")
    return np.zeros(len(kept), dtype=np.uint8) if column is None else column[kept]
