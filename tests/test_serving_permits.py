"""Permits through the API: what an answer gives, the send gate takes back, once, for this, for as long as it holds."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from features.intake.titles import Titles
from policy.audit.chain import entries, log_files, verify
from policy.audit.log import AuditLog
from policy.audit.pseudonyms import pseudonym, pseudonym_key
from serving.app import Scoring, build_app
from serving.contact.permits import MARK, unseal
from serving.guard import Guard, Keys
from serving.start import start_contact, start_scoring
from serving.store.engine import Database
from serving.store.subjects import Subjects
from serving.store.upgrade import upgrade
from tests.store_people import KINDS, NOW, database, item, permit, shipped

SUPPRESSIONS, CHECK, TOUCHES, SCORE = "/v1/suppressions", "/v1/permits/check", "/v1/touches", "/v1/score"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Service:
    """The app over one store, asked in process."""

    def __init__(self, scoring: Scoring, audit: Path) -> None:
        self.scoring, self.audit, self.clock = scoring, audit, scoring.clock
        keys = Keys.of("k", allow_none=False, lifting="dpo")
        self.app: Any = Guard(build_app(lambda: scoring), keys=keys, max_body=8_000_000)

    def post(self, path: str, body: Any, key: str = "dpo") -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://x", headers={"X-API-Key": key}
            ) as client:
                return await client.post(path, **({"content": body} if isinstance(body, bytes) else {"json": body}),
                                         headers={"content-type": "application/json"})  # fmt: skip

        return asyncio.run(run())

    def score(self, *items: dict[str, Any], **rest: Any) -> list[dict[str, Any]]:
        response = self.post(SCORE, {"leads": list(items), **rest})
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["decisions"]
        return found

    def permit(self, lead_id: str, channel: str = "email") -> dict[str, Any]:
        given = self.score(item(lead_id, self.clock()))[0]["channels"][channel]["permit"]
        return {"permit": given["token"], "lead_id": lead_id, "channel": channel, "asset_id": given["asset_id"]}

    def check(self, question: dict[str, Any], **changed: Any) -> dict[str, Any]:
        response = self.post(CHECK, question | changed)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def refused(self, question: dict[str, Any], **changed: Any) -> list[str]:
        answer = self.check(question, **changed)
        assert not answer["permitted"]
        return [block["reason"] for block in answer["blocks"]]

    def stop(self, name: str, **row: Any) -> httpx.Response:
        row = {"suppression_id": name, "since_at": self.clock().isoformat(), **row}
        return self.post(SUPPRESSIONS, {"suppressions": [row]})


def service_on(kind: str, world: Path, folder: Path) -> Service:
    url = database(kind, folder)
    if kind == "postgresql":
        made = Database.open(url)
        upgrade(made)
        made.engine.dispose()
    scoring = Scoring(shipped(), Clock())
    start_scoring(scoring, world / "bundle", folder / "audit", store=url)
    return Service(scoring, folder / "audit")


@pytest.fixture(scope="module", params=KINDS)
def everywhere(
    request: pytest.FixtureRequest, small_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    found = service_on(request.param, small_world, tmp_path_factory.mktemp("service"))
    yield found
    assert found.scoring.contact is not None
    found.scoring.contact.close()


@pytest.fixture(scope="module")
def service(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    found = service_on("sqlite", small_world, tmp_path_factory.mktemp("service"))
    yield found
    assert found.scoring.contact is not None
    found.scoring.contact.close()


@pytest.fixture(autouse=True)
def _clock_goes_back(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("service", "everywhere"):
        if name in request.fixturenames:
            request.getfixturevalue(name).clock.now = NOW


def test_a_permit_of_an_answer_is_allowed_once_and_the_same_question_may_be_asked_again(everywhere: Service) -> None:
    question = everywhere.permit("once")
    first = everywhere.check(question, request_id="r1")
    assert first["permitted"]
    assert first["permits"]
    assert first["valid_until"] <= "2026-11-24T00:00:00Z"
    again = everywhere.check(question, request_id="r1")
    assert (again["permitted"], again["reserved_until"]) == (True, first["reserved_until"])
    assert everywhere.refused(question, request_id="r2") == ["PERMIT_USED"]
    assert everywhere.refused(question) == ["PERMIT_USED"]


def test_after_an_acknowledged_opt_out_the_permit_is_refused_even_to_the_request_that_used_it(
    everywhere: Service,
) -> None:
    question, other = everywhere.permit("stopped"), everywhere.permit("stopped", "rep_visit")
    assert everywhere.check(question, request_id="r1")["permitted"]
    assert everywhere.stop("stopped-1", lead_id="stopped", channel="email").status_code == 201
    assert "OPT_OUT" in everywhere.refused(question, request_id="r1")
    assert everywhere.check(other, request_id="r2")["permitted"]
    assert everywhere.stop("stopped-2", lead_id="stopped").status_code == 201
    assert "OPT_OUT" in everywhere.refused(other, request_id="r2")


@pytest.mark.parametrize("account", ["A1", "S1"])
def test_a_stop_of_the_account_or_of_its_parent_stops_its_people(service: Service, account: str) -> None:
    lead = f"works-{account}"
    question = service.permit(lead)
    service.stop(f"acc-{account}", account_id=account, channel="email")
    assert "OPT_OUT" in service.refused(question)
    lift = {"lift_id": f"l-{account}", "suppression_id": f"acc-{account}", "lifted_at": NOW.isoformat()}
    done = service.post(SUPPRESSIONS, {"lifts": [lift | {"evidence": "ticket-1", "by": "dpo-1"}]})
    assert done.status_code == 201
    assert service.check(question)["permitted"]


@pytest.mark.parametrize(
    ("reason", "card"),
    [
        ("opt_out", "OPT_OUT"), ("erasure", "ERASED_OR_RESTRICTED"), ("restriction", "ERASED_OR_RESTRICTED"),
        ("hard_bounce", "LIST_HYGIENE"), ("nobody knows this word", "OPT_OUT"), (None, "OPT_OUT"),
    ],
)  # fmt: skip
def test_every_kind_of_stop_reaches_the_send_gate_and_what_cannot_be_read_is_an_opt_out(
    service: Service, reason: str | None, card: str
) -> None:
    lead = f"kind-{reason}"[:20].replace(" ", "-")
    question = service.permit(lead)
    assert service.stop(f"k-{lead}", lead_id=lead, reason=reason).status_code == 201
    assert card in service.refused(question)


def test_a_stop_holds_from_when_it_was_acknowledged_though_it_says_that_it_begins_later(everywhere: Service) -> None:
    """Whose clock is ahead, or whose time zone is another one, has opted out all the same."""
    hour = timedelta(hours=1)
    later, ended = everywhere.permit("later"), everywhere.permit("ended")
    everywhere.stop("later", lead_id="later", since_at=(NOW + 5 * hour).isoformat())
    everywhere.stop("ended", lead_id="ended", since_at=(NOW - 2 * hour).isoformat(), until_at=(NOW - hour).isoformat())
    assert everywhere.check(ended)["permitted"]
    assert "OPT_OUT" in everywhere.refused(later)
    assert not everywhere.score(item("later"))[0]["channels"]["email"]["permitted"]


def test_a_permit_that_was_given_before_an_erasure_is_refused_to_every_id_with_the_address(everywhere: Service) -> None:
    given = item("twin-2", everywhere.clock())
    given["lead"] = given["lead"] | {"email_hash": "h-twin"}
    channel = everywhere.score(given)[0]["channels"]["email"]
    question = {"permit": channel["permit"]["token"], "lead_id": "twin-2", "channel": "email"}
    question["asset_id"] = channel["permit"]["asset_id"]
    other = everywhere.permit("twin-3")
    everywhere.stop("twin", lead_id="twin-1", reason="erasure", email_hash="h-twin")
    assert "ERASED_OR_RESTRICTED" in everywhere.refused(question)
    assert everywhere.check(other)["permitted"]


def test_the_key_of_a_crm_tells_of_stops_and_cannot_lift_one(service: Service) -> None:
    assert service.stop("kept", lead_id="kept").status_code == 201
    lift = {"lift_id": "l-kept", "suppression_id": "kept", "lifted_at": NOW.isoformat(), "evidence": "t-1", "by": "me"}
    beside = {"suppression_id": "beside", "since_at": NOW.isoformat(), "lead_id": "beside"}
    body = {"suppressions": [beside], "lifts": [lift]}
    refused = service.post(SUPPRESSIONS, body, key="k")
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (403, "$.lifts")
    # Nothing of the request was kept: the same rows are new to who may lift.
    told = service.post(SUPPRESSIONS, body, key="dpo").json()
    assert [row["duplicate"] for row in (*told["suppressions"], *told["lifts"])] == [False, False]
    assert service.post(SUPPRESSIONS, body, key="wrong").status_code == 401


def test_a_lift_from_before_its_stop_is_refused_and_so_is_an_erasure_that_ends(everywhere: Service) -> None:
    hour = timedelta(hours=1)
    assert everywhere.stop("lifted", lead_id="lifted", since_at=NOW.isoformat()).status_code == 201
    lift = {"suppression_id": "lifted", "evidence": "ticket-1", "by": "dpo-1"}
    early = {**lift, "lift_id": "early", "lifted_at": (NOW - hour).isoformat()}
    refused = everywhere.post(SUPPRESSIONS, {"lifts": [early]})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "$.lifts[0].lifted_at")
    assert everywhere.post(SUPPRESSIONS, {"lifts": [early | {"lifted_at": NOW.isoformat()}]}).status_code == 201
    ends = everywhere.stop("ends", lead_id="gone", reason="erasure", until_at=(NOW + hour).isoformat())
    assert (ends.status_code, ends.json()["errors"][0]["path"]) == (422, "$.suppressions[0].until_at")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"lead_id": "somebody-else"}, "PERMIT_OF_ANOTHER_LEAD"),
        ({"channel": "mail"}, "PERMIT_OF_ANOTHER_CHANNEL"),
        ({"channel": "jane@example.com"}, "PERMIT_OF_ANOTHER_CHANNEL"),
        ({"asset_id": "none"}, "PERMIT_OF_ANOTHER_ASSET"),
        ({"permit": "lw1.AAAA"}, "PERMIT_UNREADABLE"),
        ({"permit": ""}, "PERMIT_UNREADABLE"),
        ({"permit": "lw2.x"}, "PERMIT_UNREADABLE"),
        ({"permit": "lw1.\u00e9"}, "PERMIT_UNREADABLE"),
    ],
)
def test_a_permit_is_of_one_lead_channel_and_asset(service: Service, changed: dict[str, str], reason: str) -> None:
    question = service.permit(f"mine-{len(reason)}-{len(changed.get('permit', 'none'))}")
    assert service.refused(question, **changed) == [reason]


def test_no_byte_of_a_permit_can_be_changed(service: Service) -> None:
    question = service.permit("bytes")
    text = question["permit"]
    content = bytearray(base64.urlsafe_b64decode(text[len(MARK) :] + "=="))
    for place in range(0, len(content), 23):
        content[place] ^= 1
        changed = MARK + base64.urlsafe_b64encode(bytes(content)).rstrip(b"=").decode()
        assert service.refused(question, permit=changed) == ["PERMIT_UNREADABLE"]
        content[place] ^= 1
    foreign, asset_id = permit("bytes")
    assert service.refused(question, permit=foreign, asset_id=asset_id) == ["PERMIT_UNREADABLE"]


def test_a_permit_ends_and_the_clock_going_back_does_not_make_it_young(service: Service) -> None:
    question = service.permit("ends")
    service.clock.now = NOW - timedelta(minutes=6)
    assert service.refused(question) == ["PERMIT_FROM_THE_FUTURE"]
    service.clock.now = NOW + timedelta(hours=9)
    assert "PERMIT_EXPIRED" in service.refused(question)


def test_rules_of_another_policy_void_a_permit(service: Service, small_world: Path, tmp_path: Path) -> None:
    """The same key and store, and another declaration of a pause: what was permitted has to be asked again."""
    question = service.permit("book")
    contact = service.scoring.contact
    assert contact is not None
    pause = shipped().pauses
    changed = shipped().model_copy(update={"pauses": (*pause, _pause())})
    other = Scoring(changed, service.clock)
    start_contact(other, service.audit, contact.url)
    assert Service(other, service.audit).refused(question) == ["PERMIT_OF_ANOTHER_BOOK"]
    assert other.contact is not None
    other.contact.close()


def _pause() -> Any:
    from configs.places import Pause

    return Pause.model_validate({"from": "2026-12-24", "until": "2026-12-27", "why": "the holidays"})


def test_an_asset_that_was_withdrawn_or_declared_anew_is_not_sent(service: Service) -> None:
    question = service.permit("asset")
    for update in ({"withdrawn": True}, {"audiences": ("buyer",)}):
        assets = tuple(
            asset.model_copy(update=update) if asset.asset_id == question["asset_id"] else asset
            for asset in shipped().assets
        )
        assert service.scoring.contact is not None
        other = Scoring(shipped().model_copy(update={"assets": assets}), service.clock)
        start_contact(other, service.audit, service.scoring.contact.url)
        assert Service(other, service.audit).refused(question)
        assert other.contact is not None
        other.contact.close()
    assert service.check(question)["permitted"]


def test_calls_are_refused_outside_the_hours_of_the_persons_place(service: Service) -> None:
    """Ohio in winter: 9:30 there is 14:30 UTC; at 20:59 a call may be made, at 21:00 not (47 CFR 64.1200(c)(1))."""
    old = item()["lead"]
    place = {"region": "OH", "time_zone": "America/New_York"}

    def asked(lead_id: str, at: datetime) -> dict[str, Any]:
        service.clock.now = at
        given = item(lead_id, at)
        given["lead"] = given["lead"] | place
        permit_ = service.score(given)[0]["channels"]["phone"].get("permit")
        assert permit_ is not None, service.score(given)[0]["channels"]["phone"]
        return {
            "permit": permit_["token"], "lead_id": lead_id, "channel": "phone", "asset_id": permit_["asset_id"]
        }  # fmt: skip

    assert old["region"] == "TX"
    question = asked("ohio", NOW.replace(hour=12, minute=30))
    assert "OUTSIDE_CALLING_HOURS" in service.refused(question)
    service.clock.now = NOW.replace(hour=14, minute=30)
    assert service.check(question)["permitted"]


def test_a_lead_without_a_store_gets_no_permit_and_a_replay_gets_none(service: Service) -> None:
    past = (NOW - timedelta(days=1)).isoformat()
    replay = service.score(item("replay", NOW - timedelta(days=1)), as_of=past)[0]
    assert not any("permit" in answer for answer in replay["channels"].values())
    own = [asset.model_dump(mode="json", exclude_defaults=True) for asset in shipped().assets[:2]]
    brought = service.score(item("brought"), assets=own)[0]
    assert not any("permit" in answer for answer in brought["channels"].values())


def test_stops_of_the_store_reach_scores_and_unknown_stays_unknown(everywhere: Service) -> None:
    everywhere.stop("scored", lead_id="scored", channel="email")
    given = item("scored")
    channels = everywhere.score(given)[0]["channels"]
    assert [block["reason"] for block in channels["email"]["blocks"]] == ["OPT_OUT"]
    assert channels["rep_visit"]["permitted"]
    del given["suppressions"]
    blocked = everywhere.score(given)[0]["channels"]
    assert "OPT_OUT" in [block["reason"] for block in blocked["email"]["blocks"]]
    assert "OPT_OUT_UNKNOWN" in [block["reason"] for block in blocked["rep_visit"]["blocks"]]


def test_a_replay_knows_only_the_stops_that_the_store_had_by_then(service: Service) -> None:
    service.stop("replayed", lead_id="replayed", since_at=(NOW - timedelta(days=9)).isoformat())
    service.clock.now = NOW + timedelta(hours=1)
    before = service.score(item("replayed", NOW - timedelta(hours=1)), as_of=(NOW - timedelta(hours=1)).isoformat())[0]
    reasons = {block["reason"] for block in before["channels"]["email"]["blocks"]}
    assert "OPT_OUT" not in reasons
    after = service.score(item("replayed", NOW), as_of=(NOW + timedelta(minutes=1)).isoformat())[0]
    assert "OPT_OUT" in {block["reason"] for block in after["channels"]["email"]["blocks"]}


def test_an_erased_person_does_not_come_back_by_id_or_under_another_id_with_the_same_address(
    everywhere: Service,
) -> None:
    row = {"lead_id": "erased", "reason": "erasure", "email_hash": "h-1", "phone_hash": "h-2"}
    assert everywhere.stop("erased", **row).status_code == 201
    for lead_id, told in (("erased", {}), ("new-1", {"email_hash": "h-1"}), ("new-2", {"phone_hash": "h-2"})):
        given = item(lead_id)
        given["lead"] = given["lead"] | told
        decision = everywhere.score(given)[0]
        assert decision["readiness"]["reason"] == "NO_SCORE"
        assert not any(answer["permitted"] for answer in decision["channels"].values())
    assert everywhere.score(item("new-3"))[0]["channels"]["email"]["permitted"]


def test_touches_of_the_store_are_counted_by_the_next_score_and_those_told_twice_once(service: Service) -> None:
    question = service.permit("touched", "mail")
    answer = service.check(question)
    sent = {"touch_id": "crm-1", "lead_id": "touched", "sent_at": NOW.isoformat(), "channel": "mail",
            "intent": "promotional", "asset_id": question["asset_id"]}  # fmt: skip
    done = service.post(TOUCHES, {"touches": [sent | {"permit_id": answer["permit_id"]}]})
    assert (done.status_code, done.json()["touches"][0]["duplicate"]) == (201, False)
    assert service.post(TOUCHES, {"touches": [sent | {"permit_id": answer["permit_id"]}]}).status_code == 200
    assert service.post(TOUCHES, {"touches": [sent]}).status_code == 409
    days = [(NOW - timedelta(days=day)).isoformat() for day in (1, 2)]
    told = [sent | {"touch_id": f"crm-{k + 2}", "sent_at": day} for k, day in enumerate(days)]

    def promoted(touches: list[dict[str, Any]]) -> bool:
        channel = service.score(item("touched", touches=touches))[0]["channels"]["rep_visit"]
        return "software_technical_packet" in channel.get("asset_ids", ())

    # Two of the CRM's own and one of the store are three, the cap; told again by the CRM it is the same one.
    assert [promoted(told), promoted([*told, sent]), promoted([told[0], sent])] == [False, False, True]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (SUPPRESSIONS, {}, "$.suppressions"),
        (SUPPRESSIONS, {"suppressions": []}, "$.suppressions"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "2026-01-01T00:00:00Z"}]},
         "$.suppressions[0].lead_id"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "2026-01-01T00:00:00", "lead_id": "L"}]},
         "$.suppressions[0].since_at"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "9026-01-01T00:00:00Z", "lead_id": "L"}]},
         "$.suppressions[0].since_at"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a b", "since_at": "2026-01-01T00:00:00Z"}]},
         "$.suppressions[0].suppression_id"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "2026-01-01T00:00:00Z", "lead_id": "L",
                                          "email": "jane@example.com"}]}, "$.suppressions[0].email"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "2026-01-01T00:00:00Z", "lead_id": "L",
                                          "email_hash": "h"}]}, "$.suppressions[0].email_hash"),
        (SUPPRESSIONS, {"lifts": [{"lift_id": "l", "suppression_id": "a", "lifted_at": "2026-01-01T00:00:00Z",
                                   "by": "x"}]}, "$.lifts[0]"),
        (SUPPRESSIONS, {"lifts": [{"lift_id": "l", "suppression_id": "never", "lifted_at": "2026-01-01T00:00:00Z",
                                   "by": "x", "evidence": "t"}]}, "$.lifts[0].suppression_id"),
        (SUPPRESSIONS, {"suppressions": [{"suppression_id": "a", "since_at": "2026-01-01T00:00:00Z", "lead_id": "L"}]
                        * 1001}, "$.suppressions"),
        (TOUCHES, {"touches": []}, "$.touches"),
        (TOUCHES, {"touches": [{"touch_id": "t", "lead_id": "L", "sent_at": "2027-01-01T00:00:00Z"}]},
         "$.touches[0].sent_at"),
        (CHECK, {"permit": "x", "lead_id": "L", "channel": "email"}, "$"),
        (CHECK, {"permit": 1, "lead_id": "L", "channel": "email", "asset_id": "a"}, "$.permit"),
        (CHECK, b"{", "$"),
        (CHECK, b'{"permit":"x","permit":"y","lead_id":"L","channel":"email","asset_id":"a"}', "permit"),
    ],
)  # fmt: skip
def test_what_is_not_strictly_right_is_refused_and_the_place_is_named(
    service: Service, path: str, body: Any, place: str
) -> None:
    response = service.post(path, body)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["path"] == place
    assert "jane" not in response.text


def test_a_stop_is_idempotent_by_its_id_and_another_content_is_a_conflict(everywhere: Service) -> None:
    assert everywhere.stop("same", lead_id="same").status_code == 201
    again = everywhere.stop("same", lead_id="same")
    assert (again.status_code, again.json()["suppressions"][0]["duplicate"]) == (200, True)
    zone = everywhere.stop("same", lead_id="same", since_at="2026-11-23T17:00:00+02:00")
    assert zone.status_code == 200
    conflict = everywhere.stop("same", lead_id="another")
    assert (conflict.status_code, conflict.json()["errors"][0]["path"]) == (409, "$.suppressions[0].suppression_id")


def test_the_audit_has_a_record_of_everything_and_no_id_in_the_clear(everywhere: Service) -> None:
    marker = "marker-7391"
    everywhere.stop("marked", lead_id=marker)
    question = everywhere.permit("unmarked")
    everywhere.check(question, lead_id=marker, channel=marker)
    found = b"".join(path.read_bytes() for path in sorted(everywhere.audit.glob("*.jsonl")))
    assert b'"kind":"suppression"' in found
    assert b'"kind":"permit_check"' in found
    assert marker.encode() not in found
    assert verify(everywhere.audit).records > 1


def test_nothing_that_the_store_knows_a_person_by_is_in_a_record_but_in_its_detail(service: Service) -> None:
    """A permit's id stays in the store beside the pseudonym: what is left of a record must not lead there."""
    question = service.permit("traced", "mail")
    answer = service.check(question)
    sent = {"touch_id": "traced-1", "lead_id": "traced", "sent_at": NOW.isoformat(), "channel": "mail"}
    service.post(TOUCHES, {"touches": [sent | {"permit_id": answer["permit_id"]}]})
    service.stop("traced-stop", lead_id="traced")
    found = [one for file in log_files(service.audit) for one in entries(file)]
    mine = [one for one in found if one.detail and one.detail.get("subject") == pseudonym(_key(service), "traced")]
    assert {one.record["kind"] for one in mine} == {"decision", "permit_check", "touch", "suppression"}
    for name in (answer["permit_id"], "traced-1", "traced-stop"):
        assert not any(name in json.dumps(one.record) for one in mine)
        assert any(name in json.dumps(one.detail) for one in mine)


