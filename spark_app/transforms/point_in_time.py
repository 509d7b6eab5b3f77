"""As-of joins: the newest fact not after a date, or without one the earliest after it, which is look-ahead."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def join_point_in_time(
    asked: DataFrame, facts: DataFrame, *, key: str, date: str, carry: Sequence[str] = ()
) -> DataFrame:
    """Add to each asked row the fact of its key at its `as_of_date` (an as-of join).

    The fact is the newest one not after that date; if there is none, the earliest after it: see `is_look_ahead`.

    Columns in: `asked` has the key, as_of_date and any others; `facts` has the key, its date, the carried columns.
    Columns out: those of `asked`, the date and carried columns of the fact, null where the key has none.

    Args:
        key: the column that both have.
        date: the date column of `facts`; several facts of one key and date must agree on what is carried.
        carry: other columns of `facts` to add.
    """
    fact = F.struct(date, *carry)
    fact_rows = facts.select(key, F.col(date).alias("day"), fact.alias("fact"))
    asked_rows = asked.withColumn("day", F.col("as_of_date"))
    events = asked_rows.unionByName(fact_rows, allowMissingColumns=True)

    of_key = Window.partitionBy(key)
    until_day = of_key.orderBy("day").rangeBetween(Window.unboundedPreceding, Window.currentRow)
    # Without a fact on or before a day, the earliest of all facts is the earliest after it.
    chosen = F.coalesce(F.max("fact").over(until_day), F.min("fact").over(of_key))
    answered = events.withColumn("fact", chosen).where(F.col("as_of_date").isNotNull())
    return answered.select(*asked.columns, "fact.*")


def is_look_ahead(date: str) -> Column:
    """Whether a fact is dated after the date that it is used on; null without a fact.

    Columns in: as_of_date and the date column named.
    """
    return F.col(date) > F.col("as_of_date")
