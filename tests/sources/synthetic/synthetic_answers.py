"""One-line requests to the synthetic source, for its tests."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from functools import cache
from typing import Protocol, cast

from spark_app.sources.contract import Answer, Bar, FetchRequest, Kind, Quote, SourceConfig
from spark_app.sources.synthetic.source import SyntheticSource
from spark_app.universe import BENCHMARKS, SECTOR_NAMES

FIRST_DAY = dt.date(2015, 1, 1)
SESSIONS = tuple(day for day in (FIRST_DAY + dt.timedelta(n) for n in range(4000)) if day.weekday() < 5)
FUND_TICKERS = (*BENCHMARKS, *SECTOR_NAMES)


class FullBar(Protocol):
    """A bar of which nothing is missing."""

    trade_date: dt.date
    open_price: float
    high_price: float
    low_price: float
    close_price: float
    adj_close_price: float
    volume: int
    dividend: float
    split_ratio: float


def make_source(
    sessions: tuple[dt.date, ...] = SESSIONS, seed: int = 20, stocks: int = 12, leading_sectors: int = 2
) -> SyntheticSource:
    return SyntheticSource(
        SourceConfig(
            name="synthetic",
            sessions=sessions,
            synthetic_seed=seed,
            synthetic_stocks_per_sector=stocks,
            synthetic_leading_sectors=leading_sectors,
        )
    )


def fetch_one(source: SyntheticSource, kind: Kind, ticker: str, *window: dt.date | None) -> Answer:
    (answer,) = source.fetch(FetchRequest(kind, (ticker,), *window))
    return answer


def quote_of(source: SyntheticSource, ticker: str) -> Quote:
    quote = fetch_one(source, Kind.QUOTE, ticker).quote
    assert quote is not None
    return quote


def full(bars: tuple[Bar, ...]) -> tuple[FullBar, ...]:
    assert not any(None in vars(bar).values() for bar in bars)
    return cast(tuple[FullBar, ...], bars)


@cache
def bars_of(ticker: str) -> tuple[FullBar, ...]:
    return full(fetch_one(make_source(), Kind.CHART, ticker).bars)


@cache
def stock_tickers() -> tuple[str, ...]:
    return tuple(holding.holding_ticker for holding in fetch_one(make_source(), Kind.HOLDINGS, "SPY").holdings)


def later_split_ratio(bars: tuple[FullBar, ...], after: dt.date) -> float:
    return math.prod(bar.split_ratio for bar in bars if bar.trade_date > after)


def digest_of(answers: list[Answer]) -> str:
    return hashlib.sha256(repr(sorted(answers, key=lambda answer: answer.ticker)).encode()).hexdigest()


def digest_everything(tickers: tuple[str, ...]) -> list[str]:
    source = make_source()
    return [digest_of(source.fetch(FetchRequest(kind, tickers))) for kind in Kind]
