"""An inventory read from a table is the inventory it was written from; a wrong row refuses the whole."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.settings import load_settings
from features.intake.assets import read_assets
from training.sample.campaigns import asset_columns


def test_the_samples_inventory_reads_back_as_configured(tmp_path: Path) -> None:
    assets = load_settings().assets
    pq.write_table(pa.table(asset_columns(assets)), tmp_path / "assets.parquet")
    assert read_assets(tmp_path / "assets.parquet") == assets


CSV = (
    "asset_id,title,kind,intent,layer,audiences,markets,channels,approval_by,approval_on,approval_expires_on,"
    "approval_reference\n"
)
ROW = "guide_1,A guide,guide,promotional,education,hcp; buyer,US,email,Board,2026-01-02,2027-01-02,R-1\n"


def test_lists_in_a_csv_are_separated_by_semicolons(tmp_path: Path) -> None:
    (tmp_path / "assets.csv").write_text(CSV + ROW, encoding="utf-8")
    (asset,) = read_assets(tmp_path / "assets.csv")
    assert asset.audiences == ("hcp", "buyer")
    assert asset.approval is not None and asset.approval.expires_on.isoformat() == "2027-01-02"


def test_an_asset_without_approval_columns_is_a_draft(tmp_path: Path) -> None:
    (tmp_path / "assets.csv").write_text(CSV + ROW.replace("Board,2026-01-02,2027-01-02,R-1", ",,,"), encoding="utf-8")
    (asset,) = read_assets(tmp_path / "assets.csv")
    assert asset.approval is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROW + ROW, "row 2, column asset_id: expected each id once"),
        (ROW.replace(",email,", ",pigeon,"), "row 1, column channels.0"),
        (ROW.replace("2027-01-02", "soon"), "row 1, column approval.expires_on"),
        (ROW.replace("Board", ""), "row 1, column approval.by"),
    ],
)
def test_a_wrong_row_refuses_the_inventory_and_names_the_place(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "assets.csv").write_text(CSV + rows, encoding="utf-8")
    with pytest.raises(InputInvalid, match=said):
        read_assets(tmp_path / "assets.csv")
