"""The catalog: what is declared is what is measured, and every feature says how it counts."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from configs.errors import ConfigInvalid
from configs.measures import measure_problems
from configs.settings import load_settings
from features.account import PARTS, ROLL_UP, SAYS
from features.catalog import FROM_EVENTS, declared_features, is_weighted
from features.engagement import EngagementPlan
from features.history import HistoryPlan
from features.pipeline import FeatureSpec, fit_spec
from policy.gates import gate_features

SETTINGS = load_settings()
DECLARED = SETTINGS.features
PLAN = EngagementPlan.of(DECLARED, SETTINGS.vocabularies)
FEATURES = declared_features(DECLARED, SETTINGS.vocabularies)


def test_every_name_is_once_there_and_every_sentence_is_its_own():
    assert len({feature.name for feature in FEATURES}) == len({feature.says for feature in FEATURES}) == len(FEATURES)
    assert all(feature.name.startswith(f"{feature.group}_") for feature in FEATURES)
    assert 100 < len(FEATURES) <= 180


def test_every_feature_s_place_exists():
    history = HistoryPlan(PLAN)
    assert len(history.says) == len(history.names)
    assert len(SAYS) == len(ROLL_UP)
    for feature in FEATURES:
        if feature.source == "measure":
            assert feature.field in PLAN.row
        elif feature.source == "share":
            assert set(feature.field.split("/")) <= set(PLAN.row)
        elif feature.source == "roll_up":
            assert feature.field in ROLL_UP
        elif feature.source == "roll_up_share":
            assert set(feature.field.split("/")) == set(PARTS)
        elif feature.source == "history":
            assert feature.field in history.names


def test_counts_are_weighted_and_what_tells_when_or_about_what_is_not():
    weighted = {feature.name for feature in FEATURES if is_weighted(feature, PLAN)}
    named = lambda pattern: {f.name for f in FEATURES if re.search(pattern, f.name)}  # noqa: E731
    assert named(r"^engagement_(email_click|topic_\w+|depth_\w+|event)_count_\d+d$") <= weighted
    assert named(r"_decay_|_share_90d$") - named("^account_") <= weighted
    assert not weighted & named(r"days_since|distinct|active_day|suspect_event|theme|touch_count|^fit_|^account_")


def test_the_window_a_name_says_is_in_the_sentence():
    for feature in FEATURES:
        window = re.search(r"_(\d+)d$", feature.name)
        if window:
            assert f"{window[1]} days" in feature.says, feature.name


def test_the_feature_gate_lets_every_shipped_feature_pass():
    assert not gate_features([feature.name for feature in FEATURES]).dropped


def test_only_signs_that_hold_whatever_else_is_known_are_declared():
    signs = {feature.name: feature.monotone for feature in FEATURES if feature.monotone}
    assert signs["engagement_decay_fast"] == signs["engagement_demo_request_count_30d"] == 1
    assert signs["engagement_days_since_last_event"] == -1
    assert not [name for name in signs if "suspect" in name or "share" in name]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("human", "burst", "clicks"), 1),
        (("human", "prior"), float("nan")),
        (("human", "no_such_key"), 1),
        (("valid_days", "email_open"), 0),
        (("valid_days", "email_open"), 20_000),
        (("account", "silent_days"), 0),
        (("account", "role_weights", "physician"), -1),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(path, value):
    content = DECLARED.model_dump(mode="json")
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(ValidationError):
        type(DECLARED).model_validate(content)


def test_every_name_that_no_vocabulary_has_is_told_with_its_place():
    content = DECLARED.model_dump(mode="json")
    content["valid_days"]["email_opne"] = 3
    content["human"]["agents"]["safelink"] = -1
    content["role_signals"]["pricing_by_buyer"]["roles"].append("buyers")
    problems = list(measure_problems(type(DECLARED).model_validate(content), SETTINGS.vocabularies))
    assert [problem.key for problem in problems] == [
        "valid_days",
        "role_signals.pricing_by_buyer.roles",
        "human.agents",
    ]
    assert list(measure_problems(DECLARED, SETTINGS.vocabularies)) == []


def test_a_spec_of_before_weights_still_reads_and_weighs_nothing():
    spec = fit_spec(SETTINGS)
    again = FeatureSpec.from_json(spec.to_json())
    assert again == spec
    assert again.version == spec.version
    bare = DECLARED.model_copy(update={"human": None})
    assert "engagement_suspect_share" not in {f.name for f in declared_features(bare, SETTINGS.vocabularies)}
    assert fit_spec(SETTINGS.model_copy(update={"features": bare})).human_rules(SETTINGS.vocabularies) is None


def test_sources_that_need_events_are_named():
    assert {f.source for f in FEATURES if f.group == "engagement"} == {*FROM_EVENTS, "history"}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"lead_fields": ("audiense",)}, "expected a coded field of leads, found 'audiense'"),
        ({"account_fields": ("role",)}, "expected a coded field of accounts, found 'role'"),
        ({"monotone": {"engagement_event_count_8d": 1}}, "expected the name of a feature"),
        ({"kinds": ("off_label_question",)}, "may be a commercial feature, found 'off_label_question'"),
    ],
)
def test_a_name_that_there_is_not_is_refused(wrong, expected):
    with pytest.raises(ConfigInvalid, match=expected):
        declared_features(SETTINGS.features.model_copy(update=wrong), SETTINGS.vocabularies)


def test_what_names_a_feature_is_declared_once():
    twice = SETTINGS.features.model_copy(
        update={"windows_days": (7, 7), "decays": (*SETTINGS.features.decays, SETTINGS.features.decays[0])}
    )
    said = [str(problem) for problem in measure_problems(twice, SETTINGS.vocabularies)]
    assert [problem for problem in said if "expected 7 once" in problem or "expected fast once" in problem] == said
    assert len(said) == 2
