"""The proposal journey on a small made world: nothing private, nothing from the future, every cluster accounted for."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from configs.definitions import SegmentDefinition
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.evaluate import Domain
from features.intake.sources import find_files, read_tables
from features.records import Lead, Link, Suppression
from features.tables import MICROSECONDS_A_DAY, Tables, microseconds
from models.candidates.clustering import cluster
from models.segments.lint.judge import FILL_IN, lint
from models.segments.map import SegmentMap
from training.proposals import files
from training.proposals import propose as journey
from training.proposals.material import material_of
from training.proposals.propose import ProposalReport, _conversion, propose
from training.sample.world import make_sample

SIZES = (9,)
# Pictures take longer than all the rest; most tests look at none.
BLANK = dict.fromkeys(("sizes", "stability", "map"), b"")
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick_clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    """One method and few resamples: how groups are found has tests of its own."""
    monkeypatch.setattr(journey, "cluster", partial(cluster, methods=("kmeans",), resamples=3))


@cache
def shipped() -> Settings:
    """The shipped settings with a map that lacks some of the groups that the made world has."""
    shipped = load_settings()
    kept = ("cardio_hospital_team", "cardio_outpatient", "onc_community_center")
    return shipped.model_copy(update={"segments": tuple(d for d in shipped.segments if d.residual or d.id in kept)})


@cache
def a_world() -> Tables:
    folder = Path(mkdtemp())
    make_sample(1500, 11, folder)
    return read_tables(find_files(folder), shipped(), assets=shipped().assets).tables


@cache
def a_report() -> tuple[ProposalReport, Path, tuple[float, ...]]:
    out, shares = Path(mkdtemp()), []
    report = propose(a_world(), shipped(), AS_OF, out, sizes=SIZES, progress=lambda _, share: shares.append(share))
    return report, out, tuple(shares)


def test_every_cluster_is_either_a_draft_or_has_its_reason() -> None:
    report, out, _ = a_report()
    assert len(report.proposals) == report.clustering.chosen.k
    assert sum(proposal.candidate.size for proposal in report.proposals) == report.leads
    drafts = sorted(path.stem for path in out.glob("draft_*.yaml"))
    assert drafts == sorted(proposal.segment_id or "" for proposal in report.proposed)
    assert all(proposal.rejected for proposal in report.proposals if proposal not in report.proposed)


def test_a_draft_that_a_person_approved_is_not_proposed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml  # noqa: TID251 - read as a person's editor would

    report, out, _ = a_report()
    draft = SegmentDefinition.model_validate(yaml.safe_load(next(iter(sorted(out.glob("draft_*.yaml")))).read_text()))
    signed = next(d.approval for d in shipped().segments if d.approval is not None)
    approved = draft.model_copy(update={"status": "approved", "approval": signed})
    settings = shipped().model_copy(update={"segments": (*shipped().segments, approved)})
    monkeypatch.setattr(files, "pictures_of", lambda _: BLANK)
    again = propose(a_world(), settings, AS_OF, tmp_path, sizes=SIZES)
    assert draft.id in {proposal.segment_id for proposal in report.proposed}
    assert draft.id not in {proposal.segment_id for proposal in again.proposed}
    assert any((p.rejected or "").startswith(f"already covered by {draft.id} (Jaccard 1.00") for p in again.proposals)


def test_a_draft_loads_is_not_approved_and_says_what_a_person_must_write() -> None:
    import yaml  # noqa: TID251 - read as a person's editor would

    report, out, _ = a_report()
    assert report.proposed
    for path in out.glob("draft_*.yaml"):
        definition = SegmentDefinition.model_validate(yaml.safe_load(path.read_text()))
        assert definition.approval is None
        assert not definition.is_active(AS_OF.date())
        assert definition.hypothesis.startswith(FILL_IN)
        assert path.read_text().startswith("# A draft that clustering proposed.")
        assert "suggested, not decided" in definition.title


def test_a_draft_names_its_audiences_and_neither_status_nor_approval() -> None:
    import yaml  # noqa: TID251 - read as a person's editor would

    report, out, _ = a_report()
    domain = Domain.of(shipped())
    assert report.proposed
    for proposal in report.proposed:
        assert proposal.distilled is not None
        assert proposal.distilled.enter.startswith("audience ")
        content = yaml.safe_load((out / f"{proposal.name}.yaml").read_text())
        assert content.keys().isdisjoint({"status", "approval", "replaced_by"})
        definition = SegmentDefinition.model_validate(content)
        alone = SegmentMap([definition, *(d for d in shipped().segments if d.residual)], domain)
        assert {f.code for f in lint(alone, on=AS_OF.date()) if f.level == "error"} <= {"UNFILLED"}
        assert "UNFILLED" in {f.code for f in lint(alone, on=AS_OF.date())}


def test_every_proposal_says_what_tells_it_whom_it_reaches_and_what_it_overlaps() -> None:
    report, out, _ = a_report()
    page = (out / "report.html").read_text()
    assert report.proposed
    for proposal in report.proposed:
        assert proposal.traits
        assert [abs(t.effect) for t in proposal.traits] == sorted(
            (abs(t.effect) for t in proposal.traits), reverse=True
        )
        assert proposal.reach is not None
        assert proposal.reach.members == proposal.members
        for purpose, anyhow in proposal.reach.anyhow.items():
            channels = proposal.reach.by_channel[purpose]
            assert max(channels.values()) <= anyhow <= min(sum(channels.values()), proposal.members)
        assert proposal.suggestion is not None
        assert proposal.name in page
    assert all(proposal.why for proposal in report.proposals if proposal.rejected)


def test_what_is_the_same_as_an_approved_segment_bears_its_id_and_is_not_proposed() -> None:
    report, _, _ = a_report()
    same = report.lineage["approved"].of("same")
    assert same
    found = {proposal.name: proposal for proposal in report.proposals}
    assert len(found) == len(report.proposals)
    for row in same:
        assert found[str(row.before)].identity == row.before
        assert found[str(row.before)].rejected is not None


def test_patients_are_left_out_and_counted() -> None:
    report, _, _ = a_report()
    assert report.left_out["patients and caregivers"] > 0
    assert report.left_out["audience not known"] > 0
    assert report.leads + sum(report.left_out.values()) == len(a_world().lead_ids)


def test_the_report_is_one_offline_page_with_its_pictures() -> None:
    report, out, _ = a_report()
    page = (out / "report.html").read_text()
    pictures = {path.stem for path in out.glob("*.png")}
    assert {"sizes", "stability", "map", "lineage_approved"} <= pictures
    assert {f"profile_{proposal.name}" for proposal in report.proposed} <= pictures
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "http://" not in page
    assert "https://" not in page
    content = json.loads((out / "report.json").read_text())
    assert len(content["proposals"]) == content["chosen"]["k"]


def test_progress_runs_from_nothing_to_all() -> None:
    shares = a_report()[2]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert list(shares) == sorted(shares)


def test_conversion_counts_outcomes_between_the_earlier_snapshot_and_now_only() -> None:
    tables, known = a_world(), shipped()
    at = np.asarray(tables.outcomes["occurred_at"])
    cut = microseconds(AS_OF)
    inside = (at > cut - known.targets.served.horizon_days * MICROSECONDS_A_DAY) & (at <= cut)
    only = {name: column[inside] for name, column in tables.outcomes.items()}
    whole, part = material_of(tables, known, AS_OF), material_of(replace(tables, outcomes=only), known, AS_OF)
    assert whole.converted.any() and not inside.all()
    assert np.array_equal(whole.converted, part.converted)
    assert np.array_equal(whole.clustered.numbers, part.clustered.numbers, equal_nan=True)
    assert np.array_equal(whole.clustered.categories, part.clustered.categories)
    assert all(np.array_equal(column, part.conditioned[name]) for name, column in whole.conditioned.items())


def a_few(days_recorded_late: int = 0) -> Tables:
    """a and b are one person since long; b, c and d converted ten days ago; d objected to profiling yesterday."""
    leads = [Lead(lead_id=name, audience="hcp", created_at=AS_OF - timedelta(days=300)) for name in "abcde"]
    told = Suppression(lead_id="d", reason="profiling_objection", since_at=AS_OF - timedelta(days=1))
    tables = encode_records(
        leads,
        vocabularies=shipped().vocabularies,
        suppressions=[told],
        suppressions_complete_as_of=AS_OF,
        links=[Link(lead_id="a", other_lead_id="b", linked_at=AS_OF - timedelta(days=200), kind="same")],
    )
    at = np.full(3, microseconds(AS_OF - timedelta(days=10)))
    kind = shipped().vocabularies["outcome_kind"].code(shipped().targets.served.kinds[0])
    outcomes = {
        "lead": np.array([1, 2, 3], dtype=np.int32), "kind": np.full(3, kind, dtype=np.uint8), "occurred_at": at,
        "recorded_at": at + np.array([0, days_recorded_late, 0]) * MICROSECONDS_A_DAY,
    }  # fmt: skip
    return replace(tables, outcomes=outcomes)


def test_an_outcome_that_was_recorded_after_the_instant_is_not_known_at_it() -> None:
    assert material_of(a_few(), shipped(), AS_OF).converted.tolist() == [True, False, True, True, False]
    assert material_of(a_few(11), shipped(), AS_OF).converted.tolist() == [True, False, False, True, False]


def test_who_objected_since_the_earlier_snapshot_is_in_no_conversion_either() -> None:
    found = material_of(a_few(), shipped(), AS_OF)
    assert found.kept.tolist() == [True, False, True, False, True] == found.kept_before.tolist()
    conversion = _conversion(found.kept_before, found.converted, found.kept_before, 1)
    assert conversion is not None and (conversion.leads, conversion.converted) == (3, 2)


def test_of_many_groups_one_that_differs_by_chance_is_not_called_sure() -> None:
    everybody, converted = np.ones(1000, dtype=bool), np.arange(1000) % 10 == 0
    group = np.arange(1000) < 200
    converted[:200] = np.arange(200) < 34  # 34 of 200 beside 80 of 800
    alone, among = (_conversion(group, converted, everybody, groups) for groups in (1, 40))
    assert alone is not None and among is not None and alone.lift_low > 1
    assert (alone.surely, among.surely) == ("more", None)
    rare = _conversion(~group, converted, everybody, 1)
    assert rare is not None and rare.surely == "less"


def test_too_few_leads_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match=r"leads: expected at least 100 leads known by 2000-01-01 .* found 0"):
        propose(a_world(), shipped(), datetime(2000, 1, 1, tzinfo=UTC), tmp_path)


def test_without_events_or_outcomes_a_proposal_still_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "pictures_of", lambda _: BLANK)
    report = propose(replace(a_world(), events={}, outcomes={}), shipped(), AS_OF, tmp_path, sizes=(4,))
    assert len(report.proposals) == report.clustering.chosen.k
    assert all(p.conversion is None or p.conversion.converted == 0 for p in report.proposals)
