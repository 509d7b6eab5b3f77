"""Publishing: what is merged, what is counted, and that a failure leaves the tables as they were."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.errors import SparkAppError, UsageError
from spark_app.schemas import BENCHMARK_OHLC, ETF_OHLC, PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION, ServedTable
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing import loading
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.publish import publish, sweep_orphans
from spark_app.storage.postgres.retry import RetryPolicy
from spark_app.storage.postgres.run_log import (
    ConsumerError,
    RowCounts,
    RunKey,
    RunResult,
    check_origin,
    is_done,
    start_run,
)

DAY = dt.date(2023, 6, 30)
FETCHED_AT = dt.datetime(2023, 6, 30, 21, 5, tzinfo=dt.UTC)
OK = RunResult("ok", 0, "fine", requests=3)


def run_key(run_id: str = "run-00000001", stage: str = "stage1") -> RunKey:
    return RunKey(run_id, stage, DAY, {"days": 2})


def bars(spark: SparkSession, closes: dict[str, str], *, low: str = "9", run_id: str = "run-00000001") -> DataFrame:
    price = Decimal
    rows = [
        (ticker, DAY, price("10"), price("12"), price(low), price(close), price(close), 100, price(0), price(1), None)
        + (FETCHED_AT, run_id)
        for ticker, close in closes.items()
    ]
    return spark.createDataFrame(rows, ETF_OHLC.schema)


def exclusions(spark: SparkSession, tickers: list[str], day: dt.date = DAY) -> DataFrame:
    rows = [(day, t, "Energy", "not_trending", "because", "run-00000001", day, False) for t in tickers]
    return spark.createDataFrame(rows, PORTFOLIO_EXCLUSION.schema)


def send(database: Database, *publications: Publication, key: RunKey | None = None) -> RowCounts:
    key = key or run_key()
    start_run(database, key)
    return publish(database, key, OK, origin="real", publications=publications)


def closes(database: Database) -> dict[str, Decimal]:
    with database.connect() as connection:
        return dict(connection.execute("SELECT ticker, close_price FROM collected_daily_etf_ohlc").fetchall())


def test_new_changed_and_unchanged_rows_are_told_apart(spark: SparkSession, database: Database) -> None:
    first = send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10", "XLE": "11"})))
    later = bars(spark, {"XLK": "10.5", "XLE": "11", "XLF": "12"}, run_id="run-00000002")
    second = send(database, Publication(ETF_OHLC, later), key=run_key("run-00000002"))

    assert first == RowCounts(inserted=2)
    assert second == RowCounts(inserted=1, updated=1, unchanged=1)
    assert closes(database) == {"XLK": Decimal("10.5"), "XLE": Decimal(11), "XLF": Decimal(12)}


def test_an_unchanged_row_keeps_the_run_that_wrote_it(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    again = bars(spark, {"XLK": "10"}, run_id="run-00000002")
    assert send(database, Publication(ETF_OHLC, again), key=run_key("run-00000002")) == RowCounts(unchanged=1)
    with database.connect() as connection:
        assert connection.execute("SELECT run_id FROM collected_daily_etf_ohlc").fetchall() == [("run-00000001",)]


def test_rows_of_an_owned_set_that_were_not_produced_are_removed(spark: SparkSession, database: Database) -> None:
    owned, other_day = RowSet(("as_of_date",), ((DAY,),)), dt.date(2023, 6, 29)
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A", "B"]), owned))
    of_other_day = Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["C"], other_day))
    send(database, of_other_day, key=run_key("run-00000002"))
    counts = send(
        database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["B"]), owned), key=run_key("run-00000003")
    )
    assert counts == RowCounts(unchanged=1, removed=1)
    with database.connect() as connection:
        left = connection.execute("SELECT ticker FROM analytics_portfolio_exclusion ORDER BY 1").fetchall()
    assert left == [("B",), ("C",)]


def test_a_set_of_many_rows_is_replaced(spark: SparkSession, database: Database) -> None:
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A", "B"])))
    others = tuple((DAY - dt.timedelta(days=n), f"T{n}") for n in range(1, 20_000))
    owned = RowSet(("as_of_date", "ticker"), (*others, (DAY, "A"), (DAY, "B")))
    only_b = Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["B"]), owned)
    assert send(database, only_b, key=run_key("run-00000002")) == RowCounts(unchanged=1, removed=1)


def test_a_set_may_name_its_dates_as_messages_do(spark: SparkSession, database: Database) -> None:
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A", "B"])))
    gone = RowSet(("as_of_date", "ticker"), ((str(DAY), "A"),))
    nothing = Publication(PORTFOLIO_EXCLUSION, exclusions(spark, []), gone)
    assert send(database, nothing, key=run_key("run-00000002")) == RowCounts(removed=1)


def test_an_owned_set_may_become_empty(spark: SparkSession, database: Database) -> None:
    owned = RowSet(("as_of_date",), ((DAY,),))
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A"]), owned))
    nothing = Publication(PORTFOLIO_EXCLUSION, exclusions(spark, []), owned)
    assert send(database, nothing, key=run_key("run-00000002")) == RowCounts(removed=1)


def test_values_arrive_exactly_as_they_were_computed(spark: SparkSession, database: Database) -> None:
    largest, smallest = Decimal("999999999999.999999"), Decimal("0.000001")
    instants = [
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2254, 6, 5, 12, 0, 0, 123_457, dt.UTC),
    ]
    days = [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]
    rows = [
        (ticker, day, smallest, largest, smallest, largest, Decimal("0.1"), 2**63 - 1, Decimal(0), Decimal("0.333333"))
        + (change, instant, "run-00000001")
        for ticker, day, change, instant in zip(
            ["BRK-B", "\N{LATIN SMALL LETTER U WITH DIAERESIS}'\",{}\\\t%s", "NULL"],
            days,
            [None, Decimal("-99.999999"), Decimal("12345678.654321")],
            instants,
            strict=True,
        )
    ]
    send(database, Publication(ETF_OHLC, spark.createDataFrame(rows, ETF_OHLC.schema)))
    with database.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        columns = ", ".join(ETF_OHLC.schema.fieldNames())
        stored = connection.execute(f"SELECT {columns} FROM collected_daily_etf_ohlc ORDER BY trade_date").fetchall()
    assert stored == rows


def test_decimals_of_more_digits_are_rounded_once_and_then_unchanged(spark: SparkSession, database: Database) -> None:
    widened = bars(spark, {"XLK": "10"}).withColumn("close_price", F.lit(Decimal("10.1234565")))
    widened = widened.withColumn("price_change_percent", F.lit(Decimal("-99999999.9999994000")))
    assert send(database, Publication(ETF_OHLC, widened)) == RowCounts(inserted=1)
    assert send(database, Publication(ETF_OHLC, widened), key=run_key("run-00000002")) == RowCounts(unchanged=1)
    with database.connect() as connection:
        stored = connection.execute("SELECT close_price, price_change_percent FROM collected_daily_etf_ohlc").fetchall()
    assert stored == [(Decimal("10.123457"), Decimal("-99999999.999999"))]


def test_weights_keep_their_eight_decimals(spark: SparkSession, database: Database) -> None:
    weights = [Decimal("1.00000000"), Decimal("0.00000001"), Decimal("0.12345678")]
    periods = (None, None, False, None) * 3
    rows = [
        (
            DAY,
            f"T{place}",
            None,
            "Energy",
            1,
            "quoted",
            *periods,
            weight,
            "because",
            "run-00000001",
            False,
            DAY,
            DAY,
            False,
        )
        for place, weight in enumerate(weights)
    ]
    send(database, Publication(PORTFOLIO_ALLOCATION, spark.createDataFrame(rows, PORTFOLIO_ALLOCATION.schema)))
    with database.connect() as connection:
        statement = "SELECT portfolio_weight FROM analytics_portfolio_allocation ORDER BY ticker"
        assert [weight for (weight,) in connection.execute(statement)] == weights


def test_a_key_that_was_computed_twice_is_rejected(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    known, new = "more than one row was computed for the same ticker, trade_date", "duplicate key value violates"
    for ticker, reason in (("XLK", known), ("XLE", new)):
        twice = bars(spark, {ticker: "11"}).union(bars(spark, {ticker: "11.5"}))
        with pytest.raises(SparkAppError, match=reason):
            send(database, Publication(ETF_OHLC, twice), key=run_key("run-00000002"))
    assert closes(database) == {"XLK": Decimal(10)}


def test_runs_that_publish_the_same_new_rows_at_once_all_succeed(spark: SparkSession, database: Database) -> None:
    # As a stage and a backfill may; the locked table lets them start their merges at the same moment.
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    rows = bars(spark, {f"T{i:04}": "10" for i in range(2000)})
    keys = [run_key(f"run-0000001{i}", f"stage{i}") for i in range(3)]
    with ThreadPoolExecutor(len(keys)) as pool:
        with database.connect() as connection, connection.transaction():
            connection.execute("LOCK TABLE collected_daily_etf_ohlc IN SHARE ROW EXCLUSIVE MODE")
            runs = [pool.submit(send, database, Publication(ETF_OHLC, rows), key=key) for key in keys]
            wait_for_merges(database, len(keys))
        counts = [run.result() for run in runs]
    assert sum(counts, RowCounts()) == RowCounts(inserted=2000, unchanged=4000)


def wait_for_merges(database: Database, number: int) -> None:
    """Wait until so many sessions of the database wait for a lock."""
    deadline = time.monotonic() + 30
    with database.connect() as connection:
        while time.monotonic() < deadline:
            waiting = connection.execute(
                "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database()"
            ).fetchone()
            if waiting == (number,):
                return
            time.sleep(0.05)
    raise AssertionError(f"no {number} merges waited for the table")


@pytest.mark.parametrize("close", ["0", "-1"])
def test_a_row_that_breaks_a_rule_leaves_everything_unchanged(
    spark: SparkSession, database: Database, close: str
) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    poisoned = Publication(ETF_OHLC, bars(spark, {"XLK": "11", "XLE": close}, run_id="run-00000002"))
    with pytest.raises(SparkAppError, match="violates check constraint"):
        send(database, poisoned, key=run_key("run-00000002"))
    assert closes(database) == {"XLK": Decimal(10)}
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'loading'").fetchone() == (0,)


def test_a_high_below_the_low_is_rejected(spark: SparkSession, database: Database) -> None:
    with pytest.raises(SparkAppError, match="violates check constraint"):
        send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"}, low="13")))


def test_the_run_log_has_what_a_run_did(spark: SparkSession, database: Database) -> None:
    key = run_key()
    assert not is_done(database, key)
    start_run(database, key)
    rows = Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))
    publish(database, key, OK, origin="real", publications=[rows], errors=[ConsumerError("odd\x00", "raw")])
    with database.connect() as connection:
        logged = connection.execute(
            "SELECT status, exit_code, message, requests, rows_inserted, finished_at >= started_at"
            " FROM logs_pipeline_run"
        ).fetchall()
        errors = connection.execute("SELECT error_msg, raw_value, stage, run_id FROM logs_consumer_error").fetchall()
    assert logged == [("ok", 0, "fine", 3, 1, True)]
    assert errors == [("odd\N{REPLACEMENT CHARACTER}", "raw", "stage1", "run-00000001")]
    assert is_done(database, run_key("run-00000009"))
    assert not is_done(database, RunKey("x", "stage1", DAY, {"days": 3}))


def test_a_stage_that_ended_while_this_one_ran_came_after_it(database: Database) -> None:
    key, before = run_key("run-00000001", "stage3"), run_key("run-00000002", "stage1")
    for started in (key, before):
        start_run(database, started)
    publish(database, before, OK, origin="real")
    publish(database, key, OK, origin="real")
    assert is_done(database, key)
    assert not is_done(database, key, depends_on=["stage1"])


def test_rows_that_were_loaded_twice_are_loaded_again(
    spark: SparkSession, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Spark does where a task's commit had no answer."""
    load, once = loading.load, iter([True])

    def load_twice(*arguments: Any) -> None:
        load(*arguments)
        if next(once, False):
            load(*arguments)

    monkeypatch.setattr(loading, "load", load_twice)
    rows = Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))
    assert RetryPolicy(retry_seconds=30).call(lambda: send(database, rows)) == RowCounts(inserted=1)
    assert closes(database) == {"XLK": Decimal(10)}


