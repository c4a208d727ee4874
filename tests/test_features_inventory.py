"""Asset facts: what is not supplied is unknown, what runs out runs out on its day, and registers decide on markets."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import numpy as np
import pytest

from configs.claims import Claim, ClaimRules, SignOff, SignOffRule
from configs.content import Asset, AssetApproval, Footer
from configs.products import Product
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import ASSET_FACTS, AUTHORISED, MATCHES, Inventory
from features.records import Lead
from features.tables import NO, YES
from features.view import ViewRules, view_at

ON = date(2026, 6, 30)
DAY = (ON - date(1970, 1, 1)).days


@cache
def shipped() -> Settings:
    return load_settings()


def asset(**own: Any) -> Asset:
    given = {
        "asset_id": "a", "title": "t", "kind": "guide", "intent": "promotional", "layer": "education",
        "product": "oncology_rx", "indication": "cancer", "audiences": ("hcp",), "markets": ("US",),
        "channels": ("email",),
    }  # fmt: skip
    return Asset.model_validate(given | own)


def signed(role: str = "medical", on: date = date(2026, 1, 1), until: date = date(2027, 1, 1)) -> SignOff:
    return SignOff(role=role, by="a person", on=on, expires_on=until)


def claim(**own: Any) -> Claim:
    return Claim.model_validate(
        {"text_id": "C-1", "kind": "use", "references": ("R-1",), "sign_offs": (signed(),)} | own
    )


RULES = ClaimRules(rules=(SignOffRule(kind="use", sign_offs=("medical",)),), checklist=("fits_label",))


def facts(one: Asset, rules: ClaimRules | None = RULES, register: Any = None, day: int = DAY) -> dict[str, int]:
    inventory = Inventory.of([one], shipped().vocabularies, rules=rules, register=register)
    found = inventory.facts_on(day)
    assert found[1:, -1].tolist() == [0] * (len(ASSET_FACTS) - 1), "nothing is known of a message without an asset"
    return dict(zip(ASSET_FACTS, found[:, 0].tolist(), strict=True))


def test_what_an_asset_does_not_say_is_unknown_and_not_no() -> None:
    found = facts(asset())
    for name in ("asset_footer", "asset_notice", "asset_value_transfer", "asset_reveals_condition",
                 "asset_refill_reminder", "asset_claims_signed", "asset_call_to_action"):  # fmt: skip
        assert found[name] == 0, name
    assert found["asset_filed"] == NO


def test_a_footer_needs_all_three_parts() -> None:
    parts = {"unsubscribe_link": True, "postal_address": True, "honest_header": True}
    assert facts(asset(footer=parts))["asset_footer"] == YES
    for left in parts:
        assert facts(asset(footer=Footer(**(parts | {left: False}))))["asset_footer"] == NO


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    ("field", "fact"),
    [
        ("source_notice", "asset_notice"),
        ("value_transfer", "asset_value_transfer"),
        ("reveals_condition", "asset_reveals_condition"),
        ("refill_reminder", "asset_refill_reminder"),
    ],
)
def test_yes_is_yes_and_no_is_no(field: str, fact: str, value: bool) -> None:
    assert facts(asset(**{field: value}))[fact] == (YES if value else NO)


def test_content_counts_as_filed_from_the_day_of_filing() -> None:
    one = asset(filed_on=ON)
    assert [facts(one, day=DAY + shift)["asset_filed"] for shift in (-1, 0, 1)] == [NO, YES, YES]


def test_an_approval_counts_from_the_later_of_its_two_days() -> None:
    given = {"by": "board", "on": date(2026, 6, 1), "expires_on": date(2026, 8, 1), "reference": "R"}
    words = shipped().vocabularies["asset_status"]

    def status(approval: AssetApproval, on: date) -> Any:
        return words.value(facts(asset(approval=approval), day=(on - date(1970, 1, 1)).days)["asset_status"])

    later = AssetApproval(**given, effective_from=date(2026, 7, 1))
    assert [status(later, date(2026, 6, 30)), status(later, date(2026, 7, 1))] == ["draft", "approved"]
    # It cannot count before it was given.
    earlier = AssetApproval(**given, effective_from=date(2026, 5, 1))
    assert [status(earlier, date(2026, 5, 31)), status(earlier, date(2026, 6, 1))] == ["draft", "approved"]
    assert [status(later, date(2026, 7, 31)), status(later, date(2026, 8, 1))] == ["approved", "expired"]


ANSWERED = {"fits_label": True}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"claims": (), "checklist": ANSWERED}, YES),
        ({"claims": (claim(),), "checklist": ANSWERED}, YES),
        ({"claims": (claim(),), "checklist": None}, 0),
        ({"claims": None, "checklist": ANSWERED}, 0),
        ({"claims": (claim(),), "checklist": {"fits_label": False}}, NO),
        ({"claims": (claim(),), "checklist": {}}, NO),
        ({"claims": (claim(references=()),), "checklist": ANSWERED}, NO),
        ({"claims": (claim(sign_offs=()),), "checklist": ANSWERED}, NO),
        ({"claims": (claim(sign_offs=(signed("legal"),)),), "checklist": ANSWERED}, NO),
        ({"claims": (claim(kind="economic"),), "checklist": ANSWERED}, NO),
        ({"claims": (claim(), claim(sign_offs=())), "checklist": ANSWERED}, NO),
        # One that is surely wrong is wrong, whatever else is not known.
        ({"claims": (claim(sign_offs=()),), "checklist": None}, NO),
    ],
)
def test_claims_are_signed_only_where_each_has_what_its_kind_needs(own: dict[str, Any], expected: int) -> None:
    assert facts(asset(**own))["asset_claims_signed"] == expected


def test_a_sign_off_counts_from_its_day_until_the_day_it_runs_out() -> None:
    one = asset(claims=(claim(sign_offs=(signed(on=ON, until=date(2026, 7, 2)),)),), checklist=ANSWERED)
    assert [facts(one, day=DAY + shift)["asset_claims_signed"] for shift in (-1, 0, 1, 2)] == [NO, YES, YES, NO]


def test_a_claim_about_an_indication_needs_the_sign_offs_of_its_kind_and_of_the_indication() -> None:
    more = SignOffRule(kind="use", indication="cancer", sign_offs=("safety",), references=2, safety_statement=True)
    rules = ClaimRules(rules=(*RULES.rules, more))
    assert rules.missing(claim(), ON) == []
    assert rules.missing(claim(indication="diabetes"), ON) == []
    assert rules.missing(claim(indication="cancer"), ON) == [
        "1 of 2 references", "no safety statement", "no sign-off by safety"
    ]  # fmt: skip
    whole = claim(
        indication="cancer", references=("R-1", "R-2"), safety_statement="S-1", sign_offs=(signed(), signed("safety"))
    )
    assert rules.missing(whole, ON) == []


def test_without_the_rules_nobody_knows_whether_claims_are_signed() -> None:
    assert facts(asset(claims=(), checklist=ANSWERED), rules=None)["asset_claims_signed"] == 0


def product(**own: Any) -> Product:
    given = {"says": "a medicine", "prescription": True, "authorisations": ()}
    return Product.model_validate(given | own)


def authorised(one: Asset, register: Any, market: str, day: int = DAY) -> int:
    inventory = Inventory.of([one], shipped().vocabularies, register=register)
    table = inventory.authorised_on(day)
    assert not table[-1].any() and not table[:, 0].any(), "without an asset or a market nothing is known"
    return int(table[0, shipped().vocabularies["jurisdiction"].code(market)])


IN_US = {"indications": ["cancer"], "markets": ["US"], "from": date(2026, 1, 1), "until": date(2026, 7, 1),
         "reference": "NDA"}  # fmt: skip


def test_a_product_is_authorised_for_its_indications_in_its_markets_until_the_day_it_is_not() -> None:
    register = {"oncology_rx": product(authorisations=[IN_US])}
    assert authorised(asset(), register, "US") == YES
    assert authorised(asset(), register, "DE") == NO
    assert authorised(asset(), register, "US", DAY + 1) == NO
    assert authorised(asset(indication="diabetes"), register, "US") == NO
    assert authorised(asset(indication=None), register, "US") == YES


def test_a_claim_about_an_indication_that_is_not_on_the_label_is_not_authorised() -> None:
    register = {"oncology_rx": product(authorisations=[IN_US])}
    assert authorised(asset(claims=(claim(indication="cancer"),)), register, "US") == YES
    assert authorised(asset(claims=(claim(indication="diabetes"),)), register, "US") == NO


def test_general_clearance_covers_no_certain_indication() -> None:
    register = {"oncology_rx": product(authorisations=[IN_US | {"indications": []}])}
    assert authorised(asset(indication=None), register, "US") == YES
    assert authorised(asset(), register, "US") == NO


def test_a_product_outside_the_register_is_unknown_and_what_names_none_promotes_none() -> None:
    assert authorised(asset(), {}, "US") == 0
    assert authorised(asset(), None, "US") == 0
    assert authorised(asset(product=None), {}, "US") == YES
    assert authorised(asset(), {"oncology_rx": product(regulated=False)}, "BR") == YES


@pytest.mark.parametrize(
    ("says", "register", "expected"),
    [
        (True, {"oncology_rx": product(prescription=False)}, YES),
        (False, {"oncology_rx": product()}, YES),
        (False, {"oncology_rx": product(prescription=False)}, NO),
        (False, {}, 0),
        (False, None, NO),
    ],
)
def test_prescription_is_what_the_asset_or_the_register_says_whichever_is_stricter(
    says: bool, register: Any, expected: int
) -> None:
    assert facts(asset(prescription=says), register=register)["asset_prescription"] == expected


def test_the_facts_of_a_lead_say_what_the_register_says_of_its_market() -> None:
    settings = shipped()
    inventory, builder = Inventory.of_settings(settings), FactBuilder.of(settings)
    at = datetime(2026, 6, 30, tzinfo=UTC)
    people = [
        Lead(lead_id=str(n), country=country, recorded_at=at, created_at=at)
        for n, country in enumerate(("US", "CA", "DE", None))
    ]
    tables = encode_records(people, vocabularies=settings.vocabularies, asset_ids=[a.asset_id for a in settings.assets])
    found = facts_of(view_at(tables, at, ViewRules.of(settings)), builder, inventory)
    own = [one.asset_id for one in settings.assets].index("oncology_rx_evidence")
    assert MATCHES[AUTHORISED] == "asset_authorised"
    assert found.columns["asset_authorised"][:, own, 0].tolist() == [YES, NO, YES, 0]
    assert not found.columns["asset_authorised"][:, -1, 0].any()


def test_what_is_remembered_of_a_day_cannot_be_written() -> None:
    inventory = Inventory.of_settings(shipped())
    with pytest.raises(ValueError, match="read-only"):
        inventory.authorised_on(DAY)[0, 0] = YES
    again = inventory.authorised_on(DAY)
    assert again is inventory.authorised_on(DAY)
    assert np.array_equal(again, Inventory.of_settings(shipped()).authorised_on(DAY))


def test_every_shipped_asset_that_is_approved_may_make_its_claims() -> None:
    settings = shipped()
    inventory = Inventory.of_settings(settings)
    found = dict(zip(ASSET_FACTS, inventory.facts_on(DAY)[:, :-1], strict=True))
    approved = found["asset_status"] == settings.vocabularies["asset_status"].code("approved")
    assert approved.sum() >= 19
    assert (found["asset_claims_signed"][approved] == YES).all()
    assert (found["asset_claims_signed"][~approved] == NO).all()
