"""The standing experiment: who is held out, who explores, who never is, and that no rule is widened by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigInvalid
from configs.exploration import ExplorationSettings
from configs.settings import Settings, load_settings
from features.intake.sources import find_files, read_tables
from models.assignment import EXPLORATION, HOLDOUT, OUTSIDE, ROUTED, Lottery
from serving.actions.actions import Chosen
from serving.arms.arms import Arms, Assigned
from serving.arms.columns import assignments_table
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.kernels import QUEUE_KEYS
from serving.recorded import audit_record
from serving.render import render

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@cache
def shipped() -> Settings:
    return load_settings()


def with_shares(holdout: float, exploration: float, **rest: Any) -> Settings:
    found = shipped().exploration.model_copy(
        update={"holdout_share": holdout, "exploration_share": exploration, **rest}
    )
    return shipped().model_copy(update={"exploration": found})


class World:
    """The small world's decisions under any shares, decided once for each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, {}
        files = find_files(folder / "data")
        self.decider = Decider.load(folder / "bundle", shipped(), on=AS_OF.date())
        self.tables = read_tables(files, shipped(), assets=shipped().assets, as_of=AS_OF).tables

    def decisions(self, holdout: float, exploration: float, **rest: Any) -> Decisions:
        key = (holdout, exploration, *sorted(rest.items()))
        if key not in self.made:
            decider = replace(self.decider, settings=with_shares(holdout, exploration, **rest))
            self.made[key] = decider.decide(self.tables, AS_OF)
        return self.made[key]

    def drawn(self, holdout: float, exploration: float, salt: str) -> tuple[Chosen, Assigned]:
        """What another draw of the same decisions makes of them."""
        plain = self.decisions(0.0, 0.0)
        arms = Arms.of(with_shares(holdout, exploration, salt=salt), plain.decider.segment_map.domain)
        return arms.settle(
            plain.chosen, plain.decider.plan, plain.known, plain.facts, plain.rulings.passes, plain.nurtured.fit,
            plain.members.primary, AS_OF.date(),
        )  # fmt: skip


@pytest.fixture(scope="module")
def world(small_world: Path) -> World:
    return World(small_world)


def pairs(decisions: Decisions) -> list[tuple[int, int]]:
    return list(zip(decisions.chosen.asset.tolist(), decisions.chosen.channel.tolist(), strict=True))


def test_a_lead_has_the_arm_that_its_account_drew_in_a_period() -> None:
    lottery = Lottery.of(shipped())
    # BLAKE2b-64 of "account A000001", a zero byte and "2026-Q2", keyed with "leadwell-1": fixed for ever.
    one = lottery.uniforms(["account A000001"], "2026-Q2")
    assert one == lottery.uniforms(["account A000002", "account A000001"], "2026-Q2")[1:]
    assert one != lottery.uniforms(["account A000001"], "2026-Q3")
    other = Lottery.of(with_shares(0.05, 0.02, salt="leadwell-2"))
    assert one != other.uniforms(["account A000001"], "2026-Q2")
    assert lottery.digest("account A000001", "2026-Q2") == 9855191104782297284


def test_drawn_numbers_are_spread_evenly() -> None:
    drawn = Lottery.of(shipped()).uniforms([f"account {i}" for i in range(20_000)], "2026-Q2")
    counts = np.bincount((drawn * 20).astype(int), minlength=20)
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


@settings(deadline=None, max_examples=50)
@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1)))
def test_a_period_names_the_days_it_holds(day: date) -> None:
    quarter = ExplorationSettings(period="quarter").period_of(day)
    assert quarter == f"{day.year:04d}-Q{(day.month - 1) // 3 + 1}"
    assert ExplorationSettings(period="year").period_of(day) == quarter[:4]


def test_shares_of_zero_change_nothing_and_nobody_has_an_arm(world: World) -> None:
    off, on = world.decisions(0.0, 0.0), world.decisions(0.0, 0.0, starts_on=date(2027, 1, 1))
    assert (off.assigned.arm == OUTSIDE).all() and (off.assigned.propensity == 1).all()
    assert pairs(off) == pairs(on)
    later = world.decisions(0.4, 0.3, starts_on=date(2026, 7, 1))
    assert pairs(later) == pairs(off) and (later.assigned.arm == OUTSIDE).all()


def test_a_configuration_without_the_file_holds_nobody_out() -> None:
    assert not ExplorationSettings().is_on(date(2026, 6, 30))


def test_the_held_out_get_no_promotional_action_and_nobody_of_sales(world: World) -> None:
    off, on = world.decisions(0.0, 0.0), world.decisions(0.4, 0.3)
    held = np.flatnonzero(on.assigned.arm == HOLDOUT)
    assert len(held) >= 5
    promotional = [asset.intent == "promotional" for asset in on.decider.assets] + [True]
    purposes = [segment.purpose for segment in on.decider.segment_map.definitions]
    for row in held.tolist():
        assert on.chosen.queue[row] == QUEUE_KEYS.index("holdout") and not on.assigned.handed_over[row]
        asset = on.chosen.asset[row]
        if asset >= 0:
            # What is no promotion goes on as ever: to whom it would have gone, on the channel it would have taken.
            assert not promotional[asset] and pairs(on)[row] == pairs(off)[row]
        else:
            assert off.chosen.asset[row] < 0 or promotional[off.chosen.asset[row]]
        assert purposes[on.members.primary[row]] == "promotional" or promotional[off.chosen.asset[row]]


