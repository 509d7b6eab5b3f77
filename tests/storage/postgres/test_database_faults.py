"""PostgreSQL stopped, slow, full or out of connections: what may succeed later is retried, within bounds."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_app.errors import (
    AlreadyRunningError,
    PassingFailureError,
    RunInterruptedError,
    ServiceUnavailableError,
)
from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.limiter import FetchLimits, PostgresLimiter
from spark_app.storage.postgres.locks import stage_lock, staging_table_lock, tables_exclusive_lock
from spark_app.storage.postgres.publishing import loading
from spark_app.storage.postgres.publishing import publish as publish_module
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.retry import RetryPolicy
from spark_app.storage.postgres.run_log import ConsumerError, RowCounts, start_run
from spark_app.storage.postgres.throttle import read_throttle
from tests.storage.postgres.breakable_server import BreakableServer, breakable_server
from tests.storage.postgres.copies import copy_home, new_database
from tests.storage.postgres.faulty_proxy import FaultyProxy, behind_proxy
from tests.storage.postgres.publishing.test_publish import OK, bars, closes, run_key

BEFORE, AFTER = {"XLK": Decimal(10)}, {"XLK": Decimal("10.5"), "XLE": Decimal(11)}
FAULT = """
CREATE SEQUENCE loading.faults;
CREATE FUNCTION loading.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('loading.faults') <= {times} THEN {fault}; END IF;
    RETURN NULL;
END $$;
"""
END_OF_CONNECTION = "PERFORM pg_terminate_backend(pg_backend_pid())"


@pytest.fixture(scope="module")
def server(open_folder: Path, initialised_postgres: Path) -> Iterator[BreakableServer]:
    with breakable_server(copy_home(initialised_postgres, open_folder / "breakable")) as own:
        yield own


@pytest.fixture
def retrying(server: BreakableServer) -> Iterator[Database]:
    """A database of the test's own on that server, with the pipeline's tables and retries for half a minute."""
    server.start()
    with new_database(server.database, template=server.database.parameters["dbname"]) as made:
        yield replace(made, retry_policy=RetryPolicy(retry_seconds=30))
        server.start()


@pytest.fixture
def proxied(retrying: Database) -> Iterator[tuple[FaultyProxy, Database]]:
    with behind_proxy(retrying) as (proxy, database):
        yield proxy, database


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def with_retries(database: Database, seconds: float = 0.0) -> Database:
    return replace(database, retry_policy=RetryPolicy(retry_seconds=seconds))


def send(database: Database, spark: SparkSession, prices: dict[str, Decimal], run_id: str) -> RowCounts:
    """Publish closes and a line of `logs_consumer_error` as a stage does."""
    key = run_key(run_id)
    rows = Publication(ETF_OHLC, bars(spark, {ticker: str(close) for ticker, close in prices.items()}))
    start_run(database, key)
    return database.retry_policy.call(
        lambda: publish(database, key, OK, origin="real", publications=[rows], errors=[ConsumerError("rejected")])
    )


def served(database: Database) -> tuple[dict[str, Decimal], int]:
    """The closes, and the number of rows in `logs_consumer_error`."""
    with with_retries(database, 30).connect_with_retries() as connection:
        (errors,) = connection.execute("SELECT count(*) FROM logs_consumer_error").fetchone() or (0,)
    return closes(database), errors


@contextlib.contextmanager
def locked_prices(database: Database) -> Iterator[psycopg.Connection]:
    """Lock the table of prices, so that a merge waits for it."""
    connection = database.connect()
    connection.execute("BEGIN; LOCK TABLE collected_daily_etf_ohlc IN SHARE ROW EXCLUSIVE MODE")
    yield connection
    with contextlib.suppress(psycopg.Error):
        connection.execute("ROLLBACK")
    connection.close()


def wait_for(database: Database, condition: str) -> int:
    """Wait for a connection that fulfils a condition on pg_stat_activity; returns its process id."""
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    deadline = time.monotonic() + 60
    with database.connect() as connection:
        while time.monotonic() < deadline:
            if found := connection.execute(query.encode()).fetchone():
                return int(found[0])
            time.sleep(0.02)
    raise AssertionError(f"never {condition}")


def wait_for_merge(database: Database) -> int:
    return wait_for(database, "wait_event_type = 'Lock' AND query LIKE '%collected_daily_etf_ohlc%'")


def execute(database: Database, text: str, *parameters: object) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        cursor = connection.execute(text.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def merging(
    pool: ThreadPoolExecutor, database: Database, spark: SparkSession, prices: dict[str, Decimal], run_id: str
) -> Future[RowCounts]:
    """A run whose merge waits for the table."""
    run = pool.submit(send, database, spark, prices, run_id)
    wait_for_merge(database)
    return run


def test_a_merge_is_retried_after_a_crash_of_the_server(
    spark: SparkSession, server: BreakableServer, retrying: Database, pool: ThreadPoolExecutor
) -> None:
    send(retrying, spark, BEFORE, "run-00000001")
    with locked_prices(retrying):
        run = merging(pool, retrying, spark, AFTER, "run-00000002")
        server.restart()
        assert run.result(timeout=60) == RowCounts(inserted=1, updated=1)
    assert served(retrying) == (AFTER, 2)


def test_a_crash_during_a_merge_leaves_the_tables_unchanged_and_the_next_run_completes(
    spark: SparkSession, server: BreakableServer, retrying: Database, pool: ThreadPoolExecutor
) -> None:
    send(retrying, spark, BEFORE, "run-00000001")
    with locked_prices(retrying):
        run = merging(pool, with_retries(retrying), spark, AFTER, "run-00000002")
        server.stop()
        with pytest.raises(ServiceUnavailableError):
            run.result(timeout=60)
    server.start()
    assert served(retrying) == (BEFORE, 1)
    assert send(retrying, spark, AFTER, "run-00000003") == RowCounts(inserted=1, updated=1)
    assert served(retrying) == (AFTER, 2)


def test_a_merge_whose_connection_is_ended_is_retried(
    spark: SparkSession, retrying: Database, pool: ThreadPoolExecutor
) -> None:
    with locked_prices(retrying):
        run = merging(pool, retrying, spark, AFTER, "run-00000001")
        execute(retrying, "SELECT pg_terminate_backend(%s)", wait_for_merge(retrying))
    assert run.result(timeout=60) == RowCounts(inserted=2)
    assert served(retrying) == (AFTER, 1)


@pytest.fixture
def fail_loading(retrying: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the first `times` inserts into a loading table fail."""
    create_table = loading.create_table

    def create_failing(connection: psycopg.Connection, table: Any, name: str) -> None:
        create_table(connection, table, name)
        trigger = f'CREATE TRIGGER fault BEFORE INSERT ON loading."{name}" EXECUTE FUNCTION loading.fail_once()'
        connection.execute(trigger.encode())

    def fail(fault: str, times: int = 1) -> None:
        execute(retrying, FAULT.format(fault=fault, times=times))
        monkeypatch.setattr(loading, "create_table", create_failing)

    return fail


