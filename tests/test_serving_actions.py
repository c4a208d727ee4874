"""What is chosen out of what is permitted: intents by purpose, layers by stage, channels by plan; and who takes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from configs.content import Team
from configs.nurture import NurtureSettings
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.inventory import Inventory
from features.records import Case, Lead
from features.tables import NO, UNKNOWN_INSTANT, YES, microseconds
from features.view import ViewRules, view_at
from serving.actions.actions import NO_ACTION, ActionPlan, Chosen
from serving.actions.capacity import _WAITING, FULL, counts, filled
from serving.actions.due import due_at
from serving.actions.teams import Taker, Teams
from serving.kernels import QUEUE_KEYS
from serving.nurture.kernels import CODES, ROWS, TABLES
from serving.nurture.nurture import Nurtured, NurturePlan

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def plan() -> ActionPlan:
    one = shipped()
    return ActionPlan.of(one.actions, one.segments, one.assets, one.vocabularies)


@cache
def unpaced() -> NurturePlan:
    one = shipped().model_copy(update={"nurture": NurtureSettings()})
    return NurturePlan.of(one, one.assets, Inventory.of_settings(one), Domain.of(one))


def segment(segment_id: str) -> int:
    return [one.id for one in shipped().segments].index(segment_id)


def place(asset_id: str) -> int:
    return [*(one.asset_id for one in shipped().assets), "none"].index(asset_id)


def code(vocabulary: str, word: str) -> int:
    return shipped().vocabularies[vocabulary].code(word)


CHANNELS = ("email", "sms", "phone", "rep_visit", "mail", "event", "ads")
BANDS = ("unknown", "cold", "warming", "warm", "hot")


def choose(
    permitted: Any, segment_id: str, band: str = "warm", plan_: ActionPlan | None = None, no_score: bool = False,
    **facts: int,
) -> Chosen:  # fmt: skip
    given = {
        "off_label_open": NO, "adverse_event_open": NO, "meeting_booked": NO, "handover_open": NO, "partner": 0,
        "product_interest": 0, "preferred_channel": 0, "audience": code("audience", "hcp"), "open_case": 0,
    } | facts  # fmt: skip
    codes = {name: np.array([value], dtype=np.uint8) for name, value in given.items()}
    primary, own = np.array([segment(segment_id)], dtype=np.int32), plan_ or plan()
    place_of_band = np.array([BANDS.index(band)], dtype=np.int8)
    # Without nurture: on no track, at the stage of the band, paced by nothing.
    found = np.full((len(ROWS), 1), 99, dtype=np.int32)
    found[ROWS.index("track")], found[ROWS.index("stage")] = (
        -1,
        unpaced().tables[TABLES.index("band"), place_of_band[0]],
    )
    found[ROWS.index("waits")] = 0
    nobody = np.empty((0, 0), dtype=np.bool_)
    rows = np.array([codes.get(name, [0]) for name in CODES], dtype=np.uint8)
    nurtured = Nurtured(found, unpaced().fitting(found, nobody, own, primary, rows))
    return own.choose(permitted, nurtured, primary, place_of_band, np.array([no_score]), codes)


def everything(*channels: str) -> Any:
    found = np.zeros((1, len(shipped().assets) + 1, len(CHANNELS)), dtype=bool)
    for channel in channels or CHANNELS:
        found[:, :, CHANNELS.index(channel)] = True
    return found


def told(chosen: Chosen) -> tuple[str | None, str | None, str]:
    queue = QUEUE_KEYS[int(chosen.queue[0])]
    if chosen.asset[0] == NO_ACTION:
        return None, None, queue
    ids = [*(one.asset_id for one in shipped().assets), "none"]
    return ids[int(chosen.asset[0])], CHANNELS[int(chosen.channel[0])], queue


def test_the_channels_are_those_of_the_vocabulary() -> None:
    assert shipped().vocabularies["channel"].values == CHANNELS
    assert ("unknown", *shipped().vocabularies["band"].values) == BANDS


def test_layers_come_in_the_order_of_stages_and_no_purpose_gets_a_foreign_intent() -> None:
    actions = shipped().actions
    first = {layer: actions.stages.index(stage) for layer, stage in actions.stage_by_layer.items()}
    assert first["education"] < first["conversion"]
    for s, one in enumerate(shipped().segments):
        for g in range(len(actions.stages)):
            for a, asset in enumerate(shipped().assets):
                if plan().suits[s, g, a]:
                    assert g >= first[asset.layer] and asset.intent in actions.intents_by_purpose[one.purpose]
    # The layer alone keeps it back: its depth would let it out at once.
    booking = shipped().assets[place("specialty_care_booking")]
    assert actions.stage_by_depth[booking.depth] == actions.stages[0]
    assert actions.first_stage(booking) == actions.stages.index("evaluation")


@law(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    band=st.sampled_from(BANDS),
    preferred=st.integers(0, len(CHANNELS)),
    at=st.integers(0, 39),
)
def test_an_audience_is_never_chosen_an_event_only_where_planned_and_nothing_forbidden(
    seed: int, band: str, preferred: int, at: int
) -> None:
    permitted = np.random.default_rng(seed).random((1, len(shipped().assets) + 1, len(CHANNELS))) < 0.3
    one = shipped().segments[at % len(shipped().segments)]
    chosen = choose(permitted, one.id, band, preferred_channel=preferred)
    _, channel, _ = told(chosen)
    assert channel != "ads"
    assert channel != "event" or "event" in one.channel_plan
    assert channel is None or permitted[0, chosen.asset[0], chosen.channel[0]]


def test_an_event_is_chosen_where_the_plan_of_the_segment_names_it() -> None:
    planned = tuple(
        one.model_copy(update={"channel_plan": ("event", "email")}) if one.id == "onc_community_center" else one
        for one in shipped().segments
    )
    own = ActionPlan.of(shipped().actions, planned, shipped().assets, shipped().vocabularies)
    product = code("product", "oncology_rx")
    for which, expected in ((own, "event"), (plan(), "email")):
        chosen = choose(everything("event", "email"), "onc_community_center", plan_=which, product_interest=product)
        assert told(chosen)[1] == expected


def test_where_the_first_channel_is_closed_the_next_one_of_the_plan_is_offered() -> None:
    # The plan of the segment: e-mail, then a visit, then mail.
    for open_channels, expected in (
        (("email", "rep_visit", "mail"), "email"), (("rep_visit", "mail"), "rep_visit"), (("mail",), "mail"),
    ):  # fmt: skip
        asset_id, channel, _ = told(choose(everything(*open_channels), "onc_community_center"))
        assert channel == expected and asset_id == "oncology_community_guide"


def test_the_channel_a_lead_prefers_comes_before_the_plan() -> None:
    chosen = choose(everything(), "onc_community_center", preferred_channel=CHANNELS.index("mail") + 1)
    assert told(chosen)[1] == "mail"
    order = plan().preference(segment("onc_community_center"), CHANNELS.index("mail") + 1)
    assert [CHANNELS[c] for c in order] == ["mail", "email", "rep_visit"]
    assert [CHANNELS[c] for c in plan().preference(segment("onc_community_center"), 0)] == [
        "email",
        "rep_visit",
        "mail",
    ]


def test_a_channel_nobody_may_choose_is_in_no_order_even_if_preferred() -> None:
    for channel in ("ads", "event"):
        order = plan().preference(segment("onc_community_center"), CHANNELS.index(channel) + 1)
        assert channel not in [CHANNELS[c] for c in order]


@pytest.mark.parametrize("no_score", [False, True])
@pytest.mark.parametrize("asks", [NO, YES])
def test_an_adverse_event_wins_over_every_other_matter_and_ends_automation(asks: int, no_score: bool) -> None:
    chosen = choose(
        everything(), "onc_community_center", no_score=no_score, adverse_event_open=YES, off_label_open=asks,
        meeting_booked=YES, open_case=1,
    )  # fmt: skip
    assert told(chosen) == (None, None, "adverse_event")


def test_a_question_gets_the_reply_of_medical_information_and_nothing_else() -> None:
    chosen = choose(everything("email"), "software_ehr_health_system", off_label_open=YES)
    assert told(chosen) == ("medical_information_reply", "email", "off_label")
    without = everything("email")
    without[0, place("medical_information_reply")] = False
    assert told(choose(without, "software_ehr_health_system", off_label_open=YES)) == (None, None, "off_label")
    asset_id, _, _ = told(choose(everything(), "software_ehr_health_system"))
    assert asset_id != "medical_information_reply"


# --- by when pharmacovigilance must have it ---------------------------------------------------------------------------


def due(*cases: Case, hours: int | None = 24, adverse: bool = True) -> Any:
    vocabularies = shipped().vocabularies
    tables = encode_records(
        [Lead(lead_id="L1", recorded_at=AS_OF - timedelta(days=9))], cases=list(cases), vocabularies=vocabularies
    )
    known = view_at(tables, AS_OF, ViewRules.of(shipped()))
    kinds = (code("case_kind", "adverse_event"), code("case_kind", "complaint"))
    (found,) = due_at(known, np.array([adverse]), kinds, hours).tolist()
    return None if found == UNKNOWN_INSTANT else (found - microseconds(AS_OF)) / 3_600_000_000


def case(opened: float, kind: str = "adverse_event", recorded: float | None = None, **own: Any) -> Case:
    """Hours before the instant of the decision."""
    at = None if recorded is None else AS_OF - timedelta(hours=recorded)
    name = f"C{opened}{kind}"
    return Case(case_id=name, lead_id="L1", kind=kind, opened_at=AS_OF - timedelta(hours=opened), recorded_at=at, **own)


def test_the_clock_starts_when_the_case_was_opened_or_recorded_whichever_came_first() -> None:
    assert due(case(10)) == 14
    assert due(case(10, recorded=4)) == 14
    assert due(case(4, recorded=4)) == 20
    assert due(case(30)) == -6, "overdue is told as what it is"


def test_the_earliest_case_that_is_open_decides() -> None:
    assert due(case(2), case(9)) == 15
    assert due(case(2), case(9, closed_at=AS_OF - timedelta(hours=1))) == 22


def test_a_complaint_counts_where_it_names_a_product_and_a_meeting_never() -> None:
    assert due(case(5, "complaint", product="implant")) == 19
    assert due(case(5, "complaint")) is None
    assert due(case(5, "meeting")) is None


def test_nothing_is_due_without_a_parameter_or_an_adverse_event() -> None:
    assert due(case(5), hours=None) is None
    assert due(case(5), adverse=False) is None
    assert due() is None


# --- who takes it ----------------------------------------------------------------------------------------------------


def teams(*declared: Team, queue: str = "field_sales") -> Teams:
    actions = shipped().actions.model_copy(update={"teams": {queue: declared}})
    return Teams.of(actions, shipped().vocabularies["language"])


HOT = QUEUE_KEYS.index("hot")
NORTH = Team(id="north", territories=("T1", "T2"), languages=("en",))
SOUTH = Team(id="south", territories=("T3",))


def ids(taker: Taker) -> list[str]:
    return [team.id for team in taker.teams]


def test_the_teams_that_cover_territory_and_language_take_a_lead_the_first_first() -> None:
    own = teams(NORTH, SOUTH, Team(id="everywhere"))
    assert ids(own.taker(HOT, "T1", code("language", "en"))) == ["north", "everywhere"]
    assert ids(own.taker(HOT, "T3", code("language", "de"))) == ["south", "everywhere"]
    assert ids(own.taker(HOT, None, 0)) == ["everywhere"]


def test_where_nobody_takes_it_the_answer_names_what_nobody_covers() -> None:
    own = teams(NORTH, SOUTH)
    assert own.taker(HOT, "T9", code("language", "en")) == Taker((), ("territory", "T9"))
    assert own.taker(HOT, None, code("language", "en")) == Taker((), ("territory", ""))
    assert own.taker(HOT, "T1", code("language", "de")) == Taker((), ("language", "de"))


def test_an_unknown_language_excludes_nobody_and_a_queue_nobody_declared_takes_everything() -> None:
    own = teams(NORTH)
    assert ids(own.taker(HOT, "T1", 0)) == ["north"]
    assert own.taker(QUEUE_KEYS.index("warm"), None, 0) == Taker((), open=True)


def waiting(*rows: tuple[str, int, float, list[str]], queue: str = "q") -> Any:
    import pyarrow as pa

    keys = ("lead_id", "band", "probability", "teams")
    given = [dict(zip(keys, row, strict=True)) | {"queue": queue, "territory": None} for row in rows]
    return pa.Table.from_pylist(given, schema=_WAITING)


def test_teams_fill_by_readiness_and_who_finds_no_room_is_told_so() -> None:
    declared = {"q": (Team(id="a", capacity_a_day=1), Team(id="b", capacity_a_day=1))}
    rows = waiting(
        ("L1", 4, 0.3, ["a", "b"]), ("L2", 4, 0.9, ["a"]), ("L3", 3, 0.99, ["a", "b"]), ("L4", 4, 0.1, ["a", "b"]),
        ("L5", 4, 0.2, []),
    )  # fmt: skip
    found = filled([rows], declared).to_pylist()
    # By band, then readiness: L2, L1, L5, L4, L3.
    assert [(row["lead_id"], row["place"], row["team"]) for row in found] == [
        ("L2", 1, "a"), ("L1", 2, "b"), ("L5", 3, None), ("L4", 4, None), ("L3", 5, None)
    ]  # fmt: skip
    assert [row["says"] for row in found] == [None, None, "no team covers its territory and language", FULL, FULL]
    assert counts(filled([rows], declared)) == {"q": {"a": 1, "b": 1, "nobody": 3}}


def test_equal_readiness_is_settled_by_the_lead_id_and_a_team_without_a_capacity_is_never_full() -> None:
    declared = {"q": (Team(id="a", capacity_a_day=1), Team(id="b"))}
    rows = waiting(("L2", 4, 0.5, ["a", "b"]), ("L1", 4, 0.5, ["a", "b"]), ("L3", 4, 0.5, ["a", "b"]))
    assert filled([rows], declared)["team"].to_pylist() == ["a", "b", "b"]
    assert filled([rows], declared)["lead_id"].to_pylist() == ["L1", "L2", "L3"]


@law(deadline=None, max_examples=25)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([["a"], ["b"], ["a", "b"], []])),
        max_size=12,
    ),
    cut=st.integers(0, 12),
)
def test_how_the_leads_were_partitioned_does_not_matter_and_no_team_takes_more_than_it_can(
    rows: list[tuple[int, float, list[str]]], cut: int
) -> None:
    declared = {"q": (Team(id="a", capacity_a_day=2), Team(id="b", capacity_a_day=1))}
    listed = [(f"L{n}", *row) for n, row in enumerate(rows)]
    whole = filled([waiting(*listed)], declared)
    assert whole.equals(filled([waiting(*listed[cut:]), waiting(*listed[:cut])], declared))
    taken = whole["team"].to_pylist()
    assert taken.count("a") <= 2 and taken.count("b") <= 1
    assert sorted(whole["lead_id"].to_pylist()) == sorted(row[0] for row in listed)
