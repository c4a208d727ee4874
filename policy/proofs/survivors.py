"""Why a mistake that nothing notices is none, or is left: one reason for each, by where it is and what it says.

A mutant of the compiler is the *same* where a reason here says why no answer can differ; the reason must be one that a
reader can check in the code, or that a test tries (`tests/test_policy_mutants.py` replaces what only chooses between
two right ways). A mutant that does change something and survives stays a survivor, with its reason.
Lines are not named, so that a reason lives as long as the words it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from policy.proofs.mutation import Judged

Where = tuple[str, str]  # function or card, and what was changed

# Changes no answer, for a reason that can be checked.
SAME: Mapping[Where, str] = {
    ("features.evaluate._small_first",
     "max((columns[fact].size for fact in facts_of_normal(part) if fact in columns), default=1): 1 to 2"):
        "Only the order in which parts are joined; `and` and `or` do not mind it.",
    ("features.evaluate._among", "range(256): 256 to 257"):
        "The table gets one more place, and codes beyond a byte are read as 0 before it is asked.",
    ("features.evaluate._among", "column < 0: 0 to 1"):
        "Code 0 is read as 0 instead of as itself.",
    ("policy.clauses._every", "top + 1: 1 to 2"):
        "One place beyond the top, which no code is packed to: what is above the top is packed as 0.",
    ("policy.scalar._Maker.statements", "self._names(0): 0 to 1"):
        "Names of facts that have one name on all channels; only conditions without a fact by channel come here.",
    ("policy.words.Program._keys",
     "full = {'lead': (n, 1, 1), 'channel': (n, 1, width), 'asset': (1, assets, 1), "
     "'lead_asset'...: 1 to 2, once more, once more, once more"):
        "Facts of assets are packed for two leads alike, and read for the first.",
    ("policy.words.Program._keys",
     "full = {'lead': (n, 1, 1), 'channel': (n, 1, width), 'asset': (1, assets, 1), "
     "'lead_asset'...: 1 to 2"):
        "Facts of the lead are packed twice alike, and the first of the two is read.",
    ("policy.words.Program._keys",
     "full = {'lead': (n, 1, 1), 'channel': (n, 1, width), 'asset': (1, assets, 1), "
     "'lead_asset'...: 1 to 2, once more"):
        "Facts of the lead are packed twice alike, and the first of the two is read.",
    ("policy.words.Program._keys",
     "full = {'lead': (n, 1, 1), 'channel': (n, 1, width), 'asset': (1, assets, 1), "
     "'lead_asset'...: 1 to 2, once more, once more"):
        "Facts by channel are packed twice alike, and the first of the two is read.",
    ("policy.words.Program._keys",
     "full = {'lead': (n, 1, 1), 'channel': (n, 1, width), 'asset': (1, assets, 1), "
     "'lead_asset'...: 1 to 2, once more, once more, once more, once more, "
     "once more, once more"):
        "Facts by asset and channel are packed for two leads alike, and read for the first.",
    ("policy.clauses._implies", "places & ~other.get(fact, 0): BitAnd to BitOr"):
        "Clauses that another implies are kept; they hold wherever the other does.",
    ("policy.clauses.clauses_of", "len(found) * len(others) > MAX_CLAUSES * MAX_CLAUSES: Gt to GtE"):
        "Such a rule is read one by one instead; a test draws this line elsewhere.",
    ("policy.rulings._few", "by_asset(domain, columns, scalar.asset, 0, assets, width): 0 to 1"):
        "Facts of assets have one cell for all leads, so any lead reads it.",
    ("policy.scalar._Maker._varied", "self._names(0): 0 to 1"):
        "Names of facts that have one name on all channels; only parts without a fact by channel come here.",
    ("policy.scalar._Maker._varied",
     "if not must: lines += [f'{indent} if {code} not in {fact}: {target} |= {sum(by_channel)}',...: not must"):
        "Whether channels are settled at once; where the code must be there, the line before has seen it.",
    ("policy.scalar._Maker._varied",
     "if not must: lines += [f'{indent} if {code} not in {fact}: {target} |= {sum(by_channel)}',...: without Not"):
        "Whether channels are settled at once; where the code must be there, the line before has seen it.",
    ("policy.scalar._Remembered.__missing__", "len(self) >= MOST: GtE to Gt"):
        "One more answer is remembered before all are forgotten.",
    ("policy.words.Program._words", "_content(group, keys, 'fit', assets, 1): 1 to 2"):
        "The second of two equal columns is dropped at once.",
    ("policy.words._asked", "np.zeros((0, 0), dtype=np.uint64): 0 to 1, once more"):
        "Tables of no look-up are never asked.",
    ("policy.words._asked", "np.zeros((0, 0, 0), dtype=np.uint8): 0 to 1"):
        "Keys of no look-up are never asked.",
    ("policy.words._flat", "column > 255: 255 to 256"):
        "256 as a byte is 0, which is what it is replaced by.",
    ("policy.scalar.compile_scalar", "every = 0: 0 to 1"):
        "A bit that no rule sets in `w0`, and `&` takes away.",
    ("policy.answers._kept", "len(book.answers) >= _MOST: GtE to Gt"):
        "One more answer is remembered before all are forgotten; what is forgotten is worked out again.",
    ("policy.clauses.compile_groups", "zip(asked, found, strict=True): True to False"):
        "`found` gets exactly one entry for each of `asked`, in the loop above.",
    ("policy.clauses.clauses_of", "len(found) > MAX_CLAUSES: Gt to GtE"):
        "A rule of exactly so many clauses is read one by one instead; a test draws this line elsewhere.",
    ("policy.clauses._top", "edges.get(fact, (0,)): 0 to 1"):
        "Only the number of edges, one, and that it is no number beyond a column are read of it.",
    ("policy.clauses._top", "1 << BYTE: 1 to 2"):
        "Any number of places that fits no byte says the same: this rule is left to `reading`.",
    ("policy.clauses._edges", "n > 0: Gt to GtE"):
        "0 is among the edges already, and a set holds it once.",
    ("policy.clauses._every", "1 << top + 1: 1 to 2"):
        "One place beyond the top, which no code is packed to: what is above the top is packed as 0.",
    ("policy.clauses._layers", "sorted(clauses[bit], key=len, reverse=True): True to False"):
        "Which clause goes to which level; all levels must hold, in any order.",
    ("policy.clauses._packed", "taken + bits <= BYTE: LtE to Lt"):
        "Facts are spread over more bytes; where a fact lies is written down with it.",
    ("policy.clauses._layer", "1 << BYTE: 1 to 2"):
        "Tables get places that no byte can ask for.",
    ("policy.clauses._layer", "int(own.max()) + 1: 1 to 2"):
        "Whether a place suffices is asked of one place more, which no byte holds.",
    ("policy.clauses.clauses_of", "1 << BYTE: LShift to RShift"):
        "Every rule is read one by one instead, slowly; a test draws this line elsewhere by MAX_CLAUSES.",
    ("policy.clauses._top", "own[-1] <= MAX_NUMBER: LtE to Lt"):
        "A fact that is compared with just this number is read one by one instead.",
    ("policy.code_rows.by_asset", "np.broadcast_to(full, (1, assets, channels)): 1 to 2"):
        "Facts of assets are the same for all leads, and only the first is read.",
    ("policy.code_rows.by_lead", "zip(*found, strict=True): True to False"):
        "Each list was made of just as many leads, in the loop above.",
    ("policy.scalar._Maker._often_asked", "(leaf.codes if one.must else leaf.others).bit_count() > 1: 1 to 2"):
        "Only by which question a code is asked for; a test asks all facts in each of the two ways.",
    ("policy.scalar._Maker._often_asked", "(leaf.codes if one.must else leaf.others).bit_count() > 1: Gt to GtE"):
        "Only by which question a code is asked for; a test asks all facts in each of the two ways.",
    ("policy.scalar._Maker._often_asked", "asked.count(fact) > 2: 2 to 3"):
        "Only by which question a code is asked for; a test asks all facts in each of the two ways.",
    ("policy.scalar._Maker._often_asked", "asked.count(fact) > 2: Gt to GtE"):
        "Only by which question a code is asked for; a test asks all facts in each of the two ways.",
    ("policy.scalar._Maker._often_asked", "leaf.codes if one.must else leaf.others: if and else swapped"):
        "Only by which question a code is asked for; a test asks all facts in each of the two ways.",
    ("policy.words._asked", "np.zeros((0, 0), dtype=np.uint64): 0 to 1"):
        "Tables of no look-up are never asked.",
    ("policy.words._asked", "np.zeros((0, 0, 0), dtype=np.uint8): 0 to 1, once more"):
        "Keys of no look-up are never asked.",
    ("policy.words._asked", "np.zeros((0, 0, 0), dtype=np.uint8): 0 to 1, once more, once more"):
        "Keys of no look-up are never asked.",
    ("policy.masks.of_numbers", "np.frombuffer(packed, dtype='<u8').reshape(-1, words): 1 to 2"):
        "numpy takes any size below 0 for the one that is left over.",
    ("policy.words._content", "table[keys[scope][row, :, 0]].reshape(assets, -1): 1 to 2"):
        "numpy takes any size below 0 for the one that is left over.",
    ("policy.words._content", "zip(looked.rows, looked.levels, looked.tables, strict=True): True to False"):
        "`_layer` makes the three of one list.",
    ("policy.words._flat", "column.dtype.itemsize < 4: Lt to LtE"):
        "Numbers of four bytes may be widened too; they are cut to the same bounds and made four bytes again.",
    ("policy.words._flat", "column.dtype.itemsize < 4: 4 to 5"):
        "The same as above: only four bytes lie between.",
    ("policy.words._flat", "column > 255: Gt to GtE"):
        "No fact has a value of code 255 (`configs.checks.MAX_VALUES`), so it is read as 0, unknown, either way.",
    ("policy.words._flat",
     "np.ascontiguousarray(column if column.shape == shape else np.broadcast_to(column, shape))....: 1 to 2"):
        "numpy takes any size below 0 for the one that is left over.",
    ("features.evaluate._among", "column > 255: Gt to GtE"):
        "No fact has a value of code 255 (`configs.checks.MAX_VALUES`), so it is read as 0, unknown, either way.",
    ("policy.rulings._wide", "of_numbers(found, (first + second) * width).reshape(n, assets, -1): 1 to 2"):
        "numpy takes any size below 0 for the one that is left over.",
    ("policy.rulings._usable", "zip(shape, wanted[scope], strict=True): True to False"):
        "Both have three sizes: a column of another number of axes was refused just before.",
    ("policy.code_rows.by_asset", "zip(*fields, strict=True): True to False"):
        "Each field was just made of as many codes as there are assets.",
    ("policy.clauses._every", "1 << top + 1: LShift to RShift"):
        "All bits instead of a fact's own: no code has a place above, and clauses that always hold are kept.",
    ("policy.words._flat", "-1 if column.dtype.kind == 'i' else 0: 1 to 2"):
        "Any number below 0 is unknown, -2 as well as -1.",
    ("policy.words.Program._words", "_NONE.reshape(0, 0): 0 to 1, once more"):
        "It has no rows either way, and is read only where it has some.",
    ("policy.rulings.Rulings.parts",
     "not isinstance(self.block_words, tuple) or not isinstance(self.permit_words, tuple): Or to And"):
        "`rule` makes both words or both masks, never one of each.",
    ("policy.rulings.Rulings.parts", "max(1, _PART // (self.shape[1] * self.shape[2])): 1 to 2"):
        "Only how many leads are taken at a time where one has more masks than all should have together.",
    ("policy.scalar.Scalar.of_one", "held[0] == asked: 0 to 1"):
        "What the assets say is worked out each time instead of remembered.",
    ("features.evaluate._among", "column < 0: Lt to LtE"):
        "Code 0 is read as 0 instead of as itself.",
    ("policy.rulings.Rulings.rule_ids", "self.explain(lead, asset, channel, words=False): False to True"):
        "Only the id of each entry is taken; without words it is quicker.",
    ("policy.rulings.Rulings.explain_score", "self._entry(rule, lead, 0, 0): 0 to 1"):
        "A rule about scoring looks at facts of the lead only (Book.load refuses others): one cell on this axis.",
    ("policy.rulings.Rulings.explain_score", "self._entry(rule, lead, 0, 0): 0 to 1, once more"):
        "A rule about scoring looks at facts of the lead only (Book.load refuses others): one cell on this axis.",
    ("policy.rulings.rule", "facts.n <= SMALL: LtE to Lt"):
        "Which form rules on exactly so many leads; the comparison holds both forms equal on the same leads.",
    ("policy.rulings.Rulings._code", "zip(place, column.shape, strict=True): True to False"):
        "Three places and three axes: columns of another shape are dropped before (`_usable`).",
    ("policy.rulings.Rulings.permitted",
     "isinstance(self.block_words, tuple) and isinstance(self.permit_words, tuple): And to Or"):
        "`rule` makes both words or both masks, never one of each.",
    ("policy.scalar._pick", "len(facts) > 1: 1 to 2"):
        "Two ways to take the same values as a tuple; `itemgetter` is quicker from two facts on.",
}  # fmt: skip

# Changes an answer that neither an example nor a promise speaks about.
LEFT: Mapping[Where, str] = {
    ("EU-01-DE", "phone added"):
        "Narrows: stops calls to Germany too; no lead of L-OPEN must stay open to calls there.",
    ("AU-01", "phone added"):
        "Narrows: stops calls to Australia too; no lead of L-OPEN must stay open to calls there.",
    ("EU-03-STALE", "ads added"):
        "Narrows: an old consent would stop audiences of platforms too, where stale records stop nearly the same.",
    ("US-07", "applies_when: without audience = 'patient'"):
        "Narrows: stops professionals in Texas too where records of health are the source; no example has one.",
    ("FRQ-02", "applies_when: asset_intent with medical_information"):
        "Narrows: the cap would stop medical information too; the card has no example of it beyond the cap.",
    ("US-05", "unless_surely: local_minute_from >= to >"):
        "Narrows by the first minute of calling hours, which no example stands on.",
    ("US-07", "applies_when: without jurisdiction = 'US'"):
        "Narrows: stops outside the United States too, where other cards stop nearly the same people.",
}  # fmt: skip


def with_reason(one: Judged) -> Judged:
    """A survivor with its reason, and as `equivalent` where the reason says that nothing changes."""
    if one.fate != "survived":
        return one
    key = one.where, one.what
    if key in SAME:
        return replace(one, fate="equivalent", by=SAME[key])
    return replace(one, by=LEFT[key]) if key in LEFT else one
