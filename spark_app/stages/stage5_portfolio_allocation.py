"""Stage 5: the portfolio of the trending stocks, weighted by market cap."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app.errors import DataIncompleteError
from spark_app.ingestion.completeness import describe_tickers
from spark_app.ingestion.current import read_bars, read_quotes
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run, once_a_run
from spark_app.schemas import MEMBERSHIPS, PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION, SECTOR_TRENDS
from spark_app.stages.market import (
    describe_look_ahead,
    describe_trending,
    members_of,
    portfolio_provenance,
    sector_trends_of,
    trend_dates,
    trend_sessions,
)
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.run_log import ConsumerError
from spark_app.transforms.allocation import (
    MarketFrames,
    portfolio_decisions,
    portfolio_exclusions,
    portfolio_positions,
)
from spark_app.transforms.measured_splits import CONTRADICTED_SPLITS, contradicted_splits, with_measured_splits
from spark_app.transforms.options import PortfolioOptions

_SHARE_CLASSES = StructType(
    [
        StructField("ticker", StringType()),
        StructField("issuer", StringType()),
        StructField("valid_from", DateType()),
        StructField("valid_to", DateType()),
    ]
)


def run(run: Run) -> StageResult:
    """Decide on every member of the trending sectors and serve positions and exclusions."""
    options = PortfolioOptions(**run.settings.portfolio.model_dump())
    members, trends = members_of(run), sector_trends_of(run)
    decisions = decide(run, run.frame(members, MEMBERSHIPS), trends, options)
    positions = portfolio_positions(decisions, options).collect()
    exclusions = portfolio_exclusions(decisions).collect()
    _require_stock_bars(run, positions, exclusions)
    splits = contradicted_splits_of(run, positions, exclusions)
    parts = [
        describe_trending(trends, options.basis_sessions),
        f"{len(positions)} positions",
        _describe_exclusions(exclusions),
        describe_exceeded(positions, options),
        describe_contradicted(splits),
        describe_look_ahead(run, members),
    ]
    return StageResult(
        message=", ".join(part for part in parts if part),
        publications=(
            run.serve_dates(PORTFOLIO_ALLOCATION, positions),
            run.serve_dates(PORTFOLIO_EXCLUSION, exclusions),
        ),
        errors=contradicted_errors(splits),
        provenance=portfolio_provenance(run, positions, exclusions),
    )


def decide(run: Run, members: DataFrame, trends: Sequence[Row], options: PortfolioOptions) -> DataFrame:
    """Decide on every member of the trending sectors on all as-of dates; see `portfolio_decisions`."""
    market = MarketFrames(
        bars=measured_bars(run),
        memberships=members,
        quotes=read_quotes(run),
        sessions=trend_sessions(run),
        share_classes=share_classes_of(run),
    )
    sector_trends = run.frame(trends, SECTOR_TRENDS)
    # A row per member of a trending sector, kept at the first use: the long plan behind it runs once for both tables.
    return portfolio_decisions(market, sector_trends, options).localCheckpoint(eager=False)


def measured_bars(run: Run) -> DataFrame:
    """Read the current bars, with the ratios of splits that their restatements measured; columns as schemas.BARS."""
    return with_measured_splits(read_bars(run), run.frame(_all_contradicted(run), CONTRADICTED_SPLITS))


def share_classes_of(run: Run) -> DataFrame:
    """The share classes in force: ticker, issuer, valid_from, valid_to (exclusive)."""
    return run.frame(run.settings.corrections.share_classes_in_force, _SHARE_CLASSES)


@once_a_run
def _all_contradicted(run: Run) -> tuple[Row, ...]:
    """Find the splits of all stocks of which staging shows another ratio than the listed one."""
    return tuple(contradicted_splits(read_bars(run), run.staging.read(BARS_TABLE)).collect())


def contradicted_splits_of(run: Run, positions: Sequence[Row], exclusions: Sequence[Row]) -> list[Row]:
    """List those of the decided stocks: of the sessions that returns span, and those that scaled a market cap.

    Columns in: those of schemas.PORTFOLIO_ALLOCATION and of schemas.PORTFOLIO_EXCLUSION less run_id.
    """
    first = trend_dates(run)[0]
    decided = {row["ticker"] for row in (*positions, *exclusions)}
    quoted: dict[str, dt.date] = {}
    for row in positions:
        quoted[row["ticker"]] = min(row["quote_date"], quoted.get(row["ticker"], row["quote_date"]))

    def is_used(split: Row) -> bool:
        ticker, day = split["ticker"], split["trade_date"]
        return ticker in decided and (first <= day <= run.as_of or (ticker in quoted and quoted[ticker] < day))

    return sorted(filter(is_used, _all_contradicted(run)), key=lambda split: (split["ticker"], split["trade_date"]))


def describe_contradicted(splits: Sequence[Row]) -> str:
    """Report the splits of which the measured ratio counts, "" where there is none."""
    if not splits:
        return ""
    listed = describe_tickers([f"{s.ticker} {s.trade_date} {_ratios(s)}" for s in splits])
    return f"splits restated by another ratio than listed (see logs_consumer_error): {listed}"


def contradicted_errors(splits: Sequence[Row]) -> list[ConsumerError]:
    """Return what `logs_consumer_error` gets of these splits."""
    return [
        ConsumerError(
            f"split of {s.ticker} {s.trade_date}: {_ratios(s)} by its restated closes: the measured one counts"
        )
        for s in splits
    ]


def _ratios(split: Row) -> str:
    return f"listed {split['listed_ratio']:.6g}, measured {split['measured_ratio']:.6g}"


def _require_stock_bars(run: Run, positions: Sequence[Row], exclusions: Sequence[Row]) -> None:
    if exclusions and not positions and all(row["reason"] == "missing_bars" for row in exclusions):
        raise DataIncompleteError(
            f"no returns for any of the {len(exclusions)} stocks of the trending sectors on {run.as_of}: "
            f"run stage 4 first"
        )


def describe_exceeded(positions: Sequence[Row], options: PortfolioOptions) -> str:
    """Report the dates with too few positions for the largest weight, "" where there is none."""
    dates = sorted({row["as_of_date"] for row in positions if row["is_max_weight_exceeded"]})
    if not dates:
        return ""
    of_dates = str(dates[0]) if len(dates) == 1 else f"{len(dates)} dates from {dates[0]} to {dates[-1]}"
    return f"max_weight {options.max_weight} cannot be kept with the positions of {of_dates}: weighted equally"


def _describe_exclusions(exclusions: Sequence[Row]) -> str:
    counts = Counter(row["reason"] for row in exclusions)
    listed = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
    return f"{len(exclusions)} excluded" + (f" ({listed})" if listed else "")
