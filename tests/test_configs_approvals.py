"""Approvals: a chain of sealed steps about content; nobody approves their own work; what is written stays written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.approval_file import KEPT, append_step, kept_content, step_text, writable_folder
from configs.approvals import (
    FILE,
    ApprovalStep,
    Standing,
    approval_problems,
    retired_ids,
    same_person,
    sealed_steps,
    standings,
    with_approvals,
)
from configs.definitions import SegmentDefinition
from configs.errors import ConfigInvalid, InputInvalid
from configs.governance import ApprovalRules
from configs.settings import DEFAULTS, Settings, load_approvals, load_settings

DAY = date(2026, 1, 1)
RULES = ApprovalRules(max_days=365)
SEGMENT = "cardio_outpatient"
SHIPPED = load_settings()
KNOWN = (SEGMENT, "cardio_hospital_team")
PLAIN = [SegmentDefinition.model_validate_json(d.content) for d in SHIPPED.segments if d.id in KNOWN]
OURS = next(d for d in PLAIN if d.id == SEGMENT)


def step(kind: str, by: str, *, after: int = 0, definition: SegmentDefinition = OURS, **said: object) -> ApprovalStep:
    on = DAY + timedelta(days=after)
    if kind == "approved":
        said = {"expires_on": on + timedelta(days=100), "reference": "SEG-1"} | said
    if kind == "reviewed":
        said = {"outcome": "kept", "next_review_on": on + timedelta(days=90)} | said
    content = {"segment": definition.id, "version": definition.version, "definition": definition.content_hash}
    return ApprovalStep.model_validate(content | {"step": kind, "by": by, "on": on} | said)


def told(steps: Sequence[ApprovalStep], *, seal: bool = True) -> list[str]:
    """What loading says of a list, as `place.field: text`."""
    listed = sealed_steps(steps) if seal else list(steps)
    return [f"{p.key.removeprefix('approvals.')}: {p.expected}" for p in approval_problems(PLAIN, listed, RULES)]


def now(steps: Sequence[ApprovalStep]) -> SegmentDefinition:
    return next(d for d in with_approvals(PLAIN, steps) if d.id == SEGMENT)


PROPOSED, APPROVED = step("proposed", "Ada"), step("approved", "Ben", after=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "configs"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


@pytest.fixture
def quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which only the list is read anew: everything else is as it ships."""
    monkeypatch.setattr(
        "configs.approval_file.load_settings",
        lambda _: SHIPPED.model_copy(update={"approvals": load_approvals(folder / FILE)}),
    )
    return folder


# --- who may do what, in which order -----------------------------------------------------------------------------


def test_the_shipped_list_is_valid_and_keeps_the_text_of_every_version() -> None:
    assert SHIPPED.approvals and [d.id for d in SHIPPED.segments if d.residual and d.status == "approved"]
    for one in SHIPPED.approvals:
        kept = kept_content(DEFAULTS, one.segment, one.version, one.definition)
        assert kept is not None and kept.content_hash == one.definition


