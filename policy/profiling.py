"""Who may not be profiled, as the cards without a score say it: surely, or as far as is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.evaluate import reading
from policy.book import Book
from policy.rulings import Facts

Bools = NDArray[np.bool_]


def may_not_be_profiled(book: Book, facts: Facts) -> tuple[Bools, Bools]:
    """Leads that a rule surely keeps from being scored or placed, and those of whom that is not known."""
    surely, perhaps = (np.zeros(facts.n, dtype=np.bool_) for _ in range(2))
    for one in book.score_rules:
        columns = {fact: facts.columns[fact].reshape(-1) for fact in one.facts if fact in facts.columns}
        surely |= reading(one.normal, columns, {}, must=True).reshape(-1)
        perhaps |= reading(one.normal, columns, {}, must=False).reshape(-1)
    return surely, perhaps & ~surely
