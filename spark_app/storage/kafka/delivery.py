"""Delivery of pending messages to Kafka: after the commit, in order, by one run at a time, with a timeout.

Messages leave the outbox when Kafka has acknowledged them; after a crash in between they are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from spark_app.config.kafka import KafkaAccess
from spark_app.errors import SettingsError, SparkAppError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.outbox import forget, lock_head, read_backlog, read_head

if TYPE_CHECKING:
    from spark_app.storage.kafka.sender import TopicSender

_BATCH = 5000


@dataclass(frozen=True)
class Delivery:
    """How many messages Kafka acknowledged, how many are still pending (None: unknown), and why."""

    sent: int = 0
    pending: int | None = 0
    problem: str = ""

    @property
    def sentences(self) -> list[str]:
        """Sentences for the log: none if there was nothing to send."""
        sent = f"{self.sent:,} messages sent to Kafka"
        number = "an unknown number of" if self.pending is None else f"{self.pending:,}"
        pending = f"{number} messages are pending for Kafka, the next run sends them: {self.problem}"
        return [sent] * (self.sent > 0) + [pending] * (self.pending != 0)


def deliver(database: Database, access: KafkaAccess) -> Delivery:
    """Send the pending messages. Failures are part of the result, not raised: the rows themselves are committed."""
    try:
        with translated_errors("sending messages"), database.connect() as connection:
            try:
                return _send_all(connection, access)
            except psycopg.errors.LockNotAvailable:
                return Delivery(pending=read_backlog(connection).messages, problem="another run is sending them")
            except SettingsError as error:
                return Delivery(pending=read_backlog(connection).messages, problem=str(error))
    except SparkAppError as error:
        return Delivery(pending=None, problem=str(error))


def _send_all(connection: psycopg.Connection, access: KafkaAccess) -> Delivery:
    sender, sent, problem = None, 0, ""
    while not problem:
        with connection.transaction():
            lock_head(connection, timeout_seconds=access.settings.timeout_seconds)
            messages = read_head(connection, limit=_BATCH)
            if not messages:
                break
            sender = sender or _open_sender(access)
            acknowledged = sender.send(messages)
            forget(connection, acknowledged)
        sent += len(acknowledged)
        problem = sender.problem if len(acknowledged) < len(messages) else ""
    return Delivery(sent, read_backlog(connection).messages if problem else 0, problem)


def _open_sender(access: KafkaAccess) -> TopicSender:
    # Imported only if there is something to send.
    from spark_app.storage.kafka.sender import TopicSender

    return TopicSender(access)
