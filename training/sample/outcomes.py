"""What came of it in the sample world: the true probability of a next step, and the outcomes drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.sample.accounts import DAY, Accounts, draw
from training.sample.columns import MISSING, chosen, instants
from training.sample.events import TYPICAL_EVENTS, WINDOW_DAYS, WINDOWS, Events
from training.sample.people import INFLUENCES, People
from training.sample.personas import SEGMENTS
from training.sample.signals import BASE_LOG_ODDS, TOPICS, meaning

TARGETS = ("meeting", "demo", "appointment", "consult", "proposal")
KINDS = (*TARGETS, "inquiry", "mql", "sql", "no_show", "lost")
REASONS = ("budget", "timing", "other_vendor", "not_relevant")
COMMERCIAL, EDUCATION, CONSUMER = range(3)
TARGET_SHARES = ((0.4, 0.42, 0.0, 0.0, 0.18), (0.62, 0.05, 0.03, 0.3, 0.0), (0.0, 0.0, 0.72, 0.28, 0.0))
PRICE_READERS = 0.6
UNSEEN_SPREAD = 0.5
AFTER_SUCCESS = -0.8
Number = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of the leads of one block up to `as_of`, and what comes in the window after it."""

    lead: NDArray[np.int64]
    kind: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    probability_next: Number
    happens_next: NDArray[np.bool_]


def make_outcomes(
    rng: Generator, people: People, accounts: Accounts, events: Events, as_of: int, average: float
) -> Outcomes:
    """Draw window after window; each depends on what the lead did before it and whether the last one succeeded."""
    count = people.count
    signals = np.log1p(_recent(events.signals) * (TYPICAL_EVENTS / max(average, 1e-9)))
    weights, steady = meaning(), _steady(rng, people, accounts)
    price = people.with_role("procurement", "value_analysis_lead", "practice_manager", "lab_director")
    start: NDArray[np.int64] = as_of - (WINDOWS - np.arange(WINDOWS + 1)) * WINDOW_DAYS * DAY
    succeeded = np.zeros((count, WINDOWS + 1), dtype=bool)
    probability = np.zeros(count)
    for season in range(1, WINDOWS + 1):
        progress = season / WINDOWS
        behaved = (signals[:, season - 1] * weights[people.segment]).sum(axis=1)
        behaved += price * (PRICE_READERS + 0.4 * (progress - 0.5)) * signals[:, season - 1, TOPICS.index("pricing")]
        log_odds = steady + behaved + 0.25 * (progress - 0.5) + AFTER_SUCCESS * succeeded[:, season - 1]
        probability = 1 / (1 + np.exp(-log_odds))
        lived = np.clip((start[season] + WINDOW_DAYS * DAY - people.created_at) / (WINDOW_DAYS * DAY), 0, 1)
        succeeded[:, season] = rng.random(count) < probability * lived
    lead, window = np.nonzero(succeeded[:, 1:WINDOWS])
    starts = start[window + 1]
    begin = np.maximum(starts, people.created_at[lead])
    end = starts + WINDOW_DAYS * DAY
    occurred = begin + (rng.random(len(lead)) ** 1.2 * (end - begin)).astype(np.int64)
    motion = np.where(
        people.of_audience("patient", "caregiver"), CONSUMER, np.where(people.segment >= 3, EDUCATION, COMMERCIAL)
    )
    motion[(people.segment == len(SEGMENTS) - 1) & people.of_audience("buyer", "other")] = COMMERCIAL
    kind = draw(rng, TARGET_SHARES, motion[lead])
    extra_lead, extra_kind, extra_at = _around(rng, people, lead, occurred, kind, start[0], as_of)
    lead, kind = np.concatenate([lead, extra_lead]), np.concatenate([kind, extra_kind])
    occurred = np.concatenate([occurred, extra_at])
    recorded = occurred + (rng.exponential(0.7, len(lead)) * DAY).astype(np.int64)
    late = rng.random(len(lead)) < 0.04
    recorded[late] += (rng.random(int(late.sum())) * 9 * DAY).astype(np.int64)
    known = np.flatnonzero((recorded <= as_of) & (occurred >= people.created_at[lead]))
    known = known[np.lexsort((occurred[known], lead[known]))]
    return Outcomes(
        lead[known], kind[known], occurred[known], recorded[known], probability, succeeded[:, WINDOWS].copy()
    )


