"""The embedded PostgreSQL: the first job that needs it starts it, the last one to end stops it.

Locks are on files in its folder:

| file | locked by |
|---|---|
| `in_use` | every job that uses the server, shared, to its end; whoever stops the server tries to lock it alone |
| `control` | the process that is starting or stopping the server |
| `server` | the server's own processes; process ids are not enough: containers have their own, and they are reused |
| `keeper` | the keeper, a small process that stops the server once `in_use` is free, even if all jobs were killed |

While the file `keep_running` exists (`db start`) nobody stops the server.

The server listens on loopback TCP (JDBC has no Unix sockets) with a generated password. PostgreSQL does not run as
root: then it runs as `postgres` or `nobody`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from spark_app.errors import ServiceUnavailableError
from spark_app.storage.postgres.embedded.programs import installation_for, reachable_home, server_account

logger = logging.getLogger(__name__)

USER = DATABASE = "spark_app"
_KEEPER_PAUSE_SECONDS = 0.1
_LAST_PROCESS_SECONDS = 10.0


class EmbeddedPostgres:
    """The server with its files in `home`; safe to use from any number of processes."""

    def __init__(self, home: Path) -> None:
        self._account = server_account()
        self._home = reachable_home(home, self._account)
        self._data = self._home / "data"

    @contextlib.contextmanager
    def lease(self) -> Iterator[str]:
        """Keep the server running for the duration of the block; yields its URL."""
        with self._lock("in_use", fcntl.LOCK_SH) as in_use:
            with self._lock("control", fcntl.LOCK_EX), self._translated_errors():
                if not self._is_running():
                    self._start()
                self._create_database()
            try:
                yield self._url()
            finally:
                in_use.close()
                if self._stop_if_unused():
                    self._await_keeper()

    def keep_running(self) -> str:
        """Start the server and leave it running until `stop` is called; returns its URL."""
        with self._translated_errors():
            (self._home / "keep_running").touch()
        with self.lease() as url:
            return url

    def running_url(self) -> str | None:
        """Return the URL of the server if it is running, else None."""
        with self._translated_errors():
            return self._url() if self._is_running() else None

    def stop(self) -> bool:
        """Stop the server once no job uses it; returns whether it is stopped now."""
        with self._translated_errors():
            (self._home / "keep_running").unlink(missing_ok=True)
        stopped = self._stop_if_unused()
        if not stopped:
            self._start_keeper()
        return stopped

    def wait_and_stop(self) -> None:
        """Wait until no job uses the server, then stop it: the main function of the keeper."""
        with self._lock("keeper", fcntl.LOCK_EX):
            while self._has_pid_file() and not self._stop_if_unused():
                time.sleep(_KEEPER_PAUSE_SECONDS)

    def _program(self, name: str) -> Path:
        return installation_for(self._account) / "bin" / name

    def _await_keeper(self) -> None:
        """Wait a moment for the keeper to end, so that no process outlives the job."""
        deadline = time.monotonic() + 10 * _KEEPER_PAUSE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError), self._lock("keeper", fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
            time.sleep(_KEEPER_PAUSE_SECONDS / 10)

    def _stop_if_unused(self) -> bool:
        """Stop the server unless it is in use; a server with `keep_running` counts as stopped."""
        with self._lock("control", fcntl.LOCK_EX):
            try:
                with self._lock("in_use", fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if self._is_running() and not (self._home / "keep_running").exists():
                        self._control("stop", "-m", "fast", "-w")
                    return True
            except BlockingIOError:
                return False

    def _start(self) -> None:
        self._await_last_process()
        with self._lock("server", fcntl.LOCK_EX | fcntl.LOCK_NB) as lock:
            # Stale: no server process has the lock.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
            self._start_server(lock)
        self._start_keeper()

    def _await_last_process(self) -> None:
        """Wait for the last processes of a killed server to end.

        Raises: ServiceUnavailableError: they do not; a server is running in another container.
        """
        deadline = time.monotonic() + _LAST_PROCESS_SECONDS
        while True:
            with contextlib.suppress(BlockingIOError), self._lock("server", fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
            if time.monotonic() > deadline:
                raise ServiceUnavailableError(
                    f"the embedded PostgreSQL in {self._home} is running in another container: run one at a time, "
                    "or set DATABASE_URL"
                )
            time.sleep(_KEEPER_PAUSE_SECONDS)

    def _start_server(self, lock: IO[str]) -> None:
        log = str(self._home / "server.log")
        for _ in range(5):
            options = f"-c listen_addresses=127.0.0.1 -c port={_free_port()} -c unix_socket_directories="
            started = self._control("start", "-w", "-l", log, "-o", options, keep=[lock.fileno()])
            if started.returncode == 0:
                return
        raise ServiceUnavailableError(
            f"the embedded PostgreSQL does not start: see {self._home / 'server.log'} ({started.stdout.strip()[-300:]})"
        )

    def _initialise(self) -> None:
        # Renamed when complete: a run that is killed here leaves no half-initialized database.
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.chown(unfinished)
        log = self._home / "server.log"
        log.touch()
        self._account.chown(log)
        password = secrets.token_urlsafe(24)
        _write_private(self._home / "password", password)
        with tempfile.NamedTemporaryFile("w", dir=self._home) as password_file:
            password_file.write(password)
            password_file.flush()
            self._account.chown(Path(password_file.name))
            done = self._account.run(
                *(self._program("initdb"), "-D", unfinished, "-U", USER, "-A", "scram-sha-256"),
                *("--pwfile", password_file.name, "-E", "UTF8", "--locale=C"),
            )
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ServiceUnavailableError(f"the embedded PostgreSQL cannot be set up: {failure_in(done.stdout)}")
        shutil.rmtree(self._data, ignore_errors=True)
        unfinished.rename(self._data)
        logger.info("embedded PostgreSQL set up in %s", self._home)

    def _create_database(self) -> None:
        """Create the database if it is missing: a run that started the server may have been killed before it did."""
        import psycopg

        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _start_keeper(self) -> None:
        subprocess.Popen(
            [sys.executable, "-m", "spark_app.storage.postgres.embedded.server", str(self._home)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _control(self, action: str, *options: str, keep: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        return self._account.run(self._program("pg_ctl"), action, "-s", "-D", self._data, *options, keep=keep)

    def _is_running(self) -> bool:
        return self._has_pid_file() and self._control("status").returncode == 0 and self._answers()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port()), timeout=5):
            return True
        return False

    def _port(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[3])

    def _has_pid_file(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def _url(self, database: str = DATABASE) -> str:
        password = (self._home / "password").read_text()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self._port()}/{database}?sslmode=disable"

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Translate what a full disk or a missing right does; messages of initdb may have several lines."""
        import psycopg

        try:
            yield
        except OSError as error:
            raise ServiceUnavailableError(
                f"the embedded PostgreSQL cannot use {self._home}: {error.strerror}"
            ) from error
        except psycopg.Error as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ServiceUnavailableError(f"the embedded PostgreSQL in {self._home} failed: {reason}") from error

    @contextlib.contextmanager
    def _lock(self, name: str, mode: int) -> Iterator[IO[str]]:
        try:
            file = (self._home / name).open("a")
        except OSError as error:
            raise ServiceUnavailableError(
                f"the embedded PostgreSQL cannot use {self._home}: {error.strerror}"
            ) from error
        with file:
            fcntl.flock(file, mode)
            yield file


def failure_in(printed: str) -> str:
    """Return what a program of PostgreSQL says about its failure, in one line of at most 500 characters."""
    lines = printed.strip().splitlines() or ["no message"]
    told = (line.partition(level)[2] for line in lines for level in ("FATAL:", "error:") if level in line)
    return next(told, lines[-1]).strip()[:500]


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    EmbeddedPostgres(Path(sys.argv[1])).wait_and_stop()
