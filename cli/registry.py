"""`leadwell promote`, `rollback`, `registry ...`: which bundle serves, who said yes to it, what served on a day."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import registry_history, sheets
from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid, LeadwellError, TrackingFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from configs.mapping import SourceMapping
    from configs.settings import Settings
    from features.intake.sources import Intake
    from training.registry.challenge import Judgement
    from training.registry.champion import Champion
    from training.train import Trained

registry = typer.Typer(
    help="Judge, approve and log bundles; ask what served on a day and who approved it.", no_args_is_help=True
)

ARTIFACTS = Path("artifacts")
Artifacts = Annotated[Path, typer.Option("--artifacts", help="folder of champion.json, its history, MLflow's store")]
By = Annotated[str, typer.Option("--by", help="your name; kept in the history")]
BundleFolder = Annotated[Path, typer.Option("--bundle", help="the bundle's folder")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow's server; else LEADWELL_TRACKING_URI, else SQLite in --artifacts"),
]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def promote(
    by: By,
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle to serve from now on")] = ARTIFACTS / "bundle",
    artifacts: Artifacts = ARTIFACTS,
    despite: Annotated[
        str, typer.Option("--despite-hygiene", help="why it may serve below the hygiene minimum; kept in the history")
    ] = "",
    despite_gate: Annotated[
        str,
        typer.Option(
            "--despite-gate", help="why it may serve without beating what it must; whoever approved says why, too"
        ),
    ] = "",
    tracking_uri: TrackingUri = None,
    configs: Configs = None,
) -> None:
    """Make a bundle the champion once it passes: sound, hygiene, leakage, better on later data, a second person's yes.

    The first champion must beat the points scorecard and the base rate, every other one the champion before it.

    Example: leadwell promote --bundle artifacts/bundle --by "Ada Example"
    """
    from configs.settings import load_settings
    from training.registry.champion import promote as promote_bundle

    rules = load_settings(configs).registry
    with step("Trying the bundle, asking its gates, switching the champion"):
        champion = promote_bundle(
            artifacts,
            bundle,
            by=by,
            as_of=chosen(None),
            rules=rules,
            despite=despite,
            despite_gate=despite_gate,
            uri=tracking_uri,
        )
    for gate in champion.gates:
        mark = "[green]passed[/green]" if gate.passed else "[yellow]let pass[/yellow]"
        why = "" if gate.passed else f" ([yellow]{_plain(gate.despite)}[/yellow])"
        line(f"{mark}  {gate.name}: {_plain(gate.says).replace(chr(10), '; ')}{why}")
    _show_verdict(bundle, champion.bundle_id)
    _show_switch(champion)
    line(f"champion {champion.bundle_id[:12]}, before it {(champion.previous or 'none')[:12]}")
    next_step("leadwell serve")


def rollback(by: By, artifacts: Artifacts = ARTIFACTS, tracking_uri: TrackingUri = None) -> None:
    """Return to the champion before this one, after checking that its bundle is still whole.

    No second person is needed: it returns to a bundle that was approved and has served.

    Example: leadwell rollback --by "Ada Example"
    """
    from training.registry.champion import rollback as roll_back

    with step("Trying the bundle and switching the champion"):
        champion = roll_back(artifacts, by=by, as_of=chosen(None), uri=tracking_uri)
    _show_switch(champion)
    line(f"champion {champion.bundle_id[:12]} again, approved by {_plain(', '.join(champion.approved_by))} then")
    next_step("leadwell serve")


@registry.command()
def approve(
    by: By,
    bundle: BundleFolder = ARTIFACTS / "bundle",
    note: Annotated[str, typer.Option("--note", help="one line for whoever reads the record")] = "",
    seen: Annotated[str, typer.Option("--seen", help="beginning of the bundle id that you have looked at")] = "",
    days: Annotated[int | None, typer.Option("--days", help="how long it holds, instead of the longest")] = None,
    despite_gate: Annotated[
        str,
        typer.Option("--despite-gate", help="why it may serve without beating what it must; who asks says why, too"),
    ] = "",
    artifacts: Artifacts = ARTIFACTS,
    configs: Configs = None,
) -> None:
    """Say yes to a bundle as a second person: neither who trained it nor who will ask for its promotion.

    The yes is bound to the bundle's id and to its model card, and holds for a number of days. It permits no contact.

    Example: leadwell registry approve --bundle artifacts/bundle --by "Grace Example"
    """
    from configs.settings import load_settings
    from models.bundle import read_bundle
    from training.registry.approvals import approve as approve_bundle
    from training.registry.approvals import card_hash
    from training.registry.gates import trainers

    rules = load_settings(configs).registry
    entry = approve_bundle(
        artifacts,
        bundle,
        by=by,
        as_of=chosen(None),
        rules=rules,
        note=note,
        despite_gate=despite_gate,
        days=days,
        seen=seen,
    )
    found = read_bundle(bundle)
    line(f"[green]approved[/green] bundle {found.bundle_id[:12]} by {_plain(entry.by)}")
    who = _plain(", ".join(trainers(found.manifest.training))) or "nobody named"
    known = f"{found.manifest.created_as_of:%Y-%m-%d}"
    line(f"trained by {who}, on what was known at {known}")
    if not trainers(found.manifest.training) and not found.cold_start:
        line("[yellow]who trained it is not on record: nobody can tell that a second person approves it[/yellow]")
    if card_hash(bundle) is None:
        line("[yellow]it has no model card beside it: the approval is bound to the bundle alone[/yellow]")
    for override in entry.says["overrides"]:
        line(f"[yellow]{_plain(override)}[/yellow]")
    line(f"holds until {entry.says['expires_on']}; `leadwell registry withdraw` takes it back")
    next_step(f'leadwell promote --bundle {bundle} --by "SOMEBODY ELSE"')


@registry.command()
def withdraw(
    bundle_id: Annotated[str, typer.Argument(metavar="BUNDLE_ID", help="its id, or the beginning of it")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="why; kept in the history")],
    artifacts: Artifacts = ARTIFACTS,
) -> None:
    """Take back every approval of a bundle; it can neither be promoted nor returned to.

    Example: leadwell registry withdraw 3f2a91 --by "Grace Example" --reason "the card names the wrong segment"
    """
    from training.registry.approvals import withdraw as take_back
    from training.registry.champion import read_champion

    entry = take_back(artifacts, bundle_id, by=by, reason=reason, as_of=chosen(None))
    line(f"taken back: the approvals of bundle {(entry.bundle_id or '')[:12]}")
    serving = read_champion(artifacts)
    if serving is not None and serving.bundle_id == entry.bundle_id:
        line("[yellow]it is the champion and serves on until it is replaced[/yellow]")
        next_step(f'leadwell rollback --by "{_plain(entry.by)}"')


def _show_verdict(bundle: Path, bundle_id: str) -> None:
    """What the model card says of the bundle, in its own sentence; a bundle without a card has none."""
    from configs.errors import NotReady
    from training.evaluation.evaluation import load_evaluation

    try:
        verdict = load_evaluation(bundle, bundle_id)[0].verdict
    except NotReady:
        return
    color = "green" if verdict.word == "sound" else "yellow"
    line(f"[{color}]{_plain(verdict.sentence)}[/{color}]")


@registry.command()
def challenge(
    bundle: BundleFolder = ARTIFACTS / "bundle",
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="judge with what was known then")] = None,
    by: By = "leadwell registry challenge",
    artifacts: Artifacts = ARTIFACTS,
    configs: Configs = None,
) -> None:
    """Judge a bundle beside the champion on later rows that neither has seen; the result is kept, however it comes out.

    Training does this on its own data. Ask again where the champion has changed since, or on newer data.

    Example: leadwell registry challenge --bundle artifacts/bundle --data exports/
    """
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.sources import find_files, read_tables

    settings = load_settings(configs)
    if source is not None and leads is not None and data is None:
        mapping = load_source(source)
        intake = read_flat(mapping, leads, settings, training=True)
        found = judged_beside_champion(artifacts, bundle, intake, settings, mapping)
    elif data is not None and source is None and leads is None:
        instant = chosen(as_of, data)
        if instant > chosen(None, data):
            # It would stay the judgement on the latest data until that day.
            raise InputInvalid("--as-of", "expected no instant that is yet to come")
        intake = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant)
        found = judged_beside_champion(artifacts, bundle, intake, settings, instant)
    else:
        raise InputInvalid("challenge", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    if found is None:
        line("nothing to beat: there is no other champion that learned from data")
        next_step(f'leadwell registry approve --bundle {bundle} --by "A SECOND PERSON"')
        return
    keep_and_show(artifacts, found, by)
    if found.verdict == "better":
        next_step(f'leadwell registry approve --bundle {bundle} --by "A SECOND PERSON"')


@registry.command()
def log(
    bundle: BundleFolder = ARTIFACTS / "bundle", artifacts: Artifacts = ARTIFACTS, tracking_uri: TrackingUri = None
) -> None:
    """Log a bundle that was trained before to MLflow and register it, e.g. after its server did not answer.

    Example: leadwell registry log --bundle artifacts/bundle --tracking-uri http://127.0.0.1:5000
    """
    from training.registry.publish import log_bundle
    from training.registry.tracking import refuse_silent_server
    from training.registry.tracking import tracking_uri as address_of

    refuse_silent_server(artifacts, tracking_uri)
    with step("Logging to MLflow"):
        run, version = log_bundle(artifacts, bundle, uri=tracking_uri)
    line(
        f"run {run.run_id[:12]}, version {version}, alias challenger, at {_shown(address_of(artifacts, tracking_uri))}"
    )
    next_step("leadwell registry aliases")


@registry.command()
def aliases(artifacts: Artifacts = ARTIFACTS, tracking_uri: TrackingUri = None) -> None:
    """Let MLflow's alias `champion` follow champion.json, e.g. after its server did not answer.

    Example: leadwell registry aliases --tracking-uri http://127.0.0.1:5000
    """
    from training.registry.champion import read_champion
    from training.registry.publish import follow_or_fail
    from training.registry.tracking import refuse_silent_server

    champion = read_champion(artifacts)
    if champion is None:
        raise InputInvalid(str(artifacts), "expected a champion; `leadwell promote` makes one")
    refuse_silent_server(artifacts, tracking_uri)
    where = follow_or_fail(artifacts, champion.bundle_id, champion.by, champion.served_from, tracking_uri)
    line(f"champion {champion.bundle_id[:12]} at {where}")


def judged_beside_champion(
    artifacts: Path, bundle: Path, intake: Intake, settings: Settings, when: Any
) -> Judgement | None:
    """Judge a bundle beside the champion on tables at an instant, or on a flat export with its mapping, as a step."""
    from configs.mapping import SourceMapping
    from training.registry.challenge import challenge as challenge_tables
    from training.registry.challenge import challenge_flat

    with step("Judging beside the champion"):
        if isinstance(when, SourceMapping):
            return challenge_flat(artifacts, bundle, intake, settings, when)
        return challenge_tables(artifacts, bundle, intake.tables, settings, when)


def keep_and_show(artifacts: Path, found: Judgement, by: str) -> None:
    """Write a judgement into the history and say how it came out."""
    from training.registry.challenge import keep_judgement
    from training.registry.gates import interval, told

    said = keep_judgement(artifacts, found, by=by, as_of=chosen(None)).says
    color = {"better": "green", "worse": "red"}.get(found.verdict, "yellow")
    line(f"[{color}]{told(said)}[/{color}]")
    how = "as they serve" if found.how == "as served" else "by their held-out lines"
    line(f"[dim]judged {how}; log-loss, below zero is better, 95 % paired bootstrap over accounts[/dim]")
    worse: Mapping[str, Any] = said["worse_in"]
    if worse:
        rows = [(segment_id, interval(gap)) for segment_id, gap in worse.items()]
        table("Worse than the champion beyond noise in", ("segment", "challenger minus champion"), rows)
    if found.verdict != "better":
        line("promote will refuse it while this champion serves; later data may tell more")


def after_training(
    trained: Trained, intake: Intake, settings: Settings, mapping: SourceMapping | None, artifacts: Path, by: str
) -> None:
    """Judge what was just trained beside the champion and say what is next; nothing that goes wrong here stops it."""
    when = mapping if mapping is not None else trained.bundle.manifest.created_as_of
    try:
        found = judged_beside_champion(artifacts, trained.folder, intake, settings, when)
        if found is not None:
            keep_and_show(artifacts, found, by or "leadwell train")
    except LeadwellError as error:
        line(f"[yellow]not judged beside the champion: {_plain(str(error))}[/yellow]")
        found = None
    if found is None or found.verdict == "better":
        next_step(f'leadwell registry approve --bundle {trained.folder} --by "A SECOND PERSON", then leadwell promote')
    else:
        next_step(f"leadwell registry challenge --bundle {trained.folder} --data NEWER_DATA")


def logged(trained: Trained, settings: Settings, artifacts: Path, name: str, uri: str | None) -> bool:
    """Log a training; where MLflow does not take it, say with which command it is logged again, and return False."""
    from training.record import log_training

    try:
        with step("Logging to MLflow"):
            log_training(trained, settings, artifacts, name, uri=uri)
    except TrackingFailed as error:
        line(f"[red]not logged[/red]: {_plain(str(error))}")
        at = f" --tracking-uri {_shown(uri)}" if uri else ""
        line(f"the bundle is whole; log it again: leadwell registry log --bundle {trained.folder}{at}")
        return False
    return True


def _show_switch(champion: Champion) -> None:
    if champion.trouble:
        line(f"[yellow]{_plain(champion.trouble)}[/yellow]")


def _shown(uri: str) -> str:
    from training.registry.tracking import shown

    return shown(uri)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    panel = "Data scientists"
    for command in (promote, rollback):
        app.command(rich_help_panel=panel)(command)
    registry_history.register(registry)
    sheets.register_registry(registry)
    app.add_typer(registry, name="registry", rich_help_panel=panel)
