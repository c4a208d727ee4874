"""A campaign is checked before it runs: each remark here comes of one thing that is wrong with a right one."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.campaign_names import CampaignNames, campaign_name_problems
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.intake.campaigns import read_campaigns
from serving.campaign_check import check_campaigns
from training.sample.campaigns import campaign_columns

ON = date(2026, 7, 1)
RIGHT: dict[str, Any] = {
    "campaign_id": "C1", "name": "202607_onc_email_education_referral", "channel": "email",
    "product": "oncology_rx",
    "segment_ids": ["onc_community_center"], "offers": ["oncology_community_guide"], "goal": "education",
    "spend": 900.5,
    "started_on": "2026-07-06", "ended_on": "2026-09-30",
}  # fmt: skip


@cache
def shipped() -> Settings:
    return load_settings()


def remarks(tmp_path: Path, *rows: dict[str, Any]) -> list[tuple[str, str]]:
    path = tmp_path / "campaigns.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    report = check_campaigns(read_campaigns(path), shipped(), ON)
    assert report.read == len(rows)
    return [(one.field, one.level) for one in report.remarks]


def test_a_right_campaign_has_no_remark(tmp_path: Path) -> None:
    assert remarks(tmp_path, RIGHT) == []


def test_campaigns_of_the_sample_world_pass(tmp_path: Path) -> None:
    rng, day = np.random.default_rng((7, 1)), date(2026, 6, 30)
    path = tmp_path / "campaigns.parquet"
    pq.write_table(pa.table(campaign_columns(rng, day, shipped())), path)
    report = check_campaigns(read_campaigns(path), shipped(), day)
    # Nothing is amiss with those that are over either, but that none names its offers.
    assert (report.read, report.errors, {one.field for one in report.remarks}) == (12, 0, {"offers"})


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"name": None}, ("name", "error")),
        ({"name": "Campaign 1"}, ("name", "error")),
        ({"name": "202613_onc_email_education_x"}, ("name", "error")),
        ({"name": "202608_onc_email_education_x"}, ("name", "error")),  # it starts in July
        ({"name": "202607_onc_phone_education_x"}, ("name", "error")),  # the record says email
        ({"name": "202607_onc_email_education"}, None),  # the theme may be left out
        ({"goal": "fame"}, ("goal", "error")),
        ({"goal": None}, ("goal", "error")),
        ({"spend": None}, ("spend", "error")),
        ({"spend": 0}, None),
        ({"started_on": None}, ("started_on", "error")),
        ({"ended_on": None}, ("ended_on", "warning")),
        ({"ended_on": "2026-07-05"}, ("ended_on", "error")),
        ({"segment_ids": []}, ("segment_ids", "error")),
        ({"segment_ids": ["onc_communty_center"]}, ("segment_ids", "error")),
        ({"offers": []}, ("offers", "warning")),
        ({"offers": ["nothing"]}, ("offers", "error")),
    ],
)
def test_each_thing_that_is_wrong_is_told(
    tmp_path: Path, own: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    found = remarks(tmp_path, RIGHT | own)
    assert (expected in found) if expected else found == []


def test_an_amount_that_is_none_is_refused_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="row 1, column spend"):
        remarks(tmp_path, RIGHT | {"spend": "a lot"})


def test_a_segment_of_another_product_and_an_offer_it_cannot_use_are_told(tmp_path: Path) -> None:
    found = remarks(tmp_path, RIGHT | {"segment_ids": ["cardio_outpatient"]})
    assert found.count(("segment_ids", "error")) == 1 and ("offers", "error") in found


def test_a_draft_holds_nobody_and_an_expired_asset_is_not_offered(tmp_path: Path) -> None:
    found = remarks(tmp_path, RIGHT | {"segment_ids": ["category_new"], "offers": ["implant_brochure_2024"]})
    assert ("segment_ids", "error") in found and ("offers", "error") in found


def test_the_same_id_twice_and_two_beside_each_other_are_told(tmp_path: Path) -> None:
    assert remarks(tmp_path, RIGHT, RIGHT).count(("campaign_id", "error")) == 2
    found = remarks(tmp_path, RIGHT, RIGHT | {"campaign_id": "C2"})
    assert found == [("segment_ids", "warning")]
    later = RIGHT | {"campaign_id": "C2", "started_on": "2026-10-01", "ended_on": "2026-11-01",
                     "name": "202610_onc_email_education_referral"}  # fmt: skip
    assert remarks(tmp_path, RIGHT, later) == []


def test_what_is_over_is_only_noted(tmp_path: Path) -> None:
    over = RIGHT | {"name": "Old", "started_on": "2026-01-01", "ended_on": "2026-06-30"}
    assert {level for _, level in remarks(tmp_path, over)} == {"over"}


def test_the_command_exits_1_on_an_error_and_reads_csv(tmp_path: Path) -> None:
    path = tmp_path / "quarter.csv"
    head = list(RIGHT)
    row = [";".join(v) if isinstance(v, list) else str(v) for v in RIGHT.values()]
    path.write_text(",".join(head) + "\n" + ",".join(row) + "\n")
    right = CliRunner().invoke(app, ["campaigns", "check", str(path), "--as-of", "2026-07-01"])
    assert right.exit_code == 0 and "no errors" in right.stdout
    path.write_text(path.read_text().replace("onc_email", "email"))
    wrong = CliRunner().invoke(app, ["campaigns", "check", str(path), "--as-of", "2026-07-01", "--json"])
    assert wrong.exit_code == 1 and json.loads(wrong.stdout)["errors"] >= 1


def test_the_example_follows_the_convention_and_a_convention_that_cannot_be_read_is_refused() -> None:
    names = shipped().campaign_names
    values = {name: vocabulary.values for name, vocabulary in shipped().vocabularies.items()}
    assert names.read(names.example, values)[1] == ()
    wrong = CampaignNames.model_validate(
        {
            "parts": [
                {"id": "product", "says": "which", "vocabulary": "product"},
                {"id": "x", "says": "who", "vocabulary": "no"},
            ]
        }
    )
    problems = [
        p.key for p in campaign_name_problems({"campaign_names": wrong, "vocabularies": shipped().vocabularies})
    ]
    assert problems == ["parts.product", "parts.x.vocabulary"]
    assert CampaignNames().read("whatever it is called", {}) == ({}, ())
