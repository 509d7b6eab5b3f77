"""The columns and keys of every table: Delta staging first, then what Postgres serves.

Staging stores numbers as the source gave them (doubles), served tables as decimals of fixed
precision. Staging is append-only: the current row of a key is the one fetched last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

MESSAGE_VERSION = 1
"""The version of the messages (docs/TOPIC.md); increased when a column or another field goes or changes its meaning."""

PRICE = DecimalType(18, 6)
PERCENT = DecimalType(14, 6)
WEIGHT_PERCENT = DecimalType(9, 6)
PORTFOLIO_WEIGHT = DecimalType(9, 8)


def _struct(**columns: DataType) -> StructType:
    return StructType([StructField(name, data_type) for name, data_type in columns.items()])


def _joined(*parts: StructType) -> StructType:
    return StructType([field for part in parts for field in part.fields])


_STRING, _DATE, _TIME, _DOUBLE, _LONG = StringType(), DateType(), TimestampType(), DoubleType(), LongType()

BAR = _struct(
    trade_date=_DATE,
    open_price=_DOUBLE,
    high_price=_DOUBLE,
    low_price=_DOUBLE,
    close_price=_DOUBLE,
    adj_close_price=_DOUBLE,
    volume=_LONG,
    dividend=_DOUBLE,
    split_ratio=_DOUBLE,
)
HOLDING = _struct(holding_ticker=_STRING, holding_name=_STRING, holding_percent=_DOUBLE)
SKIPPED_HOLDING = _struct(holding_ticker=_STRING, holding_name=_STRING, holding_percent=_DOUBLE, reason=_STRING)
QUOTE = _struct(
    quoted_at=_TIME, quote_date=_DATE, market_cap=_LONG, price=_DOUBLE, long_name=_STRING, short_name=_STRING
)
_PROVENANCE = _struct(fetched_at=_TIME, run_id=_STRING, source=_STRING)

FETCHES = _joined(
    _struct(
        kind=_STRING,
        ticker=_STRING,
        window_start=_DATE,
        window_end=_DATE,
        outcome=_STRING,
        message=_STRING,
        raw_text=_STRING,
        requests=IntegerType(),
        seconds=_DOUBLE,
        bars=ArrayType(BAR),
        snapshot_date=_DATE,
        holdings=ArrayType(HOLDING),
        left_out=ArrayType(SKIPPED_HOLDING),
        quote=QUOTE,
    ),
    _PROVENANCE,
)
"""One row per requested ticker; outcome and payload are written together.

`window_start` is the first date that a chart covers: the one that was asked for, or the date of its first bar where the
chart begins later and does not say that the ticker was first traded then.
`left_out`, a name of 0.1.0, contains the skipped rows of a holdings answer.
"""

BARS = _joined(_struct(ticker=_STRING), BAR, _PROVENANCE)
HOLDINGS = _joined(
    _struct(etf_ticker=_STRING, snapshot_date=_DATE, holding_ticker=_STRING, holding_name=_STRING),
    _struct(holding_percent=WEIGHT_PERCENT),
    _PROVENANCE,
)
QUOTES = _joined(_struct(ticker=_STRING), QUOTE, _PROVENANCE)

INDEX_MEMBERSHIP = _joined(_struct(ticker=_STRING, start_date=_DATE, end_date=_DATE), _PROVENANCE)
"""Who was in the index when; `end_date` is the first day on which it no longer was, null where it still is."""

MEMBERSHIPS = _joined(
    _struct(as_of_date=_DATE, ticker=_STRING, etf_ticker=_STRING, sector=_STRING),
    _struct(holding_percent=WEIGHT_PERCENT, snapshot_date=_DATE, is_look_ahead=BooleanType()),
)
"""Derived, not stored: the one sector fund that each stock belongs to at a date."""


@dataclass(frozen=True)
class ServedTable:
    """A Postgres table.

    Attributes:
        schema: all columns, in the order of the table; those of `key` are the primary key.
        uncompared: columns whose change alone does not make a row a changed row.
        added: columns that publishing adds.
        defaults: columns that messages of earlier versions lack, each with its value there, or what finds it from the
            columns before it.
    """

    name: str
    key: tuple[str, ...]
    schema: StructType
    uncompared: tuple[str, ...] = ("run_id", "fetched_at")
    added: tuple[str, ...] = ("run_id",)
    loses_rows: bool = True
    """Whether a run removes stale rows, those that it no longer produces; prices are removed by retention only."""
    defaults: tuple[tuple[str, object], ...] = ()
    is_sent: bool = True
    """Whether changed rows are sent to Kafka."""

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns whose change makes a row a changed row."""
        return tuple(n for n in self.schema.fieldNames() if n not in self.key and n not in self.uncompared)

    @property
    def date_column(self) -> str:
        """The column of the key that is the session, or of holdings the date of the snapshot."""
        return next(name for name in self.key if name.endswith("_date"))

    @property
    def ticker_column(self) -> str:
        """The column of the key that names the row's security; of holdings the one that a fund has."""
        return [name for name in self.key if name.endswith("ticker")][-1]

    @property
    def computed_schema(self) -> StructType:
        """The columns that a transform computes."""
        return StructType([field for field in self.schema.fields if field.name not in self.added])


