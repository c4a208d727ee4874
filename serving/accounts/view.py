"""Accounts as people see them: stage, decision readiness, who is missing, and which account segments they are in.

The same for single accounts and for whole systems; a system's people are those of all its accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.account_facts import Roster, account_columns
from features.columns import exact
from features.facts import FactBuilder, Facts, facts_of
from features.intake.settle import root_of
from features.inventory import Inventory
from features.pipeline import signals_of
from features.tables import Known, Tables, microseconds
from features.view import view_at
from models.buying_group import (
    Cells,
    Coverage,
    DecisionReadiness,
    GroupRules,
    cells_of,
    cover,
    decision_readiness,
    focus_of,
    moments_of,
    parts_played,
    roster_of,
    stages_of,
)
from models.segments.accounts import held_by_accounts, held_of_members, of_accounts, shown_for_systems
from models.segments.map import SegmentMap
from policy.book import Book
from policy.reach import Reach, no_reach, reach_of

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int32]
ACCOUNT, SYSTEM = "account", "system"
_MOMENT = "decision_moment"


@dataclass(frozen=True)
class Level:
    """Accounts by themselves, or whole systems; rows are those of the accounts, a system's that of its top account.

    `shown` says which rows are units of this level: accounts with people, systems with people at two accounts or more.
    """

    name: str
    shown: Bools
    roster: Roster
    coverage: Coverage
    product: NDArray[np.uint8]
    stage: NDArray[np.int8]
    moment: Numbers
    group: Numbers
    from_field: Bools
    readiness: DecisionReadiness


@dataclass(frozen=True)
class AccountsView:
    """Everything about the accounts of some tables as of an instant; `people` are the leads, in the order of `known`.

    `plays` is lead by part, `reach` who may be contacted under the rules in force, `in_segment` account by
    `account_segments`. `account` and `root` are of leads, `top` is the topmost account above each account.
    """

    settings: Settings
    rules: GroupRules
    book: Book
    as_of: datetime
    known: Known
    facts: Facts
    plays: Bools
    reach: Reach
    account: Numbers
    root: Numbers
    top: Numbers
    account_segments: tuple[str, ...]
    in_segment: Bools
    accounts: Level
    systems: Level

    @cached_property
    def on_channel(self) -> Bools:
        """Lead by channel: contactable for whatever purpose."""
        return self.reach.on_channel

    def cells(self, level: Level) -> Cells:
        """The matrix role by influence by purchase authority of every unit of a level."""
        role, influence, authority = (self.lead_codes(n) for n in ("role", "influence", "purchase_authority"))
        return cells_of(level.roster, role, influence, authority, self.on_channel)

    def lead_codes(self, name: str) -> NDArray[np.uint8]:
        """Codes of a fact of the leads."""
        return np.broadcast_to(self.facts.columns[name].reshape(-1), (self.facts.n,)).astype(np.uint8)

    def account_codes(self, name: str) -> NDArray[np.uint8]:
        """Codes of a field of the accounts, unknown where its record is too old."""
        declared = self.rules.accounts.facts
        return account_columns(self.known, self.facts, self.accounts.roster, declared, (name,))[name]


def view_accounts(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    *,
    threads: int | None = None,
    product: str | None = None,
    contactable: bool = True,
) -> AccountsView:
    """Look at every account of the tables as known at an instant.

    Args:
        tables: whole account trees: what is not there does not count.
        settings: the configuration.
        as_of: an instant with a zone.
        threads: how many to use.
        product: judge every account for this product, instead of the one its people ask about most.
        contactable: rule on who may be contacted too; without it nobody counts as contactable.
    """
    on = as_of.astimezone(UTC).date()
    builder, inventory = FactBuilder.of(settings), Inventory.of_settings(settings)
    known = view_at(tables, as_of, builder.view, threads=threads)
    signals = signals_of(known, builder.plan, builder.decision_maker, threads=threads)
    facts = facts_of(known, builder, inventory, signals)
    segment_map = SegmentMap.load(settings)
    prior = segment_map.prior_of(known.memberships, known.segment_ids.tolist(), len(known.lead_ids))
    members = segment_map.members(facts, prior, as_of=as_of)
    facts = segment_map.told(facts, members, inventory, builder, known.as_of_day)
    book = Book.load(settings, on)
    rules = GroupRules.of(settings)
    n, size = len(known.lead_ids), len(known.account_ids)
    present = known.present if known.merged is None else known.present & ~known.merged.away
    account, parent = exact(known.leads, "account", np.int32, n), exact(known.accounts, "parent", np.int32, size)
    top = root_of(parent.astype(np.int64)).astype(np.int32)
    root = np.where((account >= 0) & (account < size), top[np.clip(account, 0, max(size - 1, 0))] if size else -1, -1)
    reach = reach_of(facts, settings.assets, book) if contactable else no_reach(facts.n, book)
    plays = parts_played(facts, rules, on)
    own, all_of = (
        _level(name, known, facts, rules, unit, present, plays, reach.on_channel, product)
        for name, unit in ((ACCOUNT, account), (SYSTEM, root.astype(np.int32)))
    )
    of_account = of_accounts(segment_map.definitions)
    governs = {str(field): one for field, one in settings.identity.governs.items()}
    folded = held_by_accounts(
        held_of_members(members, present),
        account,
        of_account,
        now=microseconds(as_of),
        above=top,
        systems=shown_for_systems(segment_map.activations, governs),
    )
    return AccountsView(
        settings=settings,
        rules=rules,
        book=book,
        as_of=as_of,
        known=known,
        facts=facts,
        plays=plays,
        reach=reach,
        account=account,
        root=root.astype(np.int32),
        top=top,
        account_segments=tuple(d.id for d, mine in zip(segment_map.definitions, of_account, strict=True) if mine),
        in_segment=folded.member(size, len(of_account))[:, of_account],
        accounts=own,
        systems=replace(all_of, shown=np.bincount(top[own.shown], minlength=size) > 1),
    )


def _level(
    name: str,
    known: Known,
    facts: Facts,
    rules: GroupRules,
    unit: Numbers,
    present: Bools,
    plays: Bools,
    on_channel: Bools,
    product: str | None,
) -> Level:
    on, size = known.as_of.astimezone(UTC).date(), len(known.account_ids)
    roster = roster_of(facts, rules, unit, size, present, on)
    coverage = cover(roster, plays, np.asarray(on_channel.any(axis=1)))
    values = rules.products
    asked = np.broadcast_to(facts.columns["product_interest"].reshape(-1), (facts.n,)).astype(np.uint8)
    focus = focus_of(roster, asked, len(values))
    if product is not None:
        focus = np.full(size, values.index(product) + 1, dtype=np.uint8)
    stage = stages_of(known, facts, roster, rules, on)
    declared = account_columns(known, facts, roster, rules.accounts.facts, (_MOMENT,))[_MOMENT]
    moment, group = moments_of(stage, focus, declared, rules)
    return Level(
        name=name,
        shown=roster.count() > 0,
        roster=roster,
        coverage=coverage,
        product=focus,
        stage=stage,
        moment=moment,
        group=group,
        from_field=np.asarray(declared > 0),
        readiness=decision_readiness(coverage, roster, stage, group, rules),
    )
