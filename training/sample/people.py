"""The people of the sample world: what is true of each, and the messy record that a CRM holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.sample.accounts import (
    COUNTRIES,
    COUNTRY_NAMES,
    DAY,
    LANGUAGES,
    REGIONS,
    SITE_VALUES,
    Accounts,
    draw,
    with_gaps,
)
from training.sample.columns import MISSING, NO_INSTANT, as_checked, chosen, identifiers, instants, yes_no
from training.sample.personas import HCP, PERSONAS, SITE_KINDS, titles, weights

AUDIENCES = ("hcp", "buyer", "patient", "caregiver", "other")
ROLES = tuple(dict.fromkeys(p.role for p in PERSONAS))
SPECIALTIES = tuple(dict.fromkeys(p.specialty for p in PERSONAS if p.specialty))
DEPARTMENTS = tuple(dict.fromkeys(p.department for p in PERSONAS if p.department))
TREATMENT_ROLES = tuple(dict.fromkeys(p.treatment_role for p in PERSONAS if p.treatment_role))
INFLUENCES = tuple(dict.fromkeys(p.influence for p in PERSONAS))
PRODUCTS = ("software", "implant", "diagnostic", "oncology_rx", "cardiology_rx", "disposable", "equipment", "service",
            "specialty_care")  # fmt: skip
CANCER_TYPES = ("breast", "lung", "colorectal", "hematologic", "prostate")
CANCER_SUBSPECIALTIES = ("breast_oncology", "thoracic_oncology", "gastrointestinal_oncology", "hematology")
STAGES = ("early", "advanced", "mixed")
CONDITIONS = ("joint_pain", "diabetes", "heart_failure", "cancer", "obesity")
SOURCES = ("webinar", "congress", "web_form", "referral", "content_download", "list_rental", "field", "paid_search")
REFERRALS = ("primary_care", "specialty_practice", "internal", "community_partner")
LIFECYCLES = ("new_prospect", "active", "established", "returning", "second_opinion", "ready_to_schedule")
CHANNELS = ("email", "sms", "phone", "rep_visit", "mail")
DUPLICATE_SHARE = 0.01
OLDER_VERSION_SHARE = 0.04

Codes = NDArray[np.int64]
Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class People:
    """What is true of the leads of one block; the records are made from it."""

    first_number: int
    persona: Codes
    account: Codes
    country: Codes
    true: Mapping[str, Codes]
    segment: Codes
    duplicate_of: Codes
    created_at: Instants
    gateway: NDArray[np.bool_]
    interest: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Leads in the block."""
        return len(self.persona)

    def with_role(self, *roles: str) -> NDArray[np.bool_]:
        """Whose true role is one of these."""
        return np.isin(self.true["role"], [ROLES.index(role) for role in roles])

    def of_audience(self, *audiences: str) -> NDArray[np.bool_]:
        """Whose true audience is one of these."""
        return np.isin(self.true["audience"], [AUDIENCES.index(audience) for audience in audiences])

    def in_country(self, *names: str) -> NDArray[np.bool_]:
        """Who lives in one of these countries."""
        return np.isin(self.country, [COUNTRY_NAMES.index(name) for name in names])


def _of_persona(field: str, values: tuple[str, ...]) -> Codes:
    named = [getattr(persona, field) for persona in PERSONAS]
    return np.array([MISSING if value is None else values.index(value) for value in named])


