"""Stage and read back a small Delta table through Python workers: the classes of a daily run get loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from spark_app.session import build_session


def _doubled(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        yield batch.assign(value=batch["value"] * 2)


def main() -> None:
    """Write, append, read, join and aggregate once."""
    table = str(Path(os.environ["SPARK_APP_HOME"]) / "staging" / "workload")
    spark = build_session("class_archive_workload")
    rows = spark.createDataFrame(pd.DataFrame({"ticker": ["SPY", "XLK"], "value": [1.0, 2.0]}))
    fetched = rows.mapInPandas(_doubled, "ticker string, value double")
    for version in (1, 2):
        fetched.write.format("delta").mode("append").option("txnAppId", "workload").option("txnVersion", version).save(
            table
        )
    staged = spark.read.format("delta").load(table)
    staged.groupBy("ticker").agg({"value": "max"}).join(staged, "ticker").orderBy("ticker").collect()
    spark.stop()


if __name__ == "__main__":
    main()
