"""Mail domains whose gateways open and click unasked, learned from how soon their people's messages are answered.

Where an opening or a click carries no message that we know the sending of, its delay is unknown; what usually happens
behind its mail domain stands in for it. A declared domain goes before a learned one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.columns import exact
from features.human import HumanRules, delays_of, plain_domain
from features.pipeline import FeatureSpec
from features.tables import Tables, microseconds
from features.view import ViewRules, usable

# Of fewer people or answers a domain says nothing, and might be one person's own.
MIN_LEADS, MIN_ANSWERS = 10, 50
# Answers imagined beforehand, all of them people's: a domain must show that it is not.
IMAGINED = 20.0
DIGITS = 4


def learned_domains(tables: Tables, as_of: datetime, rules: HumanRules | None) -> dict[str, float]:
    """Log-odds of every domain of which most openings and clicks known at `as_of` came within seconds, sorted by name.

    "Within seconds" is the second of the declared steps, or the only one. Nothing is learned without declared steps.
    """
    domains = tables.leads.get("mail_domain") if tables.leads else None
    if rules is None or domains is None or not tables.events or len(rules.delays) == 0:
        return {}
    lead, delay = delays_of(tables, as_of, rules)
    if len(lead) == 0:
        return {}
    words, place = _domain_places(tables, domains, microseconds(as_of))
    at = place[lead]
    lead, delay, at = lead[at >= 0], delay[at >= 0], at[at >= 0]
    soon = delay <= rules.delays[min(1, len(rules.delays) - 1)]
    answers = np.bincount(at, minlength=len(words))
    quick = np.bincount(at, weights=soon, minlength=len(words))
    people = np.bincount(at[np.unique(lead, return_index=True)[1]], minlength=len(words))
    share = quick / (answers + IMAGINED)
    kept = np.flatnonzero((answers >= MIN_ANSWERS) & (people >= MIN_LEADS) & (share > 0.5))
    odds = np.log((1.0 - share[kept]) / share[kept])
    return dict(sorted((words[k], round(float(o), DIGITS)) for k, o in zip(kept.tolist(), odds, strict=True)))


def with_mail_domains(spec: FeatureSpec, tables: Tables, as_of: datetime, rules: ViewRules) -> FeatureSpec:
    """The spec with the domains learned from what was known at `as_of` and may be used."""
    return replace(spec, mail_domains=learned_domains(usable(tables, as_of, rules), as_of, rules.human))


def _domain_places(tables: Tables, domains: NDArray[np.object_], cut: int) -> tuple[list[str], NDArray[np.int64]]:
    """The domains, and which of them each lead's latest version known by the cut names, -1 where none."""
    size, n = len(domains), len(tables.lead_ids)
    rows, recorded = exact(tables.leads, "lead", np.int32, size), exact(tables.leads, "recorded_at", np.int64, size)
    plain = ["" if domain is None else plain_domain(domain) for domain in domains.tolist()]
    words, code = np.unique(np.array(plain, dtype=np.str_), return_inverse=True)
    kept = np.flatnonzero((recorded <= cut) & (rows >= 0) & (rows < n))
    order = kept[np.lexsort((code[kept], recorded[kept], rows[kept]))]
    place = np.full(n, -1, dtype=np.int64)
    place[rows[order]] = np.where(words[code[order]] == "", -1, code[order])
    return words.tolist(), place
