"""Exact drivers against LightGBM's `pred_contrib`: a batch of rows and one lead, both sides in one run."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models import drivers

ROWS, FEATURES, CATEGORIES = 20_000, 60, 5
TREES, LEAVES, DEPTH = 200, 16, 5
THREADS = 2


def run(*, batch_rows: int = 100_000, peer_rows: int = 4_000, leads: int = 2_000) -> list[dict[str, Any]]:
    """Rows of the benchmark table."""
    X = _matrix(ROWS)
    booster = _booster(X)
    ensemble = drivers.compile(booster)
    drivers.warm_up()
    batch = np.tile(X, (-(-batch_rows // ROWS), 1))[:batch_rows]
    ours = batch_rows / _best(lambda: drivers.contributions(ensemble, batch))
    peer = peer_rows / _best(lambda: booster.predict(X[:peer_rows], pred_contrib=True, num_threads=THREADS), repeats=1)
    one = _each(lambda row: drivers.contributions(ensemble, X[row : row + 1]), leads)
    peer_one = _each(lambda row: booster.predict(X[row : row + 1], pred_contrib=True, num_threads=1), leads // 10)
    difference = drivers.contributions(ensemble, X[:1000]) - booster.predict(X[:1000], pred_contrib=True)
    return [
        _row(f"exact drivers, {batch_rows} rows, {TREES} trees", "rows/s", ours, peer, 35_000, more_is_better=True),
        _row("exact drivers, one lead, p50", "us", 1e6 * _at(one, 0.5), 1e6 * _at(peer_one, 0.5), 100),
        _row("exact drivers, one lead, p99", "us", 1e6 * _at(one, 0.99), 1e6 * _at(peer_one, 0.99), None),
        _row("largest difference from pred_contrib", "log-odds", float(np.abs(difference).max()), None, 1e-9),
    ]


def _at(times: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(times, share))


def _row(
    name: str, unit: str, ours: float, peer: float | None, target: float | None, *, more_is_better: bool = False
) -> dict[str, Any]:
    met = None if target is None else (ours >= target if more_is_better else ours <= target)
    ratio = None if peer is None else (ours / peer if more_is_better else peer / ours)
    peers = {} if peer is None else {"LightGBM pred_contrib": peer}
    return {"name": name, "unit": unit, "ours": ours, "peers": peers, "ratio": ratio, "target": target, "met": met}


def _best(work: Callable[[], Any], repeats: int = 3) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)


def _each(work: Callable[[int], Any], rows: int) -> NDArray[np.float64]:
    """Seconds of each call; every row is another lead, so that caches are as cold as they are for a service."""
    for row in range(50):
        work(row)
    times = np.empty(rows)
    for row in range(rows):
        start = perf_counter()
        work(row)
        times[row] = perf_counter() - start
    return times


def _matrix(rows: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, FEATURES))
    X[:, :20] = rng.poisson(2, size=(rows, 20))
    X[:, -CATEGORIES:] = rng.integers(0, 40, size=(rows, CATEGORIES))
    X[rng.random(X.shape) < 0.15] = np.nan
    return X


def _booster(X: NDArray[np.float64]) -> Any:
    known = np.nan_to_num(X)
    z = known[:, 0] - 1.5 * known[:, 30] + known[:, 31] * known[:, 32] + (known[:, -1] % 3 == 0)
    y = np.random.default_rng(1).random(len(X)) < 1 / (1 + np.exp(-z))
    data = lgb.Dataset(X, y, categorical_feature=list(range(FEATURES - CATEGORIES, FEATURES)))
    shape = {"num_leaves": LEAVES, "max_depth": DEPTH, "learning_rate": 0.05, "num_threads": THREADS}
    return lgb.train({"objective": "binary", "verbose": -1, "seed": 1, "deterministic": True, **shape}, data, TREES)
