"""The trigger catalogue as a chapter of docs/reference.md."""

from __future__ import annotations

from collections.abc import Iterator

from configs.settings import Settings
from configs.triggers import Trigger


def triggers(settings: Settings) -> Iterator[str]:
    """What makes a re-evaluation or a review due, in the order of the catalogue."""
    from cli.reference import table

    yield "## Triggers"
    yield (
        "What makes a re-evaluation of segments due, from `configs/triggers.yaml`. `leadwell segments apply` counts "
        "for how many leads each fired since the last run, and a move names those that fired for its lead and concern "
        "its segment."
    )
    rows = [
        (
            f"`{one.id}`",
            one.title,
            one.kind.replace("_", " "),
            _fires_on(one),
            f"`{one.when}`" if one.when else "always",
            ", ".join(one.segments) or "all",
            one.says,
            one.owner,
        )
        for one in settings.triggers
    ]
    yield table(("id", "title", "kind", "fires on", "where surely", "concerns", "what it is for", "owner"), rows)


def _fires_on(one: Trigger) -> str:
    if one.kind == "lead_new":
        return "a lead that was not there before"
    if one.kind == "event":
        return "an event that became known: " + ", ".join(one.events)
    if one.kind == "field_changed":
        return f"a change of {', '.join(one.watches)}" + (", also from unknown" if one.newly_known else "")
    days = ", ".join(f"{occurrence.on}" for occurrence in one.occurs) or "no day entered yet"
    reviews = f"; puts up for review: {', '.join(one.reviews)}" if one.reviews else ""
    return f"a day that people entered ({days}){reviews}"
