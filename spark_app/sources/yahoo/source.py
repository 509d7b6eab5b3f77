"""Yahoo Finance through yfinance: charts, a fund's largest holdings, quotes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Callable

import tenacity
import yfinance as yf
from yfinance.data import YfData
from yfinance.exceptions import YFException

from spark_app.errors import RateLimitedError, SparkAppError
from spark_app.market_calendar import NEW_YORK
from spark_app.sources.bodies import FetchError, describe
from spark_app.sources.contract import Answer, FetchRequest, Kind, Outcome, SourceConfig, utc_now
from spark_app.sources.holdings import find_skipped_holdings
from spark_app.sources.issuer.workbook import fetch_issuer_holdings
from spark_app.sources.skipped import describe_skipped
from spark_app.sources.symbols import is_ticker
from spark_app.sources.yahoo.answers import parse_holdings, parse_quotes, require_holdings_of
from spark_app.sources.yahoo.chart import (
    bars_in,
    find_skipped_events,
    find_skipped_rows,
    parse_chart,
    require_chart_of,
)
from spark_app.sources.yahoo.listing import find_covered_from
from spark_app.sources.yahoo.reconcile import reconcile
from spark_app.sources.yahoo.session import YahooSession

_SUMMARY_URL = "https://query2.finance.yahoo.com/v10/finance/quoteSummary/"
_QUOTE_URL = "https://query1.finance.yahoo.com/v7/finance/quote"
_HOLDINGS_MODULES = "quoteType,summaryProfile,topHoldings,fundProfile"
_LONGEST_BACKOFF_SECONDS = 60.0


class YahooSource:
    """Fetches from Yahoo, or holdings from the issuer if the settings say so."""

    def __init__(
        self,
        config: SourceConfig,
        session: YahooSession,
        *,
        clock: Callable[[], dt.datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._session = session
        self._clock = clock
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, FetchError) and error.may_pass),
            stop=tenacity.stop_after_attempt(1 + config.max_retries),
            wait=tenacity.wait_random_exponential(multiplier=1, max=_LONGEST_BACKOFF_SECONDS),
            sleep=sleep,
            reraise=True,
        )

    def fetch(self, request: FetchRequest) -> list[Answer]:
        """Fetch the tickers of `request`; a failure is an outcome, not an error."""
        sent, spent = self._session.requests_sent, self._session.seconds_spent
        known = tuple(ticker for ticker in request.tickers if is_ticker(ticker))
        answers = {answer.ticker: answer for answer in self._answer(dataclasses.replace(request, tickers=known))}
        provider = self._provider(request.kind)
        first, *rest = [
            dataclasses.replace(answers.get(ticker) or _answer_not_a_ticker(ticker), provider=provider)
            for ticker in request.tickers
        ]
        cost = (self._session.requests_sent - sent, self._session.seconds_spent - spent)
        return [dataclasses.replace(first, requests=cost[0], seconds=cost[1]), *rest]

    def _provider(self, kind: Kind) -> str:
        return self._config.holdings_provider if kind is Kind.HOLDINGS else "yahoo"

    def _answer(self, request: FetchRequest) -> list[Answer]:
        if not request.tickers:
            return []
        try:
            return self._retrying(self._fetch_once, request)
        except RateLimitedError as error:
            outcome, message = Outcome.RATE_LIMITED, str(error)
        except FetchError as error:
            outcome, message = error.outcome, str(error)
        return [Answer(ticker, outcome, message, self._session.raw_text()) for ticker in request.tickers]

    def _fetch_once(self, request: FetchRequest) -> list[Answer]:
        """Fetch without retries.

        Raises: FetchError: anything that can go wrong with an answer. RateLimitedError, RunInterruptedError,
        ServiceUnavailableError: the limiter's.
        """
        fetch = {Kind.CHART: self._fetch_chart, Kind.HOLDINGS: self._fetch_holdings, Kind.QUOTE: self._fetch_quotes}
        self._session.needs_crumb = request.kind is not Kind.CHART
        # So that a failed request is not followed by parsing the answer to the one before.
        self._session.last_response = None
        try:
            return fetch[request.kind](request)
        except SparkAppError:
            raise
        except json.JSONDecodeError as error:
            raise FetchError(Outcome.MALFORMED, f"the answer is not JSON: {error}", may_pass=True) from error
        except OSError as error:  # the base of every error of curl_cffi
            raise FetchError(Outcome.TRANSIENT, f"the request failed: {error}", may_pass=True) from error
        except Exception as error:
            # Whatever a parser raises: an exception that leaves a worker ends the stage.
            raise FetchError(Outcome.MALFORMED, f"the answer has another shape: {describe(error)}") from error

    def _fetch_chart(self, request: FetchRequest) -> list[Answer]:
        (ticker,) = request.tickers
        if request.window_start is None or request.window_end is None:
            raise AssertionError("a chart request needs its window")
        window = (request.window_start, request.window_end)
        self._request_chart(ticker, *window)
        # Parsed from the body and not from yfinance's frame, which turns a null volume into 0, moves an
        # event whose bar is missing to the bar before, and drops events before the first bar.
        payload = self._session.payload()
        require_chart_of(payload, ticker)
        parsed = parse_chart(payload)
        bars, notes = reconcile(bars_in(parsed, *window))
        today = self._clock().astimezone(NEW_YORK).date()
        rows, events = find_skipped_rows(parsed, *window, today), find_skipped_events(parsed, today)
        message, raw_text = describe_skipped(rows=rows, events=events)
        message = "; ".join(part for part in (message, *notes) if part) or None
        covered_from = find_covered_from(payload, bars, request.window_start)
        return [Answer(ticker, Outcome.OK, message, raw_text, bars=bars, covered_from=covered_from)]

    def _request_chart(self, ticker: str, first: dt.date, last: dt.date) -> None:
        client = yf.Ticker(ticker, session=self._session)
        # Saves one request per ticker; all tickers are listed in the United States.
        client._tz = NEW_YORK.key
        # yfinance caches error answers as well, and would return them to a retry.
        YfData.cache_get.cache_clear()
        end, timeout = last + dt.timedelta(days=1), self._config.timeout_seconds
        try:
            client.history(start=first, end=end, auto_adjust=False, timeout=timeout)
        except SparkAppError:
            raise
        except Exception as error:
            # The body says more than the exception, and yfinance also fails on values that the parsers skip.
            if self._session.last_response is None and not isinstance(error, YFException):
                raise

    def _fetch_holdings(self, request: FetchRequest) -> list[Answer]:
        (ticker,) = request.tickers
        if self._config.holdings_provider == "issuer":
            return [self._fetch_workbook(ticker)]
        # yfinance's `funds_data` sends this same request, but fails for the whole fund when one holding has no symbol,
        # and returns None or raises UnboundLocalError for an empty answer.
        self._get(_SUMMARY_URL + ticker, {"modules": _HOLDINGS_MODULES, "formatted": "false"})
        payload = self._session.payload()
        require_holdings_of(payload, ticker)
        holdings, skipped = parse_holdings(payload, self._config.skipped_holdings_percent)
        # Yahoo's holdings have no date.
        snapshot_date = self._clock().astimezone(NEW_YORK).date()
        said = describe_skipped(rows=find_skipped_holdings(skipped))
        return [Answer(ticker, Outcome.OK, *said, snapshot_date=snapshot_date, holdings=holdings, skipped=skipped)]

    def _fetch_workbook(self, ticker: str) -> Answer:
        return fetch_issuer_holdings(
            self._session,
            self._config.holdings_url,
            ticker,
            today=self._clock().astimezone(NEW_YORK).date(),
            skipped_holdings_percent=self._config.skipped_holdings_percent,
        )

    def _fetch_quotes(self, request: FetchRequest) -> list[Answer]:
        self._get(_QUOTE_URL, {"symbols": ",".join(request.tickers), "formatted": "false"})
        return parse_quotes(self._session.payload(), request.tickers, self._clock())

    def _get(self, url: str, params: dict[str, str]) -> None:
        YfData(session=self._session).get(url, params=params, timeout=self._config.timeout_seconds)


def _answer_not_a_ticker(ticker: str) -> Answer:
    return Answer(ticker, Outcome.NOT_FOUND, f"{ticker[:40]!r} is not a ticker: not requested")
