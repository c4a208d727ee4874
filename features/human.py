"""How likely a person made each event: declared evidence, added as log-odds and kept in sixteenths.

Mail gateways open and click everything within seconds, privacy proxies fetch pictures unasked, scanners try all links
at once. What they do is weighted and never dropped. The evidence of an event is its kind, what fetched it, how soon it
came after our message, how many clicks came with it, whether an opening or a visit goes with a click, and the mail
domain. Adding independent evidence to prior log-odds is naive Bayes (Good, Probability and the Weighing of Evidence,
1950).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from configs.measures import HumanSettings
from configs.vocabulary import Vocabulary
from features.columns import CERTAIN, Columns, available_threads, exact, in_ranges, side_by_side
from features.judging import (
    CLICK,
    OPEN,
    OTHER,
    VISIT,
    by_kind,
    collect,
    collect_sent,
    count_sent,
    judge,
    since_sent,
    sum_up,
)
from features.tables import Tables, microseconds

_SECOND = 1_000_000
# Log-odds from which on an event counts one sixteenth more: halfway between two levels.
_CUTS = np.array([np.log((k - 0.5) / (CERTAIN - k + 0.5)) for k in range(1, CERTAIN + 1)])
_SURE = 1e9


@dataclass(frozen=True, eq=False)
class HumanRules:
    """The declared evidence resolved to codes. `odds` and `levels` are by kind and agent, `roles` by kind.

    `numbers` are the clicks of a burst, its reach, and how long after a click a visit still confirms it, the last two
    in microseconds; `evidence` are the log-odds of a burst and of a click without a trace.
    """

    odds: NDArray[np.float64]
    levels: NDArray[np.uint8]
    roles: NDArray[np.uint8]
    delays: NDArray[np.int64]
    delay_odds: NDArray[np.float64]
    numbers: NDArray[np.int64]
    evidence: NDArray[np.float64]
    domains: Mapping[str, float]

    @classmethod
    def of(
        cls,
        settings: HumanSettings | None,
        vocabularies: Mapping[str, Vocabulary],
        learned: Mapping[str, float] | None = None,
    ) -> HumanRules | None:
        """Resolve the settings; a mail domain that they declare is not learned. None where nothing is declared."""
        if settings is None:
            return None
        kinds, agents = vocabularies["event_kind"], vocabularies["agent"]
        odds = np.full((256, len(agents.values) + 1), settings.prior)
        for kind, prior in settings.priors.items():
            odds[kinds.code(kind)] = prior
        for agent, found in settings.agents.items():
            odds[:, agents.code(agent)] += found
        for kind in settings.certain:
            odds[kinds.code(kind)] = _SURE
        roles = np.zeros(256, dtype=np.uint8)
        for role, declared in ((OPEN, settings.opens), (CLICK, settings.clicks), (VISIT, settings.visits)):
            roles[[kinds.code(kind) for kind in declared]] = role
        roles[0] = OTHER
        steps = sorted(settings.after_send, key=lambda step: step.within_seconds)
        burst, untraced = settings.burst, settings.untraced
        minutes = untraced.visit_within_minutes * 60 * _SECOND
        return cls(
            odds=odds,
            levels=np.searchsorted(_CUTS, odds, side="right").astype(np.uint8),
            roles=roles,
            delays=np.array([step.within_seconds * _SECOND for step in steps], dtype=np.int64),
            delay_odds=np.array([step.log_odds for step in steps], dtype=np.float64),
            numbers=np.array([burst.clicks, burst.within_seconds * _SECOND, minutes], dtype=np.int64),
            evidence=np.array([burst.log_odds, untraced.log_odds], dtype=np.float64),
            domains={**(learned or {}), **settings.domains},
        )


def weighed(tables: Tables, as_of: datetime, rules: HumanRules | None, *, threads: int | None = None) -> Tables:
    """The same tables with a column `human` in events: the probability that a person made it, in sixteenths.

    INVARIANT: the weight of an event rests on the same lead's rows known at `as_of` only, in whatever order.
    """
    size = len(tables.events["lead"]) if tables.events else 0
    if rules is None or size == 0:
        return tables
    n, cut, events = len(tables.lead_ids), microseconds(as_of), tables.events
    lead, happened = exact(events, "lead", np.int32, size), exact(events, "occurred_at", np.int64, size)
    recorded, kind = exact(events, "recorded_at", np.int64, size), exact(events, "kind", np.uint8, size)
    agent, message = exact(events, "agent", np.uint8, size), exact(events, "message", np.int64, size)
    found = np.empty(size, dtype=np.uint8)
    starts = np.zeros(n + 1, dtype=np.int64)
    clicked, sent = side_by_side(
        size,
        lambda: by_kind(lead, happened, recorded, kind, agent, rules.roles, rules.levels, cut, found, starts),
        lambda: _sent(tables.touches, n, cut),
    )
    if clicked:
        total = sum_up(starts)
        rows, at = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
        which, what = np.empty(total, dtype=np.int64), np.empty((total, 2), dtype=np.uint8)
        collect(lead, happened, recorded, kind, agent, message, rules.roles, cut, starts, rows, at, which, what)
        domain = _domain_odds(tables.leads, n, cut, rules)
        evidence = (rules.roles, rules.odds, rules.delays, rules.delay_odds, rules.numbers, rules.evidence, domain)
        in_ranges(
            lambda _, a, b: judge(a, b, starts, rows, at, which, what, *sent, *evidence, _CUTS, found),
            n,
            threads or available_threads(),
            worth=2_000,
        )
    return replace(tables, events={**events, "human": found})


def delays_of(tables: Tables, as_of: datetime, rules: HumanRules) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Lead and microseconds since our message of every opening and click known at `as_of` whose sending is known."""
    size, n, cut = len(tables.events["lead"]), len(tables.lead_ids), microseconds(as_of)
    events = tables.events
    lead, happened = exact(events, "lead", np.int32, size), exact(events, "occurred_at", np.int64, size)
    recorded, kind = exact(events, "recorded_at", np.int64, size), exact(events, "kind", np.uint8, size)
    message, roles = exact(events, "message", np.int64, size), rules.roles[kind]
    known = (happened <= cut) & (recorded <= cut) & (lead >= 0) & (lead < n) & (message >= 0)
    rows = np.flatnonzero(known & ((roles == OPEN) | (roles == CLICK)))
    starts, sent_at, sent_message = _sent(tables.touches, n, cut)
    delay = np.full(len(rows), -1, dtype=np.int64)
    since_sent(lead[rows], happened[rows], message[rows], starts, sent_at, sent_message, delay)
    return lead[rows][delay >= 0], delay[delay >= 0]


