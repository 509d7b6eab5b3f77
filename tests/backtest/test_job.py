"""The job from staged bars to tables, text and files, against pandas and an independent engine."""

from __future__ import annotations

import csv
import datetime as dt
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_app import market_calendar
from spark_app.backtest import BACKTEST
from spark_app.config.settings import Settings
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import Run, open_run
from spark_app.pipeline.sequence import run_stages
from spark_app.schemas import BARS
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.database import Database, parse_url
from tests.backtest import independent
from tests.storage.postgres.copies import new_database
from tests.transforms.frames import NOON, frame

FIRST, LAST = dt.date(2023, 3, 1), dt.date(2023, 6, 30)
LATER = dt.date(2023, 4, 3)
FUNDS = ("AAA", "BBB", "CCC")
UNIVERSE = "[benchmark]\nticker = 'SPY'\n" + "".join(f"[[funds]]\nticker = '{t}'\nsector = 'S{t}'\n" for t in FUNDS)
SESSIONS = market_calendar.sessions_between(dt.date(2023, 2, 1), LAST)

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


def _market() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Closes, their dividend-adjusted values and adjusted opens; CCC has a gap."""
    random = np.random.default_rng(15)
    steps = random.normal(0.001, 0.015, (len(SESSIONS), 4))
    closes = pd.DataFrame(40 * np.exp(steps.cumsum(axis=0)), SESSIONS, ["SPY", *FUNDS])
    adjusted = closes * np.linspace(0.97, 1, len(SESSIONS))[:, None]
    opens = adjusted * np.exp(random.normal(0, 0.005, closes.shape))
    for table in (closes, adjusted, opens):
        table.loc[SESSIONS[60:63], "CCC"] = np.nan
    return closes, adjusted, opens


CLOSES, ADJUSTED, OPENS = _market()


@dataclass(frozen=True)
class World:
    run: Run
    database: Database
    folder: Path

    def backtest(
        self, *, first: dt.date = FIRST, grid: bool = False, probe: bool = False, **settings: object
    ) -> StageReport:
        days = tuple(market_calendar.sessions_between(first, LAST))
        backtest = self.run.settings.backtest.model_copy(update=settings)
        run = replace(
            self.run.asking(as_of_dates=days, grid=grid, probe=probe, run_id=f"run-{len(self.run.summary.reports):08}"),
            settings=self.run.settings.model_copy(update={"backtest": backtest}),
        )
        run_stages(run, (BACKTEST,))
        return run.summary.reports[-1]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.database.connect() as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def world(spark: SparkSession, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "three.toml").write_text(UNIVERSE)
    settings = Settings()
    settings = settings.model_copy(
        update={
            "staging": settings.staging.model_copy(update={"path": str(folder / "staging")}),
            "backtest": settings.backtest.model_copy(
                update={"rebalance": "weekly", "basis_sessions": 5, "rank_periods": (3, 5), "top_n_sectors": 2}
            ),
        }
    )
    request = Request(
        "run-0",
        LAST,
        dt.datetime(2023, 7, 3, tzinfo=dt.UTC),
        is_as_of_given=True,
        universe_file=str(folder / "three.toml"),
        csv=str(folder / "csv"),
    )
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as database:
        run = open_run(request, settings, spark, database)
        run.staging.append(BARS_TABLE, frame(spark, list(_bars()), BARS))
        yield World(run, database, folder)


def _bars() -> Iterator[tuple[object, ...]]:
    for ticker in CLOSES.columns:
        for day in SESSIONS:
            close, adjusted = CLOSES[ticker].loc[day], ADJUSTED[ticker].loc[day]
            if pd.notna(close):
                opened = OPENS[ticker].loc[day] * close / adjusted
                prices = (opened, max(opened, close), min(opened, close), close, adjusted)
                yield (ticker, day, *map(float, prices), 100, 0.0, 1.0, NOON, "run-0", "test")


@pytest.fixture(scope="module")
def first(world: World) -> StageReport:
    return world.backtest()


def _expected_targets() -> dict[dt.date, dict[str, float]]:
    """The rule in pandas: above SPY and 0 over 5 sessions, ranked by the mean over 3 and 5, at most two."""
    percent = {n: ((ADJUSTED / ADJUSTED.shift(n) - 1) * 100).round(6) for n in (3, 5)}
    start = SESSIONS.index(FIRST) - 1
    following = [*SESSIONS[1:], dt.date(2023, 7, 3)]
    targets = {}
    for n in range(start, len(SESSIONS)):
        day = SESSIONS[n]
        if n == start or day.isocalendar()[1] != following[n].isocalendar()[1]:
            basis, mean = percent[5].loc[day], (percent[3] + percent[5]).loc[day]
            trending = [t for t in FUNDS if basis[t] > basis["SPY"] and basis[t] > 0 and pd.notna(mean[t])]
            best = sorted(trending, key=lambda t: (-mean[t], t))[:2]
            targets[day] = dict.fromkeys(best, 1 / max(len(best), 1))
    return targets


def test_tables_agree_with_pandas_and_an_independent_engine(world: World, first: StageReport) -> None:
    assert first.exit_code == 0, first.message
    targets = _expected_targets()
    found: dict[object, dict[object, float]] = {day: {} for day in targets}
    for day, ticker, weight in world.rows("SELECT as_of_date, ticker, target_weight FROM analytics_backtest_position"):
        found[day][ticker] = float(weight)  # type: ignore[arg-type]
    assert found == targets
    assert {len(weights) for weights in targets.values()} == {0, 1, 2}

    inside = [day for day in SESSIONS if day >= min(targets)]
    priced = {day: [fund for fund in FUNDS if pd.notna(ADJUSTED[fund].loc[day])] for day in targets}
    assert {len(funds) for funds in priced.values()} == {2, 3}
    wanted = {
        "strategy": targets,
        "equal_weight": {day: dict.fromkeys(funds, 1 / len(funds)) for day, funds in priced.items()},
        "benchmark": {day: {"SPY": 1.0} for day in targets},
    }
    for series, of_series in wanted.items():
        by_date, trades = independent.run(
            ADJUSTED.loc[inside], OPENS.loc[inside], of_series, execution="next_open", cost_bps=10
        )
        equity = world.rows(
            f"SELECT portfolio_value FROM analytics_backtest_equity WHERE series = '{series}' ORDER BY trade_date"
        )
        np.testing.assert_allclose([float(v) for (v,) in equity], by_date["value"], rtol=2e-8)  # type: ignore[arg-type]
        turnover = world.rows(
            f"SELECT turnover FROM analytics_backtest_rebalance WHERE series = '{series}' ORDER BY as_of_date"
        )
        np.testing.assert_allclose([float(t) for (t,) in turnover], trades["turnover"], atol=2e-8)  # type: ignore[arg-type]


def test_the_summary_has_three_rows_and_the_run_its_parameters(world: World, first: StageReport) -> None:
    rows = world.rows(
        "SELECT series, cagr_pct < gross_cagr_pct, beta, break_even_bps IS NULL FROM analytics_backtest_summary"
    )
    assert {row[0] for row in rows} == {"strategy", "equal_weight", "benchmark"}
    assert all(row[1] for row in rows)
    assert {float(row[2]) for row in rows if row[0] == "benchmark"} == {1.0}  # type: ignore[arg-type]
    ((backtest, text, start),) = world.rows("SELECT backtest_id, parameters, first_date FROM analytics_backtest_run")
    assert f"backtest {backtest}" in first.message
    parameters = json.loads(str(text))
    assert parameters["universe"]["funds"] == list(FUNDS)
    assert (parameters["rank_periods"], parameters["cost_bps"]) == ([3, 5], 10)
    assert start == dt.date(2023, 2, 28)


def test_a_rerun_changes_no_row_and_nothing_is_sent(world: World, first: StageReport) -> None:
    again = world.backtest()
    assert (again.rows_inserted, again.rows_updated, again.rows_removed) == (0, 0, 0)
    assert again.rows_unchanged == first.rows_inserted
    assert world.rows("SELECT count(*) FROM logs_topic_outbox") == [(0,)]


def test_csv_files_have_what_the_tables_have(world: World, first: StageReport) -> None:
    with (world.folder / "csv" / "backtest_equity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == world.rows("SELECT count(*) FROM analytics_backtest_equity")[0][0]
    assert rows[0]["portfolio_value"] == "1.0"


@pytest.mark.parametrize(
    ("first", "settings", "exit_code", "told"),
    [
        (dt.date(2023, 2, 3), {}, 65, "sessions of prices are needed, from 2023-01-26 to 2023-06-30"),
        (FIRST, {"basis_sessions": 60}, 65, "or use a --from that is 61 sessions after 2023-02-01"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence(
    world: World, first: dt.date, settings: dict[str, Any], exit_code: int, told: str
) -> None:
    report = world.backtest(first=first, **settings)
    assert report.exit_code == exit_code
    assert told in report.message


def test_the_grid_has_nine_rules_and_that_of_the_plan_is_among_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        alone = world.backtest(first=LATER, basis_sessions=10, rank_periods=(10,), rebalance="monthly")
        growth = _growth_told(caplog.text)
        report = world.backtest(first=LATER, grid=True)
    assert (alone.exit_code, report.exit_code) == (0, 0)
    cells = {(row["basis"], row["rebalance"]): row for row in world.run.summary.findings["grid"]}
    assert len(cells) == 9
    cagr = cells[10, "monthly"]["cagr"]
    assert isinstance(cagr, float)
    assert f"{cagr * 100:.2f}" == growth
    assert "probability of overfitting" in caplog.text


def _growth_told(text: str) -> str:
    return str(re.findall(r"^strategy +(\S+)", text, re.MULTILINE)[0])


def test_the_text_shows_three_portfolios_costs_and_years(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        world.backtest(execution="same_close", probe=True)
    text = caplog.text
    for part in (
        "UNATTAINABLE",
        "strategy ",
        "equal weight ",
        "SPY ",
        "probe: the ",
        "20 bp",
        "close after the next",
        "Break-even of the strategy:",
        "2023 ",
    ):
        assert part in text
