"""The rows of a backtest: of its tables, which are also its CSV files."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path as File

import numpy as np
from pyspark.sql.types import DecimalType

from spark_app.backtest.ledger import Entry
from spark_app.backtest.outcome import SERIES, STRATEGY, Outcome, Summary, break_even_bps, cagr_at
from spark_app.errors import UsageError
from spark_app.schemas import (
    BACKTEST_EQUITY,
    BACKTEST_LEDGER,
    BACKTEST_POSITION,
    BACKTEST_REBALANCE,
    BACKTEST_RUN,
    BACKTEST_SUMMARY,
    ServedTable,
)

Row = dict[str, object]
Tables = Mapping[str, list[Row]]


def rows_of(outcome: Outcome, summaries: Sequence[Summary], ledger: Sequence[Entry], today: dt.date) -> Tables:
    """The rows of each table, by its name; numbers as they were computed, None where they are not defined."""
    return {
        BACKTEST_RUN.name: [_run(outcome, today)],
        BACKTEST_SUMMARY.name: [_summary(outcome, summary) for summary in summaries],
        BACKTEST_EQUITY.name: list(_equity(outcome)),
        BACKTEST_REBALANCE.name: list(_rebalances(outcome)),
        BACKTEST_POSITION.name: list(_positions(outcome)),
        BACKTEST_LEDGER.name: [_ledger(outcome, entry) for entry in ledger],
    }


def served_rows(table: ServedTable, rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    """Rows in the order and the types of the table; floats become decimals, rounded half to even."""
    fields = table.computed_schema.fields
    scales = [field.dataType.scale if isinstance(field.dataType, DecimalType) else None for field in fields]
    for row in rows:
        values = [row[field.name] for field in fields]
        yield tuple(v if s is None else _decimal(v, s) for v, s in zip(values, scales, strict=True))


def write_csv(folder: str, tables: Tables) -> None:
    """Write a file for each table into a folder, which is made.

    Raises: UsageError: it cannot be written.
    """
    try:
        File(folder).mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            with (File(folder) / f"{name.removeprefix('analytics_')}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else [])
                writer.writeheader()
                writer.writerows(rows)
    except OSError as error:
        raise UsageError(f"--csv {folder}: cannot write: {error.strerror}") from error


def known(number: float) -> float | None:
    """None for what is not defined."""
    return float(number) if math.isfinite(number) else None


def percent_of(fraction: float) -> float | None:
    """In percent; None for what is not defined."""
    return known(fraction * 100)


def _run(outcome: Outcome, today: dt.date) -> Row:
    plan, sessions = outcome.plan, outcome.schedule.sessions
    return {
        "backtest_id": plan.backtest_id,
        "computed_date": today,
        "first_date": sessions[0],
        "last_date": sessions[-1],
        "is_attainable": plan.execution != "same_close",
        "parameters": json.dumps(plan.parameters, sort_keys=True),
    }


def _summary(outcome: Outcome, summary: Summary) -> Row:
    plan, path, fall = outcome.plan, outcome.paths[summary.series], summary.drawdown
    paid = {"paid_bps": plan.cost_bps}
    even = None if summary.series == STRATEGY else break_even_bps(outcome.paths[STRATEGY], path, **paid)
    gross = cagr_at(path, 0, periods_a_year=plan.universe.periods_a_year, **paid)
    return {
        "backtest_id": plan.backtest_id,
        "series": summary.series,
        "final_value": summary.final_value,
        "cagr_pct": percent_of(summary.cagr),
        "gross_cagr_pct": percent_of(gross),
        "volatility_pct": percent_of(summary.volatility),
        "sharpe_ratio": known(summary.sharpe),
        "sortino_ratio": known(summary.sortino),
        "max_drawdown_pct": percent_of(fall.fall),
        "peak_date": fall.peak_date,
        "trough_date": fall.trough_date,
        "recovery_date": fall.recovery_date,
        "beta": known(summary.beta),
        "alpha_pct": percent_of(summary.alpha),
        "information_ratio": known(summary.information_ratio),
        "value_at_risk_pct": percent_of(summary.value_at_risk),
        "conditional_value_at_risk_pct": percent_of(summary.conditional_value_at_risk),
        "hit_rate_pct": percent_of(summary.hit_rate),
        "yearly_turnover": summary.yearly_turnover,
        "break_even_bps": even,
    }


def _equity(outcome: Outcome) -> Iterator[Row]:
    for series in SERIES:
        values = outcome.paths[series].values
        falls = values / np.maximum.accumulate(values) - 1
        for session, value, fall in zip(outcome.schedule.sessions, values, falls, strict=True):
            yield {
                "backtest_id": outcome.plan.backtest_id,
                "series": series,
                "trade_date": session,
                "portfolio_value": float(value),
                "drawdown_pct": float(fall) * 100,
            }


def _rebalances(outcome: Outcome) -> Iterator[Row]:
    sessions = outcome.schedule.sessions
    for series in SERIES:
        for trade in outcome.paths[series].trades:
            yield {
                "backtest_id": outcome.plan.backtest_id,
                "series": series,
                "as_of_date": sessions[trade.decided],
                "trade_date": sessions[trade.traded],
                "turnover": trade.turnover,
                "cost_pct": trade.cost / trade.value_before * 100,
            }


def _positions(outcome: Outcome) -> Iterator[Row]:
    for date, weights in sorted(outcome.signals.targets.items()):
        later = outcome.signals.later_facts.get(date, {})
        for ticker, weight in sorted(weights.items()):
            yield {
                "backtest_id": outcome.plan.backtest_id,
                "as_of_date": date,
                "ticker": ticker,
                "target_weight": weight,
                "is_look_ahead": ticker in later,
            }


def _ledger(outcome: Outcome, entry: Entry) -> Row:
    return {
        "backtest_id": outcome.plan.backtest_id,
        "entry": entry.entry,
        "counted": entry.counted,
        "total": entry.total,
        "share_pct": entry.share * 100,
        "weight_pct": percent_of(entry.weight_frac),
        "tickers": entry.tickers,
    }


def _decimal(value: object, scale: int) -> Decimal | None:
    if not isinstance(value, float):
        return None
    # NumPy's floats write themselves as calls.
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-scale))
