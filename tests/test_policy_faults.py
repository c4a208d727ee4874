"""Absent, null and mistyped facts, as other engines were tried with them: each blocks or is rejected, none permits.

Policy of the table: allow, unless `opt_out`, unless `touches >= 3`. The lead below passes on four channels while its
record is clean; then one thing is taken away, made null, or given the wrong type, by each way that data come in.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import serving.explain as explaining
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.blocks import unpacked
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.sources import find_files, read_tables
from features.inventory import Inventory
from features.view import view_at
from models.segments.map import SegmentMap
from policy.answers import answers
from policy.book import Book
from policy.rulings import Rulings, rule
from serving.api import RequestRefused
from serving.explain import explain

NOW = datetime(2026, 6, 30, tzinfo=UTC)
WHEN, FEED = "2026-06-01T00:00:00Z", "2026-06-29T20:00:00Z"
OPEN = {"email", "phone", "rep_visit", "mail"}
LEAD: dict[str, Any] = {
    "lead_id": "L1", "country": "US", "region": "NY", "audience": "hcp", "verified_hcp": True, "adult": True,
    "specialty": "oncology", "licence_status": "active", "source": "webinar", "role_address": False,
    "recorded_at": WHEN, "verified_at": WHEN, "obtained_at": WHEN, "notice_at": WHEN,
    "screened_at": "2026-06-20T00:00:00Z",
}  # fmt: skip
STOP = {"lead_id": "L1", "since_at": WHEN, "recorded_at": WHEN, "reason": "opt_out"}
TOUCH = {
    "touch_id": "t1",
    "lead_id": "L1",
    "sent_at": "2026-06-28T00:00:00Z",
    "channel": "email",
    "intent": "promotional",
}


class _Absent:
    # The id of a test must be the same in every worker, so no address of an object may stand in it.
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
NAN = float("nan")


@cache
def shipped() -> Settings:
    return load_settings()


@pytest.fixture(autouse=True, scope="module")
def loaded_once() -> Iterator[None]:
    """`explain` compiles book, segments and facts for each call, as a command does; a hundred calls share them here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, maker in (("Book", "load"), ("FactBuilder", "of"), ("SegmentMap", "load")):
            made: dict[Any, Any] = {}
            original = getattr(getattr(explaining, name), maker)

            def kept(settings: Settings, *rest: Any, _made: Any = made, _original: Any = original) -> Any:
                key = tuple(one if isinstance(one, date | str) else "" for one in rest)
                return _made.setdefault(key, None) or _made.update({key: _original(settings, *rest)}) or _made[key]

            patch.setattr(explaining, name, SimpleNamespace(**{maker: kept}))
        yield


# --- through the body of a request ------------------------------------------------------------------------------------


def body() -> dict[str, Any]:
    item = {"lead": dict(LEAD), "events": [], "suppressions": [], "suppressions_complete_as_of": FEED}
    return {"as_of": NOW.isoformat(), "leads": [item | {"consents": [], "touches": [], "cases": []}]}


def through_body(asked: dict[str, Any]) -> set[str]:
    """Channels on which something passes; nothing passes for a body or a lead that is refused."""
    try:
        found = explain(json.dumps(asked).encode(), shipped(), None, NOW)
    except RequestRefused as refused:
        assert refused.status in (400, 413, 422)
        return set()
    return {channel["channel"] for lead in found["leads"] for channel in lead["channels"] if channel["permitted"]}


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    asked = body()
    place = asked["leads"][0]
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return asked


def test_a_clean_record_passes_so_that_the_faults_below_mean_something() -> None:
    assert through_body(body()) == OPEN