def _key(service: Service) -> bytes:
    return pseudonym_key(service.audit)


def test_without_audit_no_permit_and_no_acknowledgement(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    question = service.permit("unaudited")

    def fail(self: AuditLog) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(AuditLog, "commit", fail)
        assert service.post(CHECK, question | {"request_id": "r"}).status_code == 503
        assert service.stop("unaudited", lead_id="other").status_code == 503
    assert service.stop("unaudited", lead_id="other").json()["suppressions"][0]["duplicate"] is True
    assert service.check(question, request_id="r")["permitted"]


def test_a_store_that_is_gone_is_a_503_and_not_ready_and_never_a_yes(small_world: Path, tmp_path: Path) -> None:
    service = service_on("sqlite", small_world, tmp_path)
    question = service.permit("gone")
    assert asyncio.run(service.scoring.reachable())
    for path in tmp_path.glob("*.db*"):
        path.unlink()
    assert not asyncio.run(service.scoring.reachable())
    for path, body in ((CHECK, question), (SCORE, {"leads": [item("gone")]})):
        response = service.post(path, body)
        assert response.status_code == 503
        assert "STORE_UNAVAILABLE" in response.json()["detail"]
    assert service.stop("gone", lead_id="gone").status_code == 503
    assert service.scoring.contact is not None
    service.scoring.contact.close()


def test_stops_are_taken_before_there_is_a_bundle_to_score_with(tmp_path: Path) -> None:
    scoring = Scoring(shipped(), Clock())
    start_contact(scoring, tmp_path / "audit", str(tmp_path / "store.db"))
    service = Service(scoring, tmp_path / "audit")
    assert service.stop("early", lead_id="early").status_code == 201
    assert service.post(SCORE, {"leads": [item()]}).status_code == 503
    assert scoring.contact is not None
    scoring.contact.close()


def test_a_permit_holds_no_id_of_the_person(service: Service) -> None:
    question = service.permit("jane-marker")
    text = question["permit"]
    content = base64.urlsafe_b64decode(text[len(MARK) :] + "==")
    assert b"jane-marker" not in content
    assert len(text) < 700
    found = unseal(text, Subjects.of(pseudonym_key(service.audit)).permit_key)
    assert found is not None
    assert json.loads(json.dumps(found.place)) == ["US", "TX", "America/Chicago"]


def test_batch_counts_the_stops_and_touches_of_the_store_as_online_does(service: Service, small_world: Path) -> None:
    """The same leads once through the API and once as tables: the same channels are permitted, with the same rules."""
    from serving.api import LeadRequest
    from serving.contact.store_tables import Beside
    from serving.decide import Decider
    from serving.online import tables_of
    from serving.render import render

    leads = ["b-free", "b-stopped", "b-account", "b-erased", "b-touched", "b-unknown"]
    items = {lead: item(lead) for lead in leads}
    items["b-account"]["lead"] = items["b-account"]["lead"] | {"account_id": "A-b"}
    items["b-account"]["account"] = items["b-account"]["account"] | {"account_id": "A-b"}
    del items["b-unknown"]["suppressions"]
    service.stop("b-1", lead_id="b-stopped", channel="email")
    service.stop("b-2", account_id="A-b")
    service.stop("b-3", lead_id="b-erased", reason="erasure")
    service.stop("b-4", lead_id="b-unknown", channel="mail")
    sent = [
        {"touch_id": f"b-t{k}", "lead_id": "b-touched", "sent_at": (NOW - timedelta(days=k)).isoformat(),
         "channel": "mail", "intent": "promotional"}
        for k in range(3)
    ]  # fmt: skip
    service.post(TOUCHES, {"touches": sent})
    items["b-touched"]["touches"] = sent[:1]
    online = {one["lead_id"]: one["channels"] for one in service.score(*items.values())}
    assert service.scoring.contact is not None
    store = service.scoring.contact.gate().store
    decider = Decider.load(small_world / "bundle", shipped(), on=NOW.date())
    for lead, given in items.items():
        request = msgspec.convert(given, LeadRequest)
        tables = tables_of([request], shipped().vocabularies, decider.asset_ids, Titles(shipped().vocabularies))
        beside = Beside.of(store, NOW, replay=False).added(tables, shipped().vocabularies)
        batch = render(decider.decide(beside, NOW), 0)["channels"]
        for answer in online[lead].values():
            answer.pop("permit", None)
        assert batch == online[lead], lead
    assert not online["b-stopped"]["email"]["permitted"]
    assert "OPT_OUT" in str(online["b-account"]["mail"])
    assert "ERASED_OR_RESTRICTED" in str(online["b-erased"]["mail"])
    assert "OPT_OUT_UNKNOWN" in str(online["b-unknown"]["email"])
    assert "software_technical_packet" not in online["b-touched"]["mail"].get("asset_ids", ())
