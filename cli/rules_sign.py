"""`leadwell rules sign`: a named reviewer signs the exact text of cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import clock_of, moment
from cli.screen import line, next_step, table
from configs.errors import InputInvalid

Cards = Annotated[list[str] | None, typer.Argument(metavar="CARD...", help="ids of cards, as in the rule book")]


def sign(
    cards: Cards = None,
    by: Annotated[str, typer.Option("--by", help="your name, as it shall stand in the record")] = "",
    role: Annotated[str, typer.Option("--role", help="what you sign as, for example counsel-eu")] = "",
    every: Annotated[bool, typer.Option("--all", help="every card that is pending")] = False,
    owned: Annotated[bool, typer.Option("--owned", help="every pending card whose review belongs to --role")] = False,
    reference: Annotated[str | None, typer.Option("--reference", help="where the decision is recorded")] = None,
    on: Annotated[str | None, typer.Option("--on", help="the day of the signature; today when absent")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="your configuration folder")] = None,
) -> None:
    """Sign cards as you have read them, each with the parameters it names; an edit afterwards makes them pending again.

    The list policy/signatures.jsonl is only ever added to, and what was signed is kept in policy/signed/.

    Example: leadwell rules sign EU-01 EU-02 --by "Dr. M. Ortiz" --role counsel-eu --reference LEG-26-031 --configs mine
    """
    from pydantic import ValidationError

    from configs.approval_file import writable_folder
    from configs.settings import Settings, load_settings
    from configs.signature_file import sign_cards
    from configs.signatures import CardSignature

    for option, given in (("--by", by), ("--role", role)):
        if not given.strip():
            raise InputInvalid(option, "expected a name: a signature belongs to a person and an office")
    if bool(cards) + every + owned != 1:
        raise InputInvalid("CARD...", "expected ids of cards, or --owned, or --all")
    folder = writable_folder(configs)
    pending = [card for card in load_settings(folder).rules if card.review.status != "signed"]
    chosen = list(dict.fromkeys(cards or ())) or [card.id for card in pending if every or card.review.owner == role]
    if not chosen:
        owners = ", ".join(sorted({card.review.owner for card in pending}))
        raise InputInvalid("--role" if owned else "--all", f"nothing is pending there; pending: {owners or 'no card'}")
    today = clock_of().now.date()
    day = today if on is None else moment(on).date()
    if day > today:
        # Nobody could sign before that day any more: the list never goes back.
        raise InputInvalid("--on", f"expected a day not after today, {today}")

    def entry(_: Settings, card: str, text: str) -> CardSignature:
        try:
            return CardSignature(card=card, text=text, by=by.strip(), role=role.strip(), on=day, reference=reference)
        except ValidationError as error:
            told = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise InputInvalid("--by, --role, --reference", told) from None

    settings, added = sign_cards(folder, chosen, entry)
    owner = {card.id: card.review.owner for card in settings.rules}
    rows = [
        (one.card, one.text[:12], owner[one.card], "" if owner[one.card] == one.role else "another office")
        for one in added
    ]
    table(f"Signed by {added[0].by}, {added[0].role}, on {day}", ("card", "text", "review belongs to", ""), rows)
    left = sum(card.review.status != "signed" for card in settings.rules)
    if left:
        line(f"[yellow]{left} of {len(settings.rules)} cards are still pending counsel[/yellow]")
        next_step("leadwell rules check")
    else:
        line("[green]every card is signed[/green]: the banner is gone until a card or a parameter changes")
        next_step("leadwell rules book --out rules.html")


def register(rules: typer.Typer) -> None:
    """Add the command."""
    rules.command()(sign)
