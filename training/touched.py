"""Whose data went into a bundle: the leads learned from, their colleagues, and every id that ever was one of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.human import plain_domain
from features.links import components
from features.tables import Tables
from models.trained_on import erasure_key, key_path, write_trained_on


def touched_leads(
    tables: Tables, learned: NDArray[np.int64], settings: Settings, domains: Collection[str] = ()
) -> list[str]:
    """Ids of all leads whose data may be in what was learned from some rows, more rather than less.

    Args:
        tables: what was trained on.
        learned: lead rows that were learned from, in any order and number.
        settings: the configuration.
        domains: mail domains whose gateways the bundle learned to tell from people, by the answers of all behind them.

    A colleague's events are in the account roll-up, and a record that was linked to a person at any time, undone or
    not, may have stood for them at some snapshot.
    """
    n = len(tables.lead_ids)
    inside = np.zeros(n, dtype=np.bool_)
    inside[learned] = True
    if domains and "mail_domain" in tables.leads:
        lead, named = tables.leads["lead"], tables.leads["mail_domain"].tolist()
        behind = np.array([one is not None and plain_domain(one) in domains for one in named], dtype=np.bool_)
        inside[lead[behind & (lead >= 0)]] = True
    inside = _with_linked(tables, inside, settings)
    if tables.leads and "account" in tables.leads:
        lead, account = tables.leads["lead"], tables.leads["account"]
        placed = np.flatnonzero((lead >= 0) & (account >= 0))
        lead, account = lead[placed], account[placed]
        theirs = np.zeros(len(tables.account_ids), dtype=np.bool_)
        theirs[account[inside[lead]]] = True
        inside[lead[theirs[account]]] = True
    inside = _with_linked(tables, inside, settings)
    ids: list[str] = tables.lead_ids[inside].tolist()
    return ids


def remember(
    tables: Tables,
    learned: NDArray[np.int64],
    settings: Settings,
    folder: Path,
    bundle_id: str,
    domains: Collection[str] = (),
) -> Path:
    """Write the keyed hashes of the touched leads beside a bundle's folder; the key is made on first use."""
    artifacts = folder.absolute().parent
    key = erasure_key(key_path(artifacts), make=True)
    return write_trained_on(artifacts, bundle_id, touched_leads(tables, learned, settings, domains), key)


def _with_linked(tables: Tables, inside: NDArray[np.bool_], settings: Settings) -> NDArray[np.bool_]:
    links = tables.links
    if not links or not len(links["lead"]):
        return inside
    lead, other = links["lead"].astype(np.int64), links["other"].astype(np.int64)
    same = links["kind"] == settings.vocabularies["link_kind"].code("same")
    rows = np.flatnonzero(same & (lead >= 0) & (other >= 0))
    group = components(lead[rows], other[rows], len(inside))
    hit = np.zeros(len(inside), dtype=np.bool_)
    hit[group[inside]] = True
    found: NDArray[np.bool_] = hit[group]
    return found
