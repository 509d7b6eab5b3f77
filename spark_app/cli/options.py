"""The options of the jobs, each declared once: its flag, how its value is read, and what it sets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spark_app.cli import values
from spark_app.universe import FUNDS, STAGGERED_FUNDS

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


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        flag: as the user types it.
        help: what it does; `--help` adds the default, of a setting the one in force.
        sets: a field of `Request`, a setting as `section.key`, or something of the command line itself.
        read: reads the value, or says what is wrong with it; None for a switch.
        default: the value without the option; None leaves it to the request or the setting.
        metavar: the name of the value in `--help`.
        choices: the values that are allowed.
        excludes: options with the same text here cannot be given together.
    """

    flag: str
    help: str
    sets: str
    read: Callable[[str], object] | None = None
    default: object = None
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    excludes: str = ""

    @property
    def is_setting(self) -> bool:
        return "." in self.sets


def text(value: str) -> str:
    """Take a value as it is."""
    return value


def _tickers(funds: Sequence[str]) -> Option:
    return Option(
        "--tickers",
        f"only these of {', '.join(funds)}",
        "tickers",
        functools.partial(values.tickers, known=funds),
        metavar="A,B",
    )


SOURCE = Option("--source", "where data comes from", "source.name", text, choices=("yahoo", "synthetic", "files"))
CONFIG = Option("--config", "settings file (default: conf/pipeline.toml)", "config", text, metavar="FILE")
JSON = Option("--json", "write the summary of the run to FILE", "json", text, metavar="FILE")
AS_OF = Option(
    "--as-of", "session to work for, YYYY-MM-DD (default: the last completed)", "as_of", values.date, metavar="DATE"
)
FORCE = Option("--force", "run again what is done, and although the source is blocked", "force")
CATCH_UP = Option(
    "--catch-up", "also run the sessions that a schedule missed, oldest first, from one fetch of a ticker", "catch_up"
)
KNOWN_AT = Option(
    "--known-at",
    "ignore what was fetched later than this (UTC), as 2024-05-10 or 2024-05-10T21:30; implies --dry-run",
    "known_at",
    values.moment,
    metavar="TIME",
)
DAYS = Option("--days", "sessions of prices to collect", "days", values.positive, default=21, metavar="N")
UNIVERSE = Option(
    "--universe",
    "stocks of the sectors that trend in any period, or of all",
    "universe",
    text,
    default="trending",
    choices=("trending", "all"),
)
DELAY = Option(
    "--delay",
    "pause between any two requests, 0 = none; at the source it is kept from 1 second on",
    "fetch.delay_seconds",
    values.number,
    metavar="SECONDS",
)
MAX_RETRIES = Option(
    "--max-retries",
    "retries of a request that failed for a passing reason",
    "fetch.max_retries",
    values.whole,
    metavar="N",
)
REFRESH = Option("--refresh", "fetch again what is cached", "refresh")
FETCH = (DELAY, MAX_RETRIES, REFRESH)
"""The options of every job that fetches."""

BACKFILL_DAYS = replace(DAYS, help="trading sessions of each fund, up to the as-of session", default=20)
BACKFILL_TICKERS, STAGGERED_TICKERS = _tickers(FUNDS), _tickers(STAGGERED_FUNDS)
UNBLOCK = replace(FORCE, help="fetch although the source is blocked")
RATE_LIMIT_SLEEP = Option(
    "--rate-limit-sleep",
    "how long the source is blocked after a rate limit; the run ends and says when to resume",
    "fetch.rate_limit_pause_seconds",
    values.positive,
    metavar="SECONDS",
)
NO_BATCH = Option("--no-batch", "one request in flight, not several", "one_at_a_time")
DELAY_MINUTES = Option(
    "--delay-minutes",
    "from the start of one sector to that of the next, fractions allowed",
    "delay_minutes",
    values.minutes,
    default=5.0,
    metavar="MINUTES",
)
START_FROM = Option(
    "--start-from",
    "skip the sectors before this one",
    "start_from",
    functools.partial(values.ticker, known=STAGGERED_FUNDS),
    metavar="TICKER",
)
SKIP_EXISTING = Option("--skip-existing", "skip sectors of which no session is missing", "skip_existing")
SHOW_PLAN = Option("--dry-run", "show which sector would be fetched when, fetch nothing", "dry_run")
WHAT_IF = Option("--dry-run", "show what would differ from what is served, publish nothing", "dry_run")
SHOW_CUTS = Option("--dry-run", "show what would be removed, remove nothing", "dry_run")

