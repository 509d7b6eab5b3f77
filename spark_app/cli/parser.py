"""The command line of the jobs; imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import shlex
from collections.abc import Sequence
from typing import NoReturn

from spark_app import __version__
from spark_app.cli import values
from spark_app.config.installation import LAUNCHER
from spark_app.universe import FUNDS, STAGGERED_FUNDS

STAGES = (
    "stage1_etf_ohlc",
    "stage2_etf_holdings",
    "stage3_trending_sectors",
    "stage4_stock_history",
    "stage5_portfolio_allocation",
)
"""The five stages in the order of the data."""

REPUBLISHED = (
    "collected_daily_etf_ohlc",
    "collected_daily_benchmark_ohlc",
    "collected_meta_etf",
    "analytics_trending_sectors",
    "collected_daily_stock_history",
    "analytics_portfolio_allocation",
    "analytics_portfolio_exclusion",
)
"""The tables that can be rebuilt from staging."""

_KNOWING = {"stage3_trending_sectors", "stage5_portfolio_allocation"}
_FETCHING = {"stage1_etf_ohlc", "stage2_etf_holdings", "stage4_stock_history"}
_WITH_PRICES = {"stage1_etf_ohlc", "stage4_stock_history"}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage lines."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def build_parser(name: str, description: str, stages: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of a job that runs `stages`, with just the options that matter to them."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    option("--force", action="store_true", help="run again although this session is done, or a rate limit still holds")
    if set(stages) <= _KNOWING:
        _add_known_at(parser)
    if _FETCHING & set(stages):
        _add_fetch_options(parser)
    if _WITH_PRICES & set(stages):
        option(
            "--days", type=values.positive, default=21, metavar="N", help="sessions of prices to collect (default: 21)"
        )
    if "stage4_stock_history" in stages:
        text = "stocks of the sectors that trend in any period, or of all (default: trending)"
        option("--universe", choices=("trending", "all"), default="trending", help=text)
    return parser


def build_backfill_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `backfill_etf_benchmarks`."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    _add_backfill_options(parser, FUNDS)
    _add_fetch_options(parser)
    text = "after a rate limit nothing is asked for so long; the run ends and says when to go on (default: 900)"
    option("--rate-limit-sleep", type=values.positive, metavar="SECONDS", help=text)
    option("--no-batch", action="store_true", help="ask for one fund after the other instead of several at once")
    option("--force", action="store_true", help="ask although a rate limit still holds")
    parser.epilog = _examples(name, "", "--days 252 --delay 2", "--tickers SPY,XLK --refresh")
    return parser


def build_staggered_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `staggered_sector_backfill`."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    _add_backfill_options(parser, STAGGERED_FUNDS)
    text = "from the start of one sector to that of the next, fractions too (default: 5)"
    option("--delay-minutes", type=values.minutes, default=5.0, metavar="MINUTES", help=text)
    option(
        "--start-from",
        type=functools.partial(values.ticker, known=STAGGERED_FUNDS),
        metavar="TICKER",
        help="leave out the sectors before this one",
    )
    option("--skip-existing", action="store_true", help="leave out sectors of which no session is missing")
    option("--dry-run", action="store_true", help="only show which sector would be asked for when")
    _add_fetch_options(parser)
    option("--force", action="store_true", help="ask although a rate limit still holds")
    parser.epilog = _examples(name, "--dry-run", "--days 252 --skip-existing", "--delay-minutes 0.5 --start-from XLV")
    return parser


def build_cache_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `cache`."""
    parser = _common_parser(name, description)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--forget", metavar="A,B", help="let no run use what was fetched of these tickers any more")
    choice.add_argument("--forget-all", action="store_true", help="the same for all tickers")
    return parser


def build_republish_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `republish`."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    option(
        "--from", dest="first", type=values.date, metavar="DATE", help="first session of a range that ends with --as-of"
    )
    option(
        "--tables",
        type=functools.partial(values.some_of, known=REPUBLISHED),
        metavar="A,B",
        help=f"only these of {', '.join(REPUBLISHED)} (default: all)",
    )
    option(
        "--days", type=values.positive, default=21, metavar="N", help="sessions of prices on each date (default: 21)"
    )
    text = "stocks of the sectors that trend in any period, or of all (default: trending)"
    option("--universe", choices=("trending", "all"), default="trending", help=text)
    _add_known_at(parser)
    return parser


