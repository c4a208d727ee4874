"""The version of a store, and its way to this one."""

from __future__ import annotations

import warnings
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from configs.errors import NotReady
from serving.store.engine import Database

_HERE = Path(__file__).parent / "migrations"
# One upgrade at a time on PostgreSQL; SQLite has one writer anyway.
_UPGRADE_LOCK = 0x6C656164


def newest() -> str:
    """The version that this program reads and writes."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def version_of(connection: Connection) -> str | None:
    """The version of a store, None where there is none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def refuse_other_version(connection: Connection) -> None:
    """Raise NotReady where the store is not of this program's version, and say what to run."""
    found, expected = version_of(connection), newest()
    if found is None:
        raise NotReady("the database holds no store yet: run `leadwell store upgrade`")
    if found != expected:
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if found in known:
            raise NotReady(
                f"the store is of version {found}, this program needs {expected}: run `leadwell store upgrade`"
            )
        raise NotReady(
            f"the store is of version {found}, which is newer than this program's {expected}: run the newer program"
        )


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring a store to this version, whole or not at all; returns the version before and after."""
    database.make_file()
    with database.writing() as connection:
        if database.file is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        before = version_of(connection)
        expected = newest()
        if before != expected:
            if before is not None:
                refuse_newer(before, expected)
            config = _config()
            config.attributes["connection"] = connection
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                command.upgrade(config, "head")
    return before, expected


def refuse_newer(found: str, expected: str) -> None:
    """Raise NotReady where a version is not among the steps that this program knows."""
    if found not in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}:
        raise NotReady(f"the store is of version {found}, which is newer than this program's {expected}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
