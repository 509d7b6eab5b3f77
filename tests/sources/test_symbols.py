from __future__ import annotations

import pytest

from spark_app.errors import UsageError
from spark_app.sources.symbols import is_ticker, is_us_share, parse_ticker, to_yahoo_symbol


@pytest.mark.parametrize(
    ("typed", "expected"), [("BRK.B", "BRK-B"), ("bf/b", "BF-B"), (" xlk ", "XLK"), ("NA", "NA"), ("TRUE", "TRUE")]
)
def test_a_typed_ticker_gets_yahoos_spelling(typed: str, expected: str) -> None:
    assert parse_ticker(typed) == expected


@pytest.mark.parametrize(
    "typed",
    ["", " ", "x'); drop table fetches; --", "A B", "XLK?x=1", "../etc", "ÄÖ", "XLK\n;", "US0378331005", "A" * 999],
)
def test_an_invalid_ticker_is_rejected_in_one_sentence(typed: str) -> None:
    with pytest.raises(UsageError, match="invalid ticker") as caught:
        parse_ticker(typed)
    assert len(str(caught.value)) < 150


def test_a_ticker_with_a_trailing_newline_is_invalid() -> None:
    assert not is_ticker("XLK\n")


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("AAPL", True),
        ("BRK-B", True),
        ("T", True),
        ("IXDH6", False),
        ("2602335D", False),
        ("700-HK1", False),
        ("", False),
    ],
)
def test_a_us_share_has_letters_only(symbol: str, expected: bool) -> None:
    assert is_us_share(symbol) is expected


def test_spelling_keeps_what_is_right_already() -> None:
    assert to_yahoo_symbol("BRK-B") == "BRK-B"
