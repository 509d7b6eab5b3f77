"""The Spark session where the added jars are missing."""

from __future__ import annotations

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

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
