"""What an R4 Consent means for marketing: a stop, rarely a grant, or nothing, with the reason.

R4 Consent is about a patient's privacy, treatment, research or advance directives; it has no words of its own for the
marketing consent of a professional. So we map from it and do not adopt it: a grant is only what names healthcare
marketing, is in force, limits nothing but its time and denies nothing; every denial is a stop for promotion; and an
opt-in for anything else says nothing. Where the resource can be read two ways, the stricter reading holds.

Sources: hl7.org/fhir/R4/consent.html (policyRule is the base, provisions are exceptions to it, the root has no type),
v3-ActReason HMARKT (healthcare marketing), v3-ActCode OPTIN and OPTOUT families.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

# v3-ActReason: uses of information that are promotion in our vocabulary of purposes.
MARKETING = frozenset({"HMARKT"})
_OPT_IN = frozenset({"OPTIN", "OPTINR"})
_OPT_OUT = frozenset({"OPTOUT", "OPTOUTE"})
_NOT_IN_FORCE = frozenset({"draft", "proposed"})
# What a provision can be limited to, besides its time and its purpose.
_LIMITS = ("actor", "action", "securityLabel", "class", "code", "data", "dataPeriod")


class Meaning(NamedTuple):
    """Status in our vocabulary ("" says nothing), the purpose ("promotion", or "" for any), and why in plain words."""

    status: str
    purpose: str
    why: str


def meaning_of(body: dict[str, Any]) -> Meaning:
    """Read a Consent.

    INVARIANT: only an active Consent that names marketing and denies nothing is ever granted.
    """
    status = str(body.get("status"))
    marketing = _names_marketing(body)
    purpose = "promotion" if marketing else ""
    provisions = list(_provisions(body.get("provision")))
    denied = _denial(body, provisions)
    if status in _NOT_IN_FORCE:
        return Meaning("", "", f"status {status}: not in force")
    if status == "entered-in-error":
        if marketing:
            return Meaning("none", purpose, "entered in error: what it seemed to permit is not permitted")
        return Meaning("", "", "entered in error")
    if status == "rejected":
        return Meaning("withdrawn", purpose, "the person rejected it")
    if status == "inactive":
        if marketing:
            return Meaning("withdrawn", purpose, "no longer in force: a marketing permission has ended")
        return Meaning("", "", "no longer in force, and not about marketing")
    if denied:
        return Meaning("withdrawn", purpose, denied)
    if status != "active":
        if marketing:
            return Meaning("none", purpose, "a status that is not one of FHIR's: never a grant")
        return Meaning("", "", "a status that is not one of FHIR's")
    if not marketing:
        return Meaning("", "", "permits something that is not marketing: no grant")
    return _granting(body, provisions)


def _granting(body: dict[str, Any], provisions: list[dict[str, Any]]) -> Meaning:
    """An active Consent about marketing in which nothing denies."""
    if any(part.get("modifierExtension") for part in (body, *provisions)) or body.get("implicitRules"):
        # FHIR: what a modifier extension says must not be ignored, and we do not know what it says.
        return Meaning("none", "promotion", "has a modifierExtension or implicitRules: not understood, so no grant")
    checks = [check for check in _listed(body.get("verification")) if isinstance(check, dict)]
    if checks and not any(check.get("verified") is True for check in checks):
        return Meaning("none", "promotion", "the person has not verified it")
    limits = sorted({limit for provision in provisions for limit in _LIMITS if provision.get(limit)})
    if limits:
        return Meaning("none", "promotion", f"permits marketing only for some {', '.join(limits)}: not a grant to us")
    permits = any(provision.get("type") == "permit" for provision in provisions)
    if not permits and not _codes(body.get("policyRule")) & _OPT_IN:
        return Meaning("none", "promotion", "names marketing, but neither permits nor denies")
    return Meaning("granted", "promotion", "permits healthcare marketing")


def _denial(body: dict[str, Any], provisions: list[dict[str, Any]]) -> str:
    """Why the Consent denies something, "" where it does not."""
    if any(provision.get("type") == "deny" for provision in provisions):
        return "a provision denies"
    policy = _codes(body.get("policyRule"))
    if policy & _OPT_OUT:
        return "the policy is opt-out"
    root = provisions[0] if provisions else {}
    permits = any(provision.get("type") == "permit" for provision in provisions)
    stated = [part for part in (*_LIMITS, "period") if root.get(part)]
    if policy & _OPT_IN and not permits and stated and not _names_marketing(body):
        # HL7's own examples `basic` (authorise) and `notTime` (withhold) differ in nothing but their narrative.
        return f"an exception to an opt-in without a type ({', '.join(stated)}): read as a denial"
    odd = [provision.get("type") for provision in provisions if provision.get("type") not in (None, "permit", "deny")]
    return "a provision with a type that is not one of FHIR's: read as a denial" if odd else ""


def _provisions(root: Any) -> Iterator[dict[str, Any]]:
    """The root provision and all below it, outermost first."""
    level = [root]
    while level:
        found = [provision for provision in level if isinstance(provision, dict)]
        yield from found
        level = [inner for provision in found for inner in _listed(provision.get("provision"))]


def _names_marketing(body: dict[str, Any]) -> bool:
    named = _codes(body.get("scope"))
    for category in _listed(body.get("category")):
        named |= _codes(category)
    for provision in _provisions(body.get("provision")):
        for purpose in _listed(provision.get("purpose")):
            named |= _codes({"coding": [purpose]})
    return bool(named & MARKETING)


def _codes(concept: Any) -> set[str]:
    codings = _listed(concept.get("coding")) if isinstance(concept, dict) else []
    return {str(coding.get("code")) for coding in codings if isinstance(coding, dict) and coding.get("code")}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
