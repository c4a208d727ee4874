"""Linked leads are one person, as of an instant, reversibly, and never with more permission than each record gives."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.consent import CODES, ConsentCodes, resolve
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.links import LinkRules, components, follow_links
from features.pipeline import features_of, fit_spec
from features.records import Account, Case, Consent, Event, Lead, Link, Suppression, Touch
from features.tables import NO, YES, Known, Tables, known_at
from features.view import view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
VOCABULARIES = SETTINGS.vocabularies
RULES = LinkRules.of(SETTINGS)
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, VOCABULARIES)
CONSENT = ConsentCodes.of(VOCABULARIES)
SPEC = fit_spec(SETTINGS)
EMAIL = VOCABULARIES["channel"].values.index("email")
IDS = ("a", "b", "c", "d")


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def link(one: str, two: str, days: float = 1, kind: str = "same", **given_: Any) -> Link:
    return Link(lead_id=one, other_lead_id=two, linked_at=ago(days), kind=kind, **given_)


def lead(lead_id: str, created: float = 100, **given_: Any) -> Lead:
    return Lead(lead_id=lead_id, created_at=ago(created), recorded_at=ago(created), **given_)


def world(leads: list[Lead], links: list[Link] | None = None, **tables: Any) -> Tables:
    return encode_records(leads, **tables, vocabularies=VOCABULARIES, links=links, suppressions_complete_as_of=AS_OF)


def seen(tables: Tables, as_of: datetime = AS_OF) -> Known:
    return known_at(follow_links(tables, as_of, RULES), as_of)


def word(known: Known, field: str, row: int = 0) -> str | None:
    return VOCABULARIES[field].value(int(known.leads[field][row]))


def click(lead_id: str, event_id: str = "e", days: float = 3, late: float = 0) -> Event:
    at = ago(days)
    return Event(event_id=event_id, lead_id=lead_id, kind="email_click", occurred_at=at, recorded_at=ago(days - late))


def test_without_a_link_in_force_the_same_object_comes_back() -> None:
    plain = world([lead("a"), lead("b")])
    assert follow_links(plain, AS_OF, RULES) is plain
    for words in ([link("a", "b", -1)], [link("a", "b", 2), link("b", "a", 1, "different")]):
        tables = world([lead("a"), lead("b")], words)
        assert follow_links(tables, AS_OF, RULES) is tables
    tables = world([lead("a"), lead("b")], [link("a", "b", 1, "?")])
    doubted = follow_links(tables, AS_OF, RULES)  # nobody merged, and both in doubt
    assert doubted.merged is None and doubted.doubted.tolist() == [True, True] and doubted.leads is tables.leads


def test_every_row_of_a_merged_lead_belongs_to_the_survivor_and_it_is_not_present() -> None:
    tables = world(
        [lead("b", 50), lead("a", 90)],
        [link("a", "b", evidence="person"), link("gone", "b", evidence="crm_merge")],
        events=[click("a"), click("b", "f", 4), click("gone", "g", 5)],
        touches=[Touch(touch_id="t", lead_id="gone", sent_at=ago(2))],
        cases=[Case(case_id="c", lead_id="b", opened_at=ago(2), kind="complaint")],
        suppressions=[Suppression(lead_id="gone", since_at=ago(9), reason="opt_out", channel="email")],
    )
    known = seen(tables)
    survivor = tables.lead_ids.tolist().index("a")
    assert known.merged is not None and set(known.merged.survivor.tolist()) == {survivor}
    assert known.present.tolist() == [name == "a" for name in tables.lead_ids]
    assert np.diff(known.event_starts)[survivor] == 3
    for table in (known.touches, known.cases, known.suppressions):
        assert table["lead"].tolist() == [survivor]
    bits = int(known.merged.evidence[survivor])
    names = ("unknown", *VOCABULARIES["link_evidence"].values)
    assert {names[c] for c in range(9) if bits >> c & 1} == {"person", "crm_merge"}


@pytest.mark.parametrize(
    ("leads", "survivor"),
    [
        ([lead("b", 50), lead("a", 40)], "b"),  # created first
        ([lead("b", 50), lead("a", 50)], "a"),  # then the smallest id
        ([Lead(lead_id="a", recorded_at=ago(90)), lead("b", 2)], "b"),  # an unknown creation is no early one
        ([lead("b", -1), lead("a", 2)], "a"),  # one that is not known yet never survives
    ],
)
def test_one_that_has_a_version_then_the_first_created_then_the_smallest_id_survives(
    leads: list[Lead], survivor: str
) -> None:
    for order in (leads, leads[::-1]):
        known = seen(world(order, [link("a", "b")]))
        assert [name for name, there in zip(known.lead_ids, known.present, strict=True) if there] == [survivor]


def test_the_record_that_a_crm_merged_away_speaks_only_where_nobody_else_can() -> None:
    leads = [lead("a", created=300), lead("b", created=200), lead("c", created=100)]
    merged = [link("a", "b", evidence="crm_merge"), link("b", "c", evidence="crm_merge")]
    # a went into b and b into c: c is the record that is left, though it is the youngest.
    assert seen(world(leads, merged)).present.tolist() == [False, False, True]
    assert seen(world(leads, [link("a", "b", evidence="person"), *merged[1:]])).present.tolist() == [True, False, False]
    back = [*merged, link("b", "c", 0.5, "different")]
    assert seen(world(leads, back)).present.tolist() == [False, True, True]
    circle = [link("a", "b", evidence="crm_merge"), link("b", "a", evidence="crm_merge")]
    assert seen(world(leads[:2], circle)).present.tolist() == [True, False]


def test_the_survivors_values_count_unknown_ones_are_filled_and_conflicts_read_the_stricter_way() -> None:
    known = seen(
        world(
            [
                lead("a", 90, country="US", audience="hcp", role="nurse", adult=True, verified_hcp=True),
                lead("b", 50, country="DE", audience="hcp", role="physician", specialty="oncology", adult=False),
            ],
            [link("a", "b")],
        )
    )
    assert [word(known, f) for f in ("country", "audience", "role", "specialty")] == [None, "hcp", "nurse", "oncology"]
    assert known.leads["adult"][0] == NO and known.leads["verified_hcp"][0] == YES


def test_how_fresh_the_country_is_is_told_by_the_record_that_knows_it() -> None:
    stale = Lead(lead_id="b", created_at=ago(900), recorded_at=ago(800), country="US")
    fresh = Lead(lead_id="a", created_at=ago(901), recorded_at=ago(1), verified_at=ago(1))
    known = seen(world([stale, fresh], [link("a", "b")]))
    facts = facts_of(known, BUILDER, INVENTORY)
    assert known.present.tolist() == [False, True] and word(known, "country", 1) == "US"
    assert facts.columns["jurisdiction"].reshape(-1).tolist() == [0, 0]


def test_an_event_that_two_records_share_happened_once_and_two_of_one_record_twice() -> None:
    def count(*events: Event) -> int:
        return int(
            np.diff(seen(world([lead("a"), lead("b", 50)], [link("a", "b")], events=list(events))).event_starts)[0]
        )

    assert count(click("a"), click("b", "copy", late=1)) == 1
    assert count(click("a"), click("a", "f")) == 2
    assert count(click("a"), click("a", "f"), click("b", "copy")) == 2
    assert count(click("a"), click("b", "other", days=3.000001)) == 2


def test_a_stop_of_the_account_of_any_record_or_its_parent_stops_the_person() -> None:
    stop = {"since_at": ago(5), "reason": "no_contact", "channel": "phone"}
    for stopped in ("there", "above"):
        tables = world(
            [lead("a", 90, account_id="here"), lead("b", 50, account_id="there")],
            [link("a", "b")],
            accounts=[Account(account_id="there", parent_account_id="above", recorded_at=ago(9))],
            suppressions=[Suppression(account_id=stopped, **stop)],
        )
        phone = VOCABULARIES["channel"].values.index("phone")
        found = facts_of(seen(tables), BUILDER, INVENTORY).columns["no_contact"][0, 0]
        assert found[phone] == YES and found[EMAIL] == NO


def test_a_later_grant_on_one_record_never_undoes_a_withdrawal_on_another_while_merged() -> None:
    consents = [
        Consent(lead_id="a", channel="email", purpose="promotion", status="withdrawn", captured_at=ago(50)),
        Consent(lead_id="b", channel="email", purpose="promotion", status="granted", captured_at=ago(5), proof="form"),
    ]
    for words in ([link("a", "b")], [link("a", "b"), link("b", "c")]):
        known = seen(world([lead("a"), lead("b"), lead("c")], words, consents=consents))
        block, _ = resolve(known, CONSENT, np.ones(3, dtype=np.uint8))
        assert VOCABULARIES["consent_status"].value(int(block[0, 0, EMAIL])) == "withdrawn"
        assert block[CODES.index("consent_withdrawn"), 0, EMAIL] == YES
    silent = world([lead("a"), lead("b")], [link("a", "b")], consents=consents[1:])
    block, _ = resolve(seen(silent), CONSENT, np.ones(2, dtype=np.uint8))
    assert VOCABULARIES["consent_status"].value(int(block[0, 0, EMAIL])) == "granted"


def test_of_two_grants_the_age_the_lack_of_proof_and_the_end_of_either_count() -> None:
    granted = {"channel": "email", "purpose": "promotion", "status": "granted"}
    old = Consent(lead_id="a", captured_at=ago(400), proof="form", **granted)
    new = Consent(lead_id="b", captured_at=ago(5), expires_at=ago(1), **granted)
    implied = Consent(
        lead_id="c", channel="email", purpose="promotion", status="implied", captured_at=ago(3), kind="purchase"
    )

    def resolved(*consents: Consent) -> list[int]:
        links = [link("a", "b"), link("c", "b")]
        known = seen(world([lead("a", 9), lead("b"), lead("c")], links, consents=list(consents)))
        block, age = resolve(known, CONSENT, np.ones(3, dtype=np.uint8))
        survivor = int(np.flatnonzero(known.present)[0])
        return [*block[:4, survivor, EMAIL].tolist(), int(age[survivor, EMAIL])]

    status, kind = VOCABULARIES["consent_status"], VOCABULARIES["consent_kind"]
    assert resolved(old, new) == resolved(new, old) == [status.code("granted"), 0, NO, YES, 400]
    assert resolved(old) == [status.code("granted"), 0, YES, NO, 400]
    assert resolved(old, implied) == [status.code("implied"), kind.code("purchase"), NO, NO, 400]


def test_splitting_a_pair_of_a_chain_leaves_the_rest_together() -> None:
    words = [link("a", "b", 5), link("b", "c", 4), link("a", "b", 2, "different")]
    known = seen(world([lead("a", 9), lead("b", 8), lead("c", 7)], words))
    assert known.merged is not None and known.merged.survivor.tolist() == [0, 1, 1]
    # Of two words at one instant the split wins.
    tied = [link("a", "b", 2), link("b", "a", 2, "different")]
    for order in (tied, tied[::-1]):
        assert seen(world([lead("a"), lead("b")], order)).merged is None


def test_attributes_of_the_survivor_are_filled_from_the_others() -> None:
    tables = world([lead("a"), lead("b")], [link("a", "b")])
    tables = replace(
        tables,
        attributes={"n": np.array([np.nan, 4.0]), "t": np.array(["x", "y"], dtype=object)},
    )
    known = seen(tables)
    assert known.attributes["n"][0] == 4.0 and np.isnan(known.attributes["n"][1])
    assert known.attributes["t"].tolist() == ["x", None]


def test_who_may_sign_and_who_sits_on_a_committee_are_facts() -> None:
    facts = facts_of(seen(world([lead("a", purchase_authority=False, committee="formulary")])), BUILDER, INVENTORY)
    committee = SETTINGS.facts["committee"].values
    assert committee[int(facts.columns["committee"].item()) - 1] == "formulary"
    assert facts.columns["purchase_authority"].item() == NO
    unknown = facts_of(seen(world([lead("a")])), BUILDER, INVENTORY)
    assert unknown.columns["committee"].item() == unknown.columns["purchase_authority"].item() == 0


days = st.sampled_from([0.5, 1.0, 2.0, 5.0, 9.0, 40.0])
who = st.sampled_from(IDS)
words = st.builds(
    lambda one, two, at, kind, by: link(one, two, at, kind, evidence=by),
    who, who, days, st.sampled_from(["same", "same", "different", "?"]), st.sampled_from([None, "person", "crm_merge"]),
)  # fmt: skip
statements = st.builds(
    lambda name, channel, purpose, status, at, ends: Consent(
        lead_id=name, channel=channel, purpose=purpose, status=status, captured_at=ago(at), expires_at=ends,
        proof="form" if at > 3 else None, kind="own_customer" if at > 1 else "purchase",
    ),
    who, st.sampled_from(["email", "email", "phone", None]),
    st.sampled_from(["promotion", "promotion", "medical_education", "service", "profiling", None]),
    st.sampled_from(["granted", "implied", "withdrawn", "none", "?", None]), days,
    st.sampled_from([None, ago(0.2), ago(-9)]),
)  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """Records of four leads."""
    some = st.sampled_from
    leads = [
        lead(
            name, draw(days), country=draw(some([None, "US", "DE"])), audience=draw(some([None, "hcp", "patient"])),
            role=draw(some([None, "nurse", "physician"])), adult=draw(some([None, True, False])),
            account_id=draw(some([None, "x", "y"])),
        )
        for name in IDS
    ]  # fmt: skip
    events = [click(draw(who), f"e{k}", draw(days)) for k in range(draw(st.integers(0, 6)))]
    touches = [Touch(touch_id=f"t{k}", lead_id=draw(who), sent_at=ago(draw(days))) for k in range(2)]
    stops = [
        Suppression(lead_id=draw(who), since_at=ago(draw(days)), reason="opt_out", channel=draw(some([None, "email"])))
    ]
    stops.append(Suppression(account_id=draw(some(["x", "y"])), since_at=ago(draw(days)), reason="no_contact"))
    accounts = [Account(account_id=name, recorded_at=ago(50)) for name in ("x", "y")]
    return {
        "leads": leads, "events": events, "touches": touches, "suppressions": stops, "accounts": accounts,
        "consents": draw(st.lists(statements, max_size=6)), "cases": [],
    }  # fmt: skip


def encoded(given_: dict[str, Any], links: list[Link] | None) -> Tables:
    rest = {name: rows for name, rows in given_.items() if name != "leads"}
    return world(given_["leads"], links, **rest)


def everything(tables: Tables, as_of: datetime = AS_OF) -> dict[str, Any]:
    """All that is known, every feature and every fact."""
    known = view_at(tables, as_of, BUILDER.view)
    found: dict[str, Any] = {}
    for one in fields(known):
        value = getattr(known, one.name)
        if one.name in ("leads", "accounts", "events", "touches", "consents", "suppressions", "cases"):
            found |= {f"{one.name}.{name}": value[name] for name in value}
        elif isinstance(value, np.ndarray):
            found[one.name] = value
    found["matrix"] = features_of(known, SPEC).matrix
    found |= dict(facts_of(known, BUILDER, INVENTORY).columns)
    return found


def equal(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(
        (a.tolist() == two[name].tolist())
        if a.dtype == object
        else np.array_equal(a, two[name], equal_nan=a.dtype.kind == "f")
        for name, a in one.items()
    )


@given(worlds(), st.lists(words, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_taking_links_back_restores_every_feature_and_fact_exactly(
    made: dict[str, Any], links: list[Link], _: Any
) -> None:
    pairs = {tuple(sorted((one.lead_id, one.other_lead_id))) for one in links}
    back = [link(one, two, 0.1, "different") for one, two in pairs]
    before = everything(encoded(made, None))
    assert equal(before, everything(encoded(made, [*links, *back])))
    later = [link(one.lead_id, one.other_lead_id, -1, one.kind or "same") for one in links]
    assert equal(before, everything(encoded(made, later)))


@given(worlds(), st.lists(words, min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=40)
def test_neither_order_nor_repetition_of_links_nor_the_order_of_leads_matters(
    made: dict[str, Any], links: list[Link], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*links, *links[:2]]))
    turned = [
        Link(
            lead_id=one.other_lead_id,
            other_lead_id=one.lead_id,
            linked_at=one.linked_at,
            kind=one.kind,
            evidence=one.evidence,
        )
        if k % 2 and one.evidence != "crm_merge"  # which alone has a direction: the first went into the second
        else one
        for k, one in enumerate(shuffled)
    ]
    one = everything(encoded(made, links))
    assert equal(one, everything(encoded(made, turned)))


@given(worlds(), st.lists(words, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_a_merged_person_may_never_more_than_each_record_that_says_anything(
    made: dict[str, Any], links: list[Link]
) -> None:
    tables = encoded(made, links)
    merged = seen(tables).merged
    apart = replace(tables, links={})
    own, own_days = resolve(known_at(apart, AS_OF), CONSENT, own_objection := np.ones(4, dtype=np.uint8))
    block, age = resolve(seen(tables), CONSENT, objection := np.ones(4, dtype=np.uint8))
    survivor = np.arange(4) if merged is None else merged.survivor
    for row in range(4):
        person = survivor[row]
        assert objection[person] == YES or own_objection[row] != YES
        for channel in range(CONSENT.channels):
            said, says = own[:, row, channel], block[:, person, channel]
            if said[4] == YES:
                assert says[4] == YES
            if said[4] == 0:
                assert says[4] != NO
            if said[3] == 0:  # this record says nothing
                continue
            assert CONSENT.restrictive[says[0]] >= CONSENT.restrictive[said[0]]
            assert says[2] <= said[2] and says[3] >= said[3]
            assert age[person, channel] == -1 or age[person, channel] >= own_days[row, channel] >= 0
    if merged is not None:
        said_by_any = np.zeros_like(own[3])
        np.maximum.at(said_by_any, survivor, own[3])
        present = ~merged.away
        assert np.array_equal(block[3][present] > 0, said_by_any[present] > 0)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14))
@settings(deadline=None, max_examples=60)
def test_components_are_those_a_walk_along_the_edges_finds(edges: list[tuple[int, int]]) -> None:
    low, high = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    expected = list(range(12))
    for _ in range(12):
        for one, two in edges:
            expected[one] = expected[two] = min(expected[one], expected[two])
    assert components(low, high, 12).tolist() == expected
