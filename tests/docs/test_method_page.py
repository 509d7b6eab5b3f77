"""The worked example of docs/METHOD.md: every number by plain fractions, and by the code of docs/NOTEBOOK.md."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.transforms import PortfolioOptions, portfolio_positions

ROOT = Path(__file__).resolve().parents[2]
UNITS = 10**8
POSITIONS = ("ALFA", "BETA", "ZULU")


def table(*header: str) -> dict[str, list[str]]:
    """The rows of the page's table whose header begins with these words, by the first cell, which may come twice."""
    rows = [
        [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        for line in page_table(header).splitlines()[2:]
    ]
    return {" ".join(row[:2]) if header[:2] == ("fund", "sessions") else row[0]: row for row in rows}


def page_table(header: tuple[str, ...]) -> str:
    tables = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs" / "METHOD.md").read_text(), re.MULTILINE)
    (found,) = [text for text in tables if text.startswith("| " + " | ".join(header) + " |")]
    return str(found)


def page_prices() -> dict[str, list[Fraction | None]]:
    rows = table("ticker", "2024-01-02").values()
    return {ticker: [Fraction(cell) if cell else None for cell in cells] for ticker, *cells in rows}


def percent(ticker: str, sessions: int) -> str:
    """The return in percent, rounded half up to 6 decimals, as a text; empty without a price."""
    prices = page_prices()[ticker]
    start, end = prices[{20: 0, 10: 1, 5: 2}[sessions]], prices[3]
    if start is None or end is None:
        return ""
    exact = (end / start - 1) * 100
    return str((Decimal(exact.numerator) / exact.denominator).quantize(Decimal("0.000001"), ROUND_HALF_UP))


def caps() -> dict[str, Fraction]:
    billion = 10**9
    beta, zulu = Fraction("126") / 120, Fraction("44.4") / 80 * 2
    return {"ALFA": Fraction(300 * billion), "BETA": 100 * billion * beta, "ZULU": 40 * billion * zulu}


def shared(parts: dict[str, Fraction], units: int) -> dict[str, int]:
    """Whole units by the largest remainder."""
    total = sum(parts.values())
    exact = {name: part * units / total for name, part in parts.items()}
    whole = {name: math.floor(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in by_remainder[: units - sum(whole.values())]:
        whole[name] += 1
    return whole


def weight(units: int) -> str:
    return f"{units / Decimal(UNITS):.8f}"


@pytest.fixture(scope="module")
def notebook(spark: SparkSession) -> dict[str, Any]:
    """What the code of the page has computed: its variables."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "NOTEBOOK.md").read_text(), re.DOTALL)
    own_bars, portfolio, *_served = blocks
    variables: dict[str, Any] = {}
    exec(own_bars + portfolio, variables)
    return variables


def test_the_notebook_has_the_prices_of_the_page(notebook: dict[str, Any]) -> None:
    as_numbers = {
        ticker: tuple(None if price is None else float(price) for price in prices)
        for ticker, prices in page_prices().items()
    }
    assert {ticker: tuple(prices) for ticker, prices in notebook["prices"].items()} == as_numbers


def test_returns_and_trends_of_the_funds(notebook: dict[str, Any]) -> None:
    on_page = {name: tuple(row[2:]) for name, row in table("fund", "sessions").items()}
    right = {}
    for fund in ("XLE", "XLK"):
        for sessions in (5, 10, 20):
            own, benchmark = percent(fund, sessions), percent("SPY", sessions)
            trends = "yes" if Decimal(own) > max(Decimal(benchmark), Decimal(0)) else "no"
            right[f"{fund} {sessions}"] = (own, benchmark, trends)
    assert on_page == right
    computed = {
        f"{row.etf_ticker} {row.period_days}": (
            str(row.return_pct),
            str(row.benchmark_return_pct),
            "yes" if row.is_trending else "no",
        )
        for row in notebook["trends"].where("return_pct IS NOT NULL").collect()
    }
    assert computed == right


def test_exclusions_with_their_first_reason(notebook: dict[str, Any]) -> None:
    rows = table("ticker", "20 sessions", "why excluded")
    assert {ticker: row[1] for ticker, row in rows.items()} == {ticker: percent(ticker, 20) for ticker in rows}
    on_page = {ticker: row[2].partition(":")[0] for ticker, row in rows.items()}
    assert {row.ticker: row.reason for row in notebook["exclusions"].collect()} == on_page


def test_market_caps(notebook: dict[str, Any]) -> None:
    on_page = {ticker: Fraction(row[3]) for ticker, row in table("ticker", "quoted").items()}
    assert on_page == caps()
    assert {row.ticker: Fraction(row.market_cap) for row in notebook["positions"].collect()} == caps()


@pytest.mark.parametrize("max_weight", [None, Decimal("0.5")])
def test_weights_to_the_last_digit(notebook: dict[str, Any], max_weight: Decimal | None) -> None:
    right = shared(caps(), UNITS)
    if max_weight is not None:
        rest = {name: cap for name, cap in caps().items() if name != "ALFA"}
        right = {"ALFA": UNITS // 2, **shared(rest, UNITS // 2)}
    assert sum(right.values()) == UNITS
    column = 2 if max_weight is None else 3
    assert {ticker: row[column] for ticker, row in table("ticker", "exact share").items()} == {
        name: weight(units) for name, units in right.items()
    }
    options = PortfolioOptions(basis_sessions=20, top_n_per_sector=3, max_weight=max_weight)
    positions = portfolio_positions(notebook["decisions"], options).collect()
    assert {row.ticker: str(row.portfolio_weight) for row in positions} == {n: weight(u) for n, u in right.items()}


def test_exact_shares_and_turnover() -> None:
    total = sum(caps().values())
    shares = {ticker: row[1] for ticker, row in table("ticker", "exact share").items()}
    assert shares == {ticker: f"{float(caps()[ticker] / total):.10f}" for ticker in POSITIONS}
    before, after = {"ALFA": Fraction("0.7"), "BETA": Fraction("0.3")}, shared(caps(), UNITS)
    changes = [Fraction(units, UNITS) - before.get(ticker, 0) for ticker, units in after.items()]
    turnover = sum((abs(change) for change in changes), Fraction(0)) / 2
    assert list(table("turnover")) == [f"{float(turnover):.8f}"]
