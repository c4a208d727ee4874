"""The service: over ASGI in process, and one real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.errors import BundleRefused, NotReady
from configs.settings import load_settings
from policy.audit.chain import read_records, verify
from serving.app import Front, Journal, Scoring, build_app, openapi_json
from serving.asgi import App, Receive, Scope, Send
from serving.guard import Guard, Keys
from serving.start import champion_bundle, start_scoring

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
MARKER = "jane.marker.7391@example.com"
KEY = {"X-API-Key": "k1"}
JSON_BODY: dict[str, Any] = {"json": {}}


@pytest.fixture(scope="module")
def place(small_world: Path) -> Path:
    return small_world


@pytest.fixture(scope="module")
def scoring(place: Path) -> Scoring:
    made = Scoring(load_settings(), lambda: AS_OF)
    start_scoring(made, place / "bundle", place / "audit")
    return made


def ask(scoring: Scoring, *requests: dict[str, Any]) -> list[httpx.Response]:
    app: Any = Guard(build_app(lambda: scoring), keys=Keys.of("k1", allow_none=False), max_body=8_000_000)

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://leadwell", headers=KEY) as client:
            return list(await asyncio.gather(*(client.request(**{"method": "POST", **r}) for r in requests)))

    return asyncio.run(run())


def lead(lead_id: str = "L1", **rest: Any) -> dict[str, Any]:
    return {"lead": {"lead_id": lead_id, **rest}}


def test_a_lead_is_answered_and_its_decision_is_in_the_audit_before(scoring: Scoring, place: Path) -> None:
    response = ask(scoring, {"url": "/v1/score", "json": {"leads": [lead(title=MARKER)]}})[0]
    assert response.status_code == 200
    decision = response.json()["decisions"][0]
    assert set(decision["channels"]) == {"email", "sms", "phone", "rep_visit", "mail", "event", "ads"}
    assert verify(place / "audit").records > 1
    records = [record for path in (place / "audit").glob("online_*.jsonl") for record in read_records(path)]
    mine = [record for record in records if record.get("audit_id") == decision["audit_id"]]
    assert mine[0]["versions"] == decision["versions"]
    assert "L1" not in json.dumps(mine)


def test_a_bad_lead_is_rejected_beside_answered_ones(scoring: Scoring) -> None:
    leads = [lead("L1"), lead("L2", adult="yes"), lead("L3")]
    body = ask(scoring, {"url": "/v1/score", "json": {"leads": leads}})[0].json()
    assert [decision["lead_id"] for decision in body["decisions"]] == ["L1", "L3"]
    assert body["rejected"][0]["path"] == "$.leads[1].lead.adult"


def test_a_row_of_an_impossible_time_is_rejected_beside_answered_ones(scoring: Scoring) -> None:
    event = {
        "event_id": "e", "lead_id": "L2", "occurred_at": "9999-01-01T00:00:00Z", "recorded_at": "2026-01-01T00:00:00Z"
    }  # fmt: skip
    leads = [{**lead("L1"), "events": []}, {**lead("L2"), "events": [event]}]
    body = ask(scoring, {"url": "/v1/score", "json": {"leads": leads}})[0].json()
    assert [decision["lead_id"] for decision in body["decisions"]] == ["L1"]
    assert [(r["index"], r["lead_id"]) for r in body["rejected"]] == [(1, "L2")]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"as_of":"2026-06-30T00:00:01Z"}', 422),
        (b'{"leads":[{"lead":{"lead_id":"L1","adult":"%s"}}]}' % MARKER.encode(), 422),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"x":1}', 422),
        (b'{"leads":[{"lead":{"lead_id":"L1","title":"%s"}}]}' % (b"x" * 300_000), 422),
        (b'{"leads":[{"lead":{"lead_id":"L1"},"events":[]%s}]}' % (b" " * 300_000), 413),
    ],
)
def test_a_wrong_request_is_a_problem_that_echoes_nothing(scoring: Scoring, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    response = ask(scoring, {"url": "/v1/score", "content": content, "headers": headers})[0]
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert MARKER not in response.text


def test_many_leads_are_answered_in_the_order_of_the_request(scoring: Scoring) -> None:
    leads = [lead(f"L{index:03}") for index in range(120)]
    body = ask(scoring, {"url": "/v1/score", "json": {"leads": leads}})[0].json()
    assert [decision["lead_id"] for decision in body["decisions"]] == [f"L{index:03}" for index in range(120)]


def test_without_a_bundle_the_answer_names_the_command_to_run() -> None:
    response = ask(Scoring(load_settings(), lambda: AS_OF), {"url": "/v1/score", "json": {"leads": [lead()]}})[0]
    assert response.status_code == 503
    assert "leadwell train" in response.json()["detail"]


def test_the_index_has_no_script_and_the_openapi_names_every_section(scoring: Scoring) -> None:
    index, openapi = ask(scoring, {"url": "/", "method": "GET"}, {"url": "/v1/openapi.json", "method": "GET"})
    assert "<script" not in index.text
    assert "http" not in index.text.replace("https://leadwell", "")
    schemas = openapi.json()["components"]["schemas"]
    assert {"lead", "events", "consents", "suppressions", "cases"} <= set(schemas["LeadRequest"]["properties"])
    assert openapi.content == openapi_json()


class Full:
    """An audit log whose disk is full as long as `full` says so; it counts its commits."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        state["opened"] = state.get("opened", 0) + 1

    def append(self, record: Any) -> int:
        self.state.setdefault("records", []).append(record)
        return 0

    def commit(self) -> int:
        self.state["commits"] = self.state.get("commits", 0) + 1
        time.sleep(0.01)
        if self.state.get("full"):
            raise OSError("no space left")
        return 0

    def checkpoint(self, **facts: Any) -> None:
        self.state["checkpoints"] = self.state.get("checkpoints", 0) + 1