# The seven columns of the table, and what else a caller may get wrong about the same two facts.
OPT_OUT = [
    (("suppressions",), ABSENT), (("suppressions",), None), (("suppressions",), "true"), (("suppressions",), 1),
    (("suppressions",), True), (("suppressions",), NAN), (("suppressions",), {}), (("suppressions",), [None]),
    (("suppressions",), ["true"]), (("suppressions",), [{}]), (("suppressions",), [{"lead_id": "L1"}]),
    (("suppressions",), [STOP]), (("suppressions",), [STOP | {"reason": None}]),
    (("suppressions",), [STOP | {"reason": "true"}]), (("suppressions",), [STOP | {"reason": 1}]),
    (("suppressions",), [STOP | {"channel": "carrier pigeon"}]), (("suppressions",), [STOP | {"channel": None}]),
    (("suppressions",), [STOP | {"since_at": None}]), (("suppressions",), [STOP | {"since_at": "9"}]),
    (("suppressions_complete_as_of",), ABSENT), (("suppressions_complete_as_of",), None),
    (("suppressions_complete_as_of",), "true"), (("suppressions_complete_as_of",), 1),
    (("suppressions_complete_as_of",), NAN), (("suppressions_complete_as_of",), "2026-06-01T00:00:00Z"),
    (("suppressions_complete_as_of",), "2030-01-01T00:00:00Z"),
]  # fmt: skip
MANY = [TOUCH | {"touch_id": f"t{n}"} for n in range(3)]
TOUCHES = [
    (("touches",), ABSENT), (("touches",), None), (("touches",), "9"), (("touches",), 9), (("touches",), NAN),
    (("touches",), "true"), (("touches",), MANY), (("touches",), [None]), (("touches",), [NAN]),
    (("touches",), [one | {"intent": None} for one in MANY]), (("touches",), [one | {"channel": None} for one in MANY]),
    (("touches",), [one | {"sent_at": "9"} for one in MANY]), (("touches",), [one | {"sent_at": NAN} for one in MANY]),
]  # fmt: skip
PERSON = [
    ((("lead", name)), value)
    for name, values in {
        "country": (ABSENT, None, "true", 1, NAN, "Atlantis"),
        "audience": (ABSENT, None, "true", 1, NAN, "hcp "[::-1]),
        "source": (ABSENT, None, "true", 1, NAN, "web_scrape"),
    }.items()
    for value in values
]


@pytest.mark.parametrize(("path", "value"), [*OPT_OUT, *PERSON], ids=str)
def test_a_fault_in_the_body_about_opt_outs_place_or_person_blocks_everything(
    path: tuple[str, ...], value: Any
) -> None:
    assert through_body(changed(path, value)) == set()


@pytest.mark.parametrize(("path", "value"), TOUCHES, ids=str)
def test_a_fault_in_the_body_about_touches_blocks_all_promotion(path: tuple[str, ...], value: Any) -> None:
    asked = changed(path, value)
    try:
        found = explain(json.dumps(asked).encode(), shipped(), None, NOW)
    except RequestRefused:
        return
    promotional = {asset.asset_id for asset in shipped().assets if asset.intent == "promotional"}
    for lead in found["leads"]:
        for channel in lead["channels"]:
            assert not promotional & set(channel["passes"]), channel["channel"]


@settings(max_examples=20, deadline=None)
@given(
    section=st.sampled_from(["suppressions", "consents", "touches", "cases", "suppressions_complete_as_of"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["true", "9", "", "L1"]),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["lead_id", "reason"]), inner, max_size=2)
        ),
        max_leaves=3,
    ).filter(lambda value: value != []),
)
def test_whatever_stands_in_a_section_it_widens_nothing(section: str, value: Any) -> None:
    passed = through_body(changed((section,), value))
    assert passed <= (set() if section.startswith("suppressions") else OPEN)


# --- through tables ---------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, table: pa.Table, form: str) -> None:
    if form == "csv":
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
    else:
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")


def through_tables(folder: Path, tables: dict[str, pa.Table], form: str, feed: datetime | None) -> set[str]:
    """Channels on which something passes for the lead, from files; a file that is refused lets nothing pass."""
    folder.mkdir()
    for name, table in tables.items():
        write(folder, name, table, form)
    book, builder, segment_map, inventory = machinery()
    try:
        found = read_tables(
            find_files(folder), shipped(), assets=shipped().assets, as_of=NOW, suppressions_complete_as_of=feed
        ).tables
    except InputInvalid:
        return set()
    known = view_at(found, NOW, builder.view)
    facts = facts_of(known, builder, inventory)
    told = segment_map.told(facts, segment_map.members(facts, as_of=NOW), inventory, builder, known.as_of_day)
    permitted = rule(book, told).permitted[list(known.lead_ids).index("L1") :][:1]
    return {channel for c, channel in enumerate(book.channels) if permitted[:, :, c].any()}


