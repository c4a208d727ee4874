"""Which rules of data use hold for each lead at an instant: what they allowed, withdrew and objected to, and whose law.

Consents count as `features/consent.py` says: the latest word within a purpose wins, of words of one instant the most
restrictive, and a withdrawal stands until a later fresh grant undoes it. Two things differ, because a use is no
message: a purpose that a rule looks at on every channel takes the latest word of any of them, and there a grant that
names no channel counts. A withdrawal whose purpose cannot be read counts for promotion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.data_use import NEEDS, NO_SOURCE, DataUse
from configs.settings import Settings
from configs.vocabulary import Vocabulary
from features.columns import Columns, available_threads, exact, in_ranges
from features.consent import ConsentCodes, _outranks, _withdrawn
from features.law import jurisdiction, jurisdictions_of
from features.tables import SKEW_US, UNKNOWN_INSTANT, YES, Tables, latest
from features.use.stops import CHANNEL, stops_of

# What a slot (a purpose, on a channel or on all) says of a lead, from the most restrictive to the least; 0: no record.
WITHDRAWN, UNREADABLE, _REFUSED, _IMPLIED, _GRANTED, PROVEN = 1, 2, 3, 4, 5, 6
_NOTHING, _NOT_WITHDRAWN, _CONSENT, _EXPLICIT, _NEVER = range(len(NEEDS))
_LATEST = int(np.iinfo(np.int64).max)
# Columns of `BasisRules.rules`, before that of the channel.
_OPT_OUT, _OPT_IN, _PROOF, _SLOTS = range(CHANNEL)


@dataclass(frozen=True, slots=True)
class BasisRules:
    """The rules as numbers. Row r of `rules` has what rule r needs, whether with proof, its slots as bits, its channel.

    `spared` has by code of the audience the rules that do not concern it as bits, `stopped` by code of the reason of a
    suppression those that it ends. `slots` are pairs of purpose and channel, 0 for all channels. By kind of data,
    `needs` has its rules as bits and `of_fields` whether it is of fields or columns of a lead; `from_lead_source` has
    the kinds that may come from each source of leads. `narrow` are the rules that only concern some sources, and
    `elsewhere` has by code of a lead's source those of them that surely do not concern it. `recorded` are the slots of
    which nothing is known where no consents were supplied.
    """

    consent: ConsentCodes
    rules: NDArray[np.int64]
    slots: NDArray[np.int64]
    promotion: int
    spared: NDArray[np.uint32]
    stopped: NDArray[np.uint32]
    opt_in: NDArray[np.uint8]
    jurisdiction_of: NDArray[np.uint8]
    max_age_days: int
    needs: NDArray[np.uint32]
    of_fields: NDArray[np.bool_]
    from_lead_source: NDArray[np.uint32]
    narrow: np.uint32
    elsewhere: NDArray[np.uint32]
    recorded: tuple[int, ...]

    @classmethod
    def of(cls, settings: Settings) -> BasisRules:
        """Resolve the settings."""
        vocabularies, use = settings.vocabularies, settings.data_use
        slots = _slots(use, vocabularies)
        channel, audience = vocabularies["channel"], vocabularies["audience"]
        reasons, law = vocabularies["suppression_reason"], vocabularies["jurisdiction"]
        rules = np.zeros((len(use.rules), 5), dtype=np.int64)
        spared, stopped = np.zeros(256, dtype=np.uint32), np.zeros(256, dtype=np.uint32)
        for row, rule in enumerate(use.rules):
            place = channel.code(rule.channel) if rule.channel else 0
            named = [slots.index((vocabularies["purpose"].code(p), place)) for p in rule.purposes]
            rules[row] = (
                NEEDS.index(rule.needs.opt_out), NEEDS.index(rule.needs.opt_in), rule.proof,
                sum(1 << slot for slot in named), place,
            )  # fmt: skip
            for name in rule.spares:
                spared[audience.code(name)] |= np.uint32(1 << row)
            for reason in rule.stops:
                stopped[reasons.code(reason)] |= np.uint32(1 << row)
        narrow = np.uint32(sum(1 << row for row, rule in enumerate(use.rules) if rule.of_source))
        elsewhere = np.zeros(256, dtype=np.uint32)
        # INVARIANT: a source that nobody registered may be of the kind that a rule is about.
        for source, entry in settings.source_register.sources.items():
            elsewhere[vocabularies["lead_source"].code(source)] = 0 if entry.phi else narrow
        elsewhere[0] = 0
        kept = {(vocabularies["purpose"].code(p), 0) for rule in use.rules if rule.recorded for p in rule.purposes}
        # INVARIANT: an audience or a reason that is unknown spares and stops nothing by accident.
        spared[0], stopped[0] = 0, 0
        opt_in = np.ones(256, dtype=np.uint8)
        for place_of_law in use.opt_out:
            opt_in[law.code(place_of_law)] = 0
        opt_in[0] = 1
        rule_ids = [rule.id for rule in use.rules]
        needs = np.array([sum(1 << rule_ids.index(rule) for rule in kind.rules) for kind in use.kinds], dtype=np.uint32)
        from_lead_source = np.zeros(256, dtype=np.uint32)
        for row, kind in enumerate(use.kinds):
            for source in kind.lead_sources:
                code = 0 if source == NO_SOURCE else vocabularies["lead_source"].code(source)
                from_lead_source[code] |= np.uint32(1 << row)
        jurisdiction_of, max_age = jurisdictions_of(settings)
        return cls(
            consent=ConsentCodes.of(vocabularies),
            rules=rules,
            slots=np.array(slots, dtype=np.int64).reshape(-1, 2),
            promotion=vocabularies["purpose"].code("promotion"),
            spared=spared,
            stopped=stopped,
            opt_in=opt_in,
            jurisdiction_of=jurisdiction_of,
            max_age_days=max_age,
            needs=needs,
            of_fields=np.array([bool(kind.lead_fields or kind.declared) for kind in use.kinds], dtype=np.bool_),
            from_lead_source=from_lead_source,
            narrow=narrow,
            elsewhere=elsewhere,
            recorded=tuple(row for row, slot in enumerate(slots) if slot in kept),
        )


def _slots(use: DataUse, vocabularies: Mapping[str, Vocabulary]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for rule in use.rules:
        place = vocabularies["channel"].code(rule.channel) if rule.channel else 0
        found += [(vocabularies["purpose"].code(purpose), place) for purpose in rule.purposes]
    return sorted(set(found))


@dataclass(frozen=True, slots=True)
class Bases:
    """Per lead, as bits: the rules that hold, and kinds of data: allowed, and barred from its fields.

    `event_kinds` has the allowed ones below and, from bit 32, those that concern the lead: a kind that spares its
    audience does not, so that neither rules nor sources are asked for. `some` has the bits that are barred for any
    lead. `leads` and `present` are the latest versions, as `features/tables.py` has them.
    """

    held: NDArray[np.uint32]
    allowed: NDArray[np.uint32]
    event_kinds: NDArray[np.uint64]
    barred: NDArray[np.uint32]
    some: int
    leads: Columns
    present: NDArray[np.bool_]


def bases_of(tables: Tables, cut: int, rules: BasisRules) -> Bases:
    """Which rules hold for each lead at `cut`; a lead of which nothing is known is taken to be somewhere strict."""
    n = len(tables.lead_ids)
    leads, present = latest(tables.leads, "lead", n, cut)
    held, allowed, barred = np.empty((3, n), dtype=np.uint32)
    event_kinds = np.empty(n, dtype=np.uint64)
    given = (
        exact(leads, "audience", np.uint8, n),
        exact(leads, "country", np.uint8, n),
        exact(leads, "source", np.uint8, n),
        _elsewhere(tables, leads, n, rules),
        exact(leads, "recorded_at", np.int64, n),
        exact(leads, "verified_at", np.int64, n),
        _standing(tables.consents, n, cut, rules),
        stops_of(tables, leads, n, cut, rules),
        rules.rules,
        rules.spared,
        rules.narrow,
        rules.opt_in,
        rules.jurisdiction_of,
        rules.needs,
        rules.of_fields,
        rules.from_lead_source,
        cut,
        rules.max_age_days,
    )
    bits: list[int] = []
    in_ranges(
        lambda _, a, b: bits.append(_hold(*given, a, b, held, allowed, event_kinds, barred)), n, available_threads()
    )
    some = reduce(or_, bits)
    return Bases(held, allowed, event_kinds, barred, some, leads, present)


def _elsewhere(tables: Tables, leads: Columns, n: int, rules: BasisRules) -> NDArray[np.uint32]:
    """The narrow rules that surely do not concern each lead; of a person's records every source must say so."""
    found: NDArray[np.uint32] = rules.elsewhere[exact(leads, "source", np.uint8, n)]
    if tables.merged is not None:
        several = tables.merged.sources
        found = np.where(several != 0, rules.narrow, found)
        for code in range(64):
            found = np.where(several >> np.uint64(code) & np.uint64(1) != 0, found & rules.elsewhere[code], found)
    return found