def test_an_arm_changes_no_ruling_and_exploration_stays_inside_of_what_is_permitted(world: World) -> None:
    off, on = world.decisions(0.0, 0.0), world.decisions(0.0, 0.5)
    np.testing.assert_array_equal(off.rulings.permitted, on.rulings.permitted)
    np.testing.assert_array_equal(off.rulings.passes, on.rulings.passes)
    explored = np.flatnonzero(on.assigned.arm == EXPLORATION)
    moved = [row for row in explored.tolist() if pairs(on)[row] != pairs(off)[row]]
    assert len(moved) >= 3
    for row in explored.tolist():
        asset, channel = pairs(on)[row]
        if asset >= 0:
            assert on.rulings.passes[row, asset, channel]
    stages = on.chosen.stage[moved]
    plan = on.decider.plan
    assert all(
        plan.suits[on.members.primary[row], stage, on.chosen.asset[row]]
        for row, stage in zip(moved, stages.tolist(), strict=True)
    )


def test_whoever_may_be_a_patient_or_asked_for_something_is_in_no_arm(world: World) -> None:
    on = world.decisions(0.5, 0.5)
    words = ("unknown", *on.decider.settings.vocabularies["audience"].values)
    audience = np.array(words, dtype=object)[on.facts.columns["audience"].reshape(-1)]
    kept_out = np.isin(audience, ("unknown", "patient", "caregiver"))
    for name in ("demo_request_count_90d", "meeting_request_count_90d", "sample_request_count_90d"):
        kept_out |= on.facts.columns[name].reshape(-1) >= 1
    for name in ("meeting_booked", "off_label_open", "adverse_event_open", "open_case"):
        kept_out |= on.facts.columns[name].reshape(-1) != 1  # yes, or not known to be no
    assert kept_out.sum() > 20 and (~kept_out).sum() > 20
    assert (on.assigned.arm[kept_out] == OUTSIDE).all()
    assert pairs(on) != pairs(world.decisions(0.0, 0.0))


def settled(world: World, chosen: Chosen | None = None, **shares: Any) -> tuple[Chosen, Assigned]:
    """The arms where no rule stops anything, nobody is exempt and all are of a promotional segment."""
    plain = world.decisions(0.0, 0.0)
    purposes = [segment.purpose for segment in plain.decider.segment_map.definitions]
    primary = np.full_like(plain.members.primary, purposes.index("promotional"))
    arms = Arms.of(with_shares(never="ticket_count_30d >= 1000", **shares), plain.decider.segment_map.domain)
    return arms.settle(
        chosen or plain.chosen, plain.decider.plan, plain.known, plain.facts, np.ones_like(plain.rulings.passes),
        np.zeros_like(plain.nurtured.fit), primary, AS_OF.date(),
    )  # fmt: skip


def test_no_condition_lets_anybody_be_tried_out_on_who_is_known_to_be_a_patient(world: World) -> None:
    plain = world.decisions(0.0, 0.0)
    words = ("unknown", *plain.decider.settings.vocabularies["audience"].values)
    audience = np.array(words, dtype=object)[plain.facts.columns["audience"].reshape(-1)]
    patients = np.isin(audience, ("patient", "caregiver"))
    found = settled(world, holdout=0.5, exploration=0.5)[1]
    assert patients.sum() >= 3 and (found.arm[~patients] != OUTSIDE).sum() >= 20
    assert (found.arm[patients] == OUTSIDE).all()


def test_exploration_leaves_alone_what_is_no_promotion(world: World) -> None:
    plain = world.decisions(0.0, 0.0)
    lesson = next(at for at, asset in enumerate(plain.decider.assets) if asset.intent == "medical_education")
    taught = replace(
        plain.chosen, asset=np.full_like(plain.chosen.asset, lesson), channel=np.zeros_like(plain.chosen.channel)
    )
    chosen, found = settled(world, taught, holdout=0.0, exploration=0.5)
    explored = found.arm == EXPLORATION
    assert explored.sum() >= 5 and found.handed_over[explored].all()
    assert (chosen.asset == lesson).all() and (chosen.channel == 0).all() and (found.propensity == 1.0).all()


def test_what_is_not_known_of_a_lead_keeps_it_out_of_every_arm(world: World) -> None:
    tables = replace(world.tables, cases={})
    decider = world.decisions(0.5, 0.5).decider
    assert (decider.decide(tables, AS_OF).assigned.arm == OUTSIDE).all()


