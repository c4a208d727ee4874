"""One lead over HTTP: Leadwell beside a BentoML endpoint that does nothing and beside MLflow's own model server.

All servers run, with one worker each, and are loaded in turns over loopback, with eight connections from a process of
its own, so that a slow minute of the machine falls on every side; a ratio is the median of the turns' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
KEY = "benchmark"
CONNECTIONS = 8
TURNS = 4
OURS, NOOP, MLFLOW = "leadwell", "bentoml no-op", "mlflow"


def one_request(data: Path, lead_events: int = 47) -> bytes:
    """The request about a lead with about so many events, from a sample's own tables."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from features.records import TABLES

    events = pq.read_table(data / "events.parquet")
    counts = events.group_by("lead_id").aggregate([("lead_id", "count")]).sort_by("lead_id")
    place = pc.index(
        pc.abs(pc.subtract(counts["lead_id_count"], lead_events)),
        pc.min(pc.abs(pc.subtract(counts["lead_id_count"], lead_events))),
    ).as_py()
    lead_id = counts["lead_id"][place].as_py()

    def rows(table: str, field: str, value: str | None) -> list[dict[str, Any]]:
        if value is None:
            return []
        fields = TABLES[table].__struct_fields__
        found = pq.read_table(data / f"{table}.parquet", filters=[(field, "=", value)]).to_pylist()
        return [
            {
                name: cell.isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else cell
                for name, cell in row.items()
                if name in fields and cell is not None
            }
            for row in found
        ]

    item: dict[str, Any] = {"lead": rows("leads", "lead_id", lead_id)[-1], "colleagues": []}
    accounts = rows("accounts", "account_id", item["lead"].get("account_id"))
    if accounts:
        item["account"] = accounts[-1]
    for table in ("events", "touches", "consents", "suppressions", "cases"):
        item[table] = rows(table, "lead_id", lead_id)
    item["suppressions_complete_as_of"] = AS_OF.isoformat().replace("+00:00", "Z")
    return json.dumps({"leads": [item]}).encode()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def server(command: list[str], ready: str, environment: dict[str, str], seconds: float = 120) -> Iterator[None]:
    """A server in its own process group, stopped by its id when the block ends."""
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    variables = {**inherited, "PYTHONPATH": str(ROOT), "BENTOML_DO_NOT_TRACK": "True", **environment}
    # MLflow starts uvicorn by its bare name.
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + seconds
            while True:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(log.read()[-2000:].decode(errors="replace"))
                try:
                    with urllib.request.urlopen(ready, timeout=2):
                        break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.2)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def load(url: str, body: bytes, seconds: float, connections: int = CONNECTIONS) -> dict[str, Any]:
    """What the load client saw; refuses a run in which anything but 200 was answered."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(body)
        file.flush()
        command = [sys.executable, str(ROOT / "benchmarks" / "http_load.py"), url, file.name]
        command += ["--seconds", str(seconds), "--connections", str(connections)]
        command += ["--header", f"X-API-Key: {KEY}", "--header", "Content-Type: application/json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if set(found["codes"]) != {"200"}:
        raise RuntimeError(f"{url}: {found['codes']}")
    return found


@contextmanager
def bento(target: str, home: Path, **environment: str) -> Iterator[str]:
    """The address of a BentoML service with one worker."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    with server(command, f"http://127.0.0.1:{port}/readyz", {"BENTOML_HOME": str(home), **environment}):
        yield f"http://127.0.0.1:{port}/v1/score"


@contextmanager
def ours(bundle: Path, folder: Path) -> Iterator[str]:
    """The address of Leadwell's own service."""
    with bento(
        "serving.service:LeadScoring",
        folder / "ours",
        LEADWELL_BUNDLE=str(bundle),
        LEADWELL_API_KEY=KEY,
        LEADWELL_AS_OF=AS_OF.date().isoformat(),
        LEADWELL_AUDIT=str(folder / "audit"),
        LEADWELL_WORKERS="1",
    ) as url:
        yield url


