"""Buying groups by hand: stages, who is missing, readiness that adds up, and counts that nothing else moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.buying_groups import BuyingGroupSettings, ReadinessMeasure, account_facts, buying_group_problems
from configs.settings import Settings, load_settings
from features.account_facts import Roster, account_columns
from features.encode import encode_records
from features.facts import Facts
from features.records import Account, Event, Lead, Suppression
from models.buying_group import UNKNOWN, GroupRules, cells_of, cover, decision_readiness, focus_of
from serving.accounts.view import AccountsView, Level, view_accounts

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)


@cache
def shipped() -> Settings:
    return load_settings()


def person(lead_id: str, account: str = "A1", **facts: object) -> Lead:
    given = {"audience": "hcp", "country": "US", "product_interest": "implant"} | facts
    return Lead(lead_id=lead_id, account_id=account, recorded_at=DAY, created_at=DAY, **given)


def did(lead_id: str, depth: str, *, days: int = 2, kind: str = "download", times: int = 1) -> list[Event]:
    at = AS_OF - timedelta(days=days)
    return [
        Event(
            event_id=f"{lead_id}-{depth}-{days}-{i}", lead_id=lead_id, kind=kind, depth=depth, occurred_at=at,
            recorded_at=at, source="web_analytics", agent="browser",
        )
        for i in range(times)
    ]  # fmt: skip


def looked_at(
    leads: list[Lead],
    events: list[Event] | None,
    accounts: list[Account] | None = None,
    suppressions: list[Suppression] | None = None,
    product: str | None = None,
) -> AccountsView:
    known = accounts or [
        Account(account_id=a, organization_type="hospital", recorded_at=DAY)
        for a in sorted({str(lead.account_id) for lead in leads})
    ]
    tables = encode_records(
        leads, accounts=known, events=events, suppressions=suppressions, vocabularies=shipped().vocabularies,
        suppressions_complete_as_of=None if suppressions is None else AS_OF,
    )  # fmt: skip
    return view_accounts(tables, shipped(), AS_OF, product=product)


def row_of(view: AccountsView, account: str) -> int:
    return view.known.account_ids.tolist().index(account)


def stage(view: AccountsView, account: str = "A1", level: Level | None = None) -> str:
    place = (level or view.accounts).stage[row_of(view, account)]
    return "unknown" if place == UNKNOWN else view.rules.settings.stages[place].id


def hospital() -> tuple[list[Lead], list[Event]]:
    """A surgeon and a signer of procurement who read lately, a quiet nursing leader, and a patient."""
    leads = [
        person("L1", role="physician"),
        person("L2", role="nursing_leader"),
        person("L3", role="procurement", audience="buyer", purchase_authority=True),
        person("L4", role="patient", audience="patient"),
    ]
    return leads, [*did("L1", "comparison"), *did("L3", "pricing", times=2), *did("L4", "pricing")]


def test_decision_readiness_adds_up_by_hand() -> None:
    view = looked_at(*hospital())
    row, ready = row_of(view, "A1"), view.accounts.readiness
    assert stage(view) == "deciding"
    # Of the weights 3+2+3+3: the surgeon's 3 and the signer's 3 in full, the quiet leader's 2 at 25 percent.
    coverage = 45 * (300 + 2 * 25 + 0 + 300) // (11 * 100)
    assert ready.parts[row].tolist() == [coverage, 25, 15, 15 * 2 // 3]
    assert ready.points[row] == coverage + 25 + 15 + 10 == 76
    assert ready.levels[ready.level[row]] == "ready"


def test_patients_and_who_objected_or_asked_for_erasure_are_no_part_of_a_group() -> None:
    leads, events = hospital()
    stops = [
        Suppression(lead_id="L2", reason="profiling_objection", since_at=DAY, recorded_at=DAY),
        Suppression(lead_id="L3", reason="erasure", since_at=DAY, recorded_at=DAY),
    ]
    assert looked_at(leads, events).accounts.roster.count().tolist() == [3]
    assert looked_at(leads, events, suppressions=stops).accounts.roster.count().tolist() == [1]


@pytest.mark.parametrize(
    ("events", "account", "expected"),
    [
        ([], {}, "new_to_category"),
        (did("L1", "overview"), {}, "learning"),
        (did("L1", "overview", days=91), {}, "new_to_category"),
        (did("L1", "comparison"), {}, "new_to_category"),  # one person alone compares nothing, and read no overview
        (did("L1", "comparison") + did("L2", "overview"), {}, "comparing_vendors"),
        (did("L1", "pricing", times=2) + did("L2", "overview"), {}, "learning"),  # nobody who may sign is engaged
        (did("L3", "pricing", times=2) + did("L2", "overview"), {}, "deciding"),
        ([], {"implementation_stage": "planning"}, "deciding"),
        ([], {"implementation_stage": "rollout"}, "implementing"),
        (did("L3", "pricing", times=2) + did("L2", "overview"), {"implementation_stage": "live"}, "customer"),
    ],
)
def test_the_last_stage_that_surely_holds_counts(events: list[Event], account: dict[str, str], expected: str) -> None:
    own = [Account(account_id="A1", recorded_at=DAY, **account)]  # type: ignore[arg-type]
    # Something happened somewhere, so that no event of L1 means none.
    others = [person("L9", "A9"), *hospital()[0][:3]]
    view = looked_at(others, [*did("L9", "overview"), *events], [*own, Account(account_id="A9", recorded_at=DAY)])
    assert stage(view) == expected


def test_of_what_is_known_of_nobody_there_is_no_count_and_not_a_count_of_none() -> None:
    roster = Roster(
        unit=np.array([0, 0, 1, -1], dtype=np.int32), units=3, engaged=np.zeros(4, dtype=np.bool_),
        silent=np.zeros(4, dtype=np.bool_), signs=np.zeros(4, dtype=np.bool_), told=True,
    )  # fmt: skip
    facts = Facts(4, (), {"demo_request_count_90d": np.array([-1, 2, -1, 7], dtype=np.int32)[:, None, None]})
    view = looked_at(*hospital())
    name = "demo_request_count_90d"
    found = account_columns(view.known, facts, roster, view.rules.accounts.facts, (name,))[name]
    assert found.tolist() == [2, -1, -1]


def test_a_field_of_an_account_that_nobody_confirmed_for_too_long_is_unknown() -> None:
    most = shipped().facts["organization_type"].max_age_days
    assert most is not None
    hospital_code = shipped().vocabularies["organization_type"].code("hospital")
    for age, expected in ((most, hospital_code), (most + 1, 0)):
        since = AS_OF - timedelta(days=age)
        accounts = [Account(account_id="A1", organization_type="hospital", recorded_at=since)]
        assert looked_at([person("L1")], [], accounts).account_codes("organization_type").tolist() == [expected]


def test_without_events_stage_and_readiness_are_unknown_and_coverage_is_still_told() -> None:
    view = looked_at(hospital()[0], None)
    assert stage(view) == "unknown"
    assert view.accounts.readiness.points.tolist() == [UNKNOWN]
    champion = view.rules.part_ids.index("clinical_champion")
    assert view.accounts.coverage.known[0, champion] == 1


def test_the_accounts_own_decision_moment_goes_before_its_stage_unless_it_is_too_old() -> None:
    leads, events = hospital()

    def moment(account: Account) -> str:
        view = looked_at(leads, events, [account])
        return view.rules.moments[view.accounts.moment[0] - 1]

    assert moment(Account(account_id="A1", recorded_at=DAY)) == "procurement_approval"
    assert moment(Account(account_id="A1", recorded_at=DAY, decision_moment="contract_renewal")) == "contract_renewal"


def test_purchase_authority_is_not_influence() -> None:
    signs = {
        "told": person("L1", role="procurement", purchase_authority=True),
        "denied": person("L2", role="procurement", influence="decision_maker", purchase_authority=False),
        "not told": person("L3", role="procurement", influence="decision_maker"),
        "user": person("L4", role="procurement", influence="user"),
    }
    view = looked_at(list(signs.values()), None)
    assert dict(zip(signs, view.accounts.roster.signs.tolist(), strict=True)) == {
        "told": True, "denied": False, "not told": True, "user": False,
    }  # fmt: skip


def test_a_system_counts_the_people_of_all_its_accounts() -> None:
    leads = [person("L1", "A1", role="physician"), person("L2", "A2", role="nursing_leader"), person("L3", "A3")]
    accounts = [
        Account(account_id="A1", parent_account_id="S", recorded_at=DAY),
        Account(account_id="A2", parent_account_id="S", recorded_at=DAY),
        Account(account_id="A3", recorded_at=DAY),
        Account(account_id="S", kind="system", recorded_at=DAY),
    ]
    view = looked_at(leads, did("L1", "overview"), accounts)
    ids = view.known.account_ids
    assert sorted(ids[view.accounts.shown]) == ["A1", "A2", "A3"]
    # One account alone is no system.
    assert ids[view.systems.shown].tolist() == ["S"]
    part = [view.rules.part_ids.index(p) for p in ("clinical_champion", "nursing_leader")]
    assert view.systems.coverage.known[row_of(view, "S"), part].tolist() == [1, 1]
    assert view.accounts.coverage.known[row_of(view, "A1"), part].tolist() == [1, 0]
    assert stage(view, "S", view.systems) == "learning"


def test_the_product_is_the_one_most_people_ask_about_and_can_be_chosen() -> None:
    leads = [person("L1", product_interest="software"), person("L2", product_interest="software"), person("L3")]
    products = shipped().vocabularies["product"].values
    assert products[looked_at(leads, None).accounts.product[0] - 1] == "software"
    assert products[looked_at(leads, None, product="implant").accounts.product[0] - 1] == "implant"
    # Of equals the first declared, which is the implant.
    assert products[looked_at(leads[1:], None).accounts.product[0] - 1] == "implant"


def roster(unit: list[int], engaged: list[bool], units: int) -> Roster:
    n = len(unit)
    return Roster(
        unit=np.array(unit, dtype=np.int32), units=units, engaged=np.array(engaged, dtype=np.bool_),
        silent=~np.array(engaged, dtype=np.bool_), signs=np.arange(n) % 2 == 0, told=True,
    )  # fmt: skip


LEADS = st.lists(
    st.tuples(st.integers(-1, 3), st.booleans(), st.integers(0, 7), st.integers(0, 2)), min_size=1, max_size=24
)


@settings(deadline=None, max_examples=40)
@given(LEADS, st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_order_or_on_other_accounts(
    rows: list[tuple[int, bool, int, int]], random: object
) -> None:
    def counted(rows: list[tuple[int, bool, int, int]]) -> dict[int, list[list[int]]]:
        unit, engaged, plays, role = (list(column) for column in zip(*rows, strict=True))
        people = roster(unit, engaged, 4)
        # Who signs goes with the person, not with the place.
        people = Roster(people.unit, 4, people.engaged, people.silent, np.array(role) == 1, told=True)
        parts = np.array([[bit >> p & 1 for p in range(3)] for bit in plays], dtype=np.bool_)
        may = np.array(role) > 0
        cover_ = cover(people, parts, may)
        codes = np.array(role, dtype=np.uint8)
        cells = cells_of(people, codes, codes, codes, may[:, None])
        assert cells.known.sum() == people.count().sum()
        assert (cells.engaged <= cells.known).all()
        assert (cells.by_channel[:, 0] == cells.reachable).all()
        focus = focus_of(people, codes, 3)
        return {
            u: [cover_.known[u].tolist(), cover_.engaged[u].tolist(), cover_.reachable[u].tolist(), [int(focus[u])],
                cells.known[cells.unit == u].tolist()]
            for u in range(4)
        }  # fmt: skip

    whole = counted(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert counted(shuffled) == whole
    for own in range(4):
        mine = [row for row in rows if row[0] == own]
        if mine:
            assert counted(mine)[own] == whole[own]


@settings(deadline=None, max_examples=40)
@given(LEADS, st.integers(0, 5), st.integers(0, 11))
def test_parts_add_up_and_one_more_engaged_person_takes_no_point_away(
    rows: list[tuple[int, bool, int, int]], at: int, group: int
) -> None:
    rules = GroupRules.of(shipped())

    def points(engaged: list[bool]) -> tuple[int, list[int]]:
        people = roster([0] * len(rows), engaged, 1)
        plays = np.array([[(bit * 7 + p) % 5 == 0 for p in range(len(rules.part_ids))] for *_, bit, _ in rows])
        found = decision_readiness(
            cover(people, plays, plays[:, 0]), people, np.array([at], dtype=np.int8), np.array([group]), rules
        )
        return int(found.points[0]), found.parts[0].tolist()

    engaged = [one[1] for one in rows]
    total, parts = points(engaged)
    assert total == sum(parts) <= 100
    for more in range(len(rows)):
        assert points([one or place == more for place, one in enumerate(engaged)])[0] >= total


def problems(**changes: object) -> list[str]:
    declared = shipped().buying_groups.model_copy(update=changes)
    found = {
        "buying_groups": declared, "facts": shipped().facts, "parameters": shipped().parameters,
        "vocabularies": shipped().vocabularies,
    }  # fmt: skip
    return [f"{p.key}: {p.expected}" for p in buying_group_problems(found)]


def test_mistakes_in_the_file_are_told_with_their_keys() -> None:
    declared: BuyingGroupSettings = shipped().buying_groups
    assert problems() == []
    part, group, journey = declared.parts[0], declared.groups[0], declared.journeys[0]
    told = problems(parts=(part.model_copy(update={"when": "condition_focus = 'cancer'"}), *declared.parts[1:]))
    assert told[0].startswith("parts.clinical_champion.when: unknown fact condition_focus")
    told = problems(groups=(group.model_copy(update={"needs": {"wizard": 1}}), *declared.groups[1:]))
    assert told[0].startswith("groups.formulary_listing.needs: expected one of clinical_champion")
    assert problems(groups=declared.groups[1:]) == [
        "groups (formulary_listing): expected exactly one entry without products, for all others; found 0"
    ]
    told = problems(journeys=(journey.model_copy(update={"next_moment": {"learning": "case_selection"}}),))
    assert "journeys.0.next_moment.customer: expected a decision for every stage" in told
    with pytest.raises(ValueError, match="expected 100 together"):
        ReadinessMeasure(coverage=50, stage=25, signers=15, awake=15, quiet=25, levels={"early": 0})


def test_every_account_fact_of_the_dictionary_can_be_built() -> None:
    from features.account_facts import account_columns

    view = looked_at(*hospital())
    declared = account_facts(shipped().facts)
    found = account_columns(view.known, view.facts, view.accounts.roster, declared, declared)
    assert found.keys() == declared.keys()
    assert all(len(column) == 1 for column in found.values())
    # Two people of three did one and two things; the patient's doings are nobody's here.
    told = ("people_count", "engaged_count", "silent_count", "depth_pricing_count_90d", "days_since_last_event")
    assert [int(found[name][0]) for name in told] == [3, 2, 1, 2, 2]
