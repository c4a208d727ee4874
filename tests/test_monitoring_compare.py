"""Two results side by side: what moved by hand-made numbers, who is told, what is said in words, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.monitoring import AlertRule, MonitoringSettings
from configs.settings import Settings, load_settings
from policy.book import Book
from training.monitoring.alerts import alerts_of, is_over
from training.monitoring.compare import monitor
from training.monitoring.decided import book_changes, decided_between
from training.monitoring.page import render_monitor
from training.monitoring.watch import Monitored, Watch

JUNE_23, JUNE_30 = datetime(2026, 6, 23, tzinfo=UTC), datetime(2026, 6, 30, tzinfo=UTC)
SEGMENT = "onc_community_center"
STRINGS = pa.list_(pa.string())


@cache
def shipped() -> Settings:
    """The shipped settings, with fewer exchanges, which is quicker and judges at the same level."""
    settings = load_settings()
    return settings.model_copy(
        update={"monitoring": settings.monitoring.model_copy(update={"flips": 500, "blocks": 200})}
    )


def leads(
    n: int = 400, *, hot: int = 40, held: int = 80, emailed: int = 200, rule: str = "FRQ-01", first: int = 0
) -> list[dict[str, Any]]:
    """So many leads, four to an account: the first `hot` are hot, `held` in the segment, `emailed` permitted e-mail."""
    return [
        {
            "lead_id": f"L{at:05d}",
            "unit": f"account A{at // 4:04d}",
            "band": "hot" if at < hot else "cold",
            "band_reason": None,
            "probability": 0.8 if at < hot else 0.1 + 0.0001 * (at % 7),
            "segments": [SEGMENT] if at < held else ["unsegmented"],
            "primary_segment": SEGMENT if at < held else "unsegmented",
            "segment_statuses": ["active", "active"],
            "fit_points": at % 10,
            "email_permitted": at < emailed,
            "email_rules": [] if at < emailed else [rule],
            "action": "send_guide" if at < emailed else "none",
            "newest_event_at": JUNE_23 - timedelta(days=at % 30),
        }
        for at in range(first, first + n)
    ]


def result(
    folder: Path, people: Sequence[Mapping[str, Any]], as_of: datetime = JUNE_23, *, parts: int = 1,
    without: Sequence[str] = (), **manifest: Any,
) -> Path:  # fmt: skip
    """A folder as `leadwell rescore` writes it; what people did last is as long ago on every night."""
    types = {"segments": STRINGS, "segment_statuses": STRINGS, "email_rules": STRINGS, "band_reason": pa.string()}
    named = [name for name in people[0] if name not in ("unit", *without)]
    rows = [{**row, "newest_event_at": row["newest_event_at"] + (as_of - JUNE_23)} for row in people]
    for kind, names in (("decisions", named), ("assignments", ["lead_id", "unit"])):
        (folder / kind).mkdir(parents=True)
        for part in range(parts):
            columns = {name: pa.array([row[name] for row in rows[part::parts]], types.get(name)) for name in names}
            pq.write_table(pa.table(columns), folder / kind / f"part-{part:05d}.parquet")
    said = {
        "as_of": as_of.isoformat(), "leads": len(rows), "replay": False, "merkle_root": f"root {len(rows)} {as_of}",
        "bundle": "b" * 64, "policy": "p" * 64, "segments": "s" * 64, "assets": "a" * 64, "features": "f" * 64,
        "rows": {"events": {"read": 1000, "used": 1000, "rejected": 0, "duplicate": 0}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(said | manifest), encoding="utf-8")
    return folder


def compared(tmp_path: Path, later: Sequence[Mapping[str, Any]], **manifest: Any) -> Monitored:
    """The later leads beside those of `leads()` a week before."""
    old = result(tmp_path / "old", leads())
    new = result(tmp_path / "new", later, JUNE_30, **manifest)
    return monitor([old, new], shipped())


def watch_of(found: Monitored, kind: str, name: str) -> Watch:
    return next(watch for watch in found.watches if (watch.kind, watch.name) == (kind, name))


def test_the_same_leads_a_week_later_move_nothing_and_alert_nobody(tmp_path: Path) -> None:
    found = compared(tmp_path, leads())
    assert not found.beyond and not found.alerts
    # A lead with two active memberships is one lead with one.
    assert watch_of(found, "status", "active").hits == (400, 400)
    assert any("Nothing that decides was changed" in text for text in found.words)
    assert found.words[-1] == "No alert."


def test_equal_results_are_said_to_be_equal(tmp_path: Path) -> None:
    rows = leads()
    old = result(tmp_path / "old", rows, merkle_root="same")
    new = result(tmp_path / "new", rows, merkle_root="same")
    found = monitor([old, new], shipped())
    assert not found.beyond
    assert found.words[0] == "Both results decide the same about everybody: their Merkle roots are equal."


def test_a_segment_that_grew_is_told_by_hand_to_its_owner_with_who_entered(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(held=160))
    grown = watch_of(found, "segment", SEGMENT)
    assert (grown.hits, grown.of) == ((80, 160), (400, 400))
    assert (grown.earlier, grown.later, grown.change, grown.relative) == (
        0.2,
        0.4,
        pytest.approx(0.2),
        pytest.approx(1),
    )
    assert grown.beyond and 0 < (grown.low or 0) < 0.2 < (grown.high or 0)
    owner = next(definition.owner for definition in shipped().segments if definition.id == SEGMENT)
    alert = next(alert for alert in found.alerts if alert.kind == "segment" and SEGMENT in alert.names)
    assert alert.owner == owner
    assert found.causes[f"segment {SEGMENT}"] == ("80 entered",)


def test_who_lost_the_permit_is_counted_under_the_rule_that_stops_them_now(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(emailed=120, rule="GEN-01"))
    lost = watch_of(found, "permit", "email")
    assert (lost.hits, lost.change) == ((200, 120), pytest.approx(-0.2))
    # 80 leads lost it and GEN-01 stops them now; FRQ-01, which stopped 200, stops nobody any more.
    assert found.causes["permit email"] == ("80 lost it, stopped by: GEN-01 80",)
    assert watch_of(found, "rule", "email GEN-01").hits == (0, 280)
    assert watch_of(found, "rule", "email FRQ-01").hits == (200, 0)
    by_rule = {alert.rule: alert for alert in found.alerts}
    assert by_rule["permits_fell"].owner == "compliance" and "permits_rose" not in by_rule
    assert by_rule["rule_fires_more"].names == ("email GEN-01",)
    assert any("80 lost it, stopped by: GEN-01 80" in text for text in found.words)


def test_two_leads_of_four_hundred_move_nothing_beyond_noise(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(hot=42, held=82))
    assert watch_of(found, "band", "hot").hits == (40, 42)
    assert not found.beyond and not found.alerts


def test_leads_of_one_account_count_once_in_what_is_noise(tmp_path: Path) -> None:
    # 20 leads became hot: of 5 accounts of 4 leads that is at most sqrt(5) = 2.2, of 20 accounts nearly sqrt(20) = 4.5.
    together = compared(tmp_path / "together", leads(hot=60))
    alone = [[row | {"unit": row["lead_id"]} for row in rows] for rows in (leads(), leads(hot=60))]
    old, new = result(tmp_path / "old", alone[0]), result(tmp_path / "new", alone[1], JUNE_30)
    assert not watch_of(together, "band", "hot").beyond
    assert watch_of(monitor([old, new], shipped()), "band", "hot").beyond


def test_who_came_and_who_went_is_counted(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(400, first=10))
    assert found.causes["leads"] == ("10 came", "10 went")
    assert any("400 leads, as many as before (10 came, 10 went)" in text for text in found.words)


def test_rows_that_stopped_coming_alert_the_data_steward(tmp_path: Path) -> None:
    rows = {"events": {"read": 500, "used": 480, "rejected": 20, "duplicate": 0}}
    found = compared(tmp_path, leads(), rows=rows)
    fell = watch_of(found, "rows", "events used")
    assert (fell.hits, fell.change, fell.low) == ((1000, 480), -520, None)
    # None of 1,000 rows was rejected, then 20 of 500: 4 points more, which is no chance.
    assert watch_of(found, "rejected", "events").change == pytest.approx(0.04)
    assert [alert.rule for alert in found.alerts] == ["feed_shrank", "rows_rejected"]
    assert {alert.owner for alert in found.alerts} == {"data steward"}


def test_a_changed_version_is_named_from_what_to_what(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(), policy="q" * 64)
    assert (
        "Changed between them: the policy (pppppppp to qqqqqqqq); the same bundle, segment map, assets and feature set."
        in found.words
    )
    assert any("--audit" in text for text in found.words)


def test_the_order_of_leads_and_how_they_are_split_into_parts_changes_nothing(tmp_path: Path) -> None:
    later = leads(held=120, hot=60)
    whole = compared(tmp_path / "whole", later)
    old = result(tmp_path / "old", list(reversed(leads())), parts=3)
    new = result(tmp_path / "new", list(reversed(later)), JUNE_30, parts=2)
    parted = monitor([old, new], shipped())

    def plain(found: Monitored) -> dict[tuple[str, str], Watch]:
        return {(watch.kind, watch.name): watch for watch in found.watches}

    assert plain(whole) == plain(parted)


def test_a_first_result_is_described_and_nothing_is_compared(tmp_path: Path) -> None:
    found = monitor([result(tmp_path / "one", leads())], shipped())
    assert not found.watches and not found.alerts
    assert found.words == ("This is the first result, of 23 June 2026: 400 leads. Nothing to compare it with.",)


def test_a_column_that_only_one_result_has_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    old = result(tmp_path / "old", leads(), without=["fit_points", "email_permitted", "email_rules"])
    found = monitor([old, result(tmp_path / "new", leads(held=160), JUNE_30)], shipped())
    assert found.not_compared == (
        "fit points: the result of 2026-06-23 has no column fit_points",
        "channel email: only one of the two results knows it",
    )
    assert watch_of(found, "segment", SEGMENT).beyond
    assert not any(watch.kind == "permit" for watch in found.watches)


def test_the_permits_of_a_replay_are_not_compared(tmp_path: Path) -> None:
    old = result(tmp_path / "old", leads(emailed=0), replay=True)
    found = monitor([old, result(tmp_path / "new", leads(), JUNE_30)], shipped())
    assert not {"permit", "rule", "action"} & {watch.kind for watch in found.watches}
    assert "replay" in found.not_compared[0]


def test_several_results_give_a_trend_of_every_share(tmp_path: Path) -> None:
    folders = [
        result(tmp_path / str(week), leads(hot=40 + 4 * week), JUNE_23 + timedelta(days=7 * week)) for week in range(3)
    ]
    points = monitor(folders, shipped()).trends["band", "hot"]
    assert [(point.hits, point.of) for point in points] == [(40, 400), (44, 400), (48, 400)]


def test_what_is_no_result_or_out_of_order_is_refused_by_name(tmp_path: Path) -> None:
    good, later = result(tmp_path / "good", leads()), result(tmp_path / "later", leads(), JUNE_30)
    with pytest.raises(InputInvalid, match="manifest"):
        monitor([tmp_path], shipped())
    with pytest.raises(InputInvalid, match="oldest first"):
        monitor([later, good], shipped())
    with pytest.raises(InputInvalid, match="another result"):
        monitor([good, good], shipped())
    (later / "decisions" / "part-00000.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputInvalid, match="Parquet"):
        monitor([good, later], shipped())
    (good / "manifest.json").write_text('{"as_of": 3}', encoding="utf-8")
    with pytest.raises(InputInvalid, match="as_of"):
        monitor([good], shipped())


WATCH = Watch("permit", "email", "share", 0.5, 0.45, -0.05, -0.08, -0.02, (500, 450), (1000, 1000), True, "")


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        ({"points": 5}, True),
        ({"points": 5.01}, False),
        ({"relative": 0.1}, True),
        ({"relative": 0.11}, False),
        ({"points": 5, "relative": 0.11}, False),
        ({"points": 1, "direction": "up"}, False),
        ({"points": 1, "direction": "down"}, True),
    ],
)
def test_an_alert_needs_every_limit_and_the_direction(limits: dict[str, Any], over: bool) -> None:
    rule = AlertRule(id="one", watch="permit", owner="x", says="y", **limits)
    assert is_over(rule, WATCH, 50) is over


def test_noise_and_too_few_leads_alert_nobody_whatever_the_size() -> None:
    rule = AlertRule(id="one", watch="permit", owner="x", says="y", points=1)
    settings = MonitoringSettings(alerts=(rule,), min_leads=50)
    assert len(alerts_of([WATCH], settings)) == 1
    assert not alerts_of([replace(WATCH, beyond=False)], settings)
    assert not alerts_of([replace(WATCH, hits=(49, 0))], settings)
    only = rule.model_copy(update={"only": ("phone",)})
    assert not alerts_of([WATCH], MonitoringSettings(alerts=(only,)))


def test_something_out_of_nothing_is_over_any_relative_limit() -> None:
    rule = AlertRule(id="one", watch="rule", owner="x", says="y", relative=5)
    assert is_over(rule, replace(WATCH, kind="rule", earlier=0.0, later=0.1, change=0.1), 50)


def test_what_was_decided_between_two_days_is_said_by_its_date() -> None:
    settings = shipped()
    asset = next(asset for asset in settings.assets if asset.approval is not None)
    assert asset.approval is not None
    ends = asset.approval.expires_on
    said = list(decided_between(settings, ends - timedelta(days=1), ends))
    assert any("approval ended" in text and asset.asset_id in text for text in said)
    assert not any(asset.asset_id in text for text in decided_between(settings, ends, ends + timedelta(days=1)))
    step = settings.approvals[0]
    day = step.entered_on or step.on
    assert any(step.segment in text for text in decided_between(settings, day - timedelta(days=1), day))


def test_two_books_of_rules_are_told_apart_rule_by_rule() -> None:
    settings = shipped()
    whole = Book.load(settings, date(2026, 6, 30))
    rules = list(whole.rules)
    fewer = replace(whole, rules=tuple(rules[1:]))
    louder = rules[1].card.model_copy(update={"effect": "review", "says": "otherwise said"})
    changed = replace(whole, rules=(rules[0], replace(rules[1], card=louder), *rules[2:]))
    assert list(book_changes(whole, fewer)) == [f"Rules gone: {rules[0].card.id}."]
    assert list(book_changes(fewer, whole)) == [f"Rules added: {rules[0].card.id}."]
    assert list(book_changes(whole, changed)) == [f"Rules changed: {rules[1].card.id} (effect)."]


def test_the_page_escapes_what_it_shows_and_loads_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, leads(held=160, emailed=100, rule="GEN-01"))
    page = render_monitor(replace(found, words=("<script>alert(1)</script>",)))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert page.count("<svg") >= 4
    first = render_monitor(monitor([tmp_path / "old"], shipped()))
    assert "nothing to compare it with yet" in first


def test_everything_found_is_also_plain_json(tmp_path: Path) -> None:
    found = json.loads(json.dumps(compared(tmp_path, leads(held=160)).to_json()))
    assert {alert["rule"] for alert in found["alerts"]} >= {"segment_moved"}
    assert len(found["watches"]) == len({(watch["kind"], watch["name"]) for watch in found["watches"]})


def test_a_night_without_leads_has_no_shares_that_could_have_fallen(tmp_path: Path) -> None:
    old, new = result(tmp_path / "old", leads()), result(tmp_path / "new", leads(), JUNE_30, leads=0)
    for part in (*new.glob("decisions/*.parquet"), *new.glob("assignments/*.parquet")):
        pq.write_table(pq.read_table(part).slice(0, 0), part)
    found = monitor([old, new], shipped())
    assert {watch.measure for watch in found.watches} == {"count"}
    assert found.not_compared[-1] == "shares and distributions: the result of 2026-06-30 has no lead"
    assert [alert.rule for alert in found.alerts] == ["feed_shrank"]


def test_a_result_that_was_not_copied_whole_is_refused(tmp_path: Path) -> None:
    folder = result(tmp_path / "old", leads())
    part = next((folder / "decisions").glob("*.parquet"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {f"decisions/{part.name}": {"bytes": part.stat().st_size, "sha256": "-"}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert monitor([folder], shipped()).runs[0].leads == 400
    pq.write_table(pq.read_table(part).slice(0, 100), part)
    with pytest.raises(InputInvalid, match="another size"):
        monitor([folder], shipped())
