"""Books of more rules than a word has bits: every form, what is said of one lead, and the answers in both paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import policy.rulings as engine
from configs.cards import RuleCard
from configs.checks import condition_problems
from configs.settings import Settings, load_settings
from features.intake.sources import find_files, read_tables
from features.tables import YES
from policy.answers import answers
from policy.book import Book
from policy.masks import WORD, as_number, as_numbers, cut, error_bit, of_numbers, words_of
from policy.proofs.differential import ruled_by
from policy.proofs.expected import expected, expected_words
from policy.proofs.populations import Population, plain, population
from policy.proofs.small_books import CHANNELS, many_cards, small_settings
from policy.published.sql import DECISIONS, FACTS, KEYS, book_sql
from policy.rulings import rule
from serving.columns import decision_table
from serving.decide import Decider, Decisions
from serving.kernels import by_channel
from serving.render import render

ON = date(2026, 11, 22)
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
COUNTS = (63, 64, 127, 200)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def made(count: int) -> tuple[Settings, Book]:
    settings = small_settings(shipped(), many_cards(count, count, count), CHANNELS[:7], ON)
    return settings, Book.load(settings, ON, "send")


def drawn(book: Book) -> Iterator[Population]:
    yield population(book, 9, 2, 3, 0.0)
    yield population(book, 3, 1, 4, 0.0, absent=0.4)
    yield plain(book, population(book, 1, 2, 5, 0.0))


def test_a_group_has_a_bit_more_than_rules_and_keeps_its_order_when_cut() -> None:
    # 63 rules and the bit of an error fill a word; one rule more needs another.
    assert [words_of(n) for n in (0, 1, 63, 64, 127, 128, 200)] == [1, 1, 1, 2, 2, 3, 4]
    assert [error_bit(n) for n in (0, 63, 64, 128)] == [63, 63, 127, 191]
    for n in (0, 1, 63, 64, 65, 128, 200):
        parts = cut(range(n))
        assert len(parts) == words_of(n) and all(len(part) <= WORD for part in parts)
        assert [one for part in parts for one in part] == list(range(n))


def test_numbers_become_masks_and_come_back() -> None:
    numbers = [0, 1, 2**63, 2**64, 2**127 - 1, 2**191]
    masks = of_numbers(numbers, 3)
    assert masks.shape == (6, 3) and masks[2].tolist() == [2**63, 0, 0] and masks[3].tolist() == [0, 1, 0]
    assert as_numbers(masks) == [as_number(one) for one in masks] == numbers
    with pytest.raises(OverflowError):
        of_numbers([2**64], 1)


@pytest.mark.parametrize("count", COUNTS)
def test_every_form_says_of_many_cards_what_their_words_say(count: int) -> None:
    _, book = made(count)
    assert len(book.rules) == len(book.permits) == len(book.score_rules) == count
    last = 0
    for facts in drawn(book):
        wanted = expected(book, facts)
        last |= int(np.bitwise_or.reduce(wanted["blocks"], axis=None)) >> count - 1
        for small in (0, facts.n):  # as columns, and lead by lead
            found = ruled_by(book, facts, small)
            for name, masks in wanted.items():
                np.testing.assert_array_equal(found[name], masks, err_msg=name)
    assert last == 1  # the last rule fired for somebody


@pytest.mark.parametrize("count", COUNTS[1:])
def test_what_is_said_of_one_lead_names_rules_of_every_word(count: int) -> None:
    _, book = made(count)
    facts = plain(book, population(book, 1, 2, 7, 0.0))
    ruled, place = rule(book, facts), (0, 1, 2)
    said = expected_words(book, facts, place)
    assert ruled.rule_ids(*place) == said["rules"] and ruled.permit_ids(*place) == said["permits"]
    assert ruled.headline(*place) == said["headline"] and ruled.open_permits(*place) == said["open permits"]
    assert facts.one is not None
    short = answers(book, facts.one, 2)[1][2]
    assert sorted(short.rules) == sorted(said["rules"]) and list(short.permits) == said["permits"]
    words = {[one.id for one in book.rules].index(name) // WORD for name in said["rules"] if name != "NO_LEGAL_BASIS"}
    assert words == set(range((count - 1) // WORD + 1))


@pytest.mark.parametrize("count", COUNTS)
def test_an_error_is_told_apart_from_the_last_rule(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, book = made(count)
    facts = population(book, 2, 2, 3, 0.0)
    assert "EVALUATION_ERROR" not in {name for c in range(7) for name in rule(book, facts).rule_ids(0, 0, c)}
    monkeypatch.setattr(engine, "_few", None)
    ruled = rule(book, facts)
    assert ruled.errors == 1 and not ruled.permitted.any() and ruled.no_score.all()
    assert ruled.rule_ids(1, 1, 6) == ["EVALUATION_ERROR", "NO_LEGAL_BASIS"]
    assert [one["rule"] for one in ruled.explain_score(1)] == ["EVALUATION_ERROR"]


def test_sql_in_duckdb_names_the_same_of_two_hundred_cards() -> None:
    settings, book = made(200)
    facts = population(book, 3, 1, 11, 0.0)
    ruled, full = rule(book, facts), (3, 1, 7)
    lead, asset, channel = (axis.reshape(-1) for axis in np.indices(full))
    table: dict[str, Any] = {
        "lead_id": pa.array([str(row) for row in lead]),
        "asset_id": pa.array([str(row) for row in asset]),
        "channel": pa.array([book.channels[c] for c in channel]),
    }
    for name, _, _ in book.inputs:
        codes = np.broadcast_to(facts.columns[name], full).reshape(-1)
        kind = pa.int64() if book.domain.is_number(name) else pa.string()
        table[name] = pa.array([book.domain.value(name, int(code)) for code in codes], kind)
    with duckdb.connect() as connection:
        # Planning a view of six hundred conditions takes DuckDB's optimizer half a minute; the answers are the same.
        connection.execute("PRAGMA disable_optimizer")
        connection.execute(book_sql(book, settings, "send", "duckdb"))
        connection.register("given", pa.table(table))
        connection.execute(f"INSERT INTO {FACTS} BY NAME SELECT * FROM given")
        columns = f"rules, permits, score_stops, allowed, {', '.join(KEYS)}"
        found = connection.execute(f"SELECT {columns} FROM {DECISIONS}").fetchall()
    assert len(found) == 21
    for rules, permits, stops, allowed, lead_id, asset_id, name in found:
        at = int(lead_id), int(asset_id), book.channels.index(name)
        masks = as_number(ruled.blocks[at]), as_number(ruled.permits[at]), as_number(ruled.score_blocks[at[0]])
        for text, group, mask in zip(
            (rules, permits, stops), (book.rules, book.permits, book.score_rules), masks, strict=True
        ):
            assert text.split() == [one.id for bit, one in enumerate(group) if mask >> bit & 1]
        assert allowed == ruled.permitted[at]


def test_masks_of_some_leads_at_a_time_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    _, book = made(127)
    facts = population(book, 23, 2, 13, 0.0)
    ruled = rule(book, facts)
    monkeypatch.setattr(engine, "_PART", 5 * 2 * 7)  # five leads at a time, and three at the end
    rows, blocks, permits = zip(*((r, b.copy(), p.copy()) for r, b, p in ruled.parts()), strict=True)
    assert [(one.start, one.stop) for one in rows] == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    np.testing.assert_array_equal(np.concatenate(blocks), ruled.blocks)
    np.testing.assert_array_equal(np.concatenate(permits), ruled.permits)
    few = rule(book, population(book, 3, 2, 13, 0.0))
    [(whole, all_blocks, _)] = few.parts()
    assert (whole.start, whole.stop) == (0, 3) and all_blocks is few.blocks


@pytest.mark.parametrize("replay", [False, True])
def test_a_channel_shows_what_passes_or_what_the_fewest_rules_of_all_words_stop(replay: bool) -> None:
    draw, shape = np.random.default_rng(3), (200, 3, 2)
    blocks = draw.integers(0, 2**64, (*shape, 2), dtype=np.uint64) & draw.integers(
        0, 2**64, (*shape, 2), dtype=np.uint64
    )
    blocks[draw.random((*shape, 2)) < 0.6] = 0
    blocks[:9, 0, :, 1] = 2**64 - 1  # every bit of a word
    permits = draw.integers(0, 2, (*shape, 1), dtype=np.uint64)
    content, replies = draw.integers(0, 2**64, 2, dtype=np.uint64), np.array([False, True, False])
    asked = draw.integers(0, 3, 200).astype(np.uint8)
    passes, permitted, asset = np.empty(shape, bool), np.empty((200, 2), bool), np.empty((200, 2), np.int16)
    shown, counted = np.empty((200, 2, 2), np.uint64), np.empty((200, 2, 1), np.uint64)
    by_channel(blocks, permits, content, replies, asked, replay, passes, asset, shown, counted, permitted)
    for i, c in np.ndindex(200, 2):
        weights = []
        for a in range(3):
            offered = not replies[a] or asked[i] == YES
            masks = [int(word) for word in blocks[i, a, c]]
            goes = not any(masks) and bool(permits[i, a, c, 0]) and offered and not replay
            assert passes[i, a, c] == goes
            of_content = sum((mask & int(own)).bit_count() for mask, own in zip(masks, content, strict=True))
            stops = sum(mask.bit_count() for mask in masks)
            against = stops + 99 * of_content + (permits[i, a, c, 0] == 0) + (0 if offered else 1_000_000)
            weights.append(-1 if goes else against)
        best = weights.index(min(weights))
        assert (int(asset[i, c]), bool(permitted[i, c])) == (best, min(weights) == -1)
        assert shown[i, c].tolist() == blocks[i, best, c].tolist() and counted[i, c, 0] == permits[i, best, c, 0]
    assert permitted.any() != replay


@cache
def doubled() -> Settings:
    """The shipped cards and a second copy of each that stops people: a word more at least."""
    copies = [again(card) for card in shipped().rules if card.effect not in ("permit", "drop_feature", "mask")]
    return shipped().model_copy(update={"rules": (*shipped().rules, *copies)})


def again(card: RuleCard) -> RuleCard:
    return card.model_copy(update={"id": f"ZZ-{card.id}"})


def decided(world: Path, settings: Settings) -> Decisions:
    tables = read_tables(find_files(world / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    return Decider.load(world / "bundle", settings, on=AS_OF.date()).decide(tables, AS_OF)


def test_answers_and_columns_name_rules_of_the_last_word_and_decide_as_before(small_world: Path) -> None:
    before, now = decided(small_world, shipped()), decided(small_world, doubled())
    assert now.rulings.blocks.shape[-1] > before.rulings.blocks.shape[-1]
    np.testing.assert_array_equal(now.rulings.permitted, before.rulings.permitted)
    np.testing.assert_array_equal(now.rulings.asset, before.rulings.asset)
    np.testing.assert_array_equal(now.chosen.channel, before.chosen.channel)
    first, second = (decision_table(one).to_pylist() for one in (before, now))
    named, stops = 0, {one.id for one in before.book.rules}
    for row, (old, new) in enumerate(zip(first, second, strict=True)):
        for channel in now.book.channels:
            bare = [name for name in new[f"{channel}_rules"] if not name.startswith("ZZ-")]
            assert bare == old[f"{channel}_rules"]
            copies = {f"ZZ-{name}" for name in bare if name in stops}
            assert {name for name in new[f"{channel}_rules"] if name.startswith("ZZ-")} == copies
            named += len(copies)
        if row % 10 == 0:
            told = render(now, row)
            for channel, said in told["channels"].items():
                assert [one["rule"] for one in said.get("blocks", ())] == new[f"{channel}_rules"]
    assert named > 1_000


def test_a_fact_of_more_values_than_a_byte_has_codes_is_refused() -> None:
    settings = shipped()
    found = {name: getattr(settings, name) for name in type(settings).model_fields}
    for count, wrong in ((254, []), (255, [("us_state", "expected at most 254 values, found 255")])):
        fact = settings.facts["us_state"].model_copy(
            update={"values": (*settings.facts["us_state"].values, *map(str, range(count)))[:count]}
        )
        problems = condition_problems({**found, "facts": {**settings.facts, "us_state": fact}}, {})
        assert [(one.key, one.expected) for one in problems if one.key == "us_state"] == wrong


def test_a_day_with_fewer_cards_has_fewer_words() -> None:
    settings, book = made(64)
    assert book.error_bit == 127
    # Every made-up card is in force for one day.
    assert Book.load(settings, ON + timedelta(days=1), "send").error_bit == 63


@pytest.mark.parametrize("leads", [3, 9])
def test_narrow_numbers_and_stray_codes_are_read_alike_by_few_and_by_many(leads: int) -> None:
    _, book = made(63)
    given = population(book, leads, 2, 8, 0.0)
    wide, stray = dict(given.columns), dict(given.columns)
    for name, column in given.columns.items():
        if book.domain.is_number(name):
            wide[name] = np.clip(column, -1, 100).astype(np.int32)
        else:
            stray[name] = np.where(column == 1, 0, column)
    narrow = {name: one.astype(np.int16) if one.dtype == np.int32 else one for name, one in wide.items()}
    beyond = {
        name: np.where(one == 1, 2**62, one).astype(np.uint64) if not book.domain.is_number(name) else one
        for name, one in given.columns.items()
    }
    for known, odd in ((wide, narrow), (stray, beyond)):
        ruled, again = (rule(book, replace(given, columns=columns)) for columns in (known, odd))
        assert np.array_equal(ruled.blocks, again.blocks) and np.array_equal(ruled.permits, again.permits)
        assert again.errors == 0
