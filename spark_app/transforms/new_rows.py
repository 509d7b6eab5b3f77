"""The fetched rows that are new or differ from what is staged: only those are appended to staging."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.schemas import BAR, QUOTE
from spark_app.transforms.current import current_bars, current_holdings, current_quotes

_SNAPSHOT = ("etf_ticker", "snapshot_date")
_HOLDING = ("holding_ticker", "holding_name", "holding_percent")


def new_bars(candidates: DataFrame, staged: DataFrame) -> DataFrame:
    """Keep the bars that are not staged yet, or differ from the newest that is.

    Columns in: those of schemas.BARS.
    Columns out: the same, is_restated (a staged bar of that session differs); unique per (ticker, trade_date).

    Args:
        candidates: fetched bars; of several bars of one key the newest is used.
        staged: the staging table, or the part of it with the candidates' keys.
    """
    key = ("ticker", "trade_date")
    changed = _new_or_changed(current_bars(candidates), current_bars(staged), key, BAR.fieldNames())
    return changed.withColumnRenamed("is_known", "is_restated")


def new_quotes(candidates: DataFrame, staged: DataFrame) -> DataFrame:
    """Keep the quotes that are not staged yet, or differ from the newest that is.

    Columns in and out: those of schemas.QUOTES; out unique per (ticker, quote_date).

    Args: as in `new_bars`.
    """
    changed = _new_or_changed(
        current_quotes(candidates), current_quotes(staged), ("ticker", "quote_date"), QUOTE.fieldNames()
    )
    return changed.drop("is_known")


def new_holdings(candidates: DataFrame, staged: DataFrame) -> DataFrame:
    """Keep the snapshots, whole, that are not staged yet or differ in any row from the newest that is.

    Columns in and out: those of schemas.HOLDINGS.

    Args: as in `new_bars`.
    """
    provenance = [name for name in candidates.columns if name not in (*_SNAPSHOT, *_HOLDING)]
    rows = F.sort_array(F.collect_list(F.struct(*_HOLDING))).alias("rows")
    fetched = current_holdings(candidates).groupBy(*_SNAPSHOT, *provenance).agg(rows)
    known = current_holdings(staged).groupBy(*_SNAPSHOT).agg(rows)
    changed = _new_or_changed(fetched, known, _SNAPSHOT, ["rows"])
    return changed.select("*", F.inline("rows")).select(*candidates.columns)


def _new_or_changed(fetched: DataFrame, known: DataFrame, key: tuple[str, ...], values: list[str]) -> DataFrame:
    content = F.struct(*[name for name in values if name not in key])
    known_rows = known.select(*key, content.alias("known"))
    joined = fetched.withColumn("fetched", content).join(known_rows, on=list(key), how="left")
    # Null-safe equality of whole rows: null equals null, NaN equals NaN.
    changed = joined.where(~F.col("fetched").eqNullSafe(F.col("known")))
    return changed.select(*fetched.columns, F.col("known").isNotNull().alias("is_known"))
