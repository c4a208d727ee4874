"""Which differences somebody has to look at: beyond noise, and at or over every limit that a rule gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.monitoring import AlertRule, MonitoringSettings
from training.monitoring.watch import Alert, Watch

SEGMENT_OWNER = "the segment's owner"


def alerts_of(
    watches: Sequence[Watch], settings: MonitoringSettings, owners: Mapping[str, str] | None = None
) -> tuple[Alert, ...]:
    """One alert for each declared rule and owner that anything falls under, in the order of the rules.

    `owners` are those of segments, for rules that leave it to the segment's own.

    INVARIANT: what is not beyond noise alerts nobody, whatever its size.
    """
    found = []
    for rule in settings.alerts:
        by_owner: dict[str, list[Watch]] = {}
        for watch in watches:
            if watch.kind == rule.watch and rule.is_about(watch.name) and is_over(rule, watch, settings.min_leads):
                own = (owners or {}).get(watch.name, rule.owner) if rule.owner == SEGMENT_OWNER else rule.owner
                by_owner.setdefault(own, []).append(watch)
        for owner, moved in by_owner.items():
            moved.sort(key=lambda watch: -abs(watch.change))
            names = tuple(watch.name for watch in moved)
            says = tuple(watch.says for watch in moved)
            found.append(Alert(rule.id, rule.watch, owner, rule.says, limit_of(rule), names, says))
    return tuple(found)


def is_over(rule: AlertRule, watch: Watch, min_leads: int) -> bool:
    """Whether a watch is beyond noise, moved the rule's way, and is at or over every limit of it."""
    if not watch.beyond or (watch.measure == "share" and watch.kind != "rejected" and max(watch.hits) < min_leads):
        return False
    if rule.direction != "either" and (watch.change > 0) != (rule.direction == "up"):
        return False
    if rule.psi is not None:
        return watch.measure == "psi" and watch.change >= rule.psi
    # Exactly the limit is over it, though a share of leads is seldom a round binary number.
    near = 1 - 1e-9
    if rule.points is not None and abs(watch.change) * 100 < rule.points * near:
        return False
    # From nothing to something is more than any part of it.
    part = watch.relative
    return rule.relative is None or part is None or abs(part) >= rule.relative * near


def limit_of(rule: AlertRule) -> str:
    """The limits of a rule in words."""
    way = {"either": "a change of", "up": "a rise of", "down": "a fall of"}[rule.direction]
    parts = [f"{rule.points:g} points"] if rule.points is not None else []
    parts += [f"{rule.relative:.0%} of itself"] if rule.relative is not None else []
    return f"PSI {rule.psi:g} or more" if rule.psi is not None else f"{way} {' and '.join(parts)} or more"
