"""The shipped mappings, on hand-made exports of each CRM and on real ones where they are there.

Nobody here made the real rows: they are read by path from the shared material, and their tests skip where it is absent.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from configs.settings import load_export, load_settings
from features.facts import FactBuilder, facts_of
from features.intake.exports.importing import Export, Imported, import_exports
from features.intake.sources import find_files, read_tables
from features.inventory import Inventory
from features.tables import NO, YES, known_at
from features.view import view_at

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "crm_exports"
SETTINGS = load_settings()
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
T, LATER = "2026-01-05T09:00:00.000+0000", "2026-02-05T09:00:00.000+0000"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real exports are not here: ../shared/data/crm_exports")


def bring(tmp_path: Path, source: str, where: Path | None = None, **files: str) -> Imported:
    folder = where or tmp_path / "export"
    if where is None:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            suffix = ".jsonl" if text.startswith("{") else ".csv"
            (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")
    found = import_exports([Export(load_export(Path(source)), source, str(folder))], tmp_path / "out")
    for counts in found.counts.values():
        assert counts.used + counts.rejected + counts.duplicate == counts.read
    assert found.rejects.num_rows == sum(counts.rejected for counts in found.counts.values())
    return found


def rows(tmp_path: Path, table: str, *fields: str) -> list[Any]:
    read = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
    found = [row[fields[0]] if len(fields) == 1 else tuple(row[field] for field in fields) for row in read]
    return sorted(found, key=str)


def fact(tmp_path: Path, name: str, channel: str = "email", *, as_of: datetime = AS_OF) -> dict[str, str | None]:
    intake = read_tables(find_files(tmp_path / "out"), SETTINGS, assets=SETTINGS.assets)
    facts = facts_of(known_at(intake.tables, as_of), BUILDER, INVENTORY)
    column: Any = facts.columns[name]
    place = SETTINGS.vocabularies["channel"].code(channel) - 1
    values = SETTINGS.facts[name].values
    found = {}
    for i, lead in enumerate(intake.tables.lead_ids):
        code = column[min(i, column.shape[0] - 1), 0, min(place, column.shape[2] - 1)]
        found[str(lead)] = values[code - 1] if code else None
    return found


def test_a_converted_salesforce_lead_is_linked_to_its_contact_and_allows_nothing_of_its_own(tmp_path: Path) -> None:
    bring(
        tmp_path,
        "salesforce",
        Lead="Id,CreatedDate,SystemModstamp,IsConverted,ConvertedDate,ConvertedContactId,ConvertedAccountId,"
        "HasOptedOutOfEmail,IsDeleted,MasterRecordId\n"
        f"L1,{T},{LATER},true,{LATER},C1,A1,false,false,\n"  # its no allows nothing: the contact opted out
        f"L2,{T},{LATER},false,,,,true,false,\n"
        f"L3,{T},{LATER},false,,,,true,true,L2\n"  # merged into L2
        f"L4,{T},{LATER},false,,,,true,true,\n",  # deleted for good
        Contact="Id,AccountId,CreatedDate,SystemModstamp,HasOptedOutOfEmail,DoNotCall,EmailBouncedDate,LeadSource\n"
        f"C1,A1,{T},{LATER},true,,,Web\nC2,A1,{T},{T},,TRUE,,\nC3,A1,{T},{T},0,,{LATER},Purchased List\n",
    )
    assert rows(tmp_path, "links", "lead_id", "other_lead_id", "evidence") == [
        ("L1", "C1", "crm_merge"), ("L3", "L2", "crm_merge"),
    ]  # fmt: skip
    assert rows(tmp_path, "suppressions", "lead_id", "channel", "reason") == [
        ("C1", "email", "opt_out"), ("C2", "phone", "do_not_call"), ("C3", "email", "hard_bounce"),
        ("L2", "email", "opt_out"), ("L3", "email", "opt_out"),
    ]  # fmt: skip
    # Known since it was made, and what it says since it last changed; C2 and C3 never changed.
    assert Counter(rows(tmp_path, "leads", "lead_id")) == {"L1": 2, "L2": 2, "L3": 2, "C1": 2, "C2": 1, "C3": 1}
    assert rows(tmp_path, "outcomes", "lead_id", "kind") == [("L1", "converted")]
    opted = fact(tmp_path, "opt_out")
    assert [opted[lead] for lead in ("C1", "C2", "L2", "L3")] == ["yes", None, "yes", "yes"]
    assert opted["L1"] != "no"


def test_salesforce_consent_by_channel_reaches_whoever_shares_the_individual(tmp_path: Path) -> None:
    found = bring(
        tmp_path,
        "salesforce",
        Lead=f"Id,IndividualId,CreatedDate,SystemModstamp\nL1,I1,{T},{T}\n",
        Contact=f"Id,IndividualId,CreatedDate,SystemModstamp\nC1,I1,{T},{T}\nC2,I2,{T},{T}\n",
        ContactPointTypeConsent="Id,PartyId,ContactPointType,PrivacyConsentStatus,CaptureDate,CaptureSource,EffectiveTo\n"
        f"1,I1,Email,OptOut,{T},form,\n2,I2,Email,OptIn,{T},form,2026-03-01\n3,I2,Phone,Seen,{T},form,\n"
        f"4,I9,Email,OptOut,{T},form,\n5,I2,Email,Perhaps,2026-01-01T00:00:00Z,form,\n",
    )
    assert rows(tmp_path, "consents", "lead_id", "channel", "status") == [
        ("C1", "email", "withdrawn"), ("C2", "email", "granted"), ("C2", "email", "withdrawn"),
        ("C2", "phone", "none"), ("L1", "email", "withdrawn"),
    ]  # fmt: skip
    assert [row["reason"] for row in found.rejects.to_pylist()] == ["no row of lead has this value"]
    assert fact(tmp_path, "consent") == {"C1": "withdrawn", "C2": "granted", "L1": "withdrawn"}
    assert fact(tmp_path, "consent_expired")["C2"] == "yes"


def test_salesforce_activities_are_what_we_did_and_responses_are_what_they_did(tmp_path: Path) -> None:
    found = bring(
        tmp_path,
        "salesforce",
        Contact=f"Id,CreatedDate,SystemModstamp\nC1,{T},{T}\n",
        Task="Id,WhoId,TaskSubtype,Type,IsClosed,CompletedDateTime,ActivityDate,SystemModstamp\n"
        f"T1,C1,Call,,true,{T},,{T}\nT2,C1,Email,,false,,,{T}\nT3,C1,Task,Letter,1,,2026-01-05,{T}\nT4,,Call,,true,{T},,{T}\n",
        Event=f"Id,WhoId,AccountId,Type,StartDateTime,SystemModstamp\nE1,C1,A1,Meeting,{T},{T}\nE2,C1,A1,Call,{T},{T}\n",
        Campaign=f"Id,Name,Type,SystemModstamp\nW,Autumn,Webinar,{T}\nD,Letters,Direct Mail,{T}\n",
        CampaignMember="Id,CampaignId,LeadId,ContactId,HasResponded,FirstRespondedDate,CreatedDate,SystemModstamp\n"
        f"M1,W,,C1,true,2026-01-06,{T},{LATER}\nM2,W,,C1,false,,{T},{T}\nM3,D,,C1,true,2026-01-06,{T},{T}\n",
        Opportunity=f"Id,Amount,CreatedDate,CloseDate,IsClosed,IsWon,SystemModstamp\nO,5,{T},2026-02-01,true,false,{T}\n",
        OpportunityContactRole="Id,OpportunityId,ContactId\nR,O,C1\n",
    )
    assert rows(tmp_path, "touches", "touch_id", "channel") == [
        ("E1", "rep_visit"), ("E2", "phone"), ("T1", "phone"), ("T3", "mail"),
    ]  # fmt: skip
    assert rows(tmp_path, "events", "event_id", "kind", "campaign_id") == [
        ("E1", "field_visit", None), ("campaign:M1", "webinar_attend", "W"),
    ]  # fmt: skip
    assert rows(tmp_path, "outcomes", "kind", "value") == [("lost", 5.0), ("opportunity", 5.0)]
    assert rows(tmp_path, "campaigns", "campaign_id", "channel") == [("D", "mail"), ("W", None)]
    assert [(row["line"], row["reason"]) for row in found.rejects.to_pylist()] == [
        (5, "an activity with nobody we can name")
    ]


def test_either_column_of_pardot_stops_and_null_is_neither_yes_nor_no(tmp_path: Path) -> None:
    bring(
        tmp_path,
        "pardot",
        prospect="id,created_at,updated_at,is_do_not_email,opted_out,is_do_not_call\n"
        f"1,{T},{T},true,false,\n2,{T},{T},false,true,\n3,{T},{T},,,\n4,{T},{T},false,false,true\n",
        list_membership=f"id,list_id,prospect_id,opted_out,updated_at\n1,9,3,false,{T}\n2,9,4,true,{T}\n",
        visitor_activity="id,prospect_id,type,type_name,created_at,list_email_id,campaign_id\n"
        f"1,3,1,Email Tracker,{T},77,5\n2,3,11,Email,{T},77,5\n3,3,6,Email,{T},77,5\n4,3,1,File,{T},,5\n"
        f"5,3,4,Form,{T},,\n6,3,13,Email,{T},,\n7,2,14,Email,{T},,\n8,1,12,Email,{T},,\n9,,2,Page View,{T},,\n"
        f"10,3,24,Webinar,{T},,\n",
    )
    assert rows(tmp_path, "suppressions", "lead_id", "channel", "reason") == [
        ("pardot:1", "email", "opt_out"), ("pardot:2", "email", "opt_out"), ("pardot:2", "email", "spam_complaint"),
        ("pardot:3", "email", "hard_bounce"), ("pardot:4", "email", "opt_out"), ("pardot:4", "phone", "do_not_call"),
    ]  # fmt: skip
    assert rows(tmp_path, "consents", "lead_id", "status") == [("pardot:1", "withdrawn")]
    assert rows(tmp_path, "events", "kind", "message_id") == [
        ("download", None), ("email_click", "pardot:77"), ("email_open", "pardot:77"), ("form_submit", None),
        ("webinar_attend", None),
    ]  # fmt: skip
    assert rows(tmp_path, "touches", "touch_id", "message_id") == [("pardot:3", "pardot:77")]
    assert fact(tmp_path, "opt_out")["pardot:3"] is None


def test_iterable_people_are_known_by_the_hash_of_their_address(tmp_path: Path) -> None:
    head = (
        "_fivetran_id,email,_fivetran_user_id,event_name,created_at,message_id,campaign_id,recipient_state,user_agent\n"
    )
    apple, outlook = "Mozilla/5.0", "Mozilla/5.0 (Windows NT 10.0) Microsoft Outlook 16"
    found = bring(
        tmp_path,
        "iterable",
        user_history="email,_fivetran_user_id,updated_at,signup_date,first_name\n"
        f"Ada@x.org,u1,{T},{T},Ada\nbob@x.org,u2,{T},{T},\nbob@x.org,u2,{LATER},{T},\n",
        event_data=head + f"1,ada@x.org,,emailSend,{T},m1,7,,\n2,ada@x.org,,emailOpen,{T},m1,7,,{apple}\n"
        f"3,,u1,emailClick,{T},m1,7,,{outlook}\n4,ada@x.org,,emailBounce,{T},m2,7,SoftBounce,\n"
        f"5,,u2,emailBounce,{T},m2,7,,\n6,,u2,emailComplaint,{T},,,,\n7,ada@x.org,,emailUnSubscribe,{T},,,,\n"
        f"8,ada@x.org,,customEvent,{T},,,,\n9,,u3,emailOpen,{T},,,,\n",
        channel="id,message_medium\n1,Email\n2,Push\n3,SMS\n",
        user_unsubscribed_channel_history="email,channel_id,updated_at\n"
        f"ada@x.org,2,{T}\nbob@x.org,3,{T}\neve@x.org,1,{T}\nADA@x.org,99,{T}\n",
        user_unsubscribed_message_type_history=f"email,message_type_id,updated_at\nbob@x.org,5,{T}\n",
        user_unsubscribed_channel=f"_fivetran_user_id,channel_id,_fivetran_synced\nu1,1,{T}\nu9,1,{T}\n",
    )
    names = dict(zip(("ada", "bob"), dict.fromkeys(read_ids(tmp_path)), strict=False))
    ada, bob = names["ada"], names["bob"]
    assert ada.startswith("iterable:") and len(ada) == 49 and "@" not in ada
    assert rows(tmp_path, "events", "event_id", "lead_id", "kind", "agent", "message_id") == [
        ("iterable:2", ada, "email_open", "prefetch", "m1"), ("iterable:3", ada, "email_click", "mail_client", "m1"),
    ]  # fmt: skip
    assert rows(tmp_path, "touches", "lead_id", "channel", "message_id") == [(ada, "email", "m1")]
    stops = rows(tmp_path, "suppressions", "lead_id", "channel", "reason")
    eve = next(lead for lead, *_ in stops if lead not in (ada, bob))
    assert Counter(stops) == {
        (bob, "email", "hard_bounce"): 1, (bob, "email", "spam_complaint"): 1, (bob, "sms", "opt_out"): 1,
        (bob, "email", "opt_out"): 1, (ada, "email", "opt_out"): 1, (eve, "email", "opt_out"): 1,
    }  # fmt: skip
    assert len(set(read_ids(tmp_path))) == 3  # eve has no row of her own: a bare lead keeps her stop
    assert rows(tmp_path, "consents", "lead_id", "status") == [(ada, "withdrawn")]
    assert Counter(row["reason"] for row in found.rejects.to_pylist()) == {"no row of user has this value": 2}


def read_ids(tmp_path: Path) -> list[str]:
    return [str(one) for one in pq.read_table(tmp_path / "out" / "leads.parquet")["lead_id"].to_pylist()]


def test_hubspot_reads_fivetran_tables_with_times_in_milliseconds(tmp_path: Path) -> None:
    ms = 1767603600000  # 2026-01-05T09:00:00Z
    basis = "Freely given consent from contact"
    found = bring(
        tmp_path,
        "hubspot",
        contact="id,property_email,property_firstname,property_lastname,property_hs_email_optout,property_hs_legal_basis,"
        "property_lifecyclestage,property_createdate,property_lastmodifieddate,property_hs_email_hard_bounce_reason_enum,"
        "is_deleted,property_associatedcompanyid\n"
        f"1,Ada@x.org,Ada,Lace,,{basis},lead,{ms},{ms},,false,8\n"
        f"2,bob@x.org,Bob,B,true,{basis},customer,{ms},{ms + 1000},,false,8\n"
        f"3,cyd@x.org,,,false,Legitimate interest \u2013 other,wizard,{ms},{ms},UNKNOWN_USER,false,\n"
        f"4,dan@x.org,,,,,,{ms},{ms},,true,\n",
        company=f"id,property_industry,property_createdate,property_hs_lastmodifieddate\n8,HOSPITAL_HEALTH_CARE,{ms},{ms}\n",
        engagement=f"id,type,timestamp,created_at\n10,CALL,{ms},{ms}\n11,MEETING,{ms},{ms}\n12,NOTE,{ms},{ms}\n",
        engagement_contact="engagement_id,contact_id\n10,1\n11,1\n12,1\n13,1\n",
        email_event="id,type,recipient,created,email_campaign_id,sent_by_id,filtered_event,user_agent\n"
        f"s1,SENT,ada@x.org,{ms},5,,,\no1,OPEN,ADA@x.org,{ms},5,s1,true,Mozilla/5.0 Chrome\n"
        f"c1,CLICK,ada@x.org,{ms},5,s1,,Mozilla/5.0 Chrome\nb1,BOUNCE,cyd@x.org,{ms},5,,,\n"
        f"p1,SPAMREPORT,bob@x.org,{ms},5,,,\n",
        email_subscription_change=f"recipient,timestamp,email_subscription_id,change,change_type\n"
        f"cyd@x.org,{ms},1,UNSUBSCRIBED,SUBSCRIPTION_STATUS\nada@x.org,{ms},1,SUBSCRIBED,SUBSCRIPTION_STATUS\n",
        contact_merge_audit=f"contact_id,vid_to_merge,timestamp\n1,99,{ms}\n",
    )
    # The bounce of cyd is a property and an event of one instant: one stop.
    assert rows(tmp_path, "suppressions", "lead_id", "reason") == [
        ("hubspot:2", "opt_out"), ("hubspot:2", "spam_complaint"), ("hubspot:3", "hard_bounce"),
    ]  # fmt: skip
    assert rows(tmp_path, "consents", "lead_id", "status") == [
        ("hubspot:1", "granted"), ("hubspot:2", "granted"), ("hubspot:3", "none"), ("hubspot:3", "withdrawn"),
    ]  # fmt: skip
    assert rows(tmp_path, "events", "event_id", "kind", "agent", "message_id") == [
        ("hubspot:11", "field_visit", None, None), ("hubspot:c1", "email_click", "browser", "hubspot:s1"),
        ("hubspot:o1", "email_open", "bot", "hubspot:s1"),
    ]  # fmt: skip
    assert rows(tmp_path, "touches", "touch_id", "channel") == [
        ("hubspot:10", "phone"), ("hubspot:11", "rep_visit"), ("hubspot:s1", "email"),
    ]  # fmt: skip
    assert rows(tmp_path, "accounts", "account_id", "organization_type") == [("hubspot:8", "hospital")]
    assert rows(tmp_path, "links", "lead_id", "other_lead_id") == [("hubspot:99", "hubspot:1")]
    assert Counter(rows(tmp_path, "leads", "lead_id")) == {
        "hubspot:1": 1,
        "hubspot:2": 2,
        "hubspot:3": 1,
        "hubspot:99": 1,
    }
    assert found.unmapped == {"hubspot.contact -> leads.lifecycle": 1}
    assert [row["reason"] for row in found.rejects.to_pylist()] == [
        "deleted in the CRM", "no row of engagement has this value",
    ]  # fmt: skip
    assert fact(tmp_path, "opt_out")["hubspot:2"] == "yes"  # the opt-out stands against the legal basis


def test_hubspot_reads_the_exports_of_its_own_app(tmp_path: Path) -> None:
    text = "Record ID,Email,First Name,Last Name,Unsubscribed from all email,Lifecycle Stage,Create Date,"
    text += "Last Modified Date\n"
    bring(
        tmp_path,
        "hubspot",
        contacts=text + "1,ada@x.org,Ada,Lace,Yes,Sales Qualified Lead,2026-01-05 09:00,2026-01-06 09:00\n",
    )
    assert rows(tmp_path, "leads", "lead_id", "lifecycle", "mail_domain") == [("hubspot:1", "active", "x.org")]
    assert rows(tmp_path, "suppressions", "lead_id") == ["hubspot:1"]


def test_veeva_consent_is_a_log_in_which_the_latest_word_counts(tmp_path: Path) -> None:
    line = {"Account_vod__c": "P1", "RecordType.DeveloperName": "Approved_Email_vod"}
    log = [
        line | {"Id": "1", "Opt_Type_vod__c": "Opt_In_vod", "Capture_Datetime_vod__c": T},
        line | {"Id": "2", "Opt_Type_vod__c": "Opt_Out_vod", "Capture_Datetime_vod__c": LATER},
        line | {"Id": "3", "Account_vod__c": "P2", "Opt_Type_vod__c": "Opt_Out_vod", "Capture_Datetime_vod__c": T},
        line | {"Id": "4", "Account_vod__c": "P2", "Opt_Type_vod__c": "Opt_In_vod", "Capture_Datetime_vod__c": LATER},
        line | {"Id": "5", "Account_vod__c": "P3", "Opt_Type_vod__c": "Opt_In_vod", "Capture_Datetime_vod__c": T,
                "Product_vod__c": "cholecap"},
        line | {"Id": "6", "Account_vod__c": "P4", "Opt_Type_vod__c": "Opt_In_Pending_vod",
                "Capture_Datetime_vod__c": T},
    ]  # fmt: skip
    bring(
        tmp_path,
        "veeva",
        account="Id,IsPersonAccount,FirstName,LastName,PersonEmail,NPI_vod__c,Specialty_1_vod__c,Primary_Parent_vod__c,"
        "PersonHasOptedOutOfEmail,PersonDoNotCall,Do_Not_Call_vod__c,CreatedDate,SystemModstamp\n"
        f"P1,true,Ada,Lace,ada@x.org,1234567893,Cardiology,H,,,,{T},{T}\nP2,1,,,,,,H,,,,{T},{T}\n"
        f"P3,1,,,,,,H,,,Yes,{T},{T}\nP4,1,,,,,,,true,1,,{T},{T}\nH,0,,,,,,,,,,{T},{T}\n",
        Multichannel_Consent_vod__c="\n".join(map(json.dumps, log)) + "\n",
    )
    assert fact(tmp_path, "consent") == {"P1": "withdrawn", "P2": "granted", "P3": None, "P4": "none"}
    assert rows(tmp_path, "leads", "lead_id", "registry_id", "specialty", "account_id")[0] == (
        "P1", "npi:1234567893", "Cardiology", "H",
    )  # fmt: skip
    assert rows(tmp_path, "accounts", "account_id") == ["H"]
    assert rows(tmp_path, "suppressions", "lead_id", "channel", "reason") == [
        ("P3", None, "no_contact"), ("P4", "email", "opt_out"), ("P4", "phone", "do_not_call"),
    ]  # fmt: skip


def test_veeva_calls_and_approved_email(tmp_path: Path) -> None:
    found = bring(
        tmp_path,
        "veeva",
        account=f"Id,IsPersonAccount,CreatedDate,SystemModstamp\nP1,true,{T},{T}\n",
        call2_vod="Id,Account_vod__c,Status_vod__c,Call_Channel_vod__c,Call_Datetime_vod__c,Call_Date_vod__c,CreatedDate\n"
        f"c1,P1,Submitted_vod,Face_to_face_vod,{T},,{T}\nc2,P1,Planned_vod,,{LATER},,{T}\n"
        f"c3,P1,Submitted_vod,Phone_vod,,2026-01-05,{T}\n",
        Sent_Email_vod__c="Id,Account_vod__c,Status_vod__c,Email_Sent_Date_vod__c,SystemModstamp,Product_vod__c\n"
        f"m1,P1,Delivered_vod,{T},{T},x\nm2,P1,Saved_vod,,{T},x\n"
        f"m3,P1,Bounced_vod,{T},{LATER},x\nm4,P1,Unsubscribed_vod,{T},{LATER},x\n",
        Email_Activity_vod__c="Id,Sent_Email_vod__c,Event_type_vod__c,Activity_DateTime_vod__c,User_Agent_vod__c\n"
        f"a1,m1,Opened_vod,{T},via ggpht.com GoogleImageProxy\n"
        f"a2,m1,Clicked_vod,{T},\na3,m1,Delivered_vod,{T},\na4,mX,Opened_vod,{T},\n",
    )
    assert rows(tmp_path, "touches", "touch_id", "channel") == [
        ("c1", "rep_visit"), ("c3", "phone"), ("m1", "email"), ("m3", "email"), ("m4", "email"),
    ]  # fmt: skip
    assert rows(tmp_path, "events", "event_id", "kind", "channel", "agent", "message_id") == [
        ("a1", "email_open", "email", "image_proxy", "m1"), ("a2", "email_click", "email", None, "m1"),
        ("c1", "field_visit", "field", None, None), ("c3", "field_visit", "phone", None, None),
    ]  # fmt: skip
    assert rows(tmp_path, "suppressions", "lead_id", "reason") == [("P1", "hard_bounce")]
    assert rows(tmp_path, "consents", "lead_id", "status", "purpose") == [("P1", "withdrawn", "promotion")]
    assert [row["reason"] for row in found.rejects.to_pylist()] == [
        "a call that did not take place yet", "no row of sent_email has this value",
    ]  # fmt: skip


@real
def test_the_real_salesforce_export(tmp_path: Path) -> None:
    found = bring(tmp_path, "salesforce", SHARED / "fivetran_salesforce")
    read = {name: (counts.read, counts.used, counts.rejected) for name, counts in found.counts.items()}
    assert read["salesforce.lead"] == (1, 1, 0) and read["salesforce.contact"] == (4, 4, 0)
    assert read["salesforce.task"] == (10, 10, 0) and read["salesforce.event"] == (10, 10, 0)
    # Nine accounts and all ten opportunities are deleted in the CRM.
    assert read["salesforce.account"] == (10, 1, 9) and read["salesforce.opportunity"] == (10, 0, 10)
    assert {row["reason"] for row in found.rejects.to_pylist()} == {"deleted in the CRM"}
    assert rows(tmp_path, "suppressions", "lead_id") == []  # every opt-out is FALSE or empty
    assert len(set(read_ids(tmp_path))) == 5
    assert set(fact(tmp_path, "consent").values()) == {None} and set(fact(tmp_path, "opt_out").values()) == {None}
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").glob("*.parquet"))
    assert b"@gmail.com" not in written and b"Yellen" not in written


@real
def test_exactly_ten_real_pardot_leads_are_stopped_by_the_flag_and_null_says_nothing(tmp_path: Path) -> None:
    found = bring(tmp_path, "pardot", SHARED / "fivetran_pardot")
    assert found.counts["pardot.prospect"].used == 100 and len(set(read_ids(tmp_path))) == 100
    stops = rows(tmp_path, "suppressions", "lead_id", "reason", "channel")
    flagged = {lead for lead, reason, _ in stops if reason == "opt_out"}
    assert len(flagged) == 10 and Counter(reason for _, reason, _ in stops)["opt_out"] == 10
    deleted = {lead for lead, reason, channel in stops if reason == "no_contact" and channel is None}
    assert len(deleted) == 78 and flagged <= deleted  # in the recycle bin, all ten of them
    known = set(read_ids(tmp_path))
    assert {lead for lead, *_ in stops} & known == deleted
    opted = fact(tmp_path, "opt_out")
    # Who is in the recycle bin is on the no-contact list, which is an opt-out too.
    assert {lead for lead, value in opted.items() if value == "yes"} == deleted
    assert {value for lead, value in opted.items() if lead not in deleted} == {None}  # neither "no" nor a grant
    assert set(fact(tmp_path, "consent").values()) == {None}
    # Of 100 rows of opportunity_prospect 4 name an opportunity that is in this sample.
    counts = found.counts["pardot.opportunity_prospect"]
    assert (counts.read, counts.used, counts.rejected) == (100, 4, 96)
    assert len(rows(tmp_path, "outcomes", "kind")) == 8


@real
def test_every_unsubscribe_of_the_real_iterable_export_is_a_stop(tmp_path: Path) -> None:
    found = bring(tmp_path, "iterable", SHARED / "fivetran_iterable")
    # 2 users, and 4 who only unsubscribed: hello, oymista (of both kinds), bobbelcher, lindabelcher.
    assert len(set(read_ids(tmp_path))) == 6
    stops = rows(tmp_path, "suppressions", "lead_id", "channel", "scope")
    assert len({lead for lead, *_ in stops}) == 4
    assert {(channel, scope) for _, channel, scope in stops} == {("email", "promotional")}
    opted = fact(tmp_path, "opt_out")
    assert Counter(opted.values()) == {"yes": 4, None: 2}
    # Five rows name their user by an id that no user of this sample has.
    assert {row["reason"] for row in found.rejects.to_pylist()} == {"no row of user has this value"}
    assert found.rejects.num_rows == 5
    assert sum(counts.read for counts in found.counts.values()) == 34


def test_a_hubspot_contact_that_was_merged_and_deleted_still_stops_the_one_that_is_left(tmp_path: Path) -> None:
    contact = "id,property_email,property_createdate,property_lastmodifieddate,property_hs_email_optout,is_deleted\n"
    contact += "1,a@x.org,2026-01-01,2026-01-02,true,true\n2,b@x.org,2026-01-01,2026-01-02,false,false\n"
    contact += "3,c@x.org,2026-01-01,2026-01-02,true,true\n"
    found = bring(
        tmp_path, "hubspot", contact=contact, contact_merge_audit="contact_id,vid_to_merge,timestamp\n2,1,2026-01-03\n"
    )
    stops = pq.read_table(tmp_path / "out" / "suppressions.parquet").to_pylist()
    # Contact 3 was deleted and is nobody any more; both are listed as left out.
    assert [(row["lead_id"], row["channel"], row["reason"]) for row in stops] == [("hubspot:1", "email", "opt_out")]
    assert found.counts["hubspot.contact"].rejected == 2
    known = view_at(read_tables(find_files(tmp_path / "out"), SETTINGS).tables, AS_OF, BUILDER.view)
    facts = facts_of(known, BUILDER, INVENTORY)
    survivor = known.lead_ids.tolist().index("hubspot:2")
    assert facts.columns["opt_out"].reshape(len(known.lead_ids), -1)[survivor].max() == YES


def test_a_pardot_prospect_is_linked_with_its_crm_lead_although_the_contact_is_not_there(tmp_path: Path) -> None:
    for name, text in (
        ("sf/Lead", f"Id,LastName,CreatedDate,SystemModstamp,HasOptedOutOfEmail\nL1,Doe,{T},{T},true\n"),
        ("pardot/prospect", "id,created_at,updated_at,crm_contact_fid,crm_lead_fid\n1,2026-02-01,2026-02-01,C9,L1\n"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    both = (("salesforce", "sf"), ("pardot", "pardot"))
    exports = [Export(load_export(Path(source)), source, str(tmp_path / folder)) for source, folder in both]
    import_exports(exports, tmp_path / "out")
    links = pq.read_table(tmp_path / "out" / "links.parquet").to_pylist()
    assert [(row["lead_id"], row["other_lead_id"]) for row in links] == [("pardot:1", "L1")]


def test_an_edit_of_a_hubspot_contact_does_not_undo_an_unsubscribe(tmp_path: Path) -> None:
    head = "id,property_email,property_createdate,property_lastmodifieddate,property_hs_legal_basis\n"
    contact = head + "1,a@x.org,2025-01-01,2026-02-01,Freely given consent from contact\n"
    contact += "2,b@x.org,2025-01-01,2026-02-01,Freely given consent from contact\n"
    change = "recipient,timestamp,email_subscription_id,change_type,change\n"
    change += "a@x.org,2026-01-10,7,SUBSCRIPTION_STATUS,UNSUBSCRIBED\n"
    bring(tmp_path, "hubspot", contact=contact, email_subscription_change=change)
    known = view_at(read_tables(find_files(tmp_path / "out"), SETTINGS).tables, AS_OF, BUILDER.view)
    withdrawn = facts_of(known, BUILDER, INVENTORY).columns["consent_withdrawn"].reshape(2, -1)
    email = SETTINGS.vocabularies["channel"].values.index("email")
    assert withdrawn[:, email].tolist() == [YES, NO]
