"""Points in the light of outcomes: planted worth is found, nothing is suggested without evidence, signs stay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from configs.cards import FactDeclaration
from configs.errors import InputInvalid
from configs.points import ScorecardSettings
from configs.settings import DEFAULTS, load_settings
from features.evaluate import Domain
from models.scorecard import Scorecard
from training.scorecards.cold_start import write_cold_bundle
from training.scorecards.suggest import RuleRows, suggest
from training.scorecards.text import with_points

COUNT = FactDeclaration(type="int", says="count", source="events")
DOMAIN = Domain(dict.fromkeys(("one", "two", "three", "days_since_last_event"), COUNT), {})


def card() -> Scorecard:
    rules = [
        {"id": name, "says": f"did {name}", "when": f"{name} >= 1", "points": points, "group": name}
        for name, points in (("one", 20), ("two", 20), ("three", 20))
    ]
    content = {
        "fit": rules[:1], "engagement": rules[1:], "caps": {"one": 100, "two": 100, "three": 100},
        "fit_grades": {"A": 0}, "engagement_grades": {1: 0},
    }  # fmt: skip
    return Scorecard.of(ScorecardSettings.model_validate(content), DOMAIN)


def rows(seed: int, n: int, log_odds: tuple[float, float, float]) -> RuleRows:
    rng = np.random.default_rng(seed)
    given = rng.random((n, 3)) < 0.4
    chance = 1 / (1 + np.exp(1.5 - given @ np.array(log_odds)))
    y = (rng.random(n) < chance).astype(np.float64)
    return RuleRows(given, np.ones(n), y, np.arange(n, dtype=np.float64), np.arange(n), np.full(n, -1))


def test_a_signal_worth_more_than_its_points_is_raised_and_a_worthless_one_lowered() -> None:
    # In truth the first is worth twice the second, and the third nothing.
    found = suggest(card(), rows(1, 6000, (1.6, 0.8, 0.0)), rows(2, 3000, (1.6, 0.8, 0.0)))
    one, two, three = found.rules
    assert [rule.verdict for rule in found.rules if rule.rule.id != "two"] == ["raise", "lower"]
    assert one.suggested > two.suggested > three.suggested
    assert 1.6 < one.suggested / two.suggested < 2.6
    # The pull toward the points at hand leaves it a little.
    assert three.suggested <= 6
    assert found.gap.verdict == "better"
    # A reviewer redoes the sums: the scorecard that is suggested has these points and all else as it was.
    assert [rule.points for rule in (*found.settings.fit, *found.settings.engagement)] == [
        one.suggested, two.suggested, three.suggested]  # fmt: skip
    assert found.settings.caps == card().settings.caps


def test_points_that_the_data_bear_out_are_kept() -> None:
    found = suggest(card(), rows(3, 4000, (0.9, 0.9, 0.9)), rows(4, 2000, (0.9, 0.9, 0.9)))
    assert [rule.verdict for rule in found.rules] == ["keep"] * 3
    assert [rule.suggested for rule in found.rules] == [20] * 3
    assert found.gap.value == 0.0


def test_a_rule_that_fired_for_nobody_keeps_its_points_and_a_good_sign_never_becomes_a_bad_one() -> None:
    train, judge = rows(5, 4000, (1.0, 1.0, -1.5)), rows(6, 2000, (1.0, 1.0, -1.5))
    train.given[:, 0] = False
    found = suggest(card(), train, judge)
    assert found.rules[0].verdict == "keep"
    assert found.rules[0].suggested == 20
    assert found.rules[2].high < 0
    assert found.rules[2].suggested == 0


def test_only_the_points_change_in_the_text_of_a_scorecard() -> None:
    text = (DEFAULTS / "scorecard.yaml").read_text(encoding="utf-8")
    new = with_points(text, {"named_need": 3, "asked_for_demo": 44})
    changed = [(a, b) for a, b in zip(text.splitlines(), new.splitlines(), strict=True) if a != b]
    assert [("points: 15" in a, "points: 3" in b) for a, b in changed[:1]] == [(True, True)]
    assert [("points: 30" in a, "points: 44" in b) for a, b in changed[1:]] == [(True, True)]
    assert len(changed) == 2
    with pytest.raises(InputInvalid, match="no_such_rule once after its id, found 0"):
        with_points(text, {"no_such_rule": 3})


def test_a_bundle_before_there_are_data_says_that_nothing_was_learned(tmp_path: Path) -> None:
    bundle = write_cold_bundle(load_settings(), datetime(2026, 6, 30, tzinfo=UTC), tmp_path / "cold")
    assert bundle.cold_start
    assert bundle.readiness.records == ()
    assert "no probability" in bundle.manifest.training["says"]
