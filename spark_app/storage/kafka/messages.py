"""Reading the messages of the topic strictly: a row of a served table in its normal form, or the reason why it is none.

docs/TOPIC.md describes the messages; storage/postgres/outbox.py writes them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from spark_app.schemas import MESSAGE_VERSION, SERVED_TABLES, ServedTable

ORIGINS = ("real", "synthetic")
_BITS = {IntegerType: 31, LongType: 63}

READ_MESSAGES = StructType(
    [
        StructField("partition", IntegerType()),
        StructField("offset", LongType()),
        StructField("error", StringType()),
        StructField("raw_value", StringType()),
        StructField("message_id", LongType()),
        StructField("origin", StringType()),
        StructField("table", StringType()),
        StructField("key", StringType()),
        StructField("row", StringType()),
    ]
)
"""One row per message: why it is unreadable, or what it says; without `row` the key was removed."""


class UnreadableMessageError(ValueError):
    """The message is none of ours, or not as it should be; the text says why."""


@dataclass(frozen=True)
class TopicRow:
    """What one message says of one row; `key` and `row` are JSON in one normal form; no `row` where it was removed."""

    message_id: int
    origin: str
    table: str
    key: str
    row: str | None


def read_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read messages; for `mapInArrow`.

    Columns in: key, value (binary), partition, offset, message_id, schema_version, origin (headers, binary).
    Columns out: READ_MESSAGES.
    """
    schema = to_arrow_schema(READ_MESSAGES)
    for batch in batches:
        yield pa.RecordBatch.from_pylist([_read_one(message) for message in batch.to_pylist()], schema=schema)


def _read_one(message: Mapping[str, Any]) -> dict[str, Any]:
    raw = message["value"] if message["value"] is not None else message["key"]
    told = {"partition": message["partition"], "offset": message["offset"]}
    told["raw_value"] = (raw or b"").decode(errors="backslashreplace")
    try:
        return told | vars(read_message(message["key"], message["value"], message))
    except UnreadableMessageError as error:
        return told | {"error": str(error)}


def read_message(key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]) -> TopicRow:
    """Read one message; the headers count where there is no value.

    Raises: UnreadableMessageError.
    """
    if value is None:
        told, named = _read_headers(headers), _json_object(key, "the key of the removed row")
    else:
        told = _json_object(value, "the value")
        named = told
    if told.get("schema_version") != MESSAGE_VERSION:
        raise UnreadableMessageError(f"schema version {told.get('schema_version')!r} is not {MESSAGE_VERSION}")
    message_id = _column(StructField("message_id", LongType()), told.get("message_id"), may_be_null=False)
    if told.get("origin") not in ORIGINS:
        raise UnreadableMessageError(f"origin {told.get('origin')!r} is none of {', '.join(ORIGINS)}")
    table = _table(named.get("table"))
    row = None
    if value is not None:
        row = _columns(told.get("row"), table.schema)
        named = row
    elif not table.loses_rows:
        raise UnreadableMessageError(f"rows of {table.name} are never removed")
    key_values = _columns(named, StructType([table.schema[name] for name in table.key]), may_be_null=False)
    return TopicRow(
        message_id=message_id,
        origin=told["origin"],
        table=table.name,
        key=key_text(table, key_values),
        row=None if row is None else _json(row),
    )


def key_text(table: ServedTable, values: Mapping[str, Any]) -> str:
    """The key of a row in one normal form."""
    return _json({"table": table.name, **{name: values[name] for name in table.key}})


def _read_headers(headers: Mapping[str, bytes | None]) -> dict[str, Any]:
    texts = {
        name: (headers[name] or b"").decode(errors="replace") for name in ("message_id", "schema_version", "origin")
    }
    return {name: int(text) if text.isdecimal() and len(text) < 19 else text for name, text in texts.items()}


def _json_object(text: bytes | None, what: str) -> dict[str, Any]:
    try:
        found = json.loads((text or b"").decode(), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UnreadableMessageError(f"{what} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableMessageError(f"{what} is no JSON object")
    return found


def _table(name: object) -> ServedTable:
    for table in SERVED_TABLES:
        if table.name == name:
            return table
    raise UnreadableMessageError(f"table {name!r} is none of ours")


def _columns(row: object, schema: StructType, *, may_be_null: bool = True) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UnreadableMessageError("there is no row")
    missing = [field.name for field in schema if field.name not in row]
    if missing:
        raise UnreadableMessageError(f"column {missing[0]} is missing")
    return {field.name: _column(field, row[field.name], may_be_null=may_be_null) for field in schema}


def _column(field: StructField, value: object, *, may_be_null: bool) -> Any:
    if value is None and may_be_null:
        return None
    try:
        return _normal(field.dataType, value)
    except (ValueError, TypeError, ArithmeticError):
        shown = repr(value)[:100]
        raise UnreadableMessageError(f"column {field.name}: {shown} is no {field.dataType.simpleString()}") from None


def _normal(kind: DataType, value: Any) -> object:
    """Check a value and bring it into the form that Spark reads.

    Raises: ValueError, TypeError, ArithmeticError.
    """
    match kind:
        case DecimalType():
            return _decimal(kind, value)
        case DateType():
            return dt.datetime.strptime(value, "%Y-%m-%d").date().isoformat()
        case TimestampType():
            moment = dt.datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("a time without a zone")
            return f"{moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        case BooleanType() if isinstance(value, bool):
            return value
        case IntegerType() | LongType() if (
            _is_whole(value) and -(2 ** _BITS[type(kind)]) <= value < 2 ** _BITS[type(kind)]
        ):
            return value
        case StringType() if isinstance(value, str) and "\x00" not in value:
            # Half a surrogate pair may stand in JSON, and nowhere else.
            value.encode()
            return value
    raise ValueError("of another kind")


def _decimal(kind: DecimalType, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise TypeError("no number")
    number = Decimal(value)
    if not number.is_finite() or abs(number) >= Decimal(10) ** (kind.precision - kind.scale):
        raise ValueError("out of range")
    exact = round(number, kind.scale)
    if exact != number:
        raise ValueError("finer than the column")
    return f"{exact:f}"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
