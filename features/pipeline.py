"""Features of leads as of an instant: one function for training, rescoring and one lead online.

A fitted `FeatureSpec` travels in the bundle: it says which columns there are, and which categories an attribute had.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import field as field_of
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.mapping import AttributeColumn, SourceMapping
from configs.measures import FeatureSettings
from configs.settings import Settings
from configs.vocabulary import Vocabulary, normalize
from features.account import ROLL_UP, AccountRules, roll_up
from features.catalog import FROM_EVENTS, Feature, declared_features, vocabulary_of
from features.columns import CERTAIN, available_threads, exact, in_ranges
from features.engagement import EngagementPlan, Measures, measure
from features.fill import fill_decays, fill_features, fill_role_signals, fill_shares, fill_suspect
from features.fit import fill_fit
from features.history import FIELD_DAYS, HistoryPlan
from features.human import HumanRules
from features.tables import Known, Tables
from features.view import ViewRules, view_at

MAX_CATEGORIES = 250
AttributeType = Literal["number", "category", "yesno"]


@dataclass(frozen=True)
class FeatureSpec:
    """The fitted definition of a feature matrix: its columns in order and the categories of each coded one.

    `mail_domains` are log-odds of mail domains whose gateways open and click unasked, as learned at fit.
    """

    features: tuple[Feature, ...]
    settings: FeatureSettings
    values: Mapping[str, tuple[str, ...]]
    categories: Mapping[str, tuple[str, ...]]
    decision_maker: int
    mail_domains: Mapping[str, float] = field_of(default_factory=dict)

    def human_rules(self, vocabularies: Mapping[str, Vocabulary]) -> HumanRules | None:
        """The evidence of who made an event that these features rest on, with the mail domains learned at fit."""
        return HumanRules.of(self.settings.human, vocabularies, self.mail_domains)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """Indices of the categorical columns."""
        return tuple(i for i, feature in enumerate(self.features) if feature.categorical)

    @cached_property
    def monotone(self) -> tuple[int, ...]:
        """Sign per column; always 0 for a categorical one."""
        return tuple(0 if feature.categorical else feature.monotone for feature in self.features)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Group per column: fit, engagement or account."""
        return tuple(feature.group for feature in self.features)

    @cached_property
    def plan(self) -> EngagementPlan:
        """What the engagement kernel measures."""
        return EngagementPlan(self.settings, self.values)

    @cached_property
    def version(self) -> str:
        """SHA-256 of the whole definition."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: the same text for the same definition."""
        content = {
            "features": [asdict(feature) for feature in self.features],
            "settings": self.settings.model_dump(mode="json"),
            "values": self.values,
            "categories": self.categories,
            "decision_maker": self.decision_maker,
            "mail_domains": self.mail_domains,
        }
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """Read back what `to_json` wrote."""
        content = json.loads(text)
        return cls(
            features=tuple(Feature(**feature) for feature in content["features"]),
            settings=FeatureSettings.model_validate(content["settings"]),
            values={name: tuple(values) for name, values in content["values"].items()},
            categories={name: tuple(values) for name, values in content["categories"].items()},
            decision_maker=content["decision_maker"],
            mail_domains=content.get("mail_domains", {}),
        )

    def measures_alike(self, plan: EngagementPlan) -> bool:
        """Whether another plan measures the same; one that does is remembered, since comparing costs microseconds."""
        if plan is self.plan or self._alike.get(id(plan)) is plan:
            return True
        if plan.key != self.plan.key:
            return False
        self._alike.clear()
        self._alike[id(plan)] = plan
        return True

    @cached_property
    def _alike(self) -> dict[int, EngagementPlan]:
        return {}

    @cached_property
    def _layout(self) -> _Layout:
        return _Layout.of(self)


@dataclass(frozen=True, slots=True)
class Features:
    """A feature matrix: one row per lead id, one column per feature, NaN = unknown."""

    lead_ids: NDArray[np.object_]
    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    spec: FeatureSpec


@dataclass(frozen=True, slots=True)
class Signals:
    """What features and facts share, so that it is computed once.

    Engagement measures, the account roll-up, and the history of our own touches.
    """

    measures: Measures
    roll_up: NDArray[np.int32]
    history: NDArray[np.int32]

    @property
    def days_since_field_touch(self) -> NDArray[np.int32]:
        """Days since a representative last visited each lead; -1 where never, unknown or not declared."""
        found: NDArray[np.int32] = self.history[FIELD_DAYS] if len(self.history) else self.roll_up[0] * 0 - 1
        return found


def signals_of(known: Known, plan: EngagementPlan, decision_maker: int, *, threads: int | None = None) -> Signals:
    """Measure engagement, roll it up over accounts, and take the history of our own touches."""
    measures = measure(known, plan, threads=threads)
    accounts, history = _beside(plan)
    return Signals(measures, roll_up(known, measures, decision_maker, accounts), history.take(known))


