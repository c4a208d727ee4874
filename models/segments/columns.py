"""Many conditions over the same columns of facts in one pass: what segments and statuses ask of millions of leads.

Conditions are compiled to one program. Its leaves (a comparison of one fact, read as must or as may) are shared by all
conditions that ask the same, and answer for 64 leads in one word, a bit each; joining leaves is then `&` and `|` of
words, so that it hardly matters how many segments there are. Facts are taken a block of leads at a time, which stays in
the processor's cache, and blocks are shared out among threads.

What a reading is, and why joining readings is Kleene's logic, is told in `features/evaluate.py`.
INVARIANT: the same answers as `features.evaluate.as_columns` and `as_closure`, for any codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.conditions import Condition
from features.columns import available_threads, in_ranges
from features.evaluate import All, AnyOf, CodeIs, Domain, Known, Normal, NumberIs, normal_form

Bools = NDArray[np.bool_]
Reading = Literal["must", "may"]
NOWHERE = -1
# Leads whose facts are brought together at once, a multiple of 64: some thirty facts of them fit a second-level cache.
BLOCK = 1 << 14
_WORD = 64
_HIGHEST = int(np.iinfo(np.int32).max)
_ALL, _ANY = 0, 1


@dataclass(frozen=True, slots=True)
class ConditionProgram:
    """Conditions compiled for one day, ready to be asked of columns.

    Every part has a slot: leaves over codes, then leaves over numbers, then joins. `tables` has for each leaf over a
    code whether it holds, by code; `bounds` for each leaf over a number the lowest and the highest number that holds,
    whether that is turned round, and whether it holds for an unknown number; `fact_rows` the fact of each leaf. Join j
    is `joins[j]` (all or any) of `parts[starts[j]:starts[j + 1]]`. `outputs` are the conditions' slots.
    """

    codes: tuple[str, ...]
    numbers: tuple[str, ...]
    tables: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    fact_rows: NDArray[np.int64]
    joins: NDArray[np.int64]
    starts: NDArray[np.int64]
    parts: NDArray[np.int64]
    outputs: NDArray[np.int64]

    @classmethod
    def of(
        cls, conditions: Sequence[Condition | None], domain: Domain, on: date, reading: Reading = "must"
    ) -> ConditionProgram:
        """Compile conditions with the parameters of a day; None never holds.

        Args:
            conditions: what is asked, in the order of the answers' columns.
            domain: the facts, their codes, and the dated parameters.
            on: the day.
            reading: `must` asks whether each is surely true, `may` whether it is not surely false.
        """
        normals = [None if condition is None else normal_form(condition, domain, on) for condition in conditions]
        parts = _Parts()
        for normal in normals:
            if normal is not None:
                parts.add(normal, reading == "must")
        return parts.program(normals, reading == "must")

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts it looks at."""
        return (*self.codes, *self.numbers)

    def __call__(self, columns: Mapping[str, NDArray[Any]], n: int, *, threads: int | None = None) -> Bools:
        """Lead by condition: whether the condition's reading is true. An absent fact is unknown everywhere.

        Args:
            columns: facts of n leads, or of size 1 where all leads have the same.
            n: how many leads.
            threads: as many as there are processors when absent.
        """
        found = np.zeros((n, len(self.outputs)), dtype=np.bool_)
        codes = [_flat(columns.get(name), n) for name in self.codes]
        numbers = [_flat(columns.get(name), n) for name in self.numbers]

        def answer(_: int, first: int, last: int) -> None:
            coded = np.empty((len(codes), BLOCK), dtype=np.uint8)
            counted = np.empty((len(numbers), BLOCK), dtype=np.int32)
            for start in range(first * BLOCK, min(last * BLOCK, n), BLOCK):
                stop = min(start + BLOCK, n)
                _bring(codes, 0, start, stop, coded)
                _bring(numbers, -1, start, stop, counted)
                _answer(
                    coded, counted, self.tables, self.bounds, self.fact_rows, self.joins, self.starts, self.parts,
                    self.outputs, found[start:stop],
                )  # fmt: skip

        in_ranges(answer, (n + BLOCK - 1) // BLOCK, threads or available_threads(), worth=4)
        return found


class _Parts:
    """The parts of conditions as they are met, each once: a part is shared by whoever asks it in the same reading."""

    def __init__(self) -> None:
        self.code_leaves: dict[tuple[Normal, bool], tuple[str, NDArray[np.uint8]]] = {}
        self.number_leaves: dict[tuple[Normal, bool], tuple[str, tuple[int, int, bool, bool]]] = {}
        self.joined: dict[tuple[Normal, bool], tuple[int, list[tuple[Normal, bool]]]] = {}

    def add(self, normal: Normal, must: bool) -> tuple[Normal, bool]:
        """Note a part and what it is made of, parts before the whole; returns its key."""
        key = (normal, must)
        match normal:
            case All(parts) | AnyOf(parts):
                if key not in self.joined:
                    own = [self.add(part, must) for part in parts]
                    self.joined[key] = (_ALL if isinstance(normal, All) else _ANY, own)
            case CodeIs(fact, codes, others):
                mask = codes if must else ~others
                self.code_leaves[key] = fact, _table(mask)
            case Known(fact, known, False, values):
                self.code_leaves[key] = fact, _table(values if known else ~values)
            case Known(fact, known, True):
                self.number_leaves[key] = fact, (0, _HIGHEST, not known, not known)
            case NumberIs(fact, operator, number):
                low, high, turned = _bounds(operator, number)
                self.number_leaves[key] = fact, (low, high, turned, not must)
        return key

    def program(self, outputs: Sequence[Normal | None], must: bool) -> ConditionProgram:
        """Lay the parts out."""
        keys: list[tuple[Normal, bool]] = [*self.code_leaves, *self.number_leaves, *self.joined]
        slot = {key: place for place, key in enumerate(keys)}
        coded, counted = list(self.code_leaves.values()), list(self.number_leaves.values())
        codes = tuple(dict.fromkeys(fact for fact, _ in coded))
        numbers = tuple(dict.fromkeys(fact for fact, _ in counted))
        rows = [codes.index(fact) for fact, _ in coded] + [numbers.index(fact) for fact, _ in counted]
        joined = list(self.joined.values())
        sizes = [len(parts) for _, parts in joined]
        placed = [NOWHERE if normal is None else slot[normal, must] for normal in outputs]
        return ConditionProgram(
            codes=codes,
            numbers=numbers,
            tables=np.array([table for _, table in coded], dtype=np.uint8).reshape(-1, 256),
            bounds=np.array([bounds for _, bounds in counted], dtype=np.int64).reshape(-1, 4),
            fact_rows=np.array(rows, dtype=np.int64),
            joins=np.array([join for join, _ in joined], dtype=np.int64),
            starts=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))),
            parts=np.array([slot[part] for _, parts in joined for part in parts], dtype=np.int64),
            outputs=np.array(placed, dtype=np.int64),
        )


