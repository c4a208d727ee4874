"""What the audit keeps of an answer, and the same said again from the facts that it kept.

The record proper holds rule ids, reasons, versions and what was done: nothing of it tells who it is about. What does,
the pseudonym and the facts, is its detail, which can be erased.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import AuditBroken, InputInvalid
from policy.audit.archive import Archive
from policy.audit.canonical import canonical
from policy.audit.chain import Entry
from policy.audit.evidence import pack, unpack, unpack_point
from policy.rulings import Rulings, rule
from serving.api import encode_plain, parse
from serving.channels import ChannelRulings, by_channel
from serving.decide import Decisions
from serving.render import instant

if TYPE_CHECKING:
    from serving.online import OnlineAnswerer

Channels = dict[str, dict[str, Any]]


def audit_record(
    decisions: Decisions, row: int, rendered: dict[str, Any], subject: str, now: datetime
) -> dict[str, Any]:
    """The record of one answer: codes, versions, the pseudonym and the facts; no personal value and no float.

    Args:
        decisions: what was decided.
        row: the lead's row there.
        rendered: the answer, with its audit id.
        subject: the lead's pseudonym.
        now: when it is answered.
    """
    action = rendered["next_best_action"]
    channels = rendered["channels"]
    return {
        "kind": "decision",
        "audit_id": rendered["audit_id"],
        "at": instant(now),
        "as_of": rendered["as_of"],
        "replay": decisions.replay,
        "versions": rendered["versions"],
        "channels": {name: _kept(answer) for name, answer in channels.items()},
        "permitted": [name for name, answer in channels.items() if answer["permitted"]],
        "action": [action["action"], action["channel"], action["asset_id"]],
        "queue": rendered["route"]["queue"].split("/", 1)[0],
        "detail": _detail(decisions, row, rendered, subject),
    }


def _kept(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["permitted"]:
        return {"assets": answer["asset_ids"], "permits": answer["permits"]}
    return {"asset": answer["asset_id"], "blocks": [[block["rule"], block["reason"]] for block in answer["blocks"]]}


def _detail(decisions: Decisions, row: int, rendered: dict[str, Any], subject: str) -> dict[str, Any]:
    readiness, identity = rendered["readiness"], rendered.get("identity")
    told: dict[str, Any] = {
        "subject": subject,
        "facts": packed(decisions, row),
        "answer": answer_hash(rendered),
        "segments": [segment["id"] for segment in rendered["segments"]],
        "band": readiness["band"],
        "probability": _text(readiness["probability"]),
        "log_odds": _text(readiness.get("log_odds"), 12),
        "assignment": {k: _text(v) if isinstance(v, float) else v for k, v in rendered["assignment"].items()},
    }
    if decisions.decider.requested:
        told["assets"] = list(decisions.facts.assets)
    if readiness.get("further"):
        told["further"] = {one["target"]: _text(one["probability"]) for one in readiness["further"]}
    if identity:
        told["merged"], told["merged_by"] = len(identity["merged"]), identity["evidence"]
    return told


def packed(decisions: Decisions, row: int) -> str:
    """The facts that the rules looked at for one lead, as short text."""
    return base64.b64encode(zlib.compress(pack(decisions.book, decisions.facts, row), 1)).decode()


def answer_hash(rendered: dict[str, Any]) -> str:
    """SHA-256 of an answer as it is sent, without what is made anew each time: its audit id and its permits."""
    channels = {
        name: {key: value for key, value in answer.items() if key != "permit"}
        for name, answer in rendered["channels"].items()
    }
    same = {key: value for key, value in rendered.items() if key != "audit_id"} | {"channels": channels}
    return hashlib.sha256(encode_plain(same)).hexdigest()


def _text(value: float | None, digits: int = 6) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def said_again(record: dict[str, Any], detail: dict[str, Any], archive: Archive) -> Channels:
    """What the rules say of the facts of a record, by the book that it names, in the form that the record has.

    Raises AuditBroken or InputInvalid where book or facts are not those of the record.
    """
    book = archive.book(record["versions"]["policy"])
    try:
        content = zlib.decompress(base64.b64decode(detail["facts"], validate=True))
    except (ValueError, KeyError, zlib.error) as error:
        raise AuditBroken(f"record {record['audit_id']}: expected the facts of the decision") from error
    assets = tuple(detail["assets"]) if "assets" in detail else archive.assets(record["versions"]["assets"])
    facts = unpack(book, content, assets)
    ruled = rule(book, facts)
    # A book that does not look at them shows a channel as if there were no replies and nobody had asked.
    intent = facts.columns.get("asset_intent", np.zeros((1, len(assets), 1), dtype=np.uint8)).reshape(-1)
    asked = facts.columns.get("off_label_open", np.zeros((1, 1, 1), dtype=np.uint8)).reshape(1)
    replies = intent == book.domain.code("asset_intent", "medical_information")
    shown = by_channel(ruled, replies, asked, bool(record["replay"]))
    return {name: _said(ruled, shown, c, bool(record["replay"])) for c, name in enumerate(book.channels)}


def _said(ruled: Rulings, shown: ChannelRulings, channel: int, replay: bool) -> dict[str, Any]:
    asset = int(shown.asset[0, channel])
    if shown.permitted[0, channel]:
        passes = shown.passes[0, :, channel]
        return {
            "assets": [name for name, fits in zip(ruled.assets, passes.tolist(), strict=True) if fits],
            "permits": ruled.permit_ids(0, asset, channel),
        }
    blocks = [["REPLAY", "REPLAY_GRANTS_NO_PERMIT"]] if replay else []
    blocks += [[entry["rule"], entry["reason"]] for entry in ruled.explain(0, asset, channel)]
    return {"asset": ruled.assets[asset], "blocks": blocks}


def checked_again(record: dict[str, Any], detail: dict[str, Any], archive: Archive) -> dict[str, Any] | None:
    """What the rules of the send gate say of the facts of a `permit_check`, in the form that the record has.

    None where no rule was asked, because the permit itself was refused. Raises AuditBroken or InputInvalid where book
    or facts are not those of the record.
    """
    if "facts" not in detail:
        return None
    book = archive.book(record["versions"]["policy"], "send")
    try:
        content = base64.b64decode(detail["facts"], validate=True)
        channel = book.channels.index(record["channel"])
    except ValueError as error:
        raise AuditBroken(f"record {record['audit_id']}: expected the facts of the check") from error
    ruled = rule(book, unpack_point(book, content))
    permitted = bool(ruled.permitted[0, 0, channel])
    blocks = [] if permitted else [[one["rule"], one["reason"]] for one in ruled.explain(0, 0, channel)]
    return {"permitted": permitted, "permits": ruled.permit_ids(0, 0, channel) if permitted else [], "blocks": blocks}


def same_check(record: dict[str, Any], again: dict[str, Any]) -> bool:
    """Whether the ruling of a recorded check and the one said again are one text, byte for byte."""
    return canonical({name: record[name] for name in ("permitted", "permits", "blocks")}) == canonical(again)


def same_bytes(record: dict[str, Any], again: Channels) -> bool:
    """Whether the rulings of a record and those said again are one text, byte for byte."""
    permitted = [name for name, answer in again.items() if "permits" in answer]
    kept = {"channels": record["channels"], "permitted": record["permitted"]}
    return canonical(kept) == canonical({"channels": again, "permitted": permitted})


def answered_again(
    entry: Entry, body: bytes, answerer: OnlineAnswerer, *, max_leads: int
) -> tuple[bool, dict[str, tuple[str, str]]]:
    """Whether a request body, answered once more, comes to the very answer of a record, and the versions that differ.

    Raises RequestRefused where the body cannot be read, InputInvalid where it is about somebody else.
    """
    as_of = datetime.fromisoformat(entry.record["as_of"])
    # The clock of then: a decision that granted permits was made at its own instant, a replay after it.
    now = as_of + timedelta(microseconds=1) if entry.record["replay"] else as_of
    request = replace(parse(body, max_leads=max_leads), as_of=as_of)
    answers, records, _ = answerer.answer(request, now)
    detail = entry.detail or {}
    for answer, record in zip(answers, records, strict=True):
        if record["detail"]["subject"] == detail.get("subject"):
            then, again = entry.record["versions"], record["versions"]
            other = {name: (then[name], again[name]) for name in then if then[name] != again[name]}
            return answer_hash(answer) == detail["answer"], other
    raise InputInvalid("request", "expected a lead of the request to be the one that the record is about")
