"""The part of docs/reference.md that says what the segment lint can find, made from its table of codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.segments.lint.findings import CODES

# First code of each group -> title of the group: groups follow each other in the table of codes.
GROUPS: Mapping[str, str] = {
    "SINGLE_DIMENSION": "Who it holds",
    "NO_FALLBACK": "Where leads go while data are missing",
    "NO_ACTIVATION_PLAN": "What is done with it",
    "NOT_APPROVED": "Who answers for it",
    "SPRAWL": "How it stands among the others",
    "TOO_SMALL": "What the leads say",
}


def lint_codes() -> Iterator[str]:
    """The section of the page: every code with what it means, why it matters and how to mend it."""
    from cli.reference import table

    yield "## Segment lint"
    yield (
        "What `leadwell segments lint` can find. An error fails it for a definition that is approved, proposed, or was "
        "so before somebody edited it; of a draft it is listed as what the draft still needs. *Warning until proposed* "
        "is what only a person can supply. The last group needs `--data`."
    )
    for first, title in GROUPS.items():
        yield f"**{title}**"
        rows = [
            (f"`{name}`", _level(name), code.what, code.why, code.mend)
            for name, code in CODES.items()
            if group_of(name) == first
        ]
        yield table(("code", "level", "what", "why it matters", "how to mend it"), rows)


def group_of(name: str) -> str:
    """The first code of the group that a code belongs to."""
    found = ""
    for code in CODES:
        found = code if code in GROUPS else found
        if code == name:
            break
    return found


def _level(name: str) -> str:
    code = CODES[name]
    level = "error or warning" if code.level == "either" else code.level
    return f"{level}; warning until proposed" if code.by_a_person and level != "warning" else level
