"""Whatever lies in the topic, reading it gives a row of a served table, or says why it is none."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spark_app.schemas import SERVED_TABLES
from spark_app.storage.kafka.messages import UnreadableMessageError, read_message
from tests.foreign_json import JSON, altered
from tests.storage.kafka.test_messages import HEADERS, KEY, NO_HEADERS, value

MESSAGE = json.loads(value())
BYTES = st.none() | st.binary(max_size=12)


def check(key: bytes | None, message: bytes | None, headers: dict[str, bytes | None]) -> None:
    try:
        row = read_message(key, message, headers)
    except UnreadableMessageError:
        return
    table = next(table for table in SERVED_TABLES if table.name == row.table)
    assert -(2**63) <= row.message_id < 2**63
    assert row.origin in ("real", "synthetic")
    assert set(json.loads(row.key)) == {"table", *table.key}
    assert (row.row is None) == (message is None)
    if row.row is not None:
        assert set(json.loads(row.row)) == set(table.schema.fieldNames())


@given(altered(MESSAGE) | JSON)
def test_any_json_as_the_value(message: Any) -> None:
    check(b"{}", json.dumps(message).encode(), NO_HEADERS)


@given(altered(KEY) | JSON, st.fixed_dictionaries(dict.fromkeys(HEADERS, BYTES)))
def test_any_json_as_the_key_of_a_removed_row(key: Any, headers: dict[str, bytes | None]) -> None:
    check(json.dumps(key).encode(), None, headers)
    check(json.dumps(key).encode(), None, dict(HEADERS))


@given(BYTES, BYTES)
def test_any_bytes(key: bytes | None, message: bytes | None) -> None:
    check(key, message, NO_HEADERS)
    check(key, message, dict(HEADERS))
