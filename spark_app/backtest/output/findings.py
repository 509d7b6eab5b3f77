"""What a backtest found, by name: for `--json` and for the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from spark_app.backtest.details import Details
from spark_app.backtest.grid import Grid
from spark_app.backtest.outcome import COSTS_BPS, SERIES, Outcome, Summary
from spark_app.backtest.output.report import describe_gaps, describe_plan
from spark_app.backtest.output.rows import Row, Tables, known, percent_of, rows_of


def findings_of(
    outcome: Outcome, summaries: Sequence[Summary], details: Details, grid: Grid | None, today: dt.date
) -> Tables:
    """The rows of the tables by their names, then what no table has."""
    found = {
        **rows_of(outcome, summaries, details.ledger, today),
        **_detail_rows(details),
        "asked": _sentences(describe_plan(outcome)),
        "gaps": _sentences(describe_gaps(outcome)),
    }
    if grid is not None:
        found |= {"grid": [asdict(cell) for cell in grid.cells], "luck": [_luck(grid)]}
    return found


def _detail_rows(details: Details) -> dict[str, list[Row]]:
    years = details.years
    return {
        "costs": [
            {"series": series, "cost_bps": cost, "cagr_pct": percent_of(cagr)}
            for series in SERIES
            for cost, cagr in zip(COSTS_BPS, details.costs[series], strict=True)
        ],
        "lags": [
            {"moment": lag.moment, "cagr_pct": percent_of(lag.cagr), "sharpe_ratio": known(lag.sharpe)}
            for lag in details.lags
        ],
        "years": [
            {"series": series, "year": year, "return_pct": percent_of(value)}
            for series in SERIES
            for year, value in years[series].items()
        ],
        "sharpe_differences": [
            {
                "series": series,
                "difference": known(found.difference),
                "low": known(found.low),
                "high": known(found.high),
                "block_sessions": known(found.block),
            }
            for series, found in details.differences.items()
        ],
    }


def _luck(grid: Grid) -> Row:
    return {
        "deflated_sharpe": known(grid.deflated_sharpe),
        "overfitting_probability": known(grid.overfitting_probability),
    }


def _sentences(sentences: Iterable[str]) -> list[Row]:
    return [{"sentence": sentence} for sentence in sentences]
