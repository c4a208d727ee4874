"""Placing only whom anything may have changed for gives what placing everybody gives, night after night."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest

from configs.settings import Settings, load_settings
from features.columns import MICROSECONDS_A_DAY, UNKNOWN_INSTANT
from features.evaluate import Domain
from features.facts import FactBuilder, facts_of
from features.fingerprint import only
from features.inventory import Inventory
from features.layout import LAYOUTS
from features.tables import Tables, microseconds
from features.view import view_at
from models.segments.map import SegmentMap
from models.segments.membership import Prior
from models.segments.reevaluation import Marks, Reevaluation

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = MICROSECONDS_A_DAY
NIGHTS = 24
LEADS, ACCOUNTS = 40, 24
SIZES = {"leads": 50, "accounts": 26, "events": 240, "touches": 60, "consents": 30, "suppressions": 6, "cases": 20,
         "links": 3}  # fmt: skip
ENDS = ("expires_at", "until_at", "closed_at")
# Segments that look at every way in which time turns a condition: entry, exit, days of dwell, re-entry.
WATCHFUL = {
    "pricing": ("topic_pricing_count_90d >= 1", "topic_pricing_count_90d = 0", 5, "allowed"),
    "several": (
        "form_submit_count_30d >= 2 OR email_click_count_7d = 1",
        "form_submit_count_30d <= 1",
        0,
        "after_dwell",
    ),
    "recent": ("days_since_last_event <= 10", "days_since_last_event > 20", 0, "allowed"),
    "account_active": ("colleague_event_count_90d >= 3", "colleague_event_count_90d < 2", 3, "allowed"),
    "fresh_role": ("role = 'pharmacist' OR care_setting = 'community'", "role IS UNKNOWN", 0, "allowed"),
    "to_meet": ("meeting_booked = 'yes'", "meeting_booked = 'no' AND days_since_meeting > 7", 10, "never"),
    "stale": ("days_since_verified > 30", "days_since_verified <= 30", 0, "allowed"),
    "touched": ("touches_30d >= 1 AND reduced_communication <> 'yes'", "touches_7d = 0", 0, "after_dwell"),
    "lawful": ("jurisdiction = 'US' AND profiling_objection = 'no'", "jurisdiction IS UNKNOWN", 2, "allowed"),
    "visited": ("days_since_last_field_touch < 15", "distinct_channel_count_90d < 2", 0, "allowed"),
}


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


@cache
def watchful(colleagues: bool) -> SegmentMap:
    """The residual segment of the shipped map, and segments of WATCHFUL under the approval of a shipped one."""
    like = next(d for d in shipped().segments if d.approval is not None and not d.residual)
    rest = next(d for d in shipped().segments if d.residual)
    made = [
        like.model_copy(
            update={"id": name, "enter": enter, "exit": leave, "min_dwell_days": dwell, "reentry": reentry,
                    "priority": number, "fallback": (), "approval": like.approval.model_copy(
                        update={"on": START.date(), "expires_on": START.date() + timedelta(days=9)}
                        if name == "fresh_role" else {"on": START.date() - timedelta(days=9)})}
        )
        for number, (name, (enter, leave, dwell, reentry)) in enumerate(WATCHFUL.items(), start=1)
        if like.approval is not None and (colleagues or "colleague" not in enter)
    ]  # fmt: skip
    return SegmentMap([*made, rest], domain())


@dataclass(frozen=True)
class World:
    """Every row that will ever be, and from and until which night the files hold it."""

    tables: Tables
    nights: dict[str, tuple[np.ndarray, np.ndarray]]

    def at(self, night: int, rng: np.random.Generator) -> Tables:
        """What the files hold on a night, rows and ids in another order every time."""
        found, nobody = {}, np.empty(0, dtype=np.int32)
        leads, accounts = rng.permutation(LEADS), rng.permutation(ACCOUNTS)
        place = {"lead": np.append(np.argsort(leads), -1), "account": np.append(np.argsort(accounts), -1)}
        place |= {"other": place["lead"], "parent": place["account"]}
        for name, (first, last) in self.nights.items():
            rows = rng.permutation(np.flatnonzero((first <= night) & (night < last)))
            columns = getattr(self.tables, name)
            found[name] = {
                key: (place[key][column[rows]].astype(np.int32) if key in place else column[rows])
                for key, column in columns.items()
            }
        whole = replace(
            self.tables,
            lead_ids=self.tables.lead_ids[leads],
            account_ids=self.tables.account_ids[accounts],
            suppressions_complete_as_of=microseconds(START) + night * DAY - DAY // 4,
            **found,
        )
        there = np.zeros(LEADS, dtype=bool)
        there[found["leads"]["lead"] if found["leads"] else nobody] = True
        return only(whole, there)


def made(seed: int) -> World:
    rng = np.random.default_rng(seed)
    words = shipped().vocabularies
    likely = {
        "kind": ("event_kind", ("email_click", "email_open", "form_submit", "demo_request", "field_visit")),
        "topic": ("topic", ("pricing", "safety")),
        "source": ("event_source", ("crm", "web_analytics")),
        "country": ("country", ("us", "de")),
        "status": ("consent_status", ("granted", "granted", "withdrawn")),
        "purpose": ("purpose", ("promotion", "profiling")),
        "role": ("role", ("pharmacist", "physician")),
    }

    def table(name: str) -> dict[str, np.ndarray]:
        size, found = SIZES[name], {}
        for column in LAYOUTS[name].encoded:
            if column.kind == "instant":
                ahead = rng.random(size) < (0.6 if column.name in ENDS else 0.04)
                days = np.where(ahead, rng.uniform(0, 40, size), rng.uniform(-100, 0, size))
                found[column.name] = microseconds(START) + (DAY * days).astype(np.int64)
            elif column.kind in ("code", "yesno", "present"):
                vocabulary, usual = likely.get(column.name, ("", ()))
                if vocabulary == column.vocabulary and usual:
                    found[column.name] = np.array(
                        [words[vocabulary].code(w) for w in rng.choice(usual, size)], np.uint8
                    )
                else:
                    top = 2 if column.kind != "code" else len(words[column.vocabulary].values)
                    found[column.name] = rng.integers(0, top + 1, size).astype(np.uint8)
        for key in ("lead", "other"):
            found |= {key: rng.integers(0, LEADS, size).astype(np.int32)} if key in _names(name) else {}
        for key in ("account", "parent"):
            found |= {key: rng.integers(-1, ACCOUNTS, size).astype(np.int32)} if key in _names(name) else {}
        if "message" in _names(name):
            found["message"] = rng.integers(-1, 60, size)
        if "asset" in _names(name):
            found["asset"] = rng.integers(-1, 3, size).astype(np.int32)
        if name == "cases":
            found["case"] = rng.integers(0, 60, size)
        for end in (*ENDS, "verified_at"):
            if end in found:
                found[end][rng.random(size) < 0.5] = UNKNOWN_INSTANT
        if name in ("leads", "accounts"):
            # Old records grow too old within these nights: the law's after 400 days, a role after 730.
            old = rng.choice([0, 380, 700], size)
            found["recorded_at"] -= old * DAY
            if "created_at" in found:
                found["created_at"] = found["recorded_at"].copy()
            found["verified_at"][rng.random(size) < 0.5] = UNKNOWN_INSTANT
        if name == "leads":
            found["lead"][:LEADS] = np.arange(LEADS)
        if name == "links":
            found["kind"] = np.where(rng.random(size) < 0.8, words["link_kind"].code("same"), 2).astype(np.uint8)
        if name == "events":
            found["agent"] = np.zeros(size, np.uint8)
            found["product"][:] = 0
        return found

    tables = Tables(
        lead_ids=np.array([f"L{i}" for i in range(LEADS)], dtype=object),
        account_ids=np.array([f"A{i}" for i in range(ACCOUNTS)], dtype=object),
        asset_ids=np.array([asset.asset_id for asset in shipped().assets][:3], dtype=object),
        memberships={},
        outcomes={},
        **{name: table(name) for name in SIZES},
    )
    # Rows come with files: most are there from the start, some come late and a few are taken back.
    nights = {
        name: (
            np.where(rng.random(size) < 0.97, 0, rng.integers(0, NIGHTS, size)),
            np.where(rng.random(size) < 0.99, 99, rng.integers(5, NIGHTS, size)),
        )
        for name, size in SIZES.items()
    }
    return World(tables, nights)


def _names(table: str) -> set[str]:
    return {column.name for column in LAYOUTS[table].encoded}


@dataclass
class Book:
    """Memberships by lead id, as a state keeps them."""

    entered: dict[str, np.ndarray]
    left: dict[str, np.ndarray]
    entry: dict[str, np.ndarray]

    def prior(self, ids: np.ndarray, segments: int) -> Prior:
        none = np.full(segments, UNKNOWN_INSTANT)
        rows = [(self.entered.get(i, none), self.left.get(i, none), self.entry.get(i, none * 0)) for i in ids]
        entered, left, entry = (np.array(part).reshape(-1, segments) for part in zip(*rows, strict=True))
        return Prior(entered, left, entry.astype(np.int32))

    def note(self, ids: np.ndarray, members: object, rows: np.ndarray, prior: Prior, now: int) -> None:
        for row in np.flatnonzero(rows):
            stays = members.member[row]
            known = prior.entered_at[row] != UNKNOWN_INSTANT
            self.entered[ids[row]] = np.where(stays, members.entered_at[row], prior.entered_at[row])
            ended = np.where(members.left[row], now, prior.left_at[row])
            self.left[ids[row]] = np.where(stays | ~known, UNKNOWN_INSTANT, ended)
            self.entry[ids[row]] = np.where(stays, members.entry[row], prior.entry[row])

    def told(self, ids: np.ndarray) -> list[list[list[int]]]:
        return [[self.entered[i].tolist(), self.left[i].tolist(), self.entry[i].tolist()] for i in ids]


@pytest.mark.parametrize("seed", range(6))
def test_placing_whom_anything_changed_for_gives_the_memberships_of_placing_everybody(seed: int) -> None:
    world, rng, map_ = made(seed), np.random.default_rng(seed + 100), watchful(seed % 2 == 0)
    builder, inventory = FactBuilder.of(shipped()), Inventory.of(shipped().assets, shipped().vocabularies)
    everybody, some, marks = Book({}, {}, {}), Book({}, {}, {}), None
    night, placed, asked, segments = 0, 0, 0, len(map_.segment_ids)
    while night < NIGHTS:
        as_of = START + timedelta(days=night, hours=float(rng.uniform(0, 11)))
        now, tables = microseconds(as_of), world.at(night, rng)
        ids = tables.lead_ids
        prior = everybody.prior(ids, segments)
        facts = facts_of(view_at(tables, as_of, builder.view), builder, inventory)
        everybody.note(ids, map_.members(facts, prior, as_of=as_of), np.ones(len(ids), dtype=bool), prior, now)

        run = Reevaluation.of(shipped(), map_, as_of)
        chosen = run.chosen(tables, marks)
        part = run.part(tables, chosen)
        if len(part.lead_ids):
            known, facts = run.facts(part)
            prior = some.prior(part.lead_ids, segments)
            members = map_.members(facts, prior, as_of=as_of)
            own = chosen.again[chosen.beside]
            some.note(part.lead_ids, members, own, prior, now)
            due = np.minimum(run.due(part, known, facts), run.due_of_terms(members, *map_.surely(facts, as_of.date())))[
                own
            ]
        else:
            due = np.empty(0, dtype=np.int32)
        marks = Marks.of(run.marks(tables, chosen, due, marks).table(), run.epoch(tables))
        assert some.told(ids) == everybody.told(ids), f"night {night}"
        placed, asked = placed + chosen.count, asked + len(ids)
        night += 1 + int(rng.random() < 0.2)
    assert placed < asked * 0.8
