"""A job that is watched for a secret: every log at its most talkative, and all processes of the run looked at."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from tests.integration.processes import Submitted
from tests.integration.world import PROJECT

_LOG4J = """
rootLogger.level = debug
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {folder}/java.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %p %c: %m%n%ex
"""
# The JDBC driver and Py4J's half in Java; Spark hands on what they say to the other log.
_JAVA_LOGGING = """
.level = INFO
org.postgresql.level = FINEST
py4j.level = FINEST
"""
# Python imports this at its start, in the driver and in the workers.
_SITE = """
import logging, os
logging.root.addHandler(logging.FileHandler(f"{folder}/python-{{os.getpid()}}.log"))
for name in ("", "psycopg", "py4j", "pyspark", "spark_app.storage", "spark_app.stages", "spark_app.sources"):
    logging.getLogger(name).setLevel(logging.DEBUG)
"""


def forms_of(secret: str) -> tuple[str, ...]:
    """How a secret may be spelt: as it is, in a URL, and somewhere inside base64."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"\0" * n + raw).decode()[start : (n + len(raw)) * 8 // 6] for n, start in _SHIFTS]
    return (secret, quote(secret, safe=""), quote_plus(secret), *encoded)


_SHIFTS = ((0, 0), (1, 2), (2, 3))


class Spy:
    """Looks at the processes of a session until it is told to stop; `seen` has what showed the secret, and where."""

    def __init__(self, session: int, secret: str) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.programs: set[str] = set()
        self._session, self._forms = session, [form.encode() for form in forms_of(secret)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, ProcessLookupError):
                    self._look_at(process)

    def _look_at(self, process: Path) -> None:
        if os.getsid(int(process.name)) != self._session:
            return
        words = (process / "cmdline").read_bytes().split(b"\0")
        program = " ".join(word.decode(errors="replace").rpartition("/")[2] for word in words if word[:1] != b"-")[:80]
        self.programs.add(program)
        for place in ("cmdline", "environ"):
            text = (process / place).read_bytes()
            if any(form in text for form in self._forms):
                self.seen.add((place, program))


@contextlib.contextmanager
def spied(folder: Path, secret: str, environment: dict[str, str], *command: str) -> Iterator[tuple[Submitted, Spy]]:
    """Start `spark-submit JOB arguments` with its event log on; all that it says is kept below `folder`."""
    for name in ("events", "logs", "python", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.properties").write_text(_LOG4J.format(folder=folder / "logs"))
    (folder / "logging.properties").write_text(_JAVA_LOGGING)
    (folder / "python" / "sitecustomize.py").write_text(_SITE.format(folder=folder / "logs"))
    job, *arguments = command
    process = Submitted(
        [
            str(PROJECT / ".venv" / "bin" / "spark-submit"),
            *("--conf", "spark.eventLog.enabled=true", "--conf", "spark.eventLog.compress=false"),
            *("--conf", f"spark.eventLog.dir={(folder / 'events').as_uri()}"),
            *("--conf", f"spark.local.dir={folder / 'tmp'}"),
            *(str(PROJECT / "jobs" / f"{job}.py"), *arguments),
        ],
        {**os.environ, **environment, **_talkative(folder)},
        folder,
    )
    spy = Spy(process.pid, secret)
    try:
        yield process, spy
    finally:
        spy.stop()
        process.end()


def _talkative(folder: Path) -> dict[str, str]:
    options = (
        "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        f"-Djava.util.logging.config.file={folder / 'logging.properties'}",
    )
    return {
        "PATH": f"{PROJECT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "python"),
        "SPARK_SUBMIT_OPTS": " ".join(options),
        "TMPDIR": str(folder / "tmp"),
    }


def where(folder: Path, secret: str) -> list[str]:
    """List the files below a folder that hold the secret in any form."""
    forms = [form.encode() for form in forms_of(secret)]
    files = [file for file in folder.rglob("*") if file.is_file()]
    return sorted(str(f.relative_to(folder)) for f in files if any(form in f.read_bytes() for form in forms))
