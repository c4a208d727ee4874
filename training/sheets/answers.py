"""Who answers what about personal data, content and readiness: the same people for every segment and bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from configs.data_use import DataKind
from configs.settings import Settings
from training.monitoring.alerts import SEGMENT_OWNER

# A field of these tables is a field of the person's record or of its account's.
_TABLES = {"leads": "lead_fields", "accounts": "account_fields"}


def kinds_of(settings: Settings, source: str) -> tuple[DataKind, ...]:
    """The kinds of data that a fact or feature from such a place is: `leads.role`, `accounts.kind`, `events`."""
    table, _, field = source.partition(".")
    field = field.partition(" ")[0].partition(",")[0]
    if table in _TABLES:
        return tuple(kind for kind in settings.data_use.kinds if field in getattr(kind, _TABLES[table]))
    if table == "events" or source.startswith("event"):
        return tuple(kind for kind in settings.data_use.kinds if kind.events and kind.id != "medical_inquiry")
    return tuple(kind for kind in settings.data_use.kinds if table.partition(",")[0] in kind.tables)


def use_rules(settings: Settings, kinds: Iterator[DataKind] | tuple[DataKind, ...]) -> list[tuple[str, str]]:
    """The rules that these kinds of data are under, each once: its id, and what it asks."""
    wanted = dict.fromkeys(rule for kind in kinds for rule in kind.rules)
    wanted |= dict.fromkeys((settings.data_use.source_rule, settings.data_use.purpose_rule))
    found = []
    for rule_id in wanted:
        rule = settings.data_use.rule(rule_id)
        told = f"{rule.title}; what does not meet it is withheld. Reviewed by {rule.review.owner}"
        found.append((f"rule {rule.id}", f"{told}, again on {rule.review.next}."))
    return found


def who_answers(settings: Settings, segment_owner: str = SEGMENT_OWNER) -> list[tuple[str, str]]:
    """What is asked, and who answers it, from the configuration's own owners, queues and alerts."""
    queues = settings.actions.queues
    privacy = Counter(rule.review.owner for rule in settings.data_use.rules).most_common(1)
    alerts: dict[str, list[str]] = {}
    for rule in settings.monitoring.alerts:
        owner = segment_owner if rule.owner == SEGMENT_OWNER else rule.owner
        alerts.setdefault(owner, []).append(rule.id.replace("_", " "))
    questions = [
        ("may this be used or kept", privacy[0][0] if privacy else ""),
        ("a question beyond the label", queues.get("off_label", "")),
        ("a side effect or a complaint about a product", queues.get("adverse_event", "")),
        ("a complaint", queues.get("complaint", "")),
        ("may this be said (claims, indications)", queues.get("review", "")),
        ("a wrong or doubled record", "data steward"),
    ]
    found = [(what, who.replace("_", " ")) for what, who in questions if who]
    return found + [(f"alerts: {', '.join(names)}", owner) for owner, names in alerts.items()]
