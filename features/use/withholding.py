"""Taking away what may not be used: whose an event is, which fields and custom columns read as unknown, and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import exact, in_ranges, unknown_like
from features.tables import Tables
from features.use.bases import Bases
from features.use.rules import UseRules
from features.use.withheld import USED

# Below this many events threads cost more than they save.
_FEW = 200_000


def screened(
    tables: Tables, cut: int, rules: UseRules, bases: Bases, threads: int
) -> tuple[NDArray[np.int32] | None, Callable[[], NDArray[np.int32]] | None]:
    """Whose each event is, nobody's where it may not be used, and what counts those by item; None where all may."""
    events, of_lead = tables.events, bases.event_kinds
    size = len(events["lead"]) if events else 0
    if not size:
        return None, None
    lead = exact(events, "lead", np.int32, size)
    kind, topic = exact(events, "kind", np.uint8, size), exact(events, "topic", np.uint8, size)
    product, source = exact(events, "product", np.uint8, size), exact(events, "source", np.uint8, size)
    codes = (kind, topic, product, source)
    looked_up = (rules.of_kind, rules.of_topic, rules.of_product, rules.from_source)
    found = np.empty(size, dtype=np.int32)
    if size < _FEW:
        gone = _screen(lead, *codes, *looked_up, of_lead, 0, size, found)
    else:
        parts: list[bool] = []
        in_ranges(
            lambda _, a, b: parts.append(_screen(lead, *codes, *looked_up, of_lead, a, b, found)),
            size,
            threads,
        )
        gone = any(parts)
    if not gone:
        return None, None
    happened, recorded = exact(events, "occurred_at", np.int64, size), exact(events, "recorded_at", np.int64, size)

    def count() -> NDArray[np.int32]:
        counts = np.zeros((len(of_lead), len(rules.items)), dtype=np.int32)
        _account_for(
            lead, found, happened, recorded, *codes, *looked_up, of_lead, bases.held, rules.basis.needs,
            rules.item_of, rules.source_rule, rules.purpose_rule, cut, counts,
        )  # fmt: skip
        return counts

    return found, count


@njit(cache=True, nogil=True)
def _missing(
    kind: int, topic: int, product: int, source: int, of_kind: Any, of_topic: Any, of_product: Any, from_source: Any,
    of_lead: Any,
) -> Any:  # fmt: skip
    """Kinds of data that an event is and that its lead or its source does not allow."""
    allowed, concerned = np.uint32(of_lead & np.uint64(0xFFFFFFFF)), np.uint32(of_lead >> np.uint64(32))
    kinds = of_kind[kind] | of_topic[topic] | of_product[product]
    return kinds & (~allowed | (concerned & ~from_source[source]))


@njit(cache=True, nogil=True)
def _screen(
    lead: Any, kind: Any, topic: Any, product: Any, source: Any, of_kind: Any, of_topic: Any, of_product: Any,
    from_source: Any, of_lead: Any, first: int, stop: int, found: Any,
) -> bool:  # fmt: skip
    """Whose each event is, nobody's where it may not be used; whether there is such a one."""
    some = False
    for i in range(first, stop):
        row = lead[i]
        found[i] = row
        if 0 <= row < len(of_lead) and _missing(
            kind[i], topic[i], product[i], source[i], of_kind, of_topic, of_product, from_source, of_lead[row],
        ):  # fmt: skip
            found[i] = -1
            some = True
    return some


