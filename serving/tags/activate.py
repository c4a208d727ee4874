"""Activate: give a CRM the tags of everybody, fresh, approved and lawful, whole or not at all.

Stale is refused: memberships older than declared, and everything that no approval covers. The same data and instant
give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.activation import FILE
from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.quality.check import check
from features.intake.sources import read_tables
from models.hygiene import judge
from models.segments.map import SegmentMap
from serving.accounts.view import view_accounts
from serving.files import only_writer, sha256_of, whole_or_nothing, write_csv, write_json
from serving.memberships.accounts import accounts_in
from serving.memberships.readiness_file import told_by
from serving.memberships.state import State, read_state
from serving.table_files import flat
from serving.tags.audiences import Audience, audiences_of
from serving.tags.crm_files import write_crm_files
from serving.tags.tagged import NOT_CLEAR
from serving.tags.tags import Tags, tags_of

KIND = "leadwell tags"
LEADS, ACCOUNTS, REMOVED = "lead_tags.parquet", "account_tags.parquet", "removed.parquet"
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Activated:
    """What a run wrote: tags by unit, who was withheld by unit and reason, memberships not told, tags to clear.

    `changed` is False where the same was there already. `rows` counts by file.
    """

    out: Path
    as_of: datetime
    written: Mapping[str, int]
    withheld: Mapping[tuple[str, str], int]
    segments: Mapping[tuple[str, str], int]
    removed: int
    rows: Mapping[str, int]
    rejected: int
    changed: bool


def activate(
    files: Mapping[str, Path],
    settings: Settings,
    state: Path,
    out: Path,
    as_of: datetime,
    *,
    scores: Path | None = None,
    suppressions_complete_as_of: datetime | None = None,
    progress: Progress | None = None,
) -> Activated:
    """Write the tags of every lead and account as of an instant and put them at `out` in one step.

    Args:
        files: table -> file, folder or pattern, as from `find_files`.
        settings: the configuration, with the approvals in force.
        state: folder of `leadwell segments apply`.
        out: folder of the tags; a new one, or that of an earlier run.
        as_of: the instant of the tags.
        scores: the result of `leadwell rescore` for the same instant, for bands.
        suppressions_complete_as_of: until when the suppression feed is complete, where its file does not say.
        progress: told what is done, and how much of the whole.

    Raises:
        InputInvalid: there is no state, or it is damaged, too old or of later; the scores are of another instant.
    """
    say = progress or (lambda what, part: None)
    memberships = fresh_state(state, settings, as_of)
    with only_writer(out):
        before = _earlier(out, as_of)
        say("reading tables", 0.05)
        used = {name: path for name, path in files.items() if name != "memberships"}
        intake = read_tables(
            used, settings, assets=settings.assets, as_of=as_of,
            suppressions_complete_as_of=suppressions_complete_as_of,
        )  # fmt: skip
        say("looking at accounts", 0.4)
        view = view_accounts(intake.tables, settings, as_of, contactable=False)
        say("checking hygiene", 0.6)
        report = check(intake, settings, as_of=as_of)
        below = judge(intake.tables, settings, SegmentMap.load(settings), as_of, report).inactive
        told = None if scores is None else told_by(scores, as_of, view.known.lead_ids)
        say("making tags", 0.8)
        tags = tags_of(view, memberships.memberships, settings, below, told, accounts_in(memberships))
        audiences = audiences_of(scores, tags, settings.activation.audiences)
        removed = _removed(before, tags, as_of, settings.activation.removed_days)
        said = {
            "as_of": as_of.astimezone(UTC).isoformat(),
            "state": memberships.manifest["files"],
            "state_as_of": memberships.as_of.astimezone(UTC).isoformat(),
            "segment_map": SegmentMap.load(settings).hash,
            "activation": settings.digest("activation"),
            "below_hygiene": list(below),
            "band_from_scores": scores is not None,
            "read": {"lead": len(view.known.lead_ids), "account": len(view.known.account_ids)},
        }
        done = _done(out, as_of, tags, removed, intake.rejects.num_rows)
        say("writing", 0.9)
        with whole_or_nothing(out) as fresh:
            rows = _write(fresh, tags, removed, settings, audiences)
            manifest = _manifest(said, done, rows, fresh)
            same = before is not None and before[0] == json.loads(json.dumps(manifest))
            write_json(fresh / "manifest.json", manifest)
        return replace(done, rows=rows, changed=not same)


def fresh_state(folder: Path, settings: Settings, as_of: datetime) -> State:
    """The memberships to be told, refused where they are of another time than the tags; see the module's promise."""
    state = read_state(folder)
    if state is None:
        raise InputInvalid(str(folder), "expected memberships; `leadwell segments apply --out` writes them")
    days = settings.activation.max_state_age_days
    mend = "run `leadwell segments apply` for this instant first"
    if state.as_of > as_of:
        raise InputInvalid(str(folder), f"expected memberships not after {as_of.isoformat()}; {mend}")
    if as_of - state.as_of > timedelta(days=days):
        found = f"found {state.as_of.isoformat()}"
        raise InputInvalid(
            str(folder),
            f"stale: expected memberships of at most {days} days before {as_of.isoformat()} ({FILE}), {found}; {mend}",
        )
    return state


