"""Two bars of SPY around new year, and how charts of them are asked for."""

from __future__ import annotations

import datetime as dt

from tests.emulator import Bar

JANUARY_2 = dt.date(2025, 1, 2)
JANUARY_3 = dt.date(2025, 1, 3)
OPEN_OF_JANUARY_2 = 1735828200
OPEN_OF_JANUARY_3 = 1735914600
SPY_BARS = (
    Bar(JANUARY_2, 10.0, 12.0, 9.0, 11.0, 10.76, 100),
    Bar(JANUARY_3, 11.0, 12.5, 10.0, 10.5, 10.5, 200),
)
API = "http://query2.finance.yahoo.com"
SPY_CHART = f"{API}/v8/finance/chart/SPY?period1=1735776000&period2=1736035200&interval=1d&events=div,splits"
