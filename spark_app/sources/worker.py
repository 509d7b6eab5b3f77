"""The function that Spark runs in its Python workers: rows of requests in, rows of `fetches` out."""

from __future__ import annotations

import datetime as dt
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from spark_app import market_calendar
from spark_app.config.secrets import without_secrets
from spark_app.errors import RunInterruptedError, SparkAppError
from spark_app.schemas import FETCHES
from spark_app.sources.bodies import BODY_ERRORS, RAW_TEXT_CHARS, FetchError, describe, read_text
from spark_app.sources.build import build_source
from spark_app.sources.contract import Answer, FetchRequest, Kind, Limiter, Outcome, Source, SourceConfig, utc_now

_ARROW_SCHEMA = to_arrow_schema(FETCHES, timezone="UTC")


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
            yield _storable_rows(request, answers, fetched_at=clock(), run_id=run_id)


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
    except BODY_ERRORS as error:
        # An exception that leaves a worker ends the stage, and with it the answers of all other tickers.
        unreadable = FetchError(Outcome.MALFORMED, f"the answer cannot be read: {describe(error)}")
        failed = Answer("", unreadable.outcome, str(unreadable), provider=provider)
        return _refuse(request, failed), None
    return answers, next((answer for answer in answers if answer.outcome is Outcome.RATE_LIMITED), None)


def _refuse(request: FetchRequest, refusal: Answer) -> list[Answer]:
    return [Answer(t, refusal.outcome, refusal.message, provider=refusal.provider) for t in request.tickers]


def _storable_rows(
    request: FetchRequest, answers: list[Answer], *, fetched_at: dt.datetime, run_id: str
) -> pd.DataFrame:
    """Return the rows of `fetches`; an answer with a value that Arrow cannot convert becomes malformed."""
    rows = functools.partial(_fetch_rows, request, fetched_at=fetched_at, run_id=run_id)
    frame = rows(answers)
    if _arrow_error(frame) is None:
        return frame
    return rows(
        [
            answer if (error := _arrow_error(rows([answer]))) is None else _unstorable(answer, error)
            for answer in answers
        ]
    )


def _arrow_error(rows: pd.DataFrame) -> Exception | None:
    """Return what Arrow raises for these rows, as it would when Spark converts them."""
    try:
        pa.RecordBatch.from_pandas(rows, schema=_ARROW_SCHEMA, preserve_index=False)
    except (pa.ArrowException, *BODY_ERRORS) as error:
        return error
    return None


def _unstorable(answer: Answer, error: Exception) -> Answer:
    unstorable = FetchError(Outcome.MALFORMED, f"the answer cannot be stored: {describe(error)}")
    return Answer(
        answer.ticker,
        unstorable.outcome,
        str(unstorable),
        read_text(repr(answer), RAW_TEXT_CHARS) or "",
        requests=answer.requests,
        seconds=answer.seconds,
        provider=answer.provider,
    )


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
    return pd.DataFrame(rows, columns=FETCHES.fieldNames())


def _without_secrets(text: str | None) -> str | None:
    return None if text is None else without_secrets(text)
