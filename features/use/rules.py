"""The record of data use (`configs/data_use.yaml`) as look-ups by code, resolved from the settings once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.data_use import NO_SOURCE, UNLISTED_SOURCE, DataUse
from configs.settings import Settings
from features.layout import LAYOUTS, UNREADABLE
from features.use.bases import BasisRules

# An event of a kind that the record of data use does not know: used for nothing.
HOMELESS = 31


@dataclass(frozen=True, slots=True)
class MaskedField:
    """A lead field that is of a kind of data, and by code whether its value is."""

    name: str
    kind: int
    values: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class UseRules:
    """The record of data use as look-ups; a bit stands for a kind of data or for a rule, by its place in the record.

    `of_kind`, `of_topic`, `of_product` have by code the kinds of data of an event; `from_source` the kinds that
    may come from there; `item_of` the column of `Withheld.events` by kind and rule; `declared` the kind of data of
    custom columns.
    """

    basis: BasisRules
    kinds: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    of_kind: NDArray[np.uint32]
    of_topic: NDArray[np.uint32]
    of_product: NDArray[np.uint32]
    from_source: NDArray[np.uint32]
    fields: tuple[MaskedField, ...]
    declared: Mapping[str, int]
    items: tuple[tuple[str, int], ...]
    item_of: NDArray[np.int64]
    source_rule: int
    purpose_rule: int

    @classmethod
    def of(cls, settings: Settings) -> UseRules:
        """Resolve the settings."""
        use, vocabularies = settings.data_use, settings.vocabularies
        rule_ids = [rule.id for rule in use.rules]
        of_kind, of_topic, of_product, from_source = np.zeros((4, 256), dtype=np.uint32)
        fields = []
        for row, kind in enumerate(use.kinds):
            bit = np.uint32(1 << row)
            for table, name, values in (
                (of_kind, "event_kind", kind.events),
                (of_topic, "topic", kind.topics),
                (of_product, "product", kind.products),
                (from_source, "event_source", kind.event_sources),
            ):
                for value in values:
                    code = {NO_SOURCE: 0, UNLISTED_SOURCE: UNREADABLE}.get(value, -1)
                    table[vocabularies[name].code(value) if code < 0 else code] |= bit
            if kind.events:
                of_kind[0] |= bit  # what cannot be read needs what every kind of event needs
            fields += [_masked(row, name, values, settings) for name, values in kind.lead_fields.items() if kind.rules]
        of_kind[of_kind == 0] = np.uint32(1 << HOMELESS)
        rules = (*((rule.id, rule.reason) for rule in use.rules),)
        items, item_of = _items(use, rule_ids)
        return cls(
            basis=BasisRules.of(settings),
            kinds=tuple(kind.id for kind in use.kinds),
            rules=rules,
            of_kind=of_kind,
            of_topic=of_topic,
            of_product=of_product,
            from_source=from_source,
            fields=tuple(fields),
            declared={kind.declared: row for row, kind in enumerate(use.kinds) if kind.declared},
            items=items,
            item_of=item_of,
            source_rule=rule_ids.index(use.source_rule),
            purpose_rule=rule_ids.index(use.purpose_rule),
        )


def _masked(row: int, name: str, values: tuple[str, ...], settings: Settings) -> MaskedField:
    vocabulary = next(column.vocabulary for column in LAYOUTS["leads"].columns if column.name == name)
    of_value = np.full(256, not values, dtype=np.bool_)
    for value in values:
        of_value[settings.vocabularies[vocabulary].code(value)] = True
    of_value[0] = False
    return MaskedField(name, row, of_value)


def _items(use: DataUse, rule_ids: list[str]) -> tuple[tuple[tuple[str, int], ...], NDArray[np.int64]]:
    """What can be withheld of events: kinds of data by rule, the source rule among them, and kinds without a home."""
    items: list[tuple[str, int]] = []
    item_of = np.full((32, len(rule_ids)), -1, dtype=np.int64)
    source, purpose = rule_ids.index(use.source_rule), rule_ids.index(use.purpose_rule)
    for row, kind in enumerate(use.kinds):
        if not kind.event_like:
            continue
        for rule in (*(rule_ids.index(rule_id) for rule_id in kind.rules), source):
            item_of[row, rule] = len(items)
            items.append((kind.id, rule))
    item_of[HOMELESS, purpose] = len(items)
    items.append(("undeclared_event", purpose))
    return tuple(items), item_of
