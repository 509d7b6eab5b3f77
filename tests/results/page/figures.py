"""The figures of a page, and the same by SQL that knows nothing of the page's code."""

from __future__ import annotations

import html.parser
from collections.abc import Mapping

import psycopg

Tables = Mapping[str, list[list[str]]]
"""The rows of each table that has an id, without its header; a cell is its text, small print after a bar."""


def signed(value: str, digits: int = 2) -> str:
    """SQL that writes a number as the page does: its sign, two decimals, n/a for none."""
    text = f"replace(to_char(round({value}, {digits}), 'FMSG999990.{'0' * digits}'), '-', '−')"
    zero = f"'0.{'0' * digits}'"
    return f"CASE WHEN {value} IS NULL THEN 'n/a' WHEN round({value}, {digits}) = 0 THEN {zero} ELSE {text} END"


_RATIOS = """
SELECT fund.ticker, fund.trade_date, fund.adj_close_price / spy.adj_close_price AS q
FROM collected_daily_etf_ohlc AS fund
JOIN collected_daily_etf_ohlc AS spy ON spy.ticker = 'SPY' AND spy.trade_date = fund.trade_date
WHERE fund.ticker <> 'SPY' AND fund.trade_date <= %(day)s
"""
STRENGTH = f"""
WITH ratios AS ({_RATIOS}), indexed AS (
    SELECT ticker, trade_date, 100 * q / first_value(q) OVER (PARTITION BY ticker ORDER BY trade_date) AS strength,
           dense_rank() OVER (ORDER BY trade_date DESC) AS back
    FROM ratios
)
SELECT trade_date::text, array_agg(to_char(round(strength, 1), 'FM9990.0') ORDER BY ticker) FROM indexed
WHERE (back - 1) %% 5 = 0 GROUP BY trade_date ORDER BY trade_date DESC
"""
ROTATION = f"""
WITH ratios AS ({_RATIOS}), changes AS (
    SELECT *, q / lag(q, 10) OVER (PARTITION BY ticker ORDER BY trade_date) - 1 AS c FROM ratios
), scores AS (
    SELECT ticker, trade_date, (q - avg(q) OVER past) / stddev_samp(q) OVER past AS x,
           (c - avg(c) OVER past) / stddev_samp(c) OVER past AS y
    FROM changes WINDOW past AS (PARTITION BY ticker ORDER BY trade_date ROWS 62 PRECEDING)
)
SELECT ticker, {signed("x")}, {signed("y")} FROM scores WHERE trade_date = %(day)s ORDER BY x DESC
"""
PORTFOLIO = f"""
SELECT ticker, to_char(round(portfolio_weight * 100, 2), 'FM9990.00'),
       {signed("return_5d")} || ' | ' || {signed("sector_avg_5d")},
       {signed("return_10d")} || ' | ' || {signed("sector_avg_10d")},
       {signed("return_20d")} || ' | ' || {signed("sector_avg_20d")},
       to_char(round(market_cap / 1e9, 1), 'FM999,999,990.0')
FROM analytics_portfolio_allocation WHERE as_of_date = %(day)s ORDER BY portfolio_weight DESC, ticker
"""
CHANGES = f"""
SELECT ticker, CASE WHEN weight_before = 0 THEN 'new' ELSE {signed("weight_change * 100")} END
FROM analytics_portfolio_changes WHERE as_of_date = %(day)s AND weight_after > 0 ORDER BY weight_after DESC, ticker
"""
SECTORS = f"""
SELECT etf_ticker, {signed("max(return_pct) FILTER (WHERE period_days = 5)")},
       {signed("max(return_pct) FILTER (WHERE period_days = 10)")},
       {signed("max(return_pct) FILTER (WHERE period_days = 20)")}
FROM analytics_trending_sectors WHERE as_of_date = %(day)s GROUP BY etf_ticker
ORDER BY max(rank) FILTER (WHERE period_days = 20), etf_ticker
"""
EXCLUSIONS = """
SELECT ticker, sector, replace(reason, '_', ' '), detail FROM analytics_portfolio_exclusion
WHERE as_of_date = %(day)s ORDER BY reason, sector, ticker
"""


def differences(tables: Tables, connection: psycopg.Connection, day: object) -> list[str]:
    """Compare the tables of a page with SQL; one line for each that differs."""

    def by_sql(query: str) -> list[list[str]]:
        return [list(row) for row in connection.execute(query.encode(), {"day": day}).fetchall()]

    portfolio = tables["portfolio-table"]
    strength = [[session, *values] for session, values in by_sql(STRENGTH)]
    pairs = {
        "sectors": (
            [[r[1], *(cell.removeprefix("▲") for cell in r[2:])] for r in tables["sectors"][1:]],
            by_sql(SECTORS),
        ),
        "strength": (tables["strength-table"], strength),
        "rotation": ([[r[0].split()[-1], r[2], r[3]] for r in tables["rotation-table"]], by_sql(ROTATION)),
        "tails": ([tables["tails-table"][0][1:]], [[v for _, *xy in by_sql(ROTATION) for v in xy]]),
        "portfolio": ([[r[0].rstrip("*"), r[3], *r[6:10]] for r in portfolio], by_sql(PORTFOLIO)),
        "changes": ([[r[0].rstrip("*"), r[5]] for r in portfolio], by_sql(CHANGES)),
        "exclusions": (tables["exclusions-table"], by_sql(EXCLUSIONS)),
    }
    return [
        f"{name}: {shown[:3]} is not {known[:3]}"
        for name, (shown, known) in pairs.items()
        if not known or shown != known
    ]


class _Reader(html.parser.HTMLParser):
    """Reads the tables of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._in_body = self._in_cell = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attributes).get("id") or "", [])
        elif tag == "tbody":
            self._in_body = True
        elif tag == "tr" and self._in_body:
            self._rows.append([])
        elif tag in ("td", "th") and self._in_body:
            self._rows[-1].append("")
            self._in_cell = True
        elif tag == "small" and self._in_cell:
            self._rows[-1][-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        self._in_body = self._in_body and tag != "tbody"
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self._rows[-1][-1] += data


def tables_in(page: str) -> Tables:
    """The tables of a page by their ids."""
    reader = _Reader()
    reader.feed(page)
    return {name: [[" ".join(cell.split()) for cell in row] for row in rows] for name, rows in reader.tables.items()}
