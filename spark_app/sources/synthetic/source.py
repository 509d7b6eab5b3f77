"""The synthetic market as a source: seeded, without network, for demonstrations, tests and load tests.

Its bars depend on the seed and the trading sessions only: every worker computes the same market for any window, as of
its last session.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from functools import lru_cache

from spark_app.errors import SettingsError
from spark_app.market_calendar import NEW_YORK
from spark_app.sources.contract import (
    Answer,
    Bar,
    FetchRequest,
    Holding,
    Kind,
    Outcome,
    Quote,
    SkippedHolding,
    SourceConfig,
)
from spark_app.sources.synthetic.market import Market

PROVIDER = "synthetic"
_CLOSE_TIME = dt.time(16)

_market = lru_cache(maxsize=2)(Market)


class SyntheticSource:
    """Answers charts, holdings and quotes without a request or a wait.

    Raises: SettingsError: the configuration has no sessions or no stocks.
    """

    def __init__(self, config: SourceConfig) -> None:
        if not config.sessions:
            raise SettingsError("The synthetic market needs at least one trading session.")
        if config.synthetic_stocks_per_sector < 1:
            raise SettingsError("The synthetic market needs at least one stock per sector.")
        self._sessions = config.sessions
        self._market = _market(
            config.synthetic_seed,
            len(config.sessions),
            config.synthetic_stocks_per_sector,
            config.synthetic_leading_sectors,
        )

    def fetch(self, request: FetchRequest) -> list[Answer]:
        """Return one answer per ticker, in the order of the request; holdings as of `window_end`, if it is given."""
        return [self._answer(request, ticker) for ticker in request.tickers]

    def _answer(self, request: FetchRequest, ticker: str) -> Answer:
        if ticker not in self._market.listings:
            return _without_data(ticker, Outcome.NOT_FOUND, f"The synthetic market does not list {ticker}.")
        match request.kind:
            case Kind.CHART:
                return self._chart(ticker, request.window_start, request.window_end)
            case Kind.HOLDINGS:
                return self._holdings(ticker, request.window_end)
            case Kind.QUOTE:
                return self._quote(ticker)

    def _chart(self, ticker: str, window_start: dt.date | None, window_end: dt.date | None) -> Answer:
        start = bisect_left(self._sessions, window_start) if window_start else 0
        window = slice(start, self._sessions_until(window_end))
        path = self._market.path(ticker)
        has_bar = path.has_bar[window]
        dates = [date for date, kept in zip(self._sessions[window], has_bar.tolist(), strict=True) if kept]
        columns = (
            path.open_price,
            path.high_price,
            path.low_price,
            path.close_price,
            path.adj_close_price,
            path.volume,
            path.dividend,
            path.split_ratio,
        )
        bars = tuple(map(Bar, dates, *(column[window][has_bar].tolist() for column in columns)))
        if not bars:
            message = f"The synthetic market has no bar of {ticker} from {window_start} to {window_end}."
            return _without_data(ticker, Outcome.NO_DATA, message)
        return Answer(ticker, Outcome.OK, bars=bars, provider=PROVIDER)

    def _holdings(self, ticker: str, window_end: dt.date | None) -> Answer:
        if not self._market.is_fund(ticker):
            return _without_data(ticker, Outcome.NO_DATA, f"{ticker} is not a fund: it has no holdings.")
        sessions = self._sessions_until(window_end)
        if sessions == 0:
            message = f"The synthetic market has no holdings of {ticker} on {window_end} or before."
            return _without_data(ticker, Outcome.NO_DATA, message)
        weights = self._market.holdings(ticker, sessions - 1)
        cash_percent = round(100 - sum(percent for _, percent in weights), 6)
        return Answer(
            ticker,
            Outcome.OK,
            snapshot_date=self._sessions[sessions - 1],
            holdings=tuple(Holding(stock.ticker, stock.name, percent) for stock, percent in weights),
            skipped=(SkippedHolding(None, "US DOLLAR", cash_percent, "cash"),),
            provider=PROVIDER,
        )

    def _quote(self, ticker: str) -> Answer:
        listing = self._market.listings[ticker]
        last = len(self._sessions) - 1
        quote = Quote(
            quoted_at=dt.datetime.combine(self._sessions[last], _CLOSE_TIME, NEW_YORK).astimezone(dt.UTC),
            quote_date=self._sessions[last],
            market_cap=self._market.market_cap_usd(ticker, last) if listing.reports_market_cap else None,
            price=float(self._market.path(ticker).close_price[last]),
            long_name=listing.name,
            short_name=f"Synthetic {ticker}",
        )
        return Answer(ticker, Outcome.OK, quote=quote, provider=PROVIDER)

    def _sessions_until(self, window_end: dt.date | None) -> int:
        return bisect_right(self._sessions, window_end) if window_end else len(self._sessions)


def _without_data(ticker: str, outcome: Outcome, message: str) -> Answer:
    return Answer(ticker, outcome, message=message, provider=PROVIDER)