def test_a_proposal_and_another_persons_approval_make_a_segment_active_until_the_last_day() -> None:
    assert told([PROPOSED, APPROVED]) == []
    found = now([PROPOSED, APPROVED])
    assert found.status == "approved"
    days = (DAY, DAY + timedelta(days=1), DAY + timedelta(days=101), DAY + timedelta(days=102))
    assert [found.is_active(day) for day in days] == [False, True, True, False]
    assert now([PROPOSED]).status == "proposed" and not now([PROPOSED]).is_active(DAY)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([APPROVED], ["0.step: cardio_outpatient: it was approved and nobody proposed it before"]),
        ([PROPOSED, step("approved", "Ada")], ["1.by: cardio_outpatient: who proposed it may not approve it"]),
        ([PROPOSED, step("approved", OURS.author)], ["1.by: cardio_outpatient: its author may not approve it"]),
        ([PROPOSED, step("proposed", "Cy")], ["1.step: cardio_outpatient: it waits for a decision since 2026-01-01"]),
        ([PROPOSED, APPROVED, step("approved", "Cy", after=2)], ["2.step: cardio_outpatient: it was approved again"]),
        ([step("reviewed", "Ada")], ["0.step: cardio_outpatient: it was reviewed and never approved"]),
        ([step("retired", "Ada")], ["0.step: cardio_outpatient: it was retired and neither"]),
        ([step("proposed", "Ada", after=2), APPROVED], ["1.on: cardio_outpatient: expected a day not before"]),
        ([PROPOSED, step("retired", "Cy"), step("proposed", "Ada")], ["2.step: cardio_outpatient: this content was"]),
        (
            [PROPOSED, step("approved", "Ben", expires_on=DAY + timedelta(days=366))],
            ["1.expires_on: cardio_outpatient: an approval lasts at most 365 days, here until 2027-01-01"],
        ),
        (
            [step("proposed", "Ada", segment="gone")],
            ["0.segment: no segment 'gone' is defined", "0.definition: expect"],
        ),
        ([step("proposed", "Ada", version=9)], ["0.definition: expected cardio_outpatient version 1"]),
        ([PROPOSED, step("retired", "Ada", replaced_by="gone")], ["1.replaced_by: no segment 'gone' is defined"]),
    ],
)
def test_a_step_that_may_not_follow_is_refused_with_its_place(steps: list[ApprovalStep], said: list[str]) -> None:
    found = told(steps)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True)), found


def test_all_that_is_wrong_with_a_list_is_said_at_once() -> None:
    wrong = [step("approved", "Ben", after=3), step("proposed", "Ada"), step("proposed", "Ada", segment="gone")]
    assert len(told(wrong, seal=False)) == 6  # no proposal, day back, unknown id, whose content, it waits, no seal


def test_a_version_that_was_approved_takes_no_other_content() -> None:
    other = OURS.model_copy(update={"title": "Another title"})
    steps = [PROPOSED, APPROVED, step("proposed", "Ada", after=2, definition=other)]
    assert told(steps) == []
    steps.append(step("approved", "Ben", after=3, definition=other))
    assert told(steps) == [
        "3.version: cardio_outpatient: version 1 was approved with other content, expected a new number"
    ]


def test_an_edit_after_the_approval_makes_a_draft_that_holds_nobody() -> None:
    edited = OURS.model_copy(update={"hypothesis": OURS.hypothesis + " Still."})
    (found,) = with_approvals([edited], [PROPOSED, APPROVED])
    assert found.status == "draft" and found.approval is None and not found.is_active(DAY + timedelta(days=2))


def test_a_renewal_leaves_no_gap_while_it_waits_and_after_it() -> None:
    asked = step("proposed", "Ada", after=50)
    waiting = now([PROPOSED, APPROVED, asked])
    assert waiting.status == "approved" and waiting.is_active(DAY + timedelta(days=60))
    renewed = now([PROPOSED, APPROVED, asked, step("approved", "Ben", after=60)])
    # A replay of an earlier day still sees it approved; the last day is that of the renewal.
    assert [renewed.is_active(DAY + timedelta(days=n)) for n in (1, 59, 160, 161)] == [True, True, True, False]
    for day, covered in ((102, True), (103, False)):  # the last day is 101: the day after leaves no gap either
        next_ = [step("proposed", "Ada", after=day), step("approved", "Ben", after=day)]
        assert now([PROPOSED, APPROVED, *next_]).is_active(DAY + timedelta(days=50)) is covered
    late = now([PROPOSED, APPROVED, step("proposed", "Ada", after=110), step("approved", "Ben", after=110)])
    assert [late.is_active(DAY + timedelta(days=n)) for n in (1, 105, 110)] == [False, False, True]


def test_a_review_sets_the_next_date_and_leaves_status_hash_and_map_as_they_are() -> None:
    reviewed = now([PROPOSED, APPROVED, step("reviewed", "Cy", after=2)])
    assert reviewed.status == "approved" and reviewed.content_hash == OURS.content_hash
    assert (OURS.due_on, reviewed.due_on) == (OURS.review_on, DAY + timedelta(days=92))


