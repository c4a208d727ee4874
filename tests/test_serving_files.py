"""Results on disk: whole or nothing, one writer, formula-safe."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from configs.errors import InputInvalid
from serving.files import only_writer, whole_or_nothing, write_csv, write_json

DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\uff1dcmd",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    "'=1",
    "'",
]


def test_no_cell_starts_a_formula_and_taking_one_apostrophe_away_gives_the_text_back(tmp_path: Path) -> None:
    cells = [*DANGEROUS, "Jane", "a=b", "1-2", "", 'quote " here', "line\nbreak"]
    write_csv(pa.table({"text": cells, "number": [float(-index) for index in range(len(cells))]}), tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for (text, number), cell, index in zip(rows, cells, range(len(cells)), strict=True):
        assert not text or text[0] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
        assert text.startswith("'") == (cell in DANGEROUS)
        assert (text[1:] if text.startswith("'") else text) == cell
        assert float(number) == -index


def result(out: Path, word: str) -> None:
    with whole_or_nothing(out) as folder:
        (folder / "a.txt").write_text(word)
        write_json(folder / "manifest.json", {"word": word})


def test_a_run_that_fails_leaves_the_old_result_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result(out, "old")
    with pytest.raises(RuntimeError), whole_or_nothing(out) as folder:
        (folder / "a.txt").write_text("half")
        raise RuntimeError
    assert (out / "a.txt").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_new_result_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result(out, "old")
    (out / "only_in_old.txt").write_text("x")
    result(out, "new")
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "manifest.json"]
    assert (out / "a.txt").read_text() == "new"


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(InputInvalid, match="other files"):
        result(tmp_path, "new")


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (
        only_writer(tmp_path / "out"),
        pytest.raises(InputInvalid, match="no other run"),
        only_writer(tmp_path / "out"),
    ):
        pass
    with only_writer(tmp_path / "out"):
        pass


def exchanged_by_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without `renameat2`."""
    monkeypatch.setattr("serving.files.ctypes.CDLL", lambda *_, **__: object())


def test_a_file_system_that_cannot_exchange_folders_ends_with_the_new_result_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanged_by_renames(monkeypatch)
    result(tmp_path / "out", "old")
    result(tmp_path / "out", "new")
    assert (tmp_path / "out/a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_an_old_result_that_stepped_aside_before_a_kill_is_given_its_name_back(left: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result(out, "old")
    out.rename(tmp_path / ".out.previous")
    if left == "an empty folder":
        out.mkdir()
    with pytest.raises(RuntimeError), whole_or_nothing(out):
        raise RuntimeError
    assert (out / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_old_result_that_is_left_beside_the_new_one_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result(out, "old")
    out.rename(tmp_path / ".out.previous")
    (tmp_path / "fresh").mkdir()
    result(tmp_path / "fresh", "new")
    (tmp_path / "fresh").rename(out)
    with pytest.raises(RuntimeError), whole_or_nothing(out):
        raise RuntimeError
    assert (out / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
