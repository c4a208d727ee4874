"""What happens once when a worker starts: find the champion bundle, check it, build the decider, open the audit."""

from __future__ import annotations

import gc
import json
import sys
from datetime import UTC
from pathlib import Path

from configs.errors import BundleRefused, NotReady
from policy.audit import AuditLog, pseudonym_key
from serving.app import Journal, Scoring
from serving.decide import Decider
from serving.online import OnlineAnswerer

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


def start_scoring(scoring: Scoring, bundle: Path, audit: Path, *, expected: str | None = None) -> None:
    """Fill `scoring` from a bundle folder; raises before anything is served when the bundle is refused."""
    on = scoring.clock().astimezone(UTC).date()
    decider = Decider.load(bundle, scoring.settings, on=on)
    if expected is not None and decider.bundle_id != expected:
        raise BundleRefused(f"the bundle is not the one that was promoted: {MISSING}")
    answerer = OnlineAnswerer(decider, pseudonym_key(audit))
    answerer.warm_up(scoring.clock())
    every = scoring.settings.serving.audit_checkpoint_every
    scoring.journal = Journal(lambda: open_log(audit), checkpoint_every=every)
    scoring.answerer = answerer


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
