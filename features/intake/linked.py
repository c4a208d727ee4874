"""What links mean while files are read: ids that only links know, and account trees that must stay together."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.intake.scan import Source
from features.links import components


def linked_ids(con: duckdb.DuckDBPyConnection, links: Source, leads: Source) -> pa.Table:
    """Ids (`id`) that links connect, in one or more steps, with an id of the leads table.

    A CRM deletes the row that it merged away; its events and opt-outs still name it, and must reach the survivor.
    """
    pairs = con.sql(
        f"SELECT DISTINCT lead_id AS low, other_lead_id AS high FROM {links.relation} WHERE _bad = 0"
    ).to_arrow_table()
    both = pa.chunked_array([*pairs["low"].chunks, *pairs["high"].chunks], pa.string()).combine_chunks()
    encoded = both.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    half = len(codes) // 2
    con.register("linked_given", pa.table({"id": encoded.dictionary, "place": np.arange(len(encoded.dictionary))}))
    named = con.sql(
        f"SELECT g.place FROM linked_given g WHERE g.id IN (SELECT lead_id FROM {leads.relation} WHERE _bad = 0)"
    ).to_arrow_table()
    con.unregister("linked_given")
    group = components(codes[:half], codes[half:], len(encoded.dictionary))
    reached = np.isin(group, group[named["place"].to_numpy()])
    return pa.table({"id": encoded.dictionary.filter(pa.array(reached))})


def linked_rows(con: duckdb.DuckDBPyConnection, links: Source) -> tuple[NDArray[np.int64], ...]:
    """Rows of `lead_ids` on both sides of every link, whatever it says and since when: a part holds both its ends."""
    found = con.sql(
        f"SELECT DISTINCT a.lead AS low, b.lead AS high FROM {links.relation} s "
        "JOIN lead_ids a ON a.id = s.lead_id JOIN lead_ids b ON b.id = s.other_lead_id "
        "WHERE s._bad = 0"
    ).to_arrow_table()
    return tuple(found[side].to_numpy().astype(np.int64) for side in ("low", "high"))


def together(
    pairs: tuple[NDArray[np.int64], ...],
    root: NDArray[np.int64],
    account_of: NDArray[np.int64],
    accounts: NDArray[np.int32],
    leads: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Buckets of accounts and of leads in which linked leads, and the whole account trees around them, share one.

    INVARIANT: who is one person is decided in one part, whatever the instant it is asked for, and without a link
    nothing moves.

    Args:
        pairs: lead rows on both sides of the links.
        root: topmost account of each account.
        account_of: account of each lead, -1 where it has none.
        accounts: bucket of each account.
        leads: bucket of each lead.
    """
    low, high = pairs
    if not len(low):
        return accounts, leads
    size = len(accounts)
    # A lead stands where its account tree stands, or for itself.
    node = np.arange(size, size + len(leads), dtype=np.int64)
    if size:
        node = np.where(account_of >= 0, root[account_of], node)
    group = components(node[low], node[high], size + len(leads))
    of_node = np.concatenate((accounts, leads))[group]
    return of_node[:size][root] if size else accounts, of_node[node]
