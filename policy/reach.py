"""Who may be contacted on which channel with what, as the rules say it of each lead: never an estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.content import Asset
from features.facts import Facts
from policy.book import Book
from policy.rulings import rule

Bools = NDArray[np.bool_]

CHUNK_LEADS = 8_192
# What somebody may be contacted for, by the intent of the content that is sent.
PURPOSES: Mapping[str, str] = {"medical education": "medical_education", "promotion": "promotional"}


@dataclass(frozen=True, slots=True)
class Reach:
    """For each purpose, lead and channel whether some approved asset of that purpose passes every rule."""

    purposes: tuple[str, ...]
    channels: tuple[str, ...]
    may: Bools

    @property
    def on_channel(self) -> Bools:
        """Lead by channel: for whatever purpose."""
        return np.asarray(self.may.any(axis=0), dtype=np.bool_)


def reach_of(facts: Facts, assets: Sequence[Asset], book: Book) -> Reach:
    """Rule on every lead with every asset and channel, a bounded number of leads at a time.

    The facts are those of an inventory of the same assets, with the memberships told, since some content is approved
    for some segments only. The message without an asset counts for nothing here.

    INVARIANT: a lead counts on a channel only where serving would permit some asset of that purpose there.
    """
    places = [np.flatnonzero([asset.intent == intent for asset in assets]) for intent in PURPOSES.values()]
    may = np.zeros((len(PURPOSES), facts.n, len(book.channels)), dtype=np.bool_)
    for start in range(0, facts.n, CHUNK_LEADS):
        stop = min(start + CHUNK_LEADS, facts.n)
        permitted = rule(book, _rows(facts, start, stop)).permitted
        for p, chosen in enumerate(places):
            if len(chosen):
                may[p, start:stop] = permitted[:, chosen, :].any(axis=1)
    return Reach(tuple(PURPOSES), book.channels, may)


def no_reach(n: int, book: Book) -> Reach:
    """The reach of so many leads on whom nobody has ruled: none."""
    return Reach(tuple(PURPOSES), book.channels, np.zeros((len(PURPOSES), n, len(book.channels)), dtype=np.bool_))


def _rows(facts: Facts, start: int, stop: int) -> Facts:
    if (start, stop) == (0, facts.n):
        return facts
    columns: Mapping[str, NDArray[Any]] = {
        name: column[start:stop] if column.shape[0] == facts.n else column for name, column in facts.columns.items()
    }
    return Facts(stop - start, facts.assets, columns)
