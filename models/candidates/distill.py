"""Turn a cluster into a readable condition in the language of segments, and measure what it is worth.

A shallow surrogate tree over the lead's facts is fitted to the cluster and rules are grown
(`models.candidates.conjunctions`). The few paths and rules that say it best together are written as an OR of ANDs with
whole numbers, and only then is the text parsed back and measured, on rows that neither has seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from configs.conditions import parse
from features.evaluate import Domain, as_columns
from models.candidates.conjunctions import conjunctions

Bools = NDArray[np.bool_]

MAX_TERMS = 4
MAX_BRANCHES = 3
MIN_PRECISION = 0.5
LEARN_SHARE = 0.7
RARE = 0.01
WORTH = 0.005
SCREENED_FROM = 1_000


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well a condition reproduces a cluster on rows that were not used to write it."""

    precision: float
    recall: float
    f1: float
    size: int
    measured_on: int


@dataclass(frozen=True, slots=True)
class Distilled:
    """A readable condition for a cluster with its exit, its fidelity and the facts it looks at."""

    enter: str
    exit: str
    fidelity: Fidelity
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Branch:
    """One path: allowed codes per enumeration, and lowest and highest number per count."""

    codes: dict[str, frozenset[int]] = field(default_factory=dict)
    low: dict[str, int] = field(default_factory=dict)
    high: dict[str, int] = field(default_factory=dict)
    hits: int = 0

    @property
    def terms(self) -> int:
        return len(self.codes) + len(self.low.keys() | self.high.keys())


def distill(
    member: Bools,
    columns: Mapping[str, NDArray[Any]],
    domain: Domain,
    on: date,
    *,
    learn: Bools | None = None,
    seed: int = 7,
) -> Distilled | None:
    """A condition for the members of a cluster, or None where no short condition tells them from the rest.

    Args:
        member: the cluster, one value per lead.
        columns: the facts that may be used, codes and counts, one value per lead.
        domain: what the codes mean.
        on: the day the condition is compiled for.
        learn: rows to learn from; the others are measured. A seeded share of rows when not given.
        seed: of that share.
    """
    n = len(member)
    if learn is None:
        learn = np.random.default_rng(seed).random(n) < LEARN_SHARE
    if not np.any(member & learn) or np.all(member[learn]):
        return None
    usable = {name: values for name, values in columns.items() if len(np.unique(values[learn])) > 1}
    known = {name: values[learn] for name, values in usable.items() if _tells(values[learn], member[learn])}
    branches = _branches(member[learn], known, domain)
    grown = conjunctions(member[learn], known, domain.is_number, terms=MAX_TERMS, rules=MAX_BRANCHES)
    branches += [_Branch(dict(rule.codes), dict(rule.low), dict(rule.high)) for rule in grown]
    if not branches:
        return None
    enter = _best(branches, member, columns, domain, on, learn)
    if not enter:
        return None
    text = _text(enter, domain)
    leave = f"NOT ({_text([_loosened(branch) for branch in enter], domain)})"
    held_out = ~learn if np.any(member & ~learn) else learn
    fidelity = measure(evaluate(text, columns, domain, on)[held_out], member[held_out])
    parse(leave, domain.facts, domain.parameters)
    used = dict.fromkeys(name for branch in enter for name in (*branch.codes, *branch.low, *branch.high))
    return Distilled(text, leave, fidelity, tuple(used))


def evaluate(text: str, columns: Mapping[str, NDArray[Any]], domain: Domain, on: date) -> Bools:
    """Where a condition is surely true."""
    must = as_columns(parse(text, domain.facts, domain.parameters), domain, on)(columns)[0]
    return np.broadcast_to(must.reshape(-1), (len(next(iter(columns.values()))),))


def measure(found: Bools, member: Bools) -> Fidelity:
    """Precision, recall and F1 of found rows against members."""
    both, size, wanted = int(np.sum(found & member)), int(np.sum(found)), int(np.sum(member))
    precision, recall = both / max(size, 1), both / max(wanted, 1)
    return Fidelity(precision, recall, 2 * both / max(size + wanted, 1), size, len(member))


