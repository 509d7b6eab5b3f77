"""The command that goes on where a run stopped, and tickers on the command line."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.cli.jobs import JOBS
from spark_app.cli.parser import parse
from spark_app.pipeline.request import resume_command

DAY = dt.date(2024, 5, 10)
LAUNCHER = "./spark_jobs_launcher.sh"
BACKFILL, STAGGERED = "backfill_etf_benchmarks", "staggered_sector_backfill"


@pytest.mark.parametrize(
    ("given", "resumed"),
    [
        ([], "stage1 --as-of 2024-05-10"),
        (["--days", "60", "--refresh", "--force"], "stage1 --days 60 --as-of 2024-05-10"),
        (["--as-of", "2024-05-10", "--json", "out put.json"], "stage1 --as-of 2024-05-10"),
        (["--as-of=2024-05-10", "--delay=2"], "stage1 --delay=2 --as-of 2024-05-10"),
        (["--config", "my settings.toml"], "stage1 --config 'my settings.toml' --as-of 2024-05-10"),
    ],
)
def test_a_run_is_resumed_with_what_it_was_given(given: list[str], resumed: str) -> None:
    assert resume_command("stage1", given, DAY) == f"{LAUNCHER} {resumed}"


def test_the_staggered_backfill_is_resumed_with_the_next_sector() -> None:
    given = ["--start-from", "XLK", "--delay-minutes", "1"]
    resumed = resume_command("staggered", given, DAY, start_from="XLV")
    assert resumed == f"{LAUNCHER} staggered --delay-minutes 1 --as-of 2024-05-10 --start-from XLV"


def test_tickers_are_put_into_the_order_of_the_job() -> None:
    assert parse(JOBS[STAGGERED], ["--tickers", "xlv, XLK"])["tickers"] == ("XLK", "XLV")
    assert parse(JOBS[BACKFILL], ["--tickers", "XLC,SPY"])["tickers"] == ("SPY", "XLC")


@pytest.mark.parametrize("text", ["SPY", "XLK,NVDA", "", "x'); DROP TABLE etf; --"])
def test_a_ticker_that_is_no_sector_fund_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(JOBS[STAGGERED], ["--tickers", text])
    assert stopped.value.code == 2
    assert "choose from XLK, XLV" in capsys.readouterr().err