def _domain_odds(leads: Columns, n: int, cut: int, rules: HumanRules) -> NDArray[np.float64]:
    """Log-odds that the mail domain of each lead's latest version adds; empty where no domain says anything."""
    domains = leads.get("mail_domain") if rules.domains else None
    if domains is None:
        return np.empty(0)
    size = len(domains)
    rows, recorded = exact(leads, "lead", np.int32, size), exact(leads, "recorded_at", np.int64, size)
    told = np.array([0.0 if d is None else rules.domains.get(plain_domain(d), 0.0) for d in domains.tolist()])
    kept = np.flatnonzero((recorded <= cut) & (rows >= 0) & (rows < n))
    found = np.zeros(n)
    # The last assignment of a lead wins, which is its latest version; of two at one instant the stricter.
    order = kept[np.lexsort((-told[kept], recorded[kept], rows[kept]))]
    found[rows[order]] = told[order]
    return found


@lru_cache(maxsize=4096)
def plain_domain(text: str) -> str:
    """A mail domain in one spelling."""
    return text.strip().rstrip(".").casefold()


def _sent(touches: Columns, n: int, cut: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Our messages known by the cut, by lead: where each lead's start, when they were sent, and which."""
    starts = np.zeros(n + 1, dtype=np.int64)
    if not touches or "message" not in touches:
        return starts, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    size = len(touches["lead"])
    lead, sent = exact(touches, "lead", np.int32, size), exact(touches, "sent_at", np.int64, size)
    recorded, message = exact(touches, "recorded_at", np.int64, size), exact(touches, "message", np.int64, size)
    count_sent(lead, sent, recorded, message, cut, starts)
    total = sum_up(starts)
    sent_at, which = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    collect_sent(lead, sent, recorded, message, cut, starts, sent_at, which)
    return starts, sent_at, which