def _beside(plan: EngagementPlan) -> tuple[AccountRules, HistoryPlan]:
    """What else a plan implies, resolved once for each plan: resolving costs more than one lead's features."""
    found = plan.__dict__.get("_beside")
    if found is None:
        found = plan.__dict__["_beside"] = (AccountRules.of(plan), HistoryPlan(plan))
    return found


def build_features(tables: Tables, as_of: datetime, spec: FeatureSpec, rules: ViewRules) -> Features:
    """The feature matrix of what of these tables was known at `as_of` and may be used."""
    return features_of(view_at(tables, as_of, rules), spec)


def features_of(
    known: Known, spec: FeatureSpec, signals: Signals | None = None, *, threads: int | None = None
) -> Features:
    """The feature matrix of what is known; `signals` taken by the same plan are used instead of measuring again."""
    plan, layout, n = spec.plan, spec._layout, len(known.lead_ids)
    matrix = np.empty((n, len(spec.features)), dtype=np.float64)
    if layout.needs_signals:
        if signals is None or not spec.measures_alike(signals.measures.plan):
            signals = signals_of(known, plan, spec.decision_maker, threads=threads)
        _fill_signals(known, signals, layout, matrix, threads or available_threads())
    fill_fit(known, matrix, layout.lead, layout.account, layout.days, layout.verified)
    for column, feature in layout.attributes:
        matrix[:, column] = _attribute(known.attributes.get(feature.field), spec.categories.get(feature.name), n)
    return Features(known.lead_ids, spec.names, matrix, spec)


def _fill_signals(known: Known, signals: Signals, layout: _Layout, matrix: NDArray[np.float64], threads: int) -> None:
    measures, n = signals.measures, len(matrix)

    def fill(_: int, start: int, stop: int) -> None:
        fill_features(measures.counts, *layout.measures, start, stop, matrix)
        fill_features(signals.roll_up, *layout.roll_up, start, stop, matrix)
        fill_features(signals.history, *layout.history, start, stop, matrix)
        fill_shares(measures.counts, *layout.shares, start, stop, matrix)
        fill_shares(signals.roll_up, *layout.roll_up_shares, start, stop, matrix)
        if measures.supplied:
            fill_decays(measures.decays, *layout.decays, start, stop, matrix)

    in_ranges(fill, n, threads)
    if not measures.supplied:
        matrix[:, layout.decays[1]] = np.nan
    if layout.suspect_share >= 0:
        fill_suspect(measures.decays, measures.supplied, layout.suspect_share, matrix)
    if len(layout.role_signals[0]):
        fill_role_signals(measures.counts, exact(known.leads, "role", np.uint8, n), *layout.role_signals, matrix)


def _attribute(column: NDArray[Any] | None, categories: tuple[str, ...] | None, n: int) -> NDArray[np.float64]:
    """An attribute's values as numbers; a category not seen at fit, and anything that is not a number, is unknown."""
    if column is None:
        return np.full(n, np.nan)
    if categories is not None:
        codes = {value: float(code) for code, value in enumerate(categories, start=1)}
        return np.array([codes.get(_text(value), np.nan) for value in column], dtype=np.float64)
    if column.dtype.kind in "fiub":
        found: NDArray[np.float64] = column.astype(np.float64)
        return np.where(np.isfinite(found), found, np.nan)
    return np.array([_number(value) for value in column], dtype=np.float64)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _number(value: object) -> float:
    if not isinstance(value, bool | int | float | str):
        return np.nan
    try:
        number = float(value)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


