"""Whatever the issuer sends as a workbook, reading it gives shares with weights, or a typed failure."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Outcome
from spark_app.sources.issuer.workbook import parse_workbook
from tests.sources.issuer.test_workbook import make_workbook

ROWS = (
    ("APPLE INC", "AAPL", "x", "y", 60.0),
    ("US DOLLAR", "-", "x", "y", 0.5),
    ("BERKSHIRE", "BRK.B", "x", "y", 39.5),
)
WORKBOOK = make_workbook(ROWS)
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates(dt.date(1900, 3, 1), dt.date(2100, 1, 1)),
    # What XML cannot carry, no workbook has.
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
    st.sampled_from(["AAPL", "TRUE", "NA", "N/A", "-", "12.5", "US DOLLAR", "ESH6", "As of 31-Feb-2026"]),
)


def check(content: bytes) -> None:
    try:
        snapshot_date, holdings, left_out = parse_workbook(content, "XLF")
    except FetchError as error:
        outcome, message = error.outcome, str(error)
    else:
        outcome, message = Outcome.OK, ""
    if outcome is not Outcome.OK:
        assert outcome in (Outcome.MALFORMED, Outcome.NO_DATA)
        assert message
        return
    assert isinstance(snapshot_date, dt.date)
    assert holdings
    assert all(holding.holding_ticker and 0 <= holding.holding_percent <= 100 for holding in holdings)
    assert all(row.reason for row in left_out)


@given(st.lists(st.tuples(*[CELLS] * 5), max_size=4))
@settings(max_examples=40)
def test_any_cells_below_the_header(rows: list[tuple[Any, ...]]) -> None:
    check(make_workbook([*ROWS, *rows]))


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20), st.integers(0, 4))
@settings(max_examples=30)
def test_any_date_and_a_header_that_lacks_a_column(as_of: str, columns: int) -> None:
    check(make_workbook(ROWS, as_of=f"As of {as_of}", header=("Name", "Ticker", "x", "y", "Weight")[:columns]))


@given(st.integers(0, len(WORKBOOK) - 1), st.binary(min_size=1, max_size=6))
@settings(max_examples=200)
def test_a_file_that_was_damaged_on_its_way(place: int, damage: bytes) -> None:
    check(WORKBOOK[:place] + damage + WORKBOOK[place + len(damage) :])


@given(st.integers(0, len(WORKBOOK) - 1))
def test_a_file_that_was_cut_off(length: int) -> None:
    check(WORKBOOK[:length])


@given(st.binary(max_size=60))
def test_a_file_that_is_no_workbook(content: bytes) -> None:
    check(content)
