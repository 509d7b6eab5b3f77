"""Importing the user's files: all are read and checked, then what is new is appended to staging, table by table."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.errors import RunInterruptedError
from spark_app.ingestion.files.bars import prepare_bars, spans_of, stage_file_bars
from spark_app.ingestion.files.checking import CheckedFile, check_file
from spark_app.ingestion.files.layout import DIVIDENDS_FILE, SPLITS_FILE, FileLayout
from spark_app.ingestion.files.reading import FoundFile, find_files
from spark_app.market_calendar import FIRST_SESSION, NEW_YORK
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import FETCHES, HOLDINGS, INDEX_MEMBERSHIP, QUOTES, WEIGHT_PERCENT
from spark_app.sources.contract import Kind, Outcome
from spark_app.spark.bulk import bulk_settings
from spark_app.storage.delta.staging import (
    BARS_TABLE,
    FETCHES_TABLE,
    HOLDINGS_TABLE,
    INDEX_MEMBERSHIP_TABLE,
    QUOTES_TABLE,
)
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.storage.postgres.provenance import LoggedFetch, Provenance
from spark_app.transforms.current import current_index_membership
from spark_app.transforms.file_rows import schema_of
from spark_app.transforms.new_rows import new_holdings, new_quotes
from spark_app.transforms.split_basis import with_quote_basis

_SOURCE = "files"
_CLOSE_HOUR = 16
_LARGE_BYTES = 8 * 2**20
"""From here on compiling queries pays; of few rows they cost more than they save."""
_MEMBERSHIP = ("ticker", "start_date", "end_date")


@dataclass(eq=False)
class _Import:
    """One import at work: what is checked, and what was appended."""

    run: Run
    files: Mapping[str, CheckedFile]
    sessions: DataFrame
    splits: DataFrame
    dividends: DataFrame
    spans: DataFrame
    provenance: Mapping[str, Column]
    versions: dict[str, int] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def appended(self, table: str, version: int, rows: int, what: str) -> None:
        """Note what was appended to a table."""
        self.versions[table] = version
        self.parts.append(f"{rows:,} {what}")


def import_files(run: Run) -> StageResult:
    """Import the files of the folder that the settings name; the message says what was saved.

    Every file is checked before any row is saved. A rerun, also of an import that was stopped, appends what is missing.

    Raises: UsageError: the folder, a file or a column is not as documented. DataIncompleteError: too many rows are
        rejected, or the closes contradict files.split_basis.
    """
    found = find_files(run.spark, run.settings.files.folder)
    is_large = sum(file.size for file in found.values()) > _LARGE_BYTES
    with bulk_settings(run.spark) if is_large else contextlib.nullcontext():
        return _import_found(run, found)


def _import_found(run: Run, found: Mapping[str, FoundFile]) -> StageResult:
    now = dt.datetime.now(dt.UTC)
    last = market_calendar.last_completed_session(run.request.now)
    sessions = run.sessions(market_calendar.sessions_between(FIRST_SESSION, last)).localCheckpoint()
    checked: dict[str, CheckedFile] = {}
    prepared: DataFrame | None = None
    try:
        for name, file in found.items():
            _stop_if_asked(run, f"{file.name} was read")
            checked[name] = check_file(
                file,
                sessions,
                rejected_percent=run.settings.files.rejected_percent,
                skipped_holdings_percent=run.settings.gate.skipped_holdings_percent,
            )
        work = _Import(
            run,
            checked,
            sessions,
            _rows_of(run, checked, SPLITS_FILE),
            _rows_of(run, checked, DIVIDENDS_FILE),
            spans_of(run, checked),
            {"fetched_at": F.lit(now), "run_id": F.lit(run.request.run_id), "source": F.lit(_SOURCE)},
        )
        if "bars" in checked:
            prepared, notes = prepare_bars(run, checked["bars"], work.splits, work.dividends, work.spans)
            work.notes += notes
        fetches = _append(work, prepared, now)
    finally:
        for done in checked.values():
            done.checked.unpersist()
        if prepared is not None:
            prepared.unpersist()
    return _result(work, run.settings.files.folder, fetches)


def _append(work: _Import, bars: DataFrame | None, now: dt.datetime) -> list[LoggedFetch]:
    """Append what is new; bars are the last of the four, and the fetches that name everything follow them."""
    run = work.run
    run.staging.ensure(FETCHES_TABLE)  # It says which kind of data the place has.
    for name, stage in _STAGED.items():
        if name in work.files:
            _stop_if_asked(run, f"{name} were saved")
            run.confirm_lock()
            stage(work)
    if bars is not None:
        _stop_if_asked(run, "bars were saved")
        run.confirm_lock()
        staged = stage_file_bars(run, bars, work.files["bars"], work.sessions, work.provenance)
        work.appended(BARS_TABLE, staged.version, staged.rows, "bars")
        work.parts += [f"{staged.restated:,} tickers restated"] if staged.restated else []
        work.notes += staged.notes
    fetches = _fetches(work, now)
    rows = [tuple(_fetch_row(fetch).get(column) for column in FETCHES.fieldNames()) for fetch in fetches]
    run.staging.append(FETCHES_TABLE, run.spark.createDataFrame(rows, FETCHES))
    return fetches


def _result(work: _Import, folder: str, fetches: Sequence[LoggedFetch]) -> StageResult:
    checked = list(work.files.values())
    errors = tuple(error for file in checked for error in file.errors)
    rejected = [file.describe() for file in checked if file.rejected]
    shown = [f"{', '.join(rejected)}: {'; '.join(error.error_msg for error in errors)}"] if rejected else []
    skipped = sum(file.skipped for file in checked)
    shown += [f"{skipped:,} rows of holdings that are no shares skipped"] if skipped else []
    return StageResult(
        message="; ".join([f"saved from {folder}: {', '.join(work.parts) or 'nothing'}", *work.notes, *shown]),
        errors=errors,
        rows_rejected=sum(file.rejected for file in checked),
        delta_versions=work.versions,
        provenance=Provenance({"staging_versions": work.versions}, fetches=tuple(fetches)),
    )


def _stage_holdings(work: _Import) -> None:
    rows = work.files["holdings"].sound.withColumns(dict(work.provenance))
    rows = rows.withColumn("holding_percent", F.col("holding_percent").cast(WEIGHT_PERCENT))
    with staging_table_lock(work.run.database, HOLDINGS_TABLE):
        new = new_holdings(rows.select(*HOLDINGS.fieldNames()), work.run.staging.read(HOLDINGS_TABLE))
        _append_counted(work, HOLDINGS_TABLE, new, "holdings")


def _stage_quotes(work: _Import) -> None:
    quotes = with_quote_basis(work.files["quotes"].sound, work.splits, work.spans)
    closed = F.make_timestamp(
        F.year("quote_date"), F.month("quote_date"), F.day("quote_date"), F.lit(_CLOSE_HOUR), F.lit(0), F.lit(0)
    )
    rows = quotes.withColumns(
        {
            "quoted_at": F.to_utc_timestamp(closed, NEW_YORK.key),
            "long_name": F.col("company_name"),
            "short_name": F.lit(None).cast("string"),
            **work.provenance,
        }
    )
    with staging_table_lock(work.run.database, QUOTES_TABLE):
        new = new_quotes(rows.select(*QUOTES.fieldNames()), work.run.staging.read(QUOTES_TABLE))
        _append_counted(work, QUOTES_TABLE, new, "quotes")


def _stage_index_membership(work: _Import) -> None:
    """Append the whole file where it differs from the one that was imported last."""
    rows = work.files["index_membership"].sound
    with staging_table_lock(work.run.database, INDEX_MEMBERSHIP_TABLE):
        known = current_index_membership(work.run.staging.read(INDEX_MEMBERSHIP_TABLE)).select(*_MEMBERSHIP)
        if rows.exceptAll(known).isEmpty() and known.exceptAll(rows).isEmpty():
            work.parts.append("0 index memberships")
            return
        new = rows.withColumns(dict(work.provenance)).select(*INDEX_MEMBERSHIP.fieldNames())
        _append_counted(work, INDEX_MEMBERSHIP_TABLE, new, "index memberships")


_STAGED: Mapping[str, Callable[[_Import], None]] = {
    "holdings": _stage_holdings,
    "quotes": _stage_quotes,
    "index_membership": _stage_index_membership,
}


def _append_counted(work: _Import, table: str, rows: DataFrame, what: str) -> None:
    added = Observation()
    version = work.run.staging.append(table, rows.observe(added, F.count("*").alias("rows")))
    work.appended(table, version, added.get["rows"], what)


def _rows_of(run: Run, files: Mapping[str, CheckedFile], layout: FileLayout) -> DataFrame:
    """The rows of a file, none where there is no such file."""
    return files[layout.name].sound if layout.name in files else run.frame([], schema_of(layout.columns))


def _fetches(work: _Import, now: dt.datetime) -> list[LoggedFetch]:
    """Describe what the files have of each ticker, as fetches of it."""
    found: list[LoggedFetch] = []
    for name, (kind, key, date) in _KINDS.items():
        if name in work.files:
            counted = work.files[name].sound.groupBy(F.col(key).alias("ticker"))
            rows = counted.agg(F.min(date).alias("first"), F.max(date).alias("last"), F.count("*").alias("rows"))
            found += [_fetch_of(work.run, kind, row, now) for row in rows.orderBy("ticker").collect()]
    return found


_KINDS = {
    "bars": (Kind.CHART, "ticker", "trade_date"),
    "holdings": (Kind.HOLDINGS, "etf_ticker", "snapshot_date"),
    "quotes": (Kind.QUOTE, "ticker", "quote_date"),
}


def _fetch_of(run: Run, kind: Kind, row: Row, now: dt.datetime) -> LoggedFetch:
    return LoggedFetch(
        ticker=row["ticker"],
        kind=kind.value,
        fetched_at=now,
        run_id=run.request.run_id,
        source=_SOURCE,
        outcome=Outcome.OK.value,
        rows_fetched=row["rows"],
        first_date=row["first"],
        last_date=row["last"],
    )


def _fetch_row(fetch: LoggedFetch) -> dict[str, object]:
    """The row of `fetches`: without its payload, which would be every bar a second time."""
    is_chart, is_holdings = fetch.kind == Kind.CHART, fetch.kind == Kind.HOLDINGS
    return {
        **{name: getattr(fetch, name) for name in ("kind", "ticker", "outcome", "fetched_at", "run_id", "source")},
        "window_start": fetch.first_date if is_chart else None,
        "window_end": fetch.last_date if is_chart else None,
        "snapshot_date": fetch.last_date if is_holdings else None,
        "requests": 0,
        "seconds": 0.0,
        "bars": [],
        "holdings": [],
        "left_out": [],
    }


def _stop_if_asked(run: Run, step: str) -> None:
    if run.stopping.is_set():
        raise RunInterruptedError(f"interrupted before {step}; resume with: {run.request.resume_command}")
