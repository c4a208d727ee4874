"""Who signed which card: an append-only list, each entry sealed and bound to the exact text that was signed.

`policy/signatures.jsonl` lies beside the cards, one entry a line; `policy/signed/` keeps each text by its hash. The
text of a card is everything the card says, with every value, reference and note of the parameters it names. A card is
signed while somebody signed its text of today: an edit of the card or of a parameter makes it pending again, and going
back to a signed text makes it signed again. Seals are those of the approvals of segments (configs/approvals.py): they
find a slip and a quiet edit; a list that was cut off, or sealed anew, is found by the history of the repository.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from configs.approvals import FIRST_SEAL, refuse_unreadable, seal_of
from configs.cards import Parameter, RuleCard
from configs.errors import Problem
from configs.section import Section
from configs.spelling import normalize

FILE = "policy/signatures.jsonl"
KEPT = "policy/signed"
_NAMED = re.compile(r"\{([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)\}")


class CardSignature(Section):
    """One reviewer's signature under one text of one card. `text` is its hash, `role` what the reviewer signs as."""

    card: str = Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,30}$")
    text: str = Field(pattern=r"^[0-9a-f]{64}$")
    by: str
    role: str
    on: date
    reference: str | None = None
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _names_a_person(self) -> CardSignature:
        refuse_unreadable(by=self.by, role=self.role, reference=self.reference)
        if len(normalize(self.role).replace("_", "")) < 2:
            raise ValueError("role: expected what the person signs as, for example counsel-eu")
        return self


def card_text(card: RuleCard, parameters: Mapping[str, Parameter]) -> str:
    """Everything that a signature is about, as canonical JSON: the card, and every parameter that it names."""
    texts = (card.applies_when, card.unless_surely or "")
    named = {name for text in texts for name in _NAMED.findall(text)}
    named |= {*card.relies_on, *((card.within,) if card.within else ())}
    content = {
        "card": card.model_dump(mode="json", by_alias=True),
        "parameters": {n: parameters[n].model_dump(mode="json") for n in sorted(named) if n in parameters},
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1, default=str) + "\n"


def text_hash(card: RuleCard, parameters: Mapping[str, Parameter]) -> str:
    """SHA-256 of the text of a card, in hexadecimal."""
    return hashlib.sha256(card_text(card, parameters).encode()).hexdigest()


def read_signatures(folder: Path) -> tuple[tuple[CardSignature, ...], list[Problem]]:
    """The list of a configuration folder, empty without a file, and what is wrong with it."""
    path = folder / FILE
    if not path.is_file():
        return (), []
    found: list[CardSignature] = []
    seal = FIRST_SEAL
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = CardSignature.model_validate_json(line)
        except ValidationError:
            return (), [Problem(FILE, f"line {number}", "expected an entry as `leadwell rules sign` writes it")]
        seal = seal_of(seal, entry)
        if entry.seal != seal:
            expected = "it was changed, or one before it was removed or moved; restore the file from its history"
            return (), [Problem(FILE, f"line {number}", expected)]
        found.append(entry)
    return tuple(found), []


def signed_by(
    card: RuleCard, parameters: Mapping[str, Parameter], signatures: Iterable[CardSignature]
) -> list[CardSignature]:
    """The signatures under today's text of a card, oldest first; none while it is pending."""
    text = text_hash(card, parameters)
    return [entry for entry in signatures if entry.card == card.id and entry.text == text]


def with_signatures(
    cards: Sequence[RuleCard], parameters: Mapping[str, Parameter], signatures: Sequence[CardSignature]
) -> Iterator[RuleCard]:
    """The same cards, those that somebody signed as they are with that status.

    INVARIANT: only a signature under the very text makes a card signed.
    """
    known = {entry.card for entry in signatures}
    for card in cards:
        signed = card.id in known and signed_by(card, parameters, signatures)
        if signed:
            yield card.model_copy(update={"review": card.review.model_copy(update={"status": "signed"})})
        else:
            yield card
