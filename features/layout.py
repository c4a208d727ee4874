"""How each table's row is encoded, derived once from the row structs: column, kind of value, vocabulary.

Both ways in (records of a request, files of a rescore) follow this one declaration, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from configs.vocabulary import Vocabularies, Vocabulary
from features.records import TABLES, Account, Colleague, Record

Kind = Literal["code", "yesno", "instant", "number", "count", "text", "present", "reference", "identity", "dropped"]


@dataclass(frozen=True, slots=True)
class Column:
    """One encoded column: its name, the record field it comes from, and how a value becomes a number."""

    name: str
    field: str
    kind: Kind
    vocabulary: str = ""
    required: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one table, the field that is its own time, and the fields that tell duplicates apart."""

    table: str
    columns: tuple[Column, ...]
    own_time: str | None
    identity: tuple[str, ...]

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """Columns of these kinds, in order."""
        return tuple(column for column in self.columns if column.kind in kinds)

    def is_limit(self, column: Column) -> bool:
        """Whether a value narrows what its row allows, so that an unreadable one must not read as absent."""
        return (self.table, column.field) in _LIMITS

    @property
    def encoded(self) -> tuple[Column, ...]:
        """Columns that `Tables` carries."""
        return tuple(column for column in self.columns if column.kind not in ("identity", "dropped"))


_REFERENCES = {
    "lead_id": ("lead", "lead"),
    "other_lead_id": ("other", "lead"),
    "account_id": ("account", "account"),
    "parent_account_id": ("parent", "account"),
    "asset_id": ("asset", "asset"),
    "segment_id": ("segment", "segment"),
    "case_id": ("case", "case"),
    "message_id": ("message", "message"),
}
_DROPPED = {
    "campaign_id",
    "attributes",
    "registry_id",
    "email_hash",
    "phone_hash",
    "name_hash",
    "by",
}
# A text here that no vocabulary has must not read as absent: a limit of a consent or stop, an unpermitted source.
_LIMITS = {("consents", "product"), ("events", "source"), ("suppressions", "topic"), ("suppressions", "product")}
_OWN_TIME = {
    "leads": "created_at",
    "events": "occurred_at",
    "touches": "sent_at",
    "consents": "captured_at",
    "suppressions": "since_at",
    "cases": "opened_at",
    "links": "linked_at",
    "memberships": "entered_at",
    "outcomes": "occurred_at",
    "assignments": "assigned_at",
}
# What two rows of one table share when they are the same row. An event id is unique within its lead, so that
# duplicates never cross a partition.
_IDENTITY = {
    "leads": ("lead", "recorded_at"),
    "accounts": ("account", "recorded_at"),
    "events": ("lead", "event_id"),
    "touches": ("lead", "touch_id"),
    "cases": ("lead", "case", "recorded_at"),
}
ENCODED_TABLES = (
    "leads",
    "accounts",
    "events",
    "touches",
    "consents",
    "suppressions",
    "cases",
    "links",
    "memberships",
    "outcomes",
    "assignments",
)


def _column(field: str, hint: Any, required: bool) -> Column:
    arguments = [part for part in get_args(hint) if part is not type(None)] if get_origin(hint) is not Annotated else []
    inner = arguments[0] if arguments and get_origin(hint) is not dict else hint
    base, *metas = get_args(inner) if get_origin(inner) is Annotated else (inner,)
    vocabulary = next((m.extra["vocabulary"] for m in metas if getattr(m, "extra", None)), "")
    if field in ("event_id", "touch_id"):
        return Column(field, field, "identity", required=required)
    if field in _REFERENCES:
        name, to = _REFERENCES[field]
        return Column(name, field, "reference", required=required, to=to)
    if vocabulary:
        return Column(field, field, "code", vocabulary, required)
    if field in _DROPPED:
        return Column(field, field, "dropped")
    if field == "proof":
        return Column("proven", field, "present")
    if field == "jurisdiction":
        return Column(field, field, "code", "jurisdiction")
    kinds: dict[Any, Kind] = {datetime: "instant", bool: "yesno", float: "number", int: "count", str: "text"}
    return Column(field, field, kinds[base], required=required)


def layout_of(table: str, record: type[Record]) -> Layout:
    """Layout of a table from its row struct."""
    required = set(record.__struct_fields__) - {
        name
        for name, default in zip(reversed(record.__struct_fields__), reversed(record.__struct_defaults__), strict=False)
        if not _is_required(default)
    }
    hints = get_type_hints(record, include_extras=True)
    columns = tuple(_column(name, hints[name], name in required) for name in record.__struct_fields__)
    return Layout(table, columns, _OWN_TIME.get(table), _IDENTITY.get(table, ()))


def _is_required(default: Any) -> bool:
    return type(default).__name__ == "NoDefaultType"


LAYOUTS: dict[str, Layout] = {table: layout_of(table, TABLES[table]) for table in ENCODED_TABLES}
COLLEAGUES: Layout = layout_of("colleagues", Colleague)
ACCOUNT_FIELDS: tuple[str, ...] = Account.__struct_fields__

# How many spellings from outside are remembered for each vocabulary, and plans for how many sets of vocabularies.
MAX_REMEMBERED = 500
MAX_VOCABULARIES = 8


