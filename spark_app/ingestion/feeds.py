"""What `ingest` needs of each kind of data: charts.py, holdings.py and quotes.py each give it."""

from __future__ import annotations

import datetime as dt
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from spark_app.ingestion.absence import confirmed_absences
from spark_app.ingestion.cache import Known
from spark_app.ingestion.completeness import Completeness, describe_tickers
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.pipeline.run import Run
from spark_app.sources.contract import FetchRequest, Kind
from spark_app.storage.postgres.run_log import ConsumerError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outlier:
    """A change of price from one session to the next that is too large to be plausible; the bar is kept.

    `percent` is the change of the adjusted close; `bar` the whole bar as a text.
    """

    ticker: str
    trade_date: dt.date
    percent: float
    bar: str

    @property
    def error(self) -> ConsumerError:
        """What `logs_consumer_error` gets."""
        return ConsumerError(
            f"bar of {self.ticker} {self.trade_date}: outlier of {self.percent:+.1f} % that neither a split nor a"
            " dividend explains; the bar is kept",
            self.bar,
        )

    def __str__(self) -> str:
        """The short form, for messages."""
        return f"{self.ticker} {self.trade_date} {self.percent:+.1f} %"


@dataclass(frozen=True)
class Staged:
    """What reached the staging tables.

    Attributes:
        versions: staging table -> the Delta version that has the rows of this run.
        rejected: bars that broke a rule, and were kept out.
        restated: tickers of which known bars changed.
        outliers: each is reported by the run that first stages it.
    """

    versions: Mapping[str, int] = field(default_factory=dict)
    rejected: tuple[ConsumerError, ...] = ()
    restated: frozenset[str] = frozenset()
    outliers: tuple[Outlier, ...] = ()

    @property
    def errors(self) -> tuple[ConsumerError, ...]:
        """What `logs_consumer_error` gets."""
        return self.rejected + tuple(outlier.error for outlier in self.outliers)

    def joined(self, later: Staged) -> Staged:
        """Both together; a bar that was rejected twice counts once."""
        return Staged(
            {**self.versions, **later.versions},
            tuple(dict.fromkeys(self.rejected + later.rejected)),
            self.restated | later.restated,
            tuple(dict.fromkeys(self.outliers + later.outliers)),
        )


@dataclass(frozen=True, eq=False)
class Feed(ABC):
    """One kind of data of some tickers; `table` is the staging table of its rows."""

    run: Run
    tickers: Sequence[str]
    known: Known
    kind: ClassVar[Kind]
    table: ClassVar[str]

    @property
    def cached(self) -> Landing:
        """What fresh fetches in staging answer."""
        return self.known.cached(self.requests(self.tickers))

    def due(self, cached: Landing) -> list[FetchRequest]:
        """List what has to be asked for: what no fresh fetch answers."""
        return self.requests([ticker for ticker in self.tickers if ticker not in cached.of_kind(self.kind)])

    def confirmed_absent(self, landing: Landing) -> frozenset[str]:
        """The tickers of which it is believed that there is no data; the synthetic market and files are never wrong."""
        absent = landing.absent(self.kind)
        if self.run.settings.data_origin != "real":
            return frozenset(t.ticker for t in absent)
        known = self.known.absent_on
        absent_on = {t.ticker: {*known.get((self.kind, t.ticker), ()), *_day_of(t)} for t in absent}
        return confirmed_absences(absent_on, len(self.tickers), self.known.confirming_days)

    def incomplete(self, landing: Landing, completeness: Completeness) -> list[FetchRequest]:
        """List what this run fetches again; the synthetic market and files would say the same."""
        if landing.is_rate_limited or landing.is_interrupted or self.run.settings.data_origin != "real":
            return []
        doubtful = self.doubtful(landing, completeness)
        again = [ticker for ticker in self.tickers if ticker in doubtful]
        if again:
            missing = self.describe_missing(again, completeness)
            logger.info("%s: %s are missing, fetching again: %s", self.run.stage, self.table, missing)
        return self.requests(again)

    def doubtful(self, landing: Landing, _completeness: Completeness, /) -> Collection[str]:
        """The tickers that were fetched by this run and have no data, although they are known to exist."""
        fetched = {t.ticker for t in landing.absent(self.kind) if not t.is_cached}
        return fetched - self.confirmed_absent(landing)

    def describe_missing(self, tickers: Sequence[str], _completeness: Completeness, /) -> str:
        """List what is missing of some tickers."""
        return describe_tickers(tickers)

    @abstractmethod
    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        """Return the requests that ask for these tickers."""

    @abstractmethod
    def stage(self, landing: Landing, /) -> Staged:
        """Append the rows of this run's fetches that are new or differ."""


def _day_of(ticker: LandedTicker) -> tuple[dt.date, ...]:
    return () if ticker.fetched_on is None else (ticker.fetched_on,)
