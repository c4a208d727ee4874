"""The segmentation matrix: ten columns for every definition, as rows, on the screen and as a page loading nothing."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.definitions import SegmentDefinition
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from models.segments.map import SegmentMap
from models.segments.matrix import COLUMNS, MatrixLine, segment_matrix
from training.matrix_page import render_segment_matrix

ON = date(2026, 6, 30)
RUNNER = CliRunner()


@cache
def shipped() -> Settings:
    return load_settings()


def lines_of(*changed: SegmentDefinition, on: date = ON) -> tuple[MatrixLine, ...]:
    others = [d for d in shipped().segments if d.id not in {c.id for c in changed}]
    return segment_matrix(SegmentMap([*others, *changed], Domain.of(shipped())).activations, on)


def definition(segment_id: str) -> SegmentDefinition:
    return next(d for d in shipped().segments if d.id == segment_id)


class Page(HTMLParser):
    """What a page shows and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.bodies: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.loads += [str(given[key]) for key in ("src", "href", "action") if key in given]
        if tag == "tbody":
            self.bodies.append(str(given.get("class")))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_columns_are_those_of_the_field_in_its_order() -> None:
    assert COLUMNS == (
        "segment", "clinical dimension", "setting", "role", "content need", "content type", "channels",
        "next best action", "owner", "KPI",
    )  # fmt: skip


def test_every_definition_is_one_line_with_nothing_left_out() -> None:
    lines = lines_of()
    assert sorted(line.segment_id for line in lines) == sorted(d.id for d in shipped().segments)
    for line in lines:
        assert len(line.cells) == len(COLUMNS)
        assert all(cell.strip() and cell != "not said" for cell in line.cells), line.segment_id
        assert bool(line.needs) == (line.status == "draft")


def test_a_line_says_what_its_definition_says() -> None:
    (line,) = (line for line in lines_of() if line.segment_id == "dx_independent_lab_qc")
    assert line.cells == (
        "dx_independent_lab_qc",
        "laboratory medicine",
        "independent laboratory, high throughput",
        "lab director, quality lead, medical technologist, procurement",
        "validation support, quality documents, comparison of workflows",
        "overview, checklist",
        "email, phone, rep visit",
        "Offer the documentation packet, then pilot support with a technical specialist",
        "diagnostics marketing",
        "pilots with a complete documentation packet",
    )
    assert (line.status, line.unit, line.purpose, line.overlay, line.active) == (
        "approved", "account", "promotional", False, True,
    )  # fmt: skip


def test_approved_lines_come_first_and_then_by_priority() -> None:
    lines = lines_of()
    order = [(line.status != "approved", definition(line.segment_id).priority) for line in lines]
    assert order == sorted(order)


def test_a_definition_without_a_matrix_row_says_so_instead_of_guessing() -> None:
    bare = definition("cardio_outpatient").model_copy(update={"matrix": None, "channel_plan": ()})
    (line,) = (line for line in lines_of(bare) if line.segment_id == bare.id)
    assert line.cells[1:7] == ("not said",) * 5 + ("none",)


def test_a_line_is_inactive_the_day_after_its_approval_ran_out_and_the_residual_one_never_is() -> None:
    last = definition("cardio_outpatient").approval
    assert last is not None
    for day, expected in ((last.expires_on, True), (date(2027, 7, 1), False)):
        active = {line.segment_id: line.active for line in lines_of(on=day)}
        assert active["cardio_outpatient"] is expected
        assert active["unsegmented"]
        assert not active["need_dosing"]


