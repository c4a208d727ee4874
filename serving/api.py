"""What `POST /v1/score` takes and gives: strict request types, item-by-item parsing, answers without an echo.

A wrong envelope is refused as a whole; a wrong lead is rejected by itself and the others are still answered. A message
names the path and what was expected there, never the value that was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import numpy as np
from pydantic import ValidationError

from configs.content import Asset
from configs.errors import LeadwellError
from features.records import (
    Account,
    Case,
    Colleague,
    Consent,
    Event,
    Instant,
    Lead,
    Link,
    PriorMembership,
    Record,
    Suppression,
    Touch,
)

_KEY = re.compile(rb'"[ \t\r\n]*:')
_ONLY_OBJECTS = {dict}
_QUOTE = ord('"')
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.\[\]$-]{1,120}")
_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
SECTIONS = ("colleagues", "events", "touches", "consents", "suppressions", "cases", "memberships")


class RequestRefused(LeadwellError):
    """The request as a whole cannot be answered: status, one clear line, and the places that are wrong."""

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> None:
        self.status, self.detail, self.errors = status, detail, tuple(errors)
        super().__init__(detail)


class LeadRequest(Record, frozen=True, kw_only=True):
    """One lead with what is known of it; an absent section is unknown, an empty one says that there is none.

    `links` say which other ids are the same person; rows of any of them are then taken in every section, and
    `linked_leads` and `linked_accounts` give what is known of their records.
    """

    lead: Lead
    account: Account | None = None
    parent_account: Account | None = None
    colleagues: list[Colleague] | None = None
    events: list[Event] | None = None
    touches: list[Touch] | None = None
    consents: list[Consent] | None = None
    suppressions: list[Suppression] | None = None
    suppressions_complete_as_of: Instant | None = None
    cases: list[Case] | None = None
    memberships: list[PriorMembership] | None = None
    links: list[Link] | None = None
    linked_leads: list[Lead] | None = None
    linked_accounts: list[Account] | None = None


class Envelope(Record, frozen=True, kw_only=True):
    """The request around the leads; each lead is parsed on its own afterwards."""

    leads: list[Any]
    assets: list[Any] | None = None
    as_of: Instant | None = None


class Whole(Record, frozen=True, kw_only=True):
    """The same request where every lead can be read: what the fast path decodes at once."""

    leads: list[LeadRequest]
    assets: list[Any] | None = None
    as_of: Instant | None = None


class Rejection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lead that could not be read: its place in the request, a stable reason, and what was expected where."""

    index: int
    reason: str
    path: str
    expected: str
    lead_id: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a permit is for: pseudonyms of the lead, first, and of who is the same person; of accounts.

    `seen` is the newest touch of the person in the store that is counted. `hashes` are those under which the person
    is kept out once erased: of ids, addresses and numbers.
    """

    people: tuple[str, ...]
    accounts: tuple[str, ...]
    seen: int
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A parsed request: the good leads with their places, the rejected ones, and what holds for all.

    `holders` has one for each lead where permits may be given.
    """

    leads: tuple[LeadRequest, ...]
    places: tuple[int, ...]
    rejected: tuple[Rejection, ...]
    assets: tuple[Asset, ...] | None
    as_of: datetime | None
    holders: tuple[Holder, ...] = ()


class ScoreAnswer(msgspec.Struct, frozen=True):
    """The answer: one decision for every lead that could be read, in the order of the request."""

    decisions: list[dict[str, Any]]
    rejected: list[Rejection]


Wanted = TypeVar("Wanted", bound=Record)
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_WHOLE = msgspec.json.Decoder(Whole)
_ENCODER = msgspec.json.Encoder()


def parse(body: bytes, *, max_leads: int) -> ScoreRequest:
    """Read a request strictly; raises RequestRefused where the envelope is wrong or no lead can be read."""
    envelope = _whole(body) or _item_by_item(body)
    if not envelope.leads:
        raise RequestRefused(422, "expected at least one lead", [{"path": "$.leads", "expected": "1 or more leads"}])
    if len(envelope.leads) > max_leads:
        place = {"path": "$.leads", "expected": f"at most {max_leads} leads"}
        raise RequestRefused(422, f"expected at most {max_leads} leads", [place])
    leads: list[LeadRequest] = []
    places: list[int] = []
    rejected: list[Rejection] = []
    seen: set[str] = set()
    for index, item in enumerate(envelope.leads):
        try:
            lead = item if type(item) is LeadRequest else msgspec.convert(item, LeadRequest)
        except msgspec.ValidationError as error:
            rejected.append(_rejection(index, item, "INVALID", **_placed(error, f"$.leads[{index}]")))
            continue
        wrong = _mismatch(lead) or ("lead.lead_id" if lead.lead.lead_id in seen else None)
        if wrong:
            expected = "one entry a lead" if wrong == "lead.lead_id" else "the id of the row it belongs to"
            reason = "DUPLICATE_LEAD" if wrong == "lead.lead_id" else "ID_MISMATCH"
            rejected.append(_rejection(index, item, reason, path=f"$.leads[{index}].{wrong}", expected=expected))
            continue
        seen.add(lead.lead.lead_id)
        leads.append(lead)
        places.append(index)
    if not leads:
        errors = [{"path": r.path, "expected": r.expected, "reason": r.reason} for r in rejected]
        raise RequestRefused(422, "no lead of the request can be read", errors)
    return ScoreRequest(tuple(leads), tuple(places), tuple(rejected), _assets(envelope.assets), envelope.as_of)


