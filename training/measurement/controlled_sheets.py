"""A controlled test as tables: its plan, and, once it has leads, its arms, differences and whether to believe them."""

from __future__ import annotations

from configs.controlled_tests import ControlledTest
from training.measurement.controlled import SPLIT_LEVEL, ArmResult, Compared, Size, compare, sample_size, split_p
from training.measurement.controlled_reading import Followed
from training.measurement.sheet import Around, Column, Rated, Sheet, Value

_SENT = (Column("delivered", "got what the arm sends", "rate"), Column("crossed", "got another arm's", "rate"))
_INTEREST = "Engagement is interest, not prescribing."


def plan_sheet(test: ControlledTest, members: int | None, as_of: str) -> Sheet:
    """What a test needs; `members` are leads in its segment now, None where nobody counted them."""
    size, accounts = sample_size(test), test.unit == "account"
    rows: list[tuple[Value, ...]] = [
        (
            arm.name + (" (control)" if place == 0 else ""),
            arm.says,
            arm.share,
            size.leads[place],
            *((size.units[place],) if accounts else ()),
        )
        for place, arm in enumerate(test.arms)
    ]
    return Sheet(
        id="test_plan",
        title=f"{test.id}: what it needs",
        says=test.says,
        window=f"declared for {test.starts_on} to {test.ends_on}; as known on {as_of}",
        columns=(
            Column("arm", "arm"),
            Column("says", "what it is"),
            Column("share", "share", "rate"),
            Column("leads", "leads needed", "count"),
            *((Column("units", "accounts needed", "count"),) if accounts else ()),
        ),
        rows=tuple(rows),
        notes=tuple(_plan_notes(test, size, members)),
        total=("all arms", "", 1.0, size.total_leads, *((sum(size.units),) if accounts else ())),
    )


def _plan_notes(test: ControlledTest, size: Size, members: int | None) -> list[str]:
    kinds = ", ".join(test.metric.outcomes or test.metric.events)
    notes = [
        f"Goal: {test.goal}. Varies the {test.varies.replace('_', ' ')} alone, in the segment {test.segment}. "
        f"Owner: {test.owner}.",
        f"Success of a lead: {kinds} within {test.metric.within_days} days of its assignment.",
        f"To find {100 * test.smallest_effect:+.1f} points on {test.baseline:.1%} with a power of {test.power:.0%} at "
        f"{test.level:.0%} on two sides, {size.level:.2%} a comparison.",
    ]
    if test.metric.events:
        notes.append(_INTEREST)
    if size.inflation > 1:
        notes.append(
            f"Accounts draw, so leads are worth less: {size.inflation:.2f} times as many are needed "
            f"({test.leads_per_account:g} leads an account, likeness {test.likeness:g})."
        )
    if size.factor > 1:
        notes.append(
            f"Read at any time: at the worst {size.factor:.2f} times as many leads as a test that is read once; a "
            "clear difference ends it sooner."
        )
    else:
        notes.append(
            f"Read once, when its leads are followed to the end: {test.metric.within_days} days after the last one is "
            "assigned. A look before says nothing of differences."
        )
    if members is not None:
        enough = "enough" if members >= size.total_leads else f"{size.total_leads - members:,} short"
        notes.append(f"{members:,} leads are in the segment now: {enough} for {size.total_leads:,}.")
    return notes


def result_sheets(test: ControlledTest, found: Followed, *, ended: bool, window: str) -> list[Sheet]:
    """What the arms say; `ended`: a fixed test takes nobody in any more."""
    size = sample_size(test)
    full = all(int((found.arm == n).sum()) >= needed for n, needed in enumerate(size.leads))
    due = found.counts["still followed"] == 0 and (full or ended)
    p = split_p(found.units, test)
    believed = p >= SPLIT_LEVEL and found.redrawn == 0
    cluster = found.cluster if test.unit == "account" else None
    arms, differences = compare(found.hits, found.arm, cluster, test, believed=believed, due=due)
    told = test.analysis == "sequential" or due
    return [
        _arms(test, arms, size, found, window, told=told),
        *([_differences(test, differences, window)] if told else []),
        _checks(test, found, p, window, due=due, full=full),
    ]


