"""What an intake is worth: the field inventory and everything odd, for tables and for a flat file.

Nothing here changes a value: a suspect, a stand-in, a conflict is pointed at, and a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigInvalid, Problem
from configs.mapping import SourceMapping
from configs.quality import QualitySettings
from configs.settings import Settings
from features.intake.flat import FlatColumns, numbers_of, read_columns
from features.intake.quality.columns import inventory, rows_equal_to_another, sentinels, without
from features.intake.quality.conflicts import conflicts, consent_cover, matches
from features.intake.quality.files import add_files
from features.intake.quality.findings import ColumnQuality, QualityReport, Suspect
from features.intake.quality.flat import any_columns, labels_of, two_levels
from features.intake.quality.leaks import auc_of, id_like, leveled, suspects
from features.intake.quality.staleness import age_months, staleness
from features.intake.settle import Counts
from features.intake.sources import Intake
from features.layout import LAYOUTS

__all__ = ["ColumnQuality", "QualityReport", "auc_of", "check", "check_any", "check_flat", "refuse_unknown_fields"]


def refuse_unknown_fields(quality: QualitySettings) -> None:
    """Raise ConfigInvalid where quality.yaml names a field that no table has.

    A misspelled name must not mean a limit that nobody is held to, or a personal field that is shown.
    """
    named = {
        "unshown": quality.unshown,
        "verify_every_days": quality.verify_every_days,
        "segments.fields": quality.segments.fields,
        "model.key_fields": quality.model.key_fields,
    }
    known = {f"{table}.{column.field}" for table, layout in LAYOUTS.items() for column in layout.columns}
    problems = [
        Problem("quality.yaml", key, f"expected a field of a table, found {place!r}")
        for key, places in named.items()
        for place in places
        if place not in known
    ]
    if problems:
        raise ConfigInvalid(problems)


def check(
    intake: Intake, settings: Settings, *, as_of: datetime | None = None, files: Mapping[str, Path] | None = None
) -> QualityReport:
    """Inventory of encoded tables; with `as_of` how old records are, with `files` what only the files say.

    Args:
        intake: what `read_tables` read.
        settings: vocabularies and what `quality.yaml` says.
        as_of: the instant that ages are counted to.
        files: table -> file, as read: given shares, unmapped spellings, tracking by source.

    Raises:
        ConfigInvalid: quality.yaml names a field that no table has.
    """
    refuse_unknown_fields(settings.quality)
    columns: list[ColumnQuality] = []
    equal: dict[str, int] = {}
    for table in intake.counts:
        found = getattr(intake.tables, table)
        known: dict[str, NDArray[Any]] = {name: column for name, column in found.items() if len(column)}
        columns += inventory(table, known, _by_column(table, intake.unmapped))
        if known:
            equal[table] = rows_equal_to_another(without(known, _ids_of(table)))
    columns += inventory("attributes", dict(intake.tables.attributes), {})
    report = QualityReport(
        intake.counts,
        tuple(columns),
        intake.extras,
        intake.flagged,
        equal_without_ids={table: rows for table, rows in equal.items() if rows},
        match=matches(intake),
        consents=consent_cover(intake.tables, settings),
    )
    if as_of is not None:
        report = replace(
            report,
            as_of=as_of.isoformat(),
            conflicts=conflicts(intake, as_of),
            staleness=staleness(intake.tables, settings, as_of),
            age_months=age_months(intake.tables, as_of),
        )
    return report if files is None else add_files(report, files, settings, as_of)


def check_flat(mapping: SourceMapping, path: Path, intake: Intake, settings: Settings | None = None) -> QualityReport:
    """Inventory of a flat export's own columns, and its leakage suspects where the file has the outcome."""
    flat = read_columns(mapping, path)
    labels = None
    if mapping.outcome in flat.texts:
        labels = labels_of(flat, str(mapping.outcome), mapping.outcome_true, mapping.outcome_false)
    keys = tuple(name for name in (mapping.lead_id, mapping.order_by) if name in flat.texts)
    found = _flat(flat, labels, keys, mapping, settings)
    unknown = tuple(name for name in flat.names if name not in mapping.declared())
    return replace(
        found,
        counts=intake.counts,
        extras=intake.extras,
        flagged=intake.flagged,
        undeclared=unknown,
        as_of=mapping.as_of.isoformat(),
    )


