"""The window of a report: whole UTC days, half-open, over by the instant as of which it is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from configs.errors import InputInvalid
from features.tables import MICROSECONDS_A_DAY, microseconds

DEFAULT_DAYS = 90


@dataclass(frozen=True, slots=True)
class Window:
    """The days from `start` to the day before `end`, from midnight UTC to midnight UTC."""

    start: date
    end: date

    @classmethod
    def chosen(cls, as_of: datetime, start: date | None, end: date | None, days: int | None) -> Window:
        """The asked window; without days of its own the last `days` (90) that are over at `as_of`.

        Raises:
            InputInvalid: it is empty, is not over yet, or both a start and a number of days are given.
        """
        if start is not None and days is not None:
            raise InputInvalid("--days", "expected either --from or --days")
        last = as_of.astimezone(UTC).date()
        found = end or last
        begin = start if start is not None else found - timedelta(days=days if days is not None else DEFAULT_DAYS)
        if begin >= found:
            raise InputInvalid("--from", f"expected a day before the end of the window, {found}")
        if found > last:
            raise InputInvalid(
                "--to", f"expected a window that is over as of {as_of:%Y-%m-%d}: its last day may be {last} (left out)"
            )
        return cls(begin, found)

    @property
    def start_us(self) -> int:
        """Its first microsecond since 1970."""
        return _midnight(self.start)

    @property
    def end_us(self) -> int:
        """The first microsecond after it."""
        return _midnight(self.end)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days

    def overlap(self, first: date, last: date) -> tuple[int, int]:
        """Of the days from `first` to `last` (included): how many come before the window's start, before its end."""
        length = (last - first).days + 1
        return tuple(min(max((day - first).days, 0), length) for day in (self.start, self.end))  # type: ignore[return-value]

    def says(self, as_of: datetime) -> str:
        """The window in words; its last day is the last one that counts."""
        last = self.end - timedelta(days=1)
        return f"{self.start} to {last} (UTC, {self.days} days), as known on {as_of:%Y-%m-%d}"


def day_text(instant: int) -> str:
    """The UTC day of an instant in microseconds."""
    return (date(1970, 1, 1) + timedelta(days=instant // MICROSECONDS_A_DAY)).isoformat()


def _midnight(day: date) -> int:
    return microseconds(datetime.combine(day, time(), tzinfo=UTC))