def _arms(
    test: ControlledTest, arms: list[ArmResult], size: Size, found: Followed, window: str, *, told: bool
) -> Sheet:
    rows: list[tuple[Value, ...]] = []
    sends = None if found.delivered is None or found.crossed is None else (found.delivered, found.crossed)
    accounts = test.unit == "account"
    for place, one in enumerate(arms):
        sent = () if sends is None else (Rated(sends[0][place], one.leads), Rated(sends[1][place], one.leads))
        rate = Rated(one.hits, one.leads) if told else None
        needed = size.leads[place]
        units = (found.units[place], one.units) if accounts else (found.units[place],)
        rows.append((one.arm, *units, one.leads, needed, rate, *sent))
    notes = ["Everybody assigned to an arm counts in it, whatever it was sent (intention to treat)."]
    if not told:
        notes.append("Rates are not shown before the one reading: who looks early stops when chance looks good.")
    if test.metric.events:
        notes.append(_INTEREST)
    return Sheet(
        id="test_arms",
        title=f"{test.id}: its arms",
        says=test.says,
        window=window,
        columns=(
            Column("arm", "arm"),
            Column("assigned_units", f"{test.unit}s assigned", "count"),
            *((Column("units", "accounts followed", "count"),) if accounts else ()),
            Column("leads", "leads followed", "count"),
            Column("needed", "leads needed", "count"),
            Column("rate", "success", "rate"),
            *(() if sends is None else _SENT),
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _differences(test: ControlledTest, differences: list[Compared], window: str) -> Sheet:
    rows: list[tuple[Value, ...]] = [
        (
            one.arm,
            None if one.difference != one.difference else Around(one.difference, one.low, one.high),
            None if one.detectable != one.detectable else one.detectable,
            one.verdict,
        )
        for one in differences
    ]
    how = "at any time (normal mixture)" if test.analysis == "sequential" else (
        "once (Newcombe)" if test.unit == "lead" else "once (Welch over accounts)"
    )  # fmt: skip
    several = f", each at {differences[0].level:.2%} so that {test.level:.0%} holds for all" if len(rows) > 1 else ""
    return Sheet(
        id="test_differences",
        title=f"{test.id}: difference to {test.arms[0].name}",
        says=f"{1 - test.level:.0%} intervals, valid when read {how}{several}.",
        window=window,
        columns=(
            Column("arm", "arm"),
            Column("difference", "difference of success", "points"),
            Column("detectable", "would have been found", "points"),
            Column("verdict", "says"),
        ),
        rows=tuple(rows),
        notes=(
            f"The smallest difference worth acting on was declared as {100 * test.smallest_effect:+.1f} points.",
            "Not told apart does not mean equal: the interval says how large a difference is still possible.",
        ),
    )


def _checks(test: ControlledTest, found: Followed, p: float, window: str, *, due: bool, full: bool) -> Sheet:
    split = ", ".join(f"{arm.name} {n:,}" for arm, n in zip(test.arms, found.units, strict=True))
    rows: list[tuple[Value, ...]] = [
        (
            "the split is as drawn",
            "yes" if p >= SPLIT_LEVEL else "no",
            f"{split}; a split so uneven has a chance of {p:.2g}" + ("" if p >= SPLIT_LEVEL else ": find out what "
            "divides the units before any difference is believed"),
        ),
        (
            "every lead is in the arm its hash draws",
            "yes" if found.redrawn == 0 else "no",
            "" if found.redrawn == 0 else f"{found.redrawn:,} of {found.assigned:,} are not",
        ),
    ]  # fmt: skip
    if test.analysis == "fixed":
        running = found.counts["still followed"]
        rows += [
            ("every arm has the leads it needs", "yes" if full else "no", ""),
            ("may be read", "yes" if due else "no", f"{running:,} leads are still followed" if running else ""),
        ]
    notes = [
        f"{found.assigned:,} leads assigned: " + ", ".join(f"{n:,} {what}" for what, n in found.counts.items() if n)
    ]
    return Sheet(
        id="test_checks",
        title=f"{test.id}: whether to believe it",
        says="What makes a difference believable, checked before it is read.",
        window=window,
        columns=(Column("check", "check"), Column("holds", "holds"), Column("why", "what was found")),
        rows=tuple(rows),
        notes=tuple(notes),
    )
