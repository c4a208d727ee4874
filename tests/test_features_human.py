"""How likely a person made an event: evidence by hand, and laws."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.encode import encode_records
from features.human import HumanRules, weighed
from features.intake.sources import find_files, read_tables
from features.mail_domains import learned_domains, with_mail_domains
from features.pipeline import build_features, fit_spec
from features.records import Event, Lead, Touch
from features.view import ViewRules, usable

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SENT = AS_OF - timedelta(days=10)
SETTINGS = load_settings()
SPEC = fit_spec(SETTINGS)
VIEW = ViewRules.of(SETTINGS)
HUMAN = SETTINGS.features.human
assert HUMAN is not None
# Evidence with round numbers, so that what comes out can be told by hand: 16 / (1 + exp(-log_odds)), rounded.
PLAIN = HUMAN.model_copy(
    update={
        "prior": 0.0,
        "priors": {"email_open": 0.0, "email_click": 1.0},
        "agents": {"browser": 1.0, "image_proxy": 2.0, "security_gateway": -3.0},
        "domains": {},
    }
)


def touch(number=1, message="M1", lead="L1", at=SENT, late=timedelta(0)):
    return Touch(touch_id=f"T{number}", lead_id=lead, sent_at=at, recorded_at=at + late, message_id=message)


def event(number, after, kind="email_open", message="M1", lead="L1", late=timedelta(0), **fields):
    at = SENT + timedelta(seconds=after)
    return Event(
        event_id=f"E{number}",
        lead_id=lead,
        occurred_at=at,
        recorded_at=at + late,
        kind=kind,
        message_id=message,
        **fields,
    )


def person(lead, **fields):
    """Somebody whose opens and clicks may be read until an objection."""
    return Lead(lead_id=lead, audience="hcp", country="US", recorded_at=AS_OF - timedelta(days=300), **fields)


def world(events, touches=(), leads=("L1",), **fields):
    return encode_records(
        [person(lead, **fields) for lead in leads],
        events=events,
        touches=list(touches),
        vocabularies=SETTINGS.vocabularies,
    )


def levels(events, touches=(), declared=PLAIN, as_of=AS_OF, learned=None, **fields):
    rules = HumanRules.of(declared, SETTINGS.vocabularies, learned)
    return weighed(world(events, touches, **fields), as_of, rules).events.get("human", np.empty(0)).tolist()


def sixteenths(log_odds):
    return round(16 / (1 + math.exp(-log_odds)))


def test_kind_and_agent_add_up_as_log_odds():
    page = "page_view"
    events = [
        event(1, 90_000, page, None),
        event(2, 90_000, page, None, agent="browser"),
        event(3, 90_000, page, None, agent="security_gateway"),
        event(4, 90_000, page, None, agent="no such agent"),
    ]
    assert levels(events) == [8, sixteenths(1), sixteenths(-3), 8]


def test_what_a_gateway_cannot_do_counts_in_full_whoever_fetched_it():
    kinds = ("demo_request", "meeting_request", "webinar_attend", "field_visit")
    assert levels([event(i, 1, kind, agent="bot") for i, kind in enumerate(kinds)], [touch()]) == [16] * 4


@pytest.mark.parametrize(
    ("after", "evidence"), [(0, -6), (3, -6), (4, -4), (20, -4), (21, -1), (60, -1), (61, 0), (86_400, 0)]
)
def test_an_opening_within_seconds_of_sending_was_not_made_by_a_person(after, evidence):
    assert levels([event(1, after)], [touch()]) == [sixteenths(evidence)]


def test_the_delay_is_since_the_last_sending_of_that_message_to_that_lead():
    resent = touch(2, at=SENT + timedelta(days=1))
    other = touch(3, message="M2", at=SENT + timedelta(seconds=119))
    stranger = touch(4, lead="L2", at=SENT + timedelta(seconds=119))
    assert levels([event(1, 120)], [touch(), resent, other, stranger], leads=("L1", "L2")) == [8]
    assert levels([event(1, 86_402)], [touch(), resent]) == [sixteenths(-6)]


def test_an_image_proxy_shows_the_picture_when_the_person_looks():
    """Dropping every open of a mail service that proxies pictures loses its people (mautic 16069)."""
    assert levels([event(1, 3_000, agent="image_proxy")], [touch()]) == [sixteenths(2)]
    assert levels([event(1, 3_000, agent="image_proxy")], [touch()], HUMAN)[0] >= 14
    assert levels([event(1, 3_000, agent="prefetch")], [touch()], HUMAN)[0] <= 4


def test_a_click_without_opening_or_visit_has_left_no_trace():
    click = event(1, 600, "email_click")
    assert levels([click]) == [sixteenths(1 - 1)]
    assert levels([click, event(2, 590)])[0] == sixteenths(1)
    assert levels([click, event(2, 610)])[0] == sixteenths(0), "opened only afterwards"
    assert levels([click, event(2, 590, message="M2")])[0] == sixteenths(0), "opened another message"
    assert levels([click, event(2, 600 + 1800, "page_view", None)])[0] == sixteenths(1)
    assert levels([click, event(2, 600 + 1801, "page_view", None)])[0] == sixteenths(0)
    assert levels([click, event(2, 599, "page_view", None)])[0] == sixteenths(0), "a visit before says nothing"


def test_many_clicks_at_once_are_a_scanner_s_and_the_same_clicks_apart_are_not():
    opened = event(0, 500)
    at_once = [opened, *(event(1 + i, 600 + i, "email_click") for i in range(4))]
    assert levels(at_once)[1:] == [sixteenths(1 - 4)] * 4
    assert levels(at_once[:4])[1:] == [sixteenths(1)] * 3, "three clicks are no burst"
    apart = [opened, *(event(1 + i, 600 + 2 * i, "email_click") for i in range(4))]
    assert levels(apart)[1:] == [sixteenths(1)] * 4
    others = [opened, *(event(1 + i, 600, "email_click", lead=f"L{1 + i % 2}") for i in range(6))]
    assert sixteenths(1 - 4) not in levels(others, leads=("L1", "L2"))


def test_a_burst_in_a_long_row_of_clicks_is_told_from_the_others():
    after = [600, 610, 620, 621, 622, 623, 640, 650]
    found = levels([event(0, 500), *(event(1 + i, s, "email_click") for i, s in enumerate(after))])[1:]
    assert found == [sixteenths(1)] * 2 + [sixteenths(-3)] * 4 + [sixteenths(1)] * 2


def test_a_mail_domain_speaks_only_where_the_delay_is_not_known():
    declared = PLAIN.model_copy(update={"domains": {"gate.example": -2.0}})
    gate = {"mail_domain": "Gate.Example."}
    assert levels([event(1, 9_000)], [], declared, **gate) == [sixteenths(-2)]
    assert levels([event(1, 9_000)], [touch()], declared, **gate) == [8]
    assert levels([event(1, 9_000)], [], declared, mail_domain="other.example") == [8]
    learned = {"gate.example": -1.0, "own.example": -1.0}
    assert levels([event(1, 9_000)], [], declared, learned=learned, **gate) == [sixteenths(-2)], "declared goes first"
    assert levels([event(1, 9_000)], [], PLAIN, learned=learned, mail_domain="own.example") == [sixteenths(-1)]


def test_evidence_that_came_later_changes_nothing_before():
    late = [touch(late=timedelta(days=3))]
    assert levels([event(1, 2)], late, as_of=SENT + timedelta(days=2)) == [8]
    assert levels([event(1, 2)], late, as_of=SENT + timedelta(days=4)) == [sixteenths(-6)]
    opened_late = [event(1, 600, "email_click"), event(2, 590, late=timedelta(days=3))]
    assert levels(opened_late, as_of=SENT + timedelta(days=2))[0] == sixteenths(0)
    assert levels(opened_late, as_of=SENT + timedelta(days=4))[0] == sixteenths(1)


def test_nothing_declared_weighs_nothing():
    tables = world([event(1, 2)], [touch()])
    assert weighed(tables, AS_OF, None) is tables


def values(tables):
    features = build_features(tables, AS_OF, SPEC, VIEW)
    return dict(zip(features.names, features.matrix[0].tolist(), strict=True))


def test_a_gateway_counts_for_little_and_its_share_is_told():
    machine = [event(i, 2, "email_click", f"M{i}") for i in range(3)]
    touches = [touch(i, f"M{i}") for i in range(3)]
    seen = values(world(machine, touches))
    assert seen["engagement_email_click_count_30d"] <= 3 / 16
    assert seen["engagement_suspect_event_count_90d"] == 3
    assert math.isnan(seen["engagement_days_since_last_email_click"]), "a machine's click is nobody's activity"
    person = [event(9, 90_000, "page_view", None)]
    both = values(world([*machine, *person], touches))
    assert both["engagement_page_view_count_30d"] == 1
    assert 0 <= both["engagement_suspect_share"] < 0.2
    assert both["engagement_active_day_count_90d"] == 1


def test_the_suspect_share_is_what_suspect_events_make_of_the_decayed_sum():
    events = [event(1, 90_000, "page_view", None), event(2, 90_000, "page_view", None, agent="security_gateway")]
    declared = SETTINGS.features.model_copy(update={"human": PLAIN.model_copy(update={"prior": 2.0})})
    told = SETTINGS.model_copy(update={"features": declared})
    spec, view = fit_spec(told), ViewRules.of(told)
    features = build_features(world(events), AS_OF, spec, view)
    share = features.matrix[0, features.names.index("engagement_suspect_share")]
    assert share == sixteenths(-1) / (sixteenths(2) + sixteenths(-1))


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["email_open", "email_click", "page_view", "demo_request", "off_label_question"]),
        st.sampled_from([0, 1, 2, 5, 30, 600, 2_000]),
        st.sampled_from(["M1", "M2", None]),
        st.sampled_from([None, "browser", "prefetch"]),
        st.sampled_from(["L1", "L2"]),
    ),
    max_size=14,
)
SENDS = st.lists(st.tuples(st.sampled_from(["M1", "M2"]), st.sampled_from([0, 1, 600]), st.sampled_from(["L1", "L2"])))


def made(rows, sends):
    events = [event(i, after, kind, m, lead, agent=agent) for i, (kind, after, m, agent, lead) in enumerate(rows)]
    return events, [touch(i, m, lead, SENT + timedelta(seconds=s)) for i, (m, s, lead) in enumerate(sends)]


@settings(deadline=None, max_examples=40)
@given(rows=ROWS, sends=SENDS, seed=st.integers(0, 2**16))
def test_neither_order_nor_neighbours_matter(rows, sends, seed):
    events, touches = made(rows, sends)
    expected = dict(zip([e.event_id for e in events], levels(events, touches, HUMAN, leads=("L1", "L2")), strict=True))
    draw = np.random.default_rng(seed)
    events, touches = ([rows[i] for i in draw.permutation(len(rows))] for rows in (events, touches))
    found = levels(events, touches, HUMAN, leads=("L1", "L2"))
    assert dict(zip([e.event_id for e in events], found, strict=True)) == expected
    alone = [e for e in events if e.lead_id == "L1"]
    own = levels(alone, [t for t in touches if t.lead_id == "L1"], HUMAN)
    assert own == [expected[e.event_id] for e in alone]


@settings(deadline=None, max_examples=40)
@given(rows=ROWS, sends=SENDS)
def test_questions_about_an_off_label_use_change_no_weight(rows, sends):
    events, touches = made(rows, sends)
    kept = [e for e in events if e.kind != "off_label_question"]
    found = dict(zip([e.event_id for e in events], levels(events, touches, HUMAN, leads=("L1", "L2")), strict=True))
    assert [found[e.event_id] for e in kept] == levels(kept, touches, HUMAN, leads=("L1", "L2"))


def test_a_file_and_a_request_weigh_alike(tmp_path: Path):
    rng = np.random.default_rng(5)
    rows, sends = [], []
    for lead in range(30):
        for m in range(3):
            sends.append((f"M{m}", 0, f"L{lead}"))  # one message id for everybody, as newsletters have
            rows += [
                (kind, int(rng.choice([1, 2, 40, 4_000])), f"M{m}", None, f"L{lead}")
                for kind in ("email_open", "email_click", "email_click")
            ]
    events, touches = made(rows, sends)
    leads = tuple(f"L{i}" for i in range(30))
    online = build_features(world(events, touches, leads), AS_OF, SPEC, VIEW)
    files = {}
    for name, rows_ in (("leads", [person(lead) for lead in leads]), ("events", events), ("touches", touches)):
        files[name] = pa.Table.from_pylist(
            [{f: getattr(r, f) for f in r.__struct_fields__ if getattr(r, f) is not None} for r in rows_]
        )
    for name, table in files.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    paths = {name: tmp_path / f"{name}.parquet" for name in files}
    for part in (None, (0, 2), (1, 2)):
        tables = read_tables(paths, SETTINGS, partition=part).tables
        batch = build_features(replace(tables, colleagues={}), AS_OF, SPEC, VIEW)
        place = {lead: row for row, lead in enumerate(online.lead_ids.tolist())}
        rows_of = [place[lead] for lead in batch.lead_ids.tolist()]
        np.testing.assert_array_equal(batch.matrix, online.matrix[rows_of])
    assert np.nanmax(online.matrix[:, online.names.index("engagement_suspect_share")]) > 0


def behind(domain, answers, soon, people=10):
    """Leads of one domain, each with as many answered messages, so many of them within seconds."""
    events, touches, leads = [], [], []
    for p in range(people):
        name = f"{domain}-{p}"
        leads.append(person(name, mail_domain=f"{domain}.example"))
        for i in range(answers):
            number = f"{name}-{i}"
            touches.append(touch(number, number, name))
            events.append(event(number, 2 if i < soon else 7_200, message=number, lead=name))
    return leads, events, touches


def test_a_domain_whose_messages_are_answered_within_seconds_is_learned():
    parts = [behind("gate", 8, 8), behind("home", 8, 0), behind("few", 8, 8, people=9), behind("half", 8, 5)]
    leads, events, touches = ([row for part in parts for row in part[i]] for i in range(3))
    tables = encode_records(leads, events=events, touches=touches, vocabularies=SETTINGS.vocabularies)
    rules = HumanRules.of(HUMAN, SETTINGS.vocabularies)
    learned = learned_domains(tables, AS_OF, rules)
    # 80 answers, all of them soon, and 20 imagined ones that are not: 0.8 of 1. Half's are 50 of 100.
    assert learned == {"gate.example": round(math.log(0.2 / 0.8), 4)}
    assert learned_domains(tables, SENT, rules) == {}, "nothing was answered yet"
    spec = with_mail_domains(SPEC, tables, AS_OF, VIEW)
    assert spec.mail_domains == learned
    assert type(spec).from_json(spec.to_json()) == spec
    assert spec.version != SPEC.version


def test_in_the_made_world_gateways_are_told_from_people(small_world):
    """The truth knows which leads sit behind a gateway; weights see agents, delays and messages only."""
    read = read_tables(find_files(small_world / "data"), SETTINGS, assets=SETTINGS.assets, as_of=AS_OF)
    tables = usable(read.tables, AS_OF, VIEW)
    events = weighed(tables, AS_OF, VIEW.human).events
    truth = pq.read_table(small_world / "data" / "truth.parquet", columns=["lead_id", "is_bot_gateway"])
    behind_gateway = dict(zip(*truth.to_pydict().values(), strict=True))
    gateway = np.array([behind_gateway[lead] for lead in tables.lead_ids])
    mail = np.isin(events["kind"], [SETTINGS.vocabularies["event_kind"].code(k) for k in ("email_open", "email_click")])
    mine = mail & (events["lead"] >= 0)
    lead, suspect = events["lead"][mine], events["human"][mine] < 8
    assert suspect[~gateway[lead]].mean() < 0.02
    assert 0.5 < suspect[gateway[lead]].mean() < 1, "people behind a gateway open and click too"