def build_replay_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `replay_topic`."""
    parser = _plain_parser(name, description)
    choice = parser.add_mutually_exclusive_group()
    text = "first offset of every partition, or of some, as 0:1200,1:950; others are read whole (default: all is read)"
    choice.add_argument("--from-offset", dest="topic_start", type=values.topic_offsets, metavar="OFFSET", help=text)
    text = "leave out messages that were sent before this (UTC), as 2024-05-10 or 2024-05-10T21:30"
    choice.add_argument("--from-time", dest="topic_start", type=values.topic_time, metavar="TIME", help=text)
    parser.epilog = _examples(name, "", "--from-offset 1200", "--from-time 2024-05-10T21:30")
    return parser


def build_fill_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `fill_topic`."""
    return _plain_parser(name, description)


def build_verify_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `verify_data`."""
    return _plain_parser(name, description)


def build_retention_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `apply_retention`."""
    parser = _plain_parser(name, description)
    parser.add_argument("--dry-run", action="store_true", help="show what would go, remove nothing")
    return parser


def resume_command(name: str, argv: Sequence[str], as_of: dt.date, **options: str) -> str:
    """Return the command that goes on where a run stops: what it was given, its date, and `options`.

    What it must not do twice is left out: a resumed `--refresh` would ask for everything anew.
    """
    kept: list[str] = []
    replaced = {"--as-of", "--json", *(_option(key) for key in options)}
    rest = iter(argv)
    for word in rest:
        spelled, equals, _ = word.partition("=")
        if spelled in replaced:
            if not equals:
                next(rest, None)
        elif word not in ("--refresh", "--force"):
            kept.append(word)
    given = [word for key, value in options.items() for word in (_option(key), value)]
    return shlex.join([LAUNCHER, name, *kept, "--as-of", str(as_of), *given])


def settings_overrides(arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Collect what the command line says about settings: section -> key -> value."""
    given = {
        ("source", "name"): arguments.source,
        ("fetch", "delay_seconds"): getattr(arguments, "delay", None),
        ("fetch", "max_retries"): getattr(arguments, "max_retries", None),
        ("fetch", "rate_limit_pause_seconds"): getattr(arguments, "rate_limit_sleep", None),
    }
    overrides: dict[str, dict[str, object]] = {}
    for (section, key), value in given.items():
        if value is not None:
            overrides.setdefault(section, {})[key] = value
    return overrides


def _common_parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = _plain_parser(name, description)
    text = "session to work for, YYYY-MM-DD (default: the last completed)"
    parser.add_argument("--as-of", type=values.date, metavar="DATE", help=text)
    return parser


def _plain_parser(name: str, description: str) -> argparse.ArgumentParser:
    # Shortened options would be hard to take over into a command that resumes.
    parser = _Parser(
        prog=name,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option("--source", choices=("yahoo", "synthetic"), help="where data comes from (default: setting source.name)")
    option("--config", metavar="FILE", help="settings file (default: conf/pipeline.toml)")
    option("--json", metavar="FILE", help="write the summary of the run to FILE")
    option("--version", action="version", version=f"spark_app {__version__}")
    return parser


def _add_backfill_options(parser: argparse.ArgumentParser, funds: Sequence[str]) -> None:
    option = parser.add_argument
    text = "trading sessions of each fund, up to the session worked for (default: 20)"
    option("--days", type=values.positive, default=20, metavar="N", help=text)
    text = f"only these of {', '.join(funds)}"
    option("--tickers", type=functools.partial(values.tickers, known=funds), metavar="A,B", help=text)


def _examples(name: str, *arguments: str) -> str:
    """The end of a help text."""
    lines = [f"  {LAUNCHER} {name} {given}".rstrip() for given in arguments]
    return "\n".join(["examples:", *lines])


def _add_fetch_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--delay", type=float, metavar="SECONDS", help="pause between any two requests, 0 = none (default: 5)")
    option(
        "--max-retries",
        type=int,
        metavar="N",
        help="repeats of a request that failed for a passing reason (default: 3)",
    )
    option("--refresh", action="store_true", help="ask anew for what was fetched in the last 24 hours")


def _add_known_at(parser: argparse.ArgumentParser) -> None:
    text = "leave out what was fetched later than this (UTC), as 2024-05-10 or 2024-05-10T21:30"
    parser.add_argument("--known-at", type=values.moment, metavar="TIME", help=text)


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")
