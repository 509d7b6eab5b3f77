"""Stage 4 against the emulator: the pauses between requests, and the time and memory for 503 stocks."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import multiprocessing
import os
import string
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.report import Measurement
from spark_app import market_calendar
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.universe import FUNDS, STAGGERED_FUNDS
from tests.emulator import Bar, Holding, Market, Quote, Snapshot, YahooEmulator

_ROOT = Path(__file__).resolve().parents[1]
_LAUNCHER = _ROOT / "spark_jobs_launcher.sh"
_LOOPBACK_JITTER_SECONDS = 0.010
_LONGEST_RATIO = {1.0: 1.05, 0.2: 1.15}
"""Delay in seconds -> the longest time from the first to the last request, as a ratio to requests x delay."""

_PACED_STOCKS, _PACED_SESSIONS = 100, 21
_ALL_STOCKS, _ALL_SESSIONS = 503, 504
_MOST_GROWTH = 1.25
"""The largest ratio of a process's memory at the last response to that at a third of them."""

_context = multiprocessing.get_context("spawn")


def measure() -> list[Measurement]:
    """Fetch 100 stocks at each delay, in waves of 25; then 503 stocks over 504 sessions without a pause."""
    paced = [m for delay in _LONGEST_RATIO for m in _paced(delay)]
    return [*paced, *_everything()]


@dataclass
class _Memory:
    """Samples of (monotonic seconds, resident MB of a job's JVM, resident MB of its largest Python worker)."""

    samples: list[tuple[float, float, float]] = field(default_factory=list)

    def at(self, moment: float) -> tuple[float, float]:
        """Return the sample nearest to a time: JVM, worker."""
        _, jvm, worker = min(self.samples, key=lambda sample: abs(sample[0] - moment))
        return jvm, worker


