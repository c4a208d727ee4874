"""How a check of data looks in the terminal: what needs a person first, then the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cli.screen import line, table

if TYPE_CHECKING:
    import pyarrow as pa

    from features.intake.quality.findings import ColumnQuality, QualityReport
    from features.intake.settle import Counts
    from models.hygiene import Hygiene

MOST_COLUMNS = 60
MOST_LINES = 12


def escaped(text: object) -> str:
    """Text from a file, so that no square bracket of it is read as a style."""
    return str(text).replace("[", r"\[")


def show_counts(counts: Mapping[str, Counts]) -> None:
    """The law of intake, table by table: used + rejected + duplicate = read."""
    rows = [(n, *(f"{x:,}" for x in (c.read, c.used, c.rejected, c.duplicate))) for n, c in counts.items()]
    table("Rows", ("table", "read", "used", "rejected", "duplicate"), rows, right=(1, 2, 3, 4))


def show(found: QualityReport, refused: pa.Table, hygiene: Hygiene | None = None) -> None:
    """Everything a check found: rows, gates, suspects, tracking, age, what is odd, consents, the inventory."""
    show_counts(found.counts)
    if hygiene is not None:
        show_gates(hygiene)
    _suspects(found)
    _tracking(found)
    _staleness(found)
    _odd(found, refused)
    _consents(found)
    _columns(found)


def show_gates(hygiene: Hygiene) -> None:
    """Which segments and models may be activated on this data, and which minimum is missed."""
    rows = []
    for name in dict.fromkeys(gate.name for gate in hygiene.gates):
        own = [gate for gate in hygiene.gates if gate.name == name]
        failed = [gate for gate in own if not gate.passed]
        shown = failed or [min(own, key=lambda g: g.room)]
        says = escaped("; ".join(g.says.removeprefix(f"{name}: ") for g in shown))
        says = says if failed else f"[dim]closest of {len(own)}: {says}[/dim]"
        rows.append((own[0].kind, name, "[red]not activated[/red]" if failed else "[green]passes[/green]", says))
    table("Hygiene gates", ("", "name", "", "what is asked"), rows)


def _suspects(found: QualityReport) -> None:
    if not found.suspects:
        return
    shown = [
        (escaped(s.column), f"{s.strength:.2f}", f"{s.auc:.3f}", s.declared, escaped("; ".join(s.evidence[:2])))
        for s in found.suspects[: 2 * MOST_LINES]
    ]
    table("May know the outcome", ("column", "strength", "AUC alone", "declared", "evidence"), shown, right=(1, 2))
    _more(len(found.suspects) - len(shown), "suspects")


def _tracking(found: QualityReport) -> None:
    rows = [
        (
            escaped(t.source),
            f"{t.strength:.2f}",
            f"{t.events:,}",
            f"{t.leads:,}",
            f"{t.per_lead_day:.1f}",
            f"{t.silent_days:,}",
            f"[red]stopped {t.last_day}[/red]" if t.stopped else t.last_day,
            f"{t.topic_share:.0%}",
            f"{t.asset_share:.0%}",
            f"{t.depth_share:.0%}",
            f"{t.late_share:.1%}",
            f"{t.repeated_id_share:.1%}",
        )
        for t in found.tracking
    ]
    if rows:
        names = (
            "source",
            "strength",
            "events",
            "leads",
            "a day",
            "silent",
            "last",
            "topic",
            "asset",
            "depth",
            "late",
            "twice",
        )
        table("Event tracking by source", names, rows, right=(1, 2, 3, 4, 5, 7, 8, 9, 10, 11))
        line("[dim]a day: events of a lead on a day it is active; silent: days without any event; late: recorded[/dim]")
        line(
            "[dim]more than the declared time after they occurred; twice: rows whose event id was there already[/dim]\n"
        )


def _staleness(found: QualityReport) -> None:
    rows = [
        (
            f"{s.table}.{s.field}",
            f"{s.max_age_days:,}" if s.max_age_days else "",
            f"{s.within_share:.0%}",
            f"{s.verified_share:.0%}",
            " / ".join(f"{age:,}" for age in s.ages) or "never",
        )
        for s in sorted(found.staleness, key=lambda s: s.within_share)
    ]
    if rows:
        names = ("volatile field", "verify every", "in time", "ever verified", "days since, 10 / 50 / 90 %")
        table("Staleness", names, rows, right=(1, 2, 3, 4))


def _consents(found: QualityReport) -> None:
    if found.consents:
        rows = [(c.channel.replace("_", " "), f"{c.leads:,}", f"{c.share:.0%}") for c in found.consents]
        table("Consents", ("channel", "leads with a statement", "share"), rows, right=(1, 2))


def _columns(found: QualityReport) -> None:
    shown = sorted(found.columns, key=lambda c: -_weight(c))[:MOST_COLUMNS]
    kept = set(shown)
    rows = [
        (
            escaped(f"{c.table}.{c.column}"),
            f"{c.known_share:.0%}",
            "" if c.mapped_share is None else f"{c.mapped_share:.0%}",
            f"{c.distinct:,}",
            escaped(_note(c)),
        )
        for c in found.columns
        if c in kept
    ]
    table("Columns", ("column", "known", "mapped", "distinct", "note"), rows, right=(1, 2, 3))
    _more(len(found.columns) - len(shown), "columns")


def _weight(column: ColumnQuality) -> float:
    """What a person must look at comes before what is merely there; an absent column comes last."""
    odd = bool(column.constant) + bool(column.same_as) + bool(column.unmapped)
    return 10 * odd + (1.0 if column.known_share > 0 else 0.0)


def _note(column: ColumnQuality) -> str:
    unread = f"{column.unmapped:,} values in no vocabulary" if column.unmapped else ""
    if column.top_unmapped:
        unread += ": " + ", ".join(f"{text} ({rows:,})" for text, rows in column.top_unmapped[:3])
    notes = ("constant" if column.constant else "", f"same as {column.same_as}" if column.same_as else "", unread)
    return "; ".join(note for note in notes if note)


def _odd(found: QualityReport, refused: pa.Table) -> None:
    why = refused.group_by(["file", "column", "reason"], use_threads=False).aggregate([([], "count_all")])
    for reason in why.to_pylist():
        place = f"{reason['file']}: column {reason['column']}" if reason["column"] else reason["file"]
        line(f"[yellow]rejected[/yellow] {reason['count_all']:,} rows of {escaped(place)}: {escaped(reason['reason'])}")
    for match in found.match:
        if match.unmatched:
            said = f"{match.unmatched:,} rows name no known lead ({match.share:.1%} match)"
            line(f"[yellow]unmatched[/yellow] {match.table}: {said}")
    for conflict in found.conflicts:
        line(f"[yellow]conflict[/yellow] {conflict.table}: {conflict.rows:,} of {conflict.of:,} rows: {conflict.says}")
    for name, rows in found.equal_without_ids.items():
        line(f"[yellow]equal[/yellow] {name}: {rows:,} rows equal another once ids are dropped")
    _stand_ins(found)
    for name, columns in found.extras.items():
        if columns:
            line(f"[yellow]not read[/yellow] {name}: {escaped(', '.join(columns))} (no table has such a column)")
    for what, count in found.flagged.items():
        if count:
            line(f"[yellow]odd[/yellow] {what}: {count:,} rows, used all the same")
    if found.id_like:
        line(f"[yellow]like an id[/yellow] {escaped(', '.join(found.id_like))}: names rows, says nothing about them")
    if found.undeclared:
        named = escaped(", ".join(found.undeclared))
        line(f"[red]undeclared[/red] {named}: training refuses them until the mapping has them")
    line("")


def _stand_ins(found: QualityReport) -> None:
    """Values that stand for something, one line for each value: the same word is often used in many columns."""
    columns_of: dict[tuple[str, str], list[str]] = {}
    for one in found.sentinels:
        place = one.column if one.table == "leads" else f"{one.table}.{one.column}"
        columns_of.setdefault((one.value, one.why), []).append(f"{place} ({one.share:.1%})")
    shown = list(columns_of.items())[:MOST_LINES]
    for (value, why), columns in shown:
        line(f"[yellow]stand-in[/yellow] {escaped(value)} in {escaped(', '.join(columns))}: {why}")
    _more(len(columns_of) - len(shown), "stand-ins")


def _more(count: int, noun: str) -> None:
    if count > 0:
        line(f"[dim]{count} more {noun}: --json shows all[/dim]\n")
