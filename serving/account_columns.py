"""What a batch tells of every lead's account: which it is, and the segments that any colleague of it holds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.columns import exact
from features.intake.settle import root_of
from features.tables import microseconds
from models.segments.accounts import held_by_accounts, held_of_members, of_accounts, shown_for_systems
from serving.decide import Decisions


def account_ids(decisions: Decisions) -> dict[str, pa.Array]:
    """The lead's own account and the system above it, by their ids; null where there is none or it is not known."""
    known = decisions.known
    size, ids = len(known.account_ids), pa.array(known.account_ids, pa.string())
    account = exact(known.leads, "account", np.int32, len(known.lead_ids))
    parent = exact(known.accounts, "parent", np.int32, size)
    above = np.full(len(account), -1, dtype=np.int64)
    above[account >= 0] = parent[account[account >= 0]]
    return {
        name: ids.take(pa.array(rows.astype(np.int64), mask=rows < 0))
        for name, rows in (("account_id", account), ("parent_account_id", above))
    }


def account_segments(decisions: Decisions) -> pa.ListArray:
    """For each lead the account segments its account is in, in their order of priority; nobody's own, and no model's.

    The leads decided about must be whole accounts, as partitions are. Patients and caregivers show none, and neither
    does anybody who may not be scored, nor counts such a lead for its account.
    """
    known, map_ = decisions.known, decisions.decider.segment_map
    n, size = len(known.lead_ids), len(known.account_ids)
    account = exact(known.leads, "account", np.int32, n)
    present = known.present & ~decisions.rulings.no_score
    if known.merged is not None:
        present &= ~known.merged.away
    governs = {str(field): one for field, one in decisions.decider.settings.identity.governs.items()}
    parent = exact(known.accounts, "parent", np.int32, size)
    found = held_by_accounts(
        held_of_members(decisions.members, present),
        account,
        of_accounts(map_.definitions),
        now=microseconds(decisions.as_of),
        above=root_of(parent.astype(np.int64)).astype(np.int32),
        systems=shown_for_systems(map_.activations, governs),
    )
    member = found.member(size, len(map_.definitions))
    audience = decisions.decider.settings.vocabularies["audience"]
    private = [audience.code(word) for word in ("patient", "caregiver")]
    shows = (account >= 0) & ~decisions.rulings.no_score
    shows &= ~np.isin(decisions.facts.columns["audience"].reshape(-1), private)
    shown = np.zeros((n, member.shape[1]), dtype=np.bool_)
    shown[shows] = member[account[shows]]
    offsets = np.concatenate(([0], np.cumsum(shown.sum(axis=1)))).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(map_.segment_ids, pa.string()).take(pa.array(np.nonzero(shown)[1]))
    )
