"""Writes what the program says into docs/stories, so that a story cannot tell something else than a run does.

`python -m cli.reference_stories` plays every story and writes its page and pictures; each story's test compares them.
A page is prose with places `<!-- made: NAME -->` ... `<!-- /made -->`; what stands there is made by the run of
`tests/stories/<name>.py`, the module that the test looks at too: `told()` gives the texts by name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from configs.errors import InputInvalid

FOLDER = Path("docs/stories")
PICTURES = Path("docs/pictures")
COMMAND = "python -m cli.reference_stories"
PLACE = re.compile(r"(<!-- made: ([a-z0-9_]+) -->\n)(.*?)(<!-- /made -->)", re.DOTALL)


def filled(page: str, blocks: Mapping[str, str], name: str = "the page") -> str:
    """The page with each place holding its block; raises InputInvalid where places and blocks are not the same."""
    places = [found[2] for found in PLACE.finditer(page)]
    if sorted(places) != sorted(blocks):
        here, made = ", ".join(sorted(places)), ", ".join(sorted(blocks))
        raise InputInvalid(name, f"expected each block in one place; places: {here}; blocks: {made}")
    return PLACE.sub(lambda found: f"{found[1]}\n{blocks[found[2]].strip()}\n\n{found[4]}", page)


def main(arguments: Sequence[str] = ()) -> None:
    """Write all pages and pictures, or those whose name holds one of the arguments."""
    for page in sorted(FOLDER.glob("[0-9]_*.md")):
        if arguments and not any(word in page.stem for word in arguments):
            continue
        told = import_module(f"tests.stories.{page.stem[2:]}").told()
        page.write_text(filled(page.read_text(encoding="utf-8"), told.blocks, str(page)), encoding="utf-8")
        for name, content in told.pictures.items():
            (PICTURES / name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
