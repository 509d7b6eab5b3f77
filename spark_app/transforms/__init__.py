"""Pure functions on DataFrames and Columns: prices, returns, trends, market caps, weights; usable in a notebook.

Read `trends.py` first: a sector's trend from bars and sessions. What a notebook needs is imported from here, as
docs/NOTEBOOK.md shows; modules of the pipeline import the module of a transform.
"""

from spark_app.transforms.allocation import (
    MarketFrames,
    portfolio_decisions,
    portfolio_exclusions,
    portfolio_positions,
)
from spark_app.transforms.current import current_bars, current_holdings, current_quotes
from spark_app.transforms.holdings import sector_memberships
from spark_app.transforms.market_caps import with_market_cap
from spark_app.transforms.options import PortfolioOptions
from spark_app.transforms.prices import with_bar_defect, with_price_change
from spark_app.transforms.returns import session_returns
from spark_app.transforms.stock_trends import stock_trends
from spark_app.transforms.trends import sector_trends
from spark_app.transforms.weights import with_portfolio_weight
from spark_app.universe import PERIODS

__all__ = [
    "PERIODS",
    "MarketFrames",
    "PortfolioOptions",
    "current_bars",
    "current_holdings",
    "current_quotes",
    "portfolio_decisions",
    "portfolio_exclusions",
    "portfolio_positions",
    "sector_memberships",
    "sector_trends",
    "session_returns",
    "stock_trends",
    "with_bar_defect",
    "with_market_cap",
    "with_portfolio_weight",
    "with_price_change",
]
