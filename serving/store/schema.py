"""The tables of the store.

A person is a keyed pseudonym and an instant is whole microseconds since 1970 UTC, so no row holds a name, an id of the
CRM or a time zone. Stops are never changed and never deleted: lifting one is a row of `lifts` with its evidence.
A row of `touches` without `sent_at` is a reservation: a permit was used and the message is not reported yet.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, UniqueConstraint

METADATA = MetaData()
# Row numbers of SQLite are plain INTEGER; both databases number rows in the order of their transactions, for a person.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

ABOUT = Table(
    "about",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
SUPPRESSIONS = Table(
    "suppressions",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("suppression_id", String(64), nullable=False, unique=True),
    Column("content", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("of", String(8), nullable=False),
    Column("channel", String(32)),
    Column("reason", String(32), nullable=False),
    Column("scope", String(32)),
    Column("since_at", BigInteger(), nullable=False),
    Column("until_at", BigInteger()),
    Column("recorded_at", BigInteger(), nullable=False),
    Column("topic", String(64)),
    Column("product", String(64)),
    Index("suppressions_of_subject", "subject"),
    sqlite_autoincrement=True,
)
LIFTS = Table(
    "lifts",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("lift_id", String(64), nullable=False, unique=True),
    Column("content", String(64), nullable=False),
    Column("suppression", _NUMBER, ForeignKey("suppressions.id"), nullable=False, unique=True),
    Column("lifted_at", BigInteger(), nullable=False),
    Column("evidence", String(64), nullable=False),
    Column("by", String(64), nullable=False),
    Column("recorded_at", BigInteger(), nullable=False),
    sqlite_autoincrement=True,
)
HASHES = Table(
    "suppression_hashes",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("of", String(8), nullable=False),
    Column("erased_at", BigInteger(), nullable=False),
    Column("recorded_at", BigInteger(), nullable=False),
)
PERMITS = Table(
    "permits",
    METADATA,
    Column("permit_id", String(32), primary_key=True),
    Column("request_id", String(64)),
    Column("subject", String(64), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("asset_id", String(64), nullable=False),
    Column("book", String(64), nullable=False),
    Column("used_at", BigInteger(), nullable=False),
    Column("expires_at", BigInteger(), nullable=False),
)
TOUCHES = Table(
    "touches",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("subject", String(64), nullable=False),
    Column("touch_id", String(64)),
    Column("content", String(64)),
    Column("permit_id", String(32), ForeignKey("permits.permit_id"), unique=True),
    Column("channel", String(32)),
    Column("intent", String(32)),
    Column("asset_id", String(64)),
    Column("recorded_at", BigInteger(), nullable=False),
    Column("lapses_at", BigInteger()),
    Column("sent_at", BigInteger()),
    UniqueConstraint("subject", "touch_id", name="touches_once"),
    Index("touches_of_subject", "subject", "id"),
    sqlite_autoincrement=True,
)
