"""A market of a few shares, each of which is one trap; every number can be checked by hand.

As-of session is 2024-05-10, so the returns begin on 2024-04-12, 2024-04-26 and 2024-05-03. A price path is four closes:
up to 04-25, up to 05-02, up to 05-09, and from 05-10 on. Prices are on the basis of the newest day. A dividend is in
the closes before it, and in no adjusted close.
"""

from __future__ import annotations

import datetime as dt

from tests.emulator import CASH_ROWS, Bar, Event, Holding, Market, Quote, Snapshot
from tests.emulator.market import NEW_YORK
from tests.integration.expected import sessions_ending

LAST_DAY = dt.date(2024, 6, 20)
AS_OF = dt.date(2024, 5, 10)
STEPS = (dt.date(2024, 4, 26), dt.date(2024, 5, 3), AS_OF)
START_20 = dt.date(2024, 4, 12)
IN_WINTER = dt.date(2024, 3, 8)
GAP_SPLIT_DAY = dt.date(2024, 3, 22)
LATER = dt.date(2024, 6, 3)

Path = tuple[float, float, float, float]

FUND_PATHS: dict[str, Path] = {
    "SPY": (100, 101, 100, 102),
    "QQQ": (400, 404, 410, 400),
    "XLK": (200, 210, 215, 220),
    "XLC": (50, 51, 52, 54),
    "XLE": (80, 80, 80, 84),
    "XLF": (40, 40, 40, 42),  # no bar on 2024-04-26
    "XLV": (110, 110, 110, 100),
    "XLY": (160, 160, 160, 180),  # no bar on the as-of session
    "XLP": (100, 100, 100, 102),  # just as SPY over 5 and 20 sessions
    "XLU": (100, 100, 100, 101.5),  # above SPY over 10 sessions only
    "XLI": (100, 100, 100, 99),
    "XLB": (90, 90, 90, 90),
    "XLRE": (38, 38, 38, 38),
}
STOCK_PATHS: dict[str, Path] = {
    "BRK-B": (100, 100, 100, 130),
    "NOCAP": (100, 100, 100, 128),
    "NULCP": (100, 100, 100, 126),
    "GAPS": (40, 40, 40, 50),
    "SPLT": (50, 50, 50, 62),
    "TODAY": (100, 100, 100, 122),
    "TIEA": (10, 10, 10, 12),
    "TIEB": (30, 30, 30, 36),
    "TWIN": (100, 100, 100, 115),
    "EQUAL": (10, 10, 10, 11),
    "FLAT": (100, 100, 100, 109),
    "HOLE": (100, 100, 100, 140),
    "NULLS": (100, 100, 100, 140),
    "GOOG": (100, 100, 100, 121),
    "GOOGL": (100, 100, 100, 120),
    "LATE": (50, 50, 50, 56),
    "DUO": (100, 100, 100, 120),
    "EVEN": (100, 100, 100, 106),
    "XOM": (100, 100, 100, 103),
    "JPM": (200, 200, 200, 210),
    "JNJ": (150, 150, 150, 150),
    "NEE": (70, 70, 70, 77),
}
_TECH = {
    "BRK.B": 12.5,
    "NOCAP": 11.0,
    "NULCP": 10.25,
    "GAPS": 9.5,
    "SPLT": 9.0,
    "TODAY": 8.0,
    "TIEA": 7.0,
    "TIEB": 7.0,
    "EQUAL": 5.0,
    "FLAT": 4.0,
    "HOLE": 3.75,
    "NULLS": 3.5,
    "DUO": 3.0,
    "GONE": 2.123456,
}
_SPRING: dict[str, dict[str, float]] = {
    "XLK": _TECH,
    "XLC": {"GOOGL": 12.0, "GOOG": 11.0, "LATE": 5.0},
    "XLE": {"XOM": 22.0, "DUO": 4.0, "EVEN": 2.0},
    "XLF": {"JPM": 10.0, "EVEN": 2.0},
    "XLU": {"NEE": 14.0},
}
_EVENTS = {
    "GAPS": [Event(GAP_SPLIT_DAY, split_ratio=3.0)],
    "SPLT": [Event(dt.date(2024, 5, 1), split_ratio=2.0)],
    "JPM": [Event(dt.date(2024, 4, 26), dividend=1.15)],
    # On the session that XLF has no bar of.
    "XLF": [Event(dt.date(2024, 4, 26), dividend=0.153)],
}


