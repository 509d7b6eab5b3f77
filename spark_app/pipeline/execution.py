"""Running stages: what is pending, the lock of each, the run log, and publishing."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pyspark.sql import SparkSession

from spark_app.config.kafka import load_kafka_access
from spark_app.config.settings import Settings
from spark_app.errors import (
    AlreadyRunningError,
    RunInterruptedError,
    ServiceUnavailableError,
    SparkAppError,
)
from spark_app.operations import fill_topic, republish
from spark_app.operations import replay_topic as replay
from spark_app.pipeline.announcing import send_owed, topic_of
from spark_app.pipeline.context import RunRequest, StageContext, StageOutput, StageReport
from spark_app.pipeline.reporting import report_of, result_of
from spark_app.stages import stage1_etf_ohlc as etf_ohlc
from spark_app.stages import stage2_etf_holdings as etf_holdings
from spark_app.stages import stage3_trending_sectors as trending_sectors
from spark_app.stages import stage4_stock_history as stock_history
from spark_app.stages import stage5_portfolio_allocation as portfolio_allocation
from spark_app.storage.delta.failures import staging_in_use
from spark_app.storage.delta.staging import Staging
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.locks import stage_lock
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.publish import publish, sweep_orphans
from spark_app.storage.postgres.run_log import RowCounts, RunKey, check_origin, is_done, start_run
from spark_app.storage.postgres.throttle import clear_block

logger = logging.getLogger(__name__)

_STAGES: dict[str, Callable[[StageContext], StageOutput]] = {
    module.STAGE: module.run
    for module in (etf_ohlc, etf_holdings, trending_sectors, stock_history, portfolio_allocation)
} | {
    republish.STAGE: republish.run,
    replay.STAGE: replay.run,
    fill_topic.STAGE: fill_topic.run,
    etf_ohlc.BACKFILL: etf_ohlc.backfill,
    etf_ohlc.STAGGERED: etf_ohlc.backfill_staggered,
}
# What they change, the steps after the first stand on.
_BESIDE = (etf_ohlc.BACKFILL, etf_ohlc.STAGGERED, republish.STAGE)
_STEPS = (
    (etf_ohlc.STAGE, etf_holdings.STAGE),
    (trending_sectors.STAGE, stock_history.STAGE),
    (portfolio_allocation.STAGE,),
)
"""The stages of a session: those of one step need nothing of each other, but something of the step before."""
_LONGEST_MESSAGE = 500


def prepare(database: Database, settings: Settings, *, admin: Database | None = None) -> None:
    """Bring the database up to date, and refuse to mix synthetic and real data; arguments as of `upgrade`.

    Raises: UsageError. SettingsError: what reaching Kafka needs is missing.
    """
    upgrade(database, settings, admin=admin)
    check_origin(database, settings.data_origin)


def upgrade(database: Database, settings: Settings, *, admin: Database | None = None) -> None:
    """Bring the database's schema up to date, as `admin` where given, and sweep what died in it.

    Raises: SettingsError: what reaching Kafka needs is missing.
    """
    load_kafka_access(settings.kafka)
    for name in migrate(admin or database):
        logger.info("database: applied migration %s", name)
    sweep_orphans(database)


def pending_stages(database: Database, settings: Settings, request: RunRequest, stages: Sequence[str]) -> list[str]:
    """List the stages from the first one that is not done for this session with these parameters."""
    done = [_is_done(database, _run_key(settings, request, stage)) for stage in stages]
    return list(stages[done.index(False) :]) if False in done else []


def in_steps(stages: Sequence[str]) -> list[list[str]]:
    """Put together what may run side by side of stages that are given in their order."""
    steps = [[stage for stage in step if stage in stages] for step in _STEPS]
    others = [[stage] for stage in stages if not any(stage in step for step in _STEPS)]
    return [step for step in (*steps, *others) if step]


def _is_done(database: Database, key: RunKey) -> bool:
    needed = _needed_by(key.stage)
    return is_done(database, key, after=needed, beside=_BESIDE if needed else ())


def _needed_by(stage: str) -> list[str]:
    """List the stages of the steps before that of `stage`."""
    place = next((number for number, step in enumerate(_STEPS) if stage in step), 0)
    return list(itertools.chain.from_iterable(_STEPS[:place]))


def start(
    spark: SparkSession,
    database: Database,
    settings: Settings,
    request: RunRequest,
    stopping: threading.Event | None = None,
) -> StageContext:
    """Put together what the stages work with; `stopping` is set when the run is to end early.

    Raises: UsageError: the staging tables hold the other kind of data.
    """
    staging = Staging(spark, settings.staging_path, settings.data_origin, request.known_at)
    staging.check_origin()
    staging.check_known_at()
    if request.force and settings.data_origin == "real":
        clear_block(database, settings.source.name)
    return StageContext(request, settings, spark, staging, database, stopping or threading.Event())


def run_stage(context: StageContext, stage: str) -> StageReport:
    """Run one stage and say what it did; a failure of ours is in the report, not raised."""
    started = time.monotonic()
    key = _run_key(context.settings, context.request, stage)
    try:
        with stage_lock(context.database, key) as lock:
            context = replace(context, confirm_lock=_all_of(lock.confirm, context.confirm_lock))
            start_run(context.database, key)
            try:
                with staging_in_use(context.staging.root):
                    output = _STAGES[stage](context)
                    counts = _publish(context, key, output)
            except SparkAppError as error:
                output, counts = _failed(error), RowCounts()
                _close(context, key, output)
            except KeyboardInterrupt:
                _close(context, key, _failed(RunInterruptedError("interrupted")))
                raise
            except Exception as error:
                _close(context, key, _failed(SparkAppError(f"unexpected: {error!r}"[:_LONGEST_MESSAGE])))
                raise
    except (AlreadyRunningError, RunInterruptedError, ServiceUnavailableError) as error:
        output, counts = _failed(error), RowCounts()
    report = report_of(context, stage, output, counts, time.monotonic() - started)
    delivery = send_owed(context.database, context.settings)
    return replace(report, messages_sent=delivery.sent, messages_owed=delivery.owed)


def _all_of(*confirm: Callable[[], None]) -> Callable[[], None]:
    def confirm_all() -> None:
        for one in confirm:
            one()

    return confirm_all


def _close(context: StageContext, key: RunKey, output: StageOutput) -> None:
    # Where Postgres itself is the trouble, the run's row cannot be closed either; it was waited for already.
    with contextlib.suppress(SparkAppError):
        _publish_once(replace(context, confirm_lock=StageContext.confirm_lock), key, output)


def _failed(error: SparkAppError) -> StageOutput:
    if isinstance(error, ServiceUnavailableError):
        error = ServiceUnavailableError(f"{error}; what was fetched is kept: run it again")
    return StageOutput(message=str(error), failure=error, is_staged=False)


def _publish(context: StageContext, key: RunKey, output: StageOutput) -> RowCounts:
    return context.database.retry_policy.call(lambda: _publish_once(context, key, output))


def _publish_once(context: StageContext, key: RunKey, output: StageOutput) -> RowCounts:
    return publish(
        context.database,
        key,
        result_of(output),
        origin=output.replayed_origin or context.settings.data_origin,
        publications=output.publications,
        errors=output.errors,
        topic=topic_of(context.settings) if output.replayed_origin is None else None,
        confirm=context.confirm_lock,
    )


def _run_key(settings: Settings, request: RunRequest, stage: str) -> RunKey:
    """The parameters are those that make a finished stage a different one."""
    parameters: dict[str, object] = {}
    if stage not in (etf_holdings.STAGE, trending_sectors.STAGE, portfolio_allocation.STAGE):
        parameters["days"] = request.days
    if request.known_at is not None:
        parameters["known_at"] = str(request.known_at)
    if request.tickers is not None:
        parameters["tickers"] = list(request.tickers)
    if stage == etf_holdings.STAGE:
        parameters["holdings_provider"] = settings.source.holdings_provider
    if stage == stock_history.STAGE:
        parameters["universe"] = request.universe
    if stage == portfolio_allocation.STAGE:
        parameters |= settings.portfolio.model_dump(mode="json")
    return RunKey(request.run_id, stage, request.as_of, parameters)
