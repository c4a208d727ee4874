"""Leads that must stay contactable: without them a book that forbids everything would keep every promise.

Each says of some channels that a lead which surely satisfies a condition can be allowed. Together they pin every legal
ground to its countries, people and channels, and every stop to the channels it is about.
"""

from __future__ import annotations

from collections.abc import Sequence

from policy.proofs.promises import EVERY, Reachable

_COUNTRIES = ("US", "CA", "UK", "DE", "FR", "EU_OTHER", "CH", "AU", "BR", "OTHER")
_PEOPLE = ("hcp", "buyer", "patient", "caregiver", "other")
_PROMOTED = "asset_intent = 'promotional' AND consent = 'granted' AND service_consent = 'none'"
_SERVED = "asset_intent = 'service' AND consent = 'none' AND service_consent = 'granted'"
_NOTHING = "consent = 'none' AND service_consent = 'none'"
_SOFT = "consent = 'implied' AND consent_kind = 'own_customer' AND service_consent = 'none'"
_BALANCED = "consent = 'implied' AND consent_kind = 'legitimate_interest' AND service_consent = 'none'"


def _open(words: str, channels: Sequence[str], says: str) -> Reachable:
    return Reachable("L-OPEN", words, tuple(channels), says)


def _lead(jurisdiction: str, audience: str) -> str:
    return f"jurisdiction = '{jurisdiction}' AND audience = '{audience}'"