@pytest.mark.parametrize("fault", [END_OF_CONNECTION, "RAISE too_many_connections", "RAISE deadlock_detected"])
def test_a_load_that_fails_for_a_passing_reason_is_retried(
    spark: SparkSession, retrying: Database, fail_loading: Callable[..., None], fault: str
) -> None:
    fail_loading(fault)
    assert send(retrying, spark, AFTER, "run-00000001") == RowCounts(inserted=2)
    assert served(retrying) == (AFTER, 1)


def test_a_full_disk_during_a_load_is_reported_at_once(
    spark: SparkSession, retrying: Database, fail_loading: Callable[..., None]
) -> None:
    fail_loading("RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'", times=1000)
    told = "No space left on device: free space on the disk of the server$"
    with pytest.raises(ServiceUnavailableError, match=told) as failure:
        send(retrying, spark, AFTER, "run-00000001")
    assert not isinstance(failure.value, PassingFailureError)
    assert served(retrying) == ({}, 0)


def test_a_full_disk_during_a_merge_leaves_the_tables_unchanged(spark: SparkSession, retrying: Database) -> None:
    execute(retrying, FAULT.format(fault="RAISE disk_full USING MESSAGE = 'No space left on device'", times=1))
    execute(
        retrying,
        "CREATE TRIGGER fault AFTER INSERT ON collected_daily_etf_ohlc EXECUTE FUNCTION loading.fail_once()",
    )
    with pytest.raises(ServiceUnavailableError, match="failed while publishing: No space left on device"):
        send(retrying, spark, AFTER, "run-00000001")
    assert served(retrying) == ({}, 0)
    assert send(retrying, spark, AFTER, "run-00000002") == RowCounts(inserted=2)