def test_retiring_names_the_successor_and_ends_the_approval() -> None:
    found = now([PROPOSED, APPROVED, step("retired", "Cy", after=2, replaced_by="cardio_hospital_team")])
    assert (found.status, found.approval, found.replaced_by) == ("retired", None, "cardio_hospital_team")


def test_an_earlier_text_of_a_retired_segment_stays_retired_and_a_later_one_may_be_approved() -> None:
    second, third = (OURS.model_copy(update={"version": n, "title": f"Title {n}"}) for n in (2, 3))
    steps = [PROPOSED, APPROVED, step("proposed", "Ada", after=2, definition=second)]
    steps += [step("approved", "Ben", after=2, definition=second), step("retired", "Ada", after=3, definition=second)]
    assert now(steps).status == "retired" and retired_ids([OURS, second, third], steps) == {SEGMENT}
    assert retired_ids([third], steps) == frozenset()
    refused = [*steps, step("proposed", "Ada", after=4)]
    assert [text.split(":")[0] for text in told(refused)] == ["5.step"]
    steps += [step("proposed", "Ada", after=4, definition=third), step("approved", "Ben", after=4, definition=third)]
    (found,) = with_approvals([third], steps)
    assert told(steps) == [] and found.status == "approved" and now(steps).status == "retired"


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        ("proposed", {"expires_on": DAY}, "only where step is approved"),
        ("proposed", {"outcome": "kept"}, "only where step is reviewed"),
        ("approved", {"reference": None}, "expected both for an approval"),
        ("approved", {"expires_on": DAY - timedelta(days=1)}, "expected both for an approval"),
        ("reviewed", {"next_review_on": None}, "expected a date for a hypothesis"),
        ("reviewed", {"next_review_on": DAY}, "expected a day after"),
        ("retired", {"replaced_by": SEGMENT}, "expected another segment"),
        ("proposed", {"by": " - "}, "name of a person"),
        ("proposed", {"by": "Ada\nstep: approved"}, "one line of visible characters"),
        ("proposed", {"note": "a\u202eb"}, "one line of visible characters"),
    ],
)
def test_a_step_says_what_belongs_to_it_and_nothing_else(kind: str, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        step(kind, "Ada", **wrong) if "by" not in wrong else step(kind, str(wrong["by"]))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("Jane  DOE ", "jane doe", True),
        ("Doe, Jane", "Jane Doe", True),
        ("\uff2aane Doe", "Jane Doe", True),  # full width
        ("Jane\u200b Doe", "Jane Doe", True),  # zero width
        ("J\u0430ne Doe", "Jane Doe", True),  # a Cyrillic a
        ("Mu\u0308ller", "M\u00fcller", True),
        ("JaneDoe", "Jane Doe", True),
        ("jane.doe@example.com", "Jane Doe", True),
        ("Dr. Jane Doe, PharmD", "Doe, Jane", True),
        ("J. Doe", "Jane Doe", True),  # nobody can tell that they are two
        ("Max Roe and Jane Doe", "Jane Doe", True),
        ("J. Doe", "Max Doe", False),
        ("Dr", "Jane Doe", False),
        ("---", "J. D.", False),
        ("education lead, oncology", "medical director oncology", False),
        ("Jane Doe", "Jane Roe", False),
        ("\u674e\u660e", "\u738b\u660e", False),
    ],
)
def test_a_name_is_one_however_it_is_typed(left: str, right: str, same: bool) -> None:
    assert same_person(left, right) is same


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["proposed", "approved", "reviewed", "retired"]),
            st.sampled_from(["Ada", "ADA ", "Ben", OURS.author]),
        ),
        max_size=8,
    )
)
@settings(deadline=None, max_examples=150)
def test_no_list_that_loads_approves_what_nobody_else_proposed(drawn: list[tuple[str, str]]) -> None:
    steps: list[ApprovalStep] = []
    standing = Standing()
    for place, (kind, by) in enumerate(drawn):
        one = step(kind, by.strip(), after=place)
        # What a command would refuse is not written; what is written is what loading accepts.
        if standing.objection(one, RULES, OURS.author) is None:
            steps.append(one)
            standing = standing.after(one)
    assert told(steps) == []
    found = now(steps)
    if found.status == "approved":
        (last,) = [s for s in steps if s.step == "approved"][-1:]
        proposers = [s for s in steps[: steps.index(last)] if s.step == "proposed"]
        assert proposers and not same_person(proposers[-1].by, last.by) and not same_person(last.by, OURS.author)
        assert not any(s.step == "retired" for s in steps)
    refused = [step(kind, by.strip(), after=place) for place, (kind, by) in enumerate(drawn)]
    assert bool(told(refused)) == (len(refused) != len(steps))