@contextmanager
def mlflow_server(bundle: Path, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The address of MLflow's own server of the same readiness, with one worker, and one ready row of features."""
    import mlflow
    import numpy as np

    from models.bundle import read_bundle
    from training.registry.publish import SCRIPT

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # no signature is wanted, and it says so at length
    spec = read_bundle(bundle).spec
    model = folder / "mlflow_model"
    mlflow.pyfunc.save_model(
        str(model),
        python_model=str(SCRIPT),
        artifacts={"bundle": str(bundle)},
        pip_requirements=[],
    )
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    rows = {"columns": list(spec.names), "data": [np.zeros(len(spec.names)).tolist()]}
    with server(command, f"http://127.0.0.1:{port}/ping", {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        yield f"http://127.0.0.1:{port}/invocations", json.dumps({"dataframe_split": rows}).encode()


def in_process(bundle: Path, body: bytes, count: int = 2000) -> dict[str, float]:
    """Microseconds from the bytes of a request to the bytes of its answer, without HTTP and without the disk."""
    from configs.settings import load_settings
    from serving.api import encode_answer, parse
    from serving.decide import Decider
    from serving.online import OnlineAnswerer
    from serving.start import steady

    answerer = OnlineAnswerer(Decider.load(bundle, load_settings(), on=AS_OF.date()), b"k" * 32)
    answerer.warm_up(AS_OF)
    steady()
    seen = []
    for _ in range(count):
        started = time.perf_counter()
        decisions, _, _ = answerer.answer(parse(body, max_leads=1), AS_OF)
        encode_answer(decisions, [])
        seen.append((time.perf_counter() - started) * 1e6)
    seen = sorted(seen[count // 6 :])
    return {"p50": seen[len(seen) // 2], "p99": seen[int(len(seen) * 0.99)]}


def run(bundle: Path, data: Path, *, seconds: float = 6.0, mlflow: bool = True) -> list[dict[str, Any]]:
    """Rows for `artifacts/bench.json`; `seconds` is how long each server is loaded in all."""
    body, bundle = one_request(data), bundle.resolve()
    seen: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        place = Path(folder)
        sides = {
            OURS: (running.enter_context(ours(bundle, place)), body),
            NOOP: (running.enter_context(bento("benchmarks.http_noop:Noop", place / "noop")), body),
        }
        if mlflow:
            sides[MLFLOW] = running.enter_context(mlflow_server(bundle, place))
        for turn in range(TURNS):
            for side in list(sides)[:: 1 if turn % 2 else -1]:
                seen.setdefault(side, []).append(load(*sides[side], max(seconds, 4.0) / TURNS))
        one: dict[str, list[dict[str, Any]]] = {}
        for turn in range(TURNS):
            for side in list(sides)[:: 1 if turn % 2 else -1]:
                one.setdefault(side, []).append(load(*sides[side], max(seconds, 4.0) / TURNS, connections=1))
    alone = in_process(bundle, body)
    share = "share of a no-op BentoML endpoint that validates the same body; 0.6 is excellent"
    rows = [_share(seen, NOOP, 0.5, share)]
    if mlflow:
        beside = "against MLflow's model server on one ready row of features"
        rows += [_share(seen, MLFLOW, 5.0, beside), _share(one, MLFLOW, 5.0, beside, connections=1)]
    for name in ("p50_ms", "p99_ms"):
        peers = {side: _median(turn[name] for turn in turns) for side, turns in seen.items()}
        rows.append(
            {"name": f"one lead over HTTP at {CONNECTIONS} connections, {name[:3]}", "unit": "ms"}
            | {"ours": peers.pop(OURS), "peers": peers, "ratio": None, "target": None, "met": None}
        )
    for name, value in alone.items():
        rows.append(
            {"name": f"one lead in process, request bytes to answer bytes, {name}", "unit": "µs", "ours": value}
            | {"peers": {}, "ratio": None, "target": None, "met": None, "says": "47 events; no target is set"}
        )
    return rows


def _share(
    seen: dict[str, list[dict[str, Any]]], peer: str, target: float, says: str, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """Requests a second beside a peer's; the ratio is that of neighbours in time."""
    name = "requests_per_second"
    mine, theirs = [turn[name] for turn in seen[OURS]], [turn[name] for turn in seen[peer]]
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    ratio = _median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} turns"
    return {
        "name": f"one lead over HTTP, connections: {connections}, beside {peer}",
        "unit": "requests/s",
        "ours": _median(mine),
        "peers": {peer: _median(theirs)},
        "ratio": ratio,
        "target": target,
        "met": ratio >= target,
        "says": f"{says}; target: ours over theirs, at least; {spread}; one worker each",
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    print(json.dumps(run(given.bundle, given.data, seconds=given.seconds), indent=1))


if __name__ == "__main__":
    main()
