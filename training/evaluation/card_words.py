"""Words of the model card: what readiness is not for, its limits, and what became of every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.evaluation.evaluation import Evaluation

WITHHELD = "withheld: "
USED = ("train", "judge", "time_only")
UNKNOWN = "unknown"
# More unknown than this makes a dimension's comparison one of the known alone.
MUCH_UNKNOWN = 0.25

METRIC_WORDS: Mapping[str, str] = {
    "log_loss": "log-loss",
    "auc": "AUC",
    "brier": "Brier score",
    "average_precision": "PR-AUC",
    "lift_at_10": "lift in the top 10 %",
}
DIMENSIONS: Mapping[str, str] = {
    "role": "Role",
    "setting": "Care setting",
    "jurisdiction": "Jurisdiction",
    "source": "Source",
    "segment": "Segment",
}
_COUNTS: Mapping[str, str] = {
    "train": "trained: earlier snapshots",
    "judge": "judged: later, and of accounts that never trained",
    "time_only": "later rows of accounts that train: judged apart",
    "held-out accounts before the latest snapshot": "held-out accounts at earlier snapshots: too early to judge",
    "label overlaps the time that judges": "their outcome would reach into the time that judges",
    "lead not known yet": "the lead was not known yet at the snapshot",
    "may not be learned from": "erased, restricted, objecting, or not known not to be",
    "basis lost since the snapshot": "the lawful basis was withdrawn or ran out after the snapshot",
    "order or outcome not known": "order in time or outcome not known",
    "account also judges": "of an account that judges: kept out of training",
}


@dataclass(frozen=True, slots=True)
class Left:
    """How many rows or values met one fate, in words."""

    says: str
    count: int


def data_lines(counts: Mapping[str, int]) -> dict[str, tuple[Left, ...]]:
    """What became of every (lead, snapshot): `used`, `left` out by reason, and events and values `withheld` by rule."""
    used = [Left(_COUNTS[key], counts[key]) for key in USED if counts.get(key)]
    left = [
        Left(_COUNTS.get(key, key), number)
        for key, number in counts.items()
        if number and key not in (*USED, "rows") and not key.startswith(WITHHELD)
    ]
    withheld = [
        Left(key.removeprefix(WITHHELD).replace("_", " ", 1), number)
        for key, number in counts.items()
        if number and key.startswith(WITHHELD)
    ]
    return {
        "used": tuple(used),
        "left": tuple(sorted(left, key=lambda line: -line.count)),
        "withheld": tuple(sorted(withheld, key=lambda line: -line.count)),
    }


def not_for() -> tuple[str, ...]:
    """What readiness must not be used for; the same for every model."""
    return (
        "deciding whether somebody may be contacted: consent, suppression and the rules decide, whatever the readiness",
        "any statement about a patient's health, treatment or need, or about what a clinician prescribes",
        "prices, credit, insurance, employment, access to care, or the performance of an employee",
        "people outside the segments and audiences above: for them the answer is unknown",
        "the effect of contacting a lead: this is who moves on, not who moves on because of us",
    )


def limits_of(evaluation: Evaluation) -> tuple[str, ...]:
    """Limits that follow from how and on what the model was judged, the model's own first."""
    judge = evaluation.data.judge
    said = []
    if len(judge.periods) == 1:
        said.append(
            f"It was judged on {judge.periods[0]} alone, by {judge.accounts:,} accounts: another month may differ. "
            "Judge it again on later data with leadwell evaluate."
        )
    for dimension in evaluation.slices.dimensions:
        rows = evaluation.slices.of(dimension)
        share = sum(row.rows for row in rows if row.name == UNKNOWN) / max(sum(row.rows for row in rows), 1)
        if share >= MUCH_UNKNOWN:
            said.append(f"The {dimension} of {share:.0%} of the judged leads is unknown: gaps among them stay hidden.")
    said += [f"The {name} of every judged lead is {value}." for name, value in evaluation.slices.undivided.items()]
    silent = [line.segment_id for line in evaluation.segments if not line.tells]
    if silent:
        said.append(f"Nothing is shown for the segments with too few outcomes: {', '.join(silent)}.")
    if evaluation.abstained:
        number, scored = sum(evaluation.abstained.values()), sum(band.rows for band in evaluation.bands)
        said.append(f"It says unknown for {number:,} of {scored:,} judged leads ({number / max(scored, 1):.1%}).")
    said += [
        "Outcomes are those that were recorded. Leads that nobody worked, or that sales did not write down, count as "
        "not reached; where routing decides who is worked, readiness learns that too.",
        "Engagement is interest in education. It is no sign of what somebody will prescribe or buy.",
        "Age, sex, health and other personal traits are no features, so no difference by them was tested.",
        "Intervals are 95 % and count accounts as independent; they hold for leads like those that were judged.",
    ]
    return (*said, *evaluation.notes)
