"""One account or system in words: its stage and readiness, who is missing, its people, and its coverage matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import InputInvalid
from models.buying_group import MEASURED
from serving.accounts.tables import ENGAGED, MISSING, QUIET
from serving.accounts.view import ACCOUNT, AccountsView, Level
from serving.render import instant

LIMITS = (
    "Decision readiness adds up declared points: how much of the group that the next decision needs is known and "
    "listening. It is no probability, and it does not say that they will decide or for whom. It is about an account, "
    "never about a person."
)
UNKNOWN = "unknown"
MEANS = {
    "coverage": "of the needed parts, by weight, filled by somebody engaged",
    "stage": "how far the account has come",
    "signers": "of those who may sign, the engaged",
    "awake": "of all its people, those not silent",
}


@dataclass(frozen=True, slots=True)
class Need:
    """A part that the next decision needs, who is known for it, and how many may be contacted on each channel."""

    title: str
    weight: int
    state: str
    known: int
    engaged: int
    contactable: dict[str, int]


@dataclass(frozen=True, slots=True)
class Person:
    """One of its people by id: what they do, and on which channels the rules let us contact them."""

    lead_id: str
    account_id: str
    role: str
    influence: str
    signs: bool
    parts: tuple[str, ...]
    engaged: bool
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix: known, engaged and contactable people."""

    known: int
    engaged: int
    contactable: int


@dataclass(frozen=True, slots=True)
class AccountCard:
    """Everything to be shown of one account or system; `cells` has the matrix by (row of roles, column)."""

    account_id: str
    level: str
    as_of: str
    facts: tuple[tuple[str, str], ...]
    points: int
    readiness: str
    parts: tuple[tuple[str, int, int, str], ...]
    moment: str
    why_moment: str
    says: str
    needs: tuple[Need, ...]
    people: tuple[Person, ...]
    roles: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    cells: dict[tuple[int, int], Cell]
    sites: tuple[AccountCard, ...] = ()

    @property
    def missing(self) -> str:
        """Who is missing for the next decision, in one sentence."""
        if self.moment == UNKNOWN:
            return "Which decision comes next is unknown, so nobody can be said to be missing."
        nobody = [need.title for need in self.needs if need.state == MISSING]
        quiet = [need.title for need in self.needs if need.state == QUIET]
        found = [f"Missing for {self.moment}: {'; '.join(nobody)}."] if nobody else []
        found += [f"Known and quiet: {'; '.join(quiet)}."] if quiet else []
        return " ".join(found) or f"Everybody that {self.moment} needs is known and engaged."


def card_of(view: AccountsView, account_id: str, *, own: bool = False) -> AccountCard:
    """The card of a system where the id is its top account, of the account itself otherwise or with `own`.

    Raises InputInvalid where no account of this id has people.
    """
    rows = np.flatnonzero(view.known.account_ids == account_id)
    row = int(rows[0]) if len(rows) else -1
    for level in (view.accounts,) if own else (view.systems, view.accounts):
        if row >= 0 and level.shown[row]:
            return _card(view, level, row)
    where = "of this id has people in its buying group" if row >= 0 else "has this id"
    raise InputInvalid("accounts", f"no account {where}; `leadwell accounts list` names those that have people")


def _card(view: AccountsView, level: Level, row: int) -> AccountCard:
    rules, ready = view.rules, level.readiness
    group = rules.settings.groups[level.group[row]] if level.group[row] >= 0 else None
    stage = rules.settings.stages[level.stage[row]].title if level.stage[row] >= 0 else UNKNOWN
    moment = _word(rules.moments, int(level.moment[row]))
    measure = rules.settings.readiness
    most = (measure.coverage, measure.stage, measure.signers, measure.awake)
    roles, columns, cells = _matrix(view, level, row)
    fields = ("organization_type", "care_setting", "size", "procurement_path", "implementation_stage")
    segments = [name for s, name in enumerate(view.account_segments) if view.in_segment[row, s]]
    roster = level.roster
    people = roster.unit == row
    counted = [("people", people), ("engaged", people & roster.engaged), ("silent", people & roster.silent)]
    facts = [
        *((name.replace("_", " "), _word(rules.accounts.facts[name].values, int(view.account_codes(name)[row])))
          for name in fields),
        ("product", _word(rules.products, int(level.product[row]))),
        ("stage", stage),
        ("account segments", ", ".join(segments) or "none"),
        *((name, str(int(chosen.sum()))) for name, chosen in counted),
        ("who may sign", str(int((people & roster.signs).sum()))),
    ]  # fmt: skip
    return AccountCard(
        account_id=str(view.known.account_ids[row]),
        level=level.name,
        as_of=instant(view.as_of),
        facts=tuple(facts),
        points=int(ready.points[row]),
        readiness=ready.levels[ready.level[row]] if ready.points[row] >= 0 else UNKNOWN,
        parts=tuple(
            (name, int(ready.parts[row, at]), most[at], MEANS[name]) for at, name in enumerate(MEASURED)
        ),
        moment=moment,
        why_moment="as the account says" if level.from_field[row] else f"which comes after the stage: {stage}",
        says=group.says if group else "",
        needs=_needs(view, level, row),
        people=_people(view, level, row),
        roles=roles,
        columns=columns,
        cells=cells,
        sites=() if level.name == ACCOUNT else _sites(view, row),
    )  # fmt: skip


