"""What a backtest is asked to do: every parameter that its result depends on, and their hash."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from spark_app.backtest.engine import Execution, Rules
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import DEFAULT_UNIVERSE, Universe

Level = Literal["sectors", "stocks"]
Rebalance = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True)
class Plan:
    """The parameters of one backtest.

    Attributes:
        first, last: the days asked for; the value is 1 at the close of the session before `first`.
        level: what is held, the chosen funds (sectors) or stocks of them (stocks).
        weighting: equal, inverse_volatility or, of stocks, market_cap.
        top_n_per_sector: largest number of stocks of a sector.
        is_look_ahead_allowed: holdings and market caps that are dated later stand in where there are none of the time.
        known_at: what was fetched later is ignored.
        has_grid: whether other rules are run beside this one; no parameter of its result.
    """

    first: dt.date
    last: dt.date
    universe: Universe = DEFAULT_UNIVERSE
    level: Level = "sectors"
    rebalance: Rebalance = "monthly"
    execution: Execution = "next_open"
    cost_bps: float = 10.0
    cash_percent: float = 0.0
    choice: SectorChoice = field(default_factory=SectorChoice)
    weighting: str = "equal"
    max_weight: Decimal | None = None
    top_n_per_sector: int = 5
    is_look_ahead_allowed: bool = False
    known_at: dt.datetime | None = None
    has_grid: bool = False

    @property
    def rules(self) -> Rules:
        """How targets are traded."""
        return Rules(self.execution, self.cost_bps, self.cash_percent / 100, self.universe.periods_a_year)

    @property
    def has_caps(self) -> bool:
        """Whether market caps are looked at: a stock without one is no position."""
        return self.weighting == "market_cap"

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the result, as JSON has them."""
        universe = self.universe
        of_stocks = {
            "top_n_per_sector": self.top_n_per_sector,
            "look_ahead": "allow" if self.is_look_ahead_allowed else "refuse",
        }
        return {
            "level": self.level,
            "first_date": str(self.first),
            "last_date": str(self.last),
            "rebalance": self.rebalance,
            "execution": self.execution,
            "cost_bps": self.cost_bps,
            "cash_percent": self.cash_percent,
            "top_n_sectors": self.choice.top_n,
            "basis_sessions": self.choice.basis,
            "rank_periods": list(self.choice.rank_periods),
            "is_trend_required": self.choice.is_trend_required,
            "weighting": self.weighting,
            "max_weight": None if self.max_weight is None else str(self.max_weight),
            "known_at": None if self.known_at is None else self.known_at.isoformat(),
            "universe": {
                "benchmark": universe.benchmark,
                "funds": list(universe.sectors),
                "sessions": universe.sessions,
                "periods_a_year": universe.periods_a_year,
            },
            **(of_stocks if self.level == "stocks" else {}),
        }

    @property
    def backtest_id(self) -> str:
        """The key of the results: a hash of the parameters."""
        return hash_of(self.parameters)


def hash_of(parameters: Mapping[str, Any]) -> str:
    """Hash parameters, whatever their order; 16 hexadecimal digits."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
