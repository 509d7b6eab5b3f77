"""Publications that are served already: what a stage published last is not sent again while its table is as it was.

Each publication leaves a checksum of its rows in `logs_publication`. A trigger of the served table forgets it with any
change of the table, by whoever's hand. A rerun that finds it, and computes the same checksum, has nothing to send.
Only Spark computes it, from values; that of checksums.py Postgres computes as well, so both make text of each row.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from spark_app.storage.postgres.publishing.loading import to_loading
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.run_log import RunKey

# Without its trigger, or with that switched off, a table may have been changed unnoticed.
_READ = """
SELECT table_name, row_count, checksum FROM logs_publication
WHERE stage = %s AND as_of_date = %s AND table_name = ANY(%s) AND EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = to_regclass(table_name) AND tgname = 'forget_publications' AND tgenabled IN ('O', 'A')
)
"""
_KEEP = """
INSERT INTO logs_publication (table_name, stage, as_of_date, run_id, checksum, row_count)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (table_name, stage, as_of_date) DO UPDATE
SET run_id = EXCLUDED.run_id, checksum = EXCLUDED.checksum, row_count = EXCLUDED.row_count
"""


@dataclass(frozen=True)
class Content:
    """What a publication has: the number of its rows and a checksum, of all that a merge looks at."""

    rows: int
    checksum: str


Contents = Mapping[str, Content]
"""By the name of the served table."""


def read_contents(
    connection: psycopg.Connection, run: RunKey, publications: Sequence[Publication]
) -> dict[str, Content]:
    """Read what the run's stage published last for its as-of date, of the tables that are unchanged since."""
    tables = [publication.table.name for publication in publications]
    rows = connection.execute(_READ, (run.stage, run.as_of_date, tables)).fetchall()
    return {table: Content(count, checksum) for table, count, checksum in rows}


def unchanged_of(publications: Sequence[Publication], published: Contents) -> dict[str, Content]:
    """Find the publications that have the same content as the published ones; computes their rows where it may be."""
    found: dict[str, Content] = {}
    for rows, sharing in _by_rows(publications):
        if all(p.table.name in published for p in sharing):
            measured = rows.agg(*_measures(sharing)).collect()[0].asDict()
            contents = _contents(sharing, measured)
            if all(published[name] == content for name, content in contents.items()):
                found |= contents
    return found


@dataclass(frozen=True)
class Observed:
    """Publications whose contents are known once their rows have been loaded."""

    publications: list[Publication]
    _observations: list[tuple[Observation, list[Publication]]]

    def contents(self) -> dict[str, Content]:
        """Return the contents, after the rows were loaded."""
        found: dict[str, Content] = {}
        for observation, sharing in self._observations:
            found |= _contents(sharing, observation.get)
        return found


def observed(publications: Sequence[Publication]) -> Observed:
    """Have Spark measure the contents on the way while it loads the rows."""
    watched: dict[int, DataFrame] = {}
    observations: list[tuple[Observation, list[Publication]]] = []
    for rows, sharing in _by_rows(publications):
        observation = Observation()
        watched[id(rows)] = rows.observe(observation, *_measures(sharing))
        observations.append((observation, sharing))
    return Observed([dataclasses.replace(p, rows=watched[id(p.rows)]) for p in publications], observations)


def keep_contents(connection: psycopg.Connection, run: RunKey, contents: Contents) -> None:
    """Write down what was published, in the transaction that `connection` is in, after its merges."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _KEEP,
            [(table, run.stage, run.as_of_date, run.run_id, c.checksum, c.rows) for table, c in contents.items()],
        )


def _by_rows(publications: Sequence[Publication]) -> list[tuple[DataFrame, list[Publication]]]:
    """Group publications that share one DataFrame."""
    sharing: dict[int, list[Publication]] = {}
    for publication in publications:
        sharing.setdefault(id(publication.rows), []).append(publication)
    return [(group[0].rows, group) for group in sharing.values()]


def _measures(sharing: Sequence[Publication]) -> list[Column]:
    measures: list[Column] = []
    for publication in sharing:
        name = publication.table.name
        is_meant = F.lit(True) if publication.only is None else F.col("ticker").isin(*publication.only)
        measures += [
            F.count_if(is_meant).alias(f"{name} rows"),
            # Its value does not depend on the order of the rows.
            F.coalesce(F.bit_xor(F.when(is_meant, _row_hash(publication))), F.lit(0)).alias(f"{name} hashes"),
        ]
    return measures


def _row_hash(publication: Publication) -> Column:
    table = publication.table
    fields = [field for field in table.computed_schema if field.name in (*table.key, *table.compared)]
    # A hash passes over nulls: without what is null, a value would look the same in another column.
    is_null = [f"{field.name} IS NULL" for field in fields if field.name not in table.key]
    return F.expr(f"xxhash64({', '.join([*map(to_loading, fields), *is_null])})")


def _contents(sharing: Sequence[Publication], measured: Mapping[str, int]) -> dict[str, Content]:
    found: dict[str, Content] = {}
    for publication in sharing:
        table = publication.table
        rows = measured[f"{table.name} rows"]
        said = (table.schema.fieldNames(), publication.owned, rows, measured[f"{table.name} hashes"])
        found[table.name] = Content(rows, hashlib.sha256(repr(said).encode()).hexdigest())
    return found
