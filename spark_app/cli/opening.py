"""Opening what a job needs: settings, the database and the Spark session, side by side."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_app.cli.invocation import Invocation

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_app.config.settings import DatabaseSettings, Settings
    from spark_app.pipeline.request import Request
    from spark_app.pipeline.run import Run
    from spark_app.storage.postgres.database import Database


def run_job(invocation: Invocation) -> int:
    """Open what the job needs and let it work; returns the exit code, 0 where there is nothing to do."""
    from spark_app import market_calendar
    from spark_app.config.secrets import check_proxies
    from spark_app.config.settings import load_settings

    settings = load_settings(config_file=invocation.config_file, overrides=invocation.settings_overrides)
    market_calendar.correct(settings.calendar.closures, settings.calendar.extra_sessions)
    invocation.refuse_impossible_dates(dt.datetime.now(dt.UTC))
    if invocation.job.reading:
        return _read(invocation, settings)
    if invocation.job.fetches and settings.data_origin == "real":
        check_proxies()
    if invocation.job.preview and invocation.is_dry_run:
        request = invocation.request(settings, dt.datetime.now(dt.UTC))
        if request is None or invocation.job.show(request):
            return 0
    with _opened(invocation, settings) as run:
        return 0 if run is None else invocation.job.run(run)


def _read(invocation: Invocation, settings: Settings) -> int:
    """Run a job that reads the served tables without Spark; returns the exit code."""
    from spark_app.config.settings import load_database_settings
    from spark_app.storage.postgres.database import administrator_of, open_database
    from spark_app.storage.postgres.migrate import migrate
    from spark_app.storage.postgres.run_log import check_origin

    request = invocation.request(settings, dt.datetime.now(dt.UTC))
    if request is None:
        return 0
    named = load_database_settings()
    with open_database(named) as database:
        # Where nothing is to be migrated this only reads.
        migrate(administrator_of(named, database))
        if not invocation.reads_any_origin:
            check_origin(database, settings.data_origin)
        return invocation.job.read(request, settings, database)


@contextlib.contextmanager
def _opened(invocation: Invocation, settings: Settings) -> Iterator[Run | None]:
    """Open a run; None where the named day is not a trading day."""
    job, interruption = invocation.job, invocation.interruption
    with contextlib.ExitStack() as resources, ThreadPoolExecutor() as beside:
        resources.enter_context(interruption.watching_java())
        # Making the session keeps the JVM busy, importing the rest and preparing the database Python: both at once.
        checked = beside.submit(_checked_database, invocation, settings)
        preparing = beside.submit(_prepare, invocation, settings, resources, checked)
        spark = resources.enter_context(_session(job.name, settings, checked))
        interruption.take_over()
        if job.fetches and not invocation.is_dry_run and settings.data_origin != "files":
            beside.submit(_warm_up, spark, settings)
        prepared = preparing.result()
        if prepared is None:
            yield None
            return
        from spark_app.pipeline.run import open_run
        from spark_app.storage.delta.failures import staging_in_use

        request, database, settings = prepared
        run = open_run(request, settings, spark, database, stopping=interruption.stopping, summary=invocation.summary)
        resources.enter_context(staging_in_use(settings.staging_path))
        yield replace(run, confirm_lock=resources.enter_context(_only_writer(invocation, run)))


def _prepare(
    invocation: Invocation, settings: Settings, resources: contextlib.ExitStack, checked: Future[DatabaseSettings]
) -> tuple[Request, Database, Settings] | None:
    """Find the as-of session and bring the database up to date, which runs until `resources` are closed.

    Nothing is touched before the cluster is `checked`.
    """
    from spark_app.pipeline.preparation import prepare_database
    from spark_app.storage.postgres.database import administrator_of, open_database
    from spark_app.storage.postgres.retry import RetryPolicy
    from spark_app.storage.postgres.run_log import read_origin

    request = invocation.request(settings, dt.datetime.now(dt.UTC))
    if request is None:
        return None
    named = checked.result()
    policy = RetryPolicy(**settings.database.model_dump(), stopping=invocation.interruption.stopping)
    database = resources.enter_context(open_database(named, policy))
    admin = administrator_of(named, database)
    is_any = invocation.takes_any_origin or invocation.reads_any_origin
    prepare_database(database, settings, admin=admin, any_origin=is_any)
    if invocation.reads_any_origin:
        settings = settings.of_origin(read_origin(database) or settings.data_origin)
    return request, database, settings


def _checked_database(invocation: Invocation, settings: Settings) -> DatabaseSettings:
    """Read which database is named, and make sure that the cluster and the job can do their work with it."""
    from spark_app.config.settings import load_database_settings
    from spark_app.spark.cluster import check_cluster, configured_master

    named = load_database_settings()
    check_cluster(configured_master(), settings, named)
    if not invocation.is_dry_run:
        invocation.job.check_rights(settings, named)
    return named


@contextlib.contextmanager
def _session(name: str, settings: Settings, checked: Future[DatabaseSettings]) -> Iterator[SparkSession]:
    from spark_app.config.installation import app_home
    from spark_app.spark.cluster import shipped
    from spark_app.spark.quick_start import clear_hadoop_defaults
    from spark_app.spark.s3 import add_s3_libraries
    from spark_app.spark.session import build_session

    checked.result()
    # Spark makes this folder at its start, by default in the current folder of the user.
    spark = build_session(name, extra={"spark.sql.warehouse.dir": str(app_home() / "warehouse")})
    try:
        clear_hadoop_defaults(spark, settings.staging_path, settings.files.folder)
        add_s3_libraries(spark, settings.staging_path)
        with shipped(spark):
            yield spark
    finally:
        spark.stop()


@contextlib.contextmanager
def _only_writer(invocation: Invocation, run: Run) -> Iterator[Callable[[], None]]:
    """Keep other applications from writing to staging, where the store takes one writer; yields its confirmation."""
    from spark_app.spark.s3 import takes_one_writer
    from spark_app.storage.postgres.locks import staging_writer_lock

    request = run.request
    writes = invocation.job.fetches or request.forget or request.forget_all
    if writes and takes_one_writer(run.spark, run.settings.staging_path):
        with staging_writer_lock(run.database) as lock:
            yield lock.confirm
    else:
        yield run.confirm_lock


def _warm_up(spark: SparkSession, settings: Settings) -> None:
    import functools

    from spark_app.sources.worker import import_source
    from spark_app.spark.quick_start import warm_up

    warm_up(spark, functools.partial(import_source, name=settings.source.name))
