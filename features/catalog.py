"""The catalog: every feature declared, its name derived from its definition, with a sentence in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from configs.measures import FeatureSettings
from configs.vocabulary import Vocabulary
from features.account import ROLL_UP, SAYS
from features.engagement import EngagementPlan
from features.layout import LAYOUTS

Group = Literal["fit", "engagement", "account"]
Source = Literal["measure", "decay", "roll_up", "lead", "account", "days", "verified", "attribute"]

# Vocabulary of each coded field, as the row structs declare it.
FIELD_VOCABULARIES = {
    table: {column.name: column.vocabulary for column in LAYOUTS[table].columns if column.kind == "code"}
    for table in ("leads", "accounts")
}
# The field knows these signs: who asks for more, asks more recently, or does more is never less ready.
ASKS = ("demo_request", "meeting_request")


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared input of the model. `source` and `field` say where its value comes from."""

    name: str
    group: Group
    says: str
    monotone: Literal[-1, 0, 1]
    categorical: bool
    source: Source
    field: str


def words(name: str) -> str:
    """A name as a person would write it."""
    return name.replace("_", " ")


def vocabulary_of(feature: Feature) -> str:
    """Name of the vocabulary that a categorical feature's codes come from."""
    return FIELD_VOCABULARIES["accounts" if feature.source == "account" else "leads"][feature.field]


def declared_features(settings: FeatureSettings, vocabularies: Mapping[str, Vocabulary]) -> tuple[Feature, ...]:
    """Every feature that can be computed from the canonical tables, in the order of the matrix's columns."""
    plan = EngagementPlan.of(settings, vocabularies)
    found = [
        *(_measure(name, says, settings) for name, says in zip(plan.names, _says(settings), strict=True)),
        *(
            _signed(
                Feature(
                    f"engagement_decay_{decay.name}",
                    "engagement",
                    f"All events, each counting half as much every {decay.half_life_days} days",
                    1,
                    False,
                    "decay",
                    f"decay_{decay.name}",
                ),
                settings,
            )
            for decay in settings.decays
        ),
        *(
            _signed(Feature(f"account_{name}", "account", says, 0, False, "roll_up", name), settings)
            for name, says in zip(ROLL_UP, SAYS, strict=True)
        ),
        *(
            Feature(f"fit_{field}", "fit", f"The lead's {words(field)}", 0, True, "lead", field)
            for field in settings.lead_fields
        ),
        *(
            Feature(f"fit_account_{field}", "fit", f"The account's {words(field)}", 0, True, "account", field)
            for field in settings.account_fields
        ),
        *(
            _signed(Feature(f"fit_days_since_{verb}", "fit", says, 0, False, "days", f"{verb}_at"), settings)
            for verb, says in (
                ("created", "Days since the lead was created"),
                ("verified", "Days since the lead's record was last verified"),
            )
        ),
        _signed(
            Feature(
                "fit_verified_hcp",
                "fit",
                "Whether the lead is verified as a health care professional",
                0,
                False,
                "verified",
                "verified_hcp",
            ),
            settings,
        ),
    ]
    return tuple(found)


def _measure(name: str, says: str, settings: FeatureSettings) -> Feature:
    sign: Literal[-1, 0, 1] = 0
    if any(name.startswith(f"{kind}_count_") for kind in ASKS):
        sign = 1
    elif name in {*(f"days_since_last_{kind}" for kind in ASKS), "days_since_last_event"}:
        sign = -1
    return _signed(Feature(f"engagement_{name}", "engagement", says, sign, False, "measure", name), settings)


def _signed(feature: Feature, settings: FeatureSettings) -> Feature:
    """The feature with the sign that the settings declare for it, if they do."""
    sign = settings.monotone.get(feature.name, feature.monotone)
    return Feature(feature.name, feature.group, feature.says, sign, feature.categorical, feature.source, feature.field)


def _says(settings: FeatureSettings) -> list[str]:
    """A sentence per measure, in the order of `EngagementPlan.names`."""
    window = settings.topic_window_days
    found = [f"{_plural(kind)} in the last {days} days" for kind in settings.kinds for days in settings.windows_days]
    found += [f"Days since the last {words(kind)}" for kind in settings.kinds]
    found += [f"Events about {words(topic)} in the last {window} days" for topic in settings.topics]
    found += [f"Events of {words(depth)} depth in the last {window} days" for depth in settings.depths]
    found += [f"Events of any kind in the last {days} days" for days in settings.windows_days]
    return [
        *found,
        "Events of any kind ever",
        "Days since the last event of any kind",
        f"Different channels used in the last {window} days",
        f"Different days with an event in the last {window} days",
    ]


def _plural(kind: str) -> str:
    text = words(kind)
    return f"{text[0].upper()}{text[1:]} events"
