"""Facts as they are built: blocks of codes with one row per fact, whose arrays are cut out when they are asked for.

One lead has some 190 facts, of which its answer shows a few: cutting out every array costs more than building them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from numpy.typing import NDArray

Place = tuple[int, int]


def places_in(blocks: tuple[tuple[str, ...], ...]) -> dict[str, Place]:
    """For every name its block and its row there; each tuple names the rows of a block."""
    return {name: (block, row) for block, names in enumerate(blocks) for row, name in enumerate(names)}


class FactColumns(Mapping[str, NDArray[Any]]):
    """Arrays by fact: rows of blocks, and `fixed` ones that are the same for many leads."""

    __slots__ = ("_blocks", "_fixed", "_found", "_places")

    def __init__(
        self, places: Mapping[str, Place], blocks: tuple[NDArray[Any], ...], fixed: Mapping[str, NDArray[Any]]
    ) -> None:
        self._places, self._blocks, self._fixed = places, blocks, fixed
        self._found: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        found = self._found.get(name)
        if found is None:
            place = self._places.get(name)
            found = self._fixed[name] if place is None else self._blocks[place[0]][place[1]]
            self._found[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from (name for name in self._fixed if name not in self._places)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def having(self, name: str, column: NDArray[Any]) -> FactColumns:
        """The same facts with another array for one of them."""
        other = FactColumns(self._places, self._blocks, self._fixed)
        other._found = {**self._found, name: column}
        return other


def plain(
    names: tuple[str, ...],
    per_lead: tuple[NDArray[Any], ...],
    nested: tuple[NDArray[Any], ...],
    fixed: Mapping[str, Any],
) -> dict[str, Any]:
    """Blocks of one lead as whole numbers: a fact's code, or its codes by channel or by asset.

    `names` names the rows of all blocks in order. INVARIANT: the same codes as in the arrays.
    """
    rows = [block.ravel().tolist() for block in per_lead]
    rows += [block.reshape(len(block), -1).tolist() for block in nested]
    found = dict(fixed)
    found.update(zip(names, chain.from_iterable(rows), strict=True))
    return found


def unpacked(column: NDArray[Any], per: str) -> Any:
    """The array of a fact of at most one lead as plain numbers, nested by what it varies with: `per` says what."""
    if per == "lead":
        return int(column[0, 0, 0])
    if per == "channel":
        return column[0, 0].tolist()
    return column[0].tolist() if per == "asset_channel" else column[0, :, 0].tolist()
