"""Failures of the storage of staging are one sentence each; other errors stay defects."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.errors import LastingFailureError, ServiceUnavailableError, SettingsError
from spark_app.schemas import FETCHES
from spark_app.storage.delta.failures import staging_in_use, translated_staging_errors
from spark_app.storage.delta.staging import FETCHES_TABLE, Staging


def test_tables_that_cannot_be_created_are_one_sentence(spark: SparkSession) -> None:
    # Nobody makes folders there, not even root.
    with pytest.raises(
        ServiceUnavailableError, match="staging failed while writing /proc/staging/fetches: "
    ) as failure:
        Staging(spark, "/proc/staging", "real").ensure(FETCHES_TABLE)
    assert "\n" not in str(failure.value)


def test_an_unknown_file_system_is_named(spark: SparkSession) -> None:
    reason = 'UnsupportedFileSystemException: No FileSystem for scheme "s4"'
    with pytest.raises(SettingsError, match=f"reading s4://market/staging/fetches: {reason}: set staging.path to "):
        Staging(spark, "s4://market/staging", "real").read(FETCHES_TABLE)


def test_a_file_that_is_gone_when_spark_reads_it_is_a_failure_of_the_storage(
    spark: SparkSession, tmp_path: Path
) -> None:
    spark.range(3).coalesce(1).write.parquet(str(tmp_path / "rows"))
    rows = spark.read.parquet(str(tmp_path / "rows"))
    for file in (tmp_path / "rows").glob("*.parquet"):
        file.unlink()
    with (
        pytest.raises(
            LastingFailureError, match=r"staging is damaged: file:/.*\.parquet is missing: put the file back"
        ),
        staging_in_use("s3a://market"),
    ):
        rows.agg(F.sum("id")).collect()


def one_fetch(spark: SparkSession) -> DataFrame:
    columns = [
        F.lit("one" if field.name == "run_id" else None).cast(field.dataType).alias(field.name) for field in FETCHES
    ]
    return spark.range(1, numPartitions=1).select(*columns)


def staged(spark: SparkSession, folder: Path) -> tuple[Staging, Path]:
    """A table of two files, and the first of them."""
    staging = Staging(spark, str(folder), "real")
    for _ in range(2):
        staging.append(FETCHES_TABLE, one_fetch(spark))
    return staging, sorted((folder / "fetches").glob("*.parquet"))[0]


@pytest.mark.parametrize(
    ("kept_bytes", "reason"),
    [
        (None, "{file} is missing"),
        (0, "a file of {table} is cut or has another size"),
    ],
)
@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_data_file_that_is_lost_or_cut_is_named_and_nothing_is_read_without_it(
    spark: SparkSession, tmp_path: Path, kept_bytes: int | None, reason: str, has_checksum: bool
) -> None:
    staging, file = staged(spark, tmp_path)
    if kept_bytes is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:kept_bytes])
    if not has_checksum:  # Then Delta itself reads the table.
        for checksum in (tmp_path / "fetches/_delta_log").glob("*.crc"):
            checksum.unlink()
    with pytest.raises(LastingFailureError, match="^staging is damaged: ") as failure, staging_in_use(str(tmp_path)):
        staging.read(FETCHES_TABLE).collect()
    said = str(failure.value)
    assert f": put the file back from a copy of {tmp_path}, or move that folder away" in said
    assert (reason.format(file=f"file:{file}", table=f"{tmp_path}/fetches") if has_checksum else file.name) in said
    assert "\n" not in said and "again" not in said


def test_a_changed_byte_of_a_data_file_is_noticed_without_hadoops_checksums(
    spark: SparkSession, tmp_path: Path
) -> None:
    staging, file = staged(spark, tmp_path)
    assert not list(tmp_path.glob("fetches/**/.*.crc"))
    content = bytearray(file.read_bytes())
    content[content.index(b"one")] ^= 1
    file.write_bytes(content)
    with pytest.raises(LastingFailureError, match=f"{file.name} cannot be read: put "), staging_in_use(str(tmp_path)):
        staging.read(FETCHES_TABLE).collect()


@pytest.mark.parametrize(
    ("java", "kind", "remedy"),
    [
        ("java.io.IOException: No space left on device", ServiceUnavailableError, "free space there"),
        (
            "org.apache.hadoop.security.AccessControlException: Permission denied",
            LastingFailureError,
            "make it writable",
        ),
        ("java.io.FileNotFoundException: NoSuchBucketException", LastingFailureError, "set staging.path"),
    ],
)
def test_a_failure_of_the_place_says_what_to_do(java: str, kind: type[Exception], remedy: str) -> None:
    with pytest.raises(kind, match=remedy) as failure, translated_staging_errors("writing /s/bars", "/s"):
        raise PySparkException(f"it failed\n: {java}")
    assert type(failure.value) is kind


def test_a_network_that_fails_while_a_file_is_read_damages_nothing() -> None:
    text = (
        "An error occurred\n: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while"
        " reading file s3a://s/bars/x.parquet.  SQLSTATE: KD001\nCaused by: java.net.SocketException: Connection reset"
    )
    with pytest.raises(ServiceUnavailableError, match="Connection reset$") as failure, staging_in_use("s3a://s"):
        raise PySparkException(text)
    assert type(failure.value) is ServiceUnavailableError


def test_a_defect_of_a_query_is_not_translated(spark: SparkSession) -> None:
    with pytest.raises(PySparkException, match="no such thing"), staging_in_use("s3a://market"):
        spark.range(1).select(F.raise_error(F.lit("no such thing"))).collect()
