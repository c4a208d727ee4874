"""What did we serve on that day? As we know it now, and as we knew it then."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid, NotReady
from training.registry.history import moment, read_history, writing
from training.registry.timeline import correct, served_on, timeline


def day(number: int) -> datetime:
    return datetime(2026, 7, number, tzinfo=UTC)


def serve(artifacts: Path, name: str, at: datetime, *, switch: bool = True) -> None:
    with writing(artifacts, at) as ledger:
        says = {"path": name, "how": "promote", "served_from": moment(at), "approved_by": ["Grace"], "gates": []}
        entry = ledger.append("served", by="Ada", bundle_id=name, as_of=at, says=says, close=False)
        if switch:
            ledger.switch(entry, {"bundle_id": name, "path": name})


def said(artifacts: Path, on: int, known: int | None = None) -> str | None:
    span = served_on(read_history(artifacts), day(on), None if known is None else day(known))
    return "no champion" if span is None else span.bundle_id


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """A from the 2nd, B from the 10th; on the 20th it is learned that from the 4th to the 6th X served in truth."""
    serve(tmp_path, "A", day(2))
    serve(tmp_path, "B", day(10))
    correct(tmp_path, bundle_id="X", served_from=day(4), served_until=day(6), by="Ada", reason="INC-12", as_of=day(20))
    return tmp_path


def test_a_day_is_answered_as_known_now_and_as_known_then(corrected: Path) -> None:
    assert said(corrected, 1) == "no champion"
    assert [said(corrected, on) for on in (2, 3, 4, 5, 6, 9, 10, 30)] == ["A", "A", "X", "X", "A", "A", "B", "B"]
    # On the 15th nobody knew of X; on the 5th nobody knew of B.
    assert said(corrected, 5, known=15) == "A" and said(corrected, 5, known=20) == "X"
    assert said(corrected, 12, known=5) == "A" and said(corrected, 12, known=1) == "no champion"


def test_the_spans_have_no_gaps_and_name_who_asked_and_approved(corrected: Path) -> None:
    spans = timeline(read_history(corrected))
    assert [(s.bundle_id, s.served_from.day, s.until and s.until.day) for s in spans] == [
        ("A", 2, 4), ("X", 4, 6), ("A", 6, 10), ("B", 10, None)
    ]  # fmt: skip
    record = spans[3].record()
    assert (record["asked_by"], record["approved_by"], record["how"]) == ("Ada", ["Grace"], "promote")
    assert spans[1].record()["reason"] == "INC-12" and spans[1].record()["how"] == "corrected"


def test_a_correction_can_be_corrected_and_can_say_that_nothing_served(corrected: Path) -> None:
    say = {"by": "Ada", "reason": "the service was down", "as_of": day(21)}
    correct(corrected, bundle_id=None, served_from=day(5), served_until=day(11), **say)  # type: ignore[arg-type]
    assert [said(corrected, on) for on in (4, 5, 10, 11)] == ["X", None, None, "B"]
    assert said(corrected, 5, known=20) == "X"


def test_a_correction_needs_a_person_a_reason_and_a_span_that_is_over(corrected: Path) -> None:
    good = {
        "bundle_id": "A",
        "served_from": day(4),
        "served_until": day(5),
        "by": "Ada",
        "reason": "r",
        "as_of": day(22),
    }
    for change in ({"by": " "}, {"reason": ""}, {"served_until": day(4)}, {"served_until": day(23)}):
        with pytest.raises(InputInvalid):
            correct(corrected, **{**good, **change})  # type: ignore[arg-type]
    assert len(read_history(corrected).entries) == 3
    with pytest.raises(NotReady, match="no history to correct"):
        correct(corrected / "new", **good)  # type: ignore[arg-type]


def test_a_switch_that_a_killed_run_announced_and_never_made_served_on_no_day(tmp_path: Path) -> None:
    serve(tmp_path, "A", day(2))
    serve(tmp_path, "B", day(4), switch=False)
    assert said(tmp_path, 5) == "A"
    serve(tmp_path, "C", day(8))
    assert [said(tmp_path, on) for on in (5, 8)] == ["A", "C"]
    # Whoever looked between the announcement and its end saw B announced: that stays askable.
    assert said(tmp_path, 5, known=4) == "B" and said(tmp_path, 5, known=8) == "A"


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=6),
    st.integers(1, 28),
)
def test_the_answer_is_the_last_entry_written_that_speaks_of_the_moment(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]], on: int
) -> None:
    folder, now, expected = tmp_path_factory.mktemp("told"), 1, "no champion"
    for number, (ahead, back, length) in enumerate(steps):
        now += ahead
        start = now - back
        if number % 2 and start >= 1 and start + length <= now:
            span = {"served_from": day(start), "served_until": day(start + length), "by": "Ada", "reason": "r"}
            correct(folder, bundle_id=f"b{number}", as_of=day(now), **span)  # type: ignore[arg-type]
            expected = f"b{number}" if start <= on < start + length else expected
        else:
            serve(folder, f"b{number}", day(now))
            expected = f"b{number}" if on >= now else expected
    assert said(folder, on) == expected
    spans = timeline(read_history(folder))
    assert all(a.until is not None and a.until <= b.served_from for a, b in pairwise(spans))