def read_as(body: bytes, kind: type[Wanted]) -> Wanted:
    """A request of one declared type, read strictly; raises RequestRefused naming the place that is wrong."""
    try:
        return msgspec.convert(_decoded(body), kind)
    except msgspec.ValidationError as error:
        raise RequestRefused(422, "the request does not fit the declared shape", [_placed(error)]) from None


def encode_answer(decisions: list[dict[str, Any]], rejected: Iterable[Rejection]) -> bytes:
    """The answer's bytes."""
    return _ENCODER.encode(ScoreAnswer(decisions, list(rejected)))


def encode_plain(value: Mapping[str, Any]) -> bytes:
    """The bytes of any part of an answer."""
    return _ENCODER.encode(value)


def problem(status: int, title: str, detail: str, errors: Sequence[dict[str, str]] = ()) -> bytes:
    """An RFC 9457 problem; `detail` and `errors` must hold no personal value."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = list(errors)
    return _ENCODER.encode(body)


def _whole(body: bytes) -> Whole | None:
    """The request in one step, None where the slower, exact reading must say what is wrong or whether anything is.

    INVARIANT: no key is given twice. Without an escape every text of the request is written back as it came, so a key
    given twice, and a field that holds its default, leaves fewer quotation marks.
    """
    if b"\\" in body:
        return None
    try:
        found = _WHOLE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if _quotes(_ENCODER.encode(found)) == _quotes(body) else None


def _quotes(text: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == _QUOTE))


def _item_by_item(body: bytes) -> Envelope:
    try:
        return msgspec.convert(_decoded(body), Envelope)
    except msgspec.ValidationError as error:
        raise RequestRefused(422, "the request does not fit the declared shape", [_placed(error)]) from None


def _decoded(body: bytes) -> Any:
    try:
        raw = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        place = {"path": "$", "expected": "JSON (RFC 8259: no NaN, no Infinity, valid UTF-8)"}
        raise RequestRefused(422, "the body is not readable JSON", [place]) from None
    # Every key ends in `":`, so an equal count proves that no key is given twice; the exact parse runs only in doubt.
    spaced = b"\n" in body or b"\t" in body or b"\r" in body or b" :" in body
    if (len(_KEY.findall(body)) if spaced else body.count(b'":')) != _key_count(raw):
        json.loads(body, object_pairs_hook=_without_duplicates)
    return raw


def _key_count(raw: Any) -> int:
    """How many keys a request of the declared shape has. Of any other shape too few are counted, which is safe."""
    if type(raw) is not dict:
        return -1
    count = len(raw)
    leads = raw.get("leads")
    for item in leads if type(leads) is list else ():
        if type(item) is not dict:
            continue
        count += len(item)
        for section in item.values():
            if type(section) is list:
                if {*map(type, section)} <= _ONLY_OBJECTS:
                    count += sum(map(len, section))
            elif type(section) is dict:
                count += len(section)
                attributes = section.get("attributes")
                count += len(attributes) if type(attributes) is dict else 0
    return count


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        place = {"path": safe_name(twice), "expected": "each key once in its object"}
        raise RequestRefused(422, "a key is given twice", [place])
    return found


def _mismatch(item: LeadRequest) -> str | None:
    """Path of the first row that names another lead or account than its own, None where all agree."""
    lead_id = item.lead.lead_id
    if item.account is not None and item.account.account_id != item.lead.account_id:
        return "account.account_id"
    if item.parent_account is not None and (
        item.account is None or item.parent_account.account_id != item.account.parent_account_id
    ):
        return "parent_account.account_id"
    people: Collection[str] = (lead_id,)
    accounts: tuple[str | None, ...] = (
        item.lead.account_id,
        item.account.parent_account_id if item.account is not None else None,
    )
    if item.links is not None or item.linked_leads is not None or item.linked_accounts is not None:
        people = linked_ids(item)
        accounts += linked_account_ids(item)
        wrong = _linked_mismatch(item, people)
        if wrong is not None:
            return wrong
    for section in ("events", "touches", "consents", "cases", "memberships"):
        rows = getattr(item, section)
        if rows:
            for index, row in enumerate(rows):
                if row.lead_id not in people:
                    return f"{section}[{index}].lead_id"
    for index, row in enumerate(item.suppressions or ()):
        if row.lead_id is None and row.account_id is None:
            return f"suppressions[{index}].lead_id"
        if row.lead_id is not None and row.lead_id not in people:
            return f"suppressions[{index}].lead_id"
        if row.account_id is not None and row.account_id not in accounts:
            return f"suppressions[{index}].account_id"
    for index, colleague in enumerate(item.colleagues or ()):
        if colleague.lead_id in people:
            return f"colleagues[{index}].lead_id"
    return None


def linked_ids(item: LeadRequest) -> set[str]:
    """The lead's own id and every id that links connect with it, in one or more steps and whatever they say."""
    found, size = {item.lead.lead_id}, 0
    while len(found) > size:
        size = len(found)
        for link in item.links or ():
            if link.lead_id in found or link.other_lead_id in found:
                found |= {link.lead_id, link.other_lead_id}
    return found


