"""What must be in order before a stage runs: the database's schema, and data of one kind only."""

from __future__ import annotations

import logging

from spark_app.config.kafka import load_kafka_access
from spark_app.config.settings import Settings
from spark_app.pipeline.run import Run
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.publishing.publish import sweep_orphans
from spark_app.storage.postgres.run_log import check_origin
from spark_app.storage.postgres.throttle import clear_block

logger = logging.getLogger(__name__)


def prepare_database(
    database: Database, settings: Settings, *, admin: Database | None = None, any_origin: bool = False
) -> None:
    """Bring the database's schema up to date and drop the loading tables of runs that died.

    Args:
        admin: the database as the user who may migrate it, None for the same user.
        any_origin: accept a database with the other kind of data.
    Raises: UsageError: the database holds the other kind of data. SettingsError: Kafka's settings are incomplete.
    """
    load_kafka_access(settings.kafka)
    for name in migrate(admin or database):
        logger.info("database: applied migration %s", name)
    sweep_orphans(database)
    if not any_origin:
        check_origin(database, settings.data_origin)


def prepare_staging(run: Run) -> None:
    """Repair staging tables, and refuse those that do not fit the run; `--force` unblocks the source, but no what-if.

    Raises: UsageError: staging holds the other kind of data, or nothing that was known at `request.known_at`.
    """
    run.staging.repair()
    run.staging.check_origin()
    run.staging.check_known_at()
    if run.request.force and not run.request.is_what_if and run.settings.data_origin == "real":
        clear_block(run.database, run.settings.source.name)
