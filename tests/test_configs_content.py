"""Content that mixes what must be kept apart does not load, and the message names the file and the key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from configs.content import Asset
from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, load_settings


def folder(tmp_path: Path) -> Path:
    target = tmp_path / "configs"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    return target


def edited(configs: Path, file: str, start: str, old: str, new: str) -> Path:
    """The folder with the first `old` after `start` replaced in one of its files."""
    path = configs / file
    text = path.read_text(encoding="utf-8")
    before, found, after = text.partition(start)
    assert found and old in after, (start, old)
    path.write_text(before + found + after.replace(old, new, 1), encoding="utf-8")
    return configs


def asset(configs: Path, asset_id: str, old: str, new: str) -> Path:
    return edited(configs, "assets.yaml", f"asset_id: {asset_id}\n", old, new)


def refusal(configs: Path) -> str:
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(configs)
    return str(refused.value)


def test_what_mixes_the_layers_is_refused_with_file_and_key(tmp_path: Path) -> None:
    configs = asset(folder(tmp_path), "software_overview", "call_to_action: learn", "call_to_action: buy")
    asset(configs, "medical_information_reply", "layer: education", "layer: conversion")
    said = refusal(configs)
    assert "assets.yaml: assets.software_overview.call_to_action: " in said
    assert "expected none, learn or attend, because the layer is education" in said
    assert "assets.yaml: assets.medical_information_reply.layer: " in said
    assert "expected education, because the intent is medical_information" in said


GIVEN = {"asset_id": "a", "title": "t", "kind": "guide", "audiences": ("hcp",), "markets": ("US",), "channels": ()}


@pytest.mark.parametrize("intent", ["promotional", "medical_education", "medical_information", "service"])
@pytest.mark.parametrize("layer", ["education", "conversion"])
@pytest.mark.parametrize("call", [None, "none", "learn", "attend", "contact", "trial", "buy"])
def test_no_asset_mixes_education_and_conversion(intent: str, layer: str, call: str | None) -> None:
    medical = intent.startswith("medical")
    mixes = call in ("contact", "trial", "buy") and (layer == "education" or medical)
    refused = mixes or (medical and layer == "conversion")
    given = GIVEN | {"intent": intent, "layer": layer, "call_to_action": call}
    if refused:
        with pytest.raises(ValidationError, match=r"expected (education|none, learn or attend)"):
            Asset.model_validate(given)
    else:
        assert Asset.model_validate(given).call_to_action == call


def test_a_segment_offers_no_intent_that_its_purpose_does_not_allow(tmp_path: Path) -> None:
    old, new = "education: [oncology_community_guide", "education: [oncology_rx_evidence"
    said = refusal(edited(folder(tmp_path), "segments/clinicians.yaml", "id: onc_community_center\n", old, new))
    assert (
        "segments/clinicians.yaml: onc_community_center.offers.education: oncology_rx_evidence is promotional" in said
    )


def test_a_segment_offers_no_conversion_before_its_stage(tmp_path: Path) -> None:
    old, new = "evaluation: [meeting_booking]", "education: [meeting_booking]"
    said = refusal(edited(folder(tmp_path), "segments/buyers.yaml", "id: operations_role\n", old, new))
    expected = (
        "operations_role.offers.education: meeting_booking is of the layer conversion, which begins at evaluation"
    )
    assert f"segments/buyers.yaml: {expected}" in said


def test_words_that_nobody_declared_are_refused_all_at_once(tmp_path: Path) -> None:
    configs = folder(tmp_path)
    for old, new in (
        ("product: implant", "product: snake_oil"), ("markets: [US", "markets: [Atlantis"),
        ("stages: [evaluation", "stages: [later"), ("audiences: [hcp", "audiences: [robots"),
    ):  # fmt: skip
        asset(configs, "implant_case_study", old, new)
    edited(configs, "policy/products.yaml", "implant:\n", "markets: [US]", "markets: [Atlantis]")
    edited(configs, "assets.yaml", "assets:\n", "asset_id: software_case_study_draft", "asset_id: software_overview")
    edited(configs, "actions.yaml", "teams:\n", "languages: [en", "languages: [klingon")
    said = refusal(configs)
    for key in ("product", "markets", "stages", "audiences"):
        assert f"assets.yaml: assets.implant_case_study.{key}: expected one of " in said
    assert "policy/products.yaml: products.implant.authorisations.0.markets: expected a value of jurisdiction" in said
    assert "assets.yaml: assets.software_overview.asset_id: expected each id once" in said
    assert "actions.yaml: teams.field_sales.field_sales.languages: expected one of " in said


def test_a_team_of_no_queue_is_refused(tmp_path: Path) -> None:
    configs = edited(folder(tmp_path), "actions.yaml", "teams:\n", "field_sales:", "nowhere:")
    assert "teams.nowhere: expected one of " in refusal(configs)


def test_without_register_and_rules_everything_loads_and_nothing_is_authorised(tmp_path: Path) -> None:
    configs = folder(tmp_path)
    (configs / "claims.yaml").unlink()
    (configs / "policy" / "products.yaml").unlink()
    settings = load_settings(configs)
    assert settings.products == {} and settings.claims.rules == ()
    (claim,) = settings.assets[0].claims or ()
    assert settings.claims.missing(claim, settings.assets[0].approval.on) == [  # type: ignore[union-attr]
        "no rule of claims.yaml says who signs a claim of kind operational"
    ]
