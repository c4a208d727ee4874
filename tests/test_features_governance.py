"""A site or its parent system speaks for an account, field by field, as declared."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import configs
from configs.errors import ConfigInvalid
from configs.identity import Governed
from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.governance import governed
from features.inventory import Inventory
from features.records import Account, Lead
from features.tables import known_at
from features.view import ViewRules, view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
VOCABULARIES = SETTINGS.vocabularies


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def test_the_system_governs_where_it_is_declared_and_falls_back_where_that_is_declared() -> None:
    size, path = VOCABULARIES["size"], VOCABULARIES["procurement_path"]
    accounts = [
        Account(account_id="site", parent_account_id="system", recorded_at=ago(9), size="small"),
        Account(account_id="system", recorded_at=ago(9), size="large", procurement_path="tender"),
        Account(account_id="bare", parent_account_id="system", recorded_at=ago(9)),
    ]
    known = known_at(encode_records([Lead(lead_id="a", account_id="site")], accounts, vocabularies=VOCABULARIES), AS_OF)
    assert governed(known, {}) is known and governed(known, {"size": Governed()}) is known
    place = {name: row for row, name in enumerate(known.account_ids)}

    def under(field: str, rule: Governed) -> list[int]:
        found = governed(known, {field: rule}).accounts[field]
        return [int(found[place[name]]) for name in ("site", "system", "bare")]

    small, large, gpo = size.code("small"), size.code("large"), path.code("tender")
    assert small and large and gpo
    assert under("size", Governed(level="system")) == [large, large, large]
    assert under("size", Governed(level="site", fallback=True)) == [small, large, large]
    assert under("procurement_path", Governed(level="system")) == [gpo, gpo, gpo]
    hidden = {**known.accounts, "size": np.where(np.arange(len(place)) == place["system"], 0, known.accounts["size"])}
    known = replace(known, accounts=hidden)
    assert under("size", Governed(level="system")) == [0, 0, 0]
    assert under("size", Governed(level="system", fallback=True)) == [small, 0, 0]


def test_rules_and_features_see_the_governing_value_and_by_default_the_sites() -> None:
    accounts = [
        Account(account_id="site", parent_account_id="system", recorded_at=ago(9), size="small"),
        Account(account_id="system", recorded_at=ago(9), size="large"),
    ]
    tables = encode_records(
        [Lead(lead_id="a", account_id="site", recorded_at=ago(9))], accounts, vocabularies=VOCABULARIES
    )
    inventory, words = Inventory.of((), VOCABULARIES), VOCABULARIES["size"]
    identity = SETTINGS.identity.model_copy(update={"governs": {"size": Governed(level="system")}})
    for settings, expected in ((SETTINGS, "small"), (SETTINGS.model_copy(update={"identity": identity}), "large")):
        builder = FactBuilder.of(settings)
        known = view_at(tables, AS_OF, ViewRules.of(settings))
        assert words.value(int(facts_of(known, builder, inventory).columns["size"].item())) == expected


def test_a_level_for_a_field_that_accounts_do_not_have_is_refused_by_file_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    shutil.copytree(Path(configs.__file__).parent, folder)
    text = (folder / "identity.yaml").read_text(encoding="utf-8")
    (folder / "identity.yaml").write_text(text.replace("governs: {}", "governs: {shoe_size: {level: site}}"))
    with pytest.raises(ConfigInvalid, match=r"identity\.yaml"):
        load_settings(folder)