def _earlier(out: Path, as_of: datetime) -> tuple[dict[str, Any], pa.Table, pa.Table, pa.Table] | None:
    """The manifest of an earlier run, who had tags then, and who was to be cleared."""
    path = out / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["kind"] != KIND:
            raise InputInvalid(str(path), "expected the tags of an earlier `leadwell segments activate`")
        if datetime.fromisoformat(manifest["as_of"]) > as_of:
            raise InputInvalid(str(path), f"expected --as-of not before that of the tags there, {manifest['as_of']}")
        for name in (LEADS, ACCOUNTS, REMOVED):
            if sha256_of(out / name) != manifest["files"][name]["sha256"]:
                raise InputInvalid(str(out / name), "expected the file that the manifest names; its hash differs")
        leads = pq.read_table(out / LEADS, columns=["lead_id"])
        accounts = pq.read_table(out / ACCOUNTS, columns=["account_id"])
        return manifest, leads, accounts, pq.read_table(out / REMOVED)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputInvalid(str(path), f"expected readable tags ({type(error).__name__})") from None


def _removed(
    before: tuple[dict[str, Any], pa.Table, pa.Table, pa.Table] | None, tags: Tags, as_of: datetime, days: int
) -> pa.Table:
    """Who had tags at an earlier run and has none now, since when, for so many days after, and whether to clear them.

    Of whom it is only not clear today, nothing is cleared: their tags run out.
    """
    schema = pa.schema([("unit", pa.string()), ("id", pa.string()), ("removed_on", pa.date32())])
    today = as_of.astimezone(UTC).date()
    parts = [schema.empty_table()]
    if before is not None:
        _, leads, accounts, earlier = before
        parts.append(earlier.select(schema.names).cast(schema))
        for unit, ids in (("lead", leads["lead_id"]), ("account", accounts["account_id"])):
            n = len(ids)
            row = {"unit": pa.repeat(unit, n), "id": ids, "removed_on": pa.repeat(pa.scalar(today), n)}
            parts.append(pa.table(row, schema=schema))
    every = pa.concat_tables(parts)
    gone = []
    for unit, ids in (("lead", tags.leads["lead_id"]), ("account", tags.accounts["account_id"])):
        rows = every.filter(pc.equal(every["unit"], unit))
        gone.append(rows.filter(pc.is_null(pc.index_in(rows["id"], ids.combine_chunks()))))
    found = pa.concat_tables(gone)
    found = found.filter(pc.greater(found["removed_on"], pa.scalar(today - timedelta(days=days))))
    # Of somebody who was on the list already the first day stays.
    first = found.group_by(["unit", "id"]).aggregate([("removed_on", "min")])
    first = first.rename_columns(["unit", "id", "removed_on"]).cast(schema)
    unclear = tags.withheld.filter(pc.equal(tags.withheld["reason"], NOT_CLEAR))
    # Only leads are ever unclear, and an account of the same id as a lead's would only be cleared a day later.
    clear = pc.is_null(pc.index_in(first["id"], unclear["id"].combine_chunks()))
    return first.append_column("clear", clear).sort_by([("unit", "ascending"), ("id", "ascending")])


def _write(
    folder: Path, tags: Tags, removed: pa.Table, settings: Settings, audiences: Sequence[Audience]
) -> dict[str, int]:
    """Every file but the manifest; how many rows each has, by its path."""
    rows: dict[str, int] = {}
    for name, table in ((LEADS, tags.leads), (ACCOUNTS, tags.accounts), (REMOVED, removed)):
        pq.write_table(table, folder / name, compression="zstd")
        csv = name.replace(".parquet", ".csv")
        write_csv(flat(table), folder / csv)
        rows |= {name: table.num_rows, csv: table.num_rows}
    write_csv(tags.withheld, folder / "withheld.csv")
    rows["withheld.csv"] = tags.withheld.num_rows
    tables = {"lead": tags.leads, "account": tags.accounts}
    for crm in settings.activation.crms:
        found = write_crm_files(crm, tables, removed, folder / crm.id)
        rows |= {f"{crm.id}/{name}": count for name, count in found.items()}
    for audience in audiences:
        (folder / audience.id).mkdir()
        for name, table in (("audience.csv", audience.leads), ("withheld_by_rule.csv", audience.withheld)):
            write_csv(table, folder / audience.id / name)
            rows[f"{audience.id}/{name}"] = table.num_rows
    return rows


def _done(out: Path, as_of: datetime, tags: Tags, removed: pa.Table, rejected: int) -> Activated:
    counts = tags.withheld.group_by(["unit", "reason"]).aggregate([([], "count_all")]).to_pylist()
    return Activated(
        out=out,
        as_of=as_of,
        written={"lead": tags.leads.num_rows, "account": tags.accounts.num_rows},
        withheld={(row["unit"], row["reason"]): row["count_all"] for row in counts},
        segments=tags.segments,
        removed=int(pc.sum(removed["clear"]).as_py() or 0),
        rows={},
        rejected=rejected,
        changed=True,
    )


def _manifest(said: Mapping[str, Any], done: Activated, rows: Mapping[str, int], folder: Path) -> dict[str, Any]:
    withheld: dict[str, dict[str, int]] = {"lead": {}, "account": {}}
    for (unit, reason), count in sorted(done.withheld.items()):
        withheld[unit][reason] = count
    listed = {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size, "rows": count}
        for name, count in sorted(rows.items())
    }
    segments: dict[str, dict[str, int]] = {}
    for (segment, reason), count in sorted(done.segments.items()):
        segments.setdefault(segment, {})[reason] = count
    return {
        "kind": KIND,
        **said,
        "written": dict(done.written),
        "withheld": withheld,
        "memberships_not_told": segments,
        "removed": done.removed,
        "rejected": done.rejected,
        "files": listed,
    }
