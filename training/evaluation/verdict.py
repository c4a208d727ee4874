"""What an evaluation comes to in one plain sentence: weak models say so, and so does a model that nobody could judge.

The rules are few and in one place, so that a reviewer can hold them against the numbers:

- *not shown*: fewer than 50 outcomes of a kind judged, or an AUC whose interval holds both chance and a fair model.
- *weak*: AUC under 0.6, or not better than the hand-written points beyond noise.
- *beaten*: another model that a team would choose is better beyond noise in log-loss.
- *with care*: none of these, but probabilities are off on average, or groups stand out, or a gate was overridden.
- *sound*: none of all this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation.evaluation import DifferenceLine, SegmentLine, Verdict
from training.evaluation.fairness import FairnessRow
from training.evaluation.resampling import Estimate
from training.evaluation.slices import Slices
from training.evaluation.stability import Stability

WEAK_AUC = 0.6
CHANCE_AUC = 0.5
FEW_OUTCOMES = 50
# A calibration slope outside of this is more than a shade too bold or too timid.
SLOPE = (0.8, 1.25)
WORDS = ("not shown", "weak", "beaten", "with care", "sound")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the verdict looks at."""

    outcomes: int
    auc: Estimate
    gap: Estimate
    slope: Estimate
    baseline: str
    differences: Sequence[DifferenceLine]
    segments: Sequence[SegmentLine]
    slices: Slices
    fairness: Sequence[FairnessRow]
    stability: Stability | None
    overrides: Sequence[str]
    timed: bool = True


def verdict_of(found: Findings) -> Verdict:
    """The verdict with its reasons; `outcomes` are the fewer of positives and negatives that judged."""
    auc = found.auc.value if found.auc.value is not None else CHANCE_AUC
    points = next((d for d in found.differences if d.theirs == found.baseline and d.metric == "log_loss"), None)
    not_shown, weak, beaten, care = _unproven(found, auc), _weak(found, points, auc), _beaten(found), _care(found)
    word = next(
        (w for w, reasons in zip(WORDS, (not_shown, weak, beaten, care), strict=False) if reasons),
        WORDS[-1],
    )
    return Verdict(
        word=word,
        sentence=_sentence(word, found, auc, (not_shown + weak + beaten + care)[:1]),
        against=tuple(not_shown + weak + beaten + care + _unknown(found)),
        speaks_for=tuple(_for(found, points, auc)),
    )


def _unproven(found: Findings, auc: float) -> list[str]:
    said = []
    if found.outcomes < FEW_OUTCOMES:
        said.append(f"only {found.outcomes} outcomes of the rarer kind judged it: too few to tell")
    low, high = found.auc.low, found.auc.high
    # An interval that ends under the weak AUC tells enough: the model is weak, and more rows would not save it.
    if low is None or high is None or (low <= CHANCE_AUC and high >= WEAK_AUC):
        said.append(f"the AUC of {auc:.2f} {_between(found.auc, 2)} may be chance")
    return said


def _weak(found: Findings, points: DifferenceLine | None, auc: float) -> list[str]:
    said = []
    if auc < WEAK_AUC:
        how = "no better" if found.auc.low is None or found.auc.low <= CHANCE_AUC else "little better"
        said.append(f"it tells leads apart {how} than chance (AUC {auc:.2f} {_between(found.auc, 2)})")
    if points is not None and points.verdict != "better":
        gap = f"log-loss {_signed(points.difference.value)} {_between(points.difference, 4)}"
        how = "worse than" if points.verdict == "worse" else "not better beyond noise than"
        said.append(f"it is {how} the hand-written points alone ({gap})")
    return said


def _beaten(found: Findings) -> list[str]:
    lost = [
        d for d in found.differences if d.metric == "log_loss" and d.verdict == "worse" and d.theirs != found.baseline
    ]
    named = [f"{_spaced(d.theirs)} (log-loss {_signed(d.difference.value)} {_between(d.difference, 4)})" for d in lost]
    are = "is" if len(lost) == 1 else "are"
    return [f"{_listed(named, 3)} {are} better beyond noise on the same rows"] if lost else []


