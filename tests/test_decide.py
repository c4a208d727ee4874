"""Decisions: online equals batch, one equals many, and nothing permits what should not be permitted."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.settings import load_settings
from features.intake.sources import find_files, read_tables
from features.pipeline import signals_of
from features.records import TABLES
from features.tables import Tables
from serving.api import parse
from serving.columns import decision_table
from serving.decide import Decider
from serving.online import OnlineAnswerer
from serving.render import render

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SECTIONS = ("events", "touches", "consents", "suppressions", "cases")


@pytest.fixture(scope="module")
def world(small_world: Path) -> World:
    return World(small_world)


class World:
    """A sample, a bundle, the batch decisions over it, and each lead as the request that says the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = load_settings()
        self.decider = Decider.load(folder / "bundle", self.settings, on=AS_OF.date())
        self.answerer = OnlineAnswerer(self.decider, b"k" * 32)
        self.tables = read_tables(
            find_files(folder / "data"), self.settings, assets=self.decider.assets, as_of=AS_OF
        ).tables
        self.batch = self.decider.decide(self.tables, AS_OF)
        self.rendered = [render(self.batch, row) for row in range(len(self.batch))]
        self.items = self._items()

    def _items(self) -> list[dict[str, Any]]:
        read = {t: pq.read_table(self.folder / "data" / f"{t}.parquet").to_pylist() for t in ("leads", "accounts")}
        rows: dict[str, dict[str, list[Any]]] = {}
        for table in SECTIONS:
            rows[table] = defaultdict(list)
            for row in pq.read_table(self.folder / "data" / f"{table}.parquet").to_pylist():
                rows[table][row.get("lead_id") or f"account:{row.get('account_id')}"].append(row)
        accounts = {row["account_id"]: row for row in read["accounts"]}
        versions: dict[str, list[Any]] = defaultdict(list)
        for row in read["leads"]:
            versions[row["lead_id"]].append(row)
        colleagues = self._colleagues()
        complete = json.loads((self.folder / "data" / "sample.json").read_text())["suppressions_complete_as_of"]
        items = []
        for place, lead_id in enumerate(self.tables.lead_ids.tolist()):
            known = [row for row in versions[lead_id] if (row.get("recorded_at") or AS_OF) <= AS_OF]
            lead = max(known, key=lambda row: row.get("recorded_at") or datetime(1970, 1, 1, tzinfo=UTC))
            item: dict[str, Any] = {"lead": clean(lead, "leads"), "suppressions_complete_as_of": complete}
            account = accounts.get(lead.get("account_id"))
            if account is not None:
                item["account"] = clean(account, "accounts")
                parent = accounts.get(account.get("parent_account_id"))
                if parent is not None:
                    item["parent_account"] = clean(parent, "accounts")
            for table in SECTIONS:
                own = list(rows[table].get(lead_id, ()))
                if table == "suppressions":
                    own += rows[table].get(f"account:{lead.get('account_id')}", ())
                item[table] = [clean(row, table) for row in own]
            item["colleagues"] = colleagues[place]
            items.append(item)
        return items

    def _colleagues(self) -> list[list[dict[str, Any]]]:
        known, plan = self.batch.known, self.decider.builder.plan
        measures = signals_of(known, plan, self.decider.builder.decision_maker).measures
        account = known.leads["account"]
        words = {name: self.settings.vocabularies[name] for name in ("role", "influence")}
        found: list[list[dict[str, Any]]] = []
        columns = {
            name: measures.of(name) for name in ("event_count_90d", "demo_request_count_90d", "days_since_last_event")
        }
        for row in range(len(account)):
            own: list[dict[str, Any]] = []
            for other in np.flatnonzero((account == account[row]) & (account[row] >= 0)).tolist():
                if other == row or not known.present[other]:
                    continue
                summary: dict[str, Any] = {"lead_id": str(known.lead_ids[other])}
                for name, vocabulary in words.items():
                    if known.leads[name][other]:
                        summary[name] = vocabulary.value(int(known.leads[name][other]))
                for name, column in columns.items():
                    if column[other] >= 0:
                        summary[name] = int(column[other])
                own.append(summary)
            found.append(own)
        return found

    def ask(self, items: list[dict[str, Any]], now: datetime = AS_OF, **rest: Any) -> list[dict[str, Any]]:
        request = parse(msgspec.json.encode({"leads": items, **rest}), max_leads=500)
        assert not request.rejected
        decisions, records, rejected = self.answerer.answer(request, now)
        assert not rejected
        assert [record["audit_id"] for record in records] == [d.pop("audit_id") for d in decisions]
        return decisions


def clean(row: dict[str, Any], table: str) -> dict[str, Any]:
    fields = TABLES[table].__struct_fields__
    return {name: value for name, value in row.items() if value is not None and name in fields}


