"""Set-up: the lock of the jars, and what it says when something is missing."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fetch_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/fetch_jars.py with a download folder of its own."""
    specification = importlib.util.spec_from_file_location("fetch_jars", ROOT / "scripts" / "fetch_jars.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "fetch_jars", module)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "IVY_HOME", tmp_path / "ivy")
    return module


# The SHA-256 of the three bytes "abc", from FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "ivy" / "jars"
    folder.mkdir(parents=True)
    (tmp_path / "spark").mkdir()
    return folder


def test_a_lock_line_is_coordinates_and_hash(fetch_jars: ModuleType, tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# a comment\n\norg.x:lib_2.13:1.0 {ABC}  # why\n")
    jars = fetch_jars.read_lock(lock)
    assert [(jar.group, jar.file_name, jar.sha256) for jar in jars] == [("org.x", "lib_2.13-1.0.jar", ABC)]


def test_a_jar_with_the_right_hash_is_installed(fetch_jars: ModuleType, tmp_path: Path, downloads: Path) -> None:
    (downloads / "lib-1.0.jar").write_bytes(b"abc")
    fetch_jars.install([fetch_jars.Jar("org.x", "lib", "1.0", ABC)], downloads=downloads, folder=tmp_path / "spark")
    assert (tmp_path / "spark" / "lib-1.0.jar").read_bytes() == b"abc"


def test_another_version_of_a_jar_goes(fetch_jars: ModuleType, tmp_path: Path, downloads: Path) -> None:
    for name in ("lib-0.9.jar", "lib-storage-0.9.jar"):
        (tmp_path / "spark" / name).touch()
    (downloads / "lib-1.0.jar").write_bytes(b"abc")
    fetch_jars.install([fetch_jars.Jar("org.x", "lib", "1.0", ABC)], downloads=downloads, folder=tmp_path / "spark")
    assert {file.name for file in (tmp_path / "spark").iterdir()} == {"lib-1.0.jar", "lib-storage-0.9.jar"}


def test_an_altered_jar_is_refused_and_forgotten(fetch_jars: ModuleType, tmp_path: Path, downloads: Path) -> None:
    (downloads / "good-1.0.jar").write_bytes(b"abc")
    (downloads / "bad-1.0.jar").write_bytes(b"abd")
    jars = [fetch_jars.Jar("org.x", name, "1.0", ABC) for name in ("good", "bad")]
    with pytest.raises(SystemExit, match=r"refused bad-1\.0\.jar"):
        fetch_jars.install(jars, downloads=downloads, folder=tmp_path / "spark")
    assert list((tmp_path / "spark").iterdir()) == []
    assert not downloads.exists()


def test_update_writes_the_hashes_and_keeps_the_comments(
    fetch_jars: ModuleType, tmp_path: Path, downloads: Path
) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("# a comment\norg.x:lib:1.0\norg.x:lib:1.01 0000\n")
    (downloads / "lib-1.0.jar").write_bytes(b"abc")
    fetch_jars.update_lock(lock, downloads, [fetch_jars.Jar("org.x", "lib", "1.0", "")])
    assert lock.read_text() == f"# a comment\norg.x:lib:1.0 {ABC}\norg.x:lib:1.01 0000\n"


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("http://proxy.example:3128", ["-Dhttps.proxyHost=proxy.example", "-Dhttps.proxyPort=3128"]),
        ("proxy.example:3128", ["-Dhttps.proxyHost=proxy.example", "-Dhttps.proxyPort=3128"]),
        ("", []),
    ],
)
def test_the_usual_proxy_variable_reaches_java(
    fetch_jars: ModuleType, monkeypatch: pytest.MonkeyPatch, address: str, options: list[str]
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", address)
    assert fetch_jars.proxy_options() == options


def test_spark_runs_with_exactly_the_locked_jars(fetch_jars: ModuleType) -> None:
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None
    assert pyspark.origin is not None
    for lock, folder in (("jars.lock", "jars"), ("kafka-jars.lock", "kafka-jars")):
        for jar in fetch_jars.read_lock(ROOT / "conf" / lock):
            found = list((Path(pyspark.origin).parent / folder).glob(f"{jar.artifact}-[0-9]*.jar"))
            assert [file.name for file in found] == [jar.file_name]
            assert hashlib.sha256(found[0].read_bytes()).hexdigest() == jar.sha256


def test_kafka_costs_a_daily_run_no_place_on_the_class_path() -> None:
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None
    assert pyspark.origin is not None
    assert list((Path(pyspark.origin).parent / "jars").glob("*kafka*")) == []


@pytest.mark.parametrize("name", ["uv", "runtime", "dev", "moto"])
def test_every_locked_requirement_is_exact_and_hashed_and_names_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    requirements = text.replace("\\\n", " ").splitlines()
    assert requirements
    assert [line for line in requirements if not re.match(r"[\w-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in text


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """A clone without environment, and `programs`, the only folder on PATH: a fitting Java, no Python."""
    clone = tmp_path / "a clone"
    for folder in ("conf", "scripts", "requirements"):
        shutil.copytree(ROOT / folder, clone / folder)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "env", "head", "id", "rm", "sed"):
        program = shutil.which(name)
        assert program is not None
        (programs / name).symlink_to(program)
    _write_program(programs / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    return clone


def _write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _set_up(clone: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(clone.parent / "programs"), "HOME": str(clone.parent)}
    return subprocess.run([clone / "scripts" / "setup.sh"], env=env, capture_output=True, text=True, check=False)


def test_without_java_set_up_says_how_to_install_it(bare_clone: Path) -> None:
    (bare_clone.parent / "programs" / "java").unlink()
    done = _set_up(bare_clone)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "Java 17 or newer" in done.stderr


def test_without_a_recent_python_set_up_says_so(bare_clone: Path) -> None:
    _write_program(bare_clone.parent / "programs" / "python3", "exit 1")
    done = _set_up(bare_clone)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "Python 3.11 or newer" in done.stderr


def test_without_the_venv_module_set_up_says_which_package_has_it(bare_clone: Path) -> None:
    """A Python as Debian installs it: recent enough, but `ensurepip` is a package of its own."""
    python = f'case "$2" in *ensurepip*) exit 1 ;; *) exec "{sys.executable}" "$@" ;; esac'
    _write_program(bare_clone.parent / "programs" / "debian-python", python)
    answer = f'echo "{bare_clone.parent}/programs/debian-python"'
    _write_program(bare_clone.parent / "programs" / "python3", answer)
    done = _set_up(bare_clone)
    assert done.returncode == 69
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (bare_clone / ".venv").exists()


def test_a_finished_set_up_is_not_repeated_until_a_lock_changes_or_the_clone_moves(bare_clone: Path) -> None:
    """There is no Python: so set-up succeeds only if it has nothing to do."""
    environment = bare_clone / ".venv"
    environment.mkdir()
    locks = [bare_clone / name for name in ("scripts/setup.sh", "requirements/uv.txt", "requirements/runtime.txt")]
    jar_locks = [bare_clone / "conf" / name for name in ("jars.lock", "kafka-jars.lock")]
    content = b"".join(path.read_bytes() for path in [*locks, *jar_locks])
    checksum = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout.decode().strip()
    (environment / "runtime.stamp").write_text(f"{bare_clone} {checksum}\n")
    (environment / "archive.stamp").write_text(f"{bare_clone} {checksum} 21.0.1\n")
    assert (_set_up(bare_clone).returncode, _set_up(bare_clone).stdout) == (0, "")

    moved = bare_clone.rename(bare_clone.with_name("moved"))
    assert _set_up(moved).returncode == 69
    moved.rename(bare_clone)
    with (bare_clone / "conf" / "jars.lock").open("a") as lock:
        lock.write("# changed\n")
    assert _set_up(bare_clone).returncode == 69
