"""What the whole shipped catalog costs: lawful use, who made an event, every feature; in a batch and for one lead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engagement_world import AS_OF, MICROSECONDS_A_DAY, NOW
from configs.settings import Settings, load_settings
from features.pipeline import build_features, fit_spec
from features.tables import Tables
from features.view import ViewRules

EVENTS_A_LEAD, LEADS_AN_ACCOUNT = 50, 5


def full_catalog_rows(events: int) -> list[dict[str, Any]]:
    """Nanoseconds for each event of a batch, and microseconds for one lead with 47 events; nothing to compare with."""
    settings = load_settings()
    spec, rules = fit_spec(settings), ViewRules.of(settings)
    batch, one = made_tables(settings, events, max(1, events // EVENTS_A_LEAD)), made_tables(settings, 47, 1)
    build_features(made_tables(settings, 20_000, 400), AS_OF, spec, rules)
    took = _best(lambda: build_features(batch, AS_OF, spec, rules), 3)
    single = _best(lambda: build_features(one, AS_OF, spec, rules), 500)
    what = f"all {len(spec.features)} features with lawful use and weights, encoded arrays to features"
    nothing = {"peers": {}, "ratio": None, "target": None, "met": None}
    return [
        {"name": f"{what}, {events:,} events", "unit": "ns", "ours": round(took / events * 1e9, 1), **nothing},
        {"name": f"{what}, one lead with 47 events", "unit": "us", "ours": round(single * 1e6, 1), **nothing},
    ]


def made_tables(settings: Settings, events: int, leads: int, seed: int = 11) -> Tables:
    """Encoded tables of drawn leads, accounts, messages and events, a quarter of them opens and clicks."""
    rng, sizes = np.random.default_rng(seed), {name: len(v.values) for name, v in settings.vocabularies.items()}

    def codes(vocabulary: str, count: int) -> NDArray[np.uint8]:
        return rng.integers(0, sizes[vocabulary] + 1, count).astype(np.uint8)

    sent = max(2, events // 8)
    touches: dict[str, NDArray[Any]] = {
        "lead": rng.integers(0, leads, sent).astype(np.int32),
        "sent_at": NOW - rng.integers(0, 180 * MICROSECONDS_A_DAY, sent),
        "channel": codes("channel", sent),
        "message": np.arange(sent, dtype=np.int32),
    }
    kinds = settings.vocabularies["event_kind"]
    kind = codes("event_kind", events)
    mail = np.flatnonzero(rng.random(events) < 0.25)
    kind[mail] = rng.choice([kinds.code("email_open"), kinds.code("email_click")], len(mail))
    occurred = NOW - rng.integers(0, 180 * MICROSECONDS_A_DAY, events)
    lead, message = rng.integers(0, leads, events).astype(np.int32), np.full(events, -1, dtype=np.int32)
    answered = rng.integers(0, sent, len(mail))
    lead[mail], message[mail] = touches["lead"][answered], answered
    occurred[mail] = np.minimum(touches["sent_at"][answered] + rng.integers(1_000_000, 10**11, len(mail)), NOW)
    known = np.full(leads, NOW - 100 * MICROSECONDS_A_DAY)
    one_country = np.full(leads, settings.vocabularies["country"].code("US"), dtype=np.uint8)
    assets = [asset.asset_id for asset in settings.assets]
    return Tables(
        lead_ids=np.array([f"L{i}" for i in range(leads)], dtype=object),
        account_ids=np.array([f"A{i}" for i in range(leads // LEADS_AN_ACCOUNT + 1)], dtype=object),
        asset_ids=np.array(assets, dtype=object),
        leads={
            "lead": np.arange(leads, dtype=np.int32),
            "account": (np.arange(leads) // LEADS_AN_ACCOUNT).astype(np.int32),
            "recorded_at": known,
            "created_at": known.copy(),
            "audience": np.full(leads, settings.vocabularies["audience"].code("hcp"), dtype=np.uint8),
            "country": one_country,
            "role": codes("role", leads),
        },
        accounts={},
        events={
            "lead": lead,
            "kind": kind,
            "topic": codes("topic", events),
            "depth": codes("depth", events),
            "channel": codes("event_channel", events),
            "agent": codes("agent", events),
            "asset": np.where(rng.random(events) < 0.2, rng.integers(0, max(1, len(assets)), events), -1).astype("i4"),
            "message": message,
            "occurred_at": occurred,
            "recorded_at": occurred.copy(),
        },
        touches=touches | {"recorded_at": touches["sent_at"].copy()},
        consents={},
        suppressions={},
        cases={},
        memberships={},
        outcomes={},
    )


def _best(work: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
