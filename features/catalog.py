"""The catalog: every feature declared, its name derived from its definition, with a sentence in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from configs.errors import ConfigInvalid, Problem
from configs.measures import Decay, FeatureSettings
from configs.vocabulary import Vocabulary
from features.account import PARTS, ROLL_UP, SAYS
from features.engagement import NEVER_COMMERCIAL, EngagementPlan
from features.history import HistoryPlan
from features.layout import LAYOUTS

Group = Literal["fit", "engagement", "account"]
Source = Literal[
    "measure",
    "share",
    "decay",
    "suspect_share",
    "role_signal",
    "history",
    "roll_up",
    "roll_up_share",
    "lead",
    "account",
    "days",
    "verified",
    "attribute",
]
# Sources that are computed from what leads did and what we did.
FROM_EVENTS = ("measure", "share", "decay", "suspect_share", "role_signal")

# Vocabulary of each coded field, as the row structs declare it.
FIELD_VOCABULARIES = {
    table: {column.name: column.vocabulary for column in LAYOUTS[table].columns if column.kind == "code"}
    for table in ("leads", "accounts")
}
# The field knows these signs: who asks for more, asks more recently, or does more is never less ready.
ASKS = ("demo_request", "meeting_request")


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared input of the model. `source` and `field` say where its value comes from.

    The field of a share names a row and, after a stroke, the row that it is a share of. `declared` is what the mapping
    of an export declares a custom column to be: health, prescriber or protected data, else nothing.
    """

    name: str
    group: Group
    says: str
    monotone: Literal[-1, 0, 1]
    categorical: bool
    source: Source
    field: str
    declared: str = ""


def words(name: str) -> str:
    """A name as a person would write it."""
    return name.replace("_", " ")


def vocabulary_of(feature: Feature) -> str:
    """Name of the vocabulary that a categorical feature's codes come from."""
    return FIELD_VOCABULARIES["accounts" if feature.source == "account" else "leads"][feature.field]


def declared_features(settings: FeatureSettings, vocabularies: Mapping[str, Vocabulary]) -> tuple[Feature, ...]:
    """Every feature that can be computed from the canonical tables, in the order of the matrix's columns.

    Raises ConfigInvalid where features.yaml names a coded field or, for a sign, a feature that there is not, or counts
    questions that are medical information's alone.
    """
    _refuse("kinds: expected a kind that may be a commercial feature", NEVER_COMMERCIAL & set(settings.kinds))
    for key, table, fields in (
        ("lead_fields", "leads", settings.lead_fields),
        ("account_fields", "accounts", settings.account_fields),
    ):
        _refuse(f"{key}: expected a coded field of {table}", set(fields) - FIELD_VOCABULARIES[table].keys())
    plan = EngagementPlan.of(settings, vocabularies)
    history = HistoryPlan(plan)
    kept = _kept(settings)
    found = [
        *(_measure(name, says, settings) for name, says in zip(plan.names, _says(settings), strict=True) if kept(name)),
        *(_signed(_decay(decay), settings) for decay in settings.decays),
        *(_signed(feature, settings) for feature in _of_people(settings)),
        *(
            _signed(Feature(f"engagement_{name}", "engagement", says, 0, False, "history", name), settings)
            for name, says in zip(history.names, history.says, strict=False)
        ),
        *(
            _signed(
                Feature(f"account_{name}", "account", _sentence(says, settings), 0, False, "roll_up", name), settings
            )
            for name, says in zip(ROLL_UP, SAYS, strict=True)
            if name not in PARTS
        ),
        _signed(
            Feature(
                "account_active_colleague_share_90d",
                "account",
                "Share of other leads at the same account with an event in the last 90 days, each by the weight of "
                "their role",
                0,
                False,
                "roll_up_share",
                "active_colleague_weight_90d/colleague_weight",
            ),
            settings,
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
    _refuse("monotone: expected the name of a feature", settings.monotone.keys() - {feature.name for feature in found})
    return tuple(found)


def _refuse(expected: str, wrong: AbstractSet[str]) -> None:
    key, _, says = expected.partition(": ")
    if wrong:
        raise ConfigInvalid([Problem("features.yaml", key, f"{says}, found {name!r}") for name in sorted(wrong)])


def is_weighted(feature: Feature, plan: EngagementPlan) -> bool:
    """Whether events count in a feature by how likely a person made them."""
    if feature.source == "measure":
        return bool(plan.weighted[plan.row[feature.field]])
    if feature.source == "history":
        return feature.field.startswith("event_")
    return feature.source in ("share", "decay", "suspect_share", "role_signal")


def _kept(settings: FeatureSettings) -> Callable[[str], bool]:
    """Which measures are features: the others only make up shares or facts, or nothing that they need is declared."""
    helping = ["topic_event_count_", "channel_event_count_", *(f"channel_{c}_count_" for c in settings.channels)]
    if settings.human is None:
        helping.append("suspect_")
    if not settings.question_kinds:
        helping += ["repeated_theme_", "most_asked_theme_"]
    return lambda name: not name.startswith(tuple(helping))


def _of_people(settings: FeatureSettings) -> Iterator[Feature]:
    """Shares of topics and channels, the share of suspect events, and topics that mean more to some roles."""
    w = settings.topic_window_days
    listed = (("topic", "about", settings.shares.topics), ("channel", "on the channel", settings.shares.channels))
    for what, word, values in listed:
        for value in values:
            yield Feature(
                f"engagement_{what}_{value}_share_{w}d",
                "engagement",
                f"Share of the last {w} days' events with a {what} that are {word} {words(value)}",
                0,
                False,
                "share",
                f"{what}_{value}_count_{w}d/{what}_event_count_{w}d",
            )
    if settings.human is not None and settings.decays:
        yield Feature(
            "engagement_suspect_share",
            "engagement",
            "Share of the decayed events that were likelier made by a machine than by a person",
            0,
            False,
            "suspect_share",
            f"decay_{settings.decays[-1].name}",
        )
    for name, signal in settings.role_signals.items():
        yield Feature(
            f"engagement_{name}_count_{w}d",
            "engagement",
            f"Events about {_listed(signal.topics)} in the last {w} days, of these roles: {_listed(signal.roles)}; "
            "0 for other roles",
            0,
            False,
            "role_signal",
            name,
        )


def _decay(decay: Decay) -> Feature:
    own = "".join(f", {words(kind)} every {days}" for kind, days in decay.half_life_days_of.items())
    says = f"All events, each counting half as much every {decay.half_life_days} days{own}"
    return Feature(f"engagement_decay_{decay.name}", "engagement", says, 1, False, "decay", f"decay_{decay.name}")


def _listed(values: tuple[str, ...]) -> str:
    named = [words(value) for value in values]
    return " and ".join([*([", ".join(named[:-1])] if named[:-1] else []), *named[-1:]])


def _sentence(says: str, settings: FeatureSettings) -> str:
    return says.format(silent_days=settings.account.silent_days)


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
        f"Events in the last {window} days that were likelier made by a machine than by a person",
        f"Topics asked about at least twice in the last {window} days",
        f"How often the most asked topic was asked about in the last {window} days",
        f"Events with a topic in the last {window} days",
        f"Events with a channel in the last {window} days",
        *(f"Events on the channel {words(channel)} in the last {window} days" for channel in settings.channels),
        f"Different resources opened or asked for in the last {window} days",
    ]


def _plural(kind: str) -> str:
    text = words(kind)
    return f"{text[0].upper()}{text[1:]} events"
