"""FHIR R4 files become rows: every resource counted, references resolved, versions in time, nobody named."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.settings import Settings, load_export, load_settings
from features.consent import ConsentCodes, resolve
from features.intake.exports import fhir
from features.intake.exports.fhir_files import MAX_RESOURCE_BYTES
from features.intake.exports.fhir_rows import FhirWords, is_npi
from features.intake.exports.importing import Export, Imported, import_exports
from features.intake.exports.json_text import MAX_DEPTH
from features.intake.exports.staged import Staged
from features.intake.scan import connect
from features.intake.sources import find_files, read_tables
from features.tables import YES, known_at

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "fhir_r4_examples"
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
NPI = "http://hl7.org/fhir/sid/us-npi"
WORDS = FhirWords({NPI: "npi"}, {"specialty": {"http://snomed.info/sct|394579002": "cardiology"}}, AS_OF)
Resource = dict[str, Any]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    session = connect([], memory_limit_mb=None, threads=1, spill=None)
    yield session
    session.close()


def _person(identity: str = "p1", **more: Any) -> Resource:
    return {"resourceType": "Practitioner", "id": identity, **more}


def _role(identity: str = "r1", person: str = "Practitioner/p1", **more: Any) -> Resource:
    return {"resourceType": "PractitionerRole", "id": identity, "practitioner": {"reference": person}, **more}


def _bundle(*resources: Resource) -> Resource:
    entries = [{"fullUrl": f"urn:uuid:{r.get('id')}-url", "resource": r} for r in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _known(when: str) -> Resource:
    return {"meta": {"lastUpdated": when}}


def _stage(con: duckdb.DuckDBPyConnection, folder: Path, *resources: Resource) -> dict[str, Staged]:
    for place, resource in enumerate(resources):
        (folder / f"{place:02}.json").write_text(json.dumps(resource), encoding="utf-8")
    return fhir.stage(con, "f", folder, WORDS)


def _rows(con: duckdb.DuckDBPyConnection, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return con.sql(f"SELECT {', '.join(columns)} FROM f_{table} ORDER BY _at").fetchall()


def _read(con: duckdb.DuckDBPyConnection, staged: dict[str, Staged]) -> int:
    """Resources in rows, rejects and duplicates of all tables."""
    kept = sum(con.sql(f"SELECT count(*) FROM {one.relation}").fetchall()[0][0] for one in staged.values())
    return int(kept) + sum(len(one.unreadable) + one.duplicates for one in staged.values())


def test_a_practitioner_has_what_a_lead_needs_and_no_more(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    person = _person(
        active=True,
        gender="female",
        birthDate="1970-01-01",
        identifier=[
            {"system": "urn:oid:2.16.840.1.113883.2.4.6.3", "value": "123456782"},
            {"system": NPI, "value": "1234567893"},
        ],
        name=[{"use": "old", "family": "Before"}, {"family": "Lind", "given": ["Ada", "B"], "suffix": ["MD"]}],
        telecom=[
            {"system": "email", "use": "home", "value": "ada@home.example"},
            {"system": "email", "use": "work", "value": "ada@clinic.example"},
        ],
        address=[{"use": "home", "country": "US"}, {"use": "work", "country": "DE", "state": "BY"}],
        qualification=[{"code": {"coding": [{"system": "s", "code": "x", "display": "Cardiologist"}]}}],
        communication=[{"coding": [{"system": "urn:ietf:bcp:47", "code": "de-AT"}]}],
    )
    _stage(con, tmp_path, person)
    assert _rows(con, "practitioner", "lead_id", "active", "registry_id", "email", "name", "credentials") == [
        ("Practitioner/p1", "true", "npi:1234567893", "ada@clinic.example", "Ada Lind", "MD")
    ]
    assert _rows(con, "practitioner", "title", "country", "region", "language") == [("Cardiologist", "DE", "BY", "de")]
    columns = {name for name, *_ in con.sql("DESCRIBE f_practitioner").fetchall()}
    assert not columns & {"gender", "birthDate", "birth_date", "photo", "address"}
    assert "123456782" not in str(_rows(con, "practitioner", "*"))


def test_a_number_whose_check_digit_is_wrong_is_no_registry_id(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    assert is_npi("1234567893")
    assert not any(is_npi(number) for number in ("1234567890", "123456789", "12345678931", "123456789x"))
    _stage(con, tmp_path, _person(identifier=[{"system": NPI, "value": "1234567890"}]))
    assert _rows(con, "practitioner", "registry_id") == [(None,)]


def test_the_main_role_is_active_has_not_ended_and_began_last(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    heart = {"specialty": [{"coding": [{"system": "http://snomed.info/sct", "code": "394579002"}]}]}
    _stage(
        con,
        tmp_path,
        _person(),
        _role("r1", period={"start": "2020"}, organization={"reference": "Organization/old"}),
        _role("r2", period={"start": "2024"}, organization={"reference": "Organization/new"}, **heart),
        _role("r3", period={"start": "2025", "end": "2026-06-29"}, organization={"reference": "Organization/gone"}),
        _role("r4", period={"start": "2027"}, organization={"reference": "Organization/later"}),
        _role("r5", active=False, organization={"reference": "Organization/off"}),
        _role("r6", "Practitioner/nobody"),
    )
    assert _rows(con, "practitioner", "account_id", "specialty") == [("Organization/new", "cardiology")]
    assert _rows(con, "practitioner_role", "id", "standing") == [
        ("r1", "another"),
        ("r2", "main"),
        ("r3", "ended"),
        ("r4", "not_begun"),
        ("r5", "inactive"),
        ("r6", "no_practitioner"),
    ]


def test_a_role_that_ends_on_a_day_counts_on_that_day(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    _stage(con, tmp_path, _person(), _role(period={"end": "2026-06-30"}))
    assert _rows(con, "practitioner_role", "standing") == [("main",)]


def test_a_role_recorded_later_was_not_known_before(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    at = [f"2026-0{month}-01T00:00:00Z" for month in range(1, 6)]
    _stage(
        con,
        tmp_path,
        _person(**_known(at[0])),
        _role("r1", organization={"reference": "Organization/a"}, **_known(at[1])),
        _person(**_known(at[2])),
        _role("r1", organization={"reference": "Organization/b"}, **_known(at[3])),
        _person(**_known(at[4])),
    )
    found = _rows(con, "practitioner", "last_updated", "known_at", "account_id")
    assert [(updated[:10], known[:10], account[-1]) for updated, known, account in found] == [
        ("2026-01-01", "2026-02-01", "a"),
        ("2026-03-01", "2026-04-01", "b"),
        ("2026-05-01", "2026-05-01", "b"),
    ]


def test_references_of_every_kind_find_their_organization(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    references = [
        "Organization/top",
        "http://server/fhir/Organization/top",
        "Organization/top/_history/3",
        "urn:uuid:top-url",
        "#contained",
        "Practitioner/top",
    ]
    below = [
        {"resourceType": "Organization", "id": f"o{n}", "partOf": {"reference": one}}
        for n, one in enumerate(references)
    ]
    _stage(con, tmp_path, _bundle({"resourceType": "Organization", "id": "top"}, *below))
    found = [parent for (parent,) in _rows(con, "organization", "parent_account_id")]
    assert found == [None, *["Organization/top"] * 4, None, None]


def test_a_patient_and_a_practitioner_of_one_id_are_two_people(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    stop = {"resourceType": "Consent", "status": "rejected", "dateTime": "2026-01-02"}
    _stage(
        con,
        tmp_path,
        _person("f001"),
        {**stop, "id": "c1", "patient": {"reference": "Patient/f001"}},
        {**stop, "id": "c2", "performer": [{"reference": "Practitioner/f001"}]},
        {**stop, "id": "c3", "performer": [{"reference": "Practitioner/a"}, {"reference": "Practitioner/b"}]},
    )
    assert _rows(con, "consent", "lead_id") == [("Patient/f001",), ("Practitioner/f001",)]


def test_a_permission_counts_late_and_a_stop_as_the_latest_word(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    person = {"performer": [{"reference": "Practitioner/p1"}], "resourceType": "Consent"}
    marketing = {"purpose": [{"code": "HMARKT"}], "type": "permit"}
    grant = {**person, "status": "active", "dateTime": "2026-01-02"}
    period = {"period": {"start": "2026-02-01", "end": "2026-12"}}
    staged = _stage(
        con,
        tmp_path,
        {**grant, "id": "c1", "provision": marketing},
        {**grant, "id": "c2", "provision": {**marketing, **period}},
        {**person, "id": "c3", "status": "rejected", "dateTime": "2026-01-02"},
        {**person, "id": "c4", "status": "rejected", "dateTime": "2026"},
        {**person, "id": "c5", "status": "rejected", "dateTime": "yesterday"},
        {**grant, "id": "c6", "provision": marketing, "dateTime": "yesterday"},
        {**person, "id": "c7", "status": "active", "provision": marketing},
    )
    assert _rows(con, "consent", "id", "status", "captured_at", "expires_at") == [
        ("c1", "granted", "2026-01-02T00:00:00.000000Z", None),
        ("c2", "granted", "2026-02-01T00:00:00.000000Z", "2026-12-31T23:59:59.999999Z"),
        ("c3", "withdrawn", "2026-01-02T23:59:59.999999Z", None),
        ("c4", "withdrawn", "2026-06-30T00:00:00.000000Z", None),
        ("c5", "withdrawn", "2026-06-30T00:00:00.000000Z", None),
    ]
    assert [one.column for one in staged["consent"].unreadable] == ["dateTime", "dateTime"]


def test_a_stop_with_an_unreadable_second_clock_is_kept_and_a_fact_is_not(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    odd = {"meta": {"lastUpdated": "2026-01-01"}}
    stop = {"resourceType": "Consent", "id": "c", "status": "rejected", "patient": {"reference": "Patient/1"}}
    staged = _stage(con, tmp_path, {**stop, **odd}, _person(**odd))
    assert len(_rows(con, "consent", "id")) == 1
    assert [(one.column, one.reason) for one in staged["practitioner"].unreadable] == [
        ("meta.lastUpdated", "expected an instant with a zone")
    ]


BROKEN = {
    "empty.json": (b"", "expected a resource, the file has none"),
    "empty.ndjson": (b"\n \n", "expected resources, the file has none"),
    "cut.json": (b'{"resourceType": "Practitioner", "id"', "expected a JSON object"),
    "list.json": (b"[1, 2]", "expected a JSON object"),
    "latin.json": ('{"resourceType": "Practitioner", "id": "é"}'.encode("latin-1"), "expected a JSON object"),
    "nan.json": (b'{"resourceType": "Practitioner", "id": NaN}', "expected a JSON object"),
    "typeless.json": (b'{"id": "x"}', "expected a resourceType such as Practitioner"),
    "numbered.json": (b'{"resourceType": 7}', "expected a resourceType such as Practitioner"),
    "deep.json": (b'{"resourceType": "Practitioner", "x": ' + b"[" * 41 + b"]" * 41 + b"}", f"most {MAX_DEPTH} levels"),
    "abyss.json": (b'{"resourceType": "Practitioner", "x": ' + b"[" * 10**6 + b"]" * 10**6 + b"}", "levels of nesting"),
    "bundle.json": (b'{"resourceType": "Bundle"}', "the Bundle has none"),
    "inner.ndjson": (b'{"resourceType": "Bundle", "entry": []}', "a Bundle is a file of its own"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_resource_is_rejected_with_its_reason(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, name: str
) -> None:
    raw, reason = BROKEN[name]
    (tmp_path / name).write_bytes(raw)
    (tmp_path / "good.ndjson").write_bytes(b"\xef\xbb\xbf" + json.dumps(_person()).encode() + b"\r\n")
    staged = fhir.stage(con, "f", tmp_path, WORDS)
    (one,) = staged["resource"].unreadable
    assert reason in one.reason
    assert staged["resource"].files[one.place].endswith(name)
    assert len(_rows(con, "practitioner", "id")) == 1


def test_a_resource_that_is_too_large_is_rejected_and_the_next_line_read(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    large = json.dumps(_person(text="x" * MAX_RESOURCE_BYTES))
    (tmp_path / "x.ndjson").write_text(f"{large}\n{json.dumps(_person())}\n", encoding="utf-8")
    (tmp_path / "y.json").write_text(json.dumps(_bundle(_person(text="x" * MAX_RESOURCE_BYTES), _person("p2"))))
    staged = fhir.stage(con, "f", tmp_path, WORDS)
    assert [(one.row, one.reason) for one in staged["resource"].unreadable] == [
        (1, "expected at most 10 MB for one resource"),
        (1, "expected at most 10 MB for one resource"),
    ]
    assert _rows(con, "practitioner", "id", "_at") == [("p1", 2), ("p2", (1 << 40) + 2)]


@pytest.mark.parametrize(
    ("resource", "column"),
    [
        (_person(""), "id"),
        (_person("a b"), "id"),
        (_person("x" * 65), "id"),
        (_person(active="yes"), "active"),
        (_person(modifierExtension=[{"url": "http://x/not", "valueBoolean": True}]), "modifierExtension"),
        (_role(implicitRules="http://x/rules"), "implicitRules"),
        (_role(person="Group/p1"), "practitioner"),
        (_role(period={"start": "soon"}), "period.start"),
        (_role(period={"start": "0000"}), "period.start"),
        (_role(period={"end": "9999-12-31"}), "period.end"),
        (_role(period={"end": "2026-02-30"}), "period.end"),
        (_person(**_known("0001-01-01T00:00:00+14:00")), "meta.lastUpdated"),
        (_person(**_known("2026-01-01T00:00:00")), "meta.lastUpdated"),
        ({"resourceType": "Consent", "id": "c", "status": "rejected"}, "patient"),
        ({"resourceType": "Consent", "id": "c", "patient": {"reference": "Patient/1"}, "status": "draft"}, "status"),
    ],
)
def test_a_resource_that_cannot_be_a_row_names_its_element(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, resource: Resource, column: str
) -> None:
    staged = _stage(con, tmp_path, resource)
    assert [one.column for table in staged.values() for one in table.unreadable] == [column]


def test_an_empty_folder_is_one_clear_line(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(InputInvalid, match=r"expected FHIR R4 files: \.json, \.ndjson or \.jsonl"):
        fhir.stage(con, "f", tmp_path, WORDS)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "meta", "lastUpdated", "name", "identifier", "telecom", "reference", "coding", "use"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_ELEMENTS = st.one_of(
    st.sampled_from(["id", "meta", "active", "identifier", "name", "telecom", "address", "communication"]),
    st.sampled_from(["practitioner", "organization", "code", "specialty", "period", "qualification", "partOf"]),
    st.sampled_from(["status", "patient", "performer", "dateTime", "provision", "policyRule", "category", "scope"]),
)
_RESOURCES = st.fixed_dictionaries(
    {"resourceType": st.sampled_from([*fhir.KINDS, "Location", "Bundle", "", 1])}
).flatmap(lambda base: st.dictionaries(_ELEMENTS, _JSON, max_size=6).map(lambda more: {**more, **base}))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=30) | _RESOURCES.map(lambda r: json.dumps(r).encode()), max_size=6), st.uuids())
def test_whatever_stands_in_a_file_every_line_of_it_is_counted(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, lines: list[bytes], name: UUID
) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    path = tmp_path / "x.ndjson"
    path.write_bytes(b"\n".join(lines))
    staged = fhir.stage(con, f"f{name.hex}", path, WORDS)
    shown = [line.removeprefix(b"\xef\xbb\xbf") if place == 0 else line for place, line in enumerate(lines)]
    full = sum(bool(line.strip()) for line in shown)
    assert _read(con, staged) == (full or 1)
    for one in staged.values():
        con.execute(f"DROP TABLE {one.relation}")


def _import(where: Path, out: Path) -> Imported:
    return import_exports([Export(load_export(Path("fhir")), "fhir.yaml", str(where))], out, as_of=AS_OF)


def test_the_shipped_mapping_makes_tables_without_anything_personal(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    person = _person(
        name=[{"family": "Lind", "given": ["Ada"], "suffix": ["MD"]}],
        telecom=[{"system": "email", "value": "ada@clinic.example"}, {"system": "phone", "value": "+49 89 1234567"}],
        **_known("2026-01-01T00:00:00Z"),
    )
    role = _role(organization={"reference": "Organization/o"}, **_known("2026-02-01T00:00:00Z"))
    site = {"resourceType": "Organization", "id": "o", "address": [{"country": "DEU"}]}
    (tmp_path / "in" / "b.json").write_text(json.dumps(_bundle(person, role, site, person)), encoding="utf-8")
    found = _import(tmp_path / "in", tmp_path / "out")
    counts = {name: (c.read, c.used, c.rejected, c.duplicate) for name, c in found.counts.items()}
    assert counts["fhir.practitioner"] == (2, 1, 0, 1)
    assert counts["fhir.practitioner_role"] == (1, 1, 0, 0)
    leads = pq.read_table(tmp_path / "out" / "leads.parquet").to_pylist()
    # Known in January without the role, in February with it.
    assert sorted((lead["recorded_at"].month, lead["account_id"]) for lead in leads) == [
        (1, None),
        (2, "Organization/o"),
    ]
    assert {(lead["audience"], lead["role"], lead["mail_domain"]) for lead in leads} == {
        ("hcp", "MD", "clinic.example")
    }
    assert pq.read_table(tmp_path / "out" / "accounts.parquet")["country"].to_pylist() == ["DE"]
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert not any(word in written for word in (b"Lind", b"ada@", b"1234567"))
    assert all(len(lead[f"{what}_hash"]) == 40 for lead in leads for what in ("email", "phone", "name"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Imported, Path]:
    if not REAL.is_dir():
        pytest.skip("needs HL7's R4 examples in ../shared/data/fhir_r4_examples")
    out = tmp_path_factory.mktemp("fhir") / "out"
    return _import(REAL, out), out


def test_every_one_of_hl7s_examples_is_counted(real: tuple[Imported, Path]) -> None:
    found, out = real
    counts = {name.removeprefix("fhir."): (c.read, c.used, c.rejected, c.duplicate) for name, c in found.counts.items()}
    assert counts == {
        "organization": (13, 13, 0, 0),
        "practitioner": (14, 14, 0, 0),
        "practitioner_role": (1, 0, 1, 0),
        "consent": (12, 10, 2, 0),
        "resource": (10, 0, 10, 0),
    }
    assert sum(read for read, *_ in counts.values()) == len(list(REAL.glob("*.json")))
    with (out / "rejects.csv").open(encoding="utf-8", newline="") as stream:
        reasons = {(Path(row["file"]).name, row["line"]): row["reason"] for row in csv.DictReader(stream)}
    assert reasons["PractitionerRole-example.json", "1"] == "the role has ended"
    assert reasons["Location-1.json", "1"] == "no table takes resources of this type"


def test_hl7s_practitioners_become_leads_without_their_names(real: tuple[Imported, Path]) -> None:
    _, out = real
    leads = {row["lead_id"]: row for row in pq.read_table(out / "leads.parquet").to_pylist()}
    first = leads["Practitioner/f001"]
    assert (first["registry_id"], first["role"], first["country"], first["mail_domain"]) == (
        "uzi:938273695",
        "MD",
        "NL",
        "bmc.nl",
    )
    assert leads["Practitioner/f201"]["title"] == "Pulmonologist"
    # The examples themselves give two people one number: equal keys are evidence, not proof.
    assert leads["Practitioner/f004"]["registry_id"] == leads["Practitioner/f005"]["registry_id"]
    written = b"".join(file.read_bytes() for file in out.iterdir())
    assert not any(word in written for word in (b"broek", b"Bronsig", b"vandenbroek@", b"129IDH4OP733"))


def test_hl7s_wards_belong_to_their_hospital(real: tuple[Imported, Path]) -> None:
    _, out = real
    accounts = {row["account_id"]: row for row in pq.read_table(out / "accounts.parquet").to_pylist()}
    assert accounts["Organization/f002"]["parent_account_id"] == "Organization/f001"
    assert accounts["Organization/f002"]["kind"] == "site"
    assert (accounts["Organization/f001"]["organization_type"], accounts["Organization/f001"]["care_setting"]) == (
        "hospital",
        "academic",
    )


def test_hl7s_consents_are_stops_of_patients_and_of_no_practitioner(real: tuple[Imported, Path]) -> None:
    _, out = real
    consents = pq.read_table(out / "consents.parquet").to_pylist()
    assert {row["status"] for row in consents} == {"withdrawn"}
    assert {row["lead_id"] for row in consents} == {"Patient/f001", "Patient/example"}


CLAIM = """
      - table: consents
        when: [{column: status, equals: granted}]
        fields:
          lead_id: lead_id
          captured_at: captured_at
          channel: {value: email}
          purpose: purpose
          status: {column: status, values: {granted: granted}}
