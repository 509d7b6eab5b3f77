"""A process that sends requests as a worker does; it imports little, so that many of them start fast."""

from __future__ import annotations

import multiprocessing
import urllib.request
from multiprocessing.synchronize import Barrier

from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.limiter import FetchLimits, limiter_of


def send_together(database: Database, url: str, jobs: list[tuple[FetchLimits, int]], *, requests: int) -> None:
    """Let some processes of each job, which begin at the same time, send `requests` each to `url`."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(sum(processes for _, processes in jobs))
    senders = [
        context.Process(target=_send, args=(database, url, limits, requests, barrier))
        for limits, processes in jobs
        for _ in range(processes)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [sender.exitcode for sender in senders] == [0] * len(senders)


def _send(database: Database, url: str, limits: FetchLimits, requests: int, barrier: Barrier) -> None:
    limiter = limiter_of(database, "yahoo", limits, "run")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    barrier.wait()
    for _ in range(requests):
        limiter.acquire()
        opener.open(url).read()
