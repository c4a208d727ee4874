"""`leadwell knowledge` and `leadwell owners`: what was learned, and who answers what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import clock_of, moment
from cli.screen import line, next_step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from configs.knowledge import Lesson

knowledge = typer.Typer(help="Keep and find what was learned about segments.", no_args_is_help=True)

Configs = Annotated[Path | None, typer.Option("--configs", help="your configuration folder")]
Json = Annotated[bool, typer.Option("--json", help="machine-readable output")]
_VERDICTS = {
    "worked": "[green]worked[/green]",
    "did_not_work": "[red]did not work[/red]",
    "unclear": "[yellow]unclear[/yellow]",
}


@knowledge.command()
def add(
    lesson_id: Annotated[str, typer.Argument(metavar="ID", help="a name of its own, such as demo_first_for_it_leads")],
    says: Annotated[str, typer.Option("--says", help="what was learned, in a sentence")],
    why: Annotated[str, typer.Option("--why", help="why it is so, as far as anybody knows")],
    verdict: Annotated[str, typer.Option("--verdict", help="worked, did_not_work or unclear")],
    by: Annotated[str, typer.Option("--by", help="who says so")],
    evidence: Annotated[list[str], typer.Option("--evidence", help="SOURCE: number with count and window; repeat it")],
    segment: Annotated[str | None, typer.Option("--segment", help="the segment it is about; all when absent")] = None,
    product: Annotated[str | None, typer.Option("--product", help="the product it is about")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="the stage it is about")] = None,
    asset: Annotated[str | None, typer.Option("--asset", help="the asset it is about")] = None,
    word: Annotated[list[str] | None, typer.Option("--word", help="a word to find it by; repeat it")] = None,
    replaces: Annotated[str | None, typer.Option("--replaces", help="the lesson that it corrects")] = None,
    on: Annotated[str | None, typer.Option("--on", help="the day; today when absent")] = None,
    configs: Configs = None,
) -> None:
    """Write down what worked or did not, for whom, why, and on what evidence. Name no person we may contact.

    Example: leadwell knowledge add webinar_before_demo --verdict worked --segment software_ehr_health_system --says "A
    webinar before the demo invitation" --why "IT leads bring a colleague" --by "R. Lange"
    --evidence "report test: 31 of 200 against 18 of 200, 2026-04-01 to 2026-06-30"
    """
    from configs.append_file import append_entry
    from configs.knowledge import FILE, Lesson
    from configs.settings import Settings

    today = clock_of().now.date()
    day = moment(on).date() if on is not None else today
    if day > today:
        raise InputInvalid("--on", f"expected a day not after today, {today.isoformat()}")
    given = [text.partition(":") for text in evidence]
    if any(not mark or not told.strip() for _, mark, told in given):
        raise InputInvalid("--evidence", 'expected "SOURCE: what it says", such as "report test: 31 of 200 ..."')
    about = {"segment": segment, "product": product, "stage": stage, "asset": asset}

    def build(settings: Settings) -> dict[str, Any]:
        _declared(settings, about, lesson_id, replaces)
        told = tuple({"source": source.strip(), "says": says_.strip()} for source, _, says_ in given)
        who = {"id": lesson_id, "on": day, "by": by, "verdict": verdict}
        return (
            who
            | about
            | {"says": says, "why": why, "evidence": told, "words": tuple(word or ())}
            | {"replaces": replaces}
        )

    settings, lesson = append_entry(configs, FILE, "knowledge", Lesson, build)
    line(f"[green]kept[/green]: {lesson.id}, one of {len(settings.knowledge)} lessons")
    next_step(f"leadwell knowledge show {lesson.id}")


@knowledge.command()
def show(
    what: Annotated[str | None, typer.Argument(metavar="[ID]", help="a lesson or a segment; all when absent")] = None,
    every: Annotated[bool, typer.Option("--all", help="with lessons that were corrected later")] = False,
    as_json: Json = False,
    configs: Configs = None,
) -> None:
    """Show what was learned: one lesson, what is known of a segment, or everything that still holds.

    Example: leadwell knowledge show onc_community_center
    """
    from configs.knowledge import in_force
    from configs.settings import load_settings

    lessons = load_settings(configs).knowledge
    found: Sequence[Lesson] = lessons if every else in_force(lessons)
    if what is not None:
        named = [one for one in lessons if one.id == what]
        found = named or [one for one in found if one.segment in (what, None)]
        if not named and not any(one.segment == what for one in found):
            segments = ", ".join(sorted({one.segment for one in lessons if one.segment})) or "none"
            raise InputInvalid("knowledge.yaml", f"nothing is known of {what!r}; segments with a lesson: {segments}")
    if as_json:
        write_out(json.dumps([one.model_dump(mode="json", exclude_none=True) for one in found], indent=1))
        return
    if len(found) == 1:
        _one(found[0], lessons)
    else:
        _listed("What was learned", found)
    next_step("leadwell knowledge search WORDS" if found else "leadwell knowledge add ID --says ... (see --help)")


@knowledge.command()
def search(
    words: Annotated[list[str], typer.Argument(help="words to look for")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="at most so many")] = 10,
    as_json: Json = False,
    configs: Configs = None,
) -> None:
    """Find lessons by words, the best first; lessons that were corrected later are left out.

    Example: leadwell knowledge search webinar hospital
    """
    from configs.knowledge import in_force
    from configs.knowledge import search as search_of
    from configs.settings import load_settings

    lessons = in_force(load_settings(configs).knowledge)
    found = [one for one, _ in search_of(lessons, " ".join(words))][:limit]
    if as_json:
        write_out(json.dumps([one.model_dump(mode="json", exclude_none=True) for one in found], indent=1))
        return
    _listed(f"{len(found)} of {len(lessons)} lessons", found)
    next_step(f"leadwell knowledge show {found[0].id}" if found else "leadwell knowledge show")


def owners(
    words: Annotated[list[str] | None, typer.Argument(help="words of the question; everything when absent")] = None,
    as_json: Json = False,
    configs: Configs = None,
) -> None:
    """Show who answers what, across functions; exits 1 where nobody answers for a queue.

    Example: leadwell owners off label
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    found = settings.ownership.about(" ".join(words or ()))
    open_queues = settings.ownership.unanswered(settings.actions.queues.values())
    if as_json:
        duties = [duty.model_dump(mode="json", exclude_none=True) for duty in found]
        write_out(json.dumps({"duties": duties, "unanswered": open_queues}, indent=1))
        raise typer.Exit(1 if open_queues and not words else 0)
    if not found:
        asked = " ".join(words or ())
        raise InputInvalid("ownership.yaml", f"nobody is named for {asked!r}; leadwell owners lists everything")
    rows = [
        (d.asks, d.owner, d.deputy, f"{d.within_hours} h", d.where.replace("[", r"\["), ", ".join(d.queues) or "-")
        for d in found
    ]
    table("Who answers what", ("question", "owner", "stands in", "within", "where", "queues"), rows, right=(3,))
    for duty in found:
        if duty.never is not None:
            line(f"[yellow]{duty.id}[/yellow]: never {duty.never}")
    if open_queues and not words:
        line(f"[bold red]nobody answers for {', '.join(open_queues)}[/bold red]: name somebody in ownership.yaml")
        raise typer.Exit(1)
    next_step("leadwell segments calendar")


