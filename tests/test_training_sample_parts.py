"""The parts of the sample world, each checked by hand."""

import numpy as np

from configs.settings import load_settings
from training.sample.accounts import COUNTRY_NAMES, draw
from training.sample.columns import MISSING, NO_INSTANT, chosen, identifiers, instants, yes_no
from training.sample.outcomes import KINDS as OUTCOME_KINDS
from training.sample.outcomes import _recent
from training.sample.people import ROLES
from training.sample.personas import PERSONAS, SEGMENTS, titles
from training.sample.signals import BEHAVIORS, TOPICS, meaning


def test_identifiers_are_zero_padded_and_rise():
    assert identifiers("L", 7, np.array([1, 42, 9_999_999])).to_pylist() == ["L0000001", "L0000042", "L9999999"]


def test_a_draw_follows_the_row_s_own_distribution():
    rows = np.repeat([0, 1, 2], 20_000)
    drawn = draw(np.random.default_rng(0), [(1, 0, 0), (0, 0, 2), (1, 1, 2)], rows)
    assert set(drawn[rows == 0]) == {0}
    assert set(drawn[rows == 1]) == {2}
    # 1 : 1 : 2 of 20,000, standard deviation about 61 and 71
    assert np.allclose(np.bincount(drawn[rows == 2]), [5000, 5000, 10_000], atol=350)


def test_what_counts_is_the_last_window_and_two_fifths_of_the_one_before():
    signals = np.array([[[5.0], [1.0], [10.0]]])  # one lead, three windows, one signal
    assert _recent(signals)[0, :, 0].tolist() == [5.0, 1.0 + 0.4 * 5, 10.0 + 0.4 * 1]


def test_technical_documents_mean_the_most_to_software_and_speak_against_implants():
    weight = dict(zip(SEGMENTS, meaning()[:, TOPICS.index("technical_documentation")], strict=True))
    assert weight["software_ehr_health_system"] == max(weight.values()) > 0.5
    assert weight["implant_ortho_vac"] < 0


def test_every_behavior_and_persona_speaks_the_shipped_vocabularies():
    vocabularies = load_settings().vocabularies
    for behavior in BEHAVIORS:
        assert behavior.kind in vocabularies["event_kind"].values
        assert behavior.topic in vocabularies["topic"].values
        assert behavior.channel in vocabularies["event_channel"].values
    assert set(ROLES) <= set(vocabularies["role"].values)
    assert set(COUNTRY_NAMES) <= set(vocabularies["country"].values)
    assert set(OUTCOME_KINDS) <= set(vocabularies["outcome_kind"].values)


def test_titles_come_in_several_spellings_a_persona():
    spellings, starts, counts = titles()
    for persona, start, count in zip(PERSONAS, starts, counts, strict=True):
        written = set(spellings[start : start + count])
        assert len(written) >= 5, persona
    physician = set(spellings[starts[6] : starts[6] + counts[6]])
    assert {"MD", "md", "  MD ", "ＭＤ"} <= physician  # noqa: RUF001 - full width is the point


def test_a_missing_code_or_instant_is_null_and_never_a_default():
    assert chosen(("a", "b"), np.array([1, MISSING, 0])).to_pylist() == ["b", None, "a"]
    assert chosen((), np.array([MISSING, MISSING])).to_pylist() == [None, None]
    assert yes_no(np.array([1, 0, MISSING])).to_pylist() == [True, False, None]
    first, second = instants(np.array([0, NO_INSTANT])).to_pylist()
    assert (first.isoformat(), second) == ("1970-01-01T00:00:00+00:00", None)
