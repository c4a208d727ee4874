"""`leadwell score`, `rescore` and `serve`: from a bundle to decisions."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen, clock_of, moment
from cli.screen import aside, line, next_step, step, table, write_out
from cli.server import command as server_command
from cli.store import open_store
from configs.errors import InputInvalid, NotReady

Bundle = Annotated[Path | None, typer.Option("--bundle", help="bundle folder; the champion's when absent")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]
Table = Annotated[Path | None, typer.Option(help="file, folder or pattern; takes the place of the one in --data")]


def bundle_folder(bundle: Path | None) -> Path:
    """The given bundle, else the champion's; raises NotReady naming the command to run."""
    from serving.start import champion_bundle

    if bundle is not None and not bundle.is_dir():
        raise InputInvalid(str(bundle), "expected a bundle folder; `leadwell train --bundle DIR` writes one")
    return bundle or champion_bundle(os.environ.get("LEADWELL_BUNDLE"), os.environ.get("LEADWELL_CHAMPION"))[0]


def score(
    lead: Annotated[Path, typer.Argument(help="a request body as for POST /v1/score", exists=True, dir_okay=False)],
    bundle: Bundle = None,
    data: Annotated[Path | None, typer.Option("--data", help="made world the request is from: its clock holds")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="an earlier instant: a replay, grants nothing")] = None,
    audit: Annotated[Path, typer.Option("--audit", help="folder of the decision log")] = Path("artifacts/audit"),
    store: Annotated[
        str | None, typer.Option("--store", help="file or postgresql://... whose stops and touches count too")
    ] = None,
    configs: Configs = None,
) -> None:
    """Answer one request without a server, with the same calls, and print the answer as JSON.

    With a store the answer carries permits, as that of a server with one does.

    Example: leadwell score lead.json --bundle artifacts/bundle

    Example: leadwell score lead.json --store artifacts/store.db
    """
    from configs.settings import load_settings
    from policy.audit.archive import Archive
    from policy.audit.pseudonyms import pseudonym_key
    from serving.api import encode_answer, parse
    from serving.decide import Decider
    from serving.online import OnlineAnswerer
    from serving.start import open_log

    settings = load_settings(configs)
    clock = clock_of(data)
    parsed = parse(lead.read_bytes(), max_leads=settings.serving.max_leads)
    parsed = replace(parsed, as_of=clock.settle(as_of or parsed.as_of, aside))
    decider = Decider.load(bundle_folder(bundle), settings, on=(parsed.as_of or clock.now).date())
    permitting = None
    if store is not None:
        from serving.contact.known_stops import with_store
        from serving.contact.permits import Permitting

        asked_of = parsed.as_of or clock.now
        with closing(open_store(store, audit)) as opened:
            leads, holders = with_store(opened, parsed.leads, asked_of, replay=asked_of < clock.now)
            permitting = Permitting(settings, opened.subjects.permit_key)
        parsed = replace(parsed, leads=leads, holders=holders)
    answerer = OnlineAnswerer(decider, pseudonym_key(audit), Archive(audit), permitting)
    decisions, records, rejections = answerer.answer(parsed, clock.now)
    # No audit, no answer: the records are durable before anything is printed.
    with closing(open_log(audit)) as log:
        for record in records:
            log.append(record)
    write_out(json.dumps(json.loads(encode_answer(decisions, [*parsed.rejected, *rejections])), indent=2))


