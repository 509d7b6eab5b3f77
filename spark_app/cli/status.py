"""`status`: whether all is well, as text, as JSON and for Prometheus; without Spark."""

from __future__ import annotations

import datetime as dt
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from spark_app.cli.options import CONFIG
from spark_app.cli.parser import Parser
from spark_app.config.secrets import without_secrets
from spark_app.config.settings import load_database_settings, load_settings
from spark_app.errors import SparkAppError, UsageError
from spark_app.results.sessions import read_sessions
from spark_app.results.status.metrics import render_metrics, render_outcome, write_metrics
from spark_app.results.status.status import Status, read_status
from spark_app.results.status.text import as_json, render_status
from spark_app.storage.postgres.database import open_database
from spark_app.text_table import printable


def main(argv: Sequence[str]) -> int:
    """Show the status; returns 0 where all is fresh, 1 where something is stale or failed, 75 where it is blocked."""
    given, now = build_parser().parse_args(argv), dt.datetime.now(dt.UTC)
    file = None if given.prometheus is None else Path(given.prometheus)
    try:
        status = _read(given.config, now)
    except SparkAppError as error:
        return _tell(error, now, file, is_json=given.json)
    unwritten = 0 if file is None else _write(file, render_metrics(status))
    print(as_json(status) if given.json else render_status(status))
    return unwritten or status.exit_code


def build_parser() -> Parser:
    """Build the parser of the command."""
    parser = Parser(
        prog="status",
        description="Show how fresh everything is, what failed or is blocked, and what the next run would do.",
        epilog="exit codes: 0 fresh, 1 stale or failed, 75 blocked; others are in docs/ERRORS.md",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--prometheus", metavar="FILE", help="also write metrics for Prometheus' textfile collector")
    parser.add_argument(CONFIG.flag, metavar=CONFIG.metavar, help=CONFIG.help)
    return parser


def _read(config_file: str | None, now: dt.datetime) -> Status:
    settings = load_settings(config_file=config_file)
    sessions = read_sessions(settings.calendar, now)
    with open_database(load_database_settings()) as database:
        return read_status(database, settings, sessions, now)


def _tell(error: SparkAppError, now: dt.datetime, file: Path | None, *, is_json: bool) -> int:
    """Tell what went wrong, also the monitors; returns the exit code."""
    sentence = printable(without_secrets(str(error)))
    if is_json:
        print(json.dumps({"state": "error", "exit_code": error.exit_code, "error": sentence}, indent=2))
    print(sentence, file=sys.stderr)
    if file is not None:
        _write(file, render_outcome(error.exit_code, now))
    return error.exit_code


def _write(file: Path, metrics: str) -> int:
    try:
        write_metrics(file, metrics)
    except UsageError as error:
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # For `| head`.
    sys.exit(main(sys.argv[1:]))