# --- rewriting history is noticed --------------------------------------------------------------------------------


def _rewritten(folder: Path, pattern: str, text: str) -> str:
    path = folder / FILE
    before = path.read_text(encoding="utf-8")
    after = re.sub(pattern, text, before, count=1, flags=re.DOTALL)
    assert before != after
    path.write_text(after, encoding="utf-8")
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    return str(refused.value)


def test_a_past_step_edited_by_hand_is_found_at_its_place(folder: Path) -> None:
    said = _rewritten(folder, r"by: \"head of diagnostics\"", 'by: "head of nothing"')
    assert "the approved step of dx_independent_lab_qc was changed" in said and "approvals.7.seal" in said


def test_a_removed_step_is_found(folder: Path) -> None:
    removed = r"  - \{segment: \"implant_ortho_vac\", version: 1, step: \"proposed\".*?\}\n"
    assert "one before it was removed" in _rewritten(folder, removed, "")


def test_a_step_without_a_seal_is_found(folder: Path) -> None:
    assert "has no seal" in _rewritten(folder, r",\n +seal: \"[0-9a-f]{64}\"\}\s*\Z", "}\n")


def test_what_was_decided_on_cannot_be_written_into_the_definition(folder: Path) -> None:
    path = folder / "segments" / "unsegmented.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("version: 1\n", "version: 1\nstatus: approved\n", 1), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="bound to the content"):
        load_settings(folder)


def test_a_kept_text_that_was_changed_is_refused(folder: Path) -> None:
    one = SHIPPED.approvals[-1]
    (path,) = (folder / KEPT).glob(f"{one.segment}-*.json")
    path.write_text(path.read_text(encoding="utf-8").replace("hcp", "buyer", 1), encoding="utf-8")
    with pytest.raises(InputInvalid, match="SHA-256"):
        kept_content(folder, one.segment, one.version, one.definition)


# --- the file ----------------------------------------------------------------------------------------------------


def _renewal(found: Settings, segment: str = SEGMENT, by: str = "Ada", **said: object) -> ApprovalStep:
    definition = next(d for d in found.segments if d.id == segment)
    content = {"segment": segment, "version": definition.version, "definition": definition.content_hash}
    return ApprovalStep.model_validate(content | {"step": "proposed", "by": by, "on": date(2026, 11, 1)} | said)


