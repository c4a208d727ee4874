"""Opt-outs of a topic or product: they stop that, whatever nobody knows the topic of, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.intake.sources import read_tables
from features.inventory import NONE, Inventory
from features.records import Account, Consent, Lead, Suppression
from features.tables import NO, YES, known_at
from policy.book import Book
from policy.masks import has
from policy.rulings import rule

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHANNELS = ("email", "sms", "phone", "rep_visit", "mail", "event", "ads")
TOPICS = ("pricing", "dosing", "workflow")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def inventory() -> Inventory:
    return Inventory.of_settings(shipped())


@cache
def builder() -> FactBuilder:
    return FactBuilder.of(shipped())


def stop(topic: str | None = None, **rest: Any) -> Suppression:
    told: dict[str, Any] = {"lead_id": "L1", "since_at": NOW - timedelta(days=1), "reason": "opt_out", **rest}
    return Suppression(topic=topic, **told)


def facts(*stops: Suppression, leads: tuple[str, ...] = ("L1",), fresh: bool = True) -> Facts:
    tables = encode_records(
        [Lead(lead_id=lead_id, account_id="A1") for lead_id in leads],
        [Account(account_id="A1", parent_account_id="S1"), Account(account_id="S1")],
        suppressions=list(stops),
        vocabularies=shipped().vocabularies,
        suppressions_complete_as_of=NOW if fresh else None,
    )
    return facts_of(known_at(tables, NOW), builder(), inventory())


def about(found: Facts, lead: int = 0) -> dict[str, int]:
    codes = found.columns["asset_topic_opt_out"][lead, :, 0].tolist()
    return dict(zip(found.assets, codes, strict=True))


def channels(found: Facts, fact: str = "topic_opt_out", lead: int = 0) -> dict[str, int]:
    return dict(zip(CHANNELS, found.columns[fact][lead, 0].tolist(), strict=True))


@cache
def book() -> Book:
    return Book.load(shipped(), date(2026, 11, 23))


def topic_of(asset_id: str) -> str | None:
    return next((asset.topic for asset in shipped().assets if asset.asset_id == asset_id), None)


def stopped(found: Facts, lead: int = 0) -> set[tuple[str, str]]:
    """Pairs of asset and channel that GEN-01-TOPIC stops."""
    bit = next(bit for bit, one in enumerate(book().rules) if one.id == "GEN-01-TOPIC")
    fires = has(rule(book(), found).blocks[lead], bit)
    return {(found.assets[a], CHANNELS[c]) for a, c in np.argwhere(fires)}


def test_nobody_opted_out_of_a_topic_and_the_list_is_fresh_so_nothing_is_stopped() -> None:
    found = facts()
    assert set(about(found).values()) == {NO} and set(channels(found).values()) == {NO}
    assert stopped(found) == set()
    stale = facts(fresh=False)
    assert set(about(stale).values()) == {0} and set(channels(stale).values()) == {0}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(TOPICS), st.sampled_from((None, *CHANNELS)), st.sampled_from(("L1", "A1", "S1")))
def test_an_opt_out_of_a_topic_stops_that_topic_and_never_what_is_surely_about_another(
    topic: str, channel: str | None, of: str
) -> None:
    whom = {"lead_id": of} if of == "L1" else {"lead_id": None, "account_id": of}
    found = facts(stop(topic, channel=channel, **whom))
    here = CHANNELS if channel is None else (channel,)
    for asset_id in found.assets:
        own = topic_of(asset_id)
        expected = set() if own not in (topic, None) else {(asset_id, c) for c in here}
        assert {pair for pair in stopped(found) if pair[0] == asset_id} == expected
    assert channels(found, "opt_out") == dict.fromkeys(CHANNELS, NO)


def test_a_message_without_content_may_be_about_it() -> None:
    found = facts(stop("pricing"))
    assert about(found)[NONE] == 0
    assert {(NONE, "phone"), (NONE, "rep_visit")} <= stopped(found)


@pytest.mark.parametrize(
    "limits",
    [{"topic": "astrology"}, {"product": "perpetuum"}, {"topic": "pricing", "product": "?"}, {"topic": " astro "}],
)
def test_a_topic_or_product_that_cannot_be_read_is_an_opt_out_of_everything(limits: dict[str, str]) -> None:
    found = facts(stop(**limits))
    assert channels(found, "opt_out") == dict.fromkeys(CHANNELS, YES)
    assert channels(found) == dict.fromkeys(CHANNELS, NO)


@pytest.mark.parametrize("reason", ["no_contact", "hard_bounce", "do_not_call", "erasure", "opt_out_pending", "?"])
def test_a_topic_limits_no_other_reason(reason: str) -> None:
    limited, whole = facts(stop("pricing", reason=reason)), facts(stop(reason=reason))
    for name in ("opt_out", "hard_bounce", "do_not_call", "no_contact", "erased_or_restricted", "opt_out_pending"):
        assert np.array_equal(limited.columns[name], whole.columns[name])
    assert channels(limited) == dict.fromkeys(CHANNELS, NO)


def test_a_blank_topic_is_none_so_the_opt_out_is_of_everything() -> None:
    assert channels(facts(stop(" ")), "opt_out") == dict.fromkeys(CHANNELS, YES)


def test_of_a_topic_and_a_product_content_is_stopped_that_is_not_surely_outside_of_either() -> None:
    asset = next(asset for asset in shipped().assets if asset.product and asset.topic)
    both = about(facts(stop(asset.topic, product=asset.product)))
    for one in shipped().assets:
        of_topic = one.topic is None or one.topic == asset.topic
        of_product = one.product is None or one.product == asset.product
        sure = one.topic == asset.topic and one.product == asset.product
        assert both[one.asset_id] == (YES if sure else 0 if of_topic and of_product else NO)


def test_a_product_alone_stops_what_is_of_it_and_what_names_none() -> None:
    product = next(asset.product for asset in shipped().assets if asset.product)
    found = about(facts(stop(product=product)))
    for one in shipped().assets:
        assert found[one.asset_id] == (YES if one.product == product else 0 if one.product is None else NO)


def test_an_opt_out_of_a_topic_ends_and_is_not_of_other_people() -> None:
    over = facts(stop("pricing", until_at=NOW))
    assert set(about(over).values()) == {NO} and stopped(over) == set()
    later = facts(stop("pricing", since_at=NOW + timedelta(hours=1)))
    assert stopped(later) == set()
    two = facts(stop("pricing", lead_id="L2"), leads=("L1", "L2"))
    assert stopped(two, 0) == set() and stopped(two, 1)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(("L1", "L2", "L3")), st.sampled_from(TOPICS)), max_size=6))
def test_each_of_many_leads_has_the_facts_that_it_has_alone(rows: list[tuple[str, str]]) -> None:
    leads = ("L1", "L2", "L3")
    together = facts(*(stop(topic, lead_id=lead) for lead, topic in rows), leads=leads)
    for place, lead_id in enumerate(leads):
        alone = facts(*(stop(topic, lead_id=lead) for lead, topic in rows if lead == lead_id), leads=(lead_id,))
        assert about(together, place) == about(alone)
        assert alone.one is not None
        assert list(alone.one["asset_topic_opt_out"]) == list(about(alone).values())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from((*TOPICS, None, "?")), max_size=4), st.sampled_from((*TOPICS, None, "?")))
def test_one_more_opt_out_never_allows_more(before: list[str | None], more: str | None) -> None:
    first, second = facts(*map(stop, before)), facts(*map(stop, (*before, more)))
    rank = np.array([1, 0, 2])  # no, unknown, yes
    for name in ("opt_out", "topic_opt_out", "asset_topic_opt_out"):
        assert (rank[second.columns[name]] >= rank[first.columns[name]]).all()


def test_a_file_of_stops_is_read_as_the_same_rows_of_a_request(tmp_path: Path) -> None:
    rows = [
        {"lead_id": f"L{n}", "topic": topic, "product": product, "reason": "opt_out", "since_at": NOW}
        for n, (topic, product) in enumerate(
            [
                ("pricing", None),
                ("astrology", None),
                (None, "implant"),
                ("dosing", "?"),
                (None, None),
                (" ", "implants"),
            ]
        )
    ]
    pq.write_table(pa.Table.from_pylist([{"lead_id": row["lead_id"]} for row in rows]), tmp_path / "leads.parquet")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "suppressions.parquet")
    files = {table: tmp_path / f"{table}.parquet" for table in ("leads", "suppressions")}
    read = read_tables(files, shipped(), suppressions_complete_as_of=NOW).tables
    given = encode_records(
        [Lead(lead_id=str(row["lead_id"])) for row in rows],
        suppressions=[Suppression(**row) for row in rows],
        vocabularies=shipped().vocabularies,
        suppressions_complete_as_of=NOW,
    )
    batch, online = (facts_of(known_at(tables, NOW), builder(), inventory()) for tables in (read, given))
    place = [list(read.lead_ids).index(lead_id) for lead_id in given.lead_ids]
    for name in ("opt_out", "topic_opt_out", "asset_topic_opt_out"):
        assert np.array_equal(batch.columns[name][place], online.columns[name])
    whole = online.columns["opt_out"][:, 0, 0].tolist()
    assert whole == [NO, YES, NO, YES, YES, NO]


@pytest.mark.parametrize("product", [None, "implant", "perpetuum"])
def test_a_withdrawal_limited_to_a_product_counts_for_everything_and_a_grant_for_nothing(product: str | None) -> None:
    def consent(status: str, product: str | None, days: int) -> Consent:
        return Consent(
            lead_id="L1", channel="email", purpose="promotion", status=status, product=product,
            captured_at=NOW - timedelta(days=days), proof="form",
        )  # fmt: skip

    def read(*rows: Consent) -> dict[str, int]:
        tables = encode_records([Lead(lead_id="L1")], consents=list(rows), vocabularies=shipped().vocabularies)
        found = facts_of(known_at(tables, NOW), builder(), inventory())
        return {name: int(found.columns[name][0, 0, 0]) for name in ("consent", "consent_withdrawn")}

    code = {value: n for n, value in enumerate(shipped().vocabularies["consent_status"].values, start=1)}
    withdrawn = read(consent("granted", None, 9), consent("withdrawn", product, 3))
    assert withdrawn == {"consent": code["withdrawn"], "consent_withdrawn": YES}
    granted = read(consent("granted", product, 3))
    assert granted == {"consent": code["granted"] if product is None else 0, "consent_withdrawn": NO}
    # Nor does such a grant undo a withdrawal.
    undone = read(consent("withdrawn", None, 9), consent("granted", product, 3))
    assert undone["consent_withdrawn"] == (NO if product is None else YES)
