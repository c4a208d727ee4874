"""How likely two records are one person: Splink's Fellegi-Sunter model with declared and counted probabilities."""

from __future__ import annotations

import logging
from itertools import combinations
from typing import Any

import duckdb
import pyarrow as pa

from configs.identity import ComparedSettings, LinkageSettings

# Two strangers agree at least this often on anything: a value met twice may be two records of one person.
LEAST = 1e-7


def compared_pairs(con: duckdb.DuckDBPyConnection, rules: LinkageSettings, leads: int) -> pa.Table:
    """Pairs of `records` that share a block: `low`, `high` and the likelihood `p`, from `review_at` on.

    The table `records` has a row number `place`, the same for the same lead, and one text column a trait, NULL where
    unknown.
    """
    empty = pa.table(
        {"low": pa.array([], pa.int64()), "high": pa.array([], pa.int64()), "p": pa.array([], pa.float64())}
    )
    if leads < 2:
        return empty
    blocks = _blocks(con, rules)
    # Imported here: Splink takes half a second, which no other command should pay.
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
    from splink.comparison_library import CustomComparison

    logging.getLogger("splink").setLevel(logging.ERROR)
    comparisons: list[Any] = [
        CustomComparison(output_column_name=name, comparison_levels=_levels(con, compared))
        for name, compared in rules.compared.items()
    ]
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="place",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=[block_on(block) for block in blocks],
        # Of all pairs so many are one person where the expected share of leads has one duplicate each.
        probability_two_random_records_match=min(rules.expected_share / (leads - 1), 0.5),
        retain_matching_columns=False,
        linker_uid="leadwell",
    )
    api = DuckDBAPI(con)
    linker = Linker(api.register("blocked"), settings, log_level=None)
    scored = linker.inference.predict(threshold_match_probability=rules.review_at, warning_mode="never")
    return con.sql(
        "SELECT least(place_l, place_r)::BIGINT AS low, greatest(place_l, place_r)::BIGINT AS high, "
        f"max(match_probability) AS p FROM {scored.physical_name} GROUP BY 1, 2 ORDER BY 1, 2"
    ).to_arrow_table()


def _blocks(con: duckdb.DuckDBPyConnection, rules: LinkageSettings) -> list[str]:
    """Make `blocked`: the records and a column a line of `block_on`, NULL where too many leads share its values."""
    columns = []
    for number, traits in enumerate(rules.block_on):
        key = " || chr(31) || ".join(traits)
        size = f"count(*) OVER (PARTITION BY {', '.join(traits)})"
        columns.append(f"CASE WHEN {size} <= {rules.max_block} THEN {key} END AS block_{number}")
    con.execute(f"CREATE TABLE blocked AS SELECT *, {', '.join(columns)} FROM records ORDER BY place")
    return [f"block_{number}" for number in range(len(rules.block_on))]


def _levels(con: duckdb.DuckDBPyConnection, compared: ComparedSettings) -> list[Any]:
    """Levels of a comparison: nothing known on both sides, then each trait in turn, then none of them."""
    from splink import comparison_level_library as levels

    unknown = " AND ".join(f'("{trait}_l" IS NULL OR "{trait}_r" IS NULL)' for trait in compared.traits)
    found: list[Any] = [levels.CustomLevel(unknown, label_for_charts="unknown").configure(is_null_level=True)]
    strangers = _strangers(con, compared.traits)
    for number, (trait, agree, by_chance) in enumerate(zip(compared.traits, compared.agree, strangers, strict=True)):
        level = levels.ExactMatchLevel(trait, term_frequency_adjustments=compared.by_frequency and number == 0)
        found.append(level.configure(m_probability=agree, u_probability=by_chance))
    rest = 1.0 - sum(compared.agree), max(1.0 - sum(strangers), LEAST)
    found.append(levels.ElseLevel().configure(m_probability=rest[0], u_probability=rest[1]))
    return found


def _strangers(con: duckdb.DuckDBPyConnection, traits: tuple[str, ...]) -> list[float]:
    """How often two records agree on each trait and on none before it, counted over all pairs that know any of them."""
    anything = " OR ".join(f"{trait} IS NOT NULL" for trait in traits)
    size = int(con.sql(f"SELECT count(*) FROM records WHERE {anything}").fetchall()[0][0])
    pairs = max(size * (size - 1) / 2, 1.0)
    found = []
    for number, trait in enumerate(traits):
        before = traits[:number]
        # Inclusion and exclusion over the traits before: agreed on this one, less on this one and an earlier one ...
        count = sum(
            (-1) ** len(also) * _agreeing(con, (*also, trait))
            for length in range(len(before) + 1)
            for also in combinations(before, length)
        )
        found.append(min(max(count / pairs, LEAST), 0.99 / len(traits)))
    return found


def _agreeing(con: duckdb.DuckDBPyConnection, traits: tuple[str, ...]) -> float:
    """Pairs of records that agree on all of these traits."""
    known = " AND ".join(f"{trait} IS NOT NULL" for trait in traits)
    query = f"SELECT count(*) AS n FROM records WHERE {known} GROUP BY {', '.join(traits)}"
    return float(con.sql(f"SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM ({query})").fetchall()[0][0])
