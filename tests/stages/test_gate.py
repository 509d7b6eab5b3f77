"""The gate: what came is served or not, and what the run ends with."""

from __future__ import annotations

import datetime as dt
from typing import cast

import pytest
from pyspark.sql import SparkSession

from spark_app.errors import DataIncompleteError, RateLimitedError, ServiceUnavailableError, SparkAppError
from spark_app.settings import Settings
from spark_app.sources.contract import Outcome
from spark_app.stages.context import FetchSummary, RunRequest, StageContext
from spark_app.stages.gate import Verdict, judge
from spark_app.storage.database import Database
from spark_app.storage.staging import Staging


def judged(answered: int, *, coverage: float = 0.75, **failed: Outcome) -> Verdict:
    now = dt.datetime(2023, 6, 30, 21, tzinfo=dt.UTC)
    context = StageContext(
        RunRequest("run", dt.date(2023, 6, 30), now),
        Settings(),
        cast(SparkSession, None),
        cast(Staging, None),
        cast(Database, None),
    )
    tickers = tuple(f"T{number}" for number in range(answered))
    summary = FetchSummary(answered=tickers, failed={t: (o, "because") for t, o in failed.items()})
    return judge(context, "stage4_stock_history", summary, what="stocks", coverage=coverage)


@pytest.mark.parametrize("answer", [Outcome.NOT_FOUND, Outcome.NO_DATA])
def test_an_unknown_ticker_is_an_answer(answer: Outcome) -> None:
    assert judged(1, coverage=1.0, A=answer) == Verdict(may_publish=True)


@pytest.mark.parametrize("failure", [Outcome.TRANSIENT, Outcome.MALFORMED])
def test_too_few_answers_are_not_served_and_named(failure: Outcome) -> None:
    verdict = judged(2, A=failure)
    assert not verdict.may_publish
    assert isinstance(verdict.failure, DataIncompleteError)
    assert f"1 of 3 stocks brought nothing: A ({failure.value}: because)" in str(verdict.failure)


def test_the_coverage_itself_is_enough() -> None:
    assert judged(3, A=Outcome.TRANSIENT) == Verdict(may_publish=True)


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
    assert str(verdict.failure).endswith("./spark_jobs_launcher.sh stage4_stock_history --as-of 2023-06-30")
