"""The columns of a served table, in its order and types."""

from __future__ import annotations

from spark_app.schemas import ServedTable


def served_columns(table: ServedTable) -> list[str]:
    """Return every column of `table` but `run_id`, which publishing adds, with the stored types, for `selectExpr`.

    Doubles are cast to decimals, which rounds half up (Spark's cast).
    """
    # As SQL: put together by functions, each column would be eight calls of the JVM.
    fields = [field for field in table.schema.fields if field.name != "run_id"]
    return [f"CAST({field.name} AS {field.dataType.simpleString()}) AS {field.name}" for field in fields]
