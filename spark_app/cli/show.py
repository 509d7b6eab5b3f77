"""`show`: the results of an as-of date, as text, JSON or CSV; without Spark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from spark_app import market_calendar
from spark_app.cli import values
from spark_app.cli.parser import Parser
from spark_app.config.settings import load_database_settings, load_settings
from spark_app.results.served import read_results
from spark_app.results.show import CSV_TABLES, NO_RESULTS, as_csv, as_json, as_text
from spark_app.storage.postgres.database import open_database


def show(argv: Sequence[str]) -> str:
    """Return what the command prints.

    Raises: SparkAppError: nothing is served for the date, or the database does not answer.
    """
    given = build_parser().parse_args(argv)
    calendar = load_settings().calendar
    market_calendar.correct(calendar.closures, calendar.extra_sessions)
    with open_database(load_database_settings()) as database:
        results = read_results(database, given.as_of, dt.datetime.now(dt.UTC))
    if given.json:
        return "{}" if results is None else as_json(results)
    if given.csv:
        return "" if results is None else as_csv(results, given.csv).rstrip("\n")
    return NO_RESULTS if results is None else as_text(results)


def build_parser() -> Parser:
    """Build the parser of the command."""
    parser = Parser(prog="show", description="Print the results of an as-of date.", allow_abbrev=False)
    parser.add_argument(
        "--as-of", type=values.date, metavar="DATE", help="as-of date, YYYY-MM-DD (default: the newest served)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--csv",
        nargs="?",
        const=CSV_TABLES[0],
        choices=CSV_TABLES,
        help=f"print CSV: the positions, or the trends of the sectors (default: {CSV_TABLES[0]})",
    )
    return parser
