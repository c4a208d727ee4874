"""A permit ends with what it rests on: hours, the day, the suppression feed, the consent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from configs.settings import load_settings
from features.encode import encode_records
from features.records import Consent, Lead
from features.tables import known_at, microseconds
from serving.validity import permits_end

SETTINGS = load_settings()
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
EMAIL, SMS = 0, 1
LEAD_STOPS = np.zeros(256, dtype=bool)


def ends(consents: list[Consent], complete: datetime | None = None, hours: int = 24) -> np.ndarray:
    tables = encode_records(
        [Lead(lead_id="a"), Lead(lead_id="b")], [], [], [], consents, [], [], [], None,
        vocabularies=SETTINGS.vocabularies, asset_ids=(), suppressions_complete_as_of=complete,
    )  # fmt: skip
    return permits_end(known_at(tables, NOON), 5, hours, 1, suppressions=tables.suppressions, lead_stops=LEAD_STOPS)


def consent(channel: str | None, expires_at: datetime) -> Consent:
    return Consent(
        lead_id="a", channel=channel, status="granted", captured_at=NOON - timedelta(days=9), expires_at=expires_at
    )


def test_a_permit_ends_with_the_day_whose_counts_were_used() -> None:
    assert (ends([]) == microseconds(datetime(2026, 7, 1, tzinfo=UTC))).all()


def test_a_permit_ends_after_the_configured_hours_when_they_end_first() -> None:
    assert (ends([], hours=3) == microseconds(NOON + timedelta(hours=3))).all()


def test_a_permit_ends_when_the_suppression_feed_becomes_too_old() -> None:
    # Complete 20 hours ago and good for 24: 4 hours are left.
    assert (ends([], NOON - timedelta(hours=20)) == microseconds(NOON + timedelta(hours=4))).all()


def test_a_permit_ends_with_the_consent_of_its_channel() -> None:
    found = ends([consent("email", NOON + timedelta(hours=2))])
    assert found[0, EMAIL] == microseconds(NOON + timedelta(hours=2))
    assert found[0, SMS] == found[1, EMAIL] == microseconds(datetime(2026, 7, 1, tzinfo=UTC))


def test_a_consent_without_a_readable_channel_ends_every_channel() -> None:
    assert (ends([consent(None, NOON + timedelta(hours=2))])[0] == microseconds(NOON + timedelta(hours=2))).all()


def test_a_consent_that_ran_out_before_ends_nothing_now() -> None:
    assert (ends([consent("email", NOON)]) == microseconds(datetime(2026, 7, 1, tzinfo=UTC))).all()
