"""What the page of a backtest shows: rows as the job's tables and `--json` have them, numbers unrounded."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_app.backtest.ledger import LATER_FACTS
from spark_app.backtest.outcome import BENCHMARK, EQUAL_WEIGHT, STRATEGY
from spark_app.config.installation import LAUNCHER
from spark_app.schemas import BACKTEST_EQUITY, BACKTEST_LEDGER, BACKTEST_REBALANCE, BACKTEST_RUN, BACKTEST_SUMMARY

Row = Mapping[str, Any]
Rows = Sequence[Row]
Findings = Mapping[str, Sequence[Row]]

_FLAGS = {"first_date": "--from", "last_date": "--to", "basis_sessions": "--basis"}
"""Parameters whose options have other names; the rest are named as their options."""
_DAYS = ("first_date", "last_date")
_CASH_SETTING = "SPARK_APP_BACKTEST__CASH_PERCENT"
_WITHOUT_OPTION = ("universe", "is_trend_required", "cash_percent")


@dataclass(frozen=True)
class Course:
    """One portfolio at each close: its value, and how far it is below its peak in percent (0 or less)."""

    values: Sequence[float]
    drawdowns: Sequence[float]


@dataclass(frozen=True)
class Turnover:
    """What one portfolio traded; shares are fractions of its value.

    Attributes:
        cost_pct: of all trades together, in percent of the value before each.
    """

    rebalances: int
    mean: float
    largest: float
    largest_date: dt.date
    cost_pct: float


@dataclass(frozen=True)
class Origin:
    """Where a backtest comes from.

    Attributes:
        made_at: when the page was made (UTC).
        data_origin: the kind of data: real, synthetic or files.
        is_stored: whether its rows are in the tables; not with `--known-at`.
        staging_versions: of the tables that were read.
        universe_file: as it was given, None for that of the installation.
    """

    run_id: str
    code_version: str
    made_at: dt.datetime
    data_origin: str
    is_stored: bool
    staging_versions: Mapping[str, int]
    universe_file: str | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that the page shows of one backtest.

    Attributes:
        run: the row of analytics_backtest_run.
        summaries: of the three portfolios, by series.
        courses: by series, on `sessions`.
        ledger: rows of analytics_backtest_ledger; empty where funds are held.
        grid, luck: empty where no other rules were run.
    """

    origin: Origin
    run: Row
    parameters: Mapping[str, Any]
    asked: Sequence[str]
    gaps: Sequence[str]
    ledger: Rows
    summaries: Mapping[str, Row]
    sessions: Sequence[dt.date]
    courses: Mapping[str, Course]
    turnovers: Mapping[str, Turnover]
    years: Mapping[int, Mapping[str, float]]
    costs: Mapping[str, Mapping[float, float]]
    lags: Rows
    differences: Mapping[str, Row]
    grid: Rows
    luck: Row | None
    probe: Row | None

    @property
    def names(self) -> dict[str, str]:
        """What each portfolio is called."""
        benchmark = str(self.parameters["universe"]["benchmark"])
        return {STRATEGY: "Strategy", EQUAL_WEIGHT: "Equal weight", BENCHMARK: benchmark}

    @property
    def has_look_ahead(self) -> bool:
        """Whether a position stands on a fact that was dated later."""
        return any(row["entry"] in LATER_FACTS and row["counted"] for row in self.ledger)

    @property
    def command(self) -> str:
        """The command that computes the same backtest again, whatever the settings are."""
        words = [LAUNCHER, "backtest"]
        # The days first; the others as the row has them.
        for name, value in sorted(self.parameters.items(), key=lambda item: item[0] not in _DAYS):
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            if name in _WITHOUT_OPTION or value is None:
                continue
            words += [flag, ",".join(map(str, value)) if isinstance(value, list) else _plain(value)]
        switches = {
            "--no-trend-filter": not self.parameters.get("is_trend_required", True),
            "--grid": bool(self.grid),
            "--probe": self.probe is not None,
        }
        words += [flag for flag, is_on in switches.items() if is_on]
        if self.origin.data_origin != "real":
            words += ["--source", self.origin.data_origin]
        if self.origin.universe_file is not None:
            words += ["--universe-file", self.origin.universe_file]
        cash = self.parameters.get("cash_percent", 0)
        return (f"{_CASH_SETTING}={cash:g} " if cash else "") + shlex.join(words)


def facts_of(findings: Findings, origin: Origin) -> Facts:
    """Put the facts together from what the job found."""
    (run,) = findings[BACKTEST_RUN.name]
    summaries = {row["series"]: row for row in findings[BACKTEST_SUMMARY.name]}
    sessions, courses = _courses(findings[BACKTEST_EQUITY.name])
    years: dict[int, dict[str, float]] = {}
    for row in findings["years"]:
        years.setdefault(row["year"], {})[row["series"]] = row["return_pct"]
    costs: dict[str, dict[float, float]] = {}
    for row in findings["costs"]:
        costs.setdefault(row["series"], {})[row["cost_bps"]] = row["cagr_pct"]
    return Facts(
        origin=origin,
        run=run,
        parameters=json.loads(run["parameters"]),
        asked=[row["sentence"] for row in findings["asked"]],
        gaps=[row["sentence"] for row in findings["gaps"]],
        ledger=findings[BACKTEST_LEDGER.name],
        summaries=summaries,
        sessions=sessions,
        courses=courses,
        turnovers={series: _turnover(series, findings[BACKTEST_REBALANCE.name]) for series in summaries},
        years=years,
        costs=costs,
        lags=findings["lags"],
        differences={row["series"]: row for row in findings["sharpe_differences"]},
        grid=findings.get("grid", ()),
        luck=next(iter(findings.get("luck", ())), None),
        probe=next(iter(findings.get("probe", ())), None),
    )


def _courses(equity: Rows) -> tuple[list[dt.date], dict[str, Course]]:
    by_series: dict[str, list[Row]] = {}
    for row in equity:
        by_series.setdefault(row["series"], []).append(row)
    courses = {
        series: Course([row["portfolio_value"] for row in rows], [row["drawdown_pct"] for row in rows])
        for series, rows in by_series.items()
    }
    return [row["trade_date"] for row in by_series[STRATEGY]], courses


def _turnover(series: str, rebalances: Rows) -> Turnover:
    rows = [row for row in rebalances if row["series"] == series]
    if not rows:
        return Turnover(0, 0.0, 0.0, dt.date.min, 0.0)
    largest = max(rows, key=lambda row: row["turnover"])
    return Turnover(
        rebalances=len(rows),
        mean=sum(row["turnover"] for row in rows) / len(rows),
        largest=largest["turnover"],
        largest_date=largest["trade_date"],
        cost_pct=sum(row["cost_pct"] for row in rows),
    )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
