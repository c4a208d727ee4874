"""The hand-written points scorecard: fit and engagement points with grades, and a log that sums to them.

What a rule is worth may differ by the lead's primary segment; caps and decay are the same for everybody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used, parse
from configs.errors import ConditionInvalid, ConfigInvalid, Problem
from configs.points import PointRule, ScorecardSettings
from configs.settings import Settings
from features.evaluate import Domain, Normal, columns_of, define, normal_form, source
from features.facts import Facts

# Rows up to which one generated function beats numpy columns.
FEW = 8
# Point rules use no dated parameters, so the day they are compiled for is of no consequence.
ANY_DAY = date(2000, 1, 1)
QUIET = "days_since_last_event"
FLOOR, DECAY = "floor", "decay"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Points one rule gave, or a cap or decay took away."""

    id: str
    says: str
    points: int


@dataclass(frozen=True, slots=True)
class Points:
    """Points and grades of many leads; `given` says which rule fired for whom, `segment` whose worth counts."""

    fit: NDArray[np.int64]
    engagement: NDArray[np.int64]
    fit_grade: NDArray[np.int64]
    engagement_grade: NDArray[np.int64]
    given: NDArray[np.bool_]
    kept_percent: NDArray[np.int64]
    segment: NDArray[np.int64]
    scorecard: Scorecard

    def grades(self, row: int) -> tuple[str, int]:
        """Fit grade (A is best) and engagement grade (1 is best)."""
        settings = self.scorecard.settings
        return (
            list(settings.fit_grades)[self.fit_grade[row]],
            list(settings.engagement_grades)[self.engagement_grade[row]],
        )

    def log(self, row: int) -> tuple[tuple[LogEntry, ...], tuple[LogEntry, ...]]:
        """What made the fit points and the engagement points, entry by entry; a rule worth nothing here has none."""
        # INVARIANT: the entries of a log sum to its points.
        settings = self.scorecard.settings
        worth, split = self.scorecard.worth[int(self.segment[row])].tolist(), len(settings.fit)
        fired = np.flatnonzero(self.given[row]).tolist()
        fit = self._entries([(settings.fit[i], worth[i]) for i in fired if i < split], int(self.fit[row]), row)
        engagement = self._entries(
            [(settings.engagement[i - split], worth[i]) for i in fired if i >= split], int(self.engagement[row]), row
        )
        return tuple(fit), tuple(engagement)

    def _entries(self, fired: Sequence[tuple[PointRule, int]], points: int, row: int) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for group in dict.fromkeys(rule.group for rule, _ in fired):
            inside = [(rule, worth) for rule, worth in fired if rule.group == group]
            entries.extend(LogEntry(rule.id, rule.says, worth) for rule, worth in inside if worth)
            total, cap = sum(worth for _, worth in inside), self.scorecard.settings.caps[group]
            if total > cap:
                entries.append(LogEntry(f"cap_{group}", f"{group} counts at most {cap}", cap - total))
        left = points - sum(entry.points for entry in entries)
        if left > 0:
            entries.append(LogEntry(FLOOR, "points never fall below zero", left))
        elif left < 0:
            entries.append(LogEntry(DECAY, f"quiet for a while: {int(self.kept_percent[row])} % kept", left))
        return entries

    def entries(self) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
        """The logs of all leads: ids, fit points (n, ids) and engagement points (n, ids) under each; 0 is no entry."""
        card = self.scorecard
        given = self.given * card.worth[self.segment]
        by_group = given @ card.in_group
        over = np.minimum(card.caps - by_group, 0)
        names = (*card.rule_ids, *(f"cap_{group}" for group in card.groups), FLOOR, DECAY)
        sides = []
        of_fit = np.r_[card.in_group[:, : card.fit_groups].any(axis=1), np.arange(len(card.groups)) < card.fit_groups]
        for chosen, points in ((of_fit, self.fit), (~of_fit, self.engagement)):
            made = np.column_stack([given, over]) * chosen
            left = points - made.sum(axis=1)
            sides.append(np.column_stack([made, np.maximum(left, 0), np.minimum(left, 0)]))
        return names, sides[0], sides[1]


