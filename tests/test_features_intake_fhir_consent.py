"""What an R4 Consent means: a stop where it denies anything, a grant only for marketing, else nothing, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.intake.exports.fhir_consent import Meaning, meaning_of

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "fhir_r4_examples"
ACTIVE = {"resourceType": "Consent", "status": "active"}
OPT_IN = {"policyRule": {"coding": [{"code": "OPTIN"}]}}
OPT_OUT = {"policyRule": {"coding": [{"code": "OPTOUT"}]}}
HMARKT = {"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HMARKT"}]}
PATIENT_PRIVACY = {"scope": {"coding": [{"code": "patient-privacy"}]}}


def _meaning(*parts: dict[str, Any]) -> tuple[str, str]:
    found = meaning_of({key: value for part in (ACTIVE, *parts) for key, value in part.items()})
    return found.status, found.purpose


def test_an_active_opt_in_that_names_marketing_is_a_grant() -> None:
    assert _meaning(OPT_IN, {"provision": HMARKT}) == ("granted", "promotion")
    assert _meaning({"provision": {"provision": [{"type": "permit", **HMARKT}]}}) == ("granted", "promotion")
    assert _meaning(OPT_IN, {"category": [{"coding": [{"code": "HMARKT"}]}]}) == ("granted", "promotion")
    lasting = {"provision": {"period": {"start": "2026-01-01", "end": "2026-12-31"}, **HMARKT}}
    assert _meaning(OPT_IN, lasting) == ("granted", "promotion")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("draft", ("", "")),
        ("proposed", ("", "")),
        ("rejected", ("withdrawn", "promotion")),
        ("inactive", ("withdrawn", "promotion")),
        ("entered-in-error", ("none", "promotion")),
        ("Active", ("none", "promotion")),
        (None, ("none", "promotion")),
        (["active"], ("none", "promotion")),
    ],
)
def test_a_marketing_permission_that_is_not_active_never_permits(status: Any, expected: tuple[str, str]) -> None:
    assert _meaning(OPT_IN, {"provision": HMARKT, "status": status}) == expected


@pytest.mark.parametrize("scope", ["patient-privacy", "treatment", "research", "adr"])
def test_an_opt_in_for_anything_else_says_nothing(scope: str) -> None:
    named = {"scope": {"coding": [{"code": scope}]}}
    assert _meaning(OPT_IN, named) == ("", "")
    assert _meaning(OPT_IN, named, {"provision": {"provision": [{"type": "permit", "action": [{}]}]}}) == ("", "")


def test_a_denial_in_the_deepest_provision_outweighs_every_permission_above() -> None:
    deepest: dict[str, Any] = {"type": "deny"}
    for _ in range(5):
        deepest = {"type": "permit", **HMARKT, "provision": [{"type": "permit"}, deepest]}
    assert _meaning(OPT_IN, {"provision": deepest}) == ("withdrawn", "promotion")


def test_an_opt_out_policy_is_a_stop_whatever_its_exceptions_permit() -> None:
    assert _meaning(OPT_OUT, PATIENT_PRIVACY) == ("withdrawn", "")
    assert _meaning(OPT_OUT, {"provision": {"provision": [{"type": "permit", **HMARKT}]}}) == ("withdrawn", "promotion")


def test_a_permission_for_some_only_is_no_grant_to_us() -> None:
    named = {"provision": {**HMARKT, "actor": [{"reference": {"reference": "Organization/1"}}]}}
    assert _meaning(OPT_IN, named) == ("none", "promotion")


def test_naming_marketing_without_permitting_it_is_no_grant() -> None:
    assert _meaning({"provision": HMARKT}) == ("none", "promotion")


@pytest.mark.parametrize(
    "odd",
    [
        {"modifierExtension": [{"url": "http://x/not"}], "provision": HMARKT},
        {"provision": {**HMARKT, "provision": [{"type": "permit", "modifierExtension": [{"url": "http://x/not"}]}]}},
        {"implicitRules": "http://x/rules", "provision": HMARKT},
        {"verification": [{"verified": False}], "provision": HMARKT},
    ],
)
def test_a_permission_that_is_not_fully_understood_or_verified_is_no_grant(odd: dict[str, Any]) -> None:
    assert _meaning(OPT_IN, odd) == ("none", "promotion")
    assert _meaning(OPT_OUT, odd) == ("withdrawn", "promotion")


def test_an_exception_whose_direction_is_not_stated_is_read_as_a_denial() -> None:
    assert _meaning(OPT_IN, PATIENT_PRIVACY, {"provision": {"actor": [{}]}}) == ("withdrawn", "")
    assert _meaning(OPT_IN, PATIENT_PRIVACY, {"provision": {"provision": [{"type": "refuse"}]}}) == ("withdrawn", "")


_CODES = st.sampled_from(["HMARKT", "TREAT", "OPTIN", "OPTOUT", "HRESCH", ""])
_CONCEPTS = st.fixed_dictionaries({"coding": st.lists(st.fixed_dictionaries({"code": _CODES}), max_size=2)})
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
_PROVISIONS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["permit", "deny", "both", 1]),
            "purpose": st.lists(st.fixed_dictionaries({"code": _CODES}), max_size=2) | _LEAVES,
            "actor": st.lists(_LEAVES, max_size=1),
            "period": st.just({"start": "2026"}),
        },
    ),
    lambda inner: (
        st.fixed_dictionaries({"provision": st.lists(inner | _LEAVES, max_size=3)})
        | st.fixed_dictionaries({"type": st.just("permit"), "provision": st.lists(inner, max_size=2)})
    ),
    max_leaves=6,
)
_CONSENTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["active", "inactive", "draft", "rejected", "entered-in-error", "odd", None])},
    optional={
        "policyRule": _CONCEPTS | _LEAVES,
        "scope": _CONCEPTS,
        "category": st.lists(_CONCEPTS, max_size=2) | _LEAVES,
        "provision": _PROVISIONS | _LEAVES,
    },
)


@settings(deadline=None, max_examples=200)
@given(_CONSENTS)
def test_whatever_a_consent_says_a_grant_is_active_names_marketing_and_denies_nothing(body: dict[str, Any]) -> None:
    found = meaning_of(body)
    assert found.why
    if found.status == "granted":
        text = json.dumps(body)
        assert body["status"] == "active"
        assert "HMARKT" in text
        assert '"deny"' not in text
        assert "OPTOUT" not in json.dumps(body.get("policyRule"))


@settings(deadline=None, max_examples=100)
@given(_CONSENTS, st.integers(0, 3))
def test_a_denial_added_anywhere_never_permits_more(body: dict[str, Any], depth: int) -> None:
    denied: dict[str, Any] = {"type": "deny"}
    for _ in range(depth):
        denied = {"provision": [denied]}
    root = body.get("provision")
    inner = [root] if isinstance(root, dict) else []
    assert meaning_of({**body, "provision": {"provision": [*inner, denied]}}).status != "granted"


# What each of HL7's own examples becomes. Their narrative says the same, but for `basic`: it authorises treatment, and
# its data differ in nothing from `notTime`, which withholds.
EXAMPLES = {
    "Emergency": ("withdrawn", "a provision denies"),
    "Out": ("withdrawn", "the policy is opt-out"),
    "basic": ("withdrawn", "an exception to an opt-in without a type (period): read as a denial"),
    "grantor": ("withdrawn", "the policy is opt-out"),
    "notAuthor": ("withdrawn", "an exception to an opt-in without a type (actor): read as a denial"),
    "notOrg": ("withdrawn", "a provision denies"),
    "notThem": ("withdrawn", "an exception to an opt-in without a type (actor, action): read as a denial"),
    "notThis": ("withdrawn", "an exception to an opt-in without a type (data): read as a denial"),
    "notTime": ("withdrawn", "an exception to an opt-in without a type (period): read as a denial"),
    "pkb": ("withdrawn", "the policy is opt-out"),
    "signature": ("", "permits something that is not marketing: no grant"),
    "smartonfhir": ("", "permits something that is not marketing: no grant"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_hl7s_own_example(name: str) -> None:
    path = REAL / f"Consent-consent-example-{name}.json"
    if not path.exists():
        pytest.skip(f"needs {path.name} of HL7's R4 examples in ../shared/data/fhir_r4_examples")
    status, why = EXAMPLES[name]
    assert meaning_of(json.loads(path.read_text(encoding="utf-8"))) == Meaning(status, "", why)
