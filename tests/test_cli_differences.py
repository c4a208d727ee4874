"""How the terminal shows a difference between two models, also where there is no interval."""

from __future__ import annotations

from math import nan

from cli.differences import shown_gap
from training.evaluation.metrics import Difference


def _gap(value: float, low: float, high: float) -> str:
    return shown_gap(Difference("log_loss", "ours", "theirs", value, low, high))


def test_a_difference_shows_its_interval_in_the_color_of_its_verdict() -> None:
    assert _gap(-0.2, -0.3, -0.1) == "[green]-0.200 (-0.300, -0.100)[/green]"
    assert _gap(0.2, 0.1, 0.3).startswith("[red]")
    assert _gap(0.1, -0.1, 0.3).startswith("[dim]")


def test_a_difference_without_an_interval_says_why_and_shows_no_nan() -> None:
    assert _gap(0.1, nan, nan) == "[dim]+0.100 (too few accounts)[/dim]"
    assert _gap(nan, nan, nan) == "[dim]not defined[/dim]"
