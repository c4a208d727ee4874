"""From a parsed request to decisions: leads that were told the same things about are decided together.

Whether a section was supplied, and until when the suppression feed is complete, holds for a whole set of tables; so
leads are grouped by it. Two leads that share an account never share tables: what the request says of one lead must not
change the answer for another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from configs.errors import InputInvalid
from configs.vocabulary import Vocabularies
from features.encode import encode_records
from features.intake.titles import Titles
from features.records import Account, Case, Colleague, Consent, Event, Lead, Link, PriorMembership, Suppression, Touch
from features.tables import Tables
from policy.audit.archive import Archive
from policy.audit.pseudonyms import pseudonym
from serving.api import SECTIONS, LeadRequest, Rejection, ScoreRequest, safe_name
from serving.contact.permits import Permitting
from serving.decide import Decider, Decisions
from serving.recorded import audit_record
from serving.render import render


class OnlineAnswerer:
    """Answers parsed requests with one decider."""

    def __init__(
        self, decider: Decider, key: bytes, archive: Archive | None = None, permitting: Permitting | None = None
    ) -> None:
        self.decider, self.key, self.archive, self.permitting = decider, key, archive, permitting
        self.titles = Titles(decider.settings.vocabularies)
        self.titles.warm()

    def answer(
        self, request: ScoreRequest, now: datetime
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Rejection]]:
        """Decisions in the order of the request, an audit record for each, and the leads that could not be encoded.

        INVARIANT: an `as_of` before the server's clock is a replay, and a replay grants no permit.
        """
        as_of = request.as_of or now
        decider = self.decider if request.assets is None else self.decider.with_assets(request.assets, requested=True)
        found: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        rejections: list[Rejection] = []

        def decide(positions: Sequence[int]) -> None:
            items = [request.leads[position] for position in positions]
            try:
                tables = tables_of(
                    items, decider.settings.vocabularies, decider.asset_ids, self.titles, decider.attributes
                )
            except InputInvalid as invalid:
                if len(positions) == 1:
                    rejections.append(_rejection(request.places[positions[0]], items[0], invalid, decider.attributes))
                    return
                for position in positions:
                    decide([position])
                return
            decisions: Decisions = decider.decide(tables, as_of, replay=as_of < now, threads=1)
            if self.archive is not None:
                self.archive.keep(decisions.book, decider.settings)
                if not decider.requested:
                    self.archive.keep_assets(decider.assets_version, decisions.facts.assets)
            merged = decisions.known.merged
            for row, position in enumerate(positions):
                audit_id = os.urandom(16).hex()
                person = row if merged is None else int(merged.survivor[row])
                rendered = render(decisions, person)
                if merged is not None:
                    # The person is decided about; the answer goes to whom it was asked for.
                    rendered["lead_id"] = items[row].lead.lead_id
                rendered["audit_id"] = audit_id
                if self.permitting is not None and request.holders:
                    self.permitting.add(rendered, decisions, person, request.holders[position])
                subject = pseudonym(self.key, rendered["lead_id"])
                found[position] = (rendered, audit_record(decisions, person, rendered, subject, now))

        for positions in grouped(request.leads):
            decide(positions)
        order = sorted(found)
        return [found[place][0] for place in order], [found[place][1] for place in order], rejections

    def warm_up(self, now: datetime) -> None:
        """Compile every kernel before the first real lead; what is decided here is thrown away."""
        lead = LeadRequest(
            lead=Lead(lead_id="warm-up"), events=[], touches=[], consents=[], suppressions=[], cases=[], colleagues=[]
        )
        for count in (1, 2, 20):
            leads = tuple(replace_id(lead, f"warm-up-{index}") for index in range(count))
            self.answer(ScoreRequest(leads, tuple(range(count)), (), None, now - timedelta(microseconds=1)), now)
        before, later = now - timedelta(days=1), now + timedelta(hours=1)
        # Some kernels are entered only where a table has a row.
        full = LeadRequest(
            # A place and an audience in which mail may be tracked, or its events were taken away unweighed.
            lead=Lead(lead_id="warm-up", account_id="warm-up", recorded_at=before, country="US", audience="hcp"),
            account=Account(account_id="warm-up", recorded_at=before),
            events=[
                Event(
                    event_id=kind, lead_id="warm-up", kind=kind, message_id=told, occurred_at=before, recorded_at=before
                )
                for kind, told in (("email_open", "m"), ("email_click", "r"), ("page_view", None), ("unread", None))
            ],
            touches=[
                Touch(touch_id="m", lead_id="warm-up", message_id="m", sent_at=before, channel="email"),
                Touch(touch_id="r", lead_id="warm-up", message_id="r", sent_at=before, intent="medical_information"),
            ],
            consents=[Consent(lead_id="warm-up", captured_at=before, expires_at=later)],
            suppressions=[
                Suppression(lead_id="warm-up", since_at=later, recorded_at=before, reason="profiling_objection")
            ],
            cases=[Case(case_id="c", lead_id="warm-up", opened_at=before)],
            memberships=[PriorMembership(lead_id="warm-up", segment_id="warm-up", version=1, entered_at=before)],
            colleagues=[Colleague(lead_id="other", event_count_90d=1)],
            suppressions_complete_as_of=before,
            links=[Link(lead_id="warm-up", other_lead_id="twin", linked_at=before, kind="same")],
            linked_leads=[Lead(lead_id="twin", recorded_at=before)],
        )
        self.answer(ScoreRequest((full,), (0,), (), None, now - timedelta(microseconds=1)), now)


def replace_id(item: LeadRequest, lead_id: str) -> LeadRequest:
    """The same request for another id; it must hold no rows that name the lead."""
    return LeadRequest(
        lead=Lead(lead_id=lead_id),
        events=item.events,
        touches=item.touches,
        consents=item.consents,
        suppressions=item.suppressions,
        cases=item.cases,
        colleagues=item.colleagues,
    )


def grouped(leads: Sequence[LeadRequest]) -> list[list[int]]:
    """Positions of leads that may share tables.

    INVARIANT: leads of one group supplied the same sections, have one suppression feed, share no account, and none has
    links.
    """
    if len(leads) == 1:
        return [[0]]
    groups: dict[tuple[Any, ...], list[tuple[list[int], set[str]]]] = {}
    alone: list[list[int]] = []
    for position, item in enumerate(leads):
        if item.links:
            alone.append([position])
            continue
        key = (
            *(getattr(item, section) is None for section in SECTIONS),
            item.account is None,
            item.suppressions_complete_as_of,
        )
        named = (item.lead.account_id, item.account.parent_account_id if item.account is not None else None)
        accounts = {account_id for account_id in named if account_id is not None}
        for positions, taken in groups.setdefault(key, []):
            if taken.isdisjoint(accounts):
                positions.append(position)
                taken |= accounts
                break
        else:
            groups[key].append(([position], accounts))
    return [*alone, *(positions for found in groups.values() for positions, _ in found)]


def tables_of(
    items: Sequence[LeadRequest],
    vocabularies: Vocabularies,
    asset_ids: Sequence[str],
    titles: Titles,
    attributes: Mapping[str, bool] | None = None,
) -> Tables:
    """Encode leads of one group; raises InputInvalid, also for an attribute that `attributes` does not declare."""
    first = items[0]

    def joined(section: str) -> list[Any] | None:
        if getattr(first, section) is None:
            return None
        if len(items) == 1:
            rows: list[Any] = getattr(first, section)
            return rows
        return [row for item in items for row in getattr(item, section)]

    leads = [item.lead for item in items]
    accounts = [account for item in items for account in (item.account, item.parent_account) if account is not None]
    if first.links:
        leads += first.linked_leads or ()
        accounts += first.linked_accounts or ()
    tables = encode_records(
        leads,
        accounts,
        joined("events"),
        joined("touches"),
        joined("consents"),
        joined("suppressions"),
        joined("cases"),
        joined("memberships"),
        joined("colleagues"),
        vocabularies=vocabularies,
        asset_ids=asset_ids,
        suppressions_complete_as_of=first.suppressions_complete_as_of,
        colleague_of=[row for row, item in enumerate(items) for _ in item.colleagues or ()],
        titles=titles,
        attributes=attributes,
        links=first.links,
    )
    # No summaries means that colleagues are unknown; None would mean that these leads are everybody there is.
    return tables if tables.colleagues is not None else replace(tables, colleagues={})


def _rejection(place: int, item: LeadRequest, invalid: InputInvalid, declared: Mapping[str, bool]) -> Rejection:
    named = invalid.field
    if named and invalid.file == "lead.attributes" and named not in declared:
        # Names that the request made up may hold anything.
        named = safe_name(named)
    path = f"$.leads[{place}].{invalid.file}" + (f"[{invalid.row}]" if invalid.row is not None else "")
    return Rejection(
        index=place,
        reason="INVALID",
        path=path + (f".{named}" if named else ""),
        expected=invalid.expected,
        lead_id=item.lead.lead_id,
    )
