from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator

import pandas as pd
import pyarrow as pa
import pytest
from pandas._libs.tslibs.nattype import NaTType
from pyspark.sql import SparkSession
from pyspark.sql.functions import unix_micros
from pyspark.sql.pandas.types import to_arrow_schema

from spark_app import market_calendar, schemas
from spark_app.errors import RateLimitedError, ServiceUnavailableError
from spark_app.sources import worker
from spark_app.sources.contract import (
    Answer,
    Bar,
    FetchRequest,
    Holding,
    Kind,
    Limiter,
    Outcome,
    Quote,
    SkippedHolding,
    SourceConfig,
)
from spark_app.sources.worker import answer_requests
from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import CLOSE_OF_TUE, FRI, MON, THU, TUE, CountingLimiter, make_market

FETCHED_AT = dt.datetime(2024, 3, 13, 9, 0, 1, 250_000, tzinfo=dt.UTC)
CONFIG = SourceConfig("yahoo")
REQUEST_SCHEMA = "kind string, tickers array<string>, window_start date, window_end date"


def clock() -> dt.datetime:
    return FETCHED_AT


class FakeSource:
    """Answers from a table; a ticker without an entry is ok and has no data."""

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[FetchRequest] = []

    def fetch(self, request: FetchRequest) -> list[Answer]:
        self.asked.append(request)
        return [self.answers.get(ticker, Answer(ticker, Outcome.OK, provider="yahoo")) for ticker in request.tickers]


def use_source(monkeypatch: pytest.MonkeyPatch, source: FakeSource) -> list[Limiter]:
    """Let the worker build `source`; returns the limiters that it hands over."""
    limiters: list[Limiter] = []

    def build(config: SourceConfig, limiter: Limiter, *, clock: Callable[[], dt.datetime]) -> FakeSource:
        assert (config, clock()) == (CONFIG, FETCHED_AT)
        limiters.append(limiter)
        return source

    monkeypatch.setattr(worker, "build_source", build)
    return limiters


def make_batch(*requests: tuple[str, list[str], dt.date | NaTType | None, dt.date | None]) -> pd.DataFrame:
    return pd.DataFrame(requests, columns=["kind", "tickers", "window_start", "window_end"])


