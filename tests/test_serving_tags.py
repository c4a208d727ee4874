"""Tags for a CRM: approved, fresh and lawful only; written or withheld with a reason; the same bytes twice."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from configs.activation import ACCOUNT_TAGS, LEAD_TAGS, activation_problems
from configs.content import Approval
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.intake.settle import root_of
from features.intake.sources import find_files, read_tables
from features.records import Account, Case, Consent, Event, Lead, Suppression
from features.tables import Tables
from serving.account_columns import account_segments
from serving.accounts.view import view_accounts
from serving.decide import Decider
from serving.memberships.apply import apply
from serving.memberships.readiness_file import Told
from serving.memberships.state import SCHEMA
from serving.tags.activate import LEADS as LEAD_FILE
from serving.tags.activate import activate
from serving.tags.crm_files import write_crm_files
from serving.tags.tagged import HEALTH, NOT_APPROVED, NOT_CLEAR, NOT_PLACED, OTHER_VERSION, UNSAFE_ID
from serving.tags.tags import Tags, tags_of

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)
ONCOLOGY, LAB, IMPLANT = "onc_community_center", "dx_independent_lab_qc", "implant_ortho_vac"


@cache
def shipped() -> Settings:
    return load_settings()


def person(lead_id: str, **facts: object) -> Lead:
    own = {"audience": "hcp", "country": "US", "account_id": "A1", "recorded_at": DAY, "created_at": DAY} | facts
    return Lead(lead_id=lead_id, **own)  # type: ignore[arg-type]


def placed(*rows: tuple[str, str], status: str = "active", version: int = 1, left: datetime | None = None) -> pa.Table:
    """Memberships of the state: (lead, segment); the first of each lead is primary."""
    seen: set[str] = set()
    found = []
    for lead_id, segment_id in rows:
        found.append(
            {
                "lead_id": lead_id, "segment_id": segment_id, "version": version, "entered_at": DAY, "left_at": left,
                "status": status, "entry": 1, "primary": lead_id not in seen,
            }
        )  # fmt: skip
        seen.add(lead_id)
    return pa.Table.from_pylist(found, schema=SCHEMA)


def made(
    leads: list[Lead],
    memberships: pa.Table,
    *,
    accounts: list[Account] | None = None,
    events: list[Event] | None = None,
    cases: list[Case] | None = None,
    suppressions: list[Suppression] | None = None,
    consents: list[Consent] | None = None,
    settings: Settings | None = None,
    below: tuple[str, ...] = (),
    told: Told | None = None,
    fresh: bool = True,
) -> Tags:
    own = settings or shipped()
    tables: Tables = encode_records(
        leads, accounts=accounts or [Account(account_id="A1", recorded_at=DAY)], events=events, cases=cases or [],
        suppressions=suppressions or [], consents=consents, vocabularies=own.vocabularies,
        suppressions_complete_as_of=AS_OF if fresh else None,
    )  # fmt: skip
    return tags_of(view_accounts(tables, own, AS_OF, contactable=False), memberships, own, below, told)


def tag(tags: Tags, lead_id: str) -> dict[str, object]:
    (row,) = (row for row in tags.leads.to_pylist() if row["lead_id"] == lead_id)
    return row


def reasons(tags: Tags, unit: str = "lead") -> dict[str, str]:
    return {row["id"]: row["reason"] for row in tags.withheld.to_pylist() if row["unit"] == unit}


def test_a_tag_says_segments_status_facets_and_until_when_it_is_good() -> None:
    verified = datetime(2026, 3, 5, 23, 30, tzinfo=UTC)
    account = Account(
        account_id="A1", organization_type="independent_lab", care_setting="laboratory", integration_need="lab_system",
        specialty="laboratory_medicine", recorded_at=DAY, verified_at=verified,
    )  # fmt: skip
    lead = person(
        "L1", referral_source="internal", condition_focus="diabetes", verified_at=verified, role="lab_director"
    )
    event = Event(
        event_id="E1", lead_id="L1", kind="download", depth="comparison", occurred_at=DAY, recorded_at=DAY,
        source="web_analytics", agent="browser",
    )  # fmt: skip
    found = tag(made([lead], placed(("L1", LAB), ("L1", ONCOLOGY)), accounts=[account], events=[event]), "L1")
    assert list(found) == list(LEAD_TAGS)
    assert found["primary_segment"] == LAB
    assert found["segments"] == [LAB, ONCOLOGY]
    assert found["account_segments"] == [LAB]
    assert found["segment_versions"] == [f"{LAB}@1", f"{ONCOLOGY}@1"]
    facets = ("facility_type", "care_setting", "specialty", "integration_need", "referral_source", "condition_focus")
    assert [found[name] for name in facets] == [
        "independent_lab", "laboratory", "laboratory_medicine", "lab_system", "internal", "diabetes",
    ]  # fmt: skip
    # A comparison of no named product shows an evaluation to a lead whose product nobody knows; no band was given.
    assert (found["journey_stage"], found["journey_stage_from"], found["readiness_band"]) == (
        "evaluation", "events", None,
    )  # fmt: skip
    assert found["buyer_stage"] == "new_to_category"
    assert found["last_verified_on"] == found["account_verified_on"] == date(2026, 3, 5)
    assert found["segment_since"] == date(2026, 6, 29)
    assert (found["as_of"], found["valid_until"]) == ("2026-06-30T00:00:00Z", "2026-07-02T00:00:00Z")


def test_a_band_decides_the_journey_stage_where_a_rescoring_is_given() -> None:
    bands = shipped().vocabularies["band"].values
    told = Told(np.array([bands.index("hot") + 1, 0], dtype=np.uint8), np.array([0.9, np.nan]))
    found = made([person("L1"), person("L2")], placed(("L1", ONCOLOGY), ("L2", ONCOLOGY)), told=told)
    first, second = tag(found, "L1"), tag(found, "L2")
    assert (first["readiness_band"], first["journey_stage"], first["journey_stage_from"]) == ("hot", "proposal", "band")
    assert (second["readiness_band"], second["journey_stage"], second["journey_stage_from"]) == (None, None, None)


def test_events_tell_the_journey_stage_before_the_band_unless_they_are_tracked_weakly() -> None:
    bands = shipped().vocabularies["band"].values
    told = Told(np.full(2, bands.index("hot") + 1, dtype=np.uint8), np.array([0.9, 0.9]))
    said = {"occurred_at": DAY, "recorded_at": DAY, "source": "web_analytics", "agent": "browser", "kind": "download"}
    known = Event(event_id="E1", lead_id="L1", topic="integration", depth="detailed", product="software", **said)
    # It names no product, so nobody can tell that it is about the lead's.
    blank = Event(event_id="E2", lead_id="L2", topic="integration", depth="detailed", **said)
    people = [person(name, product_interest="software") for name in ("L1", "L2")]
    placings = placed(("L1", ONCOLOGY), ("L2", ONCOLOGY))
    asked = {"events": [known, blank]}
    first, second = (tag(made(people, placings, told=told, **asked), name) for name in ("L1", "L2"))
    assert (first["journey_stage"], first["journey_stage_from"]) == ("evaluation", "events")
    assert (second["journey_stage"], second["journey_stage_from"]) == ("proposal", "band")
    without = tag(made(people, placings, **asked), "L2")
    assert (without["journey_stage"], without["journey_stage_from"]) == ("evaluation", "weak_events")


def test_an_account_segment_shows_on_every_colleague_and_stays_nobodys_own() -> None:
    leads = [person("L1"), person("L2"), person("L3", account_id="A2"), person("P1", audience="patient")]
    rows = placed(("L1", IMPLANT), ("L2", ONCOLOGY), ("L3", "unsegmented"), ("P1", "unsegmented"))
    accounts = [Account(account_id=a, recorded_at=DAY) for a in ("A1", "A2")]
    tags = made(leads, rows, accounts=accounts)
    assert {row["lead_id"]: row["account_segments"] for row in tags.leads.to_pylist()} == {
        "L1": [IMPLANT], "L2": [IMPLANT], "L3": [], "P1": [],
    }  # fmt: skip
    assert (tag(tags, "L2")["primary_segment"], tag(tags, "L2")["segments"]) == (ONCOLOGY, [ONCOLOGY])
    assert (tag(tags, "L3")["primary_segment"], tag(tags, "L3")["segments"]) == ("unsegmented", [])
    by_id = {row["account_id"]: row for row in tags.accounts.to_pylist()}
    assert list(by_id["A1"]) == list(ACCOUNT_TAGS)
    assert (by_id["A1"]["segments"], by_id["A1"]["status"]) == ([IMPLANT], "active")
    assert (by_id["A2"]["segments"], by_id["A2"]["status"]) == ([], None)


def test_a_patients_tags_tell_neither_a_condition_nor_a_segment_that_does_nor_their_clinic() -> None:
    condition = "audience = 'patient' AND condition_focus = 'joint_pain'"
    approved = next(one for one in shipped().segments if one.id == ONCOLOGY)
    health = approved.model_copy(update={"id": "joint_pain", "enter": condition, "exit": "never", "priority": 999})
    settings = shipped().model_copy(update={"segments": (*shipped().segments, health)})
    leads = [
        person("P1", audience="patient", condition_focus="joint_pain", specialty="oncology", source="web_form"),
        person("C1", audience="caregiver", condition_focus="joint_pain"),
        person("U1", audience=None, condition_focus="joint_pain"),
        person("H1", condition_focus="joint_pain"),
    ]
    account = Account(account_id="A1", organization_type="specialty_center", care_setting="outpatient", recorded_at=DAY)
    rows = placed(*((lead.lead_id, "joint_pain") for lead in leads))
    # They consented to its use, so that it is known here; that is no consent to show it to a sales force.
    consents = [
        Consent(
            lead_id=lead.lead_id, channel="email", purpose="health_data", status="granted", kind="express_written",
            proof="form-1", captured_at=DAY, recorded_at=DAY, jurisdiction="US",
        )
        for lead in leads
    ]  # fmt: skip
    tags = made(leads, rows, accounts=[account], settings=settings, consents=consents)
    for lead_id in ("P1", "C1", "U1"):
        found = tag(tags, lead_id)
        assert (found["condition_focus"], found["segments"], found["primary_segment"]) == (None, [], "unsegmented")
    assert tag(tags, "P1")["facility_type"] is None
    assert tag(tags, "P1")["care_setting"] is None
    assert tag(tags, "P1")["specialty"] is None
    assert tag(tags, "H1")["condition_focus"] == "joint_pain"
    assert tag(tags, "H1")["segments"] == ["joint_pain"]
    assert tags.segments == {("joint_pain", HEALTH): 3}
    assert tags.by_consent.to_pylist() == []
    # A clinic that declares so tells it of those who agreed: not of C1, who did not, nor of U1, who limited sharing.
    activation = settings.activation.model_copy(update={"health": "consented"})
    settings = settings.model_copy(update={"activation": activation})
    limited = [Suppression(lead_id="U1", reason="sharing_opt_out", since_at=DAY, recorded_at=DAY)]
    agreed = [one for one in consents if one.lead_id != "C1"]
    tags = made(leads, rows, accounts=[account], settings=settings, consents=agreed, suppressions=limited)
    told = {
        lead_id: (tag(tags, lead_id)["condition_focus"], tag(tags, lead_id)["segments"])
        for lead_id in ("P1", "C1", "U1", "H1")
    }
    assert told == {
        "P1": ("joint_pain", ["joint_pain"]), "C1": (None, []), "U1": (None, []),
        "H1": ("joint_pain", ["joint_pain"]),
    }  # fmt: skip
    assert tags.by_consent.to_pylist() == ["P1"]
    assert tag(tags, "P1")["facility_type"] is None


def test_only_segments_that_an_approval_covers_today_are_told() -> None:
    def with_approval(approval: Approval | None, status: str) -> Settings:
        own = [
            one.model_copy(update={"approval": approval, "status": status}) if one.id == ONCOLOGY else one
            for one in shipped().segments
        ]
        return shipped().model_copy(update={"segments": tuple(own)})

    rows = placed(("L1", ONCOLOGY), ("L1", LAB))
    over = Approval(by="a person", on=date(2026, 1, 1), expires_on=date(2026, 6, 29), reference="R1")
    last_day = over.model_copy(update={"expires_on": date(2026, 6, 30)})
    expired = made([person("L1")], rows, settings=with_approval(over, "approved"))
    assert tag(expired, "L1")["primary_segment"] == LAB
    assert expired.segments == {(ONCOLOGY, "APPROVAL_DOES_NOT_COVER_THE_DAY"): 1}
    # Of an approval's last day the tags are good until it ends.
    covered = made([person("L1")], rows, settings=with_approval(last_day, "approved"))
    assert tag(covered, "L1")["primary_segment"] == ONCOLOGY
    assert tag(covered, "L1")["valid_until"] == "2026-07-01T00:00:00Z"
    draft = made([person("L1")], placed(("L1", ONCOLOGY)), settings=with_approval(None, "draft"))
    assert (tag(draft, "L1")["primary_segment"], draft.segments) == ("unsegmented", {(ONCOLOGY, NOT_APPROVED): 1})


def test_what_is_below_hygiene_of_another_version_or_ended_is_not_told() -> None:
    lead = [person("L1")]
    assert made(lead, placed(("L1", LAB)), below=(LAB,)).segments == {(LAB, "BELOW_HYGIENE_MINIMUM"): 1}
    assert made(lead, placed(("L1", LAB), version=7)).segments == {(LAB, OTHER_VERSION): 1}
    assert made(lead, placed(("L1", "no_such"))).segments == {("no_such", "NOT_DEFINED"): 1}
    ended = made(lead, placed(("L1", LAB), left=DAY))
    assert (reasons(ended)["L1"], ended.segments) == (NOT_PLACED, {})


def test_who_may_not_be_profiled_or_has_an_id_like_a_formula_is_withheld_and_everybody_is_counted() -> None:
    leads = [person(one) for one in ("L1", "L2", "L3", "=L4", "L5")]
    stops = [
        Suppression(lead_id="L2", reason="profiling_objection", since_at=DAY, recorded_at=DAY),
        Suppression(lead_id="L3", reason="erasure", since_at=DAY, recorded_at=DAY),
    ]
    rows = placed(*((one, ONCOLOGY) for one in ("L1", "L2", "L3", "=L4")))
    tags = made(leads, rows, suppressions=stops)
    # Why somebody may not be profiled is nothing that a CRM is told.
    assert reasons(tags) == {
        "L2": "MAY_NOT_BE_PROFILED", "L3": "MAY_NOT_BE_PROFILED", "=L4": UNSAFE_ID, "L5": NOT_PLACED,
    }  # fmt: skip
    assert tags.leads["lead_id"].to_pylist() == ["L1"]
    # Without a fresh feed of stops nobody is known to be free of one.
    assert set(reasons(made(leads[:1], rows, fresh=False)).values()) == {NOT_CLEAR}


def test_statuses_are_shown_but_not_that_an_off_label_question_is_open() -> None:
    cases = [
        Case(case_id="K1", lead_id="L1", kind="meeting", opened_at=DAY, recorded_at=DAY),
        Case(case_id="K2", lead_id="L2", kind="off_label", opened_at=DAY, recorded_at=DAY),
    ]
    rows = placed(("L1", ONCOLOGY), ("L2", ONCOLOGY), status="paused")
    tags = made([person("L1"), person("L2")], rows, cases=cases)
    assert [tag(tags, one)["status"] for one in ("L1", "L2")] == ["paused", "paused"]
    assert [tag(tags, one)["lead_statuses"] for one in ("L1", "L2")] == [["meeting_booked"], []]
    assert "off_label" not in json.dumps(tags.leads.to_pylist(), default=str)


LEADS = st.lists(
    st.tuples(st.sampled_from(["L1", "L2", "L3", "=X", "@Y"]), st.sampled_from([LAB, ONCOLOGY, "gone"]), st.booleans()),
    min_size=1, max_size=8, unique_by=lambda row: row[0],
)  # fmt: skip


@law(deadline=None, max_examples=15)
@given(LEADS)
def test_written_and_withheld_are_what_was_read_and_no_cell_begins_a_formula(rows: list[tuple[str, str, bool]]) -> None:
    leads = [person(lead_id, account_id=f"A{lead_id}") for lead_id, _, _ in rows]
    accounts = [Account(account_id=f"A{lead_id}", recorded_at=DAY) for lead_id, _, _ in rows]
    memberships = placed(*((lead_id, segment) for lead_id, segment, is_in in rows if is_in))
    tags = made(leads, memberships, accounts=accounts)
    assert sorted([*tags.leads["lead_id"].to_pylist(), *reasons(tags)]) == sorted(one for one, _, _ in rows)
    assert tags.accounts.num_rows + len(reasons(tags, "account")) == len(accounts)
    for cell in (str(cell) for row in tags.leads.to_pylist() for cell in row.values()):
        assert not cell.startswith(("=", "+", "-", "@"))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_crm_files_have_declared_names_joined_lists_and_a_word_that_clears(tmp_path: Path) -> None:
    leads = [person("00Q1", role="physician"), person("0031")]
    tags = made(leads, placed(("00Q1", LAB), ("00Q1", ONCOLOGY), ("0031", "unsegmented")))
    tables = {"lead": tags.leads, "account": tags.accounts}
    removed = pa.table({"unit": ["lead", "lead"], "id": ["00Q9", "00Q8"], "clear": [True, False]})
    salesforce, hubspot = shipped().activation.crms
    rows = write_crm_files(salesforce, tables, removed, tmp_path / "sf")
    # Ids of Salesforce leads go to one file, all others to the other.
    assert {name: rows[name] for name in ("Lead.csv", "Contact.csv", "Account.csv", "Lead_clear.csv")} == {
        "Lead.csv": 1, "Contact.csv": 1, "Account.csv": 1, "Lead_clear.csv": 1,
    }  # fmt: skip
    (lead,), (contact,) = read_csv(tmp_path / "sf/Lead.csv"), read_csv(tmp_path / "sf/Contact.csv")
    assert lead["Leadwell_Id__c"] == "00Q1"
    assert lead["Leadwell_Segments__c"] == f"{LAB};{ONCOLOGY}"
    assert (contact["Leadwell_Segments__c"], contact["Leadwell_Last_Verified__c"]) == ("#N/A", "#N/A")
    assert lead["Leadwell_As_Of__c"] == "2026-06-30T00:00:00Z"
    (clear,) = read_csv(tmp_path / "sf/Lead_clear.csv")
    assert clear.pop("Leadwell_Id__c") == "00Q9"
    assert set(clear.values()) == {"#N/A"}
    write_crm_files(hubspot, tables, removed, tmp_path / "hs")
    first, second = read_csv(tmp_path / "hs/contacts.csv")
    assert (second["leadwell_segments"], first["leadwell_segments"]) == (f"{LAB};{ONCOLOGY}", "no_value")
    # A day has no word for none, and an import asks for days.
    assert (first["leadwell_last_verified"], first["leadwell_as_of"]) == ("", "2026-06-30")


def test_a_reference_that_reads_as_a_formula_is_left_out_of_an_import(tmp_path: Path) -> None:
    accounts = [Account(account_id="=1+1", recorded_at=DAY), Account(account_id="A2", recorded_at=DAY)]
    rows = placed(("L1", "unsegmented"), ("L2", "unsegmented"))
    tags = made([person("L1", account_id="=1+1"), person("L2", account_id="A2")], rows, accounts=accounts)
    assert tag(tags, "L1")["account_id"] == "=1+1"
    (contacts, *_) = shipped().activation.crms[1].files
    file = contacts.model_copy(update={"fields": {"lead_id": "id", "account_id": "company"}})
    crm = shipped().activation.crms[1].model_copy(update={"files": (file,)})
    removed = pa.table(
        {"unit": pa.array([], pa.string()), "id": pa.array([], pa.string()), "clear": pa.array([], pa.bool_())}
    )
    write_crm_files(crm, {"lead": tags.leads, "account": tags.accounts}, removed, tmp_path)
    assert [row["company"] for row in read_csv(tmp_path / "contacts.csv")] == ["no_value", "A2"]


def state_of(folder: Path, files: dict[str, Path], as_of: datetime = AS_OF) -> Path:
    """The state of a run of `segments apply` over the files."""
    apply(files, small(), folder, as_of, suppressions_complete_as_of=as_of)
    return folder


def written(folder: Path, leads: list[Mapping[str, str]]) -> dict[str, Path]:
    """Files of leads that are all of one account, and a fresh and empty feed of stops."""
    folder.mkdir(exist_ok=True)
    days = {"recorded_at": DAY, "created_at": DAY}
    pq.write_table(pa.Table.from_pylist([{**lead, **days} for lead in leads]), folder / "leads.parquet")
    pq.write_table(pa.Table.from_pylist([{"account_id": "A1", "recorded_at": DAY}]), folder / "accounts.parquet")
    (folder / "suppressions.csv").write_text("since_at,recorded_at,lead_id,channel,reason\n", encoding="utf-8")
    return {name: folder / file for name, file in (
        ("leads", "leads.parquet"), ("accounts", "accounts.parquet"), ("suppressions", "suppressions.csv"),
    )}  # fmt: skip


def small() -> Settings:
    """Settings under which a handful of leads is not below the hygiene minimum."""
    limits = shipped().quality.segments.model_copy(update={"min_leads": 1, "max_share": 1.0})
    quality = shipped().quality.model_copy(update={"segments": limits})
    return shipped().model_copy(update={"quality": quality})


def test_stale_memberships_are_refused_and_say_how_to_mend_it(tmp_path: Path) -> None:
    files = written(tmp_path / "data", [{"lead_id": "L1", "audience": "hcp", "account_id": "A1"}])
    with pytest.raises(InputInvalid, match="expected memberships; `leadwell segments apply"):
        activate(files, small(), tmp_path / "nowhere", tmp_path / "out", AS_OF)
    old = state_of(tmp_path / "old", files, AS_OF - timedelta(days=2, seconds=1))
    with pytest.raises(InputInvalid, match="stale: expected memberships of at most 2 days"):
        activate(files, small(), old, tmp_path / "out", AS_OF)
    later = state_of(tmp_path / "later", files, AS_OF + timedelta(seconds=1))
    with pytest.raises(InputInvalid, match="expected memberships not after"):
        activate(files, small(), later, tmp_path / "out", AS_OF)
    (old / "memberships.parquet").write_bytes(b"other")
    with pytest.raises(InputInvalid, match="its hash differs"):
        activate(files, small(), old, tmp_path / "out", AS_OF)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_second_run_writes_the_same_bytes_and_who_left_is_cleared_until_they_return(tmp_path: Path) -> None:
    both = [{"lead_id": one, "audience": "hcp", "account_id": "A1"} for one in ("L1", "L2")]
    files = written(tmp_path / "data", both)
    state = state_of(tmp_path / "state", files)

    def run(files: dict[str, Path], state: Path, as_of: datetime = AS_OF) -> tuple[bool, list[str], dict[str, bytes]]:
        done = activate(files, small(), state, tmp_path / "out", as_of, suppressions_complete_as_of=as_of)
        cleared = [row["Leadwell_Id__c"] for row in read_csv(tmp_path / "out/salesforce/Contact_clear.csv")]
        content = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
        return done.changed, cleared, content

    changed, cleared, first = run(files, state)
    assert (changed, cleared) == (True, [])
    changed, cleared, second = run(files, state)
    assert (changed, cleared, second == first) == (False, [], True)
    day = AS_OF + timedelta(days=1)
    fewer = written(tmp_path / "fewer", both[:1])
    next_state = state_of(tmp_path / "next", fewer, day)
    assert run(fewer, next_state, day)[:2] == (True, ["L2"])
    again = run(fewer, next_state, day)
    assert (again[0], again[1]) == (False, ["L2"])
    manifest = json.loads(again[2]["manifest.json"])
    assert (manifest["written"]["lead"], manifest["read"]["lead"], manifest["removed"]) == (1, 1, 1)
    back = state_of(tmp_path / "back", files, day)
    assert run(files, back, day)[1] == []
    with pytest.raises(InputInvalid, match="expected --as-of not before that of the tags there"):
        run(files, state)


@pytest.mark.slow
def test_whom_it_is_not_clear_about_keeps_their_tags_until_they_run_out(tmp_path: Path) -> None:
    files = written(tmp_path / "data", [{"lead_id": "L1", "audience": "hcp", "account_id": "A1"}])
    state = state_of(tmp_path / "state", files)
    activate(files, small(), state, tmp_path / "out", AS_OF, suppressions_complete_as_of=AS_OF)
    # The feed of stops has gone stale: a stale feed must not empty a CRM.
    day = AS_OF + timedelta(days=2)
    done = activate(files, small(), state, tmp_path / "out", day, suppressions_complete_as_of=AS_OF)
    assert (done.written["lead"], done.removed) == (0, 0)
    assert done.withheld["lead", NOT_CLEAR] == 1
    assert pq.read_table(tmp_path / "out/removed.parquet")["clear"].to_pylist() == [False]
    assert read_csv(tmp_path / "out/salesforce/Contact_clear.csv") == []


def test_a_killed_run_leaves_the_old_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path / "data", [{"lead_id": "L1", "audience": "hcp", "account_id": "A1"}])
    state = state_of(tmp_path / "state", files)
    activate(files, small(), state, tmp_path / "out", AS_OF, suppressions_complete_as_of=AS_OF)
    before = (tmp_path / "out" / LEAD_FILE).read_bytes()

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("serving.tags.activate.write_crm_files", dies)
    with pytest.raises(KeyboardInterrupt):
        activate(files, small(), state, tmp_path / "out", AS_OF + timedelta(days=1), suppressions_complete_as_of=AS_OF)
    assert (tmp_path / "out" / LEAD_FILE).read_bytes() == before
    assert not list(tmp_path.glob(".out.partial*"))


def test_mistakes_in_the_activation_are_told_with_their_keys() -> None:
    declared = shipped().activation
    salesforce = declared.crms[0]

    def problems(**changes: object) -> list[str]:
        found = {"activation": declared.model_copy(update=changes), "statuses": shipped().statuses}
        found["vocabularies"] = shipped().vocabularies
        return [f"{one.key}: {one.expected}" for one in activation_problems(found)]

    assert problems() == []
    assert problems(shown_statuses=("no_such",))[0].startswith("shown_statuses: expected one of off_label_inquiry")
    contact = salesforce.files[1]
    wrong = contact.model_copy(update={"fields": {"lead_id": "Id", "shoe_size": "Shoe__c", "segments": "1 bad name"}})
    told = problems(crms=(salesforce.model_copy(update={"files": (wrong,)}),))
    assert told[0].startswith("crms.salesforce.files.Contact.fields.shoe_size: expected one of lead_id")
    assert "found '1 bad name'" in told[1]
    without_key = replace_fields(contact.fields, "lead_id")
    told = problems(
        crms=(salesforce.model_copy(update={"files": (contact.model_copy(update={"fields": without_key}),)}),)
    )
    assert told == ["crms.salesforce.files.Contact.fields: expected lead_id, the key"]
    # An integration need of none is known; what is not known would read the same.
    told = problems(crms=(declared.crms[1].model_copy(update={"empty": "none"}),))
    assert told == ["crms.hubspot.empty: expected a word that no vocabulary has, found 'none'"]


def replace_fields(fields: Mapping[str, str], without: str) -> dict[str, str]:
    return {tag: field for tag, field in fields.items() if tag != without}


def test_the_batch_shows_account_segments_on_all_colleagues_as_a_plain_loop_would(small_world: Path) -> None:
    own = shipped()
    decider = Decider.load(small_world / "bundle", own, on=AS_OF.date())
    tables = read_tables(find_files(small_world / "data"), own, assets=own.assets, as_of=AS_OF).tables
    decisions = decider.decide(tables, AS_OF)
    known, ids = decisions.known, decisions.members.segment_ids
    accounts = {d.id for d in decider.segment_map.definitions if d.unit == "account" and not d.residual}
    member, hidden = decisions.members.member, decisions.rulings.no_score
    audience = decisions.facts.columns["audience"].reshape(-1)
    words = ("unknown", *own.vocabularies["audience"].values)
    account = known.leads["account"]
    away = np.zeros(len(known.lead_ids), dtype=np.bool_) if known.merged is None else known.merged.away
    # What looks at the system is shown for the system too, whose own people then show it.
    top = root_of(known.accounts["parent"].astype(np.int64))
    above = {d.id for d in decider.segment_map.definitions if "parent_organization_type" in d.enter}
    held: set[tuple[int, str]] = set()
    for lead in np.flatnonzero(known.present & ~hidden & ~away & (account >= 0)).tolist():
        for segment in accounts & {ids[s] for s in np.flatnonzero(member[lead])}:
            held.add((int(account[lead]), segment))
            held |= {(int(top[account[lead]]), segment)} if segment in above else set()
    expected = [
        [s for s in ids if (int(account[lead]), s) in held]
        if account[lead] >= 0 and not hidden[lead] and words[audience[lead]] not in ("patient", "caregiver")
        else []
        for lead in range(len(known.lead_ids))
    ]
    assert account_segments(decisions).to_pylist() == expected
    assert sum(map(bool, expected)) > 3
