"""Bring the locked jars to pyspark, through the Ivy that pyspark ships.

Those of conf/jars.lock go into pyspark's own folder of jars; those of conf/kafka-jars.lock into one beside it, so that
only what reads from Kafka has them on its class path. `fetch_jars.py LOCK [FOLDER]` fetches those of another lock; one
named x.lock has its place in pyspark's folder x, unless another is given.
A jar whose SHA-256 differs from the lock is refused; `--update` writes the hashes of what it got into the lock
instead. The standard library must do: nothing else may be there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IVY_HOME = Path(os.environ.get("FETCH_JARS_CACHE") or ROOT / "var" / "ivy")
FOLDERS = {"jars.lock": "jars", "kafka-jars.lock": "kafka-jars"}
"""The locks in conf, and the folder of pyspark that gets the jars of each."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(lock: Path) -> list[Jar]:
    """Read `group:artifact:version sha256` lines; `#` starts a comment."""
    lines = [line.split("#")[0].split() for line in lock.read_text().splitlines()]
    jars = []
    for words in filter(None, lines):
        group, artifact, version = words[0].split(":")
        jars.append(Jar(group, artifact, version, words[1] if len(words) > 1 else ""))
    return jars


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def matches(jar: Jar, folder: Path) -> bool:
    file = folder / jar.file_name
    return file.is_file() and sha256_of(file) == jar.sha256


def retrieve(jars: list[Jar], *, ivy_jar: Path, folder: Path) -> None:
    """Let Ivy download exactly these jars, without what they depend on, into `folder`."""
    IVY_HOME.mkdir(parents=True, exist_ok=True)
    settings, request = IVY_HOME / "settings.xml", IVY_HOME / "request.xml"
    settings.write_text(
        "<ivysettings><settings defaultResolver='public'/>"
        "<resolvers><ibiblio name='public' m2compatible='true'/></resolvers></ivysettings>"
    )
    module = ET.Element("ivy-module", version="2.0")
    ET.SubElement(module, "info", organisation="spark_app", module="jars")
    dependencies = ET.SubElement(module, "dependencies")
    for jar in jars:
        coordinates = {"org": jar.group, "name": jar.artifact, "rev": jar.version}
        ET.SubElement(dependencies, "dependency", {**coordinates, "conf": "default->master", "transitive": "false"})
    ET.ElementTree(module).write(request)
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    places = ["-settings", settings, "-cache", IVY_HOME / "cache", "-ivy", request]
    pattern = ["-retrieve", f"{folder}/[artifact]-[revision].[ext]"]
    command = [java, *proxy_options(), f"-Divy.default.ivy.user.dir={IVY_HOME}", "-jar", ivy_jar, *places, *pattern]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    missing = [jar.file_name for jar in jars if not (folder / jar.file_name).is_file()]
    if done.returncode or missing:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
        sys.exit(f"fetch_jars: could not download {', '.join(missing) or 'the jars'}; is the network there?")


def proxy_options() -> list[str]:
    """Hand the usual proxy variables to Java, which does not know them."""
    address = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    proxy = urllib.parse.urlsplit(address if "//" in address else f"//{address}")
    if not proxy.hostname:
        return []
    return [f"-Dhttps.proxyHost={proxy.hostname}", f"-Dhttps.proxyPort={proxy.port or 8080}"]


def install(jars: list[Jar], *, downloads: Path, folder: Path) -> None:
    """Copy the verified jars to `folder`; an altered one stops everything and leaves the cache empty."""
    altered = [jar.file_name for jar in jars if not matches(jar, downloads)]
    if altered:
        shutil.rmtree(IVY_HOME)
        sys.exit(f"fetch_jars: refused {', '.join(altered)}: the SHA-256 is not the one of the lock")
    folder.mkdir(parents=True, exist_ok=True)
    for jar in jars:
        # Another version of it, where pip brought a newer pipeline to an old environment.
        for old in folder.glob(f"{jar.artifact}-[0-9]*.jar"):
            old.unlink()
        shutil.copyfile(downloads / jar.file_name, folder / jar.file_name)


def update_lock(lock: Path, downloads: Path, jars: list[Jar]) -> None:
    """Write the hashes of the downloaded jars into the lock; comments stay."""
    text = lock.read_text()
    for jar in jars:
        coordinates = f"{jar.group}:{jar.artifact}:{jar.version}"
        line = f"{coordinates} {sha256_of(downloads / jar.file_name)}"
        text = re.sub(rf"^{re.escape(coordinates)}\b.*$", line, text, flags=re.MULTILINE)
    lock.write_text(text)


def fetch(lock: Path, folder: Path, *, ivy_jar: Path, update: bool) -> None:
    """Fetch what `folder` lacks of a lock; with `update` all of it, to renew the lock."""
    jars = read_lock(lock)
    wanted = jars if update else [jar for jar in jars if not matches(jar, folder)]
    if not wanted:
        return
    downloads = IVY_HOME / "jars"
    shutil.rmtree(downloads, ignore_errors=True)
    retrieve(wanted, ivy_jar=ivy_jar, folder=downloads)
    if update:
        update_lock(lock, downloads, jars)
    else:
        install(wanted, downloads=downloads, folder=folder)


def main() -> None:
    """Fetch what is missing, or renew the locks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lock", nargs="?", type=Path, help="default: both locks in conf")
    parser.add_argument("folder", nargs="?", type=Path, help="where the jars of this lock go")
    parser.add_argument("--update", action="store_true", help="write the hashes of what comes into the locks")
    arguments = parser.parse_args()
    pyspark = importlib.util.find_spec("pyspark")
    if pyspark is None or pyspark.origin is None:
        sys.exit("fetch_jars: no pyspark in this Python; run `make setup`")
    home = Path(pyspark.origin).parent
    ours = {ROOT / "conf" / name: home / folder for name, folder in FOLDERS.items()}
    ivy_jar = next((home / "jars").glob("ivy-*.jar"))
    asked = {arguments.lock: arguments.folder or home / arguments.lock.stem} if arguments.lock else ours
    for lock, folder in asked.items():
        fetch(lock, folder, ivy_jar=ivy_jar, update=arguments.update)


if __name__ == "__main__":
    main()
