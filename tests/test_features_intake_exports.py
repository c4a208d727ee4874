"""A CRM's export by a mapping: what a row stands for, why another cannot be used, and that the rows add up."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.errors import ConfigInvalid, InputInvalid
from configs.settings import load_export, load_settings
from features.facts import FactBuilder, facts_of
from features.intake.exports.importing import Export, Imported, import_exports
from features.intake.exports.store import Store
from features.intake.link_files import append_links
from features.intake.linkage import LINKS
from features.intake.sources import find_files, read_tables
from features.inventory import Inventory
from features.tables import known_at
from policy.book import Book
from policy.rulings import rule

SETTINGS = load_settings()
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
HEAD = "name: small\nsays: a small CRM\n"
PERSON = """
tables:
  person:
    files: person
    key: id
    version: changed
    skip: [{when: [{column: deleted, equals: ["true"]}], reason: deleted in the CRM}]
    records:
      - table: leads
        fields: {lead_id: id, recorded_at: changed, title: title, mail_domain: {column: mail, domain: true},
                 email_hash: {column: mail, hash: email}, name_hash: {words: [first, last], hash: name},
                 phone_hash: {column: phone, hash: phone},
                 audience: {column: kind, values: {doctor: hcp, patient: patient}}}
      - table: suppressions
        when: [{column: no_mail, flag: true}]
        fields: {lead_id: id, since_at: changed, channel: {value: email}, reason: {value: opt_out}, scope: {value: all}}
      - table: suppressions
        when: [{column: mail_optout, flag: true}]
        fields: {lead_id: id, since_at: changed, channel: {value: email}, reason: {value: opt_out}, scope: {value: all}}
      - table: consents
        when: [{column: mail_optin, given: true}]
        fields: {lead_id: id, captured_at: changed, channel: {value: email}, purpose: {value: promotion},
                 kind: {value: express}, proof: {value: form},
                 status: {column: mail_optin, values: {"yes": granted, "no": withdrawn}}}
