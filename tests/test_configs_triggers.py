"""The trigger catalogue: what it names, and that every mistake in it is reported at once."""

from __future__ import annotations

import json
import shutil
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from configs.triggers import MAX_TRIGGERS, Occurrence, Trigger, reviews_due, trigger_problems

NAMED = {"id": "t", "title": "a trigger", "kind": "lead_new", "says": "what it does", "owner": "somebody"}


@cache
def shipped() -> Settings:
    return load_settings()


def trigger(**changes: object) -> Trigger:
    return Trigger.model_validate(NAMED | changes)


def problems(*triggers: Trigger) -> list[str]:
    found = {name: getattr(shipped(), name) for name in ("vocabularies", "facts", "segments", "parameters")}
    return [f"{one.key}: {one.expected}" for one in trigger_problems({**found, "triggers": triggers})]


def test_the_two_named_triggers_and_those_of_role_restructure_and_launch_are_shipped() -> None:
    known = {one.id: one for one in shipped().triggers}
    assert known["trigger_new_oncology"].kind == "lead_new"
    assert known["trigger_webinar_clinical_title"].events == ("webinar_attend",)
    assert "role" in known["trigger_role_change"].watches
    assert "parent_account_id" in known["trigger_restructure"].watches
    assert known["trigger_launch_implant"].product == "implant"
    assert all(one.owner and one.says for one in known.values())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"segments": ("no_such",)}, "triggers.t.segments: expected a declared one, found 'no_such'"),
        ({"reviews": ("no_such",)}, "triggers.t.reviews: expected a declared one, found 'no_such'"),
        ({"product": "no_such"}, "triggers.t.product: expected a declared one, found 'no_such'"),
        ({"kind": "event", "events": ("no_such",)}, "triggers.t.events: expected a declared one, found 'no_such'"),
        ({"kind": "event"}, "triggers.t.events: expected some, because the kind is event"),
        ({"kind": "field_changed"}, "triggers.t.watches: expected some, because the kind is field_changed"),
        ({"events": ("webinar_attend",)}, "triggers.t.events: expected none, because the kind is lead_new"),
        (
            {"kind": "field_changed", "watches": ("consent_status",)},
            "triggers.t.watches: expected a declared one, found 'consent_status'",
        ),
        ({"when": "band = 'hot'"}, "triggers.t.when: expected facts that are known before readiness, not band"),
        ({"when": "opt_out = 'yes'"}, "triggers.t.when: expected facts of the lead, opt_out varies with more"),
    ],
)
def test_a_mistake_in_a_trigger_is_named_with_its_key(changes: dict[str, object], expected: str) -> None:
    assert [said for said in problems(trigger(**changes)) if said.startswith(expected)]


def test_one_id_twice_and_too_many_triggers_are_refused() -> None:
    assert "triggers.t: id already used" in problems(trigger(), trigger())
    many = [trigger(id=f"t{n}") for n in range(MAX_TRIGGERS + 1)]
    assert problems(*many) == [f"triggers: expected at most {MAX_TRIGGERS}, found {MAX_TRIGGERS + 1}"]


def test_every_problem_of_a_catalogue_is_reported_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    wrong = [NAMED | {"when": "specialty = 'no_such'"}, NAMED | {"id": "u", "kind": "event", "events": ["no_such"]}]
    (folder / "triggers.yaml").write_text(json.dumps({"triggers": wrong}))
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    said = [(one.file, one.key) for one in refused.value.problems]
    assert ("triggers.yaml", "triggers.t.when") in said
    assert ("triggers.yaml", "triggers.u.events") in said


def test_an_unknown_key_of_a_trigger_is_refused() -> None:
    with pytest.raises(ValueError, match="no_such"):
        trigger(no_such=1)


def test_a_launch_puts_its_segments_up_for_review_once() -> None:
    launch = Occurrence(on=date(2026, 9, 1), says="a new implant")
    known = [trigger(kind="outside", occurs=(launch,), reviews=("implant_ortho_vac",))]
    assert reviews_due(known, date(2026, 8, 31), date(2026, 9, 1)) == {
        "implant_ortho_vac": ("t on 2026-09-01: a new implant",)
    }
    assert reviews_due(known, date(2026, 9, 1), date(2026, 9, 30)) == {}
