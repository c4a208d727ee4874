"""Every stalled lead has one reason, derivable by hand, and every lead with a stage counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from configs.learning import LearningRules
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.records import Event, Lead, Touch
from training.learning.progress import Progress, as_plain
from training.learning.reasons import SAYS, SEES_TO
from training.learning.stalls import REASONS, progress_of
from training.learning.standing import BLOCKED, REACHED, UNKNOWN, UNSAID, Words, reach_of

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
MOVE = {"unit": "lead", "kind": "stage", "product": "software", "evidence": "fair"}
CHANNELS = ("email", "phone")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def settings() -> Settings:
    rules = LearningRules(stall_days={"awareness": 60, "education": 45, "evaluation": 45, "proposal": 30}, min_leads=2)
    return shipped().model_copy(update={"learning": rules})


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def stages(rows: Sequence[tuple[str, str | None, float]], product: str = "software") -> pa.Table:
    return pa.table(
        {
            "lead_id": pa.array([row[0] for row in rows], pa.string()),
            "product": pa.array([product] * len(rows), pa.string()),
            "stage": pa.array([row[1] for row in rows], pa.string()),
            "since": pa.array([ago(row[2]) for row in rows], pa.timestamp("us", "UTC")),
        }
    )


def moves(rows: list[tuple[str, str | None, str | None, float, float]]) -> pa.Table:
    """Moves of stage: lead, old, new, days ago, days in the old stage before."""
    return pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.string()),
            "kind": pa.array(["stage"] * len(rows), pa.string()),
            "old": pa.array([row[1] for row in rows], pa.string()),
            "new": pa.array([row[2] for row in rows], pa.string()),
            "at": pa.array([ago(row[3]) for row in rows], pa.timestamp("us", "UTC")),
            "since": pa.array([ago(row[3] + row[4]) for row in rows], pa.timestamp("us", "UTC")),
            "why": [[{"fact": "signal", "known": "known", "value": "tries: asks for a demo"}] for _ in rows],
        }
    )


def decision(lead: str, *, queue: str = "nurture", action: str = "send_guide", team: str | None = None,
             reasons: dict[str, tuple[str, str]] | None = None, segment: str = "S") -> dict[str, Any]:  # fmt: skip
    """A row of the decision table; `reasons` has for a channel that is not permitted a rule and its reason."""
    against = reasons or {}
    row: dict[str, Any] = {"lead_id": lead, "primary_segment": segment, "queue": queue, "action": action, "team": team}
    for channel in CHANNELS:
        rule = against.get(channel)
        row[f"{channel}_permitted"] = rule is None
        row[f"{channel}_rules"] = [rule[0]] if rule else []
        row[f"{channel}_reasons"] = [rule[1]] if rule else []
    return row


def decisions(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {name: pa.list_(pa.string()) for c in CHANNELS for name in (f"{c}_rules", f"{c}_reasons")}
    kinds |= {f"{c}_permitted": pa.bool_() for c in CHANNELS}
    names = list(decision("x"))
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in names})


NO_CONSENT = {"email": ("EU-03", "EU_NO_CONSENT"), "phone": ("EU-04", "EU_NO_CONSENT")}
NOBODY_KNOWS = {"email": ("EU-03", "EU_NO_CONSENT"), "phone": ("NO_LEGAL_BASIS", "NO_LEGAL_BASIS")}
NO_CONTENT = {"email": ("CON-01", "ASSET_NOT_APPROVED"), "phone": ("EU-04", "EU_NO_CONSENT")}
# One lead for each reason, each in evaluation for 50 days, where 45 are the limit.
LEADS: dict[str, dict[str, Any] | None] = {
    "NOT_DECIDED": None,
    "NOT_SCORED": decision("NOT_SCORED", queue="data_protection", reasons=NO_CONSENT),
    "HELD_OUT": decision("HELD_OUT", queue="holdout"),
    "NO_CAPACITY": decision("NO_CAPACITY", queue="field_sales"),
    "WITH_SALES": decision("WITH_SALES", queue="field_sales", team="field_sales"),
    "BLOCKED": decision("BLOCKED", reasons=NO_CONSENT),
    "NO_PERMISSION_KNOWN": decision("NO_PERMISSION_KNOWN", reasons=NOBODY_KNOWS),
    "NOTHING_APPROVED": decision("NOTHING_APPROVED", reasons=NO_CONTENT),
    "NOT_TOUCHED": decision("NOT_TOUCHED"),
    "NOT_DEEPER": decision("NOT_DEEPER"),
    "WAITS_FOR_ANSWER": decision("WAITS_FOR_ANSWER"),
    "NO_ANSWER": decision("NO_ANSWER"),
}


@cache
def world() -> Any:
    """Touches and events: who was touched five or twenty days ago, who answered, and what does not count."""
    leads = [Lead(lead_id=name, recorded_at=ago(200)) for name in (*LEADS, "young", "last")]
    touched = {"NOT_DEEPER": 20, "WAITS_FOR_ANSWER": 5, "NO_ANSWER": 20}
    touches = [
        Touch(touch_id=name, lead_id=name, sent_at=ago(days), recorded_at=ago(days), asset_id="software_overview")
        for name, days in touched.items()
    ]
    # Before the stage began, a medical reply, and recorded after the day: none counts.
    touches += [
        Touch(touch_id="early", lead_id="NOT_TOUCHED", sent_at=ago(60), recorded_at=ago(60)),
        Touch(
            touch_id="reply", lead_id="NOT_TOUCHED", sent_at=ago(3), recorded_at=ago(3), intent="medical_information"
        ),
        Touch(touch_id="late", lead_id="NOT_TOUCHED", sent_at=ago(2), recorded_at=AS_OF + timedelta(days=1)),
    ]
    events = [
        Event(event_id="e1", lead_id="NOT_DEEPER", occurred_at=ago(10), recorded_at=ago(10), kind="page_view"),
        Event(event_id="e2", lead_id="NO_ANSWER", occurred_at=ago(70), recorded_at=ago(70), kind="page_view"),
    ]
    return encode_records(vocabularies=shipped().vocabularies, leads=leads, touches=touches, events=events,
                          asset_ids=("software_overview",))  # fmt: skip


def found(own: pa.Table | None = None, moved: pa.Table | None = None, decided: pa.Table | None = None) -> Progress:
    rows = [(name, "evaluation", 50.0) for name in LEADS] + [("young", "evaluation", 45.0), ("last", "advocacy", 900.0)]
    all_decided = decisions([row for row in LEADS.values() if row] + [decision("young"), decision("last")])
    return progress_of(
        stages(rows) if own is None else own, moves([]) if moved is None else moved,
        all_decided if decided is None else decided, world(), settings(), AS_OF,
    )  # fmt: skip


def test_every_reason_is_the_first_that_holds() -> None:
    rows = found().rows.to_pydict()
    assert dict(zip(rows["lead_id"], rows["reason"], strict=True)) == {name: name for name in LEADS}
    assert set(rows["days"]) == {50} and set(rows["limit_days"]) == {45}


def test_every_reason_has_its_words_and_who_sees_to_it() -> None:
    assert set(SAYS) == set(SEES_TO) == set(REASONS)
    duties = {duty.id for duty in shipped().ownership.duties}
    assert set(SEES_TO.values()) <= duties


def test_only_longer_than_the_limit_has_stalled_and_a_stage_without_limit_never() -> None:
    progress = found()
    # Twelve leads for 50 days, one for 45; one in advocacy, which has no limit.
    assert (progress.leads, progress.stalled, progress.undated, progress.undecided) == (14, 12, 1, 1)
    evaluation = next(one for one in progress.groups if (one.segment, one.stage) == ("S", "evaluation"))
    assert (evaluation.stalled.hits, evaluation.stalled.of, evaluation.days) == (11, 12, 50.0)
    undecided = next(one for one in progress.groups if one.segment == "")
    assert (undecided.stalled.hits, undecided.reasons) == (1, (("NOT_DECIDED", 1),))
    # Rules are told of those whom no channel reaches: two of EU-03, and so on.
    assert dict(evaluation.rules) == {"EU-03": 2, "EU-04": 2, "CON-01": 1, "NO_LEGAL_BASIS": 1}


def test_a_product_may_take_longer() -> None:
    rules = replace_days(settings(), {"implant": {"evaluation": 90}})
    own = stages([("NOT_TOUCHED", "evaluation", 50.0)], "implant")
    assert progress_of(own, moves([]), decisions([decision("NOT_TOUCHED")]), world(), rules, AS_OF).stalled == 0


def replace_days(given_: Settings, by_product: dict[str, dict[str, int]]) -> Settings:
    return given_.model_copy(update={"learning": given_.learning.model_copy(update={"by_product": by_product})})


def test_moves_say_from_where_to_where_after_what() -> None:
    moved = moves(
        [
            ("NOT_DEEPER", "education", "evaluation", 18.0, 30.0),
            ("NO_ANSWER", "education", "evaluation", 18.0, 40.0),
            ("young", "evaluation", "education", 10.0, 20.0),
            ("last", "education", "evaluation", 91.0, 20.0),
        ]
    )
    steps = {(one.old, one.new): one for one in found(moved=moved).steps}
    forward = steps["education", "evaluation"]
    # Both were touched two days before; their days in education were 30 and 40. The move of 91 days ago is too old.
    assert (forward.leads, forward.forward, forward.days) == (2, True, 35.0)
    assert (forward.touched.hits, forward.touched.of) == (2, 2)
    assert forward.assets == (("software_overview", 2),) and forward.signals == (("asks for a demo", 2),)
    back = steps["evaluation", "education"]
    assert (back.leads, back.forward, back.touched.hits) == (1, False, 0)


def test_reach_takes_the_kindest_channel() -> None:
    words = Words.of(shipped())
    rows = [decision("a"), decision("b", reasons=NO_CONTENT), decision("c", reasons=NOBODY_KNOWS)]
    rows.append(decision("d", reasons=NO_CONSENT))
    codes, against = reach_of(decisions(rows), words)
    assert codes.tolist() == [REACHED, UNSAID, UNKNOWN, BLOCKED]
    assert against == [(), ("CON-01", "EU-04"), ("EU-03", "NO_LEGAL_BASIS"), ("EU-03", "EU-04")]


def test_without_decisions_nobody_knows_and_without_stages_nothing_is_said() -> None:
    nothing = found(decided=decisions([]))
    assert set(nothing.rows["reason"].to_pylist()) == {"NOT_DECIDED"} and nothing.undecided == 14
    empty = found(own=stages([]))
    assert (empty.leads, empty.stalled, empty.groups, empty.rows.num_rows) == (0, 0, (), 0)


ROWS = st.tuples(
    st.sampled_from(sorted(LEADS)), st.sampled_from(["awareness", "evaluation", "advocacy", None]), st.integers(0, 200)
)


@given(st.lists(ROWS, max_size=14, unique_by=lambda row: row[0]))
@given_settings(deadline=None, max_examples=25)
def test_every_lead_counts_once_and_every_stalled_one_has_one_reason(rows: list[tuple[str, str | None, int]]) -> None:
    progress = found(own=stages([(name, stage, float(days)) for name, stage, days in rows]))
    with_stage = [row for row in rows if row[1] is not None]
    assert sum(one.stalled.of for one in progress.groups) == progress.leads == len(with_stage)
    assert (
        sum(count for one in progress.groups for _, count in one.reasons) == progress.stalled == progress.rows.num_rows
    )
    limits = settings().learning.stall_days
    assert progress.stalled == sum(days > limits.get(stage or "", 10**6) for _, stage, days in with_stage)
    assert np.isin(progress.rows["reason"].to_pylist(), REASONS).all()
    assert as_plain(replace(progress, rows=progress.rows.slice(0, 0)))["stalled"] == progress.stalled


def test_a_file_of_rules_that_names_what_nobody_has_is_refused() -> None:
    from configs.learning import learning_problems

    rules = LearningRules(stall_days={"soup": 3, "education": 0}, by_product={"tea": {"education": 4}})
    given_ = {"learning": rules, "actions": shipped().actions, "vocabularies": shipped().vocabularies}
    keys = [problem.key for problem in learning_problems(given_)]
    assert keys == ["by_product.tea", "stall_days.soup", "stall_days.education"]


def test_a_stage_without_days_never_stalls() -> None:
    rules = LearningRules(stall_days={"education": 10}, by_product={"implant": {"education": 20}})
    assert [rules.days("education", None), rules.days("education", "implant"), rules.days("advocacy", None)] == [
        10,
        20,
        None,
    ]
    with pytest.raises(ValueError, match="window_days"):
        LearningRules(window_days=1)
