from __future__ import annotations

import csv
import datetime as dt
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Holding, Outcome
from spark_app.sources.issuer.workbook import parse_workbook

HEADER = ("Name", "Ticker", "Identifier", "SEDOL", "Weight", "Sector", "Shares Held", "Local Currency")
FOOTER = ((), ("Past performance is not a reliable indicator of future performance.",), ("Holdings may change.",))


def make_workbook(
    rows: Sequence[tuple[Any, ...]],
    *,
    fund: str = "XLF",
    as_of: str = "As of 09-Feb-2026",
    header: tuple[str, ...] = HEADER,
) -> bytes:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    facts = (("Fund Name:", "A Select Sector SPDR ETF"), ("Ticker Symbol:", fund), ("Holdings:", as_of), ())
    for row in (*facts, header, *rows, *FOOTER):
        sheet.append(row)
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def rewrite_sheet(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same workbook with another XML of its only sheet."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            xml = old.read(name)
            new.writestr(name, change(xml) if name == "xl/worksheets/sheet1.xml" else xml)
    return buffer.getvalue()


def line(name: str | None, ticker: Any, weight: Any) -> tuple[Any, ...]:
    return (name, ticker, "id", "sedol", weight, "-", 1000, "USD")


def failure_of(content: bytes, ticker: str = "XLF") -> FetchError:
    with pytest.raises(FetchError) as caught:
        parse_workbook(content, ticker)
    return caught.value


def test_shares_come_with_the_files_date_and_yahoos_spelling() -> None:
    content = make_workbook([line("BERKSHIRE HATHAWAY INC CL B", "BRK.B", 11.5), line("JPMORGAN", "JPM", 10.25)])
    snapshot_date, holdings, skipped = parse_workbook(content, "XLF")
    assert snapshot_date == dt.date(2026, 2, 9)
    assert holdings == (Holding("BRK-B", "BERKSHIRE HATHAWAY INC CL B", 11.5), Holding("JPM", "JPMORGAN", 10.25))
    assert skipped == ()


@pytest.mark.parametrize(("cell", "expected"), [("NA", "NA"), ("TRUE", "TRUE"), (True, "TRUE")])
def test_na_and_true_are_tickers(cell: Any, expected: str) -> None:
    _, holdings, _ = parse_workbook(make_workbook([line("A COMPANY", cell, 1.0)]), "XLF")
    assert [holding.holding_ticker for holding in holdings] == [expected]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (line("SSI US GOV MONEY MARKET CLASS", "-", 0.141132), "money-market fund"),
        (line("GOVERNMENT PORTFOLIO", "GVMXX", 0.1), "money-market fund"),
        (line("XAB MATERIALS     MAR26", "IXDH6", 0.019922), "future"),
        (line("EMINI S+P REESTATEDEC25", "XARZ5", -0.002072), "future"),
        (line("US DOLLAR", "-", -0.007694), "cash"),
        (line("U.S. DOLLAR", "CASH_USD", 0.003), "cash"),
        (line("POUND STERLING", "-", 1e-06), "cash"),
        (line("SWAP", "-", 0.1), "it has no ticker"),
        (line("SWAP", None, 0.1), "it has no ticker"),
        (
            line("CONTRA HOLOGIC INCORPO", "2602335D", 4e-06),
            "its ticker is not that of a share listed in the United States",
        ),
        (line("APPLE INC", "AAPL", None), "it has no weight"),
        (line("APPLE INC", "AAPL", "-"), "it has no weight"),
        (line("APPLE INC", "AAPL", -0.5), "its weight is not between 0 and 100 percent"),
    ],
)
def test_a_row_that_is_not_a_share_is_skipped_with_its_reason(row: tuple[Any, ...], reason: str) -> None:
    _, holdings, skipped = parse_workbook(make_workbook([row, line("DOLLAR GENERAL CORP", "DG", 1.5)]), "XLF")
    assert [holding.holding_ticker for holding in holdings] == ["DG"]
    assert [(entry.holding_name, entry.reason) for entry in skipped] == [(row[0], reason)]


