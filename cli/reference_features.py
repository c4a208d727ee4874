"""Writes docs/features.md from the catalog and the shipped configuration, so that the page cannot say something else.

`python -m cli.reference_features` writes the page; a test compares it with what is made now.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.reference import table
from configs.measures import FeatureSettings, HumanSettings
from configs.settings import Settings, load_settings
from features.catalog import Feature, declared_features, is_weighted, words
from features.columns import CERTAIN
from features.engagement import NEVER_COMMERCIAL, SUSPECT_BELOW, EngagementPlan
from features.use.permitted import purposes_of

PAGE = Path("docs/features.md")
COMMAND = "python -m cli.reference_features"
SIGNS = {-1: "-", 0: "", 1: "+"}
GROUPS = {
    "engagement": "What the lead did, and what we did with the lead.",
    "account": "What the other leads of the same account did, never the lead itself.",
    "fit": "What the lead and its account are; a field of words is one feature of categories. Unknown stays unknown.",
}
SOURCES = {
    "measure": "events",
    "share": "events",
    "decay": "events",
    "suspect_share": "events, touches",
    "role_signal": "events, leads.role",
    "history": "touches, events",
    "roll_up": "events and leads of the account",
    "roll_up_share": "events and leads of the account",
    "attribute": "export",
}
OPENING = f"""# Features

Made from the catalog and the shipped configuration by `{COMMAND}` (`make docs`); do not edit.
A test compares this page with what is made now. What is measured is declared in `configs/features.yaml`, and its hash
is the feature-set version that every bundle and every answer names."""
COUNTING = f"""## How events count

- **Age** is whole UTC days from the day of the event to the day of `as_of`. A window of 90 days holds day 90 and not
  day 91. The zone in which a source writes its instants changes nothing; a business zone serves reports and quiet hours
  only.
- **Weighted** counts and decayed sums add, for every event, the probability that a person made it, in sixteenths: three
  clicks that are each 1/16 likely to be a person's count about 0.2, not 3. Sums are whole sixteenths, so that neither
  order nor the number of threads can change them. Nothing is dropped: what counts 0 is still told as suspect.
- **Not weighted** is what says when, where and about what: days since, different days, channels and resources, repeated
  themes. It looks only at events of at least {SUSPECT_BELOW} sixteenths, so that a gateway cannot keep a lead fresh.
  Below that an event is *suspect*.
- **Conditions** of rules, segments and points use the same numbers in whole events, a half counting up: one click that
  a person likely made is 1, three clicks of a gateway are 0.
- **Sign**: + never lowers readiness as it grows, - never raises it; empty where the field knows no sign. A flat export
  adds the attributes that its mapping declares; the primary segment is one feature more, `segment`.
- **Never** is unknown for days since something, and 0 for counts. A table that was not supplied leaves all of it
  unknown.
