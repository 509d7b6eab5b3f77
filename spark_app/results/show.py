"""The results of an as-of date as text, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from spark_app.config.installation import LAUNCHER
from spark_app.results.cash import why_cash
from spark_app.results.served import Results, Rows
from spark_app.text_table import data_mark, draw_table, printable
from spark_app.universe import PERIODS

NO_RESULTS = f"There are no results yet: run {LAUNCHER} daily_pipeline"

CSV_TABLES = ("portfolio", "sectors")
"""What can be printed as CSV: the positions, or the trends."""


def as_text(results: Results) -> str:
    """Draw the trends, the portfolio, what a reader has to know about them, and the number of rows of each table."""
    notes = notes_of(results)
    parts = [
        data_mark(is_synthetic=results.is_synthetic),
        f"Sector returns up to {results.as_of} in percent (* = trending: above SPY and above 0)",
        _draw_trends(results.trends),
        f"Portfolio of {results.as_of}",
        _draw_portfolio(results),
        "\n".join(["Notes", *(f"- {note}" for note in notes)]) if notes else "",
        "Tables",
        draw_table(("table", "rows"), [(name, f"{rows:,}") for name, rows in results.tables.items()], right={1}),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(results: Results) -> str:
    """Return the results as one JSON object; prices, returns and weights are texts, which no reader rounds."""
    return json.dumps(
        {
            "as_of_date": results.as_of,
            "is_synthetic": results.is_synthetic,
            "newest_as_of_date": results.newest,
            "sessions_behind": len(results.missing),
            "stale_since": results.missing[0] if results.missing else None,
            "basis_sessions": results.basis_sessions,
            "sectors": results.trends,
            "portfolio": results.positions,
            "excluded": results.excluded,
            "look_ahead": {"holdings": results.look_ahead_holdings, "quotes": results.look_ahead_quotes},
            "ten_largest_only": results.ten_largest_only,
            "notes": notes_of(results),
            "tables": results.tables,
        },
        default=str,
        indent=2,
    )


def as_csv(results: Results, table: str) -> str:
    """Return the positions or the trends as CSV with a header, each row with its as_of_date; null is empty."""
    rows = results.positions if table == "portfolio" else results.trends
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(["as_of_date", *rows[0]])
        writer.writerows([results.as_of, *(_cell(value) for value in row.values())] for row in rows)
    return text.getvalue()


def notes_of(results: Results) -> list[str]:
    """Say in sentences which facts are look-ahead, which holdings are not known, and since when data is stale."""
    notes = []
    if holdings := results.look_ahead_holdings:
        dates = ", ".join(sorted({str(date) for date in holdings.values()}))
        notes.append(f"look-ahead: holdings of {dates} used for {results.as_of} ({_listed(holdings)})")
    if quotes := results.look_ahead_quotes:
        notes.append(f"look-ahead: market caps from quotes after {results.as_of} ({_listed(quotes)})")
    if ten := results.ten_largest_only:
        covered = f"{min(ten.values()):.0f} to {max(ten.values()):.0f} %"
        notes.append(f"only the ten largest holdings are known, {covered} of a fund's weight ({_listed(ten)})")
    if missing := results.missing:
        sessions = "1 session" if len(missing) == 1 else f"{len(missing):,} sessions"
        notes.append(f"stale since {missing[0]}: the newest results, of {results.newest}, are {sessions} behind")
    return notes


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula begins with an apostrophe, as OWASP advises."""
    return f"'{printable(value)}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _draw_trends(rows: Rows) -> str:
    by_fund: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_fund.setdefault(row["etf_ticker"], {})[row["period_days"]] = row
    benchmark = {row["period_days"]: row["benchmark_return_pct"] for row in rows}
    drawn = [("SPY", "", *(_percent(benchmark.get(period)) + "  " for period in PERIODS))]
    drawn += [
        (next(iter(periods.values()))["sector_name"], fund, *(_trend(periods.get(period)) for period in PERIODS))
        for fund, periods in sorted(by_fund.items(), key=_best_first)
    ]
    return draw_table(("sector", "fund", "5 sessions", "10 sessions", "20 sessions"), drawn, right={2, 3, 4})


def _best_first(item: tuple[str, dict[int, dict[str, Any]]]) -> tuple[float, str]:
    fund, periods = item
    change = periods.get(20, {}).get("return_pct")
    return (float("inf") if change is None else -float(change), fund)


def _trend(row: dict[str, Any] | None) -> str:
    return "n/a  " if row is None else _percent(row["return_pct"]) + (" *" if row["is_trending"] else "  ")


def _draw_portfolio(results: Results) -> str:
    if not results.positions:
        return _why_no_position(results)
    drawn = [_position(row) for row in results.positions]
    header = ("ticker", "company", "sector", "weight", "20 sessions", "market cap, $bn")
    return draw_table(header, drawn, right={3, 4, 5})


def _position(row: dict[str, Any]) -> Sequence[str]:
    weight, cap = f"{row['portfolio_weight'] * 100:.2f} %", f"{row['market_cap'] / 1e9:,.1f}"
    return (row["ticker"], row["company_name"] or "", row["sector"], weight, _percent(row["return_20d"]), cap)


def _why_no_position(results: Results) -> str:
    if results.excluded:
        reasons = ", ".join(f"{number} {reason}" for reason, number in results.excluded.items())
        return f"No position: every stock of the trending sectors is excluded ({reasons})."
    if results.basis_sessions is None:
        return "Not computed yet."
    return f"No position: {_why_cash(results.trends, results.snapshots, results.basis_sessions)}."


def _why_cash(trends: Rows, snapshots: Rows, basis: int) -> str:
    of_basis = [row for row in trends if row["period_days"] == basis]
    return why_cash(
        {row["etf_ticker"]: row["return_pct"] for row in of_basis},
        [row["etf_ticker"] for row in of_basis if row["is_trending"]],
        [row["etf_ticker"] for row in snapshots],
        basis,
    )


def _percent(value: object) -> str:
    return "n/a" if value is None else f"{value:+.2f}"