"""


@pytest.fixture(scope="module")
def shipped() -> Settings:
    return load_settings()


@pytest.mark.parametrize(("claims", "granted"), [(False, None), (True, "granted")])
def test_a_stop_without_a_channel_stops_and_a_grant_without_one_permits_nothing(
    tmp_path: Path, shipped: Settings, claims: bool, granted: str | None
) -> None:
    marketing = {"provision": {"type": "permit", "purpose": [{"code": "HMARKT"}]}}
    consents = [
        {
            "resourceType": "Consent",
            "id": f"c-{person}",
            "status": "active",
            "dateTime": "2026-01-02",
            "performer": [{"reference": f"Practitioner/{person}"}],
            **said,
        }
        for person, said in (("denies", {"policyRule": {"coding": [{"code": "OPTOUT"}]}}), ("permits", marketing))
    ]
    people = [_person(person) for person in ("denies", "permits", "silent")]
    (tmp_path / "in.ndjson").write_text("\n".join(json.dumps(one) for one in (*people, *consents)), encoding="utf-8")
    text = (Path(__file__).parents[1] / "configs" / "sources" / "fhir.yaml").read_text(encoding="utf-8")
    mark = "\n  # What no other table takes"
    (tmp_path / "own.yaml").write_text(text.replace(mark, (CLAIM if claims else "") + mark), encoding="utf-8")
    own = Export(load_export(tmp_path / "own.yaml"), "own.yaml", str(tmp_path / "in.ndjson"))
    import_exports([own], tmp_path / "out", as_of=AS_OF)
    tables = read_tables(find_files(tmp_path / "out"), shipped, as_of=AS_OF).tables
    known = known_at(tables, AS_OF)
    block, _ = resolve(known, ConsentCodes.of(shipped.vocabularies), np.ones(3, dtype=np.uint8))
    email = shipped.vocabularies["channel"].code("email") - 1
    status = shipped.vocabularies["consent_status"]
    found = {
        lead: (status.value(int(block[0, row, email])), int(block[4, row, email]) == YES)
        for row, lead in enumerate(known.lead_ids)
    }
    # The second says that a withdrawal stands.
    assert found == {
        "Practitioner/denies": ("withdrawn", True),
        "Practitioner/permits": (granted, False),
        "Practitioner/silent": (None, False),
    }
