"""The charts: round labels where they belong, and lines that leave out no extreme."""

from __future__ import annotations

import datetime as dt
import math
import re

import pytest

from spark_app.results.backtest.charts import drawdown_chart, equity_chart, linear_ticks, log_ticks

DAYS = [dt.date(2015, 12, 31) + dt.timedelta(days=n) for n in range(2000)]


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0.9, 5.5, [1, 1.5, 2, 3, 5]),
        (0.51, 1.25, [0.6, 0.7, 0.8, 1, 1.2]),
        (0.04, 130, [0.1, 1, 10, 100]),
        (1.0, 2430.0, [1, 10, 100, 1000]),
    ],
)
def test_labels_of_a_logarithmic_scale_are_round(lowest: float, highest: float, expected: list[float]) -> None:
    assert log_ticks(lowest, highest) == pytest.approx(expected)


def test_labels_of_a_linear_scale_are_round() -> None:
    assert linear_ticks(-23.4, 0) == pytest.approx([-20, -15, -10, -5, 0])
    assert linear_ticks(0.973, 1.151) == pytest.approx([1, 1.05, 1.1, 1.15])


def test_a_label_is_where_its_value_is() -> None:
    values = [math.exp(n / 1000) for n in range(2000)]
    chart = equity_chart(DAYS, {"strategy": values}, "said")
    # The scale is logarithmic from 1 to e ** 1.999.
    for tick in chart.values:
        assert tick.place == pytest.approx((1 - math.log(float(tick.label)) / 1.999) * 100)
    assert [tick.label for tick in chart.years] == ["2016", "2017", "2018", "2019", "2020", "2021"]
    assert chart.years[0].place == pytest.approx(1 / 1999 * 100)


def test_a_crash_of_one_session_is_drawn() -> None:
    drawdowns = [0.0] * 2000
    drawdowns[1234] = -60.0
    chart = drawdown_chart(DAYS, {"strategy": drawdowns}, "said")
    points = [tuple(map(float, point.split())) for point in re.findall(r"[ML]([\d. ]+)", chart.svg)]
    x, y = max(points, key=lambda point: point[1])
    assert (x, y) == (round(1234 / 1999 * 1000, 1), 300)
    assert len(points) < 900
    assert chart.values[0].label == "−60"


def test_a_value_that_never_moves_has_a_chart() -> None:
    chart = equity_chart(DAYS[:3], {"strategy": [1.0, 1.0, 1.0]}, "said")
    assert "1" in [tick.label for tick in chart.values]
    assert "nan" not in chart.svg