REACHABLE: tuple[Reachable, ...] = (
    Reachable("C-18", "some lead is allowed", EVERY, "NOT jurisdiction IS UNKNOWN AND NOT audience IS UNKNOWN"),
    *(_open(f"consent in {j}", EVERY, f"{_lead(j, 'hcp')} AND {_PROMOTED}") for j in _COUNTRIES),
    *(_open(f"consent of {a}", EVERY, f"{_lead('DE', a)} AND {_PROMOTED}") for a in _PEOPLE if a != "hcp"),
    *(
        # A text to the United States needs written consent, whatever it says: US-02 makes no exception for service.
        _open(f"service in {j}", [c for c in EVERY if (j, c) != ("US", "sms")], f"{_lead(j, 'hcp')} AND {_SERVED}")
        for j in _COUNTRIES
    ),
    *(_open(f"service to {a}", EVERY, f"{_lead('DE', a)} AND {_SERVED}") for a in _PEOPLE if a != "hcp"),
    *(
        _open(
            f"US {a} without consent",
            ("email", "phone", "rep_visit", "mail"),
            f"{_lead('US', a)} AND {_NOTHING} AND asset_intent = 'promotional'",
        )
        for a in ("hcp", "buyer")
    ),
    *(
        _open(
            f"Canada, {kind} of {a}",
            ("email", "sms"),
            f"{_lead('CA', a)} AND consent = 'implied' AND consent_kind = '{kind}' AND service_consent = 'none'",
        )
        for a in ("hcp", "buyer")
        for kind in ("purchase", "inquiry", "published_address")
    ),
    *(
        _open(
            f"Canada, {kind} on its last day",
            ("email", "sms"),
            f"{_lead('CA', 'hcp')} AND consent = 'implied' AND consent_kind = '{kind}' AND service_consent = 'none' "
            f"AND consent_days = {{{parameter}}}",
        )
        for kind, parameter in (("purchase", "casl.purchase_days"), ("inquiry", "casl.inquiry_days"))
    ),
    *(
        _open(f"soft opt-in of {a} in {j}", ("email", "sms"), f"{_lead(j, a)} AND {_SOFT}")
        for a in ("hcp", "buyer")
        for j in ("DE", "FR", "UK", "CH")
    ),
    *(
        _open(
            f"French {a}, {kind}",
            ("email",),
            f"{_lead('FR', a)} AND consent = 'implied' AND consent_kind = '{kind}' AND service_consent = 'none'",
        )
        for a in ("hcp", "buyer")
        for kind in ("legitimate_interest", "published_address")
    ),
    *(
        # Without consent, so that nothing spares them a list they are on.
        _open(
            f"UK {words} beside a preference register",
            channels,
            f"{_lead('UK', 'buyer')} AND {basis} AND do_not_call = 'yes'",
        )
        for words, basis, channels in (
            ("soft opt-in", _SOFT, ("email", "sms")),
            ("visits and letters", _BALANCED, ("rep_visit", "mail")),
        )
    ),
    *(
        _open(f"legitimate interest, {a} in {j}", ("rep_visit", "mail"), f"{_lead(j, a)} AND {_BALANCED}")
        for a in ("hcp", "buyer")
        for j in ("DE", "FR", "EU_OTHER", "UK", "CH", "CA")
    ),
    *(
        _open(
            f"{j}: an old consent leaves visits and letters",
            ("rep_visit", "mail", "event"),
            f"{_lead(j, 'hcp')} AND {_PROMOTED} AND consent_days > 3000 AND days_since_last_event > 3000",
        )
        for j in ("DE", "UK")
    ),
    *(
        _open(
            f"{j}: a listed number stops calls and texts only",
            ("email", "rep_visit", "mail", "event", "ads"),
            f"{_lead(j, 'hcp')} AND {_PROMOTED} AND consent_kind = 'express' AND do_not_call = 'yes'",
        )
        for j in ("US", "UK", "CA")
    ),
    _open(
        "an objection to profiling stops audiences only",
        [channel for channel in EVERY if channel != "ads"],
        f"{_lead('DE', 'hcp')} AND {_PROMOTED} AND profiling_objection = 'yes'",
    ),
    _open(
        "what asks for no step, where no service is offered",
        EVERY,
        f"{_lead('DE', 'hcp')} AND {_PROMOTED} AND asset_call_to_action = 'none' AND service_offered = 'no'",
    ),
    *(
        _open(
            f"{j}: another place's list",
            ("phone",),
            f"{_lead(j, 'hcp')} AND {_PROMOTED} AND consent_kind = 'express' AND do_not_call = 'yes'",
        )
        for j in ("UK", "DE", "CH", "AU")
    ),
    _open(
        "a dead address stops e-mail and texts only",
        ("phone", "rep_visit", "mail", "event", "ads"),
        f"{_lead('US', 'hcp')} AND {_PROMOTED} AND hard_bounce = 'yes'",
    ),
    _open(
        "a no-contact list stops calls and visits only",
        ("email", "sms", "mail", "event", "ads"),
        f"{_lead('US', 'hcp')} AND {_PROMOTED} AND no_contact = 'yes'",
    ),
    _open(
        "calls, visits, events without content",
        ("phone", "rep_visit", "event", "ads"),
        f"{_lead('DE', 'hcp')} AND consent = 'granted' AND asset_status = 'not_needed' AND asset_intent IS UNKNOWN",
    ),
    _open(
        "answers in writing",
        ("email", "sms", "mail"),
        f"{_lead('DE', 'hcp')} AND consent = 'granted' AND asset_intent = 'medical_information'",
    ),
    *(
        _open(
            "the public sees what needs no prescription",
            EVERY,
            f"{_lead(j, a)} AND {_PROMOTED} AND asset_prescription = 'no'",
        )
        for j in ("DE", "CA", "AU")
        for a in ("buyer", "patient")
    ),
    _open(
        "US patients see prescription content",
        EVERY,
        f"{_lead('US', 'patient')} AND {_PROMOTED} AND asset_prescription = 'yes'",
    ),
    _open(
        "service is not capped",
        EVERY,
        f"{_lead('DE', 'hcp')} AND {_SERVED} AND touches_7d > 50 AND touches_30d > 50 AND channel_touches_7d > 50",
    ),
    _open(
        "service goes on beside an open case",
        EVERY,
        f"{_lead('DE', 'hcp')} AND {_SERVED} AND open_case = 'yes' AND meeting_booked = 'yes' "
        "AND adverse_event_open = 'yes' AND consent_withdrawn = 'yes'",
    ),
    _open(
        "another product's question",
        EVERY,
        f"{_lead('US', 'hcp')} AND {_PROMOTED} AND off_label_open = 'yes' AND off_label_same_product = 'no'",
    ),
    _open(
        "education to who is not verified",
        EVERY,
        f"{_lead('US', 'hcp')} AND consent = 'granted' AND asset_intent = 'medical_education' AND verified_hcp = 'no'",
    ),
    _open(
        "less, not nothing",
        EVERY,
        f"{_lead('US', 'hcp')} AND {_PROMOTED} AND reduced_communication = 'yes' AND touches_30d = 1",
    ),
    *(
        _open(f"{fact} is about other channels", channels, f"{_lead(j, a)} AND {_PROMOTED} AND {fact}")
        for fact, j, a, channels in (
            ("role_address = 'yes'", "DE", "hcp", ("phone", "rep_visit", "mail", "event", "ads")),
            ("days_since_verified > 3000", "DE", "hcp", ("phone", "rep_visit", "mail", "event")),
            ("us_state = 'CT'", "US", "hcp", EVERY),
            ("sharing_opt_out = 'yes'", "US", "hcp", ("email", "sms", "phone", "rep_visit", "mail", "event")),
            (
                "asset_reveals_condition = 'yes'",
                "DE",
                "patient",
                ("email", "sms", "phone", "rep_visit", "mail", "event"),
            ),
            ("asset_reveals_condition = 'yes'", "DE", "hcp", ("ads",)),
            (
                "tcpa_revoked = 'yes' AND tcpa_revoked_any = 'yes'",
                "US",
                "hcp",
                ("email", "rep_visit", "mail", "event", "ads"),
            ),
            ("tcpa_revoked = 'yes' AND tcpa_revoked_any = 'yes'", "DE", "hcp", EVERY),
            ("state_registered = 'no'", "US", "hcp", ("email", "rep_visit", "mail", "event", "ads")),
            ("state_registered = 'no'", "DE", "hcp", EVERY),
            ("days_since_screened > 3000", "US", "hcp", EVERY),
            ("days_since_screened > 3000", "UK", "hcp", EVERY),
            ("do_not_call = 'yes'", "FR", "hcp", EVERY),
            (
                "local_minute_from = 60 AND local_minute_to = 90",
                "US",
                "hcp",
                ("email", "rep_visit", "mail", "event", "ads"),
            ),
            ("local_minute_from = 481 AND local_minute_to = 1259", "DE", "hcp", EVERY),
            ("local_minute_from = 481 AND local_minute_to = 1199 AND us_state = 'FL'", "US", "hcp", EVERY),
            ("local_minute_from = 481 AND local_minute_to = 1259 AND us_state = 'TX'", "US", "hcp", EVERY),
            ("local_minute_from = 601 AND local_minute_to = 1079", "CA", "hcp", EVERY),
            ("local_minute_from = 601 AND local_minute_to = 779", "FR", "hcp", EVERY),
            ("local_minute_from = 841 AND local_minute_to = 1199", "FR", "hcp", EVERY),
            ("asset_footer = 'no'", "DE", "hcp", ("phone", "rep_visit", "mail", "event", "ads")),
            (
                "asset_footer = 'no' AND asset_status = 'approved'",
                "US",
                "hcp",
                ("phone", "rep_visit", "mail", "event", "ads"),
            ),
            ("phi_source = 'yes' AND phi_authorized = 'yes'", "US", "patient", EVERY),
            ("phi_source = 'yes' AND phi_authorized = 'no'", "US", "hcp", EVERY),
            ("phi_source = 'yes' AND phi_authorized = 'no'", "DE", "patient", EVERY),
            ("us_state = 'WA' AND health_consent = 'yes'", "US", "patient", EVERY),
            ("us_state = 'CT' AND health_consent = 'yes'", "US", "caregiver", EVERY),
            ("us_state = 'OR' AND health_consent = 'no'", "US", "patient", EVERY),
            ("us_state = 'WA' AND health_consent = 'no'", "US", "hcp", EVERY),
            ("health_consent = 'no'", "DE", "patient", EVERY),
            ("health_consent = 'no'", "BR", "hcp", EVERY),
            ("health_consent = 'no'", "BR", "patient", ("phone", "rep_visit", "mail", "event", "ads")),
            ("consent_kind = 'own_customer'", "DE", "patient", ("phone", "rep_visit", "mail", "event", "ads")),
            ("local_minute_from = {calls.start}", "DE", "hcp", EVERY),
            ("local_minute_from = {calls.start}", "US", "hcp", EVERY),
            ("local_minute_from = {calls.start_ca}", "CA", "hcp", EVERY),
            ("local_minute_from = {calls.start_fr}", "FR", "hcp", EVERY),
            ("local_minute_from = {calls.noon_to_fr}", "FR", "hcp", EVERY),
            ("health_consent = 'no'", "AU", "patient", EVERY),
            ("third_party_source = 'yes' AND notice_given = 'no'", "US", "hcp", EVERY),
            ("third_party_source = 'yes' AND notice_given = 'no' AND days_since_obtained = 29", "DE", "hcp", EVERY),
            ("third_party_source = 'yes' AND notice_given = 'yes'", "DE", "hcp", EVERY),
            ("asset_refill_reminder = 'yes'", "DE", "patient", EVERY),
            ("asset_refill_reminder = 'yes'", "US", "hcp", EVERY),
            ("asset_value_transfer = 'yes'", "US", "buyer", EVERY),
            ("asset_filed = 'no' AND asset_prescription = 'yes'", "DE", "hcp", EVERY),
            ("asset_filed = 'no' AND asset_prescription = 'no'", "US", "hcp", EVERY),
            ("licence_status = 'inactive'", "DE", "buyer", EVERY),
            ("verified_hcp = 'no'", "DE", "buyer", EVERY),
            ("adult = 'no'", "DE", "hcp", EVERY),
        )
    ),
    _open(
        "education to who is not licensed, but nothing handed over",
        ("email", "sms", "phone", "ads"),
        f"{_lead('DE', 'hcp')} AND consent = 'granted' AND asset_intent = 'medical_education' "
        "AND licence_status = 'inactive'",
    ),
    _open(
        "service outside of segments, pauses and records",
        EVERY,
        f"{_lead('DE', 'hcp')} AND {_SERVED} AND segment_approved = 'no' AND channel_paused = 'yes' "
        "AND days_since_verified > 3000",
    ),
    _open(
        "health data with consent",
        ("features",),
        "data_kind = 'health' AND audience = 'patient' AND "
        "jurisdiction = 'US' AND us_state = 'WA' AND health_consent = 'yes'",
    ),
    _open(
        "health data in Nevada with consent",
        ("features",),
        "data_kind = 'health' AND audience = 'caregiver' AND "
        "jurisdiction = 'US' AND us_state = 'NV' AND health_consent = 'yes'",
    ),
    _open(
        "what a professional treats",
        ("features",),
        "data_kind = 'health' AND audience = 'hcp' "
        "AND health_consent = 'no' AND jurisdiction = 'US' AND us_state = 'WA'",
    ),
    *(
        _open(
            f"what a {a} did, from health records",
            ("features",),
            f"data_kind = 'behaviour' AND audience = '{a}' AND phi_source = 'yes' AND phi_authorized = 'no'",
        )
        for a in ("hcp", "buyer")
    ),
    _open(
        "ordinary data of a patient",
        ("features", "view"),
        "data_kind = 'behaviour' AND audience = 'patient' AND phi_source = 'no' AND health_consent = 'no'",
    ),
    _open(
        "unrestricted prescribing data",
        ("features", "view"),
        "data_kind = 'prescriber' AND prescriber_restricted = 'no' AND jurisdiction = 'US' AND us_state = 'VT'",
    ),
    _open(
        "a restriction is about prescribing data",
        ("features", "view"),
        "data_kind = 'behaviour' AND prescriber_restricted = 'yes'",
    ),
    _open(
        "anybody who neither objected nor was erased is scored",
        ("scoring",),
        "jurisdiction = 'DE' AND profiling_objection = 'no' AND erased_or_restricted = 'no'",
    ),
    _open(
        "an objection to profiling is European law", ("scoring",), "jurisdiction = 'US' AND profiling_objection = 'yes'"
    ),
)
