"""`status` as a command: its exit code, its outputs, and a database that does not answer."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest

from spark_app.cli.status import main
from spark_app.storage.postgres.database import Database
from tests.results.rows import FRIDAY, STAGES, add_run, serve
from tests.storage.postgres.logins import url_of

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

PASSWORD_OF_NOBODY = "s3cret"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def stale(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that the commands use, whose newest session is long past."""
    serve(database, FRIDAY.replace(year=2020))
    monkeypatch.setenv("DATABASE_URL", url_of(database))
    return database


def test_the_exit_code_is_that_of_the_status(stale: Database, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = home / "spark_app.prom"
    assert main(["--json", "--prometheus", str(metrics)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["exit_code"]) == ("error", 1)
    assert "spark_app_status_exit_code 1\n" in metrics.read_text()
    with stale.connect() as connection:
        connection.execute("UPDATE logs_fetch_throttle SET blocked_until = now() + interval '1 hour'")
    assert main([]) == 75
    assert re.match("blocked: [0-9]+ sessions behind the last completed session, 2", capsys.readouterr().out)


def test_a_setting_of_the_portfolio_makes_stage_5_pending(
    stale: Database, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--json"])
    last = json.loads(capsys.readouterr().out)["last_completed_session"]
    for stage in STAGES:
        add_run(stale, stage, dt.date.fromisoformat(last))
    main(["--json"])
    assert json.loads(capsys.readouterr().out)["next_run"]["stages"] == []
    settings = home / "pipeline.toml"
    settings.write_text("[portfolio]\ntop_n_per_sector = 3\n")
    main(["--json", "--config", str(settings)])
    assert json.loads(capsys.readouterr().out)["next_run"]["stages"] == ["stage5_portfolio_allocation"]


def test_a_database_that_is_down_is_a_sentence_also_for_monitors(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone:{PASSWORD_OF_NOBODY}@127.0.0.1:9/market")
    metrics = home / "spark_app.prom"
    metrics.write_text("spark_app_status_exit_code 0\n")
    assert main(["--json", "--prometheus", str(metrics)]) == 69
    told = capsys.readouterr()
    assert told.err.startswith("cannot reach PostgreSQL at 127.0.0.1:9/market: ")
    assert told.err.count("\n") == 1
    assert json.loads(told.out)["exit_code"] == 69
    assert "\nspark_app_status_exit_code 69\n" in metrics.read_text()
    assert PASSWORD_OF_NOBODY not in told.err + told.out


@pytest.mark.usefixtures("stale")
def test_a_place_of_metrics_that_cannot_be_written_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--prometheus", str(home / "none" / "x.prom")]) == 2
    told = capsys.readouterr()
    assert told.err == f"--prometheus {home}/none/x.prom: cannot write: No such file or directory\n"
    assert "stage1_etf_ohlc" in told.out


def test_mistakes_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nope"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "status: unrecognized arguments: --nope; see --help\n"
    assert main(["--config", "/none.toml"]) == 2
    assert capsys.readouterr().err == "--config /none.toml: there is no such file\n"
