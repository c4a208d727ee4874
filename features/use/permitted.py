"""Lawful use, before any feature: events without a basis belong to nobody, and columns without one read as unknown.

What is used for what, from where and on which basis is `configs/data_use.yaml`; `features/use/bases.py` tells which of
its rules hold for a lead at the instant of processing. What is taken away is told per lead with rule and reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.data_use import DataKind, DataUse
from features.catalog import Feature
from features.columns import available_threads
from features.tables import Tables, microseconds
from features.use.bases import bases_of
from features.use.rules import UseRules
from features.use.withheld import Withheld
from features.use.withholding import screened, without_attributes, without_fields

__all__ = ["UseRules", "kinds_of", "permitted", "purposes_of", "rules_of", "sources_of"]


def permitted(tables: Tables, as_of: datetime, rules: UseRules, *, threads: int | None = None) -> Tables:
    """The same tables with events without a basis belonging to nobody, and columns without one unknown for their leads.

    Consents, stops and places count as known at `as_of`, the instant of processing: a withdrawal takes away what was
    collected before it, too. Nothing to take away gives the same object back.

    INVARIANT: what remains is what would be there had the events never happened; the order of rows never matters.
    """
    cut = microseconds(as_of)
    bases = bases_of(tables, cut, rules.basis)
    changed: dict[str, Any] = {}
    lead, count = screened(tables, cut, rules, bases, threads or available_threads())
    if lead is not None:
        changed["events"] = {**tables.events, "lead": lead}
    columns: dict[str, NDArray[np.uint8]] = {}
    if bases.some:
        leads = without_fields(bases, rules, columns)
        if leads is not None:
            changed["leads"] = leads
        attributes = without_attributes(tables, bases, rules, columns) if tables.attributes else None
        if attributes is not None:
            changed["attributes"] = attributes
    if not changed:
        return tables
    return replace(tables, **changed, withheld=Withheld(rules.rules, rules.items, count, columns))


def kinds_lost(before: Tables, now: Tables, snapshot: datetime, as_of: datetime, rules: UseRules) -> NDArray[np.bool_]:
    """Leads of whom some kind of data could be used at `snapshot` and can no longer be at `as_of`.

    Their rows of that snapshot must not be learned from: the data would be processed now, without a basis.
    """
    then = bases_of(before, microseconds(snapshot), rules.basis).allowed
    today = bases_of(now, microseconds(as_of), rules.basis).allowed
    if now.merged is not None:
        today = today[now.merged.survivor]
    found: NDArray[np.bool_] = (then & ~today) != 0
    return found


def kinds_of(use: DataUse, feature: Feature) -> tuple[DataKind, ...]:
    """The kinds of data that a feature is made of; none where the record of data use does not know it."""
    source, field = feature.source, feature.field
    if source == "attribute":
        return (use.kind_declared(feature.declared or "custom"),)
    if source in ("lead", "verified", "account"):
        return use.kinds_of_field("accounts" if source == "account" else "leads", field)
    if source == "days":
        # Since when a record is known or vouched for: about the record, like the country that it vouches for.
        return use.kinds_of_field("leads", "country")
    # What no model may be made of adds nothing to a sum of all events.
    events = tuple(kind for kind in use.kinds if kind.events and use.model_purpose in kind.purposes)
    measured = field.removeprefix("days_since_last_").removeprefix("colleague_")
    named = tuple(k for k in events if any(measured == e or measured.startswith(f"{e}_count") for e in k.events))
    topics = tuple(kind for kind in use.kinds if any(f"topic_{topic}_" in field for topic in kind.topics))
    own = use.kinds_of_field("touches", "") if source == "history" else ()
    return (*(named or events), *topics, *own)


def purposes_of(feature: Feature, use: DataUse) -> tuple[str, ...]:
    """The purposes that every kind of data in a feature may be used for; none where it may be used for nothing."""
    kinds = kinds_of(use, feature)
    shared = [set(kind.purposes) for kind in kinds]
    return tuple(purpose for purpose in (kinds[0].purposes if kinds else ()) if all(purpose in one for one in shared))


def sources_of(feature: Feature, use: DataUse) -> tuple[str, ...]:
    """The sources that a feature's data may come from, in alphabetical order; `unknown` stands for none given."""
    kinds = kinds_of(use, feature)
    if feature.source in ("lead", "verified", "days", "attribute"):
        return tuple(sorted({source for kind in kinds for source in kind.lead_sources}))
    if feature.source == "account":
        return tuple(sorted({source for kind in kinds for source in kind.table_sources}))
    return tuple(sorted({source for kind in kinds for source in (*kind.event_sources, *kind.table_sources)}))


def rules_of(feature: Feature, use: DataUse) -> tuple[str, ...]:
    """Ids of the rules that must hold for some of a feature's data, in the order of the record."""
    asked = {rule for kind in kinds_of(use, feature) for rule in kind.rules}
    return tuple(rule.id for rule in use.rules if rule.id in asked)
