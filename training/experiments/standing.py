"""The standing experiment as a test: leads that were assigned, by arm, with what came of them within the horizon.

A lead counts once a period, from its first assignment in it. Who was outside of the experiment is left out of both
sides. Leads whose horizon is not over, or whose outcomes may not all be recorded yet, are counted and not used. Arms
are drawn by account, so that accounts and not leads are what varies.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from features.tables import Tables, microseconds
from models.assignment import ARMS
from training.experiments.trial import UNKNOWN, Floats, Ints, Trial

CONTROL = "holdout"
REACHED = "reached"
VALUE = "value"
NO_ACTION = "none"


def standing_trial(tables: Tables, settings: Settings, as_of: datetime, *, name: str = "standing experiment") -> Trial:
    """The standing experiment as known at `as_of`; raises InputInvalid where nobody was assigned or held out."""
    found = tables.assignments
    if not found or not len(found["lead"]):
        raise InputInvalid("assignments", "expected this table with rows; `leadwell rescore` writes it")
    served = settings.targets.served
    horizon, settle = timedelta(days=served.horizon_days), timedelta(days=settings.targets.history.settle_days)
    unread = sorted({str(arm) for arm in found["arm"].tolist()} - set(ARMS))
    if unread:
        raise InputInvalid("assignments", f"expected one of {', '.join(ARMS)}", field="arm")
    known = (found["recorded_at"] <= microseconds(as_of)) & (found["lead"] >= 0)
    rows = _first_of_each_period(found, np.flatnonzero(known))
    counts = {"read": len(found["lead"]), "first of a lead in a period": len(rows)}
    arm = np.array([ARMS.index(str(word)) for word in found["arm"][rows].tolist()], dtype=np.int64)
    complete = found["assigned_at"][rows] <= microseconds(as_of - horizon - settle)
    inside = arm != ARMS.index("outside")
    counts["outside of the experiment"] = int((~inside).sum())
    counts["horizon not over yet"] = int((inside & ~complete).sum())
    rows, arm = rows[inside & complete], arm[inside & complete]
    counts["used"] = len(rows)
    names = (CONTROL, *(word for word in ("routed", "exploration") if (arm == ARMS.index(word)).any()))
    if not (arm == ARMS.index(CONTROL)).any() or len(names) < 2:
        raise InputInvalid(
            "assignments",
            f"expected leads of the holdout and of another arm whose {horizon.days} days are over, found {len(rows)} "
            f"leads, and {counts['horizon not over yet']} whose days are not over",
        )
    reached, value = _outcomes(tables, settings, found["lead"][rows], found["assigned_at"][rows], horizon, as_of)
    units = found["unit"][rows] if "unit" in found else np.full(len(rows), None, dtype=object)
    return Trial(
        name=name,
        arms=names,
        arm=np.array([names.index(ARMS[code]) for code in arm.tolist()], dtype=np.int64),
        outcomes={REACHED: reached} | ({VALUE: value} if np.any(value != 0) else {}),
        yesno=frozenset({REACHED}),
        segments=_segments(found, rows, settings),
        X=np.empty((len(rows), 0)),
        columns=(),
        categorical=(),
        covariates=(),
        cluster=_clusters(units, found["lead"][rows]),
        counts=counts,
    )


def _first_of_each_period(found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The earliest row of each lead in each period, in the order of leads."""
    words = found["period"][rows] if "period" in found else np.full(len(rows), "", dtype=object)
    period = np.unique([str(word) for word in words.tolist()], return_inverse=True)[1].ravel()
    order = np.lexsort((found["recorded_at"][rows], found["assigned_at"][rows], period, found["lead"][rows]))
    lead, period = found["lead"][rows][order], period[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (lead[1:] != lead[:-1]) | (period[1:] != period[:-1])
    return rows[order][first]


def _outcomes(
    tables: Tables, settings: Settings, lead: NDArray[Any], at: NDArray[np.int64], horizon: timedelta, as_of: datetime
) -> tuple[Floats, Floats]:
    """Whether each lead reached the target within the horizon of its assignment, and the value of what it reached."""
    reached, value = np.zeros(len(lead)), np.zeros(len(lead))
    outcomes, wide = tables.outcomes, round(horizon.total_seconds() * 1e6)
    if not outcomes:
        raise InputInvalid("outcomes", "expected this table: without outcomes no effect can be told")
    kinds = [settings.vocabularies["outcome_kind"].code(kind) for kind in settings.targets.served.kinds]
    counts = np.isin(outcomes["kind"], kinds) & (outcomes["recorded_at"] <= microseconds(as_of))
    own = np.flatnonzero(counts & (outcomes["lead"] >= 0))
    own = own[np.argsort(outcomes["lead"][own], kind="stable")]
    of_lead, when = outcomes["lead"][own], outcomes["occurred_at"][own]
    worth = np.nan_to_num(outcomes["value"][own]) if "value" in outcomes else np.zeros(len(own))
    first, last = np.searchsorted(of_lead, lead, side="left"), np.searchsorted(of_lead, lead, side="right")
    for row in np.flatnonzero(last > first).tolist():
        part = slice(first[row], last[row])
        inside = (when[part] > at[row]) & (when[part] <= at[row] + wide)
        reached[row], value[row] = float(inside.any()), float(worth[part][inside].sum())
    return reached, value


def _segments(
    found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp], settings: Settings
) -> dict[str, NDArray[np.object_]]:
    """The segment of each lead, the channel that was planned for it, and both: all known before the arm was drawn."""
    n = len(rows)
    segment = found["segment"][rows] if "segment" in found else np.full(n, None, dtype=object)
    segment = np.array([UNKNOWN if word is None else str(word) for word in segment.tolist()], dtype=object)
    words = np.array([NO_ACTION, *settings.vocabularies["channel"].values], dtype=object)
    code = found["planned_channel"][rows] if "planned_channel" in found else np.zeros(n, dtype=np.uint8)
    action = words[code]
    both = np.array([f"{one}: {other}" for one, other in zip(segment, action, strict=True)], dtype=object)
    return {"segment": segment, "action": action, "segment and action": both}


def _clusters(units: NDArray[Any], lead: NDArray[Any]) -> Ints:
    """A number for who was drawn together; a lead whose unit is not on record is its own."""
    names = [unit or f"lead {own}" for unit, own in zip(units.tolist(), lead.tolist(), strict=True)]
    return np.unique(names, return_inverse=True)[1].ravel().astype(np.int64)