def test_a_lock_timeout_is_reported_and_nothing_changes(
    spark: SparkSession, retrying: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_module, "_LOCK_SECONDS", 0.1)
    with locked_prices(retrying), pytest.raises(ServiceUnavailableError, match="lock timeout"):
        send(with_retries(retrying, 0.3), spark, AFTER, "run-00000001")
    assert served(retrying) == ({}, 0)
    assert send(retrying, spark, AFTER, "run-00000002") == RowCounts(inserted=2)


def test_a_lock_timeout_is_retried(
    spark: SparkSession, retrying: Database, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_module, "_LOCK_SECONDS", 0.3)
    with locked_prices(retrying):
        run = merging(pool, retrying, spark, AFTER, "run-00000001")
        process = wait_for_merge(retrying)
        wait_for(retrying, f"query LIKE '%collected_daily_etf_ohlc%' AND pid NOT IN ({process}, pg_backend_pid())")
    assert run.result(timeout=60) == RowCounts(inserted=2)


def test_a_server_without_a_free_connection_is_retried(
    retrying: Database, server: BreakableServer, pool: ThreadPoolExecutor
) -> None:
    with contextlib.ExitStack() as others:
        with contextlib.suppress(PassingFailureError):
            while True:
                others.enter_context(with_retries(retrying).connect())
        with pytest.raises(PassingFailureError, match="too many clients already"):
            read_throttle(with_retries(retrying), "yahoo")
        waiting = pool.submit(read_throttle, retrying, "yahoo")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
    assert waiting.result(timeout=60).requests == 0


@pytest.mark.parametrize("wrong", [{"dbname": "nowhere"}, {"host": "no-such-host.invalid"}])
def test_a_lasting_rejection_is_reported_at_once(retrying: Database, wrong: dict[str, str]) -> None:
    database = replace(
        retrying, parameters={**retrying.parameters, **wrong}, retry_policy=RetryPolicy(retry_seconds=3600)
    )
    with pytest.raises(ServiceUnavailableError, match="^cannot reach PostgreSQL at") as failure:
        read_throttle(database, "yahoo")
    assert str(retrying.password) not in str(failure.value)


def test_a_request_to_stop_ends_the_retries(retrying: Database, pool: ThreadPoolExecutor) -> None:
    away = replace(
        retrying, parameters={**retrying.parameters, "port": "1"}, retry_policy=RetryPolicy(retry_seconds=3600)
    )
    waiting = pool.submit(read_throttle, away, "yahoo")
    with pytest.raises(TimeoutError):
        waiting.result(timeout=0.3)
    away.retry_policy.stopping.set()
    with pytest.raises(RunInterruptedError):
        waiting.result(timeout=10)


def test_locks_are_taken_again_after_a_restart_of_the_server(retrying: Database, server: BreakableServer) -> None:
    with stage_lock(retrying, run_key()) as lock:
        server.restart()
        lock.confirm()
        with pytest.raises(AlreadyRunningError), stage_lock(retrying, run_key("run-00000002")):
            pass
        with pytest.raises(AlreadyRunningError), tables_exclusive_lock(retrying):
            pass
    with stage_lock(retrying, run_key("run-00000003")):
        pass


def test_staging_waits_for_a_server_that_comes_back_and_for_another_run_longer_than_for_an_answer(
    retrying: Database, server: BreakableServer, pool: ThreadPoolExecutor
) -> None:
    database = replace(retrying, retry_policy=RetryPolicy(retry_seconds=60, answer_seconds=0.5))

    def stage() -> None:
        with staging_table_lock(database, "bars"):
            pass

    server.stop()
    waiting = pool.submit(stage)
    with pytest.raises(TimeoutError):
        waiting.result(timeout=0.3)
    server.start()
    waiting.result(timeout=60)
    with staging_table_lock(retrying, "bars"):
        waiting = pool.submit(stage)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=2)
    waiting.result(timeout=60)


def test_a_run_that_lost_its_locks_to_another_run_does_not_publish(spark: SparkSession, retrying: Database) -> None:
    key = run_key()
    with stage_lock(retrying, key) as lock:
        start_run(retrying, key)
        locks = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        execute(retrying, locks)
        rows = Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))
        with stage_lock(retrying, run_key("run-00000002")), pytest.raises(AlreadyRunningError):
            publish(retrying, key, OK, origin="real", publications=[rows], confirm=lock.confirm)
    assert served(retrying) == ({}, 0)


