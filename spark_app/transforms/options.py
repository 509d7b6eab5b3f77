"""The options of the portfolio."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spark_app.errors import SettingsError
from spark_app.schemas import PORTFOLIO_WEIGHT
from spark_app.universe import PERIODS


@dataclass(frozen=True)
class PortfolioOptions:
    """The options of stage 5 that change its result.

    Attributes:
        basis_sessions: the period whose trends decide on positions; 5, 10 or 20 trading sessions.
        top_n_per_sector: largest number of positions per sector.
        max_weight: largest weight of one position, a fraction no finer than 1e-8; None for no limit.
    """

    basis_sessions: int = 20
    top_n_per_sector: int = 5
    max_weight: Decimal | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises: SettingsError.
        """
        if self.basis_sessions not in PERIODS:
            raise SettingsError(f"portfolio.basis_sessions is {self.basis_sessions}: it must be one of {PERIODS}")
        if self.top_n_per_sector < 1:
            raise SettingsError(f"portfolio.top_n_per_sector is {self.top_n_per_sector}: it must be at least 1")
        if self.max_weight is not None:
            _check_max_weight(self.max_weight)


def _check_max_weight(max_weight: Decimal) -> None:
    if not max_weight.is_finite() or not 0 < max_weight <= 1:
        raise SettingsError(f"portfolio.max_weight is {max_weight}: it must be above 0 and at most 1")
    if max_weight != round(max_weight, PORTFOLIO_WEIGHT.scale):
        raise SettingsError(
            f"portfolio.max_weight is {max_weight}: weights are stored with {PORTFOLIO_WEIGHT.scale} decimals"
        )
