"""The job: read the prices, compute the signals, work out the portfolios, show and store them."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import asdict, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.backtest.details import work_out_details
from spark_app.backtest.grid import Grid, work_out_grid
from spark_app.backtest.market import Coverage, read_coverage, require_prices
from spark_app.backtest.outcome import STRATEGY, Outcome, summarise, work_out
from spark_app.backtest.output.findings import findings_of
from spark_app.backtest.output.report import render_grid, render_outcome
from spark_app.backtest.output.rows import served_rows, write_csv
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule, calendar_sessions, make_schedule
from spark_app.backtest.signals.compute import Signals, signals
from spark_app.backtest.signals.facts import Facts
from spark_app.backtest.signals.probe import probe
from spark_app.backtest.signals.reading import fund_bars, read_facts, require_priced_members
from spark_app.config.universe_file import load_universe
from spark_app.errors import DataIncompleteError, UsageError
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import BACKTEST_RUN, BACKTEST_TABLES
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.transforms.rotation import SectorChoice, rank_periods_of

logger = logging.getLogger(__name__)

_TOP_N_FUNDS = 3


def run(run: Run) -> StageResult:
    """Backtest what the request and the settings ask for.

    Raises: UsageError, DataIncompleteError: it cannot be answered; says what is missing and how to get it.
    """
    plan = read_plan(run)
    of_funds = fund_bars(run, plan)
    coverage = read_coverage(of_funds, plan.universe.tickers)
    plan = _until_the_last_price(run, plan, coverage)
    schedule = make_schedule(plan, _known_sessions(plan, of_funds))
    require_prices(plan, schedule, coverage, run.settings.data_origin)
    facts = read_facts(run, plan, schedule)
    facts.bars.persist()
    try:
        found = signals(plan, schedule, facts)
        require_priced_members(schedule, found.members, run.settings.data_origin)
        if run.request.probe:
            _probe(run, plan, schedule, facts, found)
        outcome = work_out(plan, schedule, facts.bars, found)
        grid = work_out_grid(plan, schedule, facts, outcome.prices) if plan.has_grid else None
    finally:
        facts.bars.unpersist()
    return _result(run, outcome, grid)


def read_plan(run: Run) -> Plan:
    """Put the parameters together.

    Raises: UsageError: they do not go together.
    """
    request, asked = run.request, run.settings.backtest
    if not request.as_of_dates:
        raise UsageError("backtest needs --from, the first day of the backtest, such as --from 2016-01-04")
    is_of_stocks, universe = asked.level == "stocks", load_universe(request.universe_file)
    if asked.weighting == "market_cap" and not is_of_stocks:
        raise UsageError("--weighting market_cap is of stocks: a fund has no market cap; use --level stocks or equal")
    if request.probe and is_of_stocks and asked.look_ahead == "allow":
        raise UsageError("--probe finds what looks ahead, which --look-ahead allow does by intent: use one of them")
    # The daily portfolio has stocks of all sectors that trend.
    top_n = asked.top_n_sectors or (len(universe.sectors) if is_of_stocks else _TOP_N_FUNDS)
    choice = SectorChoice(
        asked.basis_sessions,
        rank_periods_of(asked.basis_sessions, asked.rank_periods),
        top_n,
        is_trend_required=not request.no_trend_filter,
    )
    return Plan(
        first=request.as_of_dates[0],
        last=run.as_of,
        universe=universe,
        level=asked.level,
        rebalance=asked.rebalance,
        execution=asked.execution,
        cost_bps=asked.cost_bps,
        cash_percent=asked.cash_percent,
        choice=choice,
        weighting=asked.weighting or ("market_cap" if is_of_stocks else "equal"),
        max_weight=run.settings.portfolio.max_weight,
        top_n_per_sector=run.settings.portfolio.top_n_per_sector,
        is_look_ahead_allowed=asked.look_ahead == "allow",
        known_at=request.known_at,
        has_grid=request.grid,
    )


def _probe(run: Run, plan: Plan, schedule: Schedule, facts: Facts, known: Signals) -> None:
    probed = probe(plan, schedule, facts, known)
    run.summary.findings["probe"] = [asdict(probed)]
    logger.info(
        "probe: the %d signals up to %s are the same with all that is dated later removed, and with noise in its place",
        *(probed.signals, probed.cut_date),
    )


def _until_the_last_price(run: Run, plan: Plan, coverage: dict[str, Coverage]) -> Plan:
    """Without --to the backtest ends with the prices of the benchmark."""
    benchmark = coverage.get(plan.universe.benchmark)
    if run.request.is_as_of_given or benchmark is None or benchmark.last >= plan.last:
        return plan
    if benchmark.last < plan.first:
        raise DataIncompleteError(f"prices of {plan.universe.benchmark} end {benchmark.last}: use an earlier --from")
    return replace(plan, last=benchmark.last)


def _known_sessions(plan: Plan, bars: DataFrame) -> list[dt.date]:
    if plan.universe.sessions != "data":
        return calendar_sessions(plan)
    dates = bars.where(F.col("ticker") == plan.universe.benchmark).select("trade_date").distinct().collect()
    return sorted(row["trade_date"] for row in dates)


def _result(run: Run, outcome: Outcome, grid: Grid | None) -> StageResult:
    summaries = summarise(outcome)
    details = work_out_details(outcome)
    found = findings_of(outcome, summaries, details, grid, run.request.now.date())
    tables = {table.name: found[table.name] for table in BACKTEST_TABLES}
    run.summary.findings |= found
    logger.info("%s", render_outcome(outcome, summaries, details, origin=run.settings.data_origin))
    if grid is not None:
        logger.info("%s", render_grid(grid))
    if run.request.csv is not None:
        write_csv(run.request.csv, tables)
    owned = RowSet(("backtest_id",), ((outcome.plan.backtest_id,),))
    publications = [
        Publication(
            table,
            run.frame(served_rows(table, tables[table.name]), table.computed_schema),
            None if table is BACKTEST_RUN else owned,
        )
        for table in BACKTEST_TABLES
    ]
    strategy = next(summary for summary in summaries if summary.series == STRATEGY)
    return StageResult(
        message=f"{len(outcome.schedule.sessions) - 1:,} sessions, {len(outcome.signals.targets)} rebalances,"
        f" {strategy.cagr * 100:.2f} % a year, backtest {outcome.plan.backtest_id}",
        publications=tuple(publications),
    )
