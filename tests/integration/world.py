"""One installation of the pipeline under test: its folder, its PostgreSQL, and the emulator that it asks."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from pyspark.sql import SparkSession

from spark_app.config.settings import Settings, load_settings
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.preparation import prepare_database, prepare_staging
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import Run, open_run
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.roles import set_up_roles
from tests.declared import DECLARED, STAGES
from tests.emulator import YahooEmulator
from tests.integration.expected import Rows
from tests.storage.postgres.logins import login_as

PROJECT = Path(__file__).resolve().parents[2]
KEYS = {
    "collected_daily_etf_ohlc": ("ticker", "trade_date"),
    "collected_daily_benchmark_ohlc": ("ticker", "trade_date"),
    "collected_meta_etf": ("etf_ticker", "holding_ticker", "as_of_date"),
    "collected_daily_stock_history": ("ticker", "trade_date"),
    "analytics_trending_sectors": ("as_of_date", "etf_ticker", "period_days"),
    "analytics_portfolio_allocation": ("as_of_date", "ticker"),
    "analytics_portfolio_exclusion": ("as_of_date", "ticker"),
}


@dataclass(frozen=True)
class World:
    """Runs the pipeline against the emulator, in its own database role, and reads what it served.

    `owner` may do with the database what the pipeline may not.
    """

    home: Path
    emulator: YahooEmulator
    database: Database
    owner: Database

    @property
    def source_settings(self) -> dict[str, str]:
        """The settings that point the pipeline at the emulator."""
        return {
            "name": "yahoo",
            "endpoint": self.emulator.url,
            "holdings_provider": "issuer",
            "holdings_url": f"{self.emulator.url}/holdings-daily-us-en-{{ticker}}.xlsx",
        }

    def run(
        self,
        spark: SparkSession,
        as_of: dt.date,
        *,
        stages: Sequence[str] = STAGES,
        now: dt.datetime | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        stopping: threading.Event | None = None,
        **options: Any,
    ) -> dict[str, StageReport]:
        """Run stages in this process as a job does, up to the first that fails.

        Args:
            now: the moment at which the run believes to be; settings: section -> key -> value.
            stopping: set when the run is to end early.
            options: other fields of the run's request; `refresh`, to ask anew as a run of another day would, is set.
        """
        run = self.open(spark, as_of, now=now, settings=settings, stopping=stopping, **options)
        reports: dict[str, StageReport] = {}
        for stage in stages:
            reports[stage] = run_stage(run, DECLARED[stage])
            if reports[stage].exit_code:
                break
        return reports

    def open(
        self,
        spark: SparkSession,
        as_of: dt.date,
        *,
        now: dt.datetime | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        stopping: threading.Event | None = None,
        **options: Any,
    ) -> Run:
        """Prepare a run, and return what its stages work with; arguments as of `run`."""
        used = self._settings(settings or {})
        request = Request(
            run_id=f"test-{uuid.uuid4().hex}",
            as_of=as_of,
            now=now or dt.datetime.now(dt.UTC),
            **{"refresh": True} | options,
        )
        prepare_database(self.database, used)
        run = open_run(request, used, spark, self.database, stopping=stopping)
        prepare_staging(run)
        return run

    def submit(self, job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a job by spark-submit, as a user does in the project's environment."""
        source = {f"SPARK_APP_SOURCE__{key.upper()}": value for key, value in self.source_settings.items()}
        programs = PROJECT / ".venv" / "bin"
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [programs / "spark-submit", PROJECT / "jobs" / f"{job}.py", *arguments],
            env={**os.environ, **source, "PATH": path, "SPARK_APP_HOME": str(self.home)},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def table(self, name: str) -> Rows:
        """Read a served table: key -> column -> value."""
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))
        with self.database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query).fetchall()
        key = KEYS[name]
        return {tuple(row[k] for k in key): {c: v for c, v in row.items() if c not in key} for row in rows}

    def tables(self) -> dict[str, Rows]:
        """Read every served table."""
        return {name: self.table(name) for name in KEYS}

    def query(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a query that a user might run."""
        with self.database.connect() as connection:
            return connection.execute(text, parameters).fetchall()

    def _settings(self, given: Mapping[str, Mapping[str, object]]) -> Settings:
        sections: dict[str, dict[str, object]] = {
            "source": dict(self.source_settings),
            "fetch": {"delay_seconds": 0, "wave_size": 500},
            "staging": {"path": str(self.home / "staging")},
        }
        for section, values in given.items():
            sections[section] = sections.get(section, {}) | dict(values)
        return load_settings(overrides=sections)


@contextmanager
def open_world(home: Path, emulator: YahooEmulator) -> Iterator[World]:
    """Keep the installation's PostgreSQL running for the duration of the block."""
    with EmbeddedPostgres(home / "postgres").lease() as url:
        server = parse_url(url)
        migrate(server)
        set_up_roles(server)
        with login_as(server, "spark_app_pipeline") as pipeline:
            yield World(home, emulator, pipeline, server)


def without_text(rows: Rows, *columns: str) -> Rows:
    """Drop what no rule fixes: which run and fetch a row came from, and `columns` of free text."""
    left_out = {"run_id", "fetched_at", *columns}
    return {key: {c: v for c, v in row.items() if c not in left_out} for key, row in rows.items()}


def differences(actual: Rows, expected: Rows) -> list[str]:
    """Describe every value in which two tables differ, row by row; [] where they are equal."""
    found = [f"{key}: not served" for key in expected if key not in actual]
    found += [f"{key}: served, not expected" for key in actual if key not in expected]
    for key in actual.keys() & expected.keys():
        served, right = actual[key], expected[key]
        columns = sorted(served.keys() | right.keys())
        found += [
            f"{key} {c}: {served.get(c)} served, {right.get(c)} right" for c in columns if _differ(served, right, c)
        ]
    return sorted(found)


def _differ(served: Mapping[str, Any], right: Mapping[str, Any], column: str) -> bool:
    return column not in served or column not in right or served[column] != right[column]
