"""The points scorecard by hand, and its two forms held equal."""

from __future__ import annotations

import numpy as np
import pytest

from configs.cards import FactDeclaration
from configs.errors import ConfigInvalid
from configs.points import ScorecardSettings
from configs.settings import load_settings
from features.evaluate import Domain
from features.facts import Facts
from models.scorecard import FEW, Scorecard
from models.segments.map import SegmentMap

ROLE = FactDeclaration(type="enum", says="role", source="leads", values=("physician", "procurement"))
COUNT = FactDeclaration(type="int", says="count", source="events")
DOMAIN = Domain(
    {"role": ROLE, "demos": COUNT, "clicks": COUNT, "days_since_last_event": COUNT,
     "opt_out": FactDeclaration(type="yesno", per="channel", says="opt out", source="x", values=("no", "yes"))},
    {},
)  # fmt: skip


def _settings(**changes):
    content = {
        "fit": [{"id": "buys", "says": "buys things", "when": "role = 'procurement'", "points": 30, "group": "role"}],
        "engagement": [
            {"id": "demo", "says": "asked for a demo", "when": "demos >= 1", "points": 40, "group": "request"},
            {"id": "two", "says": "asked for two demos", "when": "demos >= 2", "points": 20, "group": "request"},
            {"id": "click", "says": "clicked some", "when": "clicks >= 1", "points": 5, "group": "activity"},
        ],
        "caps": {"role": 25, "request": 50, "activity": 10},
        "fit_grades": {"A": 25, "B": 0},
        "engagement_grades": {1: 50, 2: 20, 3: 0},
        "decay": [{"over_days": 14, "keep_percent": 50}, {"over_days": 60, "keep_percent": 10}],
        **changes,
    }
    return ScorecardSettings.model_validate(content)


def _facts(**columns):
    n = len(next(iter(columns.values())))
    kinds = {name: np.uint8 if name == "role" else np.int32 for name in columns}
    shaped = {name: np.array(values, dtype=kinds[name]).reshape(n, 1, 1) for name, values in columns.items()}
    return Facts(n=n, assets=("none",), columns=shaped)


def test_points_caps_and_decay_by_hand():
    card = Scorecard.of(_settings(), DOMAIN)
    points = card.points(_facts(role=[2, 1, 0], demos=[2, 1, 0], clicks=[3, -1, 1], days_since_last_event=[3, 20, -1]))
    # First: 30 capped at 25; demos 40 + 20 capped at 50, and 5 for clicks = 55, three quiet days keep all.
    # Second: no fit; 40 for one demo, unknown clicks earn nothing, 20 quiet days keep half = 20.
    # Third: unknown role earns nothing; one click = 5, and unknown quiet days keep all.
    assert points.fit.tolist() == [25, 0, 0]
    assert points.engagement.tolist() == [55, 20, 5]
    assert [points.grades(row) for row in range(3)] == [("A", 1), ("B", 2), ("B", 3)]


def test_the_log_names_every_rule_cap_and_decay_and_sums_to_the_points():
    card = Scorecard.of(_settings(), DOMAIN)
    points = card.points(_facts(role=[2], demos=[2], clicks=[1], days_since_last_event=[61]))
    fit, engagement = points.log(0)
    assert [(entry.id, entry.points) for entry in fit] == [("buys", 30), ("cap_role", -5)]
    # 55 points of which a tenth is kept, rounded down: 5, so decay takes 50.
    assert [(entry.id, entry.points) for entry in engagement] == [
        ("demo", 40), ("two", 20), ("cap_request", -10), ("click", 5), ("decay", -50)]  # fmt: skip
    assert points.engagement[0] == 5


def test_a_segment_decides_what_a_signal_is_worth():
    rule = {"id": "demo", "says": "asked for a demo", "when": "demos >= 1", "points": 40, "group": "request"}
    settings = _settings(
        engagement=[{**rule, "by_segment": {"labs": 10, "clinics": 0}}], caps={"role": 25, "request": 50}
    )
    card = Scorecard.of(settings, DOMAIN, ("clinics", "labs", "others"))
    facts = _facts(role=[0] * 4, demos=[1] * 4, clicks=[0] * 4, days_since_last_event=[1] * 4)
    points = card.points(facts, np.array([1, 0, 2, -1]))
    # labs say 10, clinics nothing at all, others and a lead of no segment what the rule says.
    assert points.engagement.tolist() == [10, 0, 40, 40]
    assert [[entry.points for entry in points.log(row)[1]] for row in range(4)] == [[10], [], [40], [40]]
    again = Scorecard.from_json(card.to_json(), DOMAIN, ("clinics", "labs", "others"))
    assert again.points(facts, np.array([1, 0, 2, -1])).engagement.tolist() == [10, 0, 40, 40]


