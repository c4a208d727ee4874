"""The first version of the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "about",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
    )
    op.create_table(
        "suppressions",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("suppression_id", sa.String(64), nullable=False, unique=True),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("of", sa.String(8), nullable=False),
        sa.Column("channel", sa.String(32)),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("scope", sa.String(32)),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("suppressions_of_subject", "suppressions", ["subject"])
    op.create_table(
        "lifts",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("lift_id", sa.String(64), nullable=False, unique=True),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("suppression", _NUMBER, sa.ForeignKey("suppressions.id"), nullable=False, unique=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.String(64), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "suppression_hashes",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("of", sa.String(8), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "permits",
        sa.Column("permit_id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(64)),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("asset_id", sa.String(64), nullable=False),
        sa.Column("book", sa.String(64), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "touches",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("touch_id", sa.String(64)),
        sa.Column("content", sa.String(64)),
        sa.Column("permit_id", sa.String(32), sa.ForeignKey("permits.permit_id"), unique=True),
        sa.Column("channel", sa.String(32)),
        sa.Column("intent", sa.String(32)),
        sa.Column("asset_id", sa.String(64)),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("lapses_at", sa.BigInteger()),
        sa.Column("sent_at", sa.BigInteger()),
        sa.UniqueConstraint("subject", "touch_id", name="touches_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("touches_of_subject", "touches", ["subject", "id"])


def downgrade() -> None:
    """Nothing leads back: a store with stops in it is not emptied."""
    raise NotImplementedError("the store has no earlier version")
