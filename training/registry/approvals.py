"""A second person's yes to a bundle: bound to its id and to its model card, with a last day, taken back in one step.

Three roles, and whoever approves holds only one: the trainer (`train --by`), who asks for the promotion, who approves.
The trainer may ask. Names are compared as people are: other spelling, order, titles or initials make no second person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from configs.approvals import same_person
from configs.errors import BundleRefused, InputInvalid, NotReady
from configs.registry import RegistrySettings
from models.bundle import Bundle, read_bundle
from training.registry.gates import overrides, trainers
from training.registry.history import Entry, History, person, writing
from training.registry.timeline import entries_about

CARD_SUFFIX = "-card.json"


def card_hash(bundle: Path) -> str | None:
    """SHA-256 of what the bundle's model card says, None where it has no card."""
    card = bundle.with_name(f"{bundle.name}{CARD_SUFFIX}")
    return hashlib.sha256(card.read_bytes()).hexdigest() if card.is_file() else None


def approve(
    artifacts: Path,
    folder: Path,
    *,
    by: str,
    as_of: datetime,
    rules: RegistrySettings,
    note: str = "",
    despite_gate: str = "",
    days: int | None = None,
    seen: str = "",
    read: Callable[[Path], Bundle] = read_bundle,
) -> Entry:
    """Write down that a person approves a bundle for serving; it says nothing about who may be contacted.

    Args:
        artifacts: the folder of the history.
        folder: the bundle.
        by: who approves; never who trained it, and never who asks for the promotion.
        as_of: now.
        rules: how long an approval may hold.
        note: one line for the record; needed where the bundle was trained despite a finding.
        despite_gate: why it may replace the champion without beating it; who asks has to say why, too.
        days: how long the approval holds; the longest that is allowed when absent.
        seen: the beginning of the bundle id that was looked at; another bundle is refused.
        read: reads the bundle and checks its hashes.

    Raises:
        BundleRefused: the bundle is not sound, or its trainer approves.
        InputInvalid: a name, a note or the number of days is not as expected.
    """
    name, note = person(by), " ".join(note.split())
    if not folder.is_dir():
        raise BundleRefused(f"{folder}: expected a bundle folder; `leadwell train --bundle DIR` writes one")
    holds = rules.approval_days if days is None else days
    if not 1 <= holds <= rules.approval_days:
        raise InputInvalid("--days", f"expected 1 to {rules.approval_days} days")
    bundle = read(folder)
    if seen and not bundle.bundle_id.startswith(seen.lower()):
        raise BundleRefused(f"{folder}: holds the bundle {bundle.bundle_id[:12]}, not {seen}: look at it again")
    for trainer in trainers(bundle.manifest.training):
        if same_person(name, trainer):
            raise BundleRefused(f"{folder}: trained by {trainer}, who may be {name}: a second person approves")
    found = overrides(bundle.manifest.training)
    if found and not note:
        said = "\n".join(f"{folder}: {line}" for line in found)
        raise InputInvalid("--note", f"expected why it may serve all the same\n{said}")
    says: dict[str, Any] = {
        "expires_on": (as_of.date() + timedelta(days=holds)).isoformat(),
        "card": card_hash(folder),
        "overrides": list(found),
        "despite_gate": " ".join(despite_gate.split()),
        "note": note,
    }
    with writing(artifacts, as_of) as ledger:
        return ledger.append("approved", by=name, bundle_id=bundle.bundle_id, as_of=as_of, says=says)


def withdraw(artifacts: Path, bundle_id: str, *, by: str, reason: str, as_of: datetime) -> Entry:
    """Take back every approval of a bundle, as anybody may; raises NotReady where there is none.

    A champion serves on until `leadwell rollback` or another promotion; no promotion or rollback brings it back.
    """
    name, why = person(by), " ".join(reason.split())
    if not why:
        raise InputInvalid("--reason", "expected why the approval is taken back")
    with writing(artifacts, as_of) as ledger:
        ids = {e.bundle_id for e in ledger.history.entries if e.kind == "approved" and e.bundle_id}
        matching = sorted(found for found in ids if found.startswith(bundle_id)) if bundle_id else []
        if len(matching) != 1 or not standing(ledger.history, matching[0]):
            raise NotReady(
                f"{bundle_id or 'no bundle'}: no approval to take back; `leadwell registry history --all` shows them"
            )
        return ledger.append("withdrawn", by=name, bundle_id=matching[0], as_of=as_of, says={"reason": why})


def standing(history: History, bundle_id: str) -> tuple[Entry, ...]:
    """The approvals of a bundle that nobody took back, run out or not, oldest first."""
    back = max((entry.number for entry in entries_about(history, bundle_id, "withdrawn")), default=0)
    return tuple(entry for entry in entries_about(history, bundle_id, "approved") if entry.number > back)


def withdrawn(history: History, bundle_id: str) -> bool:
    """Whether the last word on a bundle is that its approval was taken back."""
    return any(entries_about(history, bundle_id, "withdrawn")) and not standing(history, bundle_id)


def valid_approvals(
    history: History, bundle: Bundle, folder: Path, *, asks: str, on: date
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The approvals that let somebody promote a bundle on a day, and why each of the others does not."""
    good: list[Entry] = []
    why: list[str] = []
    for entry in standing(history, bundle.bundle_id):
        objection = _objection(entry, bundle, folder, asks, on)
        if objection is None:
            good.append(entry)
        else:
            why.append(f"approved by {entry.by}, but {objection}")
    if not good and withdrawn(history, bundle.bundle_id):
        last = max(entries_about(history, bundle.bundle_id, "withdrawn"), key=lambda entry: entry.number)
        why.append(f"{last.by} took the approval back: {last.says['reason']}")
    return tuple(good), tuple(why)


def _objection(entry: Entry, bundle: Bundle, folder: Path, asks: str, on: date) -> str | None:
    """Why an approval does not count for this person on this day, None where it does."""
    # INVARIANT: nobody promotes on an approval of their own, nor on one of the person who trained the bundle.
    if same_person(entry.by, asks):
        return "that may be who asks for the promotion: a second person approves"
    if any(same_person(entry.by, trainer) for trainer in trainers(bundle.manifest.training)):
        return "that may be who trained it: a second person approves"
    if date.fromisoformat(entry.says["expires_on"]) < on:
        return f"only until {entry.says['expires_on']}"
    if entry.says.get("card") != card_hash(folder):
        return "the model card was another one then"
    return None
