"""The model card: computed once, kept beside its bundle, drawn again; weak models say so plainly."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from configs.errors import BundleRefused, InputInvalid, NotReady
from configs.settings import load_settings
from training.evaluation.card import CardApproval, approvals_of, render_card, write_card
from training.evaluation.card_plots import card_pictures
from training.evaluation.card_words import data_lines
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluation import Evaluation, card_file, evaluation_file, load_evaluation, save_evaluation
from training.evaluation.metrics import compare, measure
from training.evaluation.resampling import Estimate
from training.evaluation.verdict import WORDS

ROWS, JUDGED = 3600, 1200
EVIL = '<script>alert("x")</script>'
BUNDLE = "ab" * 32


class _Judged:
    """Answers as a fitted readiness does, from one column that holds the probability."""

    names, groups = ("f", "segment"), ("fit", "segment")
    records = (
        SimpleNamespace(segment_id="north", kept=True, weight=0.6, reason="LOWERS_LATER_LOSS"),
        SimpleNamespace(segment_id="south", kept=False, weight=0.0, reason="TOO_FEW_ROWS"),
    )

    def predict(self, X: np.ndarray, segment: np.ndarray) -> SimpleNamespace:
        band = np.where(X[:, 0] > 0.2, 4, 1).astype(np.uint8)
        return SimpleNamespace(
            probability=X[:, 0],
            band=np.where(segment < 0, 0, band).astype(np.uint8),
            reason=(segment < 0).astype(np.uint8),
            contributions=np.stack([X[:, 0], 0.1 * X[:, 0]], axis=1),
        )

    def reason_name(self, code: int) -> str:
        return ("", "SEGMENT_UNKNOWN")[code]


def _trained(folder: Path, *, skill: float = 1.0, shift: float = 0.0, flat: bool = False, judged: int = JUDGED) -> Any:
    """A training run as `evaluate` sees it: `skill` is how much of the truth ours knows, `shift` how far it lies."""
    rng = np.random.default_rng(3)
    rows = ROWS - JUDGED + judged
    truth = np.clip(rng.beta(1.2, 5, rows), 0.01, 0.95)
    y = (rng.uniform(size=rows) < truth).astype(float)
    root = rng.integers(0, rows // 3, rows)
    judge = np.arange(rows) >= rows - judged
    # The first thousand rows train, the others are earlier snapshots of the accounts that judge.
    train = np.arange(rows) < 1000
    root[~train & ~judge] = rng.choice(root[judge], (~train & ~judge).sum())
    p = np.clip(skill * truth + (1 - skill) * rng.permutation(truth) + shift, 0.001, 0.999)
    month = np.where(judge, "2026-05", np.where(np.arange(rows) < rows // 2, "2026-01", "2026-03")).astype(object)
    order = np.arange(rows, dtype=float) if flat else np.where(judge, 2.0, 0.0)
    segment = rng.choice([-1, 0, 0, 0, 1], rows)
    slices = {
        "role": rng.choice(["nurse", "unknown"], rows),
        "jurisdiction": rng.choice(["DE", "US", "CH"], rows, p=[0.5, 0.48, 0.02]),
    }
    slices |= {"source": rng.choice(["web_form", EVIL], rows)}
    dataset = SimpleNamespace(
        X=p[:, None], y=y, root=root, order=order, judge=judge, train=train, time_only=np.zeros(rows, dtype=bool),
        segment=segment, segment_ids=("north", "south"), dataset_id="d" * 64,
        slices={name: values.astype(object) for name, values in slices.items()} | {"month": month},
        counts={"rows": rows, "train": 1000, "judge": judged, "lead not known yet": 7, "withheld: a (R-1 X)": 3},
        history=None, timed=True,
        spec=SimpleNamespace(version="v" * 64, features=(SimpleNamespace(name="f", says=EVIL),)),
    )  # fmt: skip
    names = np.array(["north", "south", "none"], dtype=object)[segment[judge]]
    true = truth[judge]
    predictions = {
        "leadwell": p[judge],
        "points_scorecard": np.clip(0.5 * true + 0.5 * rng.permutation(true), 0.01, 0.99),
        "pooled": np.clip(p[judge] * 1.02, 0.001, 0.999),
    }
    comparison = compare(y[judge], predictions, ours="leadwell", segment=names, cluster=root[judge], replicates=200)
    leak = {"id": "COPIES_ON_BOTH_SIDES", "level": "warns", "table": "rows", "column": "", "evidence": "3 of 9 rows"}
    training = {
        "hygiene": {"passed": True, "failed": []},
        "leakage": {"looked": ["ID_LIKE", "COPIES_ON_BOTH_SIDES"], "found": [leak]},
        "interval": {"says": "groups of leads like this one"},
    }
    manifest = SimpleNamespace(
        created_as_of=datetime(2026, 6, 30, tzinfo=UTC), training=training, segment_map="s" * 64, policy="p" * 64
    )
    segment_map = json.dumps(
        {"segments": [{"id": "north", "title": EVIL, "audience": ["hcp"], "purpose": "education"}]}
    )
    bundle = SimpleNamespace(bundle_id=BUNDLE, manifest=manifest, segment_map=segment_map)
    return SimpleNamespace(
        bundle=bundle, folder=folder, dataset=dataset, comparison=comparison, predictions=predictions,
        time_only=measure(y[judge], p[judge]), judged=_Judged(), y=y[judge], segment=names, thresholds=None,
        tuning=None, further=(),
    )  # fmt: skip


@cache
def _evaluation(skill: float = 1.0, shift: float = 0.0, judged: int = JUDGED, flat: bool = False) -> Evaluation:
    trained = _trained(Path("unused"), skill=skill, shift=shift, judged=judged, flat=flat)
    return evaluate(trained, load_settings(), title=EVIL, replicates=200)


class _Page(HTMLParser):
    """What a browser would load or run, and the text that a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(page: str) -> _Page:
    parser = _Page()
    parser.feed(page)
    return parser


