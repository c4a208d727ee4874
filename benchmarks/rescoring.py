"""Rescoring 100,000 leads end to end, beside the same decisions asked one by one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def run(bundle: Path, leads: int = 100_000, events_per_lead: float = 20.0) -> list[dict[str, Any]]:
    """Seconds and peak memory for `leads` leads with exact drivers and all channels; the peer asks online, in process.

    No other engine makes these decisions, so the only peer is our own online path, one lead after another.
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files
    from serving.decide import Decider
    from training.sample.world import make_sample

    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="leadwell-bench-") as name:
        folder = Path(name)
        make_sample(leads, 3, folder / "world", events_per_lead=events_per_lead)
        files = find_files(folder / "world")
        inputs = {table: path for table, path in files.items() if table not in ("outcomes", "campaigns", "assets")}
        took, peak = _rescored(folder, bundle)
        one = _one_by_one(inputs, Decider.load(bundle, settings, on=AS_OF.date()))
    millions = 1_000_000 / leads * took
    return [
        {
            "name": f"rescore end to end, {leads:,} leads, {leads * events_per_lead:,.0f} events, exact drivers",
            "unit": "s",
            "ours": round(took, 2),
            "peers": {"one by one, in process": round(one * leads, 2)},
            "ratio": round(one * leads / took, 1),
            "target": "60 s a million leads",
            "met": millions <= 60,
            "says": f"{millions:.0f} s a million; the largest process held {peak:.1f} GB at its peak",
        }
    ]


def _rescored(folder: Path, bundle: Path) -> tuple[float, float]:
    """Seconds and peak gigabytes of the command in a process of its own, its start included."""
    command = [sys.executable, "-c", "from cli.app import main; main()", "rescore", "--bundle", str(bundle.resolve())]
    command += ["--data", "world", "--out", "out", "--audit", "audit", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError("leadwell rescore failed")
    return time.perf_counter() - started, used.ru_maxrss / 1e6


def _one_by_one(inputs: dict[str, Path], decider: Any, count: int = 200) -> float:
    """Median seconds of one decision from a lead's request."""
    import json

    from serving.api import encode_answer, parse
    from serving.online import OnlineAnswerer
    from serving.requests import request_of

    answerer = OnlineAnswerer(decider, b"k" * 32)
    answerer.warm_up(AS_OF)
    body = json.dumps(request_of(inputs, "L0000001", decider.settings, AS_OF)).encode()
    seen = []
    for _ in range(count):
        started = time.perf_counter()
        decisions, _, rejected = answerer.answer(parse(body, max_leads=500), AS_OF)
        encode_answer(decisions, rejected)
        seen.append(time.perf_counter() - started)
    return sorted(seen)[count // 2]
