"""A made world in memory, encoded as reading files would encode it: many leads, what they did and what they allow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import MICROSECONDS_A_DAY, UNKNOWN_INSTANT
from features.layout import LAYOUTS
from features.tables import Tables, microseconds

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
NOW = microseconds(AS_OF)
# Of what there is for a lead on average, besides its record.
LEADS_AN_ACCOUNT, TOUCHES, CONSENTS, CASES, STOPS = 8, 3.0, 1.5, 0.05, 0.03
DAYS = 365


def make_world(leads: int, events: int, settings: Settings, seed: int = 7) -> Tables:
    """Tables of so many leads and events of the last year, skewed as people are: few leads do much, most do little.

    Codes are drawn evenly from their vocabularies with a fifth unknown; a lead in fifty was recorded too late to be
    known. Nothing about a segment is planted: what is measured is time, not meaning.
    """
    rng = np.random.default_rng(seed)
    accounts = max(1, leads // LEADS_AN_ACCOUNT)
    draw = _Draw(rng, settings)
    account = rng.integers(0, accounts, leads, dtype=np.int32)
    account[rng.random(leads) < 0.1] = -1
    parent = np.where(rng.random(accounts) < 0.5, rng.integers(0, accounts, accounts), -1).astype(np.int32)
    who = (leads * rng.random(events) ** 2).astype(np.int32)
    touched = rng.integers(0, leads, int(leads * TOUCHES), dtype=np.int32)
    asked = rng.integers(0, leads, int(leads * CONSENTS), dtype=np.int32)
    cases = rng.integers(0, leads, int(leads * CASES), dtype=np.int32)
    stopped = rng.integers(0, leads, int(leads * STOPS), dtype=np.int32)
    everybody, sites = np.arange(leads, dtype=np.int32), np.arange(accounts, dtype=np.int32)
    recorded = draw.instants(leads, 900)
    recorded[rng.random(leads) < 0.02] = NOW + MICROSECONDS_A_DAY
    return Tables(
        lead_ids=_ids("L", leads),
        account_ids=_ids("A", accounts),
        asset_ids=np.array([asset.asset_id for asset in settings.assets], dtype=object),
        leads=draw.table("leads", leads, lead=everybody, account=account, recorded_at=recorded,
                         created_at=np.full(leads, NOW - 1000 * MICROSECONDS_A_DAY)),
        accounts=draw.table("accounts", accounts, account=sites, parent=parent,
                            recorded_at=draw.instants(accounts, 700)),
        events=draw.happened("events", events, "occurred_at", lead=who,
                             message=rng.integers(-1, len(touched), events), asset=draw.assets(events)),
        touches=draw.happened("touches", len(touched), "sent_at", lead=touched, asset=draw.assets(len(touched)),
                              message=np.arange(len(touched))),
        consents=draw.happened("consents", len(asked), "captured_at", lead=asked,
                               expires_at=_sometimes(rng, draw.instants(len(asked), -900))),
        suppressions=draw.happened("suppressions", len(stopped), "since_at", lead=stopped,
                                   account=np.full(len(stopped), -1, dtype=np.int32),
                                   until_at=_sometimes(rng, draw.instants(len(stopped), -200))),
        cases=draw.happened("cases", len(cases), "opened_at", lead=cases, case=np.arange(len(cases)),
                            closed_at=_sometimes(rng, draw.instants(len(cases), 90))),
        memberships={},
        outcomes={},
        suppressions_complete_as_of=NOW,
    )  # fmt: skip


class _Draw:
    """Draws whole tables: what is not given is a code of the column's vocabulary, a fifth of them unknown."""

    def __init__(self, rng: np.random.Generator, settings: Settings) -> None:
        self.rng, self.settings = rng, settings

    def table(self, name: str, size: int, **given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for column in LAYOUTS[name].encoded:
            if column.name in given:
                found[column.name] = given[column.name]
            elif column.kind in ("code", "yesno", "present"):
                known = 2 if column.kind != "code" else len(self.settings.vocabularies[column.vocabulary].values)
                codes = self.rng.integers(1, known + 1, size, dtype=np.uint8)
                codes[self.rng.random(size, dtype=np.float32) < 0.2] = 0
                found[column.name] = codes
        return {**found, **self._often(name, size)}

    def happened(self, name: str, size: int, own: str, **given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Rows of the last year, known a second after they happened; one in fifty only tomorrow."""
        at = self.instants(size, DAYS)
        recorded = np.minimum(at + 1_000_000, NOW)
        recorded[self.rng.random(size, dtype=np.float32) < 0.02] = NOW + MICROSECONDS_A_DAY
        return self.table(name, size, **{own: at, "recorded_at": recorded}, **given)

    def instants(self, size: int, days: int) -> NDArray[np.int64]:
        """Evenly over so many days before now, after it where they are negative."""
        return NOW - (days * MICROSECONDS_A_DAY * self.rng.random(size)).astype(np.int64)

    def assets(self, size: int) -> NDArray[np.int32]:
        found = self.rng.integers(0, len(self.settings.assets), size, dtype=np.int32)
        found[self.rng.random(size, dtype=np.float32) < 0.7] = -1
        return found

    def _often(self, table: str, size: int) -> dict[str, NDArray[np.uint8]]:
        """Columns in which one value is the usual one: consents are granted, events come from our own site."""
        usual = {
            "events": {"source": ("event_source", "web_analytics")},
            "touches": {"intent": ("intent", "promotional")},
            "consents": {"status": ("consent_status", "granted"), "product": ("product", "")},
            "leads": {"country": ("country", "us"), "source": ("lead_source", "website")},
        }.get(table, {})
        found = {}
        for column, (vocabulary, value) in usual.items():
            known = self.settings.vocabularies[vocabulary]
            codes = self.rng.integers(1, len(known.values) + 1, size, dtype=np.uint8)
            codes[self.rng.random(size, dtype=np.float32) < 0.9] = known.code(value)
            found[column] = codes
        return found


def _sometimes(rng: np.random.Generator, instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half of the instants, the others unknown."""
    return np.where(rng.random(len(instants)) < 0.5, instants, UNKNOWN_INSTANT)


def _ids(letter: str, size: int) -> NDArray[np.object_]:
    return np.array([f"{letter}{number:07}" for number in range(size)], dtype=object)
