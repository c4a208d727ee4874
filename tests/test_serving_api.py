"""The edge: strict parsing, item-by-item rejection, and messages that echo nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.api import RequestRefused, parse

LEAD = {"lead": {"lead_id": "L1"}}
EVENT = {
    "event_id": "e1",
    "lead_id": "L1",
    "occurred_at": "2026-06-01T10:00:00Z",
    "recorded_at": "2026-06-01T10:00:01Z",
}


def body(*leads: object, **rest: object) -> bytes:
    return json.dumps({"leads": list(leads), **rest}).encode()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"", "$"),
        (b"nope", "$"),
        (b"\xff\xfe", "$"),
        (b"[]", "$"),
        (b"{}", "$"),
        (b'{"leads":[]}', "$.leads"),
        (b'{"leads":[{"lead":{"lead_id":"L1","attributes":{"x":NaN}}}]}', "$"),
        (b'{"leads":[{"lead":{"lead_id":"L1","attributes":{"x":Infinity}}}]}', "$"),
        (b'{"leads":[{"lead":{"lead_id":"L1","attributes":{"x":1e999}}}]}', "$"),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"as_of":"2026-06-30"}', "$.as_of"),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"as_of":"2026-06-30T00:00:00"}', "$.as_of"),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"force":true}', "$.force"),
        (b'{"leads":[{"lead":{"lead_id":"L1"},"opt_out":true}]}', "$.leads[0].opt_out"),
        (b'{"leads":[{"lead":{"lead_id":"L1","email":"a@b.c"}}]}', "$.leads[0].lead.email"),
        (b'{"leads":[{"lead":{"lead_id":7}}]}', "$.leads[0].lead.lead_id"),
        (b'{"leads":[{"lead":{"lead_id":""}}]}', "$.leads[0].lead.lead_id"),
        (b'{"leads":[{"lead":{"lead_id":"L1","adult":1}}]}', "$.leads[0].lead.adult"),
        (b'{"leads":[{"lead":{"lead_id":"L1","adult":"yes"}}]}', "$.leads[0].lead.adult"),
        (b'{"leads":[{"lead":{"lead_id":"L1","lead_id":"L2"}}]}', "lead_id"),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"leads" :[]}', "leads"),
        (b'{"leads":[{"lead":{"lead_id":"L1","title":"\\u0022:","adult":true,"adult":true}}]}', "adult"),
        (b'{"leads":[{"lead":{"lead_id":"L1","adult":null,"adult":true}}]}', "adult"),
        (b'{"leads":[{"lead":{"lead_id":"L1","attributes":{"x":1,"x":2}}}]}', "x"),
        (b'{"leads":[{"lead":{"lead_id":"L1"},"colleagues":[{"lead_id":"L2","role":"a","role":"b"}]}]}', "role"),
        (b'{"leads":[{"lead":{"lead_id":"L1"}}],"assets":[{"x":{"y":1,"y":2}}]}', "y"),
        (b'{"leads":' + b"[" * 100_000, "$"),
    ],
)
def test_what_is_not_strictly_right_is_refused_and_the_path_is_named(text: bytes, path: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(text, max_leads=500)
    assert refused.value.status == 422
    assert refused.value.errors[0]["path"] == path


@pytest.mark.parametrize(
    ("section", "row", "path"),
    [
        ("events", {**EVENT, "lead_id": "L2"}, "events[0].lead_id"),
        ("touches", {"touch_id": "t", "lead_id": "L2", "sent_at": "2026-06-01T00:00:00Z"}, "touches[0].lead_id"),
        ("consents", {"lead_id": "L2", "captured_at": "2026-06-01T00:00:00Z"}, "consents[0].lead_id"),
        ("suppressions", {"since_at": "2026-06-01T00:00:00Z"}, "suppressions[0].lead_id"),
        ("suppressions", {"lead_id": "L2", "since_at": "2026-06-01T00:00:00Z"}, "suppressions[0].lead_id"),
        ("suppressions", {"account_id": "A2", "since_at": "2026-06-01T00:00:00Z"}, "suppressions[0].account_id"),
        ("cases", {"case_id": "c", "lead_id": "L2", "opened_at": "2026-06-01T00:00:00Z"}, "cases[0].lead_id"),
        ("colleagues", {"lead_id": "L1"}, "colleagues[0].lead_id"),
    ],
)
def test_a_row_that_belongs_to_somebody_else_rejects_its_lead(section: str, row: object, path: str) -> None:
    request = parse(body({"lead": {"lead_id": "L0"}}, {**LEAD, section: [row]}), max_leads=500)
    assert [r.reason for r in request.rejected] == ["ID_MISMATCH"]
    assert request.rejected[0].path == f"$.leads[1].{path}"
    assert [item.lead.lead_id for item in request.leads] == ["L0"]


def test_an_account_that_is_not_the_leads_rejects_it() -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(body({"lead": {"lead_id": "L1", "account_id": "A1"}, "account": {"account_id": "A2"}}), max_leads=9)
    assert refused.value.errors[0]["path"] == "$.leads[0].account.account_id"


def test_a_bad_lead_is_rejected_and_the_others_are_answered() -> None:
    request = parse(body(LEAD, {"lead": {"lead_id": "L2", "adult": 3}}, {"lead": {"lead_id": "L3"}}), max_leads=500)
    assert request.places == (0, 2)
    assert [(r.index, r.reason, r.lead_id) for r in request.rejected] == [(1, "INVALID", "L2")]


def test_a_lead_given_twice_is_answered_once() -> None:
    request = parse(body(LEAD, LEAD), max_leads=500)
    assert request.places == (0,)
    assert request.rejected[0].reason == "DUPLICATE_LEAD"


def test_more_than_the_limit_is_refused() -> None:
    leads = [{"lead": {"lead_id": f"L{index}"}} for index in range(3)]
    with pytest.raises(RequestRefused, match="at most 2"):
        parse(body(*leads), max_leads=2)


def test_an_absent_section_is_not_an_empty_one() -> None:
    absent, empty = parse(body(LEAD, {"lead": {"lead_id": "L2"}, "cases": []}), max_leads=500).leads
    assert absent.cases is None
    assert empty.cases == []


def test_an_asset_that_is_not_declared_right_is_refused_by_its_path() -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(body(LEAD, assets=[{"asset_id": "../etc"}]), max_leads=500)
    assert all(error["path"].startswith("$.assets.0.") for error in refused.value.errors)


@settings(max_examples=50, deadline=None)
@given(value=st.one_of(st.integers(), st.booleans(), st.lists(st.integers(), max_size=3), st.text(min_size=201)))
def test_no_message_holds_the_value_that_was_sent(value: object) -> None:
    marker = "Zz-marker-7391"
    sent = {"lead": {"lead_id": "L1", "title": [marker, value]}, "events": [{"event_id": marker}]}
    with pytest.raises(RequestRefused) as refused:
        parse(body(sent), max_leads=500)
    assert marker not in str(refused.value) + json.dumps(refused.value.errors)


@settings(max_examples=50, deadline=None)
@given(title=st.text(max_size=50))
def test_a_text_that_looks_like_a_key_is_not_mistaken_for_one(title: str) -> None:
    for text in (title, f":{title}", f'":{title}', f'"{title}":'):
        sent = {"leads": [{"lead": {"lead_id": "L1", "title": text}}]}
        for separators in ((",", ":"), (", ", ": "), (" , ", " : ")):
            try:
                raw = json.dumps(sent, ensure_ascii=False, separators=separators).encode()
            except UnicodeEncodeError:
                continue
            assert parse(raw, max_leads=1).leads[0].lead.title == text


@settings(max_examples=50, deadline=None)
@given(
    title=st.none() | st.text(max_size=20),
    adult=st.none() | st.booleans(),
    kinds=st.none() | st.lists(st.none() | st.text(max_size=5), max_size=3),
)
def test_the_quick_reading_gives_what_the_exact_one_gives(
    title: str | None, adult: bool | None, kinds: list[str | None] | None
) -> None:
    lead = {"lead_id": "L1", "title": title, "adult": adult}
    events = None if kinds is None else [{**EVENT, "kind": kind} for kind in kinds]
    quick = body({"lead": {key: value for key, value in lead.items() if value is not None}, "events": events})
    # An escape, and a null where the default would do, both leave the quick path.
    exact = body({"lead": lead, "events": events}).replace(b'"L1"', b'"\\u004c1"')
    assert parse(quick, max_leads=1) == parse(exact, max_leads=1)
