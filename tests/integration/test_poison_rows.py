"""A row that PostgreSQL refuses fails its stage, and the served tables stay as they were."""

from __future__ import annotations

import pytest
from psycopg import sql

from tests.integration.expected import sessions_ending
from tests.integration.fetch_market import NEXT_DAY, NEXT_MORNING
from tests.integration.fetch_world import FetchWorld

FUND_TABLE, BENCHMARK_TABLE = "collected_daily_etf_ohlc", "collected_daily_benchmark_ohlc"


def poison(fetch_world: FetchWorld, table: str, ticker: str) -> None:
    """Let the table refuse the row of a ticker on the next session."""
    statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT poison CHECK (ticker <> {} OR trade_date < {})")
    with fetch_world.world.owner.connect() as connection:
        connection.execute(statement.format(sql.Identifier(table), sql.Literal(ticker), sql.Literal(NEXT_DAY)))


def heal(fetch_world: FetchWorld, table: str) -> None:
    with fetch_world.world.owner.connect() as connection:
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT poison").format(sql.Identifier(table)))


@pytest.mark.parametrize(
    ("table", "ticker"),
    [
        pytest.param(FUND_TABLE, "XLI", id="a row in the middle", marks=pytest.mark.campaign),
        pytest.param(BENCHMARK_TABLE, "QQQ", id="a row of the second table"),
    ],
)
def test_a_poison_row(fetch_world: FetchWorld, table: str, ticker: str) -> None:
    assert fetch_world.run().exit_code == 0
    before = fetch_world.world.tables()
    poison(fetch_world, table, ticker)
    report = fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    assert report.exit_code == 1
    assert report.message == (
        f'PostgreSQL rejected publishing: new row for relation "{table}" violates check constraint "poison"'
    )
    assert fetch_world.world.tables() == before
    assert fetch_world.world.query("SELECT status FROM logs_pipeline_run ORDER BY started_at") == [("ok",), ("failed",)]

    heal(fetch_world, table)
    fetch_world.forget_log()
    again = fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    assert (again.exit_code, again.rows_inserted, again.rows_updated) == (0, 14, 0), again.message
    assert len(fetch_world.world.emulator.log) == 0


def test_what_came_wrong_is_not_lost_with_the_stage_that_failed(fetch_world: FetchWorld) -> None:
    market, hole = fetch_world.world.emulator.market, sessions_ending(NEXT_DAY, 3)[0]
    bar = next(bar for bar in market.bars["XLK"] if bar.trade_date == hole)
    market.add_bars("XLK", bar._replace(high=1.0))
    del market.bars["QQQ"]
    may_miss = {"gate": {"etf_coverage": 0}}
    poison(fetch_world, FUND_TABLE, "XLI")
    assert fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING, settings=may_miss).exit_code == 1
    heal(fetch_world, FUND_TABLE)
    assert fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING, settings=may_miss).exit_code == 0
    said = {text.partition(": ")[0] for text, _ in fetch_world.errors()}
    assert said == {f"bar of XLK {hole}", "chart of QQQ"}
