"""The register of C-01 to C-23: what each says, how it is shown, and which test holds what a solver cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

How = Literal["proved", "tested"]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise of the compliance part. `tests` are the files that hold it where it is not proved, or not only."""

    id: str
    words: str
    how: How
    tests: tuple[str, ...] = ()


_ALL = (
    Invariant("C-01", "allowed => surely not opted out", "proved"),
    Invariant("C-02", "unknown never permits: allowed on partial facts => allowed on every completion", "proved"),
    Invariant("C-03", "learning a restrictive fact never widens", "proved"),
    Invariant("C-04", "e-mail or text to the EU => consent or soft opt-in", "proved"),
    Invariant("C-05", "text to the United States => prior express written consent", "proved"),
    Invariant("C-06", "patients and caregivers electronically => granted consent, everywhere", "proved"),
    Invariant("C-07", "law or audience unknown => nothing", "proved"),
    Invariant("C-08", "prescription promotion in the EU, UK or CH => surely a professional", "proved"),
    Invariant("C-09", "content is approved and surely fits", "proved", ("tests/test_features_inventory.py",)),
    Invariant("C-10", "open off-label or adverse event => no promotion, and a re-route", "proved"),
    Invariant("C-11", "health source without authorization => no channel and no feature", "proved",
              ("tests/test_policy_gates.py",)),
    Invariant("C-12", "meeting booked => nothing but service", "proved"),
    Invariant("C-13", "a batch never plans more than the cap", "tested", ("tests/test_store_caps.py",)),
    Invariant("C-14", "every denial has a reason with a card, every allow a permit", "proved",
              ("tests/test_policy_proofs_laws.py",)),
    Invariant("C-15", "order, duplication and file splitting change nothing", "tested",
              ("tests/test_policy_proofs_laws.py",)),
    Invariant("C-16", "closure, columns, SQL and z3 agree bit for bit", "proved",
              ("tests/test_policy_forms.py", "tests/test_policy_proofs_terms.py")),
    Invariant("C-17", "a change that only tightens allows nothing new", "proved",
              ("tests/test_policy_difference.py",)),
    Invariant("C-18", "not vacuous: every channel is allowed for some lead, every rule can fire", "proved"),
    Invariant("C-19", "no rule sees a score", "proved", ("tests/test_policy_proofs_laws.py",)),
    Invariant("C-20", "no forbidden column is reachable", "proved",
              ("tests/test_features_noninterference.py", "tests/test_policy_gates.py")),
    Invariant("C-21", "same facts, book and day => same bytes", "tested", ("tests/test_policy_proofs_laws.py",)),
    Invariant("C-22", "as many audit records as answers, and each replays", "tested",
              ("tests/test_policy_audit_replay.py",)),
    Invariant("C-23", "on every day exactly one value of a parameter and one book", "tested",
              ("tests/test_policy_proofs_laws.py",)),
)  # fmt: skip
INVARIANTS: Mapping[str, Invariant] = {invariant.id: invariant for invariant in _ALL}
# The default cards stated once more, and leads that must stay contactable: see policy/proofs/promises.py.
RESTATED: Mapping[str, str] = {
    "S-PERMITS": "legal grounds by channel",
    "S-PROFESSIONALS": "verified, licensed, registered",
    "S-FEATURES": "what becomes a feature, and what sales sees",
    "S-STOPS": "stops that hold everywhere",
    "S-CAPS": "caps, requests for less, repetition",
    "S-CONTENT": "education apart from promotion",
    "S-CALLS": "calls and texts",
    "S-CONSENT": "consent by country",
    "S-SCORING": "who may be scored",
    "L-OPEN": "who must stay contactable",
}
