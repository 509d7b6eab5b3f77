"""The names of Java that a session remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from py4j.clientserver import JavaClient
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

_REFLECTION = "r\n"


@contextmanager
def _questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what is asked of the JVM about names."""
    asked: list[str] = []
    send = JavaClient.send_command

    def noting(self: JavaClient, command: str, *args: Any, **kwargs: Any) -> Any:
        if command.startswith(_REFLECTION):
            asked.append(command)
        return send(self, command, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(JavaClient, "send_command", noting)
        yield asked


def test_a_plan_asks_for_a_name_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = spark.range(3)

    def plan() -> list[Any]:
        return rows.select(F.upper(F.lit("a")), F.coalesce("id", F.lit(1)) + F.length(F.lit("b"))).collect()

    assert plan() == [("A", 1), ("A", 2), ("A", 3)]
    with _questions(monkeypatch) as asked:
        plan()
    assert [question for question in asked if "functions" in question or "PythonUtils" in question] == []


def test_a_package_is_looked_for_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    jvm: Any = spark.sparkContext._jvm
    assert jvm.org.apache.hadoop.fs.Path("/a", "b").toString() == "/a/b"
    with _questions(monkeypatch) as asked:
        assert jvm.org.apache.hadoop.fs.Path("/a", "c").getName() == "c"
    assert asked == []


def test_a_class_that_is_not_there_yet_is_looked_for_again(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    jvm: Any = spark.sparkContext._jvm
    for _ in range(2):
        with _questions(monkeypatch) as asked:
            _ = jvm.org.apache.hadoop.fs.NotThereYet
        assert asked != []


def test_what_a_field_holds_is_asked_anew(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    jvm: Any = spark.sparkContext._jvm
    for _ in range(2):
        with _questions(monkeypatch) as asked:
            assert jvm.org.apache.hadoop.fs.Path.SEPARATOR == "/"
        assert len(asked) == 1
