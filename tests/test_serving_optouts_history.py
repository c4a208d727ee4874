"""After an acknowledged opt-out no later check says yes: recorded histories of clients, with workers killed meanwhile.

In the manner of Jepsen: clients write opt-outs and check permits through two workers on one store, workers are killed
with SIGKILL and started again, every invocation and answer is noted with its time, and a checker reads the notes. What
was not answered may have happened or not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from serving.store.engine import Database
from serving.store.upgrade import upgrade
from tests.store_people import KEY, KINDS, database, permit

CAP = 3
# Clients walk through the leads together, a few at a time, so that caps are rarely what refuses.
LEADS, AT_ONCE, STEPS_A_LEAD = 48, 3, 9
CLIENTS, WORKERS = 5, 2
STEPS, KILLS, MOST_SECONDS = LEADS * STEPS_A_LEAD, 8, 45.0
ASSETS = ("software_overview", "software_technical_packet", "implant_evidence_summary", "diagnostic_overview")


@dataclass(frozen=True, slots=True)
class Did:
    """One invocation: what was asked about whom, from when to when, and the answer, None where none came."""

    what: str
    lead: str
    permit: str
    began: float
    ended: float
    said: bool | None


def violations(history: Sequence[Did], cap: int = CAP) -> list[str]:
    """What must not be: a yes invoked after an acknowledged opt-out, more yes than the cap, a permit allowed twice."""
    stopped: dict[str, float] = {}
    allowed: dict[str, list[str]] = defaultdict(list)
    for did in history:
        if did.what == "stop" and did.said:
            stopped[did.lead] = min(did.ended, stopped.get(did.lead, did.ended))
        if did.what == "check" and did.said:
            allowed[did.lead].append(did.permit)
    found = [
        f"{did.lead}: a yes that was asked {did.began - stopped[did.lead]:.4f} s after the opt-out was acknowledged"
        for did in history
        if did.what == "check" and did.said and did.began > stopped.get(did.lead, float("inf"))
    ]
    found += [f"{lead}: {len(set(names))} allowed, the cap is {cap}" for lead, names in allowed.items()
              if len(set(names)) > cap]  # fmt: skip
    found += [f"{lead}: a permit was allowed twice" for lead, names in allowed.items() if len(set(names)) < len(names)]
    return found


class Workers:
    """Workers that can be killed and started again, all forked from one process that has everything loaded."""

    def __init__(self, folder: Path, url: str, how: Sequence[str]) -> None:
        self.folder, self.told = folder, [url, str(folder / "audit"), *how]
        self.paths, self.ids = [folder / f"w{k}.sock" for k in range(WORKERS)], [0] * WORKERS
        environment = {
            **os.environ,
            "LEADWELL_AUDIT_KEY": KEY.decode(),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        self.forking = subprocess.Popen(
            [sys.executable, "-m", "tests.store_worker"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for place in range(WORKERS):
            self.start(place)

    def start(self, place: int) -> None:
        self.paths[place].unlink(missing_ok=True)
        assert self.forking.stdin is not None
        assert self.forking.stdout is not None
        self.forking.stdin.write("\t".join([str(self.paths[place]), *self.told]) + "\n")
        self.forking.stdin.flush()
        self.ids[place] = int(self.forking.stdout.readline())
        until = time.monotonic() + 60
        while not self.paths[place].exists():
            assert time.monotonic() < until, "the worker did not start"
            time.sleep(0.01)

    def kill(self, place: int) -> None:
        os.kill(self.ids[place], signal.SIGKILL)

    def close(self) -> None:
        for place in range(WORKERS):
            self.kill(place)
        self.forking.communicate()


class Progress:
    """How many steps all clients took, and whether they go on."""

    def __init__(self) -> None:
        self.steps, self.over = 0, False


class Client(threading.Thread):
    """Asks now one worker and now another, and notes everything."""

    def __init__(self, seed: int, paths: Sequence[Path], progress: Progress) -> None:
        super().__init__(daemon=True)
        self.random, self.paths, self.progress = random.Random(seed), paths, progress
        self.called, self.history, self.asked = f"c{seed}", list[Did](), 0

    def run(self) -> None:
        while not self.progress.over:
            path = self.random.choice(self.paths)
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(10)
                    connection.connect(str(path))
                    with connection.makefile("rwb") as line:
                        while not self.progress.over and self.random.random() > 0.1:
                            self.step(line)
            except OSError:
                time.sleep(0.02)

    def step(self, line: Any) -> None:
        first = min(self.progress.steps // STEPS_A_LEAD, LEADS - AT_ONCE)
        lead = f"L{first + self.random.randrange(AT_ONCE)}"
        request_id = f"{self.called}-{self.asked}"
        self.asked += 1
        if self.random.random() < 0.15:
            row = {"suppression_id": request_id, "lead_id": lead, "since_at": "2026-11-23T15:00:00Z"}
            self.note(line, "stop", lead, "", "/v1/suppressions", {"suppressions": [row]})
        else:
            text, asset_id = permits()[lead, self.random.choice(ASSETS)]
            # Never the same request twice: of two yes for one permit one would be wrong.
            body = {"permit": text, "lead_id": lead, "channel": "email", "asset_id": asset_id, "request_id": request_id}
            self.note(line, "check", lead, text, "/v1/permits/check", body)
        self.progress.steps += 1

    def note(self, line: Any, what: str, lead: str, name: str, path: str, body: Any) -> None:
        began, said = time.monotonic(), None
        try:
            line.write(f"{path} {json.dumps(body)}\n".encode())
            line.flush()
            status, _, text = line.readline().partition(b" ")
            if status in (b"200", b"201"):
                said = what == "stop" or bool(json.loads(text)["permitted"])
            elif not status:
                raise ConnectionResetError
        finally:
            self.history.append(Did(what, lead, name, began, time.monotonic(), said))


@cache
def permits() -> dict[tuple[str, str], tuple[str, str]]:
    return {(f"L{k}", asset): permit(f"L{k}", asset_id=asset) for k in range(LEADS) for asset in ASSETS}


def recorded(url: str, folder: Path, seed: int, *how: str, kills: int) -> tuple[list[Did], int]:
    """The history of so many steps, or of `MOST_SECONDS`, and how often a worker was killed."""
    permits()
    workers = Workers(folder, url, how)
    chance, killed, progress = random.Random(seed), 0, Progress()
    clients = [Client(seed * 100 + k, workers.paths, progress) for k in range(CLIENTS)]
    until = time.monotonic() + MOST_SECONDS
    for client in clients:
        client.start()
    while time.monotonic() < until and (progress.steps < STEPS or killed < kills):
        time.sleep(0.02)
        # The killings are spread over the history, each at a moment of its own.
        if killed < kills and progress.steps > STEPS * (killed + chance.random()) / (kills + 1):
            place = chance.randrange(WORKERS)
            workers.kill(place)
            workers.start(place)
            killed += 1
    progress.over = True
    for client in clients:
        client.join(timeout=20)
    workers.close()
    return sorted((did for client in clients for did in client.history), key=lambda did: did.began), killed


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_check_after_an_acknowledged_opt_out_says_yes_though_workers_are_killed(kind: str, tmp_path: Path) -> None:
    url = database(kind, tmp_path)
    if kind == "postgresql":
        made = Database.open(url)
        upgrade(made)
        made.engine.dispose()
    history, killed = recorded(url, tmp_path, 1, kills=KILLS)
    assert violations(history) == []
    # The history says something: workers died, and some were asked about after their opt-out was acknowledged.
    ends: dict[str, float] = {}
    for one in history:
        if one.what == "stop" and one.said:
            ends[one.lead] = min(one.ended, ends.get(one.lead, one.ended))
    later = [one for one in history if one.what == "check" and one.began > ends.get(one.lead, float("inf"))]
    assert killed >= 1
    assert any(one.said is True for one in history if one.what == "check")
    assert len(ends) >= 3
    assert sum(one.said is False for one in later) >= 3


@pytest.mark.slow
def test_a_worker_that_remembers_what_it_once_read_is_caught(tmp_path: Path) -> None:
    """The checker can fail: a gate that does not read in its transaction makes a wrong history."""
    history, _ = recorded(database("sqlite", tmp_path), tmp_path, 2, "broken", kills=0)
    assert violations(history) != []


def did(what: str, began: float, ended: float, said: bool | None, name: str = "p") -> Did:
    return Did(what, "L", name, began, ended, said)


@pytest.mark.parametrize(
    ("history", "wrong"),
    [
        ([did("stop", 0, 2, True), did("check", 1, 3, True)], 0),
        ([did("stop", 0, 2, None), did("check", 3, 4, True)], 0),
        ([did("stop", 0, 2, False), did("check", 3, 4, True)], 0),
        ([did("stop", 0, 2, True), did("check", 3, 4, True)], 1),
        ([did("stop", 0, 9, True), did("stop", 1, 2, True), did("check", 3, 4, True)], 1),
        ([did("check", 0, 1, True, f"p{k}") for k in range(3)], 0),
        ([did("check", 0, 1, True, f"p{k}") for k in range(4)], 1),
        ([did("check", 0, 1, None, f"p{k}") for k in range(4)], 0),
        ([did("check", 0, 1, True), did("check", 2, 3, True)], 1),
        ([did("check", 0, 1, None), did("check", 2, 3, True)], 0),
    ],
)
def test_the_checker_tells_right_histories_from_wrong_ones(history: list[Did], wrong: int) -> None:
    assert len(violations(history)) == wrong
