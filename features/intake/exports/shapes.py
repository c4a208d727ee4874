"""Exports that are no tables, FHIR and CloudEvents, staged as the tables their mapping names."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb

from configs.errors import ConfigInvalid, Problem
from configs.exports import ExportMapping
from features.intake.exports import cloud_events, fhir
from features.intake.exports.fhir_rows import FhirWords
from features.intake.exports.staged import Staged

SHAPES = ("fhir", "cloud_events")


def stage_shape(
    con: duckdb.DuckDBPyConnection, name: str, mapping: ExportMapping, where: Path, as_of: datetime | None
) -> dict[str, Staged]:
    """Stage the files of a mapping whose format is fhir or cloud_events, by the mapping's names of tables.

    Raises:
        ConfigInvalid: the mapping names a table that this format does not have.
        InputInvalid: there is no file of this format.
    """
    known = ("event",) if mapping.format == "cloud_events" else fhir.TABLES
    wrong = [(table, f"expected one of {', '.join(known)}") for table in mapping.tables if table not in known]
    if known[-1] not in mapping.tables:
        # Without it what no other table takes would be dropped in silence.
        wrong.append((known[-1], "expected this table"))
    if wrong:
        raise ConfigInvalid([Problem(mapping.name, f"tables.{table}", expected) for table, expected in wrong])
    if mapping.format == "cloud_events":
        return {"event": cloud_events.stage(con, f"{name}_event", where, mapping.columns_of("event"))}
    words = FhirWords(mapping.registries, mapping.codes, as_of)
    staged = fhir.stage(con, name, where, words, frozenset(mapping.tables))
    return {table: staged[table] for table in mapping.tables}