@cache
def machinery() -> tuple[Book, FactBuilder, SegmentMap, Inventory]:
    known = shipped()
    return (
        Book.load(known, NOW.date()),
        FactBuilder.of(known),
        SegmentMap.load(known, Domain.of(known)),
        Inventory.of_settings(known, known.assets),
    )


def clean_tables() -> dict[str, pa.Table]:
    return {
        "leads": pa.table({name: [value, value] for name, value in LEAD.items()} | {"lead_id": ["L1", "L2"]}),
        "suppressions": one_row(**{**STOP, "lead_id": "L2"}),
        "touches": one_row(**{**TOUCH, "lead_id": "L2", "recorded_at": WHEN}),
        "consents": one_row(lead_id="L2", recorded_at=WHEN, channel="email", captured_at=WHEN, status="granted"),
        "cases": one_row(case_id="c", lead_id="L2", recorded_at=WHEN, opened_at=WHEN, kind="meeting"),
        "events": one_row(event_id="e", lead_id="L2", recorded_at=WHEN, occurred_at=WHEN, kind="page_view"),
    }


def one_row(**values: Any) -> pa.Table:
    return pa.table({name: [value] for name, value in values.items()})


FEED_AT = datetime(2026, 6, 29, 20, tzinfo=UTC)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_clean_record_passes_from_tables_too(tmp_path: Path, form: str) -> None:
    assert through_tables(tmp_path / "in", clean_tables(), form, FEED_AT) == OPEN


def stop_with(**values: Any) -> Callable[[dict[str, pa.Table]], None]:
    def change(tables: dict[str, pa.Table]) -> None:
        row = {**STOP, **values}
        tables["suppressions"] = pa.table({name: [value] for name, value in row.items() if value is not ABSENT})

    return change


def without(name: str) -> Callable[[dict[str, pa.Table]], None]:
    return lambda tables: tables.pop(name) and None


def emptied(name: str) -> Callable[[dict[str, pa.Table]], None]:
    def change(tables: dict[str, pa.Table]) -> None:
        tables[name] = tables[name].slice(0, 0)

    return change


IN_TABLES = {
    "no suppressions file": without("suppressions"),
    "an opt-out": stop_with(),
    "its reason is missing": stop_with(reason=ABSENT),
    "its reason is null": stop_with(reason=pa.scalar(None, pa.string())),
    "its reason is the text true": stop_with(reason="true"),
    "its reason is the number 1": stop_with(reason=1),
    "its reason is NaN": stop_with(reason=NAN),
    "its channel is unheard of": stop_with(channel="carrier pigeon"),
    "its time is null": stop_with(since_at=pa.scalar(None, pa.string())),
    "its time is 9": stop_with(since_at="9"),
    "its time is NaN": stop_with(since_at=NAN),
    "its time is missing": stop_with(since_at=ABSENT),
}


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("fault", IN_TABLES)
def test_a_fault_in_the_table_of_opt_outs_blocks_everything(tmp_path: Path, fault: str, form: str) -> None:
    tables = clean_tables()
    IN_TABLES[fault](tables)
    assert through_tables(tmp_path / "in", tables, form, FEED_AT) == set()


@pytest.mark.parametrize("feed", [None, datetime(2026, 6, 1, tzinfo=UTC)])
def test_a_table_of_opt_outs_of_unknown_or_old_age_blocks_everything(tmp_path: Path, feed: datetime | None) -> None:
    assert through_tables(tmp_path / "in", clean_tables(), "csv", feed) == set()


# --- directly as facts ------------------------------------------------------------------------------------------------


@cache
def clean_facts() -> tuple[Book, Facts]:
    """The lead's facts, alone and as arrays."""
    captured: list[tuple[Book, Facts]] = []

    def noting(book: Book, facts: Facts) -> Rulings:
        captured.append((book, facts))
        return rule(book, facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explaining, "rule", noting)
        explain(json.dumps(body()).encode(), shipped(), None, NOW)
    book, facts = captured[0]
    columns = {name: np.array(facts.columns[name]) for name, _, _ in book.inputs}
    return book, Facts(1, facts.assets, columns)


