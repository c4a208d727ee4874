"""The report page: it loads nothing, escapes everything, and leaves out what it has no data for."""

from __future__ import annotations

import re

import numpy as np

from training.evaluate import compare
from training.report import (
    DriverLine,
    Figure,
    Judged,
    ReasonLine,
    ReportContent,
    SegmentLine,
    TableCount,
    render_report,
    report_pictures,
    write_report,
)

HOSTILE = '<script>alert("x")</script>'


def _full() -> ReportContent:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.02, 0.6, 200)
    y = (rng.uniform(size=200) < truth).astype(float)
    segment = np.array(["north", "south"], dtype=object)[np.arange(200) % 2]
    predictions = {"ours": truth, "pooled": np.clip(truth * 0.9, 0, 1), "points": np.full(200, 0.3)}
    decision = {
        "lead_id": HOSTILE,
        "segments": [{"id": "north", "primary": True}],
        "fit": {"points": 64, "grade": "B"},
        "engagement": {"points": 41, "grade": 2},
        "readiness": {
            "probability": 0.31,
            "interval": [0.24, 0.39],
            "band": "warm",
            "rest": 0.02,
            "drivers": [{"feature": "f", "value": None, "contribution": -0.5, "says": HOSTILE}],
        },
        "channels": {
            "email": {"permitted": False, "blocks": [{"rule": "CA-01", "reason": "R", "says": HOSTILE}] * 6},
            "rep_visit": {"permitted": True, "permits": ["P-US-B2B"]},
        },
        "next_best_action": {"action": "offer_visit", "channel": "rep_visit", "asset_id": "a"},
    }
    return ReportContent(
        title=HOSTILE,
        as_of="2026-06-30",
        figures=(Figure("leads", "200"),),
        steps=(("read", HOSTILE, 1.5),),
        counts=(TableCount("leads", 210, 200, 7, 3),),
        dataset=(Figure("snapshots", "4"),),
        segments=(SegmentLine("north", HOSTILE, 100, 0.5, 0.3, "own"), SegmentLine("south", "", 100, 0.5)),
        comparison=compare(y, predictions, ours="ours", segment=segment, replicates=50),
        segment_rivals=("pooled",),
        judged=Judged(y, predictions, segment),
        permitted={"email": 0.2, "rep_visit": 0.6},
        reasons=(ReasonLine("CONSENT_UNKNOWN", "No consent is known.", 120),),
        drivers=(DriverLine("engagement_demo_request_count_30d", "Demo requests", "engagement", 0.4),),
        example=decision,
        versions={"bundle": "abc"},
        notes=(HOSTILE,),
    )


def test_the_page_names_no_address_and_forbids_loading():
    page = render_report(_full())
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)) == []
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    sources = re.findall(r'src="([^"]{0,22})', page)
    assert sources
    assert set(sources) == {"data:image/png;base64,"}


def test_text_from_outside_is_escaped_everywhere():
    page = render_report(_full())
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_every_part_with_data_has_its_picture():
    assert sorted(report_pictures(_full())) == [
        "distribution", "drivers", "gain", "permitted", "reasons", "reliability", "segments",
    ]  # fmt: skip
    assert all(png.startswith(b"\x89PNG") for png in report_pictures(_full()).values())


def test_an_empty_report_is_a_page_without_pictures():
    page = render_report(ReportContent(title="Nothing yet", as_of="2026-06-30"))
    assert "Nothing yet" in page
    assert "<img" not in page
    assert "<section" not in page


def test_a_decision_shows_its_answer_by_channel_and_says_how_many_reasons_are_left_out():
    page = render_report(_full())
    assert "and 2 more" in page
    assert "P-US-B2B" in page
    assert "offer visit" in page


def test_writing_replaces_the_page_and_leaves_no_draft(tmp_path):
    file = tmp_path / "out" / "report.html"
    write_report(ReportContent(title="first", as_of="2026-06-30"), file)
    write_report(ReportContent(title="second", as_of="2026-06-30"), file)
    assert "second" in file.read_text(encoding="utf-8")
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]
