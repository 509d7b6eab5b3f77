"""What tools say of the files that make containers; needs no container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.conftest import ROOT

PROGRAMS = Path(sys.executable).parent
DOCKERFILES = sorted(file.relative_to(ROOT) for file in [ROOT / "Dockerfile.spark", *ROOT.glob("tests/**/Dockerfile")])


def check(*command: str | Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    return subprocess.run([PROGRAMS / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", DOCKERFILES, ids=str)
def test_hadolint_finds_nothing_in(file: Path) -> None:
    done = check("hadolint", "--no-color", file)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_keeps_to_its_schema() -> None:
    done = check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert done.returncode == 0, done.stdout


def test_the_image_gets_only_what_the_list_names() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    allowed = [ROOT / rule[1:] for rule in rules if rule.startswith("!")]
    assert {place.name for place in allowed if place.exists()} == {
        *("conf", "jobs", "requirements", "scripts", "spark_app", "spark_jobs_launcher.sh", "LICENSE"),
    }


def test_the_example_has_each_variable_of_the_compose_file_with_its_default() -> None:
    compose, example = (ROOT / "docker-compose.yml").read_text(), (ROOT / ".env.example").read_text()
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", compose))
    offered = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert offered == used | {"COMPOSE_PROFILES": "kafka"}
