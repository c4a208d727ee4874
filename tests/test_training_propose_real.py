"""Proposals where they end: the command line, MLflow, and a report on the Customer Personality export.

The rows are nobody's here: they are read by path from the shared material and these tests skip where it is absent.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from functools import cache, partial
from pathlib import Path

import pytest
import yaml  # noqa: TID251 - drafts are read as a person's editor would
from typer.testing import CliRunner

from cli.app import app
from configs.settings import load_settings, load_source
from features.intake.flat import read_flat
from models.candidates.clustering import cluster
from training.proposals import propose as journey
from training.proposals.proposal import ProposalReport
from training.proposals.propose import propose_flat
from training.proposals.reasons import MIN_FIDELITY

ROWS = 2_240


@cache
def shared() -> Path:
    folder = Path(os.environ.get("LEADWELL_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    path = folder / "data" / "customer_personality" / "marketing_campaign.csv"
    if not path.is_file():
        pytest.skip("needs the Customer Personality export: set LEADWELL_SHARED to the folder that holds data/")
    return path


@pytest.fixture(scope="module")
def personality(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProposalReport, Path]:
    out, settings, mapping = tmp_path_factory.mktemp("out"), load_settings(), load_source(Path("customer_personality"))
    intake = read_flat(mapping, shared(), settings, training=False)
    assert (intake.counts["leads"].read, intake.counts["leads"].used) == (ROWS, ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journey, "cluster", partial(cluster, methods=("kmeans", "classes")))
        return propose_flat(intake, settings, mapping, out, sizes=(3, 4, 5)), out


@pytest.mark.slow
def test_a_shops_customers_fall_into_groups_that_are_found_again(personality: tuple[ProposalReport, Path]) -> None:
    report, _ = personality
    assert len(report.proposed) >= 3
    assert all(proposal.candidate.jaccard >= 0.75 for proposal in report.proposed)
    for proposal in report.proposed:
        assert proposal.distilled is not None
        assert proposal.distilled.fidelity.f1 >= MIN_FIDELITY
        assert len({trait.name for trait in proposal.traits}) >= 3
    lifts = [proposal.conversion.lift for proposal in report.proposed if proposal.conversion]
    assert max(lifts) > 1.5
    assert min(lifts) < 0.7
    # Some group is told by its income, and a stand-in for an unknown one does not make anybody rich.
    incomes = [trait.inside for proposal in report.proposed for trait in proposal.traits if trait.name == "income"]
    assert incomes
    assert max(incomes) < 200_000


@pytest.mark.slow
def test_no_group_of_customers_rests_on_a_protected_trait_or_on_a_constant(
    personality: tuple[ProposalReport, Path],
) -> None:
    report, out = personality
    left = {one.field for one in report.fields_left_out}
    assert {"Year_Birth", "Marital_Status", "Kidhome", "Teenhome", "Z_CostContact", "Z_Revenue"} <= left
    drafts = "".join(path.read_text() for path in out.glob("draft_*.yaml"))
    assert not any(word in drafts for word in ("year_birth", "marital", "kidhome", "teenhome", "z_cost"))


@pytest.mark.slow
def test_the_report_on_customers_reads_without_the_words_of_a_data_scientist_until_its_last_part(
    personality: tuple[ProposalReport, Path],
) -> None:
    _, out = personality
    page = (out / "report.html").read_text()
    body = re.sub('base64,[^"]*', "", page[page.index("<body>") :])
    first = body[: body.index("For a data scientist")]
    for word in ("Jaccard", "k-means", "kmeans", "F1", "cluster"):
        assert word not in first, word
    assert "must be declared as facts" in first
    assert "spend on wine in two years" in first.lower()


@pytest.mark.slow
def test_the_command_proposes_logs_to_mlflow_and_says_what_is_next(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey, "propose", partial(journey.propose, sizes=(4,)))
    out = tmp_path / "out"
    asked = ["segments", "propose", "--data", str(small_world / "data"), "--out", str(out)]
    said = CliRunner().invoke(app, [*asked, "--artifacts", str(tmp_path / "artifacts")])
    assert said.exit_code == 0, said.output
    assert "report.html" in said.output
    assert "Next:" in said.output
    summary = json.loads((out / "report.json").read_text())
    with sqlite3.connect(tmp_path / "artifacts" / "mlflow.db") as store:
        names = {name for (name,) in store.execute("select name from experiments")}
        runs = store.execute("select run_uuid, name, artifact_uri from runs").fetchall()
        metrics = {(run, key): value for run, key, value in store.execute("select run_uuid, key, value from metrics")}
    store.close()
    assert "leadwell-proposals" in names
    assert {name for _, name, _ in runs} == {"data", *(row["name"] for row in summary["proposals"])}
    ((parent, _, uri),) = (run for run in runs if run[1] == "data")
    assert metrics[parent, "groups"] == len(summary["proposals"])
    logged = {
        path.relative_to(Path(uri.removeprefix("file://"))) for path in Path(uri.removeprefix("file://")).rglob("*.*")
    }
    assert {Path("report.html"), Path("report.json"), Path("pictures/map.png")} <= logged
    # Lead ids stay in the folder of the proposal.
    assert not any(path.name == "members.parquet" for path in logged)
    assert not any(lead in (out / "report.json").read_text() for lead in ("lead_id", "members.parquet"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "{file}"], "a flat export needs --source"),
        (
            ["--data", "{file}", "--source", "customer_personality", "--as-of", "2026-06-30"],
            "expected none with --source",
        ),
        (["--data", "{file}", "--source", "customer_personality"], "expected this column in the first line"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("a,b\n1,2\n")
    asked = [argument.replace("{file}", str(file)) for argument in arguments]
    said = CliRunner().invoke(app, ["segments", "propose", *asked, "--out", str(tmp_path / "out"), "--no-track"])
    assert said.exit_code != 0
    assert says in f"{said.output} {said.exception}"


def test_the_shipped_mapping_names_no_value_of_anybody() -> None:
    mapping = load_source(Path("customer_personality"))
    path = Path(__file__).resolve().parents[1] / "configs" / "sources" / "customer_personality.yaml"
    content = yaml.safe_load(path.read_text())
    assert content["name"] == mapping.name
    assert mapping.outcome == "Response"
    assert not mapping.records
