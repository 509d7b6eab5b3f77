"""The throttle as a server sees it: two jobs of four worker processes each send as fast as it allows."""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

from benchmarks.report import Measurement
from spark_app.sources.http import LimitedSession
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.limiter import FetchLimits, limiter_of
from spark_app.storage.postgres.migrate import migrate
from tests.emulator import YahooEmulator

_WORKERS = 8
_REQUESTS = 40
_LOOPBACK_JITTER_SECONDS = 0.010
_LONGEST_RATIO = {1.0: 1.05, 0.2: 1.15}
"""Delay in seconds -> the longest time of all requests, as a ratio to requests x delay."""

_context = multiprocessing.get_context("spawn")


def measure() -> list[Measurement]:
    """Send 40 requests at each delay; times are those of the server's log."""
    folder = Path(tempfile.mkdtemp(prefix="spark_app-bench-"))
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "postgres").lease() as url:
        database = parse_url(url)
        migrate(database)
        return [m for delay in _LONGEST_RATIO for m in _judge(delay, _arrivals(database, delay))]


def _judge(delay: float, arrivals: list[float]) -> list[Measurement]:
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    what = f"throttle, {_WORKERS} workers of 2 jobs, delay {delay:g} s"
    too_short = 0.02 * delay + _LOOPBACK_JITTER_SECONDS
    return [
        Measurement(f"{what}: delay minus shortest gap", (delay - min(gaps)) * 1e3, "ms", too_short * 1e3),
        Measurement(f"{what}: median gap", median(gaps), "s"),
        Measurement(f"{what}: longest gap", max(gaps), "s"),
        Measurement(f"{what}: time / (requests x delay)", sum(gaps) / (len(gaps) * delay), "x", _LONGEST_RATIO[delay]),
    ]


def _arrivals(database: Database, delay: float) -> list[float]:
    """Send from all workers; returns the arrival time of each request, in seconds."""
    ours, theirs = _context.Pipe()
    server = _context.Process(target=_serve, args=(theirs,))
    server.start()
    url: str = ours.recv()
    barrier = _context.Barrier(_WORKERS)
    limits = FetchLimits(delay, daily_request_budget=10**6, rate_limit_pause_seconds=900)
    workers = [_context.Process(target=_send, args=(database, limits, url, barrier)) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ours.send("done")
    arrivals: list[float] = ours.recv()
    server.join()
    return arrivals


def _serve(pipe: Connection) -> None:
    with YahooEmulator() as emulator:
        pipe.send(emulator.url)
        pipe.recv()
        pipe.send([request.arrived for request in emulator.log])


def _send(database: Database, limits: FetchLimits, url: str, barrier: Barrier) -> None:
    with LimitedSession(limiter_of(database, "yahoo", limits, "run"), endpoint=url) as session:
        barrier.wait()
        for _ in range(_REQUESTS // _WORKERS):
            session.get("https://query2.finance.yahoo.com/v8/finance/chart/SPY")
