"""What was decided between two nights that changes what they say: rules, segments, approvals of material, by its date.

Rule books are compared as the audit log kept them; all else is dated in the configuration itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from configs.cards import RuleCard
from configs.errors import InputInvalid
from configs.settings import Settings
from policy.audit.archive import Archive
from policy.book import Book
from training.monitoring.watch import Run

NAMED = 5
_TEXTS = ("title", "says", "legal", "review", "examples")


def decided_between(settings: Settings, earlier: date, later: date) -> Iterator[str]:
    """What came into force or ended after one day and up to another, in sentences."""
    for step in settings.approvals:
        if earlier < (step.entered_on or step.on) <= later:
            yield f"Segment {step.segment} version {step.version} was {step.step} on {step.on} by {step.by}."
    for definition in settings.segments:
        approval = definition.approval
        if approval is not None and earlier <= approval.expires_on < later:
            yield f"The approval of segment {definition.id} ended on {approval.expires_on}: it holds nobody."
    begun = [a.asset_id for a in settings.assets if a.approval and earlier < a.approval.on <= later]
    # The last day of an asset's approval does not count any more (features/inventory.py).
    ended = [a.asset_id for a in settings.assets if a.approval and earlier < a.approval.expires_on <= later]
    if begun:
        yield f"Approved since: {_some(begun)}."
    if ended:
        yield f"Not offered any more, their approval ended: {_some(ended)}."
    started = [card.id for card in settings.rules if earlier < card.effective.start <= later]
    over = [card.id for card in settings.rules if card.effective.until and earlier < card.effective.until <= later]
    if started:
        yield f"Rules that came into force by their date: {_some(started)}."
    if over:
        yield f"Rules that ended by their date: {_some(over)}."
    for name, one in settings.parameters.items():
        for day, value in one.values.items():
            if earlier < day <= later:
                yield f"The parameter {name} is {value} since {day}."


def policy_changes(audit: Path | None, earlier: Run, later: Run) -> Iterator[str]:
    """Which rules of the two books differ, as kept in the audit log; nothing where the books are the same.

    Raises AuditBroken where a kept book was changed.
    """
    first, second = (run.versions.get("policy", "") for run in (earlier, later))
    if first == second or not first or not second:
        return
    if audit is None:
        yield "Which rules changed, --audit with the folder of the audit log would say."
        return
    archive = Archive(audit)
    books = []
    for digest in (first, second):
        try:
            books.append(archive.book(digest))
        except InputInvalid as error:
            yield f"Which rules changed cannot be said: {error}."
            return
    yield from book_changes(*books)


def book_changes(earlier: Book, later: Book) -> Iterator[str]:
    """Rules that one of two books has alone, and rules that do something else in the later one."""
    before, after = ({one.card.id: one.card for one in book.rules} for book in (earlier, later))
    added = [rule for rule in after if rule not in before]
    gone = [rule for rule in before if rule not in after]
    changed = [
        f"{rule} ({', '.join(_changed(before[rule], card))})"
        for rule, card in after.items()
        if rule in before and _changed(before[rule], card)
    ]
    for word, rules in (("Rules added", added), ("Rules gone", gone), ("Rules changed", changed)):
        if rules:
            yield f"{word}: {_some(rules)}."
    if not (added or gone or changed):
        yield "The books have the same rules; parameters, facts or wording differ."


def _changed(before: RuleCard, after: RuleCard) -> list[str]:
    """Fields of a card that decide; its wording, law and examples do not."""
    fields = [name for name in type(after).model_fields if name not in _TEXTS]
    return [name.replace("_", " ") for name in fields if getattr(before, name) != getattr(after, name)]


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
