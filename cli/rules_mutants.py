"""`leadwell rules lint` and `mutants`: what nobody sees by eye, and whether a mistake in a card would be noticed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.clock import chosen
from cli.screen import counted, line, next_step, step, table, write_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from configs.settings import Settings
    from policy.proofs.mutation import Judged

AsOf = Annotated[str | None, typer.Option("--as-of", help="the book and parameters of which day")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]
KILLED: tuple[Literal["example", "load", "proof"], ...] = ("example", "load", "proof")
ENOUGH = 0.95


def lint(as_of: AsOf = None, configs: Configs = None, as_json: AsJson = False) -> None:
    """Find dead, redundant and always firing cards, shut and open channels, and what a reviewer should look at.

    Exits 1 for a card that can never fire, a channel nobody or everybody gets, or examples that contradict each other.

    Example: leadwell rules lint --configs my-configs/
    """
    from configs.settings import load_settings
    from policy.lint import lint_book
    from policy.proofs.lint import is_wrong, lint_by_proof

    settings, on = load_settings(configs), chosen(as_of).date()
    if as_json:
        found = [*lint_by_proof(settings, on), *lint_book(settings, on)]
        rows = [{"kind": f.kind, "where": f.where, "says": f.says, "wrong": is_wrong(f)} for f in found]
        write_out(json.dumps(rows, indent=2))
    else:
        with step("Look at every card on every channel"):
            found = [*lint_by_proof(settings, on), *lint_book(settings, on)]
        shown = [(_colored(f.kind, is_wrong(f)), f.where, f.says) for f in sorted(found, key=lambda f: not is_wrong(f))]
        if shown:
            table("Findings", ("what", "where", "why"), shown)
        wrong = sum(map(is_wrong, found))
        line(f"{wrong} mistakes, {len(found) - wrong} things to look at")
        next_step("leadwell rules prove")
    if any(map(is_wrong, found)):
        raise typer.Exit(1)


def mutants(
    sample: Annotated[
        int | None, typer.Option("--sample", help="so many mutants drawn by --seed; all when absent")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="which sample")] = 1,
    compiler: Annotated[bool, typer.Option("--compiler", help="mutants of the compiler instead of the book")] = False,
    as_of: AsOf = None,
    configs: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Make small mistakes in the book or its compiler, and count how many an example or a proof notices.

    A mutant that provably changes no decision is told apart, with the reason. Exits 1 where fewer than 95 % of the
    others are noticed.

    Example: leadwell rules mutants --sample 200 --seed 7
    """
    found = _judged(sample, seed, compiler, as_of, configs, as_json)
    fates = Counter(one.fate for one in found)
    equivalent = fates["equivalent"]
    killed = sum(fates[fate] for fate in KILLED)
    share = killed / max(len(found) - equivalent, 1)
    if as_json:
        rows = [{"kind": o.kind, "where": o.where, "what": o.what, "fate": o.fate, "by": o.by} for o in found]
        write_out(json.dumps({"killed": killed, "equivalent": equivalent, "share": share, "mutants": rows}, indent=2))
    else:
        _show(found)
        line(
            f"{killed} of {len(found) - equivalent} noticed, {share:.1%}: {fates['example']} by an example, "
            f"{fates['proof']} by a proof, {fates['load']} when loaded; {equivalent} change no decision"
        )
        next_step("leadwell rules prove")
    if share < ENOUGH:
        raise typer.Exit(1)


def _judged(
    sample: int | None, seed: int, compiler: bool, as_of: str | None, configs: Path | None, quiet: bool
) -> list[Judged]:
    from configs.settings import load_settings
    from policy.proofs.mutants import book_mutants
    from policy.proofs.mutation import Judge, judge_all, sampled
    from policy.proofs.survivors import with_reason

    settings, on = load_settings(configs), chosen(as_of).date()
    if compiler:
        return [with_reason(one) for one in _judged_code(settings, on, sample, seed, quiet)]
    chosen_mutants = sampled(list(book_mutants(settings)), sample, seed)
    if quiet:
        found = judge_all(Judge(settings, on), chosen_mutants)
    else:
        with step(f"Judge {len(chosen_mutants):,} mutants of the book") as report:
            found = judge_all(Judge(settings, on), chosen_mutants, counted(report, "mutants"))
    return [with_reason(one) for one in found]


def _judged_code(settings: Settings, on: date, sample: int | None, seed: int, quiet: bool) -> list[Judged]:
    from policy.proofs.compiler_mutants import compiler_mutants, judge_code
    from policy.proofs.differential import Differential
    from policy.proofs.mutation import sampled

    held = Differential(settings, on)
    drawn = sampled(list(compiler_mutants()), sample, seed)
    if quiet:
        return [judge_code(mutant, held.notices) for mutant in drawn]
    with step(f"Judge {len(drawn):,} mutants of the compiler") as report:
        found, tell = [], counted(report, "mutants")
        for done, mutant in enumerate(drawn, start=1):
            found.append(judge_code(mutant, held.notices))
            tell(done, len(drawn))
        return found


def _show(found: Sequence[Judged]) -> None:
    from policy.proofs.mutation import NO_DECISION, UNNOTICED

    kinds = dict.fromkeys(one.kind for one in found)
    rows = []
    for kind in kinds:
        own = Counter(one.fate for one in found if one.kind == kind)
        rows.append(
            (kind, sum(own.values()), own["example"], own["proof"] + own["load"], own["equivalent"], own["survived"])
        )
    table("Mutants", ("kind", "made", "example", "proof", "same", "survived"), rows, right=(1, 2, 3, 4, 5))
    same = [(one.where, one.what, one.by) for one in found if one.fate == "equivalent" and one.by != NO_DECISION]
    if same:
        table("Change nothing, because", ("where", "mistake", "why no answer differs"), same)
    survivors = [
        (one.where, one.what, one.by if one.by != UNNOTICED else "[red]no reason is known[/red]")
        for one in found
        if one.fate == "survived"
    ]
    if survivors:
        table("Survived: no example and no proof notices", ("where", "mistake", "why"), survivors)


def _colored(kind: str, wrong: bool) -> str:
    return f"[red]{kind}[/red]" if wrong else kind


def register(rules: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (lint, mutants):
        rules.command()(command)
