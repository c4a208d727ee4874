"""What a bundle must pass before it serves, each gate with the words of what was found.

Where there is a champion, the challenger must lower log-loss on later data beyond noise. Where there is none, it must
do so beside the models that `registry.yaml` names. A gate that a person lets pass keeps the reason in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import BundleRefused
from models.bundle import Bundle
from training.evaluation.metrics import MIN_OUTCOMES
from training.registry.history import Entry, History
from training.registry.timeline import entries_about

HELD_OUT = "held_out"
BASE_RATE = "base_rate"


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing asked of a bundle: whether it holds, what was found, and the reason that let it pass all the same."""

    name: str
    passed: bool
    says: str
    despite: str = ""

    @property
    def open(self) -> bool:
        """Whether the bundle may go on."""
        return self.passed or bool(self.despite)

    def record(self) -> dict[str, Any]:
        """What the history keeps of it."""
        return asdict(self)


def refuse_closed(folder: object, gates: Sequence[Gate]) -> None:
    """Raise BundleRefused with one line for each gate that does not let the bundle pass."""
    closed = [f"{folder}: {gate.name}: {line}" for gate in gates if not gate.open for line in gate.says.splitlines()]
    if closed:
        raise BundleRefused("\n".join(closed))


def below_minimum(training: Mapping[str, Any]) -> tuple[str, ...]:
    """Why a bundle's data were below the hygiene minimum, one line each; one that was never judged says so."""
    hygiene = training.get("hygiene")
    if not isinstance(hygiene, Mapping):
        return ("its data were never judged; train it again",)
    if hygiene.get("passed") is True:
        return ()
    return tuple(str(line) for line in hygiene.get("failed", ())) or ("the bundle does not say why",)


def leaks_let_pass(training: Mapping[str, Any]) -> tuple[str, str]:
    """Why a bundle was trained in spite of a leak that was found, and who insisted; both empty where none was."""
    leakage = training.get("leakage")
    despite = leakage.get("despite") if isinstance(leakage, Mapping) else None
    if not despite:
        return "", ""
    said = despite if isinstance(despite, Mapping) else {"reason": despite}
    return str(said.get("reason") or "no reason is given"), str(said.get("by") or "")


def learned_nothing(training: Mapping[str, Any]) -> bool:
    """Whether a bundle goes by the points alone: the cold start, before there are outcomes to learn from."""
    return training.get("cold_start") is True


def trainers(training: Mapping[str, Any]) -> tuple[str, ...]:
    """Who trained or recalibrated a bundle, and who insisted on it in spite of a leak; empty where nobody was named."""
    made = (str(training.get("by") or ""), str(training.get("recalibrated_by") or ""))
    named = (*made, leaks_let_pass(training)[1])
    return tuple(dict.fromkeys(name for name in named if name))


def overrides(training: Mapping[str, Any]) -> tuple[str, ...]:
    """What whoever approves has to answer for: minima that were missed, leaks that were let pass."""
    leak, _ = leaks_let_pass(training)
    found = [f"below the hygiene minimum: {line}" for line in below_minimum(training)]
    return (*found, *([f"trained despite a leak: {leak}"] if leak else ()))


def hygiene_gate(training: Mapping[str, Any], despite: str) -> Gate:
    """The data were above the minimum; `despite` is the asker's reason where they were not.

    INVARIANT: a bundle whose data were below the hygiene minimum does not serve, unless a named person gives a reason,
    which the history keeps.
    """
    below = below_minimum(training)
    says = "\n".join(f"below the hygiene minimum: {why}" for why in below) or "above every minimum"
    return Gate("hygiene", not below, says, despite if below else "")


def leakage_gate(training: Mapping[str, Any], approvals: Sequence[Entry]) -> Gate:
    """Leaks were looked for and none was let pass in training, or whoever approved saw it and said why."""
    leak, _ = leaks_let_pass(training)
    if not isinstance(training.get("leakage"), Mapping) and not learned_nothing(training):
        return Gate("leakage", False, "nobody looked for leaks in its data; train it again")
    if not leak:
        return Gate("leakage", True, "no leak was let pass")
    notes = [f"{entry.by}: {entry.says['note']}" for entry in approvals if entry.says.get("note")]
    return Gate("leakage", False, f"trained despite a leak: {leak}; who approves has to say why", "; ".join(notes))


