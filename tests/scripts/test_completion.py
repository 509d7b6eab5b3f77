"""Completion of the launcher in a real shell, with the real jobs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "spark_jobs_launcher.sh"
JOBS = {path.stem for path in ROOT.glob("jobs/*.py")}

# As bash does at a press of TAB: pass the words so far, and the index of the current one.
PRESS_TAB = r"""
. <("$1" completion bash)
function="$(complete -p spark_jobs_launcher.sh | sed 's/.* -F \([^ ]*\) .*/\1/')"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$function"
printf '%s\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> set[str]:
    """Return the words offered when TAB is pressed after the last of `words`."""
    command = ["bash", "-c", PRESS_TAB, "bash", str(LAUNCHER), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_the_first_word_is_a_job_a_command_or_an_option_of_the_launcher() -> None:
    offered = completed("")
    assert offered >= JOBS | {"psql", "db", "show", "setup", "completion", "--master", "--list", "--version"}
    assert completed("stage4") == {"stage4_stock_history"}
    assert completed("--b") == {"--bulk"}


def test_a_job_follows_the_options_of_the_launcher() -> None:
    assert completed("--master", "local[2]", "--bulk", "repub") == {"republish"}


@pytest.mark.parametrize("job", ["daily_pipeline", "staggered_sector_backfill"])
def test_every_option_of_a_job_is_offered_and_no_other(job: str) -> None:
    usage = subprocess.run([LAUNCHER, job, "--help"], capture_output=True, text=True, check=True).stdout
    known = {word.strip("[]()|,") for word in usage.split("\n\n")[0].split() if word.strip("[(").startswith("--")}
    assert completed(job, "--as-of", "2024/05", "--") == known | {"--help"}


def test_values_that_are_fixed_are_offered_and_files_are_left_to_the_shell() -> None:
    assert completed("daily_pipeline", "--source", "") == {"yahoo", "synthetic", "files"}
    assert completed("daily_pipeline", "--source", "s") == {"synthetic"}
    assert completed("daily_pipeline", "--json", "") == set()
    assert completed("db", "r") == {"roles", "restore"}
    assert completed("completion", "") == {"bash", "zsh"}
    assert completed("psql", "") == set()


def test_an_unknown_job_offers_nothing() -> None:
    assert completed("no_such_job", "--") == set()


def test_another_shell_is_refused_with_2() -> None:
    done = subprocess.run([LAUNCHER, "completion", "fish"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown shell 'fish': choose from bash, zsh" in done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on PATH")
def test_zsh_loads_the_completion() -> None:
    script = 'autoload -Uz compinit && compinit -D && . <("$0" completion zsh) && print $_comps[spark_jobs_launcher.sh]'
    done = subprocess.run(["zsh", "-fc", script, LAUNCHER], capture_output=True, text=True, check=False)
    assert "_spark_jobs_launcher" in done.stdout, done.stderr
