"""The columns of a served table, in its order and types."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_app.schemas import ServedTable


def served_columns(table: ServedTable) -> list[Column]:
    """Name every column of `table` but `run_id`, which is the publishing stage's to add.

    Doubles become the stored decimals here, rounded half up.
    """
    # A type as text: an object would be sent to the JVM as JSON, in several calls for each column.
    return [
        F.col(f.name).cast(f.dataType.simpleString()).alias(f.name) for f in table.schema.fields if f.name != "run_id"
    ]
