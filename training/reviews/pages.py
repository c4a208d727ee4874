"""Offline HTML pages about segments: the record of a version and the review of all that is due.

A page loads nothing: pictures are inline and a content security policy forbids the rest; every text is escaped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from configs.errors import InputInvalid
from models.segments.record import SegmentRecord
from training.reviews.evidence import Review, SegmentReview
from training.reviews.sparks import GREEN, spark


def render_segment_record(record: SegmentRecord) -> str:
    """The data sheet of one version as a page."""
    return _environment().get_template("segment_record.html").render(r=record)


def render_segment_review(review: Review, recorded: Mapping[str, str] | None = None) -> str:
    """The review of the whole map as a page; `recorded` is what the last apply says of a segment, in words."""
    named = {found.definition.id for found in review.segments}
    shown = [_shown(found, (recorded or {}).get(found.definition.id, "")) for found in review.segments]
    return (
        _environment()
        .get_template("segment_review.html")
        .render(
            r={name: getattr(review, name) for name in ("as_of", "leads", "horizon_days", "back_days", "due")}
            | {"segments": shown},
            waiting=[(segment_id, why) for segment_id, why in review.due.items() if segment_id not in named],
            due_count=sum(bool(why) for why in review.due.values()),
            sign_count=sum(bool(found.signs) for found in review.segments),
            advised=sum(advice.kind != "keep" for found in review.segments for advice in found.suggestions),
        )
    )


def write_page(text: str, file: Path) -> Path:
    """Write a page as a whole or not at all; returns its path, raises InputInvalid where it cannot be written."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    except OSError as error:
        raise InputInvalid(str(file), f"expected a file that can be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return file


def _shown(found: SegmentReview, recorded: str) -> dict[str, Any]:
    """A segment's review with its pictures and the latest cohort whose horizon is over."""
    sizes = [(point.on, point.size) for point in found.points]
    rates = [(point.on, point.converted) for point in found.points if point.converted is not None]
    return {field.name: getattr(found, field.name) for field in fields(found)} | {
        "members": found.members,
        "cohort": rates[-1][1] if rates and rates[-1][1].of else None,
        "size_picture": spark("Share of all leads", sizes),
        "rate_picture": spark("Converted", rates, GREEN),
        "recorded": recorded,
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "pc": lambda share: f"{share:.1%}",
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment
