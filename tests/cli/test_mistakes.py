"""What users get wrong: each mistake ends with one sentence, its exit code, and no traceback."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from pyspark.sql import SparkSession

from spark_app.cli.main import main
from spark_app.storage.postgres.database import Database
from spark_app.universe import PRICED_FUNDS
from tests.declared import STAGES

STAGE_1, STAGE_2, STAGE_3, STAGE_4, STAGE_5 = STAGES
BACKFILL, STAGGERED, CACHE = "backfill_etf_benchmarks", "staggered_sector_backfill", "cache"
REPUBLISH, VERIFY, RETENTION = "republish", "verify_data", "apply_retention"
A_SESSION = "2024-05-10"
MEMORIAL_DAY = "2024-05-27"
NOBODY_LISTENS = "127.0.0.1:9"

Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def world_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside, and a database that nobody reaches: most mistakes are found before it matters."""
    for name in list(os.environ):
        if name.startswith(("SPARK_APP_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone:s3cret@{NOBODY_LISTENS}/market")
    monkeypatch.setenv("SPARK_APP_DATABASE__RETRY_SECONDS", "0")


@pytest.fixture
def run(kept_spark: SparkSession, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Run:
    """Run a job; returns the exit code and what stands on stderr, which has no traceback."""
    caplog.set_level(logging.DEBUG)

    def run_it(job: str, *arguments: str) -> tuple[int, str]:
        try:
            exit_code = main(job, arguments)
        except SystemExit as stopped:
            exit_code = int(stopped.code or 0)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "s3cret" not in said + caplog.text
        return exit_code, said

    return run_it


@pytest.fixture
def kept_spark(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """The session that the job will get; it belongs to all tests, so the job does not stop it."""
    monkeypatch.setattr(SparkSession, "stop", lambda session: None)
    return spark


@pytest.fixture
def own_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An empty database with the pipeline's tables, named by DATABASE_URL."""
    parameters = database.parameters
    account = f"{parameters['user']}:{quote(database.password or '')}"
    place = f"{parameters['host']}:{parameters['port']}/{parameters['dbname']}"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{account}@{place}")
    return database


def sentence(said: str) -> str:
    """The one line on stderr."""
    (line,) = said.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--as-of", "10.05.2024"], "invalid date '10.05.2024': expected YYYY-MM-DD"),
        (["--as-of", "2024-02-30"], "invalid date '2024-02-30': expected YYYY-MM-DD"),
        (["--days", "0"], "invalid number '0': expected a whole number above 0"),
        (["--as-off", A_SESSION], "unrecognized arguments: --as-off 2024-05-10"),
        (["--source", "bloomberg"], "invalid choice: 'bloomberg'"),
        (["--delay", "soon"], "invalid number 'soon': expected a number"),
    ],
)
def test_a_command_line_that_cannot_be_read(run: Run, arguments: list[str], complaint: str) -> None:
    exit_code, said = run(STAGE_1, *arguments)
    assert exit_code == 2
    assert sentence(said).startswith(f"{STAGE_1}: ")
    assert complaint in said


@pytest.mark.parametrize(
    ("job", "arguments", "complaint"),
    [
        (
            BACKFILL,
            ["--tickers", "SPY,AAPL,XLZ"],
            "argument --tickers: unknown ticker 'AAPL, XLZ': choose from SPY, XLK, XLV",
        ),
        (BACKFILL, ["--tickers", ""], "argument --tickers: unknown ticker '': choose from SPY"),
        (
            BACKFILL,
            ["--tickers", "x'); DROP TABLE logs_pipeline_run; --"],
            'unknown ticker "X\'); DROP TABLE LOGS_PIPELINE_RUN; --": choose from SPY',
        ),
        (BACKFILL, ["--tickers", "XLK\nXLV"], r"unknown ticker 'XLK\nXLV': choose from SPY"),
        (BACKFILL, ["--tickers", "\u0425LK,XLK\u200b"], ": choose from SPY"),
        (BACKFILL, ["--tickers", "A" * 5000], "AAAA...': choose from SPY"),
        (BACKFILL, ["--tickers", "XLK\0"], r"unknown ticker 'XLK\x00': choose from SPY"),
        (BACKFILL, ["--as-of", "2024-05-10/../../etc/passwd"], "invalid date"),
        (BACKFILL, ["--as-of", "-2024-05-10"], "--as-of: expected one argument"),
        (BACKFILL, ["--days", "9" * 5000], "999...': expected a whole number above 0"),
        (BACKFILL, ["--days", "1e3"], "invalid number '1e3': expected a whole number above 0"),
        (BACKFILL, ["--rate-limit-sleep", "999999999"], "fetch.rate_limit_pause_seconds"),
        (BACKFILL, ["--max-retries", "9" * 30, "--as-of", A_SESSION], "setting fetch.max_retries"),
        (BACKFILL, ["--delay", "nan", "--as-of", A_SESSION], "setting fetch.delay_seconds"),
        (BACKFILL, ["--delay", "inf", "--as-of", A_SESSION], "setting fetch.delay_seconds"),
        (BACKFILL, ["--config", "x" * 5000], "there is no such file"),
        (BACKFILL, ["--json", "x" * 5000], "cannot write: File name too long"),
        (BACKFILL, ["--json", "x\0y"], "cannot write: embedded null byte"),
        (
            REPUBLISH,
            ["--tables", "logs_pipeline_run"],
            "unknown table 'logs_pipeline_run': choose from collected_daily_etf_ohlc",
        ),
        (REPUBLISH, ["--tables", "collected_meta_etf; DROP TABLE x"], ": choose from collected_daily_etf_ohlc"),
        (REPUBLISH, ["--from", "2024-05-32"], "invalid date '2024-05-32': expected YYYY-MM-DD"),
        (REPUBLISH, ["--known-at", "yesterday"], "invalid time 'yesterday': expected a time like 2024-05-10T21:30"),
        (REPUBLISH, ["--known-at", "0001-01-01T00:00+23:59"], "expected a time like 2024-05-10T21:30"),
        (STAGE_3, ["--known-at", "9999-12-31T23:59-23:59"], "expected a time like 2024-05-10T21:30"),
        (STAGE_5, ["--known-at", "2024-05-10; --"], "expected a time like 2024-05-10T21:30"),
        (STAGE_4, ["--universe", "S&P 500"], "argument --universe: invalid choice: 'S&P 500'"),
        (VERIFY, ["--as-of", A_SESSION], "unrecognized arguments: --as-of 2024-05-10"),
        (RETENTION, ["--dry-run", "--days", "3"], "unrecognized arguments: --days 3"),
        (BACKFILL, ["--days", "-5"], "argument --days: invalid number '-5': expected a whole number above 0"),
        (
            BACKFILL,
            ["--rate-limit-sleep", "0"],
            "argument --rate-limit-sleep: invalid number '0': expected a whole number above 0",
        ),
        (BACKFILL, ["--max-retries", "few"], "argument --max-retries: invalid number 'few': expected a whole number"),
        (BACKFILL, ["--max-retries", "\uff13"], "invalid number '\uff13': expected a whole number"),
        (BACKFILL, ["--delay", "\uff13"], "invalid number '\uff13': expected a number"),
        (BACKFILL, ["--delay", "1_0"], "invalid number '1_0': expected a number"),
        (BACKFILL, ["--days", "\u0663"], "invalid number '\u0663': expected a whole number above 0"),
        (BACKFILL, ["--as-of", "2024-05-1\u0660"], "invalid date '2024-05-1\u0660': expected YYYY-MM-DD"),
        (STAGGERED, ["--delay-minutes", "\u0665"], "invalid number of minutes '\u0665'"),
        (BACKFILL, ["--start-from", "XLV"], "unrecognized arguments: --start-from XLV"),
        (STAGGERED, ["--tickers", "SPY,XLK"], "argument --tickers: unknown ticker 'SPY': choose from XLK, XLV"),
        (STAGGERED, ["--start-from", "SPY"], "argument --start-from: unknown ticker 'SPY': choose from XLK"),
        (STAGGERED, ["--start-from", "XLK,XLV"], "argument --start-from: more than one ticker 'XLK,XLV': expected one"),
        (STAGGERED, ["--delay-minutes", "-1"], "invalid number of minutes '-1': expected 0 to 1440"),
        (STAGGERED, ["--delay-minutes", "nan"], "invalid number of minutes 'nan'"),
        (STAGGERED, ["--delay-minutes", "1e300"], "invalid number of minutes '1e300'"),
        (STAGGERED, ["--tickers", "XLK,XLV", "--start-from", "XLB", "--dry-run"], "XLK, XLV all come before it"),
        (STAGGERED, ["--as-of", "2999-01-04", "--dry-run"], "2999-01-04 is not over yet"),
        (STAGGERED, ["--delay", "-1", "--dry-run"], "fetch.delay_seconds"),
        (CACHE, ["--forget", "SPY", "--forget-all"], "argument --forget-all: not allowed with argument --forget"),
        (CACHE, ["--forget"], "argument --forget: expected one argument"),
    ],
)
def test_an_option_of_a_tool_that_cannot_be(run: Run, job: str, arguments: list[str], complaint: str) -> None:
    exit_code, said = run(job, *arguments)
    assert exit_code == 2
    assert sentence(said).startswith(f"{job}: ")
    assert complaint in said


@pytest.mark.parametrize(
    ("ticker", "complaint"),
    [("XLK", "nothing is cached of XLK"), ("x'; drop table", 'invalid ticker "x\'; drop table"')],
)
def test_nothing_is_cached_of_a_ticker_that_is_to_be_forgotten(
    run: Run, own_database: Database, ticker: str, complaint: str
) -> None:
    exit_code, said = run(CACHE, "--forget", ticker)
    assert exit_code == 2
    assert complaint in sentence(said)


def test_a_date_in_the_future(run: Run) -> None:
    exit_code, said = run(STAGE_1, "--as-of", "2999-01-04")
    assert exit_code == 2
    assert "2999-01-04 is not over yet: the last completed session is 20" in sentence(said)


def test_a_date_before_the_benchmark_began(run: Run) -> None:
    exit_code, said = run(STAGE_1, "--as-of", "1990-01-02")
    assert exit_code == 2
    assert "1990-01-02 is too early" in sentence(said)


def test_a_day_that_is_no_session_names_the_one_before_it(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    exit_code, said = run(STAGE_1, "--as-of", MEMORIAL_DAY)
    assert (exit_code, said) == (0, "")
    assert "2024-05-27 is not a trading day (previous session: 2024-05-24): nothing to do" in caplog.text


def test_a_date_before_the_synthetic_market_began(run: Run) -> None:
    exit_code, said = run(STAGE_1, "--as-of", "1999-01-04", "--source", "synthetic")
    assert exit_code == 2
    assert "the synthetic market begins on 2015-01-02: 1999-01-04 is too early" in sentence(said)


@pytest.mark.parametrize(
    ("place", "expected", "complaint"),
    [
        ("s4://market/staging", 2, 'No FileSystem for scheme "s4": set staging.path to a folder'),
        ("{tmp}/a file", 69, "make it writable, or set staging.path (or SPARK_APP_HOME) to another"),
        ("/proc/staging", 69, "make it writable, or set staging.path (or SPARK_APP_HOME) to another"),
    ],
)
def test_a_staging_path_that_cannot_be(
    run: Run,
    own_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    expected: int,
    complaint: str,
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SPARK_APP_STAGING__PATH", place.format(tmp=tmp_path))
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION, "--source", "synthetic")
    assert exit_code == expected
    assert complaint in sentence(said)
    assert "run it again" not in said


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SPARK_APP_FETCH__DELAY", "1", "environment variable SPARK_APP_FETCH__DELAY: there is no such setting"),
        ("SPARK_APP_FETCHING__DELAY_SECONDS", "1", "SPARK_APP_FETCHING__DELAY_SECONDS: there is no such setting"),
        ("SPARK_APP_FETCH__DELAY_SECONDS", "-1", "setting fetch.delay_seconds: '-1'"),
        ("SPARK_APP_PORTFOLIO__BASIS_SESSIONS", "7", "setting portfolio.basis_sessions"),
        ("SPARK_APP_PORTFOLIO__MAX_WEIGHT", "0.123456789", "setting portfolio.max_weight"),
        ("SPARK_APP_SOURCE__ENDPOINT", "localhost", "setting source.endpoint: 'localhost'"),
        ("SPARK_APP_FETCH__CACHE_HOURS", "1e300", "setting fetch.cache_hours"),
        ("SPARK_APP_FETCH__DAILY_REQUEST_BUDGET", "9" * 30, "setting fetch.daily_request_budget"),
        ("SPARK_APP_PORTFOLIO__TOP_N_PER_SECTOR", "9" * 30, "setting portfolio.top_n_per_sector"),
        ("SPARK_APP_PORTFOLIO__MAX_WEIGHT", "NaN", "setting portfolio.max_weight"),
        ("SPARK_APP_RETENTION__FETCHES_DAYS", "10000000", "setting retention.fetches_days"),
        ("SPARK_APP_RETENTION__VACUUM_HOURS", "inf", "setting retention.vacuum_hours"),
        ("SPARK_APP_QUALITY__STOCK_JUMP_PERCENT", "0", "setting quality.stock_jump_percent"),
        ("SPARK_APP_QUALITY__FUND_JUMP_PERCENT", "inf", "setting quality.fund_jump_percent"),
    ],
)
def test_a_setting_that_cannot_be(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(variable, value)
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION)
    assert exit_code == 2
    assert complaint in sentence(said)


def test_a_proxy_with_a_password_that_is_not_encoded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:s3cret#word@127.0.0.1:3128")
    exit_code, said = run(STAGE_1)
    assert exit_code == 2
    assert "environment variable HTTPS_PROXY is not the URL of a proxy" in said
    assert "# as %23" in said


def test_a_negative_delay(run: Run) -> None:
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION, "--delay", "-1")
    assert exit_code == 2
    assert "fetch.delay_seconds" in sentence(said)


def test_a_settings_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    exit_code, said = run(STAGE_1, "--config", str(tmp_path / "none.toml"))
    assert exit_code == 2
    assert "none.toml: there is no such file" in sentence(said)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[fetch\n", "cannot read the settings file"),
        ("[fetch]\ndelay = 1\n", "setting fetch.delay: there is no such setting"),
    ],
)
def test_a_settings_file_that_is_wrong(run: Run, tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    exit_code, said = run(STAGE_1, "--config", str(file))
    assert exit_code == 2
    assert complaint in sentence(said)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://someone:s3cret@127.0.0.1/market",
        "postgresql://someone:s3cret@127.0.0.1",
        "postgresql://someone:s3cret@127.0.0.1:port/market",
        "postgresql://someone:s3cret@127.0.0.1/market?nonsense=1",
    ],
)
def test_a_database_url_that_is_none(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION)
    assert exit_code == 2
    assert "DATABASE_URL" in sentence(said)


def test_a_database_that_is_down(run: Run) -> None:
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION)
    assert exit_code == 69
    assert f"cannot reach PostgreSQL at {NOBODY_LISTENS}/market" in sentence(said)


def test_a_wrong_password(run: Run, own_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"{own_database.parameters['host']}:{own_database.parameters['port']}/{own_database.parameters['dbname']}"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{own_database.parameters['user']}:s3cret@{place}")
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION)
    assert exit_code == 2
    assert f"cannot reach PostgreSQL at {place}: " in sentence(said)


def test_a_summary_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    exit_code, said = run(STAGE_1, "--as-of", MEMORIAL_DAY, "--json", str(tmp_path / "none" / "run.json"))
    assert exit_code == 2
    assert "cannot write: No such file or directory" in sentence(said)


def test_a_source_that_does_not_answer(
    run: Run, kept_spark: SparkSession, own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_APP_SOURCE__ENDPOINT", f"http://{NOBODY_LISTENS}")
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION, "--delay", "0", "--max-retries", "0")
    assert exit_code == 69
    assert "no data for any of 13 funds" in sentence(said)


@pytest.mark.parametrize(("stage", "needed"), [(STAGE_3, 1), (STAGE_4, 2), (STAGE_5, 2)])
def test_a_stage_before_the_one_that_it_needs(
    run: Run, kept_spark: SparkSession, own_database: Database, stage: str, needed: int
) -> None:
    exit_code, said = run(stage, "--as-of", A_SESSION)
    assert exit_code == 65
    assert sentence(said).endswith(f"run stage {needed} first")


