"""Records encode to the arrays that the same rows read from a file encode to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.content import Asset
from configs.errors import InputInvalid
from configs.reader import Reader
from configs.settings import DEFAULTS, Settings, load_settings
from configs.vocabulary import Vocabulary
from features.columns import first_of_each
from features.encode import encode_records
from features.intake.sources import read_tables
from features.intake.titles import Titles
from features.layout import LAYOUTS, MAX_REMEMBERED
from features.records import Account, Case, Colleague, Consent, Event, Lead, PriorMembership, Suppression, Touch
from features.tables import NO, UNKNOWN_INSTANT, YES, Tables, microseconds

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
VOCABULARIES = Reader(DEFAULTS, []).vocabularies()
SETTINGS = Settings.model_construct(vocabularies=VOCABULARIES, quality=load_settings().quality)


def _asset(asset_id: str) -> Asset:
    return Asset(
        asset_id=asset_id,
        title="t",
        kind="guide",
        intent="promotional",
        layer="education",
        audiences=("hcp",),
        markets=("US",),
        channels=("email",),
    )


ASSETS = (_asset("guide"), _asset("video"))


def test_a_table_that_was_not_given_is_unknown_and_an_empty_list_is_none() -> None:
    tables = encode_records([Lead(lead_id="L1")], None, None, [], vocabularies=VOCABULARIES)
    assert tables.events == {} and tables.accounts == {} and tables.cases == {}
    assert set(tables.touches) == {column.name for column in LAYOUTS["touches"].encoded}
    assert all(len(column) == 0 for column in tables.touches.values())
    assert tables.suppressions_complete_as_of == UNKNOWN_INSTANT


def test_codes_follow_the_vocabulary_and_an_unfamiliar_spelling_is_unknown() -> None:
    events = [
        Event(event_id="1", lead_id="L1", occurred_at=T0, recorded_at=T0, kind="email_open", channel="Website"),
        Event(event_id="2", lead_id="L1", occurred_at=T0, recorded_at=T0, kind="Email Click", channel="telepathy"),
        Event(event_id="3", lead_id="L1", occurred_at=T0, recorded_at=T0),
    ]
    tables = encode_records(
        [Lead(lead_id="L1", adult=False, verified_hcp=True)], events=events, vocabularies=VOCABULARIES
    )
    kind, channel = VOCABULARIES["event_kind"], VOCABULARIES["event_channel"]
    assert tables.events["kind"].tolist() == [kind.code("email_open"), kind.code("email_click"), 0]
    assert tables.events["channel"].tolist() == [channel.code("web"), 0, 0]
    assert (tables.leads["adult"][0], tables.leads["verified_hcp"][0]) == (NO, YES)


def test_an_instant_is_exact_to_the_microsecond_and_keeps_its_zone() -> None:
    late = datetime.fromisoformat("2026-05-01T14:00:00.123457+02:00")
    tables = encode_records(
        [Lead(lead_id="L1")],
        consents=[Consent(lead_id="L1", captured_at=late, expires_at=datetime(9999, 12, 31, tzinfo=UTC))],
        vocabularies=VOCABULARIES,
    )
    assert tables.consents["captured_at"][0] == microseconds(T0) + 123457
    assert tables.consents["recorded_at"][0] == tables.consents["captured_at"][0]
    assert tables.consents["expires_at"][0] == microseconds(datetime(9999, 12, 31, tzinfo=UTC))


def test_an_event_sent_twice_counts_once_whatever_its_place() -> None:
    once = Event(event_id="1", lead_id="L1", occurred_at=T0, recorded_at=T0, kind="download")
    other = msgspec.structs.replace(once, recorded_at=T0 + timedelta(hours=1), kind="page_view")
    for rows in ([once, once, other], [other, once, once]):
        tables = encode_records([Lead(lead_id="L1")], events=rows, vocabularies=VOCABULARIES)
        assert tables.events["kind"].tolist() == [VOCABULARIES["event_kind"].code("download")]


def test_a_row_of_another_lead_is_refused_by_its_place() -> None:
    stray = Touch(touch_id="1", lead_id="L2", sent_at=T0)
    with pytest.raises(InputInvalid, match="touches, row 0, column lead_id"):
        encode_records([Lead(lead_id="L1")], touches=[stray], vocabularies=VOCABULARIES)


@pytest.mark.parametrize("year", [1970, 9999])
def test_an_implausible_time_of_an_event_is_refused(year: int) -> None:
    event = Event(event_id="1", lead_id="L1", occurred_at=datetime(year, 1, 1, tzinfo=UTC), recorded_at=T0)
    with pytest.raises(InputInvalid, match="between 1990 and 2200"):
        encode_records([Lead(lead_id="L1")], events=[event], vocabularies=VOCABULARIES)


def test_colleagues_belong_to_the_lead_and_an_unknown_recency_stays_unknown() -> None:
    tables = encode_records(
        [Lead(lead_id="L1")],
        colleagues=[Colleague(lead_id="L9", role="nurse", event_count_90d=3)],
        vocabularies=VOCABULARIES,
    )
    assert tables.colleagues is not None
    assert tables.colleagues["lead"].tolist() == [0]
    assert tables.colleagues["event_count_90d"].tolist() == [3]
    assert tables.colleagues["days_since_last_event"].tolist() == [-1]
    assert encode_records([Lead(lead_id="L1")], vocabularies=VOCABULARIES).colleagues == {}


@pytest.mark.parametrize(
    ("title", "role", "specialty"),
    [
        ("Medical Director", "clinical_leader", None),
        ("Director of Nursing", "nursing_leader", "nursing"),
        ("Oncologist", "physician", "oncology"),
        ("Physician, Cardiology", "physician", "cardiology"),
        ("Physician Assistant", "physician_assistant", None),
        ("Pharmacist Resident", None, None),
        ("Sales Representative, Oncology", "sales", None),
        ("Chief Happiness Officer", None, None),
    ],
)
def test_a_title_gives_role_and_specialty_only_where_it_says_so(
    title: str, role: str | None, specialty: str | None
) -> None:
    found_role, found_specialty = Titles(VOCABULARIES).read(title)
    assert VOCABULARIES["role"].value(found_role) == role
    assert VOCABULARIES["specialty"].value(found_specialty) == specialty


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=12), st.randoms()
)
def test_which_duplicate_stays_depends_on_content_and_not_on_order(
    rows: list[tuple[int, int, int]], random: object
) -> None:
    def kept(order: list[tuple[int, int, int]]) -> tuple[list[tuple[int, int, int]], int, int]:
        key, recorded, kind = (np.array(part) for part in zip(*order, strict=True))
        keep, duplicate, conflict = first_of_each([key], {"recorded_at": recorded, "kind": kind, "key": key})
        assert (keep.astype(int) + duplicate + conflict == 1).all()
        return sorted(row for row, k in zip(order, keep, strict=True) if k), int(duplicate.sum()), int(conflict.sum())

    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert kept(rows) == kept(shuffled)


# --- the same rows by file and by record -------------------------------------------------------------------------

_instants = st.integers(0, 10**14).map(lambda us: T0 - timedelta(microseconds=us))
_maybe = st.one_of


def _coded(name: str) -> st.SearchStrategy[str | None]:
    vocabulary = VOCABULARIES[name]
    return st.one_of(st.none(), st.sampled_from([*sorted(vocabulary.codes), "Not In It"]))


@st.composite
def _world(draw: st.DrawFn) -> dict[str, list[msgspec.Struct]]:
    lead_ids, account_ids = [f"L{i}" for i in range(draw(st.integers(1, 5)))], ["A0", "A1", "A2"]
    maybe_account = st.one_of(st.none(), st.sampled_from(account_ids))
    lead_id, instant, maybe = st.sampled_from(lead_ids), _instants, st.one_of(st.none(), _instants)
    stop_instant = st.one_of(instant, st.sampled_from([datetime(year, 1, 1, tzinfo=UTC) for year in (1980, 2250)]))
    leads = [
        Lead(
            lead_id=name,
            recorded_at=draw(maybe),
            account_id=draw(maybe_account),
            audience=draw(_coded("audience")),
            role=draw(_coded("role")),
            title=draw(st.sampled_from([None, "Cardiologist", "Sales Manager", "RN"])),
            adult=draw(st.sampled_from([None, True, False])),
            country=draw(_coded("country")),
            region=draw(st.sampled_from([None, "north"])),
            created_at=draw(maybe),
        )
        for name in lead_ids
    ]
    accounts = [
        Account(
            account_id=name,
            parent_account_id=draw(st.sampled_from([None, "S0"])),
            recorded_at=draw(maybe),
            size=draw(_coded("size")),
        )
        for name in account_ids
    ]
    events = [
        Event(
            event_id=f"E{draw(st.integers(0, 8))}",
            lead_id=draw(lead_id),
            account_id=draw(maybe_account),
            occurred_at=draw(instant),
            recorded_at=draw(instant),
            kind=draw(_coded("event_kind")),
            asset_id=draw(st.sampled_from([None, "guide", "gone"])),
        )
        for _ in range(draw(st.integers(0, 12)))
    ]
    touches = [
        Touch(touch_id=f"T{i}", lead_id=draw(lead_id), sent_at=draw(instant), channel=draw(_coded("channel")))
        for i in range(draw(st.integers(0, 4)))
    ]
    consents = [
        Consent(
            lead_id=draw(lead_id),
            captured_at=draw(stop_instant),
            recorded_at=draw(maybe),
            status=draw(_coded("consent_status")),
            product=draw(_coded("product")),
            proof=draw(st.sampled_from([None, " ", "form 7", "N/A", "none "])),
            jurisdiction=draw(st.sampled_from([None, "US", "Mars"])),
            expires_at=draw(maybe),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    suppressions = [
        Suppression(lead_id=draw(lead_id), since_at=draw(stop_instant), channel=draw(_coded("channel")))
        for _ in range(draw(st.integers(0, 3)))
    ]
    cases = [
        Case(case_id=f"C{i}", lead_id=draw(lead_id), opened_at=draw(stop_instant), closed_at=draw(maybe))
        for i in range(draw(st.integers(0, 3)))
    ]
    memberships = [
        PriorMembership(lead_id=draw(lead_id), segment_id=f"s{i}", version=i, entered_at=draw(instant))
        for i in range(draw(st.integers(0, 3)))
    ]
    return {
        "leads": leads,
        "accounts": accounts,
        "events": events,
        "touches": touches,
        "consents": consents,
        "suppressions": suppressions,
        "cases": cases,
        "memberships": memberships,
    }


def _canonical(tables: Tables, table: str) -> list[tuple[object, ...]]:
    """Rows of a table with references spelled out, in content order."""
    ids = {"lead": tables.lead_ids, "account": tables.account_ids, "parent": tables.account_ids}
    ids |= {"asset": tables.asset_ids, "segment": tables.segment_ids}
    columns = []
    for name, column in sorted(getattr(tables, table).items()):
        if name in ("case", "message"):
            continue  # numbers tell cases and messages apart and mean nothing else
        names = ids.get(name)
        shown = column.tolist() if names is None else [None if i < 0 else names[i] for i in column.tolist()]
        columns.append([(name, "" if value is None else str(value)) for value in shown])
    return sorted(zip(*columns, strict=True))


def _write(folder: Path, world: dict[str, list[msgspec.Struct]], kind: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for table, rows in world.items():
        path = files[table] = folder / f"{table}.{kind}"
        fields = [c for c in LAYOUTS[table].columns if c.field != "attributes"]
        if kind == "jsonl":
            path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
            continue
        types = {"instant": pa.timestamp("us", "UTC"), "yesno": pa.bool_(), "count": pa.int32()}
        schema = pa.schema([(c.field, types.get(c.kind, pa.string())) for c in fields])
        listed = [{c.field: getattr(row, c.field) for c in fields} for row in rows]
        pq.write_table(pa.Table.from_pylist(listed, schema=schema), path)
    return files


def _online(world: dict[str, list[msgspec.Struct]]) -> Tables:
    return encode_records(  # type: ignore[arg-type]
        **{table: world[table] for table in LAYOUTS if table not in ("outcomes", "links", "assignments")},
        vocabularies=VOCABULARIES,
        asset_ids=[asset.asset_id for asset in ASSETS],
        titles=Titles(VOCABULARIES),
    )


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(world=_world())
def test_rows_from_parquet_encode_as_the_same_records_do(
    world: dict[str, list[msgspec.Struct]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _agree(world, tmp_path_factory.mktemp("w"), "parquet")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(world=_world())
def test_rows_from_json_lines_encode_as_the_same_records_do(
    world: dict[str, list[msgspec.Struct]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _agree({table: rows for table, rows in world.items() if rows}, tmp_path_factory.mktemp("w"), "jsonl")


def _agree(world: dict[str, list[msgspec.Struct]], folder: Path, kind: str) -> None:
    intake = read_tables(_write(folder, world, kind), SETTINGS, assets=ASSETS)
    online = _online({table: world.get(table, []) for table in LAYOUTS})
    for table in world:
        assert _canonical(intake.tables, table) == _canonical(online, table), table
        mine, theirs = getattr(intake.tables, table), getattr(online, table)
        assert {n: c.dtype for n, c in mine.items()} == {n: c.dtype for n, c in theirs.items()}, table
    assert json.dumps(sorted(intake.tables.lead_ids)) == json.dumps(sorted(online.lead_ids))


def test_spellings_from_outside_are_read_alike_however_many_came_before() -> None:
    def kinds(words: list[str]) -> list[int]:
        rows = [
            Event(event_id=str(i), lead_id="L1", occurred_at=T0, recorded_at=T0, kind=word)
            for i, word in enumerate(words)
        ]
        found: list[int] = (
            encode_records([Lead(lead_id="L1")], (), rows, vocabularies=VOCABULARIES).events["kind"].tolist()
        )
        return found

    open_code = VOCABULARIES["event_kind"].code("email_open")
    assert kinds(["EMAIL  open", "no such kind"]) == [open_code, 0]
    assert kinds([f"other {i}" for i in range(MAX_REMEMBERED + 10)]) == [0] * (MAX_REMEMBERED + 10)
    assert kinds(["no such kind", "EMAIL  open", "email   OPEN", "email_open"]) == [0, open_code, open_code, open_code]


def test_vocabularies_that_changed_are_not_mistaken_for_those_before() -> None:
    swapped = dict(VOCABULARIES)
    swapped["country"] = Vocabulary.of("country", {"Utopia": (), "US": ()})
    lead = [Lead(lead_id="L1", country="US")]
    before = encode_records(lead, vocabularies=VOCABULARIES).leads["country"][0]
    assert encode_records(lead, vocabularies=swapped).leads["country"][0] == 2
    assert encode_records(lead, vocabularies=VOCABULARIES).leads["country"][0] == before


@pytest.mark.parametrize("text", [None, "", "  ", "n/a", "N/A", " none", "NULL", "unknown", "missing", "-", "?", "no"])
def test_a_word_that_stands_for_nothing_is_no_evidence_of_a_consent(text: str | None) -> None:
    row = Consent(lead_id="L", captured_at=datetime(2026, 1, 1, tzinfo=UTC), status="granted", proof=text)
    tables = encode_records([Lead(lead_id="L")], consents=[row], vocabularies=SETTINGS.vocabularies)
    assert tables.consents["proven"].tolist() == [NO]
    proven = encode_records([Lead(lead_id="L")], consents=[msgspec.structs.replace(row, proof="form 7")],
                            vocabularies=SETTINGS.vocabularies)  # fmt: skip
    assert proven.consents["proven"].tolist() == [YES]
