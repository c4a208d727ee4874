"""The sample world: a seeded, made-up CRM with both clocks, in which the truth is known and written beside the data.

Leads are made in blocks of fixed size, each from its own seed; an account and its people never leave their block. So a
world of any size is made in bounded memory, and the same seed gives the same world whatever the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.random import Generator

from configs.content import Asset
from configs.errors import InputInvalid
from configs.settings import load_settings
from features.tables import microseconds
from training.sample.accounts import account_columns, make_accounts
from training.sample.campaigns import asset_columns, campaign_columns
from training.sample.columns import ParquetFiles, chosen
from training.sample.consents import case_columns, consent_columns, suppression_columns
from training.sample.events import HISTORY_DAYS, event_columns, make_events
from training.sample.outcomes import make_outcomes, outcome_columns
from training.sample.people import ROLES, SPECIALTIES, lead_columns, make_people
from training.sample.personas import SEGMENTS
from training.sample.register import STATE_NAMES, later_consent_columns, later_stop_columns, on_record
from training.sample.touches import make_mail_events, make_touches, touch_columns

AS_OF = date(2026, 6, 30)
BLOCK_LEADS = 4000
MOST_LEADS = 4_000_000  # about four leads an account, and an account id has six digits
DAY = 86_400_000_000
FEED_AGE = timedelta(hours=3)
TABLES = (
    "leads",
    "accounts",
    "events",
    "touches",
    "consents",
    "suppressions",
    "cases",
    "outcomes",
    "campaigns",
    "assets",
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was made: rows a table (truth included), and the instants that anchor it."""

    out: Path
    seed: int
    as_of: datetime
    suppressions_complete_as_of: datetime
    counts: dict[str, int]


def make_sample(
    leads: int,
    seed: int,
    out: Path,
    as_of: date = AS_OF,
    progress: Progress | None = None,
    *,
    events_per_lead: float = 50.0,
    assets: Sequence[Asset] | None = None,
) -> SampleSummary:
    """Write a world of `leads` leads to a folder, `sample.json` last; `progress(done, all)` is told after each block.

    Args:
        leads: how many leads, duplicates of the same person included.
        seed: the same seed gives the same files.
        out: the folder, made if need be.
        as_of: the day at whose start (UTC) the files were exported; nothing in them was recorded later.
        progress: called with leads made so far and leads in all.
        events_per_lead: on average, over about fourteen months; most have fewer and some far more.
        assets: the content inventory; the shipped one when absent.
    """
    if not 1 <= leads <= MOST_LEADS:
        raise InputInvalid("sample", f"expected between 1 and {MOST_LEADS} leads")
    if seed < 0:
        raise InputInvalid("sample", "expected a seed of zero or more")
    if not 0 <= events_per_lead <= 2000:
        raise InputInvalid("sample", "expected between 0 and 2000 events a lead")
    settings = load_settings()
    inventory = tuple(settings.assets if assets is None else assets)
    instant = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sample.json").unlink(missing_ok=True)
    with ParquetFiles(out) as files:
        for number, first in enumerate(range(0, leads, BLOCK_LEADS)):
            count = min(BLOCK_LEADS, leads - first)
            _append_block(files, seed, number, first, count, microseconds(instant), events_per_lead, inventory)
            if progress is not None:
                progress(first + count, leads)
        files.append("campaigns", campaign_columns(np.random.default_rng((seed, 1)), as_of, settings))
        files.append("assets", asset_columns(inventory))
        counts = dict(files.counts)
    summary = SampleSummary(out, seed, instant, instant - FEED_AGE, counts)
    _write_summary(summary, events_per_lead)
    return summary


def _append_block(
    files: ParquetFiles,
    seed: int,
    number: int,
    first_lead: int,
    leads: int,
    as_of: int,
    events_per_lead: float,
    assets: tuple[Asset, ...],
) -> None:
    """Make one block of leads with everything that belongs to them, from a seed of its own."""
    rng = _generators(seed, number)
    history = HISTORY_DAYS * DAY
    asset_ids = tuple(asset.asset_id for asset in assets)
    made = files.counts
    accounts = make_accounts(rng("accounts"), leads, made.get("accounts", 0) + 1)
    people = make_people(rng("people"), accounts, first_lead + 1, as_of, history)
    touches = make_touches(rng("touches"), people, assets, as_of, history)
    mail = make_mail_events(rng("mail"), people, touches)
    events = make_events(rng("events"), people, touches, mail, assets, as_of, events_per_lead)
    outcomes = make_outcomes(rng("outcomes"), people, accounts, events, as_of, events_per_lead)

    account_ids, account_rows = account_columns(rng("account records"), accounts, as_of, history)
    recorded = on_record(rng("on record"), people, accounts, as_of)
    lead_ids, lead_rows = lead_columns(
        rng("lead records"),
        people,
        accounts,
        account_ids,
        as_of,
        states=(STATE_NAMES, recorded.state),
        more=recorded.columns,
    )
    first_touch = made.get("touches", 0) + 1
    event_rows = event_columns(
        events, people, touches, lead_ids, account_ids, asset_ids, made.get("events", 0) + 1, first_touch
    )
    case_rows = case_columns(rng("cases"), people, events, outcomes, lead_ids, as_of, made.get("cases", 0) + 1)
    files.append("leads", lead_rows)
    files.append("accounts", account_rows, serial=("account_id",))
    files.append("events", event_rows, serial=("event_id",))
    files.append("touches", touch_columns(touches, lead_ids, asset_ids, first_touch), serial=("touch_id",))
    files.append("consents", consent_columns(rng("consents"), people, lead_ids, as_of))
    files.append("consents", later_consent_columns(rng("later consents"), people, lead_ids, as_of))
    files.append(
        "suppressions", suppression_columns(rng("suppressions"), people, accounts, lead_ids, account_ids, as_of)
    )
    files.append("suppressions", later_stop_columns(rng("later stops"), people, lead_ids, account_ids, as_of))
    files.append("cases", case_rows, serial=("case_id",))
    files.append("outcomes", outcome_columns(rng("outcome records"), outcomes, lead_ids))
    files.append(
        "truth",
        {
            "lead_id": lead_ids,
            "segment_id": chosen(SEGMENTS, people.segment),
            "p_true": pa.array(outcomes.probability_next),
            "outcome_60d": pa.array(outcomes.happens_next),
            "is_bot_gateway": pa.array(people.gateway),
            "duplicate_of": chosen(lead_ids, people.duplicate_of),
            "role": chosen(ROLES, people.true["role"]),
            "specialty": chosen(SPECIALTIES, people.true["specialty"]),
        },
        serial=("lead_id",),
    )


def _generators(seed: int, block: int) -> Callable[[str], Generator]:
    """A generator for each named part of a block, so that more draws in one part leave the others as they were."""

    def named(part: str) -> Generator:
        return np.random.default_rng((seed, 0, block, *part.encode()))

    return named


def _write_summary(summary: SampleSummary, events_per_lead: float) -> None:
    content = {
        "as_of": summary.as_of.isoformat(),
        "seed": summary.seed,
        "events_per_lead": events_per_lead,
        "suppressions_complete_as_of": summary.suppressions_complete_as_of.isoformat(),
        "counts": summary.counts,
    }
    (summary.out / "sample.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
