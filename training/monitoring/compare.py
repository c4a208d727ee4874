"""Compare the results of several nights: the last with the one before it, and trends over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from configs.errors import InputInvalid
from configs.settings import Settings
from training.monitoring.alerts import alerts_of
from training.monitoring.decided import decided_between, policy_changes
from training.monitoring.inputs import inputs_of, spec_of
from training.monitoring.judge import compared, rows_of
from training.monitoring.movers import causes_of
from training.monitoring.outcomes import Judged, Outcomes, bins_of, calibration_watches, matured
from training.monitoring.results import Result, open_result
from training.monitoring.tally import Tally, edges_of, tally, watched_columns
from training.monitoring.things import Column, Kind
from training.monitoring.watch import Monitored, Point, Run, Watch
from training.monitoring.words import versions_of, words_of

TRENDS: tuple[Kind, ...] = ("band", "segment", "permit")
Told = Callable[[str, float], None]


def monitor(
    results: Sequence[Path],
    settings: Settings,
    *,
    data: Path | None = None,
    bundle: Path | None = None,
    audit: Path | None = None,
    told: Told = lambda what, part: None,
) -> Monitored:
    """What moved from the night before last to the last, and what of it alerts whom.

    Args:
        results: folders that `leadwell rescore` wrote, oldest first; a single one is a baseline and compares nothing.
        data: folder with the newest data; without it neither inputs are computed again nor predictions judged.
        bundle: the bundle whose inputs are computed.
        audit: folder of the audit log, which keeps the rule books that the results name.
        settings: for its `monitoring` and the owners of segments.
        told: hears what is read, and how much of it is done from 0 to 1.

    Raises:
        InputInvalid: a folder is no result, one is given twice, or they are not in the order of their instants.
        BundleRefused: the last result was decided with another bundle than the one given.
    """
    found = [open_result(folder) for folder in results]
    _refuse_disorder(found)
    rules, later = settings.monitoring, found[-1]
    earlier = found[-2] if len(found) > 1 else later
    spec = spec_of(bundle, later) if bundle is not None else None
    columns, channels, left_out = _common(earlier, later)
    edges = edges_of(earlier, columns)
    tallies = []
    for at, result in enumerate(found):
        here = [column for column in columns if column.name in result.columns]
        own = [channel for channel in channels if channel in result.channels]
        told(f"counting {result.as_of:%Y-%m-%d}", at / len(found))
        tallies.append(tally(result, rules.blocks, edges, here, own))
    watches: list[Watch] = []
    causes: Mapping[str, tuple[str, ...]] = {}
    judged: list[Judged] = []
    said: list[str] = []
    if len(found) > 1:
        more = []
        if data is not None and spec is not None:
            more = inputs_of(data, spec, settings, earlier, later, lambda table: told(f"reading {table}", 0.6))
        told("telling drift from noise", 0.8)
        watches = rows_of(earlier, later)
        nobody = [result for result, one in zip(found, tallies, strict=True) if not one.of.sum()]
        # A share of nobody is none, and no night can be exchanged with it.
        if {earlier.folder, later.folder} & {result.folder for result in nobody}:
            left_out.append(f"shares and distributions: the result of {nobody[-1].as_of:%Y-%m-%d} has no lead")
        else:
            watches += compared((tallies[-2], tallies[-1]), more, flips=rules.flips, level=rules.level)
        if data is not None:
            judged, waits = _judged(data, settings, found)
            said += waits
            watches += calibration_watches(judged[-1], rules.min_outcomes) if judged else []
        told("looking who moved", 0.9)
        causes = causes_of(earlier, later, [watch for watch in watches if watch.beyond])
        said = [*policy_changes(audit, *map(_run, (earlier, later))), *said]
        said = [*decided_between(settings, earlier.as_of.date(), later.as_of.date()), *said]
    owners = {definition.id: definition.owner for definition in settings.segments}
    runs = tuple(_run(result) for result in found)
    alerts = alerts_of(watches, rules, owners)
    return Monitored(
        runs=runs,
        watches=tuple(watches),
        alerts=alerts,
        not_compared=tuple(left_out),
        words=tuple(words_of(runs, watches, alerts, causes, said)),
        causes=causes,
        calibration=tuple((one.as_of, one.told, bins_of(one)) for one in judged),
        trends=_trends(found, tallies),
        level=rules.level,
        groups=rules.blocks,
    )


def _judged(data: Path, settings: Settings, found: Sequence[Result]) -> tuple[list[Judged], list[str]]:
    """What can be judged of the earlier nights, and in words what cannot yet."""
    outcomes = Outcomes(data, settings, found[-1].as_of)
    if not outcomes.recorded:
        return [], ["No prediction can be judged: the data have no outcomes."]
    judged = matured(outcomes, found)
    if judged:
        return judged, []
    first = found[0].as_of + outcomes.first_day
    return [], [f"No prediction of these results can be judged yet; the first can on {first:%d %B %Y}."]


def _refuse_disorder(found: Sequence[Result]) -> None:
    if not found:
        raise InputInvalid("monitor", "expected at least one folder that `leadwell rescore` wrote")
    for earlier, later in pairwise(found):
        if earlier.folder.resolve() == later.folder.resolve():
            raise InputInvalid(str(later.folder), "expected another result than the one before it")
        if earlier.as_of > later.as_of:
            raise InputInvalid(
                str(later.folder),
                f"expected results oldest first, and this is of {later.as_of:%Y-%m-%d}, after one of"
                f" {earlier.as_of:%Y-%m-%d}",
            )


def _common(earlier: Result, later: Result) -> tuple[list[Column], list[str], list[str]]:
    """Columns and channels that both have and that can be compared, and in words what was left out and why."""
    known = {column.name: column for column in (*watched_columns(earlier), *watched_columns(later))}
    columns, said = [], []
    replays = [result for result in (earlier, later) if result.replay]
    for name, column in known.items():
        lacking = [result for result in (earlier, later) if name not in result.columns]
        if lacking:
            said.append(f"{column.title}: the result of {lacking[0].as_of:%Y-%m-%d} has no column {name}")
        elif not (column.offers and replays):
            columns.append(column)
    channels = [] if replays else [channel for channel in later.channels if channel in earlier.channels]
    if replays:
        said.append(f"permits, rules and offers: the result of {replays[0].as_of:%Y-%m-%d} is a replay, which has none")
    else:
        odd = sorted(set(earlier.channels) ^ set(later.channels))
        said += [f"channel {name}: only one of the two results knows it" for name in odd]
    if not (earlier.knows_accounts and later.knows_accounts):
        said.append("whose account a lead is of: a result lists no accounts, so each lead counts for itself in noise")
    return columns, channels, said


def _run(result: Result) -> Run:
    return Run(str(result.folder), result.as_of, result.leads, result.replay, result.root, versions_of(result.manifest))


def _trends(found: Sequence[Result], tallies: Sequence[Tally]) -> dict[tuple[Kind, str], tuple[Point, ...]]:
    keys = dict.fromkeys(key for one in tallies for key in one.shares if key[0] in TRENDS)
    return {
        key: tuple(
            Point(result.as_of, int(one.shares[key].sum()) if key in one.shares else 0, int(one.of.sum()))
            for result, one in zip(found, tallies, strict=True)
            if not (key[0] == "permit" and result.replay)
        )
        for key in keys
    }
