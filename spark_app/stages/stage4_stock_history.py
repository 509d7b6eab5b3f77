"""Stage 4: prices, names and market caps of the stocks in trending sectors."""

from __future__ import annotations

from spark_app.ingestion.bars_to_serve import bars_to_serve
from spark_app.ingestion.current import read_quotes
from spark_app.ingestion.gate import require_answers, require_bars
from spark_app.ingestion.ingest import ingest
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import MEMBERSHIPS, STOCK_HISTORY
from spark_app.sources.contract import Kind
from spark_app.stages.market import describe_look_ahead, members_of, sector_trends_of, with_memberships
from spark_app.storage.postgres.provenance import Provenance
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.transforms.stock_history import stock_history


def run(run: Run) -> StageResult:
    """Collect bars and quotes of the universe, and serve the sessions asked for."""
    stocks = _universe(run)
    if not stocks:
        read = with_memberships(run, Provenance(), ())
        return StageResult(message="no sector trends over any period: no stock to fetch", provenance=read)
    ingested = ingest(run, charts=stocks, quotes=stocks)
    bars = bars_to_serve(run, ingested, STOCK_HISTORY)
    members = members_of(run)
    served = Publication(
        STOCK_HISTORY, stock_history(bars.prices(run), run.frame(members, MEMBERSHIPS), read_quotes(run))
    )
    landing, coverage, allowed = ingested.landing, run.settings.gate.stock_coverage, run.settings.gate.allowed_missing
    gate = [
        require_bars(
            run,
            landing,
            ingested.completeness,
            stocks,
            what="stocks",
            coverage=coverage,
            allowed_missing=allowed,
        ),
        require_answers(
            run,
            landing,
            Kind.QUOTE,
            what="quotes",
            coverage=coverage,
            allowed_missing=allowed,
            absent=ingested.confirmed_absent(Kind.QUOTE),
        ),
    ]
    message = [
        landing.summary(Kind.CHART).describe("stocks"),
        landing.summary(Kind.QUOTE).describe("quotes"),
        describe_look_ahead(run, members),
        *bars.describe(),
    ]
    known = [member for member in members if member["ticker"] in stocks]
    provenance = with_memberships(run, bars.provenance, known)
    return ingested.result(message, served, gate=gate, provenance=provenance)


def _universe(run: Run) -> list[str]:
    """The members of the sectors that trend over any period, or with `--universe all` of all sectors."""
    members = members_of(run)
    if run.request.universe == "all":
        return sorted(row["ticker"] for row in members)
    trending = {row["etf_ticker"] for row in sector_trends_of(run) if row["is_trending"]}
    return sorted(row["ticker"] for row in members if row["etf_ticker"] in trending)
