"""A checkpoint that was cut short is done without; a commit that is lost is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from spark_app.errors import LastingFailureError
from spark_app.storage.delta.checkpoints import damaged_commit, set_cut_checkpoints_aside
from spark_app.storage.delta.failures import staging_in_use
from spark_app.storage.delta.staging import FETCHES_TABLE, Staging
from tests.storage.delta.test_failures import one_fetch


@pytest.mark.parametrize("kept_bytes", [0, 500])
def test_a_cut_checkpoint_is_set_aside_and_told(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, kept_bytes: int
) -> None:
    table, log = str(tmp_path / "with space"), tmp_path / "with space" / "_delta_log"
    DeltaTable.create(spark).location(table).addColumn("id", "bigint").execute()
    spark.range(3).coalesce(1).write.format("delta").mode("append").save(table)
    jvm: Any = spark.sparkContext._jvm
    delta = jvm.org.apache.spark.sql.delta.DeltaLog
    delta.forTable(spark._jsparkSession, table).checkpoint()
    set_cut_checkpoints_aside(spark, table)
    checkpoint = log / f"{1:020d}.checkpoint.parquet"
    assert checkpoint.exists()
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept_bytes])
    delta.clearCache()

    set_cut_checkpoints_aside(spark, table)

    assert [record.getMessage() for record in caplog.records if record.name.startswith("spark_app")] == [
        f"staging: the checkpoint {checkpoint} was cut short: doing without it"
    ]
    assert spark.read.format("delta").load(table).select("id").orderBy("id").collect() == [(0,), (1,), (2,)]


def test_a_table_that_does_not_exist_yet_has_no_checkpoint(spark: SparkSession, tmp_path: Path) -> None:
    set_cut_checkpoints_aside(spark, str(tmp_path / "bars"))


def test_a_checksum_of_an_older_version_does_not_outlive_the_pointer_that_it_was_of(
    spark: SparkSession, tmp_path: Path
) -> None:
    staging = Staging(spark, str(tmp_path), "real")
    staging.append(FETCHES_TABLE, one_fetch(spark))
    log = tmp_path / FETCHES_TABLE / "_delta_log"
    (log / "_last_checkpoint").write_text("{}")
    (log / "._last_checkpoint.crc").write_bytes(b"crc")
    staging.repair()
    assert not (log / "._last_checkpoint.crc").exists()
    assert (log / "_last_checkpoint").exists()


@pytest.fixture(scope="module")
def four_commits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging folder whose fetches have four commits, each but the first with a row."""
    folder = tmp_path_factory.mktemp("four commits")
    staging = Staging(spark, str(folder), "real")
    for _ in range(3):
        staging.append(FETCHES_TABLE, one_fetch(spark))
    return folder


@pytest.fixture
def damaged(four_commits: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of it, and the third commit; `.crc` files of Delta would hide what is wrong with that."""
    shutil.copytree(four_commits, tmp_path / "staging")
    log = tmp_path / "staging" / "fetches" / "_delta_log"
    for checksum in log.glob("*.crc"):
        checksum.unlink()
    return tmp_path / "staging", log / f"{2:020d}.json"


REMEDY = r": put the file back from a copy of .*/staging, or move that folder away: then the next run fetches anew"


@pytest.mark.parametrize("defect", ["missing", "empty"])
def test_a_commit_without_which_rows_would_be_missing_in_silence_is_named(
    spark: SparkSession, damaged: tuple[Path, Path], defect: str
) -> None:
    folder, commit = damaged
    staging = Staging(spark, str(folder), "real")
    staging.repair()
    commit.unlink()
    if defect == "empty":
        commit.touch()
    with pytest.raises(LastingFailureError, match=f"^staging is damaged: {commit} is {defect}{REMEDY}") as failure:
        staging.repair()
    assert (failure.value.exit_code, "\n" in str(failure.value)) == (69, False)


@pytest.mark.parametrize("content", ['{"add":{"path":"part', "\0\0\0\0", "[1]\n"])
def test_a_commit_that_cannot_be_read_is_named_where_delta_needs_it(
    spark: SparkSession, damaged: tuple[Path, Path], content: str
) -> None:
    folder, commit = damaged
    commit.write_text(content)
    staging = Staging(spark, str(folder), "real")
    staging.repair()
    named = f"^staging is damaged: file:/*{commit} cannot be read{REMEDY}"
    for use in (lambda: staging.read(FETCHES_TABLE).collect(), lambda: staging.append(FETCHES_TABLE, one_fetch(spark))):
        with pytest.raises(LastingFailureError, match=named), staging_in_use(str(folder)):
            use()


def test_a_commit_that_is_lost_while_a_run_works_is_named_with_its_table(
    spark: SparkSession, damaged: tuple[Path, Path]
) -> None:
    folder, commit = damaged
    commit.unlink()
    with pytest.raises(
        LastingFailureError, match=rf"Versions \(0, 1, 3\) are not contiguous while reading {folder}/fetches{REMEDY}"
    ):
        Staging(spark, str(folder), "real").read(FETCHES_TABLE)


def test_commits_before_a_checkpoint_are_not_needed(spark: SparkSession, damaged: tuple[Path, Path]) -> None:
    folder, commit = damaged
    table = str(folder / "fetches")
    jvm: Any = spark.sparkContext._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, table).checkpoint()
    commit.unlink()
    assert damaged_commit(spark, table) is None
    assert Staging(spark, str(folder), "real").read(FETCHES_TABLE).count() == 3


def test_a_table_that_does_not_exist_yet_lacks_no_commit(spark: SparkSession, tmp_path: Path) -> None:
    assert damaged_commit(spark, str(tmp_path / "bars")) is None
