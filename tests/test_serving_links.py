"""A person with several records gets one decision, online as in batch, and no record is dropped in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from configs.settings import load_settings
from features.intake.sources import find_files, read_tables
from features.tables import microseconds
from serving.api import RequestRefused, ScoreRequest, parse
from serving.decide import Decider
from serving.explain import explain
from serving.online import OnlineAnswerer, grouped
from serving.render import render
from serving.requests import request_of
from serving.rescore import rescore

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
LATELY = datetime(2026, 6, 20, tzinfo=UTC)
EARLIER = datetime(2026, 5, 1, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
TOMORROW = datetime(2026, 7, 1, tzinfo=UTC)
AWAY = {"second": "first", "old": "site_less", "gone": "first"}
ASKED = ("alone", "first", "second", "old", "site_less", "split", "apart", "colleague", "twin", "soon", "later")


@pytest.fixture(scope="module")
def world(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Hand-made records, most of them linked, with the answers in batch; the bundle is the small world's."""
    folder = tmp_path_factory.mktemp("linked")
    hcp = {
        "audience": "hcp", "role": "physician", "specialty": "oncology", "country": "US", "verified_hcp": True,
        "adult": True, "verified_at": EARLIER, "recorded_at": LONG_AGO, "influence": "decision_maker",
        "source": "congress", "licence_status": "active", "role_address": False, "region": "NY",
        "screened_at": LATELY,
    }  # fmt: skip
    accounts = dict.fromkeys((*ASKED, "gone"), "site") | {"second": "other", "site_less": None, "old": "site"}
    leads = [
        {"lead_id": name, "account_id": accounts[name], "created_at": LONG_AGO, **hcp}
        for name in ASKED
        if name != "gone"
    ]
    for row in leads:
        if row["lead_id"] in ("second", "old", "twin", "apart"):
            row |= {"created_at": EARLIER, "recorded_at": EARLIER}
    said = {"linked_at": LATELY, "recorded_at": LATELY, "evidence": "person", "confidence": 1.0, "by": "steward"}
    links = [
        ("first", "second", "same", LATELY), ("gone", "second", "same", LATELY), ("site_less", "old", "same", LATELY),
        ("split", "apart", "same", EARLIER), ("split", "apart", "different", LATELY),
        ("colleague", "twin", "same", LATELY), ("soon", "later", "same", TOMORROW),
    ]  # fmt: skip
    names = (*ASKED, "gone")
    tables: dict[str, list[dict[str, Any]]] = {
        "leads": leads,
        "accounts": [
            {"account_id": a, "parent_account_id": p, "organization_type": "hospital", "recorded_at": LONG_AGO}
            for a, p in (("site", None), ("other", "above"), ("above", None))
        ],
        "events": [
            {"event_id": f"e{k}{n}", "lead_id": name, "kind": "webinar_attend", "occurred_at": day, "recorded_at": day}
            for k, name in enumerate(names)
            for n, day in enumerate((EARLIER, LATELY))
        ],
        "touches": [{"touch_id": "t", "lead_id": "second", "channel": "email", "sent_at": LATELY}],
        "consents": [
            {"lead_id": name, "channel": "email", "status": status, "purpose": "promotion", "captured_at": day}
            for name, status, day in (("second", "withdrawn", LONG_AGO), ("first", "granted", LATELY))
        ],
        "suppressions": [
            {"lead_id": "gone", "account_id": None, "channel": "phone", "reason": "opt_out", "since_at": EARLIER},
            {"lead_id": None, "account_id": "above", "channel": "mail", "reason": "opt_out", "since_at": EARLIER},
        ],
        "cases": [{"case_id": "c", "lead_id": "old", "kind": "complaint", "opened_at": EARLIER}],
        "links": [
            {"lead_id": a, "other_lead_id": b, **said, "kind": kind, "linked_at": day, "recorded_at": day}
            for a, b, kind, day in links
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    complete = f'"suppressions_complete_as_of": "{AS_OF.isoformat()}"'
    (folder / "sample.json").write_text(f'{{"as_of": "{AS_OF.isoformat()}", {complete}}}', encoding="utf-8")
    settings, files = load_settings(), find_files(folder)
    decider = Decider.load(small_world / "bundle", settings, on=AS_OF.date())
    read = read_tables(files, settings, assets=settings.assets, as_of=AS_OF)
    assert {table: count.rejected for table, count in read.counts.items()} == dict.fromkeys(tables, 0)
    decided = decider.decide(read.tables, AS_OF)
    batch = {str(name): render(decided, row) for row, name in enumerate(decided.known.lead_ids.tolist())}
    return {
        "batch": batch, "decider": decider, "files": files, "settings": settings, "bundle": small_world / "bundle",
        "bodies": {name: request_of(files, name, settings, AS_OF) for name in ASKED},
    }  # fmt: skip


def ask(world: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    request = parse(msgspec.json.encode(body), max_leads=5)
    assert not request.rejected
    (decision,), (kept,), rejected = OnlineAnswerer(world["decider"], b"k" * 32).answer(request, AS_OF)
    assert not rejected
    decision.pop("audit_id")
    assert kept["detail"].get("merged") == (len(decision["identity"]["merged"]) if "identity" in decision else None)
    return decision


@pytest.mark.parametrize("lead_id", ASKED)
def test_online_answers_as_batch_does_whichever_of_a_persons_ids_is_asked_for(
    world: dict[str, Any], lead_id: str
) -> None:
    answer = ask(world, world["bodies"][lead_id])
    assert answer == world["batch"][AWAY.get(lead_id, lead_id) if lead_id != "twin" else "colleague"] | {
        "lead_id": lead_id
    }


def test_the_answer_says_which_records_were_merged_on_what_evidence_and_only_then(world: dict[str, Any]) -> None:
    for lead_id in ("first", "second"):
        identity = ask(world, world["bodies"][lead_id])["identity"]
        assert identity == {"lead_id": "first", "merged": ["gone", "second"], "evidence": ["person"]}
    for lead_id in ("alone", "split", "apart", "soon", "later"):
        assert "identity" not in ask(world, world["bodies"][lead_id])


def test_stops_and_withdrawals_of_any_record_and_of_its_accounts_hold_for_the_person(world: dict[str, Any]) -> None:
    channels = ask(world, world["bodies"]["first"])["channels"]
    assert [name for name, one in channels.items() if one["permitted"]] == ["rep_visit"]
    assert ask(world, world["bodies"]["site_less"])["route"]["queue"].startswith("customer_care")


def test_the_reasons_alone_are_those_of_the_person_too(world: dict[str, Any]) -> None:
    body = msgspec.json.encode(world["bodies"]["second"])
    (found,) = explain(body, world["settings"], AS_OF, AS_OF)["leads"]
    permitted = {entry["channel"]: entry["permitted"] for entry in found["channels"]}
    answer = ask(world, world["bodies"]["second"])
    assert permitted == {name: one["permitted"] for name, one in answer["channels"].items()}


def test_taking_every_link_back_restores_every_decision(world: dict[str, Any]) -> None:
    decider, settings = world["decider"], world["settings"]
    tables = read_tables(world["files"], settings, assets=settings.assets, as_of=AS_OF).tables
    back = {name: np.concatenate((column, column)) for name, column in tables.links.items()}
    half = len(tables.links["kind"])
    back["kind"][half:] = settings.vocabularies["link_kind"].code("different")
    back["linked_at"][half:] = back["recorded_at"][half:] = microseconds(AS_OF)
    one, two, merged = (decider.decide(replace(tables, links=links), AS_OF) for links in ({}, back, dict(tables.links)))
    words = [[render(decided, row) for row in range(len(decided))] for decided in (one, two, merged)]
    assert words[0] == words[1] != words[2]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_batch_run_decides_once_a_person_and_lists_who_was_merged_into_whom(
    world: dict[str, Any], tmp_path: Path, partitions: int
) -> None:
    out = tmp_path / "out"
    done = rescore(world["files"], world["bundle"], world["settings"], out, AS_OF, partitions=partitions, workers=1)
    merged = {**AWAY, "twin": "colleague"}
    listed = pyarrow.csv.read_csv(out / "merged.csv").to_pylist()
    assert {row["lead_id"]: row["merged_into"] for row in listed} == merged
    parts = [pq.read_table(path, columns=["lead_id"]) for path in sorted((out / "decisions").iterdir())]
    decided = pa.concat_tables(parts)["lead_id"].to_pylist()
    assert sorted([*decided, *merged]) == sorted((*ASKED, "gone"))
    manifest = msgspec.json.decode((out / "manifest.json").read_bytes())
    assert manifest["merged"] == 4 and manifest["leads"] == done.leads == len(decided)


@pytest.mark.slow
def test_the_number_of_partitions_changes_no_decision_of_linked_leads(world: dict[str, Any], tmp_path: Path) -> None:
    roots = {
        rescore(
            world["files"], world["bundle"], world["settings"], tmp_path / str(n), AS_OF, partitions=n, workers=1
        ).root
        for n in (1, 2, 5)
    }
    assert len(roots) == 1


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"links": None}, "links"),
        ({"linked_leads": [{"lead_id": "stranger"}]}, "linked_leads[0].lead_id"),
        ({"linked_leads": [{"lead_id": "second"}, {"lead_id": "second"}]}, "linked_leads[1].lead_id"),
        ({"linked_accounts": [{"account_id": "nowhere"}]}, "linked_accounts[0].account_id"),
        ({"links": [{"lead_id": "x", "other_lead_id": "y", "linked_at": LATELY, "kind": "same"}]}, "links[0].lead_id"),
        (
            {"links": [{"lead_id": "first", "other_lead_id": "first", "linked_at": LATELY, "kind": "same"}]},
            "links[0].other_lead_id",
        ),
        ({"colleagues": [{"lead_id": "second"}]}, "colleagues[0].lead_id"),
    ],
)
def test_rows_of_somebody_else_are_refused_by_place(world: dict[str, Any], change: dict[str, Any], path: str) -> None:
    (item,) = world["bodies"]["first"]["leads"]
    changed = {name: value for name, value in {**item, **change}.items() if value is not None}
    with pytest.raises(RequestRefused) as refused:
        parse(msgspec.json.encode({"leads": [changed]}), max_leads=5)
    assert refused.value.errors[0]["reason"] == "ID_MISMATCH"
    assert refused.value.errors[0]["path"].startswith("$.leads[0]." + ("linked_leads" if path == "links" else path))


def test_leads_with_links_never_share_tables_with_others(world: dict[str, Any]) -> None:
    items = [body["leads"][0] for body in world["bodies"].values()]
    request: ScoreRequest = parse(msgspec.json.encode({"leads": items}), max_leads=50)
    for positions in grouped(request.leads):
        assert len(positions) == 1 or not any(request.leads[place].links for place in positions)
    answers, _, _ = OnlineAnswerer(world["decider"], b"k" * 32).answer(request, AS_OF)
    assert [one["lead_id"] for one in answers] == list(world["bodies"])


def test_warming_up_weighs_a_click_so_that_no_real_lead_waits_for_it(
    world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from features import human

    weighed, judge = [], human.judge
    monkeypatch.setattr(human, "judge", lambda *given: (weighed.append(1), judge(*given)))
    OnlineAnswerer(world["decider"], b"k" * 32).warm_up(AS_OF)
    assert weighed
