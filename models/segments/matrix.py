"""The segmentation matrix: for each segment what it is about, what its members need, and what is done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from models.segments.map import Activation

# The columns that the field names, in its order.
COLUMNS = (
    "segment",
    "clinical dimension",
    "setting",
    "role",
    "content need",
    "content type",
    "channels",
    "next best action",
    "owner",
    "KPI",
)
STATUSES = ("approved", "proposed", "draft", "retired")
_NOT_SAID = "not said"


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """One segment in the matrix. `cells` follow `COLUMNS`; `needs` is what must be there before it can be proposed.

    `active` says whether it holds leads on the day: an approval that ran out holds nobody.
    """

    segment_id: str
    title: str
    version: int
    status: str
    active: bool
    unit: str
    purpose: str
    audience: str
    overlay: bool
    cells: tuple[str, ...]
    needs: tuple[str, ...]


def segment_matrix(activations: Sequence[Activation], on: date) -> tuple[MatrixLine, ...]:
    """Every definition as a line, as of a day: approved ones first, then proposals, drafts and retired, by priority."""
    ordered = sorted(
        activations, key=lambda a: (STATUSES.index(a.definition.status), a.definition.priority, a.definition.id)
    )
    return tuple(_line(activation, on) for activation in ordered)


def _line(activation: Activation, on: date) -> MatrixLine:
    d = activation.definition
    row = d.matrix
    cells = (
        d.id,
        row.clinical_dimension if row else _NOT_SAID,
        row.care_setting if row else _NOT_SAID,
        ", ".join(_words(role) for role in row.roles) if row else _NOT_SAID,
        row.content_need if row else _NOT_SAID,
        ", ".join(_words(kind) for kind in row.content_types) if row else _NOT_SAID,
        ", ".join(_words(channel) for channel in d.channel_plan) or "none",
        d.next_best_action,
        d.owner,
        d.primary_kpi,
    )
    return MatrixLine(
        segment_id=d.id,
        title=d.title,
        version=d.version,
        status=d.status,
        active=d.residual or d.is_active(on),
        unit=d.unit,
        purpose=_words(d.purpose),
        audience=", ".join(d.audience),
        overlay=activation.overlay,
        cells=cells,
        needs=d.needs,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
