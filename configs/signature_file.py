"""Signing cards on disk: an entry is added as a whole or not at all, and every earlier byte stays as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from configs.approval_file import alone
from configs.approvals import FIRST_SEAL, same_person, seal_of
from configs.errors import ConfigInvalid, InputInvalid
from configs.settings import Settings, load_settings
from configs.signatures import (
    FILE,
    KEPT,
    CardSignature,
    card_text,
    read_signatures,
    signed_by,
    text_hash,
    with_signatures,
)

Build = Callable[[Settings, str, str], CardSignature]


def sign_cards(folder: Path, ids: Sequence[str], build: Build) -> tuple[Settings, list[CardSignature]]:
    """Sign the texts that cards have now; returns the settings after it, and the new entries.

    `build` makes the entry for (settings, card id, hash of its text); its seal is added here. What is signed is kept
    under the hash before the entry is written, so that nothing in the list is without its text.

    Raises:
        InputInvalid: no card has this id, the same person signed this text before, or the day goes back.
        ConfigInvalid: the folder does not load, or a line of the list does not fit.
    """
    with alone(folder):
        settings = load_settings(folder)
        before, problems = read_signatures(folder)
        if problems:
            raise ConfigInvalid(problems)
        cards = {card.id: card for card in settings.rules}
        added: list[CardSignature] = []
        last = before[-1].seal if before else FIRST_SEAL
        for card_id in ids:
            if card_id not in cards:
                raise InputInvalid("CARD", f"no card is named {card_id}; `leadwell rules check` lists what is pending")
            card = cards[card_id]
            entry = build(settings, card_id, text_hash(card, settings.parameters))
            for other in signed_by(card, settings.parameters, (*before, *added)):
                if same_person(other.by, entry.by):
                    raise InputInvalid("--by", f"{card_id} as it is was signed by them on {other.on} already")
            latest = (*before, *added)[-1:]
            if latest and entry.on < latest[0].on:
                raise InputInvalid("--on", f"expected a day not before {latest[0].on}, that of the last signature")
            last = seal_of(last, entry)
            added.append(entry.model_copy(update={"seal": last}))
        for entry in added:
            _keep(folder, entry, card_text(cards[entry.card], settings.parameters))
        _append(folder / FILE, added)
    signatures = (*before, *added)
    rules = tuple(with_signatures(settings.rules, settings.parameters, signatures))
    return settings.model_copy(update={"rules": rules, "signatures": signatures}), added


def _append(path: Path, added: Sequence[CardSignature]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(entry.model_dump_json(exclude_none=True) + "\n" for entry in added)
    begun = path.stat().st_size if path.is_file() else 0
    with path.open("a", encoding="utf-8", newline="\n") as file:
        try:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            # INVARIANT: a disk that is full leaves the list as it was.
            os.truncate(path, begun)
            raise


def _keep(folder: Path, entry: CardSignature, text: str) -> None:
    path = folder / KEPT / f"{entry.card}-{entry.text[:12]}.json"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
