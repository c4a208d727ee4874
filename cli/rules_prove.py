"""`leadwell rules prove`: every promise of the rule book, proved or broken by a lead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from configs.settings import Settings
    from policy.book import Book
    from policy.proofs.prover import Verdict

AsOf = Annotated[str | None, typer.Option("--as-of", help="the book and parameters of which day")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


def prove(
    as_of: AsOf = None,
    configs: Configs = None,
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", help="a restated default (S-..., L-...) that your book departs from on purpose"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove every invariant over the compiled book, on every channel and gate; exits 1 with a lead if one fails.

    Example: leadwell rules prove --configs my-configs/ --as-of 2027-01-31
    """
    from configs.settings import load_settings
    from policy.book import Book
    from policy.proofs.difference import GATES
    from policy.proofs.prover import prove as prove_all

    settings, on = load_settings(configs), chosen(as_of).date()
    books = [(gate, Book.load(settings, on, gate)) for gate in GATES]
    found = _with_progress(as_json, lambda tell: prove_all(settings, books, tell))
    waived = set(waive or ())
    failed = [v for v in found if not v.holds and not (v.invariant in waived and not v.invariant.startswith("C-"))]
    if as_json:
        write_out(json.dumps(_as_json(found, books, failed), indent=2))
    else:
        _show(found, waived)
        for verdict in failed:
            _show_failure(verdict)
        _closing(settings, books, found, failed)
    if failed:
        raise typer.Exit(1)


def _with_progress(quiet: bool, run: Callable[[Callable[[Verdict], None]], list[Verdict]]) -> list[Verdict]:
    if quiet:
        return run(lambda verdict: None)
    with step("Prove every invariant at both gates") as report:
        done = 0

        def tell(verdict: Verdict) -> None:
            nonlocal done
            done += 1
            report(f"{verdict.invariant} {verdict.gate} {verdict.channel}", 1 - 1 / (1 + done / 400))

        return run(tell)


def _show(found: Sequence[Verdict], waived: set[str]) -> None:
    from policy.proofs.invariants import INVARIANTS, RESTATED

    rows = []
    for identity, invariant in INVARIANTS.items():
        own = [v for v in found if v.invariant == identity]
        said = _said(own, False) if own else "[dim]by test[/dim]"
        held = _held_by(own) or ", ".join(test.removeprefix("tests/") for test in invariant.tests)
        rows.append((identity, invariant.words, said, _checks(own), held))
    for identity, words in RESTATED.items():
        own = [v for v in found if v.invariant == identity]
        rows.append((identity, words, _said(own, identity in waived), _checks(own), _held_by(own)))
    table("", ("id", "says", "verdict", "checks, s", "carried by"), rows, right=(3,))
    notes = sorted({(v.invariant, v.words, v.why) for v in found if v.why and v.holds and v.invariant != "C-18"})
    if notes:
        table("Exceptions that the proofs allow", ("id", "promise", "except"), notes)
    redundant: dict[str, list[str]] = {}
    for v in found:
        if v.holds and v.why.endswith("is redundant"):
            redundant.setdefault(v.why.partition(" ")[0], []).append(v.channel)
    if redundant:
        named = [(rule, ", ".join(dict.fromkeys(channels))) for rule, channels in sorted(redundant.items())]
        table("Redundant: another card stops the same; kept as defence in depth", ("rule", "channels"), named)


def _said(own: Sequence[Verdict], waived: bool) -> str:
    broken = [v for v in own if not v.holds]
    if not broken:
        return "[green]proved[/green]"
    return f"[yellow]waived[/yellow], {len(broken)} broken" if waived else f"[red]broken[/red] {len(broken)} times"


def _checks(own: Sequence[Verdict]) -> str:
    return f"{len(own)}, {sum(v.seconds for v in own):.2f}" if own else ""


def _held_by(own: Sequence[Verdict]) -> str:
    """The cards that carry the promises by themselves, the first few of them."""
    cards = list(dict.fromkeys(name for v in own for name in v.witnesses))
    return ", ".join(cards[:6]) + (f" and {len(cards) - 6} more" if len(cards) > 6 else "")


def _show_failure(verdict: Verdict) -> None:
    where = f" {verdict.gate} {verdict.channel}".rstrip()
    line(f"[red]{verdict.invariant} broken[/red]{where}: {verdict.words}")
    if verdict.why:
        line(f"  {verdict.why}")
    lead = verdict.counterexample
    if lead is not None:
        line(f"  {'allowed' if lead.allowed else 'found'}: " + ", ".join(f"{k} {v}" for k, v in lead.facts.items()))
        if lead.after is not None:
            changed = {k: v for k, v in lead.after.items() if lead.facts.get(k) != v}
            line(f"  then {'forbidden' if lead.allowed else 'allowed'} with: " + _pairs(changed))


