"""What happens once when a worker starts: find the champion bundle, check it, build the decider, open the audit."""

from __future__ import annotations

import gc
import json
import sys
from datetime import UTC
from pathlib import Path

from configs.errors import BundleRefused, NotReady
from policy.audit.archive import Archive
from policy.audit.log import AuditLog
from policy.audit.pseudonyms import pseudonym_key
from serving.app import Journal, Scoring
from serving.contact.contact import Contact
from serving.decide import Decider
from serving.online import OnlineAnswerer
from serving.store.engine import store_url

CHAMPION = Path("artifacts/champion.json")
MISSING = "run `leadwell train`, `leadwell registry approve`, then `leadwell promote`"


def champion_bundle(bundle: str | None, champion: str | None) -> tuple[Path, str | None]:
    """Folder of the bundle to serve, and its id where the champion file names it."""
    if bundle:
        if not Path(bundle).is_dir():
            raise NotReady(f"no bundle at the folder that LEADWELL_BUNDLE names: {MISSING}")
        return Path(bundle), None
    pointer = Path(champion) if champion else CHAMPION
    if not pointer.is_file():
        raise NotReady(f"no champion yet: {MISSING}")
    try:
        content = json.loads(pointer.read_text(encoding="utf-8"))
        target, bundle_id = Path(content["path"]), str(content["bundle_id"])
    except (ValueError, KeyError, TypeError):
        raise BundleRefused(f"the champion file cannot be read: {MISSING}") from None
    found = target if target.is_absolute() else pointer.parent / target
    if not found.is_dir():
        raise NotReady(f"the champion's bundle is gone: {MISSING}")
    return found, bundle_id


def start_contact(scoring: Scoring, audit: Path, store: str) -> None:
    """Let `scoring` take stops and check permits, with or without a bundle; a store that is down is opened later."""
    # A service that never scores keeps the book too that its checks name.
    scoring.contact = Contact(store_url(store), pseudonym_key(audit), scoring.settings, Archive(audit))
    scoring.contact.answers()
    if scoring.journal is None:
        scoring.journal = _journal(scoring, audit)


def start_scoring(
    scoring: Scoring, bundle: Path, audit: Path, *, expected: str | None = None, store: str | None = None
) -> None:
    """Fill `scoring` from a bundle folder; raises before anything is served when the bundle is refused.

    Args:
        scoring: what to fill.
        bundle: the trained bundle.
        audit: folder of the audit log and of the pseudonym key.
        expected: id of the bundle that was promoted, where that is known.
        store: file or URL of the store; without one answers carry no permits and no stops are taken.
    """
    if store is not None:
        start_contact(scoring, audit, store)
    on = scoring.clock().astimezone(UTC).date()
    decider = Decider.load(bundle, scoring.settings, on=on)
    if expected is not None and decider.bundle_id != expected:
        raise BundleRefused(f"the bundle is not the one that was promoted: {MISSING}")
    permitting = None if scoring.contact is None else scoring.contact.permitting
    answerer = OnlineAnswerer(decider, pseudonym_key(audit), Archive(audit), permitting)
    answerer.warm_up(scoring.clock())
    if scoring.journal is None:
        scoring.journal = _journal(scoring, audit)
    scoring.answerer = answerer


def _journal(scoring: Scoring, audit: Path) -> Journal:
    return Journal(lambda: open_log(audit), checkpoint_every=scoring.settings.serving.audit_checkpoint_every)


def steady() -> None:
    """Settle the process for short answers: what was loaded is never searched for garbage again, threads yield soon.

    The audit's thread needs the interpreter twice a write; at the default interval it would wait 5 ms each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(0.0005)


def open_log(audit: Path) -> AuditLog:
    """The log of this worker; a restarted one goes on where the one before it ended."""
    return AuditLog.claim(audit, "online")
