"""`leadwell segments records` and `leadwell segments review`: what was decided about a segment, and what is due."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen, clock_of, moment
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from configs.definitions import SegmentDefinition
    from configs.settings import Settings
    from features.intake.campaigns import Campaign
    from models.segments.review_due import Due
    from training.reviews.evidence import Review

Configs = Annotated[Path | None, typer.Option("--configs", help="your configuration folder")]


def records(
    segment_id: Annotated[str, typer.Argument(metavar="ID", help="the segment")],
    version: Annotated[int | None, typer.Option("--version", help="an earlier one; as it is now when absent")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write it here, .html or .json")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day it is judged on; today when absent")] = None,
    configs: Configs = None,
) -> None:
    """Show the record of a segment version: rules in words, fields, material with its approvals, every decision.

    Example: leadwell segments records onc_community_center --out onc_community_center.html
    """
    from configs.approval_file import content_path, kept_content
    from configs.settings import DEFAULTS, load_settings
    from models.segments.record import record_of

    if out is not None and out.suffix.lower() not in (".html", ".json"):
        raise InputInvalid(str(out), "expected a file that ends in .html or .json")
    settings = load_settings(configs)
    folder = configs or DEFAULTS
    day = moment(as_of).date() if as_of is not None else clock_of().now.date()
    definition = _version(settings, folder, segment_id, version)
    digest = definition.content_hash
    kept = kept_content(folder, definition.id, definition.version, digest) is not None
    path = content_path(folder, definition.id, definition.version, digest)
    found = record_of(settings, definition, day, kept_as=str(path.relative_to(folder)) if kept else "")
    if out is not None:
        from training.reviews.pages import render_segment_record, write_page

        write_page(found.to_json() if out.suffix.lower() == ".json" else render_segment_record(found), out)
        line(f"record: {out}")
        next_step(f"leadwell segments history {segment_id}")
        return
    covered = f"{found.covered[0]} to {found.covered[1]}" if found.covered else "no approval"
    rows = [
        ("title", found.title),
        ("status", f"{found.status}, {'active' if found.active else 'holds nobody'}; {covered}"),
        ("next review", str(found.next_review_on)),
        ("purpose", f"{found.purpose.replace('_', ' ')}, for {', '.join(found.audience)}"),
        ("author, owner", f"{found.author}; {found.owner}"),
        *((when, words) for when, _, words in found.conditions),
        *(("field", f"{f.fact}: {f.source}; {f.cleaned}") for f in found.fields),
        *(("offer", f"{o.stage}: {o.asset_id}, {o.state}, {o.reference or 'no reference'}") for o in found.offers),
        *((str(s.on), f"version {s.version} {s.step} by {s.by}") for s in found.steps),
        *(("note well", remark) for remark in found.remarks),
        ("content", digest),
    ]
    table(f"{segment_id} version {found.version}", ("", ""), [(k, v.replace("[", r"\[")) for k, v in rows])
    next_step(f"leadwell segments records {segment_id} --out {segment_id}.html")


def review(
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="what `segments apply` keeps, for real moves")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day; the data's own, else today")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the page here (.html)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Configs = None,
) -> None:
    """List the segments that are due for review and why, with evidence from data: size, conversion, reading, overlap.

    Due: the review date, the end of the approval, a campaign that ended, a launch, an edit that nobody approved.

    Example: leadwell segments review

    Example: leadwell segments review --data artifacts/demo/world --out artifacts/review.html
    """
    from configs.settings import load_settings
    from features.intake.campaigns import read_campaigns
    from features.intake.sources import find_files, read_tables
    from models.segments.review_due import due_of
    from training.reviews.review import review as review_of

    if out is not None and (data is None or out.suffix.lower() != ".html"):
        raise InputInvalid(str(out), "expected a file that ends in .html, and --data for what it shows")
    settings = load_settings(configs)
    instant = chosen(as_of, data)
    if data is None:
        due = due_of(settings, instant.date())
        if as_json:
            write_out(json.dumps({"as_of": instant.isoformat(), "due": _plain(due)}, indent=2))
            return
        _show_due(due)
        next_step("leadwell segments review --data FOLDER --out review.html")
        return
    files = find_files(data)
    campaigns: Sequence[Campaign] = read_campaigns(files["campaigns"]) if "campaigns" in files else ()
    if as_json:
        tables = read_tables(files, settings, assets=settings.assets, as_of=instant).tables
        found = review_of(tables, settings, instant, campaigns=campaigns)
        write_out(json.dumps(_plain_review(found), indent=2))
        return
    with step("Reading tables"):
        tables = read_tables(files, settings, assets=settings.assets, as_of=instant).tables
    with step("Looking back") as report:
        found = review_of(tables, settings, instant, campaigns=campaigns, progress=report)
    recorded = _recorded(state, found.back_days) if state is not None else {}
    _show_due(found.due)
    _show_evidence(found, recorded)
    _show_diagnoses(found)
    _show_amendments(found)
    _show_feedback(found)
    if out is not None:
        from training.reviews.pages import render_segment_review, write_page

        line(f"page: {write_page(render_segment_review(found, recorded), out)}")
    else:
        line("[dim]--out review.html makes a page with pictures[/dim]")
    next_step("leadwell segments reviewed ID --by NAME --outcome kept --next DATE")


def _show_due(due: Mapping[str, tuple[Due, ...]]) -> None:
    rows = [
        (segment_id if not place else "", "[red]now[/red]" if one.urgent else "", _shown(one.says))
        for segment_id, reasons in due.items()
        for place, one in enumerate(reasons)
    ]
    if rows:
        table("Due", ("segment", "", "why"), rows)
    line(f"{sum(bool(reasons) for reasons in due.values())} of {len(due)} segments are due")


def _show_evidence(found: Review, recorded: Mapping[str, str]) -> None:
    from training.reviews.advice import accepted_in_words

    rows = []
    for one in found.segments:
        rate = next((p.converted for p in reversed(one.points) if p.converted is not None and p.converted.of), None)
        advice = [f"{a.kind} with {a.other}" if a.other else a.kind for a in one.suggestions]
        said = f"{rate.rate:.1%} ({rate.interval[0]:.1%} to {rate.interval[1]:.1%})" if rate else ""
        share = f"{one.points[-1].size.rate:.1%}"
        rows.append((one.definition.id, f"{one.members:,}", share, said, ", ".join(advice)))
    columns = ("segment", "members", "of all", f"converted in {found.horizon_days} days", "suggestion")
    table("Evidence", columns, rows, right=(1, 2, 3))
    for one in found.segments:
        told = [*one.signs, *(a.says for a in one.suggestions if a.kind != "keep" and a.says not in one.signs)]
        for text in told:
            line(f"[yellow]{one.definition.id}[/yellow]: {_shown(text)}")
        if one.feedback is not None and not one.feedback.fell:
            line(f"[dim]{one.definition.id}: {accepted_in_words(one.feedback, found.back_days)}[/dim]")
        if one.definition.id in recorded:
            line(f"[dim]{one.definition.id}: {recorded[one.definition.id]}[/dim]")


def _show_diagnoses(found: Review) -> None:
    for one in found.segments:
        if one.diagnosis is None:
            continue
        d = one.diagnosis
        line(
            f"[yellow]{one.definition.id}[/yellow] converts less: {d.own.rate:.1%} of {d.own.of:,}, all others "
            f"{d.others.rate:.1%} of {d.others.of:,} (difference {100 * d.low:+.1f} to {100 * d.high:+.1f} points)"
        )
        rows = []
        for place, point in enumerate(d.points):
            again = place > 0 and point.step == d.points[place - 1].step
            mark = "[yellow]look here[/yellow]" if point is d.first else "speaks" if point.speaks else ""
            rows.append(("" if again else point.step, _shown(point.says), mark))
        table("Where to look, in this order", ("at", "what", ""), rows)


def _show_amendments(found: Review) -> None:
    for one in found.segments:
        for change in one.amendments:
            line(f"[bold]{one.definition.id}[/bold] {change.file} {_shown(change.key)}: {_shown(change.says)}")
            if change.now:
                line(f"  now {_shown(change.now)}")
            line(f"  to  {_shown(change.to)}" if change.to else "  to  [dim]for a person to write[/dim]")
            for told in change.evidence:
                line(f"  [dim]{_shown(told)}[/dim]")
        if one.amendments:
            line("")


def _show_feedback(found: Review) -> None:
    from training.reviews.advice import accepted_in_words

    if found.feedback is None:
        return
    line(f"all leads: {accepted_in_words(found.feedback, found.back_days)}")
    if found.feedback.fell:
        line("[yellow]sales takes fewer than before, beyond noise: train again and judge the new bundle[/yellow]")
        next_step("leadwell train --data FOLDER")


def _recorded(state: Path, back_days: int) -> dict[str, str]:
    """What the last apply keeps of each segment, in words: members, and moves in the window before it."""
    import pyarrow.compute as pc

    from serving.memberships.state import read_state

    kept = read_state(state)
    if kept is None:
        raise InputInvalid(str(state), "expected what an earlier `leadwell segments apply` keeps")
    # Who was placed by the very first run did not come then.
    since = max(kept.as_of - timedelta(days=back_days), datetime.fromisoformat(kept.runs[0]["as_of"]))
    rows = kept.memberships
    found = {}
    for segment_id in pc.unique(rows["segment_id"]).to_pylist():
        own = rows.filter(pc.equal(rows["segment_id"], segment_id)).to_pydict()
        here = sum(left is None for left in own["left_at"])
        came = sum(entered is not None and entered > since for entered in own["entered_at"])
        went = sum(left is not None and left > since for left in own["left_at"])
        again = sum((entry or 1) > 1 for entry in own["entry"])
        found[segment_id] = (
            f"{here:,} members on {kept.as_of:%Y-%m-%d}; since {since:%Y-%m-%d} {came:,} entered and {went:,} left; "
            f"{again:,} are returns"
        )
    return found


def _plain(due: Mapping[str, tuple[Due, ...]]) -> dict[str, list[dict[str, object]]]:
    return {segment_id: [asdict(one) for one in reasons] for segment_id, reasons in due.items()}


def _plain_review(found: Review) -> dict[str, object]:
    segments = []
    for one in found.segments:
        plain = asdict(one)
        plain["definition"] = {"id": one.definition.id, "version": one.definition.version}
        segments.append(plain)
    whole = {"as_of": found.as_of.isoformat(), "leads": found.leads, "horizon_days": found.horizon_days}
    content = whole | {"back_days": found.back_days, "due": _plain(found.due), "segments": segments}
    plain_text: dict[str, object] = json.loads(json.dumps(content, default=str))
    return plain_text


def _shown(text: str) -> str:
    """Text of a file, which the terminal must not read as markup."""
    return text.replace("[", r"\[")


def _version(settings: Settings, folder: Path, segment_id: str, version: int | None) -> SegmentDefinition:
    """The definition as it is now, or as the last decision about an earlier version had it, with its standing."""
    from configs.approval_file import kept_content
    from configs.approvals import with_approvals
    from models.segments.steps import definition_of

    now = definition_of(settings, segment_id)
    if version is None or version == now.version:
        return now
    about = [step for step in settings.approvals if (step.segment, step.version) == (segment_id, version)]
    if not about:
        raise InputInvalid(segment_id, f"expected a version that was proposed or is written now, found {version}")
    approved = [step for step in about if step.step == "approved"] or about
    kept = kept_content(folder, segment_id, version, approved[-1].definition)
    if kept is None:
        where = f"the repository's history of segments/ has it, under {approved[-1].definition[:12]}"
        raise InputInvalid(segment_id, f"the text of version {version} is not kept in approved/; {where}")
    return with_approvals([kept], settings.approvals)[0]


def register(segments: typer.Typer) -> None:
    """Add the commands of this room."""
    segments.command()(records)
    segments.command()(review)
