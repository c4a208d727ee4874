"""The same account, lead, person or row on both sides of the split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.tables import UNKNOWN_INSTANT, Tables
from training.dataset.dataset import Dataset
from training.leakage.findings import FAILS, WARNS, Leak, Level
from training.leakage.telling import Floats, Rows, loss_of

LOOKED = ("ACCOUNT_ON_BOTH_SIDES", "SAME_PERSON_TWICE")
# Two people do one thing in the same microsecond now and then; three things never.
SHARED_EVENTS = 3
TWICE_FAILS, TWICE_WARNS, TWICE_LEADS = 0.01, 0.002, 3
# What copies must give away to fail: this share of all rows that judge, beyond four standard errors.
COPIES_FAIL, COPIES_WARN, SURE, FEW_COPIES, CROWDED = 0.01, 0.05, 4.0, 3, 0.5
_CONTENT = ("kind", "topic", "depth", "channel", "product", "asset")


def split_leaks(dataset: Dataset, tables: Tables | None) -> list[Leak]:
    """Accounts, leads and persons whose rows both train and judge; without tables nothing is known of persons."""
    found = list(_accounts(dataset))
    if tables is not None and tables.events:
        found += _same_person(dataset, tables)
    return found


def copies(dataset: Dataset, probability: Floats) -> list[Leak]:
    """Rows that judge and equal rows that trained in every column, and how much of their outcome the copies tell.

    Leads with little known about them are alike by nature, and their copies tell no more than a model does. A lead that
    is there twice has its outcome twice: then copies, where they are few, agree with what came more than `probability`
    says they should. Where most rows have copies the rows are kinds of leads, and agreeing proves nothing.

    Args:
        dataset: the rows.
        probability: for each row that judges, what a model that has not seen it says.
    """
    judge, train = np.flatnonzero(dataset.judge), np.flatnonzero(dataset.train)
    keys = row_keys(dataset.X, dataset.segment)
    ids, place = np.unique(keys[train], return_inverse=True)
    count = np.bincount(place.ravel())
    rate = np.bincount(place.ravel(), weights=dataset.y[train]) / count
    at = np.minimum(np.searchsorted(ids, keys[judge]), max(len(ids) - 1, 0))
    copied = ids[at] == keys[judge] if len(ids) else np.zeros(len(judge), dtype=np.bool_)
    share = float(copied.mean()) if len(copied) else 0.0
    if copied.sum() < SHARED_EVENTS:
        return []
    y, p, lean = dataset.y[judge], np.clip(probability, 1e-6, 1 - 1e-6), 2.0 * rate[at] - 1.0
    whole, without = float(loss_of(p, y).mean()), float(loss_of(p, y)[~copied].mean()) if (~copied).any() else np.nan
    # A base rate that moved must not look like copies that tell: what is asked is who, and not how many.
    p = _at_rate(p, float(y.mean()))
    # Many equal rows are a kind of lead, whose rate a coarse model misses; a lead exported twice has one copy or two.
    few = copied & (count[at] <= FEW_COPIES)
    agrees = ((y - p) * lean)[few]
    error = float(np.sqrt((p * (1 - p) * lean**2)[few].sum()))
    told = float(agrees.sum()) / len(judge)
    beyond = float(agrees.sum()) / error if error > 0 else 0.0
    crowded = float((count[place.ravel()] > 1).mean()) >= CROWDED
    fails = told >= COPIES_FAIL and beyond >= SURE and not crowded
    if not fails and share < COPIES_WARN:
        return []
    evidence = (
        f"{int(copied.sum()):,} of {len(judge):,} rows that judge equal a row that trained once ids are dropped; "
        f"log-loss is {whole:.4f} with them and {without:.4f} without; the copies tell {max(told, 0.0):.1%} more of "
        "the outcomes than such rows should"
    )
    do = (
        "the same leads were exported twice: keep one row of each"
        if fails
        else "leads of whom little is known are alike: no harm, unless somebody was exported twice"
    )
    numbers = {"share": share, "told": told, "beyond": beyond, "loss": whole, "loss_without": without}
    return [Leak("COPIES_ON_BOTH_SIDES", FAILS if fails else WARNS, "rows", "", evidence, do, numbers)]


def _at_rate(probability: Floats, rate: float) -> Floats:
    """The same probabilities moved on the log-odds so that their mean is a rate; found by halving the interval."""
    log_odds, low, high = np.log(probability / (1.0 - probability)), -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if float((1.0 / (1.0 + np.exp(-log_odds - middle))).mean()) < rate else (low, middle)
    return np.asarray(np.clip(1.0 / (1.0 + np.exp(-log_odds - low)), 1e-6, 1 - 1e-6))


def row_keys(X: Floats, segment: Rows) -> NDArray[np.uint64]:
    """A number for each row that rows of the same content share, NaN counting as equal to NaN."""
    # A multiply-shift hash with fixed odd numbers (Dietzfelbinger et al., 1997): the same in every run.
    drawn = np.random.default_rng(7).integers(1, 2**63, size=X.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    found = segment.astype(np.int64).view(np.uint64) * drawn[-1]
    for column in range(X.shape[1]):
        # Adding 0.0 turns -0.0 into 0.0, which equals it.
        values = np.where(np.isnan(X[:, column]), np.float64(-1.5e300), X[:, column] + 0.0).view(np.uint64)
        found += (values ^ (values >> np.uint64(29))) * drawn[column]
    return np.asarray(found ^ (found >> np.uint64(32)))


def _accounts(dataset: Dataset) -> Iterator[Leak]:
    for what, ids in (("account", dataset.root), ("lead", dataset.lead)):
        both = np.intersect1d(ids[dataset.train], ids[dataset.judge])
        if len(both):
            rows = int(np.isin(ids[dataset.judge], both).sum())
            evidence = f"{len(both):,} {what}s have rows that train and rows that judge, {rows:,} of the latter"
            do = "split by account: the same holds for everybody who knows each other's outcome"
            yield Leak("ACCOUNT_ON_BOTH_SIDES", FAILS, "rows", what, evidence, do, {"rows": float(rows)})
            return


def _same_person(dataset: Dataset, tables: Tables) -> Iterator[Leak]:
    n = len(tables.lead_ids)
    trains, judges = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    trains[dataset.lead[dataset.train]] = judges[dataset.lead[dataset.judge]] = True
    low, high = _sharing(tables)
    across = (trains[low] & judges[high]) | (judges[low] & trains[high])
    twice = np.unique(np.concatenate([low[across], high[across]]))
    count, of = int(judges[twice].sum()), int(judges.sum())
    if count < max(TWICE_LEADS, TWICE_WARNS * of):
        return
    evidence = (
        f"{count:,} of {of:,} leads that judge share {SHARED_EVENTS} or more events to the microsecond with a lead of "
        "another account that trains: one person under two ids"
    )
    do = "run `leadwell data link` and train again: linked leads are one person and lie on one side"
    level: Level = FAILS if count >= TWICE_FAILS * of else WARNS
    yield Leak("SAME_PERSON_TWICE", level, "leads", "", evidence, do, {"leads": float(count), "of": float(of)})


def _sharing(tables: Tables) -> tuple[Rows, Rows]:
    """Pairs of leads that alone share so many events in instant and content, the smaller row first."""
    events = tables.events
    known = np.flatnonzero((events["lead"] >= 0) & (events["occurred_at"] != UNKNOWN_INSTANT))
    lead = events["lead"][known].astype(np.int64)
    key = events["occurred_at"][known].astype(np.uint64)
    for name in _CONTENT:
        if name in events:
            key = (key ^ events[name][known].astype(np.int64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(31)
    order = np.argsort(key)
    key, lead = key[order], lead[order]
    # Of what more than two share, a mailing or a gateway is the reason, and no person.
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    size = np.diff(np.append(first, len(key)))
    first = first[size == 2]
    one, other = lead[first], lead[first + 1] if len(first) else lead[first]
    low, high = np.minimum(one, other), np.maximum(one, other)
    apart = low != high
    pairs, counts = np.unique(low[apart] * len(tables.lead_ids) + high[apart], return_counts=True)
    pairs = pairs[counts >= SHARED_EVENTS]
    return pairs // len(tables.lead_ids), pairs % len(tables.lead_ids)
