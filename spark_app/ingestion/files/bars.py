"""Bars of the user's files: their splits and dividends, one basis, and what of them is new."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app.config.files import ADJUSTED, UNADJUSTED
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.files.checking import CheckedFile, lacking_columns, with_defect
from spark_app.pipeline.run import Run
from spark_app.schemas import BAR, BARS
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.transforms.new_rows import new_bars
from spark_app.transforms.outliers import with_outlier
from spark_app.transforms.split_basis import (
    PRICES,
    split_steps,
    with_dividend_adjusted_close,
    with_events,
    with_split_basis,
)

_LATEST = dt.date(9999, 12, 31)
_LISTED = 3


@dataclass(frozen=True)
class StagedBars:
    """What was appended: `rows`, of which `restated` tickers had other bars before; `notes` for the message."""

    version: int
    rows: int
    restated: int
    notes: tuple[str, ...]


def spans_of(run: Run, files: Mapping[str, CheckedFile]) -> DataFrame:
    """Find the first and last bar of each ticker, in the file or in staging: ticker, first_bar, last_bar."""
    days = run.staging.read(BARS_TABLE).select("ticker", "trade_date")
    if "bars" in files:
        days = days.unionAll(files["bars"].sound.select("ticker", "trade_date"))
    first, last = F.min("trade_date").alias("first_bar"), F.max("trade_date").alias("last_bar")
    return days.groupBy("ticker").agg(first, last).localCheckpoint()


def prepare_bars(
    run: Run, file: CheckedFile, splits: DataFrame, dividends: DataFrame, spans: DataFrame
) -> tuple[DataFrame, tuple[str, ...]]:
    """Complete the bars of a file; returns them persisted, with what is to be told about their splits.

    Columns in: of the layouts; `spans` ticker, first_bar, last_bar.   Columns out: ticker, those of schemas.BAR.
    Raises: DataIncompleteError: the closes contradict files.split_basis.
    """
    basis = run.settings.files.split_basis
    given = file.file.gives("adj_close_price")
    # An adjusted close is on the basis of the closes; beside closes as traded it contains all splits already.
    prices = (*PRICES, "adj_close_price") if given and basis != UNADJUSTED else PRICES
    bars = with_events(file.sound, splits, dividends)
    bars = with_split_basis(
        bars, splits, spans.drop("first_bar"), prices=prices, contained_until=_contained_until(basis)
    )
    if not given:
        bars = with_dividend_adjusted_close(bars)
    bars = bars.select("ticker", *BAR.fieldNames()).persist(StorageLevel.DISK_ONLY)
    with_splits = bars.join(F.broadcast(splits.select("ticker").distinct()), on="ticker", how="left_semi")
    return bars, _check_steps(split_steps(with_splits).collect(), basis)


def stage_file_bars(
    run: Run, bars: DataFrame, file: CheckedFile, sessions: DataFrame, provenance: Mapping[str, Column]
) -> StagedBars:
    """Append the bars that are new or differ from the newest that are staged.

    Columns in: ticker, those of schemas.BAR.
    """
    with staging_table_lock(run.database, BARS_TABLE):
        # Prices that were small as traded may be too small to be stored on a later basis.
        lacking = [name for name in lacking_columns(file.file) if name != "adj_close_price"]
        checked, added = Observation(), Observation()
        dated = with_defect(bars, lacking).observe(checked, F.count("defect").alias("unstorable"))
        sound = dated.where(F.col("defect").isNull()).withColumns(dict(provenance)).select(*BARS.fieldNames())
        sound = sound.transform(with_outlier, sessions, **run.settings.quality.limits)
        percent = F.col("price_outlier_percent")
        new = new_bars(sound, run.staging.read(BARS_TABLE)).observe(
            added,
            F.count("*").alias("rows"),
            F.size(F.collect_set(F.when(F.col("is_restated"), F.col("ticker")))).alias("restated"),
            F.count(percent).alias("outliers"),
            F.max_by(F.struct("ticker", "trade_date", percent), F.abs(percent)).alias("largest"),
        )
        version = run.staging.append(BARS_TABLE, new)
    notes = []
    if unstorable := checked.get["unstorable"]:
        notes.append(f"{unstorable:,} bars rejected: out of range on the basis of the last bar")
    if outliers := added.get["outliers"]:
        notes.append(f"{outliers:,} outliers, the largest {_describe_outlier(added.get['largest'])}")
    return StagedBars(version, added.get["rows"], added.get["restated"], tuple(notes))


def _contained_until(basis: str) -> Column:
    if basis == UNADJUSTED:
        return F.col("trade_date")
    return F.lit(_LATEST if basis == ADJUSTED else dt.date.fromisoformat(basis))


def _check_steps(steps: list[Row], basis: str) -> tuple[str, ...]:
    """Report the splits at which the closes step as they must not.

    Raises: DataIncompleteError: they do at most of the splits.
    """
    wrong = [row for row in steps if row["step"]]
    if not wrong:
        return ()
    listed = ", ".join(f"{row['ticker']} {row['trade_date']}" for row in wrong[:_LISTED])
    more = f" and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
    if 2 * len(wrong) > len(steps):
        seem = "to lack these splits" if wrong[0]["step"] < 0 else "to contain these splits already"
        raise DataIncompleteError(
            f"at {len(wrong)} of {len(steps)} splits the closes step by the ratio ({listed}{more}): they seem {seem},"
            f" and files.split_basis is {basis}; nothing was saved"
        )
    return (f"closes step by the ratio at {len(wrong)} of {len(steps)} splits: {listed}{more}",)


def _describe_outlier(row: Row) -> str:
    return f"{row['ticker']} {row['trade_date']} {row['price_outlier_percent']:+.1f} %"
