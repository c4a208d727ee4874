"""Where our services are: what is asked for, where, and when; and that nothing is booked where nobody could come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.services import Service, ServiceSettings, service_problems
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.records import Lead
from features.services import Services
from features.tables import NO, YES
from features.view import view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)
TODAY = (AS_OF.date() - date(1970, 1, 1)).days
ANSWER = {0: None, NO: "no", YES: "yes"}


@cache
def shipped() -> Settings:
    return load_settings()


def service(**own: Any) -> Service:
    given = {
        "id": "clinics",
        "says": "clinics",
        "products": ["specialty_care"],
        "countries": ["US"],
        "from": "2020-01-01",
    }
    return Service.model_validate(given | own)


def settled(*services: Service, **asked_by: str) -> Settings:
    return shipped().model_copy(update={"services": ServiceSettings(asked_by=asked_by, services=services)})


def offered(
    settings: Settings, product: str = "", condition: str = "", country: str = "", state: str = "", day: int = TODAY
) -> str | None:
    words = settings.vocabularies
    place = tuple(
        words[name].code(value) if value else 0
        for name, value in (
            ("product", product),
            ("condition_focus", condition),
            ("country", country),
            ("us_state", state),
        )
    )
    return ANSWER[int(Services.of(settings).on(day)[place])]


@pytest.mark.parametrize(
    ("condition", "country", "state", "expected"),
    [
        ("diabetes", "US", "NY", "yes"),  # the clinics of the state, for every condition
        ("", "US", "NY", "yes"),  # whatever the condition is
        ("diabetes", "US", "NV", "no"),  # by video only, and for joint pain only
        ("joint_pain", "US", "NV", "yes"),
        ("", "US", "NV", None),  # it depends on the condition
        ("diabetes", "US", "AK", "no"),
        ("", "US", "AK", "no"),
        ("diabetes", "US", "", None),  # it depends on the state
        ("diabetes", "DE", "", "yes"),
        ("diabetes", "BR", "", "no"),
        ("diabetes", "", "", None),
    ],
)
def test_a_service_is_offered_by_condition_and_place_and_what_is_not_known_is_not_guessed(
    condition: str, country: str, state: str, expected: str | None
) -> None:
    found = settled(
        service(states=["NY"], countries=["US", "DE"]),
        service(id="video", conditions=["joint_pain"], states=["NV"]),
    )
    assert offered(found, "specialty_care", condition, country, state) == expected


def test_what_needs_no_service_in_place_is_limited_by_nothing() -> None:
    found = settled(service(states=["NY"]))
    assert offered(found, "software", "", "BR") == offered(found, "", "", "") == "yes"
    assert offered(settled(), "specialty_care", "", "US", "AK") == "yes"


def test_a_service_is_offered_from_its_first_day_until_the_day_that_it_ends() -> None:
    found = settled(service(**{"from": "2026-06-30", "until": "2026-07-02"}))
    answers = [offered(found, "specialty_care", "", "US", "NY", TODAY + day) for day in (-1, 0, 1, 2)]
    assert answers == ["no", "yes", "yes", "no"]


def test_learning_more_never_turns_a_sure_answer_around() -> None:
    table = Services.of(shipped()).on(TODAY)[shipped().vocabularies["product"].code("specialty_care")]
    assert {0, NO, YES} <= set(table.ravel().tolist())
    for axis in (0, 1, 2):
        unknown = np.take(table, [0], axis=axis)
        assert ((unknown == 0) | (unknown == table)).all()


def fact(**own: Any) -> str | None:
    given = {"recorded_at": DAY, "created_at": DAY, "verified_at": DAY, "country": "US", "region": "NV"} | own
    tables = encode_records([Lead(lead_id="L1", **given)], vocabularies=shipped().vocabularies)  # type: ignore[arg-type]
    builder = builder_of()
    found = facts_of(view_at(tables, AS_OF, builder.view), builder, Inventory.of((), shipped().vocabularies))
    one = found.one
    assert one is not None and one["service_offered"] == int(found.columns["service_offered"][0, 0, 0])
    return ANSWER[one["service_offered"]]


@cache
def builder_of() -> FactBuilder:
    return FactBuilder.of(shipped())


def test_the_fact_goes_by_what_the_lead_named_else_by_what_its_audience_asks_for() -> None:
    assert fact(audience="hcp") == "yes"
    assert fact(audience="hcp", product_interest="specialty_care", region="AK") == "no"
    assert fact(audience="patient", region="AK") == "no"
    assert fact(audience="patient", region="AK", product_interest="software") == "yes"
    assert fact(audience="patient", region="New York") == "yes"


def test_a_place_that_nobody_vouched_for_lately_is_not_known() -> None:
    long_ago = AS_OF - timedelta(days=401)
    stale = {"recorded_at": long_ago, "created_at": long_ago, "verified_at": long_ago}
    assert fact(audience="patient", region="AK", **stale) is None
    assert fact(audience="patient", region="AK", **(stale | {"verified_at": DAY})) == "no"


def test_a_register_that_names_what_does_not_exist_is_refused() -> None:
    wrong = ServiceSettings(
        asked_by={"nobody": "specialty_care", "patient": "teeth"},
        services=(
            service(products=["teeth"]),
            service(countries=["DE"], states=["NY"], until="2019-01-01"),
        ),
    )
    problems = service_problems({"services": wrong, "vocabularies": shipped().vocabularies})
    assert sorted(problem.key for problem in problems) == [
        "asked_by.nobody", "asked_by.patient", "services.clinics", "services.clinics.products",
        "services.clinics.states", "services.clinics.until",
    ]  # fmt: skip


def test_nothing_is_booked_and_nobody_takes_a_lead_where_the_service_is_not_offered(small_world: Path) -> None:
    from serving.decide import Decider
    from serving.render import render

    decider = Decider.load(small_world / "bundle", shipped(), on=AS_OF.date())
    booking = {asset.asset_id for asset in decider.assets if asset.call_to_action in ("contact", "trial", "buy")}
    none: dict[str, list[Any]] = {n: [] for n in ("accounts", "events", "touches", "consents", "suppressions", "cases")}
    answers = []
    for region in ("AK", "NY"):
        person = Lead(
            lead_id="P1", audience="patient", country="US", region=region, recorded_at=DAY, verified_at=DAY, adult=True,
            product_interest="specialty_care",
        )  # fmt: skip
        tables = encode_records(
            [person], **none, vocabularies=shipped().vocabularies, asset_ids=decider.asset_ids,
            suppressions_complete_as_of=AS_OF,
        )  # fmt: skip
        decisions = decider.decide(tables, AS_OF, threads=1)
        answers.append(render(decisions, 0))
        ruled = decisions.ruled
        assert ruled is not None
        places = [place for place, asset in enumerate(decider.asset_ids) if asset in booking]
        reasons = {one["reason"] for place in places for one in ruled.explain(0, place, 0)}
        assert ("SERVICE_NOT_OFFERED" in reasons) == (region == "AK")
        offered_there = {a for told in answers[-1]["channels"].values() for a in told.get("asset_ids", ())}
        assert region == "NY" or not offered_there & booking
    taker = decider.teams.taker
    from serving.kernels import QUEUE_KEYS

    patient, meeting = QUEUE_KEYS.index("patient"), QUEUE_KEYS.index("meeting")
    refused = taker(patient, None, 0, NO)
    assert refused.teams == () and refused.reason == ("service_offered", "no")
    assert refused.says("patient_services")[0] == "our service is not offered where the lead is"
    assert taker(patient, None, 0, YES).reason is None and taker(patient, None, 0, 0).reason is None
    # Who asked for a meeting is answered by somebody, if only to say so.
    assert taker(meeting, None, 0, NO).reason is None
