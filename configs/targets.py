"""What is predicted: which outcomes count, within how many days, for whom; one target serves, others may be trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import Field

from configs.definitions import SegmentDefinition
from configs.errors import Problem
from configs.section import Section

FILE = "targets.yaml"
MAX_TARGETS = 16
ID = r"^[a-z][a-z0-9_]{1,31}$"


class Override(Section):
    """What a product or a segment says otherwise; what it leaves out stays as it is."""

    kinds: tuple[str, ...] | None = Field(default=None, min_length=1)
    horizon_days: int | None = Field(default=None, ge=1, le=1825)


class Target(Section):
    """One question about a lead's future: does any of these outcomes come within so many days?

    A lead's primary segment is asked first, then its product, then the target itself, for kinds and horizon each.
    `declared` takes the kind from the segment's own `conversion_event`. A `first` target is asked of those alone whom
    no such outcome is known of yet.
    """

    id: str = Field(pattern=ID)
    says: str = Field(min_length=3)
    kinds: tuple[str, ...] = Field(min_length=1)
    horizon_days: int = Field(ge=1, le=1825)
    serves: bool = False
    declared: bool = False
    first: bool = False
    products: Mapping[str, Override] = Field(default_factory=dict)
    segments: Mapping[str, Override] = Field(default_factory=dict)

    def asked(
        self, segment: SegmentDefinition | None, product: str | None, known: Sequence[str]
    ) -> tuple[tuple[str, ...], int]:
        """Kinds and days that count for a lead of a segment and a product; `known` are the outcomes that exist.

        A declared conversion event that is no known outcome counts as not declared: `segments lint` complains of it.
        """
        own = self.segments.get(segment.id, _NOTHING) if segment is not None else _NOTHING
        its = self.products.get(product, _NOTHING) if product is not None else _NOTHING
        event = segment.conversion_event if segment is not None and self.declared else ""
        declared = (event,) if event in known else None
        kinds = own.kinds or declared or its.kinds or self.kinds
        return kinds, own.horizon_days or its.horizon_days or self.horizon_days

    @property
    def longest_days(self) -> int:
        """The longest horizon that anybody is asked with."""
        others = (*self.products.values(), *self.segments.values())
        return max(self.horizon_days, *(other.horizon_days or 0 for other in others), 0)


_NOTHING = Override()


class HistorySettings(Section):
    """What is known of the records themselves; a start that is not given is found in the data.

    Before `min_event_days` of recorded events a row is left out. A warning is given when more than
    `max_unrecorded_share` of the latest outcomes are estimated to be still unrecorded; `settle_days` is how long to
    wait for them after a horizon.
    """

    outcomes_from: date | None = None
    events_from: date | None = None
    min_event_days: int = Field(ge=0, default=30)
    settle_days: int = Field(ge=0, default=0)
    max_unrecorded_share: float = Field(gt=0, lt=1, default=0.05)


class TargetSettings(Section):
    """Every declared target, the stages of the funnel in order, and what is known of the records' history.

    A stage is reached by its own kinds or by those of any later stage.
    """

    targets: tuple[Target, ...] = Field(min_length=1, max_length=MAX_TARGETS)
    funnel: tuple[str, ...] = ()
    history: HistorySettings = HistorySettings()

    @property
    def served(self) -> Target:
        """The target that `readiness` in an answer is about."""
        return next(target for target in self.targets if target.serves)

    @property
    def by_id(self) -> Mapping[str, Target]:
        """Targets by id, funnel stages with every kind that reaches them."""
        found = {target.id: target for target in self.targets}
        reached: tuple[str, ...] = ()
        for stage in reversed(self.funnel):
            reached = (*found[stage].kinds, *(kind for kind in reached if kind not in found[stage].kinds))
            found[stage] = found[stage].model_copy(update={"kinds": reached})
        return found

    @property
    def stages(self) -> tuple[Target, ...]:
        """The stages of the funnel in order; each one's kinds hold those of every later one."""
        return tuple(self.by_id[stage] for stage in self.funnel)

    def own_kinds(self, stage: str) -> tuple[str, ...]:
        """The outcomes that are a stage itself, without those of later stages."""
        return next(target.kinds for target in self.targets if target.id == stage)


def target_problems(found: Mapping[str, Any]) -> list[Problem]:
    """Every mistake in the targets that needs the other files: names that nobody declared, no single served one."""
    settings: TargetSettings = found["targets"]
    return [Problem(FILE, key, says) for key, says in _problems(settings, found)]


def _problems(settings: TargetSettings, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ids = [target.id for target in settings.targets]
    for twice in sorted({one for one in ids if ids.count(one) > 1}):
        yield f"targets.{twice}", "id given twice"
    serving = [target for target in settings.targets if target.serves]
    if len(serving) != 1:
        named = ", ".join(target.id for target in serving) or "none"
        yield "targets", f"expected exactly one target with serves: true, found {named}"
    for target in serving:
        if target.first or target.longest_days != target.horizon_days or _shorter(target):
            yield (
                f"targets.{target.id}",
                "serves, so expected one horizon for everybody and no first: answers are compared with each other",
            )
    for place, stage in enumerate(settings.funnel):
        if stage not in ids or settings.funnel.index(stage) != place:
            yield f"funnel.{place}", f"expected the id of a target, each once: {', '.join(ids)}"
        elif any(target.id == stage and (target.declared or target.segments or target.products)
                 for target in settings.targets):  # fmt: skip
            yield f"funnel.{place}", f"{stage} is a stage for everybody, so expected no declared, products or segments"
    outcomes = found["vocabularies"]["outcome_kind"].values
    products = found["vocabularies"]["product"].values
    segments = {definition.id for definition in found["segments"]}
    for target in settings.targets:
        yield from _names(target, outcomes, products, segments)


def _shorter(target: Target) -> bool:
    others = (*target.products.values(), *target.segments.values())
    return any(other.horizon_days not in (None, target.horizon_days) for other in others)


def _names(
    target: Target, outcomes: Sequence[str], products: Sequence[str], segments: set[str]
) -> Iterator[tuple[str, str]]:
    place = f"targets.{target.id}"
    given = {"kinds": target.kinds}
    for part, overrides in (("products", target.products), ("segments", target.segments)):
        given |= {f"{part}.{name}.kinds": override.kinds or () for name, override in overrides.items()}
    for key, kinds in given.items():
        for kind in kinds:
            if kind not in outcomes:
                yield f"{place}.{key}", f"{kind!r} is not a declared outcome: {', '.join(outcomes)}"
    for product in target.products:
        if product not in products:
            yield f"{place}.products", f"{product!r} is no product: {', '.join(products)}"
    for segment in target.segments:
        if segment not in segments:
            yield f"{place}.segments", f"no segment is named {segment!r}"
