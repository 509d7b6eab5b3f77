"""The Spark session: what it refuses to start without, and what --bulk must not lose."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import Observation, SparkSession, Window
from pyspark.sql import functions as F

from spark_app.errors import ServiceUnavailableError, SettingsError
from spark_app.spark import session


def test_a_driver_with_too_little_memory_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_builder: object) -> None:
        raise PySparkException("System memory 102760448 must be at least 471859200. Please increase heap size")

    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", refuse)
    with pytest.raises(SettingsError, match=r"^Spark needs at least 471859200 bytes .* set spark\.driver\.memory"):
        session.build_session("another")


def test_a_spark_without_the_jars_is_refused_in_one_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_JARS", {"Delta": "no/such/Delta.class", "PostgreSQL": "org/postgresql/Driver.class"})
    stopped = []
    monkeypatch.setattr(SparkSession, "stop", lambda self: stopped.append(self))
    with pytest.raises(ServiceUnavailableError, match=r"no jar for Delta: run `\./spark_jobs_launcher\.sh setup`"):
        session.build_session("another")
    assert stopped


def test_an_observation_is_known_with_bulk_even_where_it_saw_no_row(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(10).selectExpr("id", "id % 2 AS ticker").write.parquet(str(tmp_path / "rows"))
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    try:
        # That no row passes is found out by reading only.
        none = spark.read.parquet(str(tmp_path / "rows")).where("id > 5 AND id < 4 + rand() * 0")
        rejected = Observation()
        seen = none.observe(rejected, F.collect_list("id").alias("ids"))
        seen.select(F.lag("id").over(Window.partitionBy("ticker").orderBy("id"))).write.parquet(str(tmp_path / "out"))
        assert rejected.get == {"ids": []}
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "false")
