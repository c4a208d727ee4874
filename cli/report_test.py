"""`leadwell report test`: plan a controlled test within a segment, draw its arms, and read it."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.report_options import AsJson, AsOf, Configs, Csv, Out, State, check_out, show, tell, told_counts
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.controlled_tests import ControlledTest
    from configs.settings import Settings
    from training.measurement.controlled_reading import Assigned
    from training.measurement.reading import Measured
    from training.measurement.windows import Window

# Who is a lead and in which segment: all that planning and drawing need.
_PEOPLE = ("leads", "links", "suppressions")


def test(
    test_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="which test; without it, list all")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    state: State = None,
    assign: Annotated[
        Path | None, typer.Option("--assign", metavar="FILE.csv", help="draw the arms of the segment's leads into it")
    ] = None,
    assignments: Annotated[
        Path | None, typer.Option("--assignments", metavar="FILE.csv", help="read the test that was drawn into it")
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    csv: Csv = None,
    out: Out = None,
    configs: Configs = None,
) -> None:
    """Plan, draw or read a controlled test of controlled_tests.yaml.

    With an ID alone: how many leads it needs. With --assign: who is in which arm; a second time only newcomers are
    drawn. With --assignments: its arms, their difference to the control, and whether to believe it.

    Example: leadwell report test lab_subject_line --data DATA --state STATE --assign lab_subject_line.csv

    Example: leadwell report test lab_subject_line --data DATA --assignments lab_subject_line.csv --out test.html
    """
    from configs.settings import load_settings
    from training.measurement.controlled_sheets import plan_sheet

    check_out(out)
    settings = load_settings(configs)
    if test_id is None:
        _list(settings, as_json=as_json)
        return
    found = next((one for one in settings.controlled_tests if one.id == test_id), None)
    if found is None:
        names = ", ".join(one.id for one in settings.controlled_tests) or "none is declared"
        raise InputInvalid(test_id, f"expected the id of a test of controlled_tests.yaml: {names}")
    if (assign or assignments) and data is None:
        raise InputInvalid("--data", "expected the folder of the data with --assign and --assignments")
    if assign and assignments:
        raise InputInvalid("--assign", "expected either --assign or --assignments")
    instant = chosen(as_of, data)
    if assign is not None and data is not None:
        _draw(found, settings, data, state, assign, instant)
    elif assignments is not None and data is not None:
        _read(found, settings, data, assignments, instant, as_json=as_json, csv=csv, out=out)
    else:
        members = None
        if data is not None and state is not None:
            members = len(_members(found, settings, data, state, instant, []))
        sheet = plan_sheet(found, members, f"{instant:%Y-%m-%d}")
        if as_json:
            write_out(json.dumps({"as_of": instant.isoformat(), "reports": [sheet.to_json()]}, indent=2))
            return
        show(sheet)
        next_step(f"leadwell report test {found.id} --data DATA --state STATE --assign {found.id}.csv")


def _list(settings: Settings, *, as_json: bool) -> None:
    from training.measurement.controlled import sample_size

    tests = settings.controlled_tests
    needed = [sample_size(one).total_leads for one in tests]
    if as_json:
        keys = ("id", "says", "segment", "varies", "analysis", "starts_on", "ends_on", "owner")
        listed = [
            {key: str(getattr(one, key)) for key in keys} | {"leads": n} for one, n in zip(tests, needed, strict=True)
        ]
        write_out(json.dumps({"tests": listed}, indent=2))
        return
    table(
        f"{len(tests)} controlled tests",
        ("test", "segment", "varies", "read", "leads needed", "until"),
        [
            (one.id, one.segment, one.varies.replace("_", " "), one.analysis, f"{n:,}", one.ends_on)
            for one, n in zip(tests, needed, strict=True)
        ],
        right=(4,),
    )
    next_step(f"leadwell report test {tests[0].id}" if tests else "declare one in controlled_tests.yaml")


def _draw(
    test: ControlledTest, settings: Settings, data: Path, state: Path | None, target: Path, instant: datetime
) -> None:
    from training.measurement.controlled_reading import assignments_text, read_assignments
    from training.reviews.pages import write_page

    if state is None:
        raise InputInvalid("--state", "expected the folder that `leadwell segments apply` keeps: who is in the segment")
    if not test.starts_on <= instant.date() <= test.ends_on:
        raise InputInvalid(
            "--as-of", f"expected a day from {test.starts_on} to {test.ends_on}, when the test takes leads"
        )
    earlier = read_assignments(target, test) if target.exists() else []
    with step("Drawing"):
        everybody = _members(test, settings, data, state, instant, earlier)
    if not everybody:
        raise InputInvalid(str(state), f"expected leads in the segment {test.segment}, found none")
    write_page(assignments_text(test, everybody), target)
    rows = []
    for arm in test.arms:
        before, now = ([one.unit for one in leads if one.arm == arm.name] for leads in (earlier, everybody))
        units = (f"{len(set(now)):,}",) if test.unit == "account" else ()
        rows.append((arm.name, f"{len(before):,}", f"{len(now):,}", *units))
    title = f"{len(everybody):,} leads of {test.segment}, {len(everybody) - len(earlier):,} of them new"
    columns = ("arm", "leads before", "leads now", *(("accounts now",) if test.unit == "account" else ()))
    table(title, columns, rows, right=(1, 2, 3))
    line("[dim]An arm permits nothing: every message still asks the rules.[/dim]")
    next_step(f"leadwell report test {test.id} --data {data} --assignments {target}")


def _members(
    test: ControlledTest, settings: Settings, data: Path, state: Path, instant: datetime, earlier: list[Assigned]
) -> list[Assigned]:
    from features.intake.sources import find_files
    from training.measurement.controlled_reading import draw_members
    from training.measurement.reading import open_measured

    files = {name: path for name, path in find_files(data).items() if name in _PEOPLE}
    # Whoever was created today is a member too.
    window = _window(instant - timedelta(days=1), instant + timedelta(days=1))
    with open_measured(files, settings, window, instant) as found:
        return draw_members(found, test, state, instant, earlier)


def _read(
    test: ControlledTest, settings: Settings, data: Path, assignments: Path, instant: datetime,
    *, as_json: bool, csv: Path | None, out: Path | None,
) -> None:  # fmt: skip
    from features.intake.sources import find_files
    from training.measurement.controlled_reading import follow, read_assignments
    from training.measurement.controlled_sheets import result_sheets
    from training.measurement.reading import open_measured

    assigned = read_assignments(assignments, test)
    first = min(one.assigned_at for one in assigned)
    if first.date() >= instant.date():
        raise InputInvalid(
            str(assignments), f"expected leads assigned before {instant:%Y-%m-%d}: nothing can be read yet"
        )
    window = _window(first, instant)
    with tempfile.TemporaryDirectory(prefix="leadwell-report-") as spill:
        opened: Measured = open_measured(find_files(data), settings, window, instant, spill=Path(spill))
        with opened:
            followed = follow(opened, test, assigned)
            sheets = result_sheets(test, followed, ended=instant.date() > test.ends_on, window=opened.says)
            tell(sheets, opened, title=f"Controlled test {test.id}", as_json=as_json, csv=csv, out=out)
            if not as_json:
                told_counts(opened)


def _window(first: datetime, last: datetime) -> Window:
    from training.measurement.windows import Window

    return Window(first.astimezone(UTC).date(), last.astimezone(UTC).date())


def register(app: typer.Typer) -> None:
    """Add the command to the `report` group."""
    app.command()(test)
