"""What a signal does to this process; with Spark's it is tried in tests/integration/test_backfills.py."""

from __future__ import annotations

import os
import signal

import pytest

from spark_app.cli.interruption import Interruption


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_its_echo_from_the_jvm_counts_as_the_same(number: signal.Signals) -> None:
    left: list[int] = []
    interruption = Interruption(monotonic=Clock(), leave=left.append)
    with interruption.watching():
        assert not interruption.stopping.is_set()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interruption.stopping.is_set()
    assert left == []


def test_a_second_press_leaves_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    clock, left = Clock(), list[int]()
    interruption = Interruption(monotonic=clock, leave=left.append)
    with interruption.watching():
        os.kill(os.getpid(), signal.SIGINT)
        clock.seconds += 1.5
        os.kill(os.getpid(), signal.SIGINT)
    assert left == [130]
    assert "press Ctrl+C again to stop immediately" in capfd.readouterr().err


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption().watching():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