def test_the_page_loads_nothing_runs_nothing_and_can_be_filtered() -> None:
    text = render_segment_matrix(lines_of(), shipped().statuses, as_of="2026-06-30")
    page = Page(text)
    assert page.loads == []
    assert not {"script", "link", "img", "iframe", "form", "object"} & set(page.tags)
    assert "default-src 'none'" in text
    assert "url(" not in text and "@import" not in text
    assert page.bodies.count("s-draft p-1") + page.bodies.count("s-draft p-2") == 38
    assert page.bodies.count("s-approved p-1") + page.bodies.count("s-approved p-2") == 9
    for wanted in ("all", "approved", "draft"):
        assert text.count(f'id="s-{wanted}"') == text.count(f'label for="s-{wanted}"') == 1
    for hidden in ("approved", "draft"):
        assert f"#s-{hidden}:checked ~ section tbody:not(.s-{hidden})" in text


def test_the_page_shows_what_a_draft_needs_and_statuses_apart_from_segments() -> None:
    words = " ".join(Page(render_segment_matrix(lines_of(), shipped().statuses, as_of="2026-06-30")).words)
    for line in lines_of():
        assert all(need in words for need in line.needs)
        assert all(" ".join(cell.split()) in " ".join(words.split()) for cell in line.cells)
    assert all(status.title in words for status in shipped().statuses)
    assert words.index("Statuses are no segments") > max(words.index(line.segment_id) for line in lines_of())


def test_no_text_of_a_definition_becomes_markup() -> None:
    bad = definition("need_dosing").model_copy(update={"title": "<script>x</script>", "needs": ("<b>bold</b>",)})
    text = render_segment_matrix(lines_of(bad), (), as_of="2026-06-30")
    assert "<script>" not in text and "<b>bold" not in text
    assert "&lt;script&gt;" in text


def test_the_command_writes_the_page_into_a_new_folder(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["segments", "matrix", "--out", str(tmp_path / "deep/m.html"), "--as-of", "2026-06-30"])
    assert done.exit_code == 0, done.output
    assert "47 segments" in done.output
    expected = render_segment_matrix(lines_of(), shipped().statuses, as_of="2026-06-30")
    assert (tmp_path / "deep/m.html").read_text(encoding="utf-8") == expected


def test_the_command_shows_one_status_on_the_screen_and_which_approvals_ran_out() -> None:
    done = RUNNER.invoke(app, ["segments", "matrix", "--status", "approved", "--as-of", "2028-01-01"])
    assert done.exit_code == 0
    assert "9 approved" in done.output
    assert "draft" not in done.output
    assert "ran out" in re.sub(r"\s+", " ", done.output)


@pytest.mark.parametrize(
    "arguments", [("--status", "live"), ("--out", "matrix.pdf")], ids=["unknown status", "not a page"]
)
def test_a_wrong_wish_is_refused_with_what_is_expected(arguments: tuple[str, str]) -> None:
    done = RUNNER.invoke(app, ["segments", "matrix", *arguments])
    assert done.exit_code != 0
    assert "expected" in str(done.exception)


# --- leadwell segments show -------------------------------------------------------------------------------------------


@cache
def shown(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["segments", "show", *arguments, "--as-of", "2026-06-30"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_showing_the_map_tells_who_holds_leads_and_who_holds_nobody() -> None:
    text = shown()
    assert "9 approved, 38 that hold nobody" in text
    assert all(d.id in text for d in shipped().segments)


def test_showing_a_draft_tells_its_chain_its_stages_its_roles_and_what_it_needs() -> None:
    text = shown("need_patient_selection")
    for part in (
        "draft: it holds nobody", "segments/needs.yaml", "fallback 1", "fallback 2",
        "topic patient selection count 90d is at least 2", "else With the setting missing as well",
        "a checklist for the first visit", "work through the case set", "still needs the question asked in forms",
        "also watched questions sent to medical information",
    ):  # fmt: skip
        assert part in text, part


def test_showing_an_overlay_says_that_it_is_never_primary() -> None:
    assert "evaluated after readiness, never primary" in shown("rep_territory_lifecycle_nurture")
    assert "overlay" not in shown("need_patient_selection")


def test_an_unknown_segment_is_answered_with_the_nearest_names() -> None:
    done = RUNNER.invoke(app, ["segments", "show", "onc_comunity"])
    assert "did you mean onc_community_center" in str(done.exception)