def check_any(path: Path, settings: Settings, *, outcome: str | None = None) -> tuple[FlatColumns, QualityReport]:
    """Inventory of any flat file, nothing declared; raises InputInvalid where `outcome` has not two values."""
    flat = any_columns(path)
    labels = None
    if outcome is not None:
        no, yes = two_levels(flat, outcome)
        labels = labels_of(flat, outcome, (yes,), (no,))
    found = _flat(flat, labels, (), None, settings, outcome)
    n = len(flat.rows)
    whole = [np.array([text or "" for text in flat.texts[name].tolist()], dtype=object) for name in flat.names]
    kept = n - _repeats(whole)
    counts = Counts(flat.read, kept, len(flat.rejected), n - kept)
    return flat, replace(found, counts={"leads": counts})


def _flat(
    flat: FlatColumns,
    labels: NDArray[np.int64] | None,
    keys: tuple[str, ...],
    mapping: SourceMapping | None,
    settings: Settings | None,
    outcome: str | None = None,
) -> QualityReport:
    codes, levels = leveled(flat.texts)
    named = id_like(flat.texts, codes, levels)
    answer = mapping.outcome if mapping is not None else outcome
    judged = {name: texts for name, texts in flat.texts.items() if name not in (*keys, answer)}
    found: tuple[Suspect, ...] = ()
    if labels is not None:
        order = mapping.order_by if mapping is not None else None
        found = suspects(judged, labels, _later_half(order, flat), lambda name: _claim(mapping, name), codes, levels)
    without_ids = [column for name, column in codes.items() if name not in (*keys, *named)]
    equal = rows_equal_to_another(without_ids)
    quality = settings.quality if settings is not None else None
    return QualityReport(
        {},
        tuple(inventory("leads", codes, {})),
        {},
        {},
        found,
        equal_without_ids={"leads": equal} if equal else {},
        sentinels=sentinels("leads", judged, quality.sentinel_words) if quality is not None else (),
        id_like=named,
    )


def _by_column(table: str, unmapped: Mapping[str, int]) -> dict[str, int]:
    """Unmapped counts by the encoded column's name instead of the field's."""
    return {
        f"{table}.{column.name}": unmapped[f"{table}.{column.field}"]
        for column in LAYOUTS[table].columns
        if f"{table}.{column.field}" in unmapped
    }


def _ids_of(table: str) -> tuple[str, ...]:
    """What names a row. Of what leads do and are sent, whose it is counts, and when we heard of it does not."""
    own = {"leads": ("lead", "recorded_at"), "accounts": ("account", "recorded_at")}
    return own.get(table, ("recorded_at", "case"))


def _repeats(columns: list[NDArray[Any]]) -> int:
    """Rows that an earlier row already said, cell by cell."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    seen: set[tuple[Any, ...]] = set()
    repeated = 0
    for row in rows:
        repeated += row in seen
        seen.add(row)
    return repeated


def _claim(mapping: SourceMapping | None, column: str) -> str:
    if mapping is None:
        return "undeclared"
    if column in mapping.after_outcome:
        return "after_outcome"
    if column in mapping.ignored:
        return "ignored"
    if any(attribute.column == column for attribute in mapping.attributes):
        return "before_outcome"
    return "records" if column in mapping.declared() else "undeclared"


def _later_half(order_by: str | None, flat: FlatColumns) -> NDArray[np.bool_]:
    texts = flat.texts.get(order_by or "")
    order = numbers_of(texts)[0] if texts is not None else np.arange(len(flat.rows), dtype=np.float64)
    if np.isnan(order).any():
        order = np.arange(len(flat.rows), dtype=np.float64)
    return np.asarray(order > np.median(order)) if len(order) else np.zeros(0, dtype=np.bool_)
