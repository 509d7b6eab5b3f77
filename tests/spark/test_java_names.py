"""The names of Java that a session remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from py4j.protocol import REFLECTION_COMMAND_NAME
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


@contextmanager
def _questions(jvm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what is asked of the JVM about names."""
    asked: list[str] = []
    client = type(jvm._gateway_client)
    send = client.send_command

    def noting(self: object, command: str, *args: Any, **kwargs: Any) -> Any:
        if command.startswith(REFLECTION_COMMAND_NAME):
            asked.append(command)
        return send(self, command, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(client, "send_command", noting)
        yield asked


@pytest.fixture
def jvm(spark: SparkSession) -> Any:
    return spark.sparkContext._jvm


def test_a_plan_asks_for_a_name_once(spark: SparkSession, jvm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = spark.range(3)

    def plan() -> list[Any]:
        doubled = F.transform(F.array("id"), lambda number: number * 2)
        return rows.select(F.upper(F.lit("a")), F.coalesce("id", F.lit(1)), doubled).collect()

    with _questions(jvm, monkeypatch) as asked:
        assert plan() == [("A", 0, [0]), ("A", 1, [2]), ("A", 2, [4])]
        asked.clear()
        plan()
    kept = ("functions", "PythonUtils", "PythonSQLUtils")
    assert [question for question in asked if any(name in question for name in kept)] == []


def test_a_package_is_looked_for_once(jvm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jvm.org.apache.hadoop.fs.Path("/a", "b").toString() == "/a/b"
    with _questions(jvm, monkeypatch) as asked:
        assert jvm.org.apache.hadoop.fs.Path("/a", "c").getName() == "c"
    assert asked == []


def test_a_class_that_is_not_there_yet_is_looked_for_again(jvm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with _questions(jvm, monkeypatch) as asked:
            _ = jvm.org.apache.hadoop.fs.NotThereYet
        assert asked != []


def test_what_a_field_holds_is_asked_anew(jvm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jvm.org.apache.hadoop.fs.Path
    for _ in range(2):
        with _questions(jvm, monkeypatch) as asked:
            assert path.SEPARATOR == "/"
        assert len(asked) == 1