def _pairs(facts: dict[str, Any]) -> str:
    return ", ".join(f"{fact} {value}" for fact, value in facts.items()) or "nothing changed"


def _closing(
    settings: Settings, books: Sequence[tuple[str, Book]], found: Sequence[Verdict], failed: Sequence[Verdict]
) -> None:
    seconds = sum(verdict.seconds for verdict in found)
    line(f"{len(found) - len(failed)} of {len(found)} checks hold, {seconds:.1f} s of computing")
    line("[dim]They are about rules over facts: not that a fact is right, nor that a law was read rightly.[/dim]")
    pending = sum(card.review.status != "signed" for card in settings.rules)
    if pending:
        line(f"[yellow]{pending} cards are pending counsel: conservative defaults, not legal advice[/yellow]")
    line(f"[dim]book {books[0][1].hash} as of {books[0][1].on}[/dim]")
    next_step(
        "leadwell rules prove --json, then leadwell rules point LEAD.json" if failed else "leadwell rules diff OLD NEW"
    )


def _as_json(found: Sequence[Verdict], books: Sequence[tuple[str, Book]], failed: Sequence[Verdict]) -> dict[str, Any]:
    rows = [
        {
            "invariant": v.invariant, "says": v.words, "gate": v.gate, "channel": v.channel or None, "holds": v.holds,
            "seconds": round(v.seconds, 4), "why": v.why or None, "carried_by": list(v.witnesses),
            "counterexample": v.counterexample.as_json() if v.counterexample else None,
        }
        for v in found
    ]  # fmt: skip
    return {"policy": books[0][1].hash, "as_of": books[0][1].on.isoformat(), "failed": len(failed), "checks": rows}


def point(
    lead: Annotated[Path, typer.Argument(help="a counterexample of `rules prove --json` or `rules diff --json`")],
    as_of: AsOf = None,
    configs: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Run a lead that is given as facts through the book: what permits it and what blocks it on its channel.

    The file holds {"channel": ..., "gate": ..., "facts": {fact: value}}; a fact that is not named is unknown.

    Example: leadwell rules point counterexample.json
    """
    from configs.settings import load_settings
    from policy.book import Book
    from policy.proofs.counterexample import Code, codes_from, ruled

    settings, on = load_settings(configs), chosen(as_of).date()
    channel, gate, facts = _read_point(lead)
    book = Book.load(settings, on, gate)  # type: ignore[arg-type]
    if channel not in book.channels:
        raise InputInvalid(str(lead), f"channel: expected one of {', '.join(book.channels)}")
    codes = codes_from(book, facts, str(lead))
    allowed, said = Code(book).allows(codes, channel), ruled(book, codes)
    at = book.channels.index(channel)
    reasons = said.explain(0, 0, at)
    if as_json:
        found = {"allowed": allowed, "permits": said.permit_ids(0, 0, at), "blocks": reasons, "policy": book.hash}
        write_out(json.dumps(found, indent=2, default=str))
        return
    word = "[green]allowed[/green]" if allowed else "[red]forbidden[/red]"
    line(f"{channel.replace('_', ' ')} at the {gate} gate: {word}, by the generated code and by every closure")
    if said.permit_ids(0, 0, at):
        line(f"permits: {', '.join(said.permit_ids(0, 0, at))}")
    if reasons:
        table("Blocked by", ("rule", "reason", "effect"), [(r["rule"], r["reason"], r["effect"]) for r in reasons])
    line(f"[dim]book {book.hash} as of {book.on}[/dim]")


def _read_point(path: Path) -> tuple[str, str, dict[str, Any]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise InputInvalid(str(path), "expected a JSON object with channel, gate and facts") from None
    gates = ("action", "send")
    if not isinstance(told, dict) or not isinstance(told.get("facts"), dict) or told.get("gate", "action") not in gates:
        raise InputInvalid(str(path), "expected a JSON object with channel, gate (action or send) and facts")
    return str(told.get("channel")), str(told.get("gate", "action")), told["facts"]


def register(rules: typer.Typer) -> None:
    """Add the commands of this room."""
    for command in (prove, point):
        rules.command()(command)
