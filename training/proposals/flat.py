"""Material from a flat export: its declared attributes become facts of their own, for proposing alone.

A segment map knows the fact dictionary and no custom column, so nothing proposed from attributes can be used in it
until the columns are declared as facts; the report says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.cards import FactDeclaration
from configs.errors import InputInvalid
from configs.mapping import AttributeColumn, SourceMapping
from configs.settings import Settings
from configs.vocabulary import normalize
from features.evaluate import Domain
from features.facts import FactBuilder, facts_of
from features.intake.sources import Intake
from features.inventory import Inventory
from features.tables import YES, Known
from features.view import view_at
from models.candidates.clustering import MixedColumns
from training.proposals.material import Bools, Material, eligible, per_lead
from training.proposals.proposal import FieldLeftOut
from training.proposals.reach import reachable
from training.proposals.telling import Described, percent

# Fewer rows than this share of all with one value are nobody's segment, and rarer values only lengthen a sentence.
RARE = 0.005
RARE_FLAG = 0.1
MOST_VALUES = 60
MOST_NUMBER = 36_500_000
BINS = 5
_NAME = re.compile(r"[^a-z0-9]+")
_RESERVED = ("and", "or", "not", "in", "is", "unknown")


@dataclass(frozen=True, slots=True)
class AttributeFact:
    """One attribute as a fact: its declaration, its codes for conditions, and its values for clustering.

    `numbers` is None for a category. `why` says why it is left out altogether, `rare` why it is left out of clustering;
    both are empty where it is used.
    """

    name: str
    declaration: FactDeclaration
    codes: NDArray[Any]
    numbers: NDArray[np.float64] | None
    why: str = ""
    rare: str = ""


def flat_material(intake: Intake, settings: Settings, mapping: SourceMapping) -> Material:
    """What may be used of a flat export; where it has an outcome, its mapping answers for what was known before it.

    Raises:
        InputInvalid: no declared attribute tells anything.
    """
    tables, as_of = intake.tables, mapping.as_of.astimezone(UTC)
    builder = FactBuilder.of(settings)
    known = view_at(tables, as_of, builder.view)
    assets = (mapping.asset,) if mapping.asset else settings.assets
    facts = facts_of(known, builder, Inventory.of_settings(settings, assets))
    kept, left_out = eligible(known.present, facts, Domain.of(settings))
    found = attribute_facts(known, mapping, kept, settings.quality.segments.min_known)
    used = [fact for fact in found if not fact.why]
    unreadable = [FieldLeftOut(fact.name, "either", fact.why) for fact in found if fact.why]
    left = [FieldLeftOut(column, "either", why) for column, why in (mapping.ignored | mapping.after_outcome).items()]
    together = [fact for fact in used if not fact.rare]
    if not together:
        raise InputInvalid(mapping.name, "expected an attribute that is known for most leads and not always the same")
    unreadable += [FieldLeftOut(fact.name, "clustering", fact.rare) for fact in used if fact.rare]
    numbers = [fact for fact in together if fact.numbers is not None]
    categories = [fact for fact in together if fact.numbers is None]
    n = int(kept.sum())
    mixed = MixedColumns(
        tuple(fact.name for fact in numbers),
        np.array([fact.numbers[kept] for fact in numbers if fact.numbers is not None]).reshape(-1, n).T,
        tuple(fact.name for fact in categories),
        np.array([fact.codes[kept] for fact in categories], dtype=np.int16).reshape(-1, n).T,
        # Nobody has said what matters here: every column counts alike.
        numbers_share=min(max(len(numbers) / len(together), 0.05), 0.95),
    )
    columns = {fact.name: fact.codes for fact in used}
    outcome = np.zeros(len(kept), dtype=np.uint8) if intake.outcome is None else np.asarray(intake.outcome)
    notes = [
        "These groups stand on columns of an export, which are no facts that segments may use. Before a draft can be "
        "used in the segment map, its columns must be declared as facts and be filled by the regular import."
    ]
    if not mapping.records:
        notes.append("The export says nothing about consent, so nobody counts as contactable.")
    if not (outcome > 0).any():
        notes.append("The export has no outcome, so nothing can be said about conversion.")
    elif mapping.outcome:
        notes.append(
            f"Conversion is the export's own outcome, {mapping.outcome}; that the other columns were known before it "
            "is what the mapping claims."
        )
    return Material(
        as_of=as_of,
        horizon_days=0,
        lead_ids=known.lead_ids,
        kept=kept,
        left_out=left_out,
        clustered=mixed,
        described=tuple(
            Described(
                fact.name,
                _group(fact.name, mapping),
                _says(fact),
                fact.codes[kept] if fact.numbers is None else fact.numbers[kept],
                fact.declaration.values if fact.numbers is None else (),
                "amount",
            )
            for fact in used
        ),
        conditioned=columns,
        domain=Domain({fact.name: fact.declaration for fact in used}, {}),
        before=columns,
        kept_before=kept & (outcome > 0),
        converted=np.asarray(outcome == YES),
        standing=(),
        audience=per_lead(facts, "audience"),
        audiences=settings.facts["audience"].values,
        fields_left_out=(*unreadable, *left),
        reach=reachable(facts, assets, settings, as_of),
        in_map=False,
        notes=tuple(notes),
    )


def attribute_facts(known: Known, mapping: SourceMapping, kept: Bools, min_known: float) -> list[AttributeFact]:
    """Every declared attribute as a fact, in the order of the mapping."""
    taken: set[str] = set()
    found = []
    for attribute in mapping.attributes:
        column = known.attributes.get(attribute.column)
        name = fact_name(attribute.column, taken)
        taken.add(name)
        if column is None:
            column = np.full(len(kept), np.nan)
        found.append(_fact(name, attribute, column, kept, min_known))
    return found


def fact_name(column: str, taken: set[str]) -> str:
    """A column's name as a condition may write it, unlike every other."""
    base = _NAME.sub("_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()).strip("_")[:48] or "column"
    base = f"x_{base}" if not base[0].isalpha() or base in _RESERVED else base
    return next(name for name in (base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))) if name not in taken)


