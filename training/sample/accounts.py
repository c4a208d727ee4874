"""Sites and the systems that own them: how many people each has, and what each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.sample.columns import MISSING, NO_INSTANT, as_checked, chosen, identifiers, instants
from training.sample.personas import CONSUMER_SHARE, SITE_KINDS, weights

DAY = 86_400_000_000
LARGEST_ACCOUNT = 60
SYSTEM_FOR_SITES = 4  # on average, so that a system owns a handful of sites
COUNTRIES = {
    "US": 0.56, "CA": 0.08, "UK": 0.08, "DE": 0.07, "FR": 0.06, "ES": 0.02, "IT": 0.02, "NL": 0.015, "BE": 0.01,
    "SE": 0.01, "PL": 0.005, "CH": 0.02, "AU": 0.03, "BR": 0.02,
}  # fmt: skip
COUNTRY_NAMES = tuple(COUNTRIES)
LANGUAGES = {"DE": "de", "FR": "fr", "ES": "es", "IT": "it", "BR": "pt", "BE": "fr", "CH": "de"}
REGIONS = ("north", "south", "east", "west", "central")
SIZES = ("small", "medium", "large")
LEVELS = ("low", "medium", "high")
VENDORS = ("vendor_a", "vendor_b", "vendor_c", "in_house")

Codes = NDArray[np.int64]
Number = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one block, sites first, then systems; codes point into the constants above and below."""

    first_number: int
    sites: int
    kind: Codes
    parent: Codes
    country: Codes
    region: Codes
    size: Codes
    values: Mapping[str, Codes]
    gateway: NDArray[np.bool_]
    pull: Number
    site_of_lead: Codes

    @property
    def count(self) -> int:
        """Sites and systems."""
        return len(self.kind)


def _values(field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for kind in SITE_KINDS for value in getattr(kind, field)))


SITE_VALUES = {
    field: _values(field)
    for field in ("organization_type", "care_setting", "integration_need", "procurement_path", "compliance_expectation")
}
_SITE_SPECIALTIES = tuple(dict.fromkeys(kind.specialty for kind in SITE_KINDS if kind.specialty))
SITE_VALUES["specialty"] = _SITE_SPECIALTIES


def draw(rng: Generator, tables: Sequence[Sequence[float]], rows: Codes) -> Codes:
    """One draw from the distribution `tables[row]` for every row."""
    cumulative = np.cumsum(np.asarray(tables, dtype=np.float64), axis=1)
    cumulative /= cumulative[:, -1:]
    # each table is shifted to its own unit interval, so that one sorted search serves them all
    edges = np.minimum(cumulative, 1.0) + np.arange(len(cumulative))[:, None]
    found = np.searchsorted(edges.ravel(), rng.random(len(rows)) + rows, side="right")
    drawn: Codes = np.minimum(found - rows * cumulative.shape[1], cumulative.shape[1] - 1)
    return drawn


def _of_kind(rng: Generator, field: str, kinds: Codes) -> Codes:
    values = SITE_VALUES[field]
    if field == "specialty":
        fixed = [MISSING if kind.specialty is None else values.index(kind.specialty) for kind in SITE_KINDS]
        specialty: Codes = np.asarray(fixed)[kinds]
        return specialty
    return draw(rng, [[getattr(kind, field).get(value, 0.0) for value in values] for kind in SITE_KINDS], kinds)


def _per_kind(field: str) -> Number:
    return np.array([getattr(kind, field) for kind in SITE_KINDS], dtype=np.float64)


