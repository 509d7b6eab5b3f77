"""A backtest as text: the three portfolios, what costs do to them, and their years."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spark_app.backtest.details import Details
from spark_app.backtest.grid import Grid
from spark_app.backtest.ledger import ANY_FACT, LATER_FACTS, MISSING_FACTS, Entry
from spark_app.backtest.outcome import (
    BENCHMARK,
    COSTS_BPS,
    EQUAL_WEIGHT,
    SERIES,
    STRATEGY,
    Outcome,
    Summary,
    break_even_bps,
)
from spark_app.ingestion.completeness import describe_tickers
from spark_app.text_table import data_mark, draw_table

_HEADER = ("", "CAGR %", "volatility %", "Sharpe", "Sortino", "max drawdown %", "from", "to", "recovered")
_MORE = (
    "",
    "beta",
    "alpha %",
    "inform. ratio",
    "VaR 95 %",
    "CVaR 95 %",
    "hit rate %",
    "turnover a year",
    "final value",
)
_NONE = "-"


def render_outcome(outcome: Outcome, summaries: Sequence[Summary], details: Details, *, origin: str = "real") -> str:
    """Draw a backtest; `origin` is the kind of data: real, synthetic or files."""
    names = _names(outcome)
    parts = [
        data_mark(is_synthetic=origin == "synthetic"),
        "\n".join([*describe_plan(outcome), *describe_gaps(outcome)]),
        _draw_ledger(details.ledger),
        draw_table(_HEADER, [_first_row(names, s) for s in summaries], right={1, 2, 3, 4, 5}),
        draw_table(_MORE, [_second_row(names, s) for s in summaries], right=set(range(1, len(_MORE)))),
        "CAGR in percent at other costs of a side; 0 is gross",
        _draw_costs(details, names),
        _describe_break_even(outcome, names),
        "The strategy traded at another moment",
        _draw_lags(details),
        "Returns of calendar years in percent",
        _draw_years(details, names),
        _describe_differences(details, names),
        f"backtest {outcome.plan.backtest_id}; definitions: docs/BACKTEST.md",
    ]
    return "\n\n".join(part for part in parts if part)


def render_grid(grid: Grid) -> str:
    """Draw the grid and what it says about luck."""
    rows = [
        (
            str(cell.basis),
            cell.rebalance,
            _percent(cell.cagr),
            _number(cell.sharpe),
            _number(cell.active_sharpe),
            _number(cell.yearly_turnover),
        )
        for cell in grid.cells
    ]
    header = ("sessions", "rebalance", "CAGR %", "Sharpe", "over benchmark", "turnover a year")
    parts = [
        "The same rotation by other rules",
        draw_table(header, rows, right={0, 2, 3, 4, 5}),
        f"Was it luck? Of returns over the benchmark: deflated Sharpe ratio of the best rule"
        f" {_number(grid.deflated_sharpe)} (above 0.95: hardly luck), probability of overfitting"
        f" {_number(grid.overfitting_probability)} (0.56: worthless rules)",
    ]
    return "\n\n".join(parts)


def _names(outcome: Outcome) -> dict[str, str]:
    """What each portfolio is called."""
    return {STRATEGY: "strategy", EQUAL_WEIGHT: "equal weight", BENCHMARK: outcome.plan.universe.benchmark}


def describe_plan(outcome: Outcome) -> list[str]:
    """What was asked, in sentences."""
    plan, sessions = outcome.plan, outcome.schedule.sessions
    choice = plan.choice
    ranked = "+".join(map(str, choice.rank_periods))
    best = min(choice.top_n, len(plan.universe.sectors))
    asked = [
        f"Backtest of {plan.level} from {sessions[0]} to {sessions[-1]}: the best {best} of"
        f" {len(plan.universe.sectors)} sectors by return over {ranked} sessions"
        + (f", if they trend over {choice.basis}" if choice.is_trend_required else ", whether they trend or not"),
        *(
            [f"of each the best {plan.top_n_per_sector} stocks that returned more than its fund"]
            if plan.level == "stocks"
            else []
        ),
        f"{plan.rebalance} rebalance, {plan.weighting} weights, {plan.execution}, {plan.cost_bps:g} bp a side,"
        f" {plan.cash_percent:g} % on cash",
    ]
    if plan.execution == "same_close":
        asked.append("UNATTAINABLE: a signal of a close cannot be traded at that close")
    return asked


def describe_gaps(outcome: Outcome) -> list[str]:
    """Where the strategy did not do what was asked, in sentences."""
    gaps = []
    if skipped := outcome.skipped_dates:
        gaps.append(
            f"{len(skipped)} rebalances from {skipped[0]} to {skipped[-1]} skipped:"
            f" no return of {outcome.plan.universe.benchmark}"
        )
    idle = sum(not weights for weights in outcome.signals.targets.values())
    if idle:
        choice = outcome.plan.choice
        is_trend_alone = outcome.plan.level == "sectors" and choice.is_trend_required
        why = "nothing trends" if is_trend_alone else "no position could be chosen"
        gaps.append(f"all cash after {idle} of {len(outcome.signals.targets)} rebalances: {why}")
    if ends := outcome.price_ends:
        ended = [f"{fund} {day}" for fund, day in ends.items()]
        gaps.append(f"prices that end before {outcome.schedule.sessions[-1]}: {describe_tickers(ended)}")
    if unpriced := [ticker for trade in outcome.paths[STRATEGY].trades for ticker in trade.unpriced]:
        tickers = describe_tickers(sorted(set(unpriced)))
        gaps.append(f"{len(unpriced)} purchases not made, for want of a price at the trade: {tickers}")
    if old := outcome.position_days_at_old_closes:
        all_days = int((outcome.paths[STRATEGY].weights > 0).sum())
        gaps.append(
            f"{sum(old.values()):,} of {all_days:,} position-days valued at an earlier close, for want of a newer one:"
            f" {describe_tickers(list(old))}"
        )
    return gaps


def _draw_ledger(ledger: Sequence[Entry]) -> str:
    """What stands on facts dated later, and what was passed over; "" where funds are held."""
    if not ledger:
        return ""
    any_fact = next(entry for entry in ledger if entry.entry == ANY_FACT)
    told = "No position stands on a fact that was dated later"
    if any_fact.counted:
        told = (
            f"LOOK-AHEAD: {_percent(any_fact.share)} % of {any_fact.total:,} position-days and"
            f" {_percent(any_fact.weight_frac)} % of the weight stand on facts that were dated later"
        )
    rows = [
        (
            (LATER_FACTS | MISSING_FACTS)[entry.entry],
            f"{entry.counted:,}",
            f"{entry.total:,}",
            _percent(entry.share),
            _percent(entry.weight_frac),
            _NONE if entry.tickers is None else str(entry.tickers),
        )
        for entry in ledger
    ]
    header = ("look-ahead ledger", "counted", "of", "%", "weight %", "tickers")
    return f"{told}\n\n{draw_table(header, rows, right={1, 2, 3, 4, 5})}"


def _first_row(names: dict[str, str], summary: Summary) -> tuple[str, ...]:
    fall = summary.drawdown
    dates = (_NONE if day is None else str(day) for day in (fall.peak_date, fall.trough_date, fall.recovery_date))
    shown = (_percent(summary.cagr), _percent(summary.volatility), _number(summary.sharpe), _number(summary.sortino))
    return (names[summary.series], *shown, _percent(fall.fall), *dates)


def _second_row(names: dict[str, str], summary: Summary) -> tuple[str, ...]:
    return (
        names[summary.series],
        _number(summary.beta),
        _percent(summary.alpha),
        _number(summary.information_ratio),
        _percent(summary.value_at_risk),
        _percent(summary.conditional_value_at_risk),
        _percent(summary.hit_rate),
        _number(summary.yearly_turnover),
        f"{summary.final_value:,.4f}",
    )


def _draw_costs(details: Details, names: dict[str, str]) -> str:
    rows = [(names[series], *map(_percent, details.costs[series])) for series in SERIES]
    return draw_table(("", *(f"{cost:g} bp" for cost in COSTS_BPS)), rows, right=set(range(1, len(COSTS_BPS) + 1)))


def _describe_break_even(outcome: Outcome, names: dict[str, str]) -> str:
    sentences = []
    for series in (BENCHMARK, EQUAL_WEIGHT):
        ours, other = outcome.paths[STRATEGY], outcome.paths[series]
        even = break_even_bps(ours, other, paid_bps=outcome.plan.cost_bps)
        if even is not None:
            sentences.append(f"it ends level with {names[series]} at {even:.1f} bp a side")
            continue
        is_ahead = ours.values[-1] > other.values[-1]
        sentences.append(f"it is {'ahead of' if is_ahead else 'behind'} {names[series]} at any cost")
    return "Break-even of the strategy: " + "; ".join(sentences)


def _draw_lags(details: Details) -> str:
    rows = [(lag.moment, _percent(lag.cagr), _number(lag.sharpe)) for lag in details.lags]
    return draw_table(("traded at", "CAGR %", "Sharpe"), rows, right={1, 2})


def _draw_years(details: Details, names: dict[str, str]) -> str:
    years = details.years
    rows = [(str(year), *(_percent(years[series][year]) for series in SERIES)) for year in years[STRATEGY]]
    return draw_table(("year", *(names[series] for series in SERIES)), rows, right={1, 2, 3})


def _describe_differences(details: Details, names: dict[str, str]) -> str:
    return "Sharpe ratio of the strategy minus that of another, with 95 % interval: " + "; ".join(
        f"{names[series]} "
        + (
            "none (fewer than 30 returns, or no volatility)"
            if math.isnan(found.low)
            else f"{_number(found.difference)} ({_number(found.low)} to {_number(found.high)})"
        )
        for series, found in details.differences.items()
    )


def _percent(fraction: float) -> str:
    return _NONE if fraction != fraction else f"{fraction * 100:.2f}"


def _number(number: float) -> str:
    return _NONE if number != number else f"{number:.2f}"
