"""The checks that a user would make before trusting the tables, each a small function that says what it found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from spark_app.config.installation import LAUNCHER
from spark_app.ingestion.completeness import Completeness
from spark_app.operations.agreement import Agreement, Gaps, compare_holdings, compare_prices, find_gaps
from spark_app.pipeline.context import StageContext
from spark_app.schemas import (
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    ETF_OHLC,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
    STOCK_HISTORY,
    TRENDING_SECTORS,
    ServedTable,
)
from spark_app.stages import stage1_etf_ohlc as etf_ohlc
from spark_app.stages import stage4_stock_history as stock_history
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres import verify as facts
from spark_app.storage.postgres.locks import is_running
from spark_app.storage.postgres.outbox import read_backlog
from spark_app.text_table import draw_table
from spark_app.transforms.returns import PERIODS
from spark_app.universe import BENCHMARKS, FUNDS, SECTOR_NAMES

_OF_FUNDS = (etf_ohlc.STAGE, etf_ohlc.BACKFILL, etf_ohlc.STAGGERED)
_PRICES: Mapping[str, tuple[ServedTable, Sequence[str]]] = {
    ETF_OHLC.name: (ETF_OHLC, _OF_FUNDS),
    BENCHMARK_OHLC.name: (BENCHMARK_OHLC, _OF_FUNDS),
    STOCK_HISTORY.name: (STOCK_HISTORY, (stock_history.STAGE,)),
}
_COLLECTED = {
    ETF_OHLC.name: "trade_date",
    BENCHMARK_OHLC.name: "trade_date",
    ETF_HOLDINGS.name: "as_of_date",
    STOCK_HISTORY.name: "trade_date",
}
_OTHERS = {
    TRENDING_SECTORS.name: "as_of_date",
    PORTFOLIO_ALLOCATION.name: "as_of_date",
    PORTFOLIO_EXCLUSION.name: "as_of_date",
    "logs_pipeline_run": "started_at",
    "logs_consumer_error": "received_at",
}
_GOOD = ("ok", "nothing_to_do")
_LISTED = 10


@dataclass(frozen=True)
class Finding:
    """What one check found; `passed` is None where there is nothing to fail."""

    check: str
    found: str
    passed: bool | None = True


def verify(context: StageContext) -> list[Finding]:
    """Make all checks; on an empty database only that it is empty."""
    with facts.verifying(context.database) as connection:
        sizes = {n: facts.table_facts(connection, n, date) for n, date in (_COLLECTED | _OTHERS).items()}
        if not any(sizes[name].rows for name in _COLLECTED):
            return [Finding("collected data", f"none yet: run {LAUNCHER} daily_pipeline", passed=False)]
        findings = _check_collected(connection, sizes) + _check_funds(connection)
        for table, stages in _PRICES.values():
            findings.append(_check_gaps(table, find_gaps(context, connection, table, stages)))
        for table, _ in _PRICES.values():
            findings.append(_check_agreement(table, compare_prices(context, connection, table)))
        findings.append(_check_agreement(ETF_HOLDINGS, compare_holdings(context, connection)))
        findings += _check_analytics(connection)
        findings += _check_runs(context, connection)
        findings.append(_list_owed(connection))
        return findings + _list_sizes(context, sizes)


def draw_findings(findings: Sequence[Finding]) -> str:
    """Draw the findings as one table."""
    words = {True: "pass", False: "FAIL", None: ""}
    return draw_table(("check", "found", "result"), [(f.check, f.found, words[f.passed]) for f in findings])


def _check_collected(connection: psycopg.Connection, sizes: Mapping[str, facts.TableFacts]) -> list[Finding]:
    return [_check_table(connection, name, sizes[name]) for name in _COLLECTED]


def _check_table(connection: psycopg.Connection, name: str, size: facts.TableFacts) -> Finding:
    if size.rows:
        return Finding(f"rows of {name}", f"{size.rows:,} from {size.first} to {size.last}")
    # Where no sector trended on any date, no stock was asked for.
    is_right = name == STOCK_HISTORY.name and bool(facts.good_runs(connection, [stock_history.STAGE]))
    return Finding(f"rows of {name}", "no sector has trended" if is_right else "none", passed=is_right)


def _check_funds(connection: psycopg.Connection) -> list[Finding]:
    return [
        _check_tickers(connection, BENCHMARK_OHLC, BENCHMARKS, "benchmarks"),
        _check_tickers(connection, ETF_OHLC, FUNDS, "funds"),
    ]


def _check_tickers(connection: psycopg.Connection, table: ServedTable, wanted: Sequence[str], what: str) -> Finding:
    served = facts.read_sums(connection, table, table.key)
    missing = [ticker for ticker in wanted if ticker not in served]
    strange = sorted(set(served) - set(wanted))
    told = [f"{len(wanted) - len(missing)} of {len(wanted)} are there"]
    told += [f"missing: {', '.join(missing)}"] if missing else []
    told += [f"none of them: {', '.join(strange)}"] if strange else []
    return Finding(f"{what} in {table.name}", "; ".join(told), passed=not missing and not strange)


def _check_gaps(table: ServedTable, gaps: Gaps) -> Finding:
    """Open gaps are listed: the gate lets some pass, and a stock is served only while its sector trends."""
    told = []
    if gaps.lost:
        told.append(f"served once by the run log, and not there: {_worst_first(gaps.lost)}")
    if gaps.open:
        told.append(f"without a bar, or never asked for, {len(gaps.open)} tickers: {_worst_first(gaps.open)}")
    return Finding(f"gaps of {table.name}", "; ".join(told) or "none", passed=not gaps.lost)


def _worst_first(dates: Mapping[str, Sequence[dt.date]]) -> str:
    return Completeness({}, dates).describe()


def _check_agreement(table: ServedTable, agreement: Agreement) -> Finding:
    found = f"{agreement.rows:,} rows of {agreement.tickers} tickers are as staging says"
    if agreement.differences:
        found = f"{len(agreement.differences)} of {agreement.tickers} tickers differ: {_some(agreement.differences)}"
    return Finding(f"staging and {table.name}", found, passed=not agreement.differences)


def _check_analytics(connection: psycopg.Connection) -> list[Finding]:
    allocations = facts.read_allocations(connection)
    told = f"{allocations.dates} from {allocations.first} to {allocations.last}, {allocations.positions:,} positions"
    if allocations.without_position:
        told += f"; {allocations.without_position} dates without any position"
    rows = len(SECTOR_NAMES) * len(PERIODS)
    return [
        _check_named("each sector and period of a date", facts.incomplete_trends(connection, rows), "all are there"),
        _check_named("flags and ranks of sectors", facts.wrong_trends(connection), "follow from the stored returns"),
        Finding("allocation dates", told if allocations.dates else "none", passed=bool(allocations.dates)),
        _check_named("weights of each date", facts.wrong_weights(connection), "sum to exactly 1"),
        _check_named("flags and ranks of positions", facts.wrong_positions(connection), "follow from stored returns"),
    ]


def _check_named(check: str, wrong: Sequence[str], right: str) -> Finding:
    return Finding(check, f"{len(wrong)} wrong: {_some(wrong)}" if wrong else right, passed=not wrong)


def _check_runs(context: StageContext, connection: psycopg.Connection) -> list[Finding]:
    findings = []
    for run in facts.last_runs(connection):
        ended = f"ended {_time(run.finished_at)}" if run.finished_at else f"began {_time(run.started_at)}"
        is_good = None if run.status == "running" else run.status in _GOOD
        findings.append(Finding(f"last {run.stage}", f"{run.status} for {run.as_of_date}, {ended}", passed=is_good))
    return [*findings, _check_unfinished(context, facts.unfinished_runs(connection))]


def _check_unfinished(context: StageContext, runs: Sequence[facts.LoggedRun]) -> Finding:
    """A run that died and was repeated does no harm; one that is at work now may still end well."""
    dead = [run for run in runs if not is_running(context.database, run.stage, run.as_of_date)]
    harmful = [run for run in dead if not run.is_repeated]
    told = [f"{run.stage} for {run.as_of_date} of {_time(run.started_at)}: run it again" for run in harmful]
    counted = [(len(runs) - len(dead), "at work"), (len(dead) - len(harmful), "died and were repeated")]
    told += [f"{number} {what}" for number, what in counted if number]
    return Finding("runs that never finished", _some(told) or "none", passed=not harmful)


def _list_owed(connection: psycopg.Connection) -> Finding:
    """Nothing to fail: the next run sends them, where Kafka is set up and answers."""
    backlog = read_backlog(connection)
    owed = f"{backlog.messages:,} since {_time(backlog.since)}" if backlog.since else "none"
    return Finding("messages owed to Kafka", owed, passed=None)


def _list_sizes(context: StageContext, sizes: Mapping[str, facts.TableFacts]) -> list[Finding]:
    tables = [Finding(f"size of {n}", f"{_bytes(s.bytes)}, {s.rows:,} rows", passed=None) for n, s in sizes.items()]
    staged = (FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE)
    return tables + [Finding(f"size of staging {n}", _bytes(context.staging.size(n)), passed=None) for n in staged]


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
