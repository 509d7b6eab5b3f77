"""What the page shows, as read from the served tables; numbers are those of the tables, unrounded."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spark_app.results.cash import why_cash


@dataclass(frozen=True)
class Trend:
    """One sector fund over one period; `return_pct` is None where `unavailable_reason` says why."""

    etf_ticker: str
    sector_name: str
    period_days: int
    return_pct: Decimal | None
    benchmark_return_pct: Decimal | None
    is_trending: bool
    rank: int | None
    unavailable_reason: str | None

    @property
    def excess_pct(self) -> Decimal | None:
        """Return minus the benchmark's, in percentage points."""
        if self.return_pct is None or self.benchmark_return_pct is None:
            return None
        return self.return_pct - self.benchmark_return_pct


@dataclass(frozen=True)
class Sector:
    """One sector fund with its trends, by period."""

    etf_ticker: str
    name: str
    trends: Mapping[int, Trend]


@dataclass(frozen=True)
class Position:
    """One position; `weight_before` is that of the previous as-of date, 0 where it was not in the portfolio.

    `is_look_ahead`: its membership or market cap is a fact dated after the as-of session.
    """

    ticker: str
    company_name: str | None
    sector: str
    market_cap: int
    market_cap_basis: str
    return_5d: Decimal | None
    return_10d: Decimal | None
    return_20d: Decimal | None
    sector_avg_5d: Decimal | None
    sector_avg_10d: Decimal | None
    sector_avg_20d: Decimal | None
    weight: Decimal
    weight_before: Decimal
    allocation_reason: str
    is_max_weight_exceeded: bool
    holdings_date: dt.date | None
    quote_date: dt.date | None
    is_look_ahead: bool

    @property
    def change(self) -> Decimal:
        return self.weight - self.weight_before

    @property
    def is_new(self) -> bool:
        return not self.weight_before


@dataclass(frozen=True)
class Departure:
    """A position of the previous as-of date that is no longer in the portfolio; `reason` where one is served."""

    ticker: str
    weight_before: Decimal
    reason: str | None


@dataclass(frozen=True)
class Exclusion:
    """A member of a trending sector that is not in the portfolio."""

    ticker: str
    sector: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Turnover:
    """The portfolio of the date in the sequence of portfolios; `turnover` is a fraction."""

    previous_date: dt.date | None
    turnover: Decimal


@dataclass(frozen=True)
class PortfolioRun:
    """The settings of the run that computed the portfolio; `max_weight` is a fraction, None without a limit."""

    basis_sessions: int | None
    max_weight: Decimal | None


@dataclass(frozen=True)
class Dataset:
    """Coverage and freshness of a served table up to the as-of session.

    `present` of `expected` keys have a row of the newest date; `unit` says what the keys are.
    """

    name: str
    table: str
    unit: str
    first_date: dt.date | None
    newest_date: dt.date | None
    dates: int
    present: int
    expected: int
    fetched_at: dt.datetime | None


@dataclass(frozen=True)
class RunRow:
    """One row of the run log; None where the stage does not know it."""

    stage: str
    as_of_date: dt.date
    status: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    requests: int
    rows_inserted: int
    rows_updated: int
    rows_removed: int
    rows_rejected: int
    restated_bars: int | None
    outliers: int | None
    message: str | None


@dataclass(frozen=True)
class Rejected:
    """Rejected or doubtful data, as the run log keeps it."""

    received_at: dt.datetime
    stage: str | None
    error_msg: str


@dataclass(frozen=True)
class Restatement:
    """Known bars of a ticker that a newer fetch changed; `ratio` is new / old, 1 for a correction."""

    ticker: str
    kind: str
    ratio: Decimal | None
    rows_restated: int
    first_trade_date: dt.date
    last_trade_date: dt.date
    noticed_at: dt.datetime
    stage: str


@dataclass(frozen=True)
class Fetches:
    """The answers of one kind, source and outcome."""

    kind: str
    source: str
    outcome: str
    answers: int
    requests: int | None
    fetched_at: dt.datetime


@dataclass(frozen=True)
class Origin:
    """The run that served rows of a table for the as-of session; None where the run log does not know it."""

    table_name: str
    rows: int
    run_id: str
    stage: str | None
    finished_at: dt.datetime | None
    code_version: str | None
    host: str | None
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Price:
    """An adjusted close of a fund."""

    ticker: str
    trade_date: dt.date
    adj_close_price: Decimal


@dataclass(frozen=True)
class Facts:
    """Everything that the page shows of one as-of session.

    Attributes:
        origin: the kind of data, `real`, `synthetic` or `files`, None where nothing was ever stored.
        last_completed: the last session that was over when the page was made; `sessions_behind` counts from the
            as-of session to it.
        newest: the newest date with results, where that is not the as-of session it is a page of the past.
        portfolio: None where none was computed for the date.
        portfolio_run: None where the run log does not have it.
        compared: the date that trends are compared with: that of the previous portfolio, without one the previous date
            with trends.
        turned: sector fund -> whether it trends now, of those that differ from that date.
        sessions: the sessions of the year that ends with the as-of session; `prices` are on them.
    """

    as_of: dt.date
    made_at: dt.datetime
    origin: str | None
    newest: dt.date
    last_completed: dt.date
    sessions_behind: int
    basis_sessions: int
    sectors: Sequence[Sector]
    benchmark_returns: Mapping[int, Decimal | None]
    compared: dt.date | None
    turned: Mapping[str, bool]
    portfolio: Turnover | None
    portfolio_run: PortfolioRun | None
    positions: Sequence[Position]
    departures: Sequence[Departure]
    exclusions: Sequence[Exclusion]
    sessions: Sequence[dt.date]
    prices: Sequence[Price]
    datasets: Sequence[Dataset]
    runs: Sequence[RunRow]
    rejected: Sequence[Rejected]
    rejected_count: int
    restatements: Sequence[Restatement]
    restated_count: int
    fetches: Sequence[Fetches]
    origins: Sequence[Origin]
    funds_with_holdings: Sequence[str]
    look_ahead_snapshots: Mapping[str, dt.date]

    @property
    def is_synthetic(self) -> bool:
        return self.origin == "synthetic"

    @property
    def trending(self) -> list[Sector]:
        """The sectors that trend over the basis period, the best first."""
        return [s for s in self.sectors if (t := s.trends.get(self.basis_sessions)) is not None and t.is_trending]

    @property
    def basis_returns(self) -> dict[str, Decimal | None]:
        """The return of each sector fund over the basis period, None where it is not known."""
        by_fund = {sector.etf_ticker: sector.trends.get(self.basis_sessions) for sector in self.sectors}
        return {fund: None if trend is None else trend.return_pct for fund, trend in by_fund.items()}

    @property
    def cash_reason(self) -> str:
        """Why there is neither a position nor an excluded stock, as the end of a sentence."""
        trending = [sector.etf_ticker for sector in self.trending]
        return why_cash(self.basis_returns, trending, self.funds_with_holdings, self.basis_sessions)

    @property
    def added(self) -> list[Position]:
        """The positions that the previous date does not have; none for a first portfolio."""
        if self.portfolio is None or self.portfolio.previous_date is None:
            return []
        return [position for position in self.positions if position.is_new]

    @property
    def look_ahead_positions(self) -> list[Position]:
        return [position for position in self.positions if position.is_look_ahead]

    @property
    def exclusion_counts(self) -> list[tuple[str, int]]:
        """Reasons with the number of stocks, the most frequent first."""
        return sorted(Counter(e.reason for e in self.exclusions).items(), key=lambda item: (-item[1], item[0]))