def _needs(view: AccountsView, level: Level, row: int) -> tuple[Need, ...]:
    if level.group[row] < 0:
        return ()
    weights = view.rules.weights[level.group[row]]
    people, found = level.roster.unit == row, []
    for part in sorted(np.flatnonzero(weights).tolist(), key=lambda p: (-weights[p], p)):
        plays = people & view.plays[:, part]
        known, engaged = int(level.coverage.known[row, part]), int(level.coverage.engaged[row, part])
        by_channel = view.on_channel[plays].sum(axis=0).tolist()
        found.append(
            Need(
                title=view.rules.settings.parts[part].title,
                weight=int(weights[part]),
                state=ENGAGED if engaged else QUIET if known else MISSING,
                known=known,
                engaged=engaged,
                contactable={c: n for c, n in zip(view.book.channels, by_channel, strict=True) if n},
            )
        )
    return tuple(found)


def _people(view: AccountsView, level: Level, row: int) -> tuple[Person, ...]:
    facts, found = view.rules.domain.facts, []
    role, influence = view.lead_codes("role"), view.lead_codes("influence")
    for lead in np.flatnonzero(level.roster.unit == row).tolist():
        parts = np.flatnonzero(view.plays[lead]).tolist()
        found.append(
            Person(
                lead_id=str(view.known.lead_ids[lead]),
                account_id=str(view.known.account_ids[view.account[lead]]),
                role=_word(facts["role"].values, int(role[lead])),
                influence=_word(facts["influence"].values, int(influence[lead])),
                signs=bool(level.roster.signs[lead]),
                parts=tuple(view.rules.settings.parts[p].title for p in parts),
                engaged=bool(level.roster.engaged[lead]),
                channels=tuple(c for c, may in zip(view.book.channels, view.on_channel[lead], strict=True) if may),
            )
        )
    return tuple(sorted(found, key=lambda person: (not person.signs, not person.engaged, person.lead_id)))


def _matrix(
    view: AccountsView, level: Level, row: int
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], dict[tuple[int, int], Cell]]:
    """Roles, then (influence, purchase authority) as columns, and the filled cells between them."""
    facts = view.rules.domain.facts
    people = level.roster.unit == row
    role, influence, authority = (
        view.lead_codes(name)[people].tolist() for name in ("role", "influence", "purchase_authority")
    )
    engaged, reach = level.roster.engaged[people], view.on_channel[people].any(axis=1)
    # What is unknown comes last.
    rows = sorted(set(role), key=lambda code: (code == 0, code))
    pairs = sorted(set(zip(influence, authority, strict=True)), key=lambda pair: (pair[0] == 0, pair[0], -pair[1]))
    cells: dict[tuple[int, int], Cell] = {}
    for who, pair, active, may in zip(role, zip(influence, authority, strict=True), engaged, reach, strict=True):
        at = (rows.index(who), pairs.index(pair))
        old = cells.get(at, Cell(0, 0, 0))
        cells[at] = Cell(old.known + 1, old.engaged + int(active), old.contactable + int(may))
    signs = ("signing unknown", "may not sign", "may sign")
    return (
        tuple(_word(facts["role"].values, code) for code in rows),
        tuple((_word(facts["influence"].values, how), signs[may]) for how, may in pairs),
        cells,
    )


def _sites(view: AccountsView, row: int) -> tuple[AccountCard, ...]:
    """The accounts of a system that have people, by id."""
    below = np.unique(view.account[(view.root == row) & (view.account >= 0)])
    shown = [int(site) for site in below if view.accounts.shown[site]]
    return tuple(
        _card(view, view.accounts, site) for site in sorted(shown, key=lambda at: str(view.known.account_ids[at]))
    )


def _word(values: tuple[str, ...], code: int) -> str:
    return values[code - 1].replace("_", " ") if code > 0 else UNKNOWN
