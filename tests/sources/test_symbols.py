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
    ["", " ", "x'); drop table fetches; --", "A B C", "XLK?x=1", "../etc", "ÄÖ", "XLK\n;", "US0378331005", "A" * 999],
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


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [
        ("BRK-B", "BRK-B"),
        ("BRK.B", "BRK-B"),
        ("BRK/B", "BRK-B"),
        ("BRK B", "BRK-B"),
        (" brk.b ", "BRK-B"),
        ("BRK/B UN Equity", "BRK-B"),
        ("LIN UW", "LIN"),
        ("LIN  US", "LIN"),
        ("AAPL UW Equity", "AAPL"),
        ("C UN", "C"),
        ("NA", "NA"),
        ("TRUE", "TRUE"),
    ],
)
def test_every_spelling_of_a_us_share_becomes_yahoos(spelt: str, expected: str) -> None:
    assert to_yahoo_symbol(spelt) == expected


@pytest.mark.parametrize("code", ["US", "UN", "UW", "UQ", "UR", "UA", "UP", "UV", "UF"])
def test_bloombergs_codes_of_us_exchanges_are_dropped(code: str) -> None:
    assert to_yahoo_symbol(f"MSFT {code}") == "MSFT"


@pytest.mark.parametrize(
    "spelt", ["VOD LN", "VOD LN Equity", "SAP GY", "VOD.L", "SAP.DE", "7203.T", "RY.TO", "700-HK1", "BRK.B.C"]
)
def test_a_foreign_listing_does_not_become_a_us_share(spelt: str) -> None:
    assert not is_us_share(to_yahoo_symbol(spelt))
