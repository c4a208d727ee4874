"""The command line: help that a stranger can read, one clear line for a mistake, never a traceback."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
from typer.testing import CliRunner

from cli.app import app, main
from cli.clock import clock_of
from configs.errors import InputInvalid
from configs.settings import load_source

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
        (("segments", "show", "nobody"), "no segment 'nobody'; leadwell segments show lists them"),
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
    score = leadwell("score", "lead.json", "--bundle", bundle, "--data", data, cwd=tmp_path)
    assert score.returncode == 0, score.stderr
    assert "clock of this made world: 2026-06-30" in score.stderr
    (decision,) = json.loads(score.stdout)["decisions"]
    explained = leadwell("rules", "explain", "lead.json", "--as-of", "2026-06-30", "--json", cwd=tmp_path)
    assert explained.returncode == 0, explained.stderr
    (lead,) = json.loads(explained.stdout)["leads"]
    permitted = {channel["channel"]: channel["permitted"] for channel in lead["channels"]}
    assert permitted == {channel: ruling["permitted"] for channel, ruling in decision["channels"].items()}
    assert json.loads(explained.stdout)["policy"] == decision["versions"]["policy"]


def rescored(world: Path, cwd: Path, *rest: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A small rescoring run of this world."""
    told = ("--bundle", str(world / "bundle"), "--data", str(data or world / "data"), "--out", "out")
    return leadwell("rescore", *told, "--workers", "1", *rest, cwd=cwd)


def manifest_of(cwd: Path) -> dict[str, Any]:
    """The manifest of the run."""
    found: dict[str, Any] = json.loads((cwd / "out/manifest.json").read_text(encoding="utf-8"))
    return found