def run_worker(*batches: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return answer_requests(iter(batches), config=CONFIG, make_limiter=CountingLimiter, run_id="run-1", clock=clock)


def test_a_chart_that_begins_late_has_the_first_date_that_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    use_source(monkeypatch, FakeSource({"SHORT": Answer("SHORT", Outcome.OK, covered_from=FRI)}))
    (short, whole) = run_worker(make_batch(("chart", ["SHORT"], THU, TUE), ("chart", ["WHOLE"], THU, TUE)))
    assert [frame.iloc[0]["window_start"] for frame in (short, whole)] == [FRI, THU]


def test_each_request_gives_a_frame_with_a_row_per_ticker(monkeypatch: pytest.MonkeyPatch) -> None:
    use_source(monkeypatch, FakeSource())
    frames = list(run_worker(make_batch(("chart", ["A"], THU, TUE), ("quote", ["B", "C"], None, None))))
    assert [list(frame["ticker"]) for frame in frames] == [["A"], ["B", "C"]]
    assert [list(frame.columns) for frame in frames] == [schemas.FETCHES.fieldNames()] * 2
    assert list(frames[0].iloc[0][["kind", "window_start", "window_end", "run_id"]]) == ["chart", THU, TUE, "run-1"]


def test_a_worker_has_the_corrected_calendar_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def sessions(config: SourceConfig) -> list[dt.date]:
        monkeypatch.setattr(worker, "build_source", lambda *args, **kwargs: FakeSource())
        batch = iter([make_batch(("chart", ["XLK"], THU, TUE))])
        list(answer_requests(batch, config=config, make_limiter=CountingLimiter, run_id="run-1", clock=clock))
        return market_calendar.sessions_between(THU, TUE)

    sunday = dt.date(2024, 3, 10)
    assert sessions(SourceConfig("yahoo", closures=(FRI,), extra_sessions=(sunday,))) == [THU, sunday, MON, TUE]
    # The next run may have other settings, and the same worker process.
    assert sessions(CONFIG) == [THU, FRI, MON, TUE]


def test_requests_reach_the_source_as_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()
    use_source(monkeypatch, source)
    list(run_worker(make_batch(("chart", ["A"], THU, TUE), ("holdings", ["B"], pd.NaT, None))))
    assert source.asked == [FetchRequest(Kind.CHART, ("A",), THU, TUE), FetchRequest(Kind.HOLDINGS, ("B",))]


def test_answers_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()
    use_source(monkeypatch, source)
    frames = run_worker(make_batch(("chart", ["A"], THU, TUE), ("chart", ["B"], THU, TUE)))
    next(frames)
    assert [request.tickers for request in source.asked] == [("A",)]


def test_no_answer_lands_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass#word@host:3128")
    told = "no proxy at 'http://user:pass#word@host:3128', pass#word"
    use_source(monkeypatch, FakeSource({"A": Answer("A", Outcome.TRANSIENT, told, told)}))
    (frame,) = run_worker(make_batch(("chart", ["A"], THU, TUE)))
    assert list(frame.iloc[0][["message", "raw_text"]]) == ["no proxy at 'http://***@host:3128', ***"] * 2


def test_after_a_rate_limit_no_request_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource({"B": Answer("B", Outcome.RATE_LIMITED, "not before noon", requests=1, provider="issuer")})
    use_source(monkeypatch, source)
    first = make_batch(("holdings", ["A"], None, None), ("holdings", ["B"], None, None))
    second = make_batch(("holdings", ["C"], None, None), ("quote", ["D", "E"], None, None))
    rows = pd.concat(list(run_worker(first, second)))
    assert [request.tickers for request in source.asked] == [("A",), ("B",)]
    assert list(rows["ticker"]) == ["A", "B", "C", "D", "E"]
    assert list(rows["outcome"]) == ["ok"] + ["rate_limited"] * 4
    assert list(rows["message"])[1:] == ["not before noon"] * 4
    assert list(rows["requests"]) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("kind", ["chart", "holdings", "quote"])
def test_a_block_reported_by_another_worker_answers_every_ticker_without_a_request(kind: str) -> None:
    class BlockedLimiter(CountingLimiter):
        def acquire(self) -> None:
            raise RateLimitedError("resume after noon")

    with YahooEmulator(make_market()) as emulator:
        rows = ask_emulator(emulator, BlockedLimiter(), kind, ["XLK", "XLV"])
        assert len(emulator.log) == 0
    assert list(rows["outcome"]) == ["rate_limited"] * 2
    assert list(rows["message"]) == ["resume after noon"] * 2
    assert list(rows["requests"]) == [0, 0]


@pytest.mark.parametrize("kind", ["chart", "holdings", "quote"])
@pytest.mark.parametrize("slots", [0, 1, 2])
def test_a_limiter_that_does_not_respond_makes_tickers_transient_and_loses_none(kind: str, slots: int) -> None:
    """It fails before the cookie, before the crumb, or before the request itself."""

    class FailingLimiter(CountingLimiter):
        def acquire(self) -> None:
            super().acquire()
            if self.slots > slots:
                raise ServiceUnavailableError("cannot reach PostgreSQL")

    limiter = FailingLimiter()
    with YahooEmulator(make_market()) as emulator:
        rows = ask_emulator(emulator, limiter, kind, ["XLK", "XLV", "AAPL"])
        assert len(emulator.log) == slots
    assert list(rows["ticker"]) == ["XLK", "XLV", "AAPL"]
    assert set(rows["outcome"]) == {"transient"}
    assert set(rows["message"]) == {"not requested: cannot reach PostgreSQL"}
    assert limiter.slots == slots + 1


def ask_emulator(emulator: YahooEmulator, limiter: Limiter, kind: str, tickers: list[str]) -> pd.DataFrame:
    """Let the worker send one request per ticker."""
    window = (THU, TUE) if kind == "chart" else (None, None)
    batch = make_batch(*[(kind, [ticker], *window) for ticker in tickers])
    config = SourceConfig("yahoo", endpoint=emulator.url, timeout_seconds=10.0)
    return pd.concat(answer_requests(iter([batch]), config=config, make_limiter=lambda: limiter, run_id="run-1"))


FINE = Answer("FINE", Outcome.OK, bars=(Bar(THU, 1.0, 2.0, 0.5, 1.0, 1.0, 7),))


@pytest.mark.parametrize(
    "bad",
    [
        Answer("BAD", Outcome.OK, bars=(Bar(THU, 1.0, 2.0, 0.5, 1.0, 1.0, 2**63),)),
        Answer("BAD", Outcome.OK, bars=(Bar(THU, 1.0, 2.0, 0.5, "1.0", 1.0, 7),)),  # type: ignore[arg-type]
        Answer("BAD", Outcome.OK, holdings=(Holding("X", "half a pair: \ud800", 1.0),)),
        Answer("BAD", Outcome.OK, quote=Quote("yesterday", TUE, 1, 1.0)),  # type: ignore[arg-type]
        Answer("BAD", Outcome.OK, "half a pair: \ud800"),
    ],
)
def test_a_value_that_arrow_cannot_convert_is_an_outcome_of_its_ticker_alone(
    monkeypatch: pytest.MonkeyPatch, bad: Answer
) -> None:
    use_source(monkeypatch, FakeSource({"BAD": dataclasses.replace(bad, requests=2), "FINE": FINE}))
    (frame,) = run_worker(make_batch(("quote", ["BAD", "FINE"], None, None)))
    assert list(frame["outcome"]) == ["malformed", "ok"]
    assert list(frame["requests"]) == [2, 0]
    assert frame["message"][0].startswith("the answer cannot be stored: ")
    assert frame["raw_text"][0].startswith("Answer(ticker='BAD'")
    assert [bar["volume"] for bar in frame["bars"][1]] == [7]
    pa.RecordBatch.from_pandas(frame, schema=to_arrow_schema(schemas.FETCHES, timezone="UTC"))


def test_an_error_of_a_source_is_an_outcome_of_its_tickers(monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingSource(FakeSource):
        def fetch(self, request: FetchRequest) -> list[Answer]:
            if "BAD" in request.tickers:
                raise ValueError("no such thing")
            return super().fetch(request)

    use_source(monkeypatch, FailingSource())
    rows = pd.concat(list(run_worker(make_batch(("chart", ["BAD"], THU, TUE), ("chart", ["FINE"], THU, TUE)))))
    assert list(rows["outcome"]) == ["malformed", "ok"]
    assert next(iter(rows["message"])) == "the answer cannot be read: ValueError: no such thing"


def test_one_source_serves_all_batches_and_none_is_built_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limiters = use_source(monkeypatch, FakeSource())
    assert list(run_worker()) == []
    assert list(run_worker(make_batch())) == []
    assert limiters == []
    list(run_worker(make_batch(("chart", ["A"], THU, TUE)), make_batch(("chart", ["B"], THU, TUE))))
    assert len(limiters) == 1


def test_the_bound_worker_is_pickled_by_reference() -> None:
    bound = functools.partial(answer_requests, config=CONFIG, make_limiter=CountingLimiter, run_id="run-1")
    assert len(pickle.dumps(bound)) < 1000


FULL = Answer(
    "FULL",
    Outcome.OK,
    requests=3,
    seconds=0.5,
    bars=(Bar(THU, 1.0, 2.0, 0.5, None, float("inf"), 2**62, 0.25, 2.0), Bar(FRI, None, None, None, None, None, None)),
    snapshot_date=TUE,
    holdings=(Holding("BRK-B", None, 12.5),),
    skipped=(SkippedHolding(None, "US DOLLAR", -0.007694, "cash"),),
    quote=Quote(CLOSE_OF_TUE, TUE, 2**60 + 1, 13.0, "Full Inc.", None),
    provider="issuer",
)
BARE = Answer("BARE", Outcome.MALFORMED, "no JSON", "<html>", provider="yahoo")


def test_arrow_takes_the_rows_as_they_are(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames of both answers, through Spark's own Arrow conversion and back."""
    use_source(monkeypatch, FakeSource({"FULL": FULL, "BARE": BARE}))
    frames = list(run_worker(make_batch(("quote", ["BARE"], None, None), ("quote", ["FULL", "BARE"], None, None))))
    pickled = pickle.dumps(frames)

    def replay(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for _ in batches:
            yield from pickle.loads(pickled)

    one = spark.range(1, numPartitions=1)
    bare, full, also_bare = (
        one.mapInPandas(replay, schemas.FETCHES)
        .withColumn("fetched_micros", unix_micros("fetched_at"))
        .withColumn("quoted_micros", unix_micros("quote.quoted_at"))
        .collect()
    )
    assert bare == also_bare
    assert (bare.outcome, bare.message, bare.raw_text, bare.bars, bare.holdings) == (
        "malformed",
        "no JSON",
        "<html>",
        [],
        [],
    )
    assert (bare.quote, bare.window_start, bare.snapshot_date, bare.source) == (None, None, None, "yahoo")
    assert [tuple(b) for b in full.bars] == [
        (THU, 1.0, 2.0, 0.5, None, float("inf"), 2**62, 0.25, 2.0),
        (FRI, None, None, None, None, None, None, 0.0, 1.0),
    ]
    assert [tuple(h) for h in full.holdings] == [("BRK-B", None, 12.5)]
    assert [tuple(h) for h in full.left_out] == [(None, "US DOLLAR", -0.007694, "cash")]
    assert tuple(full.quote)[1:] == (TUE, 2**60 + 1, 13.0, "Full Inc.", None)
    assert (full.requests, full.seconds, full.snapshot_date, full.source) == (3, 0.5, TUE, "issuer")
    # 2024-03-13 09:00:01.25 and 2024-03-12 20:00 in UTC, from `date -u +%s`.
    assert (full.fetched_micros, full.quoted_micros) == (1710320401_250000, 1710273600_000000)


def test_a_python_worker_of_spark_fetches_from_the_emulator(spark: SparkSession) -> None:
    with YahooEmulator(make_market()) as emulator:
        config = SourceConfig("yahoo", endpoint=emulator.url, timeout_seconds=10.0)
        requests = [
            ("chart", ["XLK"], THU, TUE),
            ("holdings", ["XLK"], None, None),
            ("quote", ["AAPL", "X"], None, None),
        ]
        bound = functools.partial(answer_requests, config=config, make_limiter=CountingLimiter, run_id="run-1")
        rows = spark.createDataFrame(requests, REQUEST_SCHEMA).coalesce(1).mapInPandas(bound, schemas.FETCHES).collect()
        assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "chart": 1, "holdings": 1, "quote": 1}
    assert [(row.kind, row.ticker, row.outcome) for row in rows] == [
        ("chart", "XLK", "ok"),
        ("holdings", "XLK", "ok"),
        ("quote", "AAPL", "ok"),
        ("quote", "X", "not_found"),
    ]
    assert [b.trade_date for b in rows[0].bars][::3] == [THU, TUE]
    assert [row.requests for row in rows] == [3, 1, 1, 0]


@pytest.mark.parametrize("library", ["curl_cffi", "pydantic", "exchange_calendars"])
def test_a_worker_of_the_synthetic_market_starts_without_libraries_that_it_does_not_use(library: str) -> None:
    needed = "spark_app.sources.worker, spark_app.sources.synthetic.source, spark_app.storage.postgres.limiter"
    script = f"import sys, {needed}; print('{library}' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
