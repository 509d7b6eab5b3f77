"""What a run notes about where its rows come from."""

from __future__ import annotations

import datetime as dt
import platform
from dataclasses import replace
from typing import Any

import pytest

from spark_app import __version__
from spark_app.config.settings import Settings, SourceSettings
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.provenance import LoggedFetch, Provenance, Restatement
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.recovery import mark_recovered, unstaged_runs
from spark_app.storage.postgres.run_log import start_run
from tests.storage.postgres.publishing.test_publish import DAY, OK, run_key

AT = dt.datetime(2023, 6, 30, 21, 5, 0, 123457, tzinfo=dt.UTC)
FETCH = LoggedFetch("XLK", "chart", AT, "run-00000001", "yahoo", "ok", None, 1, 22, dt.date(2023, 5, 31), DAY)
SPLIT = Restatement("XLK", "run-00000001", "split", 0.5, 21, dt.date(2023, 5, 31), dt.date(2023, 6, 29), AT)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(query.encode()).fetchall()


def test_what_a_stage_read_fetched_and_restated_is_logged_once(database: Database) -> None:
    found = Provenance({"staging_versions": {"bars": 3}}, outliers=2, fetches=[FETCH], restatements=[SPLIT])
    for run_id in ("run-00000001", "run-00000002"):
        key = run_key(run_id)
        start_run(database, key)
        publish(database, key, OK, origin="real", provenance=found)
    logged = rows(
        database,
        "SELECT run_id, inputs, look_ahead_memberships, look_ahead_quotes, restated_bars, outliers"
        " FROM logs_pipeline_run ORDER BY run_id",
    )
    rest = ({"staging_versions": {"bars": 3}}, None, None, 21, 2)
    assert logged == [("run-00000001", *rest), ("run-00000002", *rest)]
    assert rows(database, "SELECT * FROM logs_fetch") == [tuple(vars(FETCH).values())]
    kept = "ticker, run_id, kind, ratio::float, rows_restated, first_trade_date, last_trade_date, noticed_at, stage"
    assert rows(database, f"SELECT {kept} FROM logs_price_restatement") == [(*vars(SPLIT).values(), run_key().stage)]


def test_the_fetches_of_a_run_that_died_are_logged_by_the_one_that_stages_them(database: Database) -> None:
    start_run(database, run_key("run-00000001"))
    dead = unstaged_runs(database, "run-00000002")
    mark_recovered(database, run_key("run-00000002"), dead, [], [FETCH])
    assert rows(database, "SELECT ticker, run_id, fetched_at FROM logs_fetch") == [("XLK", "run-00000001", AT)]


def test_no_secret_is_logged(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "sesame-open")
    source = SourceSettings(endpoint="http://user:s3cret@cache:8080", name="yahoo")
    key = run_key()
    start_run(database, key, Settings(source=source).deciding)
    told = replace(FETCH, outcome="transient", message="not requested: password sesame-open of \x00 http://a:b@host")
    publish(database, key, OK, origin="real", provenance=Provenance(fetches=[told]))
    ((settings, version, host),) = rows(database, "SELECT settings, code_version, host FROM logs_pipeline_run")
    assert settings["source"]["endpoint"] == "http://***@cache:8080"
    assert settings["portfolio"] == {"basis_sessions": 20, "top_n_per_sector": 5, "max_weight": None}
    assert settings.keys() == {"source", "fetch", "gate", "quality", "portfolio", "calendar"}
    assert (version, host) == (__version__, platform.node())
    ((message,),) = rows(database, "SELECT message FROM logs_fetch")
    assert message == "not requested: password *** of \N{REPLACEMENT CHARACTER} http://***@host"