def _care(found: Findings) -> list[str]:
    said = []
    if found.gap.leaves_out_zero and found.gap.value is not None:
        way = "high" if found.gap.value > 0 else "low"
        off = f"{abs(found.gap.value):.1%}".replace("%", " points")
        said.append(f"on average probabilities are {off} too {way} {_points(found.gap)}")
    low, high = found.slope.low, found.slope.high
    if low is not None and high is not None and (high < SLOPE[0] or low > SLOPE[1]):
        how = "too bold: extremes are less extreme than said" if high < SLOPE[0] else "too timid: extremes go further"
        said.append(
            f"probabilities are {how} (calibration slope {_plain(found.slope.value)} {_between(found.slope, 2)})"
        )
    if found.slices.stand_out:
        rows = [_spaced(f"{r.dimension} {r.name}") for r in found.slices.rows if r.stands_out]
        said.append(
            f"probabilities are off in {_listed(rows)}, more than chance among {found.slices.asked} groups would"
        )
    told = [r for r in found.fairness if "look at it" in r.says]
    if told:
        are = "is" if len(told) == 1 else "are"
        said.append(f"{_listed([_spaced(f'{r.dimension} {r.name}') for r in told])} {are} treated unlike the rest")
    stable = found.stability
    if stable is not None and stable.auc_change.high is not None and stable.auc_change.high < 0:
        said.append(
            "it tells leads apart worse in the last period than in earlier ones "
            f"(AUC change {_signed(stable.auc_change.value, 2)} {_between(stable.auc_change, 2)})"
        )
    lost = sorted({_spaced(s.segment_id) for s in found.segments if s.tells and _worse(s)})
    if lost:
        said.append(f"in {_listed(lost)} a model without segments of its own is better beyond noise")
    return [*said, *found.overrides]


def _unknown(found: Findings) -> list[str]:
    """What nobody can tell from these rows: no fault of the model, and no proof either."""
    silent = [_spaced(s.segment_id) for s in found.segments if not s.tells]
    said = []
    if silent:
        said.append(f"{len(silent)} of {len(found.segments)} segments have too few outcomes to tell: {_listed(silent)}")
    if not found.timed:
        said.append("the data say nothing of time: it was judged by leads drawn by chance, and not by later ones")
    few = [r for r in found.slices.rows if not r.tells]
    if few:
        said.append(f"{len(few)} of {len(found.slices.rows)} groups have too few outcomes to tell")
    return said


def _for(found: Findings, points: DifferenceLine | None, auc: float) -> list[str]:
    said = []
    if found.auc.low is not None and found.auc.low > CHANCE_AUC:
        said.append(f"it tells leads apart: AUC {auc:.2f} {_between(found.auc, 2)}")
    better = [d.theirs for d in found.differences if d.metric == "log_loss" and d.verdict == "better"]
    if better:
        said.append(f"better beyond noise in log-loss than {_listed([_spaced(name) for name in better])}")
    same = [d.theirs for d in found.differences if d.metric == "log_loss" and d.verdict == "within noise"]
    if same:
        said.append(f"within noise of {_listed([_spaced(name) for name in same])}")
    if found.gap.value is not None and not found.gap.leaves_out_zero:
        said.append(f"on average probabilities are true within noise (off by {_points(found.gap)} points)")
    if found.slices.asked > 1 and not found.slices.stand_out:
        said.append(f"of {found.slices.asked} groups none stands out: their probabilities are off as chance has it")
    return said


def _sentence(word: str, found: Findings, auc: float, first: Sequence[str]) -> str:
    begin = {
        "not shown": "Not shown to work",
        "weak": "Weak",
        "beaten": "Another model is better",
        "with care": "Use with care",
        "sound": "Sound on later data" if found.timed else "Sound on leads of the same time",
    }[word]
    if word == "sound":
        apart = f"it tells leads apart (AUC {auc:.2f})"
        return f"{begin}: {apart}, its probabilities are true within noise, and no other model is better beyond noise."
    return f"{begin}: {first[0]}."


def _worse(line: SegmentLine) -> bool:
    return any(
        name.startswith("pooled") and gap.low is not None and gap.low > 0 for name, gap in line.differences.items()
    )


def _between(found: Estimate, places: int) -> str:
    if found.low is None or found.high is None:
        return "(no interval: too few accounts)"
    return f"[{found.low:.{places}f}, {found.high:.{places}f}]".replace("-", "\N{MINUS SIGN}")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _points(found: Estimate) -> str:
    """An interval of a difference of shares, in points of a hundred."""
    low, high = found.low, found.high
    return _between(Estimate(0.0, 100 * low, 100 * high) if low is not None and high is not None else found, 1)


def _plain(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _signed(value: float | None, places: int = 4) -> str:
    return "undefined" if value is None else f"{value:+.{places}f}".replace("-", "\N{MINUS SIGN}")


def _listed(names: Sequence[str], most: int = 6) -> str:
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
