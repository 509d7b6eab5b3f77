"""Fetch the locked jars from the Maven repository that pyspark's own Ivy names, and check their SHA-256.

`fetch_jars.py` fetches conf/jars.lock into pyspark's `jars` and conf/kafka-jars.lock into `kafka-jars` beside it, so
that only a job that reads from Kafka has the latter on its class path. `fetch_jars.py LOCK [FOLDER]` fetches another
lock; conf/x.lock goes into the folder x. SPARK_ADDED_JARS names another parent of these folders: a pyspark that is not
in this project's own environment is never changed.
A jar whose SHA-256 differs from the lock is refused; `--update` writes the new hashes into the lock instead.

MAVEN_REPOSITORY_URL names another repository. HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are respected.
Uses the standard library only: set-up runs it before anything else is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import importlib.util
import os
import re
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"jars.lock": "jars", "kafka-jars.lock": "kafka-jars"}
"""The locks in conf that set-up fetches, and the folder that gets the jars of each."""
RESOLVER = "org/apache/ivy/plugins/resolver/IBiblioResolver.class"
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Jar:
    """One line of a lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where a Maven repository has it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def read_lock(lock: Path) -> list[Jar]:
    """Read `group:artifact:version sha256` lines; `#` starts a comment."""
    lines = [line.split("#")[0].split() for line in lock.read_text().splitlines()]
    jars = []
    for words in filter(None, lines):
        group, artifact, version = words[0].split(":")
        jars.append(Jar(group, artifact, version, words[1] if len(words) > 1 else ""))
    return jars


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_present(jar: Jar, folder: Path) -> bool:
    file = folder / jar.file_name
    return file.is_file() and sha256_of(file.read_bytes()) == jar.sha256


def repository_url(pyspark: Path) -> str:
    """MAVEN_REPOSITORY_URL, else the repository that `spark-submit --packages` uses: a constant of pyspark's Ivy."""
    url = os.environ.get("MAVEN_REPOSITORY_URL")
    if not url:
        ivy = next((pyspark / "jars").glob("ivy-*.jar"), None)
        found = re.search(rb"https://[\w./-]+/maven2/", zipfile.ZipFile(ivy).read(RESOLVER)) if ivy else None
        if found is None:
            sys.exit("fetch_jars: pyspark's Ivy names no Maven repository: set MAVEN_REPOSITORY_URL")
        url = found[0].decode()
    return url.rstrip("/")


def download(jar: Jar, repository: str) -> bytes:
    """Download one jar; exits with one sentence where that fails."""
    url = f"{repository}/{jar.path}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            content: bytes = response.read()
            return content
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"fetch_jars: cannot download {url}: {error}; check the network, HTTPS_PROXY and MAVEN_REPOSITORY_URL")


def install(jar: Jar, content: bytes, folder: Path) -> None:
    """Put a downloaded jar into the folder, in place of any other version; exits where its SHA-256 is wrong."""
    if sha256_of(content) != jar.sha256:
        sys.exit(f"fetch_jars: refused {jar.file_name}: its SHA-256 is not the one of the lock")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{jar.file_name}.{os.getpid()}.partial"
    partial.write_bytes(content)
    for other in folder.glob(f"{jar.artifact}-[0-9]*.jar"):
        if other.name != jar.file_name:
            other.unlink()
    partial.replace(folder / jar.file_name)


def update_lock(lock: Path, hashes: dict[Jar, str]) -> None:
    """Write the hashes of the downloaded jars into the lock; comments stay."""
    text = lock.read_text()
    for jar, sha256 in hashes.items():
        coordinates = f"{jar.group}:{jar.artifact}:{jar.version}"
        text = re.sub(rf"^{re.escape(coordinates)}\b.*$", f"{coordinates} {sha256}", text, flags=re.MULTILINE)
    lock.write_text(text)


def parent_of_folders(pyspark: Path) -> Path:
    """SPARK_ADDED_JARS, else pyspark where it is this project's own; exits where it is a user's."""
    named = os.environ.get("SPARK_ADDED_JARS")
    if not named and (ROOT / ".venv").resolve() not in pyspark.resolve().parents:
        sys.exit(f"fetch_jars: {pyspark} is not changed: run `spark_jobs_launcher.sh setup`, or set SPARK_ADDED_JARS")
    return Path(named) if named else pyspark


def fetch(lock: Path, folder: Path, repository: str) -> None:
    """Fetch the jars of a lock that the folder lacks."""
    for jar in read_lock(lock):
        if not is_present(jar, folder):
            install(jar, download(jar, repository), folder)


def main() -> None:
    """Fetch missing jars, or renew the hashes in the locks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lock", nargs="?", type=Path, help="default: conf/jars.lock and conf/kafka-jars.lock")
    parser.add_argument("folder", nargs="?", type=Path, help="where the jars of this lock go")
    parser.add_argument("--update", action="store_true", help="write new hashes into the locks, install nothing")
    arguments = parser.parse_args()
    pyspark = importlib.util.find_spec("pyspark")
    if pyspark is None or pyspark.origin is None:
        sys.exit("fetch_jars: no pyspark in this Python; run `make setup`")
    installed = Path(pyspark.origin).parent
    parent = parent_of_folders(installed)
    default = {ROOT / "conf" / name: parent / folder for name, folder in FOLDERS.items()}
    asked = {arguments.lock: arguments.folder or parent / arguments.lock.stem} if arguments.lock else default
    repository = repository_url(installed)
    for lock, folder in asked.items():
        if arguments.update:
            update_lock(lock, {jar: sha256_of(download(jar, repository)) for jar in read_lock(lock)})
        else:
            fetch(lock, folder, repository)


if __name__ == "__main__":
    main()
