"""The labelled sets that the models are judged on, each through its own mapping, and how each is split.

Nothing is downloaded: a set is used where its files are in the data folder, and is said to be missing where not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.settings import Settings, load_source
from features.intake.flat import read_columns, read_flat, undeclared
from features.intake.sources import Intake, find_files, read_tables
from models.segments.map import SegmentMap
from training.benchmark.panels import customers_by_quarter, physicians_by_month
from training.dataset.dataset import Dataset, build_dataset, build_flat_dataset
from training.dataset.split import folds

WORLD = "sample_world"
# Another seed than the demo's: this world was never looked at while anything was built.
WORLD_SEED = 11


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """One labelled set: which files it needs, how rows come of them, and by what it is split.

    `lay_out` writes a flat export from the folder to a path where the files are not one already. `apart` is the share
    of persons held out of a panel, in which a person has a row a period.
    """

    name: str
    needs: tuple[str, ...]
    says: str
    split: str
    lay_out: Callable[[Path, Path], Path] | None = None
    apart: float | None = None


SETS = (
    BenchmarkSet(
        "xeducation", ("xeducation/leads.csv",), "a CRM's lead export; did the lead become a customer?",
        "by time: the last 20 % of lead numbers judge",
    ),
    BenchmarkSet(
        "bank_marketing", ("bank_marketing/calls_oldest70.csv",), "a bank's calls; did the customer take the deposit?",
        "by time: the last 20 % of calls judge",
    ),
    BenchmarkSet(
        "online_shoppers", ("online_shoppers/online_shoppers_intention.csv",),
        "shop sessions; was something bought?",
        "by month (all the time there is): November and December judge, the months before train",
    ),
    BenchmarkSet(
        "customer_personality", ("customer_personality/marketing_campaign.csv",),
        "customers of a shop; did they take up the campaign?",
        "by the day on which they became customers: the newest 20 % judge; the campaign was one for all",
    ),
    BenchmarkSet(
        "hillstrom", ("hillstrom/hillstrom.csv",), "a randomised e-mail test; did the customer visit?",
        "by hash: 20 % of customers judge; all were mailed at one time, so there is no time to split by",
    ),
    BenchmarkSet(
        "hcp_detailing", ("hcp_detailing/detailing_months_1_12.csv", "hcp_detailing/physicians.csv"),
        "physicians by month; more prescriptions next month than their own mean? (visits are not an experiment)",
        "by time and physician: the last two months of 40 % of physicians judge, earlier months of the others train",
        lay_out=physicians_by_month, apart=0.4,
    ),
    BenchmarkSet(
        "cdnow", ("cdnow/CDNOW_master.txt",), "a music shop's customers; did they buy in the next three months?",
        "by time and customer: the last cut-off of 30 % of customers judges, earlier cut-offs of the others train",
        lay_out=customers_by_quarter, apart=0.3,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Material:
    """Rows of one set, ready to learn from, and what its mapping refused to let in."""

    name: str
    says: str
    split: str
    dataset: Dataset
    refused: tuple[tuple[str, str], ...] = ()
    rejected: int = 0


def missing_files(one: BenchmarkSet, data: Path) -> tuple[str, ...]:
    """The files of a set that are not in the folder."""
    return tuple(name for name in one.needs if not (data / name).is_file())


def material_of(
    one: BenchmarkSet, data: Path, scratch: Path, settings: Settings, most_rows: int | None = None
) -> Material:
    """Read one set through its own mapping and split it.

    Raises:
        InputInvalid: a file lacks a column that the mapping declares; the error names file and column.
    """
    mapping = load_source(Path(one.name))
    path = data / one.needs[0]
    if one.lay_out is not None:
        path = one.lay_out(path.parent, scratch / f"{one.name}.csv")
    _need_all(mapping, path)
    if most_rows is not None:
        path = _head(path, scratch / f"{one.name}_slice.csv", most_rows)
    intake = read_flat(mapping, path, settings, training=True)
    dataset = build_flat_dataset(intake, settings, SegmentMap.load(settings), mapping)
    if one.apart is not None:
        dataset = persons_apart(dataset, intake, one.apart, settings.training.folds)
    return Material(
        one.name, one.says, one.split, dataset, tuple(sorted(mapping.after_outcome.items())), intake.rejects.num_rows
    )


def world_material(folder: Path, settings: Settings, leads: int) -> Material:
    """The made world of so many leads, through its canonical tables."""
    from datetime import UTC, datetime, time

    from training.sample.world import AS_OF, make_sample

    make_sample(leads, WORLD_SEED, folder, AS_OF)
    as_of = datetime.combine(AS_OF, time(), UTC)
    intake = read_tables(find_files(folder), settings, assets=settings.assets, as_of=as_of)
    dataset = build_dataset(intake.tables, settings, SegmentMap.load(settings), as_of)
    return Material(
        WORLD,
        f"a made world of {leads:,} leads with segments, accounts and events; a step forward within the horizon?",
        "by time and account: the latest snapshot of held-out accounts judges, earlier snapshots of the others train",
        dataset,
    )


def persons_apart(dataset: Dataset, intake: Intake, share: float, count: int) -> Dataset:
    """A panel split by person too; the id of a row begins with its person, before the first hyphen.

    INVARIANT: no person is on both sides of the split.
    """
    who = [str(row_id).partition("-")[0] for row_id in intake.tables.lead_ids[dataset.lead].tolist()]
    ids, code = np.unique(who, return_inverse=True)
    fold, held_out = folds([f"person {one}" for one in ids.tolist()], count, share)
    out = held_out[code]
    later = dataset.judge
    train, judge, time_only = ~later & ~out, later & out, later & ~out
    counts = {
        **dataset.counts,
        "held-out persons before the rows that judge": int((~later & out).sum()),
        "train": int(train.sum()),
        "judge": int(judge.sum()),
        "time_only": int(time_only.sum()),
    }
    return replace(
        dataset,
        root=code.astype(np.int64),
        fold=fold[code],
        counts=counts,
        train=train,
        judge=judge,
        time_only=time_only,
    )


def fingerprint(material: Material) -> str:
    """What the results stand on: the rows, the features and the split, as one short hash."""
    dataset = material.dataset
    digest = hashlib.sha256(dataset.dataset_id.encode())
    for chosen in (dataset.train, dataset.judge):
        digest.update(np.packbits(chosen).tobytes())
    return digest.hexdigest()[:16]


def _need_all(mapping: SourceMapping, path: Path) -> None:
    """Also a column that is only declared to be left out must be there: without it this is another file."""
    flat = read_columns(mapping, path)
    wanted = sorted(mapping.declared() - set(flat.texts))
    if wanted:
        raise InputInvalid(str(path), f"expected this column, {mapping.name} declares it", field=wanted[0])
    more = undeclared(mapping, flat.names)
    if more:
        raise InputInvalid(str(path), f"{mapping.name} does not declare this column", field=more[0])


def _head(path: Path, target: Path, rows: int) -> Path:
    """Every k-th row of a file, so that a slice still spans all of its time; for tests."""
    with path.open(encoding="utf-8-sig") as file:
        header, *lines = file.read().splitlines(keepends=True)
    step = max(1, -(-len(lines) // rows))
    target.write_text(header + "".join(lines[::step]), encoding="utf-8")
    return target
