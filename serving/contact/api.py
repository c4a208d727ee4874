"""What the CRM writes to and asks of the store over HTTP: strict types, and every row read the stricter way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, field

from configs.vocabulary import Vocabularies
from features.encode import EARLIEST, LATEST
from features.records import Id, Instant, Record
from features.tables import SKEW_US, microseconds
from serving.api import RequestRefused
from serving.store.stops import Lift, Stop
from serving.store.subjects import ACCOUNT, LEAD, Subjects
from serving.store.touches import Sent

ERASURE, OPT_OUT = "erasure", "opt_out"
# A reference, not a text: what a person wrote has no place here.
Reference = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/#-]*$")]
Word = Annotated[str, Meta(max_length=64)]


class SuppressionRow(Record, frozen=True, kw_only=True):
    """A stop of one lead or one account. No channel means all; the hashes are for an erasure only.

    An opt-out with a `topic` or `product` stops only content of both; any other reason is never limited.
    """

    suppression_id: Reference
    since_at: Instant
    lead_id: Id | None = None
    account_id: Id | None = None
    channel: Word | None = None
    scope: Word | None = None
    reason: Word | None = None
    until_at: Instant | None = None
    email_hash: Id | None = None
    phone_hash: Id | None = None
    topic: Word | None = None
    product: Word | None = None


class LiftRow(Record, frozen=True, kw_only=True):
    """A stop that holds no longer: since when, what proves it (a reference), and who decided it (a reference)."""

    lift_id: Reference
    suppression_id: Reference
    lifted_at: Instant
    evidence: Reference
    by: Reference


class SuppressionsRequest(Record, frozen=True, kw_only=True):
    """Stops and lifts to be kept, all of them or none."""

    suppressions: list[SuppressionRow] = field(default_factory=list)
    lifts: list[LiftRow] = field(default_factory=list)


class SentRow(Record, frozen=True, kw_only=True):
    """A message that was sent; `permit_id` is of the permit that a check allowed."""

    touch_id: Reference
    lead_id: Id
    sent_at: Instant
    channel: Word | None = None
    intent: Word | None = None
    asset_id: Id | None = None
    permit_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")] | None = None


class TouchesRequest(Record, frozen=True, kw_only=True):
    """Messages that were sent, all of them to be kept or none."""

    touches: list[SentRow]


class CheckRequest(Record, frozen=True, kw_only=True):
    """May this permit be used now? With a `request_id` the same question can be asked again after a lost answer."""

    permit: Annotated[str, Meta(max_length=8192)]
    lead_id: Id
    channel: Word
    asset_id: Id
    request_id: Reference | None = None


def stops_of(
    request: SuppressionsRequest, subjects: Subjects, words: Vocabularies, now: datetime, most: int
) -> tuple[list[Stop], list[Lift]]:
    """The rows as the store keeps them; raises RequestRefused naming every place that is wrong."""
    wrong: list[dict[str, str]] = []
    _bounded(len(request.suppressions) + len(request.lifts), most, "$.suppressions")
    for place, row in enumerate(request.suppressions):
        where = f"$.suppressions[{place}]"
        if (row.lead_id is None) == (row.account_id is None):
            wrong.append({"path": f"{where}.lead_id", "expected": "lead_id or account_id, and not both"})
        wrong += _implausible(where, since_at=row.since_at, until_at=row.until_at)
        if row.until_at is not None and row.until_at <= row.since_at:
            wrong.append({"path": f"{where}.until_at", "expected": "an instant after since_at"})
        if row.until_at is not None and _reason(row.reason, words) == ERASURE:
            wrong.append({"path": f"{where}.until_at", "expected": "no end: an erasure is for good"})
        if (row.email_hash or row.phone_hash) and _reason(row.reason, words) != ERASURE:
            wrong.append({"path": f"{where}.email_hash", "expected": "only with the reason erasure"})
    for place, lift in enumerate(request.lifts):
        wrong += _implausible(f"$.lifts[{place}]", lifted_at=lift.lifted_at)
        if microseconds(lift.lifted_at) > microseconds(now) + SKEW_US:
            wrong.append({"path": f"$.lifts[{place}].lifted_at", "expected": "not later than the server's clock"})
    _refuse(wrong)
    return [_stop(row, subjects, words, now) for row in request.suppressions], [
        _lift(row, subjects) for row in request.lifts
    ]


def sent_of(request: TouchesRequest, subjects: Subjects, words: Vocabularies, now: datetime, most: int) -> list[Sent]:
    """The rows as the store keeps them; raises RequestRefused naming every place that is wrong."""
    wrong: list[dict[str, str]] = []
    _bounded(len(request.touches), most, "$.touches")
    for place, row in enumerate(request.touches):
        wrong += _implausible(f"$.touches[{place}]", sent_at=row.sent_at)
        if microseconds(row.sent_at) > microseconds(now) + SKEW_US:
            wrong.append({"path": f"$.touches[{place}].sent_at", "expected": "not later than the server's clock"})
    _refuse(wrong)
    found = []
    for row in request.touches:
        told = (
            subjects.lead(row.lead_id),
            microseconds(row.sent_at),
            word(row.channel, "channel", words),
            word(row.intent, "intent", words),
            row.asset_id,
            row.permit_id,
        )
        found.append(Sent(row.touch_id, subjects.content(*told), *told))
    return found


def stop_records(
    stops: Sequence[Stop], there: Sequence[bool], lifts: Sequence[Lift], lifted: Sequence[bool], said: dict[str, Any]
) -> list[dict[str, Any]]:
    """What the audit keeps of stops and lifts that were written: one record a row, whom it is about in its detail."""
    records: list[dict[str, Any]] = [
        {
            "kind": "suppression",
            **said,
            "of": stop.of,
            "channel": stop.channel,
            "reason": stop.reason,
            **({"topic": stop.topic, "product": stop.product} if stop.topic or stop.product else {}),
            "duplicate": known,
            "detail": {"subject": stop.subject, "suppression_id": stop.suppression_id},
        }
        for stop, known in zip(stops, there, strict=True)
    ]
    return records + [
        {
            "kind": "lift",
            **said,
            "lift_id": lift.lift_id,
            "suppression_id": lift.suppression_id,
            "evidence": lift.evidence,
            "by": lift.by,
            "duplicate": known,
        }
        for lift, known in zip(lifts, lifted, strict=True)
    ]


def word(text: str | None, vocabulary: str, words: Vocabularies) -> str | None:
    """The value of a vocabulary that a text is a spelling of, None where it is none."""
    code = words[vocabulary].code(text)
    return words[vocabulary].values[code - 1] if code else None


def _reason(text: str | None, words: Vocabularies) -> str:
    # INVARIANT: a stop whose reason cannot be read is an opt-out, and one whose channel cannot be read is of all.
    return word(text, "suppression_reason", words) or "opt_out"


def _stop(row: SuppressionRow, subjects: Subjects, words: Vocabularies, now: datetime) -> Stop:
    reason, of = _reason(row.reason, words), LEAD if row.lead_id is not None else ACCOUNT
    subject = subjects.lead(row.lead_id) if row.lead_id is not None else subjects.account(str(row.account_id))
    until = None if row.until_at is None else microseconds(row.until_at)
    channel, scope = word(row.channel, "channel", words), word(row.scope, "suppression_scope", words)
    topic, product = _limits(row, reason, words)
    told: tuple[Any, ...] = (subject, of, channel, reason, scope, microseconds(row.since_at), until)
    if topic or product:
        # A stop without a limit keeps the content that it had before stops could have one.
        told = (*told, topic, product)
    given = (("lead", row.lead_id), ("email", row.email_hash), ("phone", row.phone_hash))
    erased = tuple((subjects.erased(of, value), of) for of, value in given if value is not None)
    return Stop(
        suppression_id=row.suppression_id,
        content=subjects.content(*told, erased),
        subject=subject,
        of=of,
        channel=channel,
        reason=reason,
        scope=scope,
        # INVARIANT: what was acknowledged holds at once, whatever clock or time zone the client has.
        since_at=min(microseconds(row.since_at), microseconds(now)),
        until_at=until,
        topic=topic,
        product=product,
        erased=erased if reason == ERASURE else (),
    )


def _limits(row: SuppressionRow, reason: str, words: Vocabularies) -> tuple[str | None, str | None]:
    """The topic and product that an opt-out is limited to."""
    found = []
    for text, vocabulary in ((row.topic, "topic"), (row.product, "product")):
        blank = text is None or not text.strip()
        found.append(None if blank else word(text, vocabulary, words))
        # INVARIANT: a limit that cannot be read limits nothing, and so does one of another reason or an unreadable one.
        if (found[-1] is None and not blank) or reason != OPT_OUT or not word(row.reason, "suppression_reason", words):
            return None, None
    return found[0], found[1]


def _lift(row: LiftRow, subjects: Subjects) -> Lift:
    told = (row.suppression_id, microseconds(row.lifted_at), row.evidence, row.by)
    return Lift(row.lift_id, subjects.content(*told), *told)


def _implausible(where: str, **instants: datetime | None) -> list[dict[str, str]]:
    return [
        {"path": f"{where}.{name}", "expected": "an instant between 1990 and 2200"}
        for name, moment in instants.items()
        if moment is not None and not EARLIEST <= microseconds(moment) <= LATEST
    ]


def _bounded(rows: int, most: int, path: str) -> None:
    if not 1 <= rows <= most:
        _refuse([{"path": path, "expected": f"1 to {most} rows"}])


def _refuse(wrong: Sequence[dict[str, Any]]) -> None:
    if wrong:
        raise RequestRefused(422, "the request does not fit the declared shape", wrong)
