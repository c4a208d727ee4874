"""One offline HTML page about data: what needs a person, whether the gates pass, and every field.

The page loads nothing: pictures are inline and a content security policy forbids the rest. Every value from a file is
escaped; values of personal fields are not in the report at all.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from features.intake.quality.findings import ColumnQuality, QualityReport
from training import quality_plots

if TYPE_CHECKING:
    from models.hygiene import Gate, Hygiene

MOST_BARS = 28
MOST_UNMAPPED = 16
# Completeness of these says how much happened, and not how good the data are.
_NOT_DRAWN = ("memberships", "links", "suppressions")


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline number; `bad` draws it as something to look at."""

    label: str
    value: str
    note: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A segment or the model with its gates, the failed ones first."""

    kind: str
    name: str
    passed: bool
    judged: int
    failed: tuple[Gate, ...]


def render_quality_report(found: QualityReport, hygiene: Hygiene | None, *, title: str) -> str:
    """The whole page as text."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": lambda v: f"{v:,.0f}", "percent": _percent}
    pictures = {name: _inline(png) for name, png in quality_pictures(found).items()}
    return environment.get_template("quality.html").render(
        found=found,
        title=title,
        tiles=_tiles(found, hygiene),
        subjects=_subjects(hygiene),
        pictures=pictures,
        tables=_by_table(found.columns),
        stopped=[t for t in found.tracking if t.stopped],
        unshown=[c for c in found.columns if c.unmapped and not c.top_unmapped],
    )


def write_quality_report(found: QualityReport, hygiene: Hygiene | None, file: Path, *, title: str) -> Path:
    """Write the page as a whole or not at all; returns its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(render_quality_report(found, hygiene, title=title), encoding="utf-8")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file


def quality_pictures(found: QualityReport) -> dict[str, bytes]:
    """The pictures that the report has data for, as PNG."""
    pictures: dict[str, bytes] = {}
    for table in ("leads", "accounts", "events", "attributes"):
        own = [c for c in found.columns if c.table == table and c.table not in _NOT_DRAWN and _describes(c)]
        # An optional field that nothing fills is in the table; two dozen empty bars would hide the others.
        given = sorted((c for c in own if c.known_share > 0), key=lambda c: -c.known_share)[:MOST_BARS]
        if given:
            pictures[f"complete_{table}"] = quality_plots.completeness_plot(
                [(c.column, c.known_share, (c.given_share or c.known_share) - c.known_share) for c in given]
            )
    if found.age_months:
        pictures["age"] = quality_plots.age_plot(found.age_months)
    if found.tracking:
        pictures["tracking"] = quality_plots.tracking_plot(
            [(t.source, t.weekly, t.stopped) for t in found.tracking[:6]]
        )
    spelled = [(f"{c.table}.{c.column}: {text}", rows) for c in found.columns for text, rows in c.top_unmapped]
    if spelled:
        ranked = sorted(spelled, key=lambda entry: -entry[1])[:MOST_UNMAPPED]
        pictures["unmapped"] = quality_plots.unmapped_plot(ranked)
    if found.suspects:
        pictures["suspects"] = quality_plots.suspect_plot(
            [(s.column, s.strength, s.declared) for s in found.suspects[:20]]
        )
    return pictures


def _describes(column: ColumnQuality) -> bool:
    return column.column not in ("lead", "account", "recorded_at", "occurred_at", "created_at", "event_id")


def _tiles(found: QualityReport, hygiene: Hygiene | None) -> list[Tile]:
    read, rejected = sum(c.read for c in found.counts.values()), sum(c.rejected for c in found.counts.values())
    tiles = [
        Tile("rows read", f"{read:,}", f"{rejected:,} rejected, each with its reason", rejected > 0),
        Tile(
            "columns",
            f"{sum(c.known_share > 0 for c in found.columns):,}",
            f"{sum(c.known_share == 0 for c in found.columns):,} more hold nothing",
        ),
    ]
    leads = [c for c in found.columns if c.table == "leads" and c.known_share > 0]
    if leads:
        tiles.append(
            Tile(
                "of a lead's fields are known",
                f"{sum(c.known_share for c in leads) / len(leads):.0%}",
                "mean over its columns in use",
            )
        )
    if found.suspects:
        tiles.append(
            Tile("columns may know the outcome", f"{len(found.suspects)}", "a person decides about each", True)
        )
    if found.tracking:
        total = sum(t.events for t in found.tracking)
        strength = sum(t.strength * t.events for t in found.tracking) / max(total, 1)
        stopped = sum(t.stopped for t in found.tracking)
        tiles.append(
            Tile(
                "tracking strength",
                f"{strength:.2f}",
                f"{stopped} of {len(found.tracking)} sources stopped" if stopped else "no source stopped",
                stopped > 0,
            )
        )
    if hygiene is not None:
        subjects = {(g.kind, g.name) for g in hygiene.gates}
        bad = {(g.kind, g.name) for g in hygiene.failed}
        tiles.append(
            Tile(
                "may be activated",
                f"{len(subjects) - len(bad)} of {len(subjects)}",
                "segments and the model",
                bool(bad),
            )
        )
    return tiles


def _subjects(hygiene: Hygiene | None) -> list[Subject]:
    if hygiene is None:
        return []
    found = []
    for kind, name in dict.fromkeys((g.kind, g.name) for g in hygiene.gates):
        own = [g for g in hygiene.gates if (g.kind, g.name) == (kind, name)]
        failed = tuple(g for g in own if not g.passed)
        found.append(Subject(kind, name, not failed, len(own), failed))
    return sorted(found, key=lambda s: (s.passed, s.kind != "model", s.name))


def _by_table(columns: Sequence[ColumnQuality]) -> list[tuple[str, list[ColumnQuality], list[str]]]:
    """(table, columns in use, names of those that hold nothing)."""
    names = dict.fromkeys(c.table for c in columns)
    return [
        (
            name,
            [c for c in columns if c.table == name and c.known_share > 0],
            [c.column for c in columns if c.table == name and c.known_share == 0],
        )
        for name in names
    ]


def _percent(value: float | None, places: int = 0) -> str:
    return "" if value is None else f"{value:.{places}%}"


def _inline(png: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))  # noqa: S704 - our own bytes
