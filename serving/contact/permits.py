"""Permits: signed text that an answer carries and the send gate takes back, so that scoring writes to no database.

A permit is of one lead, channel, asset and rule book, and says until when. It holds what the rules looked at as codes,
pseudonyms instead of ids, and where the person is as far as hours need it; whoever holds it can read but not change it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from numpy.typing import NDArray

from configs.content import Asset
from configs.settings import Settings
from configs.vocabulary import Vocabularies
from features.facts import Facts
from features.inventory import NONE
from features.tables import Known, microseconds
from policy.audit.evidence import pack_point
from policy.book import Book
from serving.api import Holder
from serving.decide import Decisions

MARK = "lw1."
_TAG_BYTES = 16
_MOST_TEXT = 8192
_BOOK_BYTES = 16


class Permit(msgspec.Struct, frozen=True, array_like=True):
    """What a permit says. `seen` is the newest touch of the person in the store that its facts count already.

    `people` are pseudonyms of the lead, first, and of the ids that are the same person; `accounts` of where they work;
    `hashes` those under which the person is kept out once erased, under whatever id.
    """

    people: tuple[bytes, ...]
    accounts: tuple[bytes, ...]
    channel: str
    asset_id: str
    asset: bytes
    book: bytes
    as_of: int
    expires_at: int
    seen: int
    place: tuple[str | None, ...]
    facts: bytes
    hashes: tuple[bytes, ...] = ()

    @property
    def subjects(self) -> tuple[list[str], list[str]]:
        """People and accounts as the store names them."""
        return [one.hex() for one in self.people], [one.hex() for one in self.accounts]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Permit)


def seal(permit: Permit, key: bytes) -> str:
    """The permit as text, with HMAC-SHA256 (RFC 2104) over all of it."""
    body = _ENCODER.encode(permit)
    return seal_bytes(body + _tag(body, key))


def seal_bytes(content: bytes) -> str:
    """Signed bytes as text; every content has one text only."""
    return MARK + base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _tag(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_TAG_BYTES]


def unseal(text: str, key: bytes) -> Permit | None:
    """The permit of a text, None where this key did not sign exactly this."""
    if not text.startswith(MARK) or len(text) > _MOST_TEXT:
        return None
    coded = text[len(MARK) :]
    try:
        content = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    body, tag = content[:-_TAG_BYTES], content[-_TAG_BYTES:]
    # INVARIANT: nothing of a permit is parsed before its tag was compared, in constant time.
    if not hmac.compare_digest(tag, _tag(body, key)) or seal_bytes(content) != text:
        return None
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def permit_id(text: str) -> str:
    """How a permit is named: 128 bits of the SHA-256 of its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# What rules rest on beside the book: another declaration of these makes permits of before void.
_BESIDE = ("pauses", "registrations", "source_register", "time_zones", "products", "claims")


def policy_mark(book: Book, settings: Settings) -> bytes:
    """What a permit keeps of the policy that it was given under: the book, and the declarations its facts rest on."""
    told = f"{book.hash}{settings.digest(*_BESIDE)}"
    return hashlib.sha256(told.encode()).digest()[:_BOOK_BYTES]


def asset_mark(asset: Asset | None) -> bytes:
    """What a permit keeps of an asset's declaration: another one is another asset, whatever its id."""
    return b"" if asset is None else hashlib.sha256(asset.model_dump_json().encode()).digest()[:8]


class BookOfDay:
    """The rules of the send gate, compiled once a day."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._books: dict[date, Book] = {}
        self._marks: dict[str, bytes] = {}

    def at(self, moment: datetime) -> Book:
        """The rules in force on the day of an instant, in UTC."""
        on = moment.astimezone(UTC).date()
        found = self._books.get(on)
        if found is None:
            if len(self._books) >= 8:
                self._books.clear()
            found = self._books[on] = Book.load(self.settings, on, gate="send")
        return found

    def mark(self, book: Book) -> bytes:
        """What permits keep of a book and of what its facts rest on."""
        found = self._marks.get(book.hash)
        if found is None:
            found = self._marks[book.hash] = policy_mark(book, self.settings)
        return found


class Permitting:
    """Makes the permits of answers, under one key."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self.key, self.books = key, BookOfDay(settings)
        self._marks = {asset.asset_id: asset_mark(asset) for asset in settings.assets} | {NONE: b""}

    def add(self, rendered: dict[str, Any], decisions: Decisions, row: int, holder: Holder) -> None:
        """Put a permit into each permitted channel of an answer; none in a replay, and none for a request's own assets.

        The permit is for the asset of the next best action on its channel, elsewhere for the first that is permitted.

        Args:
            rendered: the answer about the lead, changed in place.
            decisions: what it was made from.
            row: the lead's row there.
            holder: whom it is for.
        """
        permitted = [name for name, answer in rendered["channels"].items() if answer["permitted"]]
        if decisions.replay or decisions.decider.requested or not permitted:
            return
        action, ids, book = rendered["next_best_action"], decisions.facts.assets, self.books.at(decisions.as_of)
        people = tuple(map(bytes.fromhex, holder.people))
        accounts = tuple(map(bytes.fromhex, holder.accounts))
        hashes = tuple(map(bytes.fromhex, holder.hashes))
        place = place_of(decisions.known, decisions.facts, row, decisions.decider.settings.vocabularies)
        for name in permitted:
            answer, channel = rendered["channels"][name], book.channels.index(name)
            asset_id = answer["asset_ids"][0]
            if action["channel"] == name and action["asset_id"] in answer["asset_ids"]:
                asset_id = action["asset_id"]
            permit = Permit(
                people=people,
                accounts=accounts,
                channel=name,
                asset_id=asset_id,
                asset=self._marks[asset_id],
                book=self.books.mark(book),
                as_of=microseconds(decisions.as_of),
                expires_at=int(decisions.permits_end[row, channel]),
                seen=holder.seen,
                place=place,
                facts=pack_point(book, decisions.facts, row, ids.index(asset_id), channel),
                hashes=hashes,
            )
            text = seal(permit, self.key)
            answer["permit"] = {"asset_id": asset_id, "permit_id": permit_id(text), "token": text}


def place_of(known: Known, facts: Facts, row: int, vocabularies: Vocabularies) -> tuple[str | None, ...]:
    """Country, state and time zone of a lead as words: what the hour of the day is told by.

    None of them where the hour is not known, because the record of the place is too old to be built on.
    """
    hour = facts.columns.get("local_minute_from")
    if hour is None or int(hour.reshape(-1)[row if hour.shape[0] > 1 else 0]) < 0:
        return (None, None, None)
    state = facts.columns.get("us_state")
    return (
        _word(known.leads.get("country"), "country", row, vocabularies),
        _word(None if state is None else state.reshape(-1), "us_state", row, vocabularies),
        _word(known.leads.get("time_zone"), "time_zone", row, vocabularies),
    )


def _word(column: NDArray[Any] | None, name: str, row: int, vocabularies: Vocabularies) -> str | None:
    if column is None or not len(column):
        return None
    code, words = int(column[row if len(column) > 1 else 0]), vocabularies[name].values
    return words[code - 1] if 0 < code <= len(words) else None
