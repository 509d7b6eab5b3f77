"""State Street's daily holdings workbook: all holdings of a fund, with their date.

Source: www.ssga.com, "Download Daily Holdings" of each fund (setting `source.holdings_url`). Layout (2024 to 2026): a
few rows of facts, among them the ticker and "As of 09-Feb-2026", a header row, the holdings, an empty row, legal text.
Weights are in percent and sum to about 100; cash, money-market and futures rows are mixed with the shares; "NA" and
"TRUE" are tickers.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import openpyxl

from spark_app.sources.bodies import BODY_ERRORS, FetchError, describe, read_number, read_text
from spark_app.sources.contract import SKIPPED_HOLDINGS_PERCENT, Answer, Holding, Outcome, SkippedHolding
from spark_app.sources.holdings import (
    LARGEST_SUM_PERCENT,
    classify_holding,
    describe_wrong_sum,
    find_skipped_holdings,
    split_holdings,
    sum_of_weights,
)
from spark_app.sources.http import LimitedSession
from spark_app.sources.skipped import describe_skipped
from spark_app.sources.symbols import to_yahoo_symbol

_AS_OF = re.compile(r"As of (\d{1,2}-[A-Za-z]{3}-\d{4})")
_COLUMNS = ("Name", "Ticker", "Weight")

_LEAST_SUM_PERCENT = 95.0
"""Of a complete file; real ones sum to 99.4 to 100.8 (2021 to 2026)."""

# The files of the sector funds have 25 to 90 rows of 8 columns, and 10 parts of together 0.1 MB; that of SPY, with 505
# rows, has 0.3 MB and 20,000 tags.
_MOST_ROWS, _MOST_COLUMNS = 10_000, 100
_MOST_PARTS, _MOST_BYTES, _MOST_TAGS = 1000, 4 * 2**20, 200_000

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
"""The bit of a zip member's flags."""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_ENCRYPTED_PART = "EncryptedPackage".encode("utf-16-le")

_Row = tuple[Any, ...]


def fetch_issuer_holdings(
    session: LimitedSession,
    url_pattern: str,
    ticker: str,
    *,
    today: dt.date,
    skipped_holdings_percent: float = SKIPPED_HOLDINGS_PERCENT,
) -> Answer:
    """Fetch and parse the workbook of one fund; `{ticker}` in the URL becomes the ticker in lower case.

    Args:
        today: the date in New York; a later snapshot is malformed.
        skipped_holdings_percent: as for `split_holdings`.
    Raises: FetchError, RateLimitedError, OSError (the connection failed).
    """
    response = session.get(url_pattern.replace("{ticker}", ticker.lower()))
    if response.status_code in (404, 410):
        raise FetchError(Outcome.NOT_FOUND, f"the issuer has no holdings file of {ticker}")
    if response.status_code != 200:
        raise FetchError(Outcome.TRANSIENT, f"the issuer answered with status {response.status_code}", may_pass=True)
    snapshot_date, holdings, skipped = parse_workbook(response.content, ticker, skipped_holdings_percent)
    if snapshot_date > today:
        raise FetchError(Outcome.MALFORMED, f"the workbook of {ticker} is dated {snapshot_date}, after today ({today})")
    message, raw_text = describe_skipped(rows=find_skipped_holdings(skipped))
    message = "; ".join(part for part in (_describe_sum([*holdings, *skipped]), message) if part) or None
    return Answer(
        ticker, Outcome.OK, message, raw_text, snapshot_date=snapshot_date, holdings=holdings, skipped=skipped
    )