def linked_account_ids(item: LeadRequest) -> tuple[str | None, ...]:
    """Accounts of the linked leads, and the parents of those that are given."""
    named = [lead.account_id for lead in item.linked_leads or ()]
    return (*named, *(account.parent_account_id for account in item.linked_accounts or ()))


def _linked_mismatch(item: LeadRequest, people: Collection[str]) -> str | None:
    for index, link in enumerate(item.links or ()):
        if link.lead_id not in people or link.lead_id == link.other_lead_id:
            return f"links[{index}].{'lead_id' if link.lead_id not in people else 'other_lead_id'}"
    seen = {item.lead.lead_id}
    for index, lead in enumerate(item.linked_leads or ()):
        if lead.lead_id not in people or lead.lead_id in seen:
            return f"linked_leads[{index}].lead_id"
        seen.add(lead.lead_id)
    own = {account.account_id for account in (item.account, item.parent_account) if account is not None}
    accounts = linked_account_ids(item)
    for index, account in enumerate(item.linked_accounts or ()):
        if account.account_id not in accounts or account.account_id in own:
            return f"linked_accounts[{index}].account_id"
        own.add(account.account_id)
    return None


def _assets(raw: list[Any] | None) -> tuple[Asset, ...] | None:
    if raw is None:
        return None
    errors: list[dict[str, str]] = []
    assets: list[Asset] = []
    for index, item in enumerate(raw):
        try:
            assets.append(Asset.model_validate(item))
        except ValidationError as error:
            for found in error.errors(include_url=False, include_input=False, include_context=False):
                place = ".".join(["$.assets", str(index), *(str(part) for part in found["loc"])])
                errors.append({"path": safe_name(place), "expected": _safe_words(found["type"])})
    if len({asset.asset_id for asset in assets}) != len(assets):
        errors.append({"path": "$.assets", "expected": "each asset_id once"})
    if errors:
        raise RequestRefused(422, "the assets do not fit the declared shape", errors)
    return tuple(assets)


def _placed(error: msgspec.ValidationError, root: str = "$") -> dict[str, str]:
    found = _MESSAGE.match(str(error))
    what, path = (found["what"], found["path"] or "$") if found else ("a readable value", "$")
    unknown = _UNKNOWN_FIELD.match(what)
    if unknown:
        path, what = f"{path}.{safe_name(unknown['name'])}", "no such field"
    return {"path": root + path[1:] if path.startswith("$") else root, "expected": what}


def _rejection(index: int, item: Any, reason: str, *, path: str, expected: str) -> Rejection:
    if type(item) is LeadRequest:
        return Rejection(index=index, reason=reason, path=path, expected=expected, lead_id=item.lead.lead_id)
    lead = item.get("lead") if isinstance(item, dict) else None
    lead_id = lead.get("lead_id") if isinstance(lead, dict) else None
    known = isinstance(lead_id, str) and 0 < len(lead_id) <= 64
    return Rejection(index=index, reason=reason, path=path, expected=expected, lead_id=lead_id if known else None)


def safe_name(name: str) -> str:
    """A name of the request where it can hold no personal value, else a word for it."""
    return name if _SAFE_NAME.fullmatch(name) else "(unnamed)"


def _safe_words(text: str) -> str:
    return text.replace("_", " ")[:80]
