"""A learner of titles: from labelled titles to the label of another title, with a confidence that holds.

One-against-rest linear support vector machines with squared hinge loss, solved in the dual on the Gram matrix (Hsieh
et al., "A dual coordinate descent method for large-scale linear SVM", ICML 2008), on character n-grams of the title, of
the words it stands for (`title_words.py`), and on those words in pairs, each weighted by term frequency and inverse
document frequency. The confidence is the chance of being right by a logistic regression on the margin, on how near the
nearest titles of the same and of another label are, and on how often answers of that label are right, all of it
measured on titles that were set aside (eight folds). It is fitted where it is used, the same from the same titles in
any order: nothing is stored.

Hard negatives are a rule on top: a word that turns a title into another job (`resident`, `sales`, `former`, ...) must
have been seen with a label, or that label is not answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log, sqrt
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.intake.title_words import TitleWords

Floats = NDArray[np.float64]
FEWEST_LABELLED = 100
"""Fewer labelled titles than this teach nothing that could be checked."""
FOLDS = 8
_COST = 2.0
_BIAS = 0.5
_ROUNDS = 30
_CLOSE_ENOUGH = 0.05
# What a title is made of, and the weight of each part in the similarity of two titles.
_PARTS = (("own", 1.0), ("meant", 1.0), ("pairs", 0.2))
_LONGEST_GRAM = 4
NOT_ANSWERED = -1
# Words that turn a title with a profession in it into another one, as `title_words.py` reads them.
_TURNING_WORDS = (
    "student resident intern fellow former seeking assistant sales marketing distributor secretary receptionist"
    " recruiter human_resources lawyer finance press photographer engineer information_technology representative"
    " customer_service medical_assistant dental_assistant nursing_assistant"
)
TURNING = frozenset(_TURNING_WORDS.split())


@dataclass(frozen=True, slots=True)
class Answer:
    """The label of a title and the chance that it is right; `NOT_ANSWERED` where no label fits."""

    label: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of weighted n-grams; what an n-gram is worth is learned from all the titles, labels not needed."""

    column_of: dict[str, int]
    worth: Floats
    strange: float

    @classmethod
    def of(cls, parts: Sequence[Sequence[Counter[str]]]) -> Features:
        """Number the n-grams of titles and weigh them by how few titles have them."""
        column_of: dict[str, int] = {}
        seen: list[int] = []
        for title in parts:
            for counts in title:
                for gram in counts:
                    column = column_of.setdefault(gram, len(column_of))
                    if column == len(seen):
                        seen.append(0)
                    seen[column] += 1
        worth = np.log((1 + len(parts)) / (1 + np.array(seen, dtype=np.float64))) + 1
        return cls(column_of, worth, log(1 + len(parts)) + 1)

    def row(self, title: Sequence[Counter[str]]) -> tuple[NDArray[np.int32], Floats]:
        """Columns and weights of a title, each of its parts of unit length times the part's own weight.

        N-grams that no title had count for the length alone: a title that is partly unheard of is less like any other.
        """
        columns: list[int] = []
        weights: list[float] = []
        total = sum(weight for _, weight in _PARTS)
        for (_, share), counts in zip(_PARTS, title, strict=True):
            known = [(self.column_of[gram], count) for gram, count in counts.items() if gram in self.column_of]
            value = np.array([count for _, count in known], dtype=np.float64)
            value = (1 + np.log(value)) * self.worth[[column for column, _ in known]] if known else value
            strange = sum((1 + log(count)) ** 2 for gram, count in counts.items() if gram not in self.column_of)
            length = sqrt(float(value @ value) + strange * self.strange**2) or 1.0
            columns += [column for column, _ in known]
            weights += (value * (np.sqrt(share / total) / length)).tolist()
        return np.array(columns, dtype=np.int32), np.array(weights, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class TitleModel:
    """A fitted learner; `threshold` is the confidence from which on answers were right as often as was asked."""

    words: TitleWords
    features: Features = field(repr=False)
    by_gram: Any = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    weights: Floats = field(repr=False)
    seen: NDArray[np.bool_] = field(repr=False)
    turning: dict[str, int] = field(repr=False)
    right: Floats = field(repr=False)
    logistic: Floats = field(repr=False)
    threshold: float
    out_of_fold: tuple[NDArray[np.bool_], Floats] = field(repr=False)

    @classmethod
    def fit(
        cls,
        titles: Sequence[str],
        labels: Sequence[int],
        words: TitleWords,
        *,
        named: Sequence[str] = (),
        precision: float = 0.95,
    ) -> TitleModel:
        """Learn from titles and their labels (0 to n-1), and from what the labels are called.

        Args:
            titles: at least `FEWEST_LABELLED`.
            labels: the label of each title.
            words: reads titles.
            named: the name of each label, one more example of it.
            precision: how often answers at or above the threshold must be right.

        Raises:
            ValueError: too few titles.
        """
        if len(titles) < FEWEST_LABELLED:
            raise ValueError(f"{len(titles)} labelled titles: expected at least {FEWEST_LABELLED}")
        examples = sorted((" ".join(words.words(title)), label) for title, label in zip(titles, labels, strict=True))
        given = len(examples)
        # Shuffled, because descent that meets one label after the other stops early at a worse place; seeded, because
        # the same titles must teach the same.
        examples = [examples[place] for place in np.random.default_rng(0).permutation(given)]
        examples += [(" ".join(words.words(name.replace("_", " "))), label) for label, name in enumerate(named)]
        label_of = np.array([label for _, label in examples], dtype=np.int64)
        count = int(label_of.max()) + 1
        split = [text.split() for text, _ in examples]
        meant = [words.meaning(one) for one in split]
        parts = [_parts(one, two) for one, two in zip(split, meant, strict=True)]
        features = Features.of(parts)
        rows = _matrix([features.row(one) for one in parts], len(features.worth))
        gram = (rows @ rows.T).toarray()
        turning = {word: place for place, word in enumerate(sorted(TURNING))}
        held = np.zeros((len(examples), len(turning)), dtype=np.bool_)
        for place, one in enumerate(meant):
            held[place, [turning[word] for word in one if word in turning]] = True
        tried = _set_aside(gram, label_of, given, count, held)
        right, logistic, threshold, aside = _calibrated(*tried, label_of[:given], count, precision)
        solved = _solve(gram + _BIAS, label_of, count, _COST, _ROUNDS, _CLOSE_ENOUGH)
        order = np.argsort(label_of, kind="stable")
        weights = np.vstack([rows.T @ solved, _BIAS * solved.sum(axis=0)])
        seen = _seen(held, label_of, count)
        by_gram = rows[order].T.tocsr()
        return cls(words, features, by_gram, label_of[order], weights, seen, turning, right, logistic, threshold, aside)

    def read(self, words: list[str]) -> Answer:
        """The label of a title's words and the chance that it is right.

        INVARIANT: the same words give the same answer, alone or among others.
        """
        meant = self.words.meaning(words)
        columns, values = self.features.row(_parts(words, meant))
        if not len(columns):
            return Answer(NOT_ANSWERED, 0.0)
        score = self.weights[-1] + values @ self.weights[columns]
        row = sparse.csr_matrix((values, columns, [0, len(columns)]), shape=(1, len(self.features.worth)))
        alike = (row @ self.by_gram).toarray()
        near = _nearest(alike, self.labels, len(score))[0]
        turned = [self.turning[word] for word in meant if word in self.turning]
        allowed = self.seen[:, turned].all(axis=1)
        if not allowed.any():
            return Answer(NOT_ANSWERED, 0.0)
        label = int(np.argmax(np.where(allowed, score, -np.inf)))
        evidence = _evidence(score[None], near[None], np.array([label]), self.right)
        return Answer(label, round(float(_chance(evidence, self.logistic)[0]), 6))


def _parts(words: list[str], meant: list[str]) -> tuple[Counter[str], ...]:
    plain = "_".join(meant).split("_") if meant else []
    pairs = [f"p{word}" for word in meant] + [f"p{a}+{b}" for a, b in pairwise(meant)]
    return Counter(_grams(words, "o")), Counter(_grams(plain, "m")), Counter(pairs)


def _grams(words: list[str], mark: str) -> list[str]:
    return [
        mark + edged[at : at + size]
        for word in words
        for edged in (f" {word[:40]} ",)
        for size in range(1, _LONGEST_GRAM + 1)
        for at in range(len(edged) - size + 1)
    ]


def _matrix(rows: Sequence[tuple[NDArray[np.int32], Floats]], width: int) -> Any:
    ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    columns = np.concatenate([columns for columns, _ in rows])
    values = np.concatenate([values for _, values in rows])
    return sparse.csr_matrix((values, columns, ends), shape=(len(rows), width))


def _seen(held: NDArray[np.bool_], label_of: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which labels have an example with which turning word."""
    seen = np.zeros((count, held.shape[1]), dtype=np.bool_)
    np.logical_or.at(seen, label_of, held)
    return seen


def _nearest(alike: Floats, label_of: NDArray[np.int64], count: int) -> Floats:
    """The similarity of the nearest example of each label; the examples come sorted by label."""
    found = np.zeros((len(alike), count))
    present, starts = np.unique(label_of, return_index=True)
    found[:, present] = np.maximum.reduceat(alike, starts, axis=1)
    return found


def _set_aside(
    gram: Floats, label_of: NDArray[np.int64], given: int, count: int, held: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Scores, nearest similarities and allowed labels of every given title by models that have not seen it."""
    fold = np.arange(given) % FOLDS
    scores, near = np.zeros((given, count)), np.zeros((given, count))
    allowed = np.ones((given, count), dtype=np.bool_)
    for part in range(FOLDS):
        rows = np.flatnonzero(fold == part)
        others = np.concatenate([np.flatnonzero(fold != part), np.arange(given, len(label_of))])
        solved = _solve(gram[np.ix_(others, others)] + _BIAS, label_of[others], count, _COST, _ROUNDS, _CLOSE_ENOUGH)
        between = gram[np.ix_(rows, others)]
        scores[rows] = (between + _BIAS) @ solved
        sort = np.argsort(label_of[others], kind="stable")
        near[rows] = _nearest(between[:, sort], label_of[others][sort], count)
        seen = _seen(held[others], label_of[others], count)
        # A label is allowed unless the title has a turning word that no example of the label has.
        allowed[rows] = ~((held[rows].astype(np.int64) @ (~seen.T).astype(np.int64)) > 0)
    return scores, near, allowed


def _calibrated(
    scores: Floats, near: Floats, allowed: NDArray[np.bool_], label_of: NDArray[np.int64], count: int, precision: float
) -> tuple[Floats, Floats, float, tuple[NDArray[np.bool_], Floats]]:
    """How often each label is right, the logistic regression, and the threshold that meets the precision."""
    best = np.argmax(np.where(allowed, scores, -np.inf), axis=1)
    answered = allowed.any(axis=1)
    is_right = (best == label_of) & answered
    overall = is_right.mean()
    answers, hits = np.bincount(best, minlength=count), np.bincount(best, is_right, minlength=count)
    right = (hits + 4 * overall) / (answers + 4)
    # What a title says about its own label is taken out where that title is judged.
    without_itself = (hits[best] - is_right + 4 * overall) / (answers[best] + 3)
    evidence = _evidence(scores, near, best, right, without_itself)
    logistic = _logistic(evidence, is_right)
    chance = np.where(answered, _chance(evidence, logistic), 0.0).round(6)
    order = np.argsort(-chance, kind="stable")
    answers_so_far = np.arange(1, len(order) + 1)
    share = np.cumsum(is_right[order]) / answers_so_far
    # An estimate from so many answers, at the best of many places, flatters: it is lowered by one standard error.
    share -= np.sqrt(precision * (1 - precision) / answers_so_far)
    # Only where a run of equal confidences ends can a threshold lie.
    last = np.append(np.diff(chance[order]) != 0, True)
    enough = np.flatnonzero(last & (share >= precision))
    threshold = float(chance[order][enough[-1]]) if len(enough) else 1.0
    return right, logistic, threshold, (is_right, chance)


def _evidence(
    scores: Floats, near: Floats, label: NDArray[np.int64], right: Floats, right_of: Floats | None = None
) -> Floats:
    """What speaks for an answer: score, margin, nearest of its own and of other labels, how its label does."""
    row = np.arange(len(scores))
    top, own = scores[row, label], near[row, label]
    others, far = scores.copy(), near.copy()
    others[row, label] = far[row, label] = -np.inf
    margin = top - others.max(axis=1) if scores.shape[1] > 1 else top
    other = np.maximum(far.max(axis=1), 0.0) if scores.shape[1] > 1 else np.zeros(len(scores))
    share = np.clip(right[label] if right_of is None else right_of, 0.01, 0.99)
    odds = np.log(share / (1 - share))
    return np.column_stack([np.ones(len(scores)), top, margin, own, other, odds, margin * odds])


def _logistic(evidence: Floats, is_right: NDArray[np.bool_]) -> Floats:
    """Logistic regression by Newton's method, lightly ridged so that it always has a solution."""
    weights = np.zeros(evidence.shape[1])
    for _ in range(50):
        chance = _chance(evidence, weights)
        gradient = evidence.T @ (is_right - chance) - weights
        curvature = (evidence * (chance * (1 - chance))[:, None]).T @ evidence + np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _chance(evidence: Floats, weights: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(evidence @ weights, -30, 30))))


@numba.njit(cache=True, nogil=True)
def _solve(gram, label_of, count, cost, rounds, close_enough):  # type: ignore[no-untyped-def]
    """Signed dual weights [example, label]: cyclic coordinate descent, the same every time."""
    size = gram.shape[0]
    softness = 1 / (2 * cost)
    found = np.zeros((size, count))
    for label in range(count):
        weight = np.zeros(size)
        score = np.zeros(size)
        for _ in range(rounds):
            worst = 0.0
            for i in range(size):
                sign = 1.0 if label_of[i] == label else -1.0
                slope = sign * score[i] - 1 + weight[i] * softness
                if weight[i] == 0.0 and slope >= 0:
                    continue
                worst = max(worst, abs(slope))
                if abs(slope) < close_enough:
                    continue
                new = max(0.0, weight[i] - slope / (gram[i, i] + softness))
                change = (new - weight[i]) * sign
                weight[i] = new
                if change != 0.0:
                    for j in range(size):
                        score[j] += change * gram[i, j]
            if worst < close_enough:
                break
        for i in range(size):
            found[i, label] = weight[i] if label_of[i] == label else -weight[i]
    return found