_DAILY_PRICES = _struct(
    open_price=PRICE,
    high_price=PRICE,
    low_price=PRICE,
    close_price=PRICE,
    adj_close_price=PRICE,
    volume=_LONG,
    dividend=PRICE,
    split_ratio=PRICE,
    price_change_percent=PERCENT,
    fetched_at=_TIME,
    run_id=_STRING,
)
_TICKER_AND_DATE = _struct(ticker=_STRING, trade_date=_DATE)

ETF_OHLC = ServedTable(
    "collected_daily_etf_ohlc", ("ticker", "trade_date"), _joined(_TICKER_AND_DATE, _DAILY_PRICES), loses_rows=False
)
BENCHMARK_OHLC = ServedTable(
    "collected_daily_benchmark_ohlc",
    ("ticker", "trade_date"),
    _joined(_TICKER_AND_DATE, _DAILY_PRICES),
    loses_rows=False,
)
ETF_HOLDINGS = ServedTable(
    "collected_meta_etf",
    ("etf_ticker", "holding_ticker", "as_of_date"),
    _joined(
        _struct(etf_ticker=_STRING, holding_ticker=_STRING, as_of_date=_DATE),
        _struct(etf_type=_STRING, sector_name=_STRING, holding_name=_STRING, holding_percent=WEIGHT_PERCENT),
        _struct(holding_rank=IntegerType(), coverage_percent=WEIGHT_PERCENT, source=_STRING),
        _struct(fetched_at=_TIME, run_id=_STRING),
    ),
)
STOCK_HISTORY = ServedTable(
    "collected_daily_stock_history",
    ("ticker", "trade_date"),
    _joined(
        _TICKER_AND_DATE,
        _struct(company_name=_STRING, sector=_STRING),
        _DAILY_PRICES,
        _struct(market_cap=_LONG),
    ),
    loses_rows=False,
)
TRENDING_SECTORS = ServedTable(
    "analytics_trending_sectors",
    ("as_of_date", "etf_ticker", "period_days"),
    _joined(
        _struct(as_of_date=_DATE, etf_ticker=_STRING, period_days=IntegerType(), sector_name=_STRING),
        _struct(return_pct=PERCENT, benchmark_return_pct=PERCENT, is_trending=BooleanType()),
        _struct(rank=IntegerType(), unavailable_reason=_STRING, run_id=_STRING),
    ),
)
SECTOR_TRENDS = _joined(
    TRENDING_SECTORS.computed_schema, _struct(unavailable_code=_STRING, benchmark_unavailable_code=_STRING)
)
"""Derived, not stored: the trends with the codes of what is unavailable."""


def _period_columns(sessions: int) -> StructType:
    suffix = f"{sessions}d"
    return _struct(
        **{
            f"return_{suffix}": PERCENT,
            f"sector_avg_{suffix}": PERCENT,
            f"is_trending_{suffix}": BooleanType(),
            f"rank_{suffix}": IntegerType(),
        }
    )


def _is_look_ahead_quote(row: Mapping[str, object]) -> bool:
    """Of a position of versions before 0.4.0 only this is known, as in migration 0009."""
    return row.get("market_cap_basis") == "later_quote"


