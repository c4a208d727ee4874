"""The comparison as one offline page: in words, whom it concerns, pictures with limits, and a table of everything."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from models.shares import Share
from training.monitoring.pictures import changes, distribution, reliability
from training.monitoring.things import TITLES
from training.monitoring.watch import Monitored, Watch
from training.reviews.sparks import GREEN, spark

# So many rows a picture; the table below it has all.
MOST_ROWS, MOST_SPREADS, MOST_TRENDS = 24, 8, 12
SHARES = (
    ("band", "Bands", "Share of leads in each readiness band."),
    ("segment", "Segment sizes", "Share of leads that each segment holds; a lead may be in several."),
    ("permit", "Permits", "Share of leads that may be contacted on each channel."),
    ("rule", "Rules", "Share of leads that each rule stops on a channel, those that moved most."),
    ("status", "Statuses", "Share of leads with a membership of that status."),
    ("action", "What is done", "Share of leads by next action, asset and team."),
)


def render_monitor(found: Monitored) -> str:
    """The whole page as text; every value is escaped and nothing is loaded."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda value: f"{round(value):,}",
        "pc": lambda value: "" if value is None else f"{value:.1%}",
        "words": lambda text: text.replace("_", " "),
        "called": lambda text: (TITLES.get(text) or text).replace("_", " "),
        "sentence": lambda text: f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}",
    }
    return environment.get_template("monitor.html").render(
        m=found,
        later=found.runs[-1],
        earlier=found.runs[-2] if len(found.runs) > 1 else None,
        compared=[watch for watch in found.watches if watch.measure != "count"],
        shares=[(title, says, _picture(title, found, kind), _moved(found, kind)) for kind, title, says in SHARES],
        rows=[watch for watch in found.watches if watch.kind in ("rows", "rejected")],
        spreads=[(watch, distribution(watch)) for watch in _spreads(found.watches)],
        spread_count=sum(watch.measure == "psi" for watch in found.watches),
        judged=[
            (as_of, says, reliability(f"Predictions of {as_of:%d %B %Y}", bins))
            for as_of, says, bins in found.calibration
        ],
        gaps=[watch for watch in found.watches if watch.kind == "calibration"],
        trends=_trends(found),
    )


def _picture(title: str, found: Monitored, kind: str) -> object:
    rows = [watch for watch in found.watches if watch.kind == kind]
    rows.sort(key=lambda watch: (not watch.beyond, -abs(watch.change)))
    return changes(f"{title}: change in points, with limits", rows[:MOST_ROWS])


def _moved(found: Monitored, kind: str) -> tuple[int, int]:
    """How many of a kind are beyond noise, of how many."""
    rows = [watch for watch in found.watches if watch.kind == kind]
    return sum(watch.beyond for watch in rows), len(rows)


def _spreads(watches: Sequence[Watch]) -> list[Watch]:
    spreads = [watch for watch in watches if watch.measure == "psi"]
    return sorted(spreads, key=lambda w: (w.kind != "score", not w.beyond, -w.change))[:MOST_SPREADS]


def _trends(found: Monitored) -> list[tuple[str, object]]:
    """A share over all nights given; two nights are a comparison and no trend."""
    if len(found.runs) < 3:
        return []
    drawn = []
    for (kind, name), points in found.trends.items():
        if kind == "band" and name.startswith("because "):
            continue
        values = [(point.as_of.date(), Share(point.hits, point.of)) for point in points]
        title = f"{kind} {name}".replace("_", " ")
        rates = [share.rate for _, share in values] or [0.0]
        drawn.append((max(rates) - min(rates), title, spark(title, values, GREEN if kind == "segment" else "#0072B2")))
    drawn.sort(key=lambda row: -row[0])
    return [(title, picture) for _, title, picture in drawn[:MOST_TRENDS] if picture]