@cache
def _pictures() -> dict[str, bytes]:
    return card_pictures(_evaluation())


def _text(evaluation: Evaluation, approvals: tuple[CardApproval, ...] = ()) -> str:
    """What a person reads; pictures are drawn once for all tests."""
    with patch("training.evaluation.card.card_pictures", lambda _: _pictures()):
        return re.sub(r"\s+", " ", " ".join(_read(render_card(evaluation, "c" * 64, approvals)).text))


def test_a_model_that_knows_the_truth_is_sound_and_says_beside_what():
    found = _evaluation().verdict
    assert found.word == "sound"
    assert any("points scorecard" in text for text in found.speaks_for)
    assert any("2 of 10 groups have too few outcomes" in text for text in found.against) or len(found.against) == 1


def test_a_model_that_knows_nothing_is_weak_in_its_first_sentence():
    found = _evaluation(skill=0.0)
    assert found.verdict.word == "weak"
    assert found.verdict.sentence.startswith("Weak: it tells leads apart no better than chance (AUC 0.")
    assert any("worse than the hand-written points" in text for text in found.verdict.against)
    assert "Weak: it tells leads apart" in _text(found)


def test_a_model_no_better_than_the_points_is_weak_whatever_its_auc():
    found = _evaluation(skill=0.5)
    assert found.levels["auc"].value > 0.6
    assert found.verdict.word == "weak"
    assert "not better beyond noise than the hand-written points" in found.verdict.sentence


def test_probabilities_that_lie_need_care_and_every_group_says_so():
    found = _evaluation(shift=0.05)
    assert found.verdict.word == "with care"
    assert "points too high" in found.verdict.sentence
    assert found.gap.low < 0.05 < found.gap.high
    assert found.slices.stand_out > 0


