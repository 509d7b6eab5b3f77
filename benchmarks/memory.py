"""The memory that a command and its child processes take together."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Peak:
    """The largest resident memory seen, and the seconds until the end; `is_done` if the command came to its end."""

    mebibytes: float
    seconds: float
    is_done: bool


def run_within(command: Sequence[str], mebibytes: float) -> Peak:
    """Run a command, and kill it with its child processes as soon as they take more than that together.

    Raises: subprocess.CalledProcessError: the command itself failed.
    """
    started, peak = time.perf_counter(), 0.0
    with subprocess.Popen(command) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            tree = _tree(root)
            peak = max(peak, sum(map(_resident, tree)) / 2**20)
            if peak > mebibytes:
                for one in tree:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
                return Peak(peak, time.perf_counter() - started, is_done=False)
            time.sleep(_PAUSE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Peak(peak, time.perf_counter() - started, is_done=True)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
