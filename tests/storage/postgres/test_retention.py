"""The right to remove rows, which is checked before retention begins; the removal itself is in tests/operations."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from spark_app.config.settings import DatabaseSettings, load_settings
from spark_app.errors import SettingsError
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.retention import require_rights
from tests.storage.postgres.logins import login_as, url_of

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


def check(database: Database, admin: Database | None = None, **keep: object) -> None:
    named = DatabaseSettings(
        url=SecretStr(url_of(database)), admin_url=SecretStr(url_of(admin)) if admin is not None else None
    )
    require_rights(load_settings(overrides={"retention": keep}), named)


def test_whoever_may_remove_rows_passes_and_so_does_an_administrator_beside_the_pipeline(database: Database) -> None:
    with login_as(database, "spark_app_retention") as retention, login_as(database, "spark_app_pipeline") as pipeline:
        check(retention)
        check(pipeline, admin=retention)
        with pytest.raises(SettingsError, match=f"user {pipeline.parameters['user']} may not remove rows of"):
            check(pipeline)


def test_only_tables_count_that_are_not_kept_for_ever(database: Database) -> None:
    with login_as(database, "spark_app_pipeline") as pipeline:
        with pytest.raises(SettingsError, match="may not remove rows of logs_consumer_error: name one"):
            check(pipeline, price_history_days="keep")
        check(pipeline, price_history_days="keep", consumer_errors_days="keep")
    with login_as(database, "spark_app_retention") as retention:
        with pytest.raises(SettingsError, match="may not remove rows of logs_pipeline_run: name one"):
            check(retention, run_log_days=100)
        with pytest.raises(SettingsError, match="rows of analytics_trending_sectors, analytics_portfolio_allocation"):
            check(retention, analytics_days=100)


def test_what_does_not_exist_yet_needs_no_right(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        connection.execute("CREATE ROLE test_of_no_table LOGIN PASSWORD 'x'")
    try:
        check(Database({**empty_database.parameters, "user": "test_of_no_table"}, "x"))
    finally:
        with empty_database.connect() as connection:
            connection.execute("DROP ROLE test_of_no_table")


def test_the_embedded_server_has_one_user_who_may_do_everything() -> None:
    require_rights(load_settings(), DatabaseSettings())