def _standing(consents: Columns, n: int, cut: int, rules: BasisRules) -> NDArray[np.uint8]:
    """What each slot says of each lead. Records of a person's several ids are resolved apart; the strictest decides."""
    states = np.zeros((len(rules.slots), n), dtype=np.uint8)
    if not consents:
        states[list(rules.recorded)] = UNREADABLE
    if consents and len(consents["lead"]):
        slot_states(consents, rules.slots, rules.promotion, rules.consent, cut, states)
    return states


def slot_states(
    consents: Columns, slots: NDArray[np.int64], promotion: int, codes: ConsentCodes, cut: int,
    states: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Write what each slot (code of a purpose, of a channel or 0 for all) says of each lead, by slot and lead.

    `promotion` is the purpose that a withdrawal without a readable one counts for.
    """
    size = len(consents["lead"])
    lead = exact(consents, "lead", np.int32, size)
    holder = consents.get("holder")
    _resolve(
        lead,
        lead if holder is None else exact(consents, "holder", np.int32, size),
        exact(consents, "channel", np.uint8, size),
        exact(consents, "purpose", np.uint8, size),
        exact(consents, "product", np.uint8, size),
        exact(consents, "status", np.uint8, size),
        exact(consents, "proven", np.uint8, size),
        exact(consents, "captured_at", np.int64, size),
        exact(consents, "recorded_at", np.int64, size),
        exact(consents, "expires_at", np.int64, size),
        codes.restrictive,
        slots,
        promotion,
        codes.channels,
        codes.granted,
        codes.implied,
        codes.withdrawn,
        cut,
        cut + SKEW_US,
        states,
    )


@njit(cache=True, nogil=True)
def _resolve(
    lead: Any, holder: Any, channel: Any, purpose: Any, product: Any, status: Any, proven: Any,
    captured: Any, recorded: Any, expires: Any, rank: Any, slots: Any, promotion: int, channels: int, granted: int,
    implied: int, withdrawn: int, cut: int, begun: int, states: Any,
) -> None:  # fmt: skip
    n = states.shape[1]
    unreadable = rank[0]  # and of every code that is no status
    winner = np.full((len(slots), n), -1, dtype=np.int32)
    last = np.full((3, len(slots), n, 1), UNKNOWN_INSTANT, dtype=np.int64)
    for i in range(len(lead)):
        who = holder[i]
        if who < 0 or who >= n:
            continue
        stops = status[i] == withdrawn
        allows = status[i] == granted or status[i] == implied
        if max(captured[i], recorded[i]) > (begun if stops else cut) or (allows and product[i] != 0):
            continue
        named = 0 < channel[i] <= channels
        about = promotion if purpose[i] == 0 and stops else purpose[i]
        fresh = expires[i] == UNKNOWN_INSTANT or expires[i] > cut
        moment = _LATEST if captured[i] == UNKNOWN_INSTANT else captured[i]
        for s in range(len(slots)):
            on = slots[s, 1]
            if slots[s, 0] != about or (on != 0 and (on != channel[i] if named else not stops)):
                continue
            best = winner[s, who]
            if best < 0 or _outranks(i, best, status, status, proven, captured, expires, rank):
                winner[s, who] = i
            if stops:
                last[0, s, who, 0] = max(last[0, s, who, 0], moment)
            elif rank[status[i]] == unreadable:
                last[1, s, who, 0] = max(last[1, s, who, 0], moment)
            elif status[i] == granted and fresh and captured[i] != UNKNOWN_INSTANT:
                last[2, s, who, 0] = max(last[2, s, who, 0], moment)
    for s in range(len(slots)):
        for who in range(n):
            i = winner[s, who]
            if i < 0:
                continue
            stands = _withdrawn(last, s, who, 0)
            if stands == YES:
                found = WITHDRAWN
            elif stands == 0:
                found = UNREADABLE
            elif expires[i] != UNKNOWN_INSTANT and expires[i] <= cut:
                found = _REFUSED
            elif status[i] == granted:
                found = PROVEN if proven[i] == YES else _GRANTED
            else:
                found = _IMPLIED if status[i] == implied else _REFUSED
            owner = lead[i]
            if 0 <= owner < n and (states[s, owner] == 0 or found < states[s, owner]):
                states[s, owner] = found


@njit(cache=True, nogil=True)
def _hold(
    audience: Any, country: Any, source: Any, elsewhere: Any, recorded: Any, verified: Any, states: Any, stops: Any,
    rules: Any, spared_by: Any, narrow: Any, opt_in: Any, of_country: Any, needs: Any, of_fields: Any,
    from_lead_source: Any, cut: int, max_age: int, start: int, stop: int, held: Any, allowed: Any, event_kinds: Any,
    barred: Any,
) -> int:  # fmt: skip
    some = np.uint32(0)
    for i in range(start, stop):
        strict = opt_in[jurisdiction(country[i], recorded[i], verified[i], of_country, cut, max_age)]
        spared = spared_by[audience[i]]
        free = spared | elsewhere[i]
        met = np.uint32(0)
        for r in range(len(rules)):
            bit = np.uint32(1) << np.uint32(r)
            if stops[i] & bit == 0 and (free & bit or _met(rules[r], strict, states, i)):
                met |= bit
        yes, about, gone = np.uint32(0), np.uint32(0), np.uint32(0)
        for k in range(len(needs)):
            bit = np.uint32(1) << np.uint32(k)
            lawful = needs[k] & ~met == 0
            asked = needs[k] & spared & ~narrow == 0
            if lawful:
                yes |= bit
            if asked:
                about |= bit
            if of_fields[k] and (not lawful or (asked and from_lead_source[source[i]] & bit == 0)):
                gone |= bit
        held[i], allowed[i], barred[i] = met, yes, gone
        event_kinds[i] = np.uint64(yes) | (np.uint64(about) << np.uint64(32))
        some |= gone
    return int(some)


@njit(cache=True, nogil=True)
def _met(rule: Any, strict: int, states: Any, i: int) -> bool:
    """Whether what the rule needs of consents is there."""
    need = rule[_OPT_IN] if strict else rule[_OPT_OUT]
    if need == _NOTHING:
        return True
    if need == _NEVER:
        return False
    best = 0
    for s in range(states.shape[0]):
        if (rule[_SLOTS] >> s) & 1:
            if states[s, i] == WITHDRAWN or states[s, i] == UNREADABLE:
                return False
            best = max(best, int(states[s, i]))
    if need == _NOT_WITHDRAWN:
        return True
    return best >= (_IMPLIED if need == _CONSENT else PROVEN if rule[_PROOF] else _GRANTED)
