"""The listings of the synthetic market: the funds, fictitious stocks, and the funds' holdings."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spark_app.sources.synthetic.paths import (
    QUARTER_SESSIONS,
    Listing,
    PricePath,
    Style,
    build_path,
    sector_factors,
    stream,
)
from spark_app.universe import BENCHMARKS, SECTOR_NAMES

_FUND = Style(
    noise=0.0003,
    drifts=(0.0,),
    day_range=0.003,
    start_price_usd=70.0,
    start_price_sigma=0.3,
    daily_turnover_usd=1.5e9,
    missing_chance=0.0,
    payer_frac=1.0,
    highest_quarterly_yield=0.006,
    no_market_cap_chance=1.0,
)
_STOCK = Style(
    noise=0.010,
    drifts=(-0.0015, 0.0, 0.0, 0.0015),
    day_range=0.006,
    start_price_usd=60.0,
    start_price_sigma=0.5,
    daily_turnover_usd=2.5e8,
    missing_chance=0.001,
    payer_frac=0.75,
    highest_quarterly_yield=0.009,
    no_market_cap_chance=0.02,
)
_SPLIT_HABITS = ((90.0, 1.5), (160.0, 2.0), (320.0, 4.0))
_LARGEST_START_CAP_USD = 3e11

_INVESTED_PERCENT = 99.8
_QQQ_FAVOURITES = ("XLC", "XLK", "XLY")
# One fund also contains a stock of another sector, with a fifth of its market cap.
_SHARED_STOCK, _SHARED_STOCK_FRAC = ("XLC", "ZXLY01"), 0.2


class Market:
    """All listings of one market; price paths are built on demand and cached."""

    def __init__(self, seed: int, sessions: int, stocks_per_sector: int, leading_sectors: int) -> None:
        self._seed = seed
        self._factors = sector_factors(seed, sessions, leading_sectors)
        self._funds = {fund.ticker: fund for fund in _fund_listings(seed)}
        stocks = _stock_listings(seed, stocks_per_sector, has_rivals=leading_sectors > 0)
        self._stocks = {stock.ticker: stock for stock in stocks}
        self.listings = self._funds | self._stocks
        self.path = lru_cache(maxsize=128)(self._build_path)

    def is_fund(self, ticker: str) -> bool:
        """Whether the ticker is one of the funds."""
        return ticker in self._funds

    def market_cap_usd(self, ticker: str, session: int) -> int:
        """Close times shares outstanding, also of a stock whose quote does not report it."""
        path = self.path(ticker)
        return round(float(path.close_price[session]) * path.shares_outstanding)

    def holdings(self, fund_ticker: str, session: int) -> list[tuple[Listing, float]]:
        """The stocks of a fund with their weights in percent, heaviest first; the rest to 100 is cash."""
        fund = self._funds[fund_ticker]
        counted_fracs = {stock.ticker: _counted_frac(fund, stock) for stock in self._stocks.values()}
        counted_caps_usd = {
            ticker: frac * self.market_cap_usd(ticker, session) for ticker, frac in counted_fracs.items() if frac > 0
        }
        percent_per_usd = _INVESTED_PERCENT / sum(counted_caps_usd.values())
        heaviest_first = sorted(counted_caps_usd, key=lambda ticker: (-counted_caps_usd[ticker], ticker))
        return [(self._stocks[t], round(counted_caps_usd[t] * percent_per_usd, 6)) for t in heaviest_first]

    def _build_path(self, ticker: str) -> PricePath:
        return build_path(self._seed, self.listings[ticker], self._factors)


def _fund_listings(seed: int) -> list[Listing]:
    benchmarks = [_draw_listing(seed, t, f"Synthetic {t} Fund", _benchmark_exposure(t), _FUND) for t in BENCHMARKS]
    sector_funds = [
        _draw_listing(seed, ticker, f"Synthetic {sector} Fund", {ticker: 1.0}, _FUND)
        for ticker, sector in SECTOR_NAMES.items()
    ]
    return benchmarks + sector_funds


def _benchmark_exposure(ticker: str) -> dict[str, float]:
    parts = {sector: 3 if ticker == "QQQ" and sector in _QQQ_FAVOURITES else 1 for sector in SECTOR_NAMES}
    return {sector: part / sum(parts.values()) for sector, part in parts.items()}


def _stock_listings(seed: int, stocks_per_sector: int, *, has_rivals: bool) -> list[Listing]:
    # No US share has a digit in its ticker, so these cannot be mistaken for real ones.
    return [
        _draw_listing(
            seed,
            f"Z{fund}{number:02d}",
            f"Synthetic {sector} {number:02d}",
            {fund: 1.0},
            _STOCK,
            usual_cap_usd=_LARGEST_START_CAP_USD / number**0.8,
            rivalry=_rivalry(fund, number) if has_rivals else None,
        )
        for fund, sector in SECTOR_NAMES.items()
        for number in range(1, stocks_per_sector + 1)
    ]


def _rivalry(fund: str, number: int) -> tuple[str, int]:
    """Pair the stocks of a sector by size: of each pair one is ahead of the sector."""
    return f"{fund}/pair {(number + 1) // 2}", 1 if number % 2 else -1


def _draw_listing(
    seed: int,
    ticker: str,
    name: str,
    exposure: dict[str, float],
    style: Style,
    *,
    usual_cap_usd: float = 0.0,
    rivalry: tuple[str, int] | None = None,
) -> Listing:
    rng = stream(seed, ticker, "listing")
    size, price_level = rng.standard_normal(2)
    paying, generosity, ex_date, habit, reporting = rng.random(5)
    yield_frac = style.highest_quarterly_yield * (0.2 + 0.8 * float(generosity))
    return Listing(
        ticker=ticker,
        name=name,
        exposure=exposure,
        style=style,
        start_price_usd=style.start_price_usd * float(np.exp(style.start_price_sigma * price_level)),
        start_cap_usd=usual_cap_usd * float(np.exp(0.2 * size)),
        quarterly_yield_frac=yield_frac if paying < style.payer_frac else 0.0,
        first_dividend=1 + int(ex_date * QUARTER_SESSIONS),
        split_habit=_SPLIT_HABITS[int(habit * len(_SPLIT_HABITS))],
        reports_market_cap=bool(reporting >= style.no_market_cap_chance),
        rivalry=rivalry,
    )


def _counted_frac(fund: Listing, stock: Listing) -> float:
    if (fund.ticker, stock.ticker) == _SHARED_STOCK:
        return _SHARED_STOCK_FRAC
    return sum(fund.exposure.get(sector, 0.0) for sector in stock.exposure)