def make_accounts(rng: Generator, leads: int, first_number: int) -> Accounts:
    """Accounts for a block of leads; sizes are heavy-tailed from 1 to 60 people."""
    staff = max(1, leads - int(rng.binomial(leads, CONSUMER_SHARE)))
    sizes = np.minimum(np.floor(rng.pareto(1.05, staff) + 1), LARGEST_ACCOUNT).astype(np.int64)
    ends = np.cumsum(sizes)
    sites = int(np.searchsorted(ends, staff) + 1)
    people = np.repeat(np.arange(sites), sizes[:sites])[:staff]
    site_of_lead = np.concatenate([people, np.full(leads - staff, MISSING)])
    rng.shuffle(site_of_lead)

    kind = draw(rng, [weights([k.share for k in SITE_KINDS])], np.zeros(sites, dtype=np.int64))
    country = rng.choice(len(COUNTRIES), size=sites, p=weights(list(COUNTRIES.values())))
    owned = rng.random(sites) < _per_kind("parent")[kind]
    systems = max(1, int(owned.sum()) // SYSTEM_FOR_SITES) if owned.any() else 0
    parent = np.full(sites, MISSING)
    parent[owned] = sites + np.floor(systems * rng.random(int(owned.sum())) ** 1.6).astype(np.int64)
    system_country = rng.choice(len(COUNTRIES), size=systems, p=weights(list(COUNTRIES.values())))
    country[owned] = system_country[parent[owned] - sites]

    values = {field: _of_kind(rng, field, kind) for field in SITE_VALUES}
    values["throughput"] = np.where(
        rng.random(sites) < _per_kind("throughput_high")[kind], 2, rng.integers(0, 2, sites)
    )
    values["procedure_volume"] = rng.choice(3, size=sites, p=(0.3, 0.45, 0.25))
    values["vendor"] = rng.integers(MISSING, len(VENDORS), sites)
    of_system = {
        "organization_type": SITE_VALUES["organization_type"].index("health_system"),
        "integration_need": SITE_VALUES["integration_need"].index("ehr"),
        "procurement_path": SITE_VALUES["procurement_path"].index("formal_onboarding"),
        "compliance_expectation": SITE_VALUES["compliance_expectation"].index("internal_governance"),
    }
    for field, of_site in values.items():
        values[field] = np.concatenate([of_site, np.full(systems, of_system.get(field, MISSING))])
    size = np.clip(np.log2(np.maximum(sizes[:sites], 1)) / 2 + rng.normal(0, 0.6, sites), 0, 2).astype(np.int64)
    return Accounts(
        first_number=first_number,
        sites=sites,
        kind=np.concatenate([kind, np.full(systems, MISSING)]),
        parent=np.concatenate([parent, np.full(systems, MISSING)]),
        country=np.concatenate([country, system_country]),
        region=rng.integers(0, len(REGIONS), sites + systems),
        size=np.concatenate([size, np.full(systems, 2)]),
        values=values,
        gateway=np.concatenate([rng.random(sites) < _per_kind("gateway")[kind], np.zeros(systems, dtype=bool)]),
        pull=np.concatenate([rng.normal(0, 0.25, sites), np.zeros(systems)]),
        site_of_lead=site_of_lead,
    )


def with_gaps(rng: Generator, codes: Codes, share: float) -> Codes:
    """The same codes with a share of them missing."""
    return np.where(rng.random(len(codes)) < share, MISSING, codes)


def account_columns(
    rng: Generator, accounts: Accounts, as_of: int, history: int
) -> tuple[pa.Array, dict[str, pa.Array]]:
    """The account identifiers of a block, and its rows for accounts.parquet."""
    count = accounts.count
    ids = identifiers("A", 6, accounts.first_number + np.arange(count))
    recorded = as_of - history - (rng.random(count) * 500 * DAY).astype(np.int64)
    verified = np.where(
        rng.random(count) < 0.8, as_of - (rng.random(count) ** 1.5 * 400 * DAY).astype(np.int64), NO_INSTANT
    )
    values = accounts.values
    is_site = np.arange(count) < accounts.sites

    def coded(field: str, names: Sequence[str], gaps: float = 0.0) -> pa.Array:
        return chosen(names, with_gaps(rng, values[field], gaps))

    columns = {
        "account_id": ids,
        "recorded_at": instants(recorded),
        "parent_account_id": chosen(ids, accounts.parent),
        "kind": chosen(("site", "system"), np.where(is_site, 0, 1)),
        "organization_type": coded("organization_type", SITE_VALUES["organization_type"], 0.01),
        "care_setting": coded("care_setting", SITE_VALUES["care_setting"], 0.02),
        "size": chosen(SIZES, with_gaps(rng, accounts.size, 0.08)),
        "specialty": coded("specialty", SITE_VALUES["specialty"], 0.03),
        "procedure_volume": coded("procedure_volume", LEVELS, 0.15),
        "throughput": coded("throughput", LEVELS, 0.02),
        "integration_need": coded("integration_need", SITE_VALUES["integration_need"], 0.03),
        "procurement_path": coded("procurement_path", SITE_VALUES["procurement_path"], 0.03),
        "compliance_expectation": coded("compliance_expectation", SITE_VALUES["compliance_expectation"], 0.03),
        "vendor_ecosystem": chosen(VENDORS, values["vendor"]),
        "country": chosen(COUNTRY_NAMES, accounts.country),
        "region": chosen(REGIONS, accounts.region),
        "verified_at": instants(verified),
    }
    return ids, as_checked(columns, np.ones(count, dtype=np.bool_))
