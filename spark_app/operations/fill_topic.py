"""Filling the topic: a message for every served row, for a topic that begins later than the database or was lost."""

from __future__ import annotations

from spark_app.errors import SettingsError
from spark_app.pipeline.announcing import topic_of
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import SERVED_TABLES
from spark_app.storage.postgres.publish import enqueue_rows
from spark_app.storage.postgres.run_log import RunKey

STAGE = "fill_topic"


def run(context: StageContext) -> StageOutput:
    """Owe Kafka a message for every row that is served; the end of each run sends what is owed.

    Raises: SettingsError: no broker is named.
    """
    topic = topic_of(context.settings)
    if topic is None:
        raise SettingsError("setting kafka.bootstrap_servers is empty: name the brokers")
    key = RunKey(context.request.run_id, STAGE, context.as_of, {})
    return StageOutput(message=f"{enqueue_rows(context.database, key, SERVED_TABLES, topic):,} rows to tell")
