"""The report: one page that loads nothing, escapes what comes from outside, and shows only what it has."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from training.evaluation.metrics import Comparison, compare
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

EVIL = '<script>alert("x")</script>'
ESCAPED = "&lt;script&gt;"
RNG = np.random.default_rng(3)
Y = (RNG.random(400) < 0.3).astype(float)
PREDICTIONS = {
    name: np.clip(0.3 + 0.2 * (Y - 0.3) * skill + RNG.normal(0, 0.05, 400), 0.01, 0.99)
    for name, skill in (("leadwell", 1.0), ("pooled", 0.8), ("naive_bayes", 0.1))
}
SEGMENT = np.array(["cardio_outpatient", "unsegmented"], dtype=object)[np.arange(400) % 2]
EXAMPLE = {
    "lead_id": EVIL,
    "readiness": {
        "probability": 0.31, "band": "warm", "interval": [0.24, 0.39], "model": "pooled", "rest": -0.02,
        "drivers": [{"feature": "f", "value": None, "contribution": 0.61, "says": EVIL}],
    },
    "segments": [{"id": EVIL, "primary": True}],
    "fit": {"points": 64, "grade": "B"},
    "engagement": {"points": 41, "grade": 2},
    "channels": {
        "email": {"permitted": False, "blocks": [{"rule": "CA-01", "reason": "R", "says": EVIL}] * 6},
        "rep_visit": {"permitted": True, "permits": ["P-US-B2B"]},
    },
    "next_best_action": {"action": "send_asset", "channel": "rep_visit", "asset_id": EVIL},
}  # fmt: skip


def comparison() -> Comparison:
    return compare(Y, PREDICTIONS, ours="leadwell", segment=SEGMENT, replicates=50)


def full() -> ReportContent:
    return ReportContent(
        title=EVIL,
        as_of="2026-06-30",
        says=EVIL,
        figures=(Figure(EVIL, EVIL, EVIL),),
        steps=((EVIL, EVIL, 1.5),),
        counts=(TableCount(EVIL, 1000, 990, 6, 4),),
        dataset=(Figure("rows", "1,200"),),
        segments=(SegmentLine(EVIL, EVIL, 12, 0.5, 0.25, "pooled"), SegmentLine("unsegmented", "", 3, 0.5)),
        comparison=comparison(),
        segment_rivals=("pooled",),
        judged=Judged(Y, PREDICTIONS, SEGMENT),
        permitted={"email": 0.4, "phone": 0.1},
        reasons=(ReasonLine("CONSENT_UNKNOWN", EVIL, 12),),
        drivers=(DriverLine(EVIL, EVIL, "fit", 0.4), DriverLine("other", "says", "engagement", 0.2)),
        example=EXAMPLE,
        versions={EVIL: EVIL},
        notes=(EVIL,),
    )


class _Page(HTMLParser):
    """What a browser would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        assert not [name for name in given if name.startswith("on")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            self.sources.append(given["src"])


@pytest.fixture(scope="module")
def text() -> str:
    return render_report(full())


def test_the_page_loads_nothing_and_its_policy_forbids_it(text: str) -> None:
    page = _Page(text)
    assert page.policy.startswith("default-src 'none'")
    assert "script" not in page.policy
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    shown = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|url\(|@import|//[a-z]", shown)


def test_every_name_from_outside_is_escaped(text: str) -> None:
    assert EVIL not in text
    assert text.count(ESCAPED) >= 20


def test_every_link_on_the_page_leads_to_a_part_of_it(text: str) -> None:
    ids = set(re.findall(r'id="([a-z]+)"', text))
    assert {link.removeprefix("#") for link in _Page(text).links} <= ids
    assert len(ids) == 6


def test_the_numbers_shown_are_those_of_the_comparison(text: str) -> None:
    found = comparison()
    for name, metrics in found.models.items():
        assert f"{metrics.log_loss:.4f}" in text, name
        assert f"{metrics.auc:.4f}" in text, name
    assert f"{found.against('pooled').value:+.4f}".replace("-", "−") in text  # noqa: RUF001
    assert "400 rows judged" in text


def test_every_part_with_data_has_its_picture_and_an_empty_page_has_none() -> None:
    pictures = report_pictures(full())
    assert sorted(pictures) == [
        "distribution", "drivers", "gain", "permitted", "reasons", "reliability", "segments",
    ]  # fmt: skip
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert report_pictures(ReportContent(title="Nothing yet", as_of="2026-06-30")) == {}


def test_a_decision_shows_its_answer_by_channel_and_how_many_reasons_are_left_out(text: str) -> None:
    assert "and 2 more" in text
    assert "P-US-B2B" in text
    assert "send asset" in text


def test_the_same_content_gives_the_same_page() -> None:
    assert render_report(full()) == render_report(full())


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"figures": (Figure("leads", "12"),)},
        {"counts": (TableCount("leads", 1, 1, 0, 0),)},
        {"steps": (("train", "done", 1.0),)},
        {"segments": (SegmentLine("a", "b", 1, 0.5),)},
        {"comparison": compare(Y, PREDICTIONS, ours="leadwell", replicates=20)},
        {"judged": Judged(Y, PREDICTIONS)},
        {"judged": Judged(Y[:0], {name: p[:0] for name, p in PREDICTIONS.items()}, SEGMENT[:0])},
        {"permitted": {"email": 0.0}},
        {"drivers": (DriverLine("f", "says", "a group of its own", 0.0),)},
        {"example": {}},
        {"example": {"lead_id": "L1", "readiness": {"probability": None, "band": "unknown", "reason": "NO_DATA"}}},
        {"notes": ("only a note",), "versions": {"bundle": "abc"}},
    ],
)
def test_a_page_with_only_one_part_is_a_page(part: dict[str, object]) -> None:
    text = render_report(ReportContent(title="Leadwell", as_of="2026-06-30", **part))  # type: ignore[arg-type]
    page = _Page(text)
    ids = set(re.findall(r'id="([a-z]+)"', text))
    assert {link.removeprefix("#") for link in page.links} <= ids
    assert "None" not in text
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()


def test_one_segment_of_one_row_is_shown_without_a_verdict() -> None:
    segment = np.array(["most"] * 399 + ["tiny"], dtype=object)
    found = compare(Y, PREDICTIONS, ours="leadwell", segment=segment, replicates=20)
    tiny = next(row for row in found.segments if row.segment_id == "tiny")
    assert tiny.against("pooled").verdict == "within noise"
    content = ReportContent(
        title="t",
        as_of="2026-06-30",
        comparison=found,
        segment_rivals=("pooled",),
        judged=Judged(Y, PREDICTIONS, segment),
    )
    assert set(report_pictures(content)) == {"reliability", "gain", "distribution", "segments"}
    assert "<code>tiny</code>" in render_report(content)


def test_a_page_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "report.html"
    content = ReportContent(title="first", as_of="2026-06-30")
    assert write_report(content, file) == file
    before = file.read_text(encoding="utf-8")
    assert "first" in before

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_report(ReportContent(title="second", as_of="2026-06-30"), file)
    assert file.read_text(encoding="utf-8") == before
    assert list(file.parent.iterdir()) == [file]
