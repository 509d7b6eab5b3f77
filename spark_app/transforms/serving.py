"""The columns of a served table, in its order and types."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_app.schemas import ServedTable


def served_columns(table: ServedTable) -> list[Column]:
    """Return every column of `table` but `run_id`, which publishing adds, with the stored types.

    Doubles are cast to decimals, which rounds half up (Spark's cast).
    """
    # The type as a text: as an object it would go to the JVM as JSON, in several calls per column.
    return [
        F.col(f.name).cast(f.dataType.simpleString()).alias(f.name) for f in table.schema.fields if f.name != "run_id"
    ]
