"""What is predicted: one target serves, every name is declared, segment before product before the target itself."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, load_settings
from configs.targets import Override, Target

SHIPPED = load_settings()
OUTCOMES = SHIPPED.vocabularies["outcome_kind"].values
SEGMENT = SHIPPED.segments[0]


def target(**given: object) -> Target:
    return Target.model_validate({"id": "ours", "says": "for a test", "kinds": ["demo"], "horizon_days": 60, **given})


def refused(tmp_path: Path, old: str, new: str) -> dict[str, str]:
    """Problems of the shipped configuration with one text of targets.yaml replaced, by key."""
    folder = tmp_path / "configs"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (folder / "targets.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "targets.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigInvalid) as found:
        load_settings(folder)
    assert {problem.file for problem in found.value.problems} == {"targets.yaml"}
    return {problem.key: problem.expected for problem in found.value.problems}


def test_what_serves_is_the_next_evaluation_step_within_sixty_days() -> None:
    served = SHIPPED.targets.served
    assert (served.id, served.horizon_days) == ("next_step", 60)
    assert served.kinds == ("meeting", "demo", "appointment", "consult", "proposal")


def test_a_stage_of_the_funnel_is_reached_by_every_later_one_too() -> None:
    stages = SHIPPED.targets.stages
    assert [stage.id for stage in stages] == ["mql", "sal", "sql", "meeting", "opportunity"]
    for earlier, later in itertools.pairwise(stages):
        assert set(later.kinds) < set(earlier.kinds)
    assert SHIPPED.targets.own_kinds("mql") == ("mql",)


def test_a_segment_is_asked_before_its_product_and_the_product_before_the_target() -> None:
    asked = target(
        products={"implant": Override(kinds=("quote",), horizon_days=120)},
        segments={SEGMENT.id: Override(horizon_days=30)},
    )
    assert asked.asked(None, None, OUTCOMES) == (("demo",), 60)
    assert asked.asked(None, "implant", OUTCOMES) == (("quote",), 120)
    assert asked.asked(SEGMENT, None, OUTCOMES) == (("demo",), 30)
    assert asked.asked(SEGMENT, "implant", OUTCOMES) == (("quote",), 30)


def test_a_declared_target_counts_the_conversion_event_of_the_segment() -> None:
    asked = target(declared=True, products={"implant": Override(kinds=("quote",))})
    event = SEGMENT.conversion_event
    assert asked.asked(SEGMENT, "implant", OUTCOMES)[0] == (event,)
    assert asked.asked(None, "implant", OUTCOMES)[0] == ("quote",)
    # What is no outcome cannot be counted: the product is asked next, and the lint tells the segment's owner.
    unheard = SEGMENT.model_copy(update={"conversion_event": "applause"})
    assert asked.asked(unheard, "implant", OUTCOMES)[0] == ("quote",)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("serves: true", "serves: false", "targets"),
        ("  declared: true", "  declared: true\n  serves: true", "targets"),
        ("kinds: [mql]", "kinds: [applause]", "targets.mql.kinds"),
        ("    service: {", "    spaceship: {", "targets.conversion.products"),
        (
            "  declared: true",
            "  declared: true\n  segments: {nobody: {horizon_days: 9}}",
            "targets.conversion.segments",
        ),
        ("funnel: [mql,", "funnel: [mql, mql,", "funnel.1"),
        ("funnel: [mql,", "funnel: [conversion,", "funnel.0"),
        ("- {id: sal,", "- {id: sql,", "targets.sql"),
        (
            "  horizon_days: 60\n\n",
            "  horizon_days: 60\n  products: {implant: {horizon_days: 90}}\n\n",
            "targets.next_step",
        ),
    ],
)
def test_a_mistake_in_the_targets_is_named_by_its_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert key in refused(tmp_path, old, new)
