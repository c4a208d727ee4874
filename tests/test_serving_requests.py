"""A request made from files says what the files say: online and batch agree on a messy world made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import BundleRefused, InputInvalid
from configs.settings import load_settings
from features.engagement import EngagementPlan, measure
from features.facts import FactBuilder
from features.intake.sources import find_files, read_tables
from features.pipeline import fit_spec
from features.view import view_at
from serving.api import parse
from serving.decide import Decider
from serving.online import OnlineAnswerer
from serving.render import render
from serving.requests import request_of

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
EARLIER = datetime(2026, 5, 1, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LEADS = ("plain", "orphan", "parent_stop", "site_stop", "two_versions", "complaint", "no_account")


@pytest.fixture(scope="module")
def world(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Hand-made tables, each lead's request, and both answers; the bundle is the small world's."""
    folder = tmp_path_factory.mktemp("messy")
    hcp = {
        "audience": "hcp", "role": "physician", "specialty": "oncology", "country": "US", "verified_hcp": True,
        "adult": True, "created_at": LONG_AGO, "verified_at": EARLIER, "recorded_at": LONG_AGO,
        "source": "webinar", "licence_status": "active", "role_address": False, "notice_at": LONG_AGO,
    }  # fmt: skip
    accounts = dict.fromkeys(LEADS, "site") | {"orphan": "ghost", "parent_stop": "below", "site_stop": "stopped"}
    leads = [{"lead_id": name, "account_id": accounts[name], **hcp} for name in LEADS]
    leads[-1]["account_id"] = None
    leads.append({**leads[4], "recorded_at": EARLIER, "role": "procurement", "audience": "buyer"})
    sites = [("site", None), ("below", "above"), ("above", None), ("stopped", None)]
    stop = {"reason": "opt_out", "since_at": EARLIER, "recorded_at": EARLIER, "channel": None}
    tables: dict[str, list[dict[str, Any]]] = {
        "leads": leads,
        "accounts": [
            {"account_id": a, "parent_account_id": p, "organization_type": "hospital", "recorded_at": LONG_AGO}
            for a, p in sites
        ],
        "events": [
            {"event_id": f"e{k}", "lead_id": name, "kind": "webinar_attend", "occurred_at": EARLIER,
             "recorded_at": EARLIER}
            for k, name in enumerate(LEADS)
        ],
        "touches": [{"touch_id": "t", "lead_id": "plain", "channel": "email", "sent_at": LONG_AGO}],
        "consents": [{"lead_id": "plain", "channel": "mail", "status": "granted", "captured_at": EARLIER}],
        "suppressions": [{"account_id": a, **stop} for a in ("ghost", "above", "stopped")],
        "cases": [{"case_id": "c", "lead_id": "complaint", "kind": "complaint", "opened_at": EARLIER}],
        "memberships": [
            {"lead_id": "plain", "segment_id": "unsegmented", "version": 1, "entered_at": EARLIER, "entry": 3}
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    complete = f'"suppressions_complete_as_of": "{AS_OF.isoformat()}"'
    (folder / "sample.json").write_text(f'{{"as_of": "{AS_OF.isoformat()}", {complete}}}', encoding="utf-8")
    settings, files = load_settings(), find_files(folder)
    decider = Decider.load(small_world / "bundle", settings, on=AS_OF.date())
    read = read_tables(files, settings, assets=settings.assets, as_of=AS_OF).tables
    decided = decider.decide(read, AS_OF)
    batch = {str(lead): render(decided, row) for row, lead in enumerate(decided.known.lead_ids.tolist())}
    bodies = {name: request_of(files, name, settings, AS_OF) for name in LEADS}
    return {"batch": batch, "bodies": bodies, "decider": decider, "files": files, "tables": read}


def ask(world: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    request = parse(msgspec.json.encode(body), max_leads=5)
    assert not request.rejected
    (decision,), _, rejected = OnlineAnswerer(world["decider"], b"k" * 32).answer(request, AS_OF)
    assert not rejected
    decision.pop("audit_id")
    return decision


def permitted(answer: dict[str, Any]) -> set[str]:
    return {channel for channel, ruling in answer["channels"].items() if ruling["permitted"]}


@pytest.mark.parametrize("lead_id", LEADS)
def test_the_request_made_from_files_is_answered_as_in_batch(world: dict[str, Any], lead_id: str) -> None:
    assert ask(world, world["bodies"][lead_id]) == world["batch"][lead_id]


def test_a_request_made_from_files_tells_what_was_true_before(world: dict[str, Any]) -> None:
    (segment,) = ask(world, world["bodies"]["plain"])["segments"]
    assert (segment["entered_at"], segment["entry"]) == ("2026-05-01T00:00:00Z", 3)
    (segment,) = ask(world, world["bodies"]["orphan"])["segments"]
    assert (segment["entered_at"], segment["entry"]) == ("2026-06-30T00:00:00Z", 1)


def test_an_opt_out_of_the_account_its_parent_or_an_unknown_account_stops_its_leads(world: dict[str, Any]) -> None:
    assert "email" in permitted(world["batch"]["plain"])
    for lead_id in ("orphan", "parent_stop", "site_stop"):
        assert permitted(ask(world, world["bodies"][lead_id])) == set()


def test_an_open_complaint_goes_to_customer_care(world: dict[str, Any]) -> None:
    assert ask(world, world["bodies"]["complaint"])["route"]["queue"].startswith("customer_care")


def test_assets_that_came_with_the_request_leave_a_trace_in_the_versions(world: dict[str, Any]) -> None:
    body = world["bodies"]["plain"]
    asset = msgspec.json.decode(world["decider"].assets[0].model_dump_json())
    own, sent = ask(world, body)["versions"]["assets"], ask(world, {**body, "assets": [asset]})["versions"]["assets"]
    assert sent.startswith("request:")
    assert own != sent and not own.startswith("request:")


def test_where_nothing_suits_the_answer_says_so_and_names_no_other_channels_unknowns(world: dict[str, Any]) -> None:
    body = world["bodies"]["plain"]
    draft = msgspec.json.decode(world["decider"].assets[0].model_dump_json()) | {"approval": None}
    answer = ask(world, {**body, "assets": [draft]})
    assert permitted(answer) and answer["next_best_action"]["action"] == "none", answer["next_best_action"]
    assert answer["next_best_action"]["because"][0] == ["suitable_content", "known", "none"]


def test_an_attribute_the_bundle_never_learned_from_is_rejected_by_name(world: dict[str, Any]) -> None:
    (item,) = world["bodies"]["plain"]["leads"]
    body = {**world["bodies"]["plain"], "leads": [{**item, "lead": {**item["lead"], "attributes": {"Tags": "hot"}}}]}
    request = parse(msgspec.json.encode(body), max_leads=5)
    _, _, rejected = OnlineAnswerer(world["decider"], b"k" * 32).answer(request, AS_OF)
    assert [r.path for r in rejected] == ["$.leads[0].lead.attributes.Tags"]


def test_a_bundle_that_learned_from_events_refuses_a_flat_export(world: dict[str, Any]) -> None:
    flat = replace(world["tables"], events={}, attributes={"Tags": pa.array(["a"] * 7).to_numpy(zero_copy_only=False)})
    with pytest.raises(BundleRefused, match="learned from event tables"):
        world["decider"].refuse_unfit(flat)
    world["decider"].refuse_unfit(world["tables"])


def test_a_lead_that_is_not_there_is_one_clear_error(world: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match="expected a lead known by 2026-06-30"):
        request_of(world["files"], "nobody", world["decider"].settings, AS_OF)


def test_colleagues_are_summed_up_by_the_evidence_of_the_bundle_that_answers(
    world: dict[str, Any], tmp_path: Path
) -> None:
    """A domain whose gateway the bundle learned weighs a colleague's clicks online as it does in batch."""
    known = {"country": "US", "audience": "buyer", "account_id": "site", "recorded_at": LONG_AGO}
    clicks = [
        {"event_id": f"e{k}", "lead_id": "behind", "kind": "email_click", "occurred_at": EARLIER.replace(day=k),
         "recorded_at": EARLIER.replace(day=k)}
        for k in range(2, 22)
    ]  # fmt: skip
    tables: dict[str, list[dict[str, Any]]] = {
        "leads": [
            {"lead_id": "asker", "mail_domain": None, **known},
            {"lead_id": "behind", "mail_domain": "gateway.example", **known},
        ],
        "accounts": [{"account_id": "site", "recorded_at": LONG_AGO}],
        "events": clicks,
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    settings, files = load_settings(), find_files(tmp_path)
    spec = replace(fit_spec(settings), mail_domains={"gateway.example": -8.0})
    view = FactBuilder.of(settings).weighing_as(spec, settings.vocabularies).view
    batch = view_at(read_tables(files, settings, assets=settings.assets, as_of=AS_OF).tables, AS_OF, view)
    plan = EngagementPlan.of(settings.features, settings.vocabularies)
    in_batch = int(measure(batch, plan).of("event_count_90d")[batch.lead_ids.tolist().index("behind")])

    def clicks_in(body: dict[str, Any]) -> int:
        (colleague,) = body["leads"][0]["colleagues"]
        return int(colleague["event_count_90d"])

    assert clicks_in(request_of(files, "asker", settings, AS_OF, view)) == in_batch == 0
    assert clicks_in(request_of(files, "asker", settings, AS_OF)) > 0
