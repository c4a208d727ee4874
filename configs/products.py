"""The register of products: where which indication is authorised or cleared, and what is on prescription only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "policy/products.yaml"


class Authorisation(Section):
    """From a day until the first day it no longer holds: indications on the label in these markets, by reference.

    No `indications`: cleared for its general use, so that content about a certain indication is not covered.
    """

    indications: tuple[str, ...] = ()
    markets: tuple[str, ...] = Field(min_length=1)
    start: date = Field(alias="from")
    until: date | None = None
    reference: str = Field(min_length=2)

    def holds(self, on: date) -> bool:
        """Whether it is in force on a day."""
        return self.start <= on and (self.until is None or on < self.until)


class Product(Section):
    """A product: what it is, whether on prescription only, and its authorisations.

    `regulated: false` is for what needs no authorisation anywhere, such as a service.
    """

    says: str = Field(min_length=3)
    prescription: bool
    regulated: bool = True
    authorisations: tuple[Authorisation, ...] = ()

    def markets_of(self, indications: frozenset[str], on: date) -> frozenset[str]:
        """Markets where all of some indications are on the label on a day; none given: where it is authorised."""
        found: dict[str, set[str]] = {}
        for one in self.authorisations:
            if one.holds(on):
                for market in one.markets:
                    found.setdefault(market, set()).update(one.indications)
        return frozenset(market for market, labelled in found.items() if indications <= labelled)


def product_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the register: products, markets and indications that no vocabulary has."""
    words = {name: found["vocabularies"][name].values for name in ("product", "jurisdiction", "condition_focus")}
    for name, product in found["products"].items():
        if name not in words["product"]:
            yield Problem(FILE, f"products.{name}", f"expected one of {', '.join(words['product'])}")
        for place, one in enumerate(product.authorisations):
            used = (("markets", one.markets, "jurisdiction"), ("indications", one.indications, "condition_focus"))
            for key, given, vocabulary in used:
                for value in given:
                    if value not in words[vocabulary]:
                        at = f"products.{name}.authorisations.{place}.{key}"
                        yield Problem(FILE, at, f"expected a value of {vocabulary}, found {value!r}")