def test_columns_are_found_by_their_names() -> None:
    content = make_workbook([(5.0, "MSFT", "x", "MICROSOFT")], header=("Weight", "Ticker", "Other", "Name"))
    assert parse_workbook(content, "XLF")[1] == (Holding("MSFT", "MICROSOFT", 5.0),)


def test_an_empty_row_does_not_hide_the_holdings_below() -> None:
    _, holdings, _ = parse_workbook(make_workbook([line("A", "AA", 1.0), (), line("B", "BB", 2.0)]), "XLF")
    assert [holding.holding_ticker for holding in holdings] == ["AA", "BB"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>Access denied</body></html>",
        b"PK\x03\x04 not really a zip",
        make_workbook([line("A", "AA", 1.0)])[:-300],
        make_workbook([line("A", "AA", 1.0)]).replace(b"xl/worksheets/sheet1.xml", b"xl/worksheets/sheet9.xml"),
        make_workbook([line("A", "AA", 1.0)], as_of="soon"),
        make_workbook([line("A", "AA", 1.0)], as_of="As of 31-Feb-2026"),
        make_workbook([line("A", "AA", 1.0)], header=("Name", "Symbol", "Weight")),
        make_workbook([line("A", "AA", "much")]),
        make_workbook([line("A", "AA", 1.0)], fund="XLK"),
    ],
    ids=["empty", "html", "no zip", "cut", "no sheet", "no date", "bad date", "no header", "text weight", "other fund"],
)
def test_anything_but_the_funds_workbook_is_malformed(content: bytes) -> None:
    assert failure_of(content).outcome is Outcome.MALFORMED


def test_a_damaged_sheet_is_malformed() -> None:
    content = bytearray(make_workbook([line("A" * 50, "AA", 1.0)] * 200))
    start = content.index(b"xl/worksheets/sheet1.xml") + 60
    content[start : start + 40] = bytes(40)
    assert failure_of(bytes(content)).outcome is Outcome.MALFORMED


def test_wrong_dimensions_in_the_file_hide_no_rows() -> None:
    content = make_workbook([line("A", "AA", 1.0)])
    altered = rewrite_sheet(content, lambda xml: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', xml))
    assert altered != content
    assert [holding.holding_ticker for holding in parse_workbook(altered, "XLF")[1]] == ["AA"]


def test_a_sheet_that_ends_too_early_is_malformed() -> None:
    content = make_workbook([line("A", "AA", 1.0), line("B", "BB", 2.0)])
    assert failure_of(rewrite_sheet(content, lambda xml: xml[:-200])).outcome is Outcome.MALFORMED


def test_a_workbook_without_shares_is_no_data() -> None:
    assert failure_of(make_workbook([line("US DOLLAR", "-", 100.0)])).outcome is Outcome.NO_DATA


def test_real_rows_give_the_cleaned_holdings(shared_data: Path) -> None:
    """The cleaned file was made from the raw one by its publisher's own rules, not by ours."""
    raw, clean = _rows_by_fund(shared_data, "holdings_raw.csv"), _rows_by_fund(shared_data, "holdings.csv")
    assert len(raw) == 11
    for fund, rows in raw.items():
        content = make_workbook([line(r["holding_name"], r["holding_ticker"], _weight(r)) for r in rows], fund=fund)
        _, holdings, skipped = parse_workbook(content, fund)
        assert sorted(h.holding_ticker for h in holdings) == sorted(
            r["holding_ticker"].replace(".", "-") for r in clean[fund]
        )
        assert {entry.reason for entry in skipped} == {"money-market fund", "cash", "future"}
        assert len(holdings) + len(skipped) == len(rows)


def _rows_by_fund(shared_data: Path, name: str) -> dict[str, list[dict[str, str]]]:
    funds = defaultdict(list)
    with (shared_data / "market_data" / name).open(newline="") as file:
        for row in csv.DictReader(file):
            if row["as_of_date"] == "2026-02-09":
                funds[row["etf_ticker"]].append(row)
    return funds


def _weight(row: dict[str, str]) -> float:
    return float(row["holding_percent"])
