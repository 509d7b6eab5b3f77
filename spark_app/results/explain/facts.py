"""What `explain` reads from the served tables: closes with the fetches that brought them, snapshots, restatements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from spark_app.pipeline.stage import Stage
from spark_app.stages import STAGE1, STAGE2, STAGE4
from spark_app.universe import TickerSpan

STOCK_TABLE = "collected_daily_stock_history"

Row = Mapping[str, Any]

# A run may publish what an earlier one fetched: the fetch is found by its time, and of older fetches there is no row.
# All stages of a daily run have its identifier; a backfill has a stage of its own.
_FETCH = """
    LEFT JOIN LATERAL (
        SELECT * FROM logs_fetch WHERE logs_fetch.ticker = {ticker} AND kind = {kind}
        AND logs_fetch.fetched_at = served.fetched_at ORDER BY run_id LIMIT 1
    ) AS fetched ON true
    LEFT JOIN LATERAL (
        SELECT stage FROM logs_pipeline_run WHERE run_id = coalesce(fetched.run_id, served.run_id)
        ORDER BY stage = {stage} DESC, started_at LIMIT 1
    ) AS run ON true
"""
_FETCH_COLUMNS = """
    served.fetched_at, coalesce(fetched.run_id, served.run_id) AS fetch_run_id, run.stage AS fetch_stage,
    fetched.source AS fetch_source, fetched.requests AS fetch_requests, fetched.first_date AS fetch_first_date,
    fetched.last_date AS fetch_last_date, fetched.run_id IS NOT NULL AS is_fetch_logged
"""
_CLOSES = """
SELECT served.trade_date, served.close_price, served.adj_close_price, {columns}
FROM {table} AS served {fetch} WHERE served.ticker = %s AND served.trade_date = ANY(%s)
"""
_HOLDINGS = """
WITH dated AS (
    SELECT etf_ticker, coalesce(
        max(as_of_date) FILTER (WHERE as_of_date <= %(as_of)s), min(as_of_date)
    ) AS as_of_date
    FROM collected_meta_etf WHERE etf_type = 'sector' GROUP BY etf_ticker
), counted AS (
    SELECT etf_ticker, as_of_date, count(*) AS holdings FROM collected_meta_etf GROUP BY etf_ticker, as_of_date
)
SELECT served.etf_ticker, served.sector_name, served.as_of_date AS snapshot_date, served.holding_ticker,
       served.holding_name, served.holding_percent, served.holding_rank, served.coverage_percent, counted.holdings,
       {columns}
FROM collected_meta_etf AS served JOIN counted USING (etf_ticker, as_of_date)
LEFT JOIN dated USING (etf_ticker) {fetch}
WHERE served.as_of_date = coalesce(%(snapshot)s, dated.as_of_date) AND served.etf_ticker = coalesce(%(etf)s, etf_ticker)
  AND served.etf_type = 'sector' AND (%(tickers)s::text[] IS NULL OR EXISTS (
      SELECT FROM unnest(%(tickers)s::text[], %(valid_from)s::date[], %(valid_to)s::date[])
          AS named (ticker, first, after)
      WHERE ticker = served.holding_ticker AND first <= served.as_of_date AND served.as_of_date < after))
