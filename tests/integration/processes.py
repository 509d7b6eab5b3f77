"""A job as a process of its own: started like a user starts it, watched line by line, and sent signals."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.integration.world import PROJECT, World

_LAUNCHER = PROJECT / "spark_jobs_launcher.sh"


class Submitted:
    """A job under way, leader of a session and process group of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process that was started, whose number its session has as well."""
        return self._process.pid

    @property
    def program(self) -> str:
        """What the process that was started runs by now: bash until Spark's driver takes it over, then java."""
        return Path(f"/proc/{self.pid}/comm").read_text().strip()

    @property
    def said(self) -> str:
        """Everything on stdout and stderr so far."""
        with self._changed:
            return "\n".join(self._lines)

    @property
    def is_running(self) -> bool:
        """Whether the process that was started has not ended."""
        return self._process.poll() is None

    def wait_for(self, words: str, timeout_seconds: float = 180.0) -> None:
        """Wait until a line has these words."""
        with self._changed:
            there = self._changed.wait_for(lambda: any(words in line for line in self._lines), timeout_seconds)
        assert there, f"never said {words!r}:\n{self.said}"

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal as the terminal does: to the whole group."""
        os.killpg(self._process.pid, number)

    def signal_alone(self, number: signal.Signals) -> None:
        """Send a signal as a process manager does: to the process that was started."""
        os.kill(self._process.pid, number)

    def wait(self, timeout_seconds: float = 300.0) -> int:
        """Wait for the end; returns the exit code."""
        try:
            exit_code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout_seconds} s:\n{self.said}") from None
        self._reader.join(2)
        return exit_code

    def left_behind(self, timeout_seconds: float = 5.0) -> list[str]:
        """List the processes of its session that are still there when their time to end is over."""
        deadline = time.monotonic() + timeout_seconds
        while (left := _session_members(self._process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def resume_arguments(self) -> list[str]:
        """The job and its arguments as the resume command says, with the delay at 0 to spare the test's time."""
        words = shlex.split(self.said.rpartition("./spark_jobs_launcher.sh ")[2].splitlines()[0])
        if "--delay" in words:
            words[words.index("--delay") + 1] = "0"
        return words

    def end(self) -> None:
        """Leave nothing behind, whatever the test found."""
        for pid in [int(line.split()[0]) for line in _session_members(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()


@contextlib.contextmanager
def submitted(
    world: World, job: str, *arguments: str, wave_size: int = 25, timeout_seconds: float = 20.0
) -> Iterator[Submitted]:
    """Start a job by the launcher against the emulator, for the duration of the block.

    Args:
        timeout_seconds: how long the job waits for an answer of the emulator.
    """
    source = {f"SPARK_APP_SOURCE__{key.upper()}": value for key, value in world.source_settings.items()}
    source["SPARK_APP_SOURCE__TIMEOUT_SECONDS"] = str(timeout_seconds)
    own = {"SPARK_APP_HOME": str(world.home), "SPARK_APP_FETCH__WAVE_SIZE": str(wave_size)}
    process = Submitted([str(_LAUNCHER), job, *arguments], {**os.environ, **source, **own}, world.home)
    try:
        yield process
    finally:
        process.end()


def _session_members(session: int) -> list[str]:
    """List the living processes of a session: pid and command."""
    listed = subprocess.run(["ps", "-eo", "pid,sid,stat,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=3) for line in listed.splitlines()[1:]]
    return [f"{pid} {command}" for pid, sid, state, command in rows if int(sid) == session and state[0] != "Z"]
