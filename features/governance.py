"""Which level of an account speaks for it: the lead's own site, or the parent system above it, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from configs.identity import Governed
from features.columns import exact
from features.tables import Known


def governed(known: Known, governs: Mapping[str, Governed]) -> Known:
    """Accounts in which each field holds the value of the level that governs it; the same object where sites do.

    Where a field's level is `system`, a parent's value replaces its site's; an account without a parent speaks for
    itself. With `fallback` an unknown value of the governing level is filled from the other one.
    """
    size = len(known.account_ids)
    chosen = {field: rule for field, rule in governs.items() if rule.level == "system" or rule.fallback}
    if not chosen or not known.accounts or not size:
        return known
    parent = exact(known.accounts, "parent", np.int32, size)
    below = (parent >= 0) & (parent < size)
    found = dict(known.accounts)
    for field, rule in chosen.items():
        own = exact(known.accounts, field, np.uint8, size)
        above = np.where(below, own[np.where(below, parent, 0)], 0).astype(np.uint8)
        first, second = (above, own) if rule.level == "system" else (own, above)
        value = np.where(below, first, own)
        found[field] = np.where((value == 0) & below, second, value) if rule.fallback else value
    return replace(known, accounts=found)
