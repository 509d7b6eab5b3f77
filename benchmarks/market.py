"""The synthetic bars that the benchmarks work on: 550 tickers x 504 sessions; of closes alone any number."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spark_app import market_calendar
from spark_app.sources.contract import FetchRequest, Kind, SourceConfig
from spark_app.sources.synthetic.source import SyntheticSource

TICKERS = 550
SESSIONS = 504


def bars(tickers: int = TICKERS, sessions: int = SESSIONS) -> pd.DataFrame:
    """Make the bars; columns as schemas.BARS, without a hole.

    Bars that the synthetic market lacks are filled in, so that row counts are exact.
    """
    last = market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    days = market_calendar.sessions_ending(last, sessions)
    config = SourceConfig("synthetic", synthetic_stocks_per_sector=50, sessions=tuple(days))
    source = SyntheticSource(config)
    names = [h.holding_ticker for h in source.fetch(FetchRequest(Kind.HOLDINGS, ("SPY",)))[0].holdings][:tickers]
    frames = [_ticker_bars(source, name, days) for name in names]
    return pd.concat(frames, ignore_index=True)


def _ticker_bars(source: SyntheticSource, ticker: str, days: list[dt.date]) -> pd.DataFrame:
    answer = source.fetch(FetchRequest(Kind.CHART, (ticker,), days[0], days[-1]))[0]
    frame = pd.DataFrame([vars(bar) for bar in answer.bars]).set_index("trade_date").reindex(days)
    frame = frame.ffill().bfill().rename_axis("trade_date").reset_index()
    frame["volume"] = frame["volume"].astype("int64")
    frame.insert(0, "ticker", ticker)
    return frame


def random_walks(random: np.random.Generator, tickers: int, sessions: int) -> npt.NDArray[np.float64]:
    """Make prices around 100 with six decimals, tickers x sessions."""
    moves = random.normal(0.0003, 0.02, (tickers, sessions))
    prices: npt.NDArray[np.float64] = 100 * np.exp(moves.cumsum(axis=1))
    return prices.round(6)


def write_closes(file: Path, *, tickers: int, sessions: int) -> str:
    """Write ticker, trade_date and adj_close_price, random walks without a hole, by ticker and date.

    Returns the first ticker.
    """
    last = market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    days = np.array(market_calendar.sessions_ending(last, sessions), dtype="datetime64[D]")
    prices = random_walks(np.random.default_rng(7), tickers, sessions)
    names = pa.array([f"S{n:05d}" for n in range(tickers)])
    numbers = pa.array(np.repeat(np.arange(tickers, dtype=np.int32), sessions))
    columns = {
        "ticker": pa.DictionaryArray.from_arrays(numbers, names).cast(pa.string()),
        "trade_date": np.tile(days, tickers),
        "adj_close_price": prices.ravel(),
    }
    pq.write_table(pa.table(columns), file)
    return str(names[0])
