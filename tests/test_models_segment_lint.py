"""Each known mistake of the field is found by a definition that makes it, and no shipped definition makes one."""

from datetime import date
from functools import cache
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from configs.definitions import SegmentDefinition
from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from features.evaluate import Domain
from models.segment_lint import Finding, jaccard, lint
from models.segment_map import SegmentMap

ON = date(2026, 6, 30)


@cache
def shipped() -> Settings:
    return load_settings()


def good() -> SegmentDefinition:
    return next(definition for definition in shipped().segments if definition.id == "onc_community_center")


def residual() -> SegmentDefinition:
    return next(definition for definition in shipped().segments if definition.residual)


def findings(*definitions: SegmentDefinition, **more: object) -> list[Finding]:
    settings = shipped()
    segment_map = SegmentMap([*definitions, residual()], Domain.of(settings))
    given = {"assets": settings.assets, "label_kinds": settings.training.target_kinds, "files": settings.files}
    return lint(segment_map, on=ON, **{**given, **more})  # type: ignore[arg-type]


def codes(*definitions: SegmentDefinition, **more: object) -> set[str]:
    return {finding.code for finding in findings(*definitions, **more)}


def test_every_shipped_definition_is_clean() -> None:
    settings = shipped()
    found = lint(
        SegmentMap.load(settings),
        on=ON,
        assets=settings.assets,
        label_kinds=settings.training.target_kinds,
        files=settings.files,
    )
    assert found == []


SEVEN = (
    "specialty = 'oncology' AND role = 'physician' AND care_setting = 'community' AND size = 'small' AND "
    "influence = 'user' AND treatment_role = 'initiates' AND organization_type = 'clinic'"
)


@pytest.mark.parametrize(
    ("code", "key", "changes"),
    [
        ("SINGLE_DIMENSION", "enter", {"enter": "specialty = 'oncology' AND NOT (subspecialty IS UNKNOWN)"}),
        ("TOO_MANY_TRAITS", "enter", {"enter": SEVEN}),
        ("MIXED_PRODUCTS", "enter", {"enter": "product_interest IN ('implant', 'software') AND role = 'procurement'"}),
        ("NO_EXIT", "exit", {"exit": "never"}),
        ("FLAPPING", "exit", {"exit": "care_setting = 'community'"}),
        ("NO_FALLBACK", "fallback", {"fallback": ()}),
        ("NO_ACTIVATION_PLAN", "channel_plan", {"channel_plan": ()}),
        ("NO_ACTIVATION_PLAN", "offers", {"offers": {}}),
        ("NO_ACTIVATION_PLAN", "next_best_action", {"next_best_action": ""}),
        ("PURPOSE_MISMATCH", "offers.education", {"offers": {"education": ("oncology_rx_evidence",)}}),
        ("AUDIENCE_MISMATCH", "offers.education", {"offers": {"education": ("specialty_care_guide",)}}),
        ("UNKNOWN_OFFER", "offers.education", {"offers": {"education": ("no_such_asset",)}}),
        ("KNOWS_THE_LABEL", "enter", {"enter": "specialty = 'oncology' AND demo_request_count_30d >= 1"}),
        ("NOT_APPROVED", "approval", {"approval": None}),
        ("REVIEW_DUE", "review_on", {"review_on": date(2026, 6, 29)}),
        ("UNFILLED", "owner", {"owner": "FILL IN: a name"}),
    ],
)
def test_a_mistake_is_found_with_its_file_key_reason_and_how_to_mend_it(
    code: str, key: str, changes: dict[str, object]
) -> None:
    found = [f for f in findings(good().model_copy(update=changes)) if f.code == code]
    assert [f.key for f in found] == [key]
    assert found[0].file == "segments/clinicians.yaml"
    assert found[0].reason
    assert found[0].mend


def test_an_approval_that_ran_out_is_found() -> None:
    approval = good().approval
    assert approval is not None
    bad = good().model_copy(update={"approval": approval.model_copy(update={"expires_on": date(2026, 6, 29)})})
    assert codes(bad) == {"APPROVAL_EXPIRED"}


def test_a_promotional_segment_may_offer_promotional_content() -> None:
    offers = {"education": ("oncology_rx_evidence",)}
    assert codes(good().model_copy(update={"purpose": "promotional", "offers": offers})) == set()


def test_sizes_outside_the_guardrails_are_found_on_both_sides() -> None:
    small = codes(good(), counts={"onc_community_center": 29, "unsegmented": 971})
    large = codes(good(), counts={"onc_community_center": 400, "unsegmented": 600})
    fitting = codes(good(), counts={"onc_community_center": 200, "elsewhere": 300, "unsegmented": 500})
    assert (small, large, fitting) == ({"TOO_SMALL", "TOO_LARGE"}, {"TOO_LARGE"}, set())


def test_two_segments_of_nearly_the_same_leads_overlap() -> None:
    twin = good().model_copy(update={"id": "a_twin", "priority": 51})
    member = np.zeros((10, 3), dtype=bool)
    member[:5, 0], member[:4, 1], member[5:, 2] = True, True, True  # 4 of 5 are shared: Jaccard 0.8
    assert codes(good(), twin, member=member) == {"OVERLAP"}
    member[:4, 1] = [True, True, True, False]  # 3 of 5
    assert codes(good(), twin, member=member) == set()


def test_more_than_forty_segments_are_sprawl() -> None:
    many = [good().model_copy(update={"id": f"s{i}", "priority": 100 + i}) for i in range(40)]
    assert "SPRAWL" in codes(*many)
    assert "SPRAWL" not in codes(*many[1:])


def test_the_same_priority_twice_is_found() -> None:
    assert codes(good(), good().model_copy(update={"id": "a_twin"})) == {"SAME_PRIORITY"}


def test_jaccard_of_two_empty_sets_is_zero() -> None:
    nobody = np.zeros(3, dtype=bool)
    assert jaccard(nobody, nobody) == 0.0


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("care_setting = 'community'", "care_setting = 'comunity'", "onc_community_center.enter"),
        ("exit: audience <> 'hcp' OR specialty <> 'oncology'", "exit: opt_out = 'yes'", "onc_community_center.exit"),
        ("education: [oncology_community_guide,", "education: [a_guide,", "onc_community_center.offers.education"),
        ("exit: audience <> 'hcp' OR specialty <> 'oncology' OR care_setting <> 'community'", "exit: ''", "onc_comm"),
    ],
)
def test_a_mistake_in_a_segment_file_is_reported_at_load_with_file_and_key(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    copytree(DEFAULTS, tmp_path / "configs", ignore=lambda _, names: [n for n in names if n.endswith(".py")])
    file = tmp_path / "configs" / "segments" / "clinicians.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(tmp_path / "configs")
    assert any(p.file == "segments/clinicians.yaml" and p.key.startswith(key) for p in caught.value.problems)
