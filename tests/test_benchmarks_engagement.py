"""The benchmark compares like with like."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_all_sides_of_the_engagement_benchmark_agree():
    from benchmarks.engagement import run

    rows = run(events=20_000, leads=400, repeats=1)  # raises where any side's matrix differs
    assert [row["unit"] for row in rows] == ["s", "MB", "us", "ns", "us", "ns", "MB"]
    for row in rows:
        assert set(row) == {"name", "unit", "ours", "peers", "ratio", "target", "met"}
        assert row["ours"] > 0
