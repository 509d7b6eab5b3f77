"""conf/crontab and scripts/cron_job.sh, in a clone with a fake launcher that prints its arguments."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.declared import STAGES

ROOT = Path(__file__).resolve().parents[2]
CRONTAB = (ROOT / "conf" / "crontab").read_text()
ENTRY = re.compile(r"^#?(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s\s(.*cron_job\.sh.*)$", re.MULTILINE)

FAKE_LAUNCHER = """#!/usr/bin/env bash
env | grep PING || true
printf '%s\\n' "$@" "home=$SPARK_APP_HOME"
echo "$1" >>"$(dirname "$0")/called"
[ ! -e "$(dirname "$0")/leave_behind" ] || sleep 60 &
exit "$(cat "$(dirname "$0")/exit_code")"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a path with a space; its jobs exit with the number in the file `exit_code`."""
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "cron_job.sh", clone / "scripts")
    launcher = clone / "spark_jobs_launcher.sh"
    launcher.write_text(FAKE_LAUNCHER)
    launcher.chmod(0o755)
    (clone / "exit_code").write_text("0")
    return clone


def run(clone: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script as cron does: without HOME, and with a minimal PATH."""
    command = [str(clone / "scripts" / "cron_job.sh"), *arguments]
    base = {"PATH": "/usr/bin:/bin", "CRON_JOB_WAIT_SECONDS": "0"}
    return subprocess.run(command, cwd="/", env={**base, **env}, capture_output=True, text=True, check=False)


def logs(clone: Path) -> list[Path]:
    return sorted((clone / "var" / "logs" / "cron").glob("*.log"))


def called(clone: Path) -> list[str]:
    file = clone / "called"
    return file.read_text().split() if file.exists() else []


def test_a_job_that_ends_well_prints_nothing_and_leaves_a_log(clone: Path) -> None:
    done = run(clone, "daily_pipeline", "--delay", "two words")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (log,) = logs(clone)
    assert log.read_text().splitlines() == ["daily_pipeline", "--delay", "two words", f"home={clone}/var"]


def test_of_a_job_that_fails_the_end_of_its_log_is_printed_and_its_exit_code_comes_back(clone: Path) -> None:
    (clone / "exit_code").write_text("75")
    done = run(clone, "daily_pipeline", *(f"line{n}" for n in range(100)))
    first, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (75, "")
    assert first == f"daily_pipeline ended with exit code 75; the end of {logs(clone)[0]}:"
    assert rest == [*(f"line{n}" for n in range(61, 100)), f"home={clone}/var"]


def test_another_place_for_everything_holds_for_logs_as_well(clone: Path, tmp_path: Path) -> None:
    assert run(clone, "daily_pipeline", SPARK_APP_HOME=str(tmp_path / "data")).returncode == 0
    assert len(list((tmp_path / "data" / "logs" / "cron").glob("daily_pipeline.*.log"))) == 1


