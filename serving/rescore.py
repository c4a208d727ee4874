"""Rescore everybody: partition by partition in bounded memory, written whole or not at all.

Partitions are whole account trees, so that each is decided exactly as if it were alone. The same data, bundle, policy
and `as_of` give the same bytes.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs.content import Asset
from configs.settings import Settings
from features.intake.partitions import plan_partitions
from features.intake.scan import most_rows
from features.intake.sources import Intake
from features.tables import Tables
from policy.audit.archive import Archive
from policy.audit.log import AuditLog
from policy.audit.merkle import merkle_root
from serving.actions.capacity import counts as counts_of
from serving.actions.capacity import filled
from serving.columns import SUMMARY
from serving.contact.store_tables import with_stops
from serving.decide import Decider
from serving.feed_memory import stops_seen, stops_to_remember
from serving.files import only_writer, sha256_of, whole_or_nothing, write_csv, write_json
from serving.handover.batch import HANDOVERS, Floors, Ready, gather
from serving.rescored_part import HANDED, PartResult, write_part
from serving.store.store import Store

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Rescored:
    """What a run did: how many leads, how many of each channel permitted, rows rejected, and the root of its audit.

    `notes` say which buckets were reused, or why none were.
    """

    out: Path
    leads: int
    rejected: int
    permitted: Mapping[str, int]
    root: str
    notes: tuple[str, ...] = ()


def rescore(
    files: Mapping[str, Path],
    bundle: Path,
    settings: Settings,
    out: Path,
    as_of: datetime,
    *,
    now: datetime | None = None,
    partitions: int | None = None,
    workers: int = 2,
    suppressions_complete_as_of: datetime | None = None,
    audit: Path | None = None,
    buckets: Path | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Rescored:
    """Decide about every lead of the files and put the result at `out` in one step.

    Args:
        files: table -> file, folder or pattern, as from `find_files`.
        bundle: the trained bundle.
        settings: the configuration, for the policy and the assets.
        out: a new folder, or an earlier result to replace.
        as_of: the instant that everything is decided for.
        now: the clock; an `as_of` before it makes the run a replay that grants no permit. Absent: `as_of` is now.
        partitions: how many; from the number of leads when absent.
        workers: processes; 1 decides in this one.
        suppressions_complete_as_of: until when the suppression feed is complete, where its file does not say.
        audit: folder of the audit log; none is written when absent.
        buckets: the store of rows that earlier runs read, brought up to date; the result is the same without it.
        store: stops and touches to be counted beside those of the files.
        progress: told (what, done, of how many).
    """
    notes: list[str] = []
    decider = Decider.load(bundle, settings, on=as_of.astimezone(UTC).date())
    count = partitions or _partitions(files, settings)

    def read(told: Callable[[str], None]) -> Iterator[tuple[int, Intake]]:
        with plan_partitions(
            files,
            settings,
            assets=decider.assets,
            count=count,
            as_of=as_of,
            suppressions_complete_as_of=suppressions_complete_as_of,
            suppressions_before=stops_seen(out),
            progress=told,
            buckets=buckets,
        ) as plan:
            notes.extend(plan.notes)
            parts = with_stops(plan.parts(), store, settings, as_of, replay=job.replay, leads=files["leads"])
            yield from enumerate(parts)

    job = _Job(bundle, settings, as_of, now is not None and as_of < now)
    done = _run(read, count, decider, job, out, workers=workers, audit=audit, progress=progress)
    return replace(done, notes=tuple(notes))


def rescore_intake(
    intake: Intake,
    bundle: Path,
    settings: Settings,
    out: Path,
    as_of: datetime,
    *,
    assets: tuple[Asset, ...] | None = None,
    now: datetime | None = None,
    audit: Path | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Rescored:
    """The same for tables that are in memory already, such as a flat export; `assets` replace the inventory."""
    decider = Decider.load(bundle, settings, on=as_of.astimezone(UTC).date())
    if assets is not None:
        decider = decider.with_assets(assets)
    job = _Job(bundle, settings, as_of, now is not None and as_of < now)
    parts = list(enumerate(with_stops([intake], store, settings, as_of, replay=job.replay)))
    return _run(lambda _: iter(parts), 1, decider, job, out, workers=1, audit=audit, progress=progress)


@dataclass(frozen=True, slots=True)
class _Job:
    bundle: Path
    settings: Settings
    as_of: datetime
    replay: bool


def _run(
    read: Callable[[Callable[[str], None]], Iterator[tuple[int, Intake]]],
    count: int,
    decider: Decider,
    job: _Job,
    out: Path,
    *,
    workers: int,
    audit: Path | None,
    progress: Progress | None,
) -> Rescored:
    told = progress or (lambda what, done, of: None)
    with only_writer(out), whole_or_nothing(out) as folder:
        (folder / "decisions").mkdir()
        (folder / "crm").mkdir()
        (folder / HANDED).mkdir()
        if not job.replay:
            (folder / "assignments").mkdir()
        results: list[PartResult] = []
        intakes: list[pa.Table] = []
        counts: dict[str, dict[str, int]] = {}

        def noted(parts: Iterator[tuple[int, Intake]]) -> Iterator[tuple[int, Tables]]:
            for index, intake in parts:
                intakes.append(intake.rejects)
                _add_counts(counts, intake)
                yield index, intake.tables

        parts = noted(read(lambda table: told(f"reading {table}", 0, count)))
        for result in _decided(parts, decider, job, folder, workers if count > 1 else 1):
            results.append(result)
            told("deciding", len(results), count)
        results.sort(key=lambda result: result.index)
        told("writing", count, count)
        return _finish(results, intakes, counts, decider, job, folder, out, audit)


def _decided(
    parts: Iterator[tuple[int, Tables]], decider: Decider, job: _Job, folder: Path, workers: int
) -> Iterator[PartResult]:
    floors = Floors(decider.settings)

    def counted(result: PartResult) -> PartResult:
        floors.add(result.handed)
        return result

    if workers <= 1:
        for index, tables in parts:
            yield counted(write_part(decider, tables, job.as_of, job.replay, folder, index, floors=floors.found))
        return
    # Spawned, never forked: LightGBM and DuckDB have threads, and a forked child of theirs can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start, initargs=(job,)) as pool:
        running: set[Future[PartResult]] = set()
        try:
            for index, tables in parts:
                with _without_interrupts():
                    running.add(pool.submit(_in_child, tables, job.as_of, job.replay, folder, index, floors.found))
                if len(running) > workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield counted(future.result())
            for future in running:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl+C waits until the block ends; a process started in it never sees one: the run's own process stops it."""
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    # The mask is what a new process inherits. It does not keep the signal from another thread (DuckDB has some), for
    # which Python would still raise here: a process that was started and not yet noted would then never be told to end.
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if here else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here:
            signal.signal(signal.SIGINT, handler)
        if came:
            raise KeyboardInterrupt


