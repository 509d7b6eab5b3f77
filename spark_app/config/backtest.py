"""The settings of a backtest."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from spark_app.config.section import Section

_LONGEST_SESSIONS = 2520


def _read_periods(value: object) -> object:
    """Take a list of whole numbers, or a text with commas between them, as the command line has it."""
    parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(re.fullmatch("[0-9]{1,4}", str(part)) for part in parts):
        raise ValueError("expected whole numbers with commas between them, such as 5,10,20")
    return tuple(sorted({int(part) for part in parts}))


_Period = Annotated[int, Field(ge=1, le=_LONGEST_SESSIONS)]


class BacktestSettings(Section):
    """How `backtest` chooses, weights and trades.

    `portfolio.max_weight` and, of stocks, `portfolio.top_n_per_sector` count as well.
    """

    level: Literal["sectors", "stocks"] = Field(
        default="sectors", description="what is held: sectors, the trending funds; stocks, the portfolio of stage 5"
    )
    rebalance: Literal["daily", "weekly", "monthly"] = Field(
        default="monthly", description="how often: at each session, or the last one of a week or month"
    )
    execution: Literal["next_open", "next_close", "same_close"] = Field(
        default="next_open", description="where a signal of a close is traded; same_close cannot be attained"
    )
    cost_bps: Annotated[float, Field(ge=0, le=2000)] = Field(
        default=10.0, description="cost of buying or of selling, in basis points of the amount"
    )
    cash_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0, description="interest of cash in a year, in percent"
    )
    top_n_sectors: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="largest number of sectors, the best by return; unset = 3 of funds, all of stocks",
        examples=[3],
    )
    basis_sessions: _Period = Field(
        default=20, description="the period whose trends decide, in sessions of the universe (months of monthly data)"
    )
    rank_periods: Annotated[tuple[_Period, ...], NoDecode, BeforeValidator(_read_periods)] = Field(
        default=(), description="the periods whose mean return ranks the funds; none = the basis alone"
    )
    weighting: Literal["market_cap", "equal", "inverse_volatility"] | None = Field(
        default=None,
        description="weights of the positions; inverse_volatility: over 60 sessions; unset = equal of funds,"
        " market_cap of stocks",
        examples=["equal"],
    )
    look_ahead: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="of stocks: holdings and market caps that are dated later are refused, or stand in and are counted",
    )
