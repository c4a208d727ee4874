"""JSON lines as people's tools write them: byte order marks, blank lines, odd keys, and what is no JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.intake.scan import connect
from features.intake.staging import FILE_BITS, stage_json

GOOD = b'{"a": 1}\n'


def _staged(folder: Path, *contents: bytes) -> tuple[list[tuple[str, ...]], list[tuple[int, int]], list[str]]:
    """Rows as (a, line with its file above it), places of the lines that are none, and the columns."""
    files = []
    for place, content in enumerate(contents):
        files.append(folder / f"{place}.jsonl")
        files[-1].write_bytes(content)
    con = connect(files, memory_limit_mb=None, threads=1, spill=None)
    bad = stage_json(con, "t", files)
    columns = [str(column) for column, *_ in con.sql("DESCRIBE t").fetchall()]
    rows = con.sql(f"SELECT {'a' if 'a' in columns else 'NULL'}, _at FROM t ORDER BY _at").fetchall()
    con.close()
    return rows, [(place, line) for place, line, _ in bad], columns


@pytest.mark.parametrize(
    ("content", "rows", "bad"),
    [
        (b"\xef\xbb\xbf" + GOOD * 2, [("1", 1), ("1", 2)], []),
        (b"\xef\xbb\xbf\n" + GOOD, [("1", 2)], []),
        (b"\xef\xbb\xbfnope\n" + GOOD, [("1", 2)], [1]),
        (b'\xef\xbb\xbf{"a": "\xff"}\n' + GOOD, [("1", 2)], [1]),
        (b"\n" + GOOD + b"  \t\r\n\r\n" + GOOD, [("1", 2), ("1", 5)], []),
        (b"\n" + GOOD.rstrip(), [("1", 2)], []),
        (GOOD + b"\n\n" + b"{\n" + GOOD, [("1", 1), ("1", 5)], [4]),
        (b'{"a": 1}\r\n{"a": 2}\r\n', [("1", 1), ("2", 2)], []),
        (b'{"a": "\xff"}\n{"a": "\\ud800"}\n' + GOOD, [("1", 3)], [1, 2]),
        (b'[1]\n"a"\n1\nnull\n{"a": 1}{"a": 2}\n' + GOOD, [("1", 6)], [1, 2, 3, 4, 5]),
    ],
)
def test_every_line_is_a_row_or_a_reject_on_its_own_line(
    tmp_path: Path, content: bytes, rows: list[tuple[str, int]], bad: list[int]
) -> None:
    # The same bytes as a second file: the places of the first must not matter to it.
    second = 1 << FILE_BITS
    found, broken, _ = _staged(tmp_path, content, content)
    assert found == [*rows, *((text, line + second) for text, line in rows)]
    assert broken == [*((0, line) for line in bad), *((1, line) for line in bad)]


def test_keys_that_are_no_columns_or_ours_change_nothing(tmp_path: Path) -> None:
    found, broken, columns = _staged(tmp_path, b'{"a": 1, "": 2, "_at": 99, "x/y": 3, "$z": 4}\n')
    assert (found, broken) == ([("1", 1)], [])
    assert columns == ["$z", "a", "x/y", "_at"]
