"""Finding the user's files and reading them with Spark, each row with its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StringType, StructField, StructType

from spark_app.errors import UsageError
from spark_app.ingestion.files.layout import LAYOUTS, FileLayout
from spark_app.sources.symbols import is_ticker, to_yahoo_symbol
from spark_app.spark.java import hadoop_path
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of

_FORMATS = ("csv", "parquet")
CORRUPT = "_corrupt_row"
"""The text of a CSV row whose number of values is not that of the header."""

PLACE = ("_file", "_block", "_place")
"""Where a row is: the file, the first byte of the block that a task read, and the task's counter of rows."""


@dataclass(frozen=True, eq=False)
class FoundFile:
    """A file of the user: `raw` has its columns, those of PLACE and, of CSV, CORRUPT; `size` is in bytes."""

    layout: FileLayout
    path: str
    raw: DataFrame
    size: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def gives(self, column: str) -> bool:
        """Whether the file has a column."""
        return column in self.raw.columns


def find_files(spark: SparkSession, folder: str) -> dict[str, FoundFile]:
    """Find the files of a folder or URL by name, and check their columns.

    Raises: UsageError: there is no such folder or no file in it, a file has an unknown name, an unknown column or lacks
        one, or cannot be read.
    """
    if not folder:
        raise UsageError("import_files needs --files, the folder with the files (setting files.folder)")
    found: dict[str, FoundFile] = {}
    for path, (name, file_format, size) in _paths(spark, folder).items():
        if name in found:
            raise UsageError(f"{folder}: {name} is there as .csv and as .parquet: keep one")
        try:
            raw = _read_csv(spark, path) if file_format == "csv" else spark.read.parquet(path)
            found[name] = FoundFile(LAYOUTS[name], path, _with_place(raw), size)
        except JAVA_ERRORS as error:
            raise UsageError(f"cannot read {path}: {reason_of(error)}") from error
        _check_columns(found[name])
    if not found:
        expected = ", ".join(f"{name}.csv" for name in LAYOUTS)
        raise UsageError(f"{folder} has none of the files {expected}, or .parquet (docs/FILES.md)")
    return found


def row_numbers(file: FoundFile, places: Mapping[tuple[str, int, int], object]) -> dict[tuple[str, int, int], int]:
    """Number some rows of a file, each by its place: 1 is the first one, in CSV the one below the header."""
    if not places:
        return {}
    name, block, place = PLACE
    blocks = file.raw.groupBy(name, block).agg(F.min(place).alias("first"), F.count("*").alias("rows")).collect()
    before: dict[tuple[str, int], tuple[int, int]] = {}
    counted: dict[str, int] = {}
    for row in sorted(blocks, key=lambda row: (row[name], row[block])):
        before[row[name], row[block]] = (counted.get(row[name], 0), row["first"])
        counted[row[name]] = counted.get(row[name], 0) + row["rows"]
    numbers = {}
    for found in places:
        rows_before, first = before[found[0], found[1]]
        numbers[found] = rows_before + found[2] - first + 1
    return numbers


def spell_ticker(ticker: Column) -> Column:
    """Spell a ticker as the pipeline does; null for what is none."""
    spelt: Column = _spell(ticker)
    return spelt


@pandas_udf(StringType())  # type: ignore[call-overload, untyped-decorator]
def _spell(tickers: pd.Series) -> pd.Series:
    spelt = {ticker: to_yahoo_symbol(ticker) for ticker in tickers.dropna().unique()}
    return tickers.map({ticker: symbol for ticker, symbol in spelt.items() if is_ticker(symbol)})


def _paths(spark: SparkSession, folder: str) -> dict[str, tuple[str, str, int]]:
    """The files of a folder: path -> name, format and size in bytes."""
    try:
        system, place = hadoop_path(spark, folder)
        if not system.exists(place):
            raise UsageError(f"--files {folder}: there is no such folder")
        paths = [status.getPath() for status in system.listStatus(place)]
    except JAVA_ERRORS as error:
        raise UsageError(f"cannot read {folder}: {reason_of(error)}") from error
    found, unknown = {}, []
    for path in sorted(paths, key=lambda path: path.getName()):
        name, _, file_format = path.getName().rpartition(".")
        if file_format in _FORMATS and not name.startswith(("_", ".")):
            found[path.toString()] = (name, file_format, system.getContentSummary(path).getLength())
            unknown += [path.getName()] if name not in LAYOUTS else []
    if unknown:
        raise UsageError(f"{folder}: unknown file {', '.join(unknown)}: choose from {', '.join(LAYOUTS)}")
    return found


def _read_csv(spark: SparkSession, path: str) -> DataFrame:
    """Read a CSV file as texts; rows with another number of values than the header have CORRUPT."""
    reader = spark.read.option("header", True).option("escape", '"')
    columns = [name.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").strip() for name in reader.csv(path).columns]
    schema = StructType([StructField(name, StringType()) for name in (*columns, CORRUPT)])
    return reader.schema(schema).option("columnNameOfCorruptRecord", CORRUPT).csv(path)


def _with_place(raw: DataFrame) -> DataFrame:
    name, block, place = PLACE
    return raw.select(
        *raw.columns,
        F.col("_metadata.file_path").alias(name),
        F.col("_metadata.file_block_start").alias(block),
        F.monotonically_increasing_id().alias(place),
    )


def _check_columns(file: FoundFile) -> None:
    known = {column.name: column for column in file.layout.columns}
    given = {field.name: field.dataType for field in file.raw.schema if field.name not in (*PLACE, CORRUPT)}
    missing = [name for name, column in known.items() if column.is_needed and name not in given]
    unknown = [name for name in given if name not in known]
    if missing or unknown:
        what = [f"no column {name}" for name in missing] + [f"unknown column {name}" for name in unknown]
        raise UsageError(f"{file.path}: {', '.join(what)}: the columns are {', '.join(known)} (docs/FILES.md)")
    for name, data_type in given.items():
        if not known[name].takes(data_type):
            raise UsageError(
                f"{file.path}: column {name} is of the type {data_type.simpleString()}, expected a {known[name].kind}"
            )
