"""The file of a universe: `conf/universe.toml`, or another one with other funds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from spark_app.config.installation import PROJECT_ROOT
from spark_app.config.section import Section, read_toml
from spark_app.errors import SettingsError
from spark_app.universe import Universe

_Ticker = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.^=-]*$")]


class _Benchmark(Section):
    ticker: _Ticker
    first_session: dt.date | None = None


class _Fund(_Benchmark):
    sector: Annotated[str, Field(min_length=1)]


class _UniverseFile(Section):
    benchmark: _Benchmark
    funds: Annotated[tuple[_Fund, ...], Field(min_length=1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    sessions: Literal["XNYS", "data"] = "XNYS"
    periods_a_year: Annotated[int, Field(ge=1, le=366)] = 252

    @model_validator(mode="after")
    def _refuse_doubles(self) -> Self:
        tickers = [self.benchmark.ticker, *(fund.ticker for fund in self.funds)]
        if doubled := sorted({ticker for ticker in tickers if tickers.count(ticker) > 1}):
            raise ValueError(f"{doubled[0]} is named twice: name each ticker once")
        return self


def load_universe(file: str | None = None) -> Universe:
    """Read a universe, by default that of `conf/universe.toml`.

    Raises: SettingsError: the file cannot be read, or a value is missing, unknown or out of range; the text names it.
    """
    path = PROJECT_ROOT / "conf" / "universe.toml" if file is None else Path(file)
    try:
        read = _UniverseFile(**read_toml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise SettingsError(f"universe file {path}: {place}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the universe file {path}: {error}") from error
    first_sessions = {part.ticker: part.first_session for part in (read.benchmark, *read.funds) if part.first_session}
    return Universe(
        benchmark=read.benchmark.ticker,
        sectors={fund.ticker: fund.sector for fund in read.funds},
        first_sessions=first_sessions,
        currency=read.currency,
        sessions=read.sessions,
        periods_a_year=read.periods_a_year,
    )
