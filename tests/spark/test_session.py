"""The Spark session where the added jars are missing."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from spark_app.errors import ServiceUnavailableError
from spark_app.spark import session


def test_a_spark_without_the_jars_is_refused_in_one_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_JARS", {"Delta": "no/such/Delta.class", "PostgreSQL": "org/postgresql/Driver.class"})
    stopped = []
    monkeypatch.setattr(SparkSession, "stop", lambda self: stopped.append(self))
    with pytest.raises(ServiceUnavailableError, match=r"no jar for Delta: run `\./spark_jobs_launcher\.sh setup`"):
        session.build_session("another")
    assert stopped
