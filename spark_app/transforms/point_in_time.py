"""What stood at a date: the newest fact not after it, or without one the earliest after it."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def join_point_in_time(
    asked: DataFrame, facts: DataFrame, *, key: str, date: str, carry: Sequence[str] = ()
) -> DataFrame:
    """Give each asked row the fact of its key that stood at its `as_of_date`.

    Columns in: `asked` has the key, as_of_date and any others; `facts` has the key, its date, the carried columns.
    Columns out: those of `asked`, the date and carried columns of the fact, null where the key has none.

    Args:
        key: the column that both have.
        date: the date column of `facts`; several facts of one key and date must agree on what is carried.
        carry: columns of `facts` to bring along.
    """
    fact = F.struct(date, *carry)
    fact_rows = facts.select(key, F.col(date).alias("day"), fact.alias("fact"))
    asked_rows = asked.withColumn("day", F.col("as_of_date"))
    events = asked_rows.unionByName(fact_rows, allowMissingColumns=True)

    of_key = Window.partitionBy(key)
    until_day = of_key.orderBy("day").rangeBetween(Window.unboundedPreceding, Window.currentRow)
    # Where nothing lies on or before a day, the earliest of all is the earliest after it.
    chosen = F.coalesce(F.max("fact").over(until_day), F.min("fact").over(of_key))
    answered = events.withColumn("fact", chosen).where(F.col("as_of_date").isNotNull())
    return answered.select(*asked.columns, "fact.*")


def is_later(date: str) -> Column:
    """Say whether a fact is dated after the day that it stands in for; null without a fact.

    Columns in: as_of_date and the date column named.
    """
    return F.col(date) > F.col("as_of_date")