def test_no_answer_leaves_when_its_audit_cannot_be_written_and_it_recovers_by_itself(scoring: Scoring) -> None:
    state: dict[str, Any] = {"full": True}
    other = Scoring(scoring.settings, scoring.clock, scoring.answerer, Journal(lambda: Full(state), checkpoint_every=9))
    request = {"url": "/v1/score", "json": {"leads": [lead()]}}
    refused = ask(other, request)[0]
    assert refused.status_code == 503
    assert "AUDIT_UNAVAILABLE" in refused.json()["detail"]
    state["full"] = False
    assert ask(other, request)[0].status_code == 200
    assert state["opened"] == 2


def test_requests_that_wait_together_share_one_write(scoring: Scoring) -> None:
    state: dict[str, Any] = {}
    other = Scoring(scoring.settings, scoring.clock, scoring.answerer, Journal(lambda: Full(state), checkpoint_every=9))
    answers = ask(other, *({"url": "/v1/score", "json": {"leads": [lead(f"L{i}")]}} for i in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(state["records"]) == 30
    assert state["commits"] < 15
    assert state["checkpoints"] >= 1


def test_the_champion_file_names_the_bundle_and_its_id(place: Path, tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    with pytest.raises(NotReady, match="leadwell train"):
        champion_bundle(None, str(pointer))
    pointer.write_text("{")
    with pytest.raises(BundleRefused):
        champion_bundle(None, str(pointer))
    pointer.write_text(json.dumps({"path": os.path.relpath(place / "bundle", tmp_path), "bundle_id": "0" * 64}))
    found, expected = champion_bundle(None, str(pointer))
    assert found.resolve() == (place / "bundle").resolve()
    with pytest.raises(BundleRefused, match="promoted"):
        start_scoring(Scoring(load_settings(), lambda: AS_OF), found, tmp_path / "audit", expected=expected)


def served(folder: Path, log: Path, **environment: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parent.parent
    (folder / "home").mkdir(exist_ok=True)
    # A fresh process must not write its metrics where this test run's own are.
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    variables = {
        **inherited,
        "PYTHONPATH": str(root),
        "BENTOML_HOME": str(folder / "home"),
        "LEADWELL_API_KEY": "k1,k2",
        "LEADWELL_AUDIT": str(folder / "audit"),
        "LEADWELL_AS_OF": "2026-06-30",
        **environment,
    }
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:LeadScoring", "--host", "127.0.0.1"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=root, env=variables, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 90
            while True:
                assert time.monotonic() < deadline
                assert server.poll() is None
                try:
                    httpx.get(f"{url}/livez", timeout=2).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


@pytest.mark.slow
def test_a_real_server_answers_refuses_and_logs_no_personal_value(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for url in served(tmp_path, log, LEADWELL_BUNDLE=str(place / "bundle")):
        assert httpx.get(f"{url}/readyz", timeout=10).status_code == 200
        body = {"leads": [lead(MARKER, title=MARKER)]}
        assert httpx.post(f"{url}/v1/score", json=body).status_code == 401
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/docs.json").status_code == 401
        assert httpx.post(f"{url}/v1/score?X-API-Key=k1", json=body).status_code == 401
        for key in ("k1", "k2"):
            found = httpx.post(f"{url}/v1/score", json=body, headers={"X-API-Key": key}, timeout=10)
            assert found.status_code == 200
        assert httpx.get(f"{url}/metrics", headers=KEY).status_code == 200
        wrong = {"leads": [lead(MARKER, adult=MARKER)]}
        refused = httpx.post(f"{url}/v1/score", json=wrong, headers=KEY)
        assert refused.status_code == 422
        assert MARKER not in refused.text
        large = httpx.post(
            f"{url}/v1/score", content=b" " * 9_000_000, headers={**KEY, "content-type": "application/json"}
        )
        assert large.status_code == 413
        form = httpx.post(f"{url}/v1/score", data={"leads": MARKER}, headers=KEY)
        assert form.status_code == 415
        assert httpx.get(f"{url}/{MARKER}", headers=KEY).status_code == 404
        assert "googletagmanager" not in httpx.get(f"{url}/").text
    assert MARKER not in log.read_text()
    kept = [path for path in (tmp_path / "audit").rglob("*") if path.is_file()]
    assert kept and not any(MARKER.encode() in path.read_bytes() for path in kept)


@pytest.mark.slow
def test_a_server_without_a_bundle_is_alive_and_not_ready_and_says_what_to_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for url in served(tmp_path, log, LEADWELL_CHAMPION=str(tmp_path / "champion.json")):
        assert httpx.get(f"{url}/livez").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 503
        answer = httpx.post(f"{url}/v1/score", json={"leads": [lead()]}, headers=KEY)
        assert answer.status_code == 503
        assert "leadwell train" in answer.json()["detail"]
    assert "leadwell promote" in log.read_text()


def test_a_path_nobody_has_and_a_wrong_method_are_problems(scoring: Scoring) -> None:
    missing, wrong = ask(scoring, {"url": "/v1/nothing"} | JSON_BODY, {"url": "/v1/score", "method": "GET"})
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


def test_the_front_answers_its_own_paths_and_leaves_every_other_to_the_app_behind() -> None:
    reached: list[str] = []

    def named(name: str) -> App:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            reached.append(f"{name} {scope['type']} {scope['path']}")

        return app

    async def nothing(*_: Any) -> Any:
        return {}

    front = Front(named("behind"), own=named("own"))
    for kind, path in (("http", "/v1/score"), ("http", "/livez"), ("websocket", "/v1/score")):
        asyncio.run(front({"type": kind, "path": path}, nothing, nothing))
    assert reached == ["own http /v1/score", "behind http /livez", "behind websocket /v1/score"]
