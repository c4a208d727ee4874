"""A request body made from files: what a CRM would send for one lead, as known at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from configs.errors import InputInvalid
from configs.settings import Settings
from features.encode import encode_records
from features.engagement import EngagementPlan, measure
from features.intake.sources import complete_as_of
from features.records import TABLES, Event, Lead
from features.tables import UNKNOWN_INSTANT
from features.view import ViewRules, view_at

SECTIONS = ("events", "touches", "consents", "suppressions", "cases")
SUMMARY = ("event_count_90d", "demo_request_count_90d", "days_since_last_event")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def request_of(files: Mapping[str, Path], lead_id: str, settings: Settings, as_of: datetime) -> dict[str, Any]:
    """The body of `POST /v1/score` for one lead of Parquet files; raises InputInvalid where there is no such lead."""
    with duckdb.connect() as con:
        con.execute("SET timezone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        rows = _Rows(con, files)
        lead = _latest(rows.where("leads", "lead_id", [lead_id]), as_of)
        if lead is None:
            raise InputInvalid(str(files["leads"]), f"expected a lead known by {as_of.date()}, found none of this id")
        item: dict[str, Any] = {"lead": _clean(lead, "leads")}
        accounts: list[str] = []
        above = lead.get("account_id")
        for section in ("account", "parent_account"):
            found = _latest(rows.where("accounts", "account_id", [above]), as_of) if above else None
            if above:
                # A stop may name an account that no row describes.
                accounts.append(str(above))
            if found is not None:
                item[section] = _clean(found, "accounts")
            above = found.get("parent_account_id") if found else None
        for section in SECTIONS:
            if section in files:
                own = rows.where(section, "lead_id", [lead_id])
                own += rows.where(section, "account_id", accounts) if section == "suppressions" and accounts else []
                item[section] = [_clean(row, section) for row in own]
        if lead.get("account_id"):
            item["colleagues"] = _colleagues(rows, lead, settings, as_of)
    complete = complete_as_of(files, None)
    if complete != UNKNOWN_INSTANT:
        item["suppressions_complete_as_of"] = datetime.fromtimestamp(complete / 1e6, UTC)
    plain: dict[str, Any] = msgspec.to_builtins({"leads": [item]})
    return plain


class _Rows:
    """Rows of the files by key, every value a parameter."""

    def __init__(self, con: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
        self.con, self.files = con, files

    def where(self, table: str, key: str, values: list[str]) -> list[Row]:
        path = self.files.get(table)
        if path is None:
            return []
        pattern = str(path / "*.parquet") if path.is_dir() else str(path)
        if not pattern.endswith(".parquet"):
            raise InputInvalid(str(path), "expected Parquet to make a request from")
        try:
            source = self.con.sql("SELECT * FROM read_parquet(?)", params=[pattern])
            if key not in source.columns and table not in ("leads", "accounts"):
                return []  # such as suppressions that name accounts only
            query = f'SELECT * FROM read_parquet(?) WHERE "{key}" IN (SELECT unnest(?))'
            found: list[Row] = self.con.sql(query, params=[pattern, values]).to_arrow_table().to_pylist()
        except duckdb.Error:
            # What DuckDB says may quote the content, so only the file is named.
            raise InputInvalid(str(path), "expected readable Parquet with this column", field=key) from None
        return found


def _latest(versions: list[Row], as_of: datetime) -> Row | None:
    known = [row for row in versions if (row.get("recorded_at") or _BEGINNING) <= as_of]
    return max(known, key=lambda row: row.get("recorded_at") or _BEGINNING) if known else None


def _clean(row: Row, table: str) -> Row:
    """The fields a request takes, without those that say nothing."""
    fields = TABLES[table].__struct_fields__
    return {name: value for name, value in row.items() if value is not None and name in fields}


def _colleagues(rows: _Rows, lead: Row, settings: Settings, as_of: datetime) -> list[Row]:
    """Summaries of the other leads of the account, by the same kernel that batch uses."""
    account = str(lead["account_id"])
    versions: dict[str, list[Row]] = {}
    ids = [row["lead_id"] for row in rows.where("leads", "account_id", [account])]
    for row in rows.where("leads", "lead_id", sorted(set(ids) - {lead["lead_id"]})):
        versions.setdefault(row["lead_id"], []).append(row)
    latest = {key: _latest(found, as_of) for key, found in versions.items()}
    others = [row for row in latest.values() if row is not None and row.get("account_id") == account]
    if not others:
        return []
    own = [row["lead_id"] for row in others]
    events = [_clean(row, "events") | {"account_id": None} for row in rows.where("events", "lead_id", own)]
    tables = encode_records(
        [Lead(lead_id=lead_id) for lead_id in own],
        [],
        [Event(**event) for event in events],
        None,
        None,
        None,
        None,
        None,
        None,
        vocabularies=settings.vocabularies,
        asset_ids=(),
        suppressions_complete_as_of=None,
    )
    known = view_at(tables, as_of, ViewRules.of(settings))
    measures = measure(known, EngagementPlan.of(settings.features, settings.vocabularies))
    columns = {name: measures.of(name) for name in SUMMARY}
    found = []
    for place, row in enumerate(others):
        summary = {name: row[name] for name in ("lead_id", "role", "influence") if row.get(name)}
        found.append(summary | {name: int(c[place]) for name, c in columns.items() if c[place] >= 0})
    return found
