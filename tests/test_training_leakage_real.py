"""Real exports: what is declared honestly passes, and what sales wrote is caught when somebody declares it honest.

The rows are nobody's here: they are read by path from the shared material and these tests skip where it is absent.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from configs.settings import Settings, load_settings, load_source
from features.intake.flat import read_flat
from models.segments.map import SegmentMap
from training.dataset.dataset import build_flat_dataset
from training.leakage.findings import FAILS, WARNS
from training.leakage.gate import look_at_export

pytestmark = pytest.mark.slow

FILES = {
    "xeducation": "xeducation/leads.csv",
    "bank_marketing": "bank_marketing/calls_oldest70.csv",
    "online_shoppers": "online_shoppers/online_shoppers_intention.csv",
}


def _file(source: str) -> Path:
    shared = Path(os.environ.get("LEADWELL_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    path = shared / "data" / FILES[source]
    if not path.is_file():
        pytest.skip(f"needs {FILES[source]}: set LEADWELL_SHARED to the folder that holds data/")
    return path


@cache
def settings() -> Settings:
    return load_settings()


def found(source: str, column: str = "", kind: str = "") -> list[tuple[str, str, str]]:
    """What is found in an export as its mapping declares it, with one more column declared honest."""
    mapping = load_source(Path(source))
    if column:
        given = mapping.model_dump()
        for place in ("after_outcome", "ignored"):
            given[place].pop(column, None)
        claim = {"column": column, "type": kind, "known_at": "before_outcome"}
        mapping = type(mapping).model_validate({**given, "attributes": (*given["attributes"], claim)})
    intake = read_flat(mapping, _file(source), settings(), training=True)
    dataset = build_flat_dataset(intake, settings(), SegmentMap.load(settings()), mapping)
    return [(leak.level, leak.id, leak.column) for leak in look_at_export(dataset, intake).leaks]


@pytest.mark.parametrize("source", list(FILES))
def test_a_real_export_as_it_is_declared_has_no_leak(source: str) -> None:
    assert found(source) == []


@pytest.mark.parametrize(
    ("source", "column", "kind", "level", "id_", "at"),
    [
        ("xeducation", "Tags", "category", FAILS, "TARGET_IN_DISGUISE", "Tags"),
        ("xeducation", "Lead Quality", "category", FAILS, "NAMED_LIKE_AFTERWARDS", "Lead Quality"),
        ("xeducation", "Lead Profile", "category", WARNS, "NAMED_LIKE_AFTERWARDS", "Lead Profile"),
        ("xeducation", "Last Notable Activity", "category", WARNS, "LATER_COPY", "Last Activity"),
        *[
            ("xeducation", f"Asymmetrique {what} {how}", kind, WARNS, "FILLED_AFTERWARDS", f"Asymmetrique {what} {how}")
            for what in ("Activity", "Profile")
            for how, kind in (("Index", "category"), ("Score", "number"))
        ],
        ("bank_marketing", "duration", "number", FAILS, "TARGET_IN_DISGUISE", "duration"),
        ("online_shoppers", "PageValues", "number", WARNS, "TARGET_IN_DISGUISE", "PageValues"),
    ],
)
def test_a_column_written_after_the_outcome_is_caught_when_it_is_declared_honest(
    source: str, column: str, kind: str, level: str, id_: str, at: str
) -> None:
    assert found(source, column, kind) == [(level, id_, at)]
