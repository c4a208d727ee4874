"""FHIR R4 JSON staged as four relations of text: practitioner, practitioner_role, organization and consent.

A practitioner carries what was known of their main role when each version of them was in force: the one that is active
and has not ended, began last, and has the smallest id. `known_at` is when both were known, so that a role recorded
later never looks as if it had been known before. `standing` says of each role whether it is a main one, else why not:
inactive, ended, not_begun, another (role or version counts), no_practitioner.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb
import pyarrow as pa

from features.intake.exports.fhir_files import read_resources
from features.intake.exports.fhir_rows import COLUMNS, KINDS, FhirWords, Refused, row_of, written
from features.intake.exports.json_text import json_files
from features.intake.exports.staged import Staged, Unread
from features.intake.staging import FILE_BITS, literal, quoted

BATCH_ROWS = 10_000
TABLES = (*COLUMNS, "resource")
# What a practitioner has of the main role beside its own columns.
OF_ROLE = ("account_id", "role", "role_title", "specialty")


def stage(
    con: duckdb.DuckDBPyConnection,
    name: str,
    where: Path,
    words: FhirWords,
    wanted: Collection[str] = TABLES,
) -> dict[str, Staged]:
    """Read every resource once and stage it; relations are named `name_table`.

    The table `resource` has what none of the wanted ones takes: resources of other types, by `kind`, and places at
    which no resource could be read.

    INVARIANT: resources read = rows of the relations + unreadable.

    Raises:
        InputInvalid: there is no FHIR file.
    """
    paths = json_files(where, "FHIR R4")
    files = tuple(str(path) for path in paths)
    columns = {table: (*names, "_at") for table, names in (*COLUMNS.items(), ("resource", ("kind",)))}
    for table, names in columns.items():
        typed = ", ".join(f"{quoted(column)} {'BIGINT' if column == '_at' else 'VARCHAR'}" for column in names)
        con.execute(f"CREATE TEMP TABLE {name}_{table}_read ({typed})")
    waiting: dict[str, list[dict[str, str | int | None]]] = {table: [] for table in columns}
    unreadable: dict[str, list[Unread]] = {table: [] for table in columns}
    for found in read_resources(paths):
        if isinstance(found, Unread):
            unreadable["resource"].append(found)
            continue
        table = KINDS.get(found.kind, "resource")
        table = table if table in wanted else "resource"
        try:
            row = row_of(found, words) if table in COLUMNS else {"kind": found.kind}
        except Refused as refused:
            unreadable[table].append(Unread(found.place, found.row, refused.column, refused.reason))
            continue
        waiting[table].append({**row, "_at": (found.place << FILE_BITS) + found.row})
        if len(waiting[table]) == BATCH_ROWS:
            _insert(con, f"{name}_{table}_read", columns[table], waiting[table])
    for kind, rows in waiting.items():
        _insert(con, f"{name}_{kind}_read", columns[kind], rows)
    _with_roles(con, name, words)
    return {kind: Staged(f"{name}_{kind}", files, tuple(unreadable[kind])) for kind in columns}


def _insert(
    con: duckdb.DuckDBPyConnection, relation: str, columns: tuple[str, ...], rows: list[dict[str, str | int | None]]
) -> None:
    if not rows:
        return
    schema = pa.schema([(column, pa.int64() if column == "_at" else pa.string()) for column in columns])
    con.register("fhir_batch", pa.Table.from_pylist(rows, schema=schema))
    con.execute(f"INSERT INTO {relation} SELECT * FROM fhir_batch")
    con.unregister("fhir_batch")
    rows.clear()


def _role(name: str, words: FhirWords) -> str:
    """SQL of the roles with how each stands by itself."""
    if words.as_of is None:  # without a day, an end is as good as past
        ended, begun = "ended_at IS NOT NULL", "true"
    else:
        day = literal(written(words.as_of))
        ended, begun = f"ended_at < {day}", f"coalesce(started_at, '') <= {day}"
    return (
        "SELECT *, coalesce(last_updated, '') AS since, CASE WHEN active = 'false' THEN 'inactive' "
        f"WHEN {ended} THEN 'ended' WHEN NOT ({begun}) THEN 'not_begun' ELSE 'main' END AS alone "
        f"FROM {name}_practitioner_role_read"
    )


def _main_roles(name: str, words: FhirWords) -> str:
    """SQL of the main role of each version of a practitioner, by the version's place."""
    return (
        "WITH person AS (SELECT *, min(coalesce(last_updated, '')) OVER (PARTITION BY lead_id "
        "ORDER BY coalesce(last_updated, '') GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS until "
        f"FROM {name}_practitioner_read), "
        "known AS (SELECT person._at AS person_at, role.*, row_number() OVER (PARTITION BY person._at, role.id "
        "ORDER BY role.since DESC, role.version DESC, role._at) AS newest "
        f"FROM person JOIN ({_role(name, words)}) role "
        "ON role.lead_id = person.lead_id AND (person.until IS NULL OR role.since < person.until)) "
        "SELECT *, row_number() OVER (PARTITION BY person_at ORDER BY coalesce(started_at, '') DESC, id) AS rank "
        "FROM known WHERE newest = 1 AND alone = 'main' QUALIFY rank = 1"
    )


def _with_roles(con: duckdb.DuckDBPyConnection, name: str, words: FhirWords) -> None:
    con.execute(f"CREATE TEMP TABLE {name}_main AS {_main_roles(name, words)}")
    of_role = ", ".join(f"main.{quoted(column)}" for column in OF_ROLE)
    con.execute(
        f"CREATE TEMP TABLE {name}_practitioner AS SELECT person.*, {of_role}, nullif(greatest("
        "coalesce(person.last_updated, ''), coalesce(main.since, '')), '') AS known_at "
        f"FROM {name}_practitioner_read person LEFT JOIN {name}_main main ON main.person_at = person._at"
    )
    con.execute(
        f"CREATE TEMP TABLE {name}_practitioner_role AS SELECT role.* EXCLUDE (since, alone), CASE "
        f"WHEN lead_id NOT IN (SELECT lead_id FROM {name}_practitioner_read) THEN 'no_practitioner' "
        f"WHEN alone = 'main' AND _at NOT IN (SELECT _at FROM {name}_main) THEN 'another' ELSE alone END AS standing "
        f"FROM ({_role(name, words)}) role"
    )
    for table in ("main", "practitioner_read", "practitioner_role_read"):
        con.execute(f"DROP TABLE {name}_{table}")
    for table in ("organization", "consent", "resource"):
        con.execute(f"ALTER TABLE {name}_{table}_read RENAME TO {name}_{table}")
