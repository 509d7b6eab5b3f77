"""What stages 3, 4 and 5 share: the trends of the sectors and the members of the funds, derived from staging."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.current import read_bars, read_holdings
from spark_app.pipeline.run import Run, once_a_run
from spark_app.schemas import TRENDING_SECTORS
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres.provenance import Provenance
from spark_app.transforms.holdings import sector_memberships
from spark_app.transforms.returns import UnavailableCode
from spark_app.transforms.trends import sector_trends
from spark_app.universe import BENCHMARK, DEFAULT_UNIVERSE, FUNDS, PERIODS, SECTOR_NAMES

_LONGEST = max(PERIODS) + 1
_NO_BENCHMARK = (UnavailableCode.NO_BAR_AT_END, UnavailableCode.NO_USABLE_PRICE_AT_END)


def trend_sessions(run: Run) -> DataFrame:
    """The sessions that the longest returns up to the as-of dates span: trade_date, session_number."""
    return run.sessions(trend_dates(run))


def trend_dates(run: Run) -> list[dt.date]:
    """List these sessions."""
    first = market_calendar.sessions_ending(run.as_of_dates[0], _LONGEST)[0]
    return market_calendar.sessions_between(first, run.as_of)


@once_a_run
def sector_trends_of(run: Run) -> tuple[Row, ...]:
    """Compute the trends of the as-of session; rows of schemas.SECTOR_TRENDS.

    Raises: DataIncompleteError: the benchmark has no usable price on the as-of session, so nothing can be compared.
    """
    trends = tuple(trends_of(run).collect())
    if not with_benchmark(trends):
        raise DataIncompleteError(f"no bars for {BENCHMARK} up to {run.as_of}: run stage 1 first")
    return trends


def trends_of(run: Run) -> DataFrame:
    """The trends of all as-of dates; schemas.SECTOR_TRENDS."""
    bars = read_bars(run, trend_dates(run)[0], run.as_of)
    fund_bars = bars.where(F.col("ticker").isin(list(FUNDS)))
    listed = run.settings.first_sessions
    universe = replace(DEFAULT_UNIVERSE, first_sessions={fund: listed[fund] for fund in FUNDS})
    return sector_trends(fund_bars, trend_sessions(run), run.as_of_frame(), universe=universe)


def with_benchmark(trends: Sequence[Row]) -> list[dt.date]:
    """List the as-of dates on which the benchmark has a usable price: of the others nothing can be said."""
    return sorted({row["as_of_date"] for row in trends if row["benchmark_unavailable_code"] not in _NO_BENCHMARK})


def served_trends(trends: Sequence[Row]) -> list[tuple[object, ...]]:
    """The rows of schemas.TRENDING_SECTORS less run_id: the codes are not served."""
    return [tuple(row[name] for name in TRENDING_SECTORS.computed_schema.fieldNames()) for row in trends]


@once_a_run
def members_of(run: Run) -> tuple[Row, ...]:
    """Compute which stock belongs to which sector fund on the as-of session; rows as of `sector_memberships`.

    Raises: DataIncompleteError: no sector fund has holdings.
    """
    members = memberships_of(run).collect()
    if not members:
        raise DataIncompleteError(f"no holdings of any sector fund for {run.as_of}: run stage 2 first")
    return tuple(members)


def memberships_of(run: Run) -> DataFrame:
    """The members of the sector funds on all as-of dates, by the tickers that the source has; schemas.MEMBERSHIPS."""
    return sector_memberships(read_holdings(run), run.as_of_frame(), run.settings.corrections.renames_in_force)


def describe_look_ahead(run: Run, members: Sequence[Row]) -> str:
    """Name the look-ahead snapshots: those dated after the as-of session, "" where there is none."""
    later = sorted({str(row["snapshot_date"]) for row in members if row["is_look_ahead"]})
    return f"look-ahead: holdings of {', '.join(later)} used for {run.as_of}" if later else ""


def describe_unlisted(run: Run, tickers: Sequence[str] = FUNDS) -> str:
    """Name the funds that were not listed yet on the as-of session, "" where all were."""
    listed = run.settings.first_sessions
    later = [f"{ticker} (since {listed[ticker]})" for ticker in tickers if listed[ticker] > run.as_of]
    return f"not listed yet: {', '.join(later)}" if later else ""


def with_memberships(run: Run, provenance: Provenance, members: Sequence[Row]) -> Provenance:
    """Add the snapshots that made stocks members, and how many of these memberships are look-ahead."""
    used = {row["etf_ticker"]: str(row["snapshot_date"]) for row in members}
    inputs = {
        **provenance.inputs,
        "staging_versions": run.staging_versions([BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE]),
        "holdings_dates": dict(sorted(used.items())),
    }
    return replace(provenance, inputs=inputs, look_ahead_memberships=sum(bool(row["is_look_ahead"]) for row in members))


def portfolio_provenance(run: Run, positions: Sequence[Row], exclusions: Sequence[Row]) -> Provenance:
    """Return what portfolios stand on; of several as-of dates the newest snapshot of each fund.

    Columns in: those of schemas.PORTFOLIO_ALLOCATION and of schemas.PORTFOLIO_EXCLUSION less run_id.
    """
    decided = [*positions, *exclusions]
    funds = {sector: fund for fund, sector in SECTOR_NAMES.items()}
    dated = sorted((row["holdings_date"], funds[row["sector"]]) for row in decided)
    quoted = sorted(row["quote_date"] for row in positions)
    inputs: dict[str, object] = {
        "staging_versions": run.staging_versions([BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE]),
        "holdings_dates": dict(sorted({fund: str(date) for date, fund in dated}.items())),
    }
    if quoted:
        inputs["quote_dates"] = {"first": str(quoted[0]), "last": str(quoted[-1])}
    return Provenance(
        inputs,
        look_ahead_memberships=sum(row["holdings_date"] > row["as_of_date"] for row in decided),
        look_ahead_quotes=sum(row["quote_date"] > row["as_of_date"] for row in positions),
    )


def describe_trending(trends: Sequence[Row], sessions: int) -> str:
    """Name the sectors that trend over a period."""
    names = [row["etf_ticker"] for row in trends if row["period_days"] == sessions and row["is_trending"]]
    return f"{len(names)} trend over {sessions} sessions" + (f" ({', '.join(sorted(names))})" if names else "")