def _fact(name: str, attribute: AttributeColumn, column: NDArray[Any], kept: Bools, min_known: float) -> AttributeFact:
    says = attribute.says or attribute.column
    if attribute.type == "category" or column.dtype == object:
        codes, values = _levels(column, kept)
        declared = FactDeclaration(type="enum", says=_long(says), source="attribute", values=values)
        return AttributeFact(name, declared, codes, None, _useless(codes[kept] > 0, codes[kept], min_known))
    numbers = np.asarray(column, dtype=np.float64)
    own = numbers[kept & np.isfinite(numbers)]
    why = _useless(np.isfinite(numbers[kept]), numbers[kept], min_known)
    if attribute.type == "yesno" or set(np.unique(own)) <= {0.0, 1.0}:
        codes = np.where(np.isfinite(numbers), np.where(numbers > 0, 2, 1), 0).astype(np.uint8)
        declared = FactDeclaration(type="enum", says=_long(says), source="attribute", values=("no", "yes"))
        return AttributeFact(name, declared, codes, None, why, _rare(own > 0))
    if len(own) and (own.min() < 0 or own.max() > MOST_NUMBER or own.max() - own.min() < BINS):
        codes, values = _bins(numbers, own)
        declared = FactDeclaration(type="enum", says=_long(says), source="attribute", values=values)
        return AttributeFact(name, declared, codes, numbers, why)
    whole = np.where(np.isfinite(numbers), np.clip(np.rint(np.nan_to_num(numbers)), 0, MOST_NUMBER), -1)
    declared = FactDeclaration(type="int", says=_long(says), source="attribute", max=MOST_NUMBER)
    return AttributeFact(name, declared, whole.astype(np.int32), numbers, why)


def _levels(column: NDArray[Any], kept: Bools) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Codes of the frequent values, spelled so that a condition can quote them; a rare one counts as not known."""
    spelled = [None if value is None or value != value else normalize(str(value)) or None for value in column.tolist()]
    texts = np.array([text[:60].replace("'", "") if text else "" for text in spelled], dtype=object)
    counts: dict[str, int] = {}
    for text in texts[kept].tolist():
        if text:
            counts[text] = counts.get(text, 0) + 1
    least = RARE * max(int(kept.sum()), 1)
    frequent = sorted((t for t, rows in counts.items() if rows >= least), key=lambda t: (-counts[t], t))[:MOST_VALUES]
    values = tuple(sorted(frequent))
    code = {text: place for place, text in enumerate(values, start=1)}
    return np.array([code.get(text, 0) for text in texts.tolist()], dtype=np.uint8), values


def _bins(numbers: NDArray[np.float64], own: NDArray[np.float64]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Numbers that are no whole counts, as ranges between quantiles."""
    cuts = np.unique(np.quantile(own, np.linspace(0, 1, BINS + 1)[1:-1]))
    cuts = cuts[cuts < own.max()]
    edges = [f"{cut:.3g}" for cut in cuts]
    values = tuple(
        f"up to {high}" if not low else f"above {low}" if not high else f"{low} to {high}"
        for low, high in zip(["", *edges], [*edges, ""], strict=True)
    )
    codes = np.where(np.isfinite(numbers), np.searchsorted(cuts, np.nan_to_num(numbers), side="left") + 1, 0)
    return codes.astype(np.uint8), values if len(set(values)) == len(values) else tuple(
        f"part {place}" for place in range(1, len(values) + 1)
    )


def _useless(has: Bools, column: NDArray[Any], min_known: float) -> str:
    """Why nothing can stand on a column, empty where something can."""
    share = float(has.mean()) if len(has) else 0.0
    if share < min_known:
        return f"known for {percent(share)} of the leads, {percent(min_known)} is asked"
    present = np.unique(column[has])
    return "the same value for every lead" if len(present) < 2 else ""


def _rare(yes: Bools) -> str:
    """Why a yes or no tells a few people from all others, and not groups from each other; empty where it tells both."""
    share = float(yes.mean()) if len(yes) else 0.0
    if RARE_FLAG <= share <= 1 - RARE_FLAG:
        return ""
    return f"{'yes' if share < RARE_FLAG else 'no'} for fewer than {percent(RARE_FLAG)} of the leads"


def _long(says: str) -> str:
    return says if len(says) >= 3 else f"column {says}"


def _says(fact: AttributeFact) -> str:
    return fact.declaration.says[0].upper() + fact.declaration.says[1:]


def _group(name: str, mapping: SourceMapping) -> str:
    """Columns that share their first word tell of one thing: `mnt_wines`, `mnt_fruits`."""
    heads = [fact_name(attribute.column, set()).split("_")[0] for attribute in mapping.attributes]
    head = name.split("_")[0]
    return head if heads.count(head) > 1 else name
