from __future__ import annotations

import csv
import datetime as dt
import io
import re
import tracemalloc
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from openpyxl import Workbook

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Holding, Outcome
from spark_app.sources.http import LimitedSession
from spark_app.sources.issuer.workbook import fetch_issuer_holdings, parse_workbook

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
    content = make_workbook([line("BERKSHIRE HATHAWAY INC CL B", "BRK.B", 51.5), line("JPMORGAN", "JPM", 48.25)])
    snapshot_date, holdings, skipped = parse_workbook(content, "XLF")
    assert snapshot_date == dt.date(2026, 2, 9)
    assert holdings == (Holding("BRK-B", "BERKSHIRE HATHAWAY INC CL B", 51.5), Holding("JPM", "JPMORGAN", 48.25))
    assert skipped == ()


@pytest.mark.parametrize(("cell", "expected"), [("NA", "NA"), ("TRUE", "TRUE"), (True, "TRUE")])
def test_na_and_true_are_tickers(cell: Any, expected: str) -> None:
    _, holdings, _ = parse_workbook(make_workbook([line("A COMPANY", cell, 100.0)]), "XLF")
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
        (line("APPLE INC", "AAPL", "see note 3"), "it has no weight"),
        (line("UNITED STATES TREASURY BILL", "912797", 4.0), "treasury"),
        (line("APPLE INC", "AAPL", -0.5), "its weight is not between 0 and 100 percent"),
    ],
)
def test_a_row_that_is_not_a_share_is_skipped_with_its_reason(row: tuple[Any, ...], reason: str) -> None:
    _, holdings, skipped = parse_workbook(make_workbook([row, line("DOLLAR GENERAL CORP", "DG", 100.0)]), "XLF")
    assert [holding.holding_ticker for holding in holdings] == ["DG"]
    assert [(entry.holding_name, entry.reason) for entry in skipped] == [(row[0], reason)]


def test_columns_are_found_by_their_names() -> None:
    content = make_workbook([(100.0, "MSFT", "x", "MICROSOFT")], header=("Weight", "Ticker", "Other", "Name"))
    assert parse_workbook(content, "XLF")[1] == (Holding("MSFT", "MICROSOFT", 100.0),)


def test_an_empty_row_does_not_hide_the_holdings_below() -> None:
    _, holdings, _ = parse_workbook(make_workbook([line("A", "AA", 60.0), (), line("B", "BB", 40.0)]), "XLF")
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
        make_workbook([line("A", "AA", 1.0)], fund="XLK"),
    ],
    ids=["empty", "html", "no zip", "cut", "no sheet", "no date", "bad date", "no header", "other fund"],
)
def test_anything_but_the_funds_workbook_is_malformed(content: bytes) -> None:
    assert failure_of(content).outcome is Outcome.MALFORMED


def test_a_damaged_sheet_is_malformed() -> None:
    content = bytearray(make_workbook([line("A" * 50, "AA", 1.0)] * 200))
    start = content.index(b"xl/worksheets/sheet1.xml") + 60
    content[start : start + 40] = bytes(40)
    assert failure_of(bytes(content)).outcome is Outcome.MALFORMED