FORGET = Option(
    "--forget", "drop the cached fetches of these tickers", "forget", text, metavar="A,B", excludes="what is forgotten"
)
FORGET_ALL = Option("--forget-all", "drop all cached fetches", "forget_all", excludes="what is forgotten")
OUT = Option(
    "--out", "write the page to FILE (default: report-DATE.html in SPARK_APP_HOME/reports)", "out", text, metavar="FILE"
)
PNG = Option("--png", "also write a picture of its first screen to FILE, by Chromium", "png", text, metavar="FILE")
OPEN = Option("--open", "open the page in the browser", "opens")
BACKTEST_OUT = replace(OUT, help="write the page to FILE (default: backtest-ID.html in SPARK_APP_HOME/reports)")
REPORT_AS_OF = replace(AS_OF, help="session to show, YYYY-MM-DD (default: the newest with results)")
FROM = Option("--from", "first session of a range that ends with --as-of", "first_as_of", values.date, metavar="DATE")
TABLES = Option(
    "--tables",
    f"only these of {', '.join(REPUBLISHED)} (default: all)",
    "tables",
    functools.partial(values.tables, known=REPUBLISHED),
    metavar="A,B",
)
FILES = Option("--files", "folder or URL with the files of docs/FILES.md", "files.folder", text, metavar="FOLDER")
SPLIT_BASIS = Option(
    "--split-basis",
    "splits that the closes contain: adjusted (all that are listed), unadjusted (none), or those up to a date",
    "files.split_basis",
    text,
    metavar="BASIS",
)
REPUBLISHED_DAYS = replace(DAYS, help="sessions of prices on each date")
FROM_OFFSET = Option(
    "--from-offset",
    "first offset of every partition, or of some, as 0:1200,1:950; others are read whole (default: everything)",
    "topic_start",
    values.topic_offsets,
    metavar="OFFSET",
    excludes="where to begin",
)
FROM_TIME = Option(
    "--from-time",
    "skip messages that were sent before this (UTC), as 2024-05-10 or 2024-05-10T21:30",
    "topic_start",
    values.topic_time,
    metavar="TIME",
    excludes="where to begin",
)

TO = replace(AS_OF, flag="--to", help="last day of the backtest (default: the last one with prices)")
BACKTEST_FROM = replace(FROM, help="first day of the backtest; the value is 1 at the session before it")
MAX_WEIGHT = Option(
    "--max-weight", "largest weight of one position, a fraction", "portfolio.max_weight", text, metavar="FRACTION"
)


def _chosen(flag: str, sets: str, told: str, *choices: str) -> Option:
    return Option(flag, told, f"backtest.{sets}", text, choices=choices)


BACKTEST = (
    BACKTEST_FROM,
    TO,
    _chosen("--level", "level", "what is held: the trending funds, or stocks of them", "sectors", "stocks"),
    _chosen("--rebalance", "rebalance", "at each session, or the last of a period", "daily", "weekly", "monthly"),
    _chosen("--execution", "execution", "where a signal is traded", "next_open", "next_close", "same_close"),
    Option("--cost-bps", "cost of a side, in basis points", "backtest.cost_bps", values.number, metavar="BPS"),
    Option("--top-n-sectors", "largest number of sectors", "backtest.top_n_sectors", values.positive, metavar="N"),
    Option(
        "--top-n-per-sector",
        "with --level stocks: largest number of stocks of a sector",
        "portfolio.top_n_per_sector",
        values.positive,
        metavar="N",
    ),
    Option(
        "--basis",
        "the period whose trends decide, in sessions",
        "backtest.basis_sessions",
        values.positive,
        metavar="N",
    ),
    Option(
        "--rank-periods",
        "rank by the mean return over these periods instead of the basis",
        "backtest.rank_periods",
        text,
        metavar="A,B",
    ),
    Option("--no-trend-filter", "hold the best sectors whether they trend or not", "no_trend_filter"),
    Option("--grid", "run 5, 10 and 20 sessions, daily, weekly and monthly as well: was it luck?", "grid"),
    Option("--probe", "compute signals again without their future, which must not change them", "probe"),
    _chosen("--weighting", "weighting", "weights of the positions", "market_cap", "equal", "inverse_volatility"),
    MAX_WEIGHT,
    _chosen("--look-ahead", "look_ahead", "stocks' facts dated later: refused, or used and counted", "refuse", "allow"),
    KNOWN_AT,
    Option("--universe-file", "other funds than those of conf/universe.toml", "universe_file", text, metavar="FILE"),
    Option("--csv", "write the results to CSV files in FOLDER", "csv", text, metavar="FOLDER"),
)
"""The options of a backtest."""
