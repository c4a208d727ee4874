"""The segmentation matrix as a page that loads nothing: filtered without a script, readable on paper."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from configs.definitions import LeadStatus
from models.segments.matrix import COLUMNS, STATUSES, MatrixLine

PURPOSES = ("medical education", "promotional")


def render_segment_matrix(lines: Sequence[MatrixLine], statuses: Sequence[LeadStatus], *, as_of: str) -> str:
    """The page; `as_of` is the day whose approvals `lines` show. Every text is escaped."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = {status: sum(line.status == status for line in lines) for status in STATUSES}
    return environment.get_template("segment_matrix.html").render(
        lines=lines,
        columns=COLUMNS,
        counts={status: count for status, count in counts.items() if count},
        purposes=[purpose for purpose in PURPOSES if any(line.purpose == purpose for line in lines)],
        statuses=statuses,
        as_of=as_of,
    )