def make_people(rng: Generator, accounts: Accounts, first_number: int, as_of: int, history: int) -> People:
    """Draw the people of a block: who they are, where they work, what they care for, and their true segment."""
    account = accounts.site_of_lead.copy()
    count = len(account)
    site_kind = np.where(account < 0, len(SITE_KINDS), accounts.kind[account])
    names = [*(kind.name for kind in SITE_KINDS), "consumer"]
    persona = draw(rng, [[p.weight * (p.site == name) for p in PERSONAS] for name in names], site_kind)
    country = np.where(
        account < 0,
        rng.choice(len(COUNTRIES), size=count, p=weights(list(COUNTRIES.values()))),
        accounts.country[account],
    )
    duplicate_of = _duplicates(rng, count)
    source = np.where(duplicate_of < 0, np.arange(count), duplicate_of)
    persona, account, country, site_kind = persona[source], account[source], country[source], site_kind[source]

    true: dict[str, Codes] = {
        "audience": _of_persona("audience", AUDIENCES)[persona],
        "role": _of_persona("role", ROLES)[persona],
        "specialty": _of_persona("specialty", SPECIALTIES)[persona],
        "department": _of_persona("department", DEPARTMENTS)[persona],
        "treatment_role": _of_persona("treatment_role", TREATMENT_ROLES)[persona],
        "influence": _of_persona("influence", INFLUENCES)[persona],
    }
    favorite = np.array([*(PRODUCTS.index(k.product) for k in SITE_KINDS), PRODUCTS.index("specialty_care")])[site_kind]
    stray = rng.random(count) < np.where(account < 0, 0.0, 0.07)
    true["product_interest"] = np.where(stray, rng.integers(5, 8, count), favorite)[source]
    oncologist = true["specialty"] == SPECIALTIES.index("oncology")
    academic = site_kind == names.index("cancer_center")
    named_cancer = oncologist & (rng.random(count) < np.where(academic, 0.95, 0.7))
    true["cancer_type"] = np.where(named_cancer, rng.integers(0, len(CANCER_TYPES), count), MISSING)[source]
    community_stages = draw(rng, [(0.4, 0.22, 0.38), (0.06, 0.88, 0.06)], academic.astype(np.int64))
    true["disease_stage"] = np.where(named_cancer, community_stages, MISSING)[source]
    recent = rng.random(count) < 0.45
    age_days = np.where(recent, rng.random(count) * history / DAY, history / DAY + rng.random(count) * 500)
    age_days = np.maximum(age_days, 0.05)
    return People(
        first_number=first_number,
        persona=persona,
        account=account,
        country=country,
        true=true,
        segment=planted_segment(accounts, account, true),
        duplicate_of=duplicate_of,
        created_at=as_of - (age_days * DAY).astype(np.int64),
        gateway=np.where(account < 0, False, accounts.gateway[account]),
        interest=rng.normal(0, 1, count)[source],
    )


def _duplicates(rng: Generator, count: int) -> Codes:
    """For about one lead in a hundred, the other lead who is the same person; never a duplicate of a duplicate."""
    of = np.full(count, MISSING)
    order = rng.permutation(count)
    pairs = int(count * DUPLICATE_SHARE)
    of[order[:pairs]] = order[pairs : 2 * pairs]
    return of


def planted_segment(accounts: Accounts, account: Codes, true: Mapping[str, Codes]) -> Codes:
    """The segment each lead truly belongs to by the shipped definitions, the first that holds in priority order."""

    def person(field: str, values: tuple[str, ...], *named: str) -> NDArray[np.bool_]:
        return np.isin(true[field], [values.index(name) for name in named])

    def site(field: str, *named: str) -> NDArray[np.bool_]:
        held = np.isin(accounts.values[field], [SITE_VALUES[field].index(name) for name in named])
        return (account >= 0) & held[account]

    clinician = person("audience", AUDIENCES, HCP)
    initiates = person("treatment_role", TREATMENT_ROLES, "initiates")
    system = site("organization_type", "health_system") | ((account >= 0) & (accounts.parent[account] >= 0))
    cardiology = person("specialty", SPECIALTIES, "cardiology") & clinician
    oncology = person("specialty", SPECIALTIES, "oncology") & clinician
    high_throughput = (account >= 0) & (accounts.values["throughput"][account] == 2)
    holds = [
        system & site("integration_need", "ehr") & person("product_interest", PRODUCTS, "software"),
        site("organization_type", "hospital")
        & site("specialty", "orthopedics")
        & site("procurement_path", "value_analysis")
        & person("product_interest", PRODUCTS, "implant"),
        site("organization_type", "independent_lab")
        & high_throughput
        & site("compliance_expectation", "strict_qc_docs")
        & person("product_interest", PRODUCTS, "diagnostic"),
        oncology & initiates & (true["cancer_type"] >= 0) & person("disease_stage", STAGES, "advanced"),
        oncology & site("care_setting", "community"),
        cardiology & initiates & site("care_setting", "inpatient"),
        cardiology & site("care_setting", "outpatient"),
        clinician
        & person("role", ROLES, "pharmacist")
        & person("treatment_role", TREATMENT_ROLES, "dispenses", "monitors"),
    ]
    return np.select(holds, range(len(holds)), default=len(holds)).astype(np.int64)


