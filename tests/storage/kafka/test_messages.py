"""Reading messages of the topic: valid ones in their normal form, and of all others the reason to reject them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from spark_app.storage.kafka.messages import TopicRow, UnreadableMessageError, read_batches, read_message

HEADERS = {"message_id": b"7", "schema_version": b"1", "origin": b"real"}
NO_HEADERS: dict[str, bytes | None] = {"message_id": None, "schema_version": None, "origin": None}
ROW = {"as_of_date": "2023-06-30", "etf_ticker": "XLK", "period_days": 5, "sector_name": "Technology"}
ROW |= {"return_pct": "1.250000", "benchmark_return_pct": "-0.5", "is_trending": True, "rank": 1}
ROW |= {"unavailable_reason": None, "run_id": "run-1"}
KEY = {"table": "analytics_trending_sectors", "as_of_date": "2023-06-30", "etf_ticker": "XLK", "period_days": 5}


def value(row: object = ROW, **changed: object) -> bytes:
    told = {"schema_version": 1, "message_id": 7, "table": "analytics_trending_sectors", "origin": "real", "row": row}
    return json.dumps(told | changed).encode()


def read(row: dict[str, object]) -> dict[str, Any]:
    text = read_message(b"any", value({**ROW, **row}), NO_HEADERS).row
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def reason(key: bytes | None, message: bytes | None, headers: Mapping[str, bytes | None] = NO_HEADERS) -> str:
    with pytest.raises(UnreadableMessageError) as error:
        read_message(key, message, headers)
    return str(error.value)


def compact(values: object) -> str:
    return json.dumps(values, separators=(",", ":"))


def test_a_message_is_read_with_its_values_in_normal_form() -> None:
    whole = {**ROW, "benchmark_return_pct": "-0.500000"}
    expected = TopicRow(7, "real", "analytics_trending_sectors", compact(KEY), compact(whole))
    assert read_message(compact(KEY).encode(), value(), NO_HEADERS) == expected


def test_a_message_without_a_value_removes_the_row_of_its_key() -> None:
    spaced = json.dumps(KEY).encode()
    expected = TopicRow(7, "real", "analytics_trending_sectors", compact(KEY), None)
    assert read_message(spaced, None, dict(HEADERS)) == expected


@pytest.mark.parametrize(
    ("column", "given", "expected"),
    [
        ("return_pct", 2, "2.000000"),
        ("return_pct", "1E+1", "10.000000"),
        ("return_pct", "-99999999.999999", "-99999999.999999"),
        ("return_pct", None, None),
        ("as_of_date", "0001-01-01", "0001-01-01"),
        ("sector_name", "\N{GREEK SMALL LETTER ALPHA}'\",{}", "\N{GREEK SMALL LETTER ALPHA}'\",{}"),
        ("rank", 2**31 - 1, 2**31 - 1),
    ],
)
def test_values_come_out_in_their_normal_form(column: str, given: object, expected: object) -> None:
    assert read({column: given})[column] == expected


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("return_pct", "1.2345678"),
        ("return_pct", "100000000"),
        ("return_pct", "NaN"),
        ("return_pct", "a lot"),
        ("return_pct", True),
        ("return_pct", "0." + "3" * 5000),
        ("as_of_date", "2023-02-30"),
        ("as_of_date", 20230630),
        ("as_of_date", None),
        ("is_trending", 1),
        ("rank", 2**31),
        ("rank", 1.0),
        ("rank", True),
        ("sector_name", 5),
        ("sector_name", "zero \x00 in it"),
        ("sector_name", "half \ud83d of it"),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_named(column: str, given: object) -> None:
    assert reason(b"", value({**ROW, column: given})).startswith(f"invalid {column} ")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\xff\xfe", "the value is not JSON: "),
        (b"", "the value is not JSON: "),
        (b"[" * 100_000, "the value is not JSON: "),
        (b"[1]", "the value is not a JSON object"),
        (b"null", "the value is not a JSON object"),
        (value(schema_version=2), "schema version 2 is not 1"),
        (value(schema_version=None), "schema version None is not 1"),
        (value(message_id="7"), "invalid message_id '7': "),
        (value(message_id=2**63), "invalid message_id 9223372036854775808: "),
        (value(origin="made up"), "invalid origin 'made up': input should be 'real', 'synthetic' or 'files'"),
        (value(table="pg_authid"), "unknown table 'pg_authid'"),
        (value(table=["x"]), "unknown table ['x']"),
        (value(row=None), "the row is missing"),
        (value(row={"as_of_date": "2023-06-30"}), "etf_ticker is missing"),
    ],
)
def test_any_other_message_is_rejected_with_the_reason(message: bytes, why: str) -> None:
    assert reason(b"", message).startswith(why)


def test_a_removal_needs_a_key_and_our_headers_and_never_takes_a_price() -> None:
    key, ours = compact(KEY).encode(), dict(HEADERS)
    assert reason(None, None, ours).startswith("the key of the removed row is not JSON: ")
    assert reason(b'{"table":"analytics_trending_sectors"}', None, ours) == "as_of_date is missing"
    assert reason(key, None, NO_HEADERS) == "schema version '' is not 1"
    price = {"table": "collected_daily_etf_ohlc", "ticker": "XLK", "trade_date": "2023-06-30"}
    assert reason(compact(price).encode(), None, ours) == "rows of collected_daily_etf_ohlc are never removed"


def test_a_bad_message_among_good_ones_costs_only_itself() -> None:
    messages = [
        {"key": b"", "value": text, "partition": 1, "offset": number, **NO_HEADERS}
        for number, text in enumerate([value(), b"\xffno json", value()])
    ]
    (batch,) = read_batches(iter([pa.RecordBatch.from_pylist(messages)]))
    found = batch.to_pylist()
    assert [row["offset"] for row in found if row["error"] is None] == [0, 2]
    assert found[1]["raw_value"] == "\\xffno json"


def test_a_column_that_older_messages_lack_has_its_default() -> None:
    name = "analytics_portfolio_allocation"
    row: dict[str, object] = {
        "as_of_date": "2023-06-30",
        "ticker": "AAPL",
        "company_name": None,
        "sector": "Information Technology",
        "market_cap": 7,
        "market_cap_basis": "quoted",
        "portfolio_weight": "1.00000000",
        "allocation_reason": "x",
        **{f"{column}_{n}d": None for n in (5, 10, 20) for column in ("return", "sector_avg", "is_trending", "rank")},
        "run_id": "run-1",
    }
    nothing = {"is_max_weight_exceeded": False, "holdings_date": None, "quote_date": None, "is_look_ahead": False}
    for given, expected in (
        ({}, nothing),
        ({"is_max_weight_exceeded": True}, nothing | {"is_max_weight_exceeded": True}),
        ({"market_cap_basis": "later_quote"}, nothing | {"is_look_ahead": True}),
        ({"market_cap_basis": None}, nothing),
        ({"market_cap_basis": "later_quote", "is_look_ahead": False}, nothing),
    ):
        stored = read_message(b"any", value({**row, **given}, table=name), NO_HEADERS).row
        assert stored is not None
        assert json.loads(stored).items() >= expected.items(), given
