"""No person is on both sides of a split, and what came of any record came of the person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from configs.settings import load_settings
from features.encode import encode_records
from features.links import LinkRules, follow_links
from features.records import Account, Lead, Link
from features.tables import microseconds
from training.dataset.dataset import root_accounts
from training.dataset.targets import labels

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
RULES = LinkRules.of(SETTINGS)


def link(one: str, two: str, days: float, kind: str = "same") -> Link:
    return Link(lead_id=one, other_lead_id=two, linked_at=AS_OF - timedelta(days=days), kind=kind)


def test_linked_leads_and_everybody_at_their_accounts_share_one_root() -> None:
    leads = [
        Lead(lead_id=name, account_id=place)
        for name, place in zip("abcdef", ("x", "y", "y", "z", None, None), strict=True)
    ]
    accounts = [Account(account_id="x", parent_account_id="top"), Account(account_id="y"), Account(account_id="z")]
    said = [link("a", "b", 5), link("d", "e", 4), link("d", "e", 2, "different"), link("c", "f", -1)]
    tables = encode_records(leads, accounts, vocabularies=SETTINGS.vocabularies, links=said)
    plain, _ = root_accounts(tables, AS_OF)
    assert len(set(plain.tolist())) == 5
    root, ids = root_accounts(tables, AS_OF, RULES)
    assert root[0] == root[1] == root[2] and len({*root.tolist()}) == 4
    assert all(0 <= one < len(ids) for one in root)
    # What is linked from tomorrow on is one root as of tomorrow.
    later, _ = root_accounts(tables, AS_OF + timedelta(days=1), RULES)
    assert later[2] == later[5] == later[0]


def test_an_outcome_of_a_merged_record_is_one_of_the_person_from_the_merge_on() -> None:
    leads = [Lead(lead_id=name, created_at=AS_OF - timedelta(days=300)) for name in "ab"]
    tables = encode_records(leads, vocabularies=SETTINGS.vocabularies, links=[link("a", "b", 60)])
    day = microseconds(AS_OF - timedelta(days=5))
    target = SETTINGS.vocabularies["outcome_kind"].code(SETTINGS.targets.served.kinds[0])
    outcomes = {
        "lead": np.array([1], dtype=np.int32), "kind": np.array([target], dtype=np.uint8),
        "occurred_at": np.array([day]), "recorded_at": np.array([day]),
    }  # fmt: skip
    tables = replace(tables, outcomes=outcomes)
    for snapshot, expected in (
        (AS_OF - timedelta(days=30), [True, False]),
        (AS_OF - timedelta(days=80), [False, True]),
    ):
        people = follow_links(tables, snapshot, RULES)
        assert labels(people, SETTINGS, snapshot, AS_OF, horizon_days=90).tolist() == expected