def test_points_that_count_against_a_lead_stop_at_zero_and_the_log_says_so():
    against = {"id": "rival", "says": "works for a rival", "when": "role = 'physician'", "points": -30, "group": "role"}
    card = Scorecard.of(_settings(fit=[against]), DOMAIN)
    points = card.points(_facts(role=[1], demos=[0], clicks=[0], days_since_last_event=[1]))
    assert points.fit.tolist() == [0]
    assert [(entry.id, entry.points) for entry in points.log(0)[0]] == [("rival", -30), ("floor", 30)]


def test_few_leads_and_many_get_the_same_points_under_the_shipped_scorecard():
    settings = load_settings()
    domain = Domain.of(settings)
    segment_ids = SegmentMap.load(settings).segment_ids
    card = Scorecard.of(settings, domain, segment_ids)
    segment = np.random.default_rng(6).integers(-1, len(segment_ids), size=400)
    assert len(np.unique(card.worth, axis=0)) > 1
    rng = np.random.default_rng(5)
    columns = {}
    for fact in card.facts:
        if domain.is_number(fact):
            columns[fact] = rng.integers(-1, 100, size=(400, 1, 1)).astype(np.int32)
        else:
            columns[fact] = rng.integers(0, len(domain.facts[fact].values) + 1, size=(400, 1, 1)).astype(np.uint8)
    many = card.points(Facts(n=400, assets=("none",), columns=columns), segment)
    for start in range(0, 400, FEW):
        rows = slice(start, start + FEW)
        few = card.points(
            Facts(n=FEW, assets=("none",), columns={k: v[rows] for k, v in columns.items()}), segment[rows]
        )
        plain = {fact: int(column[start, 0, 0]) for fact, column in columns.items()}
        one = card.points(Facts(n=1, assets=("none",), columns={}, one=plain), segment[start : start + 1])
        for part in ("fit", "engagement", "fit_grade", "engagement_grade", "kept_percent", "given"):
            assert (getattr(one, part) == getattr(many, part)[start : start + 1]).all()
            assert getattr(one, part).dtype == getattr(many, part).dtype
        assert (few.given == many.given[rows]).all()
        assert (few.fit == many.fit[rows]).all()
        assert (few.engagement == many.engagement[rows]).all()
    names, of_fit, of_engagement = many.entries()
    for row in range(400):
        fit, engagement = many.log(row)
        assert sum(entry.points for entry in fit) == many.fit[row]
        assert sum(entry.points for entry in engagement) == many.engagement[row]
        for entries, column in ((fit, of_fit), (engagement, of_engagement)):
            listed = {names[at]: int(column[row, at]) for at in np.flatnonzero(column[row])}
            assert listed == {entry.id: entry.points for entry in entries}


def test_nothing_known_earns_nothing_under_the_shipped_scorecard():
    settings = load_settings()
    points = Scorecard.of(settings, Domain.of(settings)).points(Facts(n=2, assets=("none",), columns={}))
    assert points.fit.tolist() == points.engagement.tolist() == [0, 0]
    assert points.grades(0) == ("D", 4)


def test_technical_documents_count_for_software_only():
    settings = load_settings()
    domain = Domain.of(settings)
    card = Scorecard.of(settings, domain)
    wants = [domain.code("product_interest", product) for product in ("software", "disposable")]
    columns = {
        "product_interest": np.array(wants, dtype=np.uint8).reshape(2, 1, 1),
        "topic_technical_documentation_count_90d": np.full((2, 1, 1), 3, dtype=np.int32),
    }
    points = card.points(Facts(n=2, assets=("none",), columns=columns))
    assert points.engagement.tolist() == [15, 0]


def test_a_scorecard_reads_back_from_its_json():
    card = Scorecard.of(_settings(), DOMAIN)
    assert Scorecard.from_json(card.to_json(), DOMAIN).settings == card.settings


@pytest.mark.parametrize(
    ("when", "names"),
    [("demos >=", "demo"), ("nonsense = 'x'", "demo"), ("opt_out = 'yes'", "facts of a lead"), ("role = 'x'", "demo")],
)
def test_a_wrong_condition_is_refused_with_its_rule(when, names):
    rule = {"id": "demo", "says": "asked for a demo", "when": when, "points": 1, "group": "request"}
    with pytest.raises(ConfigInvalid, match=names):
        Scorecard.of(_settings(engagement=[rule], caps={"role": 1, "request": 1}), DOMAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"caps": {"role": 1}},
        {"fit_grades": {"A": 5, "B": 50}},
        {"decay": [{"over_days": 60, "keep_percent": 10}, {"over_days": 14, "keep_percent": 50}]},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(ValueError, match=r"expected|cap"):
        _settings(**changes)
