"""What a look for leakage can find: each finding has an id, a place, its evidence and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["fails", "warns"]
FAILS: Level = "fails"
WARNS: Level = "warns"

# What each detector looks for, in words: what the page, the command and the card say.
DETECTORS: Mapping[str, str] = {
    "TARGET_IN_DISGUISE": "a column that alone tells more of the outcome than anything known before it does",
    "GAP_TELLS_OUTCOME": "a column whose being filled in, whatever it says, tells the outcome",
    "FILLED_AFTERWARDS": "a column that old rows have and new rows do not have yet",
    "NAMED_LIKE_AFTERWARDS": "a column that is declared known before the outcome and named like one that sales write",
    "LATER_COPY": "two columns of the same words, one of which is a later state of the other",
    "RATE_OF_OUTCOME": "a column that is its account's share or number of outcomes, the lead's own among them",
    "ID_LIKE": "a column that names rows instead of describing them",
    "NAMES_ACCOUNTS": "a column that tells the outcome of a row by naming its account",
    "FEATURE_KNEW_LATER": "a feature that is another one when computed without what was recorded after its snapshot",
    "ROLL_UP_OF_OWN": "an account's roll-up that contains what the lead did itself",
    "EVENT_OF_OUTCOME": "events that are dated a fixed time from an outcome of the same lead: made from it",
    "EVENT_BEFORE_OUTCOME": "a kind of event that an outcome nearly always follows: written back once it was known",
    "OUTCOME_KNOWN_BEFORE": "outcomes that were on record at the snapshot that is to predict them",
    "RECORD_OVERWRITTEN": "rows that tell of a time after the one they say they were recorded at",
    "RECORDED_EARLY": "events recorded before they happened",
    "ORDER_TELLS_OUTCOME": "rows that lie in the order of their outcome",
    "ACCOUNT_ON_BOTH_SIDES": "an account or a lead whose rows both train and judge",
    "SAME_PERSON_TWICE": "leads on both sides of the split with one and the same history to the microsecond",
    "COPIES_ON_BOTH_SIDES": "rows that judge whose copies trained, and whose outcome the copies tell",
    "JOINTLY_TOO_GOOD": "a model that is better on later data than honest columns allow",
}


@dataclass(frozen=True, slots=True)
class Leak:
    """One finding: `evidence` says what was seen, `numbers` are the figures in it, `do` is what to do about it.

    `column` is the export's own column where there is one, else the feature or the kind of event; empty where the
    finding is about rows. No value of a person is in it.
    """

    id: str
    level: Level
    table: str
    column: str
    evidence: str
    do: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Table and column, or the table alone."""
        return f"{self.table}, column {self.column}" if self.column else self.table

    def __str__(self) -> str:
        return f"{self.place}: {self.id}: {self.evidence}; {self.do}"


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Everything a look for leakage found, failures first, and which detectors looked."""

    leaks: tuple[Leak, ...] = ()
    looked: tuple[str, ...] = ()

    @classmethod
    def of(cls, leaks: list[Leak], looked: tuple[str, ...]) -> LeakReport:
        """A report in order: what fails before what warns, then by detector and place."""
        order = list(DETECTORS)
        found = sorted(leaks, key=lambda leak: (leak.level != FAILS, order.index(leak.id), leak.table, leak.column))
        return cls(tuple(found), tuple(name for name in order if name in looked))

    @property
    def failures(self) -> tuple[Leak, ...]:
        """What stops training."""
        return tuple(leak for leak in self.leaks if leak.level == FAILS)

    @property
    def warnings(self) -> tuple[Leak, ...]:
        """What a person should look at."""
        return tuple(leak for leak in self.leaks if leak.level == WARNS)

    def and_then(self, other: LeakReport) -> LeakReport:
        """Both reports as one."""
        return LeakReport.of([*self.leaks, *other.leaks], (*self.looked, *other.looked))

    def record(self) -> dict[str, Any]:
        """What a bundle keeps."""
        return {"looked": list(self.looked), "found": [asdict(leak) for leak in self.leaks]}


NOTHING_FOUND = LeakReport()
