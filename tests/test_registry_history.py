"""The history of champions: every edit is found and named, a killed run leaves what the next one settles."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid, NotReady, RegistryBroken
from training.registry import history as module
from training.registry.history import (
    CHAMPION_FILE,
    HEAD_FILE,
    HISTORY_FILE,
    LOCK_FILE,
    Ledger,
    person,
    read_history,
    start_anew,
    writing,
)

AT = datetime(2026, 7, 1, tzinfo=UTC)


def serve(ledger: Ledger, name: str, day: int) -> None:
    entry = ledger.append(
        "served", by="Ada", bundle_id=name, as_of=AT + timedelta(days=day), says={"path": name}, close=False
    )
    ledger.switch(entry, {"bundle_id": name, "path": name})


def served(artifacts: Path, *names: str) -> None:
    for day, name in enumerate(names):
        with writing(artifacts, AT) as ledger:
            serve(ledger, name, day)


def lines(artifacts: Path) -> list[bytes]:
    return (artifacts / HISTORY_FILE).read_bytes().splitlines(keepends=True)


def test_what_was_written_is_read_back_and_the_last_switch_serves(tmp_path: Path) -> None:
    served(tmp_path, "one", "two")
    found = read_history(tmp_path)
    assert [entry.bundle_id for entry in found.entries] == ["one", "two"]
    assert found.champion is not None and found.champion.bundle_id == "two"
    assert (found.counted, found.torn, found.unfinished) == (2, 0, ())
    assert read_history(tmp_path / "nothing").champion is None


def test_earlier_lines_stay_byte_for_byte_when_something_is_added(tmp_path: Path) -> None:
    served(tmp_path, "one")
    before = lines(tmp_path)
    served(tmp_path, "two")
    assert lines(tmp_path)[:1] == before


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_changed_byte_any_lost_or_moved_line_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    served(folder, "one", "two", "three")
    whole = lines(folder)
    how = data.draw(st.sampled_from(["byte", "cut", "remove", "swap", "double"]))
    place = data.draw(st.integers(0, 2))
    if how == "byte":
        text = bytearray(b"".join(whole))
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] ^= data.draw(st.integers(1, 255))
        found = bytes(text)
    elif how == "cut":
        found = b"".join(whole)[: -data.draw(st.integers(1, len(b"".join(whole))))]
    elif how == "remove":
        found = b"".join(whole[:place] + whole[place + 1 :])
    elif how == "swap":
        found = b"".join([whole[1], whole[0], whole[2]] if place < 2 else [whole[0], whole[2], whole[1]])
    else:
        found = b"".join([*whole[: place + 1], *whole[place:]])
    (folder / HISTORY_FILE).write_bytes(found)
    with pytest.raises(RegistryBroken):
        read_history(folder)


def test_even_a_space_that_says_nothing_is_found(tmp_path: Path) -> None:
    served(tmp_path, "one")
    (whole,) = lines(tmp_path)
    (tmp_path / HISTORY_FILE).write_bytes(whole.replace(b", ", b",\t", 1))
    with pytest.raises(RegistryBroken, match="entry 1"):
        read_history(tmp_path)


def test_an_edit_names_its_entry_and_a_cut_names_what_is_missing(tmp_path: Path) -> None:
    served(tmp_path, "one", "two", "three", "four")
    whole = lines(tmp_path)
    file = tmp_path / HISTORY_FILE
    file.write_bytes(b"".join([whole[0], whole[1].replace(b'"Ada"', b'"Eve"'), *whole[2:]]))
    with pytest.raises(RegistryBroken, match=r"entry 2 \(served\) was changed"):
        read_history(tmp_path)
    file.write_bytes(b"".join(whole[:2]))
    with pytest.raises(RegistryBroken, match="entries 3 to 4 cut off its end"):
        read_history(tmp_path)
    file.write_bytes(b"".join([*whole[:3], b"what\n"]))
    with pytest.raises(RegistryBroken, match="line 4 is no entry"):
        read_history(tmp_path)


def test_a_lost_head_a_lost_or_foreign_champion_file_and_an_old_copy_of_it_are_found(tmp_path: Path) -> None:
    served(tmp_path, "one")
    old = (tmp_path / CHAMPION_FILE).read_text()
    served(tmp_path, "two")
    now, head = (tmp_path / CHAMPION_FILE).read_text(), (tmp_path / HEAD_FILE).read_text()
    moved = json.dumps({**json.loads(now), "path": "elsewhere"})
    for text, said in (
        (old, "an old copy"), ("[]", "not a champion file"), (now.replace("two", "six"), "does not hold"),
        (moved, "names another folder"), (json.dumps({"bundle_id": "x", "history": []}), "an older Leadwell"),
    ):  # fmt: skip
        (tmp_path / CHAMPION_FILE).write_text(text)
        with pytest.raises(RegistryBroken, match=said):
            read_history(tmp_path)
    (tmp_path / CHAMPION_FILE).unlink()
    with pytest.raises(RegistryBroken, match="missing, though entry 2"):
        read_history(tmp_path)
    (tmp_path / CHAMPION_FILE).write_text(now)
    for text, said in (("{}", "not a head"), (head.replace('"entries": 2', '"entries": 1'), "another history")):
        (tmp_path / HEAD_FILE).write_text(text)
        with pytest.raises(RegistryBroken, match=said):
            read_history(tmp_path)
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(RegistryBroken, match="nobody can tell whether the history is whole"):
        read_history(tmp_path)


class Killed(BaseException):
    """Stands for a process that ends at once: nothing of ours catches it."""


@pytest.mark.parametrize("step", range(8))
def test_a_run_killed_at_any_write_leaves_one_champion_and_a_history_that_the_next_run_settles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    served(tmp_path, "one")
    calls = 0

    def killing(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **named):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls > step:
                raise Killed
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in ("fsync", "replace", "write"):
            patched.setattr(os, name, killing(getattr(os, name)))
        with pytest.raises(Killed), writing(tmp_path, AT) as ledger:
            serve(ledger, "two", 1)
    # What serves is read without the history, and is the one bundle or the other as a whole.
    champion = json.loads((tmp_path / CHAMPION_FILE).read_text())["bundle_id"]
    left = read_history(tmp_path)
    assert left.champion is not None and left.champion.bundle_id == champion
    with writing(tmp_path, AT) as ledger:
        pass
    found = read_history(tmp_path)
    assert found.champion is not None and found.champion.bundle_id == champion
    assert (found.unfinished, found.torn) == ((), 0) and found.counted == len(found.entries)
    tried = [e for e in found.entries if e.bundle_id == "two" and e.kind == "served"]
    void = [e for e in found.entries if e.kind == "void"]
    assert len(void) == (1 if tried and champion == "one" else 0)
    # And everything goes on.
    served(tmp_path, "three")
    assert json.loads((tmp_path / CHAMPION_FILE).read_text())["bundle_id"] == "three"


def test_a_line_that_was_never_finished_is_told_and_taken_away_by_the_next_write(tmp_path: Path) -> None:
    served(tmp_path, "one")
    with (tmp_path / HISTORY_FILE).open("ab") as file:
        file.write(b'{"number": 2, "ki')
    assert read_history(tmp_path).torn == 17
    served(tmp_path, "two")
    assert [entry.bundle_id for entry in read_history(tmp_path).entries] == ["one", "two"]


def test_a_disk_that_is_full_keeps_the_champion_and_the_history_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(tmp_path, "one")
    before = (tmp_path / CHAMPION_FILE).read_bytes(), (tmp_path / HISTORY_FILE).read_bytes()
    monkeypatch.setattr(os, "write", lambda handle, data: 3)
    with pytest.raises(OSError, match="No space"), writing(tmp_path, AT) as ledger:
        serve(ledger, "two", 1)
    assert ((tmp_path / CHAMPION_FILE).read_bytes(), (tmp_path / HISTORY_FILE).read_bytes()) == before


def test_a_clock_that_goes_back_never_makes_an_entry_earlier_than_the_one_above(tmp_path: Path) -> None:
    with writing(tmp_path, AT) as ledger:
        serve(ledger, "one", 5)
        serve(ledger, "two", 3)
        serve(ledger, "three", 6)
    first, second, third = read_history(tmp_path).entries
    assert second.recorded_at == first.recorded_at and second.clock == AT + timedelta(days=3)
    assert first.clock is None and third.clock is None and third.recorded_at == AT + timedelta(days=6)


def _serve_many(folder: str, name: str) -> None:
    for number in range(5):
        served(Path(folder), f"{name}{number}")


def test_writers_at_once_lose_nothing_and_break_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_serve_many, args=(str(tmp_path), name)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    found = read_history(tmp_path)
    assert sorted(str(e.bundle_id) for e in found.entries) == sorted(f"{n}{i}" for n in "abc" for i in range(5))
    assert found.champion == found.entries[-1]


def test_whoever_reads_while_another_run_writes_sees_a_whole_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(tmp_path, "one")
    read_bytes, after = Path.read_bytes, []

    def and_another_run_writes(file: Path) -> bytes:
        # Between this reader's first file and its next ones.
        found = read_bytes(file)
        if not after:
            after.append(file)
            served(tmp_path, "two")
        return found

    monkeypatch.setattr(Path, "read_bytes", and_another_run_writes)
    found = read_history(tmp_path)
    assert found.champion is not None and found.champion.bundle_id in ("one", "two")
    assert read_history(tmp_path).champion.bundle_id == "two"  # type: ignore[union-attr]


def test_whoever_waits_too_long_for_another_run_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES", 2)
    with writing(tmp_path, AT), pytest.raises(NotReady, match="another run is changing"), writing(tmp_path, AT):
        pass


def test_a_folder_that_may_not_be_written_to_is_named_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputInvalid, match="may be written to; nothing was changed"), writing(tmp_path, AT):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_names_somebody(tmp_path: Path) -> None:
    assert person("  Ada   Example ") == "Ada Example"
    for nobody in ("", "  ", "x", "?!", "Ada\x07", "A" * 300):
        with pytest.raises(InputInvalid, match="name of a person"):
            person(nobody)


def test_a_demo_begins_anew_only_where_nobody_else_ever_acted(tmp_path: Path) -> None:
    start_anew(tmp_path, ("Ada",))
    served(tmp_path, "one")
    with pytest.raises(InputInvalid, match="a registry that people use"):
        start_anew(tmp_path, ("Demo Trainer",))
    start_anew(tmp_path, ("Ada",))
    assert [file.name for file in tmp_path.iterdir()] == [LOCK_FILE]
    # Who acted in a history that does not hold, nobody can tell: it stays.
    served(tmp_path, "one")
    (tmp_path / HISTORY_FILE).write_bytes(lines(tmp_path)[0].replace(b"Ada", b"Eve"))
    with pytest.raises(InputInvalid, match="a registry that people use"):
        start_anew(tmp_path, ("Ada",))
    for name in (HISTORY_FILE, HEAD_FILE, CHAMPION_FILE):
        (tmp_path / name).unlink()
    # What an older version left of the demo's own goes, too; what it left of a person does not.
    (tmp_path / CHAMPION_FILE).write_text(json.dumps({"bundle_id": "x", "by": "leadwell demo", "history": []}))
    with pytest.raises(InputInvalid):
        start_anew(tmp_path, ("Ada",))
    start_anew(tmp_path, ("leadwell demo",))
    assert not (tmp_path / CHAMPION_FILE).exists()
