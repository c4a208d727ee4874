"""From a reason that sales gives to a concrete change: which file and key, what stands there, what to write instead.

Each looks at the leads that were turned down for that reason beside those that sales took, and names what tells them
apart, where it surely does after every question that was asked. A person decides; nothing is changed here, and a change
that nothing in the data points at is left to be written by hand and says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from configs.conditions import parse
from configs.definitions import SegmentDefinition
from configs.errors import ConditionInvalid
from configs.feedback import Target
from configs.settings import Settings
from features.evaluate import Domain, as_columns
from models.shares import Share, newcombe, z_for
from training.reviews.feedback import Feedback, ReasonGiven
from training.reviews.telling import MIN_GROUP, Answered, Telling, telling

BANDS = ("cold", "warming", "warm", "hot")
# Topics with a smaller part of the reading are not worth a theme.
NAMED_TOPIC = 0.1
_WORK_DAYS = 5 / 7


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change for a person to decide on: in `file` under `key`, from `now` to `to`, and the evidence, one line each.

    An empty `to` says that somebody has to write it; `says` tells what.
    """

    reason: str
    points_at: Target
    file: str
    key: str
    now: str
    to: str
    says: str
    evidence: tuple[str, ...]


def amendments_of(
    d: SegmentDefinition, feedback: Feedback | None, settings: Settings, seen: Answered
) -> tuple[Amendment, ...]:
    """What to change because of each reason that speaks, in the order in which reasons are given."""
    found: list[Amendment] = []
    for reason in feedback.reasons if feedback is not None else ():
        if reason.speaks:
            build = _BUILDERS[reason.points_at]
            found += build(reason, d, settings, seen)
    return tuple(found)


# --- one builder for each thing a reason can point at -----------------------------------------------------------------


