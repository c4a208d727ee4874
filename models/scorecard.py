"""The hand-written points scorecard: fit and engagement points with grades, and a log that sums to them."""

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


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Points one rule gave, or a cap or decay took away."""

    id: str
    says: str
    points: int


@dataclass(frozen=True, slots=True)
class Points:
    """Points and grades of many leads; `given` says which rule fired for whom."""

    fit: NDArray[np.int64]
    engagement: NDArray[np.int64]
    fit_grade: NDArray[np.int64]
    engagement_grade: NDArray[np.int64]
    given: NDArray[np.bool_]
    kept_percent: NDArray[np.int64]
    scorecard: Scorecard

    def grades(self, row: int) -> tuple[str, int]:
        """Fit grade (A is best) and engagement grade (1 is best)."""
        settings = self.scorecard.settings
        return (
            list(settings.fit_grades)[self.fit_grade[row]],
            list(settings.engagement_grades)[self.engagement_grade[row]],
        )

    def log(self, row: int) -> tuple[tuple[LogEntry, ...], tuple[LogEntry, ...]]:
        """What made the fit points and the engagement points, entry by entry."""
        # INVARIANT: the entries of a log sum to its points.
        settings, kept = self.scorecard.settings, int(self.kept_percent[row])
        split = len(settings.fit)
        fit = self._entries(settings.fit, self.given[row, :split])
        engagement = self._entries(settings.engagement, self.given[row, split:])
        lost = int(self.engagement[row]) - sum(entry.points for entry in engagement)
        if lost:
            engagement.append(LogEntry("decay", f"quiet for a while: {kept} % kept", lost))
        return tuple(fit), tuple(engagement)

    def _entries(self, rules: Sequence[PointRule], given: NDArray[np.bool_]) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for group in dict.fromkeys(rule.group for rule in rules):
            fired = [rule for rule, hit in zip(rules, given, strict=True) if hit and rule.group == group]
            entries.extend(LogEntry(rule.id, rule.says, rule.points) for rule in fired)
            total, cap = sum(rule.points for rule in fired), self.scorecard.settings.caps[group]
            if total > cap:
                entries.append(LogEntry(f"cap_{group}", f"{group} counts at most {cap}", cap - total))
        return entries


@dataclass(frozen=True)
class Scorecard:
    """A compiled scorecard."""

    settings: ScorecardSettings
    conditions: tuple[Normal, ...]
    facts: tuple[str, ...]
    unknown: tuple[int, ...]
    known: frozenset[str]
    fire: Callable[..., tuple[bool, ...]]
    tally: Callable[[tuple[bool, ...]], tuple[int, int]]
    by_group: NDArray[np.int64]
    caps: NDArray[np.int64]
    fit_groups: int

    @classmethod
    def of(cls, settings: Settings | ScorecardSettings, domain: Domain) -> Scorecard:
        """Compile the rules; raises ConfigInvalid with every condition that does not parse or asks for no lead fact."""
        card = settings if isinstance(settings, ScorecardSettings) else settings.scorecard
        rules = (*card.fit, *card.engagement)
        parsed = _parsed(rules, domain)
        conditions = tuple(normal_form(condition, domain, ANY_DAY) for condition in parsed)
        facts = tuple(dict.fromkeys((*(fact for condition in parsed for fact in facts_used(condition)), QUIET)))
        names = {fact: f"f{index}" for index, fact in enumerate(facts)}
        body = ", ".join(source(condition, names, must=True) for condition in conditions)
        groups = list(dict.fromkeys(rule.group for rule in rules))
        return cls(
            settings=card,
            conditions=conditions,
            facts=facts,
            unknown=tuple(domain.unknown(fact) if fact in domain.facts else -1 for fact in facts),
            fire=define("fire", f"def fire({', '.join(names.values())}):\n    return ({body}{',' if body else ''})"),
            known=frozenset(facts),
            tally=define("tally", _tally(card)),
            by_group=np.array([[r.points * (r.group == g) for g in groups] for r in rules], dtype=np.int64).reshape(
                len(rules), len(groups)
            ),
            caps=np.array([card.caps[group] for group in groups], dtype=np.int64),
            fit_groups=len({rule.group for rule in card.fit}),
        )

    def points(self, facts: Facts) -> Points:
        """Points of every lead; a rule fires only where its condition is surely true."""
        if facts.one is not None and facts.one.keys() >= self.known:
            return self._one(facts.one)
        given = self._few(facts) if facts.n <= FEW else self._many(facts)
        by_group = np.minimum(given.astype(np.int64) @ self.by_group, self.caps)
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
            scorecard=self,
        )

    def to_json(self) -> str:
        """The settings as canonical JSON."""
        return json.dumps(self.settings.model_dump(mode="json"), indent=1)

    @classmethod
    def from_json(cls, text: str, domain: Domain) -> Scorecard:
        """Compile what `to_json` wrote."""
        return cls.of(ScorecardSettings.model_validate_json(text), domain)

    def _one(self, codes: Mapping[str, int]) -> Points:
        """One lead in plain numbers; the same sums as of columns."""
        given = self.fire(*[codes[fact] for fact in self.facts])
        fit, engagement = self.tally(given)
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


def _tally(card: ScorecardSettings) -> str:
    """Source of the function from which rules fired to fit points and engagement points before decay."""
    sums = []
    for rules, first in ((card.fit, 0), (card.engagement, len(card.fit))):
        groups: dict[str, list[str]] = {}
        for index, rule in enumerate(rules, start=first):
            groups.setdefault(rule.group, []).append(f"{rule.points} * given[{index}]")
        capped = [f"min({' + '.join(parts)}, {card.caps[group]})" for group, parts in groups.items()]
        sums.append(f"max({' + '.join(capped) or '0'}, 0)")
    return f"def tally(given):\n    return ({', '.join(sums)})"


def _grade(points: NDArray[np.int64], cuts: tuple[int, ...]) -> NDArray[np.int64]:
    """Index of the first grade whose lowest points are reached."""
    if not cuts:
        return np.zeros(len(points), dtype=np.int64)
    return np.asarray((points[:, None] < np.array(cuts, dtype=np.int64)).sum(axis=1))