def test_synthetic_and_real_data_never_share_a_database(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    with pytest.raises(UsageError, match="holds real data and the run would add synthetic"):
        check_origin(database, "synthetic")
    check_origin(database, "real")


def test_orphaned_loading_tables_are_swept(database: Database) -> None:
    with database.connect() as connection:
        for name, age in (("old", 2), ("young", 0)):
            connection.execute(f"CREATE TABLE loading.{name} (x integer)")
            born = dt.datetime.now(dt.UTC) - dt.timedelta(days=age)
            connection.execute(f"COMMENT ON TABLE loading.{name} IS '{born.isoformat()}'")
        sweep_orphans(database)
        left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'loading'").fetchall()
    assert left == [("young",)]


def test_a_value_too_large_for_its_column_is_rejected(spark: SparkSession, database: Database) -> None:
    too_large = F.when(F.col("ticker") == "XLK", F.lit(Decimal("1000000000000000.5"))).otherwise(F.col("close_price"))
    rows = bars(spark, {"XLE": "11", "XLK": "10"}).withColumn("close_price", too_large)
    with pytest.raises(SparkAppError) as caught:
        send(database, Publication(ETF_OHLC, rows))
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "loading rows for collected_daily_etf_ohlc into PostgreSQL failed:"
        " 1000000000000000.500000 cannot be represented as Decimal(18, 6)"
    )
    assert closes(database) == {}


