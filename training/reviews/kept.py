"""What a review found, in the lines that are kept with the decision it led to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.errors import InputInvalid

# A line of the list of approvals holds no more.
MOST = 240
LINES = 8


def evidence_lines(path: Path, segment_id: str) -> tuple[str, ...]:
    """The findings about one segment in what `segments review --json` wrote: its instant and hash, signs, changes.

    Raises:
        InputInvalid: the file is no such review, or does not have the segment.
    """
    try:
        text = path.read_bytes()
        found = json.loads(text)
        segments = {one["definition"]["id"]: one for one in found["segments"]}
        as_of = str(found["as_of"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        wrong = f"expected what `leadwell segments review --data FOLDER --json` wrote ({type(error).__name__})"
        raise InputInvalid(str(path), wrong) from None
    if segment_id not in segments:
        raise InputInvalid(str(path), f"expected a review of {segment_id}; it has {', '.join(sorted(segments))}")
    digest = hashlib.sha256(text).hexdigest()
    told = [f"review as of {as_of[:10]}, sha256 {digest[:16]}", *_findings(segments[segment_id])]
    return tuple(" ".join(line.split())[:MOST].rstrip() for line in told[:LINES])


def _findings(one: Mapping[str, Any]) -> Iterator[str]:
    """The numbers first, then what speaks."""
    sizes = one.get("points") or []
    done = [point["converted"] for point in sizes if point.get("converted") and point["converted"]["of"]]
    if sizes:
        yield f"{sizes[-1]['size']['hits']:,} members of {sizes[-1]['size']['of']:,} leads"
    if done:
        yield f"converted {done[-1]['hits']:,} of {done[-1]['of']:,}"
    yield from one.get("signs") or ()
    for change in one.get("amendments") or ():
        yield f"{change['reason']}: {change['file']} {change['key']}: {change['says']} ({change['evidence'][0]})"
