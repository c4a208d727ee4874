"""Finding duplicates among leads: exact keys first, then a probabilistic comparison, with people deciding the rest.

Records are compared by keyed hashes and codes only, never by a name, an address or a number. What is found are edges
with evidence (`features/links.py`); nothing is overwritten, and what a person said of a pair is never contradicted.

The comparison is Fellegi and Sunter's (1969), by Splink (Linacre and others 2022) over DuckDB: how often two records of
one person agree is declared in `configs/identity.yaml`, how often strangers do is counted in the data. Nothing is
sampled or iterated, so the same leads give the same links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.identity import LinkageSettings
from configs.settings import Settings
from features.intake.comparison import compared_pairs
from features.intake.scan import Source, quoted
from features.intake.sources import Reading
from features.links import LinkRules, Words, components, latest_words
from features.tables import microseconds

TRAITS = (
    "registry_id", "email_hash", "phone_hash", "name_hash", "mail_domain", "account_id", "territory", "region",
    "role", "specialty", "country",
)  # fmt: skip
CODED = ("role", "specialty", "country")
LINKS = pa.schema(
    [
        ("lead_id", pa.string()),
        ("other_lead_id", pa.string()),
        ("linked_at", pa.timestamp("us", "UTC")),
        ("recorded_at", pa.timestamp("us", "UTC")),
        ("kind", pa.string()),
        ("evidence", pa.string()),
        ("confidence", pa.float64()),
        ("by", pa.string()),
    ]
)
REVIEW = pa.schema(
    [
        ("lead_id", pa.string()),
        ("other_lead_id", pa.string()),
        ("likelihood", pa.float64()),
        ("agree", pa.string()),
        ("differ", pa.string()),
        ("why", pa.string()),
        ("kind", pa.string()),
        ("by", pa.string()),
    ]
)
REFUSED = pa.schema([("why", pa.string()), ("leads", pa.int64()), ("lead_ids", pa.list_(pa.string()))])


@dataclass(frozen=True, slots=True)
class Linkage:
    """What was found: new links, pairs for a person to decide, people who were refused and why.

    `shared` counts for each key the values that too many leads share; `largest` is the largest person with the new
    links, in leads.
    """

    leads: int
    links: pa.Table
    review: pa.Table
    refused: pa.Table
    shared: Mapping[str, int]
    largest: int

    @property
    def by_evidence(self) -> dict[str, int]:
        """New links by the evidence they rest on."""
        values, counts = np.unique(np.array(self.links["evidence"].to_pylist(), dtype=str), return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))


def find_links(
    files: Mapping[str, Path], settings: Settings, as_of: datetime, *, memory_limit_mb: int | None = None
) -> Linkage:
    """Duplicates among the leads of the files as known at `as_of`; the links that are already there are respected.

    INVARIANT: the order of rows never matters, and no pair is linked of which anybody has said anything before.
    """
    rules, cut = settings.identity.linkage, microseconds(as_of)
    given = {table: files[table] for table in ("leads", "links") if table in files}
    with Reading(given, settings, assets=(), memory_limit_mb=memory_limit_mb, threads=2) as reading:
        records = _records(reading, cut)
        words = _words(reading, LinkRules.of(settings), cut)
    with duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}) as con:
        con.execute("SET enable_progress_bar = false")
        con.execute("SET threads = 2")
        con.register("given", records)
        con.execute("CREATE TABLE records AS SELECT * FROM given ORDER BY place")
        pairs, shared = _exact_pairs(con, rules)
        likely = compared_pairs(con, rules, records.num_rows)
        traits = con.sql("SELECT * FROM records ORDER BY place").to_arrow_table()
    return _settled(traits, words, pairs, likely, rules, shared, as_of, len(reading.lead_ids))


def _records(reading: Reading, cut: int) -> pa.Table:
    """The latest version of each lead by the cut: its row of `lead_ids` as `place`, its id and its traits as text."""
    source = reading.sources["leads"]
    con, raw = reading.con, f"raw_{source.layout.table}"
    there = {str(name) for name, *_ in con.sql(f"DESCRIBE {raw}").fetchall()}
    select, joins = [], []
    for trait in TRAITS:
        if trait not in there:
            select.append(f"NULL::VARCHAR AS {trait}")
        elif trait in CODED:
            joins.append(f"LEFT JOIN code_leads_{trait} c_{trait} ON c_{trait}.spelling = CAST(t.{trait} AS VARCHAR)")
            select.append(f"CAST(nullif(c_{trait}.code, 0) AS VARCHAR) AS {trait}")
        else:
            select.append(f"nullif(lower(trim(CAST(r.{quoted(trait)} AS VARCHAR))), '') AS {trait}")
    recorded = _recorded(source, "recorded_at", "created_at")
    # Of versions recorded at one instant the first by content, whatever their order in the files.
    order = ", ".join(f"{trait} NULLS LAST" for trait in TRAITS)
    return con.sql(
        f"WITH versions AS (SELECT i.lead AS place, t.lead_id, {', '.join(select)}, {recorded} AS recorded "
        f"FROM {source.relation} t JOIN {raw} r ON r._at = t._at JOIN lead_ids i ON i.id = t.lead_id {' '.join(joins)} "
        f"WHERE t._bad = 0 AND {recorded} <= {cut}) "
        f"SELECT place, lead_id, {', '.join(TRAITS)} FROM versions "
        f"QUALIFY row_number() OVER (PARTITION BY place ORDER BY recorded DESC, {order}) = 1 ORDER BY place"
    ).to_arrow_table()


def _recorded(source: Source, *columns: str) -> str:
    """SQL of the first of these instants that a row has; always known where it has none."""
    return f"coalesce({', '.join([*(f't.{name}' for name in columns if name in source.fields), '0'])})"


def _words(reading: Reading, rules: LinkRules, cut: int) -> Words:
    """What the links that are there say by the cut."""
    source = reading.sources.get("links")
    if source is None:
        none = np.zeros(0, dtype=np.int64)
        return Words(none, none, np.zeros(0, dtype=np.bool_), none.astype(np.uint64))
    recorded = _recorded(source, "recorded_at", "linked_at")
    found = reading.con.sql(
        f"SELECT a.lead, b.lead AS other, coalesce(k.code, 0) AS kind, coalesce(t.linked_at, 0) AS linked_at, "
        f"{recorded} AS recorded_at FROM {source.relation} t JOIN lead_ids a ON a.id = t.lead_id "
        "JOIN lead_ids b ON b.id = t.other_lead_id LEFT JOIN code_links_kind k ON k.spelling = CAST(t.kind AS VARCHAR) "
        "WHERE t._bad = 0"
    ).to_arrow_table()
    return latest_words({name: found[name].to_numpy() for name in found.column_names}, cut, rules)


def _exact_pairs(con: duckdb.DuckDBPyConnection, rules: LinkageSettings) -> tuple[pa.Table, dict[str, int]]:
    """Pairs (`low`, `high`) that share a key, with the key as `evidence` and whether it is strong enough (`sure`)."""
    shared: dict[str, int] = {}
    found: list[str] = []
    for key, rule in rules.keys.items():
        sizes = f"SELECT {key}, count(*) AS n FROM records WHERE {key} IS NOT NULL GROUP BY 1"
        shared[key] = int(con.sql(f"SELECT count(*) FROM ({sizes}) WHERE n > {rule.max_leads}").fetchall()[0][0])
        # A key whose leads differ in a trait is shared by people: it links only those known to be equal in it.
        mixed = ", ".join(f"count(DISTINCT {trait}) > 1 AS mixed_{trait}" for trait in rule.unless_differ)
        usable = (
            f"SELECT {key}{', ' + mixed if mixed else ''} FROM records WHERE {key} IS NOT NULL GROUP BY 1 "
            f"HAVING count(*) BETWEEN 2 AND {rule.max_leads}"
        )
        tests = [f"(NOT mixed_{trait} OR coalesce(a.{trait} = b.{trait}, false))" for trait in rule.unless_differ]
        tests += [f"coalesce(a.{trait} = b.{trait}, false)" for trait in rule.needs]
        found.append(
            f"SELECT a.place AS low, b.place AS high, '{key}' AS evidence, {' AND '.join(tests) or 'true'} AS sure "
            f"FROM ({usable}) k JOIN records a ON a.{key} = k.{key} JOIN records b ON b.{key} = k.{key} "
            "AND a.place < b.place"
        )
    query = " UNION ALL ".join(found) or "SELECT 0 AS low, 0 AS high, '' AS evidence, false AS sure WHERE false"
    return con.sql(f"SELECT * FROM ({query}) ORDER BY low, high, evidence").to_arrow_table(), shared


def _settled(
    traits: pa.Table,
    words: Words,
    exact: pa.Table,
    likely: pa.Table,
    rules: LinkageSettings,
    shared: Mapping[str, int],
    as_of: datetime,
    size: int,
) -> Linkage:
    """Sort pairs into linked, for review and refused."""
    values = _Traits(traits, size)
    spoken = set(zip(words.low.tolist(), words.high.tolist(), strict=True))
    linked: dict[tuple[int, int], tuple[str, float]] = {}
    review: dict[tuple[int, int], tuple[float, str]] = {}
    for low, high, evidence, sure in zip(*(exact[name].to_pylist() for name in exact.column_names), strict=True):
        pair = (low, high)
        if pair in spoken or any(values.differ(trait, low, high) for trait in rules.never):
            continue
        if sure:
            linked.setdefault(pair, (evidence, 1.0))
        elif evidence == "registry_id":
            review[pair] = (1.0, "same registry id, other traits differ")
    for low, high, probability in zip(*(likely[name].to_pylist() for name in ("low", "high", "p")), strict=True):
        pair = (low, high)
        if pair in spoken or pair in linked or any(values.differ(trait, low, high) for trait in rules.never):
            continue
        if probability >= rules.merge_at and any(values.agree(trait, low, high) for trait in rules.merge_needs):
            review.pop(pair, None)
            linked[pair] = ("probabilistic", round(probability, 6))
        else:
            likely_enough = probability >= rules.merge_at
            needed = f"likely, but {' or '.join(rules.merge_needs)} is not known to agree"
            review.setdefault(pair, (round(probability, 6), needed if likely_enough else "neither sure nor unlikely"))
    kept, refused, largest = _people(linked, words, values, rules, size)
    moment, ids = as_of, values.ids
    rows = [
        (*sorted((ids[low], ids[high])), moment, moment, "same", *linked[low, high], "leadwell data link")
        for low, high in kept
    ]
    asked = [
        (
            *sorted((ids[low], ids[high])),
            p,
            values.listed(low, high, True),
            values.listed(low, high, False),
            why,
            None,
            None,
        )
        for (low, high), (p, why) in sorted(review.items())
        if (low, high) not in linked
    ]
    return Linkage(
        leads=traits.num_rows,
        links=_table(sorted(rows), LINKS),
        review=_table(sorted(asked, key=_likeliest_first), REVIEW),
        refused=_table(refused, REFUSED),
        shared=shared,
        largest=largest,
    )


def _people(
    linked: Mapping[tuple[int, int], object], words: Words, values: _Traits, rules: LinkageSettings, size: int
) -> tuple[list[tuple[int, int]], list[tuple[str, int, list[str]]], int]:
    """New pairs whose person holds together, the people who do not, and how many leads the largest that does has.

    INVARIANT: a chain of new links never joins what a person told apart.
    """
    pairs = sorted(linked)
    new = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    low = np.concatenate((words.low[words.together], new[:, 0]))
    high = np.concatenate((words.high[words.together], new[:, 1]))
    group = components(low, high, size)
    touched = np.unique(group[new[:, 0]])
    told = ~words.together
    split = group[words.low[told]][group[words.low[told]] == group[words.high[told]]]
    sizes = np.bincount(group, minlength=size)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(size + 1))
    refused: list[tuple[str, int, list[str]]] = []
    bad: set[int] = set()
    for root in touched.tolist():
        members = order[starts[root] : starts[root + 1]].tolist()
        why = ""
        if len(members) > rules.max_people:
            why = f"more than {rules.max_people} leads linked to each other"
        elif root in split:
            why = "somebody told two of them apart"
        elif any(values.distinct(trait, members) > 1 for trait in rules.never):
            why = f"two of them differ in {' or '.join(rules.never)}"
        if why:
            bad.add(root)
            refused.append((why, len(members), sorted(values.ids[place] for place in members)))
    kept = [pair for pair in pairs if int(group[pair[0]]) not in bad]
    whole = np.ones(size, dtype=np.bool_)
    whole[list(bad)] = False
    return kept, sorted(refused, key=lambda one: (-one[1], one[2])), int((sizes * whole).max(initial=0))


class _Traits:
    """Traits of records by row of `lead_ids`; a lead that only links know has none."""

    def __init__(self, records: pa.Table, size: int) -> None:
        places: NDArray[np.int64] = records["place"].to_numpy()
        self.ids: list[str] = [""] * size
        self.found: dict[str, list[str | None]] = {trait: [None] * size for trait in TRAITS}
        for name, into in (("lead_id", self.ids), *self.found.items()):
            column: list[str | None] = into  # type: ignore[assignment]
            for place, value in zip(places.tolist(), records[name].to_pylist(), strict=True):
                column[place] = value

    def agree(self, trait: str, low: int, high: int) -> bool:
        one = self.found[trait][low]
        return one is not None and one == self.found[trait][high]

    def differ(self, trait: str, low: int, high: int) -> bool:
        one, two = self.found[trait][low], self.found[trait][high]
        return one is not None and two is not None and one != two

    def distinct(self, trait: str, members: Sequence[int]) -> int:
        return len({self.found[trait][place] for place in members} - {None})

    def listed(self, low: int, high: int, alike: bool) -> str:
        told = self.agree if alike else self.differ
        return ", ".join(trait for trait in TRAITS if told(trait, low, high))


def _likeliest_first(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return -row[2], row[0], row[1]


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in schema]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)], schema=schema)
