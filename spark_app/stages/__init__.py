"""The five stages of a session, declared in their order; the body of each is `run` in the module of its name.

Begin with `stage1_etf_ohlc.py`; what stages 3, 4 and 5 share of the market's state is in `market.py`.
"""

from spark_app.pipeline.stage import Stage

_CHANGE_THE_SAME_TABLES = ("backfill_etf_benchmarks", "staggered_sector_backfill", "republish")

STAGE1 = Stage(
    "stage1_etf_ohlc",
    "Stage 1: collect daily prices of SPY, QQQ and the eleven sector funds.",
    "spark_app.stages.stage1_etf_ohlc",
    parameters=("days",),
    fetches=True,
)
STAGE2 = Stage(
    "stage2_etf_holdings",
    "Stage 2: collect the holdings of SPY and the eleven sector funds.",
    "spark_app.stages.stage2_etf_holdings",
    parameters=("holdings_provider",),
    fetches=True,
)
STAGE3 = Stage(
    "stage3_trending_sectors",
    "Stage 3: find the sectors that trend over 5, 10 and 20 sessions.",
    "spark_app.stages.stage3_trending_sectors",
    depends_on=(STAGE1.name, STAGE2.name),
    reruns_after=_CHANGE_THE_SAME_TABLES,
)
STAGE4 = Stage(
    "stage4_stock_history",
    "Stage 4: collect prices and market caps of the stocks in trending sectors.",
    "spark_app.stages.stage4_stock_history",
    parameters=("days", "universe"),
    fetches=True,
    depends_on=(STAGE1.name, STAGE2.name),
    reruns_after=_CHANGE_THE_SAME_TABLES,
)
STAGE5 = Stage(
    "stage5_portfolio_allocation",
    "Stage 5: weight the trending stocks by market cap.",
    "spark_app.stages.stage5_portfolio_allocation",
    parameters=("portfolio",),
    depends_on=(STAGE1.name, STAGE2.name, STAGE3.name, STAGE4.name),
    reruns_after=_CHANGE_THE_SAME_TABLES,
)

STAGES = (STAGE1, STAGE2, STAGE3, STAGE4, STAGE5)
"""The stages in the order in which they run."""
