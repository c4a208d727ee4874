"""What proposals are made of, each by hand: effect sizes, reach, reasons, the folder, and facts from an export."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.quality import QualitySettings
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.flat import read_flat
from features.intake.sources import find_files, read_tables
from features.inventory import Inventory
from features.tables import Tables
from features.view import view_at
from models.candidates.clustering import CandidateSegment, Clustering, Trial, cluster
from models.candidates.distill import Distilled, Fidelity
from policy import reach as reach_module
from serving.decide import Decider
from training.proposals import files
from training.proposals import propose as journey
from training.proposals.flat import fact_name, flat_material
from training.proposals.folder import clear_drafts, digest_of, open_folder, write_members
from training.proposals.material import Material, Standing, eligible, material_of
from training.proposals.proposal import Proposal
from training.proposals.propose import propose, propose_flat
from training.proposals.reach import reachable
from training.proposals.reasons import condition_refusal, covered, remap_of, why_of_cluster
from training.proposals.telling import Described, cliffs_delta, dimensions_of, too_low, traits_of

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
# Pictures take longer than all the rest; most tests look at none.
BLANK = dict.fromkeys(("sizes", "stability", "map"), b"")


@pytest.fixture(autouse=True)
def _quick_clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    """One method and few resamples: how groups are found has tests of its own."""
    monkeypatch.setattr(journey, "cluster", partial(cluster, methods=("kmeans",), resamples=3))


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def tables_of(folder: Path) -> Tables:
    return read_tables(find_files(folder), shipped(), assets=shipped().assets).tables


def test_cliffs_delta_by_hand() -> None:
    # 3 > 1, 3 = 3, 4 > 1, 4 > 3: three of four pairs are larger, none smaller.
    assert cliffs_delta(np.array([3.0, 4.0]), np.array([1.0, 3.0])) == 0.75
    assert cliffs_delta(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0])) == 0.0
    assert cliffs_delta(np.array([]), np.array([1.0])) == 0.0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
)
def test_cliffs_delta_turns_its_sign_with_its_sides(one: list[int], other: list[int]) -> None:
    left, right = np.array(one, dtype=float), np.array(other, dtype=float)
    pairs = np.sign(left[:, None] - right[None, :])
    assert cliffs_delta(left, right) == pytest.approx(pairs.mean())
    assert cliffs_delta(right, left) == pytest.approx(-cliffs_delta(left, right))


def test_a_value_is_told_by_the_difference_of_its_shares_and_its_lift() -> None:
    member = np.array([True] * 4 + [False] * 6)
    role = np.array([1, 1, 1, 2, 1, 2, 2, 2, 2, 0])  # members: 3 of 4 are a nurse; others: 1 of 6
    (trait,) = traits_of(member, [Described("role", "role", "role", role, ("nurse", "physician"))])
    assert (trait.kind, trait.value) == ("value", "nurse")
    assert trait.effect == pytest.approx(3 / 4 - 1 / 6)
    assert trait.lift == pytest.approx((3 / 4) / (1 / 6))
    assert trait.says == "role is nurse: 75 % of them, 17 % of other leads"


def test_what_is_not_known_of_members_is_a_trait_and_says_so() -> None:
    member = np.array([True] * 4 + [False] * 4)
    role = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    (trait,) = traits_of(member, [Described("role", "role", "role", role, ("nurse",))])
    assert (trait.kind, trait.effect) == ("unknown", 1.0)
    assert trait.says == "role is not known: 100 % of them, 0 % of other leads"


def test_numbers_are_told_by_their_typical_value_and_small_differences_are_not_told() -> None:
    member = np.arange(40) < 20
    more = np.where(member, 8.0, 2.0)
    alike = np.tile([1.0, 2.0], 20)
    found = traits_of(member, [Described("a", "a", "Visits", more), Described("b", "b", "Clicks", alike)])
    assert [trait.says for trait in found] == ["Visits: typically 8, 2 for other leads"]
    assert traits_of(np.ones(40, dtype=bool), [Described("a", "a", "Visits", more)]) == ()


# --- why a group is refused ---


def distilled(*facts: str, f1: float = 0.9) -> Distilled:
    return Distilled("x", "NOT (x)", Fidelity(f1, f1, f1, 100, 100), facts)


def test_a_group_that_differs_in_one_dimension_only_is_refused_and_one_that_differs_in_two_is_not() -> None:
    member = np.array([True] * 50 + [False] * 50)
    one = Described("specialty", "specialty", "specialty", np.where(member, 1, 2), ("oncology", "cardiology"))
    two = Described("role", "role", "role", np.where(member, 1, 2), ("nurse", "physician"))
    single, double = traits_of(member, [one]), traits_of(member, [one, two])
    assert dimensions_of(single) == ("specialty",)
    refused = condition_refusal(distilled("specialty"), 50, 200, single)
    assert refused is not None
    assert refused[0].startswith("SINGLE_DIMENSION")
    assert condition_refusal(distilled("specialty"), 50, 200, double) is None


@pytest.mark.parametrize(
    ("condition", "members", "starts"),
    [
        (None, 50, "no short condition"),
        (distilled("role", f1=0.5), 50, "a short condition reproduces it badly (F1 0.500"),
        (distilled("role", f1=0.849), 50, "a short condition reproduces it badly (F1 0.849, 0.85 expected)"),
        (distilled("role"), 29, "tiny: 29 leads"),
        (distilled("role"), 81, "over-broad: its condition holds 40.5 %"),
    ],
)
def test_a_condition_that_is_no_use_has_a_reason_and_words(
    condition: Distilled | None, members: int, starts: str
) -> None:
    reason, why = condition_refusal(condition, members, 200, ()) or ("", "")
    assert reason.startswith(starts)
    assert why.endswith(".")


def test_a_condition_needs_the_agreement_that_the_issue_asks_for_and_a_shortfall_looks_like_one() -> None:
    assert condition_refusal(distilled("role", f1=0.85), 50, 200, ()) is None
    _, why = condition_refusal(distilled("role", f1=0.8497), 50, 200, ()) or ("", "")
    assert "(agreement 84.97 %, 85 % is asked)" in why
    assert (too_low(0.749, 0.75), too_low(0.5, 0.75)) == ("74.9 %", "50 %")


def test_a_group_told_apart_by_missing_data_is_refused() -> None:
    member = np.array([True] * 50 + [False] * 50)
    role = Described("role", "role", "role", np.where(member, 0, 1), ("nurse",))
    reason, _ = condition_refusal(distilled("care_setting"), 50, 200, traits_of(member, [role])) or ("", "")
    assert reason.startswith("told apart by missing data: role is not known")


def standing(segment_id: str, member: np.ndarray, *, approved: bool = True) -> Standing:
    status = "approved" if approved else "draft"
    return Standing(segment_id, segment_id, status, "somebody", approved, False, member)


@pytest.mark.parametrize(
    ("share", "approved", "starts"),
    [
        (0.8, True, "already covered by known (Jaccard 0.80)"),
        (0.5, True, "the same as known (Jaccard 0.50)"),
        (0.8, False, "already covered by known (Jaccard 0.80), which is draft"),
    ],
)
def test_what_there_is_already_is_not_proposed(share: float, approved: bool, starts: str) -> None:
    one = standing("known", np.ones(3, dtype=bool), approved=approved)
    assert (covered({"known": share}, [one]) or ("",))[0] == starts
    assert covered({"known": 0.49 if approved else 0.79}, [one]) is None


@pytest.mark.parametrize("kind", ["no structure: x", "tiny: x", "unstable: x", "doubtful: x", "over-broad: x", "odd"])
def test_every_reason_of_clustering_has_a_sentence(kind: str) -> None:
    says = why_of_cluster(CandidateSegment("candidate_1", 12, 0.01, 0.4, kind))
    assert says.endswith(".")
    assert "Jaccard" not in says


def test_a_tiny_group_is_merged_into_what_holds_it_else_mapped_to_what_is_nearest() -> None:
    labels = np.repeat([0, 1, 2], [6, 4, 2]).astype(np.int32)
    space = np.array([0.0, 5.0, 4.0])[labels][:, None]
    rows = labels == 2
    trial = Trial("kmeans", 3, 1.0, (1.0, 1.0, 1.0), 0.5)
    found = Clustering(trial, (trial,), labels, (), space, 12)
    proposals = [
        Proposal(CandidateSegment(f"candidate_{c + 1}", n, n / 12, 1.0, None), None, None, "", n, None, {}, "refused")
        for c, n in enumerate((6, 4, 2))
    ]
    masks = [labels == c for c in range(3)]
    material = bare_material((standing("known", rows | (labels == 1)),))
    assert remap_of(rows, proposals, masks, material, found, 2).startswith("Merge it into known (approved): 100 %")
    material = bare_material((standing("known", labels == 0),))
    assert "the cluster candidate_2, the nearest" in remap_of(rows, proposals, masks, material, found, 2)


def bare_material(existing: tuple[Standing, ...]) -> Material:
    empty = np.zeros(12, dtype=bool)
    return Material(
        AS_OF, 60, np.arange(12).astype(object), ~empty, {}, None, (), {}, None, {}, empty, empty, existing, empty, ()
    )  # type: ignore[arg-type]


def test_reach_is_what_serving_permits_lead_by_lead(small_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, known = tables_of(small_world / "data"), shipped()
    decider = Decider.load(small_world / "bundle", known, on=AS_OF.date())
    decided = decider.decide(tables, AS_OF)
    builder, inventory = FactBuilder.of(known), Inventory.of_settings(known)
    facts = facts_of(view_at(tables, AS_OF, builder.view), builder, inventory)
    facts = decider.segment_map.told(
        facts, decided.members, inventory, builder, (AS_OF - datetime(1970, 1, 1, tzinfo=UTC)).days
    )
    found = reachable(facts, known.assets, known, AS_OF)
    assert found.may.any()
    for p, intent in enumerate(("medical_education", "promotional")):
        places = [a for a, asset in enumerate(known.assets) if asset.intent == intent]
        assert np.array_equal(found.may[p], decided.rulings.passes[:, places, :].any(axis=1))
    monkeypatch.setattr(reach_module, "CHUNK_LEADS", 7)
    assert np.array_equal(reachable(facts, known.assets, known, AS_OF).may, found.may)
    everybody = found.of(np.ones(facts.n, dtype=bool))
    assert everybody.anyhow["promotion"] == int(found.may[1].any(axis=1).sum())


def test_a_draft_that_a_person_edited_is_left_alone_and_one_nobody_touched_is_removed(tmp_path: Path) -> None:
    for name in ("draft_1_a", "draft_2_b", "draft_3_c"):
        (tmp_path / f"{name}.yaml").write_text(name)
    drafts = {name: digest_of(name.encode()) for name in ("draft_1_a", "draft_2_b")}
    (tmp_path / "draft_2_b.yaml").write_text("edited")
    write_members(tmp_path, np.array(["b", "a"], dtype=object), {"draft_1_a": np.array([True, True])})
    (tmp_path / "report.json").write_text(json.dumps({"drafts": drafts, "as_of": "2026-06-30"}))
    previous = open_folder(tmp_path)
    assert clear_drafts(tmp_path, previous) == ("draft_2_b", "draft_3_c")
    assert not (tmp_path / "draft_1_a.yaml").exists()
    assert previous.masks(np.array(["a", "c"], dtype=object))["draft_1_a"].tolist() == [True, False]


def test_members_hold_lead_ids_and_groups_and_nothing_else(tmp_path: Path) -> None:
    path = write_members(tmp_path, np.array(["b", "a"], dtype=object), {"one": np.array([True, True])})
    assert pq.read_table(path).to_pylist() == [{"lead_id": "a", "draft": "one"}, {"lead_id": "b", "draft": "one"}]


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputInvalid, match="expected a folder that can be written to"):
        open_folder(tmp_path / "file" / "out")


def test_what_the_run_before_left_may_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "members.parquet").write_text("not parquet")
    previous = open_folder(tmp_path)
    assert previous.groups == {}
    assert "cannot be read" in previous.note


# --- the journey on little data ---


def test_a_second_run_keeps_ids_and_a_persons_edits_and_says_what_became_of_each_group(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "pictures_of", lambda _: BLANK)
    tables, bare = tables_of(small_world / "data"), shipped()
    # Without a map of its own every group is new.
    settings_ = bare.model_copy(update={"segments": tuple(d for d in bare.segments if d.residual)})
    first = propose(tables, settings_, AS_OF, tmp_path, sizes=(5,))
    names = [proposal.name for proposal in first.proposed]
    assert names
    kept = tmp_path / f"{names[0]}.yaml"
    kept.write_text(kept.read_text().replace("FILL IN: a name", "A name"))
    written = kept.read_text()
    again = propose(tables, settings_, AS_OF, tmp_path, sizes=(5,), seed=8)
    assert again.lineage["previous"].of("same")
    same = {row.after: row.before for row in again.lineage["previous"].of("same")}
    # A draft that is the same group bears the same id, whatever number its cluster has now.
    assert all(same[proposal.name] == proposal.name for proposal in again.proposed if proposal.name in names)
    assert kept.read_text() == written
    assert any(f"{names[0]}.yaml was edited by a person" in note for note in again.notes)
    assert "The run before" in (tmp_path / "report.html").read_text()


def test_drafts_of_a_run_that_died_are_its_own_and_no_persons(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, bare = tables_of(small_world / "data"), shipped()
    settings_ = bare.model_copy(update={"segments": tuple(d for d in bare.segments if d.residual)})

    def killed(_: object) -> dict[str, bytes]:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "pictures_of", killed)
    with pytest.raises(KeyboardInterrupt):
        propose(tables, settings_, AS_OF, tmp_path, sizes=(5,))
    left = {path.name for path in tmp_path.glob("draft_*.yaml")}
    assert left and not (tmp_path / "members.parquet").exists()
    monkeypatch.setattr(files, "pictures_of", lambda _: BLANK)
    again = propose(tables, settings_, AS_OF, tmp_path, sizes=(5,), seed=9)
    assert not any("edited by a person" in note for note in again.notes)
    assert {path.stem for path in tmp_path.glob("draft_*.yaml")} == {p.segment_id for p in again.proposed}


def test_leads_of_whom_nothing_differs_are_one_group_that_is_not_proposed(small_world: Path, tmp_path: Path) -> None:
    tables = tables_of(small_world / "data")
    same = {
        name: np.full_like(column, column[0]) if name not in ("lead",) else column
        for name, column in tables.leads.items()
    }
    alike = replace(tables, leads={**same, "account": np.full_like(same["account"], -1)}, events={}, outcomes={})
    alike = replace(alike, touches={}, consents={}, suppressions={}, cases={}, memberships={})
    found = propose(alike, shipped(), AS_OF, tmp_path, sizes=(2, 3))
    assert found.proposed == ()
    assert all(proposal.why for proposal in found.proposals)
    assert any("no events" in note for note in found.notes)
    assert any("no outcomes" in note for note in found.notes)
    assert "That is an answer too." in (tmp_path / "report.html").read_text()


def test_a_field_below_its_minimum_is_left_out_of_clustering_and_of_conditions(small_world: Path) -> None:
    tables, known = tables_of(small_world / "data"), shipped()
    content = known.quality.model_dump()
    content["segments"]["fields"] = {"leads.role": {"max_stale": 0.0}, "leads.specialty": {"min_known": 1.0}}
    quality = QualitySettings.model_validate(content | {"verify_every_days": {"leads.role": 0}})
    material = material_of(tables, known.model_copy(update={"quality": quality}), AS_OF)
    left = {one.field: one for one in material.fields_left_out}
    assert (left["leads.role"].used_for, left["leads.specialty"].used_for) == ("either", "clustering")
    assert {"role", "specialty"}.isdisjoint(material.clustered.category_names)
    assert "account_specialty" in material.clustered.category_names
    assert "role" not in material.conditioned
    assert "specialty" in material.conditioned
    assert "not verified within 0 days" in left["leads.role"].why


def test_nobody_private_is_described_or_clustered(small_world: Path) -> None:
    material = material_of(tables_of(small_world / "data"), shipped(), AS_OF)
    private = [material.audiences.index(value) + 1 for value in ("patient", "caregiver")]
    assert np.isin(material.audience, private).any()
    assert not np.isin(material.audience[material.kept], private).any()
    assert material.clustered.n == material.kept.sum()
    assert all(len(thing.column) == material.kept.sum() for thing in material.described)


# --- a flat export ---

EXPORT = SourceMapping.model_validate(
    {
        "name": "shop", "says": "a shop", "lead_id": "id", "order_by": "id", "as_of": "2026-06-30T00:00:00Z",
        "outcome": "Bought", "outcome_true": ["1"], "outcome_false": ["0"],
        "constants": {"audience": "buyer"}, "ignored": {"Age": "a protected trait"},
        "attributes": [
            {"column": name, "type": kind, "known_at": "before_outcome", "says": says}
            for name, kind, says in (
                ("WebVisits", "number", "visits"), ("Spend", "number", "spend"), ("Plan", "category", "plan"),
                ("Same", "category", "always the same"), ("Empty", "number", "mostly empty"),
                ("Rare", "number", "a rare flag"), ("Change", "number", "change of spend"), ("In", "category", "in"),
            )
        ],
    }
)  # fmt: skip


def export(folder: Path, n: int = 300) -> Path:
    """Three groups of equal size that differ in visits, spend and plan."""
    lines = ["id;WebVisits;Spend;Plan;Same;Empty;Rare;Change;In;Age;Bought"]
    for i in range(n):
        kind = 3 * i // n
        plan = ("O'Neil", "Basic", "Plus")[kind]
        row = (i, 20 * kind + i % 5, 900 * kind + i % 7, plan, "x", "5" if i < 9 else "", int(i < 3))
        lines.append(";".join(map(str, (*row, f"{(-1) ** i * (i % 5)}.5", "ab"[i % 20 == 0], 30, int(i % 3 == 0)))))
    path = folder / "shop.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_export_becomes_facts_that_a_condition_can_name(tmp_path: Path) -> None:
    intake = read_flat(EXPORT, export(tmp_path), shipped(), training=False)
    material = flat_material(intake, shipped(), EXPORT)
    facts = material.domain.facts
    assert set(facts) == {"web_visits", "spend", "plan", "change", "rare", "x_in"}
    assert facts["plan"].values == ("basic", "o_neil", "plus")
    assert facts["web_visits"].type == "int"
    assert facts["change"].type == "enum"  # it goes below nothing: ranges, not whole counts
    left = {one.field: (one.used_for, one.why) for one in material.fields_left_out}
    assert left["same"] == ("either", "the same value for every lead")
    assert left["empty"] == ("either", "known for 3 % of the leads, 50 % is asked")
    assert left["rare"] == ("clustering", "yes for fewer than 10 % of the leads")
    assert left["Age"] == ("either", "a protected trait")
    assert material.in_map is False


def test_names_of_facts_are_unlike_each_other_and_no_word_of_the_language() -> None:
    assert fact_name("MntFishProducts", set()) == "mnt_fish_products"
    assert fact_name("Not", set()) == "x_not"
    assert fact_name("2nd visit?", {"x_2nd_visit"}) == "x_2nd_visit_2"


def test_a_report_on_an_export_says_that_no_segment_may_use_it_yet(tmp_path: Path) -> None:
    intake = read_flat(EXPORT, export(tmp_path), shipped(), training=False)
    report = propose_flat(intake, shipped(), EXPORT, tmp_path / "out", sizes=(3,))
    assert report.proposed
    assert {proposal.candidate.size for proposal in report.proposals} == {100}
    assert all(proposal.reach and not any(proposal.reach.anyhow.values()) for proposal in report.proposed)
    assert sum(p.conversion.converted for p in report.proposed if p.conversion) <= 100
    page = (tmp_path / "out" / "report.html").read_text()
    assert "must be declared as facts" in page
    assert "says nothing about consent" in page
    draft = next((tmp_path / "out").glob("draft_*.yaml")).read_text()
    assert "NOT FOR THE SEGMENT MAP YET" in draft


def test_an_export_in_which_nothing_differs_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "same.csv"
    lines = ["id;WebVisits;Spend;Plan;Same;Empty;Rare;Change;In;Age;Bought"]
    path.write_text("\n".join([*lines, *(f"{i};1;1;a;x;1;0;0;a;3;1" for i in range(120))]) + "\n")
    intake = read_flat(EXPORT, path, shipped(), training=False)
    with pytest.raises(InputInvalid, match="shop: expected an attribute that is known for most leads"):
        propose_flat(intake, shipped(), EXPORT, tmp_path / "out")


def test_too_small_an_export_is_refused_in_one_line(tmp_path: Path) -> None:
    intake = read_flat(EXPORT, export(tmp_path, 60), shipped(), training=False)
    with pytest.raises(InputInvalid, match=r"expected at least 100 leads .* found 60"):
        propose_flat(intake, shipped(), EXPORT, tmp_path / "out")


def test_who_may_be_a_patient_is_left_out_unless_the_data_tell_the_audience_of_nobody() -> None:
    domain = Domain.of(load_settings())
    hcp, patient = domain.code("audience", "hcp"), domain.code("audience", "patient")
    present = np.ones(4, dtype=np.bool_)

    def kept(*audience: int) -> list[bool]:
        column = {"audience": np.array(audience, dtype=np.uint8).reshape(-1, 1, 1)}
        unknown = {
            name: np.zeros((4, 1, 1), dtype=np.uint8) for name in ("profiling_objection", "erased_or_restricted")
        }
        rows, left_out = eligible(present, Facts(4, (), {**column, **unknown}), domain)
        assert int(rows.sum()) + sum(left_out.values()) == 4
        return rows.tolist()

    assert kept(hcp, 0, patient, hcp) == [True, False, False, True]
    assert kept(0, 0, 0, 0) == [True, True, True, True]
