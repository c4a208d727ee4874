"""A changed label or guideline keeps touched content back until somebody looked at it, and says who is concerned."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.app import app
from configs.content import Asset
from configs.errors import ConfigInvalid
from configs.label_changes import LabelChange, Recheck, awaiting, with_rechecks
from configs.settings import DEFAULTS, Settings, load_settings
from features.encode import encode_records
from features.inventory import Inventory
from features.records import Lead, Touch
from serving.content_recheck import recheck

CHANGED = date(2026, 6, 1)
EPOCH = date(1970, 1, 1)


@cache
def shipped() -> Settings:
    return load_settings()


def asset(**own: Any) -> Asset:
    given_: dict[str, Any] = {
        "asset_id": "a", "title": "t", "kind": "guide", "intent": "promotional", "layer": "education",
        "product": "implant", "indication": "joint_pain", "audiences": ("hcp",), "markets": ("US", "DE"),
        "channels": ("email",),
        "claims": ({"text_id": "C-1", "kind": "use", "references": ("R-1",)},),
        "approval": {"by": "board", "on": date(2026, 1, 1), "expires_on": date(2027, 1, 1), "reference": "M-1"},
    }  # fmt: skip
    return Asset.model_validate(given_ | own)


def change(**own: Any) -> LabelChange:
    given_: dict[str, Any] = {
        "id": "new_label", "what": "label", "product": "implant", "changed_on": CHANGED, "says": "a new warning",
        "source": "the agency", "owner": "regulatory affairs",
    }  # fmt: skip
    return LabelChange.model_validate(given_ | own)


def status(one: Asset, changes: tuple[LabelChange, ...], on: date) -> str | None:
    inventory = Inventory.of([one], shipped().vocabularies, changes=changes)
    word = shipped().vocabularies["asset_status"].value(int(inventory.facts_on((on - EPOCH).days)[0, 0]))
    return None if word is None else str(word)


@pytest.mark.parametrize(
    ("about", "own", "touched"),
    [
        ({}, {}, True),
        ({}, {"product": "software"}, False),
        ({}, {"product": None}, False),
        ({"indications": ("joint_pain",)}, {}, True),
        ({"indications": ("cancer",)}, {}, False),
        # What names no indication may be about any.
        ({"indications": ("cancer",)}, {"indication": None}, True),
        ({"markets": ("DE",)}, {}, True),
        ({"markets": ("UK",)}, {}, False),
        ({"references": ("R-1",)}, {}, True),
        ({"references": ("R-2",)}, {}, False),
        ({"references": ("R-2",)}, {"claims": ()}, False),
        # What lists no claims may rest on any reference.
        ({"references": ("R-2",)}, {"claims": None}, True),
        ({"product": None, "references": ("R-1",)}, {"product": "software"}, True),
    ],
)
def test_content_is_touched_where_it_cannot_be_told_apart(about: Any, own: Any, touched: bool) -> None:
    assert bool(change(**about).touches(asset(**own))) is touched


def test_touched_content_is_kept_back_from_the_day_on_until_somebody_looked() -> None:
    looked = Recheck(change="new_label", asset="a", by="M. V", on=date(2026, 6, 10), reference="M-2")
    (seen,) = with_rechecks([change()], [looked])
    days = [date(2026, 5, 31), CHANGED, date(2026, 6, 9), date(2026, 6, 10)]
    assert [status(asset(), (seen,), on) for on in days] == ["approved", "recheck", "recheck", "approved"]
    assert [status(asset(), (change(),), on) for on in days] == ["approved", "recheck", "recheck", "recheck"]
    other = with_rechecks([change()], [looked.model_copy(update={"asset": "b"})])
    assert status(asset(), other, days[3]) == "recheck"


def test_what_was_approved_after_the_change_knew_it_and_on_the_day_did_not() -> None:
    def approved(on: date) -> Asset:
        return asset(approval={"by": "board", "on": on, "expires_on": date(2027, 1, 1), "reference": "M-3"})

    on = date(2026, 7, 1)
    assert [status(approved(day), (change(),), on) for day in (CHANGED, date(2026, 6, 2))] == ["recheck", "approved"]


def test_a_change_gives_no_content_a_better_status() -> None:
    on = date(2026, 7, 1)
    expired = asset(approval={"by": "b", "on": date(2026, 1, 1), "expires_on": on, "reference": "M"})
    found = [status(one, (change(),), on) for one in (expired, asset(approval=None), asset(withdrawn=True))]
    assert found == ["expired", "draft", "withdrawn"]


@given(
    st.sets(st.sampled_from(["joint_pain", "cancer"])), st.sets(st.sampled_from(["R-1", "R-2"])),
    st.sets(st.sampled_from(["US", "UK"])), st.integers(-40, 40), st.integers(-40, 40),
)  # fmt: skip
@given_settings(deadline=None, max_examples=40)
def test_a_wider_change_touches_no_less_and_nothing_waits_before_its_day(
    indications: set[str], references: set[str], markets: set[str], approved: int, asked: int
) -> None:
    one = asset(approval={"by": "b", "on": EPOCH.fromordinal(CHANGED.toordinal() + approved),
                          "expires_on": date(2028, 1, 1), "reference": "M"})  # fmt: skip
    about = {"indications": tuple(indications), "references": tuple(references), "markets": tuple(markets)}
    narrow, on = change(**about), EPOCH.fromordinal(CHANGED.toordinal() + asked)
    assert not narrow.touches(one) or change().touches(one)
    waits = bool(awaiting((narrow,), one, on))
    assert not waits or change().awaits(one, on)
    assert waits == (bool(narrow.touches(one)) and approved <= 0 <= asked)


def test_the_report_names_claims_segments_and_who_was_sent_it() -> None:
    ours = "implant_evidence_summary"
    two = tuple(one for one in shipped().assets if one.asset_id in (ours, "software_overview"))
    settings = shipped().model_copy(update={"assets": two})
    about = change(id="im", indications=("joint_pain",), references=("IM-RCT-1",))
    day = datetime(2026, 6, 1, tzinfo=UTC)

    def touch(name: str, lead: str, at: datetime, asset_id: str) -> Touch:
        return Touch(touch_id=name, lead_id=lead, sent_at=at, recorded_at=at, asset_id=asset_id)

    touches = [
        touch("1", "x", day.replace(month=5, day=2), ours),  # thirty days before: the first that counts
        touch("2", "x", day.replace(month=5, day=31), ours),
        touch("3", "y", day.replace(month=5, day=1), ours),
        touch("4", "y", day, ours),
        touch("5", "y", day.replace(day=10), ours),
        touch("6", "x", day, "software_overview"),
    ]
    tables = encode_records(
        [Lead(lead_id=name) for name in "xy"], touches=touches, vocabularies=settings.vocabularies,
        asset_ids=(ours, "software_overview"),
    )  # fmt: skip
    report = recheck(settings, about, date(2026, 6, 5), tables=tables, as_of=day.replace(day=5))
    (one,) = report.touched
    assert (one.asset_id, one.state, one.claims) == (ours, "waits", ("IM-EV-1",))
    assert set(one.active) == {"implant_ortho_vac"} <= set(one.segments)
    assert one.sent is not None
    sent = (one.sent.times_before, one.sent.leads_before, one.sent.times_since, one.sent.leads_since)
    assert sent == (2, 1, 1, 1)
    # Days are UTC days, wherever somebody asks.
    there = day.replace(day=5).astimezone(timezone(timedelta(hours=9)))
    (elsewhere,) = recheck(settings, about, date(2026, 6, 5), tables=tables, as_of=there).touched
    assert elsewhere.sent == one.sent
    assert report.waiting == 1


def test_the_commands_record_a_change_and_a_look_and_refuse_what_does_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    run, own = CliRunner(), ["--configs", str(folder)]
    about = ["content", "recheck", "--product", "implant", "--reference", "IM-RCT-1", "--changed-on", "2026-06-01"]
    before = (folder / "policy/label_changes.yaml").read_bytes()
    asked = run.invoke(app, [*about, "--as-of", "2026-06-30", *own])
    assert asked.exit_code == 0 and "Nothing is written" in asked.stdout
    assert (folder / "policy/label_changes.yaml").read_bytes() == before
    told = ["--record", "im_2026", "--says", "new [text]", "--source", "agency", "--owner", "regulatory affairs"]
    done = run.invoke(app, [*about, *told, "--as-of", "2026-06-30", *own])
    assert done.exit_code == 0 and "not offered until somebody has looked" in done.stdout
    assert (folder / "policy/label_changes.yaml").read_bytes().startswith(before)
    look = ["content", "rechecked", "implant_evidence_summary", "--change", "im_2026", "--by", "M. V"]
    look += ["--reference", "MLR-9"]
    assert run.invoke(app, [*look, "--on", "2026-06-20", *own]).exit_code == 0
    look[2] = "software_overview"
    assert "does not touch" in str(run.invoke(app, [*look, *own]).exception)
    after = load_settings(folder)
    (ours,) = (one for one in after.assets if one.asset_id == "implant_evidence_summary")
    waits = [bool(awaiting(after.label_changes, ours, date(2026, 6, day))) for day in (1, 19, 20)]
    assert waits == [True, True, False]


def test_a_register_that_names_what_nobody_has_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = "rechecks:\n  - {change: nobody, asset: nothing, by: me, 'on': 2026-01-01, reference: RR}\n"
    (folder / "policy/rechecks.yaml").write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(folder)
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"rechecks.0.change", "rechecks.0.asset"}
