"""Small pictures of a share over time, as inline SVG: a line, its interval as a band, the last value in words.

Colors stay apart for color-blind readers, and the title of a picture says what it shows to who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup, escape

from models.shares import Share

WIDTH, HEIGHT = 440, 118
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 62, 12, 22
BLUE, GREEN, INK, FAINT, GRID = "#0072B2", "#00694d", "#1f2a34", "#5b6875", "#e1e6ea"


def spark(title: str, values: Sequence[tuple[date, Share]], color: str = BLUE) -> Markup:
    """The picture of a share at some days, oldest first, with its 95 % interval; empty for fewer than two."""
    known = [(day, share) for day, share in values if share.of]
    if len(known) < 2:
        return Markup("")
    first, last = known[0][0], known[-1][0]
    top = _ceiling(max(share.interval[1] for _, share in known))
    across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    days = max((last - first).days, 1)

    def x(day: date) -> float:
        return _LEFT + across * (day - first).days / days

    def y(rate: float) -> float:
        return _TOP + down * (1 - rate / top)

    band = [(x(d), y(s.interval[0])) for d, s in known] + [(x(d), y(s.interval[1])) for d, s in reversed(known)]
    line = [(x(d), y(s.rate)) for d, s in known]
    end = known[-1][1]
    told = f"{title}: from {known[0][1].rate:.1%} on {first} to {end.rate:.1%} on {last}"
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{escape(told)}</title>",
        *(_rule(y(value), _percent(value, top)) for value in (0.0, top / 2, top)),
        f'<polygon points="{_points(band)}" fill="{color}" opacity="0.16"/>',
        f'<polyline points="{_points(line)}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>',
        *(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.4" fill="{color}"/>' for px, py in line),
        _text(line[-1][0] + 8, line[-1][1] + 4, f"{end.rate:.1%}", INK, "start", 13),
        _text(_LEFT, HEIGHT - 5, f"{first:%d %b %Y}", FAINT, "start", 11),
        _text(x(last), HEIGHT - 5, f"{last:%d %b %Y}", FAINT, "end", 11),
        "</svg>",
    ]
    # Every text above is a number, a date or escaped.
    return Markup("".join(parts))  # noqa: S704


def _rule(y: float, label: str) -> str:
    line = f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{GRID}"/>'
    return line + _text(_LEFT - 6, y + 4, label, FAINT, "end", 11)


def _text(x: float, y: float, text: str, color: str, anchor: str, size: int) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size}" text-anchor="{anchor}" '
        f'font-family="system-ui, DejaVu Sans, sans-serif">{escape(text)}</text>'
    )


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in points)


def _percent(value: float, top: float) -> str:
    return f"{value:.0%}" if top >= 0.04 or value == 0 else f"{value:.1%}"


def _ceiling(value: float) -> float:
    """A round number not below a share, so that the axis ends on one."""
    steps = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.16, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    return next((step for step in steps if value <= step), 1.0)