def test_a_step_is_appended_and_every_earlier_byte_stays(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(b"# a comment of ours\r\n" + path.read_bytes() + b"  # at the end, no newline")
    before, mode = path.read_bytes(), path.stat().st_mode
    after, added = append_step(
        folder, lambda found: _renewal(found, note='5 % "of" {all}: [it] #1', by="M. O'Neil é 李")
    )
    assert path.read_bytes().startswith(before) and path.stat().st_mode == mode
    assert load_settings(folder).approvals == after.approvals and after.approvals[-1] == added
    assert {p.name for p in folder.iterdir() if "approval" in p.name} == {FILE}


def test_a_list_without_steps_takes_its_first(quick: Path) -> None:
    (quick / FILE).write_text("# ours\napprovals: []\n", encoding="utf-8")
    append_step(quick, lambda found: _renewal(found))
    append_step(quick, lambda found: _renewal(found, by="Ben", segment="cardio_hospital_team"))
    assert len(load_approvals(quick / FILE)) == 2


def test_a_list_that_cannot_be_added_to_is_left_alone(quick: Path) -> None:
    path = quick / FILE
    path.write_text(path.read_text(encoding="utf-8") + "...\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(ConfigInvalid, match="expected the list at the end of the file"):
        append_step(quick, lambda found: _renewal(found))
    assert path.read_bytes() == before and not list(quick.glob(".*"))


def test_a_step_that_may_not_follow_is_not_written(quick: Path) -> None:
    before = (quick / FILE).read_bytes()
    with pytest.raises(ConfigInvalid, match="nobody proposed that since"):
        append_step(
            quick, lambda found: _renewal(found, step="approved", expires_on=date(2027, 1, 1), reference="SEG-9")
        )
    assert (quick / FILE).read_bytes() == before


def test_two_writers_at_once_lose_nothing(quick: Path) -> None:
    ids = ["cardio_outpatient", "cardio_hospital_team", "pharmacist_med_mgmt", "onc_community_center"]
    gate = threading.Barrier(len(ids))

    def write(segment: str) -> None:
        gate.wait()
        append_step(quick, lambda found: _renewal(found, segment=segment))

    threads = [threading.Thread(target=write, args=(segment,)) for segment in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = load_approvals(quick / FILE)
    assert sorted(one.segment for one in found[-4:]) == sorted(ids) and len(found) == len(SHIPPED.approvals) + 4


def test_the_second_of_two_equal_steps_is_refused_by_what_the_first_wrote(quick: Path) -> None:
    append_step(quick, lambda found: _renewal(found))
    with pytest.raises(ConfigInvalid, match="waits for a decision"):
        append_step(quick, lambda found: _renewal(found, by="Ben"))


def test_a_writer_killed_in_the_middle_leaves_the_list_and_lets_the_next_one_write(folder: Path) -> None:
    before = (folder / FILE).read_bytes()
    program = f"""
import os, signal
from pathlib import Path
from tests.test_configs_approvals import _renewal
import configs.approval_file as file
file.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file.keep_content = lambda *_: None
file.append_step(Path({str(folder)!r}), lambda found: _renewal(found))
"""
    root = Path(__file__).parent.parent
    environment = dict(os.environ, PYTHONPATH=str(root))
    killed = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, check=False)
    assert killed.returncode == -9
    assert (folder / FILE).read_bytes() == before and load_settings(folder).approvals == SHIPPED.approvals
    append_step(folder, lambda found: _renewal(found))
    assert len(load_settings(folder).approvals) == len(SHIPPED.approvals) + 1 and not list(folder.glob(".*.partial"))


def test_what_is_written_reads_back_whatever_people_type(tmp_path: Path) -> None:
    for text in ("null", "yes", "2026-01-01", "a: b", "- x", "{}", "#", "'", '"', "\\n", "&a", "*a", "!x", "%", "é😀"):
        one = sealed_steps([step("proposed", "Ada", note=text)])[0]
        path = tmp_path / FILE
        path.write_text("approvals:\n  " + step_text(one) + "\n", encoding="utf-8")
        assert load_approvals(path) == (one,), text


def test_the_installed_programs_own_list_is_not_written(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert writable_folder(folder) == folder.resolve() and writable_folder(None) == DEFAULTS.resolve()
    monkeypatch.setattr("configs.approval_file.DEFAULTS", folder)  # a folder without a source tree around it
    with pytest.raises(InputInvalid, match="copy it and give the copy as --configs DIR"):
        writable_folder(None)
    with pytest.raises(InputInvalid, match="expected a folder"):
        writable_folder(folder / "nowhere")


def test_standings_are_by_content() -> None:
    other = OURS.model_copy(update={"version": 2})
    found = standings([PROPOSED, APPROVED, step("proposed", "Ada", after=2, definition=other)])
    assert [found[d.content_hash].status for d in (OURS, other)] == ["approved", "proposed"]
