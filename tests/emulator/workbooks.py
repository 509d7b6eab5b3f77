"""The issuer's daily holdings workbook, in the layout of State Street's files."""

from __future__ import annotations

import functools
import io
import zlib

from openpyxl import Workbook

from tests.emulator.market import Holding, Snapshot

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HEADER = ("Name", "Ticker", "Identifier", "SEDOL", "Weight", "Sector", "Shares Held", "Local Currency")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DISCLAIMER = (
    "Past performance is not a reliable indicator of future performance.",
    "Portfolio holdings and weights are subject to change without notice, and are no recommendation to buy or sell.",
    "Before investing, consider the fund's investment objectives, risks, charges and expenses.",
)


@functools.lru_cache(maxsize=64)
def workbook_bytes(fund: str, snapshot: Snapshot) -> bytes:
    """Build the .xlsx of a fund: four lines about the fund, a header row, its holdings, the disclaimer."""
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("holdings")
    for row in (*_preamble(fund, snapshot), HEADER, *map(_row, snapshot.holdings), (), ()):
        sheet.append(row)
    for line in _DISCLAIMER:
        sheet.append((line,))
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def _preamble(fund: str, snapshot: Snapshot) -> tuple[tuple[str, ...], ...]:
    day = snapshot.as_of_date
    as_of = f"As of {day.day:02}-{_MONTHS[day.month - 1]}-{day.year}"
    return ("Fund Name:", snapshot.fund_name), ("Ticker Symbol:", fund), ("Holdings:", as_of), ()


def _row(holding: Holding) -> tuple[str | float, ...]:
    identifier = f"{zlib.crc32(holding.name.encode()):010d}"[1:] if holding.is_share else "-"
    sedol = identifier[:7] if holding.is_share else "-"
    return holding.name, holding.ticker, identifier, sedol, holding.percent, "-", holding.shares, "USD"
