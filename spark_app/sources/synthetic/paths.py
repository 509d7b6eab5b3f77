"""Price paths of the synthetic market: factors, regimes, dividends, splits, bars.

Sessions are positions here, dates belong to the source. Every draw comes from a stream named by
seed and ticker and is taken session by session. So all workers compute the same market without
communication, and a market that is one session longer has the same past.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_app.universe import SECTOR_NAMES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Drifts and noises are log returns per session. A sell-off ends each rise of the market; left to chance it is deep
# enough to pull every sector below zero, so that there are dates on which none trends.
_RISE_DRIFT, _RISE_SESSIONS = 0.0016, (60, 120)
_FALL_DRIFT, _FALL_SESSIONS = -0.0055, (18, 24)
_MARKET_NOISE = 0.006
_SECTOR_DRIFTS, _SECTOR_NOISE = (-0.0018, -0.0009, 0.0, 0.0009, 0.0018), 0.004
_REGIME_SESSIONS = (15, 40)
# Leading sectors stay this far above zero and the benchmark (log return) over this many sessions.
_LEAD, _LEAD_SESSIONS = 0.01, 20
# Rivals share their noise with opposite signs; this fraction of it is their own.
_OWN_NOISE_FRAC = 0.1

QUARTER_SESSIONS = 63
_SPLIT_CHANCE = 1 / 40
_REVERSE_SPLIT_BELOW_USD = 6.0
_REVERSE_SPLIT_RATIO = 0.1


@dataclass(frozen=True)
class Style:
    """How a kind of listing behaves; noise and drifts are log returns per session."""

    noise: float
    drifts: tuple[float, ...]
    day_range: float
    start_price_usd: float
    start_price_sigma: float
    daily_turnover_usd: float
    missing_chance: float
    payer_frac: float
    highest_quarterly_yield: float
    no_market_cap_chance: float


@dataclass(frozen=True)
class Listing:
    """The constant facts of one ticker.

    `exposure` is the share of each sector factor in its return. `first_dividend` is a
    session. `split_habit` is the price in USD above which it splits, and the ratio. `rivalry` names a pair of
    competitors and the side of this one (1 or -1): one gains on its sector what the other loses.
    """

    ticker: str
    name: str
    exposure: dict[str, float]
    style: Style
    start_price_usd: float
    start_cap_usd: float
    quarterly_yield_frac: float
    first_dividend: int
    split_habit: tuple[float, float]
    reports_market_cap: bool
    rivalry: tuple[str, int] | None = None


@dataclass(frozen=True, eq=False)
class PricePath:
    """One ticker, session by session, on the share basis of the last session.

    Prices are split-adjusted, `adj_close_price` for dividends too. `shares_outstanding` are those
    of the last session, so close times shares is the market cap of any session.
    """

    open_price: FloatArray
    high_price: FloatArray
    low_price: FloatArray
    close_price: FloatArray
    adj_close_price: FloatArray
    volume: IntArray
    dividend: FloatArray
    split_ratio: FloatArray
    has_bar: BoolArray
    shares_outstanding: int


def stream(seed: int, *name: str) -> np.random.Generator:
    """The random numbers of one name; the same in every process."""
    digest = hashlib.sha256("/".join((str(seed), *name)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def sector_factors(seed: int, sessions: int, leading_sectors: int = 0) -> dict[str, FloatArray]:
    """Log return per session of each sector: the market's, a drift that changes every few weeks, and noise.

    Args:
        leading_sectors: how many sectors trend over 20 sessions on every session; 0 leaves it to chance.
    """
    market = _market_drifts(seed, sessions) + _noise(seed, "market", _MARKET_NOISE, sessions)
    drawn = [
        market + _regime_drifts(seed, sector, _SECTOR_DRIFTS, sessions) + _noise(seed, sector, _SECTOR_NOISE, sessions)
        for sector in SECTOR_NAMES
    ]
    returns = np.stack(drawn)
    for session in range(sessions if leading_sectors else 0):
        _lift_leaders(returns[:, max(0, session + 1 - _LEAD_SESSIONS) : session + 1], leading_sectors)
    return dict(zip(SECTOR_NAMES, returns, strict=True))


def build_path(seed: int, listing: Listing, factors: dict[str, FloatArray]) -> PricePath:
    """Build the path of one ticker over the sessions of the factors."""
    returns = _total_returns(seed, listing, factors)
    sessions = np.arange(len(returns))
    chances = stream(seed, listing.ticker, "chances").random((len(sessions), 2)).T
    shocks = stream(seed, listing.ticker, "shocks").standard_normal((len(sessions), 4)).T
    is_ex_date = _is_ex_date(listing, sessions)
    unsplit_close = _unsplit_close(listing, returns, is_ex_date)
    split_ratio = _split_ratios(unsplit_close, chances[0] < _SPLIT_CHANCE, listing.split_habit)
    unsplit_prices = _open_high_low_close(unsplit_close, shocks[:3], listing.style.day_range)
    open_price, high_price, low_price, close_price = _on_last_basis(unsplit_prices, split_ratio)
    dividend = np.round(listing.quarterly_yield_frac * is_ex_date * _previous(close_price), 6)
    # Bars around an ex-date are never dropped: the adjustment can then be recomputed from the bars.
    is_kept = is_ex_date | _is_ex_date(listing, sessions + 1) | (split_ratio != 1)
    return PricePath(
        open_price=open_price,
        high_price=high_price,
        low_price=low_price,
        close_price=close_price,
        adj_close_price=_adjusted_for_dividends(close_price, dividend),
        volume=_volume(listing, shocks[3], returns, close_price),
        dividend=dividend,
        split_ratio=split_ratio,
        has_bar=is_kept | (chances[1] >= listing.style.missing_chance),
        shares_outstanding=round(listing.start_cap_usd / listing.start_price_usd * float(np.prod(split_ratio))),
    )


def _lift_leaders(window: FloatArray, leading_sectors: int) -> None:
    """Raise the last return of the best sectors of a window as far as needed for them to lead.

    It depends on the past alone, so a market that is one session longer has the same past.
    """
    over_window = window.sum(axis=1)
    best = np.argsort(-over_window, kind="stable")[:leading_sectors]
    # Raising a sector raises the benchmark by an eleventh of it: the second pass corrects that.
    for _ in range(2):
        lead_from = max(0.0, float(over_window.mean())) + _LEAD
        lift = np.maximum(lead_from - over_window[best], 0.0)
        window[best, -1] += lift
        over_window[best] += lift


def _noise(seed: int, name: str, sigma: float, sessions: int) -> FloatArray:
    return sigma * stream(seed, name, "noise").standard_normal(sessions)


def _market_drifts(seed: int, sessions: int) -> FloatArray:
    draws = stream(seed, "market", "regimes").random((sessions // (_RISE_SESSIONS[0] + _FALL_SESSIONS[0]) + 1, 2))
    lengths = np.column_stack((_between(_RISE_SESSIONS, draws[:, 0]), _between(_FALL_SESSIONS, draws[:, 1])))
    return np.repeat(np.tile((_RISE_DRIFT, _FALL_DRIFT), len(draws)), lengths.ravel())[:sessions]


def _regime_drifts(seed: int, name: str, drifts: tuple[float, ...], sessions: int) -> FloatArray:
    draws = stream(seed, name, "regimes").random((sessions // _REGIME_SESSIONS[0] + 1, 2))
    chosen = np.array(drifts)[(draws[:, 1] * len(drifts)).astype(np.int64)]
    return np.repeat(chosen, _between(_REGIME_SESSIONS, draws[:, 0]))[:sessions]


def _between(limits: tuple[int, int], draws: FloatArray) -> IntArray:
    shortest, longest = limits
    return shortest + np.floor(draws * (longest - shortest + 1)).astype(np.int64)


def _total_returns(seed: int, listing: Listing, factors: dict[str, FloatArray]) -> FloatArray:
    sector_part = np.sum([share * factors[sector] for sector, share in listing.exposure.items()], axis=0)
    own_part = _own_part(seed, listing.ticker, listing.style, len(sector_part))
    if listing.rivalry is not None:
        pair, side = listing.rivalry
        own_part = side * _own_part(seed, pair, listing.style, len(sector_part)) + _OWN_NOISE_FRAC * own_part
    returns: FloatArray = sector_part + own_part
    return returns


def _own_part(seed: int, name: str, style: Style, sessions: int) -> FloatArray:
    return _regime_drifts(seed, name, style.drifts, sessions) + _noise(seed, name, style.noise, sessions)


def _unsplit_close(listing: Listing, returns: FloatArray, is_ex_date: BoolArray) -> FloatArray:
    paid_out = np.log1p(-listing.quarterly_yield_frac * is_ex_date)
    return np.asarray(listing.start_price_usd * np.exp(np.cumsum(returns + paid_out)))


def _volume(listing: Listing, shocks: FloatArray, returns: FloatArray, close: FloatArray) -> IntArray:
    turnover_usd = listing.style.daily_turnover_usd * np.exp(0.35 * shocks) * (1 + 20 * np.abs(returns))
    volume: IntArray = np.floor(turnover_usd / close).astype(np.int64)
    return volume


def _is_ex_date(listing: Listing, session: IntArray) -> BoolArray:
    is_due = (session >= listing.first_dividend) & ((session - listing.first_dividend) % QUARTER_SESSIONS == 0)
    return np.asarray(is_due & (listing.quarterly_yield_frac > 0))


def _previous(values: FloatArray) -> FloatArray:
    return np.concatenate((values[:1], values[:-1]))


def _split_ratios(unsplit_close: FloatArray, may_split: BoolArray, habit: tuple[float, float]) -> FloatArray:
    """New shares per old one by session; decided on the previous close as it was traded."""
    split_above_usd, usual_ratio = habit
    ratios = np.ones(len(unsplit_close))
    shares_per_first_share = 1.0
    for session in np.flatnonzero(may_split[1:]) + 1:
        traded_close = unsplit_close[session - 1] / shares_per_first_share
        if traded_close > split_above_usd:
            ratios[session] = usual_ratio
        elif traded_close < _REVERSE_SPLIT_BELOW_USD:
            ratios[session] = _REVERSE_SPLIT_RATIO
        shares_per_first_share *= ratios[session]
    return ratios


def _open_high_low_close(unsplit_close: FloatArray, shocks: FloatArray, day_range: float) -> FloatArray:
    previous_close = _previous(unsplit_close)
    open_price = np.sqrt(previous_close * unsplit_close) * np.exp(0.5 * day_range * shocks[0])
    high_price = np.maximum(open_price, unsplit_close) * np.exp(day_range * np.abs(shocks[1]))
    low_price = np.minimum(open_price, unsplit_close) * np.exp(-day_range * np.abs(shocks[2]))
    return np.stack((open_price, high_price, low_price, unsplit_close))


def _on_last_basis(unsplit_prices: FloatArray, split_ratio: FloatArray) -> FloatArray:
    """Prices traded in whole cents, then restated by every later split."""
    shares_per_first_share = np.cumprod(split_ratio)
    traded_prices = np.round(unsplit_prices / shares_per_first_share, 2)
    return np.asarray(np.round(traded_prices * (shares_per_first_share / shares_per_first_share[-1]), 6))


def _adjusted_for_dividends(close: FloatArray, dividend: FloatArray) -> FloatArray:
    """Each dividend scales all earlier closes by 1 - dividend / close before it, as at Yahoo."""
    kept_frac = 1 - dividend / _previous(close)
    later_kept_frac = np.append(np.cumprod(kept_frac[:0:-1])[::-1], 1.0)
    return np.asarray(np.round(close * later_kept_frac, 6))
