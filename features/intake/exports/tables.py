"""The canonical tables that the inputs of an import give, written; a table nobody could give stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from configs.errors import InputInvalid
from features.intake.exports.cells import SQL_TYPES, fields_of
from features.intake.exports.convert import Export, Work, count_of, noted
from features.intake.exports.store import Store
from features.intake.staging import quoted
from features.records import TABLES

_ONCE = ("suppressions", "consents", "links")
_OF_A_LEAD = ("events", "touches", "consents", "suppressions", "cases", "outcomes", "assignments")


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of each table written, and until when the suppressions are complete."""

    rows: dict[str, int]
    complete_as_of: datetime | None


def write(
    con: duckdb.DuckDBPyConnection, store: Store, work: Work, as_of: datetime | None, exports: Sequence[Export]
) -> Written:
    """Write the canonical tables that the inputs could give; a table nobody could give stays unknown."""
    if "leads" not in work.fields:
        raise InputInvalid(exports[0].where, "expected a table that gives leads")
    # Leads come first: who is known decides whose stops are kept of rows that a mapping leaves out.
    for table in sorted(work.fields, key=lambda name: name != "leads"):
        known = work.fields[table]
        fields = [one for name, one in fields_of(table).items() if name in known]
        empty = ", ".join(f"CAST(NULL AS {SQL_TYPES[one.kind]}) AS {quoted(one.name)}" for one in fields)
        parts = [f"SELECT {empty} WHERE false", *work.records.get(table, [])]
        if table == "suppressions":
            of_known = "WHERE lead_id IN (SELECT lead_id FROM known_leads)"
            parts += [f"SELECT * FROM ({statement}) {of_known}" for statement in work.left_out]
        once = "DISTINCT " if table in _ONCE else ""
        con.execute(f"CREATE TEMP VIEW all_{table} AS SELECT {once}* FROM ({' UNION ALL BY NAME '.join(parts)})")
        if table == "leads":
            _stubs(con, work)
    rows: dict[str, int] = {}
    complete = _complete_as_of(con, work, as_of, exports)
    for table in TABLES:
        if table not in work.fields:
            continue
        source = f"all_{table}" if table != "leads" else "known_leads"
        where = ""
        if table == "links":
            ends = " AND ".join(f"{one} IN (SELECT lead_id FROM known_leads)" for one in ("lead_id", "other_lead_id"))
            where = f" WHERE {ends} AND lead_id <> other_lead_id"
            lost = count_of(con, f"SELECT count(*) FROM all_links WHERE NOT ({ends}) OR lead_id = other_lead_id")
            noted(work.notes, "links: not written, one end is no lead of these exports", lost)
        if table in _OF_A_LEAD:
            lost = count_of(
                con,
                f"SELECT count(*) FROM {source} WHERE lead_id IS NOT NULL AND lead_id NOT IN "
                f"(SELECT lead_id FROM known_leads)",
            )
            noted(work.notes, f"{table}: of leads that are not in these exports, so intake will reject them", lost)
        metadata = {"complete_as_of": complete.isoformat()} if complete and table == "suppressions" else {}
        # What is made distinct has no order of its own; the same export must give the same file.
        order = " ORDER BY ALL" if table in _ONCE else ""
        reader = con.sql(f"SELECT * FROM {source}{where}{order}").to_arrow_reader(1 << 16)
        rows[table] = store.write(table, reader, metadata)
    return Written(rows, complete)


def _stubs(con: duckdb.DuckDBPyConnection, work: Work) -> None:
    """Leads, with a bare one for each whose own row is not in the export."""
    con.execute("CREATE TEMP TABLE full_leads AS SELECT * FROM all_leads")
    parts = ["SELECT * FROM full_leads"]
    if work.stubs:
        bare = " UNION ALL BY NAME ".join(work.stubs)
        # One for each, the earliest; equal instants cannot be told apart and are the same stub.
        parts.append(
            f"SELECT * FROM ({bare}) WHERE lead_id NOT IN (SELECT lead_id FROM full_leads) "
            "QUALIFY row_number() OVER (PARTITION BY lead_id ORDER BY recorded_at NULLS LAST) = 1"
        )
    con.execute(f"CREATE TEMP TABLE known_leads AS {' UNION ALL BY NAME '.join(parts)}")
    made = count_of(con, "SELECT count(*) FROM known_leads") - count_of(con, "SELECT count(*) FROM full_leads")
    noted(work.notes, "leads: bare ones, whose own row is not in these exports", made)


def _complete_as_of(
    con: duckdb.DuckDBPyConnection, work: Work, as_of: datetime | None, exports: Sequence[Export]
) -> datetime | None:
    """Until when the suppressions are complete: only where every mapping claims so and no stop was lost."""
    if "suppressions" not in work.fields or not all("suppressions" in e.mapping.complete for e in exports):
        return None
    if work.lost_stops:
        noted(work.notes, "suppressions: some could not be read, so the feed does not count as complete", 1)
        return None
    if as_of is not None:
        return as_of.astimezone(UTC)
    # An export is at least as new as the newest row in it, and all together are as new as the oldest of them.
    newest = []
    for place in range(len(exports)):
        parts = work.recorded.get(place, ["SELECT NULL::TIMESTAMPTZ AS recorded_at"])
        query = f"SELECT epoch_us(max(recorded_at)) FROM ({' UNION ALL '.join(parts)})"
        newest.append(con.sql(query).fetchall()[0][0])
    if None in newest:
        return None
    return datetime.fromtimestamp(min(newest) / 1e6, UTC)
