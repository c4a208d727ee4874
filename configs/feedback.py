"""What sales and the field say of leads: which outcomes accept or reject one, and what a reason points at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "feedback.yaml"
Target = Literal["content", "roles", "definition", "threshold", "stages", "routing", "data", "nothing"]


class RejectionReason(Section):
    """A reason for which sales turns a lead down, its spellings, and what of ours it speaks about."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    says: str = Field(min_length=3)
    points_at: Target
    spelled: tuple[str, ...] = ()


class FeedbackSettings(Section):
    """Outcome kinds that say accepted or rejected, and the reasons that are told apart; others are counted as such."""

    accepted: tuple[str, ...]
    rejected: tuple[str, ...]
    min_answers: int = Field(ge=2)
    min_share: float = Field(gt=0, lt=1)
    reasons: tuple[RejectionReason, ...]

    @cached_property
    def by_spelling(self) -> Mapping[str, int]:
        """The place of the reason that a folded spelling means."""
        return {folded(word): place for place, one in enumerate(self.reasons) for word in (one.id, *one.spelled)}


def folded(text: str) -> str:
    """A reason as it is compared: lower case, one blank between words, underscores and hyphens as blanks."""
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())


def feedback_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the file: outcome kinds nobody knows or that say both, ids and spellings used twice."""
    settings: FeedbackSettings = found["feedback"]
    kinds = found["vocabularies"]["outcome_kind"].values
    for key in ("accepted", "rejected"):
        for kind in getattr(settings, key):
            if kind not in kinds:
                yield Problem(FILE, key, f"expected kinds of outcome, found {kind!r}")
    for kind in set(settings.accepted) & set(settings.rejected):
        yield Problem(FILE, "rejected", f"{kind} is among the accepted already")
    seen: dict[str, str] = {}
    for one in settings.reasons:
        for word in dict.fromkeys(map(folded, (one.id, *one.spelled))):
            if word in seen:
                yield Problem(FILE, f"reasons.{one.id}", f"{word!r} means {seen[word]} already")
            seen[word] = one.id
