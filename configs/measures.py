"""Which features are measured: windows, kinds, topics, decays, who made an event, and the sign the field knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from configs.errors import Problem
from configs.section import Section
from configs.vocabulary import Vocabulary

Days = Annotated[int, Field(ge=1, le=16_000)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
LogOdds = Annotated[float, Field(ge=-50, le=50, allow_inf_nan=False)]


class Decay(Section):
    """An exponentially decayed count with a half-life in days, which a kind of event may have its own of."""

    name: str
    half_life_days: Days
    half_life_days_of: dict[str, Days] = Field(default={})


class AfterSend(Section):
    """What it says that a message was opened or clicked this soon after we sent it."""

    within_seconds: Seconds
    log_odds: LogOdds


class Burst(Section):
    """What it says that a lead clicked this often within so many seconds: scanners try every link at once."""

    clicks: Annotated[int, Field(ge=2)]
    within_seconds: Seconds
    log_odds: LogOdds


class Untraced(Section):
    """What it says of a click that its message was never opened and no page was seen so many minutes after it."""

    visit_within_minutes: Annotated[int, Field(ge=0, le=10_080)]
    log_odds: LogOdds


class HumanSettings(Section):
    """Declared evidence that a person made an event, as log-odds that add up; `certain` kinds need none."""

    certain: tuple[str, ...]
    prior: LogOdds
    priors: dict[str, LogOdds]
    agents: dict[str, LogOdds]
    opens: tuple[str, ...]
    clicks: tuple[str, ...]
    visits: tuple[str, ...]
    after_send: tuple[AfterSend, ...]
    burst: Burst
    untraced: Untraced
    domains: dict[str, LogOdds] = Field(default={})


class RoleSignal(Section):
    """Events about these topics, which mean more from people of these roles."""

    topics: tuple[str, ...]
    roles: tuple[str, ...]


class Shares(Section):
    """Topics and channels whose share of the window's events is a feature."""

    topics: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class AccountSettings(Section):
    """How colleagues count: the larger of the weights of role and influence, else 1; quiet for so long is silent."""

    silent_days: Days = 60
    role_weights: dict[str, Annotated[int, Field(ge=0, le=100)]] = Field(default={})
    influence_weights: dict[str, Annotated[int, Field(ge=0, le=100)]] = Field(default={})


class FeatureSettings(Section):
    """The declared measures; feature names are derived from these."""

    windows_days: tuple[Days, ...]
    kinds: tuple[str, ...]
    topics: tuple[str, ...]
    topic_window_days: Days
    depths: tuple[str, ...]
    decays: tuple[Decay, ...]
    lead_fields: tuple[str, ...]
    account_fields: tuple[str, ...]
    monotone: dict[str, Literal[-1, 0, 1]] = Field(default={})
    human: HumanSettings | None = None
    channels: tuple[str, ...] = ()
    shares: Shares = Shares()
    question_kinds: tuple[str, ...] = ()
    touch_windows_days: tuple[Days, ...] = ()
    valid_days: dict[str, Days] = Field(default={})
    role_signals: dict[str, RoleSignal] = Field(default={})
    account: AccountSettings = AccountSettings()


def measure_problems(declared: FeatureSettings, vocabularies: Mapping[str, Vocabulary]) -> Iterator[Problem]:
    """What the declared measures name that does not exist."""
    kinds, topics, depths, channels, agents, roles, influences = (
        vocabularies[name].values if name in vocabularies else ()
        for name in ("event_kind", "topic", "depth", "event_channel", "agent", "role", "influence")
    )
    named: list[tuple[str, Iterable[str], tuple[str, ...]]] = [
        ("kinds", declared.kinds, kinds),
        ("topics", declared.topics, topics),
        ("depths", declared.depths, depths),
        ("channels", declared.channels, channels),
        ("question_kinds", declared.question_kinds, kinds),
        ("valid_days", declared.valid_days, kinds),
        ("shares.topics", declared.shares.topics, declared.topics),
        ("shares.channels", declared.shares.channels, declared.channels),
        ("account.role_weights", declared.account.role_weights, roles),
        ("account.influence_weights", declared.account.influence_weights, influences),
    ]
    named += [(f"decays.{decay.name}", decay.half_life_days_of, kinds) for decay in declared.decays]
    for name, signal in declared.role_signals.items():
        named += [(f"role_signals.{name}.topics", signal.topics, declared.topics)]
        named += [(f"role_signals.{name}.roles", signal.roles, roles)]
    human = declared.human
    if human is not None:
        listed = {"certain": human.certain, "opens": human.opens, "clicks": human.clicks, "visits": human.visits}
        named += [(f"human.{key}", values, kinds) for key, values in {**listed, "priors": human.priors}.items()]
        named.append(("human.agents", human.agents, agents))
    once: list[tuple[str, list[object]]] = [
        ("windows_days", list(declared.windows_days)),
        ("touch_windows_days", list(declared.touch_windows_days)),
        ("kinds", list(declared.kinds)),
        ("topics", list(declared.topics)),
        ("depths", list(declared.depths)),
        ("channels", list(declared.channels)),
        ("lead_fields", list(declared.lead_fields)),
        ("account_fields", list(declared.account_fields)),
        ("decays", [decay.name for decay in declared.decays]),
    ]
    for key, given_once in once:
        # Names of features are made of these: one that is there twice would give two columns one name.
        for value in sorted({str(value) for value in given_once if given_once.count(value) > 1}):
            yield Problem("features.yaml", key, f"expected {value} once")
    for key, given, allowed in named:
        for value in given:
            if value not in allowed:
                yield Problem("features.yaml", key, f"expected a declared value, found {value!r}")