def _recent(signals: Number) -> Number:
    """What counts for the next window: this window's signals, and an echo of the one before."""
    recent = signals.copy()
    recent[:, 1:] += 0.4 * signals[:, :-1]
    return recent


def _steady(rng: Generator, people: People, accounts: Accounts) -> Number:
    """What does not change: segment, fit, the account's pull, the person's interest, and what nobody sees."""
    steady = BASE_LOG_ODDS[people.segment] + 0.25 * people.interest + UNSEEN_SPREAD * rng.normal(size=people.count)
    at_account = people.account >= 0
    steady += np.where(at_account, accounts.pull[people.account], 0.0)
    steady += np.where(at_account, 0.2 * (accounts.size[people.account] - 1), 0.0)
    steady += np.where(at_account & (accounts.values["procedure_volume"][people.account] == 2), 0.2, 0.0)
    steady += 0.35 * (people.true["influence"] == INFLUENCES.index("decision_maker"))
    steady += 0.3 * people.of_audience("patient")
    steady -= 0.6 * people.with_role("distributor_rep") + 0.4 * (people.duplicate_of >= 0)
    return steady


def _around(
    rng: Generator,
    people: People,
    lead: NDArray[np.int64],
    at: NDArray[np.int64],
    kind: NDArray[np.int64],
    start: int,
    as_of: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Steps before and after a target outcome, and inquiries that led nowhere."""
    qualified = rng.random(len(lead)) < 0.35
    lost = rng.random(len(lead)) < 0.25
    missed = (rng.random(len(lead)) < 0.15) & np.isin(kind, [KINDS.index("appointment"), KINDS.index("meeting")])
    idle = np.repeat(np.arange(people.count), rng.poisson(0.25, people.count))
    parts = (
        (lead[qualified], "sql", at[qualified] - rng.integers(DAY, 14 * DAY, int(qualified.sum()))),
        (lead[lost], "lost", at[lost] + rng.integers(7 * DAY, 90 * DAY, int(lost.sum()))),
        (lead[missed], "no_show", at[missed] - rng.integers(DAY, 7 * DAY, int(missed.sum()))),
        (idle, "inquiry", start + (rng.random(len(idle)) * (as_of - start)).astype(np.int64)),
    )
    kinds = [np.full(len(leads), KINDS.index(name)) for leads, name, _ in parts]
    kinds[-1] = np.where(rng.random(len(idle)) < 0.4, KINDS.index("mql"), kinds[-1])
    return np.concatenate([p[0] for p in parts]), np.concatenate(kinds), np.concatenate([p[2] for p in parts])


def outcome_columns(rng: Generator, outcomes: Outcomes, lead_ids: pa.Array) -> dict[str, pa.Array]:
    """Rows for outcomes.parquet."""
    count = len(outcomes.lead)
    proposal = outcomes.kind == KINDS.index("proposal")
    lost = outcomes.kind == KINDS.index("lost")
    value = np.round(np.exp(rng.normal(9.5, 0.8, count)), -2)
    return {
        "lead_id": chosen(lead_ids, outcomes.lead),
        "kind": chosen(KINDS, outcomes.kind),
        "occurred_at": instants(outcomes.occurred_at),
        "recorded_at": instants(outcomes.recorded_at),
        "value": pa.array(value, mask=~proposal),
        "reason": chosen(REASONS, np.where(lost, rng.integers(0, len(REASONS), count), MISSING)),
        "feedback": pa.nulls(count, pa.string()),
    }