def parse_workbook(
    content: bytes, ticker: str, skipped_holdings_percent: float = SKIPPED_HOLDINGS_PERCENT
) -> tuple[dt.date, tuple[Holding, ...], tuple[SkippedHolding, ...]]:
    """Parse the date of a fund's snapshot, its shares (weights in percent) and the skipped rows.

    Raises: FetchError: this is not a holdings workbook of `ticker`, it lists no share, or its weights cannot be right.
    """
    try:
        _require_sound_file(content)
        rows = _read_cells(content)
        snapshot_date = _read_date(rows)
        read = [_read_holding(row) for row in _read_table(rows)]
    except Exception as error:
        # openpyxl raises whatever Python does with a file that its code does not expect.
        reason = str(error) if type(error) is ValueError else describe(error)
        raise FetchError(Outcome.MALFORMED, f"this is not a holdings workbook: {reason}") from error
    if not _names_fund(rows, ticker):
        raise FetchError(Outcome.MALFORMED, f"this is not the workbook of {ticker}")
    _require_percent(read, ticker)
    holdings, skipped = split_holdings(read, skipped_holdings_percent)
    if not holdings:
        raise FetchError(Outcome.NO_DATA, f"the workbook of {ticker} names no share")
    return snapshot_date, holdings, skipped


def _require_sound_file(content: bytes) -> None:
    """Raise for another kind of file, and for one that takes too much memory: a small zip can hold gigabytes."""
    if content.startswith(_OLD_EXCEL):
        kind = "an encrypted workbook" if _ENCRYPTED_PART in content else "an Excel 97 file"
        raise ValueError(f"it is {kind}")
    if content.lstrip()[:1] == b"<":
        raise ValueError("it is an HTML or XML page")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        # Python reads no more of a part than its declared size.
        size = sum(part.file_size for part in parts)
        if len(parts) > _MOST_PARTS or size > _MOST_BYTES:
            raise ValueError(f"it is too large: {len(parts):,} parts, {size:,} bytes")
        if any(part.flag_bits & _ENCRYPTED for part in parts):
            raise ValueError("it is an encrypted workbook")
        if any(part.compress_type not in _METHODS for part in parts):
            raise ValueError("it is compressed in another way than Excel's")
        # Each tag takes some 400 bytes of memory.
        tags = sum(archive.read(part).count(b"<") for part in parts)
        if tags > _MOST_TAGS:
            raise ValueError(f"it is too large: {tags:,} tags")


def _read_cells(content: bytes) -> list[_Row]:
    workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    try:
        if not workbook.worksheets:
            raise ValueError("it has no worksheet")
        sheet = workbook.worksheets[0]
        # In read-only mode openpyxl trusts the file's dimensions, which are sometimes too small.
        sheet.reset_dimensions()
        # It also pads: the rows before a row with a large number, and the cells before the last one.
        rows = list(itertools.islice(sheet.iter_rows(max_col=_MOST_COLUMNS, values_only=True), _MOST_ROWS + 1))
    finally:
        workbook.close()
    if len(rows) > _MOST_ROWS:
        raise ValueError(f"it has more than {_MOST_ROWS:,} rows")
    return rows


def _require_percent(rows: list[Holding | SkippedHolding], ticker: str) -> None:
    """Raise for weights that are fractions or negative, and for rows that are in the file twice.

    A file may be cut after its largest holdings: their weights are right. One weight alone does not show its unit.
    """
    total = sum_of_weights(rows) or 0.0
    if len(rows) > 1 and _LEAST_SUM_PERCENT <= 100 * total <= LARGEST_SUM_PERCENT:
        raise FetchError(
            Outcome.MALFORMED, f"the weights of {ticker} are fractions: they sum to {total:.4f}, expected about 100"
        )
    if wrong := describe_wrong_sum(rows):
        raise FetchError(Outcome.MALFORMED, f"the weights of {ticker} sum to {wrong}, expected about 100 %")


def _describe_sum(rows: list[Holding | SkippedHolding]) -> str | None:
    total = sum_of_weights(rows) or 0.0
    return f"the weights sum to {total:.2f} %: the file is not complete" if total < _LEAST_SUM_PERCENT else None


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
    return classify_holding(_read_ticker(row[1]), read_text(row[0]), _read_percent(row[2]))


def _read_percent(cell: Any) -> float | None:
    """Return None for a text, such as "-" or a footnote: those are in all columns."""
    try:
        return read_number(cell)
    except BODY_ERRORS:
        return None


def _texts(rows: Iterable[_Row]) -> Iterator[str]:
    return (str(cell) for row in rows for cell in row if cell is not None)


def _read_ticker(cell: Any) -> str:
    # Spreadsheet programs turn the ticker TRUE into a boolean.
    return "" if cell is None else str(cell)
