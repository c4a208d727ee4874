"""What Alembic runs for each migration: on the connection it is given, in the transaction that is open already."""

from __future__ import annotations

from alembic import context

from serving.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