PORTFOLIO_ALLOCATION = ServedTable(
    "analytics_portfolio_allocation",
    ("as_of_date", "ticker"),
    _joined(
        _struct(as_of_date=_DATE, ticker=_STRING, company_name=_STRING, sector=_STRING),
        _struct(market_cap=_LONG, market_cap_basis=_STRING),
        *(_period_columns(sessions) for sessions in (5, 10, 20)),
        _struct(portfolio_weight=PORTFOLIO_WEIGHT, allocation_reason=_STRING, run_id=_STRING),
        _struct(is_max_weight_exceeded=BooleanType()),
        _struct(holdings_date=_DATE, quote_date=_DATE, is_look_ahead=BooleanType()),
    ),
    defaults=(
        ("is_max_weight_exceeded", False),
        ("holdings_date", None),
        ("quote_date", None),
        ("is_look_ahead", _is_look_ahead_quote),
    ),
)
PORTFOLIO_EXCLUSION = ServedTable(
    "analytics_portfolio_exclusion",
    ("as_of_date", "ticker"),
    _joined(
        _struct(as_of_date=_DATE, ticker=_STRING, sector=_STRING, reason=_STRING, detail=_STRING, run_id=_STRING),
        _struct(holdings_date=_DATE, is_look_ahead=BooleanType()),
    ),
    defaults=(("holdings_date", None), ("is_look_ahead", False)),
)

_VALUE, _FRACTION = DecimalType(28, 12), DecimalType(14, 8)
_BACKTEST, _SERIES = _struct(backtest_id=_STRING), _struct(series=_STRING)

BACKTEST_RUN = ServedTable(
    "analytics_backtest_run",
    ("backtest_id",),
    _joined(
        _BACKTEST,
        _struct(computed_date=_DATE, first_date=_DATE, last_date=_DATE, is_attainable=BooleanType()),
        _struct(parameters=_STRING, run_id=_STRING),
    ),
    is_sent=False,
)
BACKTEST_SUMMARY = ServedTable(
    "analytics_backtest_summary",
    ("backtest_id", "series"),
    _joined(
        *(_BACKTEST, _SERIES),
        _struct(final_value=_VALUE, cagr_pct=PERCENT, gross_cagr_pct=PERCENT, volatility_pct=PERCENT),
        _struct(sharpe_ratio=PERCENT, sortino_ratio=PERCENT, max_drawdown_pct=PERCENT),
        _struct(peak_date=_DATE, trough_date=_DATE, recovery_date=_DATE),
        _struct(beta=PERCENT, alpha_pct=PERCENT, information_ratio=PERCENT),
        _struct(value_at_risk_pct=PERCENT, conditional_value_at_risk_pct=PERCENT, hit_rate_pct=PERCENT),
        _struct(yearly_turnover=PERCENT, break_even_bps=PERCENT, run_id=_STRING),
    ),
    is_sent=False,
)
BACKTEST_EQUITY = ServedTable(
    "analytics_backtest_equity",
    ("backtest_id", "series", "trade_date"),
    _joined(
        *(_BACKTEST, _SERIES),
        _struct(trade_date=_DATE, portfolio_value=_VALUE, drawdown_pct=PERCENT, run_id=_STRING),
    ),
    is_sent=False,
)
BACKTEST_REBALANCE = ServedTable(
    "analytics_backtest_rebalance",
    ("backtest_id", "series", "as_of_date"),
    _joined(
        *(_BACKTEST, _SERIES),
        _struct(as_of_date=_DATE, trade_date=_DATE, turnover=_FRACTION, cost_pct=_FRACTION, run_id=_STRING),
    ),
    is_sent=False,
)
BACKTEST_POSITION = ServedTable(
    "analytics_backtest_position",
    ("backtest_id", "as_of_date", "ticker"),
    _joined(
        _BACKTEST,
        _struct(as_of_date=_DATE, ticker=_STRING, target_weight=PORTFOLIO_WEIGHT, run_id=_STRING),
        _struct(is_look_ahead=BooleanType()),
    ),
    is_sent=False,
)
BACKTEST_LEDGER = ServedTable(
    "analytics_backtest_ledger",
    ("backtest_id", "entry"),
    _joined(
        *(_BACKTEST, _struct(entry=_STRING)),
        _struct(counted=_LONG, total=_LONG, share_pct=PERCENT, weight_pct=PERCENT, tickers=IntegerType()),
        _struct(run_id=_STRING),
    ),
    is_sent=False,
)
BACKTEST_TABLES = (
    BACKTEST_RUN,
    BACKTEST_SUMMARY,
    BACKTEST_EQUITY,
    BACKTEST_REBALANCE,
    BACKTEST_POSITION,
    BACKTEST_LEDGER,
)
"""The tables of backtests, the one that the others refer to first; they are not sent to Kafka."""

SERVED_TABLES = (
    ETF_OHLC,
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    STOCK_HISTORY,
    TRENDING_SECTORS,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
)