def permitted(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (channel, asset)
        for channel, found in answer["channels"].items()
        if found["permitted"]
        for asset in found["asset_ids"]
    }


def test_online_answers_what_batch_answers(world: World) -> None:
    for place in range(0, 300, 3):
        online = world.ask([world.items[place]])[0]
        assert json.loads(msgspec.json.encode(online)) == json.loads(msgspec.json.encode(world.rendered[place]))


def test_many_leads_in_one_request_are_answered_as_each_alone(world: World) -> None:
    assert world.ask(world.items[:60]) == [world.ask([item])[0] for item in world.items[:60]]


def test_the_order_of_rows_decides_nothing(world: World) -> None:
    rng = np.random.default_rng(0)
    shuffled: dict[str, Any] = {}
    for table in ("leads", "accounts", *SECTIONS):
        columns = getattr(world.tables, table)
        order = rng.permutation(len(next(iter(columns.values()))))
        shuffled[table] = {name: column[order] for name, column in columns.items()}
    again = world.decider.decide(replace(world.tables, **shuffled), AS_OF)
    assert decision_table(again).equals(decision_table(world.batch))


def test_columns_say_what_words_say(world: World) -> None:
    rows = decision_table(world.batch).to_pylist()
    for row, answer in zip(rows, world.rendered, strict=True):
        assert row["lead_id"] == answer["lead_id"]
        assert row["band"] == answer["readiness"]["band"]
        assert row["probability"] == answer["readiness"]["probability"]
        assert [d["feature"] for d in row["drivers"]] == [d["feature"] for d in answer["readiness"]["drivers"]]
        assert row["queue"] == answer["route"]["queue"]
        for part in ("fit", "engagement"):
            logged = sorted((entry["id"], entry["points"]) for entry in answer[part]["log"])
            assert sorted((entry["id"], entry["points"]) for entry in row[f"{part}_log"]) == logged
            assert sum(points for _, points in logged) == (answer[part]["points"] or 0)
        action = answer["next_best_action"]
        assert (row["action"], row["action_channel"], row["asset_id"]) == (
            action["action"], action["channel"], action["asset_id"],
        )  # fmt: skip
        for channel, found in answer["channels"].items():
            assert row[f"{channel}_permitted"] == found["permitted"]
            assert row[f"{channel}_effect"] == ("permit" if found["permitted"] else found["effect"])
            assert row[f"{channel}_rules"] == [block["rule"] for block in found.get("blocks", ())]
            reasons = dict.fromkeys(block["reason"] for block in found.get("blocks", ()))
            assert row[f"{channel}_reasons"] == list(reasons)


def test_drivers_and_rest_add_up_to_the_log_odds(world: World) -> None:
    for answer in world.rendered:
        readiness = answer["readiness"]
        if readiness["probability"] is None:
            continue
        total = sum(driver["contribution"] for driver in readiness["drivers"]) + readiness["rest"]
        assert total == pytest.approx(readiness["log_odds"] - readiness["base"], abs=1e-9)
        assert sum(readiness["groups"].values()) == pytest.approx(total, abs=1e-9)


def test_every_channel_is_permitted_for_some_and_not_for_most(world: World) -> None:
    share = world.batch.rulings.permitted.mean(axis=0)
    assert ((share > 0.05) & (share < 0.8)).all()


def test_a_withdrawn_consent_forbids_the_channel_at_every_band(world: World) -> None:
    seen = set()
    for item, answer in zip(world.items, world.rendered, strict=True):
        if not answer["channels"]["email"]["permitted"] or answer["readiness"]["band"] in seen:
            continue
        seen.add(answer["readiness"]["band"])
        withdrawal = {
            "lead_id": answer["lead_id"], "channel": "email", "purpose": "promotion", "status": "withdrawn",
            "captured_at": "2026-06-29T23:00:00Z",
        }  # fmt: skip
        opt_out = {
            "lead_id": answer["lead_id"], "channel": "email", "reason": "opt_out", "since_at": "2026-06-29T23:00:00Z"
        }  # fmt: skip
        assert not promotional(world, world.ask([{**item, "consents": [*item["consents"], withdrawal]}])[0])
        assert not world.ask([{**item, "suppressions": [*item["suppressions"], opt_out]}])[0]["channels"]["email"][
            "permitted"
        ]
    assert len(seen) >= 3


def promotional(world: World, answer: dict[str, Any]) -> list[str]:
    intents = {asset.asset_id: asset.intent for asset in world.decider.assets}
    return [asset for channel, asset in permitted(answer) if channel == "email" and intents[asset] == "promotional"]


@pytest.mark.parametrize("section", [*SECTIONS, "account", "colleagues", "suppressions_complete_as_of"])
def test_what_is_not_known_never_permits_more(world: World, section: str) -> None:
    for item, answer in list(zip(world.items, world.rendered, strict=True))[:60]:
        left = {name: value for name, value in item.items() if name != section}
        if section == "account":
            left.pop("parent_account", None)
        assert permitted(world.ask([left])[0]) <= permitted(answer)


