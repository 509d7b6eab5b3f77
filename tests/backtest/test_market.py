"""What a backtest says when prices are missing: a command that can bring them."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.backtest.market import Coverage, require_prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.config.settings import DataOrigin
from spark_app.errors import DataIncompleteError
from spark_app.universe import Universe

DAYS = (dt.date(2020, 1, 2), dt.date(2020, 1, 3), dt.date(2020, 1, 6))
PLAN = Plan(DAYS[1], DAYS[2], Universe("SPY", {"XLK": "Information Technology"}, {"XLK": DAYS[0]}))
SCHEDULE = Schedule(DAYS[:1], DAYS[1:], (DAYS[1],))
WHOLE = Coverage(DAYS[0], DAYS[2], 3)


@pytest.mark.parametrize("coverage", [{"SPY": WHOLE}, {"SPY": WHOLE, "XLK": Coverage(DAYS[1], DAYS[2], 2)}])
@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ("real", r"collect them with \S+ backfill_etf_benchmarks --days 3 --as-of 2020-01-06(,|$)"),
        (
            "synthetic",
            r"collect them with \S+ backfill_etf_benchmarks --days 3 --as-of 2020-01-06 --source synthetic(,|$)",
        ),
        ("files", r"import them with \S+ import_files \(docs/FILES.md\)(,|$)"),
    ],
)
def test_missing_prices_come_by_a_command_of_the_source(
    coverage: dict[str, Coverage], origin: DataOrigin, command: str
) -> None:
    with pytest.raises(DataIncompleteError, match=command):
        require_prices(PLAN, SCHEDULE, coverage, origin)


def test_a_later_start_is_named_only_where_there_is_one() -> None:
    late = {"SPY": WHOLE, "XLK": Coverage(DAYS[2], DAYS[2], 1)}
    with pytest.raises(DataIncompleteError) as refused:
        require_prices(PLAN, SCHEDULE, late, "real")
    assert "begin 2020-01-06: collect them with" in str(refused.value)
    assert "use a --from" not in str(refused.value)
    days = (*DAYS, dt.date(2020, 1, 7), dt.date(2020, 1, 8), dt.date(2020, 1, 9))
    longer = Schedule(days[:1], days[1:], (days[1],))
    ends = {"SPY": Coverage(days[0], days[-1], 6), "XLK": Coverage(days[2], days[-1], 4)}
    with pytest.raises(DataIncompleteError, match="or use a --from that is 2 sessions after 2020-01-06"):
        require_prices(PLAN, longer, ends, "real")
