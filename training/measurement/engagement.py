"""Who engaged: what persons did on purpose on channels where the plan allows it. Interest, never prescribing.

What a machine did is left out: an agent that is one, or a click within seconds of our message.
"""

from __future__ import annotations

from training.measurement.people import words
from training.measurement.reading import Measured
from training.measurement.spend import channel_filter

DAY = 86_400_000_000


def acts(measured: Measured) -> str:
    """SQL of the rows of `measured_events` (as `e`) that count as engagement in the window."""
    plan, window = measured.settings.measurement, measured.window
    kinds = words(measured.settings, "event_kind", plan.engaging)
    counted = (
        f'e."at" >= {window.start_us} AND e."at" < {window.end_us} AND e.kind IN ({kinds}) '
        f"AND NOT coalesce(e.agent IN ({words(measured.settings, 'agent', plan.machine_agents)}), false) "
        f"AND {channel_filter(measured, 'engagement', 'event_channel', 'e.channel')}"
    )
    measured.once(
        "made_by_machine",
        "SELECT DISTINCT e.person, e.id FROM measured_events e JOIN measured_touches t ON t.person = e.person "
        f'AND t.message = e.message WHERE e."at" >= t."at" AND e."at" <= t."at" + {plan.machine_seconds * 1_000_000} '
        f"AND e.message IS NOT NULL AND {counted}",
    )
    machines = "ANTI JOIN made_by_machine m ON m.person = e.person AND m.id = e.id "
    if not measured.con.sql("SELECT count(*) FROM made_by_machine").fetchall()[0][0]:
        machines = ""
    return f"measured_events e {machines}WHERE {counted}"


def engaged(measured: Measured) -> str:
    """Make `engaged(person, returned)`: who engaged in the window, and whether on more than one UTC day."""
    return measured.once(
        "engaged",
        f'SELECT e.person, max(e."at") // {DAY} > min(e."at") // {DAY} AS returned FROM {acts(measured)} GROUP BY 1',
    )


def refusals(measured: Measured, metric: str) -> tuple[str, ...]:
    """What the plan does not allow of a metric, in words, with how many events or touches that leaves out."""
    plan, window = measured.settings.measurement, measured.window
    relation = "measured_touches" if metric in ("reach", "offers") else "measured_events"
    rows = dict(
        measured.con.sql(
            f"SELECT CAST(channel AS VARCHAR), count(*) FROM {relation} "
            f'WHERE "at" >= {window.start_us} AND "at" < {window.end_us} GROUP BY 1'
        ).fetchall()
    )
    what = "touches" if relation == "measured_touches" else "events"
    found = []
    for channel, why in plan.refused(metric):  # type: ignore[arg-type]
        if rows.get(channel):
            found.append(
                f"{metric} on {channel} is not computed ({rows[channel]:,} {what}): "
                f"{why or 'the measurement plan does not allow it'}"
            )
    named = {name: count for name, count in rows.items() if name is not None and name not in plan.channels}
    unknown = sum(named.values()) + rows.get(None, 0)
    if unknown and metric not in plan.unknown_channel:
        found.append(f"{metric} is not computed where the channel is not known or not in the plan ({unknown:,} {what})")
    return tuple(found)