_CHILD: dict[str, Decider] = {}


def _start(job: _Job) -> None:
    _CHILD["decider"] = Decider.load(job.bundle, job.settings, on=job.as_of.astimezone(UTC).date())


def _in_child(
    tables: Tables, as_of: datetime, replay: bool, folder: Path, index: int, floors: Mapping[str, Ready]
) -> PartResult:
    return write_part(_CHILD["decider"], tables, as_of, replay, folder, index, threads=1, floors=floors)


def _finish(
    results: list[PartResult],
    rejects: list[pa.Table],
    counts: dict[str, dict[str, int]],
    decider: Decider,
    job: _Job,
    folder: Path,
    out: Path,
    audit: Path | None,
) -> Rescored:
    with (folder / "crm.csv").open("wb") as whole:
        for path in sorted((folder / "crm").iterdir()):
            whole.write(path.read_bytes())
            path.unlink()
    (folder / "crm").rmdir()
    rejected = pa.concat_tables(rejects)
    rejected = rejected.sort_by([(name, "ascending") for name in rejected.column_names])
    write_csv(rejected, folder / "rejects.csv")
    # A lead that was merged away is decided about with its person: it is named here and nowhere else.
    merged = pa.concat_tables([result.merged for result in results]).sort_by("lead_id")
    write_csv(merged, folder / "merged.csv")
    routes = filled([result.waiting for result in results], job.settings.actions.teams)
    write_csv(routes, folder / "routes.csv")
    handed = [(folder / HANDED / f"{result.index:05d}.jsonl", result.handed) for result in results]
    handovers = gather(handed, routes, job.settings, folder / HANDOVERS)
    (folder / HANDED).rmdir()
    _write_summary(results, folder)
    # Sorted, so that the root says what was decided and not how it was partitioned.
    leaves = b"".join(result.leaves for result in results)
    root = merkle_root(b"".join(sorted(leaves[at : at + 32] for at in range(0, len(leaves), 32))))
    leads = sum(result.leads for result in results)
    permitted = {channel: sum(r.permitted[channel] for r in results) for channel in results[0].permitted}
    book = decider.book(job.as_of.astimezone(UTC).date())
    run = {
        "as_of": job.as_of.astimezone(UTC).isoformat(),
        "replay": job.replay,
        **decider.versions(book),
        "leads": leads,
        "merged": merged.num_rows,
        "merkle_root": root,
    }
    listed = {
        str(path.relative_to(folder)): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if audit is not None:
        # INVARIANT: no result without its audit record, which says what is in every file of it.
        Archive(audit).keep(book, decider.settings)
        log = AuditLog.claim(audit, "rescore")
        log.append({"kind": "rescore", **run, "files": {name: one["sha256"] for name, one in listed.items()}})
        log.close()
    manifest = {
        **run,
        "permitted": permitted,
        "teams": counts_of(routes),
        "handovers": handovers,
        "rows": counts,
        "suppressions_seen": stops_to_remember(stops_seen(out), counts, job.settings.quality.suppression_feed),
        "rejected": rejected.num_rows,
        "files": listed,
    }
    # INVARIANT: the manifest is the last file, so a folder without one is not a result.
    write_json(folder / "manifest.json", manifest)
    return Rescored(out, leads, rejected.num_rows, permitted, root)


def _write_summary(results: list[PartResult], folder: Path) -> None:
    total: dict[tuple[Any, ...], int] = {}
    for result in results:
        for row in result.summary:
            key = tuple(row[name] for name in SUMMARY[:-1])
            total[key] = total.get(key, 0) + row["leads"]
    rows = [dict(zip(SUMMARY, (*key, total[key]), strict=True)) for key in sorted(total)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "summary.parquet")
    (folder / "summary.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _add_counts(counts: dict[str, dict[str, int]], intake: Intake) -> None:
    for table, found in intake.counts.items():
        own = counts.setdefault(table, {})
        for name in ("read", "used", "rejected", "duplicate"):
            own[name] = own.get(name, 0) + int(getattr(found, name))


def _partitions(files: Mapping[str, Path], settings: Settings) -> int:
    return 1 + most_rows("leads", files["leads"]) // settings.serving.partition_leads
