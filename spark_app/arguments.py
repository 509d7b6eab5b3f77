"""The command line of the jobs; imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import datetime as dt
import shlex
from collections.abc import Sequence
from typing import NoReturn

from spark_app.funds import FUNDS, STAGGERED_FUNDS

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
        option("--days", type=_positive, default=21, metavar="N", help="sessions of prices to collect (default: 21)")
    if "stage4_stock_history" in stages:
        text = "stocks of the sectors that trend in any period, or of all (default: trending)"
        option("--universe", choices=("trending", "all"), default="trending", help=text)
    return parser


def build_backfill_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `backfill_etf_benchmarks`."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    option("--days", type=_positive, default=20, metavar="N", help="sessions, the last one completed (default: 20)")
    option("--tickers", type=_funds, metavar="A,B", help=f"only these of {','.join(FUNDS)}")
    _add_fetch_options(parser)
    option("--rate-limit-sleep", type=_positive, metavar="SECONDS", help="pause after a rate limit (default: 900)")
    option("--no-batch", action="store_true", help="one ticker at a time instead of waves in parallel")
    option("--force", action="store_true", help="ask although a rate limit still holds")
    return parser


def build_staggered_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Build the parser of `staggered_sector_backfill`."""
    parser = _common_parser(name, description)
    option = parser.add_argument
    option("--days", type=_positive, default=20, metavar="N", help="sessions, the last one completed (default: 20)")
    option(
        "--delay-minutes", type=_not_negative, default=5.0, metavar="M", help="from one sector to the next (default: 5)"
    )
    option("--tickers", type=_sector_funds, metavar="A,B", help=f"only these of {','.join(STAGGERED_FUNDS)}")
    option("--start-from", type=_sector_fund, metavar="TICKER", help="leave out the sectors before this one")
    option("--skip-existing", action="store_true", help="leave out sectors whose bars are all there")
    option("--dry-run", action="store_true", help="show the plan with its times, ask for nothing")
    _add_fetch_options(parser)
    option("--force", action="store_true", help="ask although a rate limit still holds")
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
    option("--from", dest="first", type=_date, metavar="DATE", help="first session of a range that ends with --as-of")
    option("--tables", type=_tables, metavar="A,B", help=f"only these of {', '.join(REPUBLISHED)} (default: all)")
    option("--days", type=_positive, default=21, metavar="N", help="sessions of prices on each date (default: 21)")
    text = "stocks of the sectors that trend in any period, or of all (default: trending)"
    option("--universe", choices=("trending", "all"), default="trending", help=text)
    _add_known_at(parser)
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
    return shlex.join(["./spark_jobs_launcher.sh", name, *kept, "--as-of", str(as_of), *given])


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
    # Shortened options would be hard to take over into a command that resumes.
    parser = _Parser(prog=name, description=description, allow_abbrev=False)
    option = parser.add_argument
    option("--as-of", type=_date, metavar="DATE", help="session to work for, YYYY-MM-DD (default: the last completed)")
    option("--source", choices=("yahoo", "synthetic"), help="where data comes from (default: setting source.name)")
    option("--config", metavar="FILE", help="settings file (default: conf/pipeline.toml)")
    option("--json", metavar="FILE", help="write the summary of the run to FILE")
    return parser


def _add_fetch_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--delay", type=float, metavar="SECONDS", help="pause between requests, 0 = none (default: 5)")
    option("--max-retries", type=int, metavar="N", help="repeats after a passing failure (default: 3)")
    option("--refresh", action="store_true", help="ask anew for what was fetched within the last day")


def _add_known_at(parser: argparse.ArgumentParser) -> None:
    text = "leave out what was fetched later than this (UTC), as 2024-05-10 or 2024-05-10T21:30"
    parser.add_argument("--known-at", type=_moment, metavar="TIME", help=text)


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _funds(text: str) -> tuple[str, ...]:
    return _chosen(text, FUNDS)


def _sector_funds(text: str) -> tuple[str, ...]:
    return _chosen(text, STAGGERED_FUNDS)


def _sector_fund(text: str) -> str:
    ticker, *more = _sector_funds(text)
    if more:
        raise argparse.ArgumentTypeError(f"{text!r} is more than one ticker")
    return ticker


def _chosen(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read a list of tickers and put it into the order of `known`."""
    tickers = {part.strip().upper() for part in text.split(",")}
    unknown = sorted(tickers - set(known))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is none of {', '.join(known)}")
    return tuple(ticker for ticker in known if ticker in tickers)


def _tables(text: str) -> tuple[str, ...]:
    named = {part.strip() for part in text.split(",")}
    unknown = sorted(named - set(REPUBLISHED))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is none of {', '.join(REPUBLISHED)}")
    return tuple(table for table in REPUBLISHED if table in named)


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2024-05-10T21:30") from None
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date of the form YYYY-MM-DD") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number