def test_what_is_answered_beside_readiness_is_on_the_card_that_is_signed():
    trained = _trained(Path("unused"))
    trained.further = (SimpleNamespace(words=lambda: "Target sql (sells): do not choose leads by it."),)
    trained.tuning = SimpleNamespace(says="not beyond noise: the defaults stay")
    page = _text(evaluate(trained, load_settings(), title="t", replicates=200))
    assert "Target sql (sells): do not choose leads by it." in page
    assert "Booster shapes were looked for: not beyond noise: the defaults stay." in page


def test_rows_of_one_time_are_nowhere_called_later():
    trained = _trained(Path("unused"), flat=True)
    trained.dataset.timed = False
    del trained.dataset.slices["month"]
    found = evaluate(trained, load_settings(), title="t", replicates=200)
    assert found.stability is None
    assert found.verdict.sentence.startswith("Sound on leads of the same time:")
    assert any("leads drawn by chance, and not by later ones" in text for text in found.verdict.against)
    page = _text(found)
    assert "rows, drawn by chance" in page and "later rows" not in page
    assert "Whether it holds later was not shown." in page


def test_too_few_outcomes_show_nothing():
    found = _evaluation(judged=150)
    assert found.verdict.word == "not shown"
    assert "too few to tell" in found.verdict.sentence


def test_an_overridden_gate_is_on_the_card(tmp_path):
    trained = _trained(tmp_path / "bundle")
    trained.bundle.manifest.training["hygiene"] = {"passed": False, "failed": ["leads.role known in 3 % of leads"]}
    found = evaluate(trained, load_settings(), title="t", replicates=200)
    assert found.verdict.word == "with care"
    assert "leads.role known in 3 %" in found.verdict.sentence
    assert "leads.role known in 3 %" in _text(found)


def test_the_evaluation_reads_back_as_it_was_written_and_the_same_twice(tmp_path):
    found = _evaluation()
    file = save_evaluation(found, tmp_path / "bundle")
    assert file == evaluation_file(tmp_path / "bundle") == tmp_path / "bundle-card.json"
    back, digest = load_evaluation(tmp_path / "bundle", BUNDLE)
    assert back == found
    before = file.read_bytes()
    again = evaluate(_trained(Path("unused")), load_settings(), title=EVIL, replicates=200)
    save_evaluation(again, tmp_path / "bundle")
    assert file.read_bytes() == before
    assert load_evaluation(tmp_path / "bundle", BUNDLE)[1] == digest
    assert "NaN" not in before.decode()


def test_a_card_of_another_bundle_is_refused_and_none_or_a_broken_one_says_what_to_do(tmp_path):
    bundle = tmp_path / "bundle"
    with pytest.raises(NotReady, match="leadwell train"):
        load_evaluation(bundle, BUNDLE)
    file = save_evaluation(_evaluation(), bundle)
    with pytest.raises(BundleRefused, match="card of bundle abababababab"):
        load_evaluation(bundle, "cd" * 32)
    file.write_text('{"format": 1, "bundle_id": "' + BUNDLE + '"}')
    with pytest.raises(InputInvalid, match="leadwell train"):
        write_card(bundle, BUNDLE)
    file.write_text('{"format": 99, "bundle_id": "' + BUNDLE + '"}')
    with pytest.raises(InputInvalid, match="format 1, found 99"):
        write_card(bundle, BUNDLE)


def test_the_page_loads_nothing_and_escapes_what_comes_from_outside(tmp_path):
    save_evaluation(_evaluation(), tmp_path / "bundle")
    approvals = (CardApproval(EVIL, "2026-07-01", "2026-12-31", EVIL, "given to another version of this card"),)
    with patch("training.evaluation.card.card_pictures", lambda _: _pictures()):
        page = write_card(tmp_path / "bundle", BUNDLE, approvals)
    assert page == card_file(tmp_path / "bundle")
    text = page.read_text(encoding="utf-8")
    read = _read(text)
    assert "script" not in read.tags
    assert "&lt;script&gt;" in text
    assert len(read.loads) == read.tags.count("img") == 8
    assert all(load.startswith("data:image/png;base64,") for load in read.loads)
    assert "default-src 'none'" in text
    assert not re.search(r"\bnan\b|\bNone\b(?! stands out)|Estimate\(", " ".join(read.text))