@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("fact", ["opt_out", "touches_7d"])
def test_a_column_of_facts_that_is_absent_or_mistyped_blocks(fact: str, n: int) -> None:
    book, facts = clean_facts()
    columns = {
        name: np.repeat(c, n, axis=0) if book.domain.facts[name].per in ("lead", "channel", "lead_asset") else c
        for name, c in facts.columns.items()
    }
    promotional = facts.columns["asset_intent"][0, :, 0] == book.domain.code("asset_intent", "promotional")
    clean = rule(book, Facts(n, facts.assets, columns)).permitted
    assert clean[:, promotional].any()
    shape = columns[fact].shape
    faults: dict[str, Any] = {
        "absent": ABSENT,
        "null": np.full(shape, None, dtype=object),
        "the text true": np.full(shape, "true"),
        "the text 9": np.full(shape, "9"),
        "true": np.ones(shape, dtype=bool),
        "NaN": np.full(shape, NAN),
        "unknown": np.full(shape, book.domain.unknown(fact), dtype=columns[fact].dtype),
        "of no value": np.full(shape, 255 if fact == "opt_out" else -7, dtype=columns[fact].dtype),
        "flat": np.zeros(n, dtype=columns[fact].dtype),
    }
    for name, column in faults.items():
        given = {**columns, fact: column} if column is not ABSENT else {k: v for k, v in columns.items() if k != fact}
        ruled = rule(book, Facts(n, facts.assets, given))
        assert not ruled.permitted[:, promotional].any(), name
        assert ruled.errors == (name not in ("absent", "unknown", "of no value")), name


@pytest.mark.parametrize("value", [ABSENT, None, "true", "9", NAN, [], {}], ids=str)
@pytest.mark.parametrize("fact", ["opt_out", "touches_7d"])
def test_a_plain_number_that_is_absent_or_mistyped_blocks(fact: str, value: Any) -> None:
    book, facts = clean_facts()
    numbers = {name: unpacked(c, book.domain.facts[name].per) for name, c in facts.columns.items()}
    promotional = [code == book.domain.code("asset_intent", "promotional") for code in numbers["asset_intent"]]

    def may_promote(given: dict[str, Any]) -> bool:
        found = answers(book, given, len(facts.assets))
        return any(answer.allowed for row, asked in zip(found, promotional, strict=True) if asked for answer in row)

    assert may_promote(numbers)
    given = copy.copy(numbers)
    if value is ABSENT:
        del given[fact]
    else:
        given[fact] = [value] * len(book.channels) if fact == "opt_out" else value
    assert not may_promote(given)
    if value is not ABSENT:
        ruled = rule(book, Facts(1, facts.assets, facts.columns, given))
        assert not ruled.permitted[0, promotional].any()


# --- the two traps of other engines ---------------------------------------------------------------------------------


def test_an_answer_that_could_not_be_worked_out_is_never_taken_for_yes() -> None:
    """The trap of cel-expr-python: an error value that is true to Python."""
    book, facts = clean_facts()
    numbers = {name: unpacked(c, book.domain.facts[name].per) for name, c in facts.columns.items()}
    broken = answers(book, {**numbers, "jurisdiction": object()}, len(facts.assets))
    for answer in (one for row in broken for one in row):
        assert answer.allowed is False
        assert answer.rules == ("EVALUATION_ERROR",)
        assert not answer.permits


@settings(max_examples=10, deadline=None)
@given(value=st.sampled_from(["9", "3", "", "zero", NAN, float("inf"), -0.5, None]))
def test_a_comparison_of_the_wrong_type_never_makes_a_rule_undefined(value: Any) -> None:
    """The trap of Rego: `"9" >= 3` is undefined there, so the rule that denies falls away."""
    book, facts = clean_facts()
    column = np.full((1, 1, 1), value, dtype=object)
    ruled = rule(book, Facts(1, facts.assets, {**facts.columns, "touches_7d": column}))
    promotional = facts.columns["asset_intent"][0, :, 0] == book.domain.code("asset_intent", "promotional")
    assert not ruled.permitted[0, promotional].any()
    assert ruled.errors == 1
