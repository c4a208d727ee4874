"""What contradicts itself, what names nobody, and how many leads ever said anything about a channel."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import exact
from features.intake.quality.findings import Conflict, ConsentCover, Match
from features.intake.quality.staleness import people_and_places
from features.intake.settle import Counts
from features.intake.sources import Intake
from features.tables import SKEW_US, UNKNOWN_INSTANT, YES, Columns, Tables, microseconds

OTHER_CONTENT = "another row with the same key has other content"
UNKNOWN_LEAD = "reference to an unknown lead"
_NAMING_LEADS = ("events", "touches", "consents", "suppressions", "cases", "outcomes", "memberships")


def conflicts(intake: Intake, as_of: datetime) -> tuple[Conflict, ...]:
    """Contradictions, the most frequent first: between rows of one key, a lead and its account, a row and itself."""
    found = [
        Conflict(table, rows, count.read, "two rows have the same key and other content; the second is rejected")
        for table, count in intake.counts.items()
        if (rows := _rejected(intake, table, OTHER_CONTENT))
    ]
    latest = people_and_places(intake.tables, as_of)
    found += _of_leads(latest["leads"], latest["accounts"], len(intake.tables.account_ids), microseconds(as_of))
    found += _of_rows(intake.tables)
    return tuple(sorted((c for c in found if c.rows), key=lambda c: -c.rows))


def matches(intake: Intake) -> tuple[Match, ...]:
    """For every table that names leads how many of its rows name one that exists."""
    nothing = Counts(0, 0, 0, 0)
    counted = ((table, intake.counts.get(table, nothing).read) for table in _NAMING_LEADS)
    return tuple(Match(table, read, _rejected(intake, table, UNKNOWN_LEAD)) for table, read in counted if read)


def consent_cover(tables: Tables, settings: Settings) -> tuple[ConsentCover, ...]:
    """Leads with any statement about each channel, whatever it says; statements without a channel come last."""
    rows = tables.consents
    if not rows or not len(rows["lead"]):
        return ()
    total = max(len(tables.lead_ids), 1)
    size = len(rows["lead"])
    lead, channel = exact(rows, "lead", np.int32, size), exact(rows, "channel", np.uint8, size)
    names = (*settings.vocabularies["channel"].values, "no channel given")
    found = []
    for code, name in enumerate(names, start=1):
        # The last name stands for code 0.
        leads = len(np.unique(lead[(channel == code % len(names)) & (lead >= 0)]))
        if leads or code < len(names):
            found.append(ConsentCover(name, leads, leads / total))
    return tuple(found)


def _rejected(intake: Intake, table: str, reason: str) -> int:
    """Rows of a table that were rejected for a reason; a reject names the file, whose stem is the table's name."""
    rejects = intake.rejects
    if rejects.num_rows == 0:
        return 0
    named = pc.match_substring_regex(rejects["file"], f"(^|/){table}(\\.[a-z]+$|/)")
    return int(pc.sum(pc.and_(named, pc.equal(rejects["reason"], reason))).as_py() or 0)


def _of_leads(leads: Columns, accounts: Columns, account_count: int, cut: int) -> list[Conflict]:
    if not leads:
        return []
    n = len(next(iter(leads.values())))
    found: list[Conflict] = []

    def note(wrong: NDArray[np.bool_], says: str, table: str = "leads") -> None:
        found.append(Conflict(table, int(wrong.sum()), len(wrong), says))

    country, account = exact(leads, "country", np.uint8, n), exact(leads, "account", np.int32, n)
    if accounts and account_count:
        theirs = np.append(exact(accounts, "country", np.uint8, account_count), np.uint8(0))[account]
        note((country != 0) & (theirs != 0) & (country != theirs), "lead and account name different countries")
        parent = exact(accounts, "parent", np.int32, account_count)
        note(parent == np.arange(account_count), "the account is its own parent", "accounts")
    verified = exact(leads, "verified_at", np.int64, n)
    created = exact(leads, "created_at", np.int64, n)
    note(verified > cut + SKEW_US, "verified after the day of the check")
    both = (verified != UNKNOWN_INSTANT) & (created != UNKNOWN_INSTANT)
    note(both & (verified < created), "verified before it was created")
    return found


def _of_rows(tables: Tables) -> list[Conflict]:
    found: list[Conflict] = []
    for table, first, second, says in (
        ("consents", "captured_at", "expires_at", "the consent ends before it was given"),
        ("suppressions", "since_at", "until_at", "the stop ends before it begins"),
        ("cases", "opened_at", "closed_at", "the case was closed before it was opened"),
        ("memberships", "entered_at", "left_at", "the membership ended before it began"),
    ):
        rows: Columns = getattr(tables, table)
        if rows and first in rows and second in rows:
            begins, ends = rows[first], rows[second]
            given = (begins != UNKNOWN_INSTANT) & (ends != UNKNOWN_INSTANT)
            found.append(Conflict(table, int((given & (ends < begins)).sum()), len(begins), says))
    consents = tables.consents
    if consents and "proven" in consents and len(consents["proven"]):
        unproven = consents["proven"] != YES
        found.append(Conflict("consents", int(unproven.sum()), len(unproven), "no proof of the statement is recorded"))
    return found
