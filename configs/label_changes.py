"""What changed outside that content rests on: a label, a guideline, the competition; and which content was looked at.

Content that was approved before such a change and is touched by it is not offered from that day on, until somebody has
looked at it again. Who cannot be told apart is touched: content that lists no claims may rest on any reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from configs.content import Asset
from configs.errors import Problem
from configs.section import Section

FILE, RECHECKS = "policy/label_changes.yaml", "policy/rechecks.yaml"
ChangeKind = Literal["label", "guideline", "competition", "safety"]


class Recheck(Section):
    """A named person looked at one asset because of a change, and it may be used on; from that day it counts."""

    change: str
    asset: str
    by: str = Field(min_length=2)
    on: date
    reference: str = Field(min_length=2)


class LabelChange(Section):
    """One change: whose content it concerns, since when, and the assets that were looked at because of it.

    Concerned is content about the product, about one of the indications, for one of the markets, that cites one of the
    references; what is left out limits nothing, and at least one of product, indications and references is given.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    what: ChangeKind
    product: str | None = None
    indications: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    changed_on: date
    says: str = Field(min_length=3)
    source: str = Field(min_length=2)
    owner: str = Field(min_length=2)
    # Filled from the file of rechecks.
    rechecks: tuple[Recheck, ...] = ()

    @model_validator(mode="after")
    def _about_something(self) -> Self:
        if self.product is None and not self.indications and not self.references:
            raise ValueError("expected product, indications or references: else it would be about everything")
        return self

    def touches(self, asset: Asset) -> tuple[str, ...]:
        """Why an asset is touched, one reason each; empty where it surely is not."""
        why = []
        if self.product is not None:
            if asset.product != self.product:
                return ()
            why.append(f"is about {self.product}")
        if self.indications:
            named = sorted(asset.indications & set(self.indications))
            if asset.indications and not named:
                return ()
            why.append(f"is about {', '.join(named)}" if named else "names no indication, so it may be about these")
        if self.markets:
            shared = [market for market in asset.markets if market in self.markets]
            if not shared:
                return ()
            why.append(f"is for {', '.join(shared)}")
        if self.references:
            if asset.claims is None:
                return (*why, "lists no claims, so it may rest on any reference")
            cited = [claim.text_id for claim in asset.claims if set(claim.references) & set(self.references)]
            if not cited:
                return ()
            why.append(f"cites it in {', '.join(cited)}")
        return tuple(why)

    def rechecked(self, asset_id: str, on: date) -> Recheck | None:
        """The last look at an asset because of this change, as of a day."""
        found = [one for one in self.rechecks if one.asset == asset_id and one.on <= on]
        return max(found, key=lambda one: one.on, default=None)

    def awaits(self, asset: Asset, on: date) -> bool:
        """Whether an asset waits for somebody to look at it on a day because of this change.

        INVARIANT: content approved on the day of the change or before it is not offered on or after that day before
        somebody has looked at it. Content without an approval is never offered, so nothing waits for it.
        """
        if on < self.changed_on or asset.approval is None or asset.approval.on > self.changed_on:
            return False
        return bool(self.touches(asset)) and self.rechecked(asset.asset_id, on) is None


def with_rechecks(changes: Sequence[LabelChange], rechecks: Sequence[Recheck]) -> tuple[LabelChange, ...]:
    """The changes, each with the looks that were written down for it."""
    return tuple(
        change.model_copy(update={"rechecks": tuple(one for one in rechecks if one.change == change.id)})
        for change in changes
    )


def awaiting(changes: Sequence[LabelChange], asset: Asset, on: date) -> tuple[LabelChange, ...]:
    """The changes because of which an asset waits for a look on a day; none where it may be used."""
    return tuple(change for change in changes if change.awaits(asset, on))


def label_change_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the register: an id used twice, words of no vocabulary, a look at an asset nobody has."""
    words = {name: found["vocabularies"][name].values for name in ("product", "jurisdiction", "condition_focus")}
    assets = {asset.asset_id for asset in found["assets"]}
    seen: set[str] = set()
    for change in found["label_changes"]:
        if change.id in seen:
            yield Problem(FILE, f"label_changes.{change.id}", "id already used")
        seen.add(change.id)
        for key, given, vocabulary in (
            ("product", (change.product,) if change.product else (), "product"),
            ("indications", change.indications, "condition_focus"),
            ("markets", change.markets, "jurisdiction"),
        ):
            for value in given:
                if value not in words[vocabulary]:
                    expected = f"expected a value of {vocabulary}, found {value!r}"
                    yield Problem(FILE, f"label_changes.{change.id}.{key}", expected)
        if change.rechecks:
            yield Problem(FILE, f"label_changes.{change.id}.rechecks", f"expected none: they stand in {RECHECKS}")
    for place, recheck in enumerate(found["rechecks"]):
        for key, given, known, where in (
            ("change", recheck.change, seen, FILE),
            ("asset", recheck.asset, assets, "assets.yaml"),
        ):
            if given not in known:
                yield Problem(RECHECKS, f"rechecks.{place}.{key}", f"expected an id of {where}, found {given!r}")
