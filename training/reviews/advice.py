"""From evidence to words: the signs that a segment has changed, and what a person may want to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configs.definitions import SegmentDefinition
from configs.governance import ReviewRules
from training.reviews.evidence import Change, SegmentReview, Split, Suggestion
from training.reviews.feedback import POINTS_AT, Feedback, ReasonGiven


def signs_of(found: SegmentReview, rules: ReviewRules) -> Iterator[str]:
    """What in the data speaks for looking at the segment, one line each."""
    d, now, total = found.definition, found.members, found.leads
    if now == 0 and not d.residual:
        yield "nobody is in it"
    elif now < d.size.min_leads:
        yield f"{now:,} members, at least {d.size.min_leads:,} are asked"
    if total and now > d.size.max_share * total:
        yield f"{now / total:.0%} of all leads, at most {d.size.max_share:.0%} stay specific"
    size, like = found.size, found.like_for_like
    if like is not None and like.drifted:
        yield f"where every field it asks for is known, its share {_moved(like)} in {rules.back_days} days"
    elif d.residual and size is not None and size.drifted and not _good(found):
        yield f"its share of all leads {_moved(size)} in {rules.back_days} days"
    if found.conversion is not None and found.conversion.drifted:
        yield f"its conversion {_moved(found.conversion)} from one cohort to the next"
    reading = found.reading
    if reading.match is not None and reading.match < rules.min_match:
        named = ", ".join(f"{words(topic)} {share:.0%}" for topic, share in reading.missing)
        more = f"; read most, and nothing offered is about it: {named}" if named else ""
        yield f"{reading.offered:.0%} of what members read is about what it offers{more}"
    sent = [(asset, times) for asset, times in reading.untouched if times]
    if sent:
        named = ", ".join(f"{asset} ({times:,} {'time' if times == 1 else 'times'})" for asset, times in sent)
        yield f"sent to members and touched by nobody: {named}"
    # Of a handful of members one lead more or less is a large share.
    for overlap in found.overlaps if now >= rules.min_leads else ():
        if overlap.jaccard - overlap.before >= rules.overlap_growth:
            yield f"overlap with {overlap.other} grew from {overlap.before:.0%} to {overlap.jaccard:.0%}"
    for split in found.splits:
        yield split_in_words(split)
    if found.feedback is not None and found.feedback.fell:
        yield accepted_in_words(found.feedback, rules.back_days)


def notes_of(found: SegmentReview, rules: ReviewRules) -> Iterator[str]:
    """What explains a number, and speaks for nothing by itself."""
    size, like = found.size, found.like_for_like
    if size is not None and size.drifted and like is not None and not like.drifted:
        yield (
            f"its share of all leads {_moved(size)} in {rules.back_days} days because of what is known of them: where "
            f"every field it asks for is known, it went from {like.before.rate:.1%} to {like.now.rate:.1%}"
        )
    elif size is not None and size.drifted and (like is not None or _good(found)):
        yield f"its share of all leads {_moved(size)} in {rules.back_days} days"
    elif size is not None and size.drifted and not found.definition.residual:
        why = "the fields it asks for were known of too few leads then to tell why"
        yield f"its share of all leads {_moved(size)} in {rules.back_days} days; {why}"
    if found.feedback is not None and not found.feedback.fell:
        yield accepted_in_words(found.feedback, rules.back_days)
    if found.feedback is not None and found.feedback.comments:
        yield f"{found.feedback.comments:,} comments of sales or the field are kept with the outcomes"
    never = [asset for asset, times in found.reading.untouched if not times]
    if never:
        yield f"offered, and neither sent to members nor found by them: {', '.join(never)}"


def suggestions_of(
    found: SegmentReview, rules: ReviewRules, definitions: Sequence[SegmentDefinition]
) -> Iterator[Suggestion]:
    """Split, merge, retire, or keep; every suggestion with its reason."""
    d, now, total = found.definition, found.members, found.leads
    if d.residual:
        yield Suggestion("keep", "every lead needs a segment; where it grows, ask leadwell segments propose")
        return
    if now == 0:
        yield Suggestion("retire", "nobody is in it, so nothing can be learned from it")
        return
    given = list(_merges(found, rules, definitions))
    given += [Suggestion("split", f"by {words(split.fact)}: {split_in_words(split)}") for split in found.splits]
    given += [Suggestion("adjust", _reason_in_words(reason)) for reason in _speaking(found)]
    if total and now > d.size.max_share * total and not found.splits:
        says = "it is too large, and no single fact tells its members apart: ask for proposals"
        given.append(Suggestion("split", says))
    yield from given or [Suggestion("keep", "nothing in the data speaks for another cut")]


def split_in_words(split: Split) -> str:
    """One sentence about two groups inside a segment."""
    does = "converted" if split.about == "conversion" else f"read most about {words(split.about)}"
    return (
        f"of members with {words(split.fact)} {words(split.value)}, {split.inside.rate:.1%} {does} "
        f"({split.inside.hits:,} of {split.inside.of:,}), of the others {split.others.rate:.1%} "
        f"({split.others.hits:,} of {split.others.of:,})"
    )


def accepted_in_words(feedback: Feedback, days: int) -> str:
    """One sentence about how many leads sales took, now and before."""
    now, before = feedback.accepted, feedback.before
    says = f"sales answered {now.of:,} times in {days} days and took {now.rate:.0%}"
    if before.of:
        low, high = (f"{100 * bound:+.0f}" for bound in (feedback.low, feedback.high))
        change = f" (difference {low} to {high} points)" if low != high else ""
        says += f", in the {days} days before {before.rate:.0%} of {before.of:,}{change}"
    return says


def _speaking(found: SegmentReview) -> list[ReasonGiven]:
    return [] if found.feedback is None else [reason for reason in found.feedback.reasons if reason.speaks]


def _reason_in_words(reason: ReasonGiven) -> str:
    elsewhere = f", of all other rejections {reason.others.rate:.0%}" if reason.others.of else ""
    return (
        f"{reason.inside.hits:,} of {reason.inside.of:,} rejections by sales ({reason.inside.rate:.0%}) say "
        f"{words(reason.id)}: {reason.says}{elsewhere}; {POINTS_AT[reason.points_at]}"
    )


def words(name: str) -> str:
    """A name as people say it."""
    return name.replace("_", " ")


def _merges(found: SegmentReview, rules: ReviewRules, definitions: Sequence[SegmentDefinition]) -> Iterator[Suggestion]:
    judged = found.overlaps if found.members >= rules.min_leads else ()
    twin = next((o for o in judged if o.jaccard >= rules.overlap or o.inside >= rules.inside), None)
    if twin is not None:
        yield Suggestion("merge", f"{twin.inside:.0%} of its members are in {twin.other} too", twin.other)
    elif found.members < found.definition.size.min_leads:
        other = _nearest(found, definitions)
        says = f"{found.members:,} members are too few to learn or report anything"
        yield Suggestion("merge", f"{says}; {other} is nearest" if other else says, other)


def _nearest(found: SegmentReview, definitions: Sequence[SegmentDefinition]) -> str | None:
    """Who could take over a tiny segment: who shares most members, else most of the plan with the same purpose."""
    if found.overlaps:
        return found.overlaps[0].other
    own = found.definition
    near = [
        (len(_offers(own) & _offers(d)) + (d.product == own.product and own.product is not None), d.id)
        for d in definitions
        if d.id != own.id and not d.residual and (d.purpose, d.unit) == (own.purpose, own.unit)
    ]
    shared, other = max(near, default=(0, ""))
    return other if shared else None


def _good(found: SegmentReview) -> bool:
    """The residual segment is only a worry where it grows."""
    return found.definition.residual and found.size is not None and found.size.ratio < 1


def _offers(d: SegmentDefinition) -> set[str]:
    return {asset for ids in d.offers.values() for asset in ids}


def _moved(change: Change) -> str:
    word = "rose" if change.now.rate > change.before.rate else "fell"
    low, high = (f"{100 * bound:+.1f}" for bound in (change.low, change.high))
    return f"{word} from {change.before.rate:.1%} to {change.now.rate:.1%} (difference {low} to {high} points)"
