"""One installation of the pipeline in a folder of its own, used by its launcher alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import migrate
from tests.emulator import YahooEmulator
from tests.integration.processes import Submitted
from tests.integration.world import PROJECT
from tests.soak.contents import Contents, read_contents

_LAUNCHER = PROJECT / "spark_jobs_launcher.sh"
_LONGEST_RUN_SECONDS = 900
_WAVE_SIZE = 5


@dataclass(frozen=True)
class Installation:
    """The folder `home` and the emulator that its jobs ask."""

    home: Path
    emulator: YahooEmulator

    @property
    def staging(self) -> Path:
        return self.home / "staging"

    @contextlib.contextmanager
    def started(self, job: Sequence[str]) -> Iterator[Submitted]:
        """Start a job as a user does, for the duration of the block."""
        source = {
            "NAME": "yahoo",
            "ENDPOINT": self.emulator.url,
            "HOLDINGS_PROVIDER": "issuer",
            "HOLDINGS_URL": f"{self.emulator.url}/holdings-daily-us-en-{{ticker}}.xlsx",
        }
        settings = {f"SPARK_APP_SOURCE__{key}": value for key, value in source.items()}
        settings |= {"SPARK_APP_FETCH__WAVE_SIZE": str(_WAVE_SIZE), "SPARK_APP_FETCH__DELAY_SECONDS": "0"}
        # The unknown holding may be one of three stocks.
        settings |= {"SPARK_APP_GATE__STOCK_COVERAGE": "0.5"}
        environment = {**os.environ, **settings, "SPARK_APP_HOME": str(self.home)}
        process = Submitted([str(_LAUNCHER), *job], environment, self.home)
        try:
            yield process
        finally:
            process.end()

    def run(self, job: Sequence[str]) -> tuple[int, str, float]:
        """Run a job to its end; returns its exit code, what it said and its seconds."""
        began = time.monotonic()
        with self.started(job) as process:
            return process.wait(_LONGEST_RUN_SECONDS), process.said, time.monotonic() - began

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Keep the installation's PostgreSQL running for the duration of the block."""
        with EmbeddedPostgres(self.home / "postgres").lease() as url:
            yield parse_url(url)

    def prepare(self) -> None:
        """Make the database and its tables, as the first run would."""
        self.home.mkdir(mode=0o755)
        with self.database() as database:
            migrate(database)

    def contents(self) -> Contents:
        """Read everything that it holds."""
        with self.database() as database, database.connect() as connection:
            return read_contents(connection, self.staging)

    def copy(self, home: Path) -> Installation:
        """Copy it, with no job at work, to a folder that is not there yet."""
        # As root the files of PostgreSQL belong to another user: shutil would not keep that.
        subprocess.run(["cp", "-a", str(self.home), str(home)], check=True)
        return Installation(home, self.emulator)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.home)
