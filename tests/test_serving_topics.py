"""Opt-outs of a topic over the API: kept, told apart, obeyed by scores, by batches and by permits given before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from features.encode import encode_records
from features.intake.titles import Titles
from features.tables import microseconds
from serving.store.engine import Database
from serving.store.store import Store
from serving.store.upgrade import newest, upgrade
from tests.store_people import KEY, KINDS, NOW, database, item, shipped
from tests.test_serving_permits import Service, service_on


@pytest.fixture(scope="module")
def service(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    found = service_on("sqlite", small_world, tmp_path_factory.mktemp("topics"))
    yield found
    assert found.scoring.contact is not None
    found.scoring.contact.close()


def topic_of(asset_id: str) -> str:
    return str(next(asset.topic for asset in shipped().assets if asset.asset_id == asset_id))


def another(topic: str) -> str:
    return next(value for value in shipped().vocabularies["topic"].values if value != topic)


def test_a_topic_opt_out_after_the_permit_stops_an_asset_of_that_topic_only(service: Service) -> None:
    question = service.permit("after")
    topic = topic_of(question["asset_id"])
    answer = service.stop("after-1", lead_id="after", topic=another(topic), reason="opt_out")
    assert answer.status_code == 201
    assert answer.json()["suppressions"][0]["topic"] == another(topic)
    assert service.check(question, request_id="r")["permitted"]
    service.stop("after-2", lead_id="after", topic=topic, channel="email", reason="opt_out")
    assert service.refused(question, request_id="r") == ["TOPIC_OPT_OUT"]


def test_a_topic_opt_out_of_one_channel_leaves_the_others_but_with_one_of_another_topic_there(service: Service) -> None:
    question = service.permit("channels")
    topic = topic_of(question["asset_id"])
    service.stop("channels-1", lead_id="channels", topic=topic, channel="sms", reason="opt_out")
    assert service.check(question, request_id="r")["permitted"]
    # The price of two facts instead of one by asset and channel: too little is sent, never too much.
    service.stop("channels-2", lead_id="channels", topic=another(topic), channel="email", reason="opt_out")
    assert service.refused(question, request_id="r") == ["TOPIC_OPT_OUT"]


@pytest.mark.parametrize("row", [{"topic": "astrology", "reason": "opt_out"}, {"topic": "pricing", "reason": "?"},
                                 {"topic": "pricing"}, {"product": "perpetuum", "reason": "opt_out"}])  # fmt: skip
def test_a_limit_or_reason_that_cannot_be_read_makes_it_an_opt_out_of_everything(
    service: Service, row: dict[str, str]
) -> None:
    lead_id = f"unread-{'-'.join(row.values())}".replace("?", "x")
    question = service.permit(lead_id)
    told = service.stop(f"{lead_id}-1", lead_id=lead_id, **row).json()["suppressions"][0]
    assert (told["topic"], told["product"], told["reason"]) == ("all", "all", "opt_out")
    assert service.refused(question) == ["OPT_OUT"]


def test_a_message_without_content_waits_for_content_that_is_surely_about_something_else(service: Service) -> None:
    service.stop("bare-1", lead_id="bare", topic="pricing", reason="opt_out")
    found = service.score(item("bare"))[0]["channels"]["phone"]
    assert not found["permitted"] or found["permit"]["asset_id"] != "none"


def test_the_audit_and_the_id_of_a_stop_know_its_topic(service: Service) -> None:
    assert service.stop("same", lead_id="same", topic="pricing", reason="opt_out").status_code == 201
    assert service.stop("same", lead_id="same", topic="pricing", reason="opt_out").status_code == 200
    assert service.stop("same", lead_id="same", topic="dosing", reason="opt_out").status_code == 409
    kept = [path.read_text() for path in service.audit.rglob("*.jsonl")]
    assert any('"topic":"pricing"' in content for content in kept)


def test_a_batch_obeys_the_topics_of_the_store_as_an_answer_does(service: Service, small_world: Path) -> None:
    from serving.api import LeadRequest
    from serving.contact.store_tables import Beside
    from serving.decide import Decider
    from serving.online import tables_of
    from serving.render import render

    first = service.permit("batch")
    service.stop("batch-1", lead_id="batch", topic=topic_of(first["asset_id"]), reason="opt_out")
    online = service.score(item("batch"))[0]["channels"]
    assert service.scoring.contact is not None
    store = service.scoring.contact.gate().store
    decider = Decider.load(small_world / "bundle", shipped(), on=NOW.date())
    words = shipped().vocabularies
    tables = tables_of([msgspec.convert(item("batch"), LeadRequest)], words, decider.asset_ids, Titles(words))
    batch = render(decider.decide(Beside.of(store, NOW, replay=False).added(tables, words), NOW), 0)["channels"]
    for answer in online.values():
        answer.pop("permit", None)
    assert {name: one["permitted"] for name, one in batch.items()} == {n: one["permitted"] for n, one in online.items()}
    assert batch == online
    own = msgspec.convert(
        item("batch", suppressions=[{"lead_id": "batch", "since_at": NOW.isoformat(), "reason": "opt_out",
                                     "topic": topic_of(first["asset_id"])}]), LeadRequest)  # fmt: skip
    told = render(decider.decide(tables_of([own], words, decider.asset_ids, Titles(words)), NOW), 0)["channels"]
    assert told == batch  # the same stop told by the request itself


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_the_first_version_keeps_its_stops_and_learns_topics(kind: str, tmp_path: Path) -> None:
    from alembic import command

    from serving.store import upgrade as steps

    made = Database.open(database(kind, tmp_path))
    made.make_file()
    with made.writing() as connection:
        config = steps._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                'INSERT INTO suppressions (suppression_id, content, subject, "of", reason, since_at, recorded_at) '
                "VALUES ('s', 'c', 'p', 'lead', 'opt_out', 1, 1)"
            )
        )
    assert upgrade(made) == ("0001", newest())
    store = Store(made, Store.open(database("sqlite", tmp_path), KEY).subjects)
    row = store.everybody(microseconds(NOW)).stops.of["p"][0]
    assert (row.topic, row.product, row.reason) == (None, None, "opt_out")
    made.engine.dispose()


def test_a_stop_of_a_file_and_one_of_a_request_read_a_topic_alike(tmp_path: Path) -> None:
    from serving.contact.stop_files import read_stops

    file = tmp_path / "stops.csv"
    file.write_text("suppression_id,since_at,lead_id,reason,topic\na,2026-11-01T00:00:00Z,L1,opt_out,budget\n")
    rows, wrong = read_stops(file)
    assert not wrong and rows[0].topic == "budget"
    from features.records import Lead, Suppression

    code = shipped().vocabularies["topic"].code("pricing")
    given: Any = Suppression(lead_id="L1", since_at=NOW, reason="opt_out", topic="budget")
    tables = encode_records([Lead(lead_id="L1")], suppressions=[given], vocabularies=shipped().vocabularies)
    assert tables.suppressions["topic"].tolist() == [code]