def test_wrong_dimensions_in_the_file_hide_no_rows() -> None:
    content = make_workbook([line("A", "AA", 100.0)])
    altered = rewrite_sheet(content, lambda xml: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', xml))
    assert altered != content
    assert [holding.holding_ticker for holding in parse_workbook(altered, "XLF")[1]] == ["AA"]


def test_a_sheet_that_ends_too_early_is_malformed() -> None:
    content = make_workbook([line("A", "AA", 1.0), line("B", "BB", 2.0)])
    assert failure_of(rewrite_sheet(content, lambda xml: xml[:-200])).outcome is Outcome.MALFORMED


def test_a_workbook_without_shares_is_no_data() -> None:
    assert failure_of(make_workbook([line("US DOLLAR", "-", 100.0)])).outcome is Outcome.NO_DATA


@pytest.mark.parametrize("spelling", ["LIN UW", "LIN US", "LIN UW Equity", "lin uw"])
def test_bloombergs_spelling_is_read(spelling: str) -> None:
    _, holdings, skipped = parse_workbook(make_workbook([line("LINDE PLC", spelling, 99.5)]), "XLF")
    assert (holdings, skipped) == ((Holding("LIN", "LINDE PLC", 99.5),), ())


def test_much_weight_that_is_not_spelt_as_a_share_refuses_the_snapshot() -> None:
    rows = [line("LINDE PLC", "LIN ??", 80.0), line("NEWMONT", "NEM", 20.0)]
    failure = failure_of(make_workbook(rows))
    assert failure.outcome is Outcome.MALFORMED
    assert str(failure) == (
        "skipped rows carry 80.00 % of the fund, and gate.skipped_holdings_percent allows 5 %: LIN ?? LINDE PLC (80 %)"
    )
    assert parse_workbook(make_workbook(rows), "XLF", 80.0)[1] == (Holding("NEM", "NEWMONT", 20.0),)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.6, 0.4), "the weights of XLF are fractions: they sum to 1.0000, expected about 100"),
        ((60.0, 45.2), "the weights of XLF sum to 105.20 %, expected about 100 %"),
        ((100.0, 30.0), "the weights of XLF sum to 130.00 %, expected about 100 %"),
        ((150.0, 100.0), "the weights of XLF sum to 250.00 %, expected about 100 %"),
        ((-60.0, -40.0), "the weights of XLF sum to -100.00 %, expected about 100 %"),
    ],
)
def test_weights_that_are_fractions_negative_or_above_100_percent_are_refused(
    weights: tuple[float, float], message: str
) -> None:
    failure = failure_of(make_workbook([line(name, name * 2, w) for name, w in zip("AB", weights, strict=True)]))
    assert (failure.outcome, str(failure)) == (Outcome.MALFORMED, message)


def test_shares_beyond_100_percent_are_refused_although_cash_makes_up_for_them() -> None:
    rows = [line("A", "AA", 90.0), line("B", "BB", 40.0), line("US DOLLAR", "-", -30.0)]
    message = "the weights of XLF sum to 130.00 % without cash and the like, expected about 100 %"
    assert str(failure_of(make_workbook(rows))) == message


def test_one_weight_alone_does_not_show_its_unit() -> None:
    assert parse_workbook(make_workbook([line("A", "AA", 1.0)]), "XLF")[1] == (Holding("AA", "A", 1.0),)


@pytest.mark.parametrize("weights", [(60.0, 23.41), (60.0, 35.0), (60.0, 45.0)])
def test_other_weights_are_taken(weights: tuple[float, float]) -> None:
    content = make_workbook([line(name, name * 2, w) for name, w in zip("AB", weights, strict=True)])
    assert [holding.holding_percent for holding in parse_workbook(content, "XLF")[1]] == list(weights)


@pytest.mark.parametrize(
    "footnote",
    [
        ("* Weight as of the close.", "n. a."),
        ("* Weights are rounded.", None, None, None, "see prospectus"),
        ("* Weights are rounded.", "See", None, None, "prospectus"),
    ],
)
def test_a_footnote_of_several_cells_costs_no_holding(footnote: tuple[Any, ...]) -> None:
    _, holdings, skipped = parse_workbook(make_workbook([line("A", "AA", 100.0), (), footnote]), "XLF")
    assert holdings == (Holding("AA", "A", 100.0),)
    assert [(row.holding_name, row.holding_percent) for row in skipped] == [(footnote[0], None)]


SOUND = make_workbook([line("A", "AA", 100.0)])


def recompressed(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SOUND)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def with_header_bytes(offset: int, value: bytes) -> bytes:
    """The sound workbook with other bytes in each entry of its central directory."""
    content = bytearray(SOUND)
    for found in re.finditer(b"PK\x01\x02", SOUND):
        content[found.start() + offset : found.start() + offset + len(value)] = value
    return bytes(content)