def loading_tables(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The served tables that rows are sent for from now on."""
    sent: list[str] = []
    load = loading.load

    def noted(database: Database, rows: DataFrame, table: ServedTable, name: str) -> None:
        sent.append(table.name)
        load(database, rows, table, name)

    monkeypatch.setattr(loading, "load", noted)
    return sent


def test_a_rerun_that_computes_the_same_sends_no_rows(
    spark: SparkSession, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(number: int, close: str) -> RowCounts:
        rows = bars(spark, {"XLK": close, "SPY": "11"}, run_id=f"run-0000000{number}")
        tables = [Publication(ETF_OHLC, rows, only=("XLK",)), Publication(BENCHMARK_OHLC, rows, only=("SPY",))]
        return send(database, *tables, key=run_key(f"run-0000000{number}"))

    assert run(1, "10") == RowCounts(inserted=2)
    sent = loading_tables(database, monkeypatch)
    assert run(2, "10") == RowCounts(unchanged=2)
    assert sent == []
    assert run(3, "10.5") == RowCounts(updated=1, unchanged=1)
    assert closes(database) == {"XLK": Decimal("10.5")}
    assert run(4, "10.5") == RowCounts(unchanged=2)
    assert sent == ["collected_daily_etf_ohlc"]
    # What was served between: the same rows as at first, but no longer the last ones.
    assert run(5, "10") == RowCounts(updated=1, unchanged=1)
    assert closes(database) == {"XLK": Decimal(10)}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE collected_daily_etf_ohlc SET close_price = 11.5",
        "DELETE FROM collected_daily_etf_ohlc",
        "TRUNCATE collected_daily_etf_ohlc",
        "ALTER TABLE collected_daily_etf_ohlc DISABLE TRIGGER forget_publications;"
        "UPDATE collected_daily_etf_ohlc SET close_price = 11.5",
    ],
)
def test_rows_that_somebody_changed_are_served_again_by_the_next_run(
    spark: SparkSession, database: Database, change: str
) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    with database.connect() as connection:
        connection.execute(change.encode())
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})), key=run_key("run-00000002"))
    assert closes(database) == {"XLK": Decimal(10)}


def test_a_change_that_is_not_committed_yet_is_seen_by_the_next_run(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    again = Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))
    with ThreadPoolExecutor() as pool, database.connect() as connection:
        with connection.transaction():
            connection.execute(b"UPDATE collected_daily_etf_ohlc SET close_price = 11.5")
            key = run_key("run-00000002")
            later = pool.submit(database.retry_policy.call, lambda: send(database, again, key=key))
            wait_for_merges(database, 1)
        assert later.result(timeout=60) == RowCounts(updated=1)
    assert closes(database) == {"XLK": Decimal(10)}


def test_a_value_that_moves_to_a_column_without_one_is_a_change(spark: SparkSession, database: Database) -> None:
    def positions(*dates: dt.date | None) -> Publication:
        row = (DAY, "XOM", None, "Energy", 1, "quoted", *(None, None, False, None) * 3, Decimal(1), "because", "run")
        rows = spark.createDataFrame([(*row, False, *dates, False)], PORTFOLIO_ALLOCATION.schema)
        return Publication(PORTFOLIO_ALLOCATION, rows)

    send(database, positions(DAY, None))
    assert send(database, positions(None, DAY), key=run_key("run-00000002")) == RowCounts(updated=1)


def test_a_set_that_loses_its_rows_is_not_taken_for_the_one_before(spark: SparkSession, database: Database) -> None:
    owned = RowSet(("as_of_date",), ((DAY,),))
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["XOM"])))
    none = exclusions(spark, [])
    assert send(database, Publication(PORTFOLIO_EXCLUSION, none), key=run_key("run-00000002")) == RowCounts()
    third = send(database, Publication(PORTFOLIO_EXCLUSION, none, owned), key=run_key("run-00000003"))
    assert third == RowCounts(removed=1)