@dataclass(frozen=True)
class _World:
    """An installation in which stages 1 and 2 are done."""

    home: Path
    environment: dict[str, str]
    database: Database
    emulator: Connection

    def run(self, job: str, *arguments: str) -> tuple[float, _Memory]:
        """Run a job; returns its seconds and memory."""
        started, memory, ended = time.monotonic(), _Memory(), threading.Event()
        process = subprocess.Popen(
            [_LAUNCHER, job, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        watcher = threading.Thread(target=_watch, args=(process.pid, memory, ended))
        watcher.start()
        output, _ = process.communicate()
        ended.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{job} failed with exit code {process.returncode}: {output[-2000:]}")
        return time.monotonic() - started, memory

    def arrivals(self) -> list[tuple[str, float]]:
        """Return kind and time of each request since the last call."""
        self.emulator.send("log")
        log: list[tuple[str, float]] = self.emulator.recv()
        return log

    def rows(self) -> int:
        with self.database.connect() as connection:
            (count,) = connection.execute("SELECT count(*) FROM collected_daily_stock_history").fetchall()[0]
        return int(count)


def _paced(delay: float) -> list[Measurement]:
    with _world(_PACED_STOCKS, _PACED_SESSIONS + 1) as world:
        world.run("stage4_stock_history", "--universe", "all", "--delay", str(delay))
        moments = [moment for _, moment in world.arrivals()]
        rows = world.rows()
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    what = f"stage 4, {_PACED_STOCKS} stocks, delay {delay:g} s"
    too_short = 0.02 * delay + _LOOPBACK_JITTER_SECONDS
    missing = _PACED_STOCKS * _PACED_SESSIONS - rows
    return [
        Measurement(f"{what}: rows missing", missing, "", 0),
        Measurement(f"{what}: requests", len(moments), ""),
        Measurement(f"{what}: delay minus shortest gap", (delay - min(gaps)) * 1e3, "ms", too_short * 1e3),
        Measurement(f"{what}: longest gap", max(gaps), "s"),
        Measurement(
            f"{what}: time / (requests x delay)", sum(gaps) / (len(moments) * delay), "x", _LONGEST_RATIO[delay]
        ),
    ]


def _everything() -> list[Measurement]:
    with _world(_ALL_STOCKS, _ALL_SESSIONS + 1) as world:
        options = ("--universe", "all", "--days", str(_ALL_SESSIONS), "--delay", "0")
        seconds, memory = world.run("stage4_stock_history", *options)
        charts = [moment for kind, moment in world.arrivals() if kind == "chart"]
        missing = _ALL_STOCKS * _ALL_SESSIONS - world.rows()
        again, _ = world.run("stage4_stock_history", *options, "--force")
        repeated = len(world.arrivals())
    (jvm, worker), (jvm_last, worker_last) = memory.at(charts[len(charts) // 3]), memory.at(charts[-1])
    what = f"stage 4, {_ALL_STOCKS} stocks x {_ALL_SESSIONS} sessions"
    return [
        Measurement(f"{what}: rows missing", missing, "", 0),
        Measurement(f"{what}: whole run", seconds, "s"),
        Measurement(f"{what}: from first to last chart", charts[-1] - charts[0], "s"),
        Measurement(f"{what}: JVM, most memory", max(sample[1] for sample in memory.samples), "MB"),
        Measurement(f"{what}: JVM, last chart / a third of them", jvm_last / jvm, "x"),
        Measurement(f"{what}: worker, most memory", max(sample[2] for sample in memory.samples), "MB"),
        Measurement(f"{what}: worker, last chart / a third of them", worker_last / worker, "x", _MOST_GROWTH),
        Measurement(f"{what}: again, all from staging", again, "s"),
        Measurement(f"{what}: again, requests", repeated, "", 0),
    ]


@contextlib.contextmanager
def _world(stocks: int, sessions: int) -> Iterator[_World]:
    """Make an installation in which stages 1 and 2 are done, and an emulator in its own process."""
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        ours, theirs = _context.Pipe()
        server = _context.Process(target=_serve, args=(theirs, stocks, sessions))
        server.start()
        url: str = ours.recv()
        environment = {
            **os.environ,
            "SPARK_APP_HOME": str(home),
            "SPARK_APP_SOURCE__ENDPOINT": url,
            "SPARK_APP_SOURCE__HOLDINGS_PROVIDER": "issuer",
            "SPARK_APP_SOURCE__HOLDINGS_URL": f"{url}/holdings-daily-us-en-{{ticker}}.xlsx",
        }
        try:
            with EmbeddedPostgres(home / "postgres").lease() as database:
                world = _World(home, environment, parse_url(database), ours)
                world.run("stage1_etf_ohlc", "--delay", "0")
                world.run("stage2_etf_holdings", "--delay", "0")
                world.arrivals()
                yield world
        finally:
            ours.send("end")
            server.join()


def _serve(pipe: Connection, stocks: int, sessions: int) -> None:
    with YahooEmulator(_market(stocks, sessions)) as emulator:
        pipe.send(emulator.url)
        while pipe.recv() == "log":
            pipe.send([(request.kind, request.arrived) for request in emulator.log])
            emulator.log.clear()


def _market(stocks: int, sessions: int) -> Market:
    """Make stocks whose prices rise a little each day, assigned to the sector funds in turn."""
    now = dt.datetime.now(dt.UTC)
    days = market_calendar.sessions_ending(market_calendar.last_completed_session(now), sessions)
    letters = itertools.product(string.ascii_uppercase, repeat=3)
    names = ["Q" + "".join(three) for three in itertools.islice(letters, stocks)]
    bars = {ticker: list(_bars(days, first)) for first, ticker in enumerate((*FUNDS, "QQQ", *names), start=20)}
    holdings = {
        fund: Snapshot(days[-1], tuple(Holding(name, name, 1.0) for name in names[place :: len(STAGGERED_FUNDS)]))
        for place, fund in enumerate(STAGGERED_FUNDS)
    }
    holdings["SPY"] = Snapshot(days[-1], tuple(Holding(name, name, 0.1) for name in names))
    quotes = {name: Quote(10**10, 100.0, now, f"{name} Incorporated") for name in names}
    return Market(bars, holdings=holdings, quotes=quotes)


def _bars(days: list[dt.date], first: int) -> Iterator[Bar]:
    for number, day in enumerate(days):
        close = first + number / 8
        yield Bar(day, close, close + 1, close - 1, close, close, 1_000_000 + number)


def _watch(session: int, memory: _Memory, ended: threading.Event) -> None:
    while not ended.wait(0.25):
        megabytes = {"java": 0.0, "python": 0.0}
        for program, size in _session_members(session):
            megabytes[program] = max(megabytes.get(program, 0.0), size)
        memory.samples.append((time.monotonic(), megabytes["java"], megabytes["python"]))


def _session_members(session: int) -> Iterator[tuple[str, float]]:
    """Yield the JVM and the Python workers of a session with their resident megabytes."""
    listed = subprocess.run(["ps", "-eo", "sid,rss,args"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines()[1:]:
        sid, kilobytes, command = line.split(maxsplit=2)
        if int(sid) == session and ("pyspark.daemon" in command or "/java " in command):
            yield "python" if "pyspark.daemon" in command else "java", int(kilobytes) / 1024