- **{words(next(iter(NEVER_COMMERCIAL))).capitalize()}** events belong to medical information. They are taken away
  before anything is measured, and change no feature, count, weight or recency."""


def page() -> str:
    """The whole page."""
    settings = load_settings()
    declared = settings.features
    plan = EngagementPlan.of(declared, settings.vocabularies)
    features = declared_features(declared, settings.vocabularies)
    parts = [f"{OPENING} There are {len(features)} features.", COUNTING, *_human(declared.human), *_times(declared)]
    for group, says in GROUPS.items():
        rows = [_row(feature, plan, settings) for feature in features if feature.group == group]
        parts += [f"## {group.capitalize()}", says]
        parts.append(table(("feature", "what it says", "sign", "weighted", "window", "from", "purposes"), rows))
    parts += [*_roles(declared), *_account(declared)]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] = ()) -> None:
    """Write the page to the given file, or to docs/features.md of the current folder."""
    target = Path(arguments[0]) if arguments else PAGE
    target.write_text(page(), encoding="utf-8")


def _row(feature: Feature, plan: EngagementPlan, settings: Settings) -> tuple[object, ...]:
    window = re.search(r"_(\d+)d$", feature.name)
    own = {"lead": f"leads.{feature.field}", "account": f"accounts.{feature.field}"}
    return (
        f"`{feature.name}`",
        feature.says,
        SIGNS[feature.monotone],
        "yes" if is_weighted(feature, plan) else "",
        f"{window[1]} days" if window else "",
        SOURCES.get(feature.source) or own.get(feature.source, f"leads.{feature.field}"),
        ", ".join(words(purpose) for purpose in purposes_of(feature, settings.data_use)),
    )


def _human(human: HumanSettings | None) -> Iterator[str]:
    if human is None:
        return
    yield "## How likely a person made an event"
    yield (
        "Log-odds of declared evidence add up (naive Bayes) and become a probability in sixteenths. Evidence looks at "
        "one lead's own rows that were known at `as_of`, so that batch and one lead online give the same weight."
    )
    rows = [
        (f"{_named(human.certain)}", "counts in full: a mail gateway cannot do it"),
        ("any other kind of event", _prior(human.prior)),
        *((words(kind), _prior(odds)) for kind, odds in human.priors.items()),
        *((f"what fetched it: {words(agent)}", _odds(odds)) for agent, odds in human.agents.items()),
        *(
            (f"opened or clicked within {step.within_seconds} s of our message", _odds(step.log_odds))
            for step in sorted(human.after_send, key=lambda step: step.within_seconds)
        ),
        (
            f"among {human.burst.clicks} clicks of the lead within {human.burst.within_seconds} s",
            _odds(human.burst.log_odds),
        ),
        (
            "a click whose message was never opened before, and no visit within "
            f"{human.untraced.visit_within_minutes} minutes after it",
            _odds(human.untraced.log_odds),
        ),
        (
            "opened or clicked at an unknown time after our message, behind a mail domain whose gateway tries links",
            ", ".join(f"{domain} {_odds(odds)}" for domain, odds in human.domains.items())
            or "as learned at fit from how often that domain answers within seconds",
        ),
    ]
    yield table(("evidence", "log-odds"), rows)


def _times(declared: FeatureSettings) -> Iterator[str]:
    yield "## How long an event counts"
    halves = [
        (decay.name, "all others", decay.half_life_days) for decay in declared.decays if decay.half_life_days_of
    ] + [(decay.name, "all", decay.half_life_days) for decay in declared.decays if not decay.half_life_days_of]
    halves += [
        (decay.name, words(kind), days) for decay in declared.decays for kind, days in decay.half_life_days_of.items()
    ]
    yield table(("decayed sum", "events", "half-life in days"), sorted(halves))
    limits = [(words(kind), days) for kind, days in declared.valid_days.items()]
    yield "An event older than its kind's limit counts nowhere; kinds that are not listed have none."
    yield table(("event", "counts until age in days"), limits)


def _roles(declared: FeatureSettings) -> Iterator[str]:
    yield "## Topics that mean more to some roles"
    yield table(
        ("name", "topics", "roles"),
        [(f"`{name}`", _named(signal.topics), _named(signal.roles)) for name, signal in declared.role_signals.items()],
    )


def _account(declared: FeatureSettings) -> Iterator[str]:
    account = declared.account
    yield "## How colleagues weigh"
    yield (
        f"The larger of the weights of role and influence counts, else 1. Who did nothing for {account.silent_days} "
        "days, or never did anything, is silent."
    )
    weights = [("role", account.role_weights), ("influence", account.influence_weights)]
    yield table(
        ("what", "value", "weight"),
        [(what, words(value), weight) for what, found in weights for value, weight in found.items()],
    )


def _named(values: Sequence[str]) -> str:
    return ", ".join(words(value) for value in values)


def _odds(value: float) -> str:
    return f"{value:+g}"


def _prior(value: float) -> str:
    return f"{value:+g}, which is {round(CERTAIN / (1 + math.exp(-value)))}/{CERTAIN} where nothing else is known"


if __name__ == "__main__":
    main(sys.argv[1:])
