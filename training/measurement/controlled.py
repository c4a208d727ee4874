"""Controlled tests: which arm a unit is in, how many units a test needs, and what its arms say when it is read.

Arms are drawn by a keyed hash of the unit's id (BLAKE2b, RFC 7693), so that a rerun and another machine draw the same.
Differences of rates are given as intervals: Newcombe's (1998, method 10) where every lead was drawn alone, Welch's over
the residuals of a ratio (Cochran 1977, ch. 6) where accounts were. With several arms each is compared with the control
at the level divided by their number (Bonferroni), in the interval and in the verdict alike. Whether the split is as
drawn is asked first (chi-square of the units): where it is not, no difference is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from configs.controlled_tests import ControlledTest
from training.measurement.sequential import always_valid, worst_case_factor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Verdict = Literal["raises", "lowers", "not told apart", "too few", "not read yet", "not believed"]

# Below this chance of so uneven a split under the declared shares something other than chance divided the units.
SPLIT_LEVEL = 0.001
# With fewer units in an arm, or fewer successes or failures in both together, an interval means little. Accounts of
# unequal size count as so many equal ones.
MIN_UNITS, MIN_EVENTS = 20, 5
_UNIT = 2.0**-53


@dataclass(frozen=True, slots=True)
class Size:
    """What a test needs: leads and units of each arm in the order of the arms, and why so many.

    `level` is that of each comparison, `inflation` what drawing accounts costs, `factor` what looking at any time does.
    """

    leads: tuple[int, ...]
    units: tuple[int, ...]
    level: float
    inflation: float
    factor: float

    @property
    def total_leads(self) -> int:
        """Leads of all arms."""
        return sum(self.leads)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm as read: units and leads that were followed to the end, and those of them with a success."""

    arm: str
    units: int
    leads: int
    hits: int


@dataclass(frozen=True, slots=True)
class Compared:
    """An arm against the control: the difference of rates with its interval at `level`, and what it says.

    `detectable` is the smallest difference that so many leads would have found with the declared power.
    """

    arm: str
    difference: float
    low: float
    high: float
    level: float
    detectable: float
    verdict: Verdict


def arms_of(units: Sequence[str], test: ControlledTest, salt: str | None = None) -> NDArray[np.int8]:
    """The arm of each unit, a place in the test's arms; `salt` draws another split, as for a comparison A/A."""
    key = (test.salt if salt is None else salt).encode()[:64]
    # A zero byte cannot be in an id, so that no two pairs are spelled alike.
    found = [
        int.from_bytes(hashlib.blake2b(f"{unit}\0{test.id}".encode(), digest_size=8, key=key).digest(), "big") >> 11
        for unit in units
    ]
    edges = np.cumsum([arm.share for arm in test.arms])[:-1]
    return np.searchsorted(edges, np.array(found, dtype=np.float64) * _UNIT, side="right").astype(np.int8)


def sample_size(test: ControlledTest) -> Size:
    """Leads that each arm needs to find the smallest effect with the declared power, at two sides.

    Normal approximation with the pooled variance under no difference (Fleiss, Levin and Paik 2003), as statsmodels has
    it; accounts inflate it by 1 + (leads_per_account - 1) * likeness (Kish 1965), a sequential reading by what its
    boundary needs at the worst.
    """
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

    comparisons = len(test.arms) - 1
    level = test.level / comparisons
    inflation = 1 + (test.leads_per_account - 1) * test.likeness
    factor = worst_case_factor(level, test.power) if test.analysis == "sequential" else 1.0
    control = test.arms[0].share
    needed = 0.0
    for arm in test.arms[1:]:
        treated = samplesize_proportions_2indep_onetail(
            test.smallest_effect, test.baseline, test.power, ratio=control / arm.share, alpha=level
        )
        # All leads of the test, so that shares hold and the neediest comparison has enough.
        needed = max(needed, float(treated) / arm.share)
    leads = tuple(ceil(needed * arm.share * inflation * factor) for arm in test.arms)
    return Size(leads, tuple(ceil(n / test.leads_per_account) for n in leads), level, inflation, factor)


def split_p(units: Sequence[int], test: ControlledTest) -> float:
    """The chance of a split as uneven as this under the declared shares; 1 of no units."""
    total = sum(units)
    if total == 0:
        return 1.0
    expected = [arm.share * total for arm in test.arms]
    return float(stats.chisquare(list(units), expected).pvalue)


