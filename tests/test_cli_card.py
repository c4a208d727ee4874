"""`leadwell card`: the verdict on the screen, the page's path, the next step, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import BundleRefused, NotReady
from training.evaluation.card import CardApproval
from training.evaluation.evaluation import Verdict

RUNNER = CliRunner()
BUNDLE = "ab" * 32
VERDICT = Verdict("weak", "Weak: no better than the points.", ("no better than the points",), ("AUC 0.7",))


def _run(folder: Path, approvals: tuple[CardApproval, ...] = ()) -> str:
    """Run it on a bundle whose parts are stood in for; the pages themselves have their own tests."""
    evaluation = SimpleNamespace(verdict=VERDICT)
    (folder / "bundle").mkdir()
    with (
        patch("models.bundle.read_bundle", lambda _: SimpleNamespace(bundle_id=BUNDLE)),
        patch("training.evaluation.evaluation.load_evaluation", lambda *_: (evaluation, "c" * 64)),
        patch("training.evaluation.card.approvals_of", lambda *_: approvals),
        patch("training.evaluation.card.write_card", lambda *_: folder / "bundle-card.html"),
    ):
        found = RUNNER.invoke(app, ["card", "--bundle", str(folder / "bundle"), "--artifacts", str(folder)])
    assert found.exit_code == 0, found.output
    return " ".join(found.output.split())


def test_it_says_the_verdict_its_reasons_where_the_page_is_and_what_to_do_next(tmp_path):
    said = _run(tmp_path)
    assert "Weak: no better than the points." in said
    assert "against no better than the points" in said
    assert "for AUC 0.7" in said
    assert "bundle-card.html" in said
    assert "Next: leadwell registry approve" in said


def test_it_shows_approvals_and_those_of_another_card(tmp_path):
    said = _run(
        tmp_path,
        (
            CardApproval("Grace", "2026-07-01", "", ""),
            CardApproval("Old", "2026-06-01", "", "", "given to another card"),
        ),
    )
    assert "approved by Grace on 2026-07-01" in said
    assert "approved by Old on 2026-06-01: given to another card" in said
    assert "Next:" not in said


def test_no_bundle_and_a_bundle_without_a_card_are_refused_by_name(tmp_path):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleRefused, match=r"none: expected a bundle folder; `leadwell train"):
        RUNNER.invoke(app, ["card", "--bundle", str(tmp_path / "none")], catch_exceptions=False)
    with (
        patch("models.bundle.read_bundle", lambda _: SimpleNamespace(bundle_id=BUNDLE)),
        pytest.raises(NotReady, match=r"bundle-card\.json: no evaluation beside the bundle; `leadwell train"),
    ):
        RUNNER.invoke(app, ["card", "--bundle", str(tmp_path / "bundle")], catch_exceptions=False)
