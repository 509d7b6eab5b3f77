"""Set-up: fetching the locked jars, and the sentences where something is missing."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyspark
import pytest

ROOT = Path(__file__).resolve().parents[2]
PYSPARK = Path(pyspark.__file__).parent


def load_fetch_jars() -> ModuleType:
    specification = importlib.util.spec_from_file_location("fetch_jars", ROOT / "scripts" / "fetch_jars.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["fetch_jars"] = module
    specification.loader.exec_module(module)
    return module


fetch_jars = load_fetch_jars()

# The SHA-256 of the three bytes "abc", from FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """The URL of a Maven repository on loopback with org.x:lib:1.0 ("abc") and org.x:altered:1.0."""
    for artifact, content in (("lib", b"abc"), ("altered", b"abd")):
        folder = tmp_path / "repository" / "org" / "x" / artifact / "1.0"
        folder.mkdir(parents=True)
        (folder / f"{artifact}-1.0.jar").write_bytes(content)
    with serve(tmp_path / "repository") as url:
        yield url


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetch(
    tmp_path: Path, repository: str, *lines: str, update: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """Fetch a lock of these lines into the folder `spark`."""
    lock = tmp_path / "some.lock"
    lock.write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, str(ROOT / "scripts" / "fetch_jars.py"), str(lock), str(tmp_path / "spark")]
    command += ["--update"] if update else []
    base = {"MAVEN_REPOSITORY_URL": repository, "NO_PROXY": "127.0.0.1", "SSL_CERT_FILE": ""}
    return subprocess.run(command, env={**base, **env}, capture_output=True, text=True, check=False)


def fetched(tmp_path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (tmp_path / "spark").glob("*")}


def test_a_lock_line_is_coordinates_and_hash(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# a comment\n\norg.x:lib_2.13:1.0 {ABC}  # why\n")
    jars = fetch_jars.read_lock(lock)
    assert [(jar.group, jar.file_name, jar.sha256) for jar in jars] == [("org.x", "lib_2.13-1.0.jar", ABC)]


def test_a_jar_with_the_locked_hash_is_installed(tmp_path: Path, repository: str) -> None:
    done = fetch(tmp_path, repository, f"org.x:lib:1.0 {ABC}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert fetched(tmp_path) == {"lib-1.0.jar": b"abc"}


def test_a_jar_that_is_present_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "spark").mkdir()
    (tmp_path / "spark" / "lib-1.0.jar").write_bytes(b"abc")
    assert fetch(tmp_path, "http://127.0.0.1:9", f"org.x:lib:1.0 {ABC}").returncode == 0


def test_a_damaged_jar_is_replaced(tmp_path: Path, repository: str) -> None:
    (tmp_path / "spark").mkdir()
    (tmp_path / "spark" / "lib-1.0.jar").write_bytes(b"ab")
    assert fetch(tmp_path, repository, f"org.x:lib:1.0 {ABC}").returncode == 0
    assert fetched(tmp_path) == {"lib-1.0.jar": b"abc"}


def test_another_version_of_a_jar_is_removed(tmp_path: Path, repository: str) -> None:
    (tmp_path / "spark").mkdir()
    for name in ("lib-0.9.jar", "lib-storage-0.9.jar"):
        (tmp_path / "spark" / name).touch()
    fetch(tmp_path, repository, f"org.x:lib:1.0 {ABC}")
    assert set(fetched(tmp_path)) == {"lib-1.0.jar", "lib-storage-0.9.jar"}


def test_an_altered_jar_is_refused(tmp_path: Path, repository: str) -> None:
    done = fetch(tmp_path, repository, f"org.x:altered:1.0 {ABC}")
    sentence = "fetch_jars: refused altered-1.0.jar: its SHA-256 is not the one of the lock\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    assert fetched(tmp_path) == {}


def test_update_writes_the_hashes_keeps_the_comments_and_installs_nothing(tmp_path: Path, repository: str) -> None:
    done = fetch(tmp_path, repository, "# a comment", "org.x:lib:1.0", "#org.x:lib:1.01 0000", update=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "some.lock").read_text() == f"# a comment\norg.x:lib:1.0 {ABC}\n#org.x:lib:1.01 0000\n"
    assert fetched(tmp_path) == {}


def test_without_a_network_one_sentence_names_the_address_and_the_variables(tmp_path: Path) -> None:
    done = fetch(tmp_path, "http://127.0.0.1:9", f"org.x:lib:1.0 {ABC}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot download http://127.0.0.1:9/org/x/lib/1.0/lib-1.0.jar: " in done.stderr
    assert "HTTPS_PROXY and MAVEN_REPOSITORY_URL" in done.stderr


def test_an_answer_that_ends_early_installs_nothing(tmp_path: Path) -> None:
    class Truncating(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ab")

    with http.server.HTTPServer(("127.0.0.1", 0), Truncating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = fetch(tmp_path, f"http://127.0.0.1:{server.server_port}", f"org.x:lib:1.0 {ABC}")
        server.shutdown()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot download" in done.stderr
    assert fetched(tmp_path) == {}


def test_a_download_goes_through_the_proxy_of_the_environment(tmp_path: Path, repository: str) -> None:
    """The loopback server is the proxy: it answers 404 for a host that does not exist."""
    done = fetch(tmp_path, "http://repository.invalid", f"org.x:lib:1.0 {ABC}", HTTP_PROXY=repository, NO_PROXY="")
    assert "HTTP Error 404" in done.stderr


@pytest.mark.parametrize("variable", ["", "https://mirror.example/maven"])
def test_the_repository_is_that_of_pysparks_ivy_unless_the_environment_names_one(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAVEN_REPOSITORY_URL", variable)
    url = fetch_jars.repository_url(PYSPARK)
    assert url == variable if variable else re.fullmatch(r"https://[a-z0-9.]+/maven2", url)


def test_an_ivy_that_names_no_repository_ends_set_up_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAVEN_REPOSITORY_URL", raising=False)
    with pytest.raises(SystemExit, match="set MAVEN_REPOSITORY_URL"):
        fetch_jars.repository_url(tmp_path)


def test_a_users_pyspark_is_never_a_place_for_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_ADDED_JARS", raising=False)
    with pytest.raises(SystemExit, match=r"pyspark is not changed: run `spark_jobs_launcher\.sh setup`"):
        fetch_jars.parent_of_folders(tmp_path / "pyspark")
    monkeypatch.setenv("SPARK_ADDED_JARS", str(tmp_path / "ours"))
    assert fetch_jars.parent_of_folders(tmp_path / "pyspark") == tmp_path / "ours"


def test_spark_runs_with_exactly_the_locked_jars() -> None:
    for lock, folder in (("jars.lock", "jars"), ("kafka-jars.lock", "kafka-jars")):
        for jar in fetch_jars.read_lock(ROOT / "conf" / lock):
            found = list((PYSPARK / folder).glob(f"{jar.artifact}-[0-9]*.jar"))
            assert [file.name for file in found] == [jar.file_name]
            assert hashlib.sha256(found[0].read_bytes()).hexdigest() == jar.sha256


def test_kafka_costs_a_daily_run_no_place_on_the_class_path() -> None:
    assert list((PYSPARK / "jars").glob("*kafka*")) == []


@pytest.mark.parametrize("name", ["uv", "runtime", "dev", "moto"])
def test_every_locked_requirement_is_exact_and_hashed_and_names_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    requirements = text.replace("\\\n", " ").splitlines()
    assert requirements
    assert [line for line in requirements if not re.match(r"[\w-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in text


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """A clone without environment, and `programs`, the only folder on PATH, with a Java and no Python."""
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
    """As with Debian's Python: recent enough, but `ensurepip` is in another package."""
    python = f'case "$2" in *ensurepip*) exit 1 ;; *) exec "{sys.executable}" "$@" ;; esac'
    _write_program(bare_clone.parent / "programs" / "debian-python", python)
    answer = f'echo "{bare_clone.parent}/programs/debian-python"'
    _write_program(bare_clone.parent / "programs" / "python3", answer)
    done = _set_up(bare_clone)
    assert done.returncode == 69
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (bare_clone / ".venv").exists()


def test_a_finished_set_up_is_not_repeated_until_a_lock_changes_or_the_clone_moves(bare_clone: Path) -> None:
    """Without Python set-up succeeds only if it has nothing to do."""
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