def test_a_replay_assigns_nobody_anything_to_do(world: World) -> None:
    decider = world.decisions(0.5, 0.5).decider
    replayed = decider.decide(world.tables, AS_OF, replay=True)
    assert (replayed.chosen.asset < 0).all() and (replayed.assigned.arm == OUTSIDE).all()


def test_the_chances_of_all_actions_add_up_to_one(world: World) -> None:
    # Each lead is decided under every draw that matters: held out, routed, and exploring with each of many draws.
    holdout, exploration = 0.3, 0.5
    on = world.decisions(holdout, exploration)
    inside = np.flatnonzero(on.assigned.arm != OUTSIDE)
    chances: dict[int, dict[tuple[int, int], float]] = {row: {} for row in inside.tolist()}
    for number in range(120):
        chosen, assigned = world.drawn(holdout, exploration, f"salt {number}")
        done = list(zip(chosen.asset.tolist(), chosen.channel.tolist(), strict=True))
        for row in inside.tolist():
            chances[row][done[row]] = assigned.propensity[row]
    summed = np.array([sum(own.values()) for own in chances.values()])
    few = np.array([len(own) <= 8 for own in chances.values()])
    assert few.sum() >= 5
    np.testing.assert_allclose(summed[few], 1.0)
    assert (summed < 1 + 1e-9).all()


def test_the_chance_of_being_handed_to_sales_is_what_happens_over_many_draws(world: World) -> None:
    holdout, exploration, draws = 0.3, 0.2, 200
    made = [world.drawn(holdout, exploration, f"salt {number}")[1] for number in range(draws)]
    rate = np.mean([one.handed_over for one in made], axis=0)
    chance = made[0].handover
    noise = np.sqrt(np.maximum(chance * (1 - chance), 1e-12) / draws)
    assert (np.abs(rate - chance) <= 5 * noise + 1e-9).all()
    assert {0.0, 0.2, 0.7, 1.0} >= set(np.round(chance, 9).tolist()) and 0.2 in np.round(chance, 9)


def test_colleagues_share_an_arm_where_the_account_is_the_unit(world: World) -> None:
    on = world.decisions(0.4, 0.3)
    account = on.known.leads["account"]
    for number in np.unique(account[account >= 0]).tolist():
        arms = set(on.assigned.arm[(account == number) & (on.assigned.arm != OUTSIDE)].tolist())
        assert len(arms) <= 1
    alone = world.decisions(0.4, 0.3, unit="person")
    assert all(unit.startswith("lead ") for unit in alone.assigned.unit.tolist())


def test_the_answer_the_columns_the_audit_and_the_table_say_the_same(world: World) -> None:
    on = world.decisions(0.4, 0.3)
    columns, table = decision_table(on).to_pylist(), assignments_table(on).to_pylist()
    for row in range(0, len(on), 7):
        answer = render(on, row)
        said = answer["assignment"]
        assert [said[k] for k in ("arm", "period", "share", "propensity", "handed_over", "handover_propensity")] == [
            columns[row][k]
            for k in ("arm", "arm_period", "arm_share", "action_propensity", "handed_over", "handover_propensity")
        ]
        assert table[row]["lead_id"] == answer["lead_id"] and table[row]["arm"] == said["arm"]
        assert table[row]["channel"] == answer["next_best_action"]["channel"]
        if said["arm"] == "holdout":
            assert answer["route"]["because"] == [["arm", "known", "holdout: measured against"]]
        kept = audit_record(on, row, {**answer, "audit_id": "0" * 32}, "subject", AS_OF)["detail"]["assignment"]
        assert kept["arm"] == said["arm"] and kept["propensity"] == f"{said['propensity']:.6f}"


def test_the_order_of_leads_changes_no_arm(world: World) -> None:
    on = world.decisions(0.4, 0.3)
    order = np.random.default_rng(1).permutation(len(world.tables.leads["lead"]))
    shuffled = replace(world.tables, leads={name: column[order] for name, column in world.tables.leads.items()})
    again = on.decider.decide(shuffled, AS_OF).assigned
    assert again.arm.tolist() == on.assigned.arm.tolist()
    assert set(on.assigned.arm.tolist()) == {OUTSIDE, ROUTED, EXPLORATION, HOLDOUT}


def test_a_condition_over_a_score_or_a_channel_is_refused(tmp_path: Path) -> None:
    import shutil

    from configs.settings import DEFAULTS

    shutil.copytree(DEFAULTS, tmp_path / "configs")
    file = tmp_path / "configs" / "exploration.yaml"
    text = file.read_text().split("never:")[0]
    for condition, said in (("band = 'hot'", "band"), ("opt_out = 'yes'", "opt_out"), ("nonsense = 1", "nonsense")):
        file.write_text(f'{text}never: "{condition}"\n')
        with pytest.raises(ConfigInvalid, match=f"exploration.yaml: never: .*{said}"):
            load_settings(tmp_path / "configs")
    file.write_text(text)
    with pytest.raises(ConfigInvalid, match="expected never where a share is above 0"):
        load_settings(tmp_path / "configs")
    file.unlink()
    assert not load_settings(tmp_path / "configs").exploration.is_on(AS_OF.date())