# Rows of a source, columns of the matrix, and of how many parts of one each number is.
_Filled = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
# Rows of a source, rows that they are a share of, and columns of the matrix.
_Share = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where each source's values go: rows of the source and columns of the matrix, resolved once per spec."""

    needs_signals: bool
    measures: _Filled
    decays: tuple[NDArray[np.int64], NDArray[np.int64]]
    roll_up: _Filled
    history: _Filled
    shares: _Share
    roll_up_shares: _Share
    suspect_share: int
    role_signals: tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]
    lead: tuple[tuple[str, ...], NDArray[np.int64]]
    account: tuple[tuple[str, ...], NDArray[np.int64]]
    days: tuple[tuple[str, ...], tuple[int, ...]]
    verified: int
    attributes: tuple[tuple[int, Feature], ...]

    @classmethod
    def of(cls, spec: FeatureSpec) -> _Layout:
        def placed(source: str) -> list[tuple[str, int]]:
            return [(f.field, i) for i, f in enumerate(spec.features) if f.source == source]

        def rows(source: str, names: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            pairs = placed(source)
            found = [names.index(name) for name, _ in pairs]
            return np.array(found, dtype=np.int64), np.array([i for _, i in pairs], dtype=np.int64)

        def fields(source: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
            pairs = placed(source)
            return tuple(name for name, _ in pairs), np.array([i for _, i in pairs], dtype=np.int64)

        def filled(source: str, names: tuple[str, ...], parts: NDArray[np.float64]) -> _Filled:
            at, columns = rows(source, names)
            return at, columns, parts[at]

        def shares(source: str, names: tuple[str, ...]) -> _Share:
            pairs = [(*name.split("/"), i) for name, i in placed(source)]
            found = [[names.index(part), names.index(whole), i] for part, whole, i in pairs]
            at, of, columns = np.array(found, dtype=np.int64).reshape(-1, 3).T.copy()
            return at, of, columns

        def role_signals() -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
            """Columns, and for each of them which rows are added up for which roles."""
            pairs, window = placed("role_signal"), spec.settings.topic_window_days
            added = np.zeros((len(pairs), len(plan.names)), dtype=np.bool_)
            roles = np.zeros((len(pairs), 256), dtype=np.bool_)
            for row, (name, _) in enumerate(pairs):
                signal = spec.settings.role_signals[name]
                added[row, [plan.row[f"topic_{topic}_count_{window}d"] for topic in signal.topics]] = True
                roles[row, [plan.values["role"].index(role) + 1 for role in signal.roles]] = True
            return np.array([i for _, i in pairs], dtype=np.int64), added, roles

        plan, history = spec.plan, _beside(spec.plan)[1]
        days = placed("days")
        verified, suspect = placed("verified"), placed("suspect_share")
        return cls(
            needs_signals=any(f.source in (*FROM_EVENTS, "roll_up", "roll_up_share", "history") for f in spec.features),
            measures=filled("measure", plan.names, np.where(plan.weighted, float(CERTAIN), 1.0)),
            decays=rows("decay", plan.decay_names),
            roll_up=filled("roll_up", ROLL_UP, np.ones(len(ROLL_UP))),
            history=filled("history", history.names, history.parts),
            shares=shares("share", plan.names),
            roll_up_shares=shares("roll_up_share", ROLL_UP),
            suspect_share=suspect[0][1] if suspect else -1,
            role_signals=role_signals(),
            lead=fields("lead"),
            account=fields("account"),
            days=(tuple(name for name, _ in days), tuple(i for _, i in days)),
            verified=verified[0][1] if verified else -1,
            attributes=tuple((i, f) for i, f in enumerate(spec.features) if f.source == "attribute"),
        )


def fit_spec(settings: Settings, tables: Tables | None = None, mapping: SourceMapping | None = None) -> FeatureSpec:
    """Decide the columns of a feature matrix.

    Without tables: every declared feature. With the tables of a flat export: its attributes too, and of the declared
    features only those that its tables can ever tell.

    Args:
        settings: the configuration.
        tables: what the model will be trained on.
        mapping: the source mapping that declares the type and group of each attribute.
    """
    vocabularies = settings.vocabularies
    features = declared_features(settings.features, vocabularies)
    categories = {f.name: vocabularies[vocabulary_of(f)].values for f in features if f.categorical}
    if tables is not None and (tables.attributes or not tables.events):
        features = tuple(feature for feature in features if _tellable(feature, tables))
    declared = {column.column: column for column in mapping.attributes} if mapping else {}
    taken = {feature.name for feature in features}
    for field in sorted(tables.attributes) if tables is not None else ():
        column = tables.attributes[field] if tables is not None else np.empty(0)
        feature, kind = _attribute_feature(field, column, declared.get(field), taken)
        features = (*features, feature)
        taken.add(feature.name)
        if kind == "category":
            categories[feature.name] = _learned(column)
    influence = vocabularies["influence"]
    return FeatureSpec(
        features=features,
        settings=settings.features,
        values=EngagementPlan.of(settings.features, vocabularies).values,
        categories={feature.name: categories[feature.name] for feature in features if feature.categorical},
        decision_maker=influence.code("decision_maker"),
    )


def _attribute_feature(
    field: str, column: NDArray[Any], declared: AttributeColumn | None, taken: set[str]
) -> tuple[Feature, AttributeType]:
    group = declared.group if declared else "fit"
    kind: AttributeType = declared.type if declared else "category" if column.dtype == object else "number"
    base = f"{group}_{normalize(field) or 'attribute'}"
    name = next(n for n in (base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    says = declared.says if declared and declared.says else f"The export's column {field}"
    special = declared.declared if declared else ""
    return Feature(name, group, says, 0, kind == "category", "attribute", field, special), kind


def _learned(column: NDArray[Any]) -> tuple[str, ...]:
    """The most frequent values, at most MAX_CATEGORIES, in order of the value itself."""
    counts = Counter(_text(value) for value in column if value is not None)
    counts.pop("", None)
    kept = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_CATEGORIES]
    return tuple(sorted(kept))


def _tellable(feature: Feature, tables: Tables) -> bool:
    """Whether these tables can ever tell this feature's value."""
    if feature.source in FROM_EVENTS:
        return bool(tables.events)
    if feature.source == "history":
        return bool(tables.touches)
    if feature.source in ("roll_up", "roll_up_share"):
        return bool(tables.events) and len(tables.account_ids) > 0
    column = (tables.accounts if feature.source == "account" else tables.leads).get(feature.field)
    if column is None or len(column) == 0:
        return False
    return bool(np.any(column > 0))
