"""A segment's life by commands: submitted, approved, reviewed, edited, retired; each refusal says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.segments_approve import approve, history, register, retire, reviewed, submit
from cli.segments_review import records
from configs import approval_file
from configs.approvals import with_approvals
from configs.definitions import SegmentDefinition
from configs.errors import ConfigInvalid, InputInvalid
from configs.reader import Reader
from configs.settings import DEFAULTS, Settings, load_approvals, load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.intake.sources import find_files, read_tables
from features.inventory import Inventory
from features.records import Account, Lead
from features.view import view_at
from models.segments.map import SegmentMap
from models.segments.steps import retirement
from serving.decide import Decider

SHIPPED = load_settings()
PLAIN = [SegmentDefinition.model_validate_json(d.content) for d in SHIPPED.segments]
ID, FILE = "cardio_outpatient", "segments/clinicians.yaml"
TODAY = datetime.now(UTC).date()  # noqa: TID251 - commands date their steps by the real clock
UNTIL = (TODAY + timedelta(days=300)).isoformat()
NEXT = (TODAY + timedelta(days=90)).isoformat()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration of which commands read one file and the approvals anew; the rest is as it ships."""
    target = tmp_path / "configs"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr("configs.settings.load_settings", loaded)
    monkeypatch.setattr(approval_file, "load_settings", loaded)
    return target


def loaded(folder: Path | None) -> Settings:
    reader = Reader(folder or DEFAULTS, [])
    own = reader._each(FILE, reader._yaml(reader.root / FILE), SegmentDefinition, "")
    others = [d for d in PLAIN if d.id not in {definition.id for definition in own}]
    steps = load_approvals(reader.root / "approvals.yaml")
    assert not reader.problems
    segments = tuple(with_approvals([*others, *own], steps))
    return SHIPPED.model_copy(update={"segments": segments, "approvals": steps})


