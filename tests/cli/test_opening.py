"""Opening a job: what is checked before Spark starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_app.cli.main import main
from spark_app.spark import session
from spark_app.storage.postgres.database import Database
from tests.storage.postgres.logins import login_as, url_of


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Spark must not start."""

    def start(*_: object, **__: object) -> None:
        pytest.fail("Spark was started")

    monkeypatch.setattr(session, "build_session", start)
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))


@pytest.mark.usefixtures("no_spark", "no_settings_from_outside")
def test_retention_without_the_right_names_the_variable_before_anything_else(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with login_as(database, "spark_app_pipeline") as pipeline:
        monkeypatch.setenv("DATABASE_URL", url_of(pipeline))
        assert main("apply_retention", []) == 2
    printed = capsys.readouterr()
    # It may remove stale holdings, but neither prices nor errors.
    assert (printed.out, printed.err) == (
        "",
        f"apply_retention: user {pipeline.parameters['user']} may not remove rows of collected_daily_etf_ohlc,"
        " collected_daily_benchmark_ohlc, collected_daily_stock_history, logs_consumer_error:"
        " name a member of spark_app_retention in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)\n",
    )


@pytest.mark.usefixtures("no_spark", "no_settings_from_outside")
@pytest.mark.parametrize(
    ("job", "dates", "said"),
    [
        (
            "stage1_etf_ohlc",
            ["--as-of", "9999-12-31"],
            "--as-of 9999-12-31 is not over yet: the last completed session is ",
        ),
        ("backtest", ["--to", "9999-12-31"], "--to 9999-12-31 is not over yet: the last completed session is "),
        ("stage1_etf_ohlc", ["--as-of", "1899-01-01"], "there are no prices before 1993-01-29, the benchmark's first "),
        ("republish", ["--from", "9999-12-31"], "--from 9999-12-31 is after "),
        (
            "republish",
            ["--as-of", "2024-05-10", "--from", "2024-05-11"],
            "--from 2024-05-11 is after 2024-05-10: there is no ",
        ),
    ],
)
def test_dates_that_cannot_be_are_refused_before_spark_starts(
    capsys: pytest.CaptureFixture[str], job: str, dates: list[str], said: str
) -> None:
    assert main(job, dates) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith(f"{job}: {said}")
