"""The throttle that all workers and jobs share: pause, block, daily budget, stop requests and lost connections."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from spark_app.errors import RateLimitedError, RunInterruptedError, ServiceUnavailableError, SparkAppError
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.limiter import FetchLimits, PostgresLimiter, limiter_of
from spark_app.storage.postgres.retry import RetryPolicy
from spark_app.storage.postgres.throttle import (
    ThrottleState,
    block_source,
    claim,
    clear_block,
    forget_stop,
    read_throttle,
    request_stop,
)
from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import make_market
from tests.storage.postgres.sender import send_together

pytestmark = pytest.mark.alone

NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def limits(delay_seconds: float = 0.0, budget: int = 1000, pause_seconds: float = 900) -> FetchLimits:
    return FetchLimits(delay_seconds, budget, pause_seconds)


def make_limiter(database: Database, **options: Any) -> PostgresLimiter:
    return PostgresLimiter(database, "yahoo", limits(**options))


@pytest.fixture(autouse=True)
def close_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker's process ends with its limiter; these would leave their connections open."""
    made, init = list[PostgresLimiter](), PostgresLimiter.__init__

    def remembered(self: PostgresLimiter, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(PostgresLimiter, "__init__", remembered)
    yield
    for limiter in made:
        limiter.close()


def seconds_to_acquire(limiter: PostgresLimiter) -> float:
    started = time.monotonic()
    limiter.acquire()
    return time.monotonic() - started


def query(database: Database, text: str, *parameters: object) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        cursor = connection.execute(text.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def workers_connections(database: Database) -> list[tuple[Any, ...]]:
    """Process and state of the connections to the test's database, without the one of this query."""
    text = "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return query(database, text)


def wait_until(condition: Callable[[], bool]) -> None:
    """A connection that was closed is listed for a moment longer."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def waiting(pool: ThreadPoolExecutor, database: Database) -> Future[None]:
    """Start a caller that waits a minute for its slot and has read the throttle already."""
    make_limiter(database).acquire()
    limiter = make_limiter(database, delay_seconds=60)
    future = pool.submit(limiter.acquire)
    while not workers_connections(database):
        time.sleep(0.01)
    time.sleep(0.1)
    assert not future.done()
    return future


def test_two_jobs_of_four_workers_keep_the_pause_together(database: Database) -> None:
    # The shortest delay that is promised at the source.
    delay = 1.0
    with YahooEmulator(make_market()) as emulator:
        url = f"{emulator.url}/v8/finance/chart/XLK"
        send_together(database, url, [(limits(delay), 4), (limits(delay), 4)], requests=1)
        arrivals = [request.arrived for request in emulator.log]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert len(arrivals) == 8
    assert min(gaps) >= 0.98 * delay - 0.010
    assert sum(gaps) <= 1.5 * delay * len(gaps)
    assert read_throttle(database, "yahoo").requests_today == 8


def test_turns_keep_a_delay_below_a_second_too(database: Database, pool: ThreadPoolExecutor) -> None:
    # Below a second it is not promised that requests reach the source that far apart; the turns to send are.
    spacing = limits(0.1).spacing

    def claimed(number: int) -> list[dt.datetime]:
        found: list[dt.datetime] = []
        with database.connect() as connection:
            while len(found) < number:
                turn = claim(connection, "yahoo", spacing=spacing, budget=1000, run_id="run")
                found += [turn.claimed_at] if turn.claimed_at else []
        return found

    moments = sorted(itertools.chain.from_iterable(pool.map(claimed, [3, 3, 3, 3])))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(gaps) == 11
    assert min(gaps) >= dt.timedelta(seconds=0.1)


def test_each_request_keeps_its_own_delay_after_the_last_of_any_job(database: Database) -> None:
    hasty, calm = make_limiter(database), make_limiter(database, delay_seconds=0.3)
    hasty.acquire()
    assert seconds_to_acquire(calm) >= 0.29
    assert seconds_to_acquire(hasty) < 0.29
    assert seconds_to_acquire(calm) >= 0.29


def test_requests_are_counted_without_a_pause_too(database: Database) -> None:
    limiter = make_limiter(database)
    for _ in range(20):
        limiter.acquire()
    assert read_throttle(database, "yahoo").requests_today == 20


def test_no_request_is_sent_after_a_rate_limit(database: Database) -> None:
    make_limiter(database, pause_seconds=900).report_rate_limit("query2 answered with 429")
    with pytest.raises(RateLimitedError, match=r"query2 answered with 429; resume after \d{4}-\S+Z$") as error:
        make_limiter(database).acquire()
    state = read_throttle(database, "yahoo")
    assert state.is_blocked
    assert error.value.resume_at == state.blocked_until
    assert dt.timedelta(seconds=890) < state.blocked_until - state.now <= dt.timedelta(seconds=900)
    assert state.requests_today == 0


@pytest.mark.parametrize(("retry_after", "blocked"), [(7200, 7200), (60, 900)])
def test_a_block_lasts_as_long_as_the_source_asks_for_or_longer(
    database: Database, retry_after: float, blocked: float
) -> None:
    make_limiter(database, pause_seconds=900).report_rate_limit("too many", retry_after_seconds=retry_after)
    state = read_throttle(database, "yahoo")
    assert dt.timedelta(seconds=blocked - 10) < state.blocked_until - state.now <= dt.timedelta(seconds=blocked)


def test_a_waiting_caller_sees_a_rate_limit(database: Database, pool: ThreadPoolExecutor) -> None:
    caller = waiting(pool, database)
    make_limiter(database).report_rate_limit("too many")
    with pytest.raises(RateLimitedError, match="too many"):
        caller.result(timeout=5)
    assert read_throttle(database, "yahoo").requests_today == 1


def test_a_block_ends_by_itself(database: Database) -> None:
    limiter = make_limiter(database, pause_seconds=0.2)
    limiter.report_rate_limit("too many")
    with pytest.raises(RateLimitedError):
        limiter.acquire()
    time.sleep(0.25)
    limiter.acquire()


def test_a_block_is_never_shortened(database: Database) -> None:
    block_source(database, "yahoo", pause_seconds=600, reason="the long one")
    long = read_throttle(database, "yahoo")
    block_source(database, "yahoo", pause_seconds=5, reason="the short one")
    kept = read_throttle(database, "yahoo")
    assert (kept.blocked_until, kept.blocked_reason) == (long.blocked_until, "the long one")
    block_source(database, "yahoo", pause_seconds=900, reason="a longer one")
    assert read_throttle(database, "yahoo").blocked_reason == "a longer one"


def test_any_text_can_be_a_reason(database: Database) -> None:
    make_limiter(database).report_rate_limit("nul \x00 and half a character \ud800" + "x" * 1000)
    assert str(read_throttle(database, "yahoo").blocked_reason).startswith("nul \N{REPLACEMENT CHARACTER} and half")


def test_a_block_can_be_cleared(database: Database) -> None:
    limiter = make_limiter(database)
    limiter.report_rate_limit("too many")
    clear_block(database, "yahoo")
    limiter.acquire()
    state = read_throttle(database, "yahoo")
    assert (state.is_blocked, state.blocked_reason, state.requests_today) == (False, None, 1)


def test_the_budget_ends_with_the_day(database: Database) -> None:
    limiter = make_limiter(database, budget=2)
    limiter.acquire()
    limiter.acquire()
    with pytest.raises(RateLimitedError, match="the budget of 2 requests a day is spent") as error:
        limiter.acquire()
    assert error.value.resume_at == read_throttle(database, "yahoo").next_day_at
    query(database, "UPDATE logs_fetch_throttle SET counted_date = counted_date - 1")
    limiter.acquire()
    assert read_throttle(database, "yahoo").requests_today == 1


def test_a_budget_is_of_all_jobs_together(database: Database) -> None:
    for _ in range(3):
        make_limiter(database, budget=3).acquire()
    with pytest.raises(RateLimitedError):
        make_limiter(database, budget=3).acquire()
    make_limiter(database, budget=4).acquire()


def test_a_day_begins_at_midnight_in_utc() -> None:
    evening_in_new_york = dt.datetime(2026, 3, 2, 19, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    state = ThrottleState(evening_in_new_york, NEVER, NEVER, None, dt.date(2026, 3, 3), 7)
    assert state.requests_today == 7
    assert state.next_day_at == dt.datetime(2026, 3, 4, tzinfo=dt.UTC)
    day_before = ThrottleState(evening_in_new_york, NEVER, NEVER, None, dt.date(2026, 3, 2), 7)
    assert (day_before.requests_today, day_before.error_if_blocked(7)) == (0, None)


@pytest.mark.parametrize(("blocked_hours", "resume_day", "reason"), [(1, 3, "budget of 7"), (48, 4, "too many")])
def test_the_later_of_block_and_budget_counts(blocked_hours: int, resume_day: int, reason: str) -> None:
    now = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
    state = ThrottleState(now, NEVER, now + dt.timedelta(hours=blocked_hours), "too many", now.date(), 7)
    error = state.error_if_blocked(7)
    assert error is not None and error.resume_at is not None
    assert reason in str(error)
    assert error.resume_at.day == resume_day


def test_a_rate_limit_error_keeps_its_resume_time_when_pickled() -> None:
    error = pickle.loads(pickle.dumps(RateLimitedError("later", resume_at=NEVER)))
    assert (str(error), error.resume_at) == ("later", NEVER)


def test_a_clock_that_was_set_back_stops_no_request(database: Database) -> None:
    query(database, "UPDATE logs_fetch_throttle SET last_sent_at = now() + interval '20 seconds'")
    assert seconds_to_acquire(make_limiter(database, delay_seconds=1)) < 10


def test_no_transaction_is_open_while_a_caller_waits(database: Database, pool: ThreadPoolExecutor) -> None:
    caller = waiting(pool, database)
    states = {state for _, state in workers_connections(database)}
    block_source(database, "yahoo", pause_seconds=900, reason="the test is over")
    assert isinstance(caller.exception(timeout=5), RateLimitedError)
    assert states == {"idle"}


def test_a_process_has_one_connection_opened_at_first_use(database: Database) -> None:
    limiter_of(database, "yahoo", limits(), "run")
    assert workers_connections(database) == []
    for _ in range(3):
        limiter_of(database, "yahoo", limits(), "run").acquire()
    wait_until(lambda: len(workers_connections(database)) == 1)


def test_a_lost_connection_is_reopened_and_a_pause_starts(database: Database) -> None:
    limiter = make_limiter(database, delay_seconds=0.5)
    limiter.acquire()
    time.sleep(0.6)
    query(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    # The server may have crashed and lost what it knew of the last request.
    assert 0.49 <= seconds_to_acquire(limiter) < 5


def test_an_unreachable_database_is_one_sentence_without_the_password() -> None:
    away = make_limiter(replace(parse_url("postgresql://me:s3cret@127.0.0.1:1/db"), retry_policy=RetryPolicy(0.3)))
    actions = (away.acquire, functools.partial(away.report_rate_limit, "too many"))
    for action in actions:
        with pytest.raises(ServiceUnavailableError, match="cannot reach PostgreSQL at 127.0.0.1:1/db") as failure:
            action()
        assert "s3cret" not in str(failure.value)


def test_a_missing_table_is_named(database: Database) -> None:
    query(database, "ALTER TABLE logs_fetch_throttle RENAME TO gone")
    with pytest.raises(SparkAppError, match='relation "logs_fetch_throttle" does not exist'):
        make_limiter(database).acquire()


def test_an_unknown_source_is_named(database: Database) -> None:
    with pytest.raises(SparkAppError, match="no row for the source bloomberg"):
        PostgresLimiter(database, "bloomberg", limits()).acquire()


def test_what_is_pickled_for_the_workers_shows_no_password() -> None:
    database = parse_url("postgresql://me:s3cret@127.0.0.1/db")
    make = functools.partial(limiter_of, database, "yahoo", limits(), "run")
    arrived = pickle.loads(pickle.dumps(make))
    for shown in (make, arrived, arrived(), vars(arrived())):
        assert "s3cret" not in repr(shown)


def test_the_workers_of_a_stopped_run_send_no_more_requests(database: Database) -> None:
    request_stop(database, "stopped")
    with pytest.raises(RunInterruptedError):
        limiter_of(database, "yahoo", limits(), "stopped").acquire()
    limiter_of(database, "yahoo", limits(), "another").acquire()
    forget_stop(database, "stopped")
    limiter_of(database, "yahoo", limits(), "stopped").acquire()
    assert read_throttle(database, "yahoo").requests_today == 2
