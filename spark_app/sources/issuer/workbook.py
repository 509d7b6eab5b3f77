"""State Street's daily holdings workbook: all holdings of a fund, with their date.

Source: www.ssga.com, "Download Daily Holdings" of each fund (setting `source.holdings_url`). Layout (2024 to 2026): a
few rows of facts, among them the ticker and "As of 09-Feb-2026", a header row, the holdings, an empty row, legal text.
Weights are in percent; cash, money-market and futures rows are mixed with the shares; "NA" and "TRUE" are tickers.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import openpyxl

from spark_app.sources.bodies import BODY_ERRORS, FetchError, describe, read_number, read_text
from spark_app.sources.contract import Answer, Holding, Outcome, SkippedHolding
from spark_app.sources.http import LimitedSession
from spark_app.sources.symbols import classify_holding, to_yahoo_symbol

_AS_OF = re.compile(r"As of (\d{1,2}-[A-Za-z]{3}-\d{4})")
_COLUMNS = ("Name", "Ticker", "Weight")
_EMPTY = ("", "-", "N/A")
_FUTURE = re.compile(r"[A-Z]{1,4}[FGHJKMNQUVXZ]\d{1,2}")
_MONEY_MARKET = re.compile(r"\bMONEY (MARKET|MKT)\b|\bLIQUID(ITY)? RESERVES?\b")
_MONEY_MARKET_TICKER = re.compile(r"[A-Z]{3}XX")
_CURRENCY = re.compile(r"\b(DOLLAR|STERLING|EURO|YEN|FRANC|KRONA|KRONE|CASH|CURRENCY)$|\bCASH COLLATERAL\b")
# A broken file: not a zip, a damaged member, truncated XML (ParseError is a SyntaxError).
_WORKBOOK_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, SyntaxError, OSError, *BODY_ERRORS)

_Row = tuple[Any, ...]


def fetch_issuer_holdings(session: LimitedSession, url_pattern: str, ticker: str) -> Answer:
    """Fetch and parse the workbook of one fund; `{ticker}` in the URL becomes the ticker in lower case.

    Raises: FetchError, RateLimitedError, OSError (the connection failed).
    """
    response = session.get(url_pattern.replace("{ticker}", ticker.lower()))
    if response.status_code in (404, 410):
        raise FetchError(Outcome.NOT_FOUND, f"the issuer has no holdings file of {ticker}")
    if response.status_code != 200:
        raise FetchError(Outcome.TRANSIENT, f"the issuer answered with status {response.status_code}", may_pass=True)
    snapshot_date, holdings, skipped = parse_workbook(response.content, ticker)
    return Answer(ticker, Outcome.OK, snapshot_date=snapshot_date, holdings=holdings, skipped=skipped)


def parse_workbook(content: bytes, ticker: str) -> tuple[dt.date, tuple[Holding, ...], tuple[SkippedHolding, ...]]:
    """Parse the date of a fund's snapshot, its shares (weights in percent) and the skipped rows.

    Raises: FetchError: this is not a holdings workbook of `ticker`, or it lists no share.
    """
    try:
        rows = _read_cells(content)
        snapshot_date = _read_date(rows)
        read = [_read_holding(row) for row in _read_table(rows)]
    except _WORKBOOK_ERRORS as error:
        raise FetchError(Outcome.MALFORMED, f"this is not a holdings workbook: {describe(error)}") from error
    if not _names_fund(rows, ticker):
        raise FetchError(Outcome.MALFORMED, f"this is not the workbook of {ticker}")
    holdings = tuple(row for row in read if isinstance(row, Holding))
    if not holdings:
        raise FetchError(Outcome.NO_DATA, f"the workbook of {ticker} names no share")
    return snapshot_date, holdings, tuple(row for row in read if isinstance(row, SkippedHolding))


def _read_cells(content: bytes) -> list[_Row]:
    workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    try:
        sheet = workbook.worksheets[0]
        # In read-only mode openpyxl trusts the file's dimensions, which are sometimes too small.
        sheet.reset_dimensions()
        return list(sheet.iter_rows(values_only=True))
    finally:
        workbook.close()


def _read_date(rows: list[_Row]) -> dt.date:
    for text in _texts(rows):
        match = _AS_OF.search(text)
        if match:
            return dt.datetime.strptime(match[1], "%d-%b-%Y").replace(tzinfo=dt.UTC).date()
    raise ValueError("no 'As of' date")


def _names_fund(rows: list[_Row], ticker: str) -> bool:
    facts = (row for row in rows if "Ticker Symbol:" in row)
    return any(to_yahoo_symbol(text) == ticker for text in _texts(facts))


def _read_table(rows: list[_Row]) -> Iterator[_Row]:
    """Yield name, ticker and weight of each holding; rows of the legal text below have one cell."""
    remaining = iter(rows)
    header = next((row for row in remaining if set(_COLUMNS) <= set(row)), None)
    if header is None:
        raise ValueError(f"no header with {', '.join(_COLUMNS)}")
    positions = [header.index(column) for column in _COLUMNS]
    for row in remaining:
        cells = tuple(row[position] if position < len(row) else None for position in positions)
        if cells.count(None) < 2:
            yield cells


def _read_holding(row: _Row) -> Holding | SkippedHolding:
    name, ticker, percent = read_text(row[0]), _read_ticker(row[1]), _read_percent(row[2])
    reason = _reason_not_a_share(ticker, (name or "").upper())
    if reason is not None:
        return SkippedHolding(ticker or None, name, percent, reason)
    return classify_holding(to_yahoo_symbol(ticker), name, percent)


def _reason_not_a_share(ticker: str, name: str) -> str | None:
    if _MONEY_MARKET.search(name) or _MONEY_MARKET_TICKER.fullmatch(ticker):
        return "money-market fund"
    if _FUTURE.fullmatch(ticker):
        return "future"
    if _CURRENCY.search(name):
        return "cash"
    return None


def _read_percent(cell: Any) -> float | None:
    return None if cell in _EMPTY else read_number(cell)


def _texts(rows: Iterable[_Row]) -> Iterator[str]:
    return (str(cell) for row in rows for cell in row if cell is not None)


def _read_ticker(cell: Any) -> str:
    # Spreadsheet programs turn the ticker TRUE into a boolean.
    ticker = "" if cell is None else str(cell).strip().upper()
    return "" if ticker in _EMPTY else ticker
