"""The reasons for which a lead stalls, in the order in which they are asked, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Reason = Literal[
    "NOT_DECIDED",
    "NOT_SCORED",
    "HELD_OUT",
    "NO_CAPACITY",
    "WITH_SALES",
    "BLOCKED",
    "NO_PERMISSION_KNOWN",
    "NOTHING_APPROVED",
    "NOT_TOUCHED",
    "NOT_DEEPER",
    "WAITS_FOR_ANSWER",
    "NO_ANSWER",
]
SAYS: Mapping[Reason, str] = {
    "NOT_DECIDED": "the rescoring does not have it, so nobody knows what stands in its way",
    "NOT_SCORED": "it may not be scored",
    "HELD_OUT": "it is held out, so that others can be compared with it",
    "NO_CAPACITY": "it is for sales, and no team can take it",
    "WITH_SALES": "it is with sales, who have not brought it further",
    "BLOCKED": "rules forbid every channel",
    "NO_PERMISSION_KNOWN": "nobody knows that we may write or call: a permission to ask for",
    "NOTHING_APPROVED": "we may, and nothing approved is there to say",
    "NOT_TOUCHED": "we may and have something to say, and did not",
    "NOT_DEEPER": "it answers, and did nothing yet that shows the next stage",
    "WAITS_FOR_ANSWER": "it was touched lately and has time to answer",
    "NO_ANSWER": "it was touched and does not answer",
}
# Who can do something about each.
SEES_TO: Mapping[Reason, str] = {
    "NOT_DECIDED": "crm_field",
    "NOT_SCORED": "rights",
    "HELD_OUT": "score",
    "NO_CAPACITY": "ready_lead",
    "WITH_SALES": "ready_lead",
    "BLOCKED": "rule",
    "NO_PERMISSION_KNOWN": "nurture",
    "NOTHING_APPROVED": "content",
    "NOT_TOUCHED": "nurture",
    "NOT_DEEPER": "segment",
    "WAITS_FOR_ANSWER": "nurture",
    "NO_ANSWER": "segment",
}
