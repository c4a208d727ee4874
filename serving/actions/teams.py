"""Who takes what is for a person: the teams of a queue, by territory and language, and while they have room."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.content import ActionSettings, Team
from configs.vocabulary import Vocabulary
from serving.kernels import QUEUE_KEYS

Reason = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Taker:
    """The teams that may take a lead, the first first; where none may, why: the fact and what is known of it.

    `open` says that nobody declared who works the queue, so that whoever works it takes everything.
    """

    teams: tuple[Team, ...]
    reason: Reason | None = None
    open: bool = False


@dataclass(frozen=True)
class Teams:
    """The teams of `actions.yaml`, and what was already found for a queue, territory and language."""

    settings: ActionSettings
    languages: tuple[str, ...]
    _found: dict[tuple[int, str | None, int], Taker] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: ActionSettings, language: Vocabulary) -> Teams:
        """Resolve the settings."""
        return cls(settings, language.values)

    def taker(self, key: int, territory: str | None, language: int) -> Taker:
        """Who may take a lead of a queue (a place in QUEUE_KEYS), with its territory and its language's code.

        A lead whose territory is not on record goes to a team of every territory only; one whose language is not on
        record to any, for they can ask.
        """
        place = (key, territory, language)
        found = self._found.get(place)
        if found is None:
            if len(self._found) >= 65_536:
                self._found.clear()
            found = self._found[place] = self._taker(key, territory, language)
        return found

    def _taker(self, key: int, territory: str | None, language: int) -> Taker:
        declared = self.settings.teams.get(self.settings.queues.get(QUEUE_KEYS[key], ""), ())
        if not declared:
            return Taker((), open=True)
        here = [team for team in declared if not team.territories or territory in team.territories]
        if not here:
            return Taker((), ("territory", territory or ""))
        word = self.languages[language - 1] if 0 < language <= len(self.languages) else ""
        fit = tuple(team for team in here if not team.languages or not word or word in team.languages)
        return Taker(fit) if fit else Taker((), ("language", word))