def test_a_lead_of_which_nothing_is_known_may_not_be_contacted_and_learns_what_is_missing(world: World) -> None:
    answer = world.ask([{"lead": {"lead_id": "nobody"}}])[0]
    assert not permitted(answer)
    assert answer["next_best_action"]["action"] == "none"
    missing = {fact for fact, state, *_ in answer["next_best_action"]["because"] if state == "unknown"}
    assert {"opt_out", "jurisdiction"} <= missing


def test_a_lead_without_any_date_has_no_age_and_the_answer_names_the_fact(world: World) -> None:
    place = next(row for row, answer in enumerate(world.rendered) if answer["channels"]["email"]["permitted"])
    dates = ("recorded_at", "verified_at", "created_at")
    lead = {name: value for name, value in world.items[place]["lead"].items() if name not in dates}
    (answer,) = world.ask([{**world.items[place], "lead": lead}])
    assert not permitted(answer)
    assert "jurisdiction" in {fact for fact, state, *_ in answer["next_best_action"]["because"] if state == "unknown"}
    (answer,) = world.ask([{**world.items[place], "lead": {**lead, "created_at": AS_OF - timedelta(days=9)}}])
    assert permitted(answer)


def test_an_answer_without_cases_names_the_facts_to_supply(world: World) -> None:
    place = next(row for row, answer in enumerate(world.rendered) if answer["channels"]["email"]["permitted"])
    item = {name: value for name, value in world.items[place].items() if name != "cases"}
    (answer,) = world.ask([item])
    assert not any(channel["permitted"] for channel in answer["channels"].values())
    assert ["adverse_event_open", "unknown", "cases"] in answer["next_best_action"]["because"]


def test_a_replay_grants_no_permit_and_says_so(world: World) -> None:
    for answer in world.ask(world.items[:40], now=AS_OF + timedelta(seconds=1), as_of=AS_OF):
        assert not permitted(answer)
        assert answer["next_best_action"]["asset_id"] is None
        for found in answer["channels"].values():
            assert found["blocks"][0]["reason"] == "REPLAY_GRANTS_NO_PERMIT"


def test_what_became_known_later_changes_nothing(world: World) -> None:
    later = AS_OF + timedelta(hours=1)
    for item, answer in list(zip(world.items, world.rendered, strict=True))[:20]:
        lead_id = answer["lead_id"]
        event = {"event_id": "late", "lead_id": lead_id, "occurred_at": AS_OF - timedelta(days=1), "recorded_at": later}
        opt_out = {"lead_id": lead_id, "reason": "opt_out", "since_at": later, "recorded_at": later}
        more = {**item, "events": [*item["events"], event], "suppressions": [*item["suppressions"], opt_out]}
        assert world.ask([more])[0] == world.ask([item])[0]


def test_a_booked_meeting_ends_automation_and_an_adverse_event_goes_to_pharmacovigilance(world: World) -> None:
    for kind, queue in (("meeting", "account_owner"), ("adverse_event", "pharmacovigilance")):
        item = next(item for item in world.items if not item["cases"])
        case = {
            "case_id": "c1", "lead_id": item["lead"]["lead_id"], "kind": kind, "opened_at": AS_OF - timedelta(days=1)
        }  # fmt: skip
        answer = world.ask([{**item, "cases": [case]}])[0]
        assert answer["route"]["queue"] == queue
        assert answer["next_best_action"]["asset_id"] is None


def test_content_is_never_deeper_than_the_stage_and_education_is_never_promotion(world: World) -> None:
    actions = world.settings.actions
    assets = {asset.asset_id: asset for asset in world.decider.assets}
    purposes = {segment.id: segment.purpose for segment in world.settings.segments}
    chosen = 0
    for answer in world.rendered:
        asset = assets.get(answer["next_best_action"]["asset_id"])
        if asset is None:
            continue
        chosen += 1
        stage = actions.stages.index(actions.stage_by_band[answer["readiness"]["band"]])
        assert (
            asset.intent == "medical_information" or actions.stages.index(actions.stage_by_depth[asset.depth]) <= stage
        )
        primary = next(segment["id"] for segment in answer["segments"] if segment["primary"])
        assert not (purposes[primary] == "medical_education" and asset.intent == "promotional")
        assert (answer["next_best_action"]["channel"], asset.asset_id) in permitted(answer)
    assert chosen > 20


def test_a_table_the_world_does_not_have_is_unknown_in_batch_too(world: World) -> None:
    without: Tables = replace(world.tables, suppressions={})
    assert not world.decider.decide(without, AS_OF).rulings.permitted[:, 0].any()
