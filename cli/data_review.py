"""`leadwell data review` and `leadwell data titles`: settle what nobody could read; see what labelled titles teach."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import clock_of
from cli.screen import line, next_step, step, table, write_out
from configs.errors import ConfigInvalid, InputInvalid, Problem

SHOWN = 40


def review(
    folder: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    vocabulary: Annotated[str | None, typer.Option("--vocabulary", help="only this one, e.g. role")] = None,
    corrections: Annotated[Path | None, typer.Option("--corrections", help="corrections to try out")] = None,
    template: Annotated[Path | None, typer.Option("--template", help="write a correction file to fill in")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the whole list here as CSV")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """List the values and job titles that are unknown or too doubtful to be used, the most frequent first.

    The list shows what people typed: keep it where the data may be. Settle an entry in a correction file, try it with
    --corrections, and keep it as corrections.yaml in your configuration folder; bundles know which one they go with.

    Example: leadwell data review --data artifacts/world --vocabulary role

    Example: leadwell data review --data artifacts/world --template corrections.yaml
    """
    import pyarrow as pa

    from configs.settings import load_settings
    from features.intake.review import Doubt, doubts
    from features.intake.review import template as to_fill
    from features.intake.sources import find_files
    from serving.files import write_csv

    settings = load_settings(configs, corrections=corrections)
    found = doubts(find_files(folder), settings, vocabulary)
    if template is not None:
        if template.exists():
            raise InputInvalid(str(template), "this file exists: expected a new one, so that no correction is lost")
        template.write_text(to_fill(found, clock_of(folder).now.date()), encoding="utf-8")
    if out is not None:
        names = [field.name for field in fields(Doubt)]
        write_csv(pa.table({name: pa.array([getattr(one, name) for one in found]) for name in names}), out)
    if as_json:
        write_out(json.dumps([asdict(one) for one in found], indent=2))
        return
    listed = [
        (
            one.vocabulary,
            one.place,
            one.text[:60],
            f"{one.rows:,}",
            one.guess or "",
            f"{one.confidence:.2f}",
            one.source,
        )
        for one in found[:SHOWN]
    ]
    if listed:
        table(
            "To review",
            ("vocabulary", "where", "text", "rows", "best guess", "sure", "why"),
            [tuple(str(cell).replace("[", r"\[") for cell in row) for row in listed],
            right=(3, 5),
        )
    else:
        line("[green]Nothing to review[/green]: every value and title is known, or settled as unknown")
    if len(found) > SHOWN:
        line(f"[dim]{len(found) - SHOWN:,} more: --out FILE writes all, --vocabulary NAME narrows the list[/dim]")
    if found and template is None:
        next_step(f"leadwell data review --data {folder} --template corrections.yaml")
    elif template is not None:
        line(f"written to {template}: fill in value, by and reason")
        next_step(f"leadwell data review --data {folder} --corrections {template}")


def titles(
    labels: Annotated[Path, typer.Option("--labels", help="CSV of titles with the label of each")],
    title: Annotated[str, typer.Option("--title", help="column of the title")] = "title",
    label: Annotated[str, typer.Option("--label", help="column of the label")] = "role",
    unseen: Annotated[Path | None, typer.Option("--unseen", help="CSV of the same shape, to be judged on")] = None,
    precision: Annotated[
        float, typer.Option("--precision", help="how often an answer must be right", min=0.0, max=1.0)
    ] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", help="write the answers to --unseen here as CSV")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Learn from labelled titles and say how well that answers titles it has not seen.

    Without --unseen every title is judged by a model that was fitted without it. To use the labels, name the file as
    `labels` in review.yaml of your configuration folder, with the columns title and role, specialty or department.

    Example: leadwell data titles --labels titles.csv --label role
    """
    import pyarrow as pa

    from configs.curation import read_labels
    from configs.settings import load_settings
    from features.intake.title_model import TitleModel
    from features.intake.title_words import TitleWords
    from serving.files import write_csv

    if out is not None and unseen is None:
        raise InputInvalid("data titles", "--out writes the answers to the titles of --unseen FILE")

    def rows_of(path: Path) -> list[tuple[str, str]]:
        problems: list[Problem] = []
        rows = read_labels(path, problems)
        if problems:
            raise ConfigInvalid(problems)
        for column in (title, label):
            if not rows or column not in rows[0]:
                raise InputInvalid(str(path), "expected this column", field=column)
        return [(row[title], row[label]) for row in rows if row[title] and row[label]]

    words = TitleWords(load_settings(configs).vocabularies["title_word"])
    given = rows_of(labels)
    judged = None if unseen is None else rows_of(unseen)
    names = sorted({name for _, name in given})
    number = {name: place for place, name in enumerate(names)}
    with step(f"Learning {len(names)} labels from {len(given):,} titles"):
        try:
            model = TitleModel.fit(
                [text for text, _ in given],
                [number[name] for _, name in given],
                words,
                named=names,
                precision=precision,
            )
        except ValueError as error:
            raise InputInvalid(str(labels), str(error)) from None
    if judged is None:
        right, sure = (column.tolist() for column in model.out_of_fold)
        how = "titles judged by a model fitted without them"
    else:
        answers = [model.read(words.words(text)) for text, _ in judged]
        right = [a.label >= 0 and names[a.label] == name for a, (_, name) in zip(answers, judged, strict=True)]
        sure = [a.confidence for a in answers]
        how = f"titles of {unseen}"
        if out is not None:
            write_csv(
                pa.table(
                    {
                        title: [text for text, _ in judged],
                        "answer": [names[a.label] if a.confidence >= model.threshold else "" for a in answers],
                        "best_guess": [names[a.label] if a.label >= 0 else "" for a in answers],
                        "confidence": sure,
                    }
                ),
                out,
            )
    used = [ok for ok, chance in zip(right, sure, strict=True) if chance >= model.threshold]
    result = {
        "titles": len(right),
        "labels": len(names),
        "right": sum(right) / max(len(right), 1),
        "threshold": model.threshold,
        "answered": len(used) / max(len(right), 1),
        "right_of_answered": sum(used) / max(len(used), 1),
    }
    if as_json:
        write_out(json.dumps(result, indent=2))
        return
    shown = [
        (how, f"{len(right):,}"),
        ("best guess right", f"{result['right']:.1%}"),
        (f"threshold for {precision:.0%} right", f"{model.threshold:.2f}"),
        ("answered at the threshold", f"{result['answered']:.1%}"),
        ("of these right", f"{result['right_of_answered']:.1%}"),
    ]
    table("Titles", ("what", "value"), shown, right=(1,))
    next_step("leadwell data review --data FOLDER --vocabulary role")


def register(data: typer.Typer) -> None:
    """Add the commands of this room."""
    data.command()(review)
    data.command()(titles)