"""
T = "2026-01-05T09:00:00Z"


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def mapped(tmp_path: Path, text: str) -> Export:
    file = tmp_path / "small.yaml"
    file.write_text(text if text.startswith("name:") else HEAD + text, encoding="utf-8")
    return Export(load_export(file), "small.yaml", str(tmp_path / "export"))


def run(tmp_path: Path, mapping: str = PERSON, **files: str) -> Imported:
    written(tmp_path / "export", **files)
    found = import_exports([mapped(tmp_path, mapping)], tmp_path / "out")
    adds_up(found)
    return found


def adds_up(found: Imported) -> None:
    for counts in found.counts.values():
        assert counts.used + counts.rejected + counts.duplicate == counts.read
    assert found.rejects.num_rows == sum(counts.rejected for counts in found.counts.values())


def rows(tmp_path: Path, table: str, *fields: str) -> list[Any]:
    read = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
    return [row[fields[0]] if len(fields) == 1 else tuple(row[field] for field in fields) for row in read]


def why(found: Imported) -> list[tuple[int, str, str]]:
    return [(row["line"], row["column"], row["reason"]) for row in found.rejects.to_pylist()]


def test_yes_and_the_unreadable_stop_while_no_and_nothing_say_nothing(tmp_path: Path) -> None:
    stop, silent = ("true", "YES", "1", "maybe", "x", "-"), ("false", "No", "0", "", "  ", "f")
    values = [*stop, *silent]
    run(tmp_path, person="id,changed,no_mail\n" + "".join(f"P{i:02},{T},{v}\n" for i, v in enumerate(values)))
    assert rows(tmp_path, "suppressions", "lead_id") == [f"P{i:02}" for i in range(len(stop))]
    assert rows(tmp_path, "consents", "lead_id") == []  # no flag grants anything, whatever it says


def test_a_stop_whose_column_is_not_in_the_export_is_noted(tmp_path: Path) -> None:
    found = run(tmp_path, person=f"id,changed,no_mail\nA,{T},\nB,{T},no\n")
    assert [(what, count) for what, count in found.notes.items() if "there is no column" in what] == [
        ("small.person -> suppressions: there is no column mail_optout, so nobody is stopped by it", 2)
    ]


def test_of_columns_that_disagree_the_least_permissive_counts(tmp_path: Path) -> None:
    text = f"id,changed,no_mail,mail_optout,mail_optin\nA,{T},true,false,yes\nB,{T},,true,yes\nC,{T},false,no,yes\n"
    run(tmp_path, person=text + f"D,{T},,,\n")
    assert sorted(rows(tmp_path, "suppressions", "lead_id")) == ["A", "B"]
    assert facts_by_mail(tmp_path, "opt_out") == {"A": "yes", "B": "yes", "C": None, "D": None}
    assert facts_by_mail(tmp_path, "consent") == {"A": "granted", "B": "granted", "C": "granted", "D": None}


def test_of_several_columns_of_one_flag_any_yes_is_enough(tmp_path: Path) -> None:
    text = PERSON.replace("column: no_mail, flag: true", "column: [no_mail, mail_optout], flag: true")
    text = text.replace("column: mail_optout, flag: true", "column: [no_mail, mail_optout], flag: false")
    text = text.replace("reason: {value: opt_out}, scope: {value: all}}\n      - table: consents",
                        "reason: {value: no_contact}, scope: {value: all}}\n      - table: consents")  # fmt: skip
    flags = ("no,yes", "yes,no", "no,no", ",maybe", ",")
    lines = "".join(f"{i},{T},{f}\n" for i, f in zip("ABCDE", flags, strict=True))
    run(tmp_path, text, person="id,changed,no_mail,mail_optout\n" + lines)
    found = {(lead[-1], reason) for lead, reason in rows(tmp_path, "suppressions", "lead_id", "reason")}
    assert found == {("A", "opt_out"), ("B", "opt_out"), ("D", "opt_out"), ("C", "no_contact")}


def facts_by_mail(tmp_path: Path, fact: str) -> dict[str, str | None]:
    intake = read_tables(find_files(tmp_path / "out"), SETTINGS, assets=SETTINGS.assets)
    assert intake.rejects.num_rows == 0
    builder, inventory = FactBuilder.of(SETTINGS), Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
    facts = facts_of(known_at(intake.tables, AS_OF), builder, inventory)
    column: Any = facts.columns[fact]
    codes = [column[i, 0, 0] if column.shape[0] > 1 else column[0, 0, 0] for i in range(facts.n)]
    values = SETTINGS.facts[fact].values
    return {lead: values[code - 1] if code else None for lead, code in zip(intake.tables.lead_ids, codes, strict=True)}


def test_a_statement_that_cannot_be_read_takes_consent_back_and_an_unreadable_time_grants_nothing(
    tmp_path: Path,
) -> None:
    run(tmp_path, person=f"id,changed,mail_optin\nA,{T},Yes\nB,{T},no\nC,{T},sort of\nD,{T},\n")
    assert sorted(rows(tmp_path, "consents", "lead_id", "status")) == [
        ("A", "granted"), ("B", "withdrawn"), ("C", "withdrawn"),
    ]  # fmt: skip
    text = PERSON.replace("captured_at: changed", "captured_at: asked")
    run(tmp_path, text, person=f"id,changed,asked,mail_optin\nA,{T},some day,yes\nB,{T},some day,no\n")
    assert sorted(rows(tmp_path, "consents", "lead_id", "status", "captured_at")) == [
        ("A", "none", None), ("B", "withdrawn", None),
    ]  # fmt: skip


def test_a_time_without_a_zone_is_rejected_unless_the_mapping_claims_one(tmp_path: Path) -> None:
    text = "id,changed\nA,2026-01-05 09:00:00\nB,2026-01-05T09:00:00+0100\nC,2026-01-05 09:00:00 UTC\nD,soon\n"
    found = run(tmp_path, person=text)
    assert why(found) == [(2, "changed", "instant without zone"), (5, "changed", "instant without zone")]
    assert rows(tmp_path, "leads", "lead_id") == ["B", "C"]
    found = run(tmp_path, "zone: UTC\n" + PERSON, person=text)
    assert why(found) == [(5, "changed", "expected an instant such as 2026-06-30T09:00:00Z")]
    hours = [(lead, at.astimezone(UTC).hour) for lead, at in rows(tmp_path, "leads", "lead_id", "recorded_at")]
    assert hours == [("A", 9), ("B", 8), ("C", 9)]
    run(tmp_path, "zone: Europe/Berlin\n" + PERSON, person=text)
    assert rows(tmp_path, "leads", "recorded_at")[0].astimezone(UTC).hour == 8  # winter: one hour ahead of UTC


@pytest.mark.parametrize(
    ("cell", "text", "expected"),
    [
        ("{column: changed, time: milliseconds}", "1767603600000", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("{column: changed, time: milliseconds}", "2026-01-05T09:00:00Z", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("{column: changed, time: seconds}", "1767603600", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("{column: changed, zone: UTC}", "2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        (
            '{column: changed, zone: UTC, formats: ["%m/%d/%Y %H:%M"]}',
            "1/5/2026 9:00",
            datetime(2026, 1, 5, 9, tzinfo=UTC),
        ),
        ("{column: changed, time: milliseconds}", "99999999999999999999", None),
        ("{column: changed, zone: UTC}", "infinity", None),
        ("{column: changed, zone: UTC}", "1970-01-01", None),
    ],
)
def test_times_are_read_as_the_mapping_says_they_are_written(
    tmp_path: Path, cell: str, text: str, expected: datetime | None
) -> None:
    found = run(
        tmp_path, PERSON.replace("recorded_at: changed", f"recorded_at: {cell}"), person=f"id,changed\nA,{text}\n"
    )
    assert rows(tmp_path, "leads", "recorded_at") == ([expected] if expected else [])
    assert found.rejects.num_rows == (0 if expected else 1)


def test_a_rejected_row_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    text = '\ufeffid;changed;title\r\nA;soon;"first\nsecond"\r\n\r\nB;%s;one;too many\r\n'
    text += 'C;%s;"5"" disk\n\n"\r\nD;later;x\r\n'
    (folder / "person.csv").write_bytes((text % (T, T)).encode())
    found = run(tmp_path)
    # A begins on 2 and ends on 3, 4 is empty, B is 5, C is 6 to 8, D is 9.
    assert sorted(why(found)) == [
        (2, "changed", "instant without zone"),
        (5, "", "the row does not fit the header: too many columns"),
        (9, "changed", "instant without zone"),
    ]
    assert rows(tmp_path, "leads", "lead_id", "title") == [("C", '5" disk')]


def test_columns_are_found_whatever_their_case_and_punctuation(tmp_path: Path) -> None:
    run(tmp_path, person=f"ID\tChanged \tNo-Mail\nA\t{T}\ttrue\n")
    assert rows(tmp_path, "suppressions", "lead_id") == ["A"]
    with pytest.raises(InputInvalid, match=r"person.csv, column no_mail: expected one column of this name, found 2"):
        run(tmp_path, person=f"id,changed,NoMail,No Mail\nA,{T},1,1\n")
    with pytest.raises(InputInvalid, match=r"person.csv, column id: expected each column once whatever its case"):
        run(tmp_path, person=f"id,ID,changed\nA,B,{T}\n")
    with pytest.raises(InputInvalid, match=r"person.csv, column id: expected this column in the small table person"):
        run(tmp_path, person=f"changed,no_mail\n{T},1\n")


def test_values_that_no_map_knows_are_unknown_and_counted(tmp_path: Path) -> None:
    found = run(tmp_path, person=f"id,changed,kind\nA,{T},Doctor\nB,{T},wizard\nC,{T},\n")
    assert rows(tmp_path, "leads", "audience") == ["hcp", None, None]
    assert found.unmapped == {"small.person -> leads.audience": 1}


def test_parts_of_a_text_are_looked_for_in_order_after_whole_values(tmp_path: Path) -> None:
    cell = "title: {column: title, values: {exactly: whole}, contains: {ab: first, a: second}, otherwise: rest}"
    found = run(
        tmp_path,
        PERSON.replace("title: title", cell),
        person="id,changed,title\n" + "".join(f"{t},{T},{t}\n" for t in ("Exactly", "CAB", "a", "b")),
    )
    assert rows(tmp_path, "leads", "title") == ["whole", "first", "second", "rest"]
    assert found.unmapped == {}


def test_names_mails_and_phones_leave_only_keyed_hashes(tmp_path: Path) -> None:
    text = f"id,changed,mail,first,last,phone,title\nA,{T},Ada@Example.org ,Ada,Löve Lace,+49 (0)89 1234567,ada@x.org\n"
    text += f"B,{T},<ada@example.org>,Lace,Ada Love,0049 89 1234567,nurse\nC,{T},n/a,,,12,\n"
    found = run(tmp_path, person=text)
    one, two, three = pq.read_table(tmp_path / "out" / "leads.parquet").to_pylist()
    key_file = tmp_path / "leadwell-hash.key"
    assert found.key_file == key_file and found.key_made
    assert stat.S_IMODE(os.stat(key_file).st_mode) == 0o600
    key = bytes.fromhex(key_file.read_text().strip())
    assert one["email_hash"] == hmac.new(key, b"email:ada@example.org", hashlib.sha256).hexdigest()[:40]
    assert one["name_hash"] == hmac.new(key, b"name:ada lace love", hashlib.sha256).hexdigest()[:40]
    assert one["phone_hash"] == hmac.new(key, b"phone:49891234567", hashlib.sha256).hexdigest()[:40]
    assert all(one[name] == two[name] for name in ("email_hash", "name_hash", "phone_hash", "mail_domain"))
    assert (three["email_hash"], three["name_hash"], three["phone_hash"], three["mail_domain"]) == (None,) * 4
    assert (one["mail_domain"], one["title"], two["title"]) == ("example.org", None, "nurse")
    everything = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert not any(word in everything for word in (b"Ada", b"ada@", b"1234567"))
    again = run(tmp_path, person=text)  # the key stays, and so do the hashes
    assert not again.key_made and rows(tmp_path, "leads", "email_hash")[0] == one["email_hash"]


@pytest.mark.parametrize(
    "second", ["; jane.doe@x.org", ";jane.doe@x.org", ",jane.doe@x.org", "?subject=jane.doe@x.org"]
)
def test_of_several_addresses_in_one_cell_the_first_counts_and_nothing_is_left_of_the_others(
    tmp_path: Path, second: str
) -> None:
    person = f'id,changed,mail\nA,{T},"Info@Clinic.org{second}"\nB,{T},mailto:info@clinic.org\nC,{T},info@clinic.org\n'
    run(tmp_path, person=person)
    assert set(rows(tmp_path, "leads", "mail_domain")) == {"clinic.org"}
    assert len(set(rows(tmp_path, "leads", "email_hash"))) == 1


def test_an_address_never_becomes_an_id_and_a_bad_key_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, person=f"id,changed\na@b.org,{T}\n{'x' * 65},{T}\n,{T}\n")
    assert why(found) == [
        (2, "id", "an e-mail address where an id is expected"),
        (3, "id", "expected an id of 1 to 64 characters"),
        (4, "id", "the row has no key"),
    ]
    (tmp_path / "short").write_text("abcd")
    for name, expected in (("short", "at least 32 bytes"), ("absent", "expected a file with the key")):
        with pytest.raises(InputInvalid, match=expected):
            import_exports([mapped(tmp_path, PERSON)], tmp_path / "out", key_file=tmp_path / name)


def test_a_row_that_is_there_twice_counts_once_and_a_contradiction_keeps_what_stops(tmp_path: Path) -> None:
    text = "id,changed,no_mail,mail_optin\n"
    text += f"A,{T},,\nA,{T},,\n"  # the same row
    text += f"B,{T},false,no\nB,{T},true,yes\n"  # the second stops, and its grant does not count
    text += f"C,{T},true,\nC,{T},false,\n"  # the second says nothing that holds
    text += f"D,{T},true,\nD,2026-02-05T09:00:00Z,false,\n"  # two versions: both are known, each from its time
    found = run(tmp_path, person=text)
    counts = found.counts["small.person"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (8, 6, 1, 1)
    assert why(found) == [(7, "", "another row with the same key has other content")]
    assert sorted(rows(tmp_path, "suppressions", "lead_id")) == ["B", "C", "D"]
    assert rows(tmp_path, "consents", "lead_id", "status") == [("B", "withdrawn")]
    assert sorted(rows(tmp_path, "leads", "lead_id")) == ["A", "B", "C", "D", "D"]


def test_rows_left_out_on_purpose_say_so(tmp_path: Path) -> None:
    found = run(tmp_path, person=f"id,changed,deleted,no_mail\nA,{T},TRUE,true\nB,{T},false,true\n")
    assert why(found) == [(2, "", "deleted in the CRM")]
    assert rows(tmp_path, "suppressions", "lead_id") == ["B"]


def test_a_stop_stands_although_its_row_is_rejected(tmp_path: Path) -> None:
    found = run(tmp_path, person=f"id,changed,no_mail\nA,soon,true\nB,{T},\n")
    assert [line for line, *_ in why(found)] == [2]
    assert rows(tmp_path, "suppressions", "lead_id", "since_at") == [("A", None)]
    assert found.notes["suppressions: of leads that are not in these exports, so intake will reject them"] == 1


SENT = """
zone: UTC
tables:
  person:
    files: person
    key: id
    records: [{table: leads, fields: {lead_id: id, recorded_at: changed}}]
  mail:
    files: mail
    key: id
    records: []
  open:
    files: open
    records:
      - table: events
        join: {table: mail, column: mail_id, to: id}
        fields: {event_id: id, lead_id: {column: person_id, of: mail}, occurred_at: at, recorded_at: at,
                 kind: {value: email_open}, message_id: mail_id}
      - table: leads
        stub: true
        join: {table: mail, column: mail_id, to: id}
        fields: {lead_id: {column: person_id, of: mail}, recorded_at: at}
  same:
    files: same
    records:
      - table: links
        fields: {lead_id: one, other_lead_id: two, linked_at: at, kind: {value: same}, evidence: {value: crm_merge}}
