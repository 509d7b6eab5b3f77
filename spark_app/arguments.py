"""The command line of the stage jobs; imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from typing import NoReturn

STAGES = (
    "stage1_etf_ohlc",
    "stage2_etf_holdings",
    "stage3_trending_sectors",
    "stage4_stock_history",
    "stage5_portfolio_allocation",
)
"""The five stages in the order of the data."""

_FETCHING = {"stage1_etf_ohlc", "stage2_etf_holdings", "stage4_stock_history"}
_WITH_PRICES = {"stage1_etf_ohlc", "stage4_stock_history"}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage lines."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def build_parser(name: str, description: str, stages: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of a job that runs `stages`, with just the options that matter to them."""
    parser = _Parser(prog=name, description=description)
    option = parser.add_argument
    option("--as-of", type=_date, metavar="DATE", help="session to work for, YYYY-MM-DD (default: the last completed)")
    option("--source", choices=("yahoo", "synthetic"), help="where data comes from (default: setting source.name)")
    option("--config", metavar="FILE", help="settings file (default: conf/pipeline.toml)")
    option("--json", metavar="FILE", help="write the summary of the run to FILE")
    option("--force", action="store_true", help="run again although this session is done")
    if _FETCHING & set(stages):
        option("--delay", type=float, metavar="SECONDS", help="pause between requests, 0 = none (default: 5)")
        option("--max-retries", type=int, metavar="N", help="repeats after a passing failure (default: 3)")
    if _WITH_PRICES & set(stages):
        option("--days", type=_positive, default=21, metavar="N", help="sessions of prices to collect (default: 21)")
    if "stage4_stock_history" in stages:
        text = "stocks of the sectors that trend in any period, or of all (default: trending)"
        option("--universe", choices=("trending", "all"), default="trending", help=text)
    return parser


def settings_overrides(arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Collect what the command line says about settings: section -> key -> value."""
    given = {
        ("source", "name"): arguments.source,
        ("fetch", "delay_seconds"): getattr(arguments, "delay", None),
        ("fetch", "max_retries"): getattr(arguments, "max_retries", None),
    }
    overrides: dict[str, dict[str, object]] = {}
    for (section, key), value in given.items():
        if value is not None:
            overrides.setdefault(section, {})[key] = value
    return overrides


def _date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date of the form YYYY-MM-DD") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
