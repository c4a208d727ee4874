"""What allowed must mean, written a second time and apart from the cards: `allowed => surely (...)`.

Each promise is a condition in the language of the cards, so counsel can read it, and says on which channels whatever
the book allows surely satisfies it. C-... are the invariants; S-... state the default cards once more, so that a card
that is lost, narrowed or mistyped is found even though its own examples went with it. `scoring` stands beside the
channels: whether the lead may be scored; so do `features` and `view`: whether a datum may be used, and sales see it.
"""

from __future__ import annotations

from dataclasses import dataclass

EVERY = ("email", "sms", "phone", "rep_visit", "mail", "event", "ads")
WRITTEN = ("email", "sms", "mail")
ELECTRONIC = ("email", "sms", "phone", "ads")
EU = "jurisdiction IN ('DE', 'FR', 'EU_OTHER')"
BUSINESS = "audience IN ('hcp', 'buyer')"
OWN = "consent = 'implied' AND consent_kind = 'own_customer' AND audience IN ('hcp', 'buyer')"
ASKED = "asset_intent = 'service' AND service_consent = 'granted'"
LIVE = "consent_proven = 'yes' AND consent_expired = 'no'"
GRANTED = f"consent = 'granted' AND {LIVE}"
KNOWN = "NOT jurisdiction IS UNKNOWN AND NOT audience IS UNKNOWN"
FRENCH = (
    "jurisdiction = 'FR' AND audience IN ('hcp', 'buyer') AND consent = 'implied' AND consent_kind IN "
    "('legitimate_interest', 'published_address') AND consent_proven = 'yes' AND notice_given = 'yes' "
    "AND asset_footer = 'yes'"
)
PRIVATE = "audience IN ('patient', 'caregiver')"
BARE = "asset_status = 'not_needed'"
USED = ("features",)
BASIS = f"{KNOWN} AND (({GRANTED}) OR ({ASKED}))"


@dataclass(frozen=True, slots=True)
class Promise:
    """Whatever is allowed on these channels surely satisfies `says`; `family` is the id it is reported under."""

    family: str
    words: str
    channels: tuple[str, ...]
    says: str
    exceptions: str = ""
    gates: tuple[str, ...] = ("action", "send")


@dataclass(frozen=True, slots=True)
class Reachable:
    """On each of these channels some lead that surely satisfies `says` is allowed."""

    family: str
    words: str
    channels: tuple[str, ...]
    says: str


INVARIANT_PROMISES: tuple[Promise, ...] = (
    Promise(
        "C-01",
        "allowed => surely not opted out of this channel or of everything, and no opt-out on its way",
        EVERY,
        "opt_out = 'no' AND opt_out_pending = 'no'",
    ),
    Promise("C-01", "allowed => the feed of opt-outs is surely fresh", EVERY, "feed_fresh = 'yes'"),
    Promise(
        "C-01",
        "allowed => surely not about a topic or product that the person opted out of on this channel",
        EVERY,
        "topic_opt_out = 'no' OR asset_topic_opt_out = 'no'",
    ),
    Promise(
        "C-04",
        "text to the EU => consent, or in DE and FR the soft opt-in of an own professional customer",
        ("sms",),
        f"NOT {EU} OR consent = 'granted' OR (jurisdiction IN ('DE', 'FR') AND {OWN}) OR ({ASKED})",
        "a service message that was asked for",
    ),
    Promise(
        "C-04",
        "e-mail to the EU => the same, or the French overlay for professionals",
        ("email",),
        f"NOT {EU} OR consent = 'granted' OR (jurisdiction IN ('DE', 'FR') AND {OWN}) OR ({ASKED}) OR ({FRENCH})",
        "a service message that was asked for; P-FR-B2B: a professional in France, with notice, recorded basis and a "
        "way to opt out, WITHOUT consent",
    ),
    Promise(
        "C-05",
        "text to the United States => prior express written consent, proven and alive",
        ("sms",),
        f"NOT jurisdiction = 'US' OR (consent_kind = 'express_written' AND {GRANTED})",
    ),
    Promise(
        "C-06",
        "patients and caregivers electronically => granted consent, in every jurisdiction",
        ELECTRONIC,
        f"NOT {PRIVATE} OR consent = 'granted' OR ({ASKED})",
        "a service message that was asked for",
    ),
    Promise("C-07", "whose law applies and who the person is are both known", EVERY, KNOWN),
    Promise(
        "C-08",
        "promotion of a prescription medicine in the EU, UK or CH => surely a professional",
        EVERY,
        "NOT jurisdiction IN ('DE', 'FR', 'EU_OTHER', 'UK', 'CH') OR NOT asset_intent = 'promotional' "
        "OR asset_prescription = 'no' OR audience = 'hcp'",
    ),
    Promise(
        "C-09",
        "content => approved, signed, and fit for this audience, market, segment, indication and channel",
        EVERY,
        f"{BARE} OR (asset_status = 'approved' AND asset_claims_signed = 'yes' AND asset_audience_match = 'yes' "
        "AND asset_market_match = 'yes' AND asset_segment_match = 'yes' AND asset_indication_match = 'yes' "
        "AND asset_channel_match = 'yes')",
        "a call, visit, event or audience without content; the days of an approval are in asset_status",
    ),
    Promise("C-09", "written messages carry approved content", WRITTEN, "asset_status = 'approved'"),
    Promise(
        "C-10",
        "off-label question open, or perhaps open => no promotion of that product",
        EVERY,
        "off_label_open = 'no' OR NOT asset_intent = 'promotional' OR off_label_same_product = 'no'",
    ),
    Promise(
        "C-10",
        "adverse event open, or perhaps open => nothing but service",
        EVERY,
        "adverse_event_open = 'no' OR asset_intent = 'service'",
    ),
    Promise(
        "C-11",
        "data of a US patient from health records => authorization",
        EVERY,
        "NOT jurisdiction = 'US' OR NOT audience = 'patient' OR phi_source = 'no' OR phi_authorized = 'yes'",
    ),
    Promise(
        "C-11",
        "patients and caregivers in WA, NV, CT, MD, VA => consent to health data",
        EVERY,
        f"NOT jurisdiction = 'US' OR NOT us_state IN ('WA', 'NV', 'CT', 'MD', 'VA') OR NOT {PRIVATE} "
        "OR health_consent = 'yes'",
    ),
    Promise(
        "C-11",
        "no datum from health records without authorization",
        USED,
        f"phi_source = 'no' OR data_kind = 'business' OR {BUSINESS} OR phi_authorized = 'yes'",
        "known professionals and buyers; business data, which says whose law applies",
        ("feature",),
    ),
    Promise(
        "C-11",
        "no health datum without consent to that purpose",
        USED,
        f"NOT data_kind = 'health' OR {BUSINESS} OR health_consent = 'yes'",
        "known professionals and buyers",
        ("feature",),
    ),
    Promise(
        "C-12",
        "meeting booked, or perhaps booked => nothing but service messages",
        EVERY,
        "asset_intent = 'service' OR (meeting_booked = 'no' AND days_since_meeting >= {meeting.quiet_days})",
        "the owner's own follow-up is no planned action and is not ruled here",
    ),
    Promise(
        "C-20",
        "no protected trait and no medical case is a feature, and what kind a datum is is known",
        USED,
        "NOT data_kind IS UNKNOWN AND NOT data_kind IN ('protected', 'medical_case')",
        gates=("feature",),
    ),
)
