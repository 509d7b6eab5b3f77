"""What a test needs, as a marker: it follows from its fixtures, from what its functions do, and from its folder."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import pytest

# A fixture, and the marker of every test that uses it, itself or by another fixture.
FIXTURES = {
    "spark": "spark",
    "open_folder": "postgres",
    "broker": "kafka",
    "strict_broker": "kafka",
    "airflow": "airflow",
    "engine": "containers",
    "browser": "browser",
    "only_settings_of_the_cluster": "cluster",
    "users_spark": "integration",
}
INTEGRATION = ("tests.integration.", "tests.operations.", "tests.backtest.test_job", "tests.backtest.test_stock_job")
"""Folders and modules whose tests run jobs on an installation of their own, from staging to served tables."""


def needs_of(item: pytest.Function) -> set[str]:
    """The markers of a test."""
    found = {marker for fixture, marker in FIXTURES.items() if fixture in item.fixturenames}
    fixtures = [used[-1].func for used in item._fixtureinfo.name2fixturedefs.values()]
    if launches([item.function, *fixtures]):
        found.add("process")
    if item.module.__name__.startswith(INTEGRATION):
        found.add("integration")
    return found


def launches(functions: Iterable[Callable[..., Any]]) -> bool:
    """Say whether one of the functions, or one of the tests' own that it calls, uses `subprocess`.

    A method counts as called where its class is used and its name occurs.
    """
    reached, names, classes = set[FunctionType](), set[str](), set[type]()
    waiting = [plain for function in functions if (plain := plain_function(function))]
    while waiting:
        function = waiting.pop()
        if function in reached:
            continue
        reached.add(function)
        for name, value in used_by(function):
            names.add(name)
            if value is subprocess:
                return True
            if isinstance(value, type) and is_ours(value):
                classes.add(value)
            elif plain := plain_function(value):
                waiting.append(plain)
        for owner in classes:
            waiting += [
                plain
                for name, member in vars(owner).items()
                if (name in names or name.startswith("__")) and (plain := plain_function(member))
            ]
    return False


@cache
def used_by(function: FunctionType) -> list[tuple[str, Any]]:
    """The names in a function's code, each with what it means in its module, if anything."""
    return [(name, function.__globals__.get(name)) for name in names_in(function.__code__)]


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from names_in(part)


def plain_function(value: object) -> FunctionType | None:
    """The tests' own function that a value is or wraps, as a fixture, a context manager or a property does."""
    value = getattr(value, "fget", None) or value
    value = inspect.unwrap(value) if callable(value) else value
    return value if isinstance(value, FunctionType) and is_ours(value) else None


def is_ours(value: FunctionType | type) -> bool:
    return value.__module__.startswith("tests.")
