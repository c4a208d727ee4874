"""What `monitoring.yaml` holds: when a difference between two nightly results becomes an alert, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "monitoring.yaml"

Watched = Literal[
    "rows", "rejected", "input", "score", "band", "segment", "status", "permit", "rule", "action", "calibration"
]
# What each limit is a limit of: a share or a count against itself, a share in points of a hundred, a distribution.
LIMITS: Mapping[str, tuple[str, ...]] = {
    "rows": ("relative",),
    "rejected": ("points", "relative"),
    "input": ("psi",),
    "score": ("psi",),
    "band": ("points", "relative"),
    "segment": ("points", "relative"),
    "status": ("points", "relative"),
    "permit": ("points", "relative"),
    "rule": ("points", "relative"),
    "action": ("points", "relative"),
    "calibration": ("points", "relative"),
}


class AlertRule(Section):
    """When a difference is told to whom: it must be beyond noise, and at or over every limit that is given.

    `points` are points of a hundred, `relative` is the change as a part of the earlier value, `psi` a population
    stability index. `direction` says whether a rise, a fall or either alerts. `only` and `never` name what is watched;
    a name may be the first part of one ("email" of "email FRQ-01").
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,63}$")
    watch: Watched
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    direction: Literal["either", "up", "down"] = "either"
    points: float | None = Field(default=None, gt=0, le=100)
    relative: float | None = Field(default=None, gt=0)
    psi: float | None = Field(default=None, gt=0)
    owner: str = Field(min_length=1)
    says: str = Field(min_length=1, description="what the owner does about it")

    @model_validator(mode="after")
    def _has_a_limit(self) -> AlertRule:
        given = [name for name in ("points", "relative", "psi") if getattr(self, name) is not None]
        wrong = [name for name in given if name not in LIMITS[self.watch]]
        if not given or wrong:
            raise ValueError(f"expected a limit of {' or '.join(LIMITS[self.watch])} for {self.watch}")
        if self.direction != "either" and "psi" in given:
            raise ValueError("expected no direction beside psi: a distribution has none")
        return self

    def is_about(self, name: str) -> bool:
        """Whether what has this name is watched by this rule."""
        return (not self.only or _named(name, self.only)) and not _named(name, self.never)


class MonitoringSettings(Section):
    """How two results of `leadwell rescore` are compared, and what is an alert.

    `blocks` is how many groups of whole accounts noise is told from, `flips` how often old and new are exchanged in
    them by chance, `level` the chance that anything at all is called beyond noise where nothing drifts.
    """

    blocks: int = Field(default=1_000, ge=50, le=5_000)
    flips: int = Field(default=2_000, ge=500, le=20_000)
    level: float = Field(default=0.05, ge=0.001, le=0.2)
    min_leads: int = Field(default=50, ge=1, description="what held fewer leads in both results alerts nobody")
    most_inputs: int = Field(default=20_000, ge=500, description="leads whose features are computed again")
    min_outcomes: int = Field(default=20, ge=1, description="fewer known outcomes do not judge a prediction")
    alerts: tuple[AlertRule, ...] = ()


def _named(name: str, among: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one} ") for one in among)


def monitoring_problems(found: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with `monitoring.yaml`: two alerts of one id, a segment, channel or rule that does not exist."""
    settings: MonitoringSettings = found["monitoring"]
    problems = []
    channels = found["vocabularies"]["channel"].values
    rules = {card.id for card in found["rules"]}
    known: Mapping[str, Collection[str]] = {
        "segment": {definition.id for definition in found["segments"]},
        "permit": channels,
    }
    seen: set[str] = set()
    for rule in settings.alerts:
        if rule.id in seen:
            problems.append(Problem(FILE, f"alerts[{rule.id}].id", "expected each id once"))
        seen.add(rule.id)
        for name in (*rule.only, *rule.never):
            if rule.watch in known and name not in known[rule.watch]:
                problems.append(Problem(FILE, f"alerts[{rule.id}].only", f"no {rule.watch} is named {name!r}"))
            if rule.watch == "rule" and not (name in channels or name.rpartition(" ")[2] in rules):
                problems.append(
                    Problem(FILE, f"alerts[{rule.id}].only", f"expected a channel, a rule, or both, found {name!r}")
                )
    return problems