def _tells(values: NDArray[Any], member: Bools) -> bool:
    """Whether a fact goes with membership beyond chance: the G statistic against four sigma, where rows are enough.

    INVARIANT: a condition does not look at noise, however well it happens to fit a few rows at the end of a branch.
    """
    if len(values) < SCREENED_FROM:
        return True
    cuts = np.unique(np.quantile(values, np.linspace(0.0, 1.0, 11), method="lower"))
    parts = values if len(np.unique(values)) <= 2 * len(cuts) + 20 else np.searchsorted(cuts, values)
    present, inverse = np.unique(parts, return_inverse=True)
    table = np.zeros((len(present), 2))
    np.add.at(table, (inverse, member.astype(np.intp)), 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / len(values)
    seen = table > 0
    g = 2.0 * float((table[seen] * np.log(table[seen] / expected[seen])).sum())
    freedom = len(present) - 1
    return bool(g >= freedom + 4.0 * np.sqrt(2.0 * freedom)) and freedom > 0


def _branches(member: Bools, columns: Mapping[str, NDArray[Any]], domain: Domain) -> list[_Branch]:
    """Paths of the surrogate tree that lead to members, those with most members first."""
    names = list(columns)
    if not names:
        return []
    matrix = np.empty((len(member), len(names)))
    orders: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        if domain.is_number(name):
            matrix[:, j] = columns[name]
        else:
            orders[name], matrix[:, j] = _by_share(columns[name], member)
    smallest = max(1, len(member) // 100) if len(member) > 200 else 1
    tree = DecisionTreeClassifier(
        criterion="entropy", max_depth=MAX_TERMS, min_samples_leaf=smallest, class_weight="balanced", random_state=0
    )
    tree.fit(matrix, member)
    found: list[_Branch] = []
    _walk(tree.tree_, 0, _Branch(), names, orders, matrix, member, np.ones(len(member), dtype=np.bool_), found)
    merged = _merged([branch for branch in found if branch.terms])
    return sorted(merged, key=lambda branch: (-branch.hits, branch.terms, str(branch)))


def _by_share(codes: NDArray[Any], member: Bools) -> tuple[list[int], NDArray[np.float64]]:
    """Codes ordered by the share of members among them: with it a threshold is the best two-way split of values."""
    present, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    share = np.bincount(inverse, weights=member, minlength=len(present)) / counts
    order = np.lexsort((present, share))
    rank = np.empty(len(present))
    rank[order] = np.arange(len(present))
    return [int(code) for code in present[order]], rank[inverse]


def _walk(
    tree: Any,
    node: int,
    branch: _Branch,
    names: Sequence[str],
    orders: Mapping[str, list[int]],
    matrix: NDArray[np.float64],
    member: Bools,
    rows: Bools,
    found: list[_Branch],
) -> None:
    """Collect the leaves where most rows are members, with whole-number bounds."""
    if tree.children_left[node] < 0:
        hits, size = int(np.sum(member & rows)), int(np.sum(rows))
        if hits and hits >= MIN_PRECISION * size:
            found.append(_Branch(branch.codes, branch.low, branch.high, hits))
        return
    j, threshold = int(tree.feature[node]), float(tree.threshold[node])
    name, below = names[j], matrix[:, j] <= threshold
    for child, side in ((tree.children_left[node], below), (tree.children_right[node], ~below)):
        codes, low, high = dict(branch.codes), dict(branch.low), dict(branch.high)
        if name in orders:
            ranks = range(int(np.floor(threshold)) + 1)
            lower = frozenset(orders[name][rank] for rank in ranks)
            chosen = lower if side is below else frozenset(orders[name]) - lower
            codes[name] = codes.get(name, chosen) & chosen
        elif side is below:
            high[name] = min(high.get(name, int(np.floor(threshold))), int(np.floor(threshold)))
        else:
            low[name] = max(low.get(name, 0), int(np.floor(threshold)) + 1)
        step = _Branch(codes, low, high)
        _walk(tree, int(child), step, names, orders, matrix, member, rows & side, found)


def _merged(branches: list[_Branch]) -> list[_Branch]:
    """Join branches that differ in the values of one enumeration only, or in adjoining ranges of one count."""
    todo = list(branches)
    merged = True
    while merged:
        merged = False
        for a in range(len(todo)):
            for b in range(a + 1, len(todo)):
                joined = _joined(todo[a], todo[b])
                if joined is not None:
                    todo[a] = joined
                    del todo[b]
                    merged = True
                    break
            if merged:
                break
    return todo


def _joined(left: _Branch, right: _Branch) -> _Branch | None:
    hits = left.hits + right.hits
    if (left.low, left.high) == (right.low, right.high) and left.codes.keys() == right.codes.keys():
        differing = [name for name in left.codes if left.codes[name] != right.codes[name]]
        if len(differing) == 1:
            name = differing[0]
            codes = {**left.codes, name: left.codes[name] | right.codes[name]}
            return _Branch(codes, left.low, left.high, hits)
    if left.codes == right.codes:
        for one, other in ((left, right), (right, left)):
            names = [name for name in one.high if other.low.get(name) == one.high[name] + 1]
            for name in names:
                low = dict(one.low)
                high = {k: v for k, v in one.high.items() if k != name}
                rest_low = {k: v for k, v in other.low.items() if k != name}
                if {k: v for k, v in low.items() if k != name} == rest_low and high == {
                    k: v for k, v in other.high.items() if k != name
                }:
                    high |= {name: other.high[name]} if name in other.high else {}
                    return _Branch(left.codes, low, high, hits)
    return None


def _best(
    branches: list[_Branch],
    member: Bools,
    columns: Mapping[str, NDArray[Any]],
    domain: Domain,
    on: date,
    learn: Bools,
) -> list[_Branch]:
    """The few branches that together have the best F1 on the rows learned from; each must still earn its place."""
    taken: list[_Branch] = []
    best = 0.0
    common = _common(branches, member & learn, columns)
    simple = [branch for branch in (_simplified(b, common, domain) for b in branches) if branch and branch.terms]
    while len(taken) < MAX_BRANCHES:
        scored = []
        for index, branch in enumerate(simple):
            if branch in taken:
                continue
            found = evaluate(_text([*taken, branch], domain), columns, domain, on)
            scored.append((measure(found[learn], member[learn]).f1, -index))
        if not scored or max(scored)[0] < best + 0.01:
            break
        best, index = max(scored)
        taken.append(simple[-index])
    for b in range(len(taken)):
        taken[b] = _shortened(taken[b], b, taken, member, columns, domain, on, learn)

    def quality(candidates: list[_Branch]) -> float:
        found = evaluate(_text(candidates, domain), columns, domain, on)
        return measure(found[learn], member[learn]).f1

    merged = _merged(taken)
    taken = merged if all(branch.terms for branch in merged) else taken
    for branch in list(reversed(taken)):
        rest = [other for other in taken if other is not branch]
        if rest and quality(rest) >= quality(taken) - 0.001:
            taken = rest
    return taken


def _shortened(
    branch: _Branch,
    position: int,
    taken: list[_Branch],
    member: Bools,
    columns: Mapping[str, NDArray[Any]],
    domain: Domain,
    on: date,
    learn: Bools,
) -> _Branch:
    """Drop each term whose loss costs next to nothing: a shorter sentence of the same meaning."""
    others = taken[:position] + taken[position + 1 :]

    def quality(candidate: _Branch) -> float:
        found = evaluate(_text([*others, candidate], domain), columns, domain, on)
        return measure(found[learn], member[learn]).f1

    current, best = branch, quality(branch)
    for name in (*branch.codes, *dict.fromkeys((*branch.low, *branch.high))):
        shorter = _without(current, name)
        if shorter.terms and (reached := quality(shorter)) >= best - WORTH:
            current, best = shorter, max(best, reached)
    return current


def _without(branch: _Branch, name: str) -> _Branch:
    parts = ({k: v for k, v in part.items() if k != name} for part in (branch.codes, branch.low, branch.high))
    codes, low, high = parts
    return _Branch(codes, low, high, branch.hits)  # type: ignore[arg-type]


def _common(branches: list[_Branch], rows: Bools, columns: Mapping[str, NDArray[Any]]) -> dict[str, frozenset[int]]:
    """Values that one member in a hundred has; rarer ones would only lengthen the sentence."""
    found = {}
    for name in {name for branch in branches for name in branch.codes}:
        present, counts = np.unique(columns[name][rows], return_counts=True)
        found[name] = frozenset(int(code) for code in present[counts >= RARE * counts.sum()])
    return found


def _simplified(branch: _Branch, common: Mapping[str, frozenset[int]], domain: Domain) -> _Branch | None:
    """Unknown is no value to ask for, a rare one is not worth naming, and a term for every value says nothing."""
    codes = {name: (allowed - {0}) & common[name] for name, allowed in branch.codes.items()}
    if not all(codes.values()) or any(value < 0 for value in branch.high.values()):
        return None
    codes = {name: allowed for name, allowed in codes.items() if len(allowed) < len(domain.facts[name].values)}
    low = {name: round_number(value) for name, value in branch.low.items() if value > 0}
    high = {name: round_number(value) for name, value in branch.high.items()}
    return _Branch(codes, low, high, branch.hits)


def round_number(value: int) -> int:
    """A whole number as a person would say it: two significant digits, halves up; numbers below 100 as they are."""
    unit = int(10 ** max(len(str(value)) - 2, 0))
    return (value + unit // 2) // unit * unit


def _loosened(branch: _Branch) -> _Branch:
    """The same branch with counts halved or doubled: one click more or less must not throw a member out."""
    low = {name: (value + 1) // 2 for name, value in branch.low.items()}
    return _Branch(branch.codes, low, {name: value * 2 for name, value in branch.high.items()}, branch.hits)


def _text(branches: Sequence[_Branch], domain: Domain) -> str:
    texts = [_branch_text(branch, domain) for branch in branches]
    if len(texts) == 1:
        return texts[0]
    return " OR ".join(f"({text})" for text in texts)


def _branch_text(branch: _Branch, domain: Domain) -> str:
    terms = []
    for name in sorted(branch.codes):
        values = sorted(str(domain.value(name, code)) for code in branch.codes[name])
        shown = ", ".join(f"'{value}'" for value in values)
        terms.append(f"{name} = {shown}" if len(values) == 1 else f"{name} IN ({shown})")
    for name in sorted(branch.low.keys() | branch.high.keys()):
        low, high, most = branch.low.get(name), branch.high.get(name), domain.facts[name].max
        if low is not None:
            terms.append(f"{name} >= {min(low, most)}")
        if high is not None:
            terms.append(f"{name} <= {min(high, most)}")
    return " AND ".join(terms)


def slug(text: str, limit: int = 48) -> str:
    """A short id from the values a condition asks for."""
    words = re.findall(r"'([a-z0-9_]+)'", text) or re.findall(r"[a-z_]+_count", text)
    found = ""
    for word in dict.fromkeys(words):
        if len(found) + len(word) < limit:
            found = f"{found}_{word}" if found else word
    return found or "cluster"
