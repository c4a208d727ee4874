"""The default cards stated once more, apart from them: a card that is lost or mistyped breaks its promise here."""

from __future__ import annotations

from policy.proofs.promises import (
    ASKED,
    BARE,
    BASIS,
    BUSINESS,
    EU,
    EVERY,
    FRENCH,
    GRANTED,
    INVARIANT_PROMISES,
    LIVE,
    OWN,
    PRIVATE,
    USED,
    Promise,
)

RESTATED_PROMISES: tuple[Promise, ...] = (
    Promise(
        "S-FEATURES",
        "restricted prescribing data is no feature",
        USED,
        "NOT data_kind = 'prescriber' OR prescriber_restricted = 'no'",
        gates=("feature",),
    ),
    Promise(
        "S-FEATURES",
        "and no representative sees it",
        ("view",),
        "NOT data_kind = 'prescriber' OR prescriber_restricted = 'no'",
        gates=("feature",),
    ),
    Promise("S-FEATURES", "only from listed sources", USED, "data_source_listed = 'yes'", gates=("feature",)),
    Promise(
        "S-PERMITS",
        "legal ground of an e-mail",
        ("email",),
        (
            f"({BASIS}) OR (jurisdiction = 'US' AND {BUSINESS}) OR (jurisdiction = 'CA' AND {BUSINESS} AND consent = "
            "'implied' AND consent_kind IN ('purchase', 'inquiry', 'published_address') AND consent_expired = 'no') OR "
            f"(jurisdiction IN ('DE', 'FR', 'UK', 'CH') AND {OWN} AND {LIVE}) OR ({FRENCH} AND {LIVE})"
        ),
    ),
    Promise(
        "S-PERMITS",
        "legal ground of a text",
        ("sms",),
        (
            f"({BASIS}) OR (jurisdiction = 'CA' AND {BUSINESS} AND consent = 'implied' AND consent_kind IN "
            "('purchase', 'inquiry', 'published_address') AND consent_expired = 'no') OR "
            f"(jurisdiction IN ('DE', 'FR', 'UK', 'CH') AND {OWN} AND {LIVE})"
        ),
    ),
    Promise("S-PERMITS", "legal ground of a call", ("phone",), f"({BASIS}) OR (jurisdiction = 'US' AND {BUSINESS})"),
    Promise(
        "S-PERMITS",
        "legal ground of a visit or letter",
        ("rep_visit", "mail"),
        (
            f"({BASIS}) OR (jurisdiction = 'US' AND {BUSINESS}) OR (jurisdiction IN ('DE', 'FR', "
            "'EU_OTHER', 'UK', 'CH', "
            f"'CA') AND {BUSINESS} AND consent = 'implied' AND consent_kind = 'legitimate_interest' AND {LIVE})"
        ),
    ),
    Promise("S-PERMITS", "legal ground of an invitation or an audience", ("event", "ads"), BASIS),
    Promise("S-STOPS", "erased or restricted", EVERY, "erased_or_restricted = 'no'"),
    Promise("S-SCORING", "nobody is scored who is erased or restricted", ("scoring",), "erased_or_restricted = 'no'"),
    Promise(
        "S-SCORING",
        "nor who objected to profiling in the EU or UK",
        ("scoring",),
        ("NOT jurisdiction IN ('DE', 'FR', 'EU_OTHER', 'UK') OR profiling_objection = 'no'"),
    ),
    Promise("S-STOPS", "consent withdrawn", EVERY, f"consent_withdrawn = 'no' OR ({ASKED})"),
    Promise("S-STOPS", "adults only", EVERY, f"NOT {PRIVATE} OR adult = 'yes'"),
    Promise("S-STOPS", "sources that the register permits", EVERY, "source_permitted = 'yes'"),
    Promise(
        "S-STOPS",
        "told, or told with the first contact",
        EVERY,
        (
            "NOT jurisdiction IN ('DE', 'FR', 'EU_OTHER', 'UK') OR third_party_source = 'no' OR notice_given = 'yes' "
            "OR (asset_notice = 'yes' AND days_since_obtained <= {eu.notice_days})"
        ),
    ),
    Promise("S-STOPS", "records agree about the person", EVERY, "identity_conflict = 'no'"),
    Promise("S-STOPS", "dead and shared addresses", ("email", "sms"), "hard_bounce = 'no' AND role_address = 'no'"),
    Promise(
        "S-STOPS",
        "stale records",
        ("email", "sms", "ads"),
        (f"days_since_verified <= {{hygiene.verified_days}} OR ({ASKED})"),
    ),
    Promise("S-STOPS", "segments that two people approved", EVERY, f"segment_approved = 'yes' OR ({ASKED})"),
    Promise("S-STOPS", "no-contact lists", ("phone", "rep_visit"), f"NOT {BUSINESS} OR no_contact = 'no'"),
    Promise("S-STOPS", "open complaint or legal hold", EVERY, "open_case = 'no' OR asset_intent = 'service'"),
    Promise("S-STOPS", "pauses", EVERY, "channel_paused = 'no' OR asset_intent = 'service'"),
    Promise("S-STOPS", "opted out of sharing", ("ads",), "sharing_opt_out = 'no'"),
    Promise("S-STOPS", "health audiences of platforms", ("ads",), f"NOT {PRIVATE} OR asset_reveals_condition = 'no'"),
    Promise(
        "S-PROFESSIONALS",
        "verified and licensed before promotion",
        EVERY,
        (
            "NOT audience = 'hcp' OR NOT asset_intent = 'promotional' OR (verified_hcp = 'yes' AND "
            "licence_status = 'active')"
        ),
    ),
    Promise(
        "S-PROFESSIONALS",
        "licensed where something can be handed over",
        ("rep_visit", "mail", "event"),
        ("NOT audience = 'hcp' OR licence_status = 'active'"),
    ),
    Promise(
        "S-PROFESSIONALS",
        "transfers of value wait for a person",
        EVERY,
        (f"NOT audience = 'hcp' OR {BARE} OR asset_value_transfer = 'no'"),
    ),
    Promise("S-STOPS", "no audience of a platform after an objection", ("ads",), "profiling_objection = 'no'"),
    Promise(
        "S-CONTENT",
        "steps towards a booking only where the service is offered",
        EVERY,
        f"{BARE} OR NOT asset_call_to_action IN ('contact', 'trial', 'buy') OR service_offered = 'yes'",
    ),
    Promise(
        "S-CONTENT",
        "prescription promotion outside the United States",
        EVERY,
        (
            "jurisdiction = 'US' OR NOT asset_intent = 'promotional' OR asset_prescription = 'no' "
            "OR (audience = 'hcp' AND verified_hcp = 'yes')"
        ),
    ),
    Promise(
        "S-CONTENT",
        "authorised in the market",
        EVERY,
        (f"{BARE} OR NOT asset_intent = 'promotional' OR asset_authorised = 'yes'"),
    ),
    Promise(
        "S-CONTENT",
        "filed at first use",
        EVERY,
        (
            f"NOT jurisdiction = 'US' OR {BARE} OR NOT asset_intent = 'promotional' OR asset_prescription = 'no' "
            "OR asset_filed = 'yes'"
        ),
    ),
    Promise("S-CONTENT", "footer of a message", ("email", "sms"), f"{BARE} OR asset_footer = 'yes' OR ({ASKED})"),
    Promise(
        "S-CONTENT",
        "refill reminders wait for a person",
        EVERY,
        (f"NOT jurisdiction = 'US' OR NOT {PRIVATE} OR {BARE} OR asset_refill_reminder = 'no'"),
    ),
    Promise(
        "S-CONTENT",
        "education stays education",
        EVERY,
        (
            f"{BARE} OR NOT asset_intent IN ('medical_education', 'medical_information') "
            "OR (asset_layer = 'education' AND asset_call_to_action IN ('none', 'learn', 'attend'))"
        ),
    ),
    Promise(
        "S-CONTENT",
        "answers come from medical affairs",
        ("phone", "rep_visit"),
        (f"{BARE} OR NOT asset_intent = 'medical_information'"),
    ),
    Promise(
        "S-CAPS",
        "caps over 7 and 30 days",
        EVERY,
        (
            "NOT asset_intent IN ('promotional', 'medical_education') OR (touches_7d < {caps.touches_7d} AND "
            "touches_30d < {caps.touches_30d} AND channel_touches_7d < {caps.channel_touches_7d})"
        ),
    ),
    Promise(
        "S-CAPS",
        "less for who asked for less",
        EVERY,
        (
            "NOT asset_intent IN ('promotional', 'medical_education') OR reduced_communication = 'no' "
            "OR touches_30d < {caps.reduced_touches_30d}"
        ),
    ),
    Promise("S-CAPS", "nothing twice", EVERY, f"{BARE} OR asset_repeated = 'no'"),
    Promise(
        "S-CALLS",
        "UK: preference register, screened lately",
        ("phone",),
        (
            "NOT jurisdiction = 'UK' OR (do_not_call = 'no' AND days_since_screened <= {uk.screening_days}) "
            f"OR (consent = 'granted' AND consent_proven = 'yes') OR ({ASKED})"
        ),
    ),
    Promise(
        "S-CALLS",
        "US and Canada: do-not-call lists, screened lately",
        ("phone", "sms"),
        (
            "NOT jurisdiction IN ('US', 'CA') OR (do_not_call = 'no' AND days_since_screened <= "
            "{us.screening_days}) OR "
            f"({GRANTED} AND consent_kind = 'express_written') OR ({ASKED})"
        ),
    ),
    Promise(
        "S-CALLS",
        "France: Bloctel",
        ("phone",),
        (f"NOT jurisdiction = 'FR' OR do_not_call = 'no' OR consent = 'granted' OR ({ASKED})"),
    ),
    Promise(
        "S-CALLS",
        "US: revoked anywhere is revoked",
        ("phone", "sms"),
        ("NOT jurisdiction = 'US' OR (tcpa_revoked = 'no' AND tcpa_revoked_any = 'no')"),
    ),
    Promise(
        "S-CALLS",
        "US: registered in the state",
        ("phone", "sms"),
        (f"NOT jurisdiction = 'US' OR state_registered = 'yes' OR ({ASKED})"),
    ),
    Promise(
        "S-CALLS",
        "surely inside the hours of the day",
        ("phone", "sms"),
        (
            "(NOT jurisdiction IN ('CA', 'FR') AND local_minute_from >= {calls.start} AND "
            "local_minute_to < {calls.end}) "
            "OR (jurisdiction = 'CA' AND local_minute_from >= {calls.start_ca} AND local_minute_to < {calls.end_ca}) "
            "OR (jurisdiction = 'FR' AND local_minute_from >= {calls.start_fr} AND local_minute_to < {calls.end_fr})"
        ),
        gates=("send",),
    ),
    Promise(
        "S-CALLS",
        "not at noon in France",
        ("phone", "sms"),
        (
            "NOT jurisdiction = 'FR' OR local_minute_to < {calls.noon_from_fr} OR local_minute_from >= "
            "{calls.noon_to_fr}"
        ),
        gates=("send",),
    ),
    Promise(
        "S-CALLS",
        "earlier evenings in FL, MD, OK, WA",
        ("phone", "sms"),
        ("NOT jurisdiction = 'US' OR local_minute_to < {calls.end_fl} OR NOT us_state IN ('FL', 'MD', 'OK', 'WA')"),
        gates=("send",),
    ),
    Promise(
        "S-CONSENT",
        "Canada: implied consent is alive",
        ("email", "sms"),
        (
            f"NOT jurisdiction = 'CA' OR ({ASKED}) OR (consent_proven = 'yes' AND (consent = 'granted' "
            "OR (consent_kind = 'purchase' AND consent_days <= {casl.purchase_days}) "
            "OR (consent_kind = 'inquiry' AND consent_days <= {casl.inquiry_days}) "
            "OR consent_kind = 'published_address'))"
        ),
    ),
    Promise(
        "S-CONSENT",
        "Germany: patients and caregivers expressly",
        ("email", "sms"),
        (
            f"NOT jurisdiction = 'DE' OR {BUSINESS} OR ({ASKED}) "
            "OR (consent = 'granted' AND consent_kind IN ('express', 'express_written') AND consent_proven = 'yes')"
        ),
    ),
    Promise("S-CONSENT", "EU: consent before a call", ("phone",), f"NOT {EU} OR consent = 'granted' OR ({ASKED})"),
    Promise(
        "S-CONSENT",
        "UK: permission before digital contact",
        ("email", "sms", "phone"),
        (
            f"NOT jurisdiction = 'UK' OR consent = 'granted' OR ({ASKED}) "
            f"OR ({OWN} AND (audience = 'buyer' OR NOT asset_intent = 'promotional'))"
        ),
    ),
    Promise(
        "S-CONSENT",
        "Switzerland: consent or own customer",
        ("email", "sms"),
        (f"NOT jurisdiction = 'CH' OR consent = 'granted' OR ({OWN}) OR ({ASKED})"),
    ),
    Promise(
        "S-CONSENT",
        "Australia, Brazil, elsewhere: consent",
        ("email", "sms"),
        (
            f"NOT jurisdiction IN ('AU', 'BR', 'OTHER') OR ({ASKED}) OR (consent = 'granted' "
            f"AND (NOT jurisdiction = 'BR' OR {BUSINESS} OR health_consent = 'yes'))"
        ),
    ),
    Promise(
        "S-CONSENT",
        "EU and UK: proven, and fresh or alive",
        ("email", "sms", "phone"),
        (
            "NOT jurisdiction IN ('DE', 'FR', 'EU_OTHER', 'UK') OR (consent IN ('granted', 'implied') "
            "AND consent_proven = "
            "'yes' AND (consent_days <= {eu.consent_max_days} OR days_since_last_event <= {eu.consent_max_days})) "
            f"OR ({ASKED})"
        ),
    ),
)
PROMISES = (*INVARIANT_PROMISES, *RESTATED_PROMISES)
