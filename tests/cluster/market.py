"""A day of the calm market, run by the launcher, and what it serves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tests.emulator import Bar, Market
from tests.integration.expected import Rows
from tests.integration.fetch_market import AS_OF, STOCKS, fetch_market
from tests.integration.processes import Submitted, submitted
from tests.integration.world import World, differences, without_text

CALM = {"XLE", "XLU"}
DELAY_SECONDS = 0.2
PATIENCE_SECONDS = 1200.0


def trending_market() -> Market:
    """The calm market, in which nine sectors rise faster than SPY, and two of their three stocks faster than they."""
    market = fetch_market()
    for sector in sorted(STOCKS.keys() - CALM):
        for ticker, sessions in zip((sector, *STOCKS[sector]), (200, 100, 150, 400), strict=True):
            market.add_bars(ticker, *[_risen(bar, 1 + n / sessions) for n, bar in enumerate(market.bars[ticker])])
    return market


def _risen(bar: Bar, factor: float) -> Bar:
    prices = {name: getattr(bar, name) * factor for name in ("open", "high", "low", "close", "adj_close")}
    return bar._replace(**prices)


@contextlib.contextmanager
def submitted_day(world: World, *spark_options: str, delay: float = 0.0) -> Iterator[Submitted]:
    """Start the daily pipeline for the duration of the block; options of the launcher stand before the job."""
    arguments = ("daily_pipeline", "--as-of", str(AS_OF), "--delay", str(delay))
    with submitted(world, *spark_options, *arguments, wave_size=40, timeout_seconds=120) as process:
        yield process


def worked(world: World, *spark_options: str, delay: float = 0.0) -> str:
    """Run the daily pipeline to its good end; returns what it said."""
    with submitted_day(world, *spark_options, delay=delay) as process:
        exit_code = process.wait(PATIENCE_SECONDS)
        assert exit_code == 0, process.said
        return process.said


def served(world: World) -> dict[str, Rows]:
    """What the tables hold, less what differs from run to run."""
    return {name: without_text(rows) for name, rows in world.tables().items()}


def differing(world: World, expected: Mapping[str, Rows]) -> list[str]:
    """Every value in which the served tables are not the expected ones."""
    tables = served(world)
    return [f"{name} {found}" for name in expected for found in differences(tables[name], expected[name])]


def staged_keys(staging: Path) -> dict[str, list[tuple[object, ...]]]:
    """The keys of all committed rows of staging tables in a folder."""
    keys = {"fetches": ("kind", "ticker"), "bars": ("ticker", "trade_date"), "quotes": ("ticker",)}
    return {table: sorted(_rows(staging / table, columns)) for table, columns in keys.items()}


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    for log in sorted((table / "_delta_log").glob("*.json")):
        for line in log.read_text().splitlines():
            if "add" in (action := json.loads(line)):
                rows = pq.read_table(table / action["add"]["path"], columns=list(columns)).to_pylist()
                yield from (tuple(row[name] for name in columns) for row in rows)
