"""The BentoML service: it reads the champion bundle at its start and puts the guard and the scoring app in front.

Environment, read once: LEADWELL_API_KEY (several, comma-separated, while a key is rotated), LEADWELL_LIFT_KEY (keys
that may lift stops besides; without one nobody may over HTTP), LEADWELL_ALLOW_NO_KEY, LEADWELL_BUNDLE or
LEADWELL_CHAMPION, LEADWELL_CONFIGS, LEADWELL_AUDIT, LEADWELL_STORE (a file or postgresql://..., `none` for none; the
file store.db beside the audit folder when absent), LEADWELL_AS_OF, LEADWELL_WORKERS.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bentoml

from configs.errors import InputInvalid, LeadwellError
from configs.settings import load_settings
from serving.app import Front, Scoring, build_app
from serving.guard import Guard, JsonLines, Keys, TogetherHandler
from serving.start import champion_bundle, start_contact, start_scoring, steady

CONFIGS = os.environ.get("LEADWELL_CONFIGS")
SETTINGS = load_settings(Path(CONFIGS) if CONFIGS else None)
AUDIT = Path(os.environ.get("LEADWELL_AUDIT", "artifacts/audit"))
STORE = os.environ.get("LEADWELL_STORE") or str(AUDIT.parent / "store.db")
KEYS = Keys.of(
    os.environ.get("LEADWELL_API_KEY"),
    allow_none=os.environ.get("LEADWELL_ALLOW_NO_KEY") == "1",
    lifting=os.environ.get("LEADWELL_LIFT_KEY"),
)
log = logging.getLogger("leadwell.serving")


def clock_of(pinned: str | None) -> Callable[[], datetime]:
    """The server's clock: the real one, or one pinned to an instant for demos and tests."""
    if not pinned:
        return lambda: datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(pinned)
    except ValueError:
        raise InputInvalid("LEADWELL_AS_OF", "expected a date or an instant such as 2026-06-30T00:00:00Z") from None
    fixed = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return lambda: fixed


def log_json_lines() -> None:
    """Send this package's log to standard error, one JSON object a line."""
    # A line names neither thread nor process, so no record needs to ask for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    stream = TogetherHandler()
    stream.setFormatter(JsonLines())
    root = logging.getLogger("leadwell")
    root.handlers, root.propagate = [stream], False
    root.setLevel(logging.INFO)


log_json_lines()
SCORING = Scoring(SETTINGS, clock_of(os.environ.get("LEADWELL_AS_OF")))


@bentoml.service(
    name="lead_scoring",
    workers=int(os.environ.get("LEADWELL_WORKERS", "1")),
    traffic={"timeout": SETTINGS.serving.timeout_seconds, "max_concurrency": SETTINGS.serving.max_concurrency},
    metrics={"enabled": True, "namespace": "lead_scoring"},
    logging={"access": {"enabled": False}},
    # No exporter is configured: a span of each request would be made only to be thrown away.
    tracing={"excluded_urls": ["/v1/score"]},
)
class LeadScoring:
    """Scores leads; alive without a bundle, ready with one."""

    def __init__(self) -> None:
        # Stops are taken whether or not there is a bundle to score with.
        if STORE != "none":
            start_contact(SCORING, AUDIT, STORE)
        # A worker that cannot read its bundle stays alive and says what to run; it never answers from something older.
        try:
            bundle, expected = champion_bundle(os.environ.get("LEADWELL_BUNDLE"), os.environ.get("LEADWELL_CHAMPION"))
            start_scoring(SCORING, bundle, AUDIT, expected=expected)
            steady()
        except LeadwellError as error:
            SCORING.missing = str(error)
            log.error("not ready", extra={"fields": {"reason": str(error)}})

    @bentoml.on_shutdown
    def close(self) -> None:
        """Note the head of the audit chain, so that no tail can be cut off unseen after an orderly stop."""
        if SCORING.journal is not None:
            SCORING.journal.close()
        if SCORING.contact is not None:
            SCORING.contact.close()

    async def __is_ready__(self) -> bool:
        """Whether a bundle was read, leads can be scored, and the store answers."""
        return await SCORING.reachable()


# BentoML's decorator makes a service of the class, which its types do not say.
SERVICE: Any = LeadScoring
SERVICE.add_asgi_middleware(Guard, keys=KEYS, max_body=SETTINGS.serving.max_bulk_bytes)
SERVICE.add_asgi_middleware(Front, own=build_app(lambda: SCORING))
