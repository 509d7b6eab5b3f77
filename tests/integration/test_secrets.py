"""No secret anywhere it can be read, with the event log on and every log at its most talkative."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql
from pyspark.sql import SparkSession

from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, Staging
from spark_app.storage.postgres.database import Database
from tests.emulator import YahooEmulator
from tests.integration.fetch_market import AS_OF, fetch_market
from tests.integration.spying import Spy, forms_of, spied, where
from tests.integration.world import World
from tests.storage.postgres.logins import drop_user

PASSWORD = "s3cRet/Pa+ss w0rd%&='?:@"
USER = "test_secretive"
STAGE_1 = ("stage1_etf_ohlc", "--as-of", str(AS_OF), "--delay", "0")
# What Spark's rows of a loading table then break is only found out while they arrive by JDBC.
_POISON = """
CREATE FUNCTION poison() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'loading' LOOP
        EXECUTE format('ALTER TABLE %s ADD CHECK (volume < 0)', made.object_identity);
    END LOOP;
END $$;
CREATE EVENT TRIGGER poison ON ddl_command_end WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION poison();
"""


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    with database.connect() as connection:
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE spark_app_pipeline")
        connection.execute(statement.format(sql.Identifier(USER), sql.Literal(PASSWORD)))
    with YahooEmulator(fetch_market()) as emulator:
        pipeline = Database({**database.parameters, "user": USER}, PASSWORD)
        yield World(tmp_path / "home", emulator, pipeline, database)
    drop_user(database, USER)


def run(world: World, database: dict[str, str], *command: str) -> tuple[int, str, Spy]:
    """Run a job; returns its exit code, what it said, and what was seen of its processes."""
    source = {f"SPARK_APP_SOURCE__{key.upper()}": value for key, value in world.source_settings.items()}
    own = {"SPARK_APP_HOME": str(world.home), **source, **database}
    with spied(world.home.parent, PASSWORD, own, *command) as (process, spy):
        return process.wait(300), process.said, spy


def url_of(world: World, password: str = "") -> str:
    p = world.database.parameters
    return f"postgresql://{USER}{password and ':' + quote(password, safe='')}@{p['host']}:{p['port']}/{p['dbname']}"


def stored_text(world: World, spark: SparkSession) -> str:
    """Everything that the tables of Postgres and of staging hold."""
    tables = world.query("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'loading')")
    staging = Staging(spark, str(world.home / "staging"), "real")
    parts = [str(staging.read(table).collect()) for table in (FETCHES_TABLE, BARS_TABLE)]
    with world.owner.connect() as connection:
        for place in tables:
            query = sql.SQL("SELECT string_agg(held::text, ' ') FROM {} AS held").format(sql.Identifier(*place))
            parts.append(str(connection.execute(query).fetchone()))
    return "\n".join(parts)


def test_a_password_is_nowhere_to_be_read(world: World, spark: SparkSession, tmp_path: Path) -> None:
    exit_code, said, spy = run(world, {"DATABASE_URL": url_of(world, PASSWORD)}, *STAGE_1)
    assert exit_code == 0, said
    assert any("pyspark.daemon" in program for program in spy.programs), spy.programs
    # The environment is where the user put it; those who start the driver hand it on, the workers need it not.
    assert {place for place, _ in spy.seen} == {"environ"}
    assert [program for _, program in spy.seen if "daemon" in program] == []
    assert where(tmp_path, PASSWORD) == []

    with world.owner.connect() as connection:
        connection.execute(_POISON)
        # Of an unchanged table the run would load nothing.
        connection.execute("DELETE FROM collected_daily_etf_ohlc")
    file = tmp_path / "secret.txt"
    file.write_text(PASSWORD)
    named = {"DATABASE_URL": url_of(world), "DATABASE_PASSWORD_FILE": str(file)}
    exit_code, said, spy = run(world, named, *STAGE_1)
    assert exit_code == 1, said
    assert "loading rows for collected_daily_etf_ohlc into PostgreSQL failed" in said
    assert spy.seen == set()
    assert where(tmp_path, PASSWORD) == ["secret.txt"]
    stored = stored_text(world, spark)
    assert "XLK" in stored
    assert not [form for form in forms_of(PASSWORD) if form in stored]
