"""The data sheet of a bundle: every input with its source, the rows that trained it, its approvals and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from configs.settings import Settings
from features.catalog import Feature
from models.bundle import Bundle
from training.evaluation.card import CardApproval
from training.evaluation.card_words import data_lines, limits_of, not_for
from training.evaluation.evaluation import Evaluation
from training.sheets.answers import kinds_of, use_rules, who_answers
from training.sheets.sheet import Part, Sheet, Table, numbered

OWNER = "data science"
# How a value of each source comes about, and what its absence is. An entry of `features/catalog.py::Source`.
_COUNTED = ("events", "counted once each, as much as a person made it", "0; unknown where it is a time since")
_FROM: Mapping[str, tuple[str, str, str]] = {
    **dict.fromkeys(("measure", "decay"), _COUNTED),
    **dict.fromkeys(("share", "suspect_share"), ("events", "a part of what the person did", "unknown")),
    "role_signal": ("events", "counted by what it means for the role", "0"),
    "history": ("touches, outcomes", "counted up to the instant", "0; unknown where it is a time since"),
    **dict.fromkeys(("roll_up", "roll_up_share"), ("events of colleagues", "without the person's own", "0 or unknown")),
    "lead": ("leads", "a value of its vocabulary; unknown where too old", "unknown"),
    "account": ("accounts", "a value of its vocabulary, of the site or system that governs", "unknown"),
    "days": ("leads", "days up to the instant", "unknown"),
    "verified": ("leads", "yes, no or unknown", "unknown"),
    "attribute": ("columns of your export", "as its mapping declares", "unknown"),
}


def bundle_sheet(
    settings: Settings,
    bundle: Bundle,
    as_of: date,
    *,
    evaluation: Evaluation | None = None,
    approvals: Sequence[CardApproval] = (),
) -> Sheet:
    """The sheet of a bundle; `evaluation` is the judgement beside it, `approvals` are those of the registry."""
    manifest, counted = bundle.manifest, [a for a in approvals if not a.objection]
    stands = "approved" if counted else "not approved"
    return Sheet(
        kind="bundle",
        name=bundle.bundle_id[:12],
        title=f"Readiness, bundle {bundle.bundle_id[:12]}",
        content=bundle.bundle_id,
        as_of=as_of,
        stands=f"{stands}, {evaluation.verdict.word}" if evaluation is not None else stands,
        owner=manifest.training.get("by") or OWNER,
        next_review=min((a.until for a in counted if a.until), default="with the next training"),
        parts=(
            _purpose(settings, bundle, evaluation),
            _composition(bundle),
            _fields(bundle, evaluation),
            _sources(settings, bundle),
            Part("cleaning", "How the rows were cleaned", "", tuple(_cleaning(manifest.training))),
            Part("updates", "How it is kept up to date", "", tuple(_updates(settings, bundle))),
            _approvals(bundle, approvals),
            Part("limits", "Known limits", "", tuple(_limits(bundle, evaluation))),
            Part("owners", "Who answers what", "", (("the model and its data", OWNER), *who_answers(settings))),
        ),
    )


def _purpose(settings: Settings, bundle: Bundle, evaluation: Evaluation | None) -> Part:
    training = bundle.manifest.training
    target = settings.targets.by_id.get(str(training.get("target", "")))
    rows = [("predicts", target.says if target else str(training.get("target", "nothing: the points say the band")))]
    kinds = [kind.replace("_", " ") for kind in training.get("target_kinds", ())]
    if kinds:
        rows.append(("outcomes that count", f"{numbered(kinds, 8)}, within {training.get('horizon_days')} days"))
    if evaluation is not None:
        rows.append(("judged", evaluation.verdict.sentence))
        rows += [("for", f"{use.segment_id}: {use.title}") for use in evaluation.segments_used[:12]]
    rows += [("not for", text) for text in not_for()]
    return Part("purpose", "What it is for", "A chance for one lead, to put leads in order for people.", tuple(rows))


def _composition(bundle: Bundle) -> Part:
    training = bundle.manifest.training
    counts = {name: int(number) for name, number in training.get("counts", {}).items() if isinstance(number, int)}
    lines = data_lines(counts)
    rows = [("as known on", bundle.manifest.created_as_of.date().isoformat())]
    if "rows" in counts:
        rows.append(("rows", f"{counts['rows']:,} of a lead at a snapshot"))
    rows += [(line.says, f"{line.count:,}") for line in lines["used"]]
    rows += [("segments with a model of their own", numbered(list(_own_models(bundle)), 8) or "none")]
    table = Table(("left out because", "rows"), tuple((line.says, f"{line.count:,}") for line in lines["left"]))
    return Part("composition", "What it learned from", "A row is a lead as known on a day.", tuple(rows), table)


def _own_models(bundle: Bundle) -> Iterator[str]:
    for name in bundle.manifest.files:
        if name.startswith("segment_") and name.endswith(".txt"):
            yield name.removeprefix("segment_").removesuffix(".txt")


def _fields(bundle: Bundle, evaluation: Evaluation | None) -> Part:
    weight = {driver.feature: driver.weight for driver in evaluation.drivers} if evaluation is not None else {}
    ordered = sorted(bundle.spec.features, key=lambda f: -weight.get(f.name, 0.0))
    rows = tuple(_field(feature, weight) for feature in ordered)
    columns = ("input", "what it is", "comes from", "how it is cleaned", "where it is missing")
    lead_in = f"{len(rows)} inputs; none is age, sex, health or what somebody prescribes."
    return Part("fields", "Inputs", lead_in, table=Table((*columns, "weight") if weight else columns, rows))


def _field(feature: Feature, weight: Mapping[str, float]) -> tuple[str, ...]:
    table, cleaned, missing = _FROM[feature.source]
    place = f"{table}.{feature.field}" if table in ("leads", "accounts") else table
    row = (feature.name, feature.says, place, cleaned, missing)
    return (*row, f"{weight.get(feature.name, 0.0):.3f}") if weight else row


def _sources(settings: Settings, bundle: Bundle) -> Part:
    purpose = settings.data_use.model_purpose
    places = dict.fromkeys(_FROM[f.source][0].partition(" ")[0] + f".{f.field}" for f in bundle.spec.features)
    found = {kind.id: kind for place in places for kind in kinds_of(settings, place)}
    kinds = [kind for kind in found.values() if purpose in kind.purposes]
    rows = [(kind.id.replace("_", " "), f"{kind.says}. {kind.basis}") for kind in kinds]
    rows += use_rules(settings, tuple(kinds))
    rows.append(
        ("data", f"SHA-256 {bundle.manifest.training_data[:16]}" if bundle.manifest.training_data else "not said")
    )
    return Part("sources", "Where the data come from", f"Only what may be used for {purpose}.", tuple(rows))


def _cleaning(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    hygiene, leakage, history = (training.get(name) or {} for name in ("hygiene", "leakage", "history"))
    if "passed" in hygiene:
        failed = hygiene.get("failed") or []
        yield "hygiene", "every minimum was met" if hygiene["passed"] else f"below the minimum: {len(failed)} gates"
    looked, found = leakage.get("looked") or [], leakage.get("found") or []
    yield "leaks", f"{len(looked)} detectors looked, {len(found)} findings"
    yield "time", "a row knows what was recorded by its day; its outcome is what came after, within the horizon"
    yield "rights", "who may not be learned from now is not, whatever was allowed on the day of the row"
    for text in history.get("warnings") or ():
        yield "history", str(text)
    if history.get("recorded_late") not in (None, {}, []):
        yield "late records", "outcomes recorded late were estimated, and waited for where declared"


def _updates(settings: Settings, bundle: Bundle) -> Iterator[tuple[str, str]]:
    yield "an approval waits", f"at most {settings.registry.approval_days} days for a promotion"
    yield "watched", "leadwell monitor: inputs, scores and, once outcomes are known, whether predictions came true"
    yield "recalibrated", "leadwell recalibrate, when an alert says that predictions are off"
    words = (bundle.manifest.training.get("drift") or {}).get("words")
    if words:
        yield "at training", str(words)


def _approvals(bundle: Bundle, approvals: Sequence[CardApproval]) -> Part:
    rows = tuple((a.by, a.on, a.until, a.note, a.objection or "counts") for a in approvals)
    table = Table(("by", "on", "until", "note", "state"), rows)
    overrides = bundle.manifest.training.get("overrides") or ()
    said = [("override", str(text)) for text in overrides]
    if not approvals:
        said.append(("none", "the registry holds no approval of this bundle"))
    return Part("approvals", "Approvals", "A second person's yes, from the registry.", tuple(said), table)


def _limits(bundle: Bundle, evaluation: Evaluation | None) -> Iterator[tuple[str, str]]:
    if evaluation is None:
        yield "not judged", "no evaluation lies beside this bundle; leadwell train writes one"
        yield "engagement", "engagement is interest in education, and no sign of what somebody prescribes or buys"
        return
    yield from (("", text) for text in limits_of(evaluation))
    yield from (("against it", text) for text in evaluation.verdict.against)