def test_stage_5_before_stage_4(run: Run, kept_spark: SparkSession, own_database: Database) -> None:
    for stage in (STAGE_1, STAGE_2):
        assert run(stage, "--as-of", A_SESSION, "--source", "synthetic") == (0, "")
    exit_code, said = run(STAGE_5, "--as-of", A_SESSION, "--source", "synthetic")
    assert exit_code == 65
    assert sentence(said).endswith("run stage 4 first")


def test_jobs_that_read_take_the_kind_of_data_that_is_there(
    run: Run, kept_spark: SparkSession, own_database: Database, tmp_path: Path
) -> None:
    assert run(STAGE_1, "--as-of", A_SESSION, "--source", "synthetic") == (0, "")
    file = tmp_path / "cache.json"
    assert run(CACHE, "--json", str(file)) == (0, "")
    cached = json.loads(file.read_text())["cache"]
    assert [(fetch["kind"], fetch["ticker"]) for fetch in cached] == [
        ("chart", ticker) for ticker in sorted(PRICED_FUNDS)
    ]
    assert cached[0]["window_end"] >= A_SESSION
    exit_code, said = run(VERIFY)
    assert exit_code == 1
    assert "rows of collected_meta_etf" in sentence(said)
    exit_code, said = run(VERIFY, "--source", "yahoo")
    assert exit_code == 2
    assert "this database holds synthetic data" in sentence(said)


def test_the_summary_of_a_refused_run_says_why(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    exit_code, said = run(STAGE_1, "--as-of", "2999-01-04", "--json", str(file))
    summary = json.loads(file.read_text())
    assert (exit_code, summary["exit_code"], summary["stages"]) == (2, 2, [])
    assert summary["error"].startswith("--as-of 2999-01-04 is not over yet: the last completed session is ")
    assert summary["error"] in said


def test_synthetic_data_for_a_database_with_real_data(run: Run, own_database: Database) -> None:
    with own_database.connect() as connection:
        connection.execute("INSERT INTO logs_data_origin (origin) VALUES ('real')")
    exit_code, said = run(STAGE_1, "--as-of", A_SESSION, "--source", "synthetic")
    assert exit_code == 2
    assert "this database holds real data and the run would add synthetic data" in sentence(said)


def test_an_empty_list_of_tickers_drops_nothing_from_the_cache(
    run: Run, own_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(CACHE, "--forget", "") == (0, "")
    assert "Nothing is cached." in caplog.text
    assert "forgotten" not in caplog.text
