"""`make audit` and `make sbom`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOUND = {"name": "pandas", "version": "2.3.0", "vulns": []}
VULNERABLE = {
    "name": "requests",
    "version": "2.0.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2023-1"], "fix_versions": ["2.31.0"], "description": ""}],
}
UNKNOWN = {"name": "uv", "skip_reason": "Dependency not found on PyPI and could not be audited: uv (0.13.9)"}


def run(script: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("packages", "exit_code", "said"),
    [
        ([SOUND], 0, "0 known vulnerabilities in 1 packages, 0 could not be audited"),
        ([SOUND, VULNERABLE, UNKNOWN], 1, "requests 2.0.0: PYSEC-1 CVE-2023-1; fixed in 2.31.0\n"),
        ([SOUND, UNKNOWN], 69, "not audited: Dependency not found on PyPI and could not be audited: uv (0.13.9)\n"),
        ([], 69, "0 known vulnerabilities in 0 packages"),
    ],
)
def test_an_audit_passes_only_where_everything_was_audited_and_is_sound(
    tmp_path: Path, packages: list[dict[str, object]], exit_code: int, said: str
) -> None:
    answer = json.dumps({"dependencies": packages, "fixes": []})
    (tmp_path / "pip_audit.py").write_text(f"print({answer!r})")
    done = run("audit.py", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (exit_code, "")
    assert said in done.stdout
    assert "those of conf/*.lock are not covered" in done.stdout


def test_an_audit_asks_for_every_lock_in_one_version_of_a_package_at_a_time(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "pip_audit.py").write_text(
        f"import json, sys; print(json.dumps(sys.argv), file=open({str(asked)!r}, 'a'))\n"
        f"print({json.dumps({'dependencies': [SOUND, VULNERABLE], 'fixes': []})!r})"
    )
    done = run("audit.py", PYTHONPATH=str(tmp_path))
    # The same answer three times is one finding.
    assert "1 known vulnerabilities in 2 packages" in done.stdout
    environments = [re.findall(r"[^\"]+\.txt", line) for line in asked.read_text().splitlines()]
    assert sorted(lock for locks in environments for lock in locks) == sorted(
        map(str, (ROOT / "requirements").glob("*.txt"))
    )
    for locks in environments:
        # Without a marker: two lines with different ones may name two versions.
        text = "".join(Path(lock).read_text() for lock in locks)
        locked = re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE)
        assert locked
        assert len({name for name, _ in locked}) == len(set(locked))


def test_an_audit_without_a_network_is_no_pass(tmp_path: Path) -> None:
    done = run("audit.py", "--cache-dir", tmp_path, HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="", no_proxy="")
    assert (done.returncode, done.stderr) == (69, "")
    assert done.stdout.startswith("could not be audited: ")


def test_the_bill_of_materials_names_every_package_and_jar_with_its_checksums(tmp_path: Path) -> None:
    file = tmp_path / "made" / "sbom.json"
    assert run("sbom.py", file).returncode == 0
    bill = json.loads(file.read_text())
    listed = {part["purl"]: {h["content"] for h in part["hashes"]} for part in bill["components"]}

    lock = (ROOT / "requirements" / "runtime.txt").read_text().replace("\\\n", "")
    expected = {
        f"pkg:pypi/{name}@{version}": set(re.findall("sha256:(.{64})", line))
        for name, version, line in ((*line.split()[0].split("=="), line) for line in lock.splitlines())
    }
    for lock in ("jars.lock", "kafka-jars.lock", "s3-jars.lock"):
        for line in (ROOT / "conf" / lock).read_text().splitlines():
            if not line.startswith("#"):
                coordinates, digest = line.split()
                group, artifact, version = coordinates.split(":")
                expected[f"pkg:maven/{group}/{artifact}@{version}"] = {digest}
    assert bill["bomFormat"] == "CycloneDX"
    assert "pkg:pypi/pyspark@4.2.0" in expected
    assert listed == expected
