"""Attribution as tables: by touch point, campaign, asset and segment, each summing to the conversions; and paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from configs.attribution import AttributionPlan
from training.measurement.attribution import MODELS, Attribution, Credit, attribute
from training.measurement.paths import follow_paths
from training.measurement.reading import Measured
from training.measurement.sheet import Column, Rated, Sheet, Value

ARROW = " \N{RIGHTWARDS ARROW} "
NOBODY = "no segment known"
_MODEL_COLUMNS = (
    Column("first_touch", "first touch", "credit"),
    Column("last_touch", "last touch", "credit"),
    Column("position_based", "position-based", "credit"),
)
_VALUE_COLUMNS = tuple(
    Column(f"{model}_value", f"value, {label}", "money")
    for model, label in zip(MODELS, ("first touch", "last touch", "position-based"), strict=True)
)


def attribution_sheets(measured: Measured) -> list[Sheet]:
    """Sheets `attribution`, `attribution_campaigns`, `attribution_assets`, `attribution_segments` and `paths`.

    `measured` must have been read with the plan's `lookback_days`.
    """
    settings, window = measured.settings, measured.window
    plan = settings.attribution
    left_out = follow_paths(measured.con, plan, window.start_us, window.end_us, settings.measurement.allows)
    found = attribute(measured.con, plan, left_out)
    return sheets_of(found, plan, window=measured.says, version=settings.digest("attribution")[:12])


def sheets_of(found: Attribution, plan: AttributionPlan, *, window: str, version: str) -> list[Sheet]:
    """The tables of an attribution; `version` is the digest of its plan."""
    notes = _notes(found, plan, version)
    says = (
        f"{found.conversions:,} conversions ({', '.join(plan.conversions) or 'no kind is declared'}), "
        f"{found.with_path:,} with a touch point within {plan.lookback_days} days before; every model's credits sum to "
        f"{found.conversions:,}."
    )
    titles = (("name", "touch point"), ("campaign", "campaign"), ("asset", "asset"))
    ids = {"name": "attribution", "campaign": "attribution_campaigns", "asset": "attribution_assets"}
    sheets = [
        _by(found, plan, dimension, label, ids[dimension], says, window, notes if dimension == "name" else ())
        for dimension, label in titles
    ]
    return [*sheets, _by_segment(found, plan, says, window), _paths(found, plan, window)]


def _by(
    found: Attribution,
    plan: AttributionPlan,
    dimension: str,
    label: str,
    sheet_id: str,
    says: str,
    window: str,
    notes: tuple[str, ...],
) -> Sheet:
    credits = found.by[dimension]
    unknown = f"no {dimension} recorded"
    rows: list[tuple[Value, ...]] = [_row(one.name or unknown, one) for one in credits]
    rows.append(_unattributed(found.without, found.value_without_cents, plan))
    whole = tuple(_exact(found.conversions) for _ in MODELS)
    valued = found.unvalued < found.conversions
    values = tuple(found.value_cents if valued else None for _ in MODELS)
    points = sum(one.points for one in credits)
    return Sheet(
        id=sheet_id,
        title=f"Attribution by {label}",
        says=says,
        window=window,
        columns=(
            Column(dimension if dimension != "name" else "touch_point", label),
            Column("points", "touch points", "count"),
            Column("conversions", "conversions with one", "count"),
            *_MODEL_COLUMNS,
            *_VALUE_COLUMNS,
        ),
        rows=tuple(_to_the_cent(rows, found.value_cents if valued else None)),
        notes=notes,
        total=("all conversions", points, found.conversions, *whole, *values),
    )


def _by_segment(found: Attribution, plan: AttributionPlan, says: str, window: str) -> Sheet:
    rows: list[tuple[Value, ...]] = []
    order = sorted(found.segment_conversions, key=lambda name: (-found.segment_conversions[name][0], name or "~"))
    for segment in order:
        conversions, with_path = found.segment_conversions[segment]
        share = Rated(with_path, conversions)
        for one in found.by_segment.get(segment, ()):
            credits = tuple(_exact(one.credits[model]) for model in MODELS)
            rows.append((segment or NOBODY, conversions, share, one.name, one.points, *credits))
        if conversions > with_path:
            nothing = f"no touch point in {plan.lookback_days} days"
            without = tuple(_exact(conversions - with_path) for _ in MODELS)
            rows.append((segment or NOBODY, conversions, share, nothing, 0, *without))
    whole = tuple(_exact(found.conversions) for _ in MODELS)
    points = sum(one.points for one in found.by["name"])
    reached = Rated(found.with_path, found.conversions)
    return Sheet(
        id="attribution_segments",
        title="Attribution inside each segment",
        says=says,
        window=window,
        columns=(
            Column("segment", "segment"),
            Column("segment_conversions", "its conversions", "count"),
            Column("with_path", "with a touch point", "rate"),
            Column("touch_point", "touch point"),
            Column("points", "touch points", "count"),
            *_MODEL_COLUMNS,
        ),
        rows=tuple(rows),
        total=("all segments", found.conversions, reached, "", points, *whole),
    )


def _paths(found: Attribution, plan: AttributionPlan, window: str) -> Sheet:
    def row(label: str, many: int, steps: int | None) -> tuple[Value, ...]:
        return (label, steps, many, many / found.conversions if found.conversions else None)

    rows = [row(ARROW.join(path), many, len(path)) for path, many in found.paths]
    rows += [row("other paths", found.other_paths, None)] if found.other_paths else []
    rows.append(row(f"no touch point in {plan.lookback_days} days", found.without, 0))
    return Sheet(
        id="paths",
        title="The most frequent paths to a conversion",
        says="Touch points of one name in a row are one step.",
        window=window,
        columns=(
            Column("path", "path"),
            Column("steps", "steps", "count"),
            Column("conversions", "conversions", "count"),
            Column("share", "of all conversions", "rate"),
        ),
        rows=tuple(rows),
        total=("all conversions", None, found.conversions, 1.0 if found.conversions else None),
    )


def _row(label: str, one: Credit) -> tuple[Value, ...]:
    credits = tuple(_exact(one.credits[model]) for model in MODELS)
    return (label, one.points, one.conversions, *credits, *(one.values[model] for model in MODELS))


def _unattributed(conversions: int, value_cents: int, plan: AttributionPlan) -> tuple[Value, ...]:
    credits = tuple(_exact(conversions) for _ in MODELS)
    values = tuple(Fraction(value_cents) for _ in MODELS)
    return (f"no touch point in {plan.lookback_days} days", 0, conversions, *credits, *values)


def _to_the_cent(rows: Sequence[tuple[Value, ...]], total: int | None) -> list[tuple[Value, ...]]:
    """Rows whose last columns, exact values, are whole cents that sum to the total (largest remainder), or none."""
    width = len(MODELS)
    if total is None:
        return [(*row[:-width], *[None] * width) for row in rows]
    columns = [_whole_cents([_cents(row[-width + place]) for row in rows], total) for place in range(width)]
    return [(*row[:-width], *(column[number] for column in columns)) for number, row in enumerate(rows)]


def _cents(cell: Value) -> Fraction:
    assert isinstance(cell, Fraction)  # noqa: S101 - the rows are made above
    return cell


def _whole_cents(values: Sequence[Fraction], total: int) -> list[int]:
    """Whole cents next to exact ones, the largest remainders rounded up, the earlier row first where equal."""
    floors = [value.numerator // value.denominator for value in values]
    missing = total - sum(floors)
    key: Callable[[int], tuple[Fraction, int]] = lambda place: (floors[place] - values[place], place)  # noqa: E731
    for place in sorted(range(len(values)), key=key)[:missing]:
        floors[place] += 1
    return floors


def _exact(credit: Fraction | int) -> Fraction:
    return Fraction(credit)


def _notes(found: Attribution, plan: AttributionPlan, version: str) -> tuple[str, ...]:
    first, last = plan.position_based.hundredths
    notes = [
        f"Position-based: {first} % to the first, {last} % to the last, {100 - first - last} % to those in between; "
        "with nothing in between the ends share all. Touch points of one instant share.",
        f"Plan {version}: numbers of two reports compare only under the same plan.",
        "Attribution says what came before a conversion, not what caused it: that is what controlled tests are for.",
        "A value is what the conversion itself records.",
    ]
    if found.unvalued:
        notes.append(f"{found.unvalued:,} of {found.conversions:,} conversions record no value and count as 0.00.")
    if found.not_allowed:
        notes.append(
            f"{found.not_allowed:,} touch points are on channels that the measurement plan does not follow to a "
            "conversion; they are in no path."
        )
    return tuple(notes)
