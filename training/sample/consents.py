"""What people allowed and forbade in the sample world: consents by country and channel, suppressions, cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.sample.accounts import COUNTRY_NAMES, DAY, Accounts, draw
from training.sample.columns import MISSING, NO_INSTANT, chosen, identifiers, instants
from training.sample.events import Events
from training.sample.outcomes import KINDS as OUTCOME_KINDS
from training.sample.outcomes import Outcomes
from training.sample.people import CHANNELS, PRODUCTS, People
from training.sample.signals import KINDS as EVENT_KINDS

EMAIL, SMS, PHONE, REP_VISIT, MAIL = range(5)
STATUSES = ("granted", "implied", "withdrawn", "none")
BASES = (
    "express",
    "express_written",
    "purchase",
    "inquiry",
    "published_address",
    "own_customer",
    "legitimate_interest",
)
PURPOSES = ("promotion", "medical_education", "service", "health_data")
PROOFS = ("form-2024-11", "form-2025-06", "congress-badge", "double-opt-in", "lia-2025-03")
REASONS = ("opt_out", "hard_bounce", "spam_complaint", "do_not_call", "no_contact", "erasure", "reduced_communication",
           "profiling_objection")  # fmt: skip
CASES = ("meeting", "off_label", "adverse_event", "complaint")
WITHDRAWN_SHARE = 0.07
LEGITIMATE = ("UK", "DE", "FR", "ES", "IT", "NL", "BE", "SE", "PL", "CH", "CA")
# granted, implied, none, no row at all: what the sales side of this world managed to collect, by channel
STATUS_SHARES = (
    (0.5, 0.1, 0.03, 0.37),
    (0.3, 0.02, 0.05, 0.63),
    (0.34, 0.03, 0.05, 0.58),
    (0.22, 0.02, 0.03, 0.73),
    (0.3, 0.04, 0.03, 0.63),
)
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Consents:
    lead: Codes
    channel: Codes
    purpose: Codes
    status: Codes
    basis: Codes
    proven: NDArray[np.bool_]
    captured_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    expires_at: NDArray[np.int64]


def consent_columns(rng: Generator, people: People, lead_ids: pa.Array, as_of: int) -> dict[str, pa.Array]:
    """Rows for consents.parquet: a first consent for some, a later withdrawal for a few, some of them learned late."""
    rows = _first(rng, people, as_of)
    withdrawn = np.flatnonzero((rng.random(len(rows.lead)) < WITHDRAWN_SHARE) & (rows.status < 2))
    since = rows.captured_at[withdrawn]
    withdrawn_at = since + (rng.random(len(withdrawn)) * (as_of - since)).astype(np.int64)
    late = rng.random(len(withdrawn)) < 0.2
    learned_at = withdrawn_at + np.where(late, rng.integers(DAY, 10 * DAY, len(withdrawn)), 60_000_000)
    pick = np.concatenate([np.arange(len(rows.lead)), withdrawn])
    later = slice(len(rows.lead), None)
    status, basis, proven = rows.status[pick], rows.basis[pick], rows.proven[pick]
    captured, recorded, expires = rows.captured_at[pick], rows.recorded_at[pick], rows.expires_at[pick]
    status[later], basis[later], proven[later] = STATUSES.index("withdrawn"), MISSING, False
    captured[later], recorded[later], expires[later] = withdrawn_at, learned_at, NO_INSTANT
    # INVARIANT: the files hold what was known at as_of, never more
    keep = np.flatnonzero(recorded <= as_of)
    keep = keep[np.lexsort((captured[keep], rows.lead[pick[keep]]))]
    pick = pick[keep]
    proof = np.where(
        basis[keep] == BASES.index("legitimate_interest"), PROOFS.index("lia-2025-03"), rng.integers(0, 4, len(keep))
    )
    return {
        "lead_id": chosen(lead_ids, rows.lead[pick]),
        "captured_at": instants(captured[keep]),
        "recorded_at": instants(recorded[keep]),
        "channel": chosen(CHANNELS, rows.channel[pick]),
        "purpose": chosen(PURPOSES, rows.purpose[pick]),
        "product": pa.nulls(len(pick), pa.string()),
        "status": chosen(STATUSES, status[keep]),
        "kind": chosen(BASES, basis[keep]),
        "proof": chosen(PROOFS, np.where(proven[keep], proof, MISSING)),
        "jurisdiction": chosen(COUNTRY_NAMES, people.country[rows.lead[pick]]),
        "expires_at": instants(expires[keep]),
    }


def _first(rng: Generator, people: People, as_of: int) -> _Consents:
    count = people.count
    business = people.of_audience("hcp", "buyer")
    parts: list[tuple[Codes, Codes, Codes, Codes, Codes]] = []
    for channel in range(len(CHANNELS)):
        status = draw(rng, [STATUS_SHARES[channel]], np.zeros(count, dtype=np.int64))
        status = np.array([0, 1, 3, MISSING])[status]
        basis = np.full(count, BASES.index("express"))
        if channel == SMS:
            basis = np.where(rng.random(count) < 0.85, BASES.index("express_written"), basis)
        if channel in (REP_VISIT, MAIL):
            balanced = business & people.in_country(*LEGITIMATE) & (rng.random(count) < 0.65) & (status != 0)
            status = np.where(balanced, STATUSES.index("implied"), status)
            basis = np.where(balanced, BASES.index("legitimate_interest"), basis)
        rests_on = rng.integers(BASES.index("purchase"), BASES.index("published_address") + 1, count)
        rests_on = np.where(people.in_country(*LEGITIMATE[:-1]), BASES.index("own_customer"), rests_on)
        implied = (status == 1) & (basis != BASES.index("legitimate_interest"))
        basis = np.where(implied, rests_on, np.where(status == 3, MISSING, basis))
        lead = np.flatnonzero(status != MISSING)
        parts.append(
            (lead, np.full(len(lead), channel), np.zeros(len(lead), dtype=np.int64), status[lead], basis[lead])
        )
    education = np.flatnonzero(people.of_audience("hcp") & (rng.random(count) < 0.4))
    service = np.flatnonzero(rng.random(count) < 0.15)
    health = np.flatnonzero(people.of_audience("patient", "caregiver") & (rng.random(count) < 0.55))
    for lead, purpose in ((education, 1), (service, 2), (health, 3)):
        zero = np.zeros(len(lead), dtype=np.int64)
        parts.append((lead, zero + EMAIL, zero + purpose, zero, zero))
    lead, channel_of, purpose_of, status, basis = (np.concatenate(column) for column in zip(*parts, strict=True))
    age = rng.random(len(lead)) ** 1.3 * 700 * DAY
    captured = np.maximum(people.created_at[lead], as_of - age.astype(np.int64) - DAY // 100)
    recorded = np.minimum(captured + rng.integers(0, DAY // 2, len(lead)), as_of)
    ends = rng.random(len(lead)) < 0.12
    return _Consents(
        lead,
        channel_of,
        purpose_of,
        status,
        basis,
        rng.random(len(lead)) < np.array([0.9, 0.8, 0.0, 0.0])[status],
        captured,
        recorded,
        np.where(ends, captured + rng.integers(180, 900, len(lead)) * DAY, NO_INSTANT),
    )


# reason, channel (MISSING: every channel), share of leads
_STOPS = (
    ("opt_out", EMAIL, 0.05),
    ("opt_out", SMS, 0.025),
    ("opt_out", PHONE, 0.02),
    ("opt_out", REP_VISIT, 0.01),
    ("opt_out", MAIL, 0.015),
    ("opt_out", MISSING, 0.008),
    ("hard_bounce", EMAIL, 0.025),
    ("spam_complaint", EMAIL, 0.003),
    ("do_not_call", PHONE, 0.035),
    ("no_contact", REP_VISIT, 0.008),
    ("no_contact", MISSING, 0.004),
    ("erasure", MISSING, 0.004),
    ("reduced_communication", MISSING, 0.02),
    ("profiling_objection", MISSING, 0.006),
)


def suppression_columns(
    rng: Generator, people: People, accounts: Accounts, lead_ids: pa.Array, account_ids: pa.Array, as_of: int
) -> dict[str, pa.Array]:
    """Rows for suppressions.parquet; a few sites see no representatives at all, and a few stops have ended."""
    stopped = [np.flatnonzero(rng.random(people.count) < share) for _, _, share in _STOPS]
    closed = np.flatnonzero(rng.random(accounts.sites) < 0.01)
    sizes = [len(rows) for rows in stopped]
    lead = np.concatenate([*stopped, np.full(len(closed), MISSING)])
    account = np.concatenate([np.full(sum(sizes), MISSING), closed])
    reason = np.repeat([REASONS.index(r) for r, _, _ in _STOPS] + [REASONS.index("no_contact")], [*sizes, len(closed)])
    channel = np.repeat([c for _, c, _ in _STOPS] + [REP_VISIT], [*sizes, len(closed)])
    earliest = np.where(lead < 0, as_of - 600 * DAY, people.created_at[lead])
    since = earliest + (rng.random(len(lead)) * (as_of - earliest)).astype(np.int64)
    late = rng.random(len(lead)) < 0.08
    recorded = since + np.where(late, rng.integers(DAY, 6 * DAY, len(lead)), 60_000_000)
    ended = (rng.random(len(lead)) < 0.06) & (reason == REASONS.index("reduced_communication"))
    until = np.where(ended, since + rng.integers(30, 180, len(lead)) * DAY, NO_INSTANT)
    scope = np.where(reason == REASONS.index("opt_out"), 1, 0)
    keep = np.flatnonzero(recorded <= as_of)
    return {
        "since_at": instants(since[keep]),
        "recorded_at": instants(recorded[keep]),
        "lead_id": chosen(lead_ids, lead[keep]),
        "account_id": chosen(account_ids, account[keep]),
        "channel": chosen(CHANNELS, channel[keep]),
        "scope": chosen(("all", "promotional"), scope[keep]),
        "reason": chosen(REASONS, reason[keep]),
        "until_at": instants(until[keep]),
    }


def case_columns(
    rng: Generator, people: People, events: Events, outcomes: Outcomes, lead_ids: pa.Array, as_of: int, first: int
) -> dict[str, pa.Array]:
    """Rows for cases.parquet: every off-label question opens one, so does a meeting; most are closed again."""
    asked = np.flatnonzero(events.kind == EVENT_KINDS.index("off_label_question"))
    met = np.flatnonzero(outcomes.kind == OUTCOME_KINDS.index("meeting"))
    harmed = np.flatnonzero(rng.random(people.count) < 0.006)
    cross = np.flatnonzero(rng.random(people.count) < 0.012)
    lead = np.concatenate([events.lead[asked], outcomes.lead[met], harmed, cross])
    named = [CASES.index(name) for name in ("off_label", "meeting", "adverse_event", "complaint")]
    kind = np.repeat(named, [len(asked), len(met), len(harmed), len(cross)])
    rest = np.concatenate([harmed, cross])
    spread = people.created_at[rest] + (rng.random(len(rest)) * (as_of - people.created_at[rest])).astype(np.int64)
    before = outcomes.occurred_at[met] - rng.integers(DAY, 6 * DAY, len(met))
    opened = np.concatenate([events.occurred_at[asked], before, spread])
    opened = np.maximum(opened, people.created_at[lead])
    longest = np.array([20, 25, 45, 30])[kind]
    closed = opened + (DAY * (1 + rng.random(len(lead)) * longest)).astype(np.int64)
    closed = np.where((rng.random(len(lead)) < 0.04) & (kind != CASES.index("meeting")), NO_INSTANT, closed)
    closed = np.where(closed > as_of, NO_INSTANT, closed)
    recorded = opened + rng.integers(60_000_000, DAY // 4, len(lead))
    keep = np.flatnonzero(recorded <= as_of)
    return {
        "case_id": identifiers("K", 8, first + np.arange(len(keep))),
        "lead_id": chosen(lead_ids, lead[keep]),
        "opened_at": instants(opened[keep]),
        "recorded_at": instants(recorded[keep]),
        "kind": chosen(CASES, kind[keep]),
        "product": chosen(PRODUCTS, people.true["product_interest"][lead[keep]]),
        "closed_at": instants(closed[keep]),
    }
