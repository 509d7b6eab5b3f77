"""Every job is declared once: its entrypoint, options and help follow from the declaration."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import pkgutil
from pathlib import Path

import pytest

from spark_app.cli import jobs as declared_jobs
from spark_app.cli.interruption import Interruption
from spark_app.cli.invocation import Invocation
from spark_app.cli.jobs import JOBS, Job
from spark_app.cli.options import REPUBLISHED
from spark_app.cli.parser import build_parser, parse
from spark_app.config.settings import Settings
from spark_app.operations import republish
from spark_app.pipeline.request import Request
from spark_app.pipeline.stage import PARAMETERS, Stage
from tests.declared import DECLARED

ROOT = Path(__file__).resolve().parents[2]
OF_THE_COMMAND_LINE = {"config", "json", "first_as_of"}


def test_each_job_has_an_entrypoint_with_its_name_and_description() -> None:
    files = {file.stem: ast.parse(file.read_text()) for file in (ROOT / "jobs").glob("[a-z]*.py")}
    assert {name: ast.get_docstring(tree) for name, tree in files.items()} == {
        name: job.description for name, job in JOBS.items()
    }
    for name, tree in files.items():
        assert f"start_job('{name}')" in ast.unparse(tree)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_each_option_sets_a_field_of_the_request_or_a_setting(job: Job) -> None:
    fields = {field.name for field in dataclasses.fields(Request)}
    settings = {f"{section}.{key}" for section, values in Settings() for key, _ in values}
    for option in job.all_options:
        assert option.sets in fields | settings | OF_THE_COMMAND_LINE, option.flag


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_a_job_runs_is_there(job: Job) -> None:
    found = [name for name in (job.work, job.preview, job.check, job.reading, job.afterwards) if name]
    assert found or job.stages
    assert all(callable(pkgutil.resolve_name(name)) for name in found)


@pytest.mark.parametrize("stage", DECLARED.values(), ids=DECLARED)
def test_a_stage_is_found_by_name_and_declares_known_parameters(stage: Stage) -> None:
    assert callable(pkgutil.resolve_name(f"{stage.module}:run"))
    assert set(stage.parameters) <= PARAMETERS.keys()
    assert {*stage.depends_on, *stage.reruns_after} <= DECLARED.keys()


def test_the_options_of_a_stage_follow_from_its_declaration() -> None:
    flags = {
        (fetches, parameters): {
            option.flag
            for option in declared_jobs._options_of(Stage("s", "", "m", parameters=parameters, fetches=fetches))
        }
        for fetches in (True, False)
        for parameters in ((), ("days",), ("days", "universe"), ("portfolio",))
    }
    every = {"--as-of", "--force"}
    fetching = every | {"--delay", "--max-retries", "--refresh"}
    assert flags[True, ()] == fetching
    assert flags[True, ("days", "universe")] == fetching | {"--days", "--universe"}
    assert flags[False, ()] == flags[False, ("portfolio",)] == every | {"--known-at", "--dry-run"}
    assert flags[False, ("days",)] == every | {"--known-at", "--dry-run", "--days"}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_every_job_has_a_help_with_all_its_options(job: Job) -> None:
    text = build_parser(job, {}).format_help()
    assert job.description.split()[-1] in text
    assert all(option.flag in text for option in job.all_options)


def test_the_tables_that_can_be_rebuilt_are_those_of_the_option() -> None:
    assert {table.name for tables in republish._PUBLISHERS for table in tables} == set(REPUBLISHED)


@pytest.mark.parametrize(
    ("job", "words", "resumed"),
    [
        ("replay_topic", ["--from-offset", "12"], "replay_topic --from-offset 12"),
        ("daily_pipeline", ["--days", "60", "--force"], "daily_pipeline --days 60 --as-of 2024-05-10"),
    ],
)
def test_a_resume_command_has_only_options_of_the_job(job: str, words: list[str], resumed: str) -> None:
    invocation = Invocation(JOBS[job], tuple(words), parse(JOBS[job], words), Interruption())
    request = invocation.request(Settings(), dt.datetime(2024, 5, 11, 9, tzinfo=dt.UTC))
    assert request is not None
    assert request.resume_command == f"./spark_jobs_launcher.sh {resumed}"


def test_help_shows_the_settings_in_force(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_APP_FETCH__MAX_RETRIES", "7")
    file = tmp_path / "own.toml"
    file.write_text("[fetch]\ndelay_seconds = 2.5\n")
    with pytest.raises(SystemExit):
        parse(JOBS["stage1_etf_ohlc"], ["--config", str(file), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "kept from 1 second on (default: 2.5)" in text
    assert "for a passing reason (default: 7)" in text
    assert "sessions of prices to collect (default: 21)" in text


def test_help_is_there_although_the_settings_are_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_APP_FETCH__MAX_RETRIES", "many")
    with pytest.raises(SystemExit) as stopped:
        parse(JOBS["stage1_etf_ohlc"], ["--help"])
    assert stopped.value.code == 0
    assert "retries of a request that failed for a passing reason --refresh" in " ".join(
        capsys.readouterr().out.split()
    )


def test_help_shows_the_settings_in_force_although_another_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_APP_FETCH__MAX_RETRIES", "7")
    monkeypatch.setenv("SPARK_APP_GATE__ETF_COVERAGE", "most")
    with pytest.raises(SystemExit):
        parse(JOBS["stage1_etf_ohlc"], ["--help"])
    assert "for a passing reason (default: 7)" in " ".join(capsys.readouterr().out.split())


def test_arguments_that_were_not_given_are_none_for_every_job() -> None:
    values = parse(JOBS["fill_topic"], [])
    assert values["as_of"] is values["fetch.delay_seconds"] is values["topic_start"] is None
    assert build_parser(JOBS["fill_topic"], {}).prog == "fill_topic"
