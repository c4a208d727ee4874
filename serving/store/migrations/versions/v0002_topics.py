"""Opt-outs of a topic or product: a stop of before has neither, and goes on stopping everything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the two limits."""
    op.add_column("suppressions", sa.Column("topic", sa.String(64)))
    op.add_column("suppressions", sa.Column("product", sa.String(64)))


def downgrade() -> None:
    """Nothing leads back: without its limit an opt-out of a topic would be another one."""
    raise NotImplementedError("the store keeps opt-outs of topics")