def test_while_another_job_runs_a_job_waits_for_it(clone: Path) -> None:
    assert run(clone, "stage1_etf_ohlc").returncode == 0
    with (clone / "var" / "logs" / "cron" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [str(clone / "scripts" / "cron_job.sh"), "stage2_etf_holdings"]
        waiting = subprocess.Popen(command, env={"PATH": os.environ["PATH"]})
        time.sleep(0.3)
        assert (waiting.poll(), called(clone)) == (None, ["stage1_etf_ohlc"])
    assert waiting.wait(60) == 0
    assert called(clone) == ["stage1_etf_ohlc", "stage2_etf_holdings"]


def test_a_job_that_waited_too_long_says_so_and_does_not_run(clone: Path) -> None:
    assert run(clone, "stage1_etf_ohlc").returncode == 0
    with (clone / "var" / "logs" / "cron" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(clone, "stage2_etf_holdings")
    assert done.returncode == 73
    assert "stage2_etf_holdings was not run: another job still runs" in done.stdout
    assert called(clone) == ["stage1_etf_ohlc"]


def test_what_a_job_leaves_behind_does_not_hold_the_lock(clone: Path) -> None:
    (clone / "leave_behind").touch()
    assert run(clone, "stage1_etf_ohlc").returncode == 0
    assert run(clone, "stage2_etf_holdings").returncode == 0


def test_the_newest_logs_of_each_job_are_kept(clone: Path) -> None:
    folder = clone / "var" / "logs" / "cron"
    folder.mkdir(parents=True)
    for day in range(1, 6):
        for job in ("daily_pipeline", "daily_pipeline_2"):
            (folder / f"{job}.2024050{day}T090000Z.log").touch()
    assert run(clone, "daily_pipeline", CRON_JOB_KEPT_LOGS="3").returncode == 0
    kept = [log.name.split(".")[1] for log in logs(clone) if log.name.startswith("daily_pipeline.")]
    assert kept[:2] == ["20240504T090000Z", "20240505T090000Z"]
    assert len(kept) == 3
    assert len([log for log in logs(clone) if log.name.startswith("daily_pipeline_2.")]) == 5


@pytest.mark.parametrize("arguments", [[], ["--master", "yarn"], ["../jobs/one"]])
def test_without_the_name_of_a_job_it_ends_with_2(clone: Path, arguments: list[str]) -> None:
    done = run(clone, *arguments)
    assert (done.returncode, called(clone)) == (2, [])
    assert "name a job" in done.stdout


def test_a_place_that_cannot_be_written_is_named(clone: Path) -> None:
    done = run(clone, "daily_pipeline", SPARK_APP_HOME="/proc/nothing")
    assert done.returncode == 69
    assert "cannot make the folder /proc/nothing/logs/cron" in done.stdout


def test_without_a_launcher_it_says_so(clone: Path) -> None:
    (clone / "spark_jobs_launcher.sh").unlink()
    done = run(clone, "daily_pipeline")
    assert done.returncode == 69
    assert "spark_jobs_launcher.sh: run `make setup`, or install the package with pip" in done.stdout


def test_the_crontab_verifies_and_dumps_after_the_stages_and_removes_what_is_old(clone: Path) -> None:
    upkeep = ENTRY.findall(CRONTAB)[5:8]
    assert [when for when, _ in upkeep] == ["0 14 * * 1-5", "0 15 * * 1-5", "0 16 * * 6"]
    for _, command in upkeep:
        assert as_cron(clone, command).returncode == 0
    assert called(clone) == ["verify_data", "db", "apply_retention"]
    (log,) = [log for log in logs(clone) if log.name.startswith("db.")]
    home = clone / "var"
    assert log.read_text().splitlines() == ["db", "dump", f"{home}/spark_app.dump", f"home={home}"]


def test_the_crontab_runs_the_five_stages_from_monday_to_friday_an_hour_apart(clone: Path) -> None:
    entries = ENTRY.findall(CRONTAB)
    stages, alternative = entries[:5], entries[-1]
    assert [when.split() for when, _ in stages] == [["0", str(hour), "*", "*", "1-5"] for hour in range(9, 14)]
    for _, command in stages:
        assert as_cron(clone, command).returncode == 0
    assert called(clone) == list(STAGES)
    assert alternative[0] == "0 9-13 * * 1-5"
    assert as_cron(clone, alternative[1]).returncode == 0
    assert called(clone)[5:] == ["daily_pipeline"]
    assert max(logs(clone), key=lambda log: log.name.startswith("daily_pipeline.")).read_text().splitlines()[:2] == [
        "daily_pipeline",
        "--catch-up",
    ]


def test_the_crontab_speaks_of_utc_and_of_who_gets_mail() -> None:
    assert {"CRON_TZ": "UTC", "MAILTO": "root"}.items() <= variables().items()
    # Cron would take the rest of the line for the command's input.
    assert "%" not in CRONTAB


@dataclass
class Monitor:
    """A monitor on loopback; `status` is what it answers, `paths` what was requested of it."""

    url: str
    paths: list[str]
    status: int = 200
    seconds: float = 0


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.paths.append(self.path)
            time.sleep(seen.seconds)
            self.send_response(seen.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen = Monitor(f"http://127.0.0.1:{server.server_port}/s3cret", [])
        threading.Thread(target=server.serve_forever).start()
        yield seen
        server.shutdown()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("exit_code", [0, 75])
def test_a_monitor_learns_when_a_job_begins_and_how_it_ends(clone: Path, monitor: Monitor, exit_code: int) -> None:
    (clone / "exit_code").write_text(str(exit_code))
    done = run(clone, "daily_pipeline", CRON_JOB_PING_URL=monitor.url)
    assert done.returncode == exit_code
    assert monitor.paths == ["/s3cret/start", f"/s3cret/{exit_code}"]
    assert "s3cret" not in done.stdout + done.stderr + logs(clone)[0].read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_parameters_of_a_ping_stay_behind_its_path(clone: Path, monitor: Monitor) -> None:
    run(clone, "daily_pipeline", CRON_JOB_PING_URL=f"{monitor.url}?create=1&a=[1-2]")
    assert monitor.paths == ["/s3cret/start?create=1&a=[1-2]", "/s3cret/0?create=1&a=[1-2]"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_a_ping_that_fails_changes_nothing_but_the_log(clone: Path, monitor: Monitor) -> None:
    monitor.status = 404
    for url in (monitor.url, "http://127.0.0.1:9/s3cret", "not a url s3cret"):
        done = run(clone, "daily_pipeline", CRON_JOB_PING_URL=url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        text = logs(clone)[-1].read_text()
        assert "cron_job.sh: the ping /start failed" in text
        assert "s3cret" not in text


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_a_monitor_that_does_not_answer_delays_a_job_a_little(clone: Path, monitor: Monitor) -> None:
    script = clone / "scripts" / "cron_job.sh"
    script.write_text(script.read_text().replace("ping_seconds=10", "ping_seconds=0.5"))
    monitor.seconds = 60
    began = time.monotonic()
    assert run(clone, "daily_pipeline", CRON_JOB_PING_URL=monitor.url).returncode == 0
    assert time.monotonic() - began < 30
    assert called(clone) == ["daily_pipeline"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_a_monitor_learns_that_a_job_could_not_begin(clone: Path, monitor: Monitor) -> None:
    assert run(clone, "stage1_etf_ohlc").returncode == 0
    with (clone / "var" / "logs" / "cron" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(clone, "stage2_etf_holdings", CRON_JOB_PING_URL=monitor.url)
    assert (done.returncode, monitor.paths) == (73, ["/s3cret/73"])
    assert "s3cret" not in done.stdout


def as_cron(clone: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the crontab with the variables that the crontab sets, for this clone."""
    environment = variables() | {"PROJECT": str(clone)}
    return subprocess.run([environment["SHELL"], "-c", command], env=environment, cwd="/", check=False, text=True)


def variables() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", CRONTAB, re.MULTILINE))