def test_locks_of_a_connection_lost_by_the_network_are_not_taken_for_those_of_another_run(
    proxied: tuple[FaultyProxy, Database], retrying: Database
) -> None:
    proxy, database = proxied
    with behind_proxy(retrying) as (other_proxy, _), stage_lock(database, run_key()) as lock:
        # The connection to the server stays; only its answers are lost.
        proxy.is_silent = True
        lock._connection.answer_seconds = 0.3  # type: ignore[union-attr]
        lock._database = replace(database, parameters={**database.parameters, "port": str(other_proxy.port)})
        lock.confirm()
        with pytest.raises(AlreadyRunningError), stage_lock(retrying, run_key("run-00000002")):
            pass


def test_a_slow_network_only_takes_longer(spark: SparkSession, proxied: tuple[FaultyProxy, Database]) -> None:
    proxy, database = proxied
    proxy.delay_seconds = 0.02
    assert send(database, spark, AFTER, "run-00000001") == RowCounts(inserted=2)


@pytest.mark.parametrize("fault", ["silent", "reset"])
def test_a_network_that_fails_and_heals(
    spark: SparkSession, proxied: tuple[FaultyProxy, Database], pool: ThreadPoolExecutor, fault: str
) -> None:
    proxy, database = proxied
    database = replace(database, retry_policy=RetryPolicy(retry_seconds=60, answer_seconds=1))
    if fault == "silent":
        proxy.is_silent = True
    else:
        proxy.reset_after = 700
    run = pool.submit(send, database, spark, AFTER, "run-00000001")
    with pytest.raises(TimeoutError):
        run.result(timeout=2)
    proxy.heal()
    assert run.result(timeout=60) == RowCounts(inserted=2)
    assert served(database) == (AFTER, 1)


def test_a_statement_without_an_answer_times_out(proxied: tuple[FaultyProxy, Database]) -> None:
    proxy, database = proxied
    with replace(database, retry_policy=RetryPolicy(0, answer_seconds=0.5)).connect() as connection:
        proxy.is_silent = True
        with pytest.raises(psycopg.OperationalError, match=r"no answer for 0\.5 s"):
            connection.execute("SELECT 1")


def test_a_committed_merge_whose_answer_was_lost_is_not_repeated(
    spark: SparkSession, proxied: tuple[FaultyProxy, Database]
) -> None:
    proxy, database = proxied
    key, losses = run_key(), iter([b"COMMIT"])
    rows = Publication(ETF_OHLC, bars(spark, {ticker: str(close) for ticker, close in AFTER.items()}))

    def lose_next_commit() -> None:
        proxy.lose_answer_to = next(losses, None)

    start_run(database, key)
    counts = database.retry_policy.call(
        lambda: publish(
            *(database, key, OK),
            origin="real",
            publications=[rows],
            errors=[ConsumerError("rejected")],
            confirm=lose_next_commit,
        )
    )
    assert next(losses, None) is proxy.lose_answer_to is None
    assert counts == RowCounts(inserted=2)
    assert served(database) == (AFTER, 1)


def test_a_claim_whose_answer_was_lost_counts_as_used(proxied: tuple[FaultyProxy, Database]) -> None:
    proxy, database = proxied
    with contextlib.closing(PostgresLimiter(database, "yahoo", FetchLimits(0.5, 1000, 900))) as limiter:
        limiter.acquire()
        proxy.lose_answer_to = b"WITH claimed"
        time.sleep(0.6)
        limiter.acquire()
        claimed = time.monotonic()
        state = read_throttle(database, "yahoo")
        assert proxy.lose_answer_to is None
        assert state.requests_today == 3
        limiter.acquire()
        assert time.monotonic() - claimed >= 0.45


def test_the_pause_is_kept_over_a_restart_of_the_server(retrying: Database, server: BreakableServer) -> None:
    with contextlib.closing(PostgresLimiter(retrying, "yahoo", FetchLimits(0.5, 1000, 900))) as limiter:
        limiter.acquire()
        server.restart()
        back = read_throttle(retrying, "yahoo").now
        limiter.acquire()
        # The server may have forgotten the last request: a pause begins with the new connection.
        assert read_throttle(retrying, "yahoo").last_sent_at - back >= dt.timedelta(seconds=0.45)


def test_a_failure_names_no_password(spark: SparkSession, server: BreakableServer, retrying: Database) -> None:
    server.stop()
    with pytest.raises(ServiceUnavailableError) as failure:
        publish(retrying, run_key(), OK, origin="real", publications=[Publication(ETF_OHLC, bars(spark, {"X": "1"}))])
    assert str(retrying.password) not in str(failure.value)
    assert str(failure.value).startswith("cannot reach PostgreSQL at 127.0.0.1:")
