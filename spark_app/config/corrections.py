"""The section `corrections` of the settings: what a user knows better than `spark_app/universe.py`."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from spark_app.config.dates import Date
from spark_app.config.section import Section
from spark_app.market_calendar import FIRST_SESSION
from spark_app.universe import ALWAYS, FIRST_SESSIONS, OPEN, SHARE_CLASSES, TICKER, Rename, ShareClass


def _read_tables(value: object) -> object:
    return _read_json(value, (list, tuple), "a list of tables")


def _read_table(value: object) -> object:
    return _read_json(value, (dict,), "a table")


def _read_json(value: object, kinds: tuple[type, ...], expected: str) -> object:
    """Take what TOML gives, or JSON, as the environment has it."""
    with contextlib.suppress(ValueError):
        read = json.loads(value) if isinstance(value, str) else value
        if isinstance(read, kinds):
            return read
    raise ValueError(f"expected {expected}, in the environment as JSON")


def _require_ticker(text: str) -> str:
    if not TICKER.fullmatch(text):
        raise ValueError("expected a ticker in Yahoo's spelling, such as META or BRK-B")
    return text


_Ticker = Annotated[str, AfterValidator(_require_ticker)]


class IssuerClasses(Section):
    """The share classes of one issuer on `valid_from <= date < valid_to`."""

    issuer: Annotated[str, Field(min_length=1)]
    tickers: tuple[_Ticker, ...]
    valid_from: Date = ALWAYS
    valid_to: Date = OPEN

    @model_validator(mode="after")
    def _require_days(self) -> Self:
        if self.valid_from >= self.valid_to:
            raise ValueError(f"valid_to {self.valid_to} must be after valid_from {self.valid_from}")
        return self


class RenamedTicker(Section):
    """A stock that holdings of before `date` call `old`, and whose prices the source has under `new`."""

    old: _Ticker
    new: _Ticker
    date: Date

    @model_validator(mode="after")
    def _require_two(self) -> Self:
        if self.old == self.new:
            raise ValueError("old and new must be two tickers")
        return self


class CorrectionsSettings(Section):
    """Facts about tickers that `spark_app/universe.py` has wrong, or does not know yet; in the environment as JSON."""

    share_classes: Annotated[tuple[IssuerClasses, ...], NoDecode, BeforeValidator(_read_tables)] = Field(
        default=(),
        description="share classes of one issuer, of which the portfolio takes one: "
        '{ issuer = "Alphabet", tickers = ["GOOG", "GOOGL"] }, where needed with valid_from and valid_to, the first '
        "day on which it is no longer valid; an issuer that the pipeline knows is replaced",
    )
    renames: Annotated[tuple[RenamedTicker, ...], NoDecode, BeforeValidator(_read_tables)] = Field(
        default=(),
        description='renamed tickers: { old = "FB", new = "META", date = 2022-06-09 }; the stock that holdings '
        "and an index of before this date call by the old ticker is requested by the new one",
    )
    first_sessions: Annotated[dict[str, Date], NoDecode, BeforeValidator(_read_table)] = Field(
        default={},
        description="the first session of a fund, from which on bars of every session are required: "
        "{ XLC = 2018-06-19 }",
    )

    @field_validator("share_classes")
    @classmethod
    def _require_one_issuer(cls, groups: tuple[IssuerClasses, ...]) -> tuple[IssuerClasses, ...]:
        """Two issuers of one ticker on one day would make two rows of one position."""
        by_ticker = sorted(_merged_classes(groups), key=lambda c: (c.ticker, c.valid_from))
        for earlier, later in itertools.pairwise(by_ticker):
            if earlier.ticker == later.ticker and later.valid_from < earlier.valid_to:
                issuers = f"{earlier.issuer} and {later.issuer}"
                raise ValueError(
                    f"the ticker {later.ticker} has two issuers on {later.valid_from}, {issuers}: keep one"
                )
        return groups

    @field_validator("renames")
    @classmethod
    def _require_one_successor(cls, renames: tuple[RenamedTicker, ...]) -> tuple[RenamedTicker, ...]:
        seen: dict[tuple[str, dt.date], str] = {}
        for rename in renames:
            known = seen.setdefault((rename.old, rename.date), rename.new)
            if known != rename.new:
                both = f"{known} and {rename.new}"
                raise ValueError(f"the ticker {rename.old} has two successors on {rename.date}, {both}: keep one")
        return renames

    @field_validator("first_sessions")
    @classmethod
    def _require_funds(cls, sessions: dict[str, dt.date]) -> dict[str, dt.date]:
        for fund, day in sessions.items():
            if fund not in FIRST_SESSIONS:
                raise ValueError(f"unknown fund {fund}: choose from {', '.join(FIRST_SESSIONS)}")
            if day < FIRST_SESSION:
                raise ValueError(f"the day of {fund} is before {FIRST_SESSION}, the benchmark's first session")
        return sessions

    @property
    def share_classes_in_force(self) -> tuple[ShareClass, ...]:
        """The known share classes with these corrections."""
        return _merged_classes(self.share_classes)

    @property
    def renames_in_force(self) -> tuple[Rename, ...]:
        """The renames of the settings: none is known without them."""
        return tuple(Rename(rename.old, rename.new, rename.date) for rename in self.renames)

    @property
    def first_sessions_in_force(self) -> Mapping[str, dt.date]:
        """The first session of each priced fund, with these corrections."""
        return {**FIRST_SESSIONS, **self.first_sessions}


def _merged_classes(groups: Iterable[IssuerClasses]) -> tuple[ShareClass, ...]:
    groups = tuple(groups)
    corrected = {group.issuer for group in groups}
    known = (share_class for share_class in SHARE_CLASSES if share_class.issuer not in corrected)
    return (*known, *(ShareClass(t, g.issuer, g.valid_from, g.valid_to) for g in groups for t in g.tickers))
