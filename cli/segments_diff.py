"""`leadwell segments diff`: who would enter and leave, and what else a change of definitions does, before its use."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.clock import chosen
from cli.screen import console, line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from configs.settings import Settings
    from features.facts import Facts
    from features.intake.campaigns import Campaign
    from models.segments.difference import Change, Difference, Placed, Version

SHIPPED = "shipped"
# What a change of the dictionary, of the settings that facts are made with, changes besides the definitions.
_FACT_PARTS = ("vocabularies", "features", "facts", "identity", "data_use", "jurisdictions")
_WIDTH = 100

Configs = Annotated[
    Path | None,
    typer.Option("--configs", help="the configuration that segment files are laid over"),
]


def diff(
    old: Annotated[str, typer.Argument(help="`shipped`, a configuration folder, a folder or a file of segments")],
    new: Annotated[str, typer.Argument(help="as OLD")],
    data: Annotated[Path | None, typer.Option("--data", help="folder with the leads to place under both")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    drafts: Annotated[
        str, typer.Option("--drafts", help="ids of NEW's drafts to try as if approved, separated by commas")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="write everything as JSON to this file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Configs = None,
) -> None:
    """Show who would enter and leave each segment, what changed in words, and what else names a changed segment.

    A configuration folder is taken as it is. A folder of segment files takes the place of the shipped segments, and a
    single file is laid over them: of an id that both have, the file's counts. Only approved definitions count, so an
    edited one is out of use in NEW until it is approved, unless --drafts tries it.

    Example: leadwell segments diff shipped configs/ --data artifacts/demo/world --drafts moa_engaged
    """
    from models.segments.difference import difference

    sides = (_settings(old, configs), _settings(new, configs))
    instant = chosen(as_of, data)
    versions = _versions((old, new), sides, drafts, instant)
    seen = _Seen()
    if data is not None and as_json:
        seen = _seen(data, sides, versions, instant)
    elif data is not None:
        with step("Placing everybody under both"):
            seen = _seen(data, sides, versions, instant)
    found = difference(
        *versions,
        on=instant.date(),
        placed=seen.placed,
        lead_ids=seen.lead_ids,
        contactable=seen.contactable,
        refers=_refers(sides[1], seen.campaigns),
    )
    text = json.dumps(asdict(found), indent=2)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        write_out(text)
        return
    _show(found, (_said(old, configs), _said(new, configs)))
    for activation in versions[1].segment_map.activations if data is not None else ():
        if activation.overlay and activation.definition.id in versions[1].tried:
            line(f"[yellow]{activation.definition.id} looks at readiness: nobody is placed in it before that[/yellow]")
    if out is not None:
        line(f"everything as JSON: {out}")
    _suggest(found, data)


def _settings(given: str, configs: Path | None) -> Settings:
    from configs.settings import load_settings

    path = Path(given)
    if given == SHIPPED and not path.exists():
        return load_settings()
    if not path.exists():
        raise InputInvalid(given, f"expected {SHIPPED}, a configuration folder, or a file or folder of segments")
    if path.is_dir() and (path / "segments").is_dir():
        return load_settings(path)
    if path.is_dir() and not list(path.glob("*.yaml")):
        raise InputInvalid(given, "expected a folder with a folder `segments`, or with YAML files of segments")
    return load_settings(configs, segments=path)


def _said(given: str, configs: Path | None) -> str:
    """What is compared, in words."""
    path, base = Path(given), str(configs) if configs else "the shipped configuration"
    if given == SHIPPED and not path.exists():
        return "the shipped configuration"
    if path.is_dir() and (path / "segments").is_dir():
        return f"the configuration in {given}"
    if path.is_dir():
        return f"{base} with the segments of {given} instead of its own"
    return f"{base} with {given} laid over its segments"


def _versions(
    names: tuple[str, str], sides: tuple[Settings, Settings], drafts: str, as_of: datetime
) -> tuple[Version, Version]:
    from models.segments.difference import Version

    tried = [name for part in drafts.split(",") if (name := part.strip())]
    known = {definition.id: definition.status for definition in sides[1].segments}
    for name in tried:
        if known.get(name) not in ("draft", "proposed", "approved"):
            waiting = sorted(i for i, status in known.items() if status in ("draft", "proposed"))
            found = f"{name} is retired" if name in known else f"no segment {name!r} in NEW"
            expected = ", ".join(waiting[:8]) + (", ..." if len(waiting) > 8 else "")
            raise InputInvalid("--drafts", f"{found}; expected a draft such as {expected}" if waiting else found)
    on = as_of.date()
    return Version.of(names[0], sides[0], on), Version.of(names[1], sides[1], on, tried)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The same leads under both versions, which of them may be contacted, and the campaigns of the data."""

    placed: tuple[Placed, Placed] | None = None
    lead_ids: Sequence[str] = ()
    contactable: NDArray[np.bool_] | None = None
    campaigns: Sequence[Campaign] = ()


