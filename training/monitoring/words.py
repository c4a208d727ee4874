"""What changed between two nights, in sentences that a person reads from the top."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.monitoring.watch import Alert, Run, Watch

VERSIONS = ("bundle", "policy", "segments", "assets", "features")
_CALLED = {"segments": "segment map", "features": "feature set"}
# So many movements of one kind are told; the table has them all.
NAMED = 3
KINDS = (
    ("rejected", "tables moved"),
    ("band", "bands moved"),
    ("segment", "segments moved"),
    ("permit", "channels moved"),
    ("rule", "rules moved"),
    ("score", "scores moved"),
    ("input", "inputs moved"),
    ("calibration", "predictions are off"),
    ("status", "statuses moved"),
    ("action", "actions moved"),
)


def versions_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a result rests on, by name."""
    return {name: str(manifest[name]) for name in VERSIONS if name in manifest}


def words_of(
    runs: Sequence[Run],
    watches: Sequence[Watch],
    alerts: Sequence[Alert],
    causes: Mapping[str, Sequence[str]],
    said: Sequence[str],
) -> Iterator[str]:
    """Sentences: the time between, what decides, what was decided, what moved with its causes, what did not."""
    later = runs[-1]
    if len(runs) == 1:
        yield f"This is the first result, of {later.as_of:%d %B %Y}: {later.leads:,} leads. Nothing to compare it with."
        return
    earlier = runs[-2]
    if earlier.merkle_root and earlier.merkle_root == later.merkle_root:
        yield "Both results decide the same about everybody: their Merkle roots are equal."
    yield _between(earlier, later, causes.get("leads", ()))
    yield _versions(earlier, later)
    yield from said
    moved = [watch for watch in watches if watch.beyond and watch.measure != "count"]
    for kind, noun in KINDS:
        own = sorted((watch for watch in moved if watch.kind == kind), key=lambda one: -abs(one.change))
        told = _rules(own) if kind == "rule" else [_told(watch, causes) for watch in own]
        yield from (f"{text[:1].upper()}{text[1:]}." for text in told[:NAMED])
        if len(told) > NAMED:
            yield f"{len(told) - NAMED} more {noun} beyond noise."
    judged = [watch for watch in watches if watch.measure != "count"]
    still = len(judged) - len(moved)
    if judged and not moved:
        yield f"None of the {len(judged):,} shares and distributions that were compared moved beyond noise."
    elif judged:
        yield f"The other {still:,} of {len(judged):,} shares and distributions did not move beyond noise."
    if alerts:
        owners = ", ".join(dict.fromkeys(alert.owner for alert in alerts))
        yield f"{len(alerts)} alert{'s' if len(alerts) > 1 else ''}, for {owners}."
    else:
        yield "No alert."


def _rules(moved: Sequence[Watch]) -> list[str]:
    """Rule by rule, the one that moved most first: on which channels it stops more or fewer, in points."""
    by_rule: dict[str, list[Watch]] = {}
    for watch in moved:
        by_rule.setdefault(watch.name.partition(" ")[2], []).append(watch)
    found = []
    for rule, own in by_rule.items():
        channels = ", ".join(f"{w.name.partition(' ')[0].replace('_', ' ')} {100 * w.change:+.1f}" for w in own)
        found.append(f"{rule} stops {'more' if own[0].change > 0 else 'fewer'} ({channels} points)")
    return found


def _told(watch: Watch, causes: Mapping[str, Sequence[str]]) -> str:
    why = causes.get(f"{watch.kind} {watch.name}", ())
    return watch.says + (f", {'; '.join(why)}" if why else "")


def _between(earlier: Run, later: Run, flow: Sequence[str]) -> str:
    hours = (later.as_of - earlier.as_of).total_seconds() / 3600
    span = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    change = later.leads - earlier.leads
    size = f"{abs(change):,} {'more' if change > 0 else 'fewer'} than before" if change else "as many as before"
    size += f" ({', '.join(flow)})" if flow else ""
    when = f"from {earlier.as_of:%d %B} to {later.as_of:%d %B %Y}" if hours else f"both as of {later.as_of:%d %B %Y}"
    return f"{span[:1].upper()}{span[1:]} lie between them, {when}; the later one has {later.leads:,} leads, {size}."


def _versions(earlier: Run, later: Run) -> str:
    names = [name for name in VERSIONS if name in earlier.versions and name in later.versions]
    changed = [name for name in names if earlier.versions[name] != later.versions[name]]
    if not changed:
        return "Nothing that decides was changed: the same " + _and([_CALLED.get(name, name) for name in names]) + "."
    told = [
        f"{_CALLED.get(name, name)} ({earlier.versions[name][:8]} to {later.versions[name][:8]})" for name in changed
    ]
    same = [_CALLED.get(name, name) for name in names if name not in changed]
    rest = f"; the same {_and(same)}" if same else ""
    return f"Changed between them: the {_and(told)}{rest}."


def _and(parts: Sequence[str]) -> str:
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)
