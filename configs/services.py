"""The register of services: which care or support is offered where, for whom, from when until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "services.yaml"
# A region of a country is told apart only where a vocabulary of them exists.
UNITED_STATES = "US"


class Service(Section):
    """A service in some places; no `conditions`: for every condition, no `states`: in the whole of its countries.

    `states` are states of the United States, which its countries must then name. `until` is the first day without it.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    says: str = Field(min_length=3)
    products: tuple[str, ...] = Field(min_length=1)
    conditions: tuple[str, ...] = ()
    countries: tuple[str, ...] = Field(min_length=1)
    states: tuple[str, ...] = ()
    start: date = Field(alias="from")
    until: date | None = None

    def open_on(self, on: date) -> bool:
        """Whether it is offered on a day."""
        return self.start <= on and (self.until is None or on < self.until)


class ServiceSettings(Section):
    """Which products need a service in place, what an audience that names none asks for, and the services.

    Without an entry nothing needs one, so that it is offered everywhere.
    """

    asked_by: Mapping[str, str] = Field(default_factory=dict)
    services: tuple[Service, ...] = ()

    @property
    def products(self) -> frozenset[str]:
        """The products that are offered only where some service is."""
        return frozenset(product for service in self.services for product in service.products)


def service_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the register: ids given twice, words that no vocabulary has, states of no country."""
    settings: ServiceSettings = found["services"]
    words = {name: found["vocabularies"][name].values for name in _VOCABULARIES.values()}
    seen: set[str] = set()
    for service in settings.services:
        at = f"services.{service.id}"
        if service.id in seen:
            yield Problem(FILE, at, "expected each id once")
        seen.add(service.id)
        for key, vocabulary in _VOCABULARIES.items():
            for value in getattr(service, key):
                if value not in words[vocabulary]:
                    yield Problem(FILE, f"{at}.{key}", f"expected a value of {vocabulary}, found {value!r}")
        if service.states and UNITED_STATES not in service.countries:
            yield Problem(FILE, f"{at}.states", f"expected countries to name {UNITED_STATES}")
        if service.until is not None and service.until <= service.start:
            yield Problem(FILE, f"{at}.until", "expected a day after `from`; it is the first day without the service")
    audiences, products = found["vocabularies"]["audience"].values, words["product"]
    for audience, product in settings.asked_by.items():
        if audience not in audiences:
            yield Problem(FILE, f"asked_by.{audience}", f"expected one of {', '.join(audiences)}")
        if product not in products:
            yield Problem(FILE, f"asked_by.{audience}", f"expected a value of product, found {product!r}")


_VOCABULARIES = {"products": "product", "conditions": "condition_focus", "countries": "country", "states": "us_state"}