# A code that no vocabulary has: something was given and cannot be read.
UNREADABLE = 255


class Spellings(dict[Any, int]):
    """Code of every spelling, literal ones at once; another is normalised first and then remembered for a while."""

    __slots__ = ("others", "vocabulary")

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary.codes)
        self[None] = 0
        self.vocabulary, self.others = vocabulary, 0

    def __missing__(self, text: str) -> int:
        code = self.read(text)
        if self.others < MAX_REMEMBERED:  # spellings come from outside: what is remembered must stay bounded
            self.others += 1
            self[text] = code
        return code

    def read(self, text: str) -> int:
        """Code of a spelling that was not met before."""
        return self.vocabulary.code(text)


class Limits(Spellings):
    """Code of a limit: a text that cannot be read is a limit nobody meets, not the lack of one."""

    __slots__ = ()

    def read(self, text: str) -> int:
        """Code of a spelling, `UNREADABLE` where it has none and is not blank."""
        return self.vocabulary.code(text) or (UNREADABLE if text.strip() else 0)


# What people and exports write where there is nothing: no evidence of anything.
NOTHING = ("", "n/a", "na", "#n/a", "none", "null", "nil", "nan", "unknown", "undefined", "missing", "not available",
           "not given", "not specified", "tbd", "no", "false", "0", "-", "--", "?", ".")  # fmt: skip


class Presence(dict[Any, int]):
    """Yes for any text that says something: not blank, and no word of `NOTHING`."""

    __slots__ = ()

    def __missing__(self, text: str) -> int:
        return 1 if text.strip().lower() in NOTHING else 2


Fields = Sequence[tuple[Any, ...]]
Pick = Callable[[Fields], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A layout sorted by the kind of array its columns become, and how to pick each kind from the fetched fields.

    `names` are the columns in order: codes, then references and counts, then instants; `sizes` says how many of each.
    """

    layout: Layout
    lookups: tuple[dict[Any, int], ...]
    codes: Pick
    own: int
    recorded_at: int
    instants: Pick
    texts: Pick
    text_names: tuple[str, ...]
    numbers: tuple[tuple[int, str], ...]
    references: tuple[tuple[int, Column], ...]
    counts: Pick
    names: tuple[str, ...]
    sizes: tuple[int, int, int]
    identity: int
    checked: bool

    @classmethod
    def of(cls, layout: Layout, spellings: Mapping[str, dict[Any, int]]) -> Plan:
        """Plan a layout; `spellings` has the look-up of each vocabulary and of `yesno` and `present`."""
        place = {column.field: index for index, column in enumerate(layout.columns)}
        codes, instants = layout.of_kind("code", "yesno", "present"), layout.of_kind("instant")
        texts, references, counts = layout.of_kind("text"), layout.of_kind("reference"), layout.of_kind("count")
        identity = [column.field for column in layout.of_kind("identity")]
        named = {column.name: place[column.field] for column in instants}
        # Own time and record time come first: the one is checked, and stands in for the other.
        first = [name for name in (layout.own_time, "recorded_at") if name in named]
        others = [name for name in named if name not in first]
        return cls(
            layout=layout,
            lookups=tuple(
                spellings[f"limit {c.vocabulary}" if layout.is_limit(c) else c.vocabulary or c.kind] for c in codes
            ),
            codes=_picking([place[c.field] for c in codes]),
            own=named[layout.own_time] if layout.own_time else -1,
            recorded_at=named.get("recorded_at", -1),
            instants=_picking([named[name] for name in others]),
            texts=_picking([place[c.field] for c in texts]),
            text_names=tuple(c.name for c in texts),
            numbers=tuple((place[c.field], c.name) for c in layout.of_kind("number")),
            references=tuple((place[c.field], c) for c in references),
            counts=_picking([place[c.field] for c in counts]),
            names=(*(c.name for c in (*codes, *references, *counts)), *first, *others),
            sizes=(len(codes), len(references) + len(counts), len(named)),
            identity=place[identity[0]] if identity else -1,
            checked=layout.table != "leads" and layout.own_time is not None,
        )


def _picking(places: list[int]) -> Pick:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda fields: [fields[place] for place in places]


_PLANS: dict[int, tuple[Vocabularies, dict[str, Plan]]] = {}


def plans(vocabularies: Vocabularies) -> dict[str, Plan]:
    """Plans of every table, made once for each object of vocabularies, which is kept so that its id stays its own."""
    found = _PLANS.get(id(vocabularies))
    if found is None:
        spellings: dict[str, dict[Any, int]] = {name: Spellings(one) for name, one in vocabularies.items()}
        limits = {c.vocabulary for layout in LAYOUTS.values() for c in layout.columns if layout.is_limit(c)}
        spellings |= {f"limit {name}": Limits(vocabularies[name]) for name in limits}
        spellings |= {"yesno": {None: 0, False: 1, True: 2}, "present": Presence({None: 1})}
        found = (
            vocabularies,
            {name: Plan.of(one, spellings) for name, one in (*LAYOUTS.items(), ("colleagues", COLLEAGUES))},
        )
        if len(_PLANS) >= MAX_VOCABULARIES:
            _PLANS.clear()
        _PLANS[id(vocabularies)] = found
    return found[1]