def _seen(data: Path, sides: tuple[Settings, Settings], versions: tuple[Version, Version], as_of: datetime) -> _Seen:
    import numpy as np

    from features.facts import FactBuilder
    from features.intake.campaigns import read_campaigns
    from features.intake.sources import find_files
    from features.inventory import Inventory
    from features.tables import MICROSECONDS_A_DAY, microseconds
    from models.segments.difference import Placed
    from training.proposals.reach import reachable

    files = find_files(data)
    first = _facts(files, sides[0], as_of)
    second = first
    if sides[0].digest(*_FACT_PARTS) != sides[1].digest(*_FACT_PARTS):
        second = _facts(files, sides[1], as_of)
        if not np.array_equal(first.lead_ids, second.lead_ids):
            raise InputInvalid(str(data), "expected the same leads under OLD and NEW: compare them one file at a time")
    counted = first.counted & second.counted
    members = versions[1].segment_map.members(second.facts, as_of=as_of)
    inventory = Inventory.of_settings(sides[1])
    builder = FactBuilder.of(sides[1])
    day = microseconds(as_of) // MICROSECONDS_A_DAY
    told = versions[1].segment_map.told(second.facts, members, inventory, builder, day)
    may = np.asarray(reachable(told, sides[1].assets, sides[1], as_of).may.any(axis=(0, 2)))
    return _Seen(
        (Placed.of(versions[0], first.facts, as_of, counted), Placed.of(versions[1], second.facts, as_of, counted)),
        first.lead_ids[counted].tolist(),
        may[counted],
        read_campaigns(files["campaigns"]) if "campaigns" in files else (),
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    lead_ids: NDArray[np.object_]
    facts: Facts
    counted: NDArray[np.bool_]


def _facts(files: Mapping[str, Path], settings: Settings, as_of: datetime) -> _Facts:
    from features.facts import FactBuilder, facts_of
    from features.intake.sources import read_tables
    from features.inventory import Inventory
    from features.view import view_at

    builder = FactBuilder.of(settings)
    tables = read_tables(files, settings, assets=settings.assets, as_of=as_of).tables
    known = view_at(tables, as_of, builder.view)
    counted = known.present if known.merged is None else known.present & ~known.merged.away
    facts = facts_of(known, builder, Inventory.of_settings(settings))
    return _Facts(known.lead_ids, facts, counted)


def _refers(settings: Settings, campaigns: Sequence[Campaign]) -> dict[str, list[str]]:
    """What names each segment: content, triggers, retired segments it follows, campaigns."""
    from configs.references import references

    found: dict[str, list[str]] = {}
    for reference in references(dict(settings)):
        named = ".".join(reference.key.split(".")[1:-1]) or reference.key
        listed = found.setdefault(reference.segment_id, [])
        listed += [said for said in (f"{named} in {reference.file}",) if said not in listed]
    for definition in settings.segments:
        if definition.replaced_by is not None:
            found.setdefault(definition.replaced_by, []).append(f"successor of the retired {definition.id}")
    for campaign in campaigns:
        for segment_id in campaign.segment_ids:
            found.setdefault(segment_id, []).append(f"campaign {campaign.campaign_id}")
    return found


def _show(found: Difference, said: tuple[str, str]) -> None:
    line(f"old: {said[0]}")
    line(f"new: {said[1]}")
    console.print()
    if found.is_empty:
        line("no difference: the same definitions, the same approvals, everybody stays where they are")
        return
    if found.leads:
        rows = [_row(change) for change in found.changes]
        columns = ("segment", "was", "is", "old", "new", "enter", "leave")
        table("Who enters and leaves (in brackets: who may be contacted)", columns, rows, right=(3, 4, 5, 6))
    for change in found.changes:
        _show_change(change, with_leads=bool(found.leads))
    if found.moves:
        rows = [(move.left, move.entered, f"{move.leads:,}") for move in found.moves]
        table("Primary segment: from, to", ("from", "to", "leads"), rows, right=(2,))
    if found.leads:
        may = f", of whom {found.contactable:,} may be contacted" if found.contactable is not None else ""
        line(f"{found.affected:,} of {found.leads:,} leads change a membership{may}")
        line("[dim]everybody is placed afresh: a minimum dwell may keep leavers for some days[/dim]")


def _row(change: Change) -> tuple[object, ...]:
    return (
        change.segment_id, *change.status, f"{change.leads[0]:,}", f"{change.leads[1]:,}",
        _moved("+", change.entered, change.contactable_entering), _moved("-", change.left, change.contactable_leaving),
    )  # fmt: skip


def _moved(sign: str, leads: int, contactable: int | None) -> str:
    may = f" ({contactable:,})" if contactable is not None else ""
    return f"{sign}{leads:,}{may}" if leads else ""


def _show_change(change: Change, *, with_leads: bool) -> None:
    if change.kind == "unchanged":
        return  # the table says all of it
    versions = [str(version) for version in change.version if version is not None]
    version = " → ".join(dict.fromkeys(versions))
    status = " → ".join(dict.fromkeys(change.status))
    console.print(f"[bold]{change.segment_id}[/bold] [dim]{change.kind}, version {version}, {status}[/dim]")
    for worded in change.worded:
        scope = {"enter": change.enter, "exit": change.exit}.get(worded.key)
        verdict = f" [cyan]{scope.words}[/cyan]" if scope is not None else ""
        console.print(f"  {worded.key}{verdict}")
        console.print(f"    [red]-[/red] {_short(worded.old)}", soft_wrap=True)
        console.print(f"    [green]+[/green] {_short(worded.new)}", soft_wrap=True)
        if scope is not None and scope.wider:
            console.print(f"    [dim]only the new one holds for: {escape(scope.wider)}[/dim]", soft_wrap=True)
        if scope is not None and scope.narrower:
            console.print(f"    [dim]only the old one holds for: {escape(scope.narrower)}[/dim]", soft_wrap=True)
    if with_leads and change.entering:
        console.print(f"  enter, for example: {', '.join(change.entering)}")
    if with_leads and change.leaving:
        console.print(f"  leave, for example: {', '.join(change.leaving)}")
    if change.refers:
        console.print(f"  named by: {escape('; '.join(change.refers))}", soft_wrap=True)
    console.print()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return escape(flat if len(flat) <= 4 * _WIDTH else f"{flat[: 4 * _WIDTH]} ...") or "[dim]nothing[/dim]"


def _suggest(found: Difference, data: Path | None) -> None:
    out_of_use = _edited(found.changes)
    if data is None:
        next_step("add --data DIR, to see who enters and leaves")
    elif out_of_use:
        next_step(f"add --drafts {','.join(out_of_use)}, to see the edited text at work before it is approved")
    elif not found.is_empty:
        next_step("leadwell segments lint")


def _edited(changes: Collection[Change]) -> list[str]:
    """Definitions that were in use and are drafts only because somebody edited them."""
    return [c.segment_id for c in changes if c.status[0] == "approved" and c.status[1] == "draft" and c.worded]


def register(segments: typer.Typer) -> None:
    """Add the command to `leadwell segments`."""
    segments.command()(diff)