ORDER BY served.holding_percent DESC, served.etf_ticker, served.holding_ticker COLLATE "C" LIMIT 1
"""
_RESTATEMENTS = """
SELECT ticker, kind, ratio, first_trade_date, last_trade_date, noticed_at, run_id FROM logs_price_restatement
WHERE ticker = ANY(%s) AND noticed_at > %s AND first_trade_date <= %s AND last_trade_date >= %s
ORDER BY noticed_at, ticker
"""
# Rows that a later run found unchanged keep the run that computed them.
_DECIDED = """
SELECT run_id, stage, started_at, finished_at, parameters || coalesce(settings -> 'portfolio', '{}') AS options
FROM logs_pipeline_run WHERE run_id = %s AND stage = ANY(%s) ORDER BY started_at DESC LIMIT 1
"""
_ALLOCATED = "SELECT run_id, stage, started_at, finished_at, options FROM portfolio_runs() WHERE as_of_date = %s"
_TRENDS = "SELECT * FROM analytics_trending_sectors WHERE as_of_date = %s ORDER BY period_days, etf_ticker"
_POSITIONS = """
SELECT *, sum(market_cap) OVER () AS total_market_cap, count(*) OVER () AS positions
FROM analytics_portfolio_allocation WHERE as_of_date = %s
"""
_PORTFOLIO = "SELECT as_of_date FROM portfolio_dates() WHERE as_of_date = %s"
_EXCLUSION = "SELECT * FROM analytics_portfolio_exclusion WHERE as_of_date = %s AND ticker = %s"
_HISTORY = """
SELECT company_name, market_cap FROM collected_daily_stock_history WHERE ticker = %s AND trade_date <= %s
ORDER BY trade_date DESC LIMIT 1
"""
_TICKERS = """
SELECT ticker FROM analytics_portfolio_allocation UNION SELECT ticker FROM analytics_portfolio_exclusion
UNION SELECT holding_ticker FROM collected_meta_etf UNION SELECT ticker FROM collected_daily_stock_history
UNION SELECT ticker FROM collected_daily_etf_ohlc UNION SELECT ticker FROM collected_daily_benchmark_ohlc
ORDER BY 1
"""
_QUOTE_FETCH = """
SELECT fetched_at, run_id, (
    SELECT stage FROM logs_pipeline_run WHERE run_id = quote.run_id
    ORDER BY stage = 'stage4_stock_history' DESC, started_at LIMIT 1
) AS stage, source, requests, first_date, last_date, true AS is_logged
FROM logs_fetch AS quote WHERE ticker = %s AND kind = 'quote' AND first_date = %s AND outcome = 'ok'
ORDER BY fetched_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class Fetch:
    """The fetch that brought a fact.

    Attributes:
        run_id, stage: the run that fetched it; where `is_logged` is false, for older fetches, the run that served it.
        source, requests, first_date, last_date: who answered, in how many HTTP requests, and the dates of the answer;
            None where it is not logged.
    """

    fetched_at: dt.datetime
    run_id: str
    stage: str | None
    source: str | None
    requests: int | None
    first_date: dt.date | None
    last_date: dt.date | None
    is_logged: bool


@dataclass(frozen=True)
class Close:
    """The served close of a session in USD, adjusted for splits, and for dividends as well (`adj_close_price`)."""

    trade_date: dt.date
    close_price: Decimal
    adj_close_price: Decimal
    fetch: Fetch


@dataclass(frozen=True)
class Snapshot:
    """A fund's holdings at `snapshot_date`, and the place of one of them; percentages are of the fund.

    `coverage_percent` is the part of the fund that the `holdings` of the snapshot are.
    """

    etf_ticker: str
    sector: str
    snapshot_date: dt.date
    holding_ticker: str
    holding_name: str | None
    holding_percent: Decimal
    holding_rank: int
    coverage_percent: Decimal
    holdings: int
    is_look_ahead: bool
    fetch: Fetch


@dataclass(frozen=True)
class Restatement:
    """A change of served prices that a later run noticed; `ratio` is new price / old price, None where it varies."""

    ticker: str
    kind: str
    ratio: Decimal | None
    first_trade_date: dt.date
    last_trade_date: dt.date
    noticed_at: dt.datetime
    run_id: str


@dataclass(frozen=True)
class Decision:
    """The run that computed a result, and its options: basis_sessions, top_n_per_sector, max_weight."""

    run_id: str
    stage: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    options: Mapping[str, Any]

    @property
    def basis_sessions(self) -> int:
        return int(self.options.get("basis_sessions") or 20)


def read_closes(
    connection: psycopg.Connection, table: str, ticker: str, days: Sequence[dt.date]
) -> dict[dt.date, Close]:
    """Return the served closes of a ticker on some sessions, by session."""
    stage = STAGE4 if table == STOCK_TABLE else STAGE1
    query = sql.SQL(_CLOSES).format(
        table=sql.Identifier(table), columns=sql.SQL(_FETCH_COLUMNS), fetch=_fetch_of("ticker", "chart", stage)
    )
    rows = _rows(connection, query, (ticker, list(days)))
    return {
        row["trade_date"]: Close(row["trade_date"], row["close_price"], row["adj_close_price"], _fetch(row))
        for row in rows
    }


def read_snapshot(
    connection: psycopg.Connection,
    as_of: dt.date,
    *,
    tickers: Sequence[TickerSpan] | None = None,
    etf: str | None = None,
    snapshot: dt.date | None = None,
) -> Snapshot | None:
    """Return the snapshot that counts at a date, with the place of a stock in it (None: of the largest holding).

    Args:
        tickers: those of the stock, each for the snapshots of its time.
        etf: the fund; None for the one that holds most of the stock.
        snapshot: the date of the snapshot where it is known; None for the newest not after `as_of`, else the earliest.
    """
    query = sql.SQL(_HOLDINGS).format(
        columns=sql.SQL(_FETCH_COLUMNS), fetch=_fetch_of("etf_ticker", "holdings", STAGE2)
    )
    given: dict[str, object] = {"as_of": as_of, "etf": etf, "snapshot": snapshot}
    for field, name in (("ticker", "tickers"), ("valid_from", "valid_from"), ("valid_to", "valid_to")):
        given[name] = None if tickers is None else [getattr(span, field) for span in tickers]
    for row in _rows(connection, query, given):
        names = ("etf_ticker", "snapshot_date", "holding_ticker", "holding_name", "holding_percent")
        return Snapshot(
            **{name: row[name] for name in (*names, "holding_rank", "coverage_percent", "holdings")},
            sector=row["sector_name"],
            is_look_ahead=row["snapshot_date"] > as_of,
            fetch=_fetch(row),
        )
    return None


