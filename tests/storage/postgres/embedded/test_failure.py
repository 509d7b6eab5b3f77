"""Why the embedded server cannot be set up, in one line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from spark_app.errors import ServiceUnavailableError
from spark_app.storage.postgres.embedded import server
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres, failure_in

FULL = """creating configuration files ... ok
running bootstrap script ... 2026-11-29 14:57:19 UTC [113] FATAL:  could not write to file "x": No space left on device
child process exited with exit code 1
initdb: removing contents of data directory "/home/a/data.unfinished"
"""


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (FULL, 'could not write to file "x": No space left on device'),
        (
            'initdb: error: could not create directory "/a": Permission denied\n',
            'could not create directory "/a": Permission denied',
        ),
        ("something\nelse\n", "else"),
        ("", "no message"),
    ],
)
def test_the_reason_of_initdb_is_one_line(printed: str, reason: str) -> None:
    assert failure_in(printed) == reason


def test_a_full_disk_is_one_sentence(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(server, "_write_private", write)
    home = open_folder / "full"
    with (
        pytest.raises(ServiceUnavailableError, match=f"^the embedded PostgreSQL cannot use {home}: No space left"),
        EmbeddedPostgres(home).lease(),
    ):
        pass


def test_files_that_the_user_may_not_change_or_read_are_one_sentence(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_folder / "of another user"
    own = EmbeddedPostgres(home)
    # Root may do both, but not with a folder.
    (home / "keep_running").mkdir()
    (home / "password").mkdir()
    monkeypatch.setattr(EmbeddedPostgres, "_is_running", lambda _: True)
    for ask in (own.stop, own.running_url):
        with pytest.raises(
            ServiceUnavailableError, match=f"^the embedded PostgreSQL cannot use {home}: Is a directory$"
        ):
            ask()
