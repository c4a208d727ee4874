"""Who answers what: one owner for each kind of question, and for each queue that a person works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "ownership.yaml"


class Duty(Section):
    """A kind of question: who answers it, who stands in, within how many hours, and where it is written down.

    `queues` are queues of actions.yaml whose leads or cases it is about, `words` what people call it. `never` says who
    must not answer it, and why that line is drawn.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    asks: str = Field(min_length=5)
    owner: str = Field(min_length=3)
    deputy: str = Field(min_length=3)
    within_hours: int = Field(ge=1, le=8_784)
    where: str = Field(min_length=3)
    queues: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    never: str | None = None


class Ownership(Section):
    """Every duty; without any nobody is named."""

    duties: tuple[Duty, ...] = ()

    def of_queue(self, queue: str) -> Duty | None:
        """Who answers for a queue; None where nobody does."""
        return next((duty for duty in self.duties if queue in duty.queues), None)

    def unanswered(self, queues: Iterable[str]) -> tuple[str, ...]:
        """The queues that nobody answers for, each once."""
        return tuple(queue for queue in sorted(set(queues)) if self.of_queue(queue) is None)

    def about(self, words: str) -> tuple[Duty, ...]:
        """The duties that have all of some words in what they are asked or called; all duties for none."""
        asked = _plain(words).split()
        return tuple(duty for duty in self.duties if all(word in _text(duty) for word in asked))


def _text(duty: Duty) -> str:
    parts: Sequence[str] = (duty.id, duty.asks, duty.owner, *duty.queues, *duty.words)
    return _plain(" ".join(parts))


def _plain(text: str) -> str:
    return text.lower().replace("_", " ").replace("-", " ")


def ownership_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the list: an id used twice, a queue nobody has or two answer for, no deputy."""
    ownership: Ownership = found["ownership"]
    if not ownership.duties or found["actions"] is None:
        return
    queues = set(found["actions"].queues.values())
    seen: set[str] = set()
    answered: dict[str, str] = {}
    for duty in ownership.duties:
        if duty.id in seen:
            yield Problem(FILE, f"duties.{duty.id}", "id already used")
        seen.add(duty.id)
        for queue in duty.queues:
            if queue not in queues:
                yield Problem(FILE, f"duties.{duty.id}.queues", f"expected a queue of actions.yaml, found {queue!r}")
            elif queue in answered:
                yield Problem(FILE, f"duties.{duty.id}.queues", f"{answered[queue]} answers for {queue} already")
            answered[queue] = duty.id
        if duty.owner == duty.deputy:
            yield Problem(FILE, f"duties.{duty.id}.deputy", "expected somebody else than the owner")
