"""A difference says who moves, why in words, and nothing where nothing differs; the other way round is its mirror."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from configs.conditions import parse
from configs.definitions import SegmentDefinition
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain, as_closure
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.records import Account, Lead
from features.tables import known_at
from models.segments.difference import Difference, Move, Placed, Version, Worded, difference, scope
from models.segments.tellable import Tried, tellable

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
ON = AS_OF.date()
GOOD = "onc_community_center"
DRAFT = "moa_engaged"


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def domain() -> Domain:
    return Domain.of(shipped())


def having(*definitions: SegmentDefinition, removed: tuple[str, ...] = (), alone: bool = False) -> Settings:
    """The shipped settings with some definitions in place of their own, or new, or removed, or beside the rest only."""
    own = {d.id: d for d in shipped().segments if d.id not in removed and (not alone or d.residual)}
    own |= {d.id: d for d in definitions}
    return shipped().model_copy(update={"segments": tuple(own.values())})


def good(**changes: Any) -> SegmentDefinition:
    return next(d for d in shipped().segments if d.id == GOOD).model_copy(update=changes)


@cache
def people() -> tuple[Facts, tuple[str, ...]]:
    """Eight oncologists, one for each setting and role: four settings, of each a physician and a nurse."""
    at = AS_OF - timedelta(days=1)
    settings_ = ("community", "outpatient", "inpatient", "academic")
    roles = ("physician", "nurse")
    pairs = [(setting, role) for setting in settings_ for role in roles]
    leads = [
        Lead(lead_id=f"L{n}", account_id=f"A{n}", audience="hcp", specialty="oncology", role=role, recorded_at=at)
        for n, (_, role) in enumerate(pairs)
    ]
    accounts = [Account(account_id=f"A{n}", care_setting=s, recorded_at=at) for n, (s, _) in enumerate(pairs)]
    tables = encode_records(leads, accounts=accounts, vocabularies=shipped().vocabularies, asset_ids=())
    known = known_at(tables, AS_OF)
    facts = facts_of(known, FactBuilder.of(shipped()), Inventory.of((), shipped().vocabularies))
    return facts, tuple(str(lead_id) for lead_id in known.lead_ids)


def compared(old: Settings, new: Settings, tried: tuple[str, ...] = (), **more: Any) -> Difference:
    versions = (Version.of("old", old, ON), Version.of("new", new, ON, tried))
    facts, lead_ids = people()
    placed = (Placed.of(versions[0], facts, AS_OF), Placed.of(versions[1], facts, AS_OF))
    return difference(*versions, on=ON, placed=placed, lead_ids=lead_ids, **more)


WIDER = "audience = 'hcp' AND specialty = 'oncology' AND care_setting IN ('community', 'outpatient')"


def test_a_version_does_not_differ_from_itself() -> None:
    found = compared(shipped(), shipped())
    assert found.is_empty
    assert (found.leads, found.affected, found.changes, found.moves) == (8, 0, (), ())


def test_a_wider_entry_says_who_enters_and_for_which_values() -> None:
    found = compared(shipped(), having(good(enter=WIDER)))
    (change, rest) = found.changes
    assert (change.segment_id, change.kind, change.leads) == (GOOD, "changed", (2, 4))
    assert (change.entered, change.left, change.entering, change.leaving) == (2, 0, ("L2", "L3"), ())
    assert change.worded == (
        Worded(
            "enter",
            "audience is hcp and specialty is oncology and care setting is community",
            "audience is hcp and specialty is oncology and care setting is community or outpatient",
        ),
    )
    assert change.enter is not None
    assert (change.enter.words, change.enter.narrower, change.enter.complete) == ("widened", None, True)
    assert change.enter.wider == "audience hcp, specialty oncology, care_setting outpatient"
    assert (rest.segment_id, rest.kind, rest.leads) == ("unsegmented", "unchanged", (6, 4))
    assert found.moves == (Move("unsegmented", GOOD, 2),)
    assert found.affected == 2


def test_counts_add_up_and_contactable_people_are_counted() -> None:
    may = np.array([False, False, True, False, True, True, True, True])
    found = compared(shipped(), having(good(enter=WIDER)), contactable=may)
    assert (found.affected, found.contactable) == (2, 1)
    for change in found.changes:
        assert change.leads[0] + change.entered - change.left == change.leads[1]
    assert (found.changes[0].contactable_entering, found.changes[0].contactable_leaving) == (1, 0)


def test_a_condition_may_be_wider_narrower_both_or_only_other_words() -> None:
    def words(old: str, new: str) -> str:
        found = scope(old, new, (domain(), domain()), ON)
        assert found is not None
        return found.words

    assert words("role = 'physician'", "role IN ('physician', 'nurse')") == "widened"
    assert words("role IN ('physician', 'nurse')", "role = 'physician'") == "narrowed"
    assert words("role = 'physician'", "role = 'nurse'") == "shifted"
    assert words("role = 'physician' AND size = 'small'", "NOT (role <> 'physician' OR size <> 'small')") == (
        "same meaning"
    )
    assert words("touches_7d < 5", "touches_7d <= 4") == "same meaning"
    assert words("touches_7d < 5", "touches_7d <= 5") == "widened"


def test_a_condition_that_means_nothing_under_the_other_facts_is_not_searched() -> None:
    facts = {name: fact for name, fact in domain().facts.items() if name != "size"}
    other = Domain(facts, domain().parameters)
    assert scope("role = 'nurse'", "size = 'small'", (other, domain()), ON) is None
    assert scope("role = 'nurse'", "role <> 'nurse'", (other, domain()), ON) is not None


def test_a_draft_holds_nobody_unless_it_is_tried() -> None:
    draft = good(id="try_me", status="draft", approval=None, enter=WIDER, priority=45)
    world = having(draft)
    untried = compared(world, world)
    assert untried.is_empty
    found = compared(world, world, tried=("try_me",))
    change = next(one for one in found.changes if one.segment_id == "try_me")
    assert (change.kind, change.status, change.leads) == ("status", ("draft", "draft, tried"), (0, 4))
    assert found.moves == (Move(GOOD, "try_me", 2), Move("unsegmented", "try_me", 2))


def test_an_edited_definition_is_out_of_use_until_it_is_tried() -> None:
    edited = having(good(enter=WIDER, status="draft", approval=None))
    found = compared(shipped(), edited)
    change = next(one for one in found.changes if one.segment_id == GOOD)
    assert (change.status, change.leads) == (("approved", "draft"), (2, 0))
    tried = compared(shipped(), edited, tried=(GOOD,))
    change = next(one for one in tried.changes if one.segment_id == GOOD)
    assert (change.status, change.leads) == (("approved", "draft, tried"), (2, 4))


def test_an_approval_that_ran_out_is_a_difference_of_status() -> None:
    approval = good().approval
    assert approval is not None
    expired = good(approval=approval.model_copy(update={"expires_on": ON - timedelta(days=1)}), covered_from=None)
    change = next(one for one in compared(shipped(), having(expired)).changes if one.segment_id == GOOD)
    assert (change.kind, change.status, change.left) == ("status", ("approved", "approval expired"), 2)


def test_a_removed_and_an_added_definition_are_named_with_who_refers_to_them() -> None:
    refers = {GOOD: ["campaign C1"], "unsegmented": ["campaign C9"]}
    gone = compared(shipped(), having(removed=(GOOD,)), refers=refers)
    change = next(one for one in gone.changes if one.segment_id == GOOD)
    assert (change.kind, change.status, change.refers) == ("removed", ("approved", "not defined"), ("campaign C1",))
    assert compared(having(removed=(GOOD,)), shipped()).changes[0].kind == "added"


def test_definitions_are_compared_in_words_without_leads() -> None:
    versions = (Version.of("old", shipped(), ON), Version.of("new", having(good(owner="somebody else")), ON))
    found = difference(*versions, on=ON)
    (change,) = found.changes
    assert change.worded == (Worded("owner", good().owner, "somebody else"),)
    assert (found.leads, found.moves, change.enter) == (0, (), None)


def test_no_more_than_five_leads_are_shown_the_first_by_id() -> None:
    everybody = "audience = 'hcp' AND specialty = 'oncology' AND role IN ('physician', 'nurse')"
    change = compared(shipped(), having(good(enter=everybody))).changes[0]
    assert (change.entered, change.entering) == (6, ("L2", "L3", "L4", "L5", "L6"))


CLAUSES = (
    "care_setting = 'community'", "care_setting IN ('inpatient', 'academic')", "role = 'physician'", "role <> 'nurse'",
    "care_setting IS UNKNOWN", "NOT (care_setting = 'outpatient')",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=3).flatmap(
    lambda clauses: st.sampled_from((" AND ", " OR ")).map(lambda word: word.join(clauses))
)


@given(TEXTS, TEXTS, st.booleans(), st.lists(st.booleans(), min_size=8, max_size=8))
@profile(max_examples=30, deadline=None)
def test_the_other_way_round_is_the_mirror_and_counts_add_up(
    first: str, second: str, retired: bool, may: list[bool]
) -> None:
    old = having(good(enter=first, title="Old"), alone=True)
    gone = {"status": "retired", "approval": None} if retired else {}
    new = having(good(enter=second, **gone), alone=True)
    contactable = np.array(may)
    there, back = compared(old, new, contactable=contactable), compared(new, old, contactable=contactable)
    assert there.mirrored() == replace(back, names=("new", "old"))
    assert there.mirrored().mirrored() == there
    assert compared(old, old).is_empty
    for change in there.changes:
        assert change.leads[0] + change.entered - change.left == change.leads[1]
    moved = sum(move.leads for move in there.moves)
    assert moved <= there.affected <= there.leads
    for segment_id in {segment for move in there.moves for segment in (move.left, move.entered)}:
        assert any(change.segment_id == segment_id for change in there.changes)


@given(TEXTS, st.sampled_from(("care_setting", "role")))
@profile(max_examples=40, deadline=None)
def test_values_that_a_condition_cannot_tell_apart_behave_the_same(text: str, fact: str) -> None:
    condition = parse(text, domain().facts, domain().parameters)
    evaluate = as_closure(condition, domain(), ON)
    told = set(tellable(fact, (condition,), domain()))
    every = range(len(domain().facts[fact].values) + 1)
    other = {"care_setting": "role", "role": "care_setting"}[fact]
    for code in range(len(domain().facts[other].values) + 1):
        seen = {evaluate({fact: value, other: code}) for value in every}
        assert seen == {evaluate({fact: value, other: code}) for value in every if value in told}


def test_numbers_are_tried_beside_each_cut_as_far_as_they_can_be() -> None:
    over = parse("touches_7d > 3 AND touches_30d >= 0", domain().facts, domain().parameters)
    assert tellable("touches_7d", (over,), domain()) == [-1, 2, 3, 4]
    assert tellable("touches_30d", (over,), domain()) == [-1, 0, 1]


def test_too_many_combinations_are_drawn_by_lot_and_said_to_be() -> None:
    facts = (
        "specialty",
        "role",
        "care_setting",
        "size",
        "influence",
        "treatment_role",
        "organization_type",
        "lifecycle",
    )
    values = [f"{fact} IN ('{domain().facts[fact].values[0]}', '{domain().facts[fact].values[1]}')" for fact in facts]
    condition = parse(" AND ".join([*values, "touches_7d > 3", "touches_30d > 3"]), domain().facts, domain().parameters)
    tried = Tried.of((condition,), domain(), ON)
    assert (tried.complete, tried.n) == (False, 100_000)
    small = Tried.of((condition,), domain(), ON, only=("size",))
    # unknown, the two named ones and one other
    assert (small.complete, small.n) == (True, 4)
    assert small.example(small.surely(condition)) is None


@pytest.mark.parametrize("day", [date(1990, 1, 1)])
def test_a_parameter_that_is_not_in_force_is_no_crash(day: date) -> None:
    name = next(n for n, p in domain().parameters.items() if all(type(v) is int for v in p.values.values()))
    text = f"touches_7d <= {{{name}}}"
    assert scope(text, "touches_7d <= 3", (domain(), domain()), day) is None
    assert scope(text, "touches_7d <= 3", (domain(), domain()), ON) is not None