def spring_market() -> Market:
    """The market as Yahoo shows it in June 2024."""
    days = sessions_ending(LAST_DAY, 80)
    bars = {
        ticker: [_bar(day, _close(path, day)) for day in days] for ticker, path in (FUND_PATHS | STOCK_PATHS).items()
    }
    for ticker in ("JPM", "XLF"):
        (event,) = _EVENTS[ticker]
        bars[ticker] = [
            _with_dividend(bar, event.dividend) if bar.trade_date < event.ex_date else bar for bar in bars[ticker]
        ]
    market = Market(bars=bars, events=_EVENTS, holdings=_snapshots(), quotes=_quotes())
    market.drop_bars("XLF", STEPS[0])
    market.drop_bars("XLY", AS_OF)
    market.drop_bars("HOLE", START_20)
    # A row that has a volume and no prices.
    market.add_bars("NULLS", Bar(AS_OF, None, None, None, None, None, 1000))
    return market


def winter_market() -> Market:
    """The market as Yahoo showed it on 2024-03-08: GAPS before its split, and alone in its fund."""
    days = sessions_ending(IN_WINTER, 30)
    paths = FUND_PATHS | STOCK_PATHS | {"GAPS": (120.0, 120.0, 120.0, 120.0)}
    shares = {"GAPS": 9.0}
    return Market(
        bars={ticker: [_bar(day, path[0]) for day in days] for ticker, path in paths.items()},
        holdings={
            fund: _snapshot(dt.date(2024, 2, 29), shares if fund == "XLK" else {"JNJ": 1.0}) for fund in _funds()
        },
        quotes={"GAPS": _quote("GAPS", 60_000_000_000, 120.0, IN_WINTER)},
    )


def _funds() -> list[str]:
    return [fund for fund in FUND_PATHS if fund != "QQQ"]


def _snapshots() -> dict[str, Snapshot]:
    snapshots = {fund: _snapshot(dt.date(2024, 4, 30), _SPRING.get(fund, {"JNJ": 1.0})) for fund in _funds()}
    twice = (Holding("TWIN", "TWIN INC", 2.0), Holding("TWIN", "TWIN INC", 3.0), *CASH_ROWS)
    technology = snapshots["XLK"]
    return snapshots | {"XLK": technology._replace(holdings=(*technology.holdings, *twice))}


def _snapshot(day: dt.date, shares: dict[str, float]) -> Snapshot:
    return Snapshot(day, tuple(Holding(ticker, f"{ticker} INC", percent) for ticker, percent in shares.items()))


def _quotes() -> dict[str, Quote]:
    plain = {"TODAY": 25, "TIEA": 10, "TIEB": 11, "TWIN": 12, "EQUAL": 13, "FLAT": 14, "HOLE": 15, "NULLS": 16}
    plain |= {"GOOG": 100, "GOOGL": 100, "DUO": 12, "EVEN": 3, "XOM": 400, "JPM": 500, "JNJ": 350, "NEE": 150}
    quotes = {t: _quote(t, billions * 10**9, STOCK_PATHS[t][3], AS_OF) for t, billions in plain.items()}
    return quotes | {
        "BRK-B": _quote("BRK-B", 400 * 10**9, 128.0, dt.date(2024, 5, 9)),
        "SPLT": _quote("SPLT", 30 * 10**9, 100.0, dt.date(2024, 4, 15)),
        "GAPS": _quote("GAPS", 80 * 10**9, 64.0, LATER),
        "LATE": _quote("LATE", 66 * 10**9, 60.0, LATER),
        "NULCP": _quote("NULCP", None, 126.0, AS_OF),
    }


def _quote(ticker: str, market_cap: int | None, price: float, day: dt.date) -> Quote:
    # 20:00 in New York is the next day in UTC.
    evening = dt.datetime.combine(day, dt.time(20), tzinfo=NEW_YORK)
    return Quote(market_cap, price, evening, f"{ticker} Incorporated" if ticker != "TIEA" else None, f"{ticker} Inc.")


def _close(path: Path, day: dt.date) -> float:
    return path[sum(day >= step for step in STEPS)]


def _bar(day: dt.date, close: float) -> Bar:
    return Bar(day, close, close * 1.01, close * 0.99, close, close, 1000)


def _with_dividend(bar: Bar, dividend: float) -> Bar:
    """A bar before a dividend, which the close then falls by: adjusted closes stay those of the path."""
    names = ("open", "high", "low", "close")
    return bar._replace(**{name: getattr(bar, name) + dividend for name in names})
