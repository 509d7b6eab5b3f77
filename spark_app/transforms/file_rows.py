"""Rows of a user's own file: typed values, and the first thing that is wrong with a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    DoubleType,
    LongType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_LONGEST_VALUE = 40
_LARGEST_WHOLE = 2.0**63

PROBLEM = "problem"
"""The column with what is wrong with a row: column, value, reason; null for a sound row."""

Spell = Callable[[Column], Column]
"""Spells a ticker; null for what is none."""


class ValueKind(StrEnum):
    """What a column contains, as users read it."""

    TICKER = "ticker"
    TEXT = "text"
    DATE = "date"
    NUMBER = "number"
    WHOLE = "whole number"


_TYPES: dict[ValueKind, DataType] = {
    ValueKind.TICKER: StringType(),
    ValueKind.TEXT: StringType(),
    ValueKind.DATE: DateType(),
    ValueKind.NUMBER: DoubleType(),
    ValueKind.WHOLE: LongType(),
}
_NOT_OF_KIND = {
    ValueKind.TICKER: "it is not a ticker such as XLK or BRK-B",
    ValueKind.DATE: "it is not a date as YYYY-MM-DD",
    ValueKind.NUMBER: "it is not a number",
    ValueKind.WHOLE: "it is not a whole number",
}


@dataclass(frozen=True)
class FileColumn:
    """A column of a file.

    Attributes:
        is_needed: whether the file must have it.
        may_be_empty: whether a row may have no value.
        limits: the smallest and the largest value, both allowed; None for any.
    """

    name: str
    kind: ValueKind
    is_needed: bool = True
    may_be_empty: bool = False
    limits: tuple[float, float] | None = None

    def takes(self, data_type: DataType) -> bool:
        """Whether values of this type can be read; a text is parsed."""
        if isinstance(data_type, StringType):
            return True
        if self.kind == ValueKind.DATE:
            return isinstance(data_type, DateType | TimestampType | TimestampNTZType)
        return self.kind in (ValueKind.NUMBER, ValueKind.WHOLE) and isinstance(data_type, NumericType)


def schema_of(columns: Sequence[FileColumn]) -> StructType:
    """The types of the rows of a file."""
    return StructType([StructField(column.name, _TYPES[column.kind]) for column in columns])


def typed_rows(raw: DataFrame, columns: Sequence[FileColumn], *, spell: Spell, carry: Sequence[str]) -> DataFrame:
    """Read the values of a file strictly.

    Columns in: those of `columns` that the file has, as texts or of a type that `FileColumn.takes`; `carry`.
    Columns out: `carry`, all of `columns` with their type (null where the file lacks the column, the value is empty, or
        it cannot be read), problem (struct of column, value, reason: the first one of the row; null for none).
    """
    given = {field.name: field.dataType for field in raw.schema.fields}
    present = [column for column in columns if column.name in given]
    values = {column.name: _value(column.kind, given[column.name], spell) for column in present}
    read = raw.select("*", *[of(F.col(name)).alias(f"_{name}") for name, of in values.items()])
    absent = F.lit(None)
    typed = [(F.col(f"_{c.name}") if c.name in values else absent.cast(_TYPES[c.kind])).alias(c.name) for c in columns]
    problems = [_problem_of(column, given[column.name]) for column in present]
    return read.select(*carry, *typed, F.coalesce(*problems).alias(PROBLEM))


def with_problem(rows: DataFrame, *found: Column) -> DataFrame:
    """Add problems to the rows that have none yet; the first that is not null counts."""
    return rows.withColumn(PROBLEM, F.coalesce(PROBLEM, *found))


def problem(column: str, value: Column, reason: Column | str) -> Column:
    """What is wrong with a row: struct of column, value, reason; null where the reason is."""
    text = F.lit(reason) if isinstance(reason, str) else reason
    shown = F.left(F.regexp_replace(value.cast("string"), _CONTROL, " "), F.lit(_LONGEST_VALUE))
    found = F.struct(F.lit(column).alias("column"), shown.alias("value"), text.alias("reason"))
    return F.when(text.isNotNull(), found)


def with_duplicates(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """Find the sound rows that share their key with another sound row: each of them has a problem.

    Columns in: `key`, problem.   Columns out: those of `rows`.
    """
    *parts, last = key
    ordered = Window.partitionBy(*parts, F.col(PROBLEM).isNull()).orderBy(last)
    value = F.col(last)
    is_double = (F.lag(last).over(ordered) == value) | (F.lead(last).over(ordered) == value)
    named = F.concat_ws(" ", *[F.col(name).cast("string") for name in key])
    reason = F.when(F.col(PROBLEM).isNull() & is_double, "it is in more than one row")
    return with_problem(rows, problem(", ".join(key), named, reason))


def _value(kind: ValueKind, data_type: DataType, spell: Spell) -> Callable[[Column], Column]:
    """Return what reads a value; it gives null for one that cannot be read."""
    is_text = isinstance(data_type, StringType)

    def read(raw: Column) -> Column:
        text = F.trim(raw) if is_text else raw
        if kind == ValueKind.TICKER:
            return spell(text)
        if kind == ValueKind.TEXT:
            cleaned = F.trim(F.regexp_replace(text, _CONTROL, " "))
            return F.when(cleaned != "", cleaned)
        if kind == ValueKind.DATE:
            return _day(text, data_type)
        number = F.when(text.rlike(_NUMBER), text.try_cast("double")) if is_text else raw.cast("double")
        number = F.when(~F.isnan(number), number)
        return _whole(number, text, data_type) if kind == ValueKind.WHOLE else number

    return read


def _day(value: Column, data_type: DataType) -> Column:
    if isinstance(data_type, StringType):
        return F.when(value.rlike(_DAY), value.try_cast("date"))
    day = value.cast("date")
    return day if isinstance(data_type, DateType) else F.when(day.cast(data_type) == value, day)


def _whole(number: Column, value: Column, data_type: DataType) -> Column:
    """Read a whole number exactly; 12.0 is one."""
    exact = value.try_cast("bigint") if isinstance(data_type, StringType) else value.cast("bigint")
    is_whole = (number == F.rint(number)) & (F.abs(number) < _LARGEST_WHOLE)
    if isinstance(data_type, StringType):
        exact = F.when(value.rlike(r"^[+-]?[0-9]+$"), exact).otherwise(number.try_cast("bigint"))
    return F.when(is_whole, exact)


def _problem_of(column: FileColumn, data_type: DataType) -> Column:
    raw, value = F.col(column.name), F.col(f"_{column.name}")
    is_empty = raw.isNull()
    if isinstance(data_type, StringType):
        is_empty = is_empty | (F.trim(raw) == "")
    elif isinstance(data_type, NumericType):
        is_empty = is_empty | F.isnan(raw.cast("double"))
    empty = F.when(is_empty, F.lit(None if column.may_be_empty else "it is empty"))
    unread = F.when(value.isNull() & ~is_empty, F.lit(_NOT_OF_KIND.get(column.kind)))
    outside = F.lit(None).cast("string")
    if column.limits is not None:
        smallest, largest = column.limits
        outside = F.when(~value.between(smallest, largest), f"it is not between {smallest:g} and {largest:g}")
    return problem(column.name, raw, F.coalesce(empty, unread, outside))