def lead_columns(
    rng: Generator,
    people: People,
    accounts: Accounts,
    account_ids: pa.Array,
    as_of: int,
    *,
    states: tuple[tuple[str, ...], Codes],
    more: Mapping[str, pa.Array],
) -> tuple[pa.Array, dict[str, pa.Array]]:
    """The lead identifiers of a block, and its rows for leads.parquet, older versions after the newest ones.

    `states` are names and each lead's, its region where it has one; `more` are columns of one value a lead.
    """
    count, true = people.count, people.true
    ids = identifiers("L", 7, people.first_number + np.arange(count))
    seen = _seen(rng, people)
    changed = np.flatnonzero(rng.random(count) < OLDER_VERSION_SHARE)
    recorded = people.created_at + (rng.random(count) * 3_600_000_000).astype(np.int64)
    changed_at = people.created_at[changed] + (
        (as_of - people.created_at[changed]) * (0.1 + 0.85 * rng.random(len(changed)))
    ).astype(np.int64)
    rows = np.concatenate([np.arange(count), changed])
    recorded_rows = np.concatenate([recorded, recorded[changed]])
    recorded_rows[changed] = changed_at
    older = slice(count, None)
    seen = {field: codes[rows] for field, codes in seen.items()}
    moved = rng.random(len(changed)) < 0.5
    former = rng.integers(0, accounts.sites, len(changed))
    account_rows = people.account[rows]
    account_rows[older] = np.where(moved & (account_rows[older] >= 0), former, account_rows[older])
    seen["role"][older] = np.where(moved, seen["role"][older], rng.integers(0, len(ROLES), len(changed)))
    seen["title"][older] = MISSING
    spellings, _, _ = titles()
    verified = _verified_at(rng, people, as_of)[rows]
    clinician = (true["audience"] == 0)[rows]
    names, state = states
    region = np.where(state[rows] >= 0, len(REGIONS) + state[rows], seen["region"])
    columns = {
        "lead_id": chosen(ids, rows),
        "recorded_at": instants(recorded_rows),
        "account_id": chosen(account_ids, account_rows),
        "audience": chosen(AUDIENCES, seen["audience"]),
        "title": chosen(spellings, seen["title"]),
        "specialty": chosen(SPECIALTIES, seen["specialty"]),
        "subspecialty": chosen(CANCER_SUBSPECIALTIES, np.where(seen["cancer_type"] > 3, MISSING, seen["cancer_type"])),
        "role": chosen(ROLES, seen["role"]),
        "treatment_role": chosen(TREATMENT_ROLES, seen["treatment_role"]),
        "influence": chosen(INFLUENCES, seen["influence"]),
        "department": chosen(DEPARTMENTS, seen["department"]),
        "cancer_type": chosen(CANCER_TYPES, seen["cancer_type"]),
        "disease_stage": chosen(STAGES, seen["disease_stage"]),
        "adult": yes_no(seen["adult"]),
        "verified_hcp": yes_no(np.where(clinician, (verified != NO_INSTANT).astype(np.int64), MISSING)),
        "mail_domain": _mail_domains(people, accounts, account_ids, rows),
        "preferred_channel": chosen(CHANNELS, seen["preferred_channel"]),
        "country": chosen(COUNTRY_NAMES, seen["country"]),
        "region": chosen((*REGIONS, *names), region),
        "language": chosen(("en", "de", "fr", "es", "it", "pt"), seen["language"]),
        "territory": chosen(tuple(f"T{n:02d}" for n in range(40)), seen["territory"]),
        "source": chosen(SOURCES, seen["source"]),
        "referral_source": chosen(REFERRALS, seen["referral_source"]),
        "product_interest": chosen(PRODUCTS, seen["product_interest"]),
        "condition_focus": chosen(CONDITIONS, seen["condition_focus"]),
        "lifecycle": chosen(LIFECYCLES, seen["lifecycle"]),
        "created_at": instants(people.created_at[rows]),
        "verified_at": instants(verified),
        **{name: column.take(pa.array(rows)) for name, column in more.items()},
    }
    return ids, as_checked(columns, np.arange(len(rows)) < count)


