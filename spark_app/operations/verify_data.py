"""The checks that a user would make before trusting the tables; each is a small function that returns its finding."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import psycopg

from spark_app import market_calendar
from spark_app.config.installation import LAUNCHER
from spark_app.ingestion.completeness import Completeness
from spark_app.operations import BACKFILL, STAGGERED_BACKFILL
from spark_app.operations.agreement import Agreement, Gaps, compare_holdings, compare_prices, find_gaps
from spark_app.pipeline.preparation import prepare_staging
from spark_app.pipeline.run import Run
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
from spark_app.stages import STAGE1, STAGE4
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres import verify as facts
from spark_app.storage.postgres.locks import is_running, tables_shared_lock
from spark_app.storage.postgres.outbox import read_backlog
from spark_app.text_table import draw_table
from spark_app.universe import BENCHMARKS, FUNDS, PERIODS, SECTOR_NAMES

logger = logging.getLogger(__name__)

_OF_FUNDS = (STAGE1.name, BACKFILL.name, STAGGERED_BACKFILL.name)
_PRICES: Mapping[str, tuple[ServedTable, Sequence[str]]] = {
    ETF_OHLC.name: (ETF_OHLC, _OF_FUNDS),
    BENCHMARK_OHLC.name: (BENCHMARK_OHLC, _OF_FUNDS),
    STOCK_HISTORY.name: (STOCK_HISTORY, (STAGE4.name,)),
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
_COMPUTED = {
    "trends": TRENDING_SECTORS.name,
    # A date without any position has no row of a table, but one of this view.
    "portfolios": "analytics_portfolio_turnover",
}
_GOOD = ("ok", "nothing_to_do")
_LISTED = 10


@dataclass(frozen=True)
class Finding:
    """What one check found; `passed` is None where there is nothing to fail, `is_warning` where it is worth a look."""

    check: str
    found: str
    passed: bool | None = True
    is_warning: bool = False


def verify_data(run: Run) -> int:
    """Make all checks and show what they found; returns 1 where one failed."""
    with tables_shared_lock(run.database):
        prepare_staging(run)
        findings = verify(run)
    run.summary.findings["checks"] = [asdict(finding) for finding in findings]
    logger.info("%s", draw_findings(findings))
    failed = [finding.check for finding in findings if finding.passed is False]
    if failed:
        logger.error("%s", f"verify_data: failed checks: {'; '.join(failed)}")
    return 1 if failed else 0


def verify(run: Run) -> list[Finding]:
    """Make all checks; on an empty database only that it is empty."""
    with facts.verifying(run.database) as connection:
        sizes = {n: facts.table_facts(connection, n, date) for n, date in (_COLLECTED | _OTHERS).items()}
        if not any(sizes[name].rows for name in _COLLECTED):
            return [Finding("collected data", f"none yet: run {LAUNCHER} daily_pipeline", passed=False)]
        findings = _check_collected(connection, sizes) + _check_funds(connection)
        for table, stages in _PRICES.values():
            findings.append(_check_gaps(table, find_gaps(run, connection, table, stages)))
        for table, _ in _PRICES.values():
            findings.append(_check_agreement(table, compare_prices(run, connection, table)))
        findings.append(_check_agreement(ETF_HOLDINGS, compare_holdings(run, connection)))
        findings += _check_analytics(connection)
        findings += _check_dates(run, connection, sizes)
        findings += _check_runs(run, connection)
        findings.append(_list_pending(connection))
        return findings + _list_sizes(run, sizes)


def draw_findings(findings: Sequence[Finding]) -> str:
    """Draw the findings as one table."""
    words = {True: "pass", False: "FAIL", None: ""}
    rows = [(f.check, f.found, "warn" if f.is_warning else words[f.passed]) for f in findings]
    return draw_table(("check", "found", "result"), rows)


def _check_collected(connection: psycopg.Connection, sizes: Mapping[str, facts.TableFacts]) -> list[Finding]:
    return [_check_table(connection, name, sizes[name]) for name in _COLLECTED]


def _check_table(connection: psycopg.Connection, name: str, size: facts.TableFacts) -> Finding:
    if size.rows:
        return Finding(f"rows of {name}", f"{size.rows:,} from {size.first} to {size.last}")
    # Where no sector trended on any date, no stock was asked for.
    is_right = name == STOCK_HISTORY.name and bool(facts.good_runs(connection, [STAGE4.name]))
    return Finding(f"rows of {name}", "no sector has trended" if is_right else "none", passed=is_right)


def _check_funds(connection: psycopg.Connection) -> list[Finding]:
    return [
        _check_tickers(connection, BENCHMARK_OHLC, BENCHMARKS, "benchmarks"),
        _check_tickers(connection, ETF_OHLC, FUNDS, "funds"),
    ]


def _check_tickers(connection: psycopg.Connection, table: ServedTable, wanted: Sequence[str], what: str) -> Finding:
    served = facts.read_sums(connection, table, table.key)
    missing = [ticker for ticker in wanted if ticker not in served]
    unknown = sorted(set(served) - set(wanted))
    found = [f"{len(wanted) - len(missing)} of {len(wanted)} are there"]
    found += [f"missing: {', '.join(missing)}"] if missing else []
    found += [f"unknown: {', '.join(unknown)}"] if unknown else []
    return Finding(f"{what} in {table.name}", "; ".join(found), passed=not missing and not unknown)


def _check_gaps(table: ServedTable, gaps: Gaps) -> Finding:
    """Open gaps pass: the gate tolerates some, and a stock is served only while its sector trends."""
    found = []
    if gaps.lost:
        found.append(f"served by the run log, missing now: {_worst_first(gaps.lost)}")
    if gaps.open:
        found.append(f"no bar, or never fetched, {len(gaps.open)} tickers: {_worst_first(gaps.open)}")
    return Finding(f"gaps of {table.name}", "; ".join(found) or "none", passed=not gaps.lost)


def _worst_first(dates: Mapping[str, Sequence[dt.date]]) -> str:
    return Completeness({}, dates).describe()


def _check_agreement(table: ServedTable, agreement: Agreement) -> Finding:
    found = f"{agreement.rows:,} rows of {agreement.tickers} tickers agree with staging"
    if agreement.differences:
        found = f"{len(agreement.differences)} of {agreement.tickers} tickers differ: {_some(agreement.differences)}"
    return Finding(f"staging and {table.name}", found, passed=not agreement.differences)


def _check_analytics(connection: psycopg.Connection) -> list[Finding]:
    allocations = facts.read_allocations(connection)
    found = f"{allocations.dates} from {allocations.first} to {allocations.last}, {allocations.positions:,} positions"
    if allocations.without_position:
        found += f"; {allocations.without_position} dates without any position"
    rows = len(SECTOR_NAMES) * len(PERIODS)
    return [
        _check_named("each sector and period of a date", facts.incomplete_trends(connection, rows), "all are there"),
        _check_named("flags and ranks of sectors", facts.wrong_trends(connection), "follow from the stored returns"),
        Finding("allocation dates", found if allocations.dates else "none", passed=bool(allocations.dates)),
        _check_named("weights of each date", facts.wrong_weights(connection), "sum to exactly 1"),
        _check_named("flags and ranks of positions", facts.wrong_positions(connection), "follow from stored returns"),
    ]


def _check_dates(run: Run, connection: psycopg.Connection, sizes: Mapping[str, facts.TableFacts]) -> list[Finding]:
    """Whether the newest results are those of the last completed session, and which sessions have none."""
    computed = {what: facts.computed_dates(connection, table) for what, table in _COMPUTED.items()}
    newest = {
        "prices of funds": sizes[ETF_OHLC.name].last,
        **{what: dates[-1] for what, dates in computed.items() if dates},
    }
    findings = [check_newest(run, what, day) for what, day in newest.items() if day is not None]
    return findings + [check_sequence(what, dates) for what, dates in computed.items() if dates]


def check_newest(run: Run, what: str, newest: dt.date) -> Finding:
    """Compare the newest session of some results with the last completed one."""
    limits, last = run.settings.verification, market_calendar.last_completed_session(run.request.now)
    behind = len([day for day in market_calendar.sessions_between(newest, last) if day > newest])
    found = f"{newest}, {behind} sessions behind the last completed one ({last})" if behind else str(newest)
    is_failed = behind >= limits.fail_after_sessions
    is_warning = not is_failed and behind >= limits.warn_after_sessions
    return Finding(f"newest session of {what}", found, passed=not is_failed, is_warning=is_warning)


def check_sequence(what: str, dates: Sequence[dt.date]) -> Finding:
    """Name the sessions between the first and the last date that have no result: nobody may have asked for them."""
    computed = set(dates)
    missing = [str(day) for day in market_calendar.sessions_between(dates[0], dates[-1]) if day not in computed]
    found = f"no results for {len(missing)} sessions: {_some(missing)}" if missing else "none"
    return Finding(f"gaps between the dates of {what}", found, is_warning=bool(missing))


def _check_named(check: str, wrong: Sequence[str], right: str) -> Finding:
    return Finding(check, f"{len(wrong)} wrong: {_some(wrong)}" if wrong else right, passed=not wrong)


def _check_runs(run: Run, connection: psycopg.Connection) -> list[Finding]:
    findings = []
    for logged in facts.last_runs(connection):
        ended = f"ended {_time(logged.finished_at)}" if logged.finished_at else f"began {_time(logged.started_at)}"
        is_good = None if logged.status == "running" else logged.status in _GOOD
        findings.append(
            Finding(f"last {logged.stage}", f"{logged.status} for {logged.as_of_date}, {ended}", passed=is_good)
        )
    return [*findings, _check_unfinished(run, facts.unfinished_runs(connection))]


def _check_unfinished(run: Run, runs: Sequence[facts.LoggedRun]) -> Finding:
    """A run that was killed and repeated does no harm; one that is running may still end well."""
    dead = [logged for logged in runs if not is_running(run.database, logged.stage, logged.as_of_date)]
    harmful = [logged for logged in dead if not logged.is_repeated]
    found = [
        f"{logged.stage} for {logged.as_of_date} of {_time(logged.started_at)}: run it again" for logged in harmful
    ]
    counted = [(len(runs) - len(dead), "running"), (len(dead) - len(harmful), "killed and repeated")]
    found += [f"{number} {what}" for number, what in counted if number]
    return Finding("runs that never finished", _some(found) or "none", passed=not harmful)


def _list_pending(connection: psycopg.Connection) -> Finding:
    """Never fails: the next run sends them."""
    backlog = read_backlog(connection)
    pending = f"{backlog.messages:,} since {_time(backlog.since)}" if backlog.since else "none"
    return Finding("messages pending for Kafka", pending, passed=None)


def _list_sizes(run: Run, sizes: Mapping[str, facts.TableFacts]) -> list[Finding]:
    tables = [Finding(f"size of {n}", f"{_bytes(s.bytes)}, {s.rows:,} rows", passed=None) for n, s in sizes.items()]
    staged = (FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE)
    return tables + [check_staging(run, table) for table in staged]


def check_staging(run: Run, table: str) -> Finding:
    """Every run adds files; retention compacts them."""
    files, limit = run.staging.count_files(table), run.settings.verification.warn_above_files
    found = f"{_bytes(run.staging.size(table))}, {files:,} files"
    if files <= limit:
        return Finding(f"size of staging {table}", found, passed=None)
    return Finding(f"size of staging {table}", f"{found}: run apply_retention", is_warning=True)


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
