"""Runs of single stages on the calm market, and what the emulator's log and staging say about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.pipeline.result import StageReport
from spark_app.storage.delta.staging import Staging
from tests.emulator import Fault, Request
from tests.integration.expected import Known, Rows, daily_prices
from tests.integration.fetch_market import AS_OF, FUNDS, MORNING_AFTER, fetch_market
from tests.integration.world import World, without_text

STAGE1, STAGE2, STAGE4 = "stage1_etf_ohlc", "stage2_etf_holdings", "stage4_stock_history"
RESUME = "./spark_jobs_launcher.sh stage1_etf_ohlc --resumed"


@dataclass(frozen=True)
class FetchWorld:
    """One installation; `run` uses the cache, as a user's second run does."""

    world: World
    spark: SparkSession

    def run(self, stage: str = STAGE1, as_of: dt.date = AS_OF, **options: Any) -> StageReport:
        """Run one stage for `as_of`; arguments as of `World.run`."""
        given = {"now": MORNING_AFTER, "refresh": False, "universe": "all", "resume_command": RESUME} | options
        return self.world.run(self.spark, as_of, stages=[stage], **given)[stage]

    def asked(self, kind: str = "chart") -> dict[str, int]:
        """Say how often each ticker was asked for since the log was cleared."""
        return dict(self.world.emulator.log.tickers(kind))

    def forget_log(self) -> None:
        """From here on only new requests count."""
        self.world.emulator.log.clear()

    def after(self, fault: Fault) -> list[Request]:
        """List the requests that arrived after the first answer with this fault had left."""
        log = list(self.world.emulator.log)
        first = min(r.answered for r in log if r.fault is fault and r.answered is not None)
        return [request for request in log if request.arrived > first]

    def staged(self, table: str) -> list[Any]:
        """Read all rows of a staging table."""
        return Staging(self.spark, str(self.world.home / "staging"), "real").read(table).collect()

    def date_back(self, tickers: Sequence[str], age: dt.timedelta) -> None:
        """Make what was landed of some tickers older, in a copy: as if an earlier run had fetched it as well."""
        staging = Staging(self.spark, str(self.world.home / "staging"), "real")
        landed = staging.read("fetches").where(F.col("ticker").isin(list(tickers)))
        earlier = (F.col("fetched_at") - F.lit(age)).alias("fetched_at")
        others = [name for name in landed.columns if name not in ("fetched_at", "run_id")]
        staging.append("fetches", landed.select(*others, earlier, F.lit("earlier").alias("run_id")))

    def outcomes(self, kind: str = "chart") -> dict[str, str]:
        """The last landed outcome of each ticker."""
        rows = sorted(self.staged("fetches"), key=lambda row: row["fetched_at"])
        return {row["ticker"]: row["outcome"] for row in rows if row["kind"] == kind}

    def errors(self) -> list[tuple[str, str | None]]:
        """Read what `logs_consumer_error` says: message and raw text."""
        return [(m, raw) for m, raw in self.world.query("SELECT error_msg, raw_value FROM logs_consumer_error")]


def waves_of(size: int, **fetch: object) -> dict[str, dict[str, object]]:
    """Settings with waves of so many tickers."""
    return {"fetch": {"wave_size": size, **fetch}}


def each_once(tickers: Sequence[str]) -> dict[str, int]:
    """Every ticker asked for exactly once."""
    return dict.fromkeys(tickers, 1)


def right_prices() -> Rows:
    """The rows of the funds for `AS_OF`, where nothing goes wrong."""
    market = fetch_market()
    return daily_prices(Known(market.bars, market.events, {}, {}), FUNDS, AS_OF)


def served_prices(fetch_world: FetchWorld) -> Rows:
    """The rows of the funds that are served, without provenance."""
    return without_text(fetch_world.world.table("collected_daily_etf_ohlc"))
