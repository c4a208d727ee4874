"""A request body made from files: what a CRM would send for one lead, as known at an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from configs.errors import InputInvalid
from configs.settings import Settings
from features.encode import encode_records
from features.engagement import EngagementPlan, measure
from features.intake.feed import complete_as_of
from features.intake.titles import Titles
from features.records import TABLES, Account, Lead, Link
from features.tables import UNKNOWN_INSTANT, Tables
from features.view import ViewRules, view_at
from models.bundle import read_bundle

SECTIONS = ("events", "touches", "consents", "suppressions", "cases")
SUMMARY = ("event_count_90d", "demo_request_count_90d", "days_since_last_event")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def view_of(bundle: Path, settings: Settings) -> ViewRules:
    """The view that a bundle's answers rest on; raises BundleRefused where the bundle cannot be read."""
    return replace(ViewRules.of(settings), human=read_bundle(bundle).spec.human_rules(settings.vocabularies))


def request_of(
    files: Mapping[str, Path], lead_id: str, settings: Settings, as_of: datetime, view: ViewRules | None = None
) -> dict[str, Any]:
    """The body of `POST /v1/score` for one lead of Parquet files; raises InputInvalid where there is no such lead.

    Colleagues are summed up as `view` says, which is that of the bundle that will answer (`view_of`): it carries the
    evidence of who made an event, and by other evidence the sums are not those of batch. Without it the settings say.
    """
    view = view or ViewRules.of(settings)
    with duckdb.connect() as con:
        con.execute("SET timezone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        rows = _Rows(con, files)
        lead = _latest(rows.where("leads", "lead_id", [lead_id]), as_of)
        if lead is None:
            raise InputInvalid(str(files["leads"]), f"expected a lead known by {as_of.date()}, found none of this id")
        item: dict[str, Any] = {"lead": _clean(lead, "leads")}
        described = rows.accounts([lead.get("account_id")], as_of)
        named = zip(("account", "parent_account"), described.values(), strict=False)
        item |= {section: found for section, found in named if found is not None}
        # A stop may name an account that no row describes.
        accounts, account = list(described), lead.get("account_id")
        # Who is surely another person by now, or not linked yet, is a colleague like any other.
        people = _connected(lead_id, rows.links([lead_id]), as_of)
        if len(people) > 1:
            links = [row for row in rows.links(people) if {row["lead_id"], row["other_lead_id"]} <= {*people}]
            others = [row for key, row in rows.leads(people, as_of).items() if key != lead_id]
            theirs = rows.accounts([row.get("account_id") for row in others], as_of)
            item["links"], item["linked_leads"] = [_clean(row, "links") for row in links], others
            item["linked_accounts"] = [row for key, row in theirs.items() if row is not None and key not in described]
            accounts += [key for key in theirs if key not in described]
            account = _account_of(lead_id, rows.tables(people, settings, as_of), view, as_of)
        for section in (*SECTIONS, "memberships"):
            if section in files:
                item[section] = [_clean(row, section) for row in rows.section(section, people, accounts)]
        if account:
            item["colleagues"] = _colleagues(rows, people, account, settings, as_of, view)
    complete = _complete(files)
    if complete is not None:
        item["suppressions_complete_as_of"] = complete
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

    def section(self, section: str, people: list[str], accounts: list[str]) -> list[Row]:
        """Rows about these leads, and stops of these accounts."""
        found = self.where(section, "lead_id", people)
        return found + (self.where(section, "account_id", accounts) if section == "suppressions" and accounts else [])

    def leads(self, ids: list[str], as_of: datetime) -> dict[str, Row]:
        """The latest version of each lead that has one."""
        versions: dict[str, list[Row]] = {}
        for row in self.where("leads", "lead_id", ids):
            versions.setdefault(row["lead_id"], []).append(row)
        found = {key: _latest(rows, as_of) for key, rows in sorted(versions.items())}
        return {key: _clean(row, "leads") for key, row in found.items() if row is not None}

    def accounts(self, ids: Sequence[str | None], as_of: datetime) -> dict[str, Row | None]:
        """The latest versions of accounts, each followed by its parent; None where no row describes one."""
        found: dict[str, Row | None] = {}
        for key in sorted({one for one in ids if one}):
            row = _latest(self.where("accounts", "account_id", [key]), as_of)
            found[key] = None if row is None else _clean(row, "accounts")
            above = row.get("parent_account_id") if row else None
            if above and above not in found:
                parent = _latest(self.where("accounts", "account_id", [above]), as_of)
                found[above] = None if parent is None else _clean(parent, "accounts")
        return found

    def links(self, ids: list[str]) -> list[Row]:
        """Links that connect these ids with others, in one or more steps and whatever they say."""
        known, found = set[str](), dict[int, Row]()
        more = set(ids)
        while more - known and "links" in self.files:
            known |= more
            rows = [row for side in ("lead_id", "other_lead_id") for row in self.where("links", side, sorted(known))]
            kept = [row for row in rows if row["lead_id"] != row["other_lead_id"]]
            found = {hash(tuple(map(str, row.values()))): row for row in kept}
            more = {row[side] for row in kept for side in ("lead_id", "other_lead_id")}
        return sorted(found.values(), key=lambda row: tuple(map(str, row.values())))

    def tables(self, people: list[str], settings: Settings, as_of: datetime) -> Tables:
        """Everything about these leads and who they are linked with, encoded."""
        links = self.links(people)
        ids = sorted({*people, *(row[side] for row in links for side in ("lead_id", "other_lead_id"))})
        leads = self.leads(ids, as_of)
        accounts = self.accounts([row.get("account_id") for row in leads.values()], as_of)
        rows: dict[str, list[Any] | None] = {
            section: [TABLES[section](**_clean(row, section)) for row in self.section(section, ids, list(accounts))]
            if section in self.files
            else None
            for section in SECTIONS
        }
        return encode_records(
            [Lead(**{**row, "attributes": None}) for row in leads.values()],
            [Account(**row) for row in accounts.values() if row is not None],
            **rows,  # type: ignore[arg-type]
            vocabularies=settings.vocabularies,
            suppressions_complete_as_of=_complete(self.files),
            titles=Titles(settings.vocabularies),
            links=[Link(**_clean(row, "links")) for row in links],
        )


def _complete(files: Mapping[str, Path]) -> datetime | None:
    complete = complete_as_of(files, None)
    return None if complete == UNKNOWN_INSTANT else datetime.fromtimestamp(complete / 1e6, UTC)


def _connected(lead_id: str, links: list[Row], as_of: datetime) -> list[str]:
    """The ids that a lead's links connect with it, in one or more steps, by the latest word on each pair by then."""
    latest: dict[frozenset[str], tuple[datetime, datetime, bool]] = {}
    for row in links:
        known = row.get("recorded_at") or row["linked_at"]
        if max(known, row["linked_at"]) <= as_of:
            pair, word = frozenset((row["lead_id"], row["other_lead_id"])), (row["linked_at"], known)
            # Of two words of one instant the one that connects counts: whoever may be one person is asked for together.
            latest[pair] = max(latest.get(pair, (*word, False)), (*word, row["kind"] != "different"))
    found, more = {lead_id}, True
    while more:
        near = {one for pair, (*_, one_person) in latest.items() if one_person and pair & found for one in pair}
        more = bool(near - found)
        found |= near
    return sorted(found)


def _account_of(lead_id: str, tables: Tables, view: ViewRules, as_of: datetime) -> str | None:
    """The account of the person that a lead is."""
    known = view_at(tables, as_of, view)
    row = known.lead_ids.tolist().index(lead_id)
    row = row if known.merged is None else int(known.merged.survivor[row])
    place = int(known.leads["account"][row])
    return str(known.account_ids[place]) if place >= 0 else None


def _latest(versions: list[Row], as_of: datetime) -> Row | None:
    known = [row for row in versions if (row.get("recorded_at") or _BEGINNING) <= as_of]
    return max(known, key=lambda row: row.get("recorded_at") or _BEGINNING) if known else None


def _clean(row: Row, table: str) -> Row:
    """The fields a request takes, without those that say nothing."""
    fields = TABLES[table].__struct_fields__
    return {name: value for name, value in row.items() if value is not None and name in fields}


def _colleagues(
    rows: _Rows, people: list[str], account: str, settings: Settings, as_of: datetime, view: ViewRules
) -> list[Row]:
    """Summaries of the account's other leads, by the same road that batch takes."""
    ids = {row["lead_id"] for row in rows.where("leads", "account_id", [account])}
    ids |= {row[side] for row in rows.links(sorted(ids)) for side in ("lead_id", "other_lead_id")}
    ids -= set(people)
    if not ids:
        return []
    tables = rows.tables(sorted(ids), settings, as_of)
    known = view_at(tables, as_of, view)
    measures = measure(known, EngagementPlan.of(settings.features, settings.vocabularies))
    columns = {name: measures.of(name) for name in SUMMARY}
    places = known.leads["account"]
    found = []
    for place, name in enumerate(known.lead_ids.tolist()):
        away = name in people or not known.present[place] or places[place] < 0
        if away or known.account_ids[places[place]] != account:
            continue
        summary: Row = {"lead_id": str(name)}
        for field in ("role", "influence"):
            word = settings.vocabularies[field].value(int(known.leads[field][place]))
            if word is not None:
                summary[field] = word
        found.append(summary | {key: int(c[place]) for key, c in columns.items() if c[place] >= 0})
    return found
