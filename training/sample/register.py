"""What the sample world's CRM has on record about its people: state, licence, notice, screening, and rarer permissions.

All of it is drawn from generators of its own, so that the rest of a world stays as it is. Some is missing, and a little
cannot be read, as in any CRM; nothing that comes of a lead depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.sample.accounts import COUNTRY_NAMES, DAY, Accounts
from training.sample.columns import MISSING, NO_INSTANT, chosen, instants, yes_no
from training.sample.people import CHANNELS, Codes, People

# State, its share of people in the United States, and the time zone that most of it has.
STATES = {
    "CA": (0.14, "America/Los_Angeles"), "TX": (0.1, "America/Chicago"), "NY": (0.1, "America/New_York"),
    "FL": (0.08, "America/New_York"), "PA": (0.07, "America/New_York"), "IL": (0.07, "America/Chicago"),
    "OH": (0.07, "America/New_York"), "MA": (0.07, "America/New_York"), "NC": (0.06, "America/New_York"),
    "GA": (0.05, "America/New_York"), "MN": (0.05, "America/Chicago"), "AZ": (0.04, "America/Phoenix"),
    "CO": (0.04, "America/Denver"), "WA": (0.03, "America/Los_Angeles"), "MD": (0.02, "America/New_York"),
    "HI": (0.01, "Pacific/Honolulu"),
}  # fmt: skip
STATE_NAMES = tuple(STATES)
_ZONES = {"CA": "America/Toronto", "UK": "Europe/London", "DE": "Europe/Berlin", "FR": "Europe/Paris",
          "ES": "Europe/Madrid", "IT": "Europe/Rome", "NL": "Europe/Amsterdam", "BE": "Europe/Brussels",
          "SE": "Europe/Stockholm", "PL": "Europe/Warsaw", "CH": "Europe/Zurich", "AU": "Australia/Sydney",
          "BR": "America/Sao_Paulo"}  # fmt: skip
UNREADABLE_ZONE, UNREADABLE_LICENCE = "Middle Earth", "to be confirmed"
_ZONE_NAMES = tuple(dict.fromkeys((*(zone for _, zone in STATES.values()), *_ZONES.values(), UNREADABLE_ZONE)))
LICENCES = ("active", "inactive", "retired", "excluded", UNREADABLE_LICENCE)
ALL_CHANNELS = (*CHANNELS, "event", "ads")
# Consents to promotion on the channels that came later: channel, share of professionals and buyers.
_LATER = (("event", 0.35), ("ads", 0.15))
# reason, channel (MISSING: every channel), share of leads
_STOPS = (("sharing_opt_out", MISSING, 0.02), ("revocation", 1, 0.004), ("revocation", 2, 0.003),
          ("opt_out_pending", 0, 0.002))  # fmt: skip
_REASONS = ("sharing_opt_out", "revocation", "opt_out_pending")


@dataclass(frozen=True, slots=True)
class OnRecord:
    """One value a lead of everything the CRM has on record; `state` points into `STATE_NAMES`."""

    state: Codes
    columns: Mapping[str, pa.Array]


def on_record(rng: Generator, people: People, accounts: Accounts, as_of: int) -> OnRecord:
    """Draw what is on record: two records of one person mostly agree, and people of one account share its state."""
    count = people.count
    shares = np.array([share for share, _ in STATES.values()])
    of_sites = rng.choice(len(STATES), size=accounts.count, p=shares / shares.sum())
    own = rng.choice(len(STATES), size=count, p=shares / shares.sum())
    person = np.where(people.duplicate_of < 0, np.arange(count), people.duplicate_of)
    state = np.where(people.account < 0, own[person], of_sites[people.account])
    state = np.where(people.in_country("US") & (rng.random(count) > 0.06), state, MISSING)
    zone_of = [*(_ZONE_NAMES.index(zone) for _, zone in STATES.values()), MISSING]
    abroad = np.array([_ZONE_NAMES.index(_ZONES[name]) if name in _ZONES else MISSING for name in COUNTRY_NAMES])
    zone = np.where(people.in_country("US"), np.array(zone_of)[state], abroad[people.country])
    zone = np.where(rng.random(count) < 0.6, zone, MISSING)
    zone = np.where(rng.random(count) < 0.005, _ZONE_NAMES.index(UNREADABLE_ZONE), zone)
    licence = rng.choice(6, size=count, p=(0.93, 0.02, 0.01, 0.005, 0.005, 0.03))[person]
    licence = np.where(people.of_audience("hcp") & (licence < len(LICENCES)), licence, MISSING)
    role_address = np.where(rng.random(count) < 0.04, MISSING, (rng.random(count) < 0.02).astype(np.int64))
    obtained = people.created_at - (rng.random(count) * 2 * DAY).astype(np.int64)
    told = obtained + (rng.random(count) * 20 * DAY).astype(np.int64)
    recently = as_of - (rng.random(count) * 27 * DAY).astype(np.int64)
    long_ago = as_of - ((35 + rng.random(count) * 200) * DAY).astype(np.int64)
    screened = np.maximum(np.where(rng.random(count) < 0.9, recently, long_ago), people.created_at)
    return OnRecord(
        state,
        {
            "licence_status": chosen(LICENCES, licence),
            "time_zone": chosen(_ZONE_NAMES, zone),
            "role_address": yes_no(role_address),
            "obtained_at": instants(_with_gaps(rng, obtained, 0.05)),
            "notice_at": instants(_with_gaps(rng, np.where(told <= as_of, told, NO_INSTANT), 0.15)),
            "screened_at": instants(_with_gaps(rng, screened, 0.08)),
        },
    )


def _with_gaps(rng: Generator, moments: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.where(rng.random(len(moments)) < share, NO_INSTANT, moments)
    return found


def later_consent_columns(rng: Generator, people: People, lead_ids: pa.Array, as_of: int) -> dict[str, pa.Array]:
    """More rows for consents.parquet: events and audiences, health records, and who restricted prescribing data."""
    business, public = people.of_audience("hcp", "buyer"), people.of_audience("patient", "caregiver")
    parts = [(business & (rng.random(people.count) < share), channel, "promotion") for channel, share in _LATER]
    parts.append((public & people.in_country("US") & (rng.random(people.count) < 0.5), "email", "phi_marketing"))
    parts.append((people.of_audience("hcp") & (rng.random(people.count) < 0.03), "email", "prescriber_data"))
    rows = [np.flatnonzero(chosen_ones) for chosen_ones, _, _ in parts]
    lead, sizes = np.concatenate(rows), [len(one) for one in rows]
    channel = np.repeat([ALL_CHANNELS.index(name) for _, name, _ in parts], sizes)
    purposes = ("promotion", "phi_marketing", "prescriber_data")
    purpose = np.repeat([purposes.index(name) for _, _, name in parts], sizes)
    captured = people.created_at[lead] + (rng.random(len(lead)) * (as_of - people.created_at[lead])).astype(np.int64)
    recorded = np.minimum(captured + rng.integers(0, DAY // 2, len(lead)), as_of)
    restricts = purpose == purposes.index("prescriber_data")
    proven = (rng.random(len(lead)) < 0.9) & ~restricts
    ends = (rng.random(len(lead)) < 0.1) & ~restricts
    return {
        "lead_id": chosen(lead_ids, lead),
        "captured_at": instants(captured),
        "recorded_at": instants(recorded),
        "channel": chosen(ALL_CHANNELS, channel),
        "purpose": chosen(purposes, purpose),
        "product": pa.nulls(len(lead), pa.string()),
        "status": chosen(("granted", "withdrawn"), restricts.astype(np.int64)),
        "kind": chosen(("express",), np.where(restricts, MISSING, 0)),
        "proof": chosen(("form-2025-06",), np.where(proven, 0, MISSING)),
        "jurisdiction": chosen(COUNTRY_NAMES, people.country[lead]),
        "expires_at": instants(np.where(ends, captured + 365 * DAY, NO_INSTANT)),
    }


def later_stop_columns(
    rng: Generator, people: People, lead_ids: pa.Array, account_ids: pa.Array, as_of: int
) -> dict[str, pa.Array]:
    """More rows for suppressions.parquet: no sharing, consent to calls or texts taken back, opt-outs on their way."""
    rows = [np.flatnonzero(rng.random(people.count) < share) for _, _, share in _STOPS]
    lead, sizes = np.concatenate(rows), [len(one) for one in rows]
    reason = np.repeat([_REASONS.index(name) for name, _, _ in _STOPS], sizes)
    channel = np.repeat([place for _, place, _ in _STOPS], sizes)
    since = people.created_at[lead] + (rng.random(len(lead)) * (as_of - people.created_at[lead])).astype(np.int64)
    recorded = np.minimum(since + 60_000_000, as_of)
    return {
        "since_at": instants(since),
        "recorded_at": instants(recorded),
        "lead_id": chosen(lead_ids, lead),
        "account_id": chosen(account_ids, np.full(len(lead), MISSING)),
        "channel": chosen(CHANNELS, channel),
        "scope": chosen(("all",), np.zeros(len(lead), dtype=np.int64)),
        "reason": chosen(_REASONS, reason),
        "until_at": instants(np.full(len(lead), NO_INSTANT)),
    }
