"""The record that goes to sales with a lead: who it is, why now, what happened, what is open, what may be done.

It holds ids, words of vocabularies, numbers and dates, and no name. What it says of engagement is interest in what was
offered, and nothing about prescribing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from serving.actions.next_action import route
from serving.decide import Decisions
from serving.handover.history import Histories, Told
from serving.handover.qualification import NOT_ASSESSED, qualification, status_of
from serving.instants import instant, instant_of
from serving.render import readiness, versions

NONE = "none"
LIMITS = "Engagement is interest in what was offered; it says nothing about prescribing or buying."
# What a seller needs to know of a lead before the first conversation, in the order of asking.
_ASKED_FIRST = (
    "role", "specialty", "subspecialty", "influence", "purchase_authority", "product_interest", "organization_type",
    "care_setting", "procurement_path", "journey_moment",
)  # fmt: skip
_OF_PATIENTS = ("product_interest", "condition_focus", "referral_source", "lifecycle")
_TOP = 5


@dataclass(frozen=True)
class Handovers:
    """The records of the leads of some decisions; what is told of all leads at once is worked out once.

    `table` is what `decision_table` says of the same decisions: reasons and actions are taken from it.
    """

    decisions: Decisions
    table: pa.Table

    @cached_property
    def _histories(self) -> Histories:
        return Histories(self.decisions)

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {lead_id: place for place, lead_id in enumerate(self.table["lead_id"].to_pylist())}

    def of(self, row: int) -> dict[str, Any]:
        """The hand-over of one lead, as plain values."""
        decisions = self.decisions
        if status_of(decisions, row) == NOT_ASSESSED:
            band = "unknown"
        else:
            band = decisions.decider.readiness.band_name(int(decisions.scores.band[row]))
        routed = route(decisions, row, band)
        qualified = qualification(decisions, row, routed)
        head = {
            "lead_id": str(decisions.known.lead_ids[row]),
            "as_of": instant(decisions.as_of),
            "qualification": qualified,
            "route": {name: routed[name] for name in ("queue", "team", "says")},
        }
        if qualified["next"]["do"] in ("none", "wait"):
            # INVARIANT: of who asked to be forgotten, or not to be profiled, nothing is handed to anybody; and nothing
            # while a question, an adverse event, a complaint or a legal hold is open, which is nobody's in sales.
            return head
        told = self._histories.of(row)
        return {
            **head,
            "who": _who(decisions, row),
            "why_now": _why_now(decisions, row, band),
            "segment": _segment(decisions, row),
            "history": list(told.rows),
            "history_left_out": {"older_or_further": told.left_out, "likely_machine": told.suspect},
            "asked_about": [{"topic": topic, "times": times} for topic, times in _ranked(told)[:_TOP]],
            "open_questions": _open_questions(decisions, row, told),
            "may_do": self._may_do(row, told),
            "limits": LIMITS,
            "versions": versions(decisions),
        }

    def _may_do(self, row: int, told: Told) -> dict[str, Any]:
        """Channels that are permitted, until when and with what fits, best first; the others with the reasons."""
        decisions, at = self.decisions, self._place[str(self.decisions.known.lead_ids[row])]
        permitted, closed = [], []
        for c, channel in enumerate(decisions.book.channels):
            if not decisions.rulings.permitted[row, c]:
                closed.append({"channel": channel, "reasons": self.table[f"{channel}_reasons"][at].as_py()})
                continue
            fits = np.where(decisions.rulings.passes[row, :, c], decisions.nurtured.fit[row], -1)
            order = np.argsort(-fits, kind="stable")[: int((fits >= 0).sum())].tolist()
            assets = [decisions.facts.assets[place] for place in order if decisions.facts.assets[place] != NONE]
            permitted.append(
                {
                    "channel": channel,
                    "valid_until": instant_of(int(decisions.permits_end[row, c])),
                    "assets": assets,
                    "shown_lately": [asset for asset in assets if asset in told.shown],
                }
            )
        suggested = {name: self.table[name][at].as_py() for name in ("action", "action_channel", "asset_id")}
        return {
            "permitted": permitted,
            "not_permitted": closed,
            "suggested": suggested,
            "shown_lately": list(told.shown),
        }


def _who(decisions: Decisions, row: int) -> dict[str, Any]:
    """What is known of the lead, by fact: words and no name."""
    known, names = decisions.known, decisions.facts.columns
    shown = ("audience", *_ASKED_FIRST, "condition_focus", "referral_source", "lifecycle", "buying_stage",
             "stage_evidence", "committee", "integration_need", "preferred_channel", "jurisdiction")  # fmt: skip
    found: dict[str, Any] = {}
    account = known.leads.get("account")
    place = -1 if account is None else int(account[row])
    if place >= 0:
        found["account_id"] = str(known.account_ids[place])
    territory = known.leads.get("territory")
    if territory is not None and territory[row] is not None:
        found["territory"] = str(territory[row])
    for name in shown:
        value = _value(decisions, name, row) if name in names else None
        if value is not None:
            found[name] = value
    return found


def _why_now(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    scored, (fit, engagement) = readiness(decisions, row, band), decisions.points.grades(row)
    entries = [entry for log in decisions.points.log(row) for entry in log if entry.points > 0]
    entries.sort(key=lambda entry: (-entry.points, entry.says))
    return {
        "band": band,
        "probability": scored["probability"],
        "fit": fit,
        "engagement": engagement,
        "drivers": [
            {"says": one["says"], "value": one["value"], "raises": one["contribution"] > 0}
            for one in scored["drivers"][:_TOP]
        ],
        "points": [{"says": entry.says, "points": entry.points} for entry in entries[:_TOP]],
    }


def _segment(decisions: Decisions, row: int) -> dict[str, Any]:
    """What the lead's primary segment says about talking to it."""
    definition = decisions.decider.segment_map.definitions[int(decisions.members.primary[row])]
    role = _value(decisions, "role", row)
    proof = definition.proof_points.get(str(role)) or definition.proof_points.get("other")
    return {
        "id": definition.id,
        "title": definition.title,
        "message_goal": definition.message_goal or None,
        "themes": list(definition.themes),
        "proof_point": proof,
        "next_best_action": definition.next_best_action,
        "owner": definition.owner,
    }


def _ranked(told: Told) -> list[tuple[str, int]]:
    return sorted(told.asked.items(), key=lambda pair: (-pair[1], pair[0]))


def _open_questions(decisions: Decisions, row: int, told: Told) -> list[dict[str, Any]]:
    """What the lead asked more than once, and what a seller should find out."""
    found: list[dict[str, Any]] = [
        {"from": "lead", "topic": topic, "says": f"asked {times} times about {topic.replace('_', ' ')}"}
        for topic, times in _ranked(told)
        if times >= 2
    ]
    domain = decisions.book.domain
    patient = _value(decisions, "audience", row) in ("patient", "caregiver")
    for fact in _OF_PATIENTS if patient else _ASKED_FIRST:
        if fact in domain.facts and _value(decisions, fact, row) is None:
            declared = domain.facts[fact]
            found.append({"from": "us", "fact": fact, "says": f"find out: {declared.says}", "source": declared.source})
    return found


def _value(decisions: Decisions, fact: str, row: int) -> Any:
    """The word of a lead's fact, None where it is unknown."""
    column = decisions.facts.columns.get(fact)
    if column is None:
        return None
    return decisions.book.domain.value(fact, int(column.item(row if len(column) > 1 else 0)))
