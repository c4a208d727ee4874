"""Identity across refits: who is in a group decides what became of it, never its number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from models.candidates.lineage import match


def rows(n: int, *parts: range) -> np.ndarray:
    found = np.zeros(n, dtype=bool)
    for part in parts:
        found[part] = True
    return found


def groups(labels: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
    return {f"{prefix}{c}": labels == c for c in np.unique(labels)}


def test_renumbered_clusters_are_the_same_groups() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    found = match(groups(labels, "s"), groups(np.array([2, 0, 1])[labels], "c"))
    assert [(row.kind, row.before, row.after) for row in found.rows] == [
        ("same", "s0", "c2"),
        ("same", "s1", "c0"),
        ("same", "s2", "c1"),
    ]
    assert found.identity == {"c2": "s0", "c0": "s1", "c1": "s2"}
    assert found.kept_identity() == 1.0


def test_a_group_cut_in_halves_is_split() -> None:
    found = match({"a": rows(100, range(60))}, {"x": rows(100, range(30)), "y": rows(100, range(30, 60))})
    # Jaccard 30/60 is a tie at one half, so the first half keeps the id and the other is a split of it
    assert [(row.kind, row.before, row.after) for row in found.rows] == [("same", "a", "x"), ("split", "a", "y")]
    thirds = {name: rows(100, range(20 * i, 20 * i + 20)) for i, name in enumerate("xyz")}
    found = match({"a": rows(100, range(60))}, thirds)
    assert [(row.kind, row.after, row.shared) for row in found.rows] == [("split", c, 20) for c in "xyz"]
    assert all((row.kept, row.drawn) == (pytest.approx(1 / 3), 1.0) for row in found.rows)
    assert found.identity == {"x": "x", "y": "y", "z": "z"}
    assert found.kept_identity() == 0.0


def test_two_groups_in_one_are_merged_and_the_larger_keeps_its_id() -> None:
    before = {"a": rows(100, range(40)), "b": rows(100, range(40, 60))}
    found = match(before, {"x": rows(100, range(60))})
    assert [(row.kind, row.before, row.after) for row in found.rows] == [("same", "a", "x"), ("merged", "b", "x")]
    merged = found.of("merged")[0]
    assert (merged.shared, merged.kept, merged.drawn) == (20, 1.0, pytest.approx(1 / 3))
    assert found.identity == {"x": "a"}
    assert found.kept_identity() == 0.5


def test_disjoint_groups_are_gone_and_new() -> None:
    found = match({"a": rows(10, range(5))}, {"x": rows(10, range(5, 10)), "y": rows(10)})
    assert [(row.kind, row.before, row.after) for row in found.rows] == [
        ("new", None, "x"),
        ("new", None, "y"),
        ("gone", "a", None),
    ]


def test_a_new_group_never_takes_an_id_from_before() -> None:
    # an equal name is no evidence: the new "a" shares nobody with the old one
    found = match({"a": rows(10, range(5))}, {"a": rows(10, range(5, 10))})
    assert found.identity == {"a": "a_2"}


def test_the_best_matching_as_a_whole_wins_over_the_greediest_pair() -> None:
    # overlaps: a-x 10/14, a-y 0, b-x 4/18 ... b keeps nothing of y, so a takes x and b is not the same as anything
    before = {"a": rows(30, range(10)), "b": rows(30, range(10, 18))}
    found = match(before, {"x": rows(30, range(14)), "y": rows(30, range(20, 30))})
    assert [(row.kind, row.before, row.after) for row in found.rows] == [
        ("same", "a", "x"),
        ("merged", "b", "x"),  # half of it, 4 of 8, lies there
        ("new", None, "y"),
    ]


def test_nothing_before_and_nothing_after_have_an_answer() -> None:
    assert match({}, {}).rows == ()
    assert match({}, {}).kept_identity() == 1.0
    assert [row.kind for row in match({}, {"x": rows(3, range(2))}).rows] == ["new"]
    assert [row.kind for row in match({"a": rows(3, range(2))}, {}).rows] == ["gone"]


def test_masks_over_different_leads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected masks over the same leads, found lengths \[3, 4\]"):
        match({"a": rows(3)}, {"x": rows(4)})


labelings = st.lists(st.integers(0, 5), min_size=1, max_size=60)


@given(labelings, st.permutations(range(6)))
@profile(deadline=None, max_examples=60)
def test_any_renumbering_keeps_every_identity(labels: list[int], renumbered: list[int]) -> None:
    values = np.array(labels)
    before, after = groups(values, "s"), groups(np.array(renumbered)[values], "c")
    found = match(before, after)
    assert found.kept_identity() == 1.0
    assert found.identity == {f"c{renumbered[int(name[1:])]}": name for name in before}


@given(labelings, st.integers(0, 10_000), st.permutations(range(6)))
@profile(deadline=None, max_examples=60)
def test_every_group_is_accounted_for_and_no_id_is_given_twice(
    labels: list[int], seed: int, renumbered: list[int]
) -> None:
    values = np.array(labels)
    other = np.random.default_rng(seed).integers(0, 6, len(values))
    before, after = groups(values, "s"), groups(other, "c")
    found = match(before, after)
    assert {row.before for row in found.rows} - {None} == set(before)
    assert {row.after for row in found.rows} - {None} == set(after)
    assert len(set(found.identity.values())) == len(found.identity) == len(after)
    for side in ("before", "after"):
        same = [getattr(row, side) for row in found.of("same")]
        assert len(same) == len(set(same))
    for row in found.rows:
        if row.before and row.after:
            both = int(np.sum(before[row.before] & after[row.after]))
            assert row.shared == both
            assert row.kept == pytest.approx(both / before[row.before].sum())
            assert row.drawn == pytest.approx(both / after[row.after].sum())
    # names of one side say nothing: only the numbers of leads at stake decide, so kinds per size are unmoved
    again = match(before, groups(np.array(renumbered)[other], "c"))
    assert sorted(row.jaccard for row in again.of("same")) == pytest.approx(
        sorted(row.jaccard for row in found.of("same"))
    )
