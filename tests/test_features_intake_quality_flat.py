"""A first look at any flat file, and the mapping it suggests: read by every road alike, nothing converted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.settings import load_settings, load_source
from features.intake.quality.check import check_any, check_flat
from features.intake.quality.flat import any_columns, draft_mapping
from features.intake.quality.leaks import DISGUISED_AUC

SETTINGS = load_settings()
HEADER = ("id", "city", "visits", "Won")
ROWS = [("A1", "Rome", "3", "yes"), ("A2", "Select", "", "no"), ("A3", "Rome", "5", "no")]


def export(folder: Path, rows: int = 400, name: str = "export.csv") -> Path:
    """An export in which `status` is the outcome in other words, `note_id` names rows and `site` is constant."""
    rng = np.random.default_rng(1)
    won = rng.random(rows) < 0.3
    lines = ["lead,note_id,site,city,visits,status,opted_in,Won"]
    for i in range(rows):
        city = ("Rome", "Oslo", "Select")[int(rng.integers(3))]
        status = "signed" if won[i] else "open"
        lines.append(
            f"{i + 1},n-{i:05d},web,{city},{int(rng.integers(9))},{status},{('yes', 'no')[i % 2]},{int(won[i])}"
        )
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_any_delimiter_and_a_byte_order_mark_are_read(tmp_path: Path, delimiter: str, start: str) -> None:
    text = start + "\n".join(delimiter.join(row) for row in (HEADER, *ROWS)) + "\n"
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    flat = any_columns(tmp_path / "f.csv")
    assert flat.names == HEADER
    assert flat.texts["visits"].tolist() == ["3", None, "5"]


def test_gzip_json_lines_and_parquet_say_what_the_csv_says(tmp_path: Path) -> None:
    text = "\n".join(",".join(row) for row in (HEADER, *ROWS)) + "\n"
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(text.encode()))
    cells = [", ".join(f'"{n}": "{v}"' for n, v in zip(HEADER, row, strict=True)) for row in ROWS]
    (tmp_path / "f.jsonl").write_text("".join(f"{{{cell}}}\n" for cell in cells))
    columns = {name: [row[i] or None for row in ROWS] for i, name in enumerate(HEADER)}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = [any_columns(tmp_path / name) for name in ("f.csv.gz", "f.jsonl", "f.parquet")]
    for flat in found:
        assert {name: flat.texts[name].tolist() for name in HEADER} == columns
        assert flat.read == 3


def test_rows_that_do_not_fit_are_rejected_with_their_place_and_counts_add_up(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n1,2\n1,2,3\n4,5\n1,2\n")
    flat, report = check_any(tmp_path / "f.csv", SETTINGS)
    assert list(flat.rejected) == [3]
    counts = report.counts["leads"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (4, 2, 1, 1)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("f.csv", b"a,a\n1,2\n", "expected each column once"),
        ("f.csv", b"\xff\xfe\x00\x01\n", "expected UTF-8 text"),
        ("f.csv.gz", b"no gzip", "expected a readable gzip file"),
        ("f.parquet", b"PAR1 no", "could not read the file"),
        ("f.csv", b"", "expected a header line"),
        ("f.xlsx", b"PK", r"expected \.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputInvalid, match=expected):
        any_columns(tmp_path / name)


def test_an_outcome_needs_to_be_there_and_to_have_two_values(tmp_path: Path) -> None:
    path = export(tmp_path)
    for column, expected in (("Won?", "expected this column"), ("city", "expected an outcome of two values, found 3")):
        with pytest.raises(InputInvalid, match=expected):
            check_any(path, SETTINGS, outcome=column)


def test_a_target_in_disguise_an_id_and_a_constant_are_pointed_at(tmp_path: Path) -> None:
    _, report = check_any(export(tmp_path), SETTINGS, outcome="Won")
    assert [s.column for s in report.suspects] == ["status"]
    found = report.suspects[0]
    assert found.auc >= DISGUISED_AUC and found.strength > 0.9 and found.declared == "undeclared"
    assert "the outcome in other words" in found.evidence[0]
    assert report.id_like == ("lead", "note_id")
    assert [c.column for c in report.columns if c.constant] == ["site"]
    assert [(s.column, s.value) for s in report.sentinels] == [("city", "Select")]


def test_measured_amounts_and_dates_are_no_ids(tmp_path: Path) -> None:
    rows = "".join(f"{i * 1.37:.2f},2026-01-{1 + i % 28:02d} 10:{i % 60:02d}:{i // 60:02d}\n" for i in range(300))
    (tmp_path / "f.csv").write_text("amount,at\n" + rows)
    assert check_any(tmp_path / "f.csv", SETTINGS)[1].id_like == ()


def test_the_drafted_mapping_loads_and_sets_suspects_ids_and_constants_aside(tmp_path: Path) -> None:
    path = export(tmp_path)
    flat, report = check_any(path, SETTINGS, outcome="Won")
    (tmp_path / "m.yaml").write_text(draft_mapping(flat, report, name="mine", outcome="Won"))
    mapping = load_source(tmp_path / "m.yaml")
    assert (mapping.lead_id, mapping.order_by, mapping.outcome) == ("lead", "lead", "Won")
    assert (mapping.outcome_true, mapping.outcome_false) == (("1",), ("0",))
    assert {a.column: a.type for a in mapping.attributes} == {
        "city": "category",
        "visits": "number",
        "opted_in": "yesno",
    }
    assert set(mapping.after_outcome) == {"status"}
    assert set(mapping.ignored) == {"note_id", "site"}
    # Every column of the file is said something about, so that training accepts the file with this mapping.
    assert mapping.declared() == frozenset(flat.names)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1, max_size=12).filter(
            lambda t: t.strip()
        ),
        min_size=2,
        max_size=5,
        unique_by=str.strip,
    )
)
def test_a_drafted_mapping_loads_whatever_the_columns_are_called(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("draft")
    names = [name.strip() for name in names]
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    lines = [",".join(quoted), *(",".join(f"{i * 7 % 11}{c}" for c in range(len(names))) for i in range(40))]
    (folder / "f.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "_at" in names:
        return
    flat, report = check_any(folder / "f.csv", SETTINGS)
    (folder / "m.yaml").write_text(draft_mapping(flat, report, name="x", outcome=None), encoding="utf-8")
    assert load_source(folder / "m.yaml").declared() == frozenset(flat.names) == frozenset(names)


def test_with_a_mapping_the_same_columns_are_suspected_and_the_mapping_says_what_they_are(tmp_path: Path) -> None:
    from features.intake.flat import read_flat

    path = export(tmp_path)
    flat, report = check_any(path, SETTINGS, outcome="Won")
    (tmp_path / "m.yaml").write_text(draft_mapping(flat, report, name="mine", outcome="Won"))
    mapping = load_source(tmp_path / "m.yaml")
    found = check_flat(mapping, path, read_flat(mapping, path, SETTINGS, training=False), SETTINGS)
    assert [(s.column, s.declared) for s in found.suspects] == [("status", "after_outcome")]
    assert found.undeclared == () and found.sentinels == report.sentinels
