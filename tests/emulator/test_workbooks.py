import datetime as dt
import io
from typing import Any

import openpyxl
import pandas as pd

from tests.emulator import CASH_ROWS, Holding, Snapshot
from tests.emulator.workbooks import workbook_bytes

BERKSHIRE = Holding("BRK.B", "BERKSHIRE HATHAWAY INC CL B", 11.819521, 13059774)
XLF = Snapshot(dt.date(2026, 2, 9), (BERKSHIRE, *CASH_ROWS), "State Street Financial Select Sector SPDR ETF")


def _rows(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    workbook = openpyxl.load_workbook(io.BytesIO(workbook_bytes("XLF", snapshot)))
    return list(workbook.worksheets[0].iter_rows(values_only=True))


def test_head_names_the_fund_and_the_date() -> None:
    rows = _rows(XLF)

    assert [row[:2] for row in rows[:4]] == [
        ("Fund Name:", "State Street Financial Select Sector SPDR ETF"),
        ("Ticker Symbol:", "XLF"),
        ("Holdings:", "As of 09-Feb-2026"),
        (None, None),
    ]
    assert rows[4] == ("Name", "Ticker", "Identifier", "SEDOL", "Weight", "Sector", "Shares Held", "Local Currency")


def test_table_is_read_as_people_read_the_real_files() -> None:
    table = pd.read_excel(io.BytesIO(workbook_bytes("XLF", XLF)), skiprows=4).dropna(subset="Ticker")

    assert table["Ticker"].tolist() == ["BRK.B", "-", "IXTZ5", "CASH_USD", "-"]
    assert table["Weight"].tolist() == [11.819521, 0.141132, 0.019922, 0.003, -0.007694]
    assert table["Shares Held"].tolist() == [13059774, 9456224.15, 9000, 201013.5, -515527.56]
    assert table["Name"].iloc[-1] == "US DOLLAR"
    assert set(table["Local Currency"]) == {"USD"}


def test_disclaimer_follows_after_blank_rows() -> None:
    rows = _rows(XLF)
    after_table = rows[5 + len(XLF.holdings) :]

    assert after_table[:2] == [(None,) * 8, (None,) * 8]
    assert after_table[2][0].startswith("Past performance")
    assert all(value is None for row in after_table[2:] for value in row[1:])


def test_another_snapshot_makes_another_file() -> None:
    later = XLF._replace(as_of_date=dt.date(2026, 2, 10))

    assert _rows(later)[2][1] == "As of 10-Feb-2026"
