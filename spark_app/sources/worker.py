"""The function that Spark runs in its Python workers: rows of requests in, rows of `fetches` out."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from spark_app import market_calendar
from spark_app.config.secrets import without_secrets
from spark_app.errors import RunInterruptedError, SparkAppError
from spark_app.schemas import FETCHES
from spark_app.sources.build import build_source
from spark_app.sources.contract import Answer, FetchRequest, Kind, Limiter, Outcome, Source, SourceConfig, utc_now


def answer_requests(
    batches: Iterator[pd.DataFrame],
    *,
    config: SourceConfig,
    make_limiter: Callable[[], Limiter],
    run_id: str,
    clock: Callable[[], dt.datetime] = utc_now,
) -> Iterator[pd.DataFrame]:
    """Fetch each request of `batches` from the source; for `mapInPandas`, bound with `functools.partial`.

    Columns in: kind, tickers (array), window_start, window_end (both included; null but for charts).
    Columns out: schemas.FETCHES, one row per ticker; one frame per request, so memory stays flat.
    After a rate limit the remaining requests are not sent and get the outcome `rate_limited`, after a failure of the
    limiter `transient`. When the run is to stop, requests that were not sent get no row.
    """
    market_calendar.correct(config.closures, config.extra_sessions)
    source: Source | None = None
    refusal: Answer | None = None
    for batch in batches:
        for request in _read_requests(batch):
            if source is None:
                source = build_source(config, make_limiter(), clock=clock)
            if refusal is None:
                try:
                    answers, refusal = _fetch(source, request, config.name)
                except RunInterruptedError:
                    return
            else:
                answers = _refuse(request, refusal)
            yield _fetch_rows(request, answers, fetched_at=clock(), run_id=run_id)


def import_source(batches: Iterator[pd.DataFrame], *, name: str) -> Iterator[pd.DataFrame]:
    """Import the module of a source, so that a later task of this worker starts without the import; for `mapInPandas`.

    Columns out: any; there are no rows.
    """
    for _ in batches:
        importlib.import_module(f"spark_app.sources.{name}.source")
    yield from ()


def _read_requests(batch: pd.DataFrame) -> Iterator[FetchRequest]:
    columns = (batch[name] for name in ("kind", "tickers", "window_start", "window_end"))
    for kind, tickers, window_start, window_end in zip(*columns, strict=True):
        yield FetchRequest(Kind(kind), tuple(tickers), _read_date(window_start), _read_date(window_end))


def _read_date(value: Any) -> dt.date | None:
    return None if pd.isna(value) else value


def _fetch(source: Source, request: FetchRequest, provider: str) -> tuple[list[Answer], Answer | None]:
    """Fetch; the second value is the answer to all further requests, None while they may be sent."""
    try:
        answers = source.fetch(request)
    except RunInterruptedError:
        raise
    except SparkAppError as error:
        # Failures of a source are outcomes: this one is the limiter's.
        refusal = Answer("", Outcome.TRANSIENT, f"not requested: {error}", provider=provider)
        return _refuse(request, refusal), refusal
    return answers, next((answer for answer in answers if answer.outcome is Outcome.RATE_LIMITED), None)


def _refuse(request: FetchRequest, refusal: Answer) -> list[Answer]:
    return [Answer(t, refusal.outcome, refusal.message, provider=refusal.provider) for t in request.tickers]


def _fetch_rows(request: FetchRequest, answers: list[Answer], *, fetched_at: dt.datetime, run_id: str) -> pd.DataFrame:
    rows = [
        {
            "kind": request.kind.value,
            "ticker": answer.ticker,
            "window_start": answer.covered_from or request.window_start,
            "window_end": request.window_end,
            "outcome": answer.outcome.value,
            "message": _without_secrets(answer.message),
            "raw_text": _without_secrets(answer.raw_text),
            "requests": answer.requests,
            "seconds": answer.seconds,
            "bars": [vars(bar) for bar in answer.bars],
            "snapshot_date": answer.snapshot_date,
            "holdings": [vars(holding) for holding in answer.holdings],
            "left_out": [vars(row) for row in answer.skipped],
            "quote": None if answer.quote is None else vars(answer.quote),
            "fetched_at": fetched_at,
            "run_id": run_id,
            "source": answer.provider,
        }
        for answer in answers
    ]
    return pd.DataFrame(rows, columns=FETCHES.fieldNames()).astype({"requests": "int32", "seconds": "float64"})


def _without_secrets(text: str | None) -> str | None:
    return None if text is None else without_secrets(text)
