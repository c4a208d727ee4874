"""The command line: help that a stranger can read, one clear line for a mistake, never a traceback."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from cli.app import app

RUNNER = CliRunner()
ROOT = Path(__file__).parent.parent
LEADWELL = "import sys; from cli.app import main; sys.argv[0] = 'leadwell'; main()"


def leadwell(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(cwd)}
    command = [sys.executable, "-c", LEADWELL, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _commands(group: typer.main.TyperGroup, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _commands(command, (*path, name))
        else:
            found.append(((*path, name), command.help or ""))
    return found


COMMANDS = _commands(typer.main.get_command(app))  # type: ignore[arg-type]
REQUIRED = (
    "demo", "sample", "data check", "segments propose", "segments lint", "segments show", "train", "evaluate",
    "promote", "rollback", "score", "rescore", "rules check", "rules explain", "serve", "audit verify",
)  # fmt: skip


@pytest.mark.parametrize("name", REQUIRED)
def test_a_command_that_was_promised_exists(name: str) -> None:
    assert tuple(name.split()) in dict(COMMANDS)


@pytest.mark.parametrize(
    ("path", "says"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_shows_an_example_of_itself(path: tuple[str, ...], says: str) -> None:
    assert f"leadwell {' '.join(path)}" in says.split("Example:", 1)[1]


def test_the_first_page_of_help_names_where_to_start() -> None:
    shown = RUNNER.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "leadwell demo" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data", "check", "--data", "nowhere"), "nowhere: expected a folder"),
        (("data", "check"), "expected either --data FOLDER, or --source MAPPING"),
        (("train", "--data", "nowhere"), "nowhere: expected a folder"),
        (("train", "--source", "xeducation", "--leads", "nowhere.csv"), "nowhere.csv: expected a CSV file"),
        (("rescore", "--bundle", "nowhere", "--data", "nowhere", "--out", "out"), "nowhere: expected a bundle folder"),
        (("promote", "--by", "me", "--bundle", "nowhere"), "nowhere: expected a bundle folder"),
        (("rollback", "--by", "me"), "no champion to roll back from; run `leadwell promote"),
        (("segments", "show", "nobody"), "no segment 'nobody'; expected one of"),
        (("rules", "check", "--configs", "nowhere"), "nowhere: expected a folder of configuration files"),
        (("serve",), "expected LEADWELL_API_KEY in the environment"),
        (("serve", "--no-key", "--host", "0.0.0.0"), "expected --host 127.0.0.1 with --no-key"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = leadwell(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_date_without_a_zone_is_refused_with_the_form_that_is_expected(tmp_path: Path) -> None:
    done = leadwell("rules", "check", "--as-of", "2026-06-30T08:00:00", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a zone" in done.stderr


def test_the_shipped_rules_and_segments_pass_their_own_checks() -> None:
    rules = RUNNER.invoke(app, ["rules", "check", "--as-of", "2026-11-22"])
    assert rules.exit_code == 0, rules.stdout
    assert "pending counsel" in rules.stdout
    segments = RUNNER.invoke(app, ["segments", "lint", "--as-of", "2026-11-22"])
    assert segments.exit_code == 0, segments.stdout


def test_showing_a_segment_prints_its_rules_themes_and_next_action() -> None:
    shown = RUNNER.invoke(app, ["segments", "show", "onc_community_center"])
    assert shown.exit_code == 0
    for part in ("enters when", "leaves when", "themes", "next best action", "approved by"):
        assert part in shown.stdout


def test_a_rejected_row_is_named_with_file_column_and_reason(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(
        "lead_id,created_at\nL1,2026-01-01T00:00:00Z\n,2026-01-01T00:00:00Z\nL2,yesterday\n", encoding="utf-8"
    )
    done = leadwell("data", "check", "--data", ".", "--as-of", "2026-06-30", "--rejects", "bad.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "bad.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # The header is row 1.
    assert {(row["column"], row["row"]) for row in rows} == {("lead_id", "3"), ("created_at", "4")}
    assert "yesterday" not in done.stdout


def test_score_and_explain_answer_the_same_body_without_a_server(small_world: Path, tmp_path: Path) -> None:
    data, bundle = str(small_world / "data"), str(small_world / "bundle")
    body = leadwell("request", "L0000007", "--data", data, cwd=tmp_path)
    assert body.returncode == 0, body.stderr
    (tmp_path / "lead.json").write_text(body.stdout, encoding="utf-8")
    score = leadwell("score", "lead.json", "--bundle", bundle, "--as-of", "2026-06-30", cwd=tmp_path)
    assert score.returncode == 0, score.stderr
    (decision,) = json.loads(score.stdout)["decisions"]
    explained = leadwell("rules", "explain", "lead.json", "--as-of", "2026-06-30", "--json", cwd=tmp_path)
    assert explained.returncode == 0, explained.stderr
    (lead,) = json.loads(explained.stdout)["leads"]
    permitted = {channel["channel"]: channel["permitted"] for channel in lead["channels"]}
    assert permitted == {channel: ruling["permitted"] for channel, ruling in decision["channels"].items()}
    assert json.loads(explained.stdout)["policy"] == decision["versions"]["policy"]


def test_a_damaged_audit_log_is_named(tmp_path: Path) -> None:
    from policy.audit import AuditLog

    log = AuditLog(tmp_path / "audit", "worker")
    for number in range(3):
        log.append({"number": number})
    log.close()
    assert leadwell("audit", "verify", str(tmp_path / "audit"), cwd=tmp_path).returncode == 0
    (file,) = (tmp_path / "audit").glob("worker-*.jsonl")
    file.write_text(file.read_text(encoding="utf-8").replace('"number":1', '"number":7'), encoding="utf-8")
    done = leadwell("audit", "verify", str(tmp_path / "audit"), cwd=tmp_path)
    assert done.returncode == 2
    assert "record" in done.stderr


@pytest.mark.slow
def test_a_demo_of_2000_leads_ends_with_a_table_a_report_and_every_channel_permitted_for_some(tmp_path: Path) -> None:
    done = leadwell("demo", "--leads", "2000", "--out", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "report.html" in done.stdout
    manifest = json.loads((tmp_path / "demo/scores/manifest.json").read_text(encoding="utf-8"))
    assert manifest["leads"] == 2000
    for channel, permitted in manifest["permitted"].items():
        assert 0.05 <= permitted / 2000 <= 0.80, channel
    report = (tmp_path / "demo/report.html").read_text(encoding="utf-8")
    assert "the same answer as in batch" in report
    assert "http://" not in report and "https://" not in report
    assert leadwell("audit", "verify", "demo/audit", cwd=tmp_path).returncode == 0
