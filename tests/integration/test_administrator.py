"""A run in the pipeline's own database role, with DATABASE_ADMIN_URL for the migrations."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app.cli.main import main
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.migrate import migrations
from tests.declared import STAGES
from tests.storage.postgres.logins import login_as, url_of

STAGE_1 = STAGES[0]


@pytest.mark.campaign
def test_migrations_run_as_the_administrator_and_the_rest_as_the_pipeline(
    spark: SparkSession, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect() as connection:
        connection.execute("ALTER TABLE logs_pipeline_run DROP COLUMN staged_at")
        connection.execute("DELETE FROM schema_migrations WHERE version = 4")
    monkeypatch.setattr(SparkSession, "stop", lambda session: None)
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    with login_as(database, "spark_app_pipeline") as pipeline, login_as(database, "spark_app_owner") as administrator:
        monkeypatch.setenv("DATABASE_URL", url_of(pipeline))
        assert stage_1() == 1  # Refused to migrate.
        monkeypatch.setenv("DATABASE_ADMIN_URL", url_of(administrator))
        assert stage_1() == 0
        monkeypatch.delenv("DATABASE_ADMIN_URL")
        assert stage_1() == 0
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM schema_migrations").fetchone() == (len(migrations()),)
        assert connection.execute("SELECT count(*) > 0 FROM collected_daily_etf_ohlc").fetchone() == (True,)


def stage_1() -> int:
    return main(STAGE_1, ["--as-of", "2023-06-30", "--source", "synthetic"])
