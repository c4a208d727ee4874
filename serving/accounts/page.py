"""One account or system as a page: its readiness in parts, who is missing, and the coverage matrix as a heat map."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from serving.accounts.card import LIMITS, AccountCard, Cell

_NOBODY = Cell(0, 0, 0)


def render_account(card: AccountCard) -> str:
    """The page as text; it loads nothing from anywhere."""
    environment = Environment(
        loader=PackageLoader("serving", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    titles = tuple(need.title for need in card.needs)
    return environment.get_template("account.html").render(
        card=card,
        limits=LIMITS,
        most=max((cell.known for cell in card.cells.values()), default=1),
        nobody=_NOBODY,
        grid=[
            (role, [card.cells.get((r, c), _NOBODY) for c in range(len(card.columns))])
            for r, role in enumerate(card.roles)
        ],
        titles=titles,
        sites=[(site, [_plays(site, title) for title in titles]) for site in card.sites],
    )


def write_account(card: AccountCard, file: Path) -> Path:
    """Write the page to a file, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(render_account(card), encoding="utf-8")
    return partial.replace(file)


def _plays(site: AccountCard, title: str) -> tuple[int, int]:
    """(known, engaged) people of a site who play a part, whether its own next decision needs that part or not."""
    own = [person.engaged for person in site.people if title in person.parts]
    return len(own), sum(own)