def test_the_card_has_what_a_reviewer_signs():
    text = _text(_evaluation())
    for said in (
        "Sign-off", "signature", "compliance", "Not for", "within 60 days", "What it was learned from",
        "What drives it", "Limits", "Are jurisdictions and sources treated alike?", "Does it hold over time?",
        "the lead was not known yet at the snapshot", "Too few to tell", BUNDLE, "c" * 64,
    ):  # fmt: skip
        assert said in text


def test_what_leakage_detectors_saw_and_what_an_interval_means_are_on_the_card():
    text = _text(_evaluation())
    assert "2 detectors looked" in text
    assert "warns: rows COPIES_ON_BOTH_SIDES: 3 of 9 rows" in text
    assert "The interval of one lead: groups of leads like this one" in text


def test_a_flat_export_predicts_its_own_outcome_and_no_horizon():
    mapping: Any = SimpleNamespace(name="export", outcome="Converted")
    found = evaluate(_trained(Path("unused"), flat=True), load_settings(), title="t", mapping=mapping, replicates=50)
    text = _text(found)
    assert "That is Converted, as recorded" in text
    assert "within 60 days" not in text


def test_every_picture_of_the_card_is_drawn():
    assert set(_pictures()) == {
        "reliability", "gain", "distribution", "segments", "slices", "auc_by_period", "rate_by_period", "drivers",
    }  # fmt: skip
    assert all(png.startswith(b"\x89PNG") for png in _pictures().values())


def test_periods_are_snapshots_of_the_accounts_that_judge_and_steps_of_a_flat_export():
    months = _evaluation().stability
    assert months is not None
    assert [row.name for row in months.periods] == ["2026-01", "2026-03", "2026-05"]
    assert months.periods[-1].rows == JUDGED
    steps = _evaluation(flat=True).stability
    assert steps is not None
    assert [row.rows for row in steps.periods] == [JUDGED // 5] * 5


def test_bands_and_reasons_count_every_lead_that_judged():
    found = _evaluation()
    assert sum(line.rows for line in found.bands) == JUDGED
    unknown = next(line for line in found.bands if line.band == "unknown")
    assert found.abstained == {"SEGMENT_UNKNOWN": unknown.rows}


def test_a_segment_that_does_not_tell_keeps_its_counts_and_has_no_number():
    found = _evaluation(judged=150)
    assert {line.segment_id for line in found.segments} == {"north", "south", "none"}
    for line in found.segments:
        assert line.tells or all(gap == Estimate(None) for gap in line.differences.values())
    assert "too few to tell" in _text(found)


def test_rows_left_out_keep_their_reason_and_a_reason_nobody_foresaw_is_shown_as_it_is():
    lines = data_lines({"rows": 9, "train": 4, "judge": 2, "too young for the horizon": 3, "withheld: a (R X)": 1})
    assert [(line.count, line.says) for line in lines["left"]] == [(3, "too young for the horizon")]
    assert [line.count for line in lines["used"]] == [4, 2]
    assert [line.says for line in lines["withheld"]] == ["a (R X)"]


def test_an_approval_of_an_older_card_says_that_it_is_not_of_this_one():
    entry = {"kind": "approved", "bundle_id": BUNDLE, "by": "Grace", "recorded_at": datetime(2026, 7, 1, tzinfo=UTC)}
    entries = tuple(
        SimpleNamespace(number=n, says={"card": card, "expires_on": "2026-12-31", "note": ""}, **entry)
        for n, card in enumerate(("c" * 64, "e" * 64), start=1)
    )
    found = approvals_of(SimpleNamespace(entries=entries), BUNDLE, "c" * 64)  # type: ignore[arg-type]
    assert [approval.objection for approval in found] == ["", "given to another version of this card"]


def test_every_verdict_has_a_color_on_the_page():
    for word in WORDS:
        verdict = replace(_evaluation().verdict, word=word)
        assert f"Verdict: {word}" in _text(replace(_evaluation(), verdict=verdict))