"""


def test_a_table_joins_another_and_a_row_without_a_match_is_rejected(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        SENT,
        person=f"id,changed\nA,{T}\n",
        mail="id,person_id\nm1,A\nm2,B\n",
        open=f"id,mail_id,at\n1,m1,{T}\n2,m2,{T}\n3,m3,{T}\n",
        same=f"one,two,at\nA,B,{T}\nA,Z,{T}\nA,A,{T}\n",
    )
    assert rows(tmp_path, "events", "event_id", "lead_id", "message_id") == [("1", "A", "m1"), ("2", "B", "m2")]
    assert why(found) == [(4, "mail_id", "no row of mail has this value")]
    assert rows(tmp_path, "leads", "lead_id") == ["A", "B"]  # B is bare: nobody's own row, but somebody all the same
    assert rows(tmp_path, "links", "lead_id", "other_lead_id") == [("A", "B")]
    assert found.notes["links: not written, one end is no lead of these exports"] == 2
    assert found.counts["small.mail"].silent == 2


def test_a_table_that_is_not_there_is_unknown_and_a_wrong_folder_is_an_error(tmp_path: Path) -> None:
    found = run(tmp_path, SENT, person=f"id,changed\nA,{T}\n", open=f"id,mail_id,at\n1,m1,{T}\n")
    assert found.absent == ("small.mail", "small.same")
    assert not (tmp_path / "out" / "links.parquet").exists()
    assert found.notes["small.open: not joined, the export has no mail"] == 1
    (tmp_path / "other").mkdir()
    export = mapped(tmp_path, SENT)
    for where, expected in (
        ("other", "expected tables of a small export, such as person, mail, open, same; found none"),
        ("nowhere", "expected a folder with the export's files"),
    ):
        with pytest.raises(InputInvalid, match=expected):
            import_exports([Export(export.mapping, "", str(tmp_path / where))], tmp_path / "out")
    required = SENT.replace("    files: person\n", "    files: [person, people]\n    required: true\n")
    (tmp_path / "export" / "person.csv").unlink()
    with pytest.raises(InputInvalid, match="expected the small table person, named person or people"):
        run(tmp_path, required)


def test_an_empty_file_is_an_error_and_a_header_alone_means_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match=r"person.csv: expected rows, the file has no byte"):
        run(tmp_path, person="")
    found = run(tmp_path, person="id,changed,no_mail\n")
    assert found.counts["small.person"].read == 0
    assert found.tables == {"leads": 0, "consents": 0, "suppressions": 0}
    with pytest.raises(InputInvalid, match=r"person.csv: expected UTF-8 text"):
        (tmp_path / "export" / "person.csv").write_bytes(b"id,changed\nM\xfcller,1\n")
        run(tmp_path)
    with pytest.raises(InputInvalid, match=r"expected columns of the mapping in the first line, such as id"):
        run(tmp_path, person="who,when\nA,1\n")
    with pytest.raises(InputInvalid, match="expected a line with the names of the columns"):
        run(tmp_path, person='"' + "x" * 200_000)


def test_csv_json_lines_and_a_partitioned_parquet_folder_give_the_same(tmp_path: Path) -> None:
    text = f"id,changed,no_mail,kind\nA,{T},true,doctor\nB,{T},,patient\n"
    expected = run(tmp_path, person=text), rows(tmp_path, "leads", "lead_id", "audience", "recorded_at")
    folder = tmp_path / "export"
    (folder / "person.csv").unlink()
    lines = [{"id": "A", "changed": T, "no_mail": True, "kind": "doctor"}, {"id": "B", "changed": T, "kind": "patient"}]
    (folder / "person.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot json\n")
    found = run(tmp_path)
    assert rows(tmp_path, "leads", "lead_id", "audience", "recorded_at") == expected[1]
    assert rows(tmp_path, "suppressions", "lead_id") == ["A"]
    assert why(found) == [(3, "", "the line is not a JSON object")]
    (folder / "person.jsonl").unlink()
    moment = datetime(2026, 1, 5, 9, tzinfo=UTC)
    for kind, who, stop in (("doctor", "A", True), ("patient", "B", None)):
        part = folder / "person" / f"kind={kind}"
        part.mkdir(parents=True)
        table = pa.table({"id": [who], "changed": pa.array([moment], pa.timestamp("us", "UTC")),
                          "no_mail": pa.array([stop], pa.bool_())})  # fmt: skip
        pq.write_table(table, part / "part-0.parquet")
    run(tmp_path)
    assert rows(tmp_path, "leads", "lead_id", "audience", "recorded_at") == expected[1]
    assert rows(tmp_path, "suppressions", "lead_id") == ["A"]
    run(tmp_path, PERSON.replace("files: person\n", "files: person/kind=d*/part-*\n"))
    assert rows(tmp_path, "leads", "lead_id", "audience") == [("A", "hcp")]


def test_nothing_in_a_mapping_or_a_file_reaches_sql_as_sql(tmp_path: Path) -> None:
    odd = "a\"b'; DROP TABLE x --"
    text = PERSON.replace("title: title", "title: {column: 'a\"b''; DROP TABLE x --', prefix: \"'); --\"}")
    text = text.replace("{value: opt_out}", '{value: "o\'; --"}')
    folder = tmp_path / "export"
    folder.mkdir()
    with (folder / "person.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "changed", "no_mail", odd), ("A'; --", T, "true", "x'y\"z")])
    run(tmp_path, text)
    assert rows(tmp_path, "leads", "lead_id", "title") == [("A'; --", "'); --x'y\"z")]
    assert rows(tmp_path, "suppressions", "reason") == ["o'; --"]
    with pytest.raises(ConfigInvalid, match="expected names or patterns inside the export's folder"):
        run(tmp_path, PERSON.replace("files: person\n", "files: ../secret\n"))


BAD_MAPPINGS = [
    ("title: title", "titel: title", r"small.yaml: tables.person.records.0.fields.titel: leads has no field of this"),
    ("lead_id: id, recorded_at", "recorded_at", r"tables.person.records.0.fields: expected lead_id, which leads must"),
    ("- table: consents", "- table: consent", r"tables.person.records.3.table: expected one of leads, accounts"),
    ("key: id", "keys: id", r"small.yaml: tables.person.keys: Extra inputs are not permitted"),
    ("flag: true", "flag: true, equals: [x]", r"expected one of equals, unless, flag, given and differs_from"),
    (", hash: email", "", r"fields.email_hash: expected hash: email, phone or name"),
    ("files: person", "zone: Mars\n    files: person", r"zone"),
    ("status: {column: mail_optin, values: {\"yes\": granted, \"no\": withdrawn}}", "status: mail_optin",
     r"fields.status: expected a constant, or values"),
    ("recorded_at: changed", "recorded_at: {value: now}", r"an instant is not a constant"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), BAD_MAPPINGS, ids=[new for _, new, _ in BAD_MAPPINGS])
def test_a_mistake_in_a_mapping_is_named_by_file_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in PERSON
    with pytest.raises(ConfigInvalid, match=expected):
        run(tmp_path, PERSON.replace(old, new, 1), person=f"id,changed\nA,{T}\n")


def test_a_second_run_replaces_the_first_and_a_killed_run_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, person=f"id,changed,no_mail\nA,{T},true\n")
    run(tmp_path, person=f"id,changed\nB,{T}\n")
    assert rows(tmp_path, "leads", "lead_id") == ["B"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "leadwell-hash.key", "out", "small.yaml"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, person=f"id,changed\nC,{T}\n")
    assert rows(tmp_path, "leads", "lead_id") == ["B"]
    # Killed so hard that nothing could be cleaned up, between the two renames.
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / "out").rename(tmp_path / ".out.before")
    (tmp_path / "export" / "person.csv").unlink()
    with pytest.raises(InputInvalid):
        run(tmp_path)
    assert rows(tmp_path, "leads", "lead_id") == ["B"]
    run(tmp_path, person=f"id,changed\nC,{T}\n")
    assert rows(tmp_path, "leads", "lead_id") == ["C"]


def test_nothing_but_an_earlier_import_is_replaced(tmp_path: Path) -> None:
    written(tmp_path / "out", precious="a\n1\n")
    with pytest.raises(InputInvalid, match="expected an empty folder or an earlier import"):
        run(tmp_path, person=f"id,changed\nA,{T}\n")
    assert (tmp_path / "out" / "precious.csv").exists()
    with Store(tmp_path / "other", ()), pytest.raises(InputInvalid, match="no other import into this folder"):
        import_exports([mapped(tmp_path, PERSON)], tmp_path / "other")
    for where in (tmp_path / "export", tmp_path):  # a folder above the export would be replaced with it
        with pytest.raises(InputInvalid, match="expected another folder than the export's own"):
            import_exports([mapped(tmp_path, PERSON)], where)
    with pytest.raises(InputInvalid, match="expected the name of a folder"):
        import_exports([mapped(tmp_path, PERSON)], Path("."))


def test_what_people_decided_of_leads_and_other_files_outlive_the_next_import(tmp_path: Path) -> None:
    merged = "  merged: {files: merged, records: [{table: links, fields: {lead_id: one, other_lead_id: two, "
    crm = PERSON + merged + "linked_at: at, kind: {value: same}, evidence: {value: crm_merge}}}]}\n"
    people = f"id,changed,no_mail\nA,{T},true\nB,{T},\nC,{T},\n"
    out = tmp_path / "out"
    run(tmp_path, crm, person=people, merged=f"one,two,at\nA,B,{T}\n")
    said = [("B", "C", AS_OF, AS_OF, "different", "person", 1.0, "steward")]
    columns = list(zip(*said, strict=True))
    append_links(out / "links.parquet", pa.table([pa.array(c, k.type) for c, k in zip(columns, LINKS, strict=True)]
                                                 , schema=LINKS))  # fmt: skip
    (out / "links_review.csv").write_text("lead_id,other_lead_id,kind,by\n", encoding="utf-8")
    for _ in range(2):  # and not twice, however often it runs
        run(tmp_path, crm)
        assert rows(tmp_path, "links", "lead_id", "other_lead_id", "kind") == [
            ("A", "B", "same"),
            ("B", "C", "different"),
        ]
        assert (out / "links_review.csv").is_file()
    # A link that the CRM took back is gone, a table that it no longer has as well; what people said stays.
    run(tmp_path, PERSON)
    assert rows(tmp_path, "links", "kind") == ["different"]
    (out / "suppressions.parquet").rename(out / "cases.parquet")
    cases = "  case: {files: case, records: [{table: cases, fields: {case_id: id, lead_id: who, opened_at: at}}]}\n"
    with pytest.raises(InputInvalid, match="the import writes one"):
        run(tmp_path, crm + cases, case="id,who,at\n")
    assert (out / "cases.parquet").is_file() and rows(tmp_path, "links", "kind") == ["different"]


def test_the_folder_says_where_it_came_from_and_until_when_the_stops_are_complete(tmp_path: Path) -> None:
    person = f"id,changed,no_mail,mail_optout\nA,{T},true,\nB,2026-03-01T00:00:00Z,,\n"
    found = run(tmp_path, person=person)
    assert found.complete_as_of is None
    complete = "complete: [suppressions]\n" + PERSON
    found = run(tmp_path, complete, person=person)
    newest = datetime(2026, 3, 1, tzinfo=UTC)  # the export is at least as new as its newest row
    assert found.complete_as_of == newest
    intake = read_tables(find_files(tmp_path / "out"), SETTINGS)
    assert intake.tables.suppressions_complete_as_of == int(newest.timestamp() * 1e6)
    found = import_exports([mapped(tmp_path, complete)], tmp_path / "out", as_of=AS_OF)
    assert found.complete_as_of == AS_OF
    state = json.loads((tmp_path / "out" / "import.json").read_text())
    assert state["suppressions_complete_as_of"] == "2026-06-30T00:00:00+00:00"
    assert state["sources"][0]["source"] == "small" and len(state["sources"][0]["mapping_sha256"]) == 64
    assert state["counts"]["small.person"] == {"read": 2, "used": 2, "silent": 0, "rejected": 0, "duplicate": 0}
    with (tmp_path / "out" / "counts.csv").open() as stream:
        assert list(csv.reader(stream))[1] == ["small.person", "2", "2", "0", "0", "0"]
    # A stop of nobody may be anybody's, and so may one in a column that the export hides.
    found = run(tmp_path, complete, person=person + f",{T},true,\n")
    assert found.complete_as_of is None
    found = run(tmp_path, complete, person=f"id,changed,no_mail\nA,{T},true\n")
    assert found.complete_as_of is None


def test_two_exports_become_one_folder(tmp_path: Path) -> None:
    written(tmp_path / "export", person=f"id,changed\nA,{T}\n")
    one = mapped(tmp_path, PERSON)
    written(tmp_path / "second", person=f"id,changed,no_mail\nB,{T},true\n")
    found = import_exports([one, Export(one.mapping, "", str(tmp_path / "second"))], tmp_path / "out")
    assert rows(tmp_path, "leads", "lead_id") == ["A", "B"]
    assert found.tables["suppressions"] == 1


def test_stops_of_two_exports_are_complete_until_the_older_of_them(tmp_path: Path) -> None:
    written(tmp_path / "export", person="id,changed,no_mail,mail_optout\nA,2026-06-30T00:00:00Z,,\n")
    written(tmp_path / "second", person=f"id,changed,no_mail,mail_optout\nB,{T},,\n")
    new = mapped(tmp_path, "complete: [suppressions]\n" + PERSON)
    old = Export(new.mapping, "", str(tmp_path / "second"))
    # Who opted out of the older system since then is in neither export.
    for order in ([new, old], [old, new]):
        assert import_exports(order, tmp_path / "out").complete_as_of == datetime(2026, 1, 5, 9, tzinfo=UTC)
    written(tmp_path / "second", person="id,changed,no_mail,mail_optout\nB,,,\n")
    assert import_exports([new, old], tmp_path / "out").complete_as_of is None


DECIDED = """
complete: [suppressions]
tables:
  person:
    files: person
    key: id
    records:
      - table: leads
        fields: {lead_id: id, recorded_at: at, created_at: at, verified_at: at, country: country,
                 audience: {value: hcp}, verified_hcp: {value: true}, adult: {value: true}, language: {value: en}}
      - table: suppressions
        when: [{column: no_mail, flag: true}]
        fields: {lead_id: id, since_at: at, recorded_at: at, channel: {value: email}, reason: {value: opt_out}}
      - table: consents
        when: [{column: asked, given: true}]
        fields: {lead_id: id, captured_at: at, recorded_at: at, channel: {value: email}, purpose: {value: promotion},
                 kind: {value: express}, proof: {value: form},
                 status: {column: asked, values: {"yes": granted, "no": withdrawn}}}
  sent: {files: sent, records: [{table: touches, fields: {touch_id: id, lead_id: who, sent_at: at}}]}
  case: {files: case, records: [{table: cases, fields: {case_id: id, lead_id: who, opened_at: at}}]}
