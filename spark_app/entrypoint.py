"""From argv to exit code: what all stage jobs share.

Arguments are read before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spark_app.arguments import build_parser, settings_overrides
from spark_app.errors import RunInterruptedError, SparkAppError, UsageError

if TYPE_CHECKING:
    from spark_app.settings import Settings
    from spark_app.stages.context import StageReport
    from spark_app.storage.database import Database

logger = logging.getLogger("spark_app")


def run_job(name: str, description: str | None, stages: Sequence[str], argv: Sequence[str] | None = None) -> int:
    """Run stages in one Spark application; returns the exit code (see spark_app/errors.py)."""
    arguments = build_parser(name, description or "", stages).parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    # Spark writes each refused query here once more, as JSON.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    reports: list[StageReport] = []

    def summarise(exit_code: int | None) -> int:
        return _write_json(arguments.json, name, exit_code, reports)

    # Written first without a result: an unwritable place is refused before anything is done.
    if refused := _guarded(name, lambda: summarise(None)):
        return refused
    exit_code = _guarded(name, lambda: _run(name, arguments, stages, reports))
    written = _guarded(name, lambda: summarise(exit_code))
    return exit_code or written


def _guarded(name: str, action: Callable[[], int]) -> int:
    """Run an action; what it raises becomes a sentence on stderr and an exit code."""
    try:
        return action()
    except SparkAppError as error:
        _complain(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain(name, "interrupted; run it again to go on")
        return RunInterruptedError.exit_code
    except Exception:
        logger.exception("%s: unexpected error", name)
        return SparkAppError.exit_code


def _run(name: str, arguments: argparse.Namespace, stages: Sequence[str], reports: list[StageReport]) -> int:
    from spark_app.settings import load_database_settings, load_settings
    from spark_app.stages.run import prepare
    from spark_app.storage.database import open_database, parse_url

    settings = load_settings(config_file=arguments.config, overrides=settings_overrides(arguments))
    now = dt.datetime.now(dt.UTC)
    as_of = _as_of_session(name, arguments.as_of, now)
    if as_of is None:
        return 0
    named = load_database_settings()
    with open_database(named) as database:
        prepare(database, settings, admin=parse_url(named.admin_url.get_secret_value()) if named.admin_url else None)
        return _run_stages(name, arguments, settings, database, stages, as_of, now, reports)


def _run_stages(
    name: str,
    arguments: argparse.Namespace,
    settings: Settings,
    database: Database,
    stages: Sequence[str],
    as_of: dt.date,
    now: dt.datetime,
    reports: list[StageReport],
) -> int:
    from spark_app.settings import app_home
    from spark_app.stages.context import RunRequest
    from spark_app.stages.run import pending_stages, run_stage, start

    request = RunRequest(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        as_of=as_of,
        now=now,
        days=getattr(arguments, "days", 21),
        universe=getattr(arguments, "universe", "trending"),
    )
    # A date that was named, or --force, is worked on again; a scheduled run only does what is left.
    again = arguments.force or arguments.as_of is not None
    pending = list(stages) if again else pending_stages(database, settings, request, stages)
    if not pending:
        logger.info("%s: %s is done already: nothing to do (--force does it again)", name, as_of)
        return 0

    from spark_app.session import build_session

    # Spark makes this folder at its start, by default wherever the user happens to be.
    spark = build_session(name, extra={"spark.sql.warehouse.dir": str(app_home() / "warehouse")})
    try:
        context = start(spark, database, settings, request)
        for stage in pending:
            report = run_stage(context, stage)
            reports.append(report)
            if report.exit_code:
                _complain(stage, report.message)
                return report.exit_code
    finally:
        spark.stop()
    return 0


def _as_of_session(name: str, asked: dt.date | None, now: dt.datetime) -> dt.date | None:
    """The session to work for; None where the asked day has none, which is said."""
    from spark_app import market_calendar

    last = market_calendar.last_completed_session(now)
    if asked is None:
        return last
    if asked > now.date() or (asked > last and market_calendar.is_session(asked)):
        raise UsageError(f"--as-of {asked} is not over yet: the last completed session is {last}")
    session = market_calendar.session_on_or_before(asked)
    if session != asked:
        logger.info("%s: %s is no session, the one before it is %s: nothing to do", name, asked, session)
        return None
    return session


def _complain(name: str, sentence: str) -> None:
    print(f"{name}: {sentence}", file=sys.stderr)


def _write_json(file: str | None, name: str, exit_code: int | None, reports: Sequence[StageReport]) -> int:
    """Write the summary where one was asked for; returns 0.

    Raises: UsageError: the place cannot be written.
    """
    if file is not None:
        summary = {"job": name, "exit_code": exit_code, "stages": [asdict(report) for report in reports]}
        try:
            Path(file).write_text(json.dumps(summary, default=str, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"--json {file}: cannot write: {error.strerror}") from error
    return 0
