"""`leadwell segments submit`, `approve`, `reviewed`, `retire`, `history`: a segment's life, step by step."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import clock_of, moment
from cli.screen import line, next_step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from configs.approvals import ApprovalStep
    from configs.definitions import SegmentDefinition
    from configs.settings import Settings

Id = Annotated[str, typer.Argument(metavar="ID", help="the segment")]
By = Annotated[str, typer.Option("--by", help="your name or office, as it shall stand in the record")]
On = Annotated[str | None, typer.Option("--on", help="the day of the step; today when absent")]
Note = Annotated[str | None, typer.Option("--note", help="one line for whoever reads the record")]
Configs = Annotated[Path | None, typer.Option("--configs", help="your configuration folder")]


def submit(segment_id: Id, by: By, note: Note = None, on: On = None, configs: Configs = None) -> None:
    """Propose a draft for approval; refused while the lint finds an error in it.

    Example: leadwell segments submit onc_community_center --by "J. Keller" --configs configs
    """
    from models.segments.steps import submission

    day = _day(on)
    settings, step = _taken(configs, lambda now: submission(now, segment_id, by, day, note))
    _warn(settings, segment_id, step.on)
    short = step.definition[:12]
    line(f"[green]proposed[/green]: {segment_id} version {step.version}, content {short}, by {_shown(step.by)}")
    now = _definition(settings, segment_id)
    if now.approval is not None:
        line(f"It was approved before and stays so until {now.approval.expires_on}; this renews it.")
    line("Somebody who neither wrote nor proposed it reads it and approves it.")
    next_step(f'leadwell segments approve {segment_id} --seen {short} --by NAME --until DATE --reference "..."')


def approve(
    segment_id: Id,
    by: By,
    until: Annotated[str, typer.Option("--until", help="last day of the approval")],
    reference: Annotated[str, typer.Option("--reference", help="where the decision is recorded, e.g. SEG-2026-014")],
    seen: Annotated[
        str | None, typer.Option("--seen", help="beginning of the content's hash that you have read")
    ] = None,
    note: Note = None,
    on: On = None,
    configs: Configs = None,
) -> None:
    """Approve what was proposed, as somebody who neither wrote nor proposed it; it is active from that day on.

    Example: leadwell segments approve onc_community_center --by "Dr. M. Ortiz" --until 2027-06-30 --reference SEG-26-14
    """
    from models.segments.steps import approval

    day, last = _day(on), moment(until).date()
    settings, step = _taken(
        configs, lambda now: approval(now, segment_id, by, day, last, reference, seen=seen, note=note)
    )
    _warn(settings, segment_id, step.on)
    line(f"[green]approved[/green]: {segment_id} version {step.version}, content {step.definition[:12]}")
    line(f"by {_shown(step.by)}, reference {_shown(step.reference or '')}")
    line(f"active from {_definition(settings, segment_id).covered_from or step.on} to {step.expires_on}, that day too")
    line("A bundle holds the map it was trained with: this one counts after the next training.")
    next_step(f"leadwell segments records {segment_id} --out {segment_id}.html")


def reviewed(
    segment_id: Id,
    by: By,
    outcome: Annotated[str, typer.Option("--outcome", help="what became of the hypothesis: kept, changed or dropped")],
    next_on: Annotated[str | None, typer.Option("--next", help="day of the next review")] = None,
    note: Note = None,
    on: On = None,
    configs: Configs = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="what `segments review --json` wrote; its findings are kept")
    ] = None,
) -> None:
    """Record a review: whether the hypothesis was kept, changed or dropped, on what evidence, and when to look again.

    Example: leadwell segments reviewed onc_community_center --by "J. Keller" --outcome kept --next 2027-03-01
    """
    from models.segments.steps import review_outcome
    from training.reviews.kept import evidence_lines

    day, later = _day(on), moment(next_on).date() if next_on else None
    told = evidence_lines(evidence, segment_id) if evidence is not None else ()
    _, step = _taken(configs, lambda now: review_outcome(now, segment_id, by, day, outcome, later, note, told))
    line(f"[green]reviewed[/green]: {segment_id} version {step.version}, the hypothesis was {step.outcome}")
    for one in step.evidence:
        line(f"  [dim]{_shown(one)}[/dim]")
    if step.next_review_on is not None:
        line(f"next review on {step.next_review_on}")
    if outcome == "kept":
        next_step("leadwell segments review")
    elif outcome == "changed":
        next_step(f"write the new hypothesis and version, then: leadwell segments submit {segment_id} --by NAME")
    else:
        next_step(f"leadwell segments retire {segment_id} --by NAME --replaced-by ID")


def retire(
    segment_id: Id,
    by: By,
    replaced_by: Annotated[str | None, typer.Option("--replaced-by", help="the segment that takes over")] = None,
    note: Note = None,
    on: On = None,
    configs: Configs = None,
) -> None:
    """End a segment: it holds nobody any more, and its record stays. Refused while something still names it.

    Example: leadwell segments retire cardio_outpatient --by "J. Keller" --replaced-by cardio_hospital_team
    """
    from models.segments.steps import mentioned_in, named_in, retirement

    day = _day(on)
    settings, step = _taken(configs, lambda now: retirement(now, segment_id, by, day, replaced_by, note))
    line(f"[green]retired[/green]: {segment_id} version {step.version}; this content can never be approved again")
    line("It holds nobody from the next run or start with this configuration on, whatever bundle is used.")
    if step.replaced_by:
        line(f"{step.replaced_by} takes over")
    for place in named_in(settings, segment_id) + mentioned_in(settings, segment_id):
        line(f"[yellow]{place} still names it[/yellow]")
    next_step("leadwell segments history " + segment_id)


def history(
    segment_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="one segment; all when absent")] = None,
    configs: Configs = None,
) -> None:
    """Show who did what to which version, oldest first; loading the list has checked every seal.

    Example: leadwell segments history onc_community_center
    """
    from configs.settings import load_settings
    from models.segments.steps import definition_of

    settings = load_settings(configs)
    named = definition_of(settings, segment_id) if segment_id is not None else None
    steps = [step for step in settings.approvals if named is None or step.segment == named.id]
    if steps and named is None:
        rows = [(s.on, s.segment, s.version, s.step, _shown(s.by), _shown(_detail(s))) for s in steps]
        table("History", ("on", "segment", "version", "step", "by", "what it says"), rows, right=(2,))
    elif steps:
        own = [(s.on, s.version, s.definition[:12], s.step, _shown(s.by), _shown(_detail(s))) for s in steps]
        table(segment_id or "", ("on", "version", "content", "step", "by", "what it says"), own, right=(1,))
    else:
        line("no step yet: " + ("a draft" if named is not None else "every definition is a draft"))
    if named is not None:
        line(f"now: {_now(named)}")
        status = named.status
        command = {
            "draft": f"leadwell segments submit {named.id} --by NAME",
            "proposed": f"leadwell segments approve {named.id} --by NAME --until DATE --reference TEXT",
        }.get(status, f"leadwell segments records {named.id}")
        next_step(command)
    else:
        line(f"{len(steps)} steps, every seal fits")
        next_step("leadwell segments review")


def _taken(configs: Path | None, build: Callable[[Settings], ApprovalStep]) -> tuple[Settings, ApprovalStep]:
    from configs.approval_file import append_step, writable_folder

    today = clock_of().now.date()

    def entered(now: Settings) -> ApprovalStep:
        # INVARIANT: a step that is dated back says so in the list for good, not only on the screen.
        step = build(now)
        return step if step.on == today else step.model_copy(update={"entered_on": today})

    return append_step(writable_folder(configs), entered)


def _day(on: str | None) -> date:
    """The day of a step: today by the clock of the command, or an earlier one that is told."""
    today = clock_of().now.date()
    if on is None:
        return today
    day = moment(on).date()
    if day > today:
        raise InputInvalid("--on", f"expected a day not after today, {today.isoformat()}")
    if day < today:
        line(f"[yellow]dated {day.isoformat()}, entered on {today.isoformat()}[/yellow]")
    return day


def _definition(settings: Settings, segment_id: str) -> SegmentDefinition:
    return next(d for d in settings.segments if d.id == segment_id)


def _warn(settings: Settings, segment_id: str, on: date) -> None:
    """Show what the lint leaves to the owner to judge."""
    from models.segments.steps import findings_of

    found = [f for f in findings_of(settings, _definition(settings, segment_id), on) if f.level == "warning"]
    for finding in found:
        line(f"[yellow]warning[/yellow] {finding.key} {finding.code}: {_shown(finding.reason)}; {finding.mend}")


def _now(d: SegmentDefinition) -> str:
    if d.approval is not None:
        since = d.covered_from or d.approval.on
        return f"approved, active from {since} to {d.approval.expires_on}, next review on {d.due_on}"
    if d.status == "retired":
        return f"retired{f', {d.replaced_by} takes over' if d.replaced_by else ''}"
    return "proposed, waits for a decision" if d.status == "proposed" else "a draft: it holds nobody"


def _detail(step: ApprovalStep) -> str:
    said = {
        "proposed": "",
        "approved": f"until {step.expires_on}, {step.reference}",
        "reviewed": f"hypothesis {step.outcome}"
        + (f", next {step.next_review_on}" if step.next_review_on else "")
        + "".join(f"; {one}" for one in step.evidence),
        "retired": f"{step.replaced_by} takes over" if step.replaced_by else "",
    }[step.step]
    late = f"entered on {step.entered_on}" if step.entered_on is not None else ""
    return "; ".join(part for part in (said, late, step.note or "") if part)


def _shown(text: str) -> str:
    """Text of a person, which the terminal must not read as markup."""
    return text.replace("[", r"\[")


def register(segments: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (submit, approve, reviewed, retire, history):
        segments.command()(command)