def rate_interval(hits: Any, n: Any, control_hits: Any, control_n: Any, level: float) -> tuple[Any, Any]:
    """Newcombe's interval of a difference of rates, treated minus control; arrays give arrays."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    return confint_proportions_2indep(hits, n, control_hits, control_n, method="newcomb", compare="diff", alpha=level)  # type: ignore[no-any-return]


def compare(
    hits: NDArray[np.bool_],
    arm: NDArray[np.int8],
    cluster: Ints | None,
    test: ControlledTest,
    *,
    believed: bool,
    due: bool,
) -> tuple[list[ArmResult], list[Compared]]:
    """What the arms say.

    Args:
        hits: for each lead that was followed to the end whether it had a success.
        arm: its arm.
        cluster: the number of its account where accounts were drawn, else None.
        test: the declaration.
        believed: the split is as drawn.
        due: a fixed test may be read; a sequential one always may.
    """
    level = test.level / (len(test.arms) - 1)
    results = []
    for place, declared in enumerate(test.arms):
        own = arm == place
        units = int(own.sum()) if cluster is None else len(np.unique(cluster[own]))
        results.append(ArmResult(declared.name, units, int(own.sum()), int(hits[own].sum())))
    planned = sample_size(test)
    found = []
    for place in range(1, len(test.arms)):
        one, control = results[place], results[0]
        difference, error, freedom = _difference(hits, arm, cluster, place)
        events = one.hits + control.hits
        worth = min(_equal_units(arm, cluster, place), _equal_units(arm, cluster, 0))
        few = worth < MIN_UNITS or min(events, one.leads + control.leads - events) < MIN_EVENTS
        if not one.leads or not control.leads:
            low, high = np.nan, np.nan
        elif test.analysis == "sequential":
            low, high = always_valid(difference, error, _planned_error(test, planned, place), level)
        elif cluster is None:
            low, high = rate_interval(one.hits, one.leads, control.hits, control.leads, level)
        else:
            half = float(stats.t.ppf(1 - level / 2, freedom)) * error
            low, high = difference - half, difference + half
        # Half the interval for the level, and as much again as the power asks for.
        detectable = float((high - low) / 2 + stats.norm.ppf(test.power) * error)
        says: Verdict
        if not believed:
            says = "not believed"
        elif test.analysis == "fixed" and not due:
            says = "not read yet"
        elif few:
            says = "too few"
        else:
            says = "raises" if low > 0 else "lowers" if high < 0 else "not told apart"
        low, high = max(-1.0, float(low)), min(1.0, float(high))
        found.append(Compared(one.arm, difference, low, high, level, detectable, says))
    return results, found


def _planned_error(test: ControlledTest, size: Size, place: int) -> float:
    """Standard error of the difference when the test has the leads it was planned for."""
    rate = test.baseline
    variance = rate * (1 - rate) * (1 / size.leads[0] + 1 / size.leads[place])
    return sqrt(variance * size.inflation)


def _equal_units(arm: NDArray[np.int8], cluster: Ints | None, place: int) -> float:
    """How many units of equal size an arm's are worth (Kish 1965): its leads squared over the sum of their squares."""
    own = arm == place
    if cluster is None or not own.any():
        return float(own.sum())
    sizes = np.unique(cluster[own], return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _difference(
    hits: NDArray[np.bool_], arm: NDArray[np.int8], cluster: Ints | None, place: int
) -> tuple[float, float, float]:
    """A difference of rates, its standard error and degrees of freedom.

    One success and one failure are added to each arm for the error alone (Agresti and Caffo 2000), so that an arm
    without any success is not taken for one without any doubt. An account's residuals are raised by the part of the arm
    that it is itself, and accounts of unequal size have the freedom of so many equal ones (Bell and McCaffrey 2002):
    else an arm that one account fills would seem surer than it is.
    """
    rates, variances, freedoms = [], [], []
    for which in (place, 0):
        own = np.flatnonzero(arm == which)
        n = len(own)
        if n == 0:
            return np.nan, np.nan, np.nan
        y = hits[own].astype(np.float64)
        mild = (y.sum() + 1) / (n + 2)
        variance = mild * (1 - mild) / (n + 2)
        freedom = float(n - 1)
        if cluster is not None:
            account = np.unique(cluster[own], return_inverse=True)[1].ravel()
            sums, part = np.bincount(account, y - y.mean()), np.bincount(account) / n
            freedom = _equal_units(arm, cluster, which) - 1
            # An account that is the whole arm has no residual.
            variance = max(variance, float((sums**2 / np.maximum(1 - part, 1 / n)).sum() / n**2))
        rates.append(float(y.mean()))
        variances.append(variance)
        freedoms.append(max(freedom, 1.0))
    total = variances[0] + variances[1]
    freedom = total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return rates[0] - rates[1], sqrt(total), freedom
