"""What long work says before it begins, and how far it is: requests, on a terminal by a bar."""

from __future__ import annotations

import io
import logging
import os
import select
from collections.abc import Iterator

import pytest
from tqdm import tqdm

from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.ingestion.progress import WaveBar, WaveProgress, announce, progress_of
from spark_app.sources.contract import Kind, Outcome

LOGGER = "spark_app.ingestion.progress"


@pytest.mark.parametrize(
    ("requests", "delay", "said"),
    [
        (121, 5.0, ["sending 121 requests, 5 s apart: about 10 min"]),
        (12, 5.0, ["sending 12 requests, 5 s apart: about 60 s"]),
        (40, 2.5, ["sending 40 requests, 2.5 s apart: about 2 min"]),
        (1500, 5.0, ["sending 1500 requests, 5 s apart: about 2 h 05 min"]),
        (1, 5.0, []),
        (500, 0.0, []),
    ],
)
def test_long_work_says_how_long_before_it_begins(
    caplog: pytest.LogCaptureFixture, requests: int, delay: float, said: list[str]
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    announce(requests, delay)
    assert [record.getMessage() for record in caplog.records] == said


def landing(*tickers: tuple[Kind, str, str]) -> Landing:
    return Landing([LandedTicker(kind, ticker, outcome, rows=2) for kind, ticker, outcome in tickers])


def test_a_wave_counts_its_requests_not_each_ticker_of_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    clock = iter([0.0, 60.0])
    progress = WaveProgress(3, 7, monotonic=lambda: next(clock))
    # Two charts, and one request for the quotes of the same two stocks.
    answers = [(kind, ticker, Outcome.OK) for kind in (Kind.CHART, Kind.QUOTE) for ticker in ("AAPL", "MSFT")]
    progress.wave_done(3, landing(*answers))
    assert [record.getMessage() for record in caplog.records] == [
        "wave 1/3  requests 3/7  rows 8  failed 0  elapsed 1m00s  ETA 1m20s"
    ]


def seen(terminal: int, text: str) -> str:
    """What was drawn since the last look, until the text is there; a terminal passes it on in pieces."""
    drawn = ""
    while text not in drawn and select.select([terminal], [], [], 5)[0]:
        drawn += os.read(terminal, 10_000).decode()
    return drawn


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as the launcher names it; yields the end at which a person looks."""
    person, program = os.openpty()
    monkeypatch.setenv("LAUNCHER_TERMINAL", os.ttyname(program))
    yield person
    os.close(person)
    os.close(program)


def test_on_a_terminal_a_bar_moves_with_every_request(terminal: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    sent = iter([100, 102, 109])
    with progress_of(2, 6, lambda: next(sent)) as progress:
        assert isinstance(progress, WaveBar)
        progress.wait(3)
        in_first_wave = seen(terminal, "2/6")
        progress.wave_done(3, landing((Kind.CHART, "AAPL", Outcome.OK), (Kind.CHART, "NONE", Outcome.NOT_FOUND)))
        after_first_wave = seen(terminal, "failed 1")
        progress._look_at = 0
        progress.wait(2)  # 9 were sent, with retries; of the second wave no more than 2 can be on their way.
        in_second_wave = seen(terminal, "5/6")
    assert "requests 2/6" in in_first_wave
    assert "requests 3/6" in after_first_wave
    assert "rows 4, failed 1" in after_first_wave
    assert "requests 5/6" in in_second_wave
    assert caplog.records == []


def test_the_time_left_does_not_count_the_start_of_the_workers() -> None:
    clock = iter([0.0, 30.0, 40.0])
    drawn = io.StringIO()
    bar = tqdm(total=121, file=drawn, bar_format="requests {n_fmt}{postfix}", ncols=80)
    # The first look finds one request after 30 seconds, the next one two more after 10.
    progress = WaveBar(5, 121, bar, iter([0, 1, 3]).__next__, monotonic=lambda: next(clock))
    for _ in range(2):
        progress.wait(25)
    seen = [text.strip() for text in drawn.getvalue().split("\r") if text.strip()]
    assert seen[-2:] == ["requests 1, left ?", "requests 3, left 09:50"]


def test_without_a_terminal_or_with_one_that_is_gone_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAUNCHER_TERMINAL", raising=False)
    with progress_of(2, 6, lambda: 0) as progress:
        assert type(progress) is WaveProgress
    monkeypatch.setenv("LAUNCHER_TERMINAL", "/dev/pts/of nobody")
    with progress_of(2, 6, lambda: 0) as progress:
        assert type(progress) is WaveProgress
