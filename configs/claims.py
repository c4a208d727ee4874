"""What content claims, and who must have signed it: by kind of claim and, where that asks for more, by indication."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Literal

from pydantic import Field

from configs.section import Section

FILE = "claims.yaml"
ClaimKind = Literal["efficacy", "safety", "comparison", "economic", "use", "operational"]
Signatory = Literal["medical", "regulatory", "legal", "safety", "health_economics", "quality"]


class SignOff(Section):
    """A named person's yes to one claim, in one office, from a day until the day on which it runs out."""

    role: Signatory
    by: str = Field(min_length=2)
    on: date
    expires_on: date


class Claim(Section):
    """One thing that content says: the id of its text, what kind it is, what it rests on, and who signed it."""

    text_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    kind: ClaimKind
    indication: str | None = None
    references: tuple[str, ...] = ()
    safety_statement: str | None = None
    sign_offs: tuple[SignOff, ...] = ()


class SignOffRule(Section):
    """What claims of a kind need; with `indication`, what those about it need besides. Rules add up."""

    kind: ClaimKind
    indication: str | None = None
    sign_offs: tuple[Signatory, ...] = Field(min_length=1)
    references: int = Field(default=1, ge=0)
    safety_statement: bool = False


class ClaimRules(Section):
    """The rules of `claims.yaml`, and the questions that every review of an asset answers with yes."""

    rules: tuple[SignOffRule, ...] = ()
    checklist: tuple[str, ...] = ()

    def missing(self, claim: Claim, on: date) -> list[str]:
        """What a claim lacks on a day, in words; nothing where it may be made. A kind without a rule may not."""
        rules = [rule for rule in self.rules if rule.kind == claim.kind and rule.indication in (None, claim.indication)]
        if not rules:
            return [f"no rule of {FILE} says who signs a claim of kind {claim.kind}"]
        found = []
        references = max(rule.references for rule in rules)
        if len(claim.references) < references:
            found.append(f"{len(claim.references)} of {references} references")
        if any(rule.safety_statement for rule in rules) and not claim.safety_statement:
            found.append("no safety statement")
        for role in dict.fromkeys(role for rule in rules for role in rule.sign_offs):
            given = [one for one in claim.sign_offs if one.role == role]
            if not given:
                found.append(f"no sign-off by {role.replace('_', ' ')}")
            elif not any(one.on <= on < one.expires_on for one in given):
                word = "begins later" if all(one.on > on for one in given) else "has run out"
                found.append(f"the sign-off by {role.replace('_', ' ')} {word}")
        return found

    def unanswered(self, answers: Mapping[str, bool]) -> Iterator[str]:
        """Questions of the checklist that are not answered with yes."""
        yield from (question for question in self.checklist if answers.get(question) is not True)

    def signed(self, claims: tuple[Claim, ...] | None, checklist: Mapping[str, bool] | None, on: date) -> bool | None:
        """Whether every claim may be made on a day and the review answered its checklist; None where not supplied."""
        if claims is not None and any(self.missing(claim, on) for claim in claims):
            return False
        if checklist is not None and any(True for _ in self.unanswered(checklist)):
            return False
        return None if claims is None or (checklist is None and self.checklist) else True