def _table(mask: int) -> NDArray[np.uint8]:
    """Whether each code is in a bit mask, which may be negative: then it holds every higher code."""
    return np.array([mask >> code & 1 for code in range(256)], dtype=np.uint8)


def _bounds(operator: str, number: int) -> tuple[int, int, bool]:
    """The lowest and the highest known number that an operator lets through, and whether that is turned round."""
    match operator:
        case "=" | "<>":
            return number, number, operator == "<>"
        case "<" | "<=":
            return 0, number - (operator == "<"), False
        case _:
            return number + (operator == ">"), _HIGHEST, False


def _flat(column: NDArray[Any] | None, n: int) -> NDArray[Any] | int | None:
    """A column with one value a lead, or the one value of all; None where it is absent."""
    if column is None:
        return None
    return column.reshape(-1) if column.size == n else int(column.reshape(-1)[0])


def _bring(
    columns: Sequence[NDArray[Any] | int | None], unknown: int, start: int, stop: int, block: NDArray[Any]
) -> None:
    for row, column in enumerate(columns):
        if isinstance(column, np.ndarray):
            block[row, : stop - start] = column[start:stop]
        else:
            block[row, : stop - start] = unknown if column is None else column


@njit(cache=True, nogil=True)
def _answer(
    codes: Any, numbers: Any, tables: Any, bounds: Any, fact_rows: Any, joins: Any, starts: Any, parts: Any,
    outputs: Any, found: Any,
) -> None:  # fmt: skip
    n, coded, counted = len(found), len(tables), len(bounds)
    slots = np.empty(coded + counted + len(joins), dtype=np.uint64)
    for first in range(0, n, _WORD):
        size = min(_WORD, n - first)
        for leaf in range(coded):
            table, row, word = tables[leaf], codes[fact_rows[leaf]], np.uint64(0)
            for j in range(size):
                word |= np.uint64(table[row[first + j]]) << np.uint64(j)
            slots[leaf] = word
        for leaf in range(counted):
            row, word = numbers[fact_rows[coded + leaf]], np.uint64(0)
            low, high, turned, otherwise = bounds[leaf, 0], bounds[leaf, 1], bounds[leaf, 2], bounds[leaf, 3]
            for j in range(size):
                number = row[first + j]
                holds = otherwise if number < 0 else np.int64(low <= number <= high) ^ turned
                word |= np.uint64(holds) << np.uint64(j)
            slots[coded + leaf] = word
        for join in range(len(joins)):
            word = slots[parts[starts[join]]]
            for at in range(starts[join] + 1, starts[join + 1]):
                word = word & slots[parts[at]] if joins[join] == _ALL else word | slots[parts[at]]
            slots[coded + counted + join] = word
        for place in range(len(outputs)):
            if outputs[place] >= 0:
                word = slots[outputs[place]]
                j = 0
                while word:
                    if word & np.uint64(255):
                        found[first + j, place] = word & np.uint64(1)
                        word >>= np.uint64(1)
                        j += 1
                    else:  # most leads are in few segments
                        word >>= np.uint64(8)
                        j += 8