def edit(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / FILE
    before = path.read_text(encoding="utf-8")
    start = before.index(f"- id: {ID}\n")
    stop = before.find("\n- id: ", start + 1)
    own = before[start : stop if stop > 0 else len(before)]
    assert change(own) != own
    path.write_text(before.replace(own, change(own)), encoding="utf-8")


def new_version(folder: Path, title: str = "Cardiologists in outpatient care", version: int = 2) -> None:
    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines[1] = f"  version: {version}\n"
        return "".join(f"  title: {title}\n" if line.startswith("  title:") else line for line in lines)

    edit(folder, change)


def holds(settings: Settings, on: date = TODAY) -> bool:
    """Whether a lead that meets the entry condition is a member on a day."""
    at = datetime.combine(on, datetime.min.time(), UTC)
    lead = Lead(
        lead_id="L", account_id="A", audience="hcp", specialty="cardiology", treatment_role="continues",
        recorded_at=at - timedelta(days=1), verified_at=at - timedelta(days=1),
    )  # fmt: skip
    account = Account(account_id="A", care_setting="outpatient", recorded_at=at - timedelta(days=1))
    tables = encode_records([lead], accounts=[account], vocabularies=settings.vocabularies, asset_ids=())
    builder = FactBuilder.of(settings)
    facts = facts_of(view_at(tables, at, builder.view), builder, Inventory.of((), settings.vocabularies))
    segment_map = SegmentMap.load(settings)
    member = segment_map.members(facts, as_of=at).member
    return ID in segment_map.segment_ids and bool(member[0, segment_map.segment_ids.index(ID)])


def _submit(folder: Path, by: str = "Ada Lovelace") -> None:
    submit(ID, by, None, None, folder)


def _approve(folder: Path, by: str = "Ben Approver", **said: str | None) -> None:
    given = {"until": UNTIL, "reference": "SEG-26-01", "seen": None, "note": None, "on": None} | said
    approve(ID, by, configs=folder, **given)  # type: ignore[arg-type]


def test_a_segments_whole_life(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holds(loaded(folder))
    new_version(folder)
    assert loaded(folder).segments and not holds(loaded(folder))  # edited: a draft again
    _submit(folder)
    assert "somebody who neither wrote nor proposed it" in capsys.readouterr().out.lower().replace("\n", " ")
    assert not holds(loaded(folder))  # proposed is not approved
    digest = next(d.content_hash for d in loaded(folder).segments if d.id == ID)
    with pytest.raises(InputInvalid, match="read it again"):  # seven letters may be chance
        _approve(folder, seen=digest[:7])
    _approve(folder, seen=digest[:8])
    assert f"active from {TODAY} to {UNTIL}" in capsys.readouterr().out
    assert holds(loaded(folder))
    reviewed(ID, "Ada Lovelace", "kept", NEXT, None, None, folder)
    assert f"next review on {NEXT}" in capsys.readouterr().out
    found = next(d for d in loaded(folder).segments if d.id == ID)
    assert found.due_on.isoformat() == NEXT and holds(loaded(folder))
    # Approved content, with a word changed: a draft, which holds nobody, and its number is used up.
    edit(folder, lambda text: text.replace("Cardiologists in", "Heart doctors in"))
    assert not holds(loaded(folder))
    with pytest.raises(InputInvalid, match="version 2 of cardio_outpatient was approved with other content"):
        _submit(folder)
    edit(folder, lambda text: text.replace("Heart doctors in", "Cardiologists in"))
    assert holds(loaded(folder))
    retire(ID, "Ada Lovelace", "cardio_hospital_team", "merged", None, folder)
    assert "cardio_hospital_team takes over" in capsys.readouterr().out
    assert not holds(loaded(folder))
    with pytest.raises(InputInvalid, match="which is final: write a new version"):
        _submit(folder)
    history(ID, folder)
    shown = capsys.readouterr().out
    assert [word for word in shown.split() if word in ("proposed", "approved", "reviewed", "retired")] == [
        "proposed", "approved", "proposed", "approved", "reviewed", "retired",
    ]  # fmt: skip
    monkeypatch.undo()
    assert load_settings(folder).approvals == load_approvals(folder / "approvals.yaml")


def test_who_wrote_or_proposed_it_may_not_approve_it_however_they_type_their_name(folder: Path) -> None:
    new_version(folder)
    author = next(d for d in loaded(folder).segments if d.id == ID).author
    with pytest.raises(InputInvalid, match="was edited since it was proposed on"):
        _approve(folder)
    _submit(folder)
    before = (folder / "approvals.yaml").read_bytes()
    for by in ("ada  LOVELACE", "Lovelace, Ada", "\uff21da Lovelace", "\u0410da Lovelace", author, author.upper()):
        with pytest.raises(InputInvalid, match="may not approve it"):
            _approve(folder, by=by)
    assert (folder / "approvals.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"until": "2020-01-01"}, "expected a day not before"),
        ({"until": "2099-01-01"}, "lasts at most 1096 days"),
        ({"seen": "0123456789ab"}, "read it again, then approve that"),
        ({"reference": "  "}, "expected both for an approval"),
        ({"on": "2099-01-01"}, "expected a day not after today"),
        ({"on": "2025-06-10"}, "expected a day not before"),
        ({"by": "--"}, "name of a person"),
    ],
)
def test_an_approval_that_does_not_hold_is_refused_and_nothing_is_written(
    folder: Path, said: dict[str, str], refusal: str
) -> None:
    new_version(folder)
    _submit(folder)
    before = (folder / "approvals.yaml").read_bytes()
    with pytest.raises(InputInvalid, match=refusal):
        _approve(folder, **said)
    assert (folder / "approvals.yaml").read_bytes() == before


def test_what_the_lint_refuses_is_neither_proposed_nor_approved(folder: Path) -> None:
    edit(folder, lambda text: text.replace("  version: 1\n", "  version: 2\n").replace("author: ", "author: FILL IN "))
    with pytest.raises(InputInvalid, match="expected who wrote the definition"):
        _submit(folder)
    edit(folder, lambda text: text.replace("author: FILL IN ", "author: "))
    _submit(folder)
    edit(folder, lambda text: text.replace("channel_plan: [", "channel_plan: [] #["))
    with pytest.raises(InputInvalid, match="was edited since it was proposed"):
        _approve(folder)
    with pytest.raises(ConfigInvalid, match="NO_ACTIVATION_PLAN"):
        _submit(folder)


def test_what_does_not_exist_or_is_no_draft_is_told_so(folder: Path) -> None:
    with pytest.raises(InputInvalid, match="no segment 'cardio_nowhere'; expected one of cardio_"):
        submit("cardio_nowhere", "Ada Lovelace", None, None, folder)
    drafts = [d.id for d in loaded(folder).segments if d.status == "draft"]
    if drafts:
        with pytest.raises(InputInvalid, match="is a draft that nobody proposed"):
            approve(drafts[0], "Ben Approver", UNTIL, "SEG-1", configs=folder)
    with pytest.raises(InputInvalid, match="every lead needs a segment"):
        retire("unsegmented", "Ada Lovelace", None, None, None, folder)
    with pytest.raises(InputInvalid, match="is not active"):
        retire(ID, "Ada Lovelace", drafts[0] if drafts else "unsegmented", None, None, folder)
    with pytest.raises(InputInvalid, match="expected kept, changed or dropped"):
        reviewed(ID, "Ada Lovelace", "fine", NEXT, None, None, folder)
    with pytest.raises(InputInvalid, match="expected the day of the next review"):
        reviewed(ID, "Ada Lovelace", "kept", None, None, None, folder)


def test_what_is_named_elsewhere_is_retired_only_with_a_successor(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asset = SHIPPED.assets[0].model_copy(update={"segment_ids": (ID,)})

    def naming(path: Path | None) -> Settings:
        return loaded(path).model_copy(update={"assets": (asset, *SHIPPED.assets[1:])})

    monkeypatch.setattr(approval_file, "load_settings", naming)
    with pytest.raises(InputInvalid, match=rf"assets\.{asset.asset_id}\.segment_ids; change these first"):
        retire(ID, "Ada Lovelace", None, None, None, folder)
    retire(ID, "Ada Lovelace", "cardio_hospital_team", None, None, folder)
    assert f"{asset.asset_id}.segment_ids still names it" in capsys.readouterr().out.replace("\n", "")


def test_a_bundle_trained_before_the_retirement_holds_nobody_in_the_retired_segment(
    folder: Path, small_world: Path
) -> None:
    on = date(2026, 6, 30)
    before = Decider.load(small_world / "bundle", loaded(folder), on=on)
    retire(ID, "Ada Lovelace", "cardio_hospital_team", None, None, folder)
    after = Decider.load(small_world / "bundle", loaded(folder), on=on)
    place = before.segment_map.segment_ids.index(ID)
    assert [bool(d.segment_map.active(on)[place]) for d in (before, after)] == [True, False]
    assert after.segment_map.active(on).sum() == before.segment_map.active(on).sum() - 1
    at = datetime(2026, 6, 30, tzinfo=UTC)
    files = find_files(small_world / "data")
    tables = read_tables(files, SHIPPED, assets=SHIPPED.assets, as_of=at).tables
    held = [decider.decide(tables, at).members.member for decider in (before, after)]
    assert [bool(member[:, place].any()) for member in held] == [True, False]
    assert (held[1].any(axis=1)).all()  # who was in it is somewhere else, at the least unsegmented


def test_the_record_says_what_exactly_was_approved_and_earlier_versions_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(d for d in loaded(folder).segments if d.id == ID)
    new_version(folder)
    _submit(folder)
    _approve(folder, note="<b>bold</b> [red]")
    page, plain = tmp_path / "r.html", tmp_path / "r.json"
    records(ID, None, page, None, folder)
    records(ID, None, plain, None, folder)
    found = json.loads(plain.read_text(encoding="utf-8"))
    assert (found["version"], found["status"], found["active"]) == (2, "approved", True)
    assert found["conditions"][0][2].startswith("audience is hcp and specialty is cardiology")
    assert {f["fact"]: f["source"] for f in found["fields"]}["care_setting"] == "accounts.care_setting"
    assert [s["step"] for s in found["steps"]] == ["proposed", "approved"] * 2
    assert (folder / found["kept_as"]).is_file() and {o["state"] for o in found["offers"]} == {"covered"}
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;bold" in text and "<b>bold" not in text and "default-src 'none'" in text and "://" not in text
    records(ID, 1, plain, None, folder)
    old = json.loads(plain.read_text(encoding="utf-8"))
    assert (old["version"], old["title"], old["content_hash"]) == (1, first.title, first.content_hash)
    assert (old["status"], old["active"]) == ("superseded", False)
    assert old["remarks"][0] == "An earlier text: version 2 is written now and is approved. It holds nobody."
    capsys.readouterr()
    records(ID, None, None, None, folder)
    assert "Cardiologists in outpatient care" in capsys.readouterr().out
    with pytest.raises(InputInvalid, match="expected a version that was proposed"):
        records(ID, 9, None, None, folder)
    with pytest.raises(InputInvalid, match=r"\.html or \.json"):
        records(ID, None, tmp_path / "r.txt", None, folder)


def test_an_overlay_takes_nobodys_place(folder: Path) -> None:
    overlay = "audience = 'hcp' AND specialty = 'cardiology' AND care_setting = 'inpatient' AND band = 'hot'"
    settings = loaded(folder)
    heir = next(d for d in settings.segments if d.id == "cardio_hospital_team")
    hot = heir.model_copy(update={"enter": overlay, "fallback": ()})
    world = settings.model_copy(update={"segments": tuple(hot if d is heir else d for d in settings.segments)})
    with pytest.raises(InputInvalid, match="expected a segment that can be primary, cardio_hospital_team looks at"):
        retirement(world, ID, "Ada Lovelace", TODAY, "cardio_hospital_team")
    assert retirement(settings, ID, "Ada Lovelace", TODAY, "cardio_hospital_team").step == "retired"


def test_a_step_that_is_dated_back_says_for_good_when_it_was_entered(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_version(folder)
    back = TODAY - timedelta(days=30)
    submit(ID, "Ada Lovelace", None, back.isoformat(), folder)
    _approve(folder)
    asked, approved = load_approvals(folder / "approvals.yaml")[-2:]
    assert (asked.on, asked.entered_on, approved.entered_on) == (back, TODAY, None)
    plain = tmp_path / "r.json"
    records(ID, None, plain, None, folder)
    remarks = json.loads(plain.read_text(encoding="utf-8"))["remarks"]
    assert f"The proposed step by Ada Lovelace is dated {back} and was entered on {TODAY}." in remarks
    capsys.readouterr()
    history(ID, folder)
    assert f"entered on {TODAY}" in " ".join(capsys.readouterr().out.split())


def test_a_broken_list_stops_every_command_with_its_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "approvals.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('by: "medical director cardiology"', 'by: "somebody"', 1), encoding="utf-8")
    monkeypatch.undo()
    with pytest.raises(ConfigInvalid, match=r"approvals\.\d+\.seal: the approved step of .* was changed"):
        _submit(folder)
    path.write_text(text, encoding="utf-8")


def test_every_command_has_help_with_an_example() -> None:
    import typer

    app = typer.Typer()
    register(app)
    for name in ("submit", "approve", "reviewed", "retire", "history"):
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0 and "Example" in shown.output
