"""Sending Kafka the messages of what was committed."""

from __future__ import annotations

import logging

from spark_app.config.kafka import load_kafka_access
from spark_app.config.settings import Settings
from spark_app.storage.kafka.delivery import Delivery, deliver
from spark_app.storage.postgres.database import Database

logger = logging.getLogger(__name__)


def topic_of(settings: Settings) -> str | None:
    """The topic that gets a message for each row that changes; None where Kafka is not used."""
    return settings.kafka.topic if settings.kafka.bootstrap_servers else None


def send_pending(database: Database, settings: Settings) -> Delivery:
    """Send the pending messages of all runs, and log how many were sent and why others were not."""
    access = load_kafka_access(settings.kafka)
    delivery = deliver(database, access) if access else Delivery()
    for sentence in delivery.sentences:
        logger.info("%s", sentence)
    return delivery
