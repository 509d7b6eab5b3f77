"""Where a row of a user's file is, however many tasks read the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app.ingestion.files.reading import PLACE, find_files, row_numbers

ROWS = 3000


@pytest.fixture
def small_blocks(spark: SparkSession) -> Iterator[None]:
    names = {"spark.sql.files.maxPartitionBytes": "5000", "spark.sql.files.openCostInBytes": "0"}
    before = {name: spark.conf.get(name) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    yield
    for name, known in before.items():
        assert known is not None
        spark.conf.set(name, known)


@pytest.mark.usefixtures("small_blocks")
def test_rows_are_numbered_from_the_header_on(spark: SparkSession, tmp_path: Path) -> None:
    lines = [f"A,2024-01-05,{n}" for n in range(1, ROWS + 1)]
    (tmp_path / "splits.csv").write_text("\ufeffticker,ex_date,split_ratio\r\n" + "\r\n".join(lines) + "\r\n")
    file = find_files(spark, str(tmp_path))["splits"]
    found = {tuple(row[name] for name in PLACE): int(row["split_ratio"]) for row in file.raw.collect()}
    assert len(found) == ROWS
    assert len({block for _, block, _ in found}) > 5
    assert row_numbers(file, found) == found
