"""The command that goes on where a run stopped, and tickers on the command line."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_app.cli.jobs import JOBS
from spark_app.cli.parser import parse
from spark_app.pipeline.request import resume_command

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "stage1_etf_ohlc: argument --as-of: invalid date 'soon': expected YYYY-MM-DD; see --help\n"
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


def test_errors_go_to_the_stderr_of_the_launcher(tmp_path: Path) -> None:
    place = tmp_path / "stderr"
    place.write_text("before\n")
    command = [sys.executable, "-m", "jobs.stage1_etf_ohlc", "--as-of", "soon"]
    for name, expected in ((str(place), ""), (str(tmp_path / "no folder" / "x"), SENTENCE), ("", SENTENCE)):
        environment = os.environ | {"LAUNCHER_STDERR": name}
        # As spark-submit does: both go to stdout.
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment, cwd=ROOT
        )
        assert (done.returncode, done.stdout) == (2, expected)
    assert place.read_text() == f"before\n{SENTENCE}"


def test_a_default_with_a_percent_sign_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_APP_FILES__FOLDER", "/data/100%20")
    with pytest.raises(SystemExit) as ended:
        parse(JOBS["import_files"], ["--help"])
    assert ended.value.code == 0
    assert "(default: /data/100%20)" in " ".join(capsys.readouterr().out.split())


def test_an_empty_default_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(JOBS["backtest"], ["--help"])
    assert "(default: ())" not in capsys.readouterr().out
