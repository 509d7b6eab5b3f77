"""The gate: what came is served or not, and what the run ends with."""

from __future__ import annotations

import datetime as dt
from typing import cast

import pytest
from pyspark.sql import SparkSession

from spark_app.config.settings import Settings
from spark_app.errors import (
    DataIncompleteError,
    RateLimitedError,
    RunInterruptedError,
    ServiceUnavailableError,
    SparkAppError,
)
from spark_app.ingestion.completeness import Completeness
from spark_app.ingestion.gate import Verdict, require_answers, require_bars
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Kind, Outcome
from spark_app.storage.delta.staging import Staging
from spark_app.storage.postgres.database import Database
from spark_app.universe import FUNDS

COMMAND = "./spark_jobs_launcher.sh stage4_stock_history --as-of 2023-06-30"
DAY = dt.date(2023, 6, 30)
RUN = Run(
    Request("run", DAY, dt.datetime(2023, 6, 30, 21, tzinfo=dt.UTC), resume_command=COMMAND),
    Settings(),
    cast(SparkSession, None),
    cast(Staging, None),
    cast(Database, None),
)


def landed(kind: Kind, answered: int, **failed: str) -> Landing:
    good = [LandedTicker(kind, f"T{number}", Outcome.OK) for number in range(answered)]
    return Landing(good + [LandedTicker(kind, t, outcome, "because") for t, outcome in failed.items()])


def judged(answered: int, *, coverage: float = 0.75, allowed: int = 0, **failed: str) -> Verdict:
    landing = landed(Kind.QUOTE, answered, **failed)
    return require_answers(RUN, landing, Kind.QUOTE, what="stocks", coverage=coverage, allowed_missing=allowed)


def judged_bars(
    expected: dict[str, int], missing: dict[str, int], *, coverage: float, allowed: int = 0, **failed: str
) -> Verdict:
    completeness = Completeness(expected, {t: [DAY] * number for t, number in missing.items()})
    landing = landed(Kind.CHART, 1, **failed)
    counted = tuple(expected)
    return require_bars(RUN, landing, completeness, counted, what="funds", coverage=coverage, allowed_missing=allowed)


@pytest.mark.parametrize("answer", [Outcome.NOT_FOUND, Outcome.NO_DATA])
def test_a_ticker_without_data_counts_until_that_is_confirmed(answer: Outcome) -> None:
    landing = landed(Kind.QUOTE, 1, A=answer)
    doubtful = require_answers(RUN, landing, Kind.QUOTE, what="quotes", coverage=1.0)
    assert not doubtful.may_publish
    assert isinstance(doubtful.failure, DataIncompleteError)
    assert f"no data for 1 of 2 quotes: A ({answer.value}: because)" in str(doubtful.failure)
    confirmed = require_answers(RUN, landing, Kind.QUOTE, what="quotes", coverage=1.0, absent={"A"})
    assert confirmed == Verdict(may_publish=True)


def test_confirmed_absences_do_not_make_room_for_others() -> None:
    # Of 10 tickers that count one in ten may miss; with the confirmed ones it would be two in twenty.
    absent = {f"GONE{number}": Outcome.NOT_FOUND for number in range(10)}
    landing = landed(Kind.QUOTE, 8, A=Outcome.TRANSIENT, B=Outcome.TRANSIENT, **absent)
    verdict = require_answers(RUN, landing, Kind.QUOTE, what="quotes", coverage=0.9, absent=absent.keys())
    assert not verdict.may_publish


def test_the_reason_of_missing_bars_is_named_where_the_source_has_no_data() -> None:
    verdict = judged_bars({"T0": 20, "A": 20}, {"A": 20}, coverage=0.95, A=Outcome.NOT_FOUND)
    assert "(no data for 1 of 2 funds: A (not_found: because))" in str(verdict.failure)


@pytest.mark.parametrize("nothing", [Outcome.NOT_FOUND, Outcome.NO_DATA])
def test_a_fund_without_holdings_is_not_answered_for(nothing: Outcome) -> None:
    verdict = require_answers(RUN, landed(Kind.HOLDINGS, 11, XLK=nothing), Kind.HOLDINGS, what="funds", coverage=1.0)
    assert not verdict.may_publish
    assert f"no data for 1 of 12 funds: XLK ({nothing.value}: because)" in str(verdict.failure)


@pytest.mark.parametrize(
    ("others_miss", "hint"),
    [
        ([DAY], "; if the exchange was closed on 2023-06-30, add it to calendar.closures;"),
        ([DAY, dt.date(2023, 6, 29)], "; if the exchange was closed on 2023-06-30, add it to calendar.closures;"),
        ([dt.date(2023, 6, 29)], ""),
        ([], ""),
    ],
)
def test_a_day_that_all_funds_miss_may_be_a_closure(others_miss: list[dt.date], hint: str) -> None:
    missing = {ticker: others_miss for ticker in FUNDS if others_miss} | {"SPY": [DAY]}
    completeness = Completeness(dict.fromkeys(FUNDS, 21), missing)
    verdict = require_bars(RUN, landed(Kind.CHART, 1), completeness, FUNDS, what="funds", coverage=1.0)
    assert isinstance(verdict.failure, DataIncompleteError)
    named = (
        str(verdict.failure).partition("SPY must miss none")[2].removesuffix(" what was fetched is kept: run it again")
    )
    assert named == (hint or ";")