def rescore(
    out: Annotated[Path, typer.Option("--out", help="folder for the result; an older one is replaced whole")],
    bundle: Bundle = None,
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    leads: Table = None,
    accounts: Table = None,
    events: Table = None,
    consents: Table = None,
    touches: Table = None,
    suppressions: Table = None,
    cases: Table = None,
    links: Table = None,
    memberships: Table = None,
    assets: Annotated[
        Path | None, typer.Option(help="inventory that replaces the configured one: YAML or a table")
    ] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export given as --leads")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="an instant before the clock of the data: a replay, grants nothing")
    ] = None,
    suppressions_complete_as_of: Annotated[
        str | None, typer.Option(help="until when the suppression feed is complete, where its file does not say")
    ] = None,
    audit: Annotated[Path, typer.Option("--audit", help="folder of the decision log")] = Path("artifacts/audit"),
    workers: Annotated[int, typer.Option("--workers", help="processes", min=1)] = 2,
    partitions: Annotated[
        int | None, typer.Option("--partitions", help="how many; by size when absent", min=1, max=1024)
    ] = None,
    buckets: Annotated[
        Path | None, typer.Option("--buckets", help="folder of rows that earlier runs read: only new files are read")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="file or postgresql://... whose stops and touches count too")
    ] = None,
    configs: Configs = None,
) -> None:
    """Decide about every lead, partition by partition, and replace the old result in one step.

    A channel without fresh facts is not permitted: give consents, touches, suppressions and cases, even if empty.

    Example: leadwell rescore --bundle artifacts/bundle --data artifacts/world --out scores/

    Example: leadwell rescore --bundle artifacts/flat --source xeducation --leads new.csv --out scores/
    """
    from configs.settings import load_assets, load_settings, load_source
    from features.intake.assets import read_assets
    from features.intake.flat import read_flat
    from features.intake.sources import find_files
    from serving.rescore import rescore as rescore_files
    from serving.rescore import rescore_intake

    settings, folder = load_settings(configs), bundle_folder(bundle)
    opened = open_store(store, audit) if store else None
    inventory = assets or (find_files(data).get("assets") if data is not None else None)
    if inventory is not None:
        read = load_assets if inventory.suffix in (".yaml", ".yml") else read_assets
        settings = settings.model_copy(update={"assets": read(inventory)})
    if source is not None:
        if leads is None or data is not None or buckets is not None:
            raise InputInvalid("rescore", "expected --source together with --leads FILE, no --data and no --buckets")
        mapping = load_source(source)
        clock = clock_of(mapping=mapping)
        instant = clock.settle(as_of)
        offered = (*settings.assets, mapping.asset) if mapping.asset else settings.assets
        with step("Reading the export"):
            intake = read_flat(mapping, leads, settings, training=False)
        with step("Rescoring") as report:
            done = rescore_intake(
                intake, folder, settings, out, instant, now=clock.now, assets=offered, audit=audit, store=opened,
                progress=lambda what, k, n: report(what, k / max(n, 1)),
            )  # fmt: skip
    else:
        tables = {
            "leads": leads, "accounts": accounts, "events": events, "consents": consents, "touches": touches,
            "suppressions": suppressions, "cases": cases, "links": links, "memberships": memberships,
        }  # fmt: skip
        files = find_files(data, {name: path for name, path in tables.items() if path is not None})
        if "leads" not in files:
            raise InputInvalid("rescore", "expected --data FOLDER with leads, or --leads FILE")
        files = {name: path for name, path in files.items() if name in tables}
        clock = clock_of(data)
        instant = clock.settle(as_of)
        complete = moment(suppressions_complete_as_of) if suppressions_complete_as_of else None
        with step("Rescoring") as report:
            done = rescore_files(
                files, folder, settings, out, instant, now=clock.now,
                partitions=partitions, workers=workers, audit=audit,
                suppressions_complete_as_of=complete, buckets=buckets, store=opened,
                progress=lambda what, k, n: report(what, k / max(n, 1)),
            )  # fmt: skip
    if opened is not None:
        opened.close()
    rows = [(name, f"{count:,}", f"{count / max(done.leads, 1):.1%}") for name, count in done.permitted.items()]
    table(f"{done.leads:,} leads", ("channel", "permitted", "share"), rows, right=(1, 2))
    for note in done.notes:
        line(f"[dim]{note}[/dim]")
    if done.rejected:
        line(f"[yellow]{done.rejected:,} rows were rejected: {out / 'rejects.csv'} says why[/yellow]")
    line(f"{out / 'decisions'}  {out / 'crm.csv'}  {out / 'summary.json'}")
    next_step("leadwell audit verify " + str(audit))


def request(
    lead_id: Annotated[str, typer.Argument(help="id of the lead")],
    data: Annotated[Path, typer.Option("--data", help="folder with one Parquet file for each table", exists=True)],
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when")] = None,
    bundle: Bundle = None,
    configs: Configs = None,
) -> None:
    """Print the request body a CRM would send for one lead of these files: the input of score and rules explain.

    Colleagues are summed up by the bundle's evidence of who made an event; by the configured one if there is none yet.

    Example: leadwell request L0000123 --data artifacts/world > lead.json
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files
    from serving.requests import request_of, view_of

    settings = load_settings(configs)
    try:
        view = view_of(bundle_folder(bundle), settings)
    except NotReady:
        view = None
    write_out(json.dumps(request_of(find_files(data), lead_id, settings, chosen(as_of, data), view), indent=2))


def serve(
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="port to listen on", min=1, max=65535)] = 3000,
    bundle: Bundle = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="pin the server's clock, for demos and tests")] = None,
    workers: Annotated[int, typer.Option("--workers", help="processes", min=1)] = 1,
    no_key: Annotated[bool, typer.Option("--no-key", help="ask for no key; this machine only")] = False,
    configs: Configs = None,
) -> None:
    """Serve scores over HTTP: POST /v1/score, /livez, /readyz, /metrics. The key comes from LEADWELL_API_KEY.

    Without a bundle the service is alive, not ready, and its log names the command to run.

    Stops, permits and touches are kept in LEADWELL_STORE, else in store.db beside the audit folder (LEADWELL_AUDIT).

    Example: LEADWELL_API_KEY=change-me leadwell serve --port 3000
    """
    if no_key and host not in ("127.0.0.1", "localhost", "::1"):
        raise InputInvalid("serve", "expected --host 127.0.0.1 with --no-key; set LEADWELL_API_KEY to listen elsewhere")
    if not no_key and not os.environ.get("LEADWELL_API_KEY"):
        raise InputInvalid("serve", "expected LEADWELL_API_KEY in the environment (or --no-key on this machine)")
    given = {
        "LEADWELL_BUNDLE": str(bundle.resolve()) if bundle else None,
        "LEADWELL_CONFIGS": str(configs.resolve()) if configs else None,
        "LEADWELL_AS_OF": moment(as_of).isoformat() if as_of else None,
        "LEADWELL_WORKERS": str(workers),
        "LEADWELL_ALLOW_NO_KEY": "1" if no_key else None,
    }
    os.environ.update({name: value for name, value in given.items() if value is not None})
    line(f"http://{host}:{port}  started {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, stop with Ctrl+C")
    command = server_command(host, port)
    os.execv(command[0], command)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    panel = "CRM and jobs"
    app.command(rich_help_panel=panel)(request)
    app.command(rich_help_panel=panel)(score)
    app.command(rich_help_panel=panel)(rescore)
    app.command(rich_help_panel=panel)(serve)
