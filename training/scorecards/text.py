"""A scorecard file with other points in it and everything else, comments too, as people wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from configs.errors import InputInvalid


def with_points(text: str, points: Mapping[str, int], name: str = "scorecard.yaml") -> str:
    """The text of a scorecard in which the rules named in `points` are worth that.

    Raises InputInvalid where a rule's points are not found in the text exactly once.
    """
    for rule, worth in points.items():
        pattern = re.compile(rf"(\bid:\s*{re.escape(rule)}\b(?:(?!\bid:).)*?\bpoints:\s*)(-?\d+)", re.DOTALL)
        text, found = pattern.subn(lambda hit, worth=worth: f"{hit[1]}{worth}", text)  # type: ignore[misc]
        if found != 1:
            raise InputInvalid(name, f"expected the points of rule {rule} once after its id, found {found}")
    return text