@pytest.mark.parametrize("failure", [Outcome.TRANSIENT, Outcome.MALFORMED])
def test_too_few_answers_are_not_served_and_named(failure: Outcome) -> None:
    verdict = judged(2, A=failure)
    assert not verdict.may_publish
    assert isinstance(verdict.failure, DataIncompleteError)
    assert f"no data for 1 of 3 stocks: A ({failure.value}: because)" in str(verdict.failure)


def test_the_coverage_itself_is_enough() -> None:
    assert judged(3, A=Outcome.TRANSIENT) == Verdict(may_publish=True)


@pytest.mark.parametrize(
    ("answered", "coverage", "allowed", "failed", "may_publish"),
    [
        (17, 0.95, 0, ["A"], False),  # 1 of 18 is 5.6 %
        (17, 0.95, 1, ["A"], True),
        (16, 0.95, 1, ["A", "B"], False),
        (16, 0.95, 2, ["A", "B"], True),
        (17, 1.0, 1, ["A"], False),
        (17, 0.95, 1, ["SPY"], False),
        (38, 0.95, 1, ["A", "B"], True),  # 2 of 40 are 5 %
        (1, 0.95, 1, ["A"], True),
        (0, 0.95, 1, ["A"], False),
    ],
)
def test_some_tickers_may_lack_data_whatever_the_fraction(
    answered: int, coverage: float, allowed: int, failed: list[str], may_publish: bool
) -> None:
    verdict = judged(answered, coverage=coverage, allowed=allowed, **dict.fromkeys(failed, Outcome.MALFORMED))
    assert verdict.may_publish is may_publish
    assert (verdict.failure is None) is may_publish


@pytest.mark.parametrize(
    ("missing", "coverage", "allowed", "may_publish"),
    [
        ({"S0": 20}, 0.95, 0, False),  # 20 of 360 bars are 5.6 %
        ({"S0": 20}, 0.95, 1, True),
        ({"S0": 20, "S1": 1}, 0.95, 1, False),
        ({"S0": 20}, 1.0, 1, False),
    ],
)
def test_some_tickers_may_miss_bars_whatever_the_fraction(
    missing: dict[str, int], coverage: float, allowed: int, may_publish: bool
) -> None:
    expected = {f"S{number}": 20 for number in range(18)}
    verdict = judged_bars(expected, missing, coverage=coverage, allowed=allowed, S0=Outcome.MALFORMED)
    assert verdict.may_publish is may_publish
    assert (verdict.failure is None) is may_publish


def test_neither_the_benchmark_nor_all_tickers_may_miss_bars() -> None:
    assert not judged_bars({"SPY": 20, "XLK": 400}, {"SPY": 20}, coverage=0.9, allowed=1).may_publish
    assert not judged_bars({"XLK": 20}, {"XLK": 20}, coverage=0.9, allowed=1).may_publish


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(Outcome.TRANSIENT, ServiceUnavailableError), (Outcome.NOT_FOUND, DataIncompleteError)],
)
def test_nothing_at_all_is_never_served(failure: Outcome, kind: type[SparkAppError]) -> None:
    verdict = judged(0, coverage=0.0, A=failure, B=failure)
    assert not verdict.may_publish
    assert type(verdict.failure) is kind


@pytest.mark.parametrize(("answered", "may_publish"), [(3, True), (1, False)])
def test_a_rate_limit_says_how_to_go_on_and_serves_what_passes(answered: int, may_publish: bool) -> None:
    verdict = judged(answered, A=Outcome.RATE_LIMITED)
    assert verdict.may_publish is may_publish
    assert isinstance(verdict.failure, RateLimitedError)
    assert f"{answered} of {answered + 1} stocks done" in str(verdict.failure)
    assert str(verdict.failure).endswith(COMMAND)


def test_an_interrupted_run_says_how_to_go_on() -> None:
    landing = landed(Kind.QUOTE, 1, A="not_asked")
    landing.is_interrupted = True
    failure = require_answers(RUN, landing, Kind.QUOTE, what="stocks", coverage=1).failure
    assert isinstance(failure, RunInterruptedError)
    assert str(failure) == f"interrupted: 1 of 2 stocks done; resume with: {COMMAND}"


@pytest.mark.parametrize(("missing", "may_publish"), [(2, True), (3, False)])
def test_bars_are_judged_by_the_fraction_of_those_that_should_be_there(missing: int, may_publish: bool) -> None:
    verdict = judged_bars({"SPY": 20, "XLK": 20}, {"XLK": missing}, coverage=0.95)
    assert verdict.may_publish is may_publish
    if not may_publish:
        assert isinstance(verdict.failure, DataIncompleteError)
        assert "92.5% of the bars of 2 funds are there and 95.0% are needed" in str(verdict.failure)


def test_the_benchmark_must_miss_no_bar() -> None:
    verdict = judged_bars({"SPY": 100, "XLK": 100}, {"SPY": 1}, coverage=0)
    assert isinstance(verdict.failure, DataIncompleteError)
    assert "bars are missing: SPY 2023-06-30; SPY must miss none" in str(verdict.failure)


def test_a_ticker_that_failed_and_misses_nothing_stops_nobody() -> None:
    assert judged_bars({"SPY": 20, "XLK": 20}, {}, coverage=1, XLK=Outcome.TRANSIENT) == Verdict(may_publish=True)
