"""From counts of two nights to watches: every share, level and number judged together against noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.shares import Share, newcombe
from training.monitoring.noise import Difference, Panel, differences, index_limits, indices
from training.monitoring.results import Result
from training.monitoring.tally import Key, Tally
from training.monitoring.things import TITLES
from training.monitoring.watch import Watch

Floats = NDArray[np.float64]
# As many draws tell a distribution's limits; its noise is judged with all.
DRAWS = 400


def compared(sides: tuple[Tally, Tally], more: Sequence[Numbers] = (), *, flips: int, level: float) -> list[Watch]:
    """Every share, level and number of two tallies, and further numbers, judged jointly.

    Shares that both nights lack are left out. The order is that in which the earlier night counted them.
    """
    keys = list(dict.fromkeys([*sides[0].shares, *sides[1].shares]))
    spread = [*_numbers(sides), *_levels(sides), *more]
    of = (sides[0].of, sides[1].of)
    panels = [Panel(of, tuple(_side(side, keys) for side in sides))]  # type: ignore[arg-type]
    panels += [Panel(one.of, one.tested()) for one in spread]
    found = differences(panels, flips=flips, level=level)
    watches = list(_shares(keys, panels[0], found[0]))
    limits = index_limits([one.bins for one in spread], flips=min(flips, DRAWS), level=level)
    for one, difference, reach in zip(spread, found[1:], limits, strict=True):
        watches.append(_distribution(one, bool(difference.beyond.any()), reach))
    return watches


class Numbers:
    """One number or word by bins on two nights: the rows of each group, and those of them in each bin.

    Of a number the first bin is that it is missing, and the others are in order of size.
    """

    def __init__(
        self, key: Key, of: tuple[Floats, Floats], bins: tuple[Floats, Floats], names: Sequence[str], ordered: bool
    ) -> None:
        self.key, self.of, self.bins, self.names, self.ordered = key, of, bins, tuple(names), ordered

    def tested(self) -> tuple[Floats, Floats]:
        """What is judged: each level; of a number that it is missing, and that it is above each edge."""
        if not self.ordered:
            return self.bins
        above = [np.cumsum(side[:, :0:-1], axis=1)[:, ::-1] for side in self.bins]
        first, second = (np.column_stack((side[:, :1], up)) for side, up in zip(self.bins, above, strict=True))
        return first, second


def names_of_bins(edges: Floats) -> list[str]:
    """How the bins of a number are called: missing, below the first edge, between two, from the last on."""
    if not len(edges):
        return ["not known", "any"]
    told = [f"{edge:.4g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(told)]
    return ["not known", f"below {told[0]}", *between, f"{told[-1]} and more"]


def rows_of(earlier: Result, later: Result) -> list[Watch]:
    """How many rows each table gave on both nights, and the share of them that was rejected: counted, not sampled."""
    found = [_count("leads decided about", earlier.leads, later.leads)]
    tables: tuple[Mapping[str, Mapping[str, int]], ...] = (
        earlier.manifest.get("rows", {}),
        later.manifest.get("rows", {}),
    )
    for table in sorted({*tables[0], *tables[1]}):
        before, after = (side.get(table, {}) for side in tables)
        found.append(_count(f"{table} used", int(before.get("used", 0)), int(after.get("used", 0))))
        shares = [Share(int(side.get("rejected", 0)), int(side.get("read", 0))) for side in (before, after)]
        if shares[0].hits or shares[1].hits:
            low, high = newcombe(shares[1], shares[0])
            change = shares[1].rate - shares[0].rate
            says = f"{table} rejected {_moved(change)}: {shares[0].rate:.2%}, then {shares[1].rate:.2%} of rows read"
            hits, of = (shares[0].hits, shares[1].hits), (shares[0].of, shares[1].of)
            found.append(
                Watch("rejected", table, "share", shares[0].rate, shares[1].rate, change, low, high, hits, of,
                      low > 0 or high < 0, says)
            )  # fmt: skip
    return found


def _count(name: str, before: int, after: int) -> Watch:
    change = after - before
    part = f" ({change / before:+.1%})" if before else ""
    says = f"{name}: {before:,}, then {after:,}{part}" if change else f"{name}: {after:,} on both nights"
    return Watch("rows", name, "count", before, after, change, None, None, (before, after), (0, 0), change != 0, says)


def _side(side: Tally, keys: Iterable[Key]) -> Floats:
    columns = [side.shares.get(key, np.zeros(side.groups)) for key in keys]
    return np.column_stack(columns) if columns else np.zeros((side.groups, 0))


def _numbers(sides: tuple[Tally, Tally]) -> list[Numbers]:
    of = (sides[0].of, sides[1].of)
    return [
        Numbers(key, of, (bins, sides[1].numbers[key]), names_of_bins(sides[0].edges[key[1]]), True)
        for key, bins in sides[0].numbers.items()
        if key in sides[1].numbers
    ]


def _levels(sides: tuple[Tally, Tally]) -> list[Numbers]:
    found = []
    of = (sides[0].of, sides[1].of)
    for key, own in sides[0].levels.items():
        other = sides[1].levels.get(key, {})
        names = sorted({*own, *other})
        nothing = np.zeros(sides[0].groups)
        bins = tuple(np.column_stack([side.get(name, nothing) for name in names]) for side in (own, other))
        found.append(Numbers(key, of, (bins[0], bins[1]), names, False))
    return found


def _shares(keys: Sequence[Key], panel: Panel, found: Difference) -> Iterable[Watch]:
    first, second = panel.rates
    hits = [side.sum(axis=0) for side in panel.hits]
    of = (int(panel.of[0].sum()), int(panel.of[1].sum()))
    for at, (kind, name) in enumerate(keys):
        change, beyond = float(found.value[at]), bool(found.beyond[at])
        low, high = float(found.low[at]), float(found.high[at])
        moved = _moved(change) if beyond else "did not move beyond noise"
        says = (
            f"{_called(kind, name)} {moved}: {first[at]:.1%}, then {second[at]:.1%} of leads"
            f" ({100 * change:+.2f} points, {100 * low:+.2f} to {100 * high:+.2f})"
        )
        counts = (int(hits[0][at]), int(hits[1][at]))
        rates = (float(first[at]), float(second[at]))
        yield Watch(kind, name, "share", *rates, change, low, high, counts, of, beyond, says)


def _distribution(one: Numbers, beyond: bool, reach: tuple[float, float, float]) -> Watch:
    kind, name = one.key
    totals = one.bins[0].sum(axis=0), one.bins[1].sum(axis=0)
    value = indices(totals)
    low, high, noise = min(reach[0], value), max(reach[1], value), reach[2]
    of = (int(one.of[0].sum()), int(one.of[1].sum()))
    shares = tuple(total / max(total.sum(), 1.0) for total in totals)
    levels = tuple(zip(one.names, shares[0].tolist(), shares[1].tolist(), strict=True))
    moved = "moved" if beyond else "did not move beyond noise"
    largest = max(levels, key=lambda found: abs(found[2] - found[1]))
    told = f"; {largest[0]}: {largest[1]:.1%}, then {largest[2]:.1%}" if beyond else ""
    limits = f"{low:.3f} to {high:.3f}, by chance below {noise:.3f}"
    says = f"{(TITLES.get(name) or name).replace('_', ' ')} {moved}: PSI {value:.3f} ({limits}){told}"
    return Watch(
        kind, name, "psi", None, None, value, low, high, (of[0] - int(totals[0][0]) if one.ordered else of[0],
        of[1] - int(totals[1][0]) if one.ordered else of[1]), of, beyond, says, noise, levels,
    )  # fmt: skip


def _called(kind: str, name: str) -> str:
    if kind == "permit":
        return f"permitted on {name.replace('_', ' ')}"
    if kind == "rule":
        channel, _, rule = name.partition(" ")
        return f"stopped by {rule} on {channel.replace('_', ' ')}"
    return f"{kind} {name}" if kind in ("band", "segment", "status") else name.replace("_", " ")


def _moved(change: float) -> str:
    return "rose" if change > 0 else "fell" if change < 0 else "did not change"
