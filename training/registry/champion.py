"""Which bundle serves: promote one that passes every gate, return to the one before.

`artifacts/champion.json` is what serving reads, and the moment it is replaced is the moment the new bundle serves. The
history is written before it and MLflow's aliases after it: a store that does not answer never keeps anybody from
rolling back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from configs.errors import BundleRefused, NotReady
from configs.registry import RegistrySettings
from models.bundle import Bundle, read_bundle, try_in_child
from training.registry.approvals import valid_approvals, withdrawn
from training.registry.gates import (
    Gate,
    approval_gate,
    champion_gate,
    first_gate,
    hygiene_gate,
    leakage_gate,
    learned_nothing,
    refuse_closed,
    trainers,
)
from training.registry.history import Entry, History, Ledger, moment, person, read_history, writing
from training.registry.publish import follow


@dataclass(frozen=True, slots=True)
class Champion:
    """The bundle that serves: which, since when, who asked, who approved, how, and which one served before it.

    `despite` is the reason that a person gave for promoting it below the hygiene minimum, empty where it passed.
    `trouble` says why MLflow's aliases do not follow, empty where they do or where nothing was tracked.
    """

    bundle_id: str
    path: str
    served_from: str
    by: str
    approved_by: tuple[str, ...]
    how: str
    previous: str | None
    gates: tuple[Gate, ...]
    despite: str = ""
    trouble: str = ""

    def folder(self, artifacts: Path) -> Path:
        """Where the bundle lies."""
        return (artifacts / self.path).resolve()


def verified(folder: Path) -> Bundle:
    """The bundle, after its hashes hold and a spawned child has loaded it; raises BundleRefused."""
    bundle = read_bundle(folder)
    try_in_child(folder)
    return bundle


def promote(
    artifacts: Path,
    folder: Path,
    *,
    by: str,
    as_of: datetime,
    rules: RegistrySettings,
    despite: str = "",
    despite_gate: str = "",
    uri: str | None = None,
    verify: Callable[[Path], Bundle] = verified,
) -> Champion:
    """Make a bundle the champion; raises BundleRefused naming every closed gate, with the old champion still in place.

    Args:
        artifacts: the folder of champion.json and of the history.
        folder: the bundle.
        by: who asks; somebody else approved.
        as_of: now.
        rules: what the first champion has to beat.
        despite: why it may serve below the hygiene minimum.
        despite_gate: why it may replace the champion without beating it; counts where an approval says why, too.
        uri: the tracking server, where aliases are moved.
        verify: reads the bundle and tries it.
    """
    name = person(by)
    if not folder.is_dir():
        raise BundleRefused(f"{folder}: expected a bundle folder; `leadwell train --bundle DIR` writes one")
    bundle = verify(folder)
    with writing(artifacts, as_of) as ledger:
        # Under the lock: the champion that the challenger was judged beside is still the champion.
        history = ledger.history
        current = history.champion
        again = current is not None and current.bundle_id == bundle.bundle_id
        gates, approved_by = _gates(history, bundle, folder, name, as_of, rules, despite.strip(), despite_gate.strip())
        refuse_closed(folder, gates)
        # Promoting the champion again is no step that a rollback should undo.
        before = current.says["previous"] if current and again else current.number if current else None
        says = {
            "how": "promote",
            "path": os.path.relpath(folder.resolve(), artifacts.resolve()),
            "trained_by": list(trainers(bundle.manifest.training)),
            "approved_by": approved_by,
            "gates": [gate.record() for gate in gates],
            "versions": _versions(bundle),
            "cold_start": learned_nothing(bundle.manifest.training),
            "previous": before,
        }
        champion = _switch(ledger, bundle.bundle_id, name, as_of, says)
    return _followed(artifacts, champion, uri)


def rollback(
    artifacts: Path,
    *,
    by: str,
    as_of: datetime,
    uri: str | None = None,
    verify: Callable[[Path], Bundle] = verified,
) -> Champion:
    """Return to the champion before this one; raises NotReady when there was none, BundleRefused when it is gone.

    No second person is asked: it returns to a bundle that was approved and has served. One whose approval was taken
    back since is passed over for the one before it.
    """
    name = person(by)
    with writing(artifacts, as_of) as ledger:
        history = ledger.history
        current = history.champion
        if current is None:
            raise NotReady("no champion to roll back from; run `leadwell promote --bundle DIR` first")
        if current.says["previous"] is None:
            raise NotReady("the champion is the first one; there is nothing to roll back to")
        before = _approved_before(history, current)
        bundle_id, folder = str(before.bundle_id), (artifacts / before.says["path"]).resolve()
        if not folder.is_dir() or verify(folder).bundle_id != bundle_id:
            raise BundleRefused(f"{folder}: no longer the bundle {bundle_id[:12]} that served before")
        says = {**before.says, "how": "rollback", "returns_to": before.number}
        champion = _switch(ledger, bundle_id, name, as_of, says)
    return _followed(artifacts, champion, uri)


def read_champion(artifacts: Path) -> Champion | None:
    """The champion now, None before the first promotion; raises RegistryBroken where the history does not hold."""
    history = read_history(artifacts)
    return None if history.champion is None else _champion(history, history.champion)


def _gates(
    history: History,
    bundle: Bundle,
    folder: Path,
    asks: str,
    as_of: datetime,
    rules: RegistrySettings,
    despite: str,
    despite_gate: str,
) -> tuple[tuple[Gate, ...], list[str]]:
    """Every gate of a promotion, and who approved it."""
    training, current = bundle.manifest.training, history.champion
    good, why_not = valid_approvals(history, bundle, folder, asks=asks, on=as_of.date())
    # Both say why, or it counts for nothing.
    theirs = [f"{e.by}: {e.says['despite_gate']}" for e in good if e.says.get("despite_gate")]
    reasons = (f"{asks}: {despite_gate}", *theirs) if despite_gate and theirs else ()
    if current is not None and current.bundle_id == bundle.bundle_id:
        later = Gate("later data", True, "it is the champion already")
    elif current is None or current.says.get("cold_start"):
        # A champion that goes by points alone is beaten as the points scorecard is: it has no probability to compare.
        later = first_gate(bundle, rules.first_beats, reasons)
    else:
        later = champion_gate(history, str(current.bundle_id), bundle.bundle_id, reasons)
    gates = (
        hygiene_gate(training, despite),
        leakage_gate(training, good),
        later,
        approval_gate(folder, good, why_not),
    )
    return gates, list(dict.fromkeys(entry.by for entry in good))


def _approved_before(history: History, current: Entry) -> Entry:
    """The latest champion before this one whose approval nobody took back."""
    number = current.says["previous"]
    while number is not None:
        before: Entry = history.entries[number - 1]
        if not withdrawn(history, str(before.bundle_id)):
            return before
        number = before.says["previous"]
    raise NotReady("every champion before this one had its approval taken back; approve and promote one")


def _switch(ledger: Ledger, bundle_id: str, by: str, as_of: datetime, says: Mapping[str, Any]) -> Champion:
    last = ledger.history.entries[-1].recorded_at if ledger.history.entries else as_of
    served = {**says, "served_from": moment(max(as_of, last))}
    entry = ledger.append("served", by=by, bundle_id=bundle_id, as_of=as_of, says=served, close=False)
    champion = _champion(ledger.history, entry)
    kept = ("bundle_id", "path", "served_from", "by", "approved_by", "how", "previous", "despite")
    # Serving follows this file alone: a failure before this line changes nothing that serves.
    ledger.switch(entry, {name: getattr(champion, name) for name in kept})
    return champion


def _champion(history: History, entry: Entry) -> Champion:
    said = entry.says
    gates = tuple(Gate(**gate) for gate in said["gates"])
    previous = history.entries[said["previous"] - 1].bundle_id if said["previous"] else None
    return Champion(
        bundle_id=str(entry.bundle_id),
        path=said["path"],
        served_from=said["served_from"],
        by=entry.by,
        approved_by=tuple(said["approved_by"]),
        how=said["how"],
        previous=previous,
        gates=gates,
        despite=next((gate.despite for gate in gates if gate.name == "hygiene"), ""),
    )


def _versions(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {
        "features": manifest.feature_set,
        "segments": manifest.segment_map,
        "policy": manifest.policy,
        "training_data": manifest.training_data,
        "trained_as_of": moment(manifest.created_as_of),
    }


def _followed(artifacts: Path, champion: Champion, uri: str | None) -> Champion:
    fields = {name: getattr(champion, name) for name in Champion.__slots__}
    trouble = follow(artifacts, champion.bundle_id, champion.by, champion.served_from, uri)
    return Champion(**{**fields, "trouble": trouble})
