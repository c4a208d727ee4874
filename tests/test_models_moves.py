"""Moves: what differs between yesterday's memberships and today's, and that old + moves = new."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from features.tables import UNKNOWN_INSTANT
from models.segments.moves import KINDS, STATUSES, Because, Held, changes_between, moves_table

NOW = 1_000
SEGMENTS = ("a", "b", "c")
ACTIVE, PAUSED = STATUSES.index("active"), STATUSES.index("paused")
Row = tuple[int, int, int, int, int, int, int, bool]


def held(*rows: Row) -> Held:
    """Rows of (unit, segment, version, entered at, left at, status, entry, primary)."""
    columns = list(zip(*rows, strict=True)) or [()] * 8
    kinds = (np.int64, np.int32, np.int32, np.int64, np.int64, np.int8, np.int32, np.bool_)
    return Held(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True))).once()


def is_in(unit: int, segment: int, *, since: int = 10, status: int = ACTIVE, entry: int = 1, version: int = 1,
          primary: bool = True) -> Row:  # fmt: skip
    return unit, segment, version, since, UNKNOWN_INSTANT, status, entry, primary


def has_left(unit: int, segment: int, *, since: int = 10, left: int = 20, entry: int = 1) -> Row:
    return unit, segment, 1, since, left, ACTIVE, entry, False


def stream(before: Held, after: Held) -> list[dict[str, object]]:
    changes = changes_between(before, after, len(SEGMENTS))
    table = moves_table(
        changes, before, after, unit="lead", ids=pa.array([f"L{n}" for n in range(20)]), segment_ids=SEGMENTS, at=NOW,
        why=Because(len(changes)), triggers=np.zeros(len(changes), dtype=np.uint64), trigger_ids=(), segment_map="h",
    )  # fmt: skip
    return table.to_pylist()


def told(before: Held, after: Held) -> list[tuple[object, ...]]:
    return [(m["id"], m["segment_id"], m["kind"], m["old"], m["new"]) for m in stream(before, after)]


def test_an_entry_a_departure_and_the_change_of_the_primary_segment_are_three_moves() -> None:
    before = held(is_in(0, 2))
    after = held(is_in(0, 0, since=NOW), has_left(0, 2, left=NOW))
    assert told(before, after) == [
        ("L0", "a", "entered", None, "active"),
        ("L0", "a", "primary", "c", "a"),
        ("L0", "c", "left", "active", None),
    ]


def test_a_pause_and_a_new_version_are_moves_of_a_membership_that_goes_on() -> None:
    before, after = held(is_in(0, 1)), held(is_in(0, 1, status=PAUSED, version=2))
    assert told(before, after) == [("L0", "b", "status", "active", "paused"), ("L0", "b", "version", "1", "2")]


def test_nothing_changed_is_no_move() -> None:
    before = held(is_in(0, 1), has_left(0, 2), is_in(3, 0))
    assert told(before, before) == []
    assert told(held(), held()) == []


def test_a_first_run_tells_the_primary_segment_by_its_entry() -> None:
    moves = stream(held(), held(is_in(0, 0, primary=True), is_in(0, 1, primary=False)))
    assert [(m["kind"], m["segment_id"], m["primary"]) for m in moves] == [
        ("entered", "a", True),
        ("entered", "b", False),
    ]


def test_coming_back_is_an_entry_with_its_own_number() -> None:
    moves = stream(held(has_left(0, 0), is_in(0, 2)), held(is_in(0, 0, since=NOW, entry=2), has_left(0, 2, left=NOW)))
    assert [(m["kind"], m["entry"]) for m in moves if m["segment_id"] == "a"] == [("entered", 2), ("primary", 2)]


def test_a_membership_that_has_another_number_is_another_one_though_both_are_open() -> None:
    before, after = held(is_in(0, 1)), held(is_in(0, 1, since=NOW, entry=2))
    assert told(before, after) == [("L0", "b", "entered", None, "active"), ("L0", "b", "left", "active", None)]
    assert [(move["kind"], move["entered_at"].timestamp(), move["entry"]) for move in stream(before, after)] == [
        ("entered", NOW / 1e6, 2),
        ("left", 10 / 1e6, 1),
    ]


def test_of_two_rows_of_a_pair_the_open_one_counts_however_late_the_other_began() -> None:
    both = (is_in(0, 1, since=10), has_left(0, 1, since=15, left=20))
    assert [held(*rows).entered_at.tolist() for rows in (both, both[::-1])] == [[10], [10]]
    assert held(*both).open.tolist() == [True]


def test_a_reason_is_made_once_for_each_set_of_codes() -> None:
    made: list[dict[str, int]] = []

    def words(codes: dict[str, int]) -> list[tuple[str, str, int]]:
        made.append(codes)
        return [(name, "known", code) for name, code in codes.items()]

    why = Because(5)
    columns = {"x": np.array([1, 2, 1, 1], dtype=np.uint8), "same": np.array([7], dtype=np.uint8)}
    why.looks_at(np.array([0, 1, 2, 4]), np.array([0, 1, 2, 3]), columns, words)
    why.says(np.array([3]), [("reason", "known", "retired")])
    assert made == [{"x": 1, "same": 7}, {"x": 2, "same": 7}]
    values = [[part["value"] for part in row] for row in why.column().to_pylist()]
    assert values == [["1", "7"], ["2", "7"], ["1", "7"], ["retired"], ["1", "7"]]


# --- the law: old + moves = new --------------------------------------------------------------------------------------


def replayed(before: Held, moves: list[dict[str, object]]) -> set[tuple[object, ...]]:
    """The open memberships after every move was made on those before, without looking at anything else."""
    now: dict[tuple[str, str], dict[str, object]] = {}
    for row in rows_of(before):
        now[str(row["id"]), str(row["segment_id"])] = row
    for move in moves:
        key = str(move["id"]), str(move["segment_id"])
        if move["kind"] == "entered":
            now[key] = {name: move[name] for name in ("id", "segment_id", "version", "entered_at", "entry", "primary")}
            now[key]["status"] = move["new"]
        elif move["kind"] == "left":
            del now[key]
        elif move["kind"] == "status":
            now[key]["status"] = move["new"]
        elif move["kind"] == "version":
            now[key]["version"] = int(str(move["new"]))
    for move in moves:
        if move["kind"] == "primary":
            was = now.get((str(move["id"]), str(move["old"])))
            if was is not None:
                was["primary"] = False
            now[str(move["id"]), str(move["new"])]["primary"] = True
    return {tuple(sorted(row.items())) for row in now.values()}


def rows_of(some: Held) -> list[dict[str, object]]:
    kept = some.rows(np.flatnonzero(some.open))
    instants = pa.array(kept.entered_at, pa.timestamp("us", "UTC")).to_pylist()
    return [
        {"id": f"L{unit}", "segment_id": SEGMENTS[segment], "version": version, "entered_at": since,
         "status": STATUSES[status], "entry": entry, "primary": primary}
        for unit, segment, version, since, status, entry, primary in zip(
            kept.unit, kept.segment, kept.version.tolist(), instants, kept.status, kept.entry.tolist(),
            kept.primary.tolist(), strict=True)
    ]  # fmt: skip


@st.composite
def two_days(draw: st.DrawFn) -> tuple[Held, Held]:
    """Memberships of five leads on two days; a lead with any has exactly one primary."""

    def day(earlier: Held | None) -> Held:
        rows: list[Row] = []
        for unit in range(5):
            states = [draw(st.sampled_from(("in", "out", "left"))) for _ in SEGMENTS]
            here = [s for s, state in enumerate(states) if state == "in"]
            first = draw(st.sampled_from(here)) if here else -1
            for s in here:
                old = None if earlier is None else earlier.rows(np.flatnonzero(
                    (earlier.unit == unit) & (earlier.segment == s) & earlier.open))  # fmt: skip
                went_on = old is not None and len(old) == 1
                entry = int(old.entry[0]) if went_on else draw(st.integers(1, 3)) + (3 if earlier is not None else 0)
                since = int(old.entered_at[0]) if went_on else (NOW if earlier is not None else draw(st.integers(1, 9)))
                rows.append(is_in(unit, s, since=since, status=draw(st.integers(0, 2)), entry=entry,
                                  version=draw(st.integers(1, 2)), primary=s == first))  # fmt: skip
            rows += [has_left(unit, s) for s, state in enumerate(states) if state == "left"]
        return held(*rows)

    before = day(None)
    return before, day(before)


@given(two_days())
@profile(deadline=None, max_examples=40)
def test_the_moves_made_on_the_old_memberships_give_the_new_ones(days: tuple[Held, Held]) -> None:
    before, after = days
    assert replayed(before, stream(before, after)) == {tuple(sorted(row.items())) for row in rows_of(after)}


@given(two_days(), st.randoms(use_true_random=False))
@profile(deadline=None, max_examples=20)
def test_the_order_of_rows_changes_no_move(days: tuple[Held, Held], random: object) -> None:
    before, after = days

    def shuffled(some: Held) -> Held:
        order = np.array(random.sample(range(len(some)), len(some)), dtype=np.int64)  # type: ignore[attr-defined]
        return Held(**{f.name: getattr(some, f.name)[order] for f in fields(some)}).once()

    assert stream(shuffled(before), shuffled(after)) == stream(before, after)


def test_every_kind_of_move_has_a_place() -> None:
    assert KINDS == ("entered", "left", "status", "version", "primary")
