"""From facts to the HTML of the page: everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from spark_app import __version__
from spark_app.backtest.bootstrap import RESAMPLES
from spark_app.backtest.ledger import LATER_FACTS, MISSING_FACTS
from spark_app.backtest.outcome import BENCHMARK, COSTS_BPS, EQUAL_WEIGHT, SERIES, STRATEGY
from spark_app.results.backtest.charts import drawdown_chart, equity_chart
from spark_app.results.backtest.facts import Facts
from spark_app.results.page.writing import MINUS, NONE, SYNTHETIC, page_environment, signed, style_of, to_digits

_MOST_MONTHS = 360
"""With more of them the tables behind the charts have a row per year."""


@dataclass(frozen=True)
class PeriodEnd:
    """The last session of a month or year: values there, and the deepest drawdowns of the period, by series."""

    session: dt.date
    values: Mapping[str, float]
    deepest: Mapping[str, float]


def render_backtest(facts: Facts) -> str:
    """Return the page as one HTML document."""
    environment = page_environment(__package__)
    environment.filters |= {"fixed": fixed, "signed": _signed_known, "share": share, "capitalized": capitalized}
    values = {series: facts.courses[series].values for series in SERIES}
    drawdowns = {series: facts.courses[series].drawdowns for series in SERIES}
    ends = "; ".join(f"{facts.names[series]} {values[series][-1]:.4g}" for series in SERIES)
    falls = "; ".join(f"{facts.names[series]} {min(drawdowns[series]):.1f}" for series in SERIES)
    return environment.get_template("backtest.html.jinja").render(
        facts=facts,
        names=facts.names,
        entries=LATER_FACTS | MISSING_FACTS,
        said=facts.names | {EQUAL_WEIGHT: "equal weight"},
        series=SERIES,
        strategy=STRATEGY,
        others=(BENCHMARK, EQUAL_WEIGHT),
        benchmark=BENCHMARK,
        costs_bps=COSTS_BPS,
        is_ahead={series: values[STRATEGY][-1] > values[series][-1] for series in SERIES},
        mark=SYNTHETIC if facts.origin.data_origin == "synthetic" else "",
        style=Markup("\n").join([style_of("page.css"), style_of("backtest.css", folder=__package__)]),
        equity=equity_chart(facts.sessions, values, f"Value of the portfolios. At the end: {ends}"),
        drawdown=drawdown_chart(facts.sessions, drawdowns, f"Drawdowns in percent. Deepest: {falls}"),
        ends=period_ends(facts),
        period="year" if _has_many_months(facts) else "month",
        years_ahead=sum(returns[STRATEGY] > returns[BENCHMARK] for returns in facts.years.values()),
        resamples=RESAMPLES,
        version=__version__,
    )


def period_ends(facts: Facts) -> list[PeriodEnd]:
    """The last session of each month, the newest first; of each year where there are many months."""
    form = "%Y" if _has_many_months(facts) else "%Y-%m"
    places: dict[str, list[int]] = {}
    for place, session in enumerate(facts.sessions):
        places.setdefault(session.strftime(form), []).append(place)
    return [
        PeriodEnd(
            facts.sessions[part[-1]],
            {series: facts.courses[series].values[part[-1]] for series in SERIES},
            {series: min(facts.courses[series].drawdowns[n] for n in part) for series in SERIES},
        )
        for part in reversed(places.values())
    ]


def _has_many_months(facts: Facts) -> bool:
    return len({(session.year, session.month) for session in facts.sessions}) > _MOST_MONTHS


def share(fraction: float, digits: int = 1) -> str:
    """Write a fraction as a percentage."""
    return fixed(fraction * 100, digits)


def capitalized(sentence: str) -> str:
    """Begin a sentence with a capital letter, and leave the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def fixed(value: Any, digits: int = 2) -> str:
    """Write a number without a plus; n/a for none."""
    if value is None or math.isnan(value):
        return NONE
    rounded = to_digits(value, digits)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded):,.{digits}f}"


def _signed_known(value: Any, digits: int = 2) -> str:
    return NONE if value is None or math.isnan(value) else signed(value, digits)