@njit(cache=True, nogil=True)
def _account_for(
    lead: Any, found: Any, happened: Any, recorded: Any, kind: Any, topic: Any, product: Any, source: Any, of_kind: Any,
    of_topic: Any, of_product: Any, from_source: Any, of_lead: Any, held: Any, needs: Any, item_of: Any,
    source_rule: int, purpose_rule: int, cut: int, counts: Any,
) -> None:  # fmt: skip
    """Count what was withheld and known by the cut, under the first kind of data and the first rule that miss."""
    for i in range(len(lead)):
        row = lead[i]
        if found[i] == row or happened[i] > cut or recorded[i] > cut:
            continue
        missing = _missing(
            kind[i], topic[i], product[i], source[i], of_kind, of_topic, of_product, from_source, of_lead[row],
        )  # fmt: skip
        k = 0
        while not (missing >> np.uint32(k)) & np.uint32(1):
            k += 1
        rule = purpose_rule
        if k < 31:
            rule = _first(needs[k] & ~held[row], source_rule)
        counts[row, item_of[k, rule]] += 1


def without_fields(
    bases: Bases, rules: UseRules, columns: dict[str, NDArray[np.uint8]]
) -> dict[str, NDArray[Any]] | None:
    """The leads' latest versions with fields unknown that may not be used; None where no value has to go.

    Adds to `columns` by name the rule by which each lead's value is withheld.
    """
    gone: dict[str, NDArray[np.uint8]] = {}
    for field in rules.fields:
        if (bases.some >> field.kind) & 1 and field.name in bases.leads:
            codes = exact(bases.leads, field.name, np.uint8, len(bases.held))
            ruled = _ruled(codes, field.values, field.kind, bases, rules)
            if ruled is not None:
                gone[field.name] = ruled
    if not gone:
        return None
    columns |= gone
    if bases.present.all():
        found = dict(bases.leads)
    else:
        rows = np.flatnonzero(bases.present)
        found = {name: column[rows] for name, column in bases.leads.items()}
        gone = {name: ruled[rows] for name, ruled in gone.items()}
    for name, ruled in gone.items():
        found[name] = np.where(ruled == USED, found[name], 0).astype(np.uint8)
    return found


def without_attributes(
    tables: Tables, bases: Bases, rules: UseRules, columns: dict[str, NDArray[np.uint8]]
) -> dict[str, NDArray[Any]] | None:
    """Custom columns, unknown for leads that do not allow what they are declared to be; None where all may stay."""
    changed: dict[str, NDArray[Any]] = {}
    for name in sorted(tables.attributes):
        column, kind = tables.attributes[name], rules.declared[tables.declared.get(name, "custom")]
        if not (bases.some >> kind) & 1:
            continue
        floats = column.dtype.kind == "f"
        known = ~np.isnan(column) if floats else np.array([v is not None for v in column.tolist()], dtype=np.bool_)
        ruled = _ruled(known.astype(np.uint8), _IS_KNOWN, kind, bases, rules)
        if ruled is not None:
            changed[name] = column.copy()
            changed[name][ruled != USED] = unknown_like(column.dtype)
            columns[name] = ruled
    return {**tables.attributes, **changed} if changed else None


_IS_KNOWN = np.arange(256) == 1


def _ruled(
    codes: NDArray[np.uint8], values: NDArray[np.bool_], kind: int, bases: Bases, rules: UseRules
) -> NDArray[np.uint8] | None:
    """The rule by which each lead's value of this kind of data is withheld, None where none is."""
    ruled = np.empty(len(codes), dtype=np.uint8)
    need = rules.basis.needs[kind]
    return ruled if _rule_out(codes, values, bases.barred, kind, need, bases.held, rules.source_rule, ruled) else None


@njit(cache=True, nogil=True)
def _rule_out(
    codes: Any, values: Any, barred: Any, kind: int, need: Any, held: Any, source_rule: int, ruled: Any
) -> bool:
    some = False
    for i in range(len(codes)):
        ruled[i] = USED
        if values[codes[i]] and (barred[i] >> np.uint32(kind)) & np.uint32(1):
            ruled[i] = _first(need & ~held[i], source_rule)
            some = True
    return some


@njit(cache=True, nogil=True)
def _first(unmet: Any, otherwise: int) -> int:
    """The first of the rules that miss, `otherwise` where none does."""
    for r in range(32):
        if (unmet >> np.uint32(r)) & np.uint32(1):
            return r
    return otherwise
