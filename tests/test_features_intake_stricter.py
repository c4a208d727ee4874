"""A row that stops somebody stops them however badly it is written; damaged files are one clear error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.settings import load_settings
from features.facts import FactBuilder, facts_of
from features.intake.partitions import plan_partitions
from features.intake.scan import most_rows
from features.intake.sources import Intake, find_files, read_tables
from features.inventory import Inventory
from features.tables import UNKNOWN_INSTANT, known_at

SETTINGS = load_settings()
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
BAD_TIMES = ["", "01.02.2026", "2026-02-01 10:00:00", "1980-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "soon"]
LEADS = "lead_id,country,recorded_at\nL1,US,2026-01-01T00:00:00Z\nL2,US,2026-01-01T00:00:00Z\n"


def _read(folder: Path, **tables: str) -> Intake:
    for table, text in ({"leads": LEADS} | tables).items():
        (folder / f"{table}.csv").write_text(text, encoding="utf-8")
    intake = read_tables(find_files(folder), SETTINGS, suppressions_complete_as_of=AS_OF)
    assert all(c.used + c.rejected + c.duplicate == c.read for c in intake.counts.values())
    assert sum(c.rejected for c in intake.counts.values()) == intake.rejects.num_rows
    return intake


def _seen(intake: Intake, fact: str, channel: int = 0) -> list[str | None]:
    """The fact of each lead by e-mail."""
    facts = facts_of(known_at(intake.tables, AS_OF), BUILDER, INVENTORY)
    column: Any = facts.columns[fact]
    codes = np.broadcast_to(column, (facts.n, *column.shape[1:]))[:, 0, channel % column.shape[2]]
    values = SETTINGS.facts[fact].values
    return [values[code - 1] if code else None for code in codes.tolist()]


@pytest.mark.parametrize("time", BAD_TIMES)
def test_a_stop_of_unreadable_time_is_in_force_since_always_and_flagged(tmp_path: Path, time: str) -> None:
    text = f"lead_id,reason,channel,since_at\nL1,opt_out,email,{time}\n"
    intake = _read(tmp_path, suppressions=text)
    assert _seen(intake, "opt_out") == ["yes", "no"]
    assert (intake.counts["suppressions"].used, intake.counts["suppressions"].rejected) == (1, 0)
    assert intake.flagged["suppressions: something unreadable, read the stricter way"] == 1


def test_a_stop_whose_other_instants_or_words_cannot_be_read_stands(tmp_path: Path) -> None:
    text = "lead_id,account_id,reason,channel,since_at,recorded_at,until_at\n"
    text += "L1,,opt_out,email,2026-01-01T00:00:00Z,yesterday,\n"
    text += f"L2,,{'x' * 201},,2026-01-01T00:00:00Z,,until further notice\n"
    assert _seen(_read(tmp_path, suppressions=text), "opt_out") == ["yes", "yes"]


def test_a_stop_of_a_lead_stands_although_its_account_cannot_be_read(tmp_path: Path) -> None:
    text = f"lead_id,account_id,since_at\nL1,A9,2026-01-01T00:00:00Z\nL2,{'A' * 65},2026-01-01T00:00:00Z\n"
    assert _seen(_read(tmp_path, suppressions=text), "opt_out") == ["yes", "yes"]


def test_ids_are_read_without_the_spaces_around_them(tmp_path: Path) -> None:
    text = "lead_id,since_at\n L1\u00a0 ,2026-01-01T00:00:00Z\n"
    intake = _read(tmp_path, suppressions=text, leads=LEADS.replace("L2", "L2 "))
    assert intake.tables.lead_ids.tolist() == ["L1", "L2"]
    assert _seen(intake, "opt_out") == ["yes", "no"]


@pytest.mark.parametrize("time", BAD_TIMES)
def test_a_withdrawal_of_unreadable_time_ends_an_older_grant(tmp_path: Path, time: str) -> None:
    text = "lead_id,channel,purpose,status,captured_at\n"
    grants = "".join(f"L{i},email,promotion,granted,2026-01-01T00:00:00Z\n" for i in (1, 2))
    intake = _read(tmp_path, consents=text + grants + f"L1,email,promotion,withdrawn,{time}\n")
    assert _seen(intake, "consent_withdrawn") == ["yes", "no"]
    assert _seen(intake, "consent") == ["withdrawn", "granted"]
    assert intake.counts["consents"].used == 3
    intake = _read(tmp_path, consents=text + grants + f"L1,email,promotion,none,{time}\n")
    assert _seen(intake, "consent") == ["none", "granted"]


def test_a_grant_of_unreadable_time_or_end_makes_its_consent_unknown(tmp_path: Path) -> None:
    text = "lead_id,channel,purpose,status,captured_at,expires_at\n"
    text += "L1,email,promotion,granted,01.02.2026,\nL2,email,promotion,granted,2026-01-01T00:00:00Z,next year\n"
    intake = _read(tmp_path, consents=text)
    assert _seen(intake, "consent") == [None, None]
    assert intake.flagged["consents: something unreadable, read the stricter way"] == 2


def test_a_grant_for_a_product_that_cannot_be_read_is_no_grant(tmp_path: Path) -> None:
    text = "lead_id,channel,purpose,status,captured_at,product\n"
    text += (
        "L1,email,promotion,granted,2026-01-01T00:00:00Z,widgets\nL2,email,promotion,granted,2026-01-01T00:00:00Z,\n"
    )
    assert _seen(_read(tmp_path, consents=text), "consent") == [None, "granted"]


@pytest.mark.parametrize("time", BAD_TIMES)
def test_a_case_of_unreadable_time_is_open(tmp_path: Path, time: str) -> None:
    text = f"case_id,lead_id,kind,opened_at,closed_at\nC1,L1,adverse_event,{time},\nC2,L2,adverse_event,{time},done\n"
    assert _seen(_read(tmp_path, cases=text), "adverse_event_open") == ["yes", "yes"]


STRAYS = {
    "no lead": {"suppressions": "lead_id,since_at\n,2026-01-01T00:00:00Z\n"},
    "a long id": {"suppressions": f"lead_id,since_at\n{'L' * 65},2026-01-01T00:00:00Z\n"},
    "a row that does not fit": {"suppressions": "lead_id,reason,since_at\nL1,opt_out\n"},
    "a withdrawal of nobody": {
        "suppressions": "lead_id,since_at\n",
        "consents": "lead_id,status,captured_at\n,withdrawn,2026-01-01T00:00:00Z\n",
    },
}


@pytest.mark.parametrize("tables", STRAYS.values(), ids=STRAYS.keys())
def test_a_stop_of_nobody_we_can_name_leaves_the_feed_incomplete(tmp_path: Path, tables: dict[str, str]) -> None:
    intake = _read(tmp_path, **tables)
    assert intake.tables.suppressions_complete_as_of == UNKNOWN_INSTANT
    assert intake.rejects.num_rows == 1
    assert _seen(intake, "opt_out") == [None, None]
    assert intake.flagged["stops of nobody we can name: the suppression feed counts as incomplete"] == 1
    files = find_files(tmp_path)
    with plan_partitions(files, SETTINGS, count=3, suppressions_complete_as_of=AS_OF) as plan:
        parts = list(plan.parts())
    assert {part.tables.suppressions_complete_as_of for part in parts} == {UNKNOWN_INSTANT}
    assert sum(sum(part.flagged.values()) for part in parts) == sum(intake.flagged.values())


def test_a_stop_of_somebody_who_is_not_here_and_a_grant_of_nobody_leave_the_feed_complete(tmp_path: Path) -> None:
    intake = _read(
        tmp_path,
        suppressions="lead_id,since_at\nL9,2026-01-01T00:00:00Z\n",
        consents="lead_id,status,captured_at\n,granted,2026-01-01T00:00:00Z\n",
    )
    assert intake.rejects.num_rows == 2
    assert _seen(intake, "opt_out") == ["no", "no"]


# --- damaged files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["{bad", "{}", "[]", '{"suppressions_complete_as_of": 5}', '{"suppressions_complete_as_of": "soon"}', "\udcff"],
)
def test_a_damaged_note_beside_the_feed_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "leads.csv").write_text(LEADS, encoding="utf-8")
    (tmp_path / "suppressions.csv").write_text("lead_id,since_at\n", encoding="utf-8")
    (tmp_path / "sample.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputInvalid, match=r"sample\.json"):
        read_tables(find_files(tmp_path), SETTINGS)


def test_a_truncated_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "leads.parquet"
    pq.write_table(pa.table({"lead_id": [f"L{i}" for i in range(500)]}), path)
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 6, 3):
        path.write_bytes(whole[:size])
        for read in (lambda: most_rows("leads", path), lambda: read_tables({"leads": path}, SETTINGS)):
            with pytest.raises(InputInvalid, match=r"leads\.parquet"):
                read()


def test_a_truncated_feed_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(LEADS, encoding="utf-8")
    (tmp_path / "suppressions.parquet").write_bytes(b"PAR1PAR1")
    with pytest.raises(InputInvalid, match=r"suppressions\.parquet"):
        read_tables(find_files(tmp_path), SETTINGS)