def approval_gate(folder: object, good: Sequence[Entry], why_not: Sequence[str]) -> Gate:
    """A second person approved this very bundle, and the approval holds."""
    if good:
        return Gate("approval", True, f"approved by {', '.join(dict.fromkeys(entry.by for entry in good))}")
    ask = f'a second person approves: leadwell registry approve --bundle {folder} --by "ANOTHER NAME"'
    return Gate("approval", False, "\n".join([*why_not, ask]))


def first_gate(bundle: Bundle, beats: Sequence[str], despite: Sequence[str] = ()) -> Gate:
    """The first champion beats each of the named models on later data beyond noise, as its training measured it.

    A bundle that learned nothing claims no probability, so there is nothing to be better at: points say it all.
    """
    if learned_nothing(bundle.manifest.training):
        return Gate("later data", True, "it learned nothing and claims no probability: points say the band")
    record = bundle.manifest.training.get(HELD_OUT)
    against = record.get("against", {}) if isinstance(record, Mapping) else {}
    before = str(bundle.manifest.training.get("recalibrated_from") or "")
    # No row of its own data can judge a recalibrated bundle: it stands beside the one that it was made from.
    way = f"promote bundle {before[:12]} first, which it was recalibrated from" if before else "train it again"
    won: list[str] = []
    lost: list[str] = []
    if isinstance(record, Mapping) and "positives" in record:
        few = min(record["positives"], record["judged"] - record["positives"])
        if few < MIN_OUTCOMES:
            lost.append(f"too few later rows to tell: {few} of the rarer outcome, expected {MIN_OUTCOMES}")
    for name in beats:
        found, words = against.get(name), name.replace("_", " ")
        if not isinstance(found, Mapping):
            lost.append(f"not compared with {words}: {way}")
            continue
        verdict = _verdict(found)
        told_as = f"{verdict} the {words} by log-loss on later data, {interval(found)}"
        (won if verdict == "better than" else lost).append(told_as)
    return Gate("later data", not lost, "\n".join(lost or won), "; ".join(despite) if lost else "")


def champion_gate(history: History, champion_id: str, challenger_id: str, despite: Sequence[str]) -> Gate:
    """The challenger beats the champion on later data beyond noise; `despite` are the reasons of both persons.

    The judgement on the latest data counts, and of those the last one: who asks again on older data changes nothing.
    """
    every = [e for e in entries_about(history, challenger_id, "judged") if e.says.get("champion") == champion_id]
    reasons = "; ".join(despite)
    if not every:
        ask = "leadwell registry challenge --bundle DIR --data FOLDER"
        return Gate("later data", False, f"never judged beside the champion {champion_id[:12]}: {ask}", reasons)
    last = max(every, key=lambda entry: (entry.says["data_as_of"], entry.number))
    says = f"{told(last.says)}; entry {last.number}, judged {len(every)} times"
    passed = last.says["verdict"] == "better"
    return Gate("later data", passed, says, "" if passed else reasons)


def told(judged: Mapping[str, Any]) -> str:
    """One judgement in words."""
    rows = f"{judged['rows']:,} rows of {judged['accounts']:,} accounts, {judged['positives']:,} with the outcome"
    verdict = judged["verdict"]
    if verdict == "too few":
        return f"too few rows that neither has seen to tell it from the champion ({rows})"
    words = {"better": "better than", "worse": "worse than", "within noise": "within noise of"}[verdict]
    return f"{words} the champion by log-loss, {interval(judged['difference'])}, on {rows}"


def interval(found: Mapping[str, Any]) -> str:
    """A difference with its interval, as people read it."""
    if found.get("low") is None:
        return f"{float(found['value']):+.4f} (no interval: too few accounts)"
    return f"{float(found['value']):+.4f} ({float(found['low']):+.4f} to {float(found['high']):+.4f})"


def _verdict(found: Mapping[str, Any]) -> str:
    low, high = found.get("low"), found.get("high")
    if low is None or high is None or low <= 0.0 <= high:
        return "not beyond noise better than"
    return "better than" if high < 0.0 else "worse than"
