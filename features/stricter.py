"""What is doubtful about who somebody is, and the stricter of what the records of one person say.

Two records that disagree on whose law applies, who the person is for us or what licence they hold are a conflict, and
so is a link that nobody decided: of a kind that cannot be read, or of too little certainty and by no person's word.
Where no links are supplied nobody doubts.

Of the records of one person all must have been screened and told: the oldest screening counts, and no notice on one
is none. The data are as old as the oldest record of them, and come from every source that a record names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import Columns, exact
from features.law import jurisdictions_of
from features.tables import UNKNOWN_INSTANT

Rows = NDArray[np.int64]
# Instants of a record that a person's records settle by the stricter one, and what stands in for a missing one.
INSTANTS = ("obtained_at", "notice_at", "screened_at")


@dataclass(frozen=True, slots=True)
class DoubtRules:
    """Codes of the two kinds of link, the evidence that decides and that of a likelihood, from when on it is certain.

    `jurisdiction_of` says whose law applies by country.
    """

    decided: tuple[int, int]
    evidence: NDArray[np.bool_]
    likelihood: int
    certain_at: float
    jurisdiction_of: NDArray[np.uint8]

    @classmethod
    def of(cls, settings: Settings) -> DoubtRules:
        """Resolve the settings."""
        kinds, words = settings.vocabularies["link_kind"], settings.vocabularies["link_evidence"]
        evidence = np.zeros(256, dtype=np.bool_)
        evidence[[code for code in (words.code("person"), words.code("crm_merge")) if code]] = True
        law, _ = jurisdictions_of(settings)
        at = settings.identity.linkage.merge_at
        return cls((kinds.code("same"), kinds.code("different")), evidence, words.code("probabilistic"), at, law)


def unresolved(links: Columns, cut: int, rules: DoubtRules, n: int) -> NDArray[np.bool_]:
    """Of `n` lead rows those with a link whose latest word by the cut decides nothing; at one instant doubt wins.

    INVARIANT: neither the order of rows nor their repetition matters.
    """
    size = len(links["lead"])
    found = np.zeros(n, dtype=np.bool_)
    lead, other = exact(links, "lead", np.int32, size), exact(links, "other", np.int32, size)
    linked, recorded = exact(links, "linked_at", np.int64, size), exact(links, "recorded_at", np.int64, size)
    kind, evidence = exact(links, "kind", np.uint8, size), exact(links, "evidence", np.uint8, size)
    confidence = exact(links, "confidence", np.float64, size)
    same, different = rules.decided
    # Whoever links by a key may tell no confidence; a likelihood without its number is certain of nothing.
    untold = np.isnan(confidence) & (evidence == rules.likelihood)
    weak = (kind == same) & ((confidence < rules.certain_at) | untold) & ~rules.evidence[evidence]
    unsure = weak | ((kind != same) & (kind != different))
    if not unsure.any():
        return found
    rows = np.flatnonzero((linked <= cut) & (recorded <= cut) & (lead >= 0) & (other >= 0) & (lead != other))
    low, high = np.minimum(lead, other)[rows], np.maximum(lead, other)[rows]
    order = np.lexsort((unsure[rows], recorded[rows], linked[rows], high, low))
    low, high, rows = low[order], high[order], rows[order]
    last = np.ones(len(rows), dtype=np.bool_)
    last[:-1] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    open_pairs = last & unsure[rows]
    found[low[open_pairs]] = found[high[open_pairs]] = True
    return found


def conflicting(own: Columns, place: Rows, starts: Rows, rules: DoubtRules) -> NDArray[np.bool_]:
    """Which people's records disagree on whose law applies, who they are for us, or their licence.

    Args:
        own: one version of each record, unknown where it has none.
        place: rows of `own`, person by person.
        starts: where each person begins in `place`.
        rules: whose law applies by country.
    """
    found = np.zeros(len(starts), dtype=np.bool_)
    for name in ("country", "audience", "licence_status"):
        codes = exact(own, name, np.uint8, len(place))[place]
        if name == "country":
            codes = rules.jurisdiction_of[codes]
        most = np.maximum.reduceat(codes, starts)
        least = np.minimum.reduceat(np.where(codes == 0, 255, codes), starts)
        found |= (most > 0) & (least < most)
    return found


def strictest(name: str, own: Columns, present: NDArray[np.bool_], place: Rows, starts: Rows) -> NDArray[np.int64]:
    """The stricter of the instants of `INSTANTS` that each person's records say; a record of no version says nothing.

    The oldest screening and the oldest data count; the latest notice, so that one that is still to come is none yet.
    """
    size = len(place)
    values, has = exact(own, name, np.int64, size)[place], present[place]
    latest = np.iinfo(np.int64).max
    if name == "obtained_at":
        created = exact(own, "created_at", np.int64, size)[place]
        values = np.where(values == UNKNOWN_INSTANT, created, values)
        has = has & (values != UNKNOWN_INSTANT)
    oldest = np.minimum.reduceat(np.where(has, values, latest), starts)
    newest = np.maximum.reduceat(np.where(has, values, UNKNOWN_INSTANT), starts)
    some = np.maximum.reduceat(has, starts)
    # The unknown instant is the smallest: where one record lacks it, the oldest is unknown.
    chosen = np.where(oldest == UNKNOWN_INSTANT, oldest, newest) if name == "notice_at" else oldest
    found: NDArray[np.int64] = np.where(some, chosen, UNKNOWN_INSTANT)
    return found


def sources_of(own: Columns, present: NDArray[np.bool_], place: Rows, starts: Rows) -> NDArray[np.uint64]:
    """The sources of each person's records as bits by code, bit 0 where a record names none that can be read."""
    codes = exact(own, "source", np.uint8, len(place))[place].astype(np.uint64)
    bits = np.where(codes < 64, np.uint64(1) << (codes & np.uint64(63)), np.uint64(1))
    found: NDArray[np.uint64] = np.bitwise_or.reduceat(np.where(present[place], bits, np.uint64(0)), starts)
    return found


def disagreeing(values: NDArray[Any], starts: Rows) -> NDArray[np.bool_]:
    """Which people's records have two different texts; None is no text."""
    words = {text: code for code, text in enumerate(sorted({v for v in values.tolist() if v is not None}), start=1)}
    codes = np.array([words.get(value, 0) for value in values.tolist()], dtype=np.int64)
    most = np.maximum.reduceat(codes, starts)
    least = np.minimum.reduceat(np.where(codes == 0, len(words) + 1, codes), starts)
    found: NDArray[np.bool_] = (most > 0) & (least < most)
    return found