def _content(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """Themes and offers that miss what those read who were turned down; else the goal is to be written anew."""
    topics = settings.vocabularies["topic"].values
    assets = {asset.asset_id: asset for asset in settings.assets}
    offered = {assets[name].topic for names in d.offers.values() for name in names if name in assets}
    about = seen.read[seen.turned[reason.id], 1:]
    total = float(about.sum())
    share = about.sum(axis=0) / total if total else np.zeros(len(topics))
    most = [(topics[t], float(share[t])) for t in np.argsort(-share, kind="stable").tolist() if share[t] >= NAMED_TOPIC]
    missing = [(topic, part) for topic, part in most if topic not in offered]
    file = settings.files.get(("segments", d.id), "segments")
    readers = f"those turned down read most about {', '.join(f'{_words(t)} ({p:.0%})' for t, p in most[:3])}"
    evidence = (_given(reason), *((readers,) if most else ()))
    new = [_words(topic) for topic, _ in missing[:2] if not _themed(topic, d.themes)]
    if new:
        yield Amendment(
            reason.id, "content", file, f"{d.id}.themes", _listed(d.themes), _listed((*d.themes, *new)),
            "add what they read and no theme names", evidence,
        )  # fmt: skip
    for topic, part in missing[:2]:
        for stage, name in list(_usable(d, settings, topic, seen.on))[:1]:
            had = d.offers.get(stage, ())
            says = f"offer what is approved about {_words(topic)}, {part:.0%} of their reading"
            key = f"{d.id}.offers.{stage}"
            yield Amendment(reason.id, "content", file, key, _listed(had), _listed((*had, name)), says, evidence)
    told = telling(seen, reason.id, ("role",), {"role": settings.facts["role"].values})
    for one in told[:1]:
        evidence = (*evidence, one.words)
        if one.value not in d.proof_points:
            key = f"{d.id}.proof_points.{one.value}"
            says = f"say what is in it for a {_words(one.value)}"
            yield Amendment(reason.id, "content", file, key, "", "", says, evidence)
    yield Amendment(
        reason.id, "content", file, f"{d.id}.message_goal", d.message_goal.strip(), "",
        "write the goal as the conversation went, and a new version of the hypothesis", evidence,
    )  # fmt: skip


def _roles(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """Roles of the entry condition that sales turns down, and titles that may be read wrongly."""
    told = telling(seen, reason.id, ("role",), {"role": settings.facts["role"].values})
    for one in told[:2]:
        yield from _left_out(reason, one, d, settings, seen, "roles")
    for one in told[:1] or ():
        yield Amendment(
            reason.id, "roles", "corrections.yaml", "corrections", "", "",
            f"if titles are read as {_words(one.value)} that mean something else: leadwell data review", (one.words,),
        )  # fmt: skip
    if not told:
        yield _by_hand(reason, d, settings, "enter", "no role stands out: name who decides in key_contacts")


def _definition(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    facts = [name for name in seen.told if settings.facts[name].type == "enum"]
    told = telling(seen, reason.id, facts, {name: settings.facts[name].values for name in facts})
    for one in told[:2]:
        yield from _left_out(reason, one, d, settings, seen, "definition")
    if not told:
        yield _by_hand(reason, d, settings, "enter", "no single fact stands out: ask leadwell segments propose")


def _threshold(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """A later hand-over for the segment: one band higher, or as many a month as sales did not call too early."""
    domain = Domain.of(settings)
    turned = np.flatnonzero(seen.turned[reason.id])
    columns = {name: codes[turned] for name, codes in seen.codes.items()}
    spoke: Counter[str] = Counter()
    free = np.ones(len(turned), dtype=np.bool_)
    bands = {one.id: one.band for one in settings.qualification.thresholds}
    for one in settings.qualification.thresholds:
        own = not one.segments or d.id in one.segments
        says = np.full(len(turned), own)
        if own and one.when is not None:
            holds = as_columns(parse(one.when, domain.facts, domain.parameters), domain, seen.on)
            # An absent fact is unknown everywhere, and then one word speaks for all.
            says = np.broadcast_to(np.ravel(holds(columns)[0]), (len(turned),))
        spoke[one.id] = int((says & free).sum())
        free &= ~says
    name, count = max(spoke.items(), key=lambda pair: pair[1], default=("", 0))
    band = bands.get(name)
    place = BANDS.index(band) if band in BANDS else -1
    evidence = (_given(reason), f"the threshold {name} spoke for {count:,} of {len(turned):,} of them")
    if 0 <= place < len(BANDS) - 1:
        higher = BANDS[place + 1]
        yield Amendment(
            reason.id, "threshold", "qualification.yaml", f"thresholds.{d.id}_later", f"{name}: band {band}",
            f"{{id: {d.id}_later, says: {d.title.lower()}, segments: [{d.id}], band: {higher}}}, before {name}",
            "hand this segment over one band later", evidence,
        )  # fmt: skip
    wanted = int(seen.taken.sum()) + sum(int(who.sum()) for key, who in seen.turned.items() if key != reason.id)
    monthly = max(round(wanted * 30 / seen.back_days), 1)
    rule = settings.thresholds.segments.get(d.id)
    yield Amendment(
        reason.id, "threshold", "thresholds.yaml", f"segments.{d.id}", rule.says if rule else "cut like all",
        f"{{capacity: {{hot: {monthly}}}}}",
        "as many a month as sales did not call too early; the next training follows it",
        (_given(reason), f"{wanted:,} answers of {seen.back_days} days were not {_words(reason.id)}"),
    )  # fmt: skip


def _stages(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """Signals that show an earlier stage than sales found, by what those turned down did more often."""
    journey = settings.journeys.of(d.product)
    stages = settings.actions.stages
    turned, taken = seen.turned[reason.id], seen.taken
    asked = [
        Telling(
            "event",
            kind,
            Share(int(who[turned].sum()), int(turned.sum())),
            Share(int(who[taken].sum()), int(taken.sum())),
        )
        for kind, who in seen.did.items()
    ]
    z = z_for(max(len(asked), 1))
    told = [
        one for one in asked
        if min(one.turned.of, one.taken.of) >= MIN_GROUP and newcombe(one.turned, one.taken, z)[0] > 0
    ]  # fmt: skip
    for one in sorted(told, key=lambda one: one.taken.rate - one.turned.rate)[:2]:
        evidence = (
            _given(reason),
            f"{one.turned.hits:,} of {one.turned.of:,} turned down did {_words(one.value)}, of those taken "
            f"{one.taken.hits:,} of {one.taken.of:,}",
        )
        signal = next((s for s in journey.signals if one.value in s.kinds), None) if journey is not None else None
        if journey is None or signal is None:
            key = f"journeys.{journey.id if journey else 'none'}.signals"
            says = f"no signal counts {_words(one.value)}: write one, for the stage that sales found them at"
            yield Amendment(reason.id, "stages", "journeys.yaml", key, "", "", says, evidence)
        elif signal.stage != stages[-1]:
            later = stages[stages.index(signal.stage) + 1]
            key = f"journeys.{journey.id}.signals.{signal.id}.stage"
            says = f"let {_words(one.value)} show a later stage"
            yield Amendment(reason.id, "stages", "journeys.yaml", key, signal.stage, later, says, evidence)
    if not told:
        yield _by_hand(reason, d, settings, "offers", "nothing they did stands out: look at the stages of its offers")


def _routing(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """Languages and places that nobody could take, or fewer leads a day."""
    facts = [name for name in ("language", "jurisdiction") if name in settings.facts]
    told = telling(seen, reason.id, facts, {name: settings.facts[name].values for name in facts})
    queue = settings.actions.queues.get("hot", "")
    teams = settings.actions.teams.get(queue, ())
    for one in told[:1]:
        key = f"teams.{queue}"
        says = f"name a team for {_words(one.fact)} {_words(one.value)}, or leave it to nurture"
        now = "; ".join(f"{team.id}: {', '.join(team.languages) or 'all languages'}" for team in teams)
        yield Amendment(reason.id, "routing", "actions.yaml", key, now, "", says, (_given(reason), one.words))
    if not told and teams:
        team, answered = teams[0], int(seen.taken.sum())
        daily = max(int(answered / (seen.back_days * _WORK_DAYS)), 1)
        evidence = (_given(reason), f"it took {answered:,} in {seen.back_days} days, {daily:,} a working day")
        key = f"teams.{queue}.{team.id}.capacity_a_day"
        now = "as many as come" if team.capacity_a_day is None else str(team.capacity_a_day)
        says = "look what the team can take: for this segment it took no more than that"
        yield Amendment(reason.id, "routing", "actions.yaml", key, now, "", says, evidence)


def _data(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    """Fields that are unknown of those turned down more often than of those taken."""
    facts = [name for name in seen.told if settings.facts[name].type == "enum"]
    told = telling(seen, reason.id, facts, {}, unknown=True)
    for one in told[:2]:
        file = settings.files.get(("segments", d.id), "segments")
        evidence = (_given(reason), one.words)
        to = f"({d.enter.strip()}) AND NOT ({one.fact} IS UNKNOWN)"
        if d.enter.strip() and _parses(to, settings):
            says = f"let in only whose {_words(one.fact)} is known; better still, fill it: leadwell data check"
            yield Amendment(reason.id, "data", file, f"{d.id}.enter", d.enter.strip(), to, says, evidence)
    if not told:
        yield _by_hand(
            reason, d, settings, "data_sources", "no field stands out: leadwell data check, leadwell data link"
        )


def _nothing(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, seen: Answered) -> Iterator[Amendment]:
    yield from ()


_Builder = Callable[[ReasonGiven, SegmentDefinition, Settings, Answered], Iterator[Amendment]]
_BUILDERS: Mapping[Target, _Builder] = {
    "content": _content,
    "roles": _roles,
    "definition": _definition,
    "threshold": _threshold,
    "stages": _stages,
    "routing": _routing,
    "data": _data,
    "nothing": _nothing,
}


def _left_out(
    reason: ReasonGiven, one: Telling, d: SegmentDefinition, settings: Settings, seen: Answered, target: Target
) -> Iterator[Amendment]:
    """The entry condition without a value; of whom it is unknown stays as it is."""
    file = settings.files.get(("segments", d.id), "segments")
    to = f"({d.enter.strip()}) AND ({one.fact} <> '{one.value}' OR {one.fact} IS UNKNOWN)"
    if not d.enter.strip() or not _parses(to, settings):
        return
    code = settings.facts[one.fact].values.index(one.value) + 1
    leaving = seen.member & (seen.codes[one.fact] == code)
    evidence = (
        _given(reason),
        one.words,
        f"{int(leaving.sum()):,} of {int(seen.member.sum()):,} members would leave",
        f"sales took {int((leaving & seen.taken).sum()):,} of these",
    )
    says = f"leave {_words(one.fact)} {_words(one.value)} out, and let the exit say the same"
    yield Amendment(reason.id, target, file, f"{d.id}.enter", d.enter.strip(), to, says, evidence)


def _by_hand(reason: ReasonGiven, d: SegmentDefinition, settings: Settings, key: str, says: str) -> Amendment:
    file = settings.files.get(("segments", d.id), "segments")
    return Amendment(reason.id, reason.points_at, file, f"{d.id}.{key}", "", "", says, (_given(reason),))


def _usable(d: SegmentDefinition, settings: Settings, topic: str, on: date) -> Iterator[tuple[str, str]]:
    """(stage, asset) approved about a topic, of the segment's product, audience and intents, and not offered yet."""
    offered = {name for names in d.offers.values() for name in names}
    intents = settings.actions.intents_by_purpose.get(d.purpose, ())
    for asset in settings.assets:
        approval = asset.approval
        if asset.topic != topic or asset.asset_id in offered or asset.withdrawn or asset.intent not in intents:
            continue
        if (
            approval is None
            or not approval.start <= on < approval.expires_on
            or not set(asset.audiences) & set(d.audience)
        ):
            continue
        if any(change.awaits(asset, on) for change in settings.label_changes):
            continue
        # What only a track of nurture may send, such as the pharmacists' agenda, is no offer of a segment.
        of_others = asset.tracks or (asset.segment_ids and d.id not in asset.segment_ids)
        if asset.product not in (None, d.product) or of_others:
            continue
        yield settings.actions.stages[settings.actions.first_stage(asset)], asset.asset_id


def _themed(topic: str, themes: Sequence[str]) -> bool:
    """Whether a theme has every word of a topic, in the singular or plural."""
    words = [word.rstrip("s") for word in topic.split("_")]
    return any(all(word in theme.lower() for word in words) for theme in themes)


def _parses(text: str, settings: Settings) -> bool:
    try:
        parse(text, settings.facts, settings.parameters)
    except ConditionInvalid:
        return False
    return True


def _given(reason: ReasonGiven) -> str:
    share = f"{reason.inside.hits:,} of {reason.inside.of:,} rejections say {_words(reason.id)}"
    return share + (f", elsewhere {reason.others.hits:,} of {reason.others.of:,}" if reason.others.of else "")


def _listed(words: Sequence[str]) -> str:
    return f"[{', '.join(words)}]"


def _words(name: str) -> str:
    return re.sub("_+", " ", name)
