"""Sending messages to Kafka in order, with a timeout, and the client options that sender and reader share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from spark_app.config.kafka import KafkaAccess
from spark_app.errors import SettingsError
from spark_app.storage.postgres.outbox import PendingMessage

logger = logging.getLogger(__name__)
# The client logs each broken connection; here the sender reports the last problem once.
SILENT = logging.getLogger(f"{__name__}.client")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False
_LOOK_UP_SECONDS = 1.0


class TopicSender:
    """Sends messages; those of one key stay in order, also after retries."""

    def __init__(self, access: KafkaAccess) -> None:
        """Connects on the first message.

        Raises: SettingsError: the client rejects the settings, for example a file without a certificate.
        """
        self._servers = access.settings.bootstrap_servers
        self._timeout = access.settings.timeout_seconds
        self._problem: KafkaError | None = None
        self._missing_topic: str | None = None
        # The partitioner of Kafka's Java client; idempotence: a retry after a lost acknowledgement stores no duplicate.
        options = {"enable.idempotence": True, "partitioner": "murmur2_random", "error_cb": self._note}
        try:
            self._producer = Producer({**client_options(access), **options}, logger=SILENT)
        except KafkaException as error:
            raise refused_settings(error) from error

    def send(self, messages: Sequence[PendingMessage]) -> list[int]:
        """Send messages and wait up to `kafka.timeout_seconds` for the broker; return the ids that it acknowledged.

        Without an answer it takes up to a second more, to find out whether a topic is missing.
        """
        acknowledged: list[int] = []
        try:
            for message in messages:
                self._producer.produce(
                    message.topic,
                    value=None if message.value is None else message.value.encode(),
                    key=message.key.encode(),
                    headers=message.headers,
                    on_delivery=self._noting(message.id, acknowledged),
                )
        except KafkaException as error:
            self._note(error.args[0])
        if self._producer.flush(self._timeout):
            # The rest stays pending; acknowledgements after this moment are ignored.
            self._producer.purge()
            self._producer.flush(0)
        if len(acknowledged) < len(messages) and self._may_lack_topic():
            self._missing_topic = self._find_missing_topic({message.topic for message in messages})
        return acknowledged

    @property
    def problem(self) -> str:
        """A topic that is missing, the last error of the client, or that there was no answer."""
        if self._missing_topic is not None:
            topic = f"topic {self._missing_topic} does not exist at {self._servers}"
            return f"{topic} and is not created automatically: create it"
        if self._problem is None:
            return f"no answer within {self._timeout:g} s"
        return str(self._problem.str())

    def _may_lack_topic(self) -> bool:
        # The client reports a missing topic after 30 s only, for a new one is not known to all brokers at once.
        unknown = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
        return self._problem is None or self._problem.code() in unknown

    def _find_missing_topic(self, names: Collection[str]) -> str | None:
        """Return the first of these topics that the brokers do not have; None for none, or without an answer."""
        with contextlib.suppress(KafkaException):
            for name in sorted(names):
                found = self._producer.list_topics(name, timeout=min(_LOOK_UP_SECONDS, self._timeout)).topics[name]
                if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return name
        return None

    def _noting(self, message_id: int, acknowledged: list[int]) -> Any:
        def note(error: KafkaError | None, _message: object) -> None:
            if error is None:
                acknowledged.append(message_id)
            elif error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
                self._note(error)

        return note

    def _note(self, error: KafkaError) -> None:
        # "All brokers are down" follows a more specific error.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._problem is None:
            self._problem = error


def refused_settings(error: KafkaException) -> SettingsError:
    """The error for settings that the client rejects."""
    return SettingsError(f"Kafka's client refuses the settings: {error.args[0].str()}")


def client_options(access: KafkaAccess) -> dict[str, Any]:
    """The settings as options of librdkafka."""
    settings = access.settings
    given = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "ssl.ca.location": settings.ssl_ca_file,
        "ssl.certificate.location": settings.ssl_certificate_file,
        "ssl.key.location": settings.ssl_key_file,
    }
    if access.password is not None:
        given |= {"sasl.mechanism": settings.sasl_mechanism, "sasl.username": settings.sasl_username}
        given |= {"sasl.password": access.password.get_secret_value()}
    return {name: value for name, value in given.items() if value}