def _declared(settings: Any, about: dict[str, str | None], lesson_id: str, replaces: str | None) -> None:
    """Refuse words that no list knows, before anything is written."""
    known = {
        "segment": [definition.id for definition in settings.segments],
        "product": settings.vocabularies["product"].values,
        "stage": settings.actions.stages,
        "asset": [asset.asset_id for asset in settings.assets],
    }
    for key, value in about.items():
        if value is not None and value not in known[key]:
            raise InputInvalid(f"--{key}", f"no {key} is named {value!r}")
    ids = [one.id for one in settings.knowledge]
    if lesson_id in ids:
        raise InputInvalid(lesson_id, "is kept already; correct it by another one with --replaces")
    if replaces is not None and replaces not in ids:
        raise InputInvalid("--replaces", f"no lesson is named {replaces!r}")


def _one(lesson: Lesson, lessons: Sequence[Lesson]) -> None:
    later = [one.id for one in lessons if one.replaces == lesson.id]
    about = (lesson.segment or "every segment", lesson.product, lesson.stage, lesson.asset)
    rows = [
        ("verdict", _VERDICTS[lesson.verdict]),
        ("what", _plain(lesson.says)),
        ("why", _plain(lesson.why)),
        ("about", ", ".join(part for part in about if part)),
        *(("evidence", _plain(f"{one.source}: {one.says}")) for one in lesson.evidence),
        ("said", _plain(f"by {lesson.by} on {lesson.on}")),
        *([("replaces", lesson.replaces)] if lesson.replaces else []),
        *([("corrected by", ", ".join(later))] if later else []),
    ]
    table(lesson.id, ("", ""), rows)


def _listed(title: str, lessons: Sequence[Lesson]) -> None:
    if not lessons:
        line("nothing yet")
        return
    rows = [
        (one.id, one.on, _VERDICTS[one.verdict], one.segment or "all", _plain(one.says), _plain(one.why))
        for one in lessons
    ]
    table(title, ("lesson", "on", "", "segment", "what", "why"), rows)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(knowledge, name="knowledge", rich_help_panel="Marketing and sales")
    app.command(rich_help_panel="Marketing and sales")(owners)
