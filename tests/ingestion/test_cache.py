"""What the cache answers: only sound answers, and absences that another day confirmed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest
from pyspark.sql import Row

from spark_app.ingestion.cache import FORGOTTEN, Known, absent_days
from spark_app.sources.contract import FetchRequest, Kind, Outcome

MON, TUE, WED = (dt.date(2024, 3, day) for day in (11, 12, 13))


def fetch(
    outcome: str, ticker: str = "A", start: dt.date | None = None, kind: Kind = Kind.QUOTE, source: str = "yahoo"
) -> Row:
    return Row(
        kind=kind,
        ticker=ticker,
        outcome=outcome,
        message=None,
        snapshot_date=None,
        left_out=0,
        window_start=start,
        window_end=WED,
        quote_date=None,
        source=source,
    )


def outcomes(fetches: Sequence[Row], absent_on: set[dt.date], *, asked: int = 10) -> dict[str, str]:
    tickers = ("A", *(f"T{number}" for number in range(asked - 1)))
    known = Known({}, {}, {}, {(Kind.QUOTE, "A"): fetches}, absent_on={(Kind.QUOTE, "A"): frozenset(absent_on)})
    landing = known.cached([FetchRequest(Kind.QUOTE, tickers)])
    return {t.ticker: t.outcome for t in landing.tickers}


@pytest.mark.parametrize("absent", [Outcome.NOT_FOUND, Outcome.NO_DATA])
def test_an_absence_is_cached_only_if_another_day_confirms_it(absent: Outcome) -> None:
    assert outcomes([fetch(absent)], {MON}) == {}
    assert outcomes([fetch(absent)], {MON, TUE}) == {"A": absent}


def test_an_older_answer_counts_where_the_newest_is_doubtful() -> None:
    answers = [fetch(Outcome.NOT_FOUND), fetch(Outcome.OK)]
    assert outcomes(answers, {MON}) == {"A": Outcome.OK}
    assert outcomes([fetch(Outcome.NOT_FOUND), fetch(FORGOTTEN), fetch(Outcome.OK)], {MON}) == {}


def test_many_absences_are_not_cached_on_any_day() -> None:
    tickers = tuple("ABCD")
    known = Known(
        {},
        {},
        {},
        {(Kind.QUOTE, ticker): [fetch(Outcome.NOT_FOUND, ticker)] for ticker in tickers},
        absent_on={(Kind.QUOTE, ticker): frozenset({MON, TUE}) for ticker in tickers},
    )
    assert known.cached([FetchRequest(Kind.QUOTE, tickers)]).tickers == []


def test_a_chart_that_lacks_its_older_sessions_is_not_cached() -> None:
    request = FetchRequest(Kind.CHART, ("A",), MON, WED)
    for start, cached in ((TUE, []), (MON, ["A"])):
        known = Known({}, {}, {}, {(Kind.CHART, "A"): [fetch(Outcome.OK, start=start, kind=Kind.CHART)]})
        assert [t.ticker for t in known.cached([request]).tickers] == cached


@pytest.mark.parametrize(
    ("asked", "cached"), [("yahoo", ["XLK"]), ("issuer", []), (None, ["XLK"])], ids=["the same", "another", "the only"]
)
def test_holdings_of_one_provider_do_not_answer_for_another(asked: str | None, cached: list[str]) -> None:
    landed = fetch(Outcome.OK, "XLK", kind=Kind.HOLDINGS)
    known = Known({}, {}, {}, {(Kind.HOLDINGS, "XLK"): [landed]}, holdings_provider=asked)
    answered = known.cached([FetchRequest(Kind.HOLDINGS, ("XLK",), window_end=WED)])
    assert [t.ticker for t in answered.tickers] == cached


def test_only_the_days_without_data_since_there_last_was_some_count() -> None:
    def absent(kind: Kind, day: dt.date) -> Row:
        return Row(kind=kind, fetched_at=dt.datetime.combine(day, dt.time(9), dt.UTC), fetched_on=day)

    absences = [absent(Kind.CHART, MON), absent(Kind.CHART, WED), absent(Kind.QUOTE, MON), absent(Kind.QUOTE, TUE)]
    data = [Row(kind=Kind.CHART, fetched_at=dt.datetime(2024, 3, 12, 9, tzinfo=dt.UTC))]
    assert absent_days(absences, data) == {Kind.CHART: {WED}, Kind.QUOTE: {MON, TUE}}
