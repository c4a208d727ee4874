"""What is told from memory of a store: only that it has no row about somebody, and never when a row may be there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from features.tables import microseconds
from serving.store.familiar import Familiar
from serving.store.stops import Stop
from serving.store.store import Store
from serving.store.touches import Sent
from tests.store_people import KEY, NOW, database

NOW_US = microseconds(NOW)


def opened(folder: Path) -> tuple[Store, Familiar]:
    store = Store.open(database("sqlite", folder), KEY)
    assert store.database.file is not None
    return store, Familiar(store.database.file)


def stop(store: Store, lead_id: str, *, erased: tuple[tuple[str, str], ...] = ()) -> Stop:
    since = microseconds(NOW - timedelta(days=1))
    return Stop(f"s-{lead_id}", "c", store.subjects.lead(lead_id), "lead", None, "opt_out", None, since, None,
                erased=erased)  # fmt: skip


def test_a_stop_that_was_committed_elsewhere_is_familiar_at_the_next_question(tmp_path: Path) -> None:
    store, familiar = opened(tmp_path)
    other, digest = Store.open(str(store.database.engine.url), KEY), store.subjects.erased("email", "h")
    names = [store.subjects.lead("a"), store.subjects.lead("b"), digest]
    assert familiar.none_of(names)
    other.suppress([stop(other, "a", erased=((digest, "email"),))], [], NOW_US)
    assert [familiar.none_of([name]) for name in names] == [False, True, False]
    store.report([Sent("t", "c", names[1], NOW_US, "email", "promotional", None, None)], NOW_US)
    assert [familiar.none_of([name]) for name in names] == [False, False, False]
    other.close()
    store.close()
    familiar.close()


def test_of_a_file_that_is_gone_or_was_replaced_nothing_is_told_from_memory(tmp_path: Path) -> None:
    store, familiar = opened(tmp_path)
    file, name = store.database.file, store.subjects.lead("a")
    assert file is not None and familiar.none_of([name])
    store.close()
    file.unlink()
    assert not familiar.none_of([name]) and not file.exists()
    again = Store.open(f"sqlite:///{tmp_path / 'restored.db'}", KEY)
    again.suppress([stop(again, "a")], [], NOW_US)
    again.close()
    for left in tmp_path.glob(f"{file.name}-*"):
        left.unlink()
    (tmp_path / "restored.db").rename(file)
    assert not familiar.none_of([name]) and familiar.none_of([store.subjects.lead("b")])
    familiar.close()