def read_restatements(
    connection: psycopg.Connection, tickers: Sequence[str], after: dt.datetime, days: Sequence[dt.date]
) -> tuple[Restatement, ...]:
    """List the restatements of prices between the first and the last of `days` that were noticed later than `after`."""
    cursor = connection.cursor(row_factory=class_row(Restatement))
    return tuple(cursor.execute(_RESTATEMENTS, (list(tickers), after, max(days), min(days))).fetchall())


def read_decision(
    connection: psycopg.Connection, run_id: str | None, stages: Sequence[str], as_of: dt.date
) -> Decision | None:
    """Return the run that computed a row; without one, the run that computed the date's portfolio."""
    cursor = connection.cursor(row_factory=class_row(Decision))
    decided = None if run_id is None else cursor.execute(_DECIDED, (run_id, list(stages))).fetchone()
    return decided or cursor.execute(_ALLOCATED, (as_of,)).fetchone()


def read_quote_fetch(connection: psycopg.Connection, ticker: str, quote_date: dt.date | None) -> Fetch | None:
    """Return the fetch of the quote of a date."""
    return connection.cursor(row_factory=class_row(Fetch)).execute(_QUOTE_FETCH, (ticker, quote_date)).fetchone()


def read_trends(connection: psycopg.Connection, as_of: dt.date) -> list[Row]:
    """List the trends of all sectors on a date, by period."""
    return _rows(connection, sql.SQL(_TRENDS), (as_of,))


def read_positions(connection: psycopg.Connection, as_of: dt.date) -> list[Row]:
    """List the positions of a date, each with the number of them and their total market cap."""
    return _rows(connection, sql.SQL(_POSITIONS), (as_of,))


def has_portfolio(connection: psycopg.Connection, as_of: dt.date) -> bool:
    """Say whether the portfolio of a date was computed, also one without any position."""
    return bool(_rows(connection, sql.SQL(_PORTFOLIO), (as_of,)))


def read_exclusion(connection: psycopg.Connection, as_of: dt.date, ticker: str) -> Row | None:
    """Return the exclusion of a ticker on a date."""
    return next(iter(_rows(connection, sql.SQL(_EXCLUSION), (as_of, ticker))), None)


def read_history(connection: psycopg.Connection, ticker: str, as_of: dt.date) -> Row | None:
    """Return company name and market cap of a stock as served for the newest session up to a date."""
    return next(iter(_rows(connection, sql.SQL(_HISTORY), (ticker, as_of))), None)


def read_dates(connection: psycopg.Connection) -> list[dt.date]:
    """List the dates that have results."""
    rows = connection.execute("SELECT DISTINCT as_of_date FROM analytics_trending_sectors ORDER BY 1").fetchall()
    return [date for (date,) in rows]


def read_tickers(connection: psycopg.Connection) -> list[str]:
    """List the tickers that any served table has."""
    return [ticker for (ticker,) in connection.execute(_TICKERS).fetchall()]


def read_origin_of(connection: psycopg.Connection) -> str | None:
    """Return the kind of data, `real` or `synthetic`."""
    row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
    return None if row is None else str(row[0])


def _fetch_of(ticker: str, kind: str, stage: Stage) -> sql.Composed:
    return sql.SQL(_FETCH).format(
        ticker=sql.Identifier("served", ticker), kind=sql.Literal(kind), stage=sql.Literal(stage.name)
    )


def _fetch(row: Row) -> Fetch:
    names = ("run_id", "stage", "source", "requests", "first_date", "last_date")
    return Fetch(
        fetched_at=row["fetched_at"],
        **{name: row[f"fetch_{name}"] for name in names},
        is_logged=row["is_fetch_logged"],
    )


def _rows(connection: psycopg.Connection, query: sql.SQL | sql.Composed, parameters: Any) -> list[Row]:
    found: list[Row] = list(connection.cursor(row_factory=dict_row).execute(query, parameters).fetchall())
    return found
