"""A look at tables: the inventory, what the files alone say, age, contradictions, and how each source tracks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.intake.quality.check import QualityReport, check
from features.intake.quality.columns import inventory, rows_equal_to_another, sentinels, word_sentinels
from features.intake.quality.findings import Match, SourceTracking
from features.intake.sources import find_files, read_tables

SETTINGS = load_settings()
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def day(ago: float) -> str:
    return (AS_OF - timedelta(days=ago)).isoformat()


def written(folder: Path, **tables: str) -> Path:
    for table, text in tables.items():
        (folder / f"{table}.csv").write_text(text)
    return folder


def checked(folder: Path) -> QualityReport:
    files = find_files(folder)
    intake = read_tables(files, SETTINGS, as_of=AS_OF)
    return check(intake, SETTINGS, as_of=AS_OF, files=files)


def tracked(folder: Path, rows: list[Mapping[str, str]]) -> tuple[SourceTracking, ...]:
    names = ("event_id", "lead_id", "occurred_at", "recorded_at", "kind", "topic", "asset_id", "depth", "source")
    lines = [",".join(row.get(name, "") for name in names) for row in rows]
    written(folder, leads="lead_id\nL1\nL2\n", events="\n".join([",".join(names), *lines]) + "\n")
    return checked(folder).tracking


def event(number: int, ago: float, **fields: str) -> dict[str, str]:
    row = {"event_id": f"E{number}", "lead_id": "L1", "kind": "page_view", "source": "web", "topic": "pricing"}
    return row | {"occurred_at": day(ago), "recorded_at": day(ago)} | fields


def test_the_inventory_tells_known_from_given_and_mapped_from_not(tmp_path: Path) -> None:
    specialties = ["oncology"] * 4 + ["Onkologie extra"] * 5 + ["podology"] + [""] * 10
    rows = "".join(f"L{i},{specialty},US,the same\n" for i, specialty in enumerate(specialties))
    report = checked(written(tmp_path, leads="lead_id,specialty,country,region\n" + rows))
    found = report.of("leads", "specialty")
    assert found is not None
    # Of 20 rows 10 have a value, 4 of them one that the vocabulary knows.
    assert (found.rows, found.given_share, found.known_share, found.mapped_share) == (20, 0.5, 0.2, 0.4)
    assert found.unmapped == 6
    # A value that one row has may be about that person: it is counted and not shown.
    assert found.top_unmapped == (("Onkologie extra", 5),)
    country, region = report.of("leads", "country"), report.of("leads", "region")
    assert country is not None and region is not None
    assert country.constant and region.constant
    assert report.of("leads", "nothing") is None


def test_values_of_a_personal_field_are_never_shown(tmp_path: Path) -> None:
    rows = "".join(f"L{i},a rare disease,my own words\n" for i in range(40))
    report = checked(written(tmp_path, leads="lead_id,condition_focus,title\n" + rows))
    found = report.of("leads", "condition_focus")
    assert found is not None and found.unmapped == 40 and found.top_unmapped == ()
    assert "my own words" not in repr(report) and "a rare disease" not in repr(report)


def test_columns_that_no_encoded_table_has_are_in_the_inventory_too(tmp_path: Path) -> None:
    report = checked(written(tmp_path, leads="lead_id,registry_id\nL1,R1\nL2,\nL3,R1\nL4,\n"))
    found = report.of("leads", "registry_id")
    assert found is not None and (found.known_share, found.distinct) == (0.5, 1)


def test_two_columns_say_the_same_if_they_divide_the_rows_alike_or_are_equal_where_every_row_differs() -> None:
    kind = np.array([1, 2, 1, 2], dtype=np.uint8)
    other = np.array([7, 3, 7, 3], dtype=np.uint8)
    unique = np.array([10, 20, 30, 40], dtype=np.int64)
    found = {
        c.column: c.same_as
        for c in inventory("t", {"a": kind, "b": other, "c": unique, "d": unique.copy(), "e": unique[::-1].copy()}, {})
    }
    assert found == {"a": None, "b": "a", "c": None, "d": "c", "e": None}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "x", "y"])), max_size=12))
def test_rows_equal_to_another_are_those_a_person_would_count(rows: list[tuple[int, str | None]]) -> None:
    numbers = np.array([n for n, _ in rows], dtype=np.uint8)
    texts = np.empty(len(rows), dtype=object)
    texts[:] = [text for _, text in rows]
    assert rows_equal_to_another([numbers, texts]) == sum(rows.count(row) > 1 for row in rows)
    line = inventory("t", {"n": numbers, "s": texts}, {})
    assert [c.distinct for c in line] == [len({n for n, _ in rows if n}), len({s for _, s in rows if s is not None})]


def test_a_number_far_from_all_others_is_reported_and_an_ordinary_extreme_is_not() -> None:
    rng = np.random.default_rng(0)
    days = np.where(np.arange(1000) < 400, 999, rng.integers(0, 28, 1000))
    # One rich person is no sentinel: too few rows; nor is the largest of evenly spread numbers.
    income = np.concatenate((rng.integers(10, 60, 999), [9_999]))
    texts = {
        n: np.array([str(v) for v in column], dtype=object) for n, column in {"days": days, "income": income}.items()
    }
    (found,) = sentinels("leads", texts, SETTINGS.quality.sentinel_words)
    assert (found.column, found.value, found.rows) == ("days", "999", 400)
    assert "between 0 and 27" in found.why


def test_a_word_for_no_answer_is_reported_where_other_answers_exist() -> None:
    words = SETTINGS.quality.sentinel_words
    assert [s.value for s in word_sentinels("t", "c", {"Select": 3, "Mumbai": 2, "N/A": 1}, 6, words)] == [
        "Select",
        "N/A",
    ]
    assert word_sentinels("t", "c", {"unknown": 6}, 6, words) == []


def test_a_word_that_the_vocabulary_knows_is_a_value_like_any_other(tmp_path: Path) -> None:
    rows = "".join(f"A{i},{need}\n" for i, need in enumerate(["none"] * 5 + ["ehr"] * 5))
    leads = "lead_id,specialty\nL1,Select\nL2,oncology\n"
    report = checked(written(tmp_path, leads=leads, accounts="account_id,integration_need\n" + rows))
    assert [(s.column, s.value) for s in report.sentinels] == [("specialty", "Select")]


def test_staleness_counts_records_in_time_by_the_day(tmp_path: Path) -> None:
    limit = SETTINGS.quality.verify_every_days["leads.role"]
    rows = [("L1", day(limit), ""), ("L2", day(limit + 1), ""), ("L3", day(900), day(10)), ("L4", day(900), "")]
    text = "lead_id,role,recorded_at,verified_at\n" + "".join(f"{i},nurse,{r},{v}\n" for i, r, v in rows)
    (found,) = [s for s in checked(written(tmp_path, leads=text)).staleness if s.field == "role"]
    assert (found.rows, found.max_age_days, found.within_share, found.verified_share) == (4, limit, 0.5, 0.25)
    assert found.ages == (10, 10, 10)


def test_ages_are_counted_in_months_of_thirty_days_then_older_then_never(tmp_path: Path) -> None:
    ages = [0, 29, 30, 59, 24 * 30 - 1, 24 * 30, 2000, None]
    rows = "".join(f"L{i},{day(2500)},{'' if a is None else day(a)}\n" for i, a in enumerate(ages))
    months = checked(written(tmp_path, leads="lead_id,recorded_at,verified_at\n" + rows)).age_months["leads"]
    assert (months[0], months[1], months[23], months[24], months[25]) == (2, 2, 1, 2, 1)
    assert sum(months) == len(ages)


def test_contradictions_are_counted_and_worded(tmp_path: Path) -> None:
    leads = f"lead_id,account_id,country,created_at,verified_at,recorded_at\nL1,A1,US,{day(9)},{day(8)},{day(8)}\n"
    leads += f"L2,A1,DE,{day(9)},{day(10)},{day(8)}\nL3,A1,,{day(9)},,{day(8)}\nL3,A1,FR,{day(9)},,{day(8)}\n"
    accounts = "account_id,country,parent_account_id\nA1,US,\nA2,US,A2\n"
    consents = f"lead_id,captured_at,expires_at,status,channel,proof\nL1,{day(5)},{day(6)},granted,email,form\n"
    report = checked(written(tmp_path, leads=leads, accounts=accounts, consents=consents))
    found = {c.says: (c.table, c.rows) for c in report.conflicts}
    # L3 has two versions of one moment: one of them is rejected, whichever it is.
    assert found.pop("two rows have the same key and other content; the second is rejected") == ("leads", 1)
    differing = found.pop("lead and account name different countries")
    assert differing[0] == "leads" and differing[1] in (1, 2)
    assert found == {
        "verified before it was created": ("leads", 1),
        "the account is its own parent": ("accounts", 1),
        "the consent ends before it was given": ("consents", 1),
    }


def test_rows_that_name_no_known_lead_lower_the_match(tmp_path: Path) -> None:
    events = "event_id,lead_id,occurred_at,recorded_at\n"
    events += "".join(f"E{i},{lead},{day(2)},{day(1)}\n" for i, lead in enumerate(["L1", "L1", "L1", "L9"]))
    report = checked(written(tmp_path, leads="lead_id\nL1\n", events=events))
    assert report.match == (Match("events", 4, 1),)
    assert report.match[0].share == 0.75
    assert Match("events", 0, 0).share == 1.0


def test_consents_are_counted_by_lead_and_channel_whatever_they_say(tmp_path: Path) -> None:
    rows = [
        ("L1", "email", "granted"),
        ("L1", "email", "withdrawn"),
        ("L2", "email", "denied"),
        ("L1", "phone", "granted"),
    ]
    text = "lead_id,captured_at,channel,status\n" + "".join(f"{i},{day(3)},{c},{s}\n" for i, c, s in rows)
    report = checked(written(tmp_path, leads="lead_id\nL1\nL2\nL3\nL4\n", consents=text))
    found = {c.channel: (c.leads, c.share) for c in report.consents}
    assert (found["email"], found["phone"], found["sms"]) == ((2, 0.5), (1, 0.25), (0, 0.0))


def test_tracking_is_counted_source_by_source(tmp_path: Path) -> None:
    rows = [event(i, i + 0.5, asset_id="x", depth="overview") for i in range(10)]
    rows += [event(100, 0.5, lead_id="L2"), event(100, 0.5, lead_id="L2")]  # delivered twice
    rows += [event(200 + i, 3.5, source="mail", topic="", recorded_at=day(1)) for i in range(4)]
    web, mail = tracked(tmp_path, rows)
    assert (web.source, web.events, web.leads) == ("web", 12, 2)
    # Ten days of L1 and one of L2 with twelve rows.
    assert web.per_lead_day == pytest.approx(12 / 11)
    assert (web.silent_days, web.longest_gap_days, web.days_since_last, web.stopped) == (0, 0, 0, False)
    assert (web.topic_share, web.repeated_id_share, web.late_share) == (1.0, pytest.approx(1 / 12), 0.0)
    assert web.asset_share == pytest.approx(10 / 12)
    assert sum(web.weekly) == 12 and web.weekly[-1] == 9  # seven days, three of them rows of the last one
    assert (mail.topic_share, mail.late_share, mail.delay_days) == (0.0, 1.0, pytest.approx(2.5))
    assert (mail.silent_days, mail.days_since_last) == (3, 3)
    assert 0 <= mail.strength < web.strength <= 1


@pytest.mark.parametrize(("since", "stopped"), [(14, False), (15, True)])
def test_a_source_has_stopped_after_the_declared_days_of_silence(tmp_path: Path, since: int, stopped: bool) -> None:
    (found,) = tracked(tmp_path, [event(i, since + 0.5 + i) for i in range(30)])
    assert (found.days_since_last, found.stopped) == (since, stopped)


def test_a_source_that_always_pauses_has_not_stopped_because_it_pauses(tmp_path: Path) -> None:
    # A monthly congress: thirty days of silence are its habit, three months are not.
    monthly = [event(i, 20.5 + 30 * i) for i in range(6)]
    assert not tracked(tmp_path, monthly)[0].stopped
    assert tracked(tmp_path, [row | {"occurred_at": day(100.5 + 30 * i)} for i, row in enumerate(monthly)])[0].stopped


def test_events_after_the_instant_and_events_without_a_source_do_not_disturb(tmp_path: Path) -> None:
    rows = [event(1, 1.5), event(2, -5), event(3, 2.5, source="")]
    found = {t.source: t.events for t in tracked(tmp_path, rows)}
    assert found == {"web": 1, "(not named)": 1}


def test_topics_are_known_by_any_spelling_of_the_vocabulary(tmp_path: Path) -> None:
    rows = [event(1, 1.5, topic="Pricing "), event(2, 1.6, topic="PRICING"), event(3, 1.7, topic="gossip")]
    assert tracked(tmp_path, rows)[0].topic_share == pytest.approx(2 / 3)


def test_parquet_and_csv_of_the_same_rows_give_the_same_report(tmp_path: Path) -> None:
    leads = {"lead_id": ["L1", "L2", "L3"], "specialty": ["oncology", None, "Select"], "country": ["US", "DE", None]}
    csv, parquet = tmp_path / "csv", tmp_path / "parquet"
    csv.mkdir(), parquet.mkdir()
    rows = zip(*leads.values(), strict=True)
    text = ",".join(leads) + "\n" + "".join(",".join(v or "" for v in row) + "\n" for row in rows)
    (csv / "leads.csv").write_text(text)
    pq.write_table(pa.table(leads), parquet / "leads.parquet")
    assert checked(csv).columns == checked(parquet).columns
    assert checked(csv).sentinels == checked(parquet).sentinels


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_the_order_of_rows_changes_nothing_in_the_report(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = [
        f"L{i},{s},{c}" for i, (s, c) in enumerate([("oncology", "US"), ("x", "DE"), ("", "US"), ("oncology", "DE")])
    ]
    shuffled = data.draw(st.permutations(rows))
    folder = tmp_path_factory.mktemp("order")
    first, second = (
        checked(written(folder, leads="\n".join(["lead_id,specialty,country", *order]) + "\n"))
        for order in (rows, shuffled)
    )
    assert first == second