def _seen(rng: Generator, people: People) -> dict[str, Codes]:
    """What the CRM holds: the truth with gaps, and fields that no outcome depends on."""
    count, true = people.count, people.true
    gaps = {"audience": 0.02, "role": 0.07, "specialty": 0.08, "department": 0.4, "treatment_role": 0.05,
            "influence": 0.3, "product_interest": 0.04, "cancer_type": 0.04, "disease_stage": 0.04}  # fmt: skip
    seen = {field: with_gaps(rng, true[field], share) for field, share in gaps.items()}
    _, starts, counts = titles()
    spelling = np.asarray(starts)[people.persona] + (rng.random(count) * np.asarray(counts)[people.persona]).astype(
        np.int64
    )
    # a person who wrote no title mostly has the role filled in, and the other way round
    untitled = np.where(seen["role"] < 0, 0.15, 0.12)
    seen["title"] = np.where(rng.random(count) < untitled, MISSING, spelling)
    seen["adult"] = np.where(rng.random(count) < 0.05, MISSING, (rng.random(count) > 0.01).astype(np.int64))
    seen["preferred_channel"] = np.where(rng.random(count) < 0.6, MISSING, rng.integers(0, len(CHANNELS), count))
    seen["country"] = with_gaps(rng, people.country, 0.03)
    language = np.array(
        [("en", "de", "fr", "es", "it", "pt").index(LANGUAGES.get(name, "en")) for name in COUNTRY_NAMES]
    )
    seen["language"] = with_gaps(rng, language[people.country], 0.1)
    seen["region"] = rng.integers(MISSING, len(REGIONS), count)
    seen["territory"] = with_gaps(rng, rng.integers(0, 40, count), 0.2)
    seen["source"] = with_gaps(rng, rng.integers(0, len(SOURCES), count), 0.05)
    consumer = people.account < 0
    seen["referral_source"] = np.where(rng.random(count) < 0.25, rng.integers(0, len(REFERRALS), count), MISSING)
    seen["condition_focus"] = np.where(consumer, rng.integers(0, len(CONDITIONS), count), MISSING)
    lifecycle = draw(rng, [(0.5, 0.3, 0.15, 0.05, 0, 0), (0.4, 0.1, 0.05, 0.1, 0.15, 0.2)], consumer.astype(np.int64))
    seen["lifecycle"] = with_gaps(rng, lifecycle, 0.15)
    return seen


def _verified_at(rng: Generator, people: People, as_of: int) -> Instants:
    days = rng.random(people.count) ** 1.5 * 380
    checked = np.maximum(people.created_at, as_of - (days * DAY).astype(np.int64))
    verified = (rng.random(people.count) < 0.78) & people.of_audience("hcp")
    return np.where(verified, checked, NO_INSTANT)


def _mail_domains(people: People, accounts: Accounts, account_ids: pa.Array, rows: Codes) -> pa.Array:
    """A domain an account, one for the private mail of people without an account."""
    ids = account_ids.to_pylist()
    names = [
        f"{name.lower()}.{'hospital' if accounts.gateway[row] else 'care'}.example" for row, name in enumerate(ids)
    ]
    names.append("mail.example")
    return chosen(names, np.where(people.account < 0, len(ids), people.account)[rows])
