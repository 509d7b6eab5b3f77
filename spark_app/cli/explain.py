"""`explain TICKER`: why it has its weight or none, back to the closes and the fetches that brought them."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from collections.abc import Sequence

from spark_app.cli import values
from spark_app.cli.options import AS_OF, CONFIG
from spark_app.cli.parser import Parser
from spark_app.config.secrets import without_secrets
from spark_app.config.settings import load_database_settings, load_settings
from spark_app.errors import SparkAppError
from spark_app.results.explain.explain import Explanation, explain
from spark_app.results.explain.text import as_json, render_explanation
from spark_app.results.sessions import read_sessions
from spark_app.sources.symbols import parse_ticker
from spark_app.storage.postgres.database import open_database
from spark_app.text_table import printable


def main(argv: Sequence[str]) -> int:
    """Show the explanation; returns its exit code."""
    given = build_parser().parse_args(argv)
    try:
        found = _read(given.ticker, given.as_of, given.config)
    except SparkAppError as error:
        print(f"explain: {printable(without_secrets(str(error)))}", file=sys.stderr)
        return error.exit_code
    print(as_json(found) if given.json else render_explanation(found))
    return 0


def build_parser() -> Parser:
    """Build the parser of the command."""
    parser = Parser(
        prog="explain",
        description="Explain a position, an exclusion, a sector's fund or SPY: rules, returns, closes, fetches.",
        allow_abbrev=False,
    )
    parser.add_argument("ticker", metavar="TICKER", help="a stock, a sector's fund, or a benchmark")
    parser.add_argument(
        AS_OF.flag,
        type=values.date,
        metavar=AS_OF.metavar,
        help="date of the results, YYYY-MM-DD (default: the newest)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(CONFIG.flag, metavar=CONFIG.metavar, help=CONFIG.help)
    return parser


def _read(ticker: str, as_of: dt.date | None, config_file: str | None) -> Explanation:
    symbol = parse_ticker(ticker)
    settings = load_settings(config_file=config_file)
    sessions = read_sessions(settings.calendar, dt.datetime.now(dt.UTC))
    with open_database(load_database_settings()) as database:
        corrections = settings.corrections
        return explain(
            database, symbol, as_of, sessions, corrections.share_classes_in_force, corrections.renames_in_force
        )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # For `| head`.
    sys.exit(main(sys.argv[1:]))
