"""Open what a run needs: settings, the database and the Spark session, side by side."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spark_app.cli.job import Job, Run
from spark_app.cli.parser import settings_overrides
from spark_app.cli.request import as_of_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_app.config.settings import DatabaseSettings, Settings
    from spark_app.storage.postgres.database import Database


def open_run(job: Job, work: Callable[[Run], int]) -> int:
    """Open what a run needs and let `work` do it; 0 without it where the day has no session."""
    from spark_app.config.settings import load_settings

    settings = load_settings(config_file=job.arguments.config, overrides=settings_overrides(job.arguments))
    with contextlib.ExitStack() as resources, ThreadPoolExecutor() as beside:
        resources.enter_context(job.interruption.watching_java())
        # Making the session keeps the JVM busy, importing the rest and preparing the database Python: both at once.
        checked = beside.submit(_checked_database, settings)
        preparing = beside.submit(_prepare, job, settings, resources, checked)
        spark = resources.enter_context(_session(job.name, settings, checked))
        job.interruption.take_over()
        if "delay" in job.arguments and not getattr(job.arguments, "dry_run", False):
            beside.submit(_warm_up, spark, settings)
        prepared = preparing.result()
        if not prepared:
            return 0
        from spark_app.storage.delta.failures import staging_in_use

        run = Run(job, settings, spark, *prepared)
        resources.enter_context(staging_in_use(settings.staging_path))
        return work(replace(run, confirm_writer=resources.enter_context(_only_writer(run))))


def _prepare(
    job: Job, settings: Settings, resources: contextlib.ExitStack, checked: Future[DatabaseSettings]
) -> tuple[Database, dt.date, dt.datetime] | None:
    """Find the as-of session and bring the database up to date, which runs until `resources` are closed.

    Nothing is touched before the cluster is `checked`.
    """
    from spark_app.pipeline.execution import prepare, upgrade
    from spark_app.storage.postgres.database import administrator_of, open_database
    from spark_app.storage.postgres.retry import Patience

    now = dt.datetime.now(dt.UTC)
    as_of = as_of_session(job.name, getattr(job.arguments, "as_of", None), now)
    if as_of is None:
        return None
    named = checked.result()
    patience = Patience(**settings.database.model_dump(), stopping=job.interruption.stopping)
    database = resources.enter_context(open_database(named, patience))
    # A replay takes what kind of data the topic has, unless the command line names one.
    takes_any = "topic_start" in job.arguments and job.arguments.source is None
    (upgrade if takes_any else prepare)(database, settings, admin=administrator_of(named, database))
    return database, as_of, now


def _checked_database(settings: Settings) -> DatabaseSettings:
    """Read which database is named, and make sure that the cluster can do its work with it."""
    from spark_app.config.settings import load_database_settings
    from spark_app.spark.cluster import check_cluster, configured_master

    named = load_database_settings()
    check_cluster(configured_master(), settings, named)
    return named


@contextlib.contextmanager
def _session(name: str, settings: Settings, checked: Future[DatabaseSettings]) -> Iterator[SparkSession]:
    from spark_app.config.settings import app_home
    from spark_app.spark.cluster import shipped
    from spark_app.spark.s3 import add_s3_libraries
    from spark_app.spark.session import build_session

    checked.result()
    # Spark makes this folder at its start, by default wherever the user happens to be.
    spark = build_session(name, extra={"spark.sql.warehouse.dir": str(app_home() / "warehouse")})
    try:
        add_s3_libraries(spark, settings.staging_path)
        with shipped(spark):
            yield spark
    finally:
        spark.stop()


@contextlib.contextmanager
def _only_writer(run: Run) -> Iterator[Callable[[], None]]:
    """Keep other applications from writing to staging, where the store takes one; yields what makes sure of it."""
    from spark_app.spark.s3 import takes_one_writer
    from spark_app.storage.postgres.single_writer import hold_writing

    arguments = run.job.arguments
    writes = "delay" in arguments or getattr(arguments, "forget", None) or getattr(arguments, "forget_all", False)
    if writes and takes_one_writer(run.spark, run.settings.staging_path):
        with hold_writing(run.database) as confirm:
            yield confirm
    else:
        yield run.confirm_writer


def _warm_up(spark: SparkSession, settings: Settings) -> None:
    from spark_app.sources.worker import import_source
    from spark_app.spark.quick_start import warm_up

    warm_up(spark, partial(import_source, name=settings.source.name))