def without_worksheet() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SOUND)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in set(old.namelist()) - {"xl/worksheets/sheet1.xml"}:
            new.writestr(name, old.read(name))
    return buffer.getvalue()


OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
OTHER_FILES = {
    "Excel 97": (OLD_EXCEL, "it is an Excel 97 file"),
    "encrypted by Excel": (OLD_EXCEL + "EncryptedPackage".encode("utf-16-le"), "it is an encrypted workbook"),
    "encrypted zip": (with_header_bytes(8, b"\x01\x00"), "it is an encrypted workbook"),
    "deflate64": (with_header_bytes(10, b"\x09\x00"), "it is compressed in another way than Excel's"),
    "LZMA": (recompressed(zipfile.ZIP_LZMA), "it is compressed in another way than Excel's"),
    "HTML": (b"\n <!DOCTYPE html><title>Denied</title>", "it is an HTML or XML page"),
    "no worksheet": (without_worksheet(), "it has no worksheet"),
}


@pytest.mark.parametrize(("content", "reason"), OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_another_kind_of_file_is_named(content: bytes, reason: str) -> None:
    failure = failure_of(content)
    assert (failure.outcome, str(failure)) == (Outcome.MALFORMED, f"this is not a holdings workbook: {reason}")


def test_whatever_the_parser_raises_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr("openpyxl.load_workbook", run_out_of_memory)
    assert str(failure_of(SOUND)) == "this is not a holdings workbook: MemoryError: no memory"


def with_rows(xml: bytes) -> bytes:
    """The sound workbook, deflated, with more rows at the end of its sheet."""
    altered = rewrite_sheet(SOUND, lambda sheet: sheet.replace(b"</sheetData>", xml + b"</sheetData>"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(altered)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (b" " * 5_000_000, r"it is too large: 9 parts, 5,\d{3},\d{3} bytes"),
        (b"<row>" + b"<c/>" * 200_000 + b"</row>", r"it is too large: 200,\d{3} tags"),
        (b"<row/>" * 10_001, "it has more than 10,000 rows"),
        (b'<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>', "it has more than 10,000 rows"),
    ],
    ids=["bytes", "tags", "rows", "row number"],
)
def test_a_small_file_that_would_take_much_memory_is_refused(xml: bytes, reason: str) -> None:
    content = with_rows(xml)
    assert len(content) < 20_000
    failure = failure_of(content)
    assert failure.outcome is Outcome.MALFORMED
    assert re.fullmatch(f"this is not a holdings workbook: {reason}", str(failure))


def test_a_cell_far_to_the_right_takes_no_memory() -> None:
    content = with_rows(b"".join(b'<row r="%d"><c r="ZZZ%d"><v>1</v></c></row>' % (n, n) for n in range(20, 9000)))
    tracemalloc.start()
    try:
        _, holdings, _ = parse_workbook(content, "XLF")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Padded to 18,278 columns these rows are 1.3 GB.
    assert (len(holdings), peak < 50_000_000) == (1, True)


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


@pytest.mark.parametrize(
    ("weight", "message"),
    [(23.4, "the weights sum to 83.40 %: the file is not complete"), (35.0, None)],
)
def test_a_file_that_was_cut_is_told(weight: float, message: str | None) -> None:
    content = make_workbook([line("A", "AA", 60.0), line("B", "BB", weight)])
    response = SimpleNamespace(status_code=200, content=content)
    session = cast(LimitedSession, SimpleNamespace(get=lambda url: response))
    answer = fetch_issuer_holdings(session, "http://127.0.0.1/{ticker}.xlsx", "XLF", today=dt.date(2026, 2, 9))
    assert (answer.outcome, answer.message, len(answer.holdings)) == (Outcome.OK, message, 2)
