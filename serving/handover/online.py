"""Hand-over records of a request: the same decisions as `POST /v1/score`, told as what goes to sales."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from features.intake.titles import Titles
from policy.audit.pseudonyms import pseudonym
from serving.api import ScoreRequest
from serving.columns import decision_table
from serving.decide import Decider
from serving.handover.record import Handovers
from serving.online import tables_of
from serving.recorded import audit_record
from serving.render import render


def handovers_of(
    request: ScoreRequest, decider: Decider, key: bytes, now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A record for each lead in the order of the request, and what the audit keeps of each decision.

    Args:
        request: the parsed request.
        decider: with which it is decided.
        key: of the pseudonyms of the audit.
        now: the clock; an `as_of` before it makes a replay, which permits nothing.

    Raises:
        InputInvalid: a lead that cannot be read.
    """
    as_of, titles = request.as_of or now, Titles(decider.settings.vocabularies)
    decider = decider if request.assets is None else decider.with_assets(request.assets, requested=True)
    records, kept = [], []
    for item in request.leads:
        tables = tables_of([item], decider.settings.vocabularies, decider.asset_ids, titles, decider.attributes)
        decisions = decider.decide(tables, as_of, replay=as_of < now, threads=1)
        merged = decisions.known.merged
        row = 0 if merged is None else int(merged.survivor[0])
        answer = render(decisions, row) | {"lead_id": item.lead.lead_id, "audit_id": os.urandom(16).hex()}
        record = Handovers(decisions, decision_table(decisions)).of(row)
        records.append(record | {"lead_id": item.lead.lead_id, "audit_id": answer["audit_id"]})
        kept.append(audit_record(decisions, row, answer, pseudonym(key, item.lead.lead_id), now))
    return records, kept
