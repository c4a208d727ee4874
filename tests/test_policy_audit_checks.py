"""Checks of permits are asked again by the rules of the send gate, though the service never scored anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from policy.audit.archive import Archive
from policy.audit.chain import Entry, entries, log_files
from policy.audit.pseudonyms import pseudonym_key
from serving.app import Scoring
from serving.recorded import checked_again, same_check
from serving.start import start_contact
from tests.store_people import NOW, permit, shipped


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Entry]]]:
    folder = tmp_path_factory.mktemp("checked") / "audit"
    folder.mkdir()
    scoring = Scoring(shipped(), lambda: NOW)
    start_contact(scoring, folder, str(folder.parent / "store.db"))
    assert scoring.contact is not None and scoring.journal is not None
    contact, journal = scoring.contact, scoring.journal

    async def commit(records: list[dict[str, Any]]) -> None:
        journal.durably(records)

    def ask(path: str, body: dict[str, Any]) -> None:
        asyncio.run(contact.answer(path, json.dumps(body).encode(), NOW, commit))

    key = pseudonym_key(folder)
    for lead_id, stop in (("yes", None), ("no", {"channel": "email"})):
        token, asset_id = permit(lead_id, key=key)
        if stop is not None:
            row = {"suppression_id": lead_id, "lead_id": lead_id, "since_at": NOW.isoformat(), **stop}
            ask("/v1/suppressions", {"suppressions": [row]})
        question = {"permit": token, "lead_id": lead_id, "channel": "email", "asset_id": asset_id}
        ask("/v1/permits/check", question)
        ask("/v1/permits/check", question)
    old, asset_id = permit("old", key=key, now=NOW - timedelta(hours=9))
    ask("/v1/permits/check", {"permit": old, "lead_id": "old", "channel": "email", "asset_id": asset_id})
    journal.close()
    contact.close()
    kept = [one for file in log_files(folder) for one in entries(file) if one.record.get("kind") == "permit_check"]
    yield folder, kept


def test_every_check_that_asked_the_rules_says_the_same_again(checked: tuple[Path, list[Entry]]) -> None:
    folder, kept = checked
    archive = Archive(folder)
    found = []
    for entry in kept:
        assert entry.detail is not None
        again = checked_again(entry.record, entry.detail, archive)
        found.append(None if again is None else (again["permitted"], same_check(entry.record, again)))
    # The second question about a used permit, and one that ran out, asked no rule.
    assert found == [(True, True), None, (False, True), (False, True), None]
    assert kept[2].record["blocks"] == [["GEN-01", "OPT_OUT"]]


def test_other_facts_are_another_text(checked: tuple[Path, list[Entry]]) -> None:
    folder, kept = checked
    assert kept[2].detail is not None
    again = checked_again(kept[0].record, kept[2].detail, Archive(folder))
    assert again is not None and not same_check(kept[0].record, again)


def test_the_command_asks_all_of_them_or_one(checked: tuple[Path, list[Entry]]) -> None:
    folder, kept = checked

    def run(*words: str) -> dict[str, Any]:
        words = ("audit", "replay", "--audit", str(folder), "--json", *words)
        return dict(json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout))

    assert run() == {"same": 3, "erased": 0, "permit_refused": 2, "different": []}
    one = run(kept[2].record["audit_id"])
    assert one["same_bytes"] and one["channels"] == {"email": {"blocks": [["GEN-01", "OPT_OUT"]]}}
    with pytest.raises(InputInvalid, match="the permit itself was refused"):
        run(kept[1].record["audit_id"])