@dataclass(frozen=True)
class Scorecard:
    """A compiled scorecard."""

    settings: ScorecardSettings
    conditions: tuple[Normal, ...]
    facts: tuple[str, ...]
    unknown: tuple[int, ...]
    known: frozenset[str]
    fire: Callable[..., tuple[bool, ...]]
    tallies: tuple[Callable[[tuple[bool, ...]], tuple[int, int]], ...]
    rule_ids: tuple[str, ...]
    groups: tuple[str, ...]
    worth: NDArray[np.int64]
    in_group: NDArray[np.int64]
    caps: NDArray[np.int64]
    fit_groups: int

    @classmethod
    def of(cls, settings: Settings | ScorecardSettings, domain: Domain, segment_ids: Sequence[str] = ()) -> Scorecard:
        """Compile the rules; raises ConfigInvalid with every condition that does not parse or asks for no lead fact.

        `segment_ids` are those of the segment map, in its order. `worth` has a row of points for each of them and,
        last, one for a lead of no segment; so has `tallies`.
        """
        card = settings if isinstance(settings, ScorecardSettings) else settings.scorecard
        rules = (*card.fit, *card.engagement)
        parsed = _parsed(rules, domain)
        conditions = tuple(normal_form(condition, domain, ANY_DAY) for condition in parsed)
        facts = tuple(dict.fromkeys((*(fact for condition in parsed for fact in facts_used(condition)), QUIET)))
        names = {fact: f"f{index}" for index, fact in enumerate(facts)}
        body = ", ".join(source(condition, names, must=True) for condition in conditions)
        groups = tuple(dict.fromkeys(rule.group for rule in rules))
        worth = [[rule.by_segment.get(segment, rule.points) for rule in rules] for segment in (*segment_ids, "")]
        made: dict[tuple[int, ...], Callable[[tuple[bool, ...]], tuple[int, int]]] = {}
        for row in worth:
            if tuple(row) not in made:
                made[tuple(row)] = define("tally", _tally(card, row))
        return cls(
            settings=card,
            conditions=conditions,
            facts=facts,
            unknown=tuple(domain.unknown(fact) if fact in domain.facts else -1 for fact in facts),
            fire=define("fire", f"def fire({', '.join(names.values())}):\n    return ({body}{',' if body else ''})"),
            known=frozenset(facts),
            tallies=tuple(made[tuple(row)] for row in worth),
            rule_ids=tuple(rule.id for rule in rules),
            groups=groups,
            worth=np.array(worth, dtype=np.int64).reshape(len(worth), len(rules)),
            in_group=np.array([[r.group == g for g in groups] for r in rules], dtype=np.int64).reshape(
                len(rules), len(groups)
            ),
            caps=np.array([card.caps[group] for group in groups], dtype=np.int64),
            fit_groups=len({rule.group for rule in card.fit}),
        )

    def points(self, facts: Facts, segment: NDArray[Any] | None = None) -> Points:
        """Points of every lead; a rule fires only where its condition is surely true.

        `segment` is each lead's primary segment as index of the segment ids, -1 (as when not given) for none.
        """
        primary = np.full(facts.n, -1, dtype=np.int64) if segment is None else np.asarray(segment, dtype=np.int64)
        if facts.one is not None and facts.one.keys() >= self.known:
            return self._one(facts.one, primary)
        given = self._few(facts) if facts.n <= FEW else self._many(facts)
        by_group = np.minimum((given * self.worth[primary]) @ self.in_group, self.caps)
        fit = np.maximum(by_group[:, : self.fit_groups].sum(axis=1), 0)
        kept = self._kept(facts)
        # Whole numbers, rounded down: points are counted by hand.
        engagement = np.maximum(by_group[:, self.fit_groups :].sum(axis=1), 0) * kept // 100
        return Points(
            fit=fit,
            engagement=engagement,
            fit_grade=_grade(fit, tuple(self.settings.fit_grades.values())),
            engagement_grade=_grade(engagement, tuple(self.settings.engagement_grades.values())),
            given=given,
            kept_percent=kept,
            segment=primary,
            scorecard=self,
        )

    def to_json(self) -> str:
        """The settings as canonical JSON."""
        return json.dumps(self.settings.model_dump(mode="json"), indent=1)

    @classmethod
    def from_json(cls, text: str, domain: Domain, segment_ids: Sequence[str] = ()) -> Scorecard:
        """Compile what `to_json` wrote, for a segment map."""
        return cls.of(ScorecardSettings.model_validate_json(text), domain, segment_ids)

    def _one(self, codes: Mapping[str, int], primary: NDArray[np.int64]) -> Points:
        """One lead in plain numbers; the same sums as of columns."""
        given = self.fire(*[codes[fact] for fact in self.facts])
        fit, engagement = self.tallies[int(primary[0])](given)
        kept, quiet = 100, codes[QUIET]
        for step in self.settings.decay:
            if quiet > step.over_days:
                kept = step.keep_percent
        engagement = engagement * kept // 100
        grades = [
            sum(points < cut for cut in cuts.values())
            for points, cuts in ((fit, self.settings.fit_grades), (engagement, self.settings.engagement_grades))
        ]
        rows = np.array([[fit], [engagement], [grades[0]], [grades[1]], [kept]], dtype=np.int64)
        return Points(
            fit=rows[0],
            engagement=rows[1],
            fit_grade=rows[2],
            engagement_grade=rows[3],
            given=np.array([given], dtype=np.bool_).reshape(1, len(given)),
            kept_percent=rows[4],
            segment=primary,
            scorecard=self,
        )

    def _few(self, facts: Facts) -> NDArray[np.bool_]:
        columns = [self._column(facts, fact, unknown) for fact, unknown in zip(self.facts, self.unknown, strict=True)]
        rows = [self.fire(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        return np.array(rows, dtype=np.bool_).reshape(facts.n, len(self.conditions))

    def _many(self, facts: Facts) -> NDArray[np.bool_]:
        given = np.empty((facts.n, len(self.conditions)), dtype=np.bool_)
        seen: dict[Normal, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
        for index, condition in enumerate(self.conditions):
            must, _ = columns_of(condition, facts.columns, seen)
            given[:, index] = np.broadcast_to(must, (facts.n, 1, 1))[:, 0, 0]
        return given

    def _column(self, facts: Facts, fact: str, unknown: int) -> NDArray[Any]:
        column = facts.columns.get(fact)
        return np.full(facts.n, unknown) if column is None else column[:, 0, 0]

    def _kept(self, facts: Facts) -> NDArray[np.int64]:
        kept = np.full(facts.n, 100, dtype=np.int64)
        quiet = self._column(facts, QUIET, -1)
        for step in self.settings.decay:
            kept[quiet > step.over_days] = step.keep_percent
        return kept


def _parsed(rules: Sequence[PointRule], domain: Domain) -> list[Condition]:
    parsed: list[Condition] = []
    problems: list[Problem] = []
    for rule in rules:
        try:
            condition = parse(rule.when, domain.facts, {})
        except ConditionInvalid as error:
            problems.append(Problem("scorecard.yaml", rule.id, str(error)))
            continue
        wrong = sorted(fact for fact in facts_used(condition) if domain.facts[fact].per != "lead")
        if wrong:
            problems.append(Problem("scorecard.yaml", rule.id, f"expected facts of a lead, got {', '.join(wrong)}"))
        parsed.append(condition)
    if problems:
        raise ConfigInvalid(problems)
    return parsed


def _tally(card: ScorecardSettings, worth: Sequence[int]) -> str:
    """Source of the function from which rules fired to fit points and engagement points before decay.

    `worth` are the points of every rule, fit first.
    """
    sums = []
    for rules, first in ((card.fit, 0), (card.engagement, len(card.fit))):
        groups: dict[str, list[str]] = {}
        for index, rule in enumerate(rules, start=first):
            groups.setdefault(rule.group, []).append(f"{worth[index]} * given[{index}]")
        capped = [f"min({' + '.join(parts)}, {card.caps[group]})" for group, parts in groups.items()]
        sums.append(f"max({' + '.join(capped) or '0'}, 0)")
    return f"def tally(given):\n    return ({', '.join(sums)})"


def _grade(points: NDArray[np.int64], cuts: tuple[int, ...]) -> NDArray[np.int64]:
    """Index of the first grade whose lowest points are reached."""
    if not cuts:
        return np.zeros(len(points), dtype=np.int64)
    return np.asarray((points[:, None] < np.array(cuts, dtype=np.int64)).sum(axis=1))
