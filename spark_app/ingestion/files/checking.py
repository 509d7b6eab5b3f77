"""Checking the rows of the user's files: what is wrong with which row, and how much of a file may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StringType, StructField, StructType

from spark_app.errors import DataIncompleteError
from spark_app.ingestion.files.layout import BARS_FILE, HOLDINGS_FILE, INDEX_MEMBERSHIP_FILE
from spark_app.ingestion.files.reading import CORRUPT, PLACE, FoundFile, row_numbers, spell_ticker
from spark_app.sources.contract import Holding
from spark_app.sources.holdings import KNOWN_KINDS, classify_holding
from spark_app.storage.postgres.run_log import ConsumerError
from spark_app.transforms.file_rows import PROBLEM, problem, typed_rows, with_duplicates, with_problem
from spark_app.transforms.prices import bar_defect

_SHOWN = 20
_NO_SHARE = "no_share"
_CLASS = StructType([StructField("ticker", StringType()), StructField("reason", StringType())])
_SAME_AS_CLOSE = ("open_price", "high_price", "low_price", "adj_close_price")


@dataclass(frozen=True, eq=False)
class CheckedFile:
    """A file whose rows are checked.

    Attributes:
        sound: the rows to import, with the columns of the layout.
        checked: all rows with their problems, persisted.
        rows, rejected: their number, and that of those with a problem.
        skipped: rows of holdings that are no shares, such as cash.
        errors: the first rejected rows, each with file, row, column, value and reason; then how many more there are.
    """

    file: FoundFile
    sound: DataFrame
    checked: DataFrame
    rows: int
    rejected: int
    skipped: int
    errors: tuple[ConsumerError, ...]

    def describe(self) -> str:
        """Say how much was rejected, "" for nothing."""
        return f"{self.rejected:,} of {self.rows:,} rows of {self.file.name} rejected" if self.rejected else ""


def check_file(
    file: FoundFile, sessions: DataFrame, *, rejected_percent: float, skipped_holdings_percent: float
) -> CheckedFile:
    """Read the rows of a file, and find those that cannot be imported.

    Args:
        sessions: trade_date of every completed session.
        rejected_percent: the largest share of the rows that may be rejected.
        skipped_holdings_percent: the largest weight of a fund in rows that are no shares for an unknown reason.
    Raises: DataIncompleteError: more than `rejected_percent` are rejected.
    """
    layout = file.layout
    carry = [*PLACE, *([CORRUPT] if file.gives(CORRUPT) else [])]
    rows = typed_rows(file.raw, layout.columns, spell=spell_ticker, carry=carry)
    if file.gives(CORRUPT):
        columns = len(file.raw.columns) - len(carry)
        broken = problem("(row)", F.col(CORRUPT), F.when(F.col(CORRUPT).isNotNull(), f"it has not {columns} values"))
        rows = rows.withColumn(PROBLEM, F.coalesce(broken, PROBLEM))
    if layout.session_column:
        rows = _with_session_problem(rows, layout.session_column, sessions)
    if layout is BARS_FILE:
        rows = _with_bar_problem(rows, file)
    if layout is INDEX_MEMBERSHIP_FILE:
        is_early = F.col("end_date") <= F.col("start_date")
        early = F.when(is_early, "it is not after start_date")
        rows = with_problem(rows, problem("end_date", F.col("end_date"), early))
    if layout is HOLDINGS_FILE:
        rows = _with_share_problem(rows, skipped_holdings_percent)
    is_share = ~F.col(_NO_SHARE) if layout is HOLDINGS_FILE else F.lit(True)
    checked = with_duplicates(rows, layout.key).withColumn("_is_used", F.col(PROBLEM).isNull() & is_share)
    checked = checked.persist(StorageLevel.DISK_ONLY)
    counted = checked.agg(F.count("*"), F.count(PROBLEM), F.count_if("_is_used")).collect()[0]
    number, rejected, used = counted
    errors = _describe_rejected(file, checked, rejected) if rejected else ()
    if rejected > number * rejected_percent / 100:
        checked.unpersist()
        listed = "; ".join(error.error_msg for error in errors)
        raise DataIncompleteError(
            f"{rejected:,} of {number:,} rows of {file.name} are rejected, and files.rejected_percent allows"
            f" {rejected_percent:g} %: {listed}; nothing was saved"
        )
    sound = checked.where("_is_used").select(*[column.name for column in layout.columns])
    return CheckedFile(file, sound, checked, number, rejected, number - rejected - used, errors)


def _with_session_problem(rows: DataFrame, name: str, sessions: DataFrame) -> DataFrame:
    known = F.broadcast(sessions.select(F.col("trade_date").alias(name), F.lit(True).alias("_is_session")))
    is_stray = F.col(name).isNotNull() & F.col("_is_session").isNull()
    joined = rows.join(known, on=name, how="left")
    found = problem(name, F.col(name), F.when(is_stray, "it is not a completed session"))
    return with_problem(joined, found).select(*rows.columns)


def lacking_columns(file: FoundFile) -> list[str]:
    """List the columns of a bar that the file may have and does not."""
    return [name for name in (*_SAME_AS_CLOSE, "volume") if not file.gives(name)]


def with_defect(bars: DataFrame, lacking: Sequence[str]) -> DataFrame:
    """Add the defect of each bar; the columns that its file lacks break no rule.

    Columns in: those that `bar_defect` reads.   Columns out: those of `bars`, defect.
    """
    filled = {name: F.lit(0).cast("bigint") if name == "volume" else F.col("close_price") for name in lacking}
    given = {name: f"_given_{name}" for name in lacking}
    kept = bars.select("*", *[F.col(name).alias(alias) for name, alias in given.items()])
    checked = (kept.withColumns(filled) if filled else kept).withColumn("defect", bar_defect())
    return checked.select(*[F.col(given[n]).alias(n) if n in given else n for n in bars.columns], "defect")


def _with_bar_problem(rows: DataFrame, file: FoundFile) -> DataFrame:
    bars = rows.withColumns({"dividend": F.lit(0.0), "split_ratio": F.lit(1.0)})
    bar = F.concat_ws(" ", "ticker", F.col("trade_date").cast("string"))
    checked = with_defect(bars, lacking_columns(file))
    return with_problem(checked, problem("ticker, trade_date", bar, F.col("defect"))).select(*rows.columns)


def _with_share_problem(rows: DataFrame, skipped_holdings_percent: float) -> DataFrame:
    """Classify the rows of holdings as those of an issuer are; adds `no_share` for cash and the like."""
    percent = F.abs("holding_percent")
    classified = rows.withColumn("_class", _classify("holding_ticker", "holding_name", "holding_percent"))
    reason = F.col("_class.reason")
    is_known = F.coalesce(reason.isin(list(KNOWN_KINDS)), F.lit(False))
    is_unknown = reason.isNotNull() & ~is_known
    snapshot = ("etf_ticker", "snapshot_date")
    unknown = classified.groupBy(*snapshot).agg(F.sum(F.when(is_unknown, percent)).alias("_unknown"))
    joined = classified.join(F.broadcast(unknown), on=list(snapshot), how="left")
    allowed = f"gate.skipped_holdings_percent allows {skipped_holdings_percent:g} %%"
    text = F.format_string(f"skipped rows carry %.2f %% of the fund, and {allowed}", "_unknown")
    named = F.concat_ws(" ", "etf_ticker", F.col("snapshot_date").cast("string"))
    own = problem("holding_ticker", F.coalesce("holding_ticker", "holding_name"), F.when(is_unknown, reason))
    too_many = problem("etf_ticker, snapshot_date", named, F.when(F.col("_unknown") > skipped_holdings_percent, text))
    found = with_problem(joined, own, too_many)
    # Two rows of cash are no duplicates.
    spelt = F.when(~is_known, F.coalesce("_class.ticker", "holding_ticker"))
    return found.withColumn(_NO_SHARE, is_known).withColumn("holding_ticker", spelt).drop("_class", "_unknown")


@pandas_udf(_CLASS)  # type: ignore[call-overload, untyped-decorator]
def _classify(symbols: pd.Series, names: pd.Series, percents: pd.Series) -> pd.DataFrame:
    found = []
    for symbol, name, percent in zip(symbols, names, percents, strict=True):
        weight = None if pd.isna(percent) else float(percent)
        row = classify_holding(symbol or "", name, weight)
        found.append((row.holding_ticker, None if isinstance(row, Holding) else row.reason))
    return pd.DataFrame(found, columns=_CLASS.fieldNames())


def _describe_rejected(file: FoundFile, checked: DataFrame, rejected: int) -> tuple[ConsumerError, ...]:
    columns = [column.name for column in file.layout.columns]
    found = checked.where(F.col(PROBLEM).isNotNull()).orderBy(*PLACE).limit(_SHOWN).collect()
    numbers = row_numbers(file, {tuple(row[name] for name in PLACE): None for row in found})
    errors = []
    for row in found:
        number, what = numbers[tuple(row[name] for name in PLACE)], row[PROBLEM]
        value = "" if what["value"] is None else f" {what['value']!r}"
        values = ", ".join(f"{name}={row[name]}" for name in columns)
        errors.append(ConsumerError(f"{file.name} row {number}: {what['column']}{value}: {what['reason']}", values))
    if rejected > len(errors):
        errors.append(ConsumerError(f"{file.name}: {rejected - len(errors):,} rows more"))
    return tuple(errors)