def test_a_made_world_carries_its_own_clock_and_rescoring_says_so(small_world: Path, tmp_path: Path) -> None:
    done = rescored(small_world, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "clock of this made world: 2026-06-30 00:00 UTC" in done.stdout
    assert not manifest_of(tmp_path)["replay"]
    assert min(manifest_of(tmp_path)["permitted"].values()) > 0


def test_rescoring_for_a_day_before_the_clock_of_the_data_is_a_replay_that_grants_nothing(
    small_world: Path, tmp_path: Path
) -> None:
    done = rescored(small_world, tmp_path, "--as-of", "2026-06-29")
    assert done.returncode == 0, done.stderr
    assert "replay of 2026-06-29" in done.stdout
    assert manifest_of(tmp_path)["replay"]
    assert set(manifest_of(tmp_path)["permitted"].values()) == {0}


def test_data_that_declare_no_instant_live_by_the_real_clock(small_world: Path, tmp_path: Path) -> None:
    shutil.copytree(small_world / "data", tmp_path / "real")
    complete = json.loads((tmp_path / "real/sample.json").read_text(encoding="utf-8"))["suppressions_complete_as_of"]
    (tmp_path / "real/sample.json").unlink()
    fresh = ("--suppressions-complete-as-of", complete)
    done = rescored(small_world, tmp_path, "--as-of", "2026-06-30", *fresh, data=tmp_path / "real")
    assert done.returncode == 0, done.stderr
    assert "clock of" not in done.stdout
    assert set(manifest_of(tmp_path)["permitted"].values()) == {0}


@pytest.mark.parametrize(
    ("as_of", "said"),
    [
        ("2026-07-01", "--as-of: expected an instant not after the clock of this made world, 2026-06-30 00:00 UTC"),
        ("9999-12-31", "expected an instant of the years 1970 to 2199"),
        ("9999-12-31T23:59:59-14:00", "expected a date like"),
    ],
)
def test_an_instant_after_the_clock_is_refused(as_of: str, said: str, small_world: Path, tmp_path: Path) -> None:
    done = rescored(small_world, tmp_path, "--as-of", as_of)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("note", ["{", "[]", "{}", '{"as_of": 7}', '{"as_of": "2026-06-30T08:00:00"}', "\udcff"])
def test_a_damaged_note_of_a_made_world_is_one_clear_line(note: str, tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_bytes(note.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputInvalid, match=r"sample\.json: expected a JSON object whose as_of is an instant"):
        clock_of(tmp_path)


def test_scoring_a_request_for_the_past_grants_nothing(small_world: Path, tmp_path: Path) -> None:
    body = leadwell("request", "L0000007", "--data", str(small_world / "data"), cwd=tmp_path).stdout
    (tmp_path / "lead.json").write_text(body, encoding="utf-8")
    bundle = ("--bundle", str(small_world / "bundle"))
    score = leadwell("score", "lead.json", *bundle, "--as-of", "2026-06-30", cwd=tmp_path)
    assert score.returncode == 0, score.stderr
    (decision,) = json.loads(score.stdout)["decisions"]
    assert not any(ruling["permitted"] for ruling in decision["channels"].values())


def flat_header() -> str:
    """The columns of the shipped flat export."""
    mapping = load_source(Path("xeducation"))
    learned = [attribute.column for attribute in mapping.attributes]
    columns = [mapping.lead_id, mapping.order_by, *mapping.fields.values(), *(r.column for r in mapping.records)]
    return ",".join(f'"{name}"' for name in dict.fromkeys([*columns, *learned]) if name)


@pytest.mark.parametrize("flat", [True, False])
def test_an_input_without_a_lead_gives_an_empty_whole_result(flat: bool, small_world: Path, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text((flat_header() if flat else "lead_id,created_at") + "\n", encoding="utf-8")
    source = ("--source", "xeducation") if flat else ()
    told = ("--leads", "leads.csv", "--bundle", str(small_world / "bundle"), "--out", "out", "--workers", "1")
    done = leadwell("rescore", *source, *told, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert manifest_of(tmp_path)["leads"] == 0
    assert pq.read_table(tmp_path / "out/decisions").num_rows == 0
    with (tmp_path / "out/crm.csv").open(newline="", encoding="utf-8") as file:
        (header,) = csv.reader(file)
    assert "email_permitted" in header


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("rescore", "--out", "file/out"), "file"),
        (("rescore", "--out", "out", "--audit", "file/audit"), "file"),
        (("data", "check", "--rejects", "none/bad.csv"), "none"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_clear_line(
    arguments: tuple[str, ...], named: str, small_world: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    bundle = ("--bundle", str(small_world / "bundle")) if arguments[0] == "rescore" else ()
    done = leadwell(*arguments, "--data", str(small_world / "data"), *bundle, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_world_is_not_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    done = leadwell("sample", "--leads", "50", "--out", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == ["error file: file exists"]


def test_partitions_are_bounded(small_world: Path, tmp_path: Path) -> None:
    done = rescored(small_world, tmp_path, "--partitions", "99999")
    assert done.returncode == 2
    assert "less than or equal to 1024" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_a_library_is_told_by_its_kind_without_what_it_quotes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise pa.ArrowInvalid("could not convert 'Jane Doe'")

    monkeypatch.setattr("cli.app.app", fails)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "pyarrow ArrowInvalid" in said
    assert "Jane" not in said


@pytest.mark.slow
def test_an_interrupted_rescoring_of_two_workers_says_so_in_one_line(small_world: Path, tmp_path: Path) -> None:
    told = ("rescore", "--data", str(small_world / "data"), "--bundle", str(small_world / "bundle"), "--out", "out")
    command = [sys.executable, "-c", LEADWELL, *told, "--workers", "2", "--partitions", "64"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(tmp_path)}
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial-*/decisions/*")):
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    # A terminal sends Ctrl+C to the whole group, children included.
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.strip().splitlines() == ["error stopped by you; nothing half-written is left in place"]
    assert not list(tmp_path.glob("out")) and not list(tmp_path.glob(".out.partial-*"))


def test_a_damaged_audit_log_is_named(tmp_path: Path) -> None:
    from policy.audit.log import AuditLog

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
