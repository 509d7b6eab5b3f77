"""Filling the topic: a message for every served row, for a topic that is younger than the database or was lost."""

from __future__ import annotations

from spark_app.errors import SettingsError
from spark_app.pipeline.messages import topic_of
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import SERVED_TABLES
from spark_app.storage.postgres.publishing.publish import enqueue_rows
from spark_app.storage.postgres.run_log import RunKey


def run(run: Run) -> StageResult:
    """Write a pending message for every served row; the end of each run sends the pending messages.

    Raises: SettingsError: no broker is named.
    """
    topic = topic_of(run.settings)
    if topic is None:
        raise SettingsError("setting kafka.bootstrap_servers is empty: name the brokers")
    key = RunKey(run.request.run_id, run.stage, run.as_of, {})
    return StageResult(message=f"{enqueue_rows(run.database, key, SERVED_TABLES, topic):,} messages to send")
