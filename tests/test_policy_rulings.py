"""The laws of the rule engine: forms agree, unknown never permits, an opt-out is final, order means nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import policy.rulings as engine
from configs.errors import ConfigInvalid
from configs.settings import load_settings
from features.blocks import unpacked
from features.evaluate import as_sql
from features.facts import Facts
from policy.book import Book
from policy.gates import may_score
from policy.masks import has
from policy.rulings import Rulings, rule

ON = date(2026, 6, 30)
SETTINGS = load_settings()
BOOK = Book.load(SETTINGS, ON)
CHANNELS = len(BOOK.channels)
EMAIL, SMS, PHONE, VISIT, MAIL, EVENT, ADS = range(CHANNELS)
USED = [name for name, _, _ in BOOK.inputs]


@dataclasses.dataclass(frozen=True)
class Given:
    n: int
    assets: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]

    def having(self, **values: str | int) -> Given:
        columns = dict(self.columns)
        for name, value in values.items():
            columns[name] = np.full_like(columns[name], code(name, value))
        return Given(self.n, self.assets, columns)


def code(fact: str, value: str | int) -> int:
    if value == "unknown":
        return BOOK.domain.unknown(fact)
    return value if isinstance(value, int) else BOOK.domain.code(fact, value)


def shape(fact: str, n: int, assets: int) -> tuple[int, int, int]:
    per = SETTINGS.facts[fact].per
    return (
        1 if per in ("asset", "asset_channel") else n,
        assets if per in ("asset", "lead_asset", "asset_channel") else 1,
        CHANNELS if per in ("channel", "asset_channel") else 1,
    )


def clean(n: int = 1, assets: int = 3, **values: str | int) -> Given:
    """A verified US clinician with nothing against any contact; the last asset is the message without an asset."""
    columns = {}
    for fact in USED:
        declared = SETTINGS.facts[fact]
        kind = np.int32 if declared.type == "int" else np.uint8
        columns[fact] = np.full(shape(fact, n, assets), 1 if declared.type == "yesno" else 0, dtype=kind)
    facts = Given(n, (*(f"asset_{i}" for i in range(assets - 1)), "none"), columns)
    needed = ("feed_fresh", "source_permitted", "notice_given", "state_registered", "segment_approved", "asset_filed",
              "asset_footer", "asset_claims_signed", "asset_authorised")  # fmt: skip
    matches = dict.fromkeys(needed, "yes") | {
        f"asset_{what}_match": "yes" for what in ("audience", "market", "segment", "indication", "channel")
    }
    facts = facts.having(
        jurisdiction="US", audience="hcp", verified_hcp="yes", adult="yes", consent="none", asset_status="approved",
        asset_intent="promotional", asset_layer="education", days_since_meeting=36_500,
        us_state="NY", licence_status="active", asset_call_to_action="learn", **matches,
    ).having(**values)  # fmt: skip
    facts.columns["asset_status"][0, -1, 0] = code("asset_status", "not_needed")
    facts.columns["asset_intent"][0, -1, 0] = 0
    return facts


def random_facts(n: int, assets: int, seed: int, favorable: float) -> Given:
    """Random codes, unknown among them; each is the favorable one with the given chance, so that permits do occur."""
    draw = np.random.default_rng(seed)
    columns = {}
    good = clean(n, assets, consent="granted", consent_kind="express_written", consent_proven="yes").columns
    for fact in USED:
        declared, size = SETTINGS.facts[fact], shape(fact, n, assets)
        if declared.type == "int":
            codes = draw.integers(-1, 12, size).astype(np.int32)
        else:
            codes = draw.integers(0, len(declared.values) + 1, size).astype(np.uint8)
        columns[fact] = np.where(draw.random(size) < favorable, good[fact], codes)
    return Given(n, tuple(str(i) for i in range(assets)), columns)


def both_forms(facts: Given, monkeypatch: pytest.MonkeyPatch) -> tuple[Rulings, Rulings]:
    monkeypatch.setattr(engine, "SMALL", 0)
    columns = rule(BOOK, facts)
    monkeypatch.setattr(engine, "SMALL", facts.n)
    return columns, rule(BOOK, facts)


def test_scalar_and_columns_agree_on_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, favorable in ((1, 0.0), (2, 0.6), (3, 0.99)):
        columns, scalar = both_forms(random_facts(100, 7, seed, favorable), monkeypatch)
        np.testing.assert_array_equal(columns.blocks, scalar.blocks)
        np.testing.assert_array_equal(columns.permits, scalar.permits)
        np.testing.assert_array_equal(columns.permitted, scalar.permitted)
        np.testing.assert_array_equal(columns.no_score, scalar.no_score)
        np.testing.assert_array_equal(columns.permitted, columns.permits.any(axis=-1) & ~columns.blocks.any(axis=-1))
        assert columns.errors == scalar.errors == 0
    assert columns.permitted.any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), assets=st.integers(1, 4), favorable=st.floats(0, 1))
def test_a_lead_is_ruled_alone_as_among_others(seed: int, n: int, assets: int, favorable: float) -> None:
    facts = random_facts(n, assets, seed, favorable)
    many = Given(
        n * 9,
        facts.assets,
        {
            fact: np.concatenate([column] * 9) if SETTINGS.facts[fact].per not in ("asset", "asset_channel") else column
            for fact, column in facts.columns.items()
        },
    )
    few_rulings, many_rulings = rule(BOOK, facts), rule(BOOK, many)
    np.testing.assert_array_equal(few_rulings.blocks, many_rulings.blocks[:n])
    np.testing.assert_array_equal(few_rulings.permits, many_rulings.permits[-n:])


def unpacked_facts(facts: Given) -> dict[str, Any]:
    return {name: unpacked(column, SETTINGS.facts[name].per) for name, column in facts.columns.items()}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), assets=st.integers(1, 9), favorable=st.floats(0, 1))
def test_plain_numbers_of_one_lead_are_ruled_as_its_columns(seed: int, assets: int, favorable: float) -> None:
    facts = random_facts(1, assets, seed, favorable)
    numbers = Facts(1, facts.assets, facts.columns, unpacked_facts(facts))
    plain, columns = rule(BOOK, numbers), rule(BOOK, facts)
    assert plain.errors == 0
    for part in ("blocks", "permits", "permitted", "no_score"):
        np.testing.assert_array_equal(getattr(plain, part), getattr(columns, part), err_msg=part)
    assert plain.explain(0, assets - 1, EMAIL) == columns.explain(0, assets - 1, EMAIL)


def test_plain_numbers_that_cannot_be_read_forbid() -> None:
    facts = clean()
    rulings = rule(BOOK, Facts(1, facts.assets, facts.columns, {**unpacked_facts(facts), "consent": None}))
    assert not rulings.permitted.any()
    assert rulings.rule_ids(0, 0, EMAIL)[0] == "EVALUATION_ERROR"


def test_sql_in_duckdb_is_the_oracle_of_every_rule_and_permit() -> None:
    facts = random_facts(400, 1, 5, 0.4)
    rulings = rule(BOOK, facts)
    spread = {fact: np.broadcast_to(column, (400, 1, CHANNELS)).reshape(-1) for fact, column in facts.columns.items()}
    connection = duckdb.connect()
    table = {f: [BOOK.domain.value(f, int(value)) for value in spread[f]] for f in USED}
    types = pa.schema(
        [("row", pa.int32())] + [(f, pa.int32() if BOOK.domain.is_number(f) else pa.string()) for f in USED]
    )
    connection.register("t", pa.table({"row": range(400 * CHANNELS), **table}, schema=types))
    for group, masks, test in ((BOOK.rules, rulings.blocks, "NOT FALSE"), (BOOK.permits, rulings.permits, "TRUE")):
        texts = ", ".join(f"({as_sql(one.condition, BOOK.domain, ON)}) IS {test}" for one in group)
        answers = np.array(connection.execute(f'SELECT {texts} FROM t ORDER BY "row"').fetchall(), dtype=bool)
        for bit, one in enumerate(group):
            ours = has(masks, bit).reshape(-1)
            covered = np.isin(np.arange(400 * CHANNELS) % CHANNELS, one.channels)
            np.testing.assert_array_equal(ours, answers[:, bit] & covered, err_msg=one.id)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), erase=st.lists(st.sampled_from(USED), min_size=1, max_size=6))
def test_erasing_facts_never_creates_a_permit_or_a_score(seed: int, erase: list[str]) -> None:
    facts = random_facts(16, 3, seed, 0.93)
    known = rule(BOOK, facts)
    erased = rule(BOOK, facts.having(**dict.fromkeys(erase, "unknown")))
    assert not (erased.permitted & ~known.permitted).any()
    assert not (may_score(erased) & ~may_score(known)).any()
    # INVARIANT: what fired because it is sure still fires when less is known.
    assert not (known.blocks & ~erased.blocks).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), favorable=st.floats(0.5, 1), value=st.sampled_from(["yes", "unknown"]))
def test_an_opt_out_or_not_knowing_forbids_every_channel_whatever_else_holds(
    seed: int, favorable: float, value: str
) -> None:
    assert not rule(BOOK, random_facts(12, 4, seed, favorable).having(opt_out=value)).permitted.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), fact=st.sampled_from(["jurisdiction", "audience"]))
def test_an_unknown_jurisdiction_or_audience_permits_nothing(seed: int, fact: str) -> None:
    rulings = rule(BOOK, random_facts(12, 4, seed, 0.97).having(**{fact: "unknown"}))
    assert (rulings.permits == 0).all()
    assert not rulings.permitted.any()


@pytest.mark.parametrize("n", [1, 20])
def test_nothing_known_means_nothing_allowed_and_all_reasons_are_given(n: int) -> None:
    rulings = rule(BOOK, Given(n, ("a", "none"), {}))
    assert not rulings.permitted.any()
    assert rulings.no_score.all()
    reasons = {entry["rule"]: entry for entry in rulings.explain(0, 0, EMAIL)}
    expected = {one.id for one in BOOK.rules if EMAIL in one.channels} | {"NO_LEGAL_BASIS"}
    assert set(reasons) == expected
    assert reasons["GEN-01"]["reason"] == "OPT_OUT_UNKNOWN"
    assert ["opt_out", "unknown", "suppressions"] in reasons["GEN-01"]["because"]


def test_a_clean_us_clinician_may_be_contacted_except_where_consent_is_needed() -> None:
    rulings = rule(BOOK, clean())
    assert rulings.permitted[0, 0].tolist() == [True, False, True, True, True, False, False]
    assert rulings.permit_ids(0, 0, EMAIL) == ["P-US-B2B"]
    assert rulings.headline(0, 0, EMAIL) == "permit"
    assert rulings.explain(0, 0, EMAIL) == []
    # Without an asset only a call or a visit goes.
    assert rulings.permitted[0, -1].tolist() == [False, False, True, True, False, False, False]


def test_a_text_to_the_united_states_needs_written_consent() -> None:
    written = {"consent": "granted", "consent_proven": "yes", "consent_expired": "no"}
    assert rule(BOOK, clean(consent_kind="express_written", **written)).permitted[0, 0, SMS]
    assert not rule(BOOK, clean(consent_kind="express", **written)).permitted[0, 0, SMS]


def test_a_patient_is_contacted_only_on_granted_and_proven_consent() -> None:
    granted = {"consent": "granted", "consent_proven": "yes", "consent_expired": "no"}
    assert rule(BOOK, clean(audience="patient", **granted)).permitted[0, 0, EMAIL]
    for changed in ({"consent": "implied"}, {"consent_proven": "unknown"}, {"adult": "unknown"}):
        assert not rule(BOOK, clean(audience="patient", **{**granted, **changed})).permitted[0, 0].any()


def test_the_third_touch_in_a_week_is_the_last() -> None:
    assert rule(BOOK, clean(touches_7d=2)).permitted[0, 0, EMAIL]
    capped = rule(BOOK, clean(touches_7d=3))
    assert not capped.permitted[0, 0].any()
    assert capped.headline(0, 0, EMAIL) == "suppress_until"
    [entry] = capped.explain(0, 0, EMAIL)
    assert (entry["rule"], entry["reason"]) == ("FRQ-01", "FREQUENCY_CAP")
    assert ["touches_7d", "known", 3] in entry["because"]
    [entry] = rule(BOOK, clean(touches_7d="unknown")).explain(0, 0, EMAIL)
    assert entry["reason"] == "FREQUENCY_UNKNOWN"


def test_a_reason_tells_violated_from_unknown() -> None:
    [sure] = rule(BOOK, clean(opt_out="yes")).explain(0, 0, EMAIL)
    [unsure] = rule(BOOK, clean(opt_out="unknown")).explain(0, 0, EMAIL)
    assert (sure["reason"], sure["because"]) == ("OPT_OUT", [["opt_out", "known", "yes"]])
    assert (unsure["reason"], unsure["because"]) == ("OPT_OUT_UNKNOWN", [["opt_out", "unknown", "suppressions"]])


def test_all_reasons_are_reported_strongest_effect_first() -> None:
    rulings = rule(BOOK, clean(opt_out="yes", off_label_open="yes", off_label_same_product="yes", meeting_booked="yes"))
    assert [(e["rule"], e["effect"]) for e in rulings.explain(0, 0, EMAIL)] == [
        ("GEN-01", "forbid"),
        ("CON-04", "reroute"),
        ("SUP-01", "suppress_until"),
    ]
    assert rulings.headline(0, 0, EMAIL) == "forbid"
    assert rulings.rule_ids(0, 0, EMAIL) == ["GEN-01", "CON-04", "SUP-01"]


def test_an_off_label_question_reroutes_and_names_the_queue() -> None:
    [entry] = rule(BOOK, clean(off_label_open="yes", off_label_same_product="yes")).explain(0, 0, EMAIL)
    assert (entry["effect"], entry["route_to"]) == ("reroute", "medical_information")


def test_a_withdrawn_consent_forbids_even_where_the_law_is_opt_out() -> None:
    rulings = rule(BOOK, clean(consent="withdrawn", consent_withdrawn="yes"))
    assert not rulings.permitted.any()
    assert "CONSENT_WITHDRAWN" in {entry["reason"] for entry in rulings.explain(0, 0, EMAIL)}


def test_who_is_erased_or_objects_to_profiling_is_not_scored() -> None:
    assert not rule(BOOK, clean()).no_score[0]
    assert rule(BOOK, clean(erased_or_restricted="yes")).no_score[0]
    assert rule(BOOK, clean(jurisdiction="DE", profiling_objection="unknown")).no_score[0]
    [entry] = rule(BOOK, clean(erased_or_restricted="unknown")).explain_score(0)
    assert (entry["rule"], entry["reason"]) == ("GEN-03-S", "ERASURE_UNKNOWN")


@pytest.mark.parametrize("n", [1, 30])
def test_order_and_file_layout_of_cards_change_nothing(n: int) -> None:
    facts = random_facts(n, 3, 11, 0.9)
    shuffled = Book.load(SETTINGS.model_copy(update={"rules": tuple(reversed(SETTINGS.rules))}), ON)
    assert shuffled.hash == BOOK.hash
    np.testing.assert_array_equal(rule(shuffled, facts).blocks, rule(BOOK, facts).blocks)


@pytest.mark.parametrize("n", [1, 30])
def test_anything_that_goes_wrong_while_evaluating_forbids(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "by_lead", broken)
    monkeypatch.setattr("policy.words.Program.run", broken)
    rulings = rule(BOOK, clean(n))
    assert not rulings.permitted.any()
    assert rulings.no_score.all()
    assert rulings.errors == 1
    assert rulings.explain(0, 0, EMAIL)[0]["reason"] == "EVALUATION_ERROR"
    assert rulings.headline(0, 0, EMAIL) == "forbid"


@pytest.mark.parametrize("n", [1, 30])
def test_a_column_of_the_wrong_type_or_shape_is_unknown_and_counted(n: int) -> None:
    for bad in (
        np.full((n, 1, 1), np.nan),
        np.full((n, 1, 1), "0", dtype=object),
        np.zeros((n, 1, 1), dtype=bool),
        np.zeros(n, dtype=np.int32),
        np.zeros((n, 2, 1), dtype=np.int32),
    ):
        facts = clean(n)
        rulings = rule(BOOK, Given(n, facts.assets, {**facts.columns, "touches_7d": bad}))
        assert not rulings.permitted[:, 0].any()
        assert rulings.errors == 1
        assert [entry["reason"] for entry in rulings.explain(0, 0, EMAIL)] == ["FREQUENCY_UNKNOWN"]


def test_every_channel_is_open_to_somebody() -> None:
    written = {"consent": "granted", "consent_kind": "express_written", "consent_proven": "yes"}
    assert rule(BOOK, clean(**written)).permitted[0, 0].all()


def test_promotion_of_a_prescription_medicine_stays_with_professionals_outside_the_united_states() -> None:
    granted = {"consent": "granted", "consent_proven": "yes", "asset_prescription": "yes"}
    for jurisdiction in ("DE", "FR", "EU_OTHER", "UK", "CH", "CA", "AU", "BR"):
        assert rule(BOOK, clean(jurisdiction=jurisdiction, **granted)).permitted[0, 0, EMAIL]
        for audience in ("patient", "caregiver", "buyer", "other", "unknown"):
            rulings = rule(BOOK, clean(jurisdiction=jurisdiction, audience=audience, **granted))
            assert not rulings.permitted[0, 0].any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), audience=st.sampled_from(["patient", "caregiver"]))
def test_patients_and_caregivers_are_reached_by_promotion_only_on_granted_consent(seed: int, audience: str) -> None:
    facts = random_facts(12, 4, seed, 0.95).having(audience=audience, asset_intent="promotional")
    granted = facts.columns["consent"] == code("consent", "granted")
    assert not (rule(BOOK, facts).permitted & ~granted).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_whatever_is_permitted_is_surely_approved_and_fits(seed: int) -> None:
    facts = random_facts(12, 4, seed, 0.95)
    permitted = rule(BOOK, facts).permitted
    bare = facts.columns["asset_status"] == code("asset_status", "not_needed")
    approved = facts.columns["asset_status"] == code("asset_status", "approved")
    for fact in ("asset_audience_match", "asset_market_match", "asset_indication_match", "asset_channel_match"):
        approved = approved & (facts.columns[fact] == code(fact, "yes"))
    assert not (permitted & ~(approved | bare)).any()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    stop=st.sampled_from(["opt_out", "erased_or_restricted", "hard_bounce", "do_not_call", "no_contact", "open_case",
                          "consent_withdrawn", "adverse_event_open", "meeting_booked", "profiling_objection"]),
)  # fmt: skip
def test_one_more_stop_never_widens_what_is_allowed(seed: int, stop: str) -> None:
    facts = random_facts(12, 3, seed, 0.95)
    if stop in facts.columns:
        before, after = rule(BOOK, facts), rule(BOOK, facts.having(**{stop: "yes"}))
        assert not (after.permitted & ~before.permitted).any()
        assert not (may_score(after) & ~may_score(before)).any()


def test_a_possible_adverse_event_is_routed_with_the_hours_that_are_left_for_it() -> None:
    [entry] = rule(BOOK, clean(adverse_event_open="yes")).explain(0, 0, EMAIL)
    assert (entry["rule"], entry["route_to"], entry["within_hours"]) == ("CON-05", "pharmacovigilance", 24)


def test_a_card_too_entangled_to_be_parted_is_refused_with_its_name() -> None:
    pairs = [f"(asset_intent = 'service' AND opt_out = 'no' AND touches_7d = {n})" for n in range(12)]
    card = next(one for one in SETTINGS.rules if one.id == "GEN-02")
    entangled = card.model_copy(update={"id": "X-1", "applies_when": " OR ".join(pairs), "unless_surely": None})
    with pytest.raises(ConfigInvalid, match="X-1"):
        Book.load(SETTINGS.model_copy(update={"rules": (*SETTINGS.rules, entangled)}), ON)
