"""What the segment lint can say: one code for each known mistake, what it means, why it matters and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from configs.definitions import SegmentDefinition

Level = Literal["error", "warning"]
FILL_IN = "FILL IN"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of mistake. `by_a_person` ones are what a draft still waits for: nobody can compute them."""

    what: str
    why: str
    mend: str
    level: Level | Literal["either"] = "error"
    by_a_person: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: where it is, what is wrong, and how to mend it.

    `status` is that of the definition; `edited` is a draft that somebody proposed or approved before it was edited.
    """

    file: str
    segment_id: str
    key: str
    level: Level
    code: str
    reason: str
    mend: str
    status: str = ""

    @property
    def blocks(self) -> bool:
        """Whether it fails the lint: an error, unless it is about a draft, which is not in use."""
        return self.level == "error" and self.status != "draft"


def finding(definition: SegmentDefinition, key: str, code: str, reason: str, *, level: Level | None = None) -> Finding:
    """A finding about one definition; its level is that of the code, an error where that may be either."""
    declared = CODES[code].level
    own: Level = "warning" if declared == "warning" else "error"
    return Finding("", definition.id, key, level or own, code, reason, CODES[code].mend)


CODES: Mapping[str, Code] = {
    # --- who it holds: the conditions ---
    "SINGLE_DIMENSION": Code(
        "Entry rests on one dimension: specialty, geography, organization, size, source, readiness or demographics "
        "only (error), one other dimension only, or one that is enough alone (warning)",
        "Members who share a specialty or a place differ in what they need, so one message fits few of them",
        "add setting, role, need or behavior",
        "either",
    ),
    "TOO_MANY_TRAITS": Code(
        "One way in looks at more than 6 facts",
        "Nobody can say which trait made a difference, and few leads have all of them on record",
        "drop the facts that change few memberships",
    ),
    "MIXED_PRODUCTS": Code(
        "Entry, the product or the offers name more than one product",
        "Products of different risk and workflow need different evidence, approvals and next steps",
        "write one segment per product",
    ),
    "KNOWS_THE_LABEL": Code(
        "A condition looks at the outcome that readiness predicts",
        "The model would be told the answer, and look better than it is",
        "use what happens before the outcome",
    ),
    "STATUS_NOT_SEGMENT": Code(
        "A condition looks at what a lead is in for a while: a booked meeting, an open case, a standing request",
        "Such a lead is still who it was; its segment, model and plan must not change with its calendar",
        "declare it in statuses.yaml, which pauses memberships, and say here who the lead is",
    ),
    "AUDIENCE_OPEN": Code(
        "Entry may let in an audience that the definition does not name",
        "What is approved for professionals would reach patients, or the other way round",
        "ask for the audience in enter, or name it under audience",
    ),
    "NEVER_ENTERS": Code(
        "No values let a lead in",
        "The segment stays empty, and its plan is kept up for nobody",
        "take back the part of enter that contradicts the rest",
    ),
    "NOT_IN_FORCE": Code(
        "A condition names a dated parameter without a value on the day of the lint",
        "It cannot be evaluated, so nobody's membership could be",
        "give the parameter an earlier first date in policy/parameters.yaml",
    ),
    "NO_EXIT": Code(
        "Exit is `never`",
        "Members stay whatever becomes known, and the plan goes on for people it no longer fits",
        "say which facts end the membership",
    ),
    "NEVER_LEAVES": Code(
        "No values let a member out",
        "As without an exit, and it looks as if there were one",
        "take back the part of exit that contradicts the rest",
    ),
    "FLAPPING": Code(
        "With the same values a lead both enters and leaves",
        "It comes and goes from day to day, and its follow-up starts again each time",
        "exclude from exit what enter asks for",
    ),
    "OVERLAY_STAYS": Code(
        "Entry looks at the band or at readiness, exit does not, or the other way round",
        "A lead that cooled off keeps the plan for hot ones, or leaves one it could never enter by readiness",
        "let enter and exit both look at it",
        "warning",
    ),
    "OVERLAY_NOT_PRIMARY": Code(
        "A segment that looks at readiness is named as the successor of a retired one",
        "An overlay is never primary, so the members of the retired segment would fall back to the residual one",
        "name a segment that does not look at readiness as the successor",
    ),
    # --- who it holds while data are missing ---
    "NO_FALLBACK": Code(
        "Nothing is said about missing data",
        "Most CRMs know half of a field; leads without it vanish from every plan and nobody notices",
        "say where leads go while a fact of enter is missing",
    ),
    "FALLBACK_SILENT": Code(
        "A fact that entry needs can be missing, and no step lets such leads in or says where they go",
        "The chain ends in the open: those leads are nobody's",
        "add a step for the fact, or a last step that says where the rest goes",
    ),
    "FALLBACK_DEAD": Code(
        "A step can never let in anybody whom entry does not",
        "It looks as if missing data were taken care of: `use` needs the missing fact, or contradicts itself",
        "decide by other facts than the missing ones",
    ),
    "FALLBACK_UNRELATED": Code(
        "A step waits for a fact that neither entry nor an earlier step looks at",
        "It is a second way in rather than a fallback, and nobody reviews it as such",
        "name the missing fact of enter, or move the condition there",
        "warning",
    ),
    "FALLBACK_FLAPS": Code(
        "Exit throws out at once what a step lets in",
        "The lead comes and goes until the missing fact is known",
        "let exit ask for what is surely otherwise, or use for what exit does not exclude",
    ),
    "FALLBACK_ORDER": Code(
        "A step that only says what happens comes before one that lets leads in",
        "Readers stop at it and take the chain for finished",
        "move it to the end",
        "warning",
    ),
    # --- what is done with it: the plan ---
    "NO_ACTIVATION_PLAN": Code(
        "No channel, no offer or no next best action, or no offer can be sent on any channel of the plan",
        "A segment without a landing page, an e-mail or a follow-up changes nothing for anybody",
        "fill it, or drop the segment",
        by_a_person=True,
    ),
    "CHANNEL_WITHOUT_OFFER": Code(
        "A channel of the plan carries none of the offers",
        "Reach is counted on a channel on which there is nothing to send",
        "offer content that is approved for the channel, or take the channel out",
        "warning",
        by_a_person=True,
    ),
    "UNKNOWN_OFFER": Code("An offer is not in assets.yaml", "There is nothing to send", "name an asset"),
    "OFFER_NOT_APPROVED": Code(
        "An offer is a draft, expired or withdrawn",
        "The rules block it, so the step of the plan it belongs to is empty",
        "have it approved again, or offer another",
        "warning",
    ),
    "OFFER_ELSEWHERE": Code(
        "An offer is approved for other segments only",
        "The rules block it for every member",
        "offer what is approved for this segment, or have the approval extended",
    ),
    "PURPOSE_MISMATCH": Code(
        "Medical education offers promotion or aims at a sale, or promotion sends medical information nobody asked for",
        "Purpose must match what is sent: the mix turns education into promotion without the consent for it",
        "offer content of the declared purpose, or split the segment",
        "either",
    ),
    "AUDIENCE_MISMATCH": Code(
        "An offer is approved for none of the audiences, or a prescription product is promoted to the public",
        "The rules block it, or the law does",
        "offer what this audience may see",
    ),
    "UNDECLARED_CONVERSION": Code(
        "The conversion event is not an outcome that the data can hold",
        "Nobody can say whether the segment works",
        "name a value of the outcome_kind vocabulary",
    ),
    "INCOMPLETE": Code(
        "No audience, data source, message goal, theme, owner or KPI",
        "Without these nobody knows whom it is for, what it should achieve or who answers for it",
        "let its owner write it",
        by_a_person=True,
    ),
    "UNDECLARED_SOURCE": Code(
        "A condition looks at a field that data_sources does not list",
        "The record of the segment says less than what it rests on, and nobody checks that field",
        "add the field to data_sources",
        "warning",
    ),
    "NO_HYPOTHESIS": Code(
        "No hypothesis says which information will matter to the members",
        "Without one a result teaches nothing",
        "write what these people need to know, and why",
        by_a_person=True,
    ),
    "NO_MATRIX_ROW": Code(
        "No row for the segmentation matrix",
        "The segment is missing from the page on which marketing and medical plan content",
        "fill matrix: clinical dimension, care setting, roles, content need, content types",
        by_a_person=True,
    ),
    "UNFILLED": Code(
        "A text still holds the draft's FILL IN",
        "The program proposes; only a person knows what it means",
        "let its owner write it",
        by_a_person=True,
    ),
    "STILL_NEEDS": Code(
        "`needs` still lists something",
        "Whoever wrote it said that it is not ready",
        "supply it and take the line out",
        by_a_person=True,
    ),
    "NAMING": Code(
        "The id has more than 6 words or 48 characters, a version, year or word such as test or copy, or a title is "
        "too long, ends in a period or is used twice",
        "Names are what reports are joined by: one that must change breaks them",
        "name who they are, in a few words that stay true",
        "warning",
    ),
    # --- who answers for it: approval and review ---
    "NOT_APPROVED": Code(
        "Nobody has approved it: an error where it is in use, a warning while it waits",
        "It is not active, whatever campaigns think",
        "have a named person approve it",
        "either",
        by_a_person=True,
    ),
    "EDITED_AFTER_APPROVAL": Code(
        "It was proposed or approved, and then edited",
        "The approval was for other words: the segment is out of use until this text is approved",
        "compare with `leadwell segments diff`, then have it approved again, or take the edit back",
    ),
    "APPROVAL_EXPIRED": Code(
        "The approval ran out",
        "The segment is not active, and its members are in the residual one",
        "review and approve it again",
        by_a_person=True,
    ),
    "OWN_APPROVAL": Code(
        "The author approved it",
        "Nobody else has looked at it",
        "have somebody else approve it",
        by_a_person=True,
    ),
    "REVIEW_DUE": Code(
        "The day of its review has passed",
        "Practice, products and data change; a definition nobody looks at drifts",
        "review it and set the next date",
        "warning",
        by_a_person=True,
    ),
    "REVIEW_TOO_FAR": Code(
        "The next review is more than 400 days away, or after the approval runs out",
        "It would stop on its own before anybody looked at it, or run for years without a look",
        "set the review before the approval ends and within a year",
        "warning",
        by_a_person=True,
    ),
    # --- how it stands among the others ---
    "SPRAWL": Code(
        "More than 40 segments are approved or proposed, or a quarter of them is below its floor",
        "Nobody keeps that many plans up; micro-segments cannot be tested",
        "merge what shares a plan",
        "either",
    ),
    "SAME_PRIORITY": Code(
        "Two segments share a priority",
        "The id decides who is primary, which nobody meant",
        "give each its own",
        "warning",
    ),
    "RETIRED_REFERENCE": Code(
        "Something in use names a retired segment",
        "It reaches nobody, in silence",
        "name its successor, or take the name out",
    ),
    # --- with --data: what the leads say ---
    "TOO_SMALL": Code(
        "It holds fewer leads than size.min_leads",
        "Too few to learn from, to test on or to report",
        "merge it with the nearest segment and take over its content, or drop a trait",
        "warning",
    ),
    "TOO_LARGE": Code(
        "It holds a larger share of leads than size.max_share",
        "What fits a third of everybody is generic",
        "split it by need or setting",
        "warning",
    ),
    "OVERLAP": Code(
        "It shares 80 % or more of its members with another (Jaccard)",
        "Two plans for the same people: one of them never runs",
        "merge the two, or tell them apart",
        "warning",
    ),
    "INSIDE": Code(
        "All its members are in another segment as well",
        "It can only matter if its priority is the lower number; else it is never primary",
        "give it the lower priority number, or exclude it from the other",
        "warning",
    ),
    "UNRELIABLE_FIELD": Code(
        "A field of entry is known, or mapped to its vocabulary, for too few of the leads that may be members",
        "Who is in says more about who filled in the form than about the leads",
        "complete the field, or have the data steward lower the limit in quality.yaml",
    ),
    "STALE_FIELD": Code(
        "A field of entry was not verified in time for too many of the leads that have it",
        "People change roles and sites are restructured: the segment holds who they used to be",
        "verify the field, or have the data steward change verify_every_days in quality.yaml",
    ),
    "OVER_BROAD": Code(
        "It holds more of all leads than quality.yaml allows",
        "It is not activated on this data",
        "narrow it, or have the data steward raise max_share in quality.yaml",
    ),
    "UNKNOWN_SEGMENT": Code(
        "A campaign or membership names a segment that no definition has",
        "It vanished under its users: whoever it was for gets nothing, or something else",
        "bring the definition back and retire it with a successor",
        "either",
    ),
    "CAMPAIGN_ON_DRAFT": Code(
        "A campaign that runs names a segment that is not approved",
        "It reaches nobody",
        "have the segment approved, or take it out of the campaign",
        "warning",
    ),
    "RETIRED_WITH_MEMBERS": Code(
        "It is retired, names no successor and still has members",
        "Nobody tells them or their follow-up where they belong now",
        "name a successor when retiring it, or run `leadwell segments apply`, which makes them leave",
    ),
}