"""


def test_from_export_to_ruling_an_opted_out_lead_is_not_mailed_whatever_else_they_said(tmp_path: Path) -> None:
    day = "2026-06-20T09:00:00Z"
    people = [("A", "US", "true", "yes"), ("B", "US", "", "yes"), ("C", "US", "", "no"), ("D", "DE", "", "")]
    text = "id,at,country,no_mail,asked\n" + "".join(f"{a},{day},{b},{c},{d}\n" for a, b, c, d in people)
    written(tmp_path / "export", person=text, sent="id,who,at\n", case="id,who,at\n")
    import_exports([mapped(tmp_path, DECIDED)], tmp_path / "out", as_of=AS_OF)
    intake = read_tables(find_files(tmp_path / "out"), SETTINGS, assets=SETTINGS.assets)
    inventory = Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
    facts = facts_of(known_at(intake.tables, AS_OF), FactBuilder.of(SETTINGS), inventory)
    rulings = rule(Book.load(SETTINGS, AS_OF.date()), facts)
    everywhere = [  # the rules that forbid e-mail whatever is sent
        set.intersection(*(set(rulings.rule_ids(i, asset, 0)) for asset in range(len(facts.assets)))) for i in range(4)
    ]
    assert not rulings.permitted[[0, 2, 3], :, 0].any()
    assert "GEN-01" in everywhere[0] and "GEN-01" not in everywhere[1]  # the opt-out, although they once agreed
    assert "CNS-01" in everywhere[2] and "CNS-01" not in everywhere[1]  # withdrawn
    assert "NO_LEGAL_BASIS" in everywhere[3]  # nothing said is no permission where one has to be asked


MESSY = st.sampled_from(["", " ", "A", "B", "a@b.org", "x" * 70, "true", "false", "maybe", T, "2026-01-05", "soon",
                         "deleted", 'say "hi"', "two\nlines", ",", "é", "null", "\t"])  # fmt: skip
ROWS = st.lists(st.lists(MESSY, min_size=1, max_size=7), max_size=12)


@given(ROWS, st.lists(st.sampled_from(["A", "B", "C"]), max_size=12), st.sampled_from(",;\t|"))
@profile(deadline=None, max_examples=10)
def test_whatever_the_rows_are_they_add_up(
    tmp_path_factory: pytest.TempPathFactory, messy: list[list[str]], ids: list[str], mark: str
) -> None:
    tmp_path = tmp_path_factory.mktemp("messy")
    folder = tmp_path / "export"
    folder.mkdir()
    header = ["id", "changed", "no_mail", "mail_optout", "mail_optin", "deleted", "title"]
    lines = [[one, T, "true", "", "", "", ""] for one in ids] + messy
    with (folder / "person.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=mark, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *lines])
    found = run(tmp_path)
    assert found.counts["small.person"].read == len(lines)
    starts = {1}
    with (folder / "person.csv").open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream, delimiter=mark)
        starts |= {reader.line_num + 1 for _ in reader}
    assert {line for line, *_ in why(found)} <= starts
    stopped = {row[0] for row in lines if len(row) == 7 and row[2] in ("true", "maybe") and row[5] != "true"}
    assert stopped & {"A", "B", "C"} <= set(rows(tmp_path, "suppressions", "lead_id"))
