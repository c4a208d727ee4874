"""Whose data a bundle was trained on: keyed, sorted, sealed; a wrong key is refused and never a no."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import BundleRefused, InputInvalid
from configs.settings import load_settings
from features.encode import encode_records
from features.records import Account, Lead, Link
from models.trained_on import (
    FOLDER,
    KEY_VARIABLE,
    erasure_key,
    key_path,
    keyed_hash,
    read_trained_on,
    touches,
    write_trained_on,
)
from training.registry.history import CHAMPION_FILE, HEAD_FILE, HISTORY_FILE, writing
from training.touched import remember, touched_leads

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
ONE, TWO = "a" * 64, "b" * 64
AT = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_list_holds_exactly_the_ids_it_was_written_with(tmp_path: Path) -> None:
    ids = [f"L{number:04d}" for number in range(300)]
    path = write_trained_on(tmp_path, ONE, [*ids, *ids[:7]], KEY)
    found = read_trained_on(tmp_path, ONE)
    assert found is not None and len(found) == 300
    assert list(found) == sorted(found)
    assert all(touches(found, [one], KEY) for one in ids)
    assert not any(touches(found, [f"M{number}"], KEY) for number in range(300))
    assert touches(found, ["nobody", "L0299"], KEY)
    # 16 bytes a lead, and what frames them.
    assert path.stat().st_size == 300 * 16 + 22 + 16 + 8 + 32
    assert not any(one.encode() in path.read_bytes() for one in ids)


def test_the_same_ids_and_key_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    first = write_trained_on(tmp_path / "x", ONE, ["a", "b", "c"], KEY).read_bytes()
    assert write_trained_on(tmp_path / "y", ONE, ["c", "a", "b", "a"], KEY).read_bytes() == first
    assert write_trained_on(tmp_path / "z", ONE, ["a", "b", "c"], OTHER).read_bytes() != first
    assert [path.name for path in (tmp_path / "x" / FOLDER).iterdir()] == [f"{ONE}.bin"]


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / f".{ONE}.bin.{os.getpid()}").write_bytes(b"half")
    path = write_trained_on(tmp_path, ONE, ["a"], KEY)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_another_key_is_refused_and_never_a_no(tmp_path: Path) -> None:
    write_trained_on(tmp_path, ONE, ["a"], KEY)
    found = read_trained_on(tmp_path, ONE)
    assert found is not None
    with pytest.raises(BundleRefused, match="another erasure key"):
        touches(found, ["b"], OTHER)


def test_a_list_that_was_changed_or_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_trained_on(tmp_path, ONE, ["a", "b"], KEY)
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[:60] + bytes([whole[60] ^ 1]) + whole[61:], whole[:-48] + whole[-32:], b""):
        path.write_bytes(broken)
        with pytest.raises(BundleRefused):
            read_trained_on(tmp_path, ONE)
    assert read_trained_on(tmp_path, TWO) is None


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = key_path(tmp_path / "artifacts")
    with pytest.raises(InputInvalid, match="expected the erasure key"):
        erasure_key(path, make=False)
    key = erasure_key(path, make=True)
    assert len(key) == 32 and erasure_key(path, make=True) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "kept" / "elsewhere.key"))
    assert key_path(tmp_path) == tmp_path / "kept" / "elsewhere.key"
    assert erasure_key(key_path(tmp_path), make=True) != key
    path.write_text("not a key")
    with pytest.raises(InputInvalid, match="64 hexadecimal"):
        erasure_key(path, make=True)
    assert keyed_hash(key, "a") != keyed_hash(KEY, "a")


def test_colleagues_and_every_id_that_ever_was_one_person_are_touched() -> None:
    settings = load_settings()
    leads = [
        Lead(lead_id="learned", account_id="S", recorded_at=AT),
        Lead(lead_id="colleague", account_id="S", recorded_at=AT),
        Lead(lead_id="twin of the colleague", recorded_at=AT),
        Lead(lead_id="twin once, parted since", recorded_at=AT),
        Lead(lead_id="somebody else", account_id="T", recorded_at=AT),
    ]
    links = [
        Link(lead_id="colleague", other_lead_id="twin of the colleague", linked_at=AT, kind="same", evidence="person"),
        Link(lead_id="twin once, parted since", other_lead_id="learned", linked_at=AT, kind="same", evidence="person"),
        Link(
            lead_id="twin once, parted since",
            other_lead_id="learned",
            linked_at=datetime(2026, 6, 2, tzinfo=UTC),
            kind="different",
            evidence="person",
        ),
    ]
    tables = encode_records(
        leads, [Account(account_id="S"), Account(account_id="T")], vocabularies=settings.vocabularies, links=links
    )
    found = touched_leads(tables, np.array([0, 0]), settings)
    assert sorted(found) == ["colleague", "learned", "twin of the colleague", "twin once, parted since"]
    assert touched_leads(tables, np.array([4]), settings) == ["somebody else"]


def test_who_only_showed_what_a_mail_domain_does_is_touched_too() -> None:
    leads = [Lead(lead_id="learned"), Lead(lead_id="behind", mail_domain="Clinic.Example."), Lead(lead_id="other")]
    tables, settings = encode_records(leads, vocabularies=load_settings().vocabularies), load_settings()
    assert touched_leads(tables, np.array([0]), settings, {"clinic.example": -1.0}) == ["learned", "behind"]
    assert touched_leads(tables, np.array([0]), settings) == ["learned"]


# The command


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["erasure", "touches", *words], env={"COLUMNS": "200"})
    ended = done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output if ended else str(done.exception)


def _serve(artifacts: Path) -> None:
    says = {"path": "bundle", "how": "promote", "served_from": "2026-06-02T00:00:00Z", "previous": None}
    with writing(artifacts, datetime(2026, 6, 2, tzinfo=UTC)) as ledger:
        entry = ledger.append("served", by="Ada", bundle_id=ONE, as_of=AT, says=says, close=False)
        ledger.switch(entry, {"bundle_id": ONE, "path": "bundle"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artifacts with one bundle that was trained on `known` and is the champion."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    settings = load_settings()
    tables = encode_records([Lead(lead_id="known"), Lead(lead_id="other")], [], vocabularies=settings.vocabularies)
    remember(tables, np.array([0]), settings, tmp_path / "bundle", ONE)
    _serve(tmp_path)
    return tmp_path


def test_the_command_names_the_bundles_and_when_they_served_and_never_the_id(site: Path) -> None:
    code, said = run("--lead-id", "known", "--artifacts", str(site))
    assert code == 0 and "1 of 1 bundles were trained on data of this person" in said
    assert ONE[:12] in said and "2026-06-02T00:00:00Z to now" in said
    assert "known" not in said
    code, said = run("--lead-id", "other", "--artifacts", str(site))
    assert code == 0 and "0 of 1 bundles" in said and ONE[:12] not in said
    assert run("--lead-id", "other", "--lead-id", "known", "--artifacts", str(site))[1].count(ONE[:12]) == 1


def test_a_bundle_that_never_served_and_one_that_is_gone_are_named_too(site: Path) -> None:
    for name in (CHAMPION_FILE, HISTORY_FILE, HEAD_FILE):
        (site / name).unlink()
    said = run("--lead-id", "known", "--artifacts", str(site))[1]
    assert ONE[:12] in said and "gone" in said and "never" in said


def test_what_cannot_be_told_is_said_apart_and_ends_with_1(site: Path) -> None:
    write_trained_on(site, TWO, ["known"], OTHER)
    code, said = run("--lead-id", "known", "--artifacts", str(site))
    assert code == 1 and "1 of 2 bundles" in said and "1 cannot tell" in said
    assert "another erasure key" in said
    (site / FOLDER / f"{ONE}.bin").unlink()
    code, said = run("--lead-id", "known", "--artifacts", str(site))
    assert code == 1 and "no list of whom it was trained on" in said


def test_without_a_key_nothing_is_answered_and_none_is_made(site: Path) -> None:
    key_path(site).unlink()
    assert "expected the erasure key" in run("--lead-id", "known", "--artifacts", str(site))[1]
    assert not key_path(site).exists()
