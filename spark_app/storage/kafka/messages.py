"""Reading the messages of the topic strictly: a row of a served table in its normal form, or the reason to reject it.

docs/TOPIC.md describes the messages; storage/postgres/outbox.py writes them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt, StrictStr, ValidationError, create_model
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

_Model = TypeVar("_Model", bound=BaseModel)

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
"""One row per message: why it is rejected, or what it says; without `row` the key was removed."""


class UnreadableMessageError(ValueError):
    """The message is not one of this pipeline, or a value is invalid; the text says why."""


@dataclass(frozen=True)
class TopicRow:
    """One message; `key` and `row` are JSON in their normal form, `row` is None where the row was removed."""

    message_id: int
    origin: str
    table: str
    key: str
    row: str | None


def _date(text: str) -> str:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise ValueError("expected a date as YYYY-MM-DD") from None


def _time(text: str) -> str:
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return f"{moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    except (ValueError, OverflowError):
        pass
    raise ValueError("expected an ISO 8601 time with its zone")


def _with_scale(scale: int) -> Callable[[Decimal], str]:
    def exact_text(number: Decimal) -> str:
        exact = round(number, scale)
        if exact != number:
            raise ValueError(f"expected at most {scale} decimals")
        return f"{exact:f}"

    return exact_text


def _decimal(kind: DecimalType) -> Any:
    limit = 10 ** (kind.precision - kind.scale)
    return Annotated[Decimal, Field(gt=-limit, lt=limit), AfterValidator(_with_scale(kind.scale))]


_INT = Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)]
_LONG = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
_TYPES: dict[type[DataType], Any] = {
    BooleanType: StrictBool,
    IntegerType: _INT,
    LongType: _LONG,
    # Postgres stores no zero character; pydantic itself rejects half a surrogate pair, which JSON may contain.
    StringType: Annotated[StrictStr, Field(pattern=r"^[^\x00]*$")],
    DateType: Annotated[StrictStr, AfterValidator(_date)],
    TimestampType: Annotated[StrictStr, AfterValidator(_time)],
}


def _column(field: StructField, table: ServedTable) -> Any:
    """The type and the default of a column: all but newer ones are required, those of the key are never null."""
    kind = _decimal(field.dataType) if isinstance(field.dataType, DecimalType) else _TYPES[type(field.dataType)]
    missing = dict(table.defaults).get(field.name, ...)
    default = Field(default_factory=missing) if callable(missing) else missing
    return (kind if field.name in table.key else kind | None, default)


def _columns(table: ServedTable, *names: str) -> type[BaseModel]:
    columns = {name: _column(table.schema[name], table) for name in names}
    model: type[BaseModel] = create_model(table.name, **columns)
    return model


class _Head(BaseModel):
    """The fields of every message: in the value, or in the headers of a message without one."""

    message_id: _LONG
    origin: Literal["real", "synthetic", "files"]


_TABLES = {table.name: table for table in SERVED_TABLES}
_ROWS = {table.name: _columns(table, *table.schema.fieldNames()) for table in SERVED_TABLES}
_KEYS = {table.name: _columns(table, *table.key) for table in SERVED_TABLES}


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
    row = {"partition": message["partition"], "offset": message["offset"]}
    row["raw_value"] = (raw or b"").decode(errors="backslashreplace")
    try:
        return row | vars(read_message(message["key"], message["value"], message))
    except UnreadableMessageError as error:
        return row | {"error": str(error)}


def read_message(key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]) -> TopicRow:
    """Read one message; without a value, its headers and key are read instead.

    Raises: UnreadableMessageError.
    """
    if value is None:
        return _read_removal(_read_headers(headers), _json_object(key, "the key of the removed row"))
    message = _json_object(value, "the value")
    head, table = _head(message), _table(message.get("table"))
    if not isinstance(message.get("row"), dict):
        raise UnreadableMessageError("the row is missing")
    row = _validated(_ROWS[table.name], message["row"])
    return TopicRow(head.message_id, head.origin, table.name, key_text(table, vars(row)), _json(vars(row)))


def _read_removal(headers: Mapping[str, Any], key: Mapping[str, Any]) -> TopicRow:
    head, table = _head(headers), _table(key.get("table"))
    if not table.loses_rows:
        raise UnreadableMessageError(f"rows of {table.name} are never removed")
    values = _validated(_KEYS[table.name], key)
    return TopicRow(head.message_id, head.origin, table.name, key_text(table, vars(values)), None)


def key_text(table: ServedTable, values: Mapping[str, Any]) -> str:
    """The key of a row as JSON in its normal form."""
    return _json({"table": table.name, **{name: values[name] for name in table.key}})


def _read_headers(headers: Mapping[str, bytes | None]) -> dict[str, Any]:
    texts = {
        name: (headers[name] or b"").decode(errors="replace") for name in ("message_id", "schema_version", "origin")
    }
    return {name: int(text) if text.isdecimal() and len(text) < 19 else text for name, text in texts.items()}


def _json_object(text: bytes | None, what: str) -> dict[str, Any]:
    try:
        # json, and not pydantic: a decimal that is written as a JSON number must not become a float.
        found = json.loads((text or b"").decode(), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UnreadableMessageError(f"{what} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableMessageError(f"{what} is not a JSON object")
    return found


def _head(message: Mapping[str, Any]) -> _Head:
    version = message.get("schema_version")
    if version != MESSAGE_VERSION:
        raise UnreadableMessageError(f"schema version {version!r} is not {MESSAGE_VERSION}")
    return _validated(_Head, message)


def _table(name: object) -> ServedTable:
    table = _TABLES.get(name) if isinstance(name, str) else None
    if table is None:
        raise UnreadableMessageError(f"unknown table {name!r}")
    return table


def _validated(model: type[_Model], values: object) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, value, rule = first["loc"][0], first["input"], first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise UnreadableMessageError(f"{name} is missing") from None
        shown = (str(value) if isinstance(value, Decimal) else repr(value))[:100]
        raise UnreadableMessageError(f"invalid {name} {shown}: {rule[0].lower()}{rule[1:]}") from None


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
